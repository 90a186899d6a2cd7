//! What requests about external files answer and keep.

use std::collections::BTreeMap;

use super::*;
use crate::testkit::{World, resource, told};

fn put(path: &str, content: Option<&str>, suffixes: &[&str]) -> Command {
    let alt_suffixes = (!suffixes.is_empty()).then(|| suffixes.iter().map(|suffix| (*suffix).to_owned()).collect());
    Command::PutFile { path: path.to_owned(), content: content.map(str::to_owned), alt_suffixes }
}

fn deploy(name: &str, path: &str, deployed: bool) -> Command {
    Command::DeployFile { resource: name.to_owned(), path: path.to_owned(), deployed }
}

fn definition(name: &str) -> Command {
    Command::CreateResourceDefinition {
        name: Some(name.to_owned()),
        external_name: None,
        group: None,
        layers: vec!["STORAGE".to_owned()],
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: false,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    }
}

#[test]
fn a_file_is_kept_changed_and_deleted() {
    let mut world = World::of("");
    let about = "ExtFile=/etc/x.conf";
    assert_eq!(told(&world.give(&put("/etc/x.conf", Some("aGVsbG8K"), &[]))), [format!("SUCCESS ExternalFile 3 {about}")]);
    assert!(world.give(&put("/etc/x.conf", None, &[".bak"])).result.is_ok());
    let kept = world.cluster.files.values().next().unwrap().clone();
    assert_eq!((kept.content.as_str(), kept.alt_suffixes.as_slice()), ("aGVsbG8K", [".bak".to_owned()].as_slice()));
    // The path is compared without case, as LINSTOR does.
    assert!(world.give(&put("/etc/X.conf", Some(""), &[])).result.is_ok());
    assert_eq!(world.cluster.files.len(), 1);
    let remove = Command::DeleteFile { path: "/etc/x.conf".to_owned() };
    assert_eq!(told(&world.give(&remove)), [format!("SUCCESS ExternalFile 2 {about}"), format!("SUCCESS ExternalFile 2 {about}")]);
    assert_eq!(told(&world.give(&remove)), [format!("WARNING ExternalFile 3000 {about}")]);
}

#[test]
fn nonsense_is_refused() {
    let mut world = World::of("");
    let large = STANDARD.encode(vec![0u8; CONTENT_MAX + 1]);
    let long = "x".repeat(SUFFIX_MAX + 1);
    for (command, expected) in [
        (put("srv", Some(""), &[]), 235),
        (put("/a/../b", Some(""), &[]), 235),
        (put("/", Some(""), &[]), 235),
        (put("/a", Some("no base64!"), &[]), 234),
        (put("/a", Some(&large), &[]), 234),
        (put("/a", Some(""), &["a/b"]), 234),
        (put("/a", Some(""), &[&long]), 234),
        (Command::DeleteFile { path: "srv".to_owned() }, 235),
        (deploy("none", "/a", true), 301),
    ] {
        let refused = world.give(&command).result.unwrap_err();
        assert_eq!(refused.replies[0].code.number(), expected, "{:?}", refused.replies);
        assert!(!refused.replies[0].correction.is_empty());
    }
    assert!(world.cluster.files.is_empty());
}

#[test]
fn a_deployed_file_is_a_property_of_its_definition_and_goes_with_the_file() {
    let mut world = World::of("");
    let _ = world.give(&definition("web"));
    let _ = world.give(&put("/etc/x.conf", Some("aGVsbG8K"), &[]));
    assert_eq!(told(&world.give(&deploy("web", "/etc/none", true))), ["ERROR ResourceDefinition 320 RscDfn=web"]);
    // Nothing writes it yet, and the answer says so.
    assert_eq!(told(&world.give(&deploy("web", "/etc/x.conf", true))), ["WARNING ResourceDefinition 3001 RscDfn=web"]);
    let props = |world: &World| world.cluster.definitions[&resource("web")].props.get("files/etc/x.conf").map(str::to_owned);
    assert_eq!(props(&world).as_deref(), Some("True"));
    let path = FilePath::parse("/etc/x.conf").unwrap();
    assert_eq!(world.cluster.deploying(&path).count(), 1);
    assert_eq!(told(&world.give(&deploy("web", "/ETC/x.conf", false))), [""; 0]);
    assert_eq!(props(&world), None);
    let _ = world.give(&deploy("web", "/etc/x.conf", true));
    assert!(world.give(&Command::DeleteFile { path: "/etc/x.conf".to_owned() }).result.is_ok());
    assert_eq!((props(&world), world.cluster.deploying(&path).count()), (None, 0));
    assert_eq!(told(&world.give(&deploy("web", "/etc/x.conf", false))), ["ERROR ResourceDefinition 320 RscDfn=web"]);
}

#[test]
fn the_log_does_not_keep_what_is_in_a_file() {
    let command = put("/etc/x.conf", Some("aGVsbG8K"), &[]);
    assert!(!serde_json::to_string(&command).unwrap().contains("aGVsbG8K"));
}
