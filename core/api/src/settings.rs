//! The controller, key-value stores, error reports, counts.
#![allow(missing_docs)] // The members are those of the API's documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::Text;
use crate::node::PropsModify;

/// `ControllerVersion`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ControllerVersion {
    pub version: &'static str,
    pub git_hash: &'static str,
    pub build_time: &'static str,
    pub rest_api_version: &'static str,
}

/// What is known about one key of the properties: the lists of properties are maps of these.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PropertyInfo {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<&'static str>,
    /// Form of its values, e.g. `string`, `long`, `regex`.
    pub prop_type: &'static str,
    /// The form in detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'static str>,
    /// What holds where it is unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dflt: Option<&'static str>,
    /// Unit of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
}

/// What is told about used space over time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SpaceReport {
    #[serde(rename = "reportText")]
    pub report_text: String,
}

/// `KeyValueStore`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KeyValueStore {
    pub name: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub props: BTreeMap<String, String>,
}

/// A change of a key-value store.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KeyValueModify {
    /// Berth's own: keys with the values that they must have, `null`: not set; else nothing is changed (992).
    pub expected_props: Option<BTreeMap<String, Option<Text>>>,
    #[serde(flatten)]
    pub props: PropsModify,
}

/// An error report.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct ErrorReport {
    pub node_name: String,
    /// Milliseconds since 1970.
    pub error_time: i64,
    pub filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `Controller` or `Satellite`.
    pub module: String,
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    pub exception: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exception_message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin_file: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin_method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_line: Option<u32>,
}

/// Answers of `/v1/stats/*`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Count {
    pub count: usize,
}
