//! Stable device paths: `<dev dir>/by-res/<resource>/<volume>`, a symbolic link to the device.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use berth_model::names::{ResourceName, VolumeNumber};

use crate::hands::Hands;

/// End of the name of a link that is being made.
const TEMPORARY: &str = ".new";

/// The folder of stable paths.
#[derive(Debug)]
pub struct Links {
    folder: PathBuf,
}

impl Links {
    /// Links below a device folder; nothing is made yet.
    #[must_use]
    pub fn new(dev_dir: &Path) -> Self {
        Self { folder: dev_dir.join("by-res") }
    }

    /// Where the link of a volume is.
    #[must_use]
    pub fn path(&self, resource: &ResourceName, volume: VolumeNumber) -> PathBuf {
        self.folder.join(resource.as_str()).join(volume.to_string())
    }

    /// Where the link of a volume points; `None`: there is none.
    #[must_use]
    pub fn target(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        std::fs::read_link(self.path(resource, volume)).ok()?.into_os_string().into_string().ok()
    }

    /// Where all links point.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let links = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
        links.filter_map(|link| std::fs::read_link(link.path()).ok()?.into_os_string().into_string().ok()).collect()
    }

    /// Points the link of a volume at a device, in one step.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set(&self, hands: &Hands, resource: &ResourceName, volume: VolumeNumber, device: &str) -> std::io::Result<()> {
        let path = self.path(resource, volume);
        let temporary = self.folder.join(resource.as_str()).join(format!("{volume}{TEMPORARY}"));
        std::fs::create_dir_all(self.folder.join(resource.as_str()))?;
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(device, &temporary)?;
        hands.change(|| std::fs::rename(&temporary, &path))
    }

    /// Removes the link of a volume and the folder of its resource, if that is empty then.
    ///
    /// # Errors
    /// Those of the system.
    pub fn remove(&self, hands: &Hands, resource: &ResourceName, volume: VolumeNumber) -> std::io::Result<()> {
        match hands.change(|| std::fs::remove_file(self.path(resource, volume))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // Not empty: other volumes are served.
        drop(std::fs::remove_dir(self.folder.join(resource.as_str())));
        Ok(())
    }

    /// Removes the links that `keep` does not want: what an earlier life or a reboot left.
    pub fn sweep(&self, hands: &Hands, keep: impl Fn(&str, &str, &str) -> bool) {
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Ok(resource) = entry.file_name().into_string() else { continue };
            for link in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let (Ok(volume), Ok(target)) = (link.file_name().into_string(), std::fs::read_link(link.path())) else { continue };
                if !keep(&resource, &volume, &target.to_string_lossy()) {
                    tracing::info!(link = %link.path().display(), target = %target.display(), "stale link removed");
                    if let Err(error) = hands.change(|| std::fs::remove_file(link.path())) {
                        tracing::warn!(link = %link.path().display(), %error, "stale link stays");
                    }
                }
            }
            drop(std::fs::remove_dir(entry.path()));
        }
    }
}
