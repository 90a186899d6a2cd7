//! What can go wrong between the caller and the database; one variant for each thing the caller can do about it.

use crate::sqlite::file::{beside, folder};
use crate::sqlite::wal::MARK;
use std::path::{Path, PathBuf};

/// What the operating system, the database or a parser said.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// From a file operation.
    #[error("{0}")]
    File(std::io::Error),
    /// From the database engine.
    #[error("{0}")]
    Database(sqlx::Error),
    /// From a JSON document.
    #[error("{0}")]
    Json(serde_json::Error),
    /// Seen by this crate itself.
    #[error("{0}")]
    Seen(String),
}

/// Why the store did not do what was asked. Nothing of a refused change is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state has moved on: load it again and decide anew.
    #[error("the state is at serial {found}, not at {expected}")]
    Conflict {
        /// The serial that the caller built on.
        expected: u64,
        /// The serial in the database.
        found: u64,
    },
    /// Another controller took the lead: stop writing, for good.
    #[error("epoch {found} has replaced epoch {expected}")]
    Deposed {
        /// The epoch that the caller holds.
        expected: u64,
        /// The epoch in the database.
        found: u64,
    },
    /// The change is too large for one command: make it a job of several steps.
    #[error("{what}: {found} exceeds the limit of {limit}")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// Its measure.
        found: usize,
        /// The largest that is accepted.
        limit: usize,
    },
    /// The caller broke the contract: correct the call.
    #[error("{why}")]
    Invalid {
        /// Which rule was broken, with the value that broke it.
        why: String,
    },
    /// The name belongs to a quarantined record: choose another, or release that one.
    #[error("the name {key} of kind {kind} is kept for a quarantined record: {why}")]
    Reserved {
        /// Kind of the record.
        kind: String,
        /// Key of the record.
        key: String,
        /// Why it is in quarantine.
        why: String,
    },
    /// There is no such record.
    #[error("there is no {place} of kind {kind} with the key {key}")]
    NotFound {
        /// Where it was looked for: "record" or "quarantined record".
        place: &'static str,
        /// Kind that was asked for.
        kind: String,
        /// Key that was asked for.
        key: String,
    },
    /// Another program has the database open: end it, or use another folder.
    #[error("{} is in use by {holder}", file.display())]
    InUse {
        /// The file that is locked.
        file: PathBuf,
        /// Who holds it, as far as it can be told.
        holder: String,
    },
    /// The file is not a Berth database: move it away or choose another folder.
    #[error("{} is not a Berth database: {why}", file.display())]
    NotOurs {
        /// The file.
        file: PathBuf,
        /// What was found in it.
        why: String,
    },
    /// The database was written by a newer release: install that one.
    #[error("{} has schema version {found}, this release knows versions up to {supported}", file.display())]
    TooNew {
        /// The file.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        supported: i64,
    },
    /// There is a database already, and the call makes only fresh ones.
    #[error("{} exists", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// There is no database to work on.
    #[error("there is no database {}", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// There was a database, and it is gone: put it back, or restore a backup. An empty one is never made in its place.
    #[error("{} is missing, but changes up to serial {serial} were acknowledged", file.display())]
    Gone {
        /// The file.
        file: PathBuf,
        /// The newest serial that was acknowledged, as far as its mark knows.
        serial: u64,
    },
    /// The folder or file cannot be written: change its permissions or mount.
    #[error("{} cannot be written: {cause}", file.display())]
    ReadOnly {
        /// The file or folder.
        file: PathBuf,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// No space: make some; the next commit works then.
    #[error("no space left for {}: {cause}", file.display())]
    Full {
        /// The database.
        file: PathBuf,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// A repair finds no record: restore a backup, or say that an empty cluster is accepted.
    #[error("no record of {} can be read: a repair would make an empty cluster; nothing was changed", file.display())]
    NothingLeft {
        /// The database.
        file: PathBuf,
    },
    /// The database is damaged where it was needed: check and repair it.
    #[error("{} is damaged: {cause}", file.display())]
    Corrupt {
        /// The database.
        file: PathBuf,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The disk or the engine failed otherwise: look at the machine; the next call tries again.
    /// A commit that ended so may turn up whole at the next start, or not at all; once another one succeeds, it never will.
    #[error("{}: {cause}", file.display())]
    Disk {
        /// The database.
        file: PathBuf,
        /// What was said.
        #[source]
        cause: Cause,
    },
    /// The export or bundle to be read is none.
    #[error("the document cannot be used: {cause}")]
    Document {
        /// What is wrong with it.
        #[source]
        cause: Cause,
    },
    /// What was to be written cannot be: not to the database, but to the output of the caller.
    #[error("the document cannot be written: {cause}")]
    Output {
        /// What was said.
        #[source]
        cause: std::io::Error,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What a person does about it: one or two sentences, the first begins with a verb; with the next command to type where there is one.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            StoreError::Conflict { .. } => "Load the state again and repeat the command.".into(),
            StoreError::Deposed { .. } => "Send the request to the controller that leads now.".into(),
            StoreError::TooLarge { .. } => "Split the change into smaller commands.".into(),
            StoreError::Invalid { .. } => "Correct the named value.".into(),
            StoreError::Reserved { .. } => "Choose another name, or look at the record with `berth db check`.".into(),
            StoreError::NotFound { .. } => "Check the kind and the key: `berth db check` lists what is broken.".into(),
            StoreError::InUse { file, .. } => format!(
                "Stop the program that uses it (`systemctl stop berth-controller`, if it is the service; `fuser {}` names it), or name another data folder with --data.",
                quoted(file)
            ),
            StoreError::NotOurs { file, .. } => {
                format!("Move it away with `mv {0} {0}.other`, or name another data folder with --data.", quoted(file))
            }
            StoreError::TooNew { .. } => {
                "Install the release that wrote it, or a later one; `berth --version` says which one this is.".into()
            }
            StoreError::Exists { file } => {
                format!("Name an empty data folder with --data, or move the present one away with `mv {0} {0}.old`.", data(file))
            }
            StoreError::Missing { .. } => {
                "Name the data folder of a controller with --data, or make a database from a backup with `berth db import --data DIR FILE`."
                    .into()
            }
            StoreError::Gone { file, .. } => format!(
                "Put the file back, or move the data folder away with `mv {0} {0}.old` and restore a backup with `berth db import --data {0} FILE`; without a backup, remove {1} to begin with an empty cluster.",
                data(file),
                quoted(&beside(file, MARK))
            ),
            StoreError::ReadOnly { file, .. } => format!(
                "Make the folder and its files writable for the user that runs this: `ls -ld {0} && findmnt -T {0}` shows owner and mount.",
                data(file)
            ),
            StoreError::Full { file, .. } => {
                format!("Free some space on this file system (`df -h {}` shows it); the next change works then.", data(file))
            }
            StoreError::NothingLeft { file } => format!(
                "Move the data folder away with `mv {0} {0}.old` and restore a backup with `berth db import --data {0} FILE`, or accept the loss with `berth db repair --accept-empty --data {0}`.",
                data(file)
            ),
            StoreError::Corrupt { file, .. } => {
                format!("Stop the controller, run `berth db check --data {0}` and then `berth db repair --data {0}`.", data(file))
            }
            StoreError::Disk { .. } => {
                "Look at the kernel's messages about this disk with `dmesg`; changes work again as soon as it does.".into()
            }
            StoreError::Document { .. } => {
                "Use a document as `berth db export` or `berth bundle` writes it, from the same or an older release.".into()
            }
            StoreError::Output { .. } => "Name a file on a file system with room: `berth db export --output FILE`.".into(),
            StoreError::Closed => "Restart the controller: `systemctl restart berth-controller`, if it is the service.".into(),
        }
    }

    /// Whether it stays so until somebody has done what [`StoreError::correction`] says: trying again ends the same way.
    /// A full disk may have room in a moment, a lock may be given up.
    #[must_use]
    pub fn needs_hands(&self) -> bool {
        match self {
            StoreError::Corrupt { .. }
            | StoreError::NotOurs { .. }
            | StoreError::TooNew { .. }
            | StoreError::Gone { .. }
            | StoreError::NothingLeft { .. }
            | StoreError::ReadOnly { .. } => true,
            StoreError::Conflict { .. }
            | StoreError::Deposed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Invalid { .. }
            | StoreError::Reserved { .. }
            | StoreError::NotFound { .. }
            | StoreError::InUse { .. }
            | StoreError::Exists { .. }
            | StoreError::Missing { .. }
            | StoreError::Full { .. }
            | StoreError::Disk { .. }
            | StoreError::Document { .. }
            | StoreError::Output { .. }
            | StoreError::Closed => false,
        }
    }

    /// A refused call, in one sentence.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        StoreError::Invalid { why: why.into() }
    }

    /// A failed file operation on `file`.
    pub(crate) fn file(file: &Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let (file, kind) = (file.to_path_buf(), error.kind());
        let cause = Cause::File(error);
        match kind {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { file, cause },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { file, cause },
            _ => StoreError::Disk { file, cause },
        }
    }

    /// A failed statement on the database `file`; result codes: <https://sqlite.org/rescode.html>.
    pub(crate) fn sqlite(file: &Path, error: sqlx::Error) -> Self {
        let code = result_code(&error);
        let file = file.to_path_buf();
        let absent = is_absent(&error);
        let undecodable = matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound);
        let cause = Cause::Database(error);
        match code & 0xff {
            3 | 8 => StoreError::ReadOnly { file, cause },
            5 | 6 => StoreError::InUse { file, holder: "another program".into() },
            11 => StoreError::Corrupt { file, cause },
            13 => StoreError::Full { file, cause },
            14 => StoreError::ReadOnly { file, cause },
            26 => StoreError::NotOurs { file, why: "it is not an SQLite file".into() },
            0 if undecodable => StoreError::Corrupt { file, cause },
            1 if absent => StoreError::Corrupt { file, cause },
            _ => StoreError::Disk { file, cause },
        }
    }
}

/// The data folder of a file in it, as a word of a shell.
fn data(file: &Path) -> String {
    let ours = file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("berth."));
    if ours { quoted(folder(file)) } else { quoted(file) }
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@' | '%');
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The extended result code of a database error, 0 for errors from elsewhere.
pub(crate) fn result_code(error: &sqlx::Error) -> i32 {
    match error {
        sqlx::Error::Database(inner) => inner.code().and_then(|code| code.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

/// Whether the error says that a page of the file is damaged, or a part of the schema is gone.
pub(crate) fn is_corruption(error: &sqlx::Error) -> bool {
    matches!(result_code(error) & 0xff, 11 | 26) || is_absent(error)
}

/// Whether the error says that a table or an index of ours is not there.
fn is_absent(error: &sqlx::Error) -> bool {
    // The engine has one code for all that is wrong with a statement (1); ours differ from each other only in what they find.
    let sqlx::Error::Database(inner) = error else { return false };
    result_code(error) == 1 && ["no such table", "no such index", "no such column"].iter().any(|words| inner.message().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_correction_is_a_sentence() {
        let file = PathBuf::from("/srv/two words/berth.db");
        let cause = || Cause::Seen("x".into());
        let name = || ("volume".to_string(), "a".to_string());
        let all = [
            StoreError::Conflict { expected: 1, found: 2 },
            StoreError::Deposed { expected: 1, found: 2 },
            StoreError::TooLarge { what: "writes", found: 2, limit: 1 },
            StoreError::invalid("x"),
            StoreError::Reserved { kind: name().0, key: name().1, why: "x".into() },
            StoreError::NotFound { place: "record", kind: name().0, key: name().1 },
            StoreError::InUse { file: file.clone(), holder: "x".into() },
            StoreError::NotOurs { file: file.clone(), why: "x".into() },
            StoreError::TooNew { file: file.clone(), found: 9, supported: 1 },
            StoreError::Exists { file: file.clone() },
            StoreError::Missing { file: file.clone() },
            StoreError::Gone { file: file.clone(), serial: 7 },
            StoreError::Output { cause: std::io::Error::other("x") },
            StoreError::ReadOnly { file: file.clone(), cause: cause() },
            StoreError::Full { file: file.clone(), cause: cause() },
            StoreError::Corrupt { file: file.clone(), cause: cause() },
            StoreError::NothingLeft { file: file.clone() },
            StoreError::Disk { file, cause: cause() },
            StoreError::Document { cause: cause() },
            StoreError::Closed,
        ];
        for error in all {
            let text = error.correction();
            assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{error}: {text}");
            let about_the_place =
                !text.contains("two words") || text.contains("'/srv/two words") || text.contains("'/srv/two words/berth.db");
            assert!(about_the_place, "a path is one word of the shell: {text}");
            assert!(!error.needs_hands() || text.contains('`'), "who must do something is told what to type: {text}");
        }
    }
}
