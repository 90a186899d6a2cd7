//! What is compared, what drifted, and what may be done about it.

use berth_model::change::Key;
use berth_model::observed::{Fault, FaultKind, Standing};
use berth_model::plan::{ContentSource, PlanItem, Wanted};

use super::samples::{COPY, LEFT, settle, text, world};
use crate::command::Command;
use crate::explain::differ::{Thing, Verdict, drift, node as compare};
use crate::explain::subject::{Subject, candidates, parse};
use crate::plan;
use crate::testkit::{World, node, resource, told};

fn remove(on: &str, pool: &str, id: impl ToString) -> Command {
    Command::RemoveStranger { node: text(on), pool: text(pool), id: id.to_string() }
}

fn adopt(on: &str, id: impl ToString, name: &str) -> Command {
    Command::AdoptStranger { node: text(on), pool: text("thin"), id: id.to_string(), resource: text(name) }
}

#[test]
fn a_stranger_is_removed_by_its_generation_id_only() {
    let mut world = world();
    assert!(world.give(&remove("alpha", "thin", LEFT)).result.is_ok());
    let body = plan::whole(&world.cluster, &node("alpha"));
    let absent: Vec<_> = body.items.iter().filter(|item| item.wanted() == Wanted::Absent).collect();
    let [PlanItem::Resource(item)] = absent.as_slice() else { panic!("{absent:?}") };
    assert_eq!((item.volumes[0].id.uuid(), item.volumes[0].backing.as_str(), item.volumes.len()), (LEFT, "lost_00003", 1));
    assert!(body.items.iter().all(|other| other.id() == item.id.uuid() || other.wanted() != Wanted::Absent));
    // What a plan names is no stranger any more.
    let left = drift(&world.cluster, &world.observed, &node("alpha")).strangers.unwrap().0;
    assert_eq!(left.iter().map(|stranger| stranger.id).collect::<Vec<_>>(), [COPY]);
    settle(&mut world);
    assert!(world.cluster.tombstones.is_empty());
}

#[test]
fn an_adopted_volume_keeps_its_identity_and_its_data() {
    let mut world = world();
    let decision = world.give(&adopt("alpha", LEFT, "found"));
    assert!(decision.result.is_ok(), "{:?}", told(&decision));
    let made = world.cluster.resource(&resource("found"), &node("alpha")).unwrap().clone();
    let (number, volume) = made.volumes.iter().next().unwrap();
    assert_eq!((number.get(), volume.id.uuid(), volume.backing.as_str(), volume.backing_kib.0), (3, LEFT, "lost_00003", 8192));
    assert!(volume.content.id.uuid() == uuid::Uuid::from_u128(7) && volume.content.source == ContentSource::Kept);
    settle(&mut world);
    assert!(world.cluster.jobs.is_empty());
    assert_eq!(world.cluster.definitions[&resource("found")].volumes[number].size_kib.0, 8192);
}

#[test]
fn what_is_not_listed_as_a_stranger_is_left_alone() {
    let mut world = world();
    let known = world.cluster.resource(&resource("web"), &node("alpha")).unwrap().volumes.values().next().unwrap().id;
    for (command, expected) in [
        (remove("alpha", "thin", known), "ERROR Volume 304"),
        (adopt("alpha", known, "found"), "ERROR ResourceDefinition 304"),
        (remove("alpha", "spare", LEFT), "ERROR Volume 304"),
        (remove("alpha", "none", LEFT), "ERROR Volume 3"),
        (remove("bravo", "thin", LEFT), "ERROR Volume 992"),
        (remove("charlie", "thin", LEFT), "ERROR Volume 992"),
        (remove("nowhere", "thin", LEFT), "ERROR Volume 300"),
        (remove("alpha", "thin", "nonsense"), "ERROR Volume 234"),
        (adopt("alpha", COPY, "found"), "ERROR ResourceDefinition 234"),
        (adopt("alpha", LEFT, "web"), "ERROR ResourceDefinition 501"),
        (adopt("alpha", LEFT, "b!d"), "ERROR ResourceDefinition 202"),
    ] {
        let before = world.cluster.objects().count();
        let told = told(&world.give(&command));
        assert!(told.len() == 1 && told[0].starts_with(expected), "{command:?}: {told:?}");
        assert_eq!(world.cluster.objects().count(), before);
    }
}

fn verdicts(world: &World, name: &str) -> Vec<(String, Verdict)> {
    compare(&world.cluster, &world.observed, &node(name)).into_iter().map(|one| (one.thing.name(), one.verdict)).collect()
}

#[test]
fn intent_is_compared_with_what_was_seen() {
    let mut world = world();
    let all = verdicts(&world, "alpha");
    assert!(all.iter().all(|(_, verdict)| *verdict == Verdict::Agrees), "{all:?}");
    // Of a node that is away nothing is known, whatever it said before.
    let away = compare(&world.cluster, &world.observed, &node("charlie"));
    assert!(away.len() >= 3 && away.iter().all(|one| one.verdict == Verdict::Unknown && one.seen.is_none()), "{away:?}");
    assert!(away.iter().all(|one| one.unknown_since.is_some() && one.why.contains("unplugged")), "{away:?}");
    // What nobody looked at since it was asked for is unknown, and a fault differs.
    assert!(world.give(&super::samples::spawn("extra", "plain")).result.is_ok());
    let extra =
        |world: &World| compare(&world.cluster, &world.observed, &node("alpha")).into_iter().find(|one| one.thing.name() == "extra");
    assert_eq!(extra(&world).unwrap().verdict, Verdict::Unknown);
    settle(&mut world);
    let id = extra(&world).unwrap().id;
    assert_eq!(extra(&world).unwrap().verdict, Verdict::Agrees);
    let alpha = std::sync::Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    let record = std::sync::Arc::make_mut(alpha.items.get_mut(&id).unwrap());
    record.seen.standing = Standing::Faulty;
    record.seen.fault = Some(Fault {
        kind: FaultKind::Lost,
        message: text("It is gone."),
        cause: String::new(),
        correction: text("Delete it."),
        details: String::new(),
        holders: Vec::new(),
    });
    let extra = extra(&world).unwrap();
    assert_eq!((extra.verdict, extra.why.as_str(), extra.correction.as_str()), (Verdict::Differs, "It is gone.", "Delete it."));
    let drift = drift(&world.cluster, &world.observed, &node("alpha"));
    assert_eq!(drift.lost.iter().map(|one| one.thing.clone()).collect::<Vec<_>>(), [Thing::Resource(resource("extra"))]);
    assert_eq!(drift.strangers.unwrap().0.len(), 2);
}

#[test]
fn nobody_looked_is_not_nothing_found() {
    let world = world();
    let bravo = drift(&world.cluster, &world.observed, &node("bravo"));
    assert!(bravo.strangers.is_none() && bravo.why.contains("not looked"), "{bravo:?}");
    let charlie = drift(&world.cluster, &world.observed, &node("charlie"));
    assert!(charlie.strangers.is_none() && charlie.unknown_since.is_some() && charlie.why.contains("unplugged"), "{charlie:?}");
}

#[test]
fn subjects_are_found_by_their_words() {
    let short = |text: &str| candidates(text).iter().map(Subject::words).collect::<Vec<_>>();
    assert_eq!(short("web@s1"), ["snapshot web s1"]);
    assert_eq!(short("web/alpha"), ["resource web alpha", "storage-pool web alpha"]);
    assert_eq!(short("web/0"), ["volume-definition web 0"]);
    assert_eq!(short("web/alpha/0"), ["volume web alpha 0"]);
    assert!(short("web").contains(&text("resource-definition web")) && short("web").contains(&text("node web")));
    assert_eq!(short("a/b/c/d"), Vec::<String>::new());
    for (kind, names) in
        [("nonsense", vec!["x"]), ("node", vec![]), ("resource", vec!["web"]), ("job", vec!["7"]), ("volume", vec!["web", "alpha", "x"])]
    {
        assert!(parse(kind, &names).is_err(), "{kind} {names:?}");
    }
    let world = world();
    let volume = parse("volume", &["web", "alpha", "0"]).unwrap();
    assert!(volume.exists(&world.cluster) && !parse("volume", &["web", "alpha", "9"]).unwrap().exists(&world.cluster));
    assert_eq!((volume.part().as_str(), volume.key()), ("volumes.0.", Key::Resource(resource("web"), node("alpha"))));
    let records = Subject::Record(Key::ResourceDefinition(resource("web"))).records();
    assert!(records.contains(&(text("resource"), text("WEB/"))) && records.contains(&(text("snapshot"), text("WEB/"))), "{records:?}");
}
