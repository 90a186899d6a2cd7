//! Resource groups, volume groups, spawning, and questions about space.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use berth_api::group::{ResourceGroup, ResourceGroupIn, ResourceGroupSpawn, SelectFilterBody, VolumeGroup, VolumeGroupIn};
use berth_api::lenient::{int, plain, text, texts, truth};
use berth_api::settings::Count;
use berth_engine::command::Command;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::props::Owner;
use berth_model::reply::Reply;

use super::inputs;
use super::settings::{infos, property_infos};
use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::{lets, refused};
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Resource groups")
        .get(
            "/v1/resource-groups",
            list,
            Op::list::<ResourceGroup>("Lists the resource groups.").texts("resource_groups", "Only these groups.").props(),
        )
        .post("/v1/resource-groups", create, Op::creates("Makes a resource group.").body::<ResourceGroupIn>())
        .get("/v1/resource-groups/properties/info", || infos(Owner::ResourceGroup), property_infos("resource groups"))
        .post(
            "/v1/resource-groups/adjustall",
            adjust_all,
            Op::changes("Adds the replicas that any resource lacks by the rules of its group.").may_have::<SelectFilterBody>(),
        )
        .get("/v1/resource-groups/{group}", one, Op::answers::<ResourceGroup>("Shows a resource group."))
        .put("/v1/resource-groups/{group}", modify, Op::changes("Changes a resource group.").may_have::<ResourceGroupIn>())
        .delete("/v1/resource-groups/{group}", remove, Op::changes("Deletes a resource group without resources."))
        .post(
            "/v1/resource-groups/{group}/spawn",
            spawn,
            Op::creates("Makes a resource: definition, volumes and replicas.").body::<ResourceGroupSpawn>(),
        )
        .post(
            "/v1/resource-groups/{group}/adjust",
            adjust,
            Op::changes("Adds the replicas that resources of the group lack.").may_have::<SelectFilterBody>(),
        )
        .get("/v1/resource-groups/{group}/volume-groups", volume_groups, Op::list::<VolumeGroup>("Lists the volume groups."))
        .post(
            "/v1/resource-groups/{group}/volume-groups",
            create_volume_group,
            Op::creates("Makes a volume group: one volume of each resource that is made from the group.").may_have::<VolumeGroupIn>(),
        )
        .get("/v1/resource-groups/{group}/volume-groups/properties/info", || infos(Owner::VolumeGroup), property_infos("volume groups"))
        .get("/v1/resource-groups/{group}/volume-groups/{number}", volume_group, Op::answers::<VolumeGroup>("Shows a volume group."))
        .put(
            "/v1/resource-groups/{group}/volume-groups/{number}",
            modify_volume_group,
            Op::changes("Changes a volume group.").may_have::<VolumeGroupIn>(),
        )
        .delete("/v1/resource-groups/{group}/volume-groups/{number}", remove_volume_group, Op::changes("Deletes a volume group."))
        .get(
            "/v1/stats/resource-groups",
            async |call: Call| document(&Count { count: call.view().cluster.groups.len() }),
            Op::answers::<Count>("Counts the resource groups."),
        )
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
