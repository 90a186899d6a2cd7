//! `resource`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use super::pool::single as single_pool;
use super::select;
use crate::drbd::{self, Scope};
use crate::plan::{Look, Plan, Transaction, View};
use crate::words::{self, BadUsage, all, flag, leaf, list, many, need, number, object, one, opt, put, quiet, set, settle};

const TOP: &str = "resource-definitions";
const NODE: (&str, &str) = ("NODE", "Name of the node");
const RESOURCE: (&str, &str) = ("RESOURCE", "Name of the resource");
const NAMES: [(&str, &str); 2] = [NODE, RESOURCE];
const PEERS: [(&str, &str); 3] = [("NODE_A", "One node"), ("NODE_B", "The other node"), RESOURCE];
const COUNT: &str = "auto-place";
const NODE_IDS: std::ops::RangeInclusive<u64> = 0..=31;

pub fn command() -> Command {
    object("resource", &["r"], "Replicas on nodes")
        .subcommand(
            select::with_diskless_types(select::with_filter(
                quiet(leaf("create", &["c"], "Put replicas on nodes", "resource create alpha bravo backups --storage-pool fast")),
                COUNT,
            ))
            .override_usage("linstor resource create [OPTIONS] <NODE>... <RESOURCE>\n       linstor resource create [OPTIONS] --auto-place <COUNT> <RESOURCE>")
            .arg(words::words("WORDS", "Nodes, then the resource's name; with --auto-place only the resource's name"))
            .arg(flag("diskless", "Without a disk").short('d').conflicts_with_all(["drbd-diskless", "nvme-initiator"]))
            .arg(flag("inactive", "Do not start it"))
            .arg(opt("node-id", "Its number among DRBD's peers").value_name("ID"))
            .arg(many("drbd-tcp-port", "TCP ports of DRBD").value_name("PORT")),
        )
        .subcommand(
            quiet(common::named(leaf("make-available", &["mkavail"], "Make a resource usable on a node", "resource make-available alpha backups"), &NAMES))
                .arg(flag("diskful", "With a disk"))
                .arg(many("layer-list", "Layers from top to bottom").short('l').value_name("LAYER")),
        )
        .subcommand(
            quiet(leaf("delete", &["d"], "Remove replicas from nodes", "resource delete alpha backups"))
                .override_usage("linstor resource delete [OPTIONS] <NODE>... <RESOURCE>")
                .arg(words::words("WORDS", "Nodes, then the resource's name"))
                .arg(flag("keep-tiebreaker", "Leave a tiebreaker behind")),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List replicas", "resource list -r backups"), ShortS::ShowProps)
                .arg(common::nodes_filter())
                .arg(common::resources_filter())
                .arg(many("storage-pools", "Only with volumes in these pools").value_name("POOL"))
                .arg(common::props_filter())
                .arg(flag("all", "Also tiebreakers").short('a'))
                .arg(flag("faulty", "Only what needs attention"))
                .arg(words::flag("ports", "Show TCP ports of DRBD").long("show-drbd-ports").alias("ports")),
        )
        .subcommand(
            common::list_options(leaf("involved", &["inv"], "List all replicas of the resources that a node has", "resource involved alpha"), ShortS::ShowProps)
                .arg(need(NODE.0, NODE.1))
                .arg(flag("inuse", "Only resources in use on it").short('i'))
                .arg(flag("diskful", "Only resources with a disk on it").short('d'))
                .arg(opt("max-diskful", "Only resources with at most so many disks").short('m').value_name("N")),
        )
        .subcommand(volume_list(leaf("list-volumes", &["lv"], "List volumes of replicas", "resource list-volumes")))
        .subcommand(common::list_properties(&NAMES, "resource list-properties alpha backups"))
        .subcommand(common::set_property(&NAMES, "resource set-property alpha backups DrbdOptions/SkipDisk"))
        .subcommand(drbd::with_options(
            common::named(
                leaf("drbd-peer-options", &["popt"], "Set or unset options of DRBD between two nodes", "resource drbd-peer-options --max-buffers 8192 alpha bravo backups"),
                &PEERS,
            ),
            Scope::Peer,
        ))
        .subcommand(
            quiet(leaf("toggle-disk", &["td"], "Give a replica a disk, or take it away", "resource toggle-disk alpha backups --storage-pool fast"))
                .override_usage("linstor resource toggle-disk [OPTIONS] <NODE> <RESOURCE>")
                .arg(words::words("WORDS", "Node and resource"))
                .arg(many("storage-pool", "Pool of the new disk").short('s').value_name("POOL"))
                .arg(words::flag("dflt", "Disk in the default pool").long("default-storage-pool").alias("dflt").conflicts_with("storage-pool"))
                .arg(flag("diskless", "Take the disk away").short('d').conflicts_with_all(["storage-pool", "dflt", "migrate-from"]))
                .arg(opt("migrate-from", "Remove the replica of this node once the new disk holds the data").value_name("NODE")),
        )
        .subcommand(common::named(leaf("activate", &["act"], "Start a replica", "resource activate alpha backups"), &NAMES))
        .subcommand(common::named(leaf("deactivate", &["deact"], "Stop a replica; its data stays", "resource deactivate alpha backups"), &NAMES))
        .subcommand(
            object("create-transactional", &["ct"], "Collect several replicas in interactive mode and create them at once")
                .subcommand(leaf("begin", &["b"], "From now on 'resource create' only collects", "resource create-transactional begin"))
                .subcommand(leaf("abort", &["a"], "Forget what was collected", "resource create-transactional abort"))
                .subcommand(leaf("commit", &["c"], "Create what was collected", "resource create-transactional commit")),
        )
}

/// `resource list-volumes` and `volume list` are one.
pub fn volume_list(command: Command) -> Command {
    common::list_options(command, ShortS::Taken)
        .arg(common::nodes_filter())
        .arg(common::resources_filter())
        .arg(many("storage-pools", "Only volumes in these pools").short('s').value_name("POOL"))
        .arg(common::props_filter())
        .arg(flag("all", "Also tiebreakers").short('a'))
}

/// The plan of [`volume_list`].
pub fn volume_list_plan(m: &ArgMatches) -> Plan {
    Plan::show(view(m), View::Volumes, look(m))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let (node, name) = (one(m, "NODE").unwrap_or_default(), one(m, "RESOURCE").unwrap_or_default());
    let path = [TOP, name, "resources", node];
    let on_node = |action: &str| [TOP, name, "resources", node, action].map(str::to_owned);
    let call_on_node = |make: fn(&[&str]) -> Call, action: &str| make(&on_node(action).each_ref().map(String::as_str));
    Ok(match word {
        "create" => Plan::write(create(m)?),
        "make-available" => {
            let mut body = Map::new();
            put(&mut body, "diskful", Some(set(m, "diskful")));
            put(&mut body, "layer_list", list(m, "layer-list"));
            Plan::write(call_on_node(Call::post, "make-available").body(Value::Object(body)))
        }
        "delete" => {
            let words = all(m, "WORDS").unwrap_or_default();
            let (name, nodes) = nodes_and_name(&words)?;
            let keep = set(m, "keep-tiebreaker");
            Plan::Write(
                nodes
                    .iter()
                    .map(|node| Call::delete(&[TOP, name, "resources", node]).query_each("keep_tiebreaker", keep.then_some("True")))
                    .collect(),
            )
        }
        "list" => Plan::show(view(m), View::Resources, look(m)),
        "involved" => {
            let view = View::Involved {
                node: node.to_owned(),
                in_use: set(m, "inuse"),
                diskful: set(m, "diskful"),
                at_most: number(m, "max-diskful", 0..=1000)?,
            };
            Plan::show(Call::get(&["view", "resources"]), view, Look { all: true, ..look(m) })
        }
        "list-volumes" => volume_list_plan(m),
        "list-properties" => common::show_properties(m, Call::get(&path), Some("props")),
        "set-property" => Plan::write(Call::put(&path).body(common::property_body(m))),
        "drbd-peer-options" => {
            let (a, b) = (one(m, "NODE_A").unwrap_or_default(), one(m, "NODE_B").unwrap_or_default());
            Plan::write(Call::put(&[TOP, name, "resource-connections", a, b]).body(common::drbd_body(m, Scope::Peer)?))
        }
        "toggle-disk" => Plan::write(toggle_disk(m)?),
        "activate" => Plan::write(call_on_node(Call::post, "activate")),
        "deactivate" => Plan::write(call_on_node(Call::post, "deactivate")),
        "create-transactional" => match verb(m)? {
            ("begin", _) => Plan::Transaction(Transaction::Begin),
            ("abort", _) => Plan::Transaction(Transaction::Abort),
            ("commit", _) => Plan::Transaction(Transaction::Commit),
            (other, _) => return Err(unknown("resource create-transactional", other)),
        },
        _ => return Err(unknown("resource", word)),
    })
}

fn view(m: &ArgMatches) -> Call {
    Call::get(&["view", "resources"])
        .query_each("nodes", list(m, "nodes").unwrap_or_default())
        .query_each("resources", list(m, "resources").unwrap_or_default())
        .query_each("storage_pools", list(m, "storage-pools").unwrap_or_default())
        .query_each("props", list(m, "props").unwrap_or_default())
}

fn nodes_and_name(words: &[String]) -> Result<(&String, &[String]), BadUsage> {
    words.split_last().filter(|(_, nodes)| !nodes.is_empty()).ok_or_else(|| BadUsage::new("name at least one node and then the resource"))
}

fn create(m: &ArgMatches) -> Result<Call, BadUsage> {
    if one(m, COUNT).is_some() {
        let (words, pools) = settle(m, "WORDS", "storage-pool", 1);
        let [name] = words.as_slice() else {
            return Err(BadUsage::new("with --auto-place name the resource and no nodes"));
        };
        return Ok(Call::post(&[TOP, name, "autoplace"]).body(select::autoplace_body(m, COUNT, pools)?));
    }
    let (words, pools) = settle(m, "WORDS", "storage-pool", 2);
    // Several names after -s can only be nodes: one replica lies in one pool.
    let (words, pools) = match (&words, pools) {
        (_, Some(pools)) if pools.len() > 1 => ([&pools[1..], &words[..]].concat(), Some(vec![pools[0].clone()])),
        (_, pools) => (words.clone(), pools),
    };
    let pool = single_pool(pools)?;
    let (name, nodes) = nodes_and_name(&words)?;
    let ports = list(m, "drbd-tcp-port")
        .map(|ports| ports.iter().map(|port| words::to_number(port, "--drbd-tcp-port", 1..=65535)).collect::<Result<Vec<_>, _>>())
        .transpose()?;
    let node_id = number(m, "node-id", NODE_IDS)?;
    let mut flags: Vec<&str> = select::diskless_type(m).into_iter().collect();
    if set(m, "diskless") {
        flags.push("DISKLESS");
    }
    if set(m, "inactive") {
        flags.push("INACTIVE");
    }
    let replicas = nodes
        .iter()
        .map(|node| {
            let mut resource = Map::new();
            put(&mut resource, "node_name", Some(node.as_str()));
            put(&mut resource, "flags", (!flags.is_empty()).then(|| flags.clone()));
            put(&mut resource, "props", pool.as_ref().map(|pool| json!({"StorPoolName": pool})));
            let mut replica = Map::new();
            replica.insert("resource".to_owned(), Value::Object(resource));
            put(&mut replica, "layer_list", list(m, "layer-list"));
            put(&mut replica, "drbd_node_id", node_id);
            put(&mut replica, "drbd_tcp_ports", ports.clone());
            Value::Object(replica)
        })
        .collect();
    Ok(Call::post(&[TOP, name, "resources"]).body(Value::Array(replicas)))
}

fn toggle_disk(m: &ArgMatches) -> Result<Call, BadUsage> {
    let (words, pools) = settle(m, "WORDS", "storage-pool", 2);
    let [node, name] = words.as_slice() else {
        return Err(BadUsage::new("name the node and the resource"));
    };
    let pool = single_pool(pools)?;
    if pool.is_none() && !set(m, "diskless") && !set(m, "dflt") && one(m, "migrate-from").is_none() {
        return Err(BadUsage::new("say what is wanted: --storage-pool POOL, --default-storage-pool or --diskless"));
    }
    let mut body = Map::new();
    put(&mut body, "operation", Some(if set(m, "diskless") { "INTO_DRBD_DISKLESS" } else { "INTO_DRBD_DISKFUL" }));
    put(&mut body, "storage_pool", pool);
    put(&mut body, "migrate_from", one(m, "migrate-from"));
    Ok(Call::put(&[TOP, name, "resources", node, "toggle-disk"]).body(Value::Object(body)))
}
