//! Laws 1 and 8 (and the part of 2 that is in the log): the truth is a fold of what was committed; numbers are given out once.

use std::collections::{BTreeMap, BTreeSet};

use berth_controller::View;
use berth_model::change::{Change, Key, NumberKey, Object};
use berth_model::cluster::Cluster;
use berth_model::codec;
use berth_model::flags::{NodeFlag, ResourceFlag, VolumeFlag};
use berth_model::names::ResourceName;
use berth_model::snapshot::CopyState;
use berth_store::{Loaded, Transaction, Write};
use uuid::Uuid;

use super::State;
use crate::lie::Lie;
use crate::world::{Law, World};

/// What the checkers of the log must not notice, because it is shown that others do.
fn deaf(world: &World) -> bool {
    [Lie::DeletionWithoutTombstone, Lie::JobsAreNotStored, Lie::AllocatorSeesStaleNumbers].into_iter().any(|lie| world.lies(lie))
}

/// The changes of a transaction on top of `truth`, in order.
fn changes(truth: &Cluster, transaction: &Transaction) -> Result<Vec<Change>, String> {
    let mut keys: BTreeMap<(String, String), Key> = BTreeMap::new();
    for key in truth.objects().map(|object| object.key()) {
        keys.insert((key.kind().word().to_owned(), key.text()), key);
    }
    let mut all = Vec::new();
    for write in transaction.entries.iter().flat_map(|entry| &entry.writes) {
        match write {
            Write::Put { kind, key, version, body } => {
                let (object, _) = codec::decode(kind, key, *version, body).map_err(|error| format!("{kind} {key}: {error}"))?;
                keys.insert((kind.clone(), key.clone()), object.key());
                all.push(Change::Put(object));
            }
            // Deleting what is not there is no change.
            Write::Delete { kind, key } => all.extend(keys.get(&(kind.clone(), key.clone())).cloned().map(Change::Delete)),
        }
    }
    Ok(all)
}

pub(super) fn committed(state: &mut State, transaction: &Transaction) -> Vec<(Law, String)> {
    let mut broken = Vec::new();
    if transaction.epoch != state.epoch {
        broken.push((Law::Log, format!("a controller of epoch {} commits in epoch {}", transaction.epoch, state.epoch)));
    }
    if transaction.expected_serial != state.truth.serial {
        broken.push((Law::Log, format!("a commit builds on {}, the last was {}", transaction.expected_serial, state.truth.serial)));
    }
    let changes = match changes(&state.truth, transaction) {
        Ok(changes) => changes,
        Err(error) => {
            broken.push((Law::Log, format!("a record cannot be read that is written: {error}")));
            return broken;
        }
    };
    let before = state.truth.clone();
    broken.extend(removed_by_balance(&before, transaction).into_iter().map(|what| (Law::Data, what)));
    let deleted = changes.iter().filter_map(|change| match change {
        Change::Delete(Key::Node(name)) => Some(name.clone()),
        Change::Delete(_) | Change::Put(_) => None,
    });
    let leaving = before.nodes.values().filter(|node| node.flags.has(NodeFlag::Delete)).map(|node| node.name.clone());
    leaving.chain(deleted).collect::<Vec<_>>().iter().for_each(|name| give_up(state, name));
    changes.iter().for_each(|change| state.truth.fold([change]));
    state.truth.serial = transaction.serial();
    for change in &changes {
        let cluster = [&before, &state.truth];
        let wanted_gone: Vec<Uuid> = cluster.iter().flat_map(|cluster| going(cluster, &change.key())).collect();
        state.dispensable.extend(wanted_gone);
    }
    state.data.committed(&before, &state.truth, &changes);
    broken.extend(state.replicas.committed(&before, &state.truth, &changes).into_iter().map(|what| (Law::Replicas, what)));
    if !state.replicas.repeating {
        let named = changes.iter().filter_map(|change| match change.key() {
            Key::Resource(name, _) | Key::ResourceDefinition(name) => Some(name),
            _ => None,
        });
        let names: BTreeSet<ResourceName> = named.collect();
        broken.extend(names.iter().filter_map(|name| super::replicas::needless_tie(&state.truth, name)).map(|what| (Law::Rest, what)));
    }
    broken.extend(numbers(&state.truth).into_iter().map(|what| (Law::Numbers, what)));
    broken
}

/// Replicas that balancing removes although they are needed: fewer than the group asks for would stay, or the last is among them.
fn removed_by_balance(before: &Cluster, transaction: &Transaction) -> Vec<String> {
    let mut broken = Vec::new();
    let mut truth = before.clone();
    for entry in &transaction.entries {
        let Ok(changes) = changes(&truth, &Transaction { entries: vec![entry.clone()], ..transaction.clone() }) else { return broken };
        let going = changes.iter().filter_map(|change| match change {
            Change::Put(Object::Resource(resource)) if resource.flags.has(ResourceFlag::Delete) => Some(resource),
            Change::Put(_) | Change::Delete(_) => None,
        });
        for resource in going.filter(|_| entry.log.origin == "balance") {
            let stays = |other: &&std::sync::Arc<berth_model::objects::Resource>| {
                other.node != resource.node && !other.flags.has(ResourceFlag::Delete) && !other.flags.has(ResourceFlag::Diskless)
            };
            let left = truth.replicas(&resource.name).filter(stays).count();
            let group = truth.definitions.get(&resource.name).and_then(|definition| truth.groups.get(&definition.group));
            let wanted = group.and_then(|group| group.filter.place_count).and_then(|count| usize::try_from(count).ok()).unwrap_or(2);
            if left < wanted.max(1) {
                let at = format!("'{}' on '{}'", resource.name, resource.node);
                broken.push(format!("balancing removes {at}, and leaves {left} replicas where {wanted} are wanted"));
            }
        }
        truth.fold(&changes);
    }
    broken
}

/// What a node holds that is deleted with its records: nobody will remove it.
fn give_up(state: &mut State, node: &berth_model::names::NodeName) {
    let held = state.truth.resources_on(node).flat_map(|resource| resource.volumes.values().map(|volume| volume.id.uuid()));
    let copies = state.truth.snapshots_on(node).filter_map(|snapshot| snapshot.copies.get(node));
    let copied = copies.flat_map(|copy| copy.volumes.values().map(|volume| volume.id.uuid()));
    let all: Vec<Uuid> = held.chain(copied).collect();
    state.abandoned.extend(all);
    let tombs: Vec<Uuid> = state.truth.tombstones_on(node).flat_map(|tombstone| volumes_of(&tombstone.item)).collect();
    state.abandoned.extend(tombs);
}

pub(super) fn volumes_of(item: &berth_model::plan::PlanItem) -> Vec<Uuid> {
    match item {
        berth_model::plan::PlanItem::Resource(plan) => plan.volumes.iter().map(|volume| volume.id.uuid()).collect(),
        berth_model::plan::PlanItem::Snapshot(plan) => plan.volumes.iter().map(|volume| volume.id.uuid()).collect(),
    }
}

/// Volumes of this record that a state wants gone. A record that is not there any more is asked of the state before.
fn going(cluster: &Cluster, key: &Key) -> Vec<Uuid> {
    match key {
        Key::Resource(name, node) => {
            let Some(resource) = cluster.resource(name, node) else { return Vec::new() };
            let whole = resource.flags.has(ResourceFlag::Delete);
            let volumes = resource.volumes.values().filter(|volume| whole || volume.flags.has(VolumeFlag::Delete));
            volumes.map(|volume| volume.id.uuid()).collect()
        }
        Key::Snapshot(name, snapshot) => {
            let Some(snapshot) = cluster.snapshot(name, snapshot) else { return Vec::new() };
            let copies = snapshot.copies.values().filter(|copy| copy.state == CopyState::Deleting);
            copies.flat_map(|copy| copy.volumes.values().map(|volume| volume.id.uuid())).collect()
        }
        Key::Tombstone(id) => cluster.tombstones.get(id).map(|tombstone| volumes_of(&tombstone.item)).unwrap_or_default(),
        Key::Controller
        | Key::Node(_)
        | Key::StorPoolDfn(_)
        | Key::StorPool(..)
        | Key::ResourceGroup(_)
        | Key::ResourceDefinition(_)
        | Key::KeyValueStore(_)
        | Key::Token(_)
        | Key::Job(_)
        | Key::Number(_)
        | Key::MasterKey
        | Key::NodeConnection(_)
        | Key::ResourceConnection(..)
        | Key::ExternalFile(_) => Vec::new(),
    }
}

/// Numbers that are used twice, or by somebody who does not hold them.
fn numbers(cluster: &Cluster) -> Vec<String> {
    let mut users: BTreeMap<NumberKey, Vec<Uuid>> = BTreeMap::new();
    for definition in cluster.definitions.values() {
        for volume in definition.volumes.values() {
            if let Some(minor) = volume.minor {
                users.entry(NumberKey::Minor { minor }).or_default().push(volume.id.uuid());
            }
        }
    }
    for resource in cluster.resources.values().flat_map(|nodes| nodes.values()) {
        if let Some(drbd) = &resource.drbd {
            let id = resource.id.uuid();
            for port in &drbd.ports {
                users.entry(NumberKey::Port { node: resource.node.clone(), port: *port }).or_default().push(id);
            }
            users.entry(NumberKey::NodeId { resource: resource.name.clone(), node_id: drbd.node_id }).or_default().push(id);
        }
    }
    let mut broken = Vec::new();
    for (number, users) in users {
        if users.len() > 1 {
            broken.push(format!("{number:?} is used by {users:?}"));
        }
        let holder = cluster.numbers.get(&number);
        if !users.iter().all(|user| Some(user) == holder) {
            broken.push(format!("{number:?} is used by {users:?} and held by {holder:?}"));
        }
    }
    broken
}

pub(super) fn loaded(state: &State, loaded: &Loaded, world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    if deaf(world) {
        return broken;
    }
    if loaded.serial < state.acknowledged {
        broken.push(format!("serial {} was acknowledged, a new controller finds {}", state.acknowledged, loaded.serial));
    }
    let mut found = Cluster::empty(state.truth.id);
    for record in &loaded.records {
        match codec::decode(&record.kind, &record.key, record.version, &record.body) {
            Ok((object, _)) => found.fold([&Change::Put(object)]),
            Err(error) => broken.push(format!("{} {} cannot be read: {error}", record.kind, record.key)),
        }
    }
    broken.extend(difference(&found, &state.truth).map(|what| format!("a new controller finds another state: {what}")));
    broken
}

/// The first difference of two states.
fn difference(left: &Cluster, right: &Cluster) -> Option<String> {
    let (left, right): (Vec<Object>, Vec<Object>) = (left.objects().collect(), right.objects().collect());
    if left == right {
        return None;
    }
    let differing = left.iter().find(|object| !right.contains(object)).or_else(|| right.iter().find(|object| !left.contains(object)));
    Some(differing.map_or_else(|| "the order differs".to_owned(), |object| format!("{:?}: {object:?}", object.key())))
}

pub(super) fn published(state: &mut State, view: &View, world: &World) -> Vec<(Law, String)> {
    if deaf(world) {
        return Vec::new();
    }
    let (shown, serial) = (view.cluster.serial, state.truth.serial);
    if shown > serial {
        return vec![(Law::Log, format!("serial {shown} is shown, {serial} is committed"))];
    }
    if shown < serial || state.compared == shown {
        return Vec::new();
    }
    state.compared = shown;
    let differs = difference(&view.cluster, &state.truth);
    differs.map(|what| (Law::Log, format!("memory is not what was committed: {what}"))).into_iter().collect()
}
