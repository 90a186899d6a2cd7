//! Where something would be placed, why it was, and filters that nothing can be placed by.

use serde_json::{Value, json};

use super::{Got, ask, get, told};
use crate::testkit::{Fake, Kit, until};
use berth_model::observed::Standing;

/// A cluster of two nodes, each with a pool `thin` of 10 GiB.
async fn two() -> (Kit, [Fake; 2]) {
    let kit = Kit::new().await;
    let fakes = [kit.node("alpha").await, kit.node("bravo").await];
    (kit, fakes)
}

async fn question(kit: &Kit, body: &Value) -> Got {
    ask(kit, "POST", "/v1/berth/place", &body.to_string()).await
}

/// `node/pool verdict rule` of each place of the first placement.
fn places(document: &Value) -> Vec<String> {
    let places = document["placements"][0]["places"].as_array().unwrap_or_else(|| panic!("{document}"));
    let word = |place: &Value, key: &str| place[key].as_str().unwrap_or("-").to_owned();
    let line = |place: &Value| {
        format!("{}/{} {} {}", word(place, "node_name"), word(place, "storage_pool_name"), word(place, "verdict"), word(place, "rule"))
    };
    places.iter().map(line).collect()
}

/// The number of the newest transaction.
fn serial(kit: &Kit) -> u64 {
    kit.controller.view().cluster.serial
}

#[tokio::test]
async fn any_placement_can_be_asked_about() {
    let (kit, _fakes) = two().await;
    kit.definition("web").await;
    let before = serial(&kit);
    let filter = json!({"place_count": 1, "layer_stack": ["storage"]});
    let new = question(&kit, &json!({"volume_sizes": [1 << 20], "select_filter": filter})).await;
    assert_eq!(new.status, 200, "{}", new.text);
    let new = new.json();
    assert_eq!((&new["possible"], new["placements"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    assert_eq!(places(&new), ["alpha/thin chosen chosen", "bravo/thin fits outranked"]);
    let first = &new["placements"][0];
    assert_eq!((&first["resource_name"], &first["kind"], &first["wanted"]), (&Value::Null, &json!("disks"), &json!(1)));
    assert_eq!((&first["layers"], &first["volume_sizes_kib"], &first["failed"]), (&json!(["STORAGE"]), &json!([1 << 20]), &Value::Null));
    let best = &first["places"][0];
    assert!(best["score"].as_f64().is_some_and(|score| score > 0.9) && best["free_kib"].as_u64() > Some(10 << 20), "{best}");
    // The same as a query.
    let path = "/v1/berth/place?what=new&volume_sizes=1048576&place_count=1&layer_stack=storage";
    let asked = get(&kit, path).await.json();
    assert_eq!((&asked["placements"], &asked["possible"]), (&new["placements"], &new["possible"]));
    let other = get(&kit, "/v1/berth/place?what=resource&resource=web&node_name_list=bravo&place_count=1").await.json();
    assert_eq!(places(&other), ["bravo/thin chosen chosen", "alpha/- excluded node_not_listed"]);
    // What would be refused has the table, too, and why.
    let large = question(&kit, &json!({"what": "available", "resource": "web", "node": "alpha"})).await.json();
    assert_eq!(places(&large)[0], "alpha/thin chosen chosen");
    let many = question(&kit, &json!({"what": "resource", "resource": "web", "select_filter": {"place_count": 3}})).await.json();
    assert_eq!(many["possible"], json!(false));
    assert!(many["replies"][0]["message"].as_str().is_some_and(|text| text.contains("Not enough nodes")), "{many}");
    assert_eq!(places(&many), ["alpha/thin fits not_together", "bravo/thin fits not_together"]);
    let group = question(&kit, &json!({"what": "group", "group": "DfltRscGrp", "select_filter": {"place_count": 3}})).await.json();
    assert_eq!((&group["possible"], &group["placements"][0]["resource_name"]), (&json!(true), &json!("web")));
    let nothing = question(&kit, &json!({"what": "clone", "resource": "web"})).await.json();
    assert_eq!((&nothing["possible"], &nothing["placements"]), (&json!(false), &json!([])));
    assert_eq!(serial(&kit), before);
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let (kit, _fakes) = two().await;
    for (body, status) in [
        (json!({"what": "castle"}), 400),
        (json!({"what": "x".repeat(10_000)}), 400),
        (json!({"what": "resource"}), 400),
        (json!({"what": "available", "resource": "web"}), 400),
        (json!({"what": "new", "node": "alpha"}), 400),
        (json!({"what": "move", "resource": "web"}), 400),
        (json!({"whatever": 1}), 400),
        (json!({"volume_sizes": "large"}), 400),
        (json!({"volume_sizes": [9_223_372_036_854_775_808_u64]}), 400),
        (json!([]), 400),
    ] {
        let got = question(&kit, &body).await;
        assert_eq!(got.status, status, "{body}: {}", got.text);
        assert!(got.json()[0]["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", got.text);
    }
    for query in ["place_count=1&place_count=2", "nonsense=1", "x_replicas_on_different_map=rack", "what=resource"] {
        let got = get(&kit, &format!("/v1/berth/place?{query}")).await;
        assert_eq!(got.status, 400, "{query}: {}", got.text);
    }
}

/// Filters that mean nothing, or that no cluster could need, with what each gets from a group, a spawn and an autoplace.
fn bad_filters() -> Vec<(Value, &'static str)> {
    let keys: serde_json::Map<String, Value> = (0..100_000).map(|at| (format!("Aux/{at}"), json!(1))).collect();
    vec![
        (json!({"place_count": -5}), "500 E219"),
        (json!({"additional_place_count": -1}), "500 E219"),
        (json!({"not_place_with_rsc_regex": "("}), "500 E234"),
        (json!({"not_place_with_rsc_regex": "(((a{1000}){1000}){1000})"}), "500 E234"),
        (json!({"not_place_with_rsc_regex": "(".repeat(10_000)}), "500 E234"),
        (json!({"not_place_with_rsc_regex": "a{9999999999}"}), "500 E234"),
        (json!({"x_replicas_on_different_map": {"Aux/rack": 0}}), "500 E234"),
        (json!({"x_replicas_on_different_map": {"Aux/rack": -1}}), "500 E234"),
        (json!({"x_replicas_on_different_map": {"": 1}}), "500 E234"),
        (json!({"x_replicas_on_different_map": keys}), "500 E234"),
        (json!({"replicas_on_same": ["=north"]}), "500 E234"),
        (json!({"replicas_on_different": [""]}), "500 E234"),
        (json!({"node_name_list": vec!["alpha"; 100_000]}), "500 E234"),
        (json!({"node_name_list": ["n".repeat(10_000)]}), "500 E234"),
        (json!({"storage_pool_list": vec!["p"; 100_000]}), "500 E234"),
        (json!({"not_place_with_rsc": vec!["r"; 100_000]}), "500 E234"),
        (json!({"layer_stack": vec!["storage"; 100_000]}), "500 E234"),
        (json!({"layer_stack": ["l".repeat(10_000)]}), "500 E234"),
        (json!({"layer_stack": ["floppy"]}), "500 E224"),
        (json!({"layer_stack": ["luks", "drbd", "storage"]}), "500 E225"),
        (json!({"provider_list": ["TAPE"]}), "500 E224"),
        (json!({"diskless_type": "HOLES"}), "500 E234"),
    ]
}

#[tokio::test]
async fn filters_that_mean_nothing_change_nothing() {
    let (kit, _fakes) = two().await;
    kit.definition("web").await;
    let before = serial(&kit);
    for (filter, expected) in bad_filters() {
        let short: String = filter.to_string().chars().take(100).collect();
        let body = json!({"name": "bad", "select_filter": filter, "volume_sizes": [4096], "resource_definition_name": "bad"}).to_string();
        for path in
            ["/v1/resource-groups/DfltRscGrp/spawn", "/v1/resource-definitions/web/autoplace", "/v1/resource-groups/DfltRscGrp/adjust"]
        {
            assert_eq!(told(&kit, "POST", path, &body).await, expected, "{path}: {short}");
        }
        // A group takes no additional count: it belongs to a single request, and is not kept.
        assert_eq!(told(&kit, "POST", "/v1/resource-groups", &body).await, expected, "group: {short}");
        assert_eq!(told(&kit, "PUT", "/v1/resource-groups/DfltRscGrp", &body).await, expected, "modify: {short}");
        assert_eq!(told(&kit, "OPTIONS", "/v1/query-max-volume-size", &filter.to_string()).await, expected, "query: {short}");
        let asked = question(&kit, &json!({"volume_sizes": [4096], "select_filter": filter})).await.json();
        assert_eq!((&asked["possible"], asked["replies"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{short}");
    }
    assert_eq!(serial(&kit), before);
}

/// Filters that can be read, but that nothing fits: an answer, at once, and nothing made.
#[tokio::test]
async fn filters_that_nothing_fits_are_answered() {
    let (kit, _fakes) = two().await;
    kit.definition("web").await;
    let before = serial(&kit);
    let filters = [
        json!({"place_count": 1_000_000_000}),
        json!({"place_count": i64::MAX}),
        json!({"additional_place_count": 1_000_000_000}),
        json!({"place_count": 1, "node_name_list": ["charlie"]}),
        json!({"place_count": 1, "node_name_list": ["no such name!"]}),
        json!({"place_count": 1, "storage_pool_list": ["nowhere"]}),
        json!({"place_count": 2, "replicas_on_same": ["Aux/rack"]}),
        json!({"place_count": 1, "provider_list": ["LVM"]}),
        json!({"place_count": 2, "x_replicas_on_different_map": {"Aux/rack": 2_000_000_000}, "node_name_list": ["alpha"]}),
    ];
    for filter in filters {
        let body = json!({"select_filter": filter, "layer_list": ["storage"]});
        let got = ask(&kit, "POST", "/v1/resource-definitions/web/autoplace", &body.to_string()).await;
        assert_eq!(got.told(), "500 E996", "{filter}: {}", got.text);
        let details = got.json()[0]["details"].as_str().unwrap_or_default().to_owned();
        assert!(details.contains("berth place resource web"), "{details}");
        let unknown = filter["node_name_list"][0].as_str().filter(|name| *name != "alpha").or(filter["storage_pool_list"][0].as_str());
        assert!(unknown.is_none_or(|name| details.contains(&format!("is called {name}"))), "{details}");
    }
    // One rule against another.
    let contradiction = json!({"place_count": 2, "replicas_on_same": ["Aux/rack"], "replicas_on_different": ["Aux/rack"]});
    let body = json!({"select_filter": contradiction, "layer_list": ["storage"]}).to_string();
    let got = told(&kit, "POST", "/v1/resource-definitions/web/autoplace", &body).await;
    assert!(["500 E996", "500 E234"].contains(&got.as_str()), "{got}");
    assert_eq!(serial(&kit), before);
}

#[tokio::test]
async fn weights_and_shares_that_are_no_numbers_are_refused() {
    let (kit, _fakes) = two().await;
    let before = serial(&kit);
    for key in
        ["Autoplacer/Weights/MaxFreeSpace", "Autoplacer/Weights/MinRscCount", "Autoplacer/MinThinFreeSpace", "MaxOversubscriptionRatio"]
    {
        for value in ["many", "", "-1", "1e400", "NaN", "0x10", &"9".repeat(10_000)] {
            // Any number is one; what is too large counts as the largest.
            if key.starts_with("Autoplacer/") && value.starts_with('9') {
                continue;
            }
            let body = json!({"override_props": {key: value}}).to_string();
            let got = told(&kit, "POST", "/v1/controller/properties", &body).await;
            assert!(got.starts_with("500 E"), "{key}={}: {got}", value.chars().take(20).collect::<String>());
        }
    }
    assert_eq!(serial(&kit), before);
}

#[tokio::test]
async fn the_log_keeps_why_a_node_was_chosen() {
    let (kit, [mut alpha, _bravo]) = two().await;
    let body =
        json!({"resource_definition_name": "web", "volume_sizes": [4096], "select_filter": {"place_count": 1, "layer_stack": ["storage"]}});
    let body = body.to_string();
    let asked = ask(&kit, "POST", "/v1/resource-groups/DfltRscGrp/spawn", &body);
    tokio::pin!(asked);
    let got = loop {
        tokio::select! {
            got = &mut asked => break got,
            _ = alpha.take() => alpha.report(false, |_| Standing::Settled).await,
        }
    };
    assert_eq!(got.status, 201, "{}", got.text);
    until(&kit.controller, |view| view.cluster.jobs.is_empty()).await;
    let story = get(&kit, "/v1/berth/why/resource/web/alpha").await.json();
    let notes = story["history"][0]["decision"].as_array().unwrap().clone();
    let chosen = notes.iter().find(|note| note["note"] == "chosen").unwrap_or_else(|| panic!("{story}"));
    assert_eq!(
        (&chosen["node"], &chosen["pool"], &chosen["wanted"], &chosen["fitting"]),
        (&json!("alpha"), &json!("thin"), &json!(1), &json!(2))
    );
    let passed = notes.iter().find(|note| note["note"] == "passed_over").unwrap_or_else(|| panic!("{story}"));
    assert_eq!((&passed["rule"], &passed["count"], &passed["first"]), (&json!("outranked"), &json!(1), &json!(["bravo, pool thin"])));
}
