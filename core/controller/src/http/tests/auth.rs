//! Sign-in and roles, through every route.

use super::*;
use berth_model::access::Role;

async fn with(kit: &Kit, method: &str, path: &str, body: &str, token: Option<&str>) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    send(kit, request.body(Body::from(body.to_owned())).unwrap()).await
}

fn token_of(got: &Got) -> String {
    got.json()[0]["obj_refs"]["token"].as_str().expect("a token").to_owned()
}

/// A controller that asks for tokens, and the first one.
async fn closed() -> (Kit, String) {
    let kit = Kit::new().await;
    let got = ask(&kit, "POST", "/v1/controller/auth/initialize-token-auth", r#"{"description": "first", "no_https": true}"#).await;
    assert_eq!(got.told(), "201 S1");
    let token = token_of(&got);
    assert!(token.len() == 64 && got.json()[0]["message"].as_str().unwrap().contains(&token), "{}", got.text);
    (kit, token)
}

async fn token_for(kit: &Kit, admin: &str, role: Role) -> String {
    let body = json!({"description": role.word(), "role": role.word()}).to_string();
    token_of(&with(kit, "POST", "/v1/controller/auth/token", &body, Some(admin)).await)
}

#[tokio::test]
async fn tokens_live_as_recorded() {
    let kit = Kit::new().await;
    assert_eq!(get(&kit, "/v1/controller/auth/token").await.json(), json!({"count": 0}));
    assert_eq!(told(&kit, "POST", "/v1/controller/auth/token", r#"{"description": "before switching on"}"#).await, "201 S1");
    let first = token_of(&ask(&kit, "POST", "/v1/controller/auth/initialize-token-auth", r#"{"no_https": true}"#).await);
    let refused = get(&kit, "/v1/nodes").await;
    assert_eq!(refused.told(), "401 E412");
    assert_eq!(refused.headers[header::WWW_AUTHENTICATE], "Bearer realm=\"linstor-controller\"");
    assert_eq!(refused.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert_eq!(with(&kit, "GET", "/v1/nodes", "", Some("nonsense")).await.told(), "401 E412");
    assert_eq!(get(&kit, "/health").await.status, 200);
    for (method, path, body, expected) in [
        ("POST", "initialize-token-auth", r#"{"description": "again"}"#, "201 W3001"),
        ("POST", "initialize-token-auth", r#"{"only_satellites": true}"#, "201 S3"),
        ("POST", "initialize-token-auth", "{", "400 E32765"),
        ("POST", "token", r#"{"description": "second", "expires_at": "2099-12-31T10:00:00Z"}"#, "201 S1"),
        ("POST", "token", r#"{"description": "expired", "expires_at": "2001-01-01"}"#, "201 S1"),
        ("POST", "token", "{}", "500 E998"),
        ("POST", "token", r#"{"description": "x", "expires_at": "tomorrow"}"#, "500 E230"),
        ("POST", "token", r#"{"description": "x", "ip_filter": "300.0.0.1"}"#, "500 E230"),
        ("POST", "token", r#"{"description": "x", "role": "king"}"#, "500 E230"),
        ("PUT", "token/999999", r#"{"description": "x"}"#, "404 E300"),
        ("PUT", "token/abc", r#"{"description": "x"}"#, "500 E998"),
        ("PUT", "token/1", r#"{"ip_filter": "nowhere"}"#, "500 E230"),
        ("PUT", "token/1", r#"{"description": "changed"}"#, "200 S3"),
        ("DELETE", "token/abc", "", "500 E998"),
        ("DELETE", "token/999999", "", "200 W3000"),
        ("DELETE", "token/1", "", "200 S2"),
        ("PUT", "token/3", r#"{"role": "viewer"}"#, "200 S3"),
        // The last one of an administrator.
        ("DELETE", "token/2", "", "500 E230"),
    ] {
        let got = with(&kit, method, &format!("/v1/controller/auth/{path}"), body, Some(&first)).await;
        let told = got.told();
        assert_eq!(told.split(' ').next(), expected.split(' ').next(), "{method} {path} {body}: {told}");
        assert!(expected.ends_with("E32765") || told == expected, "{method} {path} {body}: {told}");
    }
    let list = with(&kit, "GET", "/v1/controller/auth/token", "", Some(&first)).await.json();
    let descriptions: Vec<&str> = list["list"].as_array().unwrap().iter().filter_map(|token| token["description"].as_str()).collect();
    assert_eq!((list["count"].as_u64(), descriptions), (Some(3), vec!["init-client", "second", "expired"]));
    assert_eq!(list["list"][1]["expires_at"], json!("2099-12-31T00:00:00Z"));
    let off = "/v1/controller/properties/Auth/TokenAuthenticationEnabled";
    assert_eq!(with(&kit, "DELETE", off, "", Some(&first)).await.told(), "200 S2");
    assert_eq!(get(&kit, "/v1/nodes").await.status, 200);
}

#[tokio::test]
async fn no_token_stands_in_the_log_and_the_log_says_who_it_was() {
    let (kit, admin) = closed().await;
    let operator = token_for(&kit, &admin, Role::Operator).await;
    assert_eq!(with(&kit, "PUT", "/v1/key-value-store/notes", r#"{"override_props": {"a": "b"}}"#, Some(&operator)).await.status, 200);
    let log = kit.controller.log(0, 100).await.unwrap();
    let text = format!("{log:?}");
    assert!(!text.contains(&admin) && !text.contains(&operator), "{text}");
    let actors: Vec<&str> = log.iter().rev().take(2).map(|entry| entry.actor.as_str()).collect();
    assert_eq!(actors, ["token:2", "token:1"]);
    let audit = with(&kit, "GET", "/v1/berth/audit?actor=token:2", "", Some(&admin)).await;
    assert!(audit.text.contains("token:2") && !audit.text.contains(&crate::gate::digest(&operator)), "{}", audit.text);
}

#[tokio::test]
async fn the_description_needs_no_sign_in_and_keeps_its_words() {
    let (kit, admin) = closed().await;
    let open = with(&kit, "GET", "/openapi.json", "", None).await;
    assert_eq!(open.status, 200);
    // It names members that hold secrets elsewhere; whoever hides those would hide the description.
    assert_eq!(open.text, with(&kit, "GET", "/openapi.json", "", Some(&admin)).await.text);
    assert_eq!(open.json()["components"]["schemas"]["DrbdDefinitionData"]["properties"]["secret"]["type"], "string");
    for path in ["/docs", "/docs/page.js", "/docs/page.css", "/", "/health"] {
        assert_eq!(with(&kit, "GET", path, "", None).await.status, 200, "{path}");
    }
    for (method, path) in [("GET", "/v1/nodes"), ("GET", "/docsx"), ("POST", "/v1/nodes"), ("GET", "/metrics")] {
        assert_eq!(with(&kit, method, path, "", None).await.status, 401, "{method} {path}");
    }
}

/// Every path of the router with every verb that changes something: none can be forgotten.
fn routes() -> Vec<(&'static str, String)> {
    let all = crate::http::routes::all();
    let paths: std::collections::BTreeSet<&str> = all.operations().iter().map(|operation| operation.path.as_str()).collect();
    let concrete = |path: &&str| path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/");
    // Every verb is tried: one that the route does not have must not be let through, either.
    paths.iter().map(concrete).flat_map(|path| ["POST", "PUT", "PATCH", "DELETE"].map(|verb| (verb, path.clone()))).collect()
}

#[tokio::test]
async fn a_viewer_changes_nothing_through_any_route() {
    let (kit, admin) = closed().await;
    let viewer = token_for(&kit, &admin, Role::Viewer).await;
    let all = routes();
    assert!(all.len() > 200, "{}", all.len());
    let before = kit.controller.view().cluster.serial;
    let mut asked = 0;
    for (verb, path) in &all {
        let got = with(&kit, verb, path, r#"{"override_props": {"Aux/x": "y"}, "name": "x"}"#, Some(&viewer)).await;
        if got.status != 403 {
            // What only asks: a question that is no question of this route, or an answer that changed nothing.
            asked += 1;
            assert!(
                ["query-size-info", "query-max-volume-size", "query-all-size-info", "max-volume-size", "place", "what-if"]
                    .iter()
                    .any(|word| path.ends_with(word)),
                "{verb} {path}: {} {}",
                got.status,
                got.text
            );
        }
    }
    assert!(asked < 20, "{asked}");
    assert_eq!(kit.controller.view().cluster.serial, before, "nothing was committed");
    assert_eq!(with(&kit, "GET", "/v1/nodes", "", Some(&viewer)).await.status, 200);
    assert_eq!(with(&kit, "GET", "/v1/controller/auth/token", "", Some(&viewer)).await.told(), "403 E412");
}

#[tokio::test]
async fn a_viewer_sees_no_secret_and_an_operator_what_linstor_shows() {
    let (kit, admin) = closed().await;
    let body = r#"{"resource_definition": {"name": "web", "props": {"DrbdOptions/Net/shared-secret": "hush"}, "layer_data": [{"type": "DRBD"}, {"type": "STORAGE"}]}}"#;
    assert_eq!(with(&kit, "POST", "/v1/resource-definitions", body, Some(&admin)).await.status, 201);
    let (viewer, operator) = (token_for(&kit, &admin, Role::Viewer).await, token_for(&kit, &admin, Role::Operator).await);
    let own = with(&kit, "GET", "/v1/resource-definitions", "", Some(&operator)).await.json();
    let secret = own[0]["layer_data"][0]["data"]["secret"].as_str().unwrap_or("hush").to_owned();
    for path in ["/v1/resource-definitions", "/v1/resource-definitions/web", "/v1/resource-definitions?limit=1"] {
        let shown = with(&kit, "GET", path, "", Some(&viewer)).await;
        assert!(shown.status == 200 && !shown.text.contains(&secret) && !shown.text.contains("hush"), "{}", shown.text);
        assert!(shown.text.contains("web"), "{}", shown.text);
    }
}

#[tokio::test]
async fn an_operator_works_and_an_administrator_decides() {
    let (kit, admin) = closed().await;
    let operator = token_for(&kit, &admin, Role::Operator).await;
    let of = |method: &'static str, path: &'static str, body: &'static str| with(&kit, method, path, body, Some(&operator));
    assert_eq!(of("POST", "/v1/resource-definitions", r#"{"resource_definition": {"name": "web"}}"#).await.status, 201);
    for (method, path, body) in [
        ("POST", "/v1/nodes", r#"{"name": "alpha", "net_interfaces": [{"name": "d", "address": "10.0.0.1"}]}"#),
        ("DELETE", "/v1/nodes/alpha/lost", ""),
        ("POST", "/v1/controller/properties", r#"{"override_props": {"Aux/x": "y"}}"#),
        ("POST", "/v1/controller/auth/token", r#"{"description": "mine"}"#),
        ("PUT", "/v1/resource-definitions/web", r#"{"override_props": {"DrbdOptions/Handlers/split-brain": "/bin/sh"}}"#),
        ("PATCH", "/v1/error-reports", "{}"),
    ] {
        let got = of(method, path, body).await;
        assert_eq!(got.told(), "403 E412", "{method} {path}");
        assert!(got.json()[0]["correction"].is_string());
    }
    let preview =
        of("POST", "/v1/nodes?dry_run=true", r#"{"name": "alpha", "net_interfaces": [{"name": "d", "address": "10.0.0.1"}]}"#).await;
    assert_eq!(preview.status, 403, "{}", preview.text);
}

/// Every path, once.
fn paths() -> std::collections::BTreeSet<String> {
    routes().into_iter().map(|(_, path)| path).collect()
}

#[tokio::test]
async fn who_may_read_what_is_one_rule_for_every_path_and_role() {
    use berth_engine::access::{Door, door};
    let (kit, admin) = closed().await;
    let tokens =
        [(Role::Viewer, token_for(&kit, &admin, Role::Viewer).await), (Role::Operator, token_for(&kit, &admin, Role::Operator).await)];
    let mut closed_to_viewers = Vec::new();
    for path in paths() {
        for (role, token) in tokens.iter().map(|(role, token)| (*role, token)).chain([(Role::Admin, &admin)]) {
            let request = Request::builder().uri(&path).header(header::AUTHORIZATION, format!("Bearer {token}"));
            // The head alone: streams of events never end.
            let response = router(kit.controller.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let closed = matches!(door(role, "GET", &path), Door::Closed(_));
            assert_eq!(response.status() == StatusCode::FORBIDDEN, closed, "{role} {path}: {}", response.status());
            if closed && role == Role::Viewer {
                closed_to_viewers.push(path.clone());
            }
        }
        if path == "/openapi.json" {
            // Open to everybody, and nothing of it is hidden.
            continue;
        }
        assert_eq!(
            door(Role::Viewer, "GET", &path) == door(Role::Operator, "GET", &path),
            closed_to_viewers.last() == Some(&path),
            "{path}"
        );
    }
    // What shows whole databases, files of the controller's machine, or who may sign in. A path that is new here is a decision.
    let expected = [
        "/v1/berth/bundle",
        "/v1/controller/auth/initialize-token-auth",
        "/v1/controller/auth/token",
        "/v1/controller/auth/token/1",
        "/v1/controller/backup/db",
        "/v1/controller/database/export",
        "/v1/files",
        "/v1/files/1",
        "/v1/files/1/check/1",
        "/v1/files/1/status/1",
        "/v1/sos-report",
        "/v1/sos-report/download",
    ];
    assert_eq!(closed_to_viewers, expected);
}

#[tokio::test]
async fn what_an_operator_must_not_change_is_closed_on_every_path() {
    use berth_engine::access::{Door, door};
    let (kit, admin) = closed().await;
    let operator = token_for(&kit, &admin, Role::Operator).await;
    let before = kit.controller.view().cluster.serial;
    let mut closed = 0;
    for (verb, path) in routes() {
        if matches!(door(Role::Operator, verb, &path), Door::Closed(_)) {
            closed += 1;
            assert_eq!(with(&kit, verb, &path, "{}", Some(&operator)).await.status, 403, "{verb} {path}");
        }
        // Nobody without a token gets anywhere; what is open to everybody is so for reading alone.
        let expected = if crate::gate::always_open(&path) { 403 } else { 401 };
        assert_eq!(with(&kit, verb, &path, "{}", None).await.status, expected, "{verb} {path}");
    }
    assert!(closed > 60, "{closed}");
    assert_eq!(kit.controller.view().cluster.serial, before, "nothing was committed");
}

#[tokio::test]
async fn a_viewer_cannot_guess_secrets_with_a_filter() {
    let (kit, admin) = closed().await;
    let viewer = token_for(&kit, &admin, Role::Viewer).await;
    let asked = |filter: &'static str, token: &str| {
        let (kit, path, token) = (&kit, format!("/v1/nodes?props={filter}"), token.to_owned());
        async move { with(kit, "GET", &path, "", Some(&token)).await.status }
    };
    for filter in ["Aux/ipmi-password=x", "Aux%2Fipmi-p%61ssword", "Aux/a&props=Aux/Secret"] {
        assert_eq!((asked(filter, &viewer).await, asked(filter, &admin).await), (403, 200), "{filter}");
    }
    for filter in ["Aux/site=x", "Aux/ring=token1"] {
        assert_eq!(asked(filter, &viewer).await, 200, "{filter}");
    }
}

/// An open stream of events.
async fn stream(kit: &Kit, path: &str, token: Option<&str>) -> axum::body::BodyDataStream {
    let mut request = Request::builder().uri(path).header(header::ACCEPT, "text/event-stream");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = router(kit.controller.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.into_body().into_data_stream()
}

/// What a stream still tells, until it ends.
async fn rest(stream: axum::body::BodyDataStream) -> String {
    use futures_util::StreamExt;
    let all = stream.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).collect::<String>();
    tokio::time::timeout(crate::testkit::DEADLINE, all).await.expect("the stream goes on")
}

const STREAMS: [&str; 3] = ["/v1/berth/events", "/v1/events/nodes", "/v1/events/drbd/promotion"];

#[tokio::test]
async fn a_stream_ends_before_it_tells_anything_to_a_token_that_was_revoked() {
    let (kit, admin) = closed().await;
    for path in STREAMS {
        let token = token_for(&kit, &admin, Role::Viewer).await;
        let (stream, lasting) = (stream(&kit, path, Some(&token)).await, stream(&kit, "/v1/berth/events", Some(&admin)).await);
        let id = kit.controller.view().cluster.tokens.keys().max().copied().unwrap_or_default();
        assert_eq!(with(&kit, "DELETE", &format!("/v1/controller/auth/token/{id}"), "", Some(&admin)).await.status, 200);
        let node = r#"{"name": "later", "type": "SATELLITE", "net_interfaces": [{"name": "default", "address": "127.0.0.1"}]}"#;
        with(&kit, "POST", "/v1/nodes", node, Some(&admin)).await;
        with(&kit, "DELETE", "/v1/nodes/later", "", Some(&admin)).await;
        let told = rest(stream).await;
        assert!(told.contains("event: error") && !told.contains("later") && !told.contains("revoke_token"), "{path}: {told}");
        use futures_util::StreamExt;
        let mut lasting = lasting;
        let mut seen = String::new();
        while !seen.contains("later") {
            seen.push_str(std::str::from_utf8(&lasting.next().await.unwrap().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_of_nobody_ends_when_signing_in_is_switched_on() {
    let kit = Kit::new().await;
    let streams = [stream(&kit, STREAMS[0], None).await, stream(&kit, STREAMS[1], None).await, stream(&kit, STREAMS[2], None).await];
    let got = ask(&kit, "POST", "/v1/controller/auth/initialize-token-auth", r#"{"no_https": true}"#).await;
    assert_eq!(got.told(), "201 S1");
    for stream in streams {
        assert!(rest(stream).await.contains("event: error"));
    }
}

#[tokio::test]
async fn a_page_of_another_site_writes_nothing() {
    let (kit, token) = closed().await;
    let from = async |method: &str, path: &str, body: &str, site: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(site) = site {
            request = request.header("Sec-Fetch-Site", site).header(header::CONTENT_TYPE, "text/plain");
        }
        send(&kit, request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let body = r#"{"name":"taken"}"#;
    for site in ["cross-site", "same-site"] {
        for (method, path, body) in [
            ("POST", "/v1/resource-groups", body),
            ("POST", "/v1/controller/auth/token", r#"{"description":"mine"}"#),
            ("PUT", "/v1/resource-groups/DfltRscGrp", r#"{"description":"mine"}"#),
            ("DELETE", "/v1/resource-groups/DfltRscGrp", ""),
        ] {
            let got = from(method, path, body, Some(site)).await;
            assert_eq!(got.told(), "403 E412", "{site} {method} {path}: {}", got.text);
        }
        assert_eq!(from("GET", "/v1/resource-groups", "", Some(site)).await.status, 200, "reading is not writing");
    }
    let groups = from("GET", "/v1/resource-groups", "", None).await.text;
    assert!(!groups.contains("taken") && !groups.contains("mine"), "{groups}");
    for (site, name) in [(None, "one"), (Some("same-origin"), "two"), (Some("none"), "three")] {
        let got = from("POST", "/v1/resource-groups", &format!(r#"{{"name":"{name}"}}"#), site).await;
        assert_eq!(got.status, 201, "{site:?}: {}", got.text);
    }
}
