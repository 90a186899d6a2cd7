//! Resource definitions and volume definitions.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::group::AutoSelectFilterIn;
use crate::lenient::{Flag, Int, PropMap, Text};
use crate::node::PropsModify;
use crate::reply::ApiCallRc;

/// A layer of a definition, with DRBD's data.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DefinitionLayer {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DrbdDefinitionData>,
}

/// DRBD's part of a resource definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DrbdDefinitionData {
    pub peer_slots: u8,
    pub al_stripes: u32,
    pub al_stripe_size_kib: u64,
    /// -1: none is fixed.
    pub port: i32,
    pub transport_type: String,
    pub secret: String,
    pub down: bool,
}

/// A resource definition, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ResourceDefinition {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_data: Vec<DefinitionLayer>,
    pub uuid: String,
    pub resource_group_name: String,
    /// Only where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_definitions: Vec<VolumeDefinition>,
}

/// A layer of a volume definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VolumeDefinitionLayer {
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DrbdVolumeDefinitionData>,
}

/// DRBD's part of a volume definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DrbdVolumeDefinitionData {
    pub volume_number: u16,
    pub minor_number: u32,
}

/// A volume definition, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VolumeDefinition {
    pub volume_number: u16,
    pub size_kib: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_data: Vec<VolumeDefinitionLayer>,
    pub uuid: String,
}

/// A layer in a request.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LayerIn {
    #[serde(rename = "type")]
    pub kind: Option<Text>,
}

/// The definition inside `ResourceDefinitionCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceDefinitionIn {
    pub name: Option<Text>,
    pub external_name: Option<Text>,
    pub props: Option<PropMap>,
    pub layer_data: Option<Vec<LayerIn>>,
    pub resource_group_name: Option<Text>,
}

/// `ResourceDefinitionCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["resource_definition"]))]
pub struct ResourceDefinitionCreate {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub resource_definition: Option<ResourceDefinitionIn>,
    pub drbd_port: Option<Int>,
    pub drbd_secret: Option<Text>,
    pub drbd_transport_type: Option<Text>,
    pub drbd_peer_slots: Option<Int>,
}

/// `ResourceDefinitionModify`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ResourceDefinitionModify {
    pub drbd_port: Option<Int>,
    pub drbd_peer_slots: Option<Int>,
    pub layer_stack: Option<Vec<Text>>,
    pub resource_group: Option<Text>,
    #[serde(flatten)]
    pub props: PropsModify,
}

/// `ResourceDefinitionCloneRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CloneRequest {
    pub name: Option<Text>,
    pub external_name: Option<Text>,
    pub use_zfs_clone: Option<Flag>,
    pub volume_passphrases: Option<Vec<Option<Text>>>,
    pub layer_list: Option<Vec<Text>>,
    pub resource_group: Option<Text>,
    #[serde(flatten)]
    pub props: PropsModify,
}

/// `ResourceDefinitionCloneStarted`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CloneStarted {
    pub location: String,
    pub source_name: String,
    pub clone_name: String,
    pub messages: Vec<ApiCallRc>,
}

/// `ResourceDefinitionCloneStatus`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CloneStatus {
    /// `CLONING`, `COMPLETE` or `FAILED`.
    pub status: &'static str,
}

/// `ResourceDefinitionSyncStatus`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SyncStatus {
    pub synced_on_all: bool,
}

/// The volume definition inside `VolumeDefinitionCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["size_kib"]))]
pub struct VolumeDefinitionIn {
    pub volume_number: Option<Int>,
    pub size_kib: Option<Int>,
    pub props: Option<PropMap>,
    pub flags: Option<Vec<Text>>,
}

/// `VolumeDefinitionCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["volume_definition"]))]
pub struct VolumeDefinitionCreate {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub volume_definition: Option<VolumeDefinitionIn>,
    pub drbd_minor_number: Option<Int>,
    pub passphrase: Option<Text>,
}

/// `VolumeDefinitionModify`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VolumeDefinitionModify {
    pub size_kib: Option<Int>,
    pub flags: Option<Vec<Text>>,
    #[serde(flatten)]
    pub props: PropsModify,
}

/// `AutoPlaceRequest`. The outer members win over the filter's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AutoPlaceRequest {
    pub diskless_on_remaining: Option<Flag>,
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
    pub layer_list: Option<Vec<Text>>,
}
