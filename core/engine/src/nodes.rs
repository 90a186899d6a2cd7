//! Nodes: made, changed, connected anew, given back.

mod emptying;
mod evicting;
mod interfaces;
mod leaving;

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{NodeFlag, NodeFlags};
use berth_model::layers::ProviderKind;
use berth_model::names::{DISKLESS_POOL, NodeName, StorPoolName};
use berth_model::objects::{Node, NodeType, StorPool};
use berth_model::props::{Owner, PropChange, Props};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::{Command, NetIfInput};
use crate::draft::{Draft, Effect, Refused};
use crate::lookup;
use crate::resources::misdirected;

pub(crate) use emptying::{end_evacuation, take_marks_off};
pub use leaving::unfinished;
pub(crate) use leaving::{clear_ties, drop_copy, lose_some, warn_of};

/// Property of nodes and pools that names the net interface for data.
const PREFERRED_INTERFACE: &str = "PrefNic";

/// Commands on nodes and their net interfaces.
///
/// # Errors
/// As the operations of REST API v1 on nodes.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateNode { name, node_type, net_interfaces, props } => {
            draft.about(Operation::Create, ObjectMask::Node, &[("Node", name)]);
            create(draft, name, node_type.as_deref(), net_interfaces, props)
        }
        Command::ModifyNode { node, node_type, props } => {
            draft.about(Operation::Modify, ObjectMask::Node, &[("Node", node)]);
            modify(draft, node, node_type.as_deref(), props)
        }
        Command::DeleteNode { node } => {
            draft.about(Operation::Delete, ObjectMask::Node, &[("Node", node)]);
            leaving::delete(draft, node)
        }
        Command::LoseNode { node } => {
            draft.about(Operation::Delete, ObjectMask::Node, &[("Node", node)]);
            leaving::lose(draft, node)
        }
        Command::ReconnectNode { node } => {
            draft.about(Operation::Modify, ObjectMask::Node, &[("Node", node)]);
            reconnect(draft, node)
        }
        Command::RestoreNode { node, delete_resources, delete_snapshots } => {
            draft.about(Operation::Modify, ObjectMask::Node, &[("Node", node)]);
            emptying::restore(draft, node, *delete_resources, *delete_snapshots)
        }
        Command::EvictNode { node } => {
            draft.about(Operation::Modify, ObjectMask::Node, &[("Node", node)]);
            evicting::evict(draft, node)
        }
        Command::EvacuateNode { node, target, do_not_target } => {
            draft.about(Operation::Modify, ObjectMask::Node, &[("Node", node)]);
            emptying::evacuate(draft, node, target, do_not_target)
        }
        Command::CreateNetIf { node, interface } => {
            draft.about(Operation::Create, ObjectMask::NetIf, &[("Node", node)]);
            interfaces::create(draft, node, interface)
        }
        Command::ModifyNetIf { node, interface } => {
            draft.about(Operation::Modify, ObjectMask::NetIf, &[("Node", node)]);
            interfaces::modify(draft, node, interface)
        }
        Command::DeleteNetIf { node, name } => {
            draft.about(Operation::Delete, ObjectMask::NetIf, &[("Node", node)]);
            interfaces::delete(draft, node, name)
        }
        other => Err(misdirected(other)),
    }
}

fn node_type(word: &str) -> Result<NodeType, Refused> {
    NodeType::parse(word).ok_or_else(|| {
        let words: Vec<&str> = NodeType::ALL.iter().map(|kind| kind.word()).collect();
        Reply::new(Code::FAIL_INVLD_NODE_TYPE, format!("'{word}' is no type of a node."))
            .cause(format!("The types are {}.", words.join(", ")))
            .correction("Name one of these types, or none for SATELLITE.")
            .into()
    })
}

fn create(
    draft: &mut Draft<'_>,
    text: &str,
    kind: Option<&str>,
    inputs: &[NetIfInput],
    props: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let name = lookup::node_name(text)?;
    let kind = kind.map_or(Ok(NodeType::Satellite), node_type)?;
    lookup::unreserved(&draft.cluster, &Key::Node(name.clone()))?;
    if draft.cluster.nodes.contains_key(&name) {
        return Err(Reply::new(Code::FAIL_EXISTS_NODE, format!("Node '{name}' exists already."))
            .cause("Names are compared without regard to case.")
            .correction("Choose another name, or change the node that is there.")
            .into());
    }
    let (net_interfaces, active) = interfaces::of_new_node(draft, &name, kind, inputs)?;
    let props = change_props::first(Owner::Node, props)?;
    let node = Node {
        id: draft.context.ids.next(),
        name: name.clone(),
        node_type: kind,
        flags: NodeFlags::default(),
        net_interfaces,
        active,
        props: props.told(draft),
        created: draft.context.now,
        absence: None,
    };
    known_interface(&node, &node.props)?;
    let id = node.id;
    draft.put(Object::Node(node));
    if kind.has_satellite() {
        add_diskless_pool(draft, &name);
        draft.applied.await_node = Some(name.clone());
    }
    draft.reply(Reply::new(Code::CREATED, format!("New node '{name}' registered.")).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

/// The preferred interface of a node or of one of its pools must be one of the node's. Error 213.
pub(crate) fn known_interface(node: &Node, props: &Props) -> Result<(), Refused> {
    let Some(wanted) = props.get(PREFERRED_INTERFACE) else { return Ok(()) };
    if node.net_interfaces.iter().any(|interface| interface.name.as_str().eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let names: Vec<&str> = node.net_interfaces.iter().map(|interface| interface.name.as_str()).collect();
    Err(Reply::new(
        Code::FAIL_INVLD_PROP,
        format!("'{wanted}' is no value for '{PREFERRED_INTERFACE}': node '{}' has no such net interface.", node.name),
    )
    .cause(format!("Its net interfaces are {}.", names.join(", ")))
    .correction("Name one of these, or create the interface first: 'linstor node interface create'.")
    .into())
}

fn diskless_name() -> StorPoolName {
    StorPoolName::parse(DISKLESS_POOL).expect("the constant is a name")
}

/// Every node with a satellite has the pool of diskless replicas.
fn add_diskless_pool(draft: &mut Draft<'_>, node: &NodeName) {
    let name = crate::pools::definition_for(draft, &diskless_name());
    let pool = StorPool {
        id: draft.context.ids.next(),
        node: node.clone(),
        name,
        provider: ProviderKind::Diskless,
        shared_space: None,
        external_locking: false,
        props: Props::default(),
    };
    draft.put(Object::StorPool(pool));
}

fn modify(draft: &mut Draft<'_>, text: &str, kind: Option<&str>, props: &PropChange) -> Result<(), Refused> {
    let mut node = (**lookup::node(&draft.cluster, text)?).clone();
    let kind = kind.map(node_type).transpose()?.unwrap_or(node.node_type);
    if kind != node.node_type {
        change_type(draft, &node, kind)?;
        node.node_type = kind;
    }
    node.props = change_props::changed(draft, Owner::Node, &node.props, props)?;
    if props.override_props.keys().any(|key| key.trim_start_matches('/') == PREFERRED_INTERFACE) {
        known_interface(&node, &node.props)?;
    }
    let (id, name) = (node.id, node.name.clone());
    draft.put(Object::Node(node));
    draft.reply(Reply::new(Code::MODIFIED, format!("Node '{name}' modified.")).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

/// A node that stops to have a satellite must hold nothing; its diskless pool goes, or comes.
fn change_type(draft: &mut Draft<'_>, node: &Node, kind: NodeType) -> Result<(), Refused> {
    let (before, after) = (node.node_type.has_satellite(), kind.has_satellite());
    if before && !after {
        let pools: Vec<String> = draft
            .cluster
            .pools_of(&node.name)
            .filter(|pool| pool.name != diskless_name())
            .map(|pool| format!("storage pool '{}'", pool.name))
            .collect();
        let holds = leaving::holdings(&draft.cluster, &node.name).into_iter().chain(pools).collect::<Vec<_>>();
        if !holds.is_empty() {
            return Err(Reply::new(Code::FAIL_INVLD_NODE_TYPE, format!("Node '{}' cannot become {kind}.", node.name))
                .cause(format!("A node of this type runs no satellite, and this one still has {}.", holds.join(", ")))
                .correction("Delete these first, or choose a type that runs a satellite.")
                .into());
        }
        draft.delete(Key::StorPool(node.name.clone(), diskless_name()));
        draft.applied.effects.push(Effect::Reconnect(node.name.clone()));
    } else if after && !before {
        add_diskless_pool(draft, &node.name);
        draft.applied.effects.push(Effect::Reconnect(node.name.clone()));
    }
    if matches!(kind, NodeType::RemoteSpdk | NodeType::EbsTarget) {
        interfaces::single(kind, node.net_interfaces.len())?;
    }
    Ok(())
}

fn reconnect(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let node = lookup::node(&draft.cluster, text)?.clone();
    if node.flags.has(NodeFlag::Evicted) {
        draft.reply(
            Reply::new(Code::WARN_NODE_EVICTED, format!("Node '{}' is evicted and stays unconnected.", node.name))
                .cause("Its replicas were given up and made anew elsewhere.")
                .correction(format!("Take it back first: 'linstor node restore {}'.", node.name)),
        );
        return Ok(());
    }
    if !node.node_type.has_satellite() || node.active_interface().is_none() {
        draft.reply(
            Reply::new(Code::WARN_NO_STLT_CONN_DEFINED, format!("Node '{}' has no satellite to connect to.", node.name))
                .cause(format!(
                    "It is of type {}, its satellite interface is {}.",
                    node.node_type,
                    node.active.as_ref().map_or("none", |name| name.as_str())
                ))
                .correction("Create an interface with a satellite port: 'linstor node interface create --port 3366 …'."),
        );
        return Ok(());
    }
    draft.say(Code::DONE, format!("Node '{}' is connected anew.", node.name));
    draft.applied.effects.push(Effect::Reconnect(node.name.clone()));
    draft.applied.await_node = Some(node.name.clone());
    Ok(())
}

#[cfg(test)]
mod tests;
