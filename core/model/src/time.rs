//! Moments, as numbers that somebody else read off a clock.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC. For display and records only; deadlines are kept by the shells on a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);
