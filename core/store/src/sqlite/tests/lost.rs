//! Parts of the schema, the counters, the history or all records are gone, and what a repair would do is told beforehand.

use super::*;
use crate::Export;

/// Every file of the folder with its bytes; the lock and the engine's shared memory apart.
fn files(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != LOCK_FILE && entry.file_name() != "berth.db-shm")
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, bytes)| name != "berth.db-wal" || !bytes.is_empty())
        .collect();
    found.sort();
    found
}

const DRY: Orders = Orders { drop: &[], accept_empty: false, dry_run: true };

#[tokio::test]
async fn a_missing_table_or_index_is_named_and_made_anew() {
    let objects = [
        ("index", "record_name"),
        ("index", "log_time"),
        ("index", "history_name"),
        ("table", "meta"),
        ("table", "record"),
        ("table", "log"),
        ("table", "quarantine"),
        ("table", "history"),
        ("table", "ledger"),
    ];
    for (kind, name) in objects {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        store.commit(group(0, 0, vec![vec![put("a", "1", "1"), put("a", "2", "2")]])).await.unwrap();
        store.close().await.unwrap();
        let file = dir.path().join(DATABASE_FILE);
        let whole = format(&file).await;
        raw(&file, &format!("DROP {kind} {name}")).await;
        let named = format!("the {kind} '{name}' is missing");
        let error = refused(dir.path()).await;
        assert!(matches!(&error, StoreError::Corrupt { .. }) && error.to_string().contains(&named), "{error}");
        assert!(error.correction().contains("berth db repair"));
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.integrity.contains(&named), "{report:?}");
        let before = files(dir.path());
        let told = tools::repair(dir.path(), &|_| Ok(()), DRY, 7).await.unwrap();
        assert_eq!(files(dir.path()), before, "{name}");
        let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
        assert!(repaired.notes.contains(&named) && repaired.kept.is_some(), "{repaired:?}");
        assert_eq!((told.mended, told.quarantined, told.kept), (repaired.mended, repaired.quarantined, repaired.kept));
        assert_eq!(format(&file).await, whole);
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.is_sound() && report.quarantined.is_empty(), "{name}: {report:?}");
        let store = open(dir.path()).await;
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.serial, loaded.records.len()), (1, 2), "{name}");
        store.commit(group(loaded.epoch, 1, vec![vec![put("a", "1", "3")]])).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn counters_without_a_next_one_are_named_and_derived_anew() {
    for harm in ["serial = 9223372036854775807", "epoch = 9223372036854775807", "serial = -1"] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        store.commit(group(0, 0, vec![vec![put("a", "1", "1")], vec![put("a", "2", "2")]])).await.unwrap();
        store.close().await.unwrap();
        raw(&dir.path().join(DATABASE_FILE), &format!("UPDATE meta SET {harm}")).await;
        let word = harm.split(' ').next().unwrap();
        let store = open(dir.path()).await;
        let error = store.load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { .. }) && error.to_string().contains(&format!("the {word} is")), "{error}");
        store.close().await.unwrap();
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.integrity.iter().any(|wrong| wrong.contains(&format!("the {word} is"))), "{report:?}");
        tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
        assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
        let store = open(dir.path()).await;
        let loaded = store.load().await.unwrap();
        assert_eq!((loaded.serial, loaded.epoch, loaded.records.len()), (2, 7, 2));
        store.take_epoch(7).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_cluster_is_only_made_when_it_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path()).await;
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(4096).unwrap();
    let before = files(dir.path());
    for orders in [Orders::default(), DRY] {
        let error = tools::repair(dir.path(), &|_| Ok(()), orders, 7).await.unwrap_err();
        assert!(matches!(error, StoreError::NothingLeft { .. }) && error.correction().contains("--accept-empty"), "{error}");
        assert_eq!(files(dir.path()), before);
    }
    let accepting = Orders { accept_empty: true, ..Orders::default() };
    assert!(tools::repair(dir.path(), &|_| Ok(()), accepting, 7).await.unwrap().kept.is_some());
    assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
    // A cluster that never had a record loses none.
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await.unwrap();
    raw(&dir.path().join(DATABASE_FILE), "DROP INDEX record_name").await;
    tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
}

/// How many versions each record of [`large`] has.
async fn versions(dir: &Path) -> usize {
    let store = open(dir).await;
    let mut found = 0;
    for record in store.load().await.unwrap().records {
        found += store.history(&record.kind, &record.key, None, 9).await.unwrap().len();
    }
    store.close().await.unwrap();
    found
}

#[tokio::test]
async fn a_bad_version_costs_no_other_one() {
    let harms = [
        "UPDATE history SET body = CAST(x'ff22' AS TEXT) WHERE serial = 1 AND key = '00-07'",
        "UPDATE history SET version = 5000000000 WHERE serial = 1 AND key = '00-07'",
        "UPDATE history SET body = '\"other\"' WHERE serial = 1 AND key = '00-07'",
    ];
    for harm in harms {
        let dir = tempfile::tempdir().unwrap();
        let file = large(dir.path()).await;
        let store = open(dir.path()).await;
        store.commit(group(1, 20, vec![vec![put("a", "00-07", "1")]])).await.unwrap();
        store.close().await.unwrap();
        raw(&file, harm).await;
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        let named = "row 8 of the history, a '00-07' of serial 1, is damaged";
        assert!(report.integrity.iter().any(|wrong| wrong.starts_with(named)), "{report:?}");
        let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
        assert!(repaired.notes.iter().any(|note| note.starts_with(named)), "{repaired:?}");
        assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
        assert_eq!(versions(dir.path()).await, 2000);
    }
}

#[tokio::test]
async fn damaged_pages_of_history_and_log_cost_only_what_is_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let body = format!("\"{}\"", "x".repeat(600));
    let command = |at: usize| vec![put("a", &format!("{at:04}"), "1"), put("a", "same", &body)];
    store.commit(group(0, 0, (0..600).map(command).collect())).await.unwrap();
    store.close().await.unwrap();
    let file = dir.path().join(DATABASE_FILE);
    for table in ["log", "history"] {
        let leaves = pages(&file, table, "leaf").await;
        for at in [leaves.len() / 4, leaves.len() / 2] {
            spoil(&file, leaves[at]);
        }
    }
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
    assert!(repaired.notes.iter().any(|note| note.contains("of the log can be read")), "{repaired:?}");
    assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
    let store = open(dir.path()).await;
    let serials: Vec<u64> = store.log(0, 1000).await.unwrap().iter().map(|entry| entry.serial).collect();
    assert!(serials.is_sorted() && serials.len() > 300 && serials.len() < 600, "{serials:?}");
    assert!(serials.contains(&1) && serials.contains(&230) && serials.contains(&600));
    let past: Vec<u64> = store.history("a", "same", None, 1000).await.unwrap().iter().map(|past| past.serial).collect();
    assert!(past.len() > 550 && past.len() < 600 && past.contains(&1) && past.contains(&600), "{past:?}");
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    with_broken_rows(dir.path()).await;
    let before = files(dir.path());
    let drop = [("a".to_string(), "1".to_string())];
    let told = tools::repair(dir.path(), &|_| Ok(()), Orders { drop: &drop, ..DRY }, 7).await.unwrap();
    assert_eq!(files(dir.path()), before);
    assert_eq!((told.dropped.len(), told.mended.len(), told.quarantined.len()), (1, 6, 2));
    let done = tools::repair(dir.path(), &|_| Ok(()), Orders { drop: &drop, ..Orders::default() }, 7).await.unwrap();
    assert_eq!(told, done);
}

#[tokio::test]
async fn a_dry_run_of_an_import_makes_nothing() {
    let (state, log) = full_state();
    let mut document = Vec::new();
    crate::Export { state: state.clone(), log: log.clone() }.write(&mut document).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    let plan = tools::plan_install(&folder, Export::parse(&document[..]).unwrap(), &|_| Ok(()), 99).unwrap();
    assert!(!folder.exists());
    assert_eq!((plan.serial, plan.epoch, plan.log_entries), (state.serial, 99, log.len()));
    assert_eq!(plan.counts.values().sum::<u64>(), state.records.len() as u64);
    assert_eq!(plan.quarantined.len(), state.quarantined.len());
    let bad = String::from_utf8(document.clone()).unwrap().replacen("\"serial\":4", "\"serial\":9223372036854775807", 1);
    assert!(matches!(
        tools::plan_install(&folder, Export::parse(bad.as_bytes()).unwrap(), &|_| Ok(()), 1).unwrap_err(),
        StoreError::Invalid { .. }
    ));
    tools::import(&folder, &document[..], false, 99).await.unwrap();
    let error = tools::plan_install(&folder, Export::parse(&document[..]).unwrap(), &|_| Ok(()), 99).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }));
}

#[tokio::test]
async fn a_database_that_is_gone_is_no_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(group(0, 0, vec![vec![put("a", "1", "1")]])).await.unwrap();
    let backup = dir.path().join("backup.json");
    let mut out = std::fs::File::create(&backup).unwrap();
    tools::export(dir.path(), true, &mut out).await.unwrap();
    store.close().await.unwrap();
    let file = dir.path().join(DATABASE_FILE);
    std::fs::remove_file(&file).unwrap();
    for error in [
        refused(dir.path()).await,
        tools::check(dir.path(), &|_| Ok(())).await.unwrap_err(),
        tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Gone { serial: 1, .. }) && error.needs_hands(), "{error:?}");
        assert!(!file.exists(), "an empty one was made");
    }
    // One that an older release made in its place is empty: nobody asked for that, either.
    let other = tempfile::tempdir().unwrap();
    open(other.path()).await.close().await.unwrap();
    std::fs::copy(other.path().join(DATABASE_FILE), &file).unwrap();
    let error = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap_err();
    assert!(matches!(error, StoreError::NothingLeft { .. }), "{error:?}");
    std::fs::remove_file(&file).unwrap();
    // What the engine keeps beside a file that was only looked at is no database.
    assert!(std::fs::metadata(dir.path().join("berth.db-wal")).is_ok_and(|log| log.len() == 0));
    tools::import(dir.path(), std::fs::File::open(&backup).unwrap(), false, 7).await.unwrap();
    let store = open(dir.path()).await;
    assert_eq!(store.load().await.unwrap().records.len(), 1);
}
