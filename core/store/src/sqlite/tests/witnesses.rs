//! What can happen to one record, or to what vouches for it.

use super::*;

const BODY: &str = "{\"n\":3,\"text\":\"the newest\"}";

/// Three records with two versions each, one deleted record; then `harm`, as SQL.
async fn harmed(harm: &str) -> (tempfile::TempDir, Loaded) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let old = |key: &str| put("a", key, "{\"n\":1}");
    store.commit(group(0, 0, vec![vec![old("1"), old("2"), old("3"), old("gone")]])).await.unwrap();
    store.commit(group(0, 1, vec![vec![delete("a", "gone")], vec![put("a", "1", BODY), put("a", "2", BODY)]])).await.unwrap();
    let before = store.load().await.unwrap();
    store.close().await.unwrap();
    raw(&dir.path().join(DATABASE_FILE), harm).await;
    (dir, before)
}

/// The record is quarantined for the reason, the others are served and can be changed, and repair puts all back as it was.
async fn is_mended(key: &str, harm: &str, why: &str) {
    let (dir, before) = harmed(harm).await;
    let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
    assert_eq!(report.broken.iter().map(|broken| (broken.key.as_str(), broken.why.as_str())).collect::<Vec<_>>(), [(key, why)]);
    let store = open(dir.path()).await;
    for _ in 0..2 {
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.quarantined.iter().map(|lost| (lost.key.as_str(), lost.why.as_str())).collect::<Vec<_>>(), [(key, why)]);
        assert_eq!((loaded.healed.len(), loaded.damage.len()), (0, 0));
        let served: Vec<_> = before.records.iter().filter(|record| record.key != key).collect();
        assert_eq!(loaded.records.iter().collect::<Vec<_>>(), served);
    }
    assert!(matches!(store.commit(group(0, 3, vec![vec![put("a", key, "1")]])).await.unwrap_err(), StoreError::Reserved { .. }));
    let other = if key == "3" { "2" } else { "3" };
    store.commit(group(0, 3, vec![vec![put("a", other, "4")], vec![put("a", "new", "4")]])).await.unwrap();
    store.close().await.unwrap();
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
    assert_eq!((repaired.mended.len(), repaired.quarantined.len()), (1, 0), "{repaired:?}");
    let store = open(dir.path()).await;
    let loaded = store.load().await.unwrap();
    assert_eq!((&loaded.quarantined[..], loaded.healed.len()), (&[][..], 0));
    let same = |record: &&Record| record.key != other && record.key != "new";
    assert!(loaded.records.iter().filter(same).eq(before.records.iter().filter(same)), "{harm}");
    store.commit(group(0, 5, vec![vec![put("a", key, "6")]])).await.unwrap();
    assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
}

#[tokio::test]
async fn a_record_that_two_deny_is_quarantined_and_mended() {
    is_mended("1", "DELETE FROM record WHERE key = '1'", "it is missing; serial 3 wrote it last").await;
    let cut = "UPDATE record SET body = substr(body, 1, 9) WHERE key = '1'";
    is_mended("1", cut, "its body is cut short: 9 of the 27 bytes that serial 3 wrote").await;
    let empty = "UPDATE record SET body = '' WHERE key = '2'";
    is_mended("2", empty, "its body is cut short: 0 of the 27 bytes that serial 3 wrote").await;
    let older = "UPDATE record SET (serial, version, body) = (SELECT serial, version, body FROM history WHERE key = '1' AND serial = 1) WHERE key = '1'";
    is_mended("1", older, "it is the version of serial 1, but serial 3 wrote it last").await;
    let body = "UPDATE record SET body = (SELECT body FROM history WHERE key = '1' AND serial = 1) WHERE key = '1'";
    is_mended("1", body, "it is not what serial 3 wrote").await;
    is_mended("3", "UPDATE record SET version = 9 WHERE key = '3'", "it is not what serial 1 wrote").await;
    let late = "UPDATE record SET serial = 2 WHERE key = '3'";
    is_mended("3", late, "it says that serial 2 wrote it, but that was serial 1").await;
    let renamed = "UPDATE record SET key = 'gone', serial = 1, body = '{\"n\":1}' WHERE key = '3'";
    let (dir, _) = harmed(renamed).await;
    let loaded = open(dir.path()).await.load().await.unwrap();
    let lost: Vec<_> = loaded.quarantined.iter().map(|lost| format!("{}: {}", lost.key, lost.why)).collect();
    assert_eq!(lost, ["3: it is missing; serial 1 wrote it last", "gone: it is there again, but serial 2 deleted it"]);
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
    assert_eq!(repaired.mended.len(), 2, "{repaired:?}");
    let keys: Vec<_> = open(dir.path()).await.load().await.unwrap().records.into_iter().map(|record| record.key).collect();
    assert_eq!(keys, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_good_record_is_served_and_what_vouches_for_it_is_healed() {
    for harm in [
        "DELETE FROM ledger WHERE key = '1'",
        "UPDATE ledger SET sum = 7 WHERE key = '1'",
        "UPDATE ledger SET serial = 1, sum = 7 WHERE key = '1'",
        "DELETE FROM ledger WHERE key = '1'; DELETE FROM history WHERE key = '1'",
    ] {
        let (dir, before) = harmed(harm).await;
        assert!(!tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound(), "{harm}");
        let store = open(dir.path()).await;
        let loaded = store.load().await.unwrap();
        assert_eq!(loaded.healed, ["the ledger did not have a 1 as serial 3 wrote it; it has now"], "{harm}");
        assert_eq!(Loaded { healed: vec![], ..loaded }, before);
        assert_eq!(store.load().await.unwrap(), before);
        assert_eq!(store.history("a", "1", None, 1).await.unwrap()[0].body.as_deref(), Some(BODY));
        assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
    }
    // A lost history alone is seen by nobody, and missed only when the record breaks, too.
    let (dir, before) = harmed("DELETE FROM history WHERE key = '1'; UPDATE ledger SET sum = 7 WHERE key = '1'").await;
    let loaded = open(dir.path()).await.load().await.unwrap();
    assert_eq!(loaded.quarantined[0].why, "it does not fit the check value that serial 3 left");
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 7).await.unwrap();
    assert_eq!((repaired.mended.len(), repaired.quarantined.len()), (0, 1));
    let drop = [("a".to_string(), "1".to_string())];
    assert_eq!(tools::repair(dir.path(), &|_| Ok(()), Orders { drop: &drop, ..Orders::default() }, 8).await.unwrap().dropped.len(), 1);
    let loaded = open(dir.path()).await.load().await.unwrap();
    assert_eq!((loaded.serial, loaded.records.len(), loaded.quarantined.len()), (before.serial + 1, 2, 0));
}

#[tokio::test]
async fn a_damaged_file_is_mended_from_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path()).await;
    let before = open(dir.path()).await.load().await.unwrap();
    let leaves = pages(&file, "record", "leaf").await;
    spoil(&file, leaves[30]);
    let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 77).await.unwrap();
    assert!(repaired.kept.is_some() && repaired.mended.len() > 2 && repaired.quarantined.is_empty(), "{repaired:?}");
    let store = open(dir.path()).await;
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(store.history("a", "00-01", None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn counters_that_are_older_than_the_log_are_named_and_mended() {
    for marked in [true, false] {
        let (dir, before) = harmed("UPDATE meta SET serial = 1, epoch = 0").await;
        if !marked {
            wal::Mark::remove(&dir.path().join(DATABASE_FILE)).unwrap();
        }
        let why = "they are at serial 1, the log goes on to serial 3";
        let error = refused(dir.path()).await.to_string();
        assert!(error.contains(why), "{error}");
        let report = tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.integrity.iter().any(|wrong| wrong.contains(why)), "{report:?}");
        let repaired = tools::repair(dir.path(), &|_| Ok(()), Orders::default(), 77).await.unwrap();
        assert!(repaired.quarantined.is_empty() && repaired.notes.iter().any(|note| note.contains(why)), "{repaired:?}");
        assert!(tools::check(dir.path(), &|_| Ok(())).await.unwrap().is_sound());
        let store = open(dir.path()).await;
        // Another controller may have led since those counters: the epoch is above any.
        assert_eq!(store.load().await.unwrap(), Loaded { epoch: 77, ..before.clone() });
        store.commit(group(77, before.serial, vec![vec![put("a", "more", "1")]])).await.unwrap();
    }
}

#[tokio::test]
async fn a_bundle_of_a_damaged_history_is_the_state_alone() {
    let harm = "UPDATE log SET changes = '{\"put\":[\"a 1\"]}' WHERE serial = 3; \
                UPDATE history SET body = CAST(x'ff22' AS TEXT) WHERE key = '1' AND serial = 1";
    for damaged in ["UPDATE history SET body = CAST(x'ff22' AS TEXT) WHERE key = '1'", harm] {
        let (dir, before) = harmed(&format!("UPDATE log SET changes = '{{\"put\":[\"a 1\"]}}' WHERE serial > 2; {damaged}")).await;
        let store = open(dir.path()).await;
        let bundle = crate::bundle::Bundle::take(&store, 1, "berth test", 7).await.unwrap();
        assert_eq!((bundle.records.len(), bundle.log.len(), bundle.log_begins), (before.records.len(), 0, before.serial + 1));
        assert!(bundle.damage.iter().any(|wrong| wrong.contains("the log is left out")), "{:?}", bundle.damage);
    }
}
