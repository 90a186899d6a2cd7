//! What can be known of a file before it is opened as a library.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::LoadError;

/// First bytes of an ELF file (System V ABI, "ELF Header").
pub(crate) const MAGIC: &[u8] = b"\x7fELF";
/// Length of the header of a 64-bit file.
const HEADER: usize = 64;
/// `e_type` of a shared object.
const SHARED: u16 = 3;

#[cfg(target_arch = "x86_64")]
const HERE: (u16, &str) = (62, "x86_64");
#[cfg(target_arch = "aarch64")]
const HERE: (u16, &str) = (183, "aarch64");

/// Looks at owner, mode and header of a file, and at the folders above it; answers its path without links, which is the one to open.
///
/// # Errors
/// [`LoadError`] of what is wrong.
pub(crate) fn file(path: &Path) -> Result<PathBuf, LoadError> {
    let read = |cause| LoadError::Read { path: path.to_owned(), cause };
    let whole = path.canonicalize().map_err(read)?;
    // Whoever may write a folder above it may put another one in its place.
    for place in whole.ancestors() {
        let seen = place.metadata().map_err(read)?;
        if let Some(why) = unsafe_for(seen.uid(), seen.mode(), rustix::process::geteuid().as_raw(), place == whole) {
            return Err(LoadError::Unsafe { path: place.to_owned(), why });
        }
    }
    let mut file = File::open(&whole).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    let mut head = Vec::with_capacity(HEADER);
    let wanted = u64::try_from(HEADER).unwrap_or(u64::MAX);
    Read::by_ref(&mut file).take(wanted).read_to_end(&mut head).map_err(read)?;
    header(path, &head, length)?;
    Ok(whole)
}

/// Why a place with this owner and mode is not safe for a process of user `own`; `None`: it is. A folder may be written by everybody where
/// only owners may rename and remove (`/tmp`), as the file itself is looked at, too.
fn unsafe_for(owner: u32, mode: u32, own: u32, is_file: bool) -> Option<String> {
    let (group, others, sticky) = (mode & 0o020 != 0, mode & 0o002 != 0, mode & 0o1000 != 0);
    if owner != 0 && owner != own {
        Some(format!("it belongs to user {owner}"))
    } else if (group || others) && (is_file || !sticky) {
        Some(format!("{} may write it", if others { "everybody" } else { "its group" }))
    } else {
        None
    }
}

fn header(path: &Path, head: &[u8], length: u64) -> Result<(), LoadError> {
    let no = |why: String| LoadError::NoLibrary { path: path.to_owned(), why };
    if !head.starts_with(MAGIC) {
        return Err(no("it does not begin as one".into()));
    }
    let number = |at: usize| Some(u16::from_le_bytes([*head.get(at)?, *head.get(at.checked_add(1)?)?]));
    let long = |at: usize| head.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes);
    let (Some(kind), Some(machine), Some(sections), Some(size), Some(count)) = (number(16), number(18), long(40), number(58), number(60))
    else {
        return Err(no(format!("it is cut off after {length} bytes")));
    };
    if head.get(4) != Some(&2) || head.get(5) != Some(&1) {
        return Err(no("it is not a 64-bit little-endian file".into()));
    }
    let (here, name) = HERE;
    if machine != here {
        let built = match machine {
            3 => "x86".to_owned(),
            40 => "arm".to_owned(),
            62 => "x86_64".to_owned(),
            183 => "aarch64".to_owned(),
            243 => "riscv".to_owned(),
            other => format!("machine {other}"),
        };
        return Err(LoadError::Machine { path: path.to_owned(), built, here: name });
    }
    if kind != SHARED {
        return Err(no("it is a program or an object file".into()));
    }
    // Its last part is the table of sections: what is shorter was cut off, and the system's loader may die of that instead of refusing.
    let end = u64::from(size).checked_mul(u64::from(count)).and_then(|all| sections.checked_add(all));
    if end.is_none_or(|end| end > length) {
        return Err(no(format!("it is cut off after {length} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<u8> {
        let mut head = vec![0; HEADER];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[16..18].copy_from_slice(&SHARED.to_le_bytes());
        head[18..20].copy_from_slice(&HERE.0.to_le_bytes());
        head[40..48].copy_from_slice(&64u64.to_le_bytes());
        head[58..60].copy_from_slice(&64u16.to_le_bytes());
        head[60..62].copy_from_slice(&2u16.to_le_bytes());
        head
    }

    #[test]
    fn a_file_that_cannot_be_a_library_of_this_machine_says_why() {
        let path = Path::new("/x.so");
        let judge = |head: &[u8], length| header(path, head, length).map_err(|error| error.to_string());
        assert_eq!(judge(&good(), 192), Ok(()));
        let why = |change: &dyn Fn(&mut Vec<u8>), length| {
            let mut head = good();
            change(&mut head);
            judge(&head, length).expect_err("it was let in")
        };
        assert!(why(&|_| (), 191).contains("cut off after 191 bytes"));
        assert!(why(&|head| head.truncate(20), 20).contains("cut off"));
        assert!(why(&|head| head.clear(), 0).contains("begin"));
        assert!(why(&|head| head[4] = 1, 192).contains("64-bit"));
        assert!(why(&|head| head[16] = 2, 192).contains("program"));
        assert!(why(&|head| head[18..20].copy_from_slice(&243u16.to_le_bytes()), 192).contains("riscv"));
        assert!(why(&|head| head[40..48].fill(0xff), 192).contains("cut off"));
    }

    #[test]
    fn a_place_that_others_may_write_is_not_safe() {
        for (owner, mode, is_file, safe) in [
            (0, 0o644, true, true),
            (7, 0o644, true, true),
            (8, 0o644, true, false),
            (0, 0o664, true, false),
            (0, 0o646, true, false),
            (0, 0o1777, false, true),
            (0, 0o1777, true, false),
            (0, 0o777, false, false),
        ] {
            assert_eq!(unsafe_for(owner, mode, 7, is_file).is_none(), safe, "{owner} {mode:o} {is_file}");
        }
    }
}
