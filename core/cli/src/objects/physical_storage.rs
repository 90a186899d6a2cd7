//! `physical-storage`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, leaf, object};

pub fn command() -> Command {
    object("physical-storage", &["ps"], "Disks that nothing uses yet")
        .subcommand(common::list_options(leaf("list", &["l"], "List unused disks", "physical-storage list"), ShortS::ShowProps))
        .subcommand(words::later("create-device-pool", &["cdp"], "Make a storage pool from disks"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list" => Plan::show(Call::get(&["physical-storage"]), View::PhysicalStorage, look(m)),
        "create-device-pool" => Plan::Later("physical-storage create-device-pool".to_owned()),
        _ => return Err(unknown("physical-storage", word)),
    })
}
