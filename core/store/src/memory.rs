//! A store without a database, for the tests of others: it keeps the contract, and has faults that can be switched on.
//!
//! | fault | what the caller sees | what is kept |
//! |---|---|---|
//! | [`MemoryStore::fail_commits`] | the error of its [`CommitFault`] | nothing, but for [`CommitFault::Unclear`] |
//! | [`MemoryStore::slow_commits`], [`MemoryStore::hold_commits`] | a commit that takes its time | all |
//! | [`MemoryStore::lose_commits`] | nothing: commits are acknowledged | at the next start: what was there before |
//! | [`MemoryStore::change_loads`] | another state than was committed | all |
//!
//! None of them reads a clock or draws a number: the same calls have the same outcome.

use crate::error::{Cause, StoreError};
use crate::store::{Pending, Store, check_restore};
use crate::types::{Cluster, Loaded, LogEntry, LogFilter, Past, Quarantined, Record, Transaction, Write, check_json, check_name, fold};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{RwLock, RwLockWriteGuard};

/// The state in memory. [`MemoryStore::restart`] gives what a new process would find.
#[derive(Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
    /// Commits read it; a test that holds it for writing delays them.
    gate: RwLock<()>,
}

#[derive(Default)]
struct Disk {
    now: State,
    /// What survives a crash while the disk lies.
    synced: Option<State>,
    /// Commits that fail from now on, one by one.
    faults: VecDeque<CommitFault>,
    /// How often a commit is woken before it does anything.
    wakes: usize,
    change: Option<Arc<LoadChange>>,
    closed: bool,
}

/// What a load answers instead of what was committed.
type LoadChange = dyn Fn(Loaded) -> Loaded + Send + Sync;

/// How a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// No space: [`StoreError::Full`], nothing is kept, the next one may work.
    Full,
    /// No permission: [`StoreError::ReadOnly`], nothing is kept, the next one may work.
    ReadOnly,
    /// The disk failed before anything was written: [`StoreError::Disk`], nothing is kept.
    Lost,
    /// The disk failed when all was written: [`StoreError::Disk`], and the change is there at the next load.
    Unclear,
}

impl CommitFault {
    fn error(self) -> StoreError {
        let (file, cause) = (PathBuf::from("memory"), Cause::Seen("refused by the test".into()));
        match self {
            CommitFault::Full => StoreError::Full { file, cause },
            CommitFault::ReadOnly => StoreError::ReadOnly { file, cause },
            CommitFault::Lost | CommitFault::Unclear => StoreError::Disk { file, cause },
        }
    }
}

type Name = (String, String);

#[derive(Default, Clone)]
struct State {
    serial: u64,
    epoch: u64,
    cluster: Option<Cluster>,
    records: BTreeMap<Name, Record>,
    quarantined: BTreeMap<Name, Quarantined>,
    log: Vec<LogEntry>,
    /// Versions of each record, oldest first.
    history: BTreeMap<Name, Vec<Past>>,
}

impl State {
    fn remember(&mut self, kind: &str, key: &str, past: Past) {
        self.history.entry((kind.to_string(), key.to_string())).or_default().push(past);
    }

    /// As the trait says at [`Store::history`].
    fn trim_history(&mut self) {
        let begins = self.log.first().map_or(u64::MAX, |entry| entry.serial);
        for versions in self.history.values_mut() {
            let old = versions.iter().take_while(|past| past.serial < begins).count();
            let deleted = old.checked_sub(1).is_some_and(|last| versions[last].body.is_none());
            versions.drain(..if deleted { old } else { old.saturating_sub(1) });
        }
        self.history.retain(|_, versions| !versions.is_empty());
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// Fault: the next `count` commits find the disk full and change nothing.
    pub fn refuse_commits(&self, count: usize) {
        self.fail_commits(std::iter::repeat_n(CommitFault::Full, count));
    }

    /// Fault: the next commits fail so, one after the other; those after them work. Replaces what was set before.
    pub fn fail_commits(&self, faults: impl IntoIterator<Item = CommitFault>) {
        self.disk().faults = faults.into_iter().collect();
    }

    /// Fault: each commit yields to others `wakes` times before it does anything; 0 ends it.
    pub fn slow_commits(&self, wakes: usize) {
        self.disk().wakes = wakes;
    }

    /// Fault: every load answers what `change` makes of the state, e.g. without a record or with an older one. What is stored stays as it is.
    pub fn change_loads(&self, change: impl Fn(Loaded) -> Loaded + Send + Sync + 'static) {
        self.disk().change = Some(Arc::new(change));
    }

    /// Ends the fault of [`MemoryStore::change_loads`].
    pub fn keep_loads(&self) {
        self.disk().change = None;
    }

    /// Fault: commits wait until the returned guard is dropped.
    pub async fn hold_commits(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    /// Fault: from now on commits are acknowledged but lost by [`MemoryStore::restart`], like on a disk that lies about its cache.
    pub fn lose_commits(&self) {
        let mut disk = self.disk();
        let state = disk.now.clone();
        disk.synced.get_or_insert(state);
    }

    /// What the next process finds after this one was killed. This store answers [`StoreError::Closed`] from then on.
    #[must_use]
    pub fn restart(&self) -> MemoryStore {
        let mut disk = self.disk();
        disk.closed = true;
        let now = match disk.synced.take() {
            Some(synced) => synced,
            None => disk.now.clone(),
        };
        MemoryStore { disk: Arc::new(Mutex::new(Disk { now, ..Disk::default() })), gate: RwLock::default() }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut disk = self.disk();
        if disk.closed {
            return Err(StoreError::Closed);
        }
        work(&mut disk.now)
    }

    fn commit_now(&self, transaction: &Transaction) -> Result<u64, StoreError> {
        transaction.check()?;
        let mut disk = self.disk();
        if disk.closed {
            return Err(StoreError::Closed);
        }
        let fault = disk.faults.pop_front();
        if let Some(fault) = fault.filter(|fault| *fault != CommitFault::Unclear) {
            return Err(fault.error());
        }
        let state = &mut disk.now;
        if state.epoch != transaction.epoch {
            return Err(StoreError::Deposed { expected: transaction.epoch, found: state.epoch });
        }
        if state.serial != transaction.expected_serial {
            return Err(StoreError::Conflict { expected: transaction.expected_serial, found: state.serial });
        }
        for write in transaction.entries.iter().flat_map(|entry| &entry.writes) {
            let (kind, key) = write.name();
            if let Some(lost) = state.quarantined.get(&(kind.to_string(), key.to_string())) {
                return Err(StoreError::Reserved { kind: kind.into(), key: key.into(), why: lost.why.clone() });
            }
        }
        for (write, serial) in fold(&transaction.entries) {
            match write.clone() {
                Write::Put { kind, key, version, body } => {
                    state.records.insert((kind.clone(), key.clone()), Record { kind, key, version, serial, body });
                }
                Write::Delete { kind, key } => {
                    state.records.remove(&(kind, key));
                }
            }
        }
        for (write, serial) in transaction.entries.iter().flat_map(|entry| fold(std::slice::from_ref(entry))) {
            let (kind, key) = write.name();
            let past = match write {
                Write::Put { version, body, .. } => Past { serial, version: *version, body: Some(body.clone()) },
                Write::Delete { .. } => Past { serial, version: 0, body: None },
            };
            state.remember(kind, key, past);
        }
        state.log.extend(transaction.entries.iter().map(|entry| entry.log.clone()));
        state.serial = transaction.serial();
        match fault {
            Some(fault) => Err(fault.error()),
            None => Ok(state.serial),
        }
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Pending<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Store for MemoryStore {
    fn load(&self) -> Pending<'_, Loaded> {
        let change = self.disk().change.clone();
        let loaded = self.with(|state| {
            Ok(Loaded {
                serial: state.serial,
                epoch: state.epoch,
                cluster: state.cluster.clone(),
                records: state.records.values().cloned().collect(),
                quarantined: state.quarantined.values().cloned().collect(),
                damage: Vec::new(),
                healed: Vec::new(),
            })
        });
        ready(match change {
            Some(change) => loaded.map(|loaded| change(loaded)),
            None => loaded,
        })
    }

    fn commit(&self, transaction: Transaction) -> Pending<'_, u64> {
        Box::pin(async move {
            let wakes = self.disk().wakes;
            for _ in 0..wakes {
                tokio::task::yield_now().await;
            }
            let _open = self.gate.read().await;
            self.commit_now(&transaction)
        })
    }

    fn take_epoch(&self, expected: u64) -> Pending<'_, u64> {
        ready(self.with(|state| {
            if state.epoch != expected {
                return Err(StoreError::Deposed { expected, found: state.epoch });
            }
            state.epoch = expected.checked_add(1).ok_or_else(|| StoreError::invalid("there is no epoch after this one"))?;
            Ok(state.epoch)
        }))
    }

    fn found(&self, cluster: Cluster) -> Pending<'_, Cluster> {
        ready(self.with(|state| Ok(state.cluster.get_or_insert(cluster).clone())))
    }

    fn log(&self, after: u64, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        ready(self.with(|state| Ok(state.log.iter().filter(|entry| entry.serial > after).take(limit).cloned().collect())))
    }

    fn audit(&self, filter: LogFilter, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        ready(self.with(|state| {
            let touched: Option<BTreeSet<u64>> = (!filter.objects.is_empty()).then(|| {
                let named = state.history.iter().filter(|((kind, key), _)| filter.names(kind, key));
                named.flat_map(|(_, versions)| versions.iter().map(|past| past.serial)).collect()
            });
            let fits = |entry: &&LogEntry| filter.fits(entry) && touched.as_ref().is_none_or(|serials| serials.contains(&entry.serial));
            Ok(state.log.iter().rev().filter(fits).take(limit).cloned().collect())
        }))
    }

    fn history(&self, kind: &str, key: &str, before: Option<u64>, limit: usize) -> Pending<'_, Vec<Past>> {
        ready(self.with(|state| {
            let versions = state.history.get(&(kind.to_string(), key.to_string())).map_or(&[][..], Vec::as_slice);
            let fits = |past: &&Past| before.is_none_or(|before| past.serial < before);
            Ok(versions.iter().rev().filter(fits).take(limit).cloned().collect())
        }))
    }

    fn trim_log(&self, before_ms: i64) -> Pending<'_, u64> {
        ready(self.with(|state| {
            let keep = state.log.iter().position(|entry| entry.time_ms >= before_ms).unwrap_or(state.log.len());
            state.log.drain(..keep);
            state.trim_history();
            Ok(keep as u64)
        }))
    }

    fn quarantine(&self, kind: &str, key: &str, why: &str, now_ms: i64) -> Pending<'_, ()> {
        let name = (kind.to_string(), key.to_string());
        ready(self.with(|state| {
            check_name("kind", kind)?;
            check_name("key", key)?;
            if state.quarantined.contains_key(&name) {
                return Ok(());
            }
            let Some(Record { kind, key, version, serial, body }) = state.records.remove(&name) else {
                return Err(StoreError::NotFound { place: "record", kind: name.0, key: name.1 });
            };
            let (why, body) = (why.to_string(), body.into_bytes());
            state.quarantined.insert(name, Quarantined { kind, key, version, serial, why, since_ms: now_ms, body });
            Ok(())
        }))
    }

    fn release(&self, kind: &str, key: &str) -> Pending<'_, Record> {
        let name = (kind.to_string(), key.to_string());
        ready(self.with(|state| {
            let Some(Quarantined { kind, key, version, serial, body, .. }) = state.quarantined.get(&name).cloned() else {
                return Err(StoreError::NotFound { place: "quarantined record", kind: name.0, key: name.1 });
            };
            let body = String::from_utf8(body).map_err(|_| StoreError::invalid(format!("the body of {kind} {key} is not text")))?;
            check_json(&format!("the body of {kind} {key}"), &body)?;
            let record = Record { kind, key, version, serial, body };
            state.quarantined.remove(&name);
            state.records.insert(name, record.clone());
            Ok(record)
        }))
    }

    fn restore(&self, loaded: Loaded, log: Vec<LogEntry>) -> Pending<'_, ()> {
        ready(self.with(|state| {
            check_restore(&loaded, &log)?;
            if state.serial != 0
                || state.epoch != 0
                || state.cluster.is_some()
                || !state.records.is_empty()
                || !state.quarantined.is_empty()
            {
                return Err(StoreError::invalid("a state can only be restored into an empty database"));
            }
            let Loaded { serial, epoch, cluster, records, quarantined, damage: _, healed: _ } = loaded;
            let past = |record: &Record| Past { serial: record.serial, version: record.version, body: Some(record.body.clone()) };
            let history = records.iter().map(|record| ((record.kind.clone(), record.key.clone()), vec![past(record)])).collect();
            let records = records.into_iter().map(|record| ((record.kind.clone(), record.key.clone()), record)).collect();
            let quarantined = quarantined.into_iter().map(|lost| ((lost.kind.clone(), lost.key.clone()), lost)).collect();
            *state = State { serial, epoch, cluster, records, quarantined, log, history };
            Ok(())
        }))
    }

    fn close(&self) -> Pending<'_, ()> {
        self.disk().closed = true;
        ready(Ok(()))
    }
}
