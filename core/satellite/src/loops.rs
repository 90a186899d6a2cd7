//! Loop devices: which file is behind which, by the kernel's word.
//!
//! The table is only an index into `/sys/block`: an entry is checked against the kernel each time it is used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use berth_plugin_sdk::{Device, Fault, FaultKind, Fill, Kib};

use crate::hands::Hands;

/// How long a device may take to go after it was detached: whoever probes a new device (udev) holds it for some 100 ms.
const DETACH_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause between two looks at a device that shall go.
const DETACH_PAUSE: Duration = Duration::from_millis(5);

/// Logical sector of every device, said each time: left alone, the kernel takes the file's alignment for direct I/O, which becomes
/// larger when the file shares blocks with a snapshot, and a file system made on smaller sectors could not be mounted any more.
/// Where direct I/O needs larger sectors, the kernel goes through the page cache instead.
const SECTOR_BYTES: u32 = 512;

/// A loop device of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Looked {
    size: Kib,
    /// Detached already, and only kept by whoever has it open.
    leaving: bool,
}

/// What of a loop device could not be done.
#[derive(Debug)]
pub enum LoopError {
    /// Somebody has it open.
    Busy(String),
    /// The tool failed.
    Fault(Fault),
}

impl From<Fault> for LoopError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The loop devices of this machine by their files.
#[derive(Debug, Default)]
pub struct Loops {
    table: Mutex<HashMap<PathBuf, u32>>,
}

fn number_of(device: &str) -> Option<u32> {
    device.strip_prefix("/dev/loop")?.parse().ok()
}

fn path_of(number: u32) -> String {
    format!("/dev/loop{number}")
}

fn sys(number: u32, entry: &str) -> Option<String> {
    std::fs::read_to_string(format!("/sys/block/loop{number}/{entry}")).ok().map(|text| text.trim_end_matches('\n').to_owned())
}

fn backing(number: u32) -> Option<PathBuf> {
    sys(number, "loop/backing_file").map(PathBuf::from)
}

impl Loops {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, u32>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all loop devices of the machine anew.
    pub fn scan(&self) {
        let mut found = HashMap::new();
        for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("loop")).and_then(|rest| rest.parse().ok());
            found.extend(number.and_then(|number| backing(number).map(|file| (file, number))));
        }
        *self.lock() = found;
    }

    fn find(&self, file: &Path) -> Option<(u32, Looked)> {
        let number = self.lock().get(file).copied()?;
        if backing(number).as_deref() != Some(file) {
            self.lock().remove(file);
            return None;
        }
        let sectors: u64 = sys(number, "size")?.parse().ok()?;
        let leaving = sys(number, "loop/autoclear").as_deref() == Some("1");
        Some((number, Looked { size: Kib(sectors / 2), leaving }))
    }

    /// The device of a file; `None`: not attached.
    #[must_use]
    pub fn device(&self, file: &Path) -> Option<Device> {
        self.find(file).map(|(number, seen)| Device { path: path_of(number), size: seen.size })
    }

    /// Attaches a file.
    ///
    /// # Errors
    /// `Busy` if an earlier device of the file has not gone yet; faults of the tool.
    pub fn attach(&self, hands: &Hands, file: &Path, fill: Fill) -> Result<Device, LoopError> {
        if let Some((number, seen)) = self.find(file) {
            let path = path_of(number);
            return if seen.leaving { Err(LoopError::Busy(path)) } else { Ok(Device { path, size: seen.size }) };
        }
        let Some(name) = file.to_str() else {
            return Err(Fault::new(FaultKind::Unsupported, "The path of the pool is not UTF-8").correction("Rename the folder").into());
        };
        let sectors = format!("--sector-size={SECTOR_BYTES}");
        let output = hands.change(|| hands.need(&["losetup", "--find", "--show", "--direct-io=on", &sectors, "--", name]))?;
        let path = output.stdout.trim();
        let Some(number) = number_of(path) else {
            let fault = Fault::new(FaultKind::Tool, "losetup did not name the device that it attached");
            return Err(fault.details(output.stdout.clone()).into());
        };
        self.lock().insert(file.to_owned(), number);
        if fill == Fill::Thick {
            // A discard would punch holes into the file; a kernel that does not let us forbid it keeps working.
            drop(std::fs::write(format!("/sys/block/loop{number}/queue/discard_max_bytes"), "0"));
        }
        let Some((_, seen)) = self.find(file) else {
            let fault = Fault::new(FaultKind::Tool, format!("{path} does not serve '{name}' after it was attached"));
            return Err(fault.correction("Check whether another program detaches loop devices").into());
        };
        Ok(Device { path: path.to_owned(), size: seen.size })
    }

    /// Detaches a file and waits until its device is gone.
    ///
    /// # Errors
    /// `Busy` if somebody keeps the device open; faults of the tool.
    pub fn detach(&self, hands: &Hands, file: &Path) -> Result<(), LoopError> {
        let Some((number, seen)) = self.find(file) else { return Ok(()) };
        let path = path_of(number);
        if !seen.leaving {
            hands.change(|| hands.need(&["losetup", "--detach", &path]))?;
        }
        let end = Instant::now() + DETACH_TIMEOUT;
        while backing(number).as_deref() == Some(file) {
            if Instant::now() >= end {
                return Err(LoopError::Busy(path));
            }
            std::thread::sleep(DETACH_PAUSE);
        }
        self.lock().remove(file);
        Ok(())
    }

    /// Lets the device of a file take the file's size.
    ///
    /// # Errors
    /// Faults of the tool.
    pub fn resized(&self, hands: &Hands, file: &Path) -> Result<(), LoopError> {
        if let Some((number, _)) = self.find(file) {
            hands.change(|| hands.need(&["losetup", "--set-capacity", &path_of(number)]))?;
        }
        Ok(())
    }
}
