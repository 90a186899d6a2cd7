//! Questions about space: how large may a volume be, how much could a group still hold.

use std::collections::BTreeSet;

use berth_model::cluster::Cluster;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{ResourceGroup, SelectFilter, StorPool};
use berth_model::observed::Observed;
use berth_model::size::Kib;

use super::{PlaceError, Placement, Ratios, Request, VolumeWish, place, ratios, refusal, space};
use crate::draft::Refused;
use crate::{sizes, stack};

/// The largest volume that fits into pools of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxVolume {
    /// Name of the pools.
    pub pool: StorPoolName,
    /// Largest usable size, oversubscription included, a multiple of 4 KiB.
    pub max_kib: Kib,
    /// The nodes that placement would choose, by name.
    pub nodes: Vec<NodeName>,
    /// Whether all these pools are thin.
    pub all_thin: bool,
}

/// Where placement would put the next replicas of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnPlace {
    /// The node.
    pub node: NodeName,
    /// The pool.
    pub pool: StorPoolName,
    /// Its oversubscription.
    pub ratios: Ratios,
}

/// How much a group could still hold. All 0 and no place where it cannot place a single volume.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SizeInfo {
    /// Largest usable size of the next volume, oversubscription included.
    pub max_volume: Kib,
    /// Sum of what volumes with the group's number of replicas could take of the free space, without oversubscription.
    pub available: Kib,
    /// The same of the whole space.
    pub capacity: Kib,
    /// Where the next replicas would go, by node.
    pub next_spawn: Vec<SpawnPlace>,
}

/// The wanted number of replicas of a filter; nothing said: 1.
fn count(filter: &SelectFilter) -> usize {
    let additional = filter.additional_place_count.filter(|count| *count > 0);
    usize::try_from(additional.or(filter.place_count).unwrap_or(1)).unwrap_or(0).max(1)
}

/// The layers of a filter, or those that its nodes would get by default.
fn layers(cluster: &Cluster, observed: &Observed, filter: &SelectFilter) -> Vec<LayerKind> {
    match filter.layer_stack.as_ref().filter(|stack| !stack.is_empty()) {
        Some(stack) => stack.clone(),
        None if super::any_can(cluster, observed, filter, LayerKind::Drbd) => stack::REPLICATED.to_vec(),
        None => stack::PLAIN.to_vec(),
    }
}

fn try_place(
    cluster: &Cluster,
    observed: &Observed,
    ask: &Ask<'_>,
    filter: &SelectFilter,
    size: Option<Kib>,
) -> Result<Placement, (PlaceError, Refused)> {
    let volumes = size.map(|size| VolumeWish { size, gross: false }).into_iter().collect();
    let request = Request { volumes, ..Request::question(ask.group, filter, count(filter), ask.layers) };
    place(cluster, observed, &request).map_err(|error| {
        let refused = refusal(&error, &request);
        (error, refused)
    })
}

/// For whom a question is.
struct Ask<'a> {
    group: Option<&'a ResourceGroup>,
    layers: &'a [LayerKind],
}

/// The usable size that a pool can take.
fn usable(cluster: &Cluster, observed: &Observed, pool: &StorPool, free: Kib, layers: &[LayerKind]) -> Kib {
    let extent = space(cluster, observed, pool).map_or(Kib(0), |space| space.extent);
    let size = sizes::usable_size(free.round_down(extent), layers, sizes::DrbdGeometry::default()).round_down(Kib(4));
    // The metadata of a volume larger than any may be is no reason to promise less.
    if size < Kib::VOLUME_MIN { Kib(0) } else { size.min(Kib::VOLUME_MAX) }
}

/// The largest volume for which placement finds places now, and these places. 0: none, but a definition without volumes has places.
fn largest(cluster: &Cluster, observed: &Observed, ask: &Ask<'_>, filter: &SelectFilter) -> Result<(Kib, Placement), Refused> {
    let first = try_place(cluster, observed, ask, filter, None).map_err(|(_, refused)| refused)?;
    let sure = first.chosen.iter().map(|one| usable(cluster, observed, &one.pool, one.free, ask.layers)).min().unwrap_or_default();
    let next = Kib(sure.0.saturating_add(4)).max(Kib::VOLUME_MIN);
    if next > Kib::VOLUME_MAX || try_place(cluster, observed, ask, filter, Some(next)).is_err() {
        return Ok((sure, first));
    }
    // Other places take larger ones: weights or rules made these look better. What is sought is the size of one of them.
    let others = first.tried.iter().filter(|one| one.score.is_some());
    let others = others.filter_map(|one| Some((cluster.pool(&one.node, one.pool.as_ref()?)?, one.free?)));
    let all = others.chain(first.chosen.iter().map(|one| (&one.pool, one.free)));
    let sizes: BTreeSet<Kib> =
        all.map(|(pool, free)| usable(cluster, observed, pool, free, ask.layers)).filter(|size| *size >= next).collect();
    let sizes: Vec<Kib> = sizes.into_iter().collect();
    let (mut best, mut low, mut high) = ((sure, first), 0, sizes.len());
    while low < high {
        let middle = low.midpoint(high);
        let Some(size) = sizes.get(middle) else { break };
        match try_place(cluster, observed, ask, filter, Some(*size)) {
            Ok(placement) => {
                best = (*size, placement);
                low = middle + 1;
            }
            Err(_) => high = middle,
        }
    }
    Ok(best)
}

/// The largest volume for each name of pools (those of the filter, else all), in the order of their names. `group`: whose properties hold.
///
/// # Errors
/// 996 if no pool takes one, 985 or 234 for rules that cannot be kept or read.
pub fn query_max_volume_size(
    cluster: &Cluster,
    observed: &Observed,
    group: Option<&ResourceGroup>,
    filter: &SelectFilter,
) -> Result<Vec<MaxVolume>, Refused> {
    let layers = layers(cluster, observed, filter);
    let ask = Ask { group, layers: &layers };
    let listed = filter.storage_pool_list.as_ref().filter(|names| !names.is_empty());
    let wanted = |name: &StorPoolName| listed.is_none_or(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name.as_str())));
    let mut found = Vec::new();
    for name in cluster.pool_definitions.keys().filter(|name| wanted(name)) {
        let one = SelectFilter { storage_pool_list: Some(vec![name.to_string()]), ..filter.clone() };
        let Ok((max_kib, placement)) = largest(cluster, observed, &ask, &one) else { continue };
        found.push(MaxVolume {
            pool: name.clone(),
            max_kib,
            all_thin: placement.chosen.iter().all(|chosen| chosen.pool.provider.is_thin()),
            nodes: placement.chosen.into_iter().map(|chosen| chosen.node).collect(),
        });
    }
    if found.is_empty() {
        // Says why of all pools at once.
        try_place(cluster, observed, &ask, filter, None).map_err(|(_, refused)| refused)?;
    }
    Ok(found)
}

/// How much a group could still hold, with the fields of `over` in place of its own.
///
/// # Errors
/// 985 or 234 for rules that cannot be kept or read.
pub fn query_size_info(cluster: &Cluster, observed: &Observed, group: &ResourceGroup, over: &SelectFilter) -> Result<SizeInfo, Refused> {
    let mut filter = group.filter.overlaid(over);
    filter.place_count = filter.place_count.or(Some(crate::groups::DEFAULT_PLACE_COUNT));
    let layers = layers(cluster, observed, &filter);
    let ask = Ask { group: Some(group), layers: &layers };
    let placement = match try_place(cluster, observed, &ask, &filter, None) {
        Ok(placement) => placement,
        Err((PlaceError::TooFew { .. } | PlaceError::TooHard { .. }, _)) => return Ok(SizeInfo::default()),
        Err((PlaceError::Undecidable { .. } | PlaceError::BadRegex { .. } | PlaceError::Contradiction(_), refused)) => return Err(refused),
    };
    let (max_volume, _) = largest(cluster, observed, &ask, &filter)?;
    let replicas = count(&filter);
    let (mut free, mut total) = (Vec::new(), Vec::new());
    let mut spaces = std::collections::BTreeSet::new();
    let others = placement.tried.iter().filter(|one| one.score.is_some());
    let fitting = others
        .filter_map(|one| cluster.pool(&one.node, one.pool.as_ref()?))
        .chain(placement.chosen.iter().map(|chosen| &chosen.pool))
        .filter(|pool| pool.provider != ProviderKind::Diskless);
    for pool in fitting {
        let fresh = pool.shared_space.as_ref().is_none_or(|name| spaces.insert(name.as_str().to_ascii_uppercase()));
        if let (true, Ok(space)) = (fresh, space(cluster, observed, pool)) {
            free.push(space.free);
            total.push(space.total);
        }
    }
    Ok(SizeInfo {
        max_volume,
        available: filled(free, replicas),
        capacity: filled(total, replicas),
        next_spawn: placement
            .chosen
            .iter()
            .map(|chosen| SpawnPlace { node: chosen.node.clone(), pool: chosen.pool.name.clone(), ratios: ratios(cluster, &chosen.pool) })
            .collect(),
    })
}

/// How much data fits into pools of these sizes if each piece lies in `replicas` of them: while there are enough pools, a piece as large as
/// the smallest of the `replicas` largest is put into these.
fn filled(mut sizes: Vec<Kib>, replicas: usize) -> Kib {
    let mut sum = Kib(0);
    loop {
        sizes.retain(|size| *size > Kib(0));
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let Some(largest) = replicas.checked_sub(1).and_then(|last| sizes.get(..=last)) else { return sum };
        let piece = largest.last().copied().unwrap_or_default();
        sum = sum.saturating_add(piece);
        for size in sizes.iter_mut().take(replicas) {
            *size = size.saturating_sub(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_fill_pools() {
        let check = |sizes: &[u64], replicas, expect| assert_eq!(filled(sizes.iter().map(|n| Kib(*n)).collect(), replicas), Kib(expect));
        check(&[], 1, 0);
        check(&[10], 2, 0);
        check(&[10, 4], 1, 14);
        check(&[10, 4], 2, 4);
        check(&[10, 10, 4], 2, 10);
        check(&[5, 5, 5, 5], 2, 10);
        check(&[1, 2, 3], 0, 0);
    }
}
