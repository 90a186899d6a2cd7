//! Sizes of volumes: from what was asked for to what the pool must hold, and back. No other place adds or rounds a size.
//!
//! All sizes are KiB. Metadata of DRBD 9 as in REST API v1, sizes (internal metadata: superblock, activity log, bitmap for each peer
//! slot, each on a 4 KiB boundary); a LUKS2 header takes 16 MiB; bcache moves the data by its superblock.

use berth_model::layers::LayerKind;
use berth_model::size::Kib;

/// Bitmap slots where nothing else is said (REST API v1: peer slots).
pub const DEFAULT_PEERS: u8 = 7;
/// Most bitmap slots that DRBD 9 has.
pub const MAX_PEERS: u8 = 31;
/// Header of a LUKS2 volume with default options.
pub const LUKS_HEADER: Kib = Kib(16 * 1024);
/// Offset of the data of a bcache backing device (16 sectors).
pub const BCACHE_OFFSET: Kib = Kib(8);
/// Everything of DRBD lies on 4 KiB boundaries.
const ALIGN: Kib = Kib(4);
const DRBD_SUPERBLOCK: Kib = Kib(4);
/// Smallest device that can hold DRBD's metadata and some data.
const DRBD_MIN_GROSS: Kib = Kib(68);

/// What DRBD's metadata depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrbdGeometry {
    /// Bitmap slots for peers, 1 to 31.
    pub peers: u8,
    /// Stripes of the activity log, at least 1.
    pub al_stripes: u32,
    /// Size of one of them.
    pub al_stripe_kib: u32,
    /// Data that one bit stands for, 4 to 1024.
    pub bitmap_block_kib: u32,
}

impl DrbdGeometry {
    /// The default geometry with `peers` bitmap slots.
    #[must_use]
    pub const fn with_peers(peers: u8) -> Self {
        Self { peers, al_stripes: 1, al_stripe_kib: 32, bitmap_block_kib: 4 }
    }

    fn check(self) -> Result<Self, SizeError> {
        let sound = (1..=MAX_PEERS).contains(&self.peers)
            && self.al_stripes > 0
            && self.al_stripe_kib > 0
            && (4..=1024).contains(&self.bitmap_block_kib)
            && self.bitmap_block_kib.is_power_of_two();
        if sound { Ok(self) } else { Err(SizeError::Geometry(self)) }
    }

    fn activity_log(self) -> Option<Kib> {
        u64::from(self.al_stripes).checked_mul(u64::from(self.al_stripe_kib)).map(Kib)
    }

    fn bitmap(self, gross: Kib) -> Option<Kib> {
        let bytes_per_peer = gross.0.div_ceil(u64::from(self.bitmap_block_kib).checked_mul(8)?).checked_next_multiple_of(8)?;
        Kib(bytes_per_peer.checked_mul(u64::from(self.peers))?.div_ceil(1024)).round_up(ALIGN)
    }

    /// Internal metadata of a device of `gross`.
    fn metadata(self, gross: Kib) -> Option<Kib> {
        self.activity_log()?.checked_add(DRBD_SUPERBLOCK)?.checked_add(self.bitmap(gross)?)?.round_up(ALIGN)
    }

    /// Smallest device whose data part is at least `net`: the least fixpoint, reached from below.
    fn gross(self, net: Kib) -> Option<Kib> {
        let net = net.round_up(ALIGN)?;
        let mut gross = net;
        loop {
            let next = net.checked_add(self.metadata(gross)?)?;
            if next == gross {
                return Some(gross.max(DRBD_MIN_GROSS));
            }
            gross = next;
        }
    }

    /// Data part of a device of `gross`; `None`: too small for the metadata.
    fn net(self, gross: Kib) -> Option<Kib> {
        let usable = gross.round_down(ALIGN);
        if usable < DRBD_MIN_GROSS {
            return None;
        }
        usable.0.checked_sub(self.metadata(gross)?.0).map(Kib).filter(|net| *net >= Kib::VOLUME_MIN)
    }
}

impl Default for DrbdGeometry {
    fn default() -> Self {
        Self::with_peers(DEFAULT_PEERS)
    }
}

/// What a layer offers upwards, and what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSize {
    /// The layer.
    pub kind: LayerKind,
    /// Size that the layer above (or the user) sees.
    pub usable: Kib,
    /// Size that it takes of the layer below; of STORAGE: what the pool holds.
    pub backing: Kib,
}

/// Sizes of one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// What the pool must hold, a multiple of its extent.
    pub backing: Kib,
    /// What the user gets, at least what was asked for (unless a gross size was).
    pub usable: Kib,
    /// The layers from top to bottom.
    pub layers: Vec<LayerSize>,
}

/// Why a size cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Outside of what a volume may be.
    #[error("a volume of {size} cannot be made: sizes go from {min} to {max}", min = Kib::VOLUME_MIN, max = Kib::VOLUME_MAX)]
    OutOfBounds {
        /// The size asked for.
        size: Kib,
    },
    /// A gross size that the metadata of a layer uses up.
    #[error("a volume of {size} with all metadata leaves nothing for data above the layer {layer}")]
    NoRoom {
        /// The gross size asked for.
        size: Kib,
        /// The layer that finds no room.
        layer: LayerKind,
    },
    /// More than 64 bits, possible with absurd extents only.
    #[error("the size of {size} with the metadata of all layers is too large")]
    Overflow {
        /// The size asked for.
        size: Kib,
    },
    /// Peers, stripes or bitmap blocks outside of DRBD's limits.
    #[error("DRBD has no metadata for {0:?}")]
    Geometry(DrbdGeometry),
}

/// Sizes of a volume of `size` on a `stack` (top to bottom) in a pool of this `extent` (0: rounds nothing).
/// `gross`: `size` is that of the backing volume (`GROSS_SIZE`), else what the user shall get at least.
///
/// # Errors
/// [`SizeError`]; never panics, whatever the numbers.
pub fn backing_size(size: Kib, gross: bool, stack: &[LayerKind], extent: Kib, drbd: DrbdGeometry) -> Result<Sizes, SizeError> {
    if size < Kib::VOLUME_MIN || size > Kib::VOLUME_MAX {
        return Err(SizeError::OutOfBounds { size });
    }
    let drbd = drbd.check()?;
    let overflow = || SizeError::Overflow { size };
    let mut wanted = size;
    if !gross {
        for kind in stack {
            wanted = below(*kind, wanted, drbd).ok_or_else(overflow)?;
        }
    }
    let backing = wanted.round_up(extent).ok_or_else(overflow)?;
    let mut layers = Vec::with_capacity(stack.len());
    let mut usable = backing;
    for kind in stack.iter().rev() {
        let on = usable;
        usable = above(*kind, on, drbd).ok_or(SizeError::NoRoom { size, layer: *kind })?;
        layers.push(LayerSize { kind: *kind, usable, backing: on });
    }
    layers.reverse();
    Ok(Sizes { backing, usable, layers })
}

/// What a backing volume of `backing` gives the user on this `stack`; 0 where the metadata leaves nothing.
#[must_use]
pub fn usable_size(backing: Kib, stack: &[LayerKind], drbd: DrbdGeometry) -> Kib {
    let Ok(drbd) = drbd.check() else { return Kib(0) };
    stack.iter().rev().try_fold(backing, |on, kind| above(*kind, on, drbd)).unwrap_or_default()
}

/// What a layer that shall offer `usable` needs of the one below.
fn below(kind: LayerKind, usable: Kib, drbd: DrbdGeometry) -> Option<Kib> {
    match kind {
        LayerKind::Drbd => drbd.gross(usable),
        LayerKind::Luks => usable.checked_add(LUKS_HEADER),
        LayerKind::Bcache => usable.checked_add(BCACHE_OFFSET),
        // Caches lie on devices of their own; NVMe only carries.
        LayerKind::Nvme | LayerKind::Writecache | LayerKind::Cache | LayerKind::Storage => Some(usable),
    }
}

/// What a layer on `backing` offers; `None`: nothing.
fn above(kind: LayerKind, backing: Kib, drbd: DrbdGeometry) -> Option<Kib> {
    let without = |header: Kib| backing.0.checked_sub(header.0).filter(|rest| *rest >= Kib::VOLUME_MIN.0).map(Kib);
    match kind {
        LayerKind::Drbd => drbd.net(backing),
        LayerKind::Luks => without(LUKS_HEADER),
        LayerKind::Bcache => without(BCACHE_OFFSET),
        LayerKind::Nvme | LayerKind::Writecache | LayerKind::Cache | LayerKind::Storage => Some(backing),
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests {
    use super::*;
    use LayerKind::{Bcache, Cache, Drbd, Luks, Nvme, Storage, Writecache};
    use proptest::prelude::*;

    fn sizes(size: u64, stack: &[LayerKind], extent: u64) -> (u64, u64) {
        let sizes = backing_size(Kib(size), false, stack, Kib(extent), DrbdGeometry::default()).unwrap();
        (sizes.backing.0, sizes.usable.0)
    }

    #[test]
    fn the_examples_of_the_contract() {
        assert_eq!(sizes(1_048_576, &[Drbd, Storage], 4), (1_048_840, 1_048_576));
        assert_eq!(sizes(1_048_576, &[Drbd, Storage], 4096), (1_052_672, 1_052_408));
        assert_eq!(sizes(1_048_576, &[Storage], 4), (1_048_576, 1_048_576));
        assert_eq!(sizes(5, &[Storage], 4), (8, 8));
        assert_eq!(sizes(8192, &[Luks, Storage], 4), (24_576, 8192));
        assert_eq!(sizes(4, &[Drbd, Storage], 4), (68, 28));
        assert_eq!(sizes(1_048_576, &[Drbd, Luks, Storage], 4), (1_048_840 + 16_384, 1_048_576));
    }

    #[test]
    fn a_gross_size_is_that_of_the_backing_volume() {
        let gross = |size, stack: &[LayerKind]| backing_size(Kib(size), true, stack, Kib(4), DrbdGeometry::default());
        let made = gross(1_048_840, &[Drbd, Storage]).unwrap();
        assert_eq!((made.backing, made.usable), (Kib(1_048_840), Kib(1_048_576)));
        assert_eq!(made.layers[0], LayerSize { kind: Drbd, usable: Kib(1_048_576), backing: Kib(1_048_840) });
        assert_eq!(gross(16_384, &[Luks, Storage]), Err(SizeError::NoRoom { size: Kib(16_384), layer: Luks }));
        assert_eq!(gross(64, &[Drbd, Storage]), Err(SizeError::NoRoom { size: Kib(64), layer: Drbd }));
    }

    #[test]
    fn bounds() {
        for size in [0, 3, (1 << 40) + 1, u64::MAX] {
            assert_eq!(
                backing_size(Kib(size), false, &[Storage], Kib(4), DrbdGeometry::default()),
                Err(SizeError::OutOfBounds { size: Kib(size) })
            );
        }
        assert_eq!(sizes(1 << 40, &[Storage], 4), (1 << 40, 1 << 40));
        assert_eq!(usable_size(Kib(u64::MAX), &[Drbd, Luks, Storage], DrbdGeometry::with_peers(0)), Kib(0));
    }

    fn geometries() -> impl Strategy<Value = DrbdGeometry> {
        (1u8..=31, 1u32..4, 4u32..2048, 2u32..=10).prop_map(|(peers, al_stripes, al_stripe_kib, bits)| DrbdGeometry {
            peers,
            al_stripes,
            al_stripe_kib,
            bitmap_block_kib: 1 << bits,
        })
    }

    fn stacks() -> impl Strategy<Value = Vec<LayerKind>> {
        prop::sample::select(vec![
            vec![Storage],
            vec![Drbd, Storage],
            vec![Luks, Storage],
            vec![Drbd, Luks, Storage],
            vec![Drbd, Nvme, Storage],
            vec![Writecache, Cache, Storage],
            vec![Drbd, Bcache, Luks, Storage],
        ])
    }

    proptest! {
        /// Whoever asks for n gets at least n, and the layers join without gaps.
        #[test]
        fn never_less_than_asked(size in 4u64..=(1 << 40), stack in stacks(), extent in 0u64..10_000, drbd in geometries()) {
            let made = backing_size(Kib(size), false, &stack, Kib(extent), drbd).unwrap();
            prop_assert!(made.usable.0 >= size);
            prop_assert!(extent == 0 || made.backing.0.is_multiple_of(extent));
            prop_assert_eq!(usable_size(made.backing, &stack, drbd), made.usable);
            prop_assert_eq!(made.layers[0].usable, made.usable);
            prop_assert_eq!(made.layers[stack.len() - 1].backing, made.backing);
            for pair in made.layers.windows(2) { prop_assert_eq!(pair[0].backing, pair[1].usable); }
        }

        /// A larger wish never gives a smaller volume.
        #[test]
        fn monotone(a in 4u64..=(1 << 40), more in 0u64..100_000, stack in stacks(), drbd in geometries()) {
            let b = (a + more).min(1 << 40);
            let made = |n| backing_size(Kib(n), false, &stack, Kib(4), drbd).unwrap().backing;
            prop_assert!(made(a) <= made(b.max(a)));
        }

        /// The device for DRBD is the smallest that serves.
        #[test]
        fn drbd_takes_no_more_than_it_needs(net in 4u64..=(1 << 40), drbd in geometries()) {
            let gross = drbd.gross(Kib(net)).unwrap();
            prop_assert!(drbd.net(gross).unwrap().0 >= net);
            if gross > DRBD_MIN_GROSS {
                prop_assert!(drbd.net(Kib(gross.0 - 4)).is_none_or(|smaller| smaller.0 < net));
            }
        }

        /// Nothing panics, whatever the numbers.
        #[test]
        fn total(size: u64, gross: bool, extent: u64, peers: u8, al_stripes: u32, al_stripe_kib: u32, bitmap_block_kib: u32, stack in stacks()) {
            let drbd = DrbdGeometry { peers, al_stripes, al_stripe_kib, bitmap_block_kib };
            let _ = backing_size(Kib(size), gross, &stack, Kib(extent), drbd);
            let _ = backing_size(Kib(size % (1 << 41)), gross, &stack, Kib(extent), drbd);
            let _ = usable_size(Kib(size), &stack, drbd);
        }
    }
}
