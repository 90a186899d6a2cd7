//! Whatever is sent to any operation: an answer in the API's form, and nothing changed by what is refused.
//!
//! Operations, their paths and their queries are those of the document, so that none can be forgotten. What stands in the members of bodies
//! is tried in `bad_members`.

use super::walk::{Operation, Tried, Walk, chance, operations};
use super::*;

/// In place of a parameter of the path, percent-encoded.
fn names() -> Vec<String> {
    let long = "x".repeat(10_000);
    let plain = [
        "",
        ".",
        "..",
        "%2E%2E",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
        "al%00pha",
        "%FF",
        "%20",
        "alpha%20",
        "a%20b",
        "%22",
        "%27--",
        "%5C",
        "a%0Ab",
        "%C3%BCml%C3%A4ut",
        "%E2%80%AE",
        "%F0%9F%A6%80",
        "-1",
        "0x10",
        "1e3",
        "99999999999999999999",
        "65535",
        "%7Bnode%7D",
        "null",
        "*",
        "nowhere",
        "al+pha",
        "%3Fdry_run=true",
        "a;b",
        "%25",
    ];
    plain.into_iter().map(str::to_owned).chain([long, "%00".repeat(3000)]).collect()
}

/// What may not be the name of anything, and so may not succeed in changing anything.
fn is_hopeless(name: &str) -> bool {
    name.contains("%00") || name == "%FF"
}

/// In place of a value of the query that is a text.
fn texts() -> Vec<String> {
    let plain = ["", "%00", "%FF", "%20", "..%2F..", "%22", "%C3%BC", "nowhere", "a=b", "=", "*", "[", "(((", "a%2Cb", "%0A"];
    plain.into_iter().map(str::to_owned).chain(["x".repeat(10_000)]).collect()
}

/// Values of the query that are no number, and some that count nothing.
const NO_NUMBERS: [&str; 7] = ["few", "1e400", "1.5", "99999999999999999999", "%00", "--1", "0x10"];
const ODD_NUMBERS: [&str; 5] = ["", "-1", "9223372036854775807", "-9223372036854775808", "0"];

/// What scrapes has no use for a refusal: words that are none are passed over.
const PASSES_OVER: &str = "GET /metrics";

/// Values of the query that neither say yes nor no.
const NO_FLAGS: [&str; 4] = ["perhaps", "2", "%00", "yesno"];

/// Bodies that are no document at all.
fn unreadable() -> Vec<String> {
    let deep = 100_000;
    let whole =
        ["{", "{\"a\":1}}", "{\"a\":}", "\u{0}", "{\"a\":NaN}", "<a>b</a>", "\u{feff}{}", "{'a':1}", "[1,]", "\"text", "tru", "{}{}", "//"];
    let nested = ["[".repeat(deep), "{\"a\":".repeat(deep)];
    whole.into_iter().map(str::to_owned).chain(nested).collect()
}

/// Bodies that are documents of something else.
fn strange() -> Vec<String> {
    let plain = [
        "",
        "null",
        "7",
        "-1",
        "\"text\"",
        "true",
        "[7]",
        "[[]]",
        "[null]",
        "[]",
        "{}",
        "1e400",
        "18446744073709551616",
        "{\"name\":null}",
        "{\"a\":1,\"a\":2}",
        "{\"\":\"\"}",
        "\"\"",
        "{\"name\":\"a\",\"name\":\"b\"}",
    ];
    let deep = 100_000;
    let large = [
        format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep)),
        format!("\"{}\"", "x".repeat(1 << 20)),
        format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20)),
        format!("{{\"{}\":1}}", "x".repeat(1 << 20)),
        format!("[{}]", vec!["7"; 100_000].join(",")),
    ];
    plain.into_iter().map(str::to_owned).chain(large).collect()
}

fn writes(operation: &Operation) -> bool {
    operation.verb != "GET"
}

#[tokio::test(start_paused = true)]
async fn every_operation_refuses_names_that_are_none() {
    let mut walk = Walk::new().await;
    let all = operations(&walk.world).await;
    for operation in &all {
        for (parameter, _) in operation.parameters("path") {
            for name in names() {
                let path = operation.filled(Some((&parameter, &name)));
                let tried = Tried::new(operation, &path, if writes(operation) { "{}" } else { "" });
                let (got, changed) = walk.judge(operation, &tried).await;
                if changed && is_hopeless(&name) {
                    walk.fault(operation, "changed under a name that is none", &tried, &got);
                }
            }
        }
        if operation.parameters("path").is_empty() {
            let path = format!("{}/%00/..", operation.path);
            walk.judge(operation, &Tried::new(operation, &path, "")).await;
        }
    }
    walk.end(&all).await;
}

#[tokio::test(start_paused = true)]
async fn every_operation_refuses_queries_that_make_no_sense() {
    let mut walk = Walk::new().await;
    let all = operations(&walk.world).await;
    let whole =
        ["&&=", "=", "a=%00", "%FF=1", "limit=few", "limit=-1", "limit=1&limit=2&limit=x", "offset=99999999999999999999", "dry_run=maybe"];
    for operation in &all {
        let path = operation.filled(None);
        for query in whole {
            // What is only asked for must not be done.
            let query = if writes(operation) && query != "dry_run=maybe" { format!("{query}&dry_run=true") } else { query.to_owned() };
            let path = format!("{path}?{query}");
            let tried = Tried::new(operation, &path, if writes(operation) { "{}" } else { "" });
            let (got, changed) = walk.judge(operation, &tried).await;
            // A report is made by reading.
            let unasked = changed && writes(operation);
            if unasked || (query == "dry_run=maybe" && got.status < 400) {
                walk.fault(operation, "carried out, though not clearly asked for", &tried, &got);
            }
        }
        for (name, schema) in operation.parameters("query") {
            let one = schema.get("items").unwrap_or(&schema);
            let none: Vec<String> = match one["type"].as_str() {
                Some("integer") => NO_NUMBERS.map(str::to_owned).to_vec(),
                Some("boolean") => NO_FLAGS.map(str::to_owned).to_vec(),
                _ if one.get("enum").is_some() => vec!["perhaps".to_owned(), "%00".to_owned(), "x".repeat(10_000)],
                _ => Vec::new(),
            };
            let odd: Vec<String> = match one["type"].as_str() {
                Some("integer") => ODD_NUMBERS.map(str::to_owned).to_vec(),
                Some("boolean") => vec![String::new()],
                _ => texts(),
            };
            for (is_none, value) in none.into_iter().map(|value| (true, value)).chain(odd.into_iter().map(|value| (false, value))) {
                let dry = if writes(operation) && name != "dry_run" { "&dry_run=true" } else { "" };
                let path = format!("{path}?{name}={value}{dry}");
                let tried = Tried::new(operation, &path, if writes(operation) { "{}" } else { "" });
                let (got, _) = walk.judge(operation, &tried).await;
                if is_none && got.status < 400 && operation.name() != PASSES_OVER {
                    walk.fault(operation, "a value that is none was passed over", &tried, &got);
                }
            }
        }
    }
    walk.end(&all).await;
}

#[tokio::test(start_paused = true)]
async fn every_operation_refuses_bodies_that_are_no_documents() {
    let mut walk = Walk::new().await;
    let all = operations(&walk.world).await;
    for operation in &all {
        let path = operation.filled(None);
        if !writes(operation) {
            // A document that nobody reads does no harm.
            walk.judge(operation, &Tried::new(operation, &path, "{")).await;
            continue;
        }
        let dry = format!("{path}?dry_run=true");
        for body in unreadable() {
            let tried = Tried::new(operation, &path, &body);
            if operation.verb == "DELETE" {
                // It reads none; whether it is carried out is the path's alone.
                walk.judge(operation, &Tried { path: &dry, ..tried }).await;
                continue;
            }
            let (got, changed) = walk.judge(operation, &tried).await;
            if got.status < 400 || changed {
                walk.fault(operation, "carried out with an unreadable body", &tried, &got);
            } else if got.status == 400 && got.json()[0]["ret_code"].as_i64() != Some(PARSE) {
                walk.fault(operation, "not called unreadable", &tried, &got);
            }
        }
        // Where no document is read, the path alone decides whether it is carried out.
        let path = if operation.body().is_none() { &dry } else { &path };
        for body in strange() {
            walk.judge(operation, &Tried::new(operation, path, &body)).await;
        }
        for kind in [None, Some("application/xml"), Some("text/plain"), Some("nonsense/;;"), Some("multipart/form-data")] {
            for body in ["<a>b</a>", "a=b", ""] {
                walk.judge(operation, &Tried { kind, ..Tried::new(operation, path, body) }).await;
            }
        }
    }
    walk.end(&all).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_verb_is_named_on_every_path() {
    let mut walk = Walk::new().await;
    let all = operations(&walk.world).await;
    let has =
        |verb: &str, path: &str| all.iter().any(|one| one.path == path && (one.verb == verb || (verb == "HEAD" && one.verb == "GET")));
    // A word of the API in the place of a name is a name with the verbs of these.
    let names = |verb: &str, path: &str| {
        let place = path.rsplit_once('/').map_or("", |(place, _)| place);
        let is_object = |one: &Operation| {
            one.verb == verb && one.path.strip_prefix(place).is_some_and(|last| last.starts_with("/{") && !last[1..].contains('/'))
        };
        crate::http::WORDS.iter().any(|(_, word, _)| *word == path) && all.iter().any(is_object)
    };
    for operation in &all {
        let path = operation.filled(None);
        for verb in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"] {
            if has(verb, &operation.path) || names(verb, &operation.path) {
                continue;
            }
            let tried = Tried { verb, path: &path, kind: None, body: "{}" };
            let (got, changed) = walk.judge(operation, &tried).await;
            if got.status != 405 || !got.text.contains(verb) || changed {
                walk.fault(operation, "not named as a wrong verb", &tried, &got);
            }
        }
        // Each is asked, whatever verbs its path has.
        walk.judge(operation, &Tried { verb: "LINK", path: &path, kind: None, body: "" }).await;
    }
    walk.end(&all).await;
}

/// Any bytes anywhere, under a seed that is printed.
#[tokio::test(start_paused = true)]
async fn no_operation_stumbles_over_chance() {
    let mut walk = Walk::new().await;
    let all = operations(&walk.world).await;
    let (mut dice, count) = chance(400, 40_000);
    let (names, texts) = (names(), texts());
    let mut bodies = strange();
    bodies.extend(unreadable());
    bodies.retain(|body| body.len() < 100_000);
    for _ in 0..count {
        let Some(operation) = dice.choice(&all) else { return };
        let parameters = operation.parameters("path");
        let bad = dice.choice(&parameters).map(|(name, _)| name.clone()).zip(dice.choice(&names).cloned());
        let bad = bad.filter(|_| dice.bool());
        let mut path = operation.filled(bad.as_ref().map(|(name, value)| (name.as_str(), value.as_str())));
        if let (true, Some(value)) = (dice.bool(), dice.choice(&texts)) {
            let known = operation.parameters("query");
            let name = dice.choice(&known).map_or("nothing", |(name, _)| name.as_str());
            path = format!("{path}?{name}={value}");
        }
        let body = if dice.bool() { bytes(&mut dice) } else { dice.choice(&bodies).cloned().unwrap_or_default() };
        walk.judge(operation, &Tried::new(operation, &path, &body)).await;
    }
    // Chance need not reach all.
    let reached: Vec<Operation> = all.into_iter().filter(|one| walk.sent.contains_key(&one.name())).collect();
    walk.end(&reached).await;
}

/// Pieces of JSON in any order.
fn bytes(dice: &mut fastrand::Rng) -> String {
    let pieces = [
        "{", "}", "[", "]", ":", ",", "\"", "\\", "\\u0000", "\\ud800", "name", "props", "1", "-", "e9", ".", "null", "true", " ",
        "\u{7f}", "é",
    ];
    (0..dice.usize(..40)).map(|_| pieces[dice.usize(..pieces.len())]).collect()
}
