//! The job that replaces a replica by one on another node.

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::ResourceFlag;
use berth_model::job::{Awaited, Made, MoveStep, Task};
use berth_model::names::ResourceName;
use berth_model::observed::Observed;
use berth_model::reply::Reply;

use super::deleting::{Tomb, remove};
use super::evacuating::in_use;
use super::{Look, On, Stand, not_connected, troubles};

/// Move: the old replica goes when the new one was seen to hold the data and nobody uses the old one.
pub(super) fn advance(look: &mut Look<'_>, job: &On<'_>, (from, to): (&Awaited, &Awaited), step: MoveStep, made: &Made) {
    match step {
        MoveStep::Fill => fill(look, job, (from, to), made),
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

fn fill(look: &mut Look<'_>, job: &On<'_>, (from, to): (&Awaited, &Awaited), made: &Made) {
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
            if let Some(reply) = super::filling::waiting_reply(&look.cluster, look.observed, job.resource, to) {
                return look.wait(job, vec![reply]);
            }
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
                    let task = Task::Move { from: from.clone(), to: to.clone(), step: MoveStep::Leave, made: made.clone() };
                    let _next = look.step(job, task);
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
