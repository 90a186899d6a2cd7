//! Jobs against satellites that do, refuse, or stay away, in any order: whatever came before, a quiet cluster ends every job,
//! and deleting everything leaves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_model::change::Change;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::observed::{ConnectionStatus, Fault, FaultKind, ItemRecord, ItemSeen, Standing, VolumeSeen};
use berth_model::plan::{ContentSource, PlanItem, Wanted};
use berth_model::props::PropChange;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use proptest::prelude::*;

use crate::command::{Command, FilterRequest};
use crate::testkit::{World, node};
use crate::{jobs, plan, stack};

mod balance;
mod cancel;
mod empty;
mod evict;
mod late;
mod numbers;
mod tending;
mod ties;

/// Cases of a property; many more of them in a long run.
fn cases(usual: u32) -> ProptestConfig {
    ProptestConfig { cases: if std::env::var_os("BERTH_CASES_MANY").is_some() { 5000 } else { usual }, ..ProptestConfig::default() }
}

const NODES: [&str; 3] = ["alpha", "bravo", "charlie"];
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Two nodes with a pool, and a third one that can only have tiebreakers and clients.
fn world() -> World {
    World::of(
        "ties; node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; group plain STORAGE 2 thin; group drbd DRBD,STORAGE 2 thin",
    )
}

/// What a satellite does with its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// All of it.
    Obey,
    /// All of it, and nobody can tell what DRBD does.
    Blind,
    /// All of it, and DRBD has not given a new replica its data.
    Behind,
    /// Nothing, because every device is in use.
    Busy,
    /// Nothing, because the pool is full.
    Full,
}

/// One look of a satellite at its whole plan, and what follows for jobs and tombstones.
fn look(world: &mut World, name: &str, mood: Mood) -> Vec<Reply> {
    let name = node(name);
    if !world.observed.online(&name) {
        return Vec::new();
    }
    let body = plan::whole(&world.cluster, &name);
    let mut seen = (**world.observed.nodes.get(&name).unwrap()).clone();
    let mut gone = Vec::new();
    for item in &body.items {
        let (standing, fault) = match mood {
            Mood::Busy => (Standing::Faulty, Some(fault(FaultKind::InUse))),
            Mood::Full if item.wanted() != Wanted::Absent => (Standing::Faulty, Some(fault(FaultKind::NoSpace))),
            Mood::Full => (Standing::Gone, None),
            Mood::Obey | Mood::Blind | Mood::Behind if item.wanted() == Wanted::Absent => (Standing::Gone, None),
            Mood::Obey | Mood::Blind | Mood::Behind => (Standing::Settled, None),
        };
        if standing == Standing::Gone {
            gone.push(item.id());
        }
        let generation = world.cluster.serial;
        let volumes = disks(item, mood);
        let record = ItemSeen { id: item.id(), generation, standing, volumes, fault };
        seen.items.insert(item.id(), Arc::new(ItemRecord { seen: record, at: Timestamp(2) }));
    }
    world.observed.nodes.insert(name.clone(), Arc::new(seen));
    let buried = jobs::bury(&world.cluster, &name, gone);
    commit(world, &buried);
    advance(world)
}

/// What a satellite tells of the disks of an item.
fn disks(item: &PlanItem, mood: Mood) -> Vec<VolumeSeen> {
    let PlanItem::Resource(plan) = item else { return Vec::new() };
    let told = matches!(mood, Mood::Obey | Mood::Behind) && stack::replicates(&plan.layers) && !plan.diskless;
    let there = plan.volumes.iter().filter(|volume| told && volume.wanted != Wanted::Absent);
    let seen = there.map(|volume| VolumeSeen {
        number: volume.number,
        device_path: None,
        backing_kib: volume.backing_kib,
        allocated_kib: volume.backing_kib,
        in_use: false,
        content: Some(volume.content.id.uuid()),
        up_to_date: Some(mood == Mood::Obey || volume.content.source != ContentSource::Peers),
    });
    seen.collect()
}

fn fault(kind: FaultKind) -> Fault {
    Fault {
        kind,
        message: "it does not go".to_owned(),
        cause: String::new(),
        correction: "Make it go".to_owned(),
        details: String::new(),
        holders: Vec::new(),
    }
}

fn commit(world: &mut World, changes: &[Change]) {
    if !changes.is_empty() {
        world.cluster.fold(changes);
        world.cluster.serial += 1;
    }
}

fn advance(world: &mut World) -> Vec<Reply> {
    let mut told = Vec::new();
    for _ in 0..20 {
        let ids = world.ids();
        let open: Vec<_> = world.cluster.jobs.keys().copied().collect();
        let progress = jobs::advance(&world.cluster, &world.observed, Timestamp(3), ids, open);
        told.extend(progress.ended.into_iter().flat_map(|(_, replies)| replies));
        if progress.changes.is_empty() {
            return told;
        }
        commit(world, &progress.changes);
    }
    panic!("jobs do not come to rest: {:?}", world.cluster.jobs);
}

fn switch(world: &mut World, name: &str, online: bool) {
    let name = node(name);
    let mut seen = (**world.observed.nodes.get(&name).unwrap()).clone();
    seen.status = if online { ConnectionStatus::Online } else { ConnectionStatus::Offline };
    seen.items.clear();
    world.observed.nodes.insert(name, Arc::new(seen));
    advance(world);
}

fn quiet(world: &mut World) {
    NODES.iter().for_each(|name| switch(world, name, true));
    for _ in 0..12 {
        for name in NODES {
            look(world, name, Mood::Obey);
        }
    }
}

fn spawn(name: &str, group: &str) -> Command {
    Command::SpawnResource {
        group: group.to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        volume_sizes: vec![65536],
        partial: true,
        definitions_only: false,
        filter: FilterRequest::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

fn snapshot(name: &str, snap: &str) -> Command {
    Command::CreateSnapshot { resource: name.to_owned(), name: snap.to_owned(), nodes: Vec::new(), props: BTreeMap::new() }
}

fn command(kind: u8, which: u8) -> Command {
    let name = NAMES[usize::from(which) % NAMES.len()].to_owned();
    let other = NAMES[usize::from(which / 3) % NAMES.len()].to_owned();
    let on = NODES[usize::from(which) % NODES.len()].to_owned();
    match kind % 14 {
        0 => spawn(&name, "plain"),
        1 => spawn(&name, "drbd"),
        2 => Command::DeleteResourceDefinition { name },
        3 => snapshot(&name, "snap"),
        4 => Command::DeleteSnapshot { resource: name, name: "snap".to_owned(), nodes: Vec::new() },
        5 => Command::RollbackSnapshot { resource: name, name: "snap".to_owned(), zfs_rollback_strategy: None },
        6 => Command::CloneResourceDefinition {
            source: name,
            name: Some(other),
            external_name: None,
            layers: Vec::new(),
            group: None,
            props: PropChange::default(),
            use_zfs_clone: None,
            passphrases: Vec::new(),
        },
        7 => Command::ModifyVolumeDefinition {
            resource: name,
            number: 0,
            size_kib: Some(65536 + 4096 * i64::from(which)),
            flags: Vec::new(),
            props: PropChange::default(),
        },
        8 => Command::DeactivateResource { resource: name, node: on },
        9 => Command::ActivateResource { resource: name, node: on },
        10 => toggle(name, on, "INTO_DRBD_DISKLESS"),
        11 => toggle(name, on, "INTO_DRBD_DISKFUL"),
        12 => Command::MakeAvailable { resource: name, node: on, diskful: false, layers: Vec::new(), drbd_tcp_ports: Vec::new() },
        _ => Command::DeleteResource { resource: name, node: on, keep_tiebreaker: None },
    }
}

fn toggle(resource: String, node: String, operation: &str) -> Command {
    Command::ToggleDisk { resource, node, operation: operation.to_owned(), storage_pool: Some("thin".to_owned()), migrate_from: None }
}

/// Indices are what a fold of all records gives (law 1), and no number is held by nobody.
fn check(world: &World) {
    let mut again = Cluster::empty(world.cluster.id);
    let objects: Vec<Change> = world.cluster.objects().map(Change::Put).collect();
    again.fold(&objects);
    for name in NODES.map(node) {
        assert_eq!(again.count_on(&name), world.cluster.count_on(&name));
        assert_eq!(again.snapshots_on(&name).count(), world.cluster.snapshots_on(&name).count());
        assert_eq!(again.tombstones_on(&name).count(), world.cluster.tombstones_on(&name).count());
        let port = |cluster: &Cluster| cluster.lowest_free_port(&name, 7000, 7999);
        assert_eq!(port(&again), port(&world.cluster));
        let waiting = |cluster: &Cluster| cluster.jobs_awaiting(&name).collect::<Vec<_>>();
        assert_eq!(waiting(&again), waiting(&world.cluster));
        let named = |job: &&std::sync::Arc<berth_model::job::Job>| job.task.awaited().iter().any(|awaited| awaited.node == name);
        assert_eq!(waiting(&again), again.jobs.values().filter(named).map(|job| job.id).collect::<Vec<_>>());
        for pool in world.cluster.pools_of(&name) {
            assert_eq!(again.pool_use(&name, &pool.name), world.cluster.pool_use(&name, &pool.name));
        }
    }
    for name in again.definitions.keys() {
        let copying = |cluster: &Cluster| cluster.jobs_copying(name).map(|job| job.id).collect::<Vec<_>>();
        assert_eq!(copying(&again), copying(&world.cluster));
    }
    for name in again.pool_definitions.keys() {
        let holders = world.cluster.pools.values().filter(|pools| pools.contains_key(name)).count();
        assert_eq!((again.pools_named(name), world.cluster.pools_named(name)), (holders, holders));
    }
    assert_eq!(again.lowest_free_minor(1000, 49999), world.cluster.lowest_free_minor(1000, 49999));
}

fn delete_everything(world: &mut World) {
    for name in NAMES {
        let names: Vec<String> = world
            .cluster
            .snapshots
            .values()
            .flat_map(|snapshots| snapshots.values())
            .filter(|snapshot| snapshot.resource.as_str() == name)
            .map(|snapshot| snapshot.name.to_string())
            .collect();
        for snap in names {
            world.give(&Command::DeleteSnapshot { resource: name.to_owned(), name: snap, nodes: Vec::new() });
        }
    }
    quiet(world);
    for name in NAMES {
        world.give(&Command::DeleteResourceDefinition { name: name.to_owned() });
    }
    quiet(world);
}

proptest! {
    #![proptest_config(cases(150))]

    /// Commands, looks, refusals and absences in any order.
    #[test]
    fn a_quiet_cluster_ends_every_job_and_deleting_everything_leaves_nothing(
        steps in prop::collection::vec((0u8..19, any::<u8>()), 1..60),
    ) {
        let mut world = world();
        for (kind, which) in steps {
            let on = NODES[usize::from(which) % NODES.len()];
            match kind {
                14 | 15 => drop(look(&mut world, on, Mood::Obey)),
                16 => drop(look(&mut world, on, if which > 127 { Mood::Busy } else { Mood::Full })),
                17 => switch(&mut world, on, false),
                18 => switch(&mut world, on, true),
                _ => {
                    world.give(&command(kind, which));
                    advance(&mut world);
                }
            }
            check(&world);
            ties::check(&world.cluster);
        }
        quiet(&mut world);
        prop_assert!(world.cluster.jobs.is_empty(), "left: {:?}", world.cluster.jobs);
        ties::check_at_rest(&mut world);
        delete_everything(&mut world);
        prop_assert!(world.cluster.jobs.is_empty(), "left: {:?}", world.cluster.jobs);
        prop_assert!(world.cluster.snapshots.is_empty(), "left: {:?}", world.cluster.snapshots);
        prop_assert!(world.cluster.definitions.is_empty(), "left: {:?}", world.cluster.definitions);
        prop_assert!(world.cluster.resources.is_empty(), "left: {:?}", world.cluster.resources);
        prop_assert!(world.cluster.tombstones.is_empty(), "left: {:?}", world.cluster.tombstones);
        prop_assert!(world.cluster.numbers.is_empty(), "left: {:?}", world.cluster.numbers);
    }
}

#[test]
fn a_rollback_touches_no_data_before_every_replica_is_down() {
    let mut world = world();
    world.give(&spawn("one", "plain"));
    quiet(&mut world);
    world.give(&snapshot("one", "snap"));
    quiet(&mut world);
    let before: Vec<_> = world.cluster.replicas(&crate::testkit::resource("one")).map(|replica| replica.volumes.clone()).collect();
    world.give(&Command::RollbackSnapshot { resource: "one".to_owned(), name: "snap".to_owned(), zfs_rollback_strategy: None });
    look(&mut world, "alpha", Mood::Obey);
    let during: Vec<_> = world.cluster.replicas(&crate::testkit::resource("one")).map(|replica| replica.volumes.clone()).collect();
    assert_eq!(before, during, "one replica is down, the other is not");
    look(&mut world, "bravo", Mood::Busy);
    assert!(world.cluster.jobs.is_empty(), "a replica in use ends it");
    let after: Vec<_> = world.cluster.replicas(&crate::testkit::resource("one")).map(|replica| replica.volumes.clone()).collect();
    assert_eq!(before, after);
}

#[test]
fn a_snapshot_that_finds_no_room_says_so_and_is_taken_back() {
    let mut world = world();
    world.give(&spawn("one", "plain"));
    quiet(&mut world);
    world.give(&snapshot("one", "snap"));
    look(&mut world, "alpha", Mood::Full);
    look(&mut world, "alpha", Mood::Obey);
    let told = look(&mut world, "bravo", Mood::Obey);
    let error = told.iter().find(|reply| reply.is_error()).expect("an error");
    assert_eq!((error.code, error.correction.as_str()), (Code::FAIL_NOT_ENOUGH_FREE_SPACE, "Make it go"));
    assert!(world.cluster.snapshots.is_empty() && world.cluster.jobs.is_empty());
}

#[test]
fn who_deletes_a_snapshot_that_could_not_be_taken_is_told_of_its_deletion_alone() {
    let mut world = world();
    world.give(&spawn("one", "plain"));
    quiet(&mut world);
    let creation = world.give(&snapshot("one", "snap")).result.unwrap().jobs;
    look(&mut world, "alpha", Mood::Full);
    let delete = Command::DeleteSnapshot { resource: "one".to_owned(), name: "snap".to_owned(), nodes: Vec::new() };
    let deletion = world.give(&delete).result.unwrap().jobs;
    let again = world.give(&delete).result.unwrap().jobs;
    assert!(creation.len() == 1 && deletion.len() == 1 && deletion == again && creation != deletion, "{creation:?} {deletion:?} {again:?}");
    look(&mut world, "alpha", Mood::Obey);
    let told = look(&mut world, "bravo", Mood::Obey);
    assert!(world.cluster.snapshots.is_empty() && world.cluster.jobs.is_empty());
    let codes: Vec<_> = told.iter().filter(|reply| reply.code != Code::DELETED).map(|reply| reply.code).collect();
    assert_eq!(codes, [Code::FAIL_NOT_ENOUGH_FREE_SPACE], "only the creator's: {told:?}");
    assert!(told.iter().any(|reply| reply.message == "Snapshot 'snap' of 'one' is deleted."), "{told:?}");
}

#[test]
fn many_volume_definitions_go_with_their_definition() {
    let mut world = world();
    world.give(&Command::CreateResourceDefinition {
        name: Some("one".to_owned()),
        external_name: None,
        group: None,
        layers: Vec::new(),
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    });
    for _ in 0..130 {
        let volume = crate::command::VolumeDefinitionInput { size_kib: 4096, ..Default::default() };
        let decision = world.give(&Command::CreateVolumeDefinition { resource: "one".to_owned(), volume });
        assert!(decision.result.is_ok());
    }
    let decision = world.give(&Command::DeleteResourceDefinition { name: "one".to_owned() });
    assert!(decision.result.unwrap().changes.len() <= 100, "a command fits one transaction");
    advance(&mut world);
    assert!(world.cluster.definitions.is_empty() && world.cluster.numbers.is_empty() && world.cluster.jobs.is_empty());
}

/// What cannot be read is not gone: a job on it waits, says so, and goes on when the record is there again.
#[test]
fn a_broken_record_holds_the_jobs_of_its_definition() {
    use berth_model::change::{Key, Object};
    let mut world = world();
    world.give(&spawn("one", "plain"));
    quiet(&mut world);
    world.give(&Command::DeleteResourceDefinition { name: "one".to_owned() });
    let replica = world.cluster.replicas(&crate::testkit::resource("one")).next().map(|replica| (**replica).clone()).unwrap();
    let key = Key::Resource(replica.name.clone(), replica.node.clone());
    world.cluster.fold([&Change::Delete(key.clone())]);
    let why = "it is missing".to_owned();
    world.cluster.set_aside(vec![berth_model::cluster::Quarantined { kind: key.kind().word().to_owned(), key: key.text(), why }]);
    quiet(&mut world);
    let ids = world.ids();
    let open: Vec<_> = world.cluster.jobs.keys().copied().collect();
    let progress = jobs::advance(&world.cluster, &world.observed, Timestamp(3), ids, open);
    assert!(progress.changes.is_empty() && progress.blocked[0].1[0].message.contains("resource ONE/ALPHA is broken"), "{progress:?}");
    world.cluster.set_aside(Vec::new());
    world.put(Object::Resource(replica));
    quiet(&mut world);
    assert!(world.cluster.jobs.is_empty() && world.cluster.definitions.is_empty());
}
