//! Block devices that nobody uses, as the kernel tells them below `/sys/block`.
//!
//! A device is offered only if it is whole, larger than 1 GiB, writable, has no partition and no holder, is not mounted and no swap,
//! belongs to no layer (loop, device mapper, md, DRBD, …), and is seen to carry no signature.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use berth_model::inquiry::FreeDevice;

/// Devices of at most so many bytes are not offered (REST API v1, physical storage).
const LARGER_THAN: u64 = 1 << 30;
/// Bytes of a sector in `/sys/block/*/size`, whatever the device's own are.
const SECTOR: u64 = 512;
/// Devices that are made of something else, or hold nothing for long.
const NEVER: &[&str] = &["loop", "ram", "zram", "dm-", "md", "drbd", "nbd", "sr", "fd", "zd", "bcache", "rbd"];
/// What a text file of the kernel may hold.
const TEXT_MAX: usize = 256;

fn text(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

fn any_in(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Names of devices that are mounted or swapped to, as far as the kernel names them by a path below `/dev`.
fn in_use(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in ["proc/self/mounts", "proc/swaps"] {
        let table = fs::read_to_string(root.join(file)).unwrap_or_default();
        let devices = table.lines().filter_map(|line| line.split_whitespace().next());
        names.extend(devices.filter_map(|device| device.strip_prefix("/dev/")).map(str::to_owned));
    }
    names
}

/// The smallest write that a block device (major, minor) does without reading first, bytes, as the kernel tells it below `sys`; `None`: it
/// is no block device, or the kernel does not say. A partition is as the disk that it is on.
pub fn min_io(sys: &Path, (major, minor): (u32, u32)) -> Option<u32> {
    let device = sys.join("dev/block").join(format!("{major}:{minor}"));
    let told = |queue: &str| text(&device.join(queue).join("minimum_io_size")).parse::<u32>().ok();
    told("queue").or_else(|| told("../queue")).filter(|bytes| *bytes > 0)
}

/// The free devices below `root` (`/`), by path. `signed` says whether a device carries a signature; asked only of what is free otherwise.
pub fn free(root: &Path, signed: &dyn Fn(&str) -> bool) -> Vec<FreeDevice> {
    let used = in_use(root);
    let Ok(entries) = fs::read_dir(root.join("sys/block")) else { return Vec::new() };
    let mut found: Vec<FreeDevice> = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let at = entry.path();
        if NEVER.iter().any(|prefix| name.starts_with(prefix)) || used.contains(&name) {
            continue;
        }
        let size = text(&at.join("size")).parse::<u64>().ok().and_then(|sectors| sectors.checked_mul(SECTOR)).unwrap_or(0);
        let has_partition =
            fs::read_dir(&at).is_ok_and(|mut parts| parts.any(|part| part.is_ok_and(|part| part.path().join("partition").exists())));
        if size <= LARGER_THAN || text(&at.join("ro")) != "0" || has_partition || any_in(&at.join("holders")) || any_in(&at.join("slaves"))
        {
            continue;
        }
        // The kernel writes '!' for what is a folder below /dev.
        let device = format!("/dev/{}", name.replace('!', "/"));
        if signed(&device) {
            continue;
        }
        let told = |names: [&str; 2]| names.iter().map(|name| text(&at.join(name))).find(|text| !text.is_empty()).unwrap_or_default();
        found.push(FreeDevice {
            device,
            size,
            rotational: text(&at.join("queue/rotational")) == "1",
            model: told(["device/model", "model"]),
            serial: told(["device/serial", "serial"]),
            wwn: told(["wwid", "device/wwid"]),
        });
    }
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(root: &Path, name: &str, gib: u64, files: &[(&str, &str)]) {
        let at = root.join("sys/block").join(name);
        fs::create_dir_all(at.join("holders")).unwrap();
        fs::create_dir_all(at.join("queue")).unwrap();
        fs::create_dir_all(at.join("device")).unwrap();
        let sectors = (gib << 30) / SECTOR;
        for (file, content) in [("size", sectors.to_string().as_str()), ("ro", "0"), ("queue/rotational", "0")].iter().chain(files) {
            let path = at.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content}\n")).unwrap();
        }
    }

    #[test]
    fn only_what_nobody_uses_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        disk(root, "sda", 10, &[("sda1/partition", "1")]);
        disk(root, "sdb", 20, &[("queue/rotational", "1"), ("device/model", "Spinner  "), ("device/serial", "S1"), ("wwid", "naa.5")]);
        disk(root, "sdc", 1, &[]);
        disk(root, "sdd", 20, &[("holders/dm-0", "")]);
        disk(root, "sde", 20, &[("ro", "1")]);
        disk(root, "sdf", 20, &[]);
        disk(root, "sdg", 20, &[]);
        disk(root, "sdh", 20, &[("size", "many")]);
        for name in ["loop0", "dm-0", "drbd1000", "md127", "zram0"] {
            disk(root, name, 20, &[]);
        }
        disk(root, "nvme0n1", 30, &[]);
        disk(root, "cciss!c0d0", 30, &[]);
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::write(root.join("proc/self/mounts"), "/dev/sdf /mnt ext4 rw 0 0\nproc /proc proc rw 0 0\n").unwrap();
        fs::write(root.join("proc/swaps"), "Filename Type Size\n/dev/nvme0n1 partition 1\n").unwrap();
        let free = free(root, &|device| device == "/dev/sdg");
        let devices: Vec<&str> = free.iter().map(|one| one.device.as_str()).collect();
        assert_eq!(devices, ["/dev/cciss/c0d0", "/dev/sdb"]);
        let spinner = &free[1];
        assert_eq!((spinner.size, spinner.rotational), (20 << 30, true));
        assert_eq!((spinner.model.as_str(), spinner.serial.as_str(), spinner.wwn.as_str()), ("Spinner", "S1", "naa.5"));
        assert!(super::free(&root.join("nowhere"), &|_| false).is_empty());
    }

    #[test]
    fn the_smallest_write_is_that_of_the_disk() {
        let sys = tempfile::tempdir().unwrap();
        let (disk, part) = (sys.path().join("devices/sda"), sys.path().join("devices/sda/sda1"));
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::create_dir_all(&part).unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        fs::write(disk.join("queue/minimum_io_size"), "4096\n").unwrap();
        std::os::unix::fs::symlink(&disk, sys.path().join("dev/block/8:0")).unwrap();
        std::os::unix::fs::symlink(&part, sys.path().join("dev/block/8:1")).unwrap();
        let of = |minor| min_io(sys.path(), (8, minor));
        assert_eq!([of(0), of(1), of(2)], [Some(4096), Some(4096), None]);
        fs::write(disk.join("queue/minimum_io_size"), "0\n").unwrap();
        assert_eq!(of(0), None);
    }
}
