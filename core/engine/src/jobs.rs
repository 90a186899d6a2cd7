//! Durable jobs: where each stands by what was seen, and what follows. Pure; called after every commit that starts a job,
//! for every observation of an item that a job waits for, and when a node comes or goes.

mod adopting;
mod cancelling;
mod concerned;
mod deleting;
mod evacuating;
mod evicting;
mod filling;
mod keeping;
mod leaving;
mod moving;
mod outlook;
mod rounds;
mod snapshotting;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use cancelling::take_back_move;
pub use cancelling::{cancel, find, retry};
pub use concerned::concerned;
pub(crate) use deleting::tombstone_of;
pub use outlook::outlook;
pub use view::{Blocker, BlockerKind, JobView, Outlook, Progressed, StepView, WaitView, view};

use std::collections::BTreeMap;

use berth_model::access::Caller;
use berth_model::change::{Change, Key, NumberKey, Object};
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::codes::Code;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::job::{Awaited, DeleteStep, Job, Made, Subject, Task};
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{Resource, Tombstone};
use berth_model::observed::{Fault, FaultKind, Observed, Standing};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::draft::{Context, Draft, Refused};

/// What came of looking at jobs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Changes to commit.
    pub changes: Vec<Change>,
    /// Jobs that ended, with the last entries of their answers.
    pub ended: Vec<(Id<kind::Job>, Vec<Reply>)>,
    /// Jobs that go on by themselves later, with what an answer should say now.
    pub blocked: Vec<(Id<kind::Job>, Vec<Reply>)>,
    /// Why jobs did what they did where their subject does not say it: for the log.
    pub reasons: Vec<(Id<kind::Job>, Reply)>,
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
    /// Its record cannot be read: why.
    Broken(String),
}

/// A job on a resource definition.
struct On<'j> {
    job: &'j Job,
    resource: &'j ResourceName,
}

impl std::ops::Deref for On<'_> {
    type Target = Job;

    fn deref(&self) -> &Job {
        self.job
    }
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
        stand(&self.cluster, self.observed, job, awaited)
    }

    fn stands(&self, job: &Job) -> BTreeMap<(NodeName, Uuid), Stand> {
        job.task.awaited().iter().map(|a| ((a.node.clone(), a.item), self.stand(job, a))).collect()
    }

    /// Lets a decision be made as for a command, and takes its changes over; its refusal changes nothing.
    fn decide(&mut self, actor: &str, decide: impl FnOnce(&mut Draft<'_>) -> Result<(), Refused>) -> Result<(), Refused> {
        let context = Context {
            now: self.now,
            ids: self.ids.clone(),
            secret: String::new(),
            caller: Caller::internal(actor),
            observed: self.observed,
            // What it places has its keys already.
            keys: &crate::vault::NoKeys,
        };
        let mut draft = Draft::new(&self.cluster, context);
        let outcome = decide(&mut draft);
        self.ids = draft.context.ids.clone();
        outcome?;
        draft.applied.changes.into_iter().for_each(|change| self.change(change));
        Ok(())
    }

    /// Makes and removes tiebreakers where the steps so far, which began with the state `before`, call for it.
    fn settle_ties(&mut self, before: &Cluster) {
        let names = crate::tiebreaker::called_for(before, &self.cluster, &self.progress.changes);
        for name in names {
            let settled = self.decide("berth", |draft| {
                crate::tiebreaker::settle(draft, &name);
                Ok(())
            });
            debug_assert!(settled.is_ok(), "settling refuses nothing");
        }
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

/// Where an item stands that `job` waits for, by what was seen under the job's serial.
fn stand(cluster: &Cluster, observed: &Observed, job: &Job, awaited: &Awaited) -> Stand {
    match cluster.owner(awaited.item) {
        Some(ItemOwner::Resource(..) | ItemOwner::Snapshot(..)) => {}
        // What is left to a tombstone is not waited for.
        Some(ItemOwner::Tombstone(_)) => return Stand::Unknown,
        None => return broken(cluster, job, awaited).map_or(Stand::Unknown, Stand::Broken),
    }
    if !observed.online(&awaited.node) {
        return Stand::Offline;
    }
    match observed.item(&awaited.node, awaited.item) {
        Some(record) if record.seen.generation >= job.serial => match record.seen.standing {
            Standing::Settled => Stand::Settled,
            Standing::Gone => Stand::Gone,
            Standing::Working => Stand::Pending,
            Standing::Faulty => Stand::Faulty(record.seen.fault.clone().unwrap_or_else(unnamed_fault)),
        },
        Some(_) | None => Stand::Pending,
    }
}

/// Why the record of an awaited item cannot be read, if that is why the cluster does not know it.
fn broken(cluster: &Cluster, job: &Job, awaited: &Awaited) -> Option<String> {
    let name = job.resource()?;
    let key = match job.task.copies_of() {
        Some(snapshot) => Key::Snapshot(name.clone(), snapshot.clone()),
        None => Key::Resource(name.clone(), awaited.node.clone()),
    };
    cluster.reserved(&key).map(|record| record.why.clone())
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
        if let Some(reply) = held_by_broken_record(&look.cluster, &job) {
            look.wait(&job, vec![reply]);
            continue;
        }
        advance_one(&mut look, &job);
    }
    look.settle_ties(cluster);
    look.progress
}

/// A job is not looked at while a record of what it works on cannot be read: what is missing is not gone.
fn held_by_broken_record(cluster: &Cluster, job: &Job) -> Option<Reply> {
    let name = job.resource()?;
    let definition = Key::ResourceDefinition(name.clone());
    let broken = cluster.reserved(&definition).or_else(|| cluster.broken_part(&definition))?;
    let message = format!("The {} of '{name}' waits: the record {} {} is broken.", job.task.word(), broken.kind, broken.key);
    Some(
        Reply::new(Code::FAIL_UNKNOWN_ERROR, message)
            .cause(broken.why.clone())
            .correction("Stop the controller and mend the record with 'berth db repair'; the work goes on by itself then."),
    )
}

fn advance_one(look: &mut Look<'_>, job: &Job) {
    match &job.subject {
        Subject::Resource(resource) => advance_on_resource(look, &On { job, resource }),
        Subject::Node(node) => advance_on_node(look, job, node),
    }
}

/// A record that no version writes: nothing can be done for it.
fn nonsense(look: &mut Look<'_>, job: &Job) {
    let reply = Reply::new(Code::FAIL_IMPL_ERROR, format!("A {} of '{}' makes no sense; it was given up.", job.task.word(), job.subject))
        .cause("The job's record names a task that does not fit what it works on.")
        .correction("Look at the state of it; report this as a defect of Berth.");
    look.end(job, vec![reply]);
}

fn advance_on_node(look: &mut Look<'_>, job: &Job, node: &NodeName) {
    match &job.task {
        Task::Evacuate { target, do_not_target } => evacuating::evacuate(look, job, node, target, do_not_target),
        Task::Evict => evicting::evict(look, job, node),
        Task::Return { delete_resources, delete_snapshots } => leaving::take_back(look, job, node, *delete_resources, *delete_snapshots),
        Task::Lose { pool: None } => leaving::lose(look, job, node),
        Task::Lose { pool: Some(pool) } => leaving::lose_pool(look, job, node, pool),
        Task::Create { .. }
        | Task::CreateVolume { .. }
        | Task::Restore { .. }
        | Task::Clone { .. }
        | Task::Delete { .. }
        | Task::DeleteVolume { .. }
        | Task::Resize { .. }
        | Task::Snapshot { .. }
        | Task::DeleteSnapshot { .. }
        | Task::Rollback { .. }
        | Task::Activate { .. }
        | Task::Keep { .. }
        | Task::Move { .. } => nonsense(look, job),
    }
}

fn advance_on_resource(look: &mut Look<'_>, job: &On<'_>) {
    match &job.task {
        Task::Create { made: Made::Adopted, .. } => adopting::adopt(look, job),
        Task::Create { .. } | Task::CreateVolume { .. } | Task::Restore { .. } | Task::Clone { .. } => filling::fill(look, job),
        Task::Resize { number, from, .. } => filling::resize(look, job, *number, *from),
        Task::Activate { active, diskless, .. } => filling::activate(look, job, *active, *diskless),
        Task::Delete { step: DeleteStep::Down, .. } | Task::DeleteVolume { step: DeleteStep::Down, .. } => deleting::down(look, job),
        Task::Delete { definition, firm, .. } => deleting::delete(look, job, *definition, *firm),
        Task::DeleteVolume { number, firm, .. } => deleting::delete_volume(look, job, *number, *firm),
        Task::Snapshot { snapshot, .. } => snapshotting::take(look, job, snapshot),
        Task::DeleteSnapshot { snapshot, failed, .. } => snapshotting::delete(look, job, snapshot, failed.as_ref()),
        Task::Rollback { snapshot, step, .. } => snapshotting::roll_back(look, job, snapshot, *step),
        Task::Keep { deletion, refused } => keeping::keep(look, job, deletion, refused.as_ref()),
        Task::Move { from, to, step, made } => moving::advance(look, job, (from, to), *step, made),
        Task::Evacuate { .. } | Task::Evict | Task::Return { .. } | Task::Lose { .. } => nonsense(look, job),
    }
}

/// Removes the tombstones whose items were seen gone, and frees the numbers that they held.
#[must_use]
pub fn bury(cluster: &Cluster, node: &NodeName, gone: impl IntoIterator<Item = Uuid>) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut cluster = cluster.clone();
    for id in gone {
        let Some(tombstone) = cluster.tombstones.get(&id).filter(|tombstone| tombstone.node == *node).cloned() else { continue };
        let mut buried = vec![Change::Delete(Key::Tombstone(id))];
        buried.extend(release(&cluster, id, numbers_held(&tombstone)));
        cluster.fold(&buried);
        changes.extend(buried);
    }
    changes
}

/// The numbers that a tombstone keeps taken.
pub(crate) fn numbers_held(tombstone: &Tombstone) -> Vec<NumberKey> {
    let ports = tombstone.ports.iter().map(|port| NumberKey::Port { node: tombstone.node.clone(), port: *port });
    let node_id = tombstone.drbd_node_id.map(|node_id| NumberKey::NodeId { resource: tombstone.resource.clone(), node_id });
    ports.chain(node_id).collect()
}

/// Frees those of `numbers` that `holder`, which is not in the cluster any more, holds. Of a DRBD node id its definition remembers that it
/// was in use.
pub(crate) fn release(cluster: &Cluster, holder: Uuid, numbers: impl IntoIterator<Item = NumberKey>) -> Vec<Change> {
    let held = |key: &NumberKey| cluster.numbers.get(key) == Some(&holder);
    let mut changes = Vec::new();
    for key in numbers.into_iter().filter(held) {
        if let NumberKey::NodeId { resource, node_id } = &key {
            changes.extend(
                crate::numbers::used_node_id(cluster, resource, *node_id).map(|used| Change::Put(Object::ResourceDefinition(used))),
            );
        }
        changes.push(Change::Delete(Key::Number(key)));
    }
    changes
}

/// The numbers of a replica.
pub(crate) fn numbers_of(resource: &Resource) -> Vec<NumberKey> {
    let Some(drbd) = &resource.drbd else { return Vec::new() };
    let ports = drbd.ports.iter().map(|port| NumberKey::Port { node: resource.node.clone(), port: *port });
    ports.chain([NumberKey::NodeId { resource: resource.name.clone(), node_id: drbd.node_id }]).collect()
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
        FaultKind::ByHand => Code::WARN_RSC_DEACTIVATED,
    };
    Reply::new(code, format!("(Node: '{node}') {}", fault.message))
        .cause(fault.cause.clone())
        .correction(fault.correction.clone())
        .details(fault.details.clone())
}

/// The answer that tells of a record that cannot be read.
fn broken_reply(node: &NodeName, why: &str) -> Reply {
    Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("(Node: '{node}') The record of what the work is about cannot be read."))
        .cause(why.to_owned())
        .correction("Stop the controller, mend or remove the record with 'berth db repair', and start it again.")
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
        match stand {
            Stand::Faulty(fault) => replies.push(fault_reply(node, fault)),
            Stand::Broken(why) => replies.push(broken_reply(node, why)),
            Stand::Pending | Stand::Settled | Stand::Gone | Stand::Offline | Stand::Unknown => {}
        }
    }
    replies
}
