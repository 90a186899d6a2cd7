//! Lists of more than one run, as clients meet them.

use std::io::Read;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::Value;
use tower::ServiceExt;

use super::super::router;
use super::{ask, get};
use crate::testkit::{Kit, definition, replica, until};
use berth_model::names::ResourceName;
use berth_model::observed::Standing;

/// A body as bytes, with its encoding.
async fn bytes(kit: &Kit, path: &str, accepted: &str) -> (Option<String>, Vec<u8>) {
    let request = Request::builder().uri(path).header(header::ACCEPT_ENCODING, accepted).body(Body::empty()).unwrap();
    let response = router(kit.controller.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let encodings: Vec<_> = response.headers().get_all(header::CONTENT_ENCODING).iter().cloned().collect();
    assert!(encodings.len() < 2, "compressed twice: {encodings:?}");
    let encoding = encodings.first().map(|value| value.to_str().unwrap().to_owned());
    (encoding, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
}

async fn unzipped(kit: &Kit, path: &str) -> String {
    let (encoding, bytes) = bytes(kit, path, "gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"), "{path}");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).expect("a gzip stream with a true checksum");
    text
}

#[tokio::test]
async fn long_lists() {
    let kit = Kit::new().await;
    let mut nodes = [kit.node("alpha").await, kit.node("bravo").await];
    for number in 0..90 {
        kit.must(definition(&format!("r{number:02}"))).await;
    }
    for (name, node) in [("r03", 0), ("r50", 0), ("r50", 1), ("r89", 1)] {
        let node = &mut nodes[node];
        let command = replica(name, node.node.as_str());
        let node_name = node.node.clone();
        let obey = async {
            loop {
                node.take().await;
                node.report(false, |_| Standing::Settled).await;
            }
        };
        let (resource, at) = (ResourceName::parse(name).unwrap(), node_name.clone());
        let done = async {
            kit.must([command]).await;
            // The end of the job is a change of its own, and its report the last that comes.
            until(&kit.controller, |view| {
                let id = view.cluster.resource(&resource, &at).unwrap().id.uuid();
                view.observed.item(&at, id).is_some_and(|record| record.seen.generation >= view.cluster.serial)
            })
            .await;
        };
        tokio::select! {
            () = done => {}
            () = obey => {}
        }
    }
    let paths = ["/v1/view/resources", "/v1/resource-definitions", "/v1/resource-definitions?with_volume_definitions=true"];
    for path in paths {
        let plain = get(&kit, path).await;
        assert_eq!(plain.headers[header::CONTENT_TYPE], "application/json");
        assert!(!plain.headers.contains_key(header::CONTENT_ENCODING));
        // Asked twice: what was rendered for the first one serves the second.
        for _ in 0..2 {
            assert_eq!(unzipped(&kit, path).await, plain.text);
            let (encoding, same) = bytes(&kit, path, "br, identity").await;
            assert_eq!((encoding, same == plain.text.as_bytes()), (None, true), "{path}");
        }
        assert_eq!(get(&kit, path).await.headers[header::CONTENT_LENGTH], plain.text.len().to_string());
        let head = ask(&kit, "HEAD", path, "").await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        let whole = plain.json().as_array().unwrap().clone();
        let sign = if path.contains('?') { '&' } else { '?' };
        for (offset, limit) in [(0, 1), (0, 50), (40, 30), (89, 9), (1, 2), (500, 2)] {
            let page = get(&kit, &format!("{path}{sign}limit={limit}&offset={offset}")).await.json();
            assert_eq!(page.as_array().unwrap().as_slice(), &whole[offset.min(whole.len())..(offset + limit).min(whole.len())], "{path}");
        }
    }
    // With a filter, what is asked for is looked up; the order stays.
    let rows = async |query: &str| {
        let list = get(&kit, &format!("/v1/view/resources{query}")).await.json();
        let row = |one: &Value| format!("{}@{}", one["name"].as_str().unwrap(), one["node_name"].as_str().unwrap());
        list.as_array().unwrap().iter().map(row).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "r03@alpha r50@alpha r50@bravo r89@bravo"),
        ("?nodes=BRAVO&nodes=alpha", "r03@alpha r50@alpha r50@bravo r89@bravo"),
        ("?nodes=bravo", "r50@bravo r89@bravo"),
        ("?nodes=bravo&limit=1&offset=1", "r89@bravo"),
        ("?resources=R50&resources=r03", "r03@alpha r50@alpha r50@bravo"),
        ("?resources=r50&nodes=bravo", "r50@bravo"),
        ("?storage_pools=thin&limit=2", "r03@alpha r50@alpha"),
        ("?resources=nosuch", ""),
    ] {
        assert_eq!(rows(query).await, expected, "{query}");
    }
    let counted = |text: &str| text.lines().filter(|line| line.starts_with("linstor_")).count();
    assert_eq!(counted(&unzipped(&kit, "/metrics").await), counted(&get(&kit, "/metrics").await.text));

    // What was seen before is not sent as the state of now.
    nodes[0].leave().await;
    let list = get(&kit, "/v1/view/resources").await.json();
    let known = |one: &Value| one["berth"]["unknown_since"] == Value::Null;
    assert_eq!(list.as_array().unwrap().iter().map(known).collect::<Vec<_>>(), [false, false, true, true], "{list}");
}
