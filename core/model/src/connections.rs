//! What is said about the way between two nodes, for all resources or for one. Order of the two: by name; a pair has one entry.

use serde::{Deserialize, Serialize};

use crate::ids::{Id, kind};
use crate::names::{NodeName, ResourceName};
use crate::props::Props;

/// Namespace of the paths of a connection: `Paths/<path>/<node>` names the net interface of a node on that path.
pub const PATHS: &str = "Paths";

/// Two different nodes, the first one before the second by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ends", into = "Ends")]
pub struct Pair {
    first: NodeName,
    second: NodeName,
}

/// As it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ends {
    node_a: NodeName,
    node_b: NodeName,
}

impl TryFrom<Ends> for Pair {
    type Error = String;

    fn try_from(ends: Ends) -> Result<Self, String> {
        let text = format!("'{}' has no connection with itself", ends.node_a);
        Self::new(ends.node_a, ends.node_b).ok_or(text)
    }
}

impl From<Pair> for Ends {
    fn from(pair: Pair) -> Self {
        Self { node_a: pair.first, node_b: pair.second }
    }
}

impl Pair {
    /// The pair of two nodes in any order; `None`: they are the same.
    #[must_use]
    pub fn new(one: NodeName, other: NodeName) -> Option<Self> {
        match one.cmp(&other) {
            std::cmp::Ordering::Less => Some(Self { first: one, second: other }),
            std::cmp::Ordering::Greater => Some(Self { first: other, second: one }),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// The one whose name comes first.
    #[must_use]
    pub fn first(&self) -> &NodeName {
        &self.first
    }

    /// The other.
    #[must_use]
    pub fn second(&self) -> &NodeName {
        &self.second
    }

    /// Whether it is one of the two.
    #[must_use]
    pub fn has(&self, node: &NodeName) -> bool {
        self.first == *node || self.second == *node
    }

    /// The partner of a node; `None`: it is neither.
    #[must_use]
    pub fn other(&self, node: &NodeName) -> Option<&NodeName> {
        match (self.first == *node, self.second == *node) {
            (true, _) => Some(&self.second),
            (false, true) => Some(&self.first),
            (false, false) => None,
        }
    }
}

/// Properties of the way between two nodes. Never without any in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeConnection {
    /// Generation id.
    pub id: Id<kind::NodeConnection>,
    /// The two.
    #[serde(flatten)]
    pub nodes: Pair,
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

/// Properties of the connection of two replicas of one definition. Never without any in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceConnection {
    /// Generation id.
    pub id: Id<kind::ResourceConnection>,
    /// The definition.
    pub resource: ResourceName,
    /// The nodes of the two replicas.
    #[serde(flatten)]
    pub nodes: Pair,
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).unwrap()
    }

    #[test]
    fn a_pair_has_one_order_and_two_ends() {
        let pair = Pair::new(node("bravo"), node("Alpha")).unwrap();
        assert_eq!(pair, Pair::new(node("alpha"), node("BRAVO")).unwrap());
        assert_eq!((pair.first().as_str(), pair.second().as_str()), ("Alpha", "bravo"));
        assert_eq!(pair.other(&node("ALPHA")), Some(&node("bravo")));
        assert_eq!(pair.other(&node("bravo")), Some(&node("alpha")));
        assert_eq!(pair.other(&node("charlie")), None);
        assert!(Pair::new(node("alpha"), node("ALPHA")).is_none());
    }

    #[test]
    fn a_record_keeps_the_order_and_refuses_one_node_twice() {
        let text = r#"{"node_a":"bravo","node_b":"alpha"}"#;
        let pair: Pair = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&pair).unwrap(), r#"{"node_a":"alpha","node_b":"bravo"}"#);
        assert!(serde_json::from_str::<Pair>(r#"{"node_a":"alpha","node_b":"Alpha"}"#).is_err());
    }
}
