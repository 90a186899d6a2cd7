//! Volumes on a live satellite: thin files behind loop devices of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, POOL, Rest, Samples, lasts, within};
use serde_json::json;

use crate::bench::{Bench, ms, timed, times};
use crate::clients::{CLIENTS, delete, make_group, spawn, together};
use crate::machine::{idle_cpu, rss_mib};

const NODE: &str = "alpha";
/// Volumes that each time is measured with.
const EACH: usize = 30;
/// Volumes at once.
const BURST: usize = 30;
/// Volumes beside which the later figures are measured.
const OTHERS: usize = 300;
/// Unchanged volumes of the satellite that starts again.
const UNCHANGED: usize = 500;
const RESTARTS: usize = 3;
/// Until a satellite has looked at the last uses of devices, twice ten seconds after them.
const QUIET: Duration = Duration::from_secs(21);
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(20);
const LISTS: usize = 30;
/// Longest restart.
const BACK_LIMIT: Duration = Duration::from_secs(120);

const IDS: [&str; 10] = [
    "satellite_rss_idle",
    "satellite_rss_300",
    "spawn_0",
    "spawn_300",
    "burst_30",
    "snapshot",
    "delete",
    "list_hanging",
    "idle_controller",
    "idle_satellite",
];

fn one_node() -> Result<Cluster> {
    let cluster = Cluster::with_nodes(&[NODE])?;
    make_group(&cluster.rest(), POOL, 1, &["STORAGE"])?;
    Ok(cluster)
}

/// Spawns a volume and opens its device.
fn usable(cluster: &Cluster, name: &str) -> Result<()> {
    spawn(&cluster.rest(), name)?;
    // Its stable path, which is known beforehand: a platform's plugin would ask for nothing more.
    let path = cluster.dev_dir(NODE)?.join("by-res").join(name).join("0");
    fs::File::open(&path).with_context(|| format!("{} cannot be opened", path.display()))?;
    Ok(())
}

/// Spawns so many by 16 clients.
fn many(cluster: &Cluster, prefix: &str, count: usize) -> Result<()> {
    together(CLIENTS, count, |at| usable(cluster, &format!("{prefix}_{at}"))).map(drop)
}

/// Measures what needs one satellite and some hundred volumes.
pub fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants(&IDS) {
        return Ok(());
    }
    bench.tell("one satellite with loop devices");
    let mut cluster = one_node()?;
    bench.add("satellite_rss_idle", rss_mib(cluster.satellite(NODE)?.pid())?)?;
    let each = bench.count(EACH);
    bench.add("spawn_0", times(each, |at| usable(&cluster, &format!("alone_{at}")))?)?;
    let snap = |at: usize| {
        let path = format!("/v1/resource-definitions/alone_{at}/snapshots");
        cluster.rest().post(&path, &json!({"name": "snap"}))?.ok().map(drop)
    };
    bench.add("snapshot", times(each, snap)?)?;
    let burst = bench.count(BURST);
    bench.add("burst_30", timed(|| together(burst, burst, |at| usable(&cluster, &format!("burst_{at}"))).map(drop))?)?;
    if !bench.wants(&["satellite_rss_300", "spawn_300", "delete", "list_hanging", "idle_controller", "idle_satellite"]) {
        return Ok(());
    }
    many(&cluster, "other", bench.count(OTHERS).saturating_sub(each + burst))?;
    bench.add("spawn_300", times(each, |at| usable(&cluster, &format!("late_{at}")))?)?;
    bench.add("delete", times(each, |at| delete(&cluster.rest(), &format!("late_{at}")))?)?;
    if bench.wants(&["idle_controller", "idle_satellite"]) {
        let pids = [cluster.controller()?.pid(), cluster.satellite(NODE)?.pid()];
        lasts(QUIET);
        let used = idle_cpu(&pids, IDLE)?;
        for (id, used) in ["idle_controller", "idle_satellite"].into_iter().zip(used) {
            bench.add(id, used)?;
        }
    }
    let rss = rss_mib(cluster.satellite(NODE)?.pid())?;
    bench.add("satellite_rss_300", rss)?;
    if bench.wants(&["list_hanging"]) {
        list_hanging(bench, &mut cluster)?;
    }
    Ok(())
}

/// The list while the satellite is stopped: at once, and when its states have become unknown.
fn list_hanging(bench: &mut Bench, cluster: &mut Cluster) -> Result<()> {
    let rest = cluster.rest();
    let list = |rest: &Rest| times(LISTS, |_| rest.length("/v1/view/resources").map(drop));
    let before = list(&rest)?;
    cluster.freeze(NODE, true)?;
    let hanging = || -> Result<(Samples, Samples, f64)> {
        let at_once = list(&rest)?;
        let from = Instant::now();
        // What is shown was seen, and says when: the states are gone, not the last good ones.
        within(BACK_LIMIT, "the states are unknown", || {
            let reply = rest.get("/v1/view/resources").map_err(|error| format!("{error:#}"))?;
            let all = reply.json.as_array().map(Vec::as_slice).unwrap_or_default();
            let unknown = all.iter().filter(|one| one["berth"]["unknown_since"].is_string()).count();
            if unknown == all.len() { Ok(()) } else { Err(format!("{unknown} of {} are unknown", all.len())) }
        })?;
        Ok((at_once, list(&rest)?, from.elapsed().as_secs_f64()))
    };
    let seen = hanging();
    cluster.freeze(NODE, false)?;
    let (at_once, unknown, after) = seen?;
    let worse = at_once.median().max(unknown.median());
    let note = format!("{:.1} ms, before {:.1} ms; \"unknown since\" after {after:.0} s", worse, before.median());
    bench.add_with("list_hanging", worse / before.median(), &note)
}

/// Measures the restart of a satellite whose volumes are as they should be.
pub fn restart(bench: &mut Bench) -> Result<()> {
    if !bench.wants(&["restart_500"]) {
        return Ok(());
    }
    let unchanged = bench.count(UNCHANGED);
    bench.tell(&format!("one satellite with {unchanged} volumes"));
    let mut cluster = one_node()?;
    many(&cluster, "unchanged", unchanged)?;
    let mut took = Vec::new();
    let mut changed = 0;
    for run in 0..RESTARTS {
        let before = look(&cluster)?;
        cluster.kill_satellite(NODE);
        cluster.wait_offline(NODE)?;
        let from = Instant::now();
        cluster.start_satellite(NODE, &[])?;
        let name = format!("after_{run}");
        within(BACK_LIMIT, "a volume can be spawned", || usable(&cluster, &name).map_err(|error| format!("{error:#}")))?;
        took.push(ms(from.elapsed()));
        let after = look(&cluster)?;
        changed += before.iter().filter(|(file, state)| after.get(*file) != Some(state)).count();
        ensure!(after.len() == before.len() + 1, "{} files before, {} after", before.len(), after.len());
    }
    bench.add_with("restart_500", Samples::new(took), &format!("{changed} files or loop devices changed"))
}

/// Each file of the pool: its inode, when it or what is known of it changed last (ns), and its loop device.
fn look(cluster: &Cluster) -> Result<BTreeMap<PathBuf, (u64, i64, i64, PathBuf)>> {
    let devices: BTreeMap<PathBuf, PathBuf> = cluster.scratch().loops().into_iter().map(|(device, file)| (file, device)).collect();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(cluster.pool_dir(NODE)).context("the pool's folder")?.flatten() {
        let (path, about) = (entry.path(), entry.metadata()?);
        if about.is_file() {
            let device = devices.get(&path).cloned().unwrap_or_default();
            found.insert(path, (about.ino(), about.ctime(), about.ctime_nsec(), device));
        }
    }
    Ok(found)
}
