//! The old form of machine output: one object with a list under an old name, flat members, properties as lists of pairs.

use serde_json::{Map, Value, json};

use super::properties;
use crate::plan::View;
use crate::value::{flagged, items, text};

/// A list document in the old form; `None` where the old form is the document itself.
pub fn flatten(view: &View, document: &Value) -> Option<Value> {
    let rows = crate::value::rows(document);
    let each = |shape: fn(&Value) -> Value| Value::Array(rows.iter().map(shape).collect());
    Some(match view {
        View::Nodes => json!({"nodes": each(node)}),
        View::Pools => json!({"stor_pools": each(pool)}),
        View::PoolDefinitions => json!({"stor_pool_dfns": each(pool_definition)}),
        View::Definitions | View::VolumeDefinitions => json!({"rsc_dfns": each(definition)}),
        View::Resources | View::Volumes => json!({"resources": each(resource), "resource_states": each(resource_state)}),
        View::Groups => json!({"rsc_grps": rows}),
        View::VolumeGroups => json!({"vlm_grps": rows}),
        View::Snapshots => json!({"snapshot_dfns": each(snapshot)}),
        View::NodeInfo
        | View::NodeTree
        | View::Interfaces(_)
        | View::Involved { .. }
        | View::Props(_)
        | View::KeyValues
        | View::KeyValue(_)
        | View::ErrorReports
        | View::PhysicalStorage
        | View::Remotes
        | View::Fields(_)
        | View::Backups
        | View::BackupFiles
        | View::BackupQueue
        | View::Schedules
        | View::SchedulesByResource
        | View::SpaceReport
        | View::Tokens
        | View::Version
        | View::MaxVolumeSize
        | View::SizeInfo
        | View::NodeConnections
        | View::ResourceConnections
        | View::Paths
        | View::Files
        | View::FileContent => return None,
    })
}

/// Copies the members that exist, under their old names.
fn renamed(from: &Value, names: &[(&str, &str)]) -> Map<String, Value> {
    names.iter().filter_map(|(new, old)| from.get(new).map(|value| ((*old).to_owned(), value.clone()))).collect()
}

fn props(row: &Value) -> Value {
    properties(row, Some("props")).into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

fn node(row: &Value) -> Value {
    let mut out = renamed(
        row,
        &[("name", "name"), ("type", "type"), ("uuid", "uuid"), ("connection_status", "connection_status"), ("flags", "flags")],
    );
    let interfaces = items(row, "net_interfaces").iter().map(|interface| {
        Value::Object(renamed(
            interface,
            &[
                ("name", "name"),
                ("address", "address"),
                ("uuid", "uuid"),
                ("satellite_port", "stlt_port"),
                ("satellite_encryption_type", "stlt_encryption_type"),
            ],
        ))
    });
    out.insert("net_interfaces".to_owned(), interfaces.collect());
    out.insert("props".to_owned(), props(row));
    Value::Object(out)
}

fn pool(row: &Value) -> Value {
    let mut out = renamed(
        row,
        &[
            ("storage_pool_name", "stor_pool_name"),
            ("uuid", "stor_pool_uuid"),
            ("node_name", "node_name"),
            ("free_space_mgr_name", "free_space_mgr_name"),
        ],
    );
    let kind = text(row, "provider_kind");
    out.insert("driver".to_owned(), json!(if kind.is_empty() { String::new() } else { format!("{kind}_driver") }));
    out.insert("provider_kind".to_owned(), json!(kind));
    let traits = properties(row, Some("static_traits")).into_iter().map(|(key, value)| json!({"key": key, "value": value}));
    out.insert("static_traits".to_owned(), traits.collect());
    out.insert("props".to_owned(), props(row));
    if row.get("free_capacity").is_some() {
        let space = renamed(
            row,
            &[("storage_pool_name", "stor_pool_name"), ("free_capacity", "free_capacity"), ("total_capacity", "total_capacity")],
        );
        out.insert("free_space".to_owned(), Value::Object(space));
    }
    Value::Object(out)
}

fn pool_definition(row: &Value) -> Value {
    let mut out = renamed(row, &[("storage_pool_name", "stor_pool_name"), ("uuid", "uuid")]);
    out.insert("props".to_owned(), props(row));
    Value::Object(out)
}

fn definition(row: &Value) -> Value {
    let mut out =
        renamed(row, &[("name", "rsc_name"), ("uuid", "rsc_dfn_uuid"), ("flags", "rsc_dfn_flags"), ("external_name", "external_name")]);
    out.insert("rsc_dfn_props".to_owned(), props(row));
    if let Some(data) = items(row, "layer_data").iter().find(|layer| text(layer, "type") == "DRBD").and_then(|layer| layer.get("data")) {
        out.extend(renamed(data, &[("port", "rsc_dfn_port"), ("secret", "rsc_dfn_secret")]));
    }
    let volumes = items(row, "volume_definitions").iter().map(|volume| {
        let mut out =
            renamed(volume, &[("volume_number", "vlm_nr"), ("size_kib", "vlm_size"), ("uuid", "vlm_dfn_uuid"), ("flags", "vlm_flags")]);
        if let Some(data) =
            items(volume, "layer_data").iter().find(|layer| text(layer, "type") == "DRBD").and_then(|layer| layer.get("data"))
        {
            out.extend(renamed(data, &[("minor_number", "vlm_minor")]));
        }
        out.insert("vlm_props".to_owned(), props(volume));
        Value::Object(out)
    });
    out.insert("vlm_dfns".to_owned(), volumes.collect());
    Value::Object(out)
}

fn resource(row: &Value) -> Value {
    let mut out = renamed(row, &[("name", "name"), ("node_name", "node_name"), ("uuid", "uuid"), ("flags", "rsc_flags")]);
    out.insert("props".to_owned(), props(row));
    let volumes = items(row, "volumes").iter().map(|volume| {
        let mut out = renamed(
            volume,
            &[
                ("volume_number", "vlm_nr"),
                ("storage_pool_name", "stor_pool_name"),
                ("device_path", "device_path"),
                ("allocated_size_kib", "allocated_size"),
                ("uuid", "vlm_uuid"),
            ],
        );
        if let Some(minor) = super::states::minor(volume).parse::<u64>().ok().filter(|_| !flagged(row, "DELETE")) {
            out.insert("vlm_minor_nr".to_owned(), json!(minor));
        }
        let backing = items(volume, "layer_data_list")
            .last()
            .and_then(|layer| layer.get("data"))
            .map(|data| text(data, "device_path"))
            .unwrap_or_default();
        out.insert("backing_disk".to_owned(), json!(backing));
        Value::Object(out)
    });
    out.insert("vlms".to_owned(), volumes.collect());
    Value::Object(out)
}

fn resource_state(row: &Value) -> Value {
    let mut out = renamed(row, &[("name", "rsc_name"), ("node_name", "node_name")]);
    if let Some(state) = row.get("state") {
        out.extend(renamed(state, &[("in_use", "in_use")]));
    }
    let volumes = items(row, "volumes").iter().map(|volume| {
        let mut out = renamed(volume, &[("volume_number", "vlm_nr")]);
        if let Some(state) = volume.get("state") {
            out.extend(renamed(state, &[("disk_state", "disk_state")]));
        }
        Value::Object(out)
    });
    out.insert("vlm_states".to_owned(), volumes.collect());
    Value::Object(out)
}

fn snapshot(row: &Value) -> Value {
    let mut out =
        renamed(row, &[("name", "snapshot_name"), ("resource_name", "rsc_name"), ("uuid", "uuid"), ("flags", "snapshot_dfn_flags")]);
    let volumes = items(row, "volume_definitions")
        .iter()
        .map(|volume| Value::Object(renamed(volume, &[("volume_number", "vlm_nr"), ("size_kib", "vlm_size")])));
    out.insert("snapshot_vlm_dfns".to_owned(), volumes.collect());
    let copies = items(row, "nodes").iter().map(|node| json!({"node_name": node}));
    out.insert("snapshots".to_owned(), copies.collect());
    Value::Object(out)
}
