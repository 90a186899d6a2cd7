//! Routes of what this version does not have: each is there, and says so.

use serde_json::json;

use super::*;
use crate::http::routes::absent::{ROWS, Verb};

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Post => "POST",
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
    }
}

#[tokio::test]
async fn every_row_answers_in_the_form_of_the_api_and_says_what_to_do() {
    let kit = Kit::new().await;
    kit.must(definition("one")).await;
    for row in ROWS {
        let path = row.path.replace("{remote}", "far").replace("{schedule}", "nightly").replace("{resource}", "one");
        let path = if row.path == "/v1/remotes" && row.verb == Verb::Delete { format!("{path}?remote_name=far") } else { path };
        let body = r#"{"remote_name":"far","endpoint":"e","bucket":"b","url":"u","region":"r","access_key":"a","secret_key":"s",
            "schedule_name":"nightly","full_cron":"0 2 * * *","ebs_remote_name":"far"}"#;
        let writes = matches!(row.verb, Verb::Post | Verb::Put);
        let got = ask(&kit, verb(row.verb), &path, if writes { body } else { "" }).await;
        let case = format!("{} {path}: {}", verb(row.verb), got.text);
        assert_eq!(got.headers[header::CONTENT_TYPE], "application/json", "{case}");
        let entries = got.json();
        match (row.verb, got.status) {
            (Verb::Get, 200) => assert!(entries.is_array() || entries.is_object(), "{case}"),
            (Verb::Post, 200) => assert_eq!(entries["canReceive"], json!(false), "{case}"),
            (Verb::Delete, 200) => assert_eq!(got.told(), "200 W3000", "{case}"),
            (_, 404) | (Verb::Post, 500) => {
                let entry = &entries[0];
                assert!(entry["ret_code"].as_i64().unwrap() < 0, "{case}");
                for member in ["cause", "correction"] {
                    assert!(entry[member].as_str().is_some_and(|text| !text.is_empty()), "{case}: {member}");
                }
            }
            other => panic!("{other:?} {case}"),
        }
        if writes && !row.path.starts_with("/v1/internal") {
            let got = ask(&kit, verb(row.verb), &path, "{").await;
            assert_eq!((got.status, got.json()[0]["ret_code"].as_i64()), (400, Some(PARSE)), "{case}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_there_is_told_by_the_codes_of_the_api() {
    let kit = Kit::new().await;
    let s3 = r#"{"remote_name":"far","endpoint":"http://e","bucket":"b","region":"r","access_key":"a","secret_key":"s"}"#;
    for (method, path, body, expected) in [
        ("GET", "/v1/remotes", "", "200"),
        ("POST", "/v1/remotes/s3", s3, "500 E983"),
        ("POST", "/v1/remotes/s3", r#"{"remote_name":"rm_bad!","endpoint":"e","bucket":"b"}"#, "500 E239"),
        ("POST", "/v1/remotes/s3", r#"{"endpoint":"e","bucket":"b"}"#, "500 E238"),
        ("POST", "/v1/remotes/s3?dry_run=true", s3, "500 E983"),
        ("POST", "/v1/remotes/linstor", r#"{"remote_name":"far"}"#, "500 E238"),
        ("POST", "/v1/remotes/ebs", r#"{"remote_name":"far"}"#, "500 E238"),
        ("PUT", "/v1/remotes/ebs/far", r#"{"region":"x"}"#, "404 E321"),
        ("DELETE", "/v1/remotes", "", "500 E239"),
        ("DELETE", "/v1/remotes?remote_name=far", "", "200 W3000"),
        ("GET", "/v1/remotes/far/backups?rsc_name=one", "", "404 E321"),
        ("POST", "/v1/remotes/far/backups", r#"{"rsc_name":"one"}"#, "404 E321"),
        ("PUT", "/v1/remotes/far/backups/schedule/x/enable", "null", "404 E321"),
        ("POST", "/v1/nodes/ebs", r#"{"name":"n","ebs_remote_name":"nosuch"}"#, "404 E321"),
        ("POST", "/v1/nodes/ebs", "{}", "500 E239"),
        ("POST", "/v1/schedules", r#"{"schedule_name":"nightly","full_cron":"0 2 * * *"}"#, "500 E983"),
        ("POST", "/v1/schedules", r#"{"full_cron":"0 2 * * *"}"#, "500 E241"),
        ("PUT", "/v1/schedules/nightly", r#"{"full_cron":"0 2 * * *"}"#, "404 E323"),
        ("DELETE", "/v1/schedules/b!d", "", "500 E241"),
        ("DELETE", "/v1/schedules/nightly", "", "200 W3000"),
        ("GET", "/v1/view/schedules-by-resource/none", "", "404 E301"),
    ] {
        let got = ask(&kit, method, path, body).await;
        assert_eq!(got.told(), expected, "{method} {path} {body}: {}", got.text);
    }
    for path in ["/v1/remotes", "/v1/schedules", "/v1/view/backup/queue", "/v1/view/schedules-by-resource?rsc=b!d"] {
        assert_eq!(get(&kit, path).await.json(), json!({}), "{path}");
    }
    for path in ["/v1/remotes/s3", "/v1/remotes/linstor/", "/v1/remotes/ebs"] {
        assert_eq!(get(&kit, path).await.json(), json!([]), "{path}");
    }
    assert!(get(&kit, "/v1/space-report").await.json()["reportText"].is_string());
}
