//! Replicas that are made later than others get their data from these, or have none (law 7).

use berth_model::change::Object;

use super::*;
use crate::command::ResourceInput;
use crate::testkit::resource;

/// `web` with a replica on alpha, kept; bravo and charlie could take another.
pub(super) fn one_replica() -> World {
    let text = "node alpha +DRBD; node bravo +DRBD; node charlie +DRBD; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 5G; \
                pool thin on charlie FILE_THIN 4G; group drbd DRBD,STORAGE 1 thin; group two DRBD,STORAGE 2 thin";
    let mut world = World::of(text);
    give(&mut world, &spawn("web", "drbd"));
    look(&mut world, "alpha", Mood::Obey);
    assert_eq!(source(&world, "alpha"), ContentSource::Kept);
    world
}

pub(super) fn give(world: &mut World, command: &Command) {
    let applied = world.give(command).result.unwrap();
    assert!(!applied.replies.iter().any(Reply::is_error), "{:?}", applied.replies);
    advance(world);
}

pub(super) fn create(nodes: &[&str]) -> Command {
    let input = |name: &&str| ResourceInput {
        node: (*name).to_owned(),
        props: [("StorPoolName".to_owned(), "thin".to_owned())].into_iter().collect(),
        ..ResourceInput::default()
    };
    Command::CreateResources { resource: "web".to_owned(), replicas: nodes.iter().map(input).collect() }
}

fn source(world: &World, on: &str) -> ContentSource {
    world.cluster.resource(&resource("web"), &node(on)).unwrap().volumes.values().next().unwrap().content.source.clone()
}

fn blockers(world: &World) -> Vec<(&'static str, String, String)> {
    let job = world.cluster.jobs.values().next().expect("an open job").clone();
    let view = jobs::view(&world.cluster, &world.observed, &job, Timestamp(9));
    view.blockers.into_iter().map(|blocker| (blocker.kind.word(), blocker.cause, blocker.way_out)).collect()
}

#[test]
fn a_later_replica_is_kept_when_it_was_seen_to_hold_the_data_and_not_before() {
    let mut world = one_replica();
    switch(&mut world, "alpha", false);
    give(&mut world, &create(&["bravo"]));
    assert_eq!(source(&world, "bravo"), ContentSource::Peers, "who holds the data is away: no first synchronisation is skipped");
    for mood in [Mood::Blind, Mood::Behind] {
        look(&mut world, "bravo", mood);
        assert_eq!(source(&world, "bravo"), ContentSource::Peers, "{mood:?}");
        let told = blockers(&world);
        assert_eq!(told[0].0, "not_up_to_date");
        assert!(told[0].1.contains("cannot be reached: alpha"), "{told:?}");
    }
    switch(&mut world, "alpha", true);
    look(&mut world, "bravo", Mood::Behind);
    assert!(blockers(&world)[0].1.contains("synchronised from alpha"), "{:?}", blockers(&world));
    look(&mut world, "bravo", Mood::Obey);
    assert_eq!(source(&world, "bravo"), ContentSource::Kept);
    assert!(world.cluster.jobs.is_empty());
}

#[test]
fn the_plan_names_who_holds_the_data_and_follows_it() {
    let mut world = one_replica();
    give(&mut world, &create(&["bravo", "charlie"]));
    let peers = |world: &World| {
        let replica = world.cluster.resource(&resource("web"), &node("charlie")).unwrap();
        let plan = plan::resource_item(&world.cluster, replica);
        plan.volumes[0].peers.iter().map(|peer| peer.node.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(peers(&world), ["alpha"], "a replica that waits itself gives nothing");
    let before = world.cluster.clone();
    look(&mut world, "bravo", Mood::Obey);
    assert_eq!(peers(&world), ["alpha", "bravo"]);
    let change = world.cluster.resource(&resource("web"), &node("bravo")).map(|r| Change::Put(Object::Resource((**r).clone()))).unwrap();
    let touched = plan::touched(&before, &world.cluster, &[change]);
    assert!(touched.contains_key(&node("charlie")), "whoever waits is told: {touched:?}");
    assert!(!touched.contains_key(&node("alpha")), "nobody else is: {touched:?}");
}

#[test]
fn a_first_replica_that_comes_after_another_was_used_is_synchronised() {
    let mut world = one_replica();
    give(&mut world, &Command::DeleteResourceDefinition { name: "web".to_owned() });
    quiet_all(&mut world);
    for (away, fails) in [(true, false), (false, true)] {
        give(&mut world, &spawn("web", "two"));
        assert_eq!((source(&world, "alpha"), source(&world, "bravo")), (ContentSource::Fresh, ContentSource::Fresh));
        if away {
            switch(&mut world, "bravo", false);
        }
        if fails {
            look(&mut world, "bravo", Mood::Full);
        }
        let serial = world.cluster.jobs.values().next().unwrap().serial;
        look(&mut world, "alpha", Mood::Obey);
        assert_eq!((source(&world, "alpha"), source(&world, "bravo")), (ContentSource::Kept, ContentSource::Peers));
        assert!(world.cluster.jobs.values().next().unwrap().serial > serial, "what was seen before says nothing");
        switch(&mut world, "bravo", true);
        look(&mut world, "bravo", Mood::Behind);
        assert_eq!(source(&world, "bravo"), ContentSource::Peers);
        NODES.iter().for_each(|name| drop(look(&mut world, name, Mood::Obey)));
        assert!(world.cluster.jobs.is_empty());
        give(&mut world, &Command::DeleteResourceDefinition { name: "web".to_owned() });
        quiet_all(&mut world);
    }
}

#[test]
fn where_nobody_is_left_that_holds_the_data_the_way_out_is_named() {
    let mut world = one_replica();
    give(&mut world, &create(&["bravo"]));
    give(&mut world, &Command::DeleteResource { resource: "web".to_owned(), node: "alpha".to_owned(), keep_tiebreaker: None });
    look(&mut world, "alpha", Mood::Obey);
    look(&mut world, "bravo", Mood::Behind);
    let told = blockers(&world);
    assert!(told[0].2.contains("linstor resource delete bravo web"), "{told:?}");
    give(&mut world, &Command::DeleteResource { resource: "web".to_owned(), node: "bravo".to_owned(), keep_tiebreaker: None });
    quiet_all(&mut world);
    assert!(world.cluster.jobs.is_empty(), "{:?}", world.cluster.jobs);
}

pub(super) fn quiet_all(world: &mut World) {
    ["alpha", "bravo", "charlie"].iter().for_each(|name| switch(world, name, true));
    for _ in 0..6 {
        ["alpha", "bravo", "charlie"].iter().for_each(|name| drop(look(world, name, Mood::Obey)));
    }
}
