//! Replicas that the cluster places by itself: spawn, autoplace, adjust, and what a group's rule asks of its definitions.

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::flags::{DefinitionFlag, DefinitionFlags, ResourceFlag, VolumeDefinitionFlag, VolumeDefinitionFlags};
use berth_model::job::{Awaited, Made, Task};
use berth_model::layers::LayerKind;
use berth_model::names::{NodeName, ResourceGroupName, ResourceName, VolumeNumber};
use berth_model::objects::{DrbdDefinition, Resource, ResourceDefinition, ResourceGroup, SelectFilter};
use berth_model::props::{Owner, Props};
use berth_model::reply::Reply;
use berth_model::size::Kib;

use crate::command::{Command, FilterRequest, Given};
use crate::draft::{Draft, Refused};
use crate::groups::{AS_MANY_AS_FIT, DEFAULT_PLACE_COUNT};
use crate::placement::{self, PlaceError, Placement, Request};
use crate::places::{Asked, Kind};
use crate::resources::{self, NewReplica, deploy, misdirected};
use crate::{change_props, definitions, groups, lookup, numbers, stack, tiebreaker, vault};

/// Changes after which a request about many definitions stops, so that it stays one transaction (at most 100 puts).
const MOST_CHANGES: usize = 80;

/// What a spawn asks for.
struct Spawn<'a> {
    group: &'a str,
    name: Option<&'a str>,
    external_name: Option<&'a str>,
    sizes: &'a [i64],
    partial: bool,
    definitions_only: bool,
    filter: &'a FilterRequest,
    props: &'a BTreeMap<String, String>,
    peer_slots: Option<i64>,
    passphrases: &'a [Given],
}

/// Commands that place.
///
/// # Errors
/// As spawn, adjust and autoplace of REST API v1; 996 and 988 where nothing can be placed as asked.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::SpawnResource {
            group,
            name,
            external_name,
            volume_sizes,
            partial,
            definitions_only,
            filter,
            props,
            peer_slots,
            passphrases,
        } => {
            let shown = name.clone().unwrap_or_default();
            draft.about(Operation::Create, ObjectMask::ResourceGroup, &[("RscGrp", group), ("RscDfn", &shown)]);
            let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
            let (name, external_name) = (given(name), given(external_name));
            let asked = Spawn {
                group,
                name: name.as_deref(),
                external_name: external_name.as_deref(),
                sizes: volume_sizes,
                partial: *partial,
                definitions_only: *definitions_only,
                filter,
                props,
                peer_slots: *peer_slots,
                passphrases,
            };
            spawn(draft, &asked)
        }
        Command::AdjustResourceGroup { group, filter } => adjust(draft, group.as_deref(), filter),
        Command::Autoplace { resource, filter, diskless_on_remaining, layers } => {
            draft.about(Operation::Create, ObjectMask::Resource, &[("RscDfn", resource)]);
            autoplace(draft, resource, filter, *diskless_on_remaining, layers.as_deref().unwrap_or_default())
        }
        other => Err(misdirected(other)),
    }
}

/// A filter of a request about placement: its entries belong to the request.
fn judged(request: &FilterRequest) -> Result<SelectFilter, Refused> {
    groups::judged(request)
        .map_err(|refused| Refused { replies: refused.replies.into_iter().map(|reply| Reply { alone: false, ..reply }).collect() })
}

fn bad_request(code: Code, what: String, cause: &str, correction: &str) -> Refused {
    Reply::new(code, what).cause(cause).correction(correction).into()
}

/// Makes a definition after a group's template and places it, all or nothing.
fn spawn(draft: &mut Draft<'_>, asked: &Spawn<'_>) -> Result<(), Refused> {
    let group = lookup::group(&draft.cluster, asked.group)?.clone();
    let over = judged(asked.filter)?;
    let filter = group.filter.overlaid(&over);
    if let Some(count) = filter.place_count.filter(|count| *count < 1 && *count != AS_MANY_AS_FIT && !asked.definitions_only) {
        return Err(bad_request(
            Code::FAIL_INVLD_PLACE_COUNT,
            format!("{count} replicas cannot be placed."),
            "A spawned resource has at least one replica.",
            "Give a place count from 1 on, or spawn the definitions only.",
        ));
    }
    let (name, external_name) = definitions::name_for(draft, asked.name, asked.external_name)?;
    lookup::unreserved(&draft.cluster, &Key::ResourceDefinition(name.clone()))?;
    definitions::free_name(draft, &name)?;
    let volumes = volume_wishes(&group, asked)?;
    let peer_slots = groups::peer_slots(asked.peer_slots)?;
    let layers = filter.layer_stack.clone().unwrap_or_default();
    let props = change_props::first(Owner::ResourceDefinition, asked.props)?.told(draft);
    let mut definition = ResourceDefinition {
        id: draft.context.ids.next(),
        name: name.clone(),
        external_name,
        group: group.name.clone(),
        layers,
        drbd: DrbdDefinition { port: None, secret: draft.context.secret.clone(), transport: None, peer_slots, used_node_ids: 0 },
        flags: DefinitionFlags::default(),
        props,
        volumes: Few::new(),
        created: draft.context.now,
    };
    let mut passphrases = asked.passphrases.iter();
    for (number, size_kib, flags) in volumes {
        let mut volume = definitions::new_volume(draft, &definition.layers, size_kib, flags, Props::default(), None)?;
        volume.passphrase = passphrases.next().map(|given| vault::sealed(&draft.cluster, given)).transpose()?.flatten();
        vault::tell_unused(draft, &definition.layers, &volume);
        definition.volumes.insert(number, volume);
        draft.reply(
            Reply::new(Code::CREATED, format!("Volume definition {number} of '{name}' created."))
                .of(Operation::Create, ObjectMask::VolumeDefinition)
                .refer("VlmNr", number),
        );
    }
    let id = definition.id;
    draft.put(Object::ResourceDefinition(definition));
    draft.reply(
        Reply::new(Code::CREATED, format!("Resource definition '{name}' created."))
            .of(Operation::Create, ObjectMask::ResourceDefinition)
            .details(format!("UUID: {id}"))
            .refer("UUID", id),
    );
    if asked.definitions_only {
        draft.reply(
            Reply::new(Code::INFO_NO_RSC_SPAWNED, format!("No resources of '{name}' were placed."))
                .cause("Only the definitions were asked for."),
        );
        return Ok(());
    }
    place(draft, &name, &filter, &[], Made::Definition)
}

/// Number, size and flags of each volume of a spawn. Errors 228 (count), 206 and 996 (size).
fn volume_wishes(group: &ResourceGroup, asked: &Spawn<'_>) -> Result<Vec<(VolumeNumber, Kib, VolumeDefinitionFlags)>, Refused> {
    let templates = group.volume_groups.len();
    if templates != asked.sizes.len() && templates > 0 && !asked.partial {
        return Err(bad_request(
            Code::FAIL_INVLD_VLM_SIZES,
            format!("{} sizes were given, but '{}' has {templates} volume groups.", asked.sizes.len(), group.name),
            "Each volume group needs the size of its volume.",
            "Give one size for each volume group, or ask for a partial spawn.",
        ));
    }
    if !asked.passphrases.is_empty() && asked.passphrases.len() != asked.sizes.len() {
        return Err(bad_request(
            Code::FAIL_INVLD_VLM_COUNT,
            format!("{} passphrases were given for {} volumes.", asked.passphrases.len(), asked.sizes.len()),
            "Each volume takes the passphrase at its place.",
            "Give one for each volume, or null for a volume without one; or leave them out.",
        ));
    }
    let mut free =
        (0..=i64::from(VolumeNumber::MAX)).filter_map(VolumeNumber::new).filter(|number| !group.volume_groups.contains_key(number));
    let mut templates = group.volume_groups.iter();
    let mut volumes = Vec::with_capacity(asked.sizes.len());
    for size in asked.sizes {
        let (number, flags) = match templates.next() {
            Some((number, template)) => {
                (*number, [VolumeDefinitionFlag::GrossSize].into_iter().filter(|flag| template.flags.has(*flag)).collect())
            }
            None => (
                free.next().ok_or_else(|| {
                    bad_request(Code::FAIL_POOL_EXHAUSTED_VLM_NR, "No volume number is left.".to_owned(), "", "Ask for fewer volumes.")
                })?,
                VolumeDefinitionFlags::default(),
            ),
        };
        volumes.push((number, volume_size(*size, number, asked.definitions_only)?, flags));
    }
    Ok(volumes)
}

fn volume_size(size: i64, number: VolumeNumber, definitions_only: bool) -> Result<Kib, Refused> {
    let too_large = u64::try_from(size).is_ok_and(|kib| Kib(kib) > Kib::VOLUME_MAX);
    if too_large && !definitions_only {
        // Nothing can hold it: said as placement says it.
        return Err(bad_request(
            Code::FAIL_NOT_ENOUGH_NODES,
            format!("No storage pool can hold a volume of {size} KiB."),
            &format!("The largest volume has {}.", Kib::VOLUME_MAX),
            "Choose a smaller size.",
        ));
    }
    let about = |reply: Reply| reply.of(Operation::Create, ObjectMask::VolumeDefinition).refer("VlmNr", number);
    definitions::check_size(size).map_err(|refused| Refused { replies: refused.replies.into_iter().map(about).collect() })
}

/// Places replicas of a definition that is there.
fn autoplace(
    draft: &mut Draft<'_>,
    resource: &str,
    request: &FilterRequest,
    diskless_on_remaining: Option<bool>,
    layers: &[String],
) -> Result<(), Refused> {
    let definition = lookup::definition(&draft.cluster, resource)?.clone();
    if definition.flags.has(DefinitionFlag::Delete) {
        return Err(bad_request(
            Code::FAIL_EXISTS_RSC_DFN,
            format!("'{}' is being deleted.", definition.name),
            "It takes no new resources.",
            "Wait until it is gone, then create it again.",
        ));
    }
    let over = judged(request)?;
    let mut requested = stack::parse(draft, layers)?;
    if requested.is_empty() {
        requested = over.layer_stack.clone().unwrap_or_default();
    }
    let mut filter = lookup::group(&draft.cluster, definition.group.as_str())?.filter.overlaid(&over);
    filter.diskless_on_remaining = diskless_on_remaining.or(filter.diskless_on_remaining);
    place(draft, &definition.name, &filter, &requested, Made::Replicas)
}

/// Gives every definition of a group (of all groups) what the rule asks for. What cannot be placed is told and holds up no other.
fn adjust(draft: &mut Draft<'_>, group: Option<&str>, request: &FilterRequest) -> Result<(), Refused> {
    let refs: Vec<(&str, &str)> = group.iter().map(|text| ("RscGrp", *text)).collect();
    draft.about(Operation::Create, ObjectMask::ResourceGroup, &refs);
    let over = judged(request)?;
    let chosen: Vec<ResourceGroupName> = match group {
        Some(text) => vec![lookup::group(&draft.cluster, text)?.name.clone()],
        None => draft.cluster.groups.keys().cloned().collect(),
    };
    let requested = over.layer_stack.clone().unwrap_or_default();
    let mut left = 0usize;
    for name in chosen {
        let Some(filter) = draft.cluster.groups.get(&name).map(|group| group.filter.overlaid(&over)) else { continue };
        let members: Vec<ResourceName> = draft.cluster.definitions_of(&name).map(|definition| definition.name.clone()).collect();
        let from = draft.applied.replies.len();
        for member in members {
            if draft.cluster.definitions.get(&member).is_none_or(|definition| definition.flags.has(DefinitionFlag::Delete)) {
                continue;
            }
            if draft.applied.changes.len() >= MOST_CHANGES {
                left += 1;
                continue;
            }
            if let Err(refused) = attempt(draft, |draft| place(draft, &member, &filter, &requested, Made::Replicas)) {
                let told =
                    refused.replies.into_iter().map(|reply| reply.of(Operation::Create, ObjectMask::Resource).refer("RscDfn", &member));
                draft.applied.replies.extend(told);
            }
        }
        if group.is_none() {
            for reply in draft.applied.replies.iter_mut().skip(from) {
                reply.refs.insert("RscGrp".to_owned(), name.to_string());
            }
        }
    }
    if left > 0 {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("{left} definitions were not looked at."))
                .cause("One request changes a limited number of things at once.")
                .correction("Repeat the request for the rest."),
        );
    }
    Ok(())
}

/// Places what a definition misses by the rule of its group; does nothing where it has enough. A refusal changes nothing.
///
/// # Errors
/// 996, 988, 985 or what else keeps replicas from being made, about the resource.
#[allow(clippy::result_large_err)] // Once for each request; callers push the entry as it is.
pub fn place_missing(draft: &mut Draft<'_>, resource: &ResourceName) -> Result<(), Reply> {
    place_up_to(draft, resource, None)
}

/// The same, where `count` replicas with a disk are wanted whatever the group says of their number; `None`: as many as it says.
///
/// # Errors
/// As [`place_missing`].
#[allow(clippy::result_large_err)] // As there.
pub fn place_up_to(draft: &mut Draft<'_>, resource: &ResourceName, count: Option<usize>) -> Result<(), Reply> {
    let Some(definition) = draft.cluster.definitions.get(resource).cloned() else { return Ok(()) };
    let Some(group) = draft.cluster.groups.get(&definition.group).cloned() else { return Ok(()) };
    let mut filter = group.filter.clone();
    if let Some(count) = count {
        let place_count = Some(i32::try_from(count).unwrap_or(i32::MAX));
        filter = SelectFilter { place_count, additional_place_count: None, diskless_type: None, ..filter };
    }
    if definition.flags.has(DefinitionFlag::Delete) || missing(draft, &definition, &filter) <= 0 {
        return Ok(());
    }
    let about = |reply: Reply| reply.of(Operation::Create, ObjectMask::Resource).refer("RscDfn", resource);
    let from = draft.applied.replies.len();
    match attempt(draft, |draft| place(draft, resource, &filter, &[], Made::Replicas)) {
        Ok(()) => {
            let told = draft.applied.replies.split_off(from);
            draft.applied.replies.extend(told.into_iter().map(about));
            Ok(())
        }
        Err(refused) => {
            let error = refused.replies.into_iter().find(Reply::is_error);
            Err(about(error.unwrap_or_else(|| Reply::new(Code::FAIL_NOT_ENOUGH_NODES, format!("'{resource}' cannot be placed.")))))
        }
    }
}

/// Does something to the draft, all or nothing.
pub(crate) fn attempt(draft: &mut Draft<'_>, work: impl FnOnce(&mut Draft<'_>) -> Result<(), Refused>) -> Result<(), Refused> {
    let before = draft.cluster.clone();
    let lengths = (draft.applied.changes.len(), draft.applied.replies.len(), draft.applied.jobs.len());
    let outcome = work(draft);
    if outcome.is_err() {
        draft.cluster = before;
        draft.applied.changes.truncate(lengths.0);
        draft.applied.replies.truncate(lengths.1);
        draft.applied.jobs.truncate(lengths.2);
    }
    outcome
}

/// How many replicas a definition misses by a filter; below 0: it has more. Counted are replicas that hold data and stay,
/// or with a diskless type those without data.
fn missing(draft: &Draft<'_>, definition: &ResourceDefinition, filter: &SelectFilter) -> i64 {
    if let Some(more) = filter.additional_place_count.filter(|more| *more > 0) {
        return i64::from(more);
    }
    let leaving = [ResourceFlag::Delete, ResourceFlag::Evicted, ResourceFlag::Evacuate];
    let diskless = diskless_flag(filter).is_some();
    let counts = |replica: &&std::sync::Arc<Resource>| {
        !leaving.iter().any(|flag| replica.flags.has(*flag))
            && replica.flags.has(ResourceFlag::Diskless) == diskless
            && !tiebreaker::is_tie(replica)
            && !crate::balance::census::skips_disk(&draft.cluster, replica)
    };
    let there = draft.cluster.replicas(&definition.name).filter(counts).count();
    i64::from(filter.place_count.unwrap_or(DEFAULT_PLACE_COUNT)) - i64::try_from(there).unwrap_or(i64::MAX)
}

fn diskless_flag(filter: &SelectFilter) -> Option<ResourceFlag> {
    match filter.diskless_type.as_deref() {
        Some("DRBD_DISKLESS") => Some(ResourceFlag::DrbdDiskless),
        Some("NVME_INITIATOR") => Some(ResourceFlag::NvmeInitiator),
        Some(_) | None => None,
    }
}

/// Places what a definition misses by a filter, with the entries of the answer, and starts the job.
/// `requested`: layers of the request, which go before those of the definition. `made`: what the request made beside the replicas.
fn place(draft: &mut Draft<'_>, name: &ResourceName, filter: &SelectFilter, requested: &[LayerKind], made: Made) -> Result<(), Refused> {
    let definition = lookup::definition(&draft.cluster, name.as_str())?.clone();
    let remaining = filter.diskless_on_remaining == Some(true);
    let known = stack::chosen(&draft.cluster, &definition, requested);
    if remaining || diskless_flag(filter).is_some() {
        reachable_without_disk(&definition, known.as_deref().unwrap_or(stack::REPLICATED))?;
    }
    let mut awaited = Vec::new();
    let mut layers = known;
    let all = all_that_fit(filter);
    let count = if all { Ok(placement::ALL) } else { usize::try_from(missing(draft, &definition, filter)) };
    match count {
        Err(_) => enough(draft, &definition, filter, "nothing is removed"),
        Ok(0) => enough(draft, &definition, filter, "nothing is to be done"),
        Ok(count) => match diskless_flag(filter) {
            Some(flag) => {
                let stack = layers.clone().unwrap_or_else(|| stack::REPLICATED.to_vec());
                awaited.extend(diskless(draft, &definition, &stack, filter, flag, Some(count))?);
            }
            None => {
                let (asked, placement) = match decide(draft, &definition, filter, requested, count) {
                    // As many as fit is none more where there are some.
                    Err(refused)
                        if all
                            && refused.replies.iter().any(|reply| reply.code == Code::FAIL_NOT_ENOUGH_NODES)
                            && placement::diskful(&draft.cluster, &definition).next().is_some() =>
                    {
                        enough(draft, &definition, filter, "no other place fits");
                        return Ok(());
                    }
                    outcome => outcome?,
                };
                if all && placement.chosen.is_empty() {
                    enough(draft, &definition, filter, "no other place fits");
                    draft.asked(asked.placed(placement));
                    return Ok(());
                }
                let made = deploy_chosen(draft, &definition, filter, &asked.layers, &placement);
                layers = Some(asked.layers.clone());
                draft.asked(asked.placed(placement));
                awaited.extend(made?);
            }
        },
    }
    if remaining {
        let stack = layers.unwrap_or_else(|| stack::REPLICATED.to_vec());
        reachable_without_disk(&definition, &stack)?;
        let flag = if stack::replicates(&stack) { ResourceFlag::DrbdDiskless } else { ResourceFlag::NvmeInitiator };
        awaited.extend(diskless(draft, &definition, &stack, &SelectFilter::default(), flag, None)?);
    }
    if awaited.is_empty() {
        return Ok(());
    }
    if definition.volumes.is_empty() {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Resource definition '{name}' has no volumes yet."))
                .correction("Add one with 'linstor volume-definition create'."),
        );
    }
    draft.start(name, Task::Create { replicas: awaited, made });
    Ok(())
}

/// Whether a filter asks for as many replicas as fit.
fn all_that_fit(filter: &SelectFilter) -> bool {
    filter.additional_place_count.is_none_or(|more| more <= 0) && filter.place_count == Some(AS_MANY_AS_FIT)
}

/// Refuses diskless replicas that no layer could give data. Error 225.
fn reachable_without_disk(definition: &ResourceDefinition, layers: &[LayerKind]) -> Result<(), Refused> {
    if layers.contains(&LayerKind::Drbd) || layers.contains(&LayerKind::Nvme) {
        return Ok(());
    }
    Err(bad_request(
        Code::FAIL_INVLD_LAYER_STACK,
        format!("'{}' cannot have diskless resources.", definition.name),
        "Without DRBD or NVME in its layers a node has no way to the data of another.",
        "Leave out the diskless resources, or choose layers with DRBD or NVME.",
    ))
}

fn enough(draft: &mut Draft<'_>, definition: &ResourceDefinition, filter: &SelectFilter, then: &str) {
    let nodes: Vec<String> = placement::diskful(&draft.cluster, definition).map(|replica| replica.node.to_string()).collect();
    let wanted = if all_that_fit(filter) {
        "as many as fit".to_owned()
    } else {
        filter.place_count.unwrap_or(DEFAULT_PLACE_COUNT).max(0).to_string()
    };
    draft.reply(
        Reply::new(
            Code::WARN_RSC_ALREADY_DEPLOYED,
            format!("'{}' has {} replicas, {wanted} are wanted: {then}.", definition.name, nodes.len()),
        )
        .details(if nodes.is_empty() { "It is on no node.".to_owned() } else { format!("It is on {}.", nodes.join(", ")) }),
    );
}

/// The question for new replicas, with their stack, and their places. Errors 996, 985, 234; 988 where several replicas would need DRBD and
/// no node has it.
fn decide(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    requested: &[LayerKind],
    count: usize,
) -> Result<(Asked, Placement), Refused> {
    let observed = draft.context.observed;
    let run = |draft: &mut Draft<'_>, layers: &[LayerKind]| {
        // A diskless replica gets a disk, unless somebody works on the definition already.
        let convert = draft.cluster.jobs_on(&definition.name).next().is_none();
        let mut request = Request { convert, ..Request::new(&draft.cluster, definition, filter, count, layers) };
        let mut placed = placement::place(&draft.cluster, observed, &request);
        let room = resources::free_peers(&draft.cluster, definition, layers);
        if count == placement::ALL && placed.as_ref().is_ok_and(|placed| placed.chosen.len() > room) {
            request.count = room;
            placed = placement::place(&draft.cluster, observed, &request);
        }
        let asked = Asked::of(&request, Kind::Disks);
        match placed {
            Ok(placed) => Ok((asked, placed)),
            Err(error) => {
                let refused = placement::refusal(&error, &request);
                draft.asked(asked.failed(error));
                Err(refused)
            }
        }
    };
    if let Some(layers) = stack::chosen(&draft.cluster, definition, requested) {
        return run(draft, &layers);
    }
    let there = placement::diskful(&draft.cluster, definition).count();
    if there == 0 && placement::any_can(&draft.cluster, observed, filter, LayerKind::Drbd) {
        return run(draft, stack::REPLICATED);
    }
    // First whether there are places at all: only where there are is DRBD what is missing.
    let plain = run(draft, stack::PLAIN)?;
    let replicas = there + plain.1.chosen.len();
    if replicas > 1 { Err(stack::needs_drbd(&definition.name, replicas)) } else { Ok(plain) }
}

fn deploy_chosen(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    filter: &SelectFilter,
    layers: &[LayerKind],
    placement: &Placement,
) -> Result<Vec<Awaited>, Refused> {
    let mut awaited = Vec::with_capacity(placement.chosen.len());
    let mut lines = Vec::with_capacity(placement.chosen.len());
    let nodes: Vec<String> = placement.chosen.iter().map(|chosen| chosen.node.to_string()).collect();
    let mut summary = Reply::new(Code::CREATED, format!("Resource '{}' placed on {}.", definition.name, nodes.join(", ")));
    for (index, chosen) in placement.chosen.iter().enumerate() {
        summary = summary
            .refer(&format!("Node/{index}"), &chosen.node)
            // One pool holds all volumes of a replica.
            .refer(&format!("StoragePool/{index}/0"), format!("{},{}", chosen.pool.name, chosen.pool.provider));
        lines.push(format!("{}: pool {} ({}), {} could be promised", chosen.node, chosen.pool.name, chosen.pool.provider, chosen.free));
        if chosen.convert
            && let Some(replica) = draft.cluster.resource(&definition.name, &chosen.node).cloned()
        {
            resources::give_disk(draft, definition, &replica, Some(&chosen.pool.name))?;
            continue;
        }
        let mut new = NewReplica { pool: Some(chosen.pool.name.clone()), ..NewReplica::plain(&definition.name, &chosen.node, layers) };
        if let Some(ports) = filter.port_count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 1)
            && stack::replicates(layers)
        {
            new.drbd_ports = numbers::free_ports(&draft.cluster, &chosen.node, ports)?;
        }
        awaited.push(deploy(draft, new)?);
        draft.reply(
            Reply::new(Code::CREATED, format!("Resource '{}' on node '{}' registered.", definition.name, chosen.node))
                .of(Operation::Create, ObjectMask::Resource),
        );
    }
    lines.push(format!("Layers: {}", stack::text(layers)));
    if !stack::replicates(layers) && placement::diskful(&draft.cluster, definition).nth(1).is_some() {
        lines.push("These layers do not replicate: each replica has data of its own.".to_owned());
    }
    draft.reply(summary.details(lines.join("\n")));
    Ok(awaited)
}

/// The tiebreaker of a definition, if its node may have one of the diskless resources that are asked for.
fn tie_that_fits(draft: &Draft<'_>, definition: &ResourceDefinition, filter: &SelectFilter) -> Option<Resource> {
    let tie = draft.cluster.replicas(&definition.name).find(|one| tiebreaker::is_tie(one) && !one.flags.has(ResourceFlag::Delete))?;
    let node = draft.cluster.nodes.get(&tie.node)?;
    placement::node_fits(draft.context.observed, node, filter).is_ok().then(|| (**tie).clone())
}

/// Makes diskless replicas: `count` of them, or on every node that can. Error 996 if there are too few nodes.
fn diskless(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    layers: &[LayerKind],
    filter: &SelectFilter,
    flag: ResourceFlag,
    count: Option<usize>,
) -> Result<Vec<Awaited>, Refused> {
    let count = match tie_that_fits(draft, definition, filter).filter(|_| flag == ResourceFlag::DrbdDiskless) {
        // A tiebreaker is the first of them.
        Some(tie) => {
            tiebreaker::take_as_client(draft, &tie);
            match count {
                Some(1) => return Ok(Vec::new()),
                Some(count) => count.checked_sub(1),
                None => None,
            }
        }
        None => count,
    };
    let mut request =
        Request { volumes: Vec::new(), ..Request::new(&draft.cluster, definition, filter, count.unwrap_or(placement::ALL), layers) };
    let mut placed = placement::place_diskless(&draft.cluster, draft.context.observed, &request);
    let room = resources::free_peers(&draft.cluster, definition, layers);
    if count.is_none()
        && let Some(more) = placed.as_ref().ok().and_then(|placed| placed.chosen.len().checked_sub(room)).filter(|more| *more > 0)
    {
        draft.reply(
            Reply::new(Code::WARN_NO_EFFECT, format!("{more} nodes get no diskless resource of '{}'.", definition.name))
                .cause(format!("Its DRBD metadata has room for {} peers.", numbers::peer_slots(&draft.cluster, definition)))
                .correction("Make the definition with more peer slots, at most 31."),
        );
        request.count = room;
        placed = placement::place_diskless(&draft.cluster, draft.context.observed, &request);
    }
    let asked = Asked::of(&request, Kind::Diskless);
    let asked = match placed {
        Ok(placed) => asked.placed(placed),
        // Nobody counts them: none is left is as good as any.
        Err(error @ PlaceError::TooFew { .. }) if count.is_none() => Asked { failed: None, ..asked.failed(error) },
        Err(error) => {
            let refused = placement::refusal(&error, &request);
            draft.asked(asked.failed(error));
            return Err(refused);
        }
    };
    let nodes: Vec<NodeName> = asked.chosen.iter().map(|place| place.node.clone()).collect();
    draft.asked(asked);
    let mut awaited = Vec::with_capacity(nodes.len());
    for node in nodes {
        let new = NewReplica { flags: [flag].into_iter().collect(), ..NewReplica::plain(&definition.name, &node, layers) };
        awaited.push(deploy(draft, new)?);
        draft.reply(
            Reply::new(Code::CREATED, format!("Diskless resource '{}' on node '{node}' registered.", definition.name))
                .of(Operation::Create, ObjectMask::Resource),
        );
    }
    Ok(awaited)
}

#[cfg(test)]
mod tests;
