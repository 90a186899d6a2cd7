//! What the log keeps of a decision: what was answered, and what the nodes had said when it was made.

use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::job::Job;
use berth_model::names::NodeName;
use berth_model::observed::{Observed, Standing};
use berth_model::reply::Reply;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::places::{self, Asked};

/// Most notes of one entry; a decision about more says so in the last one.
const NOTES_MAX: usize = 64;
/// Longest text of a note, in characters.
const TEXT_MAX: usize = 400;

/// One reason, or one thing that was seen. In the log as JSON; fields that are empty are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// What was answered.
    Said {
        /// `success`, `info`, `warning` or `error`.
        severity: String,
        /// Number of the code.
        code: u64,
        /// What was said.
        message: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// What a node had done or reported.
    Seen {
        /// The node.
        node: String,
        /// What it was about, e.g. `resource 'web'`.
        object: String,
        /// `settled`, `gone`, `working`, `faulty`, `away`, `not looked at yet`, or `forgotten` of what the cluster does not know any more.
        state: String,
        /// The fault, or why the node is away.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// A place that was chosen for a replica.
    Chosen {
        /// For which resource.
        resource: String,
        /// The node.
        node: String,
        /// The pool; empty: without a disk.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        pool: String,
        /// What the pool could still promise, in KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free_kib: Option<u64>,
        /// What the strategies gave it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        score: Option<f64>,
        /// How many places were wanted; `null`: as many as fit.
        wanted: Option<usize>,
        /// How many nodes fitted, each by itself.
        fitting: usize,
    },
    /// Places that were not chosen, for one reason.
    PassedOver {
        /// For which resource.
        resource: String,
        /// The word of the rule.
        rule: String,
        /// How many places.
        count: usize,
        /// The first of them.
        first: Vec<String>,
        /// Why.
        cause: String,
    },
    /// There would be more notes.
    More {
        /// How many.
        count: usize,
    },
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What a command's answer says of the decision.
#[must_use]
pub fn said(replies: &[Reply]) -> Vec<Note> {
    let note = |reply: &Reply| Note::Said {
        severity: format!("{:?}", reply.severity()).to_ascii_lowercase(),
        code: reply.code.number(),
        message: cut(&reply.message),
        cause: cut(&reply.cause),
    };
    bounded(replies.iter().map(note).collect())
}

/// What a command's answer says of the decision, and why the places of new replicas were chosen.
#[must_use]
pub fn decided(replies: &[Reply], asked: &[Asked]) -> Vec<Note> {
    let mut notes = said(replies);
    notes.extend(bounded(places::notes(asked)));
    notes
}

/// Where the items stood that a job waits for, in the order of the job.
#[must_use]
pub fn seen(cluster: &Cluster, observed: &Observed, job: &Job) -> Vec<Note> {
    bounded(job.task.awaited().iter().map(|awaited| state(cluster, observed, &awaited.node, awaited.item, job.serial)).collect())
}

/// That nodes had reported items gone.
#[must_use]
pub fn gone(cluster: &Cluster, node: &NodeName, items: impl IntoIterator<Item = Uuid>) -> Vec<Note> {
    let note = |id| Note::Seen { node: node.to_string(), object: name(cluster, id), state: "gone".to_owned(), cause: String::new() };
    bounded(items.into_iter().map(note).collect())
}

fn state(cluster: &Cluster, observed: &Observed, node: &NodeName, item: Uuid, serial: u64) -> Note {
    let (state, cause) = if cluster.owner(item).is_none_or(|owner| matches!(owner, ItemOwner::Tombstone(_))) {
        ("forgotten", String::new())
    } else if !observed.online(node) {
        ("away", observed.nodes.get(node).and_then(|seen| seen.reason.clone()).unwrap_or_default())
    } else {
        match observed.item(node, item).map(|record| &record.seen) {
            Some(seen) if seen.generation >= serial => {
                let fault = seen.fault.as_ref().map(|fault| fault.message.clone()).unwrap_or_default();
                (standing(seen.standing), fault)
            }
            Some(_) | None => ("not looked at yet", String::new()),
        }
    };
    Note::Seen { node: node.to_string(), object: name(cluster, item), state: state.to_owned(), cause: cut(&cause) }
}

/// The word for a standing.
#[must_use]
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Settled => "settled",
        Standing::Working => "working",
        Standing::Faulty => "faulty",
        Standing::Gone => "gone",
    }
}

fn name(cluster: &Cluster, item: Uuid) -> String {
    match cluster.owner(item) {
        Some(ItemOwner::Resource(name, _)) => format!("resource '{name}'"),
        Some(ItemOwner::Snapshot(name, snapshot, _)) => format!("snapshot '{snapshot}' of '{name}'"),
        Some(ItemOwner::Tombstone(_)) => match cluster.tombstones.get(&item) {
            Some(tombstone) => format!("what is left of '{}'", tombstone.resource),
            None => item.to_string(),
        },
        None => item.to_string(),
    }
}

fn bounded(mut notes: Vec<Note>) -> Vec<Note> {
    if notes.len() > NOTES_MAX {
        let count = notes.len() - NOTES_MAX;
        notes.truncate(NOTES_MAX);
        notes.push(Note::More { count });
    }
    notes
}
