//! A state made of records in memory, and everything that can happen to it.

use std::sync::Arc;

use berth_model::change::{Change, Key, Object};
use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::ids::Id;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceGroupName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use berth_model::objects::{
    DrbdDefinition, DrbdResource, Node, NodeType, Resource, ResourceDefinition, ResourceGroup, SelectFilter, StorPool, Volume,
    VolumeDefinition,
};
use berth_model::observed::{ConnectionStatus, Fault, FaultKind, ItemRecord, ItemSeen, NodeSeen, Observed, Standing, VolumeSeen};
use berth_model::plan::{Content, ContentSource};
use berth_model::props::{PEER_SLOTS, Props, SKIP_DISK};
use berth_model::size::Kib;
use berth_model::snapshot::{CopyState, NodeSnapshot, Snapshot, SnapshotVolume, SnapshotVolumeDefinition};
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::View;

pub struct World {
    pub cluster: Cluster,
    pub observed: Observed,
    pub dice: fastrand::Rng,
    now: i64,
}

fn resource_name(number: usize) -> ResourceName {
    ResourceName::parse(&format!("res-{number:06}")).unwrap()
}

fn node_name(number: usize) -> NodeName {
    NodeName::parse(&format!("node-{number}")).unwrap()
}

fn zero() -> VolumeNumber {
    VolumeNumber::new(0).unwrap()
}

fn pool_name() -> StorPoolName {
    StorPoolName::parse("thin").unwrap()
}

impl World {
    pub fn new(seed: u64) -> Self {
        let cluster = Cluster::empty(Id::from_uuid(Uuid::from_u128(1)));
        Self { cluster, observed: Observed::default(), dice: fastrand::Rng::with_seed(seed), now: 1_795_273_923_042 }
    }

    /// A large one: definitions with three replicas each, everything seen.
    pub fn large(replicas: usize, nodes: usize) -> Self {
        let mut world = Self::new(1);
        (0..nodes).for_each(|number| world.put_node(number, true));
        world.put_group(0);
        for number in 0..replicas / 3 {
            world.put_definition(number, 0);
            for at in 0..3 {
                let node = (number + at * (nodes / 3)) % nodes;
                world.put_replica(number, node, false);
                world.see(number, node, false);
            }
        }
        world
    }

    pub fn view(&self) -> View {
        View { cluster: Arc::new(self.cluster.clone()), observed: Arc::new(self.observed.clone()) }
    }

    fn id<T>(&mut self) -> Id<T> {
        Id::from_uuid(Uuid::from_u128(self.dice.u128(..)))
    }

    fn time(&mut self) -> Timestamp {
        self.now += self.dice.i64(1..5000);
        Timestamp(self.now)
    }

    fn put(&mut self, object: Object) {
        self.fold(Change::Put(object));
    }

    fn fold(&mut self, change: Change) {
        self.cluster.fold([&change]);
        self.cluster.serial += 1;
    }

    /// Now and then a property that some document shows, now and then one that none does.
    fn props(&mut self) -> Props {
        let mut props = Props::default();
        for (key, values) in [(SKIP_DISK, ["True", "False"]), (PEER_SLOTS, ["3", "9"]), ("Aux/\"zone\"", ["a\n", "b\u{e9}"])] {
            if self.dice.u8(..3) == 0 {
                props.insert_internal(key, values[self.dice.usize(..2)]);
            }
        }
        props
    }

    pub fn put_node(&mut self, number: usize, online: bool) {
        let name = node_name(number);
        let (id, created) = (self.id(), self.time());
        let node = Node {
            id,
            name: name.clone(),
            node_type: NodeType::Satellite,
            flags: Default::default(),
            net_interfaces: Vec::new(),
            active: None,
            props: Props::default(),
            created,
            absence: None,
        };
        self.put(Object::Node(node));
        self.put_pool(number, Props::default());
        let at = self.time();
        let status = if online { ConnectionStatus::Online } else { ConnectionStatus::Offline };
        self.observed.nodes.insert(name, Arc::new(NodeSeen::unknown(status, at)));
    }

    fn put_pool(&mut self, node: usize, props: Props) {
        let pool = StorPool {
            id: self.id(),
            node: node_name(node),
            name: pool_name(),
            provider: ProviderKind::FileThin,
            shared_space: None,
            external_locking: false,
            props,
        };
        self.put(Object::StorPool(pool));
    }

    fn group_name(number: usize) -> ResourceGroupName {
        ResourceGroupName::parse(&format!("group-{number}")).unwrap()
    }

    pub fn put_group(&mut self, number: usize) {
        let group = ResourceGroup {
            id: self.id(),
            name: Self::group_name(number),
            description: String::new(),
            filter: SelectFilter::default(),
            peer_slots: self.dice.bool().then_some(5),
            volume_groups: Default::default(),
            props: self.props(),
            tenant: None,
        };
        self.put(Object::ResourceGroup(group));
    }

    pub fn put_definition(&mut self, number: usize, group: usize) {
        let volume = VolumeDefinition {
            id: self.id(),
            size_kib: Kib(65_536 + self.dice.u64(..9)),
            flags: Default::default(),
            minor: Some(u32::try_from(1000 + number).unwrap()),
            props: Props::default(),
            passphrase: None,
        };
        let definition = ResourceDefinition {
            id: self.id(),
            name: resource_name(number),
            external_name: None,
            group: Self::group_name(group),
            layers: Vec::new(),
            drbd: DrbdDefinition { port: None, secret: "secret".into(), transport: None, peer_slots: None, used_node_ids: 0 },
            flags: Default::default(),
            props: Props::default(),
            volumes: [(zero(), volume)].into(),
            created: self.time(),
        };
        self.put(Object::ResourceDefinition(definition));
    }

    pub fn put_replica(&mut self, number: usize, node: usize, diskless: bool) {
        let (name, node) = (resource_name(number), node_name(node));
        let volume = Volume {
            id: self.id(),
            pool: pool_name(),
            provider: if diskless { ProviderKind::Diskless } else { ProviderKind::FileThin },
            backing: format!("{name}_00000"),
            backing_kib: Kib(65_600),
            content: Content { id: self.id(), source: ContentSource::Kept },
            flags: Default::default(),
            props: Props::default(),
        };
        let resource = Resource {
            id: self.id(),
            definition: self.cluster.definitions.get(&name).map_or(Id::from_uuid(Uuid::nil()), |definition| definition.id),
            name,
            node,
            layers: vec![LayerKind::Drbd, LayerKind::Storage],
            flags: diskless.then_some(ResourceFlag::Diskless).into_iter().collect(),
            drbd: Some(DrbdResource { node_id: 1, ports: vec![7000], peer_slots: 7 }),
            volumes: [(zero(), volume)].into(),
            props: Props::default(),
            created: self.time(),
        };
        self.put(Object::Resource(resource));
    }

    fn put_snapshot(&mut self, number: usize, name: usize) {
        let copies = (0..self.dice.usize(1..3)).map(|_| {
            let volume = SnapshotVolume {
                id: self.id(),
                pool: pool_name(),
                provider: ProviderKind::FileThin,
                backing: "b".into(),
                backing_kib: Kib(65_600),
                source: self.id(),
                source_backing: "s".into(),
            };
            let copy = NodeSnapshot {
                id: self.id(),
                state: [CopyState::Wanted, CopyState::Taken, CopyState::Deleting][self.dice.usize(..3)],
                created: self.dice.bool().then_some(Timestamp(7)),
                resource_props: Props::default(),
                volumes: [(zero(), volume)].into(),
            };
            (node_name(self.dice.usize(..6)), copy)
        });
        let copies = copies.collect();
        let volume = SnapshotVolumeDefinition {
            size_kib: Kib(65_536),
            flags: Default::default(),
            definition_props: Props::default(),
            props: Props::default(),
            passphrase: None,
        };
        let snapshot = Snapshot {
            id: self.id(),
            name: SnapshotName::parse(&format!("snap-{name}")).unwrap(),
            resource: resource_name(number),
            definition: self.id(),
            layers: vec![LayerKind::Storage],
            flags: Default::default(),
            props: self.props(),
            definition_props: self.props(),
            volumes: [(zero(), volume)].into(),
            copies,
            created: self.time(),
        };
        self.put(Object::Snapshot(snapshot));
    }

    fn look(&mut self, node: &NodeName, id: Uuid, faulty: bool) {
        let at = self.time();
        let fault = Fault {
            kind: FaultKind::Tool,
            message: "It does not work.".into(),
            cause: "why".into(),
            correction: "Do something.".into(),
            details: String::new(),
            holders: Vec::new(),
        };
        let volume = VolumeSeen {
            number: zero(),
            device_path: (!faulty).then(|| format!("/dev/loop{}", self.dice.u16(..500))),
            backing_kib: Kib(65_600),
            allocated_kib: Kib(self.dice.u64(..65_600)),
            in_use: self.dice.bool(),
            content: None,
            up_to_date: [None, Some(true), Some(true), Some(false)][self.dice.usize(..4)],
        };
        let standing = if faulty { Standing::Faulty } else { Standing::Settled };
        let seen = ItemSeen { id, generation: 1, standing, volumes: vec![volume], fault: faulty.then_some(fault) };
        self.edit_seen(node, |node| drop(node.items.insert(id, Arc::new(ItemRecord { seen, at }))));
    }

    fn edit_seen(&mut self, node: &NodeName, edit: impl FnOnce(&mut NodeSeen)) {
        if let Some(seen) = self.observed.nodes.get_mut(node) {
            edit(Arc::make_mut(seen));
        }
    }

    /// A satellite reports a replica.
    pub fn see(&mut self, number: usize, node: usize, faulty: bool) {
        let (name, node) = (resource_name(number), node_name(node));
        if let Some(id) = self.cluster.resource(&name, &node).map(|resource| resource.id.uuid()) {
            self.look(&node, id, faulty);
        }
    }

    /// Changes something, of `definitions` definitions and 6 nodes.
    pub fn happen(&mut self, definitions: usize) -> &'static str {
        let (number, node) = (self.dice.usize(..definitions), self.dice.usize(..6));
        let (name, group) = (resource_name(number), self.dice.usize(..3));
        let props = self.props();
        match self.dice.u8(..29) {
            0..4 => {
                let diskless = self.dice.bool();
                self.put_replica(number, node, diskless);
                "a replica is made, or made anew"
            }
            4 => {
                self.fold(Change::Delete(Key::Resource(name, node_name(node))));
                "a replica goes"
            }
            5..10 => {
                let faulty = self.dice.u8(..4) == 0;
                self.see(number, node, faulty);
                "a replica is seen"
            }
            10 => {
                let gone = self.observed.nodes.get(&node_name(node)).and_then(|seen| seen.items.keys().next().copied());
                self.edit_seen(&node_name(node), |seen| drop(gone.and_then(|id| seen.items.remove(&id))));
                "a report is forgotten"
            }
            11 => {
                let at = self.time();
                let status = [ConnectionStatus::Online, ConnectionStatus::Offline, ConnectionStatus::Connected][self.dice.usize(..3)];
                let reason = self.dice.bool().then(|| "It is \"away\".".to_owned());
                self.edit_seen(&node_name(node), |seen| {
                    (seen.status, seen.since, seen.reason) = (status, at, reason);
                    seen.away_since = (status != ConnectionStatus::Online).then_some(at);
                });
                "a node comes or goes"
            }
            12 => {
                let at = self.time();
                self.edit_seen(&node_name(node), |seen| (seen.reported, seen.attempts) = (Some(at), seen.attempts + 1));
                "a report without news"
            }
            13 => {
                self.observed.nodes.remove(&node_name(node));
                "a node was never seen"
            }
            14 => {
                let at = self.time();
                self.observed.nodes.insert(node_name(node), Arc::new(NodeSeen::unknown(ConnectionStatus::Online, at)));
                "a session begins"
            }
            15 => {
                let old = self.cluster.nodes.get(&node_name(node)).cloned();
                old.into_iter().for_each(|old| self.put(Object::Node(Node { props: props.clone(), ..(*old).clone() })));
                "properties of a node"
            }
            16 => {
                self.put_pool(node, props);
                "properties of a pool"
            }
            17 => {
                self.put_group(group);
                "properties of a group"
            }
            18 => {
                let mut controller = (*self.cluster.controller).clone();
                controller.props = props;
                self.put(Object::Controller(controller));
                "properties of the cluster"
            }
            19 => {
                let old = self.cluster.definitions.get(&name).cloned();
                old.into_iter()
                    .for_each(|old| self.put(Object::ResourceDefinition(ResourceDefinition { props: props.clone(), ..(*old).clone() })));
                "properties of a definition"
            }
            20 => {
                let text = format!("{}-{group}", ["group", "GROUP"][self.dice.usize(..2)]);
                let group = ResourceGroupName::parse(&text).unwrap();
                let old = self.cluster.definitions.get(&name).cloned();
                old.into_iter()
                    .for_each(|old| self.put(Object::ResourceDefinition(ResourceDefinition { group: group.clone(), ..(*old).clone() })));
                "another group, or another spelling of it"
            }
            21 => {
                let old = self.cluster.resource(&name, &node_name(node)).cloned();
                old.into_iter().for_each(|old| self.put(Object::Resource(Resource { props: props.clone(), ..(*old).clone() })));
                "properties of a replica"
            }
            22 => {
                let old = self.cluster.resource(&name, &node_name(node)).cloned();
                old.into_iter().for_each(|old| self.put(Object::Resource(Resource { volumes: Default::default(), ..(*old).clone() })));
                "a replica loses its volumes"
            }
            28 => {
                let peers = (0..6).filter(|_| self.dice.bool()).map(node_name).collect();
                self.edit_seen(&node_name(node), |seen| seen.peers = Arc::new(peers));
                "a node has other peers"
            }
            23 => {
                self.put_definition(number, group);
                "a definition is made, or made anew"
            }
            24 => {
                self.fold(Change::Delete(Key::ResourceDefinition(name)));
                "a definition goes"
            }
            25 => {
                self.put_snapshot(number, group);
                "a snapshot"
            }
            26 => {
                let copy = self.cluster.snapshots_of(&name).flat_map(|one| one.copies.iter()).map(|(node, copy)| (node.clone(), copy.id));
                let copy = copy.last();
                copy.into_iter().for_each(|(node, id)| self.look(&node, id.uuid(), false));
                "a copy is seen"
            }
            _ => {
                self.fold(Change::Delete(Key::Snapshot(name, SnapshotName::parse(&format!("snap-{group}")).unwrap())));
                "a snapshot goes"
            }
        }
    }
}
