//! The commands, one file for each object: its grammar and the request that each command means.
//!
//! Words in, [`Plan`] out, without a controller; only `node create` without an address asks the resolver. Names and shapes are those of LINSTOR's client.

mod advise;
mod backup;
mod common;
mod connection;
mod controller;
mod controller_auth;
mod encryption;
mod error_report;
mod file;
mod key_value;
mod node;
mod physical_storage;
mod pool;
mod pool_definition;
mod proxy;
mod remote;
mod resource;
mod resource_definition;
mod resource_group;
mod schedule;
pub mod select;
mod snapshot;
mod sos_report;
mod space_reporting;
mod volume;
mod volume_definition;
mod volume_group;

pub use pool::KINDS as KINDS_OF_POOLS;

use clap::{ArgMatches, Command};
use jiff::Zoned;

use crate::plan::Plan;
use crate::words::{self, BadUsage};

type Planner = fn(&ArgMatches, &Now) -> Result<Plan, BadUsage>;

/// What a plan may depend on besides its words.
#[derive(Debug, Clone)]
pub struct Now {
    /// The local time, for `--since 1d`.
    pub time: Zoned,
}

/// An object whose commands this version carries out.
struct Object {
    name: &'static str,
    alias: &'static str,
    command: fn() -> Command,
    plan: Planner,
}

const fn object(name: &'static str, alias: &'static str, command: fn() -> Command, plan: Planner) -> Object {
    Object { name, alias, command, plan }
}

/// All of them, in the order of the help.
const OBJECTS: &[Object] = &[
    object("node", "n", node::command, node::plan),
    object("storage-pool", "sp", pool::command, pool::plan),
    object("storage-pool-definition", "spd", pool_definition::command, pool_definition::plan),
    object("resource-group", "rg", resource_group::command, resource_group::plan),
    object("volume-group", "vg", volume_group::command, volume_group::plan),
    object("resource-definition", "rd", resource_definition::command, resource_definition::plan),
    object("volume-definition", "vd", volume_definition::command, volume_definition::plan),
    object("resource", "r", resource::command, resource::plan),
    object("volume", "v", volume::command, volume::plan),
    object("snapshot", "s", snapshot::command, snapshot::plan),
    object("node-connection", "nc", connection::of_nodes, connection::plan_nodes),
    object("resource-connection", "rc", connection::of_replicas, connection::plan_replicas),
    object("drbd-proxy", "proxy", proxy::command, proxy::plan),
    object("controller", "c", controller::command, controller::plan),
    object("encryption", "e", encryption::command, encryption::plan),
    object("key-value-store", "kv", key_value::command, key_value::plan),
    object("file", "f", file::command, file::plan),
    object("error-reports", "err", error_report::command, error_report::plan),
    object("physical-storage", "ps", physical_storage::command, physical_storage::plan),
    object("sos-report", "sos", sos_report::command, sos_report::plan),
    object("advise", "adv", advise::command, advise::plan),
    object("remote", "remote", remote::command, remote::plan),
    object("backup", "b", backup::command, backup::plan),
    object("schedule", "sched", schedule::command, schedule::plan),
    object("space-reporting", "spr", space_reporting::command, space_reporting::plan),
];

/// Objects that are known by name only.
const LATER: &[(&str, &[&str], &str)] = &[("dm-migrate", &[], "Move from drbdmanage")];

/// All commands about objects.
pub fn commands() -> Vec<Command> {
    let known = OBJECTS.iter().map(|object| (object.command)());
    let later = LATER.iter().map(|(name, aliases, about)| {
        let command = words::later(name, aliases, about);
        if *name == "dm-migrate" { command.hide(true) } else { command }
    });
    known.chain(later).collect()
}

/// Names and short forms of all objects.
pub fn words() -> Vec<&'static str> {
    // An object without a short form has its name there.
    let short = |object: &Object| (object.alias != object.name).then_some(object.alias);
    let known = OBJECTS.iter().flat_map(move |object| std::iter::once(object.name).chain(short(object)));
    let later = LATER.iter().flat_map(|(name, aliases, _)| std::iter::once(*name).chain(aliases.iter().copied()));
    known.chain(later).collect()
}

/// What the words below an object's name ask for. `name` is the object's full name.
///
/// # Errors
/// Words that fit the grammar, but not each other.
pub fn plan(name: &str, matches: &ArgMatches, now: &Now) -> Result<Plan, BadUsage> {
    if LATER.iter().any(|(later, _, _)| *later == name) {
        return Ok(Plan::Later(name.to_owned()));
    }
    match OBJECTS.iter().find(|object| object.name == name) {
        Some(object) => paged((object.plan)(matches, now)?, matches),
        None => Err(BadUsage::new(format!("'{name}' is no command"))),
    }
}

/// More rows than any list has.
const ROWS_MAX: u64 = 1 << 31;

/// Adds `--limit` and `--offset` of a list to its request.
fn paged(plan: Plan, matches: &ArgMatches) -> Result<Plan, BadUsage> {
    let mut level = matches;
    while let Some((_, below)) = level.subcommand() {
        level = below;
    }
    let Plan::Show(mut show) = plan else { return Ok(plan) };
    for (option, range) in [("limit", 1..=ROWS_MAX), ("offset", 0..=ROWS_MAX)] {
        if let Some(rows) = words::number(level, option, range)? {
            show.call = show.call.query(option, rows.to_string());
        }
    }
    Ok(Plan::Show(show))
}
