//! Snapshots: one document holds the definition and its copy on each node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::few::Few;
use crate::flags::{SnapshotFlags, VolumeDefinitionFlags};
use crate::ids::{Id, kind};
use crate::layers::{LayerKind, ProviderKind};
use crate::names::{NodeName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::props::Props;
use crate::size::Kib;
use crate::time::Timestamp;
use crate::vault::Sealed;

/// A snapshot of a resource definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Generation id.
    pub id: Id<kind::Snapshot>,
    /// Its own name.
    pub name: SnapshotName,
    /// Name of the resource definition.
    pub resource: ResourceName,
    /// Generation id of the resource definition.
    pub definition: Id<kind::ResourceDefinition>,
    /// The stack that the replicas had.
    pub layers: Vec<LayerKind>,
    /// Flags.
    #[serde(default)]
    pub flags: SnapshotFlags,
    /// Its own properties.
    #[serde(default)]
    pub props: Props,
    /// Properties of the resource definition when it was taken.
    #[serde(default)]
    pub definition_props: Props,
    /// Volumes when it was taken, by number.
    pub volumes: Few<VolumeNumber, SnapshotVolumeDefinition>,
    /// Copies by node.
    pub copies: BTreeMap<NodeName, NodeSnapshot>,
    /// When it was asked for.
    pub created: Timestamp,
}

/// A volume definition as it was when the snapshot was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotVolumeDefinition {
    /// Size of the volume definition.
    pub size_kib: Kib,
    /// Flags of the volume definition.
    #[serde(default)]
    pub flags: VolumeDefinitionFlags,
    /// Properties of the volume definition.
    #[serde(default)]
    pub definition_props: Props,
    /// Its own properties.
    #[serde(default)]
    pub props: Props,
    /// What its data is encrypted with, sealed by the master key; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Sealed>,
}

/// Whether a node has its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// To be taken; was not seen yet.
    Wanted,
    /// Was seen complete. If it is missing later it is lost, never taken anew.
    Taken,
    /// To be deleted.
    Deleting,
}

/// A snapshot's copy on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSnapshot {
    /// Generation id.
    pub id: Id<kind::NodeSnapshot>,
    /// Where it stands.
    pub state: CopyState,
    /// When it was taken; `None`: not yet.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// Properties of the replica when it was taken.
    #[serde(default)]
    pub resource_props: Props,
    /// Its volumes by number.
    pub volumes: Few<VolumeNumber, SnapshotVolume>,
}

/// A snapshot's copy of one volume on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotVolume {
    /// Generation id.
    pub id: Id<kind::SnapshotVolume>,
    /// Pool that it lies in.
    pub pool: StorPoolName,
    /// Kind of that pool.
    pub provider: ProviderKind,
    /// Name of the backing object; unique in its pool.
    pub backing: String,
    /// Size of the backing volume when it was taken.
    pub backing_kib: Kib,
    /// Generation id of the volume that it was taken of.
    pub source: Id<kind::Volume>,
    /// Backing name of that volume.
    pub source_backing: String,
}
