//! `berth job`: what the controller is busy with, through the REST API like everybody else.

use berth_cli::Table;
use berth_client::Call;
use serde_json::Value;

use crate::ask::{self, refused, told};
use crate::screen::{Page, row, show, show_replies};
use crate::words::{JobVerb, JobWords, OutputFormat};

/// Runs the verb.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn run(words: &JobWords) -> anyhow::Result<()> {
    let answer = ask::send(&words.connection, &call(&words.verb))?;
    refused(&answer)?;
    match &words.verb {
        JobVerb::List { json, .. } => show(&ask::document(&answer, "the controller does not list jobs")?, form(words.output, *json), table),
        JobVerb::Show { json, .. } => {
            show(&ask::document(&answer, "the controller does not show jobs")?, form(words.output, *json), |job| {
                let mut shown = Page::default();
                shown.text(page(job));
                shown.rows(None, rows(std::slice::from_ref(job)));
                shown
            })
        }
        JobVerb::Cancel { .. } | JobVerb::Retry { .. } => {
            show_replies(&answer, words.output, || answer.replies().unwrap_or_default().iter().map(|reply| told(reply) + "\n").collect())
        }
    }
}

fn form(output: OutputFormat, json: bool) -> OutputFormat {
    if json { OutputFormat::Json } else { output }
}

fn call(verb: &JobVerb) -> Call {
    match verb {
        JobVerb::List { resource, node, task, blocked, json: _ } => {
            let mut call = Call::get(&["berth", "jobs"]);
            call = call.query_each("resource", resource).query_each("node", node).query_each("task", task);
            if *blocked { call.query_each("blocked", &["true".to_owned()]) } else { call }
        }
        JobVerb::Show { id, json: _ } => Call::get(&["berth", "jobs", id]),
        JobVerb::Cancel { id, dry_run } => dry(Call::delete(&["berth", "jobs", id]), *dry_run),
        JobVerb::Retry { id, dry_run } => dry(Call::post(&["berth", "jobs", id, "retry"]), *dry_run),
    }
}

fn dry(call: Call, dry: bool) -> Call {
    if dry { call.query("dry_run", "true") } else { call }
}

fn text(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// What the job is about: its resource, its node, or both.
fn subject(job: &Value) -> String {
    let parts = [text(job, "resource_name"), text(job, "snapshot_name"), text(job, "node_name")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" / ")
}

fn step(job: &Value) -> String {
    list(job, "steps").find(|step| step["state"] == "now").map(|step| text(step, "name")).unwrap_or_default()
}

/// What a job waits for, one line each: what blocks it, or what is on the way.
fn waits(job: &Value) -> Vec<(String, String, String)> {
    let blockers = list(job, "blockers").map(|one| (text(one, "node_name"), text(one, "message"), text(one, "way_out")));
    let mut lines: Vec<_> = blockers.collect();
    if lines.is_empty() {
        let open = list(job, "waits_for").filter(|wait| wait["state"] == "pending");
        lines.extend(open.map(|wait| (text(wait, "node_name"), "on the way".to_owned(), String::new())));
    }
    if lines.is_empty() {
        lines.push((String::new(), "its next step".to_owned(), String::new()));
    }
    lines
}

fn table(jobs: &Value) -> Page {
    let mut page = Page::default();
    let table = rows(jobs.as_array().map(Vec::as_slice).unwrap_or_default());
    if table.rows.is_empty() {
        page.note("No open jobs.\n");
    }
    page.list(table);
    page
}

fn rows(jobs: &[Value]) -> Table {
    let mut table = Table::new(["Job", "Task", "About", "Step", "Node", "Waits for", "Way out"]);
    for job in jobs {
        for (at, (node, wait, way_out)) in waits(job).into_iter().enumerate() {
            let first = |cell: String| if at == 0 { cell } else { String::new() };
            let cells = [first(text(job, "uuid")), first(text(job, "task")), first(subject(job)), first(step(job)), node, wait, way_out];
            table.rows.push(row(cells));
        }
    }
    table
}

/// A moment for people.
fn moment(value: &Value, key: &str) -> String {
    let at = value[key].as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map(|at| format!("{at:.0}")).unwrap_or_default()
}

fn holder(holder: &Value) -> String {
    let device = text(holder, "device");
    match holder["kind"].as_str() {
        Some("mount") => format!("{device} is mounted on {}", text(holder, "path")),
        Some("process") => format!("{device} is open in {} (pid {})", text(holder, "command"), text(holder, "pid")),
        _ => format!("{device} is held by {}", text(holder, "by")),
    }
}

/// All about one job, a line for each fact.
fn page(job: &Value) -> String {
    let mut lines = vec![
        format!("Job      {}", text(job, "uuid")),
        format!("Task     {} of {}", text(job, "task"), subject(job)),
        format!("Asked    by {} at {}", text(job, "actor"), moment(job, "create_timestamp")),
    ];
    let steps: Vec<String> =
        list(job, "steps").map(|step| format!("{} ({})", text(step, "name"), text(step, "state").replace('_', " "))).collect();
    lines.push(format!("Steps    {}", steps.join(", ")));
    for wait in list(job, "waits_for") {
        let seen = moment(wait, "seen_timestamp");
        let word = if wait["state"] == "offline" { "since" } else { "seen" };
        let when = if seen.is_empty() { String::new() } else { format!(", {word} {seen}") };
        lines.push(format!("Item     {} on {}: {}{when}", text(wait, "item"), text(wait, "node_name"), text(wait, "state")));
    }
    for blocker in list(job, "blockers") {
        lines.push(format!("Blocked  {} on {}: {}", text(blocker, "object"), text(blocker, "node_name"), text(blocker, "message")));
        let cause = text(blocker, "cause");
        if !cause.is_empty() {
            lines.push(format!("         {cause}"));
        }
        lines.extend(list(blocker, "holders").map(|one| format!("         {}", holder(one))));
        lines.push(format!("Way out  {}", text(blocker, "way_out")));
    }
    for verb in ["cancel", "retry"] {
        let possible = job[verb]["possible"] == true;
        let word = if possible { "possible" } else { "not possible" };
        lines.push(format!("{:<8} {word}: {}", if verb == "cancel" { "Cancel" } else { "Retry" }, text(&job[verb], "outcome")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_blocked_job_is_shown_with_who_holds_the_device() {
        let job = json!({
            "uuid": "u", "task": "deactivate", "resource_name": "web", "actor": "PUBLIC", "create_timestamp": 0,
            "steps": [{"name": "detach", "state": "now"}], "waits_for": [{"node_name": "alpha", "item": "i", "state": "faulty", "seen_timestamp": 1000}],
            "blockers": [{"kind": "in_use", "object": "resource web", "node_name": "alpha", "message": "in use", "way_out": "'umount /mnt'",
                "holders": [{"kind": "mount", "device": "/dev/loop1", "path": "/mnt"}, {"kind": "process", "device": "/dev/loop1", "pid": 7, "command": "dd"}]}],
            "cancel": {"possible": true, "outcome": "active again"}, "retry": {"possible": true, "outcome": "again"}
        });
        let shown = page(&job);
        for part in [
            "/dev/loop1 is mounted on /mnt",
            "dd (pid 7)",
            "Way out  'umount /mnt'",
            "Cancel   possible: active again",
            "detach (now)",
            "seen 1970-01-01T00:00:01Z",
        ] {
            assert!(shown.contains(part), "{part} is not in\n{shown}");
        }
        let listed = table(&json!([job])).for_people(berth_cli::Screen { colour: false, utf8: true, width: None });
        assert!(listed.contains("deactivate") && listed.contains("'umount /mnt'"), "{listed}");
    }
}
