//! What requests about secrets answer and keep.

use std::collections::BTreeMap;

use berth_model::ids::Id;
use berth_model::names::VolumeNumber;
use berth_model::time::Timestamp;
use berth_model::vault::{MasterKey, Sealed};
use uuid::Uuid;

use super::check;
use crate::command::{Command, FilterRequest, Given, ResourceInput, VolumeDefinitionInput};
use crate::testkit::{World, resource, told};

fn key(secret: &str) -> MasterKey {
    let (created, changed) = (Timestamp(1), Timestamp(1));
    let id = Id::from_uuid(Uuid::nil());
    MasterKey { id, memory_kib: 8, passes: 1, lanes: 1, salt: "salt".to_owned(), secret: Sealed::new(secret), created, changed }
}

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

fn volume(name: &str, flags: &[&str], passphrase: Given) -> Command {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    let volume = VolumeDefinitionInput { size_kib: 8192, flags, passphrase, ..VolumeDefinitionInput::default() };
    Command::CreateVolumeDefinition { resource: name.to_owned(), volume }
}

fn replica(name: &str, node: &str, layers: &[&str]) -> Command {
    let layer_list = layers.iter().map(|layer| (*layer).to_owned()).collect();
    let props = BTreeMap::from([("StorPoolName".to_owned(), "thin".to_owned())]);
    let input = ResourceInput { node: node.to_owned(), props, layer_list, ..ResourceInput::default() };
    Command::CreateResources { resource: name.to_owned(), replicas: vec![input] }
}

fn sealed(text: &str) -> Given {
    Given::Sealed(Sealed::new(text))
}

fn kept(world: &World, name: &str, number: i64) -> Option<String> {
    let definition = world.cluster.definitions.get(&resource(name)).unwrap();
    definition.volumes[&VolumeNumber::new(number).unwrap()].passphrase.as_ref().map(|kept| kept.as_base64().to_owned())
}

#[test]
fn a_master_passphrase_is_set_once_and_changed_by_who_knows_it() {
    let mut world = World::of("");
    let create = |secret: &str| Command::CreateMasterPassphrase { key: key(secret) };
    let modify = |secret: Option<&str>| Command::ModifyMasterPassphrase { key: secret.map(key) };
    let enter = |right| Command::EnterMasterPassphrase { right };
    assert_eq!(told(&world.give(&modify(None))), ["ERROR Controller 512"]);
    assert_eq!(told(&world.give(&enter(true))), ["ERROR Controller 600"]);
    assert_eq!(told(&world.give(&create("one"))), ["SUCCESS Controller 1"]);
    let first = world.cluster.master_key.clone().unwrap();
    assert_eq!(told(&world.give(&create("two"))), ["ERROR Controller 512"]);
    assert_eq!(told(&world.give(&modify(None))), ["ERROR Controller 600"]);
    assert_eq!(world.cluster.master_key, Some(first.clone()));
    assert_eq!(told(&world.give(&modify(Some("two")))), ["SUCCESS Controller 3"]);
    let second = world.cluster.master_key.clone().unwrap();
    assert_eq!((second.id, second.created), (first.id, first.created), "the key is the same");
    assert_eq!(second.secret.as_base64(), "two");
    assert_eq!(told(&world.give(&enter(false))), ["ERROR Controller 600"]);
    assert_eq!(told(&world.give(&enter(true))), ["SUCCESS Controller 4"]);
    let wrong = world.give(&enter(false)).result.unwrap_err();
    assert!(!wrong.replies[0].correction.is_empty());
}

#[test]
fn nothing_of_a_secret_is_in_what_the_log_keeps() {
    for command in [
        Command::CreateMasterPassphrase { key: key("aHVzaA==") },
        Command::ModifyMasterPassphrase { key: Some(key("aHVzaA==")) },
        volume("one", &[], sealed("aHVzaA==")),
        Command::ModifyVolumePassphrase { resource: "one".to_owned(), number: 0, passphrase: sealed("aHVzaA==") },
    ] {
        let logged = serde_json::to_string(&command).unwrap();
        assert!(!logged.contains("aHVzaA"), "{logged}");
        assert!(!format!("{command:?}").contains("aHVzaA"), "{command:?}");
    }
}

#[test]
fn a_passphrase_has_letters_and_an_end() {
    assert!(check("x").is_ok() && check(&"x".repeat(1024)).is_ok());
    for bad in [String::new(), "x".repeat(1025)] {
        let refused = check(&bad).unwrap_err();
        assert_eq!(refused.replies[0].code.number(), 216);
        assert!(!refused.replies[0].message.contains("xx"));
    }
}

#[test]
fn passphrases_of_volumes_need_the_master_key_and_are_kept() {
    let mut world = World::of("");
    let _ = world.give(&definition("vault", &["LUKS", "STORAGE"]));
    let _ = world.give(&definition("plain", &["STORAGE"]));
    assert_eq!(told(&world.give(&volume("vault", &[], Given::Locked))), ["ERROR VolumeDefinition 312 RscDfn=vault"]);
    // Without a passphrase of its own a volume gets its key when it is made on a node.
    assert_eq!(told(&world.give(&volume("vault", &[], Given::Nothing))), ["SUCCESS VolumeDefinition 1 RscDfn=vault VlmNr=0"]);
    assert_eq!(told(&world.give(&volume("plain", &["ENCRYPTED"], Given::Nothing))), ["ERROR VolumeDefinition 312 RscDfn=plain"]);
    let _ = world.give(&Command::CreateMasterPassphrase { key: key("one") });
    assert_eq!(told(&world.give(&volume("vault", &[], sealed("own")))), ["SUCCESS VolumeDefinition 1 RscDfn=vault VlmNr=1"]);
    assert_eq!(kept(&world, "vault", 1).as_deref(), Some("own"));
    let unused = ["WARNING VolumeDefinition 3001 RscDfn=plain VlmNr=0", "SUCCESS VolumeDefinition 1 RscDfn=plain VlmNr=0"];
    assert_eq!(told(&world.give(&volume("plain", &[], sealed("own")))), unused);
    assert_eq!(told(&world.give(&volume("plain", &["ENCRYPTED"], Given::Nothing))), ["SUCCESS VolumeDefinition 1 RscDfn=plain VlmNr=1"]);

    let change = |name: &str, number, passphrase| Command::ModifyVolumePassphrase { resource: name.to_owned(), number, passphrase };
    let changed = ["WARNING VolumeDefinition 3000 RscDfn=vault VlmNr=0", "SUCCESS VolumeDefinition 3 RscDfn=vault VlmNr=0"];
    assert_eq!(told(&world.give(&change("vault", 0, sealed("new")))), changed);
    assert_eq!(kept(&world, "vault", 0).as_deref(), Some("new"));
    assert_eq!(told(&world.give(&change("vault", 0, Given::Locked))), ["ERROR VolumeDefinition 312 RscDfn=vault VlmNr=0"]);
    assert_eq!(told(&world.give(&change("vault", 0, Given::Nothing))), ["ERROR VolumeDefinition 216 RscDfn=vault VlmNr=0"]);
    assert_eq!(told(&world.give(&change("vault", 9, sealed("x")))), ["ERROR VolumeDefinition 303 RscDfn=vault VlmNr=9"]);
    assert_eq!(told(&world.give(&change("none", 0, sealed("x")))), ["ERROR VolumeDefinition 301 RscDfn=none VlmNr=0"]);
    assert_eq!(kept(&world, "vault", 0).as_deref(), Some("new"));
}

#[test]
fn nothing_pretends_to_be_encrypted() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 10G");
    let _ = world.give(&Command::CreateMasterPassphrase { key: key("one") });
    let _ = world.give(&definition("plain", &["STORAGE"]));
    let _ = world.give(&volume("plain", &["ENCRYPTED"], Given::Nothing));
    let refused = world.give(&replica("plain", "alpha", &[])).result.unwrap_err();
    assert_eq!(refused.replies[0].code.number(), 225, "{refused:?}");
    // Nor does one that comes later to what is deployed.
    let _ = world.give(&definition("later", &["STORAGE"]));
    let _ = world.give(&volume("later", &[], Given::Nothing));
    assert!(world.give(&replica("later", "alpha", &[])).result.is_ok());
    let refused = world.give(&volume("later", &["ENCRYPTED"], Given::Nothing)).result.unwrap_err();
    assert_eq!(refused.replies[0].code.number(), 225, "{refused:?}");
}

#[test]
fn a_spawn_takes_one_passphrase_for_each_volume() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 10G; group vault LUKS,STORAGE 1 thin");
    let _ = world.give(&Command::CreateMasterPassphrase { key: key("one") });
    let spawn = |passphrases| Command::SpawnResource {
        group: "vault".to_owned(),
        name: Some("two".to_owned()),
        external_name: None,
        volume_sizes: vec![8192, 8192],
        partial: false,
        definitions_only: true,
        filter: FilterRequest::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases,
    };
    let code = |world: &mut World, passphrases| world.give(&spawn(passphrases)).result.unwrap_err().replies[0].code.number();
    assert_eq!(code(&mut world, vec![sealed("a")]), 229);
    assert_eq!(code(&mut world, vec![sealed("a"), Given::Locked]), 312);
    assert!(world.cluster.definitions.is_empty(), "all or nothing");
    assert!(world.give(&spawn(vec![Given::Nothing, sealed("b")])).result.is_ok());
    assert_eq!((kept(&world, "two", 0), kept(&world, "two", 1).as_deref()), (None, Some("b")));
}

#[test]
fn a_volume_gets_a_key_when_it_is_made_with_luks_and_copies_have_that_of_their_source() {
    let mut world = World::of("node alpha +LUKS; pool thin on alpha FILE_THIN 10G");
    let _ = world.give(&definition("safe", &["LUKS", "STORAGE"]));
    let _ = world.give(&volume("safe", &[], Given::Nothing));
    // Nothing is made that nobody could open again.
    assert_eq!(told(&world.give(&replica("safe", "alpha", &[]))), ["ERROR Resource 312 RscDfn=safe"]);
    assert_eq!((kept(&world, "safe", 0), world.cluster.resources.len()), (None, 0));
    let _ = world.give(&Command::CreateMasterPassphrase { key: key("one") });
    assert!(world.give(&replica("safe", "alpha", &[])).result.is_ok());
    let own = kept(&world, "safe", 0).expect("a key");
    assert_eq!(own, berth_model::secrets::HIDDEN, "one of paper");
    crate::explain::settled_for_tests(&mut world);
    // One that came with the request stays; one without LUKS gets none.
    let _ = world.give(&definition("own", &["LUKS", "STORAGE"]));
    let _ = world.give(&volume("own", &[], sealed("own")));
    assert!(world.give(&replica("own", "alpha", &[])).result.is_ok());
    assert_eq!(kept(&world, "own", 0).as_deref(), Some("own"));
    let _ = world.give(&definition("plain", &["STORAGE"]));
    let _ = world.give(&volume("plain", &[], Given::Nothing));
    assert!(world.give(&replica("plain", "alpha", &[])).result.is_ok());
    assert_eq!(kept(&world, "plain", 0), None);
    crate::explain::settled_for_tests(&mut world);
    // A snapshot's data is encrypted with what it was, whatever comes later.
    let snap = Command::CreateSnapshot { resource: "own".to_owned(), name: "s1".to_owned(), nodes: Vec::new(), props: BTreeMap::new() };
    assert!(world.give(&snap).result.is_ok());
    crate::explain::settled_for_tests(&mut world);
    let _ = world.give(&definition("copy", &["LUKS", "STORAGE"]));
    let restore = Command::RestoreVolumeDefinitions { resource: "own".to_owned(), name: "s1".to_owned(), to_resource: "copy".to_owned() };
    let decision = world.give(&restore);
    assert!(decision.result.is_ok(), "{:?}", told(&decision));
    assert_eq!(kept(&world, "copy", 0).as_deref(), Some("own"));
}
