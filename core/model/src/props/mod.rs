//! Properties: named texts on every object, what each key may hold, and where its value comes from when it is unset.
//!
//! One table (`table.tsv`) says which key may be set on which object, what its value must look like and whether anything acts upon it yet.
//! [`change()`] is the only door by which a user's request alters a [`Props`]; [`order`] is the only place that knows from where a value is inherited.
//! Source of the rules: REST API v1, properties.

mod change;
mod check;
mod inherit;
mod rule;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::few::Few;

pub use change::{Deprecated, PropChange, PropOutcome, SetProp, change};
pub use check::{Checked, PropError, check, check_delete, is_of_provider, value_text};
pub use inherit::{Chain, Effective, Source, order};
pub use rule::{parse_bool, parse_range, parse_ranges};
pub use table::{Effect, INFO_SECTIONS, Owner, PropInfo, effect, infos};

/// Storage pool that volumes are placed in.
pub const STOR_POOL_NAME: &str = "StorPoolName";
/// Name of the provider that makes the volumes of a storage pool.
pub const PROVIDER: &str = "StorDriver/Provider";
/// Volume group, zpool or folder that a storage pool stands for.
pub const DRIVER_POOL: &str = "StorDriver/StorPoolName";
/// Namespace of the user's own keys.
pub const AUX: &str = "Aux";
/// Quorum that DRBD asks for: `off`, `majority`, `all` or a number.
pub const QUORUM: &str = "DrbdOptions/Resource/quorum";
/// What DRBD does without quorum.
pub const ON_NO_QUORUM: &str = "DrbdOptions/Resource/on-no-quorum";
/// Written beside [`QUORUM`]: [`QUORUM_BY_USER`] where a user chose it, so that the automatic choice keeps away.
pub const QUORUM_SET_BY: &str = "Internal/Drbd/QuorumSetBy";
/// Value of [`QUORUM_SET_BY`] for a quorum that a user chose.
pub const QUORUM_BY_USER: &str = "user";
/// Whether tie breakers come and go by themselves.
pub const AUTO_TIEBREAKER: &str = "DrbdOptions/auto-add-quorum-tiebreaker";
/// Whether a volume is exactly as large as asked for.
pub const EXACT_SIZE: &str = "DrbdOptions/ExactSize";
/// Whether DRBD runs without its disk.
pub const SKIP_DISK: &str = "DrbdOptions/SkipDisk";
/// TCP ports that resources are given, `from-to`.
pub const TCP_PORT_RANGE: &str = "TcpPortAutoRange";
/// TCP ports that are never given on a node; see [`parse_ranges`].
pub const TCP_PORTS_BLOCKED: &str = "TcpPortsBlocked";
/// Device minors that volumes are given, `from-to`.
pub const MINOR_RANGE: &str = "MinorNrAutoRange";
/// Bitmap slots for peers of new replicas.
pub const PEER_SLOTS: &str = "PeerSlotsNewResource";
/// Whether a node's pools are candidates for placement.
pub const AUTOPLACE_TARGET: &str = "AutoplaceTarget";
/// Value of both other oversubscription ratios where they are unset.
pub const MAX_OVERSUBSCRIPTION: &str = "MaxOversubscriptionRatio";
/// How many times its free space a thin pool may promise.
pub const MAX_FREE_OVERSUBSCRIPTION: &str = "MaxFreeCapacityOversubscriptionRatio";
/// How many times its capacity a thin pool may promise.
pub const MAX_TOTAL_OVERSUBSCRIPTION: &str = "MaxTotalCapacityOversubscriptionRatio";

/// Properties of one object: texts by key, `/` separates namespaces.
///
/// Keys have no leading `/`, no empty component and at most 256 characters. What a user sends enters only by [`change()`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Props(Few<String, String>);

impl Props {
    /// Value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Value of `key` as yes or no, in any of the spellings that clients use; `None`: unset or neither.
    #[must_use]
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(parse_bool)
    }

    /// Whether `key` is set.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Keys and values below `namespace` (without a trailing `/`), in the order of the keys.
    pub fn below<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter(move |(key, _)| check::is_below(key, namespace) && *key != namespace)
    }

    /// The outermost namespaces in use, such as `Aux`.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|key| key.split_once('/')).map(|(first, _)| first).collect()
    }

    /// Sets a key of the controller's own without a check; answers the old value.
    pub fn insert_internal(&mut self, key: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.0.insert(key.into(), value.into())
    }

    /// Removes a key without a check; answers the old value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many keys are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Keys and values as they lie, in the order of the keys, for a reply.
    #[must_use]
    pub fn as_pairs(&self) -> &[(String, String)] {
        self.0.as_slice()
    }
}

/// Takes texts as they are, without a check: for values that were checked before (copies, records).
impl FromIterator<(String, String)> for Props {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl From<Props> for BTreeMap<String, String> {
    fn from(props: Props) -> Self {
        props.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
