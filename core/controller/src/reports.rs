//! Error reports: what only the developers of Berth, or whoever looks after the machine, can make sense of. One file each.
//!
//! Names and fields are those of REST API v1 (`ErrorReport`): `ErrorReport-<id>.log`, id = `%08X-%05X-%06d` of the start's epoch
//! in seconds, the node (0: the controller) and a running number. The newest [`KEPT`] are kept.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use berth_model::time::Timestamp;

use crate::state::now;

/// So many reports are kept; older ones are removed.
pub const KEPT: usize = 1000;
/// Largest text of one report; the rest is cut off.
const MAX_TEXT: usize = 256 * 1024;

/// One error report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorReport {
    /// `%08X-%05X-%06d`.
    pub id: String,
    /// `ErrorReport-<id>.log`.
    pub filename: String,
    /// Node that it concerns; the controller's own: `Controller`.
    pub node: String,
    /// When it was made.
    pub time: Timestamp,
    /// `Controller` or `Satellite`.
    pub module: String,
    /// Version of the program.
    pub version: String,
    /// Other side of the connection that was served; empty: none.
    pub peer: String,
    /// Kind of trouble, one word.
    pub exception: String,
    /// What happened, one sentence.
    pub message: String,
    /// Source file where it was noticed; empty: unknown.
    pub file: String,
    /// Function or part of the program; empty: unknown.
    pub method: String,
    /// Line in that file; 0: unknown.
    pub line: u32,
}

/// What a new report says.
#[derive(Debug, Clone, Default)]
pub struct NewReport {
    /// Node that it concerns; empty: the controller.
    pub node: String,
    /// Other side of the connection that was served.
    pub peer: String,
    /// Kind of trouble, one word, e.g. `Panic`.
    pub exception: String,
    /// What happened, one sentence.
    pub message: String,
    /// Source file where it was noticed.
    pub file: String,
    /// Part of the program.
    pub method: String,
    /// Line in that file.
    pub line: u32,
    /// Everything else: cause, correction, details, the chain of errors.
    pub text: String,
}

/// The error reports of a controller.
#[derive(Debug)]
pub struct Reports {
    /// `None`: nothing is written.
    folder: Option<PathBuf>,
    start: u32,
    total: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    number: u32,
    reports: BTreeMap<(Timestamp, String), Entry>,
}

#[derive(Debug)]
struct Entry {
    report: Arc<ErrorReport>,
    /// Its text, if it could not be written to its file.
    unwritten: Option<String>,
}

impl Reports {
    /// Opens the folder and reads what is there; files that are no reports are left alone.
    ///
    /// # Errors
    /// If the folder cannot be made or listed.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut reports = BTreeMap::new();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let Some(id) = id_of(&path) else { continue };
            if let Some(report) = read(&path).and_then(|text| parse(&id, &text)) {
                reports.insert((report.time, id), Entry { report: Arc::new(report), unwritten: None });
            }
        }
        let mut start = u32::try_from(now().0 / 1000).unwrap_or(u32::MAX);
        let taken = |start: u32| reports.keys().any(|(_, id)| id.starts_with(&format!("{start:08X}-")));
        while taken(start) {
            start = start.wrapping_add(1);
        }
        let this = Self { folder: Some(folder.to_owned()), start, total: AtomicU64::new(0), kept: Mutex::new(Kept { number: 0, reports }) };
        this.trim(&mut this.kept());
        Ok(this)
    }

    /// Reports that end with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { folder: None, start: 0, total: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// Where they are written; `None`: nowhere.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// How many were made since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Makes a report; returns its id. A full disk does not stop it: the text is kept in memory then.
    pub fn make(&self, new: NewReport) -> String {
        let mut kept = self.kept();
        let node_hash = hash(&new.node);
        let id = format!("{:08X}-{node_hash:05X}-{:06}", self.start, kept.number);
        kept.number = kept.number.wrapping_add(1);
        let satellite = !new.node.is_empty();
        let report = ErrorReport {
            filename: format!("ErrorReport-{id}.log"),
            id: id.clone(),
            node: one_line(if satellite { &new.node } else { "Controller" }),
            time: now(),
            module: if satellite { "Satellite" } else { "Controller" }.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            peer: one_line(&new.peer),
            exception: one_line(&new.exception),
            message: one_line(&new.message),
            file: one_line(&new.file),
            method: one_line(&new.method),
            line: new.line,
        };
        let text = render(&report, &new.text);
        let written = self.folder.as_ref().map(|folder| write(&folder.join(&report.filename), &text));
        let unwritten = match written {
            None => Some(text),
            Some(Ok(())) => None,
            Some(Err(error)) => {
                tracing::warn!(report = id, cause = %error, "error report not written, kept in memory");
                Some(text)
            }
        };
        kept.reports.insert((report.time, id.clone()), Entry { report: Arc::new(report), unwritten });
        self.total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.trim(&mut kept);
        id
    }

    /// All reports, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<ErrorReport>> {
        self.kept().reports.values().map(|entry| Arc::clone(&entry.report)).collect()
    }

    /// One report.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<ErrorReport>> {
        self.kept().reports.values().find(|entry| entry.report.id == id).map(|entry| Arc::clone(&entry.report))
    }

    /// The whole text of a report.
    #[must_use]
    pub fn text(&self, id: &str) -> Option<String> {
        let kept = self.kept();
        let entry = kept.reports.values().find(|entry| entry.report.id == id)?;
        match &entry.unwritten {
            Some(text) => Some(text.clone()),
            None => self.folder.as_ref().and_then(|folder| read(&folder.join(&entry.report.filename))),
        }
    }

    /// Removes the reports that `which` chooses; returns how many there were.
    pub fn delete(&self, which: impl Fn(&ErrorReport) -> bool) -> usize {
        let mut kept = self.kept();
        let chosen: Vec<_> = kept.reports.iter().filter(|(_, entry)| which(&entry.report)).map(|(key, _)| key.clone()).collect();
        for key in &chosen {
            self.remove(&mut kept, key);
        }
        chosen.len()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.kept().reports.len()
    }

    fn trim(&self, kept: &mut Kept) {
        while kept.reports.len() > KEPT {
            let Some(oldest) = kept.reports.keys().next().cloned() else { return };
            self.remove(kept, &oldest);
        }
    }

    fn remove(&self, kept: &mut Kept, key: &(Timestamp, String)) {
        if let (Some(entry), Some(folder)) = (kept.reports.remove(key), &self.folder) {
            let path = folder.join(&entry.report.filename);
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(file = %path.display(), cause = %error, "error report not removed");
            }
        }
    }

    /// A panic between two steps of an insertion leaves at worst a report that is not listed.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Five hexadecimal digits for a node; 0 is the controller.
fn hash(node: &str) -> u32 {
    let sum = node.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193));
    if node.is_empty() { 0 } else { (sum ^ (sum >> 20)) & 0xf_ffff }
}

fn id_of(path: &Path) -> Option<String> {
    let id = path.file_name()?.to_str()?.strip_prefix("ErrorReport-")?.strip_suffix(".log")?;
    let good = id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    good.then(|| id.to_owned())
}

/// Reads a file whatever is in it; one that cannot be read has no text.
fn read(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let result = std::fs::OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    if result.is_err() {
        // Half a report is worse than the text in memory. If this fails too, the next start reads what is there.
        let _ = std::fs::remove_file(path);
    }
    result
}

fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

const HEAD: [&str; 10] = ["Error report", "Time (ms)", "Node", "Module", "Version", "Peer", "Exception", "Message", "Noticed in", "Part"];

/// A head of `Name: value` lines, an empty line, the text.
fn render(report: &ErrorReport, text: &str) -> String {
    let place = if report.file.is_empty() { String::new() } else { format!("{}:{}", report.file, report.line) };
    let values = [
        report.id.clone(),
        report.time.0.to_string(),
        report.node.clone(),
        report.module.clone(),
        report.version.clone(),
        report.peer.clone(),
        report.exception.clone(),
        report.message.clone(),
        place,
        report.method.clone(),
    ];
    let mut out: String =
        HEAD.iter().zip(&values).filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}: {value}\n")).collect();
    out.push('\n');
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_TEXT).last().unwrap_or(0);
    out.push_str(if text.len() > MAX_TEXT { &text[..end] } else { text });
    out.push('\n');
    out
}

fn parse(id: &str, text: &str) -> Option<ErrorReport> {
    let mut report = ErrorReport { id: id.to_owned(), filename: format!("ErrorReport-{id}.log"), ..ErrorReport::default() };
    for line in text.lines().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        let value = value.to_owned();
        match HEAD.iter().position(|head| *head == name) {
            Some(0) if value == id => {}
            Some(0) => return None,
            Some(1) => report.time = Timestamp(value.parse().ok()?),
            Some(2) => report.node = value,
            Some(3) => report.module = value,
            Some(4) => report.version = value,
            Some(5) => report.peer = value,
            Some(6) => report.exception = value,
            Some(7) => report.message = value,
            Some(8) => {
                let (file, line) = value.rsplit_once(':')?;
                report.file = file.to_owned();
                report.line = line.parse().ok()?;
            }
            Some(9) => report.method = value,
            Some(_) | None => {}
        }
    }
    (report.time != Timestamp::default()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(message: &str) -> NewReport {
        NewReport {
            exception: "Panic".into(),
            message: message.into(),
            file: "a:b.rs".into(),
            line: 7,
            text: "more\n\nof it".into(),
            ..NewReport::default()
        }
    }

    #[test]
    fn a_report_is_found_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = Reports::open(folder.path()).unwrap();
        let id = first.make(new("one\ntwo"));
        assert!(id.ends_with("-00000-000000"), "{id}");
        let text = first.text(&id).unwrap();
        assert!(text.contains("Message: one two\n") && text.ends_with("\n\nmore\n\nof it\n"), "{text}");
        let again = Reports::open(folder.path()).unwrap();
        assert_eq!(again.list(), first.list());
        assert_ne!(again.make(new("x")), id, "numbers do not start again at a used one");
        assert_eq!(again.delete(|report| report.id == id), 1);
        assert_eq!((again.count(), Reports::open(folder.path()).unwrap().count()), (1, 1));
    }

    #[test]
    fn only_the_newest_are_kept_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ErrorReport-notes.log"), "mine").unwrap();
        std::fs::write(folder.path().join("ErrorReport-00.log"), "\n").unwrap();
        let reports = Reports::open(folder.path()).unwrap();
        (0..KEPT + 5).for_each(|n| drop(reports.make(new(&n.to_string()))));
        assert_eq!(reports.count(), KEPT);
        assert_eq!(reports.list()[0].message, "5");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT + 2);
    }

    #[test]
    fn a_folder_that_is_gone_does_not_stop_a_report() {
        let folder = tempfile::tempdir().unwrap();
        let reports = Reports::open(&folder.path().join("x")).unwrap();
        std::fs::remove_dir(folder.path().join("x")).unwrap();
        let id = reports.make(new("lost"));
        assert!(reports.text(&id).unwrap().contains("lost"));
    }
}
