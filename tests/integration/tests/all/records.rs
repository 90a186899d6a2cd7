//! Each kind of record broken in each way, one at a time, in a populated database: the controller serves the rest, and a repair brings all back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use berth_integration::{Cluster, Daemon, Finished, Reply, Rest, SIMULATED_POOL, Scratch, berth, run, run_within};
use berth_model::change::RecordKind;
use serde_json::{Value, json};

/// Time for one verb of `berth db`, and for a controller to end.
const LIMIT: Duration = Duration::from_secs(30);
/// Cases at once: they wait for the disk most of the time.
const WORKERS: usize = 4;

/// Every resource has replicas on two of them.
const NODES: [&str; 3] = ["alpha", "bravo", "charlie"];

/// What is done to a record.
const HARMS: [&str; 3] = ["deleted", "truncated", "older"];

/// Writes the folder of each case and harms its database. The arguments: the populated folder, a folder for the cases, `kind:key:harm` for each.
const BREAK: &str = r#"
import os, shutil, sqlite3, sys
source, target = sys.argv[1:3]
for at, case in enumerate(sys.argv[3:]):
    kind, rest = case.split(':', 1)
    key, harm = rest.rsplit(':', 1)
    folder = os.path.join(target, str(at))
    os.mkdir(folder, 0o700)
    shutil.copy(os.path.join(source, 'berth.db'), folder)
    db = sqlite3.connect(os.path.join(folder, 'berth.db'))
    name = (kind, key)
    if harm == 'deleted':
        done = db.execute('DELETE FROM record WHERE kind = ? AND key = ?', name)
    elif harm == 'truncated':
        done = db.execute('UPDATE record SET body = substr(body, 1, length(body) / 2) WHERE kind = ? AND key = ?', name)
    else:
        older = db.execute('SELECT serial, version, body FROM history WHERE kind = ? AND key = ? AND body IS NOT NULL '
                           'ORDER BY serial DESC LIMIT 1 OFFSET 1', name).fetchone()
        if older is None:
            # Written only once: an older one of the same text is what an older backup would have.
            done = db.execute('UPDATE record SET serial = serial - 1 WHERE kind = ? AND key = ?', name)
        else:
            done = db.execute('UPDATE record SET serial = ?, version = ?, body = ? WHERE kind = ? AND key = ?', older + name)
    assert done.rowcount == 1, case
    db.commit()
    db.close()
"#;

/// Records by kind and key.
type Records = BTreeMap<(String, String), Value>;

fn db(verb: &str, data: &Path, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(["db", verb, "--data"]).arg(data).args(words);
    run_within(LIMIT, &mut command)
}

/// The records of a database.
fn records(data: &Path) -> Result<Records> {
    let document: Value = serde_json::from_str(&db("export", data, &[])?.ok()?)?;
    let list = document["records"].as_array().context("no records")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list.iter().map(|record| ((text(&record["kind"]), text(&record["key"])), record.clone())).collect())
}

/// A cluster with a record of each kind; answers the data folder of its controller, which has ended.
fn populate(cluster: &mut Cluster) -> Result<PathBuf> {
    cluster.add_simulated(&NODES)?;
    let rest = cluster.rest();
    let filter = json!({"place_count": 2, "storage_pool_list": [SIMULATED_POOL], "layer_stack": ["DRBD", "STORAGE"]});
    // A node is left free.
    let alone = json!({"DrbdOptions/auto-add-quorum-tiebreaker": "False"});
    rest.post("/v1/resource-groups", &json!({"name": "grp", "select_filter": filter, "props": alone}))?.ok()?;
    rest.post("/v1/resource-groups/grp/volume-groups", &json!({}))?.ok()?;
    for name in ["web", "grow", "gone"] {
        let body = json!({"resource_definition_name": name, "volume_sizes": [65536]});
        rest.post("/v1/resource-groups/grp/spawn", &body)?.ok()?;
    }
    rest.post("/v1/resource-definitions/web/snapshots", &json!({"name": "snap"}))?.ok()?;
    rest.post("/v1/encryption/passphrase", &json!({"new_passphrase": "old"}))?.ok()?;
    rest.put("/v1/encryption/passphrase", &json!({"old_passphrase": "old", "new_passphrase": "new"}))?.ok()?;
    let of_web = rest.get("/v1/resource-definitions/web/resources")?.ok()?.json;
    let on: Vec<&str> = of_web.as_array().into_iter().flatten().filter_map(|one| one["node_name"].as_str()).collect();
    let [one, other, ..] = on[..] else { bail!("web has no two replicas: {on:?}") };
    rest.post("/v1/controller/auth/token", &json!({"description": "old"}))?.ok()?;
    rest.put("/v1/controller/auth/token/1", &json!({"description": "new"}))?.ok()?;
    for value in ["old", "new"] {
        rest.put("/v1/node-connections/alpha/bravo", &json!({"override_props": {"Aux/link": value}}))?.ok()?;
        let connection = format!("/v1/resource-definitions/web/resource-connections/{one}/{other}");
        rest.put(&connection, &json!({"override_props": {"Aux/link": value}}))?.ok()?;
        rest.put("/v1/files/%2Fetc%2Fx.conf", &json!({"content": if value == "old" { "bw==" } else { "bg==" }}))?.ok()?;
        rest.put("/v1/key-value-store/kvs", &json!({"override_props": {"key": value}}))?.ok()?;
        rest.post("/v1/controller/properties", &json!({"override_props": {"Aux/controller": value}}))?.ok()?;
        rest.put("/v1/resource-groups/grp", &json!({"override_props": {"Aux/grp": value}}))?.ok()?;
        rest.put("/v1/resource-definitions/web", &json!({"override_props": {"Aux/web": value}}))?.ok()?;
        rest.put("/v1/storage-pool-definitions/sim", &json!({"override_props": {"Aux/sim": value}}))?.ok()?;
    }
    // From here on nobody listens where the nodes are said to be: what is deleted leaves tombstones, what is begun stays open.
    for node in NODES {
        let nowhere = json!({"name": "default", "address": "127.0.0.1", "satellite_port": 1});
        rest.put(&format!("/v1/nodes/{node}/net-interfaces/default"), &nowhere)?.ok()?;
        rest.put(&format!("/v1/nodes/{node}/reconnect"), &json!({}))?;
        cluster.wait_offline(node)?;
    }
    rest.delete("/v1/resource-definitions/gone")?;
    rest.put("/v1/resource-definitions/grow/volume-definitions/0", &json!({"size_kib": 131_072}))?;
    cluster.terminate(LIMIT)?;
    cluster.controller_data()
}

/// The records to break: the first one of each kind, and of numbers one of each sort.
fn victims(all: &Records) -> Result<Vec<(String, String)>> {
    let mut chosen = Vec::new();
    for kind in RecordKind::ALL.iter().copied() {
        let sorts: &[&str] = match kind {
            RecordKind::Number => &["minor/", "port/", "node-id/WEB/"],
            RecordKind::Resource | RecordKind::ResourceDefinition | RecordKind::Snapshot => &["WEB"],
            RecordKind::ResourceGroup => &["GRP"],
            RecordKind::StorPoolDfn => &["SIM"],
            RecordKind::StorPool => &["ALPHA/SIM"],
            RecordKind::Controller
            | RecordKind::Node
            | RecordKind::KeyValueStore
            | RecordKind::Token
            | RecordKind::Job
            | RecordKind::Tombstone
            | RecordKind::MasterKey
            | RecordKind::NodeConnection
            | RecordKind::ExternalFile => &[""],
            RecordKind::ResourceConnection => &["WEB"],
        };
        for sort in sorts {
            let mut of_kind = all.keys().filter(|(found, key)| found == kind.word() && key.starts_with(sort));
            chosen.push(of_kind.next().with_context(|| format!("no record {kind} {sort}"))?.clone());
        }
    }
    Ok(chosen)
}

/// Tries to take the name or the number of the record; `None`: it has none that a request could name.
fn take(rest: &Rest, kind: RecordKind, key: &str, all: &Records) -> Result<Option<Reply>> {
    let parts: Vec<&str> = key.split('/').collect();
    let last = parts.last().copied().unwrap_or_default();
    let replica = |node: &str, member: &str, number: Value| {
        let mut entry = json!({"resource": {"node_name": node, "props": {"StorPoolName": SIMULATED_POOL}}});
        entry[member] = number;
        json!([entry])
    };
    Ok(Some(match kind {
        RecordKind::Controller => rest.post("/v1/controller/properties", &json!({"override_props": {"Aux/other": "1"}}))?,
        RecordKind::Node => rest.post(
            "/v1/nodes",
            &json!({"name": key, "type": "SATELLITE", "net_interfaces": [
            {"name": "default", "address": "127.0.0.1", "satellite_port": 1, "satellite_encryption_type": "PLAIN"}]}),
        )?,
        RecordKind::StorPoolDfn => rest.post("/v1/storage-pool-definitions", &json!({"storage_pool_name": key}))?,
        RecordKind::StorPool => rest.post(
            &format!("/v1/nodes/{}/storage-pools", parts[0]),
            &json!({"storage_pool_name": last, "provider_kind": "LVM_THIN", "props": {"StorDriver/StorPoolName": "x/y"}}),
        )?,
        RecordKind::ResourceGroup => rest.post("/v1/resource-groups", &json!({"name": key}))?,
        RecordKind::ResourceDefinition => rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": key}}))?,
        RecordKind::Resource => {
            let body = json!([{"resource": {"node_name": last, "props": {"StorPoolName": SIMULATED_POOL}}}]);
            rest.post(&format!("/v1/resource-definitions/{}/resources", parts[0]), &body)?
        }
        RecordKind::Snapshot => rest.post(&format!("/v1/resource-definitions/{}/snapshots", parts[0]), &json!({"name": last}))?,
        RecordKind::KeyValueStore => rest.put(&format!("/v1/key-value-store/{key}"), &json!({"override_props": {"key": "other"}}))?,
        RecordKind::MasterKey => rest.post("/v1/encryption/passphrase", &json!({"new_passphrase": "another"}))?,
        RecordKind::NodeConnection => {
            rest.put(&format!("/v1/node-connections/{}/{last}", parts[0]), &json!({"override_props": {"Aux/other": "1"}}))?
        }
        RecordKind::ResourceConnection => rest.put(
            &format!("/v1/resource-definitions/{}/resource-connections/{}/{last}", parts[0], parts[1]),
            &json!({"override_props": {"Aux/other": "1"}}),
        )?,
        RecordKind::ExternalFile => rest.put(&format!("/v1/files/{}", key.replace('/', "%2F")), &json!({"content": "eA=="}))?,
        // Its number is drawn, nobody names it.
        RecordKind::Token | RecordKind::Job | RecordKind::Tombstone => return Ok(None),
        RecordKind::Number => {
            let definition = json!({"name": "taker", "layer_data": [{"type": "DRBD"}, {"type": "STORAGE"}]});
            rest.post("/v1/resource-definitions", &json!({"resource_definition": definition}))?.ok()?;
            let number: i64 = last.parse()?;
            let volumes = "/v1/resource-definitions/taker/volume-definitions";
            let volume = json!({"volume_definition": {"size_kib": 65536}});
            let reply = match parts[0] {
                "minor" => rest.post(volumes, &json!({"volume_definition": {"size_kib": 65536}, "drbd_minor_number": number}))?,
                "port" => {
                    rest.post(volumes, &volume)?.ok()?;
                    rest.post("/v1/resource-definitions/taker/resources", &replica(parts[1], "drbd_tcp_ports", json!([number])))?
                }
                _ => {
                    let has = |node: &&str| all.contains_key(&("resource".to_owned(), format!("WEB/{}", node.to_uppercase())));
                    let free = NODES.into_iter().find(|node| !has(node)).context("a node without a replica")?;
                    rest.post("/v1/resource-definitions/web/resources", &replica(free, "drbd_node_id", json!(number)))?
                }
            };
            rest.delete("/v1/resource-definitions/taker")?.ok()?;
            reply
        }
    }))
}

/// Makes and deletes something of another name, and gets a number that nobody has.
fn works(rest: &Rest, taken: &Records) -> Result<()> {
    rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": "probe"}}))?.ok()?;
    rest.post("/v1/resource-definitions/probe/volume-definitions", &json!({"volume_definition": {"size_kib": 65536}}))?.ok()?;
    let volume = rest.get("/v1/resource-definitions/probe/volume-definitions/0")?.ok()?.json;
    let minor = &volume["layer_data"][0]["data"]["minor_number"];
    if let Some(minor) = minor.as_u64() {
        let key = ("number".to_owned(), format!("minor/{minor}"));
        ensure!(!taken.contains_key(&key), "minor {minor} was given out twice");
    }
    rest.delete("/v1/resource-definitions/probe")?.ok()?;
    rest.put("/v1/key-value-store/probe", &json!({"override_props": {"key": "1"}}))?.ok()?;
    rest.delete("/v1/key-value-store/probe")?.ok()?;
    for list in
        ["/v1/nodes", "/v1/view/resources", "/v1/view/storage-pools", "/v1/view/snapshots", "/v1/resource-definitions", "/v1/berth/jobs"]
    {
        rest.get(list)?.ok()?;
    }
    Ok(())
}

fn start(scratch: &Scratch, name: &str, data: &Path) -> Result<(Daemon, Rest)> {
    let words = ["controller", "--listen", "127.0.0.1:0", "--data"].map(std::ffi::OsString::from);
    let daemon = Daemon::start(scratch, name, words.into_iter().chain([data.into()]))?;
    let rest = Rest::new(daemon.address());
    Ok((daemon, rest))
}

/// One record, harmed in one way.
fn case(scratch: &Scratch, data: &Path, kind: &str, key: &str, before: &Records) -> Result<()> {
    let record = RecordKind::parse(kind).context("a kind")?;
    let named = |text: &str| text.contains(kind) && text.contains(key);
    let log = format!("controller-{}", data.file_name().unwrap_or_default().to_string_lossy());
    let (mut daemon, rest) = start(scratch, &log, data)?;
    let health = rest.get("/health")?;
    ensure!(health.status == 200 && named(&health.text), "/health: {} {}", health.status, health.text);
    if let Some(reply) = take(&rest, record, key, before)? {
        ensure!(!reply.errors().is_empty(), "its name or number was given out: {} {}", reply.status, reply.text);
    }
    works(&rest, before)?;
    daemon.terminate(LIMIT)?;

    let checked = db("check", data, &[])?;
    ensure!(checked.code() == 1 && named(&checked.stdout), "check: {checked:?}");
    let repaired = db("repair", data, &[])?.ok()?;
    ensure!(repaired.contains("Mended") && named(&repaired), "repair: {repaired}");
    db("check", data, &[])?.ok()?;
    ensure!(records(data)? == *before, "the records are not those from before");
    let (mut daemon, rest) = start(scratch, &log, data)?;
    let health = rest.get("/health")?;
    ensure!(health.status == 200 && health.text.is_empty(), "/health after repair: {} {}", health.status, health.text);
    works(&rest, before)?;
    daemon.terminate(LIMIT)?;
    ensure!(records(data)? == *before, "the records are not those from before");
    Ok(())
}

#[test]
fn each_kind_of_record_can_break_in_each_way() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let populated = populate(&mut cluster)?;
    let before = records(&populated)?;
    let broken: Vec<(String, String, &str)> =
        victims(&before)?.into_iter().flat_map(|(kind, key)| HARMS.map(|harm| (kind.clone(), key.clone(), harm))).collect();
    let cases = cluster.scratch().sub("cases")?;
    let mut words = vec!["-c".to_owned(), BREAK.to_owned(), populated.display().to_string(), cases.display().to_string()];
    words.extend(broken.iter().map(|(kind, key, harm)| format!("{kind}:{key}:{harm}")));
    run("python3", &words)?.ok()?;

    let next = AtomicUsize::new(0);
    let scratch = cluster.scratch();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            while let Some((at, (kind, key, harm))) = Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, broken.get(at)?))) {
                if let Err(error) = case(scratch, &cases.join(at.to_string()), kind, key, &before) {
                    failed.push(format!("{kind} {key} {harm}: {error:#}"));
                }
            }
            failed
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| vec!["a worker panicked".to_owned()])).collect()
    });
    if !failed.is_empty() {
        bail!("{} of {} cases:\n{}", failed.len(), broken.len(), failed.join("\n"));
    }
    fs::remove_dir_all(&cases)?;
    Ok(())
}
