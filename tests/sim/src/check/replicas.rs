//! Law 7: no replica is called up to date, and none is trusted with data, that has not got what its peers hold.
//!
//! The truth is made of what was committed and of what the simulated network of DRBD let through, not of what satellites say.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::change::{Change, Object};
use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::flags::DefinitionFlag;
use berth_model::job::Task;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::ResourceName;
use berth_model::objects::Resource;
use berth_model::observed::Observation;
use berth_model::plan::ContentSource;
use uuid::Uuid;

/// Which replicated volumes hold their data.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// Generation ids of volumes that do.
    holding: BTreeSet<Uuid>,
    /// By content id: volumes that have yet to get it, and the serial since when.
    waiting: BTreeMap<Uuid, (Uuid, u64)>,
    /// Commits repeat the log of another cluster: what its satellites saw is not known here, and is believed.
    pub repeating: bool,
}

fn replicated(resource: &Resource) -> bool {
    resource.layers.contains(&LayerKind::Drbd)
}

/// A tiebreaker that a definition should not have: a second one, one beside a client, or one for a number of disks that is odd.
/// Counted by the flags as they are shown.
pub(super) fn needless_tie(cluster: &Cluster, name: &ResourceName) -> Option<String> {
    let definition = cluster.definitions.get(name).filter(|definition| !definition.flags.has(DefinitionFlag::Delete))?;
    let has = |replica: &Resource, word: &str| replica.flags.shown().contains(&word);
    let stays = |replica: &&Resource| !["DELETE", "EVICTED", "EVACUATE"].iter().any(|word| has(replica, word));
    // Whose place another one takes leaves as soon as that holds the data.
    let moved =
        |one: &&Resource| cluster.jobs_on(name).any(|job| matches!(&job.task, Task::Move { from, .. } if from.item == one.id.uuid()));
    let replicas = cluster.replicas(name).map(AsRef::as_ref).filter(|one| replicated(one));
    let staying: Vec<&Resource> = replicas.filter(stays).filter(|one| !moved(one)).collect();
    let disks = staying.iter().filter(|one| !has(one, "DISKLESS")).count();
    let ties = staying.iter().filter(|one| has(one, "TIE_BREAKER")).count();
    let clients = staying.len() - disks - ties;
    let needed = ties == 1 && clients == 0 && disks >= 2 && disks.is_multiple_of(2);
    (ties > 0 && !needed).then(|| format!("'{}' has {ties} tiebreakers beside {disks} disks and {clients} clients", definition.name))
}

impl Replicas {
    /// The world begins with this state.
    pub fn begins(&mut self, truth: &Cluster) {
        let all: Vec<Change> =
            truth.resources.values().flat_map(|nodes| nodes.values()).map(|one| Change::Put(Object::Resource((**one).clone()))).collect();
        let nothing = Cluster::empty(truth.id);
        // What was decided before is not judged.
        let _judged = self.committed(&nothing, truth, &all);
    }

    /// Whether a volume holds its data.
    pub fn holds(&self, volume: Uuid) -> bool {
        self.holding.contains(&volume)
    }

    /// A volume got the data of a peer.
    pub fn synchronised(&mut self, volume: Uuid) {
        self.holding.insert(volume);
    }

    /// What was decided about first synchronisations, and which replicas are trusted.
    pub fn committed(&mut self, before: &Cluster, after: &Cluster, changes: &[Change]) -> Vec<String> {
        let mut broken = Vec::new();
        for change in changes {
            let Change::Put(Object::Resource(resource)) = change else { continue };
            if !replicated(resource) {
                continue;
            }
            // Under whatever name: it may have another one now.
            let old = match before.owner(resource.id.uuid()) {
                Some(ItemOwner::Resource(name, node)) => before.resource(name, node),
                Some(ItemOwner::Snapshot(..) | ItemOwner::Tombstone(_)) | None => before.resource(&resource.name, &resource.node),
            };
            for (number, volume) in resource.volumes.iter().filter(|(_, volume)| volume.provider != ProviderKind::Diskless) {
                let (id, content) = (volume.id.uuid(), volume.content.id.uuid());
                let at = format!("volume {number} of '{}' on '{}'", resource.name, resource.node);
                let former = old.and_then(|old| old.volumes.get(number)).filter(|old| old.id == volume.id).map(|old| &old.content.source);
                match (former, &volume.content.source) {
                    (None, ContentSource::Fresh) => {
                        let disk = |other: &Resource| other.volumes.get(number).is_some_and(|v| v.provider != ProviderKind::Diskless);
                        if let Some(other) = before.replicas(&resource.name).find(|other| other.id != resource.id && disk(other)) {
                            broken.push(format!("{at} is to be made without the data that '{}' may hold", other.node));
                        }
                        self.holding.insert(id);
                    }
                    (_, ContentSource::Peers) => {
                        if !matches!(former, Some(ContentSource::Peers)) {
                            self.holding.remove(&id);
                            self.waiting.insert(content, (id, after.serial));
                        }
                    }
                    (Some(ContentSource::Peers), _) if !self.repeating && !self.holding.contains(&id) => {
                        broken.push(format!("{at} counts as holding data that no peer gave it"));
                    }
                    (_, _) => drop(self.holding.insert(id)),
                }
            }
        }
        broken
    }

    /// Volumes that a satellite calls up to date and that are not.
    pub fn reported(&self, node: &str, observation: &Observation) -> Vec<String> {
        let volumes = observation.items.iter().flat_map(|item| item.volumes.iter().map(move |volume| (item.generation, volume)));
        let claimed = volumes.filter(|(_, volume)| volume.up_to_date == Some(true));
        claimed
            .filter_map(|(generation, volume)| {
                let (id, since) = self.waiting.get(&volume.content?)?;
                (generation >= *since && !self.holding.contains(id))
                    .then(|| format!("{node} calls volume {} ({id}) up to date, and no peer gave it the data", volume.number))
            })
            .collect()
    }
}

/// Replicas that wait for data which no replica is left to give: the operator deletes them, as their job says.
pub(super) fn orphans(truth: &Cluster) -> Vec<Resource> {
    let of = |resource: &Resource| {
        resource.volumes.iter().any(|(number, volume)| {
            let holds = |other: &Resource| {
                other.volumes.get(number).is_some_and(|v| v.provider != ProviderKind::Diskless && v.content.source != ContentSource::Peers)
            };
            volume.content.source == ContentSource::Peers && !truth.replicas(&resource.name).any(|other| holds(other))
        })
    };
    truth.resources.values().flat_map(|nodes| nodes.values()).filter(|one| of(one)).map(|one| (**one).clone()).collect()
}
