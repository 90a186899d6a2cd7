//! `storage-pool`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use super::select::provider_word;
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, all, flag, leaf, list, many, need, object, one, opt, put, quiet, set};

/// The words for kinds of pools as typed.
pub const KINDS: [&str; 13] = [
    "lvm",
    "lvmthin",
    "zfs",
    "zfsthin",
    "file",
    "filethin",
    "diskless",
    "spdk",
    "remotespdk",
    "storagespaces",
    "storagespacesthin",
    "ebs_initiator",
    "plugin",
];
/// Kinds that have nothing below them.
const WITHOUT_BACKING: [&str; 2] = ["DISKLESS", "EBS_INIT"];
const NAMES: [(&str, &str); 2] = [("NODE", "Node that has the pool"), ("POOL", "Name of the pool")];

pub fn command() -> Command {
    object("storage-pool", &["sp"], "Places for volumes")
        .subcommand(
            quiet(leaf("create", &["c"], "Add a storage pool", "storage-pool create lvmthin alpha fast vg_ssd/thin"))
                .override_usage(
                    "linstor storage-pool create [OPTIONS] <KIND> <NODE> <POOL> [BACKING]\n       linstor storage-pool create [OPTIONS] <NODE> <POOL> <KIND> [BACKING]",
                )
                .arg(
                    words::words("WORDS", "KIND NODE POOL BACKING")
                        .help("KIND: lvm, lvmthin, zfs, zfsthin, file, filethin, diskless, spdk, remotespdk, storagespaces, storagespacesthin, ebs_initiator, plugin.\nBACKING: volume group, VG/THINPOOL, dataset or folder"),
                )
                .arg(opt("shared-space", "Name of the space that this pool shares with pools of other nodes").value_name("NAME"))
                .arg(opt("provider", "Provider that makes the volumes (kind plugin, or where several serve a kind); 'berth plugin list' shows them").value_name("NAME"))
                .arg(flag("external-locking", "Somebody else locks the shared space")),
        )
        .subcommand(quiet(leaf("delete", &["d"], "Forget a storage pool", "storage-pool delete alpha bravo fast")).override_usage("linstor storage-pool delete <NODE>... <POOL>").arg(words::words("WORDS", "Nodes, then the pool's name")))
        .subcommand(
            quiet(leaf("lost", &["lo"], "Give up a pool whose disk is dead, with everything in it", "storage-pool lost alpha fast"))
                .arg(need("NODE", "Node that has the pool"))
                .arg(need("POOL", "Name of the pool")),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List storage pools", "storage-pool list -n alpha"), ShortS::Taken)
                .arg(common::nodes_filter())
                .arg(many("storage-pools", "Only these pools").short('s').value_name("POOL"))
                .arg(common::props_filter()),
        )
        .subcommand(common::list_properties(&NAMES, "storage-pool list-properties alpha fast"))
        .subcommand(common::set_property(&NAMES, "storage-pool set-property alpha fast PrefNic 10G_nic"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let path = ["nodes", one(m, "NODE").unwrap_or_default(), "storage-pools", one(m, "POOL").unwrap_or_default()];
    Ok(match word {
        "create" => Plan::write(create(m)?),
        "delete" => {
            let words = all(m, "WORDS").unwrap_or_default();
            let Some((pool, nodes)) = words.split_last().filter(|(_, nodes)| !nodes.is_empty()) else {
                return Err(BadUsage::new("name at least one node and then the pool"));
            };
            Plan::Write(nodes.iter().map(|node| Call::delete(&["nodes", node, "storage-pools", pool])).collect())
        }
        "lost" => Plan::write(Call::delete(&["berth", "nodes", path[1], "storage-pools", path[3], "lost"])),
        "list" => {
            let call = Call::get(&["view", "storage-pools"])
                .query_each("nodes", list(m, "nodes").unwrap_or_default())
                .query_each("storage_pools", list(m, "storage-pools").unwrap_or_default())
                .query_each("props", list(m, "props").unwrap_or_default());
            Plan::show(call, View::Pools, look(m))
        }
        "list-properties" => common::show_properties(m, Call::get(&path), Some("props")),
        "set-property" => Plan::write(Call::put(&path).body(common::property_body(m))),
        _ => return Err(unknown("storage-pool", word)),
    })
}

fn create(m: &ArgMatches) -> Result<Call, BadUsage> {
    let mut words = all(m, "WORDS").unwrap_or_default();
    let is_kind = |word: Option<&String>| word.is_some_and(|word| KINDS.contains(&word.to_ascii_lowercase().as_str()));
    // Older scripts write NODE POOL KIND; a node may be called like a kind, so the first place decides.
    if !is_kind(words.first()) && is_kind(words.get(2)) {
        words[..3].rotate_right(1);
    }
    let (typed, node, pool, backing) = match words.as_slice() {
        [kind, node, pool] => (kind, node, pool, None),
        [kind, node, pool, backing] => (kind, node, pool, Some(backing)),
        _ => return Err(BadUsage::new("wanted are the kind of pool, a node, the pool's name and what it lies on")),
    };
    if !KINDS.contains(&typed.to_ascii_lowercase().as_str()) {
        return Err(BadUsage::new(format!("'{typed}' is no kind of pool; there are {}", KINDS.join(", "))));
    }
    let kind = provider_word(typed);
    if backing.is_none() && !WITHOUT_BACKING.contains(&kind.as_str()) {
        return Err(BadUsage::new(format!(
            "a pool of kind {typed} needs what it lies on after its name: a volume group, thin pool, dataset or folder"
        )));
    }
    let mut body = Map::new();
    put(&mut body, "storage_pool_name", Some(pool.as_str()));
    put(&mut body, "provider_kind", Some(kind));
    put(&mut body, "external_locking", set(m, "external-locking").then_some(true));
    put(&mut body, "free_space_mgr_name", one(m, "shared-space"));
    let mut props = Map::new();
    put(&mut props, "StorDriver/StorPoolName", backing.map(String::as_str));
    put(&mut props, "StorDriver/Provider", one(m, "provider"));
    put(&mut body, "props", (!props.is_empty()).then_some(props));
    Ok(Call::post(&["nodes", node, "storage-pools"]).body(Value::Object(body)))
}

/// For commands that name one pool or none.
pub fn single(pools: Option<Vec<String>>) -> Result<Option<String>, BadUsage> {
    match pools.as_deref() {
        None | Some([]) => Ok(None),
        Some([pool]) => Ok(Some(pool.clone())),
        Some(_) => Err(BadUsage::new("only one storage pool can be named here")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_has_a_word_of_the_api() {
        for kind in super::KINDS {
            assert_ne!(super::provider_word(kind), kind);
        }
    }
}
