//! The support bundle: the state and the last part of the log as one JSON document, without secrets, for somebody who is to find a fault.
//!
//! ```json
//! {"format":"berth-bundle","version":1,"product":"berth 0.1.0","taken":0,"serial":7,"epoch":2,"cluster":{"id":"…","created_ms":0},
//!  "records":[{"kind":"node","key":"A","version":1,"serial":3,"body":{}}],
//!  "log_begins":6,
//!  "before":[{"kind":"node","key":"A","version":1,"serial":2,"body":{}}],
//!  "log":[{"serial":6,"time_ms":0,"actor":"…","origin":"…","command":{},"changes":{},"decision":[],
//!          "writes":[{"kind":"node","key":"A","version":1,"body":{}},{"kind":"node","key":"B"}]}],
//!  "damage":["…"]}
//! ```
//!
//! `records` is the state at `serial`. `log` has each entry from `log_begins` on with what it wrote; a write without a body is a deletion.
//! `before` has the records that the log touches as they were before `log_begins`, so that the state can be put together for each serial of it
//! ([`Bundle::start`], [`Bundle::steps`]). `damage` names what is quarantined; its text is not in the document.

use crate::error::{Cause, StoreError};
use crate::store::Store;
use crate::types::{Cluster, Entry, Loaded, LogEntry, LogFilter, NO_DECISION, Past, Record, Write};
use berth_model::secrets::{hide, may_have_secrets};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// `format` of a bundle.
pub const BUNDLE_FORMAT: &str = "berth-bundle";
/// `version` of a bundle that this release writes and reads.
pub const BUNDLE_VERSION: u32 = 1;

/// Log entries read at once.
const BATCH: usize = 1000;

/// A support bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// [`BUNDLE_FORMAT`].
    pub format: String,
    /// [`BUNDLE_VERSION`].
    pub version: u32,
    /// Which program wrote it, with its version.
    pub product: String,
    /// When, milliseconds since 1970.
    pub taken: i64,
    /// Serial of the state.
    pub serial: u64,
    /// Epoch of the controller that wrote it.
    pub epoch: u64,
    /// Which cluster.
    pub cluster: Option<Cluster>,
    /// All records, ordered by kind and key.
    pub records: Vec<BundleRecord>,
    /// Serial of the first entry of `log`; one more than `serial` when there is none.
    pub log_begins: u64,
    /// What the log touches, as it was before; ordered by kind and key.
    pub before: Vec<BundleRecord>,
    /// The newest entries, oldest first, without a gap.
    pub log: Vec<BundleEntry>,
    /// What is wrong with the database, one sentence each.
    pub damage: Vec<String>,
}

/// A record of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRecord {
    /// See [`Record::kind`].
    pub kind: String,
    /// See [`Record::key`].
    pub key: String,
    /// See [`Record::version`].
    pub version: u32,
    /// See [`Record::serial`].
    pub serial: u64,
    /// The document, secrets removed.
    pub body: Box<RawValue>,
}

/// A log entry of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// See [`LogEntry::serial`].
    pub serial: u64,
    /// See [`LogEntry::time_ms`].
    pub time_ms: i64,
    /// See [`LogEntry::actor`].
    pub actor: String,
    /// See [`LogEntry::origin`].
    pub origin: String,
    /// See [`LogEntry::command`].
    pub command: Box<RawValue>,
    /// See [`LogEntry::changes`].
    pub changes: Box<RawValue>,
    /// See [`LogEntry::decision`].
    pub decision: Box<RawValue>,
    /// What it wrote.
    pub writes: Vec<BundleWrite>,
}

/// What a log entry made of one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleWrite {
    /// See [`Record::kind`].
    pub kind: String,
    /// See [`Record::key`].
    pub key: String,
    /// Version of the kind's document format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The document, secrets removed; left out: deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
}

/// The names in `changes` of a log entry, `KIND KEY` each, as the controller writes them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Changed {
    put: Vec<String>,
    delete: Vec<String>,
}

impl Bundle {
    /// Takes a bundle of a store, with at most `entries` of its newest log entries; `product` says which program this is, `now_ms` the time.
    ///
    /// The log begins later where the history does not go back as far: in a database from before there was one, or from an import.
    ///
    /// Where the log or the history is damaged, the bundle is the state alone, and says so in `damage`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take(store: &dyn Store, entries: usize, product: &str, now_ms: i64) -> Result<Self, StoreError> {
        let Loaded { serial, epoch, cluster, records, quarantined, mut damage, healed } = store.load().await?;
        damage.extend(healed);
        damage.extend(quarantined.iter().map(|lost| format!("{} {} is quarantined: {}", lost.kind, lost.key, lost.why)));
        let (log, earlier) = match happened(store, serial, entries).await {
            // Whoever looks for the fault needs the rest all the more.
            Err(StoreError::Corrupt { cause, .. }) => {
                damage.push(format!("the log is left out, it or the history cannot be read: {cause}"));
                (Vec::new(), Vec::new())
            }
            other => other?,
        };
        let log_begins = log.first().map_or(serial.saturating_add(1), |entry| entry.serial);
        let record = |Record { kind, key, version, serial, body }: Record| {
            Ok(BundleRecord { kind, key, version, serial, body: without_secrets(&body)? })
        };
        Ok(Bundle {
            format: BUNDLE_FORMAT.into(),
            version: BUNDLE_VERSION,
            product: product.into(),
            taken: now_ms,
            serial,
            epoch,
            cluster,
            records: records.into_iter().map(record).collect::<Result<_, StoreError>>()?,
            log_begins,
            before: earlier,
            log,
            damage,
        })
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// [`StoreError::Document`]: it is not a bundle, one of a version that this release does not read, or one that contradicts itself.
    pub fn parse(input: impl io::Read) -> Result<Self, StoreError> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
            version: Option<u32>,
        }
        let json = |error| StoreError::Document { cause: Cause::Json(error) };
        let seen = |why: String| StoreError::Document { cause: Cause::Seen(why) };
        let text = io::read_to_string(input).map_err(|error| StoreError::Document { cause: Cause::File(error) })?;
        // The head first: what is wrong with a document of another kind is that, and not its first strange member.
        let Head { format, version } = serde_json::from_str(&text).map_err(json)?;
        if format.as_deref() != Some(BUNDLE_FORMAT) {
            return Err(seen(format!("its format is {:?}, not {BUNDLE_FORMAT:?}", format.unwrap_or_default())));
        }
        if version != Some(BUNDLE_VERSION) {
            let found = version.map_or_else(|| "none".to_string(), |version| version.to_string());
            return Err(seen(format!("its version is {found}, this release reads version {BUNDLE_VERSION}")));
        }
        let bundle: Bundle = serde_json::from_str(&text).map_err(json)?;
        let mut next = bundle.log_begins;
        for entry in &bundle.log {
            if entry.serial != next {
                return Err(seen(format!("its log has serial {} where {next} is next", entry.serial)));
            }
            next = next.saturating_add(1);
        }
        if next != bundle.serial.saturating_add(1) {
            return Err(seen(format!("its log ends before serial {next}, its state is at {}", bundle.serial)));
        }
        Ok(bundle)
    }

    /// The state at `serial`.
    #[must_use]
    pub fn state(&self) -> Loaded {
        self.loaded(self.serial, self.records.iter().map(Record::from).collect())
    }

    /// The state before the first entry of the log.
    #[must_use]
    pub fn start(&self) -> Loaded {
        let mut records: BTreeMap<(&str, &str), &BundleRecord> =
            self.records.iter().map(|record| ((record.kind.as_str(), record.key.as_str()), record)).collect();
        for write in self.log.iter().flat_map(|entry| &entry.writes) {
            records.remove(&(write.kind.as_str(), write.key.as_str()));
        }
        records.extend(self.before.iter().map(|record| ((record.kind.as_str(), record.key.as_str()), record)));
        self.loaded(self.log_begins.saturating_sub(1), records.into_values().map(Record::from).collect())
    }

    /// The log as the transactions made it, oldest first: applied one by one to [`Bundle::start`] they end at [`Bundle::state`].
    #[must_use]
    pub fn steps(&self) -> Vec<Entry> {
        let step = |entry: &BundleEntry| Entry {
            log: LogEntry {
                serial: entry.serial,
                time_ms: entry.time_ms,
                actor: entry.actor.clone(),
                origin: entry.origin.clone(),
                command: entry.command.get().to_string(),
                changes: entry.changes.get().to_string(),
                decision: entry.decision.get().to_string(),
            },
            writes: entry.writes.iter().map(Write::from).collect(),
        };
        self.log.iter().map(step).collect()
    }

    fn loaded(&self, serial: u64, records: Vec<Record>) -> Loaded {
        Loaded { serial, epoch: self.epoch, cluster: self.cluster.clone(), records, ..Loaded::default() }
    }
}

impl From<&BundleRecord> for Record {
    fn from(record: &BundleRecord) -> Self {
        let BundleRecord { kind, key, version, serial, body } = record;
        Record { kind: kind.clone(), key: key.clone(), version: *version, serial: *serial, body: body.get().to_string() }
    }
}

impl From<&BundleWrite> for Write {
    fn from(write: &BundleWrite) -> Self {
        let (kind, key) = (write.kind.clone(), write.key.clone());
        match &write.body {
            Some(body) => Write::Put { kind, key, version: write.version.unwrap_or(1), body: body.get().to_string() },
            None => Write::Delete { kind, key },
        }
    }
}

/// The newest log entries up to `serial`, oldest first, and what they touched as it was before.
async fn happened(store: &dyn Store, serial: u64, entries: usize) -> Result<(Vec<BundleEntry>, Vec<BundleRecord>), StoreError> {
    let mut log: Vec<BundleEntry> = Vec::new();
    let mut touched: BTreeSet<(String, String)> = BTreeSet::new();
    let mut before = serial.checked_add(1);
    'newest: while log.len() < entries {
        let filter = LogFilter { before, ..LogFilter::default() };
        let batch = store.audit(filter, BATCH.min(entries - log.len())).await?;
        if batch.is_empty() {
            break;
        }
        for entry in batch {
            before = Some(entry.serial);
            let Some(writes) = writes_of(store, &entry).await? else { break 'newest };
            touched.extend(writes.iter().map(|write| (write.kind.clone(), write.key.clone())));
            log.push(bundled(entry, writes)?);
        }
    }
    log.reverse();
    let log_begins = log.first().map_or(serial.saturating_add(1), |entry| entry.serial);
    let mut earlier = Vec::new();
    for (kind, key) in touched {
        if let Some(Past { serial, version, body: Some(body) }) = store.history(&kind, &key, Some(log_begins), 1).await?.into_iter().next()
        {
            earlier.push(BundleRecord { kind, key, version, serial, body: without_secrets(&body)? });
        }
    }
    Ok((log, earlier))
}

/// What an entry wrote; `None`: the history does not know it.
async fn writes_of(store: &dyn Store, entry: &LogEntry) -> Result<Option<Vec<BundleWrite>>, StoreError> {
    let changed: Changed = serde_json::from_str(&entry.changes).unwrap_or_default();
    let mut writes = Vec::new();
    for name in changed.put.iter().chain(&changed.delete) {
        let Some((kind, key)) = name.split_once(' ') else { return Ok(None) };
        let newest = store.history(kind, key, entry.serial.checked_add(1), 1).await?.into_iter().next();
        let Some(Past { version, body, .. }) = newest.filter(|past| past.serial == entry.serial) else { return Ok(None) };
        let (kind, key) = (kind.to_string(), key.to_string());
        let version = body.as_ref().map(|_| version);
        writes.push(BundleWrite { kind, key, version, body: body.as_deref().map(without_secrets).transpose()? });
    }
    Ok(Some(writes))
}

fn bundled(entry: LogEntry, writes: Vec<BundleWrite>) -> Result<BundleEntry, StoreError> {
    let LogEntry { serial, time_ms, actor, origin, command, changes, decision } = entry;
    let (command, changes) = (without_secrets(&command)?, without_secrets(&changes)?);
    let decision = without_secrets(if decision.is_empty() { NO_DECISION } else { &decision })?;
    Ok(BundleEntry { serial, time_ms, actor, origin, command, changes, decision, writes })
}

/// The JSON text with every secret replaced; as it is where there is none.
fn without_secrets(text: &str) -> Result<Box<RawValue>, StoreError> {
    let json = |error| StoreError::Document { cause: Cause::Json(error) };
    // Almost no document has one, and none that has not is written anew.
    let text = if may_have_secrets(text) {
        let mut value: serde_json::Value = serde_json::from_str(text).map_err(json)?;
        hide(&mut value);
        value.to_string()
    } else {
        text.to_string()
    };
    RawValue::from_string(text).map_err(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::testkit::{delete, group, put};
    use crate::types::Transaction;

    /// As the controller names what it wrote.
    fn named(mut transaction: Transaction) -> Transaction {
        for entry in &mut transaction.entries {
            let names = |put: bool| -> Vec<String> {
                let chosen = entry.writes.iter().filter(|write| matches!(write, Write::Put { .. }) == put);
                chosen.map(|write| format!("{} {}", write.name().0, write.name().1)).collect()
            };
            entry.log.changes = serde_json::json!({ "put": names(true), "delete": names(false) }).to_string();
        }
        transaction
    }

    async fn store() -> MemoryStore {
        let store = MemoryStore::new();
        let commands = vec![
            vec![put("a", "1", "{\"n\":1}"), put("a", "old", "1")],
            vec![
                put("a", "1", "{\"n\":2,\"drbd\":{\"secret\":\"hush\"}}"),
                put("a", "2", "{\"props\":{\"DrbdOptions/Net/shared-secret\":\"hush\",\"Aux/API_Key\":\"hush\"}}"),
            ],
            vec![delete("a", "1"), put("a", "3", "{\"passphrases\":[\"hush\"],\"password_set\":true,\"token\":\"\"}")],
            vec![put("a", "2", "[{\"Passphrase\":{\"x\":\"kept\"}}]")],
        ];
        store.commit(named(group(0, 0, commands))).await.unwrap();
        store
    }

    async fn taken(entries: usize) -> Bundle {
        let bundle = Bundle::take(&store().await, entries, "berth test", 7).await.unwrap();
        let text = serde_json::to_string(&bundle).unwrap();
        assert!(!text.contains("hush"), "{text}");
        Bundle::parse(text.as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_bundle_replays_to_its_state() {
        for entries in 0..6_usize {
            let bundle = taken(entries).await;
            let kept = entries.min(4);
            assert_eq!((bundle.log.len(), bundle.serial, bundle.log_begins), (kept, 4, 5 - kept as u64));
            let replay = MemoryStore::new();
            replay.restore(bundle.start(), vec![]).await.unwrap();
            for entry in bundle.steps() {
                let expected_serial = entry.log.serial - 1;
                replay.commit(Transaction { epoch: 0, expected_serial, entries: vec![entry] }).await.unwrap();
            }
            assert_eq!(replay.load().await.unwrap(), bundle.state(), "{entries} entries");
        }
        let bundle = taken(2).await;
        let start: Vec<_> = bundle.start().records.iter().map(|record| format!("{} {}", record.key, record.serial)).collect();
        assert_eq!(start, ["1 2", "2 2", "old 1"]);
        assert_eq!(bundle.records[1].body.get(), "{\"passphrases\":[\"(hidden)\"],\"password_set\":true,\"token\":\"\"}");
    }

    #[tokio::test]
    async fn the_log_begins_where_the_history_does() {
        let store = store().await;
        // The log of an import has entries whose writes nobody knows.
        let (state, log) = (store.load().await.unwrap(), store.log(0, 99).await.unwrap());
        let imported = MemoryStore::new();
        imported.restore(state, log).await.unwrap();
        imported.commit(named(group(0, 4, vec![vec![put("a", "2", "5")]]))).await.unwrap();
        let bundle = Bundle::take(&imported, 99, "berth test", 7).await.unwrap();
        assert_eq!((bundle.log_begins, bundle.log.len()), (4, 2));
    }

    #[tokio::test]
    async fn another_document_is_refused() {
        let good = serde_json::to_value(taken(9).await).unwrap();
        let spoiled = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = good.clone();
            change(&mut value);
            Bundle::parse(value.to_string().as_bytes()).unwrap_err().to_string()
        };
        type Spoil<'a> = &'a dyn Fn(&mut serde_json::Value);
        let cases: [(Spoil<'_>, &str); 6] = [
            (&|value| value["format"] = "berth-export".into(), "its format is \"berth-export\", not \"berth-bundle\""),
            (&|value| value["version"] = 2.into(), "its version is 2, this release reads version 1"),
            (&|value| value["strange"] = 1.into(), "unknown field"),
            (&|value| value["log_begins"] = 2.into(), "its log has serial 1 where 2 is next"),
            (&|value| value["serial"] = 9.into(), "its log ends before serial 5, its state is at 9"),
            (&|value| *value = 7.into(), "invalid type"),
        ];
        for (change, why) in cases {
            let error = spoiled(change);
            assert!(error.contains(why), "{error}");
        }
        assert!(Bundle::parse(&b"nonsense"[..]).is_err());
    }
}
