//! Backups, what waits to be shipped, and schedules.

use serde_json::Value;

use crate::plan::Look;
use crate::table::{Cell, Table, Tone};
use crate::value::{items, local_time, shown, text, texts};

/// Backups that a LINSTOR cluster made; their ids only where they are asked for.
pub fn backups(document: &Value, look: &Look) -> Table {
    let mut table = Table::new(["Resource", "Snapshot", "Finished at", "Based On", "Status"]);
    if look.full {
        table.headings.push("Backup Name(ID)".to_owned());
    }
    for (id, row) in document.get("linstor").and_then(Value::as_object).into_iter().flatten() {
        let mut cells: Vec<Cell> = vec![
            text(row, "origin_rsc").into(),
            text(row, "origin_snap").into(),
            finished(row).into(),
            text(row, "based_on_id").into(),
            status(row),
        ];
        if look.full {
            cells.push(id.as_str().into());
        }
        table.rows.push(cells);
    }
    table
}

fn finished(row: &Value) -> String {
    let moment = local_time(row.get("finished_timestamp").and_then(Value::as_i64).filter(|at| *at > 0));
    if moment.is_empty() { text(row, "finished_time").to_owned() } else { moment }
}

fn status(row: &Value) -> Cell {
    let says = |member: &str| row.get(member).and_then(Value::as_bool) == Some(true);
    if says("shipping") {
        Cell::toned("Shipping", Tone::Warn)
    } else if says("success") {
        Cell::toned("Success", Tone::Good)
    } else {
        Cell::toned("Failed", Tone::Bad)
    }
}

/// What lies in a remote and is no backup.
pub fn others(document: &Value) -> Table {
    let mut table = Table::new(["Name"]);
    let files = document.get("other").map(|other| texts(other, "files")).unwrap_or_default();
    table.rows.extend(files.into_iter().map(|file| vec![file.into()]));
    table
}

/// Snapshots that wait, one line for each node that could ship them.
pub fn queue(document: &Value) -> Table {
    let mut table = Table::new(["Resource", "Snapshot", "Remote", "Based On", "Created at", "Preferred Node", "Node"]);
    let mut add = |snapshot: &Value, node: &str| {
        table.rows.push(vec![
            text(snapshot, "resource_name").into(),
            text(snapshot, "snapshot_name").into(),
            text(snapshot, "remote_name").into(),
            text(snapshot, "based_on").into(),
            local_time(snapshot.get("start_timestamp").and_then(Value::as_i64)).into(),
            text(snapshot, "pref_node").into(),
            node.into(),
        ]);
    };
    for snapshot in items(document, "snap_queues") {
        let nodes = items(snapshot, "queue");
        if nodes.is_empty() {
            add(snapshot, "");
        }
        nodes.iter().for_each(|node| add(snapshot, text(node, "node_name")));
    }
    for node in items(document, "node_queues") {
        items(node, "queue").iter().for_each(|snapshot| add(snapshot, text(node, "node_name")));
    }
    table
}

/// Schedules; a number below zero has no bound.
pub fn schedules(document: &Value) -> Table {
    let mut table = Table::new(["Name", "Full", "Incremental", "KeepLocal", "KeepRemote", "OnFailure"]);
    let bound = |row: &Value, member: &str| match row.get(member).and_then(Value::as_i64) {
        Some(count) if count < 0 => "all".to_owned(),
        _ => shown(row, member),
    };
    for row in items(document, "data") {
        let retries = match row.get("max_retries").and_then(Value::as_i64) {
            Some(count) if count >= 0 && text(row, "on_failure") == "RETRY" => format!(" ({count})"),
            _ => String::new(),
        };
        table.rows.push(vec![
            text(row, "schedule_name").into(),
            text(row, "full_cron").into(),
            text(row, "inc_cron").into(),
            bound(row, "keep_local").into(),
            bound(row, "keep_remote").into(),
            format!("{}{retries}", text(row, "on_failure")).into(),
        ]);
    }
    table
}

/// What is shipped when. With a reason why nothing is, the moments mean nothing.
pub fn by_resource(document: &Value) -> Table {
    let mut table = Table::new(["Resource", "Remote", "Schedule", "Last", "Next", "Planned Inc", "Planned Full", "Reason"]);
    for row in items(document, "data") {
        let reason = text(row, "reason");
        let moment = |member: &str, kind: &str| {
            let at = row.get(member).and_then(Value::as_i64).filter(|at| *at >= 0 && reason.is_empty());
            let kind = match row.get(kind).and_then(Value::as_bool) {
                Some(true) => " (Inc)",
                Some(false) => " (Full)",
                None => "",
            };
            at.map(|at| format!("{}{kind}", local_time(Some(at)))).unwrap_or_default()
        };
        let running = reason.is_empty() && row.get("next_exec_time").and_then(Value::as_i64).is_some_and(|at| at < 0);
        let next = if running { "running".to_owned() } else { moment("next_exec_time", "next_exec_inc") };
        table.rows.push(vec![
            text(row, "rsc_name").into(),
            text(row, "remote_name").into(),
            text(row, "schedule_name").into(),
            moment("last_snap_time", "last_snap_inc").into(),
            next.into(),
            moment("next_planned_inc", "").into(),
            moment("next_planned_full", "").into(),
            reason.into(),
        ]);
    }
    table
}
