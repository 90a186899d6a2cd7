//! Which replicas of a definition count, and how many of them are wanted: one rule for evacuation and balancing.

use berth_model::cluster::Cluster;
use berth_model::flags::{NodeFlag, ResourceFlag};
use berth_model::names::ResourceName;
use berth_model::objects::{Node, Resource, ResourceDefinition};
use berth_model::observed::Observed;
use berth_model::props::{Chain, SKIP_DISK, Source};

use crate::groups::DEFAULT_PLACE_COUNT;
use crate::risk;

/// Replicas with a disk that the group of a definition asks for; `None`: it asks for diskless ones, or cannot be read.
#[must_use]
pub fn wanted(cluster: &Cluster, definition: &ResourceDefinition) -> Option<usize> {
    let filter = &cluster.groups.get(&definition.group)?.filter;
    if filter.diskless_type.as_ref().is_some_and(|word| !word.is_empty()) {
        return None;
    }
    usize::try_from(filter.place_count.unwrap_or(DEFAULT_PLACE_COUNT)).ok().filter(|count| *count > 0)
}

/// Whether a replica runs without its disk (`DrbdOptions/SkipDisk`).
#[must_use]
pub fn skips_disk(cluster: &Cluster, replica: &Resource) -> bool {
    let definition = cluster.definitions.get(&replica.name);
    let pools = replica.volumes.values().filter_map(|volume| cluster.pool(&replica.node, &volume.pool));
    let chain = Chain::new()
        .with(Source::Resource, &replica.props)
        .with_some(Source::Node, cluster.nodes.get(&replica.node).map(|node| &node.props))
        .with_some(Source::ResourceDefinition, definition.map(|definition| &definition.props))
        .with_some(Source::ResourceGroup, definition.and_then(|one| cluster.groups.get(&one.group)).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    pools.fold(chain, |chain, pool| chain.with(Source::StorPool, &pool.props)).get_bool(SKIP_DISK) == Some(true)
}

/// Whether a replica is one of those that are wanted: it has a disk, and is not on its way out. Source: contract, amount of a placement.
#[must_use]
pub fn counts(cluster: &Cluster, replica: &Resource) -> bool {
    let out = [ResourceFlag::Delete, ResourceFlag::Evicted, ResourceFlag::Evacuate, ResourceFlag::Diskless];
    !out.iter().any(|flag| replica.flags.has(*flag)) && !skips_disk(cluster, replica)
}

/// Whether its node is being emptied or given up.
#[must_use]
pub fn on_leaving_node(cluster: &Cluster, replica: &Resource) -> bool {
    let leaving = [NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete];
    cluster.nodes.get(&replica.node).is_none_or(|node| leaving.iter().any(|flag| node.flags.has(*flag)))
}

/// Whether its node is being emptied by a job that places and removes what is on it.
#[must_use]
pub fn on_emptied_node(cluster: &Cluster, replica: &Resource) -> bool {
    let emptied = [NodeFlag::Evacuate, NodeFlag::Delete];
    let evicted = |node: &Node| node.flags.has(NodeFlag::Evicted);
    cluster.nodes.get(&replica.node).is_some_and(|node| !evicted(node) && emptied.iter().any(|flag| node.flags.has(*flag)))
}

/// The replicas of a definition that count and stay where they are.
pub(crate) fn staying<'c>(cluster: &'c Cluster, name: &ResourceName) -> impl Iterator<Item = &'c Resource> {
    cluster.replicas(name).map(AsRef::as_ref).filter(|replica| counts(cluster, replica) && !on_leaving_node(cluster, replica))
}

/// Whether replicas that count, on nodes that are there, are on their way to the data.
#[must_use]
pub fn fills(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> bool {
    staying(cluster, name).any(|replica| observed.online(&replica.node) && !risk::holds_data(observed, replica))
}

/// Whether a replica that leaves is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    /// Another must take its place.
    Missed,
    /// The others are as many as are wanted, and were seen to hold the data.
    Spare,
    /// The others are as many as are wanted, but not all of them were seen to hold the data.
    NotYet {
        /// Those that were.
        good: usize,
        /// As many as are wanted.
        wanted: usize,
    },
}

/// Whether `replica` is missed when it leaves: by the replicas that stay without it. What replicates nothing has data of its own,
/// and is not a question for this rule.
#[must_use]
pub fn surplus(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Surplus {
    let Some(definition) = cluster.definitions.get(&replica.name) else { return Surplus::Missed };
    let Some(wanted) = wanted(cluster, definition) else { return Surplus::Missed };
    let others = || staying(cluster, &replica.name).filter(|other| other.node != replica.node);
    if others().count() < wanted {
        return Surplus::Missed;
    }
    match others().filter(|other| risk::holds_data(observed, other)).count() {
        good if good >= wanted => Surplus::Spare,
        good => Surplus::NotYet { good, wanted },
    }
}
