//! What a request costs does not depend on what it does not touch: the same requests, beside few and beside many other resources,
//! take the same number of allocations and of bytes, in the controller and in the satellites together.
//!
//! Counted, not timed: everything runs on one thread in paused time, so that two runs cost the same.

#![allow(clippy::unwrap_used)] // A helper of a test may end it, too.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use berth_controller::outside::{Dial, Dialing, Outside};
use berth_controller::{Config, Controller, Running};
use berth_engine::apply::{Decision, apply};
use berth_engine::command::{Command, FilterRequest, NetIfInput};
use berth_engine::draft::Context;
use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::codec;
use berth_model::ids::{Id, IdSource};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::objects::NodeType;
use berth_model::observed::{Capabilities, ConnectionStatus, NodeSeen, Observed, PoolRecord, PoolSeen};
use berth_model::size::Kib;
use berth_model::time::Timestamp;
use berth_proto::{Down, Hello, down};
use berth_satellite::{Satellite, SimConfig, simulated};
use berth_store::{Cluster as Identity, Loaded, MemoryStore, Record, Store};
use futures_util::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Resources beside which a request is made; each has a volume, numbers, and is one of three replicas.
const FEW: usize = 600;
const MANY: usize = 9_000;
/// Nodes without a satellite, which hold them.
const FAR: usize = 20;
/// Nodes with one.
const NEAR: usize = 3;
/// Requests of each kind that are counted together.
const TIMES: usize = 20;

/// One request, in allocations and in bytes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    allocations: u64,
    bytes: u64,
}

impl Cost {
    /// Depth of trees and length of names may show, and nothing else.
    fn is_like(self, other: Self) -> bool {
        let like = |much: u64, little: u64, slack: u64| much <= little + little / 10 + slack;
        like(self.allocations, other.allocations, 50) && like(self.bytes, other.bytes, 16 << 10)
    }
}

fn node(number: usize, near: bool) -> (String, SocketAddr) {
    let (word, net) = if near { ("near", 1) } else { ("far", 2) };
    (format!("{word}-{number}"), SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, net, number as u8)), 3366))
}

fn create_node((name, address): (String, SocketAddr)) -> Command {
    let interface = NetIfInput {
        name: "default".into(),
        address: Some(address.ip().to_string()),
        satellite_port: Some(i64::from(address.port())),
        ..NetIfInput::default()
    };
    Command::CreateNode { name, node_type: None, net_interfaces: vec![interface], props: BTreeMap::new() }
}

fn create_pool(node: &str, name: &str) -> Command {
    Command::CreateStorPool {
        node: node.into(),
        name: name.into(),
        provider_kind: "FILE_THIN".into(),
        shared_space: None,
        external_locking: false,
        props: [("StorDriver/StorPoolName".to_owned(), "/pool".to_owned())].into(),
    }
}

fn spawn(name: String, pool: &str) -> Command {
    let mut filter = FilterRequest { layer_stack: Some(vec!["DRBD".into(), "STORAGE".into()]), ..FilterRequest::default() };
    filter.filter.place_count = Some(3);
    filter.filter.storage_pool_list = Some(vec![pool.into()]);
    Command::SpawnResource {
        group: "DfltRscGrp".into(),
        name: Some(name),
        external_name: None,
        volume_sizes: vec![65_536],
        partial: false,
        definitions_only: false,
        filter,
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

/// A node that can do everything, with an empty pool of 1 PiB.
fn able(cluster: &Cluster, name: &NodeName, pool: &str) -> NodeSeen {
    let mut seen = online();
    let name_of_pool = StorPoolName::parse(pool).unwrap();
    let id = cluster.pool(name, &name_of_pool).unwrap().id.uuid();
    let size = Some(Kib(1 << 40));
    let extent_kib = Kib(4);
    let pool = PoolSeen {
        name: name_of_pool.clone(),
        id,
        free_kib: size,
        total_kib: size,
        extent_kib,
        snapshots: true,
        min_io: None,
        fault: None,
    };
    seen.pools.insert(name_of_pool, Arc::new(PoolRecord { seen: pool, at: Timestamp(1) }));
    seen
}

/// A node that can do everything.
fn online() -> NodeSeen {
    let mut seen = NodeSeen::unknown(ConnectionStatus::Online, Timestamp(1));
    let able =
        Capabilities { layers: LayerKind::ALL.to_vec(), providers: ProviderKind::ALL.to_vec(), root: true, ..Capabilities::default() };
    seen.capabilities = Some(Arc::new(able));
    seen
}

/// A cluster of `FAR` nodes with so many resources, as the engine makes it, whose work has ended; the nodes have no satellites any more.
fn filled(resources: usize) -> Cluster {
    let mut cluster = Cluster::empty(Id::from_uuid(Uuid::from_u128(7)));
    let mut observed = Observed::default();
    let mut seed = 0u128;
    let mut ids = || {
        seed += 1;
        IdSource::new(Timestamp(1_767_225_600_000), seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes())
    };
    let first: Vec<Change> = berth_engine::settings::first_objects(cluster.id, &mut ids()).into_iter().map(Change::Put).collect();
    cluster.fold(&first);
    let mut give = |cluster: &mut Cluster, observed: &Observed, command: Command| {
        let secret = "abcdefghijklmnopqrst".to_owned();
        let context = Context {
            now: Timestamp(1),
            ids: ids(),
            secret,
            caller: berth_model::access::Caller::internal("test"),
            observed,
            keys: &berth_engine::vault::NoKeys,
        };
        let Decision { result, .. } = apply(cluster, &command, context);
        let applied = result.unwrap_or_else(|refused| panic!("{command:?}: {refused:?}"));
        cluster.fold(&applied.changes);
        cluster.serial += 1;
        let ended: Vec<Change> = applied.jobs.iter().map(|id| Change::Delete(Key::Job(*id))).collect();
        cluster.fold(&ended);
    };
    for number in 0..FAR {
        let (name, address) = node(number, false);
        give(&mut cluster, &observed, create_node((name.clone(), address)));
        let name = NodeName::parse(&name).unwrap();
        observed.nodes.insert(name.clone(), Arc::new(online()));
        give(&mut cluster, &observed, create_pool(name.as_str(), "far"));
        observed.nodes.insert(name.clone(), Arc::new(able(&cluster, &name, "far")));
    }
    for number in 0..resources / 3 {
        give(&mut cluster, &observed, spawn(format!("other-{number}"), "far"));
    }
    let retired: Vec<Change> = cluster
        .nodes
        .values()
        .map(|node| {
            let mut node = (**node).clone();
            (node.node_type, node.active) = (NodeType::Auxiliary, None);
            node.net_interfaces.iter_mut().for_each(|interface| interface.satellite = None);
            Change::Put(Object::Node(node))
        })
        .collect();
    cluster.fold(&retired);
    cluster
}

async fn stored(cluster: &Cluster) -> MemoryStore {
    let record = |object: Object| {
        let change = Change::Put(object);
        let key = change.key();
        let Change::Put(object) = &change else { unreachable!() };
        let body = codec::encode(object, None);
        Record { kind: key.kind().word().to_owned(), key: key.text(), version: codec::version(key.kind()), serial: cluster.serial, body }
    };
    let identity = Identity { id: cluster.id.to_string(), created_ms: 1 };
    let records = cluster.objects().map(record).collect();
    let state = Loaded { serial: cluster.serial, epoch: 1, cluster: Some(identity), records, ..Loaded::default() };
    let store = MemoryStore::new();
    store.restore(state, Vec::new()).await.unwrap();
    store
}

/// The satellites of this process, without a network between.
#[derive(Debug)]
struct Here(BTreeMap<SocketAddr, Satellite>);

impl Dial for Here {
    fn dial(&self, address: SocketAddr, hello: Hello) -> Dialing<'_> {
        Box::pin(async move {
            let satellite = self.0.get(&address).cloned().ok_or("nobody is there")?;
            let ((down, from_above), (up, from_below)) = (tokio::sync::mpsc::channel(4), tokio::sync::mpsc::channel(4));
            down.try_send(Down { message: Some(down::Message::Hello(hello)) }).map_err(|error| error.to_string())?;
            tokio::spawn(async move { satellite.converse(ReceiverStream::new(from_above).map(Ok), up, None).await });
            Ok((down, ReceiverStream::new(from_below).boxed()))
        })
    }
}

/// A clock that does not move, and chance that is counted.
#[derive(Debug, Default)]
struct Counted(std::sync::atomic::AtomicU64);

impl berth_controller::outside::World for Counted {
    fn now(&self) -> Timestamp {
        Timestamp(1_767_225_600_000)
    }

    fn chance(&self) -> [u8; 16] {
        let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        u128::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
    }
}

struct World {
    running: Running,
    /// Ends all of it.
    stop: CancellationToken,
}

impl World {
    fn controller(&self) -> &Controller {
        &self.running.controller
    }

    async fn must(&self, command: Command) {
        let text = format!("{command:?}");
        let answer = self.controller().submit(command, &berth_model::access::Caller::internal("tester"), "test").await;
        assert!(!answer.is_error(), "{text}: {answer:?}");
    }

    /// A world of `resources` far away, and `here` replicas on each node that has a satellite.
    async fn new(resources: usize, here: usize) -> Self {
        let stop = CancellationToken::new();
        let start = |number| {
            let (name, address) = node(number, true);
            (address, Satellite::start(simulated(&SimConfig::new(name)), &stop))
        };
        let outside = Outside { world: Arc::new(Counted::default()), dial: Arc::new(Here((0..NEAR).map(start).collect())) };
        let mut config = Config::new("/nowhere", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        config.reports = None;
        // Signs of life are no part of a request.
        (config.ping, config.silence) = (Duration::from_secs(3600), Duration::from_secs(7200));
        let store = Arc::new(stored(&filled(resources)).await);
        let running = berth_controller::start(&config, store, outside, stop.clone()).await.unwrap();
        let world = Self { running, stop };
        for number in 0..NEAR {
            let (name, address) = node(number, true);
            world.must(create_node((name.clone(), address))).await;
            world.must(create_pool(&name, "near")).await;
        }
        for number in 0..here {
            world.must(spawn(format!("here-{number}"), "near")).await;
        }
        world
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.end().await;
    }
}

/// What a spawn and a deletion cost, from the request to the answer that says that it is done.
fn costs(resources: usize, here: usize) -> [Cost; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let world = runtime.block_on(World::new(resources, here));
    let each = |what: &str, command: &dyn Fn(String) -> Command| {
        let counted = measure(|| {
            runtime.block_on(async {
                for number in 0..TIMES {
                    world.must(command(format!("mine-{number:03}"))).await;
                }
            });
        });
        let cost = Cost { allocations: counted.count_total / TIMES as u64, bytes: counted.bytes_total / TIMES as u64 };
        println!("{what} beside {resources} resources elsewhere and {here} here: {cost:?}");
        cost
    };
    let spawned = each("spawn", &|name| spawn(name, "near"));
    let settled = |name: &ResourceName| world.controller().view().cluster.jobs_on(name).count() == 0;
    assert!(
        (0..TIMES).all(|number| settled(&ResourceName::parse(&format!("mine-{number:03}")).unwrap())),
        "each answer says that it is done"
    );
    let deleted = each("delete", &|name| Command::DeleteResourceDefinition { name });
    assert_eq!(world.controller().view().cluster.definitions.len(), resources / 3 + here);
    runtime.block_on(world.end());
    [spawned, deleted]
}

#[test]
fn a_request_costs_the_same_beside_many_resources() {
    for (few, many) in costs(FEW, 0).into_iter().zip(costs(MANY, 0)) {
        assert!(many.is_like(few), "{many:?} beside {MANY}, {few:?} beside {FEW}");
    }
}

#[test]
fn a_request_costs_the_same_beside_many_items_of_its_satellites() {
    for (few, many) in costs(0, 20).into_iter().zip(costs(0, 500)) {
        assert!(many.is_like(few), "{many:?} beside 500, {few:?} beside 20");
    }
}

/// What a resource takes of the controller's memory: the largest part of what a cluster of 100,000 of them needs.
#[test]
fn a_resource_takes_little_memory() {
    let mut kept = None;
    let empty = measure(|| kept = Some(filled(0))).bytes_current;
    let full = measure(|| kept = Some(filled(FEW))).bytes_current;
    let each = (full - empty) / FEW as i64;
    println!("{each} bytes for each resource");
    drop(kept);
    assert!(each < 2048, "{each} bytes for each resource");
}
