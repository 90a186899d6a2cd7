//! What an operator does with volumes, on real devices.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use berth_integration::{Cluster, berth, is_root, mark, marked, note, run, run_within, size_bytes, within};
use serde_json::json;

/// 64 MiB.
const SIZE_KIB: u64 = 64 * 1024;

fn without_root() -> bool {
    if !is_root() {
        note("no real devices without root");
    }
    !is_root()
}

#[test]
fn a_volume_is_made_grown_and_deleted() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    ensure!(size_bytes(&device)? == SIZE_KIB * 1024, "{} has {} bytes", device.display(), size_bytes(&device)?);
    mark(&device, "kept over growth")?;
    cluster.rest().put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?.ok()?;
    within(Duration::from_secs(20), "the device has grown", || match size_bytes(&device) {
        Ok(size) if size == 2 * SIZE_KIB * 1024 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    ensure!(marked(&device, 16)? == "kept over growth");
    cluster.rest().put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": SIZE_KIB}))?.refused(206)?;
    ensure!(size_bytes(&device)? == 2 * SIZE_KIB * 1024);
    cluster.delete_all_of("web")?;
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

#[test]
fn a_volume_rolls_back_to_any_of_its_snapshots() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    for state in ["one", "two", "six"] {
        mark(&device, state)?;
        rest.post("/v1/resource-definitions/web/snapshots", &json!({"name": format!("at-{state}")}))?.ok()?;
    }
    mark(&device, "end")?;
    for state in ["one", "six", "two"] {
        rest.post(&format!("/v1/resource-definitions/web/snapshot-rollback/at-{state}"), &json!({}))?.ok()?;
        let device = cluster.device("web", "alpha")?;
        ensure!(marked(&device, 3)? == state, "after the rollback to at-{state}: {:?}", marked(&device, 3)?);
    }
    cluster.delete_all_of("web")?;
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

#[test]
fn a_snapshot_is_restored_and_a_volume_cloned() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "first")?;
    rest.post("/v1/resource-definitions/web/snapshots", &json!({"name": "s1"}))?.ok()?;
    mark(&device, "later")?;
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "copy"}}))?.ok()?;
    let to = json!({"to_resource": "copy"});
    rest.post("/v1/resource-definitions/web/snapshot-restore-volume-definition/s1", &to)?.ok()?;
    rest.post("/v1/resource-definitions/web/snapshot-restore-resource/s1", &to)?.ok()?;
    ensure!(marked(&cluster.device("copy", "alpha")?, 5)? == "first");
    rest.post("/v1/resource-definitions/web/clone", &json!({"name": "twin"}))?.ok()?;
    let state = |document: &serde_json::Value| document["status"] == "COMPLETE";
    rest.wait_for(Duration::from_secs(30), "/v1/resource-definitions/web/clone/twin", state)?;
    ensure!(marked(&cluster.device("twin", "alpha")?, 5)? == "later");
    mark(&cluster.device("twin", "alpha")?, "other")?;
    ensure!(marked(&device, 5)? == "later", "the clone and its origin share what is written");
    for name in ["twin", "copy", "web"] {
        cluster.delete_all_of(name)?;
    }
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

#[test]
fn a_stable_path_leads_to_the_device() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    let stable = cluster.dev_dir("alpha")?.join("by-res/web/0");
    ensure!(fs::canonicalize(&stable)? == fs::canonicalize(&device)?, "{} leads elsewhere", stable.display());
    cluster.delete_all_of("web")?;
    ensure!(!stable.exists());
    Ok(())
}

#[test]
fn what_carries_no_mark_is_not_touched() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let foreign = cluster.pool_dir("alpha").join("web_00000.img");
    fs::write(&foreign, "somebody else's")?;
    let rest = cluster.rest();
    let body = json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    rest.post("/v1/resource-definitions/web/volume-definitions", &json!({"volume_definition": {"size_kib": SIZE_KIB}}))?.ok()?;
    // Whether the replica gets a file of another name or is refused: the foreign file stays as it is.
    rest.post("/v1/resource-definitions/web/resources", &json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]))?;
    cluster.kill_satellite("alpha");
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    rest.delete("/v1/resource-definitions/web")?;
    rest.wait_for(Duration::from_secs(20), "/v1/resource-definitions", |list| list.as_array().is_some_and(Vec::is_empty))?;
    ensure!(fs::read_to_string(&foreign)? == "somebody else's");
    Ok(())
}

#[test]
fn a_device_in_use_is_not_deleted() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    run("mkfs.ext4", &[Path::new("-q"), &device])?.ok()?;
    let mount = cluster.scratch().sub("mnt")?;
    run("mount", &[&device, &mount])?.ok()?;
    let rest = cluster.rest();
    let in_use = |document: &serde_json::Value| document["state"]["in_use"] == true;
    rest.wait_for(Duration::from_secs(20), "/v1/resource-definitions/web/resources/alpha", in_use)?;
    rest.delete("/v1/resource-definitions/web")?.refused(997)?;
    ensure!(mount.join("lost+found").exists());
    run("umount", &[&mount])?.ok()?;
    rest.wait_for(Duration::from_secs(20), "/v1/resource-definitions/web/resources/alpha", |document| !in_use(document))?;
    cluster.delete_all_of("web")
}

#[test]
fn attach_and_detach_work_without_the_controller() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "offline")?;
    cluster.kill_controller();
    cluster.kill_satellite("alpha");
    for (device, _) in cluster.scratch().loops() {
        run("losetup", &[Path::new("--detach"), &device])?.ok()?;
    }
    cluster.start_satellite("alpha", &[])?;
    let stable = cluster.dev_dir("alpha")?.join("by-res/web/0");
    let there = || {
        within(Duration::from_secs(20), "the volume is attached", || match marked(&stable, 7) {
            Ok(text) if text == "offline" => Ok(()),
            other => Err(format!("{other:?}")),
        })
    };
    local(&cluster, &["attach", "web"])?;
    there()?;
    local(&cluster, &["detach", "web"])?;
    ensure!(!stable.exists() && cluster.scratch().loops().is_empty(), "still attached: {:?}", cluster.scratch().loops());
    local(&cluster, &["attach", "web"])?;
    there()
}

/// Asks the satellite on this machine, past the controller.
fn local(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let mut command = Command::new(berth()?);
    command.arg("local").args(words).arg("--data").arg(cluster.scratch().sub("satellite-alpha")?);
    run_within(Duration::from_secs(30), &mut command)?.ok()
}

#[test]
fn a_thick_volume_takes_its_room_at_once() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let folder = cluster.scratch().sub("thick")?;
    let pool = json!({"storage_pool_name": "thick", "provider_kind": "FILE", "props": {"StorDriver/StorPoolName": folder}});
    let rest = cluster.rest();
    rest.post("/v1/nodes/alpha/storage-pools", &pool)?.ok()?;
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "db", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    rest.post("/v1/resource-definitions/db/volume-definitions", &json!({"volume_definition": {"size_kib": SIZE_KIB}}))?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thick"}}}]);
    rest.post("/v1/resource-definitions/db/resources", &replica)?.ok()?;
    let device = cluster.device("db", "alpha")?;
    ensure!(size_bytes(&device)? == SIZE_KIB * 1024);
    let used: u64 = fs::read_dir(&folder)?.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.blocks() * 512).sum();
    ensure!(used >= SIZE_KIB * 1024, "{used} bytes are taken");
    cluster.delete_all_of("db")
}

#[test]
fn a_deleted_volume_stays_deleted_on_a_node_that_was_away() -> Result<()> {
    if without_root() {
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    cluster.make_volume("web", "alpha", SIZE_KIB)?;
    cluster.kill_satellite("alpha");
    let rest = cluster.rest();
    rest.wait_for(Duration::from_secs(20), "/v1/nodes/alpha", |node| node["connection_status"] != "ONLINE")?;
    rest.delete("/v1/resource-definitions/web")?.ok()?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    within(Duration::from_secs(30), "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
}
