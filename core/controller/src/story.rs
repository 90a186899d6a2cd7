//! What happened to an object, put together from the log and the versions of its record.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::explain::Op;
use berth_engine::explain::fields::{FieldChange, differences};
use berth_engine::explain::subject::Subject;
use berth_model::change::{Key, Object, RecordKind};
use berth_model::codec;
use berth_store::{LogEntry, LogFilter, Past, Store, StoreError};
use serde_json::Value;

/// Versions of a record that are looked at.
const VERSIONS: usize = 500;

/// One entry of a story.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryEntry {
    /// The entry of the log.
    pub entry: LogEntry,
    /// What it did to the object's own record.
    pub own: Option<OwnChange>,
}

/// What an entry did to the object's own record.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnChange {
    /// What became of it.
    pub op: Op,
    /// Which object of the name it was, from 1.
    pub generation: u32,
    /// Fields that differ; none when it was removed.
    pub fields: Vec<FieldChange>,
}

/// A story.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Story {
    /// Entries, oldest first.
    pub entries: Vec<StoryEntry>,
    /// How many objects had the name, as far back as the versions are known.
    pub generations: u32,
    /// Whether it was ever there, as far back as the versions are known. Of a part of a record: whether that part was.
    pub ever: bool,
    /// Whether there are older entries.
    pub more: bool,
}

/// The last `limit` entries below serial `before` (`None`: of all) that concern an object.
///
/// # Errors
/// Those of the store.
pub async fn story(store: &dyn Store, subject: &Subject, before: Option<u64>, limit: usize) -> Result<Story, StoreError> {
    let filter = |objects: Vec<(String, String)>| LogFilter { before, objects, ..LogFilter::default() };
    let mut entries: BTreeMap<u64, LogEntry> = BTreeMap::new();
    let records = subject.records();
    let first = store.audit(filter(records), limit.saturating_add(1)).await?;
    let mut more = first.len() > limit;
    let followers = followers(&first);
    entries.extend(first.into_iter().map(|entry| (entry.serial, entry)));
    // What jobs and tombstones did later stands in entries that may not name the object itself.
    if !followers.is_empty() {
        let later = store.audit(filter(followers), limit.saturating_add(1)).await?;
        more |= later.len() > limit;
        let about = later.into_iter().filter(|entry| concerns(entry, subject));
        entries.extend(about.map(|entry| (entry.serial, entry)));
    }
    more |= entries.len() > limit;
    let first_shown = entries.len().saturating_sub(limit);
    let key = subject.key();
    let past = store.history(key.kind().word(), &key.text(), None, VERSIONS).await?;
    let (mut own, generations) = own(subject, past);
    // A version that made or changed nothing of it says nothing of it.
    let ever = own.values().any(|change| !change.fields.is_empty());
    let entries = entries.into_values().skip(first_shown);
    let entries = entries.map(|entry| StoryEntry { own: own.remove(&entry.serial), entry }).collect();
    Ok(Story { entries, generations, ever, more })
}

/// The jobs and tombstones that entries made.
fn followers(entries: &[LogEntry]) -> Vec<(String, String)> {
    let kinds = [RecordKind::Job.word(), RecordKind::Tombstone.word()];
    let mut found = BTreeSet::new();
    for entry in entries {
        let changes: Value = serde_json::from_str(&entry.changes).unwrap_or_default();
        for named in changes["put"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some((kind, key)) = named.split_once(' ').filter(|(kind, _)| kinds.contains(kind)) {
                found.insert((kind.to_owned(), key.to_owned()));
            }
        }
    }
    found.into_iter().collect()
}

/// Whether a follower's entry is about this object: a command may have started jobs on several. Others than the steps of jobs are.
fn concerns(entry: &LogEntry, subject: &Subject) -> bool {
    let command: Value = serde_json::from_str(&entry.command).unwrap_or_default();
    let is = |member: &str, name: &str| command[member].as_str().is_some_and(|about| about.eq_ignore_ascii_case(name));
    match (subject.resource(), subject) {
        _ if command["command"] != "advance" => true,
        (Some(name), _) => is("resource", name.as_str()),
        (None, Subject::Record(Key::Node(name))) => is("node", name.as_str()),
        (None, _) => true,
    }
}

/// What each transaction did to the subject's record, by serial, and how many objects there were.
fn own(subject: &Subject, mut past: Vec<Past>) -> (BTreeMap<u64, OwnChange>, u32) {
    past.sort_by_key(|one| one.serial);
    let (key, part) = (subject.key(), subject.part());
    let mut before: Option<Object> = None;
    let mut last_id: Option<String> = None;
    let mut generations = 0;
    let mut changes = BTreeMap::new();
    for one in past {
        let Past { serial, version, body } = one;
        let after = body.and_then(|body| codec::decode(key.kind().word(), &key.text(), version, &body).ok()).map(|(object, _)| object);
        let op = match (&before, &after) {
            (None, Some(_)) => Op::Make,
            (_, None) => Op::Remove,
            (Some(_), Some(_)) => Op::Change,
        };
        if let Some(object) = &after {
            let id = generation_id(object);
            if before.is_none() || id != last_id {
                generations += 1;
            }
            last_id = id;
        }
        let fields = match &after {
            Some(_) => differences(before.as_ref(), after.as_ref()).into_iter().filter(|one| one.field.starts_with(&part)).collect(),
            None => Vec::new(),
        };
        changes.insert(serial, OwnChange { op, generation: generations.max(1), fields });
        before = after;
    }
    (changes, generations)
}

/// The generation id of an object; `None`: its kind has none.
fn generation_id(object: &Object) -> Option<String> {
    berth_engine::explain::fields::fields(object).get("id").and_then(Value::as_str).map(str::to_owned)
}
