//! What `berth db repair` does: puts back what the history still has, sets aside what nobody can mend, and removes only what is named.

use crate::error::StoreError;
use crate::export::Export;
use crate::sqlite::file::{self, beside, folder};
use crate::sqlite::ledger::{self, Newest};
use crate::sqlite::{Mends, SqliteStore, past, read, schema, wal};
use crate::store::Store;
use crate::tools::{Broken, Decode, broken, close, database, not_understood, open, read_all, read_log, take_the_place};
use crate::types::{Loaded, LogEntry, MAX_COUNT, NO_DECISION, Quarantined, Record};
use sqlx::sqlite::SqliteConnection;
use std::path::{Path, PathBuf};

/// What [`repair`] did, or with [`Orders::dry_run`] would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Records that are again what was committed last; `why` says what was wrong and what was done.
    pub mended: Vec<Broken>,
    /// Records that were removed because the caller named them; `why` says what was wrong with them.
    pub dropped: Vec<Broken>,
    /// Records that nobody can mend: they are in quarantine, now or since before.
    pub quarantined: Vec<Broken>,
    /// Where the damaged file is kept, if it had to be replaced.
    pub kept: Option<PathBuf>,
    /// What was lost or derived anew, one sentence each.
    pub notes: Vec<String>,
}

/// What a repair may do beyond putting back and setting aside. The default is the careful one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orders<'a> {
    /// Records to remove, by kind and key; each must be broken.
    pub drop: &'a [(String, String)],
    /// Take it that no record is left.
    pub accept_empty: bool,
    /// Only tell what would be done: the database stays as it is.
    pub dry_run: bool,
}

/// Puts broken and quarantined records back as they were committed last, as far as the history has them, and the others into quarantine.
/// Those that the orders name are removed instead, under a serial of their own.
/// Where the file itself is damaged, writes a new one from all that can be read, and keeps the old one beside it.
/// `now_ms` is the time, milliseconds since 1970.
///
/// # Errors
/// As [`crate::tools::check`], [`StoreError::InUse`] while a controller runs, [`StoreError::Full`];
/// [`StoreError::NotFound`] when `drop` names what is not broken, [`StoreError::NothingLeft`] when a new file would hold no record:
/// then nothing was changed.
pub async fn repair(path: &Path, decode: Decode<'_>, orders: Orders<'_>, now_ms: i64) -> Result<RepairReport, StoreError> {
    let path = database(path)?;
    let lock = file::lock(folder(&path))?;
    let Some(found) = wal::look(&path)? else { return judged(&path, lock, decode, orders, now_ms, Vec::new()).await };
    let note = format!("{}; what is in it is taken as it is", found.words());
    if orders.dry_run {
        // The engine shows what is behind the damage only after the log was changed: that is done to a copy.
        let copy = file::Copy::make(&path)?;
        wal::reseal(&copy.database(), now_ms)?;
        let lock = file::lock(folder(&copy.database()))?;
        let mut report = judged(&copy.database(), lock, decode, orders, now_ms, vec![note]).await?;
        report.kept = report.kept.map(|_| kept_as(&path, now_ms));
        return Ok(report);
    }
    let Some(kept) = wal::reseal(&path, now_ms)? else { return judged(&path, lock, decode, orders, now_ms, vec![note]).await };
    let notes = vec![note, format!("the log as it was is kept as {}", kept.display())];
    let result = judged(&path, lock, decode, orders, now_ms, notes).await;
    if matches!(result, Err(StoreError::NothingLeft { .. } | StoreError::NotFound { .. })) {
        wal::unseal(&path, &kept)?;
    }
    result
}

/// Where a damaged file is kept.
fn kept_as(path: &Path, now_ms: i64) -> PathBuf {
    beside(path, &format!(".damaged-{now_ms}"))
}

/// The repair of a database whose log the engine takes whole.
async fn judged(
    path: &Path,
    lock: file::Lock,
    decode: Decode<'_>,
    orders: Orders<'_>,
    now_ms: i64,
    mut accepted: Vec<String>,
) -> Result<RepairReport, StoreError> {
    let (mut conn, schema) = open(path).await?;
    let integrity = read::integrity(&mut conn, path).await?;
    let mut wrong = schema::missing(&mut conn, schema).await;
    let history = past::check(&mut conn, schema).await;
    let (mut scan, mut notes) = read_all(&mut conn, path).await?;
    if !notes.is_empty() || scan.behind {
        // An epoch may only grow, and satellites remember it: milliseconds since 1970 exceed any that was counted up from 0.
        scan.loaded.epoch = now_ms.unsigned_abs();
        notes.push(format!("the epoch is {}, above any that was taken", scan.loaded.epoch));
    }
    accepted.append(&mut scan.loaded.healed);
    let lost = wal::lost(path, scan.loaded.serial);
    let lost_all = lost.is_some() && scan.loaded.serial == 0;
    if let Some(lost) = lost {
        accepted.push(format!("{lost}; it goes on without"));
    }
    let (mends, mut report) = decide(&mut conn, path, &scan, decode, orders.drop).await?;
    let sound = [&integrity, &wrong, &history, &scan.loaded.damage, &notes].iter().all(|list| list.is_empty());
    if sound {
        close(conn, path).await?;
        // What was acknowledged is lost whole: the same as a file of which no record can be read.
        if lost_all && !orders.accept_empty {
            return Err(StoreError::NothingLeft { file: path.into() });
        }
        report.notes = accepted;
        if orders.dry_run {
            return Ok(report);
        }
        let store = SqliteStore::open_file(path, Some(lock)).await?;
        let entry = log_entry(&report, scan.loaded.serial, now_ms);
        let mended = store.mend(&mends, &scan.unaccounted, entry.as_ref(), now_ms).await;
        store.close().await?;
        mended?;
        wal::Mark::remove(path)?;
        return Ok(report);
    }
    let (mut log, lost) = read_log(&mut conn, schema).await;
    notes.extend(lost);
    // A new cluster whose counters can be read has no records to lose.
    let fresh = scan.loaded.serial == 0 && scan.loaded.damage.is_empty() && notes.is_empty() && integrity.is_empty();
    notes.append(&mut wrong);
    let mut state = rebuilt(scan.loaded, &mends, now_ms, &log, &mut notes);
    if state.records.is_empty() && !fresh && !orders.accept_empty {
        let _ = sqlx::Connection::close(conn).await;
        return Err(StoreError::NothingLeft { file: path.into() });
    }
    let kept = kept_as(path, now_ms);
    if orders.dry_run {
        let _ = sqlx::Connection::close(conn).await;
        notes.extend(history);
        report.kept = Some(kept);
        accepted.append(&mut notes);
        report.notes = accepted;
        return Ok(report);
    }
    if let Some(entry) = log_entry(&report, state.serial, now_ms) {
        state.serial = entry.serial;
        log.push(entry);
    }
    let fill = async |store: &SqliteStore| {
        // The versions first, so that those of the restored records are among the newest.
        if schema >= past::WITH_HISTORY {
            notes.append(&mut store.copy_versions(&mut conn).await?);
        }
        store.restore(state, log).await
    };
    take_the_place(path, Some(&kept), fill).await?;
    // A damaged file may fail at its closing too; all of it that can be read was read.
    let _ = sqlx::Connection::close(conn).await;
    report.kept = Some(kept);
    accepted.append(&mut notes);
    report.notes = accepted;
    std::mem::drop(lock);
    Ok(report)
}

/// What becomes of each record that is not served.
async fn decide(
    conn: &mut SqliteConnection,
    path: &Path,
    scan: &read::Scan,
    decode: Decode<'_>,
    drop: &[(String, String)],
) -> Result<(Mends, RepairReport), StoreError> {
    let (mut mends, mut report) = (Mends::default(), RepairReport::default());
    let unclear: Vec<Broken> = scan.loaded.records.iter().filter_map(|record| not_understood(record, decode)).collect();
    let named = |broken: &Broken, kind: &str, key: &str| broken.kind == kind && broken.key == key;
    for (kind, key) in drop {
        let quarantined = scan.loaded.quarantined.iter().map(broken).find(|found| named(found, kind, key));
        let Some(found) = quarantined.or_else(|| unclear.iter().find(|found| named(found, kind, key)).cloned()) else {
            return Err(StoreError::NotFound { place: "broken record", kind: kind.clone(), key: key.clone() });
        };
        if report.dropped.contains(&found) {
            continue;
        }
        let row = scan.broken.iter().find(|(_, lost)| lost.kind == *kind && lost.key == *key).map_or(ledger::NO_ROW, |(id, _)| *id);
        mends.dropped.push((row, kind.clone(), key.clone()));
        report.dropped.push(found);
    }
    for lost in &scan.loaded.quarantined {
        let name = broken(lost);
        if report.dropped.contains(&name) {
            continue;
        }
        let row = scan.broken.iter().find(|(_, other)| other.kind == lost.kind && other.key == lost.key).map(|(id, _)| *id);
        let newest = ledger::newest(conn, path, &lost.kind, &lost.key).await?;
        let (kind, key, old) = (lost.kind.clone(), lost.key.clone(), &lost.why);
        let why = match newest {
            Some(Newest { serial, body: None, .. }) => {
                mends.gone.push((row.unwrap_or(ledger::NO_ROW), kind.clone(), key.clone()));
                report.mended.push(Broken { kind, key, why: format!("{old}. It is deleted again, as serial {serial} left it") });
                continue;
            }
            Some(Newest { serial, version, body: Some(body) }) => {
                let record = Record { kind: kind.clone(), key: key.clone(), version, serial, body };
                match decode(&record) {
                    Ok(()) => {
                        mends.put.push((row.unwrap_or(ledger::NO_ROW), record));
                        report.mended.push(Broken { kind, key, why: format!("{old}. It is again as serial {serial} wrote it") });
                        continue;
                    }
                    Err(unclear) if *old == unclear => unclear,
                    Err(unclear) => format!("{old}; what serial {serial} wrote is not understood either: {unclear}"),
                }
            }
            None => match as_record(lost).filter(|record| row.is_none() && decode(record).is_ok()) {
                // Set aside by a program that did not understand it.
                Some(record) => {
                    mends.put.push((ledger::NO_ROW, record));
                    report.mended.push(Broken { kind, key, why: format!("{old}. It is understood by now") });
                    continue;
                }
                None => old.clone(),
            },
        };
        if let Some(row) = row {
            mends.aside.push((row, Quarantined { why: why.clone(), ..lost.clone() }));
        }
        report.quarantined.push(Broken { kind, key, why });
    }
    for other in unclear {
        if !report.dropped.contains(&other) {
            mends.unclear.push(other.clone());
            report.quarantined.push(other);
        }
    }
    Ok((mends, report))
}

/// The entry for what is removed: a change of the state like any other.
fn log_entry(report: &RepairReport, serial: u64, now_ms: i64) -> Option<LogEntry> {
    if report.dropped.is_empty() {
        return None;
    }
    let names: Vec<String> = report.dropped.iter().map(|dropped| format!("{} {}", dropped.kind, dropped.key)).collect();
    Some(LogEntry {
        serial: serial.checked_add(1)?,
        time_ms: now_ms,
        actor: "berth".into(),
        origin: "berth db repair".into(),
        command: serde_json::json!({ "command": "drop_records", "records": names }).to_string(),
        changes: serde_json::json!({ "put": [], "delete": names }).to_string(),
        decision: NO_DECISION.into(),
    })
}

fn as_record(lost: &Quarantined) -> Option<Record> {
    let Quarantined { kind, key, version, serial, body, .. } = lost.clone();
    let body = String::from_utf8(body).ok()?;
    serde_json::from_str::<serde::de::IgnoredAny>(&body).ok()?;
    Some(Record { kind, key, version, serial, body })
}

/// The state of a damaged database as a new one may hold it.
fn rebuilt(mut state: Loaded, mends: &Mends, now_ms: i64, log: &[LogEntry], notes: &mut Vec<String>) -> Loaded {
    notes.append(&mut state.damage);
    let Mends { put, gone, dropped, aside, unclear } = mends;
    state.quarantined.retain(|lost| {
        let named = put.iter().map(|(_, record)| (&record.kind, &record.key));
        let named = named.chain(gone.iter().chain(dropped).map(|(_, kind, key)| (kind, key)));
        !named.into_iter().any(|name| name == (&lost.kind, &lost.key))
    });
    for lost in &mut state.quarantined {
        if let Some((_, better)) = aside.iter().find(|(_, other)| other.kind == lost.kind && other.key == lost.key) {
            lost.why.clone_from(&better.why);
        }
        if lost.since_ms == 0 {
            lost.since_ms = now_ms;
        }
    }
    let mut kept = Vec::with_capacity(state.records.len());
    for record in std::mem::take(&mut state.records) {
        let name = (&record.kind, &record.key);
        if let Some(other) = unclear.iter().find(|other| name == (&other.kind, &other.key)) {
            let (Record { kind, key, version, serial, body }, why) = (record, other.why.clone());
            state.quarantined.push(Quarantined { kind, key, version, serial, why, since_ms: now_ms, body: body.into_bytes() });
        } else if !dropped.iter().any(|(_, kind, key)| name == (kind, key)) {
            kept.push(record);
        }
    }
    kept.extend(put.iter().map(|(_, record)| record.clone()));
    kept.sort_unstable();
    state.records = kept;
    let newest = state.records.iter().map(|record| record.serial).chain(log.iter().map(|entry| entry.serial)).max().unwrap_or(0);
    if newest > state.serial && newest < MAX_COUNT {
        notes.push(format!("the serial was {}, a record or log entry has {newest}", state.serial));
        state.serial = newest;
    }
    state
}

/// Makes a database from an export.
pub(crate) async fn make(path: &Path, kept: Option<&Path>, Export { state, log }: Export) -> Result<(), StoreError> {
    take_the_place(path, kept, async |store: &SqliteStore| store.restore(state, log).await).await
}
