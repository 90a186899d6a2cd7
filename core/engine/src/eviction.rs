//! Automatic eviction: when a node that does not answer is given up for now. Pure: time and what was seen come in.
//!
//! Rules and defaults: REST API v1, `DrbdOptions/AutoEvict…` (contract 9.5). A moment is announced for every node that is away and may be
//! evicted; whether it is done then depends on how many others are away: where many are, the fault is more likely in the network; and on
//! DRBD: while a peer has a connection to the node, it lives.

use std::sync::Arc;
use std::time::Duration;

use berth_model::change::{Change, Object};
use berth_model::cluster::Cluster;
use berth_model::flags::NodeFlag;
use berth_model::names::NodeName;
use berth_model::objects::{Absence, Node, ResourceDefinition};
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::props::{Chain, Source};
use berth_model::time::Timestamp;

use crate::balance::census;

/// Minutes that a node must be away (node, controller).
pub const AFTER_TIME: &str = "DrbdOptions/AutoEvictAfterTime";
/// Whether a node may be evicted by itself (node, controller).
pub const ALLOW: &str = "DrbdOptions/AutoEvictAllowEviction";
/// Percentage of nodes that are away above which none is evicted (node, controller).
pub const MAX_DISCONNECTED: &str = "DrbdOptions/AutoEvictMaxDisconnectedNodes";
/// Replicas with a disk that are kept up for a resource (definition, group, controller); unset: as many as its group asks for.
pub const MIN_REPLICAS: &str = "DrbdOptions/AutoEvictMinReplicaCount";

/// Minutes where no time is set: the value that the recorded server works with (its documentation has another one).
const DEFAULT_AFTER: u64 = 720;
const DEFAULT_MAX_DISCONNECTED: u64 = 34;
/// Most seconds of an absence that are not written down.
const REMEMBER_EVERY: u64 = 300;

fn chain<'c>(cluster: &'c Cluster, node: &'c Node) -> Chain<'c> {
    Chain::new().with(Source::Node, &node.props).with(Source::Controller, &cluster.controller.props)
}

/// Whether a node is one that could be away: it runs a satellite, and nobody has given it up.
fn counts(node: &Node) -> bool {
    node.node_type.has_satellite() && !node.flags.has(NodeFlag::Delete)
}

/// Since when a node does not answer; `None`: it does, or what answers there is only not usable.
fn away_since(observed: &Observed, node: &NodeName) -> Option<Timestamp> {
    observed.nodes.get(node).filter(|seen| seen.status == ConnectionStatus::Offline).and_then(|seen| seen.away_since)
}

/// How long a node must be away before it is evicted. Bad values count as unset, negative ones as 0.
fn patience(chain: &Chain<'_>) -> Duration {
    let minutes = chain.get(AFTER_TIME).and_then(|text| text.trim().parse::<i64>().ok());
    let minutes = minutes.map_or(DEFAULT_AFTER, |minutes| u64::try_from(minutes).unwrap_or(0));
    Duration::from_secs(minutes.saturating_mul(60))
}

/// When a node is to be evicted if it stays away; `None`: it answers, is given up already, or must not be evicted.
#[must_use]
pub fn planned(cluster: &Cluster, observed: &Observed, node: &Node) -> Option<Timestamp> {
    let chain = chain(cluster, node);
    if !counts(node) || chain.get_bool(ALLOW) != Some(true) {
        return None;
    }
    let since = away_since(observed, &node.name)?;
    let wait = patience(&chain).saturating_sub(before(observed, node));
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Some(Timestamp(since.0.saturating_add(wait)))
}

/// How long a node that is away had been away already when this controller first found it so, as earlier ones have written down. A node
/// that was there since this one began has not.
#[must_use]
pub fn before(observed: &Observed, node: &Node) -> Duration {
    let (Some(absence), Some(seen)) = (node.absence, observed.nodes.get(&node.name)) else { return Duration::ZERO };
    let secs = if seen.away_since == Some(absence.since) {
        absence.before_secs
    } else if seen.reported.is_none() {
        absence.secs
    } else {
        0
    };
    Duration::from_secs(secs)
}

/// What is to be written down of absences, so that the next controller goes on counting: seldom, and only of nodes that may be evicted.
/// `away_for` as in [`due`].
#[must_use]
pub fn remember(cluster: &Cluster, observed: &Observed, away_for: impl Fn(&NodeName) -> Option<Duration>) -> Vec<Change> {
    let mut changes = Vec::new();
    for node in cluster.nodes.values() {
        let known = node.absence.map_or(0, |absence| absence.secs);
        let absence = match (planned(cluster, observed, node), away_since(observed, &node.name), away_for(&node.name)) {
            (Some(_), Some(since), Some(away)) => {
                let step = (patience(&chain(cluster, node)).as_secs() / 10).clamp(1, REMEMBER_EVERY);
                let new = Absence { since, before_secs: before(observed, node).as_secs(), secs: away.as_secs() };
                let news = node.absence.is_some_and(|absence| absence.since != since) || away.as_secs().saturating_sub(known) >= step;
                if news && away.as_secs() > 0 { Some(new) } else { node.absence }
            }
            // It is there. While it is given up or not looked for, what is known stays.
            _ if observed.online(&node.name) => None,
            _ => node.absence,
        };
        if absence != node.absence {
            changes.push(Change::Put(Object::Node(Node { absence, ..(**node).clone() })));
        }
    }
    changes
}

/// A node whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// It.
    pub node: NodeName,
    /// Why it is not evicted all the same, a sentence; `None`: it is.
    pub held: Option<String>,
}

/// The nodes whose moment has come, in the order of their names. Costs what the nodes cost.
///
/// `away_for`: how long a node has been away by a clock that nobody can set. The announced moment is one of wall time, which may jump.
#[must_use]
pub fn due(cluster: &Cluster, observed: &Observed, away_for: impl Fn(&NodeName) -> Option<Duration>) -> Vec<Due> {
    let is_ripe = |node: &&Arc<Node>| {
        planned(cluster, observed, node).is_some() && away_for(&node.name).is_some_and(|away| away >= patience(&chain(cluster, node)))
    };
    let ripe: Vec<_> = cluster.nodes.values().filter(is_ripe).collect();
    if ripe.is_empty() {
        return Vec::new();
    }
    let all = cluster.nodes.values().filter(|node| counts(node)).count();
    let away = cluster.nodes.values().filter(|node| counts(node) && !observed.online(&node.name)).count();
    let held = |node: &Node| {
        if let Some(peer) = seen_by(cluster, observed, &node.name) {
            return Some(format!("DRBD on '{peer}' has a connection to it: only the way to its satellite is broken."));
        }
        let limit = chain(cluster, node).get(MAX_DISCONNECTED).and_then(|text| text.trim().parse::<u64>().ok());
        let limit = limit.unwrap_or(DEFAULT_MAX_DISCONNECTED);
        let too_many = u128::try_from(away).unwrap_or(u128::MAX) * 100 > u128::from(limit) * u128::try_from(all).unwrap_or(0);
        too_many.then(|| format!("{away} of {all} nodes are away, more than {limit} % ({MAX_DISCONNECTED})."))
    };
    ripe.into_iter().map(|node| Due { node: node.name.clone(), held: held(node) }).collect()
}

/// A node that is there and whose DRBD has a connection to this one.
fn seen_by(cluster: &Cluster, observed: &Observed, node: &NodeName) -> Option<NodeName> {
    let connected = |other: &&NodeName| observed.online(other) && observed.nodes.get(*other).is_some_and(|seen| seen.peers.contains(node));
    cluster.nodes.keys().find(connected).cloned()
}

/// Replicas with a disk that an eviction keeps up for a definition; `None`: its group asks for diskless ones only.
#[must_use]
pub fn wanted(cluster: &Cluster, definition: &ResourceDefinition) -> Option<usize> {
    let chain = Chain::new()
        .with(Source::ResourceDefinition, &definition.props)
        .with_some(Source::ResourceGroup, cluster.groups.get(&definition.group).map(|group| &group.props))
        .with(Source::Controller, &cluster.controller.props);
    match chain.get(MIN_REPLICAS).and_then(|text| text.trim().parse::<i64>().ok()) {
        Some(count) => usize::try_from(count).ok(),
        None => census::wanted(cluster, definition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{World, node};

    const MINUTE: i64 = 60_000;

    fn world(names: &[&str]) -> World {
        let mut world = World::of(&names.iter().map(|name| format!("node {name}")).collect::<Vec<_>>().join("; "));
        world.set_controller(ALLOW, "True");
        world
    }

    fn set_on(world: &mut World, name: &str, key: &str, value: &str) {
        let mut object = (*world.cluster.nodes[&node(name)]).clone();
        object.props.insert_internal(key, value);
        world.put(Object::Node(object));
    }

    fn away(world: &mut World, name: &str, since: i64) {
        let seen = Arc::make_mut(world.observed.nodes.get_mut(&node(name)).unwrap());
        (seen.status, seen.away_since) = (ConnectionStatus::Offline, Some(Timestamp(since)));
    }

    fn planned_of(world: &World, name: &str) -> Option<i64> {
        planned(&world.cluster, &world.observed, &world.cluster.nodes[&node(name)]).map(|at| at.0)
    }

    fn due_at(world: &World, now: i64) -> Vec<Due> {
        let since = |name: &NodeName| world.observed.nodes.get(name).and_then(|seen| seen.away_since);
        let away = |name: &NodeName| since(name).and_then(|since| u64::try_from(now - since.0).ok()).map(Duration::from_millis);
        due(&world.cluster, &world.observed, away)
    }

    fn names(world: &World, now: i64) -> Vec<String> {
        due_at(world, now).into_iter().filter(|due| due.held.is_none()).map(|due| due.node.to_string()).collect()
    }

    #[test]
    fn the_moment_is_announced_by_the_nearest_setting() {
        let mut world = world(&["alpha", "bravo", "charlie"]);
        assert_eq!(planned_of(&world, "alpha"), None, "it answers");
        away(&mut world, "alpha", 1000);
        assert_eq!(planned_of(&world, "alpha"), Some(1000 + 720 * MINUTE));
        world.set_controller(AFTER_TIME, "60");
        assert_eq!(planned_of(&world, "alpha"), Some(1000 + 60 * MINUTE));
        set_on(&mut world, "alpha", AFTER_TIME, "5");
        assert_eq!(planned_of(&world, "alpha"), Some(1000 + 5 * MINUTE));
        set_on(&mut world, "alpha", AFTER_TIME, "-5");
        assert_eq!(planned_of(&world, "alpha"), Some(1000));
        set_on(&mut world, "alpha", AFTER_TIME, "9223372036854775807");
        assert_eq!(planned_of(&world, "alpha"), Some(i64::MAX), "no time is too long to be counted");
        set_on(&mut world, "alpha", ALLOW, "no");
        assert_eq!(planned_of(&world, "alpha"), None);
        set_on(&mut world, "alpha", ALLOW, "true");
        world.set_controller(ALLOW, "False");
        assert_eq!(planned_of(&world, "alpha"), Some(i64::MAX), "the node's own word is nearer");
        away(&mut world, "bravo", 0);
        assert_eq!(planned_of(&world, "bravo"), None);
        let seen = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
        seen.status = ConnectionStatus::VersionMismatch;
        assert_eq!(planned_of(&world, "alpha"), None, "somebody answers there");
    }

    #[test]
    fn a_node_goes_at_its_moment_and_none_while_many_are_away() {
        let mut world = world(&["alpha", "bravo", "charlie"]);
        world.set_controller(AFTER_TIME, "10");
        away(&mut world, "alpha", 0);
        assert_eq!(names(&world, 10 * MINUTE - 1), Vec::<String>::new());
        assert_eq!(names(&world, 10 * MINUTE), ["alpha"]);
        away(&mut world, "bravo", 9 * MINUTE);
        let held = due_at(&world, 10 * MINUTE);
        assert_eq!(held.len(), 1);
        assert!(held[0].held.as_deref().is_some_and(|why| why.contains("2 of 3")), "{held:?}");
        world.set_controller(MAX_DISCONNECTED, "66");
        assert_eq!(names(&world, 10 * MINUTE), Vec::<String>::new(), "two of three are 66.7 %");
        world.set_controller(MAX_DISCONNECTED, "67");
        assert_eq!(names(&world, 20 * MINUTE), ["alpha", "bravo"]);
        // Who was given up already counts neither as away nor as there.
        let mut gone = (*world.cluster.nodes[&node("bravo")]).clone();
        gone.flags.set(NodeFlag::Evicted);
        world.put(Object::Node(gone));
        world.set_controller(MAX_DISCONNECTED, "50");
        assert_eq!(names(&world, 20 * MINUTE), ["alpha"], "one of two");
        assert_eq!(planned_of(&world, "bravo"), None);
    }

    #[test]
    fn a_node_lives_as_long_as_drbd_on_a_node_that_is_there_has_a_connection_to_it() {
        let mut world = world(&["alpha", "bravo", "charlie", "delta"]);
        world.set_controller(AFTER_TIME, "10");
        away(&mut world, "alpha", 0);
        let connect = |world: &mut World, peers: Vec<NodeName>| {
            Arc::make_mut(world.observed.nodes.get_mut(&node("bravo")).unwrap()).peers = Arc::new(peers);
        };
        connect(&mut world, vec![node("alpha")]);
        let held = due_at(&world, 10 * MINUTE);
        assert!(held[0].held.as_deref().is_some_and(|why| why.contains("'bravo'")), "{held:?}");
        connect(&mut world, vec![node("charlie")]);
        assert_eq!(names(&world, 10 * MINUTE), ["alpha"]);
        // What a node said that is away itself counts no more.
        connect(&mut world, vec![node("alpha")]);
        away(&mut world, "bravo", 0);
        world.set_controller(MAX_DISCONNECTED, "100");
        assert_eq!(names(&world, 10 * MINUTE), ["alpha", "bravo"]);
    }

    #[test]
    fn the_next_controller_goes_on_counting() {
        let mut world = world(&["alpha", "bravo", "charlie"]);
        world.set_controller(AFTER_TIME, "60");
        let note = |world: &mut World, secs: u64| {
            let changes = remember(&world.cluster, &world.observed, |_| Some(Duration::from_secs(secs)));
            world.cluster.fold(&changes);
            changes.len()
        };
        let since = |world: &mut World, at: i64, reported: Option<i64>| {
            away(world, "alpha", at);
            Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap()).reported = reported.map(Timestamp);
        };
        since(&mut world, 1000, Some(900));
        assert_eq!((note(&mut world, 299), note(&mut world, 300), note(&mut world, 301)), (0, 1, 0), "seldom");
        assert_eq!(planned_of(&world, "alpha"), Some(1000 + 60 * MINUTE), "what is counted now is not counted twice");
        // The controller starts anew, and its clock was set back; it has never seen the node.
        since(&mut world, 50, None);
        let kept = |world: &World| before(&world.observed, &world.cluster.nodes[&node("alpha")]).as_secs();
        assert_eq!((kept(&world), planned_of(&world, "alpha")), (300, Some(50 + 55 * MINUTE)));
        assert_eq!(note(&mut world, 310), 1);
        assert_eq!((kept(&world), planned_of(&world, "alpha")), (300, Some(50 + 55 * MINUTE)));
        // And once more.
        since(&mut world, 7, None);
        assert_eq!(kept(&world), 310);
        // It comes back, and goes again: that is another absence.
        let seen = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
        (seen.status, seen.away_since, seen.reported) = (ConnectionStatus::Online, None, Some(Timestamp(8)));
        let before_it_is_noted = world.cluster.clone();
        assert_eq!((note(&mut world, 0), world.cluster.nodes[&node("alpha")].absence), (1, None));
        since(&mut world, 9, Some(8));
        assert_eq!(kept(&world), 0);
        world.cluster = before_it_is_noted;
        assert_eq!(kept(&world), 0, "also where nobody had the time to write that down");
    }
}
