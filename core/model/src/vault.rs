//! What only a master passphrase opens. Nothing here is in clear: the controller's shell seals and opens, the cluster keeps what is sealed.

use serde::{Deserialize, Serialize};

use crate::ids::{Id, kind};
use crate::time::Timestamp;

/// A sealed text: base64 of nonce and ciphertext. It says nothing without the key, and is shown nowhere all the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// Takes what was sealed, as base64.
    #[must_use]
    pub fn new(base64: impl Into<String>) -> Self {
        Self(base64.into())
    }

    /// The base64 of nonce and ciphertext.
    #[must_use]
    pub fn as_base64(&self) -> &str {
        &self.0
    }
}

/// Without its text: what is printed for a look ends in logs and reports.
impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::secrets::HIDDEN)
    }
}

/// The key that seals everything else, itself sealed by a key that argon2id (RFC 9106) makes of the master passphrase.
///
/// A new passphrase seals the same key anew, so that nothing else has to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKey {
    /// Id of the key: the same as long as the key is.
    pub id: Id<kind::MasterKey>,
    /// Memory of argon2id, KiB.
    pub memory_kib: u32,
    /// Passes of argon2id.
    pub passes: u32,
    /// Lanes of argon2id.
    pub lanes: u32,
    /// Salt of argon2id, base64.
    pub salt: String,
    /// The key, sealed by what argon2id makes of the passphrase. The name of the member hides it wherever records are shown.
    pub secret: Sealed,
    /// When the key was made.
    #[serde(default)]
    pub created: Timestamp,
    /// When the passphrase was changed last.
    #[serde(default)]
    pub changed: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_not_printed_and_is_hidden_in_documents() {
        let key = MasterKey {
            id: Id::from_uuid(uuid::Uuid::nil()),
            memory_kib: 1,
            passes: 2,
            lanes: 3,
            salt: "c2FsdA==".to_owned(),
            secret: Sealed::new("aHVzaA=="),
            created: Timestamp(1),
            changed: Timestamp(2),
        };
        assert!(!format!("{key:?}").contains("aHVzaA=="));
        let mut document = serde_json::to_value(&key).unwrap();
        crate::secrets::hide(&mut document);
        assert_eq!(document["secret"], crate::secrets::HIDDEN);
        // A bundle holds such documents, and is read as a cluster.
        assert!(serde_json::from_value::<MasterKey>(document).is_ok());
    }
}
