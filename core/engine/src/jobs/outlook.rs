//! What can be done about a job: whether it can be cancelled and what that leads to, whether it can be tried again.

use berth_model::cluster::Cluster;
use berth_model::flags::{ResourceFlag, SnapshotFlag};
use berth_model::job::{Awaited, DeleteStep, Family, Job, Made, MoveStep, RollbackStep, Subject, Task};
use berth_model::names::ResourceName;
use berth_model::observed::Observed;

use super::view::Outlook;
use super::{Stand, stand};

/// What cancel and retry would lead to. A cancel that is said to be possible is refused only if a device turns out to be in use.
#[must_use]
pub fn outlook(cluster: &Cluster, observed: &Observed, job: &Job) -> Outlook {
    Outlook { cancel: cancel(cluster, observed, job), retry: retry(job) }
}

fn retry(job: &Job) -> Result<String, String> {
    match job.task.family() {
        Family::Node => Err("It waits for nothing and ends by itself".to_owned()),
        Family::Evacuate => Ok("every replica that is left is placed and looked at again".to_owned()),
        Family::Fill | Family::Delete | Family::Change | Family::Snapshot | Family::Rollback | Family::Keep | Family::Move => {
            Ok("its satellites look at it again at once".to_owned())
        }
    }
}

fn cancel(cluster: &Cluster, observed: &Observed, job: &Job) -> Result<String, String> {
    let yes = |text: &str| Ok(text.to_owned());
    let no = |text: &str| Err(text.to_owned());
    let in_use = || user(cluster, observed, job);
    match &job.task {
        Task::Create { made: Made::Disks { .. }, replicas } => match job.resource() {
            Some(name) if !other_disk(cluster, name, replicas) => no("It makes the only disk that is left"),
            _ => in_use().map_or_else(|| yes("its replica is diskless again"), Err),
        },
        Task::Create { made: Made::Replicas, .. } => in_use().map_or_else(|| yes("its new replicas are removed"), Err),
        Task::Create { made: Made::Nothing, .. } => no("The data was there before and is only taken over; a cancel would delete it"),
        Task::Create { made: Made::Adopted, .. } => no("It ends by itself as soon as its node has looked; nothing is deleted by it"),
        Task::Create { made: Made::Definition, .. } | Task::Clone { .. } => {
            in_use().map_or_else(|| yes("its new replicas and their definition are removed"), Err)
        }
        Task::Restore { .. } => in_use().map_or_else(|| yes("its new replicas are removed, the definition stays without data"), Err),
        Task::CreateVolume { .. } => yes("the new volume is removed from every replica and from the definition"),
        Task::Delete { firm: true, .. } | Task::DeleteVolume { firm: true, .. } => {
            no("What is being deleted was never finished, or is deleted for the second time; it cannot be kept")
        }
        Task::Delete { .. } | Task::DeleteVolume { .. } => match gone(cluster, observed, job) {
            Some(awaited) => Err(format!("What was on '{}' is gone already", awaited.node)),
            None => yes("what is there stays"),
        },
        Task::DeleteSnapshot { snapshot, .. } => {
            let complete = job.resource().and_then(|name| cluster.snapshot(name, snapshot));
            if !complete.is_some_and(|snapshot| snapshot.flags.has(SnapshotFlag::Successful)) {
                return no("The snapshot was never complete; nothing of it can be kept");
            }
            match gone(cluster, observed, job) {
                Some(awaited) => Err(format!("The copy on '{}' is gone already", awaited.node)),
                None => yes("the snapshot stays"),
            }
        }
        Task::Resize { from, .. } => {
            Ok(format!("the size is {from} again; a replica that has grown is not shrunk, so its device may be larger"))
        }
        Task::Snapshot { .. } => yes("the copies that were taken are removed"),
        Task::Rollback { step: RollbackStep::Down, .. } => yes("nothing was changed, the replicas are served again"),
        Task::Rollback { step: RollbackStep::Roll, .. } => {
            no("Replicas take the snapshot's data already; half of them rolled back would be no copy")
        }
        Task::Rollback { step: RollbackStep::Up, .. } => no("Every replica has the snapshot's data already; they are only served again"),
        Task::Activate { diskless: true, .. } => no("The disk is being removed already; toggle the disk back when it has ended"),
        Task::Activate { active: true, .. } => yes("the replica is inactive again"),
        Task::Activate { active: false, .. } => yes("the replica is active again"),
        Task::Keep { .. } => yes("the deletion goes on"),
        Task::Move { step: MoveStep::Leave, .. } => no("The new replica holds the data already, and the old one is going"),
        Task::Move { from, made, .. } => match cluster.jobs_on_node(&from.node).find(|open| matches!(open.task, Task::Evacuate { .. })) {
            Some(evacuation) => {
                Err(format!("It belongs to the evacuation of '{}'; cancel that: 'berth job cancel {}'", from.node, evacuation.id))
            }
            None if matches!(made, Made::Disks { .. }) => {
                yes("the new disk is removed and its replica is diskless again, the old one stays")
            }
            None => yes("the new replica is removed, the old one stays"),
        },
        Task::Evacuate { .. } => {
            yes("what was moved stays moved, new replicas that are not ready are removed, the node takes resources again")
        }
        Task::Evict => Err(match &job.subject {
            Subject::Node(node) => {
                format!("Its replicas were given up already; take the node back with 'linstor node restore {node}', which ends it")
            }
            Subject::Resource(_) => "It works on a node".to_owned(),
        }),
        Task::Return { .. } => no("It only takes marks off, and ends by itself"),
        Task::Lose { pool: None } => no("The node was given up; create it anew if it comes back"),
        Task::Lose { pool: Some(_) } => no("The storage pool was given up; create it anew when it has a disk again"),
    }
}

/// The first item that is not there any more. A replica that loses one of its volumes is settled when that is gone.
fn gone<'j>(cluster: &Cluster, observed: &Observed, job: &'j Job) -> Option<&'j Awaited> {
    if matches!(job.task, Task::Delete { step: DeleteStep::Down, .. } | Task::DeleteVolume { step: DeleteStep::Down, .. }) {
        return None;
    }
    let of_volume = matches!(job.task, Task::DeleteVolume { .. });
    job.task.awaited().iter().find(|awaited| match stand(cluster, observed, job, awaited) {
        Stand::Gone | Stand::Unknown => true,
        Stand::Settled => of_volume,
        Stand::Pending | Stand::Faulty(_) | Stand::Offline | Stand::Broken(_) => false,
    })
}

/// Why a creation cannot be taken back: somebody uses what it made.
fn user(cluster: &Cluster, observed: &Observed, job: &Job) -> Option<String> {
    job.task.awaited().iter().find_map(|awaited| {
        cluster.owner(awaited.item)?;
        let record = observed.item(&awaited.node, awaited.item)?;
        let volume = record.seen.volumes.iter().find(|volume| volume.in_use)?;
        let device = volume.device_path.as_deref().unwrap_or("its device");
        Some(format!("Volume {} is in use on '{}' ({device})", volume.number, awaited.node))
    })
}

fn other_disk(cluster: &Cluster, name: &ResourceName, awaited: &[Awaited]) -> bool {
    cluster
        .replicas(name)
        .any(|replica| !replica.flags.has(ResourceFlag::Diskless) && awaited.iter().all(|one| one.item != replica.id.uuid()))
}
