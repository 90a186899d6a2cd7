//! A LINSTOR controller's database becomes ours: `berth db import --from-linstor`, then a controller that serves it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Finished, berth, is_root, note, run_within};
use serde_json::{Value, json};

/// Time for one verb.
const LIMIT: Duration = Duration::from_secs(30);

fn import(data: &Path, file: &Path, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["db", "import", "--from-linstor", "--data"]).arg(data).args(words).arg(file);
    run_within(LIMIT, &mut command)
}

/// A cluster without its database.
fn emptied() -> Result<(Cluster, PathBuf)> {
    let mut cluster = Cluster::empty()?;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    std::fs::remove_dir_all(&data)?;
    Ok((cluster, data))
}

fn table(name: &str, rows: &Value) -> Value {
    json!({ "name": name, "column_description": [], "data": rows })
}

/// One node with a pool and a volume in it, as the export of an old controller has them.
fn small() -> Value {
    let node = json!([{ "uuid": "0a0b0c0d-0000-4000-8000-000000000001", "node_name": "OLD", "node_dsp_name": "old", "node_flags": 0, "node_type": 2 }]);
    let interface = json!([{ "node_name": "OLD", "node_net_name": "DEFAULT", "node_net_dsp_name": "default", "inet_address": "127.0.0.1", "stlt_conn_port": 9, "stlt_conn_encr_type": "PLAIN" }]);
    let pool = json!([{ "node_name": "OLD", "pool_name": "SPACE", "driver_name": "FILE_THIN", "free_space_mgr_dsp_name": "old;Space" }]);
    let layers = json!([{ "layer_resource_id": 0, "node_name": "OLD", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "STORAGE", "layer_resource_suffix": "" }]);
    json!({ "linstor_version": "1.2.3", "tables": [
        table("NODES", &node),
        table("NODE_NET_INTERFACES", &interface),
        table("STOR_POOL_DEFINITIONS", &json!([{ "pool_name": "SPACE", "pool_dsp_name": "Space" }])),
        table("NODE_STOR_POOL", &pool),
        table("RESOURCE_GROUPS", &json!([{ "resource_group_name": "GOLD", "resource_group_dsp_name": "Gold", "replica_count": 1 }])),
        table("RESOURCE_DEFINITIONS", &json!([{ "resource_name": "WEB", "resource_dsp_name": "Web", "snapshot_name": "", "layer_stack": "[\"STORAGE\"]", "resource_group_name": "GOLD" }])),
        table("VOLUME_DEFINITIONS", &json!([{ "resource_name": "WEB", "snapshot_name": "", "vlm_nr": 0, "vlm_size": 8192, "vlm_flags": 0 }])),
        table("RESOURCES", &json!([{ "node_name": "OLD", "resource_name": "WEB", "snapshot_name": "", "resource_flags": 0, "create_timestamp": 1000 }])),
        table("LAYER_RESOURCE_IDS", &layers),
        table("LAYER_STORAGE_VOLUMES", &json!([{ "layer_resource_id": 0, "vlm_nr": 0, "node_name": "OLD", "stor_pool_name": "SPACE" }])),
        table("PROPS_CONTAINERS", &json!([{ "props_instance": "/CTRL", "prop_key": "Aux/from", "prop_value": "there" }, { "props_instance": "/CTRL", "prop_key": "encrypted/masterkey", "prop_value": "secret-of-old" }])),
    ]})
}

#[test]
fn an_old_controllers_objects_are_served_under_their_names() -> Result<()> {
    let (mut cluster, data) = emptied()?;
    let file = cluster.scratch().path().join("export.json");
    std::fs::write(&file, small().to_string())?;
    let told = import(&data, &file, &["--dry-run"])?.ok()?;
    ensure!(told.contains("node: 1") && told.contains("Nothing was made.") && !told.contains("secret-of-old"), "{told}");
    ensure!(!data.join("berth.db").exists(), "a dry run made something");
    import(&data, &file, &[])?.ok()?;
    let again = import(&data, &file, &[])?;
    ensure!(again.code() != 0, "a database was replaced");
    cluster.start_controller()?;
    let rest = cluster.rest();
    let nodes = rest.get("/v1/nodes")?.ok()?.json;
    ensure!(nodes[0]["name"] == "old" && nodes[0]["uuid"] == "0a0b0c0d-0000-4000-8000-000000000001", "{nodes}");
    let resources = rest.get("/v1/view/resources")?.ok()?.json;
    ensure!(resources[0]["name"] == "Web" && resources[0]["volumes"][0]["storage_pool_name"] == "Space", "{resources}");
    let props = rest.get("/v1/controller/properties")?.ok()?.json;
    ensure!(props["Aux/from"] == "there" && props.get("encrypted/masterkey").is_none(), "{props}");
    // It is a cluster like any other: it can be changed, and the change is kept.
    rest.post("/v1/resource-definitions", &json!({ "resource_definition": { "name": "fresh", "resource_group_name": "Gold" } }))?.ok()?;
    Ok(())
}

/// Time for a satellite to look at what it was told of.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// Of the old volume.
const SIZE: usize = 8192 * 1024;

/// What an old file holds: another byte in each KiB.
fn old_bytes(seed: usize) -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from((at / 1024 + seed) % 251).unwrap_or(0)).collect()
}

/// [`small`], its pool in a folder of a satellite that lives, with a snapshot and a second resource whose file is too small.
fn on_node(folder: &Path, address: &str) -> Result<Value> {
    let (host, port) = address.rsplit_once(':').context("no port")?;
    let mut export = small();
    let tables = export["tables"].as_array_mut().context("no tables")?;
    for one in tables {
        let name = one["name"].as_str().unwrap_or_default().to_owned();
        let rows = one["data"].as_array_mut().context("no rows")?;
        match name.as_str() {
            "NODE_NET_INTERFACES" => {
                rows[0]["inet_address"] = json!(host);
                rows[0]["stlt_conn_port"] = json!(port.parse::<u16>()?);
            }
            "RESOURCE_DEFINITIONS" => rows.extend([
                json!({ "resource_name": "SHORT", "resource_dsp_name": "short", "snapshot_name": "", "layer_stack": "[\"STORAGE\"]", "resource_group_name": "GOLD" }),
                json!({ "resource_name": "WEB", "snapshot_name": "MONDAY", "snapshot_dsp_name": "monday", "resource_flags": 1, "resource_group_name": "GOLD" }),
            ]),
            "VOLUME_DEFINITIONS" => rows.extend([
                json!({ "resource_name": "SHORT", "snapshot_name": "", "vlm_nr": 0, "vlm_size": 8192, "vlm_flags": 0 }),
                json!({ "resource_name": "WEB", "snapshot_name": "MONDAY", "vlm_nr": 0, "vlm_size": 8192, "vlm_flags": 0 }),
            ]),
            "RESOURCES" => rows.extend([
                json!({ "node_name": "OLD", "resource_name": "SHORT", "snapshot_name": "", "resource_flags": 0 }),
                json!({ "node_name": "OLD", "resource_name": "WEB", "snapshot_name": "MONDAY", "resource_flags": 0, "create_timestamp": 2000 }),
            ]),
            "LAYER_RESOURCE_IDS" => rows.extend([
                json!({ "layer_resource_id": 1, "node_name": "OLD", "resource_name": "SHORT", "snapshot_name": "", "layer_resource_kind": "STORAGE", "layer_resource_suffix": "" }),
                json!({ "layer_resource_id": 2, "node_name": "OLD", "resource_name": "WEB", "snapshot_name": "MONDAY", "layer_resource_kind": "STORAGE", "layer_resource_suffix": "" }),
            ]),
            "LAYER_STORAGE_VOLUMES" => rows.extend([
                json!({ "layer_resource_id": 1, "vlm_nr": 0, "node_name": "OLD", "stor_pool_name": "SPACE" }),
                json!({ "layer_resource_id": 2, "vlm_nr": 0, "node_name": "OLD", "stor_pool_name": "SPACE" }),
            ]),
            "PROPS_CONTAINERS" => rows.push(
                json!({ "props_instance": "/STOR_POOLS/OLD/SPACE", "prop_key": "StorDriver/StorPoolName", "prop_value": folder }),
            ),
            _ => {}
        }
    }
    Ok(export)
}

fn own(cluster: &Cluster, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(words).arg("--controllers").arg(cluster.address());
    run_within(LIMIT, &mut command)
}

#[test]
fn the_data_of_an_old_node_is_served_after_one_word() -> Result<()> {
    if !is_root() {
        note("no real devices without root");
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    cluster.terminate(Duration::from_secs(5))?;
    let data = cluster.controller_data()?;
    std::fs::remove_dir_all(&data)?;
    cluster.start_satellite("old", &[])?;
    let folder = cluster.pool_dir("old");
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(format!("{name}.img"));
    std::fs::write(path("Web_00000"), old_bytes(0))?;
    std::fs::write(path("Web_00000_monday"), old_bytes(7))?;
    std::fs::write(path("short_00000"), b"cut short")?;
    let file = cluster.scratch().path().join("export.json");
    let export = on_node(&folder, cluster.satellite_address("old")?)?;
    std::fs::write(&file, export.to_string())?;
    let told = import(&data, &file, &[])?.ok()?;
    ensure!(told.contains("FILE_THIN: 2 volumes and 1 copy of a snapshot can be taken in") && told.contains("berth drift adopt"), "{told}");
    cluster.start_controller()?;
    let rest = cluster.rest();
    let unclaimed = |count: usize| {
        rest.wait_for(LOOK_LIMIT, "/v1/berth/drift", |nodes| nodes[0]["unclaimed"].as_array().is_some_and(|list| list.len() == count))
    };
    let found = unclaimed(3)?.to_string();
    ensure!(found.contains("berth drift adopt old") && !found.contains("elete"), "{found}");
    let snapshot = rest.get("/v1/view/snapshots")?.ok()?.json;
    ensure!(snapshot[0].get("flags").is_none(), "a snapshot that nobody has is successful: {snapshot}");
    let refused = rest.post("/v1/resource-definitions/Web/snapshot-rollback/monday", &json!({}))?;
    ensure!(!refused.errors().is_empty() && !refused.json.to_string().contains("is rolled back"), "{}", refused.json);
    // Before the word, and by a dry run, nothing is touched.
    let dry = own(&cluster, &["drift", "adopt", "old", "--all", "--dry-run"])?.ok()?;
    ensure!(dry.contains("mark 'Web_00000'") && dry.contains("Dry run: nothing is changed"), "{dry}");
    ensure!(std::fs::read(path("Web_00000"))? == old_bytes(0), "a dry run changed something");
    unclaimed(3)?;
    let taken = own(&cluster, &["drift", "adopt", "old", "--all"])?;
    ensure!(taken.code() != 0 && taken.stderr.contains("short") && taken.stderr.contains("too small"), "{taken:?}");
    ensure!(taken.stdout.contains("'Web' is taken in") && taken.stdout.contains("Snapshot 'monday'"), "{taken:?}");
    ensure!(std::fs::read(path("short_00000"))? == b"cut short", "what was refused was changed");
    let device = cluster.device("Web", "old")?;
    ensure!(std::fs::read(&device)? == old_bytes(0), "the device holds other data");
    let snapshot = rest.get("/v1/view/snapshots")?.ok()?.json;
    ensure!(snapshot[0]["flags"] == json!(["SUCCESSFUL"]), "{snapshot}");
    ensure!(std::fs::read(path("Web_00000_monday"))? == old_bytes(7), "the snapshot's file was changed");
    unclaimed(1)?;
    // The word does not stay: what comes to lie there later is not taken.
    std::fs::write(path("short_00000"), old_bytes(3))?;
    let again = own(&cluster, &["drift", "adopt", "old", "--resource", "Web"])?;
    ensure!(again.code() != 0 && again.stderr.contains("Nothing lies on node"), "{again:?}");
    own(&cluster, &["drift", "adopt", "old", "--resource", "short"])?.ok()?;
    ensure!(std::fs::read(cluster.device("short", "old")?)? == old_bytes(3), "the device holds other data");
    rest.delete("/v1/resource-definitions/Web/snapshots/monday")?.ok()?;
    for name in ["Web", "short"] {
        cluster.delete_all_of(name)?;
    }
    ensure!(std::fs::read_dir(&folder)?.flatten().all(|entry| !entry.file_name().to_string_lossy().ends_with(".img")), "files are left");
    Ok(())
}

#[test]
fn what_is_no_export_makes_no_database() -> Result<()> {
    let (cluster, data) = emptied()?;
    let file = cluster.scratch().path().join("export.json");
    for text in ["", "[]", "{\"tables\": []}", "\u{0}"] {
        std::fs::write(&file, text)?;
        let refused = import(&data, &file, &[])?;
        ensure!(refused.code() != 0 && refused.stderr.contains("export-db"), "{text:?}: {refused:?}");
        ensure!(!data.join("berth.db").exists());
    }
    Ok(())
}

#[test]
fn a_recorded_export_is_taken_whole() -> Result<()> {
    let shared =
        std::env::var_os("BERTH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("linstor/export");
    let Ok(counts) = std::fs::read_to_string(folder.join("sample.counts.json")) else {
        note("there is no recorded export beside the project: skipped");
        return Ok(());
    };
    let counts: Value = serde_json::from_str(&counts)?;
    let (mut cluster, data) = emptied()?;
    let told = import(&data, &folder.join("sample.json"), &[])?.ok()?;
    cluster.start_controller()?;
    let rest = cluster.rest();
    let lists = [
        ("nodes", "/v1/nodes"),
        ("storage_pools", "/v1/view/storage-pools"),
        ("resource_groups", "/v1/resource-groups"),
        ("resource_definitions", "/v1/resource-definitions"),
        ("resources", "/v1/view/resources"),
        ("snapshots", "/v1/view/snapshots"),
        ("key_value_stores", "/v1/key-value-store"),
    ];
    for (kind, path) in lists {
        let found = rest.get(path)?.ok()?.json.as_array().context("no list")?.len();
        let wanted = counts[kind].as_u64().context("a count is missing")?;
        ensure!(found as u64 == wanted, "{kind}: {found} instead of {wanted}\n{told}");
    }
    let all = |path: &str, inner: &str| -> Result<u64> {
        let body = rest.get(path)?.ok()?.json;
        let list = body.as_array().context("no list")?;
        Ok(list.iter().filter_map(|one| one[inner].as_array()).map(|inner| inner.len() as u64).sum())
    };
    let definitions = all("/v1/resource-definitions?with_volume_definitions=true", "volume_definitions")?;
    ensure!(Some(definitions) == counts["volume_definitions"].as_u64(), "{definitions} volume definitions");
    let volumes = all("/v1/view/resources", "volumes")?;
    ensure!(Some(volumes) == counts["volumes"].as_u64(), "{volumes} volumes");
    ensure!(told.contains("LINSTOR_REMOTES") && told.contains("SCHEDULES"), "what is not built is not told:\n{told}");
    Ok(())
}
