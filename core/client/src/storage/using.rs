//! Using volumes on a node, and following what changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use berth_plugin_sdk::storage::{Active, Change, Events, Replica, Storage, Volume};
use berth_plugin_sdk::{Fault, FaultKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LOOK_AGAIN, RestStorage};
use crate::Call;

/// Longest wait for a device to show up after its replica was made.
const DEVICE_WITHIN: Duration = Duration::from_secs(40);

/// Changes of one answer at most.
const AT_ONCE: usize = 1000;

fn active(volume: &Volume, replica: &Replica) -> Option<Active> {
    let usable = !replica.device.is_empty() && !replica.going;
    usable.then(|| Active { device: replica.device.clone(), diskless: replica.diskless, size: volume.size })
}

/// Why a volume cannot be carried to a node.
fn out_of_reach(volume: &Volume, node: &str) -> Fault {
    let holders: Vec<&str> = volume.replicas.iter().filter(|replica| !replica.diskless).map(|replica| replica.node.as_str()).collect();
    let layers = volume.replicas.first().map_or(&volume.layers, |replica| &replica.layers);
    Fault::new(FaultKind::Unsupported, format!("Volume '{}' cannot be used on node '{node}'", volume.name))
        .cause(format!(
            "Its data is on {}, and none of its layers ({}) carries it to another node",
            if holders.is_empty() { "no node".to_owned() } else { holders.join(", ") },
            if layers.is_empty() { "STORAGE".to_owned() } else { layers.join(", ") }
        ))
        .correction("Use it where its data is, or make it with the layers DRBD and STORAGE")
}

impl RestStorage {
    pub(super) fn make_usable(&self, name: &str, node: &str) -> Result<Active, Fault> {
        let volume = self.must(name)?;
        if volume.going {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is being deleted")));
        }
        let here = volume.on(node);
        if let Some(active) = here.filter(|replica| !replica.tiebreaker).and_then(|replica| active(&volume, replica)) {
            return Ok(active);
        }
        // A new replica of a volume that nothing replicates would be an empty one.
        if here.is_none() && !volume.replicas.is_empty() && !volume.replicated() {
            return Err(out_of_reach(&volume, node));
        }
        self.order(Call::post(&["resource-definitions", name, "resources", node, "make-available"]).body(json!({"diskful": false})))?;
        let deadline = Instant::now() + DEVICE_WITHIN;
        loop {
            let volume = self.must(name)?;
            if let Some(active) = volume.on(node).and_then(|replica| active(&volume, replica)) {
                return Ok(active);
            }
            if Instant::now() >= deadline {
                return Err(Fault::new(FaultKind::Timeout, format!("Volume '{name}' has no device on node '{node}' yet"))
                    .cause("The node has not reported one")
                    .correction(format!("Look whether its satellite runs, and at 'berth why resource {name} {node}'")));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    pub(super) fn end_use(&self, name: &str, node: &str) -> Result<(), Fault> {
        let Some(volume) = self.get(name)? else { return Ok(()) };
        let client = volume.on(node).is_some_and(|replica| replica.diskless && !replica.tiebreaker && !replica.going);
        if client {
            let call = Call::delete(&["resource-definitions", name, "resources", node]).query("keep_tiebreaker", "true");
            self.order(call)?;
        }
        Ok(())
    }

    /// The log of changes, asked again and again until it has something: the stream of events is for clients that have a connection of their own.
    pub(super) fn changes(&self, after: Option<u64>, wait: Duration) -> Result<Events, Fault> {
        let deadline = Instant::now() + wait;
        loop {
            let newest = self.page(1, None)?.entries.first().map_or(0, |entry| entry.serial);
            let Some(after) = after else { return Ok(Events { next: newest, ..Events::default() }) };
            if newest > after {
                return self.since(after);
            }
            if newest < after || Instant::now() >= deadline {
                // A serial that was never given: the history is another one.
                return Ok(Events { next: newest, missed: newest < after, changes: Vec::new() });
            }
            std::thread::sleep(LOOK_AGAIN.saturating_mul(4));
        }
    }

    /// A page of the log, newest first.
    fn page(&self, limit: usize, before: Option<u64>) -> Result<Page, Fault> {
        let mut call = Call::get(&["berth", "audit"]).query("limit", limit.to_string());
        if let Some(before) = before {
            call = call.query("before", before.to_string());
        }
        Ok(self.ask(call)?.unwrap_or_default())
    }

    fn since(&self, after: u64) -> Result<Events, Fault> {
        let (mut found, mut before, mut trimmed) = (Vec::new(), None, false);
        loop {
            let page = self.page(AT_ONCE, before)?;
            let reached = page.entries.last().is_none_or(|oldest| oldest.serial <= after.saturating_add(1));
            found.extend(page.entries.into_iter().filter(|entry| entry.serial > after));
            before = page.next_before;
            if reached {
                break;
            }
            if before.is_none() {
                trimmed = true;
                break;
            }
        }
        found.reverse();
        found.truncate(AT_ONCE);
        let changes: Vec<Change> = found
            .into_iter()
            .map(|entry| Change { serial: entry.serial, volumes: names(&entry.changes).into_iter().collect(), command: entry.command })
            .collect();
        let next = changes.last().map_or(after, |change| change.serial);
        Ok(Events { next, missed: trimmed, changes })
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Page {
    entries: Vec<Entry>,
    next_before: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Entry {
    serial: u64,
    command: String,
    changes: Value,
}

/// Names of definitions whose records, or those of their replicas and snapshots, a change wrote or removed; in lower case, as the log has them
/// without case. The log names a record by its kind and its key: `resource WEB/ALPHA`.
fn names(changes: &Value) -> BTreeSet<String> {
    let records = ["put", "delete"].into_iter().filter_map(|list| changes.get(list)?.as_array()).flatten().filter_map(Value::as_str);
    let volumes = records.filter_map(|record| {
        let (kind, key) = record.split_once(' ')?;
        let of_a_volume = matches!(kind, "resource_definition" | "resource" | "snapshot");
        of_a_volume.then(|| key.split('/').next().unwrap_or_default().to_ascii_lowercase())
    });
    volumes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_their_volumes() {
        let changes =
            json!({"put": ["resource_definition WEB", "resource DB/ALPHA", "job 1", "number minor/1000"], "delete": ["snapshot DB/S1"]});
        assert_eq!(names(&changes).into_iter().collect::<Vec<_>>(), ["db", "web"]);
        assert!(names(&Value::Null).is_empty());
    }
}
