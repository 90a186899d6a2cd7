//! `advise`: what could be safer, read off the lists.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::states;
use crate::table::{Table, Tone};
use crate::value::{count, flagged, items, layers, text};

/// One thing that could be safer, and the command that makes it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    resource: String,
    issue: String,
    fix: String,
}

impl Advice {
    fn new(resource: &str, issue: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { resource: resource.to_owned(), issue: issue.into(), fix: fix.into() }
    }
}

/// The table.
pub fn table(advice: &[Advice]) -> Table {
    let mut table = Table::new(["Resource", "Issue", "Possible fix"]);
    table.rows.extend(advice.iter().map(|one| vec![one.resource.as_str().into(), one.issue.as_str().into(), one.fix.as_str().into()]));
    table
}

/// The document for `-m`: a list of `{resource, issue, possible_fix}`.
pub fn document(advice: &[Advice]) -> Value {
    advice.iter().map(|one| json!({"resource": one.resource, "issue": one.issue, "possible_fix": one.fix})).collect()
}

/// Replicas by definition, in the order of their names; those that go are left out.
fn by_definition(resources: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut all: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for resource in resources.iter().filter(|resource| !going(resource)) {
        all.entry(text(resource, "name")).or_default().push(resource);
    }
    all
}

fn going(resource: &Value) -> bool {
    ["DELETE", "DRBD_DELETE"].iter().any(|flag| flagged(resource, flag))
}

fn has_disk(resource: &Value) -> bool {
    !flagged(resource, "DISKLESS") && !flagged(resource, "INACTIVE")
}

fn replicates(resource: &Value) -> bool {
    layers(resource).contains(&"DRBD")
}

/// Whether every volume of a replica was seen to hold the data.
fn holds_the_data(resource: &Value) -> bool {
    has_disk(resource) && items(resource, "volumes").iter().all(|volume| states::volume(resource, volume).tone == Tone::Good)
}

fn in_use(resource: &Value) -> bool {
    resource.get("state").and_then(|state| state.get("in_use")).and_then(Value::as_bool) == Some(true)
}

/// What could be safer about resources: too few replicas, no tiebreaker, nodes away, disks that do not hold the data.
/// `only` names the resources that are asked about; empty: all.
pub fn resources(resources: &[Value], definitions: &[Value], groups: &[Value], nodes: &[Value], only: &[String]) -> Vec<Advice> {
    let online: BTreeMap<String, bool> =
        nodes.iter().map(|node| (text(node, "name").to_ascii_lowercase(), text(node, "connection_status") == "ONLINE")).collect();
    let wanted_by_group: BTreeMap<&str, u64> =
        groups.iter().filter_map(|group| Some((text(group, "name"), count(group.get("select_filter")?, "place_count")?))).collect();
    let group_of: BTreeMap<String, &str> =
        definitions.iter().map(|one| (text(one, "name").to_ascii_lowercase(), text(one, "resource_group_name"))).collect();
    let mut advice = Vec::new();
    for (name, replicas) in by_definition(resources) {
        if !only.is_empty() && !only.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            continue;
        }
        let disks = replicas.iter().filter(|replica| has_disk(replica)).count();
        let wanted = group_of.get(&name.to_ascii_lowercase()).and_then(|group| wanted_by_group.get(group)).copied();
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(0);
        let drbd = replicas.iter().any(|replica| replicates(replica));
        if disks < wanted {
            advice.push(Advice::new(
                name,
                format!("Has {disks} of the {wanted} replicas that its group asks for."),
                format!("linstor resource-definition auto-place {name} --place-count {wanted}"),
            ));
        } else if disks == 1 && drbd {
            advice.push(Advice::new(
                name,
                "Has only one replica: its data end with that node.",
                format!("linstor resource-definition auto-place {name} --place-count 2"),
            ));
        } else if disks == 1 {
            advice.push(Advice::new(
                name,
                "Has only one replica, and no layer that replicates it.",
                format!("linstor snapshot create {name} SNAPSHOT, and keep copies elsewhere"),
            ));
        }
        if drbd && disks == 2 && replicas.len() == 2 {
            advice.push(Advice::new(
                name,
                "Has two replicas and no tiebreaker: neither node alone has quorum.",
                format!("linstor resource create NODE {name} --drbd-diskless"),
            ));
        }
        for replica in &replicas {
            let node = text(replica, "node_name");
            if online.get(&node.to_ascii_lowercase()) == Some(&false) {
                advice.push(Advice::new(
                    name,
                    format!("Node {node} is away."),
                    format!("linstor node reconnect {node}, or linstor node evacuate {node}"),
                ));
            } else if has_disk(replica) && !holds_the_data(replica) {
                let states: Vec<String> = items(replica, "volumes").iter().map(|volume| states::volume(replica, volume).text).collect();
                advice.push(Advice::new(
                    name,
                    format!("On {node} it is {}.", states.join(", ").replace('\n', " ")),
                    format!("berth why {name}/{node}"),
                ));
            }
        }
    }
    advice
}

/// What would suffer if `node` went down for a while.
pub fn maintenance(resources: &[Value], node: &str) -> Vec<Advice> {
    let mut advice = Vec::new();
    for (name, replicas) in by_definition(resources) {
        let Some(here) = replicas.iter().find(|replica| text(replica, "node_name").eq_ignore_ascii_case(node)) else { continue };
        let others: Vec<&&Value> = replicas.iter().filter(|replica| !text(replica, "node_name").eq_ignore_ascii_case(node)).collect();
        if in_use(here) {
            advice.push(Advice::new(name, format!("Is in use on {node}."), "Move what uses it to another node first."));
        }
        if !has_disk(here) && !flagged(here, "TIE_BREAKER") {
            continue;
        }
        let holders = others.iter().filter(|replica| holds_the_data(replica)).count();
        if has_disk(here) && holders == 0 {
            let fix = if replicates(here) {
                format!("linstor resource-definition auto-place {name} --place-count +1")
            } else {
                "Move its data away first: no layer replicates it.".to_owned()
            };
            advice.push(Advice::new(name, format!("No other node holds its data: it cannot be used while {node} is down."), fix));
        } else if has_disk(here) && holders == 1 {
            advice.push(Advice::new(
                name,
                format!("Only one replica is left while {node} is down."),
                format!("linstor resource-definition auto-place {name} --place-count +1"),
            ));
        }
        if replicates(here) && holders > 0 && others.len() * 2 <= replicas.len() {
            advice.push(Advice::new(
                name,
                format!("Loses quorum while {node} is down: {} of {} nodes are left.", others.len(), replicas.len()),
                format!("linstor resource create NODE {name} --drbd-diskless"),
            ));
        }
    }
    advice
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{maintenance, resources};

    fn replica(name: &str, node: &str, flags: &[&str], disk: &str, layer: &str) -> Value {
        json!({"name": name, "node_name": node, "flags": flags, "layer_object": {"type": layer}, "state": {"in_use": node == "user"},
            "volumes": [{"volume_number": 0, "state": {"disk_state": disk}}]})
    }

    fn issues(advice: &[super::Advice]) -> Vec<String> {
        advice.iter().map(|one| format!("{}: {}", one.resource, one.issue)).collect()
    }

    #[test]
    fn what_could_be_safer_is_found() {
        let all = [
            replica("one", "a", &[], "UpToDate", "DRBD"),
            replica("two", "a", &[], "UpToDate", "DRBD"),
            replica("two", "b", &[], "UpToDate", "DRBD"),
            replica("three", "a", &[], "UpToDate", "DRBD"),
            replica("three", "b", &[], "Inconsistent", "DRBD"),
            replica("three", "c", &["DISKLESS", "TIE_BREAKER"], "Diskless", "DRBD"),
            replica("plain", "a", &[], "", "STORAGE"),
            replica("gone", "a", &["DELETE"], "UpToDate", "DRBD"),
        ];
        let definitions = [json!({"name": "three", "resource_group_name": "big"})];
        let groups = [json!({"name": "big", "select_filter": {"place_count": 3}})];
        let nodes = [json!({"name": "a", "connection_status": "ONLINE"}), json!({"name": "b", "connection_status": "ONLINE"})];
        let found = issues(&resources(&all, &definitions, &groups, &nodes, &[]));
        assert_eq!(
            found,
            [
                "one: Has only one replica: its data end with that node.",
                "plain: Has only one replica, and no layer that replicates it.",
                "three: Has 2 of the 3 replicas that its group asks for.",
                "three: On b it is Inconsistent.",
                "two: Has two replicas and no tiebreaker: neither node alone has quorum.",
            ]
        );
        assert_eq!(resources(&all, &definitions, &groups, &nodes, &["one".to_owned()]).len(), 1);
        let away = [json!({"name": "a", "connection_status": "OFFLINE"})];
        assert!(issues(&resources(&all, &[], &[], &away, &["one".to_owned()])).contains(&"one: Node a is away.".to_owned()));
    }

    #[test]
    fn maintenance_names_what_suffers() {
        let all = [
            replica("one", "user", &[], "UpToDate", "DRBD"),
            replica("two", "user", &[], "UpToDate", "DRBD"),
            replica("two", "b", &[], "UpToDate", "DRBD"),
            replica("safe", "a", &[], "UpToDate", "DRBD"),
        ];
        let found = issues(&maintenance(&all, "user"));
        assert!(found.iter().any(|text| text.starts_with("one: No other node holds")), "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("two: Only one replica is left")), "{found:?}");
        assert!(found.iter().any(|text| text.starts_with("two: Loses quorum")), "{found:?}");
        assert!(found.iter().any(|text| text.contains("in use on user")), "{found:?}");
        assert!(!found.iter().any(|text| text.starts_with("safe")), "{found:?}");
    }
}
