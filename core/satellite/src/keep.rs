//! What a satellite remembers over its own death: whom it belongs to, the newest epoch it has obeyed, its last plan, and what was
//! attached or detached by hand.
//!
//! ```text
//! DATA/lock            held while it runs
//! DATA/identity.json   cluster, node, epoch: replaced whole, on disk before anything else happens under a new epoch
//! DATA/plan.log        one line of JSON for each plan taken, the first one whole: appended and on disk before anything of it is done
//! DATA/overrides.json  resources that were attached or detached by hand
//! DATA/pools.json      marks of the folders of pools
//! ```
//! A plan costs what it says, not what the node holds; when the log has grown to a multiple of what it stands for, it is written anew.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_model::names::StorPoolName;
use berth_model::plan::{PlanBody, PlanItem, PoolPlan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::SatelliteError;

/// The log may grow by so much before it is written anew, beyond twice its whole size.
const LOG_SLACK: u64 = 1 << 20;

/// A tool that was being started as the satellite before this one ended holds the lock until it runs.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

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
    pub items: HashMap<Uuid, Arc<PlanItem>>,
}

/// What a plan changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Touched {
    /// Pools were named.
    pub pools: bool,
    /// Items that are new or were named.
    pub items: Vec<Uuid>,
    /// Items that are no longer held.
    pub dropped: Vec<Uuid>,
}

impl Held {
    /// Takes a plan: a whole one (`base` 0), or one that builds on what is held.
    pub fn take(&mut self, epoch: u64, generation: u64, base: u64, body: PlanBody) -> Touched {
        let mut touched = Touched { pools: body.pools.is_some(), ..Touched::default() };
        if let Some(pools) = body.pools {
            self.pools = pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
        }
        let mut before = if base == 0 { std::mem::take(&mut self.items) } else { HashMap::new() };
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
        PlanBody { pools: Some(self.pools.values().cloned().collect()), items, forget: Vec::new() }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    epoch: u64,
    generation: u64,
    base: u64,
    body: PlanBody,
}

/// Resources that were attached (true) or detached (false) by hand, until the next plan names them.
pub type Overrides = BTreeMap<String, bool>;

/// The memory: in a folder, or (for simulated satellites) nowhere.
#[derive(Debug)]
pub struct Keep {
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
    log: File,
    log_bytes: u64,
    whole_bytes: u64,
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

fn data(path: &Path, cause: impl ToString) -> SatelliteError {
    SatelliteError::Data { path: path.to_owned(), cause: cause.to_string() }
}

pub(crate) fn read_json<T: DeserializeOwned + Default>(path: &Path) -> Result<T, SatelliteError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| data(path, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(data(path, error)),
    }
}

/// Replaces a file whole; it is on disk when this returns.
pub(crate) fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let (temporary, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    File::open(folder)?.sync_all()
}

fn open_log(path: &Path) -> Result<File, SatelliteError> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(|error| data(path, error))
}

impl Keep {
    /// A memory that lasts as long as the process.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { folder: None }
    }

    /// Opens the memory in `path`, making it if needed.
    ///
    /// # Errors
    /// [`SatelliteError::Locked`] if another satellite uses it; [`SatelliteError::Data`] if it cannot be read or written.
    pub fn open(path: &Path) -> Result<(Self, Remembered), SatelliteError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| data(path, error))?;
        let lock_path = path.join("lock");
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(|e| data(&lock_path, e))?;
        let end = Instant::now() + LOCK_PATIENCE;
        while rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= end {
                return Err(SatelliteError::Locked(path.to_owned()));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        let identity = read_json(&path.join("identity.json"))?;
        let overrides = read_json(&path.join("overrides.json"))?;
        let log_path = path.join("plan.log");
        let mut log = open_log(&log_path)?;
        let mut text = Vec::new();
        log.read_to_end(&mut text).map_err(|error| data(&log_path, error))?;
        let (held, good) = match fold(&text) {
            Ok(read) => read,
            Err(cause) => {
                // Without a plan nothing is touched until a controller sends one; what was unreadable is kept for people.
                tracing::error!(path = %log_path.display(), %cause, "the kept plan cannot be read; waiting for the controller");
                let aside = path.join("plan.log.broken");
                std::fs::rename(&log_path, &aside).map_err(|error| data(&log_path, error))?;
                log = open_log(&log_path)?;
                (Held::default(), 0)
            }
        };
        log.set_len(good).and_then(|()| log.seek(SeekFrom::End(0))).map_err(|error| data(&log_path, error))?;
        let folder = Folder { path: path.to_owned(), _lock: lock, log, log_bytes: good, whole_bytes: good };
        Ok((Self { folder: Some(folder) }, Remembered { identity, held, overrides }))
    }

    /// Remembers whom the satellite belongs to; on disk when this returns.
    ///
    /// # Errors
    /// Those of the system.
    pub fn identity(&mut self, identity: &Identity) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        write_whole(&folder.path, "identity.json", &serde_json::to_vec_pretty(identity)?)
    }

    /// Remembers what was done by hand.
    ///
    /// # Errors
    /// Those of the system.
    pub fn overrides(&mut self, overrides: &Overrides) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        write_whole(&folder.path, "overrides.json", &serde_json::to_vec_pretty(overrides)?)
    }

    /// Remembers one plan that is about to be taken; on disk when this returns.
    ///
    /// # Errors
    /// Those of the system; nothing of the plan is remembered then.
    pub fn append(&mut self, epoch: u64, generation: u64, base: u64, body: &PlanBody) -> std::io::Result<()> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        let line = Line { epoch, generation, base, body: body.clone() };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if base == 0 {
            return folder.replace(&bytes, length);
        }
        let appended = folder.log.write_all(&bytes).and_then(|()| folder.log.sync_data());
        match appended {
            Ok(()) => folder.log_bytes = folder.log_bytes.saturating_add(length),
            // A torn line would hide the ones after it.
            Err(_) => folder.log.set_len(folder.log_bytes)?,
        }
        appended
    }

    /// Whether the log should be written anew.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.folder.as_ref().is_some_and(|folder| folder.log_bytes > folder.whole_bytes.saturating_mul(2).saturating_add(LOG_SLACK))
    }

    /// Writes the log anew, as one whole plan.
    ///
    /// # Errors
    /// Those of the system; the old log stays.
    pub fn shorten(&mut self, held: &Held) -> std::io::Result<()> {
        let Some(folder) = &mut self.folder else { return Ok(()) };
        let mut bytes = serde_json::to_vec(&Line { epoch: held.epoch, generation: held.generation, base: 0, body: held.whole() })?;
        bytes.push(b'\n');
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        folder.replace(&bytes, length)
    }
}

impl Folder {
    fn replace(&mut self, bytes: &[u8], length: u64) -> std::io::Result<()> {
        write_whole(&self.path, "plan.log", bytes)?;
        self.log = OpenOptions::new().read(true).append(true).open(self.path.join("plan.log"))?;
        (self.log_bytes, self.whole_bytes) = (length, length);
        Ok(())
    }
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
    use super::*;
    use berth_model::ids::Id;
    use berth_model::names::ResourceName;
    use berth_model::plan::{ResourcePlan, Wanted};

    fn item(number: u128) -> PlanItem {
        PlanItem::Resource(ResourcePlan {
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
