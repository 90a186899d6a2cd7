//! `file`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{BadUsage, leaf, must, need, object, quiet};

const FILE: (&str, &str) = ("FILE", "Path of the file on the nodes");
const RESOURCE: (&str, &str) = ("RESOURCE", "Name of the resource definition");

pub fn command() -> Command {
    object("file", &["f"], "Files that are kept for nodes and deployed with resource definitions")
        .subcommand(common::list_options(leaf("list", &["l"], "List the files", "file list"), ShortS::ShowProps))
        .subcommand(leaf("show", &["s"], "Print what is in a file", "file show /etc/multipath.conf").arg(need(FILE.0, FILE.1)))
        .subcommand(
            quiet(leaf(
                "modify",
                &["m"],
                "Write a file: from standard input, or in $EDITOR",
                "file modify /etc/multipath.conf < multipath.conf",
            ))
            .arg(need(FILE.0, FILE.1)),
        )
        .subcommand(quiet(leaf("delete", &["d"], "Keep a file no more", "file delete /etc/multipath.conf")).arg(need(FILE.0, FILE.1)))
        .subcommand(
            quiet(leaf("deploy", &["dep"], "Deploy a file with a resource definition", "file deploy /etc/multipath.conf backups"))
                .arg(need(FILE.0, FILE.1))
                .arg(need(RESOURCE.0, RESOURCE.1)),
        )
        .subcommand(
            quiet(leaf("undeploy", &["undep"], "Deploy a file no more", "file undeploy /etc/multipath.conf backups"))
                .arg(need(FILE.0, FILE.1))
                .arg(need(RESOURCE.0, RESOURCE.1)),
        )
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    if word == "list" {
        return Ok(Plan::show(Call::get(&["files"]), View::Files, look(m)));
    }
    let file = must(m, FILE.0);
    let deployed = || ["resource-definitions", must(m, RESOURCE.0), "files", file];
    Ok(match word {
        "show" => Plan::show(Call::get(&["files", file]), View::FileContent, look(m)),
        "modify" => Plan::File { path: file.to_owned(), dry: None },
        "delete" => Plan::write(Call::delete(&["files", file])),
        "deploy" => Plan::write(Call::post(&deployed())),
        "undeploy" => Plan::write(Call::delete(&deployed())),
        _ => return Err(unknown("file", word)),
    })
}
