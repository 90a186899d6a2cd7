//! Objects of ours on a machine that no plan names: removed or taken in by explicit command, and never otherwise.

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::{DefinitionFlags, ResourceFlags, VolumeDefinitionFlags, VolumeFlags};
use berth_model::ids::Id;
use berth_model::job::{Awaited, Made, Task};
use berth_model::layers::LayerKind;
use berth_model::names::{DEFAULT_GROUP, ResourceName, SnapshotName, VolumeNumber};
use berth_model::objects::{DrbdDefinition, Node, Resource, ResourceDefinition, StorPool, Tombstone, Volume};
use berth_model::observed::Stranger;
use berth_model::plan::{Content, ContentSource, PlanItem, ResourcePlan, SnapshotPlan, SnapshotVolumePlan, VolumePlan, Wanted};
use berth_model::props::Props;
use berth_model::reply::Reply;
use berth_model::size::Kib;
use uuid::Uuid;

use crate::command::Command;
use crate::definitions::{self, volumes};
use crate::draft::{Draft, Refused};
use crate::{explain, lookup};

/// Carries out the commands on strangers.
///
/// # Errors
/// 300 and 310 (no node, no pool), 304 (never listed, or not any more), 992 (its node has not looked), 501 (the name is taken).
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::RemoveStranger { node, pool, id } => {
            draft.about(Operation::Delete, ObjectMask::Volume, &[("Node", node), ("StorPool", pool)]);
            let found = find(draft, node, pool, id)?;
            remove(draft, found);
            Ok(())
        }
        Command::AdoptStranger { node, pool, id, resource } => {
            draft.about(Operation::Create, ObjectMask::ResourceDefinition, &[("Node", node), ("StorPool", pool), ("RscDfn", resource)]);
            let found = find(draft, node, pool, id)?;
            adopt(draft, found, resource)
        }
        _ => Err(Reply::new(Code::FAIL_IMPL_ERROR, "Not a command on strangers.").into()),
    }
}

/// A stranger with the place where it lies.
struct Found {
    node: std::sync::Arc<Node>,
    pool: std::sync::Arc<StorPool>,
    stranger: Stranger,
    name: MarkName,
}

/// The parts of a mark's name, as far as they are names: `web/0`, `web/0@s1`.
struct MarkName {
    resource: Option<ResourceName>,
    number: VolumeNumber,
    snapshot: Option<SnapshotName>,
}

fn mark_name(text: &str) -> MarkName {
    let (volume, snapshot) = match text.split_once('@') {
        Some((volume, snapshot)) => (volume, SnapshotName::parse(snapshot).ok()),
        None => (text, None),
    };
    let (resource, number) = volume.rsplit_once('/').unwrap_or((volume, "0"));
    let number = number.parse::<i64>().ok().and_then(VolumeNumber::new);
    MarkName {
        resource: ResourceName::parse(resource).ok(),
        number: number.unwrap_or_else(|| VolumeNumber::new(0).expect("0 is a volume number")),
        snapshot,
    }
}

fn find(draft: &Draft<'_>, node: &str, pool: &str, id: &str) -> Result<Found, Refused> {
    let wanted = Uuid::try_parse(id).map_err(|error| {
        Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{id}' is not the id of an object: {error}."))
            .correction("List what is found with 'berth drift'.")
    })?;
    let node = lookup::node(&draft.cluster, node)?.clone();
    let pool = lookup::pool(&draft.cluster, node.name.as_str(), pool)?.clone();
    let drift = explain::differ::drift(&draft.cluster, draft.context.observed, &node.name);
    let Some((strangers, _)) = drift.strangers else {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("It is not known what lies on node '{}'.", node.name))
            .cause(drift.why)
            .correction("Start its satellite and wait until it has looked; 'berth drift' shows when it did.")
            .into());
    };
    let listed = strangers.into_iter().find(|stranger| stranger.id == wanted && stranger.pool == pool.name);
    let stranger = listed.ok_or_else(|| {
        Reply::new(
            Code::FAIL_NOT_FOUND_VLM,
            format!("No object {id} that nobody names lies in pool '{}' on node '{}'.", pool.name, node.name),
        )
        .cause("It is gone, or it belongs to something that is known, or it lies elsewhere.")
        .correction("List what is found with 'berth drift'.")
    })?;
    let name = mark_name(&stranger.name);
    Ok(Found { node, pool, stranger, name })
}

/// A name for people where the mark has none that can be one.
fn unnamed() -> ResourceName {
    ResourceName::parse("unnamed").expect("letters are a name")
}

/// Leaves a tombstone for exactly this generation: the satellite removes the object only if its mark says that it is the one.
fn remove(draft: &mut Draft<'_>, found: Found) {
    let Found { node, pool, stranger, name } = found;
    let resource = name.resource.unwrap_or_else(unnamed);
    let (item, snapshot) = if stranger.snapshot {
        let snapshot = name.snapshot.unwrap_or_else(|| SnapshotName::parse("unnamed").expect("letters are a name"));
        let volume = SnapshotVolumePlan {
            id: Id::from_uuid(stranger.id),
            number: name.number,
            pool: pool.name.clone(),
            backing: stranger.backing.clone(),
            source: Id::from_uuid(Uuid::nil()),
            // What it is a copy of is not known, and not needed to remove it; a satellite wants a name that can be one.
            source_backing: stranger.backing.clone(),
        };
        let item = PlanItem::Snapshot(SnapshotPlan {
            id: draft.context.ids.next(),
            snapshot: snapshot.clone(),
            resource: resource.clone(),
            wanted: Wanted::Absent,
            taken: true,
            adopt: false,
            volumes: vec![volume],
        });
        (item, Some(snapshot))
    } else {
        let volume = VolumePlan {
            id: Id::from_uuid(stranger.id),
            number: name.number,
            wanted: Wanted::Absent,
            pool: pool.name.clone(),
            backing: stranger.backing.clone(),
            backing_kib: stranger.size_kib,
            content: Content { id: Id::from_uuid(stranger.content), source: ContentSource::Kept },
            peers: Vec::new(),
        };
        let item = PlanItem::Resource(ResourcePlan {
            id: draft.context.ids.next(),
            resource: resource.clone(),
            wanted: Wanted::Absent,
            layers: vec![LayerKind::Storage],
            diskless: false,
            adopt: false,
            volumes: vec![volume],
        });
        (item, None)
    };
    draft.put(Object::Tombstone(Tombstone {
        node: node.name.clone(),
        node_id: node.id,
        item,
        resource,
        snapshot,
        ports: std::collections::BTreeSet::new(),
        drbd_node_id: None,
        deleted: draft.context.now,
    }));
    draft.reply(
        Reply::new(
            Code::DELETED,
            format!("(Node: '{}') '{}' in pool '{}' is removed, with its data.", node.name, stranger.backing, pool.name),
        )
        .details(format!("UUID: {}\nThe satellite removes it by its mark; 'berth diff' lists it until it was seen gone.", stranger.id))
        .refer("UUID", stranger.id),
    );
}

/// Makes a definition, a volume definition and a resource around a volume, whose data stays what it is.
fn adopt(draft: &mut Draft<'_>, found: Found, text: &str) -> Result<(), Refused> {
    let Found { node, pool, stranger, name: mark } = found;
    if stranger.snapshot {
        return Err(Reply::new(
            Code::FAIL_INVLD_REQUEST,
            format!("'{}' is the copy of a snapshot, which cannot be adopted.", stranger.backing),
        )
        .cause("What it is a snapshot of is not known.")
        .correction("Remove it with 'berth drift remove', or leave it where it is.")
        .into());
    }
    let name = lookup::resource_name(text)?;
    lookup::unreserved(&draft.cluster, &Key::ResourceDefinition(name.clone()))?;
    definitions::free_name(draft, &name)?;
    if stranger.size_kib < Kib::VOLUME_MIN || stranger.size_kib > Kib::VOLUME_MAX {
        return Err(Reply::new(
            Code::FAIL_INVLD_VLM_SIZE,
            format!("'{}' has {} KiB, which is no size of a volume.", stranger.backing, stranger.size_kib.0),
        )
        .cause(format!("Volumes have {} to {}.", Kib::VOLUME_MIN, Kib::VOLUME_MAX))
        .correction("Copy its data into a new volume, then remove it.")
        .into());
    }
    let layers = vec![LayerKind::Storage];
    let group = lookup::group(&draft.cluster, DEFAULT_GROUP)?.name.clone();
    let definition_id = draft.context.ids.next();
    let volume = volumes::new_volume(draft, &layers, stranger.size_kib, VolumeDefinitionFlags::default(), Props::default(), None)?;
    let drbd = DrbdDefinition { port: None, secret: draft.context.secret.clone(), transport: None, peer_slots: None, used_node_ids: 0 };
    draft.put(Object::ResourceDefinition(ResourceDefinition {
        id: definition_id,
        name: name.clone(),
        external_name: None,
        group,
        layers: layers.clone(),
        drbd,
        flags: DefinitionFlags::default(),
        props: Props::default(),
        volumes: Few::from([(mark.number, volume)]),
        created: draft.context.now,
    }));
    let mut props = Props::default();
    props.insert_internal("StorPoolName", pool.name.as_str());
    let taken = Volume {
        id: Id::from_uuid(stranger.id),
        pool: pool.name.clone(),
        provider: pool.provider,
        backing: stranger.backing.clone(),
        backing_kib: stranger.size_kib,
        content: Content { id: Id::from_uuid(stranger.content), source: ContentSource::Kept },
        flags: VolumeFlags::default(),
        props: Props::default(),
    };
    let id = draft.context.ids.next();
    draft.put(Object::Resource(Resource {
        id,
        definition: definition_id,
        name: name.clone(),
        node: node.name.clone(),
        layers,
        flags: ResourceFlags::default(),
        drbd: None,
        volumes: Few::from([(mark.number, taken)]),
        props,
        created: draft.context.now,
    }));
    draft.reply(
        Reply::new(
            Code::CREATED,
            format!("'{}' in pool '{}' on node '{}' is resource '{name}' now.", stranger.backing, pool.name, node.name),
        )
        .details(format!("UUID: {definition_id}\nIts mark says that it was '{}'. Its data is what it was.", stranger.name))
        .refer("UUID", definition_id)
        .refer("VlmNr", mark.number),
    );
    let replicas = vec![Awaited { node: node.name.clone(), item: id.uuid() }];
    draft.start(&name, Task::Create { replicas, made: Made::Nothing });
    Ok(())
}
