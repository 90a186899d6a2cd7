//! The job that takes in what lies unmarked in the place of data that was there before. Its plan says that it may be marked; when the job
//! is over no plan says so any more. It waits for one look of each satellite, and never longer: an open word to mark whatever comes to lie
//! there later would be a danger.

use berth_model::cluster::ItemOwner;
use berth_model::codes::Code;
use berth_model::job::Awaited;
use berth_model::reply::Reply;

use super::{Look, On, Stand, broken_reply, fault_reply, not_connected};

/// Ends when every item was looked at under the job's plan, whatever came of it.
pub(super) fn adopt(look: &mut Look<'_>, job: &On<'_>) {
    let stands: Vec<(Awaited, Stand)> = job.task.awaited().iter().map(|one| (one.clone(), look.stand(job, one))).collect();
    if stands.iter().any(|(_, stand)| *stand == Stand::Pending) {
        return look.wait(job, Vec::new());
    }
    let mut replies = Vec::new();
    for (awaited, stand) in &stands {
        match stand {
            Stand::Settled => replies.push(taken_in(look, job, awaited)),
            Stand::Faulty(fault) => replies.push(fault_reply(&awaited.node, fault)),
            Stand::Offline => {
                let again = format!("say 'berth drift adopt {} --resource {}' again when it is back", awaited.node, job.resource);
                replies.extend(not_connected([&awaited.node], &again));
            }
            Stand::Broken(why) => replies.push(broken_reply(&awaited.node, why)),
            Stand::Pending | Stand::Gone | Stand::Unknown => {}
        }
    }
    look.end(job, replies);
}

fn taken_in(look: &Look<'_>, job: &On<'_>, awaited: &Awaited) -> Reply {
    let what = match look.cluster.owner(awaited.item) {
        Some(ItemOwner::Snapshot(_, snapshot, _)) => format!("Snapshot '{snapshot}' of '{}' is taken in", job.resource),
        Some(ItemOwner::Resource(..) | ItemOwner::Tombstone(_)) | None => format!("'{}' is taken in", job.resource),
    };
    Reply::new(Code::MODIFIED, format!("(Node: '{}') {what} with the data that was there.", awaited.node)).refer("Node", &awaited.node)
}
