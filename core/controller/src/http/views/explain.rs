//! Documents about what happened and what differs.

use berth_api::explain::{
    ComparedDocument, ConnectionDocument, DriftDocument, FieldDocument, KnowsFrom, LogEntryDocument, StrangerDocument, WhyDocument,
    WhyEntryDocument,
};
use berth_engine::explain::FieldChange;
use berth_engine::explain::differ::{self, Compared, Drift, Thing};
use berth_engine::explain::subject::Subject;
use berth_model::change::Key;
use berth_model::job::{Job, Subject as Worked};
use berth_model::names::NodeName;
use berth_model::secrets::hide;
use berth_model::time::Timestamp;
use berth_store::LogEntry;
use serde_json::Value;

use crate::View;
use crate::http::routes::jobs;
use crate::story::{Story, StoryEntry};

/// A moment as RFC 3339 with milliseconds, in UTC.
pub fn at(moment: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(moment.0).map(|moment| format!("{moment:.3}")).unwrap_or_default()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// From where on the log knows, by its oldest entry; `None`: it knows all.
pub fn knows_from(oldest: Option<&LogEntry>) -> Option<KnowsFrom> {
    let entry = oldest.filter(|entry| entry.serial > 1)?;
    Some(KnowsFrom { serial: entry.serial, at: at(Timestamp(entry.time_ms)) })
}

/// An entry of the log.
pub fn entry(entry: &LogEntry) -> LogEntryDocument {
    let shown = |text: &str| {
        let mut value = json(text);
        hide(&mut value);
        value
    };
    let request = shown(&entry.command);
    LogEntryDocument {
        serial: entry.serial,
        at: at(Timestamp(entry.time_ms)),
        actor: entry.actor.clone(),
        origin: entry.origin.clone(),
        command: request["command"].as_str().unwrap_or_default().to_owned(),
        request,
        decision: shown(&entry.decision),
        changes: json(&entry.changes),
    }
}

fn field(field: &FieldChange) -> FieldDocument {
    FieldDocument { field: field.field.clone(), before: field.before.clone(), after: field.after.clone() }
}

fn story_entry(one: &StoryEntry) -> WhyEntryDocument {
    let own = one.own.as_ref();
    WhyEntryDocument {
        entry: entry(&one.entry),
        generation: own.map(|own| own.generation),
        op: own.map(|own| own.op.word()),
        fields: own.map(|own| own.fields.iter().map(field).collect()).unwrap_or_default(),
    }
}

/// The story of an object and what it is now.
pub fn why(view: &View, subject: &Subject, story: &Story, oldest: Option<&LogEntry>) -> WhyDocument {
    WhyDocument {
        object: subject.words(),
        exists: subject.exists(&view.cluster),
        generations: story.generations,
        knows_from: knows_from(oldest),
        more: story.more,
        history: story.entries.iter().map(story_entry).collect(),
        connection: connection(view, subject),
        now: now(view, subject).iter().map(compared).collect(),
        blocked_by: blockers(view, subject),
    }
}

fn connection(view: &View, subject: &Subject) -> Option<ConnectionDocument> {
    let Subject::Record(Key::Node(name)) = subject else { return None };
    let node = super::node::node(view, view.cluster.nodes.get(name)?, None);
    Some(ConnectionDocument { status: node.connection_status, when: node.berth })
}

/// What is wanted and found of an object, on each node that has a part of it.
fn now(view: &View, subject: &Subject) -> Vec<Compared> {
    let on = |node: &NodeName| differ::node(&view.cluster, &view.observed, node);
    let nodes: Vec<&NodeName> = match subject {
        Subject::Record(Key::Node(node) | Key::StorPool(node, _))
        | Subject::Volume(_, node, _)
        | Subject::Record(Key::Resource(_, node)) => {
            vec![node]
        }
        Subject::VolumeDefinition(..) | Subject::Record(Key::ResourceDefinition(_) | Key::Snapshot(..)) => {
            view.cluster.nodes.keys().collect()
        }
        Subject::Record(_) => Vec::new(),
    };
    let about = |one: &Compared| match (&one.thing, subject) {
        (Thing::StorPool(name), Subject::Record(Key::StorPool(_, wanted))) => name == wanted,
        (Thing::StorPool(_), _) => matches!(subject, Subject::Record(Key::Node(_))),
        (Thing::Resource(name), _) => subject.has(&one.node, name, None),
        (Thing::Snapshot(name, snapshot), _) => subject.has(&one.node, name, Some(snapshot)),
        (Thing::Leftover(name, snapshot), _) => subject.has(&one.node, name, snapshot.as_ref()),
    };
    nodes.into_iter().flat_map(on).filter(|one| about(one)).collect()
}

/// The open jobs that concern an object.
fn blockers(view: &View, subject: &Subject) -> Vec<berth_api::job::Job> {
    let waits_on = |job: &Job, node: &NodeName| job.task.awaited().iter().any(|awaited| awaited.node == *node);
    let concerns = |job: &Job| match subject {
        Subject::Record(Key::Job(id)) => job.id == *id,
        Subject::Record(Key::Node(node)) => job.subject == Worked::Node(node.clone()) || waits_on(job, node),
        Subject::Record(Key::Resource(_, node)) | Subject::Volume(_, node, _) => {
            subject.resource() == job.resource() && waits_on(job, node)
        }
        Subject::VolumeDefinition(..) | Subject::Record(_) => subject.resource().is_some() && subject.resource() == job.resource(),
    };
    view.cluster.jobs.values().filter(|job| concerns(job)).map(|job| jobs::document_of(view, job)).collect()
}

/// One comparison.
pub fn compared(one: &Compared) -> ComparedDocument {
    ComparedDocument {
        node: one.node.to_string(),
        kind: one.thing.word(),
        name: one.thing.name(),
        uuid: one.id.to_string(),
        wanted: one.wanted.clone(),
        found: one.seen.clone(),
        verdict: one.verdict.word(),
        reason: one.why.clone(),
        correction: one.correction.clone(),
        seen: one.seen_at.map(at),
        unknown_since: one.unknown_since.map(at),
    }
}

/// The drift of one node.
pub fn drift(drift: &Drift) -> DriftDocument {
    let stranger = |stranger: &berth_model::observed::Stranger| StrangerDocument {
        pool: stranger.pool.to_string(),
        id: stranger.id.to_string(),
        backing: stranger.backing.clone(),
        name: stranger.name.clone(),
        snapshot: stranger.snapshot,
        size_kib: stranger.size_kib.0,
    };
    DriftDocument {
        node: drift.node.to_string(),
        seen: drift.strangers.as_ref().map(|(_, moment)| at(*moment)),
        unknown_since: drift.unknown_since.map(at),
        reason: drift.why.clone(),
        strangers: drift.strangers.as_ref().map(|(strangers, _)| strangers.iter().map(stranger).collect()),
        lost: drift.lost.iter().map(compared).collect(),
        unclaimed: drift.unclaimed.iter().map(compared).collect(),
    }
}
