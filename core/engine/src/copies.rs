//! New resources with the data of others: restore of a snapshot, clone of a resource.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::{DefinitionFlag, NodeFlag, ResourceFlag, SnapshotFlag, VolumeDefinitionFlag, VolumeDefinitionFlags, VolumeFlag};
use berth_model::job::Task;
use berth_model::names::{NodeName, ResourceGroupName, VolumeNumber};
use berth_model::objects::{DrbdDefinition, Resource, ResourceDefinition, SelectFilter};
use berth_model::plan::ContentSource;
use berth_model::props::{Owner, PropChange, Props};
use berth_model::reply::Reply;
use berth_model::snapshot::Snapshot;

use crate::command::{Command, Given};
use crate::draft::{Draft, Refused};
use crate::placement::{self, PlaceError, Placement, Refusal, Request, Tried};
use crate::places::{self, Asked, Kind, Place};
use crate::resources::{NewReplica, deploy, misdirected};
use crate::{lookup, stack, vault};

/// Commands that copy.
///
/// # Errors
/// As the restore and clone operations of REST API v1.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::RestoreVolumeDefinitions { resource, name, to_resource } => {
            draft.about(Operation::Create, ObjectMask::Snapshot, &[]);
            restore_volume_definitions(draft, resource, name, to_resource)
        }
        Command::RestoreResources { resource, name, to_resource, nodes, stor_pool_rename } => {
            draft.about(Operation::Create, ObjectMask::Resource, &[("RscDfn", to_resource)]);
            restore_resources(draft, resource, name, to_resource, nodes, stor_pool_rename)
        }
        Command::CloneResourceDefinition { source, name, external_name, layers, group, props, use_zfs_clone: _, passphrases } => {
            let shown = name.clone().unwrap_or_default();
            draft.about(Operation::Create, ObjectMask::ResourceDefinition, &[("RscDfn", &shown)]);
            let request = CloneRequest {
                name: name.as_deref(),
                external_name: external_name.as_deref(),
                layers,
                group: group.as_deref(),
                props,
                passphrases,
            };
            clone(draft, source, &request)
        }
        other => Err(misdirected(other)),
    }
}

fn complete_snapshot(draft: &Draft<'_>, resource: &str, name: &str) -> Result<std::sync::Arc<Snapshot>, Refused> {
    let snapshot = lookup::snapshot(&draft.cluster, resource, name, Code::FAIL_NOT_FOUND_SNAPSHOT_DFN)?.clone();
    if snapshot.flags.has(SnapshotFlag::Successful) && !snapshot.flags.has(SnapshotFlag::Delete) {
        return Ok(snapshot);
    }
    Err(Reply::new(Code::FAIL_SNAPSHOT_NOT_UPTODATE, format!("Snapshot '{}' is not complete.", snapshot.name))
        .correction("Choose another snapshot: 'linstor snapshot list'.")
        .into())
}

/// Makes the volume definitions of the snapshot on an existing definition: numbers, sizes and encryption, nothing else.
fn restore_volume_definitions(draft: &mut Draft<'_>, resource: &str, name: &str, to: &str) -> Result<(), Refused> {
    let snapshot = complete_snapshot(draft, resource, name)?;
    let mut target = (**lookup::definition(&draft.cluster, to)?).clone();
    if snapshot.volumes.is_empty() {
        draft.reply(Reply::new(Code::WARN_NOT_FOUND, format!("Snapshot '{}' has no volumes.", snapshot.name)));
        return Ok(());
    }
    for (number, snapped) in &snapshot.volumes {
        if target.volumes.contains_key(number) {
            return Err(Reply::new(Code::FAIL_EXISTS_VLM_DFN, format!("'{}' has a volume definition {number} already.", target.name))
                .correction("Restore to a resource definition without volume definitions.")
                .into());
        }
        let mut flags = VolumeDefinitionFlags::default();
        if snapped.flags.has(VolumeDefinitionFlag::Encrypted) {
            flags.set(VolumeDefinitionFlag::Encrypted);
        }
        // A gross size stays one: taken as a usable one, the copy would be larger than what it is made of.
        if snapped.flags.has(VolumeDefinitionFlag::GrossSize) {
            flags.set(VolumeDefinitionFlag::GrossSize);
        }
        let mut volume = crate::definitions::new_volume(draft, &target.layers, snapped.size_kib, flags, Props::default(), None)?;
        // The data of the copy is encrypted as that of its source is, and written in its blocks.
        let source = || draft.cluster.definitions.get(&snapshot.resource).filter(|source| source.id == snapshot.definition);
        volume.passphrase = snapped.passphrase.clone().or_else(|| source()?.volumes.get(number)?.passphrase.clone());
        if let Some(blocks) = snapped.definition_props.get(crate::blocks::BLOCK_SIZE) {
            volume.props.insert_internal(crate::blocks::BLOCK_SIZE, blocks);
        }
        target.volumes.insert(*number, volume);
    }
    let text = format!("Volume definitions of snapshot '{}' restored to '{}'.", snapshot.name, target.name);
    draft.put(Object::ResourceDefinition(target));
    draft.say(Code::DELETED, text);
    Ok(())
}

/// Makes replicas with the snapshot's data on the nodes that have it.
fn restore_resources(
    draft: &mut Draft<'_>,
    resource: &str,
    name: &str,
    to: &str,
    nodes: &[String],
    rename: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let snapshot = complete_snapshot(draft, resource, name)?;
    let target = lookup::definition(&draft.cluster, to)?.clone();
    if draft.cluster.replicas(&target.name).next().is_some() {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC, format!("'{}' has resources already.", target.name))
            .cause("A restore fills a definition that is not deployed.")
            .correction("Restore to a new resource definition.")
            .into());
    }
    if rename.iter().any(|(from, into)| !from.eq_ignore_ascii_case(into)) {
        return Err(Reply::new(Code::FAIL_INVLD_STOR_POOL_NAME, "A snapshot is restored in the pool that it lies in.")
            .cause("Its data shares blocks with that pool and cannot be moved by a restore.")
            .correction("Leave out the renaming of pools; move the restored resource afterwards.")
            .into());
    }
    let mut chosen = Vec::new();
    let leaving = |node: &NodeName| {
        let flags = draft.cluster.nodes.get(node).map(|node| node.flags.clone()).unwrap_or_default();
        [NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete].into_iter().find(|flag| flags.has(*flag))
    };
    let mut left_out = Vec::new();
    for node in snapshot.copies.keys().filter(|_| nodes.is_empty()) {
        match leaving(node) {
            None => chosen.push(node.clone()),
            Some(flag) => left_out.push((node.clone(), Refusal::Leaving(flag.word()))),
        }
    }
    if !nodes.is_empty() {
        let named = |node: &NodeName| nodes.iter().any(|text| text.eq_ignore_ascii_case(node.as_str()));
        left_out.extend(snapshot.copies.keys().filter(|node| !named(node)).map(|node| (node.clone(), Refusal::NodeNotListed)));
    }
    for node in nodes {
        let node = lookup::node(&draft.cluster, node)?.name.clone();
        if !snapshot.copies.contains_key(&node) {
            return Err(Reply::new(Code::FAIL_NOT_FOUND_SNAPSHOT, format!("Node '{node}' has no copy of snapshot '{}'.", snapshot.name))
                .correction("Name nodes from 'linstor snapshot list', or none to restore on all of them.")
                .into());
        }
        if !chosen.contains(&node) {
            chosen.push(node);
        }
    }
    kept_out(draft, &snapshot, &target, &chosen, left_out)?;
    if target.volumes.is_empty() {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Resource definition '{}' has no volumes.", target.name))
                .correction("Restore the volume definitions first: 'linstor snapshot volume-definition restore'."),
        );
    }
    let former = Some(target.props.clone());
    let mut filled = (*target).clone();
    filled.flags.set(DefinitionFlag::RestoreTarget);
    for (key, value) in snapshot.definition_props.iter() {
        filled.props.insert_internal(key, value);
    }
    let explicit = if target.layers.is_empty() { snapshot.layers.clone() } else { target.layers.clone() };
    draft.put(Object::ResourceDefinition(filled));
    let mut replicas = Vec::new();
    for node in chosen {
        let Some(copy) = snapshot.copies.get(&node) else { continue };
        let sources: BTreeMap<VolumeNumber, ContentSource> = copy
            .volumes
            .iter()
            .map(|(number, volume)| (*number, ContentSource::Snapshot { id: volume.id, backing: volume.backing.clone() }))
            .collect();
        let new = NewReplica {
            pool: copy.volumes.values().next().map(|volume| volume.pool.clone()),
            flags: [ResourceFlag::RestoreFromSnapshot].into_iter().collect(),
            props: copy.resource_props.clone(),
            sources,
            ..NewReplica::plain(&target.name, &node, &explicit)
        };
        let awaited = deploy_in_place(draft, new, &snapshot)?;
        replicas.push(awaited);
    }
    draft.say(
        Code::CREATED,
        format!("Resource '{}' is restored from snapshot '{}' of '{}'.", target.name, snapshot.name, snapshot.resource),
    );
    if target.volumes.is_empty() {
        draft.reply(Reply::new(Code::WARN_NOT_FOUND, format!("Nothing of the snapshot's data is in '{}'.", target.name)));
    }
    draft.start(&target.name, Task::Restore { from: snapshot.resource.clone(), snapshot: snapshot.name.clone(), replicas, former });
    Ok(())
}

/// Tells of copies that are left out because their nodes are, and keeps the question. Error 975 where none is left.
fn kept_out(
    draft: &mut Draft<'_>,
    snapshot: &Snapshot,
    target: &ResourceDefinition,
    chosen: &[NodeName],
    left_out: Vec<(NodeName, Refusal)>,
) -> Result<(), Refused> {
    let pool_of = |node: &NodeName| snapshot.copies.get(node)?.volumes.values().next().map(|volume| (volume.pool.clone(), volume.provider));
    let place = |node: &NodeName| Place {
        node: node.clone(),
        pool: pool_of(node).map(|(pool, _)| pool),
        provider: pool_of(node).map(|(_, provider)| provider),
        free: None,
        score: None,
        convert: false,
    };
    let tried: Vec<Tried> = left_out
        .into_iter()
        .map(|(node, why)| Tried { pool: pool_of(&node).map(|(pool, _)| pool), node, why, free: None, score: None })
        .collect();
    let leaving: Vec<Tried> = tried.iter().filter(|one| matches!(one.why, Refusal::Leaving(_))).cloned().collect();
    let filter = SelectFilter::default();
    let request = Request { volumes: placement::wishes(target), ..Request::question(None, &filter, chosen.len(), &snapshot.layers) };
    let asked = Asked {
        resource: Some(target.name.clone()),
        chosen: chosen.iter().map(place).collect(),
        tried,
        failed: chosen.is_empty().then(|| "no copy is where a replica may be".to_owned()),
        ..Asked::of(&request, Kind::Copies)
    };
    draft.asked(asked);
    if leaving.is_empty() {
        return Ok(());
    }
    let details = places::lines(&leaving, placement::MOST_REASONS).join("\n");
    if chosen.is_empty() {
        return Err(Reply::new(Code::FAIL_EVACUATING, format!("Snapshot '{}' has no copy on a node that takes resources.", snapshot.name))
            .cause("Every node with a copy is on its way out.")
            .correction("Bring one of them back with 'linstor node restore', then try again.")
            .details(details)
            .into());
    }
    draft.reply(
        Reply::new(Code::WARN_NO_EFFECT, format!("{} copies of snapshot '{}' are not restored.", leaving.len(), snapshot.name))
            .cause("Their nodes are on their way out.")
            .details(details),
    );
    Ok(())
}

/// As [`deploy`], with each volume in the pool of its copy.
fn deploy_in_place(draft: &mut Draft<'_>, new: NewReplica, snapshot: &Snapshot) -> Result<berth_model::job::Awaited, Refused> {
    let node = new.node.clone();
    let name = new.resource.clone();
    let awaited = deploy(draft, new)?;
    let (Some(resource), Some(copy)) = (draft.cluster.resource(&name, &node).cloned(), snapshot.copies.get(&node)) else {
        return Ok(awaited);
    };
    let mut placed = (*resource).clone();
    for (number, volume) in &mut placed.volumes {
        if let Some(source) = copy.volumes.get(number) {
            volume.pool = source.pool.clone();
            volume.provider = source.provider;
            volume.backing_kib = volume.backing_kib.max(source.backing_kib);
        }
    }
    if placed != *resource {
        draft.put(Object::Resource(placed));
    }
    Ok(awaited)
}

struct CloneRequest<'a> {
    name: Option<&'a str>,
    external_name: Option<&'a str>,
    layers: &'a [String],
    group: Option<&'a str>,
    props: &'a PropChange,
    passphrases: &'a [Given],
}

/// Makes a definition like the source's, with replicas on the nodes of its disks that take its data.
fn clone(draft: &mut Draft<'_>, source: &str, request: &CloneRequest<'_>) -> Result<(), Refused> {
    let source = lookup::definition(&draft.cluster, source)?.clone();
    let (name, external_name) = crate::definitions::name_for(draft, request.name, request.external_name)?;
    lookup::unreserved(&draft.cluster, &Key::ResourceDefinition(name.clone()))?;
    if draft.cluster.definitions.contains_key(&name) {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("Resource definition '{name}' exists already."))
            .cause("The clone needs a name that is free.")
            .correction("Choose another name.")
            .into());
    }
    let mut layers = source.layers.clone();
    if !request.layers.is_empty() {
        layers = stack::parse(draft, request.layers)?;
    }
    crate::resources::idle(&draft.cluster, &source.name, "cloned")?;
    let replicas = cloneable(draft, &source)?;
    if !request.layers.is_empty() && replicas.iter().any(|replica| replica.layers != layers) {
        return Err(Reply::new(Code::FAIL_INVLD_LAYER_STACK, "A clone has the layers of its source.")
            .cause("The data contains what the layers wrote into it.")
            .correction("Leave out the layers, or name those of the source.")
            .into());
    }
    let group = match request.group {
        Some(text) => lookup::group(&draft.cluster, text)?.name.clone(),
        None => source.group.clone(),
    };
    let replicas = copied(draft, &source, replicas, request.group.is_some().then_some(&group))?;
    let props = crate::change_props::changed(draft, Owner::ResourceDefinition, &source.props, request.props)?;
    let mut definition = ResourceDefinition {
        id: draft.context.ids.next(),
        name: name.clone(),
        external_name,
        group,
        layers,
        drbd: DrbdDefinition { port: None, secret: draft.context.secret.clone(), used_node_ids: 0, ..source.drbd.clone() },
        flags: [DefinitionFlag::Cloning].into_iter().collect(),
        props,
        volumes: Few::new(),
        created: draft.context.now,
    };
    if !request.passphrases.is_empty() && request.passphrases.len() != source.volumes.len() {
        return Err(Reply::new(
            Code::FAIL_INVLD_VLM_COUNT,
            format!("{} passphrases were given for {} volumes.", request.passphrases.len(), source.volumes.len()),
        )
        .correction("Give one for each volume of the source, in the order of their numbers, or leave them out.")
        .into());
    }
    let mut passphrases = request.passphrases.iter();
    for (number, volume) in &source.volumes {
        let mut copy =
            crate::definitions::new_volume(draft, &definition.layers, volume.size_kib, volume.flags.clone(), volume.props.clone(), None)?;
        let given = passphrases.next().map(|given| vault::sealed(&draft.cluster, given)).transpose()?.flatten();
        // The data of the copy is encrypted as that of its source is.
        copy.passphrase = given.or_else(|| volume.passphrase.clone());
        definition.volumes.insert(*number, copy);
    }
    let id = definition.id;
    draft.put(Object::ResourceDefinition(definition));
    let mut awaited = Vec::new();
    for replica in &replicas {
        let sources = replica
            .volumes
            .iter()
            .map(|(number, volume)| (*number, ContentSource::Volume { id: volume.id, backing: volume.backing.clone() }));
        let new = NewReplica {
            pool: replica.volumes.values().next().map(|volume| volume.pool.clone()),
            props: replica.props.clone(),
            sources: sources.collect(),
            ..NewReplica::plain(&name, &replica.node, &replica.layers)
        };
        awaited.push(deploy(draft, new)?);
        let Some(made) = draft.cluster.resource(&name, &replica.node).cloned() else { continue };
        let mut marked = (*made).clone();
        for (number, volume) in &mut marked.volumes {
            volume.flags.set(VolumeFlag::Cloning);
            if let Some(from) = replica.volumes.get(number) {
                volume.pool = from.pool.clone();
                volume.provider = from.provider;
                volume.backing_kib = volume.backing_kib.max(from.backing_kib);
            }
        }
        draft.put(Object::Resource(marked));
    }
    draft.reply(
        Reply::new(Code::CREATED, format!("Clone '{name}' of '{}' registered.", source.name))
            .details(format!("UUID: {id}"))
            .refer("UUID", id)
            .refer("RscDfn", &name),
    );
    let job = draft.start(&name, Task::Clone { from: source.name.clone(), replicas: awaited });
    // The caller asks for the state itself; the answer does not wait.
    draft.applied.jobs.retain(|waited| *waited != job);
    Ok(())
}

/// The replicas to copy, with the question that led to them. The data lies where it lies: only the rule of a group that was asked for can
/// leave some out. Error 996 where it leaves none.
fn copied(
    draft: &mut Draft<'_>,
    source: &ResourceDefinition,
    replicas: Vec<Resource>,
    group: Option<&ResourceGroupName>,
) -> Result<Vec<Resource>, Refused> {
    let pool_of = |replica: &Resource| replica.volumes.values().next().and_then(|volume| draft.cluster.pool(&replica.node, &volume.pool));
    let place = |replica: &Resource| Place {
        node: replica.node.clone(),
        pool: replica.volumes.values().next().map(|volume| volume.pool.clone()),
        provider: replica.volumes.values().next().map(|volume| volume.provider),
        free: pool_of(replica)
            .and_then(|pool| placement::space(&draft.cluster, draft.context.observed, pool).ok())
            .map(|space| space.estimate),
        score: None,
        convert: false,
    };
    let layers = replicas.first().map(|replica| replica.layers.clone()).unwrap_or_default();
    let Some(group) = group.and_then(|name| draft.cluster.groups.get(name)).cloned() else {
        let filter = SelectFilter::default();
        let request = Request { volumes: placement::wishes(source), ..Request::question(None, &filter, replicas.len(), &layers) };
        let asked = Asked { chosen: replicas.iter().map(place).collect(), ..Asked::of(&request, Kind::Copies) };
        draft.asked(asked);
        return Ok(replicas);
    };
    let filter = group.filter.clone();
    let request = Request { volumes: placement::wishes(source), ..Request::question(Some(&group), &filter, replicas.len(), &layers) };
    let mut asked = Asked::of(&request, Kind::Copies);
    let mut fitting = Vec::new();
    for replica in &replicas {
        match allowed(draft, &request, replica) {
            Ok(()) => fitting.push(replica),
            Err(tried) => asked.tried.extend(tried),
        }
    }
    // All of those that fit each by itself must keep the rules together.
    let nodes = fitting.iter().map(|replica| replica.node.to_string()).collect();
    let together = SelectFilter { node_name_list: Some(nodes), storage_pool_list: None, provider_list: None, ..filter.clone() };
    let joint = Request { volumes: Vec::new(), filter: &together, count: placement::ALL, ..request.clone() };
    let placed =
        if fitting.is_empty() { Ok(Placement::default()) } else { placement::place(&draft.cluster, draft.context.observed, &joint) };
    let keeps = |replica: &&Resource| placed.as_ref().is_ok_and(|placed| placed.chosen.iter().any(|chosen| chosen.node == replica.node));
    let (kept, left): (Vec<&Resource>, Vec<&Resource>) = fitting.into_iter().partition(keeps);
    asked.tried.extend(left.iter().map(|replica| tried(replica, Refusal::NotTogether)));
    asked.chosen = kept.iter().map(|replica| place(replica)).collect();
    let kept: Vec<Resource> = kept.into_iter().cloned().collect();
    if kept.is_empty() {
        let error = match placed {
            Err(error) if asked.tried.is_empty() => error,
            _ => PlaceError::TooFew { wanted: 1, fitting: 0, tried: asked.tried.clone() },
        };
        let refused = placement::refusal(&error, &request);
        let cause = format!("A clone lies where its source does, and the rule of group '{}' allows none of these places.", group.name);
        draft.asked(asked.failed(error));
        return Err(Refused { replies: refused.replies.into_iter().map(|reply| reply.cause(cause.clone())).collect() });
    }
    if kept.len() < replicas.len() {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("{} of {} replicas are not cloned.", replicas.len() - kept.len(), replicas.len()))
                .cause(format!("The rule of group '{}' does not allow their places.", group.name))
                .details(places::lines(&asked.tried, placement::MOST_REASONS).join("\n"))
                .correction("Place what is missing when the clone is there: 'linstor resource-definition auto-place'."),
        );
    }
    draft.asked(asked);
    Ok(kept)
}

fn tried(replica: &Resource, why: Refusal) -> Tried {
    let pool = replica.volumes.values().next().map(|volume| volume.pool.clone());
    Tried { node: replica.node.clone(), pool, why, free: None, score: None }
}

/// Whether a copy may lie where its source does, by the rules that each place must keep by itself.
fn allowed(draft: &Draft<'_>, request: &Request<'_>, replica: &Resource) -> Result<(), Vec<Tried>> {
    let listed = |list: Option<&Vec<String>>, name: &str| {
        list.filter(|names| !names.is_empty()).is_none_or(|names| names.iter().any(|one| one.eq_ignore_ascii_case(name)))
    };
    if !listed(request.filter.node_name_list.as_ref(), replica.node.as_str()) {
        return Err(vec![tried(replica, Refusal::NodeNotListed)]);
    }
    let pools: Vec<String> = replica.volumes.values().map(|volume| volume.pool.to_string()).collect();
    if !pools.iter().all(|pool| listed(request.filter.storage_pool_list.as_ref(), pool)) {
        return Err(vec![tried(replica, Refusal::PoolNotListed)]);
    }
    let here = SelectFilter {
        node_name_list: Some(vec![replica.node.to_string()]),
        storage_pool_list: Some(pools.into_iter().take(1).collect()),
        ..request.filter.clone()
    };
    let one = Request { filter: &here, count: 1, layers: &replica.layers, ..request.clone() };
    match placement::place(&draft.cluster, draft.context.observed, &one) {
        Ok(_) => Ok(()),
        Err(PlaceError::TooFew { tried: all, .. } | PlaceError::TooHard { tried: all, .. }) => {
            let mut here: Vec<Tried> = all.into_iter().filter(|one| one.node == replica.node).collect();
            here.retain(|one| one.why != Refusal::PoolNotListed);
            Err(if here.is_empty() { vec![tried(replica, Refusal::NotTogether)] } else { here })
        }
        Err(PlaceError::Undecidable { .. } | PlaceError::Contradiction(_) | PlaceError::BadRegex { .. }) => {
            Err(vec![tried(replica, Refusal::NotTogether)])
        }
    }
}

/// The replicas with disks, if every one of them can be copied now. Errors 996, 227, 995.
fn cloneable(draft: &Draft<'_>, source: &ResourceDefinition) -> Result<Vec<Resource>, Refused> {
    let replicas: Vec<Resource> = draft
        .cluster
        .replicas(&source.name)
        .filter(|replica| !replica.flags.has(ResourceFlag::Diskless) && !replica.flags.has(ResourceFlag::Delete))
        .map(|replica| (**replica).clone())
        .collect();
    if replicas.is_empty() {
        return Err(Reply::new(Code::FAIL_NOT_ENOUGH_NODES, format!("'{}' has no replica to clone.", source.name))
            .correction("Place it first: 'linstor resource-definition auto-place'.")
            .into());
    }
    for replica in &replicas {
        if !draft.context.observed.online(&replica.node) {
            return Err(Reply::new(Code::FAIL_NOT_CONNECTED, format!("No connection to satellite '{}'.", replica.node))
                .cause("The clone takes the data of every replica.")
                .correction("Start the satellite and try again.")
                .into());
        }
        for volume in replica.volumes.values() {
            let able = volume.provider.takes_snapshots()
                && draft.context.observed.pool(&replica.node, &volume.pool).is_none_or(|pool| pool.snapshots);
            if !able {
                return Err(Reply::new(
                    Code::FAIL_INVLD_PROVIDER,
                    format!("Pool '{}' on node '{}' cannot clone.", volume.pool, replica.node),
                )
                .cause("A file pool clones by reflink, which its file system cannot do.")
                .correction("Put the pool on XFS or Btrfs, or copy the data by other means.")
                .into());
            }
        }
    }
    Ok(replicas)
}
