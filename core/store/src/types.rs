//! The values that cross the store's border, and the rules they keep.

use crate::error::StoreError;
use std::collections::HashSet;

/// Most puts and deletes of one command; a larger change is a job of several commands.
pub const MAX_WRITES: usize = 100;
/// Most bytes of one command: names, bodies and the log entry together. 1 MiB, so that every database can hold it in one transaction.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most bytes of a kind or a key.
pub const MAX_NAME_BYTES: usize = 512;
/// Largest serial, epoch or time: databases count in signed 64 bits.
pub(crate) const MAX_COUNT: u64 = i64::MAX as u64;

/// One stored document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// What it is, e.g. `node`; 1 to [`MAX_NAME_BYTES`] bytes.
    pub kind: String,
    /// Its name within the kind, compared byte by byte; 1 to [`MAX_NAME_BYTES`] bytes.
    pub key: String,
    /// Version of the kind's document format.
    pub version: u32,
    /// Serial of the transaction that wrote it last.
    pub serial: u64,
    /// JSON text, returned exactly as it was written.
    pub body: String,
}

/// One change of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Makes or replaces a document.
    Put {
        /// See [`Record::kind`].
        kind: String,
        /// See [`Record::key`].
        key: String,
        /// See [`Record::version`].
        version: u32,
        /// JSON text.
        body: String,
    },
    /// Removes a document; one that is not there is no error.
    Delete {
        /// See [`Record::kind`].
        kind: String,
        /// See [`Record::key`].
        key: String,
    },
}

impl Write {
    /// The kind and key that it changes.
    #[must_use]
    pub fn name(&self) -> (&str, &str) {
        match self {
            Write::Put { kind, key, .. } | Write::Delete { kind, key } => (kind, key),
        }
    }
}

/// What happened, at which serial, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Serial that this command made.
    pub serial: u64,
    /// Milliseconds since 1970, for display and for trimming.
    pub time_ms: i64,
    /// Who asked.
    pub actor: String,
    /// From where: an address, a node, a job.
    pub origin: String,
    /// The command, JSON text.
    pub command: String,
    /// A summary of what it changed, JSON text.
    pub changes: String,
    /// What was decided on the way and why, JSON text of a list; [`NO_DECISION`] when there was nothing to decide.
    pub decision: String,
}

/// The `decision` of an entry without one.
pub const NO_DECISION: &str = "[]";

/// Which entries [`crate::Store::audit`] answers: those that fit every field which is given. The default fits all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// Only serials below this one; for the next page, the last serial of this one.
    pub before: Option<u64>,
    /// Only serials above this one.
    pub after: Option<u64>,
    /// Not earlier than this, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Not later than this, milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Who asked, exactly.
    pub actor: Option<String>,
    /// From where, exactly or without the port: `10.0.0.7` fits `10.0.0.7:4711`.
    pub origin: Option<String>,
    /// The text under `command` of the command's JSON object, exactly.
    pub command: Option<String>,
    /// Kind and key of records, any of which was written or deleted; a key that ends with `/` stands for all keys that begin with it.
    /// An empty list fits all. Known as far back as [`crate::Store::history`] is.
    pub objects: Vec<(String, String)>,
}

impl LogFilter {
    /// Whether an entry fits all fields but `objects`.
    pub(crate) fn fits(&self, entry: &LogEntry) -> bool {
        let LogFilter { before, after, from_ms, to_ms, actor, origin, command, objects: _ } = self;
        before.is_none_or(|before| entry.serial < before)
            && after.is_none_or(|after| entry.serial > after)
            && from_ms.is_none_or(|from| entry.time_ms >= from)
            && to_ms.is_none_or(|to| entry.time_ms <= to)
            && actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && origin.as_ref().is_none_or(|origin| {
                entry.origin.strip_prefix(origin.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
            && command.as_ref().is_none_or(|command| command_name(&entry.command).as_ref() == Some(command))
    }

    /// Whether a record's name is among `objects`.
    pub(crate) fn names(&self, kind: &str, key: &str) -> bool {
        self.objects.iter().any(|(a, b)| a == kind && if b.ends_with('/') { key.starts_with(b.as_str()) } else { key == b })
    }
}

/// The text under `command` of a command's JSON object.
fn command_name(text: &str) -> Option<String> {
    let command: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(command.get("command")?.as_str()?.to_string())
}

/// What one transaction made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Serial of the transaction.
    pub serial: u64,
    /// Version of the kind's document format; 0 for a deletion.
    pub version: u32,
    /// The document as it was written; `None`: the record was deleted.
    pub body: Option<String>,
}

/// The check value of a version of a record: differs, but for one chance in 2^64, when any of these differs. Kept in databases: never changes.
pub(crate) fn check_value(kind: &str, key: &str, version: u32, serial: u64, body: Option<&str>) -> i64 {
    // Eight bytes at a time, each part with its length: a start reads the whole state through this.
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(ODD);
        hash ^ (hash >> 29)
    };
    let text = |hash: u64, text: &str| {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        let hash = words.iter().fold(mix(hash, text.len() as u64), |hash, word| mix(hash, u64::from_le_bytes(*word)));
        rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
    };
    let hash = mix(mix(text(text(0, kind), key), u64::from(version)), serial);
    let hash = match body {
        Some(body) => text(mix(hash, 1), body),
        None => mix(hash, 0),
    };
    // The last words must reach all bits, too.
    mix(mix(hash, ODD), hash >> 32).cast_signed()
}

/// One command of a transaction: at most [`MAX_WRITES`] writes and [`MAX_BYTES`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the log will say.
    pub log: LogEntry,
    /// What changes; in order, a later write of the same name wins. May be empty.
    pub writes: Vec<Write>,
}

/// Several commands that are committed together: all or none, one sync of the disk.
///
/// Each command is small enough for any database; the group may be larger where the database allows it, as SQLite does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The epoch that the caller took.
    pub epoch: u64,
    /// The serial of the state that the caller built on.
    pub expected_serial: u64,
    /// At least one; `log.serial` counts on from `expected_serial + 1` without a gap.
    pub entries: Vec<Entry>,
}

impl Transaction {
    /// The serial after this transaction.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.expected_serial.saturating_add(self.entries.len() as u64)
    }

    /// Checks the rules of this module.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a broken rule, [`StoreError::TooLarge`] for a command over the limits.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.entries.is_empty() {
            return Err(StoreError::invalid("a transaction needs at least one command"));
        }
        if self.serial() > MAX_COUNT || self.epoch > MAX_COUNT {
            return Err(StoreError::invalid(format!("serial {} or epoch {} exceeds {MAX_COUNT}", self.serial(), self.epoch)));
        }
        for (entry, serial) in self.entries.iter().zip(self.expected_serial + 1..) {
            if entry.log.serial != serial {
                return Err(StoreError::invalid(format!("serial {} stands where {serial} is next", entry.log.serial)));
            }
            entry.check()?;
        }
        Ok(())
    }
}

impl Entry {
    fn check(&self) -> Result<(), StoreError> {
        if self.writes.len() > MAX_WRITES {
            return Err(StoreError::TooLarge { what: "writes of one command", found: self.writes.len(), limit: MAX_WRITES });
        }
        let log = &self.log;
        let mut bytes = [&log.actor, &log.origin, &log.command, &log.changes, &log.decision].iter().map(|text| text.len()).sum::<usize>();
        check_json("the command of the log entry", &log.command)?;
        check_json("the changes of the log entry", &log.changes)?;
        check_json("the decision of the log entry", &log.decision)?;
        for write in &self.writes {
            let (kind, key) = write.name();
            check_name("kind", kind)?;
            check_name("key", key)?;
            bytes = bytes.saturating_add(kind.len() + key.len());
            match write {
                Write::Put { body, .. } => {
                    bytes = bytes.saturating_add(body.len());
                    check_json(&format!("the body of {kind} {key}"), body)?;
                }
                Write::Delete { .. } => {}
            }
        }
        if bytes > MAX_BYTES {
            return Err(StoreError::TooLarge { what: "bytes of one command", found: bytes, limit: MAX_BYTES });
        }
        Ok(())
    }
}

/// 1 to [`MAX_NAME_BYTES`] bytes without control characters: a NUL would end the text in many tools.
pub(crate) fn check_name(what: &str, text: &str) -> Result<(), StoreError> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(StoreError::invalid(format!("a {what} has 1 to {MAX_NAME_BYTES} bytes, not {}", text.len())));
    }
    if text.contains(char::is_control) {
        return Err(StoreError::invalid(format!("a {what} has no control characters: {text:?}")));
    }
    Ok(())
}

/// Well-formed JSON of any shape.
pub(crate) fn check_json(what: &str, text: &str) -> Result<(), StoreError> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::invalid(format!("{what} is not JSON: {error}"))),
    }
}

/// Who this cluster is; set once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cluster {
    /// The cluster's id, a uuid in text form.
    pub id: String,
    /// When it was founded, milliseconds since 1970.
    pub created_ms: i64,
}

/// A record that could not be read or understood. It is kept, and its name stays reserved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quarantined {
    /// Kind, as far as it can be read.
    pub kind: String,
    /// Key, as far as it can be read.
    pub key: String,
    /// Version, as far as it can be read.
    pub version: u32,
    /// Serial, as far as it can be read.
    pub serial: u64,
    /// What is wrong with it, one sentence.
    pub why: String,
    /// When it was marked, milliseconds since 1970; 0 when it was only now found by [`crate::Store::load`].
    pub since_ms: i64,
    /// Its bytes, as far as they can be read; often but not always text.
    pub body: Vec<u8>,
}

impl Quarantined {
    /// The body for a person to read; bytes that are no text are shown as such.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Everything a controller needs to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Serial of this state; 0 when nothing was ever committed.
    pub serial: u64,
    /// Highest epoch ever taken; 0 when none was.
    pub epoch: u64,
    /// None until [`crate::Store::found`] was called.
    pub cluster: Option<Cluster>,
    /// All readable records, ordered by kind and key.
    pub records: Vec<Record>,
    /// What is in quarantine and what was found broken now, ordered by kind and key.
    pub quarantined: Vec<Quarantined>,
    /// What is wrong with the database as a whole, one sentence each; empty when all pages that were read are sound.
    pub damage: Vec<String>,
    /// What was found out of order and is in order again, one sentence each; nothing of the state was lost by it.
    pub healed: Vec<String>,
}

/// The last write of each name, with the serial of its command: what a whole group leaves behind.
pub(crate) fn fold(entries: &[Entry]) -> Vec<(&Write, u64)> {
    let mut seen = HashSet::new();
    let mut last: Vec<(&Write, u64)> = Vec::new();
    for entry in entries.iter().rev() {
        for write in entry.writes.iter().rev() {
            if seen.insert(write.name()) {
                last.push((write, entry.log.serial));
            }
        }
    }
    last.reverse();
    last
}
