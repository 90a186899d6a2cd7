//! Connections and DRBD Proxy over the API: as recorded of LINSTOR.

use super::*;

const AB: &str = "/v1/node-connections/alpha/bravo";

/// Two nodes with a replica of `web` each.
async fn kit() -> Kit {
    let kit = Kit::new().await;
    for name in ["alpha", "bravo", "charlie"] {
        let mut fake = kit.node(name).await;
        if name == "charlie" {
            continue;
        }
        if name == "alpha" {
            kit.definition("web").await;
        }
        tokio::join!(kit.must([replica("web", name)]), async {
            fake.take().await;
            fake.report(false, |_| Standing::Settled).await;
        });
    }
    kit
}

#[tokio::test]
async fn connections_of_nodes() {
    let kit = kit().await;
    let list = async |query: &str| get(&kit, &format!("/v1/node-connections{query}")).await.json();
    assert_eq!(list("").await, json!([]));
    assert_eq!(list("?node_a=alpha&node_b=bravo").await, json!([{"node_a": "alpha", "node_b": "bravo"}]));
    let paths = r#"{"override_props":{"Paths/p1/alpha":"default","Paths/p1/bravo":"default"}}"#;
    for (path, body, expected) in [
        (AB, r#"{"override_props":{"Aux/link":"10g","DrbdOptions/Net/max-buffers":"8000"}}"#, "200 S1 W1015 S3"),
        ("/v1/node-connections/bravo/alpha", paths, "200 S1 W1015 S3"),
        (AB, r#"{"override_props":{"Paths/p2/alpha":"nosuchif"}}"#, "500 E213"),
        ("/v1/node-connections/alpha/nosuchnode", r#"{"override_props":{"Aux/link":"1g"}}"#, "404 E300"),
        (AB, r#"{"override_props":{"Bogus":"1"}}"#, "500 E213"),
        ("/v1/node-connections/alpha/charlie", r#"{"override_props":{"Aux/link":"1g"}}"#, "200 S1 S3"),
    ] {
        assert_eq!(told(&kit, "PUT", path, body).await, expected, "{path} {body}");
    }
    let expected = json!({"node_a": "alpha", "node_b": "bravo", "props": {"Aux/link": "10g", "DrbdOptions/Net/max-buffers": "8000",
        "Paths/p1/alpha": "default", "Paths/p1/bravo": "default"}});
    assert_eq!(list("?node_b=bravo").await, json!([expected]));
    assert_eq!(list("").await.as_array().unwrap().len(), 2);
    assert_eq!(list("?limit=1&offset=1").await[0]["node_b"], "charlie");
    assert_eq!(get(&kit, "/v1/node-connections?node_a=nosuchnode").await.told(), "404 E300");
    assert_eq!(get(&kit, AB).await.told(), "405 E998");
    assert!(get(&kit, "/v1/node-connections/properties/info").await.json()["DrbdOptions/Net/max-buffers"].is_object());

    let kit = kit.restart().await;
    let gone = r#"{"delete_props":["Aux/link","DrbdOptions/Net/max-buffers"],"delete_namespaces":["Paths"]}"#;
    assert_eq!(told(&kit, "PUT", AB, gone).await, "200 S2 S3");
    assert_eq!(get(&kit, "/v1/node-connections?node_a=bravo").await.json(), json!([]));
}

#[tokio::test]
async fn connections_of_replicas() {
    let kit = kit().await;
    let top = "/v1/resource-definitions/web/resource-connections";
    let one = format!("{top}/bravo/alpha");
    assert_eq!(get(&kit, top).await.json(), json!([]));
    assert_eq!(get(&kit, &one).await.json(), json!({"node_a": "alpha", "node_b": "bravo"}));
    for (path, expected) in [
        (format!("{top}/alpha/charlie"), "404 E307"),
        (format!("{top}/alpha/none"), "404 E300"),
        ("/v1/resource-definitions/none/resource-connections".to_owned(), "404 E301"),
        ("/v1/resource-definitions/web/resources-connections".to_owned(), "404 E998"),
    ] {
        assert_eq!(get(&kit, &path).await.told(), expected, "{path}");
    }
    let set = r#"{"override_props":{"Aux/x":"1","Paths/p1/alpha":"default","Paths/p1/bravo":"default"}}"#;
    assert_eq!(told(&kit, "PUT", &one, set).await, "200 S1 W1015 S3");
    assert_eq!(told(&kit, "PUT", &format!("{top}/alpha/charlie"), set).await, "404 E302");
    assert_eq!(told(&kit, "PUT", &format!("{top}/alpha/alpha"), set).await, "500 E234");
    assert_eq!(get(&kit, top).await.json()[0]["props"]["Aux/x"], "1");
    assert!(get(&kit, &format!("{top}/properties/info")).await.json()["DrbdOptions/Net/protocol"].is_object());
    // A new replica of the same name has a new connection.
    assert_eq!(told(&kit, "PUT", &one, r#"{"delete_props":["Aux/x"],"delete_namespaces":["Paths"]}"#).await, "200 S2 S3");
    assert_eq!(get(&kit, top).await.json(), json!([]));
}

#[tokio::test]
async fn options_of_the_proxy_are_kept_and_it_is_said_that_there_is_none() {
    let kit = kit().await;
    let top = "/v1/resource-definitions/web/drbd-proxy";
    for (body, expected) in [
        (r#"{"override_props":{"DrbdOptions/Proxy/memlimit":"100000000"}}"#, "200 S1 W1015 S3"),
        (r#"{"compression_type":"rar"}"#, "500 E222"),
        (r#"{"override_props":{"Bogus":"1"}}"#, "500 E213"),
        (r#"{"compression_props":{"level":"9"}}"#, "500 E213"),
        (r#"{"compression_type":"zlib","compression_props":{"DrbdOptions/ProxyCompression/level":"9"}}"#, "200 W1015 S1 W1015 S3"),
        (r#"{"compression_type":"lzma","compression_props":{"level":"99"}}"#, "500 E213"),
        (r#"{"compression_type":"none"}"#, "200 S3"),
    ] {
        assert_eq!(told(&kit, "PUT", top, body).await, expected, "{body}");
    }
    let props = get(&kit, "/v1/resource-definitions/web").await.json()["props"].clone();
    assert_eq!((&props["DrbdOptions/Proxy/memlimit"], &props["DrbdProxy/CompressionType"]), (&json!("100000000"), &Value::Null));
    let infos = get(&kit, &format!("{top}/properties/info")).await.json();
    assert_eq!(infos["DRBD_PROXY_LZ4"], json!({}));
    assert!(infos["DRBD_PROXY_ZLIB"]["DrbdOptions/ProxyCompression/level"].is_object());
    for (path, body, expected) in [
        ("enable/alpha/bravo", "", "500 E988"),
        ("enable/alpha/none", "{}", "404 E300"),
        ("enable/alpha/charlie", "{}", "404 E302"),
        ("disable/alpha/bravo", "", "200 I10007"),
    ] {
        assert_eq!(told(&kit, "POST", &format!("{top}/{path}"), body).await, expected, "{path}");
    }
}
