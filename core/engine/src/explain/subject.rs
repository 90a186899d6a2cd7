//! What somebody asks about: an object by its words, and the records that tell its story.

use berth_model::change::{Key, RecordKind};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::connections::Pair;
use berth_model::ids::Id;
use berth_model::names::{FilePath, NodeName, ResourceName, SnapshotName, VolumeNumber};
use berth_model::reply::Reply;
use uuid::Uuid;

use crate::draft::Refused;
use crate::lookup;

/// An object that is asked about. It need not exist any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One record: everything that is one.
    Record(Key),
    /// A volume of a replica.
    Volume(ResourceName, NodeName, VolumeNumber),
    /// A volume definition.
    VolumeDefinition(ResourceName, VolumeNumber),
}

/// The words for kinds of objects, as they stand in paths and on the command line, with the names that follow.
pub const KINDS: [(&str, &str); 17] = [
    ("node", "NODE"),
    ("resource-definition", "RESOURCE"),
    ("resource", "RESOURCE NODE"),
    ("volume-definition", "RESOURCE NUMBER"),
    ("volume", "RESOURCE NODE NUMBER"),
    ("snapshot", "RESOURCE SNAPSHOT"),
    ("storage-pool", "NODE POOL"),
    ("storage-pool-definition", "POOL"),
    ("resource-group", "GROUP"),
    ("key-value-store", "STORE"),
    ("token", "NUMBER"),
    ("job", "UUID"),
    ("master-key", ""),
    ("node-connection", "NODE NODE"),
    ("resource-connection", "RESOURCE NODE NODE"),
    ("file", "PATH"),
    ("controller", ""),
];

fn usage(kind: &str, names: &[&str], cause: String) -> Refused {
    let forms: Vec<String> = KINDS.iter().map(|(kind, names)| format!("{kind} {names}").trim_end().to_owned()).collect();
    Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{}' names no object.", [&[kind], names].concat().join(" ").trim_end()))
        .cause(cause)
        .correction(format!("Say what it is: {}.", forms.join(", ")))
        .into()
}

fn number(text: &str) -> Result<VolumeNumber, Refused> {
    let bad = || {
        Refused::from(
            Reply::new(Code::FAIL_INVLD_VLM_NR, format!("'{text}' is not a volume number.")).correction("Use a number from 0 to 65534."),
        )
    };
    text.parse::<i64>().map_err(|_| bad()).and_then(lookup::volume_number)
}

fn absolute(parts: &[&str]) -> String {
    let joined = parts.join("/");
    if joined.starts_with('/') { joined } else { format!("/{joined}") }
}

fn pair(one: &str, other: &str) -> Result<Pair, Refused> {
    Pair::new(lookup::node_name(one)?, lookup::node_name(other)?).ok_or_else(|| {
        let reply = Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{one}' has no connection with itself."));
        reply.correction("Name two different nodes.").into()
    })
}

/// The object of a kind and its names.
///
/// # Errors
/// 234 for an unknown kind or the wrong number of names, 2xx for what cannot be a name.
pub fn parse(kind: &str, names: &[&str]) -> Result<Subject, Refused> {
    let record = Subject::Record;
    Ok(match (kind, names) {
        ("node", [node]) => record(Key::Node(lookup::node_name(node)?)),
        ("resource-definition", [name]) => record(Key::ResourceDefinition(lookup::resource_name(name)?)),
        ("resource", [name, node]) => record(Key::Resource(lookup::resource_name(name)?, lookup::node_name(node)?)),
        ("volume-definition", [name, nr]) => Subject::VolumeDefinition(lookup::resource_name(name)?, number(nr)?),
        ("volume", [name, node, nr]) => Subject::Volume(lookup::resource_name(name)?, lookup::node_name(node)?, number(nr)?),
        ("snapshot", [name, snapshot]) => record(Key::Snapshot(lookup::resource_name(name)?, lookup::snapshot_name(snapshot)?)),
        ("storage-pool", [node, pool]) => record(Key::StorPool(lookup::node_name(node)?, lookup::pool_name(pool)?)),
        ("storage-pool-definition", [pool]) => record(Key::StorPoolDfn(lookup::pool_name(pool)?)),
        ("resource-group", [group]) => record(Key::ResourceGroup(lookup::group_name(group)?)),
        ("key-value-store", [store]) => record(Key::KeyValueStore(lookup::kvs_name(store)?)),
        ("job", [id]) => match Uuid::try_parse(id) {
            Ok(id) => record(Key::Job(Id::from_uuid(id))),
            Err(error) => return Err(usage(kind, names, format!("'{id}' is not the id of a job: {error}."))),
        },
        ("token", [id]) => match id.parse() {
            Ok(id) => record(Key::Token(id)),
            Err(_) => return Err(usage(kind, names, format!("'{id}' is not the number of a token."))),
        },
        ("controller", []) => record(Key::Controller),
        ("master-key", []) => record(Key::MasterKey),
        ("node-connection", [one, other]) => record(Key::NodeConnection(pair(one, other)?)),
        ("resource-connection", [name, one, other]) => record(Key::ResourceConnection(lookup::resource_name(name)?, pair(one, other)?)),
        // The path of a request is taken apart at each '/', that of a file among them.
        ("file", parts @ [_, ..]) => record(Key::ExternalFile(FilePath::parse(&absolute(parts)).map_err(|error| {
            Refused::from(Reply::new(Code::FAIL_INVLD_EXT_FILE_NAME, format!("{error}.")).correction("Give the absolute path of the file."))
        })?)),
        _ => match KINDS.iter().find(|(known, _)| *known == kind) {
            Some((_, wanted)) => {
                return Err(usage(kind, names, format!("After '{kind}' come {} names: {wanted}.", wanted.split_whitespace().count())));
            }
            None => return Err(usage(kind, names, format!("'{kind}' is no kind of object."))),
        },
    })
}

/// All objects that a short form can mean: `web`, `web/alpha`, `web/alpha/0`, `web@s1`, or a job's id.
#[must_use]
pub fn candidates(short: &str) -> Vec<Subject> {
    if let Ok(id) = Uuid::try_parse(short) {
        return vec![Subject::Record(Key::Job(Id::from_uuid(id)))];
    }
    let forms: Vec<(&str, Vec<&str>)> = if let Some((name, snapshot)) = short.split_once('@') {
        vec![("snapshot", vec![name, snapshot])]
    } else {
        let names: Vec<&str> = short.split('/').collect();
        match names.len() {
            1 => ["resource-definition", "node", "resource-group", "storage-pool-definition", "key-value-store"]
                .into_iter()
                .map(|kind| (kind, names.clone()))
                .collect(),
            2 => ["resource", "storage-pool", "volume-definition"].into_iter().map(|kind| (kind, names.clone())).collect(),
            _ => vec![("volume", names)],
        }
    };
    forms.into_iter().filter_map(|(kind, names)| parse(kind, &names).ok()).collect()
}

impl Subject {
    /// The record that it is, or is part of.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Record(key) => key.clone(),
            Self::Volume(name, node, _) => Key::Resource(name.clone(), node.clone()),
            Self::VolumeDefinition(name, _) => Key::ResourceDefinition(name.clone()),
        }
    }

    /// Whether it is there now.
    #[must_use]
    pub fn exists(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Record(key) => matches!(key, Key::Controller) || super::preview::object(cluster, key).is_some(),
            Self::Volume(name, node, number) => cluster.resource(name, node).is_some_and(|one| one.volumes.contains_key(number)),
            Self::VolumeDefinition(name, number) => cluster.definitions.get(name).is_some_and(|one| one.volumes.contains_key(number)),
        }
    }

    /// The part of the record's fields that is about it: a prefix of field names; empty: all.
    #[must_use]
    pub fn part(&self) -> String {
        match self {
            Self::Record(_) => String::new(),
            Self::Volume(_, _, number) | Self::VolumeDefinition(_, number) => format!("volumes.{number}."),
        }
    }

    /// Kinds and keys of the records whose changes belong to its story, as the log names them; a key that ends with `/` stands for
    /// all that begin with it.
    #[must_use]
    pub fn records(&self) -> Vec<(String, String)> {
        let of = |kind: RecordKind, key: String| (kind.word().to_owned(), key);
        let own = self.key();
        let mut records = vec![of(own.kind(), own.text())];
        match &own {
            Key::ResourceDefinition(_) => {
                records.push(of(RecordKind::Resource, format!("{}/", own.text())));
                records.push(of(RecordKind::Snapshot, format!("{}/", own.text())));
                records.push(of(RecordKind::ResourceConnection, format!("{}/", own.text())));
            }
            Key::Resource(name, _) => records.push(of(RecordKind::ResourceDefinition, Key::ResourceDefinition(name.clone()).text())),
            Key::Node(_) => records.push(of(RecordKind::StorPool, format!("{}/", own.text()))),
            Key::Controller
            | Key::StorPoolDfn(_)
            | Key::StorPool(..)
            | Key::ResourceGroup(_)
            | Key::Snapshot(..)
            | Key::KeyValueStore(_)
            | Key::Token(_)
            | Key::Job(_)
            | Key::Tombstone(_)
            | Key::Number(_)
            | Key::MasterKey
            | Key::NodeConnection(_)
            | Key::ResourceConnection(..)
            | Key::ExternalFile(_) => {}
        }
        records
    }

    /// The words that name it without doubt.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Volume(name, node, number) => format!("volume {name} {node} {number}"),
            Self::VolumeDefinition(name, number) => format!("volume-definition {name} {number}"),
            Self::Record(Key::Controller) => "controller".to_owned(),
            Self::Record(Key::Node(name)) => format!("node {name}"),
            Self::Record(Key::StorPoolDfn(name)) => format!("storage-pool-definition {name}"),
            Self::Record(Key::StorPool(node, name)) => format!("storage-pool {node} {name}"),
            Self::Record(Key::ResourceGroup(name)) => format!("resource-group {name}"),
            Self::Record(Key::ResourceDefinition(name)) => format!("resource-definition {name}"),
            Self::Record(Key::Resource(name, node)) => format!("resource {name} {node}"),
            Self::Record(Key::Snapshot(name, snapshot)) => format!("snapshot {name} {snapshot}"),
            Self::Record(Key::KeyValueStore(name)) => format!("key-value-store {name}"),
            Self::Record(Key::Token(id)) => format!("token {id}"),
            Self::Record(Key::Job(id)) => format!("job {id}"),
            Self::Record(Key::Tombstone(id)) => format!("tombstone {id}"),
            Self::Record(Key::MasterKey) => "master-key".to_owned(),
            Self::Record(Key::NodeConnection(nodes)) => format!("node-connection {} {}", nodes.first(), nodes.second()),
            Self::Record(Key::ResourceConnection(name, nodes)) => {
                format!("resource-connection {name} {} {}", nodes.first(), nodes.second())
            }
            Self::Record(Key::ExternalFile(path)) => format!("file {path}"),
            Self::Record(Key::Number(number)) => format!("number {number:?}"),
        }
    }

    /// The resource definition whose jobs concern it; `None`: no jobs do.
    #[must_use]
    pub fn resource(&self) -> Option<&ResourceName> {
        match self {
            Self::Volume(name, ..)
            | Self::VolumeDefinition(name, _)
            | Self::Record(Key::ResourceDefinition(name) | Key::Resource(name, _) | Key::Snapshot(name, _)) => Some(name),
            Self::Record(_) => None,
        }
    }

    /// Whether a plan item of this resource and snapshot on this node is (part of) it.
    #[must_use]
    pub fn has(&self, node: &NodeName, resource: &ResourceName, snapshot: Option<&SnapshotName>) -> bool {
        match self {
            Self::Record(Key::Node(name)) => name == node,
            Self::Record(Key::ResourceDefinition(name)) | Self::VolumeDefinition(name, _) => name == resource,
            Self::Record(Key::Resource(name, on)) | Self::Volume(name, on, _) => name == resource && on == node && snapshot.is_none(),
            Self::Record(Key::Snapshot(name, wanted)) => name == resource && snapshot == Some(wanted),
            Self::Record(
                Key::Controller
                | Key::StorPoolDfn(_)
                | Key::StorPool(..)
                | Key::ResourceGroup(_)
                | Key::KeyValueStore(_)
                | Key::Token(_)
                | Key::Job(_)
                | Key::Tombstone(_)
                | Key::Number(_)
                | Key::MasterKey
                | Key::NodeConnection(_)
                | Key::ResourceConnection(..)
                | Key::ExternalFile(_),
            ) => false,
        }
    }
}
