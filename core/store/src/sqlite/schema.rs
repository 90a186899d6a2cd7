//! The file's format: whose it is, which version it has, and the numbered steps from each version to the next.

use crate::error::StoreError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use std::path::Path;

/// "BRTH": marks an SQLite file as Berth's. <https://sqlite.org/pragma.html#pragma_application_id>
pub(crate) const APPLICATION_ID: i64 = 0x4252_5448;

/// One step for each version; a released step never changes.
const STEPS: [&str; 4] = [
    include_str!("migrations/0001_documents.sql"),
    include_str!("migrations/0002_log.sql"),
    include_str!("migrations/0003_quarantine.sql"),
    include_str!("migrations/0004_history.sql"),
];

/// The schema version that this release writes; it reads all before it.
pub const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// What each step makes: the version, and the tables and indexes.
const OBJECTS: [(i64, &str, &str); 12] = [
    (1, "table", "meta"),
    (1, "table", "record"),
    (1, "index", "record_name"),
    (2, "table", "log"),
    (3, "table", "quarantine"),
    (4, "index", "log_time"),
    (4, "index", "log_actor"),
    (4, "index", "log_origin"),
    (4, "index", "log_verb"),
    (4, "table", "history"),
    (4, "index", "history_name"),
    (4, "table", "ledger"),
];

/// What a file says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Nothing in it yet.
    Fresh,
    /// Ours, of this version.
    Version(i64),
}

/// Looks at an open file without changing it.
pub(crate) async fn identify(conn: &mut SqliteConnection, file: &Path) -> Result<Format, StoreError> {
    let application = number(conn, file, "PRAGMA application_id").await?;
    let version = number(conn, file, "PRAGMA user_version").await?;
    if application == APPLICATION_ID {
        if version > SCHEMA_VERSION {
            return Err(StoreError::TooNew { file: file.into(), found: version, supported: SCHEMA_VERSION });
        }
        if version < 1 {
            return Err(StoreError::NotOurs { file: file.into(), why: format!("it has the schema version {version}") });
        }
        return Ok(Format::Version(version));
    }
    let objects = number(conn, file, "SELECT count(*) FROM sqlite_master").await?;
    if application == 0 && version == 0 && objects == 0 {
        return Ok(Format::Fresh);
    }
    Err(StoreError::NotOurs { file: file.into(), why: format!("it is another program's SQLite file (application id {application:#x})") })
}

/// The tables and indexes that a file of this version must have and has not, one sentence each.
pub(crate) async fn missing(conn: &mut SqliteConnection, version: i64) -> Vec<String> {
    let rows = match sqlx::query("SELECT type, name FROM sqlite_master").fetch_all(conn).await {
        Ok(rows) => rows,
        Err(error) => return vec![format!("its list of tables cannot be read: {error}")],
    };
    let has = |kind: &str, name: &str| {
        let is = |row: &SqliteRow, at: usize, text: &str| row.try_get::<String, _>(at).is_ok_and(|found| found == text);
        rows.iter().any(|row| is(row, 0, kind) && is(row, 1, name))
    };
    let needed = OBJECTS.iter().filter(|(since, kind, name)| *since <= version && !has(kind, name));
    needed.map(|(_, kind, name)| format!("the {kind} '{name}' is missing")).collect()
}

/// Brings a file from `found` to the newest version, each step in a transaction of its own.
pub(crate) async fn migrate(conn: &mut SqliteConnection, file: &Path, found: &Format) -> Result<(), StoreError> {
    let done = match found {
        Format::Fresh => 0,
        Format::Version(version) => usize::try_from(*version).unwrap_or(0),
    };
    steps(conn, file, done, STEPS.len()).await
}

/// Runs the steps after version `done` up to and with version `until`.
pub(crate) async fn steps(conn: &mut SqliteConnection, file: &Path, done: usize, until: usize) -> Result<(), StoreError> {
    for (step, version) in STEPS.iter().zip(1..=until).skip(done) {
        // Pragmas that write the file's header are part of the transaction.
        let sql = format!("BEGIN EXCLUSIVE; {step}\nPRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}; COMMIT");
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await {
            // Nothing is left of a failed step; the error that matters is the first one.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await;
            return Err(StoreError::sqlite(file, error));
        }
    }
    Ok(())
}

/// The one number that a query answers.
pub(crate) async fn number(conn: &mut SqliteConnection, file: &Path, sql: &'static str) -> Result<i64, StoreError> {
    let row = sqlx::query(sql).fetch_one(conn).await.map_err(|error| StoreError::sqlite(file, error))?;
    row.try_get(0).map_err(|error| StoreError::sqlite(file, error))
}
