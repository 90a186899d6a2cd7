//! Data that was there before the cluster knew it, under the names that the cluster gives it, and without a mark: what an import from
//! LINSTOR leaves on the nodes. It is taken in by explicit command, and never otherwise.

use std::collections::BTreeMap;

use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::job::{Awaited, Made, Task};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::observed::{FaultKind, Observed, Standing};
use berth_model::plan::{ContentSource, PlanItem, Wanted};
use berth_model::reply::Reply;
use uuid::Uuid;

use crate::draft::{Draft, Refused};
use crate::{lookup, plan};

/// Resources that one command takes in. Each of them is a job; who has more says it again.
const MOST: usize = 1000;

/// An item of a node's plan in whose place an object without our mark was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclaimed {
    /// Its resource.
    pub resource: ResourceName,
    /// Generation id of the replica, or of the snapshot's copy.
    pub item: Uuid,
}

/// Whether what was seen of an item is that something else lies in the place of data which was there before.
#[must_use]
pub fn is_unclaimed(observed: &Observed, node: &NodeName, item: &PlanItem) -> bool {
    let before = match item {
        PlanItem::Resource(plan) => {
            !plan.diskless && plan.volumes.iter().any(|volume| volume.content.source == ContentSource::Kept && !volume.backing.is_empty())
        }
        PlanItem::Snapshot(plan) => plan.taken,
    };
    let foreign = || {
        observed.item(node, item.id()).is_some_and(|record| {
            record.seen.standing == Standing::Faulty && record.seen.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Foreign)
        })
    };
    before && item.wanted() != Wanted::Absent && foreign()
}

/// What can be taken in on a node, in the order of its plan; only of one pool or of one resource, if they are given.
#[must_use]
pub fn unclaimed(
    cluster: &Cluster,
    observed: &Observed,
    node: &NodeName,
    pool: Option<&StorPoolName>,
    resource: Option<&ResourceName>,
) -> Vec<Unclaimed> {
    let wanted = |item: &&PlanItem| {
        resource.is_none_or(|name| name == item.resource())
            && pool.is_none_or(|pool| item.pools().contains(pool))
            && is_unclaimed(observed, node, item)
    };
    let items = plan::whole(cluster, node).items;
    items.iter().filter(wanted).map(|item| Unclaimed { resource: item.resource().clone(), item: item.id() }).collect()
}

/// Starts a job for each resource of the node that has something to take in.
///
/// # Errors
/// 300, 309 and 301 (no node, no pool, no such resource), 995 (the node is away), 304 (nothing there is to be taken in: why), 992 (a job
/// works on all of it).
pub fn take_in(draft: &mut Draft<'_>, node: &str, pool: Option<&str>, resource: Option<&str>) -> Result<(), Refused> {
    draft.about(Operation::Modify, ObjectMask::Volume, &[("Node", node)]);
    let node = lookup::node(&draft.cluster, node)?.name.clone();
    let pool = pool.map(|pool| lookup::pool(&draft.cluster, node.as_str(), pool).map(|pool| pool.name.clone())).transpose()?;
    let resource = resource.map(|name| lookup::definition(&draft.cluster, name).map(|found| found.name.clone())).transpose()?;
    if !draft.context.observed.online(&node) {
        return Err(Reply::new(Code::FAIL_NOT_CONNECTED, format!("No connection to satellite '{node}'; nothing is taken in."))
            .cause("The node must look at what lies there.")
            .correction("Start the satellite on the node and try again.")
            .into());
    }
    let found = unclaimed(&draft.cluster, draft.context.observed, &node, pool.as_ref(), resource.as_ref());
    if found.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_FOUND_VLM, format!("Nothing lies on node '{node}' that can be taken in."))
            .cause(
                "Only an object without a mark is taken in that lies where the data of a known resource or snapshot shall be, and that the \
                 node has seen there.",
            )
            .correction(format!("Look at 'berth diff --node {node}': it names every resource that is not served, and why."))
            .into());
    }
    let mut by_resource: BTreeMap<ResourceName, Vec<Awaited>> = BTreeMap::new();
    for one in found {
        by_resource.entry(one.resource).or_default().push(Awaited { node: node.clone(), item: one.item });
    }
    let all = by_resource.len();
    let mut begun = 0usize;
    let mut busy = Vec::new();
    for (name, items) in by_resource.into_iter().take(MOST) {
        let open = draft.cluster.jobs_on(&name).next().cloned();
        match open {
            Some(job) => busy.push((name, job)),
            None => {
                begun += 1;
                draft.start(&name, Task::Create { replicas: items, made: Made::Adopted });
            }
        }
    }
    let code = if begun == 0 { Code::FAIL_RSC_BUSY } else { Code::WARN_NOT_FOUND };
    let busy = busy.into_iter().map(|(name, job)| {
        Reply::new(code, format!("'{name}' is not taken in now: a {} is under way.", job.task.word()))
            .cause(format!("Job {} has not ended.", job.id))
            .correction("Wait for it, or cancel it with 'berth job cancel', and say it again.")
    });
    if begun == 0 {
        return Err(Refused { replies: busy.collect() });
    }
    let told = Reply::new(Code::MODIFIED, format!("What lies unmarked on node '{node}' for {begun} resources is being taken in."))
        .details("Each object gets the mark of its volume or snapshot; its data and its size stay as they are.");
    draft.reply(match all > MOST {
        true => told.correction(format!("{} more are left: say it again.", all - MOST)),
        false => told,
    });
    busy.for_each(|reply| draft.reply(reply));
    Ok(())
}

#[cfg(test)]
mod tests;
