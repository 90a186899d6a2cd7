//! Whether somebody uses a device. Who it is: `holders.rs`.
//!
//! In use is what cannot be opened exclusively (mounted anywhere, below a mapping, opened exclusively), by the kernel's word. The probe
//! holds the device for some microseconds, in which another exclusive open would fail: so it is made when an item is worked
//! on, and else only for devices that moved data since the last look.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

/// Whether somebody uses a device; false also if it cannot be told (then no exclusive user is known).
#[must_use]
pub fn in_use(device: &str) -> bool {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NONBLOCK;
    matches!(open(device, flags, Mode::empty()), Err(Errno::BUSY))
}

/// Devices (`major:minor`) of all mounts.
#[must_use]
pub fn mounted() -> BTreeSet<String> {
    mounted_in(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

pub fn mounted_in(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split(' ').nth(2)).filter(|device| device.starts_with("7:")).map(str::to_owned).collect()
}

/// Counters of all loop devices: the rest of their line of `/proc/diskstats`, by number.
#[must_use]
pub fn activity() -> BTreeMap<u32, String> {
    counters(&std::fs::read_to_string("/proc/diskstats").unwrap_or_default())
}

pub fn counters(text: &str) -> BTreeMap<u32, String> {
    let row = |line: &str| {
        let (number, counters) = line.split_once(" loop")?.1.split_once(' ')?;
        Some((number.parse().ok()?, counters.to_owned()))
    };
    text.lines().filter_map(row).collect()
}
