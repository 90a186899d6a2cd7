//! Documents of the API, as far as they are read here, and what they mean to a plugin. Members that are missing are empty.

use std::collections::BTreeMap;

use berth_plugin_sdk::Kib;
use berth_plugin_sdk::storage::{self, PoolSpace, Snapshot, Volume};
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub name: String,
}

/// The node that a host of this name is: its whole name first, then its name without a domain, on either side.
pub(super) fn this_node(nodes: &[Node], host: &str) -> Option<String> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let whole = nodes.iter().find(|node| node.name.eq_ignore_ascii_case(host));
    let mut by_short = nodes.iter().filter(|node| short(&node.name) == short(host));
    match (whole, by_short.next(), by_short.next()) {
        (Some(node), _, _) | (None, Some(node), None) => Some(node.name.clone()),
        (None, _, _) => None,
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Layer {
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct VolumeDefinition {
    pub volume_number: u32,
    pub size_kib: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Definition {
    pub name: String,
    pub props: BTreeMap<String, String>,
    pub flags: Vec<String>,
    pub layer_data: Vec<Layer>,
    pub resource_group_name: String,
    pub volume_definitions: Vec<VolumeDefinition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LayerObject {
    #[serde(rename = "type")]
    pub kind: String,
    pub children: Vec<LayerObject>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct InUse {
    pub in_use: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DiskState {
    pub disk_state: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReplicaVolume {
    pub volume_number: u32,
    pub storage_pool_name: String,
    pub device_path: Option<String>,
    pub allocated_size_kib: Option<i64>,
    pub state: Option<DiskState>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Replica {
    pub name: String,
    pub node_name: String,
    pub flags: Vec<String>,
    pub layer_object: LayerObject,
    pub state: Option<InUse>,
    pub create_timestamp: i64,
    pub volumes: Vec<ReplicaVolume>,
}

impl Replica {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|one| one == flag)
    }

    fn record(&self) -> storage::Replica {
        let volume = self.volumes.iter().find(|volume| volume.volume_number == 0);
        let mut layers = Vec::new();
        let mut open = Some(&self.layer_object);
        while let Some(layer) = open {
            layers.push(layer.kind.clone());
            open = layer.children.first();
        }
        storage::Replica {
            node: self.node_name.clone(),
            diskless: self.has("DISKLESS") || self.has("DRBD_DISKLESS") || self.has("NVME_INITIATOR"),
            tiebreaker: self.has("TIE_BREAKER"),
            pool: volume.map(|volume| volume.storage_pool_name.clone()).unwrap_or_default(),
            device: volume.and_then(|volume| volume.device_path.clone()).unwrap_or_default(),
            state: volume.and_then(|volume| volume.state.clone()?.disk_state).unwrap_or_default(),
            in_use: self.state.as_ref().and_then(|state| state.in_use),
            allocated: volume.and_then(|volume| u64::try_from(volume.allocated_size_kib?).ok()).map(Kib),
            layers,
            going: self.has("DELETE"),
        }
    }
}

/// A volume of its definition and its replicas, which are picked from a list.
pub(super) fn volume(definition: &Definition, replicas: &[Replica]) -> Volume {
    let own = || replicas.iter().filter(|replica| replica.name.eq_ignore_ascii_case(&definition.name));
    let first = definition.volume_definitions.iter().find(|volume| volume.volume_number == 0);
    Volume {
        name: definition.name.clone(),
        size: Kib(first.map_or(0, |volume| volume.size_kib)),
        group: definition.resource_group_name.clone(),
        layers: definition.layer_data.iter().map(|layer| layer.kind.clone()).collect(),
        props: definition.props.clone(),
        going: definition.flags.iter().any(|flag| flag == "DELETE"),
        replicas: own().map(Replica::record).collect(),
        created_ms: own().map(|replica| replica.create_timestamp).filter(|at| *at > 0).min().unwrap_or(0),
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CopyDocument {
    pub create_timestamp: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SnapshotDocument {
    pub name: String,
    pub resource_name: String,
    pub flags: Vec<String>,
    pub volume_definitions: Vec<VolumeDefinition>,
    pub snapshots: Vec<CopyDocument>,
}

impl From<SnapshotDocument> for Snapshot {
    fn from(of: SnapshotDocument) -> Self {
        Self {
            size: Kib(of.volume_definitions.iter().find(|volume| volume.volume_number == 0).map_or(0, |volume| volume.size_kib)),
            complete: of.flags.iter().any(|flag| flag == "SUCCESSFUL"),
            created_ms: of.snapshots.iter().filter_map(|copy| copy.create_timestamp).min().unwrap_or(0),
            name: of.name,
            volume: of.resource_name,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    pub storage_pool_name: String,
    pub node_name: String,
    pub provider_kind: String,
    pub free_capacity: Option<u64>,
    pub total_capacity: Option<u64>,
    pub supports_snapshots: bool,
}

impl From<Pool> for PoolSpace {
    fn from(of: Pool) -> Self {
        Self {
            node: of.node_name,
            pool: of.storage_pool_name,
            kind: of.provider_kind,
            total: of.total_capacity.map(Kib),
            free: of.free_capacity.map(Kib),
            snapshots: of.supports_snapshots,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Store {
    pub props: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    pub node_name: String,
    pub storage_pool_name: Option<String>,
    pub verdict: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Placement {
    pub kind: String,
    pub failed: Option<String>,
    pub places: Vec<Place>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlaceAnswer {
    pub possible: bool,
    pub placements: Vec<Placement>,
    pub replies: Vec<crate::Reply>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct CloneStatus {
    pub status: String,
}

/// An entry of a reply, without its optional members.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub error: bool,
    pub number: u16,
    pub message: String,
    pub cause: String,
    pub correction: String,
    pub details: String,
}

impl From<crate::Reply> for Message {
    fn from(of: crate::Reply) -> Self {
        Self {
            error: of.severity() == crate::Severity::Error,
            number: of.number(),
            message: of.message.unwrap_or_default().trim_end_matches('.').to_owned(),
            cause: of.cause.unwrap_or_default(),
            correction: of.correction.unwrap_or_default(),
            details: of.details.unwrap_or_default(),
        }
    }
}
