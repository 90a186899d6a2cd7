//! What a command would change, before anything does.

use std::collections::BTreeMap;

use berth_model::access::Caller;
use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::ids::IdSource;
use berth_model::observed::Observed;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use serde_json::Value;

use super::fields::{FieldChange, differences};
use super::rehearsal::{Rehearsal, Step, rehearse};
use crate::apply::apply;
use crate::command::Command;
use crate::draft::{Applied, Context, Refused};
use crate::vault::Keys;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// It is made.
    Make,
    /// It is changed, or written again as it is.
    Change,
    /// It is removed.
    Remove,
}

impl Op {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }
}

/// One record that a decision writes.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordChange {
    /// What becomes of it.
    pub op: Op,
    /// Which record.
    pub key: Key,
    /// What it is called, for people: e.g. `resource 'web' on 'alpha'`.
    pub name: String,
    /// Fields that differ. Of a record that is removed: none.
    pub fields: Vec<FieldChange>,
}

/// What a command would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Records that it would write, in the order of its decision; each once.
    pub changes: Vec<RecordChange>,
    /// What would follow on the nodes and at the controller, if every satellite that is there does what it is told.
    pub steps: Vec<Step>,
    /// The entries that its answer would begin with.
    pub replies: Vec<Reply>,
    /// The entries that would follow when its jobs end.
    pub ended: Vec<Reply>,
    /// Entries about what would be left open: nodes that are away.
    pub open: Vec<Reply>,
    /// What cannot be foreseen, one sentence each.
    pub unforeseen: Vec<String>,
}

/// The moment from which ids of a preview are made, so that they are known for what they are: no object has them.
pub const FRESH_AT: Timestamp = Timestamp(0);

/// How the ids of a preview begin: a uuid v7 of [`FRESH_AT`].
const FRESH: &str = "00000000-0000-7";
/// A property that is drawn like an id.
const GENERATION: &str = ".DrbdCurrentGi";
/// What stands for a value that is drawn when it is done.
const DRAWN: &str = "(new)";
/// Length of an id as text.
const ID_LEN: usize = 36;

/// Decides about a command as [`apply`] does and says what would come of it. Nothing is changed.
///
/// # Errors
/// The refusal that the command would get.
pub fn foresee(
    cluster: &Cluster,
    observed: &Observed,
    command: &Command,
    (caller, keys): (&Caller, &dyn Keys),
    now: Timestamp,
) -> Result<(Applied, Preview), Refused> {
    let context =
        Context { now, ids: IdSource::new(FRESH_AT, *b"a preview's seed"), secret: "0".repeat(32), caller: caller.clone(), observed, keys };
    let decision = apply(cluster, command, context);
    let applied = decision.result?;
    let mut preview = preview(cluster, observed, now, &applied);
    preview.ended.iter_mut().chain(&mut preview.open).for_each(|reply| decision.request.complete(reply, now));
    Ok((applied, preview))
}

/// What a decision would do to `cluster`, with what was seen in `observed`.
#[must_use]
pub fn preview(cluster: &Cluster, observed: &Observed, now: Timestamp, applied: &Applied) -> Preview {
    let mut changes = records(cluster, &applied.changes);
    let Rehearsal { mut steps, mut ended, mut open, cut } = rehearse(cluster, observed, now, &applied.changes);
    let mut replies = applied.replies.clone();
    let mut fresh = Fresh::default();
    let mut unforeseen = Vec::new();
    for change in changes.iter_mut().chain(steps.iter_mut().flat_map(|step| &mut step.changes)) {
        fresh.rename_all(change);
    }
    for step in &mut steps {
        step.actions.iter_mut().for_each(|text| fresh.rename(text));
    }
    for reply in replies.iter_mut().chain(&mut ended).chain(&mut open) {
        for text in [&mut reply.message, &mut reply.cause, &mut reply.details, &mut reply.correction] {
            fresh.rename(text);
        }
        reply.refs.values_mut().for_each(|text| fresh.rename(text));
    }
    if !fresh.names.is_empty() {
        unforeseen.push("Generation ids of new objects are drawn when it is done; 'new-1' and so on stand for them here.".to_owned());
    }
    if let Some(node) = &applied.await_node {
        unforeseen.push(format!("Whether the satellite of '{node}' can be reached: it is asked when the node exists."));
    }
    if let Some(pool) = &applied.await_pool {
        unforeseen.push(format!(
            "Whether storage pool '{}' on '{}' can be used: its satellite looks at it when it exists; one that cannot is taken back.",
            pool.name, pool.node
        ));
    }
    if !applied.await_items.is_empty() {
        unforeseen.push("When the nodes have moved their stable paths: the answer waits for those that are online.".to_owned());
    }
    if let Some(file) = &applied.await_file {
        unforeseen.push(format!("Whether external file '{}' can be written: the answer waits for the nodes that are online.", file.path));
    }
    if cut {
        unforeseen.push("The steps after these: there are more than are shown.".to_owned());
    }
    if !steps.is_empty() {
        unforeseen.push("What a satellite finds when it does its steps: devices in use, pools that filled up meanwhile.".to_owned());
    }
    Preview { changes, steps, replies, ended, open, unforeseen }
}

/// The records that `changes` write, each once with its last state, in the order of their first change.
#[must_use]
pub(super) fn records(before: &Cluster, changes: &[Change]) -> Vec<RecordChange> {
    let mut after = before.clone();
    after.fold(changes);
    let mut order: Vec<Key> = Vec::new();
    let mut last: BTreeMap<Key, &Change> = BTreeMap::new();
    for change in changes {
        let key = change.key();
        if last.insert(key.clone(), change).is_none() {
            order.push(key);
        }
    }
    let change = |key: Key| {
        let old = object(before, &key);
        let name = super::words::record(before, &after, &key);
        match last.get(&key) {
            Some(Change::Put(new)) => {
                let op = if old.is_some() { Op::Change } else { Op::Make };
                RecordChange { op, name, fields: differences(old.as_ref(), Some(new)), key }
            }
            Some(Change::Delete(_)) | None => RecordChange { op: Op::Remove, name, fields: Vec::new(), key },
        }
    };
    order.into_iter().map(change).collect()
}

/// The object of a record.
#[must_use]
pub(super) fn object(cluster: &Cluster, key: &Key) -> Option<Object> {
    match key {
        Key::Controller => (*cluster.controller != Default::default()).then(|| Object::Controller((*cluster.controller).clone())),
        Key::Node(name) => cluster.nodes.get(name).map(|o| Object::Node((**o).clone())),
        Key::StorPoolDfn(name) => cluster.pool_definitions.get(name).map(|o| Object::StorPoolDfn((**o).clone())),
        Key::StorPool(node, name) => cluster.pool(node, name).map(|o| Object::StorPool((**o).clone())),
        Key::ResourceGroup(name) => cluster.groups.get(name).map(|o| Object::ResourceGroup((**o).clone())),
        Key::ResourceDefinition(name) => cluster.definitions.get(name).map(|o| Object::ResourceDefinition((**o).clone())),
        Key::Resource(name, node) => cluster.resource(name, node).map(|o| Object::Resource((**o).clone())),
        Key::Snapshot(name, snapshot) => cluster.snapshot(name, snapshot).map(|o| Object::Snapshot((**o).clone())),
        Key::MasterKey => cluster.master_key.as_ref().map(|o| Object::MasterKey((**o).clone())),
        Key::NodeConnection(nodes) => cluster.node_connections.get(nodes).map(|o| Object::NodeConnection((**o).clone())),
        Key::ResourceConnection(name, nodes) => cluster.resource_connection(name, nodes).map(|o| Object::ResourceConnection((**o).clone())),
        Key::ExternalFile(path) => cluster.files.get(path).map(|o| Object::ExternalFile((**o).clone())),
        Key::KeyValueStore(name) => cluster.stores.get(name).map(|o| Object::KeyValueStore(name.clone(), (**o).clone())),
        Key::Token(id) => cluster.tokens.get(id).map(|o| Object::Token((**o).clone())),
        Key::Job(id) => cluster.jobs.get(id).map(|o| Object::Job((**o).clone())),
        Key::Tombstone(id) => cluster.tombstones.get(id).map(|o| Object::Tombstone((**o).clone())),
        Key::Number(key) => {
            let claim = |holder: &uuid::Uuid| berth_model::change::NumberClaim { key: key.clone(), holder: *holder };
            cluster.numbers.get(key).map(claim).map(Object::Number)
        }
    }
}

/// Names for ids that no object will have.
#[derive(Default)]
pub(super) struct Fresh {
    names: BTreeMap<String, String>,
}

impl Fresh {
    /// Replaces each fresh id in `text` by its name: `new-1` for the first that is met, and so on.
    fn rename(&mut self, text: &mut String) {
        while let Some(at) = text.find(FRESH) {
            let Some(id) = text.get(at..at + ID_LEN).map(str::to_ascii_lowercase) else { return };
            let next = self.names.len() + 1;
            let name = self.names.entry(id).or_insert_with(|| format!("new-{next}"));
            text.replace_range(at..at + ID_LEN, name);
        }
    }

    pub(super) fn rename_all(&mut self, change: &mut RecordChange) {
        self.rename(&mut change.name);
        for field in &mut change.fields {
            if field.field.ends_with(GENERATION) && field.after.is_some() {
                field.after = Some(Value::from(DRAWN));
            }
            for value in [&mut field.before, &mut field.after].into_iter().flatten() {
                self.rename_in(value);
            }
        }
    }

    fn rename_in(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => self.rename(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename_in(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.rename_in(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The text of a record's key as the log names it; an id that the object will not have is `(new)`.
#[must_use]
pub fn key_text(key: &Key) -> String {
    let text = key.text();
    match text.find(FRESH) {
        Some(at) if text.len() >= at + ID_LEN => format!("{}{DRAWN}{}", &text[..at], &text[at + ID_LEN..]),
        Some(_) | None => text,
    }
}
