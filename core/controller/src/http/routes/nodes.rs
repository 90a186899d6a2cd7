//! Nodes, net interfaces, storage pools and their definitions.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, put};
use berth_api::lenient::{plain, text, truth};
use berth_api::node::{NetInterfaceIn, NodeCreate, NodeEvacuate, NodeModify, NodeRestore, PropsModify};
use berth_api::pool::{StoragePoolCreate, StoragePoolDefinitionCreate};
use berth_api::settings::Count;
use berth_engine::command::{Command, NetIfInput};
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::objects::{Node, StorPool};
use berth_model::reply::Reply;

use super::inputs;
use super::settings::infos;
use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::{lets, refused};
use crate::http::views;
use crate::{Controller, View};

/// The operations of this kind.
pub fn routes() -> Router<Controller> {
    Router::new()
        .route("/v1/nodes", get(list).post(create))
        .route("/v1/nodes/properties/info", get(|| infos(berth_model::props::Owner::Node)))
        .route("/v1/nodes/{node}", get(one).put(modify).delete(remove))
        .route("/v1/nodes/{node}/lost", delete(lose))
        .route("/v1/nodes/{node}/reconnect", put(reconnect))
        .route("/v1/nodes/{node}/restore", put(restore))
        .route("/v1/nodes/{node}/evacuate", put(evacuate))
        .route("/v1/nodes/{node}/evict", put(evict))
        .route("/v1/nodes/{node}/net-interfaces", get(interfaces).post(create_interface))
        .route("/v1/nodes/{node}/net-interfaces/{interface}", get(interface).put(modify_interface).delete(remove_interface))
        .route("/v1/nodes/{node}/storage-pools", get(pools_of).post(create_pool))
        .route("/v1/nodes/{node}/storage-pools/properties/info", get(|| infos(berth_model::props::Owner::StorPool)))
        .route("/v1/nodes/{node}/storage-pools/{pool}", get(pool).put(modify_pool).delete(remove_pool))
        .route("/v1/view/storage-pools", get(all_pools))
        .route("/v1/storage-pool-definitions", get(definitions).post(create_definition))
        .route("/v1/storage-pool-definitions/properties/info", get(|| infos(berth_model::props::Owner::StorPoolDfn)))
        .route("/v1/storage-pool-definitions/{pool}", get(definition).put(modify_definition).delete(remove_definition))
        .route("/v1/stats/nodes", get(async |call: Call| document(&Count { count: call.view().cluster.nodes.len() })))
        .route(
            "/v1/stats/storage-pools",
            get(async |call: Call| document(&Count { count: call.view().cluster.pools.values().map(|pools| pools.len()).sum() })),
        )
}

async fn list(call: Call) -> Answered {
    let names = call.query.names("nodes", lookup::node_name)?;
    let props = call.query.props();
    let view = call.view();
    let fits = |node: &&std::sync::Arc<Node>| lets(names.as_ref(), &node.name) && props.fits(&node.props);
    let documents: Vec<_> = call
        .query
        .page(view.cluster.nodes.values().filter(fits))
        .into_iter()
        .map(|node| views::node::node(&view, node, call.controller.last_heard(node.id)))
        .collect();
    Ok(document(&documents))
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    Ok(document(&views::node::node(&view, node, call.controller.last_heard(node.id))))
}

async fn create(call: Call) -> Answered {
    let body: NodeCreate = call.body()?;
    let command = Command::CreateNode {
        name: text(body.name).unwrap_or_default(),
        node_type: text(body.node_type),
        net_interfaces: body.net_interfaces.unwrap_or_default().into_iter().map(inputs::interface).collect(),
        props: plain(body.props),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify(call: Call) -> Answered {
    let body: NodeModify = call.body_or_default()?;
    let command = Command::ModifyNode { node: call.text("node"), node_type: text(body.node_type), props: inputs::change(body.props) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteNode { node: call.text("node") }, StatusCode::OK).await)
}

async fn lose(call: Call) -> Answered {
    Ok(call.submit(Command::LoseNode { node: call.text("node") }, StatusCode::OK).await)
}

async fn reconnect(call: Call) -> Answered {
    Ok(call.submit(Command::ReconnectNode { node: call.text("node") }, StatusCode::OK).await)
}

async fn restore(call: Call) -> Answered {
    let body: NodeRestore = call.body_or_default()?;
    let command = Command::RestoreNode {
        node: call.text("node"),
        delete_resources: truth(body.delete_resources).unwrap_or(false),
        delete_snapshots: truth(body.delete_snapshots).unwrap_or(false),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn evict(call: Call) -> Answered {
    Ok(call.submit(Command::EvictNode { node: call.text("node") }, StatusCode::OK).await)
}

async fn evacuate(call: Call) -> Answered {
    let body: NodeEvacuate = call.body_or_default()?;
    let names = |list: Option<Vec<_>>| list.unwrap_or_default().into_iter().filter_map(|name| text(Some(name))).collect();
    let command = Command::EvacuateNode { node: call.text("node"), target: names(body.target), do_not_target: names(body.do_not_target) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn interfaces(call: Call) -> Answered {
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    let page = call.query.page(views::node::interfaces(node).into_iter());
    Ok(document(&page.into_iter().map(|one| views::node::interface(node, one)).collect::<Vec<_>>()))
}

async fn interface(call: Call) -> Answered {
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    let name = lookup::net_if_name(call.part("interface")).map_err(refused)?;
    match node.net_interfaces.iter().find(|one| one.name == name) {
        Some(one) => Ok(document(&views::node::interface(node, one))),
        None => Err(refusal(
            Reply::new(Code::FAIL_NOT_FOUND_NET_IF, format!("Node '{}' has no net interface '{name}'.", node.name))
                .correction("List them with 'linstor node interface list'."),
        )),
    }
}

async fn create_interface(call: Call) -> Answered {
    let body: NetInterfaceIn = call.body()?;
    let command = Command::CreateNetIf { node: call.text("node"), interface: inputs::interface(body) };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify_interface(call: Call) -> Answered {
    let body: NetInterfaceIn = call.body()?;
    let interface = NetIfInput { name: call.text("interface"), ..inputs::interface(body) };
    Ok(call.submit(Command::ModifyNetIf { node: call.text("node"), interface }, StatusCode::OK).await)
}

async fn remove_interface(call: Call) -> Answered {
    let command = Command::DeleteNetIf { node: call.text("node"), name: call.text("interface") };
    Ok(call.submit(command, StatusCode::OK).await)
}

fn pool_list<'v>(call: &Call, view: &'v View, pools: impl Iterator<Item = &'v std::sync::Arc<StorPool>>) -> Answered {
    let names = call.query.names("storage_pools", lookup::pool_name)?;
    let props = call.query.props();
    let fitting = pools.filter(|pool| lets(names.as_ref(), &pool.name) && props.fits(&pool.props));
    let documents: Vec<_> = call.query.page(fitting).into_iter().map(|pool| views::pool::pool(view, pool)).collect();
    Ok(document(&documents))
}

async fn pools_of(call: Call) -> Answered {
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    pool_list(&call, &view, view.cluster.pools_of(&node.name))
}

async fn all_pools(call: Call) -> Answered {
    let nodes = call.query.names("nodes", lookup::node_name)?;
    let view = call.view();
    // By pool, then by node: how clients list them.
    let mut pools: Vec<_> = match &nodes {
        Some(nodes) => nodes.iter().flat_map(|node| view.cluster.pools_of(node)).collect(),
        None => view.cluster.pools.values().flat_map(|pools| pools.values()).collect(),
    };
    pools.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
    pool_list(&call, &view, pools.into_iter())
}

async fn pool(call: Call) -> Answered {
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    let name = lookup::pool_name(call.part("pool")).map_err(refused)?;
    match view.cluster.pool(&node.name, &name) {
        Some(pool) => Ok(document(&views::pool::pool(&view, pool))),
        None => Err(refusal(
            Reply::new(Code::FAIL_NOT_FOUND_STOR_POOL, format!("Storage pool '{name}' does not exist on node '{}'.", node.name))
                .correction("List the pools with 'linstor storage-pool list'."),
        )),
    }
}

async fn create_pool(call: Call) -> Answered {
    let body: StoragePoolCreate = call.body()?;
    let command = Command::CreateStorPool {
        node: call.text("node"),
        name: text(body.storage_pool_name).unwrap_or_default(),
        provider_kind: text(body.provider_kind).unwrap_or_default(),
        shared_space: text(body.free_space_mgr_name).or(text(body.shared_space)),
        external_locking: truth(body.external_locking).unwrap_or(false),
        props: plain(body.props),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify_pool(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let command = Command::ModifyStorPool { node: call.text("node"), name: call.text("pool"), props: inputs::change(body) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove_pool(call: Call) -> Answered {
    let command = Command::DeleteStorPool { node: call.text("node"), name: call.text("pool") };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn definitions(call: Call) -> Answered {
    let names = call.query.names("storage_pool_definitions", lookup::pool_name)?;
    let props = call.query.props();
    let view = call.view();
    let shown = view.cluster.pool_definitions.values().filter(|definition| {
        definition.name.as_str() != berth_model::names::DISKLESS_POOL
            && lets(names.as_ref(), &definition.name)
            && props.fits(&definition.props)
    });
    Ok(document(&call.query.page(shown).into_iter().map(|definition| views::pool::definition(definition)).collect::<Vec<_>>()))
}

async fn definition(call: Call) -> Answered {
    let view = call.view();
    let name = lookup::pool_name(call.part("pool")).map_err(refused)?;
    match view.cluster.pool_definitions.get(&name) {
        Some(definition) => Ok(document(&views::pool::definition(definition))),
        None => Err(refusal(
            Reply::new(Code::FAIL_NOT_FOUND_STOR_POOL_DFN, format!("Storage pool definition '{name}' does not exist."))
                .correction("List them with 'linstor storage-pool-definition list'."),
        )),
    }
}

async fn create_definition(call: Call) -> Answered {
    let body: StoragePoolDefinitionCreate = call.body()?;
    let command = Command::CreateStorPoolDfn { name: text(body.storage_pool_name).unwrap_or_default(), props: plain(body.props) };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify_definition(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let command = Command::ModifyStorPoolDfn { name: call.text("pool"), props: inputs::change(body) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove_definition(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteStorPoolDfn { name: call.text("pool") }, StatusCode::OK).await)
}
