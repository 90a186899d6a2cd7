//! Resources and volumes.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, Int, PropMap, Text};
use crate::node::PropsModify;
use crate::reply::ApiCallRc;
use crate::seen::SeenWhen;

fn no_props(props: &&[(String, String)]) -> bool {
    props.is_empty()
}

/// Pairs with different keys as an object.
fn pairs<S: serde::Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

/// A replica, outgoing: with `volumes` in views, without elsewhere.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Resource<'a> {
    pub name: &'a str,
    pub node_name: &'a str,
    #[serde(skip_serializing_if = "no_props")]
    #[serde(serialize_with = "pairs")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub props: &'a [(String, String)],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub effective_props: BTreeMap<&'static str, EffectiveProp<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    pub layer_object: LayerObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ResourceState>,
    pub uuid: uuid_text::UuidText,
    pub create_timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// When its state was seen.
    pub berth: SeenWhen<'a>,
}

/// A property's value that holds, with where it stands and what it hides.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct EffectiveProp<'a> {
    /// Kind of object that carries it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub value: &'a str,
    /// For people.
    pub descr: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other: Vec<EffectiveProp<'a>>,
}

/// What was seen of a replica.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct ResourceState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
}

/// A layer of a replica, from top to bottom.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LayerObject<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<LayerObject<'a>>,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdResource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageResource<'a>>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DrbdResource<'a> {
    pub node_id: u8,
    pub peer_slots: u8,
    pub al_stripes: u32,
    pub al_size: u64,
    pub tcp_ports: &'a [u16],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    pub drbd_volumes: Vec<DrbdVolume<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<&'a str, Connection>,
    /// How good a Primary it would be; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_score: Option<u32>,
    /// Whether it could be made Primary now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_promote: Option<bool>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "DrbdConnection")]
pub struct Connection {
    pub connected: bool,
    pub message: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DrbdVolume<'a> {
    pub drbd_volume_definition: DrbdVolumeDefinition,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device_path: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub backing_device: &'a str,
    pub allocated_size_kib: i64,
    pub usable_size_kib: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub disk_state: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DrbdVolumeDefinition {
    pub volume_number: u16,
    pub minor_number: u32,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StorageResource<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storage_volumes: Vec<StorageVolume<'a>>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StorageVolume<'a> {
    pub volume_number: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_path: Option<&'a str>,
    pub allocated_size_kib: i64,
    pub usable_size_kib: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_state: Option<&'static str>,
}

/// A volume, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Volume<'a> {
    pub volume_number: u16,
    pub storage_pool_name: &'a str,
    pub provider_kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_size_kib: Option<i64>,
    #[serde(skip_serializing_if = "no_props")]
    #[serde(serialize_with = "pairs")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub props: &'a [(String, String)],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<VolumeState<'a>>,
    pub layer_data_list: Vec<VolumeLayer<'a>>,
    pub uuid: uuid_text::UuidText,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ApiCallRc>,
    /// When its state was seen.
    pub berth: SeenWhen<'a>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VolumeState<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_state: Option<&'static str>,
    /// How the replication to each peer stands, by the name of its node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replication_states: BTreeMap<&'a str, ReplicationState>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReplicationState {
    pub replication_state: &'static str,
}

/// A layer of a volume, from top to bottom.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VolumeLayer<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<VolumeLayerData<'a>>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VolumeLayerData<'a> {
    Drbd(DrbdVolume<'a>),
    Storage(StorageVolume<'a>),
}

/// A uuid that is written without an allocation.
pub mod uuid_text {
    use serde::{Serialize, Serializer};

    /// The 36 characters of a uuid.
    #[derive(Debug, Clone, Copy)]
    pub struct UuidText(pub [u8; 36]);

    crate::lenient::plain_schema!(UuidText, { "type": "string", "format": "uuid" });

    impl Serialize for UuidText {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(std::str::from_utf8(&self.0).unwrap_or_default())
        }
    }
}

/// The resource inside `ResourceCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceIn {
    pub name: Option<Text>,
    pub node_name: Option<Text>,
    pub props: Option<PropMap>,
    pub flags: Option<Vec<Text>>,
}

/// `ResourceCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceCreate {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub resource: Option<ResourceIn>,
    pub layer_list: Option<Vec<Text>>,
    pub drbd_node_id: Option<Int>,
    pub drbd_tcp_ports: Option<Vec<Int>>,
}

/// `ResourceModify`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceModify {
    pub drbd_tiebreaker: Option<Flag>,
    pub drbd_client: Option<Flag>,
    #[serde(flatten)]
    pub props: PropsModify,
}

/// `ResourceMakeAvailable`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MakeAvailable {
    pub diskful: Option<Flag>,
    pub layer_list: Option<Vec<Text>>,
    pub drbd_tcp_ports: Option<Vec<Int>>,
}

/// `ToggleDiskRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["operation"]))]
pub struct ToggleDisk {
    pub operation: Option<Text>,
    pub storage_pool: Option<Text>,
    pub migrate_from: Option<Text>,
}
