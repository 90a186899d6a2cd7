//! `resource-group`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use super::select::{self, CountAs, filter};
use crate::drbd::Scope;
use crate::plan::{Look, Plan, View};
use crate::size::parse_kib;
use crate::words::{BadUsage, flag, leaf, list, many, number, object, one, opt, put, quiet, set, settle, words};

const TOP: &str = "resource-groups";
const NAMES: [(&str, &str); 1] = [("GROUP", "Name of the resource group")];
const COUNT: &str = "place-count";
const PEER_SLOTS: std::ops::RangeInclusive<u64> = 1..=31;

pub fn command() -> Command {
    let group = || words("GROUP", "Name of the resource group").num_args(0..=1);
    object("resource-group", &["rg"], "Templates: where and how resources are made")
        .subcommand(settings(
            quiet(leaf("create", &["c"], "Add a resource group", "resource-group create web --place-count 2 --storage-pool fast"))
                .arg(group()),
        ))
        .subcommand(settings(
            leaf("modify", &["m"], "Change a resource group and what was made from it", "resource-group modify web --place-count 3")
                .arg(group()),
        ))
        .subcommand(
            quiet(leaf("delete", &["d"], "Remove resource groups that nothing was made from", "resource-group delete web"))
                .arg(words("GROUP", "Names of resource groups").num_args(1..).required(true)),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List resource groups", "resource-group list"), ShortS::ShowProps)
                .arg(many("resource-groups", "Only these groups").short('r').value_name("GROUP"))
                .arg(common::props_filter()),
        )
        .subcommand(common::rename(&NAMES, "resource-group rename gold platinum"))
        .subcommand(common::list_properties(&NAMES, "resource-group list-properties web"))
        .subcommand(common::set_property(&NAMES, "resource-group set-property web DrbdOptions/Net/protocol A"))
        .subcommand(common::drbd_options(Scope::All, &NAMES, "resource-group drbd-options --verify-alg crc32c web"))
        .subcommand(
            select::with_filter(
                quiet(leaf("spawn-resources", &["spawn"], "Make a resource from a group", "resource-group spawn-resources web site1 10G")),
                COUNT,
            )
            .override_usage("linstor resource-group spawn-resources [OPTIONS] <GROUP> [RESOURCE] [SIZE]...")
            .arg(words("WORDS", "Group, name of the resource (none with --external-name), a size for each volume"))
            .arg(flag("partial", "Sizes and volume groups need not match in number").short('p'))
            .arg(flag("definition-only", "Make the definitions, place nothing").short('d'))
            .arg(opt("external-name", "Name outside; the resource's name is made from it").short('e').value_name("NAME"))
            .arg(many("volume-passphrases", "Pass phrases of encrypted volumes, one each")),
        )
        .subcommand(
            common::pastable(leaf(
                "query-max-volume-size",
                &["qmvs"],
                "Size of the largest volume that fits",
                "resource-group query-max-volume-size web",
            ))
            .arg(group().required(true)),
        )
        .subcommand(select::with_filter(
            common::pastable(leaf("query-size-info", &["qsi"], "Space for resources of this group", "resource-group query-size-info web"))
                .arg(group()),
            COUNT,
        ))
        .subcommand(select::with_filter(
            quiet(leaf("adjust", &["adj"], "Place again what was made from a group, or from all", "resource-group adjust web"))
                .arg(group()),
            COUNT,
        ))
}

fn settings(command: Command) -> Command {
    select::with_filter(command, COUNT)
        .arg(opt("description", "What it is for").short('d').value_name("TEXT"))
        .arg(opt("peer-slots", "Peers that DRBD's metadata has room for").value_name("N"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let name = one(m, "GROUP").unwrap_or_default();
    Ok(match word {
        "create" | "modify" => {
            let (names, body) = group_body(m)?;
            let name = names.first().ok_or_else(|| BadUsage::new("name the resource group"))?;
            if word == "create" {
                let mut named = Map::new();
                named.insert("name".to_owned(), json!(name));
                named.extend(body);
                Plan::write(Call::post(&[TOP]).body(Value::Object(named)))
            } else {
                Plan::write(Call::put(&[TOP, name]).body(Value::Object(body)))
            }
        }
        "delete" => Plan::Write(crate::words::all(m, "GROUP").unwrap_or_default().iter().map(|name| Call::delete(&[TOP, name])).collect()),
        "list" => {
            let call = Call::get(&[TOP])
                .query_each("resource_groups", list(m, "resource-groups").unwrap_or_default())
                .query_each("props", list(m, "props").unwrap_or_default());
            Plan::show(call, View::Groups, look(m))
        }
        "rename" => Plan::write(Call::post(&["berth", TOP, name, "rename"]).body(common::rename_body(m))),
        "list-properties" => common::show_properties(m, Call::get(&[TOP, name]), Some("props")),
        "set-property" => Plan::write(Call::put(&[TOP, name]).body(common::property_body(m))),
        "drbd-options" => Plan::write(Call::put(&[TOP, name]).body(common::drbd_body(m, Scope::All)?)),
        "spawn-resources" => Plan::write(spawn(m)?),
        "query-max-volume-size" => Plan::show(Call::get(&[TOP, name, "query-max-volume-size"]), View::MaxVolumeSize, look(m)),
        "query-size-info" => {
            let (names, pools) = settle(m, "GROUP", "storage-pool", 1);
            let name = names.first().ok_or_else(|| BadUsage::new("name the resource group"))?;
            let body = json!({"select_filter": whole_filter(m, pools)?});
            Plan::show(
                Call::post(&[TOP, name, "query-size-info"]).body(body),
                View::SizeInfo,
                Look { pastable: set(m, "pastable"), ..Look::default() },
            )
        }
        "adjust" => {
            let filter = whole_filter(m, list(m, "storage-pool"))?;
            let call = if name.is_empty() { Call::post(&[TOP, "adjustall"]) } else { Call::post(&[TOP, name, "adjust"]) };
            Plan::write(if filter.is_empty() { call } else { call.body(json!({"select_filter": filter})) })
        }
        _ => return Err(unknown("resource-group", word)),
    })
}

/// Name and body of create and modify.
fn group_body(m: &ArgMatches) -> Result<(Vec<String>, Map<String, Value>), BadUsage> {
    let (names, pools) = settle(m, "GROUP", "storage-pool", 1);
    let mut filter = filter(m, COUNT, CountAs::Text, pools)?;
    put(&mut filter, "diskless_on_remaining", select::diskless_on_remaining(m)?);
    let mut body = Map::new();
    put(&mut body, "description", one(m, "description"));
    body.insert("select_filter".to_owned(), Value::Object(filter));
    put(&mut body, "peer_slots", number(m, "peer-slots", PEER_SLOTS)?);
    Ok((names, body))
}

fn whole_filter(m: &ArgMatches, pools: Option<Vec<String>>) -> Result<Map<String, Value>, BadUsage> {
    let mut filter = filter(m, COUNT, CountAs::Number, pools)?;
    put(&mut filter, "diskless_on_remaining", select::diskless_on_remaining(m)?);
    Ok(filter)
}

fn spawn(m: &ArgMatches) -> Result<Call, BadUsage> {
    let external = one(m, "external-name");
    let least = if external.is_some() { 1 } else { 2 };
    // With nothing before or between the options, -s has swallowed all words: then it means one pool.
    let wanted = if crate::words::all(m, "WORDS").is_none() { usize::MAX } else { least };
    let (mut words, pools) = settle(m, "WORDS", "storage-pool", wanted);
    if words.len() < least {
        return Err(BadUsage::new("name the resource group and the resource, then give a size for each volume"));
    }
    let group = words.remove(0);
    let name = if external.is_some() { String::new() } else { words.remove(0) };
    let sizes = words.iter().map(|size| parse_kib(size)).collect::<Result<Vec<_>, _>>().map_err(|bad| BadUsage::new(bad.to_string()))?;
    let mut body = Map::new();
    put(&mut body, "resource_definition_name", Some(name));
    put(&mut body, "resource_definition_external_name", external);
    put(&mut body, "volume_sizes", Some(sizes));
    put(&mut body, "partial", set(m, "partial").then_some(true));
    put(&mut body, "definitions_only", set(m, "definition-only").then_some(true));
    put(&mut body, "volume_passphrases", list(m, "volume-passphrases"));
    body.insert("select_filter".to_owned(), Value::Object(whole_filter(m, pools)?));
    Ok(Call::post(&[TOP, &group, "spawn"]).body(Value::Object(body)))
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_grammar_holds_together() {
        command().debug_assert();
    }
}
