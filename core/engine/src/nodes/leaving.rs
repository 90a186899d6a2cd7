//! Nodes that go: deleted while they are empty, or given up for lost with all they held.

use std::collections::BTreeSet;

use berth_model::change::{Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::NodeFlag;
use berth_model::job::{Subject, Task};
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{Node, Tombstone};
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::plan::PlanItem;
use berth_model::reply::Reply;
use berth_model::snapshot::Snapshot;

use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::risk::{self, Capped, DataLoss};
use crate::{lookup, tiebreaker};

/// Words for what lies on a node: replicas, then copies of snapshots. Tiebreakers hold nothing.
pub(super) fn holdings(cluster: &Cluster, node: &NodeName) -> Vec<String> {
    let resources =
        cluster.resources_on(node).filter(|resource| !tiebreaker::is_tie(resource)).map(|resource| format!("resource '{}'", resource.name));
    let snapshots = cluster.snapshots_on(node).map(|snapshot| format!("snapshot '{}' of '{}'", snapshot.name, snapshot.resource));
    resources.chain(snapshots).collect()
}

/// The first of `words`, and how many more there are.
fn some_of(words: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = words.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match words.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

fn missing(draft: &mut Draft<'_>, name: &NodeName) {
    draft.reply(Reply::new(Code::WARN_NOT_FOUND, format!("Node '{name}' not found.")).cause("It does not exist, or was deleted already."));
}

/// Deletes a node that holds nothing. A node with data is never forgotten by the way: either its data is deleted first, or
/// somebody says that it is lost.
pub(super) fn delete(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let name = lookup::node_name(text)?;
    let Some(node) = draft.cluster.nodes.get(&name).cloned() else {
        missing(draft, &name);
        return Ok(());
    };
    let holds = holdings(&draft.cluster, &name);
    if !holds.is_empty() {
        let replicas = draft.cluster.resources_on(&name).any(|resource| !tiebreaker::is_tie(resource));
        let code = if replicas { Code::FAIL_NODE_HAS_USED_RSC } else { Code::FAIL_EXISTS_SNAPSHOT };
        let correction = if draft.context.observed.online(&name) {
            format!("Delete what is on it first, or move it to other nodes; 'linstor resource list --nodes {name}' shows it.")
        } else {
            format!("Wait until its satellite is back and delete what is on it, or give it up for good: 'linstor node lost {name}'.")
        };
        return Err(Reply::new(code, format!("Node '{}' is not empty.", node.name))
            .cause(format!("It holds {}.", some_of(&holds)))
            .correction(correction)
            .into());
    }
    end_jobs_on(draft, &name);
    if draft.cluster.count_on(&name) > 0 {
        let mut marked = (*node).clone();
        marked.flags.set(NodeFlag::Delete);
        draft.put(Object::Node(marked));
        draft.say(Code::DELETED, format!("Node '{}' is deleted as soon as its tiebreakers are gone; others take their place.", node.name));
        draft.start_on(Subject::Node(name), Task::Lose { pool: None });
        return Ok(());
    }
    remove(draft, &name);
    draft.say(Code::DELETED, format!("Node '{}' deleted.", node.name));
    Ok(())
}

/// Takes tiebreakers off a node that is deleted while its satellite answers, as many as one transaction holds; `true`: some are left, or
/// the satellite has not cleaned up after them yet.
pub(crate) fn clear_ties(draft: &mut Draft<'_>, name: &NodeName) -> bool {
    if !draft.context.observed.online(name) {
        return false;
    }
    let ties: Vec<_> = draft.cluster.resources_on(name).filter(|resource| tiebreaker::is_tie(resource)).cloned().collect();
    for tie in ties {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        tiebreaker::remove(draft, &tie);
    }
    draft.cluster.tombstones_on(name).any(|tombstone| {
        let diskless = matches!(&tombstone.item, PlanItem::Resource(plan) if plan.diskless);
        diskless && (tombstone.drbd_node_id.is_some() || !tombstone.ports.is_empty())
    })
}

/// Whether the node's satellite answers.
pub(super) fn connected(observed: &Observed, node: &NodeName) -> bool {
    let Some(seen) = observed.nodes.get(node) else { return false };
    match seen.status {
        ConnectionStatus::Connected
        | ConnectionStatus::Online
        | ConnectionStatus::FullSyncFailed
        | ConnectionStatus::Authenticated
        | ConnectionStatus::MissingExtTools => true,
        ConnectionStatus::Offline
        | ConnectionStatus::VersionMismatch
        | ConnectionStatus::AuthenticationError
        | ConnectionStatus::Unknown
        | ConnectionStatus::HostnameMismatch
        | ConnectionStatus::OtherController
        | ConnectionStatus::NoStltConn
        | ConnectionStatus::DuplicateUname => false,
    }
}

/// Changes after which giving a node up goes on in another transaction (at most 100 writes each).
const MOST_CHANGES: usize = 80;

/// Gives a node up: everything of it leaves the cluster, and what may still lie on the machine leaves tombstones, which a node
/// of this name honours when it comes back. More than a transaction holds is left to a job.
pub(super) fn lose(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let name = lookup::node_name(text)?;
    let Some(node) = draft.cluster.nodes.get(&name).cloned() else {
        missing(draft, &name);
        return Ok(());
    };
    let open = draft.cluster.jobs_on_node(&name).find(|job| matches!(job.task, Task::Lose { pool: None })).map(|job| job.id);
    if let Some(id) = open {
        draft.say(Code::DELETED, format!("Node '{}' is being given up for lost already.", node.name));
        draft.applied.jobs.push(id);
        return Ok(());
    }
    if !is_leaving(&node) && connected(draft.context.observed, &name) {
        return Err(Reply::new(Code::FAIL_EXISTS_NODE_CONN, format!("Node '{}' is connected.", node.name))
            .cause("Only a node that does not answer can be lost; this one can still clean up.")
            .correction(format!("Delete it with 'linstor node delete {}', or stop its satellite first.", node.name))
            .into());
    }
    // While the replicas are there: afterwards nobody could tell.
    let losses = risk::data_on(&draft.cluster, draft.context.observed, &name);
    end_jobs_on(draft, &name);
    if !lose_some(draft, &name) {
        draft.say(Code::DELETED, format!("Node '{}' given up for lost.", node.name));
        warn_of(draft, &format!("node '{}'", node.name), &losses);
        return Ok(());
    }
    if !is_leaving(&node) {
        let mut marked = (*node).clone();
        marked.flags.set(NodeFlag::Delete);
        draft.put(Object::Node(marked));
    }
    let left = holdings(&draft.cluster, &name).len();
    draft.say(Code::DELETED, format!("Node '{}' is being given up for lost; {left} of its resources and snapshots are left.", node.name));
    warn_of(draft, &format!("node '{}'", node.name), &losses);
    draft.start_on(Subject::Node(name), Task::Lose { pool: None });
    Ok(())
}

/// Most resources that an answer warns of one by one.
const MOST_WARNINGS: usize = 20;

/// Says which data goes with what is given up, e.g. `node 'alpha'`. It goes all the same: somebody who knows the machine has asked for that.
pub(crate) fn warn_of(draft: &mut Draft<'_>, what: &str, losses: &Capped<DataLoss>) {
    for loss in losses.list.iter().take(MOST_WARNINGS) {
        let (resource, others) = (&loss.resource, some_of(&loss.unknown.iter().map(|node| format!("'{node}'")).collect::<Vec<_>>()));
        let reply = if loss.certain {
            Reply::new(Code::WARN_STORAGE_ERROR, format!("The last copy of the data of '{resource}' is given up with {what}."))
                .cause("No other replica holds this data.")
        } else {
            Reply::new(Code::WARN_STORAGE_ERROR, format!("The last copy of the data of '{resource}' may have been on {what}."))
                .cause(format!("Nobody can say whether it is on {others}."))
        };
        draft.reply(
            reply.correction("See 'berth risk' for what is without a good copy; restore it from a backup.").refer("RscDfn", resource),
        );
    }
    if let Some(more) = losses.total.checked_sub(MOST_WARNINGS).filter(|more| *more > 0) {
        let total = losses.total;
        draft.say(
            Code::WARN_STORAGE_ERROR,
            format!("With {what} the last copies of {total} resources are given up, or may be; {more} of them are not named here."),
        );
    }
}

pub(super) fn is_leaving(node: &Node) -> bool {
    node.flags.has(NodeFlag::Delete) && !node.flags.has(NodeFlag::Evicted)
}

/// Nothing is to be done any more about a node that goes.
fn end_jobs_on(draft: &mut Draft<'_>, name: &NodeName) {
    let open: Vec<_> = draft.cluster.jobs_on_node(name).map(|job| job.id).collect();
    open.into_iter().for_each(|id| draft.delete(Key::Job(id)));
}

/// Takes as much of a lost node out of the cluster as one transaction holds, and the node with the last of it; `true`: there is more.
pub(crate) fn lose_some(draft: &mut Draft<'_>, name: &NodeName) -> bool {
    let Some(node) = draft.cluster.nodes.get(name).cloned() else { return false };
    let resources: Vec<_> = draft.cluster.resources_on(name).cloned().collect();
    for resource in resources {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        let tombstone = crate::jobs::tombstone_of(&draft.cluster, &resource, draft.context.now);
        draft.delete(Key::Resource(resource.name.clone(), name.clone()));
        let connections: Vec<Key> = draft.cluster.ending_with_replica(&resource.name, name).collect();
        connections.into_iter().for_each(|key| draft.delete(key));
        // Nobody honours it, as a node of this name that comes later is another one: it tells what was given up, and holds no number.
        for change in crate::jobs::release(&draft.cluster, resource.id.uuid(), crate::jobs::numbers_of(&resource)) {
            draft.change(change);
        }
        if let Some(tombstone) = tombstone {
            draft.put(Object::Tombstone(Tombstone { ports: BTreeSet::new(), drbd_node_id: None, ..tombstone }));
        }
    }
    let snapshots: Vec<_> = draft.cluster.snapshots_on(name).cloned().collect();
    for snapshot in snapshots {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        lose_copy(draft, &node, &snapshot);
    }
    let holding = |tombstone: &&std::sync::Arc<Tombstone>| !tombstone.ports.is_empty() || tombstone.drbd_node_id.is_some();
    let holding: Vec<_> = draft.cluster.tombstones_on(name).filter(holding).cloned().collect();
    for tombstone in holding {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        for change in crate::jobs::release(&draft.cluster, tombstone.item.id(), crate::jobs::numbers_held(&tombstone)) {
            draft.change(change);
        }
        draft.put(Object::Tombstone(Tombstone { ports: BTreeSet::new(), drbd_node_id: None, ..(*tombstone).clone() }));
    }
    let connections: Vec<Key> = draft.cluster.ending_with_node(name).collect();
    for key in connections {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        draft.delete(key);
    }
    if draft.applied.changes.len() + 2 * draft.cluster.pools_of(name).count() > MOST_CHANGES + 10 {
        return true;
    }
    remove(draft, name);
    false
}

fn lose_copy(draft: &mut Draft<'_>, node: &Node, snapshot: &Snapshot) {
    let item = crate::plan::absent_snapshot(&draft.cluster, snapshot, &node.name);
    drop_copy(draft, node, snapshot, item);
}

/// Takes a node's copy out of a snapshot, and the snapshot with its last copy. `item`: what a tombstone wants gone of it.
pub(crate) fn drop_copy(draft: &mut Draft<'_>, node: &Node, snapshot: &Snapshot, item: Option<PlanItem>) {
    let mut rest = snapshot.clone();
    rest.copies.remove(&node.name);
    if rest.copies.is_empty() {
        draft.delete(Key::Snapshot(rest.resource.clone(), rest.name.clone()));
    } else {
        draft.put(Object::Snapshot(rest));
    }
    if let Some(item) = item {
        draft.put(Object::Tombstone(Tombstone {
            node: node.name.clone(),
            node_id: node.id,
            item,
            resource: snapshot.resource.clone(),
            snapshot: Some(snapshot.name.clone()),
            ports: BTreeSet::new(),
            drbd_node_id: None,
            deleted: draft.context.now,
        }));
    }
}

/// Commands that go on with nodes that an earlier version began to give up, without a job. To be given when a controller begins.
pub fn unfinished(cluster: &Cluster) -> impl Iterator<Item = Command> + '_ {
    let leaving = |node: &&std::sync::Arc<Node>| {
        is_leaving(node) && !cluster.jobs_on_node(&node.name).any(|job| matches!(job.task, Task::Lose { pool: None }))
    };
    cluster.nodes.values().filter(leaving).map(|node| Command::LoseNode { node: node.name.to_string() })
}

/// Removes the node, what is said about its connections, its pools and the definitions that only its pools needed.
fn remove(draft: &mut Draft<'_>, name: &NodeName) {
    let connections: Vec<Key> = draft.cluster.ending_with_node(name).collect();
    connections.into_iter().for_each(|key| draft.delete(key));
    let pools: Vec<StorPoolName> = draft.cluster.pools_of(name).map(|pool| pool.name.clone()).collect();
    for pool in pools {
        draft.delete(Key::StorPool(name.clone(), pool.clone()));
        crate::pools::drop_idle_definition(draft, &pool);
    }
    draft.delete(Key::Node(name.clone()));
}
