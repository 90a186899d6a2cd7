//! Nodes that are emptied.

use super::cancel::{Deed, Machines, cancel, facts};
use super::*;
use crate::testkit::resource;

const THREE: [&str; 3] = ["alpha", "bravo", "charlie"];

/// Two replicas of `web` on alpha and bravo, and a third node that could take one.
fn mirrored() -> Machines {
    let text = "node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; \
                pool thin on charlie FILE_THIN 5G; group drbd DRBD,STORAGE 2 thin; group plain STORAGE 1 thin";
    let mut machines = Machines::of(World::of(text));
    assert!(machines.give(&spawn("web", "drbd")));
    machines.quiet(&THREE);
    machines
}

fn evacuate() -> Command {
    Command::EvacuateNode { node: "alpha".to_owned(), target: Vec::new(), do_not_target: Vec::new() }
}

fn on(machines: &Machines, name: &str) -> Vec<String> {
    machines.world.cluster.replicas(&resource(name)).map(|replica| replica.node.to_string()).collect()
}

fn job(machines: &Machines, task: &str) -> std::sync::Arc<berth_model::job::Job> {
    machines.world.cluster.jobs.values().find(|job| job.task.word() == task).expect("such a job").clone()
}

#[test]
fn a_replica_leaves_when_another_one_holds_the_data() {
    let mut machines = mirrored();
    assert!(machines.give(&evacuate()));
    assert_eq!(on(&machines, "web"), THREE, "the old one stays while the new one is made");
    machines.look("charlie", Deed::Fail(FaultKind::NoSpace));
    machines.look("alpha", Deed::Do);
    assert_eq!(on(&machines, "web"), THREE);
    machines.quiet(&THREE);
    assert_eq!(on(&machines, "web"), ["bravo", "charlie"]);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
    let marked = facts(&machines.world.cluster).contains("node alpha [\"EVACUATE\"]");
    assert!(marked, "the node takes nothing new until it is restored");
}

#[test]
fn nothing_leaves_that_nobody_saw_copied() {
    let mut machines = mirrored();
    assert!(machines.give(&evacuate()));
    for _ in 0..4 {
        // Satellites that tell nothing of DRBD's disks.
        THREE.iter().for_each(|name| drop(look(&mut machines.world, name, Mood::Blind)));
    }
    assert_eq!(on(&machines, "web"), THREE);
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job(&machines, "move"), Timestamp(9));
    assert_eq!(view.blockers[0].kind.word(), "not_up_to_date", "{view:?}");
}

#[test]
fn a_replica_in_use_stays_until_it_is_free_and_one_that_cannot_be_copied_is_named() {
    let mut machines = mirrored();
    assert!(machines.give(&Command::SpawnResource {
        group: "plain".to_owned(),
        name: Some("lone".to_owned()),
        external_name: None,
        volume_sizes: vec![4096],
        partial: true,
        definitions_only: false,
        filter: FilterRequest {
            filter: berth_model::objects::SelectFilter { node_name_list: Some(vec!["alpha".to_owned()]), ..Default::default() },
            ..FilterRequest::default()
        },
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }));
    machines.quiet(&THREE);
    let item = machines.world.cluster.resource(&resource("web"), &node("alpha")).unwrap().id.uuid();
    machines.in_use.insert(item);
    machines.quiet(&THREE);
    assert!(machines.give(&evacuate()));
    machines.quiet(&THREE);
    assert_eq!(on(&machines, "web"), THREE);
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job(&machines, "evacuate"), Timestamp(9));
    let mut kinds: Vec<_> = view.blockers.iter().map(|blocker| (blocker.kind.word(), blocker.object.as_str())).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [("in_use", "resource web"), ("unsupported", "resource lone")]);
    machines.in_use.clear();
    machines.quiet(&THREE);
    assert_eq!(on(&machines, "web"), ["bravo", "charlie"]);
    assert_eq!(on(&machines, "lone"), ["alpha"], "the only holder of data is never removed");
    assert!(machines.give(&Command::DeleteResource { resource: "lone".to_owned(), node: "alpha".to_owned(), keep_tiebreaker: None }));
    machines.quiet(&THREE);
    assert!(machines.world.cluster.jobs.is_empty(), "its way out works: {:?}", machines.world.cluster.jobs);
}

#[test]
fn where_no_node_can_take_it_that_is_said_and_a_cancel_leaves_no_trace() {
    let mut machines = mirrored();
    let before = facts(&machines.world.cluster);
    let command = Command::EvacuateNode {
        node: "alpha".to_owned(),
        target: Vec::new(),
        do_not_target: vec!["charlie".to_owned(), "bravo".to_owned()],
    };
    assert!(machines.give(&command));
    let evacuation = job(&machines, "evacuate");
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &evacuation, Timestamp(9));
    assert_eq!(view.blockers[0].kind.word(), "no_place", "{view:?}");
    assert!(machines.give(&cancel(evacuation.id)));
    machines.quiet(&THREE);
    assert_eq!(facts(&machines.world.cluster), before);

    assert!(machines.give(&evacuate()));
    let (moving, evacuation) = (job(&machines, "move").id, job(&machines, "evacuate").id);
    assert!(!machines.give(&cancel(moving)), "it would begin again at once");
    assert!(machines.give(&cancel(evacuation)));
    machines.quiet(&THREE);
    assert_eq!(facts(&machines.world.cluster), before, "what had begun is taken back");
    assert!(machines.world.cluster.jobs.is_empty());
}

#[test]
fn a_large_node_is_emptied_and_taken_back_in_bounded_steps() {
    let mut machines = mirrored();
    for number in 0..150 {
        assert!(machines.give(&spawn(&format!("r{number:03}"), "drbd")));
    }
    machines.quiet(&THREE);
    let ids = machines.world.ids();
    let decision = machines.world.give(&evacuate());
    assert!(decision.result.unwrap().changes.len() <= 100);
    let evacuation = job(&machines, "evacuate").id;
    let progress = jobs::advance(&machines.world.cluster, &machines.world.observed, Timestamp(3), ids, [evacuation]);
    assert!((1..=100).contains(&progress.changes.len()), "{}", progress.changes.len());
    commit(&mut machines.world, &progress.changes);
    let command = Command::RestoreNode { node: "alpha".to_owned(), delete_resources: false, delete_snapshots: false };
    assert!(machines.world.give(&command).result.unwrap().changes.len() <= 100);
    machines.quiet(&THREE);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs.values().next());
    assert!(facts(&machines.world.cluster).iter().all(|fact| !fact.contains("EVACUATE")));
}

fn racks(size: usize) -> Machines {
    let nodes: Vec<String> = (0..size).map(|at| format!("node n{at} +DRBD; pool thin on n{at} FILE_THIN 90G")).collect();
    Machines::of(World::of(&format!("{}; group drbd DRBD,STORAGE 2 thin", nodes.join(";"))))
}

fn place_count(machines: &mut Machines, group: &str, count: i32) {
    let name = berth_model::names::ResourceGroupName::parse(group).unwrap();
    let mut group = (**machines.world.cluster.groups.get(&name).unwrap()).clone();
    group.filter.place_count = Some(count);
    machines.world.put(berth_model::change::Object::ResourceGroup(group));
}

#[test]
fn a_replica_that_is_not_missed_just_goes_when_enough_others_hold_the_data() {
    let mut machines = racks(3);
    place_count(&mut machines, "drbd", 3);
    assert!(machines.give(&spawn("web", "drbd")));
    let nodes = ["n0", "n1", "n2"];
    machines.quiet(&nodes);
    place_count(&mut machines, "drbd", 2);
    // One of those that stay is away: nobody knows whether it holds the data.
    switch(&mut machines.world, "n2", false);
    assert!(machines.give(&Command::EvacuateNode { node: "n0".to_owned(), target: Vec::new(), do_not_target: Vec::new() }));
    machines.look("n0", Deed::Do);
    assert_eq!(on(&machines, "web"), nodes);
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job(&machines, "evacuate"), Timestamp(9));
    assert_eq!(view.blockers[0].kind.word(), "not_up_to_date", "{view:?}");
    let item = machines.world.cluster.resource(&resource("web"), &node("n0")).unwrap().id.uuid();
    machines.in_use.insert(item);
    machines.quiet(&nodes);
    assert_eq!(on(&machines, "web"), nodes, "it is in use");
    machines.in_use.clear();
    machines.quiet(&nodes);
    assert_eq!(on(&machines, "web"), ["n1", "n2"]);
    assert!(machines.world.cluster.jobs.is_empty());
}

#[test]
fn a_look_costs_what_it_starts_and_the_moves_spread() {
    const COUNT: usize = 300;
    let mut machines = racks(8);
    for number in 0..COUNT {
        let mut command = spawn(&format!("r{number:03}"), "drbd");
        if let Command::SpawnResource { filter, .. } = &mut command {
            filter.filter.node_name_list = Some(vec!["n0".to_owned(), format!("n{}", 1 + number % 2)]);
        }
        assert!(machines.world.give(&command).result.is_ok());
    }
    let nodes: Vec<String> = (0..8).map(|at| format!("n{at}")).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    for _ in 0..2 {
        nodes.iter().for_each(|name| machines.look(name, Deed::Do));
    }
    assert!(machines.world.cluster.jobs.is_empty());
    assert!(
        machines.world.give(&Command::EvacuateNode { node: "n0".to_owned(), target: Vec::new(), do_not_target: Vec::new() }).result.is_ok()
    );
    let evacuation = job(&machines, "evacuate").id;
    let look_once = |machines: &mut Machines| {
        let ids = machines.world.ids();
        let progress = jobs::advance(&machines.world.cluster, &machines.world.observed, Timestamp(3), ids, [evacuation]);
        assert!(progress.changes.len() <= 100);
        assert!(progress.reasons.iter().all(|(_, why)| why.message.contains("moves from node 'n0' to pool 'thin' on")), "{progress:?}");
        commit(&mut machines.world, &progress.changes);
        progress.reasons.len()
    };
    let begun: usize = (0..3).map(|_| look_once(&mut machines)).sum();
    assert_eq!(begun, 16, "copies at a time");
    crate::jobs::evacuating::PASSED.with(|passed| passed.set(0));
    for _ in 0..4 * COUNT {
        assert_eq!(look_once(&mut machines), 0);
    }
    let idle = crate::jobs::evacuating::PASSED.with(std::cell::Cell::get);
    assert_eq!(idle, 0, "while enough move, a look passes nothing");
    let mut rounds = 0;
    while machines.world.cluster.count_on(&node("n0")) > 0 {
        nodes.iter().for_each(|name| machines.look(name, Deed::Do));
        rounds += 1;
        assert!(rounds < COUNT, "{} are left", machines.world.cluster.count_on(&node("n0")));
    }
    let passed = crate::jobs::evacuating::PASSED.with(std::cell::Cell::get);
    assert!(passed < 8 * COUNT, "{passed} replicas were passed to move {COUNT}");
    let taken: Vec<usize> = (3..8).map(|at| machines.world.cluster.count_on(&node(&format!("n{at}")))).collect();
    assert!(taken.iter().all(|count| *count * 10 > COUNT), "they spread: {taken:?}");
    for number in 0..COUNT {
        let name = format!("r{number:03}");
        let places = on(&machines, &name);
        assert!(
            places.len() == 2 && places.contains(&format!("n{}", 1 + number % 2)),
            "the other replica of {name} did not move: {places:?}"
        );
    }
}
