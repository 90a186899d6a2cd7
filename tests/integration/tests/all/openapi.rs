//! The description of the API that a controller serves: as our skeleton says, as LINSTOR's document says bar a list, and true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Dice, Skeleton, differences, note, python_with_fuzzer, run_within};
use serde_json::{Value, json};

/// Set: the skeleton is written anew from the document, for a look at what changed.
const WRITE: &str = "BERTH_SKELETON_WRITE";
/// Set: many more requests.
const LONG: &str = "BERTH_LONG";
/// Set: what requests are made of.
const SEED: &str = "BERTH_SEED";

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn served(cluster: &Cluster) -> Result<Value> {
    let reply = cluster.rest().get("/openapi.json")?;
    ensure!(reply.status == 200, "{}", reply.status);
    Ok(reply.json)
}

/// Lines that only one of two texts has, with a sign.
fn unlike(ours: &str, theirs: &str) -> Vec<String> {
    let lines =
        |text: &str| text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>();
    let (ours, theirs) = (lines(ours), lines(theirs));
    let extra = ours.difference(&theirs).map(|line| format!("only in the document: {line}"));
    extra.chain(theirs.difference(&ours).map(|line| format!("only in the skeleton: {line}"))).collect()
}

/// Test 1 of the contract: paths, verbs, parameters, documents, members, types and statuses are those of `skeleton.tsv`.
#[test]
fn the_document_is_the_skeleton() -> Result<()> {
    let cluster = Cluster::empty()?;
    let document = Skeleton::from_openapi(&served(&cluster)?)?;
    ensure!(document.dangling().is_empty(), "types that are not there: {:?}", document.dangling());
    let file = folder().join("skeleton.tsv");
    let text = fs::read_to_string(&file)?;
    if std::env::var_os(WRITE).is_some() {
        let head: String = text.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        fs::write(&file, head + &document.to_text())?;
        note("the skeleton is written anew; look at what changed");
        return Ok(());
    }
    let unlike = unlike(&document.to_text(), &Skeleton::ours()?.to_text());
    ensure!(unlike.is_empty(), "{} lines differ; {WRITE}=1 takes them over:\n{}", unlike.len(), unlike.join("\n"));
    Ok(())
}

/// A line of the overlay: a difference from LINSTOR's document that is wanted, with the reason.
struct Wanted {
    pattern: String,
    reason: String,
}

fn overlay() -> Result<Vec<Wanted>> {
    let text = fs::read_to_string(folder().join("openapi-overlay.tsv"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wanted = |line: &str| {
        let (pattern, reason) = line.split_once('\t').with_context(|| format!("no reason in '{line}'"))?;
        ensure!(reason.len() > 10, "no reason in '{line}'");
        Ok(Wanted { pattern: pattern.to_owned(), reason: reason.to_owned() })
    };
    lines.map(wanted).collect()
}

/// Whether a text is one of a pattern with `*` for anything.
fn like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// Test 2 of the contract: what differs from LINSTOR's own document stands in a list, each line with its reason.
#[test]
fn what_differs_from_linstors_document_is_listed() -> Result<()> {
    let yaml = folder().join("../../../shared/linstor/rest_v1_openapi.yaml");
    if !yaml.is_file() {
        note("NOT RUN: LINSTOR's document is not here (../shared/linstor/rest_v1_openapi.yaml)");
        return Ok(());
    }
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout, default=str)";
    let read = run_within(Duration::from_secs(60), Command::new(python_with_fuzzer()?).args(["-c", script]).arg(&yaml))?.ok()?;
    let theirs = Skeleton::from_openapi(&serde_json::from_str(&read)?)?;
    let found = differences(&theirs, &Skeleton::ours()?);
    let overlay = overlay()?;
    let unlisted: Vec<&String> = found.iter().filter(|line| !overlay.iter().any(|wanted| like(line, &wanted.pattern))).collect();
    let idle = overlay.iter().filter(|wanted| !found.iter().any(|line| like(line, &wanted.pattern)));
    let idle: Vec<String> = idle.map(|wanted| format!("{} ({})", wanted.pattern, wanted.reason)).collect();
    ensure!(unlisted.is_empty(), "{} differences are not listed in openapi-overlay.tsv:\n{}", unlisted.len(), lines(&unlisted));
    ensure!(idle.is_empty(), "lines of openapi-overlay.tsv that fit nothing any more:\n{}", idle.join("\n"));
    note(&format!("{} differences from LINSTOR's document, all of them listed", found.len()));
    Ok(())
}

fn lines(list: &[&String]) -> String {
    list.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_pattern_fits_what_it_says() {
    for (text, pattern, fits) in [
        ("abc", "abc", true),
        ("abc", "a*", true),
        ("abc", "*c", true),
        ("abc", "a*b*c", true),
        ("abc", "*", true),
        ("abc", "ab", false),
        ("abc", "*b", false),
        ("abc", "a*d*c", false),
    ] {
        assert_eq!(like(text, pattern), fits, "{text} {pattern}");
    }
}

/// The table in docs/api.md has every operation, and none that is not there.
#[test]
fn the_table_of_operations_is_whole() -> Result<()> {
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    let skeleton = Skeleton::ours()?;
    let order = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for place in skeleton.operations.keys() {
        match rows.last_mut().filter(|(path, _)| *path == place.path) {
            Some((_, verbs)) => verbs.push(&place.verb),
            None => rows.push((place.path.clone(), vec![&place.verb])),
        }
    }
    let row = |(path, mut verbs): (String, Vec<&str>)| {
        verbs.sort_by_key(|verb| order.iter().position(|one| one == verb));
        format!("| `{path}` | {} |", verbs.join(", "))
    };
    let wanted: BTreeSet<String> = rows.into_iter().map(row).collect();
    let text = fs::read_to_string(folder().join("../../docs/api.md"))?;
    let there: Vec<String> = text.lines().filter(|line| line.starts_with("| `/")).map(str::to_owned).collect();
    let there_once: BTreeSet<String> = there.iter().cloned().collect();
    let missing: Vec<&String> = wanted.difference(&there_once).collect();
    let extra: Vec<&String> = there_once.difference(&wanted).collect();
    ensure!(missing.is_empty() && extra.is_empty(), "docs/api.md lacks:\n{}\nand has too much:\n{}", lines(&missing), lines(&extra));
    ensure!(there.len() == there_once.len(), "docs/api.md has a row twice");
    Ok(())
}

/// Everything that the requests are about.
fn furnish(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    for (method, path, body) in [
        // First: a group that has definitions takes no further volume group.
        ("POST", "/v1/resource-groups/DfltRscGrp/volume-groups", json!({})),
        (
            "POST",
            "/v1/resource-groups/DfltRscGrp/spawn",
            json!({ "resource_definition_name": "web", "volume_sizes": [8192], "select_filter": { "place_count": 2 } }),
        ),
        ("POST", "/v1/resource-definitions/web/snapshots", json!({ "name": "one" })),
        ("PUT", "/v1/key-value-store/notes", json!({ "override_props": { "a": "b" } })),
        ("PUT", "/v1/files/%2Fetc%2Fdrbd.d%2Fx.res", json!({ "content": "eA==" })),
        ("POST", "/v1/controller/properties", json!({ "override_props": { "Aux/site": "one" } })),
    ] {
        let reply = rest.call(method, path, Some(body.to_string()))?;
        ensure!(reply.status < 300, "{method} {path}: {} {}", reply.status, reply.text);
    }
    Ok(())
}

/// The seed of the requests that a short run makes.
const USUAL_SEED: u64 = 1;

/// schemathesis: every operation is asked; no undeclared status, no undeclared form, no failure without words; then no panic and no error
/// report.
#[test]
fn requests_made_of_the_document_are_answered_as_it_says() -> Result<()> {
    let is_long = std::env::var_os(LONG).is_some();
    // A short run makes the same requests each time, a long one others, and says of which seed.
    let (examples, seconds) = if is_long { (8, 1800) } else { (1, 50) };
    let seed = if is_long || std::env::var_os(SEED).is_some() { Dice::seeded("schemathesis").draw() >> 32 } else { USUAL_SEED };
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["alpha", "bravo", "charlie"])?;
    furnish(&cluster)?;
    let python = python_with_fuzzer()?;
    let script: PathBuf = folder().join("python/fuzz_openapi.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .args([format!("http://{}", cluster.address()), examples.to_string(), seconds.to_string(), seed.to_string()])
        .current_dir(cluster.scratch().path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HOME", cluster.scratch().path());
    let told = run_within(Duration::from_secs(seconds + 240), &mut command)?.ok()?;
    print!("{told}");
    // Error reports may have been deleted by a request; what was written to the log may not.
    let metrics = cluster.rest().get("/metrics")?;
    let panics: Vec<&str> = metrics.text.lines().filter(|line| line.starts_with("berth_panics")).collect();
    ensure!(!panics.is_empty() && panics.iter().all(|line| line.ends_with(" 0") || line.ends_with(" 0.0")), "{panics:?}");
    Ok(())
}
