//! Compares the records with the ledger and the history: which one is missing, cut short, of an older version, or changed by somebody else.
//!
//! Of a record there are three witnesses: the record itself, its row of the ledger (serial and check value), its newest version in the history
//! (with a check value of its own). A record that two of them agree on is served, and the third is written anew; any other is quarantined.

use super::read::Scan;
use crate::error::{StoreError, is_corruption};
use crate::types::{Quarantined, Record, check_value};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::HashMap;
use std::path::Path;

/// Rows fetched at once.
const BATCH: i64 = 2000;
/// Number of a row that is not there.
pub(crate) const NO_ROW: i64 = -1;
/// So many healed rows are named one by one.
const NAMED: usize = 5;

/// Kind and key of a record.
type Name = (String, String);

/// The row of the ledger.
#[derive(Debug, Clone, Copy)]
struct Account {
    serial: u64,
    sum: i64,
}

/// The newest version of a record in the history, if its check value fits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    /// Serial that wrote it.
    pub serial: u64,
    /// Version of the kind's document format.
    pub version: u32,
    /// `None`: deleted.
    pub body: Option<String>,
}

/// Whether a ledger was begun: it then has every record.
pub(super) async fn is_begun(conn: &mut SqliteConnection) -> bool {
    let row = sqlx::query("SELECT ledger FROM meta WHERE id = 1").fetch_one(conn).await;
    row.and_then(|row| row.try_get::<i64, _>(0)).is_ok_and(|begun| begun == 1)
}

/// How many records there must be.
pub(super) async fn count(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT count(*) FROM ledger").fetch_one(conn).await?.try_get(0)
}

/// Whether a record is what its row of the ledger says.
pub(super) fn fits(record: &Record, sum: i64) -> bool {
    let Record { kind, key, version, serial, body } = record;
    check_value(kind, key, *version, *serial, Some(body)) == sum
}

/// Judges every record of a scan, and what the ledger has beside them. A ledger that cannot be read is damage, and judges nobody.
pub(super) async fn judge(conn: &mut SqliteConnection, file: &Path, scan: &mut Scan, ids: &HashMap<Name, i64>) -> Result<(), StoreError> {
    let mut accounts = match accounts(conn).await {
        Ok(accounts) => accounts,
        Err(error) if is_corruption(&error) => {
            scan.loaded.damage.push(format!("the ledger is damaged, records cannot be compared with it: {error}"));
            return Ok(());
        }
        Err(error) => return Err(StoreError::sqlite(file, error)),
    };
    let mut served = Vec::with_capacity(scan.loaded.records.len());
    let mut fresh = Vec::new();
    for record in std::mem::take(&mut scan.loaded.records) {
        let name = (record.kind.clone(), record.key.clone());
        let account = accounts.remove(&name);
        if account.is_some_and(|account| fits(&record, account.sum)) {
            served.push(record);
            continue;
        }
        let newest = newest(conn, file, &record.kind, &record.key).await?;
        match verdict(&record, account, newest.as_ref()) {
            None => {
                scan.unaccounted.push(record.clone());
                served.push(record);
            }
            Some(why) => {
                let Record { kind, key, version, serial, body } = record;
                let id = ids.get(&name).copied().unwrap_or(NO_ROW);
                fresh.push((id, Quarantined { kind, key, version, serial, why, since_ms: 0, body: body.into_bytes() }));
            }
        }
    }
    scan.loaded.records = served;
    // Rows that could not be read: the history knows what they were.
    for (_, lost) in &mut scan.broken {
        if let Some(account) = accounts.remove(&(lost.kind.clone(), lost.key.clone())) {
            let newest = newest(conn, file, &lost.kind, &lost.key).await?;
            let wrote = newest.as_ref().map_or(account.serial, |newest| newest.serial);
            lost.why = match newest.as_ref().and_then(|newest| newest.body.as_deref()).and_then(|whole| cut_short(&lost.body, whole)) {
                Some(cut) => format!("{cut} that serial {wrote} wrote"),
                None => format!("{}; serial {wrote} wrote it last", lost.why),
            };
        }
    }
    for lost in &scan.loaded.quarantined {
        accounts.remove(&(lost.kind.clone(), lost.key.clone()));
    }
    for ((kind, key), Account { serial, .. }) in accounts {
        let why = format!("it is missing; serial {serial} wrote it last");
        fresh.push((NO_ROW, Quarantined { kind, key, version: 0, serial, why, since_ms: 0, body: Vec::new() }));
    }
    scan.loaded.healed = healed(&scan.unaccounted);
    scan.broken.extend(fresh);
    Ok(())
}

async fn accounts(conn: &mut SqliteConnection) -> Result<HashMap<Name, Account>, sqlx::Error> {
    let mut found = HashMap::new();
    let (mut kind, mut key) = (String::new(), String::new());
    loop {
        let sql = "SELECT kind, key, serial, sum FROM ledger WHERE (kind, key) > (?, ?) ORDER BY kind, key LIMIT ?";
        let rows = sqlx::query(sql).bind(&kind).bind(&key).bind(BATCH).fetch_all(&mut *conn).await?;
        for row in &rows {
            let serial: i64 = row.try_get(2)?;
            (kind, key) = (row.try_get(0)?, row.try_get(1)?);
            found.insert((kind.clone(), key.clone()), Account { serial: serial.unsigned_abs(), sum: row.try_get(3)? });
        }
        if (rows.len() as i64) < BATCH {
            return Ok(found);
        }
    }
}

/// The newest version of a record; `None` where there is none, or none that can be trusted.
pub(crate) async fn newest(conn: &mut SqliteConnection, file: &Path, kind: &str, key: &str) -> Result<Option<Newest>, StoreError> {
    let sql = "SELECT serial, version, sum, body FROM history WHERE kind = ? AND key = ? ORDER BY serial DESC LIMIT 1";
    let read = |row: SqliteRow| -> Result<(i64, u32, i64, Option<String>), sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
    };
    match sqlx::query(sql).bind(kind).bind(key).fetch_optional(conn).await {
        Ok(row) => Ok(row.and_then(|row| read(row).ok()).and_then(|(serial, version, sum, body)| {
            let serial = serial.unsigned_abs();
            (check_value(kind, key, version, serial, body.as_deref()) == sum).then_some(Newest { serial, version, body })
        })),
        // A database that is older than its history, and a damaged page of it, have none.
        Err(error) if is_corruption(&error) || error.to_string().contains("no such table") => Ok(None),
        Err(error) => Err(StoreError::sqlite(file, error)),
    }
}

/// Why the record cannot be trusted; `None`: it is good, and the ledger is not.
fn verdict(record: &Record, account: Option<Account>, newest: Option<&Newest>) -> Option<String> {
    let own = record.serial;
    match (account, newest) {
        (_, Some(Newest { serial, version, body: Some(body) })) => {
            if *serial > own {
                return Some(format!("it is the version of serial {own}, but serial {serial} wrote it last"));
            }
            if *serial < own {
                return Some(format!("it says that serial {own} wrote it, but that was serial {serial}"));
            }
            if *body == record.body && *version == record.version {
                return None;
            }
            match cut_short(record.body.as_bytes(), body) {
                Some(cut) => Some(format!("{cut} that serial {serial} wrote")),
                None => Some(format!("it is not what serial {serial} wrote")),
            }
        }
        (_, Some(Newest { serial, body: None, .. })) => {
            if *serial >= own {
                Some(format!("it is there again, but serial {serial} deleted it"))
            } else {
                Some(format!("it says that serial {own} wrote it, but serial {serial} deleted it and nothing made it anew"))
            }
        }
        (Some(Account { serial, .. }), None) if serial > own => {
            Some(format!("it is the version of serial {own}, but serial {serial} wrote it last"))
        }
        (Some(Account { serial, .. }), None) => Some(format!("it does not fit the check value that serial {serial} left")),
        // Nobody contradicts it.
        (None, None) => None,
    }
}

fn cut_short(found: &[u8], whole: &str) -> Option<String> {
    let cut = found.len() < whole.len() && whole.as_bytes().starts_with(found);
    cut.then(|| format!("its body is cut short: {} of the {} bytes", found.len(), whole.len()))
}

/// What a start has mended by itself.
fn healed(records: &[Record]) -> Vec<String> {
    let mut notes: Vec<String> = records
        .iter()
        .take(NAMED)
        .map(|Record { kind, key, serial, .. }| format!("the ledger did not have {kind} {key} as serial {serial} wrote it; it has now"))
        .collect();
    if let Some(more) = records.len().checked_sub(NAMED).filter(|more| *more > 0) {
        notes.push(format!("the same was mended for {more} other records"));
    }
    notes
}
