//! What DRBD says of a replica, made of what satellites have seen: the states of its disks, its connections, and how good a Primary it
//! would be. The one place that knows the words.
//!
//! Source of the words: drbdsetup-events2(8); REST API v1, `VolumeState`, `DrbdConnection`, `DrbdResource.promotion_score`.

use std::sync::Arc;

use berth_model::cluster::Cluster;
use berth_model::flags::ResourceFlag;
use berth_model::names::{NodeName, VolumeNumber};
use berth_model::objects::Resource;
use berth_model::observed::{ItemSeen, Observed, Standing, VolumeSeen};

use crate::promotion::may_promote;

/// Score of a disk of its own that holds the data of now.
const SCORE_OWN: u32 = 10_000;
/// Score of a peer that holds it and is connected; a peer that is connected counts one more.
const SCORE_PEER: u32 = 100;

/// State of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It holds the data of now.
    UpToDate,
    /// It is being filled.
    Inconsistent,
    /// There is none, as it was asked for.
    Diskless,
}

impl Disk {
    /// The word of DRBD for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::Inconsistent => "Inconsistent",
            Self::Diskless => "Diskless",
        }
    }
}

/// State of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It stands.
    Connected,
    /// It is tried.
    Connecting,
}

impl Link {
    /// The word of DRBD for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connected => "Connected",
            Self::Connecting => "Connecting",
        }
    }
}

/// A peer of a replica.
#[derive(Debug)]
pub struct Peer<'c> {
    /// The other replica.
    pub replica: &'c Arc<Resource>,
    /// How it is reached.
    pub link: Link,
    seen: Option<&'c ItemSeen>,
}

impl Peer<'_> {
    /// How the replication of a volume stands between `own`, the state of its disk here, and this peer.
    #[must_use]
    pub fn replication(&self, number: VolumeNumber, own: Disk) -> &'static str {
        let other = self.seen.and_then(|seen| disk(self.replica, seen, number));
        match (self.link, own, other) {
            (Link::Connecting, ..) => "Off",
            (Link::Connected, Disk::Inconsistent, Some(Disk::UpToDate)) => "SyncTarget",
            (Link::Connected, Disk::UpToDate, Some(Disk::Inconsistent)) => "SyncSource",
            (Link::Connected, Disk::UpToDate | Disk::Inconsistent | Disk::Diskless, _) => "Established",
        }
    }
}

/// What DRBD says of a replica.
#[derive(Debug)]
pub struct Told<'c> {
    /// Its peers, by the name of their node. Two replicas without a disk are no peers: they have nothing to tell each other.
    pub peers: Vec<Peer<'c>>,
    /// Whether it could be made Primary now.
    pub may_promote: bool,
    /// How good a Primary it would be; higher is better, 0: the data of now is not within its reach. It does not change while it is used.
    pub promotion_score: u32,
}

/// What DRBD says of a replica; `None`: it is not in the stack, it does not run there, or nobody has seen it.
#[must_use]
pub fn told<'c>(cluster: &'c Cluster, observed: &'c Observed, replica: &Resource) -> Option<Told<'c>> {
    let seen = |replica: &Resource| observed.item(&replica.node, replica.id.uuid()).map(|record| &record.seen);
    let own = seen(replica).filter(|seen| runs(replica, seen))?;
    let connected: &[NodeName] = observed.nodes.get(&replica.node).map_or(&[], |node| node.peers.as_slice());
    let is_peer = |other: &Resource| other.id != replica.id && other.drbd.is_some() && !(is_diskless(replica) && is_diskless(other));
    let peer = |other: &'c Arc<Resource>| {
        let seen = seen(other);
        // Of a node that is away only its peers know whether it still runs.
        let is_there = seen.map_or_else(|| connected.contains(&other.node), |seen| runs(other, seen));
        Peer { replica: other, link: if is_there { Link::Connected } else { Link::Connecting }, seen }
    };
    let peers: Vec<Peer<'c>> = cluster.replicas(&replica.name).filter(|other| is_peer(other)).map(peer).collect();
    let reached = peers.iter().filter(|peer| peer.link == Link::Connected);
    let (mut links, mut sources) = (0u32, u32::from(has_data(replica, own)) * (SCORE_OWN / SCORE_PEER));
    for peer in reached {
        links = links.saturating_add(1);
        sources = sources.saturating_add(u32::from(peer.seen.is_some_and(|seen| has_data(peer.replica, seen))));
    }
    let promotion_score = if sources == 0 { 0 } else { sources.saturating_mul(SCORE_PEER).saturating_add(links) };
    Some(Told { peers, may_promote: may_promote(cluster, observed, replica).unwrap_or(false), promotion_score })
}

/// The state of a volume's disk in a replica as it was seen; `None`: DRBD is not in the stack, or says nothing of it.
#[must_use]
pub fn disk(replica: &Resource, seen: &ItemSeen, number: VolumeNumber) -> Option<Disk> {
    if !runs(replica, seen) {
        return None;
    }
    if is_diskless(replica) {
        return Some(Disk::Diskless);
    }
    let volume = seen.volumes.iter().find(|volume| volume.number == number).filter(|volume| volume.device_path.is_some())?;
    volume.up_to_date.map(|up_to_date| if up_to_date { Disk::UpToDate } else { Disk::Inconsistent })
}

fn is_diskless(replica: &Resource) -> bool {
    replica.flags.has(ResourceFlag::Diskless)
}

/// Whether DRBD runs there: it has a disk to say something of, or needs none.
fn runs(replica: &Resource, seen: &ItemSeen) -> bool {
    if replica.drbd.is_none() || [ResourceFlag::Inactive, ResourceFlag::InactivePermanently].iter().any(|flag| replica.flags.has(*flag)) {
        return false;
    }
    let told = |volume: &VolumeSeen| volume.in_use || volume.device_path.is_some() && volume.up_to_date.is_some();
    seen.volumes.iter().any(told) || is_diskless(replica) && seen.standing == Standing::Settled
}

/// Whether it holds the data of now in each of its volumes.
pub(crate) fn has_data(replica: &Resource, seen: &ItemSeen) -> bool {
    !is_diskless(replica) && !seen.volumes.is_empty() && seen.volumes.iter().all(|volume| volume.up_to_date == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::tests::{see, world};
    use crate::testkit::{World, node, resource};

    fn of<'w>(world: &'w World, on: &str) -> Option<Told<'w>> {
        let replica = world.cluster.resource(&resource("web"), &node(on)).unwrap();
        told(&world.cluster, &world.observed, replica)
    }

    fn state(world: &World, on: &str) -> Option<&'static str> {
        let replica = world.cluster.resource(&resource("web"), &node(on)).unwrap();
        let seen = &world.observed.item(&node(on), replica.id.uuid())?.seen;
        disk(replica, seen, VolumeNumber::new(0).unwrap()).map(Disk::word)
    }

    fn links(world: &World, on: &str) -> Vec<(String, &'static str, &'static str)> {
        let own = if state(world, on) == Some("Inconsistent") { Disk::Inconsistent } else { Disk::UpToDate };
        let zero = VolumeNumber::new(0).unwrap();
        let peers = of(world, on).unwrap().peers;
        peers.iter().map(|peer| (peer.replica.node.to_string(), peer.link.word(), peer.replication(zero, own))).collect()
    }

    #[test]
    fn disks_connections_and_scores_follow_what_was_seen() {
        let mut world = world();
        assert!(of(&world, "alpha").is_none() && state(&world, "alpha").is_none(), "nobody has seen it");
        see(&mut world, "alpha", Standing::Settled, true, false);
        assert_eq!(state(&world, "alpha"), Some("UpToDate"));
        assert_eq!(links(&world, "alpha"), [("bravo".to_owned(), "Connecting", "Off")]);
        assert_eq!(of(&world, "alpha").unwrap().promotion_score, 10_000);
        see(&mut world, "bravo", Standing::Settled, false, false);
        assert_eq!(state(&world, "bravo"), Some("Inconsistent"));
        assert_eq!(links(&world, "alpha"), [("bravo".to_owned(), "Connected", "SyncSource")]);
        assert_eq!(links(&world, "bravo"), [("alpha".to_owned(), "Connected", "SyncTarget")]);
        let scores = |world: &World| ["alpha", "bravo"].map(|on| of(world, on).map(|told| told.promotion_score));
        assert_eq!(scores(&world), [Some(10_001), Some(101)]);
        see(&mut world, "bravo", Standing::Settled, true, true);
        assert_eq!(scores(&world), [Some(10_101), Some(10_101)], "one that is used keeps its score");
        assert!(!of(&world, "bravo").unwrap().may_promote && !of(&world, "alpha").unwrap().may_promote);
        see(&mut world, "alpha", Standing::Settled, false, false);
        see(&mut world, "bravo", Standing::Settled, false, false);
        assert_eq!(scores(&world), [Some(0), Some(0)], "nobody has the data");
    }

    #[test]
    fn of_a_node_that_is_away_only_its_peers_know() {
        let mut world = world();
        see(&mut world, "alpha", Standing::Settled, true, false);
        see(&mut world, "bravo", Standing::Settled, true, false);
        let away = Arc::make_mut(world.observed.nodes.get_mut(&node("bravo")).unwrap());
        away.status = berth_model::observed::ConnectionStatus::Offline;
        assert!(of(&world, "bravo").is_none());
        assert_eq!(links(&world, "alpha")[0].1, "Connecting");
        Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap()).peers = Arc::new(vec![node("bravo")]);
        assert_eq!(links(&world, "alpha")[0].1, "Connected");
    }

    #[test]
    fn without_drbd_on_the_machine_nothing_is_told() {
        let mut world = world();
        see(&mut world, "alpha", Standing::Faulty, true, false);
        let on = Arc::make_mut(world.observed.nodes.get_mut(&node("alpha")).unwrap());
        for id in on.items.keys().copied().collect::<Vec<_>>() {
            let record = Arc::make_mut(on.items.get_mut(&id).unwrap());
            record.seen.volumes.iter_mut().for_each(|volume| (volume.up_to_date, volume.device_path) = (None, None));
        }
        assert!(of(&world, "alpha").is_none() && state(&world, "alpha").is_none());
    }
}
