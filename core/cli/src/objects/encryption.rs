//! `encryption`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::Now;
use super::common::{self, unknown, verb};
use crate::plan::{Asked, Plan};
use crate::words::{BadUsage, leaf, object, one, opt, quiet};

const PASSPHRASE: [&str; 2] = ["encryption", "passphrase"];
/// What each option says of the danger.
const SEEN: &str = "; without it, it is asked for, so that nobody sees it";

const NEW: Asked = Asked { prompt: "New master passphrase", member: Some("new_passphrase"), twice: true };
const OLD: Asked = Asked { prompt: "Old master passphrase", member: Some("old_passphrase"), twice: false };
const ENTERED: Asked = Asked { prompt: "Master passphrase", member: None, twice: false };

pub fn command() -> Command {
    let passphrase = || opt("passphrase", "The passphrase").long_help(format!("The passphrase{SEEN}.")).short('p').value_name("TEXT");
    object("encryption", &["e"], "The master passphrase, which opens the keys of encrypted volumes")
        .subcommand(
            quiet(leaf("create-passphrase", &["cp"], "Set the master passphrase, once for the cluster", "encryption create-passphrase"))
                .arg(passphrase()),
        )
        .subcommand(
            quiet(leaf(
                "enter-passphrase",
                &["ep"],
                "Enter the master passphrase after a start of the controller",
                "encryption enter-passphrase",
            ))
            .arg(passphrase()),
        )
        .subcommand(
            quiet(leaf("modify-passphrase", &["mp"], "Change the master passphrase", "encryption modify-passphrase"))
                .arg(opt("old-passphrase", "The old one").short('o').value_name("TEXT"))
                .arg(opt("new-passphrase", "The new one").short('n').value_name("TEXT")),
        )
        .subcommand(common::pastable(leaf(
            "status",
            &[],
            "Show whether the master passphrase is unset, locked or unlocked",
            "encryption status",
        )))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "create-passphrase" => with(Call::post(&PASSPHRASE), &[(NEW, one(m, "passphrase"))]),
        "enter-passphrase" => with(Call::patch(&PASSPHRASE), &[(ENTERED, one(m, "passphrase"))]),
        "modify-passphrase" => with(Call::put(&PASSPHRASE), &[(OLD, one(m, "old-passphrase")), (NEW, one(m, "new-passphrase"))]),
        "status" => common::show_properties(m, Call::get(&PASSPHRASE), None),
        _ => return Err(unknown("encryption", word)),
    })
}

/// The request with what was given; what was not is asked for.
fn with(call: Call, parts: &[(Asked, Option<&str>)]) -> Plan {
    let mut body = json!({});
    let mut asked = Vec::new();
    for (part, given) in parts {
        match (part.member, given) {
            (_, None) => asked.push(part.clone()),
            (Some(member), Some(text)) => body[member] = Value::from(*text),
            (None, Some(text)) => body = Value::from(*text),
        }
    }
    let call = if body == json!({}) { call } else { call.body(body) };
    if asked.is_empty() { Plan::write(call) } else { Plan::Secret { call, asked } }
}
