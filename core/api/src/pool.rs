//! Storage pools and their definitions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, PropMap, Text};
use crate::reply::ApiCallRc;
use crate::seen::SeenWhen;

/// A storage pool, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoragePool {
    /// Name.
    pub storage_pool_name: String,
    /// Node.
    pub node_name: String,
    /// Provider.
    pub provider_kind: &'static str,
    /// Properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    /// `Provisioning` and `SupportsSnapshots`.
    pub static_traits: BTreeMap<&'static str, &'static str>,
    /// Free space in KiB, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_capacity: Option<u64>,
    /// Whole space in KiB, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_capacity: Option<u64>,
    /// Shared space, or `<node>;<pool>`.
    pub free_space_mgr_name: String,
    /// Generation id.
    pub uuid: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ApiCallRc>,
    /// Whether it takes snapshots.
    pub supports_snapshots: bool,
    /// Whether somebody else keeps nodes from changing it at once.
    pub external_locking: bool,
    /// When its state was seen.
    pub berth: SeenWhen<'static>,
}

/// A storage pool definition, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoragePoolDefinition {
    /// Name.
    pub storage_pool_name: String,
    /// Properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
}

/// A new storage pool.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["storage_pool_name", "provider_kind"]))]
pub struct StoragePoolCreate {
    /// Name.
    pub storage_pool_name: Option<Text>,
    /// Provider.
    pub provider_kind: Option<Text>,
    /// Properties.
    pub props: Option<PropMap>,
    /// Shared space.
    pub free_space_mgr_name: Option<Text>,
    /// Shared space, newer name.
    pub shared_space: Option<Text>,
    /// Whether somebody else keeps nodes from changing it at once.
    pub external_locking: Option<Flag>,
}

/// A new storage pool definition.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["storage_pool_name"]))]
pub struct StoragePoolDefinitionCreate {
    /// Name.
    pub storage_pool_name: Option<Text>,
    /// Properties.
    pub props: Option<PropMap>,
}
