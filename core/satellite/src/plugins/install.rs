//! Installing and removing plugins in the data folder of a satellite, whether it runs or not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use berth_model::plugin::PluginSeen;
use berth_plugin_sdk::{Manifest, Operator};
use berth_sandbox::{Sandbox, SandboxError};

use super::folder::{BadConfig, CONFIG, NAME, PluginConfig, SIGNATURE, whole};
use super::{PluginError, load};

/// Why a plugin was not installed or removed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] BadConfig),
    /// It is no plugin that can be used.
    #[error("'{}' cannot be used: {cause}", path.display())]
    Plugin {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: PluginError,
    },
    /// Components cannot be run here.
    #[error("components cannot be run on this machine: {0}")]
    Sandbox(#[from] SandboxError),
    /// The folder cannot be written.
    #[error("'{}' cannot be written: {cause}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// There is no plugin of this name.
    #[error("no plugin '{name}' is installed in '{}'", folder.display())]
    Missing {
        /// The name.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
}

impl InstallError {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::File(error) => match error {
                BadConfig::Read { .. } => "Check the path and the permissions".to_owned(),
                other => other.correction(),
            },
            Self::Plugin { cause, .. } => cause.correction(),
            Self::Sandbox(_) => "Report this with the machine's processor and kernel".to_owned(),
            Self::Write { .. } => "Run it as the user of the satellite, and name its data folder with --data".to_owned(),
            Self::Missing { .. } => {
                "Look with 'berth plugin list' which are installed; the one that is part of the satellite cannot be removed".to_owned()
            }
        }
    }
}

/// What a file is and asks for, before it is installed.
#[derive(Debug)]
pub struct Proposed {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The same with what it would be granted as it asks.
    pub seen: PluginSeen,
}

/// What was installed.
#[derive(Debug)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: PathBuf,
}

/// Finds out what a file is and asks for. A library is opened for that: it is trusted code from here on.
///
/// # Errors
/// [`InstallError`].
pub fn propose(file: &Path, operator: &Operator) -> Result<Proposed, InstallError> {
    let bytes = whole(file)?;
    let sandbox = Sandbox::new(None)?;
    let loaded = load(&sandbox, file, &bytes, operator).map_err(|cause| InstallError::Plugin { path: file.to_owned(), cause })?;
    Ok(Proposed { manifest: loaded.manifest().clone(), seen: loaded.seen() })
}

/// Installs the plugin of a file under its own name, in place of one of the same name. A signature beside it (`FILE.minisig`) is
/// installed with it.
///
/// # Errors
/// [`InstallError`]; what was installed before is still there then.
pub fn install(data: &Path, file: &Path, operator: &Operator) -> Result<Installed, InstallError> {
    let proposed = propose(file, operator)?;
    let bytes = whole(file)?;
    let (name, sum) = (proposed.manifest.name, super::sha256(&bytes));
    let folder = data.join(NAME);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| InstallError::Write { path, cause }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
    let end = if berth_loader::is_library(&bytes) { "so" } else { "wasm" };
    let target = format!("{name}-{}.{end}", sum.get(..16).unwrap_or(&sum));
    let before = old_files(&folder, &name);
    put(&folder, &target, &bytes)?;
    let signature = PathBuf::from(format!("{}{SIGNATURE}", file.display()));
    if let Ok(text) = whole(&signature) {
        put(&folder, &format!("{target}{SIGNATURE}"), &text)?;
    }
    let config = PluginConfig { file: target.clone(), sha256: sum, grant: operator.clone() };
    // Plain values of known types: there is nothing in them that TOML cannot say.
    let text = toml::to_string(&config).unwrap_or_default();
    put(&folder, &format!("{name}{CONFIG}"), text.as_bytes())?;
    for old in before.into_iter().filter(|old| !old.starts_with(&target)) {
        drop(std::fs::remove_file(folder.join(old)));
    }
    Ok(Installed { config: folder.join(format!("{name}{CONFIG}")), name })
}

/// Removes an installed plugin. What runs goes on until the satellite looks again.
///
/// # Errors
/// [`InstallError`]: it is not installed, or the folder cannot be written.
pub fn remove(data: &Path, name: &str) -> Result<(), InstallError> {
    let folder = data.join(NAME);
    let before = old_files(&folder, name);
    let config = folder.join(format!("{name}{CONFIG}"));
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let missing = || InstallError::Missing { name: name.chars().take(64).collect(), folder: folder.clone() };
    if !plain {
        return Err(missing());
    }
    match std::fs::remove_file(&config) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(cause) => return Err(InstallError::Write { path: config, cause }),
    }
    for old in before {
        drop(std::fs::remove_file(folder.join(old)));
    }
    Ok(())
}

/// Files that earlier installations of a plugin left, with their signatures: `NAME-` and 16 hexadecimal digits.
fn old_files(folder: &Path, name: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    let ours = |file: &String| {
        let sum = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split('.').next());
        sum.is_some_and(|sum| sum.len() == 16 && sum.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    names.filter(ours).collect()
}

/// Writes a file whole: under another name first, on disk before it gets its own.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), InstallError> {
    let (temporary, target) = (folder.join(format!(".{name}.new")), folder.join(name));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| InstallError::Write { path, cause }
    };
    let write = || -> std::io::Result<()> {
        drop(std::fs::remove_file(&temporary));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &target)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed(&target))
}
