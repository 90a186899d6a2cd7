//! Waiting on a level, with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(15);

/// Looks again and again until `look` answers something, at most `limit`.
///
/// # Errors
/// After the limit; the message says what was waited for and what the last look saw.
pub fn within<T, E: Debug>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, E>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(last) if Instant::now() >= deadline => bail!("{what}: not within {limit:?}; last seen: {last:?}"),
            // A wait that nobody shortens: the condition lies in another process, which cannot wake us.
            Err(_) => std::thread::park_timeout(PAUSE),
        }
    }
}

/// [`within`] for a plain yes or no.
///
/// # Errors
/// After the limit.
pub fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    within(limit, what, || if holds() { Ok(()) } else { Err("no") })
}

/// Lets a fault last for so long: a time that belongs to the fault, not a wait for something to happen.
pub fn lasts(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
