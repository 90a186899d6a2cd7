//! Measures the store on this disk: `cargo run --release --example commit_rate -p berth-store [-- FOLDER]`.
//!
//! Commands of two puts (400 bytes each), in groups as waiting clients would form them; then the time to load what was written.

use berth_store::{Entry, LogEntry, SqliteStore, Store, Transaction, Write};
use std::time::Instant;

fn entry(serial: u64, spread: u64) -> Entry {
    let body = format!("{{\"serial\":{serial},\"text\":\"{}\"}}", "x".repeat(370));
    let put = |kind: &str, key: u64| Write::Put { kind: kind.into(), key: format!("{key:08}"), version: 1, body: body.clone() };
    let log = LogEntry {
        serial,
        time_ms: 0,
        actor: "bench".into(),
        origin: "127.0.0.1".into(),
        command: "{\"create\":\"resource-definition\"}".into(),
        changes: "[\"resource-definition\"]".into(),
        decision: "[]".into(),
    };
    Entry { log, writes: vec![put("resource-definition", serial % spread), put("volume-definition", serial % spread)] }
}

/// Seconds of processor time that this process has used, all threads together: unlike the clock, not disturbed by neighbours.
fn cpu_seconds() -> std::io::Result<f64> {
    let mut nanos = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(nanos as f64 / 1e9)
}

/// Bytes that this process has handed to the system in writes.
fn written() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    Ok(text.lines().find_map(|line| line.strip_prefix("wchar: ")).and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = tempfile::tempdir()?;
    let folder = std::env::args().nth(1).map_or_else(|| own.path().to_path_buf(), Into::into);
    let store = SqliteStore::open(&folder).await?;
    let loaded = store.load().await?;
    let (epoch, mut serial) = (store.take_epoch(loaded.epoch).await?, loaded.serial);
    for group in [1, 4, 16, 64, 256] {
        let (start, cpu, bytes, commits) = (Instant::now(), cpu_seconds()?, written()?, 2000 / group + 20);
        for _ in 0..commits {
            let entries = (serial + 1..=serial + group).map(|serial| entry(serial, 50_000)).collect();
            serial = store.commit(Transaction { epoch, expected_serial: serial, entries }).await?;
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "groups of {group:3}: {:7.0} commands/s, {:6.3} ms a commit, {:6.1} us of processor time and {:5.1} KiB written a command",
            (commits * group) as f64 / seconds,
            seconds * 1e3 / commits as f64,
            (cpu_seconds()? - cpu) * 1e6 / (commits * group) as f64,
            (written()? - bytes) as f64 / 1024.0 / (commits * group) as f64
        );
    }
    while serial < 50_000 {
        let entries = (serial + 1..=serial + 500).map(|serial| entry(serial, 50_000)).collect();
        serial = store.commit(Transaction { epoch, expected_serial: serial, entries }).await?;
    }
    store.close().await?;
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let store = SqliteStore::open(&folder).await?;
    let opened = start.elapsed();
    let records = store.load().await?.records.len();
    println!(
        "open {:.1} ms, load of {records} records {:.1} ms, {:.1} ms of processor time",
        opened.as_secs_f64() * 1e3,
        (start.elapsed() - opened).as_secs_f64() * 1e3,
        (cpu_seconds()? - cpu) * 1e3
    );
    Ok(())
}
