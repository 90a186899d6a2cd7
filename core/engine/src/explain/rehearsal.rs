//! What follows a decision, found out by playing it: satellites that are there do what they are told, the controller's own
//! functions ([`jobs::advance`], [`jobs::bury`]) say what comes next, until nothing is left to do. No operation's steps are
//! written down a second time.

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_model::access::Caller;
use berth_model::change::Change;
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, IdSource, kind};
use berth_model::names::NodeName;
use berth_model::observed::{ItemRecord, ItemSeen, Observed, Standing, VolumeSeen};
use berth_model::plan::{PlanItem, Wanted};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use uuid::Uuid;

use super::preview::{FRESH_AT, RecordChange, records};
use super::words;
use crate::apply::apply;
use crate::draft::Context;
use crate::vault::NoKeys;
use crate::{jobs, nodes, plan};

/// One step that would follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its place in the order, from 1. Steps of several nodes with one number happen at once.
    pub number: u32,
    /// Who does it; `None`: the controller.
    pub node: Option<NodeName>,
    /// What is done, in order, one phrase each.
    pub actions: Vec<String>,
    /// Why it cannot be done now; `None`: it can.
    pub waits: Option<String>,
    /// Records that the controller writes then.
    pub changes: Vec<RecordChange>,
}

/// What a rehearsal found.
#[derive(Debug, Default)]
pub(super) struct Rehearsal {
    /// The steps.
    pub steps: Vec<Step>,
    /// The last entries of the jobs that would end, in their order.
    pub ended: Vec<Reply>,
    /// What would be left open.
    pub open: Vec<Reply>,
    /// There would be more steps.
    pub cut: bool,
}

/// Rounds that are played. Only giving up a node of some thousand resources has more.
const ROUNDS: usize = 64;

/// Plays what follows `changes`.
pub(super) fn rehearse(before: &Cluster, observed: &Observed, now: Timestamp, changes: &[Change]) -> Rehearsal {
    let mut play = Play {
        cluster: before.clone(),
        told: before.clone(),
        untold: Vec::new(),
        observed: observed.clone(),
        now,
        ids: IdSource::new(FRESH_AT, *b"what follows it."),
        found: Rehearsal { cut: true, ..Rehearsal::default() },
        number: 0,
        jobs: BTreeSet::new(),
    };
    play.fold(changes);
    let mut gone = Vec::new();
    for _ in 0..ROUNDS {
        // The controller looks at its jobs before anybody is told: what cannot be asked is decided at once.
        for _ in 0..ROUNDS {
            let follows = play.controller(&std::mem::take(&mut gone));
            if follows.is_empty() {
                break;
            }
            play.fold(&follows);
        }
        if play.untold.is_empty() {
            play.found.cut = false;
            break;
        }
        gone = play.satellites();
    }
    play.open();
    play.found
}

struct Play {
    cluster: Cluster,
    /// The cluster that satellites know.
    told: Cluster,
    /// What changed since.
    untold: Vec<Change>,
    observed: Observed,
    now: Timestamp,
    ids: IdSource,
    found: Rehearsal,
    number: u32,
    /// Jobs that the changes concern.
    jobs: BTreeSet<Id<kind::Job>>,
}

impl Play {
    /// Makes changes.
    fn fold(&mut self, changes: &[Change]) {
        let before = self.cluster.clone();
        self.cluster.fold(changes);
        self.cluster.serial = self.cluster.serial.saturating_add(1);
        self.jobs.extend(jobs::concerned(&before, changes));
        self.untold.extend_from_slice(changes);
    }

    /// Tells satellites what is new, and lets those that are there do it. Returns what is gone then.
    fn satellites(&mut self) -> Vec<(NodeName, Uuid)> {
        let before = std::mem::replace(&mut self.told, self.cluster.clone());
        let changes = std::mem::take(&mut self.untold);
        let mut gone = Vec::new();
        let mut steps = Vec::new();
        for (node, touch) in plan::touched(&before, &self.cluster, &changes) {
            let mut actions = match touch.pools {
                true => words::pools(&plan::pool_plans(&before, &node), &plan::pool_plans(&self.cluster, &node)),
                false => Vec::new(),
            };
            let online = self.observed.online(&node);
            for id in touch.items {
                let (old, new) = (plan::item(&before, &node, id), plan::item(&self.cluster, &node, id));
                actions.extend(words::item(old.as_ref(), new.as_ref()));
                if let (true, Some(item)) = (online, new) {
                    if item.wanted() == Wanted::Absent {
                        gone.push((node.clone(), id));
                    }
                    self.see(&node, &item);
                }
            }
            if !actions.is_empty() && self.cluster.nodes.contains_key(&node) {
                let reason = self.observed.nodes.get(&node).and_then(|seen| seen.reason.clone());
                let waits = (!online).then(|| words::away(&node, reason.as_deref()));
                steps.push(Step { number: 0, node: Some(node), actions, waits, changes: Vec::new() });
            }
        }
        if !steps.is_empty() {
            self.number += 1;
            steps.iter_mut().for_each(|step| step.number = self.number);
            self.found.steps.extend(steps);
        }
        gone
    }

    /// Reports an item as wanted.
    fn see(&mut self, node: &NodeName, item: &PlanItem) {
        let volumes = match item {
            PlanItem::Resource(resource) => resource
                .volumes
                .iter()
                .filter(|volume| volume.wanted != Wanted::Absent)
                .map(|volume| VolumeSeen {
                    number: volume.number,
                    device_path: None,
                    backing_kib: volume.backing_kib,
                    allocated_kib: volume.backing_kib,
                    in_use: false,
                    content: Some(volume.content.id.uuid()),
                    up_to_date: resource.layers.contains(&berth_model::layers::LayerKind::Drbd).then_some(true),
                })
                .collect(),
            PlanItem::Snapshot(_) => Vec::new(),
        };
        let standing = if item.wanted() == Wanted::Absent { Standing::Gone } else { Standing::Settled };
        let seen = ItemSeen { id: item.id(), generation: self.cluster.serial, standing, volumes, fault: None };
        if let Some(known) = self.observed.nodes.get_mut(node) {
            Arc::make_mut(known).items.insert(item.id(), Arc::new(ItemRecord { seen, at: self.now }));
        }
    }

    /// What the controller does next.
    fn controller(&mut self, gone: &[(NodeName, Uuid)]) -> Vec<Change> {
        let open: Vec<_> = self.jobs.iter().copied().filter(|id| self.cluster.jobs.contains_key(id)).collect();
        let seed = self.ids.next::<kind::Job>().uuid().into_bytes();
        let progress = jobs::advance(&self.cluster, &self.observed, self.now, IdSource::new(FRESH_AT, seed), open);
        self.found.ended.extend(progress.ended.into_iter().flat_map(|(_, replies)| replies));
        let mut changes = progress.changes;
        let mut after = self.cluster.clone();
        after.fold(&changes);
        for (node, id) in gone {
            let buried = jobs::bury(&after, node, [*id]);
            after.fold(&buried);
            changes.extend(buried);
        }
        for command in nodes::unfinished(&after) {
            let (ids, secret) = (self.ids.clone(), String::new());
            let context =
                Context { now: self.now, ids, secret, caller: Caller::internal("berth"), observed: &self.observed, keys: &NoKeys };
            if let Ok(applied) = apply(&after, &command, context).result {
                changes.extend(applied.changes);
            }
        }
        if !changes.is_empty() {
            let changes = records(&self.cluster, &changes);
            self.number += 1;
            let actions = changes.iter().map(words::controller).collect();
            self.found.steps.push(Step { number: self.number, node: None, actions, waits: None, changes });
        }
        changes
    }

    /// What would be left.
    fn open(&mut self) {
        let open: Vec<_> = self.jobs.iter().copied().filter(|id| self.cluster.jobs.contains_key(id)).collect();
        let progress = jobs::advance(&self.cluster, &self.observed, self.now, self.ids.clone(), open);
        self.found.open = progress.blocked.into_iter().flat_map(|(_, replies)| replies).collect();
    }
}
