//! What rendered texts were rendered from, and which of them two states do not have in common.
//!
//! A text that stands in a [`Run`](super::index::Run) may read, for each definition in it:
//! - the records of the definition, its replicas and its snapshots;
//! - what was seen of these replicas and copies, and of the nodes they are on: [`of_seen`];
//! - of the node and the pools of a replica, of the definition's group and of the cluster: [`of_props`] and [`of_group`].
//!
//! Nothing else, and neither the time nor the order of requests. Whoever lets one read more adds it here;
//! `lists::tests` changes everything there is at random, and compares what is kept with what is rendered anew.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use berth_model::cluster::{Cluster, ItemOwner};
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::ResourceGroup;
use berth_model::observed::{ConnectionStatus, NodeSeen, Observed};
use berth_model::props::{PEER_SLOTS, Props, SKIP_DISK};
use berth_model::time::Timestamp;
use imbl::ordmap::DiffItem;

use crate::View;

/// What texts read of the properties of nodes, pools, groups and the cluster.
fn of_props(props: &Props) -> [Option<&str>; 2] {
    [SKIP_DISK, PEER_SLOTS].map(|key| props.get(key))
}

/// What they read of a group.
fn of_group(group: &ResourceGroup) -> (Option<u8>, [Option<&str>; 2]) {
    (group.peer_slots, of_props(&group.props))
}

/// What they read of a node's state, beside what was seen of replicas and copies.
fn of_seen(seen: &NodeSeen) -> (ConnectionStatus, Timestamp, Option<Timestamp>, Option<&str>, &[NodeName]) {
    (seen.status, seen.since, seen.away_since, seen.reason.as_deref(), &seen.peers)
}

/// Definitions whose texts may differ between two states; `None`: all of them.
pub fn between(old: &View, new: &View) -> Option<BTreeSet<ResourceName>> {
    let mut names = BTreeSet::new();
    if !Arc::ptr_eq(&old.cluster, &new.cluster) {
        if of_props(&old.cluster.controller.props) != of_props(&new.cluster.controller.props) {
            return None;
        }
        own_records(&old.cluster, &new.cluster, &mut names);
        other_records(&old.cluster, &new.cluster, &mut names);
    }
    if !Arc::ptr_eq(&old.observed, &new.observed) {
        seen(&old.observed, new, &mut names);
    }
    Some(names)
}

/// The key of a difference.
fn key<'m, K, V>(item: &DiffItem<'m, 'm, K, V>) -> &'m K {
    match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
    }
}

fn own_records(old: &Cluster, new: &Cluster, names: &mut BTreeSet<ResourceName>) {
    names.extend(old.definitions.diff(&new.definitions).map(|item| key(&item).clone()));
    names.extend(old.resources.diff(&new.resources).map(|item| key(&item).clone()));
    names.extend(old.snapshots.diff(&new.snapshots).map(|item| key(&item).clone()));
}

fn other_records(old: &Cluster, new: &Cluster, names: &mut BTreeSet<ResourceName>) {
    for item in old.groups.diff(&new.groups) {
        let same = matches!(&item, DiffItem::Update { old: (_, old), new: (_, new) } if of_group(old) == of_group(new));
        if !same {
            names.extend(new.definitions_of(key(&item)).map(|definition| definition.name.clone()));
        }
    }
    for item in old.nodes.diff(&new.nodes) {
        let same = matches!(&item, DiffItem::Update { old: (_, old), new: (_, new) } if of_props(&old.props) == of_props(&new.props));
        if !same {
            on_node(new, key(&item), names);
        }
    }
    for item in old.pools.diff(&new.pools) {
        let same = matches!(&item, DiffItem::Update { old: (_, old), new: (_, new) } if old.diff(new).all(|pool| {
            matches!(&pool, DiffItem::Update { old: (_, old), new: (_, new) } if of_props(&old.props) == of_props(&new.props))
        }));
        if !same {
            on_node(new, key(&item), names);
        }
    }
}

/// Everything that has a replica or a copy on a node.
fn on_node(cluster: &Cluster, node: &NodeName, names: &mut BTreeSet<ResourceName>) {
    names.extend(cluster.resources_on(node).map(|resource| resource.name.clone()));
    names.extend(cluster.snapshots_on(node).map(|snapshot| snapshot.resource.clone()));
}

fn seen(old: &Observed, new: &View, names: &mut BTreeSet<ResourceName>) {
    // Nodes are few, and each of them is compared by its address: to compare their values would be to compare all that is on them.
    let (mut before, mut after) = (old.nodes.iter().peekable(), new.observed.nodes.iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (Some((before, _)), Some((after, _))) => before.cmp(after),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let (before, after) = (if order.is_le() { before.next() } else { None }, if order.is_ge() { after.next() } else { None });
        match (before, after) {
            (Some((_, before)), Some((_, after))) if Arc::ptr_eq(before, after) => {}
            (Some((_, before)), Some((_, after))) if of_seen(before) == of_seen(after) => {
                let items = before.items.diff(&after.items);
                names.extend(items.filter_map(|item| match new.cluster.owner(*key(&item)) {
                    Some(ItemOwner::Resource(name, _) | ItemOwner::Snapshot(name, _, _)) => Some(name.clone()),
                    Some(ItemOwner::Tombstone(_)) | None => None,
                }));
            }
            (_, Some((node, _))) | (Some((node, _)), None) => on_node(&new.cluster, node, names),
            (None, None) => return,
        }
    }
}
