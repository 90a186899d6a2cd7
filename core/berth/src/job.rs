//! `berth job`: what the controller is busy with, through the REST API like everybody else.

use anyhow::{Context, bail};
use berth_client::{Call, Client, Options, Severity, parse_controllers};
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::words::{JobVerb, JobWords};

/// Runs the verb.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn run(words: &JobWords) -> anyhow::Result<()> {
    let endpoints = parse_controllers(&words.controllers).with_context(|| format!("'{}' names no controller", words.controllers))?;
    crate::daemon::runtime(1)?.block_on(async {
        let client = Client::new(endpoints, Options::default())?;
        match &words.verb {
            JobVerb::List => {
                let jobs = client.send(&Call::get(&["berth", "jobs"])).await?.json().context("the controller does not list jobs")?;
                println!("{}", table(&jobs));
            }
            JobVerb::Cancel { id } => {
                let answer = client.send(&Call::delete(&["berth", "jobs", id])).await?;
                for reply in answer.replies().unwrap_or_default() {
                    let text = [reply.message.clone(), reply.cause.clone(), reply.correction.clone()]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join(" ");
                    if reply.severity() == Severity::Error {
                        bail!("{text}");
                    }
                    println!("{text}");
                }
            }
        }
        Ok(())
    })
}

fn table(jobs: &Value) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["Job", "Task", "Resource", "Node", "Waits for", "To do"]);
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    for job in jobs.as_array().into_iter().flatten() {
        let waits = job["waits_for"].as_array().cloned().unwrap_or_default();
        if waits.is_empty() {
            table.add_row([
                text(job, "uuid"),
                text(job, "task"),
                text(job, "resource_name"),
                String::new(),
                "its next step".to_owned(),
                String::new(),
            ]);
        }
        for wait in &waits {
            let cells = [
                text(job, "uuid"),
                text(job, "task"),
                text(job, "resource_name"),
                text(wait, "node_name"),
                text(wait, "state"),
                text(wait, "correction"),
            ];
            table.add_row(cells);
        }
    }
    table
}
