//! Connections of nodes and of replicas, and their paths.

use std::collections::BTreeMap;

use serde_json::Value;

use super::other::properties;
use super::with_props;
use crate::plan::Look;
use crate::table::Table;
use crate::value::{rows, text};

fn listed(row: &Value) -> String {
    properties(row, Some("props")).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
}

pub fn of_nodes(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["Node A", "Node B", "Properties"]);
    let cells = |row: &Value| vec![text(row, "node_a").into(), text(row, "node_b").into(), listed(row).into()];
    table.rows.extend(rows.iter().map(cells));
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

pub fn of_replicas(rows: &[Value], look: &Look) -> Table {
    let mut table = Table::new(["Source", "Target", "Properties", "Port"]);
    let port = |row: &Value| row.get("port").and_then(Value::as_u64).map(|port| port.to_string()).unwrap_or_default();
    let cells = |row: &Value| vec![text(row, "node_a").into(), text(row, "node_b").into(), listed(row).into(), port(row).into()];
    table.rows.extend(rows.iter().map(cells));
    with_props(table, &rows.iter().collect::<Vec<_>>(), look)
}

/// The paths of one connection: of nodes (a list of one) or of replicas (the entry itself).
pub fn paths(document: &Value) -> Table {
    let connection = rows(document).first().unwrap_or(document);
    let mut ends: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for (key, interface) in properties(connection, Some("props")) {
        if let Some((path, node)) = key.strip_prefix("Paths/").and_then(|rest| rest.rsplit_once('/')) {
            ends.entry(path).or_default().insert(node, interface);
        }
    }
    let (a, b) = (text(connection, "node_a"), text(connection, "node_b"));
    let mut table = Table::new(["Path", a, b]);
    let of = |ends: &BTreeMap<&str, &str>, node: &str| {
        ends.iter().find(|(end, _)| end.eq_ignore_ascii_case(node)).map(|(_, interface)| (*interface).to_owned()).unwrap_or_default()
    };
    table.rows.extend(ends.iter().map(|(path, ends)| vec![(*path).into(), of(ends, a).into(), of(ends, b).into()]));
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_have_a_column_for_each_node() {
        let connection = json!({"node_a": "alpha", "node_b": "bravo",
            "props": {"Paths/p1/alpha": "nic1", "Paths/p1/bravo": "nic2", "Paths/p2/ALPHA": "nic3", "Aux/x": "y"}});
        for document in [connection.clone(), json!([connection])] {
            let table = paths(&document);
            assert_eq!(table.headings, ["Path", "alpha", "bravo"]);
            assert_eq!(table.rows.len(), 2);
        }
    }
}
