//! The checks of the contract's chapter 16, as corrected by what was observed of the server: one function each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Reply, Rest, SIMULATED_POOL, told, within};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/v1/resource-definitions";
const LIMIT: Duration = Duration::from_secs(40);

/// One check on the common cluster.
type Check = fn(&Cluster) -> Result<()>;

#[test]
fn the_contract_s_checks_hold() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&["alpha", "bravo", "charlie"])?;
    let checks: [(u8, Check); 20] = [
        (1, codes_of_trouble_are_negative),
        (2, an_external_name_is_enough_once),
        (3, deleting_what_is_missing_warns),
        (4, too_few_nodes_leave_nothing),
        (5, loose_forms_are_taken),
        (6, nodes_are_shown_in_their_form),
        (7, ties_are_broken),
        (8, sizes_only_grow),
        (9, make_available_is_repeatable),
        (10, a_clone_completes),
        (11, the_version_is_told_to_everybody),
        (12, pages_need_a_limit),
        (13, refusals_are_lists),
        (14, a_store_ends_with_its_last_key),
        (15, volumes_have_devices),
        (16, many_may_poll),
        (17, lists_are_in_order),
        (18, the_last_copy_stays_while_it_is_read),
        (19, one_bad_key_spoils_the_request),
        (20, a_key_may_stand_in_the_path),
    ];
    let mut failed = Vec::new();
    for (number, check) in checks {
        if let Err(error) = check(&cluster) {
            failed.push(format!("check {number}: {error:#}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn entry(reply: &Reply, at: usize) -> &Value {
    &reply.json[at]
}

fn expect(reply: Reply, status: u16, entries: &[&str]) -> Result<Reply> {
    let is = told(&reply);
    ensure!(reply.status == status && is.len() >= entries.len(), "{}: {} {}", reply.request, reply.status, reply.text);
    ensure!(is.iter().zip(entries).all(|(is, should)| is == should), "{}: {is:?}, not {entries:?}: {}", reply.request, reply.text);
    Ok(reply)
}

/// A definition with one volume.
fn define(rest: &Rest, name: &str) -> Result<()> {
    let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "DRBD"}, {"type": "STORAGE"}]}});
    rest.post(DEFINITIONS, &body)?.ok()?;
    rest.post(&format!("{DEFINITIONS}/{name}/volume-definitions"), &json!({"volume_definition": {"size_kib": 65536}}))?.ok().map(drop)
}

fn replicas(rest: &Rest, name: &str, nodes: &[&str]) -> Result<()> {
    let list: Vec<Value> =
        nodes.iter().map(|node| json!({"resource": {"node_name": node, "props": {"StorPoolName": SIMULATED_POOL}}})).collect();
    rest.post(&format!("{DEFINITIONS}/{name}/resources"), &json!(list))?.ok().map(drop)
}

fn codes_of_trouble_are_negative(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c01")?;
    let reply = rest.post(&format!("{DEFINITIONS}/c01/autoplace"), &json!({"select_filter": {"place_count": 9}}))?;
    let code = entry(&reply, 0)["ret_code"].as_i64().context("a code")?;
    let fields = 0x0300_0000 | 0x007c_0000;
    ensure!(code < 0 && code & !fields == -4_611_686_018_427_386_908, "{code}: {}", reply.text);
    let warned = rest.delete(&format!("{DEFINITIONS}/none"))?;
    let code = entry(&warned, 0)["ret_code"].as_i64().context("a code")?;
    ensure!(code < 0 && code & !fields == -9_223_372_036_854_772_808, "{code}: {}", warned.text);
    Ok(())
}

fn an_external_name_is_enough_once(cluster: &Cluster) -> Result<()> {
    let (rest, body) = (cluster.rest(), json!({"resource_definition": {"external_name": "volume of check 2"}}));
    let made = expect(rest.post(DEFINITIONS, &body)?, 201, &["S1"])?;
    let name = entry(&made, 0)["obj_refs"]["RscDfn"].as_str().with_context(|| made.text.clone())?;
    ensure!(rest.get(&format!("{DEFINITIONS}/{name}"))?.ok()?.json["external_name"] == "volume of check 2");
    // Observed: the external name has a code of its own.
    expect(rest.post(DEFINITIONS, &body)?, 500, &["E517"])?;
    expect(rest.post(DEFINITIONS, &json!({"resource_definition": {"name": name}}))?, 500, &["E501"]).map(drop)
}

fn deleting_what_is_missing_warns(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c03")?;
    for path in ["none", "c03/resources/alpha", "c03/snapshots/none", "c03/volume-definitions/7"] {
        expect(rest.delete(&format!("{DEFINITIONS}/{path}"))?, 200, &["W3000"])?;
    }
    // Observed: these two are errors.
    expect(rest.delete("/v1/resource-groups/DfltRscGrp/volume-groups/7")?, 404, &["E318"])?;
    expect(rest.delete("/v1/storage-pool-definitions/none")?, 404, &["E309"]).map(drop)
}

fn too_few_nodes_leave_nothing(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c04")?;
    let place = format!("{DEFINITIONS}/c04/autoplace");
    // Observed: a group without a count has 2; a count of 0 in the request asks for nothing.
    expect(rest.post(&place, &json!({"select_filter": {"place_count": 0}}))?, 201, &["W1006"])?;
    expect(rest.post(&place, &json!({"select_filter": {"place_count": 4}}))?, 500, &["E996"])?;
    ensure!(rest.get(&format!("{DEFINITIONS}/c04/resources"))?.ok()?.json == json!([]), "a replica is left");
    rest.post(&place, &json!({}))?.ok()?;
    let list = rest.get(&format!("{DEFINITIONS}/c04/resources"))?.ok()?;
    let diskful = list.json.as_array().into_iter().flatten().filter(|replica| !replica["flags"].to_string().contains("DISKLESS")).count();
    ensure!(diskful == 2, "{}", list.text);
    let wide = json!({"resource_definition_name": "c04s", "volume_sizes": [65536], "select_filter": {"place_count": 4}});
    expect(rest.post("/v1/resource-groups/DfltRscGrp/spawn", &wide)?, 500, &["E996"])?;
    expect(rest.get(&format!("{DEFINITIONS}/c04s"))?, 404, &["E301"]).map(drop)
}

fn loose_forms_are_taken(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    let send = |path: &str, body: Value| rest.call_with("POST", path, &[("accept-encoding", "gzip")], Some(body.to_string()));
    let interface = json!({"name": "default", "address": "10.0.0.5", "satellite_port": "3366", "satellite_encryption_type": "plain"});
    expect(send("/v1/nodes", json!({"name": "c05", "type": "satellite", "net_interfaces": [interface]}))?, 201, &["S1"])?;
    expect(rest.delete("/v1/nodes/c05/lost")?, 200, &[])?;
    expect(send("/v1/resource-groups", json!({"name": "c05", "select_filter": {"place_count": "2"}}))?, 201, &["S1"])?;
    let layers = json!([{"type": "drbd"}, {"type": "storage"}]);
    let definition = json!({"resource_definition": {"name": "c05", "layer_data": layers, "resource_group_name": "c05"}});
    expect(send(DEFINITIONS, definition)?, 201, &["S1"])?;
    expect(send(&format!("{DEFINITIONS}/c05/volume-definitions"), json!({"volume_definition": {"size_kib": "65536"}}))?, 200, &["S1"])?;
    let filter = json!({"diskless_on_remaining": null, "select_filter": {"place_count": "2"}});
    expect(send(&format!("{DEFINITIONS}/c05/autoplace"), filter)?, 201, &[])?;
    // The kind of pool as the command line spells it is understood; what cannot be done is told.
    let pool = json!({"device_paths": ["/dev/none"], "provider_kind": "lvmthin", "pool_name": "tp"});
    let refused = send("/v1/physical-storage/alpha", pool)?;
    ensure!(refused.status >= 400 && !refused.text.contains("lvmthin is no"), "{}", refused.text);
    Ok(())
}

fn nodes_are_shown_in_their_form(cluster: &Cluster) -> Result<()> {
    let reply = cluster.rest().get("/v1/nodes")?.ok()?;
    let nodes = reply.json.as_array().context("a list")?;
    ensure!(nodes.len() >= 3, "{}", reply.text);
    for node in nodes {
        for member in ["type", "connection_status"] {
            let text = node[member].as_str().with_context(|| node.to_string())?;
            ensure!(text.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'), "{text}");
        }
        let interfaces = node["net_interfaces"].as_array().context("interfaces")?;
        ensure!(interfaces.iter().filter(|interface| interface["is_active"] == true).count() == 1, "{node}");
        for interface in interfaces {
            let address = interface["address"].as_str().context("an address")?;
            ensure!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
        }
    }
    Ok(())
}

/// The replicas of a definition that are tiebreakers, by node.
fn ties(rest: &Rest, name: &str) -> Result<Vec<String>> {
    let list = rest.get(&format!("{DEFINITIONS}/{name}/resources"))?.ok()?;
    let all = list.json.as_array().into_iter().flatten();
    let flags = json!(["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]);
    Ok(all.filter(|replica| replica["flags"] == flags).map(|replica| replica["node_name"].to_string()).collect())
}

fn ties_are_broken(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c07")?;
    let path = |node: &str| format!("{DEFINITIONS}/c07/resources/{node}");
    let says = |reply: &Reply, code: &str| told(reply).iter().any(|one| one == code);
    replicas(&rest, "c07", &["alpha", "bravo"])?;
    ensure!(ties(&rest, "c07")? == ["\"charlie\""], "two disks, and a third node without a tiebreaker");
    // A disk takes its place, and what is left of a disk that goes is the tiebreaker.
    replicas(&rest, "c07", &["charlie"])?;
    ensure!(ties(&rest, "c07")?.is_empty(), "three disks need none");
    let gone = rest.delete(&path("charlie"))?.ok()?;
    ensure!(says(&gone, "I10006") && ties(&rest, "c07")?.len() == 1, "it is not taken over: {}", gone.text);
    let property = || -> Result<Value> {
        Ok(rest.get(&format!("{DEFINITIONS}/c07"))?.ok()?.json["props"]["DrbdOptions/auto-add-quorum-tiebreaker"].clone())
    };
    let kept = rest.delete(&format!("{}?keep_tiebreaker=True", path("charlie")))?.ok()?;
    ensure!(ties(&rest, "c07")?.len() == 1 && property()?.is_null(), "it is not kept: {}", kept.text);
    let deleted = rest.delete(&path("charlie"))?.ok()?;
    ensure!(says(&deleted, "I10002") && property()? == "False", "it would come back: {}", deleted.text);
    expect(rest.get(&path("charlie"))?, 404, &["E302"])?;
    // Pieces are deleted one by one, and none comes back to hold up the others.
    for node in ["bravo", "alpha"] {
        rest.delete(&path(node))?.ok()?;
    }
    rest.delete(&format!("{DEFINITIONS}/c07"))?.ok().map(drop)
}

fn sizes_only_grow(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c08")?;
    replicas(&rest, "c08", &["alpha"])?;
    let volume = format!("{DEFINITIONS}/c08/volume-definitions/0");
    let same = rest.put(&volume, &json!({"size_kib": 65536}))?;
    ensure!(same.status == 200 && told(&same).iter().any(|entry| entry == "W1023"), "{}", same.text);
    expect(rest.put(&volume, &json!({"size_kib": 32768}))?, 500, &["E206"])?;
    expect(rest.put(&volume, &json!({"override_props": {"ExactSize": "true"}}))?, 500, &["E213"]).map(drop)
}

fn make_available_is_repeatable(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c09")?;
    replicas(&rest, "c09", &["alpha"])?;
    for (node, diskful) in [("bravo", false), ("bravo", false), ("alpha", true), ("alpha", false)] {
        let path = format!("{DEFINITIONS}/c09/resources/{node}/make-available");
        expect(rest.post(&path, &json!({"diskful": diskful}))?, 200, &[])?;
    }
    let volumes = format!("{DEFINITIONS}/c09h/volume-definitions");
    rest.post(DEFINITIONS, &json!({"resource_definition": {"name": "c09h", "layer_data": [{"type": "DRBD"}, {"type": "STORAGE"}]}}))?
        .ok()?;
    rest.post(&volumes, &json!({"volume_definition": {"size_kib": 1_u64 << 39}}))?.ok()?;
    let huge = rest.post(&format!("{DEFINITIONS}/c09h/resources/alpha/make-available"), &json!({"diskful": true}))?;
    ensure!(huge.status == 404 && huge.text.contains("Autoplacer could not find diskful"), "{} {}", huge.status, huge.text);
    Ok(())
}

fn a_clone_completes(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c10")?;
    replicas(&rest, "c10", &["alpha"])?;
    let reply = rest.post(&format!("{DEFINITIONS}/c10/clone"), &json!({"name": "c10c"}))?;
    ensure!(reply.status == 201 && reply.json["location"].as_str().is_some_and(|place| place.contains("c10c")), "{}", reply.text);
    let status = format!("{DEFINITIONS}/c10/clone/c10c");
    rest.wait_for(LIMIT, &status, |document| {
        assert!(["CLONING", "COMPLETE"].contains(&document["status"].as_str().unwrap_or_default()), "{document}");
        document["status"] == "COMPLETE"
    })?;
    let unknown = rest.get(&format!("{DEFINITIONS}/c10/clone/none"))?;
    ensure!(unknown.status == 404, "{} {}", unknown.status, unknown.text);
    Ok(())
}

fn the_version_is_told_to_everybody(cluster: &Cluster) -> Result<()> {
    let reply = cluster.rest().call_with("GET", "/v1/controller/version", &[], None)?.ok()?;
    let version = reply.json["rest_api_version"].as_str().with_context(|| reply.text.clone())?;
    ensure!(version == "1.28.0" && version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    Ok(())
}

fn pages_need_a_limit(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    let names = |path: &str| -> Result<Vec<String>> {
        let reply = rest.get(path)?.ok()?;
        let rows = reply.json.as_array().context("a list")?.iter();
        Ok(rows.map(|row| format!("{} {}", row["name"], row["node_name"])).collect())
    };
    let all = names("/v1/view/resources")?;
    ensure!(all.len() > 6, "{all:?}");
    let page = names("/v1/view/resources?limit=5&offset=2")?;
    ensure!(all.get(2..7) == Some(page.as_slice()), "a page begins at its offset: {page:?}");
    ensure!(names("/v1/view/resources?offset=2")? == all, "an offset without a limit says nothing");
    ensure!(names(&format!("/v1/view/resources?limit=5&offset={}", all.len()))?.is_empty());
    ensure!(!names("/v1/view/storage-pools?cached=true")?.is_empty());
    Ok(())
}

fn refusals_are_lists(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    for (verb, path, body) in [
        ("GET", "/v1/nothing", None),
        ("GET", "/v1/nodes/nowhere", None),
        ("PATCH", "/v1/nodes", None),
        ("GET", "/v1/nodes/%FF", None),
        ("POST", "/v1/nodes", Some("{")),
        ("POST", "/v1/nodes", Some("[]")),
        ("POST", DEFINITIONS, Some(r#"{"resource_definition":{"name":"!"}}"#)),
        ("GET", "/v1/resource-definitions/none/resources/none/volumes/0", None),
    ] {
        let reply = rest.call(verb, path, body.map(str::to_owned))?;
        let is_list = reply.json.as_array().is_some_and(|entries| !entries.is_empty());
        ensure!(
            reply.status >= 400 && reply.content_type == "application/json" && is_list,
            "{verb} {path}: {} {}",
            reply.status,
            reply.text
        );
    }
    Ok(())
}

fn a_store_ends_with_its_last_key(cluster: &Cluster) -> Result<()> {
    let (rest, path) = (cluster.rest(), "/v1/key-value-store/c14");
    let positive = |reply: Reply| -> Result<()> {
        let all = reply.json.as_array().context("entries")?;
        ensure!(all.iter().all(|entry| entry["ret_code"].as_i64().is_some_and(|code| code > 0)), "{}", reply.text);
        Ok(())
    };
    positive(rest.put(path, &json!({"override_props": {"a": "1"}}))?.ok()?)?;
    let one = rest.get(path)?.ok()?;
    ensure!(one.json.as_array().is_some_and(|list| list.len() == 1) && one.json[0]["props"] == json!({"a": "1"}), "{}", one.text);
    positive(rest.put(path, &json!({"delete_props": ["a"]}))?.ok()?)?;
    let all = rest.get("/v1/key-value-store")?.ok()?;
    ensure!(!all.text.contains("c14"), "{}", all.text);
    Ok(())
}

fn volumes_have_devices(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c15")?;
    replicas(&rest, "c15", &["alpha"])?;
    let unknown = rest.get(&format!("{DEFINITIONS}/c15/resources/alpha/volumes/7"))?;
    expect(unknown, 404, &["E304"])?;
    rest.post(&format!("{DEFINITIONS}/c15/resources/bravo/make-available"), &json!({"diskful": false}))?.ok()?;
    for node in ["alpha", "bravo"] {
        let volume = rest.get(&format!("{DEFINITIONS}/c15/resources/{node}/volumes/0"))?.ok()?;
        ensure!(volume.json["device_path"].as_str().is_some_and(|path| path.starts_with("/dev/")), "{node}: {}", volume.text);
    }
    Ok(())
}

fn many_may_poll(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    let first = rest.get("/v1/view/resources")?.ok()?;
    std::thread::scope(|threads| {
        let polls: Vec<_> = (0..100).map(|_| threads.spawn(|| rest.get("/v1/view/resources"))).collect();
        for poll in polls {
            let reply = poll.join().expect("a request does not panic")?.ok()?;
            ensure!(reply.json.as_array().map(Vec::len) == first.json.as_array().map(Vec::len), "{}", reply.text);
        }
        Ok(())
    })
}

fn lists_are_in_order(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    for name in ["c17b", "c17a", "C17c"] {
        define(&rest, name)?;
    }
    for path in ["/v1/nodes", DEFINITIONS, "/v1/resource-groups", "/v1/view/resources"] {
        let reply = rest.get(path)?.ok()?;
        let names: Vec<String> =
            reply.json.as_array().into_iter().flatten().filter_map(|row| row["name"].as_str()).map(str::to_ascii_uppercase).collect();
        ensure!(names.is_sorted(), "{path}: {names:?}");
    }
    let volumes = format!("{DEFINITIONS}/c17a/volume-definitions");
    for number in [7, 3] {
        rest.post(&volumes, &json!({"volume_definition": {"volume_number": number, "size_kib": 4096}}))?.ok()?;
    }
    let list = rest.get(&volumes)?.ok()?;
    let numbers: Vec<i64> = list.json.as_array().into_iter().flatten().filter_map(|volume| volume["volume_number"].as_i64()).collect();
    ensure!(numbers == [0, 3, 7], "{numbers:?}");
    replicas(&rest, "c17b", &["alpha"])?;
    for name in ["zz", "aa", "mm"] {
        rest.post(&format!("{DEFINITIONS}/c17b/snapshots"), &json!({"name": name}))?.ok()?;
    }
    let list = rest.get(&format!("{DEFINITIONS}/c17b/snapshots"))?.ok()?;
    let names: Vec<&str> = list.json.as_array().into_iter().flatten().filter_map(|snapshot| snapshot["name"].as_str()).collect();
    ensure!(names == ["zz", "aa", "mm"], "{names:?}");
    Ok(())
}

fn the_last_copy_stays_while_it_is_read(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c18")?;
    replicas(&rest, "c18", &["alpha"])?;
    let diskless = json!([{"resource": {"node_name": "bravo", "flags": ["DISKLESS"]}}]);
    rest.post(&format!("{DEFINITIONS}/c18/resources"), &diskless)?.ok()?;
    expect(rest.delete(&format!("{DEFINITIONS}/c18/resources/alpha"))?, 500, &["E997"])?;
    rest.get(&format!("{DEFINITIONS}/c18/resources/alpha"))?.ok().map(drop)
}

fn one_bad_key_spoils_the_request(cluster: &Cluster) -> Result<()> {
    let rest = cluster.rest();
    define(&rest, "c19")?;
    for path in [
        "/v1/nodes/alpha".to_owned(),
        format!("{DEFINITIONS}/c19"),
        format!("{DEFINITIONS}/c19/volume-definitions/0"),
        "/v1/resource-groups/DfltRscGrp".to_owned(),
        "/v1/nodes/alpha/storage-pools/sim".to_owned(),
    ] {
        let before = rest.get(&path)?.ok()?.json["props"].clone();
        let bad = json!({"override_props": {"Aux/fine": "1", "No/Such/Key": "1"}});
        expect(rest.put(&path, &bad)?, 500, &["E213"])?;
        ensure!(rest.get(&path)?.ok()?.json["props"] == before, "{path} was changed in part");
    }
    let bad = json!({"override_props": {"Aux/fine": "1", "No/Such/Key": "1"}});
    expect(rest.post("/v1/controller/properties", &bad)?, 500, &["E213"])?;
    ensure!(rest.get("/v1/controller/properties")?.ok()?.json.get("Aux/fine").is_none());
    Ok(())
}

fn a_key_may_stand_in_the_path(cluster: &Cluster) -> Result<()> {
    let (rest, key) = (cluster.rest(), "DrbdOptions/Net/ping-timeout");
    for path in [key.to_owned(), key.replace('/', "%2F")] {
        rest.post("/v1/controller/properties", &json!({"override_props": {key: "12"}}))?.ok()?;
        ensure!(rest.get("/v1/controller/properties")?.ok()?.json[key] == "12");
        rest.delete(&format!("/v1/controller/properties/{path}"))?.ok()?;
        within(LIMIT, "the key is gone", || match rest.get("/v1/controller/properties") {
            Ok(reply) if reply.json.get(key).is_none() => Ok(()),
            Ok(reply) => Err(reply.text),
            Err(error) => Err(format!("{error:#}")),
        })?;
    }
    Ok(())
}
