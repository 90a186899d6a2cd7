//! Copies of the database beside the running controller: one JSON document each, which `berth db import` takes.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use berth_store::{Export, StoreError};

use crate::Controller;

/// Folder of the copies, in the data folder.
pub(crate) const FOLDER: &str = "backups";
/// Log entries that are read at once.
const LOG_BATCH: usize = 1000;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The state cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A part of the state cannot be read; a copy without it would look whole.
    #[error("a part of the database cannot be read: {0}")]
    Damaged(String),
    /// The writing was broken off.
    #[error("the writing was broken off: {0}")]
    Broken(String),
}

impl CopyError {
    /// What a person does about it; begins with a verb.
    pub fn correction(&self) -> String {
        match self {
            Self::Store(error) => error.correction(),
            Self::File { path, source } => match source.kind() {
                io::ErrorKind::AlreadyExists => "Choose another name, or try again.".to_owned(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    format!("Free some space on the file system of {}.", path.display())
                }
                _ => format!("Make {} writable for the user of the controller.", path.parent().unwrap_or(path).display()),
            },
            Self::Damaged(_) => "Look at it with 'berth db check', and mend it with 'berth db repair'.".to_owned(),
            Self::Broken(_) => "Try again; look at the controller's log if it fails again.".to_owned(),
        }
    }
}

/// Writes a copy of the state as it is now, with the log if wanted, and returns its path. It appears whole or not at all.
pub(crate) async fn write(controller: &Controller, name: &str, with_log: bool) -> Result<PathBuf, CopyError> {
    let store = controller.store();
    let state = store.load().await?;
    if let Some(damage) = state.damage.first() {
        return Err(CopyError::Damaged(damage.clone()));
    }
    let mut log = Vec::new();
    let (mut after, until) = (0, if with_log { state.serial } else { 0 });
    while after < until {
        let mut batch = store.log(after, LOG_BATCH).await?;
        // What came after the state was read belongs to no part of the document.
        batch.retain(|entry| entry.serial <= until);
        let Some(last) = batch.last() else { break };
        after = last.serial;
        log.append(&mut batch);
    }
    let stamp = jiff::Timestamp::from_millisecond(crate::state::now().0).map(|now| now.strftime("%Y%m%d_%H%M%S_%3f").to_string());
    let folder = controller.data().join(FOLDER);
    let file = folder.join(format!("{name}-{}.json", stamp.unwrap_or_default()));
    let export = Export { state, log };
    let path = file.clone();
    let done = tokio::task::spawn_blocking(move || put(&folder, &path, &export)).await;
    done.map_err(|error| CopyError::Broken(error.to_string()))??;
    Ok(file)
}

fn put(folder: &Path, file: &Path, export: &Export) -> Result<(), CopyError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CopyError::File { path, source }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let part = file.with_extension("part");
    let write = || -> io::Result<()> {
        // It has every secret that the database has.
        let out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let mut out = io::BufWriter::new(out);
        export.write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        // Unlike a rename, this replaces nothing.
        std::fs::hard_link(&part, file)
    };
    let written = write();
    let _gone = std::fs::remove_file(&part);
    written.map_err(failed(file))
}
