//! Who asks, and what they may: roles, callers, API tokens.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::layers::words;
use crate::time::Timestamp;

words!(
    /// What a caller may do; each role may what those before it may. LINSTOR knows only the last one.
    #[derive(Default)]
    Role {
        /// Reads everything but secrets, changes nothing.
        Viewer = "viewer",
        /// Works with resources, snapshots, groups and jobs; empties nodes.
        Operator = "operator",
        /// Everything: nodes, pools, the controller, who may sign in.
        #[default]
        Admin = "admin",
    }
);

/// Name of whoever reaches the API without signing in.
pub const ANYBODY: &str = "PUBLIC";

/// Who gives a command. The name stands in the log, so it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `PUBLIC`, `token:3`, `user:alice`, `cert:alice`, or the name of a part of Berth.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Caller {
    /// A caller who signed in.
    #[must_use]
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role }
    }

    /// Whoever reaches an API that asks nobody to sign in: an administrator.
    #[must_use]
    pub fn anybody() -> Self {
        Self::new(ANYBODY, Role::Admin)
    }

    /// A part of Berth itself, or a job that goes on under the name of whoever began it: what it does was allowed before.
    #[must_use]
    pub fn internal(name: impl Into<String>) -> Self {
        Self::new(name, Role::Admin)
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// An API token. Its text is known to whoever made it alone; here is its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Number, from 1; never given twice.
    pub id: u64,
    /// SHA-256 of the token's text, 64 hexadecimal digits in lower case; empty: the token was revoked.
    #[serde(default)]
    pub token_sha256: String,
    /// What it is for.
    pub description: String,
    /// What its bearer may do.
    #[serde(default)]
    pub role: Role,
    /// Switched off for a while where false.
    #[serde(default = "yes")]
    pub active: bool,
    /// From this moment on it is worth nothing; `None`: no end.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The only address that it may be used from; `None`: any.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// When it was made.
    #[serde(default)]
    pub created: Timestamp,
    /// When it was revoked, for good; `None`: it was not.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
}

fn yes() -> bool {
    true
}

impl Token {
    /// Whether its bearer is let in at `now`, wherever they come from.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.active && self.revoked.is_none() && self.expires.is_none_or(|end| now < end)
    }

    /// Whether it may be used from `peer`. An IPv4 address that comes through an IPv6 socket is itself.
    #[must_use]
    pub fn fits(&self, peer: IpAddr) -> bool {
        self.address.is_none_or(|address| address.to_canonical() == peer.to_canonical())
    }

    /// Its bearer, as the log names them.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(format!("token:{}", self.id), self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            id: 3,
            token_sha256: "0".repeat(64),
            description: "ci".to_owned(),
            role: Role::Viewer,
            active: true,
            expires: Some(Timestamp(100)),
            address: Some("192.0.2.7".parse().unwrap()),
            created: Timestamp(1),
            revoked: None,
        }
    }

    #[test]
    fn a_token_ends_when_it_says_and_where_it_is_taken_back() {
        assert!(token().is_usable(Timestamp(99)) && !token().is_usable(Timestamp(100)));
        assert!(!Token { active: false, ..token() }.is_usable(Timestamp(5)));
        assert!(!Token { revoked: Some(Timestamp(4)), ..token() }.is_usable(Timestamp(5)));
        assert!(Token { expires: None, ..token() }.is_usable(Timestamp(i64::MAX)));
    }

    #[test]
    fn a_token_with_an_address_works_from_there_alone() {
        for (peer, fits) in [("192.0.2.7", true), ("::ffff:192.0.2.7", true), ("192.0.2.8", false), ("::1", false)] {
            assert_eq!(token().fits(peer.parse().unwrap()), fits, "{peer}");
        }
        assert!(Token { address: None, ..token() }.fits("::1".parse().unwrap()));
    }

    #[test]
    fn roles_include_those_before_them_and_an_old_record_means_an_administrator() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        let old: Token = serde_json::from_str(r#"{"id":1,"description":"x"}"#).unwrap();
        assert_eq!((old.role, old.active, token().caller().name.as_str()), (Role::Admin, true, "token:3"));
    }
}
