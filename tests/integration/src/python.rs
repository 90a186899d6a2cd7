//! Python programs, as they come from their registry, each in a virtual environment of the project's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::command::{run_within, tool};

/// The version under test, pinned.
pub const CLIENT: &str = "python-linstor==1.29.1";
/// What makes requests of an OpenAPI document, pinned; it brings a reader of YAML.
pub const FUZZER: &str = "schemathesis==4.32.5";

/// Time for the installation over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// A Python with the client in it; made at the first call and kept in the user's cache.
///
/// # Errors
/// If Python is missing or the registry cannot be reached the first time.
pub fn python_with_client() -> Result<PathBuf> {
    python_with(CLIENT)
}

/// A Python with schemathesis in it, as [`python_with_client`].
///
/// # Errors
/// If Python is missing or the registry cannot be reached the first time.
pub fn python_with_fuzzer() -> Result<PathBuf> {
    python_with(FUZZER)
}

fn python_with(package: &str) -> Result<PathBuf> {
    let cache = cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // Two test programs may want it at once; the lock ends with the file.
    let lock = File::create(cache.join("python.lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let home = cache.join(package.replace("==", "-"));
    let python = home.join("bin/python");
    let complete = home.join("complete");
    if complete.is_file() && python.exists() {
        return Ok(python);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot clear {}", home.display()))?;
    }
    step(Command::new(tool("python3")?).args(["-m", "venv"]).arg(&home))?;
    step(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]))?;
    fs::write(&complete, package)?;
    Ok(python)
}

fn step(command: &mut Command) -> Result<()> {
    run_within(INSTALL_LIMIT, command)?.ok().map(drop)
}

fn cache() -> Result<PathBuf> {
    let set = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(folder) = set("XDG_CACHE_HOME") {
        return Ok(Path::new(&folder).join("berth"));
    }
    let home = set("HOME").context("neither XDG_CACHE_HOME nor HOME is set; set one")?;
    Ok(Path::new(&home).join(".cache/berth"))
}
