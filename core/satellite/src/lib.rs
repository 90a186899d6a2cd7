//! A satellite: makes a machine match the plan that a controller sends, and serves what is there without one.
//!
//! It may touch processes, `/dev`, the folders of its pools, its data folder and one listening socket. What is to be done is decided by
//! `berth_engine::reconcile`; here it is looked, asked, done and looked again. It touches no object that does not carry its cluster's mark and the
//! generation that the plan names.
//!
//! [`serve`] is the daemon: this machine, its data folder, gRPC. [`Satellite`] is the same code on any [`Site`], any memory ([`keep`]) and
//! any pair of streams: the simulated satellites of [`serve_simulated`] and of simulations run on it.

#![forbid(unsafe_code)]

mod about;
mod bench;
mod capabilities;
mod config;
mod core;
mod crew;
mod devices;
mod files;
mod folders;
mod hands;
mod holders;
pub mod keep;
mod knocking;
mod lines;
mod links;
pub mod local;
mod loops;
mod machine;
mod orders;
pub mod plugins;
mod satellite;
mod session;
mod sim;
mod site;
mod usage;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_plugin_sdk::{Fault, FaultKind};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use crate::config::{Config, DEFAULT_DEV_DIR, DEFAULT_PORT, Integrations, NoIntegrations, SatelliteError, Unusable};
pub use crate::core::{LocalStatus, ResourceState, Settings};
pub use crate::files::folders as file_folders;
pub use crate::plugins::Loaded;
pub use crate::satellite::Satellite;
pub use crate::sim::{SimConfig, serve_simulated, simulated};
pub use crate::site::{Site, synchronised};

use crate::about::About;
use crate::files::ExternalFiles;
use crate::folders::Folders;
use crate::hands::Hands;
use crate::keep::{Keep, Remembered};
use crate::loops::Loops;
use crate::machine::Shared;
use crate::plugins::{PluginKeys, Plugins};
use crate::site::HostSite;

/// Reads what the kernel says of mounts and disks and forgets it: for fuzzing.
#[doc(hidden)]
pub fn read_machine_texts(text: &str) {
    drop((holders::mounts(text, "7:0", "/dev/loop0"), usage::mounted_in(text), usage::counters(text)));
}

async fn listen(address: SocketAddr) -> Result<TcpListener, SatelliteError> {
    TcpListener::bind(address).await.map_err(|source| SatelliteError::Listen { address, source })
}

/// So long controllers wait for integration plugins; what takes longer to start is told later, and they connect again.
const PLUGINS_FIRST: Duration = Duration::from_secs(2);
/// How often a data folder that cannot be used is tried again.
const FOLDER_RETRY: Duration = Duration::from_secs(2);

/// What a satellite has in its data folder.
struct Belongings {
    keep: Keep,
    remembered: Remembered,
    socket: UnixListener,
    folders: Folders,
    external: ExternalFiles,
}

impl Belongings {
    fn take(data: &Path, file_folders: &[String]) -> Result<Self, SatelliteError> {
        let (keep, remembered) = Keep::open(data)?;
        let external = ExternalFiles::open(data, file_folders.to_vec())?;
        Ok(Self { keep, remembered, socket: local::bind(data)?, folders: Folders::open(data)?, external })
    }
}

/// Waits until the data folder can be used, and tells controllers why not until then: a satellite that cannot remember obeys nobody, but
/// whoever looks for it shall not take it for dead. `None`: it was stopped first.
async fn belongings_at_last(
    listener: TcpListener,
    tls: Option<session::Tls>,
    (data, file_folders): (&Path, &[String]),
    mut error: SatelliteError,
    stop: &CancellationToken,
) -> Result<Option<(TcpListener, Belongings)>, SatelliteError> {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    let failed = |source| SatelliteError::Listen { address, source };
    let kept = listener.into_std().map_err(failed)?;
    let another = || kept.try_clone().and_then(TcpListener::from_std).map_err(failed);
    loop {
        let detail = format!("{error}. {}", error.correction());
        tracing::error!(cause = %error, correction = error.correction(), "no controller is obeyed");
        let shut = stop.child_token();
        let door = tokio::spawn(session::refuse_all(another()?, tls.clone(), detail.clone(), shut.clone()));
        let taken = loop {
            tokio::select! {
                () = stop.cancelled() => break None,
                () = tokio::time::sleep(FOLDER_RETRY) => {}
            }
            match Belongings::take(data, file_folders) {
                // The same as before: whoever comes is told already.
                Err(again) if format!("{again}. {}", again.correction()) == detail => {}
                other => break Some(other),
            }
        };
        shut.cancel();
        drop(door.await);
        match taken {
            None => return Ok(None),
            Some(Ok(belongings)) => {
                tracing::info!(data = %data.display(), "the data folder can be used");
                return Ok(Some((another()?, belongings)));
            }
            Some(Err(other @ SatelliteError::Data { .. })) => error = other,
            Some(Err(other)) => return Err(other),
        }
    }
}

/// Runs a satellite until `stop`: serves what its last plan holds, and the controllers that connect. What it serves stays served
/// when it ends.
///
/// # Errors
/// [`SatelliteError`] if it cannot begin (a data folder that cannot be used is waited for), or serving controllers ends by itself.
pub async fn serve(config: Config, stop: CancellationToken) -> Result<(), SatelliteError> {
    let Config {
        data,
        listen: address,
        name,
        dev_dir,
        tool_timeout,
        scan_interval,
        file_folders,
        plugin_keys,
        integrations,
        plugins_started,
        plugins_changed,
        plugin_cache,
        tls,
        renew,
        announce,
        log,
    } = config;
    let (plugin_keys, asked_keys) = (PluginKeys::parse(&plugin_keys).map_err(SatelliteError::PluginKey)?, plugin_keys);
    let tls = tls.map(|files| session::Tls::read(files, renew)).transpose()?;
    let listener = listen(address).await?;
    let bound = listener.local_addr().map_err(|source| SatelliteError::Listen { address, source })?;
    let announced = || {
        tracing::info!(address = %bound, data = %data.display(), "satellite listens");
        if let Some(announce) = announce {
            // Whoever asked may have gone.
            let _ = announce.send(bound);
        }
    };
    let (listener, belongings) = match Belongings::take(&data, &file_folders) {
        Ok(belongings) => {
            announced();
            (listener, belongings)
        }
        Err(error @ SatelliteError::Data { .. }) => {
            announced();
            let Some(later) = belongings_at_last(listener, tls.clone(), (&data, &file_folders), error, &stop).await? else { return Ok(()) };
            later
        }
        Err(error) => return Err(error),
    };
    let Belongings { keep, remembered, socket, folders, external } = belongings;
    if let Err(error) = plugins::leave_keys(&data, &asked_keys) {
        tracing::warn!(%error, "whoever installs plugins is not told which signatures are asked for");
    }
    let (capabilities, attaches) = capabilities::probe();
    let shared = Arc::new(Shared {
        hands: Hands::new(tool_timeout),
        loops: Loops::default(),
        folders,
        attaches,
        lines: crate::lines::Lines::default(),
    });
    let about = About { data: data.clone(), address: bound, tls: tls.is_some(), name: name.clone(), log };
    // Loading providers takes as long as reading a few files, or compiling them once.
    let folder = data.clone();
    let found = tokio::task::spawn_blocking(move || Plugins::find(&folder, plugin_cache, plugin_keys)).await;
    let plugins = found.unwrap_or_else(|error| Err(Fault::new(FaultKind::Bug, "Providers cannot be found").cause(error.to_string())));
    let plugins = plugins.map_err(SatelliteError::Providers)?;
    let site = HostSite::new(
        Arc::clone(&shared),
        &usable(dev_dir, &data, attaches),
        capabilities,
        plugins,
        (about, external),
        Arc::clone(&integrations),
    );
    // Whatever ends first ends the others.
    let inner = stop.child_token();
    let satellite = Satellite::start(Settings { site: Arc::new(site), keep, remembered, name, scan_interval }, &inner);
    let door = satellite.door();
    let helpers = [
        tokio::spawn(watch::watch(door.clone(), shared, inner.clone())),
        tokio::spawn(hear_of_plugins(door.clone(), plugins_changed, inner.clone())),
        tokio::spawn(local::serve(socket, door, integrations, inner.clone())),
    ];
    if let Some(started) = plugins_started
        && tokio::time::timeout(PLUGINS_FIRST, started).await.is_ok()
    {
        let (reply, looked) = oneshot::channel();
        if satellite.door().send(core::Event::LookForPlugins(reply)).await.is_ok() {
            // A satellite that ends answers nobody.
            drop(looked.await);
        }
    }
    let served = session::serve(listener, tls, satellite.clone()).await;
    inner.cancel();
    for task in helpers {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task of the satellite panicked");
        }
    }
    satellite.ended().await;
    // The next life makes its own.
    drop(std::fs::remove_file(data.join(local::SOCKET)));
    served
}

/// Has plugins looked for again whenever integration plugins have changed, until `stop`.
async fn hear_of_plugins(core: mpsc::Sender<core::Event>, changed: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed.notified() => {}
        }
        let (reply, looked) = oneshot::channel();
        if core.send(core::Event::LookForPlugins(reply)).await.is_err() {
            return;
        }
        // Two looks at once would tell the controller twice; a satellite that ends answers nobody.
        drop(looked.await);
    }
}

/// The device folder, or one in the data folder where a satellite without root cannot write to the usual one.
fn usable(dev_dir: PathBuf, data: &std::path::Path, attaches: bool) -> PathBuf {
    if attaches || std::fs::create_dir_all(dev_dir.join("by-res")).is_ok() {
        return dev_dir;
    }
    let own = data.join("dev");
    tracing::warn!(wanted = %dev_dir.display(), instead = %own.display(), "the device folder cannot be written to");
    own
}
