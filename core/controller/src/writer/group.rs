//! A group of commands that is committed in one transaction: each with a serial and a log entry of its own.

use std::collections::BTreeMap;

use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codec;
use berth_model::time::Timestamp;
use berth_store::{Entry, LogEntry, MAX_BYTES, MAX_NAME_BYTES, MAX_WRITES, Transaction, Write};
use serde::Serialize;
use serde_json::json;
use tracing::Span;

/// Why changes cannot be committed as one command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Too many objects.
    #[error("{found} objects would change at once; at most {MAX_WRITES} can")]
    Count {
        /// How many.
        found: usize,
    },
    /// Too much text.
    #[error("{found} bytes would be written at once; at most {MAX_BYTES} can")]
    Bytes {
        /// How many.
        found: usize,
    },
    /// The name belongs to a record that cannot be read.
    #[error("{kind} {key} has a record that cannot be read: {why}")]
    Reserved {
        /// Kind of the record.
        kind: String,
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Cannot be a record's name.
    #[error("the {kind} name has {bytes} bytes or control characters; {MAX_NAME_BYTES} bytes without them are possible")]
    Name {
        /// Kind of the record.
        kind: String,
        /// Its length.
        bytes: usize,
    },
}

/// Who did something, for the log.
#[derive(Debug, Clone)]
pub(crate) struct By<'a> {
    pub now: Timestamp,
    pub actor: &'a str,
    pub origin: &'a str,
    /// JSON text.
    pub command: String,
    /// Why, and what was seen: JSON text of a list of [`berth_engine::explain::decision::Note`].
    pub decision: String,
}

/// The group so far.
#[derive(Debug)]
pub(crate) struct Group {
    base: u64,
    /// The cluster with all changes of the group.
    pub cluster: Cluster,
    /// All changes in their order.
    pub changes: Vec<Change>,
    entries: Vec<Entry>,
    /// The first command of the group that is traced, and how it is.
    trace: Option<Span>,
}

impl Group {
    /// Starts from the committed state.
    pub fn new(cluster: &Cluster) -> Self {
        Self { base: cluster.serial, cluster: cluster.clone(), changes: Vec::new(), entries: Vec::new(), trace: None }
    }

    /// Says how a command of the group is traced: the commit of all stands below the first one.
    pub fn traced(&mut self, span: &Span) {
        if self.trace.is_none() && !span.is_none() {
            self.trace = Some(span.clone());
        }
    }

    /// The span of its commit; none where no command of it is traced.
    pub fn span(&self, entries: usize) -> Span {
        self.trace.as_ref().map_or_else(Span::none, |parent| tracing::info_span!(parent: parent, "store", entries))
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a command's changes, which must not be empty. Nothing happens if they do not fit.
    pub fn add(&mut self, by: &By<'_>, changes: Vec<Change>) -> Result<(), Unfit> {
        let mut after = self.cluster.clone();
        after.fold(&changes);
        let entry = entry(by, after.serial + 1, writes(&after, &changes)?);
        check(&entry)?;
        self.push(after, entry, changes);
        Ok(())
    }

    /// Adds a step of the controller's own, in several entries where one would be too large: whoever made it cannot be told to make
    /// it smaller. One transaction holds all of them.
    pub fn add_split(&mut self, by: &By<'_>, changes: Vec<Change>) -> Result<(), Unfit> {
        let mut after = self.cluster.clone();
        after.fold(&changes);
        let mut parts: Vec<Vec<Write>> = Vec::new();
        let mut size = 0;
        for write in writes(&after, &changes)? {
            let bytes = write_bytes(&write);
            match parts.last_mut() {
                Some(part) if part.len() < MAX_WRITES && size + bytes <= MAX_BYTES / 2 => {
                    part.push(write);
                    size += bytes;
                }
                Some(_) | None => {
                    parts.push(vec![write]);
                    size = bytes;
                }
            }
        }
        let entries: Vec<Entry> = parts.into_iter().zip(self.cluster.serial + 1..).map(|(part, serial)| entry(by, serial, part)).collect();
        entries.iter().try_for_each(check)?;
        let Some(last) = entries.last().map(|entry| entry.log.serial) else { return Ok(()) };
        after.serial = last;
        self.cluster = after;
        self.entries.extend(entries);
        self.changes.extend(changes);
        Ok(())
    }

    /// Adds an entry that changes nothing: shows whether the store works.
    pub fn add_probe(&mut self, by: &By<'_>) {
        let after = self.cluster.clone();
        let entry = entry(by, after.serial + 1, Vec::new());
        self.push(after, entry, Vec::new());
    }

    fn push(&mut self, mut after: Cluster, entry: Entry, changes: Vec<Change>) {
        after.serial = entry.log.serial;
        self.cluster = after;
        self.entries.push(entry);
        self.changes.extend(changes);
    }

    /// The transaction; what remains are the cluster after it and the changes.
    pub fn transaction(&mut self) -> Transaction {
        Transaction { epoch: self.cluster.epoch, expected_serial: self.base, entries: std::mem::take(&mut self.entries) }
    }
}

/// A value as JSON text for the log; one that cannot be written is named by the error.
pub(crate) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| json!({ "unwritable": error.to_string() }).to_string())
}

/// The last change of each record, as a write.
fn writes(after: &Cluster, changes: &[Change]) -> Result<Vec<Write>, Unfit> {
    let mut last: BTreeMap<Key, &Change> = BTreeMap::new();
    for change in changes {
        last.insert(change.key(), change);
    }
    let mut writes = Vec::with_capacity(last.len());
    for (key, change) in last {
        if let Some(reserved) = after.reserved(&key) {
            return Err(Unfit::Reserved { kind: reserved.kind.clone(), key: reserved.key.clone(), why: reserved.why.clone() });
        }
        if let Change::Delete(_) = change
            && let Some(part) = after.broken_part(&key)
        {
            return Err(Unfit::Reserved { kind: part.kind.clone(), key: part.key.clone(), why: part.why.clone() });
        }
        writes.push(write(after, &key, change));
    }
    Ok(writes)
}

fn write(after: &Cluster, key: &Key, change: &Change) -> Write {
    match change {
        Change::Put(object) => put(object, key, after),
        Change::Delete(key) => Write::Delete { kind: key.kind().word().to_owned(), key: key.text() },
    }
}

fn put(object: &Object, key: &Key, after: &Cluster) -> Write {
    let residue = after.residues.get(key).map(AsRef::as_ref);
    Write::Put {
        kind: key.kind().word().to_owned(),
        key: key.text(),
        version: codec::version(key.kind()),
        body: codec::encode(object, residue),
    }
}

fn entry(by: &By<'_>, serial: u64, writes: Vec<Write>) -> Entry {
    let named = |put: bool| -> Vec<String> {
        let chosen = writes.iter().filter(|write| matches!(write, Write::Put { .. }) == put);
        chosen.map(|write| format!("{} {}", write.name().0, write.name().1)).collect()
    };
    let changes = json!({ "put": named(true), "delete": named(false) }).to_string();
    let log = LogEntry {
        serial,
        time_ms: by.now.0,
        actor: by.actor.to_owned(),
        origin: by.origin.to_owned(),
        command: by.command.clone(),
        changes,
        decision: by.decision.clone(),
    };
    Entry { log, writes }
}

fn write_bytes(write: &Write) -> usize {
    let (kind, key) = write.name();
    let body = match write {
        Write::Put { body, .. } => body.len(),
        Write::Delete { .. } => 0,
    };
    kind.len() + key.len() + body
}

/// The store's rules for one command, so that one that breaks them does not take others of the group with it.
fn check(entry: &Entry) -> Result<(), Unfit> {
    if entry.writes.len() > MAX_WRITES {
        return Err(Unfit::Count { found: entry.writes.len() });
    }
    for write in &entry.writes {
        let (kind, key) = write.name();
        if key.is_empty() || key.len() > MAX_NAME_BYTES || key.contains(char::is_control) {
            return Err(Unfit::Name { kind: kind.to_owned(), bytes: key.len() });
        }
    }
    let log = &entry.log;
    let text: usize = [&log.actor, &log.origin, &log.command, &log.changes, &log.decision].iter().map(|text| text.len()).sum();
    let found = text.saturating_add(entry.writes.iter().map(write_bytes).sum());
    if found > MAX_BYTES { Err(Unfit::Bytes { found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_model::cluster::Quarantined;
    use berth_model::ids::Id;
    use berth_model::names::KvsName;
    use berth_model::objects::KeyValueStore;
    use berth_store::NO_DECISION;

    fn group() -> Group {
        let mut cluster = Cluster::empty(Id::from_uuid(uuid::Uuid::nil()));
        cluster.serial = 4;
        Group::new(&cluster)
    }

    fn by() -> By<'static> {
        By { now: Timestamp(1), actor: "a", origin: "o", command: "{}".to_owned(), decision: NO_DECISION.to_owned() }
    }

    fn kvs(number: usize, bytes: usize) -> Change {
        let props = [("k".to_owned(), "x".repeat(bytes))].into();
        Change::Put(Object::KeyValueStore(KvsName::parse(&format!("kvs{number}")).unwrap(), KeyValueStore { props, tenant: None }))
    }

    #[test]
    fn commands_have_serials_without_a_gap_and_write_each_record_once() {
        let mut group = group();
        group.add(&by(), vec![kvs(1, 1), kvs(1, 2), kvs(2, 1)]).unwrap();
        group.add(&by(), vec![Change::Delete(kvs(1, 1).key())]).unwrap();
        assert_eq!((group.cluster.serial, group.cluster.stores.len()), (6, 1));
        let transaction = group.transaction();
        transaction.check().unwrap();
        assert_eq!(transaction.entries.iter().map(|entry| entry.writes.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn what_is_too_large_is_refused_or_split() {
        let many: Vec<Change> = (0..MAX_WRITES + 1).map(|n| kvs(n, 1)).collect();
        let mut group = group();
        assert_eq!(group.add(&by(), many.clone()), Err(Unfit::Count { found: MAX_WRITES + 1 }));
        assert!(matches!(group.add(&by(), vec![kvs(1, MAX_BYTES)]), Err(Unfit::Bytes { .. })));
        assert_eq!((group.len(), group.cluster.serial), (0, 4), "nothing happened");
        group.add_split(&by(), many).unwrap();
        assert_eq!((group.cluster.serial, group.cluster.stores.len()), (6, MAX_WRITES + 1));
        group.transaction().check().unwrap();
    }

    #[test]
    fn the_name_of_a_broken_record_is_not_used() {
        let mut group = group();
        let broken = Quarantined { kind: "key_value_store".into(), key: kvs(1, 1).key().text(), why: "x".into() };
        let part = Quarantined { kind: "resource".into(), key: "DATA/ALPHA".into(), why: "x".into() };
        group.cluster.set_aside(vec![broken, part]);
        let name = berth_model::names::ResourceName::parse("data").unwrap();
        assert!(matches!(group.add(&by(), vec![Change::Delete(Key::ResourceDefinition(name))]), Err(Unfit::Reserved { .. })));
        assert!(matches!(group.add(&by(), vec![kvs(1, 1)]), Err(Unfit::Reserved { .. })));
        group.add(&by(), vec![kvs(2, 1)]).unwrap();
    }
}
