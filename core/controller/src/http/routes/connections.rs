//! Connections of nodes and of replicas, and DRBD Proxy, which would sit on them.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::connection::{Connection, DrbdProxyModify};
use berth_api::lenient::{plain, text};
use berth_api::node::PropsModify;
use berth_engine::command::Command;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::connections::Pair;
use berth_model::names::NodeName;
use berth_model::props::{Owner, Props};
use berth_model::reply::Reply;

use super::inputs;
use super::settings::{Section, infos, property_infos, section};
use crate::http::answer::{document, refusal};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    const OF_RESOURCE: &str = "/v1/resource-definitions/{resource}/resource-connections";
    const PROXY: &str = "/v1/resource-definitions/{resource}/drbd-proxy";
    let pair = format!("{OF_RESOURCE}/{{node_a}}/{{node_b}}");
    Routes::new("Connections")
        .get(
            "/v1/node-connections",
            of_nodes,
            Op::list::<Connection>("Lists the connections between nodes that have properties.")
                .text("node_a", "Only those of this node; with both, the one between them.")
                .text("node_b", "Only those of this node; with both, the one between them.")
                .may_miss(),
        )
        .get("/v1/node-connections/properties/info", || infos(Owner::NodeConnection), property_infos("connections of nodes"))
        .put(
            "/v1/node-connections/{node_a}/{node_b}",
            modify_nodes,
            Op::changes("Changes properties between two nodes.").may_have::<PropsModify>(),
        )
        .get(OF_RESOURCE, of_resource, Op::list::<Connection>("Lists the connections between replicas that have properties."))
        .get(&format!("{OF_RESOURCE}/properties/info"), || infos(Owner::ResourceConnection), property_infos("connections of replicas"))
        .get(&pair, one_of_resource, Op::answers::<Connection>("Shows the connection between two replicas."))
        .put(&pair, modify_replicas, Op::changes("Changes properties between two replicas.").may_have::<PropsModify>())
        .put(PROXY, modify_proxy, Op::changes("Changes how DRBD Proxy would work for a resource.").may_have::<DrbdProxyModify>())
        .get(
            &format!("{PROXY}/properties/info"),
            proxy_infos,
            Op::answers::<BTreeMap<String, Section>>("Lists the properties of DRBD Proxy and its compressors, with their rules."),
        )
        .post(
            &format!("{PROXY}/enable/{{node_a}}/{{node_b}}"),
            async |call: Call| switch(call, true).await,
            Op::changes("Switches DRBD Proxy on between two nodes; there is none in this version, and it says so."),
        )
        .post(
            &format!("{PROXY}/disable/{{node_a}}/{{node_b}}"),
            async |call: Call| switch(call, false).await,
            Op::changes("Switches DRBD Proxy off between two nodes."),
        )
}

fn shown(nodes: &Pair, props: &Props) -> Connection {
    Connection { node_a: nodes.first().to_string(), node_b: nodes.second().to_string(), props: views::props(props) }
}

/// All entries, those of one node, or the one of two nodes: that one is there, with or without properties.
async fn of_nodes(call: Call) -> Answered {
    let view = call.view();
    let named = |name: &str| -> Result<Option<NodeName>, Response> {
        let Some(text) = call.query.first(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        lookup::node(&view.cluster, text).map(|node| Some(node.name.clone())).map_err(refused)
    };
    let (one, other) = (named("node_a")?, named("node_b")?);
    if let (Some(one), Some(other)) = (&one, &other) {
        let Some(nodes) = Pair::new(one.clone(), other.clone()) else { return Ok(document(&[(); 0])) };
        let props = view.cluster.node_connections.get(&nodes).map(|found| found.props.clone()).unwrap_or_default();
        return Ok(document(&[shown(&nodes, &props)]));
    }
    let all = view.cluster.node_connections.values();
    let fitting = all.filter(|found| one.iter().chain(&other).all(|node| found.nodes.has(node)));
    Ok(document(&call.query.page(fitting).into_iter().map(|found| shown(&found.nodes, &found.props)).collect::<Vec<_>>()))
}

async fn modify_nodes(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let (node_a, node_b) = (call.text("node_a"), call.text("node_b"));
    Ok(call.submit(Command::ModifyNodeConnection { node_a, node_b, props: inputs::change(body) }, StatusCode::OK).await)
}

async fn of_resource(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let all = view.cluster.connections_of(&definition.name);
    Ok(document(&call.query.page(all).into_iter().map(|found| shown(&found.nodes, &found.props)).collect::<Vec<_>>()))
}

async fn one_of_resource(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let one = lookup::node(&view.cluster, call.part("node_a")).map_err(refused)?;
    let other = lookup::node(&view.cluster, call.part("node_b")).map_err(refused)?;
    let there = |node: &NodeName| view.cluster.resource(&definition.name, node).is_some();
    match Pair::new(one.name.clone(), other.name.clone()) {
        Some(nodes) if there(&one.name) && there(&other.name) => {
            let props = view.cluster.resource_connection(&definition.name, &nodes).map(|found| found.props.clone()).unwrap_or_default();
            Ok(document(&shown(&nodes, &props)))
        }
        Some(_) | None => {
            let text = format!("'{}' has no connection between '{}' and '{}'.", definition.name, one.name, other.name);
            let reply = Reply::new(Code::FAIL_NOT_FOUND_RSC_CONN, text).cause("A connection has a resource at each end.");
            Err(refusal(reply.correction("List the resources with 'linstor resource list'.")))
        }
    }
}

async fn modify_replicas(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    let (resource, node_a, node_b) = (call.text("resource"), call.text("node_a"), call.text("node_b"));
    Ok(call.submit(Command::ModifyResourceConnection { resource, node_a, node_b, props: inputs::change(body) }, StatusCode::OK).await)
}

async fn modify_proxy(call: Call) -> Answered {
    let body: DrbdProxyModify = call.body_or_default()?;
    let command = Command::ModifyDrbdProxy {
        resource: call.text("resource"),
        props: inputs::change(body.props),
        compression_type: text(body.compression_type).filter(|text| !text.is_empty()),
        compression_props: plain(body.compression_props),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

/// Ports of the body are not looked at: there is nothing that would listen on them.
async fn switch(call: Call, on: bool) -> Response {
    let (resource, node_a, node_b) = (call.text("resource"), call.text("node_a"), call.text("node_b"));
    call.submit(Command::SwitchDrbdProxy { resource, node_a, node_b, on }, StatusCode::OK).await
}

async fn proxy_infos() -> Response {
    let sections: [(&str, Option<Owner>); 5] = [
        ("DRBD_PROXY", Some(Owner::DrbdProxy)),
        ("DRBD_PROXY_LZ4", None),
        ("DRBD_PROXY_LZMA", Some(Owner::DrbdProxyLzma)),
        ("DRBD_PROXY_ZLIB", Some(Owner::DrbdProxyZlib)),
        ("DRBD_PROXY_ZSTD", Some(Owner::DrbdProxyZstd)),
    ];
    let all: BTreeMap<&str, Section> = sections.into_iter().map(|(name, owner)| (name, owner.map(section).unwrap_or_default())).collect();
    document(&all)
}
