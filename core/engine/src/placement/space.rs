//! How much a pool may still promise.

use std::collections::BTreeMap;

use berth_model::cluster::{Cluster, PoolUse, Unsettled};
use berth_model::codes::Code;
use berth_model::names::StorPoolName;
use berth_model::objects::StorPool;
use berth_model::observed::{Observed, PoolSeen};
use berth_model::props::{Chain, MAX_FREE_OVERSUBSCRIPTION, MAX_OVERSUBSCRIPTION, MAX_TOTAL_OVERSUBSCRIPTION, Source};
use berth_model::reply::Reply;
use berth_model::size::Kib;

use super::{Refusal, rules};
use crate::draft::Refused;

/// How many times its space a thin pool promises where nothing else is said.
pub const DEFAULT_OVERSUBSCRIPTION: f64 = 20.0;
/// No estimate is larger: the API's numbers are signed.
const MOST: u64 = i64::MAX.cast_unsigned();

/// The oversubscription ratios of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratios {
    /// What holds where one of the others is unset: the property, 20 for a thin pool, 1 for another.
    pub general: f64,
    /// Of the free space, where it is set.
    pub free: Option<f64>,
    /// Of the whole space, where it is set.
    pub total: Option<f64>,
}

/// The oversubscription ratios of a pool (pool, its definition, controller). A pool that is not thin promises what it has.
#[must_use]
pub fn ratios(cluster: &Cluster, pool: &StorPool) -> Ratios {
    if !pool.provider.is_thin() {
        return Ratios { general: 1.0, free: None, total: None };
    }
    let chain = Chain::new()
        .with(Source::StorPool, &pool.props)
        .with_some(Source::StorPoolDfn, cluster.pool_definitions.get(&pool.name).map(|definition| &definition.props))
        .with(Source::Controller, &cluster.controller.props);
    let read = |key| chain.get(key).and_then(|text| text.parse::<f64>().ok()).filter(|ratio| ratio.is_finite() && *ratio >= 0.0);
    Ratios {
        general: read(MAX_OVERSUBSCRIPTION).unwrap_or(DEFAULT_OVERSUBSCRIPTION),
        free: read(MAX_FREE_OVERSUBSCRIPTION),
        total: read(MAX_TOTAL_OVERSUBSCRIPTION),
    }
}

/// The space of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Space {
    /// Free, as seen.
    pub free: Kib,
    /// All, as seen.
    pub total: Kib,
    /// Promised to volumes; of a shared space those of all its pools.
    pub reserved: Kib,
    /// Of that, what volumes which are being made, filled or enlarged have not taken yet.
    pub pending: Kib,
    /// Unit of volume sizes.
    pub extent: Kib,
    /// What may still be promised.
    pub estimate: Kib,
}

/// So many times a size. Exact to a part in 10⁹ of the ratio, so that more space never is less.
fn times(size: Kib, ratio: f64) -> Kib {
    // Ratios go from 0 to 1000; what is above saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let billionths = (ratio * 1e9).round() as u64;
    let product = u128::from(size.0).saturating_mul(u128::from(billionths)) / 1_000_000_000;
    Kib(u64::try_from(product).unwrap_or(MOST).min(MOST))
}

/// The space of a pool that can be used now.
///
/// What may still be promised is the less of: the free space times its ratio, and the whole space times its ratio less what is promised
/// (REST API v1, autoplacer, free space). A pool that is not thin has no free space for what is on its way into it.
/// Copies of snapshots count by the space that they take of what is free: satellites do not tell the size of a copy.
///
/// # Errors
/// [`Refusal::Faulty`], [`Refusal::UnknownSpace`].
pub fn space(cluster: &Cluster, observed: &Observed, pool: &StorPool) -> Result<Space, Refusal> {
    let sums = match rules::space_of(pool) {
        Some(name) => shared_sums(cluster, observed, &name),
        None => own_sums(observed, pool, cluster.pool_use(&pool.node, &pool.name), cluster.unsettled(&pool.node, &pool.name)),
    };
    judged(pool, observed.pool(&pool.node, &pool.name), sums, ratios(cluster, pool))
}

/// What is promised, and what of it is on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    reserved: Kib,
    pending: Kib,
}

fn own_sums<'a>(observed: &Observed, pool: &StorPool, used: PoolUse, unsettled: impl Iterator<Item = &'a Unsettled>) -> Sums {
    let pending = unsettled.map(|volume| {
        let seen =
            observed.item(&pool.node, volume.item).and_then(|record| record.seen.volumes.iter().find(|one| one.number == volume.number));
        volume.size.saturating_sub(seen.map_or(Kib(0), |seen| seen.allocated_kib))
    });
    Sums { reserved: used.reserved, pending: pending.fold(Kib(0), Kib::saturating_add) }
}

/// The sums of all pools of a shared space.
fn shared_sums(cluster: &Cluster, observed: &Observed, name: &str) -> Sums {
    let pools = cluster.pools.values().flat_map(|pools| pools.values()).filter(|pool| rules::space_of(pool).as_deref() == Some(name));
    pools.fold(Sums::default(), |sums, pool| {
        let one = own_sums(observed, pool, cluster.pool_use(&pool.node, &pool.name), cluster.unsettled(&pool.node, &pool.name));
        Sums { reserved: sums.reserved.saturating_add(one.reserved), pending: sums.pending.saturating_add(one.pending) }
    })
}

fn judged(pool: &StorPool, seen: Option<&PoolSeen>, sums: Sums, ratios: Ratios) -> Result<Space, Refusal> {
    let seen = seen.ok_or(Refusal::UnknownSpace)?;
    if let Some(fault) = &seen.fault {
        return Err(Refusal::Faulty(fault.message.clone()));
    }
    let (Some(free), Some(total)) = (seen.free_kib, seen.total_kib) else { return Err(Refusal::UnknownSpace) };
    let Sums { reserved, pending } = sums;
    let there = if pool.provider.is_thin() { free } else { free.saturating_sub(pending) };
    let by_free = times(there, ratios.free.unwrap_or(ratios.general));
    let by_total = times(total, ratios.total.unwrap_or(ratios.general)).saturating_sub(reserved);
    Ok(Space { free, total, reserved, pending, extent: seen.extent_kib, estimate: by_free.min(by_total) })
}

/// The spaces of many pools, asked for in the order of nodes and pools: what several have in common is looked up once.
pub(super) struct Ledger<'c> {
    cluster: &'c Cluster,
    observed: &'c Observed,
    ratios: BTreeMap<StorPoolName, Ratios>,
    shared: BTreeMap<String, Sums>,
}

impl<'c> Ledger<'c> {
    pub(super) fn new(cluster: &'c Cluster, observed: &'c Observed) -> Self {
        Self { cluster, observed, ratios: BTreeMap::new(), shared: BTreeMap::new() }
    }

    /// As [`space`], of a pool of which it is known how it was seen, and what lies in it.
    pub(super) fn space(&mut self, pool: &StorPool, seen: Option<&PoolSeen>, used: PoolUse) -> Result<Space, Refusal> {
        let (cluster, observed) = (self.cluster, self.observed);
        let sums = match rules::space_of(pool) {
            Some(name) => *self.shared.entry(name.clone()).or_insert_with(|| shared_sums(cluster, observed, &name)),
            None if used.unsettled == 0 => Sums { reserved: used.reserved, pending: Kib(0) },
            None => own_sums(observed, pool, used, cluster.unsettled(&pool.node, &pool.name)),
        };
        let own = !pool.props.is_empty()
            && [MAX_OVERSUBSCRIPTION, MAX_FREE_OVERSUBSCRIPTION, MAX_TOTAL_OVERSUBSCRIPTION].iter().any(|key| pool.props.contains(key));
        let ratios = match self.ratios.get(&pool.name) {
            _ if own || !pool.provider.is_thin() => ratios(cluster, pool),
            Some(ratios) => *ratios,
            None => *self.ratios.entry(pool.name.clone()).or_insert(ratios(cluster, pool)),
        };
        judged(pool, seen, sums, ratios)
    }
}

/// Refuses a volume of `size` more in a pool that has all its space for real and lacks it. Unknown space passes: the satellite will tell.
///
/// # Errors
/// 980.
pub fn room_for(cluster: &Cluster, observed: &Observed, pool: &StorPool, size: Kib) -> Result<(), Refused> {
    if pool.provider.is_thin() || !pool.provider.has_storage() || size == Kib(0) {
        return Ok(());
    }
    match space(cluster, observed, pool) {
        Ok(space) if space.estimate < size => Err(Reply::new(
            Code::FAIL_NOT_ENOUGH_FREE_SPACE,
            format!("Storage pool '{}' on node '{}' has no room for {size}.", pool.name, pool.node),
        )
        .cause(format!("{} are free of {}, and {} are promised to volumes.", space.free, space.total, space.reserved))
        .correction("Choose another pool, enlarge this one, or delete volumes in it.")
        .into()),
        Ok(_) | Err(_) => Ok(()),
    }
}
