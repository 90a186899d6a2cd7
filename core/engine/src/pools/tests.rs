//! What requests about storage pools answer and change.

use std::sync::Arc;

use berth_model::layers::ProviderKind;
use berth_model::names::StorPoolName;
use berth_model::props::PropChange;

use crate::command::Command;
use crate::testkit::{World, node, told};

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
