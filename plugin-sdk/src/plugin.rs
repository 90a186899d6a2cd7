//! Integration plugins: they serve a platform's protocol, with the host's [`Storage`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::storage::Storage;
use crate::{BadManifest, Fault, FaultKind};

/// What the author of a plugin implements, beside `Default`. It is made anew for each call here; what lives is what [`Plugin::start`] answers.
pub trait Plugin {
    /// What it is. Must be the same at each call.
    fn manifest(&self) -> PluginManifest;

    /// Begins to serve and answers what is running, within 10 s. What it needs it takes from the host, and keeps as long as it runs.
    ///
    /// # Errors
    /// Why it cannot begin; the host logs it and goes on without the plugin. Nothing may be left running then.
    fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault>;
}

/// A plugin that was started.
pub trait Running: Send + Sync {
    /// Carries out one of the operations of its manifest: JSON in and out, for `berth call PLUGIN OPERATION`.
    ///
    /// # Errors
    /// Its own; `Unsupported`: it has no such operation ([`no_operation`]).
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault>;

    /// Ends within 5 s: takes no more requests, ends its threads, gives up its sockets. What users have in use stays. Calling it again does nothing.
    fn stop(&self);
}

/// What a plugin is handed.
pub trait Host: Send + Sync {
    /// How it was configured.
    fn settings(&self) -> Settings;

    /// The storage of the cluster, as the host reaches it.
    ///
    /// # Errors
    /// `Unsupported`: the host was not told where the controllers are, or certificates cannot be used.
    fn storage(&self) -> Result<Arc<dyn Storage>, Fault>;

    /// The same, for a platform whose own configuration says where the controllers are and who asks. Nothing is sent yet.
    ///
    /// # Errors
    /// `Unsupported`: an address or a certificate that cannot be used.
    fn connect(&self, to: &Controllers) -> Result<Arc<dyn Storage>, Fault>;

    /// Writes a line to the host's log, under the plugin's name.
    fn log(&self, level: Level, line: &str);
}

/// What a plugin is and serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginManifest {
    /// Name, by which operators call it: 1 to 32 lower-case letters, digits and `-`, the first a letter.
    pub name: String,
    /// Version of the plugin, for people; at most 64 characters.
    pub version: String,
    /// The contract that it was written for; [`CONTRACT`](crate::CONTRACT) of its SDK.
    pub contract: String,
    /// What it serves, one sentence for operators.
    pub serves: String,
    /// Operations of [`Running::call`], each with a sentence.
    #[serde(default)]
    pub operations: Vec<(String, String)>,
}

impl PluginManifest {
    /// A manifest without operations, with the contract of this SDK.
    #[must_use]
    pub fn new(name: &str, version: &str, serves: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            contract: crate::CONTRACT.to_owned(),
            serves: serves.to_owned(),
            operations: Vec::new(),
        }
    }

    /// Looks whether the manifest can be used.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadManifest> {
        let as_provider = crate::Manifest::new(&self.name, &self.version, &["PLUGIN"]);
        crate::Manifest { contract: self.contract.clone(), ..as_provider }.check()?;
        if self.operations.len() > 64 {
            return Err(BadManifest::TooMuch { what: "operations", most: 64 });
        }
        Ok(())
    }
}

/// How a plugin was configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Its configuration file, an absolute path; empty: none was named.
    pub config: String,
    /// A folder of its own that is empty after a reboot (below `/run`), an absolute path. It exists.
    pub run_dir: String,
    /// A folder of its own that stays, an absolute path. It exists.
    pub data_dir: String,
}

/// Where controllers are and who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Controllers {
    /// Addresses in the order in which they are tried: `HOST`, `HOST:PORT`, `linstor://…`, `linstor+ssl://…`; empty: this host.
    pub addresses: Vec<String>,
    /// Account name; empty: nobody in particular.
    pub user: String,
    /// Its password.
    pub password: String,
    /// A token, instead of name and password; empty: none.
    pub token: String,
    /// File of the own certificate (PEM); empty: none.
    pub cert: String,
    /// File of its key (PEM).
    pub key: String,
    /// File of the authorities that are trusted (PEM); empty: whoever answers is taken, as LINSTOR's plugins do.
    pub ca: String,
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something needs attention.
    Warn,
    /// Worth knowing.
    Info,
    /// For whoever looks for a defect.
    Debug,
}

/// The fault for an operation that a plugin does not have.
#[must_use]
pub fn no_operation(plugin: &PluginManifest, operation: &str) -> Fault {
    let known: Vec<&str> = plugin.operations.iter().map(|(name, _)| name.as_str()).collect();
    let has = if known.is_empty() { "It has none".to_owned() } else { format!("It has {}", known.join(", ")) };
    Fault::new(FaultKind::Unsupported, format!("Plugin '{}' has no operation '{operation}'", plugin.name)).cause(has)
}
