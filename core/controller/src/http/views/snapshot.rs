//! Snapshots.

use berth_api::seen::{Moment, SeenWhen};
use berth_api::snapshot::{NodeSnapshot, Snapshot as SnapshotDocument, SnapshotVolume, SnapshotVolumeDefinition};
use berth_model::flags::SnapshotFlag;
use berth_model::names::NodeName;
use berth_model::snapshot::{CopyState, NodeSnapshot as NodeSnapshotObject, Snapshot};

use crate::View;

/// When a snapshot's copy on a node was seen.
fn copy_when<'v>(view: &'v View, node: &NodeName, copy: &NodeSnapshotObject) -> SeenWhen<'v> {
    let record = view.observed.item(node, copy.id.uuid());
    let begun = copy.created.unwrap_or_default();
    super::when(view.observed.nodes.get(node).map(AsRef::as_ref), record.map(|record| record.at), begun)
}

/// When all copies were seen: the oldest moment of all; unknown since the first of them is.
fn all_when(copies: impl Iterator<Item = SeenWhen<'static>>, created: Moment) -> SeenWhen<'static> {
    let copies: Vec<_> = copies.collect();
    let unknown = copies.iter().filter(|one| one.unknown_since.is_some()).min_by_key(|one| one.unknown_since);
    unknown
        .or_else(|| copies.iter().min_by_key(|one| one.seen))
        .cloned()
        .unwrap_or_else(|| SeenWhen::unknown(created, "It has no copy on any node."))
}

/// Its flags. One whose copies were all seen missing is not successful: clients show it as incomplete.
fn flags(view: &View, snapshot: &Snapshot) -> Vec<&'static str> {
    let mut flags = snapshot.flags.clone();
    if berth_engine::snapshots::is_missing(&view.observed, snapshot) {
        flags.clear(SnapshotFlag::Successful);
    }
    flags.shown()
}

/// A snapshot with its copies.
pub fn snapshot(view: &View, snapshot: &Snapshot) -> SnapshotDocument {
    let mut props = super::props(&snapshot.definition_props);
    props.extend(super::props(&snapshot.props));
    SnapshotDocument {
        name: snapshot.name.to_string(),
        resource_name: snapshot.resource.to_string(),
        nodes: snapshot.copies.keys().map(ToString::to_string).collect(),
        props,
        snapshot_definition_props: super::props(&snapshot.props),
        resource_definition_props: super::props(&snapshot.definition_props),
        flags: flags(view, snapshot),
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
        berth: all_when(
            snapshot.copies.iter().map(|(node, copy)| copy_when(view, node, copy).into_owned()),
            Moment::of_millis(snapshot.created.0),
        ),
        snapshots: snapshot
            .copies
            .iter()
            .map(|(node, copy)| NodeSnapshot {
                snapshot_name: snapshot.name.to_string(),
                node_name: node.to_string(),
                create_timestamp: copy.created.map(|at| at.0),
                flags: if copy.state == CopyState::Deleting { vec!["DELETE"] } else { Vec::new() },
                uuid: copy.id.to_string(),
                berth: copy_when(view, node, copy).into_owned(),
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
