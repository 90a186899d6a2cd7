//! `storage-pool-definition`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Plan, View};
use crate::words::{BadUsage, all, leaf, list, many, must, need, object, one, quiet, words};

const NAMES: [(&str, &str); 1] = [("POOL", "Name of the pools")];

pub fn command() -> Command {
    object("storage-pool-definition", &["spd"], "What pools of one name on all nodes have in common")
        .subcommand(
            quiet(leaf("create", &["c"], "Reserve a pool name", "storage-pool-definition create fast"))
                .arg(need("POOL", "Name of the pools")),
        )
        .subcommand(
            quiet(leaf("delete", &["d"], "Give up a pool name", "storage-pool-definition delete fast"))
                .arg(words("POOL", "Names").num_args(1..).required(true)),
        )
        .subcommand(
            common::list_options(leaf("list", &["l"], "List pool names", "storage-pool-definition list"), ShortS::Taken)
                .arg(many("storage-pools", "Only these").short('s').value_name("POOL")),
        )
        .subcommand(common::list_properties(&NAMES, "storage-pool-definition list-properties fast"))
        .subcommand(common::set_property(&NAMES, "storage-pool-definition set-property fast Aux/kind ssd"))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let top = "storage-pool-definitions";
    Ok(match word {
        "create" => Plan::write(Call::post(&[top]).body(json!({"storage_pool_name": must(m, "POOL")}))),
        "delete" => Plan::Write(all(m, "POOL").unwrap_or_default().iter().map(|name| Call::delete(&[top, name])).collect()),
        "list" => {
            let mut look = look(m);
            look.only = list(m, "storage-pools").unwrap_or_default();
            Plan::show(Call::get(&[top]), View::PoolDefinitions, look)
        }
        "list-properties" => common::show_properties(m, Call::get(&[top, one(m, "POOL").unwrap_or_default()]), Some("props")),
        "set-property" => Plan::write(Call::put(&[top, one(m, "POOL").unwrap_or_default()]).body(common::property_body(m))),
        _ => return Err(unknown(top, word)),
    })
}
