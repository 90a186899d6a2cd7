//! Every operation of the API, with a request that succeeds and one that fails: each reply has the form that clients know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use berth_integration::{Case, Cluster, Line, Place, Reply, Skeleton, entries_in_form, note, play, read_cases};

const CASES: &str = include_str!("../../operations/cases.tsv");
const SHAPES: &str = include_str!("../../operations/shapes.tsv");

/// The simulated nodes of the table of operations.
const NODES: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];

/// The table of the contract that `operations/shapes.tsv` follows, row by row.
const CHAPTER: &str = "### 12.4";

/// Looks at a reply: the form of entries, and status, members and types as the skeleton of the API has them.
fn in_form(skeleton: &Skeleton, case: &Case, reply: &Reply) -> Result<()> {
    // A dry run is our own, too.
    let is_dry = case.path.contains("dry_run=");
    entries_in_form(reply, case.path.starts_with("/v1/berth/") || is_dry)?;
    if is_dry || case.is_stream || skeleton.find(&case.verb, &case.path).is_none() {
        // Every operation answers dry runs alike; what is no operation has no form but that of entries.
        return Ok(());
    }
    let faults = skeleton.faults(&case.verb, &case.path, reply.status, &reply.json);
    ensure!(faults.is_empty(), "not as skeleton.tsv says: {}", faults.join("; "));
    Ok(())
}

/// Whether an operation has a success and a failure among the cases.
#[derive(Debug, Default, Clone, Copy)]
struct Shown {
    success: bool,
    failure: bool,
}

#[test]
fn every_operation_answers_in_its_form() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&NODES)?;
    let lines = read_cases(CASES)?;
    let skeleton = Skeleton::ours()?;
    let mut shown: BTreeMap<&Place, Shown> = skeleton.operations.keys().map(|place| (place, Shown::default())).collect();
    ensure!(shown.len() > 200, "{} operations in the skeleton", shown.len());
    for line in &lines {
        let Line::Case(case) = line else { continue };
        let Some(shown) = skeleton.find(&case.verb, &case.path).and_then(|(place, _)| shown.get_mut(place)) else { continue };
        shown.success |= case.status < 400;
        shown.failure |= case.status >= 400;
    }
    let excuses = excuses(&lines);
    let mut missing = Vec::new();
    for (Place { verb, path }, shown) in &shown {
        let operation = format!("{verb} {path}");
        let excused = |what: &str| excuses.contains_key(&format!("{what} {operation}"));
        for (what, is) in [("success", shown.success), ("failure", shown.failure)] {
            match (is, excused(what)) {
                (false, false) => missing.push(format!("{operation} has no {what}")),
                (true, true) => missing.push(format!("{operation} has a {what}, and an excuse for having none")),
                (true, false) | (false, true) => {}
            }
        }
    }
    play(&cluster.rest(), cluster.address(), &lines, |case, reply| in_form(&skeleton, case, reply))?;
    ensure!(missing.is_empty(), "operations/cases.tsv lacks cases:\n{}", missing.join("\n"));
    Ok(())
}

/// Lines `# no success VERB PATH: reason`, by what they excuse.
fn excuses(lines: &[Line]) -> BTreeMap<String, String> {
    let excuse = |line: &Line| match line {
        Line::About(text) => text.strip_prefix("no ")?.split_once(": ").map(|(what, why)| (what.to_owned(), why.to_owned())),
        Line::Case(_) | Line::Wait { .. } => None,
    };
    lines.iter().filter_map(excuse).collect()
}

#[test]
fn what_the_command_line_sends_is_taken_as_it_is() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["n2", "n3", "n4", "n5"])?;
    let lines = read_cases(SHAPES)?;
    let skeleton = Skeleton::ours()?;
    play(&cluster.rest(), cluster.address(), &lines, |case, reply| in_form(&skeleton, case, reply))?;
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(contract) = std::fs::read_to_string(shared.join("linstor/contract.md")) else {
        note("no contract on this machine: whether a recorded command is missing was not looked at");
        return Ok(());
    };
    let chapter = contract.split(CHAPTER).nth(1).and_then(|rest| rest.split("\n## ").next()).context("the chapter of recorded requests")?;
    let commands: Vec<&str> = chapter.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    ensure!(commands.len() > 35, "{} recorded commands", commands.len());
    let missing: Vec<&&str> =
        commands.iter().filter(|command| !lines.iter().any(|line| matches!(line, Line::About(about) if about == *command))).collect();
    ensure!(missing.is_empty(), "recorded commands without a request in operations/shapes.tsv: {missing:#?}");
    Ok(())
}
