//! `error-reports`

use berth_client::{Call, Method};
use clap::{ArgMatches, Command};
use jiff::civil::Date;
use jiff::{Span, Zoned};
use serde_json::{Map, Value};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{BadUsage, all, flag, leaf, list, many, object, one, opt, put, set, words};

const TOP: &str = "error-reports";

pub fn command() -> Command {
    object("error-reports", &["err"], "What went wrong inside")
        .subcommand(
            common::list_options(leaf("list", &["l"], "List error reports", "error-reports list --since 1d10h"), ShortS::Taken)
                .arg(opt("since", "Only younger than this, such as 3days, 1d10h or 5m").short('s').value_name("AGE"))
                .arg(opt("to", "Only up to this day").short('t').value_name("YYYY-MM-DD"))
                .arg(common::nodes_filter())
                .arg(many("report-id", "Only these reports").value_name("ID"))
                .arg(flag("full", "Also show where it happened and in which version").short('f')),
        )
        .subcommand(
            leaf("show", &["s"], "Show whole error reports", "error-reports show 5F0A1B2C-00000-000000")
                .arg(words("ID", "Ids of reports").num_args(1..).required(true)),
        )
        .subcommand(
            leaf("delete", &["d"], "Remove error reports", "error-reports delete --to 2026-01-31")
                .arg(opt("since", "Only younger than this").short('s').value_name("AGE"))
                .arg(opt("to", "Only up to this day").short('t').value_name("YYYY-MM-DD"))
                .arg(common::nodes_filter())
                .arg(opt("exception", "Only with this exception").short('e'))
                .arg(opt("version", "Only from this version").short('v'))
                .arg(words("ID", "Ids of reports").num_args(0..)),
        )
}

pub fn plan(matches: &ArgMatches, now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let ids = || all(m, "ID").unwrap_or_default();
    Ok(match word {
        "list" => {
            let call = Call::get(&[TOP])
                .query("withContent", "False")
                .query_each("since", since(m, now)?.map(|ms| ms.to_string()))
                .query_each("to", to(m, now)?.map(|ms| ms.to_string()))
                .query_each("node", list(m, "nodes").unwrap_or_default());
            let mut look = look(m);
            look.only = list(m, "report-id").unwrap_or_default();
            look.full = set(m, "full");
            Plan::show(call, View::ErrorReports, look)
        }
        "show" => Plan::Reports(ids().iter().map(|id| Call::get(&[TOP, id]).query("withContent", "True")).collect()),
        "delete" => {
            let mut body = Map::new();
            put(&mut body, "since", since(m, now)?);
            put(&mut body, "to", to(m, now)?);
            put(&mut body, "nodes", list(m, "nodes"));
            put(&mut body, "exception", one(m, "exception"));
            put(&mut body, "version", one(m, "version"));
            put(&mut body, "ids", Some(ids()).filter(|ids| !ids.is_empty()));
            if body.is_empty() {
                return Err(BadUsage::new("say which reports: ids, or one of the options; --help lists them"));
            }
            Plan::write(Call::new(Method::PATCH, &[TOP]).body(Value::Object(body)))
        }
        _ => return Err(unknown(TOP, word)),
    })
}

/// `--since` as milliseconds since 1970.
pub(super) fn since(m: &ArgMatches, now: &Now) -> Result<Option<i64>, BadUsage> {
    let Some(text) = one(m, "since") else { return Ok(None) };
    let bad = || BadUsage::new(format!("'{text}' is no age; write days, hours and minutes, such as 1d10h or 5m"));
    let age: Span = text.parse().map_err(|_| bad())?;
    let then = now.time.checked_sub(age).map_err(|_| bad())?;
    Ok(Some(then.timestamp().as_millisecond()))
}

/// `--to` as milliseconds since 1970: the end of that day where the command runs.
fn to(m: &ArgMatches, now: &Now) -> Result<Option<i64>, BadUsage> {
    let Some(text) = one(m, "to") else { return Ok(None) };
    let end = |day: Date| -> Result<Zoned, jiff::Error> { day.to_zoned(now.time.time_zone().clone())?.end_of_day() };
    match text.parse::<Date>().and_then(end) {
        Ok(end) => Ok(Some(end.timestamp().as_millisecond())),
        Err(_) => Err(BadUsage::new(format!("'{text}' is no day; write YYYY-MM-DD"))),
    }
}
