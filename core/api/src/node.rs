//! Nodes and net interfaces.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, Int, PropMap, Text};
use crate::reply::ApiCallRc;
use crate::seen::SeenWhen;

/// A net interface, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NetInterface {
    /// Name.
    pub name: String,
    /// Literal IP address.
    pub address: String,
    /// Port of the satellite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellite_port: Option<u16>,
    /// `PLAIN` or `SSL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellite_encryption_type: Option<&'static str>,
    /// Whether the satellite is reached over it.
    pub is_active: bool,
    /// Generation id.
    pub uuid: String,
}

/// A node, outgoing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Node {
    /// Name.
    pub name: String,
    /// What it is for.
    #[serde(rename = "type")]
    pub node_type: &'static str,
    /// Properties.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
    /// Flags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// Net interfaces.
    pub net_interfaces: Vec<NetInterface>,
    /// State of the connection.
    pub connection_status: &'static str,
    /// Generation id.
    pub uuid: String,
    /// Providers that work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storage_providers: Vec<&'static str>,
    /// Layers that work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_layers: Vec<&'static str>,
    /// Why each other provider does not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unsupported_providers: BTreeMap<&'static str, Vec<String>>,
    /// Why each other layer does not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unsupported_layers: BTreeMap<&'static str, Vec<String>>,
    /// When the node will be given up, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_timestamp: Option<i64>,
    /// `LINUX`, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<&'static str>,
    /// Operating system, once known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_variant: String,
    /// What is to be said about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ApiCallRc>,
    /// When its state was seen.
    pub berth: SeenWhen<'static>,
}

/// A net interface, incoming.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NetInterfaceIn {
    /// Name.
    pub name: Option<Text>,
    /// Address.
    pub address: Option<Text>,
    /// Port of the satellite.
    pub satellite_port: Option<Int>,
    /// `PLAIN` or `SSL`.
    pub satellite_encryption_type: Option<Text>,
    /// Makes it the satellite connection.
    pub is_active: Option<Flag>,
}

/// `NodeCreate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct NodeCreate {
    /// Name.
    pub name: Option<Text>,
    /// What it is for.
    #[serde(rename = "type")]
    pub node_type: Option<Text>,
    /// Net interfaces.
    pub net_interfaces: Option<Vec<NetInterfaceIn>>,
    /// Properties.
    pub props: Option<PropMap>,
}

/// `NodeModify`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodeModify {
    /// What it is for.
    pub node_type: Option<Text>,
    /// Properties.
    #[serde(flatten)]
    pub props: PropsModify,
}

/// `NodeRestore`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodeRestore {
    /// Delete what is on it.
    pub delete_resources: Option<Flag>,
    /// Delete the snapshots on it.
    pub delete_snapshots: Option<Flag>,
}

/// `NodeEvacuate`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct NodeEvacuate {
    /// Nodes that may take what is on it.
    pub target: Option<Vec<Text>>,
    /// Nodes that may not.
    pub do_not_target: Option<Vec<Text>>,
}

/// A change of properties, part of every modifying document.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PropsModify {
    /// To be set.
    pub override_props: Option<PropMap>,
    /// To be removed.
    pub delete_props: Option<Vec<Text>>,
    /// To be removed with everything below.
    pub delete_namespaces: Option<Vec<Text>>,
}
