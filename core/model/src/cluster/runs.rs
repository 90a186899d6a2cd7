//! Taken numbers.

use imbl::OrdMap;

/// Taken numbers as runs without gaps, so that the lowest free one is found without looking at each.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs(OrdMap<u32, u32>);

impl Runs {
    pub(super) fn insert(&mut self, number: u32) {
        if self.contains(number) {
            return;
        }
        let mut start = number;
        let mut end = number;
        if let Some((s, _)) = number.checked_sub(1).and_then(|before| self.run_of(before)) {
            start = s;
        }
        if let Some((s, e)) = number.checked_add(1).and_then(|after| self.run_of(after)) {
            end = e;
            self.0.remove(&s);
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Some((start, end)) = self.run_of(number) {
            self.0.remove(&start);
            if start < number {
                self.0.insert(start, number - 1);
            }
            if number < end {
                self.0.insert(number + 1, end);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn run_of(&self, number: u32) -> Option<(u32, u32)> {
        self.0.range(..=number).next_back().map(|(s, e)| (*s, *e)).filter(|(_, end)| number <= *end)
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.run_of(number).is_some()
    }

    pub(super) fn lowest_free(&self, from: u32, to: u32) -> Option<u32> {
        let free = match self.run_of(from) {
            Some((_, end)) => end.checked_add(1)?,
            None => from,
        };
        (free <= to).then_some(free)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Runs behave as a set of numbers.
        #[test]
        fn runs_are_a_set(ops in prop::collection::vec((any::<bool>(), 0u32..40), 0..200)) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for (add, number) in ops {
                if add { runs.insert(number); set.insert(number); } else { runs.remove(number); set.remove(&number); }
                for n in 0..42 { prop_assert_eq!(runs.contains(n), set.contains(&n)); }
                prop_assert_eq!(runs.lowest_free(5, 30), (5..=30).find(|n| !set.contains(n)));
            }
        }
    }
}
