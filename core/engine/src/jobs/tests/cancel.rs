//! Any task, cancelled after any looks of satellites that do, refuse, act in silence or stay away, ends: in the state before it, or as
//! it was said. And whatever faults there are, a job that does not end names what blocks it.

use std::collections::BTreeSet;

use berth_model::job::{Job, Task};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::observed::VolumeSeen;
use berth_model::plan::{ContentSource, PlanItem};
use berth_model::size::Kib;
use uuid::Uuid;

use super::*;
use crate::command::VolumeDefinitionInput;

/// Satellites with a memory: what they made is there until they remove it.
pub(super) struct Machines {
    pub(super) world: World,
    there: BTreeSet<Uuid>,
    /// Something was removed that nobody heard of.
    silent: bool,
    /// The last whole state of each node, as its satellite would tell it.
    pub(super) in_use: BTreeSet<Uuid>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Deed {
    /// Does all, and tells.
    Do,
    /// Does all, and the report is lost.
    Silent,
    /// Does nothing, for this reason.
    Fail(FaultKind),
}

impl Machines {
    pub(super) fn of(world: World) -> Self {
        Self { world, there: BTreeSet::new(), silent: false, in_use: BTreeSet::new() }
    }

    fn volume(&mut self, id: Uuid, absent: bool, kept: bool) -> Result<(), ()> {
        if absent {
            self.there.remove(&id);
            return Ok(());
        }
        if kept && !self.there.contains(&id) {
            return Err(());
        }
        self.there.insert(id);
        Ok(())
    }

    fn done(&mut self, item: &PlanItem) -> (Standing, Option<Fault>, Vec<VolumeSeen>) {
        let absent = item.wanted() == Wanted::Absent;
        let mut lost = false;
        let mut seen = Vec::new();
        match item {
            PlanItem::Resource(plan) if plan.diskless => {
                if self.in_use.contains(&item.id()) {
                    seen.extend(plan.volumes.iter().map(|volume| VolumeSeen {
                        number: volume.number,
                        device_path: Some("/dev/drbd".to_owned()),
                        backing_kib: Kib(0),
                        allocated_kib: Kib(0),
                        in_use: true,
                        content: None,
                        up_to_date: None,
                    }));
                }
            }
            PlanItem::Resource(plan) => {
                for volume in &plan.volumes {
                    let gone = absent || volume.wanted == Wanted::Absent;
                    let kept = volume.content.source == ContentSource::Kept;
                    lost |= self.volume(volume.id.uuid(), gone, kept).is_err();
                    if self.there.contains(&volume.id.uuid()) {
                        seen.push(VolumeSeen {
                            number: volume.number,
                            device_path: Some("/dev/sim".to_owned()),
                            backing_kib: volume.backing_kib,
                            allocated_kib: Kib(0),
                            in_use: self.in_use.contains(&item.id()),
                            content: Some(volume.content.id.uuid()),
                            up_to_date: plan.layers.contains(&LayerKind::Drbd).then_some(true),
                        });
                    }
                }
            }
            PlanItem::Snapshot(plan) => {
                for volume in &plan.volumes {
                    lost |= self.volume(volume.id.uuid(), absent, plan.taken).is_err();
                }
            }
        }
        match (lost, absent) {
            (true, _) => (Standing::Faulty, Some(fault(FaultKind::Lost)), seen),
            (false, true) => (Standing::Gone, None, seen),
            (false, false) => (Standing::Settled, None, seen),
        }
    }

    /// One look of a satellite at its whole plan.
    pub(super) fn look(&mut self, name: &str, deed: Deed) {
        let name = node(name);
        if !self.world.observed.online(&name) {
            return;
        }
        let body = plan::whole(&self.world.cluster, &name);
        let mut seen = (**self.world.observed.nodes.get(&name).unwrap()).clone();
        let mut gone = Vec::new();
        for item in &body.items {
            let (standing, fault, volumes) = match deed {
                Deed::Do | Deed::Silent => {
                    let before = self.there.len();
                    let done = self.done(item);
                    self.silent |= deed == Deed::Silent && self.there.len() < before;
                    done
                }
                Deed::Fail(kind) => (Standing::Faulty, Some(fault(kind)), Vec::new()),
            };
            if standing == Standing::Gone {
                gone.push(item.id());
            }
            let record = ItemSeen { id: item.id(), generation: self.world.cluster.serial, standing, volumes, fault };
            seen.items.insert(item.id(), Arc::new(ItemRecord { seen: record, at: Timestamp(2) }));
        }
        if deed == Deed::Silent {
            return;
        }
        self.world.observed.nodes.insert(name.clone(), Arc::new(seen));
        let buried = jobs::bury(&self.world.cluster, &name, gone);
        commit(&mut self.world, &buried);
        advance(&mut self.world);
    }

    pub(super) fn quiet(&mut self, nodes: &[&str]) {
        nodes.iter().for_each(|name| switch(&mut self.world, name, true));
        for _ in 0..14 {
            nodes.iter().for_each(|name| self.look(name, Deed::Do));
        }
    }

    pub(super) fn give(&mut self, command: &Command) -> bool {
        let taken = self.world.give(command).result.is_ok();
        advance(&mut self.world);
        taken
    }
}

/// `one` (plain) with a snapshot `snap`, `two` (DRBD) with a snapshot, `three` (DRBD) with a disk on alpha and none on bravo.
fn base() -> Machines {
    let mut machines = Machines::of(world());
    let bare = |name: &str, layers: &str| Command::CreateResourceDefinition {
        name: Some(name.to_owned()),
        external_name: None,
        group: None,
        layers: layers.split(',').map(str::to_owned).collect(),
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    };
    let volume = |name: &str| Command::CreateVolumeDefinition {
        resource: name.to_owned(),
        volume: VolumeDefinitionInput { size_kib: 65536, ..VolumeDefinitionInput::default() },
    };
    let replica = |name: &str, on: &str, flags: &[&str]| Command::CreateResources {
        resource: name.to_owned(),
        replicas: vec![crate::command::ResourceInput {
            node: on.to_owned(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            props: if flags.is_empty() { [("StorPoolName".to_owned(), "thin".to_owned())].into() } else { BTreeMap::new() },
            ..crate::command::ResourceInput::default()
        }],
    };
    for command in [
        spawn("one", "plain"),
        spawn("two", "drbd"),
        bare("three", "DRBD,STORAGE"),
        volume("three"),
        replica("three", "alpha", &[]),
        replica("three", "bravo", &["DISKLESS"]),
        bare("empty", "STORAGE"),
        volume("empty"),
        snapshot("one", "snap"),
        snapshot("two", "snap"),
        bare("target", "STORAGE"),
        Command::RestoreVolumeDefinitions { resource: "one".to_owned(), name: "snap".to_owned(), to_resource: "target".to_owned() },
    ] {
        assert!(machines.give(&command), "{command:?}");
        machines.quiet(&NODES);
    }
    assert!(machines.world.cluster.jobs.is_empty());
    machines
}

/// Every kind of command that starts a job, each fitting [`base`].
fn starts() -> Vec<Command> {
    let (one, two, three) = ("one".to_owned(), "two".to_owned(), "three".to_owned());
    let resize = |resource: &String| Command::ModifyVolumeDefinition {
        resource: resource.clone(),
        number: 0,
        size_kib: Some(131_072),
        flags: Vec::new(),
        props: PropChange::default(),
    };
    vec![
        spawn("new", "plain"),
        spawn("new", "drbd"),
        Command::MakeAvailable {
            resource: "empty".to_owned(),
            node: "alpha".to_owned(),
            diskful: true,
            layers: Vec::new(),
            drbd_tcp_ports: Vec::new(),
        },
        Command::CreateVolumeDefinition {
            resource: one.clone(),
            volume: VolumeDefinitionInput { size_kib: 4096, ..VolumeDefinitionInput::default() },
        },
        Command::RestoreResources {
            resource: one.clone(),
            name: "snap".to_owned(),
            to_resource: "target".to_owned(),
            nodes: Vec::new(),
            stor_pool_rename: BTreeMap::new(),
        },
        Command::CloneResourceDefinition {
            source: one.clone(),
            name: Some("copy".to_owned()),
            external_name: None,
            layers: Vec::new(),
            group: None,
            props: PropChange::default(),
            use_zfs_clone: None,
            passphrases: Vec::new(),
        },
        Command::DeleteResourceDefinition { name: three.clone() },
        Command::DeleteResource { resource: two.clone(), node: "bravo".to_owned(), keep_tiebreaker: None },
        Command::DeleteVolumeDefinition { resource: three.clone(), number: 0 },
        resize(&one),
        resize(&two),
        snapshot("one", "more"),
        Command::DeleteSnapshot { resource: two.clone(), name: "snap".to_owned(), nodes: Vec::new() },
        Command::RollbackSnapshot { resource: one.clone(), name: "snap".to_owned(), zfs_rollback_strategy: None },
        Command::DeactivateResource { resource: one, node: "alpha".to_owned() },
        toggle(three, "bravo".to_owned(), "INTO_DRBD_DISKFUL"),
        toggle(two, "alpha".to_owned(), "INTO_DRBD_DISKLESS"),
        Command::EvacuateNode { node: "alpha".to_owned(), target: Vec::new(), do_not_target: Vec::new() },
    ]
}

/// The cluster without ids, serials and the quorum, which follows the replicas: one line for each fact.
pub(super) fn facts(cluster: &Cluster) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for node in cluster.nodes.values() {
        facts.insert(format!("node {} {:?}", node.name, node.flags.shown()));
    }
    for definition in cluster.definitions.values() {
        let props: Vec<_> = definition.props.iter().filter(|(key, _)| *key != berth_model::props::QUORUM).collect();
        facts.insert(format!("definition {} {:?} {props:?}", definition.name, definition.flags.shown()));
        for (number, volume) in &definition.volumes {
            facts.insert(format!("volume {} {number} {} {:?} {:?}", definition.name, volume.size_kib, volume.flags.shown(), volume.minor));
        }
        for replica in cluster.replicas(&definition.name) {
            facts.insert(format!("replica {} {} {:?}", replica.name, replica.node, replica.flags.shown()));
            for (number, volume) in &replica.volumes {
                let kept = volume.provider == ProviderKind::Diskless || volume.content.source == ContentSource::Kept;
                let flags = volume.flags.shown();
                facts.insert(format!(
                    "disk {} {} {number} {} {} kept={kept} {flags:?}",
                    replica.name, replica.node, volume.pool, volume.backing_kib
                ));
            }
        }
        for snapshot in cluster.snapshots_of(&definition.name) {
            let copies: Vec<_> = snapshot.copies.iter().map(|(node, copy)| (node.to_string(), copy.state)).collect();
            facts.insert(format!("snapshot {} {} {:?} {copies:?}", definition.name, snapshot.name, snapshot.flags.shown()));
        }
    }
    // A tiebreaker that has come back is another one.
    let ties = cluster.resources.values().flat_map(|nodes| nodes.values()).filter(|one| crate::tiebreaker::is_tie(one));
    let ties: BTreeSet<Uuid> = ties.map(|tie| tie.id.uuid()).collect();
    facts.extend(cluster.numbers.iter().filter(|(_, holder)| !ties.contains(holder)).map(|(key, _)| format!("{key:?}")));
    facts.extend(cluster.tombstones.keys().map(|id| format!("tombstone {id}")));
    facts
}

pub(super) fn cancel(id: berth_model::ids::Id<berth_model::ids::kind::Job>) -> Command {
    Command::CancelJob { id: id.to_string() }
}

fn deed(kind: u8) -> Deed {
    match kind % 8 {
        0 | 1 => Deed::Do,
        2 => Deed::Silent,
        3 => Deed::Fail(FaultKind::InUse),
        4 => Deed::Fail(FaultKind::NoSpace),
        5 => Deed::Fail(FaultKind::Tool),
        6 => Deed::Fail(FaultKind::Foreign),
        _ => Deed::Fail(FaultKind::Timeout),
    }
}

/// What the timer does when nodes are back: tiebreakers that could not be made or removed meanwhile.
fn tend(machines: &mut Machines) {
    let names: Vec<_> = machines.world.cluster.definitions.keys().cloned().collect();
    for name in names {
        if crate::tending::acts(&machines.world.cluster, &machines.world.observed, &name) {
            machines.give(&Command::Tend { resource: name.to_string(), disk_on: None });
        }
    }
    machines.quiet(&NODES);
}

fn wipe(machines: &mut Machines) {
    for (name, snapshots) in machines.world.cluster.snapshots.clone() {
        for snap in snapshots.keys() {
            machines.give(&Command::DeleteSnapshot { resource: name.to_string(), name: snap.to_string(), nodes: Vec::new() });
        }
    }
    machines.quiet(&NODES);
    let names: Vec<_> = machines.world.cluster.definitions.keys().cloned().collect();
    for name in names {
        machines.give(&Command::DeleteResourceDefinition { name: name.to_string() });
    }
    machines.quiet(&NODES);
    let cluster = &machines.world.cluster;
    assert!(cluster.jobs.is_empty(), "left: {:?}", cluster.jobs);
    assert!(cluster.definitions.is_empty() && cluster.resources.is_empty() && cluster.snapshots.is_empty(), "left: {:?}", facts(cluster));
    assert!(cluster.numbers.is_empty() && cluster.tombstones.is_empty(), "left: {:?} {:?}", cluster.numbers, cluster.tombstones);
    assert!(machines.there.is_empty(), "left on machines: {:?}", machines.there);
}

/// Disks that the cluster names and that are on no machine.
fn missing(machines: &Machines) -> Vec<Uuid> {
    let disks = machines.world.cluster.resources.values().flat_map(|nodes| nodes.values()).flat_map(|replica| replica.volumes.values());
    let lost = disks.filter(|disk| disk.provider != ProviderKind::Diskless).map(|disk| disk.id.uuid());
    lost.filter(|id| !machines.there.contains(id)).collect()
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_cancelled_task_ends_in_the_state_before_it_or_as_it_was_said(
        start in 0..starts().len(),
        before in prop::collection::vec((any::<u8>(), 0..NODES.len()), 0..5),
        after in prop::collection::vec((any::<u8>(), 0..NODES.len()), 0..5),
        away in prop::option::of(0..NODES.len()),
        twice in any::<bool>(),
    ) {
        let mut machines = base();
        let former = facts(&machines.world.cluster);
        prop_assert!(machines.give(&starts()[start]));
        for (kind, at) in before {
            machines.look(NODES[at], deed(kind));
        }
        if let Some(at) = away {
            switch(&mut machines.world, NODES[at], false);
        }
        let open: Option<Job> = machines.world.cluster.jobs.values().map(|job| (**job).clone()).min_by_key(|job| (job.resource().is_some(), job.id));
        let Some(job) = open else { return Ok(()) };
        let gone_already = !missing(&machines).is_empty();
        let outlook = jobs::outlook(&machines.world.cluster, &machines.world.observed, &job);
        let mut cancelled = machines.give(&cancel(job.id));
        prop_assert_eq!(cancelled, outlook.cancel.is_ok(), "{:?}: {:?}", job, outlook);
        if twice && cancelled {
            // The undoing is a job, too; cancelled, it may bring the first one's work back.
            let undoing = machines.world.cluster.jobs.keys().next().copied();
            if let Some(id) = undoing && machines.give(&cancel(id)) {
                cancelled = false;
            }
        }
        for (kind, at) in after {
            machines.look(NODES[at], deed(kind));
        }
        machines.quiet(&NODES);
        tend(&mut machines);
        prop_assert!(machines.world.cluster.jobs.is_empty(), "{:?} left {:?}", job, machines.world.cluster.jobs);
        let now = facts(&machines.world.cluster);
        prop_assert!(now.iter().all(|fact| !fact.contains("DELETE") && !fact.contains("RESIZE") && !fact.contains("kept=false")), "{now:?}");
        let lost = missing(&machines);
        prop_assert!(lost.is_empty(), "{:?}: named as there, and is not: {:?}", job, lost);
        let moved = now.iter().any(|fact| fact.starts_with("replica") && !former.contains(fact));
        // A keep is a deletion that took itself back; cancelled, it goes on.
        let goes_on = matches!(job.task, Task::Keep { .. });
        // What a satellite removed before it could say so (or said something else since) is deleted after all, and the answer tells.
        let too_late = gone_already && matches!(job.task, Task::Delete { .. } | Task::DeleteVolume { .. } | Task::DeleteSnapshot { .. });
        let as_it_was_said = machines.silent || goes_on || too_late || (moved && matches!(job.task, Task::Evacuate { .. }));
        if cancelled && !as_it_was_said {
            let differ: Vec<_> = former.symmetric_difference(&now).collect();
            prop_assert!(differ.is_empty(), "{:?}: {:?}", job, differ);
        }
        wipe(&mut machines);
    }
}

/// For every task and every fault: the job ended, or it names what blocks it, and doing what it says ends it.
#[test]
fn a_job_that_does_not_end_names_what_blocks_it_and_a_way_out_that_works() {
    let faults = [FaultKind::NoSpace, FaultKind::InUse, FaultKind::Tool, FaultKind::Lost, FaultKind::Foreign];
    for command in starts() {
        for trouble in faults.map(Some).into_iter().chain([None]) {
            let mut machines = base();
            assert!(machines.give(&command));
            match trouble {
                Some(kind) => {
                    for _ in 0..3 {
                        NODES.iter().for_each(|name| machines.look(name, Deed::Fail(kind)));
                    }
                }
                None => {
                    switch(&mut machines.world, "bravo", false);
                    (0..6).for_each(|_| machines.look("alpha", Deed::Do));
                }
            }
            let (cluster, observed) = (&machines.world.cluster, &machines.world.observed);
            let open: Vec<Job> = cluster.jobs.values().map(|job| (**job).clone()).collect();
            for job in &open {
                let view = jobs::view(cluster, observed, job, Timestamp(9));
                assert!(!view.blockers.is_empty(), "{command:?} under {trouble:?}: {view:?}");
                for blocker in &view.blockers {
                    assert!(blocker.way_out.contains('\''), "no command: {blocker:?}");
                    assert!(!blocker.message.is_empty() && !blocker.object.is_empty(), "{blocker:?}");
                    let expected = trouble.map_or("offline", |_| blocker.kind.word());
                    let evacuation = view.task == "evacuate";
                    assert!(evacuation || blocker.kind.word() == expected, "{blocker:?} under {trouble:?}");
                }
            }
            let evacuations = open.iter().filter(|job| matches!(job.task, Task::Evacuate { .. })).count();
            match trouble {
                // 'linstor node lost'
                None => {
                    assert!(machines.give(&Command::LoseNode { node: "bravo".to_owned() }));
                    (0..8).for_each(|_| machines.look("alpha", Deed::Do));
                }
                // 'berth job retry' after mending.
                Some(_) => {
                    for job in open {
                        assert!(machines.give(&Command::RetryJob { id: job.id.to_string() }));
                    }
                    (0..8).for_each(|_| NODES.iter().for_each(|name| machines.look(name, Deed::Do)));
                }
            }
            assert_eq!(machines.world.cluster.jobs.len(), evacuations, "{command:?} under {trouble:?}: {:?}", machines.world.cluster.jobs);
        }
    }
}

/// A new serial makes plans name what a job waits for, which is what ends a satellite's pause between two tries.
#[test]
fn a_retry_names_every_item_of_the_job_to_its_satellites() {
    for command in starts() {
        let mut machines = base();
        assert!(machines.give(&command));
        for job in machines.world.cluster.jobs.values().map(|job| (**job).clone()).collect::<Vec<_>>() {
            let before = machines.world.cluster.clone();
            let applied = machines.world.give(&Command::RetryJob { id: job.id.to_string() }).result.unwrap();
            assert_eq!(applied.jobs, [job.id], "the answer waits for it");
            let touched = plan::touched(&before, &machines.world.cluster, &applied.changes);
            for awaited in job.task.awaited() {
                assert!(touched.get(&awaited.node).is_some_and(|touch| touch.items.contains(&awaited.item)), "{command:?}");
            }
            let again = machines.world.cluster.jobs.get(&job.id).unwrap();
            assert!(again.serial > job.serial, "what was seen before says nothing any more");
        }
    }
}

#[test]
fn what_is_no_open_job_is_refused() {
    let mut machines = base();
    for (id, code) in [("nonsense", 234), ("01890a5d-ac96-774b-bcce-b302099a8057", 399)] {
        for command in [Command::CancelJob { id: id.to_owned() }, Command::RetryJob { id: id.to_owned() }] {
            let refused = machines.world.give(&command).result.unwrap_err();
            assert_eq!(refused.replies[0].code.number(), code, "{command:?}");
            assert!(!refused.replies[0].correction.is_empty());
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_holds_its_job_up_and_is_named() {
    let mut machines = base();
    assert!(machines.give(&Command::DeleteResource { resource: "two".to_owned(), node: "bravo".to_owned(), keep_tiebreaker: None }));
    let key = berth_model::change::Key::Resource(crate::testkit::resource("two"), node("bravo"));
    let record = berth_model::cluster::Quarantined { kind: key.kind().word().to_owned(), key: key.text(), why: "torn".to_owned() };
    machines.world.cluster.fold(&[Change::Delete(key)]);
    machines.world.cluster.quarantined = Arc::new(vec![record]);
    machines.quiet(&NODES);
    let job = machines.world.cluster.jobs.values().next().expect("the job waits for the record").clone();
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job, Timestamp(9));
    assert_eq!((view.blockers[0].kind.word(), view.blockers[0].cause.as_str()), ("quarantined", "torn"));
    machines.world.cluster.quarantined = Arc::default();
    machines.quiet(&NODES);
    assert!(machines.world.cluster.jobs.is_empty(), "the record was removed by a repair");
}

#[test]
fn whoever_holds_a_device_is_in_the_way_out() {
    let mut machines = base();
    assert!(machines.give(&Command::RollbackSnapshot { resource: "one".to_owned(), name: "snap".to_owned(), zfs_rollback_strategy: None }));
    let job = machines.world.cluster.jobs.values().next().unwrap().clone();
    for (name, mount) in [("alpha", true), ("bravo", false)] {
        let item = job.task.awaited().iter().find(|awaited| awaited.node == node(name)).unwrap().item;
        let device = "/dev/loop1".to_owned();
        let holder = match mount {
            true => berth_model::observed::Holder::Mount { device, path: "/mnt".to_owned() },
            false => berth_model::observed::Holder::Process { device, pid: 42, command: "dd".to_owned() },
        };
        let why = Fault { holders: vec![holder], ..fault(FaultKind::InUse) };
        let seen = ItemSeen { id: item, generation: job.serial, standing: Standing::Faulty, volumes: Vec::new(), fault: Some(why) };
        let known = Arc::make_mut(machines.world.observed.nodes.get_mut(&node(name)).unwrap());
        known.items.insert(item, Arc::new(ItemRecord { seen, at: Timestamp(7) }));
    }
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job, Timestamp(9));
    let ways: Vec<_> = view.blockers.iter().map(|blocker| (blocker.way_out.as_str(), blocker.holders.len(), blocker.seen)).collect();
    assert!(ways[0].0.contains("'umount /mnt'") && ways[0].0.contains(&format!("'berth job retry {}'", job.id)), "{ways:?}");
    assert!(ways[1].0.contains("'kill 42'") && ways[1].0.contains("berth job cancel"), "{ways:?}");
    assert!(ways.iter().all(|way| way.1 == 1 && way.2 == Some(Timestamp(7))), "{ways:?}");
    let steps: Vec<_> = view.steps.iter().map(|step| (step.name, step.state.word())).collect();
    assert_eq!(steps, [("down", "now"), ("roll", "to_come"), ("up", "to_come")]);
}
