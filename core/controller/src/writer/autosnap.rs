//! The timer of automatic snapshots: a round looks at every definition once, a bounded part of them in each turn.
//!
//! When each was taken last stands with the snapshots themselves; in memory is only where a round stands.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_engine::autosnap;
use berth_engine::command::Command;
use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::names::ResourceName;
use berth_model::objects::ResourceDefinition;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::balance::SELF;
use super::turn::Turn;
use super::{Submission, Writer, Writing};

/// Time between the beginnings of two rounds.
const INTERVAL: Duration = Duration::from_secs(10);
/// Definitions that one turn looks at.
const LOOKED_AT: usize = 256;
/// Definitions that one turn does something about.
const AT_ONCE: usize = 4;
/// Pause between two parts of a round.
const PAUSE: Duration = Duration::from_millis(500);
/// One that could not be done is tried again after the time between two of them, but not later than this.
const AGAIN: Duration = Duration::from_secs(300);

/// Where the rounds stand.
#[derive(Debug)]
pub(super) struct Looks {
    begun: Instant,
    /// The last definition that the present round has looked at; `None`: no round is on.
    after: Option<ResourceName>,
    /// Not before this.
    not_before: Instant,
    /// What was done something about, and until when it is left alone.
    tried: BTreeMap<ResourceName, Instant>,
}

impl Looks {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { begun: now, after: None, not_before: now, tried: BTreeMap::new() }
    }

    /// When there is something to look at.
    pub(super) fn due(&self) -> Instant {
        let next = if self.after.is_some() { self.not_before } else { self.begun + INTERVAL };
        next.max(self.not_before)
    }

    /// Nothing is looked at before this.
    pub(super) fn wait(&mut self, until: Instant) {
        self.not_before = until;
    }

    /// The definitions of the next part of the round with which something is to be done; each is then left alone for `again`.
    pub(super) fn part(
        &mut self,
        cluster: &Cluster,
        again: impl Fn(&ResourceDefinition) -> Duration,
        acts: impl Fn(&ResourceName) -> bool,
    ) -> Vec<ResourceName> {
        let now = Instant::now();
        if self.after.is_none() {
            self.begun = now;
            self.tried.retain(|_, until| now < *until);
        }
        self.not_before = now + PAUSE;
        let (mut found, mut last, mut ended) = (Vec::new(), self.after.take(), true);
        let from = last.clone();
        for (at, definition) in cluster.definitions_after(from.as_ref()).enumerate() {
            if at >= LOOKED_AT || found.len() >= AT_ONCE {
                ended = false;
                break;
            }
            if !self.tried.contains_key(&definition.name) && acts(&definition.name) {
                self.tried.insert(definition.name.clone(), now + again(definition));
                found.push(definition.name.clone());
            }
            last = Some(definition.name.clone());
        }
        self.after = if ended { None } else { last };
        found
    }
}

impl Writer {
    /// Goes on with a round if it is time.
    pub(super) fn snap(&mut self, turn: &mut Turn) {
        let now = Instant::now();
        if now < self.looks.due() {
            return;
        }
        if self.held.is_some() || !matches!(self.writing, Writing::Well) {
            self.looks.wait(now + PAUSE);
            return;
        }
        let (cluster, at) = (turn.group.cluster.clone(), turn.now);
        let again = |definition: &ResourceDefinition| autosnap::every(&cluster, definition).map_or(AGAIN, |every| every.min(AGAIN));
        for name in self.looks.part(&cluster, again, |name| autosnap::acts(&cluster, at, name)) {
            let (answer, _nobody) = oneshot::channel();
            let command = Command::AutoSnapshot { resource: name.to_string() };
            let (caller, origin) = (Caller::internal(SELF), "automatic snapshot".to_owned());
            self.submit(turn, Submission { command, caller, origin, span: tracing::Span::none(), answer });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::balance::tests::cluster;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_round_looks_at_each_definition_once_and_at_few_in_a_turn() {
        let cluster = cluster(600);
        let mut looks = Looks::new();
        assert_eq!(looks.due(), looks.begun + INTERVAL);
        let looked = std::cell::RefCell::new(Vec::new());
        let (mut acted, mut turns) = (0, 0);
        loop {
            let before = looked.borrow().len();
            let found = looks.part(
                &cluster,
                |_| AGAIN,
                |name| {
                    looked.borrow_mut().push(name.clone());
                    name.as_str().ends_with("00")
                },
            );
            assert!(found.len() <= AT_ONCE && looked.borrow().len() - before <= LOOKED_AT);
            (acted, turns) = (acted + found.len(), turns + 1);
            if looks.after.is_none() {
                break;
            }
            assert_eq!(looks.due(), Instant::now() + PAUSE);
            tokio::time::advance(PAUSE).await;
        }
        assert_eq!((looked.borrow().len(), acted), (600, 6), "each once, in {turns} turns");
        // What was tried is left alone for a while.
        assert_eq!(looks.part(&cluster, |_| AGAIN, |name| name.as_str() == "r00100"), []);
        while looks.after.is_some() {
            looks.part(&cluster, |_| AGAIN, |_| false);
        }
        tokio::time::advance(AGAIN).await;
        assert_eq!(looks.part(&cluster, |_| AGAIN, |name| name.as_str() == "r00100").len(), 1);
    }
}
