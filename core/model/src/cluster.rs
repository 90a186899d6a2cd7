//! The whole cluster as one immutable value: a fold of the store's records (law 1), cheap to clone and to edit.
//!
//! The maps of records are the truth; the indices beside them are derived, updated by [`Cluster::fold`] alone and
//! checked against a rebuild in tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use uuid::Uuid;

use crate::access::Token;
use crate::change::{Change, Key, NumberClaim, NumberKey, Object};
use crate::codec::Residue;
use crate::connections::{NodeConnection, Pair, ResourceConnection};
use crate::files::{ExternalFile, of_property};
use crate::ids::{Id, kind};
use crate::job::{Job, Subject};
use crate::names::{FilePath, KvsName, NodeName, ResourceGroupName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::objects::{
    ControllerObject, KeyValueStore, Node, Resource, ResourceDefinition, ResourceGroup, StorPool, StorPoolDfn, Tombstone,
};
use crate::snapshot::Snapshot;
use crate::vault::MasterKey;

mod aside;
mod between;
mod pools;
mod runs;
mod strange;
mod walk;

use runs::Runs;
use strange::{is_natural_copy, strange};

pub use pools::{PoolUse, Unsettled};

/// What an item of a plan is, found by its generation id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOwner {
    /// A replica.
    Resource(ResourceName, NodeName),
    /// A snapshot's copy.
    Snapshot(ResourceName, SnapshotName, NodeName),
    /// What a tombstone still wants gone.
    Tombstone(NodeName),
}

/// A record that could not be decoded: kept in the store, its name reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Kind as stored.
    pub kind: String,
    /// Key as stored.
    pub key: String,
    /// Why.
    pub why: String,
}

/// The cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Id of the cluster, made once.
    pub id: Id<kind::Cluster>,
    /// Serial of the last transaction.
    pub serial: u64,
    /// Leader epoch under which this controller writes.
    pub epoch: u64,
    /// The cluster's properties.
    pub controller: Arc<ControllerObject>,
    /// Nodes.
    pub nodes: OrdMap<NodeName, Arc<Node>>,
    /// Storage pool definitions.
    pub pool_definitions: OrdMap<StorPoolName, Arc<StorPoolDfn>>,
    /// Storage pools by node and name.
    pub pools: OrdMap<NodeName, OrdMap<StorPoolName, Arc<StorPool>>>,
    /// Resource groups.
    pub groups: OrdMap<ResourceGroupName, Arc<ResourceGroup>>,
    /// Resource definitions.
    pub definitions: OrdMap<ResourceName, Arc<ResourceDefinition>>,
    /// Resources by definition and node. No empty inner maps.
    pub resources: OrdMap<ResourceName, OrdMap<NodeName, Arc<Resource>>>,
    /// Snapshots by definition and name. No empty inner maps.
    pub snapshots: OrdMap<ResourceName, OrdMap<SnapshotName, Arc<Snapshot>>>,
    /// Key-value stores.
    pub stores: OrdMap<KvsName, Arc<KeyValueStore>>,
    /// API tokens by their numbers, the revoked ones included.
    pub tokens: OrdMap<u64, Arc<Token>>,
    /// Open jobs.
    pub jobs: OrdMap<Id<kind::Job>, Arc<Job>>,
    /// Tombstones by the id of the item that must be gone.
    pub tombstones: OrdMap<Uuid, Arc<Tombstone>>,
    /// Taken numbers and who holds them.
    pub numbers: OrdMap<NumberKey, Uuid>,
    /// The master key as it is kept; `None`: no master passphrase was ever set.
    pub master_key: Option<Arc<MasterKey>>,
    /// Connections of nodes.
    pub node_connections: OrdMap<Pair, Arc<NodeConnection>>,
    /// Connections of replicas by definition. No empty inner maps.
    pub resource_connections: OrdMap<ResourceName, OrdMap<Pair, Arc<ResourceConnection>>>,
    /// External files.
    pub files: OrdMap<FilePath, Arc<ExternalFile>>,
    /// Records that could not be decoded or trusted; set by [`Cluster::set_aside`].
    pub quarantined: Arc<Vec<Quarantined>>,
    /// Fields of documents that this version does not know.
    pub residues: OrdMap<Key, Arc<Residue>>,

    by_node: OrdMap<NodeName, OrdSet<ResourceName>>,
    snapshots_by_node: OrdMap<NodeName, OrdSet<(ResourceName, SnapshotName)>>,
    tombstones_by_node: OrdMap<NodeName, OrdSet<Uuid>>,
    by_external_name: OrdMap<String, ResourceName>,
    by_group: OrdMap<ResourceGroupName, OrdSet<ResourceName>>,
    items: OrdMap<Uuid, ItemOwner>,
    jobs_by_resource: OrdMap<ResourceName, OrdSet<Id<kind::Job>>>,
    jobs_by_node: OrdMap<NodeName, OrdSet<Id<kind::Job>>>,
    jobs_awaiting: OrdMap<NodeName, OrdSet<Id<kind::Job>>>,
    jobs_by_source: OrdMap<ResourceName, OrdSet<Id<kind::Job>>>,
    nodes_by_pool: OrdMap<StorPoolName, OrdSet<NodeName>>,
    departures: OrdMap<NodeName, OrdSet<(ResourceName, Id<kind::Job>)>>,
    pool_use: OrdMap<(NodeName, StorPoolName), PoolUse>,
    unsettled: OrdMap<(NodeName, StorPoolName), OrdMap<(Uuid, VolumeNumber), Unsettled>>,
    /// Backing objects that are not named after what they belong to now, in upper case.
    strange: OrdSet<(NodeName, StorPoolName, String)>,
    connected: OrdMap<NodeName, OrdSet<Pair>>,
    deployed: OrdMap<FilePath, OrdSet<ResourceName>>,
    minors: Runs,
    ports: OrdMap<NodeName, Runs>,
    /// Numbers of quarantined records: nobody is known to hold them, and nobody gets them.
    reserved_numbers: Arc<BTreeSet<NumberKey>>,
}

impl Cluster {
    /// A cluster without any record.
    #[must_use]
    pub fn empty(id: Id<kind::Cluster>) -> Self {
        Self {
            id,
            serial: 0,
            epoch: 0,
            controller: Arc::default(),
            nodes: OrdMap::new(),
            pool_definitions: OrdMap::new(),
            pools: OrdMap::new(),
            groups: OrdMap::new(),
            definitions: OrdMap::new(),
            resources: OrdMap::new(),
            snapshots: OrdMap::new(),
            stores: OrdMap::new(),
            tokens: OrdMap::new(),
            jobs: OrdMap::new(),
            tombstones: OrdMap::new(),
            numbers: OrdMap::new(),
            quarantined: Arc::default(),
            residues: OrdMap::new(),
            by_node: OrdMap::new(),
            snapshots_by_node: OrdMap::new(),
            tombstones_by_node: OrdMap::new(),
            by_external_name: OrdMap::new(),
            by_group: OrdMap::new(),
            items: OrdMap::new(),
            jobs_by_resource: OrdMap::new(),
            jobs_by_node: OrdMap::new(),
            jobs_awaiting: OrdMap::new(),
            jobs_by_source: OrdMap::new(),
            nodes_by_pool: OrdMap::new(),
            departures: OrdMap::new(),
            pool_use: OrdMap::new(),
            unsettled: OrdMap::new(),
            master_key: None,
            node_connections: OrdMap::new(),
            resource_connections: OrdMap::new(),
            files: OrdMap::new(),
            strange: OrdSet::new(),
            connected: OrdMap::new(),
            deployed: OrdMap::new(),
            minors: Runs::default(),
            ports: OrdMap::new(),
            reserved_numbers: Arc::default(),
        }
    }

    /// Applies changes in their order. Total: any sequence of changes folds.
    pub fn fold<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            self.unindex(&change.key());
            match change {
                Change::Put(object) => self.put(object),
                Change::Delete(key) => self.delete(key),
            }
        }
    }

    fn put(&mut self, object: &Object) {
        match object {
            Object::Controller(o) => self.controller = Arc::new(o.clone()),
            Object::Node(o) => {
                // The key keeps the spelling of the newest object.
                self.nodes.remove(&o.name);
                self.nodes.insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::StorPoolDfn(o) => {
                self.pool_definitions.insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::StorPool(o) => {
                self.nodes_by_pool.entry(o.name.clone()).or_default().insert(o.node.clone());
                self.pools.entry(o.node.clone()).or_default().insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::ResourceGroup(o) => {
                self.groups.remove(&o.name);
                self.groups.insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::ResourceDefinition(o) => {
                if let Some(external) = &o.external_name {
                    self.by_external_name.insert(external.clone(), o.name.clone());
                }
                self.by_group.entry(o.group.clone()).or_default().insert(o.name.clone());
                for path in o.props.iter().filter_map(|(key, _)| of_property(key)) {
                    self.deployed.entry(path).or_default().insert(o.name.clone());
                }
                self.definitions.remove(&o.name);
                self.definitions.insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::Resource(o) => {
                self.by_node.entry(o.node.clone()).or_default().insert(o.name.clone());
                self.items.insert(o.id.uuid(), ItemOwner::Resource(o.name.clone(), o.node.clone()));
                self.use_pools(o);
                self.resources.entry(o.name.clone()).or_default().insert(o.node.clone(), Arc::new(o.clone()));
            }
            Object::Snapshot(o) => {
                for (node, copy) in &o.copies {
                    self.snapshots_by_node.entry(node.clone()).or_default().insert((o.resource.clone(), o.name.clone()));
                    let owner = ItemOwner::Snapshot(o.resource.clone(), o.name.clone(), node.clone());
                    self.items.insert(copy.id.uuid(), owner);
                    for volume in copy.volumes.values() {
                        if !is_natural_copy(&o.name, volume) {
                            self.strange.insert(strange(node, &volume.pool, &volume.backing));
                        }
                        self.pool_use.entry((node.clone(), volume.pool.clone())).or_default().snapshot_volumes += 1;
                    }
                }
                self.snapshots.entry(o.resource.clone()).or_default().insert(o.name.clone(), Arc::new(o.clone()));
            }
            Object::KeyValueStore(name, o) => {
                self.stores.insert(name.clone(), Arc::new(o.clone()));
            }
            Object::Token(o) => {
                self.tokens.insert(o.id, Arc::new(o.clone()));
            }
            Object::Job(o) => {
                match &o.subject {
                    Subject::Resource(name) => self.jobs_by_resource.entry(name.clone()).or_default().insert(o.id),
                    Subject::Node(name) => self.jobs_by_node.entry(name.clone()).or_default().insert(o.id),
                };
                for awaited in o.task.awaited() {
                    self.jobs_awaiting.entry(awaited.node.clone()).or_default().insert(o.id);
                }
                if let Some(source) = o.task.source() {
                    self.jobs_by_source.entry(source.clone()).or_default().insert(o.id);
                }
                for (node, entry) in walk::departures(o) {
                    self.departures.entry(node.clone()).or_default().insert(entry);
                }
                self.jobs.insert(o.id, Arc::new(o.clone()));
            }
            Object::Tombstone(o) => {
                let id = o.item.id();
                self.tombstones_by_node.entry(o.node.clone()).or_default().insert(id);
                self.items.insert(id, ItemOwner::Tombstone(o.node.clone()));
                self.tombstones.insert(id, Arc::new(o.clone()));
            }
            Object::Number(NumberClaim { key, holder }) => {
                match key {
                    NumberKey::Minor { minor } => self.minors.insert(*minor),
                    NumberKey::Port { node, port } => self.ports.entry(node.clone()).or_default().insert(u32::from(*port)),
                    NumberKey::NodeId { .. } => {}
                }
                self.numbers.insert(key.clone(), *holder);
            }
            Object::MasterKey(o) => self.master_key = Some(Arc::new(o.clone())),
            Object::NodeConnection(o) => {
                for node in [o.nodes.first(), o.nodes.second()] {
                    self.connected.entry(node.clone()).or_default().insert(o.nodes.clone());
                }
                self.node_connections.insert(o.nodes.clone(), Arc::new(o.clone()));
            }
            Object::ResourceConnection(o) => {
                self.resource_connections.entry(o.resource.clone()).or_default().insert(o.nodes.clone(), Arc::new(o.clone()));
            }
            Object::ExternalFile(o) => {
                self.files.remove(&o.path);
                self.files.insert(o.path.clone(), Arc::new(o.clone()));
            }
        }
    }

    fn delete(&mut self, key: &Key) {
        self.residues.remove(key);
        match key {
            Key::Controller => self.controller = Arc::default(),
            Key::Node(name) => {
                self.nodes.remove(name);
            }
            Key::StorPoolDfn(name) => {
                self.pool_definitions.remove(name);
            }
            Key::StorPool(node, name) => remove_inner(&mut self.pools, node, name),
            Key::ResourceGroup(name) => {
                self.groups.remove(name);
            }
            Key::ResourceDefinition(name) => {
                self.definitions.remove(name);
            }
            Key::Resource(name, node) => remove_inner(&mut self.resources, name, node),
            Key::Snapshot(name, snapshot) => remove_inner(&mut self.snapshots, name, snapshot),
            Key::KeyValueStore(name) => {
                self.stores.remove(name);
            }
            Key::Token(id) => {
                self.tokens.remove(id);
            }
            Key::Job(id) => {
                self.jobs.remove(id);
            }
            Key::Tombstone(id) => {
                self.tombstones.remove(id);
            }
            Key::Number(number) => {
                self.numbers.remove(number);
            }
            Key::MasterKey => self.master_key = None,
            Key::NodeConnection(nodes) => {
                self.node_connections.remove(nodes);
            }
            Key::ResourceConnection(name, nodes) => remove_inner(&mut self.resource_connections, name, nodes),
            Key::ExternalFile(path) => {
                self.files.remove(path);
            }
        }
    }

    /// Takes what the record under `key` contributes to the indices out of them.
    fn unindex(&mut self, key: &Key) {
        match key {
            Key::ResourceDefinition(name) => {
                if let Some(old) = self.definitions.get(name).cloned() {
                    if let Some(external) = &old.external_name {
                        self.by_external_name.remove(external);
                    }
                    remove_member(&mut self.by_group, &old.group, name);
                    for path in old.props.iter().filter_map(|(key, _)| of_property(key)) {
                        remove_member(&mut self.deployed, &path, name);
                    }
                }
            }
            Key::Resource(name, node) => {
                if let Some(old) = self.resource(name, node).cloned() {
                    remove_member(&mut self.by_node, node, name);
                    self.items.remove(&old.id.uuid());
                    self.leave_pools(&old);
                }
            }
            Key::Snapshot(name, snapshot) => {
                if let Some(old) = self.snapshot(name, snapshot).cloned() {
                    for (node, copy) in &old.copies {
                        remove_member(&mut self.snapshots_by_node, node, &(name.clone(), snapshot.clone()));
                        self.items.remove(&copy.id.uuid());
                        for volume in copy.volumes.values() {
                            if !is_natural_copy(&old.name, volume) {
                                self.strange.remove(&strange(node, &volume.pool, &volume.backing));
                            }
                            self.unuse(node, &volume.pool, |used| used.snapshot_volumes = used.snapshot_volumes.saturating_sub(1));
                        }
                    }
                }
            }
            Key::Job(id) => {
                if let Some(old) = self.jobs.get(id).cloned() {
                    match &old.subject {
                        Subject::Resource(name) => remove_member(&mut self.jobs_by_resource, name, id),
                        Subject::Node(name) => remove_member(&mut self.jobs_by_node, name, id),
                    }
                    for awaited in old.task.awaited() {
                        remove_member(&mut self.jobs_awaiting, &awaited.node, id);
                    }
                    if let Some(source) = old.task.source() {
                        remove_member(&mut self.jobs_by_source, source, id);
                    }
                    for (node, entry) in walk::departures(&old) {
                        remove_member(&mut self.departures, node, &entry);
                    }
                }
            }
            Key::Tombstone(id) => {
                if let Some(old) = self.tombstones.get(id).cloned() {
                    remove_member(&mut self.tombstones_by_node, &old.node, id);
                    self.items.remove(id);
                }
            }
            Key::Number(number @ NumberKey::Minor { minor }) => {
                if !self.reserved_numbers.contains(number) {
                    self.minors.remove(*minor);
                }
            }
            Key::Number(number @ NumberKey::Port { node, port }) => {
                if !self.reserved_numbers.contains(number) {
                    self.free_port(node, *port);
                }
            }
            Key::StorPool(node, name) => remove_member(&mut self.nodes_by_pool, name, node),
            Key::NodeConnection(nodes) => {
                for node in [nodes.first(), nodes.second()] {
                    remove_member(&mut self.connected, node, nodes);
                }
            }
            Key::Controller
            | Key::MasterKey
            | Key::ResourceConnection(..)
            | Key::ExternalFile(_)
            | Key::Node(_)
            | Key::StorPoolDfn(_)
            | Key::ResourceGroup(_)
            | Key::KeyValueStore(_)
            | Key::Token(_)
            | Key::Number(NumberKey::NodeId { .. }) => {}
        }
    }

    /// One replica.
    #[must_use]
    pub fn resource(&self, name: &ResourceName, node: &NodeName) -> Option<&Arc<Resource>> {
        self.resources.get(name)?.get(node)
    }

    /// The replicas of a definition in the order of their nodes.
    pub fn replicas(&self, name: &ResourceName) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.get(name).into_iter().flat_map(|nodes| nodes.values())
    }

    /// One snapshot.
    #[must_use]
    pub fn snapshot(&self, name: &ResourceName, snapshot: &SnapshotName) -> Option<&Arc<Snapshot>> {
        self.snapshots.get(name)?.get(snapshot)
    }

    /// The snapshots of a definition in the order of their names.
    pub fn snapshots_of(&self, name: &ResourceName) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.snapshots.get(name).into_iter().flat_map(|snapshots| snapshots.values())
    }

    /// One storage pool.
    #[must_use]
    pub fn pool(&self, node: &NodeName, name: &StorPoolName) -> Option<&Arc<StorPool>> {
        self.pools.get(node)?.get(name)
    }

    /// The storage pools of a node in the order of their names.
    pub fn pools_of(&self, node: &NodeName) -> impl Iterator<Item = &Arc<StorPool>> {
        self.pools.get(node).into_iter().flat_map(|pools| pools.values())
    }

    /// The replicas on a node in the order of their names.
    pub fn resources_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.by_node.get(node).into_iter().flatten().filter_map(move |name| self.resource(name, node))
    }

    /// How many replicas are on a node.
    #[must_use]
    pub fn count_on(&self, node: &NodeName) -> usize {
        self.by_node.get(node).map_or(0, OrdSet::len)
    }

    /// The snapshots that have a copy on a node.
    pub fn snapshots_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Arc<Snapshot>> {
        self.snapshots_by_node.get(node).into_iter().flatten().filter_map(move |(name, snapshot)| self.snapshot(name, snapshot))
    }

    /// The tombstones of a node.
    pub fn tombstones_on<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Arc<Tombstone>> {
        self.tombstones_by_node.get(node).into_iter().flatten().filter_map(move |id| self.tombstones.get(id))
    }

    /// The definition with this external name (exact).
    #[must_use]
    pub fn by_external_name(&self, external: &str) -> Option<&ResourceName> {
        self.by_external_name.get(external)
    }

    /// The definitions of a group in the order of their names.
    pub fn definitions_of<'a>(&'a self, group: &'a ResourceGroupName) -> impl Iterator<Item = &'a Arc<ResourceDefinition>> {
        self.by_group.get(group).into_iter().flatten().filter_map(move |name| self.definitions.get(name))
    }

    /// What an item of a plan is.
    #[must_use]
    pub fn owner(&self, item: Uuid) -> Option<&ItemOwner> {
        self.items.get(&item)
    }

    /// The open jobs on a definition, oldest first.
    pub fn jobs_on<'a>(&'a self, name: &'a ResourceName) -> impl Iterator<Item = &'a Arc<Job>> {
        self.jobs_by_resource.get(name).into_iter().flatten().filter_map(move |id| self.jobs.get(id))
    }

    /// The open jobs on a node itself (evacuation and the like), oldest first.
    pub fn jobs_on_node<'a>(&'a self, name: &'a NodeName) -> impl Iterator<Item = &'a Arc<Job>> {
        self.jobs_by_node.get(name).into_iter().flatten().filter_map(move |id| self.jobs.get(id))
    }

    /// The open jobs that wait for an item of a node, oldest first.
    pub fn jobs_awaiting(&self, name: &NodeName) -> impl Iterator<Item = Id<kind::Job>> + '_ {
        self.jobs_awaiting.get(name).into_iter().flatten().copied()
    }

    /// The open jobs that copy from a definition or from a snapshot of it, oldest first.
    pub fn jobs_copying<'a>(&'a self, from: &'a ResourceName) -> impl Iterator<Item = &'a Arc<Job>> {
        self.jobs_by_source.get(from).into_iter().flatten().filter_map(move |id| self.jobs.get(id))
    }

    /// How many nodes have a storage pool of this name.
    #[must_use]
    pub fn pools_named(&self, name: &StorPoolName) -> usize {
        self.nodes_by_pool.get(name).map_or(0, OrdSet::len)
    }

    /// The lowest free DRBD minor of `from..=to`.
    #[must_use]
    pub fn lowest_free_minor(&self, from: u32, to: u32) -> Option<u32> {
        self.minors.lowest_free(from, to)
    }

    /// The lowest TCP port of `from..=to` that is free on a node; those of quarantined records are not.
    #[must_use]
    pub fn lowest_free_port(&self, node: &NodeName, from: u16, to: u16) -> Option<u16> {
        let free = match self.ports.get(node) {
            Some(taken) => taken.lowest_free(u32::from(from), u32::from(to))?,
            None => u32::from((from <= to).then_some(from)?),
        };
        u16::try_from(free).ok()
    }

    fn free_port(&mut self, node: &NodeName, port: u16) {
        if let Some(taken) = self.ports.get_mut(node) {
            taken.remove(u32::from(port));
            if taken.is_empty() {
                self.ports.remove(node);
            }
        }
    }

    /// The DRBD node ids that are taken among a definition's replicas, those of quarantined records among them.
    #[must_use]
    pub fn node_ids_of(&self, name: &ResourceName) -> BTreeSet<u8> {
        let from = NumberKey::NodeId { resource: name.clone(), node_id: 0 };
        let to = NumberKey::NodeId { resource: name.clone(), node_id: u8::MAX };
        let reserved = self.reserved_numbers.range(from.clone()..=to.clone());
        let taken = self.numbers.range(from..=to).map(|(key, _)| key).chain(reserved);
        taken.filter_map(|key| if let NumberKey::NodeId { node_id, .. } = key { Some(*node_id) } else { None }).collect()
    }

    /// Every object, for writing all of them (export, first records, tests). Order: by kind.
    pub fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        std::iter::once(Object::Controller((*self.controller).clone()))
            .chain(self.nodes.values().map(|o| Object::Node((**o).clone())))
            .chain(self.pool_definitions.values().map(|o| Object::StorPoolDfn((**o).clone())))
            .chain(self.pools.values().flat_map(|m| m.values()).map(|o| Object::StorPool((**o).clone())))
            .chain(self.groups.values().map(|o| Object::ResourceGroup((**o).clone())))
            .chain(self.definitions.values().map(|o| Object::ResourceDefinition((**o).clone())))
            .chain(self.resources.values().flat_map(|m| m.values()).map(|o| Object::Resource((**o).clone())))
            .chain(self.snapshots.values().flat_map(|m| m.values()).map(|o| Object::Snapshot((**o).clone())))
            .chain(self.stores.iter().map(|(name, o)| Object::KeyValueStore(name.clone(), (**o).clone())))
            .chain(self.tokens.values().map(|o| Object::Token((**o).clone())))
            .chain(self.jobs.values().map(|o| Object::Job((**o).clone())))
            .chain(self.tombstones.values().map(|o| Object::Tombstone((**o).clone())))
            .chain(self.numbers.iter().map(|(key, holder)| Object::Number(NumberClaim { key: key.clone(), holder: *holder })))
            .chain(self.master_key.iter().map(|o| Object::MasterKey((**o).clone())))
            .chain(self.node_connections.values().map(|o| Object::NodeConnection((**o).clone())))
            .chain(self.resource_connections.values().flat_map(|m| m.values()).map(|o| Object::ResourceConnection((**o).clone())))
            .chain(self.files.values().map(|o| Object::ExternalFile((**o).clone())))
    }
}

fn remove_inner<A: Ord + Clone, B: Ord + Clone, T: Clone>(outer: &mut OrdMap<A, OrdMap<B, T>>, a: &A, b: &B) {
    if let Some(inner) = outer.get_mut(a) {
        inner.remove(b);
        if inner.is_empty() {
            outer.remove(a);
        }
    }
}

fn remove_member<A: Ord + Clone, B: Ord + Clone>(index: &mut OrdMap<A, OrdSet<B>>, a: &A, b: &B) {
    if let Some(members) = index.get_mut(a) {
        members.remove(b);
        if members.is_empty() {
            index.remove(a);
        }
    }
}
