//! Serving a replica: activate, deactivate, make available, toggle the disk.

use berth_model::change::{NumberClaim, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::flags::{ResourceFlag, ResourceFlags};
use berth_model::job::{Awaited, Made, MoveStep, Task};
use berth_model::layers::LayerKind;
use berth_model::names::{NodeName, StorPoolName};
use berth_model::objects::{Resource, ResourceDefinition, SelectFilter};
use berth_model::plan::{Content, ContentSource};
use berth_model::reply::Reply;

use super::{NewReplica, deploy, idle};
use crate::draft::{Draft, Refused};
use crate::placement::{self, Request};
use crate::places::{self, Asked, Kind};
use crate::{lookup, stack};

fn refs<'a>(resource: &'a str, node: &'a str) -> [(&'a str, &'a str); 2] {
    [("RscDfn", resource), ("Node", node)]
}

fn awaited(resource: &Resource) -> Vec<Awaited> {
    vec![Awaited { node: resource.node.clone(), item: resource.id.uuid() }]
}

/// Serves a replica again. Already served: INFO 10007.
///
/// # Errors
/// 300 to 302, 992 while a job works on it.
pub fn activate(draft: &mut Draft<'_>, name: &str, node: &str) -> Result<(), Refused> {
    draft.about(Operation::Modify, ObjectMask::Resource, &refs(name, node));
    let mut resource = (**lookup::resource(&draft.cluster, name, node)?).clone();
    if resource.flags.has(ResourceFlag::InactivePermanently) {
        return Err(Reply::new(Code::FAIL_INVLD_RSC_STATE, format!("Resource '{name}' on node '{node}' cannot be activated again."))
            .cause("It is marked INACTIVE_PERMANENTLY.")
            .correction("Delete it and create it anew.")
            .into());
    }
    if !resource.flags.has(ResourceFlag::Inactive) {
        draft.say(Code::INFO_NOOP, format!("Resource '{name}' on node '{node}' is active already."));
        return Ok(());
    }
    idle(&draft.cluster, &resource.name, "activated")?;
    resource.flags.clear(ResourceFlag::Inactive);
    let (name, replicas) = (resource.name.clone(), awaited(&resource));
    draft.put(Object::Resource(resource));
    draft.start(&name, Task::Activate { replicas, active: true, diskless: false });
    Ok(())
}

/// Stops serving a replica; its data stays. Already so: INFO 10007.
///
/// # Errors
/// 300 to 302, 992 while a job works on it, 997 if its device is in use.
pub fn deactivate(draft: &mut Draft<'_>, name: &str, node: &str) -> Result<(), Refused> {
    draft.about(Operation::Modify, ObjectMask::Resource, &refs(name, node));
    let mut resource = (**lookup::resource(&draft.cluster, name, node)?).clone();
    if resource.flags.has(ResourceFlag::Inactive) {
        draft.say(Code::INFO_NOOP, format!("Resource '{name}' on node '{node}' is inactive already."));
        return Ok(());
    }
    unused(draft, &resource)?;
    idle(&draft.cluster, &resource.name, "deactivated")?;
    resource.flags.set(ResourceFlag::Inactive);
    let (name, replicas) = (resource.name.clone(), awaited(&resource));
    draft.put(Object::Resource(resource));
    draft.start(&name, Task::Activate { replicas, active: false, diskless: false });
    Ok(())
}

/// Refuses a replica whose device somebody has open. Error 997.
pub(crate) fn unused(draft: &Draft<'_>, resource: &Resource) -> Result<(), Refused> {
    let seen = draft.context.observed.item(&resource.node, resource.id.uuid());
    let volume = seen.and_then(|record| record.seen.volumes.iter().find(|volume| volume.in_use));
    match volume {
        None => Ok(()),
        Some(volume) => {
            let device = volume.device_path.clone().unwrap_or_default();
            Err(Reply::new(
                Code::FAIL_IN_USE,
                format!("Resource '{}' is in use on node '{}' (volume {}, {device}).", resource.name, resource.node, volume.number),
            )
            .cause("Somebody has the device open, or it is mounted.")
            .correction("Unmount it and stop what uses it, then try again.")
            .into())
        }
    }
}

/// Makes sure that a definition can be used on a node; does nothing where it can already.
///
/// # Errors
/// 300, 301; 225 for other layers than the definition's; 310 if the node has no fitting pool.
pub fn make_available(
    draft: &mut Draft<'_>,
    name: &str,
    node: &str,
    diskful: bool,
    layers: &[String],
    ports: &[i64],
) -> Result<(), Refused> {
    draft.about(Operation::Create, ObjectMask::Resource, &refs(name, node));
    let definition = lookup::definition(&draft.cluster, name)?.clone();
    let node = lookup::node(&draft.cluster, node)?.name.clone();
    match draft.cluster.resource(&definition.name, &node).cloned() {
        Some(resource) => available_already(draft, &definition, &resource, diskful),
        None => available_anew(draft, &definition, &node, diskful, layers, ports),
    }
}

fn available_already(draft: &mut Draft<'_>, definition: &ResourceDefinition, resource: &Resource, diskful: bool) -> Result<(), Refused> {
    if resource.flags.has(ResourceFlag::Delete) {
        return Err(Reply::new(Code::FAIL_RSC_BUSY, format!("Resource '{}' on '{}' is being deleted.", resource.name, resource.node))
            .correction("Wait until it is gone, then try again.")
            .into());
    }
    if resource.flags.has(ResourceFlag::Inactive) {
        return activate(draft, resource.name.as_str(), resource.node.as_str());
    }
    if diskful && resource.flags.has(ResourceFlag::Diskless) {
        return give_placed_disk(draft, definition, resource);
    }
    if crate::tiebreaker::is_tie(resource) {
        crate::tiebreaker::take_as_client(draft, resource);
    }
    draft.say(Code::DONE, format!("Resource '{}' on '{}' is deployed as requested already.", resource.name, resource.node));
    join_jobs(draft, resource);
    Ok(())
}

/// Makes volumes for a diskless replica in the pool of its node that the placement chooses.
///
/// # Errors
/// 992 while a job is under way; 310 if no pool of the node fits.
pub(crate) fn give_placed_disk(draft: &mut Draft<'_>, definition: &ResourceDefinition, resource: &Resource) -> Result<(), Refused> {
    let group = lookup::group(&draft.cluster, definition.group.as_str())?.clone();
    let filter = on_one_node(&group.filter, &resource.node, &resource.layers);
    idle(&draft.cluster, &resource.name, "given a disk")?;
    let pool = pool_on(draft, definition, &filter, &resource.node)?;
    give_disk(draft, definition, resource, Some(&pool))
}

/// A repeated call waits for what the first one started.
fn join_jobs(draft: &mut Draft<'_>, resource: &Resource) {
    let item = resource.id.uuid();
    let open: Vec<_> =
        draft.cluster.jobs_on(&resource.name).filter(|job| job.task.awaited().iter().any(|a| a.item == item)).map(|job| job.id).collect();
    draft.applied.jobs.extend(open);
}

fn available_anew(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    node: &NodeName,
    diskful: bool,
    layers: &[String],
    ports: &[i64],
) -> Result<(), Refused> {
    let layers = stack::for_replica(draft, definition, layers, node)?;
    let has_data = draft.cluster.replicas(&definition.name).any(|replica| !replica.flags.has(ResourceFlag::Diskless));
    let mut new = NewReplica { drbd_ports: ports.to_vec(), ..NewReplica::plain(&definition.name, node, &layers) };
    if !diskful && has_data && layers.contains(&LayerKind::Drbd) {
        new.flags = [ResourceFlag::DrbdDiskless].into_iter().collect();
    } else {
        let group = lookup::group(&draft.cluster, definition.group.as_str())?.clone();
        let filter = on_one_node(&group.filter, node, &layers);
        new.pool = Some(pool_on(draft, definition, &filter, node)?);
    }
    let one = deploy(draft, new)?;
    draft.say(Code::CREATED, format!("Resource '{}' made available on node '{node}'.", definition.name));
    super::tell_registered(draft, definition, &one);
    draft.start(&definition.name, Task::Create { replicas: vec![one], made: Made::Replicas });
    Ok(())
}

/// A group's filter for one replica on one node; the group's own list of nodes gives way to what was asked for.
fn on_one_node(filter: &SelectFilter, node: &NodeName, layers: &[LayerKind]) -> SelectFilter {
    SelectFilter {
        place_count: None,
        additional_place_count: Some(1),
        node_name_list: Some(vec![node.to_string()]),
        layer_stack: Some(layers.to_vec()),
        ..filter.clone()
    }
}

/// The pool that placement chooses on one node for a replica of `definition`; the layers of `filter` must be chosen.
///
/// # Errors
/// 310, with why each pool of the node falls out.
fn pool_on(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    node: &NodeName,
) -> Result<StorPoolName, Refused> {
    let layers = filter.layer_stack.as_deref().unwrap_or_default();
    let request = Request { convert: true, ..Request::new(&draft.cluster, definition, filter, 1, layers) };
    let asked = Asked::of(&request, Kind::Disks);
    let placed = placement::place(&draft.cluster, draft.context.observed, &request);
    let asked = match placed {
        Ok(placement) => asked.placed(placement),
        Err(error) => asked.failed(error),
    };
    let chosen = asked.chosen.first().and_then(|place| place.pool.clone());
    let here: Vec<_> = asked.tried.iter().filter(|one| one.node == *node).cloned().collect();
    let why = asked.failed.clone().unwrap_or_default();
    draft.asked(asked);
    chosen.ok_or_else(|| {
        let reasons = places::lines(&here, placement::MOST_REASONS);
        // Clients look for these words.
        Reply::new(Code::FAIL_NOT_FOUND_STOR_POOL, format!("Autoplacer could not find diskful stor pool on node '{node}'."))
            .cause(if reasons.is_empty() { why } else { reasons.join("; ") })
            .correction("Create a storage pool with enough space on the node, or let the group's filter allow one.")
            .details(reasons.join("\n"))
            .into()
    })
}

/// Makes a diskful replica diskless, or the other way round. Nothing to do: INFO 10007.
///
/// # Errors
/// 234 for an unknown operation, 225 without DRBD, 991 for the last disk, 208 and 310 for a bad pool.
pub(super) fn toggle_disk(
    draft: &mut Draft<'_>,
    name: &str,
    node: &str,
    operation: &str,
    pool: Option<&str>,
    migrate_from: Option<&str>,
) -> Result<(), Refused> {
    draft.about(Operation::Modify, ObjectMask::Resource, &refs(name, node));
    let definition = lookup::definition(&draft.cluster, name)?.clone();
    let resource = (**lookup::resource(&draft.cluster, name, node)?).clone();
    let diskless = resource.flags.has(ResourceFlag::Diskless);
    match operation.to_ascii_uppercase().as_str() {
        "INTO_DRBD_DISKFUL" if !diskless => draft.say(Code::INFO_NOOP, format!("Resource '{name}' on '{node}' has a disk already.")),
        "INTO_DRBD_DISKFUL" => return into_diskful(draft, &definition, &resource, pool, migrate_from),
        "INTO_DRBD_DISKLESS" | "INTO_DRBD_CLIENT" if diskless => {
            draft.say(Code::INFO_NOOP, format!("Resource '{name}' on '{node}' is diskless already."));
        }
        "INTO_DRBD_DISKLESS" | "INTO_DRBD_CLIENT" => return into_diskless(draft, &resource),
        other => {
            return Err(Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{other}' is not an operation of toggle-disk."))
                .correction("Use INTO_DRBD_DISKFUL, INTO_DRBD_DISKLESS or INTO_DRBD_CLIENT.")
                .into());
        }
    }
    Ok(())
}

/// A new replica takes the place of the diskless one: another object, with data of its own.
fn into_diskful(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    resource: &Resource,
    pool: Option<&str>,
    migrate_from: Option<&str>,
) -> Result<(), Refused> {
    without_disk(resource)?;
    idle(&draft.cluster, &resource.name, "given a disk")?;
    let from = migrate_from.map(|node| source(draft, resource, node)).transpose()?;
    let pool = match pool {
        Some(text) => Some(lookup::pool(&draft.cluster, resource.node.as_str(), text)?.name.clone()),
        None => None,
    };
    let Some(from) = from else { return give_disk(draft, definition, resource, pool.as_ref()) };
    let full = make_disk(draft, definition, resource, pool.as_ref())?;
    let to = Awaited { node: full.node.clone(), item: full.id.uuid() };
    draft.say(
        Code::MODIFIED,
        format!(
            "Resource '{}' moves its disk from node '{}' to '{}'; the old one goes when the new one holds the data.",
            full.name, from.node, full.node
        ),
    );
    let made = Made::Disks { flags: resource.flags.clone() };
    draft.start(&resource.name, Task::Move { from, to, step: MoveStep::Fill, made });
    Ok(())
}

/// The replica whose disk moves. Errors 300, 302, and 243 for one that has none.
fn source(draft: &Draft<'_>, resource: &Resource, node: &str) -> Result<Awaited, Refused> {
    let from = lookup::resource(&draft.cluster, resource.name.as_str(), node)?;
    if from.flags.has(ResourceFlag::Diskless) || from.flags.has(ResourceFlag::Delete) {
        return Err(Reply::new(
            Code::FAIL_INVLD_RSC_STATE,
            format!("Resource '{}' has no disk on node '{}' that could move.", from.name, from.node),
        )
        .cause("It is diskless there, or is being deleted.")
        .correction(format!("Name a node that has one: 'linstor resource list -r {}'.", from.name))
        .into());
    }
    Ok(Awaited { node: from.node.clone(), item: from.id.uuid() })
}

/// Refuses what only DRBD can do. Error 225.
fn without_disk(resource: &Resource) -> Result<(), Refused> {
    if resource.layers.contains(&LayerKind::Drbd) {
        return Ok(());
    }
    Err(Reply::new(Code::FAIL_INVLD_LAYER_STACK, format!("Resource '{}' has no DRBD layer.", resource.name))
        .cause("Only DRBD can serve a node without a disk.")
        .correction("Create the definition with the layers DRBD,STORAGE.")
        .into())
}

/// Makes volumes in `pool` for a diskless replica (`None`: as its properties say), and starts the job for it. The caller has checked that
/// nobody else works on it.
pub(crate) fn give_disk(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    resource: &Resource,
    pool: Option<&StorPoolName>,
) -> Result<(), Refused> {
    let full = make_disk(draft, definition, resource, pool)?;
    let replicas = awaited(&full);
    draft.say(Code::MODIFIED, format!("Resource '{}' on '{}' gets a disk.", resource.name, resource.node));
    let made = Made::Disks { flags: resource.flags.clone() };
    draft.start(&resource.name, Task::Create { replicas, made });
    Ok(())
}

/// The same replica with volumes in `pool`.
pub(crate) fn make_disk(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    resource: &Resource,
    pool: Option<&StorPoolName>,
) -> Result<Resource, Refused> {
    super::whole(&draft.cluster, definition)?;
    crate::vault::give_keys(draft, definition, &resource.layers)?;
    let mut full = resource.clone();
    full.flags = ResourceFlags::default();
    draft.new_replicas.insert(full.id.uuid());
    for number in definition.volumes.keys() {
        let source = crate::content::first(&draft.cluster, &full, *number, &draft.new_replicas);
        let volume = super::new_volume(draft, definition, *number, &full, pool, source)?;
        full.volumes.insert(*number, volume);
    }
    crate::placement::mixing::check(&draft.cluster, draft.context.observed, &full)?;
    draft.put(Object::Resource(full.clone()));
    super::follow_quorum(draft, definition);
    crate::blocks::follow(draft, &definition.name);
    Ok(full)
}

fn into_diskless(draft: &mut Draft<'_>, resource: &Resource) -> Result<(), Refused> {
    idle(&draft.cluster, &resource.name, "made diskless")?;
    let disks = draft.cluster.replicas(&resource.name).filter(|replica| !replica.flags.has(ResourceFlag::Diskless)).count();
    if disks <= 1 {
        return Err(Reply::new(Code::FAIL_INSUFFICIENT_REPLICA_COUNT, format!("'{}' has no other disk.", resource.name))
            .cause("Without its last disk the data would be lost.")
            .correction("Create a replica on another node first.")
            .into());
    }
    without_disk(resource)?;
    draft.say(Code::MODIFIED, format!("Resource '{}' on '{}' becomes diskless.", resource.name, resource.node));
    drop_disk(draft, resource, [ResourceFlag::DrbdDiskless].into_iter().collect())
}

/// Lets another, diskless replica with `flags` take the place of one with a disk, which leaves with a tombstone; starts the job for it.
pub(crate) fn drop_disk(draft: &mut Draft<'_>, resource: &Resource, flags: ResourceFlags) -> Result<(), Refused> {
    let Some(node) = draft.cluster.nodes.get(&resource.node).map(|node| node.id) else { return Ok(()) };
    // The disk's volumes leave with a replica of their own, so that the deletion is an item of the node's plan.
    let mut client = resource.clone();
    client.id = draft.context.ids.next();
    client.flags = flags;
    for volume in client.volumes.values_mut() {
        volume.id = draft.context.ids.next();
        volume.pool = lookup::pool_name(berth_model::names::DISKLESS_POOL)?;
        volume.provider = berth_model::layers::ProviderKind::Diskless;
        volume.backing = String::new();
        volume.backing_kib = berth_model::size::Kib(0);
        volume.content = Content { id: volume.content.id, source: ContentSource::Kept };
    }
    let tombstone = berth_model::objects::Tombstone {
        node: resource.node.clone(),
        node_id: node,
        item: crate::plan::absent_resource(&draft.cluster, resource),
        resource: resource.name.clone(),
        snapshot: None,
        ports: std::collections::BTreeSet::new(),
        drbd_node_id: None,
        deleted: draft.context.now,
    };
    let replicas = awaited(&client);
    // The numbers go on with whoever serves the node now.
    let holder = client.id.uuid();
    for key in crate::jobs::numbers_of(&client) {
        draft.put(Object::Number(NumberClaim { key, holder }));
    }
    draft.put(Object::Resource(client));
    draft.put(Object::Tombstone(tombstone));
    draft.start(&resource.name, Task::Activate { replicas, active: true, diskless: true });
    Ok(())
}
