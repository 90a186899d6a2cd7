//! The slow timer of balancing: a round looks at every definition once, a bounded part of them in each turn.
//!
//! Where a round stands is in memory only: after a restart the next one begins anew, which costs time and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_engine::balance::{self, census};
use berth_engine::command::Command;
use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::names::ResourceName;
use berth_model::observed::Observed;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::turn::Turn;
use super::{Submission, Writer, Writing};

/// Who balances.
pub(super) const SELF: &str = "berth";
/// Definitions that one turn looks at.
const LOOKED_AT: usize = 256;
/// Definitions that one turn does something about: each is placed, or loses a replica.
const AT_ONCE: usize = 4;
/// Definitions that get new replicas at a time: each copies a whole volume over the network.
const MOST_FILLING: usize = 16;
/// A definition whose new replica is not up to date after this does not hold up others any more.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Pause between two parts of a round.
const PAUSE: Duration = Duration::from_secs(1);
/// The first round begins after this, or after the interval if that is shorter: satellites have told what they see by then.
const FIRST: Duration = Duration::from_secs(300);

/// Where the rounds stand.
#[derive(Debug)]
pub(super) struct Rounds {
    /// The present round began, or the last one; before the first: the controller.
    begun: Instant,
    first: bool,
    /// The last definition that the present round has looked at; `None`: no round is on.
    after: Option<ResourceName>,
    /// Not before this.
    not_before: Instant,
    /// Definitions whose new replicas are not up to date yet, and until when that counts.
    filling: BTreeMap<ResourceName, Instant>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, first: true, after: None, not_before: now, filling: BTreeMap::new() }
    }

    /// When there is something to look at.
    pub(super) fn due(&self, cluster: &Cluster) -> Instant {
        if self.after.is_some() {
            return self.not_before;
        }
        let interval = balance::interval(cluster);
        let pause = if self.first { interval.min(FIRST) } else { interval };
        self.begun.checked_add(pause).map_or(self.not_before, |due| due.max(self.not_before))
    }

    /// The definitions of the next part of the round with which something is to be done.
    fn part(&mut self, cluster: &Cluster, look: impl Fn(&ResourceName) -> bool) -> Vec<ResourceName> {
        let now = Instant::now();
        if self.after.is_none() {
            (self.begun, self.first) = (now, false);
        }
        self.not_before = now + PAUSE;
        let room = AT_ONCE.min(MOST_FILLING.saturating_sub(self.filling.len()));
        let (mut found, mut last, mut ended) = (Vec::new(), self.after.clone(), true);
        for (at, definition) in cluster.definitions_after(self.after.as_ref()).enumerate() {
            if at >= LOOKED_AT || found.len() >= room {
                ended = false;
                break;
            }
            if look(&definition.name) {
                found.push(definition.name.clone());
            }
            last = Some(definition.name.clone());
        }
        self.after = if ended { None } else { last.or_else(|| self.after.take()) };
        if room == 0 {
            // Nothing was looked at. A round that could not even begin is tried again.
            self.first |= self.after.is_none();
        }
        found
    }
}

/// Whether replicas of a definition are still on their way to the data.
fn fills(cluster: &Cluster, observed: &Observed, name: &ResourceName) -> bool {
    cluster.jobs_on(name).next().is_some() || census::fills(cluster, observed, name)
}

impl Writer {
    /// Goes on with a round if it is time.
    pub(super) fn balance(&mut self, turn: &mut Turn) {
        let now = Instant::now();
        if now < self.rounds.due(&self.cluster) {
            return;
        }
        if self.held.is_some() || !matches!(self.writing, Writing::Well) {
            self.rounds.not_before = now + PAUSE;
            return;
        }
        let (cluster, observed) = (turn.group.cluster.clone(), self.seen.observed.clone());
        self.rounds.filling.retain(|name, until| now < *until && fills(&cluster, &observed, name));
        let at = turn.now;
        let acts = |name: &ResourceName| balance::look(&cluster, &observed, at, name).is_some_and(|finding| finding.acts());
        for name in self.rounds.part(&cluster, acts) {
            let (answer, _nobody) = oneshot::channel();
            let command = Command::Balance { resources: vec![name.to_string()] };
            self.submit(
                turn,
                Submission { command, caller: Caller::internal(SELF), origin: "balance".to_owned(), span: tracing::Span::none(), answer },
            );
            if turn.group.cluster.jobs_on(&name).next().is_some() {
                self.rounds.filling.insert(name, now + PATIENCE);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use berth_model::change::{Change, Object};
    use berth_model::ids::Id;
    use berth_model::objects::{DrbdDefinition, ResourceDefinition};
    use berth_model::time::Timestamp;

    use super::*;

    fn definition(at: usize) -> ResourceDefinition {
        ResourceDefinition {
            id: Id::from_uuid(uuid::Uuid::from_u128(at as u128)),
            name: ResourceName::parse(&format!("r{at:05}")).unwrap(),
            external_name: None,
            group: berth_model::names::ResourceGroupName::parse("one").unwrap(),
            layers: Vec::new(),
            drbd: DrbdDefinition { port: None, secret: String::new(), transport: None, peer_slots: None, used_node_ids: 0 },
            flags: Default::default(),
            props: Default::default(),
            volumes: Default::default(),
            created: Timestamp(0),
        }
    }

    /// A cluster of so many definitions, `r00000` and so on.
    pub(in crate::writer) fn cluster(count: usize) -> Cluster {
        let mut cluster = Cluster::empty(Id::from_uuid(uuid::Uuid::nil()));
        let changes: Vec<Change> = (0..count).map(|at| Change::Put(Object::ResourceDefinition(definition(at)))).collect();
        cluster.fold(&changes);
        cluster
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_looks_at_each_definition_once_and_at_few_in_a_turn() {
        let cluster = cluster(1000);
        let mut rounds = Rounds::new();
        let looked = std::cell::RefCell::new(Vec::new());
        assert_eq!(rounds.due(&cluster), rounds.begun + FIRST);
        let mut turns = 0;
        loop {
            let before = looked.borrow().len();
            let found = rounds.part(&cluster, |name| {
                looked.borrow_mut().push(name.clone());
                name.as_str().ends_with("00")
            });
            assert!(found.len() <= AT_ONCE && looked.borrow().len() - before <= LOOKED_AT);
            turns += 1;
            if rounds.after.is_none() {
                break;
            }
            assert_eq!(rounds.due(&cluster), Instant::now() + PAUSE);
            tokio::time::advance(PAUSE).await;
        }
        let looked = looked.into_inner();
        assert_eq!((looked.len(), turns), (1000, 4), "each once");
        assert!(looked.is_sorted());
        assert_eq!(rounds.due(&cluster), rounds.begun + balance::interval(&cluster));
        let many = Instant::now() + PATIENCE;
        rounds.filling = looked.iter().take(MOST_FILLING).map(|name| (name.clone(), many)).collect();
        assert_eq!(rounds.part(&cluster, |_| true), Vec::new(), "as many are filled as may be");
        rounds.filling.pop_first();
        assert_eq!(rounds.part(&cluster, |_| true).len(), 1);
    }
}
