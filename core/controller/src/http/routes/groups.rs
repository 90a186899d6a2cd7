//! Resource groups, volume groups, spawning, and questions about space.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use berth_api::group::{ResourceGroupIn, ResourceGroupSpawn, SelectFilterBody, VolumeGroupIn};
use berth_api::lenient::{int, plain, text, texts, truth};
use berth_api::settings::Count;
use berth_engine::command::Command;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::reply::Reply;

use super::inputs;
use super::settings::infos;
use crate::Controller;
use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::{lets, refused};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Router<Controller> {
    Router::new()
        .route("/v1/resource-groups", get(list).post(create))
        .route("/v1/resource-groups/properties/info", get(|| infos(berth_model::props::Owner::ResourceGroup)))
        .route("/v1/resource-groups/adjustall", post(adjust_all))
        .route("/v1/resource-groups/{group}", get(one).put(modify).delete(remove))
        .route("/v1/resource-groups/{group}/spawn", post(spawn))
        .route("/v1/resource-groups/{group}/adjust", post(adjust))
        .route("/v1/resource-groups/{group}/volume-groups", get(volume_groups).post(create_volume_group))
        .route("/v1/resource-groups/{group}/volume-groups/properties/info", get(|| infos(berth_model::props::Owner::VolumeGroup)))
        .route("/v1/resource-groups/{group}/volume-groups/{number}", get(volume_group).put(modify_volume_group).delete(remove_volume_group))
        .route("/v1/stats/resource-groups", get(async |call: Call| document(&Count { count: call.view().cluster.groups.len() })))
}

async fn list(call: Call) -> Answered {
    let names = call.query.names("resource_groups", lookup::group_name)?;
    let props = call.query.props();
    let view = call.view();
    let fitting = view.cluster.groups.values().filter(|group| lets(names.as_ref(), &group.name) && props.fits(&group.props));
    Ok(document(&call.query.page(fitting).into_iter().map(|group| views::group::group(group)).collect::<Vec<_>>()))
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let group = lookup::group(&view.cluster, call.part("group")).map_err(refused)?;
    Ok(document(&views::group::group(group)))
}

async fn create(call: Call) -> Answered {
    let body: ResourceGroupIn = call.body()?;
    let command = Command::CreateResourceGroup {
        name: text(body.name).unwrap_or_default(),
        description: text(body.description),
        filter: inputs::filter(body.select_filter),
        peer_slots: int(body.peer_slots),
        props: plain(body.props),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify(call: Call) -> Answered {
    let body: ResourceGroupIn = call.body_or_default()?;
    let command = Command::ModifyResourceGroup {
        name: call.text("group"),
        description: text(body.description),
        filter: inputs::filter(body.select_filter),
        peer_slots: int(body.peer_slots),
        props: inputs::change(body.modify),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteResourceGroup { name: call.text("group") }, StatusCode::OK).await)
}

async fn spawn(call: Call) -> Answered {
    let body: ResourceGroupSpawn = call.body()?;
    let command = Command::SpawnResource {
        group: call.text("group"),
        name: text(body.resource_definition_name),
        external_name: text(body.resource_definition_external_name),
        volume_sizes: body.volume_sizes.unwrap_or_default().into_iter().map(|size| size.0).collect(),
        partial: truth(body.partial).unwrap_or(false),
        definitions_only: truth(body.definitions_only).unwrap_or(false),
        filter: inputs::filter(body.select_filter),
        props: plain(body.resource_definition_props),
        peer_slots: int(body.peer_slots),
        passphrases: call.all_sealed(body.volume_passphrases)?,
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn adjust(call: Call) -> Answered {
    let body: SelectFilterBody = call.body_or_default()?;
    let command = Command::AdjustResourceGroup { group: Some(call.text("group")), filter: inputs::filter(body.select_filter) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn adjust_all(call: Call) -> Answered {
    let body: SelectFilterBody = call.body_or_default()?;
    let command = Command::AdjustResourceGroup { group: None, filter: inputs::filter(body.select_filter) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn volume_groups(call: Call) -> Answered {
    let view = call.view();
    let group = lookup::group(&view.cluster, call.part("group")).map_err(refused)?;
    let all: BTreeMap<_, _> = group.volume_groups.iter().collect();
    let page = call.query.page(all.into_iter());
    Ok(document(&page.into_iter().map(|(number, one)| views::group::volume_group(*number, one)).collect::<Vec<_>>()))
}

async fn volume_group(call: Call) -> Answered {
    let view = call.view();
    let group = lookup::group(&view.cluster, call.part("group")).map_err(refused)?;
    let number = lookup::volume_number(call.number("number")?).map_err(refused)?;
    match group.volume_groups.get(&number) {
        Some(one) => Ok(document(&views::group::volume_group(number, one))),
        None => Err(refusal(
            Reply::new(Code::FAIL_NOT_FOUND_VLM_GRP, format!("Resource group '{}' has no volume group {number}.", group.name))
                .correction("List them with 'linstor volume-group list'."),
        )),
    }
}

async fn create_volume_group(call: Call) -> Answered {
    let body: VolumeGroupIn = call.body_or_default()?;
    let command = Command::CreateVolumeGroup {
        group: call.text("group"),
        number: int(body.volume_number),
        flags: texts(body.flags).unwrap_or_default(),
        props: plain(body.props),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify_volume_group(call: Call) -> Answered {
    let body: VolumeGroupIn = call.body_or_default()?;
    let command = Command::ModifyVolumeGroup {
        group: call.text("group"),
        number: call.number("number")?,
        flags: texts(body.flags).unwrap_or_default(),
        props: inputs::change(body.modify),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove_volume_group(call: Call) -> Answered {
    let command = Command::DeleteVolumeGroup { group: call.text("group"), number: call.number("number")? };
    Ok(call.submit(command, StatusCode::OK).await)
}
