//! What each volume must contain. The data of a simulated volume is one number.

use std::collections::BTreeMap;

use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::objects::Resource;
use berth_model::plan::ContentSource;
use berth_model::snapshot::Snapshot;
use uuid::Uuid;

/// The data by content id, and of snapshots by the generation id of their volumes. `None`: nobody knows.
#[derive(Debug, Default)]
pub(super) struct Data {
    contents: BTreeMap<Uuid, Option<u64>>,
    copies: BTreeMap<Uuid, Option<u64>>,
}

impl Data {
    pub fn wrote(&mut self, content: Uuid, value: u64) {
        self.contents.insert(content, Some(value));
    }

    /// What a content is; `None`: nobody knows.
    pub fn content(&self, id: Uuid) -> Option<u64> {
        self.contents.get(&id).copied().flatten()
    }

    /// What a snapshot's volume is; `None`: nobody knows.
    pub fn copy(&self, id: Uuid) -> Option<u64> {
        self.copies.get(&id).copied().flatten()
    }

    /// Learns where new contents come from. Nobody writes to a volume while a job works on it, so what it contains at this moment is
    /// what the job will find.
    pub fn committed(&mut self, before: &Cluster, after: &Cluster, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Object::Snapshot(snapshot)) => self.snapshot(after, snapshot),
                Change::Put(Object::Resource(resource)) => self.resource(before, after, resource),
                Change::Put(_) | Change::Delete(_) => {}
            }
        }
    }

    fn snapshot(&mut self, after: &Cluster, snapshot: &Snapshot) {
        for (node, copy) in &snapshot.copies {
            for (number, volume) in &copy.volumes {
                if self.copies.contains_key(&volume.id.uuid()) {
                    continue;
                }
                let source = after.resource(&snapshot.resource, node).and_then(|resource| resource.volumes.get(number).cloned());
                let value = source.and_then(|source| self.content(source.content.id.uuid()));
                self.copies.insert(volume.id.uuid(), value);
            }
        }
    }

    fn resource(&mut self, before: &Cluster, after: &Cluster, resource: &Resource) {
        for volume in resource.volumes.values() {
            let id = volume.content.id.uuid();
            if self.contents.contains_key(&id) {
                continue;
            }
            let value = match &volume.content.source {
                ContentSource::Fresh => Some(0),
                ContentSource::Peers | ContentSource::Kept => None,
                ContentSource::Snapshot { id, .. } => self.copy(id.uuid()),
                ContentSource::Volume { id, .. } => {
                    let on_node = |cluster: &Cluster| {
                        let mut all = cluster.resources_on(&resource.node).flat_map(|r| r.volumes.values().cloned().collect::<Vec<_>>());
                        all.find(|source| source.id == *id)
                    };
                    on_node(after).or_else(|| on_node(before)).and_then(|source| self.content(source.content.id.uuid()))
                }
            };
            self.contents.insert(id, value);
        }
    }
}
