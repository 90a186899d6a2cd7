//! What the host keeps of an instance: its bounds, its clock, and why it was stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use berth_plugin_sdk::{Limits, Machine};
use wasmtime::ResourceLimiter;

use crate::lent;

/// Longest text that crosses the edge, in bytes.
pub const TEXT_MAX: usize = 64 << 10;
/// Most lines of the log that one call may write; the others are dropped.
pub const LINES_MAX: u32 = 1000;
/// Longest line of the log, in bytes; longer ones are cut.
pub const LINE_MAX: usize = 4 << 10;
/// What an entry of a table takes, at most.
const ENTRY: usize = 16;

/// Why the host ended a call.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The guest computed for longer than it may.
    #[error("its time was up")]
    Time,
    /// The guest called something that no provider has.
    #[error("it called '{0}', and a provider has no files, sockets, processes, clock, environment or random numbers of its own")]
    Import(String),
    /// The guest ended its program.
    #[error("it ended its program instead of answering")]
    Exit,
    /// The guest asked for the machine while it described itself.
    #[error("it asked for the machine while it only had to describe itself")]
    NoMachine,
    /// The guest handed over more than fits.
    #[error("{0}")]
    TooMuch(String),
    /// The host's own machine panicked.
    #[error("the host's own part of the request panicked: {0}")]
    Host(String),
}

/// Counts the time of the guest; that of host functions does not count.
#[derive(Debug)]
struct Clock {
    spent: Duration,
    since: Instant,
    most: Duration,
}

impl Clock {
    fn spent(&self) -> Duration {
        self.spent.saturating_add(self.since.elapsed())
    }
}

/// What the host keeps of an instance.
#[derive(Debug)]
pub struct State {
    limits: Limits,
    /// Bytes of its memories and tables.
    memory: usize,
    /// How much memory it wanted in this call and did not get.
    wanted: Option<usize>,
    clock: Clock,
    panicked: Option<String>,
    lines: u32,
}

impl State {
    /// Of a new instance.
    pub fn new(limits: Limits) -> Self {
        let clock = Clock { spent: Duration::ZERO, since: Instant::now(), most: Duration::from_secs(limits.seconds.into()) };
        Self { limits, memory: 0, wanted: None, clock, panicked: None, lines: 0 }
    }

    /// A call begins.
    pub fn begin(&mut self) {
        *self = Self { memory: self.memory, ..Self::new(self.limits) };
    }

    /// Its bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes of its memories and tables.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Bytes that it may have.
    pub fn memory_most(&self) -> usize {
        usize::try_from(self.limits.memory_mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
    }

    /// How much memory it wanted in this call and did not get.
    pub fn wanted(&self) -> Option<usize> {
        self.wanted
    }

    /// What it said in this call when it panicked.
    pub fn panicked(&self) -> Option<&str> {
        self.panicked.as_deref()
    }

    /// Keeps what it says when it panics.
    pub fn panic(&mut self, text: &str) {
        self.panicked = Some(cut(text.to_owned(), LINE_MAX));
    }

    /// Whether one more line of the log may be written, and whether it is the last.
    pub fn line(&mut self) -> (bool, bool) {
        self.lines = self.lines.saturating_add(1);
        (self.lines <= LINES_MAX, self.lines == LINES_MAX)
    }

    /// Looks whether there is time left.
    ///
    /// # Errors
    /// [`Stop::Time`].
    pub fn go_on(&self) -> Result<(), Stop> {
        if self.clock.spent() > self.clock.most { Err(Stop::Time) } else { Ok(()) }
    }

    /// Asks the machine of the call, while the guest's clock stands still.
    ///
    /// # Errors
    /// [`Stop::Time`] if the guest had no time left, [`Stop::NoMachine`], [`Stop::Host`].
    pub fn ask<T>(&mut self, work: impl FnOnce(&dyn Machine) -> T) -> Result<T, Stop> {
        self.go_on()?;
        self.clock.spent = self.clock.spent();
        // What the machine has half done is told by its next answers; nothing of ours is touched in there.
        let answer = catch_unwind(AssertUnwindSafe(|| lent::with(work)));
        self.clock.since = Instant::now();
        match answer {
            Ok(answer) => answer.ok_or(Stop::NoMachine),
            Err(payload) => Err(Stop::Host(said(payload.as_ref()))),
        }
    }

    fn take(&mut self, current: usize, desired: usize) -> bool {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_most() {
            self.wanted = Some(wanted);
            return false;
        }
        self.memory = wanted;
        true
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.take(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.take(current.saturating_mul(ENTRY), desired.saturating_mul(ENTRY)))
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

/// The text of a panic.
pub fn said(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
    cut(text.unwrap_or_else(|| "it did not say why".into()), LINE_MAX)
}

/// At most so many bytes of the text, ending with a whole character.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut state = State::new(Limits { memory_mib: 1, ..Limits::USUAL });
        assert!(state.memory_growing(0, 512 << 10, None).unwrap());
        assert!(state.memory_growing(0, 256 << 10, None).unwrap());
        assert!(state.table_growing(0, (256 << 10) / ENTRY, None).unwrap());
        assert_eq!(state.memory(), 1 << 20);
        assert!(!state.table_growing(0, 1, None).unwrap());
        assert_eq!(state.wanted(), Some((1 << 20) + ENTRY));
        assert!(!state.memory_growing(512 << 10, usize::MAX, None).unwrap());
        state.begin();
        assert_eq!((state.memory(), state.wanted()), (1 << 20, None));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aäö".into(), 3), "aä");
        assert_eq!(cut("aäö".into(), 4), "aä");
        assert_eq!(cut("aäö".into(), 5), "aäö");
    }
}
