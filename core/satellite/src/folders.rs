//! Which folder a pool had: a mount point without its file system looks like an empty pool.
//!
//! A folder that was used gets a mark, and `DATA/pools.json` says which one. A folder that has another mark, or none, is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use berth_plugin_sdk::{Fault, FaultKind, Pool};
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr, fsync};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::SatelliteError;
use crate::hands::Hands;
use crate::keep::{read_json, write_whole};

/// Extended attribute of the mark.
const MARK: &str = "user.berth.pool";
/// Longest mark: two ids and a colon.
const MARK_MAX: usize = 128;
/// Name in the data folder.
const FILE: &str = "pools.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The mark that the folder has.
    mark: String,
    /// Generation ids of the pools that lie there.
    pools: BTreeSet<Uuid>,
}

/// The folders of pools by their place.
#[derive(Debug)]
pub struct Folders {
    data: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
}

/// The mark of a folder; `None`: none, or its file system keeps none.
fn mark(folder: impl AsFd) -> Result<Option<String>, Errno> {
    let mut text = [0u8; MARK_MAX];
    match fgetxattr(folder, MARK, &mut text) {
        Ok(length) => Ok(Some(String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(Errno::RANGE) => Ok(Some(String::new())),
        Err(errno) => Err(errno),
    }
}

impl Folders {
    /// What the data folder remembers.
    ///
    /// # Errors
    /// [`SatelliteError::Data`] if it cannot be read.
    pub fn open(data: &Path) -> Result<Self, SatelliteError> {
        let known = read_json(&data.join(FILE))?;
        Ok(Self { data: data.to_owned(), known: Mutex::new(known) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, known: &BTreeMap<String, Known>) {
        let written = serde_json::to_vec_pretty(known).map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|bytes| write_whole(&self.data, FILE, &bytes)) {
            tracing::warn!(%error, "a pool whose file system is missing will not be noticed after a restart");
        }
    }

    /// Forgets the pools that are not planned any more.
    pub fn retain(&self, planned: &BTreeSet<Uuid>) {
        let mut known = self.lock();
        let before = known.clone();
        known.values_mut().for_each(|folder| folder.pools.retain(|id| planned.contains(id)));
        known.retain(|_, folder| !folder.pools.is_empty());
        if *known != before {
            self.write(&known);
        }
    }

    /// Whether an open folder is the one that was used at this place.
    ///
    /// # Errors
    /// `Pool` if it is another one.
    pub fn check(&self, pool: &Pool, folder: impl AsFd) -> Result<(), Fault> {
        let Some(wanted) = self.lock().get(&pool.place).map(|known| known.mark.clone()) else { return Ok(()) };
        let cause = match mark(folder) {
            Ok(Some(found)) if found == wanted => return Ok(()),
            Ok(Some(_)) => "it carries the mark of another folder; is the right file system mounted?".to_owned(),
            Ok(None) => "it does not carry the mark of that folder; is its file system mounted?".to_owned(),
            Err(errno) => errno.to_string(),
        };
        let message = format!("The folder '{}' is not the one that storage pool '{}' had", pool.place, pool.name);
        Err(Fault::new(FaultKind::Pool, message).cause(cause).correction(format!(
            "Mount the file system at '{}'; if its data is lost, delete the storage pool and create it again",
            pool.place
        )))
    }

    /// Remembers the folder of a pool that can be used, and marks it if it has no mark. Where there are no marks, nothing is guarded.
    pub fn remember(&self, hands: &Hands, pool: &Pool, (cluster, id): (Uuid, Uuid), folder: impl AsFd) {
        let mut known = self.lock();
        if known.get(&pool.place).is_some_and(|old| old.pools.contains(&id)) {
            return;
        }
        let text = match mark(&folder) {
            Ok(Some(text)) => text,
            Ok(None) => {
                let text = format!("{cluster}:{id}");
                // The mark is on disk before it is asked for.
                let marked = hands.change(|| fsetxattr(&folder, MARK, text.as_bytes(), XattrFlags::empty())).and_then(|()| fsync(&folder));
                match marked {
                    Ok(()) => text,
                    Err(_) => return,
                }
            }
            Err(_) => return,
        };
        let place = known.entry(pool.place.clone()).or_insert_with(|| Known { mark: text.clone(), pools: BTreeSet::new() });
        place.mark = text;
        place.pools.insert(id);
        let now = known.clone();
        self.write(&now);
    }
}
