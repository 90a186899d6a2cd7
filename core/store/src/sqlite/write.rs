//! The one connection that changes the database.

use super::file::Lock;
use super::wal::Mark;
use super::{check_names, read};
use crate::error::{Cause, StoreError, result_code};
use crate::types::{Cluster, Entry, Loaded, LogEntry, NO_DECISION, Quarantined, Record, Transaction, Write, check_json, check_value, fold};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row, Sqlite};
use std::path::{Path, PathBuf};

/// Rows that one statement writes: a few fixed numbers, so that each is prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];
/// Log entries removed in one transaction.
const TRIM: i64 = 2000;
/// The results of a failed sync of a file or a folder: what was written before is in doubt. <https://sqlite.org/rescode.html>
const FAILED_SYNCS: [i32; 2] = [1034, 1290];

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

pub(super) struct Writer {
    file: PathBuf,
    conn: SqliteConnection,
    /// A transaction was begun and not ended: true when the future that began it was dropped.
    begun: bool,
    /// A sync failed: what the disk holds is unknown until all is written anew.
    doubt: Option<String>,
    lock: Option<Lock>,
    mark: Option<Mark>,
}

impl Writer {
    pub(super) fn new(file: &Path, conn: SqliteConnection, lock: Option<Lock>) -> Self {
        Writer { file: file.into(), conn, begun: false, doubt: None, lock, mark: None }
    }

    pub(super) async fn close(self) -> Result<(), StoreError> {
        let Writer { file, conn, lock, .. } = self;
        let closed = conn.close().await.map_err(|error| StoreError::sqlite(&file, error));
        drop(lock);
        closed
    }

    /// Notes from now on what is acknowledged.
    pub(super) fn keep_mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    pub(super) fn note(&self, serial: u64) {
        if let Some(mark) = &self.mark {
            mark.note(serial);
        }
    }

    fn failed(&self) -> impl Fn(sqlx::Error) -> StoreError + use<> {
        let file = self.file.clone();
        move |error| StoreError::sqlite(&file, error)
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) async fn run(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        let done = query.execute(&mut self.conn).await;
        done.map(|done| done.rows_affected()).map_err(self.failed())
    }

    /// Begins a transaction; one that was left open is undone first.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        if let Some(why) = self.doubt.take()
            && let Err(now) = self.settle().await
        {
            let cause = Cause::Seen(format!("an earlier sync failed: {why}; now: {now}"));
            self.doubt = Some(why);
            return Err(StoreError::Disk { file: self.file.clone(), cause });
        }
        if self.begun {
            self.roll_back().await;
        }
        self.begun = true;
        let begun = self.run(sqlx::query("BEGIN IMMEDIATE")).await;
        if begun.is_err() {
            self.begun = false;
        }
        begun.map(|_| ())
    }

    /// After a failed sync: what the log holds may never reach the disk, and cannot be told from what it shows. So everything that was
    /// committed is written anew, into the database itself, and the log is emptied; the commit that failed is gone with it.
    async fn settle(&mut self) -> Result<(), String> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut self.conn).await.map_err(|error| error.to_string())?;
        match row.try_get::<i64, _>(0) {
            Ok(0) => Ok(()),
            Ok(_) => Err("somebody reads the database".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Commits if the work went well, undoes it otherwise.
    pub(super) async fn end<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let value = match result {
            Ok(value) => value,
            Err(error) => {
                self.roll_back().await;
                return Err(error);
            }
        };
        match sqlx::query("COMMIT").execute(&mut self.conn).await {
            Ok(_) => {
                self.begun = false;
                Ok(value)
            }
            Err(error) => {
                if FAILED_SYNCS.contains(&result_code(&error)) {
                    self.doubt = Some(error.to_string());
                }
                self.roll_back().await;
                Err(StoreError::sqlite(&self.file, error))
            }
        }
    }

    async fn roll_back(&mut self) {
        // The engine has often undone it already after an error, and then this fails without meaning.
        let _ = sqlx::query("ROLLBACK").execute(&mut self.conn).await;
        self.begun = false;
    }

    /// Sets a limit of the engine, for tests.
    #[cfg(test)]
    pub(super) async fn pragma(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.conn).await.unwrap();
    }

    pub(super) async fn apply(&mut self, transaction: &Transaction) -> Result<u64, StoreError> {
        let Transaction { epoch, expected_serial, entries } = transaction;
        let serial = transaction.serial();
        let sql = "UPDATE meta SET serial = ? WHERE id = 1 AND epoch = ? AND serial = ?";
        let moved = self.run(sqlx::query(sql).bind(signed(serial)?).bind(signed(*epoch)?).bind(signed(*expected_serial)?)).await?;
        if moved != 1 {
            let (serial, found) = read::counters(&mut self.conn, &self.file).await?;
            if found != *epoch {
                return Err(StoreError::Deposed { expected: *epoch, found });
            }
            return Err(StoreError::Conflict { expected: *expected_serial, found: serial });
        }
        self.log(&entries.iter().map(|Entry { log, .. }| log).collect::<Vec<_>>()).await?;
        let mut puts = Vec::new();
        for (write, serial) in fold(entries) {
            match write {
                Write::Put { kind, key, version, body } => puts.push(Version { kind, key, version: *version, serial, body: Some(body) }),
                Write::Delete { kind, key } => {
                    self.run(sqlx::query("DELETE FROM record WHERE kind = ? AND key = ?").bind(kind).bind(key)).await?;
                    self.run(sqlx::query("DELETE FROM ledger WHERE kind = ? AND key = ?").bind(kind).bind(key)).await?;
                }
            }
        }
        self.put(&puts).await?;
        self.account(&puts).await?;
        // Each command's version, also where a later command of the group replaced it.
        let versions = entries.iter().flat_map(|entry| fold(std::slice::from_ref(entry))).map(|(write, serial)| match write {
            Write::Put { kind, key, version, body } => Version { kind, key, version: *version, serial, body: Some(body) },
            Write::Delete { kind, key } => Version { kind, key, version: 0, serial, body: None },
        });
        self.remember(&versions.collect::<Vec<_>>()).await?;
        Ok(serial)
    }

    /// Writes records; a version without a body is none.
    pub(super) async fn put(&mut self, mut puts: &[Version<'_>]) -> Result<(), StoreError> {
        for chunk in CHUNKS {
            if puts.len() < chunk {
                continue;
            }
            let sql = format!(
                "INSERT INTO record (kind, key, version, serial, body) VALUES {} \
                 ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, serial = excluded.serial, body = excluded.body",
                rows("(?, ?, ?, ?, ?)", chunk)
            );
            while let Some((now, rest)) = puts.split_at_checked(chunk) {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for Version { kind, key, version, serial, body } in now {
                    query = query.bind(*kind).bind(*key).bind(*version).bind(signed(*serial)?).bind(body.unwrap_or_default());
                }
                self.run(query).await?;
                puts = rest;
            }
        }
        Ok(())
    }

    /// Writes into the ledger which versions count.
    pub(super) async fn account(&mut self, mut puts: &[Version<'_>]) -> Result<(), StoreError> {
        for chunk in CHUNKS {
            if puts.len() < chunk {
                continue;
            }
            let sql = format!(
                "INSERT INTO ledger (kind, key, serial, sum) VALUES {} \
                 ON CONFLICT (kind, key) DO UPDATE SET serial = excluded.serial, sum = excluded.sum",
                rows("(?, ?, ?, ?)", chunk)
            );
            while let Some((now, rest)) = puts.split_at_checked(chunk) {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for version in now {
                    query = query.bind(version.kind).bind(version.key).bind(signed(version.serial)?).bind(version.sum());
                }
                self.run(query).await?;
                puts = rest;
            }
        }
        Ok(())
    }

    /// Writes versions into the history.
    pub(super) async fn remember(&mut self, mut versions: &[Version<'_>]) -> Result<(), StoreError> {
        for chunk in CHUNKS {
            if versions.len() < chunk {
                continue;
            }
            let sql = format!(
                "INSERT INTO history (kind, key, serial, version, sum, body) VALUES {} \
                 ON CONFLICT (kind, key, serial) DO UPDATE SET version = excluded.version, sum = excluded.sum, body = excluded.body",
                rows("(?, ?, ?, ?, ?, ?)", chunk)
            );
            while let Some((now, rest)) = versions.split_at_checked(chunk) {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for version in now {
                    let Version { kind, key, version: format, serial, body } = *version;
                    query = query.bind(kind).bind(key).bind(signed(serial)?).bind(format).bind(version.sum()).bind(body);
                }
                self.run(query).await?;
                versions = rest;
            }
        }
        Ok(())
    }

    /// Begins the ledger and the history with the records of a database that is older than they are.
    pub(super) async fn begin_ledger(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.account_for(records).await?;
        self.run(sqlx::query("UPDATE meta SET ledger = 1 WHERE id = 1")).await.map(|_| ())
    }

    /// Writes records, as they are, into the ledger and the history.
    pub(super) async fn account_for(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut versions: Vec<Version<'_>> = records.iter().map(Version::of).collect();
        // The history is in the order of its serials.
        versions.sort_by_key(|version| version.serial);
        self.account(&versions).await?;
        self.remember(&versions).await
    }

    pub(super) async fn log(&mut self, mut entries: &[&LogEntry]) -> Result<(), StoreError> {
        for chunk in CHUNKS {
            if entries.len() < chunk {
                continue;
            }
            let sql = format!(
                "INSERT INTO log (serial, time_ms, actor, origin, command, changes, decision) VALUES {}",
                rows("(?, ?, ?, ?, ?, ?, ?)", chunk)
            );
            while let Some((now, rest)) = entries.split_at_checked(chunk) {
                let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
                for LogEntry { serial, time_ms, actor, origin, command, changes, decision } in now {
                    query = query.bind(signed(*serial)?).bind(*time_ms).bind(actor).bind(origin).bind(command).bind(changes);
                    query = query.bind((decision != NO_DECISION).then_some(decision));
                }
                self.run(query).await?;
                entries = rest;
            }
        }
        Ok(())
    }

    pub(super) async fn take_epoch(&mut self, expected: u64) -> Result<u64, StoreError> {
        let next = expected.checked_add(1).ok_or_else(|| StoreError::invalid("there is no epoch after this one"))?;
        let sql = "UPDATE meta SET epoch = ? WHERE id = 1 AND epoch = ?";
        if self.run(sqlx::query(sql).bind(signed(next)?).bind(signed(expected)?)).await? == 1 {
            return Ok(next);
        }
        let (_, found) = read::counters(&mut self.conn, &self.file).await?;
        Err(StoreError::Deposed { expected, found })
    }

    pub(super) async fn found(&mut self, cluster: &Cluster) -> Result<Cluster, StoreError> {
        let text = serde_json::to_string(cluster).map_err(|cause| StoreError::Document { cause: Cause::Json(cause) })?;
        self.run(sqlx::query("UPDATE meta SET cluster = ? WHERE id = 1 AND cluster IS NULL").bind(text)).await?;
        let row = sqlx::query("SELECT cluster FROM meta WHERE id = 1").fetch_one(&mut self.conn).await.map_err(self.failed())?;
        let text: String = row.try_get(0).map_err(self.failed())?;
        serde_json::from_str(&text).map_err(|cause| StoreError::Corrupt { file: self.file.clone(), cause: Cause::Json(cause) })
    }

    /// Removes one batch of the oldest entries.
    pub(super) async fn trim_log(&mut self, before_ms: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM log WHERE serial IN (SELECT serial FROM log WHERE serial < \
                   coalesce((SELECT serial FROM log WHERE time_ms >= ? ORDER BY serial LIMIT 1), 9223372036854775807) ORDER BY serial LIMIT ?)";
        self.run(sqlx::query(sql).bind(before_ms).bind(TRIM)).await
    }

    /// Removes what one batch of versions replaced before the log begins; `after` is the number of the last version that was looked at.
    /// Answers the same for the next batch, or `None` when there is none.
    ///
    /// What a version replaced is older than the log as soon as the version itself is. The version stays, as long as there is a record:
    /// it is the record's copy, and what the log's changes build on.
    pub(super) async fn trim_history(&mut self, after: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT coalesce((SELECT min(serial) FROM log), 9223372036854775807)";
        let begins: i64 = self.number(sqlx::query(sql)).await?;
        let sql = "SELECT coalesce(max(id), 0) FROM (SELECT id FROM history WHERE id > ? ORDER BY id LIMIT ?)";
        let last: i64 = self.number(sqlx::query(sql).bind(after).bind(TRIM)).await?;
        let sql = "SELECT count(*) FROM history WHERE id > ? AND id <= ? AND serial < ?";
        if self.number(sqlx::query(sql).bind(after).bind(last).bind(begins)).await? == 0 {
            return Ok(None);
        }
        let sql = "DELETE FROM history WHERE id IN (SELECT old.id FROM history AS new JOIN history AS old \
                   ON old.kind = new.kind AND old.key = new.key AND old.serial < new.serial WHERE new.id > ? AND new.id <= ? AND new.serial < ?)";
        self.run(sqlx::query(sql).bind(after).bind(last).bind(begins)).await?;
        let sql = "DELETE FROM history WHERE id > ? AND id <= ? AND serial < ? AND body IS NULL";
        self.run(sqlx::query(sql).bind(after).bind(last).bind(begins)).await?;
        Ok(Some(last))
    }

    async fn number(&mut self, query: Query<'_>) -> Result<i64, StoreError> {
        let row = query.fetch_one(&mut self.conn).await.map_err(self.failed())?;
        row.try_get(0).map_err(self.failed())
    }

    pub(super) async fn quarantine(&mut self, kind: &str, key: &str, why: &str, now_ms: i64) -> Result<(), StoreError> {
        check_names(kind, key)?;
        let sql = "INSERT INTO quarantine (kind, key, version, serial, body, why, since_ms) \
                   SELECT kind, key, version, serial, body, ?, ? FROM record WHERE kind = ? AND key = ? ON CONFLICT DO NOTHING";
        let moved = self.run(sqlx::query(sql).bind(why).bind(now_ms).bind(kind).bind(key)).await?;
        if moved == 1 {
            self.run(sqlx::query("DELETE FROM record WHERE kind = ? AND key = ?").bind(kind).bind(key)).await?;
            return Ok(());
        }
        let there = sqlx::query("SELECT 1 FROM quarantine WHERE kind = ? AND key = ?").bind(kind).bind(key);
        match there.fetch_optional(&mut self.conn).await.map_err(self.failed())? {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound { place: "record", kind: kind.into(), key: key.into() }),
        }
    }

    /// Moves the row `id` of the record table into quarantine as `lost` describes it: for rows without a usable name.
    pub(super) async fn quarantine_row(&mut self, id: i64, lost: &Quarantined, now_ms: i64) -> Result<(), StoreError> {
        self.shut_away(&Quarantined { since_ms: now_ms, ..lost.clone() }).await?;
        self.run(sqlx::query("DELETE FROM record WHERE id = ?").bind(id)).await.map(|_| ())
    }

    pub(super) async fn shut_away(&mut self, lost: &Quarantined) -> Result<(), StoreError> {
        let Quarantined { kind, key, version, serial, why, since_ms, body } = lost;
        let sql = "INSERT INTO quarantine (kind, key, version, serial, why, since_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(kind).bind(key).bind(*version).bind(signed(*serial)?).bind(why).bind(*since_ms);
        self.run(query.bind(body.as_slice())).await.map(|_| ())
    }

    pub(super) async fn release(&mut self, kind: &str, key: &str) -> Result<Record, StoreError> {
        let sql = "SELECT version, serial, CAST(body AS BLOB) FROM quarantine WHERE kind = ? AND key = ?";
        let row = sqlx::query(sql).bind(kind).bind(key).fetch_optional(&mut self.conn).await.map_err(self.failed())?;
        let row = row.ok_or_else(|| StoreError::NotFound { place: "quarantined record", kind: kind.into(), key: key.into() })?;
        let (version, serial): (u32, i64) = (row.try_get(0).map_err(self.failed())?, row.try_get(1).map_err(self.failed())?);
        let body = String::from_utf8(row.try_get(2).map_err(self.failed())?)
            .map_err(|_| StoreError::invalid(format!("the body of {kind} {key} is not text")))?;
        check_json(&format!("the body of {kind} {key}"), &body)?;
        let serial = serial.unsigned_abs();
        let put = [Version { kind, key, version, serial, body: Some(&body) }];
        self.put(&put).await?;
        self.account(&put).await?;
        self.run(sqlx::query("DELETE FROM quarantine WHERE kind = ? AND key = ?").bind(kind).bind(key)).await?;
        Ok(Record { kind: kind.into(), key: key.into(), version, serial, body })
    }

    pub(super) async fn restore(&mut self, state: &Loaded, log: &[LogEntry]) -> Result<(), StoreError> {
        let sql = "UPDATE meta SET serial = ?, epoch = ?, cluster = ? WHERE id = 1 AND serial = 0 AND epoch = 0 AND cluster IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM record) AND NOT EXISTS (SELECT 1 FROM quarantine)";
        let cluster = state.cluster.as_ref().map(serde_json::to_string).transpose();
        let cluster = cluster.map_err(|cause| StoreError::Document { cause: Cause::Json(cause) })?;
        if self.run(sqlx::query(sql).bind(signed(state.serial)?).bind(signed(state.epoch)?).bind(cluster)).await? != 1 {
            return Err(StoreError::invalid("a state can only be restored into an empty database"));
        }
        self.put(&state.records.iter().map(Version::of).collect::<Vec<_>>()).await?;
        self.begin_ledger(&state.records).await?;
        for lost in &state.quarantined {
            self.shut_away(lost).await?;
        }
        self.log(&log.iter().collect::<Vec<_>>()).await
    }
}

/// One version of a record, as it is written.
#[derive(Clone, Copy)]
pub(super) struct Version<'a> {
    pub kind: &'a str,
    pub key: &'a str,
    pub version: u32,
    pub serial: u64,
    /// `None`: deleted.
    pub body: Option<&'a str>,
}

impl<'a> Version<'a> {
    pub(super) fn of(record: &'a Record) -> Self {
        let Record { kind, key, version, serial, body } = record;
        Version { kind, key, version: *version, serial: *serial, body: Some(body) }
    }

    fn sum(&self) -> i64 {
        check_value(self.kind, self.key, self.version, self.serial, self.body)
    }
}

/// `row` written `count` times, with commas.
fn rows(row: &str, count: usize) -> String {
    vec![row; count].join(", ")
}

/// The database counts in signed 64 bits.
pub(super) fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::invalid(format!("{count} is too large")))
}
