//! What happened, what differs, what drifted: as clients ask for it.

use berth_model::names::StorPoolName;
use berth_model::observed::{Observation, Standing, Stranger};
use berth_model::size::Kib;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask, get, told};
use crate::testkit::{Fake, Kit, kvs, until};
use crate::writer::SessionEvent;

/// Sends a request whose work one satellite has to do.
async fn done(kit: &Kit, fake: &mut Fake, method: &str, path: &str, body: &str) {
    let asked = ask(kit, method, path, body);
    tokio::pin!(asked);
    let got = loop {
        tokio::select! {
            got = &mut asked => break got,
            _ = fake.take() => fake.report(false, |_| Standing::Settled).await,
        }
    };
    assert!(got.status < 300, "{method} {path}: {}", got.text);
}

fn words(document: &Value) -> Vec<String> {
    let word = |entry: &Value| entry["command"].as_str().unwrap_or_default().to_owned();
    document.as_array().unwrap_or_else(|| panic!("{document}")).iter().map(word).collect()
}

/// A cluster in which `one` was made on `alpha`, deleted, and made again.
async fn lived() -> (Kit, Fake) {
    let kit = Kit::new().await;
    let mut alpha = kit.node("alpha").await;
    kit.definition("one").await;
    let replica = ("POST", "/v1/resource-definitions/one/resources/alpha", r#"{"resource":{"props":{"StorPoolName":"thin"}}}"#);
    done(&kit, &mut alpha, replica.0, replica.1, replica.2).await;
    done(&kit, &mut alpha, "DELETE", "/v1/resource-definitions/one", "").await;
    until(&kit.controller, |view| view.cluster.definitions.is_empty()).await;
    kit.definition("one").await;
    done(&kit, &mut alpha, replica.0, replica.1, replica.2).await;
    (kit, alpha)
}

#[tokio::test]
async fn a_story_goes_from_who_asked_to_what_each_satellite_did() {
    let (kit, alpha) = lived().await;
    let story = get(&kit, "/v1/berth/why/resource-definition/ONE").await.json();
    assert_eq!((&story["object"], &story["exists"], &story["generations"]), (&json!("resource-definition ONE"), &json!(true), &json!(2)));
    let history = &story["history"];
    let life = ["create_resource_definition", "create_volume_definition", "create_resources", "advance"];
    let expected = [&life[..], &["delete_resource_definition", "advance"], &life[..]].concat();
    assert_eq!(words(history), expected);
    let serials: Vec<u64> = history.as_array().unwrap().iter().map(|entry| entry["serial"].as_u64().unwrap()).collect();
    assert!(serials.is_sorted() && serials.iter().all(|serial| *serial > 0), "{serials:?}");
    assert!(history.as_array().unwrap().iter().all(|entry| entry["at"].as_str().is_some_and(|at| at.ends_with('Z'))), "{history}");
    // Who asked, what was decided.
    let made = &history[0];
    assert_eq!(
        (&made["actor"], &made["origin"], &made["op"], &made["generation"]),
        (&json!("tester"), &json!("test"), &json!("make"), &json!(1))
    );
    assert_eq!((&made["decision"][0]["note"], &made["decision"][0]["severity"]), (&json!("said"), &json!("success")));
    assert_eq!(history[6]["generation"], json!(2));
    assert_eq!(history[2]["actor"], json!("PUBLIC"));
    // What the satellite did.
    let advanced = &history[3]["decision"];
    let seen = json!({"note": "seen", "node": "alpha", "object": "resource 'one'", "state": "settled"});
    assert_eq!(advanced[0], seen, "{advanced}");
    assert_eq!(history[5]["decision"][0]["state"], json!("gone"));
    // What it is now.
    assert_eq!(
        (&story["now"][0]["kind"], &story["now"][0]["node"], &story["now"][0]["verdict"]),
        (&json!("resource"), &json!("alpha"), &json!("agrees"))
    );
    assert!(story["now"][0]["seen"].is_string() && story["blocked_by"] == json!([]), "{story}");
    assert_eq!((&story["knows_from"], &story["more"]), (&Value::Null, &json!(false)));

    // Only the end, and what was before it.
    let last = get(&kit, "/v1/berth/why/resource-definition/one?limit=2").await.json();
    assert_eq!((words(&last["history"]), &last["more"]), (vec!["create_resources".to_owned(), "advance".to_owned()], &json!(true)));
    let before = get(&kit, &format!("/v1/berth/why/resource-definition/one?limit=3&before={}", last["history"][0]["serial"])).await.json();
    assert_eq!(words(&before["history"]), ["advance", "create_resource_definition", "create_volume_definition"]);

    // What nobody can ask now is unknown, and says since when; what waits for it is named.
    alpha.leave().await;
    let grow = ask(&kit, "PUT", "/v1/resource-definitions/one/volume-definitions/0", r#"{"size_kib":131072}"#).await;
    assert!(grow.told().contains("W1002"), "{}", grow.text);
    let now = get(&kit, "/v1/berth/why/any/one%2Falpha").await.json();
    assert_eq!(
        (&now["object"], &now["now"][0]["verdict"], &now["now"][0]["found"]),
        (&json!("resource one alpha"), &json!("unknown"), &Value::Null)
    );
    assert!(now["now"][0]["unknown_since"].is_string() && now["now"][0]["seen"].is_null(), "{now}");
    let blocker = &now["blocked_by"][0];
    assert_eq!((&blocker["task"], &blocker["blocked"]), (&json!("resize"), &json!(true)));
    assert_eq!((&blocker["blockers"][0]["kind"], &blocker["blockers"][0]["node_name"]), (&json!("offline"), &json!("alpha")), "{blocker}");
    let volume = get(&kit, "/v1/berth/why/volume/one/alpha/0").await.json();
    let last = volume["history"].as_array().unwrap().last().unwrap().clone();
    let grown = json!({"field": "volumes.0.backing_kib", "before": 65536, "after": 131_072});
    assert!(last["fields"].as_array().unwrap().contains(&grown), "{last}");
    let job = get(&kit, &format!("/v1/berth/why/any/{}", blocker["uuid"].as_str().unwrap())).await.json();
    assert_eq!((&job["exists"], words(&job["history"])), (&json!(true), vec!["modify_volume_definition".to_owned()]));
}

#[tokio::test]
async fn the_story_of_what_is_gone_is_told_and_that_of_what_never_was_is_not() {
    let (kit, mut alpha) = lived().await;
    done(&kit, &mut alpha, "DELETE", "/v1/resource-definitions/one", "").await;
    until(&kit.controller, |view| view.cluster.definitions.is_empty()).await;
    for path in ["any/one", "resource-definition/one", "any/one/alpha", "resource/one/alpha", "any/alpha", "controller"] {
        let story = get(&kit, &format!("/v1/berth/why/{path}")).await;
        assert_eq!(story.status, 200, "{path}: {}", story.text);
    }
    let gone = get(&kit, "/v1/berth/why/any/one").await.json();
    assert_eq!((&gone["exists"], &gone["generations"], &gone["now"]), (&json!(false), &json!(2), &json!([])));
    kit.must([kvs("one", "x")]).await;
    for (path, expected) in [
        ("any/one", "400 E234"),
        ("any/two", "404 E301"),
        ("any/two@s1", "404 E313"),
        ("any/b!d", "400 E234"),
        ("any/a/b/c/d", "400 E234"),
        ("node/two", "404 E300"),
        ("snapshot/one/s9", "404 E313"),
        ("volume/one/alpha/7", "404 E304"),
        ("volume/one/alpha/x", "400 E205"),
        ("job/00000000-0000-0000-0000-000000000000", "404 E234"),
        ("job/7", "400 E234"),
        ("resource/one", "400 E234"),
        ("node", "400 E234"),
        ("planet/mars", "400 E234"),
        ("node/alpha?bogus=1", "400 E234"),
        ("node/alpha?before=x", "400 E234"),
    ] {
        let got = told(&kit, "GET", &format!("/v1/berth/why/{path}"), "").await;
        assert_eq!(got, expected, "{path}");
    }
}

#[tokio::test]
async fn the_log_is_found_by_who_did_what_to_what_and_when() {
    let (kit, _alpha) = lived().await;
    let count = async |query: &str| {
        let page = get(&kit, &format!("/v1/berth/audit{query}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        page.json()["entries"].as_array().unwrap().len()
    };
    let all = count("").await;
    assert!(all > 10);
    assert_eq!(count("?actor=nobody").await, 0);
    assert!(count("?actor=PUBLIC").await == 3 && count("?actor=tester&command=create_resource_definition").await == 2);
    assert_eq!(count("?kind=resource&name=one/alpha&command=create_resources").await, 2);
    assert_eq!(count("?from=1h").await, all);
    assert_eq!(count("?to=2020-01-01T00:00:00Z").await, 0);
    assert_eq!(count("?from=2020-01-01T00:00:00Z&to=2200-01-01T00:00:00%2B01:00").await, all);
    assert_eq!(count("?origin=test").await, count("?actor=tester").await);
    // Page by page, newest first, without a gap.
    let (mut before, mut serials) = (String::new(), Vec::new());
    loop {
        let page = get(&kit, &format!("/v1/berth/audit?limit=4{before}")).await.json();
        serials.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["serial"].as_u64().unwrap()));
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(serials, (1..=serials.len() as u64).rev().collect::<Vec<_>>());
    assert_eq!(serials.len(), all);
    for query in [
        "actr=x",
        "limit=1001",
        "limit=-1",
        "before=x",
        "from=yesterday",
        "from=2026-01-01",
        "from=1h&to=2h",
        "name=one",
        "kind=planet&name=x",
        "command=create",
        "kind=node",
    ] {
        let got = told(&kit, "GET", &format!("/v1/berth/audit?{query}"), "").await;
        assert!(got.starts_with("400 E234"), "{query}: {got}");
    }
    for query in ["foo=1", "tasks=create", "blocked=maybe", "task=foo", "task=create&task=foo"] {
        let got = told(&kit, "GET", &format!("/v1/berth/jobs?{query}"), "").await;
        assert!(got.starts_with("400 E234"), "{query}: {got}");
    }
    for query in ["audit?command=nope", "jobs?task=nope"] {
        let refused = get(&kit, &format!("/v1/berth/{query}")).await.text;
        assert!(refused.contains("'nope'") && refused.contains("snapshot"), "the words are named: {refused}");
    }
    // Whatever the log says can be asked for.
    for entry in get(&kit, "/v1/berth/audit?limit=1000").await.json()["entries"].as_array().unwrap() {
        assert!(count(&format!("?command={}", entry["command"].as_str().unwrap())).await > 0, "{entry}");
    }
    assert_eq!(get(&kit, "/v1/berth/jobs?task=Delete-Volume").await.status, 200);
    // A refusal changes nothing, so it is not in the log.
    assert!(told(&kit, "DELETE", "/v1/nodes/alpha", "").await.starts_with("500"));
    assert_eq!(count("?command=delete_node").await, 0);
}

#[tokio::test]
async fn differences_and_drift_say_what_was_looked_at() {
    let (kit, mut alpha) = lived().await;
    assert_eq!(get(&kit, "/v1/berth/diff").await.json(), json!([]));
    let all = get(&kit, "/v1/berth/diff?all=true").await.json();
    assert!(all.as_array().unwrap().iter().any(|one| one["kind"] == json!("resource") && one["verdict"] == json!("agrees")), "{all}");
    let drift = get(&kit, "/v1/berth/drift").await.json();
    assert_eq!((&drift[0]["node"], &drift[0]["strangers"]), (&json!("alpha"), &Value::Null));
    assert!(drift[0]["reason"].as_str().unwrap().contains("not looked"), "{drift}");

    let id = Uuid::from_u128(0x57a9);
    let pool = StorPoolName::parse("thin").unwrap();
    let (content, size_kib) = (Uuid::from_u128(1), Kib(65536));
    let found = Stranger { pool, backing: "left_00000".into(), snapshot: false, id, content, name: "left/0".into(), size_kib };
    let report = Observation { strangers: Some(vec![found]), ..alpha.held.report(true, |_| Standing::Settled) };
    alpha.tell(SessionEvent::Seen(Box::new(report))).await;
    until(&kit.controller, |view| view.observed.nodes.values().any(|seen| seen.strangers.is_some())).await;
    let drift = get(&kit, "/v1/berth/drift?node=alpha").await.json();
    assert_eq!((&drift[0]["strangers"][0]["id"], drift[0]["seen"].is_string()), (&json!(id.to_string()), true), "{drift}");

    let which = |id: Uuid| json!({"node": "alpha", "pool": "thin", "id": id.to_string(), "resource": "taken"}).to_string();
    assert_eq!(told(&kit, "POST", "/v1/berth/drift/adopt", &which(Uuid::nil())).await, "404 E304");
    assert_eq!(told(&kit, "POST", "/v1/berth/drift/remove", "{}").await, "500 E234");
    let dry = ask(&kit, "POST", "/v1/berth/drift/remove?dry_run=plan", &which(id)).await.json();
    assert_eq!(dry["changes"][0]["kind"], json!("tombstone"), "{dry}");
    done(&kit, &mut alpha, "POST", "/v1/berth/drift/adopt", &which(id)).await;
    assert_eq!(get(&kit, "/v1/berth/drift").await.json()[0]["strangers"], json!([]));
    let volumes = get(&kit, "/v1/resource-definitions/taken/resources/alpha/volumes").await.json();
    assert_eq!(volumes[0]["uuid"], json!(id.to_string()), "{volumes}");
    assert_eq!(told(&kit, "POST", "/v1/berth/drift/remove", &which(id)).await, "404 E304");

    alpha.leave().await;
    let diff = get(&kit, "/v1/berth/diff").await.json();
    assert!(diff.as_array().unwrap().iter().all(|one| one["verdict"] == json!("unknown") && one["unknown_since"].is_string()), "{diff}");
    let drift = get(&kit, "/v1/berth/drift").await.json();
    assert!(drift[0]["strangers"].is_null() && drift[0]["unknown_since"].is_string(), "{drift}");
    for (path, expected) in
        [("diff?node=none", "404 E300"), ("drift?node=none", "404 E300"), ("diff?all=maybe", "400 E234"), ("drift?nod=x", "400 E234")]
    {
        assert_eq!(told(&kit, "GET", &format!("/v1/berth/{path}"), "").await, expected, "{path}");
    }
}

#[tokio::test]
async fn nothing_for_other_eyes_has_a_secret() {
    let (kit, _alpha) = lived().await;
    let names = ["Aux/db-password", "Aux/API_Key", "Aux/x.token.y", "Aux/Private-Key/1", "Aux/pass_phrase"];
    let body = |value: &str| {
        let props: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!(value))).collect();
        json!({"override_props": props}).to_string()
    };
    let mut shown = Vec::new();
    for value in ["sesame-1", "sesame-2"] {
        for path in ["key-value-store/store", "resource-definitions/one", "nodes/alpha"] {
            for how in ["plan", "true"] {
                shown.push(ask(&kit, "PUT", &format!("/v1/{path}?dry_run={how}"), &body(value)).await.text);
            }
            let done = ask(&kit, "PUT", &format!("/v1/{path}"), &body(value)).await;
            assert_eq!(done.status, 200, "{path}: {}", done.text);
        }
    }
    crate::panics::report("a test", kit.controller.reports(), kit.controller.counters(), &format!("broke on {}", body("sesame-3")));
    let report = get(&kit, "/v1/error-reports").await.json()[0]["filename"].as_str().unwrap().to_owned();
    let report = report.trim_start_matches("ErrorReport-").trim_end_matches(".log").to_owned();
    for path in [
        "berth/audit?limit=1000",
        "berth/bundle",
        "berth/why/key-value-store/store",
        "berth/why/resource-definition/one",
        "berth/why/node/alpha",
        "error-reports",
        &format!("error-reports/{report}?withContent=true"),
    ] {
        let got = get(&kit, &format!("/v1/{path}")).await;
        assert_eq!(got.status, 200, "{path}");
        let listed = path == "error-reports" || got.text.contains("(hidden)");
        assert!(listed && (path.starts_with("error-reports") || got.text.contains("x.token.y")), "{path}: {}", got.text);
        shown.push(got.text);
    }
    let secret = kit.controller.view().cluster.definitions.values().next().unwrap().drbd.secret.clone();
    assert!(!secret.is_empty());
    for text in shown {
        assert!(!text.contains("sesame") && !text.contains(&secret), "{text}");
    }
}
