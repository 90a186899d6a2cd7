//! The placer alone: one volume among 1,000 nodes, with every filter set.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use berth_engine::placement::{Request, VolumeWish, place};
use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::objects::{Node, NodeType, Resource, SelectFilter, StorPool, StorPoolDfn};
use berth_model::observed::{Capabilities, ConnectionStatus, NodeSeen, Observed, PoolRecord, PoolSeen};
use berth_model::props::Props;
use berth_model::size::Kib;
use berth_model::time::Timestamp;

use crate::bench::{Bench, times};

const NODES: u64 = 1_000;
const RUNS: usize = 500;
const LAYERS: [LayerKind; 2] = [LayerKind::Drbd, LayerKind::Storage];
const PROVIDERS: [ProviderKind; 2] = [ProviderKind::LvmThin, ProviderKind::ZfsThin];
const POOLS: [(&str, ProviderKind); 2] = [("fast", ProviderKind::LvmThin), ("bulk", ProviderKind::ZfsThin)];

/// Two sites of ten rows of five racks of ten nodes; on each node two pools; every fourth has resources that must not be beside.
struct World {
    cluster: Cluster,
    observed: Observed,
    ids: IdSource,
}

impl World {
    fn new() -> Result<Self> {
        let ids = IdSource::new(Timestamp(1_700_000_000_000), [7; 16]);
        let mut world = Self { cluster: Cluster::empty(Id::from_uuid(Default::default())), observed: Observed::default(), ids };
        for (name, _) in POOLS {
            let id = world.ids.next();
            world.put(Object::StorPoolDfn(StorPoolDfn { id, name: named(StorPoolName::parse(name))?, props: Props::default() }));
        }
        let able = Arc::new(Capabilities { layers: LAYERS.to_vec(), providers: PROVIDERS.to_vec(), root: true, ..Capabilities::default() });
        for at in 0..NODES {
            world.add_node(at, &able)?;
            match at % 8 {
                3 => world.add_resource("other", at)?,
                7 => world.add_resource(&format!("db-{}", at % 5), at)?,
                _ => {}
            }
        }
        Ok(world)
    }

    fn put(&mut self, object: Object) {
        self.cluster.fold([&Change::Put(object)]);
    }

    fn add_node(&mut self, at: u64, able: &Arc<Capabilities>) -> Result<()> {
        let name = named(NodeName::parse(&node_name(at)))?;
        let mut props = Props::default();
        for (key, value) in [("Aux/site", at / 500), ("Aux/row", at / 50), ("Aux/rack", at / 10)] {
            props.insert_internal(key, value.to_string());
        }
        let id: Id<kind::Node> = self.ids.next();
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
        let mut seen = NodeSeen::unknown(ConnectionStatus::Online, Timestamp(0));
        seen.capabilities = Some(Arc::clone(able));
        for (index, (pool, provider)) in POOLS.into_iter().enumerate() {
            let pool_name = named(StorPoolName::parse(pool))?;
            let id: Id<kind::StorPool> = self.ids.next();
            // Spread as a hash would: no two orders of nodes agree.
            let free = Kib((1 << 28) + ((at * 2 + index as u64) * 2_654_435_761) % (1 << 28));
            let pool_seen = PoolSeen {
                name: pool_name.clone(),
                id: id.uuid(),
                free_kib: Some(free),
                total_kib: Some(Kib(1 << 30)),
                extent_kib: Kib(provider.default_extent_kib()),
                snapshots: true,
                min_io: None,
                fault: None,
            };
            seen.pools.insert(pool_name.clone(), Arc::new(PoolRecord { seen: pool_seen, at: Timestamp(1) }));
            self.put(Object::StorPool(StorPool {
                id,
                node: name.clone(),
                name: pool_name,
                provider,
                shared_space: None,
                external_locking: false,
                props: Props::default(),
            }));
        }
        self.observed.nodes.insert(name, Arc::new(seen));
        Ok(())
    }

    fn add_resource(&mut self, name: &str, at: u64) -> Result<()> {
        let (id, definition) = (self.ids.next(), self.ids.next());
        let resource = Resource {
            id,
            definition,
            name: named(ResourceName::parse(name))?,
            node: named(NodeName::parse(&node_name(at)))?,
            layers: LAYERS.to_vec(),
            flags: Default::default(),
            drbd: None,
            volumes: Default::default(),
            props: Props::default(),
            created: Timestamp(0),
        };
        self.put(Object::Resource(resource));
        Ok(())
    }
}

fn named<T, E: std::fmt::Display>(parsed: std::result::Result<T, E>) -> Result<T> {
    parsed.map_err(|error| anyhow!("{error}"))
}

fn node_name(at: u64) -> String {
    format!("node-{at:04}")
}

fn filter() -> SelectFilter {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    SelectFilter {
        place_count: Some(3),
        // Nine of ten.
        node_name_list: Some((0..NODES).filter(|at| at % 10 != 9).map(node_name).collect()),
        storage_pool_list: words(&["fast", "bulk"]),
        not_place_with_rsc: words(&["other"]),
        not_place_with_rsc_regex: Some("^db-[0-3]$".to_owned()),
        replicas_on_same: words(&["Aux/site"]),
        replicas_on_different: words(&["Aux/rack"]),
        x_replicas_on_different_map: Some(BTreeMap::from([("Aux/row".to_owned(), 2)])),
        layer_stack: Some(LAYERS.to_vec()),
        provider_list: Some(PROVIDERS.to_vec()),
        ..SelectFilter::default()
    }
}

/// Measures it.
pub fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants(&["place_1000"]) {
        return Ok(());
    }
    let World { cluster, observed, .. } = World::new()?;
    let filter = filter();
    let wish = VolumeWish { size: Kib(1 << 20), gross: false };
    let request = Request { volumes: vec![wish], ..Request::question(None, &filter, 3, &LAYERS) };
    let samples = times(bench.count(RUNS), |_| {
        let placement = place(&cluster, &observed, black_box(&request)).context("the placer found no place")?;
        ensure!(placement.chosen.len() == 3, "{} places", placement.chosen.len());
        black_box(placement);
        Ok(())
    })?;
    bench.add("place_1000", samples)
}
