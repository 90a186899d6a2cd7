//! Providers and plugins as dynamic libraries: trusted code, checked before it is let in.
//!
//! A library runs in the host's process and can do whatever the host can; what is checked here keeps out mistakes, not malice: who may
//! write the file, what machine it was built for, which contract it was written for, and the layout of every type at the edge.
//! A library is opened once and stays until the process ends: what it handed out points into it.

#![deny(unsafe_code)]

mod check;
mod open;

use std::path::{Path, PathBuf};

use berth_plugin_sdk::abi::{Library, PLUGIN_SYMBOL, PROVIDER_SYMBOL, PluginLibrary, PluginModuleRef, ProviderModuleRef};
use berth_plugin_sdk::plugin::PluginManifest;
use berth_plugin_sdk::{BadManifest, Fault, Manifest};

/// Why a library was not let in.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("'{}' cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// Somebody else may write the file or its folder.
    #[error("'{}' is not safe to load: {why}", path.display())]
    Unsafe {
        /// The file or the folder.
        path: PathBuf,
        /// Who may.
        why: String,
    },
    /// It is no dynamic library, or cut off.
    #[error("'{}' is not a dynamic library: {why}", path.display())]
    NoLibrary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It was built for another machine.
    #[error("'{}' was built for {built}, and this machine is {here}", path.display())]
    Machine {
        /// The file.
        path: PathBuf,
        /// What it was built for.
        built: String,
        /// What this is.
        here: &'static str,
    },
    /// The system's loader refuses it.
    #[error("'{}' cannot be opened: {why}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It exports nothing of this kind.
    #[error("'{}' exports no {what}: the symbol '{symbol}' is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Provider or plugin.
        what: &'static str,
        /// What was looked for.
        symbol: &'static str,
    },
    /// It was written for a newer contract.
    #[error("'{}' was written for contract {written}, and this version of Berth knows contract {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Major number of the contract that it was written for.
        written: u32,
        /// The contract of this host.
        known: &'static str,
    },
    /// A type at the edge has another layout than here.
    #[error("'{}' was built with another layout of the contract: {first}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// The first line of what differs.
        first: String,
        /// All of it: several screens.
        details: String,
    },
    /// It failed when it was asked what it is.
    #[error("'{}' failed when it was asked what it is: {}", path.display(), fault.cause)]
    Describe {
        /// The file.
        path: PathBuf,
        /// What it said.
        fault: Fault,
    },
    /// What it says of itself cannot be used.
    #[error("'{}' cannot be used: {cause}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: BadManifest,
    },
}

impl LoadError {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::Read { .. } => "Check the path and the permissions".to_owned(),
            // Not advice to change the folder: it may be somebody's home.
            Self::Unsafe { .. } => {
                "Put a copy where only root may write: 'install -D -o root -g root -m 644 -t /usr/lib/berth FILE'".to_owned()
            }
            Self::NoLibrary { .. } | Self::Open { .. } => "Install the file again, from where it was built for this machine".to_owned(),
            Self::Machine { here, .. } => format!("Build it for {here}, or use the provider as a component, which runs on every machine"),
            Self::Missing { .. } => {
                "Ask its author for a file made with export_provider! or export_plugin!; `berth plugin inspect FILE` shows what a file is"
                    .to_owned()
            }
            Self::Newer { .. } => "Upgrade Berth on this node, or install a version of the plugin for its contract".to_owned(),
            Self::Layout { .. } => "Build it again with the SDK of this version of Berth".to_owned(),
            Self::Describe { .. } | Self::Manifest { .. } => "Report this to the author of the file".to_owned(),
        }
    }
}

/// Opens the provider in a library, and asks what it is.
///
/// # Errors
/// [`LoadError`]; nothing of the file was run before its owner, machine, contract and layout were found good, but for what the system's
/// loader runs (initialisers).
pub fn open_provider(path: &Path) -> Result<(Library, Manifest), LoadError> {
    let module = open::root_module::<ProviderModuleRef>(path, "provider", PROVIDER_SYMBOL)?;
    let (library, manifest) = Library::new(module).map_err(|fault| LoadError::Describe { path: path.to_owned(), fault })?;
    manifest.check().map_err(|cause| LoadError::Manifest { path: path.to_owned(), cause })?;
    Ok((library, manifest))
}

/// Opens the integration plugin in a library, and asks what it is.
///
/// # Errors
/// As [`open_provider`].
pub fn open_plugin(path: &Path) -> Result<(PluginLibrary, PluginManifest), LoadError> {
    let module = open::root_module::<PluginModuleRef>(path, "plugin", PLUGIN_SYMBOL)?;
    let (library, manifest) = PluginLibrary::new(module).map_err(|fault| LoadError::Describe { path: path.to_owned(), fault })?;
    manifest.check().map_err(|cause| LoadError::Manifest { path: path.to_owned(), cause })?;
    Ok((library, manifest))
}

/// Whether a file's first bytes are those of a dynamic library (ELF), whatever else it is.
#[must_use]
pub fn is_library(bytes: &[u8]) -> bool {
    bytes.starts_with(check::MAGIC)
}
