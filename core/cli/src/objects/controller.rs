//! `controller`

use berth_client::{Call, Method};
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::Now;
use super::common::{self, look, unknown, verb};
use super::select::{self, CountAs};
use crate::drbd::Scope;
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, flag, leaf, list, many, must, need, object, opt, put, set};

const PROPERTIES: [&str; 2] = ["controller", "properties"];

pub fn command() -> Command {
    object("controller", &["c"], "The controller itself and what holds for the whole cluster")
        .subcommand(common::list_properties(&[], "controller list-properties"))
        .subcommand(common::set_property(&[], "controller set-property DrbdOptions/auto-diskful 5"))
        .subcommand(common::drbd_options(Scope::All, &[], "controller drbd-options --verify-alg sha256"))
        .subcommand(
            leaf("set-log-level", &["setloglevel"], "Set how much the controller logs", "controller set-log-level --global TRACE")
                .arg(need("LEVEL", "ERROR, WARN, INFO, DEBUG or TRACE"))
                .arg(flag("library", "Also for the libraries in use"))
                .arg(flag("global", "Also on all satellites")),
        )
        .subcommand(common::pastable(leaf("version", &["v"], "Show the controller's version", "controller version")))
        .subcommand(
            common::pastable(leaf(
                "query-max-volume-size",
                &["qmvs"],
                "Size of the largest volume that fits",
                "controller query-max-volume-size 2",
            ))
            .arg(need("REPLICAS", "Replicas with a disk"))
            .arg(many("storage-pool", "Only these storage pools").short('s').value_name("POOL"))
            .arg(many("do-not-place-with", "Not where one of these resources is").value_name("RESOURCE"))
            .arg(opt("do-not-place-with-regex", "Not where a resource has a name like this").value_name("REGEX"))
            .arg(many("replicas-on-same", "Same value of this node property on all replicas").value_name("KEY[=VALUE]"))
            .arg(many("replicas-on-different", "Different values of this node property on all replicas").value_name("KEY[=VALUE]"))
            .arg(
                clap::Arg::new("x-replicas-on-different")
                    .long("x-replicas-on-different")
                    .num_args(2)
                    .action(clap::ArgAction::Append)
                    .value_names(["KEY", "N"])
                    .help("At most N replicas for each value of this node property"),
            ),
        )
        .subcommand(super::controller_auth::command())
        .subcommand(leaf("which", &[], "Show which controller answers", "controller which"))
        .subcommand(
            leaf("backupdb", &["bakdb"], "Copy the controller's database, on its machine", "controller backupdb nightly")
                .arg(need("NAME", "Beginning of the name of the copy")),
        )
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list-properties" => common::show_properties(m, Call::get(&PROPERTIES), None),
        "set-property" => Plan::write(Call::post(&PROPERTIES).body(common::property_body(m))),
        "drbd-options" => Plan::write(Call::post(&PROPERTIES).body(common::drbd_body(m, Scope::All)?)),
        "set-log-level" => {
            let member = match (set(m, "library"), set(m, "global")) {
                (false, false) => "level_linstor",
                (false, true) => "level_linstor_global",
                (true, false) => "level",
                (true, true) => "level_global",
            };
            Plan::write(Call::put(&["controller", "config"]).body(json!({"log": {member: must(m, "LEVEL").to_ascii_uppercase()}})))
        }
        "version" => Plan::show(Call::get(&["controller", "version"]), View::Version, look(m)),
        "query-max-volume-size" => {
            let mut filter = select::filter(m, "no-such-option", CountAs::Number, list(m, "storage-pool"))?;
            put(&mut filter, "place_count", Some(words::to_number(must(m, "REPLICAS"), "REPLICAS", 1..=1000)?));
            let call = Call::new(Method::OPTIONS, &["query-max-volume-size"]).body(Value::Object(filter));
            Plan::show(call, View::MaxVolumeSize, look(m))
        }
        "auth" => super::controller_auth::plan(m)?,
        "which" => Plan::Which,
        "backupdb" => Plan::write(Call::post(&["controller", "backup", "db"]).body(json!({"backup_name": must(m, "NAME")}))),
        _ => return Err(unknown("controller", word)),
    })
}
