//! `volume`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, unknown, verb};
use super::resource::{volume_list, volume_list_plan};
use crate::plan::Plan;
use crate::words::{BadUsage, leaf, object, one};

const NAMES: [(&str, &str); 3] = [("NODE", "Name of the node"), ("RESOURCE", "Name of the resource"), ("NR", "Number of the volume")];

pub fn command() -> Command {
    object("volume", &["v"], "Volumes of replicas")
        .subcommand(volume_list(leaf("list", &["l"], "List volumes", "volume list")))
        .subcommand(common::list_properties(&NAMES, "volume list-properties alpha backups 0"))
        .subcommand(common::set_property(&NAMES, "volume set-property alpha backups 0 Aux/checked yes"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let part = |id: &str| one(m, id).unwrap_or_default();
    let path = ["resource-definitions", part("RESOURCE"), "resources", part("NODE"), "volumes", part("NR")];
    Ok(match word {
        "list" => volume_list_plan(m),
        "list-properties" => common::show_properties(m, Call::get(&path), Some("props")),
        "set-property" => Plan::write(Call::put(&path).body(common::property_body(m))),
        _ => return Err(unknown("volume", word)),
    })
}
