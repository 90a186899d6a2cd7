//! What a new name changes, and what it leaves.

use std::collections::BTreeMap;

use berth_model::change::NumberKey;
use berth_model::names::{NodeName, ResourceGroupName, SnapshotName, VolumeNumber};
use berth_model::plan::PlanItem;
use berth_model::props::PropChange;

use super::*;
use crate::explain::settled_for_tests as settled;
use crate::plan;
use crate::testkit::{World, node, resource, told};

fn rename(name: &str, new_name: &str) -> Command {
    Command::RenameResourceDefinition { name: name.to_owned(), new_name: new_name.to_owned() }
}

fn rename_snapshot(name: &str, new_name: &str) -> Command {
    Command::RenameSnapshot { resource: "mirror".to_owned(), name: name.to_owned(), new_name: new_name.to_owned() }
}

fn spawn(name: &str, group: &str) -> Command {
    Command::SpawnResource {
        group: group.to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        volume_sizes: vec![8192],
        partial: false,
        definitions_only: false,
        filter: Default::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

fn snap(name: &str, snapshot: &str) -> Command {
    Command::CreateSnapshot { resource: name.to_owned(), name: snapshot.to_owned(), nodes: Vec::new(), props: BTreeMap::new() }
}

fn number() -> VolumeNumber {
    VolumeNumber::new(0).unwrap()
}

/// `mirror` on two nodes with DRBD, a snapshot and a connection, at rest.
fn world() -> World {
    let mut world = World::of(
        "node alpha +DRBD; node bravo +DRBD; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; \
         group drbd DRBD,STORAGE 2 thin",
    );
    let connection = Command::ModifyResourceConnection {
        resource: "mirror".to_owned(),
        node_a: "alpha".to_owned(),
        node_b: "bravo".to_owned(),
        props: PropChange::set([("Aux/x".to_owned(), "y".to_owned())].into()),
    };
    for command in [spawn("mirror", "drbd"), snap("mirror", "s1"), connection] {
        let decision = world.give(&command);
        assert!(decision.result.is_ok(), "{command:?}: {:?}", told(&decision));
        settled(&mut world);
    }
    world
}

/// What each node is told to hold, without names: by id.
fn held(world: &World, on: &NodeName) -> Vec<(uuid::Uuid, Vec<String>)> {
    let backing = |item: &PlanItem| match item {
        PlanItem::Resource(plan) => plan.volumes.iter().map(|volume| volume.backing.clone()).collect(),
        PlanItem::Snapshot(plan) => plan.volumes.iter().map(|volume| volume.backing.clone()).collect(),
    };
    let mut items: Vec<_> = plan::whole(&world.cluster, on).items.iter().map(|item| (item.id(), backing(item))).collect();
    items.sort();
    items
}

#[test]
fn everything_of_a_definition_goes_with_it_and_nodes_keep_what_they_hold() {
    let mut world = world();
    let before = world.cluster.clone();
    let (alpha, old, new) = (node("alpha"), resource("mirror"), resource("glass"));
    let on_node = held(&world, &alpha);
    let decision = world.give(&rename("mirror", "glass"));
    assert_eq!(told(&decision), ["SUCCESS ResourceDefinition 3 NewName=glass RscDfn=mirror"]);

    assert!(!world.cluster.definitions.contains_key(&old));
    assert_eq!(
        world.cluster.replicas(&old).count() + world.cluster.snapshots_of(&old).count() + world.cluster.connections_of(&old).count(),
        0
    );
    assert!(world.cluster.node_ids_of(&old).is_empty());
    assert_eq!(world.cluster.definitions[&new].id, before.definitions[&old].id);
    assert_eq!(world.cluster.node_ids_of(&new), before.node_ids_of(&old));
    assert_eq!(world.cluster.connections_of(&new).count(), 1);
    assert_eq!(world.cluster.snapshots_of(&new).count(), 1);
    let replica = world.cluster.resource(&new, &alpha).unwrap();
    assert_eq!(replica.id, before.resource(&old, &alpha).unwrap().id);
    assert_eq!(replica.volumes[&number()].backing, "mirror_00000");
    // The same objects in the same places: only their label is another.
    assert_eq!(held(&world, &alpha), on_node);
    let named = plan::whole(&world.cluster, &alpha).items;
    assert!(named.iter().all(|item| item.resource() == &new), "{named:?}");
    // The nodes are told.
    let changes = decision.result.unwrap().changes;
    let touched = plan::touched(&before, &world.cluster, &changes);
    assert_eq!(touched.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["alpha", "bravo"]);
}

#[test]
fn the_old_name_is_free_at_once_and_no_backing_object_is_met_twice() {
    let mut world = world();
    assert!(world.give(&rename("mirror", "glass")).result.is_ok());
    let again = world.give(&spawn("mirror", "drbd"));
    assert!(again.result.is_ok(), "{:?}", told(&again));
    settled(&mut world);
    let made = world.cluster.resource(&resource("mirror"), &node("alpha")).unwrap().clone();
    assert_eq!(made.volumes[&number()].backing, "mirror_00000.-1");
    assert!(world.give(&snap("mirror", "s1")).result.is_ok());
    settled(&mut world);
    // Names of all backing objects of a node differ.
    let mut all: Vec<String> = held(&world, &node("alpha")).into_iter().flat_map(|(_, backing)| backing).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), count), (4, 4), "{all:?}");
    // And back: the first name of the one that has it now is taken.
    assert_eq!(told(&world.give(&rename("glass", "mirror"))), ["ERROR ResourceDefinition 501 RscDfn=glass"]);
}

#[test]
fn a_snapshot_keeps_its_backing_and_its_name_is_free() {
    let mut world = world();
    assert_eq!(told(&world.give(&rename_snapshot("s1", "monday"))), ["SUCCESS Snapshot 3 NewName=monday RscDfn=mirror Snapshot=s1"]);
    assert!(world.give(&snap("mirror", "s1")).result.is_ok());
    settled(&mut world);
    let backing = |name: &str| {
        let snapshot = world.cluster.snapshot(&resource("mirror"), &SnapshotName::parse(name).unwrap()).unwrap();
        snapshot.copies[&node("alpha")].volumes[&number()].backing.clone()
    };
    assert_eq!((backing("monday").as_str(), backing("s1").as_str()), ("mirror_00000.s1", "mirror_00000.s1.-1"));
    assert_eq!(told(&world.give(&rename_snapshot("s1", "Monday"))), ["ERROR Snapshot 514 RscDfn=mirror Snapshot=s1"]);
}

#[test]
fn a_group_takes_its_definitions_along() {
    let mut world = world();
    let group = |name: &str, new_name: &str| Command::RenameResourceGroup { name: name.to_owned(), new_name: new_name.to_owned() };
    assert_eq!(told(&world.give(&group("drbd", "gold"))), ["SUCCESS ResourceGroup 3 NewName=gold RscGrp=drbd"]);
    let gold = ResourceGroupName::parse("gold").unwrap();
    assert_eq!(world.cluster.definitions_of(&gold).count(), 1);
    assert_eq!(world.cluster.definitions_of(&ResourceGroupName::parse("drbd").unwrap()).count(), 0);
    assert_eq!(told(&world.give(&group("gold", "GOLD"))), ["INFO ResourceGroup 10007 RscGrp=gold"]);
    assert_eq!(told(&world.give(&group("drbd", "x1"))), ["ERROR ResourceGroup 317 RscGrp=drbd"]);
    assert_eq!(told(&world.give(&group("gold", "1x"))), ["ERROR ResourceGroup 237 RscGrp=gold"]);
    let default = world.give(&group(DEFAULT_GROUP, "other"));
    assert!(default.result.is_err(), "{:?}", told(&default));
}

#[test]
fn what_cannot_be_renamed_is_refused_with_a_way_out() {
    let mut world = world();
    assert!(world.give(&spawn("other", "drbd")).result.is_ok());
    settled(&mut world);
    let before = format!("{:?}", world.cluster.definitions);
    for (command, expected) in [
        (rename("none", "x1"), 301),
        (rename("mirror", "1x"), 202),
        (rename("mirror", "all"), 202),
        (rename("mirror", "OTHER"), 501),
        (rename_snapshot("none", "x1"), 315),
        (rename_snapshot("s1", "1x"), 218),
    ] {
        let refused = world.give(&command).result.unwrap_err();
        assert_eq!(refused.replies[0].code.number(), expected, "{command:?}");
        assert!(!refused.replies[0].correction.is_empty(), "{command:?}");
    }
    assert_eq!(told(&world.give(&rename("mirror", "MIRROR"))), ["INFO ResourceDefinition 10007 RscDfn=mirror"]);
    // While something is under way.
    assert!(world.give(&snap("mirror", "s2")).result.is_ok());
    for command in [rename("mirror", "glass"), rename_snapshot("s1", "x1")] {
        assert_eq!(world.give(&command).result.unwrap_err().replies[0].code.number(), 992, "{command:?}");
    }
    settled(&mut world);
    assert_eq!(format!("{:?}", world.cluster.definitions), before);
    assert!(world.give(&rename("mirror", "glass")).result.is_ok());
}

#[test]
fn node_ids_of_replicas_that_wait_for_their_node_go_along() {
    let mut world = world();
    let claim = |world: &World, name: &str| {
        let of = |id| world.cluster.numbers.contains_key(&NumberKey::NodeId { resource: resource(name), node_id: id });
        (0..32).filter(|id| of(*id)).count()
    };
    assert_eq!(claim(&world, "mirror"), 2);
    assert!(world.give(&rename("mirror", "glass")).result.is_ok());
    assert_eq!((claim(&world, "mirror"), claim(&world, "glass")), (0, 2));
}

#[test]
fn rules_that_name_a_definition_follow_its_new_name_and_the_answer_waits_for_its_nodes() {
    let mut world = world();
    let mut filter = crate::command::FilterRequest::default();
    filter.filter.not_place_with_rsc = Some(vec!["other".to_owned(), "MIRROR".to_owned()]);
    let group =
        Command::CreateResourceGroup { name: "away".to_owned(), description: None, filter, peer_slots: None, props: BTreeMap::new() };
    assert!(world.give(&group).result.is_ok());
    let applied = world.give(&rename("mirror", "site")).result.unwrap();
    let away = ResourceGroupName::parse("away").unwrap();
    assert_eq!(world.cluster.groups[&away].filter.not_place_with_rsc, Some(vec!["other".to_owned(), "site".to_owned()]));
    let nodes: Vec<_> = applied.await_items.iter().map(|one| one.node.to_string()).collect();
    assert_eq!(nodes, ["alpha", "bravo"]);
    // Nobody has said anything under the plan of this commit yet.
    let serial = world.cluster.serial + 1;
    assert!(moved(&world.observed, &applied.await_items, serial).is_none());
    for one in &applied.await_items {
        let seen = ItemSeen { id: one.item, generation: serial, standing: Standing::Settled, volumes: Vec::new(), fault: None };
        let node = std::sync::Arc::make_mut(world.observed.nodes.get_mut(&one.node).unwrap());
        node.items.insert(one.item, std::sync::Arc::new(berth_model::observed::ItemRecord { seen, at: berth_model::time::Timestamp(2) }));
    }
    assert_eq!(moved(&world.observed, &applied.await_items, serial), Some(Vec::new()));
    std::sync::Arc::make_mut(world.observed.nodes.get_mut(&node("bravo")).unwrap()).status =
        berth_model::observed::ConnectionStatus::Offline;
    let told = moved(&world.observed, &applied.await_items, serial).unwrap();
    assert_eq!(told.iter().map(|reply| reply.code).collect::<Vec<_>>(), [Code::WARN_NOT_CONNECTED]);
}
