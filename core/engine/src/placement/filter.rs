//! Judging each node and pool by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::flags::NodeFlag;
use berth_model::layers::ProviderKind;
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Node, SelectFilter, StorPool};
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::props::{AUTOPLACE_TARGET, Chain, Source};
use berth_model::size::Kib;
use regex::RegexBuilder;

use super::score::{self, Score, Weights};
use super::select::Rules;
use super::space::Space;
use super::{Kind, PlaceError, Refusal, Request, Tried, space};
use crate::{sizes, stack};

/// Bound on the compiled size of a user's regular expression, in bytes.
const REGEX_LIMIT: usize = 1 << 20;

/// A pool that fits by itself.
#[derive(Debug)]
pub(super) struct Candidate<'c> {
    pub(super) node: &'c Node,
    pub(super) pool: &'c Arc<StorPool>,
    pub(super) space: Space,
    /// Replicas with volumes in it.
    pub(super) resources: u64,
    /// Throughput that is left, in bytes a second; 0 where nothing is said of it.
    pub(super) throughput: i128,
    pub(super) convert: bool,
    pub(super) score: Score,
}

#[derive(Debug, Default)]
pub(super) struct Found<'c> {
    pub(super) fitting: Vec<Candidate<'c>>,
    pub(super) tried: Vec<Tried>,
    pub(super) notes: Vec<String>,
}

impl Found<'_> {
    /// Scores and orders what fits.
    pub(super) fn score(&mut self, cluster: &Cluster) {
        let weights = Weights::of(&cluster.controller.props, &mut self.notes);
        score::rank(&mut self.fitting, weights);
    }

    fn drop_out(&mut self, node: &Node, pool: Option<&StorPool>, why: Refusal) {
        let free = match &why {
            Refusal::NoSpace { free, .. } => Some(*free),
            _ => None,
        };
        self.tried.push(Tried { node: node.name.clone(), pool: pool.map(|pool| pool.name.clone()), why, free, score: None });
    }

    /// Moves the fitting ones that `which` picks to those that were tried.
    pub(super) fn rest(&mut self, why: Refusal, which: impl Fn(usize) -> bool) {
        for (index, candidate) in self.fitting.iter().enumerate().filter(|(index, _)| which(*index)) {
            let _ = index;
            self.tried.push(Tried {
                node: candidate.node.name.clone(),
                pool: Some(candidate.pool.name.clone()),
                why: why.clone(),
                free: Some(candidate.space.estimate),
                score: Some(candidate.score),
            });
        }
        self.tried.sort_by(|a, b| a.node.cmp(&b.node).then_with(|| a.pool.cmp(&b.pool)));
    }
}

fn listed(list: Option<&Vec<String>>, name: &str) -> bool {
    list.filter(|names| !names.is_empty()).is_none_or(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name)))
}

/// Whether a node may take a replica of any kind: there, staying, asked for.
///
/// # Errors
/// Why not.
pub fn node_fits(observed: &Observed, node: &Node, filter: &SelectFilter) -> Result<(), Refusal> {
    if !listed(filter.node_name_list.as_ref(), node.name.as_str()) {
        return Err(Refusal::NodeNotListed);
    }
    if let Some(flag) = [NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete].into_iter().find(|flag| node.flags.has(*flag)) {
        return Err(Refusal::Leaving(flag.word()));
    }
    if !observed.online(&node.name) {
        return Err(Refusal::NotOnline(observed.nodes.get(&node.name).map_or(ConnectionStatus::Offline, |seen| seen.status)));
    }
    Ok(())
}

/// The nodes with resources that must not be beside the new ones, each with one of these.
fn shunned(cluster: &Cluster, filter: &SelectFilter) -> Result<BTreeMap<NodeName, String>, PlaceError> {
    let mut nodes = BTreeMap::new();
    let mut shun = |name: &ResourceName| {
        for node in cluster.resources.get(name).into_iter().flat_map(|replicas| replicas.keys()) {
            nodes.entry(node.clone()).or_insert_with(|| name.to_string());
        }
    };
    // A text that is no name matches nothing.
    filter.not_place_with_rsc.iter().flatten().filter_map(|text| ResourceName::parse(text).ok()).for_each(|name| shun(&name));
    if let Some(text) = filter.not_place_with_rsc_regex.as_ref().filter(|text| !text.is_empty()) {
        let regex = RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(REGEX_LIMIT)
            .build()
            .map_err(|error| PlaceError::BadRegex { text: text.clone(), why: error.to_string() })?;
        cluster.resources.keys().filter(|name| regex.is_match(name.as_str())).for_each(&mut shun);
    }
    Ok(nodes)
}

/// Judges every node and pool of the cluster.
pub(super) fn candidates<'c>(
    cluster: &'c Cluster,
    observed: &Observed,
    request: &Request<'_>,
    rules: &Rules,
    kind: Kind,
) -> Result<Found<'c>, PlaceError> {
    let shunned = shunned(cluster, request.filter)?;
    let mut found = Found::default();
    for node in cluster.nodes.values() {
        if let Err(why) = judge_node(cluster, observed, request, rules, &shunned, node) {
            found.drop_out(node, None, why);
            continue;
        }
        let mut any = false;
        for pool in cluster.pools.get(&node.name).into_iter().flat_map(|pools| pools.values()) {
            if (pool.provider == ProviderKind::Diskless) != (kind == Kind::Diskless) {
                continue;
            }
            any = true;
            let judged = match kind {
                Kind::Diskful => judge_pool(cluster, observed, request, rules, pool),
                Kind::Diskless => judge_diskless_pool(request, pool),
            };
            match judged {
                Ok(space) => {
                    let resources = match kind {
                        Kind::Diskful => cluster.pool_use(&node.name, &pool.name).volumes,
                        Kind::Diskless => u64::try_from(cluster.count_on(&node.name)).unwrap_or(u64::MAX),
                    };
                    found.fitting.push(Candidate { node, pool, space, resources, throughput: 0, convert: false, score: Score::default() });
                }
                Err(why) => found.drop_out(node, Some(pool), why),
            }
        }
        if !any {
            found.drop_out(node, None, Refusal::NoPool);
        }
    }
    Ok(found)
}

fn judge_node(
    cluster: &Cluster,
    observed: &Observed,
    request: &Request<'_>,
    rules: &Rules,
    shunned: &BTreeMap<NodeName, String>,
    node: &Node,
) -> Result<(), Refusal> {
    node_fits(observed, node, request.filter)?;
    if request.exclude.contains(&node.name) {
        return Err(Refusal::Excluded);
    }
    let target = Chain::new().with(Source::Node, &node.props).with(Source::Controller, &cluster.controller.props);
    if target.get_bool(AUTOPLACE_TARGET) == Some(false) {
        return Err(Refusal::NotTarget);
    }
    if request.definition.is_some_and(|definition| cluster.resource(&definition.name, &node.name).is_some()) {
        return Err(Refusal::Occupied);
    }
    if let Some(resource) = shunned.get(&node.name) {
        return Err(Refusal::Beside(resource.clone()));
    }
    if let Some(able) = stack::capabilities(observed, &node.name)
        && let Some((kind, why)) = stack::lacking(request.layers, able).into_iter().next()
    {
        return Err(Refusal::LacksLayer(kind, why));
    }
    rules.judge(node)
}

fn judge_diskless_pool(request: &Request<'_>, pool: &StorPool) -> Result<Space, Refusal> {
    if !listed(request.filter.storage_pool_diskless_list.as_ref(), pool.name.as_str()) {
        return Err(Refusal::PoolNotListed);
    }
    Ok(Space::default())
}

fn judge_pool(cluster: &Cluster, observed: &Observed, request: &Request<'_>, rules: &Rules, pool: &StorPool) -> Result<Space, Refusal> {
    if !listed(request.filter.storage_pool_list.as_ref(), pool.name.as_str()) {
        return Err(Refusal::PoolNotListed);
    }
    let kinds = request.filter.provider_list.as_ref().filter(|kinds| !kinds.is_empty());
    if kinds.is_some_and(|kinds| !kinds.contains(&pool.provider)) {
        return Err(Refusal::Provider(pool.provider));
    }
    if pool.props.get_bool(AUTOPLACE_TARGET) == Some(false) {
        return Err(Refusal::NotTarget);
    }
    rules.judge_pool(pool)?;
    let space = space::space(cluster, observed, pool)?;
    let stack = if request.layers.is_empty() { stack::PLAIN } else { request.layers };
    let geometry = sizes::DrbdGeometry::with_peers(request.peers);
    let mut needed = Kib(0);
    for volume in &request.volumes {
        let made = sizes::backing_size(volume.size, volume.gross, stack, space.extent, geometry).map_err(Refusal::Size)?;
        needed = needed.saturating_add(made.backing);
    }
    // A pool without any space is no place, not even for a definition that has no volumes yet.
    if space.estimate < needed || space.estimate == Kib(0) {
        return Err(Refusal::NoSpace { free: space.estimate, needed });
    }
    Ok(space)
}
