//! A log (WAL) that the disk has damaged or lost in part.

use super::*;
use std::os::unix::fs::FileExt;

/// A folder as a killed process leaves it: 20 commits, all in the log.
async fn killed() -> tempfile::TempDir {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(dir.path()).await;
    for serial in 0..20 {
        let body = format!("\"{}\"", "x".repeat(600));
        store.commit(group(0, serial, vec![vec![put("a", &serial.to_string(), &body)]])).await.unwrap();
    }
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "berth.db-shm" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    store.close().await.unwrap();
    copy
}

fn log_of(dir: &tempfile::TempDir) -> std::fs::File {
    std::fs::OpenOptions::new().read(true).write(true).open(dir.path().join("berth.db-wal")).unwrap()
}

#[tokio::test]
async fn a_whole_log_is_taken() {
    let dir = killed().await;
    assert_eq!(wal::look(&dir.path().join(DATABASE_FILE)).unwrap(), None);
    assert_eq!(open(dir.path()).await.load().await.unwrap().records.len(), 20);
}

#[tokio::test]
async fn a_commit_that_was_cut_short_is_dropped() {
    let dir = killed().await;
    // As if the process had died while it wrote a commit that nobody was told of.
    Mark(&dir).set(19);
    let log = log_of(&dir);
    log.set_len(log.metadata().unwrap().len() - 2000).unwrap();
    assert_eq!(open(dir.path()).await.load().await.unwrap().serial, 19);
}

struct Mark<'a>(&'a tempfile::TempDir);

impl Mark<'_> {
    fn set(&self, serial: u64) {
        wal::Mark::open(&self.0.path().join(DATABASE_FILE)).unwrap().note(serial);
    }
}

#[tokio::test]
async fn flipped_bytes_are_named_and_all_is_found_again() {
    for place in [5, 10, 40] {
        let dir = killed().await;
        let log = log_of(&dir);
        let at = log.metadata().unwrap().len() * place / 100;
        let mut byte = [0];
        log.read_exact_at(&mut byte, at).unwrap();
        log.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        let before = std::fs::read(dir.path().join("berth.db-wal")).unwrap();
        for _ in 0..2 {
            let error = refused(dir.path()).await;
            assert!(matches!(&error, StoreError::Corrupt { .. }) && error.to_string().contains("berth.db-wal"), "{error}");
        }
        assert_eq!(std::fs::read(dir.path().join("berth.db-wal")).unwrap(), before, "a refusal changes nothing");
        assert!(!tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
        let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
        assert!(repaired.quarantined.is_empty(), "{repaired:?}");
        assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
        let loaded = open(dir.path()).await.load().await.unwrap();
        assert_eq!((loaded.serial, loaded.records.len(), loaded.damage.len()), (20, 20, 0), "{place}%: {repaired:?}");
        assert_eq!(std::fs::read(dir.path().join("berth.db-wal.damaged-7")).unwrap(), before);
    }
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_named() {
    for part in [0, 1, 2] {
        let dir = killed().await;
        let log = log_of(&dir);
        log.set_len(log.metadata().unwrap().len() * part / 4).unwrap();
        let error = refused(dir.path()).await;
        assert!(matches!(&error, StoreError::Corrupt { .. }) && error.to_string().contains("serial 20"), "{error}");
        let report = tools::check(dir.path(), &|_| Ok(())).await;
        // Without its log, a young file is no database at all.
        if let Ok(report) = report {
            assert!(!report.is_sound());
            let repaired = match tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await {
                // Nothing at all is left of what was acknowledged: that is taken only from whoever says so.
                Err(StoreError::NothingLeft { .. }) if report.serial == 0 => {
                    let accepting = Orders { accept_empty: true, ..Orders::default() };
                    tools::repair(dir.path(), &|_| Ok(()), accepting, 7).await.unwrap()
                }
                other => {
                    assert!(report.serial > 0, "{other:?}");
                    other.unwrap()
                }
            };
            assert!(repaired.notes.iter().any(|note| note.contains("serial 20")), "{repaired:?}");
            let store = open(dir.path()).await;
            let serial = store.load().await.unwrap().serial;
            assert!(serial < 20);
            store.commit(group(0, serial, vec![vec![put("a", "more", "1")]])).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_dry_run_leaves_a_damaged_log_as_it_is() {
    let dir = killed().await;
    let log = log_of(&dir);
    log.write_all_at(&[0x55; 3], log.metadata().unwrap().len() / 10).unwrap();
    let file = dir.path().join("berth.db-wal");
    let before = std::fs::read(&file).unwrap();
    let dry = Orders { dry_run: true, ..Orders::default() };
    let told = tools::repair(dir.path(), &|_| Ok(()), dry, 7).await.unwrap();
    assert!(told.notes.iter().any(|note| note.contains("is damaged at frame")), "{told:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert!(!dir.path().join("berth.db.dry-run").exists());
    // Nor does a refusal change it.
    let wrong = [("a".to_string(), "none".to_string())];
    let refusal = tools::repair(dir.path(), &|_| Ok(()), Orders { drop: &wrong, ..Orders::default() }, 7).await.unwrap_err();
    assert!(matches!(refusal, StoreError::NotFound { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
