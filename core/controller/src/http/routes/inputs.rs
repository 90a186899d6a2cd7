//! From documents to the parts of commands. Judges nothing.

use berth_api::group::AutoSelectFilterIn;
use berth_api::lenient::{int, plain, text, texts, truth};
use berth_api::node::{NetInterfaceIn, PropsModify};
use berth_engine::command::{FilterRequest, NetIfInput};
use berth_model::objects::SelectFilter;
use berth_model::props::PropChange;

/// A change of properties.
pub fn change(modify: PropsModify) -> PropChange {
    PropChange {
        override_props: plain(modify.override_props),
        delete_props: texts(modify.delete_props).unwrap_or_default().into_iter().collect(),
        delete_namespaces: texts(modify.delete_namespaces).unwrap_or_default().into_iter().collect(),
    }
}

/// A net interface.
pub fn interface(input: NetInterfaceIn) -> NetIfInput {
    NetIfInput {
        name: text(input.name).unwrap_or_default(),
        address: text(input.address),
        satellite_port: int(input.satellite_port),
        satellite_encryption_type: text(input.satellite_encryption_type),
        is_active: truth(input.is_active),
    }
}

fn count(value: Option<berth_api::lenient::Int>) -> Option<i32> {
    int(value).map(|value| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX }))
}

/// A select filter; the single pool of older clients is a list of one.
pub fn filter(input: Option<AutoSelectFilterIn>) -> FilterRequest {
    let input = input.unwrap_or_default();
    let single = text(input.storage_pool).filter(|pool| !pool.is_empty()).map(|pool| vec![pool]);
    FilterRequest {
        filter: SelectFilter {
            place_count: count(input.place_count),
            additional_place_count: count(input.additional_place_count),
            node_name_list: texts(input.node_name_list),
            storage_pool_list: texts(input.storage_pool_list).or(single),
            storage_pool_diskless_list: texts(input.storage_pool_diskless_list),
            not_place_with_rsc: texts(input.not_place_with_rsc),
            not_place_with_rsc_regex: text(input.not_place_with_rsc_regex),
            replicas_on_same: texts(input.replicas_on_same),
            replicas_on_different: texts(input.replicas_on_different),
            x_replicas_on_different_map: input
                .x_replicas_on_different_map
                .map(|map| map.into_iter().map(|(key, value)| (key, count(Some(value)).unwrap_or(0))).collect()),
            layer_stack: None,
            provider_list: None,
            diskless_on_remaining: truth(input.diskless_on_remaining),
            diskless_type: text(input.diskless_type),
            port_count: count(input.port_count),
        },
        layer_stack: texts(input.layer_stack),
        provider_list: texts(input.provider_list),
    }
}
