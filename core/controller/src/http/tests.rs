//! The API as clients meet it: requests in, statuses and documents out.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

mod absent;
mod auth;
mod bad_input;
mod bad_members;
mod balance;
mod connections;
mod deploy;
mod dry;
mod encryption;
mod explain;
mod files;
mod lists;
mod machine;
mod names;
mod place;
mod sos;
mod walk;

use super::body::BODY_MAX;
use super::{answer, normal_path, router};
use crate::testkit::{Kit, definition, kvs, node, replica};
use berth_model::observed::Standing;

/// `ret_code` of a document that could not be read.
const PARSE: i64 = -3_458_764_513_820_540_931;

struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// Status, and severity and number of each entry: `E300`, `W3000`, `I10007`, `S1`.
    fn told(&self) -> String {
        let entries = self.json();
        let entries = entries.as_array().cloned().unwrap_or_default();
        let words = entries.iter().map(|entry| {
            assert!(entry["message"].as_str().is_some_and(|message| !message.is_empty()), "{entry}");
            assert!(entry["created_at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 30), "{entry}");
            let code = entry["ret_code"].as_i64().expect("a number").cast_unsigned();
            format!(" {}{}", ["S", "I", "W", "E"][usize::try_from(code >> 62).unwrap()], code & 0x7fff)
        });
        std::iter::once(self.status.to_string()).chain(words).collect()
    }
}

async fn send(kit: &Kit, request: Request<Body>) -> Got {
    let service = tower::util::MapRequest::new(router(kit.controller.clone()), normal_path);
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Got { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

async fn ask(kit: &Kit, method: &str, path: &str, body: &str) -> Got {
    send(kit, Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap()).await
}

async fn get(kit: &Kit, path: &str) -> Got {
    ask(kit, "GET", path, "").await
}

async fn told(kit: &Kit, method: &str, path: &str, body: &str) -> String {
    ask(kit, method, path, body).await.told()
}

#[tokio::test]
async fn paths_and_verbs() {
    let kit = Kit::new().await;
    for (method, path, expected) in [
        ("GET", "/v1/nonsense", "404 E998"),
        ("GET", "/v2/nodes", "404 E998"),
        ("GET", "/v1//nodes", "404 E998"),
        ("GET", "/v1/nodes/alpha/nonsense/x", "404 E998"),
        ("PATCH", "/v1/nodes", "405 E998"),
        ("OPTIONS", "/v1/nodes", "405 E998"),
        ("DELETE", "/v1/controller/version", "405 E998"),
        ("GET", "/v1/nodes/%FF", "400 E998"),
        ("GET", "/v1/nodes", "200"),
        ("GET", "/v1/nodes/", "200"),
        ("GET", "/v1/nodes?", "200"),
        ("GET", "/v1/nodes/?limit=1", "200"),
        ("GET", "/v1/nodes/x/", "500 E200"),
        ("GET", "/v1/nodes/none?", "404 E300"),
        ("GET", "/v1/nodes?limit=few", "500 E234"),
        ("GET", "/v1/resource-definitions/none/resources/none", "404 E301"),
        ("GET", "/v1/resource-groups/none/volume-groups", "404 E317"),
        ("DELETE", "/v1/resource-definitions/none", "200 W3000"),
        ("DELETE", "/v1/resource-definitions/none?", "200 W3000"),
        ("GET", "/v1/resource-definitions?resource_definitions=b!d", "500 E202"),
    ] {
        let got = ask(&kit, method, path, "").await;
        assert_eq!(got.told(), expected, "{method} {path}: {}", got.text);
        assert_eq!(got.headers[header::CONTENT_TYPE], "application/json", "{method} {path}");
        for name in ["origin", "headers", "credentials", "methods"] {
            assert!(got.headers.contains_key(format!("access-control-allow-{name}")), "{method} {path}: {name}");
        }
    }
    let head = ask(&kit, "HEAD", "/v1/controller/version", "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let preflight = Request::builder().method("OPTIONS").uri("/v1/nodes").header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
    let got = send(&kit, preflight.body(Body::empty()).unwrap()).await;
    assert_eq!((got.status, got.text.as_str(), got.headers.contains_key("access-control-allow-methods")), (200, "", true));
}

#[tokio::test]
async fn bodies() {
    let kit = Kit::new().await;
    for body in ["{", "", "[]", "7", "null", r#"{"name":{}}"#, "{}x", "\u{0}"] {
        let got = ask(&kit, "POST", "/v1/nodes", body).await;
        let entry = &got.json()[0];
        assert_eq!((got.status, entry["ret_code"].as_i64()), (400, Some(PARSE)), "{body:?}: {}", got.text);
        for member in ["message", "cause", "details", "correction"] {
            assert!(entry[member].as_str().is_some_and(|text| !text.is_empty()), "{body:?}: {member}");
        }
    }
    // Nothing and null are all defaults where every member is optional.
    for body in ["", "null", " null ", "{}", r#"{"select_filter":null,"tomorrow":1}"#] {
        assert_eq!(ask(&kit, "POST", "/v1/queries/resource-groups/query-all-size-info", body).await.status, 200, "{body:?}");
        assert_eq!(told(&kit, "PUT", "/v1/resource-definitions/none/resources/none/toggle-disk/diskful", body).await, "404 E301");
    }
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_MAX));
    let got = ask(&kit, "POST", "/v1/nodes", &large).await;
    assert_eq!((got.status, got.json()[0]["ret_code"].as_i64()), (413, Some(PARSE)), "{}", got.text);
    // Nesting does not end the process.
    assert_eq!(ask(&kit, "POST", "/v1/nodes", &"[".repeat(1 << 20)).await.status, 400);
}

#[tokio::test]
async fn keys_of_properties_are_the_rest_of_the_path() {
    let kit = Kit::new().await;
    let set = r#"{"override_props":{"Aux/a/b":100,"Aux/c":true}}"#;
    assert_eq!(told(&kit, "POST", "/v1/controller/properties", set).await, "201 S1 S1");
    let shown = get(&kit, "/v1/controller/properties").await.json();
    assert_eq!((&shown["Aux/a/b"], &shown["Aux/c"]), (&json!("100"), &json!("true")));
    assert_eq!(told(&kit, "DELETE", "/v1/controller/properties/Aux/a/b", "").await, "200 S2");
    assert_eq!(told(&kit, "DELETE", "/v1/controller/properties/Aux%2Fc", "").await, "200 S2");
    let shown = get(&kit, "/v1/controller/properties").await.json();
    assert_eq!((&shown["Aux/a/b"], &shown["Aux/c"]), (&Value::Null, &Value::Null));
    assert_eq!(told(&kit, "DELETE", "/v1/controller/properties/Bogus", "").await, "500 E213");
}

#[tokio::test]
async fn key_value_stores() {
    let kit = Kit::new().await;
    assert_eq!(told(&kit, "GET", "/v1/key-value-store/__gui__settings", "").await, "404 E316");
    assert_eq!(told(&kit, "PUT", "/v1/key-value-store/__gui__settings", r#"{"override_props":{"a/b":"1","n":2}}"#).await, "200 S3");
    let document = json!([{"name": "__gui__settings", "props": {"a/b": "1", "n": "2"}}]);
    assert_eq!(get(&kit, "/v1/key-value-store/__GUI__settings").await.json(), document);
    assert_eq!(get(&kit, "/v1/key-value-store").await.json(), document);
    assert_eq!(told(&kit, "PUT", "/v1/key-value-store/__gui__settings", r#"{"delete_props":["a/b","n"]}"#).await, "200 S3");
    assert_eq!(get(&kit, "/v1/key-value-store").await.json(), json!([]));
    assert_eq!(told(&kit, "DELETE", "/v1/key-value-store/__gui__settings", "").await, "200 W3000");
}

#[tokio::test]
async fn lists_are_filtered_then_paged() {
    let kit = Kit::new().await;
    for name in ["ra", "rb", "rc"] {
        kit.must(definition(name)).await;
    }
    let put = r#"{"override_props":{"Aux/zone":"a=1"}}"#;
    assert_eq!(ask(&kit, "PUT", "/v1/resource-definitions/rc", put).await.status, 200);
    let names = async |query: &str| {
        let list = get(&kit, &format!("/v1/resource-definitions{query}")).await.json();
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "ra rb rc"),
        ("?resource_definitions=RC&resource_definitions=ra", "ra rc"),
        ("?resource_definitions=nosuch", ""),
        ("?limit=1&offset=1", "rb"),
        ("?limit=2", "ra rb"),
        ("?limit=0&offset=2", "ra rb rc"),
        ("?offset=2", "ra rb rc"),
        ("?limit=9&offset=9", ""),
        ("?resource_definitions=ra&resource_definitions=rc&limit=1&offset=1", "rc"),
        ("?props=Aux%2Fzone", "rc"),
        ("?props=Aux/zone%3Da%3D1", "rc"),
        ("?props=Aux/zone=a", ""),
        ("?props=Aux/zone&props=Aux/other", ""),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    let plain = get(&kit, "/v1/resource-definitions/ra").await.json();
    assert_eq!(plain["volume_definitions"], Value::Null);
    let whole = get(&kit, "/v1/resource-definitions?with_volume_definitions=True").await.json();
    assert_eq!(whole[0]["volume_definitions"][0]["size_kib"], json!(65536));
    assert_eq!(get(&kit, "/v1/stats/resource-definitions").await.json(), json!({"count": 3}));
}

#[tokio::test]
async fn a_replica_from_its_request_to_its_documents() {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let (created, ()) = tokio::join!(kit.submit(replica("one", "alpha")), async {
        alpha.take().await;
        alpha.report(false, |_| Standing::Settled).await;
    });
    assert!(!created.is_error(), "{created:?}");

    let shown = get(&kit, "/v1/nodes/ALPHA").await.json();
    assert_eq!(shown["connection_status"], json!("ONLINE"));
    assert_eq!(shown["props"], json!({"CurStltConnName": "default", "NodeUname": "alpha"}));
    assert_eq!(shown["net_interfaces"][0]["is_active"], json!(true));

    let list = get(&kit, "/v1/view/resources").await.json();
    let one = &list[0];
    assert_eq!((&one["name"], &one["node_name"], &one["state"]), (&json!("one"), &json!("alpha"), &json!({})));
    assert_eq!(one["layer_object"]["type"], json!("STORAGE"));
    let volume = &one["volumes"][0];
    assert_eq!((&volume["storage_pool_name"], &volume["provider_kind"]), (&json!("thin"), &json!("FILE_THIN")));
    assert_eq!(volume["layer_data_list"][0]["type"], json!("STORAGE"));
    assert_eq!(one["uuid"].as_str().map(str::len), Some(36));
    let bare = get(&kit, "/v1/resource-definitions/one/resources/alpha").await.json();
    assert_eq!((&bare["volumes"], &bare["uuid"]), (&Value::Null, &one["uuid"]));
    let same = get(&kit, "/v1/resource-definitions/one/resources/alpha/volumes/0").await.json();
    assert_eq!(&same, volume);
    assert_eq!(told(&kit, "GET", "/v1/resource-definitions/one/resources/alpha/volumes/9", "").await, "404 E304");
    for (query, count) in [("?storage_pools=THIN", 1), ("?storage_pools=other", 0), ("?nodes=alpha&resources=ONE", 1), ("?nodes=bravo", 0)]
    {
        assert_eq!(get(&kit, &format!("/v1/view/resources{query}")).await.json().as_array().unwrap().len(), count, "{query}");
    }
    assert_eq!(get(&kit, "/v1/resource-definitions/one/sync-status").await.json(), json!({"synced_on_all": true}));

    let pool = get(&kit, "/v1/nodes/alpha/storage-pools/thin").await.json();
    assert_eq!((&pool["free_capacity"], &pool["static_traits"]["Provisioning"]), (&json!(10 << 20), &json!("Thin")));
    let sizes = ask(&kit, "OPTIONS", "/v1/query-max-volume-size", r#"{"place_count":1,"storage_pool":"thin"}"#).await.json();
    assert_eq!(sizes["candidates"][0]["node_names"], json!(["alpha"]));
    assert_eq!((&sizes["candidates"][0]["all_thin"], &sizes["default_max_oversubscription_ratio"]), (&json!(true), &json!(20.0)));
    let info = ask(&kit, "POST", "/v1/resource-groups/DfltRscGrp/query-size-info", r#"{"select_filter":{"place_count":1}}"#).await.json();
    assert_eq!(info["space_info"]["next_spawn_result"][0]["stor_pool_name"], json!("thin"));
    let unknown = ask(&kit, "POST", "/v1/resource-groups/none/query-size-info", "").await;
    assert_eq!((unknown.status, unknown.json()["reports"][0]["ret_code"].as_i64().unwrap() & 0x7fff), (200, 317));

    let lists = ["/v1/nodes", "/v1/view/storage-pools?storage_pools=thin", "/v1/view/resources"];
    for path in lists.iter().copied().chain(["/v1/resource-definitions/one/resources/alpha/volumes"]) {
        let berth = get(&kit, path).await.json()[0]["berth"].clone();
        assert!(berth["seen"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{path}: {berth}");
        assert_eq!((&berth["unknown_since"], &berth["reason"]), (&Value::Null, &Value::Null), "{path}");
    }
    let metrics = get(&kit, "/metrics").await.text;
    assert!(metrics.contains(r#"berth_items_unknown{node="alpha"} 0"#), "{metrics}");
    assert!(metrics.contains(r#"berth_node_last_seen_seconds{node="alpha"} 1"#), "{metrics}");
    assert!(!metrics.contains("berth_node_unknown_since_seconds{"), "{metrics}");

    // What was seen is not the state of now when nobody can be asked.
    alpha.leave().await;
    for path in lists.iter().copied().chain(["/v1/resource-definitions/one/resources/alpha/volumes"]) {
        let berth = get(&kit, path).await.json()[0]["berth"].clone();
        assert_eq!(berth["seen"], Value::Null, "{path}");
        assert!(berth["unknown_since"].as_str().is_some_and(|at| at.ends_with('Z')), "{path}: {berth}");
        assert!(berth["reason"].as_str().is_some_and(|why| !why.is_empty()), "{path}: {berth}");
    }
    let metrics = get(&kit, "/metrics").await.text;
    assert!(metrics.contains(r#"berth_items_unknown{node="alpha"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"berth_node_unknown_since_seconds{node="alpha"} 1"#), "{metrics}");
    assert!(!metrics.contains("berth_node_last_seen_seconds{"), "{metrics}");
    assert!(metrics.contains(r#"linstor_resource_state{name="one",node="alpha"} -1"#), "{metrics}");
    for line in metrics.lines().filter(|line| line.starts_with("linstor_storage_pool_") && line.contains(r#"storage_pool="thin""#)) {
        assert!(line.ends_with(" NaN"), "{line}");
    }
    let list = get(&kit, "/v1/view/resources").await.json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["state"]), (1, &Value::Null));
    let pool = get(&kit, "/v1/nodes/alpha/storage-pools/thin").await.json();
    assert_eq!((&pool["free_capacity"], pool["reports"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[tokio::test]
async fn metrics_health_and_compression() {
    let kit = Kit::new().await;
    for number in 0..40 {
        kit.must([kvs(&format!("store{number}"), "a value that is rather long")]).await;
    }
    kit.must(definition("one")).await;
    let _ = kit.node("alpha").await;
    let zipped = async |path: &str| {
        let request = Request::builder().uri(path).header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
        send(&kit, request).await.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip")
    };
    assert!(zipped("/v1/key-value-store").await && zipped("/metrics").await);
    assert!(!zipped("/v1/key-value-store/store1").await, "small replies stay as they are");

    let health = get(&kit, "/health").await;
    assert_eq!((health.status, health.text.as_str()), (200, ""));
    let metrics = get(&kit, "/metrics").await;
    assert!(metrics.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"), "{:?}", metrics.headers);
    let lines: Vec<&str> = metrics.text.lines().collect();
    for line in [
        r#"linstor_node_state{node="alpha",nodetype="SATELLITE",address="127.0.0.1",encryption="PLAIN",port="3366"} 2"#,
        r#"linstor_volume_definition_size_bytes{name="one",volume_number="0",resource_group="DfltRscGrp"} 67108864"#,
        "# TYPE berth_commits_total counter",
    ] {
        let found = lines.iter().any(|found| *found == line || found.strip_suffix(".0") == Some(line));
        assert!(found, "{line}\n{}", metrics.text);
    }
    let reduced = get(&kit, "/metrics?resource=false&storage_pool=False").await.text;
    assert!(!reduced.contains("linstor_storage_pool_capacity") && !reduced.contains("linstor_resource_state"), "{reduced}");
    assert_eq!(get(&kit, "/metrics/scrape-target").await.json(), json!([{"targets": ["127.0.0.1:9942"]}]));
}

#[tokio::test]
async fn what_would_be_lost() {
    let kit = Kit::new().await;
    for (path, expected) in [
        ("/v1/berth/what-if", "500 E234"),
        ("/v1/berth/what-if?node=", "500 E234"),
        ("/v1/berth/what-if?node=none", "404 E300"),
        ("/v1/berth/what-if?node=!", "500 E200"),
        ("/v1/berth/what-if?nodes=alpha", "400 E234"),
        ("/v1/berth/risk?node=alpha", "400 E234"),
    ] {
        assert_eq!(told(&kit, "GET", path, "").await, expected, "{path}");
    }
    let mut alpha = kit.node("alpha").await;
    let _bravo = kit.node("bravo").await;
    for bad in ["sideways", ""] {
        assert_eq!(told(&kit, "GET", &format!("/v1/berth/what-if?node=alpha&event={bad}"), "").await, "500 E234");
    }
    kit.definition("one").await;
    tokio::join!(kit.must([replica("one", "alpha")]), async {
        alpha.take().await;
        alpha.report(false, |_| Standing::Settled).await;
    });
    let before = kit.controller.view().cluster.serial;
    let down = get(&kit, "/v1/berth/what-if?node=ALPHA&event=down").await.json();
    assert_eq!((&down["nodes"], &down["event"], &down["replicas"]), (&json!(["alpha"]), &json!("down"), &json!(1)), "{down}");
    assert_eq!(down["data"]["list"][0]["resource_name"], json!("one"), "{down}");
    assert_eq!(down["data"]["list"][0]["for_good"], json!(false));
    assert_eq!(down["unplaced"]["total"], json!(0), "bravo has room: {down}");
    let lost = get(&kit, "/v1/berth/what-if?node=bravo&node=alpha&event=lost").await.json();
    assert_eq!((&lost["nodes"], &lost["data"]["list"][0]["for_good"]), (&json!(["alpha", "bravo"]), &json!(true)), "{lost}");
    assert_eq!(lost["unplaced"]["total"], json!(1), "nothing is left: {lost}");
    let same = get(&kit, "/v1/berth/what-if?node=alpha,bravo&event=LOST").await.json();
    assert_eq!(lost, same);
    let calm = get(&kit, "/v1/berth/risk").await.json();
    assert_eq!((&calm["nodes"]["list"][0]["node_name"], &calm["nodes_unknown"]["total"]), (&json!("alpha"), &json!(0)), "{calm}");

    alpha.leave().await;
    let risk = get(&kit, "/v1/berth/risk").await.json();
    assert_eq!(risk["nodes_unknown"]["list"][0]["node_name"], json!("alpha"), "{risk}");
    assert!(risk["nodes_unknown"]["list"][0]["unknown_since"].as_str().is_some(), "{risk}");
    assert_eq!(risk["without_good_copy"]["list"][0]["unknown"], json!(["alpha"]), "{risk}");
    assert_eq!(risk["nodes"]["list"][0]["online"], json!(false), "what is there can still be lost: {risk}");
    assert_eq!(kit.controller.view().cluster.serial, before, "a question changes nothing");

    let loss = ask(&kit, "DELETE", "/v1/nodes/alpha/lost", "").await.json();
    assert!(loss[1]["message"].as_str().unwrap().contains("last copy of the data of 'one'"), "{loss}");
    let risk = get(&kit, "/v1/berth/risk").await.json();
    let gone = &risk["without_good_copy"]["list"][0];
    assert_eq!(
        (&gone["resource_name"], &gone["certain"], &gone["given_up_on"]),
        (&json!("one"), &json!(true), &json!(["alpha"])),
        "{risk}"
    );
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_leaves_a_report() {
    let kit = Kit::new().await;
    let response = answer::panicked(&kit.controller, Box::new("broken"));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let entry: Value = serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap();
    let id = entry[0]["error_report_ids"][0].as_str().unwrap().to_owned();
    let report = get(&kit, &format!("/v1/error-reports/{id}")).await.json();
    assert_eq!(report[0]["filename"], json!(format!("ErrorReport-{id}.log")));
    assert!(report[0]["text"].as_str().unwrap().contains("broken"));
    assert_eq!(get(&kit, "/v1/error-reports").await.json()[0]["text"], Value::Null);
    assert_eq!(get(&kit, "/v1/error-reports/00000000-00000-000000").await.json(), json!([]));
    assert_eq!(told(&kit, "PATCH", "/v1/error-reports", r#"{"ids":["none"]}"#).await, "200 I10007");
    assert_eq!(told(&kit, "GET", "/v1/error-reports?since=yesterday", "").await, "500 E240");
    assert_eq!(told(&kit, "DELETE", &format!("/v1/error-reports/{id}"), "").await, "200 S2");
    assert_eq!(get(&kit, "/v1/stats/error-reports").await.json(), json!({"count": 0}));
}

#[tokio::test]
async fn statuses_follow_the_first_error() {
    let kit = Kit::new().await;
    kit.must(definition("one")).await;
    for (method, path, body, expected) in [
        ("POST", "/v1/resource-definitions", r#"{"resource_definition":{"name":"one"}}"#, "500 E501"),
        ("POST", "/v1/resource-definitions", r#"{"resource_definition":{"name":"!"}}"#, "500 E202"),
        ("POST", "/v1/resource-definitions/one/volume-definitions", r#"{"volume_definition":{"size_kib":0}}"#, "500 E206"),
        ("POST", "/v1/resource-definitions/none/volume-definitions", r#"{"volume_definition":{"size_kib":4096}}"#, "404 E301"),
        ("POST", "/v1/resource-definitions/one/resources", r#"[{"resource":{"node_name":"none"}}]"#, "404 E300"),
        ("PUT", "/v1/nodes/none", "{}", "404 E300"),
        ("DELETE", "/v1/nodes/none", "", "200 W3000"),
        ("DELETE", "/v1/storage-pool-definitions/none", "", "404 E309"),
    ] {
        assert_eq!(told(&kit, method, path, body).await, expected, "{method} {path}");
    }
    let error = kit.submit(node("!")).await;
    assert!(error.is_error());
}
