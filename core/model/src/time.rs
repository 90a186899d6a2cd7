//! Moments, as numbers that somebody else read off a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC. For display and records only; deadlines are kept by the shells on a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// The pause before something is tried again that has failed `failures` times in a row: `first` after the first one, then twice as long each
/// time, up to `longest`.
#[must_use]
pub fn pause(failures: u32, first: Duration, longest: Duration) -> Duration {
    first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(31))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let of = |failures| pause(failures, Duration::from_secs(1), Duration::from_secs(5)).as_secs();
        assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(of), [1, 1, 2, 4, 5, 5]);
        assert_eq!(pause(u32::MAX, Duration::MAX, Duration::MAX), Duration::MAX);
    }
}
