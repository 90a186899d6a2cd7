//! `berth what-if` and `berth risk`: what would be lost with nodes, and what is at risk today, as the controller sees it.

use berth_cli::{Cell, Connection, Table, Tone, Trouble};
use berth_client::Call;
use serde_json::Value;

use crate::ask::{self, refused, send};
use crate::screen::{Page, show};
use crate::words::{RiskWords, WhatIfVerb, WhatIfWords};

/// Runs `what-if`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn what_if(words: &WhatIfWords) -> anyhow::Result<()> {
    let WhatIfVerb::Node { words: names } = &words.verb;
    let Some((event, nodes)) = names.split_last().filter(|(event, _)| ["down", "lost"].contains(&event.as_str())) else {
        let what = "the last word says what happens: 'down' (they may come back) or 'lost' (they never do)";
        return Err(Trouble::Usage(what.to_owned()).into());
    };
    let mut call = Call::get(&["berth", "what-if"]);
    for node in nodes {
        call = call.query("node", node);
    }
    let document = ask(&words.connection, call.query("event", event))?;
    show(&document, words.output, outcome)
}

/// Runs `risk`.
///
/// # Errors
/// If no controller answers, or it refuses.
pub fn risk(words: &RiskWords) -> anyhow::Result<()> {
    let document = ask(&words.connection, Call::get(&["berth", "risk"]))?;
    show(&document, words.output, report)
}

fn ask(connection: &Connection, call: Call) -> anyhow::Result<Value> {
    let answer = send(connection, &call)?;
    refused(&answer)?;
    ask::document(&answer, "the controller does not answer this question")
}

/// A member as text; missing: empty.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn list(value: &Value, key: &str) -> String {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or_default()
}

/// A size in the largest unit that leaves a number before the point.
pub fn size(kib: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // For people.
    let (mut amount, mut unit) = (kib as f64, "KiB");
    for larger in ["MiB", "GiB", "TiB", "PiB"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, larger);
    }
    format!("{amount:.2} {unit}")
}

fn certainty(value: &Value) -> String {
    if flag(value, "certain") {
        "certain".to_owned()
    } else {
        match list(value, "unknown") {
            nodes if nodes.is_empty() => "possible".to_owned(),
            nodes => format!("possible (unknown: {nodes})"),
        }
    }
}

/// A heading, and the table of a list below it; for people nothing for an empty list. Rows: the cells of an element.
fn section<const N: usize>(page: &mut Page, title: &str, capped: &Value, headings: [&str; N], row: impl Fn(&Value) -> Vec<String>) {
    let elements = capped["list"].as_array().map(Vec::as_slice).unwrap_or_default();
    let total = number(capped, "total");
    let mut table = Table::new(headings);
    for element in elements {
        let uncertain = element.get("certain").and_then(Value::as_bool) == Some(false);
        let tone = if uncertain { Tone::Warn } else { Tone::Plain };
        table.rows.push(row(element).into_iter().map(|text| Cell::toned(text, tone)).collect());
    }
    let shown = if total > elements.len() as u64 { format!("{total}, the first {} are shown", elements.len()) } else { total.to_string() };
    page.section(title, format!("{title} ({shown}):\n"), table);
}

fn few(one: &Value) -> Vec<String> {
    let unknown = number(one, "unknown");
    let left = if unknown == 0 { number(one, "after").to_string() } else { format!("{} and {unknown} unknown", number(one, "after")) };
    vec![text(one, "resource_name").to_owned(), number(one, "wanted").to_string(), number(one, "before").to_string(), left]
}

fn outcome(document: &Value) -> Page {
    let mut page = Page::default();
    let happened =
        format!("If {} {}:\n", list(document, "nodes"), if text(document, "event") == "lost" { "were lost" } else { "went down" });
    let name = |one: &Value| text(one, "resource_name").to_owned();
    let title = if text(document, "event") == "lost" { "Data lost for good" } else { "Data only there, lost if it does not come back" };
    section(&mut page, title, &document["data"], ["Resource", "Data on", "Certainty"], |one| {
        vec![name(one), list(one, "holders"), certainty(one)]
    });
    section(&mut page, "Not usable meanwhile", &document["access"], ["Resource", "In use on", "Certainty"], |one| {
        vec![name(one), list(one, "in_use_on"), certainty(one)]
    });
    section(&mut page, "Quorum lost", &document["quorum"], ["Resource", "Rule", "Votes left", "Needed", "Voters", "Certainty"], |one| {
        let (left, best) = (number(one, "left"), number(one, "left_at_best"));
        let left = if left == best { left.to_string() } else { format!("{left} to {best}") };
        vec![
            name(one),
            text(one, "rule").to_owned(),
            left,
            number(one, "needed").to_string(),
            number(one, "voters").to_string(),
            certainty(one),
        ]
    });
    section(&mut page, "Fewer copies than wanted", &document["redundancy"], ["Resource", "Wanted", "Now", "Left"], few);
    section(&mut page, "Snapshots only there", &document["snapshots"], ["Resource", "Snapshot", "Certainty"], |one| {
        vec![name(one), text(one, "snapshot_name").to_owned(), certainty(one)]
    });
    let headings = ["Node", "Pool", "Free", "Total", "Promised", "Added", "Too much", "Missing when full"];
    section(&mut page, "Pools that overflow if replicas are placed anew", &document["pools"], headings, |one| {
        let sizes = ["free_kib", "total_kib", "promised_kib", "added_kib", "over_kib", "short_if_full_kib"];
        let names = [text(one, "node_name").to_owned(), text(one, "storage_pool_name").to_owned()];
        names.into_iter().chain(sizes.iter().map(|key| size(number(one, key)))).collect()
    });
    section(&mut page, "No place for their replicas", &document["unplaced"], ["Resource", "Replicas", "Why"], |one| {
        let why: Vec<&str> = one["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        vec![name(one), number(one, "replicas").to_string(), why.join("\n")]
    });
    if page.is_empty() {
        page.note("nothing would be lost, and its replicas have room elsewhere.\n");
    }
    page.before(happened);
    let not_tried = number(document, "not_tried");
    if not_tried > 0 {
        page.note(format!("Note: for {not_tried} replicas no place was looked for.\n"));
    }
    let unknown = list(&document["unknown_nodes"], "list");
    if !unknown.is_empty() {
        page.note(format!("Note: the state of these nodes is unknown: {unknown}.\n"));
    }
    let quarantined = number(document, "quarantined");
    if quarantined > 0 {
        page.note(format!("Note: {quarantined} records cannot be read; what they stand for is not in this answer.\n"));
    }
    page
}

fn report(document: &Value) -> Page {
    let mut page = Page::default();
    let name = |one: &Value, key: &str| text(one, key).to_owned();
    let headings = ["Node", "State", "Data", "Not usable", "Quorum", "Copies", "Snapshots", "Holds", "Room elsewhere"];
    section(&mut page, "With each node would be lost", &document["nodes"], headings, |one| {
        let state = if flag(one, "online") { "online" } else { "unknown" };
        let counts = ["data", "access", "quorum", "redundancy", "snapshots"].iter().map(|key| number(one, key).to_string());
        let sizes = ["holds_kib", "room_elsewhere_kib"].iter().map(|key| size(number(one, key)));
        [name(one, "node_name"), state.to_owned()].into_iter().chain(counts).chain(sizes).collect()
    });
    let headings = ["Resource", "Data lost", "May be on", "Missing on", "Behind on", "Given up on"];
    section(&mut page, "Resources without a good copy", &document["without_good_copy"], headings, |one| {
        let lost = if flag(one, "certain") { "certain" } else { "possible" };
        let nodes = ["unknown", "lost_on", "behind_on", "given_up_on"].iter().map(|key| list(one, key));
        [name(one, "resource_name"), lost.to_owned()].into_iter().chain(nodes).collect()
    });
    section(&mut page, "Volumes without any replica", &document["without_replica"], ["Resource"], |one| {
        vec![one.as_str().unwrap_or_default().to_owned()]
    });
    section(&mut page, "Fewer copies than wanted", &document["too_few"], ["Resource", "Wanted", "Known and unknown", "Good"], few);
    let pool = |one: &Value| {
        let names = [name(one, "node_name"), name(one, "storage_pool_name")].into_iter();
        names.chain(["free_kib", "total_kib", "promised_kib"].iter().map(|key| size(number(one, key)))).collect::<Vec<_>>()
    };
    let headings = ["Node", "Pool", "Free", "Total", "Promised"];
    section(&mut page, "Pools near full", &document["near_full"], headings, pool);
    section(&mut page, "Thin pools that promise more than they have", &document["overcommitted"], headings, pool);
    section(&mut page, "Pools of which nothing is known", &document["pools_unknown"], ["Node", "Pool", "Why"], |one| {
        vec![name(one, "node_name"), name(one, "storage_pool_name"), name(one, "why")]
    });
    section(&mut page, "Blocked jobs", &document["blocked_jobs"], ["Job", "Task", "Resource", "Node", "Why", "To do"], |one| {
        ["uuid", "task", "resource_name", "node_name", "why", "way_out"].iter().map(|key| name(one, key)).collect()
    });
    let headings = ["Node", "State", "Unknown since", "Why"];
    section(&mut page, "Nodes of which nothing is known", &document["nodes_unknown"], headings, |one| {
        ["node_name", "connection_status", "unknown_since", "reason"].iter().map(|key| name(one, key)).collect()
    });
    section(&mut page, "Records that cannot be read", &document["quarantined"], ["Kind", "Key", "Why"], |one| {
        ["kind", "key", "why"].iter().map(|key| name(one, key)).collect()
    });
    if page.is_empty() {
        page.note("No risk is known.\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PIPE: berth_cli::Screen = berth_cli::Screen { colour: false, utf8: true, width: None };

    #[test]
    fn an_outcome_names_what_is_lost() {
        let empty = json!({"total": 0, "list": []});
        let mut document = json!({"nodes": ["alpha", "bravo"], "event": "down", "data": empty, "access": empty, "quorum": empty, "redundancy": empty,
            "snapshots": empty, "pools": empty, "unplaced": empty, "unknown_nodes": empty, "not_tried": 0, "quarantined": 0});
        let text = outcome(&document).for_people(PIPE);
        assert!(text.starts_with("If alpha, bravo went down:\nnothing would be lost"), "{text}");
        document["data"] =
            json!({"total": 300, "list": [{"resource_name": "web\u{1b}[2J", "certain": false, "holders": ["alpha"], "unknown": ["echo"]}]});
        let text = outcome(&document).for_people(PIPE);
        assert!(text.contains("(300, the first 1 are shown)") && text.contains("possible (unknown: echo)"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let narrow = outcome(&document).for_people(berth_cli::Screen { width: Some(40), ..PIPE });
        assert!(narrow.lines().filter(|line| line.contains('│')).all(|line| line.chars().count() <= 40), "{narrow}");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!((size(0), size(1536), size(3 << 30)), ("0.00 KiB".to_owned(), "1.50 MiB".to_owned(), "3.00 TiB".to_owned()));
    }
}
