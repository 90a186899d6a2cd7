//! `space-reporting`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{BadUsage, leaf, object};

pub fn command() -> Command {
    object("space-reporting", &["spr"], "Used space by day").subcommand(common::pastable(leaf(
        "query",
        &["qry"],
        "Show the report",
        "space-reporting query",
    )))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    match word {
        "query" => Ok(Plan::show(Call::get(&["space-report"]), View::SpaceReport, look(m))),
        _ => Err(unknown("space-reporting", word)),
    }
}
