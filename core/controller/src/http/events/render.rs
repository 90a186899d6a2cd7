//! Events as text: each is rendered once, whoever gets it.

use std::sync::Arc;

use axum::body::Bytes;
use berth_api::event::{MayPromoteChange, NodeEvent, NodeModified, Ready, Resync, Seen};
use berth_engine::promotion::may_promote;
use berth_model::cluster::Cluster;
use berth_model::flags::NodeFlag;
use berth_model::names::ResourceName;
use berth_model::objects::{Node, Resource};
use berth_model::reply::Reply;
use berth_model::secrets;
use berth_store::LogEntry;
use serde::Serialize;

use super::super::lists::changes::between;
use super::super::{answer, views};
use super::feed::NodeChange;
use crate::View;
use crate::session::Signs;

/// Most names in one event of what was seen; of more it only says that there are.
const NAMES_MAX: usize = 256;

/// A sign of life that means nothing.
pub const ALIVE: Bytes = Bytes::from_static(b": alive\n\n");

/// Whoever reads this looks at everything anew.
pub const SEEN_ALL: Bytes = Bytes::from_static(b"event: seen\ndata: {\"all\":true}\n\n");

/// A place in the history of a cluster, which a client that comes back sends as `Last-Event-ID`: `SERIAL-TIME`.
///
/// The time (milliseconds since 1970) is that of the change with this serial. A database that was restored counts its serials on from those
/// of its export, so a serial alone may stand for another change than the one that a client has; with its time it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Serial of the last change.
    pub serial: u64,
    /// When it was made; `None`: there was none yet, or the log does not know it any more.
    pub time_ms: Option<i64>,
}

impl Place {
    /// Reads an id, or a serial alone, which is taken as it is.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('-') {
            Some((serial, time)) => Some(Self { serial: serial.parse().ok()?, time_ms: Some(time.parse().ok()?) }),
            None => Some(Self { serial: text.parse().ok()?, time_ms: None }),
        }
    }

    fn of(entry: &LogEntry) -> Self {
        Self { serial: entry.serial, time_ms: Some(entry.time_ms) }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.time_ms {
            Some(time) => write!(f, "{}-{time}", self.serial),
            None => write!(f, "{}", self.serial),
        }
    }
}

/// One event; `id`: what a client that comes back sends as `Last-Event-ID`.
fn event(id: Option<Place>, name: &str, data: &impl Serialize) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    match serde_json::to_string(data).map(without_secrets) {
        // JSON on one line has no line ends.
        Ok(data) => Bytes::from(format!("{id}event: {name}\ndata: {data}\n\n")),
        Err(error) => Bytes::from(format!("{id}event: error\ndata: {}\n\n", serde_json::Value::from(error.to_string()))),
    }
}

/// Each event is rendered once for all who listen, viewers among them: nobody is told a secret.
fn without_secrets(data: String) -> String {
    if !secrets::may_have_secrets(&data) {
        return data;
    }
    // What cannot be read cannot be shown, either.
    let mut document: serde_json::Value = serde_json::from_str(&data).unwrap_or_default();
    secrets::hide(&mut document);
    document.to_string()
}

/// What a stream of changes begins with.
pub fn ready(cluster: &Cluster, place: Place) -> Bytes {
    let text = event(Some(place), "ready", &Ready { serial: place.serial, cluster: cluster.id.to_string() });
    // How long a client waits before it comes back.
    Bytes::from([b"retry: 2000\n".as_slice(), &text].concat())
}

/// An entry of the log.
pub fn change(entry: &LogEntry) -> Bytes {
    event(Some(Place::of(entry)), "change", &views::explain::entry(entry))
}

/// There is a gap: changes from `missed_from` on cannot be told any more, and the next one is that after `place`.
pub fn resync(place: Place, missed_from: u64) -> Bytes {
    event(Some(place), "resync", &Resync { serial: place.serial, missed_from })
}

/// The stream ends because of this.
pub fn error(reply: &Reply) -> Bytes {
    event(None, "error", &[answer::entry(reply)])
}

/// What was seen between two states; `None`: nothing new.
pub fn seen(before: &View, after: &View) -> Option<Bytes> {
    if Arc::ptr_eq(&before.observed, &after.observed) {
        return None;
    }
    let (old, new) = (&before.observed.nodes, &after.observed.nodes);
    let changed = new.iter().filter(|(name, seen)| old.get(*name).is_none_or(|known| !Arc::ptr_eq(known, seen))).map(|(name, _)| name);
    let nodes: Vec<&str> = changed.chain(old.keys().filter(|name| !new.contains_key(*name))).map(|name| name.as_str()).collect();
    if nodes.is_empty() {
        return None;
    }
    let alike = View { cluster: Arc::clone(&after.cluster), observed: Arc::clone(&before.observed) };
    let resources = between(&alike, after);
    match resources {
        Some(names) if nodes.len() + names.len() <= NAMES_MAX => {
            let resources = names.iter().map(|name| name.as_str()).collect();
            Some(event(None, "seen", &Seen { nodes, resources }))
        }
        Some(_) | None => Some(SEEN_ALL),
    }
}

/// LINSTOR's event of what became of a node; `None`: it has none for that.
pub fn node(change: &NodeChange, view: &View, signs: &Signs) -> Option<Bytes> {
    let document = |node: &Node| views::node::node(view, node, signs.last(node.id));
    let told = |name: &str, node: &Node| Some(event(None, name, &NodeEvent { node: document(node) }));
    match (&change.before, &change.after) {
        (None, Some(new)) => told("node-create", new),
        // Nobody is told of a node that is given up for lost: that is what the recorded server does, and its clients wait for `node-delete`
        // to forget a node that was taken away in order.
        (Some(_), None) if change.lost => None,
        (Some(old), None) => {
            let mut going = (**old).clone();
            going.flags.set(NodeFlag::Delete);
            told("node-delete", &going)
        }
        (Some(old), Some(new)) => {
            let has = |flag: NodeFlag| (old.flags.has(flag), new.flags.has(flag));
            match (has(NodeFlag::Evicted), has(NodeFlag::Evacuate)) {
                ((false, true), _) => told("node-evicted", new),
                (_, (false, true)) => told("node-evacuate", new),
                ((true, false), _) | (_, (true, false)) => told("node-restored", new),
                _ if old.props != new.props || old.node_type != new.node_type => {
                    Some(event(None, "node-modified", &NodeModified { old_node: document(old), new_node: document(new) }))
                }
                _ => None,
            }
        }
        (None, None) => None,
    }
}

/// `node-modified` of each node whose satellite came or went between two states.
pub fn connections(before: &View, after: &View, signs: &Signs) -> Vec<Bytes> {
    let (old, new) = (&before.observed.nodes, &after.observed.nodes);
    let mut events = Vec::new();
    for (name, seen) in new {
        let Some(known) = old.get(name) else { continue };
        let (Some(was), Some(node)) = (before.cluster.nodes.get(name), after.cluster.nodes.get(name)) else { continue };
        if Arc::ptr_eq(known, seen) || known.status == seen.status || was.id != node.id {
            continue;
        }
        let heard = signs.last(node.id);
        // The node of now in both, so that the connection alone differs: what else became of it has its own event.
        let old_node =
            views::node::node(&View { cluster: Arc::clone(&after.cluster), observed: Arc::clone(&before.observed) }, node, heard);
        events.push(event(None, "node-modified", &NodeModified { old_node, new_node: views::node::node(after, node, heard) }));
    }
    events
}

fn promotion(replica: &Resource, may_promote: bool) -> Bytes {
    let (resource_name, node_name) = (replica.name.as_str(), replica.node.as_str());
    event(None, "may-promote-change", &MayPromoteChange { resource_name, node_name, may_promote })
}

/// Replicas that became able to be promoted, or unable, between two states. Of one that nobody sees any more nothing is said.
pub fn promotions(before: &View, after: &View) -> Vec<Bytes> {
    let names: Vec<ResourceName> = match between(before, after) {
        Some(names) => names.into_iter().collect(),
        None => after.cluster.definitions.keys().cloned().collect(),
    };
    let mut events = Vec::new();
    for replica in names.iter().flat_map(|name| after.cluster.replicas(name)) {
        let Some(now) = may_promote(&after.cluster, &after.observed, replica) else { continue };
        let known = before.cluster.resource(&replica.name, &replica.node).filter(|known| known.id == replica.id);
        if known.and_then(|known| may_promote(&before.cluster, &before.observed, known)) != Some(now) {
            events.push(promotion(replica, now));
        }
    }
    events
}

/// The present state of the replicas of some definitions after `after`, and the last of these; `None` in its place: there are no more.
pub fn promotions_of_now(view: &View, after: Option<&ResourceName>, definitions: usize) -> (Vec<Bytes>, Option<ResourceName>) {
    let mut events = Vec::new();
    let mut last = None;
    for definition in view.cluster.definitions_after(after).take(definitions) {
        for replica in view.cluster.replicas(&definition.name) {
            events.extend(may_promote(&view.cluster, &view.observed, replica).map(|may| promotion(replica, may)));
        }
        last = Some(definition.name.clone());
    }
    (events, last)
}
