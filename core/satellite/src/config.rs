//! Settings of a satellite, resolved by whoever starts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

/// Port that controllers expect a satellite at.
pub const DEFAULT_PORT: u16 = 3366;
/// Folder of the stable device paths.
pub const DEFAULT_DEV_DIR: &str = "/dev/berth";

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
    /// Told the address once it listens.
    pub announce: Option<oneshot::Sender<SocketAddr>>,
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
            announce: None,
        }
    }
}

/// Why a satellite cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SatelliteError {
    /// The data folder cannot be used.
    #[error("data folder {} cannot be used: {cause}", path.display())]
    Data {
        /// The folder or a file in it.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Another satellite runs with this data folder.
    #[error("data folder {} is used by another satellite", .0.display())]
    Locked(PathBuf),
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
