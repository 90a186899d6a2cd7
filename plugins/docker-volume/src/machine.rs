//! What the plugin does to its host: file systems, mounts, its file of ids.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_plugin_sdk::{Fault, FaultKind};
use uuid::Uuid;

use crate::filling::Found;
use crate::options::FsOptions;

/// Longest run of a tool: Docker waits two minutes for an answer.
const TOOL_WITHIN: Duration = Duration::from_secs(100);

/// What a mount that cannot be ended yet is given: whoever just closed a file is looked at by others for a moment.
const BUSY_WITHIN: Duration = Duration::from_secs(3);

/// Pause before something is tried again.
pub const PAUSE: Duration = Duration::from_millis(50);

/// Folder inside of a file system that is handed out, as upstream's plugin has it: so that `lost+found` is not in the way.
const INSIDE: &str = "data";

/// A host as the plugin needs it.
pub trait Machine: Send + Sync {
    /// Which start of the machine this is.
    fn boot_id(&self) -> String;
    /// Looks what is on a device.
    ///
    /// # Errors
    /// If that cannot be told.
    fn found(&self, device: &str) -> Result<Found, Fault>;
    /// Makes a file system with this id; `again`: over an unfinished one of ours.
    ///
    /// # Errors
    /// As the tool says.
    fn make(&self, device: &str, options: &FsOptions, id: Uuid, again: bool) -> Result<(), Fault>;
    /// Mounts a device for a resource.
    ///
    /// # Errors
    /// As mount says.
    fn mount(&self, device: &str, resource: &str, options: &FsOptions) -> Result<(), Fault>;
    /// Ends the mount of a resource; none is no error.
    ///
    /// # Errors
    /// As umount says.
    fn unmount(&self, resource: &str) -> Result<(), Fault>;
    /// Whether a resource is mounted.
    fn is_mounted(&self, resource: &str) -> bool;
    /// Resources that are mounted below the plugin's folder.
    fn mounted(&self) -> Vec<String>;
    /// The folder of a mounted resource that is handed out; made, with its owner, where the file system is empty.
    ///
    /// # Errors
    /// As the system says.
    fn hand_out(&self, resource: &str, options: &FsOptions) -> Result<String, Fault>;
    /// Makes the file system of a mounted resource as large as its device, if it is smaller.
    ///
    /// # Errors
    /// As the tool says.
    fn grow(&self, device: &str, resource: &str) -> Result<(), Fault>;
    /// The same for a device that is not mounted, for kernels that do not let this process grow a mounted one.
    ///
    /// # Errors
    /// As the tool says.
    fn grow_unmounted(&self, device: &str) -> Result<(), Fault>;
    /// Bytes in all and free bytes of a mounted resource.
    fn usage(&self, resource: &str) -> Option<(u64, u64)>;
    /// What was kept by [`Machine::keep`].
    fn kept(&self) -> Option<String>;
    /// Keeps a text until the machine starts anew; all of it or none.
    ///
    /// # Errors
    /// As the system says.
    fn keep(&self, text: &str) -> Result<(), Fault>;
    /// An id that nobody has.
    fn fresh_id(&self) -> Uuid;
}

/// This host.
#[derive(Debug)]
pub struct Host {
    /// Folder of the mounts.
    root: PathBuf,
    /// File of the ids.
    file: PathBuf,
    /// Sizes of devices whose file systems are as large, in bytes.
    sizes: Mutex<BTreeMap<String, u64>>,
}

impl Host {
    /// This host, with mounts below `root` and ids in `file`.
    #[must_use]
    pub fn new(root: PathBuf, file: PathBuf) -> Self {
        Self { root, file, sizes: Mutex::default() }
    }

    fn folder(&self, resource: &str) -> PathBuf {
        self.root.join(resource)
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Tool, format!("{what} {} failed", path.display())).cause(error.to_string())
}

/// A tool's end: exit code and both outputs.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(words: &[&str]) -> Result<Ran, Fault> {
    let (Some(tool), rest) = (words.first(), words.get(1..).unwrap_or_default()) else {
        return Err(Fault::new(FaultKind::Bug, "No tool is named"));
    };
    let cannot = |error: std::io::Error| {
        Fault::new(FaultKind::Tool, format!("'{tool}' cannot be run"))
            .cause(error.to_string())
            .correction(format!("Install the package that has '{tool}' on this host"))
    };
    let mut child = Command::new(tool)
        .args(rest)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    // Read beside the waiting, so that a tool that says much is not stuck.
    let reader = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(from) = from {
                // What cannot be read is not said.
                let _ = from.take(1 << 20).read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(child.stdout.take().map(|from| Box::new(from) as _));
    let err = reader(child.stderr.take().map(|from| Box::new(from) as _));
    let deadline = Instant::now() + TOOL_WITHIN;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait().map_err(cannot)? {
            Some(status) => break status,
            None if Instant::now() >= deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Fault::new(
                    FaultKind::Timeout,
                    format!("'{}' did not end within {} s", words.join(" "), TOOL_WITHIN.as_secs()),
                ));
            }
            None => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE);
            }
        }
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok(Ran { code: status.code().unwrap_or(-1), out: text(out), err: text(err) })
}

fn must(words: &[&str]) -> Result<String, Fault> {
    let ran = run(words)?;
    if ran.code == 0 {
        return Ok(ran.out);
    }
    let said = if ran.err.trim().is_empty() { &ran.out } else { &ran.err };
    Err(Fault::new(FaultKind::Tool, format!("'{}' failed", words.first().copied().unwrap_or_default()))
        .cause(said.trim().chars().take(500).collect::<String>())
        .details(format!("{}: exit code {}", words.join(" "), ran.code)))
}

/// Fields `KEY=VALUE` of a tool's output, one a line.
fn field(text: &str, key: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().trim().to_owned()
}

/// Mount points of volumes right below `root` out of a mountinfo, by their names. What else is mounted there is not ours: a volume is a whole
/// file system of a kind that is made here or brought along, never a part of one, and never one without a device.
pub fn mounts_in(text: &str, root: &Path) -> Vec<String> {
    let unescaped = |path: &str| path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    // Fields: id, parent, device, root, point, options, tags, '-', kind, source.
    let ours = text.lines().filter(|line| {
        let (before, after) = line.split_once(" - ").unwrap_or((line, ""));
        let mut after = after.split(' ');
        let kind = after.next().is_some_and(|kind| crate::filling::FILE_SYSTEMS.contains(&kind));
        before.split(' ').nth(3) == Some("/") && kind && after.next().is_some_and(|source| source.starts_with("/dev/"))
    });
    let points = ours.filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let below = points.filter_map(|point| {
        let rest = Path::new(&point).strip_prefix(root).ok()?.to_str()?.to_owned();
        (!rest.is_empty() && !rest.contains('/')).then_some(rest)
    });
    below.collect()
}

impl Machine for Host {
    fn boot_id(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }

    fn found(&self, device: &str) -> Result<Found, Fault> {
        // 2: nothing is recognised; 8: several things are. Then the list of signatures says which.
        let probed = run(&["blkid", "--probe", "--output", "export", device])?;
        if ![0, 2, 8].contains(&probed.code) {
            return Err(Fault::new(FaultKind::Tool, format!("What is on {device} cannot be told")).cause(probed.err.trim().to_owned()));
        }
        // Columns: offset, uuid, label, type.
        let listed = must(&["wipefs", "--no-act", "--parsable", device])?;
        let signatures = listed.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(',').next_back());
        Ok(Found {
            kind: field(&probed.out, "TYPE"),
            uuid: field(&probed.out, "UUID"),
            signatures: signatures.filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        })
    }

    fn make(&self, device: &str, options: &FsOptions, id: Uuid, again: bool) -> Result<(), Fault> {
        let (tool, id, given) = (format!("mkfs.{}", options.fs), id.to_string(), format!("uuid={id}"));
        let mut words = vec![tool.as_str()];
        match options.fs.as_str() {
            "xfs" => words.extend(["-q", "-m", given.as_str()]),
            "btrfs" => words.extend(["-q", "-U", id.as_str()]),
            _ => words.extend(["-q", "-U", id.as_str()]),
        }
        match (again, options.fs.as_str()) {
            (true, "ext4") => words.push("-F"),
            (true, _) => words.push("-f"),
            (false, _) => {}
        }
        words.extend(options.mkfs.iter().map(String::as_str));
        words.push(device);
        must(&words)?;
        // What was made is there after a power cut.
        std::fs::File::open(device).and_then(|file| file.sync_all()).map_err(|error| failed("Syncing", Path::new(device), &error))?;
        let made = self.found(device)?;
        if made.kind == options.fs && Uuid::parse_str(&made.uuid).is_ok_and(|there| there == Uuid::parse_str(&id).unwrap_or_default()) {
            return Ok(());
        }
        // E.g. a word of 'fsopts' that only shows what would be done.
        Err(Fault::new(FaultKind::Tool, format!("'{tool}' has not made the file system that it was told to make"))
            .cause(format!("the words were: {}", words.join(" ")))
            .correction("Leave out option 'fsopts'"))
    }

    fn mount(&self, device: &str, resource: &str, options: &FsOptions) -> Result<(), Fault> {
        let folder = self.folder(resource);
        std::fs::create_dir_all(&folder).map_err(|error| failed("Making the folder", &folder, &error))?;
        if !std::fs::symlink_metadata(&folder).is_ok_and(|of| of.is_dir()) {
            // Through a link it would be mounted elsewhere.
            return Err(Fault::new(FaultKind::Foreign, format!("{} is no folder", folder.display())).correction("Move it away"));
        }
        let kind = self.found(device)?.kind;
        let mut all = options.mount.clone();
        all.push(if options.readonly { "ro" } else { "rw" }.to_owned());
        for (safe, word) in [("nosuid", "suid"), ("nodev", "dev")] {
            if !all.iter().any(|said| said == word || said == safe) {
                all.push(safe.to_owned());
            }
        }
        if kind == "xfs" {
            // A copy of a volume bears the id of its source, which may be mounted, too.
            all.push("nouuid".to_owned());
        }
        let place = folder.display().to_string();
        must(&["mount", "-t", &kind, "-o", &all.join(","), "--", device, &place]).map(drop)
    }

    fn unmount(&self, resource: &str) -> Result<(), Fault> {
        let place = self.folder(resource).display().to_string();
        let deadline = Instant::now() + BUSY_WITHIN;
        while self.is_mounted(resource) {
            match must(&["umount", "--", &place]) {
                Err(fault) if fault.cause.contains("busy") && Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(fault) if self.is_mounted(resource) => return Err(fault),
                _ => {}
            }
        }
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
        // It may hold something that is not ours: then it stays.
        let _ = std::fs::remove_dir(self.folder(resource));
        Ok(())
    }

    fn is_mounted(&self, resource: &str) -> bool {
        self.mounted().iter().any(|one| one == resource)
    }

    fn mounted(&self) -> Vec<String> {
        let mut all = mounts_in(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), &self.root);
        all.sort();
        all.dedup();
        all
    }

    fn hand_out(&self, resource: &str, options: &FsOptions) -> Result<String, Fault> {
        let root = self.folder(resource);
        let (inside, fresh) = (root.join(INSIDE), root.join(format!("{INSIDE}.new")));
        // A link in a file system that came with data could lead anywhere on this host.
        if !std::fs::symlink_metadata(&inside).is_ok_and(|of| of.is_dir()) {
            let entries = std::fs::read_dir(&root).map_err(|error| failed("Reading", &root, &error))?;
            // An empty one of the second name was left by a host that died before it got its own.
            let empty = entries.flatten().all(|entry| entry.file_name() == "lost+found" || entry.path() == fresh);
            if !empty || options.readonly || std::fs::remove_dir(&fresh).is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound) {
                // Somebody's data lies at the top: it is handed out as it is.
                return Ok(root.display().to_string());
            }
            let made = std::fs::create_dir(&fresh)
                .and_then(|()| std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(options.mode.unwrap_or(0o755))))
                .and_then(|()| chown(&fresh, options.uid, options.gid))
                .and_then(|()| std::fs::rename(&fresh, &inside));
            made.map_err(|error| failed("Making the folder", &inside, &error))?;
        }
        Ok(inside.display().to_string())
    }

    fn grow(&self, device: &str, resource: &str) -> Result<(), Fault> {
        let place = self.folder(resource);
        let size = std::fs::File::open(device)
            .and_then(|mut file| file.seek(SeekFrom::End(0)))
            .map_err(|error| failed("Opening", Path::new(device), &error))?;
        let seen = |resource: &str| self.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(resource).copied();
        if seen(resource) == Some(size) {
            return Ok(());
        }
        let (kind, place) = (self.found(device)?.kind, place.display().to_string());
        match kind.as_str() {
            "ext2" | "ext3" | "ext4" => must(&["resize2fs", device])?,
            "xfs" => must(&["xfs_growfs", &place])?,
            "btrfs" => must(&["btrfs", "filesystem", "resize", "max", &place])?,
            _ => String::new(),
        };
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(resource.to_owned(), size);
        Ok(())
    }

    fn grow_unmounted(&self, device: &str) -> Result<(), Fault> {
        if ["ext2", "ext3", "ext4"].contains(&self.found(device)?.kind.as_str()) {
            // 1: it mended something. resize2fs insists on a look.
            let looked = run(&["e2fsck", "-f", "-p", device])?;
            if looked.code > 1 {
                return Err(
                    Fault::new(FaultKind::Tool, format!("The file system on {device} needs hands")).cause(looked.out.trim().to_owned())
                );
            }
            must(&["resize2fs", device])?;
        }
        Ok(())
    }

    fn usage(&self, resource: &str) -> Option<(u64, u64)> {
        let of = rustix::fs::statvfs(self.folder(resource)).ok()?;
        Some((of.f_blocks.saturating_mul(of.f_frsize), of.f_bavail.saturating_mul(of.f_frsize)))
    }

    fn kept(&self) -> Option<String> {
        std::fs::read_to_string(&self.file).ok()
    }

    fn keep(&self, text: &str) -> Result<(), Fault> {
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, &self.file))
            .map_err(|error| failed("Writing", &self.file, &error))
    }

    fn fresh_id(&self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Whether a file belongs to root and nobody else may write it: a configuration may hold a password.
pub fn is_private(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|of| of.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_from_the_kernels_table() {
        let text = "30 1 8:1 / / rw - ext4 /dev/sda rw\n40 30 7:0 / /m/vols/a rw - ext4 /dev/loop0 rw\n41 30 7:1 / /m/vols/b\\040c rw - xfs /dev/loop1 rw\n\
            42 40 7:2 / /m/vols/a/data/x rw - ext4 /dev/loop2 rw\n43 30 7:3 / /m/volsx/d rw - ext4 /dev/loop3 rw\n";
        assert_eq!(mounts_in(text, Path::new("/m/vols")), ["a", "b c"]);
        // What an operator mounts there is left alone.
        let others = "50 30 0:40 / /m/vols/t rw - tmpfs tmpfs rw\n51 30 8:1 /home /m/vols/home rw shared:1 - ext4 /dev/sda rw\n\
            52 30 0:41 / /m/vols/n rw - nfs4 host:/x rw\n53 30 7:5 / /m/vols/e rw shared:2 master:1 - btrfs /dev/loop5 rw\n";
        assert_eq!(mounts_in(others, Path::new("/m/vols")), ["e"]);
    }

    #[test]
    fn a_folder_is_handed_out_once_made_and_never_through_a_link() {
        let scratch = tempfile::tempdir().unwrap();
        let host = Host::new(scratch.path().to_owned(), scratch.path().join("ids.json"));
        let options = FsOptions { mode: Some(0o750), ..FsOptions::default() };
        let at = |name: &str| scratch.path().join(name);
        let given = |name: &str| host.hand_out(name, &options).unwrap();
        std::fs::create_dir_all(at("new/lost+found")).unwrap();
        assert_eq!(given("new"), at("new/data").display().to_string());
        assert_eq!(at("new/data").metadata().unwrap().mode() & 0o777, 0o750);
        // The host died before the folder had its name.
        std::fs::create_dir_all(at("cut/data.new")).unwrap();
        assert_eq!(given("cut"), at("cut/data").display().to_string());
        assert!(!at("cut/data.new").exists());
        // Data of somebody else's, and a link that a stranger put there.
        std::fs::create_dir_all(at("full/data.new/mine")).unwrap();
        assert_eq!(given("full"), at("full").display().to_string());
        std::fs::create_dir_all(at("linked")).unwrap();
        std::os::unix::fs::symlink("/etc", at("linked/data")).unwrap();
        assert_eq!(given("linked"), at("linked").display().to_string());
    }

    #[test]
    fn what_is_kept_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::new(folder.path().join("m"), folder.path().join("ids.json"));
        assert_eq!(host.kept(), None);
        host.keep("one").unwrap();
        host.keep("two").unwrap();
        assert_eq!(host.kept().as_deref(), Some("two"));
    }

    #[test]
    fn a_tool_that_is_missing_or_fails_is_named() {
        let fault = must(&["no-such-tool-here"]).unwrap_err();
        assert!(fault.message.contains("no-such-tool-here") && fault.correction.contains("Install"), "{fault:?}");
        let fault = must(&["sh", "-c", "echo why >&2; exit 3"]).unwrap_err();
        assert!(fault.cause == "why" && fault.details.ends_with("exit code 3"), "{fault:?}");
    }
}
