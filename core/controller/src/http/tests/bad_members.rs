//! Each member of each document that the API takes, with values that are none: one at a time, in a document that is right but for it.
//!
//! Members and their types are those of the document that describes the API. Bodies that are no documents at all, names in paths and queries
//! are tried in `bad_input`.

use std::collections::BTreeMap;

use super::walk::{Operation, Tried, Walk, chance, many, operations, schemas};
use super::*;

/// Documents lie in each other at most so deep.
const DEPTH: usize = 5;
/// What stands in for a value that `Value` cannot hold.
const MARK: &str = "@the value@";

/// A right document for each operation that takes one with members. It is carried out, or refused for what it says, never for its form.
const RIGHT: &[(&str, &str)] = &[
    ("POST /v1/actions/snapshot/multi", r#"{"snapshots":[{"resource_name":"web","name":"more"}]}"#),
    ("POST /v1/berth/balance", "{}"),
    ("POST /v1/berth/drift/adopt", r#"{"node":"alpha","pool":"thin","id":"0190a1b2-0000-7000-8000-000000000000"}"#),
    ("POST /v1/berth/drift/remove", r#"{"node":"alpha","pool":"thin","id":"0190a1b2-0000-7000-8000-000000000000"}"#),
    ("POST /v1/berth/drift/take-in", r#"{"node":"alpha","pool":"thin"}"#),
    ("POST /v1/berth/place", r#"{"group":"grp","volume_sizes":[65536]}"#),
    ("POST /v1/berth/resource-definitions/{resource}/rename", r#"{"new_name":"renamed"}"#),
    ("POST /v1/berth/resource-definitions/{resource}/snapshots/{snapshot}/rename", r#"{"new_name":"renamed"}"#),
    ("POST /v1/berth/resource-groups/{group}/rename", r#"{"new_name":"renamed"}"#),
    ("POST /v1/controller/auth/initialize-token-auth", r#"{"description":"first","only_satellites":true}"#),
    ("POST /v1/controller/auth/token", r#"{"description":"one more"}"#),
    ("PUT /v1/controller/auth/token/{token}", r#"{"description":"changed"}"#),
    ("POST /v1/controller/backup/db", r#"{"backup_name":"copy"}"#),
    ("PUT /v1/controller/config", r#"{"log":{"level":"INFO"}}"#),
    ("POST /v1/controller/database/export", r#"{"backup_name":"export.json"}"#),
    ("POST /v1/controller/properties", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/encryption/passphrase", r#"{"new_passphrase":"hush-hush"}"#),
    ("PUT /v1/encryption/passphrase", r#"{"old_passphrase":"hush-hush","new_passphrase":"hush-hush-2"}"#),
    ("PATCH /v1/error-reports", r#"{"ids":["none"]}"#),
    ("PUT /v1/files/{file}", r#"{"path":"/etc/web.conf","content":"a2VwdA=="}"#),
    ("PUT /v1/key-value-store/{store}", r#"{"override_props":{"more":"1"}}"#),
    ("PUT /v1/node-connections/{node_a}/{node_b}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/nodes", r#"{"name":"echo","type":"SATELLITE","net_interfaces":[{"name":"default","address":"127.0.0.9"}]}"#),
    ("POST /v1/nodes/exec/drbd-reactorctl/disable", r#"{"nodes":["alpha"],"config":"web"}"#),
    ("POST /v1/nodes/exec/drbd-reactorctl/enable", r#"{"nodes":["alpha"],"config":"web"}"#),
    ("POST /v1/nodes/exec/drbd-reactorctl/evict", r#"{"nodes":["alpha"],"config":"web"}"#),
    ("POST /v1/nodes/exec/drbd-reactorctl/restart", r#"{"nodes":["alpha"],"config":"web"}"#),
    ("POST /v1/nodes/exec/drbd-reactorctl/status", r#"{"nodes":["alpha"]}"#),
    ("PUT /v1/nodes/{node}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("PUT /v1/nodes/{node}/config", r#"{"log":{"level":"INFO"}}"#),
    ("PUT /v1/nodes/{node}/evacuate", r#"{"target":["bravo"]}"#),
    ("POST /v1/nodes/{node}/net-interfaces", r#"{"name":"third","address":"10.9.9.3"}"#),
    ("PUT /v1/nodes/{node}/net-interfaces/{interface}", r#"{"name":"second","address":"10.9.9.2"}"#),
    ("PUT /v1/nodes/{node}/restore", r#"{"delete_resources":false}"#),
    (
        "POST /v1/nodes/{node}/storage-pools",
        r#"{"storage_pool_name":"more","provider_kind":"FILE_THIN","props":{"StorDriver/StorPoolName":"/pools/more"}}"#,
    ),
    ("PUT /v1/nodes/{node}/storage-pools/{pool}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/physical-storage/{node}", r#"{"provider_kind":"LVM","device_paths":["/dev/none"],"pool_name":"none"}"#),
    ("POST /v1/queries/resource-groups/query-all-size-info", r#"{"select_filter":{}}"#),
    ("OPTIONS /v1/query-max-volume-size", r#"{"place_count":1}"#),
    ("POST /v1/resource-definitions", r#"{"resource_definition":{"name":"more","layer_data":[{"type":"STORAGE"}]}}"#),
    ("PUT /v1/resource-definitions/{resource}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-definitions/{resource}/autoplace", r#"{"select_filter":{"place_count":1}}"#),
    ("POST /v1/resource-definitions/{resource}/clone", r#"{"name":"copied"}"#),
    ("PUT /v1/resource-definitions/{resource}/drbd-proxy", r#"{"compression_type":"zlib","compression_props":{"level":"9"}}"#),
    ("PUT /v1/resource-definitions/{resource}/resource-connections/{node_a}/{node_b}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-definitions/{resource}/resources", r#"[{"resource":{"node_name":"bravo","props":{"StorPoolName":"thin"}}}]"#),
    ("POST /v1/resource-definitions/{resource}/resources/{node}", r#"{"resource":{"node_name":"alpha","props":{"StorPoolName":"thin"}}}"#),
    ("PUT /v1/resource-definitions/{resource}/resources/{node}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-definitions/{resource}/resources/{node}/make-available", r#"{"diskful":false}"#),
    ("PUT /v1/resource-definitions/{resource}/resources/{node}/toggle-disk", r#"{"operation":"INTO_DRBD_DISKFUL","storage_pool":"thin"}"#),
    ("PUT /v1/resource-definitions/{resource}/resources/{node}/volumes/{number}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-definitions/{resource}/snapshot-restore-resource/{snapshot}", r#"{"to_resource":"bare"}"#),
    ("POST /v1/resource-definitions/{resource}/snapshot-restore-volume-definition/{snapshot}", r#"{"to_resource":"bare"}"#),
    ("POST /v1/resource-definitions/{resource}/snapshot-rollback/{snapshot}", "{}"),
    ("POST /v1/resource-definitions/{resource}/snapshots", r#"{"name":"more"}"#),
    ("PUT /v1/resource-definitions/{resource}/snapshots/{snapshot}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-definitions/{resource}/volume-definitions", r#"{"volume_definition":{"size_kib":65536}}"#),
    ("PUT /v1/resource-definitions/{resource}/volume-definitions/{number}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("PUT /v1/resource-definitions/{resource}/volume-definitions/{number}/encryption-passphrase", r#"{"new_passphrase":"hush-hush"}"#),
    ("POST /v1/resource-groups", r#"{"name":"more","select_filter":{"place_count":1}}"#),
    ("POST /v1/resource-groups/adjustall", "{}"),
    ("PUT /v1/resource-groups/{group}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/resource-groups/{group}/adjust", "{}"),
    ("POST /v1/resource-groups/{group}/query-size-info", r#"{"select_filter":{}}"#),
    ("POST /v1/resource-groups/{group}/spawn", r#"{"resource_definition_name":"more","volume_sizes":[65536]}"#),
    ("POST /v1/resource-groups/{group}/volume-groups", r#"{"volume_number":1}"#),
    ("PUT /v1/resource-groups/{group}/volume-groups/{number}", r#"{"override_props":{"Aux/more":"1"}}"#),
    ("POST /v1/storage-pool-definitions", r#"{"storage_pool_name":"more"}"#),
    ("PUT /v1/storage-pool-definitions/{pool}", r#"{"override_props":{"Aux/more":"1"}}"#),
];

/// The way from a document to a value in it.
#[derive(Debug, Clone)]
enum Step {
    Member(String),
    First,
}

/// A value in a document, and what it has to be.
struct Spot {
    way: Vec<Step>,
    schema: Value,
}

impl Spot {
    fn name(&self) -> String {
        let words = self.way.iter().map(|step| match step {
            Step::Member(name) => name.as_str(),
            Step::First => "[]",
        });
        words.collect::<Vec<_>>().join(".")
    }
}

type Schemas = BTreeMap<String, Value>;

/// A schema without references and choices: of several kinds the first.
fn resolved<'s>(schemas: &'s Schemas, schema: &'s Value) -> &'s Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(schemas, &schemas[reference.rsplit('/').next().unwrap()]);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        let mut kinds = schema[key].as_array().into_iter().flatten();
        if let Some(first) = kinds.find(|kind| kind["type"] != "null") {
            return resolved(schemas, first);
        }
    }
    schema
}

/// Every value that a document of this schema can hold, on its way from the document.
fn spots(schemas: &Schemas, schema: &Value, way: &[Step], into: &mut Vec<Spot>) {
    let schema = resolved(schemas, schema);
    if way.len() > DEPTH {
        return;
    }
    let step = |step: Step| way.iter().cloned().chain([step]).collect::<Vec<_>>();
    let inner: Vec<(Vec<Step>, &Value)> = if let Some(members) = schema["properties"].as_object() {
        members.iter().map(|(name, schema)| (step(Step::Member(name.clone())), schema)).collect()
    } else if schema["items"].is_object() {
        vec![(step(Step::First), &schema["items"])]
    } else if schema["additionalProperties"].is_object() {
        vec![(step(Step::Member("Aux/any".to_owned())), &schema["additionalProperties"])]
    } else {
        Vec::new()
    };
    for (way, schema) in inner {
        spots(schemas, schema, &way, into);
        into.push(Spot { way, schema: resolved(schemas, schema).clone() });
    }
}

/// The type of a schema; of several the first that is not null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        other => other.as_str().unwrap_or_default(),
    }
}

/// Values that one of this schema cannot have, as JSON. Numbers and booleans may come as texts, and the other way about.
fn wrong(schema: &Value) -> Vec<String> {
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let deeper = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let plain: &[&str] = match kind(schema) {
        "string" => &["{\"a\":1}", "[[1]]", "[\"alpha\"]", "1e400"],
        "integer" | "number" => &[
            "\"many\"",
            "{\"a\":1}",
            "[1]",
            "\"1e3x\"",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1e400",
            "-1e400",
            "1e300",
            "\"99999999999999999999\"",
            "\"\"",
            "\"0x10\"",
            "\"\\u0000\"",
        ],
        "boolean" => &["\"perhaps\"", "{\"a\":1}", "[true]", "1e400"],
        "array" => &["{\"a\":1}", "7", "\"text\"", "true", "[[[7]]]", "[{\"a\":[1]}]"],
        "object" if schema["properties"].is_object() => &["7", "\"text\"", "[1]", "true"],
        "object" => &["7", "\"text\"", "[1]", "{\"a\":{\"b\":1}}", "{\"a\":[1]}"],
        _ => &[],
    };
    // A member that is not known may hold anything.
    let nested = if schema["properties"].is_object() { vec![deeper] } else { vec![deep, deeper] };
    plain.iter().map(|text| (*text).to_owned()).chain(nested.into_iter().filter(|_| !plain.is_empty())).collect()
}

/// Values of the right type that nothing has: they may be refused, and must not break anything.
fn odd(schema: &Value) -> Vec<String> {
    let (long, endless) = (format!("\"{}\"", "x".repeat(10_000)), format!("\"{}\"", "é".repeat(many(1 << 16, 1 << 19))));
    let mut all: Vec<String> = match kind(schema) {
        "string" => [
            "\"\"",
            "\" \"",
            "\"\\u0000\"",
            "\"../../etc/passwd\"",
            "\"/\"",
            "\"a\\nb\"",
            "\"\u{fc}ml\u{e4}ut \u{202e}\"",
            "\"\\ud83e\\udd80\"",
            "\"*\"",
            "\"(((((\"",
            "\"-1\"",
            "7",
            "true",
            "\"alpha\"",
            "\"thin\"",
            "\"DISKLESS\"",
            "\"2099-01-01\"",
            "\"::\"",
        ]
        .map(str::to_owned)
        .to_vec(),
        "integer" | "number" => {
            ["-1", "0", "1", "1.5", "-0.0", "65535", "65536", "4294967296", "9223372036854775807", "-9223372036854775808", "\"7\"", "true"]
                .map(str::to_owned)
                .to_vec()
        }
        "boolean" => ["\"True\"", "1", "0", "\"\"", "7", "true", "false"].map(str::to_owned).to_vec(),
        "array" => {
            let alike = format!("[{}]", vec!["\"alpha\""; many(5_000, 100_000)].join(","));
            let different: Vec<String> = (0..many(5_000, 100_000)).map(|number| format!("\"n{number}\"")).collect();
            let mut all =
                vec!["[]".to_owned(), "[null,null,null]".to_owned(), format!("[{long}]"), alike, format!("[{}]", different.join(","))];
            all.extend(
                ["[\"\"]", "[\"\\u0000\"]", "[\"alpha\",\"ALPHA\"]", "[0]", "[-1,-1]", "[9223372036854775807,9223372036854775807]"]
                    .map(str::to_owned),
            );
            all
        }
        "object" => {
            let keys: Vec<String> = (0..many(1_000, 10_000)).map(|number| format!("\"Aux/n{number}\":\"1\"")).collect();
            let mut all = vec![
                "{}".to_owned(),
                format!("{{{long}:\"1\"}}"),
                format!("{{\"Aux/long\":{endless}}}"),
                format!("{{{}}}", keys.join(",")),
            ];
            all.extend(
                ["{\"\":\"\"}", "{\"a\":null}", "{\"Aux/\\u0000\":\"\\u0000\"}", "{\"Aux/a\":\"1\",\"Aux/a\":\"2\"}", "{\"/\":\"1\"}"]
                    .map(str::to_owned),
            );
            all
        }
        _ => vec!["{\"a\":1}".to_owned(), "[1]".to_owned(), "7".to_owned()],
    };
    if kind(schema) == "string" {
        all.extend([long, endless]);
    }
    all.push("null".to_owned());
    all
}

/// Puts a value at the end of a way; what is missing before it is made.
fn put(document: &mut Value, way: &[Step], value: Value) {
    match way.split_first() {
        None => *document = value,
        Some((Step::Member(name), rest)) => {
            if !document.is_object() {
                *document = json!({});
            }
            put(&mut document[name], rest, value);
        }
        Some((Step::First, rest)) => {
            if document.as_array().is_none_or(Vec::is_empty) {
                *document = json!([null]);
            }
            put(&mut document[0], rest, value);
        }
    }
}

/// A document as text with this JSON at the end of a way.
fn with(right: &Value, way: &[Step], raw: &str) -> String {
    let mut document = right.clone();
    put(&mut document, way, json!(MARK));
    document.to_string().replace(&format!("\"{MARK}\""), raw)
}

/// An operation that takes a document with members.
struct Taker {
    operation: Operation,
    right: Value,
    spots: Vec<Spot>,
}

fn takers(all: &[Operation], schemas: &Schemas) -> Vec<Taker> {
    let right: BTreeMap<&str, &str> = RIGHT.iter().copied().collect();
    assert_eq!(right.len(), RIGHT.len(), "a document stands there twice");
    let mut takers = Vec::new();
    for operation in all {
        let mut found = Vec::new();
        if let Some(schema) = operation.body() {
            spots(schemas, schema, &[], &mut found);
        }
        // What takes any document reads none: this version has nothing to do with it.
        if found.iter().all(|spot| kind(&spot.schema).is_empty()) {
            continue;
        }
        let name = operation.name();
        let right = right.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no right document in this test"));
        takers.push(Taker { operation: operation.clone(), right: serde_json::from_str(right).unwrap(), spots: found });
    }
    let known: Vec<String> = takers.iter().map(|taker| taker.operation.name()).collect();
    let extra: Vec<&&str> = right.keys().filter(|name| !known.iter().any(|known| known == **name)).collect();
    assert!(extra.is_empty(), "documents of operations that there are not: {extra:?}");
    takers
}

#[tokio::test(start_paused = true)]
async fn every_member_of_every_document_is_judged() {
    let mut walk = Walk::new().await;
    let takers = takers(&operations(&walk.world).await, &schemas(&walk.world).await);
    let members: usize = takers.iter().map(|taker| taker.spots.len()).sum();
    assert!(takers.len() > 60 && members > 300, "{members} members of {} documents", takers.len());
    for Taker { operation, right, spots } in &takers {
        let path = operation.filled(None);
        let right_text = right.to_string();
        let (got, _) = walk.judge(operation, &Tried::new(operation, &path, &right_text)).await;
        if got.status == 400 && got.text.contains("Unable to parse") {
            walk.fault(operation, "a right document is called unreadable", &Tried::new(operation, &path, &right_text), &got);
        }
        for spot in spots {
            for raw in wrong(&spot.schema) {
                let body = with(right, &spot.way, &raw);
                let (got, _) = walk.judge(operation, &Tried::new(operation, &path, &body)).await;
                if got.status < 400 {
                    walk.fault(
                        operation,
                        &format!("'{}' of a wrong type was passed over", spot.name()),
                        &Tried::new(operation, &path, &body),
                        &got,
                    );
                }
            }
            for raw in odd(&spot.schema) {
                let body = with(right, &spot.way, &raw);
                walk.judge(operation, &Tried::new(operation, &path, &body)).await;
            }
        }
    }
    let all: Vec<Operation> = takers.into_iter().map(|taker| taker.operation).collect();
    walk.end(&all).await;
}

/// Several odd members at once, under a seed that is printed.
#[tokio::test(start_paused = true)]
async fn no_document_stumbles_over_chance() {
    let mut walk = Walk::new().await;
    let takers = takers(&operations(&walk.world).await, &schemas(&walk.world).await);
    let (mut dice, count) = chance(300, 30_000);
    for _ in 0..count {
        let taker = &takers[dice.usize(..takers.len())];
        let mut body = taker.right.clone();
        for _ in 0..dice.usize(1..5) {
            let spot = &taker.spots[dice.usize(..taker.spots.len())];
            let values: Vec<Value> =
                odd(&spot.schema).iter().filter(|raw| raw.len() < 20_000).filter_map(|raw| serde_json::from_str(raw).ok()).collect();
            if let Some(value) = dice.choice(&values) {
                put(&mut body, &spot.way, value.clone());
            }
        }
        let (path, body) = (taker.operation.filled(None), body.to_string());
        walk.judge(&taker.operation, &Tried::new(&taker.operation, &path, &body)).await;
    }
    let reached: Vec<Operation> =
        takers.into_iter().map(|taker| taker.operation).filter(|operation| walk.sent.contains_key(&operation.name())).collect();
    walk.end(&reached).await;
}
