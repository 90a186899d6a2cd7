//! The satellite is killed between any two of its commands; it converges all the same and leaves nothing.
//!
//! `BERTH_CUT_AFTER=N` makes a satellite end itself with SIGKILL before the step after its N-th that changes the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Rest, is_root, mark, marked, note, size_bytes, within};
use serde_json::{Value, json};

/// 16 MiB.
const SIZE_KIB: u64 = 16 * 1024;

/// No operation takes as many steps; reaching it means that the satellite never gets further.
const CUTS_MAX: u32 = 60;

/// Time to converge after a cut.
const CONVERGED_LIMIT: Duration = Duration::from_secs(60);

/// What is written before an operation, and what a rollback must undo.
const DATA: &str = "data";
const LATER: &str = "late";

/// One operation under test: what must be there first, the request, and when it is done.
struct Operation {
    name: &'static str,
    prepare: fn(&Cluster) -> Result<()>,
    ask: fn(&Rest) -> Result<bool>,
    is_done: fn(&Rest) -> Result<bool>,
}

const OPERATIONS: [Operation; 7] = [
    Operation {
        name: "create",
        prepare: |cluster| {
            let rest = cluster.rest();
            rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "cut", "layer_data": [{"type": "STORAGE"}]}}))?
                .ok()?;
            rest.post("/v1/resource-definitions/cut/volume-definitions", &json!({"volume_definition": {"size_kib": SIZE_KIB}}))?.ok()?;
            Ok(())
        },
        ask: |rest| {
            ask(
                rest,
                "POST",
                "/v1/resource-definitions/cut/resources",
                &json!([{"resource": {"node_name": "alpha", "props": {"StorPoolName": "thin"}}}]),
            )
        },
        is_done: |rest| Ok(device(rest, "cut")?.is_some()),
    },
    Operation {
        name: "grow",
        prepare: made,
        ask: |rest| ask(rest, "PUT", "/v1/resource-definitions/cut/volume-definitions/0", &json!({"size_kib": 2 * SIZE_KIB})),
        is_done: |rest| {
            let volume = rest.get("/v1/resource-definitions/cut/resources/alpha/volumes/0")?.json;
            let definition = rest.get("/v1/resource-definitions/cut/volume-definitions/0")?.json;
            let Some(device) = volume["device_path"].as_str() else { return Ok(false) };
            let size = size_bytes(Path::new(device))?;
            let resizing = definition["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "RESIZE"));
            Ok(!resizing && size == 2 * SIZE_KIB * 1024 && holds(rest, "cut", DATA)?)
        },
    },
    Operation {
        name: "snapshot",
        prepare: made,
        ask: |rest| ask(rest, "POST", "/v1/resource-definitions/cut/snapshots", &json!({"name": "s1"})),
        is_done: |rest| {
            let snapshot = rest.get("/v1/resource-definitions/cut/snapshots/s1")?;
            // A snapshot that a crash prevented may end as failed, or be gone; it must not stay half done.
            Ok(snapshot.status == 404 || has_flag(&snapshot.json, "SUCCESSFUL") || has_flag(&snapshot.json, "FAILED_DEPLOYMENT"))
        },
    },
    Operation {
        name: "rollback",
        prepare: |cluster| {
            made(cluster)?;
            cluster.rest().post("/v1/resource-definitions/cut/snapshots", &json!({"name": "s1"}))?.ok()?;
            mark(&cluster.device("cut", "alpha")?, LATER)
        },
        ask: |rest| ask(rest, "POST", "/v1/resource-definitions/cut/snapshot-rollback/s1", &json!({})),
        is_done: |rest| holds(rest, "cut", DATA),
    },
    Operation {
        name: "restore",
        prepare: |cluster| {
            made(cluster)?;
            let rest = cluster.rest();
            rest.post("/v1/resource-definitions/cut/snapshots", &json!({"name": "s1"}))?.ok()?;
            mark(&cluster.device("cut", "alpha")?, LATER)?;
            rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "twin"}}))?.ok()?;
            rest.post("/v1/resource-definitions/cut/snapshot-restore-volume-definition/s1", &json!({"to_resource": "twin"}))?.ok().map(drop)
        },
        ask: |rest| ask(rest, "POST", "/v1/resource-definitions/cut/snapshot-restore-resource/s1", &json!({"to_resource": "twin"})),
        is_done: |rest| holds(rest, "twin", DATA),
    },
    Operation {
        name: "clone",
        prepare: made,
        ask: |rest| ask(rest, "POST", "/v1/resource-definitions/cut/clone", &json!({"name": "twin"})),
        is_done: |rest| {
            let state = rest.get("/v1/resource-definitions/cut/clone/twin")?;
            Ok(state.status == 404
                || state.json["status"] == "FAILED"
                || (state.json["status"] == "COMPLETE" && holds(rest, "twin", DATA)?))
        },
    },
    Operation {
        name: "delete",
        prepare: made,
        ask: |rest| ask(rest, "DELETE", "/v1/resource-definitions/cut", &Value::Null),
        is_done: |rest| Ok(rest.get("/v1/resource-definitions/cut")?.status == 404),
    },
];

fn made(cluster: &Cluster) -> Result<()> {
    mark(&cluster.make_volume("cut", "alpha", SIZE_KIB)?, DATA)
}

fn has_flag(document: &Value, flag: &str) -> bool {
    document["flags"].as_array().is_some_and(|flags| flags.iter().any(|seen| seen == flag))
}

/// The device of a resource's volume, if it is there.
fn device(rest: &Rest, resource: &str) -> Result<Option<PathBuf>> {
    let volume = rest.get(&format!("/v1/resource-definitions/{resource}/resources/alpha/volumes/0"))?;
    Ok(volume.json["device_path"].as_str().map(PathBuf::from).filter(|path| path.exists()))
}

/// Whether the volume is there and begins with this text.
fn holds(rest: &Rest, resource: &str, text: &str) -> Result<bool> {
    match device(rest, resource)? {
        Some(device) => Ok(marked(&device, text.len())? == text),
        None => Ok(false),
    }
}

/// Sends the request; answers whether it was accepted. A warning that it goes on later is an acceptance.
fn ask(rest: &Rest, method: &str, path: &str, body: &Value) -> Result<bool> {
    let body = (!body.is_null()).then(|| body.to_string());
    let reply = rest.call(method, path, body)?;
    Ok(reply.status < 400 && reply.errors().is_empty())
}

fn cut_everywhere(operation: &Operation) -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::with_nodes(&["alpha"])?;
    for cut in 1..=CUTS_MAX {
        let context = || format!("{} cut after {cut} steps", operation.name);
        (operation.prepare)(&cluster).with_context(context)?;
        cluster.kill_satellite("alpha");
        if cluster.start_satellite("alpha", &[("BERTH_CUT_AFTER", &cut.to_string())]).is_err() {
            // Cut in what it does at its start: it must start all the same the next time.
            cluster.start_satellite("alpha", &[]).with_context(context)?;
        }
        wait_online_or_cut(&mut cluster).with_context(context)?;
        let rest = cluster.rest();
        let (was_cut, accepted) = std::thread::scope(|threads| {
            let asking = threads.spawn(|| (operation.ask)(&rest));
            let ended = within(CONVERGED_LIMIT, "the satellite is cut, or the operation is done", || {
                let cut = !cluster.satellite("alpha").map_err(|error| error.to_string())?.runs();
                let done = asking.is_finished() && (operation.is_done)(&rest).unwrap_or(false);
                if cut || done { Ok(cut) } else { Err("neither".to_owned()) }
            });
            // From here on it runs uncut: what was cut goes on, and what is cleared away below is no part of the test.
            cluster.start_satellite("alpha", &[])?;
            cluster.wait_online("alpha")?;
            let accepted = asking.join().ok().context("the request's thread ended badly")?;
            anyhow::Ok((ended?, accepted?))
        })
        .with_context(context)?;
        if !accepted {
            // It was refused because the node was away: nothing was begun, so a client asks again.
            (operation.ask)(&rest).with_context(context)?;
        }
        within(CONVERGED_LIMIT, "the operation is done", || match (operation.is_done)(&cluster.rest()) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .with_context(context)?;
        for resource in ["twin", "cut"] {
            if cluster.rest().get(&format!("/v1/resource-definitions/{resource}"))?.status != 404 {
                cluster.delete_all_of(resource).with_context(context)?;
            }
        }
        within(CONVERGED_LIMIT, "nothing is left", || match cluster.leftovers() {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .with_context(context)?;
        if !was_cut {
            ensure!(cut > 1, "{}: the satellite was never cut", operation.name);
            println!("{}: cut after each of {} steps", operation.name, cut - 1);
            return Ok(());
        }
    }
    anyhow::bail!("{}: still cut after {CUTS_MAX} steps", operation.name)
}

fn wait_online_or_cut(cluster: &mut Cluster) -> Result<()> {
    within(CONVERGED_LIMIT, "the satellite is online or cut", || {
        let runs = cluster.satellite("alpha").map_err(|error| error.to_string())?.runs();
        let node = cluster.rest().get("/v1/nodes/alpha").map_err(|error| error.to_string())?;
        if !runs || node.json["connection_status"] == "ONLINE" { Ok(()) } else { Err(node.text) }
    })
}

fn named(name: &str) -> Result<()> {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).context("an operation of the list")?;
    cut_everywhere(operation)
}

#[test]
fn create_survives_a_cut_after_any_step() -> Result<()> {
    named("create")
}

#[test]
fn grow_survives_a_cut_after_any_step() -> Result<()> {
    named("grow")
}

#[test]
fn snapshot_survives_a_cut_after_any_step() -> Result<()> {
    named("snapshot")
}

#[test]
fn rollback_survives_a_cut_after_any_step() -> Result<()> {
    named("rollback")
}

#[test]
fn restore_survives_a_cut_after_any_step() -> Result<()> {
    named("restore")
}

#[test]
fn clone_survives_a_cut_after_any_step() -> Result<()> {
    named("clone")
}

#[test]
fn delete_survives_a_cut_after_any_step() -> Result<()> {
    named("delete")
}
