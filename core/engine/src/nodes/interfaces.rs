//! Net interfaces of a node, and which of them leads to its satellite.

use berth_model::change::Object;
use berth_model::codes::Code;
use berth_model::names::{NetIfName, NodeName};
use berth_model::objects::{Encryption, NetIf, Node, NodeType, SatellitePort};
use berth_model::reply::Reply;

use crate::command::NetIfInput;
use crate::draft::{Draft, Effect, Refused};
use crate::lookup;

/// Port of a satellite where none is named.
const PLAIN_PORT: u16 = 3366;
/// The same with TLS.
const SSL_PORT: u16 = 3367;

fn address(text: Option<&str>) -> Result<std::net::IpAddr, Refused> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| {
        Reply::new(Code::FAIL_INVLD_NET_ADDR, format!("'{text}' is no IP address."))
            .cause("Nodes are reached by literal addresses of IPv4 or IPv6; names are resolved by whoever gives the command.")
            .correction("Give an address such as 192.0.2.7 or 2001:db8::7.")
            .into()
    })
}

fn port(number: i64) -> Result<u16, Refused> {
    u16::try_from(number).ok().filter(|port| *port != 0).ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_NET_PORT, format!("{number} is no TCP port."))
            .cause("Ports go from 1 to 65535.")
            .correction(format!("Name the port on which the satellite listens, usually {PLAIN_PORT}."))
            .into()
    })
}

fn encryption(word: &str) -> Result<Encryption, Refused> {
    Encryption::parse(word).ok_or_else(|| {
        Reply::new(Code::FAIL_INVLD_NET_TYPE, format!("'{word}' is no protection of a satellite connection."))
            .cause("The connection is PLAIN or protected by SSL.")
            .correction("Name PLAIN or SSL, or none for PLAIN.")
            .into()
    })
}

/// Where a satellite listens by this input. `here`: also where no port is named.
fn satellite(input: &NetIfInput, here: bool) -> Result<Option<SatellitePort>, Refused> {
    let encryption = input.satellite_encryption_type.as_deref().map_or(Ok(Encryption::Plain), encryption)?;
    let usual = match encryption {
        Encryption::Plain => PLAIN_PORT,
        Encryption::Ssl => SSL_PORT,
    };
    let port = input.satellite_port.map(port).transpose()?.or(here.then_some(usual));
    Ok(port.map(|port| SatellitePort { port, encryption }))
}

fn interface(draft: &mut Draft<'_>, input: &NetIfInput, here: bool) -> Result<NetIf, Refused> {
    let name = lookup::net_if_name(&input.name)?;
    let address = address(input.address.as_deref())?;
    let satellite = satellite(input, here)?;
    Ok(NetIf { id: draft.context.ids.next(), name, address, satellite })
}

fn exists(node: &NodeName, name: &NetIfName) -> Refused {
    Reply::new(Code::FAIL_EXISTS_NET_IF, format!("Node '{node}' has a net interface '{name}' already."))
        .cause("Names are compared without regard to case.")
        .correction("Choose another name, or change the interface that is there.")
        .into()
}

/// A node that stands for something remote has one interface. Error 201.
pub(super) fn single(kind: NodeType, count: usize) -> Result<(), Refused> {
    if count <= 1 {
        return Ok(());
    }
    Err(Reply::new(Code::FAIL_INVLD_NODE_TYPE, format!("A node of type {kind} has one net interface, not {count}."))
        .correction("Leave only the interface that leads to it.")
        .into())
}

/// The interfaces of a new node and the one to its satellite. A satellite port that is named nowhere is the usual one on the
/// first interface (or the one marked active).
pub(super) fn of_new_node(
    draft: &mut Draft<'_>,
    node: &NodeName,
    kind: NodeType,
    inputs: &[NetIfInput],
) -> Result<(Vec<NetIf>, Option<NetIfName>), Refused> {
    if inputs.is_empty() {
        return Err(Reply::new(Code::FAIL_MISSING_NETCOM, format!("Node '{node}' has no net interface."))
            .cause("A node is reached over at least one.")
            .correction("Give the node's address: 'linstor node create NAME ADDRESS'.")
            .into());
    }
    if matches!(kind, NodeType::RemoteSpdk | NodeType::EbsTarget) {
        single(kind, inputs.len())?;
    }
    let marked = inputs.iter().position(|input| input.is_active == Some(true));
    let guessed = inputs.iter().all(|input| input.satellite_port.is_none()).then_some(marked.unwrap_or(0));
    let mut made: Vec<NetIf> = Vec::new();
    for (at, input) in inputs.iter().enumerate() {
        let one = interface(draft, input, guessed == Some(at) || marked == Some(at))?;
        if made.iter().any(|other| other.name == one.name) {
            return Err(exists(node, &one.name));
        }
        made.push(one);
    }
    let first = || made.iter().find(|one| one.satellite.is_some());
    let active = marked.and_then(|at| made.get(at)).or_else(first).map(|one| one.name.clone());
    Ok((made, active))
}

fn changed(draft: &mut Draft<'_>, node: Node, reconnect: bool) {
    let name = node.name.clone();
    draft.put(Object::Node(node));
    if reconnect {
        draft.applied.effects.push(Effect::Reconnect(name));
    }
}

pub(super) fn create(draft: &mut Draft<'_>, text: &str, input: &NetIfInput) -> Result<(), Refused> {
    let mut node = (**lookup::node(&draft.cluster, text)?).clone();
    let one = interface(draft, input, false)?;
    if node.net_interfaces.iter().any(|other| other.name == one.name) {
        return Err(exists(&node.name, &one.name));
    }
    if matches!(node.node_type, NodeType::RemoteSpdk | NodeType::EbsTarget) {
        single(node.node_type, node.net_interfaces.len() + 1)?;
    }
    let leads = input.is_active == Some(true) || (node.active.is_none() && one.satellite.is_some());
    if leads {
        needs_port(&node, &one)?;
        node.active = Some(one.name.clone());
    }
    let text = format!("New net interface '{}' of node '{}' registered.", one.name, node.name);
    let id = one.id;
    node.net_interfaces.push(one);
    changed(draft, node, leads);
    draft.reply(Reply::new(Code::CREATED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn needs_port(node: &Node, one: &NetIf) -> Result<(), Refused> {
    if one.satellite.is_some() {
        return Ok(());
    }
    Err(Reply::new(Code::FAIL_INVLD_NET_PORT, format!("Net interface '{}' of node '{}' has no satellite port.", one.name, node.name))
        .cause("The satellite is reached over an interface whose port is known.")
        .correction(format!("Name the port, too: 'linstor node interface modify {} {} --port {PLAIN_PORT} --active'.", node.name, one.name))
        .into())
}

pub(super) fn modify(draft: &mut Draft<'_>, text: &str, input: &NetIfInput) -> Result<(), Refused> {
    let mut node = (**lookup::node(&draft.cluster, text)?).clone();
    let name = lookup::net_if_name(&input.name)?;
    let Some(at) = node.net_interfaces.iter().position(|one| one.name == name) else {
        return Err(Reply::new(Code::FAIL_NOT_FOUND_NET_IF, format!("Node '{}' has no net interface '{name}'.", node.name))
            .correction(format!("List the interfaces with 'linstor node interface list {}'.", node.name))
            .into());
    };
    let Some(before) = node.net_interfaces.get(at).cloned() else { return Ok(()) };
    let mut one = before.clone();
    if input.address.is_some() {
        one.address = address(input.address.as_deref())?;
    }
    if let Some(number) = input.satellite_port {
        let port = port(number)?;
        one.satellite = Some(SatellitePort { port, encryption: before.satellite.map_or(Encryption::Plain, |old| old.encryption) });
    }
    if let Some(word) = &input.satellite_encryption_type {
        let encryption = encryption(word)?;
        needs_port(&node, &one)?;
        one.satellite = one.satellite.map(|old| SatellitePort { encryption, ..old });
    }
    let mut moved = false;
    if input.is_active == Some(true) && node.active.as_ref() != Some(&one.name) {
        needs_port(&node, &one)?;
        moved = true;
    } else if node.active.is_none() && one.satellite.is_some() {
        moved = true;
    }
    if moved {
        node.active = Some(one.name.clone());
    }
    let reconnect = moved || (one != before && node.active.as_ref() == Some(&one.name));
    let (id, text) = (one.id, format!("Net interface '{}' of node '{}' modified.", one.name, node.name));
    if let Some(place) = node.net_interfaces.get_mut(at) {
        *place = one;
    }
    changed(draft, node, reconnect);
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

pub(super) fn delete(draft: &mut Draft<'_>, text: &str, name: &str) -> Result<(), Refused> {
    let node_name = lookup::node_name(text)?;
    let name = lookup::net_if_name(name)?;
    let found = draft.cluster.nodes.get(&node_name).and_then(|node| {
        let at = node.net_interfaces.iter().position(|one| one.name == name)?;
        Some(((**node).clone(), at))
    });
    let Some((mut node, at)) = found else {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Net interface '{name}' of node '{node_name}' not found."))
                .cause("It does not exist, or was deleted already."),
        );
        return Ok(());
    };
    if node.net_interfaces.len() == 1 {
        return Err(Reply::new(Code::FAIL_MISSING_NETCOM, format!("'{name}' is the only net interface of node '{node_name}'."))
            .cause("A node is reached over at least one.")
            .correction("Create another interface first, or delete the node.")
            .into());
    }
    let one = node.net_interfaces.remove(at);
    let was_active = node.active.as_ref() == Some(&one.name);
    if was_active {
        let mut next: Vec<&NetIf> = node.net_interfaces.iter().filter(|other| other.satellite.is_some()).collect();
        next.sort_by(|a, b| a.name.cmp(&b.name));
        node.active = next.first().map(|other| other.name.clone());
    }
    let unreachable = was_active && node.active.is_none();
    let id = one.id;
    changed(draft, node, was_active);
    if unreachable {
        draft.reply(
            Reply::new(
                Code::WARN_NO_STLT_CONN_DEFINED,
                format!("Net interface '{name}' deleted; node '{node_name}' has no satellite connection now."),
            )
            .cause("None of its other interfaces has a satellite port.")
            .correction(format!("Give one a port: 'linstor node interface modify {node_name} NAME --port {PLAIN_PORT}'.")),
        );
    } else {
        let text = format!("Net interface '{name}' of node '{node_name}' deleted.");
        draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {id}")).refer("UUID", id));
    }
    Ok(())
}
