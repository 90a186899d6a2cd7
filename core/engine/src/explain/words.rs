//! Records, plan items and their differences in words for people.

use berth_model::change::{Key, NumberKey};
use berth_model::cluster::Cluster;
use berth_model::names::{NodeName, ResourceName, StorPoolName, VolumeNumber};
use berth_model::plan::{ContentSource, PlanItem, PoolPlan, ResourcePlan, SnapshotPlan, VolumePlan, Wanted};

use super::preview::{Op, RecordChange};

/// What a record is called.
pub(super) fn record(before: &Cluster, after: &Cluster, key: &Key) -> String {
    match key {
        Key::Controller => "the cluster's properties".to_owned(),
        Key::Node(name) => format!("node '{name}'"),
        Key::StorPoolDfn(name) => format!("storage pool definition '{name}'"),
        Key::StorPool(node, name) => format!("storage pool '{name}' on '{node}'"),
        Key::ResourceGroup(name) => format!("resource group '{name}'"),
        Key::ResourceDefinition(name) => format!("resource definition '{name}'"),
        Key::Resource(name, node) => format!("resource '{name}' on '{node}'"),
        Key::Snapshot(name, snapshot) => format!("snapshot '{snapshot}' of '{name}'"),
        Key::KeyValueStore(name) => format!("key-value store '{name}'"),
        Key::Token(id) => format!("API token {id}"),
        Key::Job(id) => match after.jobs.get(id).or_else(|| before.jobs.get(id)) {
            Some(job) => format!("job {id} ({} of '{}')", job.task.word(), job.subject),
            None => format!("job {id}"),
        },
        Key::Tombstone(id) => match after.tombstones.get(id).or_else(|| before.tombstones.get(id)) {
            Some(tombstone) => format!("tombstone of '{}' on '{}'", tombstone.resource, tombstone.node),
            None => format!("tombstone {id}"),
        },
        Key::MasterKey => "the master key".to_owned(),
        Key::NodeConnection(nodes) => format!("connection of nodes '{}' and '{}'", nodes.first(), nodes.second()),
        Key::ResourceConnection(name, nodes) => format!("connection of '{name}' between '{}' and '{}'", nodes.first(), nodes.second()),
        Key::ExternalFile(path) => format!("external file '{path}'"),
        Key::Number(NumberKey::Minor { minor }) => format!("DRBD minor {minor}"),
        Key::Number(NumberKey::Port { node, port }) => format!("TCP port {port} on '{node}'"),
        Key::Number(NumberKey::NodeId { resource, node_id }) => format!("DRBD node id {node_id} of '{resource}'"),
    }
}

/// What the controller does to a record.
pub(super) fn controller(change: &RecordChange) -> String {
    match change.op {
        Op::Make => match &change.key {
            Key::Number(_) => format!("take {}", change.name),
            Key::Tombstone(_) => format!("leave a {}, which the node honours when it is back", change.name),
            _ => format!("make {}", change.name),
        },
        Op::Remove => match &change.key {
            Key::Number(_) => format!("free {}", change.name),
            Key::Job(_) => format!("end {}", change.name),
            _ => format!("remove {}", change.name),
        },
        Op::Change if !change.fields.is_empty() && change.fields.iter().all(|field| field.field.contains(".content.source")) => {
            format!("from now on count the content of {} as kept: it is never made anew", change.name)
        }
        Op::Change => {
            let fields: Vec<&str> = change.fields.iter().map(|field| field.field.as_str()).collect();
            if fields.is_empty() {
                format!("write {} as it is", change.name)
            } else {
                format!("change {}: {}", change.name, fields.join(", "))
            }
        }
    }
}

/// What a node does about its pools.
pub(super) fn pools(before: &[PoolPlan], after: &[PoolPlan]) -> Vec<String> {
    let same = |a: &&PoolPlan, b: &PoolPlan| a.id == b.id;
    let gone =
        before.iter().filter(|old| !after.iter().any(|new| same(old, new))).map(|old| format!("let go of storage pool '{}'", old.name));
    let new = after.iter().filter_map(|new| match before.iter().find(|old| same(old, new)) {
        Some(old) if old == new => None,
        Some(_) => Some(format!("look at storage pool '{}' ({}) with its new properties", new.name, new.place)),
        None => Some(format!("take {} storage pool '{}' ({}) into use", new.provider.word(), new.name, new.place)),
    });
    gone.chain(new).collect()
}

/// What a node does about one item of its plan, in order; empty: nothing.
pub(super) fn item(before: Option<&PlanItem>, after: Option<&PlanItem>) -> Vec<String> {
    match (before, after) {
        (Some(PlanItem::Resource(old)), Some(PlanItem::Resource(new))) => resource(Some(old), new),
        (_, Some(PlanItem::Resource(new))) => resource(None, new),
        (Some(PlanItem::Snapshot(old)), Some(PlanItem::Snapshot(new))) => snapshot(Some(old), new),
        (_, Some(PlanItem::Snapshot(new))) => snapshot(None, new),
        // Forgotten: it was seen gone, or it is another node's matter.
        (_, None) => Vec::new(),
    }
}

fn resource(old: Option<&ResourcePlan>, new: &ResourcePlan) -> Vec<String> {
    let name = &new.resource;
    let was = old.map(|old| old.wanted);
    let mut actions = Vec::new();
    match (was, new.wanted) {
        (Some(Wanted::Absent), Wanted::Absent) => return actions,
        (_, Wanted::Absent) => {
            if was == Some(Wanted::Active) {
                actions.push(format!("stop serving '{name}'"));
            }
            actions.extend(new.volumes.iter().filter(|volume| !volume.backing.is_empty()).map(|volume| remove(name, volume)));
            return actions;
        }
        (Some(Wanted::Active), Wanted::Inactive) => actions.push(format!("stop serving '{name}'; its data stays")),
        (_, Wanted::Active | Wanted::Inactive) => {}
    }
    if let Some(old) = old.filter(|old| old.layers != new.layers) {
        let words = |layers: &[berth_model::layers::LayerKind]| layers.iter().map(|layer| layer.word()).collect::<Vec<_>>().join(",");
        actions.push(format!("rebuild the stack of '{name}': {} becomes {}", words(&old.layers), words(&new.layers)));
    }
    if let Some(old) = old.filter(|old| old.resource != new.resource && new.wanted == Wanted::Active) {
        actions.push(format!("move the stable paths of '{}' to by-res/{name}; its devices stay open", old.resource));
    }
    if new.adopt && old.is_none_or(|old| !old.adopt) {
        let of = |volume: &VolumePlan| {
            (volume.content.source == ContentSource::Kept && !volume.backing.is_empty())
                .then(|| adopt(name, volume.number, &volume.backing, &volume.pool))
        };
        actions.extend(new.volumes.iter().filter_map(of));
    }
    for volume in &new.volumes {
        let before = old.and_then(|old| old.volumes.iter().find(|old| old.id == volume.id));
        actions.extend(self::volume(name, new.diskless, before, volume));
    }
    for gone in old.into_iter().flat_map(|old| &old.volumes).filter(|old| !new.volumes.iter().any(|volume| volume.id == old.id)) {
        if gone.wanted != Wanted::Absent && !gone.backing.is_empty() {
            actions.push(format!("forget volume {} of '{name}' in pool '{}'", gone.number, gone.pool));
        }
    }
    if was != Some(Wanted::Active) && new.wanted == Wanted::Active {
        actions.push(if new.diskless { format!("serve '{name}' without storage of its own") } else { format!("serve '{name}'") });
    }
    actions
}

/// An object that is marked already is not marked again.
fn adopt(name: &ResourceName, number: VolumeNumber, backing: &str, pool: &StorPoolName) -> String {
    format!("mark '{backing}' in pool '{pool}' as volume {number} of '{name}' if it carries no mark; its data stays")
}

fn remove(name: &ResourceName, volume: &VolumePlan) -> String {
    format!("remove volume {} of '{name}' from pool '{}', with its data", volume.number, volume.pool)
}

fn volume(name: &ResourceName, diskless: bool, old: Option<&VolumePlan>, new: &VolumePlan) -> Option<String> {
    let (number, pool, size) = (new.number, &new.pool, new.backing_kib.0);
    if diskless || new.backing.is_empty() {
        return None;
    }
    let Some(old) = old else {
        return Some(match &new.content.source {
            _ if new.wanted == Wanted::Absent => remove(name, new),
            ContentSource::Fresh => format!("make volume {number} of '{name}' in pool '{pool}' ({size} KiB)"),
            ContentSource::Peers => {
                format!("make volume {number} of '{name}' in pool '{pool}' ({size} KiB), its data comes from its peers")
            }
            ContentSource::Kept => format!("look for volume {number} of '{name}' in pool '{pool}', which has its data"),
            ContentSource::Snapshot { backing, .. } => {
                format!("make volume {number} of '{name}' in pool '{pool}' from snapshot '{backing}' ({size} KiB)")
            }
            ContentSource::Volume { backing, .. } => {
                format!("make volume {number} of '{name}' in pool '{pool}' as a copy of '{backing}' ({size} KiB)")
            }
        });
    };
    if old.wanted != Wanted::Absent && new.wanted == Wanted::Absent {
        return Some(remove(name, new));
    }
    if old.content.id != new.content.id {
        return Some(match &new.content.source {
            ContentSource::Snapshot { backing, .. } => format!("give volume {number} of '{name}' the data of snapshot '{backing}'"),
            ContentSource::Volume { backing, .. } => format!("give volume {number} of '{name}' the data of '{backing}'"),
            ContentSource::Fresh | ContentSource::Peers | ContentSource::Kept => format!("make volume {number} of '{name}' anew"),
        });
    }
    if old.backing_kib < new.backing_kib {
        return Some(format!("grow volume {number} of '{name}' from {} KiB to {size} KiB", old.backing_kib.0));
    }
    (old.pool != new.pool).then(|| format!("use pool '{pool}' for volume {number} of '{name}'"))
}

fn snapshot(old: Option<&SnapshotPlan>, new: &SnapshotPlan) -> Vec<String> {
    let was = old.map(|old| old.wanted);
    let each = |what: &dyn Fn(&berth_model::plan::SnapshotVolumePlan) -> String| new.volumes.iter().map(what).collect::<Vec<_>>();
    match new.wanted {
        Wanted::Absent if was != Some(Wanted::Absent) => {
            each(&|volume| format!("remove the copy of volume {} of '{}' in snapshot '{}'", volume.number, new.resource, new.snapshot))
        }
        Wanted::Active | Wanted::Inactive if was.is_none() && !new.taken => each(&|volume| {
            format!("take volume {} of '{}' as snapshot '{}' in pool '{}'", volume.number, new.resource, new.snapshot, volume.pool)
        }),
        Wanted::Active | Wanted::Inactive if new.adopt && old.is_none_or(|old| !old.adopt) => each(&|volume| {
            let (number, name) = (volume.number, &new.resource);
            format!(
                "mark '{}' in pool '{}' as volume {number} of '{name}@{}' if it carries no mark",
                volume.backing, volume.pool, new.snapshot
            )
        }),
        Wanted::Active | Wanted::Inactive | Wanted::Absent => Vec::new(),
    }
}

/// Why a node's steps wait.
pub(super) fn away(node: &NodeName, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("'{node}' is away ({}); it does this when it is back", reason.trim_end_matches('.')),
        None => format!("'{node}' is away; it does this when it is back"),
    }
}
