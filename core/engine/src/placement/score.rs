//! What speaks for a place: four strategies, each with a weight that is a property of the controller.
//!
//! score = Σ weight × value ÷ largest magnitude of that value among all candidates (REST API v1, autoplacer, scoring).
//!
//! | strategy | `Autoplacer/Weights/` | weight by default | value |
//! |---|---|---|---|
//! | free space | `MaxFreeSpace` | 1 | what the pool may still promise |
//! | promised space | `MinReservedSpace` | 0 | less what it has promised |
//! | resources | `MinRscCount` | 0.00001 | less the number of replicas with volumes in it |
//! | throughput | `MaxThroughput` | 0 | `Autoplacer/MaxThroughput` less the sys/fs limits of its volumes; 0 where it is unset |
//!
//! Sources disagree about the default of `MinRscCount` (0.00001, or 0 in the list of properties): the small weight decides between pools
//! that are alike otherwise, so it is what makes replicas spread.
//! Scores are whole numbers, so that sums do not depend on their order and equal is equal.

use berth_model::props::Props;

use super::filter::Candidate;

/// Parts of a weight of 1.
const WEIGHT_ONE: u64 = 1_000_000_000;
/// The largest weight that counts.
const WEIGHT_MAX: u64 = 1_000_000 * WEIGHT_ONE;
/// Bits behind the point of a value that was divided by the largest one.
const SHARE_BITS: u32 = 48;

/// What speaks for a place, or for several; more is better. Exact, in parts of 10⁹ × 2⁴⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Score(i128);

impl Score {
    /// The exact number, in parts of 10⁹ × 2⁴⁸.
    #[must_use]
    pub fn parts(self) -> i128 {
        self.0
    }

    /// As a number for people: with the default weights 1 is the best that a place can have.
    #[must_use]
    pub fn value(self) -> f64 {
        // Only shown, never compared.
        #[allow(clippy::cast_precision_loss)]
        let value = self.0 as f64 / (WEIGHT_ONE as f64 * (1u64 << SHARE_BITS) as f64);
        value
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::iter::Sum for Score {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Self::plus)
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6}", self.value())
    }
}

/// How much each strategy counts, in parts of 10⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weights {
    pub(super) free: u64,
    pub(super) reserved: u64,
    pub(super) resources: u64,
    pub(super) throughput: u64,
}

impl Weights {
    /// The weights that the controller's properties set. A value that is no weight (from an old record) counts as unset, and is noted.
    pub(super) fn of(controller: &Props, notes: &mut Vec<String>) -> Self {
        let mut read = |name: &str, default: u64| {
            let key = format!("Autoplacer/Weights/{name}");
            let Some(text) = controller.get(&key) else { return default };
            weight(text).unwrap_or_else(|| {
                let shown: String = text.chars().take(32).collect();
                notes.push(format!("Property '{key}' is '{shown}', which is no weight: its default counts."));
                default
            })
        };
        Self {
            free: read("MaxFreeSpace", WEIGHT_ONE),
            reserved: read("MinReservedSpace", 0),
            resources: read("MinRscCount", WEIGHT_ONE / 100_000),
            throughput: read("MaxThroughput", 0),
        }
    }
}

/// A decimal number in parts of 10⁹, digits behind the ninth ignored; what is too large for 64 bits is the largest of these.
pub(super) fn decimal(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.bytes().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let nine: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let parts: u128 = nine.parse().ok()?;
    Some(u128::from(whole) * u128::from(WEIGHT_ONE) + parts)
}

/// A weight in parts of 10⁹; more than a million counts as a million.
fn weight(text: &str) -> Option<u64> {
    decimal(text).map(|parts| u64::try_from(parts).unwrap_or(WEIGHT_MAX).min(WEIGHT_MAX))
}

/// Scores all candidates and puts them into the order of preference: higher score, then node, then pool.
pub(super) fn rank(candidates: &mut [Candidate<'_>], weights: Weights) {
    type Value = fn(&Candidate<'_>) -> i128;
    let strategies: [(u64, Value); 4] = [
        (weights.free, |one| i128::from(one.space.estimate.0)),
        (weights.reserved, |one| -i128::from(one.space.reserved.0)),
        (weights.resources, |one| -i128::from(one.resources)),
        (weights.throughput, |one| one.throughput),
    ];
    for (weight, value) in strategies.into_iter().filter(|(weight, _)| *weight > 0) {
        let Some(most) = candidates.iter().map(|one| value(one).unsigned_abs()).max().filter(|most| *most > 0) else { continue };
        for one in candidates.iter_mut() {
            let value = value(one);
            // Values have at most 70 bits, so that nothing is lost.
            let share = (value.unsigned_abs() << SHARE_BITS) / most;
            let term = i128::try_from(share.saturating_mul(u128::from(weight))).unwrap_or(i128::MAX);
            one.score = one.score.plus(Score(if value < 0 { -term } else { term }));
        }
    }
    // They come in the order of nodes and pools, which stays among equals.
    candidates.sort_by_cached_key(|one| std::cmp::Reverse(one.score));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_decimal_numbers() {
        for (text, expect) in [
            ("0", Some(0)),
            ("1", Some(WEIGHT_ONE)),
            ("0.00001", Some(10_000)),
            ("007.5", Some(7_500_000_000)),
            ("0.1234567891", Some(123_456_789)),
            ("1000000.5", Some(WEIGHT_MAX)),
            ("99999999999999999999999999", Some(WEIGHT_MAX)),
            ("0000000000000000000000000", Some(0)),
            ("", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("1e3", None),
            ("heavy", None),
        ] {
            assert_eq!(weight(text), expect, "{text}");
        }
    }
}
