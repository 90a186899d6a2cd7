//! This machine as a provider sees it: the files of one pool's folder, by system calls relative to the open folder.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use berth_plugin_sdk::{Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Grants, Kib, Machine, Output, Over, Pool, Space};
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags, fallocate, fgetxattr, fsetxattr, fstat, fstatvfs, fsync,
    ftruncate, ioctl_ficlone, open, openat, readlink, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;
use uuid::Uuid;

use crate::folders::Folders;
use crate::hands::Hands;
use crate::lines::{Lines, Taken};
use crate::loops::{LoopError, Loops};

/// Extended attribute of a mark.
pub const MARK: &str = "user.berth.mark";
/// Longest mark.
const MARK_MAX: usize = 1024;

/// What all pools of a satellite share.
#[derive(Debug)]
pub struct Shared {
    /// Tools and counting.
    pub hands: Hands,
    /// Loop devices.
    pub loops: Loops,
    /// Folders of pools.
    pub folders: Folders,
    /// Whether devices can be attached; else files serve as they are.
    pub attaches: bool,
    /// What providers write into the log.
    pub lines: Lines,
}

/// One pool of this machine, for one provider.
#[derive(Debug)]
pub struct HostMachine {
    pool: Pool,
    grants: Arc<Grants>,
    shared: Arc<Shared>,
    folder: Result<Folder, Fault>,
}

#[derive(Debug)]
struct Folder {
    fd: OwnedFd,
    /// Its path as the kernel tells it, without symbolic links: what `/sys` says of a loop device begins with it.
    path: PathBuf,
    shared: Arc<Shared>,
}

impl HostMachine {
    /// Opens the pool's folder. That it cannot be opened is said by [`Machine::files`].
    #[must_use]
    pub fn open(pool: Pool, grants: Arc<Grants>, shared: Arc<Shared>) -> Self {
        let folder = if grants.files {
            open_folder(&pool, &shared)
        } else {
            Err(Fault::new(FaultKind::Unsupported, format!("Provider '{}' may not make requests on files", grants.provider))
                .cause("It does not ask for them, or the operator does not grant them"))
        };
        Self { pool, grants, shared, folder }
    }
}

/// Remembers the folder of a pool (cluster, generation id of the pool) that can be used.
pub fn remember_folder(pool: &Pool, ids: (Uuid, Uuid), shared: &Arc<Shared>) {
    if let Ok(folder) = open_folder(pool, shared) {
        shared.folders.remember(&shared.hands, pool, ids, &folder.fd);
    }
}

fn open_folder(pool: &Pool, shared: &Arc<Shared>) -> Result<Folder, Fault> {
    let fault = |cause: String| {
        Fault::new(FaultKind::Pool, format!("The folder of storage pool '{}' cannot be used", pool.name))
            .cause(cause)
            .correction(format!("Create or mount '{}' on the node and let the satellite write there", pool.place))
    };
    if !pool.place.starts_with('/') {
        return Err(fault(format!("'{}' is not an absolute path", pool.place)));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = open(pool.place.as_str(), flags, Mode::empty()).map_err(|error| fault(format!("'{}': {error}", pool.place)))?;
    shared.folders.check(pool, &fd)?;
    use std::os::fd::AsRawFd;
    let text = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).map_err(|error| fault(error.to_string()))?;
    let path = text.into_string().map_err(|_| fault("its path is not UTF-8".into()))?;
    Ok(Folder { fd, path: path.into(), shared: Arc::clone(shared) })
}

impl Machine for HostMachine {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.grants.may_run(argv, &self.pool)?;
        // The host cannot tell which commands change something.
        let kept = usize::try_from(u64::from(self.grants.limits.output_kib).saturating_mul(1024)).unwrap_or(usize::MAX);
        self.shared.hands.change(|| self.shared.hands.run_keeping(argv, kept))
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        match &self.folder {
            Ok(folder) => Ok(folder),
            Err(fault) => Err(fault.clone()),
        }
    }

    fn log(&self, line: &str) {
        // A provider's line is one line of this log, whatever is in it.
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match self.shared.lines.take(&self.grants.provider, std::time::Instant::now()) {
            Taken::Line => tracing::info!(pool = %self.pool.name, provider = %self.grants.provider, "{line}"),
            Taken::Last => {
                tracing::info!(pool = %self.pool.name, provider = %self.grants.provider, "{line}");
                tracing::warn!(provider = %self.grants.provider, "more lines of this provider are left out until the minute is over");
            }
            Taken::None => {}
        }
    }
}

fn system(request: &str, name: &str, errno: Errno) -> FileError {
    match errno {
        Errno::NOENT => FileError::Missing(name.into()),
        Errno::EXIST => FileError::Exists(name.into()),
        Errno::NOSPC | Errno::DQUOT => FileError::NoSpace(name.into()),
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY | Errno::XDEV => {
            FileError::NotSupported { request: request.into(), name: name.into(), cause: errno.to_string() }
        }
        Errno::BUSY => FileError::Busy(name.into()),
        other => FileError::System { request: request.into(), name: name.into(), cause: other.to_string() },
    }
}

fn one_component(name: &str) -> Result<&str, FileError> {
    let bad = name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.contains(['/', '\0']);
    if bad { Err(FileError::BadName(name.chars().take(255).collect())) } else { Ok(name) }
}

fn bytes(request: &str, name: &str, size: Kib) -> Result<u64, FileError> {
    size.bytes().ok_or_else(|| FileError::System {
        request: request.into(),
        name: name.into(),
        cause: format!("{size} is too large for a file"),
    })
}

impl Folder {
    fn change<T>(&self, request: &str, name: &str, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, FileError> {
        self.shared.hands.change(act).map_err(|errno| system(request, name, errno))
    }

    fn open(&self, request: &str, name: &str, flags: OFlags) -> Result<OwnedFd, FileError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(&self.fd, one_component(name)?, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
            // A symbolic link, a folder, a socket, a device without a driver.
            Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV => FileError::Exists(name.into()),
            other => system(request, name, other),
        })
    }

    /// Makes an empty file with a mark.
    fn make(&self, request: &str, name: &str, mark: &str) -> Result<OwnedFd, FileError> {
        let fd = self.shared.hands.change(|| self.open(request, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL))?;
        let marked = self.change(request, name, || fsetxattr(&fd, MARK, mark.as_bytes(), XattrFlags::empty()));
        marked.map(|()| fd).inspect_err(|_| {
            let _ = self.unlink(name);
        })
    }

    fn unlink(&self, name: &str) -> Result<(), Errno> {
        unlinkat(&self.fd, name, AtFlags::empty())
    }

    fn seen(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        let fd = match self.open("look", name, OFlags::RDONLY) {
            Ok(fd) => fd,
            Err(FileError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = fstat(&fd).map_err(|errno| system("look", name, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::Exists(name.into()));
        }
        let mut text = [0u8; MARK_MAX];
        let mark = match fgetxattr(&fd, MARK, &mut text) {
            Ok(length) => Some(String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => None,
            // Longer than any mark of ours: foreign.
            Err(Errno::RANGE) => Some(String::new()),
            Err(errno) => return Err(system("look", name, errno)),
        };
        let size = Kib::holding(u64::try_from(stat.st_size).unwrap_or(0));
        let allocated = Kib(u64::try_from(stat.st_blocks).unwrap_or(0).div_ceil(2));
        Ok(Some(FileSeen { name: name.into(), size, allocated, mark }))
    }

    fn path(&self, name: &str) -> Result<PathBuf, FileError> {
        Ok(self.path.join(one_component(name)?))
    }

    fn loop_error(name: &str, error: LoopError) -> FileError {
        match error {
            LoopError::Busy(device) => FileError::Busy(format!("{name} ({device})")),
            LoopError::Fault(fault) => FileError::Fault(fault),
        }
    }

    /// What was written to the device and not yet handed to the file goes there.
    fn flush(&self, name: &str) -> Result<(), FileError> {
        let Some(device) = self.shared.loops.device(&self.path(name)?) else { return Ok(()) };
        open(device.path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(fsync)
            .map_err(|errno| system("flush", name, errno))
    }
}

impl Files for Folder {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        let entries = Dir::read_from(&self.fd).map_err(|errno| system("list", ".", errno))?;
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|errno| system("list", ".", errno))?;
            if !matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown) {
                continue;
            }
            let Ok(name) = entry.file_name().to_str() else { continue };
            match self.seen(name) {
                Ok(seen) => all.extend(seen),
                // Not a regular file after all.
                Err(FileError::Exists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        self.seen(name)
    }

    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        let length = bytes("create", name, size)?;
        let fd = self.make("create", name, mark)?;
        let sized = match fill {
            Fill::Thick if length > 0 => self.change("create", name, || fallocate(&fd, FallocateFlags::empty(), 0, length)),
            Fill::Thick | Fill::Thin => self.change("create", name, || ftruncate(&fd, length)),
        };
        sized.inspect_err(|_| {
            let _ = self.unlink(name);
        })
    }

    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        // Read only: not even by mistake can this change what is in it.
        let fd = self.open("mark", name, OFlags::RDONLY)?;
        let stat = fstat(&fd).map_err(|errno| system("mark", name, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(FileError::Exists(name.into()));
        }
        self.change("mark", name, || fsetxattr(&fd, MARK, mark.as_bytes(), XattrFlags::CREATE))
    }

    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        let length = bytes("grow", name, size)?;
        let fd = self.open("grow", name, OFlags::RDWR)?;
        let before = fstat(&fd).map_err(|errno| system("grow", name, errno))?.st_size;
        let before = u64::try_from(before).unwrap_or(0);
        if length <= before {
            return Ok(());
        }
        self.change("grow", name, || match fill {
            Fill::Thin => ftruncate(&fd, length),
            Fill::Thick => fallocate(&fd, FallocateFlags::empty(), 0, length).inspect_err(|_| {
                let _ = ftruncate(&fd, before);
            }),
        })
    }

    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        self.flush(from)?;
        let source = self.open("reflink", from, OFlags::RDONLY)?;
        let copy = self.make("reflink", to, mark)?;
        let shared = self.shared.hands.change(|| ioctl_ficlone(copy.as_fd(), source.as_fd()));
        shared.map_err(|errno| {
            let _ = self.unlink(to);
            match errno {
                // What file systems without reflinks answer besides "not supported".
                Errno::INVAL => FileError::NotSupported { request: "reflink".into(), name: from.into(), cause: errno.to_string() },
                other => system("reflink", from, other),
            }
        })
    }

    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        let flags = match over {
            Over::Nothing => RenameFlags::NOREPLACE,
            Over::Existing => RenameFlags::empty(),
        };
        let (from, to) = (one_component(from)?, one_component(to)?);
        self.shared.hands.change(|| renameat_with(&self.fd, from, &self.fd, to, flags)).map_err(|errno| match errno {
            Errno::EXIST => FileError::Exists(to.into()),
            other => system("rename", from, other),
        })
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        let name = one_component(name)?;
        match self.shared.hands.change(|| self.unlink(name)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(system("remove", name, errno)),
        }
    }

    fn sync(&self, name: &str) -> Result<(), FileError> {
        let synced = match self.open("sync", name, OFlags::RDONLY) {
            Ok(fd) => fsync(fd),
            Err(FileError::Missing(_)) => Ok(()),
            Err(error) => return Err(error),
        };
        // A file does not bring its name along on every file system.
        synced.and_then(|()| fsync(&self.fd)).map_err(|errno| system("sync", name, errno))
    }

    fn sync_all(&self) -> Result<(), FileError> {
        syncfs(&self.fd).map_err(|errno| system("sync", ".", errno))
    }

    fn space(&self) -> Result<Space, FileError> {
        let stat = fstatvfs(&self.fd).map_err(|errno| system("space", ".", errno))?;
        let kib = |blocks: u64| Kib(u64::try_from(u128::from(blocks) * u128::from(stat.f_frsize) / 1024).unwrap_or(u64::MAX));
        Ok(Space { total: kib(stat.f_blocks), free: kib(stat.f_bavail) })
    }

    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        Ok(self.shared.loops.device(&self.path(name)?))
    }

    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        let (path, seen) = (self.path(name)?, self.seen(name)?.ok_or_else(|| FileError::Missing(name.into()))?);
        if self.shared.attaches {
            return self.shared.loops.attach(&self.shared.hands, &path, fill).map_err(|e| Self::loop_error(name, e));
        }
        // Without devices a file is served as it is; its stable path says that it is served.
        Ok(Device { path: path.display().to_string(), size: seen.size })
    }

    fn detach(&self, name: &str) -> Result<(), FileError> {
        let path = self.path(name)?;
        self.shared.loops.detach(&self.shared.hands, &path).map_err(|e| Self::loop_error(name, e))
    }

    fn resized(&self, name: &str) -> Result<(), FileError> {
        let path = self.path(name)?;
        self.shared.loops.resized(&self.shared.hands, &path).map_err(|e| Self::loop_error(name, e))
    }
}
