//! Machines and processes: configuration, devices that nobody uses, tools that run there, copies of the database.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, Text};

/// `ControllerConfigConfig`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfigFolder {
    pub dir: String,
}

/// `ControllerConfigDebug`.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct ConfigDebug {
    pub console_enabled: bool,
}

/// `SatelliteConfigLog`, and that of the controller with the members that only it has.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfigLog {
    pub print_stack_trace: bool,
    pub directory: &'static str,
    pub level: &'static str,
    pub level_linstor: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_access_mode: Option<&'static str>,
}

/// `SatelliteConfigNet`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfigNet {
    pub bind_address: String,
    pub port: u16,
    pub com_type: &'static str,
}

/// `SatelliteConfig`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SatelliteConfig {
    pub config: ConfigFolder,
    pub debug: ConfigDebug,
    pub log: ConfigLog,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stlt_override_node_name: Option<String>,
    pub remote_spdk: bool,
    pub ebs: bool,
    pub special_satellite: bool,
    pub net: ConfigNet,
}

/// `ControllerConfigDb`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfigDb {
    pub connection_url: String,
    pub version_check_disabled: bool,
}

/// `ControllerConfigHttp` and `ControllerConfigHttps`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ConfigHttp {
    pub enabled: bool,
    pub listen_address: String,
    pub port: u16,
}

/// `ControllerConfig`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ControllerConfig {
    pub config: ConfigFolder,
    pub debug: ConfigDebug,
    pub log: ConfigLog,
    pub db: ConfigDb,
    pub http: ConfigHttp,
    pub https: ConfigHttp,
    pub ldap: ConfigLdap,
}

/// `ControllerConfigLdap`. It holds no secret: nobody binds with a password of the controller's.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct ConfigLdap {
    pub enabled: bool,
    pub public_access_allowed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub search_base: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub search_filter: String,
}

/// The part of `ControllerConfig` and `SatelliteConfig` that can be changed.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigIn {
    #[serde(deserialize_with = "crate::lenient::object")]
    pub log: Option<ConfigLogIn>,
}

/// How much to log; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConfigLogIn {
    pub level: Option<Text>,
    pub level_linstor: Option<Text>,
    /// Of the controller and all satellites.
    pub level_global: Option<Text>,
    /// Of the controller and all satellites.
    pub level_linstor_global: Option<Text>,
}

/// `PhysicalStorageDevice`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Device {
    pub device: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub model: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub wwn: String,
}

/// `PhysicalStorage`: devices of one size and kind.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Devices {
    /// Bytes.
    pub size: u64,
    pub rotational: bool,
    pub nodes: BTreeMap<String, Vec<Device>>,
}

/// `PhysicalStorageNode`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NodeDevice {
    /// Bytes.
    pub size: u64,
    pub rotational: bool,
    #[serde(flatten)]
    pub device: Device,
}

/// `PhysicalStorageCreate`, as far as it is looked at.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["provider_kind"]))]
pub struct DevicePoolCreate {
    pub provider_kind: Option<Text>,
}

/// `ReactorExecRequest` and `ReactorPluginRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["nodes"]))]
pub struct ReactorIn {
    pub nodes: Option<Vec<Text>>,
    pub resource: Option<Text>,
    pub config: Option<Text>,
    pub now: Option<Flag>,
}

/// What the operations of `drbd-reactorctl` answer where a member is missing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Lacking {
    pub error: String,
}

/// `ReactorExecResponse`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReactorOut {
    pub node: String,
    pub exit_code: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stdout_utf8: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stderr_utf8: String,
}

/// `DatabaseBackupRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BackupIn {
    pub backup_name: Option<Text>,
}
