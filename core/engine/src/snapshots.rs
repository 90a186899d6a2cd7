//! Snapshots: take (one or several together), change, delete, roll back.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::{ResourceFlag, SnapshotFlag, SnapshotFlags};
use berth_model::ids::{Id, kind};
use berth_model::job::{Awaited, Family, RollbackStep, Task};
use berth_model::names::{NodeName, ResourceName, SnapshotName};
use berth_model::objects::{Resource, ResourceDefinition};
use berth_model::observed::{FaultKind, Observed, Standing};
use berth_model::props::{Owner, PropChange, Props};
use berth_model::reply::Reply;
use berth_model::snapshot::{CopyState, NodeSnapshot, Snapshot, SnapshotVolume, SnapshotVolumeDefinition};

use crate::command::{Command, SnapshotInput};
use crate::draft::{Draft, Refused};
use crate::resources::{free_backing, misdirected, unused_replica};
use crate::{jobs, lookup};

/// Whether a node that can be reached has looked for its copy of a snapshot and did not find it, or found something else there.
#[must_use]
pub fn seen_missing(observed: &Observed, node: &NodeName, copy: &NodeSnapshot) -> bool {
    let gone = |kind: FaultKind| matches!(kind, FaultKind::Lost | FaultKind::Foreign);
    observed.online(node)
        && observed.item(node, copy.id.uuid()).is_some_and(|record| {
            record.seen.standing == Standing::Faulty && record.seen.fault.as_ref().is_some_and(|fault| gone(fault.kind))
        })
}

/// Whether a snapshot has copies, and each of them was seen missing: whoever relies on it relies on nothing.
#[must_use]
pub fn is_missing(observed: &Observed, snapshot: &Snapshot) -> bool {
    !snapshot.copies.is_empty() && snapshot.copies.iter().all(|(node, copy)| seen_missing(observed, node, copy))
}

/// Commands on snapshots.
///
/// # Errors
/// As the snapshot operations of REST API v1; deleting what is not there is no error (WARN 3000).
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateSnapshot { resource, name, nodes, props } => {
            draft.about(Operation::Create, ObjectMask::Snapshot, &[("RscDfn", resource), ("Snapshot", name)]);
            let input = SnapshotInput { resource: resource.clone(), name: name.clone(), nodes: nodes.clone(), props: props.clone() };
            take_with(draft, &input, &[])
        }
        Command::CreateMultiSnapshot { snapshots } => create_together(draft, snapshots),
        Command::ModifySnapshot { resource, name, props } => {
            draft.about(Operation::Modify, ObjectMask::Snapshot, &[("RscDfn", resource), ("Snapshot", name)]);
            modify(draft, resource, name, props)
        }
        Command::DeleteSnapshot { resource, name, nodes } => {
            draft.about(Operation::Delete, ObjectMask::Snapshot, &[("RscDfn", resource), ("Snapshot", name)]);
            delete(draft, resource, name, nodes)
        }
        Command::RollbackSnapshot { resource, name, zfs_rollback_strategy } => {
            draft.about(Operation::Modify, ObjectMask::Snapshot, &[("RscDfn", resource), ("Snapshot", name)]);
            roll_back(draft, resource, name, zfs_rollback_strategy.as_deref())
        }
        other => Err(misdirected(other)),
    }
}

/// Takes a snapshot that has these flags beside those that its state gives it.
///
/// # Errors
/// As the creation of a snapshot in REST API v1.
pub(crate) fn take_with(draft: &mut Draft<'_>, input: &SnapshotInput, flags: &[SnapshotFlag]) -> Result<(), Refused> {
    let definition = lookup::definition(&draft.cluster, &input.resource)?.clone();
    let name = lookup::snapshot_name(&input.name)?;
    lookup::unreserved(&draft.cluster, &Key::Snapshot(definition.name.clone(), name.clone()))?;
    if let Some(existing) = draft.cluster.snapshot(&definition.name, &name) {
        return Err(Reply::new(
            Code::FAIL_EXISTS_SNAPSHOT_DFN,
            format!("'{}' has a snapshot '{}' already.", definition.name, existing.name),
        )
        .correction("Choose another name, or delete the old snapshot first.")
        .into());
    }
    quiet(draft, &definition)?;
    let replicas = sources(draft, &definition, &input.nodes)?;
    let change = PropChange { override_props: input.props.clone(), ..PropChange::default() };
    let props = crate::change_props::changed(draft, Owner::Snapshot, &Props::default(), &change)?;
    let id: Id<kind::Snapshot> = draft.context.ids.next();
    let mut copies = BTreeMap::new();
    let mut awaited = Vec::new();
    for replica in &replicas {
        let copy = copy_of(draft, replica, &name)?;
        awaited.push(Awaited { node: replica.node.clone(), item: copy.id.uuid() });
        copies.insert(replica.node.clone(), copy);
    }
    let volumes = definition.volumes.iter().map(|(number, volume)| {
        let snapped = SnapshotVolumeDefinition {
            size_kib: volume.size_kib,
            flags: volume.flags.clone(),
            definition_props: volume.props.clone(),
            props: Props::default(),
            passphrase: volume.passphrase.clone(),
        };
        (*number, snapped)
    });
    let mut with = SnapshotFlags::default();
    flags.iter().for_each(|flag| with.set(*flag));
    let snapshot = Snapshot {
        id,
        name: name.clone(),
        resource: definition.name.clone(),
        definition: definition.id,
        layers: replicas.first().map(|replica| replica.layers.clone()).unwrap_or_default(),
        flags: with,
        props,
        definition_props: definition.props.clone(),
        volumes: volumes.collect(),
        copies,
        created: draft.context.now,
    };
    draft.put(Object::Snapshot(snapshot));
    draft.reply(
        Reply::new(Code::CREATED, format!("New snapshot '{name}' of resource '{}' registered.", definition.name))
            .details(format!("UUID: {id}"))
            .refer("UUID", id),
    );
    draft.start(&definition.name, Task::Snapshot { snapshot: name, copies: awaited });
    Ok(())
}

/// Refuses a snapshot while data is being made, rolled back or deleted under it. Error 992.
fn quiet(draft: &Draft<'_>, definition: &ResourceDefinition) -> Result<(), Refused> {
    let busy = draft.cluster.jobs_on(&definition.name).find(|job| match job.task.family() {
        Family::Rollback | Family::Keep | Family::Move => true,
        // Of one volume only, or of another snapshot: the replicas stay as they are.
        Family::Fill | Family::Delete => job.task.volume().is_none() && job.task.copies_of().is_none(),
        Family::Change | Family::Snapshot | Family::Evacuate | Family::Node => false,
    });
    match busy {
        None => Ok(()),
        Some(job) => Err(Reply::new(
            Code::FAIL_RSC_BUSY,
            format!("No snapshot of '{}' can be taken now: a {} is under way.", definition.name, job.task.word()),
        )
        .cause(format!("Job {} has not ended.", job.id))
        .correction("Wait for it and try again; 'berth job list' says what it waits for.")
        .into()),
    }
}

/// The replicas to copy: the named nodes', or every diskful one that can be reached.
fn sources(draft: &mut Draft<'_>, definition: &ResourceDefinition, nodes: &[String]) -> Result<Vec<Resource>, Refused> {
    let mut replicas: Vec<Resource> = Vec::new();
    if nodes.is_empty() {
        let diskful = draft.cluster.replicas(&definition.name).filter(|replica| !replica.flags.has(ResourceFlag::Diskless));
        replicas.extend(diskful.map(|replica| (**replica).clone()));
    } else {
        for node in nodes {
            let replica = (**lookup::resource(&draft.cluster, definition.name.as_str(), node)?).clone();
            if replica.flags.has(ResourceFlag::Diskless) {
                return Err(Reply::new(Code::FAIL_SNAPSHOTS_NOT_SUPPORTED, format!("'{}' has no disk on node '{node}'.", definition.name))
                    .cause("A snapshot is taken of the data on a node.")
                    .correction("Name only nodes with a disk, or none to take all of them.")
                    .into());
            }
            replicas.push(replica);
        }
    }
    if replicas.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_FOUND_RSC, format!("'{}' has no replica to take a snapshot of.", definition.name))
            .correction("Place it first: 'linstor resource create' or 'linstor resource-definition auto-place'.")
            .into());
    }
    let (online, offline): (Vec<_>, Vec<_>) = replicas.into_iter().partition(|replica| draft.context.observed.online(&replica.node));
    if online.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_CONNECTED, format!("No node with a disk of '{}' can be reached.", definition.name))
            .cause("Their satellites are offline.")
            .correction("Start the satellites and try again.")
            .into());
    }
    let away: Vec<NodeName> = offline.iter().map(|replica| replica.node.clone()).collect();
    for reply in jobs::not_connected(&away, "the snapshot has no copy there") {
        draft.reply(reply);
    }
    for replica in &online {
        can_snapshot(draft, replica)?;
    }
    Ok(online)
}

/// Refuses a replica whose pool cannot take a point in time. Error 994.
fn can_snapshot(draft: &Draft<'_>, replica: &Resource) -> Result<(), Refused> {
    for (number, volume) in &replica.volumes {
        let seen = draft.context.observed.pool(&replica.node, &volume.pool);
        let able = volume.provider.takes_snapshots() && seen.is_none_or(|pool| pool.snapshots);
        if !able {
            return Err(Reply::new(
                Code::FAIL_SNAPSHOTS_NOT_SUPPORTED,
                format!("Pool '{}' on node '{}' cannot take snapshots (volume {number} of '{}').", volume.pool, replica.node, replica.name),
            )
            .cause("A file pool needs a file system with reflinks (XFS, Btrfs); plain LVM and diskless pools have no snapshots.")
            .correction("Put the resource into a pool that can: 'linstor storage-pool list' shows which (CanSnapshots).")
            .into());
        }
    }
    Ok(())
}

fn copy_of(draft: &mut Draft<'_>, replica: &Resource, name: &SnapshotName) -> Result<NodeSnapshot, Refused> {
    let mut volumes = Few::new();
    for (number, volume) in &replica.volumes {
        // '.' cannot come out of a resource's name, so no volume has this backing name.
        let wanted = format!("{}.{name}", volume.backing);
        let snapped = SnapshotVolume {
            id: draft.context.ids.next(),
            pool: volume.pool.clone(),
            provider: volume.provider,
            backing: free_backing(&draft.cluster, &replica.node, &volume.pool, &wanted),
            backing_kib: volume.backing_kib,
            source: volume.id,
            source_backing: volume.backing.clone(),
        };
        volumes.insert(*number, snapped);
    }
    Ok(NodeSnapshot {
        id: draft.context.ids.next(),
        state: CopyState::Wanted,
        created: None,
        resource_props: replica.props.clone(),
        volumes,
    })
}

/// All or none: every one is checked before the first is taken; the satellites take them from one plan.
fn create_together(draft: &mut Draft<'_>, snapshots: &[SnapshotInput]) -> Result<(), Refused> {
    draft.about(Operation::Create, ObjectMask::Snapshot, &[]);
    if snapshots.is_empty() {
        return Err(Reply::new(Code::FAIL_INVLD_REQUEST, "No snapshots were asked for.")
            .correction("Name at least one resource and snapshot in 'snapshots'.")
            .into());
    }
    for input in snapshots {
        take_with(draft, input, &[])?;
    }
    Ok(())
}

fn modify(draft: &mut Draft<'_>, resource: &str, name: &str, props: &PropChange) -> Result<(), Refused> {
    let mut snapshot = (**lookup::snapshot(&draft.cluster, resource, name, Code::FAIL_NOT_FOUND_SNAPSHOT)?).clone();
    snapshot.props = crate::change_props::changed(draft, Owner::Snapshot, &snapshot.props, props)?;
    draft.put(Object::Snapshot(snapshot));
    Ok(())
}

/// Removes a snapshot with all its copies.
///
/// # Errors
/// 992 while a job reads it.
pub(crate) fn remove(draft: &mut Draft<'_>, resource: &ResourceName, name: &SnapshotName) -> Result<(), Refused> {
    delete(draft, resource.as_str(), name.as_str(), &[])
}

fn delete(draft: &mut Draft<'_>, resource: &str, name: &str, nodes: &[String]) -> Result<(), Refused> {
    let name = lookup::snapshot_name(name)?;
    let resource = lookup::resource_name(resource)?;
    let Some(snapshot) = draft.cluster.snapshot(&resource, &name).cloned() else {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Snapshot '{name}' of '{resource}' not found."))
                .cause("It does not exist, or was deleted already."),
        );
        return Ok(());
    };
    if let Some(reader) = reader_of(draft, &snapshot) {
        return Err(reader);
    }
    let mut wanted: Vec<NodeName> = Vec::new();
    let mut missing: Vec<NodeName> = Vec::new();
    for node in nodes {
        let node = lookup::node_name(node)?;
        if snapshot.copies.contains_key(&node) { wanted.push(node) } else { missing.push(node) }
    }
    if nodes.is_empty() {
        wanted.extend(snapshot.copies.keys().cloned());
    }
    draft.say(Code::DELETED, format!("Snapshot '{name}' of '{resource}' marked for deletion."));
    for node in &missing {
        draft.reply(Reply::new(Code::WARN_NOT_FOUND, format!("Node '{node}' has no copy of snapshot '{name}'.")));
    }
    if snapshot.copies.is_empty() {
        draft.delete(Key::Snapshot(resource, name));
        return Ok(());
    }
    if wanted.is_empty() {
        return Ok(());
    }
    // A snapshot that could not be taken is being removed, too, but that job's answer is its creator's: that it failed. Whoever asks that it
    // be gone gets an answer of their own.
    let open = draft
        .cluster
        .jobs_on(&resource)
        .find(|job| matches!(&job.task, Task::DeleteSnapshot { snapshot, failed: None, .. } if *snapshot == name))
        .map(|job| job.id);
    if let (Some(id), true) = (open, snapshot.flags.has(SnapshotFlag::Delete)) {
        draft.applied.jobs.push(id);
        return Ok(());
    }
    let mut marked = (*snapshot).clone();
    if wanted.len() == marked.copies.len() {
        marked.flags.set(SnapshotFlag::Delete);
    }
    let mut copies = Vec::new();
    for node in &wanted {
        if let Some(copy) = marked.copies.get_mut(node) {
            copy.state = CopyState::Deleting;
            copies.push(Awaited { node: node.clone(), item: copy.id.uuid() });
        }
    }
    draft.put(Object::Snapshot(marked));
    draft.start(&resource, Task::DeleteSnapshot { snapshot: name, copies, failed: None });
    Ok(())
}

/// The refusal to delete a snapshot that a job still reads. Error 992.
fn reader_of(draft: &Draft<'_>, snapshot: &Snapshot) -> Option<Refused> {
    let own = draft.cluster.jobs_on(&snapshot.resource).find(|job| match job.task.family() {
        Family::Rollback | Family::Snapshot | Family::Keep => job.task.snapshot() == Some(&snapshot.name),
        Family::Fill | Family::Delete | Family::Change | Family::Move | Family::Evacuate | Family::Node => false,
    });
    let restore = draft
        .cluster
        .jobs_copying(&snapshot.resource)
        .find(|job| matches!(&job.task, Task::Restore { snapshot: name, .. } if *name == snapshot.name));
    own.or(restore).map(|job| {
        Reply::new(
            Code::FAIL_RSC_BUSY,
            format!("Snapshot '{}' of '{}' is needed by a {}.", snapshot.name, snapshot.resource, job.task.word()),
        )
        .cause(format!("Job {} on '{}' has not ended.", job.id, job.subject))
        .correction("Wait for it and try again.")
        .into()
    })
}

fn roll_back(draft: &mut Draft<'_>, resource: &str, name: &str, strategy: Option<&str>) -> Result<(), Refused> {
    let snapshot = lookup::snapshot(&draft.cluster, resource, name, Code::FAIL_NOT_FOUND_SNAPSHOT_DFN)?.clone();
    let known = |word: &&str| ["rollback", "clone", "dynamic"].contains(&word.to_ascii_lowercase().as_str());
    if let Some(word) = strategy.filter(|word| !known(word)) {
        return Err(Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{word}' is not a rollback strategy."))
            .correction("Use rollback, clone or dynamic, or leave it out.")
            .into());
    }
    if !snapshot.flags.has(SnapshotFlag::Successful) || snapshot.flags.has(SnapshotFlag::Delete) {
        return Err(Reply::new(Code::FAIL_SNAPSHOT_NOT_UPTODATE, format!("Snapshot '{}' is not complete.", snapshot.name))
            .correction("Choose another snapshot: 'linstor snapshot list'.")
            .into());
    }
    let definition = lookup::definition(&draft.cluster, resource)?.clone();
    crate::resources::idle(&draft.cluster, &definition.name, "rolled back")?;
    let replicas: Vec<Resource> = draft.cluster.replicas(&definition.name).map(|replica| (**replica).clone()).collect();
    for replica in &replicas {
        unused_replica(draft, replica)?;
        if replica.flags.has(ResourceFlag::Diskless) {
            continue;
        }
        if !draft.context.observed.online(&replica.node) {
            return Err(Reply::new(Code::FAIL_NOT_CONNECTED, format!("No connection to satellite '{}'.", replica.node))
                .cause("Every replica must be rolled back together.")
                .correction("Start the satellite, or delete the replica there first.")
                .into());
        }
        if let Some(copy) = snapshot.copies.get(&replica.node).filter(|copy| seen_missing(draft.context.observed, &replica.node, copy)) {
            let seen = draft.context.observed.item(&replica.node, copy.id.uuid()).and_then(|record| record.seen.fault.clone());
            let (cause, correction) = seen.map(|fault| (fault.message, fault.correction)).unwrap_or_default();
            let text = format!("The copy of snapshot '{}' on node '{}' is not there.", snapshot.name, replica.node);
            return Err(Reply::new(Code::FAIL_SNAPSHOT_NOT_UPTODATE, text).cause(cause).correction(correction).into());
        }
        let whole = snapshot.copies.get(&replica.node).is_some_and(|copy| {
            replica.volumes.iter().all(|(number, volume)| {
                copy.volumes.get(number).is_some_and(|snapped| snapped.source == volume.id && snapped.pool == volume.pool)
            })
        });
        if !whole {
            return Err(Reply::new(
                Code::FAIL_NOT_FOUND_SNAPSHOT,
                format!("Snapshot '{}' does not hold every volume of '{}' on node '{}'.", snapshot.name, definition.name, replica.node),
            )
            .cause("A volume or replica was made after the snapshot was taken.")
            .correction("Restore the snapshot to a new resource instead: 'linstor snapshot resource restore'.")
            .into());
        }
    }
    let awaited: Vec<Awaited> = replicas
        .iter()
        .filter(|replica| !replica.flags.has(ResourceFlag::Diskless))
        .map(|replica| Awaited { node: replica.node.clone(), item: replica.id.uuid() })
        .collect();
    let id = snapshot.id;
    // What has begun; that it is done is said by its job when it ends.
    let text = format!("Resource '{}' is being rolled back to snapshot '{}'.", definition.name, snapshot.name);
    draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {id}")).refer("UUID", id));
    draft.start(&definition.name, Task::Rollback { snapshot: snapshot.name.clone(), step: RollbackStep::Down, replicas: awaited });
    Ok(())
}
