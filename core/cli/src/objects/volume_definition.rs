//! `volume-definition`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use super::volume_group::VOLUME_NUMBERS;
use crate::drbd::Scope;
use crate::plan::{Asked, Plan, View};
use crate::size::parse_kib;
use crate::words::{self, BadUsage, flag, leaf, list, many, must, need, number, object, one, opt, put, quiet, set};

const TOP: &str = "resource-definitions";
const RESOURCE: (&str, &str) = ("RESOURCE", "Name of the resource definition");
const NAMES: [(&str, &str); 2] = [RESOURCE, ("NR", "Number of the volume")];
const MINORS: std::ops::RangeInclusive<u64> = 0..=1_048_575;

pub fn command() -> Command {
    object("volume-definition", &["vd"], "Volumes as the whole cluster sees them")
        .subcommand(
            quiet(leaf("create", &["c"], "Add a volume to a resource definition", "volume-definition create backups 10G"))
                .arg(need(RESOURCE.0, RESOURCE.1))
                .arg(need("SIZE", "Size; without a unit in GiB").allow_negative_numbers(true))
                .arg(opt("vlmnr", "Number of the volume; without one the next free").short('n').value_name("NR"))
                .arg(opt("storage-pool", "Storage pool of this volume").short('s').value_name("POOL"))
                .arg(opt("minor", "Number of its DRBD device").short('m').value_name("MINOR"))
                .arg(flag("encrypt", "Encrypt it"))
                .arg(flag("gross", "The size is that of the backing storage"))
                .arg(opt("passphrase", "Pass phrase of the encrypted volume")),
        )
        .subcommand(quiet(common::named(leaf("delete", &["d"], "Remove a volume", "volume-definition delete backups 0"), &NAMES)))
        .subcommand(
            common::list_options(leaf("list", &["l"], "List volume definitions", "volume-definition list"), ShortS::ShowProps)
                .arg(many("resource-definitions", "Only of these").short('r').value_name("RESOURCE").alias("resources"))
                .arg(words::flag("external", "Show external names").short('e').long("external-name")),
        )
        .subcommand(common::list_properties(&NAMES, "volume-definition list-properties backups 0"))
        .subcommand(common::set_property(&NAMES, "volume-definition set-property backups 0 StorPoolName fast"))
        .subcommand(common::drbd_options(Scope::Volume, &NAMES, "volume-definition drbd-options backups 0 --disk-flushes no"))
        .subcommand(
            quiet(common::named(leaf("set-size", &["size"], "Resize a volume", "volume-definition set-size backups 0 100G"), &NAMES))
                .arg(need("SIZE", "New size; without a unit in GiB").allow_negative_numbers(true))
                .arg(flag("gross", "The size is that of the backing storage")),
        )
        .subcommand(
            quiet(common::named(
                leaf(
                    "modify-passphrase",
                    &["mp"],
                    "Change the pass phrase of an encrypted volume; without one it is asked for",
                    "volume-definition modify-passphrase backups 0",
                ),
                &NAMES,
            ))
            .arg(opt("passphrase", "The new pass phrase; others may see it here").short('p').value_name("TEXT")),
        )
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let resource = one(m, "RESOURCE").unwrap_or_default();
    let nr = one(m, "NR").unwrap_or_default();
    if !nr.is_empty() {
        words::to_number(nr, "the number of the volume", VOLUME_NUMBERS)?;
    }
    let single = [TOP, resource, "volume-definitions", nr];
    Ok(match word {
        "create" => Plan::write(Call::post(&single[..3]).body(create(m)?)),
        "delete" => Plan::write(Call::delete(&single)),
        "list" => {
            let call = Call::get(&[TOP])
                .query("with_volume_definitions", "true")
                .query_each("resource_definitions", list(m, "resource-definitions").unwrap_or_default());
            Plan::show(call, View::VolumeDefinitions, look(m))
        }
        "list-properties" => common::show_properties(m, Call::get(&single), Some("props")),
        "set-property" => Plan::write(Call::put(&single).body(common::property_body(m))),
        "drbd-options" => Plan::write(Call::put(&single).body(common::drbd_body(m, Scope::Volume)?)),
        "set-size" => {
            let mut body = Map::new();
            put(&mut body, "size_kib", Some(size(m)?));
            put(&mut body, "flags", set(m, "gross").then(|| json!(["GROSS_SIZE"])));
            Plan::write(Call::put(&single).body(Value::Object(body)))
        }
        "modify-passphrase" => {
            let call = Call::put(&[TOP, resource, "volume-definitions", nr, "encryption-passphrase"]);
            match one(m, "passphrase") {
                Some(passphrase) => Plan::write(call.body(json!({"new_passphrase": passphrase}))),
                None => {
                    let asked = vec![Asked { prompt: "New passphrase of the volume", member: Some("new_passphrase"), twice: true }];
                    Plan::Secret { call, asked }
                }
            }
        }
        _ => return Err(unknown("volume-definition", word)),
    })
}

fn create(m: &ArgMatches) -> Result<Value, BadUsage> {
    let mut flags = Vec::new();
    if set(m, "encrypt") {
        flags.push("ENCRYPTED");
    }
    if set(m, "gross") {
        flags.push("GROSS_SIZE");
    }
    let mut volume = Map::new();
    put(&mut volume, "volume_number", number(m, "vlmnr", VOLUME_NUMBERS)?);
    put(&mut volume, "size_kib", Some(size(m)?));
    put(&mut volume, "flags", Some(flags));
    put(&mut volume, "props", one(m, "storage-pool").map(|pool| json!({"StorPoolName": pool})));
    let mut body = Map::new();
    body.insert("volume_definition".to_owned(), Value::Object(volume));
    put(&mut body, "drbd_minor_number", number(m, "minor", MINORS)?);
    put(&mut body, "passphrase", one(m, "passphrase"));
    Ok(Value::Object(body))
}

fn size(m: &ArgMatches) -> Result<u64, BadUsage> {
    parse_kib(must(m, "SIZE")).map_err(|bad| BadUsage::new(bad.to_string()))
}
