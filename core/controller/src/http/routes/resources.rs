//! Resources and volumes.

use std::sync::Arc;

use axum::http::StatusCode;
use berth_api::lenient::{int, plain, text, texts, truth};
use berth_api::node::PropsModify;
use berth_api::resource::{MakeAvailable, Resource as ResourceDocument, ResourceCreate, ResourceModify, ToggleDisk, Volume};
use berth_api::settings::Count;
use berth_engine::command::{Command, ResourceInput};
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::objects::Resource;
use berth_model::props::Owner;
use berth_model::reply::Reply;

use super::inputs;
use super::settings::{infos, property_infos};
use crate::View;
use crate::http::answer::{document, refusal, unreadable};
use crate::http::call::{Answered, Call};
use crate::http::lists::{self, Column};
use crate::http::query::{lets, refused};
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    const ONE: &str = "/v1/resource-definitions/{resource}/resources/{node}";
    let below = |rest: &str| format!("{ONE}/{rest}");
    Routes::new("Resources")
        .get(
            "/v1/view/resources",
            view,
            Op::list::<ResourceDocument<'static>>("Lists the replicas of all resources, with their volumes and states.")
                .texts("nodes", "Only those on these nodes.")
                .texts("resources", "Only those of these resources.")
                .texts("storage_pools", "Only those in these storage pools.")
                .props(),
        )
        .get(
            "/v1/resource-definitions/{resource}/resources",
            list,
            Op::list::<ResourceDocument<'static>>("Lists the replicas of a resource."),
        )
        .post(
            "/v1/resource-definitions/{resource}/resources",
            create,
            Op::creates("Makes replicas on the nodes that are named.").body::<Vec<ResourceCreate>>(),
        )
        .get("/v1/resource-definitions/{resource}/resources/properties/info", || infos(Owner::Resource), property_infos("resources"))
        .get(ONE, one, Op::answers::<ResourceDocument<'static>>("Shows a replica."))
        .post(ONE, create_one, Op::creates("Makes a replica on this node.").may_have::<ResourceCreate>())
        .put(ONE, modify, Op::changes("Changes properties of a replica.").may_have::<ResourceModify>())
        .delete(
            ONE,
            remove,
            Op::changes("Deletes a replica.").flag("keep_tiebreaker", "Whether it may stay as a tiebreaker, without data."),
        )
        .post(
            &below("make-available"),
            make_available,
            Op::changes("Makes the resource usable on this node, with or without a disk.").may_have::<MakeAvailable>(),
        )
        .post(&below("activate"), activate, Op::changes("Brings a replica up that was taken down."))
        .post(&below("deactivate"), deactivate, Op::changes("Takes a replica down and keeps its data."))
        .put(
            &below("toggle-disk"),
            toggle_disk,
            Op::changes("Gives a replica a disk, takes it, moves one here, or gives such a change up.").body::<ToggleDisk>(),
        )
        .put(&below("toggle-disk/diskless"), into_diskless, Op::changes("Takes the disk from a replica."))
        .put(&below("toggle-disk/diskless/{pool}"), into_diskless, Op::changes("Takes the disk from a replica; the pool is not looked at."))
        .put(&below("toggle-disk/diskful"), into_diskful, Op::changes("Gives a replica a disk."))
        .put(&below("toggle-disk/diskful/{pool}"), into_diskful, Op::changes("Gives a replica a disk in this storage pool."))
        .put(&below("migrate-disk/{from}"), migrate_disk, Op::changes("Moves the disk of another replica to this one."))
        .put(
            &below("migrate-disk/{from}/{pool}"),
            migrate_disk,
            Op::changes("Moves the disk of another replica to this one, into this storage pool."),
        )
        .get(&below("volumes"), volumes, Op::list::<Volume<'static>>("Lists the volumes of a replica."))
        .get(&below("volumes/properties/info"), || infos(Owner::Volume), property_infos("volumes"))
        .get(&below("volumes/{number}"), volume, Op::answers::<Volume<'static>>("Shows a volume of a replica."))
        .put(
            &below("volumes/{number}"),
            modify_volume,
            Op::changes("Changes properties of a volume of a replica.").may_have::<PropsModify>(),
        )
        .get(
            "/v1/stats/resources",
            async |call: Call| document(&Count { count: call.view().cluster.resources.values().map(|nodes| nodes.len()).sum() }),
            Op::answers::<Count>("Counts the replicas."),
        )
}

async fn view(call: Call) -> Answered {
    let nodes = call.query.names("nodes", lookup::node_name)?;
    let names = call.query.names("resources", lookup::resource_name)?;
    let pools = call.query.names("storage_pools", lookup::pool_name)?;
    let props = call.query.props();
    if nodes.is_none() && names.is_none() && pools.is_none() && props.is_empty() {
        return Ok(lists::list(&call, Column::Resources));
    }
    let view = call.view();
    let in_pools = |resource: &Resource| resource.volumes.values().any(|volume| lets(pools.as_ref(), &volume.pool));
    // By definition, then by node; names that are asked for are looked up, never looked for.
    let chosen: Box<dyn Iterator<Item = &Arc<Resource>>> = match (&names, &nodes) {
        (Some(names), _) => Box::new(names.iter().flat_map(|name| view.cluster.replicas(name))),
        // Those of one node are in their order already, so a page of them ends where it is full.
        (None, Some(nodes)) if nodes.len() == 1 => Box::new(nodes.iter().flat_map(|node| view.cluster.resources_on(node))),
        (None, Some(nodes)) => {
            let mut there: Vec<_> = nodes.iter().flat_map(|node| view.cluster.resources_on(node)).collect();
            there.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
            Box::new(there.into_iter())
        }
        (None, None) => Box::new(view.cluster.resources.values().flat_map(|replicas| replicas.values())),
    };
    // Replicas without volumes are not in this list (contract 5.10).
    let fitting = chosen.filter(|resource| lets(nodes.as_ref(), &resource.node) && in_pools(resource) && props.fits(&resource.props));
    let page = call.query.page(fitting);
    let documents: Vec<ResourceDocument<'_>> = page
        .into_iter()
        .map(|resource| {
            let mut document = views::resource::resource(&view, resource, true);
            if let (Some(pools), Some(volumes)) = (&pools, &mut document.volumes) {
                volumes.retain(|volume| pools.iter().any(|pool| pool.as_str().eq_ignore_ascii_case(volume.storage_pool_name)));
            }
            document
        })
        .collect();
    Ok(document(&documents))
}

async fn list(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let page = call.query.page(view.cluster.replicas(&definition.name));
    Ok(document(&page.into_iter().map(|one| views::resource::resource(&view, one, false)).collect::<Vec<_>>()))
}

/// A replica that is asked for; on a node that does not exist there is none either.
fn find<'v>(call: &Call, view: &'v View) -> Result<&'v Arc<Resource>, axum::response::Response> {
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let node = lookup::node_name(call.part("node")).map_err(refused)?;
    view.cluster.resource(&definition.name, &node).ok_or_else(|| {
        refusal(
            Reply::new(Code::FAIL_NOT_FOUND_RSC, format!("Resource '{}' does not exist on node '{node}'.", definition.name))
                .correction("List the resources with 'linstor resource list'."),
        )
    })
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let resource = find(&call, &view)?;
    Ok(document(&views::resource::resource(&view, resource, false)))
}

fn input(body: ResourceCreate, node: Option<&str>) -> ResourceInput {
    let resource = body.resource.unwrap_or_default();
    ResourceInput {
        node: node.map(str::to_owned).or(text(resource.node_name)).unwrap_or_default(),
        flags: texts(resource.flags).unwrap_or_default(),
        props: plain(resource.props),
        layer_list: texts(body.layer_list).unwrap_or_default(),
        drbd_node_id: int(body.drbd_node_id),
        drbd_tcp_ports: body.drbd_tcp_ports.unwrap_or_default().into_iter().map(|port| port.0).collect(),
    }
}

async fn create(call: Call) -> Answered {
    let bodies: Vec<ResourceCreate> = call.list()?;
    let replicas = bodies.into_iter().map(|body| input(body, None)).collect();
    Ok(call.submit(Command::CreateResources { resource: call.text("resource"), replicas }, StatusCode::CREATED).await)
}

async fn create_one(call: Call) -> Answered {
    let body: ResourceCreate = call.body_or_default()?;
    let replicas = vec![input(body, Some(call.part("node")))];
    Ok(call.submit(Command::CreateResources { resource: call.text("resource"), replicas }, StatusCode::CREATED).await)
}

async fn modify(call: Call) -> Answered {
    let body: ResourceModify = call.body_or_default()?;
    let command = Command::ModifyResource {
        resource: call.text("resource"),
        node: call.text("node"),
        props: inputs::change(body.props),
        drbd_tiebreaker: truth(body.drbd_tiebreaker),
        drbd_client: truth(body.drbd_client),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    let command = Command::DeleteResource {
        resource: call.text("resource"),
        node: call.text("node"),
        keep_tiebreaker: call.query.truth("keep_tiebreaker")?,
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn make_available(call: Call) -> Answered {
    let body: MakeAvailable = call.body_or_default()?;
    let command = Command::MakeAvailable {
        resource: call.text("resource"),
        node: call.text("node"),
        diskful: truth(body.diskful).unwrap_or(false),
        layers: texts(body.layer_list).unwrap_or_default(),
        drbd_tcp_ports: body.drbd_tcp_ports.unwrap_or_default().into_iter().map(|port| port.0).collect(),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn activate(call: Call) -> Answered {
    Ok(call.submit(Command::ActivateResource { resource: call.text("resource"), node: call.text("node") }, StatusCode::OK).await)
}

async fn deactivate(call: Call) -> Answered {
    Ok(call.submit(Command::DeactivateResource { resource: call.text("resource"), node: call.text("node") }, StatusCode::OK).await)
}

async fn toggle_disk(call: Call) -> Answered {
    let body: ToggleDisk = call.body_or_default()?;
    let Some(operation) = text(body.operation) else {
        return Err(unreadable("the member 'operation' is missing"));
    };
    Ok(toggle(&call, operation, text(body.storage_pool), text(body.migrate_from)).await)
}

async fn into_diskless(call: Call) -> Answered {
    Ok(toggle(&call, "INTO_DRBD_DISKLESS".to_owned(), None, None).await)
}

async fn into_diskful(call: Call) -> Answered {
    let pool = Some(call.text("pool")).filter(|pool| !pool.is_empty());
    Ok(toggle(&call, "INTO_DRBD_DISKFUL".to_owned(), pool, None).await)
}

/// The old form of a move: the replica on `node` gets the disk that the one on `from` has.
async fn migrate_disk(call: Call) -> Answered {
    let pool = Some(call.text("pool")).filter(|pool| !pool.is_empty());
    Ok(toggle(&call, "INTO_DRBD_DISKFUL".to_owned(), pool, Some(call.text("from"))).await)
}

async fn toggle(call: &Call, operation: String, storage_pool: Option<String>, migrate_from: Option<String>) -> axum::response::Response {
    let command = Command::ToggleDisk { resource: call.text("resource"), node: call.text("node"), operation, storage_pool, migrate_from };
    call.submit(command, StatusCode::OK).await
}

async fn volumes(call: Call) -> Answered {
    let view = call.view();
    let resource = find(&call, &view)?;
    Ok(document(&call.query.page(views::resource::volumes(&view, resource).into_iter())))
}

async fn volume(call: Call) -> Answered {
    let view = call.view();
    let resource = find(&call, &view)?;
    let number = lookup::volume_number(call.number("number")?).map_err(refused)?;
    match views::resource::volumes(&view, resource).into_iter().find(|volume| volume.volume_number == number.get()) {
        Some(volume) => Ok(document(&volume)),
        None => Err(refusal(
            Reply::new(
                Code::FAIL_NOT_FOUND_VLM,
                format!("Resource '{}' on node '{}' has no volume {number}.", resource.name, resource.node),
            )
            .correction("List the volumes with 'linstor volume list'."),
        )),
    }
}

async fn modify_volume(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let command = Command::ModifyVolume {
        resource: call.text("resource"),
        node: call.text("node"),
        number: call.number("number")?,
        props: inputs::change(body),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}
