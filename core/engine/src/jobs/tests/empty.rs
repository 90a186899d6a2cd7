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
        THREE.iter().for_each(|name| drop(look(&mut machines.world, name, Mood::Obey)));
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
        passphrases: 0,
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
