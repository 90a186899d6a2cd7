//! Cancel and retry. A cancelled job is taken away and what it had done is undone by another one, so that whoever waited for it learns
//! that it was given up, and whoever cancelled it waits for the end of the undoing.

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, ResourceFlag, ResourceFlags};
use berth_model::ids::{Id, kind};
use berth_model::job::{Awaited, DeleteStep, Job, Made, MoveStep, Subject, Task};
use berth_model::names::{ResourceName, SnapshotName, VolumeNumber};
use berth_model::objects::Resource;
use berth_model::props::Props;
use berth_model::reply::Reply;
use uuid::Uuid;

use super::filling::take_back_size;
use super::keeping::{Sheet, mark};
use super::outlook::outlook;
use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::{drop_disk, misdirected, unused_replica};

/// The open job with this id. Errors 234 (no id) and 399 (no open job).
fn open_job(draft: &mut Draft<'_>, text: &str) -> Result<Job, Refused> {
    draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("Job", text)]);
    let job = find(&draft.cluster, text)?;
    let object = match &job.subject {
        Subject::Resource(_) => ObjectMask::ResourceDefinition,
        Subject::Node(_) => ObjectMask::Node,
    };
    draft.about(Operation::Modify, object, &[("Job", text)]);
    match &job.subject {
        Subject::Resource(name) => draft.refer("RscDfn", name),
        Subject::Node(name) => draft.refer("Node", name),
    }
    Ok(job)
}

/// Looks an open job up by the text of its id.
///
/// # Errors
/// 234 if the text is no id, 399 if no open job has it.
pub fn find(cluster: &berth_model::cluster::Cluster, text: &str) -> Result<Job, Refused> {
    let id = Uuid::parse_str(text).map(Id::<kind::Job>::from_uuid).map_err(|error| {
        Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is not the id of a job: {error}."))
            .correction("List the open jobs with 'berth job list'.")
    })?;
    cluster.jobs.get(&id).map(|job| (**job).clone()).ok_or_else(|| {
        Reply::new(Code::FAIL_NOT_FOUND_JOB, format!("There is no open job {id}."))
            .cause("It ended, was cancelled, or never was.")
            .correction("List the open jobs with 'berth job list'.")
            .into()
    })
}

/// Cancels a job, where that can be done without harm; see the table in ARCHITECTURE.md, section 5.
///
/// # Errors
/// 234 for a bad id, 399 for an unknown or finished job, 992 if it is too late, 997 if a device that would go is in use.
pub fn cancel(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::CancelJob { id } = command else { return Err(misdirected(command)) };
    let job = open_job(draft, id)?;
    let what = format!("The {} of '{}'", job.task.word(), job.subject);
    match outlook(&draft.cluster, draft.context.observed, &job).cancel {
        Ok(leads_to) => {
            draft.say(Code::DONE, format!("{what} is cancelled: {leads_to}."));
            undo(draft, &job)
        }
        Err(why) => Err(Reply::new(Code::FAIL_RSC_BUSY, format!("{what} cannot be cancelled."))
            .cause(why)
            .correction(format!("See what it waits for, and the way out: 'berth job show {}'.", job.id))
            .into()),
    }
}

/// Has everything looked at anew that a job waits for: satellites try at once again what they paused.
///
/// # Errors
/// 234 for a bad id, 399 for an unknown or finished job.
pub fn retry(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    let Command::RetryJob { id } = command else { return Err(misdirected(command)) };
    let job = open_job(draft, id)?;
    draft.say(Code::DONE, format!("The {} of '{}' is tried again.", job.task.word(), job.subject));
    // A new serial makes plans name the items again, which ends the satellites' pauses.
    let serial = draft.serial();
    if let (Task::Evacuate { .. }, Subject::Node(node)) = (&job.task, &job.subject) {
        const AT_ONCE: usize = 90;
        let moves: Vec<Job> = super::evacuating::moves_from(&draft.cluster, node).take(AT_ONCE).cloned().collect();
        moves.into_iter().for_each(|one| draft.put(Object::Job(Job { serial, ..one })));
    }
    draft.applied.jobs.push(job.id);
    draft.put(Object::Job(Job { serial, ..job }));
    Ok(())
}

fn undo(draft: &mut Draft<'_>, job: &Job) -> Result<(), Refused> {
    match &job.subject {
        Subject::Resource(name) => undo_on_resource(draft, job, name),
        Subject::Node(node) if matches!(job.task, Task::Evacuate { .. }) => crate::nodes::end_evacuation(draft, node),
        Subject::Node(_) => {
            draft.delete(Key::Job(job.id));
            Ok(())
        }
    }
}

fn undo_on_resource(draft: &mut Draft<'_>, job: &Job, name: &ResourceName) -> Result<(), Refused> {
    draft.delete(Key::Job(job.id));
    match &job.task {
        // It has made nothing: what is marked stays so, what is not stays as it is.
        Task::Create { made: Made::Adopted, .. } => {}
        Task::Create { replicas, made: Made::Disks { flags } } => undisk(draft, name, replicas, flags)?,
        Task::Create { replicas, made } => unmake(draft, name, replicas, *made == Made::Definition)?,
        Task::Clone { replicas, .. } => unmake(draft, name, replicas, true)?,
        Task::Restore { from, snapshot, replicas, former } => {
            unmake(draft, name, replicas, false)?;
            former_props(draft, name, (from, snapshot), former.as_ref());
        }
        Task::CreateVolume { number, .. } => {
            // Replicas that came since have the volume, too.
            let all = draft.cluster.replicas(name).filter(|replica| replica.volumes.contains_key(number));
            let all: Vec<Awaited> = all.map(|replica| Awaited { node: replica.node.clone(), item: replica.id.uuid() }).collect();
            unmake_volume(draft, name, *number, &all)?;
        }
        Task::Delete { .. } | Task::DeleteVolume { .. } | Task::DeleteSnapshot { .. } => {
            mark(draft, name, &job.task, job.task.awaited(), true, false);
            draft.start(name, Task::Keep { deletion: Box::new(job.task.clone()), refused: None });
        }
        Task::Resize { number, from, .. } => {
            let observed = draft.context.observed;
            take_back_size(draft, observed, name, *number, *from);
        }
        Task::Snapshot { snapshot, copies } => {
            let task = Task::DeleteSnapshot { snapshot: snapshot.clone(), copies: copies.clone(), failed: None };
            mark(draft, name, &task, copies, true, true);
            draft.start(name, task);
        }
        // Without its job no replica is held down any more.
        Task::Rollback { .. } => {}
        Task::Activate { replicas, active, .. } => {
            for resource in of(draft, name, replicas) {
                let mut edited = resource.clone();
                edited.flags.put(ResourceFlag::Inactive, *active);
                draft.edit(&resource, edited, Object::Resource);
            }
            draft.start(name, Task::Activate { replicas: replicas.clone(), active: !active, diskless: false });
        }
        Task::Keep { deletion, .. } => {
            mark(draft, name, deletion, deletion.awaited(), true, true);
            draft.start(name, (**deletion).clone());
        }
        Task::Move { .. } => {
            take_back_move(draft, job, name)?;
        }
        Task::Evacuate { .. } | Task::Evict | Task::Return { .. } | Task::Lose { .. } => {}
    }
    Ok(())
}

/// The replicas that are waited for.
fn of(draft: &Draft<'_>, name: &ResourceName, awaited: &[Awaited]) -> Vec<Resource> {
    let wanted = |resource: &Resource| awaited.iter().any(|one| one.item == resource.id.uuid());
    draft.cluster.replicas(name).filter(|resource| wanted(resource)).map(|resource| (**resource).clone()).collect()
}

/// Takes disks away that were being made for replicas which had none: these are as they were, with `flags`.
fn undisk(draft: &mut Draft<'_>, name: &ResourceName, replicas: &[Awaited], flags: &ResourceFlags) -> Result<(), Refused> {
    for resource in of(draft, name, replicas) {
        unused_replica(draft, &resource)?;
        drop_disk(draft, &resource, flags.clone())?;
    }
    Ok(())
}

/// Removes replicas that were being made, and their definition if it was made for them and has no others.
fn unmake(draft: &mut Draft<'_>, name: &ResourceName, replicas: &[Awaited], definition: bool) -> Result<(), Refused> {
    let found = of(draft, name, replicas);
    for resource in &found {
        unused_replica(draft, resource)?;
    }
    // A tiebreaker goes with the disks.
    let counted = draft.cluster.replicas(name).filter(|replica| !crate::tiebreaker::is_tie(replica)).count();
    let others = counted > found.len() || draft.cluster.snapshots_of(name).next().is_some();
    let definition = definition && !others;
    let chosen: Vec<Awaited> = found.iter().map(|resource| Awaited { node: resource.node.clone(), item: resource.id.uuid() }).collect();
    let task = Task::Delete { replicas: chosen.clone(), definition, firm: true, step: DeleteStep::Remove };
    mark(draft, name, &task, &chosen, true, true);
    draft.start(name, task);
    Ok(())
}

/// Gives a definition the properties back that a restore overwrote and nobody changed since.
fn former_props(draft: &mut Draft<'_>, name: &ResourceName, source: (&ResourceName, &SnapshotName), former: Option<&Props>) {
    let Some(definition) = draft.cluster.definitions.get(name).cloned() else { return };
    let mut edited = (*definition).clone();
    edited.flags.clear(DefinitionFlag::RestoreTarget);
    if let (Some(former), Some(snapshot)) = (former, draft.cluster.snapshot(source.0, source.1)) {
        for (key, _) in snapshot.definition_props.iter().filter(|(key, value)| definition.props.get(key) == Some(value)) {
            match former.get(key) {
                Some(before) => drop(edited.props.insert_internal(key, before)),
                None => drop(edited.props.remove(key)),
            }
        }
    }
    draft.edit(&*definition, edited, Object::ResourceDefinition);
}

fn unmake_volume(draft: &mut Draft<'_>, name: &ResourceName, number: VolumeNumber, replicas: &[Awaited]) -> Result<(), Refused> {
    for resource in of(draft, name, replicas) {
        let seen = draft.context.observed.item(&resource.node, resource.id.uuid());
        if seen.is_some_and(|record| record.seen.volumes.iter().any(|volume| volume.number == number && volume.in_use)) {
            unused_replica(draft, &resource)?;
        }
    }
    let task = Task::DeleteVolume { number, replicas: replicas.to_vec(), firm: true, step: DeleteStep::Remove };
    mark(draft, name, &task, replicas, true, true);
    draft.start(name, task);
    Ok(())
}

/// Takes the new replica of a move back that has not reached its end; `false`: it is too late, the old one is going.
pub(crate) fn take_back_move(draft: &mut Draft<'_>, job: &Job, name: &ResourceName) -> Result<bool, Refused> {
    let Task::Move { from, to, step: MoveStep::Fill, made } = &job.task else { return Ok(false) };
    draft.delete(Key::Job(job.id));
    match made {
        Made::Disks { flags } => undisk(draft, name, std::slice::from_ref(to), flags)?,
        Made::Replicas | Made::Definition | Made::Nothing | Made::Adopted => unmake(draft, name, std::slice::from_ref(to), false)?,
    }
    for resource in of(draft, name, std::slice::from_ref(from)) {
        let mut edited = resource.clone();
        edited.flags.clear(ResourceFlag::Evacuate);
        draft.edit(&resource, edited, Object::Resource);
    }
    Ok(true)
}
