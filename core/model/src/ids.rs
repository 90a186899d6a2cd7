//! Identities: a uuid v7 for each object, made once and never used again (law 3).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::time::Timestamp;

/// The generation id of one object of kind `T`. A re-created object of the same name has another one.
pub struct Id<T> {
    uuid: Uuid,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// Takes a uuid as the id of an object of this kind.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// The bare uuid, for marks, wire and display.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}
impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid.serialize(serializer)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}

/// Kinds that an [`Id`] can belong to.
pub mod kind {
    macro_rules! kinds { ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $($(#[$doc])* #[derive(Debug)] pub enum $name {})* } }
    kinds!(
        /// The cluster itself.
        Cluster,
        /// A node.
        Node,
        /// A net interface.
        NetIf,
        /// A storage pool definition.
        StorPoolDfn,
        /// A storage pool on a node.
        StorPool,
        /// A resource group.
        ResourceGroup,
        /// A volume group.
        VolumeGroup,
        /// A resource definition.
        ResourceDefinition,
        /// A volume definition.
        VolumeDefinition,
        /// One replica.
        Resource,
        /// One volume of a replica.
        Volume,
        /// A snapshot of a resource definition.
        Snapshot,
        /// A snapshot's copy on one node.
        NodeSnapshot,
        /// A snapshot's copy of one volume on one node.
        SnapshotVolume,
        /// What a volume contains: changes when a rollback or restore gives it other data.
        Content,
        /// A durable job.
        Job,
        /// The master key.
        MasterKey,
        /// What is said about the way between two nodes.
        NodeConnection,
        /// What is said about the connection of two replicas.
        ResourceConnection,
        /// An external file.
        ExternalFile,
    );
}

/// Makes uuids from a moment and a seed, so that a decision with the same input gives the same ids.
///
/// The seed must be unpredictable and fresh for each command (the shell draws it); uniqueness rests on it.
#[derive(Debug, Clone)]
pub struct IdSource {
    now: Timestamp,
    state: [u64; 2],
}

impl IdSource {
    /// Ids of the moment `now`, drawn from `seed`.
    #[must_use]
    pub fn new(now: Timestamp, seed: [u8; 16]) -> Self {
        let (low, high) = seed.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
        Self { now, state: [word(low), word(high) | 1] }
    }

    /// The next id. Ids of one source are distinct.
    #[allow(clippy::should_implement_trait)] // One source makes ids of every kind; an iterator has one item type.
    pub fn next<T>(&mut self) -> Id<T> {
        let (a, b) = (self.draw(), self.draw());
        let mut bytes = [0u8; 10];
        bytes[..8].copy_from_slice(&a.to_be_bytes());
        bytes[8..].copy_from_slice(&b.to_be_bytes()[..2]);
        let millis = u64::try_from(self.now.0).unwrap_or(0);
        Id::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }

    /// xoroshiro128+ step: enough to spread the seed, not a cipher: never draw a secret from it.
    fn draw(&mut self) -> u64 {
        let [s0, mut s1] = self.state;
        let out = s0.wrapping_add(s1);
        s1 ^= s0;
        self.state = [s0.rotate_left(24) ^ s1 ^ (s1 << 16), s1.rotate_left(37)];
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_source_differ_and_repeat_with_the_seed() {
        let draw = |seed: u8| {
            let mut ids = IdSource::new(Timestamp(1_700_000_000_000), [seed; 16]);
            (0..1000).map(|_| ids.next::<kind::Node>()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(draw(7).len(), 1000);
        assert_eq!(draw(7), draw(7));
        assert!(draw(7).is_disjoint(&draw(8)));
    }
}
