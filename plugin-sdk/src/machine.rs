//! The machine as a provider sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Fault, FaultKind};

/// A size in KiB (1024 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kib(pub u64);

impl Kib {
    /// The smallest size that holds so many bytes.
    #[must_use]
    pub fn holding(bytes: u64) -> Self {
        Self(bytes.div_ceil(1024))
    }

    /// Bytes, if they fit 63 bits (the largest offset of a file).
    #[must_use]
    pub fn bytes(self) -> Option<u64> {
        self.0.checked_mul(1024).filter(|bytes| i64::try_from(*bytes).is_ok())
    }
}

impl std::fmt::Display for Kib {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB", self.0)
    }
}

/// The pool that a call is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name, for messages.
    pub name: String,
    /// The word of its provider kind, e.g. `FILE_THIN`.
    pub kind: String,
    /// Folder, volume group, dataset …
    pub place: String,
    /// Properties that matter to the provider (`StorDriver/…`), effective values.
    pub props: BTreeMap<String, String>,
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Output {
    /// Exit code; 128 + n: ended by signal n.
    pub code: i32,
    /// Standard output, cut at the host's bound.
    pub stdout: String,
    /// Standard error, cut at the host's bound.
    pub stderr: String,
}

/// All that a provider can reach. The host decides what each request may do.
pub trait Machine {
    /// The pool of this call.
    fn pool(&self) -> &Pool;

    /// Runs one command by its words (never a shell line), `LC_ALL=C`, nothing on standard input, under the host's deadline.
    /// A code other than 0 is not a fault: judge the output.
    ///
    /// # Errors
    /// `Unsupported` if the command was not asked for or not granted or is missing on the machine; `Timeout`; `Tool` if it could not be started.
    fn run(&self, argv: &[&str]) -> Result<Output, Fault>;

    /// Requests on the files of the pool's folder.
    ///
    /// # Errors
    /// `Unsupported` if they were not asked for or not granted; `Pool` if the folder is missing or unusable.
    fn files(&self) -> Result<&dyn Files, Fault>;

    /// One line for the host's log.
    fn log(&self, line: &str);
}

/// How the blocks of a file come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fill {
    /// As they are written.
    Thin,
    /// At once; the request fails if they do not fit.
    Thick,
}

/// What a rename does with a file of the new name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// It refuses ([`FileError::Exists`]).
    Nothing,
    /// It replaces it, in one step.
    Existing,
}

/// A regular file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub size: Kib,
    /// Space that it really takes.
    pub allocated: Kib,
    /// The mark that it carries (one line of text, at most 1 KiB); `None`: none.
    pub mark: Option<String>,
}

/// Space of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total: Kib,
    /// What is left.
    pub free: Kib,
}

/// A device that serves a backing object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path for use, e.g. `/dev/loop3`; on a machine that cannot attach devices, the path of the file itself.
    pub path: String,
    /// Its size as the kernel tells it.
    pub size: Kib,
}

/// Why a file request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FileError {
    /// There is no file of that name.
    #[error("'{0}' is missing")]
    Missing(String),
    /// There is already something of that name.
    #[error("'{0}' exists already")]
    Exists(String),
    /// The name is not a single path component.
    #[error("'{0}' is not the name of a file in the pool's folder")]
    BadName(String),
    /// The file system is full, or a limit on it is reached.
    #[error("no space is left for '{0}'")]
    NoSpace(String),
    /// The file system or the machine cannot do this.
    #[error("{request} on '{name}' is not supported: {cause}")]
    NotSupported {
        /// The request.
        request: String,
        /// The file.
        name: String,
        /// Why.
        cause: String,
    },
    /// Somebody uses the device of the file.
    #[error("the device of '{0}' is in use")]
    Busy(String),
    /// The system refused for another reason.
    #[error("{request} on '{name}' failed: {cause}")]
    System {
        /// The request.
        request: String,
        /// The file.
        name: String,
        /// What the system said.
        cause: String,
    },
    /// A command that the request needs failed.
    #[error("{0}")]
    Fault(Fault),
}

impl FileError {
    /// The error as a fault of pool `pool`.
    #[must_use]
    pub fn fault(self, pool: &Pool) -> Fault {
        let text = self.to_string();
        let message = |what: &str| format!("{what} in storage pool '{}'", pool.name);
        match self {
            Self::Missing(_) => Fault::new(FaultKind::Lost, message("A file is missing"))
                .cause(text)
                .correction("Restore the file from a backup, or delete the resource"),
            Self::Exists(name) => Fault::new(FaultKind::Foreign, message("A file that Berth did not make is in the way"))
                .cause(text)
                .correction(format!("Move '{}/{name}' away, or delete it if it is not needed", pool.place)),
            Self::BadName(_) => Fault::new(FaultKind::Bug, message("A file name cannot be used")).cause(text),
            Self::NoSpace(_) => Fault::new(FaultKind::NoSpace, message("No space is left"))
                .cause(text)
                .correction(format!("Free space in '{}', or enlarge its file system", pool.place)),
            Self::NotSupported { .. } => Fault::new(FaultKind::Unsupported, message("The file system cannot do what is needed"))
                .cause(text)
                .correction("Put the pool on XFS (made with reflink=1) or on btrfs"),
            Self::Busy(_) => Fault::new(FaultKind::InUse, message("A device is in use"))
                .cause(text)
                .correction("Unmount the device, or stop the program that has it open"),
            Self::System { .. } => Fault::new(FaultKind::Tool, message("A file request failed"))
                .cause(text)
                .correction(format!("Check the file system of '{}' and the permissions of the satellite", pool.place)),
            Self::Fault(fault) => fault,
        }
    }
}

/// Requests on the regular files of the pool's folder. A name is one path component; nothing else can be named.
///
/// Every request is complete when it returns, but durable only after [`sync`](Files::sync).
pub trait Files {
    /// Every regular file of the folder, in no order.
    ///
    /// # Errors
    /// [`FileError`] of the folder.
    fn list(&self) -> Result<Vec<FileSeen>, FileError>;

    /// One file; `None`: nothing of that name.
    ///
    /// # Errors
    /// `Exists` if the name is taken by something that is not a regular file.
    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError>;

    /// Makes a file of zeroes, readable by its owner only. It carries the mark before it has any length, so that a request that was
    /// cut short leaves a file with the mark or an empty one. A failed request leaves no file.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `NoSpace`; `NotSupported` where the file system keeps no extended attributes.
    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError>;

    /// Gives a mark to a file that has none, and changes nothing else of it.
    ///
    /// # Errors
    /// `Missing`; `Exists` if it has one already or is not a regular file; `NotSupported` where the file system keeps no extended attributes.
    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError>;

    /// Makes a file at least so large; the added part is zeroes. Never shrinks.
    ///
    /// # Errors
    /// `Missing`; `NoSpace`: the length is then as before.
    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError>;

    /// Makes `to` a copy of `from` as it is at one moment, sharing its blocks; what was written to a device of `from` before is in it.
    /// The copy carries the mark as with [`create`](Files::create). A failed request leaves no file.
    ///
    /// # Errors
    /// `NotSupported` where the file system shares no blocks or keeps no extended attributes; `Missing`; `Exists`; `NoSpace`.
    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError>;

    /// Renames a file.
    ///
    /// # Errors
    /// `Missing`; `Exists` with [`Over::Nothing`].
    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError>;

    /// Removes a file; a missing one is success.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn remove(&self, name: &str) -> Result<(), FileError>;

    /// Makes a file and its present name survive a power cut; for a missing file, that it is missing.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn sync(&self, name: &str) -> Result<(), FileError>;

    /// Makes every file of the folder and every name survive a power cut, also what an earlier life of the host did and did not sync.
    /// It costs what is still to be written in the whole file system.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn sync_all(&self) -> Result<(), FileError>;

    /// Space of the file system of the folder, as a user of the folder may take it.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn space(&self) -> Result<Space, FileError>;

    /// The device that serves a file; `None`: not attached.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn device(&self, name: &str) -> Result<Option<Device>, FileError>;

    /// Serves a file as a block device; an attached one is success. A device of a [`Fill::Thick`] file takes no discards,
    /// which would punch holes into it.
    ///
    /// # Errors
    /// `Missing`; [`FileError`] of the system.
    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError>;

    /// Ends the device of a file and waits until it is gone; a file without one is success.
    ///
    /// # Errors
    /// `Busy` if somebody has it open.
    fn detach(&self, name: &str) -> Result<(), FileError>;

    /// Lets the device of a file take the file's present size; a file without device is success.
    ///
    /// # Errors
    /// [`FileError`] of the system.
    fn resized(&self, name: &str) -> Result<(), FileError>;
}
