//! Connections and DRBD Proxy.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{PropMap, Text};
use crate::node::PropsModify;

/// `NodeConnection` and `ResourceConnection`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Connection {
    pub node_a: String,
    pub node_b: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
}

/// `DrbdProxyModify`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DrbdProxyModify {
    pub compression_type: Option<Text>,
    pub compression_props: Option<PropMap>,
    #[serde(flatten)]
    pub props: PropsModify,
}
