//! What requests about the cluster's properties and key-value stores answer and change.

use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, IdSource};
use berth_model::names::{KvsName, ResourceGroupName};
use berth_model::props::PropChange;
use berth_model::time::Timestamp;
use uuid::Uuid;

use crate::command::Command;
use crate::testkit::{World, told};

fn set(props: &[(&str, &str)]) -> Command {
    let props = props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Command::ModifyController { props: PropChange::set(props) }
}

#[test]
fn each_key_of_the_cluster_has_an_entry() {
    let mut world = World::of("");
    let (made, gone) = ("SUCCESS Controller 1", "SUCCESS Controller 2");
    assert_eq!(told(&world.give(&set(&[("Aux/cluster", "lab"), ("MaxOversubscriptionRatio", "5")]))), [made, made]);
    assert_eq!(told(&world.give(&set(&[("TcpPortAutoRange", "7100-7200")]))), ["SUCCESS Controller 3", made]);
    assert_eq!(told(&world.give(&set(&[("DrbdOptions/Net/ping-timeout", "10")]))), [made, "WARNING Controller 1015"]);
    assert_eq!(told(&world.give(&set(&[("ExtCmdWaitTimeout", "30000")]))), ["WARNING Controller 4000", made, "WARNING Controller 1015"]);
    for (key, value, code) in
        [("Bogus", "1", 213), ("Cluster/LocalID", "x", 213), ("MinorNrAutoRange", "x", 213), ("TcpPortAutoRange", "7200-7100", 215)]
    {
        let refused = world.give(&set(&[("Aux/other", "1"), (key, value)])).result.unwrap_err();
        assert_eq!(refused.replies[0].code.number(), code, "{key}");
    }
    assert!(!world.cluster.controller.props.contains("Aux/other"), "all or nothing");
    let delete = |key: &str| Command::DeleteControllerProperty { key: key.to_owned() };
    assert_eq!(told(&world.give(&delete("TcpPortAutoRange"))), [gone]);
    assert_eq!(told(&world.give(&delete("TcpPortAutoRange"))), [gone], "unset is as good as removed");
    assert_eq!(told(&world.give(&delete("Bogus"))), ["ERROR Controller 213"]);
    let keys = ["Aux/cluster", "ExtCmdWaitTimeout", "ExtCmd/WaitTimeout"].map(str::to_owned).to_vec();
    let change = PropChange { delete_props: keys, ..PropChange::default() };
    assert_eq!(told(&world.give(&Command::ModifyController { props: change })), [gone, gone, gone]);
    assert!(world.give(&set(&[])).result.unwrap().changes.is_empty());
}

#[test]
fn stores_come_with_their_first_key_and_go_with_their_last() {
    let mut world = World::of("");
    let modify = |name: &str, set: &[(&str, &str)], delete: &[&str], namespaces: &[&str]| Command::ModifyKeyValueStore {
        name: name.to_owned(),
        expected: [].into(),
        override_props: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        delete_props: delete.iter().map(|key| (*key).to_owned()).collect(),
        delete_namespaces: namespaces.iter().map(|key| (*key).to_owned()).collect(),
    };
    let delete = |name: &str| Command::DeleteKeyValueStore { name: name.to_owned() };
    let written = ["SUCCESS Controller 3"];
    let (name, other) = (KvsName::parse("__gui__settings").unwrap(), KvsName::parse("kv_empty").unwrap());
    assert_eq!(told(&world.give(&modify(name.as_str(), &[("a", "1"), ("dir/b", "2"), ("Bogus key", "")], &[], &[]))), written);
    assert_eq!(world.cluster.stores.get(&name).unwrap().props.len(), 3);
    assert_eq!(told(&world.give(&modify(name.as_str(), &[], &["a", "nosuch"], &["dir"]))), written);
    assert_eq!(told(&world.give(&modify("__GUI__SETTINGS", &[], &["Bogus key"], &[]))), written);
    assert!(world.cluster.stores.is_empty());
    assert_eq!(told(&world.give(&modify(other.as_str(), &[], &[], &[]))), written);
    assert!(world.cluster.stores.is_empty());
    let _ = world.give(&modify("kv_one", &[("a", "1")], &[], &[]));
    assert_eq!(told(&world.give(&delete("kv_one"))), ["SUCCESS - 2"]);
    assert_eq!(told(&world.give(&delete("kv_one"))), ["WARNING - 3000"]);
    assert_eq!(told(&world.give(&delete("!"))), ["ERROR - 223"]);
    assert_eq!(told(&world.give(&modify("k", &[("a", "1")], &[], &[]))), ["ERROR - 223"]);
}

#[test]
fn a_key_is_written_only_if_it_is_as_expected() {
    let mut world = World::of("");
    let write = |expected: Option<&str>, value: &str| Command::ModifyKeyValueStore {
        name: "lease".to_owned(),
        expected: [("owner".to_owned(), expected.map(str::to_owned))].into(),
        override_props: [("owner".to_owned(), value.to_owned())].into(),
        delete_props: Vec::new(),
        delete_namespaces: Vec::new(),
    };
    let (written, busy) = (["SUCCESS Controller 3"], ["ERROR - 992"]);
    assert_eq!(told(&world.give(&write(Some("x"), "a"))), busy, "it is not set");
    assert_eq!(told(&world.give(&write(None, "a"))), written);
    assert_eq!(told(&world.give(&write(None, "b"))), busy, "it is set by now");
    assert_eq!(told(&world.give(&write(Some("b"), "c"))), busy);
    assert_eq!(told(&world.give(&write(Some("a"), "c"))), written);
    let store = world.cluster.stores.get(&KvsName::parse("lease").unwrap()).unwrap();
    assert_eq!(store.props.get("owner").map(String::as_str), Some("c"));
}

#[test]
fn an_empty_cluster_begins_with_what_is_always_there() {
    let id = Id::from_uuid(Uuid::from_u128(7));
    let changes: Vec<Change> = super::first_objects(id, &mut IdSource::new(Timestamp(1), [3; 16])).into_iter().map(Change::Put).collect();
    let mut cluster = Cluster::empty(id);
    cluster.fold(&changes);
    assert_eq!(cluster.controller.props.get("Cluster/LocalID"), Some(id.to_string().as_str()));
    assert_eq!(cluster.pool_definitions.len(), 2);
    let group = cluster.groups.get(&ResourceGroupName::parse("DfltRscGrp").unwrap()).unwrap();
    assert_eq!(group.filter.place_count, Some(2));
    assert!(
        changes
            .iter()
            .all(|change| matches!(change, Change::Put(Object::Controller(_) | Object::ResourceGroup(_) | Object::StorPoolDfn(_))))
    );
}
