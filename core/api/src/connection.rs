//! Connections and DRBD Proxy.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lenient::{PropMap, Text};
use crate::node::PropsModify;

/// `NodeConnection` and `ResourceConnection`.
#[derive(Debug, Clone, Serialize)]
pub struct Connection {
    pub node_a: String,
    pub node_b: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
}

/// `DrbdProxyModify`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DrbdProxyModify {
    pub compression_type: Option<Text>,
    pub compression_props: Option<PropMap>,
    #[serde(flatten)]
    pub props: PropsModify,
}
