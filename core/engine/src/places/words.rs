//! The words of `berth place` that ask what a command asked the placer.

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::names::{NodeName, StorPoolName};
use berth_model::reply::Reply;

use super::{Asked, Kind};
use crate::command::{Command, FilterRequest};

/// Longest text that people are asked to type.
const MOST: usize = 1000;
/// Unknown names that are shown.
const NAMES: usize = 5;

/// Adds to the entries about failed placements which of the names that were asked for nobody has, and how the whole table is seen.
pub(crate) fn tell_how_to_see_all(cluster: &Cluster, command: &Command, asked: &[Asked], replies: &mut [Reply]) {
    let told = [Code::FAIL_NOT_ENOUGH_NODES, Code::FAIL_UNDECIDABLE_AUTOPLACMENT, Code::FAIL_NOT_FOUND_STOR_POOL];
    let about = replies.iter_mut().filter(|reply| told.contains(&reply.code) && !reply.details.is_empty());
    let mut line = None;
    for reply in about {
        let line = line.get_or_insert_with(|| match words(command) {
            Some(words) if words.len() <= MOST => format!("\nEvery place with its reason: {words}"),
            Some(_) => "\nEvery place with its reason: ask POST /v1/berth/place with this filter.".to_owned(),
            None => String::new(),
        });
        let failed = asked
            .iter()
            .find(|one| one.failed.is_some() && one.resource.as_ref().map(ToString::to_string).as_ref() == reply.refs.get("RscDfn"));
        if let Some(failed) = failed.or_else(|| asked.iter().find(|one| one.failed.is_some())) {
            reply.details.push_str(&unknown(cluster, failed));
        }
        reply.details.push_str(line);
    }
}

/// A line for each kind of names that were asked for and that nobody has.
fn unknown(cluster: &Cluster, asked: &Asked) -> String {
    let node = |text: &str| NodeName::parse(text).is_ok_and(|name| cluster.nodes.contains_key(&name));
    let pool = |text: &str| StorPoolName::parse(text).is_ok_and(|name| cluster.pool_definitions.contains_key(&name));
    let line = |what: &str, list: Option<&Vec<String>>, known: &dyn Fn(&str) -> bool| {
        let unknown: Vec<&String> = list.into_iter().flatten().filter(|text| !known(text)).collect();
        let cut = |text: &&String| text.chars().take(64).collect::<String>();
        let names: Vec<String> = unknown.iter().take(NAMES).map(cut).collect();
        match unknown.len().checked_sub(names.len()) {
            _ if names.is_empty() => String::new(),
            Some(more) if more > 0 => format!("\nNo {what} is called {}, nor {more} others that were named", names.join(", ")),
            Some(_) | None => format!("\nNo {what} is called {}", names.join(", ")),
        }
    };
    let pools = if asked.kind == Kind::Diskless { &asked.filter.storage_pool_diskless_list } else { &asked.filter.storage_pool_list };
    line("node", asked.filter.node_name_list.as_ref(), &node) + &line("storage pool", pools.as_ref(), &pool)
}

/// The command line; `None`: the command places nothing.
fn words(command: &Command) -> Option<String> {
    let mut words = vec!["berth".to_owned(), "place".to_owned()];
    let mut say = |texts: &[&str]| words.extend(texts.iter().map(|text| quoted(text)));
    match command {
        Command::SpawnResource { group, volume_sizes, partial, filter, .. } => {
            say(&["new"]);
            let sizes: Vec<String> = volume_sizes.iter().map(|size| format!("{size}KiB")).collect();
            say(&sizes.iter().map(String::as_str).collect::<Vec<_>>());
            say(&["--group", group]);
            if *partial {
                say(&["--partial"]);
            }
            options(&mut say, filter, None, None);
        }
        Command::Autoplace { resource, filter, diskless_on_remaining, layers } => {
            say(&["resource", resource]);
            options(&mut say, filter, *diskless_on_remaining, layers.as_deref());
        }
        Command::MakeAvailable { resource, node, diskful, layers, .. } => {
            say(&["available", node, resource]);
            if *diskful {
                say(&["--diskful"]);
            }
            list(&mut say, "--layer-list", Some(layers));
        }
        Command::CloneResourceDefinition { source, group, layers, .. } => {
            say(&["clone", source]);
            if let Some(group) = group {
                say(&["--group", group]);
            }
            list(&mut say, "--layer-list", Some(layers));
        }
        Command::RestoreResources { resource, name, nodes, .. } => {
            say(&["restore", resource, name]);
            list(&mut say, "--nodes", Some(nodes));
        }
        Command::AdjustResourceGroup { group, filter } => {
            say(&["adjust"]);
            if let Some(group) = group {
                say(&[group]);
            }
            options(&mut say, filter, None, None);
        }
        Command::ModifyResourceGroup { name, filter, .. } => {
            say(&["group", name]);
            options(&mut say, filter, None, None);
        }
        Command::ModifyResourceDefinition { name, group: Some(group), .. } => say(&["move", name, group]),
        _ => return None,
    }
    Some(words.join(" "))
}

fn list(say: &mut impl FnMut(&[&str]), option: &str, values: Option<&Vec<String>>) {
    if let Some(values) = values.filter(|values| !values.is_empty()) {
        say(&[option, &values.join(",")]);
    }
}

fn options(say: &mut impl FnMut(&[&str]), request: &FilterRequest, remaining: Option<bool>, layers: Option<&[String]>) {
    let filter = &request.filter;
    match (filter.additional_place_count.filter(|more| *more > 0), filter.place_count) {
        (Some(more), _) => say(&["--count", &format!("+{more}")]),
        (None, Some(-1)) => say(&["--count", "max"]),
        (None, Some(count)) => say(&["--count", &count.to_string()]),
        (None, None) => (),
    }
    list(say, "--nodes", filter.node_name_list.as_ref());
    list(say, "--storage-pool", filter.storage_pool_list.as_ref());
    list(say, "--diskless-storage-pool", filter.storage_pool_diskless_list.as_ref());
    list(say, "--do-not-place-with", filter.not_place_with_rsc.as_ref());
    if let Some(regex) = filter.not_place_with_rsc_regex.as_deref().filter(|regex| !regex.is_empty()) {
        say(&["--do-not-place-with-regex", regex]);
    }
    list(say, "--replicas-on-same", filter.replicas_on_same.as_ref());
    list(say, "--replicas-on-different", filter.replicas_on_different.as_ref());
    for (key, most) in filter.x_replicas_on_different_map.iter().flatten() {
        say(&["--x-replicas-on-different", key, &most.to_string()]);
    }
    let layers = layers.filter(|layers| !layers.is_empty()).map(<[String]>::to_vec).or_else(|| request.layer_stack.clone());
    list(say, "--layer-list", layers.as_ref());
    list(say, "--providers", request.provider_list.as_ref());
    match filter.diskless_type.as_deref() {
        Some(kind) if kind.eq_ignore_ascii_case("DRBD_DISKLESS") => say(&["--drbd-diskless"]),
        Some(kind) if kind.eq_ignore_ascii_case("NVME_INITIATOR") => say(&["--nvme-initiator"]),
        Some(_) | None => (),
    }
    if let Some(remaining) = remaining.or(filter.diskless_on_remaining) {
        say(&["--diskless-on-remaining", if remaining { "true" } else { "false" }]);
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+./,=:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
