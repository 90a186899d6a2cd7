//! Replicas: made, changed, served, grown. Each ends in a job where a satellite has to do something.

use std::collections::BTreeMap;

use berth_model::change::Object;
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::{DefinitionFlag, NodeFlag, ResourceFlag, ResourceFlags, VolumeDefinitionFlag, VolumeFlag, VolumeFlags};
use berth_model::job::{Awaited, Made, Task};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{DISKLESS_POOL, NodeName, ResourceName, StorPoolName, VolumeNumber};
use berth_model::objects::{DrbdResource, Node, Resource, ResourceDefinition, Volume};
use berth_model::observed::Observed;
use berth_model::plan::{Content, ContentSource, PlanItem};
use berth_model::props::{Owner, PropChange, Props, Source};
use berth_model::reply::Reply;
use berth_model::size::Kib;

use crate::command::{Command, ResourceInput};
use crate::draft::{Draft, Refused};
use crate::{content, lookup, numbers, placement, sizes, stack, tiebreaker};

pub(crate) mod serve;

pub use serve::{activate, deactivate, make_available};
pub(crate) use serve::{drop_disk, give_disk, make_disk, unused as unused_replica};

/// A replica to be made.
#[derive(Debug, Clone)]
pub struct NewReplica {
    /// Its definition.
    pub resource: ResourceName,
    /// Its node.
    pub node: NodeName,
    /// Pool of every volume; `None`: resolved for each by the properties.
    pub pool: Option<StorPoolName>,
    /// Its stack, checked, ending with STORAGE.
    pub layers: Vec<LayerKind>,
    /// Flags.
    pub flags: ResourceFlags,
    /// Properties, checked.
    pub props: Props,
    /// A wished DRBD node id.
    pub drbd_node_id: Option<i64>,
    /// Wished DRBD ports; empty: any.
    pub drbd_ports: Vec<i64>,
    /// Where the data of volumes comes from; a number that is missing: fresh.
    pub sources: BTreeMap<VolumeNumber, ContentSource>,
}

impl NewReplica {
    /// A plain new replica.
    #[must_use]
    pub fn plain(resource: &ResourceName, node: &NodeName, layers: &[LayerKind]) -> Self {
        Self {
            resource: resource.clone(),
            node: node.clone(),
            pool: None,
            layers: layers.to_vec(),
            flags: ResourceFlags::default(),
            props: Props::default(),
            drbd_node_id: None,
            drbd_ports: Vec::new(),
            sources: BTreeMap::new(),
        }
    }
}

/// Puts a new replica with a volume for each volume definition. The caller starts the job and has checked that there is none yet.
///
/// # Errors
/// 300, 301, 309 to 311 (no pool), 980 (no space), 975 (node on its way out), 992 (a volume is being deleted), 8xx (no number left).
pub fn deploy(draft: &mut Draft<'_>, new: NewReplica) -> Result<Awaited, Refused> {
    let definition = lookup::definition(&draft.cluster, new.resource.as_str())?.clone();
    let node = lookup::node(&draft.cluster, new.node.as_str())?.clone();
    whole(&draft.cluster, &definition)?;
    crate::vault::keeps_promise(&definition, &new.layers)?;
    if !new.flags.has(ResourceFlag::Diskless) {
        crate::vault::give_keys(draft, &definition, &new.layers)?;
    }
    let definition = lookup::definition(&draft.cluster, new.resource.as_str())?.clone();
    staying(&node)?;
    lookup::unreserved(&draft.cluster, &berth_model::change::Key::Resource(definition.name.clone(), node.name.clone()))?;
    let id = draft.context.ids.next();
    let mut props = new.props.clone();
    if let Some(pool) = new.pool.as_ref().filter(|pool| pool.as_str() != DISKLESS_POOL) {
        // Volumes that are added later go to the same pool.
        if !props.contains(STOR_POOL_NAME) {
            props.insert_internal(STOR_POOL_NAME, pool.as_str());
        }
    }
    let drbd = if new.layers.contains(&LayerKind::Drbd) { Some(claim_drbd(draft, &definition, &node, &new, id)?) } else { None };
    let mut resource = Resource {
        id,
        definition: definition.id,
        name: definition.name.clone(),
        node: node.name.clone(),
        layers: new.layers,
        flags: new.flags,
        drbd,
        volumes: Few::new(),
        props,
        created: draft.context.now,
    };
    draft.new_replicas.insert(id.uuid());
    for number in definition.volumes.keys() {
        let first = || content::first(&draft.cluster, &resource, *number, &draft.new_replicas);
        let source = new.sources.get(number).cloned().unwrap_or_else(first);
        let volume = new_volume(draft, &definition, *number, &resource, new.pool.as_ref(), source)?;
        resource.volumes.insert(*number, volume);
    }
    crate::placement::mixing::check(&draft.cluster, draft.context.observed, &resource)?;
    let awaited = Awaited { node: node.name.clone(), item: resource.id.uuid() };
    draft.put(Object::Resource(resource));
    follow_quorum(draft, &definition);
    crate::blocks::follow(draft, &definition.name);
    Ok(awaited)
}

/// Property that says in which pool a replica's volumes lie.
const STOR_POOL_NAME: &str = "StorPoolName";

fn follow_quorum(draft: &mut Draft<'_>, definition: &ResourceDefinition) {
    if let Some(changed) = with_quorum(&draft.cluster, &definition.name) {
        draft.put(Object::ResourceDefinition(changed));
    }
}

/// The definition with the quorum that its replicas ask for, unless somebody chose one for it, its group or the controller: a majority where one can be told from a
/// minority (three disks, or two and a diskless witness), else off. `None`: it has it. Source: contract, quorum.
pub(crate) fn with_quorum(cluster: &Cluster, name: &ResourceName) -> Option<ResourceDefinition> {
    let (mut disks, mut witnesses) = (0usize, 0usize);
    for replica in cluster.replicas(name).filter(|replica| replica.layers.contains(&LayerKind::Drbd)) {
        if replica.flags.has(ResourceFlag::Diskless) { witnesses += 1 } else { disks += 1 }
    }
    let wanted = if disks >= 3 || (disks == 2 && witnesses >= 1) { "majority" } else { "off" };
    let current = cluster.definitions.get(name)?;
    let is = current.props.get(berth_model::props::QUORUM);
    let wanted = match crate::tiebreaker::chosen_quorum(cluster, current) {
        Some((Source::ResourceDefinition, _)) => return None,
        // That holds which was chosen for all of them.
        Some(_) => None,
        None => Some(wanted),
    };
    if is == wanted {
        return None;
    }
    let mut changed = (**current).clone();
    match wanted {
        Some(wanted) => drop(changed.props.insert_internal(berth_model::props::QUORUM, wanted)),
        None => drop(changed.props.remove(berth_model::props::QUORUM)),
    }
    Some(changed)
}

/// Refuses a definition of which a volume is being deleted: the deletion waits for the replicas that it knows, and would leave the
/// volume of a new one to nobody. Error 992.
fn whole(cluster: &Cluster, definition: &ResourceDefinition) -> Result<(), Refused> {
    let going = definition.volumes.iter().find(|(_, volume)| volume.flags.has(VolumeDefinitionFlag::Delete)).map(|(number, _)| *number);
    // One that is taken back may yet go on.
    let kept = || {
        cluster.jobs_on(&definition.name).find_map(|job| match &job.task {
            Task::Keep { deletion, .. } => match **deletion {
                Task::DeleteVolume { number, .. } => Some(number),
                _ => None,
            },
            _ => None,
        })
    };
    match going.or_else(kept) {
        None => Ok(()),
        Some(number) => Err(Reply::new(
            Code::FAIL_RSC_BUSY,
            format!("'{}' takes no new replica now: its volume {number} is being deleted, or its deletion is taken back.", definition.name),
        )
        .cause("A new replica would have a volume that the deletion does not know.")
        .correction("Wait until that has ended: 'berth job list' shows it.")
        .into()),
    }
}

/// Refuses a node that is on its way out. Error 975.
fn staying(node: &Node) -> Result<(), Refused> {
    let leaving = [NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete].into_iter().find(|flag| node.flags.has(*flag));
    match leaving {
        None => Ok(()),
        Some(flag) => Err(Reply::new(Code::FAIL_EVACUATING, format!("Node '{}' takes no new resources.", node.name))
            .cause(format!("It is marked {flag}."))
            .correction("Choose another node, or bring this one back with 'linstor node restore'.")
            .into()),
    }
}

/// How many more replicas of a definition its peers have room for. Without DRBD nobody counts.
pub(crate) fn free_peers(cluster: &Cluster, definition: &ResourceDefinition, layers: &[LayerKind]) -> usize {
    if !stack::replicates(layers) {
        return usize::MAX;
    }
    let replicas = || cluster.replicas(&definition.name).filter(|replica| !replica.flags.has(ResourceFlag::Delete));
    let made = replicas().filter(|replica| !replica.flags.has(ResourceFlag::Diskless));
    let slots = made.filter_map(|replica| Some(replica.drbd.as_ref()?.peer_slots)).chain([numbers::peer_slots(cluster, definition)]).min();
    (usize::from(slots.unwrap_or(sizes::DEFAULT_PEERS)) + 1).saturating_sub(replicas().count())
}

fn claim_drbd(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    node: &Node,
    new: &NewReplica,
    id: berth_model::ids::Id<berth_model::ids::kind::Resource>,
) -> Result<DrbdResource, Refused> {
    if free_peers(&draft.cluster, definition, &new.layers) == 0 {
        return Err(Reply::new(
            Code::FAIL_INSUFFICIENT_PEER_SLOTS,
            format!("'{}' cannot have a replica more on node '{}'.", definition.name, node.name),
        )
        .cause(format!("The DRBD metadata of its replicas has room for {} peers.", numbers::peer_slots(&draft.cluster, definition)))
        .correction("Delete another replica first, or make a definition with more peer slots (at most 31).")
        .into());
    }
    let holder = id.uuid();
    let (node_id, claim) = numbers::node_id(&draft.cluster, &definition.name, new.drbd_node_id, holder)?;
    draft.put(Object::Number(claim));
    let wished: Vec<i64> = match (new.drbd_ports.is_empty(), definition.drbd.port) {
        (true, Some(port)) => vec![i64::from(port)],
        _ => new.drbd_ports.clone(),
    };
    let (ports, claims) = numbers::ports(&draft.cluster, &node.name, &wished, holder)?;
    for claim in claims {
        draft.put(Object::Number(claim));
    }
    let peer_slots = numbers::peer_slots(&draft.cluster, definition);
    Ok(DrbdResource { node_id, ports, peer_slots })
}

/// A volume of a replica, not yet put.
fn new_volume(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    number: VolumeNumber,
    resource: &Resource,
    pool: Option<&StorPoolName>,
    source: ContentSource,
) -> Result<Volume, Refused> {
    let id = draft.context.ids.next();
    let content = Content { id: draft.context.ids.next(), source };
    let diskless = resource.flags.has(ResourceFlag::Diskless);
    if diskless {
        let pool = match pool {
            Some(name) => name.clone(),
            None => lookup::pool_name(DISKLESS_POOL)?,
        };
        return Ok(Volume {
            id,
            pool,
            provider: ProviderKind::Diskless,
            backing: String::new(),
            backing_kib: Kib(0),
            content: Content { source: ContentSource::Kept, ..content },
            flags: VolumeFlags::default(),
            props: Props::default(),
        });
    }
    let found = match pool {
        Some(name) => lookup::pool(&draft.cluster, resource.node.as_str(), name.as_str())?.clone(),
        None => placement::resolve_pool(&draft.cluster, definition, number, &resource.node, &resource.props)?,
    };
    let mut volume = Volume {
        id,
        pool: found.name.clone(),
        provider: found.provider,
        backing: free_backing(&draft.cluster, &resource.node, &found.name, &backing_name(&resource.name, number)),
        backing_kib: Kib(0),
        content,
        flags: VolumeFlags::default(),
        props: Props::default(),
    };
    volume.backing_kib = size_of(draft.context.observed, definition, number, resource, &volume)?;
    placement::room_for(&draft.cluster, draft.context.observed, &found, volume.backing_kib)?;
    Ok(volume)
}

/// Name of a volume's backing object: `<resource>_<number, five digits>`.
fn backing_name(resource: &ResourceName, number: VolumeNumber) -> String {
    format!("{resource}_{:05}", number.get())
}

/// `wanted`, with a suffix where something of that name may still be in the pool (an object that a tombstone names, or of something
/// that has another name now).
/// The suffix `.-N` cannot come out of a resource's or snapshot's name.
#[must_use]
pub fn free_backing(cluster: &Cluster, node: &NodeName, pool: &StorPoolName, wanted: &str) -> String {
    let taken = |name: &str| {
        let same = |text: &str, in_pool: &StorPoolName| in_pool == pool && text.eq_ignore_ascii_case(name);
        // What was renamed keeps its backing objects.
        cluster.has_strange_backing(node, pool, name)
            || cluster.tombstones_on(node).any(|tombstone| match &tombstone.item {
                PlanItem::Resource(plan) => plan.volumes.iter().any(|volume| same(&volume.backing, &volume.pool)),
                PlanItem::Snapshot(plan) => plan.volumes.iter().any(|volume| same(&volume.backing, &volume.pool)),
            })
    };
    if !taken(wanted) {
        return wanted.to_owned();
    }
    (1u32..).map(|n| format!("{wanted}.-{n}")).find(|name| !taken(name)).unwrap_or_else(|| wanted.to_owned())
}

fn size_of(
    observed: &Observed,
    definition: &ResourceDefinition,
    number: VolumeNumber,
    resource: &Resource,
    volume: &Volume,
) -> Result<Kib, Refused> {
    let Some(wanted) = definition.volumes.get(&number) else { return Ok(Kib(0)) };
    let extent = observed.pool(&resource.node, &volume.pool).map_or(Kib(volume.provider.default_extent_kib()), |pool| pool.extent_kib);
    let geometry = sizes::DrbdGeometry::with_peers(resource.drbd.as_ref().map_or(sizes::DEFAULT_PEERS, |drbd| drbd.peer_slots));
    let gross = wanted.flags.has(VolumeDefinitionFlag::GrossSize);
    let sizes = sizes::backing_size(wanted.size_kib, gross, &resource.layers, extent, geometry).map_err(|error| {
        Refused::from(
            Reply::new(Code::FAIL_INVLD_VLM_SIZE, error.to_string())
                .cause("The size with the metadata of all layers cannot be made.")
                .correction("Choose a size from 4 KiB to 1 PiB."),
        )
    })?;
    Ok(sizes.backing)
}

/// The size that a replica's backing object of a volume must have.
///
/// # Errors
/// 206 if the size with all metadata cannot be made.
pub fn backing_size(
    observed: &Observed,
    definition: &ResourceDefinition,
    number: VolumeNumber,
    resource: &Resource,
) -> Result<Kib, Refused> {
    match resource.volumes.get(&number) {
        Some(volume) if volume.provider != ProviderKind::Diskless => size_of(observed, definition, number, resource, volume),
        Some(_) | None => Ok(Kib(0)),
    }
}

/// Makes the volume of a new volume definition on every replica, and starts the job for it.
///
/// # Errors
/// As [`deploy`].
pub fn add_volume(draft: &mut Draft<'_>, name: &ResourceName, number: VolumeNumber) -> Result<(), Refused> {
    tiebreaker::step_aside(draft, name);
    let definition = lookup::definition(&draft.cluster, name.as_str())?.clone();
    let replicas: Vec<Resource> = draft.cluster.replicas(name).map(|resource| (**resource).clone()).collect();
    let mut awaited = Vec::new();
    for mut resource in replicas {
        if resource.flags.has(ResourceFlag::Delete) {
            continue;
        }
        crate::vault::keeps_promise(&definition, &resource.layers)?;
        crate::vault::give_keys(draft, &definition, &resource.layers)?;
        let volume = new_volume(draft, &definition, number, &resource, None, ContentSource::Fresh)?;
        resource.volumes.insert(number, volume);
        awaited.push(Awaited { node: resource.node.clone(), item: resource.id.uuid() });
        draft.put(Object::Resource(resource));
    }
    if !awaited.is_empty() {
        crate::blocks::follow(draft, name);
        draft.start(name, Task::CreateVolume { number, replicas: awaited });
    }
    Ok(())
}

/// Grows a volume on every replica to the definition's new `size`, and starts the job for it. The caller has checked the size.
///
/// # Errors
/// 980 if a fat pool has no room, 992 while another job resizes it.
pub fn resize(draft: &mut Draft<'_>, name: &ResourceName, number: VolumeNumber, size: Kib) -> Result<(), Refused> {
    idle(&draft.cluster, name, "resized")?;
    tiebreaker::step_aside(draft, name);
    let mut definition = (**lookup::definition(&draft.cluster, name.as_str())?).clone();
    let Some(volume) = definition.volumes.get_mut(&number) else { return Ok(()) };
    let from = volume.size_kib;
    volume.size_kib = size;
    let replicas: Vec<Resource> = draft.cluster.replicas(name).map(|resource| (**resource).clone()).collect();
    if !replicas.is_empty() {
        volume.flags.set(VolumeDefinitionFlag::Resize);
    }
    draft.put(Object::ResourceDefinition(definition.clone()));
    let mut awaited = Vec::new();
    for mut resource in replicas {
        let backing = backing_size(draft.context.observed, &definition, number, &resource)?;
        if let Some(volume) = resource.volumes.get_mut(&number) {
            let more = backing.saturating_sub(volume.backing_kib);
            if let Some(pool) = draft.cluster.pool(&resource.node, &volume.pool).cloned() {
                placement::room_for(&draft.cluster, draft.context.observed, &pool, more)?;
            }
            volume.backing_kib = backing.max(volume.backing_kib);
            volume.flags.set(VolumeFlag::Resize);
        }
        awaited.push(Awaited { node: resource.node.clone(), item: resource.id.uuid() });
        draft.put(Object::Resource(resource));
    }
    if !awaited.is_empty() {
        draft.start(name, Task::Resize { number, from, replicas: awaited });
    }
    Ok(())
}

/// Refuses while a job works on the definition. Error 992; a job that ends by itself is named.
pub fn idle(cluster: &Cluster, name: &ResourceName, what: &str) -> Result<(), Refused> {
    match cluster.jobs_on(name).next() {
        None => Ok(()),
        Some(job) => Err(Reply::new(Code::FAIL_RSC_BUSY, format!("'{name}' cannot be {what} now: a {} is under way.", job.task.word()))
            .cause(format!("Job {} has not ended.", job.id))
            .correction("Wait for it and try again; 'berth job list' says what it waits for.")
            .into()),
    }
}

/// Commands on replicas.
///
/// # Errors
/// As the operations of REST API v1 on resources and volumes.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateResources { resource, replicas } => create(draft, resource, replicas),
        Command::ModifyResource { resource, node, props, drbd_tiebreaker, drbd_client } => {
            draft.about(Operation::Modify, ObjectMask::Resource, &[("RscDfn", resource), ("Node", node)]);
            modify(draft, resource, node, props, *drbd_tiebreaker, *drbd_client)
        }
        Command::ModifyVolume { resource, node, number, props } => modify_volume(draft, resource, node, *number, props),
        Command::MakeAvailable { resource, node, diskful, layers, drbd_tcp_ports } => {
            make_available(draft, resource, node, *diskful, layers, drbd_tcp_ports)
        }
        Command::ActivateResource { resource, node } => activate(draft, resource, node),
        Command::DeactivateResource { resource, node } => deactivate(draft, resource, node),
        Command::ToggleDisk { resource, node, operation, storage_pool, migrate_from } => {
            serve::toggle_disk(draft, resource, node, operation, storage_pool.as_deref(), migrate_from.as_deref())
        }
        other => Err(misdirected(other)),
    }
}

/// A command that came to a module which does not know it: a defect, answered instead of panicking.
#[must_use]
pub fn misdirected(command: &Command) -> Refused {
    Reply::new(Code::FAIL_IMPL_ERROR, format!("Nothing handles the command {command:?}."))
        .cause("This is a defect of Berth.")
        .correction("Report it with the text of this message.")
        .into()
}

fn create(draft: &mut Draft<'_>, name: &str, inputs: &[ResourceInput]) -> Result<(), Refused> {
    draft.about(Operation::Create, ObjectMask::Resource, &[("RscDfn", name)]);
    let definition = lookup::definition(&draft.cluster, name)?.clone();
    if definition.flags.has(DefinitionFlag::Delete) {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("'{}' is being deleted.", definition.name))
            .correction("Wait until it is gone, then create it again.")
            .into());
    }
    let mut awaited = Vec::new();
    for input in inputs {
        if let Some(one) = create_one(draft, &definition, input)? {
            awaited.push(one);
        }
    }
    if !awaited.is_empty() {
        let name = definition.name.clone();
        draft.start(&name, Task::Create { replicas: awaited, made: Made::Replicas });
    }
    Ok(())
}

fn create_one(draft: &mut Draft<'_>, definition: &ResourceDefinition, input: &ResourceInput) -> Result<Option<Awaited>, Refused> {
    let node = lookup::node(&draft.cluster, &input.node)?.clone();
    let there = draft.cluster.resource(&definition.name, &node.name).cloned();
    let tie = there.as_ref().filter(|there| tiebreaker::is_tie(there) && !there.flags.has(ResourceFlag::Delete));
    if there.is_some() && tie.is_none() {
        return Ok(exists_already(draft, definition, &node));
    }
    let layers = stack::for_replica(draft, definition, &input.layer_list, &node.name)?;
    let flags = wanted_flags(&layers, &input.flags)?;
    let change = PropChange { override_props: input.props.clone(), ..PropChange::default() };
    match tie {
        Some(tie) if flags.has(ResourceFlag::Diskless) => {
            let mut client = (**tie).clone();
            client.props = crate::change_props::changed(draft, Owner::Resource, &client.props, &change)?;
            tiebreaker::take_as_client(draft, &client);
            return Ok(None);
        }
        Some(tie) if !tiebreaker::make_way(draft, tie) => return Ok(exists_already(draft, definition, &node)),
        Some(_) | None => {}
    }
    let props = crate::change_props::changed(draft, Owner::Resource, &Props::default(), &change)?;
    let new = NewReplica {
        flags,
        props,
        drbd_node_id: input.drbd_node_id,
        drbd_ports: input.drbd_tcp_ports.clone(),
        ..NewReplica::plain(&definition.name, &node.name, &layers)
    };
    let awaited = deploy(draft, new)?;
    tell_registered(draft, definition, &awaited);
    if definition.volumes.is_empty() {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Resource definition '{}' has no volumes yet.", definition.name))
                .correction("Add one with 'linstor volume-definition create'."),
        );
    }
    Ok(Some(awaited))
}

/// The entries about a new replica and its volumes.
fn tell_registered(draft: &mut Draft<'_>, definition: &ResourceDefinition, new: &Awaited) {
    let Awaited { node, item } = new;
    draft.reply(
        Reply::new(Code::CREATED, format!("New resource '{}' on node '{node}' registered.", definition.name))
            .details(format!("UUID: {item}"))
            .refer("UUID", item),
    );
    for number in definition.volumes.keys() {
        draft.reply(
            Reply::new(Code::CREATED, format!("Volume {number} of '{}' on node '{node}' registered.", definition.name))
                .of(Operation::Create, ObjectMask::Volume)
                .refer("VlmNr", number)
                .refer("Node", node),
        );
    }
}

fn exists_already(draft: &mut Draft<'_>, definition: &ResourceDefinition, node: &Node) -> Option<Awaited> {
    draft.say(Code::INFO_RSC_ALREADY_EXISTS, format!("Resource '{}' is on node '{}' already.", definition.name, node.name));
    None
}

/// The flags of a new replica; `DISKLESS` becomes what the stack makes of it.
fn wanted_flags(layers: &[LayerKind], words: &[String]) -> Result<ResourceFlags, Refused> {
    let mut flags = ResourceFlags::default();
    for word in words {
        let flag = ResourceFlag::parse(word).ok_or_else(|| {
            Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{word}' is not a flag of a resource."))
                .correction("Use DISKLESS, DRBD_DISKLESS, NVME_INITIATOR or INACTIVE.")
        })?;
        let flag = match flag {
            ResourceFlag::Diskless if layers.contains(&LayerKind::Drbd) => ResourceFlag::DrbdDiskless,
            ResourceFlag::Diskless if layers.contains(&LayerKind::Nvme) => ResourceFlag::NvmeInitiator,
            ResourceFlag::Diskless | ResourceFlag::DrbdDiskless | ResourceFlag::NvmeInitiator
                if !layers.contains(&LayerKind::Drbd) && !layers.contains(&LayerKind::Nvme) =>
            {
                return Err(Reply::new(Code::FAIL_INVLD_LAYER_STACK, "A diskless resource needs DRBD or NVME in its layers.")
                    .cause("Without them the node has no way to the data of another.")
                    .correction("Leave out --diskless, or choose layers with DRBD or NVME.")
                    .into());
            }
            other => other,
        };
        flags.set(flag);
    }
    Ok(flags)
}

fn modify(
    draft: &mut Draft<'_>,
    name: &str,
    node: &str,
    props: &PropChange,
    tiebreaker: Option<bool>,
    client: Option<bool>,
) -> Result<(), Refused> {
    let mut resource = (**lookup::resource(&draft.cluster, name, node)?).clone();
    if tiebreaker == Some(true) && client == Some(true) {
        return Err(Reply::new(Code::FAIL_INVLD_CONF, "A resource cannot be tiebreaker and client at once.")
            .correction("Ask for one of drbd_tiebreaker and drbd_client.")
            .into());
    }
    if tiebreaker.is_some() || client.is_some() {
        if !resource.flags.has(ResourceFlag::DrbdDiskless) {
            return Err(Reply::new(Code::FAIL_INVLD_RSC_STATE, "Only a diskless DRBD resource can be tiebreaker or client.")
                .correction("Make it diskless first: 'linstor resource toggle-disk --diskless'.")
                .into());
        }
        resource.flags.clear(ResourceFlag::TieBreaker);
        resource.flags.set(if tiebreaker == Some(true) { ResourceFlag::TieBreaker } else { ResourceFlag::DrbdDiskless });
    }
    resource.props = crate::change_props::changed(draft, Owner::Resource, &resource.props, props)?;
    let id = resource.id;
    let text = format!("Resource '{}' on node '{}' modified.", resource.name, resource.node);
    draft.put(Object::Resource(resource));
    draft.reply(Reply::new(Code::MODIFIED, text).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn modify_volume(draft: &mut Draft<'_>, name: &str, node: &str, number: i64, props: &PropChange) -> Result<(), Refused> {
    draft.about(Operation::Modify, ObjectMask::Volume, &[("RscDfn", name), ("Node", node), ("VlmNr", &number.to_string())]);
    let mut resource = (**lookup::resource(&draft.cluster, name, node)?).clone();
    let number = lookup::volume_number(number)?;
    let Some(volume) = resource.volumes.get_mut(&number) else {
        return Err(Reply::new(Code::FAIL_NOT_FOUND_VLM, format!("Resource '{name}' on node '{node}' has no volume {number}."))
            .correction("List the volumes with 'linstor volume list'.")
            .into());
    };
    volume.props = crate::change_props::changed(draft, Owner::Volume, &volume.props, props)?;
    let id = volume.id;
    draft.put(Object::Resource(resource));
    draft.reply(
        Reply::new(Code::MODIFIED, format!("Volume {number} of '{name}' on node '{node}' modified."))
            .details(format!("UUID: {id}"))
            .refer("UUID", id),
    );
    Ok(())
}
