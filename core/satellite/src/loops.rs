//! Loop devices: which file is behind which, by the kernel's word.
//!
//! The table is only an index into `/sys/block`: an entry is checked against the kernel each time it is used.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use berth_plugin_sdk::{Device, Fault, FaultKind, Fill, Kib};

use crate::hands::Hands;
use crate::usage;

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

/// What is known of the loop devices of this machine.
#[derive(Debug, Default)]
struct Table {
    /// Numbers by file: several, where somebody else attached a file too, or a tool outlived a satellite that was killed.
    files: HashMap<PathBuf, BTreeSet<u32>>,
    /// The device by which a file is served; it stays that one.
    served: HashMap<PathBuf, u32>,
    /// When all devices were read last: begin and end.
    read: Option<(Instant, Instant)>,
}

/// The loop devices of this machine by their files.
#[derive(Debug, Default)]
pub struct Loops {
    table: Mutex<Table>,
    /// Held while all devices are read: many who ask at once share one reading.
    reading: Mutex<()>,
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

fn looked(number: u32) -> Option<Looked> {
    let sectors: u64 = sys(number, "size")?.parse().ok()?;
    Some(Looked { size: Kib(sectors / 2), leaving: sys(number, "loop/autoclear").as_deref() == Some("1") })
}

/// What the kernel calls a file that was removed, or replaced by a rename.
fn removed(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(" (deleted)");
    name.into()
}

/// What was found, and what was attached while it was read: of the devices known before, those that still serve their file.
fn with_missed(
    mut found: HashMap<PathBuf, BTreeSet<u32>>,
    known: &HashMap<PathBuf, BTreeSet<u32>>,
    serves: impl Fn(u32, &Path) -> bool,
) -> HashMap<PathBuf, BTreeSet<u32>> {
    for (file, numbers) in known {
        let missed = numbers.iter().filter(|number| !found.get(file).is_some_and(|all| all.contains(number)));
        let missed: Vec<u32> = missed.copied().filter(|number| serves(*number, file)).collect();
        if !missed.is_empty() {
            found.entry(file.clone()).or_default().extend(missed);
        }
    }
    found
}

impl Loops {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all loop devices of the machine anew, if nobody has begun to after this call.
    pub fn scan(&self) {
        let asked = Instant::now();
        let _turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lock().read.is_none_or(|(begin, _)| begin < asked) {
            self.read_all();
        }
    }

    /// The same before a look, unless that would take more than a tenth of the time.
    fn refresh(&self) {
        let is_fresh = || self.lock().read.is_some_and(|(begin, end)| end.elapsed() < (end - begin).saturating_mul(10));
        if is_fresh() {
            return;
        }
        let _turn = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_fresh() {
            self.read_all();
        }
    }

    fn read_all(&self) {
        let begin = Instant::now();
        let mut found: HashMap<PathBuf, BTreeSet<u32>> = HashMap::new();
        for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.strip_prefix("loop")).and_then(|rest| rest.parse().ok());
            if let Some((number, file)) = number.and_then(|number| Some((number, backing(number)?))) {
                found.entry(file).or_default().insert(number);
            }
        }
        let mut table = self.lock();
        table.files = with_missed(found, &table.files, |number, file| backing(number).as_deref() == Some(file));
        table.read = Some((begin, Instant::now()));
    }

    /// Takes note that these devices serve their files, as the stable paths of an earlier life say.
    pub fn serves(&self, devices: impl Iterator<Item = String>) {
        for number in devices.filter_map(|device| number_of(&device)) {
            if let Some(file) = backing(number) {
                self.lock().served.entry(file).or_insert(number);
            }
        }
    }

    /// Whether somebody uses these devices, or others of their files, of those that serve files: other people's are not opened.
    #[must_use]
    pub fn probe(&self, devices: &BTreeSet<String>) -> Vec<(String, bool)> {
        if devices.is_empty() {
            return Vec::new();
        }
        self.refresh();
        let table = self.lock();
        let ours = table.served.iter().map(|(file, number)| (file, *number, path_of(*number)));
        let siblings = |file: &PathBuf| table.files.get(file).cloned().unwrap_or_default();
        let asked: Vec<(PathBuf, u32, String, BTreeSet<u32>)> = ours
            .filter(|(_, _, path)| devices.contains(path))
            .map(|(file, number, path)| (file.clone(), number, path, siblings(file)))
            .collect();
        drop(table);
        let used = |(file, number, path, all): (PathBuf, u32, String, BTreeSet<u32>)| {
            let sibling = |other: &u32| *other != number && backing(*other).as_deref() == Some(&*file) && usage::in_use(&path_of(*other));
            let used = usage::in_use(&path) || all.iter().any(sibling);
            (path, used)
        };
        asked.into_iter().map(used).collect()
    }

    /// Devices that served a file and do so no more: somebody else detached them, and their numbers may serve other files.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        let served: Vec<(PathBuf, u32)> = self.lock().served.iter().map(|(file, number)| (file.clone(), *number)).collect();
        let lost: Vec<(PathBuf, u32)> = served.into_iter().filter(|(file, number)| backing(*number).as_deref() != Some(&**file)).collect();
        let mut table = self.lock();
        lost.iter().for_each(|(file, number)| {
            if table.served.get(file) == Some(number) {
                table.served.remove(file);
            }
        });
        lost.into_iter().map(|(_, number)| path_of(number)).collect()
    }

    /// All devices of a file, by the kernel's word; the one to use first.
    fn find(&self, file: &Path) -> Vec<(u32, Looked)> {
        let (numbers, served) = {
            let table = self.lock();
            (table.files.get(file).cloned().unwrap_or_default(), table.served.get(file).copied())
        };
        let is = |number: &u32| backing(*number).as_deref() == Some(file);
        let mut all: Vec<(u32, Looked)> = numbers.into_iter().filter(is).filter_map(|number| Some((number, looked(number)?))).collect();
        if all.len() > 1 {
            let last = |number: u32| !usage::in_use(&path_of(number));
            all.sort_by_cached_key(|(number, seen)| (seen.leaving, served != Some(*number), last(*number), *number));
        }
        all
    }

    fn first(&self, file: &Path) -> Option<(u32, Looked)> {
        let first = self.find(file).into_iter().next()?;
        self.lock().served.insert(file.to_owned(), first.0);
        Some(first)
    }

    /// The device of a file; `None`: not attached.
    #[must_use]
    pub fn device(&self, file: &Path) -> Option<Device> {
        self.first(file).map(|(number, seen)| Device { path: path_of(number), size: seen.size })
    }

    /// Whether somebody uses this device, or another one of the same file.
    #[must_use]
    pub fn in_use(&self, device: &str) -> bool {
        self.refresh();
        usage::in_use(device) || self.siblings(device).iter().any(|other| usage::in_use(other))
    }

    /// The other devices of the file of this one.
    #[must_use]
    pub fn siblings(&self, device: &str) -> Vec<String> {
        let Some((number, file)) = number_of(device).and_then(|number| Some((number, backing(number)?))) else { return Vec::new() };
        self.find(&file).into_iter().map(|(other, _)| other).filter(|other| *other != number).map(path_of).collect()
    }

    /// Detaches what a killed satellite left of files that had this name and are gone.
    fn drop_removed(&self, hands: &Hands, file: &Path) {
        let gone = removed(file);
        // A file that really has such a name is somebody's.
        if gone.symlink_metadata().is_ok() {
            return;
        }
        for (number, seen) in self.find(&gone) {
            let path = path_of(number);
            if !seen.leaving && !usage::in_use(&path) {
                tracing::info!(device = %path, file = %gone.display(), "device of a removed file detached");
                if let Err(fault) = hands.change(|| hands.need(&["losetup", "--detach", &path])) {
                    tracing::warn!(device = %path, cause = %fault.cause, "device of a removed file stays");
                }
            }
        }
    }

    /// Attaches a file.
    ///
    /// # Errors
    /// `Busy` if an earlier device of the file has not gone yet; faults of the tool.
    pub fn attach(&self, hands: &Hands, file: &Path, fill: Fill) -> Result<Device, LoopError> {
        self.refresh();
        self.drop_removed(hands, file);
        if let Some((number, seen)) = self.first(file) {
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
        self.lock().files.entry(file.to_owned()).or_default().insert(number);
        if fill == Fill::Thick {
            // A discard would punch holes into the file; a kernel that does not let us forbid it keeps working.
            drop(std::fs::write(format!("/sys/block/loop{number}/queue/discard_max_bytes"), "0"));
        }
        let Some((number, seen)) = self.first(file) else {
            let fault = Fault::new(FaultKind::Tool, format!("{path} does not serve '{name}' after it was attached"));
            return Err(fault.correction("Check whether another program detaches loop devices").into());
        };
        Ok(Device { path: path_of(number), size: seen.size })
    }

    /// Detaches all devices of a file and waits until they are gone; none of them, if somebody uses one.
    ///
    /// # Errors
    /// `Busy` if somebody keeps a device open; faults of the tool.
    pub fn detach(&self, hands: &Hands, file: &Path) -> Result<(), LoopError> {
        self.scan();
        let all = self.find(file);
        // A detach of a used device would only be put off, and take it as soon as it is free.
        if let Some(path) = all.iter().map(|(number, _)| path_of(*number)).find(|path| usage::in_use(path)) {
            return Err(LoopError::Busy(path));
        }
        for (number, seen) in &all {
            let path = path_of(*number);
            if !seen.leaving {
                let done = hands.change(|| hands.need(&["losetup", "--detach", &path]));
                // Somebody else may have been quicker.
                if let Err(fault) =
                    done.map(drop).or_else(|fault| if backing(*number).as_deref() == Some(file) { Err(fault) } else { Ok(()) })
                {
                    return Err(fault.into());
                }
            }
        }
        let end = Instant::now() + DETACH_TIMEOUT;
        for (number, _) in &all {
            while backing(*number).as_deref() == Some(file) {
                if Instant::now() >= end {
                    return Err(LoopError::Busy(path_of(*number)));
                }
                std::thread::sleep(DETACH_PAUSE);
            }
        }
        let mut table = self.lock();
        table.files.remove(file);
        table.served.remove(file);
        drop(table);
        self.drop_removed(hands, file);
        Ok(())
    }

    /// Lets all devices of a file take the file's size.
    ///
    /// # Errors
    /// Faults of the tool.
    pub fn resized(&self, hands: &Hands, file: &Path) -> Result<(), LoopError> {
        for (number, _) in self.find(file) {
            hands.change(|| hands.need(&["losetup", "--set-capacity", &path_of(number)]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_attached_while_all_are_read_stays_known() {
        let table = |entries: &[(&str, &[u32])]| -> HashMap<PathBuf, BTreeSet<u32>> {
            entries.iter().map(|(file, numbers)| (PathBuf::from(file), numbers.iter().copied().collect())).collect()
        };
        let known = table(&[("/new", &[7]), ("/gone", &[5]), ("/both", &[1, 2, 9])]);
        let found = table(&[("/both", &[1]), ("/seen", &[3])]);
        let joined = with_missed(found, &known, |number, file| number == 7 || (number == 2 && file == Path::new("/both")));
        assert_eq!(joined, table(&[("/new", &[7]), ("/both", &[1, 2]), ("/seen", &[3])]));
    }
}
