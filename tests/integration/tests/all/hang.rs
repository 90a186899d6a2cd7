//! A daemon that stands still (SIGSTOP) delays nobody else, and goes on where it stopped.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Dice, Group, Load, count, is_root, lasts, note};
use serde_json::json;

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// Longer than the silence after which a satellite counts as lost.
const SILENT_S: u32 = 6;

/// Time to go on after standing still.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// Clients while daemons stand still.
const CLIENTS: usize = 4;

const REAL: Group = Group { name: "real", devices: true };

/// The lists that everybody looks at.
const LISTS: [&str; 8] = [
    "/v1/nodes",
    "/v1/view/storage-pools",
    "/v1/view/resources",
    "/v1/view/snapshots",
    "/v1/resource-definitions?with_volume_definitions=true",
    "/v1/berth/jobs",
    "/metrics",
    "/v1/controller/version",
];

/// Whether the process stands still.
fn stands_still(pid: u32) -> Result<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}

/// Makes, changes and removes a volume on each of these nodes; what needs another node would never end.
fn work_on(cluster: &Cluster, nodes: &[&str], round: u32) -> Result<()> {
    for node in nodes {
        let name = format!("on-{node}-{round}");
        cluster.make_volume(&name, node, SIZE_KIB)?;
        cluster.rest().put(&format!("/v1/resource-definitions/{name}/volume-definitions/0"), &json!({"size_kib": 2 * SIZE_KIB}))?.ok()?;
        cluster.rest().post(&format!("/v1/resource-definitions/{name}/snapshots"), &json!({"name": "s1"}))?.ok()?;
        cluster.delete_all_of(&name)?;
    }
    Ok(())
}

#[test]
fn a_hanging_satellite_slows_no_list_and_no_other_node() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha", "beta", "gamma"])?;
    let device = cluster.make_volume("held", "alpha", SIZE_KIB)?;
    let pid = cluster.satellite("alpha")?.pid();
    cluster.freeze("alpha", true)?;
    // Each answer below arrives while the satellite stands still, so none of them has waited for it.
    let answers = |round: u32| -> Result<()> {
        for list in LISTS {
            let reply = cluster.rest().get(list)?;
            ensure!(reply.status == 200, "{list}: {} {}", reply.status, reply.text);
        }
        work_on(&cluster, &["beta", "gamma"], round)?;
        ensure!(stands_still(pid)?, "the satellite has gone on");
        Ok(())
    };
    answers(0).context("before the silence is noticed")?;
    cluster.wait_offline("alpha")?;
    answers(1).context("after the silence was noticed")?;
    // What is not seen any more is not shown as if it were.
    let resources = cluster.rest().get("/v1/view/resources?resources=held")?.ok()?;
    let held = &resources.json[0];
    ensure!(held["name"] == "held", "{}", resources.text);
    ensure!(held["state"]["in_use"].is_null(), "a state that nobody sees: {}", resources.text);
    // An answer that needs it says at once that it goes on later.
    let asked = cluster.rest().put("/v1/resource-definitions/held/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?;
    ensure!(stands_still(pid)?, "the satellite has gone on");
    ensure!(asked.entries().iter().any(|entry| [995, 1002].contains(&entry.number)), "{} {}", asked.status, asked.text);
    cluster.freeze("alpha", false)?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    ensure!(cluster.device("held", "alpha")? == device, "the volume has another device");
    cluster.delete_all_of("held")
}

#[test]
fn daemons_that_stood_still_go_on_without_a_restart() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let dice = Dice::seeded("daemons that stand still");
    let mut cluster = Cluster::with_nodes(&["alpha", "beta"])?;
    Load::make_groups(&cluster, &[REAL])?;
    let load = Load::new(cluster.rest(), CLIENTS, &[REAL]);
    let span = Duration::from_secs(u64::from(count(SILENT_S, 60)));
    load.during(&dice, || {
        load.wait_for_more(10)?;
        cluster.freeze("alpha", true)?;
        lasts(span);
        load.check()?;
        cluster.freeze("alpha", false)?;
        cluster.wait_online("alpha")?;
        load.wait_for_more(10)?;
        cluster.freeze_controller(true)?;
        lasts(span);
        cluster.freeze_controller(false)?;
        load.wait_for_more(10)?;
        cluster.wait_online("alpha")?;
        cluster.wait_online("beta")?;
        load.check()?;
        // Both, and one of them earlier.
        cluster.freeze("alpha", true)?;
        cluster.freeze_controller(true)?;
        lasts(span);
        cluster.freeze_controller(false)?;
        load.wait_for_more(1)?;
        cluster.freeze("alpha", false)?;
        cluster.wait_online("alpha")?;
        load.wait_for_more(10)
    })?;
    println!("a satellite, the controller, and both stood still for {} s each: {}", span.as_secs(), load.counted());
    load.settle(&cluster)?;
    load.delete_everything(&cluster)?;
    Ok(())
}
