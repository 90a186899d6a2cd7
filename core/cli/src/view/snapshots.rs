//! Snapshots.

use serde_json::Value;

use super::with_props;
use crate::plan::Look;
use crate::size::render_kib;
use crate::table::{Cell, Table, Tone};
use crate::value::{count, flagged, items, local_time, shown, text, texts};

pub fn snapshots(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["ResourceName", "SnapshotName", "NodeNames", "Volumes", "CreatedOn", "State"]);
    for row in rows {
        let volumes: Vec<String> = items(row, "volume_definitions")
            .iter()
            .map(|volume| format!("{}: {}", shown(volume, "volume_number"), count(volume, "size_kib").map(render_kib).unwrap_or_default()))
            .collect();
        let created = items(row, "snapshots").iter().filter_map(|copy| copy.get("create_timestamp").and_then(Value::as_i64)).min();
        table.rows.push(vec![
            text(row, "resource_name").into(),
            text(row, "name").into(),
            texts(row, "nodes").join(", ").into(),
            volumes.join(", ").into(),
            local_time(created).into(),
            state(row),
        ]);
    }
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

fn state(row: &Value) -> Cell {
    let copies = items(row, "snapshots");
    let any = |flag: &str| copies.iter().any(|copy| flagged(copy, flag));
    if flagged(row, "DELETE") {
        Cell::toned("DELETING", Tone::Bad)
    } else if flagged(row, "FAILED_DEPLOYMENT") {
        Cell::toned("Failed", Tone::Bad)
    } else if flagged(row, "FAILED_DISCONNECT") {
        Cell::toned("Satellite disconnected", Tone::Bad)
    } else if any("BACKUP_TARGET") && flagged(row, "SHIPPING") {
        Cell::toned("Restoring", Tone::Warn)
    } else if flagged(row, "SHIPPING") {
        Cell::toned("Shipping", Tone::Warn)
    } else if flagged(row, "SUCCESSFUL") || flagged(row, "SHIPPED") {
        // It was taken, that is certain; whether it is still there, nobody can say.
        match super::states::unknown(row) {
            Some(unknown) => Cell::toned(format!("Successful, {}", unknown.text), Tone::Warn),
            None => Cell::toned("Successful", Tone::Good),
        }
    } else {
        Cell::toned("Incomplete", Tone::Warn)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::state;

    #[test]
    fn words_of_states() {
        assert_eq!(state(&json!({"flags": ["SUCCESSFUL"]})).text, "Successful");
        assert_eq!(state(&json!({})).text, "Incomplete");
        let away = json!({"flags": ["SUCCESSFUL"], "berth": {"unknown_since": "2020-01-02T03:04:05Z"}});
        assert!(state(&away).text.starts_with("Successful, Unknown (since 2020-01-0"), "{}", state(&away).text);
        assert_eq!(state(&json!({"flags": ["FAILED_DISCONNECT"]})).text, "Satellite disconnected");
        assert_eq!(state(&json!({"flags": ["SHIPPING"], "snapshots": [{"flags": ["BACKUP_TARGET"]}]})).text, "Restoring");
    }
}
