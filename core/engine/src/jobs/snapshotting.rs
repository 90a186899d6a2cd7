//! Jobs on snapshots: take, delete, roll back.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::SnapshotFlag;
use berth_model::job::{FailedCopy, RollbackStep, Task};
use berth_model::names::{NodeName, SnapshotName};
use berth_model::objects::{Resource, Tombstone};
use berth_model::observed::FaultKind;
use berth_model::plan::{Content, ContentSource};
use berth_model::reply::Reply;
use berth_model::snapshot::{CopyState, Snapshot};
use uuid::Uuid;

use super::filling::{keep, new_content};
use super::{Look, On, Stand, fault_reply, not_connected, troubles};

type Stands = BTreeMap<(NodeName, Uuid), Stand>;

/// Take: a snapshot is complete on every node or it is taken back everywhere (a point in time, or refused).
pub(super) fn take(look: &mut Look<'_>, job: &On<'_>, name: &SnapshotName) {
    let Some(snapshot) = look.cluster.snapshot(job.resource, name).cloned() else {
        look.end(job, vec![Reply::new(Code::WARN_NOT_FOUND, format!("Snapshot '{name}' is gone."))]);
        return;
    };
    let stands = look.stands(job);
    if stands.values().all(|stand| *stand == Stand::Settled) {
        let mut taken = (*snapshot).clone();
        for copy in taken.copies.values_mut() {
            copy.state = CopyState::Taken;
            copy.created.get_or_insert(look.now);
        }
        taken.flags.set(SnapshotFlag::Successful);
        look.put(Object::Snapshot(taken));
        let replies =
            stands.keys().map(|(node, _)| Reply::new(Code::MODIFIED, format!("(Node: '{node}') Snapshot '{name}' is taken."))).collect();
        look.end(job, replies);
        return;
    }
    let failed = stands.iter().find_map(|((node, _), stand)| match stand {
        Stand::Faulty(fault) => Some((SnapshotFlag::FailedDeployment, FailedCopy { node: node.clone(), fault: Some(fault.clone()) })),
        Stand::Offline | Stand::Unknown => Some((SnapshotFlag::FailedDisconnect, FailedCopy { node: node.clone(), fault: None })),
        Stand::Pending | Stand::Settled | Stand::Gone | Stand::Broken(_) => None,
    });
    match failed {
        Some((flag, why)) => take_back(look, job, &snapshot, flag, why),
        None => {
            let replies = troubles(&stands, "the snapshot waits for it");
            look.wait(job, replies);
        }
    }
}

fn take_back(look: &mut Look<'_>, job: &On<'_>, snapshot: &Snapshot, flag: SnapshotFlag, why: FailedCopy) {
    let mut deleting = snapshot.clone();
    deleting.flags.set(flag);
    deleting.flags.set(SnapshotFlag::Delete);
    for copy in deleting.copies.values_mut() {
        copy.state = CopyState::Deleting;
    }
    look.put(Object::Snapshot(deleting));
    let task = Task::DeleteSnapshot { snapshot: snapshot.name.clone(), copies: job.task.awaited().to_vec(), failed: Some(why) };
    let _next = look.step(job, task);
}

/// Delete: copies go as they are seen gone; those on nodes that are away leave a tombstone; the snapshot goes with the last.
pub(super) fn delete(look: &mut Look<'_>, job: &On<'_>, name: &SnapshotName, failed: Option<&FailedCopy>) {
    let stands = look.stands(job);
    let mut away = Vec::new();
    let mut left = 0usize;
    for ((node, _), stand) in &stands {
        match stand {
            Stand::Gone => remove_copy(look, job, name, node, false),
            Stand::Offline => {
                remove_copy(look, job, name, node, true);
                away.push(node.clone());
            }
            Stand::Unknown => {}
            Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Broken(_) => left += 1,
        }
    }
    if left > 0 {
        let replies = troubles(&stands, "its copy is deleted when the satellite is back");
        look.wait(job, replies);
        return;
    }
    let mut replies = not_connected(&away, "its copy is removed when it is back");
    let rest = look.cluster.snapshot(job.resource, name).cloned();
    if rest.is_none() && failed.is_none() {
        // Another job took the last copy away.
        replies.push(Reply::new(Code::DELETED, format!("Snapshot '{name}' of '{}' is deleted.", job.resource)));
    }
    if let Some(rest) = rest.filter(|snapshot| snapshot.copies.is_empty()) {
        look.remove(Key::Snapshot(job.resource.clone(), name.clone()));
        if failed.is_none() {
            replies.push(Reply::new(Code::DELETED, format!("The copies of snapshot '{name}' are deleted.")));
            replies.push(
                Reply::new(Code::DELETED, format!("Snapshot '{name}' of '{}' is deleted.", job.resource))
                    .details(format!("UUID: {}", rest.id))
                    .refer("UUID", rest.id),
            );
        }
    }
    if let Some(why) = failed {
        replies.insert(0, failure(name, why));
    }
    look.end(job, replies);
}

/// The answer of a snapshot that was taken back: the fault's code and correction, or that the node went away. Errors 980, 994, 995 …
fn failure(name: &SnapshotName, why: &FailedCopy) -> Reply {
    let message = format!("Snapshot '{name}' could not be taken; nothing of it is left.");
    match &why.fault {
        Some(fault) => {
            let told = fault_reply(&why.node, fault);
            let cause = [told.message, told.cause].join(" ");
            Reply { message, cause: cause.trim_end().to_owned(), ..fault_reply(&why.node, fault) }
        }
        None => Reply::new(Code::FAIL_NOT_CONNECTED, message)
            .cause(format!("The satellite '{}' went away meanwhile.", why.node))
            .correction("Start the satellite on the node, then take the snapshot again."),
    }
}

fn remove_copy(look: &mut Look<'_>, job: &On<'_>, name: &SnapshotName, node: &NodeName, tomb: bool) {
    let Some(snapshot) = look.cluster.snapshot(job.resource, name).cloned() else { return };
    let mut rest = (*snapshot).clone();
    rest.copies.remove(node);
    look.put(Object::Snapshot(rest));
    if !tomb {
        return;
    }
    let (Some(item), Some(known)) = (crate::plan::absent_snapshot(&look.cluster, &snapshot, node), look.cluster.nodes.get(node)) else {
        return;
    };
    let tombstone = Tombstone {
        node: node.clone(),
        node_id: known.id,
        item,
        resource: job.resource.clone(),
        snapshot: Some(name.clone()),
        ports: std::collections::BTreeSet::new(),
        drbd_node_id: None,
        deleted: look.now,
    };
    look.put(Object::Tombstone(tombstone));
}

/// Roll back: all down, then all rolled, then all up. Before the first is rolled it can be given up without a trace.
pub(super) fn roll_back(look: &mut Look<'_>, job: &On<'_>, name: &SnapshotName, step: RollbackStep) {
    let stands = look.stands(job);
    let all_settled = stands.values().all(|stand| matches!(stand, Stand::Settled | Stand::Unknown));
    match step {
        RollbackStep::Down if all_settled => {
            roll(look, job, name);
        }
        RollbackStep::Down => give_up_if_hopeless(look, job, &stands),
        RollbackStep::Roll if all_settled => {
            for awaited in job.task.awaited() {
                keep(look, job, awaited);
            }
            next_step(look, job, RollbackStep::Up);
        }
        RollbackStep::Up if all_settled => {
            let done = job.task.awaited().iter().map(|a| {
                Reply::new(Code::DONE, format!("(Node: '{}') '{}' has the data of snapshot '{name}' again.", a.node, job.resource))
                    .of(Operation::Create, ObjectMask::Resource)
                    .refer("Node", &a.node)
            });
            let done = done.collect();
            look.end(job, done);
        }
        RollbackStep::Roll | RollbackStep::Up => {
            let replies = troubles(&stands, "the rollback goes on when it is back");
            look.wait(job, replies);
        }
    }
}

fn next_step(look: &mut Look<'_>, job: &On<'_>, next: RollbackStep) {
    if let Task::Rollback { snapshot, replicas, .. } = &job.task {
        let task = Task::Rollback { snapshot: snapshot.clone(), step: next, replicas: replicas.clone() };
        let _next = look.step(job, task);
    }
}

fn give_up_if_hopeless(look: &mut Look<'_>, job: &On<'_>, stands: &Stands) {
    let reason = stands.iter().find_map(|((node, _), stand)| match stand {
        Stand::Faulty(fault) if fault.kind == FaultKind::InUse => Some(fault_reply(node, fault)),
        Stand::Offline => Some(
            Reply::new(Code::FAIL_NOT_CONNECTED, format!("No connection to satellite '{node}'; nothing was rolled back."))
                .cause("Every replica must be rolled back, and this one cannot be reached.")
                .correction("Start the satellite, or delete this replica, then roll back again."),
        ),
        Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Gone | Stand::Unknown | Stand::Broken(_) => None,
    });
    match reason {
        Some(reply) => look.end(job, vec![reply]),
        None => {
            let replies = troubles(stands, "the rollback waits for it");
            look.wait(job, replies);
        }
    }
}

/// Gives every replica the snapshot's content; its source stays named until the data was seen.
fn roll(look: &mut Look<'_>, job: &On<'_>, name: &SnapshotName) {
    let Some(snapshot) = look.cluster.snapshot(job.resource, name).cloned() else {
        look.end(job, vec![Reply::new(Code::FAIL_NOT_FOUND_SNAPSHOT_DFN, format!("Snapshot '{name}' is gone; nothing was rolled back."))]);
        return;
    };
    let replicas: Vec<Resource> = look.cluster.replicas(job.resource).map(|r| (**r).clone()).collect();
    // A replica that was made meanwhile is not part of it: nobody has seen it down.
    let down = |resource: &Resource| job.task.awaited().iter().any(|awaited| awaited.item == resource.id.uuid());
    for resource in replicas.into_iter().filter(down) {
        let Some(copy) = snapshot.copies.get(&resource.node) else { continue };
        let mut rolled = resource.clone();
        for (number, volume) in &mut rolled.volumes {
            if let Some(source) = copy.volumes.get(number) {
                let id = new_content(look);
                volume.content = Content { id, source: ContentSource::Snapshot { id: source.id, backing: source.backing.clone() } };
            }
        }
        look.put(Object::Resource(rolled));
    }
    next_step(look, job, RollbackStep::Roll);
}
