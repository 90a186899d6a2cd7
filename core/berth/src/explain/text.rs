//! Stories as text.

use berth_cli::Table;
use serde_json::Value;

use crate::screen::{Page, row};

/// Fields of one entry that are shown; the document has all.
const FIELDS: usize = 8;

/// A member as text; missing: empty.
pub fn word(value: &Value, key: &str) -> String {
    plain(&value[key])
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// When something was seen, or since when it is unknown.
pub fn when(one: &Value) -> String {
    match (one["seen"].as_str(), one["unknown_since"].as_str()) {
        (Some(seen), _) => seen.to_owned(),
        (None, Some(since)) => format!("unknown since {since}"),
        (None, None) => "never seen".to_owned(),
    }
}

/// From where on the log knows; empty: from the beginning.
pub fn knows_from(document: &Value) -> String {
    match document["knows_from"]["serial"].as_u64() {
        None => String::new(),
        Some(serial) => {
            format!("The log knows from {} on (serial {serial}); older entries were trimmed.\n", word(&document["knows_from"], "at"))
        }
    }
}

/// The records that an entry wrote and removed.
pub fn changed(entry: &Value) -> String {
    let named = |side: &str, sign: &str| {
        let names = entry["changes"][side].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.map(|name| format!("{sign}{name}")).collect::<Vec<_>>()
    };
    [named("put", ""), named("delete", "-")].concat().join("\n")
}

/// Notes of a decision, one line each.
pub fn notes(decision: &Value) -> Vec<String> {
    let cause = |note: &Value| match word(note, "cause") {
        text if text.is_empty() => String::new(),
        text => format!(" ({text})"),
    };
    let line = |note: &Value| match note["note"].as_str() {
        Some("said") => format!("{}{}", word(note, "message"), cause(note)),
        Some("seen") => format!("{}: {} {}{}", word(note, "node"), word(note, "object"), word(note, "state"), cause(note)),
        Some("chosen") => chosen(note),
        Some("passed_over") => {
            let first: Vec<String> = note["first"].as_array().into_iter().flatten().map(plain).collect();
            let (count, more) =
                (note["count"].as_u64().unwrap_or_default(), if note["count"].as_u64() > Some(first.len() as u64) { ", …" } else { "" });
            format!(
                "not on {}{more}{}: {}",
                first.join("; "),
                if more.is_empty() { String::new() } else { format!(" ({count})") },
                word(note, "cause")
            )
        }
        Some("more") => format!("and {} more", note["count"]),
        Some(_) | None => plain(note),
    };
    decision.as_array().into_iter().flatten().map(line).collect()
}

fn chosen(note: &Value) -> String {
    let pool = match word(note, "pool") {
        pool if pool.is_empty() => String::new(),
        pool => format!(", pool {pool}"),
    };
    let score = note["score"].as_f64().map(|score| format!(", score {score:.4}")).unwrap_or_default();
    let wanted = note["wanted"].as_u64().map_or_else(|| "as many as fit".to_owned(), |wanted| wanted.to_string());
    let free = note["free_kib"].as_u64().map(|free| format!(", {free} KiB could be promised")).unwrap_or_default();
    format!(
        "{}{pool}: chosen for '{}'{score}{free}; {wanted} wanted, {} nodes fit",
        word(note, "node"),
        word(note, "resource"),
        note["fitting"]
    )
}

fn own(entry: &Value) -> Vec<String> {
    let fields: Vec<&Value> = entry["fields"].as_array().into_iter().flatten().collect();
    match entry["op"].as_str() {
        Some("make") => vec!["made".to_owned()],
        Some("remove") => vec!["removed".to_owned()],
        Some(_) => {
            let value = |value: &Value| if value.is_null() { "nothing".to_owned() } else { plain(value) };
            let line = |field: &&Value| format!("{}: {} became {}", word(field, "field"), value(&field["before"]), value(&field["after"]));
            let mut lines: Vec<String> = fields.iter().take(FIELDS).map(line).collect();
            if let Some(more) = fields.len().checked_sub(FIELDS).filter(|more| *more > 0) {
                lines.push(format!("and {more} fields more"));
            }
            lines
        }
        None => Vec::new(),
    }
}

/// The story of an object as text, and as rows.
pub fn page(document: &Value) -> Page {
    let list = |key: &str| document[key].as_array().into_iter().flatten();
    let mut page = Page::default();
    page.text(story(document));
    let mut history = Table::new(["Object", "Serial", "When", "Who", "From", "Command", "What"]);
    for entry in list("history") {
        let what: Vec<String> = own(entry).into_iter().chain(notes(&entry["decision"])).collect();
        let told = ["serial", "at", "actor", "origin", "command"].map(|key| word(entry, key));
        let cells = [word(document, "object")].into_iter().chain(told).chain([what.join("\n")]);
        history.rows.push(row(cells));
    }
    page.rows(Some("history"), history);
    let mut now = Table::new(["Object", "Node", "Wanted", "Found", "Seen", "Why", "To do"]);
    for one in list("now") {
        let object = format!("{} {}", word(one, "kind").replace('_', " "), word(one, "name"));
        let found = if one["found"].is_string() { word(one, "found") } else { "unknown".to_owned() };
        let cells = [object, word(one, "node"), word(one, "wanted"), found, when(one), word(one, "reason"), word(one, "correction")];
        now.rows.push(row(cells));
    }
    page.rows(Some("now"), now);
    let mut waits = Table::new(["Object", "Node", "Job", "Task", "Who", "Why", "To do"]);
    for job in list("blocked_by") {
        for blocker in job["blockers"].as_array().into_iter().flatten() {
            let about = ["object", "node_name"].map(|key| word(blocker, key));
            let why = [word(blocker, "message"), word(blocker, "cause")].join(" ");
            let job = ["uuid", "task", "actor"].map(|key| word(job, key));
            waits.rows.push(row(about.into_iter().chain(job).chain([why.trim_end().to_owned(), word(blocker, "way_out")])));
        }
    }
    page.rows(Some("waits for"), waits);
    page
}

/// The story of an object: what happened, oldest first, then what it is now and what blocks it.
pub fn story(document: &Value) -> String {
    let is = if document["exists"] == Value::Bool(true) { "it exists" } else { "it does not exist now" };
    let mut out = format!("{}: {is}", word(document, "object"));
    if let Some(count) = document["generations"].as_u64().filter(|count| *count > 1) {
        out.push_str(&format!("; {count} objects had this name"));
    }
    out.push('\n');
    if document["connection"].is_object() {
        let connection = &document["connection"];
        let why = match word(connection, "reason") {
            text if text.is_empty() => String::new(),
            text => format!("; {text}"),
        };
        out.push_str(&format!("Its satellite: {} ({}){why}\n", word(connection, "status"), when(connection)));
    }
    out.push_str(&knows_from(document));
    let history: Vec<&Value> = document["history"].as_array().into_iter().flatten().collect();
    if let (true, Some(first)) = (document["more"] == Value::Bool(true), history.first()) {
        out.push_str(&format!("There are older entries: --before {}\n", first["serial"]));
    }
    for entry in history {
        let from = match word(entry, "origin") {
            text if text.is_empty() => String::new(),
            text => format!(" from {text}"),
        };
        let generation = match entry["generation"].as_u64() {
            Some(generation) if document["generations"].as_u64().is_some_and(|count| count > 1) => format!(" [object {generation}]"),
            Some(_) | None => String::new(),
        };
        out.push_str(&format!(
            "\n{}  #{}  {} by {}{from}{generation}\n",
            word(entry, "at"),
            entry["serial"],
            word(entry, "command"),
            word(entry, "actor")
        ));
        for line in own(entry).into_iter().chain(notes(&entry["decision"])) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    let now: Vec<&Value> = document["now"].as_array().into_iter().flatten().collect();
    if !now.is_empty() {
        out.push_str("\nNow:\n");
    }
    for one in now {
        let found = if one["found"].is_string() { word(one, "found") } else { "unknown".to_owned() };
        let why = match word(one, "reason") {
            text if text.is_empty() => String::new(),
            text => format!("; {text}"),
        };
        let (kind, name) = (word(one, "kind").replace('_', " "), word(one, "name"));
        out.push_str(&format!("  {}, {kind} {name}: {found} ({}){why}\n", word(one, "node"), when(one)));
        out.push_str(&format!("    wanted: {}\n", word(one, "wanted")));
        if !word(one, "correction").is_empty() {
            out.push_str(&format!("    to do: {}\n", word(one, "correction")));
        }
    }
    let blockers: Vec<&Value> = document["blocked_by"].as_array().into_iter().flatten().collect();
    if !blockers.is_empty() {
        out.push_str("\nWaits for:\n");
    }
    for one in blockers {
        out.push_str(&format!("  job {} ({}, asked for by {})\n", word(one, "uuid"), word(one, "task"), word(one, "actor")));
        let listed: Vec<&Value> = one["blockers"].as_array().into_iter().flatten().collect();
        if listed.is_empty() {
            out.push_str("    nothing blocks it; it is on the way\n");
        }
        for blocker in listed {
            let place = match word(blocker, "node_name") {
                node if node.is_empty() => word(blocker, "object"),
                node => format!("{node}, {}", word(blocker, "object")),
            };
            let cause = match word(blocker, "cause") {
                text if text.is_empty() => String::new(),
                text => format!(" ({text})"),
            };
            out.push_str(&format!("    {place}: {}{cause}\n", word(blocker, "message")));
            for holder in blocker["holders"].as_array().into_iter().flatten() {
                let parts = ["device", "path", "pid", "command", "by"].map(|part| word(holder, part));
                let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                out.push_str(&format!("      held by {}: {}\n", word(holder, "kind"), parts.join(" ")));
            }
            if !word(blocker, "way_out").is_empty() {
                out.push_str(&format!("      way out: {}\n", word(blocker, "way_out")));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_story_is_told_in_order() {
        let document = json!({
            "object": "resource web alpha", "exists": true, "connection": {"status": "OFFLINE", "unknown_since": "2026", "reason": "Full."}, "generations": 2, "more": false,
            "knows_from": {"serial": 5, "at": "2026-01-01T00:00:00.000Z"},
            "history": [
                {"serial": 7, "at": "2026-01-01T00:00:01.000Z", "actor": "PUBLIC", "origin": "10.0.0.1:9", "command": "create_resources",
                 "op": "make", "generation": 1, "decision": [{"note": "said", "message": "Made.", "cause": "Most space."}]},
                {"serial": 8, "at": "2026-01-01T00:00:02.000Z", "actor": "berth", "origin": "web", "command": "advance", "op": "change",
                 "generation": 2, "fields": [{"field": "x", "before": 1, "after": null}],
                 "decision": [{"note": "seen", "node": "alpha", "object": "resource 'web'", "state": "faulty", "cause": "In use."}]}
            ],
            "now": [{"node": "alpha", "kind": "resource", "name": "web", "wanted": "there", "found": null, "reason": "Away.",
                     "correction": "Start it.", "unknown_since": "2026-01-01T00:00:03.000Z"}],
            "blocked_by": [{"uuid": "7", "task": "resize", "actor": "PUBLIC", "blockers": [
                {"node_name": "alpha", "object": "resource web", "message": "It is in use.", "cause": "A process.", "way_out": "End it.",
                 "holders": [{"kind": "process", "device": "/dev/loop3", "pid": 42, "command": "dd"}]}]}]
        });
        let expected = "resource web alpha: it exists; 2 objects had this name\n\
            Its satellite: OFFLINE (unknown since 2026); Full.\n\
            The log knows from 2026-01-01T00:00:00.000Z on (serial 5); older entries were trimmed.\n\n\
            2026-01-01T00:00:01.000Z  #7  create_resources by PUBLIC from 10.0.0.1:9 [object 1]\n    made\n    Made. (Most space.)\n\n\
            2026-01-01T00:00:02.000Z  #8  advance by berth from web [object 2]\n    x: 1 became nothing\n    alpha: resource 'web' faulty (In use.)\n\n\
            Now:\n  alpha, resource web: unknown (unknown since 2026-01-01T00:00:03.000Z); Away.\n    wanted: there\n    to do: Start it.\n\n\
            Waits for:\n  job 7 (resize, asked for by PUBLIC)\n    alpha, resource web: It is in use. (A process.)\n      \
            held by process: /dev/loop3 42 dd\n      way out: End it.\n";
        assert_eq!(story(&document), expected);
    }
}
