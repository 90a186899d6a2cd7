//! `sos-report`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::common::{self, unknown, verb};
use super::{Now, error_report};
use crate::plan::Plan;
use crate::words::{BadUsage, flag, leaf, list, many, maybe, object, one, opt, set};

const TOP: &str = "sos-report";

pub fn command() -> Command {
    object(TOP, &["sos"], "Everything that support asks for, without secrets")
        .subcommand(choice(leaf("create", &["c"], "Write an archive on the controller", "sos-report create --since 2days")))
        .subcommand(
            choice(leaf("download", &["dl"], "Fetch an archive", "sos-report download /tmp/sos.tar.gz"))
                .arg(maybe("PATH", "File or folder to write; else the name that the controller gives, here")),
        )
}

fn choice(command: Command) -> Command {
    command
        .arg(opt("since", "Error reports not older than this, such as 3days or 1d10h (default: 7 days)").short('s').value_name("AGE"))
        .arg(common::nodes_filter())
        .arg(many("resources", "Only nodes that hold these resources").short('r').value_name("RESOURCE"))
        .arg(many("exclude", "Not these nodes").short('e').value_name("NODE"))
        .arg(flag("no-controller", "Leave out what is about the controller itself"))
}

pub fn plan(matches: &ArgMatches, now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let call = |parts: &[&str]| -> Result<Call, BadUsage> {
        let mut call = Call::get(parts)
            .query_each("nodes", list(m, "nodes").unwrap_or_default())
            .query_each("rscs", list(m, "resources").unwrap_or_default())
            .query_each("exclude", list(m, "exclude").unwrap_or_default())
            .query_each("since", error_report::since(m, now)?.map(|ms| ms.to_string()));
        if set(m, "no-controller") {
            call = call.query("include-ctrl", "false");
        }
        Ok(call)
    };
    Ok(match word {
        "create" => Plan::write(call(&[TOP])?),
        "download" => Plan::Download { call: call(&[TOP, "download"])?, to: one(m, "PATH").map(Into::into) },
        _ => return Err(unknown(TOP, word)),
    })
}
