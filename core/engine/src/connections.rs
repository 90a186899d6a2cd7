//! What is said about the way between two nodes, and between two replicas: properties and paths.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::connections::{NodeConnection, PATHS, Pair, ResourceConnection};
use berth_model::names::{NetIfName, NodeName};
use berth_model::props::{Owner, PropChange, Props};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::lookup;
use crate::resources::misdirected;

/// Commands on connections.
///
/// # Errors
/// As the operations of REST API v1 on `node-connections` and `resource-connections`.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::ModifyNodeConnection { node_a, node_b, props } => {
            draft.about(Operation::Modify, ObjectMask::NodeConnection, &[("FirstNode", node_a), ("SecondNode", node_b)]);
            modify_nodes(draft, node_a, node_b, props)
        }
        Command::ModifyResourceConnection { resource, node_a, node_b, props } => {
            let refs = [("RscDfn", resource.as_str()), ("FirstNode", node_a), ("SecondNode", node_b)];
            draft.about(Operation::Modify, ObjectMask::ResourceConnection, &refs);
            modify_replicas(draft, resource, node_a, node_b, props)
        }
        other => Err(misdirected(other)),
    }
}

/// Two nodes that exist, as a pair.
///
/// # Errors
/// 200, 300; 234 for one node twice.
fn pair(draft: &Draft<'_>, one: &str, other: &str) -> Result<Pair, Refused> {
    let (first, second) = (lookup::node(&draft.cluster, one)?.name.clone(), lookup::node(&draft.cluster, other)?.name.clone());
    two(first, second)
}

fn two(one: NodeName, other: NodeName) -> Result<Pair, Refused> {
    let text = format!("Node '{one}' has no connection with itself.");
    Pair::new(one, other).ok_or_else(|| Reply::new(Code::FAIL_INVLD_REQUEST, text).correction("Name two different nodes.").into())
}

fn modify_nodes(draft: &mut Draft<'_>, one: &str, other: &str, change: &PropChange) -> Result<(), Refused> {
    let nodes = pair(draft, one, other)?;
    lookup::unreserved(&draft.cluster, &Key::NodeConnection(nodes.clone()))?;
    let old = draft.cluster.node_connections.get(&nodes).cloned();
    let before = old.as_ref().map(|old| old.props.clone()).unwrap_or_default();
    let id = old.as_ref().map_or_else(|| draft.context.ids.next(), |old| old.id);
    let props = changed(draft, Owner::NodeConnection, &nodes, &before, change)?;
    match (old.is_some(), props.is_empty()) {
        (_, false) => draft.put(Object::NodeConnection(NodeConnection { id, nodes: nodes.clone(), props })),
        (true, true) => draft.delete(Key::NodeConnection(nodes.clone())),
        (false, true) => {}
    }
    let text = format!("Connection of nodes '{}' and '{}' modified.", nodes.first(), nodes.second());
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn modify_replicas(draft: &mut Draft<'_>, resource: &str, one: &str, other: &str, change: &PropChange) -> Result<(), Refused> {
    let first = lookup::resource(&draft.cluster, resource, one)?.clone();
    let second = lookup::resource(&draft.cluster, resource, other)?.clone();
    let nodes = two(first.node.clone(), second.node.clone())?;
    let name = first.name.clone();
    lookup::unreserved(&draft.cluster, &Key::ResourceConnection(name.clone(), nodes.clone()))?;
    let old = draft.cluster.resource_connection(&name, &nodes).cloned();
    let before = old.as_ref().map(|old| old.props.clone()).unwrap_or_default();
    let id = old.as_ref().map_or_else(|| draft.context.ids.next(), |old| old.id);
    let props = changed(draft, Owner::ResourceConnection, &nodes, &before, change)?;
    match (old.is_some(), props.is_empty()) {
        (_, false) => {
            draft.put(Object::ResourceConnection(ResourceConnection { id, resource: name.clone(), nodes: nodes.clone(), props }));
        }
        (true, true) => draft.delete(Key::ResourceConnection(name.clone(), nodes.clone())),
        (false, true) => {}
    }
    let text = format!("Connection of '{name}' between '{}' and '{}' modified.", nodes.first(), nodes.second());
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

/// The properties after a change whose paths make sense. Errors 213.
fn changed(draft: &mut Draft<'_>, owner: Owner, nodes: &Pair, before: &Props, change: &PropChange) -> Result<Props, Refused> {
    let written = change_props::write(owner, before, change)?;
    for key in change.override_props.keys() {
        let Some((_, node)) = path_end(key) else { continue };
        let interface = change.override_props.get(key).map(String::as_str).unwrap_or_default();
        has_interface(draft, nodes, key, node, interface)?;
    }
    let props = written.told(draft);
    tell_half_paths(draft, nodes, &props);
    Ok(props)
}

/// Name and node of a key `Paths/<path>/<node>`; `None`: it is none.
fn path_end(key: &str) -> Option<(&str, &str)> {
    key.trim_start_matches('/').strip_prefix(PATHS)?.strip_prefix('/')?.rsplit_once('/')
}

/// Refuses a path over a node that is not one of the two, or over a net interface that its node does not have. Error 213.
fn has_interface(draft: &Draft<'_>, nodes: &Pair, key: &str, node: &str, interface: &str) -> Result<(), Refused> {
    let bad = |why: String, correction: String| -> Result<(), Refused> {
        Err(Reply::new(Code::FAIL_INVLD_PROP, format!("'{key}' cannot be '{interface}'.")).cause(why).correction(correction).into())
    };
    let Some(end) = NodeName::parse(node).ok().filter(|name| nodes.has(name)) else {
        let why = format!("The connection is that of '{}' and '{}'.", nodes.first(), nodes.second());
        return bad(why, "End the key with one of these two nodes.".to_owned());
    };
    let known = draft.cluster.nodes.get(&end).map(|node| node.net_interfaces.as_slice()).unwrap_or_default();
    let wanted = NetIfName::parse(interface).ok();
    if wanted.is_some_and(|wanted| known.iter().any(|one| one.name == wanted)) {
        return Ok(());
    }
    bad(
        format!("Node '{end}' has no net interface of this name."),
        format!("List them with 'linstor node interface list {end}', or create it first: 'linstor node interface create'."),
    )
}

/// Tells of paths that name the interface of one node only: DRBD needs both.
fn tell_half_paths(draft: &mut Draft<'_>, nodes: &Pair, props: &Props) {
    let mut ends: BTreeMap<&str, Vec<NodeName>> = BTreeMap::new();
    for (path, node) in props.below(PATHS).filter_map(|(key, _)| path_end(key)) {
        ends.entry(path).or_default().extend(NodeName::parse(node));
    }
    let half = |ends: &[NodeName]| [nodes.first(), nodes.second()].into_iter().find(|node| !ends.contains(node)).cloned();
    let missing: Vec<(String, NodeName)> = ends.iter().filter_map(|(path, ends)| Some(((*path).to_owned(), half(ends)?))).collect();
    for (path, node) in missing {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("Path '{path}' is not complete."))
                .cause(format!("It names no net interface of '{node}'."))
                .correction(format!("Set 'Paths/{path}/{node}', too.")),
        );
    }
}

#[cfg(test)]
mod tests;
