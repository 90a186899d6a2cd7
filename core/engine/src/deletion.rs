//! Deletions: what blocks them, what they mark, and the job that ends them.

use berth_model::change::{Key, NumberKey, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{DefinitionFlag, ResourceFlag, VolumeDefinitionFlag, VolumeFlag};
use berth_model::job::{Awaited, DeleteStep, Job, Task};
use berth_model::names::ResourceName;
use berth_model::objects::Resource;
use berth_model::reply::Reply;

use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::misdirected;
use crate::{lookup, tiebreaker};

/// Commands that delete definitions, volume definitions and replicas.
///
/// # Errors
/// As the DELETE operations of REST API v1; deleting what is not there is no error (WARN 3000).
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::DeleteResourceDefinition { name } => {
            draft.about(Operation::Delete, ObjectMask::ResourceDefinition, &[("RscDfn", name)]);
            definition(draft, name)
        }
        Command::DeleteVolumeDefinition { resource, number } => {
            draft.about(Operation::Delete, ObjectMask::VolumeDefinition, &[("RscDfn", resource), ("VlmNr", &number.to_string())]);
            volume_definition(draft, resource, *number)
        }
        Command::DeleteResource { resource, node, keep_tiebreaker } => {
            draft.about(Operation::Delete, ObjectMask::Resource, &[("RscDfn", resource), ("Node", node)]);
            replica(draft, resource, node, keep_tiebreaker.unwrap_or(false))
        }
        other => Err(misdirected(other)),
    }
}

/// So many volume definitions go with their definition in one transaction; more are left to the job.
const AT_ONCE: usize = 40;

fn missing(draft: &mut Draft<'_>, what: String) {
    draft.reply(Reply::new(Code::WARN_NOT_FOUND, what).cause("It does not exist, or was deleted already."));
}

fn definition(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let name = lookup::resource_name(text)?;
    let Some(definition) = draft.cluster.definitions.get(&name).cloned() else {
        missing(draft, format!("Resource definition '{name}' not found."));
        return Ok(());
    };
    let snapshots: Vec<String> = draft.cluster.snapshots_of(&name).map(|snapshot| snapshot.name.to_string()).collect();
    if !snapshots.is_empty() {
        return Err(Reply::new(Code::FAIL_EXISTS_SNAPSHOT_DFN, format!("Resource definition '{name}' has snapshots."))
            .cause(format!("These would be lost with it: {}.", snapshots.join(", ")))
            .correction(format!("Delete them first: 'linstor snapshot delete {name} {}'.", snapshots.join(" ")))
            .into());
    }
    let replicas: Vec<Resource> = draft.cluster.replicas(&name).map(|resource| (**resource).clone()).collect();
    for replica in &replicas {
        crate::resources::unused_replica(draft, replica)?;
    }
    let mut firm = false;
    if !definition.flags.has(DefinitionFlag::Delete) {
        not_a_source(draft, &name)?;
        firm = end_other_jobs(draft, &name, "deleted")?;
    }
    if replicas.is_empty() && definition.volumes.len() <= AT_ONCE {
        for volume in definition.volumes.values() {
            let minor = volume.minor.map(|minor| NumberKey::Minor { minor });
            for change in crate::jobs::release(&draft.cluster, volume.id.uuid(), minor) {
                draft.change(change);
            }
        }
        draft.delete(Key::ResourceDefinition(name.clone()));
        draft.say(Code::DELETED, format!("Resource definition '{name}' deleted."));
        return Ok(());
    }
    draft.say(Code::DELETED, format!("Resource definition '{name}' marked for deletion."));
    if join(draft, &name, true) {
        return Ok(());
    }
    let mut marked = (*definition).clone();
    marked.flags.set(DefinitionFlag::Delete);
    draft.put(Object::ResourceDefinition(marked));
    let awaited = mark(draft, replicas);
    let step = first_step(&awaited, firm);
    draft.start(&name, Task::Delete { replicas: awaited, definition: true, firm, step });
    Ok(())
}

/// One replica ends its device before it removes anything; several must all have done so before the first is removed. What was never
/// finished is in nobody's use.
fn first_step(awaited: &[Awaited], firm: bool) -> DeleteStep {
    if firm || awaited.len() < 2 { DeleteStep::Remove } else { DeleteStep::Down }
}

fn mark(draft: &mut Draft<'_>, replicas: Vec<Resource>) -> Vec<Awaited> {
    let mut awaited = Vec::new();
    for mut resource in replicas {
        awaited.push(Awaited { node: resource.node.clone(), item: resource.id.uuid() });
        resource.flags.set(ResourceFlag::Delete);
        draft.put(Object::Resource(resource));
    }
    awaited
}

/// Waits for a deletion that is under way instead of starting a second one.
fn join(draft: &mut Draft<'_>, name: &ResourceName, whole: bool) -> bool {
    let open = draft
        .cluster
        .jobs_on(name)
        .find(|job| matches!(&job.task, Task::Delete { definition, .. } if *definition == whole))
        .map(|job| job.id);
    match open {
        Some(id) => {
            draft.applied.jobs.push(id);
            true
        }
        None => false,
    }
}

/// Refuses to delete what a clone or restore still copies from. Error 992.
fn not_a_source(draft: &Draft<'_>, name: &ResourceName) -> Result<(), Refused> {
    match draft.cluster.jobs_copying(name).next() {
        None => Ok(()),
        Some(job) => Err(Reply::new(Code::FAIL_RSC_BUSY, format!("'{name}' is being copied to '{}'.", job.subject))
            .cause(format!("Job {} has not ended.", job.id))
            .correction("Wait for it, or delete its target first.")
            .into()),
    }
}

/// A deletion ends jobs that only wait to make or change what is going away; it does not cut into a rollback or snapshot.
/// `true`: what was ended leaves something half made or half deleted, so that this deletion cannot be taken back.
fn end_other_jobs(draft: &mut Draft<'_>, name: &ResourceName, what: &str) -> Result<bool, Refused> {
    let open: Vec<_> = draft.cluster.jobs_on(name).cloned().collect();
    let mut half = false;
    for job in open {
        match &job.task {
            Task::Create { .. }
            | Task::CreateVolume { .. }
            | Task::Restore { .. }
            | Task::Clone { .. }
            | Task::Move { .. }
            | Task::Delete { definition: false, .. }
            | Task::DeleteVolume { .. } => {
                half = true;
                draft.delete(Key::Job(job.id));
            }
            Task::Keep { deletion, .. } if !matches!(**deletion, Task::DeleteSnapshot { .. }) => draft.delete(Key::Job(job.id)),
            Task::Resize { .. } | Task::Activate { .. } => draft.delete(Key::Job(job.id)),
            Task::Delete { definition: true, .. } | Task::Evacuate { .. } | Task::Evict | Task::Return { .. } | Task::Lose { .. } => {}
            Task::Snapshot { .. } | Task::DeleteSnapshot { .. } | Task::Rollback { .. } | Task::Keep { .. } => {
                return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("'{name}' cannot be {what} now: a {} is under way.", job.task.word()))
                    .cause(format!("Job {} has not ended.", job.id))
                    .correction("Wait for it and try again.")
                    .into());
            }
        }
    }
    Ok(half)
}

fn volume_definition(draft: &mut Draft<'_>, text: &str, number: i64) -> Result<(), Refused> {
    let name = lookup::resource_name(text)?;
    let Some(definition) = draft.cluster.definitions.get(&name).cloned() else {
        missing(draft, format!("Resource definition '{name}' not found."));
        return Ok(());
    };
    let number = lookup::volume_number(number)?;
    let Some(volume) = definition.volumes.get(&number) else {
        missing(draft, format!("Volume definition {number} of '{name}' not found."));
        return Ok(());
    };
    tiebreaker::step_aside(draft, &name);
    let replicas: Vec<Resource> = draft.cluster.replicas(&name).map(|resource| (**resource).clone()).collect();
    for replica in &replicas {
        crate::resources::unused_replica(draft, replica)?;
    }
    not_a_source(draft, &name)?;
    let mut marked = (*definition).clone();
    if replicas.is_empty() {
        let minor = volume.minor.map(|minor| NumberKey::Minor { minor });
        for change in crate::jobs::release(&draft.cluster, volume.id.uuid(), minor) {
            draft.change(change);
        }
        marked.volumes.remove(&number);
        draft.put(Object::ResourceDefinition(marked));
        draft.say(Code::DELETED, format!("Volume definition {number} of '{name}' deleted."));
        return Ok(());
    }
    draft.say(Code::DELETED, format!("Volume definition {number} of '{name}' marked for deletion."));
    let open = draft
        .cluster
        .jobs_on(&name)
        .find(|job| matches!(&job.task, Task::DeleteVolume { number: n, .. } if *n == number))
        .map(|job| job.id);
    if let Some(id) = open {
        draft.applied.jobs.push(id);
        return Ok(());
    }
    crate::resources::idle(&draft.cluster, &name, "changed")?;
    if let Some(volume) = marked.volumes.get_mut(&number) {
        volume.flags.set(VolumeDefinitionFlag::Delete);
    }
    draft.put(Object::ResourceDefinition(marked));
    let mut awaited = Vec::new();
    for mut resource in replicas {
        awaited.push(Awaited { node: resource.node.clone(), item: resource.id.uuid() });
        if let Some(volume) = resource.volumes.get_mut(&number) {
            volume.flags.set(VolumeFlag::Delete);
        }
        draft.put(Object::Resource(resource));
    }
    let step = first_step(&awaited, false);
    draft.start(&name, Task::DeleteVolume { number, replicas: awaited, firm: false, step });
    Ok(())
}

/// Removes one replica.
///
/// # Errors
/// 997 in use or the last disk of diskless ones, 992 busy.
pub(crate) fn replica(draft: &mut Draft<'_>, name: &str, node: &str, keep_tiebreaker: bool) -> Result<(), Refused> {
    let name = lookup::resource_name(name)?;
    let node = lookup::node_name(node)?;
    let Some(resource) = draft.cluster.resource(&name, &node).map(|resource| (**resource).clone()) else {
        missing(draft, format!("Resource '{name}' on node '{node}' not found."));
        return Ok(());
    };
    let tie = tiebreaker::is_tie(&resource) && !resource.flags.has(ResourceFlag::Delete);
    if tie && keep_tiebreaker {
        draft.say(Code::DONE, format!("The tiebreaker of '{name}' stays on '{node}'."));
        return tiebreaker::set_automatism(draft, &name, true);
    }
    crate::resources::unused_replica(draft, &resource)?;
    if !resource.flags.has(ResourceFlag::Diskless) {
        let others = || draft.cluster.replicas(&name).filter(|other| other.node != node);
        let last_disk = others().all(|other| other.flags.has(ResourceFlag::Diskless));
        let clients = others().any(|other| !other.flags.has(ResourceFlag::TieBreaker));
        if last_disk && clients {
            return Err(Reply::new(Code::FAIL_IN_USE, format!("'{node}' holds the last disk of '{name}', and diskless nodes use it."))
                .cause("The data would be gone while others still depend on it.")
                .correction("Delete the diskless resources first, or create another replica.")
                .into());
        }
    }
    not_a_source(draft, &name)?;
    if tiebreaker::succeed(draft, &resource)? {
        return Ok(());
    }
    draft.say(Code::DELETED, format!("Resource '{name}' on node '{node}' marked for deletion."));
    if tie {
        tiebreaker::set_automatism(draft, &name, false)?;
    }
    if resource.flags.has(ResourceFlag::Delete) {
        let item = resource.id.uuid();
        let open: Vec<_> = draft
            .cluster
            .jobs_on(&name)
            .filter(|job| matches!(job.task, Task::Delete { .. } | Task::Move { .. }) && job.task.awaited().iter().any(|a| a.item == item))
            .map(|job| job.id)
            .collect();
        draft.applied.jobs.extend(open);
        return Ok(());
    }
    let firm = end_jobs_of(draft, &resource)?;
    let awaited = mark(draft, vec![resource]);
    let step = first_step(&awaited, firm);
    draft.start(&name, Task::Delete { replicas: awaited, definition: false, firm, step });
    Ok(())
}

/// Jobs that wait for this replica go on without it. `true`: it was not finished, so that its deletion cannot be taken back.
fn end_jobs_of(draft: &mut Draft<'_>, resource: &Resource) -> Result<bool, Refused> {
    let item = resource.id.uuid();
    let concerns = |task: &Task| match task {
        Task::Move { from, to, .. } => from.item == item || to.item == item,
        other => other.awaited().iter().any(|awaited| awaited.item == item),
    };
    let open: Vec<_> = draft.cluster.jobs_on(&resource.name).filter(|job| concerns(&job.task)).cloned().collect();
    let mut half = false;
    for job in open {
        match &job.task {
            Task::Create { replicas, .. } if replicas.len() == 1 => {
                half = true;
                draft.delete(Key::Job(job.id));
            }
            Task::Activate { .. } => draft.delete(Key::Job(job.id)),
            Task::Create { replicas, made } => {
                half = true;
                let mut rest = (*job).clone();
                let replicas = replicas.iter().filter(|a| a.item != item).cloned().collect();
                rest.task = Task::Create { replicas, made: made.clone() };
                draft.put(Object::Job(rest));
            }
            // The others go on; a resize that waits for nobody ends.
            Task::Resize { number, from, replicas } => {
                let replicas = replicas.iter().filter(|a| a.item != item).cloned().collect();
                let task = Task::Resize { number: *number, from: *from, replicas };
                draft.put(Object::Job(Job { task, ..(*job).clone() }));
            }
            // Without the old replica the new one is just another; without the new one the old one stays.
            Task::Move { from, to, made, .. } if from.item == item => {
                let task = Task::Create { replicas: vec![to.clone()], made: made.clone() };
                let serial = draft.serial();
                draft.put(Object::Job(Job { task, serial, ..(*job).clone() }));
            }
            Task::Move { .. } => {
                half = true;
                draft.delete(Key::Job(job.id));
            }
            Task::CreateVolume { .. }
            | Task::Restore { .. }
            | Task::Clone { .. }
            | Task::Delete { .. }
            | Task::DeleteVolume { .. }
            | Task::Snapshot { .. }
            | Task::DeleteSnapshot { .. }
            | Task::Rollback { .. }
            | Task::Keep { .. }
            | Task::Evacuate { .. }
            | Task::Evict
            | Task::Return { .. }
            | Task::Lose { .. } => {
                return Err(Reply::new(
                    Code::FAIL_RSC_BUSY,
                    format!("The resource cannot be deleted now: a {} of '{}' is under way.", job.task.word(), resource.name),
                )
                .cause(format!("Job {} has not ended.", job.id))
                .correction("Wait for it and try again, cancel it with 'berth job cancel', or delete the resource definition.")
                .into());
            }
        }
    }
    Ok(half)
}
