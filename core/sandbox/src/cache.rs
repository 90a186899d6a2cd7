//! Compiled components in a folder, so that a restart costs milliseconds.
//!
//! A file is machine code, and the engine's own check does not look into it. So a file counts only if it is a regular file of ours that
//! nobody else may write or read, and if it says the checksum of itself, of the component that it was made from and of this engine. All
//! else is compiled again and written anew, under a temporary name first.

use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::SandboxError;

/// First bytes of a file of this layout: then the checksums of the component, of the engine and of what follows, then the code.
const HEAD: &[u8] = b"berth compiled component 1\n";
/// End of the name of a file, behind the checksum of the component that it was made from.
const COMPILED: &str = ".compiled";
/// End of the name of a file that is being written.
const TEMPORARY: &str = ".new";
/// No compiled component is larger, in bytes.
const LARGEST: u64 = 512 << 20;

/// A checksum.
pub type Sum = [u8; 32];

/// The folder.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Of the engine's version and settings.
    engine: Sum,
    written: AtomicU64,
}

/// Feeds a checksum with what hashes itself.
struct Feed(Sha256);

impl Hasher for Feed {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The checksum of bytes.
pub fn sum(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Cache {
    /// The folder, which is made if it is missing.
    pub fn new(folder: PathBuf, engine: &Engine) -> Result<Self, SandboxError> {
        match prepare(&folder) {
            Ok(None) => {}
            Ok(Some(why)) => return Err(SandboxError::Folder { folder, why }),
            Err(error) => return Err(SandboxError::Folder { why: format!("fails: {error}"), folder }),
        }
        let mut feed = Feed(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut feed);
        Ok(Self { folder, engine: feed.0.finalize().into(), written: AtomicU64::new(0) })
    }

    /// The compiled form of the component with this checksum, if it is there and good.
    pub fn get(&self, engine: &Engine, component: &Sum) -> Option<Component> {
        let path = self.path(component);
        let bytes = match read(&path) {
            Ok(bytes) => bytes?,
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "a compiled provider is not taken from the cache");
                return None;
            }
        };
        let Some(code) = self.code(&bytes, component) else {
            tracing::warn!(file = %path.display(), "a compiled provider in the cache is damaged or of another version; it is compiled again");
            return None;
        };
        // SAFETY: the bytes must be what `Component::serialize` of a trusted program wrote. They are: the file is ours, nobody else could
        // write to it or to its folder, and its checksum is right. The engine compares its version and settings itself.
        #[allow(unsafe_code)]
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded
            .inspect_err(|error| tracing::warn!(file = %path.display(), error = %format!("{error:#}"), "a compiled provider is refused"))
            .ok()
    }

    /// Keeps a compiled component. What fails here costs time at the next start only.
    pub fn put(&self, component: &Sum, compiled: &Component) {
        let path = self.path(component);
        let kept = compiled.serialize().map_err(|error| format!("{error:#}")).and_then(|code| {
            let parts = [HEAD, component, &self.engine, &sum(&code), &code];
            self.write(&path, &parts).map_err(|error| error.to_string())
        });
        if let Err(why) = kept {
            tracing::warn!(file = %path.display(), why, "a compiled provider cannot be kept");
        }
    }

    /// Removes compiled components but those whose checksum (64 hexadecimal digits) `keep` takes; how many. What is no such file stays.
    pub fn retain(&self, keep: &dyn Fn(&str) -> bool) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return 0 };
        let hex = |sum: &str| sum.len() == 2 * size_of::<Sum>() && sum.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let stale = |name: &String| name.strip_suffix(COMPILED).is_some_and(|sum| hex(sum) && !keep(sum));
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(stale).filter(|name| std::fs::remove_file(self.folder.join(name)).is_ok()).count()
    }

    fn path(&self, component: &Sum) -> PathBuf {
        self.folder.join(format!("{}{COMPILED}", hex(component)))
    }

    /// The code in a file, if it is whole, made from this component, by this engine.
    fn code<'a>(&self, bytes: &'a [u8], component: &Sum) -> Option<&'a [u8]> {
        let rest = bytes.strip_prefix(HEAD)?.strip_prefix(component.as_slice())?.strip_prefix(self.engine.as_slice())?;
        let (check, code) = rest.split_at_checked(size_of::<Sum>())?;
        (sum(code) == check).then_some(code)
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> std::io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{number}{TEMPORARY}", std::process::id()));
        let temporary = PathBuf::from(name);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
            .and_then(|()| std::fs::rename(&temporary, path));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

/// Makes the folder; what is wrong with it, as the end of a sentence.
fn prepare(folder: &Path) -> std::io::Result<Option<String>> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let seen = std::fs::metadata(folder)?;
    if seen.uid() != geteuid().as_raw() {
        return Ok(Some(format!("belongs to user {}, not to the one that runs this program", seen.uid())));
    }
    if seen.mode() & 0o022 != 0 {
        return Ok(Some("can be written by others than its owner; run 'chmod go-w' on it".into()));
    }
    // What a killed process left half written.
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().ends_with(TEMPORARY) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(None)
}

/// The bytes of a file; `None`: there is none. An error says why it is not used.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    let mut file = match opened {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let seen = file.metadata().map_err(|error| error.to_string())?;
    if !seen.is_file() || seen.uid() != geteuid().as_raw() || seen.mode() & 0o077 != 0 {
        return Err("it is not a file of this program's user that nobody else may read or write".into());
    }
    if seen.len() > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(seen.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}
