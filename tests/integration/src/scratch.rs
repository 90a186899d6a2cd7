//! A folder of a test's own, and everything that hangs on it: processes, mounts, loop devices.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::command::{run, tool};
use crate::{is_root, note, wait};

/// Size of the file system with reflinks; sparse, so it costs what is written.
const IMAGE_BYTES: u64 = 3 << 30;

/// Names of images of file systems: ours, and the one that `berth dev` makes in its folder.
const IMAGES: [&str; 3] = ["reflink.xfs", "small.ext4", "pools.img"];

/// Rounds of unmounting and detaching; nothing is nested as deep.
const CLEAR_ROUNDS: u32 = 6;

/// A folder that goes with everything in it when the value goes.
///
/// At the end it ends processes that name the folder in their arguments, unmounts what is mounted below it and frees
/// the loop devices whose files lie in it. Nothing else of the machine is touched.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A fresh, empty folder.
    ///
    /// # Errors
    /// If the machine has no room for one.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("berth-test-").tempdir().context("cannot make a folder for the test")?;
        Ok(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder below, made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn sub(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A folder on a file system with reflinks: an XFS image, mounted below. `None`, with a note, where that needs root
    /// or `mkfs.xfs` and they are missing.
    ///
    /// # Errors
    /// If both are there and it fails all the same.
    pub fn reflink_dir(&self) -> Result<Option<PathBuf>> {
        if !is_root() {
            note("no file system with reflinks: mounting one needs root");
            return Ok(None);
        }
        if tool("mkfs.xfs").is_err() {
            note("no file system with reflinks: mkfs.xfs is not installed");
            return Ok(None);
        }
        let image = self.path().join("reflink.xfs");
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        run("mkfs.xfs", &[Path::new("-q"), Path::new("-m"), Path::new("reflink=1"), &image])?.ok()?;
        let mount = self.sub("reflink")?;
        run("mount", &[Path::new("-o"), Path::new("loop"), &image, &mount])?.ok()?;
        Ok(Some(mount))
    }

    /// A folder on a small file system of its own (ext4, no reflinks), mounted below. Needs root.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn small_dir(&self, size_mib: u64) -> Result<PathBuf> {
        let image = self.path().join("small.ext4");
        File::create(&image)?.set_len(size_mib << 20)?;
        run("mkfs.ext4", &[Path::new("-q"), &image])?.ok()?;
        let mount = self.sub("small")?;
        run("mount", &[Path::new("-o"), Path::new("loop"), &image, &mount])?.ok()?;
        Ok(mount)
    }

    /// A folder for pools: with reflinks where the machine lets us, else a plain one.
    ///
    /// # Errors
    /// As [`Scratch::reflink_dir`].
    pub fn pools(&self) -> Result<PathBuf> {
        match self.reflink_dir()? {
            Some(folder) => Ok(folder),
            None => self.sub("pools"),
        }
    }

    /// Loop devices whose files lie in the folder, with those files; images of file systems are left out.
    #[must_use]
    pub fn loops(&self) -> Vec<(PathBuf, PathBuf)> {
        all_loops(self.path()).into_iter().filter(|(_, file)| !IMAGES.iter().any(|image| file.ends_with(image))).collect()
    }

    /// Ends every process that names the folder in its arguments, with SIGKILL, waits until they are gone, and counts them.
    ///
    /// # Errors
    /// If one is still there after some seconds.
    pub fn kill_all(&self) -> Result<usize> {
        let mut killed = BTreeSet::new();
        // Again and again: one that was just started may show its arguments a moment later.
        wait::until(Duration::from_secs(10), "the processes are gone", || {
            let victims = processes(self.path());
            for pid in &victims {
                kill_process(*pid, Signal::KILL).ok();
                killed.insert(pid.as_raw_nonzero().get());
            }
            victims.is_empty()
        })?;
        Ok(killed.len())
    }

    fn clear(&self) {
        if let Err(error) = self.kill_all() {
            note(&format!("{error:#}"));
        }
        // A volume's file lies on a mounted image, and a volume may be mounted itself, so it takes some rounds from the
        // inside out. The images' own devices are not touched: they free themselves with their mounts, and would be
        // somebody else's a moment later.
        for round in 1..=CLEAR_ROUNDS {
            for mount in mounts_below(self.path()).iter().rev() {
                if run("umount", &[mount]).is_ok_and(|done| done.status.success()) || round < CLEAR_ROUNDS {
                    continue;
                }
                note(&format!("{} is still in use; it goes when that ends", mount.display()));
                run("umount", &[Path::new("--lazy"), mount]).ok();
            }
            for (device, _) in self.loops() {
                run("losetup", &[Path::new("--detach"), &device]).ok();
            }
            if mounts_below(self.path()).is_empty() && self.loops().is_empty() {
                break;
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Mount points below `folder`, parents first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(folder))
        .collect();
    found.sort();
    found
}

/// Loop devices whose files lie below `folder`, as (device, file).
fn all_loops(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut found: Vec<(PathBuf, PathBuf)> = entries
        .filter_map(|entry| {
            let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            let file = PathBuf::from(file.trim_end().trim_end_matches(" (deleted)"));
            file.starts_with(folder).then(|| (Path::new("/dev").join(entry.file_name()), file))
        })
        .collect();
    found.sort();
    found
}

/// Processes other than this one that name the folder, or something below it, in their arguments.
fn processes(folder: &Path) -> Vec<Pid> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.windows(needle.len()).any(|part| part == needle)))
        .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect()
}
