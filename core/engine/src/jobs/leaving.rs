//! Jobs that take a node back or give it up, in steps that a transaction can hold.

use berth_model::codes::Code;
use berth_model::job::Job;
use berth_model::names::{NodeName, StorPoolName};
use berth_model::reply::Reply;

use super::Look;

/// Return: takes the marks off what is on the node; what cannot be deleted as asked is told.
pub(super) fn take_back(look: &mut Look<'_>, job: &Job, node: &NodeName, delete_resources: bool, delete_snapshots: bool) {
    let mut told = Vec::new();
    let mut more = false;
    let outcome = look.decide(&job.actor, |draft| {
        more = crate::nodes::take_marks_off(draft, node, delete_resources, delete_snapshots, Some(&mut told))?;
        Ok(())
    });
    match outcome {
        Ok(()) if more => look.wait(job, told),
        Ok(()) => look.end(job, told),
        Err(refused) => look.end(job, refused.replies),
    }
}

/// Lose: ends when the node is gone with all it held. One that is deleted while its satellite answers has held tiebreakers only, and goes
/// when these are gone from the machine.
pub(super) fn lose(look: &mut Look<'_>, job: &Job, node: &NodeName) {
    let online = look.observed.online(node);
    let mut more = false;
    let outcome = look.decide(&job.actor, |draft| {
        more = crate::nodes::clear_ties(draft, node) || crate::nodes::lose_some(draft, node);
        Ok(())
    });
    if outcome.is_ok() && !more {
        let how = if online { "deleted" } else { "given up for lost" };
        look.end(job, vec![Reply::new(Code::DELETED, format!("Node '{node}' {how}."))]);
    }
}

/// Lose of one pool: ends when the pool is gone with all that lay in it.
pub(super) fn lose_pool(look: &mut Look<'_>, job: &Job, node: &NodeName, pool: &StorPoolName) {
    let mut more = false;
    let outcome = look.decide(&job.actor, |draft| {
        more = crate::pools::lose_some(draft, node, pool);
        Ok(())
    });
    if outcome.is_ok() && !more {
        look.end(job, vec![Reply::new(Code::DELETED, format!("Storage pool '{pool}' on node '{node}' given up for lost."))]);
    }
}
