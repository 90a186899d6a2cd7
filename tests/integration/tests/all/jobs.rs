//! Jobs of real daemons: what blocks them, cancel, retry, and evacuations that outlive their controller.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Finished, Reply, berth, is_root, note, run, run_within, within};
use serde_json::{Value, json};

/// Time for a job of a real satellite to end.
const LIMIT: Duration = Duration::from_secs(40);

/// `berth job …` against the cluster's controller.
fn job(cluster: &Cluster, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.arg("job").args(words).env("LS_CONTROLLERS", cluster.address());
    run_within(LIMIT, &mut command)
}

/// Begins to make a replica of `name` in the pool, and fills the pool's file system before the satellite can act. Answers with the id
/// of the job that is blocked then.
fn blocked(cluster: &mut Cluster, name: &str, filler: &Path) -> Result<String> {
    let rest = cluster.rest();
    let definition = json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &definition)?.ok()?;
    let volume = json!({"volume_definition": {"size_kib": 24 * 1024}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok()?;
    cluster.freeze("alpha", true)?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "small"}}}]);
    let path = format!("/v1/resource-definitions/{name}/resources");
    let asked = std::thread::scope(|threads| -> Result<_> {
        let asking = threads.spawn(|| rest.post(&path, &replica));
        rest.wait_for(LIMIT, &path, |list| list.as_array().is_some_and(|list| !list.is_empty()))?;
        fs::write(filler, vec![1; 36 << 20])?;
        cluster.freeze("alpha", false)?;
        asking.join().ok().context("the request's thread ended badly")?
    })?;
    ensure!(asked.errors().contains(&980), "{} {}", asked.status, asked.text);
    let jobs = rest.get(&format!("/v1/berth/jobs?resource={name}&blocked=true&task=create&node=alpha"))?.ok()?.json;
    ensure!(jobs.as_array().is_some_and(|jobs| jobs.len() == 1), "{jobs}");
    let (found, blocker) = (&jobs[0], &jobs[0]["blockers"][0]);
    ensure!(found["blocked"] == true && blocker["kind"] == "no_space" && blocker["node_name"] == "alpha", "{found}");
    ensure!(blocker["seen_timestamp"].as_i64().is_some_and(|at| at > 0), "{blocker}");
    let id = found["uuid"].as_str().context("an id")?.to_owned();
    let way_out = blocker["way_out"].as_str().unwrap_or_default();
    ensure!(way_out.contains(&format!("berth job retry {id}")) && way_out.contains("berth job cancel"), "{way_out}");
    Ok(id)
}

#[test]
fn a_create_at_a_full_pool_is_tried_again_or_taken_back() -> Result<()> {
    if !is_root() {
        note("a small file system needs root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    let small = cluster.scratch().small_dir(48)?;
    let (folder, filler) = (small.join("pool"), small.join("filler"));
    fs::create_dir(&folder)?;
    let pool = json!({"storage_pool_name": "small", "provider_kind": "FILE", "props": {"StorDriver/StorPoolName": folder}});
    cluster.rest().post("/v1/nodes/alpha/storage-pools", &pool)?.ok()?;

    let id = blocked(&mut cluster, "web", &filler)?;
    let listed = job(&cluster, &["list", "--blocked"])?.ok()?;
    ensure!(listed.contains(&id) && listed.contains("alpha"), "{listed}");
    let shown = job(&cluster, &["show", &id])?.ok()?;
    ensure!(shown.contains("Way out") && shown.contains("Cancel   possible"), "{shown}");
    fs::remove_file(&filler)?;
    job(&cluster, &["retry", &id])?.ok()?;
    cluster.device("web", "alpha")?;
    let none: Value = cluster.rest().get("/v1/berth/jobs")?.ok()?.json;
    ensure!(none == json!([]), "{none}");
    cluster.delete_all_of("web")?;

    let id = blocked(&mut cluster, "data", &filler)?;
    let told = job(&cluster, &["cancel", &id])?.ok()?;
    ensure!(told.contains("is cancelled"), "{told}");
    cluster.rest().wait_for(LIMIT, "/v1/resource-definitions/data/resources", |list| *list == json!([]))?;
    ensure!(fs::read_dir(&folder)?.next().is_none(), "something is left in the pool");
    let late = job(&cluster, &["cancel", &id])?;
    ensure!(late.code() == 10 && late.stderr.contains("no open job"), "{} {}", late.code(), late.stderr);
    ensure!(job(&cluster, &["show", "nonsense"])?.code() == 10);
    cluster.rest().get(&format!("/v1/berth/jobs/{id}"))?.refused(399)?;
    fs::remove_file(&filler)?;
    cluster.delete_all_of("data")
}

/// The nodes of all replicas.
fn nodes(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|replica| replica["node_name"].as_str()).collect()
}

#[test]
fn an_evacuation_outlives_its_controller() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["sim-1", "sim-2", "sim-3"])?;
    let rest = cluster.rest();
    let filter = json!({"place_count": 2, "layer_stack": ["DRBD", "STORAGE"], "node_name_list": ["sim-1", "sim-2"]});
    rest.post("/v1/resource-groups", &json!({"name": "sim", "select_filter": filter}))?.ok()?;
    for number in 0..20 {
        let spawn = json!({"resource_definition_name": format!("web{number}"), "volume_sizes": [65536]});
        rest.post("/v1/resource-groups/sim/spawn", &spawn)?.ok()?;
    }
    let all = json!({"select_filter": {"node_name_list": []}});
    rest.put("/v1/resource-groups/sim", &all)?.ok()?;
    cluster.linstor(&["node", "evacuate", "sim-1"])?;
    cluster.kill_controller();
    cluster.start_controller()?;
    let rest = cluster.rest();
    rest.wait_for(LIMIT, "/v1/view/resources", |list| {
        let nodes = nodes(list);
        nodes.len() == 40 && !nodes.contains(&"sim-1")
    })?;
    rest.wait_for(LIMIT, "/v1/berth/jobs", |list| *list == json!([]))?;
    let node = rest.get("/v1/nodes/sim-1")?.ok()?.json;
    ensure!(node["flags"] == json!(["EVACUATE"]), "{node}");
    rest.put("/v1/nodes/sim-1/restore", &json!({}))?.ok()?;
    let node = rest.get("/v1/nodes/sim-1")?.ok()?.json;
    ensure!(node["flags"].is_null(), "{node}");
    Ok(())
}

/// Mounts a device while the satellite of `node` is frozen, sends a request that would take it away, and lets the satellite go on when
/// `begun` holds: so that the controller cannot know that the device is in use.
fn asked_behind_its_back(
    cluster: &mut Cluster,
    (node, device, mount): (&str, &Path, &Path),
    request: impl FnOnce() -> Result<Reply> + Send,
    begun: impl FnOnce() -> Result<()>,
) -> Result<Reply> {
    cluster.freeze(node, true)?;
    run("mount", &[device, mount])?.ok()?;
    std::thread::scope(|threads| {
        let asking = threads.spawn(request);
        let begun = begun();
        cluster.freeze(node, false)?;
        let answer = asking.join().ok().context("the request's thread ended badly")??;
        begun.with_context(|| format!("answered: {} {}", answer.status, answer.text))?;
        Ok(answer)
    })
}

/// Gives a device a file system without opening it exclusively: the satellite would take it for in use.
fn format(cluster: &Cluster, device: &Path) -> Result<()> {
    let image = cluster.scratch().path().join("image");
    fs::File::create(&image)?.set_len(16 << 20)?;
    run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &image])?.ok()?;
    let mut from = fs::File::open(&image)?;
    let mut to = fs::OpenOptions::new().write(true).open(device)?;
    std::io::copy(&mut from, &mut to)?;
    to.sync_all().context("the device takes the file system")
}

fn unmount(mount: &Path) -> Result<()> {
    // A probe of udev's may hold the device for a moment.
    within(LIMIT, "the file system is unmounted", || run("umount", &[mount]).and_then(Finished::ok)).map(drop)
}

#[test]
fn who_holds_a_device_is_named_with_the_way_out() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha", "bravo"])?;
    let mount = cluster.scratch().sub("mnt")?;
    let at = mount.to_string_lossy().into_owned();
    let rest = cluster.rest();

    let device = cluster.make_volume("data", "alpha", 16 << 10)?;
    format(&cluster, &device)?;
    let begun = || rest.wait_for(LIMIT, "/v1/berth/jobs?resource=data", |jobs| jobs[0]["task"] == "deactivate").map(drop);
    let deactivate = || rest.post("/v1/resource-definitions/data/resources/alpha/deactivate", &json!({}));
    let refused = asked_behind_its_back(&mut cluster, ("alpha", &device, &mount), deactivate, begun)?;
    ensure!(refused.text.contains(&at), "{}", refused.text);
    refused.refused(997)?;
    ensure!(rest.get("/v1/berth/jobs")?.ok()?.json == json!([]), "a deactivation ends when the device is in use");
    unmount(&mount)?;
    cluster.delete_all_of("data")?;

    cluster.make_volume("web", "alpha", 16 << 10)?;
    let replica = json!([{"resource": {"node_name": "bravo", "props": {"StorPoolName": "thin"}, "layer_list": ["STORAGE"]}}]);
    rest.post("/v1/resource-definitions/web/resources", &replica)?.ok()?;
    let device = cluster.device("web", "bravo")?;
    format(&cluster, &device)?;
    let begun = || rest.wait_for(LIMIT, "/v1/berth/jobs?resource=web", |jobs| jobs[0]["task"] == "delete").map(drop);
    let delete = || rest.delete("/v1/resource-definitions/web");
    let told = asked_behind_its_back(&mut cluster, ("bravo", &device, &mount), delete, begun)?;
    ensure!(told.errors() == [997] && told.text.contains(&at), "{}", told.text);
    rest.wait_for(LIMIT, "/v1/berth/jobs", |list| *list == json!([]))?;
    // The other replica was down by then, and is not removed either: both are there and served again.
    rest.wait_for(LIMIT, "/v1/view/resources?resources=web", |list| nodes(list) == ["alpha", "bravo"])?;
    cluster.device("web", "alpha")?;
    unmount(&mount)?;
    cluster.delete_all_of("web")?;
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}

/// A deletion that cannot be taken back (it ended a creation that was not finished) waits for whoever holds the device.
#[test]
fn a_job_that_waits_for_a_holder_names_it_and_ends_when_it_lets_go() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha", "bravo"])?;
    let mount = cluster.scratch().sub("mnt")?;
    let at = mount.to_string_lossy().into_owned();
    let rest = cluster.rest();
    let device = cluster.make_volume("web", "alpha", 16 << 10)?;
    format(&cluster, &device)?;
    cluster.kill_satellite("bravo");
    cluster.wait_offline("bravo")?;
    let replica = json!([{"resource": {"node_name": "bravo", "props": {"StorPoolName": "thin"}, "layer_list": ["STORAGE"]}}]);
    rest.post("/v1/resource-definitions/web/resources", &replica)?.ok()?;
    let begun = || rest.wait_for(LIMIT, "/v1/berth/jobs?resource=web", |jobs| jobs[0]["task"] == "delete").map(drop);
    let delete = || rest.delete("/v1/resource-definitions/web");
    let told = asked_behind_its_back(&mut cluster, ("alpha", &device, &mount), delete, begun)?;
    ensure!(told.errors() == [997] && told.text.contains(&at), "{} {}", told.status, told.text);

    let jobs = rest.wait_for(LIMIT, "/v1/berth/jobs?resource=web&blocked=true", |jobs| jobs[0]["blockers"][0]["kind"] == "in_use")?;
    let id = jobs[0]["uuid"].as_str().context("an id")?.to_owned();
    let one = rest.get(&format!("/v1/berth/jobs/{id}"))?.ok()?.json;
    let blocker = &one["blockers"][0];
    ensure!(one["task"] == "delete" && blocker["object"] == "resource web" && blocker["node_name"] == "alpha", "{one}");
    let holder = blocker["holders"].as_array().and_then(|all| all.iter().find(|one| one["kind"] == "mount")).context("a mount")?;
    // What is mounted is the loop device itself, whatever name led to it.
    let mounted = fs::canonicalize(&device)?;
    ensure!(holder["path"] == json!(at) && holder["device"] == json!(mounted), "{one}");
    let way_out = blocker["way_out"].as_str().unwrap_or_default();
    ensure!(way_out.contains(&format!("umount {at}")) && way_out.contains(&format!("berth job retry {id}")), "{way_out}");
    let shown = job(&cluster, &["show", &id])?.ok()?;
    for words in ["resource web", "alpha", at.as_str(), &mounted.to_string_lossy(), "umount", "Way out"] {
        ensure!(shown.contains(words), "{words:?} is missing in: {shown}");
    }

    unmount(&mount)?;
    job(&cluster, &["retry", &id])?.ok()?;
    rest.wait_for(LIMIT, "/v1/berth/jobs", |list| *list == json!([]))?;
    rest.get("/v1/resource-definitions/web")?.refused(301)?;
    ensure!(cluster.leftovers()?.is_empty(), "left behind: {:?}", cluster.leftovers()?);
    Ok(())
}
