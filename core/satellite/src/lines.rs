//! How much of the log a provider may fill: a component is a stranger, and a disk full of its lines is the operator's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one provider in a minute.
const LINES: u32 = 120;
const MINUTE: Duration = Duration::from_secs(60);

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is written.
    Line,
    /// It is written, and is the last one of its minute.
    Last,
    /// It is left out.
    None,
}

/// Counts the lines of each provider.
#[derive(Debug, Default)]
pub struct Lines(Mutex<BTreeMap<String, (Instant, u32)>>);

impl Lines {
    /// Takes a line of a provider at `now`.
    pub fn take(&self, provider: &str, now: Instant) -> Taken {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, count) = all.entry(provider.to_owned()).or_insert((now, 0));
        if now.saturating_duration_since(*begun) >= MINUTE {
            (*begun, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        match (*count).cmp(&LINES) {
            std::cmp::Ordering::Less => Taken::Line,
            std::cmp::Ordering::Equal => Taken::Last,
            std::cmp::Ordering::Greater => Taken::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_has_so_many_lines_a_minute_and_others_have_theirs() {
        let (lines, begin) = (Lines::default(), Instant::now());
        let taken: Vec<Taken> = (0..LINES + 5).map(|_| lines.take("loud", begin)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::Line).count(), 119);
        assert_eq!(taken[119..], [Taken::Last, Taken::None, Taken::None, Taken::None, Taken::None, Taken::None]);
        assert_eq!(lines.take("quiet", begin), Taken::Line);
        assert_eq!(lines.take("loud", begin + MINUTE), Taken::Line);
    }
}
