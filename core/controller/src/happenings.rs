//! Happenings: each is a type that writes its log event and counts itself, so that words, level and metric stand in one place.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berth_model::names::NodeName;

/// What kind of number a [`Sample`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// Only grows while the controller runs.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One number for `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Name of the series, `berth_…`.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Kind.
    pub kind: SampleKind,
    /// Its value.
    pub value: f64,
}

macro_rules! counters {
    ($($(#[doc = $help:literal])* $field:ident = $name:literal, $kind:ident;)*) => {
        /// What the controller counts about itself.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])* pub(crate) $field: AtomicU64,)*
        }

        impl Counters {
            /// All numbers at this moment, in a fixed order.
            #[must_use]
            pub fn samples(&self) -> Vec<Sample> {
                vec![$(Sample {
                    name: $name,
                    help: concat!($($help),*).trim_ascii(),
                    kind: SampleKind::$kind,
                    value: as_float(self.$field.load(Ordering::Relaxed)),
                },)*]
            }
        }
    };
}

counters! {
    /// Transactions that were committed.
    commits = "berth_commits_total", Counter;
    /// Commands and job steps in these transactions.
    committed_entries = "berth_committed_entries_total", Counter;
    /// Microseconds spent in commits.
    commit_micros = "berth_commit_microseconds_total", Counter;
    /// Transactions that the store did not take.
    commit_failures = "berth_commit_failures_total", Counter;
    /// Commands that were decided.
    commands = "berth_commands_total", Counter;
    /// Commands that were refused.
    commands_refused = "berth_commands_refused_total", Counter;
    /// Requests of callers who could not sign in.
    sign_ins_refused = "berth_sign_ins_refused_total", Counter;
    /// Jobs that ended.
    jobs_ended = "berth_jobs_ended_total", Counter;
    /// Answers that did not wait any longer for their jobs.
    answers_unfinished = "berth_answers_unfinished_total", Counter;
    /// Satellite sessions that came about.
    sessions_opened = "berth_sessions_opened_total", Counter;
    /// Satellite sessions that were lost.
    sessions_lost = "berth_sessions_lost_total", Counter;
    /// Attempts to reach a satellite that failed.
    session_failures = "berth_session_failures_total", Counter;
    /// Observations that satellites sent.
    observations = "berth_observations_total", Counter;
    /// Messages of sessions that were over already.
    stale_messages = "berth_stale_messages_total", Counter;
    /// Whole plans that were sent.
    plans_whole = "berth_plans_whole_total", Counter;
    /// Partial plans that were sent.
    plans_partial = "berth_plans_partial_total", Counter;
    /// Error reports that were made.
    error_reports = "berth_error_reports_total", Counter;
    /// Panics that were caught.
    panics = "berth_panics_total", Counter;
    /// Log entries that were removed because of their age.
    log_trimmed = "berth_log_entries_trimmed_total", Counter;
    /// Records that cannot be used.
    quarantined = "berth_quarantined_records", Gauge;
    /// Times that events were handed to their streams.
    event_rounds = "berth_event_rounds_total", Counter;
    /// Pages of the log that were read for streams of events that were behind.
    event_log_reads = "berth_event_log_reads_total", Counter;
    /// Streams of events that missed some and were told so.
    event_resyncs = "berth_event_resyncs_total", Counter;
    /// Open streams of events.
    event_streams = "berth_event_streams", Gauge;
    /// Serial of the last committed transaction.
    serial = "berth_serial", Gauge;
}

/// Counts stay far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn as_float(value: u64) -> f64 {
    value as f64
}

/// One more; for what needs no words.
pub(crate) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// A number that goes up and down.
pub(crate) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// The controller answers.
pub(crate) struct Ready {
    pub listen: SocketAddr,
    pub serial: u64,
    pub records: usize,
    pub after: Duration,
}

impl Ready {
    pub fn emit(&self, counters: &Counters) {
        counters.serial.store(self.serial, Ordering::Relaxed);
        tracing::info!(listen = %self.listen, serial = self.serial, records = self.records, after_ms = self.after.as_millis(), "controller ready");
    }
}

/// A transaction is on disk.
pub(crate) struct Committed {
    pub serial: u64,
    pub entries: usize,
    pub took: Duration,
}

impl Committed {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.commits);
        add(&counters.committed_entries, self.entries as u64);
        add(&counters.commit_micros, u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX));
        counters.serial.store(self.serial, Ordering::Relaxed);
        tracing::debug!(serial = self.serial, entries = self.entries, took_us = self.took.as_micros(), "committed");
    }
}

/// The store did not take a transaction; nothing of it happened.
pub(crate) struct CommitFailed<'a> {
    pub serial: u64,
    pub entries: usize,
    pub cause: &'a berth_store::StoreError,
}

impl CommitFailed<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.commit_failures);
        tracing::error!(serial = self.serial, entries = self.entries, cause = %self.cause, correction = self.cause.correction(), "commit failed");
    }
}

/// Nothing can be written any more, for good.
pub(crate) struct Fenced<'a> {
    pub cause: &'a berth_store::StoreError,
}

impl Fenced<'_> {
    pub fn emit(&self) {
        tracing::error!(cause = %self.cause, correction = self.cause.correction(), "this controller writes no more");
    }
}

/// A record cannot be used.
pub(crate) struct RecordQuarantined<'a> {
    pub kind: &'a str,
    pub key: &'a str,
    pub why: &'a str,
}

impl RecordQuarantined<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.quarantined);
        tracing::error!(kind = self.kind, key = self.key, why = self.why, "record quarantined");
    }
}

/// A command was refused.
pub(crate) struct CommandRefused<'a> {
    pub actor: &'a str,
    pub origin: &'a str,
    pub why: &'a str,
}

impl CommandRefused<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.commands_refused);
        tracing::debug!(actor = self.actor, origin = self.origin, why = self.why, "command refused");
    }
}

/// A satellite agreed to a session.
pub(crate) struct SessionOpened<'a> {
    pub node: &'a NodeName,
    pub session: u64,
    pub uname: &'a str,
}

impl SessionOpened<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.sessions_opened);
        tracing::info!(node = %self.node, session = self.session, uname = self.uname, "session opened");
    }
}

/// A satellite's session was lost.
pub(crate) struct SessionLost<'a> {
    pub node: &'a NodeName,
    pub session: u64,
    pub cause: &'a str,
}

impl SessionLost<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.sessions_lost);
        tracing::warn!(node = %self.node, session = self.session, cause = self.cause, "session lost");
    }
}

/// A satellite could not be reached, or did not agree.
pub(crate) struct SessionFailed<'a> {
    pub node: &'a NodeName,
    pub attempts: u64,
    pub cause: &'a str,
    /// Whether the attempt before failed for the same cause.
    pub known: bool,
}

impl SessionFailed<'_> {
    /// Only the first failure of a row is news, and another cause.
    pub fn emit(&self, counters: &Counters) {
        count(&counters.session_failures);
        if self.attempts == 1 || !self.known {
            tracing::warn!(node = %self.node, attempts = self.attempts, cause = self.cause, "satellite not reached");
        } else {
            tracing::debug!(node = %self.node, attempts = self.attempts, cause = self.cause, "satellite not reached");
        }
    }
}

/// A plan was handed to a session.
pub(crate) struct PlanSent<'a> {
    pub node: &'a NodeName,
    pub generation: u64,
    pub base: u64,
    pub items: usize,
}

impl PlanSent<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(if self.base == 0 { &counters.plans_whole } else { &counters.plans_partial });
        tracing::debug!(node = %self.node, generation = self.generation, base = self.base, items = self.items, "plan sent");
    }
}

/// A panic was caught: a defect.
pub(crate) struct PanicCaught<'a> {
    pub place: &'a str,
    pub message: &'a str,
    pub report: &'a str,
}

impl PanicCaught<'_> {
    pub fn emit(&self, counters: &Counters) {
        count(&counters.panics);
        tracing::error!(place = self.place, message = self.message, report = self.report, "panic caught");
    }
}

/// Old log entries were removed.
pub(crate) struct LogTrimmed {
    pub entries: u64,
}

impl LogTrimmed {
    pub fn emit(&self, counters: &Counters) {
        add(&counters.log_trimmed, self.entries);
        if self.entries > 0 {
            tracing::info!(entries = self.entries, "log trimmed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_after_what_they_are() {
        for sample in Counters::default().samples() {
            assert!(sample.name.starts_with("berth_") && sample.help.ends_with('.'), "{sample:?}");
            assert_eq!(sample.name.ends_with("_total"), sample.kind == SampleKind::Counter, "{sample:?}");
        }
    }
}
