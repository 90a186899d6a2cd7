//! Deletions that are taken back. A satellite may have removed something meanwhile, so what is kept is what is seen to be there.

use std::collections::BTreeSet;

use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::{DefinitionFlag, ResourceFlag, SnapshotFlag, VolumeDefinitionFlag, VolumeFlag};
use berth_model::job::{Awaited, DeleteStep, FailedCopy, Task};
use berth_model::names::ResourceName;
use berth_model::observed::FaultKind;
use berth_model::reply::Reply;
use berth_model::snapshot::CopyState;
use uuid::Uuid;

use super::{Look, On, Stand, fault_reply, not_connected, troubles};
use crate::draft::Draft;

/// What changes can be made in.
pub(crate) trait Sheet {
    /// The cluster with all changes so far.
    fn cluster(&self) -> &Cluster;
    /// Makes a change.
    fn make(&mut self, change: Change);
    /// Puts an object if it differs from `before`.
    fn edit<T: PartialEq + Clone>(&mut self, before: &T, after: T, wrap: fn(T) -> Object) {
        if after != *before {
            self.make(Change::Put(wrap(after)));
        }
    }
}

impl Sheet for Look<'_> {
    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn make(&mut self, change: Change) {
        self.change(change);
    }
}

impl Sheet for Draft<'_> {
    fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn make(&mut self, change: Change) {
        self.change(change);
    }
}

/// Sets or clears on `chosen` what a deletion marks; the whole (definition, volume definition, snapshot) too if `whole`.
pub(super) fn mark(sheet: &mut impl Sheet, name: &ResourceName, deletion: &Task, chosen: &[Awaited], whole: bool, deleted: bool) {
    let ids: BTreeSet<Uuid> = chosen.iter().map(|awaited| awaited.item).collect();
    let replicas: Vec<_> = sheet.cluster().replicas(name).filter(|replica| ids.contains(&replica.id.uuid())).cloned().collect();
    let definition = sheet.cluster().definitions.get(name).cloned().filter(|_| whole);
    match deletion {
        Task::Delete { definition: all, .. } => {
            for replica in replicas {
                let mut edited = (*replica).clone();
                edited.flags.put(ResourceFlag::Delete, deleted);
                sheet.edit(&*replica, edited, Object::Resource);
            }
            if let Some(definition) = definition.filter(|_| *all) {
                let mut edited = (*definition).clone();
                edited.flags.put(DefinitionFlag::Delete, deleted);
                sheet.edit(&*definition, edited, Object::ResourceDefinition);
            }
        }
        Task::DeleteVolume { number, .. } => {
            for replica in replicas {
                let mut edited = (*replica).clone();
                if let Some(volume) = edited.volumes.get_mut(number) {
                    volume.flags.put(VolumeFlag::Delete, deleted);
                }
                sheet.edit(&*replica, edited, Object::Resource);
            }
            if let Some(definition) = definition {
                let mut edited = (*definition).clone();
                if let Some(volume) = edited.volumes.get_mut(number) {
                    volume.flags.put(VolumeDefinitionFlag::Delete, deleted);
                }
                sheet.edit(&*definition, edited, Object::ResourceDefinition);
            }
        }
        Task::DeleteSnapshot { snapshot, .. } => {
            let Some(found) = sheet.cluster().snapshot(name, snapshot).cloned() else { return };
            let mut edited = (*found).clone();
            for copy in edited.copies.values_mut().filter(|copy| ids.contains(&copy.id.uuid())) {
                copy.state = if deleted { CopyState::Deleting } else { CopyState::Taken };
            }
            let all = edited.copies.values().all(|copy| copy.state == CopyState::Deleting);
            edited.flags.put(SnapshotFlag::Delete, all);
            sheet.edit(&*found, edited, Object::Snapshot);
        }
        Task::Create { .. }
        | Task::CreateVolume { .. }
        | Task::Restore { .. }
        | Task::Clone { .. }
        | Task::Resize { .. }
        | Task::Snapshot { .. }
        | Task::Rollback { .. }
        | Task::Activate { .. }
        | Task::Keep { .. }
        | Task::Move { .. }
        | Task::Evacuate { .. }
        | Task::Evict
        | Task::Return { .. }
        | Task::Lose { .. } => {}
    }
}

/// Takes a deletion back whose job found that it cannot go on: the same job sees to it that everything is kept.
pub(super) fn take_back(look: &mut Look<'_>, job: &On<'_>, refused: FailedCopy) {
    mark(look, job.resource, &job.task, job.task.awaited(), true, false);
    let task = Task::Keep { deletion: Box::new(job.task.clone()), refused: Some(refused) };
    let _next = look.step(job, task);
}

/// The same deletion of some of its items only.
fn narrowed(deletion: &Task, chosen: Vec<Awaited>, whole: bool) -> Task {
    match deletion.clone() {
        Task::Delete { definition, .. } => {
            Task::Delete { replicas: chosen, definition: definition && whole, firm: true, step: DeleteStep::Remove }
        }
        Task::DeleteVolume { number, .. } => Task::DeleteVolume { number, replicas: chosen, firm: true, step: DeleteStep::Remove },
        Task::DeleteSnapshot { snapshot, failed, .. } => Task::DeleteSnapshot { snapshot, copies: chosen, failed },
        other => other,
    }
}

/// Keep: ends when all was seen to be there. Where nothing was left the deletion goes on; where a part is missing that is said.
pub(super) fn keep(look: &mut Look<'_>, job: &On<'_>, deletion: &Task, refused: Option<&FailedCopy>) {
    let stands = look.stands(job);
    let mut missing: Vec<Awaited> = Vec::new();
    let mut open = false;
    for awaited in job.task.awaited() {
        match stands.get(&(awaited.node.clone(), awaited.item)) {
            Some(Stand::Faulty(fault)) if fault.kind == FaultKind::Lost => missing.push(awaited.clone()),
            Some(Stand::Settled | Stand::Gone | Stand::Unknown) | None => {}
            Some(Stand::Faulty(_) | Stand::Pending | Stand::Offline | Stand::Broken(_)) => open = true,
        }
    }
    if open {
        let replies = troubles(&stands, "what is on it is kept, and looked at when it is back");
        look.wait(job, replies);
        return;
    }
    let has_disk = |awaited: &&Awaited| {
        let replica = look.cluster.resource(job.resource, &awaited.node);
        replica.is_some_and(|replica| replica.id.uuid() == awaited.item && !replica.flags.has(ResourceFlag::Diskless))
    };
    let disks = job.task.awaited().iter().filter(has_disk).count();
    let all = missing.len() == disks;
    let nothing_left = |awaited: &Awaited| {
        if matches!(deletion, Task::DeleteVolume { .. }) {
            // Other volumes of the replica are none of the deletion's business.
            return all;
        }
        look.observed.item(&awaited.node, awaited.item).is_none_or(|record| record.seen.volumes.is_empty())
    };
    let (gone, damaged): (Vec<Awaited>, Vec<Awaited>) = missing.into_iter().partition(nothing_left);
    if !gone.is_empty() {
        // With the last disk goes what the diskless replicas have of it, too.
        let of_all = matches!(deletion, Task::DeleteVolume { .. } | Task::Delete { definition: true, .. });
        let gone = if of_all && gone.len() == disks { job.task.awaited().to_vec() } else { gone };
        let whole = gone.len() == job.task.awaited().len();
        mark(look, job.resource, deletion, &gone, whole, true);
        let _next = look.step(job, narrowed(deletion, gone, whole));
        return;
    }
    super::filling::grown(look, job);
    let mut replies: Vec<Reply> = damaged
        .iter()
        .map(|awaited| {
            Reply::new(Code::WARN_NOT_FOUND, format!("(Node: '{}') A part of '{}' was deleted already.", awaited.node, job.resource))
                .cause("The deletion had begun when it was taken back.")
                .correction(format!("Delete what is left there: 'linstor resource delete {} {}'.", awaited.node, job.resource))
        })
        .collect();
    match refused {
        Some(FailedCopy { node, fault: Some(fault) }) => replies.push(fault_reply(node, fault)),
        Some(FailedCopy { node, fault: None }) => replies.extend(not_connected([node], "nothing was deleted")),
        None => replies.push(Reply::new(Code::DONE, format!("What was to be deleted of '{}' is kept.", job.resource))),
    }
    look.end(job, replies);
}
