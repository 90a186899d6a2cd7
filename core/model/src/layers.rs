//! Layers of a volume's stack and kinds of providers (REST API v1: `LayerType`, `ProviderKind`).

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $word)] $variant),* }

        impl $type {
            /// Every kind, in the order of listings.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word on the wire (upper case).
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Takes a word in any case; `None`: no such kind.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.word().eq_ignore_ascii_case(text))
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
pub(crate) use words;

words!(
    /// One layer of a stack.
    LayerKind {
        /// Replication by DRBD.
        Drbd = "DRBD",
        /// Encryption by dm-crypt.
        Luks = "LUKS",
        /// Export over NVMe-oF.
        Nvme = "NVME",
        /// dm-writecache.
        Writecache = "WRITECACHE",
        /// dm-cache.
        Cache = "CACHE",
        /// bcache.
        Bcache = "BCACHE",
        /// The provider's volume; always the last.
        Storage = "STORAGE",
    }
);

impl LayerKind {
    /// Whether `below` may stand directly under this layer (contract: allowed successors).
    #[must_use]
    pub fn may_stand_on(self, below: Self) -> bool {
        use LayerKind::{Bcache, Cache, Drbd, Luks, Nvme, Storage, Writecache};
        match self {
            Drbd => matches!(below, Nvme | Luks | Storage | Writecache | Cache | Bcache),
            Luks => matches!(below, Storage),
            Nvme => matches!(below, Luks | Storage | Writecache | Cache | Bcache),
            Writecache => matches!(below, Nvme | Luks | Storage | Cache | Bcache),
            Cache => matches!(below, Nvme | Luks | Storage | Writecache | Bcache),
            Bcache => matches!(below, Nvme | Luks | Storage | Writecache),
            Storage => false,
        }
    }
}

words!(
    /// What makes the volumes of a pool.
    ProviderKind {
        /// No storage.
        Diskless = "DISKLESS",
        /// LVM.
        Lvm = "LVM",
        /// LVM thin pool.
        LvmThin = "LVM_THIN",
        /// ZFS volumes with reservation.
        Zfs = "ZFS",
        /// Sparse ZFS volumes.
        ZfsThin = "ZFS_THIN",
        /// Files with all blocks allocated.
        File = "FILE",
        /// Sparse files.
        FileThin = "FILE_THIN",
        /// SPDK on this node.
        Spdk = "SPDK",
        /// SPDK on another machine.
        RemoteSpdk = "REMOTE_SPDK",
        /// EBS volumes attached here.
        EbsInit = "EBS_INIT",
        /// EBS volumes made elsewhere.
        EbsTarget = "EBS_TARGET",
        /// Windows Storage Spaces.
        StorageSpaces = "STORAGE_SPACES",
        /// Windows Storage Spaces, thin.
        StorageSpacesThin = "STORAGE_SPACES_THIN",
        /// A provider that the pool names (`StorDriver/Provider`).
        Plugin = "PLUGIN",
    }
);

impl ProviderKind {
    /// Whether volumes take space only as they are written.
    #[must_use]
    pub fn is_thin(self) -> bool {
        matches!(self, Self::LvmThin | Self::ZfsThin | Self::FileThin | Self::StorageSpacesThin)
    }

    /// Whether volumes of this kind have storage behind them.
    #[must_use]
    pub fn has_storage(self) -> bool {
        !matches!(self, Self::Diskless | Self::EbsInit)
    }

    /// Whether the kind can take snapshots at all (a pool may still be unable to).
    #[must_use]
    pub fn takes_snapshots(self) -> bool {
        !matches!(self, Self::Diskless | Self::Lvm | Self::EbsInit | Self::StorageSpaces | Self::StorageSpacesThin)
    }

    /// The unit that volumes are rounded up to where a pool has not told its own, in KiB.
    #[must_use]
    pub fn default_extent_kib(self) -> u64 {
        match self {
            Self::Lvm | Self::LvmThin => 4096,
            Self::Zfs | Self::ZfsThin => 8,
            Self::Spdk | Self::RemoteSpdk => 1024,
            Self::EbsInit | Self::EbsTarget => 1 << 20,
            Self::StorageSpaces | Self::StorageSpacesThin => 1024,
            Self::File | Self::FileThin | Self::Diskless | Self::Plugin => 4,
        }
    }
}
