//! Block devices, as a user of a volume sees them.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::Result;

use crate::run;

/// Writes a text to the beginning of a device, through to the disk.
///
/// # Errors
/// If the device cannot be written.
pub fn mark(device: &Path, text: &str) -> Result<()> {
    let mut file = fs::File::options().write(true).open(device)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// Reads so many bytes from the beginning of a device, past whatever was cached of it.
///
/// # Errors
/// If the device cannot be read.
pub fn marked(device: &Path, length: usize) -> Result<String> {
    run("blockdev", &[Path::new("--flushbufs"), device])?.ok()?;
    let mut bytes = vec![0; length];
    fs::File::open(device)?.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The size of a block device.
///
/// # Errors
/// If it is none.
pub fn size_bytes(device: &Path) -> Result<u64> {
    Ok(run("blockdev", &[Path::new("--getsize64"), device])?.ok()?.trim().parse()?)
}
