//! `physical-storage`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::size::parse_kib;
use crate::words::{self, BadUsage, all, flag, leaf, must, need, object, one, opt, put, quiet, set};

pub fn command() -> Command {
    object("physical-storage", &["ps"], "Disks that nothing uses yet")
        .subcommand(common::list_options(leaf("list", &["l"], "List unused disks", "physical-storage list"), ShortS::ShowProps))
        .subcommand(
            quiet(leaf(
                "create-device-pool",
                &["cdp"],
                "Make a storage pool from disks",
                "physical-storage create-device-pool lvmthin alpha /dev/sdb --pool-name tank --storage-pool fast",
            ))
            .arg(need("KIND", "lvm, lvmthin, zfs, zfsthin or spdk"))
            .arg(need("NODE", "Name of the node"))
            .arg(words::words("DEVICE", "Paths of the disks").required(true).num_args(1..))
            .arg(opt("pool-name", "Name of the volume group or zpool").value_name("NAME").required(true))
            .arg(opt("storage-pool", "Also make this storage pool of it").value_name("NAME"))
            .arg(flag("vdo-enable", "With VDO below"))
            .arg(opt("vdo-logical-size", "Size that VDO shows").value_name("SIZE"))
            .arg(opt("vdo-slab-size", "Size of a slab of VDO").value_name("SIZE"))
            .arg(flag("sed", "Encrypt by the disks themselves")),
        )
}

fn kib(text: &str) -> Result<u64, BadUsage> {
    parse_kib(text).map_err(|bad| BadUsage::new(bad.to_string()))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list" => Plan::show(Call::get(&["physical-storage"]), View::PhysicalStorage, look(m)),
        "create-device-pool" => {
            let mut body = Map::new();
            put(&mut body, "provider_kind", one(m, "KIND"));
            put(&mut body, "device_paths", all(m, "DEVICE"));
            put(&mut body, "pool_name", one(m, "pool-name"));
            put(&mut body, "vdo_enable", Some(set(m, "vdo-enable")));
            put(&mut body, "vdo_logical_size_kib", one(m, "vdo-logical-size").map(kib).transpose()?);
            put(&mut body, "vdo_slab_size_kib", one(m, "vdo-slab-size").map(kib).transpose()?);
            put(&mut body, "sed", set(m, "sed").then_some(true));
            put(&mut body, "with_storage_pool", one(m, "storage-pool").map(|name| json!({"name": name})));
            Plan::write(Call::post(&["physical-storage", must(m, "NODE")]).body(Value::Object(body)))
        }
        _ => return Err(unknown("physical-storage", word)),
    })
}
