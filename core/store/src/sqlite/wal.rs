//! The engine's log file (WAL) before the engine opens it, and the mark of what was acknowledged.
//!
//! At its start the engine takes a log as far as its check values go, and drops the rest without a word: right for a commit that a crash cut short,
//! wrong where a disk has damaged what was acknowledged. Two things tell them apart:
//! behind a commit that was cut short nothing else was written, and the mark, a file of 16 bytes, holds the newest serial that was acknowledged.
//! The mark is written without a sync: it survives the process, and after a loss of power it is perhaps older, never newer, than what was acknowledged.
//!
//! Format of the log: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use super::file::{beside, remove, sync_folder};
use crate::error::{Cause, StoreError};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Behind the name of the database: the newest serial that was acknowledged, and its complement, 8 bytes each, little-endian.
pub(crate) const MARK: &str = "-mark";
/// Bytes before the first frame, and before the page of each.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The log's first four bytes, big-endian; with one more its check values read words as big-endian, without as little-endian.
const MAGIC: u32 = 0x377f_0682;

/// The log of a database, as far as it belongs to the present round of the engine.
struct Log {
    bytes: Vec<u8>,
    /// Bytes of a frame with its header.
    step: usize,
    /// How many frames there are.
    frames: usize,
    big: bool,
}

/// What [`look`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    /// The first frame that is damaged, counted from 1.
    pub frame: usize,
    /// Commits that the engine would drop.
    pub commits: usize,
}

fn log_file(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

impl Log {
    /// `None`: there is none, or its head says nothing to the engine either.
    fn read(database: &Path) -> Result<Option<Self>, StoreError> {
        let path = log_file(database);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::file(&path, error)),
        };
        let Some(head) = bytes.get(..HEADER) else { return Ok(None) };
        let magic = word(head, 0);
        let (big, page) = (magic & 1 == 1, word(head, 8) as usize);
        if magic & !1 != MAGIC || !page.is_power_of_two() || !(512..=65_536).contains(&page) {
            return Ok(None);
        }
        if sums((0, 0), &head[..24], big) != (word(head, 24), word(head, 28)) {
            return Ok(None);
        }
        let step = page + FRAME_HEADER;
        let mut log = Log { frames: (bytes.len() - HEADER) / step, bytes, step, big };
        // Frames of an earlier round have other salts, and stand behind all of this one.
        let newest = (0..log.frames).rev().find(|at| log.is_of_this_round(*at));
        log.frames = newest.map_or(0, |last| last + 1);
        Ok(Some(log))
    }

    fn frame(&self, at: usize) -> &[u8] {
        &self.bytes[HEADER + at * self.step..HEADER + (at + 1) * self.step]
    }

    fn is_of_this_round(&self, at: usize) -> bool {
        self.frame(at)[8..16] == self.bytes[16..24]
    }

    fn is_commit(&self, at: usize) -> bool {
        word(self.frame(at), 4) != 0
    }

    fn stored(&self, at: usize) -> (u32, u32) {
        (word(self.frame(at), 16), word(self.frame(at), 20))
    }

    fn sums_of(&self, at: usize, before: (u32, u32)) -> (u32, u32) {
        let frame = self.frame(at);
        sums(sums(before, &frame[..8], self.big), &frame[FRAME_HEADER..], self.big)
    }

    fn head_sums(&self) -> (u32, u32) {
        (word(&self.bytes, 24), word(&self.bytes, 28))
    }
}

/// Whether the log of a database is damaged where more than one commit follows: a crash cuts short at most the last one.
pub(crate) fn look(database: &Path) -> Result<Option<Break>, StoreError> {
    let Some(log) = Log::read(database)? else { return Ok(None) };
    let mut before = log.head_sums();
    for at in 0..log.frames {
        if !log.is_of_this_round(at) || log.sums_of(at, before) != log.stored(at) {
            let commits = (at..log.frames).filter(|later| log.is_of_this_round(*later) && log.is_commit(*later)).count();
            return Ok((commits > 1).then_some(Break { frame: at + 1, commits }));
        }
        before = log.stored(at);
    }
    Ok(None)
}

/// Makes the engine take every frame of the log up to its last commit, as it is; what a damaged frame says wrong is then found in the records.
/// The log as it was is kept under the name that is returned.
pub(crate) fn reseal(database: &Path, now_ms: i64) -> Result<Option<PathBuf>, StoreError> {
    let Some(mut log) = Log::read(database)? else { return Ok(None) };
    let path = log_file(database);
    let kept = beside(database, &format!("-wal.damaged-{now_ms}"));
    let failed = |error| StoreError::file(&path, error);
    std::fs::copy(&path, &kept).map_err(|error| StoreError::file(&kept, error))?;
    let salts: [u8; 8] = log.bytes[16..24].try_into().map_err(|_| failed(std::io::ErrorKind::InvalidData.into()))?;
    let mut before = log.head_sums();
    for at in 0..log.frames {
        let start = HEADER + at * log.step;
        log.bytes[start + 8..start + 16].copy_from_slice(&salts);
        before = log.sums_of(at, before);
        log.bytes[start + 16..start + 20].copy_from_slice(&before.0.to_be_bytes());
        log.bytes[start + 20..start + 24].copy_from_slice(&before.1.to_be_bytes());
    }
    let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    file.write_all_at(&log.bytes, 0).and_then(|()| file.sync_all()).map_err(failed)?;
    // The index of the log is made anew from it.
    remove(&beside(database, "-shm"))?;
    sync_folder(database)?;
    Ok(Some(kept))
}

/// Puts the log back as it was before [`reseal`].
pub(crate) fn unseal(database: &Path, kept: &Path) -> Result<(), StoreError> {
    let path = log_file(database);
    std::fs::rename(kept, &path).map_err(|error| StoreError::file(&path, error))?;
    remove(&beside(database, "-shm"))?;
    sync_folder(database)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The engine's check values of words, two by two.
fn sums((mut a, mut b): (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let read = |four: [u8; 4]| if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) };
    for [a0, a1, a2, a3, b0, b1, b2, b3] in bytes.as_chunks::<8>().0 {
        a = a.wrapping_add(read([*a0, *a1, *a2, *a3])).wrapping_add(b);
        b = b.wrapping_add(read([*b0, *b1, *b2, *b3])).wrapping_add(a);
    }
    (a, b)
}

/// The newest serial that was acknowledged, as far as the mark knows.
pub(crate) struct Mark(File);

impl Mark {
    /// Opens the mark of a database; makes it if there is none.
    pub(crate) fn open(database: &Path) -> Result<Self, StoreError> {
        let path = beside(database, MARK);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        file.map(Mark).map_err(|error| StoreError::file(&path, error))
    }

    /// The serial of the mark beside a database; `None`: there is none, or it was cut short.
    pub(crate) fn read(database: &Path) -> Option<u64> {
        let bytes = std::fs::read(beside(database, MARK)).ok()?;
        let number = |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
        let serial = number(0)?;
        (number(8)? == !serial).then_some(serial)
    }

    /// Notes a serial that is on disk. A mark that cannot be written says less, no more.
    pub(crate) fn note(&self, serial: u64) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&serial.to_le_bytes());
        bytes[8..].copy_from_slice(&(!serial).to_le_bytes());
        let _ = self.0.write_all_at(&bytes, 0);
    }

    /// Forgets it: the database is replaced, or what was lost is accepted.
    pub(crate) fn remove(database: &Path) -> Result<(), StoreError> {
        remove(&beside(database, MARK))
    }
}

/// What is wrong with a database that would come up without something that was acknowledged; `serial` is where it would come up.
pub(crate) fn lost(database: &Path, serial: u64) -> Option<String> {
    let marked = Mark::read(database).filter(|marked| *marked > serial)?;
    Some(format!("changes up to serial {marked} were acknowledged, but it ends at serial {serial}: its newest part is gone"))
}

/// The error for a database file that is not there, although its mark says that there was one; `None`: it is there, or never was.
pub(crate) fn gone(database: &Path) -> Option<StoreError> {
    let serial = Mark::read(database).filter(|serial| *serial > 0)?;
    (!database.exists()).then(|| StoreError::Gone { file: database.into(), serial })
}

/// The error for what is wrong with a database.
pub(crate) fn corrupt(database: &Path, why: String) -> StoreError {
    StoreError::Corrupt { file: database.into(), cause: Cause::Seen(why) }
}

impl Break {
    /// In words.
    pub(crate) fn words(self) -> String {
        let Break { frame, commits } = self;
        format!("its log (berth.db-wal) is damaged at frame {frame}, with {commits} commits in or behind it")
    }
}
