//! How a job on a node goes round what the node holds: a look passes a bounded part, and each look begins elsewhere.

use berth_model::time::Timestamp;

/// Changes after which such a job goes on in another transaction (at most 100 writes each).
pub(super) const MOST_CHANGES: usize = 70;
/// Whole volumes that it has copied over the network at a time.
pub(super) const MOST_COPYING: usize = 16;
/// Replicas that one look passes.
pub(super) const MOST_PASSED: usize = 4096;
/// Most replicas that an answer or a view names.
pub(super) const MOST_TOLD: usize = 100;
/// After so many milliseconds a look begins elsewhere.
const TURN_MS: u64 = 5000;
/// An odd number that makes far apart of what is close.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which of `count` replicas a look at `now` begins with, if it passes `step` of them: the first, where one look passes them all; else
/// another one each turn, so that those that found no place are not tried in the same order for ever.
pub(super) fn begin(now: Timestamp, count: usize, step: usize) -> usize {
    if count <= step {
        return 0;
    }
    let turn = u64::try_from(now.0).unwrap_or_default() / TURN_MS;
    usize::try_from(turn.wrapping_mul(SCATTER) >> 33).unwrap_or_default() % count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rounds_begin_everywhere_and_small_ones_at_the_first() {
        let at = |turn: i64| Timestamp(1_700_000_000_000 + turn * 5000);
        assert!((0..100).all(|turn| begin(at(turn), 16, 16) == 0 && begin(at(turn), 0, 16) == 0));
        let begun: BTreeSet<usize> = (0..400).map(|turn| begin(at(turn), 20, 16)).collect();
        assert_eq!(begun, (0..20).collect());
        assert_eq!(begin(at(3), 20, 16), begin(Timestamp(at(3).0 + 4999 - at(3).0 % 5000), 20, 16), "within a turn it is the same");
        assert_eq!(begin(Timestamp(-1), 20, 16), 0);
    }
}
