//! Which of too many replicas goes: the placement is asked which of those that may go it would choose again, beside those that stay
//! whatever it says. So every rule of placement holds for what remains, and none is written here.

use berth_model::change::{Change, Key};
use berth_model::cluster::Cluster;
use berth_model::names::NodeName;
use berth_model::objects::{Resource, ResourceDefinition, SelectFilter};
use berth_model::observed::Observed;

use super::Action;
use crate::placement::{self, PlaceError, Placement, Refusal, Request, Score};
use crate::risk;

/// Why a replica stays whatever the placement says; `None`: it may go.
fn fixed(cluster: &Cluster, observed: &Observed, replica: &Resource) -> Option<&'static str> {
    if !risk::holds_data(observed, replica) {
        return Some("not seen to hold the data");
    }
    let record = observed.item(&replica.node, replica.id.uuid());
    if record.is_none_or(|record| record.seen.volumes.iter().any(|volume| volume.in_use)) {
        return Some("in use");
    }
    let copies = cluster.snapshots_of(&replica.name).any(|snapshot| snapshot.copies.contains_key(&replica.node));
    copies.then_some("with copies of snapshots")
}

/// What the placement says of a replica that may go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It breaks a rule, by itself or beside those that stay.
    Breaks(String),
    /// It keeps them; the others of this score or more are as many as are wanted.
    Outranked(Score),
    /// It would be chosen again.
    Chosen,
}

/// The replica that goes of `counted`, of which `wanted` shall stay. More than `wanted` of them hold the data.
pub(super) fn surplus(
    cluster: &Cluster,
    observed: &Observed,
    definition: &ResourceDefinition,
    counted: &[&Resource],
    wanted: usize,
) -> Action {
    let (free, kept): (Vec<&Resource>, Vec<&Resource>) = counted.iter().copied().partition(|one| fixed(cluster, observed, one).is_none());
    let stays: Vec<String> = kept.iter().filter_map(|one| Some(format!("{} ({})", one.node, fixed(cluster, observed, one)?))).collect();
    let Some(first) = free.first() else {
        return Action::LeaveAlone { why: format!("none of its replicas can go: {}", stays.join(", ")) };
    };
    let mut worth: Vec<(Worth, &NodeName)> = Vec::new();
    let group = cluster.groups.get(&definition.group);
    let placement = again(cluster, observed, definition, &free, wanted.saturating_sub(kept.len()));
    for replica in &free {
        let own = match &group {
            Some(group) if !listed(&group.filter, &replica.node) => Worth::Breaks(Refusal::NodeNotListed.to_string()),
            Some(_) | None => of(&placement, &replica.node),
        };
        worth.push((own, &replica.node));
    }
    // The least worth goes; of several alike the last by name.
    worth.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)));
    let (why, node) = worth.first().map_or((&Worth::Chosen, &first.node), |(worth, node)| (worth, *node));
    let others: Vec<String> = free.iter().map(|one| &one.node).filter(|one| *one != node).map(ToString::to_string).collect();
    let reason = match why {
        Worth::Breaks(rule) => format!("it breaks a rule of placement ({rule})"),
        Worth::Outranked(score) => format!("the placement of what stays is best without it (its score is {score})"),
        Worth::Chosen => "it is the last of several alike".to_owned(),
    };
    let beside = if others.is_empty() { String::new() } else { format!("; {} could have gone", others.join(", ")) };
    let stays = if stays.is_empty() { String::new() } else { format!("; these stay: {}", stays.join(", ")) };
    Action::Remove { node: node.clone(), why: format!("{reason}{beside}{stays}") }
}

/// What the placement would choose if the replicas of `free` were not there, among their own nodes and pools: `count` of them, or as many
/// as keep the rules.
fn again(cluster: &Cluster, observed: &Observed, definition: &ResourceDefinition, free: &[&Resource], count: usize) -> Placement {
    let mut without = cluster.clone();
    for replica in free {
        without.fold([&Change::Delete(Key::Resource(replica.name.clone(), replica.node.clone()))]);
        let used = |pool: &NodePool| replica.volumes.values().any(|volume| volume.pool == *pool);
        let unused: Vec<NodePool> = cluster.pools_of(&replica.node).map(|pool| pool.name.clone()).filter(|pool| !used(pool)).collect();
        unused.into_iter().for_each(|pool| without.fold([&Change::Delete(Key::StorPool(replica.node.clone(), pool))]));
    }
    let group = cluster.groups.get(&definition.group).map(|group| group.filter.clone()).unwrap_or_default();
    let nodes: Vec<String> =
        free.iter().map(|replica| &replica.node).filter(|node| listed(&group, node)).map(ToString::to_string).collect();
    if nodes.is_empty() {
        return Placement::default();
    }
    let filter = SelectFilter { node_name_list: Some(nodes), ..group.clone() };
    let layers = free.first().map(|replica| replica.layers.clone()).unwrap_or_default();
    let mut tried = Vec::new();
    for count in (0..=count.min(free.len())).rev() {
        // What is there needs no further space.
        let request = Request { volumes: Vec::new(), ..Request::new(cluster, definition, &filter, count, &layers) };
        match placement::place(&without, observed, &request) {
            Ok(placement) => return placement,
            Err(PlaceError::TooFew { tried: found, .. }) => tried = found,
            // The replicas that stay break the rule among themselves: nothing can be said for or against the others.
            Err(
                PlaceError::Undecidable { .. } | PlaceError::BadRegex { .. } | PlaceError::TooHard { .. } | PlaceError::Contradiction(_),
            ) => break,
        }
    }
    Placement { tried, ..Placement::default() }
}

type NodePool = berth_model::names::StorPoolName;

/// Whether the group lets replicas be on a node by its name.
fn listed(filter: &SelectFilter, node: &NodeName) -> bool {
    let list = filter.node_name_list.as_ref().filter(|names| !names.is_empty());
    list.is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(node.as_str())))
}

fn of(placement: &Placement, node: &NodeName) -> Worth {
    if placement.chosen.iter().any(|one| one.node == *node) {
        return Worth::Chosen;
    }
    let mut found = placement.tried.iter().filter(|one| one.node == *node);
    let fits = |why: &Refusal| matches!(why, Refusal::Outranked | Refusal::NotTogether);
    match found.clone().find(|one| fits(&one.why)) {
        Some(one) => Worth::Outranked(one.score.unwrap_or_default()),
        // Of what was not judged nothing can be said.
        None => found.next().map_or(Worth::Chosen, |one| Worth::Breaks(one.why.to_string())),
    }
}
