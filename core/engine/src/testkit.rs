//! Small worlds for tests, from a text of one statement a line (or `;`):
//!
//! ```text
//! node alpha Aux/site=north          an online node that can do STORAGE
//! node bravo +DRBD                   … and DRBD
//! node charlie offline               a node that was never seen
//! pool thin on alpha FILE_THIN 10G   a pool of 10 GiB, all free; `10G/4G`: 4 GiB free
//! group fast STORAGE 2 thin          a group: layers (`-`: none), place count, pools (optional)
//! ties                               tiebreakers come and go by themselves; else they are turned off on the controller
//! ```
//!
//! `DfltRscGrp` and the diskless pool of each node are there. Sizes: `K`, `M`, `G`, `T`.

use std::sync::Arc;

use berth_model::access::Caller;
use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{DEFAULT_GROUP, DISKLESS_POOL, NodeName, ResourceGroupName, ResourceName, StorPoolName};
use berth_model::objects::{Node, NodeType, ResourceGroup, SelectFilter, StorPool, StorPoolDfn};
use berth_model::observed::{Capabilities, ConnectionStatus, Fault, FaultKind, NodeSeen, Observed, PoolRecord, PoolSeen};
use berth_model::props::{PropChange, Props};
use berth_model::size::Kib;
use berth_model::time::Timestamp;

use crate::apply::{Decision, apply};
use crate::command::Command;
use crate::draft::Context;
use crate::vault::{NoKeys, PaperKeys};

/// A cluster and what was seen of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) observed: Observed,
    pub(crate) seed: u64,
}

pub(crate) fn node(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(crate) fn resource(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

/// A change of properties that sets this one.
pub(crate) fn set(key: &str, value: &str) -> PropChange {
    PropChange::set([(key.to_owned(), value.to_owned())].into())
}

pub(crate) fn kib(text: &str) -> Kib {
    let (digits, unit) = text.split_at(text.len() - 1);
    let shift = match unit {
        "K" => 0,
        "M" => 10,
        "G" => 20,
        "T" => 30,
        _ => panic!("no size: {text}"),
    };
    Kib(digits.parse::<u64>().unwrap() << shift)
}

/// A short form of a decision: codes and references of its entries, one a line, errors with `!`.
pub(crate) fn told(decision: &Decision) -> Vec<String> {
    let replies = match &decision.result {
        Ok(applied) => &applied.replies,
        Err(refused) => &refused.replies,
    };
    let line = |reply: &berth_model::reply::Reply| {
        let refs: Vec<String> = reply.refs.iter().filter(|(key, _)| *key != "UUID").map(|(key, value)| format!("{key}={value}")).collect();
        let severity = format!("{:?}", reply.severity()).to_uppercase();
        let object = reply.object.map_or_else(|| "-".to_owned(), |object| format!("{object:?}"));
        format!("{severity} {object} {} {}", reply.code.number(), refs.join(" ")).trim_end().to_owned()
    };
    replies.iter().map(line).collect()
}

/// The satellite of `on` cannot use the pool any more.
pub(crate) fn break_pool(world: &mut World, on: &str, pool: &str) {
    let seen = Arc::make_mut(world.observed.nodes.get_mut(&node(on)).unwrap());
    let record = Arc::make_mut(seen.pools.get_mut(&StorPoolName::parse(pool).unwrap()).unwrap());
    record.seen.fault = Some(Fault {
        kind: FaultKind::Pool,
        message: "The disk is dead".to_owned(),
        cause: String::new(),
        correction: "Replace it".to_owned(),
        details: String::new(),
        holders: Vec::new(),
    });
}

impl World {
    /// The world of a text.
    pub(crate) fn of(text: &str) -> Self {
        let mut world = Self { cluster: Cluster::empty(Id::from_uuid(uuid::Uuid::nil())), observed: Observed::default(), seed: 0 };
        world.set_controller("DrbdOptions/auto-add-quorum-tiebreaker", "False");
        world.pool_definition(DISKLESS_POOL);
        world.group(&[DEFAULT_GROUP, "-", "2"]);
        for line in text.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[0] {
                "node" => world.node(&words[1..]),
                "pool" => world.pool(&words[1..]),
                "group" => world.group(&words[1..]),
                "ties" => world.set_controller("DrbdOptions/auto-add-quorum-tiebreaker", "True"),
                other => panic!("no statement: {other}"),
            }
        }
        world
    }

    pub(crate) fn ids(&mut self) -> IdSource {
        self.seed += 1;
        let mut seed = [7; 16];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        IdSource::new(Timestamp(1_700_000_000_000), seed)
    }

    pub(crate) fn put(&mut self, object: Object) {
        self.cluster.fold([&Change::Put(object)]);
    }

    /// Decides about a command and makes its changes.
    pub(crate) fn give(&mut self, command: &Command) -> Decision {
        let ids = self.ids();
        let observed = self.observed.clone();
        let context = Context {
            now: Timestamp(1),
            ids,
            secret: "abcdefghijklmnopqrst".to_owned(),
            caller: Caller::internal("test"),
            observed: &observed,
            keys: if self.cluster.master_key.is_some() { &PaperKeys } else { &NoKeys },
        };
        let decision = apply(&self.cluster, command, context);
        if let Ok(applied) = &decision.result {
            self.cluster.fold(&applied.changes);
            self.cluster.serial += 1;
        }
        decision
    }

    fn node(&mut self, words: &[&str]) {
        let name = node(words[0]);
        let mut props = Props::default();
        let mut able = Capabilities { layers: vec![LayerKind::Storage], ..Capabilities::default() };
        let mut status = ConnectionStatus::Online;
        for word in &words[1..] {
            if *word == "offline" {
                status = ConnectionStatus::Offline;
            } else if let Some(version) = word.strip_prefix("drbd-") {
                able.drbd = version.to_owned();
            } else if let Some(layer) = word.strip_prefix('+') {
                able.layers.push(LayerKind::parse(layer).unwrap());
            } else {
                let (key, value) = word.split_once('=').unwrap();
                props.insert_internal(key, value);
            }
        }
        let id = self.ids().next();
        self.put(Object::Node(Node {
            id,
            name: name.clone(),
            node_type: NodeType::Satellite,
            flags: Default::default(),
            net_interfaces: Vec::new(),
            active: None,
            props,
            created: Timestamp(0),
            absence: None,
        }));
        let mut seen = NodeSeen::unknown(status, Timestamp(0));
        seen.capabilities = (status == ConnectionStatus::Online).then(|| Arc::new(able));
        self.observed.nodes.insert(name, Arc::new(seen));
        self.pool(&[DISKLESS_POOL, "on", words[0], "DISKLESS", "0K"]);
    }

    /// Sets a property of the controller, whatever it is.
    pub(crate) fn set_controller(&mut self, key: &str, value: &str) {
        let mut controller = (*self.cluster.controller).clone();
        controller.props.insert_internal(key, value);
        self.put(Object::Controller(controller));
    }

    /// A further pool, in the words of a statement.
    pub(crate) fn add_pool(&mut self, words: &[&str]) {
        self.pool(words);
    }

    /// A further group, in the words of a statement.
    pub(crate) fn add_group(&mut self, words: &[&str]) {
        self.group(words);
    }

    fn pool_definition(&mut self, name: &str) {
        let (id, name) = (self.ids().next(), StorPoolName::parse(name).unwrap());
        self.put(Object::StorPoolDfn(StorPoolDfn { id, name, props: Props::default() }));
    }

    fn pool(&mut self, words: &[&str]) {
        let [name, "on", on, provider, size] = words else { panic!("no pool: {words:?}") };
        self.pool_definition(name);
        let (total, free) = size.split_once('/').unwrap_or((size, size));
        let (name, on, provider) = (StorPoolName::parse(name).unwrap(), node(on), ProviderKind::parse(provider).unwrap());
        let id: Id<kind::StorPool> = self.ids().next();
        let pool = StorPool {
            id,
            node: on.clone(),
            name: name.clone(),
            provider,
            shared_space: None,
            external_locking: false,
            props: Props::default(),
        };
        self.put(Object::StorPool(pool));
        if provider == ProviderKind::Diskless {
            return;
        }
        let seen = PoolSeen {
            name: name.clone(),
            id: id.uuid(),
            free_kib: Some(kib(free)),
            total_kib: Some(kib(total)),
            extent_kib: Kib(provider.default_extent_kib()),
            snapshots: true,
            min_io: None,
            fault: None,
        };
        let node = Arc::make_mut(self.observed.nodes.get_mut(&on).unwrap());
        node.pools.insert(name, Arc::new(PoolRecord { seen, at: Timestamp(1) }));
    }

    fn group(&mut self, words: &[&str]) {
        let [name, layers, count, pools @ ..] = words else { panic!("no group: {words:?}") };
        let filter = SelectFilter {
            place_count: Some(count.parse().unwrap()),
            layer_stack: (*layers != "-").then(|| layers.split(',').map(|word| LayerKind::parse(word).unwrap()).collect()),
            storage_pool_list: (!pools.is_empty()).then(|| pools.iter().map(|pool| (*pool).to_owned()).collect()),
            ..SelectFilter::default()
        };
        let id = self.ids().next();
        self.put(Object::ResourceGroup(ResourceGroup {
            id,
            name: ResourceGroupName::parse(name).unwrap(),
            description: String::new(),
            filter,
            peer_slots: None,
            volume_groups: Default::default(),
            props: Props::default(),
            tenant: None,
        }));
    }
}
