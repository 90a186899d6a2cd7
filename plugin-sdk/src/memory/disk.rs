//! What of a folder in memory would be there after a power cut.

use std::collections::BTreeMap;

use super::MemoryFile;
use crate::Kib;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Image {
    pub size: Kib,
    pub allocated: Kib,
    pub mark: Option<String>,
    pub data: u64,
}

impl Image {
    pub fn of(file: &MemoryFile) -> Self {
        Self { size: file.size, allocated: file.allocated, mark: file.mark.clone(), data: file.data }
    }
}

/// A change of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file got a name.
    Set { name: String, inode: u64 },
    /// A name is gone.
    Unset { name: String, inode: u64 },
    /// A file got another name, in one step, over whatever had it.
    Moved { from: String, to: String, inode: u64 },
}

impl Entry {
    fn concerns(&self, other: &str, file: Option<u64>) -> bool {
        match self {
            Self::Set { name, inode } | Self::Unset { name, inode } => name == other || Some(*inode) == file,
            Self::Moved { from, to, inode } => from == other || to == other || Some(*inode) == file,
        }
    }
}

/// What is durable, and what is on its way there.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Files by name.
    pub names: BTreeMap<String, u64>,
    /// What is in them.
    pub inodes: BTreeMap<u64, Image>,
    /// Changes of files that were not synced, in their order.
    images: BTreeMap<u64, Vec<Image>>,
    /// Changes of the folder that were not synced, in their order.
    entries: Vec<Entry>,
}

impl Disk {
    pub fn changed(&mut self, inode: u64, image: Image) {
        self.images.entry(inode).or_default().push(image);
    }

    pub fn entry(&mut self, change: Entry) {
        self.entries.push(change);
    }

    pub fn sync_inode(&mut self, inode: u64) {
        if let Some(last) = self.images.remove(&inode).and_then(|images| images.into_iter().next_back()) {
            self.inodes.insert(inode, last);
        }
    }

    /// Makes durable what became of a name and of the file that has it now.
    pub fn sync_name(&mut self, name: &str, inode: Option<u64>) {
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries).into_iter().partition(|entry| entry.concerns(name, inode));
        self.entries = later;
        now.into_iter().for_each(|entry| self.apply(entry));
    }

    /// Makes durable what survives, and drops the rest.
    pub fn power_cut(&mut self, survives: &mut dyn FnMut() -> bool) {
        for (inode, images) in std::mem::take(&mut self.images) {
            if let Some(last) = images.into_iter().take_while(|_| survives()).last() {
                self.inodes.insert(inode, last);
            }
        }
        for entry in std::mem::take(&mut self.entries) {
            if survives() {
                self.apply(entry);
            }
        }
        let named: std::collections::BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Set { name, inode } => drop(self.names.insert(name, inode)),
            Entry::Unset { name, inode } => self.unset(&name, inode),
            Entry::Moved { from, to, inode } => {
                self.unset(&from, inode);
                self.names.insert(to, inode);
            }
        }
    }

    fn unset(&mut self, name: &str, inode: u64) {
        if self.names.get(name) == Some(&inode) {
            self.names.remove(name);
        }
    }
}
