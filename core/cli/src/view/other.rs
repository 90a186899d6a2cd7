//! Properties, texts kept for others, reports, disks, sizes.

use berth_client::{Reply, Severity};
use serde_json::{Map, Value};

use crate::plan::{Fields, Look};
use crate::size::render_kib;
use crate::table::{Cell, Table};
use crate::value::{count, items, local_time, shown, text, texts};

/// The properties of a document, in the order of their keys.
pub fn properties<'v>(document: &'v Value, member: Option<&str>) -> Vec<(&'v str, &'v str)> {
    let map = match member {
        Some(member) => document.get(member),
        None => Some(document),
    };
    map.and_then(Value::as_object).map(pairs).unwrap_or_default()
}

fn pairs(map: &Map<String, Value>) -> Vec<(&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect()
}

pub fn key_values(rows: &[Value]) -> Table {
    let mut table = Table::new(["Name"]);
    table.rows.extend(rows.iter().map(|row| vec![text(row, "name").into()]));
    table
}

pub fn files(rows: &[Value]) -> Table {
    let mut table = Table::new(["Path"]);
    table.rows.extend(rows.iter().map(|row| vec![text(row, "path").into()]));
    table
}

/// `None` if there is no such instance.
pub fn key_value(rows: &[Value], instance: &str) -> Option<Table> {
    let row = rows.iter().find(|row| text(row, "name").eq_ignore_ascii_case(instance))?;
    let mut table = Table::new(["Key", "Value"]);
    table.rows.extend(properties(row, Some("props")).into_iter().map(|(key, value)| vec![key.into(), value.into()]));
    Some(table)
}

pub fn error_reports(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["Id", "Datetime", "Node", "Exception"]);
    if look.full {
        table.headings.extend(["Location", "Version"].map(str::to_owned));
    }
    for row in rows {
        let file = text(row, "filename");
        let id = file.strip_prefix("ErrorReport-").unwrap_or(file);
        let id = id.strip_suffix(".log").unwrap_or(id);
        if !look.only.is_empty() && !look.only.iter().any(|only| only.eq_ignore_ascii_case(id)) {
            continue;
        }
        let module: String = text(row, "module").chars().take(1).map(|c| c.to_ascii_uppercase()).collect();
        let message = text(row, "exception_message");
        let exception =
            if message.is_empty() { text(row, "exception").to_owned() } else { format!("{}: {message}", text(row, "exception")) };
        let mut cells: Vec<Cell> = vec![
            id.into(),
            local_time(row.get("error_time").and_then(Value::as_i64)).into(),
            format!("{module}|{}", text(row, "node_name")).into(),
            exception.into(),
        ];
        if look.full {
            let place = [text(row, "origin_method"), text(row, "origin_file"), &shown(row, "origin_line")]
                .iter()
                .filter(|part| !part.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .join(":");
            cells.extend([place.into(), text(row, "version").into()]);
        }
        table.rows.push(cells);
    }
    table
}

pub fn physical_storage(rows: &[Value]) -> Table {
    let mut table = Table::new(["Size", "Rotational", "Nodes"]);
    for row in rows {
        let rotational = row.get("rotational").and_then(Value::as_bool) == Some(true);
        let nodes = row.get("nodes").and_then(Value::as_object).into_iter().flatten();
        let nodes: Vec<String> = nodes
            .map(|(node, disks)| {
                let disks: Vec<&str> = disks.as_array().into_iter().flatten().map(|disk| text(disk, "device")).collect();
                format!("{node}[{}]", disks.join(","))
            })
            .collect();
        table.rows.push(vec![
            // The one size of the API that counts bytes.
            Cell::sized(count(row, "size").map(|bytes| bytes / 1024)),
            if rotational { "True" } else { "False" }.into(),
            nodes.join("\n").into(),
        ]);
    }
    table
}

/// Remotes of all kinds, each with what says most about it.
pub fn remotes(document: &Value) -> Table {
    let mut table = Table::new(["Name", "Type", "Info"]);
    for (member, kind) in [("s3_remotes", "S3"), ("linstor_remotes", "Linstor"), ("ebs_remotes", "EBS")] {
        for row in items(document, member) {
            let info = match kind {
                "S3" => format!("{}.{}/{}", text(row, "region"), text(row, "endpoint"), text(row, "bucket")),
                "Linstor" => text(row, "url").to_owned(),
                _ => format!("{}.{}", text(row, "availability_zone"), text(row, "endpoint")),
            };
            table.rows.push(vec![text(row, "remote_name").into(), kind.into(), info.into()]);
        }
    }
    table
}

/// A table of members as they are; one that is no text or number is an empty cell.
pub fn fields(document: &Value, fields: &Fields) -> Table {
    let mut table = Table { headings: fields.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect(), rows: Vec::new() };
    let rows: Vec<&Value> = match document.get(fields.rows) {
        Some(Value::Array(rows)) => rows.iter().collect(),
        Some(Value::Object(rows)) => rows.values().collect(),
        _ => Vec::new(),
    };
    for row in rows {
        table.rows.push(fields.columns.iter().map(|(_, member)| shown(row, member).into()).collect());
    }
    table
}

pub fn tokens(document: &Value) -> Table {
    let mut table = Table::new(["Id", "Description", "Role", "Active", "Expires", "From", "Created"]);
    for row in items(document, "list") {
        let active = row.get("is_active").and_then(Value::as_bool) != Some(false);
        table.rows.push(vec![
            shown(row, "id").into(),
            text(row, "description").into(),
            text(row, "role").into(),
            if active { "Yes" } else { "No" }.into(),
            text(row, "expires_at").split('T').next().unwrap_or_default().to_owned().into(),
            text(row, "ip_filter").into(),
            text(row, "created_at").into(),
        ]);
    }
    table
}

pub fn max_volume_size(document: &Value) -> Table {
    let mut table = Table::new(["StoragePool", "MaxVolumeSize", "Provisioned", "Nodes"]);
    for row in items(document, "candidates") {
        let thin = row.get("all_thin").and_then(Value::as_bool) == Some(true);
        table.rows.push(vec![
            text(row, "storage_pool").into(),
            Cell::sized(count(row, "max_volume_size_kib")),
            if thin { "Thin" } else { "Thick" }.into(),
            texts(row, "node_names").join(", ").into(),
        ]);
    }
    table
}

pub fn size_info(document: &Value) -> Table {
    let mut table = Table::new(["MaxVolumeSize", "AvailableSize", "Capacity", "Next Spawn Result"]);
    if let Some(info) = document.get("space_info") {
        let size = |key: &str| count(info, key).map(render_kib).unwrap_or_default();
        let next: Vec<String> = items(info, "next_spawn_result")
            .iter()
            .map(|place| format!("{} on {}", text(place, "stor_pool_name"), text(place, "node_name")))
            .collect();
        table.rows.push(vec![
            size("max_vlm_size_in_kib").into(),
            size("available_size_in_kib").into(),
            size("capacity_in_kib").into(),
            next.join("\n").into(),
        ]);
    }
    table
}

/// The entries of a change's answer.
pub fn replies(rows: &[Value]) -> Table {
    let mut table = Table::new(["RetCode", "Severity", "Message", "Cause", "Correction", "Details"]);
    for row in rows {
        let code = row.get("ret_code").and_then(Value::as_i64).unwrap_or_default();
        let reply = Reply { ret_code: code, ..Reply::default() };
        let severity = match reply.severity() {
            Severity::Success => "SUCCESS",
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        let mut cells: Vec<Cell> = vec![code.to_string().into(), severity.into()];
        cells.extend(["message", "cause", "correction", "details"].map(|member| text(row, member).into()));
        table.rows.push(cells);
    }
    table
}
