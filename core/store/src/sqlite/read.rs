//! Reads a database, also one that is damaged: every row that can be had, and the names of those that cannot.

use super::ledger;
use super::schema::number;
use crate::error::{Cause, StoreError, is_corruption};
use crate::types::{Cluster, Loaded, MAX_COUNT, Quarantined, Record};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, ValueRef};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// Rows fetched at once: enough to be fast, few enough to stay small beside the state itself.
const BATCH: i64 = 2000;
/// Largest gap of row numbers that is searched one by one where the index of names is damaged too.
const GAP: i64 = 100_000;
/// Kind given to a row whose own cannot be read.
const UNKNOWN: &str = "?";

/// What a file holds. `broken` are rows of the record table, by row number; they are also in `loaded.quarantined`.
pub(crate) struct Scan {
    pub loaded: Loaded,
    pub broken: Vec<(i64, Quarantined)>,
    /// Records that are served although the ledger has them otherwise or not at all.
    pub unaccounted: Vec<Record>,
    /// The counters are older than the log: the serial is the log's, the epoch may have been taken again since.
    pub behind: bool,
}

/// Reads all of the state in one read transaction.
pub(crate) async fn scan(conn: &mut SqliteConnection, file: &Path) -> Result<Scan, StoreError> {
    // A reader that was dropped half-way leaves its transaction open; ending none is an error without meaning.
    let _ = sqlx::query("ROLLBACK").execute(&mut *conn).await;
    sqlx::query("BEGIN").execute(&mut *conn).await.map_err(|error| StoreError::sqlite(file, error))?;
    let result = scan_inside(conn, file).await;
    let _ = sqlx::query("ROLLBACK").execute(&mut *conn).await;
    result
}

/// The state of a file whose counters cannot be read, and a sentence on what stands in for them.
///
/// The serial is the highest one seen; the epoch is 0, and the caller must choose one that exceeds any that was taken.
pub(crate) async fn scan_without_counters(conn: &mut SqliteConnection, file: &Path) -> Result<(Scan, String), StoreError> {
    let mut scan = records(conn, file, (0, 0, None), Vec::new()).await?;
    let newest = sqlx::query("SELECT max(serial) FROM log WHERE serial < 9223372036854775807")
        .fetch_one(conn)
        .await
        .and_then(|row| row.try_get::<i64, _>(0))
        .unwrap_or(0);
    let newest = scan.loaded.records.iter().map(|record| record.serial).max().unwrap_or(0).max(newest.unsigned_abs());
    scan.loaded.serial = newest;
    Ok((scan, format!("the counters cannot be read: the serial is {newest}, the newest one seen")))
}

async fn scan_inside(conn: &mut SqliteConnection, file: &Path) -> Result<Scan, StoreError> {
    let mut damage = Vec::new();
    let (mut serial, epoch, cluster) = meta(conn, file, &mut damage).await?;
    let ahead = log_ahead(conn, serial).await;
    if let Some(newest) = ahead {
        damage.push(behind(serial, newest));
        serial = newest;
    }
    let mut scan = records(conn, file, (serial, epoch, cluster), damage).await?;
    scan.behind = ahead.is_some();
    Ok(scan)
}

/// The newest serial of the log where it goes on behind the counters: then these are older than the rest, as after a lost write of
/// their page, and every commit would meet an entry that is there already.
pub(crate) async fn log_ahead(conn: &mut SqliteConnection, serial: u64) -> Option<u64> {
    let next = i64::try_from(serial).ok()?.checked_add(1)?;
    let sql = "SELECT max(serial) FROM log WHERE EXISTS (SELECT 1 FROM log WHERE serial = ?)";
    // A log that cannot be read says nothing about the counters.
    let newest = sqlx::query(sql).bind(next).fetch_one(conn).await.ok()?.try_get::<Option<i64>, _>(0).ok()??;
    u64::try_from(newest).ok()
}

/// What is wrong with such counters.
pub(crate) fn behind(serial: u64, newest: u64) -> String {
    format!("the counters are older than the rest: they are at serial {serial}, the log goes on to serial {newest}")
}

async fn records(
    conn: &mut SqliteConnection,
    file: &Path,
    (serial, epoch, cluster): (u64, u64, Option<Cluster>),
    mut damage: Vec<String>,
) -> Result<Scan, StoreError> {
    let has_ledger = ledger::is_begun(conn).await;
    let mut rows = Rows::default();
    let mut walked = walk(conn, &mut rows, has_ledger).await;
    if has_ledger && walked.as_ref().is_err_and(is_corruption) {
        // Whether that was a page of the ledger shows when it is left out.
        rows = Rows::default();
        walked = walk(conn, &mut rows, false).await;
    }
    if let Err(error) = walked {
        if !is_corruption(&error) {
            return Err(StoreError::sqlite(file, error));
        }
        damage.push(format!("the table of records is damaged: {error}"));
        rows = salvage(conn, file, &mut damage).await?;
    }
    // Almost always every record fits the ledger, and there are as many as it says; a closer look is taken only where that is not so.
    let accounted =
        !has_ledger || ledger::count(conn).await.is_ok_and(|count| count == rows.fitting && rows.fitting == rows.found.len() as i64);
    let mut found = Vec::new();
    let mut broken = Vec::new();
    for (id, row) in rows.found {
        match row {
            Ok(record) => found.push((record, id)),
            Err(lost) => broken.push((id, lost)),
        }
    }
    // Of two records with one name, which only a damaged index allows, the newer is served.
    found.sort_unstable_by(|(a, _), (b, _)| (&a.kind, &a.key, b.serial).cmp(&(&b.kind, &b.key, a.serial)));
    let mut records: Vec<Record> = Vec::with_capacity(found.len());
    let mut ids = HashMap::new();
    if !accounted {
        ids.extend(found.iter().rev().map(|(record, id)| ((record.kind.clone(), record.key.clone()), *id)));
    }
    for (record, id) in found {
        if records.last().is_some_and(|last| last.kind == record.kind && last.key == record.key) {
            let Record { kind, key, version, serial, body } = record;
            let why = "a second record has this name".to_string();
            broken.push((id, Quarantined { kind, key, version, serial, why, since_ms: 0, body: body.into_bytes() }));
        } else {
            records.push(record);
        }
    }
    let quarantined = quarantined(conn, file, &mut damage).await?;
    let loaded = Loaded { serial, epoch, cluster, records, quarantined, damage, healed: Vec::new() };
    let mut scan = Scan { loaded, broken, unaccounted: Vec::new(), behind: false };
    if !accounted {
        ledger::judge(conn, file, &mut scan, &ids).await?;
    }
    scan.name_apart();
    Ok(scan)
}

impl Scan {
    /// Names in quarantine stay apart from each other and from those that are served, so that each can be listed, exported and released.
    fn name_apart(&mut self) {
        let Scan { loaded: Loaded { records, quarantined, .. }, broken, .. } = self;
        let mut names = HashSet::new();
        for (id, lost) in broken.iter_mut().map(|(id, lost)| (*id, lost)).chain(quarantined.iter_mut().map(|lost| (0, lost))) {
            let served =
                |lost: &Quarantined| records.binary_search_by(|record| (&record.kind, &record.key).cmp(&(&lost.kind, &lost.key))).is_ok();
            while served(lost) || !names.insert((lost.kind.clone(), lost.key.clone())) {
                lost.key = format!("{} (row {id})", lost.key);
            }
        }
        quarantined.extend(broken.iter().map(|(_, lost)| lost.clone()));
        quarantined.sort_unstable();
    }
}

async fn meta(conn: &mut SqliteConnection, file: &Path, damage: &mut Vec<String>) -> Result<(u64, u64, Option<Cluster>), StoreError> {
    let (serial, epoch) = counters(conn, file).await?;
    let row =
        sqlx::query("SELECT cluster FROM meta WHERE id = 1").fetch_one(conn).await.map_err(|error| StoreError::sqlite(file, error))?;
    let cluster = match row.try_get::<Option<String>, _>(0) {
        Ok(None) => None,
        Ok(Some(text)) => match serde_json::from_str(&text) {
            Ok(cluster) => Some(cluster),
            Err(error) => {
                damage.push(format!("the cluster's identity cannot be read: {error}"));
                None
            }
        },
        Err(error) => {
            damage.push(format!("the cluster's identity cannot be read: {error}"));
            None
        }
    };
    Ok((serial, epoch, cluster))
}

/// Serial and epoch.
pub(crate) async fn counters(conn: &mut SqliteConnection, file: &Path) -> Result<(u64, u64), StoreError> {
    let failed = |error| StoreError::sqlite(file, error);
    let row = sqlx::query("SELECT serial, epoch FROM meta WHERE id = 1").fetch_one(conn).await.map_err(failed)?;
    let (serial, epoch): (i64, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    for (name, count) in [("serial", serial), ("epoch", epoch)] {
        if !(0..i64::MAX).contains(&count) {
            let why = format!("the {name} is {count}, and no next one can be counted");
            return Err(StoreError::Corrupt { file: file.into(), cause: Cause::Seen(why) });
        }
    }
    Ok((serial.unsigned_abs(), epoch.unsigned_abs()))
}

/// Rows of the record table by row number.
#[derive(Default)]
struct Rows {
    found: BTreeMap<i64, Result<Record, Quarantined>>,
    /// How many of them are what the ledger says; counted by [`walk`] alone.
    fitting: i64,
}

impl Rows {
    fn take(&mut self, row: &SqliteRow) -> Result<i64, sqlx::Error> {
        let id: i64 = row.try_get(0)?;
        self.found.insert(id, decode(row, id));
        Ok(id)
    }

    fn take_accounted(&mut self, row: &SqliteRow) -> Result<i64, sqlx::Error> {
        let id: i64 = row.try_get(0)?;
        let record = decode(row, id);
        if let (Ok(record), Some(sum)) = (&record, row.try_get::<Option<i64>, _>(6)?) {
            self.fitting += i64::from(ledger::fits(record, sum));
        }
        self.found.insert(id, record);
        Ok(id)
    }
}

/// The healthy case: all rows in order.
async fn walk(conn: &mut SqliteConnection, rows: &mut Rows, with_ledger: bool) -> Result<(), sqlx::Error> {
    let sql = if with_ledger {
        "SELECT id, kind, key, version, serial, body, (SELECT sum FROM ledger WHERE ledger.kind = record.kind AND ledger.key = record.key) \
         FROM record WHERE id > ? ORDER BY id LIMIT ?"
    } else {
        "SELECT id, kind, key, version, serial, body FROM record WHERE id > ? ORDER BY id LIMIT ?"
    };
    let mut last = i64::MIN;
    loop {
        let batch = sqlx::query(sql).bind(last).bind(BATCH).fetch_all(&mut *conn).await?;
        for row in &batch {
            last = if with_ledger { rows.take_accounted(row)? } else { rows.take(row)? };
        }
        if (batch.len() as i64) < BATCH {
            return Ok(());
        }
    }
}

/// From both ends up to the damage, then row by row between.
async fn salvage(conn: &mut SqliteConnection, file: &Path, damage: &mut Vec<String>) -> Result<Rows, StoreError> {
    let mut rows = Rows::default();
    let up = "SELECT id, kind, key, version, serial, body FROM record WHERE id > ? ORDER BY id LIMIT ?";
    let down = "SELECT id, kind, key, version, serial, body FROM record WHERE id < ? ORDER BY id DESC LIMIT ?";
    let mut edges = [(up, i64::MIN), (down, i64::MAX)];
    for (sql, edge) in &mut edges {
        let mut step = BATCH;
        loop {
            match sqlx::query(*sql).bind(*edge).bind(step).fetch_all(&mut *conn).await {
                Ok(batch) => {
                    for row in &batch {
                        *edge = rows.take(row).map_err(|error| StoreError::sqlite(file, error))?;
                    }
                    if (batch.len() as i64) < step {
                        break;
                    }
                }
                Err(error) if !is_corruption(&error) => return Err(StoreError::sqlite(file, error)),
                Err(_) if step > 1 => step = 1,
                Err(_) => break,
            }
        }
    }
    let [(_, low), (_, high)] = edges;
    let names = names(conn, file, damage).await?;
    let mut wanted: Vec<i64> = names.keys().copied().filter(|id| !rows.found.contains_key(id)).collect();
    match high.checked_sub(low) {
        Some(gap) if (1..=GAP).contains(&gap) => {
            wanted.extend((low..high).filter(|id| !rows.found.contains_key(id) && !names.contains_key(id)))
        }
        // The ends are too far apart to try each number: those named by the index are all that can be looked for.
        Some(_) | None => damage.push("not every row number could be tried".into()),
    }
    for id in wanted {
        let row =
            sqlx::query("SELECT id, kind, key, version, serial, body FROM record WHERE id = ?").bind(id).fetch_optional(&mut *conn).await;
        let why = match row {
            Ok(Some(row)) => {
                rows.take(&row).map_err(|error| StoreError::sqlite(file, error))?;
                continue;
            }
            Ok(None) => "the index names it, the table does not have it".to_string(),
            Err(error) if is_corruption(&error) => format!("its page is damaged: {error}"),
            Err(error) => return Err(StoreError::sqlite(file, error)),
        };
        if let Some((kind, key)) = names.get(&id).cloned() {
            rows.found.insert(id, Err(Quarantined { kind, key, version: 0, serial: 0, why, since_ms: 0, body: Vec::new() }));
        }
    }
    Ok(rows)
}

/// Row number to name, from the index alone, as much of it as can be read.
async fn names(conn: &mut SqliteConnection, file: &Path, damage: &mut Vec<String>) -> Result<BTreeMap<i64, (String, String)>, StoreError> {
    let mut found = BTreeMap::new();
    let up = "SELECT id, kind, key FROM record INDEXED BY record_name WHERE (kind, key) > (?, ?) ORDER BY kind, key LIMIT ?";
    let down = "SELECT id, kind, key FROM record INDEXED BY record_name WHERE (kind, key) < (?, ?) ORDER BY kind DESC, key DESC LIMIT ?";
    // No text sorts before the empty one, none that a name may hold after U+10FFFF.
    for (sql, edge) in [(up, ""), (down, "\u{10FFFF}")] {
        let (mut kind, mut key, mut step) = (edge.to_string(), edge.to_string(), BATCH);
        loop {
            match sqlx::query(sql).bind(&kind).bind(&key).bind(step).fetch_all(&mut *conn).await {
                Ok(batch) => {
                    for row in &batch {
                        if let (Ok(id), Ok(a), Ok(b)) = (row.try_get::<i64, _>(0), row.try_get::<String, _>(1), row.try_get::<String, _>(2))
                        {
                            found.insert(id, (a.clone(), b.clone()));
                            (kind, key) = (a, b);
                        }
                    }
                    if (batch.len() as i64) < step {
                        return Ok(found);
                    }
                }
                Err(error) if !is_corruption(&error) => return Err(StoreError::sqlite(file, error)),
                Err(_) if step > 1 => step = 1,
                Err(error) => {
                    damage.push(format!("the index of names is damaged: {error}"));
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// A row as a record, or what is wrong with it.
fn decode(row: &SqliteRow, id: i64) -> Result<Record, Quarantined> {
    let read = || -> Result<Record, String> {
        let text = |at: usize| row.try_get::<String, _>(at).map_err(|error| error.to_string());
        let count = |at: usize| row.try_get::<i64, _>(at).map_err(|error| error.to_string());
        let version = u32::try_from(count(3)?).map_err(|_| "its version is out of range".to_string())?;
        // The last number that the database can count is nobody's: there would be none after it.
        let serial = u64::try_from(count(4)?).ok().filter(|serial| *serial < MAX_COUNT).ok_or("its serial is out of range")?;
        let record = Record { kind: text(1)?, key: text(2)?, version, serial, body: text(5)? };
        if record.kind.is_empty() || record.key.is_empty() {
            return Err("its name is empty".into());
        }
        serde_json::from_str::<serde::de::IgnoredAny>(&record.body).map_err(|error| format!("its body is not JSON: {error}"))?;
        Ok(record)
    };
    read().map_err(|why| {
        let name = |at: usize| String::from_utf8_lossy(&bytes(row, at)).into_owned();
        let count = |at: usize| row.try_get::<i64, _>(at).unwrap_or(0);
        let or = |text: String, other: String| if text.is_empty() { other } else { text };
        Quarantined {
            kind: or(name(1), UNKNOWN.into()),
            key: or(name(2), format!("row {id}")),
            version: u32::try_from(count(3)).unwrap_or(0),
            serial: u64::try_from(count(4)).unwrap_or(0),
            why,
            since_ms: 0,
            body: bytes(row, 5),
        }
    })
}

/// The bytes of a column of any type; none for NULL.
pub(super) fn bytes(row: &SqliteRow, at: usize) -> Vec<u8> {
    match row.try_get_raw(at) {
        Ok(value) if !value.is_null() => row.try_get_unchecked::<Vec<u8>, _>(at).unwrap_or_default(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The quarantine table; empty in a database that is older than it.
async fn quarantined(conn: &mut SqliteConnection, file: &Path, damage: &mut Vec<String>) -> Result<Vec<Quarantined>, StoreError> {
    if number(conn, file, "SELECT count(*) FROM sqlite_master WHERE name = 'quarantine'").await? == 0 {
        return Ok(Vec::new());
    }
    match sqlx::query("SELECT kind, key, version, serial, why, since_ms, body FROM quarantine").fetch_all(conn).await {
        Ok(rows) => Ok(rows.iter().map(decode_quarantined).collect()),
        Err(error) if is_corruption(&error) => {
            damage.push(format!("the quarantine is damaged: {error}"));
            Ok(Vec::new())
        }
        Err(error) => Err(StoreError::sqlite(file, error)),
    }
}

fn decode_quarantined(row: &SqliteRow) -> Quarantined {
    let name = |at: usize| String::from_utf8_lossy(&bytes(row, at)).into_owned();
    let count = |at: usize| row.try_get::<i64, _>(at).unwrap_or(0);
    Quarantined {
        kind: name(0),
        key: name(1),
        version: u32::try_from(count(2)).unwrap_or(0),
        serial: u64::try_from(count(3)).unwrap_or(0),
        why: name(4),
        since_ms: count(5),
        body: bytes(row, 6),
    }
}

/// What the engine finds wrong with the file's pages and indexes, at most 100 sentences; empty when it is sound.
pub(crate) async fn integrity(conn: &mut SqliteConnection, file: &Path) -> Result<Vec<String>, StoreError> {
    let rows = match sqlx::query("PRAGMA integrity_check(100)").fetch_all(conn).await {
        Ok(rows) => rows,
        Err(error) if is_corruption(&error) => return Ok(vec![error.to_string()]),
        Err(error) => return Err(StoreError::sqlite(file, error)),
    };
    let lines = rows.iter().flat_map(|row| row.try_get::<String, _>(0).unwrap_or_default().lines().map(String::from).collect::<Vec<_>>());
    Ok(lines.filter(|line| line != "ok" && !line.is_empty()).collect())
}
