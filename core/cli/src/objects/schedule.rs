//! `schedule`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Fields, Plan, View};
use crate::words::{self, BadUsage, flag, leaf, maybe, must, need, object, one, opt, put, quiet, set};

const NAME: (&str, &str) = ("NAME", "Name of the schedule");

static DETAILS: Fields = Fields {
    rows: "data",
    columns: &[
        ("Remote", "remote_name"),
        ("Schedule", "schedule_name"),
        ("Resource-Definition", "rsc_dfn"),
        ("Resource-Group", "rsc_grp"),
        ("Controller", "ctrl"),
    ],
};

fn times(command: Command) -> Command {
    command
        .arg(opt("incremental-cron", "When to ship what changed").short('i').value_name("CRON"))
        .arg(opt("keep-local", "Snapshots to keep here, or all").short('l').value_name("N"))
        .arg(opt("keep-remote", "Backups to keep there, or all").short('r').value_name("N"))
        .arg(opt("on-failure", "RETRY or SKIP").value_name("WORD"))
        .arg(opt("max-retries", "Times to try again, or forever").value_name("N"))
}

pub fn command() -> Command {
    object("schedule", &["sched"], "Times of backups")
        .subcommand(common::list_options(leaf("list", &["l"], "List schedules", "schedule list"), ShortS::ShowProps))
        .subcommand(
            common::list_options(
                leaf("list-by-resource", &["lbr"], "What is shipped when", "schedule list-by-resource"),
                ShortS::ShowProps,
            )
            .arg(opt("rsc", "Only this resource"))
            .arg(opt("remote", "Only to this remote"))
            .arg(opt("schedule", "Only by this schedule"))
            .arg(flag("active-only", "Only what is on")),
        )
        .subcommand(
            common::list_options(
                leaf("list-by-resource-details", &["lbrd", "lbd"], "Where a schedule is set", "schedule list-by-resource-details web"),
                ShortS::ShowProps,
            )
            .arg(need("RESOURCE", "Name of the resource definition")),
        )
        .subcommand(
            times(quiet(leaf("create", &["c"], "Add a schedule", "schedule create nightly '0 2 * * *' --keep-local 3")))
                .arg(need(NAME.0, NAME.1))
                .arg(need("FULL_CRON", "When to ship everything")),
        )
        .subcommand(
            times(leaf("modify", &["m"], "Change a schedule", "schedule modify nightly --keep-local 5"))
                .arg(need(NAME.0, NAME.1))
                .arg(maybe("FULL_CRON", "When to ship everything"))
                .arg(opt("full-cron", "When to ship everything").value_name("CRON").conflicts_with("FULL_CRON")),
        )
        .subcommand(quiet(leaf("delete", &["d"], "Remove a schedule", "schedule delete nightly")).arg(need(NAME.0, NAME.1)))
}

/// A number, or the word for no bound.
fn bound(m: &ArgMatches, id: &str, without: &str) -> Result<Option<i64>, BadUsage> {
    match one(m, id) {
        None => Ok(None),
        Some(word) if word.eq_ignore_ascii_case(without) => Ok(Some(-1)),
        Some(word) => words::to_number(word, id, 0..=1_000_000).map(|number| i64::try_from(number).ok()),
    }
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list" => Plan::show(Call::get(&["schedules"]), View::Schedules, look(m)),
        "list-by-resource" => {
            let mut call = Call::get(&["view", "schedules-by-resource"]);
            for name in ["rsc", "remote", "schedule"] {
                call = call.query_each(name, one(m, name));
            }
            let call = if set(m, "active-only") { call.query("active-only", "true") } else { call };
            Plan::show(call, View::SchedulesByResource, look(m))
        }
        "list-by-resource-details" => {
            Plan::show(Call::get(&["view", "schedules-by-resource", must(m, "RESOURCE")]), View::Fields(&DETAILS), look(m))
        }
        "create" | "modify" => {
            let mut body = Map::new();
            put(&mut body, "full_cron", one(m, "FULL_CRON").or(one(m, "full-cron")));
            put(&mut body, "inc_cron", one(m, "incremental-cron"));
            put(&mut body, "keep_local", bound(m, "keep-local", "all")?);
            put(&mut body, "keep_remote", bound(m, "keep-remote", "all")?);
            put(&mut body, "on_failure", one(m, "on-failure"));
            put(&mut body, "max_retries", bound(m, "max-retries", "forever")?);
            let name = must(m, NAME.0);
            Plan::write(if word == "create" {
                put(&mut body, "schedule_name", Some(name));
                Call::post(&["schedules"]).body(Value::Object(body))
            } else {
                Call::put(&["schedules", name]).body(Value::Object(body))
            })
        }
        "delete" => Plan::write(Call::delete(&["schedules", must(m, NAME.0)])),
        _ => return Err(unknown("schedule", word)),
    })
}
