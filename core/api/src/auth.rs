//! Documents of API tokens. `role` is Berth's own; LINSTOR's clients leave it out and do not read it.
#![allow(missing_docs)] // The members are those of the API's documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Flag, Text};

/// `AuthToken`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuthToken {
    pub id: u64,
    pub created_at: String,
    pub is_active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_filter: Option<String>,
    pub is_user_token: bool,
    /// `viewer`, `operator` or `admin`.
    pub role: &'static str,
}

/// `AuthTokenListResponse`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuthTokenList {
    pub count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<AuthToken>,
}

/// `CreateAuthToken`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["description"]))]
pub struct CreateAuthToken {
    pub description: Option<Text>,
    pub expires_at: Option<Text>,
    pub ip_filter: Option<Text>,
    pub role: Option<Text>,
}

/// `ModifyAuthToken`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModifyAuthToken {
    pub description: Option<Text>,
    pub ip_filter: Option<Text>,
    pub is_active: Option<Flag>,
    pub role: Option<Text>,
}

/// `InitAuthTokenRequest`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InitAuthToken {
    pub only_satellites: Option<Flag>,
    pub description: Option<Text>,
    pub no_https: Option<Flag>,
}
