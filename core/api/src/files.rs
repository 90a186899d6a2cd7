//! External files.
#![allow(missing_docs)] // The members are those of the API's documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::Text;

/// `ExternalFile`, as it is sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ExternalFile {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alt_suffixes: Vec<String>,
}

/// `ExternalFile`, as it comes in. Not printed: what is in it may be a secret.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExternalFileIn {
    pub path: Option<Text>,
    pub content: Option<Text>,
    pub alt_suffixes: Option<Vec<Text>>,
}

/// `ExtFileCheckResult`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileCheck {
    pub allowed: bool,
}

/// `ExtFileStatusResult`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_path: Option<String>,
    pub content_match: bool,
    /// Why the satellite did not write it (not upstream's, as the next ones).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
}

/// Why there is no [`FileStatus`].
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FileUnknown {
    pub message: String,
}
