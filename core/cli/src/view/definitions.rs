//! Resource groups, volume groups, resource definitions and volume definitions.

use serde_json::Value;

use super::states::minor;
use super::with_props;
use crate::plan::Look;
use crate::table::{Cell, Table, Tone};
use crate::value::{count, flagged, items, shown, text, texts};

/// `volume_groups` holds the volume groups of each row, as far as they were read.
pub fn groups(rows: &[Value], volume_groups: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["ResourceGroup", "SelectFilter", "VlmNrs", "Description"]);
    for (at, row) in rows.iter().enumerate() {
        let numbers: Vec<String> =
            volume_groups.get(at).and_then(Value::as_array).into_iter().flatten().map(|group| shown(group, "volume_number")).collect();
        table.rows.push(vec![
            text(row, "name").into(),
            row.get("select_filter").map(filter_text).unwrap_or_default().into(),
            numbers.join(",").into(),
            text(row, "description").into(),
        ]);
    }
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

/// A select filter, one rule a line.
fn filter_text(filter: &Value) -> String {
    const RULES: [(&str, &str); 14] = [
        ("place_count", "PlaceCount"),
        ("additional_place_count", "AdditionalPlaceCount"),
        ("storage_pool", "StoragePool(s)"),
        ("storage_pool_list", "StoragePool(s)"),
        ("storage_pool_diskless_list", "DisklessStoragePool(s)"),
        ("node_name_list", "Nodes"),
        ("not_place_with_rsc", "DoNotPlaceWith"),
        ("not_place_with_rsc_regex", "DoNotPlaceWithRegex"),
        ("replicas_on_same", "ReplicasOnSame"),
        ("replicas_on_different", "ReplicasOnDifferent"),
        ("x_replicas_on_different_map", "XReplicasOnDifferent"),
        ("layer_stack", "LayerStack"),
        ("provider_list", "ProviderList"),
        ("diskless_on_remaining", "DisklessOnRemaining"),
    ];
    let mut lines: Vec<String> = Vec::new();
    for (key, name) in RULES {
        if key == "storage_pool" && filter.get("storage_pool_list").is_some() {
            continue;
        }
        let value = match filter.get(key) {
            Some(Value::Array(_)) => texts(filter, key).join(", "),
            Some(Value::Object(map)) => map.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", "),
            Some(Value::Bool(flag)) => if *flag { "True" } else { "False" }.to_owned(),
            Some(_) => shown(filter, key),
            None => continue,
        };
        if !value.is_empty() {
            lines.push(format!("{name}: {value}"));
        }
    }
    lines.join("\n")
}

pub fn volume_groups(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["VolumeNr", "Flags"]);
    table.rows.extend(rows.iter().map(|row| vec![shown(row, "volume_number").into(), texts(row, "flags").join(", ").into()]));
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

pub fn definitions(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["ResourceName"]);
    if look.external {
        table.headings.push("External".to_owned());
    }
    if look.ports {
        table.headings.push("Port".to_owned());
    }
    table.headings.extend(["ResourceGroup", "Layers", "State"].map(str::to_owned));
    for row in rows {
        let mut cells: Vec<Cell> = vec![text(row, "name").into()];
        if look.external {
            cells.push(text(row, "external_name").into());
        }
        if look.ports {
            cells.push(port(row).into());
        }
        let layers: Vec<&str> = items(row, "layer_data").iter().map(|layer| text(layer, "type")).collect();
        cells.extend([text(row, "resource_group_name").into(), layers.join(",").into(), definition_state(row)]);
        table.rows.push(cells);
    }
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

/// DRBD's fixed port, if the definition has one.
fn port(row: &Value) -> String {
    let drbd = items(row, "layer_data").iter().find(|layer| text(layer, "type") == "DRBD");
    drbd.and_then(|layer| layer.get("data")).and_then(|data| count(data, "port")).map(|port| port.to_string()).unwrap_or_default()
}

fn definition_state(row: &Value) -> Cell {
    if flagged(row, "DELETE") {
        Cell::toned("DELETE", Tone::Bad)
    } else if flagged(row, "FAILED") {
        Cell::toned("FAILED", Tone::Bad)
    } else if flagged(row, "CLONING") {
        Cell::toned("CLONING", Tone::Warn)
    } else {
        Cell::toned("ok", Tone::Good)
    }
}

pub fn volume_definitions(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["ResourceName"]);
    if look.external {
        table.headings.push("External".to_owned());
    }
    table.headings.extend(["VolumeNr", "VolumeMinor", "Size", "Gross", "State"].map(str::to_owned));
    let mut volumes = Vec::new();
    for row in rows {
        for volume in items(row, "volume_definitions") {
            let state = if flagged(volume, "DELETE") {
                Cell::toned("DELETING", Tone::Bad)
            } else if flagged(volume, "RESIZE") {
                Cell::toned("resizing", Tone::Warn)
            } else {
                Cell::toned("ok", Tone::Good)
            };
            let mut cells: Vec<Cell> = vec![text(row, "name").into()];
            if look.external {
                cells.push(text(row, "external_name").into());
            }
            cells.extend([
                shown(volume, "volume_number").into(),
                minor(volume).into(),
                Cell::sized(count(volume, "size_kib")),
                if flagged(volume, "GROSS_SIZE") { "+" } else { "" }.into(),
                state,
            ]);
            table.rows.push(cells);
            volumes.push(volume);
        }
    }
    with_props(table, &volumes, look)
}
