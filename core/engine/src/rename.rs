//! New names for what is there. A name is a label: nothing on a node is touched but stable paths, which move while devices stay open, and
//! backing objects keep the names that they were made with.

use berth_model::change::{Key, NumberClaim, NumberKey, Object};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::connections::ResourceConnection;
use berth_model::flags::{DefinitionFlag, SnapshotFlag};
use berth_model::job::Awaited;
use berth_model::names::{DEFAULT_GROUP, ResourceName};
use berth_model::objects::{Resource, ResourceDefinition, ResourceGroup, Tombstone};
use berth_model::observed::{ItemSeen, Observed, Standing};
use berth_model::reply::Reply;
use berth_model::snapshot::Snapshot;

use crate::command::Command;
use crate::draft::{Draft, Refused};
use crate::resources::{idle, misdirected};
use crate::{jobs, lookup};

/// Commands that give names.
///
/// # Errors
/// As Berth's own operations `rename`: 2xx for what can be no name, 3xx for what is not there, 5xx for a name that is taken, 992 while
/// something is under way.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::RenameResourceDefinition { name, new_name } => {
            draft.about(Operation::Modify, ObjectMask::ResourceDefinition, &[("RscDfn", name)]);
            definition(draft, name, new_name)
        }
        Command::RenameResourceGroup { name, new_name } => {
            draft.about(Operation::Modify, ObjectMask::ResourceGroup, &[("RscGrp", name)]);
            group(draft, name, new_name)
        }
        Command::RenameSnapshot { resource, name, new_name } => {
            draft.about(Operation::Modify, ObjectMask::Snapshot, &[("RscDfn", resource), ("Snapshot", name)]);
            snapshot(draft, resource, name, new_name)
        }
        other => Err(misdirected(other)),
    }
}

/// The answer to a name that it has already. A change of case alone is none: names are told apart without it.
fn same(kind: &str, name: &str) -> Reply {
    Reply::new(Code::INFO_NOOP, format!("The {kind} is named '{name}' already."))
        .cause("Names are compared without regard to case.")
        .details("Nothing was changed.")
}

/// Refuses to move something of which a record cannot be read: it would stay behind under the old name.
fn whole(cluster: &Cluster, key: &Key) -> Result<(), Refused> {
    match cluster.broken_part(key) {
        None => Ok(()),
        Some(record) => Err(Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("The {} record '{}' cannot be read.", record.kind, record.key))
            .cause(record.why.clone())
            .correction("Mend it first with 'berth db repair'; a new name would leave it behind.")
            .into()),
    }
}

fn definition(draft: &mut Draft<'_>, text: &str, new_text: &str) -> Result<(), Refused> {
    let old = lookup::definition(&draft.cluster, text)?.clone();
    let new = lookup::resource_name(new_text)?;
    let name = old.name.clone();
    if new == name {
        draft.reply(same("resource definition", name.as_str()));
        return Ok(());
    }
    let key = Key::ResourceDefinition(new.clone());
    lookup::unreserved(&draft.cluster, &key)?;
    whole(&draft.cluster, &key)?;
    whole(&draft.cluster, &Key::ResourceDefinition(name.clone()))?;
    crate::definitions::free_name(draft, &new)?;
    if old.flags.has(DefinitionFlag::Delete) {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("'{name}' is being deleted."))
            .correction("Wait until it is gone; its name is free then.")
            .into());
    }
    idle(&draft.cluster, &name, "renamed")?;
    if let Some(job) = draft.cluster.jobs_copying(&name).next() {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("'{name}' cannot be renamed now: it is being copied to '{}'.", job.subject))
            .cause(format!("Job {} has not ended.", job.id))
            .correction("Wait for it and try again; 'berth job list' says what it waits for.")
            .into());
    }
    claims(draft, &name, &new);
    let connections: Vec<_> = draft.cluster.connections_of(&name).cloned().collect();
    for one in connections {
        draft.delete(Key::ResourceConnection(name.clone(), one.nodes.clone()));
        draft.put(Object::ResourceConnection(ResourceConnection { resource: new.clone(), ..(*one).clone() }));
    }
    let replicas: Vec<_> = draft.cluster.replicas(&name).cloned().collect();
    for replica in &replicas {
        draft.delete(Key::Resource(name.clone(), replica.node.clone()));
    }
    let snapshots: Vec<_> = draft.cluster.snapshots_of(&name).cloned().collect();
    for snapshot in &snapshots {
        draft.delete(Key::Snapshot(name.clone(), snapshot.name.clone()));
    }
    draft.delete(Key::ResourceDefinition(name.clone()));
    draft.put(Object::ResourceDefinition(ResourceDefinition { name: new.clone(), ..(*old).clone() }));
    for replica in &replicas {
        draft.put(Object::Resource(Resource { name: new.clone(), ..(**replica).clone() }));
    }
    for snapshot in &snapshots {
        draft.put(Object::Snapshot(Snapshot { resource: new.clone(), ..(**snapshot).clone() }));
    }
    follow_rules(draft, &name, &new);
    draft.applied.await_items = replicas.iter().map(|one| Awaited { node: one.node.clone(), item: one.id.uuid() }).collect();
    let mut reply = Reply::new(Code::MODIFIED, format!("Resource definition '{name}' is named '{new}' now."))
        .details(format!("UUID: {}", old.id))
        .refer("UUID", old.id)
        .refer("NewName", &new);
    if !replicas.is_empty() {
        reply = reply
            .details(format!("UUID: {}\nStable paths move to by-res/{new}; devices stay open, backing objects keep their names.", old.id));
    }
    draft.reply(reply);
    Ok(())
}

/// The rules of groups that keep replicas away from it by its name name it anew. What a rule says by a pattern stays as it is written.
fn follow_rules(draft: &mut Draft<'_>, name: &ResourceName, new: &ResourceName) {
    let is_it = |text: &String| text.eq_ignore_ascii_case(name.as_str());
    let names_it = |group: &&std::sync::Arc<ResourceGroup>| group.filter.not_place_with_rsc.iter().flatten().any(is_it);
    let groups: Vec<_> = draft.cluster.groups.values().filter(names_it).cloned().collect();
    for group in groups {
        let mut edited = (*group).clone();
        edited.filter.not_place_with_rsc.iter_mut().flatten().filter(|text| is_it(text)).for_each(|text| new.as_str().clone_into(text));
        draft.put(Object::ResourceGroup(edited));
    }
}

/// What an answer to a rename says of the items whose stable paths move, after the commit with `serial`; `None`: it waits on.
#[must_use]
pub fn moved(observed: &Observed, items: &[Awaited], serial: u64) -> Option<Vec<Reply>> {
    let mut replies = Vec::new();
    let mut waiting = false;
    for Awaited { node, item } in items {
        if !observed.online(node) {
            replies.extend(jobs::not_connected([node], "its stable paths move when it is back"));
            continue;
        }
        match observed.item(node, *item).map(|record| &record.seen).filter(|seen| seen.generation >= serial) {
            Some(ItemSeen { standing: Standing::Settled | Standing::Gone, .. }) => {}
            Some(ItemSeen { standing: Standing::Faulty, fault: Some(fault), .. }) => {
                replies.push(as_warning(jobs::fault_reply(node, fault)))
            }
            Some(ItemSeen { standing: Standing::Faulty, fault: None, .. }) => {}
            Some(ItemSeen { standing: Standing::Working, .. }) | None => waiting = true,
        }
    }
    (!waiting).then_some(replies)
}

/// The rename itself was done.
fn as_warning(why: Reply) -> Reply {
    Reply::new(Code::WARN_STORAGE_ERROR, why.message).cause(why.cause).correction(why.correction).details(why.details)
}

/// Moves the claims on DRBD's node ids, those of replicas that wait for their node among them: peers may still know these.
fn claims(draft: &mut Draft<'_>, name: &ResourceName, new: &ResourceName) {
    let ids = draft.cluster.node_ids_of(name);
    let claim = |node_id: u8| NumberKey::NodeId { resource: name.clone(), node_id };
    let held: Vec<_> = ids.into_iter().filter_map(|id| Some((id, *draft.cluster.numbers.get(&claim(id))?))).collect();
    for (node_id, holder) in held {
        if let Some(tombstone) = draft.cluster.tombstones.get(&holder).cloned() {
            draft.put(Object::Tombstone(Tombstone { resource: new.clone(), ..(*tombstone).clone() }));
        }
        draft.delete(Key::Number(claim(node_id)));
        draft.put(Object::Number(NumberClaim { key: NumberKey::NodeId { resource: new.clone(), node_id }, holder }));
    }
}

fn group(draft: &mut Draft<'_>, text: &str, new_text: &str) -> Result<(), Refused> {
    let old = lookup::group(&draft.cluster, text)?.clone();
    let new = lookup::group_name(new_text)?;
    let name = old.name.clone();
    if new == name {
        draft.reply(same("resource group", name.as_str()));
        return Ok(());
    }
    if name.as_str().eq_ignore_ascii_case(DEFAULT_GROUP) {
        return Err(Reply::new(Code::FAIL_IN_USE, format!("Resource group '{name}' cannot be renamed."))
            .cause("Definitions that name no group belong to it, and clients know it by this name.")
            .correction("Make another group with the same settings, and move definitions there.")
            .into());
    }
    lookup::unreserved(&draft.cluster, &Key::ResourceGroup(new.clone()))?;
    if draft.cluster.groups.contains_key(&new) {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_GRP, format!("Resource group '{new}' exists already."))
            .cause("Names are compared without regard to case.")
            .correction("Choose another name.")
            .into());
    }
    let members: Vec<_> = draft.cluster.definitions_of(&name).cloned().collect();
    draft.put(Object::ResourceGroup(ResourceGroup { name: new.clone(), ..(*old).clone() }));
    for member in &members {
        draft.put(Object::ResourceDefinition(ResourceDefinition { group: new.clone(), ..(**member).clone() }));
    }
    draft.delete(Key::ResourceGroup(name.clone()));
    let id = old.id;
    draft.reply(
        Reply::new(Code::MODIFIED, format!("Resource group '{name}' is named '{new}' now."))
            .details(format!("UUID: {id}\n{} resource definitions belong to it.", members.len()))
            .refer("UUID", id)
            .refer("NewName", &new),
    );
    Ok(())
}

fn snapshot(draft: &mut Draft<'_>, resource: &str, text: &str, new_text: &str) -> Result<(), Refused> {
    let old = lookup::snapshot(&draft.cluster, resource, text, Code::FAIL_NOT_FOUND_SNAPSHOT)?.clone();
    let new = lookup::snapshot_name(new_text)?;
    let (resource, name) = (old.resource.clone(), old.name.clone());
    if new == name {
        draft.reply(same("snapshot", name.as_str()));
        return Ok(());
    }
    lookup::unreserved(&draft.cluster, &Key::Snapshot(resource.clone(), new.clone()))?;
    if draft.cluster.snapshot(&resource, &new).is_some() {
        return Err(Reply::new(Code::FAIL_EXISTS_SNAPSHOT_DFN, format!("'{resource}' has a snapshot '{new}' already."))
            .correction("Choose another name: 'linstor snapshot list' shows those that are taken.")
            .into());
    }
    if old.flags.has(SnapshotFlag::Delete) {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("Snapshot '{name}' is being deleted."))
            .correction("Wait until it is gone; its name is free then.")
            .into());
    }
    // A job on the definition may name the snapshot, and one that restores it elsewhere does.
    idle(&draft.cluster, &resource, "changed")?;
    if let Some(job) = draft.cluster.jobs_copying(&resource).next() {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("Snapshot '{name}' cannot be renamed now: '{resource}' is being copied."))
            .cause(format!("Job {} has not ended.", job.id))
            .correction("Wait for it and try again; 'berth job list' says what it waits for.")
            .into());
    }
    draft.delete(Key::Snapshot(resource.clone(), name.clone()));
    draft.put(Object::Snapshot(Snapshot { name: new.clone(), ..(*old).clone() }));
    let id = old.id;
    draft.reply(
        Reply::new(Code::MODIFIED, format!("Snapshot '{name}' of '{resource}' is named '{new}' now."))
            .details(format!("UUID: {id}"))
            .refer("UUID", id)
            .refer("NewName", &new),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
