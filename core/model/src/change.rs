//! Changes of the cluster: what a command decided and the store commits.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::Token;
use crate::connections::{NodeConnection, Pair, ResourceConnection};
use crate::files::ExternalFile;
use crate::ids::{Id, kind};
use crate::job::Job;
use crate::layers::words;
use crate::names::{FilePath, KvsName, NodeName, ResourceGroupName, ResourceName, SnapshotName, StorPoolName};
use crate::objects::{
    ControllerObject, KeyValueStore, Node, Resource, ResourceDefinition, ResourceGroup, StorPool, StorPoolDfn, Tombstone,
};
use crate::snapshot::Snapshot;
use crate::vault::MasterKey;

words!(
    /// Kind of a record of the store.
    RecordKind {
        /// The cluster's properties; one record.
        Controller = "controller",
        /// Node.
        Node = "node",
        /// Storage pool definition.
        StorPoolDfn = "storage_pool_definition",
        /// Storage pool.
        StorPool = "storage_pool",
        /// Resource group.
        ResourceGroup = "resource_group",
        /// Resource definition.
        ResourceDefinition = "resource_definition",
        /// Resource.
        Resource = "resource",
        /// Snapshot.
        Snapshot = "snapshot",
        /// Key-value store.
        KeyValueStore = "key_value_store",
        /// API token.
        Token = "token",
        /// Durable job.
        Job = "job",
        /// Tombstone.
        Tombstone = "tombstone",
        /// Allocated number.
        Number = "number",
        /// The master key; one record.
        MasterKey = "master_key",
        /// Node connection.
        NodeConnection = "node_connection",
        /// Resource connection.
        ResourceConnection = "resource_connection",
        /// External file.
        ExternalFile = "external_file",
    }
);

/// A number that is taken, with a record of its own: a broken record of its holder frees nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "number", rename_all = "snake_case")]
pub enum NumberKey {
    /// A DRBD minor, unique in the cluster.
    Minor {
        /// 0 to 1048575.
        minor: u32,
    },
    /// A TCP port on a node.
    Port {
        /// The node.
        node: NodeName,
        /// 1 to 65535.
        port: u16,
    },
    /// A DRBD node id among the replicas of a definition.
    NodeId {
        /// The definition.
        resource: ResourceName,
        /// 0 to 31.
        node_id: u8,
    },
}

impl NumberKey {
    /// Reads the key of a number's record, as [`Key::text`] writes it; `None`: it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["minor", minor] => Some(Self::Minor { minor: minor.parse().ok()? }),
            ["port", node, port] => Some(Self::Port { node: NodeName::parse(node).ok()?, port: port.parse().ok()? }),
            ["node-id", resource, id] => Some(Self::NodeId { resource: ResourceName::parse(resource).ok()?, node_id: id.parse().ok()? }),
            _ => None,
        }
    }
}

/// Who holds a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberClaim {
    /// The number.
    pub key: NumberKey,
    /// Generation id of the volume definition or resource that holds it.
    pub holder: Uuid,
}

/// Key of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The cluster's properties.
    Controller,
    /// Node.
    Node(NodeName),
    /// Storage pool definition.
    StorPoolDfn(StorPoolName),
    /// Storage pool.
    StorPool(NodeName, StorPoolName),
    /// Resource group.
    ResourceGroup(ResourceGroupName),
    /// Resource definition.
    ResourceDefinition(ResourceName),
    /// Resource.
    Resource(ResourceName, NodeName),
    /// Snapshot.
    Snapshot(ResourceName, SnapshotName),
    /// Key-value store.
    KeyValueStore(KvsName),
    /// API token, by its number.
    Token(u64),
    /// Durable job.
    Job(Id<kind::Job>),
    /// Tombstone, by the id of the item that must be gone.
    Tombstone(Uuid),
    /// Allocated number.
    Number(NumberKey),
    /// The master key.
    MasterKey,
    /// Node connection.
    NodeConnection(Pair),
    /// Resource connection.
    ResourceConnection(ResourceName, Pair),
    /// External file.
    ExternalFile(FilePath),
}

impl Key {
    /// The record's kind.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Controller => RecordKind::Controller,
            Self::Node(_) => RecordKind::Node,
            Self::StorPoolDfn(_) => RecordKind::StorPoolDfn,
            Self::StorPool(..) => RecordKind::StorPool,
            Self::ResourceGroup(_) => RecordKind::ResourceGroup,
            Self::ResourceDefinition(_) => RecordKind::ResourceDefinition,
            Self::Resource(..) => RecordKind::Resource,
            Self::Snapshot(..) => RecordKind::Snapshot,
            Self::KeyValueStore(_) => RecordKind::KeyValueStore,
            Self::Token(_) => RecordKind::Token,
            Self::Job(_) => RecordKind::Job,
            Self::Tombstone(_) => RecordKind::Tombstone,
            Self::Number(_) => RecordKind::Number,
            Self::MasterKey => RecordKind::MasterKey,
            Self::NodeConnection(_) => RecordKind::NodeConnection,
            Self::ResourceConnection(..) => RecordKind::ResourceConnection,
            Self::ExternalFile(_) => RecordKind::ExternalFile,
        }
    }

    /// The text of the key inside its kind: upper-cased names joined by `/`.
    #[must_use]
    pub fn text(&self) -> String {
        let up = |text: &str| text.to_ascii_uppercase();
        match self {
            Self::Controller => "CONTROLLER".to_owned(),
            Self::Node(name) => up(name.as_str()),
            Self::StorPoolDfn(name) => up(name.as_str()),
            Self::StorPool(node, name) => format!("{}/{}", up(node.as_str()), up(name.as_str())),
            Self::ResourceGroup(name) => up(name.as_str()),
            Self::ResourceDefinition(name) => up(name.as_str()),
            Self::Resource(name, node) => format!("{}/{}", up(name.as_str()), up(node.as_str())),
            Self::Snapshot(name, snapshot) => format!("{}/{}", up(name.as_str()), up(snapshot.as_str())),
            Self::KeyValueStore(name) => up(name.as_str()),
            Self::Token(id) => id.to_string(),
            Self::Job(id) => id.to_string(),
            Self::Tombstone(id) => id.to_string(),
            Self::Number(NumberKey::Minor { minor }) => format!("minor/{minor}"),
            Self::Number(NumberKey::Port { node, port }) => format!("port/{}/{port}", up(node.as_str())),
            Self::Number(NumberKey::NodeId { resource, node_id }) => format!("node-id/{}/{node_id}", up(resource.as_str())),
            Self::MasterKey => "MASTER".to_owned(),
            Self::NodeConnection(nodes) => format!("{}/{}", up(nodes.first().as_str()), up(nodes.second().as_str())),
            Self::ResourceConnection(name, nodes) => {
                format!("{}/{}/{}", up(name.as_str()), up(nodes.first().as_str()), up(nodes.second().as_str()))
            }
            Self::ExternalFile(path) => up(path.as_str()),
        }
    }
}

/// A record's object.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // Short-lived; boxing each would cost more than it saves.
pub enum Object {
    /// The cluster's properties.
    Controller(ControllerObject),
    /// Node.
    Node(Node),
    /// Storage pool definition.
    StorPoolDfn(StorPoolDfn),
    /// Storage pool.
    StorPool(StorPool),
    /// Resource group.
    ResourceGroup(ResourceGroup),
    /// Resource definition.
    ResourceDefinition(ResourceDefinition),
    /// Resource.
    Resource(Resource),
    /// Snapshot.
    Snapshot(Snapshot),
    /// Key-value store.
    KeyValueStore(KvsName, KeyValueStore),
    /// API token.
    Token(Token),
    /// Durable job.
    Job(Job),
    /// Tombstone.
    Tombstone(Tombstone),
    /// Allocated number.
    Number(NumberClaim),
    /// The master key.
    MasterKey(MasterKey),
    /// Node connection.
    NodeConnection(NodeConnection),
    /// Resource connection.
    ResourceConnection(ResourceConnection),
    /// External file.
    ExternalFile(ExternalFile),
}

impl Object {
    /// The key of its record.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Controller(_) => Key::Controller,
            Self::Node(o) => Key::Node(o.name.clone()),
            Self::StorPoolDfn(o) => Key::StorPoolDfn(o.name.clone()),
            Self::StorPool(o) => Key::StorPool(o.node.clone(), o.name.clone()),
            Self::ResourceGroup(o) => Key::ResourceGroup(o.name.clone()),
            Self::ResourceDefinition(o) => Key::ResourceDefinition(o.name.clone()),
            Self::Resource(o) => Key::Resource(o.name.clone(), o.node.clone()),
            Self::Snapshot(o) => Key::Snapshot(o.resource.clone(), o.name.clone()),
            Self::KeyValueStore(name, _) => Key::KeyValueStore(name.clone()),
            Self::Token(o) => Key::Token(o.id),
            Self::Job(o) => Key::Job(o.id),
            Self::Tombstone(o) => Key::Tombstone(o.item.id()),
            Self::Number(o) => Key::Number(o.key.clone()),
            Self::MasterKey(_) => Key::MasterKey,
            Self::NodeConnection(o) => Key::NodeConnection(o.nodes.clone()),
            Self::ResourceConnection(o) => Key::ResourceConnection(o.resource.clone(), o.nodes.clone()),
            Self::ExternalFile(o) => Key::ExternalFile(o.path.clone()),
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)] // As above.
pub enum Change {
    /// Writes an object, new or changed.
    Put(Object),
    /// Deletes a record.
    Delete(Key),
}

impl Change {
    /// The key of the record that it touches.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Put(object) => object.key(),
            Self::Delete(key) => key.clone(),
        }
    }
}
