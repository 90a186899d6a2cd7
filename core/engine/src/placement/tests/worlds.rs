//! Random clusters and requests, and the comparison of what the placer answers with what the oracle answers.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::change::Object;
use berth_model::flags::{NodeFlag, ResourceFlag, VolumeDefinitionFlag, VolumeFlag};
use berth_model::layers::ProviderKind;
use berth_model::names::{SharedSpaceName, VolumeNumber};
use berth_model::objects::{ControllerObject, DrbdDefinition, Node, Volume, VolumeDefinition};
use berth_model::observed::{ConnectionStatus, Fault, FaultKind, ItemRecord, ItemSeen, NodeSeen, Standing, VolumeSeen};
use berth_model::plan::{Content, ContentSource};
use berth_model::props::Props;
use berth_model::time::Timestamp;

use super::super::*;
use super::oracle::{Answer, Question, answer};
use crate::stack;
use crate::testkit::{World, node, resource};

/// Numbers that follow from a seed.
pub(super) struct Dice {
    state: u64,
    /// Nothing is wrong with nodes and pools, so that it is the rules among replicas that decide.
    calm: bool,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678, calm: false }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// As [`Dice::chance`], of what keeps places out.
    fn trouble(&mut self, percent: u64) -> bool {
        !self.calm && self.chance(percent)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[at as usize]
    }

    fn some<T: Clone>(&mut self, percent: u64, of: &[T]) -> Vec<T> {
        of.iter().filter(|_| self.chance(percent)).cloned().collect()
    }
}

const NODES: [&str; 6] = ["alpha", "Bravo", "charlie", "delta", "echo", "foxtrot"];
const POOLS: [&str; 3] = ["big", "fat", "thin"];
const KINDS: [&str; 7] = ["LVM", "LVM_THIN", "FILE", "FILE_THIN", "ZFS", "ZFS_THIN", "STORAGE_SPACES"];
const RULES: [&str; 8] = ["Aux/rack", "Aux/rack", "Aux/site", "Aux/site", "Aux/rack=a", "Aux/site=x", "Aux/none", ""];
const THIN: [&str; 8] = ["25%", "0", "50 %", "2097152", "1GiB", "1.5 GB", "3g", "no size"];
const RATIOS: [&str; 5] = ["1", "2.5", "0.3", "20", "1000"];
const GIB: u64 = 1 << 20;

fn set(props: &mut Props, dice: &mut Dice, percent: u64, key: &str, values: &[&str]) {
    let drawn = if percent > 10 { dice.chance(percent) } else { dice.trouble(percent) };
    if drawn {
        props.insert_internal(key, *dice.pick(values));
    }
}

fn number(at: u16) -> VolumeNumber {
    VolumeNumber::new(i64::from(at)).unwrap()
}

/// A request as it is drawn; [`Case::request`] makes one of it.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    definition: bool,
    filter: SelectFilter,
    count: usize,
    layers: Vec<LayerKind>,
    leaving: Vec<NodeName>,
    exclude: Vec<NodeName>,
    convert: bool,
    diskless: bool,
}

pub(super) struct Case {
    pub(super) world: World,
    pub(super) draw: Draw,
}

impl Case {
    pub(super) fn new(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        dice.calm = dice.chance(45);
        let mut world = World::of("group grp - 2");
        let names = &NODES[..if dice.calm { 6 } else { *dice.pick(&[1, 2, 3, 4, 5, 5, 6, 6]) }];
        let mut controller = Props::default();
        for weight in ["MaxFreeSpace", "MinReservedSpace", "MinRscCount", "MaxThroughput"] {
            set(&mut controller, dice, 25, &format!("Autoplacer/Weights/{weight}"), &["0", "1", "0.5", "2.25", "0.00001", "heavy"]);
        }
        set(&mut controller, dice, 5, "AutoplaceTarget", &["false", "True"]);
        set(&mut controller, dice, 10, "Autoplacer/MinThinFreeSpace", &THIN);
        set(&mut controller, dice, 10, "MaxOversubscriptionRatio", &RATIOS);
        set(&mut controller, dice, 10, "Autoplacer/MaxThroughput", &["1000", "500"]);
        world.put(Object::Controller(ControllerObject { props: controller }));
        for name in names {
            make_node(&mut world, dice, name);
        }
        for name in POOLS {
            if let Some(definition) = world.cluster.pool_definitions.get(&StorPoolName::parse(name).unwrap()).cloned() {
                let mut definition = (*definition).clone();
                set(&mut definition.props, dice, 10, "MaxOversubscriptionRatio", &RATIOS);
                set(&mut definition.props, dice, 10, "MaxFreeCapacityOversubscriptionRatio", &RATIOS);
                world.put(Object::StorPoolDfn(definition));
            }
        }
        for name in ["db1", "web1", "data"] {
            make_resource(&mut world, dice, name, names);
        }
        let draw = draw(dice, names);
        Self { world, draw }
    }

    pub(super) fn with<T>(&self, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let definition = self.draw.definition.then(|| &*self.world.cluster.definitions[&resource("data")]);
        let (filter, layers, count) = (&self.draw.filter, &self.draw.layers, self.draw.count);
        let made = match definition {
            Some(definition) => Request::new(&self.world.cluster, definition, filter, count, layers),
            None => {
                let volumes = vec![VolumeWish { size: Kib(GIB / 4), gross: false }];
                Request { volumes, ..Request::question(None, filter, count, layers) }
            }
        };
        ask(&Request { leaving: &self.draw.leaving, exclude: &self.draw.exclude, convert: self.draw.convert, ..made })
    }

    pub(super) fn placed(&self) -> Result<Placement, PlaceError> {
        let decide = if self.draw.diskless { place_diskless } else { place };
        self.with(|request| decide(&self.world.cluster, &self.world.observed, request))
    }

    fn expected(&self) -> Answer {
        let names = |nodes: &[NodeName]| nodes.iter().map(ToString::to_string).collect();
        let draw = &self.draw;
        let question = Question {
            definition: draw.definition.then(|| "data".to_owned()),
            filter: draw.filter.clone(),
            count: draw.count,
            layers: draw.layers.clone(),
            leaving: names(&draw.leaving),
            exclude: names(&draw.exclude),
            convert: draw.convert,
            diskless: draw.diskless,
            lone_volume: GIB / 4,
        };
        answer(&self.world.cluster, &self.world.observed, &question)
    }

    /// Compares; counts the outcome, and the kinds of reasons beside a choice.
    pub(super) fn check(&self, seed: u64, seen: &mut BTreeMap<String, u64>) {
        let (outcome, reasons) = self.compare(seed);
        for word in reasons.into_iter().chain([outcome.to_owned()]) {
            *seen.entry(word).or_default() += 1;
        }
    }

    fn compare(&self, seed: u64) -> (&'static str, BTreeSet<String>) {
        let context = || format!("seed {seed}: {:#?}", self.draw);
        let lines = |tried: &[Tried]| {
            let line = |one: &Tried| {
                let place = one.pool.as_ref().map_or_else(|| one.node.to_string(), |pool| format!("{}/{pool}", one.node));
                let score = one.score.map_or_else(|| "-".to_owned(), |score| score.parts().to_string());
                format!("{place}: {} [{score}]", one.why)
            };
            tried.iter().map(line).collect::<Vec<_>>()
        };
        let expected = self.expected();
        let mut reasons = BTreeSet::new();
        let outcome = match self.placed() {
            Ok(placement) => {
                assert!(!placement.notes.iter().any(|note| note.contains("given up")), "{}", context());
                let word =
                    |one: &Tried| format!("{:?}", one.why).split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
                let fits = |one: &Tried| if one.score.is_some() { "after all " } else { "" };
                reasons.extend(placement.tried.iter().map(|one| format!("{}{}", fits(one), word(one))));
                let chosen: Vec<String> = placement
                    .chosen
                    .iter()
                    .map(|one| format!("{}/{}{}", one.node, one.pool.name, if one.convert { " gets a disk" } else { "" }))
                    .collect();
                (if chosen.is_empty() { "none asked" } else { "chosen" }, Some((chosen, placement.total.parts())), lines(&placement.tried))
            }
            Err(PlaceError::TooFew { tried, .. }) => ("too few", None, lines(&tried)),
            Err(PlaceError::Contradiction(why)) => {
                assert!(expected.impossible || expected.chosen.is_none(), "{why}: {expected:#?} {}", context());
                return ("contradiction", BTreeSet::new());
            }
            Err(PlaceError::Undecidable { key, .. }) => {
                assert!(expected.undecidable.contains(&key), "{key}: {}", context());
                return ("undecidable", BTreeSet::new());
            }
            Err(PlaceError::BadRegex { .. }) => {
                assert_eq!(self.draw.filter.not_place_with_rsc_regex.as_deref(), Some("("), "{}", context());
                return ("bad regex", BTreeSet::new());
            }
            Err(PlaceError::TooHard { .. }) => panic!("too hard with six nodes: {}", context()),
        };
        assert!(!expected.impossible && expected.undecidable.is_empty(), "{expected:#?} {}", context());
        assert_eq!(outcome.1, expected.chosen, "{}", context());
        assert_eq!(outcome.2, expected.tried, "{}", context());
        (outcome.0, reasons)
    }

    /// The largest volume for each pool fits where it is said to fit, and 4 KiB more do not. Whether there was one.
    pub(super) fn check_largest(&self, seed: u64) -> bool {
        let (cluster, observed) = (&self.world.cluster, &self.world.observed);
        let count = i32::try_from(self.draw.count).unwrap_or(2).clamp(1, 6);
        let layers = if self.draw.layers.is_empty() { stack::PLAIN.to_vec() } else { self.draw.layers.clone() };
        let filter = SelectFilter { place_count: Some(count), layer_stack: Some(layers.clone()), ..self.draw.filter.clone() };
        let group = cluster.groups.values().find(|group| group.name.as_str() == "grp").map(AsRef::as_ref);
        let Ok(found) = query_max_volume_size(cluster, observed, group, &filter) else { return false };
        for one in &found {
            let filter = SelectFilter { storage_pool_list: Some(vec![one.pool.to_string()]), ..filter.clone() };
            let with = |size: Kib| {
                let volumes = vec![VolumeWish { size, gross: false }];
                place(cluster, observed, &Request { volumes, ..Request::question(group, &filter, count as usize, &layers) })
            };
            if one.max_kib > Kib(0) {
                let placed = with(one.max_kib).unwrap_or_else(|error| panic!("seed {seed}: {one:?}: {error}"));
                assert_eq!(placed.chosen.len(), one.nodes.len(), "seed {seed}");
            }
            assert!(with(Kib(one.max_kib.0 + 4)).is_err(), "seed {seed}: {one:?}");
        }
        found.iter().any(|one| one.max_kib > Kib(0))
    }

    /// The same cluster with its objects put in another order.
    pub(super) fn shuffled(&self, seed: u64) -> Self {
        let dice = &mut Dice::new(seed ^ 0xabcd);
        let mut objects: Vec<Object> = self.world.cluster.objects().collect();
        for at in (1..objects.len()).rev() {
            objects.swap(at, dice.below(at as u64 + 1) as usize);
        }
        let mut world = World { cluster: Cluster::empty(self.world.cluster.id), observed: Observed::default(), seed: 0 };
        objects.into_iter().for_each(|object| world.put(object));
        let mut seen: Vec<_> = self.world.observed.nodes.iter().collect();
        seen.reverse();
        seen.into_iter().for_each(|(name, seen)| {
            world.observed.nodes.insert(name.clone(), seen.clone());
        });
        Self { world, draw: self.draw.clone() }
    }

    /// The same cluster, some pools larger: by free space, or by space that is all free.
    pub(super) fn roomier(&self, seed: u64) -> Self {
        let dice = &mut Dice::new(seed ^ 0x5ace);
        let mut more = self.shuffled(seed);
        let names: Vec<NodeName> = more.world.observed.nodes.keys().cloned().collect();
        for name in names {
            let seen = Arc::make_mut(more.world.observed.nodes.get_mut(&name).unwrap());
            let pools: Vec<StorPoolName> = seen.pools.keys().cloned().collect();
            for pool in pools {
                let record = Arc::make_mut(seen.pools.get_mut(&pool).unwrap());
                let (add, grows) = (Kib(dice.below(6) * GIB + dice.below(1000)), dice.chance(60));
                let (Some(free), Some(total)) = (record.seen.free_kib, record.seen.total_kib) else { continue };
                let total = if grows { total.saturating_add(add) } else { total };
                record.seen.total_kib = Some(total);
                record.seen.free_kib = Some(free.saturating_add(add).min(total));
            }
        }
        more
    }
}

fn make_node(world: &mut World, dice: &mut Dice, name: &str) {
    let mut words = vec![format!("node {name}")];
    if dice.chance(75) {
        words.push(format!("Aux/rack={}", dice.pick(&["a", "b", "c"])));
    }
    if dice.chance(80) {
        words.push(format!("Aux/site={}", dice.pick(&["x", "y"])));
    }
    words.extend(["+DRBD", "+LUKS", "+NVME"].into_iter().filter(|_| dice.chance(92)).map(str::to_owned));
    let made = World::of(&words.join(" "));
    for object in made.cluster.objects() {
        if let Object::Node(mut made) = object {
            set(&mut made.props, dice, 7, "AutoplaceTarget", &["no", "yes"]);
            set(&mut made.props, dice, 8, "Autoplacer/MinThinFreeSpace", &THIN);
            if dice.trouble(6) {
                made.flags.set(*dice.pick(&[NodeFlag::Evacuate, NodeFlag::Evicted, NodeFlag::Delete]));
            }
            let id = world.ids().next();
            world.put(Object::Node(Node { id, ..made }));
        }
    }
    let mut seen = (**made.observed.nodes.values().next().unwrap()).clone();
    if dice.trouble(4) {
        seen.capabilities = None;
    }
    world.observed.nodes.insert(node(name), Arc::new(seen));
    if dice.chance(85) {
        world.add_pool(&[berth_model::names::DISKLESS_POOL, "on", name, "DISKLESS", "0K"]);
    }
    let mut pools = dice.some(70, &POOLS);
    if dice.trouble(15) {
        pools.clear();
    }
    for pool in pools {
        let total = if dice.calm { 6 } else { 1 } + dice.below(8);
        let free = if dice.calm { total } else { 1 + dice.below(total) };
        let kinds = if dice.calm && dice.chance(80) { &KINDS[..1] } else { &KINDS[..] };
        world.add_pool(&[pool, "on", name, *dice.pick::<&str>(kinds), &format!("{total}G/{free}G")]);
        let pool = StorPoolName::parse(pool).unwrap();
        let mut made = (**world.cluster.pool(&node(name), &pool).unwrap()).clone();
        if dice.chance(15) {
            made.shared_space = Some(SharedSpaceName::parse(dice.pick::<&str>(&["san1", "SAN1", "san2"])).unwrap());
        }
        set(&mut made.props, dice, 5, "AutoplaceTarget", &["false", "true"]);
        set(&mut made.props, dice, 8, "Autoplacer/MinThinFreeSpace", &THIN);
        set(&mut made.props, dice, 8, "MaxOversubscriptionRatio", &RATIOS);
        set(&mut made.props, dice, 8, "MaxTotalCapacityOversubscriptionRatio", &RATIOS);
        set(&mut made.props, dice, 30, "Autoplacer/MaxThroughput", &["100", "700", "1000", "-5"]);
        world.put(Object::StorPool(made));
        let seen = Arc::make_mut(world.observed.nodes.get_mut(&node(name)).unwrap());
        let record = Arc::make_mut(seen.pools.get_mut(&pool).unwrap());
        match if dice.calm { 99 } else { dice.below(40) } {
            0 => record.seen.free_kib = None,
            1 => record.seen.total_kib = None,
            2 => {
                let text = || "broken".to_owned();
                let (cause, correction, details, holders) = (text(), text(), text(), Vec::new());
                record.seen.fault = Some(Fault { kind: FaultKind::Pool, message: text(), cause, correction, details, holders });
            }
            3 => {
                seen.pools.remove(&pool);
            }
            4 => record.seen.free_kib = Some(Kib(0)),
            _ => {}
        }
    }
    match if dice.calm { 99 } else { dice.below(30) } {
        0 => {
            world.observed.nodes.remove(&node(name));
        }
        1 => {
            let gone = NodeSeen::unknown(ConnectionStatus::VersionMismatch, Timestamp(0));
            world.observed.nodes.insert(node(name), Arc::new(gone));
        }
        _ => {}
    }
}

fn make_resource(world: &mut World, dice: &mut Dice, name: &str, nodes: &[&str]) {
    let placed = name == "data";
    let volumes: Vec<u64> = (0..if placed { dice.below(3) } else { 1 }).map(|_| (1 + dice.below(24)) * GIB / 16 + dice.below(9)).collect();
    let gross = dice.chance(15);
    let mut props = Props::default();
    set(&mut props, dice, 8, "Autoplacer/MinThinFreeSpace", &THIN);
    set(&mut props, dice, 20, "sys/fs/blkio_throttle_read", &["10", "200"]);
    let group = berth_model::names::ResourceGroupName::parse("grp").unwrap();
    if placed {
        let mut group = (*world.cluster.groups[&group]).clone();
        set(&mut group.props, dice, 8, "Autoplacer/MinThinFreeSpace", &THIN);
        set(&mut group.props, dice, 20, "sys/fs/blkio_throttle_write", &["30", "300"]);
        world.put(Object::ResourceGroup(group));
    }
    let definition = |at: usize, id| {
        let mut flags = berth_model::flags::VolumeDefinitionFlags::default();
        if gross {
            flags.set(VolumeDefinitionFlag::GrossSize);
        }
        VolumeDefinition { id, size_kib: Kib(volumes[at]), flags, minor: None, props: Props::default(), passphrase: None }
    };
    let mut ids = world.ids();
    let made = ResourceDefinition {
        id: ids.next(),
        name: resource(name),
        external_name: None,
        group,
        layers: Vec::new(),
        drbd: DrbdDefinition { port: None, secret: String::new(), transport: None, peer_slots: None, used_node_ids: 0 },
        flags: Default::default(),
        props,
        volumes: (0..volumes.len()).map(|at| (number(at as u16), definition(at, ids.next()))).collect(),
        created: Timestamp(0),
    };
    let id = made.id;
    world.put(Object::ResourceDefinition(made));
    for on in nodes {
        if !dice.chance(if placed { 20 } else { 35 }) {
            continue;
        }
        let pools: Vec<Arc<StorPool>> =
            world.cluster.pools_of(&node(on)).filter(|pool| pool.provider != ProviderKind::Diskless).cloned().collect();
        let diskless = pools.is_empty() || dice.chance(25);
        let mut flags = berth_model::flags::ResourceFlags::default();
        if diskless {
            flags.set(ResourceFlag::Diskless);
            flags.set(*dice.pick(&[ResourceFlag::DrbdDiskless, ResourceFlag::TieBreaker]));
        }
        if dice.chance(12) {
            flags.set(*dice.pick(&[ResourceFlag::Delete, ResourceFlag::Evacuate, ResourceFlag::Evicted]));
        }
        let mut replica = Resource {
            id: ids.next(),
            definition: id,
            name: resource(name),
            node: node(on),
            layers: if dice.chance(80) { stack::REPLICATED.to_vec() } else { stack::PLAIN.to_vec() },
            flags,
            drbd: None,
            volumes: Default::default(),
            props: Props::default(),
            created: Timestamp(0),
        };
        let mut seen = Vec::new();
        for (at, size) in volumes.iter().enumerate() {
            let kept = diskless || dice.chance(60);
            let mut flags = berth_model::flags::VolumeFlags::default();
            if !diskless && dice.chance(10) {
                flags.set(VolumeFlag::Resize);
            }
            let (pool, provider) = match pools.first().filter(|_| !diskless) {
                Some(_) => {
                    let pool = dice.pick(&pools);
                    (pool.name.clone(), pool.provider)
                }
                None => (StorPoolName::parse(berth_model::names::DISKLESS_POOL).unwrap(), ProviderKind::Diskless),
            };
            let backing_kib = if diskless { Kib(0) } else { Kib(*size) };
            let content = Content { id: ids.next(), source: if kept { ContentSource::Kept } else { ContentSource::Fresh } };
            let mut volume =
                Volume { id: ids.next(), pool, provider, backing: String::new(), backing_kib, content, flags, props: Props::default() };
            set(&mut volume.props, dice, 10, "sys/fs/blkio_throttle_read", &["1", "nonsense"]);
            replica.volumes.insert(number(at as u16), volume);
            let allocated_kib = Kib(dice.below(backing_kib.0 + 1));
            let number = number(at as u16);
            seen.push(VolumeSeen { number, device_path: None, backing_kib, allocated_kib, in_use: false, content: None, up_to_date: None });
        }
        if let Some(there) = world.observed.nodes.get_mut(&node(on)).filter(|_| dice.chance(50)) {
            let item = ItemSeen { id: replica.id.uuid(), generation: 1, standing: Standing::Working, volumes: seen, fault: None };
            Arc::make_mut(there).items.insert(item.id, Arc::new(ItemRecord { seen: item, at: Timestamp(0) }));
        }
        world.put(Object::Resource(replica));
    }
}

fn draw(dice: &mut Dice, names: &[&str]) -> Draw {
    let texts = |dice: &mut Dice, percent: u64, of: &[&str]| -> Option<Vec<String>> {
        let list = dice.some(percent, of);
        Some(list.into_iter().map(str::to_owned).collect())
    };
    let mut filter = SelectFilter::default();
    // Few filters leave many places, so that it is the choice among them that counts.
    let share = if dice.calm { 1 } else { *dice.pick(&[1, 2, 4]) };
    if dice.trouble(20 / share) {
        filter.node_name_list = texts(dice, 65, &["ALPHA", "bravo", "Charlie", "delta", "echo", "foxtrot", "nobody", "no name!"]);
    }
    if dice.trouble(20 / share) {
        filter.storage_pool_list = texts(dice, 50, &["BIG", "fat", "thin", "nothing", ""]);
    }
    if dice.trouble(20 / share) {
        filter.storage_pool_diskless_list = texts(dice, 50, &["dfltdisklessstorpool", "other"]);
    }
    if dice.trouble(15 / share) {
        filter.not_place_with_rsc = texts(dice, 50, &["DB1", "web1", "unknown", "??"]);
    }
    if dice.trouble(15 / share) {
        filter.not_place_with_rsc_regex = Some((*dice.pick(&["b1$", "^WEB", "d.*a", "x{3}", "(", ""])).to_owned());
    }
    if dice.chance(30 / share) {
        filter.replicas_on_same = texts(dice, 20, &RULES);
    }
    if dice.chance(35 / share) {
        filter.replicas_on_different = texts(dice, 20, &RULES);
    }
    if dice.chance(25 / share) {
        let keys = dice.some(60, &["Aux/rack", "Aux/site"]);
        filter.x_replicas_on_different_map =
            Some(keys.into_iter().map(|key| (key.to_owned(), *dice.pick(&[0, 1, 1, 2, 2, 2, 3, 3]))).collect());
    }
    if dice.trouble(15 / share) {
        let kinds = dice.some(50, &KINDS);
        filter.provider_list = Some(kinds.into_iter().map(|word| ProviderKind::parse(word).unwrap()).collect());
        if dice.chance(10) {
            filter.provider_list = Some(vec![ProviderKind::Diskless]);
        }
    }
    let layers = match if dice.calm { 9 } else { dice.below(6) } {
        0 => Vec::new(),
        1 => vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage],
        2 => vec![LayerKind::Drbd, LayerKind::Nvme, LayerKind::Storage],
        3 => stack::REPLICATED.to_vec(),
        _ => stack::PLAIN.to_vec(),
    };
    let nodes = |dice: &mut Dice, percent| dice.some(percent, names).into_iter().map(node).collect::<Vec<_>>();
    Draw {
        definition: dice.chance(if dice.calm { 40 } else { 80 }),
        filter,
        count: *dice.pick(&[0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 6, 1_000_000_000, ALL, ALL]),
        layers,
        leaving: if dice.chance(15) { nodes(dice, 30) } else { Vec::new() },
        exclude: if dice.chance(15) { nodes(dice, 30) } else { Vec::new() },
        convert: dice.chance(30),
        diskless: dice.chance(12),
    }
}
