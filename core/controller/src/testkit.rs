//! A controller on a store in memory, and satellites that do what a test says, for the tests of this crate.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berth_engine::command::{Command, NetIfInput, ResourceInput, VolumeDefinitionInput};
use berth_model::ids::{Id, kind};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::observed::{Capabilities, ConnectionStatus, Fault, ItemSeen, Observation, PoolSeen, Standing};
use berth_model::plan::{PlanBody, PlanItem, PoolPlan, Wanted};
use berth_model::size::Kib;
use berth_store::MemoryStore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Config;
use crate::serve::{Core, core};
use crate::session::Link;
use crate::state::{Answer, Controller, View};
use crate::writer::{FromSession, Message, SessionEvent};

/// Longer than anything in a test takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A controller without sessions.
pub(crate) struct Kit {
    pub controller: Controller,
    pub store: Arc<MemoryStore>,
    pub core: Core,
    pub stop: CancellationToken,
    /// Gone with the kit.
    _folder: tempfile::TempDir,
}

impl Kit {
    pub async fn new() -> Self {
        Self::on(MemoryStore::new()).await
    }

    pub async fn on(store: MemoryStore) -> Self {
        Self::with(store, |_| {}).await
    }

    /// One that runs as `set` says.
    pub async fn with(store: MemoryStore, set: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, stop) = (Arc::new(store), CancellationToken::new());
        let mut config = Config::new(folder.path(), SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        set(&mut config);
        let core = core(&config, Arc::clone(&store) as _, crate::outside::Outside::real().world, stop.clone()).await.unwrap();
        Self { controller: core.controller.clone(), store, core, stop, _folder: folder }
    }

    /// Ends the controller and finds what a new process would.
    pub async fn restart(self) -> Self {
        self.stop.cancel();
        self.core.quit.cancel();
        self.core.writer.await.unwrap();
        Self::on(self.store.restart()).await
    }

    pub async fn submit(&self, command: Command) -> Answer {
        self.controller.submit(command, &berth_model::access::Caller::internal("tester"), "test").await
    }

    /// Carries out commands that must succeed.
    pub async fn must(&self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            let answer = self.submit(command.clone()).await;
            assert!(!answer.is_error(), "{command:?}: {answer:?}");
        }
    }

    /// A node with a pool `thin`, online.
    pub async fn node(&self, name: &str) -> Fake {
        let (answer, fake) = tokio::join!(self.submit(node(name)), async {
            let view = until(&self.controller, |view| view.cluster.nodes.contains_key(&node_name(name))).await;
            let mut fake = Fake::new(self, &view, name);
            fake.open().await;
            fake.report(true, |_| Standing::Settled).await;
            fake
        });
        assert!(!answer.is_error(), "{answer:?}");
        let mut fake = fake;
        // The answer waits for the first look at the pool.
        tokio::join!(self.must([pool(name)]), async {
            fake.take().await;
            fake.report(false, |_| Standing::Settled).await;
        });
        fake
    }

    /// A definition with one volume of 64 MiB.
    pub async fn definition(&self, name: &str) {
        self.must(definition(name)).await;
    }
}

/// Waits until the published state is as wanted.
pub(crate) async fn until(controller: &Controller, is: impl Fn(&View) -> bool) -> View {
    let mut views = controller.follow();
    let view = tokio::time::timeout(DEADLINE, views.wait_for(|view| is(view))).await;
    view.expect("the wanted state never came").expect("the controller lives").clone()
}

pub(crate) fn node_name(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub(crate) fn node(name: &str) -> Command {
    node_at(name, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3366))
}

pub(crate) fn node_at(name: &str, address: SocketAddr) -> Command {
    let interface = NetIfInput {
        name: "default".into(),
        address: Some(address.ip().to_string()),
        satellite_port: Some(i64::from(address.port())),
        ..NetIfInput::default()
    };
    Command::CreateNode { name: name.into(), node_type: None, net_interfaces: vec![interface], props: BTreeMap::new() }
}

pub(crate) fn pool(node: &str) -> Command {
    Command::CreateStorPool {
        node: node.into(),
        name: "thin".into(),
        provider_kind: "FILE_THIN".into(),
        shared_space: None,
        external_locking: false,
        props: [("StorDriver/StorPoolName".to_owned(), format!("/pools/{node}"))].into(),
    }
}

pub(crate) fn definition(name: &str) -> [Command; 2] {
    [
        Command::CreateResourceDefinition {
            name: Some(name.into()),
            external_name: None,
            group: None,
            layers: vec!["STORAGE".into()],
            props: BTreeMap::new(),
            drbd_port: None,
            drbd_secret: None,
            drbd_transport_type: None,
            drbd_peer_slots: None,
        },
        Command::CreateVolumeDefinition {
            resource: name.into(),
            volume: VolumeDefinitionInput { size_kib: 65536, ..VolumeDefinitionInput::default() },
        },
    ]
}

pub(crate) fn replica(resource: &str, node: &str) -> Command {
    let replica =
        ResourceInput { node: node.into(), props: [("StorPoolName".to_owned(), "thin".to_owned())].into(), ..ResourceInput::default() };
    Command::CreateResources { resource: resource.into(), replicas: vec![replica] }
}

/// A key-value store, the smallest change there is.
pub(crate) fn kvs(name: &str, value: &str) -> Command {
    Command::ModifyKeyValueStore {
        name: name.into(),
        expected: BTreeMap::new(),
        override_props: [("key".to_owned(), value.to_owned())].into(),
        delete_props: Vec::new(),
        delete_namespaces: Vec::new(),
    }
}

/// The open jobs on a resource.
pub(crate) fn jobs(view: &View, resource: &str) -> usize {
    view.cluster.jobs_on(&ResourceName::parse(resource).unwrap()).count()
}

/// What a satellite holds: the plan, and what it says of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Holding {
    pub generation: u64,
    pub pools: Vec<PoolPlan>,
    pub items: BTreeMap<Uuid, PlanItem>,
}

impl Holding {
    /// Takes a plan; returns the items that it names.
    pub fn take(&mut self, generation: u64, base: u64, body: PlanBody) -> Vec<Uuid> {
        if base == 0 {
            self.items.clear();
        }
        let named = body.items.iter().map(PlanItem::id).collect();
        self.items.extend(body.items.into_iter().map(|item| (item.id(), item)));
        body.forget.iter().for_each(|id| drop(self.items.remove(id)));
        self.pools = body.pools.unwrap_or_else(|| std::mem::take(&mut self.pools));
        self.generation = generation;
        named
    }

    /// A report of all items and pools.
    pub fn report(&self, whole: bool, standing: impl Fn(&PlanItem) -> Standing) -> Observation {
        let items = self.items.values().map(|item| self.item(item, standing(item))).collect();
        let pools = self.pools.iter().map(|pool| PoolSeen {
            name: pool.name.clone(),
            id: pool.id.uuid(),
            free_kib: Some(Kib(10 << 20)),
            total_kib: Some(Kib(10 << 20)),
            extent_kib: Kib(4),
            snapshots: true,
            min_io: None,
            fault: None,
        });
        Observation { whole, items, pools: pools.collect(), strangers: None, files: None, peers: None }
    }

    fn item(&self, item: &PlanItem, standing: Standing) -> ItemSeen {
        let standing = match (standing, item.wanted()) {
            (Standing::Settled, Wanted::Absent) => Standing::Gone,
            (other, _) => other,
        };
        let fault = (standing == Standing::Faulty).then(|| Fault {
            kind: berth_model::observed::FaultKind::Bug,
            message: "it does not want to".into(),
            cause: "a test".into(),
            correction: "Ask again.".into(),
            details: String::new(),
            holders: Vec::new(),
        });
        ItemSeen { id: item.id(), generation: self.generation, standing, volumes: Vec::new(), fault }
    }
}

pub(crate) fn capabilities(uname: &str) -> Capabilities {
    Capabilities {
        uname: uname.into(),
        root: true,
        providers: vec![ProviderKind::Diskless, ProviderKind::File, ProviderKind::FileThin],
        layers: vec![LayerKind::Storage],
        ..Capabilities::default()
    }
}

static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// The satellite's side of a session, on the queue instead of the wire.
pub(crate) struct Fake {
    controller: Controller,
    pub node: NodeName,
    id: Id<kind::Node>,
    pub session: u64,
    link: Arc<Link>,
    pub held: Holding,
}

impl Fake {
    pub fn new(kit: &Kit, view: &View, name: &str) -> Self {
        let node = node_name(name);
        let id = view.cluster.nodes[&node].id;
        Self { controller: kit.controller.clone(), node, id, session: 0, link: Arc::default(), held: Holding::default() }
    }

    pub async fn tell(&self, event: SessionEvent) {
        let message = FromSession { node: self.node.clone(), id: self.id, session: self.session, event };
        self.controller.queue().send(Message::Session(Box::new(message))).await.unwrap();
    }

    /// Begins a session and takes the whole plan.
    pub async fn open(&mut self) {
        self.session = SESSIONS.fetch_add(1, Ordering::Relaxed) + 1;
        self.link = Arc::default();
        self.held = Holding::default();
        let capabilities = Box::new(capabilities(self.node.as_str()));
        self.tell(SessionEvent::Opened { link: Arc::clone(&self.link), capabilities }).await;
        self.take().await;
    }

    /// Waits for the next plan and takes it; returns the items that it names.
    pub async fn take(&mut self) -> Vec<Uuid> {
        let order = loop {
            tokio::time::timeout(DEADLINE, self.link.changes()).await.expect("no plan came");
            if let Some(order) = self.link.take(self.held.generation) {
                break order;
            }
        };
        let (base, body) = order.body(&self.node, self.held.generation);
        self.held.take(order.cluster.serial, base, body)
    }

    /// Does what it is told, for good.
    pub async fn obey(mut self) {
        loop {
            self.link.changes().await;
            if let Some(order) = self.link.take(self.held.generation) {
                let (base, body) = order.body(&self.node, self.held.generation);
                self.held.take(order.cluster.serial, base, body);
                self.report(false, |_| Standing::Settled).await;
            }
        }
    }

    /// Reports all that it holds.
    pub async fn report(&self, whole: bool, standing: impl Fn(&PlanItem) -> Standing) {
        self.tell(SessionEvent::Seen(Box::new(self.held.report(whole, standing)))).await;
    }

    /// Goes away, and waits until that is known.
    pub async fn leave(&self) {
        self.tell(SessionEvent::Lost { reason: "a test".into() }).await;
        self.status(ConnectionStatus::Offline).await;
    }

    /// Waits for a state of the connection.
    pub async fn status(&self, status: ConnectionStatus) {
        until(&self.controller, |view| view.observed.nodes.get(&self.node).is_some_and(|seen| seen.status == status)).await;
    }
}

/// The name of the pool of each node.
pub(crate) fn thin() -> StorPoolName {
    StorPoolName::parse("thin").unwrap()
}
