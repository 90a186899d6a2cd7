//! A support bundle of a real cluster as the start of a run: its log is replayed step by step before the checkers, then machines are made
//! that hold what its records say.

use std::net::SocketAddr;
use std::sync::Arc;

use berth_model::change::Change;
use berth_model::cluster::Cluster;
use berth_model::codec;
use berth_model::flags::ResourceFlag;
use berth_model::ids::Id;
use berth_model::objects::Node;
use berth_model::plan::{ContentSource, PlanItem};
use berth_model::snapshot::CopyState;
use berth_plugin_sdk::{Files, Kib, Mark, MarkKind};
use berth_store::{Bundle, Loaded, Store, Transaction};
use uuid::Uuid;

use crate::machine::Machine;
use crate::stage::Stage;
use crate::world::Law;

/// Folder, volume group or dataset of a pool.
const PLACE: &str = "StorDriver/StorPoolName";

/// The machines that a bundle's nodes are: name and address. Nodes without a satellite have none.
#[must_use]
pub fn machines(bundle: &Bundle) -> Vec<(String, SocketAddr)> {
    let cluster = folded(&bundle.state());
    let place = |node: &Arc<Node>| {
        let interface = node.active_interface()?;
        Some((node.name.to_string(), SocketAddr::new(interface.address, interface.satellite?.port)))
    };
    cluster.nodes.values().filter_map(place).collect()
}

/// The state of records that can be read.
fn folded(loaded: &Loaded) -> Cluster {
    let id = loaded.cluster.as_ref().and_then(|cluster| Uuid::parse_str(&cluster.id).ok()).unwrap_or_default();
    let mut cluster = Cluster::empty(Id::from_uuid(id));
    for record in &loaded.records {
        if let Ok((object, _)) = codec::decode(&record.kind, &record.key, record.version, &record.body) {
            cluster.fold([&Change::Put(object)]);
        }
    }
    cluster.serial = loaded.serial;
    cluster
}

/// Puts a bundle on an empty stage: the state before its log, each of its steps, and what its machines hold at the end.
pub async fn replay(stage: &Stage, bundle: &Bundle) {
    let world = &stage.world;
    let start = bundle.start();
    world.note(&format!("a bundle of {} begins at serial {} and has {} steps", bundle.product, start.serial, bundle.log.len()));
    stage.checks.begins(folded(&start), bundle.epoch);
    let store = stage.disk.now();
    if let Err(error) = store.restore(Loaded { epoch: bundle.epoch, ..start }, Vec::new()).await {
        return world.violate(Law::Log, format!("the bundle's state cannot be restored: {error}"));
    }
    stage.checks.repeats(true);
    for step in bundle.steps() {
        let serial = step.log.serial;
        let transaction = Transaction { epoch: bundle.epoch, expected_serial: serial.saturating_sub(1), entries: vec![step] };
        world.note(&format!("step {serial}: {}", transaction.entries.iter().map(|entry| entry.log.command.as_str()).collect::<String>()));
        if let Err(error) = store.commit(transaction.clone()).await {
            return world.violate(Law::Log, format!("step {serial} of the bundle cannot be repeated: {error}"));
        }
        stage.checks.committed(&transaction);
    }
    stage.checks.repeats(false);
    let truth = stage.checks.truth();
    stage.machines.iter().for_each(|machine| furnish(machine, &truth));
}

/// Gives a machine what the committed state says that it holds.
fn furnish(machine: &Machine, truth: &Cluster) {
    let place = |pool: &berth_model::names::StorPoolName| {
        let node = truth.nodes.values().find(|node| node.name.as_str() == machine.name)?;
        Some(truth.pool(&node.name, pool)?.props.get(PLACE).unwrap_or_default().to_owned())
    };
    let put = |pool: &berth_model::names::StorPoolName, backing: &str, size: u64, mark: Mark| {
        let Some(place) = place(pool) else { return };
        let (memory, file) = (machine.pool(&place), format!("{backing}.img"));
        memory.put(&file, Kib(size), Some(mark.render()));
        let _ = memory.sync(&file);
    };
    let cluster = truth.id.uuid();
    let resources = truth.resources.values().flat_map(|nodes| nodes.values()).filter(|resource| resource.node.as_str() == machine.name);
    for resource in resources.filter(|resource| !resource.flags.has(ResourceFlag::Diskless)) {
        for (number, volume) in resource.volumes.iter().filter(|(_, volume)| volume.content.source == ContentSource::Kept) {
            let (generation, content) = (volume.id.uuid(), volume.content.id.uuid());
            let name = format!("{}/{number}", resource.name);
            put(&volume.pool, &volume.backing, volume.backing_kib.0, Mark { kind: MarkKind::Volume, cluster, generation, content, name });
        }
    }
    for snapshot in truth.snapshots.values().flat_map(|snapshots| snapshots.values()) {
        let copies = snapshot.copies.iter().filter(|(node, copy)| node.as_str() == machine.name && copy.state == CopyState::Taken);
        for (number, volume) in copies.flat_map(|(_, copy)| &copy.volumes) {
            let generation = volume.id.uuid();
            let name = format!("{}/{number}@{}", snapshot.resource, snapshot.name);
            let mark = Mark { kind: MarkKind::Snapshot, cluster, generation, content: generation, name };
            put(&volume.pool, &volume.backing, volume.backing_kib.0, mark);
        }
    }
    for tombstone in truth.tombstones.values().filter(|tombstone| tombstone.node.as_str() == machine.name) {
        if let PlanItem::Resource(plan) = &tombstone.item {
            for volume in &plan.volumes {
                let (generation, content) = (volume.id.uuid(), volume.content.id.uuid());
                let name = format!("{}/{}", plan.resource, volume.number);
                put(
                    &volume.pool,
                    &volume.backing,
                    volume.backing_kib.0,
                    Mark { kind: MarkKind::Volume, cluster, generation, content, name },
                );
            }
        }
    }
}
