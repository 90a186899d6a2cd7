//! Installing and removing plugins in the data folder of a satellite, whether it runs or not.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use berth_loader::LoadError;
use berth_model::plugin::{PluginForm, PluginSeen};
use berth_plugin_sdk::Operator;
use berth_sandbox::{Sandbox, SandboxError};

use super::folder::{BadConfig, CONFIG, IntegrationConfig, KEYS, NAME, PluginConfig, SIGNATURE, admitted, left_keys, of, whole};
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
    /// It is not something that this can be said of.
    #[error("'{name}' {why}")]
    Word {
        /// The plugin.
        name: String,
        /// What does not fit.
        why: String,
    },
    /// It may not have its name here.
    #[error("{0}")]
    Name(String),
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
            Self::Name(_) => "Ask its author to give it a name of its own".to_owned(),
            Self::Word { .. } => "Leave the word out; '--anew' forgets what was said of an earlier version".to_owned(),
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
    /// What it says of itself, with what it would be granted as it asks.
    pub seen: PluginSeen,
    /// Operations of an integration plugin, each with a sentence; empty for a provider.
    pub operations: Vec<(String, String)>,
    /// Names of the commands that it asks for.
    pub asks: Vec<String>,
}

/// What an operator says when a plugin is installed.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// What is granted; where nothing is said, what was granted to an earlier version of it holds.
    pub grant: &'a Operator,
    /// Configuration file of an integration plugin; `None`: that of an earlier version.
    pub config: Option<&'a Path>,
    /// Whether what was said of an earlier version is forgotten.
    pub anew: bool,
}

/// What was installed.
#[derive(Debug)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its configuration.
    pub config: PathBuf,
    /// Whether it is an integration plugin, which is started with the satellite.
    pub integration: bool,
    /// Whether it has what was granted to the version before it.
    pub kept: bool,
}

/// Finds out what a file is and asks for. A library is opened for that: it is trusted code from here on.
///
/// # Errors
/// [`InstallError`].
pub fn propose(file: &Path, operator: &Operator) -> Result<Proposed, InstallError> {
    let bytes = whole(file)?;
    if berth_loader::is_library(&bytes)
        && let Some(found) = integration(file, &bytes)?
    {
        return Ok(found);
    }
    let sandbox = Sandbox::new(None)?;
    let loaded = load(&sandbox, file, &bytes, operator).map_err(|cause| InstallError::Plugin { path: file.to_owned(), cause })?;
    if loaded.manifest().name == super::OWN {
        let own = super::own_manifest(&sandbox).map_err(|cause| InstallError::Plugin { path: file.to_owned(), cause: cause.into() })?;
        if !super::may_be_called(&own, loaded.manifest()) {
            return Err(InstallError::Name(super::taken_name(&own).0));
        }
    }
    let asks = loaded.manifest().commands.iter().filter_map(|text| text.split_ascii_whitespace().next().map(str::to_owned)).collect();
    Ok(Proposed { seen: loaded.seen(), operations: Vec::new(), asks })
}

/// The integration plugin in a library; `None`: there is something else in it.
fn integration(file: &Path, bytes: &[u8]) -> Result<Option<Proposed>, InstallError> {
    let (_, manifest) = match berth_loader::open_plugin(file) {
        Ok(opened) => opened,
        Err(LoadError::Missing { .. }) => return Ok(None),
        Err(cause) => return Err(InstallError::Plugin { path: file.to_owned(), cause: cause.into() }),
    };
    let seen = PluginSeen {
        version: manifest.version,
        contract: manifest.contract,
        form: Some(PluginForm::Library),
        serves: manifest.serves,
        file: file.display().to_string(),
        sha256: super::sha256(bytes),
        ..PluginSeen::unknown(&manifest.name)
    };
    Ok(Some(Proposed { seen, operations: manifest.operations, asks: Vec::new() }))
}

/// Installs the plugin of a file under its own name, in place of one of the same name. A signature beside it (`FILE.minisig`) is
/// installed with it.
///
/// # Errors
/// [`InstallError`]; what was installed before is still there then.
pub fn install(data: &Path, file: &Path, wish: &Wish<'_>) -> Result<Installed, InstallError> {
    // What is not signed is not even opened.
    admitted(file, &left_keys(data)?)?;
    let (folder, mut operator) = (data.join(NAME), wish.grant.clone());
    let proposed = propose(file, &operator)?;
    let bytes = whole(file)?;
    let (name, sum) = (proposed.seen.name, super::sha256(&bytes));
    let before = of(&folder, &name).filter(|_| !wish.anew);
    let kept =
        before.as_ref().filter(|before| operator == Operator::default() && before.grant != operator).map(|before| before.grant.clone());
    if let Some(grant) = &kept {
        operator = grant.clone();
    }
    let before = before.and_then(|before| before.integration).and_then(|integration| integration.config);
    let config = wish.config.or(before.as_deref());
    let word = |why: &str| InstallError::Word { name: name.clone(), why: why.to_owned() };
    if let Some(stranger) = wish.grant.commands.iter().flatten().find(|command| !proposed.asks.contains(command)) {
        return Err(word(&format!("asks for no command '{stranger}'; it asks for: {}", proposed.asks.join(", "))));
    }
    if let Some(path) = wish.config.filter(|path| path.is_absolute() && !path.is_file()) {
        return Err(word(&format!("cannot have the configuration file '{}': it is not there", path.display())));
    }
    let integration = match (proposed.seen.serves.is_empty(), config) {
        (true, None) => None,
        (true, Some(_)) => return Err(word("makes volumes, and has no configuration file: properties of its pools configure it")),
        (false, _) if operator != Operator::default() => {
            return Err(word("serves a platform as a library, which is trusted: nothing can be granted or withheld"));
        }
        (false, Some(path)) if !path.is_absolute() => return Err(word("needs the absolute path of its configuration file")),
        (false, path) => Some(IntegrationConfig { config: path.map(Path::to_owned) }),
    };
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
    let config = PluginConfig { file: target.clone(), sha256: sum, grant: operator, integration };
    let integration = config.integration.is_some();
    // Plain values of known types: there is nothing in them that TOML cannot say.
    let text = toml::to_string(&config).unwrap_or_default();
    put(&folder, &format!("{name}{CONFIG}"), text.as_bytes())?;
    for old in before.into_iter().filter(|old| !old.starts_with(&target)) {
        drop(std::fs::remove_file(folder.join(old)));
    }
    Ok(Installed { config: folder.join(format!("{name}{CONFIG}")), name, integration, kept: kept.is_some() })
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
        let ends = [".so", ".wasm"].iter().any(|end| file.trim_end_matches(SIGNATURE).ends_with(end));
        ends && sum.is_some_and(|sum| sum.len() == 16 && sum.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    names.filter(ours).collect()
}

/// Leaves word which keys are asked for, so that nothing is installed, or opened to be installed, that the satellite would refuse.
///
/// # Errors
/// [`InstallError::Write`]; what was there before still is.
pub(crate) fn leave_keys(data: &Path, keys: &[String]) -> Result<(), InstallError> {
    if !keys.is_empty() {
        return put(data, KEYS, keys.join("\n").as_bytes());
    }
    match std::fs::remove_file(data.join(KEYS)) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(InstallError::Write { path: data.join(KEYS), cause }),
        _ => Ok(()),
    }
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
    write().inspect_err(|_| drop(std::fs::remove_file(&temporary))).map_err(failed(&target))
}
