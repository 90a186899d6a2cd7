//! What the system says of itself: what a command would do, why an object is as it is, what drifted on a real machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, berth, is_root, mark, marked, note, run};
use serde_json::json;

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;
/// A satellite looks at the whole machine when its session begins.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Berth's own words against the cluster's controller.
fn own(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let program = berth()?;
    let program = program.to_str().context("a path that is text")?;
    let all = [words, &["--controllers", cluster.address()]].concat();
    run(program, &all)?.ok()
}

#[test]
fn a_dry_run_changes_nothing_and_a_story_tells_what_was_done() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    cluster.make_volume("web", "alpha", SIZE_KIB)?;
    let rest = cluster.rest();
    let before = rest.get("/v1/berth/audit?limit=1")?.ok()?.text;
    let told = cluster.linstor(&["resource-definition", "delete", "web", "--dry-run"])?;
    ensure!(told.contains("Dry run: nothing is changed") && told.contains("remove volume 0 of 'web'"), "{told}");
    ensure!(rest.get("/v1/berth/audit?limit=1")?.ok()?.text == before, "the dry run is in the log");
    cluster.device("web", "alpha")?;

    let story = own(&cluster, &["why", "web"])?;
    for part in [
        "resource-definition web: it exists",
        "create_resource_definition by PUBLIC from 127.0.0.1:",
        "alpha: resource 'web' settled",
        "Now:",
    ] {
        ensure!(story.contains(part), "{part}: {story}");
    }
    let log = own(&cluster, &["audit", "--kind", "resource", "--name", "web/alpha", "-o", "json"])?;
    ensure!(log.contains("create_resources") && !log.contains("create_volume_definition"), "{log}");
    ensure!(own(&cluster, &["diff"])?.contains("Everything was seen as it is wanted"));

    // Nobody can say what a machine does that cannot be asked.
    cluster.kill_satellite("alpha");
    rest.wait_for(LOOK_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    let diff = own(&cluster, &["diff"])?;
    ensure!(diff.contains("unknown since"), "{diff}");
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    cluster.delete_all_of("web")
}

#[test]
fn what_a_lost_node_still_holds_is_listed_and_can_be_taken_in() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    for name in ["web", "old"] {
        let device = cluster.make_volume(name, "alpha", SIZE_KIB)?;
        mark(&device, &format!("the data of {name}"))?;
    }
    cluster.kill_satellite("alpha");
    let rest = cluster.rest();
    rest.wait_for(LOOK_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    rest.delete("/v1/nodes/alpha/lost")?.ok()?;
    for name in ["web", "old"] {
        rest.delete(&format!("/v1/resource-definitions/{name}"))?.ok()?;
    }
    // The same machine is another node now: what it holds of the old one's is nobody's.
    cluster.start_satellite("alpha", &[])?;
    cluster.join("alpha")?;
    let props = json!({"StorDriver/StorPoolName": cluster.pool_dir("alpha")});
    rest.post("/v1/nodes/alpha/storage-pools", &json!({"storage_pool_name": "thin", "provider_kind": "FILE_THIN", "props": props}))?
        .ok()?;
    let found = |count: usize| {
        rest.wait_for(LOOK_LIMIT, "/v1/berth/drift", |nodes| nodes[0]["strangers"].as_array().is_some_and(|list| list.len() == count))
    };
    let nodes = found(2)?;
    let id = |name: &str| -> Result<String> {
        let list = nodes[0]["strangers"].as_array().context("a list")?;
        let one = list.iter().find(|one| one["name"].as_str().is_some_and(|mark| mark.starts_with(name))).context("no such stranger")?;
        Ok(one["id"].as_str().context("an id")?.to_owned())
    };
    let listed = own(&cluster, &["drift"])?;
    ensure!(listed.contains(&id("web")?) && listed.contains(&id("old")?), "{listed}");
    own(&cluster, &["drift", "adopt", "alpha", "thin", &id("web")?, "web"])?;
    let device = cluster.device("web", "alpha")?;
    ensure!(marked(&device, "the data of web".len())? == "the data of web", "other data");
    let dry = own(&cluster, &["drift", "remove", "alpha", "thin", &id("old")?, "--dry-run"])?;
    ensure!(dry.contains("Dry run: nothing is changed"), "{dry}");
    own(&cluster, &["drift", "remove", "alpha", "thin", &id("old")?])?;
    found(0)?;
    let removed = json!({"node": "alpha", "pool": "thin", "id": id("old")?});
    rest.post("/v1/berth/drift/remove", &removed)?.refused(304)?;
    cluster.delete_all_of("web")?;
    ensure!(cluster.leftovers()?.is_empty(), "{:?}", cluster.leftovers()?);
    Ok(())
}

#[test]
fn a_dead_pool_is_given_up_and_its_story_told() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "the data of web")?;
    let rest = cluster.rest();
    let lost = "/v1/berth/nodes/alpha/storage-pools/thin/lost";
    rest.delete(lost)?.refused(521)?;
    // Its disk goes while nobody looks.
    cluster.kill_satellite("alpha");
    rest.wait_for(LOOK_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    rest.delete(lost)?.refused(521)?;
    let (folder, away) = (cluster.pool_dir("alpha"), cluster.pools().join("away"));
    std::fs::rename(&folder, &away)?;
    cluster.start_satellite("alpha", &[])?;
    cluster.wait_online("alpha")?;
    rest.wait_for(LOOK_LIMIT, "/v1/nodes/alpha/storage-pools/thin", |pool| pool["reports"].as_array().is_some_and(|all| !all.is_empty()))?;
    let dry = cluster.linstor(&["storage-pool", "lost", "alpha", "thin", "--dry-run"])?;
    ensure!(dry.contains("Dry run: nothing is changed"), "{dry}");
    rest.get("/v1/nodes/alpha/storage-pools/thin")?.ok()?;
    let told = cluster.linstor(&["storage-pool", "lost", "alpha", "thin"])?;
    ensure!(told.contains("The last copy of the data of 'web' is given up"), "{told}");
    let gone = |path: &str| -> Result<()> {
        ensure!(rest.get(path)?.status == 404, "{path} is there");
        Ok(())
    };
    gone("/v1/nodes/alpha/storage-pools/thin")?;
    gone("/v1/resource-definitions/web/resources/alpha")?;
    for object in [&["why", "storage-pool", "alpha", "thin"][..], &["why", "resource", "web", "alpha"]] {
        let story = own(&cluster, object)?;
        ensure!(story.contains("lose_stor_pool by PUBLIC"), "{story}");
    }
    // Nothing waits for the dead disk, and its definition can go.
    rest.delete("/v1/resource-definitions/web")?.ok()?;
    // Should the disk come back, what lies on it is nobody's, and is left alone.
    std::fs::rename(&away, &folder)?;
    cluster.make_pool("alpha")?;
    let one = |nodes: &serde_json::Value| nodes[0]["strangers"].as_array().is_some_and(|list| list.len() == 1);
    let nodes = rest.wait_for(LOOK_LIMIT, "/v1/berth/drift", one)?;
    let id = nodes[0]["strangers"][0]["id"].as_str().context("an id")?.to_owned();
    own(&cluster, &["drift", "adopt", "alpha", "thin", &id, "web"])?;
    let device = cluster.device("web", "alpha")?;
    ensure!(marked(&device, "the data of web".len())? == "the data of web", "other data");
    cluster.delete_all_of("web")
}
