//! `snapshot`

use berth_client::Call;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{self, BadUsage, all, leaf, list, many, must, object, one, opt, put, quiet, settle};

const TOP: &str = "resource-definitions";
const NAMES: [(&str, &str); 2] = [("RESOURCE", "Name of the resource"), ("SNAPSHOT", "Name of the snapshot")];

pub fn command() -> Command {
    object("snapshot", &["s"], "States of resources kept for later")
        .subcommand(
            quiet(leaf("create", &["c"], "Take a snapshot", "snapshot create backups monday"))
                .override_usage("linstor snapshot create [NODE]... <RESOURCE> <SNAPSHOT>")
                .arg(words::words("WORDS", "Nodes (none: all that have a disk), the resource, the snapshot's name")),
        )
        .subcommand(
            quiet(leaf(
                "create-multiple",
                &["cm"],
                "Take snapshots of several resources at one moment",
                "snapshot create-multiple -r db log monday",
            ))
            .override_usage("linstor snapshot create-multiple -r <RESOURCE>... <SNAPSHOT>")
            .arg(words::words("SNAPSHOT", "Name of the snapshots").num_args(0..=1))
            .arg(many("resources", "The resources").short('r').value_name("RESOURCE").required(true))
            .arg(many("nodes", "Only on these nodes").short('n').value_name("NODE")),
        )
        .subcommand(
            quiet(common::named(leaf("delete", &["d"], "Remove a snapshot", "snapshot delete backups monday"), &NAMES))
                .arg(many("nodes", "Only from these nodes").short('n').value_name("NODE")),
        )
        .subcommand(
            quiet(common::named(
                leaf("rollback", &["rb"], "Put a resource back to a snapshot", "snapshot rollback backups monday"),
                &NAMES,
            ))
            .arg(opt("zfs-rollback-strategy", "How ZFS does it: rollback, clone or dynamic").value_name("WORD")),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List snapshots", "snapshot list"), ShortS::ShowProps)
                .arg(common::nodes_filter())
                .arg(common::resources_filter()),
        )
        .subcommand(common::rename(&NAMES, "snapshot rename backups before-upgrade monday"))
        .subcommand(common::list_properties(&NAMES, "snapshot list-properties backups monday"))
        .subcommand(common::set_property(&NAMES, "snapshot set-property --aux backups monday keep yes"))
        .subcommand(words::later("ship", &[], "Send a snapshot to another node"))
        .subcommand(object("volume-definition", &["vd"], "Volume definitions from a snapshot").subcommand(restore_options(quiet(leaf(
            "restore",
            &["rst"],
            "Give a resource definition the volumes of a snapshot",
            "snapshot volume-definition restore --from-resource backups --from-snapshot monday --to-resource copy",
        )))))
        .subcommand(
            object("resource", &["r"], "Resources from a snapshot").subcommand(
                restore_options(quiet(leaf(
                    "restore",
                    &["rst"],
                    "Make a resource with the data of a snapshot",
                    "snapshot resource restore --from-resource backups --from-snapshot monday --to-resource copy",
                )))
                .arg(words::words("NODE", "Only on these nodes"))
                .arg(many("storpool-rename", "Put what was in pool A into pool B").value_name("A=B")),
            ),
        )
}

fn restore_options(command: Command) -> Command {
    let name = |long: &'static str, short: &'static str, help: &'static str| -> Arg {
        opt(long, help).visible_alias(short).value_name("NAME").required(true)
    };
    command
        .arg(name("from-resource", "fr", "Resource that the snapshot was taken of"))
        .arg(name("from-snapshot", "fs", "The snapshot"))
        .arg(name("to-resource", "tr", "Resource definition that gets the data"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let (resource, snapshot) = (one(m, "RESOURCE").unwrap_or_default(), one(m, "SNAPSHOT").unwrap_or_default());
    let path = [TOP, resource, "snapshots", snapshot];
    Ok(match word {
        "create" => {
            let words = all(m, "WORDS").unwrap_or_default();
            let [nodes @ .., resource, snapshot] = words.as_slice() else {
                return Err(BadUsage::new("name the resource and the snapshot"));
            };
            let mut body = Map::new();
            put(&mut body, "name", Some(snapshot.as_str()));
            put(&mut body, "nodes", (!nodes.is_empty()).then(|| nodes.to_vec()));
            Plan::write(Call::post(&[TOP, resource, "snapshots"]).body(Value::Object(body)))
        }
        "create-multiple" => Plan::write(create_multiple(m)?),
        "delete" => Plan::write(Call::delete(&path).query_each("nodes", list(m, "nodes").unwrap_or_default())),
        "rollback" => {
            let mut body = Map::new();
            put(&mut body, "zfs_rollback_strategy", one(m, "zfs-rollback-strategy"));
            Plan::write(Call::post(&[TOP, resource, "snapshot-rollback", snapshot]).body(Value::Object(body)))
        }
        "list" => {
            let call = Call::get(&["view", "snapshots"])
                .query_each("nodes", list(m, "nodes").unwrap_or_default())
                .query_each("resources", list(m, "resources").unwrap_or_default());
            Plan::show(call, View::Snapshots, look(m))
        }
        "rename" => Plan::write(Call::post(&["berth", TOP, resource, "snapshots", snapshot, "rename"]).body(common::rename_body(m))),
        "list-properties" => common::show_properties(m, Call::get(&path), Some("snapshot_definition_props")),
        "set-property" => Plan::write(Call::put(&path).body(common::property_body(m))),
        "ship" => Plan::Later("snapshot ship".to_owned()),
        "volume-definition" => {
            let (_, m) = verb(m)?;
            Plan::write(restore(m, "snapshot-restore-volume-definition", Map::new()))
        }
        "resource" => {
            let (_, m) = verb(m)?;
            let mut body = Map::new();
            put(&mut body, "nodes", all(m, "NODE").filter(|nodes| !nodes.is_empty()));
            if let Some(pairs) = list(m, "storpool-rename") {
                let mut map = Map::new();
                for pair in &pairs {
                    let (from, to) =
                        pair.split_once('=').ok_or_else(|| BadUsage::new(format!("--storpool-rename: '{pair}' is not of the form A=B")))?;
                    map.insert(from.to_owned(), json!(to));
                }
                body.insert("stor_pool_rename".to_owned(), Value::Object(map));
            }
            Plan::write(restore(m, "snapshot-restore-resource", body))
        }
        _ => return Err(unknown("snapshot", word)),
    })
}

fn restore(m: &ArgMatches, action: &str, mut body: Map<String, Value>) -> Call {
    put(&mut body, "to_resource", Some(must(m, "to-resource")));
    Call::post(&[TOP, must(m, "from-resource"), action, must(m, "from-snapshot")]).body(Value::Object(body))
}

fn create_multiple(m: &ArgMatches) -> Result<Call, BadUsage> {
    let (names, resources) = settle(m, "SNAPSHOT", "resources", 1);
    let name = names.first().ok_or_else(|| BadUsage::new("name the snapshot after the resources"))?;
    let nodes = list(m, "nodes");
    let snapshots: Vec<Value> = resources
        .unwrap_or_default()
        .iter()
        .map(|resource| {
            let mut snapshot = Map::new();
            put(&mut snapshot, "resource_name", Some(resource.as_str()));
            put(&mut snapshot, "name", Some(name.as_str()));
            put(&mut snapshot, "nodes", nodes.clone());
            Value::Object(snapshot)
        })
        .collect();
    Ok(Call::post(&["actions", "snapshot", "multi"]).body(json!({ "snapshots": snapshots })))
}
