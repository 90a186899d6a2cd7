//! What is particular to the SQLite file: its format, its owner, and what happens when the disk or an operator harms it.

use super::*;
use crate::testkit::{delete, full_state, group, put};
use crate::tools::{self, Orders};
use crate::types::{LogFilter, Past, Write};
use sqlx::{AssertSqlSafe, Row};
use std::os::unix::fs::PermissionsExt;

async fn raw(file: &Path, sql: &str) {
    let mut conn = options(file).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir).await.unwrap()
}

async fn refused(dir: &Path) -> StoreError {
    match SqliteStore::open(dir).await {
        Ok(_) => panic!("the database was opened"),
        Err(error) => error,
    }
}

/// Everything the engine keeps about the format of a file.
async fn format(file: &Path) -> Vec<String> {
    let mut conn = reading(file).connect().await.unwrap();
    let sql = "SELECT type || name || tbl_name || coalesce(sql, '') FROM sqlite_master ORDER BY 1";
    let mut found: Vec<String> = sqlx::query(sql).fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(0)).collect();
    for sql in ["PRAGMA user_version", "PRAGMA application_id"] {
        found.push(schema::number(&mut conn, file, sql).await.unwrap().to_string());
    }
    conn.close().await.unwrap();
    found
}

#[tokio::test]
async fn an_older_schema_becomes_the_newest() {
    let fresh = tempfile::tempdir().unwrap();
    open(fresh.path()).await.close().await.unwrap();
    let newest = format(&fresh.path().join(DATABASE_FILE)).await;
    let versions = usize::try_from(SCHEMA_VERSION).unwrap();
    for version in 1..versions {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(DATABASE_FILE);
        file::make_file(&file).unwrap();
        let mut conn = writing(&file).connect().await.unwrap();
        schema::steps(&mut conn, &file, 0, version).await.unwrap();
        let sql = "INSERT INTO record (kind, key, version, serial, body) VALUES ('a', '1', 1, 1, '{}'); UPDATE meta SET serial = 1";
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        if version > 1 {
            let sql =
                "INSERT INTO log (serial, time_ms, actor, origin, command, changes) VALUES (1, 1, 'old', 'o', '{\"command\":\"c\"}', '[]')";
            sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
        assert_ne!(format(&file).await, newest);
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert_eq!((report.schema_version, report.is_sound()), (i64::try_from(version).unwrap(), true), "{report:?}");

        let store = open(dir.path()).await;
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.serial, loaded.records.len()), (1, 1));
        // What the older program wrote is in the log, without a decision, and begins the history.
        let by_name = LogFilter { command: Some("c".into()), ..LogFilter::default() };
        let old = store.audit(by_name, 9).await.unwrap();
        assert_eq!(old.iter().map(|entry| entry.decision.as_str()).collect::<Vec<_>>(), if version > 1 { vec!["[]"] } else { vec![] });
        let begun = Past { serial: 1, version: 1, body: Some("{}".into()) };
        assert_eq!(store.history("a", "1", None, 9).await.unwrap(), [begun]);
        assert_eq!(store.commit(group(0, 1, vec![vec![put("a", "1", "2")]])).await.unwrap(), 2);
        store.close().await.unwrap();
        assert_eq!(format(&file).await, newest, "from version {version}");
    }
}

/// What the engine reads for an audit, as it says itself.
async fn way(store: &SqliteStore, filter: LogFilter) -> String {
    let mut reader = store.reader.lock().await;
    past::explain(reader.as_mut().unwrap(), &filter).await
}

#[tokio::test]
async fn an_audit_reads_an_index_and_not_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let none = LogFilter::default();
    let text = || Some("x".to_string());
    let name = |key: &str| vec![("a".to_string(), key.to_string()), ("b".to_string(), key.to_string())];
    let ways = [
        (LogFilter { actor: text(), ..none.clone() }, "log_actor"),
        (LogFilter { origin: text(), ..none.clone() }, "log_origin"),
        (LogFilter { command: text(), actor: text(), origin: text(), from_ms: Some(1), ..none.clone() }, "log_verb"),
        (LogFilter { objects: name("x"), command: text(), actor: text(), ..none.clone() }, "history_name (kind=? AND key=?"),
        (LogFilter { objects: name("x/"), origin: text(), to_ms: Some(9), ..none.clone() }, "history_name (kind=? AND key>? AND key<?"),
        (LogFilter { from_ms: Some(1), to_ms: Some(9), ..none.clone() }, "log_time"),
        (LogFilter { before: Some(9), ..none.clone() }, "SEARCH log USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ];
    for (filter, index) in ways {
        let way = way(&store, filter.clone()).await;
        assert!(way.contains(index) && !way.contains("SCAN log"), "{filter:?}: {way}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    raw(&dir.path().join(DATABASE_FILE), "PRAGMA user_version = 999").await;
    assert!(matches!(refused(dir.path()).await, StoreError::TooNew { found: 999, supported: SCHEMA_VERSION, .. }));
    assert!(matches!(tools::check(dir.path(), &|_| Ok(())).await.unwrap_err(), StoreError::TooNew { .. }));
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(DATABASE_FILE);
    std::fs::write(&file, "[Unit]\nDescription=something else\n").unwrap();
    assert!(matches!(refused(dir.path()).await, StoreError::NotOurs { .. }));
    std::fs::remove_file(&file).unwrap();
    file::make_file(&file).unwrap();
    raw(&file, "CREATE TABLE theirs (a)").await;
    let before = std::fs::read(&file).unwrap();
    assert!(matches!(refused(dir.path()).await, StoreError::NotOurs { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_second_controller_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let error = refused(dir.path()).await;
    let holder = format!("process {}", std::process::id());
    assert!(matches!(&error, StoreError::InUse { file, holder: by } if file.ends_with(LOCK_FILE) && *by == holder), "{error}");
    assert!(matches!(tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 1).await.unwrap_err(), StoreError::InUse { .. }));
    let mut document = Vec::new();
    tools::export(dir.path(), true, &mut document).await.unwrap();
    assert!(matches!(tools::import(dir.path(), &document[..], true, 1).await.unwrap_err(), StoreError::InUse { .. }));
    store.close().await.unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn only_the_owner_can_read_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    let _store = open(&inner).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for name in [DATABASE_FILE, "berth.db-wal", LOCK_FILE] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_one_commit_and_harms_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let body = format!("\"{}\"", "x".repeat(200_000));
    let large = |at: usize| vec![vec![put("a", &at.to_string(), "1")], vec![put("b", &at.to_string(), &body)]];
    limit(&store, "PRAGMA max_page_count = 200").await;
    let mut serial = 0;
    let error = loop {
        match store.commit(group(0, serial, large(usize::try_from(serial).unwrap()))).await {
            Ok(next) => serial = next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.serial, loaded.records.len() as u64), (serial, serial));
    // What frees space or needs none works at once, the rest when there is space.
    serial = store.commit(group(0, serial, vec![vec![delete("b", "0")]])).await.unwrap();
    limit(&store, "PRAGMA max_page_count = 100000").await;
    serial = store.commit(group(0, serial, large(99))).await.unwrap();
    assert_eq!(store.load().await.unwrap().serial, serial);
    assert_eq!(store.log(0, 1000).await.unwrap().len() as u64, serial);
}

async fn limit(store: &SqliteStore, sql: &'static str) {
    let mut guard = store.writer.lock().await;
    guard.as_mut().unwrap().pragma(sql).await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(refused(&file).await, StoreError::Disk { .. } | StoreError::ReadOnly { .. }));
    // The system's own answers for a read-only mount and for missing permissions.
    for kind in [std::io::ErrorKind::ReadOnlyFilesystem, std::io::ErrorKind::PermissionDenied] {
        assert!(matches!(StoreError::file(&file, kind.into()), StoreError::ReadOnly { .. }));
    }
    let folder = dir.path().join("data");
    open(&folder).await.close().await.unwrap();
    let mode = |bits| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(bits)).unwrap();
    // Permissions do not bind root, a read-only mount binds everybody.
    let mounted = Mount::tmpfs(&folder, "ro");
    if mounted.is_none() {
        mode(0o500);
        std::fs::set_permissions(folder.join(LOCK_FILE), std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    assert!(matches!(refused(&folder).await, StoreError::ReadOnly { .. }));
    drop(mounted);
    mode(0o700);
}

/// A small file system in memory, for as long as the value lives; none without root.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, options: &str) -> Option<Mount> {
        let done = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Mount(at.into()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
        assert!(done.success() || std::thread::panicking());
    }
}

#[tokio::test]
async fn a_file_system_without_space_refuses_commits_until_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    // Without root the engine's own limit stands in for the file system; see the test above.
    let Some(_mount) = Mount::tmpfs(dir.path(), "size=4m") else { return };
    let store = open(dir.path()).await;
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let body = format!("\"{}\"", "x".repeat(50_000));
    let mut serial = 0;
    let error = loop {
        match store.commit(group(0, serial, vec![vec![put("a", &serial.to_string(), &body)]])).await {
            Ok(next) => serial = next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(serial > 3);
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.serial, loaded.records.len() as u64), (serial, serial));
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.commit(group(0, serial, vec![vec![put("a", "more", &body)]])).await.unwrap(), serial + 1);
    store.close().await.unwrap();
    let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
    assert_eq!((report.is_sound(), report.serial, report.counts["a"]), (true, serial + 1, serial + 1));
}

/// Replaces the table by one that takes anything, as a damaged page might hold it.
const LAX: &str = "CREATE TABLE lax (id INTEGER PRIMARY KEY, kind, key, version, serial, body); INSERT INTO lax SELECT * FROM record; \
                   DROP TABLE record; ALTER TABLE lax RENAME TO record; CREATE UNIQUE INDEX record_name ON record (kind, key);";

async fn with_broken_rows(dir: &Path) -> PathBuf {
    let store = open(dir).await;
    let writes: Vec<Write> = (1..=9).map(|at| put("a", &at.to_string(), "{}")).collect();
    store.commit(group(0, 0, vec![writes])).await.unwrap();
    store.close().await.unwrap();
    let file = dir.join(DATABASE_FILE);
    let harm = "UPDATE record SET body = '{' WHERE key = '1'; UPDATE record SET body = NULL WHERE key = '2'; \
                UPDATE record SET body = x'ff00' WHERE key = '3'; UPDATE record SET version = 'x' WHERE key = '4'; \
                UPDATE record SET serial = -1 WHERE key = '5'; UPDATE record SET key = NULL WHERE key = '6'; \
                UPDATE record SET kind = 7 WHERE key = '7';";
    raw(&file, &format!("{LAX} {harm}")).await;
    file
}

#[tokio::test]
async fn one_bad_row_never_hides_another() {
    let dir = tempfile::tempdir().unwrap();
    with_broken_rows(dir.path()).await;
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.records.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["8", "9"]);
    let lost: Vec<String> = loaded.quarantined.iter().map(|lost| format!("{} {}", lost.kind, lost.key)).collect();
    assert_eq!(lost, ["7 7", "a 1", "a 2", "a 3", "a 4", "a 5", "a 6", "a 7", "a row 6"]);
    assert!(loaded.quarantined.iter().all(|lost| !lost.why.is_empty()));
    assert_eq!(loaded.damage, [""; 0]);
    assert!(matches!(store.commit(group(0, 1, vec![vec![put("a", "4", "1")]])).await.unwrap_err(), StoreError::Reserved { .. }));
    store.commit(group(0, 1, vec![vec![put("a", "8", "1")]])).await.unwrap();
}

#[tokio::test]
async fn repair_moves_what_is_broken_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    with_broken_rows(dir.path()).await;
    let decode: tools::Decode = &|record| if record.key == "9" { Err("nobody knows it".into()) } else { Ok(()) };
    let report = tools::check(dir.path(), decode).await.unwrap();
    assert_eq!((report.broken.len(), report.quarantined.len(), report.counts["a"]), (10, 0, 1), "{report:?}");
    assert!(report.integrity.is_empty() && !report.is_sound());
    let wrong = [("a".to_string(), "8".to_string())];
    assert!(matches!(
        tools::repair(dir.path(), decode, Orders { drop: &wrong, ..Orders::default() }, 77).await.unwrap_err(),
        StoreError::NotFound { .. }
    ));
    let repaired = tools::repair(dir.path(), decode, Orders::default(), 77).await.unwrap();
    let names = |list: &[tools::Broken]| list.iter().map(|broken| format!("{} {}", broken.kind, broken.key)).collect::<Vec<_>>();
    assert_eq!(names(&repaired.mended), ["a 1", "a 2", "a 3", "a 4", "a 5", "a 6", "a 7"]);
    // Rows without a name that anybody knows, and the record that nobody understands.
    assert_eq!(names(&repaired.quarantined), ["7 7", "a row 6", "a 9"]);
    assert_eq!((repaired.dropped.len(), repaired.kept, repaired.notes.len()), (0, None, 0));
    let report = tools::check(dir.path(), decode).await.unwrap();
    assert_eq!((report.broken.len(), report.quarantined.len(), report.counts["a"]), (0, 3, 8), "{report:?}");
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert!(loaded.quarantined.iter().all(|lost| lost.since_ms == 77) && loaded.healed.is_empty());
    assert!(loaded.records.iter().all(|record| (record.version, record.serial, record.body.as_str()) == (1, 1, "{}")));
    assert!(matches!(store.commit(group(0, 1, vec![vec![put("a", "9", "1")]])).await.unwrap_err(), StoreError::Reserved { .. }));
    store.close().await.unwrap();

    // What cannot be mended goes when it is named, and the log says so.
    let drop: Vec<(String, String)> = [("7", "7"), ("a", "row 6"), ("a", "9"), ("a", "9")].map(|(a, b)| (a.into(), b.into())).into();
    let repaired = tools::repair(dir.path(), decode, Orders { drop: &drop, ..Orders::default() }, 78).await.unwrap();
    assert_eq!((names(&repaired.dropped), repaired.quarantined.len()), (vec!["7 7".into(), "a row 6".into(), "a 9".into()], 0));
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.serial, loaded.records.len(), loaded.quarantined.len(), loaded.healed.len()), (2, 8, 0, 0));
    assert_eq!(store.log(1, 9).await.unwrap()[0].changes, "{\"delete\":[\"7 7\",\"a row 6\",\"a 9\"],\"put\":[]}");
    assert_eq!(store.history("a", "9", None, 1).await.unwrap(), [Past { serial: 2, version: 0, body: None }]);
    assert_eq!(store.commit(group(0, 2, vec![vec![put("a", "9", "1")]])).await.unwrap(), 3);
}

/// A database of a few hundred pages, closed.
async fn large(dir: &Path) -> PathBuf {
    let store = open(dir).await;
    store.take_epoch(0).await.unwrap();
    store.found(crate::types::Cluster { id: "c".into(), created_ms: 1 }).await.unwrap();
    let body = format!("\"{}\"", "x".repeat(600));
    let commands = (0..20).map(|n| (0..100).map(|at| put("a", &format!("{n:02}-{at:02}"), &body)).collect());
    store.commit(group(1, 0, commands.collect())).await.unwrap();
    store.close().await.unwrap();
    dir.join(DATABASE_FILE)
}

/// Pages of a table or index, first to last, from the engine's own statistics.
async fn pages(file: &Path, name: &str, kind: &str) -> Vec<i64> {
    let mut conn = reading(file).connect().await.unwrap();
    let sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path";
    let found = sqlx::query(sql).bind(name).bind(kind).fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(0)).collect();
    conn.close().await.unwrap();
    found
}

fn spoil(file: &Path, page: i64) {
    use std::os::unix::fs::FileExt;
    let open = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    open.write_all_at(&[0xa5; 4096], u64::try_from(page - 1).unwrap() * 4096).unwrap();
}

#[tokio::test]
async fn damaged_pages_cost_only_what_is_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path()).await;
    let leaves = pages(&file, "record", "leaf").await;
    assert!(leaves.len() > 100);
    for at in [30, 31, 80] {
        spoil(&file, leaves[at]);
    }
    let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
    assert!(!report.integrity.is_empty());
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert!(!loaded.damage.is_empty());
    assert!((5..30).contains(&loaded.quarantined.len()), "{}", loaded.quarantined.len());
    assert_eq!(loaded.records.len() + loaded.quarantined.len(), 2000);
    assert!(loaded.quarantined.iter().all(|lost| lost.kind == "a" && lost.key.len() == 5));
    // The rest is served and can be changed, the lost names are reserved.
    let name = loaded.quarantined[0].key.clone();
    assert!(matches!(store.commit(group(1, 20, vec![vec![put("a", &name, "1")]])).await.unwrap_err(), StoreError::Reserved { .. }));
    store.commit(group(1, 20, vec![vec![put("a", "00-00", "1"), put("new", "1", "1")]])).await.unwrap();
    store.close().await.unwrap();

    let before = std::fs::read(&file).unwrap();
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 77).await.unwrap();
    let kept = repaired.kept.unwrap();
    assert_eq!(std::fs::read(kept).unwrap(), before);
    assert_eq!((repaired.mended.len(), repaired.quarantined.len()), (loaded.quarantined.len(), 0));
    let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    let store = open(dir.path()).await;
    let healed = store.load().await.unwrap();
    assert_eq!((healed.serial, healed.epoch, healed.records.len(), healed.quarantined.len()), (21, 1, 2001, 0));
    assert_eq!(store.log(0, 100).await.unwrap().len(), 21);
    store.commit(group(1, 21, vec![vec![put("a", &name, "1")]])).await.unwrap();
}

#[tokio::test]
async fn a_damaged_index_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path()).await;
    let leaves = pages(&file, "record_name", "leaf").await;
    spoil(&file, leaves[leaves.len() / 2]);
    assert_eq!(open(dir.path()).await.load().await.unwrap().records.len(), 2000);
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 77).await.unwrap();
    assert!(repaired.kept.is_some() && repaired.quarantined.is_empty(), "{repaired:?}");
    let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
    assert_eq!((report.is_sound(), report.counts["a"]), (true, 2000));
}

#[tokio::test]
async fn a_truncated_file_is_named_and_repaired_as_far_as_it_goes() {
    for part in [9, 5, 1] {
        let dir = tempfile::tempdir().unwrap();
        let file = large(dir.path()).await;
        let whole = std::fs::metadata(&file).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(whole / 4096 * part / 10 * 4096).unwrap();
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(!report.is_sound(), "{report:?}");
        match SqliteStore::open(dir.path()).await {
            Ok(store) => match store.load().await {
                Ok(loaded) => assert!(!loaded.damage.is_empty()),
                Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}"),
            },
            Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}"),
        }
        let accepting = Orders { accept_empty: true, ..Orders::default() };
        tools::repair(dir.path(), &|_| Ok(()), accepting, 77).await.unwrap();
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        let found = report.counts.get("a").copied().unwrap_or(0) + report.quarantined.len() as u64;
        assert!(found <= 2000 && (part < 9 || found > 500), "{part}: {found}");
    }
}

#[tokio::test]
async fn lost_counters_are_derived_anew() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path()).await;
    spoil(&file, pages(&file, "meta", "leaf").await[0]);
    let store = open(dir.path()).await;
    assert!(matches!(store.load().await.unwrap_err(), StoreError::Corrupt { .. }));
    store.close().await.unwrap();
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 1_700_000_000_000).await.unwrap();
    assert!(repaired.notes.iter().any(|note| note.contains("epoch")), "{repaired:?}");
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.serial, loaded.epoch, loaded.records.len()), (20, 1_700_000_000_000, 2000));
}

#[tokio::test]
async fn import_makes_a_fresh_database_or_none() {
    let (state, log) = full_state();
    let mut document = Vec::new();
    crate::Export { state: state.clone(), log: log.clone() }.write(&mut document).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [("berth-export", "other"), ("\"serial\":4", "\"serial\":1"), ("]}", ""), ("\"hex\":\"ff", "\"hex\":\"fg")] {
        let bad = String::from_utf8(document.clone()).unwrap().replacen(from, to, 1);
        let error = tools::import(dir.path(), bad.as_bytes(), false, 1).await.unwrap_err();
        assert!(matches!(error, StoreError::Document { .. } | StoreError::Invalid { .. }), "{error}");
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == LOCK_FILE), "{left:?}");
    }
    assert_eq!(tools::import(dir.path(), &document[..], false, 1).await.unwrap(), None);
    assert!(matches!(tools::import(dir.path(), &document[..], false, 1).await.unwrap_err(), StoreError::Exists { .. }));
    let store = open(dir.path()).await;
    assert_eq!((store.load().await.unwrap(), store.log(0, 9).await.unwrap()), (state, log));
    store.commit(group(3, 4, vec![vec![put("a", "7", "1")]])).await.unwrap();
    drop(store);
    let kept = tools::import(dir.path(), &document[..], true, 1).await.unwrap().unwrap();
    assert_eq!(open(dir.path()).await.load().await.unwrap().serial, 4);
    let report = tools::check(&kept, &|_| Ok(())).await.unwrap();
    assert_eq!((report.serial, report.is_sound()), (5, true));
    assert!(matches!(tools::check(&dir.path().join("none"), &|_| Ok(())).await.unwrap_err(), StoreError::Missing { .. }));
}

mod identity {
    use super::*;
    use crate::testkit::log_entry;
    use crate::types::{Cluster, LogEntry, Quarantined, Record};
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|n| n.to_string()),
            any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
            Just("1.50e+3".to_string())
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(" , "))),
                prop::collection::vec(inner, 0..4)
                    .prop_map(|list| format!("{{{}}}", list.iter().map(|v| format!("\"k\": {v}")).collect::<Vec<_>>().join(","))),
            ]
        })
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9ü'\"%./ -]{1,20}"
    }

    prop_compose! {
        fn states()(
            records in prop::collection::btree_map((name(), name()), (any::<u32>(), 0..100u64, json()), 0..20),
            lost in prop::collection::btree_map((Just("lost".to_string()), any::<String>()), (any::<u32>(), 0..100u64, any::<String>(), any::<Vec<u8>>()), 0..4),
            cluster in any::<Option<(String, i64)>>(),
            // An import at the time 1 raises a lower one.
            epoch in 1..1000u64,
            log in 0..5u64,
        ) -> (Loaded, Vec<LogEntry>) {
            let records: Vec<Record> = records.into_iter().map(|((kind, key), (version, serial, body))| Record { kind, key, version, serial, body }).collect();
            let quarantined = lost.into_iter().filter(|((kind, key), _)| !records.iter().any(|record| (&record.kind, &record.key) == (kind, key)));
            let quarantined = quarantined.map(|((kind, key), (version, serial, why, body))| Quarantined { kind, key, version, serial, why, since_ms: 5, body });
            let cluster = cluster.map(|(id, created_ms)| Cluster { id, created_ms });
            let state = Loaded { serial: 100, epoch, cluster, quarantined: quarantined.collect(), records, damage: vec![], healed: vec![] };
            (state, (101 - log..=100).map(log_entry).collect())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        /// A database that is exported and imported is the same database.
        #[test]
        fn export_and_import_change_nothing((state, log) in states()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                let store = open(first.path()).await;
                store.restore(state.clone(), log.clone()).await.unwrap();
                store.close().await.unwrap();
                let mut document = Vec::new();
                tools::export(first.path(), true, &mut document).await.unwrap();
                tools::import(second.path(), &document[..], false, 1).await.unwrap();
                let store = open(second.path()).await;
                assert_eq!((store.load().await.unwrap(), store.log(0, 999).await.unwrap()), (state, log));
                store.close().await.unwrap();
                let mut again = Vec::new();
                tools::export(second.path(), true, &mut again).await.unwrap();
                assert_eq!(document, again);
            });
        }
    }
}

mod lost;
mod witnesses;
mod worn;
