//! A small export of our own making: every kind of row, the odd ones included.

use berth_model::cluster::Cluster;
use berth_model::flags::{ResourceFlag, VolumeDefinitionFlag};
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName, SnapshotName, VolumeNumber};
use berth_model::plan::ContentSource;
use berth_model::size::Kib;
use serde_json::{Value, json};

use super::*;

const UUID: &str = "0a0b0c0d-0000-4000-8000-0000000000";

fn uuid(n: u8) -> String {
    format!("{UUID}{n:02x}")
}

fn document(tables: Value) -> String {
    let tables: Vec<Value> =
        tables.as_object().unwrap().iter().map(|(name, rows)| json!({ "name": name, "column_description": [], "data": rows })).collect();
    json!({ "linstor_version": "9.9.9", "tables": tables }).to_string()
}

fn props(rows: &[(&str, &str, &str)]) -> Value {
    rows.iter().map(|(path, key, value)| json!({ "props_instance": path, "prop_key": key, "prop_value": value })).collect()
}

/// Two nodes, a replicated definition with a diskless tiebreaker, a snapshot, a key-value store, and what has no place.
fn sample() -> Value {
    json!({
        "NODES": [
            { "uuid": uuid(1), "node_name": "NODE-A", "node_dsp_name": "node-a", "node_flags": 4, "node_type": 3 },
            { "uuid": uuid(2), "node_name": "NODE-B", "node_dsp_name": "node-b", "node_flags": 0, "node_type": 2 },
            { "uuid": uuid(3), "node_name": "CLOUD", "node_dsp_name": "cloud", "node_flags": 0, "node_type": 16 },
        ],
        "NODE_NET_INTERFACES": [
            { "uuid": uuid(4), "node_name": "NODE-A", "node_net_name": "DEFAULT", "node_net_dsp_name": "default", "inet_address": "10.0.0.1",
              "stlt_conn_port": 3366, "stlt_conn_encr_type": "PLAIN" },
            { "uuid": uuid(5), "node_name": "NODE-A", "node_net_name": "FAST", "node_net_dsp_name": "fast", "inet_address": "10.1.0.1",
              "stlt_conn_port": 3367, "stlt_conn_encr_type": "SSL" },
            { "uuid": uuid(6), "node_name": "NODE-A", "node_net_name": "BAD", "node_net_dsp_name": "bad", "inet_address": "nowhere" },
            { "uuid": uuid(7), "node_name": "NODE-B", "node_net_name": "DEFAULT", "node_net_dsp_name": "default", "inet_address": "fd00::2",
              "stlt_conn_port": 3366, "stlt_conn_encr_type": "PLAIN" },
        ],
        "STOR_POOL_DEFINITIONS": [
            { "uuid": uuid(8), "pool_name": "THIN", "pool_dsp_name": "Thin" },
            { "uuid": uuid(9), "pool_name": "DFLTDISKLESSSTORPOOL", "pool_dsp_name": "DfltDisklessStorPool" },
        ],
        "NODE_STOR_POOL": [
            { "uuid": uuid(10), "node_name": "NODE-A", "pool_name": "THIN", "driver_name": "LVM_THIN", "free_space_mgr_name": "NODE-A;THIN", "free_space_mgr_dsp_name": "node-a;Thin" },
            { "uuid": uuid(11), "node_name": "NODE-B", "pool_name": "DFLTDISKLESSSTORPOOL", "driver_name": "DISKLESS", "free_space_mgr_dsp_name": "node-b;DfltDisklessStorPool" },
            { "uuid": uuid(12), "node_name": "CLOUD", "pool_name": "THIN", "driver_name": "EBS_TARGET", "free_space_mgr_dsp_name": "x" },
        ],
        "RESOURCE_GROUPS": [
            { "uuid": uuid(13), "resource_group_name": "FAST", "resource_group_dsp_name": "Fast", "description": "quick ones", "replica_count": 2,
              "node_name_list": "[]", "pool_name": "[\"Thin\"]", "layer_stack": "[\"DRBD\",\"STORAGE\"]", "x_replicas_on_different": "{\"Aux/rack\":1}",
              "allowed_provider_list": "[\"LVM_THIN\"]", "diskless_on_remaining": true, "peer_slots": 4 },
        ],
        "VOLUME_GROUPS": [{ "uuid": uuid(14), "resource_group_name": "FAST", "vlm_nr": 0, "flags": 1 }],
        "RESOURCE_DEFINITIONS": [
            { "uuid": uuid(15), "resource_name": "WEB", "resource_dsp_name": "Web", "snapshot_name": "", "resource_flags": 0,
              "layer_stack": "[\"DRBD\",\"STORAGE\"]", "resource_group_name": "FAST", "resource_external_name": "V2ViIGRhdGEhIMO8" },
            { "uuid": uuid(16), "resource_name": "LOST", "resource_dsp_name": "lost", "snapshot_name": "", "resource_group_name": "NOGROUP" },
            { "uuid": uuid(17), "resource_name": "WEB", "snapshot_name": "MONDAY", "snapshot_dsp_name": "monday", "resource_flags": 257, "resource_group_name": "FAST" },
            { "uuid": uuid(18), "resource_name": "WEB", "snapshot_name": "HALF", "snapshot_dsp_name": "half", "resource_flags": 2, "resource_group_name": "FAST" },
        ],
        "VOLUME_DEFINITIONS": [
            { "uuid": uuid(19), "resource_name": "WEB", "snapshot_name": "", "vlm_nr": 0, "vlm_size": 1048576, "vlm_flags": 32 },
            { "uuid": uuid(20), "resource_name": "WEB", "snapshot_name": "", "vlm_nr": 99999, "vlm_size": 4, "vlm_flags": 0 },
            { "uuid": uuid(21), "resource_name": "WEB", "snapshot_name": "MONDAY", "vlm_nr": 0, "vlm_size": 1048576, "vlm_flags": 2 },
        ],
        "RESOURCES": [
            { "uuid": uuid(22), "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "resource_flags": 0, "create_timestamp": 77 },
            { "uuid": uuid(23), "node_name": "NODE-B", "resource_name": "WEB", "snapshot_name": "", "resource_flags": 388, "create_timestamp": 78 },
            { "uuid": uuid(24), "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "MONDAY", "resource_flags": 0, "create_timestamp": 79 },
            { "uuid": uuid(25), "node_name": "CLOUD", "resource_name": "WEB", "snapshot_name": "", "resource_flags": 0 },
        ],
        "VOLUMES": [{ "uuid": uuid(26), "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "vlm_nr": 0, "vlm_flags": 0 }],
        "LAYER_RESOURCE_IDS": [
            { "layer_resource_id": 0, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "DRBD", "layer_resource_suffix": "" },
            { "layer_resource_id": 1, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "STORAGE", "layer_resource_parent_id": 0, "layer_resource_suffix": "" },
            { "layer_resource_id": 2, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "STORAGE", "layer_resource_parent_id": 0, "layer_resource_suffix": ".meta" },
            { "layer_resource_id": 3, "node_name": "NODE-B", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "DRBD", "layer_resource_suffix": "" },
            { "layer_resource_id": 4, "node_name": "NODE-B", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "STORAGE", "layer_resource_parent_id": 3, "layer_resource_suffix": "" },
            { "layer_resource_id": 5, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "MONDAY", "layer_resource_kind": "DRBD", "layer_resource_suffix": "" },
            { "layer_resource_id": 6, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "MONDAY", "layer_resource_kind": "STORAGE", "layer_resource_parent_id": 5, "layer_resource_suffix": "" },
        ],
        "LAYER_STORAGE_VOLUMES": [
            { "layer_resource_id": 1, "vlm_nr": 0, "provider_kind": "LVM_THIN", "node_name": "NODE-A", "stor_pool_name": "THIN" },
            { "layer_resource_id": 4, "vlm_nr": 0, "provider_kind": "DISKLESS", "node_name": "NODE-B", "stor_pool_name": "DFLTDISKLESSSTORPOOL" },
            { "layer_resource_id": 6, "vlm_nr": 0, "provider_kind": "LVM_THIN", "node_name": "NODE-A", "stor_pool_name": "THIN" },
        ],
        "LAYER_DRBD_RESOURCE_DEFINITIONS": [
            { "resource_name": "WEB", "resource_name_suffix": "", "snapshot_name": "", "peer_slots": 4, "tcp_port": 7005, "transport_type": "IP", "secret": "hush" },
        ],
        "LAYER_DRBD_VOLUME_DEFINITIONS": [
            { "resource_name": "WEB", "resource_name_suffix": "", "snapshot_name": "", "vlm_nr": 0, "vlm_minor_nr": 1005 },
        ],
        "LAYER_DRBD_RESOURCES": [
            { "layer_resource_id": 0, "peer_slots": 4, "node_id": 0, "tcp_port_list": "[7005,7006]" },
            { "layer_resource_id": 3, "peer_slots": 4, "node_id": 1 },
        ],
        "KEY_VALUE_STORE": [{ "uuid": uuid(27), "kvs_name": "NOTES", "kvs_dsp_name": "notes" }],
        "S3_REMOTES": [{ "name": "FAR", "dsp_name": "far", "secret_key": "hidden" }],
        "SEC_TYPES": [{ "type_name": "SYSTEM" }],
        "NODE_CONNECTIONS": [
            { "uuid": uuid(60), "node_name_src": "NODE-A", "node_name_dst": "NODE-B" },
            { "uuid": uuid(61), "node_name_src": "CLOUD", "node_name_dst": "NODE-B" },
        ],
        "RESOURCE_CONNECTIONS": [
            { "uuid": uuid(64), "node_name_src": "NODE-A", "node_name_dst": "NODE-B", "resource_name": "WEB", "snapshot_name": "", "flags": 0, "tcp_port_src": 7300 },
            { "uuid": uuid(65), "node_name_src": "NODE-A", "node_name_dst": "CLOUD", "resource_name": "WEB", "snapshot_name": "", "flags": 0 },
            { "uuid": uuid(66), "node_name_src": "NODE-A", "node_name_dst": "NODE-B", "resource_name": "WEB", "snapshot_name": "MONDAY", "flags": 0 },
        ],
        "FILES": [
            { "uuid": uuid(62), "path": "/etc/x.conf", "content": "eAo=", "alt_suffixes": "WyIuYmFrIl0=" },
            { "uuid": uuid(63), "path": "relative", "content": "eAo=" },
        ],
        "PROPS_CONTAINERS": props(&[
            ("/NODE_CONNS/NODE-A/NODE-B", "Paths/fast/node-a", "fast"),
            ("/RSC_CONNS/NODE-B/NODE-A/WEB", "Aux/link", "slow"),
            ("/CTRL", "Cluster/LocalID", "11111111-2222-4333-8444-555555555555"),
            ("/CTRL", "NetCom/PlainConnector/Port", "3376"),
            ("/CTRL", "TcpPortAutoRange", "7100-7300"),
            ("/CTRL", "encrypted/masterkey", "c2VjcmV0"),
            ("/CTRL", "No/such/key", "1"),
            ("/NODES/NODE-A", "CurStltConnName", "fast"),
            ("/NODES/NODE-A", "Aux/rack", "r1"),
            ("/RSC_DFNS/WEB", "Aux/app", "shop"),
            ("/VLM_DFNS/WEB/0", "DrbdCurrentGi", "60D04C2B2B4C4CCA"),
            ("/RSCS/NODE-A/WEB", "StorPoolName", "Thin"),
            ("/SNAPS_RSC/NODE-A/WEB/MONDAY", "Aux/r", "x"),
            ("/KVS/NOTES", "a/b", "1"),
            ("/RSC_DFNS/GONE", "Aux/x", "1"),
        ]),
    })
}

fn import(tables: Value) -> Imported {
    from_linstor(&document(tables), Timestamp(5), IdSource::new(Timestamp(5), [1; 16])).unwrap()
}

fn folded(imported: &Imported) -> Cluster {
    let mut cluster = Cluster::empty(imported.cluster);
    let changes: Vec<_> = imported.objects.iter().cloned().map(berth_model::change::Change::Put).collect();
    cluster.fold(&changes);
    cluster
}

fn left<'i>(imported: &'i Imported, what: &str) -> &'i str {
    let found = imported.left.iter().find(|left| left.what.contains(what));
    found.map_or_else(|| panic!("nothing is said of {what}: {:#?}", imported.left), |left| left.why.as_str())
}

#[test]
fn objects_keep_their_identity_their_names_and_their_numbers() {
    let imported = import(sample());
    let cluster = folded(&imported);
    let (a, b, web) = (NodeName::parse("node-a").unwrap(), NodeName::parse("node-b").unwrap(), ResourceName::parse("web").unwrap());
    assert_eq!(imported.cluster.to_string(), "11111111-2222-4333-8444-555555555555");
    let node = &cluster.nodes[&a];
    assert_eq!((node.id.to_string(), node.name.as_str(), node.active.as_ref().unwrap().as_str()), (uuid(1), "node-a", "fast"));
    assert_eq!((node.flags.shown(), node.net_interfaces.len()), (vec!["EVACUATE"], 2));
    assert_eq!(cluster.controller.props.get("TcpPortAutoRange"), Some("7100-7300"));
    let group = cluster.groups.values().find(|group| group.name.as_str() == "Fast").unwrap();
    assert_eq!((group.filter.place_count, group.peer_slots, group.filter.diskless_on_remaining), (Some(2), Some(4), Some(true)));
    assert_eq!(group.filter.node_name_list, None, "an empty list stands for none");
    assert!(group.volume_groups[&VolumeNumber::new(0).unwrap()].flags.has(VolumeDefinitionFlag::GrossSize));
    assert!(cluster.groups.values().any(|group| group.name.as_str() == "DfltRscGrp"), "it is made where the export has none");
    let definition = &cluster.definitions[&web];
    assert_eq!((definition.external_name.as_deref(), definition.drbd.secret.as_str()), (Some("Web data! ü"), "hush"));
    assert_eq!(
        definition.volumes.values().map(|volume| (volume.size_kib, volume.minor)).collect::<Vec<_>>(),
        [(Kib(1_048_576), Some(1005))]
    );
    let replica = cluster.resource(&web, &a).unwrap();
    let volume = &replica.volumes[&VolumeNumber::new(0).unwrap()];
    assert_eq!((replica.layers.as_slice(), replica.created), (&[LayerKind::Drbd, LayerKind::Storage][..], Timestamp(77)));
    assert_eq!((volume.provider, volume.backing.as_str(), volume.pool.as_str()), (ProviderKind::LvmThin, "Web_00000", "Thin"));
    assert_eq!(volume.backing_kib, Kib(1_052_672), "with DRBD's metadata for 4 peers, in extents of 4 MiB");
    assert_eq!(volume.content.source, ContentSource::Kept, "nothing is made in place of what was there");
    assert_eq!(replica.drbd.as_ref().map(|drbd| (drbd.node_id, drbd.ports.clone())), Some((0, vec![7005, 7006])));
    let tie = cluster.resource(&web, &b).unwrap();
    assert!(tie.flags.has(ResourceFlag::TieBreaker) && tie.flags.has(ResourceFlag::Diskless));
    assert_eq!(
        tie.drbd.as_ref().map(|drbd| (drbd.node_id, drbd.ports.clone())),
        Some((1, vec![7005])),
        "the definition's port, where it has none"
    );
    let snapshot = cluster.snapshot(&web, &SnapshotName::parse("monday").unwrap()).unwrap();
    assert_eq!(snapshot.flags.shown(), ["SUCCESSFUL", "AUTO_SNAPSHOT"]);
    let copy = &snapshot.copies[&a];
    assert_eq!((copy.created, copy.resource_props.get("Aux/r")), (Some(Timestamp(79)), Some("x")));
    assert_eq!(copy.volumes[&VolumeNumber::new(0).unwrap()].source, volume.id);
    assert_eq!(cluster.stores.values().next().unwrap().props["a/b"], "1");
    let numbers = ["minor/1005", "port/NODE-A/7005", "port/NODE-A/7006", "port/NODE-B/7005", "node-id/WEB/0", "node-id/WEB/1"];
    for key in numbers {
        assert!(cluster.numbers.contains_key(&berth_model::change::NumberKey::parse(key).unwrap()), "{key} is not claimed");
    }
    assert_eq!(cluster.numbers.len(), numbers.len());
    let counts = |kind: &str| imported.counts.get(kind).copied().unwrap_or(0);
    assert_eq!((counts("node"), counts("storage-pool"), counts("resource"), counts("snapshot"), counts("volume")), (2, 2, 2, 1, 2));
}

#[test]
fn what_is_not_taken_is_told_and_no_secret_with_it() {
    let imported = import(sample());
    assert!(left(&imported, "node cloud").contains("special satellite"));
    assert!(left(&imported, "net interface bad").contains("nowhere"));
    assert!(left(&imported, "resource definition lost").contains("NOGROUP"));
    assert!(left(&imported, "snapshot half").contains("not finished"));
    assert!(left(&imported, "storage pool THIN of node CLOUD").contains("not taken"));
    assert!(left(&imported, "resource WEB on node CLOUD").contains("not taken"));
    assert!(left(&imported, "volume definition of WEB").contains("makes no sense"));
    assert!(left(&imported, "S3_REMOTES: far").contains("not built"));
    assert!(left(&imported, "SEC_TYPES").contains("older design"));
    assert!(left(&imported, "property No/such/key of /CTRL").contains("No/such/key"));
    assert!(left(&imported, "/RSC_DFNS/GONE").contains("not taken"));
    assert!(left(&imported, "encrypted/masterkey").contains("create-passphrase"));
    assert!(left(&imported, "connection of nodes CLOUD and NODE-B").contains("two nodes"));
    assert!(left(&imported, "file relative").contains("relative"));
    assert!(left(&imported, "connection of resource WEB between nodes NODE-A and CLOUD").contains("two replicas"));
    assert!(left(&imported, "ports of the connection of resource WEB").contains("its own"));
    let made = folded(&imported);
    let web = ResourceName::parse("web").unwrap();
    let connections: Vec<_> =
        made.connections_of(&web).map(|one| (one.id.to_string(), one.props.get("Aux/link").map(str::to_owned))).collect();
    assert_eq!(connections, [(uuid(64), Some("slow".to_owned()))]);
    assert_eq!(made.node_connections.values().next().unwrap().props.get("Paths/fast/node-a"), Some("fast"));
    let file = made.files.values().next().unwrap();
    assert_eq!(
        (file.path.as_str(), file.content.as_str(), file.alt_suffixes.as_slice()),
        ("/etc/x.conf", "eAo=", [".bak".to_owned()].as_slice())
    );
    let told = format!("{:?}", imported.left);
    assert!(!told.contains("c2VjcmV0") && !told.contains("hidden") && !told.contains("hush"));
}

#[test]
fn a_number_that_two_objects_claim_is_the_first_ones() {
    let mut tables = sample();
    tables["VOLUME_DEFINITIONS"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "uuid": uuid(40), "resource_name": "WEB", "snapshot_name": "", "vlm_nr": 1, "vlm_size": 8192, "vlm_flags": 0 }));
    tables["LAYER_DRBD_VOLUME_DEFINITIONS"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "resource_name": "WEB", "resource_name_suffix": "", "snapshot_name": "", "vlm_nr": 1, "vlm_minor_nr": 1005 }));
    let imported = import(tables);
    assert!(left(&imported, "minor 1005").contains("Another"));
    let cluster = folded(&imported);
    let minors: Vec<_> = cluster.definitions[&ResourceName::parse("web").unwrap()].volumes.values().map(|volume| volume.minor).collect();
    assert_eq!(minors, [Some(1005), None]);
}

#[test]
fn what_is_no_export_is_refused_with_the_way_to_make_one() {
    let ids = || IdSource::new(Timestamp(0), [0; 16]);
    let read = |text: &str| from_linstor(text, Timestamp(0), ids()).unwrap_err();
    assert!(matches!(read("no"), ImportError::NotJson(_)));
    for text in ["[]", "{}", r#"{"tables":3}"#, r#"{"tables":[3]}"#, r#"{"tables":[{"name":"NODES","data":[1]}]}"#, r#"{"tables":[]}"#] {
        assert!(matches!(read(text), ImportError::NotAnExport(_)), "{text}");
        assert!(read(text).correction().contains("export-db"));
    }
    let mut tables = sample();
    tables["NODE_NET_INTERFACES"] = json!([]);
    assert!(matches!(read(&document(tables)), ImportError::NoNode(_)));
}

#[test]
fn layers_that_stand_in_a_circle_end() {
    let mut tables = sample();
    let rows = tables["LAYER_RESOURCE_IDS"].as_array_mut().unwrap();
    rows[1]["layer_resource_parent_id"] = json!(1);
    rows.push(json!({ "layer_resource_id": 0, "node_name": "NODE-A", "resource_name": "WEB", "snapshot_name": "", "layer_resource_kind": "DRBD", "layer_resource_parent_id": 0, "layer_resource_suffix": "" }));
    assert!(left(&import(tables), "resource WEB on node NODE-A").contains("STORAGE"));
}

proptest::proptest! {
    /// Whatever stands in a row, an import ends, and what it makes folds into a cluster that answers for each object once.
    #[test]
    fn rows_of_nonsense_do_no_harm(seed in proptest::collection::vec((0usize..400, 0u8..6), 0..12)) {
        let mut tables = sample();
        for (at, what) in seed {
            let mut cells: Vec<&mut Value> = tables
                .as_object_mut()
                .unwrap()
                .values_mut()
                .flat_map(|rows| rows.as_array_mut().unwrap().iter_mut())
                .flat_map(|row| row.as_object_mut().unwrap().values_mut())
                .collect();
            let count = cells.len();
            let value = match what {
                0 => Value::Null,
                1 => json!(-1),
                2 => json!(u64::MAX),
                3 => json!(""),
                4 => json!("x".repeat(300)),
                _ => json!(["[", {}]),
            };
            *cells[at % count] = value;
        }
        let read = from_linstor(&document(tables), Timestamp(5), IdSource::new(Timestamp(5), [1; 16]));
        if let Ok(imported) = read {
            let cluster = folded(&imported);
            let keys: std::collections::BTreeSet<_> = imported.objects.iter().map(Object::key).collect();
            proptest::prop_assert_eq!(keys.len(), imported.objects.len(), "an object stands there twice");
            for replica in cluster.resources.values().flat_map(|replicas| replicas.values()) {
                proptest::prop_assert!(cluster.nodes.contains_key(&replica.node) && cluster.definitions.contains_key(&replica.name));
            }
        }
    }
}
