//! Jobs that make replicas, volumes or sizes: create, restore, clone, grow, activate.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, ResourceFlag, VolumeDefinitionFlag, VolumeFlag};
use berth_model::ids::kind;
use berth_model::job::{Awaited, Task};
use berth_model::names::{NodeName, ResourceName, VolumeNumber};
use berth_model::objects::{Resource, ResourceDefinition};
use berth_model::observed::{FaultKind, Observed};
use berth_model::plan::ContentSource;
use berth_model::props::{Chain, Source};
use berth_model::reply::Reply;
use berth_model::size::Kib;
use uuid::Uuid;

use super::keeping::Sheet;
use super::{Look, On, Stand, fault_reply, troubles};
use crate::balance::census;
use crate::{content, spawn, stack};

/// Whether a clone gets one replica more when it is done (definition, group, controller).
const BALANCE_AFTER_CLONE: &str = "Clone/BalanceAfterClone";

/// A replica that was seen as wanted has its content for good: if it is missing later, it is lost and not made anew. Content that its
/// peers have yet to give it is not (law 7).
pub(super) fn keep(look: &mut Look<'_>, job: &On<'_>, awaited: &Awaited) {
    let Some(resource) = look.cluster.resource(job.resource, &awaited.node).cloned() else { return };
    if resource.id.uuid() != awaited.item {
        return;
    }
    let mut kept = (*resource).clone();
    for (number, volume) in &mut kept.volumes {
        if content::arrived(&look.cluster, look.observed, &resource, *number) {
            volume.content.source = ContentSource::Kept;
        }
    }
    kept.flags.clear(ResourceFlag::RestoreFromSnapshot);
    if kept != *resource {
        look.put(Object::Resource(kept));
    }
}

/// Create, restore and clone: ends when every replica was seen as wanted.
pub(super) fn fill(look: &mut Look<'_>, job: &On<'_>) {
    let stands = look.stands(job);
    let settled: Vec<Awaited> =
        job.task.awaited().iter().filter(|a| stands.get(&(a.node.clone(), a.item)) == Some(&Stand::Settled)).cloned().collect();
    for awaited in &settled {
        keep(look, job, awaited);
    }
    let late = catch_up(look, job, &stands);
    let waiting: Vec<Reply> = settled.iter().filter_map(|a| waiting_reply(&look.cluster, look.observed, job.resource, a)).collect();
    let done = waiting.is_empty() && stands.values().all(|stand| matches!(stand, Stand::Settled | Stand::Gone | Stand::Unknown));
    if done && !late {
        unmark(look, job);
        let replies = settled.iter().map(|awaited| made(job, awaited)).collect();
        look.end(job, replies);
        if matches!(job.task, Task::Clone { .. }) && is_one_more_wanted(&look.cluster, job.resource) {
            place_one_more(look, job);
        }
    } else {
        let what = match job.task {
            Task::Restore { .. } => "the restore goes on when it is back",
            Task::Clone { .. } => "the clone goes on when it is back",
            _ => "the resource is made there when it is back",
        };
        let mut replies = troubles(&stands, what);
        if !stands.values().any(|stand| *stand == Stand::Pending) {
            replies.extend(waiting);
        }
        if matches!(job.task, Task::Clone { .. }) && stands.values().any(|stand| matches!(stand, Stand::Faulty(_))) {
            flag_definition(look, job, |definition| definition.flags.set(DefinitionFlag::Failed));
        }
        look.wait(job, replies);
    }
}

/// Whether a clone gets one replica more than its source has, so that balancing can take away the one that lies worst: the copies
/// themselves had to lie where their source lies. What does not replicate has its data in each replica, and would get one without.
fn is_one_more_wanted(cluster: &Cluster, name: &ResourceName) -> bool {
    let Some(definition) = cluster.definitions.get(name) else { return false };
    let chain = Chain::new()
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, cluster.groups.get(&definition.group).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    chain.get_bool(BALANCE_AFTER_CLONE) == Some(true) && census::staying(cluster, name).any(|replica| stack::replicates(&replica.layers))
}

/// Places one replica more of a clone that is done. Where none can be placed the clone is what it is, and the log says why.
fn place_one_more(look: &mut Look<'_>, job: &On<'_>) {
    let name = job.resource;
    let wanted = census::staying(&look.cluster, name).count().saturating_add(1);
    let placed = look.decide(&job.actor, |draft| spawn::place_up_to(draft, name, Some(wanted)).map_err(Into::into));
    let told = match placed {
        Ok(()) => Reply::new(Code::INFO_NOOP, format!("The clone '{name}' gets a replica more."))
            .cause(format!("{BALANCE_AFTER_CLONE} is on: balancing takes the one away that lies worst.")),
        Err(refused) => {
            let why = refused.replies.into_iter().find(Reply::is_error).map(|reply| reply.message);
            Reply::new(Code::WARN_NO_EFFECT, format!("The clone '{name}' gets no replica more, which {BALANCE_AFTER_CLONE} asks for."))
                .cause(why.unwrap_or_default())
                .correction(format!("Nothing need be done; or add a node, then 'linstor resource create --auto-place +1 {name}'."))
        }
    };
    look.progress.reasons.push((job.id, told));
}

/// First replicas that are not there yet while another one is in use already become later ones, which are synchronised. What was seen
/// of them under the plan of before says nothing any more. Whether there was any.
fn catch_up(look: &mut Look<'_>, job: &On<'_>, stands: &BTreeMap<(NodeName, Uuid), Stand>) -> bool {
    let mut any = false;
    for awaited in job.task.awaited() {
        let Some(replica) = look.cluster.resource(job.resource, &awaited.node).filter(|found| found.id.uuid() == awaited.item) else {
            continue;
        };
        let stand = stands.get(&(awaited.node.clone(), awaited.item));
        let troubled = matches!(stand, Some(Stand::Offline | Stand::Faulty(_)));
        if let Some(late) = content::late(&look.cluster, look.observed, replica, troubled) {
            look.put(Object::Resource(late));
            any = true;
        }
    }
    if any {
        let _next = look.step(job, job.task.clone());
    }
    any
}

/// What is to be said of a replica that is there and waits for the data of its peers; `None`: it waits for none.
pub(super) fn waiting_reply(cluster: &Cluster, observed: &Observed, name: &ResourceName, awaited: &Awaited) -> Option<Reply> {
    let number = *content::waiting(cluster, observed, name, &awaited.node, awaited.item).first()?;
    let sources = content::source_nodes(cluster, name, &awaited.node, number);
    let names = || sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let text = format!("The replica of '{name}' on '{}' does not hold the data of its peers yet.", awaited.node);
    Some(if sources.is_empty() {
        Reply::new(Code::WARN_NOT_FOUND, text)
            .cause("No replica is left that holds the data.")
            .correction(format!("Delete it: 'linstor resource delete {} {name}'; then restore the data from a backup.", awaited.node))
    } else if sources.iter().any(|node| observed.online(node)) {
        Reply::new(Code::DONE, text)
            .cause(format!("It is synchronised from {}.", names()))
            .correction("Wait for it; it needs no help while its peers can be reached over DRBD's network.")
    } else {
        Reply::new(Code::WARN_NOT_CONNECTED, text)
            .cause(format!("Whoever holds the data cannot be reached: {}.", names()))
            .correction("Start the satellite there; the work goes on by itself.")
    })
}

fn made(job: &On<'_>, awaited: &Awaited) -> Reply {
    let reply = Reply::new(Code::MODIFIED, format!("(Node: '{}') The volumes of '{}' are ready.", awaited.node, job.resource));
    match job.task {
        Task::CreateVolume { number, .. } => reply.of(Operation::Create, ObjectMask::VolumeDefinition).refer("VlmNr", number),
        _ => reply,
    }
}

fn unmark(look: &mut Look<'_>, job: &On<'_>) {
    flag_definition(look, job, |definition| {
        definition.flags.clear(DefinitionFlag::RestoreTarget);
        definition.flags.clear(DefinitionFlag::Cloning);
        definition.flags.clear(DefinitionFlag::Failed);
    });
    if matches!(job.task, Task::Clone { .. }) {
        flag_volumes(look, job, None, |volume| {
            volume.clear(VolumeFlag::CloningStart);
            volume.clear(VolumeFlag::Cloning);
        });
    }
}

fn flag_definition(look: &mut Look<'_>, job: &On<'_>, edit: impl Fn(&mut ResourceDefinition)) {
    let Some(definition) = look.cluster.definitions.get(job.resource).cloned() else { return };
    let mut edited = (*definition).clone();
    edit(&mut edited);
    if edited != *definition {
        look.put(Object::ResourceDefinition(edited));
    }
}

fn flag_volumes(look: &mut Look<'_>, job: &On<'_>, only: Option<VolumeNumber>, edit: impl Fn(&mut berth_model::flags::VolumeFlags)) {
    let replicas: Vec<Resource> = look.cluster.replicas(job.resource).map(|r| (**r).clone()).collect();
    for resource in replicas {
        let mut edited = resource.clone();
        for (number, volume) in &mut edited.volumes {
            if only.is_none_or(|wanted| wanted == *number) {
                edit(&mut volume.flags);
            }
        }
        if edited != resource {
            look.put(Object::Resource(edited));
        }
    }
}

/// Grow: ends when every replica has the size. A full pool ends it, too: the size goes back to what it was.
pub(super) fn resize(look: &mut Look<'_>, job: &On<'_>, number: VolumeNumber, from: Kib) {
    let stands = look.stands(job);
    if stands.values().all(|stand| matches!(stand, Stand::Settled | Stand::Gone | Stand::Unknown)) {
        flag_volumes(look, job, Some(number), |flags| flags.clear(VolumeFlag::Resize));
        flag_definition(look, job, |definition| {
            if let Some(volume) = definition.volumes.get_mut(&number) {
                volume.flags.clear(VolumeDefinitionFlag::Resize);
            }
        });
        let replies =
            job.task.awaited().iter().map(|a| {
                Reply::new(Code::MODIFIED, format!("(Node: '{}') Volume {number} of '{}' has its new size.", a.node, job.resource))
            });
        let replies = replies.collect();
        look.end(job, replies);
        return;
    }
    let full = stands.iter().find_map(|((node, _), stand)| match stand {
        Stand::Faulty(fault) if fault.kind == FaultKind::NoSpace => Some(fault_reply(node, fault)),
        Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Gone | Stand::Offline | Stand::Unknown | Stand::Broken(_) => None,
    });
    match full {
        Some(reply) => {
            let observed = look.observed;
            take_back_size(look, observed, job.resource, number, from);
            look.end(job, vec![reply]);
        }
        None => {
            let replies = troubles(&stands, "the volume grows there when it is back");
            look.wait(job, replies);
        }
    }
}

/// The definition's size goes back; a replica that has grown already keeps the room (volumes are never shrunk on their own).
pub(super) fn take_back_size(sheet: &mut impl Sheet, observed: &Observed, name: &ResourceName, number: VolumeNumber, from: Kib) {
    let Some(definition) = sheet.cluster().definitions.get(name).cloned() else { return };
    let mut former = (*definition).clone();
    if let Some(volume) = former.volumes.get_mut(&number) {
        volume.size_kib = from;
        volume.flags.clear(VolumeDefinitionFlag::Resize);
    }
    sheet.edit(&*definition, former.clone(), Object::ResourceDefinition);
    let replicas: Vec<Resource> = sheet.cluster().replicas(name).map(|r| (**r).clone()).collect();
    for resource in replicas {
        let mut edited = resource.clone();
        let size = crate::resources::backing_size(observed, &former, number, &resource);
        if let (Some(volume), Ok(size)) = (edited.volumes.get_mut(&number), size) {
            volume.backing_kib = size;
            volume.flags.clear(VolumeFlag::Resize);
        }
        sheet.edit(&resource, edited, Object::Resource);
    }
}

/// Clears the marks of growth where no job grows anything: what is wanted was seen.
pub(super) fn grown(look: &mut Look<'_>, job: &On<'_>) {
    if look.cluster.jobs_on(job.resource).any(|open| matches!(open.task, Task::Resize { .. })) {
        return;
    }
    flag_volumes(look, job, None, |flags| flags.clear(VolumeFlag::Resize));
    flag_definition(look, job, |definition| {
        definition.volumes.values_mut().for_each(|volume| volume.flags.clear(VolumeDefinitionFlag::Resize));
    });
}

/// Activate and deactivate. A device in use ends a deactivation: the replica stays active.
pub(super) fn activate(look: &mut Look<'_>, job: &On<'_>, active: bool, diskless: bool) {
    let stands = look.stands(job);
    if stands.values().all(|stand| matches!(stand, Stand::Settled | Stand::Gone | Stand::Unknown)) {
        let word = match (active, diskless) {
            (_, true) => "served without a disk",
            (true, false) => "active",
            (false, false) => "inactive",
        };
        let replies =
            job.task.awaited().iter().map(|a| Reply::new(Code::MODIFIED, format!("(Node: '{}') '{}' is {word}.", a.node, job.resource)));
        let replies = replies.collect();
        look.end(job, replies);
        return;
    }
    let in_use = stands.iter().find_map(|((node, _), stand)| match stand {
        Stand::Faulty(fault) if fault.kind == FaultKind::InUse && !active => Some((node.clone(), fault_reply(node, fault))),
        Stand::Faulty(_) | Stand::Pending | Stand::Settled | Stand::Gone | Stand::Offline | Stand::Unknown | Stand::Broken(_) => None,
    });
    match in_use {
        Some((node, reply)) => {
            if let Some(resource) = look.cluster.resource(job.resource, &node).cloned() {
                let mut edited = (*resource).clone();
                edited.flags.clear(ResourceFlag::Inactive);
                look.put(Object::Resource(edited));
            }
            look.end(job, vec![reply]);
        }
        None => {
            let replies = troubles(&stands, "the resource follows when it is back");
            look.wait(job, replies);
        }
    }
}

/// A content id for data that a volume does not have yet.
pub(super) fn new_content(look: &mut Look<'_>) -> berth_model::ids::Id<kind::Content> {
    look.ids.next()
}
