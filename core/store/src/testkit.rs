//! The tests that every store passes, whatever it keeps its state in.

use crate::error::StoreError;
use crate::store::{Pending, Store};
use crate::types::{
    Cluster, Entry, Loaded, LogEntry, LogFilter, MAX_BYTES, MAX_NAME_BYTES, MAX_WRITES, NO_DECISION, Past, Quarantined, Record,
    Transaction, Write,
};
use std::sync::Arc;

/// Where a store of some kind can be opened again and again; what was committed is there the next time.
pub trait Place: Send + Sync {
    /// Opens the store. The one that was opened before is not used any more, and was perhaps not closed.
    fn open(&self) -> Pending<'_, Arc<dyn Store>>;
}

/// Runs all tests, each in a place of its own.
pub async fn run_suite(make: &dyn Fn() -> Box<dyn Place>) {
    a_fresh_store_is_empty(&*make()).await;
    a_commit_is_there_after_opening_again(&*make()).await;
    a_group_is_one_step(&*make()).await;
    only_the_next_serial_is_accepted(&*make()).await;
    only_the_newest_epoch_may_write(&*make()).await;
    limits_are_kept(&*make()).await;
    a_refused_group_leaves_nothing(&*make()).await;
    bodies_come_back_as_they_were(&*make()).await;
    many_records_come_in_order(&*make()).await;
    the_log_can_be_read_on_and_trimmed(&*make()).await;
    a_record_has_a_history(&*make()).await;
    a_trimmed_history_still_has_what_the_log_builds_on(&*make()).await;
    the_log_is_audited(&*make()).await;
    a_cluster_is_founded_once(&*make()).await;
    a_quarantined_name_stays_reserved(&*make()).await;
    a_state_is_restored_only_into_an_empty_store(&*make()).await;
    a_dropped_commit_does_no_harm(&*make()).await;
    a_closed_store_says_so(&*make()).await;
}

/// A put of a small body.
pub fn put(kind: &str, key: &str, body: &str) -> Write {
    Write::Put { kind: kind.into(), key: key.into(), version: 1, body: body.into() }
}

/// A delete.
pub fn delete(kind: &str, key: &str) -> Write {
    Write::Delete { kind: kind.into(), key: key.into() }
}

/// A log entry as the suite writes it.
pub fn log_entry(serial: u64) -> LogEntry {
    LogEntry {
        serial,
        time_ms: 1_000 * i64::try_from(serial).unwrap(),
        actor: "tester".into(),
        origin: "suite".into(),
        command: format!("{{\"n\":{serial}}}"),
        changes: "[]".into(),
        decision: "[]".into(),
    }
}

/// One command for each list of writes.
pub fn group(epoch: u64, expected_serial: u64, commands: Vec<Vec<Write>>) -> Transaction {
    let entries = commands.into_iter().zip(expected_serial + 1..).map(|(writes, serial)| Entry { log: log_entry(serial), writes });
    Transaction { epoch, expected_serial, entries: entries.collect() }
}

fn keys(loaded: &Loaded) -> Vec<String> {
    loaded.records.iter().map(|record| format!("{} {} {} {}", record.kind, record.key, record.serial, record.body)).collect()
}

async fn a_fresh_store_is_empty(place: &dyn Place) {
    let store = place.open().await.unwrap();
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    assert_eq!(store.log(0, 10).await.unwrap(), []);
    assert_eq!(store.trim_log(i64::MAX).await.unwrap(), 0);
}

async fn a_commit_is_there_after_opening_again(place: &dyn Place) {
    let store = place.open().await.unwrap();
    assert_eq!(store.take_epoch(0).await.unwrap(), 1);
    assert_eq!(store.commit(group(1, 0, vec![vec![put("node", "a", "{}")]])).await.unwrap(), 1);
    let before = store.load().await.unwrap();
    assert_eq!(before.records, [Record { kind: "node".into(), key: "a".into(), version: 1, serial: 1, body: "{}".into() }]);
    drop(store);
    let store = place.open().await.unwrap();
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(store.log(0, 10).await.unwrap(), [log_entry(1)]);
    assert_eq!(store.take_epoch(1).await.unwrap(), 2);
    assert_eq!(store.commit(group(2, 1, vec![vec![delete("node", "a"), delete("node", "never")]])).await.unwrap(), 2);
    assert_eq!(store.load().await.unwrap().records, []);
}

async fn a_group_is_one_step(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commands = vec![
        vec![put("a", "1", "1"), put("a", "2", "1")],
        vec![put("a", "1", "2"), delete("a", "2"), put("a", "3", "2")],
        vec![],
        vec![delete("a", "3"), put("a", "3", "4"), put("a", "4", "4"), delete("a", "4")],
    ];
    assert_eq!(store.commit(group(0, 0, commands)).await.unwrap(), 4);
    assert_eq!(keys(&store.load().await.unwrap()), ["a 1 2 2", "a 3 4 4"]);
    assert_eq!(store.log(0, 10).await.unwrap(), (1..=4).map(log_entry).collect::<Vec<_>>());
}

async fn only_the_next_serial_is_accepted(place: &dyn Place) {
    let store = place.open().await.unwrap();
    store.commit(group(0, 0, vec![vec![put("a", "1", "1")]])).await.unwrap();
    for wrong in [0, 2, 7] {
        let error = store.commit(group(0, wrong, vec![vec![put("a", "1", "2")]])).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { expected, found: 1 } if expected == wrong), "{error:?}");
    }
    let mut gap = group(0, 1, vec![vec![], vec![]]);
    gap.entries[1].log.serial = 4;
    assert!(matches!(store.commit(gap).await.unwrap_err(), StoreError::Invalid { .. }));
    assert!(matches!(store.commit(group(0, 1, vec![])).await.unwrap_err(), StoreError::Invalid { .. }));
    for far in [u64::MAX, i64::MAX as u64] {
        let beyond = Transaction { expected_serial: far, ..group(0, 0, vec![vec![]]) };
        assert!(matches!(store.commit(beyond).await.unwrap_err(), StoreError::Invalid { .. }));
    }
    assert_eq!(keys(&store.load().await.unwrap()), ["a 1 1 1"]);
    assert_eq!(store.log(0, 10).await.unwrap().len(), 1);
}

async fn only_the_newest_epoch_may_write(place: &dyn Place) {
    let store = place.open().await.unwrap();
    assert_eq!(store.take_epoch(0).await.unwrap(), 1);
    assert!(matches!(store.take_epoch(0).await.unwrap_err(), StoreError::Deposed { expected: 0, found: 1 }));
    assert_eq!(store.take_epoch(1).await.unwrap(), 2);
    let error = store.commit(group(1, 0, vec![vec![]])).await.unwrap_err();
    assert!(matches!(error, StoreError::Deposed { expected: 1, found: 2 }), "{error:?}");
    assert_eq!(store.commit(group(2, 0, vec![vec![]])).await.unwrap(), 1);
}

async fn limits_are_kept(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commit = async |writes: Vec<Write>| store.commit(group(0, 0, vec![writes])).await.unwrap_err();
    let many = (0..=MAX_WRITES).map(|at| put("a", &at.to_string(), "1")).collect();
    assert!(matches!(commit(many).await, StoreError::TooLarge { limit: MAX_WRITES, .. }));
    let large = format!("\"{}\"", "x".repeat(MAX_BYTES));
    assert!(matches!(commit(vec![put("a", "1", &large)]).await, StoreError::TooLarge { limit: MAX_BYTES, .. }));
    for bad in ["", "nul\0", "line\n", &"x".repeat(MAX_NAME_BYTES + 1)] {
        assert!(matches!(commit(vec![put("a", bad, "1")]).await, StoreError::Invalid { .. }), "{bad:?}");
        assert!(matches!(commit(vec![delete(bad, "a")]).await, StoreError::Invalid { .. }), "{bad:?}");
    }
    for bad in ["", "{", "{} {}", "nan"] {
        assert!(matches!(commit(vec![put("a", "1", bad)]).await, StoreError::Invalid { .. }), "{bad:?}");
    }
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    // What is just within the limits is kept.
    let body = format!("\"{}\"", "x".repeat(9_000));
    let most = (0..MAX_WRITES).map(|at| put("a", &at.to_string(), &body)).collect();
    assert_eq!(store.commit(group(0, 0, vec![most])).await.unwrap(), 1);
    assert_eq!(store.load().await.unwrap().records.len(), MAX_WRITES);
}

async fn a_refused_group_leaves_nothing(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commands = vec![vec![put("a", "1", "1")], vec![put("a", "2", "1"), put("a", "", "1")]];
    assert!(matches!(store.commit(group(0, 0, commands)).await.unwrap_err(), StoreError::Invalid { .. }));
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    assert_eq!(store.log(0, 10).await.unwrap(), []);
}

async fn bodies_come_back_as_they_were(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let bodies =
        ["{ \"b\" : 1.0, \"a\" : 18446744073709551615 }", "\"\\u0000 \\ud83d\\ude00 ü\"", "null", "1e400", "{\"a\":1,\"a\":2}", " [] "];
    let writes = bodies.iter().enumerate().map(|(at, body)| put("ü/'\"", &format!("%_{at}"), body)).collect();
    store.commit(group(0, 0, vec![writes])).await.unwrap();
    let found = store.load().await.unwrap();
    assert_eq!(found.records.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), bodies);
}

async fn many_records_come_in_order(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commands = (0..50).map(|n| (0..MAX_WRITES).map(|at| put(&format!("k{}", at % 3), &format!("{at}-{n}"), "1")).collect());
    assert_eq!(store.commit(group(0, 0, commands.collect())).await.unwrap(), 50);
    let records = store.load().await.unwrap().records;
    assert_eq!(records.len(), 50 * MAX_WRITES);
    assert!(records.is_sorted_by(|a, b| (&a.kind, &a.key) < (&b.kind, &b.key)));
    assert!(records.iter().all(|record| record.key.ends_with(&format!("-{}", record.serial - 1))));
}

async fn the_log_can_be_read_on_and_trimmed(place: &dyn Place) {
    let store = place.open().await.unwrap();
    store.commit(group(0, 0, vec![vec![]; 10])).await.unwrap();
    let serials = async |after, limit| store.log(after, limit).await.unwrap().iter().map(|entry| entry.serial).collect::<Vec<_>>();
    assert_eq!(serials(3, 4).await, [4, 5, 6, 7]);
    assert_eq!(serials(10, 4).await, [0; 0]);
    assert_eq!(serials(u64::MAX, 4).await, [0; 0]);
    assert_eq!(store.trim_log(4_000).await.unwrap(), 3);
    assert_eq!(serials(0, 3).await, [4, 5, 6]);
    // A clock that was set back must not tear a hole.
    let mut early = group(0, 10, vec![vec![], vec![]]);
    early.entries[0].log.time_ms = 1;
    store.commit(early).await.unwrap();
    assert_eq!(store.trim_log(8_500).await.unwrap(), 5);
    assert_eq!(serials(0, 9).await, [9, 10, 11, 12]);
    assert_eq!(store.trim_log(i64::MAX).await.unwrap(), 4);
    assert_eq!(store.load().await.unwrap().serial, 12);
}

/// "serial body" of the versions of a record, `-` for a deletion.
async fn versions(store: &dyn Store, key: &str, before: Option<u64>, limit: usize) -> Vec<String> {
    let versions = store.history("a", key, before, limit).await.unwrap();
    versions.into_iter().map(|past| format!("{} {}", past.serial, past.body.as_deref().unwrap_or("-"))).collect()
}

async fn a_record_has_a_history(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commands = vec![
        vec![put("a", "1", "1"), put("a", "2", "1")],
        vec![put("a", "1", "2"), delete("a", "1"), put("a", "1", "3")],
        vec![delete("a", "1")],
    ];
    store.commit(group(0, 0, commands)).await.unwrap();
    store.commit(group(0, 3, vec![vec![put("a", "1", "4")], vec![put("b", "1", "5")]])).await.unwrap();
    drop(store);
    let store = place.open().await.unwrap();
    // Each command's version, also those that others of the group replaced; a command writes a record once.
    assert_eq!(versions(&*store, "1", None, 9).await, ["4 4", "3 -", "2 3", "1 1"]);
    assert_eq!(versions(&*store, "1", Some(4), 2).await, ["3 -", "2 3"]);
    assert_eq!(versions(&*store, "1", Some(u64::MAX), 1).await, ["4 4"]);
    assert_eq!(versions(&*store, "2", None, 9).await, ["1 1"]);
    assert_eq!(versions(&*store, "3", None, 9).await, [""; 0]);
    assert_eq!(store.history("b", "1", None, 9).await.unwrap(), [Past { serial: 5, version: 1, body: Some("5".into()) }]);
    assert_eq!(store.history("a", "1", Some(4), 1).await.unwrap(), [Past { serial: 3, version: 0, body: None }]);
    assert_eq!(newest(&*store).await, ["1 4", "2 1"]);
}

/// Key and body of each record of kind `a`, which its newest version must be.
async fn newest(store: &dyn Store) -> Vec<String> {
    let mut found = Vec::new();
    for record in store.load().await.unwrap().records.iter().filter(|record| record.kind == "a") {
        let newest = store.history("a", &record.key, None, 1).await.unwrap().remove(0);
        assert_eq!((newest.serial, newest.version, newest.body.as_ref()), (record.serial, record.version, Some(&record.body)));
        found.push(format!("{} {}", record.key, record.body));
    }
    found
}

async fn a_trimmed_history_still_has_what_the_log_builds_on(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let commands = vec![
        vec![put("a", "live", "1"), put("a", "gone", "1"), put("a", "old", "1")],
        vec![put("a", "live", "2")],
        vec![put("a", "live", "3"), delete("a", "gone")],
        vec![delete("a", "old"), put("a", "late", "4")],
        vec![put("a", "live", "5"), put("a", "late", "5")],
        vec![delete("a", "late")],
    ];
    store.commit(group(0, 0, commands)).await.unwrap();
    // The log begins with serial 4 now.
    assert_eq!(store.trim_log(4_000).await.unwrap(), 3);
    assert_eq!(versions(&*store, "live", None, 9).await, ["5 5", "3 3"]);
    assert_eq!(versions(&*store, "gone", None, 9).await, [""; 0]);
    assert_eq!(versions(&*store, "old", None, 9).await, ["4 -", "1 1"]);
    assert_eq!(versions(&*store, "late", None, 9).await, ["6 -", "5 5", "4 4"]);
    assert_eq!(store.trim_log(i64::MAX).await.unwrap(), 3);
    assert_eq!(versions(&*store, "live", None, 9).await, ["5 5"]);
    for gone in ["old", "late"] {
        assert_eq!(versions(&*store, gone, None, 9).await, [""; 0]);
    }
    assert_eq!(store.trim_log(i64::MAX).await.unwrap(), 0);
    assert_eq!(store.commit(group(0, 6, vec![vec![put("a", "live", "7")]])).await.unwrap(), 7);
    assert_eq!(versions(&*store, "live", None, 9).await, ["7 7", "5 5"]);
}

async fn the_log_is_audited(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let command = |serial: u64| match serial % 4 {
        0 => "{\"command\":\"create\",\"n\":0}",
        1 => "{\"n\":1,\"command\":\"delete\"}",
        2 => "{\"command\":7}",
        _ => "[\"create\"]",
    };
    let entries = (1..=40).map(|serial| Entry {
        log: LogEntry {
            serial,
            // The clock was set back once.
            time_ms: if serial <= 20 { 1_000 * serial.cast_signed() } else { 1_000 * (serial.cast_signed() - 5) },
            actor: if serial % 2 == 0 { "even".into() } else { "odd".into() },
            origin: format!("10.0.0.{}:{}", serial % 10, 1000 + serial),
            command: command(serial).into(),
            changes: "[]".into(),
            decision: if serial == 3 { "[{\"why\":\"x\"}]".into() } else { NO_DECISION.into() },
        },
        writes: vec![put("res", &format!("X{}/N{}", serial % 3, serial % 5), "1"), put("dfn", &format!("X{}", serial % 3), "1")],
    });
    store.commit(Transaction { epoch: 0, expected_serial: 0, entries: entries.collect() }).await.unwrap();
    let all: Vec<LogEntry> = store.log(0, 100).await.unwrap();
    assert_eq!(all[2].decision, "[{\"why\":\"x\"}]");
    assert!(all.iter().filter(|entry| entry.serial != 3).all(|entry| entry.decision == NO_DECISION));
    let text = |text: &str| Some(text.to_string());
    let names = |names: &[(&str, &str)]| names.iter().map(|(kind, key)| (kind.to_string(), key.to_string())).collect::<Vec<_>>();
    let none = LogFilter::default();
    let filters = [
        LogFilter { before: Some(7), ..none.clone() },
        LogFilter { after: Some(37), ..none.clone() },
        LogFilter { before: Some(u64::MAX), after: Some(u64::MAX), ..none.clone() },
        LogFilter { from_ms: Some(18_000), ..none.clone() },
        LogFilter { to_ms: Some(17_000), ..none.clone() },
        LogFilter { from_ms: Some(16_000), to_ms: Some(20_000), actor: text("odd"), ..none.clone() },
        LogFilter { from_ms: Some(20_500), to_ms: Some(20_600), ..none.clone() },
        LogFilter { actor: text("odd"), before: Some(20), ..none.clone() },
        LogFilter { actor: text("nobody"), ..none.clone() },
        LogFilter { origin: text("10.0.0.1"), ..none.clone() },
        LogFilter { origin: text("10.0.0"), ..none.clone() },
        LogFilter { origin: text("10.0.0.7:1007"), ..none.clone() },
        LogFilter { command: text("create"), actor: text("even"), origin: text("10.0.0.4"), ..none.clone() },
        LogFilter { command: text("7"), ..none.clone() },
        LogFilter { command: text("delete"), to_ms: Some(9_000), ..none.clone() },
        LogFilter { objects: names(&[("dfn", "X1")]), ..none.clone() },
        LogFilter { objects: names(&[("res", "X1/"), ("dfn", "X2")]), after: Some(10), ..none.clone() },
        LogFilter { objects: names(&[("res", "X1/N1"), ("res", "X"), ("res", "none/")]), command: text("delete"), ..none.clone() },
        none,
    ];
    for filter in filters {
        let touched = |serial: u64| {
            filter.names("res", &format!("X{}/N{}", serial % 3, serial % 5)) || filter.names("dfn", &format!("X{}", serial % 3))
        };
        let fits = |entry: &&LogEntry| filter.fits(entry) && (filter.objects.is_empty() || touched(entry.serial));
        let expected: Vec<u64> = all.iter().rev().filter(fits).map(|entry| entry.serial).collect();
        let found = store.audit(filter.clone(), 100).await.unwrap();
        assert_eq!(found.iter().map(|entry| entry.serial).collect::<Vec<_>>(), expected, "{filter:?}");
        assert!(found.iter().all(|entry| all.contains(entry)));
        let page = store.audit(filter.clone(), 3).await.unwrap();
        assert_eq!(page[..], found[..found.len().min(3)], "{filter:?}");
    }
    assert_eq!(store.audit(LogFilter { command: text("create"), ..LogFilter::default() }, 100).await.unwrap().len(), 10);
    assert_eq!(store.audit(LogFilter { objects: names(&[("res", "X1/")]), ..LogFilter::default() }, 100).await.unwrap().len(), 14);
}

async fn a_cluster_is_founded_once(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let first = Cluster { id: "first".into(), created_ms: 7 };
    assert_eq!(store.found(first.clone()).await.unwrap(), first);
    drop(store);
    let store = place.open().await.unwrap();
    assert_eq!(store.found(Cluster { id: "second".into(), created_ms: 8 }).await.unwrap(), first);
    assert_eq!(store.load().await.unwrap().cluster, Some(first));
}

async fn a_quarantined_name_stays_reserved(place: &dyn Place) {
    let store = place.open().await.unwrap();
    store.commit(group(0, 0, vec![vec![put("a", "1", "{}"), put("a", "2", "{}")]])).await.unwrap();
    assert!(matches!(store.quarantine("a", "3", "odd", 5).await.unwrap_err(), StoreError::NotFound { .. }));
    store.quarantine("a", "1", "odd", 5).await.unwrap();
    store.quarantine("a", "1", "odd again", 6).await.unwrap();
    drop(store);
    let store = place.open().await.unwrap();
    let refused = |error| matches!(error, StoreError::Reserved { kind, key, .. } if kind == "a" && key == "1");
    assert!(refused(store.commit(group(0, 1, vec![vec![put("a", "1", "{}")]])).await.unwrap_err()));
    assert!(refused(store.commit(group(0, 1, vec![vec![put("b", "1", "{}")], vec![delete("a", "1")]])).await.unwrap_err()));
    let loaded = store.load().await.unwrap();
    assert_eq!(keys(&loaded), ["a 2 1 {}"]);
    let lost =
        Quarantined { kind: "a".into(), key: "1".into(), version: 1, serial: 1, why: "odd".into(), since_ms: 5, body: b"{}".to_vec() };
    assert_eq!(loaded.quarantined, [lost]);
    assert_eq!(store.commit(group(0, 1, vec![vec![put("a", "2", "2")]])).await.unwrap(), 2);
    assert!(matches!(store.release("a", "2").await.unwrap_err(), StoreError::NotFound { .. }));
    assert_eq!(store.release("a", "1").await.unwrap().body, "{}");
    assert_eq!(store.commit(group(0, 2, vec![vec![put("a", "1", "3")]])).await.unwrap(), 3);
    let loaded = store.load().await.unwrap();
    assert_eq!((keys(&loaded), loaded.quarantined), (vec!["a 1 3 3".to_string(), "a 2 2 2".to_string()], vec![]));
}

/// A state with one of everything.
pub fn full_state() -> (Loaded, Vec<LogEntry>) {
    let record = |key: &str, body: &str| Record { kind: "a".into(), key: key.into(), version: 3, serial: 2, body: body.into() };
    let lost = |key: &str, body: &[u8]| {
        let (why, body) = ("odd".to_string(), body.to_vec());
        Quarantined { kind: "a".into(), key: key.into(), version: 1, serial: 1, why, since_ms: 9, body }
    };
    let state = Loaded {
        serial: 4,
        epoch: 3,
        cluster: Some(Cluster { id: "c".into(), created_ms: 1 }),
        records: vec![record("1", "{ \"x\": 1.0 }"), record("2", "null")],
        quarantined: vec![lost("3", b"{"), lost("4", &[0xff, 0x00])],
        damage: vec![],
        healed: vec![],
    };
    (state, vec![log_entry(3), log_entry(4)])
}

async fn a_state_is_restored_only_into_an_empty_store(place: &dyn Place) {
    let store = place.open().await.unwrap();
    let (state, log) = full_state();
    let spoil = |change: fn(&mut Loaded)| {
        let mut state = state.clone();
        change(&mut state);
        state
    };
    let bad = [
        spoil(|state| state.records[0].body = "{".into()),
        spoil(|state| state.records[0].key = "2".into()),
        spoil(|state| state.records[0].serial = 5),
        spoil(|state| state.quarantined[0].key = "2".into()),
        spoil(|state| state.serial = 3),
        spoil(|state| state.epoch = u64::MAX),
    ];
    for bad in bad {
        assert!(matches!(store.restore(bad, log.clone()).await.unwrap_err(), StoreError::Invalid { .. }));
    }
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    store.restore(state.clone(), log.clone()).await.unwrap();
    assert_eq!(store.load().await.unwrap(), state);
    assert_eq!(store.log(0, 9).await.unwrap(), log);
    assert_eq!(newest(&*store).await, ["1 { \"x\": 1.0 }", "2 null"]);
    assert!(matches!(store.restore(state, log).await.unwrap_err(), StoreError::Invalid { .. }));
    assert!(matches!(store.commit(group(3, 4, vec![vec![put("a", "3", "1")]])).await.unwrap_err(), StoreError::Reserved { .. }));
    assert_eq!(store.commit(group(3, 4, vec![vec![put("a", "5", "1")]])).await.unwrap(), 5);
}

async fn a_dropped_commit_does_no_harm(place: &dyn Place) {
    let store = place.open().await.unwrap();
    for polls in 1..12 {
        let serial = store.load().await.unwrap().serial;
        let mut commit = store.commit(group(0, serial, vec![vec![put("a", "1", "1"), put("a", "2", "2")], vec![delete("a", "1")]]));
        for _ in 0..polls {
            let done = std::future::poll_fn(|context| std::task::Poll::Ready(commit.as_mut().poll(context).is_ready())).await;
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        // It took place or it did not; either way the next one works.
        let loaded = loop {
            let loaded = store.load().await.unwrap();
            match store.commit(group(0, loaded.serial, vec![vec![put("b", "1", "1")]])).await {
                Ok(_) => break store.load().await.unwrap(),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(store.log(0, 1000).await.unwrap().len() as u64, loaded.serial);
        assert!(!loaded.records.iter().any(|record| record.kind == "a" && record.key == "1"));
    }
}

async fn a_closed_store_says_so(place: &dyn Place) {
    let store = place.open().await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.load().await.unwrap_err(), StoreError::Closed));
    assert!(matches!(store.commit(group(0, 0, vec![vec![]])).await.unwrap_err(), StoreError::Closed));
    let store = place.open().await.unwrap();
    assert_eq!(store.commit(group(0, 0, vec![vec![]])).await.unwrap(), 1);
}

/// A folder of its own for SQLite.
pub struct Folder(pub tempfile::TempDir);

impl Place for Folder {
    fn open(&self) -> Pending<'_, Arc<dyn Store>> {
        Box::pin(async { Ok(Arc::new(crate::SqliteStore::open(self.0.path()).await?) as Arc<dyn Store>) })
    }
}

/// A store that hands its state on to the next one.
pub struct Memory(std::sync::Mutex<Arc<crate::MemoryStore>>);

impl Place for Memory {
    fn open(&self) -> Pending<'_, Arc<dyn Store>> {
        let mut now = self.0.lock().unwrap();
        *now = Arc::new(now.restart());
        let store: Arc<dyn Store> = now.clone();
        Box::pin(std::future::ready(Ok(store)))
    }
}

#[tokio::test]
async fn sqlite_passes_the_suite() {
    run_suite(&|| Box::new(Folder(tempfile::tempdir().unwrap()))).await;
}

#[tokio::test]
async fn memory_passes_the_suite() {
    run_suite(&|| Box::new(Memory(std::sync::Mutex::default()))).await;
}

#[tokio::test]
async fn memory_fails_as_it_is_told() {
    use crate::CommitFault::{Full, Lost, ReadOnly, Unclear};
    let store = crate::MemoryStore::new();
    store.fail_commits([Full, ReadOnly, Lost, Unclear]);
    let commit = async |expected| store.commit(group(0, expected, vec![vec![put("a", "1", "1")]])).await;
    assert!(matches!(commit(0).await.unwrap_err(), StoreError::Full { .. }));
    assert!(matches!(commit(0).await.unwrap_err(), StoreError::ReadOnly { .. }));
    assert!(matches!(commit(0).await.unwrap_err(), StoreError::Disk { .. }));
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    assert!(matches!(commit(0).await.unwrap_err(), StoreError::Disk { .. }));
    assert_eq!(keys(&store.load().await.unwrap()), ["a 1 1 1"]);
    assert!(matches!(commit(0).await.unwrap_err(), StoreError::Conflict { found: 1, .. }));
    store.slow_commits(2);
    let mut slow = store.commit(group(0, 1, vec![vec![]]));
    for ready in [false, false, true] {
        let now = std::future::poll_fn(|context| std::task::Poll::Ready(slow.as_mut().poll(context).is_ready())).await;
        assert_eq!(now, ready);
    }
    store.change_loads(|loaded| Loaded { records: vec![], ..loaded });
    assert_eq!(store.load().await.unwrap().records, []);
    store.keep_loads();
    assert_eq!(store.load().await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn the_faults_of_memory_are_those_of_a_disk() {
    let store = crate::MemoryStore::new();
    store.refuse_commits(1);
    assert!(matches!(store.commit(group(0, 0, vec![vec![]])).await.unwrap_err(), StoreError::Full { .. }));
    assert_eq!(store.commit(group(0, 0, vec![vec![]])).await.unwrap(), 1);
    store.lose_commits();
    assert_eq!(store.commit(group(0, 1, vec![vec![]])).await.unwrap(), 2);
    let held = store.hold_commits().await;
    let mut waiting = store.commit(group(0, 2, vec![vec![]]));
    let pending = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    drop(held);
    assert_eq!(waiting.await.unwrap(), 3);
    let next = store.restart();
    assert!(matches!(store.load().await.unwrap_err(), StoreError::Closed));
    assert_eq!(next.load().await.unwrap().serial, 1);
}
