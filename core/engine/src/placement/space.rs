//! How much a pool may still promise.

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::objects::StorPool;
use berth_model::observed::Observed;
use berth_model::props::{Chain, MAX_FREE_OVERSUBSCRIPTION, MAX_OVERSUBSCRIPTION, MAX_TOTAL_OVERSUBSCRIPTION, Source};
use berth_model::reply::Reply;
use berth_model::size::Kib;

use super::Refusal;
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
    /// Promised to volumes.
    pub reserved: Kib,
    /// Unit of volume sizes.
    pub extent: Kib,
    /// What may still be promised.
    pub estimate: Kib,
}

fn times(size: Kib, ratio: f64) -> Kib {
    // Saturates; a KiB more or less past 2^53 KiB does not matter.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let product = (size.0 as f64 * ratio) as u64;
    Kib(product.min(MOST))
}

/// The space of a pool that can be used now.
///
/// # Errors
/// [`Refusal::Faulty`], [`Refusal::UnknownSpace`].
pub fn space(cluster: &Cluster, observed: &Observed, pool: &StorPool) -> Result<Space, Refusal> {
    let seen = observed.pool(&pool.node, &pool.name).ok_or(Refusal::UnknownSpace)?;
    if let Some(fault) = &seen.fault {
        return Err(Refusal::Faulty(fault.message.clone()));
    }
    let (Some(free), Some(total)) = (seen.free_kib, seen.total_kib) else { return Err(Refusal::UnknownSpace) };
    let reserved = cluster.pool_use(&pool.node, &pool.name).reserved;
    let ratios = ratios(cluster, pool);
    let by_free = times(free, ratios.free.unwrap_or(ratios.general));
    let by_total = times(total, ratios.total.unwrap_or(ratios.general)).saturating_sub(reserved);
    Ok(Space { free, total, reserved, extent: seen.extent_kib, estimate: by_free.min(by_total) })
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
