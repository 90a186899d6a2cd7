//! External files of this machine: below the folders that its operator allows, and nowhere else.
//!
//! A file is written beside its place, synced, and renamed over it. No symbolic link is followed below an allowed folder. What is there
//! and was not written here is kept as `NAME.before-berth` and comes back when the file goes; if that name is taken, too, nothing is done.
//! `DATA/files.json` says what was written, by its SHA-256: only that is ever replaced without being kept, or removed.
//! `DATA/file-folders.json` says which folders were made for files: those that are empty go with the last file in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use berth_model::files::{CONTENT_MAX, folder_of};
use berth_model::names::FilePath;
use berth_model::observed::{Fault, FaultKind, FileSeen};
use berth_model::plan::FilePlan;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, Uid, fchmod, fchown, fstat, fsync, mkdirat, open, openat, renameat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::config::SatelliteError;
use crate::hands::Hands;
use crate::keep::{read_json, write_whole};

/// Name in the data folder.
const FILE: &str = "files.json";
/// Name of the list of folders in the data folder.
const FOLDERS: &str = "file-folders.json";
/// End of the name of what was there before.
const BEFORE: &str = ".before-berth";
/// End of the name of a file that is being written.
const TEMPORARY: &str = ".berth-new";
/// Mode of a new file: its content may be a secret. One that is replaced keeps its mode and its owner.
const MODE: u32 = 0o600;

/// What was written: by path, the SHA-256 (hex) of what may be there.
type Written = BTreeMap<String, BTreeSet<String>>;

/// Remembers a folder that is about to be made.
type Making<'m> = &'m mut dyn FnMut(&str) -> Result<(), Fault>;

/// External files of this machine.
#[derive(Debug)]
pub struct ExternalFiles {
    data: PathBuf,
    folders: Vec<String>,
    written: Mutex<Written>,
    /// Folders that were made here, absolute paths.
    made: Mutex<BTreeSet<String>>,
}

/// A faulty one.
fn fault(kind: FaultKind, message: String, cause: impl Into<String>, correction: impl Into<String>) -> Fault {
    Fault { kind, message, cause: cause.into(), correction: correction.into(), details: String::new(), holders: Vec::new() }
}

/// A file that its operator does not allow.
#[must_use]
pub fn not_allowed(path: &FilePath) -> Fault {
    fault(
        FaultKind::Unsupported,
        format!("The external file '{path}' is not written"),
        "The operator of this node does not let external files be written there",
        "Name its folder in 'allow_ext_files' of /etc/berth/satellite.toml on the node, and restart the satellite",
    )
}

fn in_the_way(path: &str, cause: &str) -> Fault {
    fault(
        FaultKind::Foreign,
        format!("The external file '{path}' is not written: something is in the way"),
        cause,
        "Move it away on the node; the satellite goes on by itself then",
    )
}

fn system(path: &str, errno: Errno) -> Fault {
    let kind = if matches!(errno, Errno::NOSPC | Errno::DQUOT) { FaultKind::NoSpace } else { FaultKind::Tool };
    fault(
        kind,
        format!("The external file '{path}' cannot be written or removed"),
        errno.to_string(),
        "Let the satellite write to its folder on the node; it goes on by itself then",
    )
}

fn sum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The open folder of a file, and the file's name in it.
struct Place {
    folder: OwnedFd,
    name: String,
    path: String,
}

/// What lies at a place.
enum There {
    Nothing,
    /// A plain file: its sum (`None`: larger than any external file), mode and owner.
    File {
        sum: Option<String>,
        mode: Mode,
        owner: (u32, u32),
    },
}

impl Place {
    /// Opens the folder of `path`, one name after the other, below the allowed folder that it lies in. `make`: folders that are missing
    /// are made, each after it was told; else `None` is answered then.
    fn open(folders: &[String], path: &str, mut make: Option<Making<'_>>) -> Result<Option<Self>, Fault> {
        let parsed = FilePath::parse(path).map_err(|error| in_the_way(path, &error.to_string()))?;
        let allowed = folder_of(folders, &parsed).ok_or_else(|| not_allowed(&parsed))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = match open(allowed, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) if make.is_none() => return Ok(None),
            Err(errno) => return Err(system(path, errno)),
        };
        let rest = path.strip_prefix(allowed.trim_end_matches('/')).unwrap_or_default().trim_start_matches('/');
        let (below, name) = rest.rsplit_once('/').unwrap_or(("", rest));
        let mut reached = allowed.trim_end_matches('/').to_owned();
        for one in below.split('/').filter(|one| !one.is_empty()) {
            reached.push('/');
            reached.push_str(one);
            let next = match openat(&folder, one, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Err(Errno::NOENT) => {
                    let Some(making) = &mut make else { return Ok(None) };
                    making(&reached)?;
                    match mkdirat(&folder, one, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(system(path, errno)),
                    }
                    openat(&folder, one, flags | OFlags::NOFOLLOW, Mode::empty())
                }
                other => other,
            };
            folder = next.map_err(|errno| match errno {
                Errno::LOOP | Errno::NOTDIR => {
                    in_the_way(path, &format!("'{one}' on its way is no folder, or a symbolic link, which is not followed"))
                }
                other => system(path, other),
            })?;
        }
        Ok(Some(Self { folder, name: name.to_owned(), path: path.to_owned() }))
    }

    fn look(&self, name: &str) -> Result<There, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let no_file = || in_the_way(&self.path, "What is there is no plain file, or a symbolic link, which is not followed");
        let fd = match openat(&self.folder, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(There::Nothing),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV) => return Err(no_file()),
            Err(errno) => return Err(system(&self.path, errno)),
        };
        let stat = fstat(&fd).map_err(|errno| system(&self.path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(no_file());
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(CONTENT_MAX).unwrap_or(u64::MAX).saturating_add(1);
        File::from(fd).take(limit).read_to_end(&mut bytes).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            system(&self.path, errno)
        })?;
        let sum = (bytes.len() <= CONTENT_MAX).then(|| sum(&bytes));
        Ok(There::File { sum, mode: Mode::from_raw_mode(stat.st_mode & 0o7777), owner: (stat.st_uid, stat.st_gid) })
    }

    /// Writes the file beside its place and renames it there, on disk when this returns.
    fn write(&self, hands: &Hands, bytes: &[u8], like: Option<(Mode, (u32, u32))>) -> Result<(), Errno> {
        let temporary = format!(".{}{TEMPORARY}", self.name);
        // Left by an earlier life: nobody else has such names.
        match unlinkat(&self.folder, temporary.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.folder, temporary.as_str(), flags, Mode::from_raw_mode(MODE)).and_then(|fd| {
            let mut file = File::from(fd);
            file.write_all(bytes).map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))?;
            if let Some((mode, (user, group))) = like {
                fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
                fchmod(&file, mode)?;
            }
            fsync(&file)
        });
        let renamed = made.and_then(|()| hands.change(|| renameat(&self.folder, temporary.as_str(), &self.folder, self.name.as_str())));
        if renamed.is_err() {
            let _ = unlinkat(&self.folder, temporary.as_str(), AtFlags::empty());
        }
        renamed.and_then(|()| fsync(&self.folder))
    }

    /// Moves what is there aside.
    fn set_aside(&self, hands: &Hands) -> Result<(), Fault> {
        let aside = format!("{}{BEFORE}", self.name);
        let moved = hands.change(|| renameat_with(&self.folder, self.name.as_str(), &self.folder, aside.as_str(), RenameFlags::NOREPLACE));
        match moved {
            Ok(()) => {
                tracing::warn!(path = %self.path, kept_as = %aside, "what was in the place of an external file is kept");
                Ok(())
            }
            Err(Errno::EXIST) => {
                Err(in_the_way(&self.path, &format!("The file there was not written by Berth, and '{aside}' is taken by an earlier one")))
            }
            Err(errno) => Err(system(&self.path, errno)),
        }
    }
}

impl ExternalFiles {
    /// What the data folder remembers; files are written below `folders`.
    ///
    /// # Errors
    /// [`SatelliteError::Data`] if it cannot be read.
    pub fn open(data: &Path, folders: Vec<String>) -> Result<Self, SatelliteError> {
        let (written, made) = (read_json(&data.join(FILE))?, read_json(&data.join(FOLDERS))?);
        Ok(Self { data: data.to_owned(), folders, written: Mutex::new(written), made: Mutex::new(made) })
    }

    /// The allowed folders.
    #[must_use]
    pub fn folders(&self) -> &[String] {
        &self.folders
    }

    fn keep(&self, written: &Written, path: &str) -> Result<(), Fault> {
        self.keep_as(FILE, written, path)
    }

    fn keep_as(&self, name: &str, what: &impl serde::Serialize, path: &str) -> Result<(), Fault> {
        let kept = serde_json::to_vec_pretty(what).map_err(std::io::Error::other).and_then(|bytes| write_whole(&self.data, name, &bytes));
        kept.map_err(|error| system(path, error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)))
    }

    /// Opens the folder of a file that is to be written, and remembers the folders that are made for it before they are there.
    fn place(&self, path: &str) -> Result<Place, Fault> {
        let mut making = |folder: &str| {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.insert(folder.to_owned()) { self.keep_as(FOLDERS, &*made, path) } else { Ok(()) }
        };
        Place::open(&self.folders, path, Some(&mut making))?.ok_or_else(|| system(path, Errno::NOENT))
    }

    /// Removes the folders on the way to `path` that were made for files and are empty, the innermost first.
    fn tidy(&self, hands: &Hands, path: &str) -> Result<(), Fault> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut inner = path;
        while let Some((folder, _)) = inner.rsplit_once('/').filter(|(folder, _)| made.contains(*folder)) {
            if let Some(place) = Place::open(&self.folders, folder, None)? {
                match hands.change(|| unlinkat(&place.folder, place.name.as_str(), AtFlags::REMOVEDIR)) {
                    Ok(()) => fsync(&place.folder).map_err(|errno| system(path, errno))?,
                    // Somebody made something else of it.
                    Err(Errno::NOENT | Errno::NOTDIR) => {}
                    // It goes with the last file in it.
                    Err(Errno::NOTEMPTY | Errno::EXIST) => return Ok(()),
                    Err(errno) => return Err(system(path, errno)),
                }
            }
            made.remove(folder);
            self.keep_as(FOLDERS, &*made, path)?;
            inner = folder;
        }
        Ok(())
    }

    /// Makes the files as they are wanted, removes those that were written here and are wanted no more, and says how each one stands, in
    /// the order of `wanted`.
    pub fn make(&self, hands: &Hands, wanted: &[FilePlan]) -> Vec<FileSeen> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // First what goes: a path may have come back in another spelling.
        let named = |path: &String| {
            let is = |plan: &FilePlan| {
                path.strip_prefix(plan.path.as_str())
                    .is_some_and(|end| end.is_empty() || plan.alt_suffixes.iter().any(|suffix| suffix == end))
            };
            wanted.iter().any(is)
        };
        let gone: Vec<String> = written.keys().filter(|path| !named(path)).cloned().collect();
        for path in gone {
            if let Err(fault) = self.remove(hands, &mut written, &path) {
                tracing::warn!(%path, message = %fault.message, cause = %fault.cause, "an external file stays");
            }
        }
        wanted.iter().map(|plan| self.one(hands, &mut written, plan)).collect()
    }

    fn one(&self, hands: &Hands, written: &mut Written, plan: &FilePlan) -> FileSeen {
        let mut seen = FileSeen { path: plan.path.clone(), actual_path: None, content_match: false, fault: None };
        match self.written_to(hands, written, plan, &mut seen.actual_path) {
            Ok(()) => seen.content_match = true,
            Err(fault) => seen.fault = Some(fault),
        }
        seen
    }

    fn written_to(&self, hands: &Hands, written: &mut Written, plan: &FilePlan, actual: &mut Option<String>) -> Result<(), Fault> {
        let path = plan.path.as_str();
        let bytes = STANDARD.decode(&plan.content).map_err(|error| in_the_way(path, &format!("Its content is no base64: {error}")))?;
        let mut place = self.place(path)?;
        for suffix in &plan.alt_suffixes {
            let other = format!("{}{suffix}", place.name);
            if !suffix.contains('/') && matches!(place.look(&other), Ok(There::File { .. })) {
                place.path.push_str(suffix);
                place.name = other;
                break;
            }
        }
        let wanted = sum(&bytes);
        let there = place.look(&place.name)?;
        let ours = |sum: &Option<String>| sum.as_ref().is_some_and(|sum| written.get(&place.path).is_some_and(|all| all.contains(sum)));
        let like = match &there {
            There::Nothing => None,
            There::File { sum, .. } if sum.as_ref() == Some(&wanted) => {
                *actual = Some(place.path);
                return Ok(());
            }
            There::File { sum, mode, owner } => {
                *actual = Some(place.path.clone());
                if !ours(sum) {
                    place.set_aside(hands)?;
                    *actual = None;
                }
                Some((*mode, *owner))
            }
        };
        // Remembered before it is there: what a crash leaves is known.
        written.entry(place.path.clone()).or_default().insert(wanted.clone());
        self.keep(written, path)?;
        place.write(hands, &bytes, like).map_err(|errno| system(path, errno))?;
        tracing::info!(path = %place.path, bytes = bytes.len(), "external file written");
        if let Some(all) = written.get_mut(&place.path).filter(|all| all.len() > 1) {
            *all = [wanted].into();
            self.keep(written, path)?;
        }
        *actual = Some(place.path);
        Ok(())
    }

    /// Removes a file if it is what was written; what was there before it comes back.
    fn remove(&self, hands: &Hands, written: &mut Written, path: &str) -> Result<(), Fault> {
        if let Some(place) = Place::open(&self.folders, path, None)? {
            match place.look(&place.name)? {
                There::Nothing => {}
                There::File { sum, .. } if sum.as_ref().is_some_and(|sum| written.get(path).is_some_and(|all| all.contains(sum))) => {
                    hands.change(|| unlinkat(&place.folder, place.name.as_str(), AtFlags::empty())).map_err(|errno| system(path, errno))?;
                    let before = format!("{}{BEFORE}", place.name);
                    let back = renameat_with(&place.folder, before.as_str(), &place.folder, place.name.as_str(), RenameFlags::NOREPLACE);
                    match back {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => tracing::warn!(path, kept_as = %before, cause = %errno, "what was there before stays aside"),
                    }
                    fsync(&place.folder).map_err(|errno| system(path, errno))?;
                    tracing::info!(path, "external file removed");
                }
                There::File { .. } => {
                    tracing::warn!(path, "an external file that nobody wants any more was changed on this node, and stays")
                }
            }
        }
        self.tidy(hands, path)?;
        written.remove(path);
        self.keep(written, path)
    }
}

/// The folders of a setting: absolute paths, separated by commas.
///
/// # Errors
/// One that is no absolute path, or has `..` in it.
pub fn folders(text: &str) -> Result<Vec<String>, String> {
    let one = |folder: &str| {
        let path = Path::new(folder);
        let plain = path.is_absolute() && !path.components().any(|part| part.as_os_str().as_bytes() == b"..");
        if plain { Ok(folder.to_owned()) } else { Err(format!("'{folder}' is no absolute path of a folder")) }
    };
    text.split(',').map(str::trim).filter(|folder| !folder.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests;
