//! The end: a quiet world comes to rest, as it was asked for, and nothing is left behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_controller::View;
use berth_engine::{balance, tiebreaker};
use berth_model::flags::{NodeFlag, ResourceFlag, VolumeFlag};
use berth_model::job::Task;
use berth_model::layers::LayerKind;
use berth_model::objects::Resource;
use berth_model::observed::{FaultKind, Standing};
use berth_model::plan::ContentSource;
use berth_model::snapshot::CopyState;
use berth_plugin_sdk::{Files, Mark};

use super::{Checks, log};
use crate::machine::Machine;
use crate::world::Law;

/// What keeps the world from rest, for people.
pub type Leftovers = Vec<String>;

impl Checks {
    /// What is not at rest yet: open jobs, nodes away, items not as wanted, tombstones.
    #[must_use]
    pub fn restless(&self, view: &View) -> Leftovers {
        let mut all = Vec::new();
        let cluster = &view.cluster;
        for job in cluster.jobs.values() {
            all.push(format!("job {} ({} of '{}') is open", job.id, job.task.word(), job.subject));
        }
        for (name, node) in &cluster.nodes {
            if !view.observed.online(name) {
                all.push(format!("node '{}' is not online", node.name));
            }
            if node.flags.has(NodeFlag::Evacuate) {
                all.push(format!("node '{}' is being evacuated", node.name));
            }
            let strangers = view.observed.nodes.get(name).and_then(|seen| seen.strangers.clone());
            match strangers {
                Some((strangers, _)) => all.extend(strangers.iter().map(|found| format!("'{}' on '{name}' is a stranger", found.backing))),
                None => all.push(format!("nobody looked for strangers on '{name}'")),
            }
        }
        for resource in cluster.resources.values().flat_map(|nodes| nodes.values()) {
            let at = format!("'{}' on '{}'", resource.name, resource.node);
            if resource.flags.has(ResourceFlag::Delete) || resource.volumes.values().any(|volume| volume.flags.has(VolumeFlag::Delete)) {
                all.push(format!("{at} is to be deleted"));
            }
            if resource.volumes.values().any(|volume| volume.content.source != ContentSource::Kept) {
                all.push(format!("{at} has content that is not kept"));
            }
            let standing = view.observed.item(&resource.node, resource.id.uuid()).map(|record| record.seen.standing);
            if standing != Some(Standing::Settled) {
                all.push(format!("{at} is {standing:?}"));
            }
        }
        if cluster.controller.props.contains(balance::INTERVAL) {
            let now = berth_controller::outside::World::now(&self.world);
            for name in cluster.definitions.keys() {
                let finding = balance::look(cluster, &view.observed, now, name);
                if let Some(balance::Finding { action: balance::Action::Remove { node, .. }, .. }) = finding {
                    all.push(format!("'{name}' on '{node}' is one too many"));
                }
            }
        }
        for name in cluster.definitions.keys() {
            all.extend(super::replicas::needless_tie(cluster, name));
            // What could not be made when it was first wanted waits for balancing.
            if cluster.controller.props.contains(balance::INTERVAL) && tiebreaker::can_be_made(cluster, &view.observed, name) {
                all.push(format!("'{name}' has no tiebreaker"));
            }
        }
        for snapshot in cluster.snapshots.values().flat_map(|snapshots| snapshots.values()) {
            if snapshot.copies.values().any(|copy| copy.state != CopyState::Taken) {
                all.push(format!("snapshot '{}' of '{}' is neither taken nor gone", snapshot.name, snapshot.resource));
            }
        }
        for tombstone in cluster.tombstones.values() {
            // A node that was given up never says that something is gone.
            if cluster.nodes.get(&tombstone.node).is_some_and(|node| node.id == tombstone.node_id) {
                all.push(format!("a tombstone of '{}' on '{}' is left", tombstone.resource, tombstone.node));
            }
        }
        all
    }

    /// Replicas of which a volume is missing that some committed state had wanted gone: their deletion was taken back too late (a node that
    /// was away had carried it out), and the answer said so.
    #[must_use]
    pub fn half_deleted(&self, view: &View) -> Vec<Arc<Resource>> {
        let state = self.state();
        let missing = |resource: &&Arc<Resource>| {
            let fault = view.observed.item(&resource.node, resource.id.uuid()).and_then(|record| record.seen.fault.as_ref());
            let wanted_gone = resource.volumes.values().any(|volume| state.dispensable.contains(&volume.id.uuid()));
            // What such a job waits for never comes; deleting the replica is the way out that it names.
            let quiet = view.cluster.jobs_on(&resource.name).all(|job| matches!(job.task, Task::Activate { .. } | Task::Resize { .. }));
            quiet && wanted_gone && fault.is_some_and(|fault| fault.kind == FaultKind::Lost)
        };
        view.cluster.resources.values().flat_map(|nodes| nodes.values()).filter(missing).cloned().collect()
    }

    /// Compares the machines with the committed state. Called when the world is at rest.
    pub fn machines(&self, machines: &[Arc<Machine>]) {
        let mut broken: Vec<(Law, String)> = Vec::new();
        let state = self.state();
        let truth = &state.truth;
        for machine in machines {
            let mut wanted: BTreeSet<uuid::Uuid> = BTreeSet::new();
            let resources = truth.resources.values().flat_map(|nodes| nodes.values()).filter(|r| r.node.as_str() == machine.name);
            for resource in resources.filter(|resource| !resource.flags.has(ResourceFlag::Diskless)) {
                for (number, volume) in &resource.volumes {
                    wanted.insert(volume.id.uuid());
                    let at = format!("volume {number} of '{}' on '{}'", resource.name, machine.name);
                    let Some((pool, file)) = find(machine, &volume.backing, volume.id.uuid()) else {
                        broken.push((Law::Data, format!("{at} has no backing of its generation")));
                        continue;
                    };
                    let seen = pool.look(&file).ok().flatten();
                    let mark = seen.as_ref().and_then(|seen| seen.mark.as_deref()).and_then(|mark| Mark::parse(mark).ok());
                    let content = volume.content.id.uuid();
                    if mark.is_none_or(|mark| mark.content != content) {
                        broken.push((Law::Data, format!("{at} has another content than {content}")));
                    }
                    if seen.is_none_or(|seen| seen.size.0 < volume.backing_kib.0) {
                        broken.push((Law::Data, format!("{at} is smaller than {}", volume.backing_kib)));
                    }
                    let replicated = resource.layers.contains(&LayerKind::Drbd);
                    let (expected, data) = (state.data.content(content), pool.read(&file));
                    if !replicated && expected.is_some() && expected != data {
                        broken.push((Law::Data, format!("{at} contains {data:?}, expected {expected:?}")));
                    }
                    let served = !resource.flags.has(ResourceFlag::Inactive);
                    let device = pool.device(&file).ok().flatten().map(|device| device.path);
                    let link = machine.link(&resource.name, *number);
                    if served && (device.is_none() || link != device) {
                        broken.push((Law::Rest, format!("{at} is not served: device {device:?}, link {link:?}")));
                    }
                    if !served && (device.is_some() || link.is_some()) {
                        broken.push((Law::Rest, format!("{at} is served although it is inactive")));
                    }
                }
            }
            let snapshots = truth.snapshots.values().flat_map(|snapshots| snapshots.values());
            for (snapshot, copy) in
                snapshots.flat_map(|s| s.copies.iter().filter(|(node, _)| node.as_str() == machine.name).map(move |(_, c)| (s, c)))
            {
                for volume in copy.volumes.values() {
                    wanted.insert(volume.id.uuid());
                    let at = format!("snapshot '{}' of '{}' on '{}'", snapshot.name, snapshot.resource, machine.name);
                    let Some((pool, file)) = find(machine, &volume.backing, volume.id.uuid()) else {
                        broken.push((Law::Data, format!("{at} has no backing of its generation")));
                        continue;
                    };
                    let (expected, data) = (state.data.copy(volume.id.uuid()), pool.read(&file));
                    if !snapshot.layers.contains(&LayerKind::Drbd) && expected.is_some() && expected != data {
                        broken.push((Law::Data, format!("{at} contains {data:?}, expected {expected:?}")));
                    }
                }
            }
            let tombs = truth.tombstones.values().filter(|tombstone| tombstone.node.as_str() == machine.name);
            wanted.extend(tombs.flat_map(|tombstone| log::volumes_of(&tombstone.item)));
            for (place, pool) in machine.pools() {
                for seen in pool.list().unwrap_or_default() {
                    let mark = seen.mark.as_deref().and_then(|mark| Mark::parse(mark).ok());
                    let known =
                        mark.as_ref().is_some_and(|mark| wanted.contains(&mark.generation) || state.abandoned.contains(&mark.generation));
                    let finished = seen.name.ends_with(".img");
                    if !known || !finished {
                        let whose = mark.map_or_else(|| "nobody".to_owned(), |mark| format!("{} {}", mark.name, mark.generation));
                        broken.push((Law::Jobs, format!("'{}' ({whose}) is left in {place} of '{}'", seen.name, machine.name)));
                    }
                }
            }
            for (resource, volume, device) in machine.links() {
                let node = truth.resources.get(&resource).and_then(|nodes| nodes.values().find(|r| r.node.as_str() == machine.name));
                if node.is_none() {
                    broken.push((Law::Jobs, format!("the link of '{resource}' volume {volume} to {device} is left on '{}'", machine.name)));
                }
            }
        }
        drop(state);
        broken.into_iter().for_each(|(law, what)| self.violate(law, what));
    }

    /// After everything was deleted: nothing may be known any more.
    pub fn empty(&self) {
        let truth = self.truth();
        let mut left: Leftovers = Vec::new();
        left.extend(truth.definitions.keys().map(|name| format!("definition '{name}'")));
        left.extend(truth.resources.keys().map(|name| format!("replicas of '{name}'")));
        left.extend(truth.snapshots.keys().map(|name| format!("snapshots of '{name}'")));
        left.extend(truth.jobs.values().map(|job| format!("job {} of '{}'", job.task.word(), job.subject)));
        let of_tombs: BTreeSet<uuid::Uuid> = truth.tombstones.keys().copied().collect();
        left.extend(
            truth.numbers.iter().filter(|(_, holder)| !of_tombs.contains(holder)).map(|(key, holder)| format!("{key:?} of {holder}")),
        );
        if !left.is_empty() {
            self.violate(Law::Jobs, format!("after everything was deleted there is still: {}", left.join(", ")));
        }
    }
}

/// The pool and file that hold an object of this generation under this backing name.
fn find(machine: &Machine, backing: &str, generation: uuid::Uuid) -> Option<(berth_plugin_sdk::memory::Memory, String)> {
    let file = format!("{backing}.img");
    machine.pools().into_values().find_map(|pool| {
        let seen = pool.look(&file).ok().flatten()?;
        let mark = Mark::parse(seen.mark.as_deref()?).ok()?;
        (mark.generation == generation).then_some((pool, file.clone()))
    })
}
