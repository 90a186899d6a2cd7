//! Who uses a device.
//!
//! In use is what cannot be opened exclusively (mounted anywhere, below a mapping, opened exclusively), by the kernel's word. The probe
//! holds the device for some microseconds, in which another exclusive open would fail: so it is made when an item is worked
//! on, and else only for devices that moved data since the last look.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// Who uses a device; `None`: nobody, or it cannot be told (then no exclusive user is known).
#[must_use]
pub fn user(device: &str) -> Option<String> {
    match open(device, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
        Err(Errno::BUSY) => Some(name_user(device)),
        Ok(_) | Err(_) => None,
    }
}

fn name_user(device: &str) -> String {
    let short = device.strip_prefix("/dev/").unwrap_or(device);
    let number = std::fs::read_to_string(format!("/sys/block/{short}/dev")).unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(at) = mounted_at(&mounts, number.trim()) {
        return format!("it is mounted on {at}");
    }
    let holder = std::fs::read_dir(format!("/sys/block/{short}/holders")).ok().and_then(|mut all| all.next()).and_then(Result::ok);
    match holder.and_then(|entry| entry.file_name().into_string().ok()) {
        Some(holder) => format!("it is part of {holder}"),
        None => "another program has it open exclusively, or it is mounted in another namespace".into(),
    }
}

/// Where the device `major:minor` is mounted, by the text of mountinfo (proc(5): field 3 is the device, field 5 the place).
fn mounted_at(mountinfo: &str, device: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let found = fields.nth(2)?;
        let place = fields.nth(1)?;
        (!device.is_empty() && found == device).then(|| place.replace("\\040", " "))
    })
}

/// Devices (`major:minor`) of all mounts.
#[must_use]
pub fn mounted() -> BTreeSet<String> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').nth(2)).filter(|device| device.starts_with("7:")).map(str::to_owned).collect()
}

/// Counters of all loop devices: the line of `/proc/diskstats` by path.
#[must_use]
pub fn activity() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.nth(2)?;
        name.starts_with("loop").then(|| (format!("/dev/{name}"), fields.collect::<Vec<_>>().join(" ")))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_device() {
        let text = "24 1 254:0 / / rw - ext4 /dev/vda rw\n60 24 7:3 / /mnt/my\\040disk rw,relatime shared:5 - xfs /dev/loop3 rw\n";
        assert_eq!(mounted_at(text, "7:3"), Some("/mnt/my disk".into()));
        assert_eq!(mounted_at(text, "7:4"), None);
        assert_eq!(mounted_at(text, ""), None);
        assert_eq!(mounted_at("nonsense\n\n", "7:4"), None);
    }
}
