//! `berth balance`: brings definitions to as many replicas as are wanted, or tells what that would mean.

use berth_cli::Table;
use berth_client::{Call, Severity};
use serde_json::{Value, json};

use crate::ask::{self, refused, told};
use crate::screen::{Page, row, show, show_replies};
use crate::words::{BalanceWords, OutputFormat};

/// Runs the command.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn run(words: &BalanceWords) -> anyhow::Result<()> {
    let answer = ask::send(&words.connection, &call(words))?;
    if !words.list {
        show_replies(&answer, words.output, || {
            let replies = answer.replies().unwrap_or_default();
            replies.iter().filter(|reply| reply.severity() != Severity::Error).map(|reply| told(reply) + "\n").collect()
        })?;
    } else if answer.ok() || matches!(words.output, OutputFormat::Json | OutputFormat::Yaml) {
        show(&ask::document(&answer, "the controller does not answer with a document")?, words.output, table)?;
    }
    refused(&answer)
}

fn call(words: &BalanceWords) -> Call {
    if words.list {
        return Call::get(&["berth", "balance"]).query_each("resource", &words.resource).query_each("group", &words.group);
    }
    let call = Call::post(&["berth", "balance"]).body(json!({"resource_names": words.resource, "resource_groups": words.group}));
    if words.dry_run { call.query("dry_run", "true") } else { call }
}

fn table(findings: &Value) -> Page {
    let mut table = Table::new(["Resource", "Group", "Replicas", "Wanted", "Action", "Reason"]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for finding in findings.as_array().into_iter().flatten() {
        let action = match finding["action"].as_str().unwrap_or_default() {
            "add" => format!("place {} more", finding["count"]),
            "remove" => format!("remove the one on {}", text(&finding["node_name"])),
            _ => "leave alone".to_owned(),
        };
        let reason = finding["reason"].as_str().unwrap_or_default().to_owned();
        let [name, group, replicas, wanted] = ["resource_name", "resource_group", "replicas", "wanted"].map(|key| text(&finding[key]));
        table.rows.push(row([name, group, replicas, wanted, action, reason]));
    }
    let mut page = Page::default();
    if table.rows.is_empty() {
        page.note("Everything has as many replicas as are wanted.\n");
    }
    page.list(table);
    page
}
