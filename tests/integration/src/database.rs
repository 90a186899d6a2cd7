//! The controller's database, looked at from outside: a copy of it, as a kill or a running controller left it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::run;

/// Copies the database with its log and prints what it holds. A copy: opening the file itself would do the controller's
/// recovery for it.
const SCRIPT: &str = "import json, os, shutil, sqlite3, sys, tempfile
with tempfile.TemporaryDirectory() as folder:
    for name in ('berth.db', 'berth.db-wal'):
        if os.path.exists(os.path.join(sys.argv[1], name)):
            shutil.copy(os.path.join(sys.argv[1], name), folder)
    db = sqlite3.connect(os.path.join(folder, 'berth.db'))
    text = lambda value: value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
    records = [[kind, key, serial, text(body) if kind == 'job' else None] for kind, key, serial, body in db.execute('SELECT kind, key, serial, body FROM record')]
    log = [[serial, json.loads(text(changes))] for serial, changes in db.execute('SELECT serial, changes FROM log ORDER BY serial')]
    print(json.dumps({'records': records, 'log': log}))
    db.close()";

/// What a database holds.
#[derive(Debug, Clone)]
pub struct Database {
    /// Records as (kind, key) with the serial of their last change.
    pub records: BTreeMap<(String, String), u64>,
    /// Open jobs, as they are stored.
    pub jobs: Vec<Value>,
    /// Of each transaction: the serial, the records put, the records deleted; each as `kind key`.
    pub log: Vec<(u64, Vec<String>, Vec<String>)>,
}

impl Database {
    /// Reads a copy of the database in this data folder. The controller must not be writing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(data: &Path) -> Result<Self> {
        let text = run("python3", &["-c".as_ref(), SCRIPT.as_ref(), data.as_os_str()])?.ok()?;
        let all: Value = serde_json::from_str(&text).context("the database's contents")?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut records = BTreeMap::new();
        let mut jobs = Vec::new();
        for record in list(&all["records"]) {
            let name = |at: usize| record[at].as_str().unwrap_or_default().to_owned();
            records.insert((name(0), name(1)), record[2].as_u64().unwrap_or(0));
            if let Some(body) = record[3].as_str() {
                jobs.push(serde_json::from_str(body).with_context(|| format!("job {}", name(1)))?);
            }
        }
        let names = |value: &Value| -> Vec<String> { list(value).iter().map(name_of).collect() };
        let log = list(&all["log"])
            .iter()
            .map(|entry| (entry[0].as_u64().unwrap_or(0), names(&entry[1]["put"]), names(&entry[1]["delete"])))
            .collect();
        Ok(Self { records, jobs, log })
    }

    /// How many records of a kind there are.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.records.keys().filter(|(of, _)| of == kind).count()
    }

    /// The transaction that made a record that is there now.
    #[must_use]
    pub fn made_at(&self, kind: &str, key: &str) -> Option<u64> {
        let name = format!("{kind} {key}");
        let mut made = None;
        for (serial, put, deleted) in &self.log {
            if deleted.contains(&name) {
                made = None;
            }
            if made.is_none() && put.contains(&name) {
                made = Some(*serial);
            }
        }
        made
    }

    /// Follows the log from its first entry: no serial is missing, no number was given out while somebody had it, and what
    /// it leaves is what is there.
    ///
    /// # Errors
    /// On the first contradiction.
    pub fn check_log(&self) -> Result<()> {
        let mut numbers: BTreeSet<&String> = BTreeSet::new();
        let mut before = 0;
        for (serial, put, deleted) in &self.log {
            ensure!(*serial == before + 1, "transaction {serial} follows {before}");
            before = *serial;
            for name in deleted.iter().filter(|name| name.starts_with("number ")) {
                ensure!(numbers.remove(name), "transaction {serial} frees '{name}', which nobody had");
            }
            for name in put.iter().filter(|name| name.starts_with("number ")) {
                ensure!(numbers.insert(name), "transaction {serial} gives out '{name}' a second time");
            }
        }
        let held: BTreeSet<String> = numbers.into_iter().cloned().collect();
        let there: BTreeSet<String> =
            self.records.keys().filter(|(kind, _)| kind == "number").map(|(kind, key)| format!("{kind} {key}")).collect();
        ensure!(held == there, "numbers by the log and by the records differ: {:?}", held.symmetric_difference(&there).collect::<Vec<_>>());
        Ok(())
    }
}

/// A record's name in a log entry: `kind key`, or a document with both.
fn name_of(entry: &Value) -> String {
    match entry.as_str() {
        Some(name) => name.to_owned(),
        None => format!("{} {}", entry["kind"].as_str().unwrap_or_default(), entry["key"].as_str().unwrap_or_default()),
    }
}
