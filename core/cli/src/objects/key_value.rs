//! `key-value-store`

use berth_client::Call;
use clap::{ArgMatches, Command};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Look, Plan, View};
use crate::words::{self, BadUsage, leaf, maybe, must, need, object, one, set};

const TOP: &str = "key-value-store";

pub fn command() -> Command {
    object("key-value-store", &["kv"], "Texts that other programs keep here")
        .subcommand(common::list_options(leaf("list", &["l"], "List instances", "key-value-store list"), ShortS::ShowProps))
        .subcommand(
            common::pastable(leaf("show", &["s"], "Show an instance's keys and values", "key-value-store show settings"))
                .arg(need("INSTANCE", "Name of the instance")),
        )
        .subcommand(
            leaf("modify", &["m"], "Set a key; without a value remove it", "key-value-store modify settings colour blue")
                .arg(need("INSTANCE", "Name of the instance"))
                .arg(need("KEY", "Key"))
                .arg(maybe("VALUE", "Value; nothing or an empty text removes the key").allow_negative_numbers(true)),
        )
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list" => Plan::show(Call::get(&[TOP]), View::KeyValues, look(m)),
        "show" => {
            let look = Look { pastable: set(m, "pastable"), ..Look::default() };
            Plan::show(Call::get(&[TOP]), View::KeyValue(must(m, "INSTANCE").to_owned()), look)
        }
        "modify" => {
            let key = must(m, "KEY").to_owned();
            let body = match one(m, "VALUE") {
                Some(value) if !value.is_empty() => words::prop_change(&[(key, value.to_owned())], &[]),
                Some(_) | None => words::prop_change(&[], &[key]),
            };
            Plan::write(Call::put(&[TOP, must(m, "INSTANCE")]).body(body))
        }
        _ => return Err(unknown(TOP, word)),
    })
}
