//! `backup`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Fields, Look, Plan, View};
use crate::words::{BadUsage, flag, leaf, list, many, must, need, object, one, opt, put, quiet, set};

const REMOTE: (&str, &str) = ("REMOTE", "Name of the remote");
const RESOURCE: (&str, &str) = ("RESOURCE", "Name of the resource definition");

static INFO: Fields = Fields {
    rows: "storpools",
    columns: &[("StoragePool", "name"), ("Kind", "provider_kind"), ("Target", "target_name"), ("Remaining (KiB)", "remaining_space_kib")],
};

pub fn command() -> Command {
    object("backup", &["b"], "Backups in remotes")
        .subcommand(
            common::list_options(leaf("list", &["l"], "List the backups of a remote", "backup list vault"), ShortS::ShowProps)
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(opt("resource", "Only of this resource").short('r'))
                .arg(flag("others", "Only what no cluster made").short('o').visible_alias("other"))
                .arg(flag("show-id", "Show the names of the backups").short('i')),
        )
        .subcommand(
            quiet(leaf("create", &["c"], "Ship a resource", "backup create vault web --full"))
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(need(RESOURCE.0, RESOURCE.1))
                .arg(flag("full", "All of it, not what changed").short('f'))
                .arg(opt("node", "From this node").short('n'))
                .arg(opt("snapshot", "This snapshot").short('s')),
        )
        .subcommand(
            object("delete", &["d"], "Remove backups")
                .subcommand(
                    remove(leaf("id", &[], "By name", "backup delete id vault web_back_20240301_020000"))
                        .arg(need("ID", "Name of the backup"))
                        .arg(flag("prefix", "All whose names begin so")),
                )
                .subcommand(
                    remove(leaf("filter", &["f"], "By what they are of", "backup delete filter vault -r web"))
                        .arg(opt("time", "Older than this").short('t').value_name("yyyyMMdd_HHmmss"))
                        .arg(opt("resource", "Of this resource").short('r'))
                        .arg(opt("node", "From this node").short('n')),
                )
                .subcommand(
                    remove(leaf("all", &["a"], "Everything", "backup delete all vault --cluster"))
                        .arg(flag("cluster", "Only what this cluster made").short('c')),
                )
                .subcommand(
                    remove(leaf("s3key", &["s3"], "By the key of an object", "backup delete s3key vault picture.png"))
                        .arg(need("KEY", "Key of the object")),
                ),
        )
        .subcommand(
            quiet(leaf("restore", &["rst"], "Make a resource from a backup", "backup restore vault alpha copy --resource web"))
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(need("NODE", "Name of the node that takes it"))
                .arg(need("TARGET", "Name of the new resource definition"))
                .arg(opt("resource", "The newest of this resource").short('r'))
                .arg(opt("id", "This backup"))
                .arg(opt("snapshot", "This snapshot").short('s'))
                .arg(opt("passphrase", "Passphrase of the source's encryption"))
                .arg(many("storpool-rename", "Into other pools").value_name("OLD=NEW"))
                .arg(flag("download-only", "Make only the snapshot"))
                .arg(flag("force-restore", "Also over a resource that is there")),
        )
        .subcommand(
            leaf("abort", &["a"], "Stop what is being shipped", "backup abort vault web")
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(need(RESOURCE.0, RESOURCE.1))
                .arg(flag("create", "Only what is being sent").short('c'))
                .arg(flag("restore", "Only what is being received").short('r')),
        )
        .subcommand(object("queue", &["q"], "What waits to be shipped").subcommand(common::list_options(
            leaf("list", &["l"], "List what waits", "backup queue list").arg(many("nodes", "Only of these nodes").short('n')),
            ShortS::ShowProps,
        )))
        .subcommand(
            quiet(leaf("ship", &["s"], "Ship a resource to another cluster", "backup ship far web web-copy"))
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(need("SOURCE", "Name of the resource definition here"))
                .arg(need("TARGET", "Name of the resource definition there"))
                .arg(opt("source-node", "From this node"))
                .arg(opt("target-node", "To this node"))
                .arg(opt("target-net-if", "Over this interface there"))
                .arg(opt("target-storage-pool", "Into this pool there"))
                .arg(many("storpool-rename", "Into other pools").value_name("OLD=NEW"))
                .arg(flag("download-only", "Make only the snapshot there"))
                .arg(flag("force-restore", "Also over a resource that is there")),
        )
        .subcommand(
            common::list_options(leaf("info", &["i"], "What a backup needs", "backup info vault --resource web"), ShortS::ShowProps)
                .arg(need(REMOTE.0, REMOTE.1))
                .arg(opt("resource", "The newest of this resource").short('r'))
                .arg(opt("id", "This backup"))
                .arg(opt("node", "Into this node").short('n')),
        )
        .subcommand(
            object("schedule", &["sched"], "Ship by a schedule")
                .subcommand(
                    switch(leaf("enable", &["e"], "Turn it on", "backup schedule enable vault nightly --rd web"))
                        .arg(opt("node", "From this node").short('n')),
                )
                .subcommand(switch(leaf("disable", &["dis"], "Turn it off", "backup schedule disable vault nightly --rd web")))
                .subcommand(switch(leaf("delete", &["d"], "Forget it", "backup schedule delete vault nightly --rd web"))),
        )
}

fn remove(command: Command) -> Command {
    quiet(command)
        .arg(need(REMOTE.0, REMOTE.1))
        .arg(flag("cascade", "Also what builds on it"))
        .arg(flag("keep-snaps", "Keep the snapshots here"))
}

fn switch(command: Command) -> Command {
    command
        .arg(need(REMOTE.0, REMOTE.1))
        .arg(need("SCHEDULE", "Name of the schedule"))
        .arg(opt("rd", "For this resource definition").value_name("NAME").visible_alias("resource-definition"))
        .arg(opt("rg", "For this resource group").value_name("NAME").visible_alias("resource-group"))
}

fn renames(m: &ArgMatches) -> Result<Option<Value>, BadUsage> {
    let Some(pairs) = list(m, "storpool-rename") else { return Ok(None) };
    let mut map = Map::new();
    for pair in pairs {
        let (old, new) = pair.split_once('=').ok_or_else(|| BadUsage::new(format!("'{pair}' is no renaming; write it as OLD=NEW")))?;
        map.insert(old.to_owned(), json!(new));
    }
    Ok(Some(Value::Object(map)))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let remote = one(m, REMOTE.0).unwrap_or_default().to_owned();
    let below = |last: &str| Call::post(&["remotes", &remote, "backups", last]);
    let mut body = Map::new();
    let yes = |name: &str| set(m, name).then_some(true);
    Ok(match word {
        "list" => {
            let call = Call::get(&["remotes", &remote, "backups"]).query_each("rsc_name", one(m, "resource"));
            let view = if set(m, "others") { View::BackupFiles } else { View::Backups };
            Plan::show(call, view, Look { full: set(m, "show-id"), ..look(m) })
        }
        "create" => {
            put(&mut body, "rsc_name", one(m, RESOURCE.0));
            put(&mut body, "node_name", one(m, "node"));
            put(&mut body, "snap_name", one(m, "snapshot"));
            put(&mut body, "incremental", Some(!set(m, "full")));
            Plan::write(Call::post(&["remotes", &remote, "backups"]).body(Value::Object(body)))
        }
        "delete" => delete(m)?,
        "restore" => {
            put(&mut body, "src_rsc_name", one(m, "resource"));
            put(&mut body, "src_snap_name", one(m, "snapshot"));
            put(&mut body, "last_backup", one(m, "id"));
            put(&mut body, "passphrase", one(m, "passphrase"));
            put(&mut body, "target_rsc_name", one(m, "TARGET"));
            put(&mut body, "node_name", one(m, "NODE"));
            put(&mut body, "stor_pool_map", renames(m)?);
            put(&mut body, "download_only", yes("download-only"));
            put(&mut body, "force_restore", yes("force-restore"));
            Plan::write(below("restore").body(Value::Object(body)))
        }
        "abort" => {
            put(&mut body, "rsc_name", one(m, RESOURCE.0));
            put(&mut body, "create", yes("create"));
            put(&mut body, "restore", yes("restore"));
            Plan::write(below("abort").body(Value::Object(body)))
        }
        "queue" => {
            let (_, m) = verb(m)?;
            let call = Call::get(&["view", "backup", "queue"]).query("snap_to_node", "true");
            Plan::show(call.query_each("nodes", list(m, "nodes").unwrap_or_default()), View::BackupQueue, look(m))
        }
        "ship" => {
            put(&mut body, "src_rsc_name", one(m, "SOURCE"));
            put(&mut body, "dst_rsc_name", one(m, "TARGET"));
            put(&mut body, "src_node_name", one(m, "source-node"));
            put(&mut body, "dst_node_name", one(m, "target-node"));
            put(&mut body, "dst_net_if_name", one(m, "target-net-if"));
            put(&mut body, "dst_stor_pool", one(m, "target-storage-pool"));
            put(&mut body, "stor_pool_rename", renames(m)?);
            put(&mut body, "download_only", yes("download-only"));
            put(&mut body, "force_restore", yes("force-restore"));
            Plan::write(below("ship").body(Value::Object(body)))
        }
        "info" => {
            put(&mut body, "src_rsc_name", one(m, "resource"));
            put(&mut body, "last_backup", one(m, "id"));
            put(&mut body, "node_name", one(m, "node"));
            Plan::show(below("info").body(Value::Object(body)), View::Fields(&INFO), look(m))
        }
        "schedule" => {
            let (how, m) = verb(m)?;
            let path = ["remotes", must(m, REMOTE.0), "backups", "schedule", must(m, "SCHEDULE"), how];
            Plan::write(if how == "delete" {
                Call::delete(&path).query_each("rsc_dfn_name", one(m, "rd")).query_each("rsc_grp_name", one(m, "rg"))
            } else {
                put(&mut body, "rsc_name", one(m, "rd"));
                put(&mut body, "grp_name", one(m, "rg"));
                put(&mut body, "node_name", one(m, "node"));
                Call::put(&path).body(Value::Object(body))
            })
        }
        _ => return Err(unknown("backup", word)),
    })
}

fn delete(matches: &ArgMatches) -> Result<Plan, BadUsage> {
    let (how, m) = verb(matches)?;
    let call = Call::delete(&["remotes", must(m, REMOTE.0), "backups"]);
    let call = match how {
        "id" => call.query(if set(m, "prefix") { "id_prefix" } else { "id" }, must(m, "ID")),
        "filter" if ["time", "resource", "node"].iter().all(|option| one(m, option).is_none()) => {
            return Err(BadUsage::new("say which backups: --time, --resource or --node; 'backup delete all' removes everything"));
        }
        "filter" => call
            .query_each("timestamp", one(m, "time"))
            .query_each("resource_name", one(m, "resource"))
            .query_each("node_name", one(m, "node")),
        "all" => call.query(if set(m, "cluster") { "all_local_cluster" } else { "all" }, "True"),
        "s3key" => call.query("s3key", must(m, "KEY")),
        _ => return Err(unknown("backup delete", how)),
    };
    let call = if set(m, "cascade") { call.query("cascading", "True") } else { call };
    let call = if set(m, "keep-snaps") { call.query("keep_snaps", "True") } else { call };
    Ok(Plan::write(call))
}
