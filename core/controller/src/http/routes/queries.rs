//! Questions about space: how large may a volume be, how much could a group still hold. Answered from the published state, which is
//! always of now, so the age that a client would accept is not read.

use axum::response::Response;
use berth_api::group::AutoSelectFilterIn;
use berth_api::query::{AllSizeInfo, Candidate, MaxVolumeSizes, QuerySizeInfo, SizeInfo, SpaceInfo, SpawnPlace};
use berth_engine::draft::Refused;
use berth_engine::groups::judged;
use berth_engine::lookup;
use berth_engine::placement::{DEFAULT_OVERSUBSCRIPTION, query_max_volume_size, query_size_info};
use berth_model::objects::{ResourceGroup, SelectFilter};
use berth_model::props::{MAX_FREE_OVERSUBSCRIPTION, MAX_OVERSUBSCRIPTION, MAX_TOTAL_OVERSUBSCRIPTION};

use super::inputs;
use crate::View;
use crate::http::answer::{document, entry};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Space")
        .options(
            "/v1/query-max-volume-size",
            max_volume_size,
            Op::answers::<MaxVolumeSizes>("Says how large a volume could be, by rules.").body::<AutoSelectFilterIn>(),
        )
        .get(
            "/v1/resource-groups/{group}/query-max-volume-size",
            max_volume_size_of_group,
            Op::answers::<MaxVolumeSizes>("Says how large a volume of a resource group could be."),
        )
        .post(
            "/v1/resource-groups/{group}/query-size-info",
            size_info,
            Op::answers::<SizeInfo>("Says how much a resource group could still hold.").may_have::<QuerySizeInfo>(),
        )
        .post(
            "/v1/queries/resource-groups/query-all-size-info",
            all_size_info,
            Op::answers::<AllSizeInfo>("Says how much each resource group could still hold.").may_have::<QuerySizeInfo>(),
        )
}

fn max_volume_sizes(view: &View, group: Option<&ResourceGroup>, filter: &SelectFilter) -> Result<MaxVolumeSizes, Refused> {
    let found = query_max_volume_size(&view.cluster, &view.observed, group, filter)?;
    let candidate = |one: berth_engine::placement::MaxVolume| Candidate {
        storage_pool: one.pool.to_string(),
        max_volume_size_kib: one.max_kib.0,
        node_names: one.nodes.iter().map(ToString::to_string).collect(),
        all_thin: one.all_thin,
    };
    Ok(MaxVolumeSizes {
        candidates: found.into_iter().map(candidate).collect(),
        default_max_oversubscription_ratio: DEFAULT_OVERSUBSCRIPTION,
    })
}

async fn max_volume_size(call: Call) -> Answered {
    let body: AutoSelectFilterIn = call.body()?;
    let filter = judged(&inputs::filter(Some(body))).map_err(refused)?;
    max_volume_sizes(&call.view(), None, &filter).map(|sizes| document(&sizes)).map_err(refused)
}

async fn max_volume_size_of_group(call: Call) -> Answered {
    let view = call.view();
    let group = lookup::group(&view.cluster, call.part("group")).map_err(refused)?;
    max_volume_sizes(&view, Some(group), &group.filter).map(|sizes| document(&sizes)).map_err(refused)
}

fn space_info(view: &View, group: &ResourceGroup, over: &SelectFilter) -> Result<SpaceInfo, Refused> {
    let info = query_size_info(&view.cluster, &view.observed, group, over)?;
    let ratio = |key| view.cluster.controller.props.get(key).and_then(|text| text.parse::<f64>().ok());
    let place = |place: berth_engine::placement::SpawnPlace| SpawnPlace {
        node_name: place.node.to_string(),
        stor_pool_name: place.pool.to_string(),
        stor_pool_oversubscription_ratio: place.ratios.general,
        stor_pool_free_capacity_oversubscription_ratio: place.ratios.free,
        stor_pool_total_capacity_oversubscription_ratio: place.ratios.total,
    };
    Ok(SpaceInfo {
        max_vlm_size_in_kib: info.max_volume.0,
        available_size_in_kib: info.available.0,
        capacity_in_kib: info.capacity.0,
        default_max_oversubscription_ratio: DEFAULT_OVERSUBSCRIPTION,
        max_oversubscription_ratio: ratio(MAX_OVERSUBSCRIPTION),
        max_free_capacity_oversubscription_ratio: ratio(MAX_FREE_OVERSUBSCRIPTION),
        max_total_capacity_oversubscription_ratio: ratio(MAX_TOTAL_OVERSUBSCRIPTION),
        next_spawn_result: info.next_spawn.into_iter().map(place).collect(),
    })
}

/// A refusal is part of the document here: clients read this answer for many groups at once.
fn size_document(result: Result<SpaceInfo, Refused>) -> SizeInfo {
    match result {
        Ok(info) => SizeInfo { space_info: Some(info), reports: Vec::new() },
        Err(refused) => SizeInfo { space_info: None, reports: refused.replies.iter().map(entry).collect() },
    }
}

async fn size_info(call: Call) -> Answered {
    let body: QuerySizeInfo = call.body_or_default()?;
    let view = call.view();
    let result = judged(&inputs::filter(body.select_filter)).and_then(|over| {
        let group = lookup::group(&view.cluster, call.part("group"))?;
        space_info(&view, group, &over)
    });
    Ok(document(&size_document(result)))
}

async fn all_size_info(call: Call) -> Result<Response, Response> {
    let body: QuerySizeInfo = call.body_or_default()?;
    let view = call.view();
    let answer = match judged(&inputs::filter(body.select_filter)) {
        Ok(over) => {
            let of_group = |group: &std::sync::Arc<ResourceGroup>| (group.name.to_string(), size_document(space_info(&view, group, &over)));
            AllSizeInfo { result: view.cluster.groups.values().map(of_group).collect(), reports: Vec::new() }
        }
        Err(refused) => AllSizeInfo { reports: refused.replies.iter().map(entry).collect(), ..AllSizeInfo::default() },
    };
    Ok(document(&answer))
}
