//! The state as one JSON document, for people, for backups and for a move to another database.
//!
//! ```json
//! {"format":"berth-export","version":1,"serial":7,"epoch":2,"cluster":{"id":"…","created_ms":0},
//!  "records":[{"kind":"node","key":"a","version":1,"serial":3,"body":{}}],
//!  "quarantined":[{"kind":"node","key":"b","version":1,"serial":4,"why":"…","since_ms":0,"text":"…"}],
//!  "log":[{"serial":7,"time_ms":0,"actor":"…","origin":"…","command":{},"changes":{},"decision":[]}]}
//! ```
//!
//! Bodies keep the text they are stored with, white space around them apart. A quarantined body is `text`, or `hex` where its bytes are no text.
//! `log` may be left out, and so may an entry's `decision` where there was none.

use crate::error::{Cause, StoreError};
use crate::types::{Cluster, Loaded, LogEntry, NO_DECISION, Quarantined, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io;

const FORMAT: &str = "berth-export";
const VERSION: u32 = 1;

/// A state and its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Export {
    /// The state; `damage` is not part of the document.
    pub state: Loaded,
    /// The log, oldest first; empty when it was left out.
    pub log: Vec<LogEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    serial: u64,
    epoch: u64,
    cluster: Option<Cluster>,
    records: Vec<RecordDocument>,
    #[serde(default)]
    quarantined: Vec<QuarantinedDocument>,
    #[serde(default)]
    log: Vec<LogDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordDocument {
    kind: String,
    key: String,
    version: u32,
    serial: u64,
    body: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuarantinedDocument {
    kind: String,
    key: String,
    version: u32,
    serial: u64,
    why: String,
    since_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogDocument {
    serial: u64,
    time_ms: i64,
    actor: String,
    origin: String,
    command: Box<RawValue>,
    changes: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decision: Option<Box<RawValue>>,
}

impl Export {
    /// Reads a document.
    ///
    /// # Errors
    /// [`StoreError::Document`] with the place of the fault.
    pub fn parse(input: impl io::Read) -> Result<Self, StoreError> {
        let document: Document =
            serde_json::from_reader(io::BufReader::new(input)).map_err(|error| StoreError::Document { cause: Cause::Json(error) })?;
        let Document { format, version, serial, epoch, cluster, records, quarantined, log } = document;
        if format != FORMAT || version != VERSION {
            return Err(seen(format!("its format is {format:?} version {version}, known is {FORMAT:?} version {VERSION}")));
        }
        let records = records.into_iter().map(|RecordDocument { kind, key, version, serial, body }| Record {
            kind,
            key,
            version,
            serial,
            body: body.get().to_string(),
        });
        let mut lost = Vec::new();
        for QuarantinedDocument { kind, key, version, serial, why, since_ms, text, hex } in quarantined {
            let body = match (text, hex) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(hex)) => {
                    parse_hex(&hex).ok_or_else(|| seen(format!("the bytes of quarantined {kind} {key} are not hexadecimal")))?
                }
                (None, None) | (Some(_), Some(_)) => return Err(seen(format!("quarantined {kind} {key} needs one of text and hex"))),
            };
            lost.push(Quarantined { kind, key, version, serial, why, since_ms, body });
        }
        let log = log.into_iter().map(|LogDocument { serial, time_ms, actor, origin, command, changes, decision }| LogEntry {
            serial,
            time_ms,
            actor,
            origin,
            command: command.get().to_string(),
            changes: changes.get().to_string(),
            decision: decision.map_or_else(|| NO_DECISION.to_string(), |decision| decision.get().to_string()),
        });
        let mut state =
            Loaded { serial, epoch, cluster, records: records.collect(), quarantined: lost, damage: Vec::new(), healed: Vec::new() };
        state.records.sort_unstable();
        state.quarantined.sort_unstable();
        Ok(Export { state, log: log.collect() })
    }

    /// Writes the document.
    ///
    /// # Errors
    /// What the output answers; [`io::ErrorKind::InvalidData`] for a body that is no JSON, which no store holds.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write_state(out, &self.state)?;
        write_log(out, &self.log, true)?;
        write_end(out, !self.log.is_empty())
    }
}

/// The document's beginning: everything but the log.
pub(crate) fn write_state(out: &mut dyn io::Write, state: &Loaded) -> io::Result<()> {
    write!(out, "{{\"format\":\"{FORMAT}\",\"version\":{VERSION},\"serial\":{},\"epoch\":{},\"cluster\":", state.serial, state.epoch)?;
    serde_json::to_writer(&mut *out, &state.cluster)?;
    out.write_all(b",\n\"records\":[")?;
    for (at, Record { kind, key, version, serial, body }) in state.records.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        let (kind, key, body) = (kind.clone(), key.clone(), RawValue::from_string(body.clone())?);
        serde_json::to_writer(&mut *out, &RecordDocument { kind, key, version: *version, serial: *serial, body })?;
    }
    out.write_all(b"],\n\"quarantined\":[")?;
    for (at, lost) in state.quarantined.iter().cloned().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        let Quarantined { kind, key, version, serial, why, since_ms, body } = lost;
        let (text, hex) = match String::from_utf8(body) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(bytes.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())),
        };
        serde_json::to_writer(&mut *out, &QuarantinedDocument { kind, key, version, serial, why, since_ms, text, hex })?;
    }
    out.write_all(b"]")?;
    Ok(())
}

/// Entries of the log, `first` for the first ones of a document.
pub(crate) fn write_log(out: &mut dyn io::Write, entries: &[LogEntry], mut first: bool) -> io::Result<()> {
    for LogEntry { serial, time_ms, actor, origin, command, changes, decision } in entries.iter().cloned() {
        out.write_all(if first { b",\n\"log\":[\n" } else { b",\n" })?;
        first = false;
        let (command, changes) = (RawValue::from_string(command)?, RawValue::from_string(changes)?);
        let decision = (decision != NO_DECISION).then(|| RawValue::from_string(decision)).transpose()?;
        serde_json::to_writer(&mut *out, &LogDocument { serial, time_ms, actor, origin, command, changes, decision })?;
    }
    Ok(())
}

/// The document's end.
pub(crate) fn write_end(out: &mut dyn io::Write, has_log: bool) -> io::Result<()> {
    out.write_all(if has_log { b"]}\n" } else { b"}\n" })?;
    out.flush()
}

fn seen(why: String) -> StoreError {
    StoreError::Document { cause: Cause::Seen(why) }
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits?;
    if digits.len() % 2 != 0 {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}
