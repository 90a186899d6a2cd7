//! What dies, hangs or is full, and what follows: the table of failures in ARCHITECTURE.md.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Severity, is_root, note, run, within};
use serde_json::json;

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// An answer that waits for a satellite without a sign of life comes after 30 s; the rest is slack.
const ANSWER_LIMIT: Duration = Duration::from_secs(45);

/// A definition with one volume and no replica.
fn define(cluster: &Cluster, name: &str, size_kib: u64) -> Result<()> {
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    let size = json!({"volume_definition": {"size_kib": size_kib}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &size)?.ok().map(drop)
}

fn replica(pool: &str) -> serde_json::Value {
    json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": pool}}}])
}

#[test]
fn a_hanging_satellite_delays_an_answer_and_loses_nothing() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    define(&cluster, "web", SIZE_KIB)?;
    cluster.freeze("alpha", true)?;
    let from = Instant::now();
    let body = Some(replica("thin").to_string());
    let reply = cluster.rest().call_within(ANSWER_LIMIT, "POST", "/v1/resource-definitions/web/resources", body)?;
    let entries = reply.entries();
    ensure!(
        entries.iter().any(|entry| entry.severity == Severity::Warn && entry.number == 1002),
        "after {:?}: {} {}",
        from.elapsed(),
        reply.status,
        reply.text
    );
    cluster.freeze("alpha", false)?;
    cluster.device("web", "alpha")?;
    cluster.delete_all_of("web")
}

#[test]
fn a_job_goes_on_after_a_kill_of_the_controller() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    define(&cluster, "web", SIZE_KIB)?;
    // The satellite cannot act, so the kill falls between the commit and the end of the job.
    cluster.freeze("alpha", true)?;
    let rest = cluster.rest();
    let asked = std::thread::scope(|threads| {
        let asking = threads.spawn(|| rest.post("/v1/resource-definitions/web/resources", &replica("thin")));
        let committed = rest.wait_for(Duration::from_secs(20), "/v1/resource-definitions/web/resources", |list| {
            list.as_array().is_some_and(|list| !list.is_empty())
        });
        cluster.kill_controller();
        let answered = asking.join().ok().context("the request's thread ended badly")?;
        ensure!(answered.is_err(), "an answer from a killed controller");
        committed.map(drop)
    });
    cluster.freeze("alpha", false)?;
    asked?;
    cluster.start_controller()?;
    cluster.device("web", "alpha")?;
    cluster.delete_all_of("web")
}

#[test]
fn a_satellite_that_is_away_is_named_at_once() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    define(&cluster, "web", SIZE_KIB)?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions/web/resources", &replica("thin"))?.ok()?;
    cluster.kill_satellite("alpha");
    rest.wait_for(Duration::from_secs(20), "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    let from = Instant::now();
    let reply = rest.delete("/v1/resource-definitions/web")?.ok()?;
    ensure!(from.elapsed() < Duration::from_secs(5), "the answer took {:?}", from.elapsed());
    let told = reply.entries().iter().any(|entry| entry.severity == Severity::Warn && entry.number == 1002);
    ensure!(told, "{}", reply.text);
    let snapshot = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web"}}))?;
    ensure!(snapshot.status == 201, "the name of a deleted object is free at once: {} {}", snapshot.status, snapshot.text);
    Ok(())
}

#[test]
fn a_full_pool_is_named_and_nothing_stays() -> Result<()> {
    if !is_root() {
        note("a small file system needs root");
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let folder = small_pool(&cluster)?;
    define(&cluster, "big", 4 * SIZE_KIB)?;
    let reply = cluster.rest().post("/v1/resource-definitions/big/resources", &replica("small"))?;
    ensure!(reply.errors().contains(&980), "{} {}", reply.status, reply.text);
    cluster.delete_all_of("big")?;
    within(Duration::from_secs(20), "the pool is empty", || match std::fs::read_dir(&folder).map(Iterator::count) {
        Ok(0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_pool_without_reflinks_refuses_snapshots() -> Result<()> {
    if !is_root() {
        note("a file system without reflinks needs root");
        return Ok(());
    }
    let cluster = Cluster::with_nodes(&["alpha"])?;
    small_pool(&cluster)?;
    define(&cluster, "web", SIZE_KIB)?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions/web/resources", &replica("small"))?.ok()?;
    cluster.device("web", "alpha")?;
    rest.post("/v1/resource-definitions/web/snapshots", &json!({"name": "s1"}))?.refused(994)?;
    let left = rest.get("/v1/view/snapshots?resources=web")?.ok()?;
    ensure!(left.json == json!([]), "{}", left.text);
    cluster.delete_all_of("web")
}

/// A pool `small` of thick files on a file system of 48 MiB without reflinks.
fn small_pool(cluster: &Cluster) -> Result<PathBuf> {
    let folder = cluster.scratch().small_dir(48)?.join("pool");
    std::fs::create_dir(&folder)?;
    let pool = json!({"storage_pool_name": "small", "provider_kind": "FILE", "props": {"StorDriver/StorPoolName": folder}});
    cluster.rest().post("/v1/nodes/alpha/storage-pools", &pool)?.ok()?;
    Ok(folder)
}

#[test]
fn a_controller_comes_back_while_a_volume_is_in_use() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", 4 * SIZE_KIB)?;
    run("mkfs.ext4", &[Path::new("-q"), &device])?.ok()?;
    let mount = cluster.scratch().sub("mnt")?;
    run("mount", &[&device, &mount])?.ok()?;
    cluster.kill_controller();
    cluster.kill_satellite("alpha");
    std::fs::write(mount.join("meanwhile"), "written with nobody there")?;
    cluster.start_satellite("alpha", &[])?;
    cluster.start_controller()?;
    cluster.wait_online("alpha")?;
    ensure!(cluster.device("web", "alpha")? == device, "a volume in use keeps its device");
    ensure!(std::fs::read_to_string(mount.join("meanwhile"))? == "written with nobody there");
    run("umount", &[&mount])?.ok()?;
    Ok(())
}

#[test]
fn a_lost_node_that_comes_back_keeps_its_data() -> Result<()> {
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    define(&cluster, "web", SIZE_KIB)?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions/web/resources", &replica("thin"))?.ok()?;
    let file = cluster.pool_dir("alpha").join("web_00000.img");
    ensure!(file.exists(), "{}", file.display());
    cluster.kill_satellite("alpha");
    rest.wait_for(Duration::from_secs(20), "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    rest.delete("/v1/nodes/alpha/lost")?.ok()?;
    cluster.start_satellite("alpha", &[])?;
    cluster.join("alpha")?;
    let place = cluster.pool_dir("alpha");
    let pool = json!({"storage_pool_name": "thin", "provider_kind": "FILE_THIN", "props": {"StorDriver/StorPoolName": place}});
    rest.post("/v1/nodes/alpha/storage-pools", &pool)?.ok()?;
    // The new node's plan has been worked on when a new volume of the same name is there.
    rest.post("/v1/resource-definitions/web/resources", &replica("thin"))?.ok()?;
    ensure!(file.exists(), "the old node's volume was removed from the new one");
    ensure!(std::fs::read_dir(&place)?.count() > 1, "the new volume stands beside it");
    Ok(())
}
