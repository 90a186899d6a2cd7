//! Dry runs over the API: nothing changes, and the real thing does what was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_engine::explain::fields::differences;
use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::observed::Standing;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{ask, get, told};
use crate::testkit::{Fake, Kit, definition, kvs, until};

/// A satellite that does what it is told, as long as nobody holds the gate.
fn obey(mut fake: Fake, gate: Arc<Mutex<()>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            fake.take().await;
            let _open = gate.lock().await;
            fake.report(false, |_| Standing::Settled).await;
        }
    })
}

fn objects(cluster: &Cluster) -> BTreeMap<Key, Object> {
    cluster.objects().map(|object| (object.key(), object)).collect()
}

/// Ids that nobody had before, and moments, as `*`; others stay.
fn plain(value: &Value, field: &str, known: &str) -> Value {
    // A generation of DRBD's data is drawn like an id.
    let is_drawn = ["created", "deleted", "DrbdCurrentGi"].contains(&field.rsplit('.').next().unwrap_or(field));
    match value {
        _ if is_drawn => json!("*"),
        Value::String(text) if text.starts_with("new-") => json!("*"),
        Value::String(text) if uuid::Uuid::try_parse(text).is_ok() && !known.contains(text.as_str()) => json!("*"),
        Value::Array(items) => items.iter().map(|item| plain(item, field, known)).collect(),
        other => other.clone(),
    }
}

fn key(kind: &str, text: &str) -> String {
    if kind == "job" { "job *".to_owned() } else { format!("{kind} {text}") }
}

type Changes = BTreeMap<String, (String, BTreeMap<String, (Value, Value)>)>;

fn predicted(document: &Value, known: &str) -> Changes {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let value = |field: &Value, side: &str| plain(&field[side], field["field"].as_str().unwrap(), known);
    let one = |change: &Value| {
        let fields = change["fields"].as_array().unwrap();
        let fields = fields.iter().map(|field| (text(&field["field"]), (value(field, "before"), value(field, "after")))).collect();
        (key(change["kind"].as_str().unwrap(), change["key"].as_str().unwrap()), (text(&change["op"]), fields))
    };
    document["changes"].as_array().unwrap_or_else(|| panic!("{document}")).iter().map(one).collect()
}

fn committed(before: &Cluster, after: &Cluster, known: &str) -> Changes {
    let (before, after) = (objects(before), objects(after));
    let mut changes = Changes::new();
    for record in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(record), after.get(record));
        let op = match (old, new) {
            _ if old == new => continue,
            (None, _) => "make",
            (_, None) => "remove",
            _ => "change",
        };
        let side = |value: Option<Value>, field: &str| plain(&value.unwrap_or_default(), field, known);
        let fields = match new {
            None => BTreeMap::new(),
            Some(_) => differences(old, new)
                .into_iter()
                .map(|change| (change.field.clone(), (side(change.before, &change.field), side(change.after, &change.field))))
                .collect(),
        };
        changes.insert(key(record.kind().word(), &record.text()), (op.to_owned(), fields));
    }
    changes
}

#[tokio::test]
async fn the_real_thing_does_what_the_dry_run_said() {
    let kit = Kit::new().await;
    let gate = Arc::new(Mutex::new(()));
    let satellites = [obey(kit.node("alpha").await, Arc::clone(&gate)), obey(kit.node("bravo").await, Arc::clone(&gate))];
    kit.node("charlie").await.leave().await;
    kit.must([kvs("store", "1")]).await;
    for (method, path, body) in [
        ("POST", "/v1/resource-groups", r#"{"name":"gold","select_filter":{"place_count":1}}"#),
        ("POST", "/v1/resource-groups/gold/volume-groups", "{}"),
        ("POST", "/v1/resource-groups/gold/spawn", r#"{"resource_definition_name":"web","volume_sizes":[65536]}"#),
        ("POST", "/v1/resource-definitions", r#"{"resource_definition":{"name":"two","layer_data":[{"type":"STORAGE"}]}}"#),
        ("POST", "/v1/resource-definitions/two/volume-definitions", r#"{"volume_definition":{"size_kib":8192}}"#),
        ("POST", "/v1/resource-definitions/two/resources/bravo", r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#),
        ("PUT", "/v1/resource-definitions/web", r#"{"override_props":{"Aux/zone":"a"}}"#),
        ("PUT", "/v1/resource-definitions/web/volume-definitions/0", r#"{"size_kib":131072}"#),
        ("POST", "/v1/resource-definitions/web/snapshots", r#"{"name":"s1"}"#),
        ("POST", "/v1/resource-definitions/web/snapshot-rollback/s1", ""),
        ("POST", "/v1/resource-definitions/web/clone", r#"{"name":"copy"}"#),
        ("POST", "/v1/resource-definitions/two/resources/bravo/deactivate", ""),
        ("DELETE", "/v1/resource-definitions/two/resources/bravo", ""),
        ("DELETE", "/v1/resource-definitions/web/snapshots/s1", ""),
        ("DELETE", "/v1/resource-definitions/web", ""),
        ("PUT", "/v1/key-value-store/store", r#"{"override_props":{"key":"2"}}"#),
        ("POST", "/v1/controller/properties", r#"{"override_props":{"Aux/x":"1"}}"#),
        ("PUT", "/v1/nodes/charlie", r#"{"override_props":{"Aux/x":"1"}}"#),
        ("DELETE", "/v1/nodes/charlie/lost", ""),
    ] {
        let about = format!("{method} {path}");
        // A clone's answer does not wait for it.
        let before = until(&kit.controller, |view| view.cluster.jobs.is_empty()).await.cluster;
        let document = ask(&kit, method, &format!("{path}?dry_run=plan"), body).await;
        assert_eq!(document.status, 200, "{about}: {}", document.text);
        let words = told(&kit, method, &format!("{path}?dry_run=true"), body).await;
        assert!(words.starts_with("200"), "{about}: {words}");
        let now = kit.controller.view().cluster;
        assert_eq!((now.serial, objects(&now)), (before.serial, objects(&before)), "{about}: the dry run changed something");

        let known = format!("{:?}", objects(&before));
        let held = gate.lock().await;
        let real = ask(&kit, method, path, body);
        tokio::pin!(real);
        let (after, got) = tokio::select! {
            view = until(&kit.controller, |view| view.cluster.serial > before.serial) => (view.cluster, None),
            got = &mut real => (kit.controller.view().cluster, Some(got)),
        };
        let (predicted, committed) = (predicted(&document.json(), &known), committed(&before, &after, &known));
        assert!(!committed.is_empty(), "{about}");
        assert_eq!(predicted, committed, "{about}");
        drop(held);
        let got = match got {
            Some(got) => got,
            None => real.await,
        };
        assert!(got.status < 300, "{about}: {}", got.text);
    }
    satellites.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_dry_run_is_refused_as_the_real_thing_would_be() {
    let kit = Kit::new().await;
    kit.must(definition("one")).await;
    for (method, path, body, expected) in [
        ("DELETE", "/v1/resource-definitions/one?dry_run=yes", "", "400 E234"),
        ("DELETE", "/v1/resource-definitions/one?dry_run=", "", "400 E234"),
        ("DELETE", "/v1/resource-definitions/one?dry_run=1&dry_run=false", "", "400 E234"),
        ("GET", "/v1/resource-definitions?dry_run=maybe", "", "400 E234"),
        ("DELETE", "/v1/resource-definitions/one?dry-run=true", "", "400 E234"),
        ("DELETE", "/v1/resource-definitions/one?dryRun=1", "", "400 E234"),
        ("DELETE", "/v1/resource-definitions/one?dry%2Drun=true", "", "400 E234"),
        ("DELETE", "/v1/error-reports/none?DRY_RUN=true", "", "400 E234"),
        // Also where nothing of the query is looked at: the command line finds out by this whether a controller knows the word.
        ("GET", "/v1/controller/version?dry_run=probe", "", "400 E234"),
        ("POST", "/v1/resource-groups/none/spawn?dry_run=1", r#"{"resource_definition_name":"web"}"#, "404 E317"),
        ("POST", "/v1/resource-groups/none/spawn?dry_run=plan", r#"{"resource_definition_name":"web"}"#, "404 E317"),
        ("POST", "/v1/nodes?dry_run=1", "{", "400 E4093"),
        ("POST", "/v1/resource-definitions?dry_run=TRUE", r#"{"resource_definition":{"name":"b!d"}}"#, "500 E202"),
        ("DELETE", "/v1/resource-definitions/none?dry_run=true", "", "200 I10007 W3000"),
        ("DELETE", "/v1/resource-definitions/one?dry_run=true", "", "200 I10007 I10007 I10007"),
        ("DELETE", "/v1/error-reports/none?dry_run=true", "", "200 I10007"),
    ] {
        let got = told(&kit, method, path, body).await;
        // The parser's code is wider than what is told here.
        let expected = if path.starts_with("/v1/nodes") { got.clone() } else { expected.to_owned() };
        assert_eq!(got, expected, "{method} {path}");
        assert!(!path.starts_with("/v1/nodes") || got.starts_with("400"), "{got}");
    }
    let mut alpha = kit.node("alpha").await;
    let create =
        ask(&kit, "POST", "/v1/resource-definitions/one/resources/alpha?dry_run=plan", r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#);
    let steps = create.await.json()["steps"].clone();
    assert_eq!(steps[0]["node"], json!("alpha"));
    assert_eq!(steps[0]["actions"], json!(["make volume 0 of 'one' in pool 'thin' (65536 KiB)", "serve 'one'"]));
    assert_eq!((&steps[1]["step"], &steps[1]["node"]), (&json!(2), &Value::Null));
    assert_eq!(get(&kit, "/v1/resource-definitions").await.json().as_array().unwrap().len(), 1);
    // What is asked for explicitly is done.
    let real = "/v1/resource-definitions/one/resources/alpha?dry_run=false";
    let ((), made) = tokio::join!(
        async {
            alpha.take().await;
            alpha.report(false, |_| Standing::Settled).await;
        },
        told(&kit, "POST", real, r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#)
    );
    assert!(made.starts_with("201"), "{made}");
    let clone = ask(&kit, "POST", "/v1/resource-definitions/one/clone?dry_run=1", r#"{"name":"two"}"#).await;
    assert_eq!((clone.status, &clone.json()["clone_name"]), (200, &json!("two")), "{}", clone.text);
}

/// The operations that are served, as docs/api.md lists them: verb and path.
fn operations() -> Vec<(String, String)> {
    let row = |line: &str| {
        let (path, verbs) = line.strip_prefix("| `")?.split_once("` | ")?;
        let verbs = verbs.strip_suffix(" |")?.split(", ").map(str::to_owned);
        Some(verbs.map(|verb| (verb, path.to_owned())).collect::<Vec<_>>())
    };
    let text = include_str!("../../../../../docs/api.md");
    let (_, table) = text.split_once("## Operations").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    table.lines().filter_map(row).flatten().collect()
}

#[tokio::test]
async fn what_only_reads_has_no_dry_run_and_all_else_has() {
    let kit = Kit::new().await;
    let operations = operations();
    assert!(operations.len() > 100, "{operations:?}");
    for (verb, path) in operations {
        let reads = verb == "GET" || path.contains("/query-");
        // Names that there are not: nothing could be changed.
        let named = path.replace("{*", "{").replace('{', "none-").replace('}', "");
        for how in ["true", "plan", "false"] {
            // Done for real it would ask all that follow for a token.
            if how == "false" && path.ends_with("/initialize-token-auth") {
                continue;
            }
            let got = ask(&kit, &verb, &format!("{named}?dry_run={how}"), "{}").await;
            let refused = got.text.contains("changes nothing, so it has no dry run");
            assert_eq!(refused, reads, "{verb} {path}?dry_run={how}: {} {}", got.status, got.text);
            assert!(!reads || got.status == 400, "{verb} {path}: {}", got.status);
        }
    }
    assert_eq!(told(&kit, "GET", "/v1/berth/risk?dry_run=true", "").await, "400 E234");
    assert_eq!(ask(&kit, "HEAD", "/v1/nodes?dry_run=1", "").await.status, 400);
}
