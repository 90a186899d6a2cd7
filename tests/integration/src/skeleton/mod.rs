//! What the REST API looks like, as bare facts: which operations there are, what they take and answer, which members documents have.
//!
//! The same form is read from our own file (`tests/integration/skeleton.tsv`), from the document that a controller serves, and from any
//! other OpenAPI document, so that they can be compared; and a reply can be held against it.

mod check;
mod compare;
mod openapi;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

pub use compare::differences;
pub use shape::Shape;

/// A verb and a path, in the order of files: by path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// E.g. `/v1/nodes/{node}`; `{*rest}` takes all that is left, slashes too.
    pub path: String,
    /// E.g. `GET`.
    pub verb: String,
}

/// A value of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Whether it may be given more than once.
    pub many: bool,
    /// One value.
    pub shape: Shape,
}

/// What one operation takes and answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// Values of the query by name.
    pub query: BTreeMap<String, Param>,
    /// The body, and whether it may be left out; `None`: none is read.
    pub body: Option<(Shape, bool)>,
    /// What is answered, by status. A failure answers a list of `ApiCallRc`, unless something else stands here.
    pub replies: BTreeMap<u16, Shape>,
}

/// A member of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its value.
    pub shape: Shape,
    /// Whether it is always there.
    pub always: bool,
}

/// An API's operations and documents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skeleton {
    /// Operations.
    pub operations: BTreeMap<Place, Operation>,
    /// Members of documents, by the document's name.
    pub types: BTreeMap<String, BTreeMap<String, Member>>,
}

/// The form of a failure.
#[must_use]
pub fn entries() -> Shape {
    Shape::List(Box::new(Shape::Named("ApiCallRc".to_owned())))
}

impl Skeleton {
    /// Our own file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ours() -> Result<Self> {
        Self::parse(include_str!("../../skeleton.tsv"))
    }

    /// Reads the form of `skeleton.tsv`, which its first lines explain.
    ///
    /// # Errors
    /// The line that cannot be read.
    pub fn parse(text: &str) -> Result<Self> {
        let mut skeleton = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            skeleton.line(line).with_context(|| format!("line {}: {line}", number + 1))?;
        }
        Ok(skeleton)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns.as_slice() {
            ["op", verb, path, query, body, success, failure] => {
                let place = Place { path: (*path).to_owned(), verb: (*verb).to_owned() };
                let operation = operation(query, body, success, failure)?;
                ensure!(self.operations.insert(place, operation).is_none(), "it is there twice");
            }
            ["type", name] => {
                self.types.entry((*name).to_owned()).or_default();
            }
            ["type", name, member, shape, presence] => {
                let always = match *presence {
                    "always" => true,
                    "maybe" => false,
                    other => bail!("'{other}' is neither 'always' nor 'maybe'"),
                };
                let member_is = Member { shape: shape.parse()?, always };
                let known = self.types.entry((*name).to_owned()).or_default().insert((*member).to_owned(), member_is);
                ensure!(known.is_none(), "it is there twice");
            }
            _ => bail!("it has the wrong number of columns"),
        }
        Ok(())
    }

    /// The same as text, without the lines that explain it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (place, operation) in &self.operations {
            let _ = writeln!(text, "op\t{}\t{}\t{}", place.verb, place.path, words(operation));
        }
        for (name, members) in &self.types {
            if members.is_empty() {
                let _ = writeln!(text, "type\t{name}");
            }
            for (member, is) in members {
                let _ = writeln!(text, "type\t{name}\t{member}\t{}\t{}", is.shape, if is.always { "always" } else { "maybe" });
            }
        }
        text
    }

    /// The operation that answers a request; parts that stand in its path as they are win over parameters.
    #[must_use]
    pub fn find(&self, verb: &str, path: &str) -> Option<(&Place, &Operation)> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let fitting = self.operations.iter().filter(|(place, _)| place.verb == verb && fits(&place.path, path));
        fitting
            .min_by_key(|(place, _)| place.path.split('/').map(|part| (part.starts_with("{*"), part.starts_with('{'))).collect::<Vec<_>>())
    }

    /// What is not right about a reply; nothing: it is as the skeleton says.
    #[must_use]
    pub fn faults(&self, verb: &str, path: &str, status: u16, body: &serde_json::Value) -> Vec<String> {
        let Some((place, operation)) = self.find(verb, path) else { return vec![format!("{verb} {path}: no such operation")] };
        let Some(shape) = operation.replies.get(&status) else {
            return vec![format!("{verb} {}: the status {status} is not declared", place.path)];
        };
        let mut faults = Vec::new();
        check::check(self, shape, body, "", &mut faults);
        faults.into_iter().map(|fault| format!("{verb} {} {status}: {fault}", place.path)).collect()
    }

    /// All names that shapes use and no type has.
    #[must_use]
    pub fn dangling(&self) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for operation in self.operations.values() {
            operation.body.iter().for_each(|(shape, _)| shape.names(&mut named));
            operation.replies.values().for_each(|shape| shape.names(&mut named));
        }
        self.types.values().flat_map(BTreeMap::values).for_each(|member| member.shape.names(&mut named));
        named.into_iter().filter(|name| !self.types.contains_key(name)).collect()
    }
}

/// Whether a path is one of a pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(_)) if part.starts_with("{*") => return true,
            (Some(part), Some(text)) if part == text || (part.starts_with('{') && !text.is_empty()) => {}
            _ => return false,
        }
    }
}

fn operation(query: &str, body: &str, success: &str, failure: &str) -> Result<Operation> {
    let mut operation = Operation::default();
    for word in query.split(' ').filter(|word| *word != "-") {
        let (name, shape) = word.split_once('=').context("a value of the query is NAME=TYPE or NAME*=TYPE")?;
        let (name, many) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        operation.query.insert(name.to_owned(), Param { many, shape: shape.parse()? });
    }
    operation.body = match body {
        "-" => None,
        // A `?` at the end of a body says that it may be left out.
        body => match body.strip_suffix('?') {
            Some(body) => Some((body.parse()?, true)),
            None => Some((body.parse()?, false)),
        },
    };
    for word in [success, failure].into_iter().flat_map(|list| list.split(' ')).filter(|word| *word != "-") {
        let (status, shape) = match word.split_once('=') {
            Some((status, shape)) => (status, shape.parse()?),
            None => (word, entries()),
        };
        operation.replies.insert(status.parse().context("a status")?, shape);
    }
    Ok(operation)
}

fn words(operation: &Operation) -> String {
    let or_dash = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(" ") };
    let query = operation.query.iter().map(|(name, is)| format!("{name}{}={}", if is.many { "*" } else { "" }, is.shape)).collect();
    let body = operation.body.as_ref().map_or_else(|| "-".to_owned(), |(shape, free)| format!("{shape}{}", if *free { "?" } else { "" }));
    let success =
        operation.replies.iter().filter(|(status, _)| **status < 400).map(|(status, shape)| format!("{status}={shape}")).collect();
    let failures = operation.replies.iter().filter(|(status, _)| **status >= 400);
    let failure =
        failures.map(|(status, shape)| if *shape == entries() { status.to_string() } else { format!("{status}={shape}") }).collect();
    format!("{}\t{body}\t{}\t{}", or_dash(query), or_dash(success), or_dash(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "op\tGET\t/v1/things\tlimit=int name*=text\t-\t200=[Thing]\t404 500\n\
                         op\tPUT\t/v1/things/{thing}\t-\tThing?\t200=[ApiCallRc]\t500 503=Thing\n\
                         op\tGET\t/v1/things/all\t-\t-\t200=plain\t-\n\
                         op\tDELETE\t/v1/keys/{*key}\t-\t-\t200=[ApiCallRc]\t-\n\
                         type\tApiCallRc\tret_code\tint\talways\n\
                         type\tThing\tcolour\ttext(blue|red)\tmaybe\n\
                         type\tThing\tname\ttext\talways\n\
                         type\tThing\tparts\t{[Thing]}\tmaybe\n";

    #[test]
    fn what_is_written_is_read() {
        let skeleton = Skeleton::parse(SMALL).unwrap();
        assert_eq!(Skeleton::parse(&skeleton.to_text()).unwrap(), skeleton);
        assert_eq!(skeleton.to_text().lines().count(), SMALL.lines().count());
        assert!(skeleton.dangling().is_empty());
        for bad in ["op\tGET", "type\tA\tb\ttext\tnever", "type\tA\tb\t[text\tmaybe", "op\tGET\t/\tlimit\t-\t-\t-", "word"] {
            assert!(Skeleton::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_finds_its_operation() {
        let skeleton = Skeleton::parse(SMALL).unwrap();
        let found = |verb, path| skeleton.find(verb, path).map(|(place, _)| place.path.as_str());
        assert_eq!(found("GET", "/v1/things?limit=1"), Some("/v1/things"));
        assert_eq!(found("PUT", "/v1/things/all"), Some("/v1/things/{thing}"));
        assert_eq!(found("GET", "/v1/things/all"), Some("/v1/things/all"));
        assert_eq!(found("DELETE", "/v1/keys/a/b"), Some("/v1/keys/{*key}"));
        assert_eq!(found("GET", "/v1/things/other"), None);
    }

    #[test]
    fn a_reply_is_held_against_it() {
        let skeleton = Skeleton::parse(SMALL).unwrap();
        let faults = |status, text| skeleton.faults("GET", "/v1/things", status, &serde_json::from_str(text).unwrap());
        assert!(faults(200, r#"[{"name":"a","colour":"red","parts":{"x":[{"name":"b"}]}}]"#).is_empty());
        assert!(faults(404, r#"[{"ret_code":-1}]"#).is_empty());
        for (status, text, word) in [
            (201, "[]", "not declared"),
            (200, "{}", "list"),
            (200, r#"[{"colour":"red"}]"#, "'name' is missing"),
            (200, r#"[{"name":7}]"#, "[0].name"),
            (200, r#"[{"name":null}]"#, "[0].name"),
            (200, r#"[{"name":"a","colour":"green"}]"#, "green"),
            (200, r#"[{"name":"a","size":1}]"#, "'size'"),
            (200, r#"[{"name":"a","parts":{"x":[{}]}}]"#, "[0].parts.x[0]"),
        ] {
            let faults = faults(status, text);
            assert!(faults.len() == 1 && faults[0].contains(word), "{text}: {faults:?}");
        }
    }
}
