//! Chance that can be repeated: the same seed draws the same numbers.

use std::sync::OnceLock;
use std::time::SystemTime;

/// Draws numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice that always fall alike.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Dice of the seed in `BERTH_SEED`, else of one that the clock gives; either is printed, so that a run can be repeated.
    #[must_use]
    pub fn seeded(what: &str) -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = *SEED.get_or_init(|| {
            let given = std::env::var("BERTH_SEED").ok().and_then(|text| text.parse().ok());
            given.unwrap_or_else(|| {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                u64::from(since.subsec_nanos()) ^ since.as_secs()
            })
        });
        println!("{what}: BERTH_SEED={seed}");
        Self::new(seed)
    }

    /// Dice of their own for part `number` of a test.
    #[must_use]
    pub fn of_part(&self, number: u64) -> Self {
        let mut dice = Self::new(self.state ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.draw();
        dice
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end` - 1; 0 for an `end` of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// One of these; `None` of none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(u64::try_from(from.len()).unwrap_or(u64::MAX));
        from.get(usize::try_from(at).unwrap_or(0))
    }
}
