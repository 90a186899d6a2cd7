//! How replicas are to be placed: the options that fill a select filter.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::common::aux;
use crate::words::{self, BadUsage, list, one, put, set};

/// The API's word for "as many as fit".
const AS_MANY_AS_FIT: i64 = -1;

/// Adds the options of a select filter. `count` is the name of the option that tells how many.
pub fn with_filter(command: Command, count: &'static str) -> Command {
    command
        .arg(words::opt(count, "Replicas with a disk: a number, +N for so many more, or max").value_name("COUNT").allow_hyphen_values(true))
        .arg(words::many("storage-pool", "Only these storage pools").short('s').value_name("POOL"))
        .arg(words::many("diskless-storage-pool", "Only these pools for replicas without a disk").value_name("POOL"))
        .arg(words::many("do-not-place-with", "Not where one of these resources is").value_name("RESOURCE"))
        .arg(words::opt("do-not-place-with-regex", "Not where a resource has a name like this").value_name("REGEX"))
        .arg(words::many("replicas-on-same", "Same value of this node property on all replicas").value_name("KEY[=VALUE]"))
        .arg(words::many("replicas-on-different", "Different values of this node property on all replicas").value_name("KEY[=VALUE]"))
        .arg(
            Arg::new("x-replicas-on-different")
                .long("x-replicas-on-different")
                .num_args(2)
                .action(ArgAction::Append)
                .value_names(["KEY", "N"])
                .help("At most N replicas for each value of this node property"),
        )
        .arg(
            words::many("layer-list", "Layers from top to bottom: drbd, luks, nvme, writecache, cache, bcache, storage")
                .short('l')
                .value_name("LAYER"),
        )
        .arg(
            words::many("providers", "Only pools of these kinds: LVM, LVM_THIN, ZFS, ZFS_THIN, FILE, FILE_THIN, SPDK, REMOTE_SPDK, …")
                .value_name("KIND"),
        )
        .arg(
            Arg::new("diskless-on-remaining")
                .long("diskless-on-remaining")
                .num_args(0..=1)
                .default_missing_value("true")
                .value_name("true|false")
                .help("A replica without a disk on every other node"),
        )
}

/// How a count is written in a document: some requests carry it as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CountAs {
    Number,
    Text,
}

/// The filter asked for by [`with_filter`]'s options; only members that were given. `pools` comes from [`words::settle`].
pub fn filter(matches: &ArgMatches, count: &str, count_as: CountAs, pools: Option<Vec<String>>) -> Result<Map<String, Value>, BadUsage> {
    let mut filter = Map::new();
    if let Some(text) = one(matches, count) {
        put_count(&mut filter, text, count, count_as)?;
    }
    put(&mut filter, "storage_pool_list", pools);
    put(&mut filter, "storage_pool_diskless_list", list(matches, "diskless-storage-pool"));
    put(&mut filter, "not_place_with_rsc", list(matches, "do-not-place-with"));
    put(&mut filter, "not_place_with_rsc_regex", one(matches, "do-not-place-with-regex"));
    put(&mut filter, "replicas_on_same", aux_list(matches, "replicas-on-same"));
    put(&mut filter, "replicas_on_different", aux_list(matches, "replicas-on-different"));
    if let Some(pairs) = words::all(matches, "x-replicas-on-different") {
        let mut map = Map::new();
        for pair in pairs.chunks_exact(2) {
            map.insert(aux(&pair[0]), json!(words::to_number(&pair[1], "--x-replicas-on-different", 1..=1000)?));
        }
        filter.insert("x_replicas_on_different_map".to_owned(), Value::Object(map));
    }
    put(&mut filter, "layer_stack", list(matches, "layer-list"));
    put(
        &mut filter,
        "provider_list",
        list(matches, "providers").map(|kinds| kinds.iter().map(|kind| provider_word(kind)).collect::<Vec<_>>()),
    );
    Ok(filter)
}

/// `--diskless-on-remaining` as a value, if it was given.
pub fn diskless_on_remaining(matches: &ArgMatches) -> Result<Option<bool>, BadUsage> {
    one(matches, "diskless-on-remaining").map(|text| words::to_bool(text, "--diskless-on-remaining")).transpose()
}

/// Adds `--drbd-diskless` and `--nvme-initiator`.
pub fn with_diskless_types(command: Command) -> Command {
    command
        .arg(words::flag("drbd-diskless", "Replicas without a disk that reach the data over DRBD").conflicts_with("nvme-initiator"))
        .arg(words::flag("nvme-initiator", "Replicas without a disk that reach the data over NVMe"))
}

/// The kind of diskless replicas asked for.
pub fn diskless_type(matches: &ArgMatches) -> Option<&'static str> {
    if set(matches, "drbd-diskless") {
        Some("DRBD_DISKLESS")
    } else if set(matches, "nvme-initiator") {
        Some("NVME_INITIATOR")
    } else {
        None
    }
}

/// A body of an autoplace request.
pub fn autoplace_body(matches: &ArgMatches, count: &str, pools: Option<Vec<String>>) -> Result<Value, BadUsage> {
    let mut filter = filter(matches, count, CountAs::Number, pools)?;
    put(&mut filter, "diskless_type", diskless_type(matches));
    let mut body = Map::new();
    // The member is always there: a missing one and null mean the same, and clients have always sent null.
    body.insert("diskless_on_remaining".to_owned(), diskless_on_remaining(matches)?.map_or(Value::Null, Value::Bool));
    put(&mut body, "layer_list", list(matches, "layer-list"));
    body.insert("select_filter".to_owned(), Value::Object(filter));
    Ok(Value::Object(body))
}

/// `3`, `+1`, `max` or `all` into the filter.
fn put_count(filter: &mut Map<String, Value>, text: &str, what: &str, count_as: CountAs) -> Result<(), BadUsage> {
    if let Some(more) = text.strip_prefix('+') {
        let more = words::to_number(more, &format!("--{what}"), 1..=1000)?;
        filter.insert("additional_place_count".to_owned(), json!(more));
        return Ok(());
    }
    let count = match text.to_ascii_lowercase().as_str() {
        "max" | "all" => AS_MANY_AS_FIT,
        _ => i64::try_from(words::to_number(text, &format!("--{what}"), 0..=1000)?).unwrap_or(AS_MANY_AS_FIT),
    };
    let value = match count_as {
        CountAs::Number => json!(count),
        CountAs::Text => json!(count.to_string()),
    };
    filter.insert("place_count".to_owned(), value);
    Ok(())
}

fn aux_list(matches: &ArgMatches, id: &str) -> Option<Vec<String>> {
    list(matches, id).map(|keys| keys.iter().map(|key| aux(key)).collect())
}

/// A provider's word of the API for what people type (`lvmthin`, `LVM_THIN`); what is unknown goes to the controller as typed.
pub fn provider_word(typed: &str) -> String {
    match typed.to_ascii_lowercase().replace('_', "").as_str() {
        "lvm" => "LVM",
        "lvmthin" => "LVM_THIN",
        "zfs" => "ZFS",
        "zfsthin" => "ZFS_THIN",
        "file" => "FILE",
        "filethin" => "FILE_THIN",
        "diskless" => "DISKLESS",
        "spdk" => "SPDK",
        "remotespdk" => "REMOTE_SPDK",
        "storagespaces" => "STORAGE_SPACES",
        "storagespacesthin" => "STORAGE_SPACES_THIN",
        "ebsinit" | "ebsinitiator" => "EBS_INIT",
        "ebstarget" => "EBS_TARGET",
        "plugin" => "PLUGIN",
        _ => return typed.to_owned(),
    }
    .to_owned()
}
