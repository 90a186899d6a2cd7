//! Judging each node and pool by itself. The rules stand here in the order in which they are asked; the first that is broken is told.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::rc::Rc;
use std::sync::Arc;

use berth_model::cluster::{Cluster, PoolUse};
use berth_model::flags::{NodeFlag, ResourceFlag};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, StorPoolName, compare};
use berth_model::objects::{Node, Resource, SelectFilter, StorPool};
use berth_model::observed::{ConnectionStatus, NodeSeen, Observed};
use berth_model::props::{AUTOPLACE_TARGET, Chain, Source};
use berth_model::size::Kib;
use imbl::OrdMap;
use regex::RegexBuilder;

use super::mixing::{self, Mixing};
use super::rules::{Classes, Rules};
use super::score::{self, Score, Weights};
use super::space::{Ledger, Space};
use super::thin::ThinFree;
use super::{Chosen, Kind, PlaceError, Placement, Refusal, Request, Tried, throughput};
use crate::{sizes, stack};

/// Longest text of a user's regular expression, in characters.
const REGEX_LONGEST: usize = 1000;
/// Bound on the compiled size of a user's regular expression, in bytes; with it on the time of a search in a name.
const REGEX_LIMIT: usize = 1 << 16;

/// A pool that fits by itself.
#[derive(Debug)]
pub(super) struct Candidate<'c> {
    /// Its turn in the walk over nodes and pools, which is the order of their names.
    turn: usize,
    /// The turn of the first pool of its node: what tells nodes apart.
    pub(super) seat: usize,
    pub(super) node: &'c Node,
    /// [`Classes::of`] the node.
    pub(super) classes: Rc<[Option<usize>]>,
    pub(super) pool: &'c Arc<StorPool>,
    pub(super) kind: mixing::Kind,
    pub(super) space: Space,
    /// Replicas: with volumes in the pool, or for a diskless one on the node.
    pub(super) resources: u64,
    /// Throughput that is left, in bytes a second; 0 where nothing is said of it.
    pub(super) throughput: i128,
    pub(super) convert: bool,
    pub(super) score: Score,
}

#[derive(Debug, Default)]
pub(super) struct Found<'c> {
    pub(super) fitting: Vec<Candidate<'c>>,
    /// What the classes of the candidates stand for.
    pub(super) classes: Classes<'c>,
    /// By turn: what does not fit; `None`: it fits.
    tried: Vec<Option<Tried>>,
    pub(super) notes: Vec<String>,
}

impl<'c> Found<'c> {
    /// Scores and orders what fits.
    pub(super) fn score(&mut self, cluster: &Cluster) {
        let weights = Weights::of(&cluster.controller.props, &mut self.notes);
        if weights.throughput > 0 {
            for one in &mut self.fitting {
                one.throughput = throughput::left(cluster, one.node, one.pool);
            }
        }
        score::rank(&mut self.fitting, weights);
    }

    /// How many nodes fit, each by itself.
    pub(super) fn nodes(&self) -> usize {
        self.fitting.iter().map(|candidate| candidate.seat).collect::<BTreeSet<_>>().len()
    }

    fn drop_out(&mut self, node: &Node, pool: Option<&StorPool>, why: Refusal) {
        let free = match &why {
            Refusal::NoSpace { free, .. } | Refusal::LowOnSpace { free, .. } => Some(*free),
            _ => None,
        };
        let one = Tried { node: node.name.clone(), pool: pool.map(|pool| pool.name.clone()), why, free, score: None };
        self.tried.push(Some(one));
    }

    /// The places that were picked, and why each other was not.
    pub(super) fn chosen(self, picked: &[usize], rules: &Rules) -> Placement {
        let Self { fitting, mut tried, notes, .. } = self;
        let taken: Vec<&Candidate<'c>> = picked.iter().filter_map(|at| fitting.get(*at)).collect();
        let pools: BTreeMap<usize, &StorPoolName> = taken.iter().map(|one| (one.seat, &one.pool.name)).collect();
        let last = picked.last().copied();
        let mut next = picked.iter().peekable();
        for (at, one) in fitting.iter().enumerate() {
            if next.next_if_eq(&&at).is_some() {
                continue;
            }
            let why = match pools.get(&one.seat) {
                Some(pool) => Refusal::OtherPool((*pool).clone()),
                None if last.is_none_or(|last| at > last) => Refusal::Outranked,
                None => rules.clash(one, &taken).unwrap_or(Refusal::NotTogether),
            };
            one.fell_out(&mut tried, why);
        }
        let chosen = taken.iter().map(|one| Chosen {
            node: one.node.name.clone(),
            pool: one.pool.clone(),
            free: one.space.estimate,
            score: one.score,
            convert: one.convert,
        });
        let mut chosen: Vec<Chosen> = chosen.collect();
        chosen.sort_by(|a, b| a.node.cmp(&b.node));
        Placement { total: chosen.iter().map(|one| one.score).sum(), chosen, tried: tried.into_iter().flatten().collect(), notes }
    }

    /// Why each place was not taken, where none was.
    pub(super) fn none(self) -> Vec<Tried> {
        let mut tried = self.tried;
        self.fitting.iter().for_each(|one| one.fell_out(&mut tried, Refusal::NotTogether));
        tried.into_iter().flatten().collect()
    }
}

impl Candidate<'_> {
    fn fell_out(&self, tried: &mut [Option<Tried>], why: Refusal) {
        let Some(slot) = tried.get_mut(self.turn) else { return };
        *slot = Some(Tried {
            node: self.node.name.clone(),
            pool: Some(self.pool.name.clone()),
            why,
            free: Some(self.space.estimate),
            score: Some(self.score),
        });
    }
}

fn listed(list: Option<&Vec<String>>, name: &str) -> bool {
    list.filter(|names| !names.is_empty()).is_none_or(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name)))
}

/// The names of a list, asked for one after the other.
struct Names<'r> {
    sorted: Vec<&'r str>,
    next: usize,
}

impl<'r> Names<'r> {
    /// `None`: the list names nothing, so that all are meant. A text that is no name matches nothing.
    fn new(list: Option<&'r Vec<String>>) -> Option<Self> {
        let list = list.filter(|names| !names.is_empty())?;
        let mut sorted: Vec<&str> = list.iter().map(String::as_str).collect();
        sorted.sort_by(|a, b| compare(a, b));
        Some(Self { sorted, next: 0 })
    }

    /// Whether it is named. Cheapest in the order of names.
    fn has(&mut self, name: &str) -> bool {
        let at = |at: usize| self.sorted.get(at).map(|one| compare(one, name));
        let mut next = self.next;
        while at(next) == Some(Ordering::Less) {
            next += 1;
        }
        let found = match at(next) {
            Some(Ordering::Equal) => true,
            // Behind the name already: it is looked for from the beginning.
            Some(Ordering::Greater) | None if next == self.next && next > 0 => {
                self.sorted.binary_search_by(|one| compare(one, name)).is_ok()
            }
            Some(Ordering::Less | Ordering::Greater) | None => false,
        };
        self.next = next;
        found
    }
}

fn leaving(node: &Node) -> Result<(), Refusal> {
    match [NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete].into_iter().find(|flag| node.flags.has(*flag)) {
        Some(flag) => Err(Refusal::Leaving(flag.word())),
        None => Ok(()),
    }
}

fn online(seen: Option<&NodeSeen>) -> Result<(), Refusal> {
    match seen.map_or(ConnectionStatus::Offline, |seen| seen.status) {
        ConnectionStatus::Online => Ok(()),
        status => Err(Refusal::NotOnline(status)),
    }
}

/// Whether a node may take a replica of any kind: there, staying, asked for.
///
/// # Errors
/// Why not.
pub fn node_fits(observed: &Observed, node: &Node, filter: &SelectFilter) -> Result<(), Refusal> {
    if !listed(filter.node_name_list.as_ref(), node.name.as_str()) {
        return Err(Refusal::NodeNotListed);
    }
    leaving(node)?;
    online(observed.nodes.get(&node.name).map(AsRef::as_ref))
}

/// The nodes with resources that must not be beside the new ones, in the order of their names, each with the first of these.
fn shunned<'c>(cluster: &'c Cluster, filter: &SelectFilter) -> Result<Vec<(&'c NodeName, &'c ResourceName)>, PlaceError> {
    let mut nodes = Vec::new();
    let mut shun = |name: &'c ResourceName, replicas: &'c OrdMap<NodeName, Arc<Resource>>| {
        nodes.extend(replicas.keys().map(|node| (node, name)));
    };
    for name in filter.not_place_with_rsc.iter().flatten().filter_map(|text| ResourceName::parse(text).ok()) {
        cluster.resources.get_key_value(&name).into_iter().for_each(|(name, replicas)| shun(name, replicas));
    }
    if let Some(text) = filter.not_place_with_rsc_regex.as_ref().filter(|text| !text.is_empty()) {
        let regex = expression(text)?;
        // A rule about names of resources has to look at them all.
        cluster.resources.iter().filter(|(name, _)| regex.is_match(name.as_str())).for_each(|(name, replicas)| shun(name, replicas));
    }
    // A stable order: the first resource of a node stays the first.
    nodes.sort_by_key(|(node, _)| *node);
    nodes.dedup_by(|(later, _), (first, _)| later == first);
    Ok(nodes)
}

/// Compiles `not_place_with_rsc_regex`.
fn expression(text: &str) -> Result<regex::Regex, PlaceError> {
    let shown = || text.chars().take(64).collect::<String>();
    let length = text.chars().count();
    if length > REGEX_LONGEST {
        return Err(PlaceError::BadRegex {
            text: shown(),
            why: format!("it has {length} characters, at most {REGEX_LONGEST} are allowed"),
        });
    }
    let built = RegexBuilder::new(text).case_insensitive(true).size_limit(REGEX_LIMIT).dfa_size_limit(REGEX_LIMIT).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            PlaceError::BadRegex { text: shown(), why: "it is too large: its repetitions or classes grow into too many states".to_owned() }
        }
        error => PlaceError::BadRegex { text: shown(), why: error.to_string() },
    })
}

/// Checks `not_place_with_rsc_regex` as placement does.
///
/// # Errors
/// [`PlaceError::BadRegex`].
pub fn check_expression(text: &str) -> Result<(), PlaceError> {
    expression(text).map(|_| ())
}

/// Looks things up in an ordered map for keys that come in its order: one walk for all.
struct Along<I: Iterator>(Peekable<I>);

impl<K, V: Copy, I: Iterator<Item = (K, V)>> Along<I> {
    fn new(iter: impl IntoIterator<IntoIter = I>) -> Self {
        Self(iter.into_iter().peekable())
    }

    /// What is at the key for which `order` says that a key is equal to it.
    fn get(&mut self, order: impl Fn(&K) -> Ordering) -> Option<V> {
        loop {
            match order(&self.0.peek()?.0) {
                Ordering::Less => self.0.next(),
                Ordering::Equal => return self.0.peek().map(|(_, value)| *value),
                Ordering::Greater => return None,
            };
        }
    }
}

/// What is the same for every node and pool of one request.
struct Judge<'r, 'c, U: Iterator> {
    request: &'r Request<'r>,
    rules: &'r Rules,
    mixing: Mixing<'c>,
    kind: Kind,
    nodes: Option<Names<'r>>,
    pools: Option<Names<'r>>,
    kinds: Option<&'r [ProviderKind]>,
    /// `AutoplaceTarget` of a node that says nothing itself.
    target: Option<bool>,
    cluster: &'c Cluster,
    replicas: Option<&'c OrdMap<NodeName, Arc<Resource>>>,
    layers: &'r [LayerKind],
    stack: &'r [LayerKind],
    geometry: sizes::DrbdGeometry,
    thin: ThinFree<'c>,
    ledger: Ledger<'c>,
    /// What lies in each pool.
    uses: Along<U>,
    /// What all volumes need in a pool of this extent, as far as it was asked for.
    needs: BTreeMap<Kib, Result<Kib, sizes::SizeError>>,
}

/// Judges every node and pool of the cluster, in the order of their names.
pub(super) fn candidates<'c>(
    cluster: &'c Cluster,
    observed: &'c Observed,
    request: &Request<'_>,
    (rules, mixing): (&Rules, Mixing<'c>),
    kind: Kind,
) -> Result<Found<'c>, PlaceError> {
    let filter = request.filter;
    let pools = match kind {
        Kind::Diskful => filter.storage_pool_list.as_ref(),
        Kind::Diskless => filter.storage_pool_diskless_list.as_ref(),
    };
    let group =
        request.group.or_else(|| request.definition.and_then(|definition| cluster.groups.get(&definition.group)).map(AsRef::as_ref));
    let mut found = Found::default();
    let mut judge = Judge {
        request,
        rules,
        mixing,
        kind,
        nodes: Names::new(filter.node_name_list.as_ref()),
        pools: Names::new(pools),
        kinds: filter.provider_list.as_deref().filter(|kinds| !kinds.is_empty()),
        target: Chain::new().with(Source::Controller, &cluster.controller.props).get_bool(AUTOPLACE_TARGET),
        cluster,
        replicas: request.definition.and_then(|definition| cluster.resources.get(&definition.name)),
        layers: layers_there(request.layers, kind),
        stack: if request.layers.is_empty() { stack::PLAIN } else { request.layers },
        geometry: sizes::DrbdGeometry::with_peers(request.peers),
        thin: ThinFree::new(cluster, request.definition, group, &mut found.notes),
        ledger: Ledger::new(cluster, observed),
        uses: Along::new(cluster.pool_uses()),
        needs: BTreeMap::new(),
    };
    // Twice as many pools as nodes are usual: what holds them grows little then.
    found.fitting.reserve(cluster.nodes.len().saturating_mul(2));
    found.tried.reserve(cluster.nodes.len().saturating_mul(2));
    let shunned = shunned(cluster, filter)?;
    let mut beside = Along::new(shunned);
    let mut seen = Along::new(&observed.nodes);
    let mut pools_of = Along::new(&cluster.pools);
    let mut values = Vec::new();
    for node in cluster.nodes.values() {
        let seen = seen.get(|name| (*name).cmp(&node.name)).map(|seen| seen.as_ref());
        let pools = pools_of.get(|name| (*name).cmp(&node.name));
        let fits = judge.node(node, seen, beside.get(|name| (*name).cmp(&node.name))).and_then(|convert| {
            rules.values(node, &mut values);
            rules.judge(node, &values).map(|()| (convert, found.classes.of(&values)))
        });
        let (convert, classes) = match fits {
            Ok(fits) => fits,
            Err(why) => {
                found.drop_out(node, None, why);
                continue;
            }
        };
        let seat = found.tried.len();
        for pool in pools.into_iter().flat_map(OrdMap::values) {
            if (pool.provider == ProviderKind::Diskless) != (kind == Kind::Diskless) {
                continue;
            }
            match judge.pool(node, seen, pool) {
                Ok((space, resources)) => {
                    let (turn, throughput, score, classes) = (found.tried.len(), 0, Score::default(), classes.clone());
                    let kind = judge.mixing.kind(&node.name, pool.provider);
                    found.fitting.push(Candidate { turn, seat, node, classes, pool, kind, space, resources, throughput, convert, score });
                    found.tried.push(None);
                }
                Err(why) => found.drop_out(node, Some(pool), why),
            }
        }
        if found.tried.len() == seat {
            found.drop_out(node, None, Refusal::NoPool);
        }
    }
    Ok(found)
}

/// The layers that the node of a replica has to do: of a stack with NVMe those from there down carry the data, and a diskless
/// replica needs those down to what brings it the data.
fn layers_there(stack: &[LayerKind], kind: Kind) -> &[LayerKind] {
    let nvme = stack.iter().position(|layer| *layer == LayerKind::Nvme);
    let drbd = stack.iter().position(|layer| *layer == LayerKind::Drbd);
    match kind {
        Kind::Diskful => nvme.and_then(|at| stack.get(at..)).unwrap_or(stack),
        Kind::Diskless => drbd.or(nvme).and_then(|at| stack.get(..=at)).unwrap_or(stack),
    }
}

impl<'c, U: Iterator<Item = (&'c (NodeName, StorPoolName), &'c PoolUse)>> Judge<'_, 'c, U> {
    /// Judges a node with a resource on it that must not be beside, but for the rules; whether it has a diskless replica that is to get
    /// a disk.
    fn node(&mut self, node: &Node, seen: Option<&NodeSeen>, beside: Option<&ResourceName>) -> Result<bool, Refusal> {
        if self.nodes.as_mut().is_some_and(|nodes| !nodes.has(node.name.as_str())) {
            return Err(Refusal::NodeNotListed);
        }
        leaving(node)?;
        online(seen)?;
        if self.request.exclude.contains(&node.name) {
            return Err(Refusal::Excluded);
        }
        let target = if node.props.contains(AUTOPLACE_TARGET) {
            let chain = Chain::new().with(Source::Node, &node.props).with(Source::Controller, &self.cluster.controller.props);
            chain.get_bool(AUTOPLACE_TARGET)
        } else {
            self.target
        };
        if target == Some(false) {
            return Err(Refusal::NotTarget);
        }
        let replica = self.replicas.and_then(|replicas| replicas.get(&node.name));
        let convert = replica.is_some_and(|replica| self.converts(replica));
        if replica.is_some() && !convert {
            return Err(Refusal::Occupied);
        }
        if let Some(resource) = beside {
            return Err(Refusal::Beside(resource.to_string()));
        }
        if let Some(able) = seen.and_then(|seen| seen.capabilities.as_deref())
            && let Some((kind, why)) = stack::lacking(self.layers, able).into_iter().next()
        {
            return Err(Refusal::LacksLayer(kind, why));
        }
        Ok(convert)
    }

    /// Whether a disk can be given to a replica that is there.
    fn converts(&self, replica: &Resource) -> bool {
        (self.request.convert || crate::tiebreaker::is_tie(replica))
            && self.kind == Kind::Diskful
            && replica.flags.has(ResourceFlag::Diskless)
            && !replica.flags.has(ResourceFlag::Delete)
            && replica.layers.contains(&LayerKind::Drbd)
    }

    /// Judges a pool of a node that fits; its space, and the replicas that count for its score.
    fn pool(&mut self, node: &Node, seen: Option<&NodeSeen>, pool: &Arc<StorPool>) -> Result<(Space, u64), Refusal> {
        if self.pools.as_mut().is_some_and(|pools| !pools.has(pool.name.as_str())) {
            return Err(Refusal::PoolNotListed);
        }
        if self.kind == Kind::Diskless {
            let there = u64::try_from(self.cluster.count_on(&node.name)).unwrap_or(u64::MAX);
            return Ok((Space::default(), there));
        }
        if self.kinds.is_some_and(|kinds| !kinds.contains(&pool.provider)) {
            return Err(Refusal::Provider(pool.provider));
        }
        if pool.props.get_bool(AUTOPLACE_TARGET) == Some(false) {
            return Err(Refusal::NotTarget);
        }
        self.rules.judge_pool(pool, self.mixing.kind(&pool.node, pool.provider))?;
        let used = self.uses.get(|(node, name)| node.cmp(&pool.node).then_with(|| name.cmp(&pool.name))).copied().unwrap_or_default();
        let space = self.ledger.space(pool, seen.and_then(|seen| seen.pools.get(&pool.name)).map(|record| &record.seen), used)?;
        let needed = self.needed(space.extent)?;
        // A pool without any space is no place, not even for a definition that has no volumes yet.
        if space.estimate < needed || space.estimate == Kib(0) {
            return Err(Refusal::NoSpace { free: space.estimate, needed });
        }
        self.thin.judge(node, pool, &space)?;
        Ok((space, used.resources))
    }

    /// What all volumes of a replica need together.
    fn needed(&mut self, extent: Kib) -> Result<Kib, Refusal> {
        let (volumes, stack, geometry) = (&self.request.volumes, self.stack, self.geometry);
        let sum = || {
            let mut needed = Kib(0);
            for volume in volumes {
                needed = needed.saturating_add(sizes::backing_size(volume.size, volume.gross, stack, extent, geometry)?.backing);
            }
            Ok(needed)
        };
        self.needs.entry(extent).or_insert_with(sum).clone().map_err(Refusal::Size)
    }
}
