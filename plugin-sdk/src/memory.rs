//! A machine that exists only in memory: for the tests of providers and for simulated satellites.
//!
//! It keeps the same promises as a real one and has a fault model: it can be full, share no blocks, be cut off after any change, and lose
//! at a power cut what was not synced. The data of a file is one number.

mod disk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::disk::{Disk, Entry, Image};
use crate::{Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Kib, Machine, Output, Over, Pool, Space};

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MemoryFile {
    inode: u64,
    size: Kib,
    allocated: Kib,
    mark: Option<String>,
    data: u64,
    device: Option<Device>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, MemoryFile>,
    disk: Disk,
    inodes: u64,
    used: u64,
    /// What strangers take of the file system.
    taken: u64,
    total: Kib,
    reflinks: bool,
    devices: String,
    attached: u64,
    changes: u32,
    cut: Option<u32>,
    /// Devices whose file is gone: nobody detached them.
    lost_devices: Vec<Device>,
}

/// A folder in memory, shared by the machines of its pool.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// An empty folder of a file system of this size that shares blocks.
    #[must_use]
    pub fn new(total: Kib) -> Self {
        Self::with_devices(total, "/dev/memory".into())
    }

    /// The same, whose devices appear under the folder `devices`.
    #[must_use]
    pub fn with_devices(total: Kib, devices: String) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            disk: Disk::default(),
            inodes: 0,
            used: 0,
            taken: 0,
            total,
            reflinks: true,
            devices,
            attached: 0,
            changes: 0,
            cut: None,
            lost_devices: Vec::new(),
        })))
    }

    /// A panic while the lock was held left one request half done, which every caller must expect anyway.
    fn state_mut(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of all files, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state_mut().files.keys().cloned().collect()
    }

    /// Everything that can be seen, one line for each file, for comparison: name, size, allocated, mark, data, size of the device.
    #[must_use]
    pub fn state(&self) -> Vec<String> {
        let state = self.state_mut();
        let row = |(name, f): (&String, &MemoryFile)| {
            format!("{name} {} {} {:?} {} {:?}", f.size, f.allocated, f.mark, f.data, f.device.as_ref().map(|device| device.size))
        };
        state.files.iter().map(row).collect()
    }

    /// Paths of devices whose file was removed or replaced while they served it; a real machine keeps them until they are detached.
    #[must_use]
    pub fn lost_devices(&self) -> Vec<String> {
        self.state_mut().lost_devices.iter().map(|device| device.path.clone()).collect()
    }

    /// Puts a file there as a stranger would, who syncs it.
    pub fn put(&self, name: &str, size: Kib, mark: Option<String>) {
        let mut state = self.state_mut();
        let data = state.files.get(name).map_or(0, |f| f.data);
        state.make(name, MemoryFile { inode: 0, size, allocated: Kib(0), mark, data, device: None });
        state.sync(name);
    }

    /// Writes the data of a file and syncs it, but not its name; a missing one stays missing.
    pub fn write(&self, name: &str, data: u64) {
        let mut state = self.state_mut();
        let Some(file) = state.files.get_mut(name) else { return };
        file.data = data;
        let (inode, image) = (file.inode, Image::of(file));
        state.disk.changed(inode, image);
        state.disk.sync_inode(inode);
    }

    /// Reads the data of a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<u64> {
        self.state_mut().files.get(name).map(|f| f.data)
    }

    /// Copies data as a host does for [`Filled::Copy`](crate::Filled::Copy), which syncs it.
    pub fn copy(&self, from: &str, to: &str) {
        if let Some(data) = self.read(from) {
            self.write(to, data);
        }
    }

    /// Strangers take so much of the file system, instead of what they took before: as much as its size makes it full, 0 gives all back.
    /// What is there stays there.
    pub fn fill(&self, taken: Kib) {
        self.state_mut().taken = taken.0;
    }

    /// The machine loses its power and starts again: devices are gone, and so is what was not synced, unless it `survives`, which is
    /// asked for each such change. A change of a file's inside only survives with the earlier ones of that file; names come and go
    /// independently of each other and of what is in the files. It also ends [`cut_after`](Self::cut_after).
    pub fn power_cut(&self, survives: &mut dyn FnMut() -> bool) {
        let mut state = self.state_mut();
        state.disk.power_cut(survives);
        let disk = state.disk.clone();
        let file = |(name, inode): (&String, &u64)| {
            // A name can survive what it names: the file is empty then.
            let Image { size, allocated, mark, data } = disk.inodes.get(inode).cloned().unwrap_or_default();
            (name.clone(), MemoryFile { inode: *inode, size, allocated, mark, data, device: None })
        };
        state.files = disk.names.iter().map(file).collect();
        state.used = state.files.values().fold(0, |sum: u64, file| sum.saturating_add(file.allocated.0));
        state.cut = None;
        state.lost_devices.clear();
    }

    /// Whether the file system shares blocks.
    pub fn set_reflinks(&self, reflinks: bool) {
        self.state_mut().reflinks = reflinks;
    }

    /// Counts changes from 0 again.
    pub fn set_quiet(&self) {
        self.state_mut().changes = 0;
    }

    /// After so many further changes every request fails, as for a process that was killed, until [`restart`](Self::restart).
    pub fn cut_after(&self, changes: u32) {
        let mut state = self.state_mut();
        state.changes = 0;
        state.cut = Some(changes);
    }

    /// The next life of the process.
    pub fn restart(&self) {
        self.state_mut().cut = None;
    }
}

/// A machine whose pool is a [`Memory`].
#[derive(Debug, Clone)]
pub struct MemoryMachine {
    pool: Pool,
    memory: Memory,
}

impl MemoryMachine {
    /// A machine for one pool.
    #[must_use]
    pub fn new(pool: Pool, memory: Memory) -> Self {
        Self { pool, memory }
    }

    /// Its folder.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

impl Machine for MemoryMachine {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        Err(Fault::new(FaultKind::Unsupported, "A machine in memory runs no commands").details(argv.join(" ")))
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        Ok(&self.memory)
    }

    fn log(&self, _line: &str) {}
}

impl State {
    fn alive(&self, request: &str, name: &str) -> Result<(), FileError> {
        if self.cut.is_some_and(|cut| self.changes >= cut) {
            return Err(FileError::System { request: request.into(), name: name.into(), cause: "cut off".into() });
        }
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(FileError::BadName(name.into()));
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> Result<&mut MemoryFile, FileError> {
        self.files.get_mut(name).ok_or_else(|| FileError::Missing(name.into()))
    }

    /// More space, if it is there. Of a file system that is full not even a file without length is made.
    fn take(&mut self, name: &str, more: Kib) -> Result<(), FileError> {
        let room = self.total.0.saturating_sub(self.taken);
        let full = self.taken >= self.total.0;
        let used = self.used.checked_add(more.0).filter(|used| !full && (*used <= room || more == Kib(0)));
        self.used = used.ok_or_else(|| FileError::NoSpace(name.into()))?;
        Ok(())
    }

    /// A new file: its mark first, then the rest.
    fn make(&mut self, name: &str, file: MemoryFile) {
        self.inodes = self.inodes.saturating_add(1);
        let file = MemoryFile { inode: self.inodes, ..file };
        self.disk.entry(Entry::Set { name: name.into(), inode: file.inode });
        self.disk.changed(file.inode, Image { mark: file.mark.clone(), ..Image::default() });
        self.disk.changed(file.inode, Image::of(&file));
        self.files.insert(name.into(), file);
    }

    /// What is in the file changed.
    fn changed(&mut self, name: &str) {
        if let Some(file) = self.files.get(name) {
            self.disk.changed(file.inode, Image::of(file));
        }
    }

    fn sync(&mut self, name: &str) {
        let inode = self.files.get(name).map(|file| file.inode);
        if let Some(inode) = inode {
            self.disk.sync_inode(inode);
        }
        self.disk.sync_name(name, inode);
    }
}

impl Files for Memory {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        let state = self.state_mut();
        state.alive("list", "folder")?;
        let row =
            |(name, f): (&String, &MemoryFile)| FileSeen { name: name.clone(), size: f.size, allocated: f.allocated, mark: f.mark.clone() };
        Ok(state.files.iter().map(row).collect())
    }

    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        let state = self.state_mut();
        state.alive("look", name)?;
        Ok(state.files.get(name).map(|f| FileSeen { name: name.into(), size: f.size, allocated: f.allocated, mark: f.mark.clone() }))
    }

    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("create", name)?;
        if state.files.contains_key(name) {
            return Err(FileError::Exists(name.into()));
        }
        let allocated = match fill {
            Fill::Thin => Kib(0),
            Fill::Thick => size,
        };
        state.take(name, allocated)?;
        state.make(name, MemoryFile { inode: 0, size, allocated, mark: Some(mark.into()), data: 0, device: None });
        state.changes += 1;
        Ok(())
    }

    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("mark", name)?;
        let file = state.file(name)?;
        if file.mark.is_some() {
            return Err(FileError::Exists(name.into()));
        }
        file.mark = Some(mark.into());
        state.changed(name);
        state.changes += 1;
        Ok(())
    }

    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("grow", name)?;
        let more = Kib(size.0.saturating_sub(state.file(name)?.size.0));
        if more == Kib(0) {
            return Ok(());
        }
        let allocated = match fill {
            Fill::Thin => Kib(0),
            Fill::Thick => more,
        };
        state.take(name, allocated)?;
        let file = state.file(name)?;
        file.size = size;
        file.allocated = Kib(file.allocated.0.saturating_add(allocated.0));
        state.changed(name);
        state.changes += 1;
        Ok(())
    }

    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("reflink", to)?;
        if !state.reflinks {
            let cause = "the file system shares no blocks".into();
            return Err(FileError::NotSupported { request: "reflink".into(), name: from.into(), cause });
        }
        if state.files.contains_key(to) {
            return Err(FileError::Exists(to.into()));
        }
        let copy = MemoryFile { mark: Some(mark.into()), device: None, ..state.file(from)?.clone() };
        state.take(to, copy.allocated)?;
        state.make(to, copy);
        state.changes += 1;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("rename", from)?;
        state.alive("rename", to)?;
        state.file(from)?;
        if over == Over::Nothing && state.files.contains_key(to) {
            return Err(FileError::Exists(to.into()));
        }
        let Some(file) = state.files.remove(from) else { return Err(FileError::Missing(from.into())) };
        state.disk.entry(Entry::Moved { from: from.into(), to: to.into(), inode: file.inode });
        if let Some(old) = state.files.insert(to.into(), file) {
            state.lost_devices.extend(old.device);
            state.used = state.used.saturating_sub(old.allocated.0);
        }
        state.changes += 1;
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("remove", name)?;
        if let Some(old) = state.files.remove(name) {
            state.lost_devices.extend(old.device);
            state.used = state.used.saturating_sub(old.allocated.0);
            state.disk.entry(Entry::Unset { name: name.into(), inode: old.inode });
            state.changes += 1;
        }
        Ok(())
    }

    fn sync(&self, name: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("sync", name)?;
        state.sync(name);
        Ok(())
    }

    fn sync_all(&self) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("sync", "folder")?;
        state.disk.power_cut(&mut || true);
        Ok(())
    }

    fn space(&self) -> Result<Space, FileError> {
        let state = self.state_mut();
        state.alive("space", "folder")?;
        Ok(Space { total: state.total, free: Kib(state.total.0.saturating_sub(state.used).saturating_sub(state.taken)) })
    }

    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        let state = self.state_mut();
        state.alive("device", name)?;
        Ok(state.files.get(name).and_then(|f| f.device.clone()))
    }

    fn attach(&self, name: &str, _fill: Fill) -> Result<Device, FileError> {
        let mut state = self.state_mut();
        state.alive("attach", name)?;
        if let Some(device) = state.file(name)?.device.clone() {
            return Ok(device);
        }
        state.attached += 1;
        let path = format!("{}/{}", state.devices, state.attached);
        let file = state.file(name)?;
        let device = Device { path, size: file.size };
        file.device = Some(device.clone());
        state.changes += 1;
        Ok(device)
    }

    fn detach(&self, name: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("detach", name)?;
        let Some(file) = state.files.get_mut(name) else { return Ok(()) };
        if file.device.take().is_some() {
            state.changes += 1;
        }
        Ok(())
    }

    fn resized(&self, name: &str) -> Result<(), FileError> {
        let mut state = self.state_mut();
        state.alive("resized", name)?;
        let file = state.file(name)?;
        let size = file.size;
        let Some(device) = &mut file.device else { return Ok(()) };
        if device.size != size {
            device.size = size;
            state.changes += 1;
        }
        Ok(())
    }
}
