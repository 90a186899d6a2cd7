//! Resource groups and volume groups.

use berth_api::group::{AutoSelectFilter, ResourceGroup as GroupDocument, VolumeGroup as VolumeGroupDocument};
use berth_model::names::VolumeNumber;
use berth_model::objects::{ResourceGroup, SelectFilter, VolumeGroup};

/// A select filter: only the members that the API shows.
pub fn filter(filter: &SelectFilter) -> AutoSelectFilter {
    let pools = filter.storage_pool_list.clone().unwrap_or_default();
    AutoSelectFilter {
        place_count: filter.place_count,
        storage_pool: (pools.len() == 1).then(|| pools[0].clone()),
        storage_pool_list: pools,
        not_place_with_rsc: filter.not_place_with_rsc.clone().unwrap_or_default(),
        not_place_with_rsc_regex: filter.not_place_with_rsc_regex.clone().unwrap_or_default(),
        replicas_on_same: filter.replicas_on_same.clone().unwrap_or_default(),
        replicas_on_different: filter.replicas_on_different.clone().unwrap_or_default(),
        x_replicas_on_different_map: filter.x_replicas_on_different_map.clone().unwrap_or_default(),
        layer_stack: filter.layer_stack.iter().flatten().map(|layer| layer.word()).collect(),
        provider_list: filter.provider_list.iter().flatten().map(|kind| kind.word()).collect(),
        diskless_on_remaining: filter.diskless_on_remaining,
    }
}

/// A resource group.
pub fn group(group: &ResourceGroup) -> GroupDocument {
    GroupDocument {
        name: group.name.to_string(),
        description: group.description.clone(),
        props: super::props(&group.props),
        select_filter: filter(&group.filter),
        uuid: group.id.to_string(),
    }
}

/// A volume group.
pub fn volume_group(number: VolumeNumber, group: &VolumeGroup) -> VolumeGroupDocument {
    VolumeGroupDocument {
        volume_number: number.get(),
        props: super::props(&group.props),
        flags: group.flags.shown(),
        uuid: group.id.to_string(),
    }
}
