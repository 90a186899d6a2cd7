//! What the walks over all operations share: a controller that has one of everything, paths to it, and what each answer is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use axum::Router;
use berth_store::{MemoryStore, Record, Store};
use tokio::task::JoinHandle;

use super::*;
use crate::View;
use crate::state::Controller;
use crate::testkit::{DEADLINE, until};

/// Set: many more random pieces.
const LONG: &str = "BERTH_LONG";
/// Set: the seed of the random pieces.
const SEED: &str = "BERTH_SEED";
/// A refusal that is longer gives back what it was sent.
const REFUSAL_MAX: usize = 64 << 10;
/// `FAIL_UNKNOWN_ERROR`: nobody knew what went wrong. `FAIL_IMPL_ERROR`: a defect.
const UNKNOWN: [u64; 2] = [998, 999];
/// Severities: bits 63 and 62 of a code.
const WARNING: u64 = 2;
const ERROR: u64 = 3;
/// What the API calls unknown, though everybody knows what it is (observed).
const KNOWN: &[&str] = &["API token", "controller auth list", "A volume group takes", "is not known"];
/// An answer waits so long for a job without a sign of life.
const PATIENCE: Duration = Duration::from_millis(100);

/// An operation, as the document describes it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub verb: String,
    pub path: String,
    pub described: Value,
}

impl Operation {
    /// Verb and path.
    pub fn name(&self) -> String {
        format!("{} {}", self.verb, self.path)
    }

    /// Names of the parameters that stand in `place`, with their schemas.
    pub fn parameters(&self, place: &str) -> Vec<(String, Value)> {
        let all = self.described["parameters"].as_array().into_iter().flatten();
        let here = all.filter(|one| one["in"] == place);
        here.map(|one| (one["name"].as_str().unwrap().to_owned(), one["schema"].clone())).collect()
    }

    /// The schema of the body; `None`: none is read.
    pub fn body(&self) -> Option<&Value> {
        self.described.pointer("/requestBody/content/application~1json/schema")
    }

    /// The path with names of what is there, and `bad` in place of the parameter of this name.
    pub fn filled(&self, bad: Option<(&str, &str)>) -> String {
        let parts = self.path.split('/').map(|part| {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { return part };
            match bad {
                Some((at, bad)) if at == name => bad,
                Some(_) | None => known(name),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// The name of something that is there.
fn known(parameter: &str) -> &'static str {
    match parameter {
        "node" | "node_a" => "alpha",
        "node_b" | "from" => "bravo",
        "pool" => "thin",
        "group" => "grp",
        "resource" => "web",
        "target" => "copy",
        "number" => "0",
        "snapshot" => "snap",
        "interface" => "second",
        "store" => "notes",
        "file" => "%2Fetc%2Fweb.conf",
        "key" => "Aux/there",
        "token" => "1",
        "kind" => "resource",
        "names" => "web/alpha",
        // None of these is there: reports and jobs have names that nobody knows before, the rest this version does not have.
        "report" | "job" | "remote" | "schedule" => "nothing",
        other => panic!("nobody knows what is at '{other}'"),
    }
}

/// Every operation of the router, with its description.
pub(super) async fn operations(world: &World) -> Vec<Operation> {
    let document = world.ask("GET", "/openapi.json", "").await.json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, described) in item.as_object().unwrap() {
            all.push(Operation { verb: verb.to_ascii_uppercase(), path: path.clone(), described: described.clone() });
        }
    }
    assert_eq!(all.len(), crate::http::routes::all().operations().len(), "an operation is in the router, and not in the document");
    all
}

/// The documents by name.
pub(super) async fn schemas(world: &World) -> BTreeMap<String, Value> {
    let document = world.ask("GET", "/openapi.json", "").await.json();
    serde_json::from_value(document["components"]["schemas"].clone()).unwrap()
}

/// What is kept: records with their serial, and the files beside them.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    serial: u64,
    records: Vec<Record>,
    files: BTreeSet<(String, u64)>,
}

/// A controller that has one of most things, with satellites that do what they are told.
pub(super) struct World {
    kit: Kit,
    router: Router,
    satellites: Vec<JoinHandle<()>>,
}

impl World {
    pub async fn new() -> Self {
        let kit = Kit::with(MemoryStore::new(), |config| config.patience = PATIENCE).await;
        let mut satellites = Vec::new();
        for name in ["alpha", "bravo"] {
            satellites.push(tokio::spawn(kit.node(name).await.obey()));
        }
        let router = router(kit.controller.clone());
        let world = Self { kit, router, satellites };
        for (verb, path, body) in [
            ("POST", "/v1/nodes/alpha/net-interfaces", r#"{"name":"second","address":"10.9.9.1"}"#),
            ("POST", "/v1/storage-pool-definitions", r#"{"storage_pool_name":"defined"}"#),
            ("POST", "/v1/resource-groups", r#"{"name":"grp","select_filter":{"place_count":1,"layer_stack":["STORAGE"]}}"#),
            ("POST", "/v1/resource-groups/grp/volume-groups", r#"{"volume_number":0}"#),
            (
                "POST",
                "/v1/resource-definitions",
                r#"{"resource_definition":{"name":"web","resource_group_name":"grp","layer_data":[{"type":"STORAGE"}]}}"#,
            ),
            ("POST", "/v1/resource-definitions/web/volume-definitions", r#"{"volume_definition":{"size_kib":65536}}"#),
            ("POST", "/v1/resource-definitions/web/resources", r#"[{"resource":{"node_name":"alpha","props":{"StorPoolName":"thin"}}}]"#),
            ("POST", "/v1/resource-definitions/web/snapshots", r#"{"name":"snap"}"#),
            (
                "POST",
                "/v1/resource-definitions",
                r#"{"resource_definition":{"name":"bare","resource_group_name":"grp","layer_data":[{"type":"STORAGE"}]}}"#,
            ),
            ("POST", "/v1/controller/properties", r#"{"override_props":{"Aux/there":"1"}}"#),
            ("PUT", "/v1/files/%2Fetc%2Fweb.conf", r#"{"path":"/etc/web.conf","content":"a2VwdA=="}"#),
            ("PUT", "/v1/key-value-store/notes", r#"{"override_props":{"key":"kept"}}"#),
            ("POST", "/v1/controller/auth/token", r#"{"description":"one"}"#),
        ] {
            let got = world.ask(verb, path, body).await;
            assert!(got.status < 300, "{verb} {path}: {} {}", got.status, got.text);
        }
        world.rest().await;
        assert!(world.is_whole().await);
        world
    }

    /// Waits until nothing goes on.
    async fn rest(&self) {
        until(&self.kit.controller, |view| view.cluster.jobs.is_empty()).await;
    }

    fn controller(&self) -> &Controller {
        &self.kit.controller
    }

    /// Whether all that paths name is still there, and nothing goes on.
    async fn is_whole(&self) -> bool {
        let view: View = self.controller().view();
        if !view.cluster.jobs.is_empty() {
            return false;
        }
        for path in [
            "/v1/nodes/alpha",
            "/v1/nodes/bravo",
            "/v1/nodes/alpha/net-interfaces/second",
            "/v1/nodes/alpha/storage-pools/thin",
            "/v1/nodes/bravo/storage-pools/thin",
            "/v1/resource-groups/grp/volume-groups/0",
            "/v1/resource-definitions/web/resources/alpha/volumes/0",
            "/v1/resource-definitions/web/snapshots/snap",
            "/v1/resource-definitions/bare",
        ] {
            let got = self.ask("GET", path, "").await;
            if got.status != 200 || ["DELETE", "EVICT", "EVACUATE", "RESIZE"].iter().any(|flag| got.text.contains(flag)) {
                return false;
            }
        }
        self.ask("GET", "/v1/controller/properties", "").await.text.contains("Aux/there")
            && self.ask("GET", "/v1/controller/auth/token", "").await.json()["count"].as_u64() >= Some(1)
            && self.ask("GET", "/v1/key-value-store/notes", "").await.text.contains("kept")
    }

    /// What is kept now.
    async fn kept(&self) -> Kept {
        let loaded = self.kit.store.load().await.unwrap();
        let mut files = BTreeSet::new();
        list(self.controller().data(), &mut files);
        Kept { serial: loaded.serial, records: loaded.records, files }
    }

    pub async fn ask(&self, verb: &str, path: &str, body: &str) -> Got {
        self.send(verb, path, Some("application/json"), body).await
    }

    /// Sends a request; of a stream of events only the head is read.
    async fn send(&self, verb: &str, path: &str, kind: Option<&str>, body: &str) -> Got {
        let mut request = Request::builder().method(verb).uri(path);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = normal_path(request.body(Body::from(body.to_owned())).unwrap_or_else(|error| panic!("{error}: {path}")));
        let answered = async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let is_stream = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
            let text = if is_stream { Vec::new() } else { to_bytes(body, usize::MAX).await.unwrap().to_vec() };
            Got { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8_lossy(&text).into_owned() }
        };
        let shown: String = path.chars().take(200).collect();
        tokio::time::timeout(DEADLINE, answered).await.unwrap_or_else(|_| panic!("no answer: {verb} {shown} {:.200}", body))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kit.stop.cancel();
        self.satellites.iter().for_each(JoinHandle::abort);
    }
}

fn list(folder: &Path, into: &mut BTreeSet<(String, u64)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, is) = (entry.path(), entry.metadata().unwrap());
        if is.is_dir() {
            list(&path, into);
        } else {
            into.insert((path.to_string_lossy().into_owned(), is.len()));
        }
    }
}

/// A request of a walk.
pub(super) struct Tried<'t> {
    pub verb: &'t str,
    pub path: &'t str,
    pub kind: Option<&'t str>,
    pub body: &'t str,
}

impl<'t> Tried<'t> {
    /// A request of this operation with a JSON body.
    pub fn new(operation: &'t Operation, path: &'t str, body: &'t str) -> Self {
        Self { verb: &operation.verb, path, kind: Some("application/json"), body }
    }
}

/// A walk: requests, and what was wrong with their answers.
pub(super) struct Walk {
    pub world: World,
    /// What was wrong, and with which operation; how often, and the first time.
    faults: BTreeMap<(String, String), (usize, String)>,
    /// Requests by operation.
    pub sent: BTreeMap<String, usize>,
}

impl Walk {
    pub async fn new() -> Self {
        Self { world: World::new().await, faults: BTreeMap::new(), sent: BTreeMap::new() }
    }

    /// Sends a request, and collects what is wrong with the answer, or that something was changed by what was refused.
    /// Answers with the answer, and whether anything was changed. What was changed is there again at the next one.
    pub async fn judge(&mut self, operation: &Operation, tried: &Tried<'_>) -> (Got, bool) {
        *self.sent.entry(operation.name()).or_default() += 1;
        let before = self.world.kept().await;
        let got = self.world.send(tried.verb, tried.path, tried.kind, tried.body).await;
        let changed = self.world.kept().await != before;
        if got.status >= 400 {
            if let Some(fault) = amiss(&got) {
                self.fault(operation, &fault, tried, &got);
            }
            if changed && !says_what_was_done(&got) {
                self.fault(operation, "changed, though refused", tried, &got);
            }
        }
        if let Some(report) = self.world.controller().reports().list().first() {
            self.fault(operation, &format!("an error report: {}", report.message), tried, &got);
            self.world = World::new().await;
        } else if changed {
            // What it began ends by itself; what a job waits for without end is not waited for.
            let settled = tokio::time::timeout(PATIENCE * 5, self.world.rest()).await.is_ok();
            if !settled || !self.world.is_whole().await {
                self.world = World::new().await;
            }
        }
        (got, changed)
    }

    /// Something was wrong with the answer to a request.
    pub fn fault(&mut self, operation: &Operation, what: &str, tried: &Tried<'_>, got: &Got) {
        let shown = |text: &str| text.chars().take(200).collect::<String>();
        let (times, _) = self.faults.entry((operation.name(), what.to_owned())).or_insert_with(|| {
            let asked = format!("{} {} {:?}", tried.verb, shown(tried.path), shown(tried.body));
            (0, format!("{asked}: {} {}", got.status, shown(&got.text)))
        });
        *times += 1;
    }

    /// Ends the walk: nothing was wrong, and each of `all` was asked at least once.
    pub async fn end(self, all: &[Operation]) {
        let left_out: Vec<String> = all.iter().map(Operation::name).filter(|name| !self.sent.contains_key(name)).collect();
        assert!(left_out.is_empty(), "not asked: {left_out:#?}");
        let told = |((operation, what), (times, first)): (&(String, String), &(usize, String))| {
            format!("{operation}: {what}, {times} times: {first}")
        };
        let faults: Vec<String> = self.faults.iter().map(told).collect();
        assert!(faults.is_empty(), "{} faults in {} requests:\n{}", faults.len(), self.sent.values().sum::<usize>(), faults.join("\n"));
        assert_eq!(self.world.ask("GET", "/health", "").await.status, 200);
    }
}

/// Whether an entry is a success: of several objects one may be done and another refused (observed, e.g. of a group and what it places).
fn says_what_was_done(got: &Got) -> bool {
    let document: Value = serde_json::from_str(&got.text).unwrap_or_default();
    let mut codes = document.as_array().into_iter().flatten().filter_map(|entry| entry["ret_code"].as_i64());
    codes.any(|code| code.cast_unsigned() >> 62 == 0)
}

/// What is wrong with a refusal, if anything.
fn amiss(got: &Got) -> Option<String> {
    if got.text.len() > REFUSAL_MAX {
        return Some(format!("{} bytes of refusal", got.text.len()));
    }
    if got.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Some("the refusal is no JSON".into());
    }
    let Ok(document) = serde_json::from_str::<Value>(&got.text) else { return Some("the refusal is no JSON".into()) };
    // What runs drbd-reactorctl has a form of its own, and a refused clone answers with the document of the clone (both observed).
    if document["error"].is_string() {
        return None;
    }
    let Some(entries) = document.as_array().or_else(|| document["messages"].as_array()) else { return Some("no list of entries".into()) };
    let severity = |entry: &&Value| entry["ret_code"].as_i64().map_or(0, |code| code.cast_unsigned() >> 62);
    // A satellite that cannot be asked is a warning with 503 (contract 10.1).
    let least = if got.status == 503 { WARNING } else { ERROR };
    let Some(error) = entries.iter().find(|entry| severity(entry) >= least) else { return Some("no entry is an error".into()) };
    if error["message"].as_str().unwrap_or_default().is_empty() {
        return Some("no message".into());
    }
    if ["cause", "correction"].iter().all(|member| error[member].as_str().unwrap_or_default().is_empty()) {
        return Some("neither cause nor correction".into());
    }
    let number = error["ret_code"].as_i64().unwrap_or_default().cast_unsigned() & 0x7fff;
    let is_known = KNOWN.iter().any(|part| error.to_string().contains(part));
    (got.status >= 500 && UNKNOWN.contains(&number) && !is_known).then(|| "failed inside".to_owned())
}

/// Chance that can be repeated, and how often it is tried: `usual` times, or `long` times if many are asked for.
pub(super) fn chance(usual: usize, long: usize) -> (fastrand::Rng, usize) {
    let given = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{SEED}={seed}");
    (fastrand::Rng::with_seed(seed), many(usual, long))
}

/// So many of something: `usual`, or `long` if many are asked for.
pub(super) fn many(usual: usize, long: usize) -> usize {
    if std::env::var_os(LONG).is_some() { long } else { usual }
}
