//! Snapshots.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{PropMap, Text};
use crate::seen::SeenWhen;

/// A snapshot, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Snapshot {
    pub name: String,
    pub resource_name: String,
    pub nodes: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshot_definition_props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_definition_props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_definitions: Vec<SnapshotVolumeDefinition>,
    pub uuid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<NodeSnapshot>,
    /// When its copies were seen: the oldest moment of all; unknown if one of them is.
    pub berth: SeenWhen<'static>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SnapshotVolumeDefinition {
    pub volume_number: u16,
    pub size_kib: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshot_volume_definition_props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volume_definition_props: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NodeSnapshot {
    pub snapshot_name: String,
    pub node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    pub uuid: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshot_volumes: Vec<SnapshotVolume>,
    /// When this copy was seen.
    pub berth: SeenWhen<'static>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SnapshotVolume {
    pub uuid: String,
    pub vlm_nr: u16,
}

/// A snapshot in a request.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct SnapshotIn {
    pub name: Option<Text>,
    /// Only in requests for several.
    pub resource_name: Option<Text>,
    pub nodes: Option<Vec<Text>>,
    pub props: Option<PropMap>,
}

/// `CreateMultiSnapshotRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["snapshots"]))]
pub struct MultiSnapshot {
    pub snapshots: Option<Vec<SnapshotIn>>,
}

/// `SnapshotRestore`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["to_resource"]))]
pub struct SnapshotRestore {
    pub to_resource: Option<Text>,
    pub nodes: Option<Vec<Text>>,
    pub stor_pool_rename: Option<PropMap>,
}

/// `SnapshotRollback`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SnapshotRollback {
    pub zfs_rollback_strategy: Option<Text>,
}
