//! Entries of replies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `ApiCallRc`: one entry of a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ApiCallRc {
    /// Severity, operation, kind of object and number, as a signed 64-bit number.
    pub ret_code: i64,
    /// What happened.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// More.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub correction: String,
    /// Error reports with more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_report_ids: Vec<String>,
    /// Objects concerned.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub obj_refs: BTreeMap<String, String>,
    /// When it was made, ISO 8601.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_at: String,
}
