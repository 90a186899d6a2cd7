//! Balancing (`/v1/berth/balance`).
#![allow(missing_docs)] // The members are explained in docs/api.md.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be balanced; nothing named: everything.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BalanceRequest {
    pub resource_names: Vec<String>,
    pub resource_groups: Vec<String>,
}

/// What balancing finds at a resource definition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BalanceFinding {
    pub resource_name: String,
    pub resource_group: String,
    pub replicas: usize,
    pub wanted: usize,
    pub action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
