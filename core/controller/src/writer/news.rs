//! What a commit brings to streams of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::names::NodeName;
use berth_model::objects::Node;
use berth_store::LogEntry;
use serde_json::Value;

use crate::http::{News, NodeChange};

/// What became of nodes by `changes`, which led on from `before`, and the log `entries` that say so (none: nobody listens).
pub(super) fn of(before: &Cluster, changes: &[Change], entries: Vec<LogEntry>) -> News {
    if entries.is_empty() {
        return News::default();
    }
    let mut known: BTreeMap<NodeName, Option<Arc<Node>>> = BTreeMap::new();
    let mut nodes = Vec::new();
    for change in changes {
        let (name, after) = match change {
            Change::Put(Object::Node(node)) => (node.name.clone(), Some(Arc::new(node.clone()))),
            Change::Delete(Key::Node(name)) => (name.clone(), None),
            Change::Put(_) | Change::Delete(_) => continue,
        };
        let lost = after.is_none() && is_lost(&name, &entries);
        let old = known.insert(name.clone(), after.clone());
        let before = old.unwrap_or_else(|| before.nodes.get(&name).cloned());
        nodes.push(NodeChange { before, after, lost });
    }
    News { entries, nodes }
}

/// Whether the entry that removes the node gives it up for lost: the command, or the job that it became.
fn is_lost(name: &NodeName, entries: &[LogEntry]) -> bool {
    let record = format!("node {}", Key::Node(name.clone()).text());
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let removes = |entry: &&LogEntry| json(&entry.changes)["delete"].as_array().is_some_and(|names| names.iter().any(|one| *one == record));
    entries.iter().filter(removes).any(|entry| {
        let command = json(&entry.command);
        command["command"] == "lose_node" || (command["command"] == "advance" && command["task"] == "lose")
    })
}
