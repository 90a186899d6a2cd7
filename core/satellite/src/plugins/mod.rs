//! The providers of a satellite: the one that is part of it, and what operators installed.
//!
//! Everything that makes volumes comes in through here, in a sandbox (components) or as trusted code (libraries). An installed plugin is
//! two files in `DATA/plugins`: a configuration, `NAME.toml`, and the file that it names. The configuration is renamed into its place, so
//! that an installation is there whole or not at all.

mod check;
mod choose;
mod folder;
mod guard;
mod install;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use berth_model::layers::ProviderKind;
use berth_model::plugin::{PluginFault, PluginForm, PluginProperty, PluginRule, PluginSeen};
use berth_plugin_sdk::{Fault, Grants, Limits, Manifest, Operator, Provider, Rule, grant};
use berth_sandbox::{LoadError, Sandbox};
use sha2::{Digest, Sha256};

pub use check::{CheckError, CheckPlan, check};
pub use choose::choose;
pub use folder::{BadConfig, InstalledIntegration, IntegrationConfig, PluginConfig, PluginKeys, admitted, integrations};
pub(crate) use install::leave_keys;
pub use install::{InstallError, Installed, Proposed, Wish, install, propose, remove};

/// The provider of `FILE` and `FILE_THIN`: a component like any other, so that the satellite's own file is enough to run everything.
/// `cargo xtask provider file` makes it of `providers/file`.
const EMBEDDED: &[u8] = include_bytes!("../../providers/file.wasm");
/// Its name.
const OWN: &str = "file";

/// A provider that can be called, and what it may do.
pub struct Loaded {
    manifest: Manifest,
    grants: Arc<Grants>,
    provider: guard::Guarded<dyn Provider>,
    form: PluginForm,
    file: String,
    sha256: String,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("name", &self.manifest.name).field("form", &self.form).finish_non_exhaustive()
    }
}

impl Loaded {
    /// A provider that is linked in and may do what it asks for: for simulated machines and tests.
    #[must_use]
    pub fn linked(provider: impl Provider) -> Arc<Self> {
        let manifest = provider.manifest();
        let grants = grant(&manifest, &Operator::default());
        Arc::new(Self::new(manifest, grants, Box::new(provider), PluginForm::Embedded, (String::new(), String::new())))
    }

    /// A provider behind its guard; `file`: where it lies, and its sum.
    fn new(manifest: Manifest, grants: Grants, provider: Box<dyn Provider>, form: PluginForm, (file, sha256): (String, String)) -> Self {
        let grants = Arc::new(grants);
        Self { provider: guard::Guarded::new(provider, Arc::clone(&grants)), manifest, grants, form, file, sha256 }
    }

    /// What it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it may do.
    #[must_use]
    pub fn grants(&self) -> &Arc<Grants> {
        &self.grants
    }

    /// Its calls.
    #[must_use]
    pub fn calls(&self) -> &dyn Provider {
        &self.provider
    }

    /// What it is, for whoever looks at the cluster.
    #[must_use]
    pub fn seen(&self) -> PluginSeen {
        let Limits { memory_mib, seconds, output_kib: _ } = self.grants.limits;
        let asked = self.manifest.commands.iter();
        let granted =
            asked.filter(|text| self.grants.commands.iter().any(|pattern| text.split_ascii_whitespace().next() == Some(pattern.program())));
        PluginSeen {
            version: self.manifest.version.clone(),
            contract: self.manifest.contract.clone(),
            form: Some(self.form),
            kinds: self.manifest.kinds.clone(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            commands: granted.cloned().collect(),
            withheld: self.grants.withheld.clone(),
            files: self.grants.files,
            devices: self.grants.devices.clone(),
            paths: self.grants.paths.clone(),
            memory_mib,
            seconds,
            props: self.manifest.props.iter().map(property).collect(),
            ..PluginSeen::unknown(&self.manifest.name)
        }
    }
}

fn property(of: &berth_plugin_sdk::Property) -> PluginProperty {
    let rule = match &of.rule {
        Rule::Text(most) => PluginRule::Text(*most),
        Rule::Number(least, most) => PluginRule::Number(*least, *most),
        Rule::OneOf(words) => PluginRule::OneOf(words.clone()),
        Rule::Flag => PluginRule::Flag,
    };
    PluginProperty { key: of.key.clone(), help: of.help.clone(), rule }
}

/// Why a file is no plugin that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A component was not let in.
    #[error("{0}")]
    Component(#[from] LoadError),
    /// A library was not let in.
    #[error("{0}")]
    Library(#[from] berth_loader::LoadError),
    /// It is neither.
    #[error("it is neither a WebAssembly component nor a dynamic library")]
    Neither,
}

impl PluginError {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::Component(error) => error.correction(),
            Self::Library(error) => error.correction(),
            Self::Neither => "Ask its author for a file made with export_provider!".to_owned(),
        }
    }
}

/// SHA-256 of a file's bytes, 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Loads a provider from a file whose bytes are `bytes`; a library is opened at `path`.
///
/// # Errors
/// [`PluginError`].
pub fn load(sandbox: &Sandbox, path: &Path, bytes: &[u8], operator: &Operator) -> Result<Loaded, PluginError> {
    let file = path.display().to_string();
    if berth_loader::is_library(bytes) {
        let (library, manifest) = berth_loader::open_provider(path)?;
        let grants = grant(&manifest, operator);
        return Ok(Loaded::new(manifest, grants, Box::new(library), PluginForm::Library, (file, sha256(bytes))));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(PluginError::Neither);
    }
    component(sandbox, bytes, operator, PluginForm::Component, file).map_err(Into::into)
}

/// What the satellite's own provider says of itself.
fn own_manifest(sandbox: &Sandbox) -> Result<Manifest, LoadError> {
    Ok(sandbox.load(EMBEDDED)?.manifest().clone())
}

fn component(sandbox: &Sandbox, bytes: &[u8], operator: &Operator, form: PluginForm, file: String) -> Result<Loaded, LoadError> {
    let component = sandbox.load(bytes)?;
    let manifest = component.manifest().clone();
    let grants = grant(&manifest, operator);
    let provider = Box::new(component.limited(grants.limits));
    Ok(Loaded::new(manifest, grants, provider, form, (file, sha256(bytes))))
}

/// Whether a provider may have its name beside the satellite's own one: another name, or one that serves all that it serves.
fn may_be_called(own: &Manifest, manifest: &Manifest) -> bool {
    own.name != manifest.name || own.kinds.iter().all(|kind| manifest.kinds.contains(kind))
}

/// Why a provider may not have the name of the satellite's own one, and what to do.
fn taken_name(own: &Manifest) -> (String, String) {
    let message =
        format!("'{}' is the name of the satellite's own provider, and this one does not serve {}", own.name, own.kinds.join(", "));
    (message, "Ask its author to give it a name of its own".to_owned())
}

/// What was found, good and bad.
#[derive(Debug, Default)]
struct Table {
    loaded: Vec<Arc<Loaded>>,
    refused: Vec<PluginSeen>,
}

/// The providers of a satellite.
#[derive(Debug)]
pub struct Plugins {
    sandbox: Sandbox,
    folder: PathBuf,
    /// Whether the cache is in the data folder, and so nobody else's.
    own_cache: bool,
    keys: PluginKeys,
    /// Used where nothing of its name is installed.
    embedded: Arc<Loaded>,
    table: RwLock<Arc<Table>>,
}

impl Plugins {
    /// Finds the providers: the embedded one, and those in the folder `DATA/plugins`. Compiled components are kept in
    /// `cache`, which others may share, or in a folder of the data folder, where those of plugins that are gone are removed. What cannot be used is told, and hinders nobody.
    ///
    /// # Errors
    /// [`Fault`] `Bug`: components cannot be run at all on this machine, or the embedded one cannot.
    pub fn find(data: &Path, cache: Option<PathBuf>, keys: PluginKeys) -> Result<Self, Fault> {
        let broken = |what: &str, why: String| Fault::new(berth_plugin_sdk::FaultKind::Bug, what).cause(why);
        let own_cache = cache.is_none();
        let cache = cache.unwrap_or_else(|| data.join(folder::CACHE));
        let sandbox = Sandbox::new(Some(cache))
            .or_else(|error| {
                tracing::warn!(%error, "compiled components are not kept; the next start compiles them again");
                Sandbox::new(None)
            })
            .map_err(|error| broken("Components cannot be run on this machine", error.to_string()))?;
        let embedded = component(&sandbox, EMBEDDED, &Operator::default(), PluginForm::Embedded, String::new())
            .map_err(|error| broken("The provider of files that is part of the satellite cannot be run", error.to_string()))?;
        let plugins =
            Self { sandbox, folder: data.join(folder::NAME), own_cache, keys, embedded: Arc::new(embedded), table: RwLock::default() };
        plugins.look_again();
        Ok(plugins)
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Looks at the folder again: takes what is new, drops what is gone, and keeps what is as it was. Says whether anything changed.
    ///
    /// A component that was replaced is used from the next call on; calls that run end with the old one. A library that was opened stays
    /// until the process ends.
    pub fn look_again(&self) -> bool {
        let before = self.table();
        let mut table = Table::default();
        let kept = |seen: &dyn Fn(&Loaded) -> bool| before.loaded.iter().find(|loaded| seen(loaded)).cloned();
        table.loaded.push(Arc::clone(&self.embedded));
        for (name, found) in folder::read(&self.folder) {
            // Those run beside the satellite, and whoever runs them tells of them.
            if found.as_ref().is_ok_and(|config| config.integration.is_some()) {
                continue;
            }
            let judged = found.map_err(|error| (error.to_string(), error.correction())).and_then(|config| {
                let (path, bytes) = config.file(&self.folder, &self.keys).map_err(|error| (error.to_string(), error.correction()))?;
                let (file, sum) = (path.display().to_string(), sha256(&bytes));
                if let Some(same) = kept(&|loaded| loaded.file == file && loaded.sha256 == sum)
                    && *same.grants == grant(&same.manifest, &config.grant)
                {
                    return Ok(same);
                }
                let opened = kept(&|loaded| loaded.form == PluginForm::Library && loaded.manifest.name == name);
                if let Some(opened) = opened.filter(|_| berth_loader::is_library(&bytes)) {
                    tracing::warn!(plugin = %name, "a library that runs is replaced when the satellite is restarted");
                    return Ok(opened);
                }
                load(&self.sandbox, &path, &bytes, &config.grant).map(Arc::new).map_err(|error| (error.to_string(), error.correction()))
            });
            let taken = |loaded: &Loaded| {
                table.loaded.iter().any(|other| other.form != PluginForm::Embedded && other.manifest.name == loaded.manifest.name)
            };
            match judged {
                Ok(loaded) if loaded.manifest.name != name || taken(&loaded) => {
                    let message = format!("the file calls itself '{}', and is installed as '{name}'", loaded.manifest.name);
                    let correction = "Install it under its own name: 'berth plugin install FILE'".to_owned();
                    table.refused.push(PluginSeen { fault: Some(PluginFault { message, correction }), ..loaded.seen() });
                }
                Ok(loaded) if !self.may_replace(&loaded.manifest) => {
                    let (message, correction) = taken_name(&self.embedded.manifest);
                    tracing::error!(plugin = %name, %message, %correction, "a plugin cannot be used");
                    table.refused.push(PluginSeen { fault: Some(PluginFault { message, correction }), ..loaded.seen() });
                }
                Ok(loaded) => {
                    table.loaded.retain(|other| other.manifest.name != loaded.manifest.name);
                    table.loaded.push(loaded);
                }
                Err((message, correction)) => {
                    tracing::error!(plugin = %name, %message, %correction, "a plugin cannot be used");
                    table.refused.push(PluginSeen { fault: Some(PluginFault { message, correction }), ..PluginSeen::unknown(&name) });
                }
            }
        }
        let seen = |table: &Table| -> Vec<PluginSeen> { Self::all(table) };
        let changed = seen(&before) != seen(&table);
        for loaded in table.loaded.iter().filter(|loaded| !before.loaded.iter().any(|other| Arc::ptr_eq(other, loaded))) {
            let (name, version) = (&loaded.manifest.name, &loaded.manifest.version);
            tracing::info!(plugin = %name, %version, form = %loaded.form, file = %loaded.file, sha256 = %loaded.sha256, "provider loaded");
        }
        if self.own_cache && (changed || before.loaded.is_empty()) {
            let used = |sum: &str| sum == self.embedded.sha256 || table.loaded.iter().any(|loaded| loaded.sha256 == sum);
            let gone = self.sandbox.forget_but(used);
            if gone > 0 {
                tracing::info!(gone, "compiled code of plugins that are here no more was removed");
            }
        }
        self.publish(table);
        changed
    }

    /// Whether a provider leaves nothing unserved that the satellite's own one serves, if it takes its name.
    fn may_replace(&self, manifest: &Manifest) -> bool {
        may_be_called(&self.embedded.manifest, manifest)
    }

    fn all(table: &Table) -> Vec<PluginSeen> {
        let mut all: Vec<PluginSeen> = table.loaded.iter().map(|loaded| loaded.seen()).chain(table.refused.iter().cloned()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.fault.is_some().cmp(&b.fault.is_some())));
        all
    }

    /// Every plugin that was found, by name.
    #[must_use]
    pub fn seen(&self) -> Vec<PluginSeen> {
        Self::all(&self.table())
    }

    /// Kinds of pools that can be served.
    #[must_use]
    pub fn kinds(&self) -> Vec<ProviderKind> {
        let table = self.table();
        let serves = |kind: &&ProviderKind| table.loaded.iter().any(|loaded| loaded.manifest.kinds.iter().any(|word| word == kind.word()));
        ProviderKind::ALL.iter().filter(serves).copied().collect()
    }

    /// The provider of a pool of this kind; `named`: its property `StorDriver/Provider`.
    ///
    /// # Errors
    /// `Unsupported`: there is none, or more than one that could be meant.
    pub fn provider(&self, kind: ProviderKind, named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
        choose(&self.table().loaded, kind.word(), named)
    }
}

#[cfg(test)]
mod tests;
