//! Replicas of real daemons after an evacuation, after the loss of a node, and after a change of what is wanted.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use berth_integration::{Cluster, Rest, berth, run_within};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(90);
const RESOURCES: usize = 20;
/// Nodes and their racks.
const RACKS: [(&str, &str); 5] = [("sim-1", "a"), ("sim-2", "a"), ("sim-3", "b"), ("sim-4", "b"), ("sim-5", "c")];

/// The replicas of a list that are no tiebreakers.
fn replicas(list: &Value) -> impl Iterator<Item = &Value> {
    let tie = |replica: &&Value| replica["flags"].as_array().into_iter().flatten().any(|flag| flag == "TIE_BREAKER");
    list.as_array().into_iter().flatten().filter(move |replica| !tie(replica))
}

/// The nodes of each resource.
fn places(list: &Value) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for replica in replicas(list) {
        let text = |key: &str| replica[key].as_str().unwrap_or_default().to_owned();
        places.entry(text("name")).or_default().push(text("node_name"));
    }
    places
}

/// Whether every resource has so many replicas, in different racks, and none on `node`.
fn well_placed(list: &Value, count: usize, node: &str) -> bool {
    let places = places(list);
    places.len() == RESOURCES
        && places.values().all(|nodes| {
            let racks: std::collections::BTreeSet<_> =
                nodes.iter().filter_map(|on| RACKS.iter().find(|(name, _)| name == on)).map(|(_, rack)| rack).collect();
            nodes.len() == count && racks.len() == count && !nodes.iter().any(|on| on == node)
        })
}

fn wait_placed(rest: &Rest, count: usize, node: &str) -> Result<()> {
    rest.wait_for(LIMIT, "/v1/view/resources", |list| well_placed(list, count, node))?;
    rest.wait_for(LIMIT, "/v1/berth/jobs", |list| *list == json!([])).map(drop)
}

fn balance(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let mut command = Command::new(berth()?);
    command.arg("balance").args(words).env("LS_CONTROLLERS", cluster.address());
    run_within(LIMIT, &mut command)?.ok()
}

fn set(rest: &Rest, key: &str, value: &str) -> Result<()> {
    rest.post("/v1/controller/properties", &json!({"override_props": {key: value}}))?.ok().map(drop)
}

#[test]
fn replicas_keep_the_rules_after_an_evacuation_a_loss_and_a_change_of_mind() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.add_simulated(&RACKS.map(|(node, _)| node))?;
    let rest = cluster.rest();
    for (node, rack) in RACKS {
        rest.put(&format!("/v1/nodes/{node}"), &json!({"override_props": {"Aux/rack": rack}}))?.ok()?;
    }
    let filter = json!({"place_count": 2, "layer_stack": ["DRBD", "STORAGE"], "replicas_on_different": ["Aux/rack"]});
    rest.post("/v1/resource-groups", &json!({"name": "sim", "select_filter": filter}))?.ok()?;
    for number in 0..RESOURCES {
        let on = if number % 2 == 0 {
            json!({"node_name_list": ["sim-1", "sim-3"]})
        } else {
            json!({"node_name_list": ["sim-2", "sim-3", "sim-5"]})
        };
        let spawn = json!({"resource_definition_name": format!("web{number}"), "volume_sizes": [65536], "select_filter": on});
        rest.post("/v1/resource-groups/sim/spawn", &spawn)?.ok()?;
    }

    cluster.linstor(&["node", "evacuate", "sim-1"])?;
    wait_placed(&rest, 2, "sim-1")?;

    // sim-3 cannot be reached any more, and is given up.
    let interface = json!({"name": "default", "address": "127.0.0.1", "satellite_port": 1, "satellite_encryption_type": "PLAIN"});
    rest.put("/v1/nodes/sim-3/net-interfaces/default", &interface)?.ok()?;
    rest.wait_for(LIMIT, "/v1/nodes/sim-3", |node| node["connection_status"] == "OFFLINE")?;
    let findings = rest.get("/v1/berth/balance")?.ok()?.json;
    ensure!(findings == json!([]), "a node that is away may come back: {findings}");
    rest.delete("/v1/nodes/sim-3/lost")?.ok()?;
    let findings = rest.get("/v1/berth/balance?group=sim")?.ok()?.json;
    ensure!(
        findings.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["action"] == "add" && one["count"] == 1)),
        "{findings}"
    );
    let listed = balance(&cluster, &["--list"])?;
    ensure!(listed.contains("place 1 more"), "{listed}");
    set(&rest, "BalanceResourcesInterval", "1")?;
    wait_placed(&rest, 2, "sim-3")?;

    // One replica is enough; the rounds are too far apart to do anything.
    set(&rest, "BalanceResourcesInterval", "3600")?;
    rest.put("/v1/resource-groups/sim", &json!({"select_filter": {"place_count": 1}}))?.ok()?;
    let young = balance(&cluster, &["--resource", "web0"])?;
    ensure!(young.contains("left alone") && young.contains("BalanceResourcesGracePeriod"), "{young}");
    set(&rest, "BalanceResourcesGracePeriod", "0")?;
    let dry = balance(&cluster, &["--dry-run", "--resource", "web0"])?;
    ensure!(dry.contains("Dry run") && dry.contains("goes"), "{dry}");
    let before = rest.get("/v1/resource-definitions/web0/resources")?.ok()?.json;
    ensure!(replicas(&before).count() == 2, "{before}");
    balance(&cluster, &["--resource", "web0"])?;
    rest.wait_for(LIMIT, "/v1/resource-definitions/web0/resources", |list| list.as_array().is_some_and(|list| list.len() == 1))?;
    set(&rest, "BalanceResourcesInterval", "1")?;
    wait_placed(&rest, 1, "sim-1")?;
    let story = rest.get("/v1/berth/audit?limit=200")?.ok()?.text;
    ensure!(story.contains("1 are wanted: the one on"), "the log says why");
    rest.put("/v1/nodes/sim-1/restore", &json!({}))?.ok()?;
    let unknown = rest.post("/v1/berth/balance", &json!({"resource_names": ["nothing"]}))?;
    ensure!(unknown.errors() == [301] || unknown.status == 404, "{} {}", unknown.status, unknown.text);
    Ok(())
}
