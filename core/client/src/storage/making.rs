//! Volumes and snapshots: where they would be placed, making and removing them.

use std::collections::BTreeMap;
use std::time::Instant;

use berth_plugin_sdk::storage::{NewVolume, Preview, Snapshot, Source, Storage, Volume};
use berth_plugin_sdk::{Fault, FaultKind};
use serde_json::{Map, Value, json};

use super::documents::{CloneStatus, Node, PlaceAnswer};
use super::{LOOK_AGAIN, RestStorage, WRITE_WITHIN, missing};
use crate::Call;

/// The group that is always there.
const DEFAULT_GROUP: &str = "DfltRscGrp";

fn group(new: &NewVolume) -> &str {
    if new.group.is_empty() { DEFAULT_GROUP } else { &new.group }
}

impl RestStorage {
    /// The rules of a placement as a select filter; what is not said is left to the group.
    fn filter(&self, new: &NewVolume) -> Result<Value, Fault> {
        let mut nodes = new.nodes.clone();
        if !new.exclude_nodes.is_empty() {
            let excluded = |name: &str| new.exclude_nodes.iter().any(|other| other.eq_ignore_ascii_case(name));
            if nodes.is_empty() {
                let all: Vec<Node> = self.ask(Call::get(&["nodes"]))?.unwrap_or_default();
                if let Some(unknown) = new.exclude_nodes.iter().find(|name| !all.iter().any(|node| node.name.eq_ignore_ascii_case(name))) {
                    return Err(missing("Node", unknown));
                }
                nodes = all.into_iter().map(|node| node.name).collect();
            }
            nodes.retain(|name| !excluded(name));
            if nodes.is_empty() {
                return Err(Fault::new(FaultKind::NoSpace, "Every node is excluded").correction("Leave a node for the volume"));
            }
        }
        let mut filter = Map::new();
        let mut set = |key: &str, value: Value, said: bool| {
            if said {
                filter.insert(key.to_owned(), value);
            }
        };
        let all_named = (!new.nodes.is_empty()).then(|| u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        let replicas = new.replicas.or(all_named);
        set("place_count", json!(replicas), replicas.is_some());
        set("node_name_list", json!(nodes), !nodes.is_empty());
        set("storage_pool_list", json!(new.pools), !new.pools.is_empty());
        set("storage_pool_diskless_list", json!(new.diskless_pools), !new.diskless_pools.is_empty());
        set("replicas_on_same", json!(new.on_same), !new.on_same.is_empty());
        set("replicas_on_different", json!(new.on_different), !new.on_different.is_empty());
        set("x_replicas_on_different_map", json!(new.x_on_different), !new.x_on_different.is_empty());
        set("not_place_with_rsc", json!(new.not_with), !new.not_with.is_empty());
        set("not_place_with_rsc_regex", json!(new.not_with_regex), !new.not_with_regex.is_empty());
        set("diskless_on_remaining", json!(new.diskless_on_remaining), new.diskless_on_remaining.is_some());
        set("layer_stack", json!(new.layers), !new.layers.is_empty());
        Ok(Value::Object(filter))
    }

    pub(super) fn would_place(&self, new: &NewVolume) -> Result<Preview, Fault> {
        let filter = self.filter(new)?;
        let question = match &new.from {
            Source::Empty => {
                json!({"what": "new", "group": group(new), "volume_sizes": [new.size.0], "partial": true, "select_filter": filter})
            }
            Source::Volume(name) => json!({"what": "clone", "resource": name}),
            Source::Snapshot { volume, snapshot } => {
                json!({"what": "restore", "resource": volume, "snapshot": snapshot, "nodes": new.nodes})
            }
        };
        let response = self.send(Call::post(&["berth", "place"]).body(question), super::READ_WITHIN)?;
        if !response.ok() {
            return Err(super::refused(&response));
        }
        let answer: PlaceAnswer = serde_json::from_slice(&response.body)
            .map_err(|error| Fault::new(FaultKind::Bug, "The controller's answer cannot be read").cause(error.to_string()))?;
        let chosen = answer.placements.iter().filter(|placement| placement.kind != "diskless").flat_map(|placement| &placement.places);
        let places = chosen
            .filter(|place| place.verdict == "chosen")
            .map(|place| (place.node_name.clone(), place.storage_pool_name.clone().unwrap_or_default()))
            .collect();
        let why = answer.placements.iter().find_map(|placement| placement.failed.clone());
        let said = answer.replies.iter().find(|reply| reply.severity() == crate::Severity::Error).and_then(|reply| reply.message.clone());
        let reason = if answer.possible { String::new() } else { why.or(said).unwrap_or_else(|| "the controller gave no reason".into()) };
        Ok(Preview { possible: answer.possible, places, reason })
    }

    pub(super) fn make(&self, new: &NewVolume) -> Result<Volume, Fault> {
        if let Some(there) = self.get(&new.name)? {
            return self.there_already(new, there);
        }
        let made = match &new.from {
            Source::Empty => self.spawn(new),
            Source::Volume(name) => self.clone_of(new, name),
            Source::Snapshot { volume, snapshot } => self.restore(new, volume, snapshot),
        };
        match made {
            // Somebody made it at the same moment.
            Err(fault) if fault.kind == FaultKind::Foreign => match self.get(&new.name)? {
                Some(there) => self.there_already(new, there),
                None => Err(fault),
            },
            Err(fault) => Err(fault),
            Ok(()) => self.must(&new.name),
        }
    }

    /// What a volume of the wanted name is good for.
    fn there_already(&self, new: &NewVolume, there: Volume) -> Result<Volume, Fault> {
        if there.going {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{}' is just being deleted", new.name))
                .correction("Try again when it is gone"));
        }
        // A restore that was cut off between its steps: they are taken again.
        if let (Source::Snapshot { volume, snapshot }, true) = (&new.from, there.replicas.is_empty()) {
            self.restore(new, volume, snapshot)?;
            return self.must(&new.name);
        }
        if matches!(new.from, Source::Volume(_)) {
            self.cloned(new)?;
        }
        if there.size < new.size {
            return Err(Fault::new(FaultKind::Foreign, format!("Volume '{}' is there already, with {}", new.name, there.size))
                .cause(format!("{} were asked for", new.size))
                .correction("Resize it, or choose another name"));
        }
        Ok(there)
    }

    /// Definition, volume and replicas in one transaction.
    fn spawn(&self, new: &NewVolume) -> Result<(), Fault> {
        let body = json!({
            "resource_definition_name": new.name,
            "volume_sizes": [new.size.0],
            "partial": true,
            "select_filter": self.filter(new)?,
            "resource_definition_props": new.props,
        });
        self.order(Call::post(&["resource-groups", group(new), "spawn"]).body(body)).map(drop)
    }

    fn clone_of(&self, new: &NewVolume, source: &str) -> Result<(), Fault> {
        let mut body = json!({"name": new.name, "override_props": new.props});
        if !new.group.is_empty() {
            body["resource_group"] = json!(new.group);
        }
        if !new.layers.is_empty() {
            body["layer_list"] = json!(new.layers);
        }
        self.order(Call::post(&["resource-definitions", source, "clone"]).body(body))?;
        self.cloned(new)
    }

    /// Waits for a clone that was begun, and gives it its size.
    fn cloned(&self, new: &NewVolume) -> Result<(), Fault> {
        let Source::Volume(source) = &new.from else { return Ok(()) };
        let deadline = Instant::now() + WRITE_WITHIN;
        loop {
            let status: Option<CloneStatus> = self.ask(Call::get(&["resource-definitions", source, "clone", &new.name]))?;
            match status.unwrap_or_default().status.as_str() {
                "CLONING" if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                "CLONING" => {
                    return Err(Fault::new(FaultKind::Timeout, format!("Volume '{}' is still being copied", new.name))
                        .correction("Try again later"));
                }
                "FAILED" => {
                    return Err(Fault::new(FaultKind::Tool, format!("The copy of volume '{source}' failed"))
                        .correction(format!("Look at it with 'berth why resource-definition {}', delete it and try again", new.name)));
                }
                _ => return self.enlarge(new),
            }
        }
    }

    fn restore(&self, new: &NewVolume, volume: &str, snapshot: &str) -> Result<(), Fault> {
        let taken = self.snapshots(volume)?.into_iter().find(|one| one.name.eq_ignore_ascii_case(snapshot));
        let taken = taken.ok_or_else(|| missing("Snapshot", &format!("{volume}/{snapshot}")))?;
        if self.definition(&new.name)?.is_none() {
            let definition = json!({"resource_definition": {"name": new.name, "props": new.props, "resource_group_name": group(new),
                "layer_data": new.layers.iter().map(|layer| json!({"type": layer})).collect::<Vec<_>>()}});
            self.order(Call::post(&["resource-definitions"]).body(definition))?;
        }
        let to = json!({"to_resource": new.name, "nodes": new.nodes});
        if self.definition(&new.name)?.is_some_and(|definition| definition.volume_definitions.is_empty()) {
            self.order(Call::post(&["resource-definitions", volume, "snapshot-restore-volume-definition", &taken.name]).body(to.clone()))?;
        }
        // Properties of the snapshot's volume come along; what was asked for holds before them.
        self.override_props(new)?;
        let restored = self.order(Call::post(&["resource-definitions", volume, "snapshot-restore-resource", &taken.name]).body(to));
        if let Err(fault) = restored {
            // Nothing that was asked for in one call is left half made; should this fail, too, the next create goes on from here.
            drop(self.order(Call::delete(&["resource-definitions", &new.name])));
            return Err(fault);
        }
        self.override_props(new)?;
        self.enlarge(new)
    }

    fn override_props(&self, new: &NewVolume) -> Result<(), Fault> {
        if new.props.is_empty() { Ok(()) } else { self.set_props(&new.name, &new.props, &[]) }
    }

    fn enlarge(&self, new: &NewVolume) -> Result<(), Fault> {
        let there = self.must(&new.name)?;
        if new.size > there.size { self.resize(&new.name, new.size).map(drop) } else { Ok(()) }
    }

    pub(super) fn remove(&self, name: &str, snapshots: bool) -> Result<(), Fault> {
        if self.definition(name)?.is_none() {
            return Ok(());
        }
        if snapshots {
            for snapshot in self.snapshots(name)? {
                self.delete_snapshot(name, &snapshot.name)?;
            }
        }
        self.order(Call::delete(&["resource-definitions", name])).map(drop)
    }

    pub(super) fn take_snapshot(&self, name: &str, snapshot: &str) -> Result<Snapshot, Fault> {
        let find = |all: Vec<Snapshot>| all.into_iter().find(|one| one.name.eq_ignore_ascii_case(snapshot));
        self.must(name)?;
        if let Some(there) = find(self.snapshots(name)?) {
            return Ok(there);
        }
        let taken = self.order(
            Call::post(&["resource-definitions", name, "snapshots"])
                .body(json!({"name": snapshot, "props": BTreeMap::<String, String>::new()})),
        );
        match (taken, find(self.snapshots(name)?)) {
            (Ok(_), Some(there)) => Ok(there),
            (Err(fault), Some(there)) if fault.kind == FaultKind::Foreign => Ok(there),
            (Err(fault), _) => Err(fault),
            (Ok(_), None) => Err(missing("Snapshot", snapshot)),
        }
    }
}
