//! `berth why`, `audit`, `diff` and `drift`: what happened, what differs, what drifted; through the REST API like everybody else.

mod text;
pub mod words;

use berth_cli::Table;
use berth_client::{Call, Reply, Response, Severity};
use serde_json::{Value, json};

use words::{Adopt, Asking, AuditWords, DiffWords, DriftVerb, DriftWords, Which, WhyWords};

use crate::ask::{self, Refused};
use crate::screen::{self, Page, row};

/// `berth why`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn why(words: &WhyWords) -> anyhow::Result<()> {
    let mut call = why_call(&words.object);
    for (name, value) in [("limit", words.limit), ("before", words.before)] {
        call = value.into_iter().fold(call, |call, value| call.query(name, value.to_string()));
    }
    show(&words.asking, &call, text::page)
}

fn why_call(object: &[String]) -> Call {
    match object {
        [kind, names @ ..] if !names.is_empty() || kind == "controller" => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Call::get(&[&["berth", "why", kind.as_str()], names.as_slice()].concat())
        }
        [short, ..] => Call::get(&[&["berth", "why", "any"], short.split('/').collect::<Vec<_>>().as_slice()].concat()),
        [] => Call::get(&["berth", "why", "any"]),
    }
}

/// `berth audit`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn audit(words: &AuditWords) -> anyhow::Result<()> {
    show(&words.asking, &audit_call(words), audit_text)
}

fn audit_call(words: &AuditWords) -> Call {
    let filters = [
        ("actor", words.actor.clone()),
        ("origin", words.origin.clone()),
        ("command", words.command.clone()),
        ("kind", words.kind.clone()),
        ("name", words.name.clone()),
        ("from", words.from.clone()),
        ("to", words.to.clone()),
        ("before", words.before.map(|serial| serial.to_string())),
        ("limit", words.limit.map(|limit| limit.to_string())),
    ];
    let given = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.fold(Call::get(&["berth", "audit"]), |call, (name, value)| call.query(name, value))
}

/// `berth diff`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn diff(words: &DiffWords) -> anyhow::Result<()> {
    let mut call = Call::get(&["berth", "diff"]);
    call = words.node.iter().fold(call, |call, node| call.query("node", node));
    if words.all {
        call = call.query("all", "true");
    }
    show(&words.asking, &call, diff_text)
}

/// `berth drift`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn drift(words: &DriftWords) -> anyhow::Result<()> {
    match &words.verb {
        None => {
            let call = words.node.iter().fold(Call::get(&["berth", "drift"]), |call, node| call.query("node", node));
            show(&words.asking, &call, drift_text)
        }
        Some(DriftVerb::Remove { which }) => change(&words.asking, &stranger_call("remove", which)),
        Some(DriftVerb::Adopt(what)) => change(&words.asking, &adopt_call(what)),
    }
}

fn adopt_call(what: &Adopt) -> Call {
    let mut body = json!({"node": what.node});
    let mut give = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            body[key] = json!(value);
        }
    };
    give("pool", &what.pool);
    let verb = if what.all || what.resource.is_some() {
        give("resource", &what.resource);
        "take-in"
    } else {
        give("id", &what.id);
        give("resource", &what.name);
        "adopt"
    };
    let call = Call::post(&["berth", "drift", verb]).body(body);
    if what.dry_run { call.query("dry_run", "true") } else { call }
}

fn stranger_call(verb: &str, which: &Which) -> Call {
    let body = json!({"node": which.node, "pool": which.pool, "id": which.id});
    let call = Call::post(&["berth", "drift", verb]).body(body);
    if which.dry_run { call.query("dry_run", "true") } else { call }
}

fn show(asking: &Asking, call: &Call, page: impl FnOnce(&Value) -> Page) -> anyhow::Result<()> {
    let answer = crate::ask::send(&asking.connection, call)?;
    refused(&answer)?;
    let document = ask::document(&answer, "the controller does not answer with a document")?;
    screen::show(&document, asking.output, page)
}

fn change(asking: &Asking, call: &Call) -> anyhow::Result<()> {
    let answer = crate::ask::send(&asking.connection, call)?;
    screen::show_replies(&answer, asking.output, || {
        let replies = answer.replies().unwrap_or_default();
        replies.iter().filter(|reply| reply.severity() != Severity::Error).map(|reply| told(reply) + "\n").collect()
    })?;
    refused(&answer)
}

fn told(reply: &Reply) -> String {
    let parts = [&reply.message, &reply.cause, &reply.details, &reply.correction];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join("\n  ")
}

/// The errors among the entries are the command's error; so is a status that says that it failed.
fn refused(answer: &Response) -> anyhow::Result<()> {
    let errors: Vec<String> =
        answer.replies().unwrap_or_default().iter().filter(|reply| reply.severity() == Severity::Error).map(told).collect();
    if errors.is_empty() { ask::refused(answer) } else { Err(Refused(errors.join("\n")).into()) }
}

fn audit_text(entries: &Value) -> Page {
    let mut table = Table::new(["Serial", "When", "Who", "From", "Command", "Changed", "Decided"]);
    for entry in entries["entries"].as_array().into_iter().flatten() {
        let cells = [
            entry["serial"].to_string(),
            text::word(entry, "at"),
            text::word(entry, "actor"),
            text::word(entry, "origin"),
            text::word(entry, "command"),
            text::changed(entry),
            text::notes(&entry["decision"]).join("\n"),
        ];
        table.rows.push(row(cells));
    }
    let mut page = Page::default();
    if table.rows.is_empty() {
        page.note("The log has no such entry.\n");
    }
    page.list(table);
    if let Some(next) = entries["next_before"].as_u64() {
        page.note(format!("There are older entries: --before {next}\n"));
    }
    page.note(text::knows_from(entries));
    page
}

fn diff_text(items: &Value) -> Page {
    let mut table = Table::new(["Node", "What", "Wanted", "Found", "Why", "Seen", "To do"]);
    for one in items.as_array().into_iter().flatten() {
        let what = format!("{} {}", text::word(one, "kind").replace('_', " "), text::word(one, "name"));
        let found = if one["found"].is_string() { text::word(one, "found") } else { "unknown".to_owned() };
        let cells = [
            text::word(one, "node"),
            what,
            text::word(one, "wanted"),
            found,
            text::word(one, "reason"),
            text::when(one),
            text::word(one, "correction"),
        ];
        table.rows.push(row(cells));
    }
    let mut page = Page::default();
    if table.rows.is_empty() {
        page.note("Everything was seen as it is wanted.\n");
    }
    page.list(table);
    page
}

fn drift_text(nodes: &Value) -> Page {
    let mut strangers = Table::new(["Node", "Pool", "Id", "Object", "Its mark says", "Size (KiB)", "Looked for"]);
    let mut lost = Table::new(["Node", "What", "Why", "Seen", "To do"]);
    let mut unclaimed = lost.clone();
    let mut unknown = String::new();
    for node in nodes.as_array().into_iter().flatten() {
        let name = text::word(node, "node");
        match node["strangers"].as_array() {
            None => unknown.push_str(&format!("Unknown what lies on {name}: {} {}\n", text::word(node, "reason"), text::when(node))),
            Some(list) => {
                for one in list {
                    let what = if one["snapshot"] == json!(true) { "snapshot " } else { "volume " };
                    let cells = [
                        name.clone(),
                        text::word(one, "pool"),
                        text::word(one, "id"),
                        text::word(one, "backing"),
                        format!("{what}{}", text::word(one, "name")),
                        one["size_kib"].to_string(),
                        text::word(node, "seen"),
                    ];
                    strangers.rows.push(row(cells));
                }
            }
        }
        for (key, table) in [("lost", &mut lost), ("unclaimed", &mut unclaimed)] {
            for one in node[key].as_array().into_iter().flatten() {
                let what = format!("{} {}", text::word(one, "kind").replace('_', " "), text::word(one, "name"));
                let cells = [name.clone(), what, text::word(one, "reason"), text::when(one), text::word(one, "correction")];
                table.rows.push(row(cells));
            }
        }
    }
    let mut page = Page::default();
    let title = "On machines, and nobody names it ('berth drift remove' or 'adopt' NODE POOL ID):\n";
    page.section("nobody's", title, strangers);
    let title = "Known, and something without our mark lies in its place ('berth drift adopt NODE --all' takes it in):\n";
    page.section("unmarked", title, unclaimed);
    page.section("missing", "Known, and missing:\n", lost);
    if page.is_empty() {
        page.note("Nothing drifted where somebody looked.\n");
    }
    page.note(unknown);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_paths() {
        let target = |words: &[&str]| why_call(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).target();
        assert_eq!(target(&["web"]), "/v1/berth/why/any/web");
        assert_eq!(target(&["web/alpha"]), "/v1/berth/why/any/web/alpha");
        assert_eq!(target(&["web@s1"]), "/v1/berth/why/any/web%40s1");
        assert_eq!(target(&["volume", "web", "alpha", "0"]), "/v1/berth/why/volume/web/alpha/0");
        assert_eq!(target(&["controller"]), "/v1/berth/why/controller");
    }

    #[test]
    fn drift_tells_what_nobody_looked_at() {
        let nodes = json!([
            {"node": "alpha", "seen": "2026-01-01T00:00:00.000Z", "lost": [],
             "strangers": [{"pool": "thin", "id": "7", "backing": "x", "name": "x/0", "snapshot": false, "size_kib": 8}]},
            {"node": "bravo", "strangers": null, "lost": [], "reason": "The node is away.", "unknown_since": "2026-01-02T00:00:00.000Z"}
        ]);
        let text = drift_text(&nodes).for_people(berth_cli::Screen { colour: false, utf8: true, width: None });
        assert!(text.contains("volume x/0") && text.contains("2026-01-01"), "{text}");
        assert!(text.contains("Unknown what lies on bravo: The node is away. unknown since 2026-01-02"), "{text}");
    }
}
