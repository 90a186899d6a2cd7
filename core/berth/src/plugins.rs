//! Integration plugins of a satellite: opened, started with their storage, stopped at the end. One that fails is told and left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_client::storage::RestStorage;
use berth_client::{Endpoint, Login, Options, Tls, Trust, parse_controllers};
use berth_plugin_sdk::plugin::{Controllers, Host, Level, Running, Settings};
use berth_plugin_sdk::storage::Storage;
use berth_plugin_sdk::{Fault, FaultKind};

/// Where a controller is looked for when nobody says where it is.
const HERE: &str = "localhost";
/// All of them have so long to stop.
const STOP_WITHIN: Duration = Duration::from_millis(4500);

/// A plugin to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its library.
    pub file: PathBuf,
    /// Its configuration file.
    pub config: Option<PathBuf>,
}

/// Reads `FILE[=CONFIG],…`.
///
/// # Errors
/// A path that is not absolute, or a file that is there twice.
pub fn read(text: &str) -> anyhow::Result<Vec<Wanted>> {
    let mut all: Vec<Wanted> = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (file, config) = word.split_once('=').map_or((word, None), |(file, config)| (file, Some(config)));
        for path in std::iter::once(file).chain(config) {
            anyhow::ensure!(
                Path::new(path).is_absolute(),
                "'plugins': '{path}' is not an absolute path; write it as /usr/lib/berth/plugin.so=/etc/plugin.conf"
            );
        }
        anyhow::ensure!(!all.iter().any(|other| other.file == Path::new(file)), "'plugins': {file} is named twice");
        all.push(Wanted { file: file.into(), config: config.map(PathBuf::from) });
    }
    Ok(all)
}

/// What a satellite tells its plugins.
#[derive(Debug, Clone)]
pub struct Around {
    /// The satellite's data folder.
    pub data: PathBuf,
    /// What this node is called, as far as the satellite was told; else the name of the machine.
    pub node: Option<String>,
    /// Where the controllers are.
    pub controllers: Option<String>,
}

impl Around {
    fn host_name(&self) -> String {
        self.node.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }

    /// Folders of a plugin, made: one that a reboot empties, one that stays.
    fn folders(&self, plugin: &str) -> std::io::Result<(PathBuf, PathBuf)> {
        use std::os::unix::fs::DirBuilderExt;
        let data = self.data.join("plugins").join(plugin);
        // Satellites of one machine have each a folder of their own, by their data folder.
        let own: String = data.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let run = Path::new("/run/berth/plugins").join(own.trim_matches('-'));
        let make = |path: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(&data)?;
        // Without root there is no /run to write to.
        let run = if make(&run).is_ok() { run } else { data.join("run") };
        make(&run)?;
        Ok((run, data))
    }
}

/// The host of one plugin.
struct OfPlugin {
    name: String,
    settings: Settings,
    around: Around,
}

fn unsupported(message: &str, why: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Unsupported, message).cause(why.to_string())
}

fn path(text: &str) -> Option<PathBuf> {
    Some(text).filter(|text| !text.is_empty()).map(PathBuf::from)
}

impl OfPlugin {
    fn reach(&self, addresses: &str, options: Options) -> Result<Arc<dyn Storage>, Fault> {
        let endpoints: Vec<Endpoint> =
            parse_controllers(addresses).map_err(|error| unsupported("An address of a controller cannot be used", error))?;
        Ok(Arc::new(RestStorage::connect(endpoints, options, &self.around.host_name())?))
    }
}

impl Host for OfPlugin {
    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn storage(&self) -> Result<Arc<dyn Storage>, Fault> {
        self.reach(self.around.controllers.as_deref().unwrap_or(HERE), Options::default())
    }

    fn connect(&self, to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
        let addresses =
            if to.addresses.is_empty() { self.around.controllers.clone().unwrap_or_else(|| HERE.into()) } else { to.addresses.join(",") };
        let login = match (to.token.is_empty(), to.user.is_empty()) {
            (false, _) => Login::Bearer(to.token.clone()),
            (true, false) => Login::Basic { user: to.user.clone(), password: to.password.clone() },
            (true, true) => Login::None,
        };
        let trust = path(&to.ca).map_or(Trust::Anybody, Trust::File);
        let tls = Tls { trust, certificate: path(&to.cert), key: path(&to.key) };
        self.reach(&addresses, Options { login, tls, ..Options::default() })
    }

    fn log(&self, level: Level, line: &str) {
        let plugin = self.name.as_str();
        match level {
            Level::Error => tracing::error!(plugin, "{line}"),
            Level::Warn => tracing::warn!(plugin, "{line}"),
            Level::Info => tracing::info!(plugin, "{line}"),
            Level::Debug => tracing::debug!(plugin, "{line}"),
        }
    }
}

/// A plugin that runs, and its name.
type Named = (String, Arc<dyn Running>);

/// Plugins that run.
#[derive(Clone, Default)]
pub struct Plugins {
    running: Arc<Mutex<Vec<Named>>>,
}

impl Plugins {
    /// Starts all that can be started, one after the other; waits for them.
    pub fn start(&self, wanted: &[Wanted], around: &Around) {
        let mut names = BTreeSet::new();
        for one in wanted {
            if let Err(fault) = self.start_one(one, around, &mut names) {
                let correction = fault.correction.as_str();
                tracing::error!(file = %one.file.display(), cause = fault.cause, correction, "plugin not started: {}", fault.message);
            }
        }
    }

    fn start_one(&self, wanted: &Wanted, around: &Around, names: &mut BTreeSet<String>) -> Result<(), Fault> {
        let (library, manifest) = berth_loader::open_plugin(&wanted.file)
            .map_err(|error| Fault::new(FaultKind::Unsupported, error.to_string()).correction(error.correction()))?;
        if !names.insert(manifest.name.clone()) {
            return Err(Fault::new(FaultKind::Unsupported, format!("Plugin '{}' is there already", manifest.name))
                .correction("Name one file of it"));
        }
        let (run, data) = around.folders(&manifest.name).map_err(|error| unsupported("The plugin's folders cannot be made", error))?;
        let settings = Settings {
            config: wanted.config.as_ref().map(|config| config.display().to_string()).unwrap_or_default(),
            run_dir: run.display().to_string(),
            data_dir: data.display().to_string(),
        };
        let host = OfPlugin { name: manifest.name.clone(), settings, around: around.clone() };
        let running = library.start(Arc::new(host))?;
        tracing::info!(plugin = manifest.name, version = manifest.version, serves = manifest.serves, "plugin started");
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push((manifest.name, Arc::from(running)));
        Ok(())
    }

    /// Carries out an operation of one of them.
    ///
    /// # Errors
    /// The plugin's own; `Lost`: it does not run.
    pub fn call(&self, plugin: &str, operation: &str, input: &str) -> Result<String, Fault> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let found = running.iter().find(|(name, _)| name == plugin).map(|(_, running)| Arc::clone(running));
        let known = running.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        drop(running);
        match found {
            Some(running) => running.call(operation, input),
            None => Err(Fault::new(FaultKind::Lost, format!("No plugin '{plugin}' runs here"))
                .cause(if known.is_empty() { "none does".to_owned() } else { format!("these do: {known}") })
                .correction("Look into the satellite's log why it was not started")),
        }
    }

    /// Stops all of them at once, within their time.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let stops: Vec<_> = all.into_iter().map(|(_, running)| tokio::task::spawn_blocking(move || running.stop())).collect();
        if tokio::time::timeout(STOP_WITHIN, futures_util::future::join_all(stops)).await.is_err() {
            tracing::warn!("a plugin did not stop in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_named_with_their_configuration() {
        let all = read("/a.so, /b.so=/b.conf,").unwrap();
        let expected = [("/a.so", None), ("/b.so", Some("/b.conf"))];
        assert_eq!(all, expected.map(|(file, config)| Wanted { file: file.into(), config: config.map(PathBuf::from) }));
        assert!(read("").unwrap().is_empty());
        for (text, word) in [("a.so", "absolute"), ("/a.so=b.conf", "absolute"), ("/a.so,/a.so=/x", "twice")] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(word), "{said}");
        }
    }
}
