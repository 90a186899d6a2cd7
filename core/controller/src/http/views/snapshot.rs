//! Snapshots.

use berth_api::snapshot::{NodeSnapshot, Snapshot as SnapshotDocument, SnapshotVolume, SnapshotVolumeDefinition};
use berth_model::snapshot::{CopyState, Snapshot};

/// A snapshot with its copies.
pub fn snapshot(snapshot: &Snapshot) -> SnapshotDocument {
    let mut props = super::props(&snapshot.definition_props);
    props.extend(super::props(&snapshot.props));
    SnapshotDocument {
        name: snapshot.name.to_string(),
        resource_name: snapshot.resource.to_string(),
        nodes: snapshot.copies.keys().map(ToString::to_string).collect(),
        props,
        snapshot_definition_props: super::props(&snapshot.props),
        resource_definition_props: super::props(&snapshot.definition_props),
        flags: snapshot.flags.shown(),
        volume_definitions: snapshot
            .volumes
            .iter()
            .map(|(number, volume)| SnapshotVolumeDefinition {
                volume_number: number.get(),
                size_kib: volume.size_kib.0,
                snapshot_volume_definition_props: super::props(&volume.props),
                volume_definition_props: super::props(&volume.definition_props),
            })
            .collect(),
        uuid: snapshot.id.to_string(),
        snapshots: snapshot
            .copies
            .iter()
            .map(|(node, copy)| NodeSnapshot {
                snapshot_name: snapshot.name.to_string(),
                node_name: node.to_string(),
                create_timestamp: copy.created.map(|at| at.0),
                flags: if copy.state == CopyState::Deleting { vec!["DELETE"] } else { Vec::new() },
                uuid: copy.id.to_string(),
                resource_props: super::props(&copy.resource_props),
                snapshot_volumes: copy
                    .volumes
                    .iter()
                    .map(|(number, volume)| SnapshotVolume { uuid: volume.id.to_string(), vlm_nr: number.get() })
                    .collect(),
            })
            .collect(),
    }
}
