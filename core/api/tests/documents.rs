//! Documents: what clients send is read, what is empty is left out.

use std::collections::BTreeMap;

use berth_api::definition::{ResourceDefinitionCreate, ResourceDefinitionModify, VolumeDefinitionCreate};
use berth_api::group::{AutoSelectFilter, ResourceGroup, ResourceGroupIn, ResourceGroupSpawn};
use berth_api::lenient::{Flag, Int, Text};
use berth_api::node::{NetInterface, NodeCreate, PropsModify};
use berth_api::reply::ApiCallRc;
use berth_api::resource::{LayerObject, ResourceCreate, ResourceState, StorageResource};
use berth_api::settings::{ErrorReport, KeyValueStore};
use berth_api::snapshot::{SnapshotIn, SnapshotRestore};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn written<T: Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("plain documents are written")
}

#[test]
fn a_document_without_members_and_one_with_nulls_are_the_same() {
    fn same<T: DeserializeOwned + Default + std::fmt::Debug>(nulls: &str) {
        let default = format!("{:?}", T::default());
        assert_eq!(format!("{:?}", read::<T>("{}")), default);
        assert_eq!(format!("{:?}", read::<T>(nulls)), default, "{nulls}");
    }
    same::<NodeCreate>(r#"{"name":null,"type":null,"net_interfaces":null,"props":null,"flags":[],"unknown":{"a":[1]}}"#);
    same::<PropsModify>(r#"{"override_props":null,"delete_props":null,"delete_namespaces":null}"#);
    same::<ResourceGroupIn>(r#"{"select_filter":null,"override_props":null,"description":null}"#);
    same::<ResourceGroupSpawn>(r#"{"volume_sizes":null,"partial":null,"select_filter":null}"#);
    same::<ResourceDefinitionCreate>(r#"{"resource_definition":null,"drbd_port":null}"#);
    same::<ResourceDefinitionModify>(r#"{"layer_stack":null,"override_props":null}"#);
    same::<ResourceCreate>(r#"{"resource":null,"layer_list":null,"drbd_tcp_ports":null}"#);
    same::<SnapshotIn>(r#"{"nodes":null,"snapshots":null}"#);
    same::<SnapshotRestore>(r#"{"stor_pool_rename":null}"#);
}

#[test]
fn scalars_are_read_beside_flattened_members() {
    let modify: ResourceDefinitionModify = read(
        r#"{"drbd_peer_slots":"7","layer_stack":["drbd"],"override_props":{"Aux/vmid":100,"Aux/on":true,"Aux/ratio":1.5},"delete_props":[7]}"#,
    );
    assert_eq!(modify.drbd_peer_slots, Some(Int(7)));
    let props = modify.props.override_props.expect("they were sent");
    let texts: Vec<_> = props.iter().map(|(key, value)| (key.as_str(), value.0.as_str())).collect();
    assert_eq!(texts, [("Aux/on", "true"), ("Aux/ratio", "1.5"), ("Aux/vmid", "100")]);
    assert_eq!(modify.props.delete_props, Some(vec![Text("7".into())]));

    let create: VolumeDefinitionCreate =
        read(r#"{"volume_definition":{"size_kib":"204800","volume_number":0.0},"drbd_minor_number":1000}"#);
    let volume = create.volume_definition.expect("it was sent");
    assert_eq!((volume.size_kib, volume.volume_number), (Some(Int(204_800)), Some(Int(0))));

    let spawn: ResourceGroupSpawn = read(r#"{"volume_sizes":["1",2.9],"partial":"True","definitions_only":"no"}"#);
    assert_eq!(spawn.volume_sizes, Some(vec![Int(1), Int(2)]));
    assert_eq!((spawn.partial, spawn.definitions_only), (Some(Flag(true)), Some(Flag(false))));
}

#[test]
fn a_filter_tells_absent_from_empty() {
    let filter = read::<ResourceGroupIn>(r#"{"select_filter":{"storage_pool_list":[],"node_name_list":null,"place_count":0}}"#)
        .select_filter
        .expect("it was sent");
    assert_eq!(filter.storage_pool_list, Some(Vec::new()), "an empty list clears");
    assert_eq!((filter.node_name_list, filter.replicas_on_same), (None, None), "null and absent inherit");
    assert_eq!(filter.place_count, Some(Int(0)));
    for name in ["x_replicas_on_different", "x_replicas_on_different_map"] {
        let filter: ResourceGroupIn = read(&format!(r#"{{"select_filter":{{"{name}":{{"Aux/row":"2"}}}}}}"#));
        let map = filter.select_filter.and_then(|filter| filter.x_replicas_on_different_map);
        assert_eq!(map, Some(BTreeMap::from([("Aux/row".to_owned(), Int(2))])), "{name}");
    }
}

#[test]
fn wrong_types_are_refused_with_the_place() {
    for (text, word) in [
        (r#"{"name":["a"]}"#, "text"),
        (r#"{"net_interfaces":{"name":"a"}}"#, "sequence"),
        (r#"{"net_interfaces":[{"satellite_port":"http"}]}"#, "integer"),
        (r#"{"net_interfaces":[{"is_active":"perhaps"}]}"#, "true or false"),
        (r#"{"props":{"a":{}}}"#, "text"),
        (r#"{"name":"a""#, "EOF"),
    ] {
        let error = serde_json::from_str::<NodeCreate>(text).expect_err(text).to_string();
        assert!(error.contains(word) && error.contains("line 1 column"), "{text}: {error}");
    }
}

#[test]
fn what_is_empty_is_left_out_and_zero_and_false_stay() {
    assert_eq!(written(&ApiCallRc { ret_code: -1, ..ApiCallRc::default() }), r#"{"ret_code":-1}"#);
    let interface = NetInterface {
        name: "default".into(),
        address: "10.0.0.1".into(),
        satellite_port: None,
        satellite_encryption_type: None,
        is_active: false,
        uuid: "u".into(),
    };
    assert_eq!(written(&interface), r#"{"name":"default","address":"10.0.0.1","is_active":false,"uuid":"u"}"#);
    let group = ResourceGroup {
        name: "g1".into(),
        description: String::new(),
        props: BTreeMap::new(),
        select_filter: AutoSelectFilter { place_count: Some(0), diskless_on_remaining: Some(false), ..AutoSelectFilter::default() },
        uuid: "u".into(),
    };
    assert_eq!(written(&group), r#"{"name":"g1","select_filter":{"place_count":0,"diskless_on_remaining":false},"uuid":"u"}"#);
    let store = KeyValueStore { name: "s1".into(), props: BTreeMap::from([("a".to_owned(), String::new())]) };
    assert_eq!(written(&store), r#"{"name":"s1","props":{"a":""}}"#, "values of properties may be empty");
    let report = ErrorReport { node_name: "n1".into(), ..ErrorReport::default() };
    let text = written(&report);
    assert!(text.contains(r#""error_time":0"#) && !text.contains("origin_line"), "{text}");
}

#[test]
fn objects_without_members_stay() {
    assert_eq!(written(&ResourceState::default()), "{}");
    let layer =
        LayerObject { children: Vec::new(), kind: "STORAGE", drbd: None, storage: Some(StorageResource { storage_volumes: Vec::new() }) };
    assert_eq!(written(&layer), r#"{"type":"STORAGE","storage":{}}"#);
}
