//! The sessions: one task for each node that has a satellite, started and stopped by looking at the published cluster.

mod connect;
mod lines;
mod link;
mod signs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use berth_model::cluster::Cluster;
use berth_model::flags::NodeFlag;
use berth_model::names::NodeName;
use berth_model::objects::Node;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub(crate) use connect::Common;
use connect::{End, Peer, connection, next_number};
pub(crate) use lines::Lines;
pub use lines::Silent;
#[cfg(test)]
pub(crate) use lines::{Asked, Line, Open};
pub(crate) use link::Link;
pub(crate) use signs::Signs;

use crate::writer::SessionEvent;

/// First and last pause between two attempts. The last one, an attempt that a dead link swallows, and the work that waited
/// must end within 15 s of a link's return.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How often it is looked at whether a session's task has died.
const REVIVE: Duration = Duration::from_secs(60);

/// Whether a node has a satellite to talk to, and where. `None`: nobody is to be reached there.
fn wanted(node: &Node) -> Option<Peer> {
    if !node.node_type.has_satellite() {
        return None;
    }
    let interface = node.active_interface()?;
    let satellite = interface.satellite?;
    let address = SocketAddr::new(interface.address, satellite.port);
    Some(Peer { node: node.name.clone(), id: node.id, address, encryption: satellite.encryption })
}

/// Whether the controller must reach a satellite there.
pub(crate) fn has_session(node: &Node) -> bool {
    wanted(node).is_some()
}

struct Task {
    wanted: Peer,
    wake: Arc<Notify>,
    stop: CancellationToken,
    handle: JoinHandle<()>,
}

/// Keeps one task for each node that needs one, until `stop`. `wakes` names nodes to connect anew at once.
pub(crate) async fn supervise(common: Arc<Common>, mut wakes: mpsc::Receiver<NodeName>, stop: CancellationToken) {
    let mut view = common.view.clone();
    let mut tasks: BTreeMap<NodeName, Task> = BTreeMap::new();
    let mut seen: OrdMap<NodeName, Arc<Node>> = OrdMap::new();
    // A session's task ends before its node does only by a defect.
    let mut revive = tokio::time::interval(REVIVE);
    revive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let cluster = Arc::clone(&view.borrow_and_update().cluster);
        // Most commits touch no node, and those that do touch few.
        if !seen.ptr_eq(&cluster.nodes) {
            let changed: Vec<NodeName> = seen.diff(&cluster.nodes).map(|item| name_of(&item).clone()).collect();
            for name in changed {
                reconcile(&common, &cluster, name, &mut tasks, &stop);
            }
            seen = cluster.nodes.clone();
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            node = wakes.recv() => match node {
                Some(node) => if let Some(task) = tasks.get(&node) { task.wake.notify_one() },
                None => break,
            },
            changed = view.changed() => if changed.is_err() { break },
            _ = revive.tick() => {
                let ended: Vec<NodeName> =
                    tasks.iter().filter(|(_, task)| task.handle.is_finished()).map(|(name, _)| name.clone()).collect();
                for name in ended {
                    reconcile(&common, &cluster, name, &mut tasks, &stop);
                }
            }
        }
    }
    for task in tasks.values() {
        task.stop.cancel();
    }
    for task in tasks.into_values() {
        let _ = task.handle.await;
    }
}

fn name_of<'a>(item: &DiffItem<'a, 'a, NodeName, Arc<Node>>) -> &'a NodeName {
    match item {
        DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. } => name,
    }
}

/// Starts or stops the task of one node.
fn reconcile(common: &Arc<Common>, cluster: &Cluster, name: NodeName, tasks: &mut BTreeMap<NodeName, Task>, stop: &CancellationToken) {
    // Nobody talks to an evicted node: what it says of replicas that were replaced would only mislead.
    let kept = |node: &&Arc<Node>| !node.flags.has(NodeFlag::Evicted);
    let wanted = cluster.nodes.get(&name).filter(kept).and_then(|node| wanted(node));
    if let Some(task) = tasks.get(&name) {
        if !task.handle.is_finished() && wanted.as_ref() == Some(&task.wanted) {
            return;
        }
        task.stop.cancel();
        if cluster.nodes.get(&name).is_none_or(|node| node.id != task.wanted.id) {
            common.signs.forget(task.wanted.id);
        }
        tasks.remove(&name);
    }
    let Some(wanted) = wanted else { return };
    let (wake, stop) = (Arc::new(Notify::new()), stop.child_token());
    let handle = tokio::spawn(keep(Arc::clone(common), wanted.clone(), Arc::clone(&wake), stop.clone()));
    tasks.insert(name, Task { wanted, wake, stop, handle });
}

/// Keeps a session with one satellite: connects, serves, and connects again after a pause.
async fn keep(common: Arc<Common>, peer: Peer, wake: Arc<Notify>, stop: CancellationToken) {
    let peer = &peer;
    let mut failures = 0u32;
    loop {
        let session = next_number(&common);
        match connection(&common, peer, session, &wake, &stop).await {
            End::Stopped => {
                common.tell(peer, session, SessionEvent::Lost { reason: "The session was ended.".to_owned() }).await;
                return;
            }
            End::Again => {
                common.tell(peer, session, SessionEvent::Lost { reason: "A new connection was asked for.".to_owned() }).await;
                failures = 0;
                continue;
            }
            End::Failed(status, reason) => {
                common.tell(peer, session, SessionEvent::Failed { status, reason }).await;
                failures = failures.saturating_add(1);
            }
            End::Lost(reason) => {
                common.tell(peer, session, SessionEvent::Lost { reason }).await;
                failures = 1;
            }
        }
        let chance = common.outside.world.chance();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wake.notified() => failures = 0,
            () = tokio::time::sleep(pause(failures, chance)) => {}
        }
    }
}

/// The pause after so many failures: doubles up to the longest, minus up to a quarter by chance, so that satellites which
/// went away together are not asked together for ever.
fn pause(failures: u32, chance: [u8; 16]) -> Duration {
    let doubled = berth_model::time::pause(failures, PAUSES.0, PAUSES.1);
    doubled.saturating_sub(doubled / 4 * u32::from(chance[0]) / 256)
}
