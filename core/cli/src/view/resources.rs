//! Resources and volumes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::states;
use super::with_props;
use crate::plan::Look;
use crate::table::{Cell, Table, Tone};
use crate::value::{count, flagged, items, layers, local_time, shown, text};

pub fn resources(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["ResourceName", "Node"]);
    if look.ports {
        table.headings.push("DRBD Ports".to_owned());
    }
    table.headings.extend(["Layers", "Usage", "Conns", "State", "CreatedOn"].map(str::to_owned));
    let rows: Vec<&Value> = rows.iter().filter(|row| shown_at_all(row, look)).filter(|row| !look.faulty || faulty(row)).collect();
    for row in &rows {
        let mut cells: Vec<Cell> = vec![text(row, "name").into(), text(row, "node_name").into()];
        if look.ports {
            cells.push(ports(row).into());
        }
        cells.extend([
            layers(row).join(",").into(),
            states::usage(row),
            states::connections(row),
            states::resource(row),
            local_time(row.get("create_timestamp").and_then(Value::as_i64)).into(),
        ]);
        table.rows.push(cells);
    }
    with_props(table, &rows, look)
}

/// Tiebreakers hold nothing and are only shown when asked for, or when something is wrong with them.
fn shown_at_all(row: &Value, look: &Look) -> bool {
    look.all || look.faulty || !flagged(row, "TIE_BREAKER") || states::resource(row).tone == Tone::Bad
}

fn faulty(row: &Value) -> bool {
    states::resource(row).tone != Tone::Good || states::connections(row).tone == Tone::Bad
}

fn ports(row: &Value) -> String {
    let drbd = row.get("layer_object").and_then(|layer| layer.get("drbd"));
    let ports = drbd.map(|drbd| items(drbd, "tcp_ports")).unwrap_or_default();
    ports.iter().filter_map(Value::as_u64).map(|port| port.to_string()).collect::<Vec<_>>().join(",")
}

/// All replicas of the resources that have one on `node`, narrowed by how they stand there.
pub fn involved(rows: &[Value], node: &str, in_use: bool, diskful: bool, at_most: Option<u64>) -> Vec<Value> {
    let mut disks: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| !flagged(row, "DISKLESS")) {
        *disks.entry(text(row, "name")).or_default() += 1;
    }
    let there = rows.iter().filter(|row| text(row, "node_name").eq_ignore_ascii_case(node));
    let names: BTreeSet<&str> = there
        .filter(|row| !in_use || states::usage(row).text == "InUse")
        .filter(|row| !diskful || !flagged(row, "DISKLESS"))
        .map(|row| text(row, "name"))
        .filter(|name| at_most.is_none_or(|at_most| disks.get(name).copied().unwrap_or_default() <= at_most))
        .collect();
    rows.iter().filter(|row| names.contains(text(row, "name"))).cloned().collect()
}

pub fn volumes(rows: &[Value], look: &Look) -> Table {
    let mut table =
        Table::new(["Resource", "Node", "StoragePool", "VolNr", "MinorNr", "DeviceName", "Allocated", "InUse", "State", "Repl"]);
    let mut shown_volumes = Vec::new();
    for row in rows.iter().filter(|row| shown_at_all(row, look)) {
        for volume in items(row, "volumes") {
            table.rows.push(vec![
                text(row, "name").into(),
                text(row, "node_name").into(),
                text(volume, "storage_pool_name").into(),
                shown(volume, "volume_number").into(),
                states::minor(volume).into(),
                text(volume, "device_path").into(),
                if states::unknown(row).is_some() { Cell::default() } else { Cell::sized(count(volume, "allocated_size_kib")) },
                states::usage(row),
                states::volume(row, volume),
                states::replication(volume),
            ]);
            shown_volumes.push(volume);
        }
    }
    with_props(table, &shown_volumes, look)
}
