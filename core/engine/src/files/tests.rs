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
        drbd_secret: None,
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
    assert_eq!(told(&world.give(&deploy("web", "/etc/x.conf", true))), [""; 0]);
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

#[test]
fn a_file_is_in_the_plans_of_the_nodes_that_have_a_replica_of_what_deploys_it() {
    use crate::plan::{file_plans, touched, whole};
    use crate::testkit::node;
    let mut world = World::of("node alpha; node bravo; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G");
    std::sync::Arc::make_mut(
        std::sync::Arc::make_mut(world.observed.nodes.get_mut(&node("bravo")).unwrap()).capabilities.as_mut().unwrap(),
    )
    .file_folders = vec!["/etc".to_owned()];
    let create = |name: &str, on: &str| {
        let props = BTreeMap::from([("StorPoolName".to_owned(), "thin".to_owned())]);
        let input = crate::command::ResourceInput { node: on.to_owned(), props, ..Default::default() };
        Command::CreateResources { resource: name.to_owned(), replicas: vec![input] }
    };
    // The nodes whose files each command touches.
    let give = |world: &mut World, command: &Command| -> Vec<String> {
        let before = world.cluster.clone();
        let applied = world.give(command).result.unwrap_or_else(|refused| panic!("{command:?}: {refused:?}"));
        let touches = touched(&before, &world.cluster, &applied.changes);
        touches.into_iter().filter(|(_, touch)| touch.files).map(|(node, _)| node.to_string()).collect()
    };
    let paths = |world: &World, on: &str| -> Vec<String> {
        let plans = file_plans(&world.cluster, &node(on));
        assert_eq!(whole(&world.cluster, &node(on)).files.as_deref(), Some(plans.as_slice()));
        plans.into_iter().map(|plan| plan.path.to_string()).collect()
    };
    for name in ["web", "db"] {
        give(&mut world, &definition(name));
        give(&mut world, &put(&format!("/etc/{name}"), Some("eA=="), &[]));
        give(&mut world, &create(name, "alpha"));
    }
    assert_eq!((paths(&world, "alpha"), paths(&world, "bravo")), (vec![], vec![]));
    // Alpha's operator allows nothing, and the answer says so.
    assert_eq!(told(&world.give(&deploy("web", "/etc/web", true))), ["WARNING ResourceDefinition 3001 RscDfn=web"]);
    assert_eq!(give(&mut world, &deploy("db", "/etc/web", true)), ["alpha"]);
    assert_eq!((paths(&world, "alpha"), paths(&world, "bravo")), (vec!["/etc/web".to_owned()], vec![]));
    assert_eq!(give(&mut world, &put("/etc/web", Some("eXk="), &[])), ["alpha"]);
    assert_eq!(give(&mut world, &put("/etc/db", Some("eXk="), &[])), [""; 0]);
    assert_eq!(give(&mut world, &create("web", "bravo")), ["bravo"]);
    assert_eq!(paths(&world, "bravo"), ["/etc/web"]);
    assert_eq!(give(&mut world, &deploy("web", "/etc/web", false)), ["alpha", "bravo"]);
    assert_eq!((paths(&world, "alpha"), paths(&world, "bravo")), (vec!["/etc/web".to_owned()], vec![]), "db deploys it there");
    crate::explain::settled_for_tests(&mut world);
    assert_eq!(give(&mut world, &Command::DeleteResourceDefinition { name: "db".to_owned() }), ["alpha"]);
    assert_eq!(paths(&world, "alpha"), [""; 0], "it goes with the last definition that deploys it");
}

#[test]
fn the_answer_to_a_deployment_waits_for_satellites_that_may_write_it() {
    use crate::draft::AwaitedFile;
    use crate::testkit::node;
    use berth_model::observed::{Fault, FaultKind, FileSeen, NodeSeen};
    use std::sync::Arc;
    let mut world = World::of(
        "node alpha; node bravo; node charlie; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; pool thin on charlie FILE_THIN 10G",
    );
    let edit = |world: &mut World, name: &str, edit: &dyn Fn(&mut NodeSeen)| {
        edit(Arc::make_mut(world.observed.nodes.get_mut(&node(name)).unwrap()));
    };
    for name in ["alpha", "bravo"] {
        edit(&mut world, name, &|seen| Arc::make_mut(seen.capabilities.as_mut().unwrap()).file_folders = vec!["/etc".to_owned()]);
    }
    let _ = world.give(&definition("web"));
    let _ = world.give(&put("/etc/web", Some("eA=="), &[]));
    let nowhere = world.give(&deploy("web", "/etc/web", true)).result.unwrap();
    assert_eq!((nowhere.await_file, nowhere.replies.len()), (None, 0), "no node has it");
    let _ = world.give(&deploy("web", "/etc/web", false));
    let replica = |on: &str| crate::command::ResourceInput {
        node: on.to_owned(),
        props: BTreeMap::from([("StorPoolName".to_owned(), "thin".to_owned())]),
        ..Default::default()
    };
    let replicas = ["alpha", "bravo", "charlie"].map(replica).into();
    assert!(world.give(&Command::CreateResources { resource: "web".to_owned(), replicas }).result.is_ok());
    edit(&mut world, "bravo", &|seen| seen.status = berth_model::observed::ConnectionStatus::Offline);
    let decision = world.give(&deploy("web", "/etc/web", true));
    assert_eq!(told(&decision), ["WARNING ResourceDefinition 3001 RscDfn=web"], "charlie allows nothing");
    let path = FilePath::parse("/etc/web").unwrap();
    let wanted = AwaitedFile { path: path.clone(), nodes: vec![node("alpha"), node("bravo")] };
    assert_eq!(decision.result.unwrap().await_file, Some(wanted.clone()));

    assert_eq!(super::written(&world.observed, &wanted), None, "alpha has not looked yet");
    let saw = |fault: Option<Fault>| {
        let file = FileSeen { path: path.clone(), actual_path: None, content_match: fault.is_none(), fault };
        Some((Arc::new(vec![file]), berth_model::time::Timestamp(1)))
    };
    edit(&mut world, "alpha", &|seen| seen.files = saw(None));
    let numbers = |world: &World| {
        let replies = super::written(&world.observed, &wanted).expect("nobody else is asked");
        replies.iter().map(|reply| (reply.code.number(), reply.refs.get("Node").cloned())).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&world), [(1002, None)], "bravo is away, and is not waited for");
    let fault = Fault {
        kind: FaultKind::Foreign,
        message: "Something is in the way".to_owned(),
        cause: String::new(),
        correction: "Move it away".to_owned(),
        details: String::new(),
        holders: Vec::new(),
    };
    edit(&mut world, "alpha", &|seen| seen.files = saw(Some(fault.clone())));
    assert_eq!(numbers(&world), [(3001, Some("alpha".to_owned())), (1002, None)]);
}

#[test]
fn what_is_in_a_file_is_not_printed_with_a_plan() {
    let plan =
        berth_model::plan::FilePlan { path: FilePath::parse("/etc/x").unwrap(), content: "aHVzaA==".to_owned(), alt_suffixes: Vec::new() };
    assert!(!format!("{plan:?}").contains("aHVzaA"));
}
