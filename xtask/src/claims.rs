//! `docs/claims.tsv`: what our documents promise, and the test that shows it.
//!
//! Columns, parted by tabs: id, document, sentence (word for word as it stands there), what shows it.
//! The last is `test NAME` (the end of a test's path, such as `durability::survives`) or `command cargo xtask VERB`;
//! several are parted by ` ; `.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{tidy, verbs};

/// Where the promises stand.
pub const CLAIMS: &str = "docs/claims.tsv";

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Unique, short.
    pub id: String,
    /// The document, relative to the root.
    pub document: String,
    /// The sentence as it stands in the document, blanks and line ends apart.
    pub sentence: String,
    /// At least one.
    pub shown_by: Vec<Proof>,
}

/// What shows a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The end of a test's path.
    Test(String),
    /// A verb of `cargo xtask`.
    Verb(String),
}

/// Reads the table; the second list says what is wrong with its form.
#[must_use]
pub fn parse(text: &str) -> (Vec<Claim>, Vec<String>) {
    let mut claims = Vec::new();
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let place = format!("{CLAIMS}:{}", number + 1);
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, document, sentence, shown_by] = columns[..] else {
            problems.push(format!("{place}: four columns parted by tabs are needed, {} found", columns.len()));
            continue;
        };
        if !ids.insert(id.to_owned()) {
            problems.push(format!("{place}: id {id} is used twice"));
        }
        let mut proofs = Vec::new();
        for proof in shown_by.split(" ; ").map(str::trim) {
            if let Some(name) = proof.strip_prefix("test ") {
                proofs.push(Proof::Test(name.trim().to_owned()));
            } else if let Some(verb) = proof.strip_prefix("command cargo xtask ") {
                proofs.push(Proof::Verb(verb.trim().to_owned()));
            } else {
                problems.push(format!("{place}: {proof:?} is neither `test NAME` nor `command cargo xtask VERB`"));
            }
        }
        claims.push(Claim { id: id.to_owned(), document: document.to_owned(), sentence: sentence.to_owned(), shown_by: proofs });
    }
    if claims.is_empty() {
        problems.push(format!("{CLAIMS}: no claim in it"));
    }
    (claims, problems)
}

/// Compares the table with the documents and with the sources; empty is good.
#[must_use]
pub fn check_sources(root: &Path) -> Vec<String> {
    let text = match std::fs::read_to_string(root.join(CLAIMS)) {
        Ok(text) => text,
        Err(error) => return vec![format!("{CLAIMS}: {error}")],
    };
    let (claims, mut problems) = parse(&text);
    let sources: Vec<String> = tidy::files(root)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    for claim in &claims {
        let id = &claim.id;
        match std::fs::read_to_string(root.join(&claim.document)) {
            Err(error) => problems.push(format!("claim {id}: {}: {error}", claim.document)),
            Ok(document) if !in_one_line(&document).contains(&in_one_line(&claim.sentence)) => {
                problems.push(format!("claim {id}: {} no longer says {:?}", claim.document, claim.sentence));
            }
            Ok(_) => {}
        }
        for proof in &claim.shown_by {
            match proof {
                Proof::Test(name) => {
                    let function = format!("fn {}(", name.rsplit("::").next().unwrap_or(name));
                    if !sources.iter().any(|source| source.contains(&function)) {
                        problems.push(format!("claim {id}: there is no test {name}"));
                    }
                }
                Proof::Verb(verb) => {
                    let first = verb.split_whitespace().next().unwrap_or_default();
                    if !verbs::VERBS.iter().any(|(known, _, _)| *known == first) {
                        problems.push(format!("claim {id}: there is no verb {first}"));
                    }
                }
            }
        }
    }
    problems
}

/// Compares the table with what the test programs printed; empty is good.
#[must_use]
pub fn check_log(claims: &[Claim], log: &str) -> Vec<String> {
    let passed: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("test "))
        .filter_map(|line| line.strip_suffix(" ... ok"))
        .map(|name| name.trim_end_matches(" - should panic"))
        .collect();
    let mut problems = Vec::new();
    for claim in claims {
        for proof in &claim.shown_by {
            match proof {
                Proof::Test(name) if !passed.iter().any(|ran| ends_with_path(ran, name)) => {
                    problems.push(format!("claim {}: test {name} did not run and pass", claim.id));
                }
                Proof::Test(_) | Proof::Verb(_) => {}
            }
        }
    }
    problems
}

/// Whether `name` is the whole path of a test, or its end from a `::` on.
fn ends_with_path(ran: &str, name: &str) -> bool {
    ran.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with("::"))
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Claim, Proof, check_log, check_sources, parse};

    #[test]
    fn rows_become_claims_and_bad_rows_are_named() {
        let (claims, problems) =
            parse("id\tdocument\tsentence\tshown by\na\tREADME.md\tIt works.\ttest x::works ; command cargo xtask check\nb\tshort\n");
        let shown_by = vec![Proof::Test("x::works".to_owned()), Proof::Verb("check".to_owned())];
        let expected = Claim { id: "a".to_owned(), document: "README.md".to_owned(), sentence: "It works.".to_owned(), shown_by };
        assert_eq!(claims, [expected]);
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn only_a_test_that_ran_and_passed_counts() {
        let (claims, _) = parse("head\na\td\ts\ttest x::works\n");
        assert!(check_log(&claims, "test deep::x::works ... ok\n").is_empty());
        assert_eq!(check_log(&claims, "test deep::x::works ... FAILED\n").len(), 1);
        assert_eq!(check_log(&claims, "test deep::x::works ... ignored\n").len(), 1);
        assert_eq!(check_log(&claims, "test deepx::works ... ok\n").len(), 1);
    }

    #[test]
    fn every_claim_names_a_sentence_and_a_test_that_exist() {
        let problems = check_sources(&crate::root());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
