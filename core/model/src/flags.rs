//! Flags of objects, as they appear in JSON: a list of words in the order of declaration.
//!
//! Sets are kept as the plain words that were set; [`shown`](ResourceFlags::shown) adds the words that a composite
//! flag contains (`TIE_BREAKER` contains `DRBD_DISKLESS`, which contains `DISKLESS`).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::layers::words;

macro_rules! flag_set {
    ($(#[$doc:meta])* $set:ident of $flag:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $set(BTreeSet<$flag>);

        impl $set {
            /// Whether the flag is set, itself or inside a composite one.
            #[must_use]
            pub fn has(&self, flag: $flag) -> bool {
                self.0.iter().any(|set| *set == flag || set.contains().contains(&flag))
            }
            /// Sets the flag.
            pub fn set(&mut self, flag: $flag) {
                self.0.insert(flag);
            }
            /// Removes the flag (not those that contain it).
            pub fn clear(&mut self, flag: $flag) {
                self.0.remove(&flag);
            }
            /// Adds or removes the flag.
            pub fn put(&mut self, flag: $flag, set: bool) {
                if set { self.set(flag) } else { self.clear(flag) }
            }
            /// Whether no flag is set.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
            /// The words for JSON, in order, with those that composite flags contain.
            #[must_use]
            pub fn shown(&self) -> Vec<&'static str> {
                $flag::ALL.iter().copied().filter(|flag| self.has(*flag)).map($flag::word).collect()
            }
        }

        impl FromIterator<$flag> for $set {
            fn from_iter<I: IntoIterator<Item = $flag>>(iter: I) -> Self {
                Self(iter.into_iter().collect())
            }
        }
    };
}

words!(
    /// Flags of a node.
    NodeFlag {
        /// Being deleted.
        Delete = "DELETE",
        /// Given up, its replicas are replaced elsewhere.
        Evicted = "EVICTED",
        /// Being emptied.
        Evacuate = "EVACUATE",
        /// Quorum votes ignored.
        Qignore = "QIGNORE",
    }
);
impl NodeFlag {
    fn contains(self) -> &'static [Self] {
        match self {
            Self::Evicted => &[Self::Delete],
            Self::Delete | Self::Evacuate | Self::Qignore => &[],
        }
    }
}
flag_set!(
    /// Flags of one node.
    NodeFlags of NodeFlag
);

words!(
    /// Flags of a resource (one replica).
    ResourceFlag {
        /// Left to be cleaned.
        Clean = "CLEAN",
        /// Being deleted.
        Delete = "DELETE",
        /// Without storage of its own.
        Diskless = "DISKLESS",
        /// A disk shall be added.
        DiskAddRequested = "DISK_ADD_REQUESTED",
        /// A disk is being added.
        DiskAdding = "DISK_ADDING",
        /// The disk shall be removed.
        DiskRemoveRequested = "DISK_REMOVE_REQUESTED",
        /// The disk is being removed.
        DiskRemoving = "DISK_REMOVING",
        /// Diskless by DRBD.
        DrbdDiskless = "DRBD_DISKLESS",
        /// Diskless, only to break ties.
        TieBreaker = "TIE_BREAKER",
        /// Diskless, reached over NVMe.
        NvmeInitiator = "NVME_INITIATOR",
        /// Not to be served.
        Inactive = "INACTIVE",
        /// To be served again.
        Reactivate = "REACTIVATE",
        /// Not to be served, ever.
        InactivePermanently = "INACTIVE_PERMANENTLY",
        /// Being restored from a backup.
        BackupRestore = "BACKUP_RESTORE",
        /// On an evicted node.
        Evicted = "EVICTED",
        /// Was inactive already when its node was evicted.
        InactiveBeforeEviction = "INACTIVE_BEFORE_EVICTION",
        /// Being made from a snapshot.
        RestoreFromSnapshot = "RESTORE_FROM_SNAPSHOT",
        /// To be moved away.
        Evacuate = "EVACUATE",
        /// DRBD is being taken away.
        DrbdDelete = "DRBD_DELETE",
        /// Going to be inactive.
        Inactivating = "INACTIVATING",
        /// Diskless, reached over EBS.
        EbsInitiator = "EBS_INITIATOR",
        /// Was made diskful by the automatism.
        AutoDiskful = "AUTO_DISKFUL",
    }
);
impl ResourceFlag {
    fn contains(self) -> &'static [Self] {
        match self {
            Self::TieBreaker => &[Self::DrbdDiskless, Self::Diskless],
            Self::DrbdDiskless | Self::NvmeInitiator | Self::EbsInitiator => &[Self::Diskless],
            Self::InactivePermanently | Self::Evicted => &[Self::Inactive],
            _ => &[],
        }
    }
}
flag_set!(
    /// Flags of one resource.
    ResourceFlags of ResourceFlag
);

words!(
    /// Flags of a volume.
    VolumeFlag {
        /// Being deleted.
        Delete = "DELETE",
        /// Storage is growing or shrinking.
        Resize = "RESIZE",
        /// DRBD is growing or shrinking.
        DrbdResize = "DRBD_RESIZE",
        /// A clone is about to be made.
        CloningStart = "CLONING_START",
        /// Being filled as a clone.
        Cloning = "CLONING",
        /// The clone is complete.
        CloningFinished = "CLONING_FINISHED",
        /// DRBD is being taken away.
        DrbdDelete = "DRBD_DELETE",
    }
);
impl VolumeFlag {
    fn contains(self) -> &'static [Self] {
        &[]
    }
}
flag_set!(
    /// Flags of one volume.
    VolumeFlags of VolumeFlag
);

words!(
    /// Flags of a resource definition.
    DefinitionFlag {
        /// Being deleted.
        Delete = "DELETE",
        /// Being filled from a snapshot.
        RestoreTarget = "RESTORE_TARGET",
        /// Being filled as a clone.
        Cloning = "CLONING",
        /// The clone or restore failed.
        Failed = "FAILED",
    }
);
impl DefinitionFlag {
    fn contains(self) -> &'static [Self] {
        &[]
    }
}
flag_set!(
    /// Flags of one resource definition.
    DefinitionFlags of DefinitionFlag
);

words!(
    /// Flags of a volume definition (of a volume group only `GROSS_SIZE`).
    VolumeDefinitionFlag {
        /// Being deleted.
        Delete = "DELETE",
        /// Encrypted by LUKS.
        Encrypted = "ENCRYPTED",
        /// Changing its size.
        Resize = "RESIZE",
        /// `size_kib` counts the metadata of all layers.
        GrossSize = "GROSS_SIZE",
        /// Becoming smaller.
        ResizeShrink = "RESIZE_SHRINK",
        /// DRBD has had an up-to-date replica.
        DrbdInitialized = "DRBD_INITIALIZED",
    }
);
impl VolumeDefinitionFlag {
    fn contains(self) -> &'static [Self] {
        match self {
            Self::ResizeShrink => &[Self::Resize],
            Self::Delete | Self::Encrypted | Self::Resize | Self::GrossSize | Self::DrbdInitialized => &[],
        }
    }
}
flag_set!(
    /// Flags of one volume definition.
    VolumeDefinitionFlags of VolumeDefinitionFlag
);

words!(
    /// Flags of a snapshot (definition level).
    SnapshotFlag {
        /// Every copy was taken.
        Successful = "SUCCESSFUL",
        /// A node could not take its copy.
        FailedDeployment = "FAILED_DEPLOYMENT",
        /// A node went away while it was taken.
        FailedDisconnect = "FAILED_DISCONNECT",
        /// Being deleted.
        Delete = "DELETE",
        /// Being shipped.
        Shipping = "SHIPPING",
        /// Cleaning up after shipping.
        ShippingCleanup = "SHIPPING_CLEANUP",
        /// Shipping is being aborted.
        ShippingAbort = "SHIPPING_ABORT",
        /// Shipped.
        Shipped = "SHIPPED",
        /// Made by the schedule.
        AutoSnapshot = "AUTO_SNAPSHOT",
        /// Made for a backup.
        Backup = "BACKUP",
        /// To be restored when shipping ends well.
        RestoreBackupOnSuccess = "RESTORE_BACKUP_ON_SUCCESS",
        /// The same, over existing data.
        ForceRestoreBackupOnSuccess = "FORCE_RESTORE_BACKUP_ON_SUCCESS",
        /// Shipping is about to be aborted.
        PrepareShippingAbort = "PREPARE_SHIPPING_ABORT",
        /// Taken before a rollback.
        SafetySnapshot = "SAFETY_SNAPSHOT",
    }
);
impl SnapshotFlag {
    fn contains(self) -> &'static [Self] {
        &[]
    }
}
flag_set!(
    /// Flags of one snapshot.
    SnapshotFlags of SnapshotFlag
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_flags_show_what_they_contain() {
        let flags: ResourceFlags = [ResourceFlag::TieBreaker].into_iter().collect();
        assert_eq!(flags.shown(), ["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]);
        assert!(flags.has(ResourceFlag::Diskless));
        let json = serde_json::to_string(&flags).unwrap();
        assert_eq!(json, r#"["TIE_BREAKER"]"#);
        assert_eq!(serde_json::from_str::<ResourceFlags>(&json).unwrap(), flags);
    }
}
