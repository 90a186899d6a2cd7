//! Resource groups: the template and placement rule of resource definitions. Volume groups are in `groups/volumes.rs`.
//!
//! Every entry about a group says that it creates, whatever the request does: so the API has it.

mod volumes;

use std::collections::BTreeMap;

use berth_model::change::{Key, Object};
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::few::Few;
use berth_model::names::{DEFAULT_GROUP, ResourceGroupName, ResourceName, StorPoolName};
use berth_model::objects::{ResourceGroup, SelectFilter};
use berth_model::props::{Owner, PropChange, Props};
use berth_model::reply::Reply;

use crate::change_props;
use crate::command::{Command, FilterRequest};
use crate::draft::{Draft, Refused};
use crate::resources::misdirected;
use crate::{lookup, placement, stack};

/// Replicas of a group that names no number.
pub const DEFAULT_PLACE_COUNT: i32 = 2;
/// A place count that means as many as fit.
pub const AS_MANY_AS_FIT: i32 = -1;
/// Most elements of a list of a filter.
const LIST_MAX: usize = 4096;
/// Longest text in a list of a filter, in bytes: no name and no property is longer.
const TEXT_MAX: usize = 4096;
/// Changes after which a request about many definitions stops, so that it stays one transaction (at most 100 writes).
const MOST_CHANGES: usize = 80;

/// Commands on resource groups and volume groups.
///
/// # Errors
/// As the operations of REST API v1 on groups.
pub fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateResourceGroup { name, description, filter, peer_slots, props } => {
            draft.about(Operation::Create, ObjectMask::ResourceGroup, &[("RscGrp", name)]);
            create(draft, name, description.as_deref(), filter, *peer_slots, props)
        }
        Command::ModifyResourceGroup { name, description, filter, peer_slots, props } => {
            draft.about(Operation::Create, ObjectMask::ResourceGroup, &[("RscGrp", name)]);
            modify(draft, name, description.as_deref(), filter, *peer_slots, props)
        }
        Command::DeleteResourceGroup { name } => {
            draft.about(Operation::Create, ObjectMask::ResourceGroup, &[("RscGrp", name)]);
            delete(draft, name)
        }
        Command::CreateVolumeGroup { group, number, flags, props } => {
            draft.about(Operation::Create, ObjectMask::VolumeGroup, &[("VlmGrp", group)]);
            volumes::create(draft, group, *number, flags, props)
        }
        Command::ModifyVolumeGroup { group, number, flags, props } => {
            let refs = [("VlmGrp", group.as_str()), ("RscGrp", group.as_str()), ("VlmNr", &number.to_string())];
            draft.about(Operation::Create, ObjectMask::VolumeGroup, &refs);
            volumes::modify(draft, group, *number, flags, props)
        }
        Command::DeleteVolumeGroup { group, number } => {
            draft.about(Operation::Create, ObjectMask::VolumeGroup, &[("VlmGrp", group)]);
            volumes::delete(draft, group, *number)
        }
        other => Err(misdirected(other)),
    }
}

/// Judges a filter as it came in: words of layers and providers, numbers, the regular expression. A field that was not given
/// stays `None`; a list or text that was given empty stays empty (see [`settled`]).
///
/// # Errors
/// 224 and 225 for layers and providers, 234 for a value that means nothing.
pub fn judged(request: &FilterRequest) -> Result<SelectFilter, Refused> {
    bounded(request)?;
    let mut filter = request.filter.clone();
    if let Some(words) = &request.layer_stack {
        // A word of no layer is a fault of the document, not of the group: the entry stands alone.
        filter.layer_stack = Some(stack::read(words).map_err(apart)?.0);
    }
    if let Some(words) = &request.provider_list {
        filter.provider_list = Some(providers(words)?);
    }
    let bad = |what: String, correction: &str| -> Refused { Reply::new(Code::FAIL_INVLD_REQUEST, what).correction(correction).into() };
    if let Some(pattern) = filter.not_place_with_rsc_regex.as_deref().filter(|pattern| !pattern.is_empty()) {
        placement::check_expression(pattern)
            .map_err(|error| bad(format!("{error}."), "Mend not_place_with_rsc_regex, or leave it out."))?;
    }
    let rules = filter.replicas_on_same.iter().chain(&filter.replicas_on_different).flatten();
    if let Some(rule) = rules.into_iter().find(|rule| rule.split_once('=').map_or(rule.as_str(), |(key, _)| key).is_empty()) {
        return Err(bad(format!("'{rule}' names no property."), "Give KEY, or KEY=VALUE for one value of it."));
    }
    if let Some(count) = filter.place_count.filter(|count| *count < AS_MANY_AS_FIT) {
        return Err(Reply::new(Code::FAIL_INVLD_PLACE_COUNT, format!("{count} replicas cannot be placed."))
            .cause("A place count is a number of replicas, or -1 for as many as fit.")
            .correction("Give a count from 1 on.")
            .into());
    }
    if let Some(count) = filter.additional_place_count.filter(|count| *count < 0) {
        return Err(Reply::new(Code::FAIL_INVLD_PLACE_COUNT, format!("{count} more replicas cannot be placed."))
            .cause("A placement makes replicas; it takes none away.")
            .correction("Ask for 1 more or for several; 'linstor resource delete' takes replicas away.")
            .into());
    }
    if let Some((key, count)) = filter.x_replicas_on_different_map.iter().flatten().find(|(key, count)| key.is_empty() || **count < 1) {
        return Err(bad(
            format!("'{key}' with {count} replicas is no rule for placement."),
            "Name a property, and at least 1 replica for each of its values.",
        ));
    }
    if let Some(word) = filter.diskless_type.as_deref().filter(|word| !word.is_empty()) {
        let known = ["DRBD_DISKLESS", "NVME_INITIATOR"].iter().find(|known| known.eq_ignore_ascii_case(word));
        let known =
            known.ok_or_else(|| bad(format!("'{word}' is no kind of diskless replica."), "Choose DRBD_DISKLESS or NVME_INITIATOR."))?;
        filter.diskless_type = Some((*known).to_owned());
    }
    Ok(filter)
}

/// Refuses a filter that is larger than any that a cluster could need: it would be kept with its group and read at each placement.
/// Error 234.
fn bounded(request: &FilterRequest) -> Result<(), Refused> {
    let filter = &request.filter;
    let map: Option<Vec<String>> = filter.x_replicas_on_different_map.as_ref().map(|map| map.keys().cloned().collect());
    let lists = [
        ("node_name_list", &filter.node_name_list),
        ("storage_pool_list", &filter.storage_pool_list),
        ("storage_pool_diskless_list", &filter.storage_pool_diskless_list),
        ("not_place_with_rsc", &filter.not_place_with_rsc),
        ("replicas_on_same", &filter.replicas_on_same),
        ("replicas_on_different", &filter.replicas_on_different),
        ("x_replicas_on_different_map", &map),
        ("layer_stack", &request.layer_stack),
        ("provider_list", &request.provider_list),
    ];
    let bad = |what: String, cause: String, correction: &str| -> Result<(), Refused> {
        Err(Reply::new(Code::FAIL_INVLD_REQUEST, what).cause(cause).correction(correction).into())
    };
    for (name, list) in lists {
        let Some(list) = list else { continue };
        if list.len() > LIST_MAX {
            let cause = format!("It has {} elements; {LIST_MAX} are the most.", list.len());
            return bad(format!("'{name}' is too long."), cause, "Name fewer, or choose by a property of nodes: replicas_on_same.");
        }
        if let Some(text) = list.iter().find(|text| text.len() > TEXT_MAX) {
            let start: String = text.chars().take(40).collect();
            let cause = format!("It has {} bytes; {TEXT_MAX} are the most.", text.len());
            return bad(format!("'{start}…' in '{name}' is too long."), cause, "Give a name, or KEY=VALUE, that exists.");
        }
    }
    Ok(())
}

fn providers(words: &[String]) -> Result<Vec<berth_model::layers::ProviderKind>, Refused> {
    let words: Vec<String> =
        words.iter().map(|word| crate::pools::provider_kind(word).map_or_else(|| word.clone(), |kind| kind.word().to_owned())).collect();
    stack::providers(&words).map_err(apart)
}

fn apart(refused: Refused) -> Refused {
    let alone = |reply: Reply| if reply.code == Code::FAIL_INVLD_LAYER_KIND { reply.alone() } else { reply };
    Refused { replies: refused.replies.into_iter().map(alone).collect() }
}

/// A filter as it is kept: what was given empty is not set, and what belongs to a single request is not kept.
fn settled(mut filter: SelectFilter) -> SelectFilter {
    fn none_if_empty<T>(list: &mut Option<Vec<T>>) {
        if list.as_ref().is_some_and(Vec::is_empty) {
            *list = None;
        }
    }
    none_if_empty(&mut filter.node_name_list);
    none_if_empty(&mut filter.storage_pool_list);
    none_if_empty(&mut filter.storage_pool_diskless_list);
    none_if_empty(&mut filter.not_place_with_rsc);
    none_if_empty(&mut filter.replicas_on_same);
    none_if_empty(&mut filter.replicas_on_different);
    none_if_empty(&mut filter.layer_stack);
    none_if_empty(&mut filter.provider_list);
    filter.x_replicas_on_different_map = filter.x_replicas_on_different_map.filter(|map| !map.is_empty());
    filter.not_place_with_rsc_regex = filter.not_place_with_rsc_regex.filter(|text| !text.is_empty());
    filter.diskless_type = filter.diskless_type.filter(|text| !text.is_empty());
    filter.additional_place_count = None;
    filter
}

/// The number of replicas that a group keeps. `zero`: 0 takes the number back to the default.
fn place_count(wanted: Option<i32>, zero: bool) -> Result<Option<i32>, Refused> {
    match wanted {
        Some(0) if zero => Ok(Some(DEFAULT_PLACE_COUNT)),
        Some(count) if count < 1 => Err(Reply::new(Code::FAIL_INVLD_PLACE_COUNT, format!("{count} is no number of replicas."))
            .cause("A group places at least one replica.")
            .correction(format!("Choose 1 or more, or leave it out for {DEFAULT_PLACE_COUNT}."))
            .into()),
        other => Ok(other),
    }
}

/// Peer slots of new replicas, 1 to 31.
///
/// # Errors
/// 213.
pub(crate) fn peer_slots(wanted: Option<i64>) -> Result<Option<u8>, Refused> {
    let Some(number) = wanted else { return Ok(None) };
    match u8::try_from(number) {
        Ok(slots @ 1..=31) => Ok(Some(slots)),
        Ok(_) | Err(_) => Err(Reply::new(Code::FAIL_INVLD_PROP, format!("{number} is no number of peer slots."))
            .cause("DRBD keeps bitmaps for 1 to 31 peers.")
            .correction("Choose a number in this range, or leave it out for the default.")
            .into()),
    }
}

/// A warning about pools of the filter that no node has: they may come later.
fn tell_unknown_pools(draft: &mut Draft<'_>, filter: &SelectFilter) {
    let named = filter.storage_pool_list.iter().chain(&filter.storage_pool_diskless_list).flatten();
    let known = |text: &str| StorPoolName::parse(text).is_ok_and(|name| draft.cluster.pool_definitions.contains_key(&name));
    let unknown: Vec<&str> = named.map(String::as_str).filter(|text| !known(text)).collect();
    if unknown.is_empty() {
        return;
    }
    let reply = Reply::new(Code::WARN_NOT_FOUND, format!("No node has a storage pool named {}.", unknown.join(" or ")))
        .cause("The filter is kept, but nothing can be placed in a pool that does not exist.")
        .correction("Create the pool, or name another: 'linstor storage-pool list' shows them.")
        .alone();
    draft.reply(reply);
}

fn create(
    draft: &mut Draft<'_>,
    text: &str,
    description: Option<&str>,
    request: &FilterRequest,
    slots: Option<i64>,
    props: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let name = lookup::group_name(text)?;
    lookup::unreserved(&draft.cluster, &Key::ResourceGroup(name.clone()))?;
    if draft.cluster.groups.contains_key(&name) {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_GRP, format!("Resource group '{name}' exists already."))
            .cause("Names are compared without regard to case.")
            .correction("Choose another name, or change the group that is there.")
            .into());
    }
    let mut filter = settled(judged(request)?);
    filter.place_count = place_count(filter.place_count, false)?.or(Some(DEFAULT_PLACE_COUNT));
    let peer_slots = peer_slots(slots)?;
    tell_unknown_pools(draft, &filter);
    let props = change_props::first(Owner::ResourceGroup, props)?.told(draft);
    let id = draft.context.ids.next();
    draft.put(Object::ResourceGroup(ResourceGroup {
        id,
        name: name.clone(),
        description: description.unwrap_or_default().to_owned(),
        filter,
        peer_slots,
        volume_groups: Few::new(),
        props,
        tenant: None,
    }));
    draft
        .reply(Reply::new(Code::CREATED, format!("New resource group '{name}' created.")).details(format!("UUID: {id}")).refer("UUID", id));
    Ok(())
}

fn modify(
    draft: &mut Draft<'_>,
    text: &str,
    description: Option<&str>,
    request: &FilterRequest,
    slots: Option<i64>,
    props: &PropChange,
) -> Result<(), Refused> {
    let mut group = (**lookup::group(&draft.cluster, text)?).clone();
    let mut over = judged(request)?;
    over.place_count = place_count(over.place_count, true)?;
    let before = group.filter.place_count.unwrap_or(DEFAULT_PLACE_COUNT);
    let pools_named = over.storage_pool_list.is_some() || over.storage_pool_diskless_list.is_some();
    group.filter = settled(group.filter.overlaid(&over));
    if let Some(description) = description {
        group.description = description.to_owned();
    }
    if let Some(slots) = peer_slots(slots)? {
        group.peer_slots = Some(slots);
    }
    if pools_named {
        tell_unknown_pools(draft, &group.filter);
    }
    group.props = change_props::changed(draft, Owner::ResourceGroup, &group.props, props)?;
    let more = group.filter.place_count.unwrap_or(DEFAULT_PLACE_COUNT) > before;
    let (id, name) = (group.id, group.name.clone());
    draft.put(Object::ResourceGroup(group));
    draft.reply(Reply::new(Code::MODIFIED, format!("Resource group '{name}' modified.")).details(format!("UUID: {id}")).refer("UUID", id));
    if more {
        place_missing(draft, &name);
    }
    Ok(())
}

/// Places what the definitions of a group miss. What cannot be placed is told and does not undo the change of the group.
fn place_missing(draft: &mut Draft<'_>, group: &ResourceGroupName) {
    let names: Vec<ResourceName> = draft.cluster.definitions_of(group).map(|definition| definition.name.clone()).collect();
    for (at, name) in names.iter().enumerate() {
        if draft.applied.changes.len() >= MOST_CHANGES {
            draft.reply(
                Reply::new(Code::WARN_NO_EFFECT, format!("{} resource definitions of the group were not looked at.", names.len() - at))
                    .cause("One request changes a limited number of things at once.")
                    .correction(format!("Go on with 'linstor resource-group adjust {group}'.")),
            );
            return;
        }
        if let Err(reply) = crate::spawn::place_missing(draft, name) {
            draft.reply(reply);
        }
    }
}

fn delete(draft: &mut Draft<'_>, text: &str) -> Result<(), Refused> {
    let name = lookup::group_name(text)?;
    let Some(group) = draft.cluster.groups.get(&name).cloned() else {
        draft.reply(
            Reply::new(Code::WARN_NOT_FOUND, format!("Resource group '{name}' not found."))
                .cause("It does not exist, or was deleted already."),
        );
        return Ok(());
    };
    let users: Vec<String> = draft.cluster.definitions_of(&name).take(5).map(|definition| format!("'{}'", definition.name)).collect();
    if !users.is_empty() {
        return Err(Reply::new(Code::FAIL_EXISTS_RSC_DFN, format!("Resource group '{}' has resource definitions.", group.name))
            .cause(format!("Among them are {}.", users.join(", ")))
            .correction("Delete these, or move them to another group: 'linstor resource-definition modify NAME --resource-group GROUP'.")
            .into());
    }
    if name.as_str().eq_ignore_ascii_case(DEFAULT_GROUP) {
        return Err(Reply::new(Code::FAIL_IN_USE, format!("Resource group '{}' cannot be deleted.", group.name))
            .cause("Definitions that name no group belong to it.")
            .correction("Change it instead, or leave it.")
            .into());
    }
    draft.delete(Key::ResourceGroup(name));
    let text = format!("Resource group '{}' deleted.", group.name);
    draft.reply(Reply::new(Code::DELETED, text).details(format!("UUID: {}", group.id)).refer("UUID", group.id));
    Ok(())
}

/// The group of definitions that name none, as an empty cluster has it.
pub(crate) fn default_group(id: berth_model::ids::Id<berth_model::ids::kind::ResourceGroup>) -> ResourceGroup {
    ResourceGroup {
        id,
        name: ResourceGroupName::parse(DEFAULT_GROUP).expect("the constant is a name"),
        description: String::new(),
        filter: SelectFilter { place_count: Some(DEFAULT_PLACE_COUNT), ..SelectFilter::default() },
        peer_slots: None,
        volume_groups: Few::new(),
        props: Props::default(),
        tenant: None,
    }
}

#[cfg(test)]
mod tests;
