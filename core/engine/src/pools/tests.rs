//! What requests about storage pools answer and change.

use std::sync::Arc;

use berth_model::change::Object;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::StorPoolName;
use berth_model::observed::FaultKind;
use berth_model::plugin::{PluginFault, PluginProperty, PluginRule, PluginSeen};
use berth_model::props::PropChange;
use berth_model::time::Timestamp;

use crate::command::Command;
use crate::explain::settled_for_tests;
use crate::testkit::{World, break_pool, node, resource, told};

fn world() -> World {
    let mut world = World::of("node alpha; node bravo offline");
    let seen = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    Arc::make_mut(seen.capabilities.as_mut().unwrap()).providers = vec![ProviderKind::File, ProviderKind::FileThin];
    world
}

fn create(on: &str, name: &str, kind: &str, props: &[(&str, &str)]) -> Command {
    Command::CreateStorPool {
        node: on.to_owned(),
        name: name.to_owned(),
        provider_kind: kind.to_owned(),
        shared_space: None,
        external_locking: false,
        props: props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

#[test]
fn providers_are_known_by_both_of_their_words() {
    for kind in ProviderKind::ALL {
        assert_eq!(super::provider_kind(kind.word()), Some(*kind));
        assert_eq!(super::provider_kind(&kind.word().replace('_', "").to_lowercase()), Some(*kind));
    }
    assert_eq!(super::provider_kind("TAPE"), None);
}

#[test]
fn a_folder_that_another_pool_has_already_is_told() {
    let mut world = world();
    let seen = Arc::clone(&world.observed.nodes[&node("alpha")]);
    world.observed.nodes.insert(node("bravo"), seen);
    let mut give = |on: &str, name: &str, kind: &str, folder: &str| {
        let decision = world.give(&create(on, name, kind, &[("StorDriver/StorPoolName", folder)]));
        let replies = decision.result.unwrap().replies;
        let warnings = replies.into_iter().filter(|reply| reply.code == Code::WARN_STORAGE_ERROR);
        warnings.map(|reply| format!("{} {} {}", reply.message, reply.cause, reply.correction)).collect::<Vec<_>>()
    };
    assert_eq!(give("alpha", "one", "FILE_THIN", "/srv/pool"), [""; 0]);
    assert_eq!(give("alpha", "two", "FILE_THIN", "/srv/pool2"), [""; 0]);
    assert_eq!(give("bravo", "one", "FILE_THIN", "/srv/pool"), [""; 0], "another machine");
    for (name, kind, folder) in [("same", "FILE", "/srv/pool"), ("again", "FILE_THIN", "//srv/./pool/")] {
        let told = give("alpha", name, kind, folder);
        assert!(
            matches!(&told[..], [one] if one.contains("'one'") && one.contains("'/srv/pool'") && one.contains(name)),
            "{folder}: {told:?}"
        );
    }
    assert_eq!(give("alpha", "root", "FILE", "/"), [""; 0]);
}

#[test]
fn a_pool_brings_its_definition_and_takes_it_away() {
    let mut world = world();
    let place = [("StorDriver/FileDir", "/srv/thin.d")];
    let entry = "SUCCESS StorPool 1 Node=alpha StorPoolDfn=thin";
    assert_eq!(told(&world.give(&create("alpha", "thin", "filethin", &place))), [entry, entry]);
    let name = StorPoolName::parse("THIN").unwrap();
    let pool = world.cluster.pool(&node("alpha"), &name).unwrap();
    assert_eq!(pool.props.get("StorDriver/StorPoolName"), Some("/srv/thin.d"));
    assert_eq!(pool.props.get("StorDriver/internal/AllocationGranularity"), Some("1"));
    assert_eq!(told(&world.give(&create("alpha", "THIN", "FILE_THIN", &place))), ["ERROR StorPool 510 Node=alpha StorPoolDfn=THIN"]);
    let delete = Command::DeleteStorPool { node: "alpha".to_owned(), name: "thin".to_owned() };
    assert_eq!(told(&world.give(&delete)), ["SUCCESS StorPool 2 Node=alpha StorPoolDfn=thin"]);
    assert!(!world.cluster.pool_definitions.contains_key(&name));
    assert_eq!(told(&world.give(&delete)), ["WARNING StorPool 3000 Node=alpha StorPoolDfn=thin"]);
}

#[test]
fn a_pool_of_a_provider_names_one_that_is_there_and_takes_what_it_takes() {
    let mut world = world();
    let seen = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    let able = Arc::make_mut(seen.capabilities.as_mut().unwrap());
    able.providers.push(ProviderKind::Plugin);
    let plugin = |name: &str, kind: &str| PluginSeen { kinds: vec![kind.to_owned()], ..PluginSeen::unknown(name) };
    let level = PluginProperty { key: "StorDriver/Tape/Level".to_owned(), help: String::new(), rule: PluginRule::Number(1, 9) };
    let broken = PluginFault { message: "it is cut off".to_owned(), correction: String::new() };
    able.plugins = vec![
        PluginSeen { fault: Some(broken), ..plugin("broken", "PLUGIN") },
        plugin("other", "FILE"),
        PluginSeen { props: vec![level], ..plugin("tape", "PLUGIN") },
    ];
    let place = ("StorDriver/StorPoolName", "/srv/x");
    let by = |name| ("StorDriver/Provider", name);
    for (props, code) in [
        (vec![place], 600),
        (vec![place, by("nobody")], 989),
        (vec![place, by("broken")], 989),
        (vec![place, by("other")], 989),
        (vec![place, by("tape"), ("StorDriver/Tape/Level", "10")], 213),
        (vec![place, by("tape"), ("StorDriver/Tape/Speed", "1")], 213),
        (vec![place, by("tape"), ("StorDriver/Tape/Level", "9")], 1),
    ] {
        let told = told(&world.give(&create("alpha", "pool", "PLUGIN", &props)));
        assert!(told[0].contains(&format!(" {code} ")), "{props:?}: {told:?}");
    }
    // It may be chosen for a kind of LINSTOR's, too; its settings are not known to other providers.
    assert!(told(&world.give(&create("alpha", "files", "FILE", &[place, by("other")])))[0].starts_with("SUCCESS"));
    let level = [place, ("StorDriver/Tape/Level", "9")];
    assert!(told(&world.give(&create("alpha", "more", "FILE", &level)))[0].contains(" 213 "));
}

#[test]
fn bad_pools_are_refused_whole() {
    let place = [("StorDriver/StorPoolName", "/srv/x")];
    for (command, code) in [
        (create("alpha", "a b", "FILE", &place), 208),
        (create("alpha", "ab", "FILE", &place), 208),
        (create("nobody", "pool", "FILE", &place), 300),
        (create("alpha", "pool", "TAPE", &place), 224),
        (create("alpha", "pool", "LVM", &place), 989),
        (create("bravo", "pool", "FILE", &place), 989),
        (create("alpha", "pool", "FILE", &[]), 600),
        (create("alpha", "pool", "FILE", &[("StorDriver/StorPoolName", "srv/x")]), 213),
        (create("alpha", "pool", "FILE", &[("StorDriver/StorPoolName", "/srv/x"), ("Bogus", "1")]), 213),
        (create("alpha", "pool", "FILE", &[("StorDriver/StorPoolName", "/srv/x"), ("PrefNic", "nosuch")]), 213),
        (create("alpha", "DfltDisklessStorPool", "DISKLESS", &[]), 510),
    ] {
        let mut world = world();
        let refused = world.give(&command).result.unwrap_err();
        assert_eq!(refused.replies[0].code.number(), code, "{command:?}");
        assert!(!refused.replies[0].correction.is_empty(), "{command:?} needs a correction");
        assert_eq!(world.cluster.pools_of(&node("alpha")).count(), 1);
    }
}

#[test]
fn only_storage_that_several_nodes_may_write_is_shared() {
    let mut world = world();
    let Command::CreateStorPool { node, name, props, .. } = create("alpha", "shared", "FILE", &[("StorDriver/StorPoolName", "/srv/x")])
    else {
        panic!("a pool")
    };
    let command = Command::CreateStorPool {
        node,
        name,
        provider_kind: "FILE".to_owned(),
        shared_space: Some("san1".to_owned()),
        external_locking: true,
        props,
    };
    assert_eq!(told(&world.give(&command)), ["ERROR StorPool 220 Node=alpha StorPoolDfn=shared"]);
}

#[test]
fn a_node_that_is_away_hears_later() {
    let mut world = world();
    assert_eq!(
        told(&world.give(&create("bravo", "off", "DISKLESS", &[]))),
        ["SUCCESS StorPool 1 Node=bravo StorPoolDfn=off", "WARNING StorPool 1002 Node=bravo StorPoolDfn=off"]
    );
    let delete = Command::DeleteStorPool { node: "bravo".to_owned(), name: "off".to_owned() };
    assert_eq!(
        told(&world.give(&delete)),
        ["SUCCESS StorPool 2 Node=bravo StorPoolDfn=off", "WARNING StorPool 1002 Node=bravo StorPoolDfn=off"]
    );
}

#[test]
fn definitions_have_a_life_of_their_own() {
    let mut world = world();
    let make = |name: &str, props: &[(&str, &str)]| Command::CreateStorPoolDfn {
        name: name.to_owned(),
        props: props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let delete = |name: &str| Command::DeleteStorPoolDfn { name: name.to_owned() };
    let modify = |name: &str, key: &str, value: &str| Command::ModifyStorPoolDfn {
        name: name.to_owned(),
        props: PropChange::set([(key.to_owned(), value.to_owned())].into()),
    };
    let entry = |number: u64| format!("SUCCESS StorPoolDfn {number} StorPoolDfn=own");
    assert_eq!(told(&world.give(&make("own", &[("Aux/x", "1")]))), ["SUCCESS StorPoolDfn 1".to_owned(), entry(1)]);
    assert_eq!(told(&world.give(&make("OWN", &[]))), ["ERROR StorPoolDfn 509 StorPoolDfn=OWN"]);
    assert_eq!(told(&world.give(&modify("own", "MaxOversubscriptionRatio", "3.5"))), [entry(1), entry(3)]);
    assert_eq!(told(&world.give(&modify("own", "MaxOversubscriptionRatio", "-1"))), ["ERROR StorPoolDfn 213 StorPoolDfn=own"]);
    let _ = world.give(&create("alpha", "own", "FILE", &[("StorDriver/StorPoolName", "/srv/x")]));
    assert_eq!(told(&world.give(&delete("own"))), ["ERROR StorPoolDfn 997 StorPoolDfn=own"]);
    let _ = world.give(&Command::DeleteStorPool { node: "alpha".to_owned(), name: "own".to_owned() });
    assert_eq!(told(&world.give(&delete("own"))), [entry(2)], "its properties kept it");
    assert_eq!(told(&world.give(&delete("own"))), ["ERROR StorPoolDfn 309 StorPoolDfn=own"]);
    assert_eq!(told(&world.give(&delete("DfltDisklessStorPool"))), ["ERROR StorPoolDfn 997 StorPoolDfn=DfltDisklessStorPool"]);
    let dropped = world.give(&Command::DeleteStorPool { node: "alpha".to_owned(), name: "DfltDisklessStorPool".to_owned() });
    assert_eq!(dropped.result.unwrap_err().replies[0].code.number(), 208);
}

#[test]
fn a_pool_with_volumes_stays_where_it_is() {
    let mut world = world();
    let _ = world.give(&create("alpha", "thin", "FILE_THIN", &[("StorDriver/StorPoolName", "/srv/x")]));
    let moved = Command::ModifyStorPool {
        node: "alpha".to_owned(),
        name: "thin".to_owned(),
        props: PropChange::set([("StorDriver/StorPoolName".to_owned(), "/srv/y".to_owned())].into()),
    };
    let entry = |number: u64| format!("SUCCESS StorPool {number} Node=alpha StorPoolDfn=thin");
    assert_eq!(told(&world.give(&moved)), [entry(1), entry(3)]);
    let _ = world.give(&Command::CreateResourceDefinition {
        name: Some("one".to_owned()),
        external_name: None,
        group: None,
        layers: vec!["STORAGE".to_owned()],
        props: Default::default(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    });
    let input = crate::command::VolumeDefinitionInput { size_kib: 4096, ..Default::default() };
    let _ = world.give(&Command::CreateVolumeDefinition { resource: "one".to_owned(), volume: input });
    let replica = crate::command::ResourceInput {
        node: "alpha".to_owned(),
        props: [("StorPoolName".to_owned(), "thin".to_owned())].into(),
        ..Default::default()
    };
    let made = world.give(&Command::CreateResources { resource: "one".to_owned(), replicas: vec![replica] });
    assert!(made.result.is_ok(), "{:?}", told(&made));
    let back = Command::ModifyStorPool {
        node: "alpha".to_owned(),
        name: "thin".to_owned(),
        props: PropChange::set([("StorDriver/StorPoolName".to_owned(), "/srv/x".to_owned())].into()),
    };
    assert_eq!(told(&world.give(&back)), ["ERROR StorPool 997 Node=alpha StorPoolDfn=thin"]);
    let delete = Command::DeleteStorPool { node: "alpha".to_owned(), name: "thin".to_owned() };
    assert_eq!(told(&world.give(&delete)), ["ERROR StorPool 997 Node=alpha StorPoolDfn=thin"]);
}

fn lose(on: &str, name: &str) -> Command {
    Command::LoseStorPool { node: on.to_owned(), name: name.to_owned() }
}

fn define(world: &mut World, name: &str, sizes: &[i64]) {
    let definition = Command::CreateResourceDefinition {
        name: Some(name.to_owned()),
        external_name: None,
        group: None,
        layers: vec!["STORAGE".to_owned()],
        props: Default::default(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    };
    assert!(world.give(&definition).result.is_ok());
    for size_kib in sizes {
        let volume = crate::command::VolumeDefinitionInput { size_kib: *size_kib, ..Default::default() };
        assert!(world.give(&Command::CreateVolumeDefinition { resource: name.to_owned(), volume }).result.is_ok());
    }
}

fn deploy(world: &mut World, name: &str, on: &[&str], pool: &str) {
    let replica = |node: &&str| crate::command::ResourceInput {
        node: (*node).to_owned(),
        props: [("StorPoolName".to_owned(), pool.to_owned())].into(),
        ..Default::default()
    };
    let made = world.give(&Command::CreateResources { resource: name.to_owned(), replicas: on.iter().map(replica).collect() });
    assert!(made.result.is_ok(), "{:?}", told(&made));
}

#[test]
fn only_a_pool_that_cannot_be_used_is_given_up() {
    let mut world = World::of("node alpha; node away offline; pool ssd on alpha FILE_THIN 10G; pool ssd on away FILE_THIN 10G");
    let refused = ["ERROR StorPool 521 Node=alpha StorPoolDfn=ssd"];
    assert_eq!(told(&world.give(&lose("alpha", "ssd"))), refused, "it works");
    assert_eq!(told(&world.give(&lose("away", "ssd"))), ["ERROR StorPool 521 Node=away StorPoolDfn=ssd"], "nobody can say");
    assert_eq!(told(&world.give(&lose("alpha", "none"))), ["WARNING StorPool 3000 Node=alpha StorPoolDfn=none"]);
    assert_eq!(world.give(&lose("alpha", "DfltDisklessStorPool")).result.unwrap_err().replies[0].code.number(), 208);
    break_pool(&mut world, "alpha", "ssd");
    let seen = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    let mut record = (**seen.pools.get(&StorPoolName::parse("ssd").unwrap()).unwrap()).clone();
    record.seen.fault.as_mut().unwrap().kind = FaultKind::NoSpace;
    seen.pools.insert(record.seen.name.clone(), Arc::new(record));
    assert_eq!(told(&world.give(&lose("alpha", "ssd"))), refused, "what lies in a full pool is there");
    break_pool(&mut world, "alpha", "ssd");
    assert_eq!(told(&world.give(&lose("alpha", "SSD"))), ["SUCCESS StorPool 2 Node=alpha StorPoolDfn=SSD"]);
    assert!(world.cluster.pool(&node("alpha"), &StorPoolName::parse("ssd").unwrap()).is_none());
    assert_eq!(told(&world.give(&lose("alpha", "ssd"))), ["WARNING StorPool 3000 Node=alpha StorPoolDfn=ssd"]);
}

#[test]
fn what_lay_in_a_dead_pool_is_forgotten_and_the_rest_of_it_removed() {
    let (ssd, hdd) = (StorPoolName::parse("ssd").unwrap(), StorPoolName::parse("hdd").unwrap());
    let mut world = World::of(
        "node alpha; node bravo; pool ssd on alpha FILE_THIN 100G; pool hdd on alpha FILE_THIN 100G; pool ssd on bravo FILE_THIN 100G",
    );
    define(&mut world, "one", &[4096]);
    deploy(&mut world, "one", &["alpha", "bravo"], "ssd");
    define(&mut world, "apart", &[4096, 4096]);
    deploy(&mut world, "apart", &["alpha"], "ssd");
    define(&mut world, "beside", &[4096]);
    deploy(&mut world, "beside", &["alpha"], "hdd");
    let mut mixed = (**world.cluster.resource(&resource("apart"), &node("alpha")).unwrap()).clone();
    mixed.volumes.values_mut().last().unwrap().pool = hdd.clone();
    let id = mixed.id.uuid();
    world.put(Object::Resource(mixed));
    settled_for_tests(&mut world);
    let snapshot =
        Command::CreateSnapshot { resource: "one".to_owned(), name: "s1".to_owned(), nodes: Vec::new(), props: Default::default() };
    assert!(world.give(&snapshot).result.is_ok());
    settled_for_tests(&mut world);
    // Its deletion cannot be carried out any more.
    define(&mut world, "going", &[4096]);
    deploy(&mut world, "going", &["alpha"], "ssd");
    settled_for_tests(&mut world);
    assert!(world.give(&Command::DeleteResourceDefinition { name: "going".to_owned() }).result.is_ok());

    break_pool(&mut world, "alpha", "ssd");
    let decision = world.give(&lose("alpha", "ssd"));
    let answer = told(&decision);
    assert_eq!(answer[..2], ["SUCCESS StorPool 2 Node=alpha StorPoolDfn=ssd", "WARNING StorPool 1010 Node=alpha StorPoolDfn=ssd"]);
    assert!(answer.iter().any(|line| line.contains("RscDfn=apart")), "its last copy is named: {answer:?}");
    assert!(world.cluster.pool(&node("alpha"), &ssd).is_none() && world.cluster.pool(&node("bravo"), &ssd).is_some());
    let on_alpha: Vec<String> = world.cluster.resources_on(&node("alpha")).map(|one| one.name.to_string()).collect();
    assert_eq!(on_alpha, ["beside"]);
    assert!(world.cluster.resource(&resource("one"), &node("bravo")).is_some());
    let copies: Vec<_> = world.cluster.snapshots_on(&node("bravo")).map(|one| one.copies.len()).collect();
    assert_eq!((copies.as_slice(), world.cluster.snapshots_on(&node("alpha")).count()), (&[1][..], 0));
    for tombstone in world.cluster.tombstones.values() {
        assert!(!tombstone.item.pools().contains(&ssd), "nobody looks into the dead pool: {tombstone:?}");
    }
    assert_eq!(world.cluster.tombstones.get(&id).unwrap().item.pools().into_iter().collect::<Vec<_>>(), [&hdd]);
    // Satellites do as they are told, and nothing is left waiting.
    settled_for_tests(&mut world);
    assert!(world.cluster.tombstones.is_empty() && world.cluster.jobs.is_empty(), "{:?}", world.cluster.jobs);
    assert!(!world.cluster.definitions.contains_key(&resource("going")), "the deletion went on");
}

#[test]
fn a_full_pool_is_given_up_in_bounded_steps() {
    let mut world = World::of("node alpha; pool ssd on alpha FILE_THIN 100G");
    for number in 0..100 {
        let name = format!("r{number:03}");
        define(&mut world, &name, &[4096]);
        deploy(&mut world, &name, &["alpha"], "ssd");
    }
    settled_for_tests(&mut world);
    break_pool(&mut world, "alpha", "ssd");
    let decision = world.give(&lose("alpha", "ssd"));
    let applied = decision.result.as_ref().unwrap();
    assert!(applied.changes.len() <= 100, "a transaction is bounded");
    assert_eq!(applied.replies.len(), 23, "of the pool, of devices, twenty warnings, how many more: {:?}", told(&decision));
    let mut turns = 1;
    while let Some(job) = world.cluster.jobs.keys().next().copied() {
        let again = world.give(&lose("alpha", "ssd")).result.unwrap();
        assert!(again.changes.is_empty() && again.jobs == [job], "a second request waits for the same job");
        let ids = world.ids();
        let progress = crate::jobs::advance(&world.cluster, &world.observed, Timestamp(2), ids, [job]);
        assert!((1..=100).contains(&progress.changes.len()), "a transaction is bounded");
        world.cluster.fold(&progress.changes);
        world.cluster.serial += 1;
        turns += 1;
    }
    assert!(turns > 1);
    assert_eq!(world.cluster.count_on(&node("alpha")), 0);
    assert!(!world.cluster.pool_definitions.contains_key(&StorPoolName::parse("ssd").unwrap()), "it went with its last pool");
}
