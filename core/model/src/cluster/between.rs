//! What lies between objects: connections of nodes and of replicas, and files that definitions deploy.

use std::sync::Arc;

use super::Cluster;
use crate::change::Key;
use crate::connections::{Pair, ResourceConnection};
use crate::names::{FilePath, NodeName, ResourceName};
use crate::objects::ResourceDefinition;

impl Cluster {
    /// What is said about the connection of two replicas.
    #[must_use]
    pub fn resource_connection(&self, name: &ResourceName, nodes: &Pair) -> Option<&Arc<ResourceConnection>> {
        self.resource_connections.get(name)?.get(nodes)
    }

    /// What is said about the connections of a definition, in the order of the pairs.
    pub fn connections_of(&self, name: &ResourceName) -> impl Iterator<Item = &Arc<ResourceConnection>> {
        self.resource_connections.get(name).into_iter().flat_map(|pairs| pairs.values())
    }

    /// The pairs of a node about which something is said, in their order.
    pub fn node_connections_of<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Pair> {
        self.connected.get(node).into_iter().flatten()
    }

    /// Records of connections that end with a node itself.
    pub fn ending_with_node<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = Key> + 'a {
        self.node_connections_of(node).cloned().map(Key::NodeConnection)
    }

    /// Records of connections that end with a replica.
    pub fn ending_with_replica<'a>(&'a self, name: &'a ResourceName, node: &'a NodeName) -> impl Iterator<Item = Key> + 'a {
        let pairs = self.connections_of(name).map(|one| &one.nodes).filter(|nodes| nodes.has(node));
        pairs.map(|nodes| Key::ResourceConnection(name.clone(), nodes.clone()))
    }

    /// The definitions that deploy a file, in the order of their names.
    pub fn deploying<'a>(&'a self, path: &'a FilePath) -> impl Iterator<Item = &'a Arc<ResourceDefinition>> {
        self.deployed.get(path).into_iter().flatten().filter_map(move |name| self.definitions.get(name))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::change::{Change, Object};
    use crate::connections::NodeConnection;
    use crate::ids::Id;
    use crate::props::Props;

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).unwrap()
    }

    fn pair(one: &str, other: &str) -> Pair {
        Pair::new(node(one), node(other)).unwrap()
    }

    #[test]
    fn connections_are_found_by_either_end() {
        let mut cluster = Cluster::empty(Id::from_uuid(Uuid::nil()));
        let of_nodes = |nodes: Pair| NodeConnection { id: Id::from_uuid(Uuid::nil()), nodes, props: Props::default() };
        let name = ResourceName::parse("web").unwrap();
        let of_replicas =
            |nodes: Pair| ResourceConnection { id: Id::from_uuid(Uuid::nil()), resource: name.clone(), nodes, props: Props::default() };
        for (one, other) in [("alpha", "bravo"), ("charlie", "alpha")] {
            cluster.fold([
                &Change::Put(Object::NodeConnection(of_nodes(pair(one, other)))),
                &Change::Put(Object::ResourceConnection(of_replicas(pair(one, other)))),
            ]);
        }
        assert_eq!(cluster.ending_with_node(&node("ALPHA")).count(), 2);
        let ending = |node: &NodeName| cluster.ending_with_replica(&name, node).map(|key| key.text()).collect::<Vec<_>>();
        assert_eq!(ending(&node("charlie")), ["WEB/ALPHA/CHARLIE"]);
        assert_eq!(ending(&node("delta")), [""; 0]);
        let gone: Vec<Change> = cluster.ending_with_node(&node("bravo")).map(Change::Delete).collect();
        cluster.fold(&gone);
        assert_eq!(cluster.node_connections_of(&node("alpha")).collect::<Vec<_>>(), [&pair("alpha", "charlie")]);
        assert_eq!(cluster.node_connections_of(&node("bravo")).count(), 0);
        assert!(cluster.connected.get(&node("bravo")).is_none());
    }
}
