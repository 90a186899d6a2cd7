//! The timer of automatic eviction: with each sweep the nodes are evicted whose moment has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use berth_engine::command::Command;
use berth_engine::eviction;
use berth_model::names::NodeName;
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::time::Timestamp;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::balance::SELF;
use super::turn::Turn;
use super::{By, Submission, Writer, Writing};

/// Since when nodes have been away, by a clock that nobody can set, as the sweeps found it.
#[derive(Debug, Default)]
pub(super) struct Absences(BTreeMap<NodeName, (Instant, Option<Timestamp>)>);

impl Absences {
    /// Takes note of who is away at `now`; who was there in between begins anew.
    fn note(&mut self, observed: &Observed, now: Instant) {
        let away = observed.nodes.iter().filter(|(_, seen)| seen.status == ConnectionStatus::Offline);
        let begun = |name: &NodeName, since| self.0.get(name).copied().filter(|(_, known)| *known == since).unwrap_or((now, since));
        self.0 = away.map(|(name, seen)| (name.clone(), begun(name, seen.away_since))).collect();
    }

    fn away_for(&self, node: &NodeName, now: Instant) -> Option<Duration> {
        self.0.get(node).map(|(begin, _)| now - *begin)
    }
}

impl Writer {
    /// Evicts the nodes that are due. One that is held because many are away is named once in the log, not in each sweep.
    pub(super) fn evict(&mut self, turn: &mut Turn) {
        // Satellites that have had no time to connect since the start are not away.
        if self.held.is_some() || !matches!(self.writing, Writing::Well) {
            return;
        }
        let now = Instant::now();
        self.absences.note(&self.seen.observed, now);
        let (cluster, observed) = (&turn.group.cluster, &self.seen.observed);
        let away_for = |name: &NodeName| {
            let before = cluster.nodes.get(name).map_or(Duration::ZERO, |node| eviction::before(observed, node));
            Some(self.absences.away_for(name, now)?.saturating_add(before))
        };
        let due = eviction::due(cluster, observed, away_for);
        let noted = eviction::remember(cluster, observed, away_for);
        if !noted.is_empty() {
            let command = json!({ "command": "note_absence", "nodes": noted.len() }).to_string();
            let by = By { now: turn.now, actor: SELF, origin: "eviction", command, decision: "[]".to_owned() };
            if let Err(unfit) = turn.group.add_split(&by, noted) {
                tracing::error!(%unfit, "how long nodes have been away is not written down");
            }
        }
        let mut held = BTreeSet::new();
        for one in due {
            match one.held {
                None => {
                    let (answer, _nobody) = oneshot::channel();
                    let command = Command::EvictNode { node: one.node.to_string() };
                    self.submit(
                        turn,
                        Submission {
                            command,
                            caller: berth_model::access::Caller::internal(SELF),
                            origin: "eviction".to_owned(),
                            span: tracing::Span::none(),
                            answer,
                        },
                    );
                    tracing::warn!(node = %one.node, "node is evicted: it has been away too long");
                }
                Some(why) => {
                    if !self.held_evictions.contains(&one.node) {
                        tracing::warn!(node = %one.node, why, "node is due for eviction and not evicted");
                    }
                    held.insert(one.node);
                }
            }
        }
        self.held_evictions = held;
    }
}

#[cfg(test)]
mod tests {
    use berth_model::flags::NodeFlag;

    use super::*;
    use crate::testkit::{Kit, node_name, until};

    #[test]
    fn an_absence_is_measured_by_a_clock_that_nobody_sets() {
        let (mut absences, begin, node) = (Absences::default(), Instant::now(), node_name("alpha"));
        let seen = |status, since: i64| {
            let mut observed = Observed::default();
            let mut seen = berth_model::observed::NodeSeen::unknown(status, Timestamp(since));
            seen.away_since = Some(Timestamp(since));
            observed.nodes.insert(node.clone(), std::sync::Arc::new(seen));
            observed
        };
        let after = |secs| begin + Duration::from_secs(secs);
        absences.note(&seen(ConnectionStatus::Offline, 5), begin);
        absences.note(&seen(ConnectionStatus::Offline, 5), after(15));
        assert_eq!(absences.away_for(&node, after(20)), Some(Duration::from_secs(20)));
        // It was there in between.
        absences.note(&seen(ConnectionStatus::Offline, 9), after(30));
        assert_eq!(absences.away_for(&node, after(40)), Some(Duration::from_secs(10)));
        absences.note(&seen(ConnectionStatus::Online, 9), after(45));
        assert_eq!(absences.away_for(&node, after(50)), None);
    }

    #[tokio::test]
    async fn a_node_that_stays_away_is_evicted_by_itself_and_its_replica_stays_in_the_books() {
        let kit = Kit::new().await;
        let mut alpha = kit.node("alpha").await;
        let _others = (kit.node("bravo").await, kit.node("charlie").await);
        kit.definition("one").await;
        let put = crate::testkit::replica("one", "alpha");
        let (made, ()) = tokio::join!(kit.submit(put), async {
            alpha.take().await;
            alpha.report(false, |_| berth_model::observed::Standing::Settled).await;
        });
        assert!(!made.is_error(), "{made:?}");
        let props = berth_model::props::PropChange {
            override_props: [("DrbdOptions/AutoEvictAfterTime".to_owned(), "0".to_owned())].into(),
            ..Default::default()
        };
        kit.must([berth_engine::command::Command::ModifyNode { node: "alpha".into(), node_type: None, props }]).await;
        assert!(kit.controller.view().cluster.nodes[&node_name("alpha")].flags.is_empty(), "it answers");
        alpha.leave().await;
        // With the next sweep.
        let name = node_name("alpha");
        let view = until(&kit.controller, |view| view.cluster.nodes[&name].flags.has(NodeFlag::Evicted)).await;
        assert_eq!(view.observed.nodes[&name].status, ConnectionStatus::Offline);
        until(&kit.controller, |view| view.cluster.jobs.is_empty()).await;
        let view = kit.controller.view();
        let shown: Vec<_> = view.cluster.resources_on(&name).map(|one| one.flags.shown()).collect();
        assert_eq!(shown, [["INACTIVE", "EVICTED"]]);
        let log = kit.controller.audit(berth_store::LogFilter::default(), 5).await.unwrap();
        assert!(
            log.iter().any(|entry| entry.actor == "berth" && entry.origin == "eviction" && entry.command.contains("evict_node")),
            "{log:?}"
        );
    }
}
