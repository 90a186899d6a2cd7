//! Tiebreakers: the diskless DRBD replica that lets two halves of an even number of disks tell which of them is the majority.
//!
//! They come and go by themselves. [`judge`] says what a definition lacks or has too many of, and [`follow`] does it, in the same decision
//! (or step of a job) that changed the number of its disks. No job waits for a tiebreaker: it holds no data, and nobody waits for it.
//! One that goes leaves a tombstone, which its satellite honours.
//!
//! Source of the rules: REST API v1, `DrbdOptions/auto-add-quorum-tiebreaker`; contract, tiebreaker.

use std::collections::BTreeSet;

use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, NodeFlag, ResourceFlag};
use berth_model::job::Task;
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Resource, ResourceDefinition, SelectFilter};
use berth_model::observed::Observed;
use berth_model::props::{AUTO_TIEBREAKER, Chain, Props, QUORUM, QUORUM_SET_BY, Source};
use berth_model::reply::Reply;
use uuid::Uuid;

use crate::draft::{Draft, Refused};
use crate::placement::{self, Placement, Request};
use crate::places::{Asked, Kind};
use crate::resources::{NewReplica, deploy};
use crate::{lookup, resources, spawn, stack};

/// Changes after which a decision makes no further tiebreakers: one transaction takes at most 100 writes.
const MOST_CHANGES: usize = 88;

/// What is to be done about the tiebreaker of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Well,
    /// It should have one, and has none.
    Missing,
    /// These nodes have one that is not needed, by name.
    Surplus(Vec<NodeName>),
}

/// What decides about a tiebreaker. Two states of a definition with the same census need the same.
#[derive(Debug, Default, PartialEq, Eq)]
struct Census {
    /// Replicas with a disk that stay.
    disks: usize,
    /// Diskless ones that stay and are no tiebreakers.
    witnesses: usize,
    /// Tiebreakers that stay, by node.
    ties: Vec<NodeName>,
    /// Whether the properties ask for them.
    asked: bool,
    /// Whether somebody chose the quorum.
    chosen: bool,
    /// Whether a job is on that a new tiebreaker waits for.
    busy: bool,
}

/// Whether a replica counts: it is not on its way out.
fn stays(replica: &Resource) -> bool {
    ![ResourceFlag::Delete, ResourceFlag::Evicted, ResourceFlag::Evacuate].iter().any(|flag| replica.flags.has(*flag))
}

/// Whether a replica is a tiebreaker, on its way out or not.
#[must_use]
pub fn is_tie(replica: &Resource) -> bool {
    replica.flags.has(ResourceFlag::TieBreaker)
}

/// The quorum that somebody chose for a definition, on itself, its group or the controller, and where; `None`: it is chosen by itself.
pub(crate) fn chosen_quorum<'c>(cluster: &'c Cluster, definition: &'c ResourceDefinition) -> Option<(Source, &'c str)> {
    let group = cluster.groups.get(&definition.group).map(|group| &group.props);
    let places = [
        (Source::ResourceDefinition, Some(&definition.props)),
        (Source::ResourceGroup, group),
        (Source::Controller, Some(&cluster.controller.props)),
    ];
    let by_user = |(source, props): (Source, Option<&'c Props>)| {
        let props = props.filter(|props| props.contains(QUORUM_SET_BY))?;
        Some((source, props.get(QUORUM)?))
    };
    places.into_iter().find_map(by_user)
}

/// Whether the properties of a definition ask for tiebreakers: they are not turned off, and a majority decides.
fn asked(cluster: &Cluster, definition: &ResourceDefinition) -> bool {
    let chain = Chain::new()
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, cluster.groups.get(&definition.group).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    chain.get_bool(AUTO_TIEBREAKER) != Some(false) && chosen_quorum(cluster, definition).is_none_or(|(_, quorum)| quorum == "majority")
}

fn census(cluster: &Cluster, name: &ResourceName) -> Census {
    let Some(definition) = cluster.definitions.get(name) else { return Census::default() };
    let mut census = Census {
        asked: !definition.flags.has(DefinitionFlag::Delete) && asked(cluster, definition),
        chosen: chosen_quorum(cluster, definition).is_some(),
        busy: cluster.jobs_on(name).any(|job| disturbed(&job.task)),
        ..Census::default()
    };
    let moved = moved(cluster, name);
    let counts = |replica: &Resource| stays(replica) && stack::replicates(&replica.layers) && !moved.contains(&replica.id.uuid());
    for replica in cluster.replicas(name).filter(|replica| counts(replica)) {
        match (replica.flags.has(ResourceFlag::Diskless), is_tie(replica)) {
            (false, _) => census.disks += 1,
            (true, false) => census.witnesses += 1,
            (true, true) => census.ties.push(replica.node.clone()),
        }
    }
    census
}

/// Replicas whose place another one takes: they leave as soon as that one holds the data.
fn moved(cluster: &Cluster, name: &ResourceName) -> Vec<Uuid> {
    let from = |task: &Task| match task {
        Task::Move { from, .. } => Some(from.item),
        _ => None,
    };
    cluster.jobs_on(name).filter_map(|job| from(&job.task)).collect()
}

impl Census {
    fn wanted(&self) -> bool {
        self.asked && self.disks >= 2 && self.disks.is_multiple_of(2) && self.witnesses == 0
    }
}

/// Whether a new tiebreaker waits for a job: one that would be disturbed by a replica that appears, as it has counted those that must do
/// something together, or one that moves a disk.
fn disturbed(task: &Task) -> bool {
    match task {
        Task::DeleteVolume { .. }
        | Task::Snapshot { .. }
        | Task::Rollback { .. }
        | Task::Keep { .. }
        // Where it ends a node may become free.
        | Task::Move { .. }
        | Task::Delete { definition: true, .. } => true,
        Task::Create { .. }
        | Task::CreateVolume { .. }
        | Task::Restore { .. }
        | Task::Clone { .. }
        | Task::Delete { definition: false, .. }
        | Task::Resize { .. }
        | Task::DeleteSnapshot { .. }
        | Task::Activate { .. }
        | Task::Evacuate { .. }
        | Task::Evict
        | Task::Return { .. }
        | Task::Lose { .. } => false,
    }
}

/// Whether a definition lacks a tiebreaker, or has too many. One is wanted where an even number of disks (at least two) has no other
/// diskless replica beside it, a majority decides, and the property is not off.
#[must_use]
pub fn judge(cluster: &Cluster, name: &ResourceName) -> Verdict {
    verdict(&census(cluster, name))
}

fn verdict(census: &Census) -> Verdict {
    match (census.wanted(), census.ties.as_slice()) {
        (true, []) if !census.busy => Verdict::Missing,
        (true, [] | [_]) | (false, []) => Verdict::Well,
        (true, [_, more @ ..]) => Verdict::Surplus(more.to_vec()),
        (false, all) => Verdict::Surplus(all.to_vec()),
    }
}

/// Whether a tiebreaker is missing and can be made now.
#[must_use]
pub fn can_be_made(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> bool {
    judge(cluster, name) == Verdict::Missing && seat(cluster, observed, name).is_some_and(|(_, place)| place.is_ok())
}

/// The best node for a tiebreaker: one that keeps the group's rules about different nodes (a third site), else any that can. The group's
/// lists of nodes and pools say where data may lie, and a tiebreaker holds none. `None`: nothing to break a tie for.
fn seat(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> Option<(Asked, Result<Placement, placement::PlaceError>)> {
    let definition = cluster.definitions.get(name)?;
    let layers = layers(cluster, name)?;
    let apart = cluster.groups.get(&definition.group).map(|group| SelectFilter {
        replicas_on_different: group.filter.replicas_on_different.clone(),
        x_replicas_on_different_map: group.filter.x_replicas_on_different_map.clone(),
        ..SelectFilter::default()
    });
    let ask = |filter: &SelectFilter| {
        let request = Request { volumes: Vec::new(), ..Request::new(cluster, definition, filter, 1, &layers) };
        (Asked::of(&request, Kind::Diskless), placement::place_diskless(cluster, observed, &request))
    };
    let apart = apart.filter(|filter| *filter != SelectFilter::default()).map(|filter| ask(&filter)).filter(|(_, place)| place.is_ok());
    Some(apart.unwrap_or_else(|| ask(&SelectFilter::default())))
}

/// The stack of the replicas with a disk.
fn layers(cluster: &Cluster, name: &ResourceName) -> Option<Vec<berth_model::layers::LayerKind>> {
    let disk = |replica: &&std::sync::Arc<Resource>| {
        stays(replica) && !replica.flags.has(ResourceFlag::Diskless) && stack::replicates(&replica.layers)
    };
    cluster.replicas(name).find(disk).map(|replica| replica.layers.clone())
}

/// Makes and removes tiebreakers where the decision so far, which began with the state `before`, calls for it. Entries of the answer tell.
pub(crate) fn follow(draft: &mut Draft<'_>, before: &Cluster) {
    let mut left = 0usize;
    for name in called_for(before, &draft.cluster, &draft.applied.changes) {
        match draft.applied.changes.len() < MOST_CHANGES {
            true => settle(draft, &name),
            false => left += usize::from(judge(&draft.cluster, &name) != Verdict::Well),
        }
    }
    if left > 0 {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("{left} resource definitions get or lose their tiebreaker later."))
                .cause("One request changes a limited number of things at once.")
                .correction("Nothing is to be done: they are found within a minute. 'berth balance' does it now."),
        );
    }
}

/// The definitions whose tiebreaker or quorum `changes` to the state `before` may have a say in, by name.
pub(crate) fn called_for(before: &Cluster, after: &Cluster, changes: &[Change]) -> Vec<ResourceName> {
    let names = touched(before, after, changes).into_iter();
    names.filter(|name| census(before, name) != census(after, name)).collect()
}

/// The definitions that a decision may have changed something about.
fn touched(before: &Cluster, after: &Cluster, changes: &[Change]) -> BTreeSet<ResourceName> {
    let mut names = BTreeSet::new();
    for change in changes {
        match change.key() {
            Key::Resource(name, _) | Key::ResourceDefinition(name) => {
                names.insert(name);
            }
            Key::Job(id) => {
                let job = before.jobs.get(&id).or_else(|| after.jobs.get(&id));
                names.extend(job.and_then(|job| job.resource().cloned()));
            }
            Key::ResourceGroup(group) => {
                let props = |cluster: &Cluster| cluster.groups.get(&group).map(|group| deciding(&group.props));
                if props(before) != props(after) {
                    names.extend(after.definitions_of(&group).map(|definition| definition.name.clone()));
                }
            }
            Key::Controller => {
                if deciding(&before.controller.props) != deciding(&after.controller.props) {
                    names.extend(after.definitions.keys().cloned());
                }
            }
            Key::Node(_)
            | Key::Snapshot(..)
            | Key::StorPoolDfn(_)
            | Key::StorPool(..)
            | Key::KeyValueStore(_)
            | Key::Token(_)
            | Key::Tombstone(_)
            | Key::Number(_)
            | Key::MasterKey
            | Key::NodeConnection(_)
            | Key::ResourceConnection(..)
            | Key::ExternalFile(_) => {}
        }
    }
    names
}

/// The properties that decide.
fn deciding(props: &Props) -> [Option<String>; 3] {
    [AUTO_TIEBREAKER, QUORUM, QUORUM_SET_BY].map(|key| props.get(key).map(str::to_owned))
}

/// Brings the tiebreaker and the quorum of one definition to what they should be.
pub(crate) fn settle(draft: &mut Draft<'_>, name: &ResourceName) {
    promote(draft, name);
    match judge(&draft.cluster, name) {
        Verdict::Well => {}
        Verdict::Missing => make(draft, name),
        Verdict::Surplus(nodes) => {
            for node in nodes {
                let Some(tie) = draft.cluster.resource(name, &node).cloned() else { continue };
                remove(draft, &tie);
                draft.reply(about(
                    Reply::new(Code::INFO_TIE_BREAKER_DELETING, format!("The tiebreaker of '{name}' on node '{node}' goes."))
                        .cause("It is not needed any more."),
                    Operation::Delete,
                    (name, &node),
                ));
            }
        }
    }
    if draft.cluster.replicas(name).next().is_some()
        && let Some(changed) = resources::with_quorum(&draft.cluster, name)
    {
        draft.put(Object::ResourceDefinition(changed));
    }
}

fn about(reply: Reply, operation: Operation, (name, node): (&ResourceName, &NodeName)) -> Reply {
    reply.of(operation, ObjectMask::Resource).refer("RscDfn", name).refer("Node", node)
}

/// Whether somebody has the device of a replica open.
fn in_use(observed: &Observed, replica: &Resource) -> bool {
    let seen = observed.item(&replica.node, replica.id.uuid());
    seen.is_some_and(|record| record.seen.volumes.iter().any(|volume| volume.in_use))
}

/// Whether a tiebreaker of a definition is used as a client.
#[must_use]
pub fn is_used(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> bool {
    cluster.replicas(name).any(|replica| is_tie(replica) && stays(replica) && in_use(observed, replica))
}

/// A tiebreaker that somebody uses is a client: it stays as long as it is used.
fn promote(draft: &mut Draft<'_>, name: &ResourceName) {
    let used = |replica: &&std::sync::Arc<Resource>| is_tie(replica) && in_use(draft.context.observed, replica);
    let used: Vec<_> = draft.cluster.replicas(name).filter(used).cloned().collect();
    used.iter().for_each(|tie| draft.put(Object::Resource(as_client(tie))));
}

/// A tiebreaker as a plain diskless replica.
pub(crate) fn as_client(tie: &Resource) -> Resource {
    let mut client = tie.clone();
    client.flags.clear(ResourceFlag::TieBreaker);
    client.flags.set(ResourceFlag::DrbdDiskless);
    client
}

fn make(draft: &mut Draft<'_>, name: &ResourceName) {
    let observed = draft.context.observed;
    let Some((asked, place)) = seat(&draft.cluster, observed, name) else { return };
    let outcome = match place {
        Ok(place) => {
            let asked = asked.placed(place);
            let nodes: Vec<NodeName> = asked.chosen.iter().map(|place| place.node.clone()).collect();
            spawn::attempt(draft, |draft| nodes.iter().try_for_each(|node| make_on(draft, name, node))).map(|()| {
                draft.asked(asked);
                nodes
            })
        }
        Err(error) => Err(Reply::new(Code::FAIL_NOT_ENOUGH_NODES, error.to_string()).into()),
    };
    match outcome {
        Ok(nodes) => {
            for node in nodes {
                draft.reply(about(
                    Reply::new(Code::INFO_TIE_BREAKER_CREATED, format!("Tiebreaker of '{name}' made on node '{node}'.")),
                    Operation::Create,
                    (name, &node),
                ));
            }
        }
        Err(refused) => {
            let why = refused.replies.into_iter().find(Reply::is_error).map(|reply| reply.message).unwrap_or_default();
            draft.reply(
                Reply::new(Code::WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER, format!("'{name}' gets no tiebreaker: no other node can have it."))
                    .cause(why)
                    .correction(
                        "Add a node with DRBD; it needs no storage. Or do without: \
                         set 'DrbdOptions/auto-add-quorum-tiebreaker' to false on the resource definition.",
                    )
                    .of(Operation::Create, ObjectMask::Resource)
                    .refer("RscDfn", name),
            );
        }
    }
}

fn make_on(draft: &mut Draft<'_>, name: &ResourceName, node: &NodeName) -> Result<(), Refused> {
    let layers = layers(&draft.cluster, name).unwrap_or_else(|| stack::REPLICATED.to_vec());
    let flags = [ResourceFlag::TieBreaker].into_iter().collect();
    deploy(draft, NewReplica { flags, ..NewReplica::plain(name, node, &layers) }).map(drop)
}

/// Takes a tiebreaker out of the cluster at once; its tombstone keeps its numbers until its satellite has cleaned up.
pub(crate) fn remove(draft: &mut Draft<'_>, tie: &Resource) {
    let tombstone = crate::jobs::tombstone_of(&draft.cluster, tie, draft.context.now);
    draft.delete(Key::Resource(tie.name.clone(), tie.node.clone()));
    let connections: Vec<Key> = draft.cluster.ending_with_replica(&tie.name, &tie.node).collect();
    connections.into_iter().for_each(|key| draft.delete(key));
    match tombstone {
        Some(tombstone) => draft.put(Object::Tombstone(tombstone)),
        None => {
            for change in crate::jobs::release(&draft.cluster, tie.id.uuid(), crate::jobs::numbers_of(tie)) {
                draft.change(change);
            }
        }
    }
}

/// Removes the tiebreaker of a definition if its node is away, so that work which needs all of its replicas does not wait for it. Another
/// is made when that has ended.
pub(crate) fn step_aside(draft: &mut Draft<'_>, name: &ResourceName) {
    let observed = draft.context.observed;
    let away = |replica: &&std::sync::Arc<Resource>| is_tie(replica) && stays(replica) && !observed.online(&replica.node);
    let away: Vec<_> = draft.cluster.replicas(name).filter(away).cloned().collect();
    away.iter().for_each(|tie| remove(draft, tie));
}

/// Makes way for a replica that is asked for where a tiebreaker is; `false`: somebody uses it, so that it is none any more.
pub(crate) fn make_way(draft: &mut Draft<'_>, tie: &Resource) -> bool {
    if in_use(draft.context.observed, tie) {
        return false;
    }
    remove(draft, tie);
    taken_over(draft, tie, "a new resource takes its place");
    true
}

/// Lets a tiebreaker be the diskless resource that is asked for.
pub(crate) fn take_as_client(draft: &mut Draft<'_>, tie: &Resource) {
    draft.put(Object::Resource(as_client(tie)));
    taken_over(draft, tie, "it is a diskless resource from now on");
}

fn taken_over(draft: &mut Draft<'_>, tie: &Resource, how: &str) {
    let text = format!("The tiebreaker of '{}' on node '{}' is taken over: {how}.", tie.name, tie.node);
    draft.reply(about(Reply::new(Code::INFO_TIE_BREAKER_TAKEOVER, text), Operation::Modify, (&tie.name, &tie.node)));
}

/// Whether a replica that is to be deleted is kept as the tiebreaker that is wanted then. Its node must be there, and nobody else may be
/// working on the definition.
fn is_successor(draft: &Draft<'_>, replica: &Resource) -> bool {
    let Some(node) = draft.cluster.nodes.get(&replica.node) else { return false };
    let leaving = [NodeFlag::Delete, NodeFlag::Evacuate, NodeFlag::Evicted].iter().any(|flag| node.flags.has(*flag));
    if leaving || !draft.context.observed.online(&replica.node) || is_tie(replica) || !stays(replica) {
        return false;
    }
    if !stack::replicates(&replica.layers)
        || replica.flags.has(ResourceFlag::Inactive)
        || draft.cluster.jobs_on(&replica.name).next().is_some()
    {
        return false;
    }
    let mut without = draft.cluster.clone();
    without.fold([&Change::Delete(Key::Resource(replica.name.clone(), replica.node.clone()))]);
    judge(&without, &replica.name) == Verdict::Missing
}

/// Keeps a replica that is to be deleted as tiebreaker, if one is wanted without it; `false`: it can go. Its disk goes all the same.
///
/// # Errors
/// None that is known: what could refuse was checked.
pub(crate) fn succeed(draft: &mut Draft<'_>, replica: &Resource) -> Result<bool, Refused> {
    if !is_successor(draft, replica) {
        return Ok(false);
    }
    let (name, node) = (&replica.name, &replica.node);
    let text = format!("Resource '{name}' stays on node '{node}' as tiebreaker, without data.");
    let reply = Reply::new(Code::INFO_TIE_BREAKER_TAKEOVER, text)
        .cause("An even number of disks is left, which needs one.")
        .correction(format!("Delete it once more to do without: 'linstor resource delete {node} {name}'."));
    draft.reply(about(reply, Operation::Modify, (name, node)));
    if replica.flags.has(ResourceFlag::Diskless) {
        let mut tie = replica.clone();
        tie.flags.set(ResourceFlag::TieBreaker);
        draft.put(Object::Resource(tie));
    } else {
        resources::drop_disk(draft, replica, [ResourceFlag::TieBreaker].into_iter().collect())?;
    }
    Ok(true)
}

/// Turns the automatism off for a definition whose tiebreaker somebody deletes, so that it does not come back; or on again.
///
/// # Errors
/// 301 if the definition is gone.
pub(crate) fn set_automatism(draft: &mut Draft<'_>, name: &ResourceName, on: bool) -> Result<(), Refused> {
    let mut definition = (**lookup::definition(&draft.cluster, name.as_str())?).clone();
    if on {
        if definition.props.get_bool(AUTO_TIEBREAKER) != Some(false) {
            return Ok(());
        }
        definition.props.remove(AUTO_TIEBREAKER);
    } else {
        definition.props.insert_internal(AUTO_TIEBREAKER, "False");
    }
    draft.put(Object::ResourceDefinition(definition));
    let (code, text) = match on {
        true => {
            (Code::INFO_PROP_REMOVED, format!("Property '{AUTO_TIEBREAKER}' of '{name}' removed: tiebreakers come by themselves again."))
        }
        false => (Code::INFO_PROP_SET, format!("Property '{AUTO_TIEBREAKER}' of '{name}' set to False: no other tiebreaker is made.")),
    };
    draft.reply(Reply::new(code, text).of(Operation::Modify, ObjectMask::ResourceDefinition).refer("RscDfn", name));
    Ok(())
}
