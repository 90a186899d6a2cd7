//! Machines with satellites on them: pools in memory, tools that fail or answer nonsense, a power switch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{ResourceName, VolumeNumber};
use berth_model::observed::{Capabilities, Holder};
use berth_model::plan::VolumePlan;
use berth_plugin_sdk::memory::Memory;
use berth_plugin_sdk::{
    Data, Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Filled, Kib, Machine as Host, Manifest, Output, Over, Pool, Space,
};
use berth_proto::{Down, Up};
use berth_provider_file::FileProvider;
use berth_satellite::keep::{DurableFiles, Keep};
use berth_satellite::{Loaded, Satellite, Settings, Site};
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::check::Checks;
use crate::lie::Lie;
use crate::world::{Draw, World};

/// Size of every pool: room for some dozen volumes.
pub const POOL: Kib = Kib(4 << 20);
/// How often a satellite looks at everything.
pub const SCAN: Duration = Duration::from_secs(60);

/// What goes wrong on machines, in a thousand each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trouble {
    /// Requests that fail.
    pub fails: u32,
    /// Looks that answer nonsense.
    pub nonsense: u32,
    /// Items that take up to five seconds.
    pub slow: u32,
    /// Writes to the satellite's own folder that find it full.
    pub full: u32,
    /// Looks at which no peer can be reached over DRBD's network.
    pub apart: u32,
}

/// A machine: what outlives the processes on it.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Where its satellite listens.
    pub address: SocketAddr,
    pub(crate) world: World,
    pub(crate) checks: Arc<Checks>,
    pools: Mutex<BTreeMap<String, Memory>>,
    links: Mutex<BTreeMap<(ResourceName, VolumeNumber), String>>,
    folder: Mutex<BTreeMap<String, Vec<u8>>>,
    in_use: Mutex<BTreeSet<String>>,
    trouble: Mutex<Trouble>,
    /// All machines, for DRBD's network.
    pub(crate) neighbours: OnceLock<Vec<Weak<Machine>>>,
    rng: Mutex<fastrand::Rng>,
}

/// A satellite process.
pub struct Guest {
    machine: Arc<Machine>,
    lives: Arc<AtomicBool>,
    /// Changes of the machine until it is killed; negative: nobody kills it.
    changes_left: AtomicI64,
    satellite: OnceLock<Satellite>,
    stop: CancellationToken,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("machine", &self.machine.name).field("lives", &self.lives).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// A machine without a satellite.
    #[must_use]
    pub fn new(world: &World, checks: Arc<Checks>, name: &str, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            address,
            world: world.clone(),
            checks,
            pools: Mutex::default(),
            links: Mutex::default(),
            folder: Mutex::default(),
            in_use: Mutex::default(),
            trouble: Mutex::default(),
            neighbours: OnceLock::new(),
            rng: Mutex::new(world.fork(&format!("machine {name}"))),
        })
    }

    /// Changes what goes wrong from now on.
    pub fn set_trouble(&self, trouble: Trouble) {
        *locked(&self.trouble) = trouble;
    }

    pub(crate) fn trouble(&self) -> Trouble {
        *locked(&self.trouble)
    }

    pub(crate) fn chance(&self, odds: u32) -> bool {
        odds > 0 && locked(&self.rng).permille(odds)
    }

    /// The pool at a place, made when it is first asked for.
    #[must_use]
    pub fn pool(&self, place: &str) -> Memory {
        let mut pools = locked(&self.pools);
        pools.entry(place.to_owned()).or_insert_with(|| Memory::with_devices(POOL, format!("/dev/{}{place}", self.name))).clone()
    }

    /// All pools by place.
    #[must_use]
    pub fn pools(&self) -> BTreeMap<String, Memory> {
        locked(&self.pools).clone()
    }

    /// The device that a stable path points at.
    #[must_use]
    pub fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        locked(&self.links).get(&(resource.clone(), volume)).cloned()
    }

    /// Stable paths.
    #[must_use]
    pub fn links(&self) -> Vec<(ResourceName, VolumeNumber, String)> {
        locked(&self.links).iter().map(|((resource, volume), device)| (resource.clone(), *volume, device.clone())).collect()
    }

    /// Opens a device, as a program would.
    pub fn open(&self, device: String) {
        self.world.note(&format!("somebody opens {device}"));
        locked(&self.in_use).insert(device);
    }

    /// Closes all devices; returns which were open.
    pub fn close_all(&self) -> Vec<String> {
        let closed: Vec<String> = std::mem::take(&mut *locked(&self.in_use)).into_iter().collect();
        if !closed.is_empty() {
            self.world.note(&format!("somebody closes {}", closed.join(", ")));
        }
        closed
    }

    /// Whatever filled its pools beside our objects is gone.
    pub fn make_room(&self) {
        for memory in self.pools().values() {
            memory.fill(Kib(0));
        }
    }

    /// The machine is installed anew: nothing that was on it is there any more.
    pub fn install_anew(&self) {
        self.world.note(&format!("{} is installed anew", self.name));
        locked(&self.pools).clear();
        locked(&self.links).clear();
        locked(&self.folder).clear();
        locked(&self.in_use).clear();
        self.checks.installed_anew(&self.name);
    }

    /// The power fails: what was not synced may be lost, devices and stable paths are gone.
    pub fn power_cut(&self) {
        self.world.note(&format!("{} loses its power", self.name));
        locked(&self.links).clear();
        locked(&self.in_use).clear();
        let lies = self.world.lies(Lie::PoolAcknowledgesEarly);
        for memory in self.pools().values() {
            memory.power_cut(&mut || !lies && locked(&self.rng).bool());
        }
    }
}

impl Guest {
    /// Starts a satellite on a machine.
    ///
    /// # Panics
    /// If what it remembers cannot be read: the simulated disk keeps what it was given.
    #[must_use]
    pub fn start(machine: &Arc<Machine>) -> Arc<Self> {
        let guest = Arc::new(Self {
            machine: Arc::clone(machine),
            lives: Arc::new(AtomicBool::new(true)),
            changes_left: AtomicI64::new(-1),
            satellite: OnceLock::new(),
            stop: CancellationToken::new(),
        });
        machine.world.note(&format!("{} starts its satellite", machine.name));
        let files = Folder { machine: Arc::clone(machine), lives: Arc::clone(&guest.lives) };
        let (keep, remembered) = Keep::on(files).expect("the simulated disk keeps what it was given");
        let site = GuestSite { guest: Arc::clone(&guest), file: Loaded::linked(FileProvider) };
        let settings = Settings { site: Arc::new(site), keep, remembered, name: None, scan_interval: SCAN };
        let satellite = Satellite::start(settings, &guest.stop);
        let _ = guest.satellite.set(satellite);
        guest
    }

    /// Whether the process is there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.lives.load(Ordering::Relaxed)
    }

    /// Kills the process; nothing that it still tries has an effect.
    pub fn kill(&self) {
        if self.lives.swap(false, Ordering::Relaxed) {
            self.machine.world.note(&format!("{}'s satellite is killed", self.machine.name));
            if let Some(satellite) = self.satellite.get() {
                satellite.kill();
            }
            self.stop.cancel();
        }
    }

    /// Kills it after so many further changes of the machine.
    pub fn kill_after(&self, changes: i64) {
        self.changes_left.store(changes, Ordering::Relaxed);
    }

    /// One session, from hello to end.
    pub async fn converse(
        &self,
        down: impl Stream<Item = Result<Down, Status>> + Send + Unpin + 'static,
        up: mpsc::Sender<Result<Up, Status>>,
    ) {
        if let Some(satellite) = self.satellite.get() {
            satellite.converse(down, up, None).await;
        }
    }

    /// Tells the satellite that devices got or lost a user, as the kernel does.
    pub async fn devices_used(&self, devices: Vec<String>) {
        if let Some(satellite) = self.satellite.get() {
            satellite.devices_used(devices).await;
        }
    }

    fn changed(&self) {
        if self.changes_left.load(Ordering::Relaxed) > 0 && self.changes_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.kill();
        }
    }
}

/// The satellite's own folder, as one process sees it.
struct Folder {
    machine: Arc<Machine>,
    lives: Arc<AtomicBool>,
}

impl Folder {
    fn write(&self) -> io::Result<()> {
        if !self.lives.load(Ordering::Relaxed) {
            return Err(io::Error::other("killed"));
        }
        if self.machine.chance(self.machine.trouble().full) {
            self.machine.world.note(&format!("{}'s own folder is full", self.machine.name));
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl DurableFiles for Folder {
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let found = locked(&self.machine.folder).get(name).cloned();
        if name == "identity.json" && self.machine.world.lies(Lie::SatelliteForgetsEpoch) {
            let forgotten = found.map(|bytes| {
                let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                value["epoch"] = 0.into();
                value.to_string().into_bytes()
            });
            return Ok(forgotten);
        }
        Ok(found)
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write()?;
        if name == "plan.log" {
            self.machine.checks.plans_kept(&self.machine.name, bytes);
        }
        locked(&self.machine.folder).insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self.write();
        let mut folder = locked(&self.machine.folder);
        let file = folder.entry(name.to_owned()).or_default();
        if written.is_err() && self.lives.load(Ordering::Relaxed) {
            // A full disk takes a part.
            file.extend_from_slice(bytes.get(..bytes.len() / 2).unwrap_or_default());
        }
        written?;
        file.extend_from_slice(bytes);
        drop(folder);
        if name == "plan.log" {
            self.machine.checks.plans_kept(&self.machine.name, bytes);
        }
        Ok(())
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        if !self.lives.load(Ordering::Relaxed) {
            return Err(io::Error::other("killed"));
        }
        if let Some(file) = locked(&self.machine.folder).get_mut(name) {
            file.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.write()?;
        let mut folder = locked(&self.machine.folder);
        if let Some(file) = folder.remove(from) {
            folder.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from("/satellite").join(name)
    }
}

/// The machine as the satellite process on it sees it.
struct GuestSite {
    guest: Arc<Guest>,
    file: Arc<Loaded>,
}

impl Site for GuestSite {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            uname: self.guest.machine.name.clone(),
            root: true,
            providers: ProviderKind::ALL.to_vec(),
            layers: LayerKind::ALL.to_vec(),
            ..Capabilities::default()
        }
    }

    fn provider(&self, kind: ProviderKind, _named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
        let none = || Fault::new(FaultKind::Unsupported, format!("Nothing is stored in pools of kind {kind}"));
        kind.has_storage().then(|| Arc::clone(&self.file)).ok_or_else(none)
    }

    fn machine(&self, provider: &Loaded, pool: &Pool) -> Box<dyn Host> {
        let files = GuestFiles { guest: Arc::clone(&self.guest), memory: self.guest.machine.pool(&pool.place) };
        // Thick kinds of every name take their space at once.
        let thick = ProviderKind::parse(&pool.kind).is_some_and(|kind| !kind.is_thin());
        let pool = Pool { kind: if thick { "FILE" } else { "FILE_THIN" }.into(), ..pool.clone() };
        Box::new(GuestHost { pool, files, manifest: provider.manifest().clone() })
    }

    fn attaches(&self) -> bool {
        true
    }

    fn in_use(&self, device: &str) -> bool {
        locked(&self.guest.machine.in_use).contains(device)
    }

    fn holders(&self, device: &str) -> Vec<Holder> {
        let by = || Holder::Process { device: device.to_owned(), pid: 4711, command: "client".to_owned() };
        self.in_use(device).then(by).into_iter().collect()
    }

    fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        self.guest.machine.link(resource, volume)
    }

    fn set_link(&self, resource: &ResourceName, volume: VolumeNumber, device: &str) -> Result<(), Fault> {
        self.may_link()?;
        locked(&self.guest.machine.links).insert((resource.clone(), volume), device.to_owned());
        self.guest.changed();
        Ok(())
    }

    fn remove_link(&self, resource: &ResourceName, volume: VolumeNumber) -> Result<(), Fault> {
        self.may_link()?;
        if locked(&self.guest.machine.links).remove(&(resource.clone(), volume)).is_some() {
            self.guest.changed();
        }
        Ok(())
    }

    fn sweep_links(&self, keep: &dyn Fn(&str, &str, &str) -> bool) {
        if self.guest.is_alive() {
            locked(&self.guest.machine.links).retain(|(resource, volume), device| keep(resource.as_str(), &volume.to_string(), device));
        }
    }

    fn fill(&self, _provider: &Loaded, pool: &Pool, order: &Filled) -> Result<(), Fault> {
        if let Filled::Copy { from: Data::File(from), to: Data::File(to) } = order
            && self.guest.is_alive()
        {
            self.guest.machine.pool(&pool.place).copy(from, to);
            self.guest.changed();
        }
        Ok(())
    }

    fn scan(&self) {}

    fn latency(&self) -> Duration {
        let machine = &self.guest.machine;
        let slow = machine.trouble().slow;
        let mut rng = locked(&machine.rng);
        if slow > 0 && rng.permille(slow) { rng.millis(100, 5000) } else { rng.millis(0, 20) }
    }

    fn up_to_date(&self, volume: &VolumePlan) -> Option<bool> {
        Some(self.guest.machine.up_to_date(volume))
    }

    fn is_quick(&self) -> bool {
        true
    }
}

impl GuestSite {
    fn may_link(&self) -> Result<(), Fault> {
        let machine = &self.guest.machine;
        if !self.guest.is_alive() || machine.chance(machine.trouble().fails) {
            return Err(Fault::new(FaultKind::Tool, "The stable path cannot be changed").cause("It failed once"));
        }
        Ok(())
    }
}

struct GuestHost {
    pool: Pool,
    files: GuestFiles,
    manifest: Manifest,
}

impl Host for GuestHost {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        Err(Fault::new(FaultKind::Unsupported, format!("'{}' asked for a command", self.manifest.name)).details(argv.join(" ")))
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        Ok(&self.files)
    }

    fn log(&self, _line: &str) {}
}

/// The files of a pool as one process sees them.
struct GuestFiles {
    guest: Arc<Guest>,
    memory: Memory,
}

impl GuestFiles {
    /// What stands between a request and the file system.
    fn before(&self, request: &str, name: &str) -> Result<(), FileError> {
        let failed = |cause: &str| FileError::System { request: request.into(), name: name.into(), cause: cause.into() };
        if !self.guest.is_alive() {
            return Err(failed("killed"));
        }
        let machine = &self.guest.machine;
        if machine.chance(machine.trouble().fails) {
            machine.world.note(&format!("{}: {request} of '{name}' fails", machine.name));
            return Err(failed("it failed once"));
        }
        Ok(())
    }

    fn change<T>(&self, request: &str, name: &str, act: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
        self.before(request, name)?;
        let done = act()?;
        let machine = &self.guest.machine;
        machine.world.note(&format!("{}: {request} '{name}'", machine.name));
        self.guest.changed();
        Ok(done)
    }

    /// What a look answers on a bad day, or on a machine that lies.
    fn shown(&self, mut seen: FileSeen) -> FileSeen {
        let machine = &self.guest.machine;
        if machine.world.lies(Lie::MarksFollowNames)
            && let Some(mark) = machine.checks.mark_by_name(&machine.name, &seen.name)
        {
            seen.mark = Some(mark);
        }
        if machine.chance(machine.trouble().nonsense) {
            machine.world.note(&format!("{}: nonsense about '{}'", machine.name, seen.name));
            seen.mark = Some("%!s(MISSING)".to_owned());
            seen.size = Kib(0);
        }
        seen
    }
}

impl Files for GuestFiles {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        self.before("list", ".")?;
        Ok(self.memory.list()?.into_iter().map(|seen| self.shown(seen)).collect())
    }

    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        self.before("look", name)?;
        Ok(self.memory.look(name)?.map(|seen| self.shown(seen)))
    }

    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        self.change("create", name, || self.memory.create(name, size, fill, mark))
    }

    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        self.change("mark", name, || self.memory.mark(name, mark))
    }

    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        self.change("grow", name, || self.memory.grow(name, size, fill))
    }

    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        self.change("reflink", to, || self.memory.reflink(from, to, mark))
    }

    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        self.change("rename", to, || self.memory.rename(from, to, over))
    }

    fn remove(&self, name: &str) -> Result<(), FileError> {
        let seen = self.memory.look(name).ok().flatten();
        self.change("remove", name, || self.memory.remove(name))?;
        if let Some(seen) = seen {
            self.guest.machine.checks.removed(&self.guest.machine.name, &seen);
        }
        Ok(())
    }

    fn sync(&self, name: &str) -> Result<(), FileError> {
        self.before("sync", name)?;
        if self.guest.machine.world.lies(Lie::PoolAcknowledgesEarly) {
            return Ok(());
        }
        self.memory.sync(name)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.before("sync", ".")?;
        if self.guest.machine.world.lies(Lie::PoolAcknowledgesEarly) {
            return Ok(());
        }
        self.memory.sync_all()
    }

    fn space(&self) -> Result<Space, FileError> {
        self.before("space", ".")?;
        self.memory.space()
    }

    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        self.before("device", name)?;
        self.memory.device(name)
    }

    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        self.change("attach", name, || self.memory.attach(name, fill))
    }

    fn detach(&self, name: &str) -> Result<(), FileError> {
        if let Some(device) = self.memory.device(name)?
            && locked(&self.guest.machine.in_use).contains(&device.path)
        {
            return Err(FileError::Busy(name.to_owned()));
        }
        self.change("detach", name, || self.memory.detach(name))
    }

    fn resized(&self, name: &str) -> Result<(), FileError> {
        self.change("resized", name, || self.memory.resized(name))
    }
}
