//! What would be lost with nodes, and what is at risk today (`/v1/berth/what-if`, `/v1/berth/risk`).
//!
//! Sizes are KiB. Each list has its whole length beside its beginning. `certain`: so whatever the state of the nodes that cannot be
//! asked may be; otherwise only in the worst case.
#![allow(missing_docs)] // The members are explained in docs/api.md.

use schemars::JsonSchema;
use serde::Serialize;

use crate::seen::Moment;

/// The beginning of a list and its whole length.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Capped{T}")]
pub struct Capped<T> {
    pub total: usize,
    pub list: Vec<T>,
}

/// The answer to "what if".
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WhatIf {
    pub nodes: Vec<String>,
    pub event: &'static str,
    pub data: Capped<DataLoss>,
    pub access: Capped<AccessLoss>,
    pub quorum: Capped<QuorumLoss>,
    pub redundancy: Capped<TooFew>,
    pub snapshots: Capped<SnapshotLoss>,
    pub replicas: usize,
    pub pools: Capped<PoolAfter>,
    pub unplaced: Capped<Unplaced>,
    pub not_tried: usize,
    pub unknown_nodes: Capped<String>,
    pub quarantined: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DataLoss {
    pub resource_name: String,
    pub certain: bool,
    pub for_good: bool,
    pub holders: Vec<String>,
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AccessLoss {
    pub resource_name: String,
    pub certain: bool,
    pub in_use_on: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct QuorumLoss {
    pub resource_name: String,
    pub certain: bool,
    pub rule: String,
    pub voters: usize,
    pub needed: usize,
    pub left: usize,
    pub left_at_best: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TooFew {
    pub resource_name: String,
    pub wanted: usize,
    pub before: usize,
    pub after: usize,
    pub unknown: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SnapshotLoss {
    pub resource_name: String,
    pub snapshot_name: String,
    pub certain: bool,
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PoolAfter {
    pub node_name: String,
    pub storage_pool_name: String,
    pub thin: bool,
    pub free_kib: u64,
    pub total_kib: u64,
    pub promised_kib: u64,
    pub added_kib: u64,
    pub over_kib: u64,
    pub short_if_full_kib: u64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Unplaced {
    pub resource_name: String,
    pub replicas: usize,
    pub no_space: bool,
    pub reasons: Vec<String>,
}

/// The standing report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Risk {
    pub nodes: Capped<NodeRisk>,
    pub without_good_copy: Capped<Copyless>,
    pub without_replica: Capped<String>,
    pub too_few: Capped<TooFew>,
    pub near_full: Capped<PoolRisk>,
    pub overcommitted: Capped<PoolRisk>,
    pub pools_unknown: Capped<PoolUnknown>,
    pub blocked_jobs: Capped<BlockedJob>,
    pub nodes_unknown: Capped<NodeAway>,
    pub quarantined: Capped<Quarantined>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NodeRisk {
    pub node_name: String,
    pub online: bool,
    pub data: usize,
    pub access: usize,
    pub quorum: usize,
    pub redundancy: usize,
    pub snapshots: usize,
    pub holds_kib: u64,
    pub room_elsewhere_kib: u64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Copyless {
    pub resource_name: String,
    pub certain: bool,
    pub unknown: Vec<String>,
    pub lost_on: Vec<String>,
    pub behind_on: Vec<String>,
    pub given_up_on: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PoolRisk {
    pub node_name: String,
    pub storage_pool_name: String,
    pub free_kib: u64,
    pub total_kib: u64,
    pub promised_kib: u64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PoolUnknown {
    pub node_name: String,
    pub storage_pool_name: String,
    pub why: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BlockedJob {
    pub uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    pub task: &'static str,
    pub created: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    pub why: String,
    pub way_out: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NodeAway {
    pub node_name: String,
    pub connection_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Moment>,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Quarantined {
    pub kind: String,
    pub key: String,
    pub why: String,
}
