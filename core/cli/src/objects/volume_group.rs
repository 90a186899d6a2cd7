//! `volume-group`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::drbd::Scope;
use crate::plan::{Plan, View};
use crate::words::{BadUsage, flag, leaf, need, number, object, one, opt, put, quiet, set};

/// Numbers that a volume can have.
pub const VOLUME_NUMBERS: std::ops::RangeInclusive<u64> = 0..=65534;
const GROUP: (&str, &str) = ("GROUP", "Name of the resource group");
const NAMES: [(&str, &str); 2] = [GROUP, ("NR", "Number of the volume")];

pub fn command() -> Command {
    object("volume-group", &["vg"], "The volumes that a resource group's resources get")
        .subcommand(
            quiet(leaf("create", &["c"], "Add a volume to a resource group", "volume-group create web"))
                .arg(need(GROUP.0, GROUP.1))
                .arg(opt("vlmnr", "Number of the volume; without one the next free").short('n').value_name("NR"))
                .arg(flag("gross", "Sizes are those of the backing storage")),
        )
        .subcommand(quiet(common::named(
            leaf("delete", &["d"], "Remove a volume from a resource group", "volume-group delete web 0"),
            &NAMES,
        )))
        .subcommand(common::list_options(
            leaf("list", &["l"], "List a resource group's volumes", "volume-group list web").arg(need(GROUP.0, GROUP.1)),
            ShortS::ShowProps,
        ))
        .subcommand(common::list_properties(&NAMES, "volume-group list-properties web 0"))
        .subcommand(common::set_property(&NAMES, "volume-group set-property web 0 Aux/use data"))
        .subcommand(common::drbd_options(Scope::Volume, &NAMES, "volume-group drbd-options web 0 --disk-flushes no"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let group = one(m, "GROUP").unwrap_or_default();
    let all = ["resource-groups", group, "volume-groups"];
    let single = ["resource-groups", group, "volume-groups", one(m, "NR").unwrap_or_default()];
    Ok(match word {
        "create" => {
            let mut body = Map::new();
            put(&mut body, "volume_number", number(m, "vlmnr", VOLUME_NUMBERS)?);
            put(&mut body, "flags", set(m, "gross").then(|| json!(["GROSS_SIZE"])));
            Plan::write(Call::post(&all).body(Value::Object(body)))
        }
        "delete" => Plan::write(Call::delete(&single)),
        "list" => Plan::show(Call::get(&all), View::VolumeGroups, look(m)),
        "list-properties" => common::show_properties(m, Call::get(&single), Some("props")),
        "set-property" => Plan::write(Call::put(&single).body(common::property_body(m))),
        "drbd-options" => Plan::write(Call::put(&single).body(common::drbd_body(m, Scope::Volume)?)),
        _ => return Err(unknown("volume-group", word)),
    })
}
