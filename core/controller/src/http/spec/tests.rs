//! The document is whole, and served as it should be.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use serde_json::Value;
use tower::ServiceExt;

use super::document::{GROUPS, clashes, document};
use crate::http::{router, routes};
use crate::testkit::Kit;

async fn get(kit: &Kit, path: &str, more: &[(header::HeaderName, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let request = more.iter().fold(Request::builder().uri(path), |request, (name, value)| request.header(name, *value));
    let response = router(kit.controller.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status.as_u16(), parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                into.insert(reference.clone());
            }
            map.values().for_each(|inner| references(inner, into));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_operation_is_described_once_and_in_words() {
    let all = routes::all();
    let document = document(&all);
    let (mut ids, mut count) = (BTreeSet::new(), 0);
    let groups: BTreeSet<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    let mut used = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            count += 1;
            let case = format!("{verb} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{case}: its id is there twice");
            let summary = operation["summary"].as_str().unwrap();
            assert!(summary.len() > 8 && (summary.ends_with('.')), "{case}: {summary}");
            let group = operation["tags"][0].as_str().unwrap();
            assert!(groups.contains(group), "{case}: {group}");
            used.insert(group);
            for parameter in operation["parameters"].as_array().unwrap() {
                assert!(!parameter["description"].as_str().unwrap().is_empty(), "{case}: {parameter} has no words");
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{case}: nothing succeeds");
        }
    }
    assert_eq!(count, all.operations().len(), "an operation is there twice");
    assert_eq!(used, groups, "a heading without operations");
}

#[test]
fn every_reference_leads_somewhere_and_every_name_means_one_thing() {
    let all = routes::all();
    assert!(clashes(&all).is_empty(), "{:?}", clashes(&all));
    let document = document(&all);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in &found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(!name.ends_with(|letter: char| letter.is_ascii_digit()), "{name}: two types have this name");
        assert!(found.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
    }
}

#[test]
fn no_route_is_made_without_its_description() {
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap_or_default().contains(concat!(".rou", "te("))
                && !path.ends_with("listen/tests.rs")
            {
                found.push(path);
            }
        }
    }
    assert!(matches!(found.as_slice(), [one] if one.ends_with("spec/mod.rs")), "{found:?}");
}

#[tokio::test]
async fn the_router_answers_every_operation() {
    let kit = Kit::new().await;
    let all = routes::all();
    assert!(all.operations().len() > 150);
    for operation in all.operations() {
        let path: Vec<&str> = operation.path.split('/').map(|part| if part.starts_with('{') { "one" } else { part }).collect();
        let request =
            Request::builder().method(operation.verb.to_ascii_uppercase().as_str()).uri(path.join("/")).body(Body::from("{")).unwrap();
        let response = router(kit.controller.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_ne!(status, 405, "{} {}", operation.verb, operation.path);
        if status == 404 {
            let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(!String::from_utf8_lossy(&text).contains("not found on server"), "{} {}", operation.verb, operation.path);
        }
    }
}

#[tokio::test]
async fn it_is_served_once_for_all_and_the_page_lets_nothing_foreign_in() {
    let kit = Kit::new().await;
    let (status, headers, plain) = get(&kit, "/openapi.json", &[]).await;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (200, "application/json"));
    let served: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(served["openapi"], "3.1.0");
    let (_, headers, zipped) = get(&kit, "/openapi.json", &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert!(zipped.len() * 4 < plain.len(), "{} of {}", zipped.len(), plain.len());
    let tag = headers[header::ETAG].to_str().unwrap().to_owned();
    let (status, _, nothing) = get(&kit, "/openapi.json", &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!((status, nothing.len()), (304, 0));
    for (path, media) in [("/docs", "text/html"), ("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css")] {
        let (status, headers, text) = get(&kit, path, &[]).await;
        assert_eq!(status, 200, "{path}");
        assert!(headers[header::CONTENT_TYPE].to_str().unwrap().starts_with(media), "{path}");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"), "{path}");
        let text = String::from_utf8(text).unwrap();
        for banned in
            ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "<style", "onclick="]
        {
            assert!(!text.contains(banned), "{path} has {banned}");
        }
    }
}
