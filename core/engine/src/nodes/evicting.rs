//! Nodes that are given up for now.

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask};
use berth_model::flags::NodeFlag;
use berth_model::job::{Subject, Task};
use berth_model::reply::Reply;

use super::emptying::alone;
use super::leaving::{connected, is_leaving};
use crate::draft::{Draft, Refused};
use crate::lookup;

/// Marks a node as evicted: it is not connected any more, and a job replaces what is on it. Only a node that does not answer can be
/// evicted; its entries name no objects (recorded behaviour of the API).
///
/// # Errors
/// 200, 300; 997 for a node that answers, 975 for one that is being given up for good.
pub(super) fn evict(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let node = lookup::node(&draft.cluster, text).map_err(alone)?.clone();
    let name = node.name.clone();
    if is_leaving(&node) {
        return Err(Reply::new(Code::FAIL_EVACUATING, format!("Node '{name}' is being given up for good."))
            .cause("What it held is not wanted back, so nothing is replaced for the time being.")
            .correction("Wait until it is gone, or see what it waits for: 'berth job list'.")
            .alone()
            .into());
    }
    if node.flags.has(NodeFlag::Evicted) {
        draft.reply(Reply::new(Code::INFO_NOOP, format!("Node '{name}' is evicted already.")).alone());
        return Ok(());
    }
    if connected(draft.context.observed, &name) {
        let mut reply = Reply::new(Code::FAIL_IN_USE, format!("Node '{name}' cannot be evicted: its satellite answers."))
            .cause("Only a node that does not answer is evicted; this one can still give its data away.")
            .correction(format!("Move what is on it: 'linstor node evacuate {name}'; or stop its satellite first."))
            .alone();
        reply.object = Some(ObjectMask::Node);
        return Err(reply.into());
    }
    let mut evicted = (*node).clone();
    // An evacuation cannot go on without the node. Moves that fill from other replicas do, by themselves.
    evicted.flags.clear(NodeFlag::Evacuate);
    evicted.flags.set(NodeFlag::Evicted);
    draft.put(Object::Node(evicted));
    let open = |task: &Task| matches!(task, Task::Evacuate { .. } | Task::Return { .. });
    let open: Vec<_> = draft.cluster.jobs_on_node(&name).filter(|job| open(&job.task)).map(|job| job.id).collect();
    open.into_iter().for_each(|id| draft.delete(Key::Job(id)));
    if draft.cluster.resources_on(&name).next().is_some() {
        draft.start_on(Subject::Node(name), Task::Evict);
    }
    Ok(())
}
