//! The job that empties a node: it starts a job of its own for each replica that can leave, and ends with the last of them.
//!
//! A look costs what it starts, not what the node holds: it goes on behind the last replica that is leaving, by name, and stops when
//! enough are. Only when nothing is left behind that one it begins elsewhere, by the time, with those that stayed before.

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::{NodeFlag, ResourceFlag};
use berth_model::job::{Awaited, DeleteStep, Job, Made, MoveStep, Task};
use berth_model::names::NodeName;
use berth_model::objects::{Resource, SelectFilter};
use berth_model::observed::Observed;
use berth_model::reply::Reply;

use super::Look;
use super::rounds::{self, MOST_CHANGES, MOST_COPYING, MOST_PASSED, MOST_TOLD};
use crate::balance::census::{self, Surplus};
use crate::draft::{Draft, Refused};
use crate::placement::{self, Request};
use crate::resources::{NewReplica, deploy, make_disk};
use crate::{lookup, stack};

/// Replicas that leave at a time, those among them that nobody has to copy.
const MOST_LEAVING: usize = 64;
/// Nodes that are judged in one look for replicas that then find no place.
const MOST_JUDGED: usize = 16_384;
/// The open moves off a node.
pub(super) fn moves_from<'c>(cluster: &'c Cluster, node: &'c NodeName) -> impl Iterator<Item = &'c Job> {
    cluster.departures(node).map(AsRef::as_ref).filter(|job| matches!(job.task, Task::Move { .. }))
}

/// Why a replica stays where it is. Warning 1020; it names no objects (recorded behaviour of the API).
fn stays(resource: &Resource, why: Reply) -> Reply {
    Reply::new(
        Code::WARN_NOT_EVACUATING,
        format!("Resource '{}' stays on node '{}' for now: {}", resource.name, resource.node, why.message),
    )
    .cause(why.cause)
    .correction(why.correction)
    .details(why.details)
    .alone()
}

/// What keeps a replica on a node that is being evacuated, as far as that is known without placing another one.
pub(super) fn anchored(cluster: &Cluster, observed: &Observed, resource: &Resource) -> Option<Reply> {
    if let Some(job) = cluster.jobs_on(&resource.name).next() {
        return Some(
            Reply::new(Code::FAIL_RSC_BUSY, format!("a {} is under way.", job.task.word()))
                .cause(format!("Job {} has not ended.", job.id))
                .correction(format!("Wait for it, or see what it waits for: 'berth job show {}'.", job.id)),
        );
    }
    if resource.flags.has(ResourceFlag::Diskless) {
        return in_use(observed, resource);
    }
    if !stack::replicates(&resource.layers) {
        return Some(
            Reply::new(
                Code::FAIL_INVLD_LAYER_STACK,
                format!("its layers ({}) copy no data to another node.", stack::text(&resource.layers)),
            )
            .cause("Only a layer that replicates can fill another replica; this one holds data that no other has.")
            .correction(format!(
                "Copy the data by other means, then delete it there: 'linstor resource delete {} {}'.",
                resource.node, resource.name
            )),
        );
    }
    match census::surplus(cluster, observed, resource) {
        Surplus::Missed => None,
        Surplus::Spare => in_use(observed, resource),
        Surplus::NotYet { good, wanted } => Some(
            Reply::new(
                Code::FAIL_SNAPSHOT_NOT_UPTODATE,
                format!("the others are enough, but {good} of the {wanted} that are wanted were seen to hold the data."),
            )
            .cause("It is not replaced, and goes only when its peers say that enough of them are up to date.")
            .correction(format!(
                "Wait for their synchronisation, start the satellites that are away, or give those nodes up: 'linstor resource list -r {}' shows them.",
                resource.name
            )),
        ),
    }
}

/// The reply that a replica is in use; `None`: nobody is seen to use it.
pub(super) fn in_use(observed: &Observed, resource: &Resource) -> Option<Reply> {
    let record = observed.item(&resource.node, resource.id.uuid())?;
    let volume = record.seen.volumes.iter().find(|volume| volume.in_use)?;
    let device = volume.device_path.as_deref().unwrap_or("its device");
    Some(
        Reply::new(Code::FAIL_IN_USE, format!("volume {} is in use on '{}' ({device}).", volume.number, resource.node))
            .cause("Somebody has the device open, or it is mounted.")
            .correction("Move what uses it to another node, or unmount it; the rest follows by itself."),
    )
}

/// What one look may still do.
struct Budget {
    moves: usize,
    leaving: usize,
    passed: usize,
    judged: usize,
    /// Whether what stays is told although nothing more can be started.
    telling: bool,
    told: Vec<Reply>,
}

impl Budget {
    fn starts(&self, look: &Look<'_>) -> bool {
        self.moves > 0 && self.leaving > 0 && look.progress.changes.len() < MOST_CHANGES
    }

    fn tell(&mut self, reply: Reply) {
        if self.told.len() < MOST_TOLD {
            self.told.push(reply);
        }
    }
}

/// Evacuate: begins to move what can be moved, ends when nothing is left on the node. The node stays marked.
pub(super) fn evacuate(look: &mut Look<'_>, job: &Job, node: &NodeName, target: &[NodeName], avoid: &[NodeName]) {
    let before = look.cluster.clone();
    let marked = before.nodes.get(node).is_some_and(|found| found.flags.has(NodeFlag::Evacuate));
    let empty = before.resources_on(node).next().is_none() && before.snapshots_on(node).next().is_none();
    if !marked || empty {
        look.end(job, Vec::new());
        return;
    }
    // Somebody's deletions are few; counting stops where nothing more would be started.
    let leaving = before.departures(node).take(MOST_LEAVING).count();
    let mut budget = Budget {
        moves: MOST_COPYING.saturating_sub(moves_from(&before, node).take(MOST_COPYING).count()),
        leaving: MOST_LEAVING.saturating_sub(leaving),
        passed: MOST_PASSED,
        judged: MOST_JUDGED / 2,
        telling: leaving == 0,
        told: Vec::new(),
    };
    let last = before.last_departure(node);
    if last.is_some() {
        for replica in before.resources_on_after(node, last) {
            if !pass(look, job, &mut budget, replica, (target, avoid)) {
                break;
            }
        }
    }
    budget.judged += MOST_JUDGED / 2;
    if budget.telling || budget.starts(look) {
        let upto = |replica: &&std::sync::Arc<Resource>| last.is_none_or(|last| replica.name <= *last);
        let count = before.count_on(node).max(1);
        let step = (MOST_JUDGED / before.nodes.len().max(1)).max(1);
        let begin = rounds::begin(look.now, count, step);
        for replica in before.resources_on(node).take_while(upto).skip(begin) {
            if !pass(look, job, &mut budget, replica, (target, avoid)) {
                break;
            }
        }
        for replica in before.resources_on(node).take_while(upto).take(begin) {
            if !pass(look, job, &mut budget, replica, (target, avoid)) {
                break;
            }
        }
    }
    // Nobody waits for the moves themselves: they take as long as the data needs.
    look.progress.blocked.push((job.id, budget.told));
}

/// Looks at one replica, and starts what takes it away; `false`: this look is over.
fn pass(look: &mut Look<'_>, job: &Job, budget: &mut Budget, replica: &Resource, lists: (&[NodeName], &[NodeName])) -> bool {
    let starts = budget.starts(look);
    if budget.passed == 0 || !(starts || budget.telling) {
        return false;
    }
    budget.passed -= 1;
    #[cfg(test)]
    PASSED.with(|passed| passed.set(passed.get() + 1));
    if replica.flags.has(ResourceFlag::Delete) || look.cluster.is_departing(&replica.name, &replica.node) {
        return true;
    }
    if let Some(why) = anchored(&look.cluster, look.observed, replica) {
        budget.tell(stays(replica, why));
        return true;
    }
    let nodes = look.cluster.nodes.len();
    if !starts || budget.judged < nodes {
        // What can be moved is moved by a later look.
        return budget.telling;
    }
    let mut why = None;
    match look.decide(&job.actor, |draft| begin(draft, replica, lists.0, lists.1).map(|reason| why = Some(reason))) {
        Ok(()) => {
            if look.cluster.jobs_on(&replica.name).any(|open| matches!(open.task, Task::Move { .. })) {
                budget.moves -= 1;
            }
            budget.leaving -= 1;
            look.progress.reasons.extend(why.map(|why| (job.id, why)));
        }
        Err(refused) => {
            budget.judged -= nodes;
            if let Some(why) = refused.replies.into_iter().find(Reply::is_error) {
                budget.tell(stays(replica, why));
            }
        }
    }
    true
}

/// Starts what takes one replica away: a move to the best other place, or its deletion where it is not missed. Answers why.
pub(super) fn begin(draft: &mut Draft<'_>, replica: &Resource, target: &[NodeName], avoid: &[NodeName]) -> Result<Reply, Refused> {
    let from = Awaited { node: replica.node.clone(), item: replica.id.uuid() };
    let mut marked = replica.clone();
    marked.flags.set(ResourceFlag::Evacuate);
    let spare = match census::surplus(&draft.cluster, draft.context.observed, replica) {
        Surplus::Spare => Some("the replicas that stay are enough, and hold the data"),
        Surplus::Missed | Surplus::NotYet { .. } => replica.flags.has(ResourceFlag::Diskless).then_some("it holds no data"),
    };
    if let Some(why) = spare {
        marked.flags.set(ResourceFlag::Delete);
        draft.put(Object::Resource(marked));
        draft.start(&replica.name, Task::Delete { replicas: vec![from], definition: false, firm: false, step: DeleteStep::Remove });
        return Ok(Reply::new(Code::INFO_NOOP, format!("Resource '{}' leaves node '{}': {why}.", replica.name, replica.node)));
    }
    let definition = lookup::definition(&draft.cluster, replica.name.as_str())?.clone();
    // What leaves does not count for the rules of what comes.
    draft.put(Object::Resource(marked));
    let group = lookup::group(&draft.cluster, definition.group.as_str())?.clone();
    let filter = filter(&group.filter, &replica.node, target, avoid)?;
    let exclude = if target.is_empty() { avoid } else { &[] };
    let request = Request { exclude, ..Request::new(&draft.cluster, &definition, &filter, 1, &replica.layers) };
    let placed =
        placement::place(&draft.cluster, draft.context.observed, &request).map_err(|error| placement::refusal(&error, &request))?;
    let Some(chosen) = placed.chosen.first() else {
        return Err(Reply::new(Code::FAIL_NOT_ENOUGH_NODES, "no place was chosen.").correction("Report this as a defect of Berth.").into());
    };
    let pool = Some(chosen.pool.name.clone());
    let there = draft.cluster.resource(&replica.name, &chosen.node).cloned().filter(|_| chosen.convert);
    let (to, made) = match there {
        // Its tiebreaker there gets the disk.
        Some(tie) => {
            let full = make_disk(draft, &definition, &tie, pool.as_ref())?;
            (Awaited { node: full.node.clone(), item: full.id.uuid() }, Made::Disks { flags: tie.flags.clone() })
        }
        None => {
            let new = NewReplica { pool, ..NewReplica::plain(&replica.name, &chosen.node, &replica.layers) };
            (deploy(draft, new)?, Made::Replicas)
        }
    };
    draft.start(&replica.name, Task::Move { from, to, step: MoveStep::Fill, made });
    let text = format!(
        "Resource '{}' moves from node '{}' to pool '{}' on '{}', which could promise {}.",
        replica.name, replica.node, chosen.pool.name, chosen.node, chosen.free
    );
    let others: Vec<String> = placed.tried.iter().take(MOST_OTHERS).map(|one| format!("{}: {}", one.node, one.why)).collect();
    Ok(Reply::new(Code::INFO_NOOP, text).cause(others.join("; ")))
}

/// Places that were not taken which the log names.
const MOST_OTHERS: usize = 8;

/// The rule for replicas that leave `node`: that of the group, with the nodes that the operator named in place of its own.
fn filter(of_group: &SelectFilter, node: &NodeName, target: &[NodeName], avoid: &[NodeName]) -> Result<SelectFilter, Refused> {
    if target.is_empty() {
        return Ok(of_group.clone());
    }
    let nodes: Vec<String> = target.iter().filter(|name| !avoid.contains(name)).map(ToString::to_string).collect();
    if nodes.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_ENOUGH_NODES, "no node is left to take it.")
            .cause("The lists of nodes that may and that may not take it leave none.")
            .correction(format!("Evacuate again with other lists: 'linstor node evacuate {node}'."))
            .into());
    }
    Ok(SelectFilter { node_name_list: Some(nodes), ..of_group.clone() })
}

#[cfg(test)]
thread_local! {
    /// Replicas that all looks of this thread passed.
    pub(super) static PASSED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
