//! What would be lost with a node, and what is at risk today. Pure questions about a cluster and what was seen of it; nothing changes.
//!
//! What is not known counts as unknown, never as good: each answer says whether it holds for sure, whatever the state of the nodes
//! that cannot be asked may be (`certain`), or only in the worst case. All lists are ordered and capped, with their whole number.

mod report;
mod space;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use berth_model::cluster::Cluster;
use berth_model::names::{NodeName, ResourceName, SnapshotName, StorPoolName};
use berth_model::objects::Resource;
use berth_model::observed::Observed;
use berth_model::snapshot::{CopyState, Snapshot};

pub use report::{BlockedJob, Copyless, NodeAway, NodeRisk, PoolRisk, PoolUnknown, Report, report};
pub use space::{PoolAfter, Unplaced};
pub use standing::Quorum;

pub(crate) use standing::holds_data;
use standing::{Certainty, Standing};

use crate::stack;

/// Most elements of each list; the whole number is told.
pub const MOST_LISTED: usize = 200;

/// The beginning of a list, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capped<T> {
    /// Number of all.
    pub total: usize,
    /// At most [`MOST_LISTED`] of them.
    pub list: Vec<T>,
}

impl<T> Default for Capped<T> {
    fn default() -> Self {
        Self { total: 0, list: Vec::new() }
    }
}

impl<T> Capped<T> {
    /// One more.
    fn push(&mut self, one: T) {
        self.total = self.total.saturating_add(1);
        if self.list.len() < MOST_LISTED {
            self.list.push(one);
        }
    }

    /// The first ones of a list.
    fn of(mut all: Vec<T>) -> Self {
        let total = all.len();
        all.truncate(MOST_LISTED);
        Self { total, list: all }
    }
}

/// What happens to the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// They stop, and may come back with all that they hold.
    Down,
    /// They never come back.
    Lost,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Down, Self::Lost];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Lost => "lost",
        }
    }

    /// The event of a word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.word().eq_ignore_ascii_case(text))
    }
}

/// A resource whose last data is on the nodes: gone for good with [`Event::Lost`], out of reach with [`Event::Down`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataLoss {
    /// The resource.
    pub resource: ResourceName,
    /// The nodes that would go and hold its data, or may.
    pub holders: Vec<NodeName>,
    /// Whether no other node can hold it.
    pub certain: bool,
    /// Other nodes that may hold it; their state is unknown.
    pub unknown: Vec<NodeName>,
}

/// A resource that nobody could use meanwhile, or of which a replica with data of its own could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLoss {
    /// The resource.
    pub resource: ResourceName,
    /// Whether that is so whatever the state of unknown nodes.
    pub certain: bool,
    /// Nodes that would go and where it was seen in use.
    pub in_use_on: Vec<NodeName>,
}

/// A resource that would lose its quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumLoss {
    /// The resource.
    pub resource: ResourceName,
    /// Whether that is so whatever the state of unknown nodes.
    pub certain: bool,
    /// Its rule.
    pub rule: Quorum,
    /// Replicas with a disk: each has a vote.
    pub voters: usize,
    /// Votes that it needs; one less is enough with an even number of voters and most of the diskless nodes.
    pub needed: usize,
    /// Votes that would be left for sure.
    pub left: usize,
    /// Votes that would be left if all unknown nodes are well.
    pub left_at_best: usize,
}

/// A resource with fewer copies than wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooFew {
    /// The resource.
    pub resource: ResourceName,
    /// Copies that its group asks for.
    pub wanted: usize,
    /// Copies before, unknown ones included.
    pub before: usize,
    /// Copies that would be left for sure.
    pub after: usize,
    /// Further copies, on nodes whose state is unknown.
    pub unknown: usize,
}

/// A snapshot that exists only on the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLoss {
    /// The resource.
    pub resource: ResourceName,
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// Whether no other node can hold it.
    pub certain: bool,
    /// Other nodes that may hold it; their state is unknown.
    pub unknown: Vec<NodeName>,
}

/// What would come of it if nodes went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The nodes, by name.
    pub nodes: Vec<NodeName>,
    /// What happens to them.
    pub event: Event,
    /// Resources whose last data is there.
    pub data: Capped<DataLoss>,
    /// Resources that could not be used.
    pub access: Capped<AccessLoss>,
    /// Resources that would lose quorum.
    pub quorum: Capped<QuorumLoss>,
    /// Resources that would have fewer copies than wanted, but some.
    pub redundancy: Capped<TooFew>,
    /// Snapshots that are only there.
    pub snapshots: Capped<SnapshotLoss>,
    /// Replicas with a disk that would be gone.
    pub replicas: usize,
    /// Pools that would hold more than they may, or more than they can once all volumes are full, if these replicas were placed anew;
    /// the worst first.
    pub pools: Capped<PoolAfter>,
    /// Resources for which there would be no place.
    pub unplaced: Capped<Unplaced>,
    /// Replicas for which no place was looked for, because there are so many.
    pub not_tried: usize,
    /// Other nodes whose state is unknown now: what they hold may be well or not.
    pub unknown_nodes: Capped<NodeName>,
    /// Records that cannot be read: what they stand for is in none of these lists.
    pub quarantined: usize,
}

/// What would come of it if `nodes` went away together. Nodes that do not exist hold nothing.
///
/// Linear in the replicas and snapshots on these nodes, and bounded where places are looked for.
#[must_use]
pub fn what_if(cluster: &Cluster, observed: &Observed, nodes: &BTreeSet<NodeName>, event: Event) -> Outcome {
    let mut outcome = Outcome {
        nodes: nodes.iter().cloned().collect(),
        event,
        data: Capped::default(),
        access: Capped::default(),
        quorum: Capped::default(),
        redundancy: Capped::default(),
        snapshots: Capped::default(),
        replicas: 0,
        pools: Capped::default(),
        unplaced: Capped::default(),
        not_tried: 0,
        unknown_nodes: Capped::default(),
        quarantined: cluster.quarantined.len(),
    };
    let names: BTreeSet<&ResourceName> = nodes.iter().flat_map(|node| cluster.resources_on(node)).map(|replica| &replica.name).collect();
    for name in names {
        if let Some(standing) = Standing::of(cluster, observed, name) {
            outcome.take(name, &standing, nodes);
        }
    }
    let mut snapshots: Vec<_> = nodes.iter().flat_map(|node| cluster.snapshots_on(node)).collect();
    snapshots.sort_by(|a, b| (&a.resource, &a.name).cmp(&(&b.resource, &b.name)));
    snapshots.dedup_by(|a, b| a.id == b.id);
    snapshots.into_iter().filter_map(|snapshot| snapshot_loss(observed, snapshot, nodes)).for_each(|loss| outcome.snapshots.push(loss));
    for node in cluster.nodes.values().filter(|node| node.node_type.has_satellite()) {
        if !nodes.contains(&node.name) && !observed.online(&node.name) {
            outcome.unknown_nodes.push(node.name.clone());
        }
    }
    let after = space::placed_anew(cluster, observed, nodes);
    Outcome { replicas: after.replicas, pools: after.pools, unplaced: after.unplaced, not_tried: after.not_tried, ..outcome }
}

/// The data that would be lost with one node: that part of [`what_if`] alone, without its search for other places.
#[must_use]
pub fn data_on(cluster: &Cluster, observed: &Observed, node: &NodeName) -> Capped<DataLoss> {
    lost_with(cluster, observed, node, |_| true)
}

/// The data that would be lost with one storage pool of a node.
#[must_use]
pub fn data_in(cluster: &Cluster, observed: &Observed, node: &NodeName, pool: &StorPoolName) -> Capped<DataLoss> {
    lost_with(cluster, observed, node, |replica| replica.volumes.values().any(|volume| volume.pool == *pool))
}

fn lost_with(cluster: &Cluster, observed: &Observed, node: &NodeName, which: impl Fn(&Resource) -> bool) -> Capped<DataLoss> {
    let (mut losses, gone) = (Capped::default(), BTreeSet::from([node.clone()]));
    let names: BTreeSet<&ResourceName> = cluster.resources_on(node).filter(|replica| which(replica)).map(|replica| &replica.name).collect();
    for name in names {
        let loss = Standing::of(cluster, observed, name).and_then(|standing| data_loss(name, &standing, &gone));
        loss.into_iter().for_each(|loss| losses.push(loss));
    }
    losses
}

fn data_loss(name: &ResourceName, standing: &Standing, gone: &BTreeSet<NodeName>) -> Option<DataLoss> {
    let certainty = standing.verdict(gone).data?;
    Some(DataLoss {
        resource: name.clone(),
        holders: standing.holders(|node| gone.contains(node)),
        certain: certainty == Certainty::Certain,
        unknown: standing.unknown(|node| !gone.contains(node)),
    })
}

impl Outcome {
    fn take(&mut self, name: &ResourceName, standing: &Standing, gone: &BTreeSet<NodeName>) {
        let resource = || name.clone();
        let verdict = standing.verdict(gone);
        if let Some(loss) = data_loss(name, standing, gone) {
            self.data.push(loss);
        }
        if let Some(certainty) = verdict.access {
            let in_use_on = standing.in_use.iter().filter(|node| gone.contains(*node)).cloned().collect();
            self.access.push(AccessLoss { resource: resource(), certain: certainty == Certainty::Certain, in_use_on });
        }
        if let Some(certainty) = verdict.quorum {
            let (left, left_at_best) = standing.votes(gone);
            let voters = standing.voters();
            self.quorum.push(QuorumLoss {
                resource: resource(),
                certain: certainty == Certainty::Certain,
                rule: standing.quorum,
                voters,
                needed: standing.quorum.needed(voters),
                left,
                left_at_best,
            });
        }
        if let Some((before, after, unknown)) = verdict.redundancy {
            self.redundancy.push(TooFew { resource: resource(), wanted: standing.wanted, before, after, unknown });
        }
    }
}

/// Whether a snapshot exists only on `gone`. Copies of what does not replicate are each of other data.
fn snapshot_loss(observed: &Observed, snapshot: &Snapshot, gone: &BTreeSet<NodeName>) -> Option<SnapshotLoss> {
    let taken = || snapshot.copies.iter().filter(|(_, copy)| copy.state == CopyState::Taken);
    let there = taken().any(|(node, _)| gone.contains(node));
    let (mut unknown, mut good) = (Vec::new(), false);
    if stack::replicates(&snapshot.layers) {
        for (node, copy) in taken().filter(|(node, _)| !gone.contains(*node)) {
            match observed.item(node, copy.id.uuid()).map(|record| record.seen.fault.is_none()) {
                Some(true) => good = true,
                // A copy with a fault may still be one.
                Some(false) | None => unknown.push(node.clone()),
            }
        }
    }
    (there && !good).then(|| SnapshotLoss {
        resource: snapshot.resource.clone(),
        snapshot: snapshot.name.clone(),
        certain: unknown.is_empty(),
        unknown,
    })
}
