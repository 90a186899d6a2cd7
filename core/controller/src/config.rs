//! What a controller is started with. Files, flags and environment are resolved by the binary before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use berth_model::inquiry::{LogControl, RememberedLog};

use crate::vault::Passphrase;

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the database; made if it is missing.
    pub data: PathBuf,
    /// Folder of the error reports, made if it is missing; `None`: they are kept in memory.
    pub reports: Option<PathBuf>,
    /// Where the REST API listens; port 0: any free one.
    pub listen: SocketAddr,
    /// The log of this process.
    pub log: Arc<dyn LogControl>,
    /// How long an answer waits for a job that shows no sign of life.
    pub patience: Duration,
    /// How long log entries are kept.
    pub log_kept: Duration,
    /// How often a satellite is asked for a sign of life.
    pub ping: Duration,
    /// Silence after which a satellite counts as lost.
    pub silence: Duration,
    /// The master passphrase, entered at each start and set at the first one; `None`: somebody enters it by hand.
    pub passphrase: Option<Passphrase>,
}

impl Config {
    /// The defaults: answers wait 30 s, log entries stay 30 days, satellites are asked every second and lost after five.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        let data = data.into();
        Self {
            reports: Some(data.join("error-reports")),
            data,
            listen,
            log: Arc::new(RememberedLog::default()),
            patience: Duration::from_secs(30),
            log_kept: Duration::from_secs(30 * 24 * 3600),
            ping: Duration::from_secs(1),
            silence: Duration::from_secs(5),
            passphrase: None,
        }
    }
}
