//! What a daemon hands to an integration plugin: its settings, storage, the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_client::storage::RestStorage;
use berth_client::{Endpoint, Login, Options, Tls, Trust, parse_controllers};
use berth_plugin_sdk::plugin::{Controllers, Host, Level, Settings};
use berth_plugin_sdk::storage::Storage;
use berth_plugin_sdk::{Fault, FaultKind};

/// Where a controller is looked for when nobody says where it is.
const HERE: &str = "localhost";

/// How plugins of a daemon come to the storage of the cluster, by the plugin's name.
pub type Inside = dyn Fn(&str) -> Arc<dyn Storage> + Send + Sync;

/// What a daemon tells its plugins.
#[derive(Clone)]
pub struct Around {
    /// The daemon's data folder.
    pub data: PathBuf,
    /// What this node is called, as far as the daemon was told; else the name of the machine.
    pub node: Option<String>,
    /// Where the controllers are.
    pub controllers: Option<String>,
    /// The storage of the controller that this process is; `None`: it is none, and plugins go to controllers over the network.
    pub inside: Option<Arc<Inside>>,
}

/// The name of this machine.
pub fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Around {
    fn host_name(&self) -> String {
        self.node.clone().unwrap_or_else(machine_name)
    }

    /// Folders of a plugin, made: one that a reboot empties, one that stays.
    fn folders(&self, plugin: &str) -> std::io::Result<(PathBuf, PathBuf)> {
        use std::os::unix::fs::DirBuilderExt;
        let make = |path: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        let data = self.data.join("plugins").join(plugin);
        make(&data)?;
        let data = data.canonicalize()?;
        // Daemons of one machine have each a folder of their own, by their data folder.
        let own = data.to_string_lossy().trim_matches('/').replace('%', "%25").replace('/', "%2F");
        let run = Path::new("/run/berth/plugins").join(own);
        // Without root there is no /run to write to.
        let run = if make(&run).is_ok() { run } else { data.join("run") };
        make(&run)?;
        Ok((run, data))
    }
}

/// The host of one plugin.
pub struct OfPlugin {
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
    /// The host of the plugin `name`, with its configuration file.
    ///
    /// # Errors
    /// `Unsupported`: its folders cannot be made.
    pub fn new(name: &str, config: Option<&Path>, around: &Around) -> Result<Self, Fault> {
        let (run, data) = around.folders(name).map_err(|error| unsupported("The plugin's folders cannot be made", error))?;
        let settings = Settings {
            config: config.map(|config| config.display().to_string()).unwrap_or_default(),
            run_dir: run.display().to_string(),
            data_dir: data.display().to_string(),
        };
        Ok(Self { name: name.to_owned(), settings, around: around.clone() })
    }

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
        match &self.around.inside {
            Some(inside) => Ok(inside(&self.name)),
            None => self.reach(self.around.controllers.as_deref().unwrap_or(HERE), Options::default()),
        }
    }

    fn connect(&self, to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
        // Whoever names nobody means the controller that he runs in.
        if let (Some(inside), true) = (&self.around.inside, to.addresses.is_empty()) {
            return Ok(inside(&self.name));
        }
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
