//! What an operator meets at three in the morning: full and read-only disks, folders that are gone, two of what there may be
//! one of.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, Rest, is_root, mark, marked, note, run, size_bytes, within};
use serde_json::json;

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// Fewer plans than this fit into what is left of a block.
const LAST_BLOCK_MAX: usize = 40;

/// Time to come to rest.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

fn copy(from: &Path, to: &Path) -> Result<()> {
    run("cp", &[Path::new("--archive"), from, to])?.ok().map(drop)
}

/// A controller on another data folder and another port.
fn controller(cluster: &Cluster, name: &str, data: &Path) -> Result<Daemon> {
    let words = ["controller".into(), "--data".into(), data.as_os_str().to_owned(), "--listen".into(), "127.0.0.1:0".into()];
    Daemon::start(cluster.scratch(), name, words)
}

#[test]
fn of_two_controllers_with_one_database_the_satellite_obeys_the_first() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    cluster.terminate_controller(SYNC_LIMIT)?;
    let data = cluster.controller_data()?;
    let twin = cluster.scratch().path().join("twin");
    copy(&data, &twin)?;
    cluster.start_controller()?;
    cluster.wait_online("alpha")?;
    // Somebody starts the copy, too: both take the same epoch.
    let second = controller(&cluster, "twin", &twin)?;
    let rest = Rest::new(second.address());
    rest.wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OTHER_CONTROLLER")?;
    // The second one has tried several times by now or never will: the first one's session has not suffered.
    ensure!(cluster.rest().get("/v1/nodes/alpha")?.json["connection_status"] == "ONLINE");
    cluster.wait_in_sync(SYNC_LIMIT)?;
    drop(second);
    // One that is started once more leads in a newer epoch: it is the one that somebody wants now.
    let third = controller(&cluster, "twin", &twin)?;
    Rest::new(third.address()).wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "ONLINE")?;
    cluster.rest().wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OTHER_CONTROLLER").map(drop)
}

#[test]
fn a_controller_moves_while_satellites_run() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "data")?;
    // Killed, not ended: its write-ahead log moves with it.
    cluster.kill_controller();
    let there = cluster.scratch().path().join("elsewhere");
    copy(&cluster.controller_data()?, &there)?;
    let moved = controller(&cluster, "moved", &there)?;
    let rest = Rest::new(moved.address());
    rest.wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "ONLINE")?;
    let volume =
        rest.wait_for(SYNC_LIMIT, "/v1/resource-definitions/web/resources/alpha/volumes/0", |volume| volume["device_path"].is_string())?;
    ensure!(volume["device_path"].as_str().map(Path::new) == Some(&device), "{volume}");
    ensure!(marked(&device, 4)? == "data");
    rest.put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?.ok()?;
    rest.delete("/v1/resource-definitions/web")?.ok()?;
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_satellite_without_its_data_folder_finds_its_volumes_again() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "data")?;
    // While it runs: it obeys nothing that it cannot remember, says why, and goes on to serve what is there.
    fs::remove_dir_all(cluster.satellite_data("alpha")?)?;
    let reply = cluster.rest().put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?;
    ensure!(reply.entries().iter().any(|entry| [995, 1002].contains(&entry.number)), "{} {}", reply.status, reply.text);
    let satellite = cluster.satellite("alpha")?;
    ensure!(satellite.runs(), "the satellite has ended");
    ensure!(satellite.log_text().contains("was removed while the satellite runs"), "{}", satellite.log_text());
    ensure!(marked(&device, 4)? == "data" && size_bytes(&device)? == SIZE_KIB * 1024);
    cluster.kill_satellite("alpha");
    fs::remove_dir_all(cluster.satellite_data("alpha")?)?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    let device = cluster.device("web", "alpha")?;
    ensure!(size_bytes(&device)? == 2 * SIZE_KIB * 1024, "what was accepted meanwhile is lost");
    ensure!(marked(&device, 4)? == "data", "the volume was made anew");
    cluster.delete_all_of("web")?;
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_data_folder_serves_one_satellite() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let words = [
        "satellite".into(),
        "--data".into(),
        cluster.satellite_data("alpha")?.into_os_string(),
        "--listen".into(),
        "127.0.0.1:0".into(),
        "--dev-dir".into(),
        cluster.dev_dir("alpha")?.into_os_string(),
    ];
    let (status, log) = Daemon::refuse(cluster.scratch(), "second", Duration::from_secs(20), words)?;
    ensure!(!status.success() && log.contains("used by another satellite"), "{status}: {log}");
    ensure!(cluster.satellite("alpha")?.runs());
    ensure!(cluster.rest().get("/v1/nodes/alpha")?.json["connection_status"] == "ONLINE");
    Ok(())
}

#[test]
fn a_satellite_whose_data_folder_is_full_goes_on_when_there_is_room() -> Result<()> {
    if !is_root() {
        note("a small file system needs root");
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    let small = cluster.scratch().small_dir(16)?;
    let data = cluster.satellite_data("alpha")?;
    run("mount", &[Path::new("--bind"), &small, &data])?.ok()?;
    cluster.add_node("alpha")?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "data")?;
    let filler = small.join("filler");
    let filled = run("dd", &["if=/dev/zero", &format!("of={}", filler.display()), "bs=64k"])?;
    ensure!(filled.stderr.contains("No space left"), "{filled:?}");
    let rest = cluster.rest();
    // The last block of the plan's file has room for some plans.
    let mut names = vec!["web".to_owned()];
    let reply = loop {
        let name = format!("late-{}", names.len());
        ensure!(names.len() < LAST_BLOCK_MAX, "a full disk takes plan after plan");
        let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}});
        rest.post("/v1/resource-definitions", &body)?.ok()?;
        let volume = json!({"volume_definition": {"size_kib": SIZE_KIB}});
        rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok()?;
        let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]);
        let reply = rest.post(&format!("/v1/resource-definitions/{name}/resources"), &replica)?;
        names.push(name);
        if reply.entries().iter().any(|entry| [995, 1002].contains(&entry.number)) {
            break reply;
        }
        reply.ok()?;
    };
    ensure!(reply.errors().is_empty(), "{} {}", reply.status, reply.text);
    ensure!(cluster.satellite("alpha")?.log_text().contains("No space left"), "{}", cluster.satellite("alpha")?.log_text());
    ensure!(cluster.satellite("alpha")?.runs(), "the satellite has ended");
    ensure!(marked(&device, 4)? == "data", "what is served is no longer served");
    // A restart on the full disk, too.
    cluster.kill_satellite("alpha");
    cluster.start_satellite("alpha", &[]).context("a start on a full disk")?;
    ensure!(marked(&device, 4)? == "data", "what is served is no longer served");
    fs::remove_file(&filler)?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    for name in &names {
        cluster.device(name, "alpha")?;
        cluster.delete_all_of(name)?;
    }
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_pool_that_is_read_only_for_a_while_is_named_and_used_again() -> Result<()> {
    if !is_root() {
        note("mounting needs root");
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "data")?;
    let pool = cluster.pool_dir("alpha");
    run("mount", &[Path::new("--bind"), &pool, &pool])?.ok()?;
    run("mount", &[Path::new("-o"), Path::new("remount,bind,ro"), &pool])?.ok()?;
    let rest = cluster.rest();
    let body = json!({"resource_definition": {"name": "late", "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    rest.post("/v1/resource-definitions/late/volume-definitions", &json!({"volume_definition": {"size_kib": SIZE_KIB}}))?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]);
    for (what, reply) in [
        ("create", rest.post("/v1/resource-definitions/late/resources", &replica)?),
        ("grow", rest.put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?),
        ("snapshot", rest.post("/v1/resource-definitions/web/snapshots", &json!({"name": "s1"}))?),
        ("delete", rest.delete("/v1/resource-definitions/web")?),
    ] {
        let named = reply.text.to_lowercase().contains("read-only");
        ensure!(named, "{what} does not say why: {} {}", reply.status, reply.text);
    }
    run("umount", &[&pool])?.ok()?;
    cluster.wait_in_sync(SYNC_LIMIT)?;
    for name in ["late", "web"] {
        if rest.get(&format!("/v1/resource-definitions/{name}"))?.status != 404 {
            cluster.delete_all_of(name)?;
        }
    }
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}
