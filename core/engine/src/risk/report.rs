//! What is at risk today.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::cluster::{Cluster, Quarantined};
use berth_model::flags::{DefinitionFlag, VolumeDefinitionFlag};
use berth_model::ids::{Id, kind};
use berth_model::job::Job;
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::plan::{ContentSource, PlanItem};
use berth_model::size::Kib;
use berth_model::time::Timestamp;

use super::standing::{Health, Standing, Verdict};
use super::{Capped, TooFew, snapshot_loss};
use crate::jobs;
use crate::placement::{self, Refusal};

/// A pool is near full with less than this free, in percent of its whole space.
const NEAR_FULL_PERCENT: u64 = 10;

/// What would be lost with one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRisk {
    /// The node.
    pub node: NodeName,
    /// Whether it is online now.
    pub online: bool,
    /// Resources whose last data is there, as far as is known.
    pub data: usize,
    /// Resources that could not be used without it.
    pub access: usize,
    /// Resources that would lose quorum.
    pub quorum: usize,
    /// Resources that would have fewer copies than wanted.
    pub redundancy: usize,
    /// Snapshots that are only there.
    pub snapshots: usize,
    /// Promised to volumes there.
    pub holds: Kib,
    /// What the pools of all other nodes may still promise, as far as is known.
    pub room_elsewhere: Kib,
}

/// A resource without any copy that was seen good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copyless {
    /// The resource.
    pub resource: ResourceName,
    /// Whether data is lost whatever the state of unknown nodes.
    pub certain: bool,
    /// Nodes that may hold its data; their state is unknown. None: it is lost.
    pub unknown: Vec<NodeName>,
    /// Nodes that were seen without it.
    pub lost_on: Vec<NodeName>,
    /// Nodes that were seen with older data than the peers that are missing now.
    pub behind_on: Vec<NodeName>,
    /// Nodes that held it when they were given up for lost.
    pub given_up_on: Vec<NodeName>,
}

/// A pool with too little space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRisk {
    /// Node.
    pub node: NodeName,
    /// Pool.
    pub pool: StorPoolName,
    /// Free space.
    pub free: Kib,
    /// Whole space.
    pub total: Kib,
    /// Promised to volumes.
    pub promised: Kib,
}

/// A pool of which nothing is known, or that is in trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUnknown {
    /// Node.
    pub node: NodeName,
    /// Pool.
    pub pool: StorPoolName,
    /// Why.
    pub why: String,
}

/// A job that cannot go on by itself at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedJob {
    /// Its id.
    pub job: Id<kind::Job>,
    /// The resource; `None`: it works on a node.
    pub resource: Option<ResourceName>,
    /// What it does.
    pub task: &'static str,
    /// When it was asked for.
    pub created: Timestamp,
    /// Where it is blocked first; `None`: nowhere in particular.
    pub node: Option<NodeName>,
    /// What blocks it there.
    pub why: String,
    /// What to do.
    pub way_out: String,
}

/// A node of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAway {
    /// The node.
    pub node: NodeName,
    /// State of the connection.
    pub status: ConnectionStatus,
    /// Since when; `None`: it was not tried yet.
    pub since: Option<Timestamp>,
    /// Why; empty: nobody said.
    pub reason: String,
}

/// What is at risk today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What would be lost with each single node, the worst first; nodes with which nothing would be lost are not in it.
    pub nodes: Capped<NodeRisk>,
    /// Resources without a copy that was seen good: lost ones first.
    pub copyless: Capped<Copyless>,
    /// Definitions with volumes and without a replica with a disk, of which no record says that data of them was lost: never placed,
    /// or deleted on purpose, or lost with nodes that came back empty.
    pub without_replica: Capped<ResourceName>,
    /// Resources with fewer copies than wanted now.
    pub too_few: Capped<TooFew>,
    /// Pools with little space left, the fullest first.
    pub near_full: Capped<PoolRisk>,
    /// Thin pools that could not hold what they promised, the worst first.
    pub overcommitted: Capped<PoolRisk>,
    /// Pools of which nothing is known, or that are in trouble.
    pub pools_unknown: Capped<PoolUnknown>,
    /// Jobs that wait for a node that is away or for something to be mended, oldest first.
    pub blocked_jobs: Capped<BlockedJob>,
    /// Nodes of which nothing is known.
    pub nodes_away: Capped<NodeAway>,
    /// Records that cannot be read.
    pub quarantined: Capped<Quarantined>,
}

/// What is at risk today. Linear in what the cluster holds.
#[must_use]
pub fn report(cluster: &Cluster, observed: &Observed) -> Report {
    let mut report = Report::default();
    let mut nodes: BTreeMap<&NodeName, NodeRisk> = BTreeMap::new();
    let mut free = BTreeMap::new();
    for node in cluster.nodes.keys() {
        let risk = NodeRisk {
            node: node.clone(),
            online: observed.online(node),
            data: 0,
            access: 0,
            quorum: 0,
            redundancy: 0,
            snapshots: 0,
            holds: cluster.pools_of(node).map(|pool| cluster.pool_use(node, &pool.name).reserved).sum(),
            room_elsewhere: Kib(0),
        };
        nodes.insert(node, risk);
        free.insert(node, room(cluster, observed, node));
    }
    let all_free: u128 = free.values().map(|free| u128::from(free.0)).sum();
    for (node, risk) in &mut nodes {
        let own = free.get(node).copied().unwrap_or_default();
        risk.room_elsewhere = Kib(u64::try_from(all_free.saturating_sub(u128::from(own.0))).unwrap_or(u64::MAX));
    }
    resources(cluster, observed, &mut nodes, &mut report);
    for snapshot in cluster.snapshots.values().flat_map(|snapshots| snapshots.values()) {
        for node in snapshot.copies.keys() {
            if snapshot_loss(observed, snapshot, &BTreeSet::from([node.clone()])).is_some()
                && let Some(risk) = nodes.get_mut(node)
            {
                risk.snapshots += 1;
            }
        }
    }
    let weight = |risk: &NodeRisk| (risk.data, risk.access, risk.quorum, risk.redundancy, risk.snapshots);
    let mut nodes: Vec<NodeRisk> = nodes.into_values().filter(|risk| weight(risk) != (0, 0, 0, 0, 0)).collect();
    nodes.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.node.cmp(&b.node)));
    report.nodes = Capped::of(nodes);
    pools(cluster, observed, &mut report);
    let mut jobs: Vec<BlockedJob> = cluster.jobs.values().filter_map(|job| blocked(cluster, observed, job)).collect();
    jobs.sort_by_key(|job| (job.created, job.job));
    report.blocked_jobs = Capped::of(jobs);
    for node in cluster.nodes.values().filter(|node| node.node_type.has_satellite() && !observed.online(&node.name)) {
        let seen = observed.nodes.get(&node.name);
        report.nodes_away.push(NodeAway {
            node: node.name.clone(),
            status: seen.map_or(ConnectionStatus::Offline, |seen| seen.status),
            since: seen.and_then(|seen| seen.away_since),
            reason: seen.and_then(|seen| seen.reason.clone()).unwrap_or_default(),
        });
    }
    report.quarantined = Capped::of(cluster.quarantined.to_vec());
    report
}

/// What the pools of a node may still promise.
fn room(cluster: &Cluster, observed: &Observed, node: &NodeName) -> Kib {
    let pools = cluster.pools_of(node).filter(|pool| pool.provider.has_storage());
    pools.filter_map(|pool| placement::space(cluster, observed, pool).ok()).map(|space| space.estimate).fold(Kib(0), Kib::saturating_add)
}

fn resources(cluster: &Cluster, observed: &Observed, nodes: &mut BTreeMap<&NodeName, NodeRisk>, report: &mut Report) {
    let mut copyless = Vec::new();
    let mut given_up = given_up(cluster);
    // Of what lost its last replica only the definition is left.
    for (name, definition) in &cluster.definitions {
        let Some(standing) = Standing::of(cluster, observed, name) else { continue };
        for replica in cluster.replicas(name) {
            let Verdict { data, access, quorum, redundancy } = standing.verdict(&BTreeSet::from([replica.node.clone()]));
            if let Some(risk) = nodes.get_mut(&replica.node) {
                risk.data += usize::from(data.is_some());
                risk.access += usize::from(access.is_some());
                risk.quorum += usize::from(quorum.is_some());
                risk.redundancy += usize::from(redundancy.is_some());
            }
        }
        let on = |health: Health| -> Vec<NodeName> {
            standing.copies.iter().filter(|copy| copy.health == health).map(|copy| copy.node.clone()).collect()
        };
        let (good, unknown, lost_on) = (on(Health::Good).len(), on(Health::Unknown), on(Health::Bad));
        let has_data = definition.volumes.values().any(|volume| !volume.flags.has(VolumeDefinitionFlag::Delete))
            && !definition.flags.has(DefinitionFlag::Delete);
        let behind_on = standing.copies.iter().filter(|copy| copy.health == Health::Empty && had_data(cluster, name, &copy.node));
        let behind_on: Vec<NodeName> = behind_on.map(|copy| copy.node.clone()).collect();
        let given_up_on = given_up.remove(name).filter(|_| has_data).unwrap_or_default();
        // Where nothing replicates, each replica is the only one of its data.
        let gone = !(unknown.is_empty() && lost_on.is_empty()) && (good == 0 || !standing.replicates);
        let nowhere = good == 0 && has_data;
        if gone || (nowhere && !(behind_on.is_empty() && given_up_on.is_empty())) {
            let certain = unknown.is_empty() || (!standing.replicates && !lost_on.is_empty());
            copyless.push(Copyless { resource: name.clone(), certain, unknown, lost_on, behind_on, given_up_on });
        } else if nowhere && standing.copies.is_empty() {
            report.without_replica.push(name.clone());
        } else if standing.replicates && good > 0 && good < standing.wanted {
            let before = good + unknown.len();
            report.too_few.push(TooFew { resource: name.clone(), wanted: standing.wanted, before, after: good, unknown: unknown.len() });
        }
    }
    copyless.sort_by(|a, b| (!a.certain, &a.resource).cmp(&(!b.certain, &b.resource)));
    report.copyless = Capped::of(copyless);
}

/// Whether a replica was whole once: what is only being made has nothing to be behind with.
fn had_data(cluster: &Cluster, name: &ResourceName, node: &NodeName) -> bool {
    cluster.resource(name, node).is_some_and(|replica| replica.volumes.values().any(|volume| volume.content.source == ContentSource::Kept))
}

/// By definition, the nodes that held a disk of it when they were given up, as far as their tombstones are still there. An older
/// definition of the same name does not count.
fn given_up(cluster: &Cluster) -> BTreeMap<ResourceName, Vec<NodeName>> {
    let mut nodes: BTreeMap<ResourceName, BTreeSet<NodeName>> = BTreeMap::new();
    for tombstone in cluster.tombstones.values() {
        let diskful = match &tombstone.item {
            PlanItem::Resource(plan) => !plan.diskless,
            PlanItem::Snapshot(_) => false,
        };
        // What was deleted on purpose leaves a tombstone on a node that is still there.
        let node_gone = cluster.nodes.get(&tombstone.node).is_none_or(|node| node.id != tombstone.node_id);
        let same = cluster.definitions.get(&tombstone.resource).is_some_and(|definition| definition.created <= tombstone.deleted);
        if diskful && node_gone && same {
            nodes.entry(tombstone.resource.clone()).or_default().insert(tombstone.node.clone());
        }
    }
    nodes.into_iter().map(|(name, nodes)| (name, nodes.into_iter().collect())).collect()
}

fn pools(cluster: &Cluster, observed: &Observed, report: &mut Report) {
    let (mut near_full, mut overcommitted) = (Vec::new(), Vec::new());
    for pool in cluster.pools.values().flat_map(|pools| pools.values()).filter(|pool| pool.provider.has_storage()) {
        let (node, name) = (pool.node.clone(), pool.name.clone());
        let space = match placement::space(cluster, observed, pool) {
            Ok(space) => space,
            Err(why) => {
                let why = match why {
                    Refusal::UnknownSpace if !observed.online(&pool.node) => "its node is not online".to_owned(),
                    other => other.to_string(),
                };
                report.pools_unknown.push(PoolUnknown { node, pool: name, why });
                continue;
            }
        };
        let risk = PoolRisk { node, pool: name, free: space.free, total: space.total, promised: space.reserved };
        if pool.provider.is_thin() && space.reserved > space.total {
            overcommitted.push(risk.clone());
        }
        if u128::from(space.free.0) * 100 < u128::from(space.total.0) * u128::from(NEAR_FULL_PERCENT) || space.total == Kib(0) {
            near_full.push(risk);
        }
    }
    let place = |risk: &PoolRisk| (risk.node.clone(), risk.pool.clone());
    // By the free share: a / b < c / d as a * d < c * b.
    let share =
        |a: &PoolRisk, b: &PoolRisk| (u128::from(a.free.0) * u128::from(b.total.0)).cmp(&(u128::from(b.free.0) * u128::from(a.total.0)));
    near_full.sort_by(|a, b| share(a, b).then_with(|| place(a).cmp(&place(b))));
    let missing = |risk: &PoolRisk| risk.promised.saturating_sub(risk.total);
    overcommitted.sort_by(|a, b| missing(b).cmp(&missing(a)).then_with(|| place(a).cmp(&place(b))));
    report.near_full = Capped::of(near_full);
    report.overcommitted = Capped::of(overcommitted);
}

/// What blocks a job first; `None`: it goes on by itself.
fn blocked(cluster: &Cluster, observed: &Observed, job: &Job) -> Option<BlockedJob> {
    // The moment matters for new objects only, and a look makes none.
    let view = jobs::view(cluster, observed, job, Timestamp::default());
    let first = view.blockers.into_iter().next()?;
    Some(BlockedJob {
        job: job.id,
        resource: view.resource,
        task: view.task,
        created: job.created,
        node: first.node,
        why: first.message,
        way_out: first.way_out,
    })
}
