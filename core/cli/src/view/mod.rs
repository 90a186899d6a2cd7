//! Documents to tables. Everything a document may lack is an empty cell.

pub mod advise;
mod cluster;
mod connections;
mod definitions;
mod kind;
mod other;
mod resources;
mod shipping;
mod snapshots;
mod states;
mod v0;

use serde_json::Value;

use crate::plan::{Look, View};
use crate::table::{Cell, Table};
use crate::value::prop;

pub use cluster::node_trees;
pub use definitions::groups;
pub use kind::misfit;
pub use other::{properties, replies};
pub use resources::involved;
pub use v0::flatten;

/// The table of a document. `None` for the views that are no single table (trees, properties, versions).
pub fn table(view: &View, document: &Value, look: &Look) -> Option<Table> {
    let rows = crate::value::rows(document);
    let table = of_view(view, document, rows, look)?;
    Some(with_columns(table, rows, look))
}

/// The columns of `--show-props` where a view does not make them itself; empty where a row has no such property.
fn with_columns(mut table: Table, rows: &[Value], look: &Look) -> Table {
    let same = rows.len() == table.rows.len();
    for (key, heading) in &look.show_props {
        if table.headings.contains(heading) {
            continue;
        }
        table.headings.push(heading.clone());
        for (at, cells) in table.rows.iter_mut().enumerate() {
            let row = rows.get(at).filter(|_| same);
            cells.push(row.map(|row| prop(row, key)).unwrap_or_default().into());
        }
    }
    table
}

fn of_view(view: &View, document: &Value, rows: &[Value], look: &Look) -> Option<Table> {
    Some(match view {
        View::Nodes => cluster::nodes(rows, look),
        View::NodeInfo => cluster::node_info(rows, look),
        View::Interfaces(node) => cluster::interfaces(rows, node),
        View::Pools => cluster::pools(rows, look),
        View::PoolDefinitions => cluster::pool_definitions(rows, look),
        View::Groups => definitions::groups(rows, &[], look),
        View::VolumeGroups => definitions::volume_groups(rows, look),
        View::Definitions => definitions::definitions(rows, look),
        View::VolumeDefinitions => definitions::volume_definitions(rows, look),
        View::Resources => resources::resources(rows, look),
        View::Involved { node, in_use, diskful, at_most } => {
            resources::resources(&resources::involved(rows, node, *in_use, *diskful, *at_most), look)
        }
        View::Volumes => resources::volumes(rows, look),
        View::Snapshots => snapshots::snapshots(rows, look),
        View::KeyValues => other::key_values(rows),
        View::KeyValue(instance) => other::key_value(rows, instance)?,
        View::ErrorReports => other::error_reports(rows, look),
        View::PhysicalStorage => other::physical_storage(rows),
        View::Tokens => other::tokens(document),
        View::MaxVolumeSize => other::max_volume_size(document),
        View::SizeInfo => other::size_info(document),
        View::Remotes => other::remotes(document),
        View::Fields(fields) => other::fields(document, fields),
        View::Backups => shipping::backups(document, look),
        View::BackupFiles => shipping::others(document),
        View::BackupQueue => shipping::queue(document),
        View::Schedules => shipping::schedules(document),
        View::SchedulesByResource => shipping::by_resource(document),
        View::NodeConnections => connections::of_nodes(rows, look),
        View::ResourceConnections => connections::of_replicas(rows, look),
        View::Paths => connections::paths(document),
        View::Files => other::files(rows),
        View::FileContent | View::NodeTree | View::Props(_) | View::SpaceReport | View::Version => return None,
    })
}

/// Adds a column for each property asked for.
fn with_props(mut table: Table, rows: &[&Value], look: &Look) -> Table {
    for (key, heading) in &look.show_props {
        table.headings.push(heading.clone());
        for (cells, row) in table.rows.iter_mut().zip(rows) {
            cells.push(Cell::from(prop(row, key)));
        }
    }
    table
}
