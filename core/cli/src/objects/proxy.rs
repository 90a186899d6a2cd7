//! `drbd-proxy`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::json;

use super::Now;
use super::common::{self, unknown, verb};
use crate::plan::Plan;
use crate::words::{self, BadUsage, leaf, must, need, object, one, opt, quiet};

const ENDS: [(&str, &str); 3] = [("NODE_A", "One node"), ("NODE_B", "The other node"), ("RESOURCE", "Name of the resource")];
/// Options of the proxy itself.
const OPTIONS: [(&str, &str); 5] = [
    ("memlimit", "Memory that it may take, bytes"),
    ("read-loops", "Rounds of reading before it writes"),
    ("ping-timeout", "Time for an answer to a ping, 1/10 seconds"),
    ("sndbuf-size", "Size of the send buffer, bytes"),
    ("rcvbuf-size", "Size of the receive buffer, bytes"),
];
/// Options of the compressions; the controller says which has which.
const COMPRESSION: [&str; 12] =
    ["level", "contexts", "dict-size", "lc", "lp", "pb", "nice-len", "mf", "mode", "depth", "fallback-to-zlib", "numa-threshold"];

/// `drbd-proxy`
pub fn command() -> Command {
    let switch = |word, alias, about, example| quiet(common::named(leaf(word, &[alias], about, example), &ENDS));
    let options = OPTIONS.iter().fold(
        quiet(leaf("options", &["opt"], "Set options of DRBD Proxy", "drbd-proxy options backups --memlimit 100000000"))
            .arg(need("RESOURCE", ENDS[2].1)),
        |command, (name, help)| command.arg(opt(name, help)),
    );
    let compression = COMPRESSION.iter().fold(
        quiet(leaf("compression", &["c"], "Choose how DRBD Proxy compresses", "drbd-proxy compression zlib backups --level 9"))
            .arg(need("TYPE", "none, zlib, lzma, lz4 or zstd").value_parser(["none", "zlib", "lzma", "lz4", "zstd"]))
            .arg(need("RESOURCE", ENDS[2].1)),
        |command, name| command.arg(opt(name, "An option of some compressions")),
    );
    object("drbd-proxy", &["proxy"], "DRBD Proxy between two replicas: its options are kept, it itself is not driven yet")
        .subcommand(switch("enable", "e", "Use DRBD Proxy between two replicas", "drbd-proxy enable alpha bravo backups"))
        .subcommand(switch("disable", "d", "Use DRBD Proxy no more", "drbd-proxy disable alpha bravo backups"))
        .subcommand(options)
        .subcommand(compression)
}

/// Plans of `drbd-proxy`.
pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    let top = ["resource-definitions", must(m, "RESOURCE"), "drbd-proxy"];
    let switch = |verb: &str| Call::post(&[top[0], top[1], top[2], verb, must(m, "NODE_A"), must(m, "NODE_B")]);
    Ok(match word {
        "enable" => Plan::write(switch("enable").body(json!({}))),
        "disable" => Plan::write(switch("disable")),
        "options" => {
            let set: Vec<(String, String)> =
                OPTIONS.iter().filter_map(|(name, _)| Some((format!("DrbdOptions/Proxy/{name}"), one(m, name)?.to_owned()))).collect();
            if set.is_empty() {
                return Err(BadUsage::new("name at least one option; --help lists them"));
            }
            Plan::write(Call::put(&top).body(words::prop_change(&set, &[])))
        }
        "compression" => {
            let mut body = json!({"compression_type": must(m, "TYPE")});
            for (name, value) in COMPRESSION.iter().filter_map(|name| Some((*name, one(m, name)?))) {
                body["compression_props"][format!("DrbdOptions/ProxyCompression/{name}")] = value.into();
            }
            Plan::write(Call::put(&top).body(body))
        }
        _ => return Err(unknown("drbd-proxy", word)),
    })
}
