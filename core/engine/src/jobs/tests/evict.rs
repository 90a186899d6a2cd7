//! Nodes that are given up for now.

use berth_model::flags::{NodeFlag, ResourceFlag};

use super::cancel::{Deed, Machines, cancel, facts};
use super::*;
use crate::testkit::{resource, told};

const FOUR: [&str; 4] = ["alpha", "bravo", "charlie", "delta"];
const THERE: [&str; 3] = ["bravo", "charlie", "delta"];

/// Two replicas of `web` on alpha and bravo, one of `lone` that nothing replicates on alpha, and two nodes that could take more.
fn mirrored() -> Machines {
    let mut text = String::new();
    for (name, size) in FOUR.iter().zip(["10G", "9G", "5G", "4G"]) {
        text.push_str(&format!("node {name} +DRBD; pool thin on {name} FILE_THIN {size}; "));
    }
    text.push_str("group drbd DRBD,STORAGE 2 thin; group plain STORAGE 1 thin");
    let mut machines = Machines::of(World::of(&text));
    assert!(machines.give(&spawn("web", "drbd")));
    assert!(machines.give(&spawn("lone", "plain")));
    machines.quiet(&FOUR);
    assert_eq!((on(&machines, "web"), on(&machines, "lone")), (vec!["alpha".to_owned(), "bravo".to_owned()], vec!["alpha".to_owned()]));
    machines
}

fn evict(name: &str) -> Command {
    Command::EvictNode { node: name.to_owned() }
}

fn restore(delete_resources: bool) -> Command {
    Command::RestoreNode { node: "alpha".to_owned(), delete_resources, delete_snapshots: false }
}

fn on(machines: &Machines, name: &str) -> Vec<String> {
    machines.world.cluster.replicas(&resource(name)).map(|replica| replica.node.to_string()).collect()
}

fn flags(machines: &Machines, name: &str, on: &str) -> Vec<&'static str> {
    machines.world.cluster.resource(&resource(name), &node(on)).unwrap().flags.shown()
}

/// Satellites that are there obey.
fn settle(machines: &mut Machines) {
    for _ in 0..8 {
        THERE.iter().for_each(|name| machines.look(name, Deed::Do));
    }
}

fn leave(machines: &mut Machines) {
    switch(&mut machines.world, "alpha", false);
}

#[test]
fn what_a_dead_node_held_is_replaced_and_the_node_comes_back_as_it_was() {
    let mut machines = mirrored();
    leave(&mut machines);
    assert!(machines.give(&evict("alpha")));
    assert_eq!(machines.world.cluster.nodes[&node("alpha")].flags.shown(), ["DELETE", "EVICTED"]);
    settle(&mut machines);
    assert_eq!(on(&machines, "web"), ["alpha", "bravo", "charlie"], "the old one stays in the books");
    assert_eq!(flags(&machines, "web", "alpha"), ["INACTIVE", "EVICTED"]);
    assert_eq!(on(&machines, "lone"), ["alpha"], "nobody could fill another one");
    assert_eq!(flags(&machines, "lone", "alpha"), ["INACTIVE", "EVICTED"]);
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);

    switch(&mut machines.world, "alpha", true);
    assert!(machines.give(&restore(false)));
    machines.quiet(&FOUR);
    assert!(machines.world.cluster.nodes[&node("alpha")].flags.is_empty());
    assert_eq!(on(&machines, "web"), ["alpha", "bravo", "charlie"], "balancing decides which of three goes");
    assert!(flags(&machines, "web", "alpha").is_empty() && flags(&machines, "lone", "alpha").is_empty());

    leave(&mut machines);
    assert!(machines.give(&evict("alpha")));
    settle(&mut machines);
    assert_eq!(on(&machines, "web"), ["alpha", "bravo", "charlie"], "two are left, as many as are wanted");
    switch(&mut machines.world, "alpha", true);
    assert!(machines.give(&restore(true)));
    machines.quiet(&FOUR);
    assert_eq!(on(&machines, "web"), ["bravo", "charlie"]);
}

#[test]
fn only_what_does_not_answer_is_evicted() {
    let mut machines = mirrored();
    let before = facts(&machines.world.cluster);
    assert_eq!(told(&machines.world.give(&evict("alpha"))), ["ERROR Node 997"]);
    assert_eq!(told(&machines.world.give(&evict("nosuch"))), ["ERROR - 300"]);
    assert_eq!(told(&machines.world.give(&evict("x"))), ["ERROR - 200"]);
    assert_eq!(facts(&machines.world.cluster), before);
    leave(&mut machines);
    assert_eq!(told(&machines.world.give(&evict("alpha"))), Vec::<String>::new());
    assert_eq!(told(&machines.world.give(&evict("alpha"))), ["INFO - 10007"]);
    assert_eq!(told(&machines.world.give(&Command::ReconnectNode { node: "alpha".to_owned() })), ["WARNING Node 1017 Node=alpha"]);
    let evacuate = Command::EvacuateNode { node: "alpha".to_owned(), target: Vec::new(), do_not_target: Vec::new() };
    assert_eq!(told(&machines.world.give(&evacuate)), ["ERROR - 975"]);
    // Its job is not taken back by itself: taking the node back ends it.
    let open = machines.world.cluster.jobs_on_node(&node("alpha")).next().expect("the eviction").id;
    assert!(!machines.give(&cancel(open)));
    assert!(machines.give(&Command::LoseNode { node: "alpha".to_owned() }));
    settle(&mut machines);
    assert!(!machines.world.cluster.nodes.contains_key(&node("alpha")));
}

#[test]
fn nothing_is_placed_that_nobody_could_fill_and_it_goes_on_when_somebody_can() {
    let mut machines = mirrored();
    leave(&mut machines);
    switch(&mut machines.world, "bravo", false);
    assert!(machines.give(&evict("alpha")));
    settle(&mut machines);
    assert_eq!(on(&machines, "web"), ["alpha", "bravo"]);
    let job = machines.world.cluster.jobs_on_node(&node("alpha")).next().expect("it waits").clone();
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job, Timestamp(9));
    let named: Vec<_> = view.blockers.iter().map(|blocker| (blocker.kind.word(), blocker.object.as_str())).collect();
    assert!(named.contains(&("not_up_to_date", "resource web")), "{named:?}");
    assert!(view.outlook.cancel.as_ref().is_err_and(|why| why.contains("linstor node restore alpha")), "{view:?}");
    switch(&mut machines.world, "bravo", true);
    settle(&mut machines);
    assert_eq!(on(&machines, "web"), ["alpha", "bravo", "charlie"]);
    assert!(machines.world.cluster.jobs_on_node(&node("alpha")).next().is_none());
}

#[test]
fn the_least_number_of_replicas_is_asked_for_before_that_of_the_group() {
    for (least, expected) in [("1", 2), ("2", 3), ("3", 4)] {
        let mut machines = mirrored();
        let mut controller = (*machines.world.cluster.controller).clone();
        controller.props.insert_internal(crate::eviction::MIN_REPLICAS, least);
        machines.world.put(berth_model::change::Object::Controller(controller));
        leave(&mut machines);
        assert!(machines.give(&evict("alpha")));
        settle(&mut machines);
        assert_eq!(on(&machines, "web").len(), expected, "{least}");
    }
}

#[test]
fn an_inactive_replica_is_inactive_again_afterwards_and_an_evacuation_ends() {
    let mut machines = mirrored();
    assert!(machines.give(&Command::DeactivateResource { resource: "lone".to_owned(), node: "alpha".to_owned() }));
    machines.quiet(&FOUR);
    let avoid = THERE.map(str::to_owned).to_vec();
    assert!(machines.give(&Command::EvacuateNode { node: "alpha".to_owned(), target: Vec::new(), do_not_target: avoid }));
    leave(&mut machines);
    assert!(machines.give(&evict("alpha")));
    settle(&mut machines);
    assert_eq!(machines.world.cluster.nodes[&node("alpha")].flags.shown(), ["DELETE", "EVICTED"]);
    assert_eq!(flags(&machines, "lone", "alpha"), ["INACTIVE", "EVICTED", "INACTIVE_BEFORE_EVICTION"]);
    switch(&mut machines.world, "alpha", true);
    assert!(machines.give(&restore(false)));
    machines.quiet(&FOUR);
    let lone = machines.world.cluster.resource(&resource("lone"), &node("alpha")).unwrap().flags.clone();
    assert_eq!(lone, [ResourceFlag::Inactive].into_iter().collect());
    assert!(!machines.world.cluster.nodes[&node("alpha")].flags.has(NodeFlag::Evacuate));
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
}

#[test]
fn a_disk_moves_to_a_diskless_replica_and_the_old_one_goes_when_the_new_one_holds_the_data() {
    let mut machines = mirrored();
    let input = crate::command::ResourceInput { node: "delta".to_owned(), flags: vec!["DISKLESS".to_owned()], ..Default::default() };
    assert!(machines.give(&Command::CreateResources { resource: "web".to_owned(), replicas: vec![input] }));
    machines.quiet(&FOUR);
    let migrate = |to: &str, from: &str| Command::ToggleDisk {
        resource: "web".to_owned(),
        node: to.to_owned(),
        operation: "INTO_DRBD_DISKFUL".to_owned(),
        storage_pool: Some("thin".to_owned()),
        migrate_from: Some(from.to_owned()),
    };
    assert_eq!(told(&machines.world.give(&migrate("alpha", "bravo"))), ["INFO Resource 10007 Node=alpha RscDfn=web"], "it has a disk");
    assert_eq!(told(&machines.world.give(&migrate("charlie", "alpha"))), ["ERROR Resource 302 Node=charlie RscDfn=web"]);
    assert_eq!(told(&machines.world.give(&migrate("delta", "charlie"))), ["ERROR Resource 302 Node=delta RscDfn=web"]);
    assert_eq!(told(&machines.world.give(&migrate("delta", "delta"))), ["ERROR Resource 243 Node=delta RscDfn=web"]);
    assert!(machines.give(&migrate("delta", "alpha")));
    machines.look("delta", Deed::Fail(FaultKind::NoSpace));
    machines.look("alpha", Deed::Do);
    assert_eq!(on(&machines, "web"), ["alpha", "bravo", "delta"], "the old one stays while the new one is made");
    machines.quiet(&FOUR);
    assert_eq!(on(&machines, "web"), ["bravo", "delta"]);
    assert!(flags(&machines, "web", "delta").is_empty(), "it has a disk now");
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
}

#[test]
fn a_cancelled_move_of_a_disk_leaves_the_target_diskless_as_it_was() {
    let mut machines = mirrored();
    let input = crate::command::ResourceInput { node: "delta".to_owned(), flags: vec!["DISKLESS".to_owned()], ..Default::default() };
    assert!(machines.give(&Command::CreateResources { resource: "web".to_owned(), replicas: vec![input] }));
    machines.quiet(&FOUR);
    let before = flags(&machines, "web", "delta");
    let migrate = Command::ToggleDisk {
        resource: "web".to_owned(),
        node: "delta".to_owned(),
        operation: "INTO_DRBD_DISKFUL".to_owned(),
        storage_pool: Some("thin".to_owned()),
        migrate_from: Some("alpha".to_owned()),
    };
    assert!(machines.give(&migrate));
    machines.look("delta", Deed::Fail(FaultKind::NoSpace));
    let job = machines.world.cluster.jobs_on(&resource("web")).next().expect("the move").clone();
    let view = jobs::view(&machines.world.cluster, &machines.world.observed, &job, Timestamp(9));
    assert!(view.outlook.cancel.as_ref().is_ok_and(|what| what.contains("diskless again")), "{view:?}");
    assert!(machines.give(&cancel(job.id)));
    machines.quiet(&FOUR);
    assert_eq!(
        (on(&machines, "web"), flags(&machines, "web", "delta")),
        (vec!["alpha".to_owned(), "bravo".to_owned(), "delta".to_owned()], before)
    );
    assert!(machines.world.cluster.jobs.is_empty(), "{:?}", machines.world.cluster.jobs);
    // And it can be asked for again.
    assert!(machines.give(&migrate));
    machines.quiet(&FOUR);
    assert_eq!(on(&machines, "web"), ["bravo", "delta"]);
}
