//! What requests about nodes and their interfaces answer and change.

use std::sync::Arc;

use berth_model::change::{Change, Object};
use berth_model::flags::{DefinitionFlags, ResourceFlags};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{StorPoolName, VolumeNumber};
use berth_model::objects::{DrbdDefinition, Resource, ResourceDefinition, Volume};
use berth_model::observed::{ConnectionStatus, NodeSeen};
use berth_model::plan::{Content, ContentSource, Wanted};
use berth_model::props::{PropChange, Props};
use berth_model::size::Kib;
use berth_model::time::Timestamp;

use crate::command::{Command, NetIfInput};
use crate::draft::Effect;
use crate::testkit::{World, node, resource, set, told};

fn interface(name: &str, address: &str, port: Option<i64>) -> NetIfInput {
    NetIfInput {
        name: name.to_owned(),
        address: Some(address.to_owned()),
        satellite_port: port,
        satellite_encryption_type: None,
        is_active: None,
    }
}

fn create(name: &str, kind: Option<&str>, interfaces: &[NetIfInput], props: &[(&str, &str)]) -> Command {
    Command::CreateNode {
        name: name.to_owned(),
        node_type: kind.map(str::to_owned),
        net_interfaces: interfaces.to_vec(),
        props: props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn plain(name: &str) -> Command {
    create(name, None, &[interface("default", "192.0.2.1", Some(3366))], &[])
}

/// One replica of a new definition on `on`, with one volume in pool `thin`.
fn deploy(world: &mut World, name: &str, on: &str) {
    let mut ids = world.ids();
    let definition = ResourceDefinition {
        id: ids.next(),
        name: resource(name),
        external_name: None,
        group: berth_model::names::ResourceGroupName::parse("DfltRscGrp").unwrap(),
        layers: vec![LayerKind::Storage],
        drbd: DrbdDefinition { port: None, secret: String::new(), transport: None, peer_slots: None, used_node_ids: 0 },
        flags: DefinitionFlags::default(),
        props: Props::default(),
        volumes: Default::default(),
        created: Timestamp(0),
    };
    let volume = Volume {
        id: ids.next(),
        pool: StorPoolName::parse("thin").unwrap(),
        provider: ProviderKind::FileThin,
        backing: format!("{name}_00000"),
        backing_kib: Kib(4096),
        content: Content { id: ids.next(), source: ContentSource::Kept },
        flags: Default::default(),
        props: Props::default(),
    };
    let replica = Resource {
        id: ids.next(),
        definition: definition.id,
        name: resource(name),
        node: node(on),
        layers: vec![LayerKind::Storage],
        flags: ResourceFlags::default(),
        drbd: None,
        volumes: [(VolumeNumber::new(0).unwrap(), volume)].into(),
        props: Props::default(),
        created: Timestamp(0),
    };
    world.put(Object::ResourceDefinition(definition));
    world.put(Object::Resource(replica));
}

#[test]
fn a_node_is_made_with_its_pool_and_waited_for() {
    let mut world = World::of("");
    let command = create("alpha", Some("combined"), &[interface("default", "192.0.2.1", None)], &[("Aux/site", "a")]);
    let decision = world.give(&command);
    assert_eq!(told(&decision), ["SUCCESS Node 1 Node=alpha", "SUCCESS Node 1 Node=alpha"]);
    let applied = decision.result.unwrap();
    assert_eq!(applied.await_node, Some(node("alpha")));
    assert!(!applied.replies[0].refs.contains_key("UUID") && applied.replies[1].refs.contains_key("UUID"));
    let made = world.cluster.nodes.get(&node("ALPHA")).unwrap();
    assert_eq!(made.active_interface().unwrap().satellite.unwrap().port, 3366, "the usual port where none is named");
    assert_eq!(world.cluster.pools_of(&node("alpha")).count(), 1);
}

#[test]
fn nodes_without_a_satellite_have_no_pool_and_nobody_waits() {
    let mut world = World::of("");
    let applied = world.give(&create("ctrl", Some("CONTROLLER"), &[interface("default", "192.0.2.1", Some(3366))], &[])).result.unwrap();
    assert_eq!(applied.await_node, None);
    assert_eq!(world.cluster.pools_of(&node("ctrl")).count(), 0);
}

#[test]
fn bad_nodes_are_refused_whole() {
    let good = interface("default", "192.0.2.1", Some(3366));
    let one = [good.clone()];
    let encrypted = |word: &str| NetIfInput { satellite_encryption_type: Some(word.to_owned()), ..good.clone() };
    for (command, code) in [
        (create("nd_bad!", None, &one, &[]), 200),
        (create("nd", Some("toaster"), &one, &[]), 201),
        (create("alpha", None, &one, &[]), 500),
        (create("nd", None, &[], &[]), 603),
        (create("nd", None, &[interface("a", "192.0.2.1", None)], &[]), 209),
        (create("nd", None, &[interface("default", "host.example", None)], &[]), 210),
        (create("nd", None, &[interface("default", "192.0.2.1", Some(70_000))], &[]), 211),
        (create("nd", None, &[encrypted("ROT13")], &[]), 212),
        (create("nd", None, &[good.clone(), good.clone()], &[]), 505),
        (create("nd", None, &one, &[("No/Such", "1")]), 213),
        (create("nd", None, &one, &[("PrefNic", "eth7")]), 213),
        (create("nd", Some("REMOTE_SPDK"), &[good.clone(), interface("other", "192.0.2.2", None)], &[]), 201),
    ] {
        let mut world = World::of("node ALPHA");
        let decision = world.give(&command);
        let replies = decision.result.unwrap_err().replies;
        assert_eq!(replies[0].code.number(), code, "{command:?}");
        assert!(!replies[0].correction.is_empty(), "{command:?} needs a correction");
        assert_eq!(world.cluster.nodes.len(), 1);
    }
}

#[test]
fn interfaces_come_change_and_go() {
    let mut world = World::of("");
    let _ = world.give(&plain("one"));
    let make = |input| Command::CreateNetIf { node: "one".to_owned(), interface: input };
    let change = |input| Command::ModifyNetIf { node: "one".to_owned(), interface: input };
    let drop = |name: &str| Command::DeleteNetIf { node: "one".to_owned(), name: name.to_owned() };
    let bare = |name: &str| NetIfInput { name: name.to_owned(), ..NetIfInput::default() };
    let done = |number: u64| vec![format!("SUCCESS NetIf {number} Node=one")];
    let active = |world: &World| world.cluster.nodes.get(&node("one")).unwrap().active.clone().map(|name| name.to_string());

    assert_eq!(told(&world.give(&make(interface("data1", "fd00::1:2", None)))), done(1));
    assert_eq!(told(&world.give(&make(NetIfInput { is_active: Some(true), ..interface("act", "192.0.2.9", Some(3366)) }))), done(1));
    assert_eq!(active(&world).as_deref(), Some("act"));
    assert_eq!(told(&world.give(&make(interface("DATA1", "192.0.2.3", None)))), ["ERROR NetIf 505 Node=one"]);
    assert_eq!(told(&world.give(&change(NetIfInput { is_active: Some(true), ..bare("data1") }))), ["ERROR NetIf 211 Node=one"]);
    let moved = world.give(&change(NetIfInput { is_active: Some(true), ..bare("default") }));
    assert_eq!(moved.result.unwrap().effects, [Effect::Reconnect(node("one"))]);
    assert_eq!(told(&world.give(&drop("default"))), done(2));
    assert_eq!(active(&world).as_deref(), Some("act"), "the first by name with a port takes over");
    assert_eq!(told(&world.give(&drop("act"))), ["WARNING NetIf 1004 Node=one"]);
    assert_eq!(active(&world), None);
    assert_eq!(told(&world.give(&drop("act"))), ["WARNING NetIf 3000 Node=one"]);
    assert_eq!(told(&world.give(&drop("data1"))), ["ERROR NetIf 603 Node=one"]);
    assert_eq!(told(&world.give(&change(NetIfInput { satellite_port: Some(3366), ..bare("data1") }))), done(3));
    assert_eq!(active(&world).as_deref(), Some("data1"), "the only one with a port leads to the satellite");
}

#[test]
fn properties_and_types_change() {
    let mut world = World::of("node one");
    let modify = |kind: Option<&str>, props| Command::ModifyNode { node: "one".to_owned(), node_type: kind.map(str::to_owned), props };
    assert_eq!(told(&world.give(&modify(None, set("Aux/rack", "r1")))), ["SUCCESS Node 1 Node=one", "SUCCESS Node 3 Node=one"]);
    let delete = PropChange { delete_props: vec!["Aux/never".to_owned()], ..PropChange::default() };
    assert_eq!(told(&world.give(&modify(None, delete))), ["SUCCESS Node 2 Node=one", "SUCCESS Node 3 Node=one"]);
    assert_eq!(
        told(&world.give(&modify(None, set("sys/fs/blkio_throttle_read", "5")))),
        ["SUCCESS Node 1 Node=one", "WARNING Node 1015 Node=one", "SUCCESS Node 3 Node=one"],
        "what has no effect yet is not silently stored"
    );
    assert_eq!(told(&world.give(&modify(Some("AUXILIARY"), PropChange::default()))), ["SUCCESS Node 3 Node=one"]);
    assert_eq!(world.cluster.pools_of(&node("one")).count(), 0);
    assert_eq!(told(&world.give(&modify(Some("satellite"), PropChange::default()))), ["SUCCESS Node 3 Node=one"]);
    assert_eq!(world.cluster.pools_of(&node("one")).count(), 1);
    let mut used = World::of("node one; pool thin on one FILE_THIN 1G");
    assert_eq!(told(&used.give(&modify(Some("CONTROLLER"), PropChange::default()))), ["ERROR Node 201 Node=one"]);
}

#[test]
fn only_an_empty_node_is_deleted() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 1G; node bravo offline");
    deploy(&mut world, "r1", "alpha");
    deploy(&mut world, "r2", "bravo");
    let delete = |name: &str| Command::DeleteNode { node: name.to_owned() };
    assert_eq!(told(&world.give(&delete("alpha"))), ["ERROR Node 233 Node=alpha"]);
    let refused = world.give(&delete("bravo")).result.unwrap_err();
    assert!(refused.replies[0].correction.contains("node lost"), "an offline node is given up on purpose only");
    world.cluster.fold(&[Change::Delete(berth_model::change::Key::Resource(resource("r1"), node("alpha")))]);
    assert_eq!(told(&world.give(&delete("alpha"))), ["SUCCESS Node 2 Node=alpha"]);
    assert!(world.cluster.pools_of(&node("alpha")).next().is_none());
    assert!(!world.cluster.pool_definitions.contains_key(&StorPoolName::parse("thin").unwrap()), "it went with its last pool");
    assert_eq!(told(&world.give(&delete("alpha"))), ["WARNING Node 3000 Node=alpha"]);
    assert_eq!(told(&world.give(&delete("b@d!"))), ["ERROR Node 200 Node=b@d!"]);
}

#[test]
fn a_lost_node_leaves_tombstones() {
    let mut world = World::of("node alpha; node bravo offline; pool thin on bravo FILE_THIN 1G");
    for number in 0..100 {
        deploy(&mut world, &format!("r{number:03}"), "bravo");
    }
    let lose = |name: &str| Command::LoseNode { node: name.to_owned() };
    assert_eq!(told(&world.give(&lose("alpha"))), ["ERROR Node 506 Node=alpha"]);
    assert_eq!(told(&world.give(&lose("nobody"))), ["WARNING Node 3000 Node=nobody"]);
    let decision = world.give(&lose("bravo"));
    let answer = told(&decision);
    assert_eq!(answer.len(), 22, "twenty warnings, and how many more: {answer:?}");
    assert_eq!((&*answer[0], &*answer[1]), ("SUCCESS Node 2 Node=bravo", "WARNING Node 1010 Node=bravo RscDfn=r000"));
    let last = &decision.result.as_ref().unwrap().replies[21].message;
    assert!(last.contains("100 resources") && last.contains("80 of them"), "{last}");
    assert!(decision.result.unwrap().changes.len() <= 100, "a transaction is bounded");
    let mut turns = 1;
    while let Some(job) = world.cluster.jobs.keys().next().copied() {
        // It is too late for a change of mind: back again, the node obeys its tombstones.
        world.observed.nodes.insert(node("bravo"), Arc::new(NodeSeen::unknown(ConnectionStatus::Online, Timestamp(0))));
        let again = world.give(&lose("bravo")).result.unwrap();
        assert!(again.changes.is_empty() && again.jobs == [job], "a second request waits for the same job");
        let ids = world.ids();
        let progress = crate::jobs::advance(&world.cluster, &world.observed, Timestamp(2), ids, [job]);
        assert!((1..=100).contains(&progress.changes.len()), "a transaction is bounded");
        world.cluster.fold(&progress.changes);
        world.cluster.serial += 1;
        turns += 1;
    }
    assert!(turns > 1);
    assert!(!world.cluster.nodes.contains_key(&node("bravo")));
    assert!(world.cluster.pools_of(&node("bravo")).next().is_none());
    assert_eq!(world.cluster.count_on(&node("bravo")), 0);
    assert_eq!(world.cluster.tombstones_on(&node("bravo")).count(), 100);
    // They tell what was given up; nobody will honour them, and no number waits for that.
    assert!(
        world.cluster.numbers.keys().all(|key| matches!(key, berth_model::change::NumberKey::Minor { .. })),
        "{:?}",
        world.cluster.numbers
    );
    assert!(world.cluster.tombstones_on(&node("bravo")).all(|tombstone| tombstone.item.wanted() == Wanted::Absent));
}

#[test]
fn connections_are_made_anew_and_evictions_taken_back() {
    let mut world = World::of("");
    let _ = world.give(&plain("one"));
    let reconnect = |name: &str| Command::ReconnectNode { node: name.to_owned() };
    let restore = |name: &str| Command::RestoreNode { node: name.to_owned(), delete_resources: false, delete_snapshots: false };
    let decision = world.give(&reconnect("one"));
    assert_eq!(told(&decision), ["SUCCESS Node 0 Node=one"]);
    assert_eq!(decision.result.unwrap().await_node, Some(node("one")));
    assert_eq!(told(&world.give(&reconnect("two"))), ["ERROR Node 300 Node=two"]);
    assert_eq!(told(&world.give(&restore("one"))), ["ERROR - 0"]);
    assert_eq!(told(&world.give(&restore("two"))), ["ERROR - 300"]);
    let mut evicted = (**world.cluster.nodes.get(&node("one")).unwrap()).clone();
    evicted.flags.set(berth_model::flags::NodeFlag::Evicted);
    world.put(Object::Node(evicted));
    assert_eq!(super::unfinished(&world.cluster).count(), 0, "an evicted node is not being given up");
    assert_eq!(told(&world.give(&reconnect("one"))), ["WARNING Node 1017 Node=one"]);
    let back = world.give(&restore("one"));
    assert_eq!(told(&back), ["SUCCESS Node 0"]);
    assert_eq!(back.result.unwrap().effects, [Effect::Reconnect(node("one"))]);
    assert!(world.cluster.nodes.get(&node("one")).unwrap().flags.is_empty());
    let evacuate = Command::EvacuateNode { node: "one".to_owned(), target: Vec::new(), do_not_target: Vec::new() };
    assert!(world.give(&evacuate).result.is_ok());
    assert_eq!(world.give(&restore("one")).result.unwrap().effects, [], "it was connected all the time");
}
