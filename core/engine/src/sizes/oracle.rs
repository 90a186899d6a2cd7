//! The arithmetic of sizes against a second one, written from REST API v1's formulas alone: shares no function with the first.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use LayerKind::{Bcache, Cache, Drbd, Luks, Nvme, Storage, Writecache};

const MIB: u64 = 1024;
const PIB: u64 = 1 << 40;
/// File, ZFS (8 and 16), LVM, larger extents; 0: a pool that rounds nothing; 12: none that is a power of two.
const EXTENTS: [u64; 8] = [0, 4, 8, 12, 16, 4096, 32 << 10, 1 << 20];

/// What may stand below a layer.
fn successors(kind: LayerKind) -> &'static [LayerKind] {
    match kind {
        Drbd => &[Nvme, Luks, Storage, Writecache, Cache, Bcache],
        Luks => &[Storage],
        Nvme => &[Luks, Storage, Writecache, Cache, Bcache],
        Writecache => &[Nvme, Luks, Storage, Cache, Bcache],
        Cache => &[Nvme, Luks, Storage, Writecache, Bcache],
        Bcache => &[Nvme, Luks, Storage, Writecache],
        Storage => &[],
    }
}

/// Every stack: each kind at most once, any on top, STORAGE last.
fn stacks() -> Vec<Vec<LayerKind>> {
    let mut open: Vec<Vec<LayerKind>> = [Drbd, Luks, Nvme, Writecache, Cache, Bcache, Storage].iter().map(|kind| vec![*kind]).collect();
    let mut done = Vec::new();
    while let Some(stack) = open.pop() {
        let last = stack[stack.len() - 1];
        if last == Storage {
            done.push(stack);
            continue;
        }
        for next in successors(last).iter().filter(|next| !stack.contains(next)) {
            let mut longer = stack.clone();
            longer.push(*next);
            open.push(longer);
        }
    }
    done
}

fn up(n: u128, to: u128) -> u128 {
    if to == 0 { n } else { n.div_ceil(to) * to }
}

/// md(gross), with the default activity log of 1 × 32 KiB and bits for 4 KiB.
fn metadata(gross: u128, peers: u128) -> u128 {
    let bitmap = up((up(gross.div_ceil(4 * 8), 8) * peers).div_ceil(1024), 4);
    up(32 + 4 + bitmap, 4)
}

/// gross(net): the smallest fixpoint, by trying from below.
fn gross(net: u128, peers: u128) -> u128 {
    let net = up(net, 4);
    let mut tried = net + 32 + 4;
    while tried != net + metadata(tried, peers) {
        tried = net + metadata(tried, peers);
    }
    tried.max(68)
}

/// What a stack needs of the pool for `net`, before the pool rounds.
fn needed(stack: &[LayerKind], net: u128, peers: u128) -> u128 {
    stack.iter().fold(net, |size, kind| match kind {
        Drbd => gross(size, peers),
        Luks => size + 16 * 1024,
        Bcache => size + 8,
        Nvme | Writecache | Cache | Storage => size,
    })
}

/// What `backing` leaves the user.
fn left(stack: &[LayerKind], backing: u128, peers: u128) -> u128 {
    stack.iter().rev().fold(backing, |size, kind| match kind {
        Drbd => size / 4 * 4 - metadata(size / 4 * 4, peers),
        Luks => size - 16 * 1024,
        Bcache => size - 8,
        Nvme | Writecache | Cache | Storage => size,
    })
}

fn check(stack: &[LayerKind], extent: u64, peers: u8, size: u64) {
    let geometry = DrbdGeometry::with_peers(peers);
    let about = format!("{stack:?}, extent {extent}, {peers} peers, {size} KiB");
    let made = backing_size(Kib(size), false, stack, Kib(extent), geometry).unwrap_or_else(|error| panic!("{about}: {error}"));
    let (made, usable) = (u128::from(made.backing.0), u128::from(made.usable.0));
    let peers = u128::from(peers);
    let expect = up(needed(stack, u128::from(size), peers), u128::from(extent));
    assert_eq!(made, expect, "{about}");
    assert_eq!(usable, left(stack, expect, peers), "{about}");
    // Net to gross to net never shrinks.
    assert!(usable >= u128::from(size), "{about}: {usable} usable");
    // What the pool holds, asked for as a gross size, is the same volume.
    if made <= u128::from(PIB) {
        let again = backing_size(Kib(u64::try_from(made).unwrap()), true, stack, Kib(extent), geometry).unwrap();
        assert_eq!((u128::from(again.backing.0), u128::from(again.usable.0)), (made, usable), "{about}");
    }
}

#[test]
fn every_stack_is_one_of_the_contract() {
    let all = stacks();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.iter().all(|stack| crate::stack::check(stack).is_ok()));
    // And the engine allows no other: all sequences of up to three layers over STORAGE.
    let kinds = [Drbd, Luks, Nvme, Writecache, Cache, Bcache];
    let mut sequences: Vec<Vec<LayerKind>> = vec![vec![]];
    for _ in 0..3 {
        let longer = sequences.iter().flat_map(|start| kinds.iter().map(move |kind| [start.as_slice(), &[*kind]].concat()));
        sequences = sequences.iter().cloned().chain(longer).collect();
    }
    for mut stack in sequences {
        stack.push(Storage);
        assert_eq!(crate::stack::check(&stack).is_ok(), all.contains(&stack), "{stack:?}");
    }
}

/// Every stack with every number of peers and every extent, at the sizes where something may tip over.
#[test]
fn sizes_are_those_of_the_formulas() {
    let edges = [1, 10, 22, 30].map(|bits| MIB << (bits - 1)).into_iter().chain([MIB, PIB]);
    let sizes: BTreeSet<u64> =
        edges.flat_map(|edge| [edge - 4, edge - 1, edge, edge + 1, edge + 4]).chain([4, 5, 68]).filter(|size| *size <= PIB).collect();
    for (at, stack) in stacks().iter().enumerate() {
        for peers in 1..=MAX_PEERS {
            for (nth, size) in sizes.iter().enumerate() {
                // Each size meets each extent, over all stacks and peers.
                check(stack, EXTENTS[(at + usize::from(peers) + nth) % EXTENTS.len()], peers, *size);
            }
        }
    }
    for peers in 1..=MAX_PEERS {
        for extent in EXTENTS {
            for bits in 0..=30 {
                for off in [0, 3, 4] {
                    check(&[Drbd, Storage], extent, peers, ((MIB << bits) + off).min(PIB));
                }
            }
        }
    }
}

/// A gross size leaves what the formulas say, or is refused where that is less than a volume may be.
#[test]
fn gross_sizes_leave_what_the_formulas_say() {
    for peers in [1, 7, 31] {
        let mut before = 0;
        for size in (4..40_000u64).step_by(4) {
            let made = backing_size(Kib(size), true, &[Drbd, Storage], Kib(4), DrbdGeometry::with_peers(peers));
            let rest =
                (u128::from(size)).checked_sub(metadata(u128::from(size), u128::from(peers))).filter(|rest| size >= 68 && *rest >= 4);
            assert_eq!(made.ok().map(|made| u128::from(made.usable.0)), rest, "{size} KiB, {peers} peers");
            let usable = rest.unwrap_or_default();
            assert!(usable + 4 >= before, "{size} KiB, {peers} peers");
            before = usable;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any size with any stack, extent and number of peers.
    #[test]
    fn any_size_is_that_of_the_formulas(size in prop_oneof![4..=MIB, MIB..=PIB, (10u32..=40).prop_map(|bits| 1u64 << bits)], at: usize, extent in 0usize..8, peers in 1u8..=31) {
        let stacks = stacks();
        check(&stacks[at % stacks.len()], EXTENTS[extent], peers, size);
    }

    /// A larger wish never takes less of the pool, nor leaves less.
    #[test]
    fn more_is_never_less(a in 4..=PIB, more in 0..=(64 * MIB), at: usize, extent in 0usize..8, peers in 1u8..=31) {
        let stacks = stacks();
        let made = |size: u64| backing_size(Kib(size.min(PIB)), false, &stacks[at % stacks.len()], Kib(EXTENTS[extent]), DrbdGeometry::with_peers(peers)).unwrap();
        let (small, large) = (made(a), made(a.saturating_add(more)));
        prop_assert!(small.backing <= large.backing && small.usable <= large.usable, "{small:?} {large:?}");
    }
}
