//! The objects of a cluster, as they are stored: intent, and what decides. What a satellite merely saw is in [`crate::observed`].
//!
//! Names and nesting follow REST API v1 (node, storage pool, resource group, …). One object is one document of the store;
//! net interfaces live in their node, volume groups in their group, volume definitions in their definition, volumes in their resource.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::few::Few;
use crate::flags::{DefinitionFlags, NodeFlags, ResourceFlags, VolumeDefinitionFlags, VolumeFlags};
use crate::ids::{Id, kind};
use crate::layers::{LayerKind, ProviderKind, words};
use crate::names::{NetIfName, NodeName, ResourceGroupName, ResourceName, SharedSpaceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::plan::Content;
use crate::props::Props;
use crate::size::Kib;
use crate::time::Timestamp;
use crate::vault::Sealed;

words!(
    /// What a node is for (REST API v1: `NodeType`).
    NodeType {
        /// Runs a controller only.
        Controller = "CONTROLLER",
        /// Runs a satellite.
        Satellite = "SATELLITE",
        /// Runs both.
        Combined = "COMBINED",
        /// Known, not managed.
        Auxiliary = "AUXILIARY",
        /// Stands for a remote SPDK target.
        RemoteSpdk = "REMOTE_SPDK",
        /// Stands for an EBS region.
        EbsTarget = "EBS_TARGET",
    }
);

impl NodeType {
    /// Whether a node of this type runs a satellite which the controller must reach.
    #[must_use]
    pub fn has_satellite(self) -> bool {
        matches!(self, Self::Satellite | Self::Combined | Self::RemoteSpdk | Self::EbsTarget)
    }
}

words!(
    /// How a satellite connection is protected.
    Encryption {
        /// Not at all.
        Plain = "PLAIN",
        /// By TLS.
        Ssl = "SSL",
    }
);

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Generation id.
    pub id: Id<kind::Node>,
    /// Name; the spelling of its creation.
    pub name: NodeName,
    /// What it is for.
    pub node_type: NodeType,
    /// Flags.
    #[serde(default)]
    pub flags: NodeFlags,
    /// Net interfaces in the order of creation; at least one.
    pub net_interfaces: Vec<NetIf>,
    /// Name of the interface over which the satellite is reached; `None`: no interface has a satellite port.
    #[serde(default)]
    pub active: Option<NetIfName>,
    /// Properties of users and of the controller.
    #[serde(default)]
    pub props: Props,
    /// When it was created.
    #[serde(default)]
    pub created: Timestamp,
    /// How long it has been away, as far as that was written down; `None`: it is there, or has not been away for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<Absence>,
}

/// How long a node has been away, by clocks that nobody sets: each controller counts while it runs, and the next one goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// Since when the controller that wrote this has known nothing of it ([`crate::observed::NodeSeen::away_since`]).
    pub since: Timestamp,
    /// What earlier controllers had counted then, seconds.
    pub before_secs: u64,
    /// All together, seconds.
    pub secs: u64,
}

impl Node {
    /// The interface over which the satellite is reached.
    #[must_use]
    pub fn active_interface(&self) -> Option<&NetIf> {
        let name = self.active.as_ref()?;
        self.net_interfaces.iter().find(|interface| interface.name == *name)
    }
}

/// A net interface of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetIf {
    /// Generation id.
    pub id: Id<kind::NetIf>,
    /// Name, unique in its node.
    pub name: NetIfName,
    /// A literal IP address.
    pub address: std::net::IpAddr,
    /// Where a satellite listens on it; `None`: only for data.
    #[serde(default)]
    pub satellite: Option<SatellitePort>,
}

/// Where a satellite listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SatellitePort {
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// Protection of the connection.
    pub encryption: Encryption,
}

/// A storage pool definition: the name that pools of several nodes share, and their common properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorPoolDfn {
    /// Generation id.
    pub id: Id<kind::StorPoolDfn>,
    /// Name.
    pub name: StorPoolName,
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

/// A storage pool on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StorPool {
    /// Generation id.
    pub id: Id<kind::StorPool>,
    /// Node that it is on.
    pub node: NodeName,
    /// Name; a definition of that name exists.
    pub name: StorPoolName,
    /// What makes its volumes.
    pub provider: ProviderKind,
    /// Name of the space that it shares with pools of other nodes; `None`: its own.
    #[serde(default)]
    pub shared_space: Option<SharedSpaceName>,
    /// Whether somebody else keeps nodes from changing a shared space at once.
    #[serde(default)]
    pub external_locking: bool,
    /// Properties; `StorDriver/StorPoolName` names the folder, volume group or dataset.
    #[serde(default)]
    pub props: Props,
}

impl StorPool {
    /// Name of the space manager as REST shows it: the shared space, or `<node>;<pool>`.
    #[must_use]
    pub fn free_space_mgr_name(&self) -> String {
        match &self.shared_space {
            Some(name) => name.to_string(),
            None => format!("{};{}", self.node, self.name),
        }
    }
}

/// Where replicas may be placed (REST API v1: `AutoSelectFilter`). `None` or absent: not set, the next level decides.
///
/// Texts are kept as they were given where a name may match nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectFilter {
    /// Wanted number of diskful replicas.
    pub place_count: Option<i32>,
    /// Wanted number of additional replicas; wins over `place_count` where it is above 0. Requests only.
    pub additional_place_count: Option<i32>,
    /// Only these nodes.
    pub node_name_list: Option<Vec<String>>,
    /// Only pools of these names.
    pub storage_pool_list: Option<Vec<String>>,
    /// Pools for diskless replicas.
    pub storage_pool_diskless_list: Option<Vec<String>>,
    /// Not on nodes with these resources.
    pub not_place_with_rsc: Option<Vec<String>>,
    /// Not on nodes with a resource whose name contains a match.
    pub not_place_with_rsc_regex: Option<String>,
    /// `Key` or `Key=Value`: replicas on nodes with the same value.
    pub replicas_on_same: Option<Vec<String>>,
    /// `Key` or `Key=Value`: replicas on nodes with different values.
    pub replicas_on_different: Option<Vec<String>>,
    /// At most so many replicas for each value of a key.
    pub x_replicas_on_different_map: Option<BTreeMap<String, i32>>,
    /// Layers from top to bottom.
    pub layer_stack: Option<Vec<LayerKind>>,
    /// Only pools of these providers.
    pub provider_list: Option<Vec<ProviderKind>>,
    /// A diskless replica on every other node.
    pub diskless_on_remaining: Option<bool>,
    /// Place diskless replicas of this kind instead: `DRBD_DISKLESS` or `NVME_INITIATOR`.
    pub diskless_type: Option<String>,
    /// Ports for each new replica.
    pub port_count: Option<i32>,
}

impl SelectFilter {
    /// This filter with every field that `over` sets replaced by it.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        macro_rules! pick { ($($field:ident),*) => { Self { $($field: over.$field.clone().or_else(|| self.$field.clone())),* } } }
        pick!(
            place_count,
            additional_place_count,
            node_name_list,
            storage_pool_list,
            storage_pool_diskless_list,
            not_place_with_rsc,
            not_place_with_rsc_regex,
            replicas_on_same,
            replicas_on_different,
            x_replicas_on_different_map,
            layer_stack,
            provider_list,
            diskless_on_remaining,
            diskless_type,
            port_count
        )
    }
}

/// A resource group: the template and placement rule of its definitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Generation id.
    pub id: Id<kind::ResourceGroup>,
    /// Name.
    pub name: ResourceGroupName,
    /// Free text; empty: none.
    #[serde(default)]
    pub description: String,
    /// Where replicas go.
    #[serde(default)]
    pub filter: SelectFilter,
    /// DRBD peer slots of new replicas, 1 to 31.
    #[serde(default)]
    pub peer_slots: Option<u8>,
    /// Volume groups by number.
    #[serde(default)]
    pub volume_groups: Few<VolumeNumber, VolumeGroup>,
    /// Properties.
    #[serde(default)]
    pub props: Props,
    /// Whose it is; `None`: everybody's.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// Template of a volume definition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeGroup {
    /// Generation id.
    pub id: Id<kind::VolumeGroup>,
    /// Flags; only `GROSS_SIZE` has a meaning.
    #[serde(default)]
    pub flags: VolumeDefinitionFlags,
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

/// DRBD's part of a resource definition.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdDefinition {
    /// A fixed TCP port for every replica; `None`: each replica has one of its own.
    #[serde(default)]
    pub port: Option<u16>,
    /// What the peers prove to each other. Random text; the API shows it with the definition, as LINSTOR's does.
    pub secret: String,
    /// `IP`, `RDMA` or `LB_TCP`; `None`: default.
    #[serde(default)]
    pub transport: Option<String>,
    /// Peer slots of new replicas, 1 to 31; `None`: from properties, or 7.
    #[serde(default)]
    pub peer_slots: Option<u8>,
    /// DRBD node ids below this one belonged to replicas that are gone, or are taken. While replicas are left, whose kernels may still
    /// know a peer of that id, they are given out again only when no other is left (law 8).
    #[serde(default)]
    pub used_node_ids: u8,
}

/// Without the secret: what is printed for a look ends in logs and reports.
impl std::fmt::Debug for DrbdDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { port, secret: _, transport, peer_slots, used_node_ids } = self;
        let mut shown = f.debug_struct("DrbdDefinition");
        shown.field("port", port).field("secret", &crate::secrets::HIDDEN).field("transport", transport);
        shown.field("peer_slots", peer_slots).field("used_node_ids", used_node_ids).finish()
    }
}

/// A resource definition: what its replicas have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceDefinition {
    /// Generation id.
    pub id: Id<kind::ResourceDefinition>,
    /// Name.
    pub name: ResourceName,
    /// Name that a platform gave; `None`: none.
    #[serde(default)]
    pub external_name: Option<String>,
    /// Its group.
    pub group: ResourceGroupName,
    /// The stack that was asked for, top to bottom, ending with STORAGE; empty: none was asked for.
    #[serde(default)]
    pub layers: Vec<LayerKind>,
    /// DRBD's part; kept also while no replica uses DRBD.
    pub drbd: DrbdDefinition,
    /// Flags.
    #[serde(default)]
    pub flags: DefinitionFlags,
    /// Properties.
    #[serde(default)]
    pub props: Props,
    /// Volume definitions by number.
    #[serde(default)]
    pub volumes: Few<VolumeNumber, VolumeDefinition>,
    /// When it was created.
    #[serde(default)]
    pub created: Timestamp,
}

/// Two are equal if clients cannot tell them apart: also in the spelling of the group's name, which is shown as it was given last.
impl PartialEq for ResourceDefinition {
    fn eq(&self, other: &Self) -> bool {
        let Self { id, name, external_name, group, layers, drbd, flags, props, volumes, created } = self;
        *id == other.id
            && name.as_str() == other.name.as_str()
            && *external_name == other.external_name
            && group.as_str() == other.group.as_str()
            && *layers == other.layers
            && *drbd == other.drbd
            && *flags == other.flags
            && *props == other.props
            && *volumes == other.volumes
            && *created == other.created
    }
}

/// What a volume's replicas have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeDefinition {
    /// Generation id.
    pub id: Id<kind::VolumeDefinition>,
    /// Usable size, or with GROSS_SIZE the size of the backing volume.
    pub size_kib: Kib,
    /// Flags.
    #[serde(default)]
    pub flags: VolumeDefinitionFlags,
    /// DRBD minor, unique in the cluster; claimed in [`crate::cluster::Cluster::numbers`]. `None`: the stack has no DRBD.
    #[serde(default)]
    pub minor: Option<u32>,
    /// Properties.
    #[serde(default)]
    pub props: Props,
    /// A passphrase of its own for its encryption, sealed by the master key; `None`: none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Sealed>,
}

/// DRBD's part of one replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrbdResource {
    /// Node id, unique among the replicas of the definition, 0 to 31.
    pub node_id: u8,
    /// TCP ports, unique on the node.
    pub ports: Vec<u16>,
    /// Bitmap slots for peers, 1 to 31.
    pub peer_slots: u8,
}

/// One replica: a resource definition on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Generation id.
    pub id: Id<kind::Resource>,
    /// Generation id of its definition.
    pub definition: Id<kind::ResourceDefinition>,
    /// Name of its definition.
    pub name: ResourceName,
    /// Node that it is on.
    pub node: NodeName,
    /// Its stack, top to bottom, ending with STORAGE.
    pub layers: Vec<LayerKind>,
    /// Flags.
    #[serde(default)]
    pub flags: ResourceFlags,
    /// DRBD's part; `None`: no DRBD in the stack.
    #[serde(default)]
    pub drbd: Option<DrbdResource>,
    /// Volumes by number, one for each volume definition.
    #[serde(default)]
    pub volumes: Few<VolumeNumber, Volume>,
    /// Properties.
    #[serde(default)]
    pub props: Props,
    /// When it was created.
    #[serde(default)]
    pub created: Timestamp,
}

/// One volume of a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Generation id.
    pub id: Id<kind::Volume>,
    /// Pool that it lies in (`DfltDisklessStorPool` for a diskless replica).
    pub pool: StorPoolName,
    /// Kind of that pool.
    pub provider: ProviderKind,
    /// Name of the backing LV, zvol or file without suffix of the provider; unique in its pool. Empty for a diskless replica.
    pub backing: String,
    /// Size that the backing volume shall have (all layers' metadata included).
    pub backing_kib: Kib,
    /// What it shall contain, and where that comes from.
    pub content: Content,
    /// Flags.
    #[serde(default)]
    pub flags: VolumeFlags,
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

/// A free set of keys and values for a platform.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct KeyValueStore {
    /// Keys and values; not validated. Never empty in the store.
    pub props: BTreeMap<String, String>,
    /// Whose it is; `None`: everybody's.
    #[serde(default)]
    pub tenant: Option<String>,
}

/// The properties of the whole cluster.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ControllerObject {
    /// Properties.
    #[serde(default)]
    pub props: Props,
}

/// What is left of an object that was deleted while its node could not be asked: honoured by the node before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Node that may still hold something.
    pub node: NodeName,
    /// Generation id of that node.
    pub node_id: Id<kind::Node>,
    /// What must be gone there; its `wanted` is `Absent`.
    pub item: crate::plan::PlanItem,
    /// What it was, for display.
    pub resource: ResourceName,
    /// Set for a snapshot's copy.
    #[serde(default)]
    pub snapshot: Option<SnapshotName>,
    /// Numbers that stay taken until it is gone.
    #[serde(default)]
    pub ports: BTreeSet<u16>,
    /// The DRBD node id that stays taken until it is gone.
    #[serde(default)]
    pub drbd_node_id: Option<u8>,
    /// When it was deleted.
    pub deleted: Timestamp,
}
