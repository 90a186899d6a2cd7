//! `resource-definition`

use berth_client::Call;
use clap::{Arg, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use super::select;
use crate::drbd::Scope;
use crate::plan::{Plan, View};
use crate::words::{BadUsage, all, flag, leaf, list, many, maybe, must, need, number, object, one, opt, put, quiet, set, settle, words};

const TOP: &str = "resource-definitions";
const NAMES: [(&str, &str); 1] = [("RESOURCE", "Name of the resource definition")];
const COUNT: &str = "place-count";
const PORTS: std::ops::RangeInclusive<u64> = 1..=65535;
const PEER_SLOTS: std::ops::RangeInclusive<u64> = 1..=31;
const SECONDS: std::ops::RangeInclusive<u64> = 1..=31_536_000;

pub fn command() -> Command {
    let layers = || {
        many("layer-list", "Layers from top to bottom: drbd, luks, nvme, writecache, cache, bcache, storage").short('l').value_name("LAYER")
    };
    let external = || opt("external-name", "Name outside; the resource's name is made from it").short('e').value_name("NAME");
    object("resource-definition", &["rd"], "Resources as the whole cluster sees them")
        .subcommand(
            quiet(leaf("create", &["c"], "Add a resource definition", "resource-definition create backups"))
                .arg(maybe("NAME", "Name; not needed with --external-name"))
                .arg(external())
                .arg(layers())
                .arg(opt("port", "TCP port of DRBD").short('p').value_name("PORT"))
                .arg(opt("peer-slots", "Peers that DRBD's metadata has room for").value_name("N"))
                .arg(opt("resource-group", "Resource group it belongs to").value_name("GROUP")),
        )
        .subcommand(select::with_diskless_types(select::with_filter(
            quiet(leaf("auto-place", &["ap"], "Place replicas where they fit", "resource-definition auto-place backups --place-count 2"))
                .arg(words("RESOURCE", "Name of the resource definition").num_args(0..=1)),
            COUNT,
        )))
        .subcommand(
            leaf("modify", &["m"], "Change a resource definition", "resource-definition modify backups --resource-group web")
                .arg(need(NAMES[0].0, NAMES[0].1))
                .arg(layers())
                .arg(opt("port", "TCP port of DRBD").short('p').value_name("PORT"))
                .arg(opt("peer-slots", "Peers that DRBD's metadata of new replicas has room for").value_name("N"))
                .arg(opt("resource-group", "Resource group to belong to").value_name("GROUP")),
        )
        .subcommand(
            quiet(leaf("delete", &["d"], "Remove resources from all nodes", "resource-definition delete backups"))
                .arg(words("RESOURCE", "Names of resource definitions").num_args(1..).required(true)),
        )
        .subcommand(
            quiet(leaf("clone", &["cln"], "Copy a resource with its data", "resource-definition clone backups copy"))
                .arg(need("SOURCE", "Resource definition to copy"))
                .arg(maybe("NAME", "Name of the copy; not needed with --external-name"))
                .arg(external())
                .arg(flag("use-zfs-clone", "On ZFS share blocks with the source, which then cannot go away"))
                .arg(flag("no-wait", "Do not wait for the copy to be complete"))
                .arg(opt("wait-timeout", "Seconds to wait at most").value_name("SECONDS"))
                .arg(many("volume-passphrases", "Pass phrases of encrypted volumes, one each"))
                .arg(layers())
                .arg(opt("resource-group", "Resource group of the copy").value_name("GROUP")),
        )
        .subcommand(
            leaf("wait-sync", &["ws"], "Wait until all replicas hold the data", "resource-definition wait-sync backups")
                .arg(need(NAMES[0].0, NAMES[0].1))
                .arg(opt("wait-timeout", "Seconds to wait at most").value_name("SECONDS")),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List resource definitions", "resource-definition list"), ShortS::ShowProps)
                .arg(many("resource-definitions", "Only these").short('r').value_name("RESOURCE").alias("resources"))
                .arg(common::props_filter())
                .arg(Arg::new("external").long("external-name").short('e').action(clap::ArgAction::SetTrue).help("Show external names"))
                .arg(flag("ports", "Show TCP ports")),
        )
        .subcommand(common::rename(&NAMES, "resource-definition rename backups archive"))
        .subcommand(common::list_properties(&NAMES, "resource-definition list-properties backups"))
        .subcommand(common::set_property(&NAMES, "resource-definition set-property backups DrbdOptions/auto-diskful 5"))
        .subcommand(common::drbd_options(Scope::All, &NAMES, "resource-definition drbd-options --al-extents 6007 backups"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let single = [TOP, one(m, "RESOURCE").unwrap_or_default()];
    Ok(match word {
        "create" => Plan::write(create(m)?),
        "auto-place" => {
            let (names, pools) = settle(m, "RESOURCE", "storage-pool", 1);
            let name = names.first().ok_or_else(|| BadUsage::new("name the resource definition"))?;
            Plan::write(Call::post(&[TOP, name, "autoplace"]).body(select::autoplace_body(m, COUNT, pools)?))
        }
        "modify" => {
            let mut body = Map::new();
            put(&mut body, "drbd_port", number(m, "port", PORTS)?);
            put(&mut body, "drbd_peer_slots", number(m, "peer-slots", PEER_SLOTS)?);
            put(&mut body, "layer_stack", list(m, "layer-list"));
            put(&mut body, "resource_group", one(m, "resource-group"));
            if body.is_empty() {
                return Err(BadUsage::new("say what to change; --help lists the options"));
            }
            Plan::write(Call::put(&single).body(Value::Object(body)))
        }
        "delete" => Plan::Write(all(m, "RESOURCE").unwrap_or_default().iter().map(|name| Call::delete(&[TOP, name])).collect()),
        "clone" => clone(m)?,
        "wait-sync" => Plan::WaitSync { call: Call::get(&[TOP, single[1], "sync-status"]), within: number(m, "wait-timeout", SECONDS)? },
        "list" => {
            let call = Call::get(&[TOP])
                .query_each("resource_definitions", list(m, "resource-definitions").unwrap_or_default())
                .query_each("props", list(m, "props").unwrap_or_default());
            Plan::show(call, View::Definitions, look(m))
        }
        "rename" => Plan::write(Call::post(&["berth", TOP, single[1], "rename"]).body(common::rename_body(m))),
        "list-properties" => common::show_properties(m, Call::get(&single), Some("props")),
        "set-property" => Plan::write(Call::put(&single).body(common::property_body(m))),
        "drbd-options" => Plan::write(Call::put(&single).body(common::drbd_body(m, Scope::All)?)),
        _ => return Err(unknown("resource-definition", word)),
    })
}

fn create(m: &ArgMatches) -> Result<Call, BadUsage> {
    let mut definition = named(m)?;
    if let Some(layers) = list(m, "layer-list") {
        let layers: Vec<Value> = layers.iter().map(|layer| json!({"type": layer})).collect();
        definition.insert("layer_data".to_owned(), Value::Array(layers));
    }
    put(&mut definition, "resource_group_name", one(m, "resource-group"));
    let mut body = Map::new();
    body.insert("resource_definition".to_owned(), Value::Object(definition));
    put(&mut body, "drbd_port", number(m, "port", PORTS)?);
    put(&mut body, "drbd_peer_slots", number(m, "peer-slots", PEER_SLOTS)?);
    Ok(Call::post(&[TOP]).body(Value::Object(body)))
}

fn clone(m: &ArgMatches) -> Result<Plan, BadUsage> {
    let source = must(m, "SOURCE").to_owned();
    let mut body = named(m)?;
    put(&mut body, "use_zfs_clone", set(m, "use-zfs-clone").then_some(true));
    put(&mut body, "volume_passphrases", list(m, "volume-passphrases"));
    put(&mut body, "layer_list", list(m, "layer-list"));
    put(&mut body, "resource_group", one(m, "resource-group"));
    let within = number(m, "wait-timeout", SECONDS)?;
    Ok(Plan::Clone {
        call: Call::post(&[TOP, &source, "clone"]).body(Value::Object(body)),
        source,
        wait: (!set(m, "no-wait")).then_some(within),
    })
}

/// `name` or `external_name`, whichever was given; both may be.
fn named(m: &ArgMatches) -> Result<Map<String, Value>, BadUsage> {
    let mut body = Map::new();
    put(&mut body, "name", one(m, "NAME"));
    put(&mut body, "external_name", one(m, "external-name"));
    if body.is_empty() { Err(BadUsage::new("give a name, or --external-name")) } else { Ok(body) }
}
