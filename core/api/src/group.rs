//! Resource groups, volume groups and select filters.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, Int, PropMap, Text};
use crate::node::PropsModify;

/// `AutoSelectFilter`, incoming: absent or null inherits, an empty list clears.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)] // The members of the API's document.
pub struct AutoSelectFilterIn {
    pub place_count: Option<Int>,
    pub additional_place_count: Option<Int>,
    pub node_name_list: Option<Vec<Text>>,
    pub storage_pool: Option<Text>,
    pub storage_pool_list: Option<Vec<Text>>,
    pub storage_pool_diskless_list: Option<Vec<Text>>,
    pub not_place_with_rsc: Option<Vec<Text>>,
    pub not_place_with_rsc_regex: Option<Text>,
    pub replicas_on_same: Option<Vec<Text>>,
    pub replicas_on_different: Option<Vec<Text>>,
    #[serde(alias = "x_replicas_on_different")]
    pub x_replicas_on_different_map: Option<BTreeMap<String, Int>>,
    pub layer_stack: Option<Vec<Text>>,
    pub provider_list: Option<Vec<Text>>,
    pub diskless_on_remaining: Option<Flag>,
    pub diskless_type: Option<Text>,
    pub port_count: Option<Int>,
}

/// `AutoSelectFilter`, outgoing.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[allow(missing_docs)] // The members of the API's document.
pub struct AutoSelectFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_pool: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storage_pool_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_place_with_rsc: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_place_with_rsc_regex: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas_on_same: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas_on_different: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub x_replicas_on_different_map: BTreeMap<String, i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layer_stack: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub provider_list: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diskless_on_remaining: Option<bool>,
}

/// A resource group, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[allow(missing_docs)] // The members of the API's document.
pub struct ResourceGroup {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    pub select_filter: AutoSelectFilter,
    pub uuid: String,
}

/// A resource group, new or changed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)] // The members of the API's documents.
pub struct ResourceGroupIn {
    pub name: Option<Text>,
    pub description: Option<Text>,
    pub props: Option<PropMap>,
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
    pub peer_slots: Option<Int>,
    #[serde(flatten)]
    pub modify: PropsModify,
}

/// `ResourceGroupSpawn`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)] // The members of the API's document.
pub struct ResourceGroupSpawn {
    pub resource_definition_name: Option<Text>,
    pub resource_definition_external_name: Option<Text>,
    pub volume_sizes: Option<Vec<Int>>,
    pub volume_passphrases: Option<Vec<Option<Text>>>,
    pub partial: Option<Flag>,
    pub definitions_only: Option<Flag>,
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
    pub resource_definition_props: Option<PropMap>,
    pub peer_slots: Option<Int>,
}

/// `ResourceGroupAdjust` and the body of size queries.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)] // The members of the API's documents.
pub struct SelectFilterBody {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub select_filter: Option<AutoSelectFilterIn>,
}

/// A volume group, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[allow(missing_docs)] // The members of the API's document.
pub struct VolumeGroup {
    pub volume_number: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    pub uuid: String,
}

/// A volume group, new or changed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs)] // The members of the API's documents.
pub struct VolumeGroupIn {
    pub volume_number: Option<Int>,
    pub props: Option<PropMap>,
    pub flags: Option<Vec<Text>>,
    #[serde(flatten)]
    pub modify: PropsModify,
}
