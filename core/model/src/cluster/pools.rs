//! What lies in each pool by intent: kept up by the fold, so that nobody has to add it up.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Cluster;
use super::strange::{is_natural, strange};
use crate::flags::VolumeFlag;
use crate::names::{NodeName, StorPoolName, VolumeNumber};
use crate::objects::{Resource, Volume};
use crate::plan::ContentSource;
use crate::size::Kib;

/// What lies in a pool by intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolUse {
    /// Number of volumes.
    pub volumes: u64,
    /// Number of snapshots' volumes.
    pub snapshot_volumes: u64,
    /// Sum of the sizes of the volumes' backing objects.
    pub reserved: Kib,
    /// Number of replicas with volumes in it.
    pub resources: u64,
    /// How many of the volumes are [`Unsettled`].
    pub unsettled: u64,
}

/// A volume that is being made, filled or enlarged: its pool may not have given all the space yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// Its replica, as an item of a plan.
    pub item: Uuid,
    /// Its number.
    pub number: VolumeNumber,
    /// The size that its backing object shall have.
    pub size: Kib,
}

fn is_unsettled(volume: &Volume) -> bool {
    volume.content.source != ContentSource::Kept || volume.flags.has(VolumeFlag::Resize)
}

impl Cluster {
    /// Counts the volumes of a replica that was put.
    pub(super) fn use_pools(&mut self, resource: &Resource) {
        let item = resource.id.uuid();
        for (number, volume) in &resource.volumes {
            if !is_natural(&resource.name, *number, volume) {
                self.strange.insert(strange(&resource.node, &volume.pool, &volume.backing));
            }
            let place = (resource.node.clone(), volume.pool.clone());
            let unsettled = is_unsettled(volume);
            if unsettled {
                let one = Unsettled { item, number: *number, size: volume.backing_kib };
                self.unsettled.entry(place.clone()).or_default().insert((item, *number), one);
            }
            let used = self.pool_use.entry(place).or_default();
            used.volumes += 1;
            used.unsettled += u64::from(unsettled);
            used.reserved = used.reserved.saturating_add(volume.backing_kib);
        }
        for pool in pools_of(resource) {
            self.pool_use.entry((resource.node.clone(), pool.clone())).or_default().resources += 1;
        }
    }

    /// Takes back what [`Cluster::use_pools`] counted.
    pub(super) fn leave_pools(&mut self, resource: &Resource) {
        let item = resource.id.uuid();
        for pool in pools_of(resource) {
            self.unuse(&resource.node, pool, |used| used.resources = used.resources.saturating_sub(1));
        }
        for (number, volume) in &resource.volumes {
            if !is_natural(&resource.name, *number, volume) {
                self.strange.remove(&strange(&resource.node, &volume.pool, &volume.backing));
            }
            let unsettled = is_unsettled(volume);
            if unsettled {
                super::remove_inner(&mut self.unsettled, &(resource.node.clone(), volume.pool.clone()), &(item, *number));
            }
            self.unuse(&resource.node, &volume.pool, |used| {
                used.volumes = used.volumes.saturating_sub(1);
                used.unsettled = used.unsettled.saturating_sub(u64::from(unsettled));
                used.reserved = used.reserved.saturating_sub(volume.backing_kib);
            });
        }
    }

    pub(super) fn unuse(&mut self, node: &NodeName, pool: &StorPoolName, edit: impl FnOnce(&mut PoolUse)) {
        let place = (node.clone(), pool.clone());
        if let Some(used) = self.pool_use.get_mut(&place) {
            edit(used);
            if *used == PoolUse::default() {
                self.pool_use.remove(&place);
            }
        }
    }

    /// What lies in a pool by intent.
    #[must_use]
    pub fn pool_use(&self, node: &NodeName, pool: &StorPoolName) -> PoolUse {
        self.pool_use.get(&(node.clone(), pool.clone())).copied().unwrap_or_default()
    }

    /// What lies in each pool that something lies in, by node and pool.
    pub fn pool_uses(&self) -> impl Iterator<Item = (&(NodeName, StorPoolName), &PoolUse)> {
        self.pool_use.iter()
    }

    /// The volumes of a pool that are being made, filled or enlarged.
    pub fn unsettled(&self, node: &NodeName, pool: &StorPoolName) -> impl Iterator<Item = &Unsettled> {
        self.unsettled.get(&(node.clone(), pool.clone())).into_iter().flat_map(|volumes| volumes.values())
    }
}

fn pools_of(resource: &Resource) -> BTreeSet<&StorPoolName> {
    resource.volumes.values().map(|volume| &volume.pool).collect()
}
