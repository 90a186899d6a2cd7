//! Tables of requests, played in their order against a cluster: what is sent, and what must come back.
//!
//! The format stands at the head of `operations/cases.tsv`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::rest::{Reply, Rest, Severity};

/// Time until a document is as a line that waits wants it.
const WAIT_LIMIT: Duration = Duration::from_secs(40);

/// One request of a table.
#[derive(Debug, Clone)]
pub struct Case {
    /// Where it stands, for messages.
    pub line: usize,
    /// Verb.
    pub verb: String,
    /// Path with its query, as it is sent once kept values are filled in.
    pub path: String,
    /// The body; `None`: none is sent.
    pub body: Option<String>,
    /// Status of the reply.
    pub status: u16,
    /// Severity and number of its first entries.
    pub entries: Vec<String>,
    /// The reply is a stream without end: its head is looked at.
    pub is_stream: bool,
    keeps: Vec<(String, String)>,
}

/// One line of a table.
#[derive(Debug, Clone)]
pub enum Line {
    /// A request.
    Case(Case),
    /// Waits until a document is as wanted; `None`: until it is not found.
    Wait {
        /// Path of the document.
        path: String,
        /// Pointer and value.
        wanted: Option<(String, String)>,
    },
    /// What the following lines are about.
    About(String),
}

/// Reads a table.
///
/// # Errors
/// If a line is none, with its number.
pub fn read_cases(table: &str) -> Result<Vec<Line>> {
    let lines = table.lines().enumerate().filter(|(_, text)| !text.is_empty());
    lines.map(|(at, text)| line(at + 1, text).with_context(|| format!("line {}: {text}", at + 1))).collect()
}

fn line(number: usize, text: &str) -> Result<Line> {
    if let Some(about) = text.strip_prefix('#') {
        return Ok(Line::About(about.trim().to_owned()));
    }
    if let Some(wait) = text.strip_prefix("@ ") {
        let words: Vec<&str> = wait.splitn(3, ' ').collect();
        return match words.as_slice() {
            [path, "gone"] => Ok(Line::Wait { path: (*path).to_owned(), wanted: None }),
            [path, pointer, value] => {
                Ok(Line::Wait { path: (*path).to_owned(), wanted: Some(((*pointer).to_owned(), (*value).to_owned())) })
            }
            _ => bail!("a path, a pointer and a value, or 'gone'"),
        };
    }
    let mut fields = text.split('\t');
    let (verb, path) = fields.next().and_then(|field| field.split_once(' ')).context("verb and path")?;
    let mut expected = fields.next().context("status")?.split(' ');
    let status = expected.next().context("status")?.parse()?;
    let entries: Vec<String> = expected.map(str::to_owned).collect();
    let body = fields.next().filter(|body| !body.is_empty()).map(str::to_owned);
    let keeps = fields.map(|field| field.split_once('=').map(|(name, pointer)| (name.to_owned(), pointer.to_owned())));
    Ok(Line::Case(Case {
        line: number,
        verb: verb.to_owned(),
        path: path.to_owned(),
        body,
        status,
        is_stream: entries == ["stream"],
        entries: entries.into_iter().filter(|entry| entry != "stream").collect(),
        keeps: keeps.collect::<Option<_>>().context("name=pointer")?,
    }))
}

/// Plays a table; after each request `judge` looks at the reply. What differs is collected, so that one run tells all.
///
/// # Errors
/// If a reply does not come, differs from what the table says, or `judge` finds something.
pub fn play(rest: &Rest, address: &str, lines: &[Line], mut judge: impl FnMut(&Case, &Reply) -> Result<()>) -> Result<()> {
    let mut kept = BTreeMap::new();
    let mut faults = Vec::new();
    for line in lines {
        match line {
            Line::About(_) => {}
            Line::Wait { path, wanted } => {
                if let Err(error) = wait(rest, &fill(path, &kept)?, wanted.as_ref()) {
                    faults.push(format!("{error:#}"));
                }
            }
            Line::Case(case) => {
                let (path, body) = (fill(&case.path, &kept)?, case.body.as_ref().map(|body| fill(body, &kept)).transpose()?);
                let reply = if case.is_stream { head(address, &case.verb, &path)? } else { rest.call(&case.verb, &path, body)? };
                for (name, pointer) in &case.keeps {
                    let found = reply.json.pointer(pointer).with_context(|| format!("nothing at {pointer}: {}", reply.text))?;
                    kept.insert(name.clone(), found.as_str().map_or_else(|| found.to_string(), str::to_owned));
                }
                let shown: String = reply.text.chars().take(600).collect();
                let place = format!("line {}: {} {path}", case.line, case.verb);
                if let Some(fault) = case.differs(&reply) {
                    faults.push(format!("{place}: {fault}\n    {shown}"));
                }
                if let Err(error) = judge(case, &reply) {
                    faults.push(format!("{place}: {error:#}\n    {shown}"));
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} replies are not as they should be:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

fn fill(text: &str, kept: &BTreeMap<String, String>) -> Result<String> {
    let mut filled = text.to_owned();
    for (name, value) in kept {
        filled = filled.replace(&format!("${{{name}}}"), value);
    }
    ensure!(!filled.contains("${"), "nothing was kept for {filled}");
    Ok(filled)
}

fn wait(rest: &Rest, path: &str, wanted: Option<&(String, String)>) -> Result<()> {
    let Some((pointer, value)) = wanted else {
        return crate::within(WAIT_LIMIT, &format!("{path} is gone"), || match rest.get(path) {
            Ok(reply) if reply.status == 404 => Ok(()),
            Ok(reply) => Err(reply.text),
            Err(error) => Err(format!("{error:#}")),
        });
    };
    let holds = |document: &Value| {
        document.pointer(pointer).is_some_and(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned) == *value)
    };
    rest.wait_for(WAIT_LIMIT, path, holds).map(drop)
}

/// Status and type of a reply whose body has no end.
fn head(address: &str, verb: &str, path: &str) -> Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    write!(stream, "{verb} {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().context("no reply")??;
    let status = first.split(' ').nth(1).context("no status")?.parse()?;
    let mut content_type = String::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            value.trim().clone_into(&mut content_type);
        }
    }
    Ok(Reply { request: format!("{verb} {path}"), status, content_type, text: String::new(), json: Value::Null })
}

/// Severity and number of each entry: `E300`, `W3000`, `I10007`, `S1`.
#[must_use]
pub fn told(reply: &Reply) -> Vec<String> {
    let letter = |severity| match severity {
        Severity::Success => 'S',
        Severity::Info => 'I',
        Severity::Warn => 'W',
        Severity::Error => 'E',
    };
    reply.entries().iter().map(|entry| format!("{}{}", letter(entry.severity), entry.number)).collect()
}

impl Case {
    /// How a reply differs from what the table says, if it does.
    #[must_use]
    pub fn differs(&self, reply: &Reply) -> Option<String> {
        let told = told(reply);
        let is_as_told = told.len() >= self.entries.len() && told.iter().zip(&self.entries).all(|(is, should)| is == should);
        (reply.status != self.status || !is_as_told)
            .then(|| format!("{} {}, not {} {}", reply.status, told.join(" "), self.status, self.entries.join(" ")))
    }
}

/// Whether a value has a type.
type Fits = fn(&Value) -> bool;

/// The members of an entry with their types: text, number, list of texts, texts by name.
const ENTRY: [(&str, Fits); 8] = [
    ("ret_code", Value::is_i64),
    ("message", Value::is_string),
    ("cause", Value::is_string),
    ("details", Value::is_string),
    ("correction", Value::is_string),
    ("error_report_ids", |value| value.as_array().is_some_and(|ids| ids.iter().all(Value::is_string))),
    ("obj_refs", |value| value.as_object().is_some_and(|refs| refs.values().all(Value::is_string))),
    ("created_at", Value::is_string),
];

/// The code of a body that cannot be read, which has no fields (contract 2.3).
const PARSE: i64 = -3_458_764_513_820_540_931;
const OPERATION: i64 = 0x0300_0000;
const OBJECT: i64 = 0x007c_0000;
const NUMBER: i64 = 0x7fff;
/// The highest kind of object, schedules.
const LAST_OBJECT: i64 = 0x0054_0000;

/// Looks at the form of a list of entries: members, types, the fields of each code, and the status that follows from the first error.
///
/// # Errors
/// Saying what is amiss. What is no list of entries passes.
pub fn entries_in_form(reply: &Reply, is_own: bool) -> Result<()> {
    let Some(entries) = reply.json.as_array().filter(|list| list.iter().any(|entry| entry.get("ret_code").is_some())) else {
        // A refused clone answers with the document of the clone, and drbd-reactorctl with an object of its own (both observed).
        let has_own_form = reply.json.get("messages").is_some() || reply.json.get("error").is_some_and(Value::is_string);
        ensure!(reply.status < 400 || has_own_form, "a failure without a list of entries");
        return Ok(());
    };
    ensure!(reply.content_type == "application/json", "type {:?}", reply.content_type);
    for entry in entries {
        for (name, value) in entry.as_object().context("an entry is an object")? {
            let (_, fits) = ENTRY.iter().find(|(known, _)| known == name).with_context(|| format!("an entry has no {name:?}"))?;
            ensure!(fits(value), "{name:?} is {value}");
            let is_empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
            ensure!(!is_empty && !value.as_object().is_some_and(serde_json::Map::is_empty), "{name:?} is empty, and there");
        }
        let code = entry["ret_code"].as_i64().context("a code")?;
        ensure!(entry["message"].is_string(), "no message");
        if code == PARSE {
            continue;
        }
        let fields = (3_i64 << 62) | OPERATION | OBJECT | NUMBER;
        ensure!(code & !fields == 0, "bits {:#x} belong to no field", code & !fields);
        ensure!((code & OBJECT) <= LAST_OBJECT, "no kind of object is {:#x}", code & OBJECT);
        let (number, severity) = (code & NUMBER, code >> 62);
        let fits = match severity {
            // 0: nothing more to say; 9: a node was looked for (both observed).
            0 => matches!(number, 0..=4 | 9),
            1 => (10_000..=10_010).contains(&number),
            -2 => matches!(number, 0 | 1001..=1024 | 3000 | 3001 | 4000),
            _ => (100..=999).contains(&number) || matches!(number, 10_000 | 10_001),
        };
        ensure!(fits, "no entry of severity {severity} has the number {number}");
    }
    let first = reply.entries().into_iter().find(|entry| entry.severity == Severity::Error);
    let expected = first.map(|error| match error.number {
        300..=399 => 404,
        400..=499 | 10_000 => 403,
        10_001 => 401,
        0x7ffd => 400,
        _ => 500,
    });
    match expected {
        None => ensure!(reply.status < 300, "status {} without an error", reply.status),
        // Unknown paths and verbs are 998 with a status of their own; our own operations say 400 where the request is at fault.
        Some(expected) => ensure!(
            reply.status == expected || matches!(reply.status, 405 | 404) || (is_own && reply.status == 400),
            "status {}, not {expected}",
            reply.status
        ),
    }
    Ok(())
}
