//! Simulated satellites: the same sessions, plans and decisions, with machines that exist only in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_model::files::folder_of;
use berth_model::inquiry::{Answer, FreeDevice, LogControl, Question, Ran, RememberedLog, SatelliteSettings, Support};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, VolumeNumber};
use berth_model::observed::{Capabilities, FileSeen, Holder};
use berth_model::plan::{DataPeer, FilePlan, VolumePlan};
use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::{Data, Fault, FaultKind, Files, Filled, Kib, Machine, Output, Pool, PoolAbilities, Provider};
use berth_provider_file::FileProvider;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::usage::Uses;
use crate::Loaded;
use crate::config::SatelliteError;
use crate::core::Settings;
use crate::keep::{Keep, Remembered};
use crate::satellite::Satellite;
use crate::site::{Site, synchronised};

mod usage;

/// Size of every simulated pool: 1 TiB.
const POOL_SIZE: Kib = Kib(1 << 30);
/// How often a simulated machine is looked at as a whole.
const SCAN_INTERVAL: Duration = Duration::from_secs(300);

/// One simulated satellite.
#[derive(Debug)]
pub struct SimConfig {
    /// Name of its machine (`uname -n`).
    pub name: String,
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// How long every item takes longer.
    pub latency: Duration,
    /// How many of a million requests to a pool fail.
    pub failures_per_million: u32,
    /// What draws the failures.
    pub seed: u64,
    /// Told the address once it listens.
    pub announce: Option<oneshot::Sender<SocketAddr>>,
    /// Folders below which external files may be written, absolute paths; the files are in memory.
    pub file_folders: Vec<String>,
    /// DRBD's network: satellites that are served together share one.
    network: Arc<Network>,
}

impl SimConfig {
    /// A satellite without latency and failures on any free port of loopback.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            name: name.into(),
            listen,
            latency: Duration::ZERO,
            failures_per_million: 0,
            seed: 1,
            announce: None,
            file_folders: Vec::new(),
            network: Arc::default(),
        }
    }
}

/// What a simulated satellite is started with; it remembers nothing beyond its process.
#[must_use]
pub fn simulated(config: &SimConfig) -> Settings {
    Settings {
        site: Arc::new(SimSite::new(config, Arc::clone(&config.network))),
        keep: Keep::nowhere(),
        remembered: Remembered::default(),
        name: None,
        scan_interval: SCAN_INTERVAL,
    }
}

/// Runs simulated satellites in this process until `stop`. They remember nothing beyond it. `in_use`: a file that says whose devices
/// are used, a line `NODE RESOURCE` each; it is read again and again, and may come and go.
///
/// # Errors
/// [`SatelliteError::Listen`] if one of them cannot listen; then none runs.
pub async fn serve_simulated(configs: Vec<SimConfig>, in_use: Option<PathBuf>, stop: CancellationToken) -> Result<(), SatelliteError> {
    let mut ready = Vec::new();
    for config in configs {
        let listener = crate::listen(config.listen).await?;
        let bound = listener.local_addr().map_err(|source| SatelliteError::Listen { address: config.listen, source })?;
        ready.push((listener, bound, config));
    }
    let (mut tasks, mut doors) = (Vec::new(), Vec::new());
    let machines = ready.iter().map(|(_, _, config)| config.name.to_ascii_lowercase()).collect();
    let network = Arc::new(Network { machines, ..Network::default() });
    for (listener, bound, mut config) in ready {
        let announce = config.announce.take();
        config.network = Arc::clone(&network);
        let satellite = Satellite::start(simulated(&config), &stop);
        doors.extend(NodeName::parse(&config.name).ok().map(|name| (name, satellite.door())));
        tasks.push(tokio::spawn(async move {
            if let Err(error) = crate::session::serve(listener, None, satellite.clone()).await {
                tracing::error!(node = %config.name, %error, "a simulated satellite ended");
            }
            satellite.ended().await;
        }));
        tracing::info!(address = %bound, "simulated satellite listens");
        if let Some(announce) = announce {
            // Whoever asked may have gone.
            let _ = announce.send(bound);
        }
    }
    if let Some(file) = in_use {
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = usage::follow(&file, &network.used, doors) => {}
            }
        });
    }
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a simulated satellite panicked");
        }
    }
    Ok(())
}

/// The provider of files, with the sizes of the kind that it stands for.
#[derive(Debug)]
struct SimProvider {
    inner: FileProvider,
    kind: ProviderKind,
}

impl Provider for SimProvider {
    fn manifest(&self) -> berth_plugin_sdk::Manifest {
        self.inner.manifest()
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        let abilities = self.inner.probe(on)?;
        let cannot = || Fault::new(FaultKind::Unsupported, format!("Snapshots are not supported by storage pools of kind {}", self.kind));
        let no_snapshots = if self.kind.takes_snapshots() { abilities.no_snapshots } else { Some(cannot().correction("Use a thin pool")) };
        Ok(PoolAbilities { extent: Kib(self.kind.default_extent_kib()), no_snapshots, zeroes: abilities.zeroes })
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        self.inner.clean(on, cluster)
    }
    fn space(&self, on: &dyn Machine) -> Result<berth_plugin_sdk::Space, Fault> {
        self.inner.space(on)
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<berth_plugin_sdk::Found>, Fault> {
        self.inner.list(on)
    }
    fn look(
        &self,
        on: &dyn Machine,
        name: &berth_plugin_sdk::BackingName,
        of: Option<&berth_plugin_sdk::BackingName>,
    ) -> Result<Option<berth_plugin_sdk::Found>, Fault> {
        self.inner.look(on, name, of)
    }
    fn create(&self, on: &dyn Machine, new: &berth_plugin_sdk::New, size: Kib) -> Result<(), Fault> {
        self.inner.create(on, new, size)
    }
    fn grow(&self, on: &dyn Machine, volume: &berth_plugin_sdk::Known, size: Kib) -> Result<(), Fault> {
        self.inner.grow(on, volume, size)
    }
    fn delete(&self, on: &dyn Machine, volume: &berth_plugin_sdk::Known) -> Result<(), Fault> {
        self.inner.delete(on, volume)
    }
    fn snapshot(&self, on: &dyn Machine, volume: &berth_plugin_sdk::Known, new: &berth_plugin_sdk::New) -> Result<(), Fault> {
        self.inner.snapshot(on, volume, new)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &berth_plugin_sdk::Known) -> Result<(), Fault> {
        self.inner.delete_snapshot(on, snapshot)
    }
    fn rollback(&self, on: &dyn Machine, new: &berth_plugin_sdk::New, snapshot: &berth_plugin_sdk::Known) -> Result<(), Fault> {
        self.inner.rollback(on, new, snapshot)
    }
    fn restore(
        &self,
        on: &dyn Machine,
        snapshot: &berth_plugin_sdk::Known,
        new: &berth_plugin_sdk::New,
        size: Kib,
    ) -> Result<berth_plugin_sdk::Filled, Fault> {
        self.inner.restore(on, snapshot, new, size)
    }
    fn clone_volume(
        &self,
        on: &dyn Machine,
        volume: &berth_plugin_sdk::Known,
        new: &berth_plugin_sdk::New,
        size: Kib,
    ) -> Result<berth_plugin_sdk::Filled, Fault> {
        self.inner.clone_volume(on, volume, new, size)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &berth_plugin_sdk::New) -> Result<(), Fault> {
        self.inner.finish_copy(on, new)
    }
    fn adopt(&self, on: &dyn Machine, new: &berth_plugin_sdk::New, size: Kib) -> Result<(), Fault> {
        self.inner.adopt(on, new, size)
    }
    fn attach(&self, on: &dyn Machine, volume: &berth_plugin_sdk::Known) -> Result<berth_plugin_sdk::Device, Fault> {
        self.inner.attach(on, volume)
    }
    fn detach(&self, on: &dyn Machine, volume: &berth_plugin_sdk::Known) -> Result<(), Fault> {
        self.inner.detach(on, volume)
    }
}

/// A machine in memory whose requests fail now and then.
struct SimMachine {
    inner: MemoryMachine,
    failing: Option<Fault>,
}

impl Machine for SimMachine {
    fn pool(&self) -> &Pool {
        self.inner.pool()
    }
    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.inner.run(argv)
    }
    fn files(&self) -> Result<&dyn Files, Fault> {
        match &self.failing {
            Some(fault) => Err(fault.clone()),
            None => self.inner.files(),
        }
    }
    fn log(&self, line: &str) {
        self.inner.log(line);
    }
}

/// What DRBD's network would tell the simulated machines of one process.
#[derive(Debug, Default)]
struct Network {
    /// Their names, in lower case.
    machines: BTreeSet<String>,
    /// Volumes of theirs that hold the data of their peers, by generation id.
    holding: Mutex<BTreeSet<Uuid>>,
    /// Which of them serve each resource: they count as connected to each other.
    serving: Mutex<BTreeMap<ResourceName, BTreeSet<String>>>,
    /// The devices that somebody uses.
    used: Mutex<Uses>,
}

impl Network {
    /// Whether a peer is on a machine of which nothing is known here: another process simulates it, and it is taken to be well.
    fn is_elsewhere(&self, peer: &DataPeer) -> bool {
        !self.machines.contains(&peer.node.as_str().to_ascii_lowercase())
    }
}

struct SimSite {
    name: String,
    latency: Duration,
    failures_per_million: u32,
    drawn: AtomicU64,
    providers: BTreeMap<ProviderKind, Arc<Loaded>>,
    pools: Mutex<BTreeMap<String, Memory>>,
    links: Mutex<BTreeMap<(ResourceName, VolumeNumber), String>>,
    network: Arc<Network>,
    address: SocketAddr,
    log: RememberedLog,
    file_folders: Vec<String>,
}

impl SimSite {
    fn new(config: &SimConfig, network: Arc<Network>) -> Self {
        let providers = ProviderKind::ALL.iter().filter(|kind| kind.has_storage());
        Self {
            name: config.name.clone(),
            latency: config.latency,
            failures_per_million: config.failures_per_million,
            drawn: AtomicU64::new(config.seed),
            providers: providers.map(|kind| (*kind, Loaded::linked(SimProvider { inner: FileProvider, kind: *kind }))).collect(),
            pools: Mutex::default(),
            links: Mutex::default(),
            network,
            address: config.listen,
            log: RememberedLog::default(),
            file_folders: config.file_folders.clone(),
        }
    }

    /// splitmix64: enough to spread a seed over failures.
    fn fails(&self) -> bool {
        if self.failures_per_million == 0 {
            return false;
        }
        let mut z = self.drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 1_000_000 < u64::from(self.failures_per_million)
    }

    fn memory(&self, pool: &Pool) -> Memory {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let devices = || format!("/dev/berth-sim/{}/{}", self.name, pool.name);
        pools.entry(pool.name.to_ascii_uppercase()).or_insert_with(|| Memory::with_devices(POOL_SIZE, devices())).clone()
    }
}

impl Site for SimSite {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            uname: self.name.clone(),
            os: "simulated".into(),
            kernel: "simulated".into(),
            drbd: "9.2.12".into(),
            root: true,
            providers: ProviderKind::ALL.to_vec(),
            layers: LayerKind::ALL.to_vec(),
            unsupported_providers: BTreeMap::new(),
            unsupported_layers: BTreeMap::new(),
            plugins: Vec::new(),
            file_folders: self.file_folders.clone(),
        }
    }

    fn provider(&self, kind: ProviderKind, _named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
        let none = || Fault::new(FaultKind::Unsupported, format!("Nothing is stored in pools of kind {kind}"));
        self.providers.get(&kind).cloned().ok_or_else(none)
    }

    fn machine(&self, _provider: &Loaded, pool: &Pool) -> Box<dyn Machine> {
        // Thick kinds of every name take their space at once.
        let thick = ProviderKind::parse(&pool.kind).is_some_and(|kind| !kind.is_thin());
        let pool = Pool { kind: if thick { "FILE" } else { "FILE_THIN" }.into(), ..pool.clone() };
        let failing = self.fails().then(|| {
            Fault::new(FaultKind::Tool, format!("A request to storage pool '{}' failed", pool.name))
                .cause("This machine is simulated, and so is its failure")
                .correction("Wait: it is tried again")
        });
        Box::new(SimMachine { inner: MemoryMachine::new(pool.clone(), self.memory(&pool)), failing })
    }

    fn attaches(&self) -> bool {
        true
    }

    fn in_use(&self, _device: &str) -> bool {
        false
    }

    fn holders(&self, _device: &str) -> Vec<Holder> {
        Vec::new()
    }

    fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).get(&(resource.clone(), volume)).cloned()
    }

    fn set_link(&self, resource: &ResourceName, volume: VolumeNumber, device: &str) -> Result<(), Fault> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert((resource.clone(), volume), device.to_owned());
        let mut serving = self.network.serving.lock().unwrap_or_else(PoisonError::into_inner);
        serving.entry(resource.clone()).or_default().insert(self.name.clone());
        Ok(())
    }

    fn remove_link(&self, resource: &ResourceName, volume: VolumeNumber) -> Result<(), Fault> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(&(resource.clone(), volume));
        if !links.keys().any(|(name, _)| name == resource) {
            let mut serving = self.network.serving.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(machines) = serving.get_mut(resource) {
                machines.remove(&self.name);
                if machines.is_empty() {
                    serving.remove(resource);
                }
            }
        }
        Ok(())
    }

    fn sweep_links(&self, _keep: &dyn Fn(&str, &str, &str) -> bool) {}

    fn fill(&self, _provider: &Loaded, pool: &Pool, order: &Filled) -> Result<(), Fault> {
        if let Filled::Copy { from: Data::File(from), to: Data::File(to) } = order {
            self.memory(pool).copy(from, to);
        }
        Ok(())
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Settings => Answer::Settings(SatelliteSettings {
                data: String::new(),
                address: self.address.ip().to_string(),
                port: self.address.port(),
                tls: false,
                name: Some(self.name.clone()),
                log: self.log.levels(),
            }),
            Question::Log { change } => match self.log.change(*change) {
                Ok(levels) => Answer::Log(levels),
                Err(why) => Answer::Refused { why, correction: String::new() },
            },
            // One that is free on every simulated machine.
            Question::Devices => Answer::Devices {
                devices: vec![FreeDevice {
                    device: "/dev/berth-sim/free".into(),
                    size: POOL_SIZE.0 << 10,
                    rotational: false,
                    model: "simulated".into(),
                    serial: self.name.clone(),
                    wwn: String::new(),
                }],
            },
            Question::Reactor { .. } => Answer::Ran(Ran {
                code: -1,
                stdout: String::new(),
                stderr: "drbd-reactorctl cannot be run: this machine is simulated.".into(),
            }),
            Question::Support => Answer::Support(Support { log: self.log.recent(), tools: BTreeMap::new() }),
            Question::Unknown => crate::about::unknown(),
        }
    }

    fn scan(&self) {}

    fn min_io(&self, pool: &Pool) -> Option<u32> {
        // As such pools have on usual disks.
        let blocks = matches!(ProviderKind::parse(&pool.kind), Some(ProviderKind::Zfs | ProviderKind::ZfsThin));
        Some(if blocks { 4096 } else { 512 })
    }

    fn external_files(&self, wanted: &[FilePlan]) -> Vec<FileSeen> {
        let made = |plan: &FilePlan| {
            let allowed = folder_of(&self.file_folders, &plan.path).is_some();
            FileSeen {
                path: plan.path.clone(),
                actual_path: allowed.then(|| plan.path.to_string()),
                content_match: allowed,
                fault: (!allowed).then(|| crate::files::not_allowed(&plan.path)),
            }
        };
        // All that such a machine has of a file is that it is there: nobody reads it.
        wanted.iter().map(made).collect()
    }

    fn latency(&self) -> Duration {
        self.latency
    }

    fn forgets(&self) -> bool {
        true
    }

    fn up_to_date(&self, volume: &VolumePlan) -> Option<bool> {
        let mut holding = self.network.holding.lock().unwrap_or_else(PoisonError::into_inner);
        let elsewhere = |id| volume.peers.iter().any(|peer| peer.volume.uuid() == id && self.network.is_elsewhere(peer));
        let up_to_date = synchronised(volume, |id| holding.contains(&id) || elsewhere(id));
        if up_to_date {
            holding.insert(volume.id.uuid());
        }
        Some(up_to_date)
    }

    fn opened(&self, resource: &ResourceName, _volume: VolumeNumber) -> bool {
        let Ok(node) = NodeName::parse(&self.name) else { return false };
        let used = self.network.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.contains(&(node, resource.clone()))
    }

    fn peers(&self) -> Option<Vec<NodeName>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let own: BTreeSet<ResourceName> = links.keys().map(|(name, _)| name.clone()).collect();
        drop(links);
        let serving = self.network.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let others = own.iter().filter_map(|name| serving.get(name)).flatten().filter(|name| **name != self.name);
        let names: BTreeSet<NodeName> = others.filter_map(|name| NodeName::parse(name).ok()).collect();
        Some(names.into_iter().collect())
    }

    fn is_quick(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use berth_model::names::FilePath;

    use super::*;

    fn name(text: &str) -> ResourceName {
        ResourceName::parse(text).unwrap()
    }

    #[test]
    fn machines_that_serve_one_resource_are_connected_and_files_lie_where_they_are_allowed() {
        let (zero, one) = (VolumeNumber::new(0).unwrap(), VolumeNumber::new(1).unwrap());
        let mut config = SimConfig::new("sim-1");
        config.file_folders = vec!["/etc".to_owned()];
        let first = SimSite::new(&config, Arc::clone(&config.network));
        config.name = "sim-2".to_owned();
        let second = SimSite::new(&config, Arc::clone(&config.network));
        assert_eq!((first.peers(), second.peers()), (Some(Vec::new()), Some(Vec::new())));
        for volume in [zero, one] {
            first.set_link(&name("web"), volume, "/dev/x").unwrap();
            second.set_link(&name("WEB"), volume, "/dev/y").unwrap();
        }
        second.set_link(&name("other"), zero, "/dev/z").unwrap();
        let names = |site: &SimSite| site.peers().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((names(&first), names(&second)), (vec!["sim-2".to_owned()], vec!["sim-1".to_owned()]));
        first.remove_link(&name("web"), zero).unwrap();
        assert_eq!(names(&second), ["sim-1"], "another volume is served");
        first.remove_link(&name("web"), one).unwrap();
        assert_eq!((names(&first), names(&second)), (vec![], vec![]));

        let plan = |path: &str| FilePlan { path: FilePath::parse(path).unwrap(), content: "eA==".to_owned(), alt_suffixes: Vec::new() };
        let seen = first.external_files(&[plan("/etc/a"), plan("/srv/a")]);
        assert_eq!(seen.iter().map(|one| (one.content_match, one.fault.is_none())).collect::<Vec<_>>(), [(true, true), (false, false)]);
    }
}
