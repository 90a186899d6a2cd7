//! The files of a data folder: the database, its lock, and how a new database takes the place of an old one.

use super::wal::MARK;
use crate::error::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The database, in the data folder. SQLite keeps `berth.db-wal` and `berth.db-shm` beside it while it is open.
pub const DATABASE_FILE: &str = "berth.db";
/// Locked (flock) by the one program that may write; holds its process id.
pub const LOCK_FILE: &str = "berth.lock";

/// Held while a program may write; the system gives it up with the process, however that ends.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that is just being started shares the open file until it runs its own program.
        let _ = self.0.unlock();
    }
}

/// Makes the data folder if it is not there, for its owner only: the state holds secrets.
pub(crate) fn make_folder(dir: &Path) -> Result<(), StoreError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| StoreError::file(dir, error))
}

/// Takes the lock of a data folder, or says who has it.
pub(crate) fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join(LOCK_FILE);
    let failed = |error| StoreError::file(&path, error);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only for the message: an empty or odd file says less, no more.
            let _ = (&mut file).take(20).read_to_string(&mut text);
            let holder = match text.trim().parse::<u32>() {
                Ok(process) => format!("process {process}"),
                Err(_) => "another process".into(),
            };
            return Err(StoreError::InUse { file: path, holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let note = format!("{}\n", std::process::id());
    // Also only for the message, and on a full disk the state must still be readable.
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    Ok(Lock(file))
}

/// Makes an empty database file, for its owner only, if there is none; refuses what is no SQLite file before the engine touches it.
pub(crate) fn make_file(file: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::file(file, error);
    match OpenOptions::new().read(true).write(true).open(file) {
        Ok(mut found) => {
            let mut head = Vec::new();
            (&mut found).take(16).read_to_end(&mut head).map_err(failed)?;
            if !head.is_empty() && head != b"SQLite format 3\0" {
                return Err(StoreError::NotOurs { file: file.into(), why: "it is not an SQLite file".into() });
            }
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
            made.sync_all().map_err(failed)?;
            sync_folder(file)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Makes names in the folder of `file` survive the loss of power.
pub(crate) fn sync_folder(file: &Path) -> Result<(), StoreError> {
    let dir = folder(file);
    File::open(dir).and_then(|open| open.sync_all()).map_err(|error| StoreError::file(dir, error))
}

/// The folder that a file lies in.
pub(crate) fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if dir != Path::new("") => dir,
        Some(_) | None => Path::new("."),
    }
}

/// `berth.db` with `tail` behind it.
pub(crate) fn beside(file: &Path, tail: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

/// A copy of a database and its log, for looks that would change it; gone with the value.
pub(crate) struct Copy(PathBuf);

impl Copy {
    /// Makes it in a folder beside the database, for its owner only.
    pub(crate) fn make(file: &Path) -> Result<Self, StoreError> {
        let dir = beside(file, ".dry-run");
        // What a dry run that was killed has left.
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::file(&dir, error)),
            Ok(()) | Err(_) => {}
        }
        make_folder(&dir)?;
        let copy = Copy(dir);
        for tail in ["", "-wal", MARK] {
            let (from, to) = (beside(file, tail), beside(&copy.database(), tail));
            match std::fs::copy(&from, &to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::file(&to, error)),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(copy)
    }

    /// The database file of the copy.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join(DATABASE_FILE)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next one removes it where this fails.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(file: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file(file, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a database and what the engine keeps beside it.
pub(crate) fn remove_database(file: &Path) -> Result<(), StoreError> {
    for tail in ["", "-wal", "-shm", "-journal", MARK] {
        remove(&beside(file, tail))?;
    }
    Ok(())
}

/// Puts the closed database `fresh` in the place of `file`; an old one is kept under `kept`, with its log.
///
/// The old log must be out of the way before the new file has the name: the engine would replay it into the new one.
pub(crate) fn take_place(fresh: &Path, file: &Path, kept: Option<&Path>) -> Result<(), StoreError> {
    let failed = |error| StoreError::file(file, error);
    File::open(fresh).and_then(|open| open.sync_all()).map_err(failed)?;
    if let Some(kept) = kept {
        std::fs::hard_link(file, kept).map_err(|error| StoreError::file(kept, error))?;
        for tail in ["-wal", "-shm"] {
            let old = beside(file, tail);
            if old.exists() {
                std::fs::rename(&old, beside(kept, tail)).map_err(|error| StoreError::file(&old, error))?;
            }
        }
    }
    // What was acknowledged before is not to be looked for in the new one.
    remove(&beside(file, MARK))?;
    std::fs::rename(fresh, file).map_err(failed)?;
    sync_folder(file)
}
