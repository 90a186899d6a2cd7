//! A storage pool whose storage is dead, given up with all that lies in it. Its node lives on.
//!
//! What lay in the pool is not looked for any more: should the disk come back, its objects carry our mark and are listed as strangers
//! (`crate::drift`), and nobody removes them unasked (law 3). What the same replicas had in other pools of the node is removed.

use std::sync::Arc;

use berth_model::change::{Key, Object};
use berth_model::codes::Code;
use berth_model::job::{Subject, Task};
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{Resource, StorPool, Tombstone};
use berth_model::observed::{FaultKind, Observed};
use berth_model::plan::PlanItem;
use berth_model::reply::Reply;

use super::{drop_idle_definition, going};
use crate::draft::{Draft, Refused};
use crate::nodes::{drop_copy, warn_of};
use crate::{jobs, plan, resources, risk};

/// Changes after which giving a pool up goes on in another transaction (at most 100 writes each).
const MOST_CHANGES: usize = 60;

/// Gives a pool up that its satellite cannot use. More than a transaction holds is left to a job.
pub(super) fn lose(draft: &mut Draft<'_>, on: &str, text: &str) -> Result<(), Refused> {
    let Some((node, pool)) = going(draft, on, text)? else { return Ok(()) };
    let what = format!("storage pool '{}' on node '{}'", pool.name, pool.node);
    let same = |task: &Task| matches!(task, Task::Lose { pool: Some(name) } if *name == pool.name);
    let open = draft.cluster.jobs_on_node(&node.name).find(|job| same(&job.task)).map(|job| job.id);
    if let Some(id) = open {
        draft.say(Code::DELETED, format!("Storage pool '{}' on node '{}' is being given up for lost already.", pool.name, pool.node));
        draft.applied.jobs.push(id);
        return Ok(());
    }
    let why = unusable(draft.context.observed, &pool)?;
    // While the replicas are there: afterwards nobody could tell.
    let losses = risk::data_in(&draft.cluster, draft.context.observed, &pool.node, &pool.name);
    let used = draft.cluster.pool_use(&pool.node, &pool.name);
    let more = lose_some(draft, &pool.node, &pool.name);
    let is = if more { "is being given up" } else { "given up" };
    draft.reply(
        Reply::new(Code::DELETED, format!("Storage pool '{}' on node '{}' {is} for lost.", pool.name, pool.node))
            .cause(why)
            .details(format!(
                "{} resources with {} volumes and {} volumes of snapshots lay in it, and are forgotten there. UUID: {}",
                used.resources, used.volumes, used.snapshot_volumes, pool.id
            ))
            .refer("UUID", pool.id),
    );
    if used.volumes > 0 {
        draft.reply(
            Reply::new(Code::WARN_STORAGE_ERROR, format!("Devices that serve volumes of {what} are not ended."))
                .cause("Without its storage they cannot be told from others.")
                .correction("Unmount and close what still uses them there; they are gone when the machine starts again."),
        );
    }
    warn_of(draft, &what, &losses);
    if more {
        draft.start_on(Subject::Node(pool.node.clone()), Task::Lose { pool: Some(pool.name.clone()) });
    }
    Ok(())
}

/// Why the pool cannot be used, as its satellite says. Refused (521): it can be used, or nobody can say.
fn unusable(observed: &Observed, pool: &StorPool) -> Result<String, Refused> {
    let refuse = |cause: String, correction: String| -> Refused {
        Reply::new(Code::FAIL_LOST_STOR_POOL, format!("Storage pool '{}' on node '{}' is not given up.", pool.name, pool.node))
            .cause(cause)
            .correction(correction)
            .into()
    };
    if !observed.online(&pool.node) {
        return Err(refuse(
            "Its satellite does not answer, so nobody can say whether the pool is broken.".to_owned(),
            format!("Wait until the satellite is back; if the node never comes back, give it up: 'linstor node lost {}'.", pool.node),
        ));
    }
    let Some(seen) = observed.pool(&pool.node, &pool.name).filter(|seen| seen.id == pool.id.uuid()) else {
        return Err(refuse("Its satellite has not looked at it yet.".to_owned(), "Try again in a moment.".to_owned()));
    };
    match &seen.fault {
        None => Err(refuse(
            "Its satellite can use it; it looks once a minute.".to_owned(),
            format!(
                "Delete what lies in it and then the pool: 'linstor volume list --nodes {} --storage-pools {}' shows it; or move it away: \
                 'linstor resource migrate-disk'.",
                pool.node, pool.name
            ),
        )),
        Some(fault) => match fault.kind {
            FaultKind::NoSpace | FaultKind::InUse => {
                Err(refuse(fault.message.clone(), "Mend that first: what lies in the pool is still there.".to_owned()))
            }
            FaultKind::Unsupported
            | FaultKind::Foreign
            | FaultKind::Lost
            | FaultKind::Pool
            | FaultKind::Tool
            | FaultKind::Timeout
            | FaultKind::Bug
            | FaultKind::ByHand => Ok(fault.message.clone()),
        },
    }
}

/// Takes as much of what lies in a pool out of the cluster as one transaction holds, and the pool with the last of it; `true`: there is more.
pub(crate) fn lose_some(draft: &mut Draft<'_>, node: &NodeName, pool: &StorPoolName) -> bool {
    let Some(on) = draft.cluster.nodes.get(node).cloned() else { return false };
    if draft.cluster.pool(node, pool).is_none() {
        return false;
    }
    let lying = |resource: &&Arc<Resource>| resource.volumes.values().any(|volume| volume.pool == *pool);
    let resources: Vec<_> = draft.cluster.resources_on(node).filter(lying).cloned().collect();
    for resource in resources {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        let tombstone = jobs::tombstone_of(&draft.cluster, &resource, draft.context.now);
        draft.delete(Key::Resource(resource.name.clone(), node.clone()));
        let connections: Vec<Key> = draft.cluster.ending_with_replica(&resource.name, node).collect();
        connections.into_iter().for_each(|key| draft.delete(key));
        // The satellite ends what it has of the replica, and only then are its numbers free.
        if let Some(tombstone) = tombstone {
            draft.put(Object::Tombstone(Tombstone { item: without(&tombstone.item, pool), ..tombstone }));
        }
        if let Some(definition) = resources::with_quorum(&draft.cluster, &resource.name) {
            draft.put(Object::ResourceDefinition(definition));
        }
    }
    let snapshots: Vec<_> = draft.cluster.snapshots_on(node).cloned().collect();
    for snapshot in snapshots {
        let Some(item) = plan::absent_snapshot(&draft.cluster, &snapshot, node).filter(|item| item.pools().contains(pool)) else {
            continue;
        };
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        let rest = without(&item, pool);
        drop_copy(draft, &on, &snapshot, (!rest.pools().is_empty()).then_some(rest));
    }
    // What was deleted there and could not be removed any more would wait for the pool for ever.
    let waiting = |tombstone: &&Arc<Tombstone>| tombstone.node_id == on.id && tombstone.item.pools().contains(pool);
    let waiting: Vec<_> = draft.cluster.tombstones_on(node).filter(waiting).cloned().collect();
    for tombstone in waiting {
        if draft.applied.changes.len() >= MOST_CHANGES {
            return true;
        }
        draft.put(Object::Tombstone(Tombstone { item: without(&tombstone.item, pool), ..(*tombstone).clone() }));
    }
    draft.delete(Key::StorPool(node.clone(), pool.clone()));
    drop_idle_definition(draft, pool);
    false
}

/// The item without what lies in the pool.
fn without(item: &PlanItem, pool: &StorPoolName) -> PlanItem {
    let mut item = item.clone();
    match &mut item {
        PlanItem::Resource(plan) => plan.volumes.retain(|volume| volume.pool != *pool),
        PlanItem::Snapshot(plan) => plan.volumes.retain(|volume| volume.pool != *pool),
    }
    item
}
