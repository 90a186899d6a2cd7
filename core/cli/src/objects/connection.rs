//! `node-connection` and `resource-connection`: the same words, the second with a resource behind its two nodes.

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::drbd::{self, Scope};
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, leaf, maybe, must, need, object, one, quiet};

const NODES: [(&str, &str); 2] = [("NODE_A", "One node"), ("NODE_B", "The other node")];
const REPLICAS: [(&str, &str); 3] = [NODES[0], NODES[1], ("RESOURCE", "Name of the resource")];
const PATH: (&str, &str) = ("PATH", "Name of the path");

/// `node-connection`
pub fn of_nodes() -> Command {
    object("node-connection", &["nc"], "Properties and paths between two nodes, for all resources")
        .subcommand(
            common::list_options(
                leaf("list", &["l"], "List the connections that have properties", "node-connection list alpha"),
                ShortS::ShowProps,
            )
            .arg(maybe("NODE_A", "Only those of this node"))
            .arg(maybe("NODE_B", "Only the one with this node")),
        )
        .subcommand(common::list_properties(&NODES, "node-connection list-properties alpha bravo"))
        .subcommand(common::set_property(&NODES, "node-connection set-property alpha bravo DrbdOptions/Net/ping-timeout 20"))
        .subcommand(peer_options(&NODES, "drbd-peer-options", "popt", "node-connection drbd-peer-options --ping-timeout 299 alpha bravo"))
        .subcommand(paths(&NODES, "node-connection path create alpha bravo fast 10G_nic 10G_nic", "node-connection path list alpha bravo"))
}

/// `resource-connection`
pub fn of_replicas() -> Command {
    object("resource-connection", &["rc"], "Properties and paths between two replicas of a resource")
        .subcommand(
            common::list_options(
                leaf("list", &["l"], "List the connections of a resource that have properties", "resource-connection list backups"),
                ShortS::ShowProps,
            )
            .arg(need("RESOURCE", REPLICAS[2].1)),
        )
        .subcommand(common::list_properties(&REPLICAS, "resource-connection list-properties alpha bravo backups"))
        .subcommand(common::set_property(&REPLICAS, "resource-connection set-property alpha bravo backups DrbdOptions/Net/protocol A"))
        .subcommand(peer_options(
            &REPLICAS,
            "drbd-peer-options",
            "popt",
            "resource-connection drbd-peer-options --max-buffers 8192 alpha bravo backups",
        ))
        // The guide has this older word, too.
        .subcommand(peer_options(&REPLICAS, "drbd-options", "opt", "resource-connection drbd-options alpha bravo backups --protocol A"))
        .subcommand(paths(
            &REPLICAS,
            "resource-connection path create alpha bravo backups fast 10G_nic 10G_nic",
            "resource-connection path list alpha bravo backups",
        ))
}

fn peer_options(names: &[(&'static str, &'static str)], word: &'static str, alias: &'static str, example: &'static str) -> Command {
    let command = common::named(leaf(word, &[alias], "Set or unset options of DRBD on this connection", example), names);
    drbd::with_options(command, Scope::Peer)
}

fn paths(names: &[(&'static str, &'static str)], create: &'static str, list: &'static str) -> Command {
    let delete = create.split_whitespace().next().unwrap_or_default();
    let delete_example = if delete == "node-connection" {
        "node-connection path delete alpha bravo fast"
    } else {
        "resource-connection path delete alpha bravo backups fast"
    };
    object("path", &["p"], "Ways over chosen net interfaces; with one, the usual way is used no more")
        .subcommand(
            quiet(common::named(leaf("create", &["c"], "Add a path", create), names))
                .arg(need(PATH.0, PATH.1))
                .arg(need("INTERFACE_A", "Net interface of the one node"))
                .arg(need("INTERFACE_B", "Net interface of the other node")),
        )
        .subcommand(quiet(common::named(leaf("delete", &["d"], "Remove a path", delete_example), names)).arg(need(PATH.0, PATH.1)))
        .subcommand(common::pastable(common::named(leaf("list", &["l"], "List the paths", list), names)))
}

/// Plans of `node-connection`.
pub fn plan_nodes(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let ends = [one(m, "NODE_A").unwrap_or_default(), one(m, "NODE_B").unwrap_or_default()];
    let top = Call::get(&["node-connections"]);
    let read = ["node_a", "node_b"].into_iter().zip(ends).filter(|(_, end)| !end.is_empty());
    let read = read.fold(top, |call, (name, end)| call.query(name, end));
    let write = Call::put(&["node-connections", ends[0], ends[1]]);
    if word == "list" {
        return Ok(Plan::show(read, View::NodeConnections, look(m)));
    }
    if word == "path" {
        return path(m, |m| {
            let ends = [must(m, "NODE_A"), must(m, "NODE_B")];
            let read = Call::get(&["node-connections"]).query("node_a", ends[0]).query("node_b", ends[1]);
            (read, Call::put(&["node-connections", ends[0], ends[1]]))
        });
    }
    common_plan("node-connection", word, m, read, write)
}

/// Plans of `resource-connection`.
pub fn plan_replicas(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    fn of(m: &ArgMatches) -> [&str; 5] {
        let [resource, one_end, other_end] = ["RESOURCE", "NODE_A", "NODE_B"].map(|name| one(m, name).unwrap_or_default());
        ["resource-definitions", resource, "resource-connections", one_end, other_end]
    }
    let (word, m) = verb(matches)?;
    if word == "list" {
        let call = Call::get(&["resource-definitions", must(m, "RESOURCE"), "resource-connections"]);
        return Ok(Plan::show(call, View::ResourceConnections, look(m)));
    }
    if word == "path" {
        return path(m, |m| (Call::get(&of(m)), Call::put(&of(m))));
    }
    common_plan("resource-connection", word, m, Call::get(&of(m)), Call::put(&of(m)))
}

fn common_plan(object: &str, word: &str, m: &ArgMatches, read: Call, write: Call) -> Result<Plan, BadUsage> {
    Ok(match word {
        "list-properties" => common::show_properties(m, read, Some("props")),
        "set-property" => Plan::write(write.body(common::property_body(m))),
        "drbd-peer-options" | "drbd-options" => Plan::write(write.body(common::drbd_body(m, Scope::Peer)?)),
        _ => return Err(unknown(object, word)),
    })
}

/// `path create|delete|list`; `calls` gives the requests that read and write the connection.
fn path(matches: &ArgMatches, calls: impl Fn(&ArgMatches) -> (Call, Call)) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let (read, write) = calls(m);
    let keys = ["NODE_A", "NODE_B"].map(|end| format!("Paths/{}/{}", one(m, PATH.0).unwrap_or_default(), must(m, end)));
    Ok(match word {
        "create" => {
            let interfaces = ["INTERFACE_A", "INTERFACE_B"].map(|name| must(m, name).to_owned());
            let set: Vec<(String, String)> = keys.into_iter().zip(interfaces).collect();
            Plan::write(write.body(words::prop_change(&set, &[])))
        }
        "delete" => Plan::write(write.body(words::prop_change(&[], &keys))),
        "list" => Plan::show(read, View::Paths, look(m)),
        _ => return Err(unknown("path", word)),
    })
}
