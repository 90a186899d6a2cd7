//! `berth balance`: brings definitions to as many replicas as are wanted, or tells what that would mean.

use anyhow::{Context, bail};
use berth_client::{Call, Client, Options, Severity, parse_controllers};
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::words::{BalanceWords, OutputFormat};

/// Runs the command.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn run(words: &BalanceWords) -> anyhow::Result<()> {
    let endpoints = parse_controllers(&words.controllers).with_context(|| format!("'{}' names no controller", words.controllers))?;
    let answer = crate::daemon::runtime(1)?.block_on(async {
        let client = Client::new(endpoints, Options::default())?;
        anyhow::Ok(client.send(&call(words)).await?)
    })?;
    let mut refused = None;
    if !words.list || !answer.ok() {
        for reply in answer.replies().unwrap_or_default() {
            let parts = [&reply.message, &reply.cause, &reply.correction];
            let text = parts.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            if reply.severity() == Severity::Error {
                refused.get_or_insert(text);
            } else if words.output == OutputFormat::Text {
                println!("{text}");
            }
        }
    }
    if words.output == OutputFormat::Json {
        println!("{}", serde_json::to_string_pretty(&answer.json().context("the controller does not answer with a document")?)?);
    } else if words.list && answer.ok() {
        println!("{}", table(&answer.json().context("the controller does not answer with a list")?));
    }
    match refused {
        Some(text) => bail!("{text}"),
        None => Ok(()),
    }
}

fn call(words: &BalanceWords) -> Call {
    if words.list {
        return Call::get(&["berth", "balance"]).query_each("resource", &words.resource).query_each("group", &words.group);
    }
    let call = Call::post(&["berth", "balance"]).body(json!({"resource_names": words.resource, "resource_groups": words.group}));
    if words.dry_run { call.query("dry_run", "true") } else { call }
}

fn table(findings: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["Resource", "Group", "Replicas", "Wanted", "Action", "Reason"]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for finding in findings.as_array().into_iter().flatten() {
        let action = match finding["action"].as_str().unwrap_or_default() {
            "add" => format!("place {} more", finding["count"]),
            "remove" => format!("remove the one on {}", text(&finding["node_name"])),
            _ => "leave alone".to_owned(),
        };
        let reason = finding["reason"].as_str().unwrap_or_default().to_owned();
        let [name, group, replicas, wanted] = ["resource_name", "resource_group", "replicas", "wanted"].map(|key| text(&finding[key]));
        table.add_row([name, group, replicas, wanted, action, reason]);
    }
    table
}
