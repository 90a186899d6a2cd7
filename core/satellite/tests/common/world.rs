//! A machine, a disk and a way to a controller that exist only in memory, for satellites in paused time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{ResourceName, VolumeNumber};
use berth_model::observed::{Capabilities, Holder, ItemSeen, Observation, Standing};
use berth_model::plan::{PlanBody, PlanItem, PoolPlan};
use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::{Data, Fault, Filled, Kib, Machine, Pool};
use berth_proto::{Down, Hello, NeedReport, Ping, Plan, Up, down, up};
use berth_provider_file::FileProvider;
use berth_satellite::keep::{DurableFiles, Keep};
use berth_satellite::{Loaded, Satellite, Settings, Site};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

/// What outlives a satellite.
#[derive(Clone)]
pub struct World {
    pub memory: Memory,
    pub links: Arc<Mutex<BTreeMap<(String, u16), String>>>,
    pub disk: Arc<Mutex<Disk>>,
    pub latency: Duration,
    /// Processes that have every device open.
    pub holders: Arc<Mutex<Vec<(u32, String)>>>,
}

#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Writing fails.
    pub broken: bool,
    pub latency: Duration,
}

impl World {
    pub fn new() -> Self {
        Self {
            memory: Memory::new(Kib(1 << 20)),
            links: Arc::default(),
            disk: Arc::default(),
            latency: Duration::from_millis(3),
            holders: Arc::default(),
        }
    }

    /// The next life of the satellite.
    pub fn start(&self) -> Satellite {
        let (keep, remembered) = Keep::on(Files(Arc::clone(&self.disk))).unwrap();
        let settings = Settings { site: Arc::new(self.clone()), keep, remembered, name: None, scan_interval: Duration::from_secs(300) };
        Satellite::start(settings, &CancellationToken::new())
    }
}

/// The files of the satellite's memory.
struct Files(Arc<Mutex<Disk>>);

impl Files {
    fn write<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> std::io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        if disk.broken { Err(std::io::Error::other("broken")) } else { Ok(act(&mut disk.files)) }
    }
}

impl DurableFiles for Files {
    fn read(&mut self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().files.get(name).cloned())
    }
    fn replace(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.write(|files| drop(files.insert(name.into(), bytes.into())))
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.write(|files| files.entry(name.into()).or_default().extend(bytes))
    }
    fn cut(&mut self, name: &str, length: u64) -> std::io::Result<()> {
        self.write(|files| files.entry(name.into()).or_default().truncate(usize::try_from(length).unwrap()))
    }
    fn rename(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        self.write(|files| {
            if let Some(file) = files.remove(from) {
                files.insert(to.into(), file);
            }
        })
    }
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from("/memory").join(name)
    }
    fn latency(&self) -> Duration {
        self.0.lock().unwrap().latency
    }
}

impl Site for World {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            uname: "memory".into(),
            root: true,
            providers: vec![ProviderKind::File, ProviderKind::FileThin],
            layers: vec![LayerKind::Storage],
            ..Capabilities::default()
        }
    }
    fn provider(&self, kind: ProviderKind, _named: Option<&str>) -> Result<Arc<Loaded>, Fault> {
        match kind {
            ProviderKind::File | ProviderKind::FileThin => Ok(Loaded::linked(FileProvider)),
            _ => Err(Fault::new(berth_plugin_sdk::FaultKind::Unsupported, "there are files only")),
        }
    }
    fn machine(&self, _provider: &Loaded, pool: &Pool) -> Box<dyn Machine> {
        Box::new(MemoryMachine::new(pool.clone(), self.memory.clone()))
    }
    fn attaches(&self) -> bool {
        true
    }
    fn in_use(&self, _device: &str) -> bool {
        !self.holders.lock().unwrap().is_empty()
    }
    fn holders(&self, device: &str) -> Vec<Holder> {
        let row = |(pid, command): &(u32, String)| Holder::Process { device: device.to_owned(), pid: *pid, command: command.clone() };
        self.holders.lock().unwrap().iter().map(row).collect()
    }
    fn link(&self, resource: &ResourceName, volume: VolumeNumber) -> Option<String> {
        self.links.lock().unwrap().get(&(resource.to_string(), volume.get())).cloned()
    }
    fn set_link(&self, resource: &ResourceName, volume: VolumeNumber, device: &str) -> Result<(), Fault> {
        self.links.lock().unwrap().insert((resource.to_string(), volume.get()), device.to_owned());
        Ok(())
    }
    fn remove_link(&self, resource: &ResourceName, volume: VolumeNumber) -> Result<(), Fault> {
        self.links.lock().unwrap().remove(&(resource.to_string(), volume.get()));
        Ok(())
    }
    fn sweep_links(&self, keep: &dyn Fn(&str, &str, &str) -> bool) {
        self.links.lock().unwrap().retain(|(resource, volume), device| keep(resource, &volume.to_string(), device));
    }
    fn fill(&self, _provider: &Loaded, _pool: &Pool, order: &Filled) -> Result<(), Fault> {
        if let Filled::Copy { from: Data::File(from), to: Data::File(to) } = order {
            self.memory.copy(from, to);
        }
        Ok(())
    }
    fn scan(&self) {}
    fn latency(&self) -> Duration {
        self.latency
    }
    fn is_quick(&self) -> bool {
        true
    }
}

/// A session, seen from the controller, with all that was heard.
pub struct Talk {
    pub down: mpsc::Sender<Result<Down, Status>>,
    pub up: mpsc::Receiver<Result<Up, Status>>,
    pub epoch: u64,
    pub generation: u64,
    pub items: BTreeMap<Uuid, ItemSeen>,
    pub observations: Vec<Observation>,
    pub log: Vec<String>,
    begun: Instant,
}

impl Talk {
    /// Says hello.
    pub async fn begin(satellite: &Satellite, hello: Hello) -> Self {
        let ((down, stream), (sender, up)) = (mpsc::channel(16), mpsc::channel(32));
        let (own, epoch) = (satellite.clone(), hello.epoch);
        tokio::spawn(async move { own.converse(ReceiverStream::new(stream), sender, None).await });
        let talk = Self {
            down,
            up,
            epoch,
            generation: 0,
            items: BTreeMap::new(),
            observations: Vec::new(),
            log: Vec::new(),
            begun: Instant::now(),
        };
        talk.say(down::Message::Hello(hello)).await;
        talk
    }

    pub async fn say(&self, message: down::Message) {
        drop(self.down.send(Ok(Down { message: Some(message) })).await);
    }

    pub async fn plan(&mut self, base: u64, pools: Option<Vec<PoolPlan>>, items: Vec<PlanItem>) {
        self.generation += 1;
        let body = serde_json::to_vec(&PlanBody { pools, items, files: None, forget: Vec::new() }).unwrap();
        self.say(down::Message::Plan(Plan { epoch: self.epoch, generation: self.generation, base, body, trace: String::new() })).await;
    }

    pub async fn forget(&mut self, ids: &[Uuid]) {
        let base = self.generation;
        self.generation += 1;
        let body = serde_json::to_vec(&PlanBody { pools: None, items: Vec::new(), files: None, forget: ids.to_vec() }).unwrap();
        self.say(down::Message::Plan(Plan { epoch: self.epoch, generation: self.generation, base, body, trace: String::new() })).await;
    }

    pub async fn ping(&self, number: u64, generation: u64) {
        self.say(down::Message::Ping(Ping { number, generation })).await;
    }

    pub async fn need_report(&self) {
        self.say(down::Message::NeedReport(NeedReport { number: 1 })).await;
    }

    /// The next message; `None`: the session ended, and the log says how.
    pub async fn hear(&mut self) -> Option<up::Message> {
        // Of paused time, in which an hour of silence is over at once.
        let heard = tokio::time::timeout(Duration::from_secs(3600), self.up.recv()).await.expect("nothing is heard any more");
        let at = self.begun.elapsed().as_millis();
        let message = match heard {
            Some(Ok(up)) => up.message.unwrap(),
            Some(Err(status)) => {
                self.log.push(format!("{at} {}", status.message()));
                return None;
            }
            None => {
                self.log.push(format!("{at} end"));
                return None;
            }
        };
        if let up::Message::Observation(seen) = &message {
            let body: Observation = serde_json::from_slice(&seen.body).unwrap();
            self.log.push(format!("{at} observation {} of {}: {body:?}", seen.number, seen.generation));
            self.items.extend(body.items.iter().map(|item| (item.id, item.clone())));
            self.observations.push(body);
        } else {
            self.log.push(format!("{at} {message:?}"));
        }
        Some(message)
    }

    /// Hears until a message of a kind came.
    pub async fn until(&mut self, what: &str, is: impl Fn(&up::Message) -> bool) -> up::Message {
        loop {
            let message = self.hear().await.unwrap_or_else(|| panic!("{what}: the session ended"));
            if is(&message) {
                return message;
            }
        }
    }

    /// Hears until strangers were told, and says their names.
    pub async fn strangers(&mut self) -> Vec<String> {
        loop {
            let before = self.observations.len();
            self.until("an observation", |message| matches!(message, up::Message::Observation(_))).await;
            let told = self.observations.iter().skip(before).find_map(|seen| seen.strangers.as_ref());
            if let Some(told) = told {
                return told.iter().map(|one| format!("{}/{} {} {}", one.pool, one.backing, one.name, one.id.as_u128())).collect();
            }
        }
    }

    /// Hears until items are as planned.
    pub async fn settle(&mut self, ids: &[Uuid]) {
        let settled = |own: &Self, id: &Uuid| {
            own.items.get(id).is_some_and(|seen| seen.generation >= own.generation && seen.standing == Standing::Settled)
        };
        while !ids.iter().all(|id| settled(self, id)) {
            self.until("an observation", |message| matches!(message, up::Message::Observation(_))).await;
        }
    }

    /// Hears until items were compared with the newest plan and rest.
    pub async fn rest(&mut self, ids: &[Uuid]) -> Vec<ItemSeen> {
        let rests = |own: &Self, id: &Uuid| {
            own.items.get(id).is_some_and(|seen| seen.generation >= own.generation && seen.standing != Standing::Working)
        };
        while !ids.iter().all(|id| rests(self, id)) {
            self.until("an observation", |message| matches!(message, up::Message::Observation(_))).await;
        }
        ids.iter().map(|id| self.items[id].clone()).collect()
    }
}
