//! SOS reports: what is in them, and what is not.

use std::collections::BTreeMap;
use std::io::Read;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use berth_engine::command::Command;
use serde_json::Value;
use tower::ServiceExt;

use super::{get, machine, router, told};
use crate::reports::NewReport;
use crate::testkit::{Kit, kvs};

/// The files of an archive without their common folder.
fn unpack(archive: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let (root, file) = path.split_once('/').unwrap();
        assert!(root.starts_with("sos_"), "{path}");
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(file.to_owned(), text);
    }
    files
}

async fn download(kit: &Kit, query: &str) -> BTreeMap<String, String> {
    let request = Request::builder().uri(format!("/v1/sos-report/download{query}")).body(Body::empty()).unwrap();
    let response = router(kit.controller.clone()).oneshot(request).await.unwrap();
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
    let name = headers[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert!(name.starts_with("attachment; filename = sos_") && name.ends_with(".tar.gz"), "{name}");
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(headers[header::CONTENT_LENGTH], bytes.len().to_string());
    unpack(&bytes)
}

/// A cluster of two nodes with a resource on the first, and secrets in all places that take one.
async fn cluster() -> Kit {
    let kit = Kit::new().await;
    kit.node("alpha").await;
    kit.node("bravo").await;
    kit.definition("web").await;
    let secret = Command::ModifyKeyValueStore {
        name: "vault".into(),
        expected: BTreeMap::new(),
        override_props: [("db-password".to_owned(), "hush-hush".to_owned())].into(),
        delete_props: Vec::new(),
        delete_namespaces: Vec::new(),
    };
    kit.must([secret, kvs("plain", "seen")]).await;
    let set = r#"{"override_props":{"Aux/api-token":"hush-hush"}}"#;
    assert!(told(&kit, "PUT", "/v1/nodes/alpha", set).await.starts_with("200"));
    for node in ["", "alpha", "bravo"] {
        let text = "it was called with password=hush-hush".to_owned();
        kit.controller.reports().make(NewReport { node: node.into(), exception: "Test".into(), text, ..NewReport::default() });
    }
    kit
}

#[tokio::test]
async fn an_archive_holds_the_cluster_and_no_secret() {
    let kit = cluster().await;
    let _answering = machine::answers(&kit, "alpha", machine::alpha);
    let files = download(&kit, "").await;
    assert_eq!(files["nodes/alpha/satellite.log"], "it began\nasked with password=(hidden)\n");
    assert!(files["nodes/alpha/tools.json"].contains("losetup from util-linux"));
    assert!(files["nodes/bravo/satellite.log"].starts_with("(it was not told: "), "{}", files["nodes/bravo/satellite.log"]);
    for (file, text) in &files {
        assert!(!text.contains("hush"), "{file}: {text}");
        if file.ends_with(".json") {
            serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{file}: {error}: {text}"));
        }
    }
    let named: Vec<&str> = files.keys().map(String::as_str).filter(|file| !file.contains("ErrorReport")).collect();
    let mut expected = vec!["README.txt".to_owned()];
    expected.extend(
        ["bundle.json", "controller.log", "health.txt", "jobs.json", "metrics.txt", "risk.json", "version.json"]
            .map(|file| format!("controller/{file}")),
    );
    for node in ["alpha", "bravo"] {
        let of_node = ["differs.json", "drift.json", "node.json", "resources.json", "satellite.log", "storage-pools.json", "tools.json"];
        expected.extend(of_node.map(|file| format!("nodes/{node}/{file}")));
    }
    assert_eq!(named, expected);
    let node: Value = serde_json::from_str(&files["nodes/alpha/node.json"]).unwrap();
    assert_eq!((&node["name"], &node["props"]["Aux/api-token"]), (&"alpha".into(), &"(hidden)".into()));
    let bundle: Value = serde_json::from_str(&files["controller/bundle.json"]).unwrap();
    assert_eq!(bundle["format"], "berth-bundle");
    for place in ["controller", "nodes/alpha", "nodes/bravo"] {
        let reports: Vec<_> = files.iter().filter(|(file, _)| file.starts_with(&format!("{place}/error-reports/"))).collect();
        assert_eq!(reports.len(), 1, "{place}");
        assert!(reports[0].1.contains("(hidden)"), "{reports:?}");
    }
    assert!(files["controller/health.txt"].starts_with("200"));
    assert!(files["controller/metrics.txt"].contains("linstor_node_state"));
}

#[tokio::test]
async fn what_goes_into_an_archive_can_be_chosen() {
    let kit = cluster().await;
    let parts = |files: &BTreeMap<String, String>| {
        ["controller/", "nodes/alpha/", "nodes/bravo/"].map(|part| files.keys().any(|file| file.starts_with(part)))
    };
    assert_eq!(parts(&download(&kit, "?nodes=alpha").await), [true, true, false]);
    assert_eq!(parts(&download(&kit, "?exclude=alpha").await), [true, false, true]);
    assert_eq!(parts(&download(&kit, "?nodes=alpha&nodes=bravo&exclude=alpha&include-ctrl=false").await), [false, false, true]);
    assert_eq!(parts(&download(&kit, "?rscs=web").await), [true, false, false], "it is on no node");
    let late = i64::MAX;
    assert!(!download(&kit, &format!("?since={late}")).await.keys().any(|file| file.contains("ErrorReport")));
    assert_eq!(told(&kit, "GET", "/v1/sos-report/download?nodes=none", "").await, "404 E300");
    assert_eq!(told(&kit, "GET", "/v1/sos-report?rscs=none", "").await, "404 E301");
    assert_eq!(told(&kit, "GET", "/v1/sos-report?since=yesterday", "").await, "500 E234");
}

#[tokio::test]
async fn archives_on_the_controller_are_named_and_do_not_pile_up() {
    let kit = cluster().await;
    let folder = kit.controller.reports().folder().unwrap().parent().unwrap().join("sos-reports");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..12 {
        std::fs::write(folder.join(format!("sos_2000-01-{:02}_00-00-00.tar.gz", number + 1)), "old").unwrap();
    }
    std::fs::write(folder.join("mine.txt"), "not ours").unwrap();
    let got = get(&kit, "/v1/sos-report").await;
    assert_eq!(got.told(), "201 S1");
    let path = got.json()[0]["obj_refs"]["path"].as_str().unwrap().to_owned();
    assert!(got.json()[0]["message"].as_str().unwrap().contains(&path));
    assert!(unpack(&std::fs::read(&path).unwrap()).contains_key("README.txt"));
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(left.len(), 11, "ten archives and what is not ours: {left:?}");
    assert!(left.iter().any(|file| file.ends_with("mine.txt")) && left.iter().any(|file| file.to_string_lossy() == path));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "names and addresses are nobody else's business");
}
