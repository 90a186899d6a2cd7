//! The one allocator of numbers (law 8): DRBD minors, TCP ports, DRBD node ids.
//!
//! Each function only looks; the caller puts the [`NumberClaim`] that it returns, with whatever holds the number, in one transaction.
//! What a number costs to find does not depend on how many are taken: minors are kept as runs, ports of a node and node ids of
//! a definition are looked at alone. Ranges and codes: REST API v1, number pools.

use std::ops::RangeInclusive;

use berth_model::change::{NumberClaim, NumberKey};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::DefinitionFlag;
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Node, ResourceDefinition};
use berth_model::props::{Chain, MINOR_RANGE, PEER_SLOTS, Source, TCP_PORT_RANGE, TCP_PORTS_BLOCKED, parse_range, parse_ranges};
use berth_model::reply::Reply;
use uuid::Uuid;

use crate::draft::Refused;
use crate::sizes::{DEFAULT_PEERS, MAX_PEERS};

/// Minors that are given where the property says nothing.
const MINORS: RangeInclusive<u32> = 1000..=49_999;
/// Largest minor of Linux.
const MAX_MINOR: u32 = (1 << 20) - 1;
/// Ports that are given where the properties say nothing.
const PORTS: RangeInclusive<u32> = 7000..=7999;
/// Largest DRBD node id.
const MAX_NODE_ID: u8 = 31;

fn taken(code: Code, what: &str, correction: &str) -> Refused {
    Reply::new(code, format!("{what} is taken.")).correction(correction).into()
}

/// A DRBD minor for the volume definition `holder`: the wanted one, or the lowest free one of the range.
///
/// # Errors
/// 207 if the wanted one is taken or no minor, 801 if none is left.
pub fn minor(cluster: &Cluster, wanted: Option<i64>, holder: Uuid) -> Result<(u32, NumberClaim), Refused> {
    let claim = |minor| (minor, NumberClaim { key: NumberKey::Minor { minor }, holder });
    if let Some(number) = wanted {
        let minor = u32::try_from(number).ok().filter(|minor| *minor <= MAX_MINOR).ok_or_else(|| {
            Reply::new(Code::FAIL_INVLD_MINOR_NR, format!("{number} is not a device minor."))
                .cause(format!("Minors go from 0 to {MAX_MINOR}."))
                .correction("Choose a number in this range, or leave it out to get a free one.")
        })?;
        if cluster.is_taken(&NumberKey::Minor { minor }) {
            return Err(taken(
                Code::FAIL_INVLD_MINOR_NR,
                &format!("Minor {minor}"),
                "Choose another one, or leave it out to get a free one.",
            ));
        }
        return Ok(claim(minor));
    }
    let range = cluster.controller.props.get(MINOR_RANGE).and_then(parse_range).unwrap_or(MINORS);
    let (from, to) = (*range.start(), (*range.end()).min(MAX_MINOR));
    cluster.lowest_free_minor(from, to).map(claim).ok_or_else(|| {
        Reply::new(Code::FAIL_POOL_EXHAUSTED_MINOR_NR, "No device minor is left.")
            .cause(format!("All of {from}-{to} are taken."))
            .correction(format!("Widen {MINOR_RANGE} of the controller, or delete volume definitions."))
            .into()
    })
}

/// TCP ports on a node for the replica `holder`: all that are wanted, or one free one.
///
/// # Errors
/// 215 if a wanted one is taken, blocked, named twice or no port; 802 if none is left.
pub fn ports(cluster: &Cluster, node: &NodeName, wanted: &[i64], holder: Uuid) -> Result<(Vec<u16>, Vec<NumberClaim>), Refused> {
    let known = cluster.nodes.get(node).map(AsRef::as_ref);
    let mut chosen = Vec::with_capacity(wanted.len().max(1));
    for number in wanted {
        let port = u16::try_from(*number).ok().filter(|port| *port > 0).ok_or_else(|| {
            Reply::new(Code::FAIL_INVLD_TCP_PORT, format!("{number} is not a TCP port."))
                .cause("Ports go from 1 to 65535.")
                .correction("Choose a number in this range, or leave it out to get a free one.")
        })?;
        if cluster.is_taken(&NumberKey::Port { node: node.clone(), port }) || chosen.contains(&port) {
            let what = format!("TCP port {port} on node '{node}'");
            return Err(taken(Code::FAIL_INVLD_TCP_PORT, &what, "Choose another one, or leave it out to get a free one."));
        }
        chosen.push(port);
    }
    if chosen.is_empty() {
        chosen = lowest_free_ports(cluster, node, known, 1)?;
    }
    let claims = chosen.iter().map(|port| NumberClaim { key: NumberKey::Port { node: node.clone(), port: *port }, holder }).collect();
    Ok((chosen, claims))
}

/// The lowest free TCP ports of a node's range, to be wished for in [`ports`] (`port_count` of a select filter).
///
/// # Errors
/// 802 if too few are left.
pub fn free_ports(cluster: &Cluster, node: &NodeName, count: usize) -> Result<Vec<i64>, Refused> {
    let known = cluster.nodes.get(node).map(AsRef::as_ref);
    Ok(lowest_free_ports(cluster, node, known, count)?.into_iter().map(i64::from).collect())
}

fn lowest_free_ports(cluster: &Cluster, name: &NodeName, node: Option<&Node>, count: usize) -> Result<Vec<u16>, Refused> {
    let range = port_range(cluster, node);
    let blocked = node.and_then(|node| node.props.get(TCP_PORTS_BLOCKED)).and_then(parse_ranges).unwrap_or_default();
    let (mut from, to) = ((*range.start()).max(1), (*range.end()).min(u32::from(u16::MAX)));
    let mut found: Vec<u16> = Vec::new();
    while found.len() < count
        && let (Ok(first), Ok(last)) = (u16::try_from(from), u16::try_from(to))
        && let Some(port) = cluster.lowest_free_port(name, first, last)
    {
        from = match blocked.iter().find(|range| range.contains(&u32::from(port))) {
            Some(range) => range.end().saturating_add(1),
            None => {
                found.push(port);
                u32::from(port) + 1
            }
        };
    }
    if found.len() == count {
        return Ok(found);
    }
    Err(Reply::new(Code::FAIL_POOL_EXHAUSTED_TCP_PORT, format!("No TCP port is left on node '{name}'."))
        .cause(format!("All of {}-{} are taken or blocked.", range.start(), range.end()))
        .correction(format!("Widen {TCP_PORT_RANGE} of the node or the controller, or delete resources of the node."))
        .into())
}

fn port_range(cluster: &Cluster, node: Option<&Node>) -> RangeInclusive<u32> {
    // Nearest first: a node may have a range of its own.
    let own = node.and_then(|node| node.props.get(TCP_PORT_RANGE)).and_then(parse_range);
    own.or_else(|| cluster.controller.props.get(TCP_PORT_RANGE).and_then(parse_range)).unwrap_or(PORTS)
}

/// A DRBD node id among the replicas of a definition for the replica `holder`: the wanted one, or the lowest free one that no replica had
/// which is gone, as the peers that are left may not have forgotten it; else the lowest free one.
///
/// # Errors
/// 204 if the wanted one is taken or no node id, 803 if none is left.
pub fn node_id(cluster: &Cluster, resource: &ResourceName, wanted: Option<i64>, holder: Uuid) -> Result<(u8, NumberClaim), Refused> {
    let taken_here = cluster.node_ids_of(resource);
    let claim = |node_id| (node_id, NumberClaim { key: NumberKey::NodeId { resource: resource.clone(), node_id }, holder });
    if let Some(number) = wanted {
        let node_id = u8::try_from(number).ok().filter(|id| *id <= MAX_NODE_ID).ok_or_else(|| {
            Reply::new(Code::FAIL_INVLD_NODE_ID, format!("{number} is not a DRBD node id."))
                .cause(format!("Node ids go from 0 to {MAX_NODE_ID}."))
                .correction("Choose a number in this range, or leave it out to get a free one.")
        })?;
        if taken_here.contains(&node_id) {
            let what = format!("DRBD node id {node_id} of '{resource}'");
            return Err(taken(Code::FAIL_INVLD_NODE_ID, &what, "Choose another one, or leave it out to get a free one."));
        }
        return Ok(claim(node_id));
    }
    let used = cluster.definitions.get(resource).map_or(0, |definition| definition.drbd.used_node_ids);
    let unused = if taken_here.is_empty() { 0 } else { used };
    let mut free = (unused..=MAX_NODE_ID).chain(0..=MAX_NODE_ID).filter(|id| !taken_here.contains(id));
    free.next().map(claim).ok_or_else(|| {
        Reply::new(Code::FAIL_POOL_EXHAUSTED_NODE_ID, format!("'{resource}' has no DRBD node id left."))
            .cause(format!("A resource has at most {} nodes.", u16::from(MAX_NODE_ID) + 1))
            .correction("Delete a replica on another node first.")
            .into()
    })
}

/// The definition that remembers that a DRBD node id was in use; `None`: nothing changes, or nobody is left who could know the id.
#[must_use]
pub fn used_node_id(cluster: &Cluster, resource: &ResourceName, node_id: u8) -> Option<ResourceDefinition> {
    let definition = cluster.definitions.get(resource)?;
    let known = definition.drbd.used_node_ids > node_id || definition.flags.has(DefinitionFlag::Delete);
    if known || cluster.replicas(resource).next().is_none() {
        return None;
    }
    let mut used = (**definition).clone();
    used.drbd.used_node_ids = node_id.saturating_add(1);
    Some(used)
}

/// Bitmap slots of a new replica, 1 to 31: the definition's, else of its properties, its group, the group's properties, the controller; else 7.
#[must_use]
pub fn peer_slots(cluster: &Cluster, definition: &ResourceDefinition) -> u8 {
    let group = cluster.groups.get(&definition.group);
    let from = |source, props| Chain::new().with(source, props).get(PEER_SLOTS).and_then(|text| text.parse::<u8>().ok());
    definition
        .drbd
        .peer_slots
        .or_else(|| from(Source::ResourceDefinition, &definition.props))
        .or_else(|| group.and_then(|group| group.peer_slots))
        .or_else(|| group.and_then(|group| from(Source::ResourceGroup, &group.props)))
        .or_else(|| from(Source::Controller, &cluster.controller.props))
        .unwrap_or(DEFAULT_PEERS)
        .clamp(1, MAX_PEERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{World, node, resource};
    use berth_model::change::Object;

    fn code<T: std::fmt::Debug>(outcome: Result<T, Refused>) -> u64 {
        outcome.unwrap_err().replies[0].code.number()
    }

    fn holder() -> Uuid {
        Uuid::nil()
    }

    #[test]
    fn minors() {
        let mut world = World::of("node alpha");
        let mut controller = (*world.cluster.controller).clone();
        controller.props.insert_internal(MINOR_RANGE, "1000-1002");
        world.put(Object::Controller(controller));
        for (wanted, expect) in [(None, 1000), (Some(1001), 1001), (Some(7), 7), (None, 1002)] {
            let (minor, claim) = minor(&world.cluster, wanted, holder()).unwrap();
            assert_eq!(minor, expect);
            world.put(Object::Number(claim));
        }
        assert_eq!(code(minor(&world.cluster, Some(1001), holder())), 207);
        assert_eq!(code(minor(&world.cluster, Some(1 << 20), holder())), 207);
        assert_eq!(code(minor(&world.cluster, Some(-1), holder())), 207);
        assert_eq!(code(minor(&world.cluster, None, holder())), 801);
    }

    #[test]
    fn the_number_of_a_broken_record_is_not_given_out() {
        let mut world = World::of("node alpha");
        let broken = |key: &str| berth_model::cluster::Quarantined { kind: "number".into(), key: key.into(), why: "x".into() };
        world.cluster.set_aside(["minor/1000", "port/ALPHA/7000", "node-id/DATA/0"].map(broken).into());
        let (name, alpha) = (resource("data"), node("alpha"));
        assert_eq!(minor(&world.cluster, None, holder()).unwrap().0, 1001);
        assert_eq!(code(minor(&world.cluster, Some(1000), holder())), 207);
        assert_eq!(ports(&world.cluster, &alpha, &[], holder()).unwrap().0, [7001]);
        assert_eq!(code(ports(&world.cluster, &alpha, &[7000], holder())), 215);
        assert_eq!(node_id(&world.cluster, &name, None, holder()).unwrap().0, 1);
        assert_eq!(code(node_id(&world.cluster, &name, Some(0), holder())), 204);
    }

    #[test]
    fn ports_of_a_node() {
        let mut world = World::of("node alpha TcpPortAutoRange=8000-8003 TcpPortsBlocked=8001,8002-8002; node bravo");
        let (alpha, bravo) = (node("alpha"), node("bravo"));
        let take = |world: &mut World, on: &NodeName, wanted: &[i64]| {
            let (ports, claims) = ports(&world.cluster, on, wanted, holder())?;
            claims.into_iter().for_each(|claim| world.put(Object::Number(claim)));
            Ok::<_, Refused>(ports)
        };
        assert_eq!(take(&mut world, &alpha, &[]).unwrap(), [8000]);
        assert_eq!(take(&mut world, &alpha, &[]).unwrap(), [8003]);
        assert_eq!(code(take(&mut world, &alpha, &[])), 802);
        assert_eq!(take(&mut world, &alpha, &[7000, 7001]).unwrap(), [7000, 7001]);
        assert_eq!(take(&mut world, &bravo, &[]).unwrap(), [7000]);
        for wanted in [&[7001][..], &[9000, 9000], &[0], &[65_536]] {
            assert_eq!(code(take(&mut world, &alpha, wanted)), 215);
        }
        assert_eq!(free_ports(&world.cluster, &bravo, 3).unwrap(), [7001, 7002, 7003]);
    }

    #[test]
    fn node_ids_of_a_definition() {
        let mut world = World::of("node alpha");
        let name = resource("data");
        for (wanted, expect) in [(None, 0), (Some(2), 2), (None, 1), (None, 3)] {
            let (id, claim) = node_id(&world.cluster, &name, wanted, holder()).unwrap();
            assert_eq!(id, expect);
            world.put(Object::Number(claim));
        }
        assert_eq!(code(node_id(&world.cluster, &name, Some(2), holder())), 204);
        assert_eq!(code(node_id(&world.cluster, &name, Some(32), holder())), 204);
        assert_eq!(node_id(&world.cluster, &resource("other"), None, holder()).unwrap().0, 0);
        for _ in 4..32 {
            let (_, claim) = node_id(&world.cluster, &name, None, holder()).unwrap();
            world.put(Object::Number(claim));
        }
        assert_eq!(code(node_id(&world.cluster, &name, None, holder())), 803);
    }
}
