//! The timer of what definitions need by themselves (`engine::tending`): a round looks at every definition once, a bounded part of them in
//! each turn; whoever uses a resource without a disk is known from what satellites report, since when by a clock that nobody can set.
//!
//! All of it is in memory only: after a restart, or when the satellite was away, the time of use begins anew.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_engine::command::Command;
use berth_engine::tending;
use berth_model::access::Caller;
use berth_model::names::{NodeName, ResourceName};
use berth_model::props::PropChange;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::autosnap::Looks;
use super::balance::SELF;
use super::turn::Turn;
use super::{Submission, Writer, Writing};

/// What was done something about in vain is left alone for this long.
const AGAIN: Duration = Duration::from_secs(60);
/// How often the users without a disk are looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// Disks that are given in one turn: each copies a whole volume over the network.
const AT_ONCE: usize = 4;
/// Pause while nothing can be changed.
const PAUSE: Duration = Duration::from_secs(1);

/// Who uses a resource without a disk.
#[derive(Debug)]
struct Primary {
    since: Instant,
    /// Not before this.
    not_before: Instant,
}

/// Where the timer stands.
#[derive(Debug)]
pub(super) struct Tending {
    pub(super) rounds: Looks,
    primaries: BTreeMap<(NodeName, ResourceName), Primary>,
    look_at: Instant,
}

impl Tending {
    pub(super) fn new() -> Self {
        Self { rounds: Looks::new(), primaries: BTreeMap::new(), look_at: Instant::now() }
    }

    /// When there is something to look at.
    pub(super) fn due(&self) -> Instant {
        let round = self.rounds.due();
        if self.primaries.is_empty() { round } else { round.min(self.look_at) }
    }

    /// Somebody began or ended to use a resource without a disk.
    pub(super) fn used(&mut self, node: &NodeName, resource: ResourceName, begun: bool) {
        let now = Instant::now();
        if begun {
            self.primaries.entry((node.clone(), resource)).or_insert(Primary { since: now, not_before: now });
        } else {
            self.primaries.remove(&(node.clone(), resource));
        }
    }

    /// Nothing is known any more of a node.
    pub(super) fn lost(&mut self, node: &NodeName) {
        self.primaries.retain(|(on, _), _| on != node);
    }
}

impl Writer {
    /// Goes on with a round, and looks at the users without a disk, if it is time.
    pub(super) fn tend(&mut self, turn: &mut Turn) {
        let now = Instant::now();
        if now < self.tending.due() {
            return;
        }
        if self.held.is_some() || !matches!(self.writing, Writing::Well) {
            self.tending.rounds.wait(now + PAUSE);
            self.tending.look_at = now + PAUSE;
            return;
        }
        if now >= self.tending.look_at {
            self.give_disks(turn, now);
        }
        if now < self.tending.rounds.due() {
            return;
        }
        let (cluster, observed) = (turn.group.cluster.clone(), self.seen.observed.clone());
        let found = self.tending.rounds.part(&cluster, |_| AGAIN, |name| tending::acts(&cluster, &observed, name));
        for name in found {
            self.tend_one(turn, &name, None);
        }
    }

    fn give_disks(&mut self, turn: &mut Turn, now: Instant) {
        self.tending.look_at = now + INTERVAL;
        let (cluster, observed) = (turn.group.cluster.clone(), self.seen.observed.clone());
        let is_one = |node: &NodeName, name: &ResourceName| {
            cluster.resource(name, node).is_some_and(|replica| tending::is_diskless_primary(&observed, replica))
        };
        self.tending.primaries.retain(|(node, name), _| is_one(node, name));
        let is_due = |((node, name), primary): &(&(NodeName, ResourceName), &mut Primary)| {
            let replica = cluster.resource(name, node);
            now >= primary.not_before
                && replica.is_some_and(|replica| tending::disk_is_due(&cluster, &observed, replica, now - primary.since))
        };
        let mut due = Vec::new();
        for ((node, name), primary) in self.tending.primaries.iter_mut().filter(is_due).take(AT_ONCE) {
            primary.not_before = now + AGAIN;
            due.push((node.clone(), name.clone()));
        }
        for (node, name) in due {
            self.tend_one(turn, &name, Some(&node));
        }
    }

    /// A tiebreaker that somebody uses is a client from then on, and is not removed under them.
    pub(super) fn make_client(&mut self, turn: &mut Turn, resource: &ResourceName, node: &NodeName) {
        let (answer, _nobody) = oneshot::channel();
        let command = Command::ModifyResource {
            resource: resource.to_string(),
            node: node.to_string(),
            props: PropChange::default(),
            drbd_tiebreaker: None,
            drbd_client: Some(true),
        };
        self.submit(
            turn,
            Submission { command, caller: Caller::internal(SELF), origin: "tiebreaker".to_owned(), span: tracing::Span::none(), answer },
        );
    }

    fn tend_one(&mut self, turn: &mut Turn, name: &ResourceName, disk_on: Option<&NodeName>) {
        let (answer, _nobody) = oneshot::channel();
        let command = Command::Tend { resource: name.to_string(), disk_on: disk_on.map(ToString::to_string) };
        let (caller, origin) = (Caller::internal(SELF), "tending".to_owned());
        self.submit(turn, Submission { command, caller, origin, span: tracing::Span::none(), answer });
    }
}
