//! What shall be on a node, as a function of the cluster alone. The generation of a plan is the serial that it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_model::change::{Change, Key};
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::files::{self, ExternalFile};
use berth_model::flags::{ResourceFlag, VolumeFlag};
use berth_model::job::{Awaited, DeleteStep, Task};
use berth_model::layers::ProviderKind;
use berth_model::names::{FilePath, NodeName, ResourceName, VolumeNumber};
use berth_model::objects::{Resource, ResourceDefinition, StorPool, Tombstone};
use berth_model::plan::{FilePlan, PlanBody, PlanItem, PoolPlan, ResourcePlan, SnapshotPlan, SnapshotVolumePlan, VolumePlan, Wanted};
use berth_model::snapshot::{CopyState, Snapshot};
use uuid::Uuid;

use crate::content;

/// Property that names a pool's folder, volume group or dataset.
pub const POOL_PLACE: &str = "StorDriver/StorPoolName";

/// What changes mean for one node's plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touch {
    /// A pool was made, changed or removed.
    pub pools: bool,
    /// An external file, or which of them belong to the node, changed.
    pub files: bool,
    /// Items that were made, changed or removed.
    pub items: BTreeSet<Uuid>,
}

/// The plan item of a replica.
#[must_use]
pub fn resource_item(cluster: &Cluster, resource: &Resource) -> ResourcePlan {
    let wanted = if resource.flags.has(ResourceFlag::Delete) && !is_down(cluster, resource) {
        Wanted::Absent
    } else if resource.flags.has(ResourceFlag::Inactive) || is_down(cluster, resource) {
        Wanted::Inactive
    } else {
        Wanted::Active
    };
    let volumes = resource
        .volumes
        .iter()
        .map(|(number, volume)| VolumePlan {
            id: volume.id,
            number: *number,
            wanted: match (volume.flags.has(VolumeFlag::Delete), wanted) {
                (true, Wanted::Active | Wanted::Inactive) if goes_down(cluster, resource, *number) => Wanted::Inactive,
                (true, _) => Wanted::Absent,
                (false, wanted) => wanted,
            },
            pool: volume.pool.clone(),
            backing: volume.backing.clone(),
            backing_kib: volume.backing_kib,
            content: volume.content.clone(),
            peers: if wanted == Wanted::Absent { Vec::new() } else { content::sources(cluster, resource, *number) },
        })
        .collect();
    ResourcePlan {
        id: resource.id,
        resource: resource.name.clone(),
        wanted,
        layers: resource.layers.clone(),
        diskless: resource.flags.has(ResourceFlag::Diskless),
        adopt: is_adopted(cluster, &resource.name, resource.id.uuid()),
        volumes,
    }
}

/// Whether a volume that is to be deleted only ends its device yet.
fn goes_down(cluster: &Cluster, resource: &Resource, number: VolumeNumber) -> bool {
    let of_this = |replicas: &[Awaited]| replicas.iter().any(|replica| replica.item == resource.id.uuid());
    cluster.jobs_on(&resource.name).any(|job| {
        matches!(&job.task, Task::DeleteVolume { number: of, replicas, step: DeleteStep::Down, .. } if *of == number && of_this(replicas))
    })
}

/// Whether a rollback, or a deletion that removes nothing yet, holds the replica down.
fn is_down(cluster: &Cluster, resource: &Resource) -> bool {
    cluster.jobs_on(&resource.name).any(|job| job.task.held_down().iter().any(|replica| replica.item == resource.id.uuid()))
}

/// Whether a job takes in what lies unmarked in the place of an item.
fn is_adopted(cluster: &Cluster, name: &ResourceName, item: Uuid) -> bool {
    cluster.jobs_on(name).any(|job| job.task.adopting().iter().any(|awaited| awaited.item == item))
}

/// The plan item of a snapshot's copy; `None`: the node has none.
#[must_use]
pub fn snapshot_item(cluster: &Cluster, snapshot: &Snapshot, node: &NodeName) -> Option<SnapshotPlan> {
    let copy = snapshot.copies.get(node)?;
    let volumes = copy
        .volumes
        .iter()
        .map(|(number, volume)| SnapshotVolumePlan {
            id: volume.id,
            number: *number,
            pool: volume.pool.clone(),
            backing: volume.backing.clone(),
            source: volume.source,
            source_backing: volume.source_backing.clone(),
        })
        .collect();
    Some(SnapshotPlan {
        id: copy.id,
        snapshot: snapshot.name.clone(),
        resource: snapshot.resource.clone(),
        wanted: match copy.state {
            CopyState::Wanted | CopyState::Taken => Wanted::Active,
            CopyState::Deleting => Wanted::Absent,
        },
        taken: copy.state == CopyState::Taken,
        adopt: is_adopted(cluster, &snapshot.resource, copy.id.uuid()),
        volumes,
    })
}

fn pool_plan(pool: &StorPool) -> Option<PoolPlan> {
    if pool.provider == ProviderKind::Diskless {
        return None;
    }
    Some(PoolPlan {
        id: pool.id,
        name: pool.name.clone(),
        provider: pool.provider,
        place: pool.props.get(POOL_PLACE).unwrap_or_default().to_owned(),
        props: pool.props.clone(),
    })
}

pub(crate) fn pool_plans(cluster: &Cluster, node: &NodeName) -> Vec<PoolPlan> {
    cluster.pools_of(node).filter_map(|pool| pool_plan(pool)).collect()
}

/// The external files of a node: those that the definitions of its replicas deploy, in the order of their paths.
pub(crate) fn file_plans(cluster: &Cluster, node: &NodeName) -> Vec<FilePlan> {
    let lies_here = |definition: &ResourceDefinition| {
        cluster.resource(&definition.name, node).is_some_and(|resource| !resource.flags.has(ResourceFlag::Delete))
    };
    let wanted = cluster.files.values().filter(|file| cluster.deploying(&file.path).any(|definition| lies_here(definition)));
    let plan = |file: &Arc<ExternalFile>| FilePlan {
        path: file.path.clone(),
        content: file.content.clone(),
        alt_suffixes: file.alt_suffixes.clone(),
    };
    wanted.map(plan).collect()
}

fn deploys_any(definition: &ResourceDefinition) -> bool {
    definition.props.iter().any(|(key, _)| key.starts_with(files::FILES) && files::of_property(key).is_some())
}

/// The files that a definition deploys.
fn deploys(definition: &ResourceDefinition) -> BTreeSet<FilePath> {
    definition.props.iter().filter_map(|(key, _)| files::of_property(key)).collect()
}

/// The whole plan of a node.
#[must_use]
pub fn whole(cluster: &Cluster, node: &NodeName) -> PlanBody {
    let resources = cluster.resources_on(node).map(|resource| PlanItem::Resource(resource_item(cluster, resource)));
    let snapshots = cluster.snapshots_on(node).filter_map(|snapshot| snapshot_item(cluster, snapshot, node)).map(PlanItem::Snapshot);
    let tombstones = cluster.tombstones_on(node).filter(|tombstone| is_for(cluster, tombstone)).map(|tombstone| tombstone.item.clone());
    PlanBody {
        pools: Some(pool_plans(cluster, node)),
        items: tombstones.chain(resources).chain(snapshots).collect(),
        files: Some(file_plans(cluster, node)),
        forget: Vec::new(),
    }
}

/// Whether a tombstone speaks of the node that has its name now. A node that was given up and made anew is another one (law 3):
/// what it still holds of the old one's is left alone, for whoever may want the data.
fn is_for(cluster: &Cluster, tombstone: &Tombstone) -> bool {
    cluster.nodes.get(&tombstone.node).is_some_and(|node| node.id == tombstone.node_id)
}

/// What a node must be told after `touch`.
#[must_use]
pub fn partial(cluster: &Cluster, node: &NodeName, touch: &Touch) -> PlanBody {
    let mut body = PlanBody {
        pools: touch.pools.then(|| pool_plans(cluster, node)),
        files: touch.files.then(|| file_plans(cluster, node)),
        ..PlanBody::default()
    };
    for id in &touch.items {
        match item(cluster, node, *id) {
            Some(item) => body.items.push(item),
            None => body.forget.push(*id),
        }
    }
    body
}

pub(crate) fn item(cluster: &Cluster, node: &NodeName, id: Uuid) -> Option<PlanItem> {
    match cluster.owner(id)? {
        ItemOwner::Resource(name, on) if on == node => {
            cluster.resource(name, on).map(|resource| PlanItem::Resource(resource_item(cluster, resource)))
        }
        ItemOwner::Snapshot(name, snapshot, on) if on == node => {
            snapshot_item(cluster, cluster.snapshot(name, snapshot)?, on).map(PlanItem::Snapshot)
        }
        ItemOwner::Tombstone(on) if on == node => {
            cluster.tombstones.get(&id).filter(|tombstone| is_for(cluster, tombstone)).map(|tombstone| tombstone.item.clone())
        }
        ItemOwner::Resource(..) | ItemOwner::Snapshot(..) | ItemOwner::Tombstone(_) => None,
    }
}

/// Which nodes' plans `changes` touch, between the cluster `before` and `after` them.
#[must_use]
pub fn touched(before: &Cluster, after: &Cluster, changes: &[Change]) -> BTreeMap<NodeName, Touch> {
    let mut touches: BTreeMap<NodeName, Touch> = BTreeMap::new();
    let mut add = |node: &NodeName, id: Uuid| {
        touches.entry(node.clone()).or_default().items.insert(id);
    };
    let mut pools = Vec::new();
    let mut files: BTreeSet<NodeName> = BTreeSet::new();
    for change in changes {
        match change.key() {
            Key::Resource(name, node) => {
                for cluster in [before, after] {
                    if let Some(resource) = cluster.resource(&name, &node) {
                        add(&node, resource.id.uuid());
                    }
                }
                let deploys_files = |cluster: &Cluster| cluster.definitions.get(&name).is_some_and(|definition| deploys_any(definition));
                if deploys_files(before) || deploys_files(after) {
                    files.insert(node);
                }
                // Their plans name the peers that hold the data.
                for waiting in after.replicas(&name).filter(|replica| content::waits_for_peers(replica)) {
                    add(&waiting.node, waiting.id.uuid());
                }
            }
            Key::Snapshot(name, snapshot) => {
                for cluster in [before, after] {
                    if let Some(snapshot) = cluster.snapshot(&name, &snapshot) {
                        snapshot.copies.iter().for_each(|(node, copy)| add(node, copy.id.uuid()));
                    }
                }
            }
            Key::Tombstone(id) => {
                for cluster in [before, after] {
                    if let Some(tombstone) = cluster.tombstones.get(&id) {
                        add(&tombstone.node, id);
                    }
                }
            }
            Key::Job(id) => {
                // A rollback says what its replicas shall be, and an adoption what may be marked; any open job wants its items looked at under
                // its own serial.
                let ended = before.jobs.get(&id).filter(|job| matches!(job.task, Task::Rollback { .. }) || !job.task.adopting().is_empty());
                for job in ended.into_iter().chain(after.jobs.get(&id)) {
                    job.task.awaited().iter().for_each(|awaited| add(&awaited.node, awaited.item));
                }
            }
            Key::StorPool(node, _) => pools.push(node),
            Key::ResourceDefinition(name) => {
                let of = |cluster: &Cluster| cluster.definitions.get(&name).map(|definition| deploys(definition)).unwrap_or_default();
                if of(before) != of(after) {
                    files.extend(after.replicas(&name).map(|replica| replica.node.clone()));
                }
            }
            Key::ExternalFile(path) => {
                for cluster in [before, after] {
                    let replicas = cluster.deploying(&path).flat_map(|definition| cluster.replicas(&definition.name));
                    files.extend(replicas.map(|replica| replica.node.clone()));
                }
            }
            Key::Controller
            | Key::Node(_)
            | Key::StorPoolDfn(_)
            | Key::ResourceGroup(_)
            | Key::KeyValueStore(_)
            | Key::Token(_)
            | Key::Number(_)
            | Key::MasterKey
            | Key::NodeConnection(_)
            | Key::ResourceConnection(..) => {}
        }
    }
    for node in files {
        touches.entry(node).or_default().files = true;
    }
    for node in pools {
        touches.entry(node).or_default().pools = true;
    }
    touches
}

/// The tombstone item of a replica: the same, wanted absent with all its volumes.
#[must_use]
pub fn absent_resource(cluster: &Cluster, resource: &Resource) -> PlanItem {
    let mut item = resource_item(cluster, resource);
    item.wanted = Wanted::Absent;
    item.adopt = false;
    item.volumes.iter_mut().for_each(|volume| volume.wanted = Wanted::Absent);
    PlanItem::Resource(item)
}

/// The tombstone item of a snapshot's copy.
#[must_use]
pub fn absent_snapshot(cluster: &Cluster, snapshot: &Snapshot, node: &NodeName) -> Option<PlanItem> {
    let mut item = snapshot_item(cluster, snapshot, node)?;
    item.wanted = Wanted::Absent;
    item.adopt = false;
    Some(PlanItem::Snapshot(item))
}
