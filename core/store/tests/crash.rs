//! The process that writes is killed at any moment; what it acknowledged is there afterwards, whole and in order.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth_store::{Entry, LogEntry, SqliteStore, Store, Transaction, Write};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// The folder that the writing process works in; set only for that process.
const FOLDER: &str = "BERTH_CRASH_FOLDER";

fn entry(serial: u64) -> Entry {
    let put = |key: String| Write::Put { kind: "counter".into(), key, version: 1, body: format!("{{\"serial\":{serial}}}") };
    let log = LogEntry {
        serial,
        time_ms: 0,
        actor: "tester".into(),
        origin: "crash".into(),
        command: "{}".into(),
        changes: "[]".into(),
        decision: "[]".into(),
    };
    Entry { log, writes: vec![put("last".into()), put(format!("{serial}"))] }
}

/// Not a test by itself: with the variable set it writes without end and says what was acknowledged.
#[tokio::test]
async fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = SqliteStore::open(Path::new(&folder)).await.unwrap();
    let loaded = store.load().await.unwrap();
    let (epoch, mut serial) = (store.take_epoch(loaded.epoch).await.unwrap(), loaded.serial);
    let mut out = std::io::stdout();
    loop {
        let size = 1 + serial % 5;
        let entries = (serial + 1..=serial + size).map(entry).collect();
        serial = store.commit(Transaction { epoch, expected_serial: serial, entries }).await.unwrap();
        // One write call for each line, so that a line is never cut.
        out.write_all(format!("acknowledged {serial}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let rounds = if std::env::var_os("BERTH_LONG").is_some() { 200 } else { 8 };
    let dir = tempfile::tempdir().unwrap();
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let wanted = 3 + round * 7 % 40;
        let mut seen = 0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            if let Some(serial) = line.strip_prefix("acknowledged ") {
                acknowledged = serial.parse::<u64>().unwrap();
                seen += 1;
                if seen == wanted {
                    // SIGKILL, in the middle of a later commit most of the time.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(seen >= wanted, "the writer ended by itself");

        let store = SqliteStore::open(dir.path()).await.unwrap();
        let loaded = store.load().await.unwrap();
        assert!(loaded.serial >= acknowledged, "{} < {acknowledged}", loaded.serial);
        assert_eq!((loaded.quarantined.len(), loaded.damage.len()), (0, 0));
        assert_eq!(loaded.records.len() as u64, loaded.serial + 1);
        let last = loaded.records.iter().find(|record| record.key == "last").unwrap();
        assert_eq!(last.serial, loaded.serial);
        let log = store.log(0, usize::MAX).await.unwrap();
        assert!(log.iter().map(|entry| entry.serial).eq(1..=loaded.serial));
        store.close().await.unwrap();
        let report = berth_store::tools::check(dir.path(), &|_| Ok(())).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}
