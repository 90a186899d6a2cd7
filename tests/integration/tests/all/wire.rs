//! Recorded exchanges, all of them, played against a fresh controller and three satellites.
//!
//! The recordings are no part of this project: they lie in the folder that `BERTH_SHARED` names, else in `shared`
//! beside the clone. Without them there is nothing to play, and the test says so.
//!
//! Where Berth answers otherwise on purpose, a rule of `wire-accepted.json` says where, what and why. An exchange that differs
//! without a rule fails the test, and so does a rule that nothing needs any more. `docs/wire-differences.md` is written from the rules.
//! `BERTH_WIRE_RESULTS` names a folder that gets every difference with the rule that it passed by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, is_root, note, run, run_within, tool};
use serde::Deserialize;
use serde_json::Value;

const RULES: &str = include_str!("../../wire-accepted.json");
const PAGE: &str = "../../docs/wire-differences.md";

/// Of one hundred exchanges of each file, so many must pass.
const PASSED_PERCENT_MIN: u64 = 98;

/// Time for all of it.
const LIMIT: Duration = Duration::from_secs(900);

/// Size of the empty disk, in bytes: above the smallest that is listed.
const DISK_BYTES: u64 = 1200 << 20;

/// One deliberate difference, as far as it is told; the player reads more of it.
#[derive(Debug, Deserialize)]
struct Rule {
    /// Patterns SCENARIO/ID.
    exchanges: Vec<String>,
    /// What Berth answers.
    berth: String,
    /// Why that is better for the client, or what this version lacks.
    reason: String,
    /// Set: this version lacks something, and says so.
    #[serde(default)]
    lacks: bool,
}

impl Rule {
    fn row(&self) -> String {
        let exchanges: Vec<String> = self.exchanges.iter().map(|pattern| format!("`{pattern}`")).collect();
        format!("| {} | {} | {} |", exchanges.join(", "), self.berth, self.reason)
    }
}

fn rules() -> Result<Vec<Rule>> {
    serde_json::from_str(RULES).context("wire-accepted.json")
}

fn shared() -> Option<PathBuf> {
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    shared.join("linstor/wire/replay.py").is_file().then_some(shared)
}

/// The deliberate differences for the player: ours first, so that each is named by its own reason, then those that come with the recordings.
fn accepted(shared: &Path, folder: &Path) -> Result<PathBuf> {
    let theirs: Value = serde_json::from_str(&std::fs::read_to_string(shared.join("linstor/wire/accepted.json"))?)?;
    let mut all: Vec<Value> = serde_json::from_str(RULES)?;
    for rule in &mut all {
        rule["reason"] = format!("ours: {}", rule["reason"].as_str().unwrap_or_default()).into();
    }
    all.extend(theirs["accepted"].as_array().context("a list of rules")?.iter().cloned());
    let file = folder.join("accepted.json");
    std::fs::write(&file, serde_json::json!({"accepted": all}).to_string())?;
    Ok(file)
}

/// The recorded server's cluster, as far as this machine lets us.
fn cluster() -> Result<Cluster> {
    let mut cluster = Cluster::empty()?;
    for name in ["alpha", "echo", "foxtrot"] {
        if is_root() {
            // The recorded satellites ran on machines of these names, and answers show them.
            cluster.start_satellite_as_host(name)?;
        } else {
            cluster.start_satellite(name, &[])?;
        }
    }
    Ok(cluster)
}

/// An empty disk; `None` without root.
fn disk(cluster: &Cluster) -> Result<Option<String>> {
    if !is_root() {
        return Ok(None);
    }
    let file = cluster.scratch().path().join("disk");
    std::fs::File::create(&file)?.set_len(DISK_BYTES)?;
    let made = run("losetup", &["--find", "--show", file.to_str().context("a plain path")?])?.ok()?;
    Ok(Some(made.trim().to_owned()))
}

/// Played by itself: the source of a clone cannot be deleted while the clone is made, which the recorded server never makes, so that what the
/// scenario leaves behind would be seen by others.
const ALONE: &str = "clone";
/// What the player does around all others.
const AROUND: [&str; 2] = ["base", "base-end"];

/// Names of all recorded scenarios.
fn scenarios(shared: &Path) -> Result<BTreeSet<String>> {
    let files = std::fs::read_dir(shared.join("linstor/wire/scenarios"))?;
    files.map(|file| Ok(file?.path().file_stem().and_then(|name| name.to_str()).context("a plain name")?.to_owned())).collect()
}

#[test]
fn recorded_exchanges_are_answered_alike() -> Result<()> {
    let Some(shared) = shared() else {
        note("no recorded exchanges on this machine: BERTH_SHARED names the folder that holds linstor/wire");
        return Ok(());
    };
    let all = scenarios(&shared)?;
    let together: Vec<&str> = all.iter().map(String::as_str).filter(|name| *name != ALONE && !AROUND.contains(name)).collect();
    let (mut results, mut told) = play(&shared, &together)?;
    let (alone, told_alone) = play(&shared, &[ALONE])?;
    let of_alone = alone.into_iter().filter(|result| result["exchange"].as_str().is_some_and(|name| name.starts_with(ALONE)));
    results.extend(of_alone);
    told.push_str(&told_alone);
    judge(&all, &results, &told)
}

/// Plays some scenarios on a cluster of their own; answers with the results and with what the player said.
fn play(shared: &Path, scenarios: &[&str]) -> Result<(Vec<Value>, String)> {
    let cluster = cluster()?;
    let results = cluster.scratch().path().join("results.json");
    let mut replay = Command::new(tool("python3")?);
    replay.arg(shared.join("linstor/wire/replay.py")).arg("--quiet").arg("--url").arg(format!("http://{}", cluster.address()));
    for (option, satellite) in [("--node-address", "alpha"), ("--echo-address", "echo"), ("--foxtrot-address", "foxtrot")] {
        replay.arg(option).arg(cluster.satellite_address(satellite)?);
    }
    if let Some(disk) = disk(&cluster)? {
        replay.arg("--device").arg(disk);
    }
    replay.arg("--pool-dir").arg(cluster.pools()).arg("--json").arg(&results);
    replay.arg("--accepted").arg(accepted(shared, cluster.scratch().path())?);
    for scenario in scenarios {
        replay.args(["--scenario", scenario]);
    }
    let played = run_within(LIMIT, &mut replay)?;
    let text = std::fs::read_to_string(&results).with_context(|| format!("no results:\n{}\n{}", played.stdout, played.stderr))?;
    if let Some(folder) = std::env::var_os("BERTH_WIRE_RESULTS") {
        std::fs::write(Path::new(&folder).join(format!("{}-{}.json", scenarios.len(), scenarios.first().unwrap_or(&""))), &text)?;
    }
    let document: Value = serde_json::from_str(&text)?;
    Ok((document["results"].as_array().context("a list of results")?.clone(), played.stdout))
}

/// How many exchanges of a file pass.
#[derive(Debug, Default, Clone, Copy)]
struct Figures {
    all: u64,
    passed: u64,
    /// Without any rule.
    alike: u64,
    /// By a rule that says that this version lacks something.
    lacking: u64,
}

fn judge(all: &BTreeSet<String>, results: &[Value], played: &str) -> Result<()> {
    let rules = rules()?;
    let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for result in results {
        let (scenario, _) = result["exchange"].as_str().and_then(|name| name.split_once('/')).context("scenario/exchange")?;
        let reasons: Vec<&str> = result["accepted"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let ours: BTreeSet<&str> = reasons.iter().filter_map(|reason| reason.strip_prefix("ours: ")).collect();
        let lacking = rules.iter().any(|rule| rule.lacks && ours.contains(rule.reason.as_str()));
        let passed = result["ok"] == true;
        let count = figures.entry(scenario).or_default();
        count.all += 1;
        count.passed += u64::from(passed);
        count.alike += u64::from(passed && reasons.is_empty());
        count.lacking += u64::from(passed && lacking);
        used.extend(ours);
    }
    let mut together = Figures::default();
    println!("{:<24} {:>5} {:>7} {:>7} {:>8}", "file", "all", "passed", "alike", "lacking");
    for (scenario, of_file) in &figures {
        println!("{scenario:<24} {:>5} {:>7} {:>7} {:>8}", of_file.all, of_file.passed, of_file.alike, of_file.lacking);
        together.all += of_file.all;
        together.passed += of_file.passed;
        together.alike += of_file.alike;
        together.lacking += of_file.lacking;
    }
    println!("{:<24} {:>5} {:>7} {:>7} {:>8}", "together", together.all, together.passed, together.alike, together.lacking);
    for name in all {
        let is_left_out = !is_root() && name == "physical-storage";
        ensure!(is_left_out || figures.contains_key(name.as_str()), "{name} was not played:\n{played}");
    }
    for (scenario, of_file) in figures.iter().map(|(name, of_file)| (*name, of_file)).chain([("together", &together)]) {
        ensure!(of_file.passed * 100 >= of_file.all * PASSED_PERCENT_MIN, "{scenario}: {of_file:?}\n{played}");
    }
    ensure!(together.passed == together.all, "an exchange is answered otherwise, and no rule says why:\n{played}");
    let unused: Vec<&str> = rules.iter().map(|rule| rule.reason.as_str()).filter(|reason| !used.contains(reason)).collect();
    ensure!(unused.is_empty(), "no exchange needs these rules: {unused:#?}");
    Ok(())
}

#[test]
fn the_page_of_differences_tells_every_rule() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page(&rules()?);
    if std::env::var_os("BERTH_WRITE").is_some() {
        std::fs::write(&file, &page)?;
    }
    let kept = std::fs::read_to_string(&file)?;
    ensure!(kept == page, "{} is not what the rules say; BERTH_WRITE=1 writes it anew", file.display());
    Ok(())
}

fn page(rules: &[Rule]) -> String {
    let mut page = String::from(
        "# Where Berth answers otherwise than the recorded server\n\n\
         The recorded exchanges of LINSTOR 1.34 are replayed against Berth, every file of them, by the test `recorded_exchanges_are_answered_alike`.\n\
         Each difference has a rule in `tests/integration/wire-accepted.json`: one without a rule fails the test, and a rule that nothing needs fails it, too.\n\
         This page is written from the rules.\n\
         What the recordings themselves accept (`accepted.json` beside them) is not repeated here.\n",
    );
    for (title, lacks) in [("Better for the client", false), ("What this version lacks, and says so", true)] {
        write!(page, "\n## {title}\n\n| exchange | Berth | why |\n|---|---|---|\n").expect("texts take everything");
        for rule in rules.iter().filter(|rule| rule.lacks == lacks) {
            writeln!(page, "{}", rule.row()).expect("texts take everything");
        }
    }
    page.push_str(
        "\n## Without an exchange\n\n\
         All tokens have ended while they are asked for: the API stays closed, and the last token of an administrator cannot be revoked.\n\
         The end of a token must not open the API to everybody.\n\n\
         LDAP with public access: whoever does not log in reads, and changes nothing; `ldap_public_role` says otherwise.\n\
         A login that everybody can leave out protects nothing.\n",
    );
    page
}
