//! A controller from its start to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use berth_model::names::NodeName;
use berth_model::observed::Observed;
use berth_store::{SqliteStore, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::gate::Gate;
use crate::happenings::{Counters, LogTrimmed, Ready};
use crate::load::{Start, load};
use crate::outside::{Outside, World};
use crate::reports::Reports;
use crate::session::{Common, Signs, supervise};
use crate::state::{Controller, Health, Inner, View};
use crate::writer::{Hands, QUEUE, Writer};

/// Requests under way have so long to end when the controller stops.
const GRACE: Duration = Duration::from_secs(2);
/// So have the sessions, the writer and the store, each.
const LAST_STEPS: Duration = Duration::from_millis(800);
/// How often old log entries are removed.
const TRIM: Duration = Duration::from_secs(3600);

mod https;
mod listen;
pub(crate) mod tls;

pub use berth_trust::BadCertificate;
use listen::Connections;

/// Why a controller cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder cannot be made or used.
    #[error("cannot use the folder {}: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database cannot be opened, read or led.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Certificates cannot be used.
    #[error("{0}")]
    Certificate(#[from] BadCertificate),
    /// The directory that logins are checked against cannot be set up.
    #[error("the directory for logins cannot be used: {0}")]
    SignIn(String),
    /// The writer ended by itself: a defect.
    #[error("the writer ended: {0}")]
    Died(String),
}

impl ControllerError {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        use std::io::ErrorKind;
        match self {
            Self::Listen { address, source } => match source.kind() {
                ErrorKind::AddrInUse => format!("Stop the program that listens on {address}, or choose another address with --listen."),
                ErrorKind::AddrNotAvailable => format!("Choose an address of this machine with --listen instead of {}.", address.ip()),
                ErrorKind::PermissionDenied => "Choose a port above 1023 with --listen.".to_owned(),
                _ => "Choose another address with --listen.".to_owned(),
            },
            Self::Folder { folder, source } => match source.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    format!("Make {} writable for this user, or choose another folder with --data.", folder.display())
                }
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free some space on its file system.".to_owned(),
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => "Choose a folder with --data, not a file.".to_owned(),
                _ => "Choose another folder with --data.".to_owned(),
            },
            Self::Store(error) => error.correction(),
            Self::Certificate(error) => error.correction(),
            Self::SignIn(_) => "Correct the settings of LDAP.".to_owned(),
            Self::Died(_) => "Restart the controller, and report the defect with its log.".to_owned(),
        }
    }

    /// Whether starting it again ends the same way until somebody has done what [`ControllerError::correction`] says.
    #[must_use]
    pub fn needs_hands(&self) -> bool {
        match self {
            Self::Store(error) => error.needs_hands(),
            // An address may be given up or come up, and a folder be mounted.
            Self::Listen { .. } | Self::Folder { .. } | Self::Died(_) => false,
            Self::Certificate(_) | Self::SignIn(_) => true,
        }
    }
}

/// Runs a controller until `stop`, or until it cannot go on. `ready` is called once, when requests are answered, with the address.
///
/// After `stop` it ends within five seconds: answers that still wait say so and name their job.
///
/// # Errors
/// [`ControllerError`], each with a correction.
pub async fn serve(config: Config, stop: CancellationToken, ready: impl FnOnce(SocketAddr, &Controller)) -> Result<(), ControllerError> {
    let begun = Instant::now();
    // The cheapest check first: a port in use must not move the lead to a controller that cannot answer.
    let listen_error = |source| ControllerError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let https = match &config.https {
        Some(files) => Some(https::bind(config.https_listen, files).await?),
        None => None,
    };
    std::fs::create_dir_all(&config.data).map_err(|source| ControllerError::Folder { folder: config.data.clone(), source })?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data).await?);
    let result = with_store(&config, Arc::clone(&store), (listener, https), address, stop, ready, begun).await;
    let closed = in_time("store", LAST_STEPS, store.close()).await;
    result?;
    closed.unwrap_or(Ok(())).map_err(ControllerError::Store)
}

async fn with_store(
    config: &Config,
    store: Arc<dyn Store>,
    (listener, https): (TcpListener, Option<https::Ready>),
    address: SocketAddr,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr, &Controller),
    begun: Instant,
) -> Result<(), ControllerError> {
    let outside = match &config.satellites {
        Some(files) => Outside::with_certificates(files)?,
        None => Outside::real(),
    };
    let Running { controller, records, mut tasks } = start(config, store, outside, stop.clone()).await?;
    Ready { listen: address, serial: controller.view().cluster.serial, records, after: begun.elapsed() }.emit(controller.counters());
    ready(address, &controller);
    let mut server = std::pin::pin!(rest(config, controller, listener, https, stop.clone()));
    let ended = tokio::select! {
        ended = &mut server => ended,
        died = &mut tasks.writer => {
            stop.cancel();
            let why = died.err().map_or_else(|| "without a reason".to_owned(), |error| error.to_string());
            return Err(ControllerError::Died(why));
        }
        () = stop.cancelled() => in_time("requests", GRACE, server).await.unwrap_or(Ok(())),
    };
    stop.cancel();
    tasks.end().await;
    ended
}

/// The REST API on its sockets, until `stop` and until the last request has its answer.
async fn rest(
    config: &Config,
    controller: Controller,
    listener: TcpListener,
    https: Option<https::Ready>,
    stop: CancellationToken,
) -> Result<(), ControllerError> {
    let router = tower::util::MapRequest::new(crate::http::router(controller.clone()), crate::http::normal_path);
    let connections = Connections::new(config.limits.clone());
    // Before the first plain request, which is to be sent there.
    if let Some(ready) = &https {
        controller.gate().set_https_port(ready.port());
    }
    let secure = https::Secure { config, controller, connections: Arc::clone(&connections), service: router.clone(), stop: stop.clone() };
    // The same where the property asks for HTTPS.
    let own = secure.asked_for().await;
    let plain = listen::listen(listener, None, Arc::clone(&connections), router, stop);
    tokio::join!(plain, secure.run(https, own));
    connections.ended().await;
    Ok(())
}

/// A controller without its REST API.
#[derive(Debug)]
pub struct Running {
    /// The door to it.
    pub controller: Controller,
    /// Records that it started with.
    pub records: usize,
    tasks: Tasks,
}

impl Running {
    /// Ends it in order; the token that it was started with must be cancelled already.
    pub async fn end(self) {
        self.tasks.end().await;
    }
}

/// The tasks of a controller.
#[derive(Debug)]
struct Tasks {
    sessions: JoinHandle<()>,
    writer: JoinHandle<()>,
    trimmer: JoinHandle<()>,
    quit: CancellationToken,
}

impl Tasks {
    /// Ends all. The sessions first, so that the writer does what they said last; `stop` must be cancelled already.
    async fn end(self) {
        self.trimmer.abort();
        in_time("sessions", LAST_STEPS, self.sessions).await;
        self.quit.cancel();
        in_time("writer", LAST_STEPS, self.writer).await;
    }
}

/// Loads the cluster, takes the lead and starts all tasks on the present runtime: a controller as it runs, bar the REST API.
///
/// # Errors
/// [`ControllerError::Store`] if the store cannot be read or led, [`ControllerError::Folder`] for the folder of the error reports.
pub async fn start(config: &Config, store: Arc<dyn Store>, outside: Outside, stop: CancellationToken) -> Result<Running, ControllerError> {
    let Core { controller, records, writer, quit, woken } =
        core(config, Arc::clone(&store), Arc::clone(&outside.world), stop.clone()).await?;
    let world = Arc::clone(&outside.world);
    let common = Arc::new(Common {
        view: controller.follow(),
        queue: controller.queue(),
        numbers: AtomicU64::new(0),
        counters: controller.shared_counters(),
        signs: controller.shared_signs(),
        lines: controller.shared_lines(),
        whole: Semaphore::new(1),
        leader: uuid::Uuid::from_bytes(outside.world.chance()).to_string(),
        ping: config.ping,
        silence: config.silence,
        outside,
    });
    let sessions = tokio::spawn(supervise(common, woken, stop.child_token()));
    let trimmer = tokio::spawn(trim(store, controller.shared_counters(), world, config.log_kept));
    Ok(Running { controller, records, tasks: Tasks { sessions, writer, trimmer, quit } })
}

/// A controller without sessions: the state, and the door to change it.
pub(crate) struct Core {
    pub controller: Controller,
    pub records: usize,
    pub writer: JoinHandle<()>,
    pub quit: CancellationToken,
    /// Nodes to connect anew.
    pub woken: mpsc::Receiver<NodeName>,
}

/// Loads the cluster and starts the writer.
pub(crate) async fn core(
    config: &Config,
    store: Arc<dyn Store>,
    world: Arc<dyn World>,
    stop: CancellationToken,
) -> Result<Core, ControllerError> {
    crate::panics::watch();
    let reports = match &config.reports {
        Some(folder) => Reports::open(folder).map_err(|source| ControllerError::Folder { folder: folder.clone(), source })?,
        None => Reports::in_memory(),
    };
    let (reports, counters) = (Arc::new(reports), Arc::new(Counters::default()));
    let Start { cluster, records, warnings } = load(store.as_ref(), &reports, &counters, world.as_ref()).await?;
    let cluster = Arc::new(cluster);

    let (queue, messages) = mpsc::channel(QUEUE);
    let (wakes, woken) = mpsc::channel(64);
    let (publish, view) = watch::channel(View { cluster: Arc::clone(&cluster), observed: Arc::new(Observed::default()) });
    let (tell_health, health) = watch::channel(Health::default());
    let (feed, signs) = (Arc::new(crate::http::Feed::new()), Arc::<Signs>::default());
    let vault = Arc::new(crate::vault::Vault::new());
    let hands = Hands {
        vault: Arc::clone(&vault),
        feed: Arc::clone(&feed),
        store: Arc::clone(&store),
        reports: Arc::clone(&reports),
        counters: Arc::clone(&counters),
        view: publish,
        health: tell_health,
        wakes,
        world: Arc::clone(&world),
    };
    let quit = CancellationToken::new();
    let writer = tokio::spawn(Writer::new(hands, cluster, warnings).run(messages, quit.clone()));
    tokio::spawn(crate::http::pump(Arc::clone(&feed), Arc::clone(&signs), Arc::clone(&counters), stop.clone()));
    let controller = Controller::new(Inner {
        view,
        queue,
        health,
        reports,
        counters,
        store,
        stop,
        patience: config.patience,
        started: world.now(),
        world,
        signs,
        feed,
        lines: Arc::default(),
        data: config.data.clone(),
        listen: config.listen,
        log: config.log.clone(),
        lists: crate::http::Lists::new(),
        bodies: crate::http::Bodies::new(),
        vault,
        gate: Gate::new(config.sign_in.clone()).map_err(ControllerError::SignIn)?,
        https: (config.https_listen, config.https.is_some()),
        body_within: config.limits.body,
    });
    if let Some(passphrase) = &config.passphrase
        && let Some(why) = crate::vault::enter_configured(&controller, passphrase).await
    {
        tracing::warn!(why, "master key stays locked");
    }
    Ok(Core { controller, records, writer, quit, woken })
}

/// Removes log entries that are older than `kept`, at the start and every hour. A failure is tried again then.
async fn trim(store: Arc<dyn Store>, counters: Arc<Counters>, world: Arc<dyn World>, kept: Duration) {
    let mut hourly = tokio::time::interval(TRIM);
    loop {
        hourly.tick().await;
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        match store.trim_log(world.now().0.saturating_sub(kept_ms)).await {
            Ok(entries) => LogTrimmed { entries }.emit(&counters),
            Err(error) => tracing::warn!(cause = %error, "log not trimmed"),
        }
    }
}

/// Waits for `work`, but not longer than `limit`: the end of a process must not hang.
async fn in_time<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => Some(value),
        Err(_) => {
            tracing::warn!(what, limit_ms = limit.as_millis(), "not ended in time");
            None
        }
    }
}

#[cfg(test)]
mod tests;
