//! The job that replaces the replicas of an evicted node: it marks them, and places as many new ones elsewhere as are missed. The old
//! ones stay in the books until the node is taken back or given up for good: nobody can say what is on it.
//!
//! A look passes a bounded part of the node. Each definition is placed by a job of its own, few at a time, as each copies a whole volume.

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::{DefinitionFlag, NodeFlag, ResourceFlag};
use berth_model::ids::IdSource;
use berth_model::job::Job;
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::Resource;
use berth_model::observed::Observed;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;

use super::Look;
use super::rounds::{self, MOST_CHANGES, MOST_COPYING, MOST_PASSED, MOST_TOLD};
use crate::balance::census;
use crate::draft::{Context, Draft};
use crate::eviction;
use crate::{risk, spawn, stack};

/// Places that a view tries on paper.
const MOST_PLACED: usize = 16;
/// What is to be done about one replica of an evicted node.
enum Finding {
    /// Nothing: it is not missed, or is being replaced.
    Well {
        /// A new replica is on its way to the data.
        filling: bool,
    },
    /// Nothing can be done, now or later: why.
    Never(Reply),
    /// It cannot be done now: why.
    NotNow(Reply),
    /// So many replicas are wanted in all, and there are fewer.
    Missed(usize),
}

fn find(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Finding {
    let Some(definition) = cluster.definitions.get(&replica.name) else { return Finding::Well { filling: false } };
    // What holds no data needs no other; what is being deleted is not wanted.
    if replica.flags.has(ResourceFlag::Diskless)
        || replica.flags.has(ResourceFlag::Delete)
        || definition.flags.has(DefinitionFlag::Delete)
        || definition.volumes.is_empty()
    {
        return Finding::Well { filling: false };
    }
    let (name, node) = (&replica.name, &replica.node);
    if !stack::replicates(&replica.layers) {
        return Finding::Never(
            Reply::new(Code::WARN_STORAGE_ERROR, format!("Resource '{name}' cannot be replaced: its data is on node '{node}' only."))
                .cause(format!("Its layers ({}) copy no data to another node.", stack::text(&replica.layers)))
                .correction(format!("Bring the node back: 'linstor node restore {node}'; or restore the data from a backup.")),
        );
    }
    let Some(wanted) = eviction::wanted(cluster, definition) else { return Finding::Well { filling: false } };
    let others = || cluster.replicas(name).map(AsRef::as_ref).filter(|other| other.node != *node && census::counts(cluster, other));
    if let Some(job) = cluster.jobs_on(name).next() {
        if job.task.fills() {
            return Finding::Well { filling: true };
        }
        if others().count() >= wanted {
            return Finding::Well { filling: false };
        }
        return Finding::NotNow(
            Reply::new(Code::FAIL_RSC_BUSY, format!("Resource '{name}' is not replaced yet: a {} is under way.", job.task.word()))
                .cause(format!("Job {} has not ended.", job.id))
                .correction(format!("Wait for it, or see what it waits for: 'berth job show {}'.", job.id)),
        );
    }
    if others().count() >= wanted {
        return Finding::Well { filling: census::fills(cluster, observed, name) };
    }
    if !others().any(|other| risk::holds_data(observed, other)) {
        return Finding::NotNow(
            Reply::new(Code::FAIL_SNAPSHOT_NOT_UPTODATE, format!("Resource '{name}' is not replaced: no other replica was seen to hold its data."))
                .cause("A new replica gets its data from its peers, and none of them has it, or none was asked.")
                .correction(format!(
                    "Start the satellites of its other nodes, or bring this one back: 'linstor node restore {node}'; 'berth risk' shows what has no good copy."
                )),
        );
    }
    Finding::Missed(wanted)
}

/// Evict: marks the replicas, replaces those that are missed, and ends when nothing more can be done about any of them.
pub(super) fn evict(look: &mut Look<'_>, job: &Job, node: &NodeName) {
    let before = look.cluster.clone();
    if !before.nodes.get(node).is_some_and(|found| found.flags.has(NodeFlag::Evicted)) {
        look.end(job, Vec::new());
        return;
    }
    let count = before.count_on(node);
    let begin = rounds::begin(look.now, count, MOST_PASSED);
    let mut told = Told::default();
    let (mut filling, mut open) = (0, count > MOST_PASSED);
    let here = || before.resources_on(node);
    for replica in here().skip(begin).chain(here().take(begin)).take(MOST_PASSED) {
        if look.progress.changes.len() >= MOST_CHANGES {
            open = true;
            break;
        }
        mark(look, replica);
        match find(&look.cluster, look.observed, replica) {
            Finding::Well { filling: busy } => filling += usize::from(busy),
            Finding::Never(reply) => told.never(reply),
            Finding::NotNow(reply) => {
                open = true;
                told.now(reply);
            }
            Finding::Missed(_) if filling >= MOST_COPYING => open = true,
            Finding::Missed(wanted) => match place(look, job, &replica.name, wanted) {
                Ok(()) => filling += 1,
                Err(reply) => {
                    open = true;
                    told.now(reply);
                }
            },
        }
    }
    if open {
        look.wait(job, told.replies());
    } else {
        look.end(job, told.replies());
    }
}

/// What an answer names, at most [`MOST_TOLD`] of them: first what can be done something about.
#[derive(Default)]
struct Told {
    now: Vec<Reply>,
    never: Vec<Reply>,
}

impl Told {
    fn now(&mut self, reply: Reply) {
        if self.now.len() < MOST_TOLD {
            self.now.push(not_yet(reply));
        }
    }

    fn never(&mut self, reply: Reply) {
        if self.never.len() < MOST_TOLD {
            self.never.push(reply.alone());
        }
    }

    fn replies(mut self) -> Vec<Reply> {
        self.now.append(&mut self.never);
        self.now.truncate(MOST_TOLD);
        self.now
    }
}

/// A warning, as the eviction itself was done.
fn not_yet(why: Reply) -> Reply {
    Reply::new(Code::WARN_STORAGE_ERROR, why.message).cause(why.cause).correction(why.correction).details(why.details).alone()
}

/// A replica on an evicted node is not served, and says whether it was not before.
fn mark(look: &mut Look<'_>, replica: &Resource) {
    if replica.flags.has(ResourceFlag::Evicted) {
        return;
    }
    let mut marked = replica.clone();
    marked.flags.put(ResourceFlag::InactiveBeforeEviction, replica.flags.has(ResourceFlag::Inactive));
    marked.flags.set(ResourceFlag::Evicted);
    look.put(Object::Resource(marked));
}

#[allow(clippy::result_large_err)] // At most a hundred in a look.
fn place(look: &mut Look<'_>, job: &Job, name: &ResourceName, wanted: usize) -> Result<(), Reply> {
    let placed = look.decide(&job.actor, |draft| spawn::place_up_to(draft, name, Some(wanted)).map_err(Into::into));
    match placed {
        Ok(()) => {
            let on: Vec<String> =
                look.cluster.replicas(name).filter(|one| one.created == look.now).map(|one| one.node.to_string()).collect();
            let text = format!("Resource '{name}' gets a new replica on {}.", on.join(", "));
            look.progress.reasons.push((job.id, Reply::new(Code::INFO_NOOP, text).cause(format!("{wanted} are wanted in all."))));
            Ok(())
        }
        Err(refused) => {
            let why = refused.replies.into_iter().find(Reply::is_error);
            Err(why.unwrap_or_else(|| Reply::new(Code::FAIL_NOT_ENOUGH_NODES, format!("'{name}' cannot be placed."))))
        }
    }
}

/// The resources of an evicted node that are missed and not replaced, each with why, at most a hundred. Tried on paper only.
pub(super) fn missed(cluster: &Cluster, observed: &Observed, node: &NodeName, now: Timestamp) -> Vec<(ResourceName, Reply)> {
    let mut found = Vec::new();
    let mut placed = 0;
    for replica in cluster.resources_on(node) {
        if found.len() >= MOST_TOLD {
            break;
        }
        let why = match find(cluster, observed, replica) {
            Finding::Well { .. } => None,
            Finding::Never(reply) | Finding::NotNow(reply) => Some(reply),
            Finding::Missed(wanted) if placed < MOST_PLACED => {
                placed += 1;
                let context = Context {
                    now,
                    ids: IdSource::new(now, [0; 16]),
                    secret: String::new(),
                    caller: berth_model::access::Caller::internal("berth"),
                    observed,
                    keys: &crate::vault::PaperKeys,
                };
                spawn::place_up_to(&mut Draft::new(cluster, context), &replica.name, Some(wanted)).err()
            }
            Finding::Missed(_) => None,
        };
        found.extend(why.map(|why| (replica.name.clone(), why)));
    }
    found
}
