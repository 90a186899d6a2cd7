//! Whatever comes in: a clear refusal with cause and correction, and nothing half done.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, Scratch, Severity, count, is_root, note, run};
use serde_json::{Value, json};

/// Within this time a daemon that cannot start has said so and ended.
const REFUSE_LIMIT: Duration = Duration::from_secs(20);

/// How the code of an unreadable body looks in bits 14 to 0.
const PARSE_ERROR: i64 = 0x7ffd;

fn no_definitions(cluster: &Cluster) -> Result<()> {
    let list = cluster.rest().get("/v1/resource-definitions")?.ok()?;
    ensure!(list.json == json!([]), "half done: {}", list.text);
    Ok(())
}

#[test]
fn malformed_documents_are_refused() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    for body in [
        "{",
        "",
        "[]",
        "\"text\"",
        "{\"resource_definition\": 7}",
        "{\"resource_definition\": {\"name\": [\"a\"]}}",
        "\u{0}",
        "{\"resource_definition\":{\"name\":\"a\"}} rest",
    ] {
        let reply = rest.call("POST", "/v1/resource-definitions", Some(body.to_owned()))?;
        ensure!(reply.status >= 400, "{body:?}: {} {}", reply.status, reply.text);
        ensure!(reply.content_type.starts_with("application/json"), "{body:?}: {}", reply.content_type);
        let code = reply.json[0]["ret_code"].as_i64().with_context(|| format!("{body:?}: no code in {}", reply.text))?;
        ensure!(code < 0, "{body:?}: {code}");
        ensure!(reply.entries().iter().any(|entry| entry.severity == Severity::Error), "{body:?}: {}", reply.text);
        if body == "{" {
            ensure!(code & 0x7fff == PARSE_ERROR, "{code:#x}");
        }
        ensure!(!reply.json[0]["message"].as_str().unwrap_or_default().is_empty(), "{body:?}: {}", reply.text);
        ensure!(!reply.json[0]["correction"].as_str().unwrap_or_default().is_empty(), "{body:?}: {}", reply.text);
    }
    // Deep nesting and a huge body end in a refusal, not in the end of the controller.
    let deep = "[".repeat(200_000);
    ensure!(rest.call("POST", "/v1/resource-definitions", Some(deep))?.status >= 400);
    no_definitions(&cluster)
}

#[test]
fn unknown_names_and_properties_are_refused() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rest.get("/v1/nodes/nowhere")?.refused(300)?;
    rest.get("/v1/resource-definitions/nothing")?.refused(301)?;
    rest.get("/v1/resource-groups/none")?.refused(317)?;
    let size = json!({"volume_definition": {"size_kib": 1024}});
    rest.post("/v1/resource-definitions/nothing/volume-definitions", &size)?.refused(301)?;
    rest.post("/v1/resource-definitions/nothing/snapshots", &json!({"name": "s1"}))?.refused(301)?;
    rest.post("/v1/resource-groups/none/spawn", &json!({"resource_definition_name": "x", "volume_sizes": [1024]}))?.refused(317)?;
    rest.get("/v1/no-such-path")?.refused(998)?;
    ensure!(rest.call("PATCH", "/v1/nodes", None)?.status == 405);
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web"}}))?.ok()?;
    // One bad key spoils the whole request: nothing of it is stored.
    let props = json!({"override_props": {"Aux/fine": "1", "No/Such/Key": "1"}});
    rest.put("/v1/resource-definitions/web", &props)?.refused(213)?;
    let definition = rest.get("/v1/resource-definitions/web")?.ok()?;
    ensure!(definition.json["props"].get("Aux/fine").is_none(), "{}", definition.text);
    rest.put("/v1/resource-definitions/web", &json!({"override_props": {"DrbdOptions/Net/max-buffers": "many"}}))?.refused(213)?;
    Ok(())
}

#[test]
fn names_that_break_the_rules_are_refused() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    let long = "x".repeat(49);
    for name in [long.as_str(), "a", "with blank", "sl/ash", "1digit", "ümläut", "a\u{0}b", "../../etc"] {
        rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": name}}))?
            .refused(202)
            .with_context(|| format!("{name:?}"))?;
    }
    let long = "x".repeat(300);
    for name in [long.as_str(), "a", "under_score", "with blank"] {
        let interface = json!({"name": "default", "address": "127.0.0.1"});
        let body = json!({"name": name, "type": "SATELLITE", "net_interfaces": [interface]});
        rest.post("/v1/nodes", &body)?.refused(200).with_context(|| format!("{name:?}"))?;
    }
    rest.post("/v1/resource-groups", &json!({"name": "a b"}))?.refused(237)?;
    no_definitions(&cluster)
}

#[test]
fn sizes_out_of_range_are_refused() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    let volumes = "/v1/resource-definitions/web/volume-definitions";
    for size in [json!(0), json!(-1), json!(i64::MIN), json!(1)] {
        rest.post(volumes, &json!({"volume_definition": {"size_kib": size}}))?.refused(206).with_context(|| size.to_string())?;
    }
    for size in [json!(u64::MAX), json!(1e30), json!("many"), json!({})] {
        let reply = rest.post(volumes, &json!({"volume_definition": {"size_kib": size}}))?;
        ensure!(reply.status >= 400 && !reply.entries().is_empty(), "{size}: {} {}", reply.status, reply.text);
    }
    ensure!(rest.get(volumes)?.ok()?.json == json!([]));
    // With DRBD there is a largest device.
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "repl"}}))?.ok()?;
    let size = json!({"volume_definition": {"size_kib": 1_u64 << 41}});
    rest.post("/v1/resource-definitions/repl/volume-definitions", &size)?.refused(206)?;
    Ok(())
}

#[test]
fn of_creates_of_one_name_at_once_exactly_one_succeeds() -> Result<()> {
    let cluster = Cluster::empty()?;
    for round in 0..count(10, 100) {
        let body = json!({"resource_definition": {"name": format!("race-{round}")}});
        let rest = cluster.rest();
        let replies: Vec<Result<berth_integration::Reply>> = std::thread::scope(|threads| {
            let asking: Vec<_> = (0..4).map(|_| threads.spawn(|| rest.post("/v1/resource-definitions", &body))).collect();
            asking.into_iter().map(|thread| thread.join().expect("a request does not panic")).collect()
        });
        let mut made = 0;
        for reply in replies {
            let reply = reply?;
            if reply.status == 201 { made += 1 } else { reply.refused(501).map(drop)? }
        }
        ensure!(made == 1, "{made} of four creates of one name succeeded");
    }
    Ok(())
}

#[test]
fn what_is_referred_to_is_not_deleted() -> Result<()> {
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    rest.post("/v1/resource-groups", &json!({"name": "grp"}))?.ok()?;
    rest.post(
        "/v1/resource-definitions",
        &json!({"resource_definition": {"name": "web", "resource_group_name": "grp", "layer_data": [{"type": "STORAGE"}]}}),
    )?
    .ok()?;
    rest.delete("/v1/resource-groups/grp")?.refused(501)?;
    rest.post("/v1/resource-definitions/web/volume-definitions", &json!({"volume_definition": {"size_kib": 16384}}))?.ok()?;
    let replica = json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]);
    rest.post("/v1/resource-definitions/web/resources", &replica)?.ok()?;
    rest.delete("/v1/nodes/alpha/storage-pools/thin")?.refused(997)?;
    cluster.delete_all_of("web")
}

#[test]
fn deleting_what_is_not_there_is_a_warning() -> Result<()> {
    let cluster = Cluster::empty()?;
    for path in ["/v1/nodes/nowhere", "/v1/resource-definitions/nothing", "/v1/resource-groups/none", "/v1/key-value-store/none"] {
        let reply = cluster.rest().delete(path)?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text);
        let entries = reply.entries();
        ensure!(entries.iter().any(|entry| entry.severity == Severity::Warn && entry.number == 3000), "{path}: {}", reply.text);
    }
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let scratch = Scratch::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for daemon in ["controller", "satellite"] {
        let data = scratch.sub(daemon)?;
        let words = [daemon.into(), "--data".into(), data.into_os_string(), "--listen".into(), address.clone().into()];
        let (status, log) = Daemon::refuse(&scratch, daemon, REFUSE_LIMIT, words)?;
        ensure!(!status.success(), "{daemon} says that it succeeded");
        ensure!(log.contains(&address), "{daemon} does not name {address}:\n{log}");
        ensure!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() -> Result<()> {
    if !is_root() {
        note("a read-only mount needs root");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let folder = scratch.sub("read-only")?;
    run("mount", &["-t", "tmpfs", "-o", "ro", "none", folder.to_str().context("a plain path")?])?.ok()?;
    // A satellite waits for its folder, and tells its controllers: `night::a_satellite_that_cannot_use_its_data_folder_…`.
    let data = folder.join("controller");
    let words = ["controller".into(), "--data".into(), data.clone().into_os_string(), "--listen".into(), "127.0.0.1:0".into()];
    let (status, log) = Daemon::refuse(&scratch, "controller", REFUSE_LIMIT, words)?;
    ensure!(!status.success(), "it says that it succeeded");
    ensure!(log.contains(data.to_str().context("a plain path")?), "it does not name {}:\n{log}", data.display());
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

#[test]
fn a_database_that_is_none_is_named_and_kept() -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.sub("controller")?;
    fs::write(data.join("berth.db"), "this is no database ".repeat(500))?;
    let words = ["controller".into(), "--data".into(), data.clone().into_os_string(), "--listen".into(), "127.0.0.1:0".into()];
    let (status, log) = Daemon::refuse(&scratch, "controller", REFUSE_LIMIT, words)?;
    ensure!(!status.success() && log.contains("berth.db"), "{log}");
    ensure!(fs::read_to_string(data.join("berth.db"))?.starts_with("this is no database"));
    Ok(())
}

#[test]
fn a_full_disk_refuses_and_recovers() -> Result<()> {
    if !is_root() {
        note("a small file system needs root");
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    cluster.kill_controller();
    let data = cluster.controller_data()?;
    fs::remove_dir_all(&data)?;
    fs::create_dir_all(&data)?;
    run("mount", &["-t", "tmpfs", "-o", "size=4m", "none", data.to_str().context("a plain path")?])?.ok()?;
    cluster.start_controller()?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "before"}}))?.ok()?;
    fill(&data.join("filler"))?;
    // Some room may be left in the log's file, so ask until it is used up; every answer is a whole one.
    let mut refused = None;
    for number in 0..2000 {
        let name = format!("full-{number}");
        let reply = rest
            .post("/v1/resource-definitions", &json!({"resource_definition": {"name": name, "props": {"Aux/long": "x".repeat(2000)}}}))?;
        if reply.status != 201 {
            ensure!(!reply.errors().is_empty(), "{} {}", reply.status, reply.text);
            refused = Some((name, reply));
            break;
        }
    }
    let (name, reply) = refused.context("the disk never became full")?;
    ensure!(rest.get(&format!("/v1/resource-definitions/{name}"))?.status == 404, "refused, but there: {}", reply.text);
    rest.get("/v1/resource-definitions/before")?.ok()?;
    fs::remove_file(data.join("filler"))?;
    berth_integration::within(Duration::from_secs(20), "writes work again", || {
        let reply = rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "after"}}));
        match reply.and_then(berth_integration::Reply::ok) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        }
    })?;
    Ok(())
}

/// Writes until the file system is full.
fn fill(file: &Path) -> Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(file)?;
    let block = [0_u8; 4096];
    while file.write_all(&block).is_ok() {}
    Ok(())
}

#[test]
fn a_pool_without_room_refuses_and_leaves_nothing() -> Result<()> {
    let cluster = Cluster::with_nodes(&["alpha"])?;
    let rest = cluster.rest();
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "huge", "layer_data": [{"type": "STORAGE"}]}}))?.ok()?;
    let petabyte = json!({"volume_definition": {"size_kib": 1_u64 << 40}});
    rest.post("/v1/resource-definitions/huge/volume-definitions", &petabyte)?.ok()?;
    let asked = json!({"select_filter": {"place_count": 1, "storage_pool_list": ["thin"]}});
    let reply = rest.post("/v1/resource-definitions/huge/autoplace", &asked)?;
    ensure!(reply.errors() == [996], "{} {}", reply.status, reply.text);
    let left: Value = rest.get("/v1/resource-definitions/huge/resources")?.ok()?.json;
    ensure!(left == json!([]), "{left}");
    ensure!(cluster.leftovers()?.is_empty(), "{:?}", cluster.leftovers()?);
    Ok(())
}
