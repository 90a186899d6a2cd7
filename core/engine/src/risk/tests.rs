//! A second, slow implementation of the rules about data, quorum and copies; pools that overflow; and what really follows.

use std::sync::Arc;

use berth_model::change::Object;
use berth_model::flags::ResourceFlag;
use berth_model::layers::ProviderKind;
use berth_model::names::{NodeName, StorPoolName, VolumeNumber};
use berth_model::objects::{Resource, Volume, VolumeDefinition};
use berth_model::observed::{ConnectionStatus, Fault, FaultKind, ItemRecord, ItemSeen, Standing as Item, VolumeSeen};
use berth_model::plan::{Content, ContentSource};
use berth_model::props::{MAX_OVERSUBSCRIPTION, QUORUM};
use berth_model::size::Kib;
use berth_model::snapshot::{CopyState, NodeSnapshot, Snapshot};
use berth_model::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::command::Command;
use crate::stack::{PLAIN, REPLICATED};
use crate::testkit::{World, kib, node, resource};

/// What is on a node of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Nothing,
    /// A disk with the data.
    Disk,
    /// A disk that was there and is missing.
    Missing,
    /// A disk that nobody has looked at in this session.
    Unseen,
    /// A disk that is being made.
    Fresh,
    /// A disk with data that its peers have newer.
    Behind,
    /// A disk with the data that is not served.
    Inactive,
    Diskless,
}

const ROLES: [Role; 8] =
    [Role::Nothing, Role::Disk, Role::Missing, Role::Unseen, Role::Fresh, Role::Behind, Role::Inactive, Role::Diskless];

impl World {
    fn see(&mut self, on: &str, item: ItemSeen) {
        let node = Arc::make_mut(self.observed.nodes.get_mut(&node(on)).unwrap());
        node.items.insert(item.id, Arc::new(ItemRecord { seen: item, at: Timestamp(2) }));
    }

    fn away(&mut self, on: &str) {
        let node = Arc::make_mut(self.observed.nodes.get_mut(&node(on)).unwrap());
        node.status = ConnectionStatus::Offline;
        node.away_since = Some(Timestamp(3));
    }

    /// A definition of this size in a group.
    fn definition(&mut self, name: &str, group: &str, size: &str) {
        let made = self.give(&Command::CreateResourceDefinition {
            name: Some(name.into()),
            external_name: None,
            group: Some(group.into()),
            layers: Vec::new(),
            props: Default::default(),
            drbd_port: None,
            drbd_secret: None,
            drbd_transport_type: None,
            drbd_peer_slots: None,
        });
        assert!(made.result.is_ok(), "{made:?}");
        let mut definition = (*self.cluster.definitions[&resource(name)]).clone();
        let volume = VolumeDefinition {
            id: self.ids().next(),
            size_kib: kib(size),
            flags: Default::default(),
            minor: None,
            props: Default::default(),
            passphrase: None,
        };
        definition.volumes.insert(VolumeNumber::new(0).unwrap(), volume);
        self.put(Object::ResourceDefinition(definition));
    }

    fn set_quorum(&mut self, name: &str, value: &str) {
        let mut definition = (*self.cluster.definitions[&resource(name)]).clone();
        definition.props.insert_internal(QUORUM, value);
        self.put(Object::ResourceDefinition(definition));
    }

    /// A replica, seen as its role says.
    fn replica(&mut self, name: &str, on: &str, pool: &str, layers: &[berth_model::layers::LayerKind], role: Role) {
        let definition = self.cluster.definitions[&resource(name)].clone();
        let number = VolumeNumber::new(0).unwrap();
        let size = definition.volumes[&number].size_kib;
        let mut ids = self.ids();
        let diskless = role == Role::Diskless;
        let source = if role == Role::Fresh { ContentSource::Fresh } else { ContentSource::Kept };
        let provider =
            self.cluster.pool(&node(on), &StorPoolName::parse(pool).unwrap()).map_or(ProviderKind::Diskless, |pool| pool.provider);
        let volume = Volume {
            id: ids.next(),
            pool: StorPoolName::parse(pool).unwrap(),
            provider,
            backing: format!("{name}_00000"),
            backing_kib: if diskless { Kib(0) } else { size },
            content: Content { id: ids.next(), source },
            flags: Default::default(),
            props: Default::default(),
        };
        let content = volume.content.id.uuid();
        let flag = match role {
            Role::Diskless => Some(ResourceFlag::DrbdDiskless),
            Role::Inactive => Some(ResourceFlag::Inactive),
            Role::Nothing | Role::Disk | Role::Missing | Role::Unseen | Role::Fresh | Role::Behind => None,
        };
        let replica = Resource {
            id: ids.next(),
            definition: definition.id,
            name: definition.name.clone(),
            node: node(on),
            layers: layers.to_vec(),
            flags: flag.into_iter().collect(),
            drbd: None,
            volumes: [(number, volume)].into(),
            props: Default::default(),
            created: Timestamp(1),
        };
        let id = replica.id.uuid();
        self.put(Object::Resource(replica));
        let fault = (role == Role::Missing).then(|| Fault {
            kind: FaultKind::Lost,
            message: "The volume is missing.".into(),
            cause: String::new(),
            correction: String::new(),
            details: String::new(),
            holders: Vec::new(),
        });
        let seen = VolumeSeen {
            number,
            device_path: None,
            backing_kib: size,
            allocated_kib: Kib(size.0 / 2),
            in_use: false,
            content: matches!(role, Role::Disk | Role::Inactive | Role::Diskless | Role::Behind).then_some(content),
            up_to_date: stack::replicates(layers).then_some(role != Role::Behind),
        };
        let standing = if fault.is_some() { Item::Faulty } else { Item::Settled };
        if role != Role::Unseen {
            self.see(on, ItemSeen { id, generation: 1, standing, volumes: vec![seen], fault });
        }
    }

    fn snapshot(&mut self, name: &str, snapshot: &str, layers: &[berth_model::layers::LayerKind], on: &[&str]) {
        let mut ids = self.ids();
        let definition = self.cluster.definitions[&resource(name)].clone();
        let copies: std::collections::BTreeMap<NodeName, NodeSnapshot> = on
            .iter()
            .map(|on| {
                let copy = NodeSnapshot {
                    id: ids.next(),
                    state: CopyState::Taken,
                    created: None,
                    resource_props: Default::default(),
                    volumes: Default::default(),
                };
                (node(on), copy)
            })
            .collect();
        let seen: Vec<_> = copies.iter().map(|(node, copy)| (node.to_string(), copy.id.uuid())).collect();
        self.put(Object::Snapshot(Snapshot {
            id: ids.next(),
            name: berth_model::names::SnapshotName::parse(snapshot).unwrap(),
            resource: definition.name.clone(),
            definition: definition.id,
            layers: layers.to_vec(),
            flags: Default::default(),
            props: Default::default(),
            definition_props: Default::default(),
            volumes: Default::default(),
            copies,
            created: Timestamp(1),
        }));
        for (on, id) in seen {
            self.see(&on, ItemSeen { id, generation: 1, standing: Item::Settled, volumes: Vec::new(), fault: None });
        }
    }

    fn what_if(&self, nodes: &[&str]) -> Outcome {
        what_if(&self.cluster, &self.observed, &nodes.iter().map(|name| node(name)).collect(), Event::Lost)
    }
}

fn names<T>(list: &Capped<T>, name: impl Fn(&T) -> String) -> Vec<String> {
    assert_eq!(list.total, list.list.len());
    list.list.iter().map(name).collect()
}

const NODES: [&str; 5] = ["alpha", "bravo", "charlie", "delta", "echo"];

/// A cluster of one resource, as the generator means it.
#[derive(Debug, Clone)]
struct Case {
    roles: Vec<Role>,
    online: Vec<bool>,
    replicates: bool,
    quorum: &'static str,
    wanted: i32,
    gone: Vec<bool>,
}

fn cases() -> impl Strategy<Value = Case> {
    let role = (0..ROLES.len()).prop_map(|at| ROLES[at]);
    let size = NODES.len();
    let quorum = prop::sample::select(vec!["off", "majority", "all", "1", "2", "3"]);
    let online = proptest::collection::vec(prop::bool::weighted(0.7), size);
    let gone = proptest::collection::vec(prop::bool::weighted(0.35), size);
    (proptest::collection::vec(role, size), online, prop::bool::weighted(0.8), quorum, 1..5i32, gone).prop_map(
        |(mut roles, online, replicates, quorum, wanted, gone): (Vec<Role>, _, bool, _, _, _)| {
            // Nothing is behind another one where each has data of its own.
            roles.iter_mut().filter(|role| **role == Role::Behind && !replicates).for_each(|role| *role = Role::Disk);
            Case { roles, online, replicates, quorum, wanted, gone }
        },
    )
}

fn world_of(case: &Case) -> World {
    let mut world = World::of("node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; node delta +DRBD; node echo +DRBD");
    for name in NODES {
        world.add_pool(&["thin", "on", name, "FILE_THIN", "100G"]);
    }
    world.add_group(&["many", "-", &case.wanted.to_string()]);
    world.definition("one", "many", "1G");
    world.set_quorum("one", case.quorum);
    let layers = if case.replicates { REPLICATED } else { PLAIN };
    for (at, role) in case.roles.iter().enumerate().filter(|(_, role)| **role != Role::Nothing) {
        let pool = if *role == Role::Diskless { "DfltDisklessStorPool" } else { "thin" };
        world.replica("one", NODES[at], pool, layers, *role);
    }
    for (at, online) in case.online.iter().enumerate() {
        if !online {
            world.away(NODES[at]);
        }
    }
    world
}

/// One possible truth about a node: its disk has the data, and it is up.
#[derive(Debug, Clone, Copy)]
struct Truth {
    data: bool,
    up: bool,
}

/// All that may be true of a node that is said to be in this state.
fn truths(role: Role, online: bool) -> Vec<Truth> {
    let (well, dead) = (Truth { data: true, up: true }, Truth { data: false, up: false });
    match (role, online) {
        (Role::Nothing, _) => vec![dead],
        (Role::Disk, true) => vec![well],
        (Role::Missing, true) => vec![dead],
        (Role::Disk | Role::Missing | Role::Behind, false) | (Role::Unseen, _) => vec![well, dead],
        (Role::Fresh | Role::Behind | Role::Diskless, true) => vec![Truth { data: false, up: true }],
        (Role::Fresh | Role::Diskless, false) => vec![Truth { data: false, up: true }, dead],
        // Down, and perhaps old.
        (Role::Inactive, _) => vec![Truth { data: true, up: false }, dead],
    }
}

/// Every combination of what may be true; nodes that go are as well as they may be.
fn worlds(case: &Case) -> Vec<Vec<Truth>> {
    let mut all = vec![Vec::new()];
    for at in 0..NODES.len() {
        let mut may = truths(case.roles[at], case.online[at]);
        if case.gone[at] {
            may.truncate(1);
        }
        all = all.iter().flat_map(|head| may.iter().map(move |one| head.iter().copied().chain([*one]).collect())).collect();
    }
    all
}

fn votes_suffice(case: &Case, truth: &[Truth], without: bool) -> bool {
    let there = |at: usize| truth[at].up && !(without && case.gone[at]);
    let is_disk = |at: &usize| !matches!(case.roles[*at], Role::Nothing | Role::Diskless);
    let is_diskless = |at: &usize| case.roles[*at] == Role::Diskless;
    let of = |which: &dyn Fn(&usize) -> bool| (0..NODES.len()).filter(|at| which(at)).count();
    let (voters, votes) = (of(&is_disk), of(&|at| is_disk(at) && there(*at)));
    let (diskless, beside) = (of(&is_diskless), of(&|at| is_diskless(at) && there(*at)));
    match case.quorum {
        "off" => true,
        "all" => votes == voters,
        "majority" => 2 * votes > voters || (voters > 0 && 2 * votes == voters && 2 * beside > diskless),
        number => votes >= number.parse().unwrap(),
    }
}

/// `None`: nothing is lost; otherwise whether it is in every world where there is something to lose.
fn follows(case: &Case, has: impl Fn(&[Truth], bool) -> bool) -> Option<bool> {
    let (mut before, mut lost) = (0, 0);
    for truth in worlds(case) {
        if has(&truth, false) {
            before += 1;
            lost += usize::from(!has(&truth, true));
        }
    }
    (lost > 0).then_some(lost == before)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_implementations_agree(case in cases()) {
        let world = world_of(&case);
        let gone: Vec<&str> = NODES.iter().zip(&case.gone).filter(|(_, gone)| **gone).map(|(name, _)| *name).collect();
        let outcome = world.what_if(&gone);
        let left = |at: usize, without: bool| !(without && case.gone[at]);
        let some = |truth: &[Truth], without: bool, up: bool| (0..NODES.len()).any(|at| truth[at].data && (truth[at].up || !up) && left(at, without));
        let got = |flags: Vec<bool>| flags.first().copied();
        let data = got(outcome.data.list.iter().map(|one| one.certain).collect());
        let access = got(outcome.access.list.iter().map(|one| one.certain).collect());
        let quorum = got(outcome.quorum.list.iter().map(|one| one.certain).collect());
        if case.replicates {
            // Data that may be nowhere can be lost only from a node that may hold it.
            prop_assert_eq!(data, follows(&case, |truth, without| some(truth, without, false)), "data");
            prop_assert_eq!(quorum, follows(&case, |truth, without| votes_suffice(&case, truth, without)), "quorum");
            let usable = |truth: &[Truth], without: bool| some(truth, without, true) && votes_suffice(&case, truth, without);
            prop_assert_eq!(access, follows(&case, usable), "access");
        } else {
            let there = (0..NODES.len()).any(|at| case.gone[at] && truths(case.roles[at], case.online[at])[0].data);
            prop_assert_eq!(data, there.then_some(true), "each replica has data of its own");
            prop_assert_eq!(quorum, None);
        }
        // Copies: for sure after, and unknown.
        let may = |at: usize| truths(case.roles[at], case.online[at]);
        let sure = |at: &usize| may(*at).iter().all(|one| one.data);
        let maybe = |at: &usize| may(*at).iter().any(|one| one.data) && !sure(at);
        let after = (0..NODES.len()).filter(|at| !case.gone[*at]).filter(sure).count();
        let unknown = (0..NODES.len()).filter(|at| !case.gone[*at]).filter(maybe).count();
        let there = (0..NODES.len()).filter(|at| case.gone[*at]).filter(|at| sure(at) || maybe(at)).count();
        let short = case.replicates && there > 0 && after + unknown > 0 && after < usize::try_from(case.wanted).unwrap();
        let expected = short.then_some((there + after + unknown, after, unknown));
        prop_assert_eq!(outcome.redundancy.list.first().map(|one| (one.before, one.after, one.unknown)), expected);
    }

    #[test]
    fn the_report_is_the_sum_of_single_failures(case in cases()) {
        let world = world_of(&case);
        let report = report(&world.cluster, &world.observed);
        for name in NODES {
            let outcome = world.what_if(&[name]);
            let counts = [outcome.data.total, outcome.access.total, outcome.quorum.total, outcome.redundancy.total, outcome.snapshots.total];
            let risk = report.nodes.list.iter().find(|risk| risk.node == node(name));
            let told = risk.map_or([0; 5], |risk| [risk.data, risk.access, risk.quorum, risk.redundancy, risk.snapshots]);
            prop_assert_eq!(told, counts, "{}", name);
        }
    }

    #[test]
    fn what_was_foretold_comes_true(case in cases(), mut at in 0..5usize) {
        at = at.min(NODES.len() - 1);
        let mut world = world_of(&case);
        let name = NODES[at];
        world.snapshot("one", "here", if case.replicates { REPLICATED } else { PLAIN }, &[name]);
        world.snapshot("one", "there", REPLICATED, &[name, NODES[(at + 1) % NODES.len()]]);
        let outcome = world.what_if(&[name]);
        world.away(name);
        let told = world.give(&Command::LoseNode { node: name.into() });
        prop_assert!(told.result.is_ok(), "{told:?}");
        let standing = Standing::of(&world.cluster, &world.observed, &resource("one"));
        let left = standing.map_or(0, |standing| standing.holders(|_| true).len());
        if case.replicates {
            for loss in &outcome.data.list {
                prop_assert_eq!(left, loss.unknown.len(), "only what is unknown is left");
            }
            for fewer in &outcome.redundancy.list {
                prop_assert_eq!(left, fewer.after + fewer.unknown);
            }
        }
        let snapshots: Vec<String> = world.cluster.snapshots_of(&resource("one")).map(|one| one.name.to_string()).collect();
        for loss in outcome.snapshots.list.iter().filter(|loss| loss.certain && case.replicates) {
            prop_assert!(!snapshots.contains(&loss.snapshot.to_string()), "{snapshots:?}");
        }
        prop_assert!(outcome.snapshots.list.iter().any(|loss| loss.snapshot.as_str() == "here" && loss.certain));
    }
}

#[test]
fn usual_cases() {
    let mut world = World::of(
        "node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; node delta +DRBD; group three - 3; group two - 2
         pool thin on alpha FILE_THIN 100G; pool thin on bravo FILE_THIN 100G; pool thin on charlie FILE_THIN 100G; pool thin on delta FILE_THIN 100G",
    );
    for (name, group) in [("triple", "three"), ("pair", "two"), ("plain", "two"), ("tie", "two")] {
        world.definition(name, group, "1G");
        world.set_quorum(name, if name == "pair" { "off" } else { "majority" });
    }
    for on in ["alpha", "bravo", "charlie"] {
        world.replica("triple", on, "thin", REPLICATED, Role::Disk);
    }
    for on in ["alpha", "bravo"] {
        world.replica("pair", on, "thin", REPLICATED, Role::Disk);
        world.replica("tie", on, "thin", REPLICATED, Role::Disk);
    }
    world.replica("tie", "charlie", "DfltDisklessStorPool", REPLICATED, Role::Diskless);
    world.replica("plain", "alpha", "thin", PLAIN, Role::Disk);

    let one = world.what_if(&["alpha"]);
    assert_eq!(names(&one.data, |one| format!("{} {}", one.resource, one.certain)), ["plain true"]);
    assert_eq!(names(&one.access, |one| one.resource.to_string()), ["plain"]);
    assert_eq!(names(&one.quorum, |one| one.resource.to_string()), [""; 0]);
    let words = |one: &TooFew| format!("{}: {} of {} -> {}", one.resource, one.before, one.wanted, one.after);
    assert_eq!(names(&one.redundancy, words), ["pair: 2 of 2 -> 1", "tie: 2 of 2 -> 1", "triple: 3 of 3 -> 2"]);
    assert_eq!((one.replicas, one.unplaced.total, one.pools.total), (4, 0, 0));

    let two = world.what_if(&["alpha", "charlie"]);
    let words = |one: &QuorumLoss| format!("{}: {}/{} needs {}", one.resource, one.left, one.voters, one.needed);
    assert_eq!(names(&two.quorum, words), ["tie: 1/2 needs 2", "triple: 1/3 needs 2"]);
    assert_eq!(names(&two.access, |one| one.resource.to_string()), ["plain", "tie", "triple"]);

    // With bravo away, nobody can say whether alpha is the last one.
    world.away("bravo");
    let one = world.what_if(&["alpha"]);
    let words =
        |one: &DataLoss| format!("{} {} {:?}", one.resource, one.certain, one.unknown.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(names(&one.data, words), [r#"pair false ["bravo"]"#, "plain true []", r#"tie false ["bravo"]"#]);
    assert_eq!(names(&one.unknown_nodes, ToString::to_string), ["bravo"]);
    let report = report(&world.cluster, &world.observed);
    assert_eq!(names(&report.nodes_away, |one| one.node.to_string()), ["bravo"]);
    assert_eq!(report.nodes_away.list[0].since, Some(Timestamp(3)));
    assert_eq!(names(&report.too_few, |one| one.resource.to_string()), ["pair", "tie", "triple"]);
    assert_eq!(report.nodes.list[0].node, node("alpha"), "the worst first");
    assert_eq!(names(&report.pools_unknown, |one| one.node.to_string()), ["bravo"]);
}

#[test]
fn pools_overflow() {
    // Ten replicas of 10 GiB on alpha; bravo has 60 GiB, thick: six go there, the rest lacks 40 GiB.
    let mut world =
        World::of("node alpha; node bravo; pool thick on alpha FILE 200G/100G; pool thick on bravo FILE 60G; group single STORAGE 1");
    for number in 0..10 {
        let name = format!("data{number}");
        world.definition(&name, "single", "10G");
        world.replica(&name, "alpha", "thick", PLAIN, Role::Disk);
    }
    let outcome = world.what_if(&["alpha"]);
    assert_eq!((outcome.data.total, outcome.replicas, outcome.not_tried), (10, 10, 0));
    let pool = |one: &PoolAfter| {
        format!("{} {} +{} over {} short {}", one.node, one.pool, one.added.0 >> 20, one.over.0 >> 20, one.short_if_full.0 >> 20)
    };
    assert_eq!(names(&outcome.pools, pool), ["bravo thick +100 over 40 short 40"]);
    assert_eq!(
        names(&outcome.unplaced, |one| format!("{} {}", one.resource, one.no_space)),
        ["data6 true", "data7 true", "data8 true", "data9 true"]
    );
    assert!(outcome.unplaced.list[0].reasons[0].contains("needed"), "{:?}", outcome.unplaced.list[0]);
}

#[test]
fn thin_pools_take_more_than_they_have_and_say_so() {
    let mut world =
        World::of("node alpha; node bravo; pool thin on alpha FILE_THIN 100G; pool thin on bravo FILE_THIN 30G; group single STORAGE 1");
    for number in 0..5 {
        let name = format!("data{number}");
        world.definition(&name, "single", "10G");
        world.replica(&name, "alpha", "thin", PLAIN, Role::Disk);
    }
    let pool = |one: &PoolAfter| format!("{} over {} short {}", one.node, one.over.0 >> 20, one.short_if_full.0 >> 20);
    let outcome = world.what_if(&["alpha"]);
    assert_eq!((names(&outcome.pools, pool), outcome.unplaced.total), (vec!["bravo over 0 short 20".to_owned()], 0));
    // Half of each is written; the fourth finds 15 GiB of 30 free, but only 30 may be promised.
    world.cluster.fold([&berth_model::change::Change::Put(Object::Controller(berth_model::objects::ControllerObject {
        props: {
            let mut props = berth_model::props::Props::default();
            props.insert_internal(MAX_OVERSUBSCRIPTION, "1");
            props
        },
    }))]);
    let outcome = world.what_if(&["alpha"]);
    // Free space: 30, 25, 20, 15; promised: 30, 20, 10, 0.
    assert_eq!(names(&outcome.pools, pool), ["bravo over 20 short 20"]);
    assert_eq!(names(&outcome.unplaced, |one| one.resource.to_string()), ["data3", "data4"]);
    let report = report(&world.cluster, &world.observed);
    assert_eq!(report.overcommitted.total, 0);
    assert_eq!(report.nodes.list[0].holds, kib("50G"));
    assert_eq!(report.nodes.list[0].room_elsewhere, kib("30G"));
}

#[test]
fn no_place_for_other_reasons() {
    let mut world = World::of("node alpha +DRBD; node bravo; pool thin on alpha FILE_THIN 9G; pool thin on bravo FILE_THIN 9G/512M");
    world.definition("one", "DfltRscGrp", "1G");
    world.replica("one", "alpha", "thin", REPLICATED, Role::Disk);
    let outcome = world.what_if(&["alpha"]);
    assert_eq!(names(&outcome.unplaced, |one| format!("{} {}", one.no_space, one.reasons.join(","))), ["false bravo: cannot do DRBD"]);
    assert_eq!(outcome.pools.total, 0);
    let report = report(&world.cluster, &world.observed);
    assert_eq!(names(&report.near_full, |one| one.node.to_string()), ["bravo"]);
}

#[test]
fn lists_are_capped_and_say_how_long_they_are() {
    let mut world = World::of("node alpha; node bravo; pool thin on alpha FILE_THIN 100T; pool thin on bravo FILE_THIN 100T");
    for number in 0..MOST_LISTED + 10 {
        let name = format!("data{number}");
        world.definition(&name, "DfltRscGrp", "4K");
        world.replica(&name, "alpha", "thin", PLAIN, Role::Disk);
    }
    let outcome = world.what_if(&["alpha"]);
    assert_eq!((outcome.data.total, outcome.data.list.len()), (MOST_LISTED + 10, MOST_LISTED));
    world.away("alpha");
    let report = report(&world.cluster, &world.observed);
    assert_eq!((report.copyless.total, report.copyless.list.len()), (MOST_LISTED + 10, MOST_LISTED));
    assert_eq!(report.nodes.list[0].data, MOST_LISTED + 10, "what is there cannot be seen, and can be lost");
}

/// What the report says of resources without a good copy: lost for sure or not, and where it may be, is missing, is behind, was given up.
fn copyless(world: &World) -> Vec<String> {
    let list = |nodes: &[NodeName]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    names(&report(&world.cluster, &world.observed).copyless, |one| {
        let nodes = [&one.unknown, &one.lost_on, &one.behind_on, &one.given_up_on].map(|nodes| list(nodes));
        format!("{} {}: {}", one.resource, if one.certain { "lost" } else { "perhaps" }, nodes.join(" / "))
    })
}

#[test]
fn what_is_lost_stays_in_the_report() {
    let mut world = World::of(
        "node alpha +DRBD; node bravo +DRBD; node charlie +DRBD
         pool thin on alpha FILE_THIN 100G; pool thin on bravo FILE_THIN 100G; pool thin on charlie FILE_THIN 100G",
    );
    for name in ["empty", "gone", "making", "missing", "never", "older", "well"] {
        world.definition(name, "DfltRscGrp", "1G");
    }
    for on in ["alpha", "bravo"] {
        world.replica("gone", on, "thin", REPLICATED, Role::Disk);
        world.replica("missing", on, "thin", REPLICATED, Role::Missing);
    }
    world.replica("empty", "charlie", "thin", REPLICATED, Role::Fresh);
    world.replica("gone", "charlie", "DfltDisklessStorPool", REPLICATED, Role::Diskless);
    world.replica("making", "alpha", "thin", REPLICATED, Role::Disk);
    world.replica("making", "charlie", "thin", REPLICATED, Role::Fresh);
    world.replica("older", "alpha", "thin", REPLICATED, Role::Disk);
    world.replica("older", "charlie", "thin", REPLICATED, Role::Behind);
    world.replica("well", "alpha", "thin", REPLICATED, Role::Disk);
    world.replica("well", "charlie", "thin", REPLICATED, Role::Disk);
    assert_eq!(copyless(&world), ["missing lost:  / alpha,bravo /  / "]);
    let without = |world: &World| names(&report(&world.cluster, &world.observed).without_replica, ToString::to_string);
    assert_eq!(without(&world), ["never"]);
    let warned = |world: &mut World, name: &str| {
        world.away(name);
        let applied = world.give(&Command::LoseNode { node: name.into() }).result.unwrap();
        let warnings = applied.replies.iter().filter(|reply| reply.code == berth_model::codes::Code::WARN_STORAGE_ERROR);
        warnings.map(|reply| reply.message.clone()).collect::<Vec<_>>()
    };
    let last = |name: &str, on: &str| format!("The last copy of the data of '{name}' is given up with node '{on}'.");
    // What was missing before the node went away may be there again; nobody can look.
    assert_eq!(warned(&mut world, "alpha"), [last("making", "alpha"), last("missing", "alpha"), last("older", "alpha")]);
    assert_eq!(warned(&mut world, "bravo"), [last("gone", "bravo"), last("missing", "bravo")]);
    let lost = [
        "gone lost:  /  /  / alpha,bravo",
        "making lost:  /  /  / alpha",
        "missing lost:  /  /  / alpha,bravo",
        "older lost:  /  / charlie / alpha",
    ];
    assert_eq!(copyless(&world), lost);
    // The machines come back and clean up: nothing tells any more what was lost, but that nothing is there.
    let tombstones: Vec<_> = world.cluster.tombstones.keys().copied().collect();
    for id in tombstones {
        world.cluster.fold(&[berth_model::change::Change::Delete(berth_model::change::Key::Tombstone(id))]);
    }
    assert_eq!(copyless(&world), ["older lost:  /  / charlie / "]);
    assert_eq!(without(&world), ["gone", "missing", "never"]);
}

#[test]
fn a_lost_node_may_hold_what_an_unknown_one_holds_too() {
    let mut world = World::of("node alpha +DRBD; node bravo +DRBD; pool thin on alpha FILE_THIN 100G; pool thin on bravo FILE_THIN 100G");
    world.definition("one", "DfltRscGrp", "1G");
    world.replica("one", "alpha", "thin", REPLICATED, Role::Disk);
    world.replica("one", "bravo", "thin", REPLICATED, Role::Disk);
    world.away("alpha");
    assert_eq!(data_on(&world.cluster, &world.observed, &node("alpha")).total, 0, "bravo has it");
    world.away("bravo");
    let told = world.give(&Command::LoseNode { node: "alpha".into() }).result.unwrap();
    assert_eq!(told.replies[1].message, "The last copy of the data of 'one' may have been on node 'alpha'.");
    assert_eq!(told.replies[1].cause, "Nobody can say whether it is on 'bravo'.");
    assert_eq!(copyless(&world), ["one perhaps: bravo /  /  / alpha"]);
}
