//! Encryption.
#![allow(missing_docs)] // The members are those of the API's documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::Text;

/// `PassphraseStatus`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PassphraseStatus {
    /// `unset`, `locked`, `unlocked`.
    pub status: &'static str,
}

/// `PassPhraseCreate`. Not printed: what is printed for a look ends in logs.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["new_passphrase"]))]
pub struct PassphraseCreate {
    pub new_passphrase: Option<Text>,
    pub old_passphrase: Option<Text>,
}

/// `VolumeDefinitionModifyPassphrase`. Not printed, either.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["new_passphrase"]))]
pub struct VolumePassphrase {
    pub new_passphrase: Option<Text>,
}
