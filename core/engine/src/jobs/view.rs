//! A job as people see it: where it stands, what blocks it, and the way out.

use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::ResourceFlag;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::job::{Awaited, DeleteStep, Family, Job, MoveStep, Part, RollbackStep, Subject, Task};
use berth_model::names::{NodeName, ResourceName, SnapshotName, VolumeNumber};
use berth_model::observed::{Fault, FaultKind, Holder, Observed};
use berth_model::reply::Reply;
use berth_model::snapshot::CopyState;
use berth_model::time::Timestamp;
use uuid::Uuid;

use super::evacuating::{anchored, begin, moves_from};
use super::filling::waiting_reply;
use super::moving::still_needed;
use super::{Stand, stand};
use crate::draft::{Context, Draft};
use crate::vault::PaperKeys;

/// Replicas of an evacuation for which a view looks for a place; more of them say nothing new.
const MOST_PLACED: usize = 20;

/// Where a step of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progressed {
    /// It has been done.
    Done,
    /// It is the present one.
    Now,
    /// It is still to come.
    ToCome,
}

impl Progressed {
    /// The word of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::ToCome => "to_come",
        }
    }
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepView {
    /// Its word, e.g. `down`, `roll`, `up`.
    pub name: &'static str,
    /// Where it stands.
    pub state: Progressed,
}

/// An item that a job waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitView {
    /// Its node.
    pub node: NodeName,
    /// Generation id of the replica or copy.
    pub item: Uuid,
    /// `pending`, `settled`, `gone`, `faulty`, `offline`, `forgotten` or `quarantined`.
    pub state: &'static str,
    /// When this was seen; of an offline node: since when it is; `None`: not seen yet.
    pub seen: Option<Timestamp>,
}

/// What kind of thing blocks a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The words say it.
pub enum BlockerKind {
    Offline,
    InUse,
    NoSpace,
    Unsupported,
    Foreign,
    Lost,
    Pool,
    Tool,
    Timeout,
    Bug,
    Quarantined,
    /// Another job is at work.
    Busy,
    /// No other node can take the replica.
    NoPlace,
    /// Nobody saw that the new replica holds the data.
    NotUpToDate,
    /// Copies of snapshots are left, which cannot be moved.
    Snapshots,
}

impl BlockerKind {
    /// The word of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::InUse => "in_use",
            Self::NoSpace => "no_space",
            Self::Unsupported => "unsupported",
            Self::Foreign => "foreign",
            Self::Lost => "lost",
            Self::Pool => "pool",
            Self::Tool => "tool",
            Self::Timeout => "timeout",
            Self::Bug => "bug",
            Self::Quarantined => "quarantined",
            Self::Busy => "busy",
            Self::NoPlace => "no_place",
            Self::NotUpToDate => "not_up_to_date",
            Self::Snapshots => "snapshots",
        }
    }

    fn of(kind: FaultKind) -> Self {
        match kind {
            FaultKind::InUse => Self::InUse,
            FaultKind::NoSpace => Self::NoSpace,
            FaultKind::Unsupported => Self::Unsupported,
            FaultKind::Foreign => Self::Foreign,
            FaultKind::Lost => Self::Lost,
            FaultKind::Pool => Self::Pool,
            FaultKind::Tool => Self::Tool,
            FaultKind::Timeout => Self::Timeout,
            FaultKind::Bug => Self::Bug,
            // Nothing waits for what is settled; only a defect could ask.
            FaultKind::ByHand => Self::InUse,
        }
    }

    fn of_reply(reply: &Reply) -> Self {
        if reply.code == Code::FAIL_IN_USE {
            Self::InUse
        } else if reply.code == Code::FAIL_RSC_BUSY {
            Self::Busy
        } else if reply.code == Code::FAIL_SNAPSHOT_NOT_UPTODATE {
            Self::NotUpToDate
        } else if reply.code == Code::FAIL_INVLD_LAYER_STACK {
            Self::Unsupported
        } else {
            Self::NoPlace
        }
    }
}

/// What keeps a job from going on.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocker {
    /// What kind of thing.
    pub kind: BlockerKind,
    /// What is blocked, e.g. `resource web`, `snapshot s1 of web`.
    pub object: String,
    /// Where; `None`: nowhere in particular.
    pub node: Option<NodeName>,
    /// When it was seen, or since when the node is offline; `None`: it follows from the state itself.
    pub seen: Option<Timestamp>,
    /// What is wrong, one sentence.
    pub message: String,
    /// Why; empty: unknown.
    pub cause: String,
    /// What to do next, with the command to type.
    pub way_out: String,
    /// Who holds the device, as far as that is known.
    pub holders: Vec<Holder>,
}

/// What can be done about a job: what it leads to, or why it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Cancel.
    pub cancel: Result<String, String>,
    /// Retry.
    pub retry: Result<String, String>,
}

/// A job as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Its id.
    pub id: Id<kind::Job>,
    /// What it does.
    pub task: &'static str,
    /// The resource that it works on.
    pub resource: Option<ResourceName>,
    /// The node that it works on, or moves a replica off.
    pub node: Option<NodeName>,
    /// The snapshot that it is about.
    pub snapshot: Option<SnapshotName>,
    /// The volume that it is about.
    pub volume: Option<VolumeNumber>,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub created: Timestamp,
    /// Serial of the transaction that set its present step.
    pub serial: u64,
    /// Its steps in order.
    pub steps: Vec<StepView>,
    /// What it waits for.
    pub waits_for: Vec<WaitView>,
    /// What keeps it from going on; empty: it goes on, or waits for what is on the way.
    pub blockers: Vec<Blocker>,
    /// What can be done.
    pub outlook: Outlook,
}

/// What is to be known of an open job at `now`. Pure; costs what its items cost (an evacuation: the replicas of the node).
#[must_use]
pub fn view(cluster: &Cluster, observed: &Observed, job: &Job, now: Timestamp) -> JobView {
    let (resource, node) = match (&job.subject, &job.task) {
        (Subject::Resource(name), Task::Move { from, .. }) => (Some(name.clone()), Some(from.node.clone())),
        (Subject::Resource(name), _) => (Some(name.clone()), None),
        (Subject::Node(name), _) => (None, Some(name.clone())),
    };
    let mut waits_for = waits(cluster, observed, job);
    let mut blockers = blockers(cluster, observed, job);
    if let (Subject::Node(node), Task::Evacuate { target, do_not_target }) = (&job.subject, &job.task) {
        for one in moves_from(cluster, node) {
            waits_for.extend(waits(cluster, observed, one));
            blockers.extend(self::blockers(cluster, observed, one));
        }
        blockers.extend(left_on(cluster, observed, (node, job.id), (target, do_not_target), now));
    }
    if let (Subject::Node(node), Task::Evict) = (&job.subject, &job.task) {
        let missed = super::evicting::missed(cluster, observed, node, now);
        blockers.extend(missed.iter().map(|(name, reply)| from_reply(reply, format!("resource {name}"), node)));
    }
    JobView {
        id: job.id,
        task: job.task.word(),
        resource,
        node,
        snapshot: job.task.snapshot().cloned(),
        volume: job.task.volume(),
        actor: job.actor.clone(),
        created: job.created,
        serial: job.serial,
        steps: steps(&job.task),
        waits_for,
        blockers,
        outlook: super::outlook(cluster, observed, job),
    }
}

/// The steps of a task in order, the present one marked.
fn steps(task: &Task) -> Vec<StepView> {
    let (names, now): (&[&'static str], usize) = match task {
        Task::Create { .. } | Task::CreateVolume { .. } => (&["make"], 0),
        Task::Restore { .. } | Task::Clone { .. } => (&["copy"], 0),
        Task::Delete { step, .. } | Task::DeleteVolume { step, .. } => (
            &["down", "remove"],
            match step {
                DeleteStep::Down => 0,
                DeleteStep::Remove => 1,
            },
        ),
        Task::DeleteSnapshot { .. } => (&["remove"], 0),
        Task::Resize { .. } => (&["grow"], 0),
        Task::Snapshot { .. } => (&["take"], 0),
        Task::Rollback { step, .. } => (
            &["down", "roll", "up"],
            match step {
                RollbackStep::Down => 0,
                RollbackStep::Roll => 1,
                RollbackStep::Up => 2,
            },
        ),
        Task::Activate { active: true, .. } => (&["attach"], 0),
        Task::Activate { active: false, .. } => (&["detach"], 0),
        Task::Keep { .. } => (&["look"], 0),
        Task::Move { step: MoveStep::Fill, .. } => (&["fill", "leave"], 0),
        Task::Move { step: MoveStep::Leave, .. } => (&["fill", "leave"], 1),
        Task::Evacuate { .. } => (&["move"], 0),
        Task::Evict => (&["replace"], 0),
        Task::Return { .. } => (&["unmark"], 0),
        Task::Lose { .. } => (&["forget"], 0),
    };
    let state = |at: usize| match at.cmp(&now) {
        std::cmp::Ordering::Less => Progressed::Done,
        std::cmp::Ordering::Equal => Progressed::Now,
        std::cmp::Ordering::Greater => Progressed::ToCome,
    };
    names.iter().enumerate().map(|(at, name)| StepView { name, state: state(at) }).collect()
}

/// When an item's state was seen; of a node that is away: since when it is.
fn seen_at(observed: &Observed, awaited: &Awaited, stand: &Stand) -> Option<Timestamp> {
    match stand {
        Stand::Offline => observed.nodes.get(&awaited.node).map(|seen| seen.since),
        Stand::Settled | Stand::Gone | Stand::Faulty(_) => observed.item(&awaited.node, awaited.item).map(|record| record.at),
        Stand::Pending | Stand::Unknown | Stand::Broken(_) => None,
    }
}

fn waits(cluster: &Cluster, observed: &Observed, job: &Job) -> Vec<WaitView> {
    let wait = |awaited: &Awaited| {
        let stand = stand(cluster, observed, job, awaited);
        let state = match &stand {
            Stand::Pending => "pending",
            Stand::Settled => "settled",
            Stand::Gone => "gone",
            Stand::Faulty(_) => "faulty",
            Stand::Offline => "offline",
            Stand::Unknown => "forgotten",
            Stand::Broken(_) => "quarantined",
        };
        WaitView { node: awaited.node.clone(), item: awaited.item, state, seen: seen_at(observed, awaited, &stand) }
    };
    job.task.awaited().iter().map(wait).collect()
}

fn object(job: &Job) -> String {
    match (&job.subject, job.task.part()) {
        (Subject::Node(name), _) => format!("node {name}"),
        (Subject::Resource(name), Part::Snapshot(snapshot)) => format!("snapshot {snapshot} of {name}"),
        (Subject::Resource(name), Part::Source(snapshot)) if job.task.family() == Family::Rollback => {
            format!("snapshot {snapshot} of {name}")
        }
        (Subject::Resource(name), Part::Volume(volume)) => format!("volume {volume} of {name}"),
        (Subject::Resource(name), Part::Source(_) | Part::All) => format!("resource {name}"),
    }
}

fn blockers(cluster: &Cluster, observed: &Observed, job: &Job) -> Vec<Blocker> {
    let mut blockers: Vec<Blocker> = job.task.awaited().iter().filter_map(|awaited| blocker(cluster, observed, job, awaited)).collect();
    let Some(name) = job.resource() else { return blockers };
    let settled = |awaited: &Awaited| stand(cluster, observed, job, awaited) == Stand::Settled;
    let object = || format!("resource {name}");
    match &job.task {
        Task::Move { from, to, step: MoveStep::Fill, .. } if settled(to) && stand(cluster, observed, job, from) != Stand::Unknown => {
            blockers.extend(still_needed(cluster, observed, name, from, to).map(|reply| from_reply(&reply, object(), &from.node)));
        }
        task if task.fills() => {
            for awaited in task.awaited().iter().filter(|awaited| settled(awaited)) {
                let reply = waiting_reply(cluster, observed, name, awaited);
                let blocker = reply.map(|reply| Blocker { kind: BlockerKind::NotUpToDate, ..from_reply(&reply, object(), &awaited.node) });
                blockers.extend(blocker);
            }
        }
        _ => {}
    }
    blockers
}

fn from_reply(reply: &Reply, object: String, node: &NodeName) -> Blocker {
    Blocker {
        kind: BlockerKind::of_reply(reply),
        object,
        node: Some(node.clone()),
        seen: None,
        message: reply.message.clone(),
        cause: reply.cause.clone(),
        way_out: reply.correction.clone(),
        holders: Vec::new(),
    }
}

fn blocker(cluster: &Cluster, observed: &Observed, job: &Job, awaited: &Awaited) -> Option<Blocker> {
    let stand = stand(cluster, observed, job, awaited);
    let seen = seen_at(observed, awaited, &stand);
    let node = &awaited.node;
    let (kind, message, cause, way_out, holders) = match stand {
        Stand::Pending | Stand::Settled | Stand::Gone | Stand::Unknown => return None,
        Stand::Offline => (
            BlockerKind::Offline,
            format!("The satellite of node '{node}' cannot be reached."),
            observed.nodes.get(node).and_then(|seen| seen.reason.clone()).unwrap_or_default(),
            format!(
                "Start the satellite on '{node}', the work goes on by itself; if the node is gone for good: 'linstor node lost {node}'."
            ),
            Vec::new(),
        ),
        Stand::Broken(why) => (
            BlockerKind::Quarantined,
            "The record of what the work is about cannot be read.".to_owned(),
            why,
            "Stop the controller, mend or remove the record with 'berth db repair', and start it again.".to_owned(),
            Vec::new(),
        ),
        Stand::Faulty(fault) => {
            let way_out = way_out(cluster, observed, job, awaited, &fault);
            (BlockerKind::of(fault.kind), fault.message, fault.cause, way_out, fault.holders)
        }
    };
    Some(Blocker { kind, object: object(job), node: Some(node.clone()), seen, message, cause, way_out, holders })
}

/// What frees a device that somebody holds.
fn release(holder: &Holder) -> String {
    match holder {
        Holder::Mount { path, .. } => format!("'umount {path}'"),
        Holder::Process { pid, command, .. } => format!("stop {command} ('kill {pid}')"),
        Holder::Device { by, .. } => format!("take {by} off it"),
    }
}

/// The next thing to do about a fault: first what mends it, then how to go on, or how to give up.
fn way_out(cluster: &Cluster, observed: &Observed, job: &Job, awaited: &Awaited, fault: &Fault) -> String {
    let mut mend = fault.correction.trim_end_matches('.').to_owned();
    if fault.kind == FaultKind::InUse && !fault.holders.is_empty() {
        let steps: Vec<String> = fault.holders.iter().map(release).collect();
        mend = format!("On '{}': {}", awaited.node, steps.join(", "));
    }
    if mend.is_empty() {
        mend = format!("Look at the satellite's log on '{}'", awaited.node);
    }
    let mut text = format!("{mend}, then 'berth job retry {}'", job.id);
    if super::outlook(cluster, observed, job).cancel.is_ok() {
        text.push_str(&format!("; or give it up: 'berth job cancel {}'", job.id));
    }
    text.push('.');
    text
}

/// What holds up an evacuation beside its moves: replicas that cannot be moved, and copies of snapshots.
fn left_on(
    cluster: &Cluster,
    observed: &Observed,
    (node, job): (&NodeName, Id<kind::Job>),
    (target, avoid): (&[NodeName], &[NodeName]),
    now: Timestamp,
) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    let mut placed = 0;
    for replica in cluster.resources_on(node) {
        let moving = |job: &Job| matches!(&job.task, Task::Move { from, .. } if from.node == *node);
        if replica.flags.has(ResourceFlag::Delete) || cluster.jobs_on(&replica.name).any(|job| moving(job)) {
            continue;
        }
        let object = format!("resource {}", replica.name);
        if let Some(why) = anchored(cluster, observed, replica) {
            blockers.push(from_reply(&why, object, node));
            continue;
        }
        if placed >= MOST_PLACED {
            continue;
        }
        placed += 1;
        // On paper only: the draft is thrown away.
        let context = Context {
            now,
            ids: IdSource::new(now, [0; 16]),
            secret: String::new(),
            caller: Caller::internal("berth"),
            observed,
            keys: &PaperKeys,
        };
        if let Err(refused) = begin(&mut Draft::new(cluster, context), replica, target, avoid)
            && let Some(why) = refused.replies.into_iter().find(Reply::is_error)
        {
            let way_out = format!(
                "Give another node what it lacks, then 'berth job retry {job}'; or name other nodes: 'linstor node evacuate {node} --target …'."
            );
            let cause = if why.details.is_empty() { why.cause.clone() } else { why.details.replace('\n', "; ") };
            blockers.push(Blocker { kind: BlockerKind::NoPlace, cause, way_out, ..from_reply(&why, object, node) });
        }
    }
    for snapshot in cluster.snapshots_on(node) {
        if snapshot.copies.get(node).is_some_and(|copy| copy.state == CopyState::Deleting) {
            continue;
        }
        blockers.push(Blocker {
            kind: BlockerKind::Snapshots,
            object: format!("snapshot {} of {}", snapshot.name, snapshot.resource),
            node: Some(node.clone()),
            seen: None,
            message: format!("Snapshot '{}' of '{}' has a copy on '{node}'.", snapshot.name, snapshot.resource),
            cause: "Copies of snapshots cannot be moved to another node in this version.".to_owned(),
            way_out: format!(
                "Keep the node for it, or delete it: 'linstor snapshot delete {} {} --nodes {node}'.",
                snapshot.resource, snapshot.name
            ),
            holders: Vec::new(),
        });
    }
    blockers
}
