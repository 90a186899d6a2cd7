//! What requests about definitions answer and change.

use std::collections::BTreeMap;

use berth_model::change::{NumberKey, Object};
use berth_model::codes::Code;
use berth_model::names::VolumeNumber;
use berth_model::props::PropChange;
use berth_model::secrets::Secret;
use berth_model::size::Kib;

use crate::apply::Decision;
use crate::command::{Command, ResourceInput, VolumeDefinitionInput};
use crate::testkit::{World, resource, told};

fn definition(name: &str, layers: &[&str]) -> Command {
    Command::CreateResourceDefinition {
        name: Some(name.to_owned()),
        external_name: None,
        group: None,
        layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    }
}

fn external(name: Option<&str>, external: &str) -> Command {
    let Command::CreateResourceDefinition { layers, props, .. } = definition("", &["STORAGE"]) else { panic!("a definition") };
    Command::CreateResourceDefinition {
        name: name.map(str::to_owned),
        external_name: Some(external.to_owned()),
        group: None,
        layers,
        props,
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    }
}

fn volume(on: &str, input: VolumeDefinitionInput) -> Command {
    Command::CreateVolumeDefinition { resource: on.to_owned(), volume: input }
}

fn sized(size_kib: i64) -> VolumeDefinitionInput {
    VolumeDefinitionInput { size_kib, ..VolumeDefinitionInput::default() }
}

fn change(name: &str, props: &[(&str, &str)]) -> Command {
    let props = props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Command::ModifyResourceDefinition {
        name: name.to_owned(),
        props: PropChange::set(props),
        drbd_port: None,
        drbd_peer_slots: None,
        layers: None,
        group: None,
    }
}

fn with_layers(name: &str, words: &[&str]) -> Command {
    Command::ModifyResourceDefinition {
        name: name.to_owned(),
        props: PropChange::default(),
        drbd_port: None,
        drbd_peer_slots: None,
        layers: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        group: None,
    }
}

fn resized(name: &str, number: i64, size_kib: i64) -> Command {
    Command::ModifyVolumeDefinition {
        resource: name.to_owned(),
        number,
        size_kib: Some(size_kib),
        flags: Vec::new(),
        props: PropChange::default(),
    }
}

fn first_name(decision: &Decision) -> String {
    decision.result.as_ref().unwrap().replies[0].refs["RscDfn"].clone()
}

#[test]
fn names_come_from_requests_or_from_external_names() {
    let mut world = World::of("");
    assert_eq!(told(&world.give(&definition("one", &["STORAGE"]))), ["SUCCESS ResourceDefinition 1 RscDfn=one"]);
    assert_eq!(told(&world.give(&definition("ONE", &[]))), ["ERROR ResourceDefinition 501 RscDfn=ONE"]);
    assert_eq!(told(&world.give(&definition("9df", &[]))), ["ERROR ResourceDefinition 202 RscDfn=9df"]);
    assert_eq!(first_name(&world.give(&external(None, "disk: über #7"))), "disk__JQber__7");
    let uuid = "4fa9df31-5a02-4b8b-8f3f-4a2c3c8a9b1d";
    assert_eq!(first_name(&world.give(&external(None, uuid))), format!("LS_{}", uuid.to_uppercase()));
    assert_eq!(told(&world.give(&external(None, uuid))), ["ERROR ResourceDefinition 517 RscDfn="]);
    assert_eq!(first_name(&world.give(&external(Some("both"), "another name"))), "both");
    let taken = first_name(&world.give(&external(None, "one")));
    assert!(taken.starts_with("LS_") && taken.len() == 39, "the wished name is taken: {taken}");
    assert_eq!(told(&world.give(&external(None, ""))), ["ERROR ResourceDefinition 606 RscDfn="]);
    assert_eq!(told(&world.give(&external(None, &"x".repeat(257)))), ["ERROR ResourceDefinition 226 RscDfn="]);
    assert_eq!(first_name(&world.give(&external(None, "all"))).len(), 39, "a reserved name is no name");
}

#[test]
fn layers_end_with_storage() {
    let mut world = World::of("");
    assert_eq!(told(&world.give(&definition("nostor", &["DRBD"]))), ["WARNING - 1012", "SUCCESS ResourceDefinition 1 RscDfn=nostor"]);
    assert_eq!(told(&world.give(&definition("twice", &["DRBD", "drbd", "STORAGE"]))), ["ERROR ResourceDefinition 225 RscDfn=twice"]);
    assert_eq!(told(&world.give(&with_layers("nostor", &["FLOPPY"]))), ["ERROR ResourceDefinition 224 RscDfn=nostor"]);
}

#[test]
fn minors_follow_the_layers() {
    let mut world = World::of("");
    let _ = world.give(&definition("one", &["DRBD", "STORAGE"]));
    let wanted = VolumeDefinitionInput { drbd_minor_number: Some(4711), ..sized(8192) };
    assert_eq!(told(&world.give(&volume("one", wanted.clone()))), ["SUCCESS VolumeDefinition 1 RscDfn=one VlmNr=0"]);
    assert_eq!(told(&world.give(&volume("one", wanted))), ["ERROR VolumeDefinition 207 RscDfn=one VlmNr=1"]);
    assert_eq!(told(&world.give(&volume("one", sized(8192)))), ["SUCCESS VolumeDefinition 1 RscDfn=one VlmNr=1"]);
    let taken = |world: &World| world.cluster.numbers.keys().filter(|key| matches!(key, NumberKey::Minor { .. })).count();
    assert_eq!(taken(&world), 2);
    let _ = world.give(&with_layers("one", &["STORAGE"]));
    assert_eq!(taken(&world), 0, "a stack without DRBD gives its minors back");
    let _ = world.give(&with_layers("one", &[]));
    assert_eq!(taken(&world), 2);
}

#[test]
fn properties_are_told_before_the_definition() {
    let mut world = World::of("");
    let Command::CreateResourceDefinition { layers, .. } = definition("", &["STORAGE"]) else { panic!("a definition") };
    let command = Command::CreateResourceDefinition {
        name: Some("one".to_owned()),
        external_name: None,
        group: Some("dfltrscgrp".to_owned()),
        layers,
        props: [("Aux/owner".to_owned(), "anna".to_owned())].into(),
        drbd_port: Some(7555),
        drbd_secret: Some(Secret::new("n2mDsw6XeZ9uD5bDGk1q")),
        drbd_transport_type: Some("rdma".to_owned()),
        drbd_peer_slots: Some(5),
    };
    assert_eq!(told(&world.give(&command)), ["SUCCESS ResourceDefinition 1", "SUCCESS ResourceDefinition 1 RscDfn=one"]);
    let made = world.cluster.definitions.get(&resource("one")).unwrap();
    assert_eq!((made.group.as_str(), made.drbd.port, made.drbd.transport.as_deref()), ("DfltRscGrp", Some(7555), Some("RDMA")));
    assert_eq!(made.drbd.secret, "n2mDsw6XeZ9uD5bDGk1q");
    assert!(!serde_json::to_string(&command).unwrap().contains("n2mD") && !format!("{command:?}").contains("n2mD"), "what the log keeps");
    for wrong in ["x".repeat(65), "two\nlines".to_owned()] {
        let Command::CreateResourceDefinition { layers, props, .. } = definition("two", &["DRBD", "STORAGE"]) else {
            panic!("a definition")
        };
        let command = Command::CreateResourceDefinition {
            name: Some("two".to_owned()),
            external_name: None,
            group: None,
            layers,
            props,
            drbd_port: None,
            drbd_secret: Some(Secret::new(wrong)),
            drbd_transport_type: None,
            drbd_peer_slots: None,
        };
        assert_eq!(told(&world.give(&command)), ["ERROR ResourceDefinition 213 RscDfn=two"]);
    }
    let quorum = change("one", &[("DrbdOptions/Resource/quorum", "majority")]);
    assert_eq!(told(&world.give(&quorum)), ["SUCCESS ResourceDefinition 1 RscDfn=one", "SUCCESS ResourceDefinition 3 RscDfn=one"]);
    assert_eq!(told(&world.give(&change("one", &[("Bogus", "1"), ("Aux/b", "2")]))), ["ERROR ResourceDefinition 213 RscDfn=one"]);
    assert!(!world.cluster.definitions.get(&resource("one")).unwrap().props.contains("Aux/b"), "all or nothing");
}

#[test]
fn volume_numbers_and_sizes_are_checked() {
    let mut world = World::of("");
    let _ = world.give(&definition("one", &["STORAGE"]));
    let numbered = |number, size| VolumeDefinitionInput { volume_number: Some(number), ..sized(size) };
    for (input, code, shown) in [
        (numbered(-1, 4096), Code::FAIL_INVLD_VLM_NR, None),
        (numbered(65_535, 4096), Code::FAIL_INVLD_VLM_NR, None),
        (sized(0), Code::FAIL_INVLD_VLM_SIZE, Some("0")),
        (sized(3), Code::FAIL_INVLD_VLM_SIZE, Some("0")),
        (sized(-5), Code::FAIL_INVLD_VLM_SIZE, Some("0")),
        (sized((1 << 40) + 1), Code::FAIL_INVLD_VLM_SIZE, Some("0")),
        (VolumeDefinitionInput { flags: vec!["SPARKLING".to_owned()], ..sized(4096) }, Code::FAIL_INVLD_REQUEST, None),
        (VolumeDefinitionInput { flags: vec!["ENCRYPTED".to_owned()], ..sized(4096) }, Code::FAIL_NOT_FOUND_CRYPT_KEY, None),
    ] {
        let refused = world.give(&volume("one", input.clone())).result.unwrap_err();
        assert_eq!(refused.replies[0].code, code, "{input:?}");
        assert_eq!(refused.replies[0].refs.get("VlmNr").map(String::as_str), shown, "{input:?}");
        assert!(!refused.replies[0].correction.is_empty());
    }
    for (number, size) in [(5, 4), (7, 1 << 40)] {
        assert!(world.give(&volume("one", numbered(number, size))).result.is_ok());
    }
    assert_eq!(told(&world.give(&volume("one", sized(4096)))), ["SUCCESS VolumeDefinition 1 RscDfn=one VlmNr=0"]);
    assert_eq!(told(&world.give(&volume("one", numbered(5, 4096)))), ["ERROR VolumeDefinition 503 RscDfn=one VlmNr=5"]);
    let made = &world.cluster.definitions.get(&resource("one")).unwrap().volumes[&VolumeNumber::new(0).unwrap()];
    let generation = made.props.get("DrbdCurrentGi").unwrap();
    assert!(generation.len() == 16 && u64::from_str_radix(generation, 16).unwrap().is_multiple_of(2));
}

#[test]
fn sizes_grow_and_shrink_while_nothing_is_deployed() {
    let mut world = World::of("");
    let _ = world.give(&definition("one", &["STORAGE"]));
    let _ = world.give(&volume("one", sized(8192)));
    let size = |world: &World| world.cluster.definitions.get(&resource("one")).unwrap().volumes[&VolumeNumber::new(0).unwrap()].size_kib;
    let modified = "SUCCESS VolumeDefinition 3 RscDfn=one VlmNr=0";
    assert_eq!(told(&world.give(&resized("one", 0, 16_384))), [modified]);
    assert_eq!(told(&world.give(&resized("one", 0, 16_384))), ["WARNING VolumeDefinition 1023 RscDfn=one VlmNr=0", modified]);
    assert_eq!(told(&world.give(&resized("one", 0, 8192))), [modified]);
    assert_eq!(size(&world), Kib(8192));
    assert_eq!(told(&world.give(&resized("one", 0, 0))), ["ERROR VolumeDefinition 206 RscDfn=one VlmNr=0"]);
    assert_eq!(told(&world.give(&resized("one", 9, 8192))), ["ERROR VolumeDefinition 303 RscDfn=one VlmNr=9"]);
    let _ = world.give(&change("one", &[("DrbdOptions/ExactSize", "True")]));
    assert_eq!(told(&world.give(&resized("one", 0, 16_384))), ["ERROR VolumeDefinition 213 RscDfn=one VlmNr=0"]);
}

#[test]
fn what_is_deployed_keeps_layers_and_never_shrinks() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 10G");
    let _ = world.give(&definition("one", &["STORAGE"]));
    let _ = world.give(&volume("one", sized(8192)));
    let replica = ResourceInput {
        node: "alpha".to_owned(),
        props: [("StorPoolName".to_owned(), "thin".to_owned())].into(),
        ..ResourceInput::default()
    };
    let deployed = world.give(&Command::CreateResources { resource: "one".to_owned(), replicas: vec![replica] });
    for job in deployed.result.unwrap().jobs {
        world.cluster.fold(&[berth_model::change::Change::Delete(berth_model::change::Key::Job(job))]);
    }
    assert_eq!(told(&world.give(&with_layers("one", &["LUKS", "STORAGE"]))), ["ERROR ResourceDefinition 502 RscDfn=one"]);
    assert_eq!(told(&world.give(&change("one", &[("DrbdOptions/ExactSize", "True")]))), ["ERROR ResourceDefinition 213 RscDfn=one"]);
    assert_eq!(told(&world.give(&resized("one", 0, 4096))), ["ERROR VolumeDefinition 206 RscDfn=one VlmNr=0"]);
    let grown = world.give(&resized("one", 0, 16_384)).result.unwrap();
    assert_eq!(grown.jobs.len(), 1, "growing waits for the satellite");
    let replica = world.cluster.resource(&resource("one"), &crate::testkit::node("alpha")).unwrap();
    assert_eq!(replica.volumes[&VolumeNumber::new(0).unwrap()].backing_kib, Kib(16_384));
    let added = world.give(&volume("one", sized(4096))).result.unwrap();
    assert!(added.changes.iter().any(|change| matches!(change, berth_model::change::Change::Put(Object::Resource(_)))));
}

#[test]
fn a_move_that_cannot_place_enough_stands_with_an_error() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 10G; group many STORAGE 3 thin");
    let _ = world.give(&definition("one", &["STORAGE"]));
    let to = |group: &str| Command::ModifyResourceDefinition {
        name: "one".to_owned(),
        props: PropChange::default(),
        drbd_port: None,
        drbd_peer_slots: None,
        layers: None,
        group: Some(group.to_owned()),
    };
    assert_eq!(told(&world.give(&to("dfltrscgrp"))), ["SUCCESS ResourceDefinition 3 RscDfn=one"], "it is there already");
    assert_eq!(told(&world.give(&to("nosuch"))), ["ERROR ResourceDefinition 317 RscDfn=one"]);
    let moved = world.give(&to("many"));
    assert_eq!(told(&moved), ["SUCCESS ResourceDefinition 3 RscDfn=one", "ERROR Resource 996 RscDfn=one"]);
    assert_eq!(world.cluster.definitions.get(&resource("one")).unwrap().group.as_str(), "many");
}
