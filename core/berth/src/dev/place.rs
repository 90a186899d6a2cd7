//! Where the pools lie: the folder itself if its file system has reflinks, else a sparse XFS image mounted under it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Largest image; it is sparse, so it takes only what is written.
const IMAGE_MAX_BYTES: u64 = 64 << 30;
/// Smallest image that mkfs.xfs makes.
const IMAGE_MIN_BYTES: u64 = 320 << 20;

/// The folder of all pools.
pub struct Pools {
    /// The folder.
    pub path: PathBuf,
    /// Why snapshots do not work here; `None`: they do.
    pub without_snapshots: Option<String>,
    image: Option<PathBuf>,
}

impl Pools {
    /// Opens what is there, or makes it.
    pub fn open(home: &Path) -> anyhow::Result<Self> {
        let path = home.join("pools");
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        let image = home.join("pools.img");
        if image.exists() {
            if !is_mounted(&path)? {
                mount(&image, &path)?;
            }
            return Ok(Self { path, without_snapshots: None, image: Some(image) });
        }
        if has_reflinks(&path)? {
            return Ok(Self { path, without_snapshots: None, image: None });
        }
        match make_image(&image, &path) {
            Ok(()) => Ok(Self { path, without_snapshots: None, image: Some(image) }),
            Err(error) => {
                // Half an image would be mounted at the next start.
                let _nothing = std::fs::remove_file(&image);
                let why = format!(
                    "snapshots, restore, rollback and clone do not work: the folder's file system has no reflinks, and an XFS image could not be used ({error:#}). Run as root with xfsprogs installed, or choose a --dir on XFS or Btrfs."
                );
                Ok(Self { path, without_snapshots: Some(why), image: None })
            }
        }
    }

    /// What lies in the folder already, for taking it away.
    pub fn of(home: &Path) -> Self {
        let image = home.join("pools.img");
        Self { path: home.join("pools"), without_snapshots: None, image: image.exists().then_some(image) }
    }

    /// Takes away the devices on the pools' files and the mount, as far as nobody uses them.
    pub fn close(&self, warn: bool) {
        for device in loops_under(&self.path) {
            let _busy = run("losetup", &["-d", &device]);
        }
        if self.image.is_none() {
            return;
        }
        let gone = run("umount", &[&self.path.to_string_lossy()]);
        if let Some(error) = gone.err().filter(|_| warn) {
            eprintln!("WARNING: {} stays mounted: {error:#}", self.path.display());
        }
    }
}

fn make_image(image: &Path, at: &Path) -> anyhow::Result<()> {
    let space = rustix::fs::statvfs(at).context("cannot ask for free space")?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < IMAGE_MIN_BYTES {
        bail!("only {} MiB are free", free >> 20);
    }
    // Under another name until it is a file system: a start that is cut short leaves no half image to be mounted later.
    let unfinished = image.with_extension("img.new");
    let file = File::create(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    file.set_len(free.min(IMAGE_MAX_BYTES)).context("cannot size the image")?;
    run("mkfs.xfs", &["-q", "-f", "-m", "reflink=1", &unfinished.to_string_lossy()])?;
    std::fs::rename(&unfinished, image).with_context(|| format!("cannot name {}", image.display()))?;
    mount(image, at)
}

fn mount(image: &Path, at: &Path) -> anyhow::Result<()> {
    run("mount", &["-o", "loop", &image.to_string_lossy(), &at.to_string_lossy()])
}

/// Whether a file system is mounted there.
pub fn is_mounted(path: &Path) -> anyhow::Result<bool> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let wanted = path.to_string_lossy().replace(' ', "\\040");
    Ok(table.lines().any(|line| line.split(' ').nth(4) == Some(wanted.as_str())))
}

/// Tries it: a clone of a one-block file.
fn has_reflinks(folder: &Path) -> anyhow::Result<bool> {
    let (one, two) = (folder.join(".reflink-from"), folder.join(".reflink-to"));
    std::fs::write(&one, [0u8; 4096]).with_context(|| format!("cannot write to {}", folder.display()))?;
    let from = File::open(&one).context("cannot read what was written")?;
    let to = File::create(&two).context("cannot write a second file")?;
    let works = rustix::fs::ioctl_ficlone(&to, &from).is_ok();
    for file in [one, two] {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(works)
}

/// Loop devices whose file lies under `folder`.
fn loops_under(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let backing = std::fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
            Path::new(backing.trim_end()).starts_with(folder).then(|| format!("/dev/{}", entry.file_name().to_string_lossy()))
        })
        .collect()
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}; is it installed?"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
