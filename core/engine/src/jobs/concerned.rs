//! Which jobs changes concern: one rule for the writer and for previews.

use std::collections::BTreeSet;

use berth_model::change::{Change, Key};
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, kind};
use berth_model::names::ResourceName;

/// The jobs to look at after `changes` to the state `before`: those that they make or touch, those on the resources that they touch, those
/// that wait for a node which they touch. One that `changes` remove may be among them.
#[must_use]
pub fn concerned(before: &Cluster, changes: &[Change]) -> BTreeSet<Id<kind::Job>> {
    let mut resources: BTreeSet<ResourceName> = BTreeSet::new();
    let mut concerned = BTreeSet::new();
    for change in changes {
        match change.key() {
            Key::Resource(name, node) => {
                // An evacuation goes on when a replica has left its node.
                concerned.extend(before.jobs_on_node(&node).map(|job| job.id));
                resources.insert(name);
            }
            Key::Snapshot(name, _) | Key::ResourceDefinition(name) => {
                resources.insert(name);
            }
            Key::Job(id) => {
                resources.extend(before.jobs.get(&id).and_then(|job| job.resource().cloned()));
                concerned.insert(id);
            }
            // A node that is deleted goes when its last tiebreaker is gone.
            Key::Tombstone(id) => {
                let node = before.tombstones.get(&id).map(|tombstone| &tombstone.node);
                concerned.extend(node.into_iter().flat_map(|node| before.jobs_on_node(node)).map(|job| job.id));
            }
            Key::Node(name) => concerned.extend(before.jobs_awaiting(&name)),
            Key::Controller
            | Key::StorPoolDfn(_)
            | Key::StorPool(..)
            | Key::ResourceGroup(_)
            | Key::KeyValueStore(_)
            | Key::Token(_)
            | Key::Number(_)
            | Key::MasterKey
            | Key::NodeConnection(_)
            | Key::ResourceConnection(..)
            | Key::ExternalFile(_) => {}
        }
    }
    concerned.extend(resources.iter().flat_map(|name| before.jobs_on(name)).map(|job| job.id));
    concerned
}
