//! External files over the API: as recorded of LINSTOR, but for what is said of their effect.

use super::*;

const ONE: &str = "/v1/files/%2Fsrv%2Fwire%2Fone.conf";

#[tokio::test]
async fn files_are_kept_and_marked_as_deployed() {
    let kit = Kit::new().await;
    let _alpha = kit.node("alpha").await;
    let [make, _] = definition("web");
    kit.must([make, node("away")]).await;
    for (method, path, body, expected) in [
        ("PUT", ONE, r#"{"path":"/srv/wire/one.conf","content":"aGVsbG8K"}"#, "200 S3"),
        ("PUT", ONE, r#"{"path":"/srv/wire/other.conf","content":"aGVsbG8K"}"#, "500 E235"),
        ("PUT", ONE, r#"{"content":"d29ybGQK","alt_suffixes":[".bak"]}"#, "200 S3"),
        ("PUT", "/v1/files/%2Fsrv%2Fwire%2Fa+b", r#"{"content":"eA=="}"#, "200 S3"),
        ("PUT", "/v1/files/%2Fsrv%2Fwire%2Fa%2Bc", r#"{"content":"eA=="}"#, "200 S3"),
        ("PUT", "/v1/files/srv", r#"{"content":"eA=="}"#, "500 E235"),
        ("GET", "/v1/files/%2Fnosuchfile", "", "404 E998"),
        ("GET", "/v1/files/%2Fsrv%2Fwire%2Fone.conf/check/none", "", "404 E300"),
        ("GET", "/v1/files/%2Fsrv%2Fwire%2Fone.conf/check/away", "", "500 E998"),
        ("GET", "/v1/files/%2Fsrv%2Fwire%2Fone.conf/status/away", "", "503"),
        ("POST", "/v1/resource-definitions/web/files/%2Fsrv%2Fwire%2Fone.conf", "", "200"),
        ("POST", "/v1/resource-definitions/none/files/%2Fsrv%2Fwire%2Fone.conf", "", "404 E301"),
        ("DELETE", "/v1/resource-definitions/web/files/%2Fsrv%2Fwire%2Fone.conf", "", "200"),
        ("POST", "/v1/resource-definitions/web/files/%2Fsrv%2Fwire%2Fone.conf", "", "200"),
    ] {
        assert_eq!(told(&kit, method, path, body).await, expected, "{method} {path}");
    }
    assert_eq!(get(&kit, ONE).await.json(), json!({"path": "/srv/wire/one.conf", "content": "d29ybGQK", "alt_suffixes": [".bak"]}));
    let paths: Vec<String> = get(&kit, "/v1/files").await.json().as_array().unwrap().iter().map(|file| file["path"].to_string()).collect();
    assert_eq!(paths, [r#""/srv/wire/a b""#, r#""/srv/wire/a+c""#, r#""/srv/wire/one.conf""#]);
    assert_eq!(get(&kit, &format!("{ONE}/check/alpha")).await.json(), json!({"allowed": false}));
    assert_eq!(get(&kit, &format!("{ONE}/status/alpha")).await.json(), json!({"content_match": false}));
    assert_eq!(get(&kit, "/v1/files?content=true").await.json()[0]["content"], "eA==");

    // What is in a file is in no bundle.
    let bundle = format!("{:?}", kit.controller.bundle(100).await.unwrap());
    assert!(!bundle.contains("d29ybGQK"), "{bundle}");
    let kit = kit.restart().await;
    for (method, path, expected) in [
        ("DELETE", ONE, "200 S2 S2"),
        ("DELETE", "/v1/resource-definitions/web/files/%2Fsrv%2Fwire%2Fone.conf", "404 E320"),
        ("DELETE", ONE, "200 W3000"),
        ("DELETE", "/v1/files/srv", "500 E235"),
        ("DELETE", "/v1/files/%2Fsrv%2Fwire%2Fa+b", "200 S2 S2"),
    ] {
        assert_eq!(told(&kit, method, path, "").await, expected, "{method} {path}");
    }
}
