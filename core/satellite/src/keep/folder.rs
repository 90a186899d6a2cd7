//! The memory of a satellite in its data folder.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::{DurableFiles, data};
use crate::config::SatelliteError;

/// Held while a satellite runs with the folder.
const LOCK: &str = "lock";
/// A tool that was being started as the satellite before this one ended holds the lock until it runs.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Pause between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Files in a folder that nobody else uses, readable by their owner only.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
    /// Files that are appended to, open.
    open: BTreeMap<String, File>,
}

impl Folder {
    /// Takes a folder, making it if needed.
    ///
    /// # Errors
    /// [`SatelliteError::Locked`] if another satellite uses it; [`SatelliteError::Data`] if it cannot be made.
    pub(super) fn lock(path: &Path) -> Result<Self, SatelliteError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| data(path, error))?;
        let lock_path = path.join(LOCK);
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(|e| data(&lock_path, e))?;
        let end = Instant::now() + LOCK_PATIENCE;
        while rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= end {
                return Err(SatelliteError::Locked(path.to_owned()));
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Ok(Self { path: path.to_owned(), lock, open: BTreeMap::new() })
    }

    /// Whether the folder is still the one that was taken: what is written to a removed file is lost with this process, and a new
    /// folder of the same name may belong to another satellite.
    fn is_ours(&self) -> std::io::Result<()> {
        match self.lock.metadata()?.nlink() {
            0 => {
                let what = format!("{} was removed while the satellite runs; restart the satellite", self.path.display());
                Err(std::io::Error::new(ErrorKind::NotFound, what))
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, name: &str) -> std::io::Result<&mut File> {
        use std::collections::btree_map::Entry;
        match self.open.entry(name.to_owned()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(name))?;
                // Its name must not be lost with a power cut after the first append.
                File::open(&self.path)?.sync_all()?;
                Ok(free.insert(file))
            }
        }
    }
}

impl DurableFiles for Folder {
    fn read(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.is_ours()?;
        // What is open is the old file, whatever becomes of this.
        self.open.remove(name);
        write_whole(&self.path, name, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.is_ours()?;
        let file = self.file(name)?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn cut(&mut self, name: &str, length: u64) -> std::io::Result<()> {
        self.file(name)?.set_len(length)
    }

    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.open.remove(from);
        self.open.remove(to);
        std::fs::rename(self.path.join(from), self.path.join(to))?;
        File::open(&self.path)?.sync_all()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// A document in a file; the default one if there is no file.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_was_removed_remembers_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let mut folder = Folder::lock(&path).unwrap();
        folder.append("log", b"one").unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        let error = folder.append("log", b"two").unwrap_err().to_string();
        assert!(error.contains("restart the satellite"), "{error}");
        // Another one of the same name is somebody else's.
        let mut other = Folder::lock(&path).unwrap();
        other.replace("log", b"other").unwrap();
        folder.replace("log", b"three").unwrap_err();
        folder.append("log", b"four").unwrap_err();
        assert_eq!(other.read("log").unwrap().as_deref(), Some(b"other".as_slice()));
    }
}
