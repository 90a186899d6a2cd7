//! The simulated world: one seed, one clock, one trace.
//!
//! Everything that chance decides is drawn from forks of one seed, each for one purpose, so that a draw that is added in one place
//! does not change what happens in another. Time is tokio's, paused: it moves only when nobody has anything to do.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use berth_model::time::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lie::Lie;

/// 2026-01-01, the wall time at which every run begins.
const BEGINNING_MS: i64 = 1_767_225_600_000;
/// Lines of the trace that a violation shows.
const TAIL: usize = 60;

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// One log, one writer; what was acknowledged stays.
    Log,
    /// Every operation of several steps is a durable job; nothing is left behind.
    Jobs,
    /// Identity is a generation id, never a name.
    Identity,
    /// Only the newest controller and the newest plan are obeyed.
    Newest,
    /// No replica is called up to date that does not hold the data.
    Replicas,
    /// Numbers come from one allocator.
    Numbers,
    /// What is shown was seen.
    Shown,
    /// Data that was written is there.
    Data,
    /// A quiet world comes to rest.
    Rest,
    /// A daemon panicked.
    Panic,
}

/// A broken promise: the end of a run.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// When, since the beginning of the run.
    pub at: Duration,
    /// What was seen.
    pub what: String,
    /// The last lines of the trace.
    pub tail: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} broken at {:.3} s: {}", self.law, self.at.as_secs_f64(), self.what)
    }
}

/// The world. Cloning costs a pointer.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    lie: Option<Lie>,
    /// Prints each line of the trace as it happens.
    loud: bool,
    begun: Instant,
    /// Fires at the first violation.
    over: CancellationToken,
    state: Mutex<State>,
}

struct State {
    clock_step_ms: i64,
    chance: fastrand::Rng,
    tail: VecDeque<String>,
    lines: u64,
    hash: u64,
    violation: Option<Violation>,
}

impl Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.0.seed).finish_non_exhaustive()
    }
}

impl World {
    /// A new world. Call it inside of a runtime whose time is paused.
    #[must_use]
    pub fn new(seed: u64, lie: Option<Lie>, loud: bool) -> Self {
        let chance = fork(seed, "chance");
        let state = State { clock_step_ms: 0, chance, tail: VecDeque::new(), lines: 0, hash: FNV, violation: None };
        Self(Arc::new(Inner { seed, lie, loud, begun: Instant::now(), over: CancellationToken::new(), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source of chance for one purpose.
    #[must_use]
    pub fn fork(&self, purpose: &str) -> fastrand::Rng {
        fork(self.0.seed, purpose)
    }

    /// Whether the world lies in this way, to show that a checker bites.
    #[must_use]
    pub fn lies(&self, lie: Lie) -> bool {
        self.0.lie == Some(lie)
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.begun.elapsed()
    }

    /// Steps the wall clock.
    pub fn step_clock(&self, by_ms: i64) {
        self.state().clock_step_ms += by_ms;
        self.note(&format!("clock steps by {by_ms} ms"));
    }

    /// Adds a line to the trace.
    pub fn note(&self, text: &str) {
        let line = format!("{:10.4} {text}", self.elapsed().as_secs_f64());
        if self.0.loud {
            println!("{line}");
        }
        let mut state = self.state();
        state.lines += 1;
        state.hash = line.bytes().fold(state.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        state.tail.push_back(line);
        if state.tail.len() > TAIL {
            state.tail.pop_front();
        }
    }

    /// A promise is broken. The first one counts, and ends the run.
    pub fn violate(&self, law: Law, what: String) {
        self.note(&format!("VIOLATION of {law:?}: {what}"));
        let at = self.elapsed();
        let mut state = self.state();
        let tail = state.tail.iter().cloned().collect();
        state.violation.get_or_insert(Violation { law, at, what, tail });
        drop(state);
        self.0.over.cancel();
    }

    /// Fires at the first violation.
    #[must_use]
    pub fn over(&self) -> CancellationToken {
        self.0.over.clone()
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        self.state().violation.clone()
    }

    /// Number of lines of the trace, and a hash of all of them: two runs of one seed have the same.
    #[must_use]
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state();
        (state.lines, state.hash)
    }
}

impl berth_controller::outside::World for World {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(BEGINNING_MS.saturating_add(elapsed).saturating_add(self.state().clock_step_ms))
    }

    fn chance(&self) -> [u8; 16] {
        self.state().chance.u128(..).to_be_bytes()
    }
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn fork(seed: u64, purpose: &str) -> fastrand::Rng {
    let hash = purpose.bytes().fold(FNV, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash)
}

/// Draws with odds and spans.
pub trait Draw {
    /// True so many times of a thousand.
    fn permille(&mut self, odds: u32) -> bool;
    /// A span between two, in milliseconds.
    fn millis(&mut self, from: u64, to: u64) -> Duration;
    /// One of several; `None` of none.
    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T>;
}

impl Draw for fastrand::Rng {
    fn permille(&mut self, odds: u32) -> bool {
        self.u32(0..1000) < odds
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.u64(from..=to))
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.usize(..all.len())) }
    }
}
