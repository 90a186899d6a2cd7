//! Jobs that remove replicas and volumes. What cannot be asked is left to a tombstone, so that a deletion ends and its name is free (law 3).

use std::collections::BTreeSet;

use berth_model::change::{Key, NumberKey, Object};
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::job::{Awaited, DeleteStep, FailedCopy, Task};
use berth_model::names::{NodeName, VolumeNumber};
use berth_model::objects::{Resource, Tombstone};
use berth_model::observed::FaultKind;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

use super::keeping::take_back;
use super::{Look, On, Stand, not_connected, numbers_of, release, troubles};
use crate::tiebreaker;

/// What is left of a replica whose node cannot be asked. `None`: it has no storage of its own, or its node is not known.
pub(crate) fn tombstone_of(cluster: &Cluster, resource: &Resource, now: Timestamp) -> Option<Tombstone> {
    let node = cluster.nodes.get(&resource.node)?;
    let drbd = resource.drbd.as_ref();
    Some(Tombstone {
        node: resource.node.clone(),
        node_id: node.id,
        item: crate::plan::absent_resource(cluster, resource),
        resource: resource.name.clone(),
        snapshot: None,
        ports: drbd.map(|drbd| drbd.ports.iter().copied().collect::<BTreeSet<u16>>()).unwrap_or_default(),
        drbd_node_id: drbd.map(|drbd| drbd.node_id),
        deleted: now,
    })
}

/// The first step of a deletion: all devices end, or none of it happens. What cannot be served at all is not in use.
pub(super) fn down(look: &mut Look<'_>, job: &On<'_>) {
    let stands = look.stands(job);
    let mut open = false;
    for ((node, _), stand) in &stands {
        match stand {
            Stand::Faulty(fault) => match fault.kind {
                FaultKind::InUse => return take_back(look, job, FailedCopy { node: node.clone(), fault: Some(fault.clone()) }),
                // Whether somebody uses it is not known; the satellite tries again.
                FaultKind::Tool | FaultKind::Timeout | FaultKind::Bug => open = true,
                // There is nothing of ours that anybody could use.
                FaultKind::Lost
                | FaultKind::Foreign
                | FaultKind::NoSpace
                | FaultKind::Unsupported
                | FaultKind::Pool
                | FaultKind::ByHand => {}
            },
            Stand::Pending | Stand::Broken(_) => open = true,
            // One that is away is removed by its tombstone, which finds out for itself.
            Stand::Settled | Stand::Gone | Stand::Unknown | Stand::Offline => {}
        }
    }
    if open {
        let replies = troubles(&stands, "it is deleted when the satellite is back");
        return look.wait(job, replies);
    }
    let mut next = job.task.clone();
    if let Task::Delete { step, .. } | Task::DeleteVolume { step, .. } = &mut next {
        *step = DeleteStep::Remove;
    }
    let _next = look.step(job, next);
}

/// Delete: replicas go as they are seen gone; those on nodes that are away leave a tombstone; the definition goes with the last.
/// A device in use takes a deletion back while nothing is gone, unless it is `firm`.
pub(super) fn delete(look: &mut Look<'_>, job: &On<'_>, definition: bool, firm: bool) {
    let stands = look.stands(job);
    let mut away: Vec<NodeName> = Vec::new();
    let mut removed = 0usize;
    let mut left = 0usize;
    let mut in_use = None;
    for ((node, _), stand) in &stands {
        match stand {
            Stand::Gone => {
                remove(look, job, node, Tomb::None);
                removed += 1;
            }
            Stand::Offline => {
                remove(look, job, node, Tomb::Left);
                away.push(node.clone());
            }
            Stand::Unknown => removed += 1,
            Stand::Faulty(fault) if fault.kind == FaultKind::InUse => {
                in_use = Some(FailedCopy { node: node.clone(), fault: Some(fault.clone()) });
                left += 1;
            }
            Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Broken(_) => {
                left += 1;
            }
        }
    }
    if left == 0 {
        // Also those that an earlier look has left to their tombstones.
        let buried = |a: &&Awaited| matches!(look.cluster.owner(a.item), Some(ItemOwner::Tombstone(_)));
        let away: BTreeSet<NodeName> = job.task.awaited().iter().filter(buried).map(|a| a.node.clone()).chain(away).collect();
        let mut replies = not_connected(&away, "what it holds of the resource is removed when it is back");
        if definition {
            replies.extend(remove_definition(look, job));
        } else {
            replies.push(Reply::new(Code::DELETED, format!("Resource '{}' is deleted.", job.resource)));
        }
        look.end(job, replies);
    } else if let (Some(why), true) = (in_use, removed == 0 && away.is_empty() && !firm) {
        // Nothing is gone yet: take the deletion back rather than wait for whoever holds the device.
        take_back(look, job, why);
    } else {
        let replies = troubles(&stands, "it is deleted when the satellite is back");
        look.wait(job, replies);
    }
}

/// Whether a removed replica leaves a tombstone.
pub(super) enum Tomb {
    None,
    Left,
}

pub(super) fn remove(look: &mut Look<'_>, job: &On<'_>, node: &NodeName, tomb: Tomb) {
    let Some(resource) = look.cluster.resource(job.resource, node).cloned() else { return };
    look.remove(Key::Resource(resource.name.clone(), node.clone()));
    let connections: Vec<Key> = look.cluster.ending_with_replica(&resource.name, node).collect();
    connections.into_iter().for_each(|key| look.remove(key));
    match tomb {
        Tomb::None => {
            for change in release(&look.cluster, resource.id.uuid(), numbers_of(&resource)) {
                look.change(change);
            }
        }
        Tomb::Left => {
            if let Some(tombstone) = tombstone_of(&look.cluster, &resource, look.now) {
                look.put(Object::Tombstone(tombstone));
            }
        }
    }
    if let Some(definition) = crate::resources::with_quorum(&look.cluster, &resource.name) {
        look.put(Object::ResourceDefinition(definition));
    }
}

fn remove_definition(look: &mut Look<'_>, job: &On<'_>) -> Vec<Reply> {
    let ties: Vec<Resource> =
        look.cluster.replicas(job.resource).filter(|replica| tiebreaker::is_tie(replica)).map(|tie| (**tie).clone()).collect();
    if look.cluster.replicas(job.resource).count() > ties.len() {
        return Vec::new();
    }
    ties.iter().for_each(|tie| remove(look, job, &tie.node, Tomb::Left));
    let Some(definition) = look.cluster.definitions.get(job.resource).cloned() else { return Vec::new() };
    for volume in definition.volumes.values() {
        let minor = volume.minor.map(|minor| NumberKey::Minor { minor });
        for change in release(&look.cluster, volume.id.uuid(), minor) {
            look.change(change);
        }
    }
    look.remove(Key::ResourceDefinition(job.resource.clone()));
    vec![Reply::new(Code::DELETED, format!("Resource definition '{}' is deleted.", job.resource))]
}

/// Deletes one volume of every replica, then its definition. Replicas on nodes that are away keep the job open.
pub(super) fn delete_volume(look: &mut Look<'_>, job: &On<'_>, number: VolumeNumber, firm: bool) {
    let stands = look.stands(job);
    let in_use = stands.iter().find_map(|((node, _), stand)| match stand {
        Stand::Faulty(fault) if fault.kind == FaultKind::InUse => Some(FailedCopy { node: node.clone(), fault: Some(fault.clone()) }),
        Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Gone | Stand::Offline | Stand::Unknown | Stand::Broken(_) => None,
    });
    if stands.values().all(|stand| matches!(stand, Stand::Settled | Stand::Gone | Stand::Unknown)) {
        edit_replicas(look, job, |resource| {
            resource.volumes.remove(&number);
        });
        if let Some(definition) = look.cluster.definitions.get(job.resource).cloned() {
            let mut edited = (*definition).clone();
            if let Some(volume) = edited.volumes.remove(&number) {
                let minor = volume.minor.map(|minor| NumberKey::Minor { minor });
                for change in release(&look.cluster, volume.id.uuid(), minor) {
                    look.change(change);
                }
            }
            look.put(Object::ResourceDefinition(edited));
        }
        let reply = Reply::new(Code::DELETED, format!("Volume definition {number} of '{}' is deleted.", job.resource))
            .of(Operation::Delete, ObjectMask::VolumeDefinition);
        look.end(job, vec![reply]);
    } else if let (Some(why), true) = (in_use, !firm && stands.values().all(|stand| !matches!(stand, Stand::Settled))) {
        take_back(look, job, why);
    } else {
        let replies = troubles(&stands, "the volume is deleted there when it is back");
        look.wait(job, replies);
    }
}

fn edit_replicas(look: &mut Look<'_>, job: &On<'_>, edit: impl Fn(&mut Resource)) {
    let replicas: Vec<Resource> = look.cluster.replicas(job.resource).map(|r| (**r).clone()).collect();
    for resource in replicas {
        let mut edited = resource.clone();
        edit(&mut edited);
        if edited != resource {
            look.put(Object::Resource(edited));
        }
    }
}
