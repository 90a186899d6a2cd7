//! `node`

use std::net::ToSocketAddrs;

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, all, flag, leaf, list, many, maybe, must, need, number, object, one, opt, put, quiet, set};

/// Port of a satellite that talks plainly.
const PLAIN_PORT: u64 = 3366;
/// Port of a satellite that talks TLS.
const SSL_PORT: u64 = 3367;
const PORTS: std::ops::RangeInclusive<u64> = 1..=65535;
const NODE: (&str, &str) = ("NODE", "Name of the node");
const INTERFACE: (&str, &str) = ("INTERFACE", "Name of the interface");

pub fn command() -> Command {
    object("node", &["n"], "Machines of the cluster")
        .subcommand(
            quiet(leaf("create", &["c"], "Add a node", "node create alpha 10.0.0.1 --node-type Combined"))
                .arg(need("NAME", "Name of the node, best its host name"))
                .arg(maybe("IP", "Address of its satellite; without one the name is resolved"))
                .arg(opt("port", "Port of its satellite").short('p').value_name("PORT"))
                .arg(opt("node-type", "Controller, Auxiliary, Combined or Satellite").short('t').value_name("TYPE"))
                .arg(opt("communication-type", "Plain or SSL").value_name("TYPE"))
                .arg(opt("interface-name", "Name of its first interface").value_name("NAME")),
        )
        .subcommand(
            quiet(leaf(
                "create-remote-spdk-target",
                &["crspdkt"],
                "Add a storage machine that is reached over SPDK's JSON-RPC",
                "node create-remote-spdk-target spdk1 10.0.0.9 --api-port 5050 --api-user admin --api-pw-env SPDK_PASSWORD",
            ))
            .arg(need("NAME", "Name of the node"))
            .arg(need("API_HOST", "Address of its API"))
            .arg(opt("api-port", "Port of its API").value_name("PORT"))
            .arg(opt("api-user", "Account name").value_name("NAME"))
            .arg(opt("api-user-env", "Environment variable of the controller that holds the account name").value_name("VARIABLE"))
            .arg(opt("api-pw", "Password").value_name("PASSWORD"))
            .arg(opt("api-pw-env", "Environment variable of the controller that holds the password").value_name("VARIABLE")),
        )
        .subcommand(
            quiet(leaf("create-ebs-target", &["cebst"], "Add an EBS target", "node create-ebs-target amazon myRemote"))
                .arg(need("NAME", "Name of the node"))
                .arg(need("REMOTE", "Name of the EBS remote")),
        )
        .subcommand(words::later("create-openflex-target", &[], "Add an OpenFlex target"))
        .subcommand(
            leaf("modify", &["m"], "Change a node's type", "node modify alpha --node-type combined")
                .arg(need(NODE.0, NODE.1))
                .arg(opt("node-type", "Controller, Auxiliary, Combined or Satellite").short('t').value_name("TYPE").required(true)),
        )
        .subcommand(
            leaf("describe", &["dsc"], "Show nodes with their pools, resources and volumes", "node describe alpha")
                .arg(maybe("NODE", "Only this node")),
        )
        .subcommand(quiet(leaf("delete", &["d"], "Remove nodes that hold nothing any more", "node delete alpha")).arg(need_many("NAME")))
        .subcommand(quiet(leaf("lost", &["lo"], "Remove a node that will never come back", "node lost alpha")).arg(need_many("NAME")))
        .subcommand(leaf("reconnect", &["rc"], "Connect anew to satellites", "node reconnect alpha bravo").arg(need_many("NODE")))
        .subcommand(interface_command())
        .subcommand(
            common::list_options(leaf("list", &["l"], "List nodes", "node list"), ShortS::ShowProps)
                .arg(common::nodes_filter())
                .arg(common::props_filter())
                .arg(flag("show-aux-props", "Show the user's own properties")),
        )
        .subcommand(
            common::pastable(leaf("info", &[], "What each node can do", "node info"))
                .arg(flag("full", "Also say why something cannot be done").short('f'))
                .arg(common::nodes_filter()),
        )
        .subcommand(common::list_properties(&[NODE], "node list-properties alpha"))
        .subcommand(common::set_property(&[NODE], "node set-property --aux alpha rack 7"))
        .subcommand(
            leaf("restore", &["rst"], "Take an evicted or evacuated node back", "node restore alpha")
                .arg(need(NODE.0, NODE.1))
                .arg(flag("delete-resources", "Remove the resources it still has"))
                .arg(flag("delete-snapshots", "Remove the snapshots it still has")),
        )
        .subcommand(
            leaf("evacuate", &["evac"], "Move all replicas off a node", "node evacuate alpha --target bravo charlie")
                .arg(maybe(NODE.0, NODE.1))
                .arg(many("target", "Only to these nodes").value_name("NODE"))
                .arg(many("do-not-target", "Not to these nodes").value_name("NODE")),
        )
        .subcommand(
            leaf("evict", &[], "Give nodes up for now that do not answer, and replace what is on them", "node evict alpha")
                .arg(need_many("NODE")),
        )
        .subcommand(
            leaf("set-log-level", &["setloglevel"], "Set how much a satellite logs", "node set-log-level alpha DEBUG")
                .arg(need(NODE.0, NODE.1))
                .arg(need("LEVEL", "ERROR, WARN, INFO, DEBUG or TRACE"))
                .arg(flag("library", "Also for the libraries in use")),
        )
}

fn interface_command() -> Command {
    object("interface", &["i"], "Network interfaces of nodes")
        .subcommand(
            interface_change(leaf("create", &["c"], "Add an interface", "node interface create alpha 10G_nic 10.1.0.1"))
                .arg(need("IP", "Address")),
        )
        .subcommand(
            interface_change(leaf("modify", &["m"], "Change an interface", "node interface modify alpha 10G_nic --active"))
                .arg(maybe("IP", "New address"))
                .arg(opt("ip", "New address").value_name("IP").conflicts_with("IP")),
        )
        .subcommand(quiet(common::named(
            leaf("delete", &["d"], "Remove an interface", "node interface delete alpha 10G_nic"),
            &[NODE, INTERFACE],
        )))
        .subcommand(common::list_options(
            leaf("list", &["l"], "List a node's interfaces", "node interface list alpha").arg(need(NODE.0, NODE.1)),
            ShortS::ShowProps,
        ))
}

fn interface_change(command: Command) -> Command {
    common::named(command, &[NODE, INTERFACE])
        .arg(opt("port", "Port of the satellite on it").short('p').value_name("PORT"))
        .arg(opt("communication-type", "Plain or SSL").value_name("TYPE"))
        .arg(flag("active", "The controller reaches the satellite over it"))
}

fn need_many(name: &'static str) -> clap::Arg {
    words::words(name, "Names of nodes").required(true).num_args(1..)
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let node = one(m, "NODE").unwrap_or_default();
    let each = |id: &str, make: &dyn Fn(&str) -> Call| Plan::Write(all(m, id).unwrap_or_default().iter().map(|name| make(name)).collect());
    Ok(match word {
        "create" => Plan::write(create(m)?),
        "create-remote-spdk-target" => Plan::write(create_spdk(m)?),
        "create-ebs-target" => {
            Plan::write(Call::post(&["nodes", "ebs"]).body(json!({"name": must(m, "NAME"), "ebs_remote_name": must(m, "REMOTE")})))
        }
        "evict" => each("NODE", &|name| Call::put(&["nodes", name, "evict"])),
        "create-openflex-target" => Plan::Later(format!("node {word}")),
        "modify" => Plan::write(Call::put(&["nodes", node]).body(json!({"node_type": node_type(must(m, "node-type"))?}))),
        "describe" => {
            let call = Call::get(&["nodes"]).query_each("nodes", one(m, "NODE"));
            Plan::show(call, View::NodeTree, crate::plan::Look::default())
        }
        "delete" => each("NAME", &|name| Call::delete(&["nodes", name])),
        "lost" => each("NAME", &|name| Call::delete(&["nodes", name, "lost"])),
        "reconnect" => each("NODE", &|name| Call::put(&["nodes", name, "reconnect"])),
        "interface" => interface_plan(m)?,
        "list" => {
            let call = Call::get(&["nodes"])
                .query_each("nodes", list(m, "nodes").unwrap_or_default())
                .query_each("props", list(m, "props").unwrap_or_default());
            Plan::show(call, View::Nodes, look(m))
        }
        "info" => Plan::show(Call::get(&["nodes"]).query_each("nodes", list(m, "nodes").unwrap_or_default()), View::NodeInfo, look(m)),
        "list-properties" => common::show_properties(m, Call::get(&["nodes", node]), Some("props")),
        "set-property" => Plan::write(Call::put(&["nodes", node]).body(common::property_body(m))),
        "restore" => {
            let mut body = Map::new();
            put(&mut body, "delete_resources", set(m, "delete-resources").then_some(true));
            put(&mut body, "delete_snapshots", set(m, "delete-snapshots").then_some(true));
            let call = Call::put(&["nodes", node, "restore"]);
            Plan::write(if body.is_empty() { call } else { call.body(Value::Object(body)) })
        }
        "evacuate" => Plan::write(evacuate(m)?),
        "set-log-level" => {
            let level = must(m, "LEVEL").to_ascii_uppercase();
            let member = if set(m, "library") { "level" } else { "level_linstor" };
            Plan::write(Call::put(&["nodes", node, "config"]).body(json!({"log": {member: level}})))
        }
        _ => return Err(unknown("node", word)),
    })
}

fn create(m: &ArgMatches) -> Result<Call, BadUsage> {
    let name = must(m, "NAME");
    let address = match one(m, "IP") {
        Some(address) => address.to_owned(),
        None => resolve(name)?,
    };
    let encryption = encryption(m)?;
    let port = match number(m, "port", PORTS)? {
        Some(port) => port,
        None if encryption == "ssl" => SSL_PORT,
        None => PLAIN_PORT,
    };
    Ok(Call::post(&["nodes"]).body(json!({
        "name": name,
        "type": node_type(one(m, "node-type").unwrap_or("satellite"))?,
        "net_interfaces": [{
            "name": one(m, "interface-name").unwrap_or("default"),
            "address": address,
            "satellite_port": port,
            "satellite_encryption_type": encryption,
        }],
    })))
}

/// A node without a satellite of its own: what it takes to reach its API is in properties.
fn create_spdk(m: &ArgMatches) -> Result<Call, BadUsage> {
    let mut props = Map::new();
    let mut prop = |key: &str, value: Option<String>| put(&mut props, &format!("StorDriver/RemoteSpdk/{key}"), value);
    prop("ApiHost", Some(must(m, "API_HOST").to_owned()));
    prop("ApiPort", number(m, "api-port", PORTS)?.map(|port| port.to_string()));
    for (key, option) in
        [("UserName", "api-user"), ("UserNameEnv", "api-user-env"), ("UserPassword", "api-pw"), ("UserPasswordEnv", "api-pw-env")]
    {
        prop(key, one(m, option).map(str::to_owned));
    }
    Ok(Call::post(&["nodes"]).body(json!({"name": must(m, "NAME"), "type": "remote_spdk", "props": props})))
}

fn interface_plan(matches: &ArgMatches) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let (node, name) = (must(m, "NODE"), one(m, "INTERFACE").unwrap_or_default());
    Ok(match word {
        "create" | "modify" => {
            let mut body = Map::new();
            put(&mut body, "name", Some(name));
            put(&mut body, "address", one(m, "IP").or(one(m, "ip")));
            let port = number(m, "port", PORTS)?;
            let encryption = encryption(m)?;
            if word == "create" {
                put(&mut body, "satellite_port", port);
                put(
                    &mut body,
                    "satellite_encryption_type",
                    (port.is_some() || one(m, "communication-type").is_some()).then_some(encryption),
                );
            } else {
                put(&mut body, "satellite_port", port);
                put(&mut body, "satellite_encryption_type", Some(encryption));
            }
            put(&mut body, "is_active", set(m, "active").then_some(true));
            let call = if word == "create" {
                Call::post(&["nodes", node, "net-interfaces"])
            } else {
                Call::put(&["nodes", node, "net-interfaces", name])
            };
            Plan::write(call.body(Value::Object(body)))
        }
        "delete" => Plan::write(Call::delete(&["nodes", node, "net-interfaces", name])),
        "list" => Plan::show(Call::get(&["nodes", node, "net-interfaces"]), View::Interfaces(node.to_owned()), look(m)),
        _ => return Err(unknown("node interface", word)),
    })
}

fn evacuate(m: &ArgMatches) -> Result<Call, BadUsage> {
    // Both options swallow names; the node may come after either of them.
    let (names, target) = words::settle(m, "NODE", "target", 1);
    let (names, avoid) = if names.is_empty() { words::settle(m, "NODE", "do-not-target", 1) } else { (names, list(m, "do-not-target")) };
    let node = names.first().ok_or_else(|| BadUsage::new("name the node to evacuate"))?;
    let mut body = Map::new();
    put(&mut body, "target", target);
    put(&mut body, "do_not_target", avoid);
    let call = Call::put(&["nodes", node, "evacuate"]);
    Ok(if body.is_empty() { call } else { call.body(Value::Object(body)) })
}

fn node_type(typed: &str) -> Result<String, BadUsage> {
    let lower = typed.to_ascii_lowercase();
    if ["controller", "auxiliary", "combined", "satellite"].contains(&lower.as_str()) {
        Ok(lower)
    } else {
        Err(BadUsage::new(format!("'{typed}' is no type of node; there are Controller, Auxiliary, Combined and Satellite")))
    }
}

fn encryption(m: &ArgMatches) -> Result<&'static str, BadUsage> {
    match one(m, "communication-type").map(str::to_ascii_lowercase).as_deref() {
        None | Some("plain") => Ok("plain"),
        Some("ssl") => Ok("ssl"),
        Some(other) => Err(BadUsage::new(format!("'{other}' is no way to talk; there are Plain and SSL"))),
    }
}

/// The address that this machine knows for a name; the controller wants addresses, not names.
fn resolve(name: &str) -> Result<String, BadUsage> {
    (name, 0u16)
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .map(|address| address.ip().to_string())
        .ok_or_else(|| BadUsage::new(format!("unable to resolve an IP address for '{name}'; give one after the name")))
}
