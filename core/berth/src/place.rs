//! `berth place`: where something would be placed, and why not elsewhere, as the controller would decide now.

use berth_cli::{Cell, Table, Tone, Trouble, parse_kib};
use berth_client::{Call, Reply, Severity};
use serde_json::{Value, json};

use crate::ask::{self, Refused, refused, told};
use crate::screen::{Page, show};
use crate::what_if::{size, text};
use crate::words::{PlaceVerb, PlaceWords};

/// Runs `place`. Ends with an error where the placement would be refused.
///
/// # Errors
/// If no controller answers, it refuses the question, or the placement would be refused.
pub fn place(words: &PlaceWords) -> anyhow::Result<()> {
    let body = question(&words.verb)?;
    let answer = ask::send(&words.connection, &Call::post(&["berth", "place"]).body(body))?;
    refused(&answer)?;
    let document = ask::document(&answer, "the controller does not answer this question")?;
    show(&document, words.output, table)?;
    match refusal(&document) {
        None => Ok(()),
        Some(reply) => Err(Refused(format!("this would be refused: {}", told(&reply))).into()),
    }
}

fn replies(document: &Value) -> Vec<Reply> {
    serde_json::from_value(document["replies"].clone()).unwrap_or_default()
}

fn refusal(document: &Value) -> Option<Reply> {
    (document["possible"] != Value::Bool(true))
        .then(|| replies(document).into_iter().find(|reply| reply.severity() == Severity::Error).unwrap_or_default())
}

/// The document of the question.
fn question(verb: &PlaceVerb) -> anyhow::Result<Value> {
    Ok(match verb {
        PlaceVerb::New { sizes, group, partial, filter } => {
            let sizes: Vec<u64> =
                sizes.iter().map(|size| parse_kib(size).map_err(|bad| Trouble::Usage(bad.to_string()))).collect::<Result<_, _>>()?;
            json!({"what": "new", "volume_sizes": sizes, "group": group, "partial": partial, "select_filter": filter.0})
        }
        PlaceVerb::Resource { name, filter } => json!({"what": "resource", "resource": name, "select_filter": filter.0}),
        PlaceVerb::Available { node, resource, diskful, layer_list } => {
            json!({"what": "available", "resource": resource, "node": node, "diskful": diskful, "layer_list": layer_list})
        }
        PlaceVerb::Clone { source, group, layer_list } => {
            json!({"what": "clone", "resource": source, "group": group, "layer_list": layer_list})
        }
        PlaceVerb::Restore { resource, snapshot, nodes, group } => {
            json!({"what": "restore", "resource": resource, "snapshot": snapshot, "nodes": nodes, "group": group})
        }
        PlaceVerb::Adjust { group, filter } => json!({"what": "adjust", "group": group, "select_filter": filter.0}),
        PlaceVerb::Group { name, filter } => json!({"what": "group", "group": name, "select_filter": filter.0}),
        PlaceVerb::Move { resource, group } => json!({"what": "move", "resource": resource, "group": group}),
    })
}

fn heading(placement: &Value) -> String {
    let whose = placement["resource_name"].as_str().map_or_else(|| "a new resource".to_owned(), |name| format!("'{name}'"));
    let wanted = placement["wanted"].as_u64().map_or_else(|| "as many as fit".to_owned(), |wanted| wanted.to_string());
    let what = match text(placement, "kind") {
        "diskless" => format!("{wanted} diskless"),
        "copies" => format!("{wanted} copies"),
        _ => format!("{wanted} new"),
    };
    let layers: Vec<&str> = placement["layers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let sizes: Vec<String> = placement["volume_sizes_kib"].as_array().into_iter().flatten().filter_map(Value::as_u64).map(size).collect();
    let sizes = if sizes.is_empty() { "no volumes".to_owned() } else { sizes.join(" + ") };
    format!("{what} of {whose}: {}; {sizes}", layers.join(","))
}

fn table(document: &Value) -> Page {
    let mut page = Page::default();
    let placements = document["placements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if placements.is_empty() {
        page.note("Nothing has to be placed.\n");
    }
    for placement in placements {
        let mut table = Table::new(["Fit", "Node", "Pool", "Provider", "Score", "Free", "Why"]);
        for place in placement["places"].as_array().into_iter().flatten() {
            let (sign, tone) = match text(place, "verdict") {
                "chosen" => ("+", Tone::Good),
                "fits" => ("", Tone::Plain),
                _ => ("-", Tone::Dim),
            };
            let score = place["score"].as_f64().map(|score| format!("{score:.4}")).unwrap_or_default();
            let free = place["free_kib"].as_u64().map(size).unwrap_or_default();
            let cells = [
                sign.to_owned(),
                text(place, "node_name").to_owned(),
                text(place, "storage_pool_name").to_owned(),
                text(place, "provider_kind").to_owned(),
                score,
                free,
                text(place, "reason").to_owned(),
            ];
            table.rows.push(cells.into_iter().map(|cell| Cell::toned(cell, tone)).collect());
        }
        let about = heading(placement);
        if table.rows.is_empty() {
            page.text(format!("{about}\n"));
        }
        page.section(about.clone(), format!("{about}\n"), table);
        if let Some(why) = placement["failed"].as_str() {
            page.note(format!("Not possible: {why}.\n"));
        }
        page.text("\n");
    }
    let worth_saying = |reply: &&Reply| {
        let loud = matches!(reply.severity(), Severity::Warning | Severity::Error);
        loud || placements.is_empty()
    };
    // The refusal itself is the last word.
    let said = if refusal(document).is_some() { Vec::new() } else { replies(document) };
    for reply in said.iter().filter(worth_saying) {
        let word = match reply.severity() {
            Severity::Success | Severity::Info => "Note",
            Severity::Warning => "Warning",
            Severity::Error => "Error",
        };
        page.note(format!("{word}: {}\n", told(reply)));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: berth_cli::Screen = berth_cli::Screen { colour: false, utf8: true, width: None };

    fn place(node: &str, pool: Option<&str>, verdict: &str, reason: &str) -> Value {
        json!({"node_name": node, "storage_pool_name": pool, "provider_kind": pool.map(|_| "LVM"), "verdict": verdict, "score": null,
            "free_kib": pool.map(|_| 1 << 20), "rule": "x", "reason": reason})
    }

    #[test]
    fn a_table_names_every_place_and_fits_the_terminal() {
        let places = [
            place("alpha", Some("fat"), "chosen", "chosen"),
            place("bravo", Some("fat"), "fits", "fits, others have more free space"),
            place("web\u{1b}[2J", None, "excluded", "not among the nodes asked for"),
        ];
        let placement = json!({"resource_name": null, "kind": "disks", "wanted": 1, "layers": ["DRBD", "STORAGE"], "volume_sizes_kib": [1024],
            "failed": null, "places": places});
        let document = json!({"possible": true, "placements": [placement], "replies": []});
        let text = table(&document).for_people(PIPE);
        assert!(text.starts_with("1 new of a new resource: DRBD,STORAGE; 1.00 MiB\n"), "{text}");
        assert!(text.contains("alpha") && text.contains("1.00 GiB") && text.contains("others have more free space"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let narrow = table(&document).for_people(berth_cli::Screen { width: Some(60), ..PIPE });
        assert!(narrow.lines().filter(|line| line.contains('│')).all(|line| line.chars().count() <= 60), "{narrow}");
        assert_eq!(refusal(&document).map(|reply| told(&reply)), None);
    }

    #[test]
    fn a_refusal_is_the_last_word() {
        let error = json!({"ret_code": -4_611_686_018_427_386_908_i64, "message": "Not enough nodes.", "correction": "Add nodes."});
        let document = json!({"possible": false, "placements": [], "replies": [error]});
        assert_eq!(table(&document).for_people(PIPE), "Nothing has to be placed.\n");
        assert_eq!(refusal(&document).map(|reply| told(&reply)).as_deref(), Some("Not enough nodes. Add nodes."));
    }
}
