//! `advise`

use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, look, unknown, verb};
use crate::plan::{Advise, Plan};
use crate::words::{BadUsage, leaf, list, must, need, object};

pub fn command() -> Command {
    object("advise", &["adv"], "What could be safer")
        .subcommand(
            common::pastable(leaf("resource", &["r"], "What could be safer about resources", "advise resource -r web"))
                .arg(common::resources_filter()),
        )
        .subcommand(
            common::pastable(leaf("maintenance", &["m"], "What would suffer if a node went down for a while", "advise maintenance alpha"))
                .arg(need("NODE", "Name of the node")),
        )
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let what = match word {
        "resource" => Advise::Resources(list(m, "resources").unwrap_or_default()),
        "maintenance" => Advise::Maintenance(must(m, "NODE").to_owned()),
        _ => return Err(unknown("advise", word)),
    };
    Ok(Plan::Advise { what, look: look(m) })
}
