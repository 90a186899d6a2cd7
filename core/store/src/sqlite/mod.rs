//! The embedded database: one SQLite file, one writer, one reader beside it.
//!
//! The log of the engine (WAL) is synced (fdatasync) at each commit, before the caller hears of it: `synchronous = FULL`, <https://sqlite.org/pragma.html#pragma_synchronous>.

pub(crate) mod ends;
pub(crate) mod file;
pub(crate) mod ledger;
mod mend;
pub(crate) mod past;
pub(crate) mod read;
pub(crate) mod schema;
pub(crate) mod wal;
mod write;

pub use file::{DATABASE_FILE, LOCK_FILE};
pub use schema::SCHEMA_VERSION;

use crate::error::StoreError;
use crate::store::{Pending, Store, check_restore};
use crate::types::{Cluster, Loaded, LogEntry, LogFilter, Past, Quarantined, Record, Transaction, check_name};
use file::Lock;
pub(crate) use mend::Mends;
use schema::Format;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use write::Writer;

/// How long a statement waits for an outsider's lock, e.g. an operator's shell or a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Rows that the engine's thread reads ahead of us: fewer switches between the two while a whole state is loaded.
const ROWS_AHEAD: usize = 200;
/// Size that the log file is cut to after it grew under a long read.
const LOG_FILE_BYTES: &str = "67108864";

/// Pages of the log file after which they are carried over into the database: a page that many commits wrote is carried once.
/// 16 MiB, which a start after a crash reads in some 10 ms.
const CHECKPOINT_PAGES: &str = "4096";
/// Pages that the writer keeps at hand: 8 MiB. A commit touches the upper pages of every tree and some leaves of each.
const CACHE: &str = "-8192";

/// The state in one SQLite file.
pub struct SqliteStore {
    file: PathBuf,
    writer: Mutex<Option<Writer>>,
    reader: Mutex<Option<SqliteConnection>>,
    reserved: RwLock<Reserved>,
}

/// Kind to key to reason, for all names in quarantine.
type Reserved = HashMap<String, HashMap<String, String>>;

impl SqliteStore {
    /// Opens the database of a data folder; makes folder and database where there are none, and brings an older schema up to date.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another program has it; [`StoreError::NotOurs`], [`StoreError::TooNew`], [`StoreError::Gone`], [`StoreError::ReadOnly`], [`StoreError::Full`], [`StoreError::Corrupt`], [`StoreError::Disk`].
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        file::make_folder(dir)?;
        let lock = file::lock(dir)?;
        let path = dir.join(DATABASE_FILE);
        // Before an empty one is made in its place.
        if let Some(error) = wal::gone(&path) {
            return Err(error);
        }
        // Before the engine drops what it cannot read.
        if let Some(found) = wal::look(&path)? {
            return Err(wal::corrupt(&path, found.words()));
        }
        let store = Self::open_file(&path, Some(lock)).await?;
        let (serial, ahead) = match store.reader.lock().await.as_mut() {
            Some(reader) => match read::counters(reader, &path).await {
                Ok((serial, _)) => (Ok(serial), read::log_ahead(reader, serial).await),
                Err(error) => (Err(error), None),
            },
            None => (Err(StoreError::Closed), None),
        };
        // Counters that cannot be read are named by `load`.
        let Ok(serial) = serial else { return Ok(store) };
        if let Some(why) = ahead.map(|newest| read::behind(serial, newest)).or_else(|| wal::lost(&path, serial)) {
            store.close().await?;
            return Err(wal::corrupt(&path, why));
        }
        let mark = wal::Mark::open(&path)?;
        mark.note(serial);
        if let Some(writer) = store.writer.lock().await.as_mut() {
            writer.keep_mark(mark);
        }
        Ok(store)
    }

    /// Opens a database file under a lock that the caller took, or that its caller holds.
    pub(crate) async fn open_file(path: &Path, lock: Option<Lock>) -> Result<Self, StoreError> {
        let failed = |error| StoreError::sqlite(path, error);
        file::make_file(path)?;
        // A first look without the log's mode: nothing of another program's file may change.
        let mut probe = reading(path).connect().await.map_err(failed)?;
        let format = schema::identify(&mut probe, path).await;
        probe.close().await.map_err(failed)?;
        let format = format?;
        let mut conn = writing(path).connect().await.map_err(failed)?;
        // The first look saw an empty file where all of it was still in the log.
        let format = if format == Format::Fresh { schema::identify(&mut conn, path).await? } else { format };
        if let Format::Version(version) = format
            && let Some(why) = schema::missing(&mut conn, version).await.into_iter().next()
        {
            let closed = conn.close().await.map_err(failed);
            return Err(closed.err().unwrap_or_else(|| wal::corrupt(path, why)));
        }
        schema::migrate(&mut conn, path, &format).await?;
        let begun = schema::number(&mut conn, path, "SELECT ledger FROM meta WHERE id = 1").await;
        let mut reader = reading(path).connect().await.map_err(failed)?;
        let mut reserved = Reserved::new();
        let sql = "SELECT CAST(kind AS TEXT), CAST(key AS TEXT), CAST(why AS TEXT) FROM quarantine";
        // A damaged quarantine must not keep the rest from being served; `load` names it.
        for (kind, key, why) in sqlx::query_as::<_, (String, String, String)>(sql).fetch_all(&mut reader).await.unwrap_or_default() {
            reserved.entry(kind).or_default().insert(key, why);
        }
        let mut writer = Writer::new(path, conn, lock);
        // Where the counters or records cannot be read, `load` says so, and a repair begins the ledger.
        if let Ok(0) = begun
            && let Ok(scan) = read::scan(&mut reader, path).await
            && scan.loaded.damage.is_empty()
        {
            writer.begin().await?;
            let result = writer.begin_ledger(&scan.loaded.records).await;
            writer.end(result).await?;
        }
        Ok(SqliteStore {
            file: path.to_path_buf(),
            writer: Mutex::new(Some(writer)),
            reader: Mutex::new(Some(reader)),
            reserved: RwLock::new(reserved),
        })
    }

    /// The database file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Refuses a write to a name in quarantine.
    fn check_reserved<'a>(&self, names: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), StoreError> {
        let reserved = self.reserved.read().unwrap_or_else(PoisonError::into_inner);
        if reserved.is_empty() {
            return Ok(());
        }
        for (kind, key) in names {
            if let Some(why) = reserved.get(kind).and_then(|keys| keys.get(key)) {
                return Err(StoreError::Reserved { kind: kind.into(), key: key.into(), why: why.clone() });
            }
        }
        Ok(())
    }

    fn reserve(&self, names: impl Iterator<Item = (String, String, String)>) {
        let mut reserved = self.reserved.write().unwrap_or_else(PoisonError::into_inner);
        for (kind, key, why) in names {
            reserved.entry(kind).or_default().insert(key, why);
        }
    }

    fn unreserve(&self, kind: &str, key: &str) {
        let mut reserved = self.reserved.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = reserved.get_mut(kind) {
            keys.remove(key);
            if keys.is_empty() {
                reserved.remove(kind);
            }
        }
    }

    async fn load_now(&self) -> Result<Loaded, StoreError> {
        let mut guard = self.reader.lock().await;
        let read::Scan { mut loaded, unaccounted, .. } = read::scan(guard.as_mut().ok_or(StoreError::Closed)?, &self.file).await?;
        drop(guard);
        if !unaccounted.is_empty()
            && let Err(error) = self.account_for(&unaccounted).await
        {
            // It is tried again at the next start.
            loaded.healed.push(format!("that could not be written down: {error}"));
        }
        self.reserve(loaded.quarantined.iter().map(|Quarantined { kind, key, why, .. }| (kind.clone(), key.clone(), why.clone())));
        Ok(loaded)
    }

    /// Writes records that are served, as they are, into the ledger and the history.
    async fn account_for(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.account_for(records).await;
        writer.end(result).await
    }

    async fn commit_now(&self, transaction: Transaction) -> Result<u64, StoreError> {
        transaction.check()?;
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        self.check_reserved(transaction.entries.iter().flat_map(|entry| entry.writes.iter().map(crate::types::Write::name)))?;
        writer.begin().await?;
        let result = writer.apply(&transaction).await;
        let serial = writer.end(result).await?;
        writer.note(serial);
        Ok(serial)
    }

    async fn quarantine_now(&self, kind: String, key: String, why: String, now_ms: i64) -> Result<(), StoreError> {
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.quarantine(&kind, &key, &why, now_ms).await;
        writer.end(result).await?;
        self.reserve(std::iter::once((kind, key, why)));
        Ok(())
    }

    async fn release_now(&self, kind: String, key: String) -> Result<Record, StoreError> {
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.release(&kind, &key).await;
        let record = writer.end(result).await?;
        self.unreserve(&kind, &key);
        Ok(record)
    }

    /// Does all of it in one transaction; `entry` logs what is dropped.
    pub(crate) async fn mend(
        &self,
        mends: &Mends,
        unaccounted: &[Record],
        entry: Option<&LogEntry>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.mend(mends, unaccounted, entry, now_ms).await;
        writer.end(result).await
    }

    /// Copies the versions of records from another database, as many as can be read; answers what was left behind.
    pub(crate) async fn copy_versions(&self, from: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.copy_versions(from).await;
        writer.end(result).await
    }

    async fn restore_now(&self, state: Loaded, log: Vec<LogEntry>) -> Result<(), StoreError> {
        check_restore(&state, &log)?;
        let mut guard = self.writer.lock().await;
        let writer = guard.as_mut().ok_or(StoreError::Closed)?;
        writer.begin().await?;
        let result = writer.restore(&state, &log).await;
        writer.end(result).await?;
        self.reserve(state.quarantined.into_iter().map(|Quarantined { kind, key, why, .. }| (kind, key, why)));
        Ok(())
    }
}

/// Runs one write operation of [`Writer`] in a transaction.
macro_rules! in_transaction {
    ($store:ident, $writer:ident, $work:expr) => {
        Box::pin(async move {
            let mut guard = $store.writer.lock().await;
            let $writer = guard.as_mut().ok_or(StoreError::Closed)?;
            $writer.begin().await?;
            let result = $work.await;
            $writer.end(result).await
        })
    };
}

impl Store for SqliteStore {
    fn load(&self) -> Pending<'_, Loaded> {
        Box::pin(self.load_now())
    }

    fn commit(&self, transaction: Transaction) -> Pending<'_, u64> {
        Box::pin(self.commit_now(transaction))
    }

    fn take_epoch(&self, expected: u64) -> Pending<'_, u64> {
        in_transaction!(self, writer, writer.take_epoch(expected))
    }

    fn found(&self, cluster: Cluster) -> Pending<'_, Cluster> {
        in_transaction!(self, writer, writer.found(&cluster))
    }

    fn log(&self, after: u64, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        Box::pin(async move {
            let mut guard = self.reader.lock().await;
            past::log(guard.as_mut().ok_or(StoreError::Closed)?, &self.file, SCHEMA_VERSION, after, limit).await
        })
    }

    fn audit(&self, filter: LogFilter, limit: usize) -> Pending<'_, Vec<LogEntry>> {
        Box::pin(async move {
            let mut guard = self.reader.lock().await;
            past::audit(guard.as_mut().ok_or(StoreError::Closed)?, &self.file, &filter, limit).await
        })
    }

    fn history(&self, kind: &str, key: &str, before: Option<u64>, limit: usize) -> Pending<'_, Vec<Past>> {
        let (kind, key) = (kind.to_string(), key.to_string());
        Box::pin(async move {
            let mut guard = self.reader.lock().await;
            past::history(guard.as_mut().ok_or(StoreError::Closed)?, &self.file, &kind, &key, before, limit).await
        })
    }

    fn trim_log(&self, before_ms: i64) -> Pending<'_, u64> {
        Box::pin(async move {
            let mut trimmed: u64 = 0;
            loop {
                // The writer is free between two batches, so commits never wait long.
                let batch: u64 = in_transaction!(self, writer, writer.trim_log(before_ms)).await?;
                trimmed = trimmed.saturating_add(batch);
                if batch == 0 {
                    break;
                }
            }
            let mut looked_at = Some(0);
            while let Some(after) = looked_at {
                let batch: Pending<'_, Option<i64>> = in_transaction!(self, writer, writer.trim_history(after));
                looked_at = batch.await?;
            }
            Ok(trimmed)
        })
    }

    fn quarantine(&self, kind: &str, key: &str, why: &str, now_ms: i64) -> Pending<'_, ()> {
        Box::pin(self.quarantine_now(kind.into(), key.into(), why.into(), now_ms))
    }

    fn release(&self, kind: &str, key: &str) -> Pending<'_, Record> {
        Box::pin(self.release_now(kind.into(), key.into()))
    }

    fn restore(&self, state: Loaded, log: Vec<LogEntry>) -> Pending<'_, ()> {
        Box::pin(self.restore_now(state, log))
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            // The reader first: the last one to close folds the log into the file.
            let reader = self.reader.lock().await.take();
            let writer = self.writer.lock().await.take();
            if let Some(reader) = reader {
                reader.close().await.map_err(|error| StoreError::sqlite(&self.file, error))?;
            }
            match writer {
                Some(writer) => writer.close().await,
                None => Ok(()),
            }
        })
    }
}

/// The writer's connection.
fn writing(path: &Path) -> SqliteConnectOptions {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_FILE_BYTES)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", CACHE)
        .pragma("temp_store", "MEMORY")
}

/// A connection that cannot change the state.
pub(crate) fn reading(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).row_buffer_size(ROWS_AHEAD)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).create_if_missing(false).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

/// A name as [`Store`] accepts it.
fn check_names(kind: &str, key: &str) -> Result<(), StoreError> {
    check_name("kind", kind)?;
    check_name("key", key)
}

#[cfg(test)]
mod tests;
