//! Documents in events.

use serde::Serialize;

use crate::node::Node;

/// `node-create`, `node-delete`, `node-evacuate`, `node-evicted`, `node-restored` (REST v1, `EventNode`).
#[derive(Debug, Serialize)]
pub struct NodeEvent {
    /// The node.
    pub node: Node,
}

/// `node-modified` (REST v1, `EventNodeModified`).
#[derive(Debug, Serialize)]
pub struct NodeModified {
    /// As it was.
    pub old_node: Node,
    /// As it is.
    pub new_node: Node,
}

/// `may-promote-change` (REST v1, `EventMayPromoteChange`).
#[derive(Debug, Serialize)]
pub struct MayPromoteChange<'a> {
    /// Name of the resource.
    pub resource_name: &'a str,
    /// Node of the replica.
    pub node_name: &'a str,
    /// Whether DRBD would let it become Primary.
    pub may_promote: bool,
}

/// `ready`, the first event of `/v1/berth/events`.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// The changes after this one follow.
    pub serial: u64,
    /// Id of the cluster: serials of another one mean nothing here.
    pub cluster: String,
}

/// `resync`: there is a gap.
#[derive(Debug, Serialize)]
pub struct Resync {
    /// The changes after this one follow; whatever was known before must be read anew.
    pub serial: u64,
    /// The first change that cannot be told any more.
    pub missed_from: u64,
}

/// `seen`: what satellites saw differs. Names sorted; `{"all":true}` in place of very many.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// Nodes whose connection, pools or items were seen anew.
    pub nodes: Vec<&'a str>,
    /// Resources of which something was seen anew.
    pub resources: Vec<&'a str>,
}
