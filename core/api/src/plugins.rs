//! Plugins of the nodes (`/v1/berth/plugins`).
#![allow(missing_docs)] // The members are explained in docs/api.md.

use schemars::JsonSchema;
use serde::Serialize;

/// Every plugin of every node that was connected, ordered by node and name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Plugins {
    pub plugins: Vec<Plugin>,
}

/// A plugin on a node.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Plugin {
    pub node_name: String,
    pub name: String,
    pub version: String,
    pub contract: String,
    /// COMPONENT, LIBRARY or EMBEDDED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<&'static str>,
    pub kinds: Vec<String>,
    pub serves: String,
    pub file: String,
    pub sha256: String,
    pub commands: Vec<String>,
    pub withheld: Vec<String>,
    pub files: bool,
    pub devices: Vec<String>,
    pub paths: Vec<String>,
    pub memory_mib: u32,
    pub seconds: u32,
    pub props: Vec<PluginProp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<PluginTrouble>,
}

/// A property of pools that a plugin adds.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PluginProp {
    pub key: String,
    pub help: String,
    /// What it takes, as the end of a sentence.
    pub takes: String,
}

/// Why a plugin is not used.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PluginTrouble {
    pub message: String,
    pub correction: String,
}
