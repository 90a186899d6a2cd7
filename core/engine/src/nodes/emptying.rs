//! Nodes that are emptied, and nodes that are taken back.

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{NodeFlag, ResourceFlag};
use berth_model::job::{Job, Subject, Task};
use berth_model::names::{NodeName, ResourceName, SnapshotName};
use berth_model::reply::Reply;
use berth_model::snapshot::CopyState;

use crate::command::Command;
use crate::draft::{Draft, Effect, Refused};
use crate::lookup;

/// Changes after which taking marks off goes on in another transaction (at most 100 writes each).
const MOST_CHANGES: usize = 70;

/// Refusals name no objects (recorded behaviour of the API).
pub(super) fn alone(refused: Refused) -> Refused {
    Refused { replies: refused.replies.into_iter().map(Reply::alone).collect() }
}

/// Marks a node, so that it takes no new replicas, and starts to move those that it has to other nodes.
///
/// `target`: only these nodes take them; empty: any. `avoid`: these do not.
pub(super) fn evacuate(draft: &mut Draft<'_>, text: &str, target: &[String], avoid: &[String]) -> Result<(), Refused> {
    let mut node = (**lookup::node(&draft.cluster, text).map_err(alone)?).clone();
    let named = |draft: &Draft<'_>, names: &[String]| -> Result<Vec<NodeName>, Refused> {
        names.iter().map(|name| lookup::node(&draft.cluster, name).map(|node| node.name.clone()).map_err(alone)).collect()
    };
    let task = Task::Evacuate { target: named(draft, target)?, do_not_target: named(draft, avoid)? };
    if node.flags.has(NodeFlag::Delete) || node.flags.has(NodeFlag::Evicted) {
        return Err(Reply::new(Code::FAIL_EVACUATING, format!("Node '{}' cannot be evacuated.", node.name))
            .cause("It was evicted or given up; nothing can be moved off it.")
            .correction(format!("Bring it back first: 'linstor node restore {}'.", node.name))
            .alone()
            .into());
    }
    let name = node.name.clone();
    if !node.flags.has(NodeFlag::Evacuate) {
        node.flags.set(NodeFlag::Evacuate);
        draft.put(Object::Node(node));
    }
    let open = draft.cluster.jobs_on_node(&name).find(|job| matches!(job.task, Task::Evacuate { .. })).cloned();
    match open {
        // Asked for again: with the lists of now.
        Some(job) => {
            draft.applied.jobs.push(job.id);
            let serial = draft.serial();
            draft.put(Object::Job(Job { task, serial, ..(*job).clone() }));
        }
        None => {
            let returning: Vec<_> =
                draft.cluster.jobs_on_node(&name).filter(|job| matches!(job.task, Task::Return { .. })).map(|job| job.id).collect();
            returning.into_iter().for_each(|id| draft.delete(Key::Job(id)));
            draft.start_on(Subject::Node(name), task);
        }
    }
    Ok(())
}

/// Ends eviction or evacuation. Its entries name no objects (recorded behaviour of the API).
pub(super) fn restore(draft: &mut Draft<'_>, text: &str, delete_resources: bool, delete_snapshots: bool) -> Result<(), Refused> {
    let node = lookup::node(&draft.cluster, text).map_err(alone)?.clone();
    let name = node.name.clone();
    if !node.flags.has(NodeFlag::Evicted) && !node.flags.has(NodeFlag::Evacuate) {
        return Err(Reply::new(Code::FAIL, format!("Node '{name}' is neither evicted nor being evacuated."))
            .cause("There is nothing to take back.")
            .correction("List the nodes with 'linstor node list'; 'linstor node reconnect' connects one anew.")
            .alone()
            .into());
    }
    give_back(draft, &name, delete_resources, delete_snapshots)?;
    draft.about(Operation::Modify, ObjectMask::Node, &[("Node", name.as_str())]);
    // A node that was only being emptied has its connection.
    if node.flags.has(NodeFlag::Evicted) {
        draft.applied.effects.push(Effect::Reconnect(name.clone()));
    }
    let mut reply = Reply::new(Code::DONE, format!("Node '{name}' is taken back.")).alone();
    reply.object = Some(ObjectMask::Node);
    draft.reply(reply);
    Ok(())
}

/// Cancels an evacuation: what has moved stays moved.
pub(crate) fn end_evacuation(draft: &mut Draft<'_>, node: &NodeName) -> Result<(), Refused> {
    give_back(draft, node, false, false)
}

fn give_back(draft: &mut Draft<'_>, name: &NodeName, delete_resources: bool, delete_snapshots: bool) -> Result<(), Refused> {
    let Some(node) = draft.cluster.nodes.get(name).cloned() else { return Ok(()) };
    let mut back = (*node).clone();
    back.flags.clear(NodeFlag::Evicted);
    back.flags.clear(NodeFlag::Evacuate);
    draft.put(Object::Node(back));
    let open: Vec<_> =
        draft.cluster.jobs_on_node(name).filter(|job| matches!(job.task, Task::Evacuate { .. } | Task::Evict)).map(|job| job.id).collect();
    open.into_iter().for_each(|id| draft.delete(Key::Job(id)));
    if take_marks_off(draft, name, delete_resources, delete_snapshots, None)? {
        draft.start_on(Subject::Node(name.clone()), Task::Return { delete_resources, delete_snapshots });
    }
    Ok(())
}

/// Takes back what evacuation and eviction did to what is on a node, as much as one transaction holds; `true`: there is more.
/// Moves that have not reached their end are cancelled. With `told` what cannot be deleted is told there, else it is refused.
pub(crate) fn take_marks_off(
    draft: &mut Draft<'_>,
    name: &NodeName,
    delete_resources: bool,
    delete_snapshots: bool,
    mut told: Option<&mut Vec<Reply>>,
) -> Result<bool, Refused> {
    let resources: Vec<_> = draft.cluster.resources_on(name).cloned().collect();
    for resource in resources {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return Ok(true);
        }
        let moves: Vec<_> = draft
            .cluster
            .jobs_on(&resource.name)
            .filter(|job| matches!(&job.task, Task::Move { from, .. } if from.node == *name))
            .cloned()
            .collect();
        for job in moves {
            let outcome = crate::jobs::take_back_move(draft, &job, &resource.name);
            refused_or_told(outcome.map(drop), told.as_deref_mut())?;
        }
        let Some(resource) = draft.cluster.resource(&resource.name, name).cloned() else { continue };
        let evicted = resource.flags.has(ResourceFlag::Evicted);
        let mut back = (*resource).clone();
        // One that was inactive before stays so.
        back.flags.clear(ResourceFlag::Evicted);
        back.flags.clear(ResourceFlag::InactiveBeforeEviction);
        back.flags.clear(ResourceFlag::Evacuate);
        if back != *resource {
            draft.put(Object::Resource(back));
        }
        if evicted && delete_resources && crate::tiebreaker::is_tie(&resource) {
            crate::tiebreaker::remove(draft, &resource);
        } else if evicted && delete_resources {
            let command = Command::DeleteResource { resource: resource.name.to_string(), node: name.to_string(), keep_tiebreaker: None };
            refused_or_told(crate::deletion::apply(draft, &command), told.as_deref_mut())?;
        }
    }
    let staying = |snapshot: &&std::sync::Arc<berth_model::snapshot::Snapshot>| {
        snapshot.copies.get(name).is_some_and(|copy| copy.state != CopyState::Deleting)
    };
    let copies: Vec<(ResourceName, SnapshotName)> = draft
        .cluster
        .snapshots_on(name)
        .filter(|_| delete_snapshots)
        .filter(staying)
        .map(|snapshot| (snapshot.resource.clone(), snapshot.name.clone()))
        .collect();
    for (resource, snapshot) in copies {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return Ok(true);
        }
        let command = Command::DeleteSnapshot { resource: resource.to_string(), name: snapshot.to_string(), nodes: vec![name.to_string()] };
        refused_or_told(crate::snapshots::apply(draft, &command), told.as_deref_mut())?;
    }
    Ok(false)
}

fn refused_or_told(outcome: Result<(), Refused>, told: Option<&mut Vec<Reply>>) -> Result<(), Refused> {
    match (outcome, told) {
        (Ok(()), _) => Ok(()),
        (Err(refused), None) => Err(refused),
        (Err(refused), Some(told)) => {
            told.extend(refused.replies);
            Ok(())
        }
    }
}
