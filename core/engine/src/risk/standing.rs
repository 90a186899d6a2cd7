//! How a resource stands: who holds its data, who votes, and what would be left without some nodes.
//!
//! What the nodes that cannot be asked hold is not known. Every question is therefore asked for each state that they may be in: a
//! thing is certain if it follows in all of them, possible if it follows in one.

use std::collections::BTreeSet;

use berth_model::cluster::Cluster;
use berth_model::flags::{ResourceFlag, VolumeFlag};
use berth_model::names::{NodeName, ResourceName, VolumeNumber};
use berth_model::objects::{Resource, Volume};
use berth_model::observed::{FaultKind, ItemSeen, Observed};
use berth_model::plan::ContentSource;
use berth_model::props::{Chain, QUORUM, Source};

use crate::groups::DEFAULT_PLACE_COUNT;
use crate::stack;

/// The quorum rule of a resource (`DrbdOptions/Resource/quorum`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// None.
    Off,
    /// More than half of the voters.
    Majority,
    /// Every voter.
    All,
    /// So many voters.
    Votes(usize),
}

impl Quorum {
    /// Reads a value; one that is none of them counts as off, as for DRBD's default.
    pub(super) fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "majority" => Self::Majority,
            "all" => Self::All,
            other => other.parse().map_or(Self::Off, Self::Votes),
        }
    }

    /// Votes that are needed among so many voters; 0: none.
    #[must_use]
    pub fn needed(self, voters: usize) -> usize {
        match self {
            Self::Off => 0,
            Self::Majority => voters / 2 + 1,
            Self::All => voters,
            Self::Votes(votes) => votes,
        }
    }

    /// Whether these votes are enough. Half of an even number of voters keeps a majority with most of the diskless nodes on its side.
    pub(super) fn holds(self, voters: usize, votes: usize, diskless: usize, diskless_votes: usize) -> bool {
        let needed = self.needed(voters);
        let broken_tie = self == Self::Majority
            && voters > 0
            && voters.is_multiple_of(2)
            && votes.checked_add(1) == Some(needed)
            && diskless_votes > diskless / 2;
        votes >= needed || broken_tie
    }
}

impl std::fmt::Display for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
            Self::Votes(votes) => write!(f, "{votes}"),
        }
    }
}

/// Whether something follows in every state that unknown nodes may be in, or in some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Certain,
    Possible,
}

/// Whether a replica holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It was seen with it.
    Good,
    /// Nobody can say.
    Unknown,
    /// It was seen without it.
    Bad,
    /// It does not have it: it is being made, or was seen to be behind its peers.
    Empty,
}

/// A replica with a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) node: NodeName,
    pub(super) health: Health,
    /// Whether it can be used there, and has a vote at hand.
    pub(super) vote: Vote,
}

/// Whether a replica is up. A satellite that cannot be asked says nothing about DRBD on its node, which goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vote {
    /// It was seen to be.
    Up,
    /// Nobody can say.
    Unknown,
    /// It is not served, or has lost its disk.
    Down,
}

/// How a resource stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) replicates: bool,
    /// Replicas with a disk that stay, by node.
    pub(super) copies: Vec<Copy>,
    /// Diskless replicas by node, and whether their node was seen.
    pub(super) diskless: Vec<(NodeName, bool)>,
    pub(super) quorum: Quorum,
    /// Copies that the group asks for; 1 where nothing replicates.
    pub(super) wanted: usize,
    /// Where it was seen in use.
    pub(super) in_use: Vec<NodeName>,
}

/// What would follow; `None`: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    pub(super) data: Option<Certainty>,
    pub(super) access: Option<Certainty>,
    pub(super) quorum: Option<Certainty>,
    /// Copies before (unknown ones included), after for sure, and unknown ones after.
    pub(super) redundancy: Option<(usize, usize, usize)>,
}

fn volume_health(volume: &Volume, seen: Option<&ItemSeen>, number: VolumeNumber, replicates: bool) -> Health {
    let never_had = match &volume.content.source {
        ContentSource::Fresh | ContentSource::Peers => Health::Empty,
        // An old volume that is rolled back has data, whichever.
        ContentSource::Kept | ContentSource::Snapshot { .. } | ContentSource::Volume { .. } => Health::Unknown,
    };
    let Some(seen) = seen else { return never_had };
    let lost = seen.fault.as_ref().is_some_and(|fault| fault.kind == FaultKind::Lost);
    let seen = seen.volumes.iter().find(|one| one.number == number);
    match seen.and_then(|one| Some((one.content?, one.up_to_date))) {
        Some((content, _)) if content != volume.content.id.uuid() => Health::Unknown,
        Some((_, Some(true))) => Health::Good,
        Some((_, Some(false))) => Health::Empty,
        // The mark says whose data it is, not how new.
        Some((_, None)) => {
            if replicates {
                Health::Unknown
            } else {
                Health::Good
            }
        }
        None if lost => Health::Bad,
        None => never_had,
    }
}

/// Whether a replica holds the data of all its volumes.
pub(super) fn health(observed: &Observed, replica: &Resource) -> Health {
    let seen = observed.item(&replica.node, replica.id.uuid()).map(|record| &record.seen);
    let volumes = replica.volumes.iter().filter(|(_, volume)| !volume.flags.has(VolumeFlag::Delete));
    let all: Vec<Health> =
        volumes.map(|(number, volume)| volume_health(volume, seen, *number, stack::replicates(&replica.layers))).collect();
    let any = |health| all.contains(&health);
    match all.is_empty() {
        true => Health::Empty,
        false if any(Health::Bad) => Health::Bad,
        false if any(Health::Unknown) => Health::Unknown,
        false if any(Health::Empty) => Health::Empty,
        false => Health::Good,
    }
}

/// Whether a replica is served and was seen to hold the data of all its volumes.
pub(crate) fn holds_data(observed: &Observed, replica: &Resource) -> bool {
    // The others went on without one that is not served: what it holds is as old as its deactivation.
    !replica.flags.has(ResourceFlag::Inactive) && health(observed, replica) == Health::Good
}

impl Standing {
    /// How a resource stands; `None`: it does not exist.
    pub(super) fn of(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> Option<Self> {
        let definition = cluster.definitions.get(name)?;
        let group = cluster.groups.get(&definition.group);
        let mut standing = Self {
            replicates: cluster.replicas(name).any(|replica| stack::replicates(&replica.layers)),
            copies: Vec::new(),
            diskless: Vec::new(),
            quorum: Quorum::Off,
            wanted: 1,
            in_use: Vec::new(),
        };
        for replica in cluster.replicas(name) {
            let record = observed.item(&replica.node, replica.id.uuid());
            if record.is_some_and(|record| record.seen.volumes.iter().any(|volume| volume.in_use)) {
                standing.in_use.push(replica.node.clone());
            }
            if replica.flags.has(ResourceFlag::Delete) {
                continue;
            }
            if replica.flags.has(ResourceFlag::Diskless) {
                standing.diskless.push((replica.node.clone(), observed.online(&replica.node)));
                continue;
            }
            let served = !replica.flags.has(ResourceFlag::Inactive);
            let health = match health(observed, replica) {
                // The others went on without it: what it holds is as old as its deactivation.
                Health::Good if standing.replicates && !served => Health::Unknown,
                other => other,
            };
            let vote = match health {
                _ if !served => Vote::Down,
                Health::Bad => Vote::Down,
                Health::Good => Vote::Up,
                Health::Unknown => Vote::Unknown,
                Health::Empty => record.map_or(Vote::Unknown, |_| Vote::Up),
            };
            standing.copies.push(Copy { node: replica.node.clone(), health, vote });
        }
        if standing.replicates {
            let chain = Chain::new()
                .with(Source::ResourceDefinition, &definition.props)
                .with_some(Source::ResourceGroup, group.map(|group| &group.props))
                .with(Source::Controller, &cluster.controller.props);
            standing.quorum = chain.get(QUORUM).map_or(Quorum::Off, Quorum::parse);
            let count = group.and_then(|group| group.filter.place_count).unwrap_or(DEFAULT_PLACE_COUNT);
            standing.wanted = usize::try_from(count).unwrap_or(0);
        }
        Some(standing)
    }

    /// Number of voters.
    pub(super) fn voters(&self) -> usize {
        self.copies.len()
    }

    /// The nodes of these that hold the data, or may.
    pub(super) fn holders(&self, which: impl Fn(&NodeName) -> bool) -> Vec<NodeName> {
        let holds = |copy: &&Copy| matches!(copy.health, Health::Good | Health::Unknown);
        self.copies.iter().filter(holds).filter(|copy| which(&copy.node)).map(|copy| copy.node.clone()).collect()
    }

    /// The nodes of these of which nobody can say whether they hold the data.
    pub(super) fn unknown(&self, which: impl Fn(&NodeName) -> bool) -> Vec<NodeName> {
        let unknown = self.copies.iter().filter(|copy| copy.health == Health::Unknown && which(&copy.node));
        unknown.map(|copy| copy.node.clone()).collect()
    }

    fn count(&self, health: Health, which: impl Fn(&Copy) -> bool) -> usize {
        self.copies.iter().filter(|copy| copy.health == health && which(copy)).count()
    }

    /// Votes that would be left without `gone`: for sure, and if all unknown nodes are well.
    pub(super) fn votes(&self, gone: &BTreeSet<NodeName>) -> (usize, usize) {
        let votes = |vote| self.copies.iter().filter(|copy| copy.vote == vote && !gone.contains(&copy.node)).count();
        (votes(Vote::Up), votes(Vote::Up) + votes(Vote::Unknown))
    }

    /// What would follow if `gone` went away. Of the nodes that go, the unknown ones are taken to be well before: that is what can be lost.
    pub(super) fn verdict(&self, gone: &BTreeSet<NodeName>) -> Verdict {
        if !self.replicates {
            // Each replica has data of its own.
            let holds = |copy: &Copy| gone.contains(&copy.node) && matches!(copy.health, Health::Good | Health::Unknown);
            let data = self.copies.iter().any(holds).then_some(Certainty::Certain);
            let access = self.copies.iter().any(|copy| holds(copy) && copy.vote != Vote::Down).then_some(Certainty::Certain);
            return Verdict { data, access, ..Verdict::default() };
        }
        let stays = |copy: &Copy| !gone.contains(&copy.node);
        let holders = self.holders(|node| gone.contains(node)).len();
        let (good, unknown) = (self.count(Health::Good, stays), self.count(Health::Unknown, stays));
        let data = match (holders, good, unknown) {
            (0, _, _) | (_, 1.., _) => None,
            (_, 0, 0) => Some(Certainty::Certain),
            (_, 0, _) => Some(Certainty::Possible),
        };
        let (quorum, access) = self.service(gone);
        let short = holders > 0 && good + unknown > 0 && good < self.wanted;
        Verdict { data, quorum, access, redundancy: short.then_some((holders + good + unknown, good, unknown)) }
    }

    /// Quorum and access. Only how many unknown nodes are well matters, not which.
    fn service(&self, gone: &BTreeSet<NodeName>) -> (Option<Certainty>, Option<Certainty>) {
        let voters = self.voters();
        let diskless = self.diskless.len();
        let stays = |copy: &Copy| copy.vote != Vote::Down && !gone.contains(&copy.node);
        let goes = |copy: &Copy| copy.vote != Vote::Down && gone.contains(&copy.node);
        let (good, unknown) = (self.count(Health::Good, stays), self.count(Health::Unknown, stays));
        let making = self.count(Health::Empty, |copy| stays(copy) && copy.vote == Vote::Up);
        let making_unknown = self.count(Health::Empty, |copy| stays(copy) && copy.vote == Vote::Unknown);
        let good_there = self.count(Health::Good, goes) + self.count(Health::Unknown, goes);
        let votes_there = good_there + self.count(Health::Empty, goes);
        let diskless_seen = self.diskless.iter().filter(|(node, seen)| *seen && !gone.contains(node)).count();
        let diskless_unknown = self.diskless.iter().filter(|(node, seen)| !seen && !gone.contains(node)).count();
        let diskless_there = diskless - diskless_seen - diskless_unknown;
        let (mut quorum, mut access) = (Followed::default(), Followed::default());
        for well in 0..=unknown {
            for (making_well, diskless_well) in (0..=making_unknown).flat_map(|making| (0..=diskless_unknown).map(move |one| (making, one)))
            {
                let votes = good + making + well + making_well;
                let beside = diskless_seen + diskless_well;
                let before = self.quorum.holds(voters, votes + votes_there, diskless, beside + diskless_there);
                let after = self.quorum.holds(voters, votes, diskless, beside);
                quorum.look(before, after);
                access.look(before && good + well + good_there > 0, after && good + well > 0);
            }
        }
        (quorum.certainty(), access.certainty())
    }
}

/// Whether a loss follows in the states that were looked at.
#[derive(Debug, Default)]
struct Followed {
    /// States in which there is something to lose.
    before: usize,
    /// Those of them in which it is lost.
    lost: usize,
}

impl Followed {
    fn look(&mut self, before: bool, after: bool) {
        self.before += usize::from(before);
        self.lost += usize::from(before && !after);
    }

    fn certainty(&self) -> Option<Certainty> {
        match self.lost {
            0 => None,
            lost if lost == self.before => Some(Certainty::Certain),
            _ => Some(Certainty::Possible),
        }
    }
}
