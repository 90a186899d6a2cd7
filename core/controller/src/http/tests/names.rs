//! Names that break the rules of their kind, at every operation that makes something of that name.
//!
//! What clients are told is the code of the kind with status 500 (contract 2.5: a refusal of a value is no 400), a sentence of bounded
//! length, and what is allowed; nothing changes.

use super::*;

const LONG: usize = 10_000;
/// An answer that is longer repeats what it was sent.
const ANSWER_MAX: usize = 4096;

/// Method, path, body with the name in it, code; and a name that is one character too short, if that is not an empty one.
type Route = (&'static str, &'static str, fn(&str) -> Value, u16, &'static str);

const ROUTES: &[Route] = &[
    ("POST", "/v1/nodes", |name| json!({"name": name, "net_interfaces": [{"name": "default", "address": "10.0.0.9"}]}), 200, "a"),
    ("POST", "/v1/nodes/alpha/net-interfaces", |name| json!({"name": name, "address": "10.0.0.9"}), 209, "a"),
    ("POST", "/v1/nodes/alpha/storage-pools", |name| json!({"stor_pool_name": name, "provider_kind": "DISKLESS"}), 208, "ab"),
    ("POST", "/v1/storage-pool-definitions", |name| json!({"storage_pool_name": name}), 208, "ab"),
    ("POST", "/v1/resource-groups", |name| json!({"name": name}), 237, "a"),
    ("POST", "/v1/resource-definitions", |name| json!({"resource_definition": {"name": name}}), 202, "a"),
    ("POST", "/v1/resource-definitions/web/snapshots", |name| json!({"name": name}), 218, "a"),
    ("POST", "/v1/actions/snapshot/multi", |name| json!({"snapshots": [{"resource_name": "web", "name": name}]}), 218, "a"),
    ("POST", "/v1/resource-groups/DfltRscGrp/spawn", |name| json!({"resource_definition_name": name, "volume_sizes": [4096]}), 202, "a"),
];

#[tokio::test]
async fn bad_names_are_refused_alike_wherever_something_is_made() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("web").await;
    kit.must([replica("web", "alpha")]).await;
    let _named = alpha.take().await;
    alpha.report(false, |_| Standing::Settled).await;
    crate::testkit::until(&kit.controller, |view| view.cluster.jobs.is_empty()).await;
    let before = kit.controller.view().cluster.serial;
    for (method, path, body, code, short) in ROUTES {
        let endless = "x".repeat(LONG);
        for name in [short, "with blank", "sl/ash", "semi;colon", "ümläut", "a\u{0}b", "../../etc", "-dash", endless.as_str()] {
            let got = ask(&kit, method, path, &body(name).to_string()).await;
            let shown: String = name.chars().take(20).collect();
            assert_eq!(got.told(), format!("500 E{code}"), "{path} {shown:?}: {}", got.text);
            assert!(got.text.len() < ANSWER_MAX, "{path} {shown:?}: {} bytes of answer", got.text.len());
            assert!(!got.json()[0]["correction"].as_str().unwrap_or_default().is_empty(), "{path} {shown:?}: {}", got.text);
        }
    }
    // A refused clone answers with the document of the clone, which repeats its name (contract).
    let got = ask(&kit, "POST", "/v1/resource-definitions/web/clone", r#"{"name":"a"}"#).await;
    let code = got.json()["messages"][0]["ret_code"].as_i64().unwrap_or_default();
    assert_eq!((got.status, code & 0x7fff), (500, 202), "{}", got.text);
    assert_eq!(kit.controller.view().cluster.serial, before, "nothing changed");
}

/// The name in the path: also there its length decides nothing but the answer.
#[tokio::test]
async fn bad_names_in_paths_are_refused_alike() {
    let kit = Kit::new().await;
    let endless = "x".repeat(LONG);
    for (method, path, code) in [
        ("PUT", "/v1/key-value-store/NAME", 223),
        ("POST", "/v1/resource-definitions/NAME/resources/alpha", 202),
        ("POST", "/v1/resource-groups/NAME/volume-groups", 237),
        ("POST", "/v1/nodes/NAME/net-interfaces", 200),
    ] {
        let body = match method {
            "PUT" => json!({"override_props": {"a": "b"}}),
            _ => json!({"name": "default", "address": "10.0.0.9"}),
        };
        for name in [endless.as_str(), "%20", "a%3Bb"] {
            let got = ask(&kit, method, &path.replace("NAME", name), &body.to_string()).await;
            assert_eq!(got.told(), format!("500 E{code}"), "{path}: {}", got.text);
            assert!(got.text.len() < ANSWER_MAX, "{path}: {} bytes of answer", got.text.len());
        }
    }
}

#[tokio::test]
async fn a_name_that_is_a_word_of_the_api_is_a_name_all_the_same() {
    let kit = Kit::new().await;
    assert_eq!(told(&kit, "POST", "/v1/resource-groups", r#"{"name": "adjustall"}"#).await, "201 S1");
    assert_eq!(get(&kit, "/v1/resource-groups/adjustall").await.json()["name"], "adjustall");
    assert_eq!(told(&kit, "PUT", "/v1/resource-groups/adjustall", r#"{"description": "x"}"#).await, "200 S3");
    assert_eq!(ask(&kit, "POST", "/v1/resource-groups/adjustall", "{}").await.status, 200, "the word itself");
    assert_eq!(told(&kit, "DELETE", "/v1/resource-groups/adjustall", "").await, "200 S2");
    assert_eq!(get(&kit, "/v1/resource-groups/adjustall?x=1").await.status, 404);
    let node =
        r#"{"name": "ebs", "type": "SATELLITE", "net_interfaces": [{"name": "default", "address": "127.0.0.1", "satellite_port": 1}]}"#;
    assert_eq!(ask(&kit, "POST", "/v1/nodes", node).await.status, 201);
    assert_eq!(get(&kit, "/v1/nodes/ebs").await.json()["name"], "ebs");
    assert_eq!(ask(&kit, "DELETE", "/v1/nodes/ebs", "").await.status, 200);
    // The lists of kinds of remotes stand where their names stand.
    for remote in ["s3", "linstor", "ebs", "other"] {
        for verb in ["GET", "POST", "DELETE"] {
            assert_eq!(told(&kit, verb, &format!("/v1/remotes/{remote}/backups"), "{}").await, "404 E321", "{verb} {remote}");
        }
    }
}
