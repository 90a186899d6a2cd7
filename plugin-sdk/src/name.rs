//! Names of backing objects.

use serde::{Deserialize, Serialize};

/// Why a text cannot name a backing object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot name a backing object: 1 to 127 letters, digits, '_', '-', '.', '@', '+' are allowed, the first a letter, a digit or '_'"
)]
pub struct BadBackingName(String);

/// Name of a file, logical volume or dataset inside its pool, chosen by the controller and never taken apart.
///
/// 1 to 127 characters (LVM's limit is the tightest), letters, digits, `_`, `-`, `.`, `@`, `+`; the first is a letter, a digit or `_`,
/// so no name is hidden, leaves the pool's folder or looks like an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackingName(String);

impl BackingName {
    /// Longest name.
    pub const LENGTH_MAX: usize = 127;
    /// A name of at most so many letters, digits, `_` and `.` can be kept in every pool, whatever its provider.
    pub const LENGTH_SURE: usize = 48;

    /// Takes `text` as a name.
    ///
    /// # Errors
    /// [`BadBackingName`] if it breaks the rule of the type.
    pub fn parse(text: &str) -> Result<Self, BadBackingName> {
        let fits = text.len() <= Self::LENGTH_MAX && text.bytes().next().is_some_and(Self::begins) && text.bytes().all(Self::takes);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadBackingName(text.chars().take(Self::LENGTH_MAX).collect())) }
    }

    /// Whether a name can begin with this character.
    pub(crate) fn begins(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_'
    }

    /// Whether this character can be in a name.
    pub(crate) fn takes(byte: u8) -> bool {
        Self::begins(byte) || matches!(byte, b'-' | b'.' | b'@' | b'+')
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BackingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BackingName {
    type Error = BadBackingName;
    fn try_from(text: String) -> Result<Self, BadBackingName> {
        Self::parse(&text)
    }
}

impl From<BackingName> for String {
    fn from(name: BackingName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for good in ["web_00000", "a", "web_00000_snap1", "0", "r.meta_00000"] {
            assert!(BackingName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-f", "a/b", ".x", "a b", "ä", &"x".repeat(128)] {
            assert!(BackingName::parse(bad).is_err(), "{bad}");
        }
    }
}
