//! A controller of a few lines, and a world for the satellite under test.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

pub mod process;
pub mod world;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use berth_model::ids::Id;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use berth_model::observed::{Capabilities, ItemSeen, Observation, PoolSeen, Standing, Stranger};
use berth_model::plan::*;
use berth_model::size::Kib;
use berth_proto::satellite_client::SatelliteClient;
use berth_proto::{Down, Hello, Refusal, StalePlan, Up, Welcome, down, up};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

pub const DEADLINE: Duration = Duration::from_secs(30);
pub const CLUSTER: Uuid = Uuid::from_u128(0xc1);
pub const NODE: Uuid = Uuid::from_u128(0x11);

/// A session, seen from the controller.
pub struct Controller {
    pub down: mpsc::Sender<Down>,
    pub up: Streaming<Up>,
    pub welcome: Welcome,
    pub epoch: u64,
    pub generation: u64,
    pub items: HashMap<Uuid, ItemSeen>,
    pub pools: HashMap<String, PoolSeen>,
    pub strangers: Option<Vec<Stranger>>,
    pub wholes: usize,
    pub need_whole: usize,
    pub stale: Vec<StalePlan>,
}

pub fn hello(epoch: u64) -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        epoch,
        cluster_id: CLUSTER.to_string(),
        node_id: NODE.to_string(),
        node_name: "alpha".into(),
        controller_version: "test".into(),
        features: Vec::new(),
        leader: String::new(),
    }
}

/// Says hello until somebody answers.
pub async fn connect(address: SocketAddr, hello: Hello) -> Result<Controller, Refusal> {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match attempt(address, hello.clone()).await {
            Some(answer) => return answer,
            None => assert!(tokio::time::Instant::now() < end, "no answer from {address}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Says hello once, to a satellite that may be dead.
pub async fn try_connect(address: SocketAddr) -> Option<Controller> {
    attempt(address, hello(1)).await.and_then(Result::ok)
}

async fn attempt(address: SocketAddr, hello: Hello) -> Option<Result<Controller, Refusal>> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.ok()?;
    let mut client = SatelliteClient::new(channel).max_decoding_message_size(256 << 20);
    let epoch = hello.epoch;
    let (down, stream) = mpsc::channel(16);
    down.send(Down { message: Some(down::Message::Hello(hello)) }).await.unwrap();
    let mut up = client.session(ReceiverStream::new(stream)).await.ok()?.into_inner();
    match up.message().await.ok()??.message.unwrap() {
        up::Message::Welcome(welcome) => Some(Ok(Controller {
            down,
            up,
            epoch,
            generation: welcome.generation,
            welcome,
            items: HashMap::new(),
            pools: HashMap::new(),
            strangers: None,
            wholes: 0,
            need_whole: 0,
            stale: Vec::new(),
        })),
        up::Message::Refusal(refusal) => Some(Err(refusal)),
        other => panic!("neither welcome nor refusal: {other:?}"),
    }
}

impl Controller {
    pub fn capabilities(&self) -> Capabilities {
        serde_json::from_slice(&self.welcome.capabilities).unwrap()
    }

    pub async fn send(&self, generation: u64, base: u64, body: &PlanBody) {
        assert!(self.try_send(generation, base, body).await);
    }

    /// Whether it could be sent.
    pub async fn try_send(&self, generation: u64, base: u64, body: &PlanBody) -> bool {
        let plan = berth_proto::Plan { epoch: self.epoch, generation, base, body: serde_json::to_vec(body).unwrap(), trace: String::new() };
        self.down.send(Down { message: Some(down::Message::Plan(plan)) }).await.is_ok()
    }

    /// Sends a whole plan.
    pub async fn whole(&mut self, pools: Vec<PoolPlan>, items: Vec<PlanItem>) {
        self.generation += 1;
        self.send(self.generation, 0, &PlanBody { pools: Some(pools), items, files: None, forget: Vec::new() }).await;
    }

    /// Sends a partial plan and waits until its items have come to rest.
    pub async fn plan(&mut self, items: Vec<PlanItem>) -> Vec<ItemSeen> {
        let ids: Vec<Uuid> = items.iter().map(PlanItem::id).collect();
        self.generation += 1;
        self.send(self.generation, self.generation - 1, &PlanBody { pools: None, items, files: None, forget: Vec::new() }).await;
        self.rest(&ids).await
    }

    /// Takes one message.
    pub async fn hear(&mut self) -> bool {
        let message = tokio::time::timeout(DEADLINE, self.up.message()).await.expect("nothing was heard in time");
        let Ok(Some(Up { message: Some(message) })) = message else { return false };
        match message {
            up::Message::Observation(seen) => {
                let seen: Observation = serde_json::from_slice(&seen.body).unwrap();
                if seen.whole {
                    self.wholes += 1;
                    self.items.clear();
                }
                self.items.extend(seen.items.into_iter().map(|item| (item.id, item)));
                if seen.strangers.is_some() {
                    self.strangers = seen.strangers;
                }
                self.pools.extend(seen.pools.into_iter().map(|pool| (pool.name.to_string(), pool)));
            }
            up::Message::NeedWhole(_) => self.need_whole += 1,
            up::Message::StalePlan(stale) => self.stale.push(stale),
            up::Message::Told(_) => {}
            up::Message::Pong(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
        true
    }

    pub async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + DEADLINE;
        while !done(self) {
            assert!(tokio::time::Instant::now() < end, "{what}: {:?}", self.items);
            assert!(self.hear().await, "{what}: the session ended");
        }
    }

    /// Waits until items were compared with the newest plan and nothing is left to do.
    pub async fn rest(&mut self, ids: &[Uuid]) -> Vec<ItemSeen> {
        let generation = self.generation;
        let rests = |seen: &ItemSeen| seen.generation >= generation && seen.standing != Standing::Working;
        self.until("items come to rest", |own| ids.iter().all(|id| own.items.get(id).is_some_and(rests))).await;
        ids.iter().map(|id| self.items[id].clone()).collect()
    }
}

pub fn pool(place: &Path, provider: ProviderKind) -> PoolPlan {
    PoolPlan {
        id: Id::from_uuid(Uuid::from_u128(0x90)),
        name: StorPoolName::parse("pool").unwrap(),
        provider,
        place: place.to_str().unwrap().to_owned(),
        props: Default::default(),
    }
}

/// A replica with one volume. Its ids come from `number`.
pub fn replica(name: &str, number: u128, kib: u64, wanted: Wanted, content: u128, source: ContentSource) -> PlanItem {
    PlanItem::Resource(ResourcePlan {
        adopt: false,
        id: Id::from_uuid(Uuid::from_u128(number)),
        resource: ResourceName::parse(name).unwrap(),
        wanted,
        layers: vec![LayerKind::Storage],
        diskless: false,
        volumes: vec![VolumePlan {
            id: Id::from_uuid(Uuid::from_u128(number + 1)),
            number: VolumeNumber::new(0).unwrap(),
            wanted,
            pool: StorPoolName::parse("pool").unwrap(),
            backing: format!("{name}_00000"),
            backing_kib: Kib(kib),
            content: Content { id: Id::from_uuid(Uuid::from_u128(content)), source },
            peers: Vec::new(),
        }],
    })
}

/// A snapshot `snap` of the replica with the ids of `of`.
pub fn snapshot(name: &str, of: u128, snap: &str, number: u128, wanted: Wanted, taken: bool) -> PlanItem {
    PlanItem::Snapshot(SnapshotPlan {
        adopt: false,
        id: Id::from_uuid(Uuid::from_u128(number)),
        snapshot: SnapshotName::parse(snap).unwrap(),
        resource: ResourceName::parse(name).unwrap(),
        wanted,
        taken,
        volumes: vec![SnapshotVolumePlan {
            id: Id::from_uuid(Uuid::from_u128(number + 1)),
            number: VolumeNumber::new(0).unwrap(),
            pool: StorPoolName::parse("pool").unwrap(),
            backing: format!("{name}_00000_{snap}"),
            source: Id::from_uuid(Uuid::from_u128(of + 1)),
            source_backing: format!("{name}_00000"),
        }],
    })
}

pub fn from_snapshot(name: &str, snap: &str, number: u128) -> ContentSource {
    ContentSource::Snapshot { id: Id::from_uuid(Uuid::from_u128(number + 1)), backing: format!("{name}_00000_{snap}") }
}

pub fn from_volume(name: &str, number: u128) -> ContentSource {
    ContentSource::Volume { id: Id::from_uuid(Uuid::from_u128(number + 1)), backing: format!("{name}_00000") }
}

pub fn device(seen: &ItemSeen) -> String {
    seen.volumes[0].device_path.clone().unwrap_or_else(|| panic!("no device: {seen:?}"))
}

pub fn sh(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|e| panic!("{words:?}: {e}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder on a small XFS of its own. Everything that was attached below it goes with it.
pub struct Xfs {
    folder: tempfile::TempDir,
}

impl Xfs {
    /// `None` where the machine cannot do that (not root, no mkfs.xfs): the test has nothing to say then.
    pub fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Command::new("mkfs.xfs").arg("-V").output().is_err() {
            eprintln!("skipped: needs root and mkfs.xfs");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (image, mount) = (folder.path().join("image"), folder.path().join("mnt"));
        std::fs::File::create(&image).unwrap().set_len(1 << 30).unwrap();
        std::fs::create_dir(&mount).unwrap();
        sh(&["mkfs.xfs", "-q", "-m", "reflink=1", image.to_str().unwrap()]);
        sh(&["mount", "-o", "loop", image.to_str().unwrap(), mount.to_str().unwrap()]);
        std::fs::create_dir(mount.join("pool")).unwrap();
        Some(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn pool(&self) -> PathBuf {
        self.folder.path().join("mnt/pool")
    }

    /// Loop devices with files of the pool: device, file.
    pub fn loops(&self) -> Vec<(String, String)> {
        let pool = self.pool().canonicalize().unwrap();
        let all = sh(&["losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"]);
        let rows = all.lines().filter_map(|line| line.split_once(' ')).filter(|(_, file)| file.starts_with(pool.to_str().unwrap()));
        rows.map(|(device, file)| (device.to_owned(), file.to_owned())).collect()
    }

    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.pool()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        for (device, _) in self.loops() {
            drop(Command::new("losetup").args(["-d", &device]).status());
        }
        drop(Command::new("umount").arg("-l").arg(self.folder.path().join("mnt")).status());
    }
}
