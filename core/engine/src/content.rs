//! Where the data of a replica comes from, and when it has it (law 7). The one place that decides about a first synchronisation.
//!
//! The first replicas of a volume, made by one decision, are equal without one: nobody has written to them. Every later one gets its
//! data from its peers ([`ContentSource::Peers`]), whether these can be reached at the moment or not. A first replica that is not there
//! yet when another one is in use already is one of the later ones from then on.

use std::collections::BTreeSet;

use berth_model::cluster::Cluster;
use berth_model::flags::{ResourceFlag, VolumeFlag};
use berth_model::layers::ProviderKind;
use berth_model::names::{NodeName, ResourceName, VolumeNumber};
use berth_model::objects::{Resource, Volume};
use berth_model::observed::{Observed, Standing};
use berth_model::plan::{ContentSource, DataPeer};
use uuid::Uuid;

use crate::stack;

/// What a new disk of `replica` begins with, where no snapshot or other volume is copied. `made`: replicas that the same decision makes.
#[must_use]
pub fn first(cluster: &Cluster, replica: &Resource, number: VolumeNumber, made: &BTreeSet<Uuid>) -> ContentSource {
    let older =
        |other: &Resource| other.id != replica.id && !made.contains(&other.id.uuid()) && other.volumes.get(&number).is_some_and(has_disk);
    if stack::replicates(&replica.layers) && cluster.replicas(&replica.name).any(|other| older(other)) {
        ContentSource::Peers
    } else {
        ContentSource::Fresh
    }
}

fn has_disk(volume: &Volume) -> bool {
    volume.provider != ProviderKind::Diskless
}

/// Whether a replica has a volume that waits for the data of its peers.
#[must_use]
pub fn waits_for_peers(replica: &Resource) -> bool {
    replica.volumes.values().any(|volume| volume.content.source == ContentSource::Peers)
}

/// The peers that a volume of `replica` gets its data from, by node; empty of a volume that does not wait for any.
#[must_use]
pub fn sources(cluster: &Cluster, replica: &Resource, number: VolumeNumber) -> Vec<DataPeer> {
    if replica.volumes.get(&number).is_none_or(|volume| volume.content.source != ContentSource::Peers) {
        return Vec::new();
    }
    holders(cluster, replica, number).map(|(node, volume)| DataPeer { node: node.clone(), volume: volume.id }).collect()
}

/// Other replicas whose volume holds the data, or will before anybody writes to it.
fn holders<'c>(cluster: &'c Cluster, replica: &Resource, number: VolumeNumber) -> impl Iterator<Item = (&'c NodeName, &'c Volume)> {
    let own = replica.id;
    cluster.replicas(&replica.name).filter(move |other| other.id != own).filter_map(move |other| {
        let volume = other.volumes.get(&number)?;
        (has_disk(volume) && volume.content.source != ContentSource::Peers).then_some((&other.node, volume))
    })
}

/// Whether a volume that was seen as wanted has its data for good.
#[must_use]
pub fn arrived(cluster: &Cluster, observed: &Observed, replica: &Resource, number: VolumeNumber) -> bool {
    let Some(volume) = replica.volumes.get(&number) else { return true };
    match &volume.content.source {
        ContentSource::Kept | ContentSource::Snapshot { .. } | ContentSource::Volume { .. } => true,
        ContentSource::Peers => {
            let seen = observed.item(&replica.node, replica.id.uuid()).and_then(|record| {
                (record.seen.standing == Standing::Settled).then(|| record.seen.volumes.iter().find(|seen| seen.number == number))?
            });
            seen.is_some_and(|seen| seen.content == Some(volume.content.id.uuid()) && seen.up_to_date == Some(true))
        }
        ContentSource::Fresh => !overtaken(cluster, observed, replica, number),
    }
}

/// Whether the first synchronisation of a first replica, seen as wanted or not, cannot be skipped any more: another one is in use
/// already, and none of these can be reached.
fn overtaken(cluster: &Cluster, observed: &Observed, replica: &Resource, number: VolumeNumber) -> bool {
    if !stack::replicates(&replica.layers) {
        return false;
    }
    let mut kept = holders(cluster, replica, number).filter(|(_, volume)| volume.content.source == ContentSource::Kept).peekable();
    kept.peek().is_some() && kept.all(|(node, _)| !observed.online(node))
}

/// The replica as a later one: with [`ContentSource::Peers`] for each volume that is not there yet while another replica holds its data
/// already. `None`: nothing changes. `troubled`: it is not being made at the moment.
#[must_use]
pub fn late(cluster: &Cluster, observed: &Observed, replica: &Resource, troubled: bool) -> Option<Resource> {
    if !stack::replicates(&replica.layers) || replica.flags.has(ResourceFlag::Diskless) {
        return None;
    }
    let mut late = replica.clone();
    for (number, volume) in &mut late.volumes {
        let held = || holders(cluster, replica, *number).any(|(_, volume)| volume.content.source == ContentSource::Kept);
        let fresh = volume.content.source == ContentSource::Fresh && has_disk(volume);
        if fresh && (troubled && held() || overtaken(cluster, observed, replica, *number)) {
            volume.content.source = ContentSource::Peers;
        }
    }
    (late != *replica).then_some(late)
}

/// Volumes of a replica that wait for the data of their peers, although they are there. A volume that is being deleted waits for nothing.
#[must_use]
pub fn waiting(cluster: &Cluster, observed: &Observed, name: &ResourceName, node: &NodeName, item: Uuid) -> Vec<VolumeNumber> {
    let Some(replica) = cluster.resource(name, node).filter(|replica| replica.id.uuid() == item) else { return Vec::new() };
    if replica.flags.has(ResourceFlag::Delete) {
        return Vec::new();
    }
    let volumes = replica.volumes.iter().filter(|(_, volume)| !volume.flags.has(VolumeFlag::Delete));
    volumes.map(|(number, _)| *number).filter(|number| !arrived(cluster, observed, replica, *number)).collect()
}

/// Nodes whose replicas hold the data that a volume waits for.
#[must_use]
pub fn source_nodes(cluster: &Cluster, name: &ResourceName, node: &NodeName, number: VolumeNumber) -> Vec<NodeName> {
    let Some(replica) = cluster.resource(name, node) else { return Vec::new() };
    holders(cluster, replica, number).map(|(node, _)| node.clone()).collect()
}
