//! Reads what happened: the log from a serial on, the log by who did what to what, and the versions of a record.

use super::ends::Ends;
use super::read::bytes;
use crate::error::StoreError;
use crate::types::{LogEntry, LogFilter, MAX_COUNT, NO_DECISION, Past, check_value};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Row};
use std::path::Path;

/// The schema version from which on there is a log.
pub(crate) const WITH_LOG: i64 = 2;
/// The schema version from which on the log has decisions, and there is a history.
pub(crate) const WITH_HISTORY: i64 = 4;

/// So many damaged rows are named one by one.
const NAMED: usize = 5;

/// All log entries that can be read, oldest first, and what the engine said where it met damage.
pub(crate) async fn whole_log(conn: &mut SqliteConnection, schema: i64) -> (Vec<LogEntry>, Option<sqlx::Error>) {
    let columns = if schema < WITH_HISTORY {
        "serial, time_ms, actor, origin, command, changes, NULL"
    } else {
        "serial, time_ms, actor, origin, command, changes, decision"
    };
    let (mut ends, mut log) = (Ends::new(columns, "log", "serial"), Vec::new());
    loop {
        let rows = ends.next(conn).await;
        if rows.is_empty() {
            return (log, ends.damage);
        }
        log.extend(rows.iter().map(entry));
    }
}

/// Log entries after a serial. An entry that cannot be read is shown as such: the serials must stay without a gap.
pub(crate) async fn log(
    conn: &mut SqliteConnection,
    file: &Path,
    schema: i64,
    after: u64,
    limit: usize,
) -> Result<Vec<LogEntry>, StoreError> {
    let (Ok(after), limit) = (i64::try_from(after), i64::try_from(limit).unwrap_or(i64::MAX)) else {
        return Ok(Vec::new());
    };
    let sql = if schema < WITH_HISTORY {
        "SELECT serial, time_ms, actor, origin, command, changes, NULL FROM log WHERE serial > ? ORDER BY serial LIMIT ?"
    } else {
        "SELECT serial, time_ms, actor, origin, command, changes, decision FROM log WHERE serial > ? ORDER BY serial LIMIT ?"
    };
    let rows = sqlx::query(sql).bind(after).bind(limit).fetch_all(conn).await.map_err(|error| StoreError::sqlite(file, error))?;
    Ok(rows.iter().map(entry).collect())
}

fn entry(row: &SqliteRow) -> LogEntry {
    let text = |at: usize| String::from_utf8_lossy(&bytes(row, at)).into_owned();
    let json = |at: usize, none: &str| {
        let text = text(at);
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() { text } else { none.into() }
    };
    let count = |at: usize| row.try_get::<i64, _>(at).unwrap_or(0);
    LogEntry {
        serial: count(0).unsigned_abs(),
        time_ms: count(1),
        actor: text(2),
        origin: text(3),
        command: json(4, "null"),
        changes: json(5, "null"),
        decision: json(6, NO_DECISION),
    }
}

/// A query and its arguments, put together piece by piece.
#[derive(Default)]
struct Query {
    sql: String,
    arguments: SqliteArguments,
}

impl Query {
    fn add<'q, T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + 'q>(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Result<(), sqlx::Error> {
        self.sql.push_str(sql);
        values.into_iter().try_for_each(|value| self.arguments.add(value)).map_err(sqlx::Error::Encode)
    }
}

/// Log entries that fit, newest first.
pub(crate) async fn audit(conn: &mut SqliteConnection, file: &Path, filter: &LogFilter, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
    let failed = |error| StoreError::sqlite(file, error);
    let Some(query) = audit_query(filter, limit).map_err(failed)? else { return Ok(Vec::new()) };
    let rows = sqlx::query_with(AssertSqlSafe(query.sql), query.arguments).fetch_all(conn).await.map_err(failed)?;
    Ok(rows.iter().map(entry).collect())
}

/// `None`: nothing can fit.
///
/// The narrowest field leads by its index, in this order: objects, command, actor, origin. The others only sift (`+` keeps the engine from
/// their indices). A time bounds the serials first: the clock may have been set back, so the serials between are sifted by the time once more.
fn audit_query(filter: &LogFilter, limit: usize) -> Result<Option<Query>, sqlx::Error> {
    let LogFilter { before, after, from_ms, to_ms, actor, origin, command, objects } = filter;
    // Serials are below 2^63, so what is above excludes none or all.
    let Ok(after) = i64::try_from(after.unwrap_or(0)) else { return Ok(None) };
    let before = i64::try_from(before.unwrap_or(u64::MAX)).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut query = Query::default();
    let mut leads = true;
    query.add("SELECT serial, time_ms, actor, origin, command, changes, decision FROM log WHERE ", [0; 0])?;
    if !objects.is_empty() {
        leads = false;
        query.add("serial IN (", [0; 0])?;
        for (at, (kind, key)) in objects.iter().enumerate() {
            let or = if at == 0 { "" } else { " UNION " };
            if let Some(stem) = key.strip_suffix('/') {
                // '0' is the character after '/'.
                let sql = format!("{or}SELECT serial FROM history WHERE kind = ? AND key >= ? AND key < ?");
                query.add(&sql, [kind.clone(), key.clone(), format!("{stem}0")])?;
            } else {
                query.add(&format!("{or}SELECT serial FROM history WHERE kind = ? AND key = ?"), [kind.clone(), key.clone()])?;
            }
            query.add(" AND serial > ? AND serial < ?", [after, before])?;
        }
        query.add(") AND ", [0; 0])?;
    }
    for (column, value) in [("verb", command), ("actor", actor)] {
        if let Some(value) = value {
            query.add(&format!("{}{column} = ? AND ", if leads { "" } else { "+" }), [value.clone()])?;
            leads = false;
        }
    }
    if let Some(origin) = origin {
        // ';' is the character after ':'.
        let values = [origin.clone(), format!("{origin}:"), format!("{origin};")];
        if leads {
            let from = "SELECT serial FROM log INDEXED BY log_origin WHERE origin";
            query.add(&format!("serial IN ({from} = ? UNION ALL {from} >= ? AND origin < ?) AND "), values)?;
        } else {
            query.add("(+origin = ? OR (+origin >= ? AND +origin < ?)) AND ", values)?;
        }
    }
    if from_ms.is_some() || to_ms.is_some() {
        let (from, to) = (from_ms.unwrap_or(i64::MIN), to_ms.unwrap_or(i64::MAX));
        let within = "FROM log INDEXED BY log_time WHERE time_ms >= ? AND time_ms <= ?";
        query.add(&format!("serial >= (SELECT min(serial) {within}) AND "), [from, to])?;
        query.add(&format!("serial <= (SELECT max(serial) {within}) AND "), [from, to])?;
        query.add("+time_ms >= ? AND +time_ms <= ? AND ", [from, to])?;
    }
    query.add("serial > ? AND serial < ? ORDER BY serial DESC LIMIT ?", [after, before, limit])?;
    Ok(Some(query))
}

/// Versions of a record below a serial, newest first.
pub(crate) async fn history(
    conn: &mut SqliteConnection,
    file: &Path,
    kind: &str,
    key: &str,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Past>, StoreError> {
    let failed = |error| StoreError::sqlite(file, error);
    let before = before.and_then(|before| i64::try_from(before).ok());
    let sql = "SELECT serial, version, body FROM history WHERE kind = ? AND key = ? AND serial < coalesce(?, 9223372036854775807) \
               ORDER BY serial DESC LIMIT ?";
    let query = sqlx::query(sql).bind(kind).bind(key).bind(before).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = query.fetch_all(conn).await.map_err(failed)?;
    rows.iter().map(past).collect::<Result<_, _>>().map_err(failed)
}

/// Walks through the versions of all records, in the order in which they were written; for [`version`].
pub(super) fn versions() -> Ends {
    Ends::new("id, kind, key, serial, version, sum, body", "history", "id")
}

/// A version of a record that is as it was written.
pub(super) struct Whole {
    pub kind: String,
    pub key: String,
    pub past: Past,
}

/// A row of [`versions`], or what is wrong with it.
pub(super) fn version(row: &SqliteRow) -> Result<Whole, String> {
    let read = || -> Result<(Whole, i64), sqlx::Error> {
        let serial: i64 = row.try_get(3)?;
        let past = Past { serial: serial.unsigned_abs(), version: row.try_get(4)?, body: row.try_get(6)? };
        Ok((Whole { kind: row.try_get(1)?, key: row.try_get(2)?, past }, row.try_get(5)?))
    };
    let why = match read() {
        Ok((Whole { kind, key, past }, sum)) => {
            if past.serial < MAX_COUNT && check_value(&kind, &key, past.version, past.serial, past.body.as_deref()) == sum {
                return Ok(Whole { kind, key, past });
            }
            "it does not fit its check value".to_string()
        }
        Err(error) => error.to_string(),
    };
    let text = |at: usize| String::from_utf8_lossy(&bytes(row, at)).into_owned();
    let number = |at: usize| row.try_get::<i64, _>(at).unwrap_or(0);
    Err(format!("row {} of the history, {} '{}' of serial {}, is damaged: {why}", number(0), text(1), text(2), number(3)))
}

/// What is wrong with the history, one sentence each.
pub(crate) async fn check(conn: &mut SqliteConnection, schema: i64) -> Vec<String> {
    let mut wrong = Wrong::default();
    if schema < WITH_HISTORY {
        return wrong.words(None);
    }
    let mut ends = versions();
    loop {
        let rows = ends.next(conn).await;
        if rows.is_empty() {
            return wrong.words(ends.damage);
        }
        rows.iter().filter_map(|row| version(row).err()).for_each(|why| wrong.add(why));
    }
}

/// Rows that cannot be used, the first few in words.
#[derive(Default)]
pub(super) struct Wrong {
    named: Vec<String>,
    more: u64,
}

impl Wrong {
    pub(super) fn add(&mut self, why: String) {
        if self.named.len() < NAMED { self.named.push(why) } else { self.more = self.more.saturating_add(1) }
    }

    /// All of it; `damage` is what the engine said of the table.
    pub(super) fn words(self, damage: Option<sqlx::Error>) -> Vec<String> {
        let Wrong { mut named, more } = self;
        if more > 0 {
            named.push(format!("{more} more rows of the history are damaged"));
        }
        named.extend(damage.map(|error| format!("the history of records can be read in part only: {error}")));
        named
    }
}

fn past(row: &SqliteRow) -> Result<Past, sqlx::Error> {
    let serial: i64 = row.try_get(0)?;
    Ok(Past { serial: serial.unsigned_abs(), version: row.try_get(1)?, body: row.try_get(2)? })
}

/// How the engine would find what an audit asks for, for tests.
#[cfg(test)]
pub(super) async fn explain(conn: &mut SqliteConnection, filter: &LogFilter) -> String {
    let query = audit_query(filter, 10).unwrap().unwrap();
    let rows = sqlx::query_with(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql)), query.arguments).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("; ")
}
