//! What requests about connections answer and keep.

use berth_model::change::Object;
use berth_model::ids::Id;
use berth_model::names::NetIfName;
use berth_model::objects::NetIf;
use berth_model::time::Timestamp;
use uuid::Uuid;

use super::*;
use crate::testkit::{World, node, resource, told};

fn set(pairs: &[(&str, &str)]) -> PropChange {
    PropChange::set(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

fn nodes(one: &str, other: &str, props: PropChange) -> Command {
    Command::ModifyNodeConnection { node_a: one.to_owned(), node_b: other.to_owned(), props }
}

fn replicas(name: &str, one: &str, other: &str, props: PropChange) -> Command {
    Command::ModifyResourceConnection { resource: name.to_owned(), node_a: one.to_owned(), node_b: other.to_owned(), props }
}

/// Three nodes with a net interface each, `web` on two of them.
fn world() -> World {
    let mut world = World::of(
        "node alpha +DRBD; node bravo +DRBD; node charlie; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; \
         group two STORAGE 2 thin",
    );
    for name in ["alpha", "bravo", "charlie"] {
        let mut with = (**world.cluster.nodes.get(&node(name)).unwrap()).clone();
        with.net_interfaces.push(NetIf {
            id: Id::from_uuid(Uuid::nil()),
            name: NetIfName::parse("default").unwrap(),
            address: "10.0.0.1".parse().unwrap(),
            satellite: None,
        });
        world.put(Object::Node(with));
    }
    let spawn = Command::SpawnResource {
        group: "two".to_owned(),
        name: Some("web".to_owned()),
        external_name: None,
        volume_sizes: vec![8192],
        partial: false,
        definitions_only: false,
        filter: Default::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    };
    assert!(world.give(&spawn).result.is_ok());
    world
}

#[test]
fn a_pair_of_nodes_has_one_entry_in_any_order_and_only_while_it_says_something() {
    let mut world = world();
    let named = |first: &str, second: &str| format!("FirstNode={first} SecondNode={second}");
    let (ab, ba) = (named("alpha", "bravo"), named("bravo", "alpha"));
    let created = |refs: &str| [format!("SUCCESS NodeConnection 1 {refs}"), format!("SUCCESS NodeConnection 3 {refs}")];
    assert_eq!(told(&world.give(&nodes("alpha", "bravo", set(&[("Aux/link", "10g")])))), created(&ab));
    assert_eq!(told(&world.give(&nodes("bravo", "ALPHA", set(&[("Aux/zone", "x")])))), created(&ba.replace("alpha", "ALPHA")));
    assert_eq!(world.cluster.node_connections.len(), 1);
    let only = world.cluster.node_connections.values().next().unwrap().clone();
    assert_eq!((only.nodes.first().as_str(), only.props.len()), ("alpha", 2));
    let away = PropChange { delete_namespaces: vec!["Aux".to_owned()], ..PropChange::default() };
    assert!(world.give(&nodes("alpha", "bravo", away)).result.is_ok());
    assert!(world.cluster.node_connections.is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut world = world();
    let code = |world: &mut World, command: &Command| {
        let refused = world.give(command).result.unwrap_err();
        assert!(!refused.replies[0].correction.is_empty(), "{refused:?}");
        refused.replies[0].code.number()
    };
    let good = || set(&[("Aux/x", "y")]);
    for (command, expected) in [
        (nodes("alpha", "none", good()), 300),
        (nodes("x", "alpha", good()), 200),
        (nodes("alpha", "Alpha", good()), 234),
        (nodes("alpha", "bravo", set(&[("Bogus", "1")])), 213),
        (nodes("alpha", "bravo", set(&[("Paths/p/alpha", "nosuchif")])), 213),
        (nodes("alpha", "bravo", set(&[("Paths/p/charlie", "default")])), 213),
        (nodes("alpha", "bravo", set(&[("Aux/x", "y"), ("Paths/p/alpha", "nosuchif")])), 213),
        (replicas("none", "alpha", "bravo", good()), 301),
        (replicas("web", "alpha", "none", good()), 300),
        (replicas("web", "alpha", "charlie", good()), 302),
        (replicas("web", "alpha", "alpha", good()), 234),
        (replicas("web", "alpha", "bravo", set(&[("Bogus", "1")])), 213),
    ] {
        assert_eq!(code(&mut world, &command), expected, "{command:?}");
    }
    assert!(world.cluster.node_connections.is_empty() && world.cluster.resource_connections.is_empty());
}

#[test]
fn a_path_needs_both_ends() {
    let mut world = world();
    let half = told(&world.give(&nodes("alpha", "bravo", set(&[("Paths/p1/alpha", "default")]))));
    assert!(half.iter().any(|entry| entry.starts_with("WARNING NodeConnection 3001")), "{half:?}");
    let whole = told(&world.give(&nodes("alpha", "bravo", set(&[("Paths/p1/bravo", "default")]))));
    assert!(!whole.iter().any(|entry| entry.contains(" 3001")), "{whole:?}");
}

#[test]
fn connections_go_with_what_they_connect() {
    let mut world = world();
    assert!(world.give(&replicas("web", "alpha", "bravo", set(&[("Aux/x", "y")]))).result.is_ok());
    for other in ["bravo", "charlie"] {
        assert!(world.give(&nodes("alpha", other, set(&[("Aux/x", "y")]))).result.is_ok());
    }
    assert_eq!(world.cluster.connections_of(&resource("web")).count(), 1);
    let alpha = std::sync::Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
    alpha.status = berth_model::observed::ConnectionStatus::Offline;
    let lose = Command::LoseNode { node: "alpha".to_owned() };
    assert!(world.give(&lose).result.is_ok());
    for _ in 0..5 {
        let open: Vec<_> = world.cluster.jobs.keys().copied().collect();
        let ids = world.ids();
        let changes = crate::jobs::advance(&world.cluster, &world.observed, Timestamp(0), ids, open).changes;
        world.cluster.fold(&changes);
        world.cluster.serial += 1;
    }
    assert!(!world.cluster.nodes.contains_key(&node("alpha")));
    assert!(world.cluster.node_connections.is_empty(), "{:?}", world.cluster.node_connections);
    assert!(world.cluster.resource_connections.is_empty());
}
