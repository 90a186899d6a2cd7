//! Who has a device: mounts, devices that lie on it, processes that have it open.
//!
//! This reads much of `/proc`, and is only asked when somebody is in the way. It is best effort: who is in another namespace may be missed,
//! and so is, on a machine with very many processes, who comes late.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_link, read_to_string};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use berth_model::observed::Holder;

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 4096;
/// Most open files that are looked at in all.
const FILES_MAX: usize = 200_000;

/// One device in the words of the kernel.
struct Block {
    path: String,
    /// `major:minor`; empty: unknown.
    number: String,
    rdev: Option<u64>,
}

/// All who have one of these devices, by kind; processes by their ids.
#[must_use]
pub fn of(devices: BTreeSet<String>) -> Vec<Holder> {
    let short = |path: &str| path.strip_prefix("/dev/").unwrap_or(path).to_owned();
    let blocks: Vec<Block> = devices
        .into_iter()
        .map(|path| Block {
            number: read_to_string(format!("/sys/class/block/{}/dev", short(&path))).unwrap_or_default().trim().to_owned(),
            rdev: rdev(Path::new(&path)),
            path,
        })
        .collect();
    let mountinfo = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut all: Vec<Holder> = Vec::new();
    for block in &blocks {
        let mounts = mounts(&mountinfo, &block.number, &block.path);
        all.extend(mounts.into_iter().map(|path| Holder::Mount { device: block.path.clone(), path }));
        let mut above = names(&format!("/sys/class/block/{}/holders", short(&block.path)));
        above.extend(loops_on(&block.path));
        above.sort();
        all.extend(above.into_iter().map(|name| Holder::Device { device: block.path.clone(), by: format!("/dev/{name}") }));
    }
    all.extend(processes(&blocks));
    all
}

/// What it is used for, in a sentence for people that names the device.
#[must_use]
pub fn sentence(device: &str, holders: &[Holder]) -> String {
    let one = |holder: &Holder| match holder {
        Holder::Mount { device: at, path } if at == device => format!("it is mounted on {path}"),
        Holder::Mount { device: at, path } => format!("{at}, a device of the same file, is mounted on {path}"),
        Holder::Device { device: at, by } if at == device => format!("it is part of {by}"),
        Holder::Device { device: at, by } => format!("{at}, a device of the same file, is part of {by}"),
        Holder::Process { device: at, pid, command } if at == device => format!("process {pid} ({command}) has it open"),
        Holder::Process { device: at, pid, command } => format!("process {pid} ({command}) has {at} open, a device of the same file"),
    };
    let words: Vec<String> = holders.iter().map(one).collect();
    match words.as_slice() {
        [] => format!("{device} is used: a program has it open exclusively, or it is mounted in another namespace"),
        words => format!("{device} is used: {}", words.join("; ")),
    }
}

fn rdev(path: &Path) -> Option<u64> {
    let seen = std::fs::metadata(path).ok()?;
    seen.file_type().is_block_device().then(|| seen.rdev())
}

fn names(folder: &str) -> Vec<String> {
    read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Loop devices whose file is the device.
fn loops_on(device: &str) -> Vec<String> {
    let file = |name: &String| read_to_string(format!("/sys/block/{name}/loop/backing_file")).is_ok_and(|file| file.trim_end() == device);
    names("/sys/block").into_iter().filter(|name| name.starts_with("loop")).filter(file).collect()
}

/// Where a device is mounted, by the text of mountinfo (proc(5): field 3 is the device, field 5 the place; after ` - ` come the kind of file
/// system and its source, which names the device where the file system has a number of its own).
pub fn mounts(mountinfo: &str, number: &str, path: &str) -> Vec<String> {
    let place = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut fields = head.split(' ');
        let device = fields.nth(2)?;
        let place = fields.nth(1)?;
        let source = tail.split(' ').nth(1);
        ((!number.is_empty() && device == number) || source == Some(path)).then(|| unescaped(place))
    };
    mountinfo.lines().filter_map(place).collect()
}

/// A path of mountinfo, where some characters are octal.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Processes that have a device open, by their ids; this one is left out.
fn processes(blocks: &[Block]) -> Vec<Holder> {
    let own = std::process::id();
    let mut pids: Vec<u32> = names("/proc").iter().filter_map(|name| name.parse().ok()).filter(|pid| *pid != own).collect();
    pids.sort_unstable();
    let (mut found, mut files) = (Vec::new(), 0usize);
    for pid in pids.into_iter().take(PROCESSES_MAX) {
        let mut opened = BTreeSet::new();
        for entry in read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            files = files.saturating_add(1);
            if files > FILES_MAX {
                return found;
            }
            let path = entry.path();
            // Only what lies among the devices is looked at: a look at a file on a dead server would not come back.
            let Some(target) = read_link(&path).ok().filter(|target| target.starts_with("/dev")) else { continue };
            let is = |block: &&Block| target == Path::new(&block.path) || (block.rdev.is_some() && rdev(&path) == block.rdev);
            opened.extend(blocks.iter().filter(is).map(|block| block.path.clone()));
        }
        let command = || read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
        found.extend(opened.into_iter().map(|device| Holder::Process { device, pid, command: command() }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_device() {
        let text = "24 1 254:0 / / rw - ext4 /dev/vda rw\n60 24 7:3 / /mnt/my\\040disk rw,relatime shared:5 - xfs /dev/loop3 rw\n\
                    61 24 0:55 / /mnt/b rw - btrfs /dev/loop4 rw\n";
        assert_eq!(mounts(text, "7:3", "/dev/loop3"), ["/mnt/my disk"]);
        assert_eq!(mounts(text, "7:4", "/dev/loop4"), ["/mnt/b"]);
        assert_eq!(mounts(text, "7:5", "/dev/loop5"), Vec::<String>::new());
        assert_eq!(mounts(text, "", "/dev/loop9"), Vec::<String>::new());
        assert_eq!(mounts("nonsense\n\n - \n", "7:4", "/dev/loop4"), Vec::<String>::new());
    }

    #[test]
    fn holders_are_told_in_a_sentence() {
        let mount = Holder::Mount { device: "/dev/loop3".into(), path: "/mnt".into() };
        let process = Holder::Process { device: "/dev/loop4".into(), pid: 12, command: "dd".into() };
        assert_eq!(
            sentence("/dev/loop3", &[mount, process]),
            "/dev/loop3 is used: it is mounted on /mnt; process 12 (dd) has /dev/loop4 open, a device of the same file"
        );
        assert!(sentence("/dev/loop3", &[]).starts_with("/dev/loop3 is used: "));
    }
}
