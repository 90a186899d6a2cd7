//! Jobs that move replicas off a node: one for each replica, and one that starts them and ends with the last.

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{NodeFlag, ResourceFlag};
use berth_model::job::{Awaited, DeleteStep, Job, MoveStep, Task};
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Resource, SelectFilter};
use berth_model::observed::Observed;
use berth_model::reply::Reply;

use super::deleting::{Tomb, remove};
use super::{Look, On, Stand, not_connected, troubles};
use crate::draft::{Draft, Refused};
use crate::placement::{self, Request};
use crate::resources::{NewReplica, deploy};
use crate::{lookup, stack};

/// Changes after which an evacuation goes on in another transaction (at most 100 writes each).
const MOST_CHANGES: usize = 70;
/// Moves of one evacuation at a time: each copies a whole volume over the network.
const MOST_MOVES: usize = 16;

/// Replicas that found no place after which a look gives up for now: each costs a placement. The next look begins elsewhere.
const MOST_FAILED: usize = 64;

/// The open moves off a node.
pub(super) fn moves_from<'c>(cluster: &'c Cluster, node: &'c NodeName) -> impl Iterator<Item = &'c Job> {
    let leaves = move |job: &&Job| matches!(&job.task, Task::Move { from, .. } if from.node == *node);
    cluster.resources_on(node).flat_map(|resource| cluster.jobs_on(&resource.name)).map(AsRef::as_ref).filter(leaves)
}

/// Why a replica stays where it is. Warning 1020; it names no objects (recorded behaviour of the API).
fn stays(resource: &Resource, why: Reply) -> Reply {
    Reply::new(
        Code::WARN_NOT_EVACUATING,
        format!("Resource '{}' stays on node '{}' for now: {}", resource.name, resource.node, why.message),
    )
    .cause(why.cause)
    .correction(why.correction)
    .details(why.details)
    .alone()
}

/// What keeps a replica on a node that is being evacuated, as far as that is known without placing another one.
pub(super) fn anchored(cluster: &Cluster, observed: &Observed, resource: &Resource) -> Option<Reply> {
    if let Some(job) = cluster.jobs_on(&resource.name).next() {
        return Some(
            Reply::new(Code::FAIL_RSC_BUSY, format!("a {} is under way.", job.task.word()))
                .cause(format!("Job {} has not ended.", job.id))
                .correction(format!("Wait for it, or see what it waits for: 'berth job show {}'.", job.id)),
        );
    }
    if resource.flags.has(ResourceFlag::Diskless) {
        return in_use(observed, resource);
    }
    if !stack::replicates(&resource.layers) {
        return Some(
            Reply::new(
                Code::FAIL_INVLD_LAYER_STACK,
                format!("its layers ({}) copy no data to another node.", stack::text(&resource.layers)),
            )
            .cause("Only a layer that replicates can fill another replica; this one holds data that no other has.")
            .correction(format!(
                "Copy the data by other means, then delete it there: 'linstor resource delete {} {}'.",
                resource.node, resource.name
            )),
        );
    }
    None
}

/// The reply that a replica is in use; `None`: nobody is seen to use it.
fn in_use(observed: &Observed, resource: &Resource) -> Option<Reply> {
    let record = observed.item(&resource.node, resource.id.uuid())?;
    let volume = record.seen.volumes.iter().find(|volume| volume.in_use)?;
    let device = volume.device_path.as_deref().unwrap_or("its device");
    Some(
        Reply::new(Code::FAIL_IN_USE, format!("volume {} is in use on '{}' ({device}).", volume.number, resource.node))
            .cause("Somebody has the device open, or it is mounted.")
            .correction("Move what uses it to another node, or unmount it; the rest follows by itself."),
    )
}

/// Evacuate: begins to move what can be moved, ends when nothing is left on the node. The node stays marked.
pub(super) fn evacuate(look: &mut Look<'_>, job: &Job, node: &NodeName, target: &[NodeName], avoid: &[NodeName]) {
    let marked = look.cluster.nodes.get(node).is_some_and(|found| found.flags.has(NodeFlag::Evacuate));
    let mut replicas: Vec<Resource> = look.cluster.resources_on(node).map(|resource| (**resource).clone()).collect();
    let empty = replicas.is_empty() && look.cluster.snapshots_on(node).next().is_none();
    if !marked || empty {
        look.end(job, Vec::new());
        return;
    }
    if replicas.len() > MOST_FAILED {
        let begin = usize::try_from(look.now.0.unsigned_abs()).unwrap_or_default() % replicas.len();
        replicas.rotate_left(begin);
    }
    let mut moving = moves_from(&look.cluster, node).count();
    let mut failed = 0usize;
    let mut blocked = Vec::new();
    for replica in replicas {
        let leaving = replica.flags.has(ResourceFlag::Delete)
            || look.cluster.jobs_on(&replica.name).any(|open| matches!(&open.task, Task::Move { from, .. } if from.node == *node));
        if leaving {
            continue;
        }
        if let Some(why) = anchored(&look.cluster, look.observed, &replica) {
            blocked.push(stays(&replica, why));
            continue;
        }
        if moving >= MOST_MOVES || failed >= MOST_FAILED || look.progress.changes.len() >= MOST_CHANGES {
            continue;
        }
        match look.decide(&job.actor, |draft| begin(draft, &replica, target, avoid)) {
            Ok(()) => moving += 1,
            Err(refused) => {
                failed += 1;
                blocked.extend(refused.replies.into_iter().find(Reply::is_error).map(|why| stays(&replica, why)));
            }
        }
    }
    // Nobody waits for the moves themselves: they take as long as the data needs.
    look.progress.blocked.push((job.id, blocked));
}

/// Starts the move of one replica to the best other place; a diskless one just goes.
pub(super) fn begin(draft: &mut Draft<'_>, replica: &Resource, target: &[NodeName], avoid: &[NodeName]) -> Result<(), Refused> {
    let from = Awaited { node: replica.node.clone(), item: replica.id.uuid() };
    let mut marked = replica.clone();
    marked.flags.set(ResourceFlag::Evacuate);
    if replica.flags.has(ResourceFlag::Diskless) {
        marked.flags.set(ResourceFlag::Delete);
        draft.put(Object::Resource(marked));
        draft.start(&replica.name, Task::Delete { replicas: vec![from], definition: false, firm: false, step: DeleteStep::Remove });
        return Ok(());
    }
    let definition = lookup::definition(&draft.cluster, replica.name.as_str())?.clone();
    draft.put(Object::Resource(marked));
    let group = lookup::group(&draft.cluster, definition.group.as_str())?.clone();
    let allowed = |node: &&NodeName| !avoid.contains(node) && (target.is_empty() || target.contains(node));
    let nodes: Vec<String> = draft.cluster.nodes.keys().filter(allowed).map(ToString::to_string).collect();
    if nodes.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_ENOUGH_NODES, "no node is left to take it.")
            .cause("The lists of nodes that may and that may not take it leave none.")
            .correction(format!("Evacuate again with other lists: 'linstor node evacuate {}'.", replica.node))
            .into());
    }
    // The named nodes replace those of the group's rule only where the operator named some.
    let named = (!target.is_empty() || !avoid.is_empty()).then_some(nodes);
    let filter = SelectFilter { node_name_list: named.or_else(|| group.filter.node_name_list.clone()), ..group.filter.clone() };
    let request = Request::new(&draft.cluster, &definition, &filter, 1, &replica.layers);
    let placed =
        placement::place(&draft.cluster, draft.context.observed, &request).map_err(|error| placement::refusal(&error, &request))?;
    let Some(chosen) = placed.chosen.first() else { return Ok(()) };
    let new = NewReplica { pool: Some(chosen.pool.name.clone()), ..NewReplica::plain(&replica.name, &chosen.node, &replica.layers) };
    let to = deploy(draft, new)?;
    draft.start(&replica.name, Task::Move { from, to, step: MoveStep::Fill });
    Ok(())
}

/// Move: the old replica goes when the new one was seen to hold the data and nobody uses the old one.
pub(super) fn advance(look: &mut Look<'_>, job: &On<'_>, from: &Awaited, to: &Awaited, step: MoveStep) {
    match step {
        MoveStep::Fill => fill(look, job, from, to),
        MoveStep::Leave => leave(look, job, from, to),
    }
}

/// Why the old replica cannot go yet although the new one is there; `None`: it can.
pub(super) fn still_needed(cluster: &Cluster, observed: &Observed, name: &ResourceName, from: &Awaited, to: &Awaited) -> Option<Reply> {
    let holds = observed
        .item(&to.node, to.item)
        .is_some_and(|record| !record.seen.volumes.is_empty() && record.seen.volumes.iter().all(|volume| volume.up_to_date == Some(true)));
    let volumes = cluster.definitions.get(name).map_or(0, |definition| definition.volumes.len());
    if volumes > 0 && !holds {
        return Some(
            Reply::new(
                Code::FAIL_SNAPSHOT_NOT_UPTODATE,
                format!("The new replica of '{name}' on '{}' was not seen to hold the data.", to.node),
            )
            .cause("The old one stays until its peers say that the new one is up to date.")
            .correction(format!(
                "Wait for the synchronisation; if you know that it has ended: 'linstor resource delete {} {name}'.",
                from.node
            )),
        );
    }
    let old = cluster.resource(name, &from.node)?;
    in_use(observed, old)
}

fn fill(look: &mut Look<'_>, job: &On<'_>, from: &Awaited, to: &Awaited) {
    match look.stand(job, to) {
        Stand::Unknown | Stand::Gone => {
            let reply = Reply::new(Code::FAIL_NOT_FOUND_RSC, format!("The new replica of '{}' on '{}' is gone.", job.resource, to.node))
                .cause("It was deleted, or its node was given up.")
                .correction("Nothing is to be done: an evacuation places another one.");
            unmark(look, job, from);
            look.end(job, vec![reply]);
        }
        Stand::Settled if look.stand(job, from) == Stand::Unknown => {
            super::filling::keep(look, job, to);
            let text =
                format!("The old replica of '{}' is gone with its node '{}'; the new one on '{}' stays.", job.resource, from.node, to.node);
            let reply = Reply::new(Code::WARN_NOT_FOUND, text)
                .cause("The node was given up before the move had ended.")
                .correction(format!("Check that it holds the data: 'berth why resource {} {}'.", job.resource, to.node));
            look.end(job, vec![reply]);
        }
        Stand::Settled => {
            super::filling::keep(look, job, to);
            match still_needed(&look.cluster, look.observed, job.resource, from, to) {
                Some(reply) => look.wait(job, vec![reply]),
                None => {
                    if let Some(old) = look.cluster.resource(job.resource, &from.node).cloned().filter(|old| old.id.uuid() == from.item) {
                        let mut going = (*old).clone();
                        going.flags.set(ResourceFlag::Delete);
                        look.put(Object::Resource(going));
                    }
                    let _next = look.step(job, Task::Move { from: from.clone(), to: to.clone(), step: MoveStep::Leave });
                }
            }
        }
        Stand::Pending | Stand::Faulty(_) | Stand::Offline | Stand::Broken(_) => {
            let replies = troubles(&look.stands(job), "the move goes on when it is back");
            look.wait(job, replies);
        }
    }
}

fn unmark(look: &mut Look<'_>, job: &On<'_>, from: &Awaited) {
    if let Some(old) = look.cluster.resource(job.resource, &from.node).cloned().filter(|old| old.flags.has(ResourceFlag::Evacuate)) {
        let mut edited = (*old).clone();
        edited.flags.clear(ResourceFlag::Evacuate);
        look.put(Object::Resource(edited));
    }
}

fn leave(look: &mut Look<'_>, job: &On<'_>, from: &Awaited, to: &Awaited) {
    let mut replies = Vec::new();
    match look.stand(job, from) {
        Stand::Gone => remove(look, job, &from.node, Tomb::None),
        Stand::Offline => {
            remove(look, job, &from.node, Tomb::Left);
            replies = not_connected([&from.node], "what it holds of the resource is removed when it is back");
        }
        Stand::Unknown => {}
        Stand::Settled | Stand::Pending | Stand::Faulty(_) | Stand::Broken(_) => {
            let replies = troubles(&look.stands(job), "the old replica goes when it is back");
            look.wait(job, replies);
            return;
        }
    }
    let text = format!("Resource '{}' moved from node '{}' to node '{}'.", job.resource, from.node, to.node);
    replies.push(Reply::new(Code::MODIFIED, text).of(Operation::Modify, ObjectMask::Resource));
    look.end(job, replies);
}
