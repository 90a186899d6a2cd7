//! The contract that every database keeps.

use crate::error::StoreError;
use crate::types::{Cluster, Loaded, LogEntry, LogFilter, Past, Quarantined, Record, Transaction};
use std::future::Future;
use std::pin::Pin;

/// A store operation under way. Dropping it does not undo it: whether it took place shows in the serial.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// One database that holds the cluster's state.
///
/// One task calls [`Store::commit`]; the others may be called beside it.
/// All errors are [`StoreError`]; a refused or failed call has changed nothing, with the one exception named at [`StoreError::Disk`].
pub trait Store: Send + Sync {
    /// Reads everything. One broken record never hides another: it comes back in `quarantined`, and its name is reserved from then on.
    fn load(&self) -> Pending<'_, Loaded>;

    /// Applies a transaction if the database still has its epoch and serial; returns the new serial.
    ///
    /// When it returns `Ok`, the change survives the loss of power.
    /// Refused: [`StoreError::Deposed`], [`StoreError::Conflict`], [`StoreError::Invalid`], [`StoreError::TooLarge`], and [`StoreError::Reserved`] for a write to a quarantined name.
    fn commit(&self, transaction: Transaction) -> Pending<'_, u64>;

    /// Takes the lead: raises the epoch by one if it still is `expected`, and returns it. From then on only this epoch can commit.
    /// Refused: [`StoreError::Deposed`] with the epoch that is there.
    fn take_epoch(&self, expected: u64) -> Pending<'_, u64>;

    /// Writes down who this cluster is. The first call counts; every call returns what is stored.
    fn found(&self, cluster: Cluster) -> Pending<'_, Cluster>;

    /// The log after serial `after`, oldest first, at most `limit` entries.
    ///
    /// When the first one is not `after + 1`, or there is none although the state's serial is higher, the entries between were trimmed.
    fn log(&self, after: u64, limit: usize) -> Pending<'_, Vec<LogEntry>>;

    /// The log entries that fit, newest first, at most `limit`.
    ///
    /// Found by indices: what it costs depends on how many fit the narrowest field, not on the length of the log.
    fn audit(&self, filter: LogFilter, limit: usize) -> Pending<'_, Vec<LogEntry>>;

    /// What became of a record by the transactions below serial `before` (`None`: by all), newest first, at most `limit` versions.
    ///
    /// It goes back as far as the log, and to the version that each record had there: the state after any serial of the log can be put together.
    /// It begins when the database was made, imported, or brought up to the schema that has it.
    fn history(&self, kind: &str, key: &str, before: Option<u64>, limit: usize) -> Pending<'_, Vec<Past>>;

    /// Removes the oldest log entries up to the first one that is not older than `before_ms`; returns how many. Serials stay without a gap.
    /// Versions of records that were replaced by then go with them.
    fn trim_log(&self, before_ms: i64) -> Pending<'_, u64>;

    /// Moves a record that the caller cannot understand into quarantine, at the time `now_ms`. It is never deleted, and its name stays reserved.
    /// Doing it again is no error. Refused: [`StoreError::NotFound`].
    fn quarantine(&self, kind: &str, key: &str, why: &str, now_ms: i64) -> Pending<'_, ()>;

    /// Moves a record back from quarantine as it was, and returns it.
    /// Refused: [`StoreError::NotFound`]; [`StoreError::Invalid`] when its body is no JSON.
    fn release(&self, kind: &str, key: &str) -> Pending<'_, Record>;

    /// Fills an empty store with a state and its log in one transaction.
    /// Refused: [`StoreError::Invalid`] when anything was ever committed here.
    fn restore(&self, state: Loaded, log: Vec<LogEntry>) -> Pending<'_, ()>;

    /// Ends all use of the database and lets others have it. Later calls answer [`StoreError::Closed`].
    fn close(&self) -> Pending<'_, ()>;
}

/// Checks what [`Store::restore`] is given; what a transaction could not have written is not restored either.
pub(crate) fn check_restore(state: &Loaded, log: &[LogEntry]) -> Result<(), StoreError> {
    use crate::types::{MAX_COUNT, check_json, check_name};
    let mut names = std::collections::HashSet::new();
    // After the last number that a database can count there would be no next one.
    if state.serial >= MAX_COUNT || state.epoch >= MAX_COUNT {
        return Err(StoreError::invalid("the serial or the epoch is too large"));
    }
    for Record { kind, key, serial, body, .. } in &state.records {
        check_name("kind", kind)?;
        check_name("key", key)?;
        check_json(&format!("the body of {kind} {key}"), body)?;
        if *serial > state.serial {
            return Err(StoreError::invalid(format!("{kind} {key} has serial {serial}, the state has {}", state.serial)));
        }
        if !names.insert((kind.as_str(), key.as_str())) {
            return Err(StoreError::invalid(format!("{kind} {key} stands there twice")));
        }
    }
    for Quarantined { kind, key, serial, .. } in &state.quarantined {
        if *serial > MAX_COUNT {
            return Err(StoreError::invalid(format!("quarantined {kind} {key} has the serial {serial}")));
        }
        if !names.insert((kind.as_str(), key.as_str())) {
            return Err(StoreError::invalid(format!("{kind} {key} stands there twice")));
        }
    }
    let mut last = 0;
    for entry in log {
        if entry.serial <= last || entry.serial > state.serial {
            return Err(StoreError::invalid(format!("the log has serial {} after {last}, the state has {}", entry.serial, state.serial)));
        }
        last = entry.serial;
        check_json("the command of a log entry", &entry.command)?;
        check_json("the changes of a log entry", &entry.changes)?;
        check_json("the decision of a log entry", &entry.decision)?;
    }
    Ok(())
}
