use std::sync::Arc;

use berth_model::change::Object;
use berth_model::observed::{Fault, ItemRecord, ItemSeen};
use berth_model::time::Timestamp;

use super::*;
use crate::command::{Command, FilterRequest};
use crate::explain::differ;
use crate::jobs;
use crate::testkit::{World, node, resource, told};

fn spawn(name: &str) -> Command {
    Command::SpawnResource {
        group: "plain".to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        volume_sizes: vec![8192],
        partial: false,
        definitions_only: false,
        filter: FilterRequest::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

fn take_in(on: &str, only: Option<&str>) -> Command {
    Command::TakeIn { node: on.to_owned(), pool: None, resource: only.map(str::to_owned) }
}

/// Two resources and a snapshot of the first on alpha, whose data was there before; seen as `kind`.
fn world() -> World {
    let mut world = World::of("node alpha; node bravo; pool thin on alpha FILE_THIN 10G; group plain STORAGE 1 thin");
    for name in ["web", "db"] {
        assert!(world.give(&spawn(name)).result.is_ok());
    }
    let replicas: Vec<_> = world.cluster.resources.values().flat_map(|on| on.values()).map(|one| (**one).clone()).collect();
    for mut replica in replicas {
        replica.volumes.values_mut().for_each(|volume| volume.content.source = ContentSource::Kept);
        world.put(Object::Resource(replica));
    }
    let open: Vec<_> = world.cluster.jobs.keys().copied().collect();
    world
        .cluster
        .fold(&open.into_iter().map(|id| berth_model::change::Change::Delete(berth_model::change::Key::Job(id))).collect::<Vec<_>>());
    world
}

fn item_of(world: &World, name: &str) -> Uuid {
    world.cluster.resource(&resource(name), &node("alpha")).unwrap().id.uuid()
}

fn see(world: &mut World, name: &str, fault: Option<FaultKind>) {
    let id = item_of(world, name);
    let fault = fault.map(|kind| Fault {
        kind,
        message: "It carries no mark.".to_owned(),
        cause: String::new(),
        correction: "Say 'berth drift adopt NODE --all'.".to_owned(),
        details: String::new(),
        holders: Vec::new(),
    });
    let standing = if fault.is_some() { Standing::Faulty } else { Standing::Settled };
    let seen = ItemSeen { id, generation: world.cluster.serial, standing, volumes: Vec::new(), fault };
    let alpha = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    alpha.items.insert(id, Arc::new(ItemRecord { seen, at: Timestamp(1) }));
}

fn adopting(world: &World) -> Vec<String> {
    let items = plan::whole(&world.cluster, &node("alpha")).items;
    let adopted = items.iter().filter(|item| match item {
        PlanItem::Resource(plan) => plan.adopt,
        PlanItem::Snapshot(plan) => plan.adopt,
    });
    adopted.map(|item| item.resource().to_string()).collect()
}

/// Lets the controller look at its jobs; the entries that they end with.
fn advance(world: &mut World) -> Vec<String> {
    let (open, ids): (Vec<_>, _) = (world.cluster.jobs.keys().copied().collect(), world.ids());
    let progress = jobs::advance(&world.cluster, &world.observed, Timestamp(2), ids, open);
    world.cluster.fold(&progress.changes);
    world.cluster.serial += 1;
    progress.ended.into_iter().flat_map(|(_, replies)| replies).map(|reply| format!("{} {}", reply.code.number(), reply.message)).collect()
}

#[test]
fn only_what_is_named_may_be_marked_and_only_until_it_was_looked_at() {
    let mut world = world();
    see(&mut world, "web", Some(FaultKind::Foreign));
    see(&mut world, "db", Some(FaultKind::Foreign));
    let drift = differ::drift(&world.cluster, &world.observed, &node("alpha"));
    assert_eq!(drift.unclaimed.len(), 2);
    assert!(drift.unclaimed[0].correction.contains("adopt alpha --all"), "{:?}", drift.unclaimed[0]);
    assert!(adopting(&world).is_empty());
    let decision = world.give(&take_in("alpha", Some("web")));
    assert!(decision.result.is_ok(), "{:?}", told(&decision));
    assert_eq!(adopting(&world), ["web"]);
    assert!(advance(&mut world).is_empty(), "what was seen before says nothing");
    see(&mut world, "web", None);
    let ended = advance(&mut world);
    assert!(ended.len() == 1 && ended[0].contains("'web' is taken in with the data"), "{ended:?}");
    assert!(adopting(&world).is_empty() && world.cluster.jobs.is_empty());
}

#[test]
fn what_is_refused_on_the_node_ends_the_word() {
    let mut world = world();
    see(&mut world, "web", Some(FaultKind::Foreign));
    assert!(world.give(&take_in("alpha", None)).result.is_ok());
    see(&mut world, "web", Some(FaultKind::InUse));
    let ended = advance(&mut world);
    assert!(ended.len() == 1 && ended[0].contains("no mark"), "{ended:?}");
    assert!(adopting(&world).is_empty() && world.cluster.jobs.is_empty());
    assert!(world.cluster.resource(&resource("web"), &node("alpha")).is_some(), "nothing is deleted");
}

#[test]
fn nothing_else_is_taken_in() {
    let mut world = world();
    see(&mut world, "web", None);
    see(&mut world, "db", Some(FaultKind::Lost));
    for (command, expected) in [
        (take_in("alpha", None), "ERROR Volume 304"),
        (take_in("alpha", Some("web")), "ERROR Volume 304"),
        (take_in("alpha", Some("none")), "ERROR Volume 301"),
        (take_in("nowhere", None), "ERROR Volume 300"),
        (Command::TakeIn { node: "alpha".into(), pool: Some("none".into()), resource: None }, "ERROR Volume 309"),
    ] {
        let told = told(&world.give(&command));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{command:?}: {told:?}");
    }
    see(&mut world, "web", Some(FaultKind::Foreign));
    // A volume that was never made is another's name: what lies there is not its data.
    let mut fresh = (**world.cluster.resource(&resource("web"), &node("alpha")).unwrap()).clone();
    fresh.volumes.values_mut().for_each(|volume| volume.content.source = ContentSource::Fresh);
    world.put(Object::Resource(fresh));
    assert!(world.give(&take_in("alpha", None)).result.is_err() && adopting(&world).is_empty());
}
