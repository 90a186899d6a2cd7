//! What `berth db {check,repair,export,import}` do. Nothing here prints.
//!
//! A path is a data folder or the database file in it. `check` and `export` only read, also beside a running controller; `repair` and `import` need the folder for themselves.

use crate::error::{Cause, StoreError};
use crate::export::{Export, write_end, write_log, write_state};
use crate::sqlite::file::{self, beside, folder};
use crate::sqlite::{DATABASE_FILE, SqliteStore, past, read, reading, schema, wal};
use crate::store::{Store, check_restore};
use crate::types::{Loaded, LogEntry, Quarantined, Record};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::repair::{Orders, RepairReport, repair};

/// Whether the caller understands a record; if not, why: one sentence.
pub type Decode<'a> = &'a (dyn Fn(&Record) -> Result<(), String> + Sync);

/// Log entries read at once.
const LOG_BATCH: usize = 1000;

/// A record that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its kind, as far as it can be read.
    pub kind: String,
    /// Its key, as far as it can be read.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// The database file.
    pub file: PathBuf,
    /// Its schema version; a controller's start brings an older one up to date.
    pub schema_version: i64,
    /// Serial of the last change.
    pub serial: u64,
    /// Highest epoch taken.
    pub epoch: u64,
    /// What is wrong with the file, one sentence each; empty when it is sound.
    pub integrity: Vec<String>,
    /// Records that cannot be read or understood and are not in quarantine yet.
    pub broken: Vec<Broken>,
    /// Records in quarantine.
    pub quarantined: Vec<Broken>,
    /// Sound records by kind.
    pub counts: BTreeMap<String, u64>,
}

impl CheckReport {
    /// Whether there is nothing to repair. Records in quarantine are not served but do no harm.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.integrity.is_empty() && self.broken.is_empty()
    }
}

/// Reads the whole database and tells what is wrong with it; changes nothing.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::NotOurs`], [`StoreError::TooNew`], [`StoreError::ReadOnly`] when the folder does not even allow a reader's lock, [`StoreError::Disk`].
/// Damage is no error but the report.
pub async fn check(path: &Path, decode: Decode<'_>) -> Result<CheckReport, StoreError> {
    let path = database(path)?;
    let log = wal::look(&path)?;
    let (mut conn, schema_version) = open(&path).await?;
    let mut integrity = read::integrity(&mut conn, &path).await?;
    integrity.extend(schema::missing(&mut conn, schema_version).await);
    integrity.extend(log.map(wal::Break::words));
    integrity.extend(past::check(&mut conn, schema_version).await);
    let (scan, notes) = read_all(&mut conn, &path).await?;
    close(conn, &path).await?;
    let mut report = CheckReport {
        file: path,
        schema_version,
        serial: scan.loaded.serial,
        epoch: scan.loaded.epoch,
        integrity,
        broken: Vec::new(),
        quarantined: Vec::new(),
        counts: BTreeMap::new(),
    };
    report.integrity.extend(scan.loaded.damage);
    report.integrity.extend(notes);
    report.integrity.extend(wal::lost(&report.file, report.serial));
    report.integrity.extend(scan.loaded.healed.iter().map(|note| format!("not yet mended: {note}")));
    for record in &scan.loaded.records {
        match decode(record) {
            Ok(()) => *report.counts.entry(record.kind.clone()).or_default() += 1,
            Err(why) => report.broken.push(Broken { kind: record.kind.clone(), key: record.key.clone(), why }),
        }
    }
    report.broken.extend(scan.broken.iter().map(|(_, lost)| broken(lost)));
    report.quarantined = scan.loaded.quarantined.iter().map(broken).filter(|lost| !report.broken.contains(lost)).collect();
    Ok(report)
}

/// Writes the state, and the log if asked for, as one JSON document (see [`Export`]).
///
/// # Errors
/// As [`check`]; [`StoreError::Corrupt`] when not all of it can be read: repair first. [`StoreError::Output`].
pub async fn export(path: &Path, with_log: bool, out: &mut (dyn io::Write + Send)) -> Result<(), StoreError> {
    let path = database(path)?;
    let failed = |cause| StoreError::Output { cause };
    let (mut conn, schema) = open(&path).await?;
    let scan = read::scan(&mut conn, &path).await?;
    if let Some(why) = scan.loaded.damage.into_iter().next() {
        return Err(StoreError::Corrupt { file: path, cause: Cause::Seen(why) });
    }
    let state = Loaded { damage: Vec::new(), ..scan.loaded };
    write_state(out, &state).map_err(failed)?;
    let mut after = 0;
    // Commands that came after the state was read belong to no part of the document.
    let until = if with_log { state.serial } else { 0 };
    while after < until {
        let mut batch = past::log(&mut conn, &path, schema, after, LOG_BATCH).await?;
        batch.retain(|entry| entry.serial <= until);
        let Some(last) = batch.last() else { break };
        write_log(out, &batch, after == 0).map_err(failed)?;
        after = last.serial;
    }
    write_end(out, after != 0).map_err(failed)?;
    close(conn, &path).await
}

/// Makes a database from a document. It appears whole or not at all.
/// An existing database is refused, or with `replace` kept beside the new one under the name that is returned. `now_ms` is the time, milliseconds since 1970.
///
/// # Errors
/// [`StoreError::Document`], [`StoreError::Invalid`], [`StoreError::Exists`], [`StoreError::InUse`], [`StoreError::ReadOnly`], [`StoreError::Full`], [`StoreError::Disk`].
pub async fn import(path: &Path, document: impl io::Read, replace_old: bool, now_ms: i64) -> Result<Option<PathBuf>, StoreError> {
    install(path, Export::parse(document)?, replace_old, now_ms).await
}

/// As [`import`], of what was read already, or came from elsewhere.
///
/// # Errors
/// As [`import`].
pub async fn install(path: &Path, mut parsed: Export, replace_old: bool, now_ms: i64) -> Result<Option<PathBuf>, StoreError> {
    // Satellites have obeyed later plans than the document knows; a higher epoch makes them obey this one (as in `repair`).
    parsed.state.epoch = parsed.state.epoch.max(now_ms.unsigned_abs());
    let path = target(path);
    file::make_folder(folder(&path))?;
    let _lock = file::lock(folder(&path))?;
    let exists = is_taken(&path);
    if exists && !replace_old {
        return Err(StoreError::Exists { file: path });
    }
    let kept = exists.then(|| beside(&path, &format!(".replaced-{now_ms}")));
    if exists {
        // Folds the old log into the old file, so that the file alone is all of it. One that cannot be opened is kept as it is.
        if let Ok(old) = SqliteStore::open_file(&path, None).await {
            old.close().await?;
        }
    }
    crate::repair::make(&path, kept.as_deref(), parsed).await?;
    Ok(kept)
}

/// What an import would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPlan {
    /// The database file that would be made.
    pub file: PathBuf,
    /// Serial of the last change.
    pub serial: u64,
    /// Highest epoch taken, as the new database would have it.
    pub epoch: u64,
    /// Records by kind.
    pub counts: BTreeMap<String, u64>,
    /// Records that this release does not understand: they would be set aside at the controller's start.
    pub broken: Vec<Broken>,
    /// Records that are in quarantine in the document.
    pub quarantined: Vec<Broken>,
    /// Entries of the log.
    pub log_entries: usize,
}

/// Tells what [`install`] would make where there is no database yet; makes nothing, not even the folder.
///
/// # Errors
/// [`StoreError::Invalid`], [`StoreError::Exists`].
pub fn plan_install(path: &Path, document: Export, decode: Decode<'_>, now_ms: i64) -> Result<ImportPlan, StoreError> {
    let Export { mut state, log } = document;
    state.epoch = state.epoch.max(now_ms.unsigned_abs());
    check_restore(&state, &log)?;
    let file = target(path);
    if is_taken(&file) {
        return Err(StoreError::Exists { file });
    }
    let mut counts = BTreeMap::new();
    for record in &state.records {
        let count: &mut u64 = counts.entry(record.kind.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let broken_now = state.records.iter().filter_map(|record| not_understood(record, decode)).collect();
    let quarantined = state.quarantined.iter().map(broken).collect();
    Ok(ImportPlan { file, serial: state.serial, epoch: state.epoch, counts, broken: broken_now, quarantined, log_entries: log.len() })
}

/// The database file that an import makes.
fn target(path: &Path) -> PathBuf {
    if path.file_name().is_some_and(|name| name == DATABASE_FILE) { path.to_path_buf() } else { path.join(DATABASE_FILE) }
}

/// Whether there is a database already.
fn is_taken(file: &Path) -> bool {
    // A log alone may hold all that there is.
    [file.to_path_buf(), beside(file, "-wal")].iter().any(|one| std::fs::metadata(one).is_ok_and(|found| found.len() > 0))
}

/// Fills a new database and puts it in the place of the old one.
pub(crate) async fn take_the_place(
    path: &Path,
    kept: Option<&Path>,
    fill: impl AsyncFnOnce(&SqliteStore) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let fresh = beside(path, ".new");
    file::remove_database(&fresh)?;
    let written = async {
        let store = SqliteStore::open_file(&fresh, None).await?;
        let filled = fill(&store).await;
        store.close().await?;
        filled?;
        file::take_place(&fresh, path, kept)
    }
    .await;
    if written.is_err() {
        file::remove_database(&fresh)?;
    }
    written
}

/// All of the state; where even the counters are unreadable they are derived anew, and noted.
pub(crate) async fn read_all(conn: &mut SqliteConnection, path: &Path) -> Result<(read::Scan, Vec<String>), StoreError> {
    match read::scan(conn, path).await {
        Ok(scan) => Ok((scan, Vec::new())),
        Err(StoreError::Corrupt { cause, .. }) => {
            let (scan, note) = read::scan_without_counters(conn, path).await?;
            Ok((scan, vec![format!("{note} ({cause})")]))
        }
        Err(error) => Err(error),
    }
}

/// As much of the log as can be read, and a note if that is not all.
pub(crate) async fn read_log(conn: &mut SqliteConnection, schema: i64) -> (Vec<LogEntry>, Option<String>) {
    if schema < past::WITH_LOG {
        return (Vec::new(), None);
    }
    let (log, damage) = past::whole_log(conn, schema).await;
    let note = damage.map(|error| format!("{} entries of the log can be read, others are lost: {error}", log.len()));
    (log, note)
}

pub(crate) fn broken(lost: &Quarantined) -> Broken {
    Broken { kind: lost.kind.clone(), key: lost.key.clone(), why: lost.why.clone() }
}

pub(crate) fn not_understood(record: &Record, decode: Decode<'_>) -> Option<Broken> {
    decode(record).err().map(|why| Broken { kind: record.kind.clone(), key: record.key.clone(), why })
}

/// The database file that a path means.
pub(crate) fn database(path: &Path) -> Result<PathBuf, StoreError> {
    let file = if path.is_dir() { path.join(DATABASE_FILE) } else { path.to_path_buf() };
    match file.try_exists() {
        Ok(true) => Ok(file),
        Ok(false) => Err(wal::gone(&file).unwrap_or(StoreError::Missing { file })),
        Err(error) => Err(StoreError::file(&file, error)),
    }
}

/// A reader of a database of ours, and its schema version.
pub(crate) async fn open(path: &Path) -> Result<(SqliteConnection, i64), StoreError> {
    // The engine refuses every page of a file that is shorter than its header says, except to one who would repair it.
    // The connection itself is read-only, so nothing can be written by way of this switch.
    let options = reading(path).pragma("writable_schema", "ON");
    let mut conn = options.connect().await.map_err(|error| StoreError::sqlite(path, error))?;
    match schema::identify(&mut conn, path).await? {
        schema::Format::Version(version) => Ok((conn, version)),
        schema::Format::Fresh => Err(StoreError::NotOurs { file: path.into(), why: "it is empty".into() }),
    }
}

pub(crate) async fn close(conn: SqliteConnection, path: &Path) -> Result<(), StoreError> {
    conn.close().await.map_err(|error| StoreError::sqlite(path, error))
}
