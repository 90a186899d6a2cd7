//! The folder of installed plugins.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use berth_plugin_sdk::Operator;
use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use super::sha256;

/// Name of the folder in the data folder.
pub(super) const NAME: &str = "plugins";
/// Where compiled components are kept, in the data folder.
pub(super) const CACHE: &str = "plugins-cache";
/// End of the name of a configuration.
pub(super) const CONFIG: &str = ".toml";
/// End of the name of a signature, behind the name of the file.
pub(super) const SIGNATURE: &str = ".minisig";
/// Largest file of a plugin.
pub(super) const FILE_MAX: u64 = 64 << 20;
/// Largest configuration or signature.
const TEXT_MAX: u64 = 64 << 10;

/// Public keys of `minisign`; when there are any, every installed plugin must be signed with one of them.
#[derive(Default)]
pub struct PluginKeys(Vec<PublicKey>);

impl std::fmt::Debug for PluginKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PluginKeys").field(&self.0.len()).finish()
    }
}

impl PluginKeys {
    /// Takes keys as `minisign` writes them, the line without its comment (`RW…`).
    ///
    /// # Errors
    /// The text that is no key.
    pub fn parse(keys: &[String]) -> Result<Self, String> {
        let key = |text: &String| PublicKey::from_base64(text.trim()).map_err(|_| text.chars().take(80).collect());
        keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }
}

/// Name of the file in the data folder that says which keys the satellite asks for.
pub(super) const KEYS: &str = "plugin-keys";

/// The keys that the satellite of this data folder asked for when it ran the last time.
///
/// # Errors
/// The file that cannot be read or has something else in it.
pub(super) fn left_keys(data: &Path) -> Result<PluginKeys, BadConfig> {
    let path = data.join(KEYS);
    let bytes = match bounded(&path, TEXT_MAX) {
        Ok(bytes) => bytes,
        Err(BadConfig::Read { cause, .. }) if cause.kind() == ErrorKind::NotFound => return Ok(PluginKeys::default()),
        Err(error) => return Err(error),
    };
    let lines: Vec<String> = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
    PluginKeys::parse(&lines).map_err(|text| BadConfig::Text { path, cause: format!("'{text}' is no public key") })
}

/// `NAME.toml`: which file it is, and what the operator grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// Name of the file, beside this one.
    pub file: String,
    /// Its SHA-256, 64 hexadecimal digits: another file is not loaded.
    pub sha256: String,
    /// What is granted; what is left out is granted as the plugin asks for it.
    #[serde(default)]
    pub grant: Operator,
    /// It serves a platform instead of making volumes, and is started beside the satellite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<IntegrationConfig>,
}

/// What the operator says of an integration plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegrationConfig {
    /// Its own configuration file, an absolute path; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
}

/// Why an installed plugin cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// A file cannot be read.
    #[error("'{}' cannot be read: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A file is larger than any plugin.
    #[error("'{}' is larger than {most} bytes", path.display())]
    Large {
        /// The file.
        path: PathBuf,
        /// How large it may be.
        most: u64,
    },
    /// The configuration is not understood.
    #[error("'{}' is not understood: {cause}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The file is not the one that was installed.
    #[error("'{}' is not the file that was installed: its SHA-256 is {is}, and {wanted} is written in the configuration", path.display())]
    Sum {
        /// The file.
        path: PathBuf,
        /// Its sum.
        is: String,
        /// The sum in the configuration.
        wanted: String,
    },
    /// A signature is required, and there is none, or none that fits.
    #[error("'{}' is not signed with a key of this satellite: {why}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl BadConfig {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::Read { .. } | Self::Large { .. } | Self::Text { .. } => {
                "Install it again with 'berth plugin install FILE', or remove it with 'berth plugin remove NAME'".to_owned()
            }
            Self::Sum { .. } => "Find out who changed the file; then install it again with 'berth plugin install FILE'".to_owned(),
            Self::Signature { path, .. } => format!(
                "Let its author sign it with 'minisign -Sm FILE', and install it again with FILE{SIGNATURE} beside FILE, or put the signature at '{}{SIGNATURE}'",
                path.display()
            ),
        }
    }
}

fn bounded(path: &Path, most: u64) -> Result<Vec<u8>, BadConfig> {
    let read = |cause| BadConfig::Read { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    // Opening anything but a file may wait for ever.
    if !std::fs::metadata(path).map_err(read)?.is_file() {
        return Err(read(std::io::Error::other("it is no file")));
    }
    let file = std::fs::File::open(path).map_err(read)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        return Err(BadConfig::Large { path: path.to_owned(), most });
    }
    Ok(bytes)
}

/// A file of a plugin, whole.
pub(super) fn whole(path: &Path) -> Result<Vec<u8>, BadConfig> {
    bounded(path, FILE_MAX)
}

/// The configuration of an installed plugin; `None`: there is none, or one that nobody understands.
pub(super) fn of(folder: &Path, name: &str) -> Option<PluginConfig> {
    config(&folder.join(format!("{name}{CONFIG}"))).ok()
}

/// Every configuration of the folder, by the name of its plugin; a folder that is not there has none.
pub(super) fn read(folder: &Path) -> BTreeMap<String, Result<PluginConfig, BadConfig>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return BTreeMap::new(),
        Err(cause) => return [(NAME.to_owned(), Err(BadConfig::Read { path: folder.to_owned(), cause }))].into(),
    };
    let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
    let stems = names.filter_map(|name| name.strip_suffix(CONFIG).map(str::to_owned)).filter(|stem| !stem.starts_with('.'));
    stems
        .map(|stem| {
            let config = config(&folder.join(format!("{stem}{CONFIG}")));
            (stem, config)
        })
        .collect()
}

fn config(path: &Path) -> Result<PluginConfig, BadConfig> {
    let bad = |cause: String| BadConfig::Text { path: path.to_owned(), cause };
    let text = String::from_utf8(bounded(path, TEXT_MAX)?).map_err(|error| bad(error.to_string()))?;
    let config: PluginConfig = toml::from_str(&text).map_err(|error| bad(error.message().to_owned()))?;
    if config.file.is_empty() || config.file.contains('/') || config.file.starts_with('.') {
        return Err(bad(format!("'{}' is not the name of a file beside it", config.file.chars().take(200).collect::<String>())));
    }
    Ok(config)
}

impl PluginConfig {
    /// The file and its bytes, if it is the one that was installed, and signed where that is required.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub(super) fn file(&self, folder: &Path, keys: &PluginKeys) -> Result<(PathBuf, Vec<u8>), BadConfig> {
        let path = folder.join(&self.file);
        let bytes = whole(&path)?;
        let is = sha256(&bytes);
        if !is.eq_ignore_ascii_case(&self.sha256) {
            return Err(BadConfig::Sum { path, is, wanted: self.sha256.chars().take(64).collect() });
        }
        signed(&path, &bytes, keys)?;
        Ok((path, bytes))
    }
}

/// Looks for the signature beside a file (`FILE.minisig`), where one is required.
fn signed(path: &Path, bytes: &[u8], keys: &PluginKeys) -> Result<(), BadConfig> {
    if keys.0.is_empty() {
        return Ok(());
    }
    let beside = PathBuf::from(format!("{}{SIGNATURE}", path.display()));
    let unsigned = |why: String| BadConfig::Signature { path: path.to_owned(), why };
    let text = bounded(&beside, TEXT_MAX).map_err(|_| unsigned(format!("there is no signature '{}'", beside.display())))?;
    let text = String::from_utf8(text).map_err(|_| unsigned("the signature is no text".into()))?;
    let signature = Signature::decode(&text).map_err(|error| unsigned(format!("the signature cannot be read: {error}")))?;
    if !keys.0.iter().any(|key| key.verify(bytes, &signature, false).is_ok()) {
        return Err(unsigned("no key fits its signature".into()));
    }
    Ok(())
}

/// SHA-256 of a file that may be opened: one that is signed, where that is required.
///
/// # Errors
/// [`BadConfig`].
pub fn admitted(path: &Path, keys: &PluginKeys) -> Result<String, BadConfig> {
    let bytes = whole(path)?;
    signed(path, &bytes, keys)?;
    Ok(sha256(&bytes))
}

/// An integration plugin that is installed: its file, and its configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledIntegration {
    /// The file, as it was installed.
    pub file: PathBuf,
    /// Its own configuration file.
    pub config: Option<PathBuf>,
}

/// The integration plugins that are installed in a data folder, by name; each of them is the file that was installed, and signed where
/// that is required, or says why not.
#[must_use]
pub fn integrations(data: &Path, keys: &PluginKeys) -> BTreeMap<String, Result<InstalledIntegration, BadConfig>> {
    let folder = data.join(NAME);
    // Configurations that nobody understands are told by whoever looks for providers.
    let all = read(&folder).into_iter().filter_map(|(name, config)| Some((name, config.ok()?)));
    all.filter_map(|(name, config)| {
        let integration = config.integration.clone()?;
        let found = config.file(&folder, keys).map(|(file, _)| InstalledIntegration { file, config: integration.config });
        Some((name, found))
    })
    .collect()
}
