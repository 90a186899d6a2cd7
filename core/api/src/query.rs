//! Questions about space.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::group::AutoSelectFilterIn;
use crate::lenient::Int;
use crate::reply::ApiCallRc;

/// `MaxVolumeSizes`: how large a volume may be in the pools of each name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MaxVolumeSizes {
    pub candidates: Vec<Candidate>,
    pub default_max_oversubscription_ratio: f64,
}

/// The pools of one name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Candidate {
    pub storage_pool: String,
    pub max_volume_size_kib: u64,
    pub node_names: Vec<String>,
    /// Whether all of them are thin.
    pub all_thin: bool,
}

/// `QuerySizeInfoRequest`, also of all groups.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct QuerySizeInfo {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
    /// Seconds; -1: ask anew.
    pub ignore_cache_older_than_sec: Option<Int>,
}

/// `QuerySizeInfoResponse`: the figures, or why there are none.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct SizeInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space_info: Option<SpaceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ApiCallRc>,
}

/// How much a resource group could still hold.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct SpaceInfo {
    pub max_vlm_size_in_kib: u64,
    pub available_size_in_kib: u64,
    pub capacity_in_kib: u64,
    pub default_max_oversubscription_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_oversubscription_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_free_capacity_oversubscription_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_total_capacity_oversubscription_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next_spawn_result: Vec<SpawnPlace>,
}

/// Where a replica would go now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SpawnPlace {
    pub node_name: String,
    pub stor_pool_name: String,
    pub stor_pool_oversubscription_ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stor_pool_free_capacity_oversubscription_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stor_pool_total_capacity_oversubscription_ratio: Option<f64>,
}

/// `QueryAllSizeInfoResponse`, by group.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct AllSizeInfo {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub result: BTreeMap<String, SizeInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ApiCallRc>,
}
