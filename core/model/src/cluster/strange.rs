//! Backing objects that keep the name of something else: after a rename, an import, an adoption.

use super::Cluster;
use crate::names::{NodeName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::objects::Volume;
use crate::snapshot::SnapshotVolume;

/// As an entry of the index.
pub(super) fn strange(node: &NodeName, pool: &StorPoolName, backing: &str) -> (NodeName, StorPoolName, String) {
    (node.clone(), pool.clone(), backing.to_ascii_uppercase())
}

/// Whether a volume's backing object has the name that a new one of this resource would get, or none.
pub(super) fn is_natural(resource: &ResourceName, number: VolumeNumber, volume: &Volume) -> bool {
    let (backing, name) = (volume.backing.as_str(), resource.as_str());
    let digits = || {
        let (head, rest) = (backing.get(..name.len())?, backing.get(name.len()..)?);
        rest.strip_prefix('_').filter(|_| head.eq_ignore_ascii_case(name))
    };
    backing.is_empty() || digits().is_some_and(|digits| digits.len() == 5 && digits.parse() == Ok(number.get()))
}

/// Whether a snapshot's copy has the name that a new one of this snapshot would get. What is made of a volume with a strange name has a
/// strange name, too, but one that nobody else would get.
pub(super) fn is_natural_copy(snapshot: &SnapshotName, volume: &SnapshotVolume) -> bool {
    let ends = || {
        let rest = volume.backing.strip_prefix(volume.source_backing.as_str())?;
        rest.strip_prefix('.').map(|name| name.eq_ignore_ascii_case(snapshot.as_str()))
    };
    ends() == Some(true)
}

impl Cluster {
    /// Whether a backing object with a strange name has this one.
    #[must_use]
    pub fn has_strange_backing(&self, node: &NodeName, pool: &StorPoolName, backing: &str) -> bool {
        !self.strange.is_empty() && self.strange.contains(&strange(node, pool, backing))
    }
}
