//! Room for what was lost: the replicas that went with nodes, placed anew on the others by the one placer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::objects::{Resource, ResourceDefinition, SelectFilter, StorPool};
use berth_model::observed::Observed;
use berth_model::size::Kib;

use super::Capped;
use crate::placement::{self, PlaceError, Refusal, Request, Tried};

/// Work of all placements together, in pools and nodes judged: bounds an answer to about a second.
const MOST_WORK: usize = 1_000_000;
/// But so many places are looked for in any cluster.
const LEAST_PLACED: usize = 100;
/// Most reasons that are told of a resource without a place.
const MOST_REASONS: usize = 5;

/// A pool that would hold too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAfter {
    /// Node.
    pub node: NodeName,
    /// Pool.
    pub pool: StorPoolName,
    /// Whether it is thin.
    pub thin: bool,
    /// Free space now.
    pub free: Kib,
    /// Whole space.
    pub total: Kib,
    /// Promised to volumes now.
    pub promised: Kib,
    /// What would come to it.
    pub added: Kib,
    /// By how much that is more than it may promise (free space, oversubscription); 0: it is not.
    pub over: Kib,
    /// What would be missing if all volumes filled up; 0: nothing.
    pub short_if_full: Kib,
}

/// A resource that lost replicas for which there is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// The resource.
    pub resource: ResourceName,
    /// So many replicas.
    pub replicas: usize,
    /// Whether only space is missing.
    pub no_space: bool,
    /// Why places fell out, one sentence each; not all of them.
    pub reasons: Vec<String>,
}

/// What came of placing everything anew.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) replicas: usize,
    pub(super) pools: Capped<PoolAfter>,
    pub(super) unplaced: Capped<Unplaced>,
    pub(super) not_tried: usize,
}

/// The cluster as it would be, and what was put where.
struct World {
    cluster: Cluster,
    observed: Observed,
    added: BTreeMap<(NodeName, StorPoolName), Kib>,
    over: BTreeMap<(NodeName, StorPoolName), Kib>,
}

/// Places the disks that would go with `gone` anew, resource by resource in the order of their names.
pub(super) fn placed_anew(cluster: &Cluster, observed: &Observed, gone: &BTreeSet<NodeName>) -> After {
    let lost: Vec<&Arc<Resource>> = gone.iter().flat_map(|node| cluster.resources_on(node)).filter(|replica| is_disk(replica)).collect();
    let mut after = After { replicas: lost.len(), ..After::default() };
    let mut world = World { cluster: cluster.clone(), observed: observed.clone(), added: BTreeMap::new(), over: BTreeMap::new() };
    let mut changes = Vec::new();
    for node in gone {
        world.observed.nodes.remove(node);
        changes.extend(cluster.resources_on(node).map(|replica| Change::Delete(Key::Resource(replica.name.clone(), node.clone()))));
        changes.push(Change::Delete(Key::Node(node.clone())));
    }
    world.cluster.fold(&changes);
    let mut by_name: BTreeMap<&ResourceName, Vec<&Arc<Resource>>> = BTreeMap::new();
    lost.into_iter().for_each(|replica| by_name.entry(&replica.name).or_default().push(replica));
    let breadth = cluster.nodes.len() + cluster.pools.values().map(|pools| pools.len()).sum::<usize>();
    let (mut work, mut looked) = (0usize, 0usize);
    for (name, replicas) in by_name {
        let Some(definition) = cluster.definitions.get(name) else { continue };
        if work > MOST_WORK && looked > LEAST_PLACED {
            after.not_tried += replicas.len();
            continue;
        }
        // A rule about the names of other resources looks at all of them.
        let by_names = cluster.groups.get(&definition.group).is_some_and(|group| group.filter.not_place_with_rsc_regex.is_some());
        let each = breadth + if by_names { cluster.resources.len() } else { 0 };
        // Together once, and one by one if that does not work.
        work = work.saturating_add(each.saturating_mul(replicas.len() + 1));
        looked += replicas.len();
        if let Some(unplaced) = world.place(definition, &replicas, observed) {
            after.unplaced.push(unplaced);
        }
    }
    after.pools = world.pools(cluster, observed);
    after
}

fn is_disk(replica: &Resource) -> bool {
    ![ResourceFlag::Delete, ResourceFlag::Diskless].iter().any(|flag| replica.flags.has(*flag))
}

/// What a replica's volumes really take: as seen, or as another replica was seen, or all of it.
fn taken(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Kib {
    let seen = |one: &Resource| {
        let record = observed.item(&one.node, one.id.uuid())?;
        Some(record.seen.volumes.iter().map(|volume| volume.allocated_kib).sum::<Kib>())
    };
    let others = || cluster.replicas(&replica.name).filter(|one| is_disk(one)).filter_map(|one| seen(one)).max();
    seen(replica).or_else(others).unwrap_or_else(|| size_of(replica))
}

fn size_of(replica: &Resource) -> Kib {
    replica.volumes.values().map(|volume| volume.backing_kib).sum()
}

impl World {
    /// Places the lost replicas of one resource; answers what found no place.
    fn place(&mut self, definition: &ResourceDefinition, lost: &[&Arc<Resource>], observed: &Observed) -> Option<Unplaced> {
        let filter = self.cluster.groups.get(&definition.group).map(|group| group.filter.clone()).unwrap_or_default();
        if let Ok(places) = self.look(definition, &filter, lost, lost.len()) {
            for (replica, (node, pool)) in lost.iter().zip(places) {
                self.put(replica, &node, &pool, observed);
            }
            return None;
        }
        let mut unplaced = Unplaced { resource: definition.name.clone(), replicas: 0, no_space: true, reasons: Vec::new() };
        for replica in lost {
            let error = match self.look(definition, &filter, &[*replica], 1) {
                Ok(places) => {
                    for (node, pool) in places {
                        self.put(replica, &node, &pool, observed);
                    }
                    continue;
                }
                Err(error) => error,
            };
            unplaced.replicas += 1;
            let tried = match error {
                PlaceError::TooFew { tried, .. } | PlaceError::TooHard { tried, .. } => tried,
                other @ (PlaceError::Undecidable { .. } | PlaceError::BadRegex { .. } | PlaceError::Contradiction(_)) => {
                    unplaced.no_space = false;
                    unplaced.reasons = vec![other.to_string()];
                    break;
                }
            };
            unplaced.reasons = reasons(&tried);
            match self.roomiest(&tried) {
                // Where it would go if there was room: that pool is the one that overflows.
                Some((pool, over)) => {
                    let place = (pool.node.clone(), pool.name.clone());
                    let sum = self.over.entry(place).or_default();
                    *sum = sum.saturating_add(over);
                    self.put(replica, &pool.node.clone(), &pool, observed);
                }
                None => unplaced.no_space = false,
            }
        }
        (unplaced.replicas > 0).then_some(unplaced)
    }

    fn look(
        &self,
        definition: &ResourceDefinition,
        filter: &SelectFilter,
        lost: &[&Arc<Resource>],
        count: usize,
    ) -> Result<Vec<(NodeName, Arc<StorPool>)>, PlaceError> {
        let layers = lost.first().map_or(&[][..], |replica| replica.layers.as_slice());
        let request = Request::new(&self.cluster, definition, filter, count, layers);
        let placed = placement::place(&self.cluster, &self.observed, &request)?;
        Ok(placed.chosen.into_iter().map(|chosen| (chosen.node, chosen.pool)).collect())
    }

    /// Of the pools that only lack space the one with the most, and how much it lacks.
    fn roomiest(&self, tried: &[Tried]) -> Option<(Arc<StorPool>, Kib)> {
        let room = |one: &Tried| match &one.why {
            Refusal::NoSpace { free, needed } => {
                let pool = self.cluster.pool(&one.node, one.pool.as_ref()?)?;
                Some((*free, Arc::clone(pool), needed.saturating_sub(*free)))
            }
            _ => None,
        };
        let found = tried.iter().filter_map(room);
        found.reduce(|best, one| if one.0 > best.0 { one } else { best }).map(|(_, pool, over)| (pool, over))
    }

    /// Puts a replica into a pool: its size is promised, and what it holds takes space.
    fn put(&mut self, lost: &Resource, node: &NodeName, pool: &StorPool, observed: &Observed) {
        let mut replica = lost.clone();
        replica.node = node.clone();
        for volume in replica.volumes.values_mut() {
            volume.pool = pool.name.clone();
            volume.provider = pool.provider;
        }
        let size = size_of(&replica);
        let takes = if pool.provider.is_thin() { taken(&self.cluster, observed, lost) } else { size };
        self.cluster.fold([&Change::Put(Object::Resource(replica))]);
        let sum = self.added.entry((node.clone(), pool.name.clone())).or_default();
        *sum = sum.saturating_add(size);
        if let Some(seen) = self.observed.nodes.get_mut(node)
            && let Some(record) = Arc::make_mut(seen).pools.get_mut(&pool.name)
        {
            let record = Arc::make_mut(record);
            record.seen.free_kib = record.seen.free_kib.map(|free| free.saturating_sub(takes));
        }
    }

    /// The pools that would hold too much, the worst first.
    fn pools(&self, before: &Cluster, observed: &Observed) -> Capped<PoolAfter> {
        let mut all: Vec<PoolAfter> = Vec::new();
        for ((node, name), added) in &self.added {
            let Some(pool) = before.pool(node, name) else { continue };
            let Ok(space) = placement::space(before, observed, pool) else { continue };
            let over = self.over.get(&(node.clone(), name.clone())).copied().unwrap_or_default();
            let short = space.reserved.saturating_add(*added).saturating_sub(space.total);
            if over == Kib(0) && short == Kib(0) {
                continue;
            }
            all.push(PoolAfter {
                node: node.clone(),
                pool: name.clone(),
                thin: pool.provider.is_thin(),
                free: space.free,
                total: space.total,
                promised: space.reserved,
                added: *added,
                over,
                short_if_full: short,
            });
        }
        all.sort_by(|a, b| {
            (b.over, b.short_if_full).cmp(&(a.over, a.short_if_full)).then_with(|| (&a.node, &a.pool).cmp(&(&b.node, &b.pool)))
        });
        Capped::of(all)
    }
}

/// Why places fell out: lack of space first, as that is what can be mended.
fn reasons(tried: &[Tried]) -> Vec<String> {
    let by_space = |one: &&Tried| matches!(one.why, Refusal::NoSpace { .. });
    let ordered = tried.iter().filter(by_space).chain(tried.iter().filter(|one| !by_space(one)));
    let words = |one: &Tried| match &one.pool {
        Some(pool) => format!("{}, pool {pool}: {}", one.node, one.why),
        None => format!("{}: {}", one.node, one.why),
    };
    ordered.take(MOST_REASONS).map(words).collect()
}
