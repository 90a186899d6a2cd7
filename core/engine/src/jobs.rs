//! Durable jobs: where each stands by what was seen, and what follows. Pure; called after every commit that starts a job,
//! for every observation of an item that a job waits for, and when a node comes or goes.

mod deleting;
mod filling;
mod snapshotting;
#[cfg(test)]
mod tests;

pub(crate) use deleting::tombstone_of;

use std::collections::BTreeMap;

use berth_model::change::{Change, Key, NumberKey, Object};
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::ids::{Id, IdSource, kind};
use berth_model::job::{Awaited, Job, Task};
use berth_model::names::NodeName;
use berth_model::objects::Resource;
use berth_model::observed::{Fault, FaultKind, Observed, Standing};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::command::Command;
use crate::draft::{Draft, Refused};

/// What came of looking at jobs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Changes to commit.
    pub changes: Vec<Change>,
    /// Jobs that ended, with the last entries of their answers.
    pub ended: Vec<(Id<kind::Job>, Vec<Reply>)>,
    /// Jobs that go on by themselves later, with what an answer should say now.
    pub blocked: Vec<(Id<kind::Job>, Vec<Reply>)>,
}

/// Where an item stands that a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stand {
    /// Nothing was seen of it under the job's plan yet, or it is on the way.
    Pending,
    /// As wanted.
    Settled,
    /// Not on the machine, as wanted.
    Gone,
    /// In trouble.
    Faulty(Fault),
    /// Its node is not online.
    Offline,
    /// The cluster does not know it any more (its node was lost).
    Unknown,
}

/// The working state of one look: the cluster with the changes so far.
struct Look<'a> {
    cluster: Cluster,
    observed: &'a Observed,
    now: Timestamp,
    ids: IdSource,
    progress: Progress,
}

impl Look<'_> {
    fn put(&mut self, object: Object) {
        self.change(Change::Put(object));
    }

    fn remove(&mut self, key: Key) {
        self.change(Change::Delete(key));
    }

    fn change(&mut self, change: Change) {
        self.cluster.fold([&change]);
        self.progress.changes.push(change);
    }

    fn stand(&self, job: &Job, awaited: &Awaited) -> Stand {
        match self.cluster.owner(awaited.item) {
            Some(ItemOwner::Resource(..) | ItemOwner::Snapshot(..)) => {}
            // What is left to a tombstone is not waited for.
            Some(ItemOwner::Tombstone(_)) | None => return Stand::Unknown,
        }
        if !self.observed.online(&awaited.node) {
            return Stand::Offline;
        }
        match self.observed.item(&awaited.node, awaited.item) {
            Some(record) if record.seen.generation >= job.serial => match record.seen.standing {
                Standing::Settled => Stand::Settled,
                Standing::Gone => Stand::Gone,
                Standing::Working => Stand::Pending,
                Standing::Faulty => Stand::Faulty(record.seen.fault.clone().unwrap_or_else(unnamed_fault)),
            },
            Some(_) | None => Stand::Pending,
        }
    }

    fn stands(&self, job: &Job) -> BTreeMap<(NodeName, Uuid), Stand> {
        job.task.awaited().iter().map(|a| ((a.node.clone(), a.item), self.stand(job, a))).collect()
    }

    /// Ends a job: its record goes, whoever waits gets `replies`.
    fn end(&mut self, job: &Job, replies: Vec<Reply>) {
        self.remove(Key::Job(job.id));
        self.progress.ended.push((job.id, replies));
    }

    /// Goes on later; says why, if there is something to say.
    fn wait(&mut self, job: &Job, replies: Vec<Reply>) {
        if !replies.is_empty() {
            self.progress.blocked.push((job.id, replies));
        }
    }

    /// Writes the job's next step.
    fn step(&mut self, job: &Job, task: Task) -> Job {
        let next = Job { task, serial: self.cluster.serial + 1, ..job.clone() };
        self.put(Object::Job(next.clone()));
        next
    }
}

fn unnamed_fault() -> Fault {
    Fault {
        kind: FaultKind::Bug,
        message: "The satellite reports a fault and does not say which.".to_owned(),
        cause: String::new(),
        correction: "Look at the satellite's log.".to_owned(),
        details: String::new(),
        holders: Vec::new(),
    }
}

/// Looks at the given jobs; unknown ids are skipped.
#[must_use]
pub fn advance(
    cluster: &Cluster,
    observed: &Observed,
    now: Timestamp,
    ids: IdSource,
    jobs: impl IntoIterator<Item = Id<kind::Job>>,
) -> Progress {
    let mut look = Look { cluster: cluster.clone(), observed, now, ids, progress: Progress::default() };
    for id in jobs {
        let Some(job) = look.cluster.jobs.get(&id).cloned() else { continue };
        advance_one(&mut look, &job);
    }
    look.progress
}

fn advance_one(look: &mut Look<'_>, job: &Job) {
    match &job.task {
        Task::Create { .. } | Task::CreateVolume { .. } | Task::Restore { .. } | Task::Clone { .. } => filling::fill(look, job),
        Task::Resize { number, from, .. } => filling::resize(look, job, *number, *from),
        Task::Activate { active, .. } => filling::activate(look, job, *active),
        Task::Delete { definition, .. } => deleting::delete(look, job, *definition),
        Task::DeleteVolume { number, .. } => deleting::delete_volume(look, job, *number),
        Task::Snapshot { snapshot, .. } => snapshotting::take(look, job, snapshot),
        Task::DeleteSnapshot { snapshot, failed, .. } => snapshotting::delete(look, job, snapshot, failed.as_ref()),
        Task::Rollback { snapshot, step, .. } => snapshotting::roll_back(look, job, snapshot, *step),
    }
}

/// Removes the tombstones whose items were seen gone, and frees the numbers that they held.
#[must_use]
pub fn bury(cluster: &Cluster, node: &NodeName, gone: impl IntoIterator<Item = Uuid>) -> Vec<Change> {
    let mut changes = Vec::new();
    for id in gone {
        let Some(tombstone) = cluster.tombstones.get(&id).filter(|tombstone| tombstone.node == *node) else { continue };
        changes.push(Change::Delete(Key::Tombstone(id)));
        let ports = tombstone.ports.iter().map(|port| NumberKey::Port { node: node.clone(), port: *port });
        let node_id = tombstone.drbd_node_id.map(|node_id| NumberKey::NodeId { resource: tombstone.resource.clone(), node_id });
        changes.extend(release(cluster, id, ports.chain(node_id)));
    }
    changes
}

/// Frees those of `numbers` that `holder` holds.
pub(crate) fn release(cluster: &Cluster, holder: Uuid, numbers: impl IntoIterator<Item = NumberKey>) -> Vec<Change> {
    let held = |key: &NumberKey| cluster.numbers.get(key) == Some(&holder);
    numbers.into_iter().filter(held).map(|key| Change::Delete(Key::Number(key))).collect()
}

/// The numbers of a replica.
pub(crate) fn numbers_of(resource: &Resource) -> Vec<NumberKey> {
    let Some(drbd) = &resource.drbd else { return Vec::new() };
    let ports = drbd.ports.iter().map(|port| NumberKey::Port { node: resource.node.clone(), port: *port });
    ports.chain([NumberKey::NodeId { resource: resource.name.clone(), node_id: drbd.node_id }]).collect()
}

/// The jobs that wait for an item of this node.
pub fn jobs_waiting_on<'a>(cluster: &'a Cluster, node: &'a NodeName) -> impl Iterator<Item = Id<kind::Job>> + 'a {
    cluster.jobs.values().filter(move |job| job.task.awaited().iter().any(|a| a.node == *node)).map(|job| job.id)
}

/// The answer that names the nodes which are not there. WARN 1002.
pub(crate) fn not_connected<'n>(nodes: impl IntoIterator<Item = &'n NodeName>, what: &str) -> Vec<Reply> {
    nodes
        .into_iter()
        .map(|node| {
            Reply::new(Code::WARN_NOT_CONNECTED, format!("No connection to satellite '{node}'; {what}."))
                .cause("The node is offline.")
                .correction(
                    "Start the satellite on the node; the work goes on by itself. If the node is gone for good: 'linstor node lost'.",
                )
        })
        .collect()
}

/// The answer that tells of a fault on a node.
pub(crate) fn fault_reply(node: &NodeName, fault: &Fault) -> Reply {
    let code = match fault.kind {
        FaultKind::InUse => Code::FAIL_IN_USE,
        FaultKind::NoSpace => Code::FAIL_NOT_ENOUGH_FREE_SPACE,
        FaultKind::Unsupported => Code::FAIL_SNAPSHOTS_NOT_SUPPORTED,
        FaultKind::Pool => Code::FAIL_STOR_POOL_CONFIGURATION_ERROR,
        FaultKind::Foreign | FaultKind::Lost | FaultKind::Tool | FaultKind::Timeout | FaultKind::Bug => Code::FAIL_UNKNOWN_ERROR,
    };
    Reply::new(code, format!("(Node: '{node}') {}", fault.message))
        .cause(fault.cause.clone())
        .correction(fault.correction.clone())
        .details(fault.details.clone())
}

/// What an answer says of items that are offline or in trouble.
fn troubles(stands: &BTreeMap<(NodeName, Uuid), Stand>, what: &str) -> Vec<Reply> {
    // As long as one is on the way the answer waits for it.
    if stands.values().any(|stand| *stand == Stand::Pending) {
        return Vec::new();
    }
    let offline = stands.iter().filter(|(_, stand)| **stand == Stand::Offline).map(|((node, _), _)| node);
    let mut replies = not_connected(offline, what);
    for ((node, _), stand) in stands {
        if let Stand::Faulty(fault) = stand {
            replies.push(fault_reply(node, fault));
        }
    }
    replies
}

/// Cancels a job where that can be done without harm: a rollback or deactivation that has not begun to change data.
///
/// # Errors
/// 234 for a bad id, 998 for an unknown job, 992 if it is too late.
pub fn cancel(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::CancelJob { id } = command else {
        return Err(Reply::new(Code::FAIL_IMPL_ERROR, "Not a job command.").into());
    };
    draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("Job", id)]);
    let wanted = Uuid::parse_str(id).map(Id::<kind::Job>::from_uuid).map_err(|error| {
        Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{id}' is not the id of a job: {error}."))
            .correction("List the open jobs with 'berth job list'.")
    })?;
    let Some(job) = draft.cluster.jobs.get(&wanted).cloned() else {
        draft.reply(Reply::new(Code::WARN_NOT_FOUND, format!("There is no open job {id}; it has ended.")));
        return Ok(());
    };
    match &job.task {
        Task::Rollback { step: berth_model::job::RollbackStep::Down, .. } => {
            draft.delete(Key::Job(job.id));
            draft.say(Code::DELETED, format!("The {} of '{}' is cancelled; nothing was changed.", job.task.word(), job.resource));
            Ok(())
        }
        Task::Activate { .. }
        | Task::Rollback { .. }
        | Task::Create { .. }
        | Task::CreateVolume { .. }
        | Task::Restore { .. }
        | Task::Clone { .. }
        | Task::Delete { .. }
        | Task::DeleteVolume { .. }
        | Task::Resize { .. }
        | Task::Snapshot { .. }
        | Task::DeleteSnapshot { .. } => {
            Err(Reply::new(Code::FAIL_RSC_BUSY, format!("The {} of '{}' cannot be cancelled any more.", job.task.word(), job.resource))
                .cause("It has begun to change what is on the nodes; it ends, or says what blocks it.")
                .correction("Delete the resource to end a creation, restore or clone; mend what the resource's reports name otherwise.")
                .into())
        }
    }
}
