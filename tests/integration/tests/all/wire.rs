//! Recorded exchanges, played against a fresh controller and one satellite.
//!
//! The recordings are no part of this project: they lie in the folder that `BERTH_SHARED` names, else in `shared`
//! beside the clone. Without them there is nothing to play, and the test says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, is_root, note, run_within, tool};
use serde_json::Value;

/// What this version answers.
const SCENARIOS: [&str; 12] = [
    "nodes",
    "net-interfaces",
    "storage-pools",
    "resource-groups",
    "volume-groups",
    "spawn",
    "resource-definitions",
    "volume-definitions",
    "resources",
    "volumes",
    "snapshots",
    "views",
];

/// Of one hundred exchanges, so many must be answered as recorded.
const PASSED_PERCENT_MIN: u64 = 80;

/// Time for all of it.
const LIMIT: Duration = Duration::from_secs(300);

/// The deliberate deviations: those that come with the recordings, and our own, `wire-accepted.json`.
fn accepted(shared: &Path, folder: &Path) -> Result<PathBuf> {
    let mut all: Value = serde_json::from_str(&std::fs::read_to_string(shared.join("linstor/wire/accepted.json"))?)?;
    let own: Vec<Value> = serde_json::from_str(include_str!("../../wire-accepted.json"))?;
    all["accepted"].as_array_mut().context("a list of rules")?.extend(own);
    let file = folder.join("accepted.json");
    std::fs::write(&file, all.to_string())?;
    Ok(file)
}

#[test]
fn recorded_exchanges_are_answered_alike() -> Result<()> {
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let player = shared.join("linstor/wire/replay.py");
    if !player.is_file() {
        note("no recorded exchanges on this machine: BERTH_SHARED names the folder that holds linstor/wire");
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    if is_root() {
        // The recorded satellite ran on a machine of this name, and answers show it.
        cluster.start_satellite_as_host("alpha")?;
    } else {
        cluster.start_satellite("alpha", &[])?;
    }
    let satellite = cluster.satellite("alpha")?.host_port().to_owned();
    let results = cluster.scratch().path().join("results.json");
    let mut replay = Command::new(tool("python3")?);
    replay.arg(&player).arg("--quiet").arg("--url").arg(format!("http://{}", cluster.address()));
    replay.arg("--node-address").arg(&satellite).arg("--pool-dir").arg(cluster.pools()).arg("--json").arg(&results);
    replay.arg("--accepted").arg(accepted(&shared, cluster.scratch().path())?);
    for scenario in SCENARIOS {
        replay.args(["--scenario", scenario]);
    }
    let played = run_within(LIMIT, &mut replay)?;
    let text = std::fs::read_to_string(&results).with_context(|| format!("no results:\n{}\n{}", played.stdout, played.stderr))?;
    let results: Value = serde_json::from_str(&text)?;
    let mut figures: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for result in results["results"].as_array().context("a list of results")? {
        let (scenario, _) = result["exchange"].as_str().and_then(|name| name.split_once('/')).context("scenario/exchange")?;
        let (passed, all) = figures.entry(scenario).or_default();
        *passed += u64::from(result["ok"] == true);
        *all += 1;
    }
    let (mut passed, mut all) = (0, 0);
    for (scenario, (good, played)) in &figures {
        println!("{scenario:<24} {good:>4} of {played:>4}");
        if SCENARIOS.contains(scenario) {
            passed += good;
            all += played;
        }
    }
    println!("{:<24} {passed:>4} of {all:>4}", "together");
    for scenario in SCENARIOS {
        ensure!(figures.contains_key(scenario), "{scenario} was not played:\n{}", played.stdout);
    }
    ensure!(passed * 100 >= all * PASSED_PERCENT_MIN, "only {passed} of {all} exchanges are answered as recorded:\n{}", played.stdout);
    Ok(())
}
