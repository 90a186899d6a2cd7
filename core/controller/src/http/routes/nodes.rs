//! Nodes, net interfaces, storage pools and their definitions.

use axum::http::StatusCode;
use berth_api::lenient::{plain, text, truth};
use berth_api::node::{NetInterface, NetInterfaceIn, Node as NodeDocument, NodeCreate, NodeEvacuate, NodeModify, NodeRestore, PropsModify};
use berth_api::pool::{StoragePool, StoragePoolCreate, StoragePoolDefinition, StoragePoolDefinitionCreate};
use berth_api::settings::Count;
use berth_engine::command::{Command, NetIfInput};
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::objects::{Node, StorPool};
use berth_model::props::Owner;
use berth_model::reply::Reply;

use super::inputs;
use super::settings::{infos, property_infos};
use crate::View;
use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::{lets, refused};
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    let pool_words = "Only pools of these names.";
    Routes::new("Nodes")
        .get("/v1/nodes", list, Op::list::<NodeDocument>("Lists the nodes with their state.").texts("nodes", "Only these nodes.").props())
        .post("/v1/nodes", create, Op::creates("Makes a node known.").body::<NodeCreate>())
        .get("/v1/nodes/properties/info", || infos(Owner::Node), property_infos("nodes"))
        .get("/v1/nodes/{node}", one, Op::answers::<NodeDocument>("Shows a node."))
        .put("/v1/nodes/{node}", modify, Op::changes("Changes properties and the kind of a node.").may_have::<NodeModify>())
        .delete("/v1/nodes/{node}", remove, Op::changes("Deletes a node that holds nothing."))
        .delete("/v1/nodes/{node}/lost", lose, Op::changes("Gives a node up that never comes back, with everything on it."))
        .put("/v1/nodes/{node}/reconnect", reconnect, Op::changes("Ends the connection to the satellite and makes a new one."))
        .put("/v1/nodes/{node}/restore", restore, Op::changes("Takes an evicted or evacuated node back.").may_have::<NodeRestore>())
        .put("/v1/nodes/{node}/evacuate", evacuate, Op::changes("Moves everything off a node.").may_have::<NodeEvacuate>())
        .put("/v1/nodes/{node}/evict", evict, Op::changes("Replaces what is on a node that does not answer."))
        .get("/v1/nodes/{node}/net-interfaces", interfaces, Op::list::<NetInterface>("Lists the net interfaces of a node."))
        .post("/v1/nodes/{node}/net-interfaces", create_interface, Op::creates("Adds a net interface to a node.").body::<NetInterfaceIn>())
        .get("/v1/nodes/{node}/net-interfaces/{interface}", interface, Op::answers::<NetInterface>("Shows a net interface."))
        .put(
            "/v1/nodes/{node}/net-interfaces/{interface}",
            modify_interface,
            Op::changes("Changes a net interface, or makes it the satellite's connection.").body::<NetInterfaceIn>(),
        )
        .delete("/v1/nodes/{node}/net-interfaces/{interface}", remove_interface, Op::changes("Deletes a net interface."))
        .get(
            "/v1/nodes/{node}/storage-pools",
            pools_of,
            Op::list::<StoragePool>("Lists the storage pools of a node.")
                .texts("nodes", "Only if the node is one of these.")
                .texts("storage_pools", pool_words)
                .props(),
        )
        .post("/v1/nodes/{node}/storage-pools", create_pool, Op::creates("Makes a storage pool on a node.").body::<StoragePoolCreate>())
        .get("/v1/nodes/{node}/storage-pools/properties/info", || infos(Owner::StorPool), property_infos("storage pools"))
        .get("/v1/nodes/{node}/storage-pools/{pool}", pool, Op::answers::<StoragePool>("Shows a storage pool."))
        .put(
            "/v1/nodes/{node}/storage-pools/{pool}",
            modify_pool,
            Op::changes("Changes properties of a storage pool.").may_have::<PropsModify>(),
        )
        .delete("/v1/nodes/{node}/storage-pools/{pool}", remove_pool, Op::changes("Deletes a storage pool that holds nothing."))
        .delete(
            "/v1/berth/nodes/{node}/storage-pools/{pool}/lost",
            lose_pool,
            Op::changes("Gives a storage pool up whose disk is dead, with everything in it."),
        )
        .get(
            "/v1/view/storage-pools",
            all_pools,
            Op::list::<StoragePool>("Lists the storage pools of all nodes.")
                .texts("nodes", "Only pools of these nodes.")
                .texts("storage_pools", pool_words)
                .props(),
        )
        .get(
            "/v1/storage-pool-definitions",
            definitions,
            Op::list::<StoragePoolDefinition>("Lists the names of storage pools.").texts("storage_pool_definitions", "Only these.").props(),
        )
        .post(
            "/v1/storage-pool-definitions",
            create_definition,
            Op::creates("Makes a name for storage pools.").body::<StoragePoolDefinitionCreate>(),
        )
        .get("/v1/storage-pool-definitions/properties/info", || infos(Owner::StorPoolDfn), property_infos("storage pool definitions"))
        .get("/v1/storage-pool-definitions/{pool}", definition, Op::answers::<StoragePoolDefinition>("Shows a storage pool definition."))
        .put(
            "/v1/storage-pool-definitions/{pool}",
            modify_definition,
            Op::changes("Changes properties of all storage pools of a name.").may_have::<PropsModify>(),
        )
        .delete("/v1/storage-pool-definitions/{pool}", remove_definition, Op::changes("Deletes the name of storage pools."))
        .get(
            "/v1/stats/nodes",
            async |call: Call| document(&Count { count: call.view().cluster.nodes.len() }),
            Op::answers::<Count>("Counts the nodes."),
        )
        .get(
            "/v1/stats/storage-pools",
            async |call: Call| document(&Count { count: call.view().cluster.pools.values().map(|pools| pools.len()).sum() }),
            Op::answers::<Count>("Counts the storage pools."),
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
    let nodes = call.query.names("nodes", lookup::node_name)?;
    pool_list(&call, &view, view.cluster.pools_of(&node.name).filter(|pool| lets(nodes.as_ref(), &pool.node)))
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

async fn lose_pool(call: Call) -> Answered {
    let command = Command::LoseStorPool { node: call.text("node"), name: call.text("pool") };
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
