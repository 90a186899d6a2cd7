//! What an operator meets at three in the morning: full and read-only disks, folders that are gone, two of what there may be
//! one of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, Reply, Rest, berth, is_root, linstor, mark, marked, note, run, run_within, size_bytes, within};
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

/// A cluster with the node `alpha`, and a volume `web` on it that holds data.
fn with_data(cluster: Cluster) -> Result<(Cluster, PathBuf)> {
    let device = cluster.make_volume("web", "alpha", SIZE_KIB)?;
    mark(&device, "data")?;
    Ok((cluster, device))
}

/// Asks for a replica of a new resource on `alpha`.
fn ask_for(rest: &Rest, name: &str) -> Result<Reply> {
    let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    let volume = json!({"volume_definition": {"size_kib": SIZE_KIB}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]);
    rest.post(&format!("/v1/resource-definitions/{name}/resources"), &replica)
}

fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    within(SYNC_LIMIT, "nothing is left", || match cluster.leftovers() {
        Ok(left) if left.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
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
    let (mut cluster, device) = with_data(Cluster::with_nodes(&["alpha"])?)?;
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
    nothing_is_left(&cluster)
}

#[test]
fn a_satellite_without_its_data_folder_finds_its_volumes_again() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let (mut cluster, device) = with_data(Cluster::with_nodes(&["alpha"])?)?;
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
    nothing_is_left(&cluster)
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
    let (mut cluster, device) = with_data(cluster)?;
    let filler = small.join("filler");
    let filled = run("dd", &["if=/dev/zero", &format!("of={}", filler.display()), "bs=64k"])?;
    ensure!(filled.stderr.contains("No space left"), "{filled:?}");
    let rest = cluster.rest();
    // The last block of the plan's file has room for some plans.
    let mut names = vec!["web".to_owned()];
    let reply = loop {
        let name = format!("late-{}", names.len());
        ensure!(names.len() < LAST_BLOCK_MAX, "a full disk takes plan after plan");
        let reply = ask_for(&rest, &name)?;
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
    nothing_is_left(&cluster)
}

#[test]
fn a_pool_that_is_read_only_for_a_while_is_named_and_used_again() -> Result<()> {
    if !is_root() {
        note("mounting needs root");
        return Ok(());
    }
    let (cluster, _) = with_data(Cluster::with_nodes(&["alpha"])?)?;
    let pool = cluster.pool_dir("alpha");
    run("mount", &[Path::new("--bind"), &pool, &pool])?.ok()?;
    run("mount", &[Path::new("-o"), Path::new("remount,bind,ro"), &pool])?.ok()?;
    let rest = cluster.rest();
    for (what, reply) in [
        ("create", ask_for(&rest, "late")?),
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
    nothing_is_left(&cluster)
}

/// What everybody who asks is told of a node whose satellite runs and can take no plan.
fn alpha_says(cluster: &mut Cluster, words: &[&str]) -> Result<()> {
    let has = |text: &str| words.iter().find(|word| !text.contains(*word)).map_or(Ok(()), |word| Err(format!("no {word:?} in {text}")));
    let node = cluster.rest().wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "FULL_SYNC_FAILED")?;
    has(node["berth"]["reason"].as_str().unwrap_or_default()).map_err(anyhow::Error::msg)?;
    // The table breaks the reason into lines, with the frame between.
    let table = linstor(cluster.address(), &["--no-utf8", "node", "list"])?.ok()?;
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != '|').collect::<String>();
    ensure!(words.iter().all(|word| letters(&table).contains(&letters(word))), "{words:?}:\n{table}");
    let mut why = Command::new(berth()?);
    why.args(["why", "--controllers", cluster.address(), "node", "alpha"]);
    has(&run_within(SYNC_LIMIT, &mut why)?.ok()?).map_err(anyhow::Error::msg)?;
    let jobs = cluster.rest().wait_for(SYNC_LIMIT, "/v1/berth/jobs?blocked=true", |jobs| jobs[0]["blockers"].is_array())?;
    let blocker = &jobs[0]["blockers"][0];
    has(&format!("{} {}", blocker["cause"], blocker["way_out"])).map_err(anyhow::Error::msg)?;
    let controller = cluster.controller()?;
    within(SYNC_LIMIT, "the controller's log says why", || has(&controller.log_text()))
}

#[test]
fn a_satellite_that_cannot_use_its_data_folder_says_why_and_goes_on_by_itself() -> Result<()> {
    if !is_root() {
        note("mounting needs root");
        return Ok(());
    }
    let (mut cluster, device) = with_data(Cluster::with_nodes(&["alpha"])?)?;
    let data = cluster.satellite_data("alpha")?;
    cluster.kill_satellite("alpha");
    let rest = cluster.rest();
    rest.wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| node["connection_status"] == "OFFLINE")?;
    // Something that waits for it.
    rest.put("/v1/resource-definitions/web/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB}))?;
    // A file that is not what was written.
    let (identity, kept) = (data.join("identity.json"), data.join("kept"));
    fs::rename(&identity, &kept)?;
    fs::write(&identity, "{torn")?;
    cluster.start_satellite("alpha", &[]).context("it starts, to say why it can do nothing")?;
    alpha_says(&mut cluster, &["identity.json cannot be used", "cannot be read", "Move the file away"])?;
    ensure!(marked(&device, 4)? == "data", "what is served is no longer served");
    // Another reason takes its place.
    run("mount", &[Path::new("--bind"), &data, &data])?.ok()?;
    run("mount", &[Path::new("-o"), Path::new("remount,bind,ro"), &data])?.ok()?;
    let place = data.to_str().context("a plain path")?;
    cluster.rest().wait_for(SYNC_LIMIT, "/v1/nodes/alpha", |node| {
        node["berth"]["reason"].as_str().is_some_and(|why| why.contains("Read-only file system"))
    })?;
    alpha_says(&mut cluster, &[place, "Read-only file system", "Mount its file system writable"])?;
    run("umount", &[&data])?.ok()?;
    fs::rename(&kept, &identity)?;
    // Nobody restarts it.
    cluster.wait_in_sync(SYNC_LIMIT)?;
    ensure!(marked(&device, 4)? == "data" && size_bytes(&device)? == 2 * SIZE_KIB * 1024);
    cluster.delete_all_of("web")?;
    nothing_is_left(&cluster)
}
