//! Sizes in KiB, checked. The arithmetic of layers is `berth_engine::sizes`; here are only the type and its bounds.

use serde::{Deserialize, Serialize};

/// A size in KiB (1024 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kib(pub u64);

impl Kib {
    /// Smallest size of a volume (REST API v1: 4 KiB).
    pub const VOLUME_MIN: Self = Self(4);
    /// Largest size of a volume (REST API v1: 2^40 KiB, 1 PiB).
    pub const VOLUME_MAX: Self = Self(1 << 40);

    /// Bytes, if they fit 64 bits.
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        self.0.checked_mul(1024)
    }

    /// The sum, or `None` past 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, at most `u64::MAX`.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least 0.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The smallest multiple of `unit` that is not smaller, or `None` past 64 bits. A `unit` of 0 rounds nothing.
    #[must_use]
    pub fn round_up(self, unit: Self) -> Option<Self> {
        if unit.0 == 0 { Some(self) } else { self.0.checked_next_multiple_of(unit.0).map(Self) }
    }

    /// The largest multiple of `unit` that is not larger. A `unit` of 0 rounds nothing.
    #[must_use]
    pub fn round_down(self, unit: Self) -> Self {
        self.0.checked_rem(unit.0).map_or(self, |rest| Self(self.0 - rest))
    }
}

impl std::fmt::Display for Kib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB", self.0)
    }
}

impl std::iter::Sum for Kib {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), Self::saturating_add)
    }
}
