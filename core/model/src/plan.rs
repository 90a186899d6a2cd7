//! What shall be on one node: the only thing that a satellite is told, and it contains every decision.
//!
//! A plan is a set of items, each known by the generation id of what it describes. A whole plan names everything;
//! a partial one names what changed since the generation that it builds on. An item that is missing from a plan is not
//! touched; only an item that is wanted [`Absent`](Wanted::Absent) is removed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Id, kind};
use crate::layers::{LayerKind, ProviderKind};
use crate::names::{FilePath, NodeName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::props::Props;
use crate::size::Kib;

/// The body of a plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanBody {
    /// All pools of the node, in partial plans only if one of them changed (`None`: as before).
    pub pools: Option<Vec<PoolPlan>>,
    /// Items: all of them in a whole plan, those that changed in a partial one.
    pub items: Vec<PlanItem>,
    /// All external files of the node, in partial plans only if one of them changed (`None`: as before; of a whole plan: an older
    /// controller, which says nothing of files).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FilePlan>>,
    /// Items that the controller no longer names (they were seen gone); forget them. Partial plans only.
    pub forget: Vec<Uuid>,
}

/// A storage pool of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolPlan {
    /// Generation id.
    pub id: Id<kind::StorPool>,
    /// Name.
    pub name: StorPoolName,
    /// Kind.
    pub provider: ProviderKind,
    /// Folder, volume group, dataset … (`StorDriver/StorPoolName`); empty for DISKLESS.
    pub place: String,
    /// Properties that matter to the provider (`StorDriver/…`), effective values.
    #[serde(default)]
    pub props: Props,
}

/// An external file that shall be on the node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlan {
    /// Where.
    pub path: FilePath,
    /// What is in it, base64. It may be a secret.
    #[serde(rename = "secret_content")]
    pub content: String,
    /// Where a file with one of these suffixes is there, that one is written in place of the path itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_suffixes: Vec<String>,
}

impl std::fmt::Debug for FilePlan {
    /// Without what is in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilePlan").field("path", &self.path).field("alt_suffixes", &self.alt_suffixes).finish_non_exhaustive()
    }
}

/// What shall become of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// There, and served (a snapshot: there).
    Active,
    /// There, its data kept, not served: no device.
    Inactive,
    /// Gone, with its data.
    Absent,
}

/// One item of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlanItem {
    /// A replica.
    Resource(ResourcePlan),
    /// A snapshot's copy.
    Snapshot(SnapshotPlan),
}

impl PlanItem {
    /// Generation id of the replica or of the snapshot's copy.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Resource(plan) => plan.id.uuid(),
            Self::Snapshot(plan) => plan.id.uuid(),
        }
    }

    /// What shall become of it.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        match self {
            Self::Resource(plan) => plan.wanted,
            Self::Snapshot(plan) => plan.wanted,
        }
    }

    /// Name of the resource that it belongs to. Items of one resource are worked on one after the other.
    #[must_use]
    pub fn resource(&self) -> &ResourceName {
        match self {
            Self::Resource(plan) => &plan.resource,
            Self::Snapshot(plan) => &plan.resource,
        }
    }

    /// The pools that it lies in.
    #[must_use]
    pub fn pools(&self) -> BTreeSet<&StorPoolName> {
        match self {
            Self::Resource(plan) => plan.volumes.iter().map(|volume| &volume.pool).collect(),
            Self::Snapshot(plan) => plan.volumes.iter().map(|volume| &volume.pool).collect(),
        }
    }
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourcePlan {
    /// Generation id.
    pub id: Id<kind::Resource>,
    /// Name, for paths and messages.
    pub resource: ResourceName,
    /// What shall become of it.
    pub wanted: Wanted,
    /// Its stack, top to bottom, ending with STORAGE.
    pub layers: Vec<LayerKind>,
    /// Without storage of its own.
    #[serde(default)]
    pub diskless: bool,
    /// An administrator said that what lies unmarked under the names of its volumes is theirs: it is marked, and its data stays what it
    /// is. Without this word nothing unmarked is touched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Volumes in the order of their numbers.
    pub volumes: Vec<VolumePlan>,
}

/// A volume of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumePlan {
    /// Generation id: what its mark must say.
    pub id: Id<kind::Volume>,
    /// Number.
    pub number: VolumeNumber,
    /// `Absent` for a single volume that is being deleted, else as the replica.
    pub wanted: Wanted,
    /// Pool.
    pub pool: StorPoolName,
    /// Name of the backing object.
    pub backing: String,
    /// Size that the backing object shall have at least; never shrunk.
    pub backing_kib: Kib,
    /// What it shall contain.
    pub content: Content,
    /// Whom it gets its data from, by node: the peers that hold it. Only of a volume whose source is [`ContentSource::Peers`]; empty
    /// there: no peer is left that holds the data, and so nobody can say that this one does (law 7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<DataPeer>,
}

/// A peer that holds the data of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataPeer {
    /// Its node.
    pub node: NodeName,
    /// Generation id of its volume.
    pub volume: Id<kind::Volume>,
}

/// What a volume shall contain. A new `id` means other data: the volume's mark says which it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Id of the data.
    pub id: Id<kind::Content>,
    /// Where the data comes from while the volume does not have it.
    pub source: ContentSource,
}

/// Where a volume's data comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ContentSource {
    /// It is new: zeroes. The volume may be made if it is missing. Of a stack that replicates: the decision to skip the first
    /// synchronisation, made once, with the first replicas of a volume.
    Fresh,
    /// What its peers hold: the volume may be made if it is missing, and holds the data when it is synchronised, not before (law 7).
    Peers,
    /// It was there already: if the volume is missing, or has another content, its data is lost; say so and make nothing.
    Kept,
    /// A snapshot's copy on the same node and in the same pool (restore of a new volume, rollback of an old one).
    Snapshot {
        /// Generation id of the snapshot's copy of the volume.
        id: Id<kind::SnapshotVolume>,
        /// Its backing name.
        backing: String,
    },
    /// Another volume on the same node and in the same pool (clone).
    Volume {
        /// Generation id of that volume.
        id: Id<kind::Volume>,
        /// Its backing name.
        backing: String,
    },
}

/// A snapshot's copy on this node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotPlan {
    /// Generation id.
    pub id: Id<kind::NodeSnapshot>,
    /// Name of the snapshot.
    pub snapshot: SnapshotName,
    /// Name of the resource.
    pub resource: ResourceName,
    /// `Active` or `Absent`.
    pub wanted: Wanted,
    /// It was there already: if it is missing now it is lost; say so and take nothing.
    pub taken: bool,
    /// An administrator said that what lies unmarked under the names of its volumes is theirs: it is marked, and its data stays what it
    /// is. Without this word nothing unmarked is touched.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Its volumes, in the order of their numbers.
    pub volumes: Vec<SnapshotVolumePlan>,
}

/// A snapshot's copy of one volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotVolumePlan {
    /// Generation id: what its mark must say.
    pub id: Id<kind::SnapshotVolume>,
    /// Number.
    pub number: VolumeNumber,
    /// Pool.
    pub pool: StorPoolName,
    /// Name of its backing object.
    pub backing: String,
    /// Generation id of the volume that is copied.
    pub source: Id<kind::Volume>,
    /// Backing name of that volume.
    pub source_backing: String,
}
