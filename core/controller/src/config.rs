//! What a controller is started with. Files, flags and environment are resolved by the binary before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use berth_model::access::Role;
use berth_model::inquiry::{LogControl, RememberedLog};
use berth_trust::{Asked, Files};

use crate::vault::Passphrase;

/// Port of the REST API over TLS.
pub const HTTPS_PORT: u16 = 3371;

/// Who is let in. The default asks nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignIn {
    /// A directory that names and passwords are checked against.
    pub ldap: Option<Ldap>,
    /// Clients that their certificate alone signs in: its common name, and the role.
    pub clients: BTreeMap<String, Role>,
    /// Tokens are asked for by nobody, whatever the cluster's property says: the way back in for whoever lost the last one.
    pub ignore_tokens: bool,
}

/// A directory (LDAP). The members are those of LINSTOR's section of this name, and which roles come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ldap {
    /// `ldap://host[:389]` or `ldaps://host[:636]`.
    pub uri: String,
    /// The name to bind with; `{user}` becomes the login name.
    pub dn: String,
    /// Where `search_filter` and the filters of roles are looked up.
    pub search_base: String,
    /// Who may log in; `{user}` becomes the login name. Empty: whoever can bind.
    pub search_filter: String,
    /// Role of whoever logs in and fits no filter below.
    pub role: Role,
    /// Who is an operator; empty: nobody by this.
    pub operator_filter: String,
    /// Who is an administrator; empty: nobody by this.
    pub admin_filter: String,
    /// What somebody without a login may do; `None`: ask for the version.
    pub public: Option<Role>,
    /// Encrypt `ldap://` connections by STARTTLS.
    pub starttls: bool,
    /// Authorities of the directory's certificate; `None`: those of the machine.
    pub ca: Option<PathBuf>,
}

/// Bounds of the listening sockets: what is over them is dropped, and others are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections without a request under way, at most: the one that has waited longest makes room.
    pub waiting: usize,
    /// Connections in all, at most: others wait in the system's queue.
    pub connections: usize,
    /// How long a connection may take for TLS and the head of its first request, and for the head of each later one.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
}

impl Default for Limits {
    /// 4,096 that wait, 16,384 in all, 30 s for a head, 60 s for a body.
    fn default() -> Self {
        Self { waiting: 4096, connections: 16_384, head: Duration::from_secs(30), body: Duration::from_secs(60) }
    }
}

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
    /// Where the REST API listens for HTTPS, if it does: because certificates are given, or because the property `REST/AutoHTTPS` says so.
    pub https_listen: SocketAddr,
    /// Certificates of HTTPS; `None`: no HTTPS, unless the property asks for it. Where authorities are given, only a client with a certificate
    /// of theirs gets in.
    pub https: Option<Files>,
    /// Who is let in, beside the tokens that the cluster keeps.
    pub sign_in: SignIn,
    /// Certificates to call satellites with that are reached by TLS; `None`: none of them can be.
    pub satellites: Option<Files>,
    /// Asks for certificates to be read again at once; else they are a little later than they change.
    pub renew: Asked,
    /// What one client may take of the listening sockets.
    pub limits: Limits,
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
            https_listen: SocketAddr::new(listen.ip(), if listen.port() == 0 { 0 } else { HTTPS_PORT }),
            https: None,
            sign_in: SignIn::default(),
            satellites: None,
            renew: Asked::default(),
            limits: Limits::default(),
            patience: Duration::from_secs(30),
            log_kept: Duration::from_secs(30 * 24 * 3600),
            ping: Duration::from_secs(1),
            silence: Duration::from_secs(5),
            passphrase: None,
        }
    }
}
