//! Nodes and net interfaces.

use std::collections::BTreeMap;

use berth_api::node::{NetInterface, Node as NodeDocument};
use berth_api::seen::{Moment, SeenWhen};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::objects::{NetIf, Node};
use berth_model::observed::{Capabilities, ConnectionStatus};
use berth_model::time::Timestamp;

use crate::View;

/// A net interface.
pub fn interface(node: &Node, interface: &NetIf) -> NetInterface {
    NetInterface {
        name: interface.name.to_string(),
        address: interface.address.to_string(),
        satellite_port: interface.satellite.map(|satellite| satellite.port),
        satellite_encryption_type: interface.satellite.map(|satellite| satellite.encryption.word()),
        is_active: node.active.as_ref() == Some(&interface.name),
        uuid: interface.id.to_string(),
    }
}

/// A node. `heard`: the last sign of life of its satellite.
pub fn node(view: &View, node: &Node, heard: Option<Timestamp>) -> NodeDocument {
    let seen = view.observed.nodes.get(&node.name);
    let capabilities = seen.and_then(|seen| seen.capabilities.as_ref());
    let mut props = super::props(&node.props);
    if let Some(active) = &node.active {
        props.insert("CurStltConnName".to_owned(), active.to_string());
    }
    if let Some(capabilities) = capabilities {
        props.insert("NodeUname".to_owned(), capabilities.uname.clone());
    }
    let status = match seen {
        Some(seen) => seen.status,
        None if node.node_type.has_satellite() && node.active.is_none() => ConnectionStatus::NoStltConn,
        None => ConnectionStatus::Offline,
    };
    let mut reports = Vec::new();
    if let Some(reason) =
        seen.and_then(|seen| seen.reason.as_ref()).filter(|_| status != ConnectionStatus::Offline && status != ConnectionStatus::Online)
    {
        reports.push(super::super::answer::entry(
            &berth_model::reply::Reply::new(berth_model::codes::Code::WARN_NOT_CONNECTED, reason.clone())
                .correction("Look at the satellite's log on the node."),
        ));
    }
    let untold = if capabilities.is_none() { untold(node) } else { Default::default() };
    let able = capabilities.map_or(&untold, |capabilities| &**capabilities);
    NodeDocument {
        name: node.name.to_string(),
        node_type: node.node_type.word(),
        props,
        flags: node.flags.shown(),
        net_interfaces: interfaces(node).into_iter().map(|one| interface(node, one)).collect(),
        connection_status: status.word(),
        uuid: node.id.to_string(),
        storage_providers: able.providers.iter().map(|kind| kind.word()).collect(),
        resource_layers: able.layers.iter().map(|kind| kind.word()).collect(),
        unsupported_providers: reasons(&able.unsupported_providers, ProviderKind::word),
        unsupported_layers: reasons(&able.unsupported_layers, LayerKind::word),
        eviction_timestamp: berth_engine::eviction::planned(&view.cluster, &view.observed, node).map(|at| at.0),
        platform: capabilities.map(|_| "LINUX"),
        os_variant: capabilities.map(|able| able.os.clone()).unwrap_or_default(),
        reports,
        berth: SeenWhen {
            last_heard: heard.map(|at| Moment::of_millis(at.0)),
            ..super::when(seen.map(AsRef::as_ref), seen.and_then(|seen| seen.reported), node.created).into_owned()
        },
    }
}

/// The net interfaces of a node in the order of their names.
pub fn interfaces(node: &Node) -> Vec<&NetIf> {
    let mut list: Vec<_> = node.net_interfaces.iter().collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list
}

/// What a satellite can do that has told nothing yet: what needs nothing of its machine.
fn untold(node: &Node) -> Capabilities {
    if !node.node_type.has_satellite() {
        return Capabilities::default();
    }
    let why = || vec!["Its satellite was not connected since the controller's start.".to_owned()];
    Capabilities {
        providers: vec![ProviderKind::Diskless],
        layers: vec![LayerKind::Storage],
        unsupported_providers: ProviderKind::ALL
            .iter()
            .filter(|kind| **kind != ProviderKind::Diskless)
            .map(|kind| (*kind, why()))
            .collect(),
        unsupported_layers: LayerKind::ALL.iter().filter(|kind| **kind != LayerKind::Storage).map(|kind| (*kind, why())).collect(),
        ..Capabilities::default()
    }
}

fn reasons<K: Copy>(map: &BTreeMap<K, Vec<String>>, word: fn(K) -> &'static str) -> BTreeMap<&'static str, Vec<String>> {
    map.iter().map(|(kind, reasons)| (word(*kind), reasons.clone())).collect()
}
