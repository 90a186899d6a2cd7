//! Nodes and storage pools.

use serde_json::Value;

use super::states;
use super::with_props;
use crate::plan::Look;
use crate::table::{Cell, Table, Tone};
use crate::value::{count, flagged, items, prop, shown, text, texts};

/// Prefix of the user's own properties.
const AUX: &str = "Aux/";
/// Capacities from this on mean "no limit".
const ENDLESS_KIB: u64 = 1 << 62;

pub fn nodes(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["Node", "NodeType", "Addresses", "State"]);
    if look.aux {
        table.headings.push("AuxProps".to_owned());
    }
    for row in rows {
        let interfaces = items(row, "net_interfaces");
        let active = interfaces.iter().find(|one| one.get("is_active").and_then(Value::as_bool) == Some(true)).or(interfaces.first());
        let mut cells: Vec<Cell> =
            vec![text(row, "name").into(), text(row, "type").into(), active.map(address).unwrap_or_default().into(), states::node(row)];
        if look.aux {
            cells.push(aux_props(row).into());
        }
        table.rows.push(cells);
    }
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

/// `10.0.0.1:3366 (PLAIN)`
fn address(interface: &Value) -> String {
    let encryption = text(interface, "satellite_encryption_type").to_ascii_uppercase();
    match count(interface, "satellite_port") {
        Some(port) => format!("{}:{port} ({encryption})", text(interface, "address")),
        None => text(interface, "address").to_owned(),
    }
}

fn aux_props(row: &Value) -> String {
    let props = row.get("props").and_then(Value::as_object);
    let own = props.into_iter().flatten().filter(|(key, _)| key.starts_with(AUX));
    own.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join("\n")
}

/// The first column is headed by the node; it marks the interface over which the satellite is reached.
pub fn interfaces(rows: &[Value], node: &str) -> Table {
    let mut table = Table::new([node, "NetInterface", "IP", "Port", "EncryptionType"]);
    for row in rows {
        let active = row.get("is_active").and_then(Value::as_bool) == Some(true);
        table.rows.push(vec![
            if active { Cell::toned("+ StltCon", Tone::Good) } else { "+".into() },
            text(row, "name").into(),
            text(row, "address").into(),
            shown(row, "satellite_port").into(),
            text(row, "satellite_encryption_type").into(),
        ]);
    }
    table
}

pub fn node_info(rows: &[Value], look: &Look) -> Table {
    /// Heading and the kinds that make a `+` there.
    const PROVIDERS: [(&str, &[&str]); 11] = [
        ("Diskless", &["DISKLESS"]),
        ("LVM", &["LVM"]),
        ("LVMThin", &["LVM_THIN"]),
        ("ZFS/Thin", &["ZFS", "ZFS_THIN"]),
        ("File/Thin", &["FILE", "FILE_THIN"]),
        ("SPDK", &["SPDK"]),
        ("Remote SPDK", &["REMOTE_SPDK"]),
        ("Storage Spaces", &["STORAGE_SPACES"]),
        ("Storage Spaces/Thin", &["STORAGE_SPACES_THIN"]),
        ("EBS init", &["EBS_INIT"]),
        ("EBS target", &["EBS_TARGET"]),
    ];
    const LAYERS: [(&str, &[&str]); 7] = [
        ("DRBD", &["DRBD"]),
        ("LUKS", &["LUKS"]),
        ("NVMe", &["NVME"]),
        ("Cache", &["CACHE"]),
        ("BCache", &["BCACHE"]),
        ("WriteCache", &["WRITECACHE"]),
        ("Storage", &["STORAGE"]),
    ];
    let mut table = Table::new(["Node"]);
    table.headings.extend(PROVIDERS.iter().chain(&LAYERS).map(|(heading, _)| (*heading).to_owned()));
    if look.full {
        table.headings.push("Reasons".to_owned());
    }
    for row in rows {
        let providers = texts(row, "storage_providers");
        let layers = texts(row, "resource_layers");
        let mark = |have: &[&str], kinds: &[&str]| {
            if kinds.iter().any(|kind| have.contains(kind)) { Cell::toned("+", Tone::Good) } else { Cell::toned("-", Tone::Bad) }
        };
        let mut cells: Vec<Cell> = vec![text(row, "name").into()];
        cells.extend(PROVIDERS.iter().map(|(_, kinds)| mark(&providers, kinds)));
        cells.extend(LAYERS.iter().map(|(_, kinds)| mark(&layers, kinds)));
        if look.full {
            cells.push(reasons(row).into());
        }
        table.rows.push(cells);
    }
    table
}

fn reasons(row: &Value) -> String {
    let mut lines = Vec::new();
    for member in ["unsupported_providers", "unsupported_layers"] {
        for (kind, why) in row.get(member).and_then(Value::as_object).into_iter().flatten() {
            let why: Vec<&str> = why.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            lines.push(format!("{kind}: {}", why.join("; ")));
        }
    }
    lines.join("\n")
}

pub fn pools(rows: &[Value], look: &Look) -> Table {
    let mut table =
        Table::new(["StoragePool", "Node", "Driver", "PoolName", "FreeCapacity", "TotalCapacity", "CanSnapshots", "State", "SharedName"]);
    for row in rows {
        let kind = text(row, "provider_kind");
        let has_space = !matches!(kind, "DISKLESS" | "EBS_TARGET") && row.get("free_capacity").is_some();
        let capacity = |key: &str| match count(row, key) {
            Some(kib) if has_space && kib < ENDLESS_KIB => Cell::sized(Some(kib)),
            Some(_) | None => Cell::default(),
        };
        let shared = text(row, "free_space_mgr_name");
        let can = row.get("supports_snapshots").and_then(Value::as_bool) == Some(true);
        table.rows.push(vec![
            text(row, "storage_pool_name").into(),
            text(row, "node_name").into(),
            kind.into(),
            prop(row, "StorDriver/StorPoolName").into(),
            capacity("free_capacity"),
            capacity("total_capacity"),
            if can { "True" } else { "False" }.into(),
            states::pool(row),
            // A pool of one node alone has a made-up name, `node;pool`.
            if shared.contains([';', ':']) { Cell::default() } else { shared.into() },
        ]);
    }
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

pub fn pool_definitions(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["StoragePool"]);
    let wanted = |name: &str| look.only.is_empty() || look.only.iter().any(|only| only.eq_ignore_ascii_case(name));
    table.rows.extend(rows.iter().map(|row| text(row, "storage_pool_name")).filter(|name| wanted(name)).map(|name| vec![name.into()]));
    table
}

/// Nodes with their pools, and in each pool what lies there, indented.
pub fn node_trees(nodes: &[Value], pools: &[Value], resources: &[Value]) -> String {
    let mut out = String::new();
    for node in nodes {
        let name = text(node, "name");
        out.push_str(&format!("{name} ({}, {})\n", text(node, "type"), states::node(node).text));
        for pool in pools.iter().filter(|pool| text(pool, "node_name").eq_ignore_ascii_case(name)) {
            let pool_name = text(pool, "storage_pool_name");
            out.push_str(&format!("  {pool_name} ({})\n", text(pool, "provider_kind")));
            for resource in resources.iter().filter(|resource| text(resource, "node_name").eq_ignore_ascii_case(name)) {
                for volume in
                    items(resource, "volumes").iter().filter(|volume| text(volume, "storage_pool_name").eq_ignore_ascii_case(pool_name))
                {
                    let gone = if flagged(resource, "DISKLESS") { "" } else { text(volume, "device_path") };
                    let state = states::volume(resource, volume).text;
                    out.push_str(
                        format!("    {} volume {}: {state} {gone}", text(resource, "name"), shown(volume, "volume_number")).trim_end(),
                    );
                    out.push('\n');
                }
            }
        }
    }
    out
}
