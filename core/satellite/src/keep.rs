//! What a satellite remembers over its own death: whom it belongs to, the newest epoch it has obeyed, its last plan, and what was
//! attached or detached by hand.
//!
//! ```text
//! identity.json   cluster, node, epoch: replaced whole, on disk before anything else happens under a new epoch
//! plan.log        one line of JSON for each plan taken, the first one whole: appended and on disk before anything of it is done
//! overrides.json  resources that were attached or detached by hand
//! ```
//! What is in external files is kept nowhere but in the files themselves: it may be a secret, and a session begins with a whole plan.
//! A plan costs what it says, not what the node holds; when the log has grown to a multiple of what it stands for, it is written anew.
//!
//! Where the files are is behind [`DurableFiles`]: the daemon's are in its data folder, a simulation has its own.

mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_model::names::StorPoolName;
use berth_model::plan::{FilePlan, PlanBody, PlanItem, PoolPlan};
use berth_model::time::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{SatelliteError, Unusable};

use folder::Folder;
pub(crate) use folder::{read_json, write_whole};

/// The log may grow by so much before it is written anew, beyond twice its whole size.
const LOG_SLACK: u64 = 1 << 20;

/// Whom the satellite belongs to.
const IDENTITY: &str = "identity.json";
/// What was done by hand.
const OVERRIDES: &str = "overrides.json";
/// The plan.
const LOG: &str = "plan.log";
/// A plan that cannot be read, for people.
const BROKEN_LOG: &str = "plan.log.broken";

/// A few files that survive a power cut: what a call has done is on disk when it returns without an error, and what was not done yet
/// has left no trace that a reader could take for something else.
///
/// Calls block. Names are single path components, always the same few. A missing file is an empty one, except to [`read`](Self::read).
pub trait DurableFiles: Send + 'static {
    /// The whole file; `None`: there is none.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>>;

    /// Replaces a file whole. Cut short, the old one is there, or the new one.
    ///
    /// # Errors
    /// Those of the system; the old file is there then, or the new one.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()>;

    /// Adds to the end of a file. Cut short, a part of `bytes` may be there, with holes; what was there before stays as it was.
    ///
    /// # Errors
    /// Those of the system; a part of `bytes` may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()>;

    /// Cuts a file to so many bytes. Durable with the next [`append`](Self::append) at the latest.
    ///
    /// # Errors
    /// Those of the system.
    fn cut(&mut self, name: &str, length: u64) -> std::io::Result<()>;

    /// Gives a file another name, over one that is there.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()>;

    /// Where a file is, for messages.
    fn place(&self, name: &str) -> PathBuf;

    /// How long the next call takes longer than it does (simulated disks only).
    fn latency(&self) -> Duration {
        Duration::ZERO
    }
}

/// Whom a satellite belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The cluster; `None`: no controller was here yet.
    pub cluster: Option<Uuid>,
    /// The node in it.
    pub node: Option<Uuid>,
    /// The node's name, as the controller says.
    pub node_name: String,
    /// Newest epoch that was obeyed.
    pub epoch: u64,
    /// Who led in that epoch; empty: a controller that did not say.
    pub leader: String,
}

/// The plan that is held.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Epoch of the controller that it came from.
    pub epoch: u64,
    /// Its generation, which only counts among plans of one epoch: a database that was restored counts from an older one on. 0: none.
    pub generation: u64,
    /// Pools by name.
    pub pools: BTreeMap<StorPoolName, PoolPlan>,
    /// Items by generation id.
    pub items: BTreeMap<Uuid, Arc<PlanItem>>,
    /// External files; `None`: no controller has said which ones there are.
    pub files: Option<Arc<Vec<FilePlan>>>,
}

/// What a plan changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Pools were named.
    pub pools: bool,
    /// External files were named.
    pub files: bool,
    /// Items that are new or were named.
    pub items: Vec<Uuid>,
    /// Items that are no longer held.
    pub dropped: Vec<Uuid>,
}

impl Held {
    /// Takes a plan: a whole one (`base` 0), or one that builds on what is held.
    pub fn take(&mut self, epoch: u64, generation: u64, base: u64, body: PlanBody) -> Touched {
        let mut touched = Touched { pools: body.pools.is_some(), files: body.files.is_some(), ..Touched::default() };
        if base == 0 || body.files.is_some() {
            self.files = body.files.map(Arc::new);
        }
        if let Some(pools) = body.pools {
            self.pools = pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
        }
        let mut before = if base == 0 { std::mem::take(&mut self.items) } else { BTreeMap::new() };
        for item in body.items {
            let id = item.id();
            before.remove(&id);
            self.items.insert(id, Arc::new(item));
            touched.items.push(id);
        }
        touched.dropped = before.into_keys().collect();
        for id in body.forget {
            if self.items.remove(&id).is_some() {
                touched.dropped.push(id);
            }
        }
        (self.epoch, self.generation) = (epoch, generation);
        touched
    }

    fn whole(&self) -> PlanBody {
        let items = self.items.values().map(|item| (**item).clone()).collect();
        let files = self.files.as_ref().map(|files| (**files).clone());
        PlanBody { pools: Some(self.pools.values().cloned().collect()), items, files, forget: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    epoch: u64,
    generation: u64,
    base: u64,
    body: PlanBody,
}

/// Resources that were attached or detached by hand, until the next plan names them.
pub type Overrides = BTreeMap<String, Override>;

/// What was done with a resource by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "KeptOverride")]
pub struct Override {
    /// Attached, or else detached.
    pub attached: bool,
    /// When; `None`: an older version noted only that.
    pub at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeptOverride {
    Old(bool),
    New { attached: bool, at: Option<Timestamp> },
}

impl From<KeptOverride> for Override {
    fn from(kept: KeptOverride) -> Self {
        match kept {
            KeptOverride::Old(attached) => Self { attached, at: None },
            KeptOverride::New { attached, at } => Self { attached, at },
        }
    }
}

/// The memory: on durable files, or (for satellites that remember nothing) nowhere.
pub struct Keep {
    files: Option<Box<dyn DurableFiles>>,
    log_bytes: u64,
    whole_bytes: u64,
    /// The log may have a torn line at its end, which would hide the ones after it.
    torn: bool,
    /// The log may be the old one or the new one, which a failed replacement does not say.
    doubtful: bool,
}

/// What was remembered.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Whom it belongs to.
    pub identity: Identity,
    /// The last plan.
    pub held: Held,
    /// What was done by hand.
    pub overrides: Overrides,
}

fn data(path: &Path, cause: impl Into<Unusable>) -> SatelliteError {
    SatelliteError::Data { path: path.to_owned(), cause: cause.into() }
}

fn parse<T: DeserializeOwned + Default>(files: &mut dyn DurableFiles, name: &str) -> Result<T, SatelliteError> {
    match files.read(name) {
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|error| data(&files.place(name), error)),
        Ok(None) => Ok(T::default()),
        Err(error) => Err(data(&files.place(name), error)),
    }
}

impl Keep {
    /// A memory that lasts as long as the process.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { files: None, log_bytes: 0, whole_bytes: 0, torn: false, doubtful: false }
    }

    /// The folder that it is in, for messages; `None`: it is nowhere.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        self.files.as_ref().and_then(|files| files.place(LOG).parent().map(Path::to_path_buf))
    }

    /// Opens the memory in the folder `path`, making it if needed. It is locked as long as this lives.
    ///
    /// # Errors
    /// [`SatelliteError::Locked`] if another satellite uses it; [`SatelliteError::Data`] if it cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, Remembered), SatelliteError> {
        Self::on(Folder::lock(path)?)
    }

    /// Opens the memory on these files.
    ///
    /// # Errors
    /// [`SatelliteError::Data`] if they cannot be read or written.
    pub fn on(mut files: impl DurableFiles) -> Result<(Self, Remembered), SatelliteError> {
        let identity = parse(&mut files, IDENTITY)?;
        let overrides = parse(&mut files, OVERRIDES)?;
        let text = files.read(LOG).map_err(|error| data(&files.place(LOG), error))?.unwrap_or_default();
        let (held, good) = match fold(&text) {
            Ok(read) => read,
            Err(cause) => {
                // Without a plan nothing is touched until a controller sends one; what was unreadable is kept for people.
                tracing::error!(path = %files.place(LOG).display(), %cause, "the kept plan cannot be read; waiting for the controller");
                files.rename(LOG, BROKEN_LOG).map_err(|error| data(&files.place(LOG), error))?;
                (Held::default(), 0)
            }
        };
        files.cut(LOG, good).map_err(|error| data(&files.place(LOG), error))?;
        let keep = Self { files: Some(Box::new(files)), log_bytes: good, whole_bytes: good, torn: false, doubtful: false };
        Ok((keep, Remembered { identity, held, overrides }))
    }

    /// How long the next call takes longer than it does (simulated disks only).
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.files.as_ref().map_or(Duration::ZERO, |files| files.latency())
    }

    /// Remembers whom the satellite belongs to; on disk when this returns.
    ///
    /// # Errors
    /// Those of the system.
    pub fn identity(&mut self, identity: &Identity) -> std::io::Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        files.replace(IDENTITY, &serde_json::to_vec_pretty(identity)?)
    }

    /// Remembers what was done by hand.
    ///
    /// # Errors
    /// Those of the system.
    pub fn overrides(&mut self, overrides: &Overrides) -> std::io::Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        files.replace(OVERRIDES, &serde_json::to_vec_pretty(overrides)?)
    }

    /// Remembers one plan that is about to be taken; on disk when this returns.
    ///
    /// # Errors
    /// Those of the system; nothing of the plan is remembered then.
    pub fn append(&mut self, epoch: u64, generation: u64, base: u64, body: &PlanBody) -> std::io::Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let line = Line { epoch, generation, base, body: without_files(body.clone()) };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if base == 0 {
            return self.replace(&bytes);
        }
        if self.torn {
            files.cut(LOG, self.log_bytes)?;
            self.torn = false;
        }
        let appended = files.append(LOG, &bytes);
        match appended {
            Ok(()) => self.log_bytes = self.log_bytes.saturating_add(length(&bytes)),
            Err(_) => self.torn = files.cut(LOG, self.log_bytes).is_err(),
        }
        appended
    }

    /// Whether only a whole plan can be remembered: the one before could not be written, and a partial one may build on another log.
    #[must_use]
    pub fn needs_whole(&self) -> bool {
        self.doubtful
    }

    /// Whether the log should be written anew.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.files.is_some() && self.log_bytes > self.whole_bytes.saturating_mul(2).saturating_add(LOG_SLACK)
    }

    /// Writes the log anew, as one whole plan.
    ///
    /// # Errors
    /// Those of the system; the old log stays, or the new one is there and the next plan must be whole.
    pub fn shorten(&mut self, held: &Held) -> std::io::Result<()> {
        if self.files.is_none() {
            return Ok(());
        }
        let body = without_files(held.whole());
        let mut bytes = serde_json::to_vec(&Line { epoch: held.epoch, generation: held.generation, base: 0, body })?;
        bytes.push(b'\n');
        self.replace(&bytes)
    }

    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let replaced = files.replace(LOG, bytes);
        self.doubtful = replaced.is_err();
        if replaced.is_ok() {
            (self.log_bytes, self.whole_bytes, self.torn) = (length(bytes), length(bytes), false);
        }
        replaced
    }
}

fn without_files(body: PlanBody) -> PlanBody {
    PlanBody { files: None, ..body }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The plan that a log stands for, and how many of its bytes are good: what a power cut tore off at the end is not.
fn fold(text: &[u8]) -> Result<(Held, u64), String> {
    let mut held = Held::default();
    let mut good = 0usize;
    while let Some(rest) = text.get(good..).filter(|rest| !rest.is_empty()) {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let line: Line = match rest.get(..end).map(serde_json::from_slice) {
            Some(Ok(line)) => line,
            // Blocks of the last append may be missing although its end is there.
            Some(Err(_)) | None if end + 1 == rest.len() => break,
            Some(Err(error)) => return Err(format!("at byte {good}: {error}")),
            None => return Err(format!("at byte {good}")),
        };
        if line.base != 0 && line.base != held.generation {
            return Err(format!("at byte {good}: generation {} builds on {}, not on {}", line.generation, line.base, held.generation));
        }
        held.take(line.epoch, line.generation, line.base, line.body);
        good += end + 1;
    }
    Ok((held, u64::try_from(good).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use berth_model::ids::Id;
    use berth_model::names::ResourceName;
    use berth_model::plan::{ResourcePlan, Wanted};

    fn item(number: u128) -> PlanItem {
        PlanItem::Resource(ResourcePlan {
            adopt: false,
            id: Id::from_uuid(Uuid::from_u128(number)),
            resource: ResourceName::parse("web").unwrap(),
            wanted: Wanted::Active,
            layers: Vec::new(),
            diskless: false,
            volumes: Vec::new(),
        })
    }

    fn body(items: &[u128], forget: &[u128]) -> PlanBody {
        PlanBody {
            pools: None,
            files: None,
            items: items.iter().map(|n| item(*n)).collect(),
            forget: forget.iter().map(|n| Uuid::from_u128(*n)).collect(),
        }
    }

    fn ids(held: &Held) -> Vec<u128> {
        let mut ids: Vec<u128> = held.items.keys().map(|id| id.as_u128()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn what_an_older_version_kept_of_hands_is_read() {
        let read: Overrides = serde_json::from_str(r#"{"web": false, "db": {"attached": true, "at": 7}}"#).unwrap();
        assert_eq!(read["web"], Override { attached: false, at: None });
        assert_eq!(read["db"], Override { attached: true, at: Some(Timestamp(7)) });
        assert_eq!(serde_json::from_value::<Overrides>(serde_json::to_value(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn what_was_taken_is_remembered_also_after_a_torn_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let (mut keep, first) = Keep::open(&path).unwrap();
        assert_eq!((first.identity, first.held.generation), (Identity::default(), 0));
        assert!(matches!(Keep::open(&path), Err(SatelliteError::Locked(_))));
        let identity = Identity { cluster: Some(Uuid::from_u128(7)), epoch: 3, ..Identity::default() };
        keep.identity(&identity).unwrap();
        keep.append(3, 10, 0, &body(&[1, 2], &[])).unwrap();
        keep.append(3, 11, 10, &body(&[3], &[1])).unwrap();
        keep.append(3, 12, 11, &body(&[4], &[])).unwrap();
        drop(keep);
        let (keep, second) = Keep::open(&path).unwrap();
        assert_eq!((second.identity, second.held.generation, ids(&second.held)), (identity, 12, vec![2, 3, 4]));
        drop(keep);
        let log = path.join("plan.log");
        let length = std::fs::metadata(&log).unwrap().len();
        for cut in 1..20 {
            OpenOptions::new().write(true).open(&log).unwrap().set_len(length - cut).unwrap();
            let (mut keep, torn) = Keep::open(&path).unwrap();
            assert_eq!((torn.held.generation, ids(&torn.held)), (11, vec![2, 3]), "cut by {cut}");
            keep.append(3, 12, 11, &body(&[4], &[])).unwrap();
            drop(keep);
            assert_eq!(ids(&Keep::open(&path).unwrap().1.held), [2, 3, 4]);
        }
    }

    #[test]
    fn what_is_in_external_files_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = berth_model::names::FilePath::parse("/etc/key").unwrap();
        let files = Some(vec![FilePlan { path, content: "aHVzaC1odXNo".to_owned(), alt_suffixes: Vec::new() }]);
        let (mut keep, mut memory) = Keep::open(folder.path()).unwrap();
        for (generation, base) in [(10, 0), (11, 10)] {
            let body = PlanBody { files: files.clone(), ..body(&[1], &[]) };
            keep.append(1, generation, base, &body).unwrap();
            memory.held.take(1, generation, base, body);
        }
        let kept = || std::fs::read_to_string(folder.path().join("plan.log")).unwrap();
        assert!(!kept().contains("aHVzaC1odXNo"));
        keep.shorten(&memory.held).unwrap();
        assert!(!kept().contains("aHVzaC1odXNo"));
        assert!(memory.held.files.is_some());
        drop(keep);
        let (_keep, again) = Keep::open(folder.path()).unwrap();
        assert_eq!(
            (again.held.generation, ids(&again.held), again.held.files),
            (11, vec![1], None),
            "nobody has said which ones there are"
        );
    }

    #[test]
    fn the_log_is_written_anew_and_a_broken_one_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keep, mut memory) = Keep::open(folder.path()).unwrap();
        keep.append(1, 1, 0, &body(&[1], &[])).unwrap();
        memory.held.take(1, 1, 0, body(&[1], &[]));
        let mut generation = 1;
        let many: Vec<u128> = vec![1; 1000];
        while !keep.is_long() {
            keep.append(1, generation + 1, generation, &body(&many, &[])).unwrap();
            memory.held.take(1, generation + 1, generation, body(&many, &[]));
            generation += 1;
            assert!(generation < 100_000);
        }
        keep.shorten(&memory.held).unwrap();
        assert!(!keep.is_long());
        keep.append(1, generation + 1, generation, &body(&[2], &[])).unwrap();
        drop(keep);
        let (keep, again) = Keep::open(folder.path()).unwrap();
        assert_eq!((again.held.generation, ids(&again.held)), (generation + 1, vec![1, 2]));
        drop(keep);
        let log = folder.path().join("plan.log");
        let text = std::fs::read(&log).unwrap();
        std::fs::write(&log, [b"garbage\n", text.as_slice()].concat()).unwrap();
        let (_keep, broken) = Keep::open(folder.path()).unwrap();
        assert_eq!(broken.held.generation, 0);
        assert!(folder.path().join("plan.log.broken").exists());
    }
}
