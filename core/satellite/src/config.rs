//! Settings of a satellite, resolved by whoever starts it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_model::inquiry::{LogControl, RememberedLog};
use berth_model::plugin::PluginSeen;
use berth_plugin_sdk::{Fault, FaultKind};
use berth_trust::{Asked, BadCertificate, Files};
use tokio::sync::{Notify, oneshot};

/// Port that controllers expect a satellite at.
pub const DEFAULT_PORT: u16 = 3366;
/// Folder of the stable device paths.
pub const DEFAULT_DEV_DIR: &str = "/dev/berth";

/// Integration plugins that run beside the satellite. Calls may block, and come from several threads.
pub trait Integrations: std::fmt::Debug + Send + Sync {
    /// Has a plugin carry out an operation: JSON or nothing in, JSON out.
    ///
    /// # Errors
    /// The plugin's own; `Lost`: it does not run.
    fn call(&self, plugin: &str, operation: &str, input: &str) -> Result<String, Fault>;

    /// What is known of each, in a fixed order, of those that could not be started, too.
    fn seen(&self) -> Vec<PluginSeen>;
}

/// A satellite without integration plugins.
#[derive(Debug)]
pub struct NoIntegrations;

impl Integrations for NoIntegrations {
    fn call(&self, plugin: &str, _operation: &str, _input: &str) -> Result<String, Fault> {
        Err(Fault::new(FaultKind::Lost, format!("No plugin '{plugin}' runs here"))
            .cause("This satellite runs no integration plugins")
            .correction("Install one with 'berth plugin install FILE', and restart the satellite"))
    }

    fn seen(&self) -> Vec<PluginSeen> {
        Vec::new()
    }
}

/// Settings of a satellite.
#[derive(Debug)]
pub struct Config {
    /// Folder for what it keeps: identity, last plan, local socket. Made if missing, readable by the owner only.
    pub data: PathBuf,
    /// Where it listens for controllers; port 0: any free one.
    pub listen: SocketAddr,
    /// Node name that it insists on; `None`: the controller's word at first contact.
    pub name: Option<String>,
    /// Folder of the stable device paths (`by-res/<resource>/<volume>`). Each satellite of a machine needs its own.
    pub dev_dir: PathBuf,
    /// Longest wait for a tool.
    pub tool_timeout: Duration,
    /// How often everything is looked at again.
    pub scan_interval: Duration,
    /// Folders below which external files may be written, absolute paths; empty: nowhere.
    pub file_folders: Vec<String>,
    /// Where compiled components are kept, so that they are compiled once; `None`: in the data folder. Only this user may write there.
    pub plugin_cache: Option<PathBuf>,
    /// Public keys of `minisign`; when there are any, installed plugins must be signed with one of them.
    pub plugin_keys: Vec<String>,
    /// Integration plugins that run beside it.
    pub integrations: Arc<dyn Integrations>,
    /// Tells that integration plugins were started, as far as they could be. Controllers are let in a moment later, so that what they hear
    /// at first holds; `None`: there is nothing to wait for.
    pub plugins_started: Option<oneshot::Receiver<()>>,
    /// Asks for plugins to be looked for again, when integration plugins have changed.
    pub plugins_changed: Arc<Notify>,
    /// Certificates: controllers must come by TLS, with one of the same authority that is made for calling satellites; `None`: plain.
    pub tls: Option<Files>,
    /// Asks for certificates to be read again at once; else they are a little later than they change.
    pub renew: Asked,
    /// Told the address once it listens.
    pub announce: Option<oneshot::Sender<SocketAddr>>,
    /// The log of this process.
    pub log: Arc<dyn LogControl>,
}

impl Config {
    /// Settings with the usual values.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data: data.into(),
            listen,
            name: None,
            dev_dir: DEFAULT_DEV_DIR.into(),
            tool_timeout: Duration::from_secs(45),
            scan_interval: Duration::from_secs(300),
            file_folders: Vec::new(),
            plugin_cache: None,
            plugin_keys: Vec::new(),
            integrations: Arc::new(NoIntegrations),
            plugins_started: None,
            plugins_changed: Arc::default(),
            tls: None,
            renew: Asked::default(),
            announce: None,
            log: Arc::new(RememberedLog::default()),
        }
    }
}

/// What is wrong with a folder or file.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The system refuses it.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// What is in it is not what was written.
    #[error("it cannot be read: {0}")]
    Text(#[from] serde_json::Error),
}

/// What a person does about a file operation that failed on or below `path`: sentences, the first begins with a verb.
#[must_use]
pub fn remedy(path: &Path, kind: ErrorKind) -> String {
    let path = path.display();
    let what = match kind {
        ErrorKind::PermissionDenied => {
            format!("Make it readable and writable for the user that runs the satellite; `ls -ld {path}` shows its owner.")
        }
        ErrorKind::ReadOnlyFilesystem => format!("Mount its file system writable; `findmnt -T {path}` shows it."),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("Free some space on its file system; `df -h {path}` shows it."),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            "Move away what is in the way, or name another folder with --data.".to_owned()
        }
        _ => "Look at the kernel's messages on the node with `dmesg`.".to_owned(),
    };
    format!("{what} The satellite goes on by itself then.")
}

impl SatelliteError {
    /// What a person does about it: sentences, the first begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::Data { path, cause: Unusable::File(error) } => remedy(path, error.kind()),
            Self::Data { path, cause: Unusable::Text(_) } => {
                let path = path.display();
                format!(
                    "Move the file away with `mv {path} {path}.broken`; what it said is learnt anew from the controller. The satellite goes on by itself then."
                )
            }
            Self::Locked(_) => "Stop the other satellite, or name another folder with --data.".to_owned(),
            Self::Listen { .. } => "Choose an address of this machine that is free with --listen.".to_owned(),
            Self::PluginKey(_) => "Give the line of the key file that begins with RW.".to_owned(),
            Self::Providers(_) => "Report this with the machine's processor and kernel.".to_owned(),
            Self::Serve(_) => "Restart the satellite.".to_owned(),
            Self::Certificate(error) => error.correction(),
        }
    }
}

/// Why a satellite cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SatelliteError {
    /// The data folder cannot be used. It may be in a moment: controllers are told until then.
    #[error("data folder {} cannot be used: {cause}", path.display())]
    Data {
        /// The folder or a file in it.
        path: PathBuf,
        /// What is wrong with it.
        cause: Unusable,
    },
    /// Another satellite runs with this data folder.
    #[error("data folder {} is used by another satellite", .0.display())]
    Locked(PathBuf),
    /// A key of plugins is none.
    #[error("'{0}' is not a public key of minisign")]
    PluginKey(String),
    /// The provider of files cannot be run on this machine.
    #[error("{}: {}", .0.message, .0.cause)]
    Providers(Fault),
    /// Certificates cannot be used.
    #[error("{0}")]
    Certificate(#[from] BadCertificate),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Serving ended by itself.
    #[error("serving controllers failed")]
    Serve(#[source] tonic::transport::Error),
}
