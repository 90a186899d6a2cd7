//! What somebody on this machine may ask for, also with the controller away.

use std::sync::Arc;

use berth_model::names::ResourceName;
use berth_model::observed::{Fault, FaultKind, ItemSeen, Standing};
use berth_model::plan::{PlanItem, Wanted};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Core, Entry};
use crate::keep::Override;

/// State of a satellite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the satellite.
    pub version: String,
    /// Node name; empty: no controller was here yet.
    pub node: String,
    /// Cluster; `None`: as above.
    pub cluster: Option<uuid::Uuid>,
    /// Newest epoch that was obeyed.
    pub epoch: u64,
    /// Generation of the plan that is held; 0: none.
    pub generation: u64,
    /// Whether a controller is connected.
    pub connected: bool,
    /// Whether it knows what this machine can do, and has confirmed the plan.
    #[serde(default)]
    pub confirmed: bool,
    /// Items of the plan.
    pub items: usize,
    /// Items that are not as planned.
    pub unsettled: usize,
}

/// A resource of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Its name.
    pub resource: ResourceName,
    /// What the plan wants.
    pub wanted: Wanted,
    /// Attached (true) or detached by hand since the plan last named it.
    pub by_hand: Option<bool>,
    /// As it was last seen; `None`: not yet.
    pub seen: Option<ItemSeen>,
}

/// Why something was not done by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandError {
    /// The resource is not in the plan.
    Unknown(String),
    /// Somebody uses its device; it stays attached, also later.
    InUse(String),
}

/// How somebody is told what became of an act by hand.
pub type HandReply = oneshot::Sender<Result<ResourceState, HandError>>;

/// Somebody who waits until an act by hand is done.
#[derive(Debug)]
pub(super) struct Waiting {
    resource: ResourceName,
    attach: bool,
    reply: HandReply,
}

impl Core {
    pub(super) fn local_status(&self) -> Status {
        let settled = |entry: &&Entry| match entry.seen.as_ref().map(|seen| seen.standing) {
            Some(Standing::Settled | Standing::Gone) => true,
            Some(Standing::Working | Standing::Faulty) | None => false,
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.identity.node_name.clone(),
            cluster: self.identity.cluster,
            epoch: self.identity.epoch,
            generation: self.held.generation,
            connected: self.session.is_some(),
            confirmed: self.session.as_ref().is_some_and(|session| session.confirmed),
            items: self.entries.len(),
            unsettled: self.entries.len() - self.entries.values().filter(settled).count(),
        }
    }

    fn state(&self, entry: &Entry) -> Option<ResourceState> {
        match &*entry.item {
            PlanItem::Snapshot(_) => None,
            PlanItem::Resource(plan) => Some(ResourceState {
                resource: plan.resource.clone(),
                wanted: plan.wanted,
                by_hand: self.overrides.get(plan.resource.as_str()).map(|act| act.attached),
                seen: entry.seen.clone(),
            }),
        }
    }

    pub(super) fn local_resources(&self) -> Vec<ResourceState> {
        let mut all: Vec<ResourceState> = self.entries.values().filter_map(|entry| self.state(entry)).collect();
        all.sort_by(|a, b| a.resource.cmp(&b.resource));
        all
    }

    /// The replica of a resource that is not being deleted.
    fn replica(&self, resource: &ResourceName) -> Option<&Entry> {
        let ids = &self.queues.get(resource)?.items;
        let is = |entry: &&Entry| matches!(&*entry.item, PlanItem::Resource(plan) if plan.wanted != Wanted::Absent);
        ids.iter().filter_map(|id| self.entries.get(id)).find(is)
    }

    pub(super) async fn by_hand(&mut self, resource: ResourceName, act: Override, reply: HandReply) {
        let attach = act.attached;
        let Some(entry) = self.replica(&resource) else {
            let why = format!("resource '{resource}' is not in the plan of this node; 'berth local resources' lists those that are");
            drop(reply.send(Err(HandError::Unknown(why))));
            return;
        };
        let (id, name) = (entry.item.id(), entry.item.resource().as_str().to_owned());
        let planned = match entry.item.wanted() {
            Wanted::Active => true,
            Wanted::Inactive | Wanted::Absent => false,
        };
        if attach == planned {
            self.overrides.remove(&name);
        } else {
            // Who asks twice has had it the first time.
            let before = self.overrides.get(&name).filter(|before| before.attached == attach).copied();
            self.overrides.insert(name, before.unwrap_or(act));
        }
        self.keep_overrides().await;
        self.waiting.push(Waiting { resource, attach, reply });
        self.wake(id);
    }

    /// What was seen, with a word of it where it is as somebody on this machine wants it, and not as the plan does.
    pub(super) fn with_hands(&self, seen: ItemSeen) -> ItemSeen {
        let item = self.entries.get(&seen.id).map(|entry| &*entry.item);
        let Some(PlanItem::Resource(plan)) = item.filter(|item| item.wanted() == Wanted::Active) else { return seen };
        let Some(act) = self.overrides.get(plan.resource.as_str()).filter(|act| !act.attached) else { return seen };
        if seen.standing != Standing::Settled || seen.fault.is_some() {
            return seen;
        }
        let since = act.at.and_then(|at| jiff::Timestamp::from_millisecond(at.0).ok()).map(|at| format!(" since {at:.0}"));
        let node = &self.identity.node_name;
        let fault = Fault {
            kind: FaultKind::ByHand,
            message: format!("Not served: detached by hand on {node}{}", since.unwrap_or_default()),
            cause: format!("Somebody ran 'berth local detach {}' there; it stays so until it is attached or changed", plan.resource),
            correction: format!("Run 'berth local attach {}' on {node}", plan.resource),
            details: String::new(),
            holders: Vec::new(),
        };
        ItemSeen { fault: Some(fault), ..seen }
    }

    pub(super) async fn keep_overrides(&self) {
        let overrides = self.overrides.clone();
        if let Err(error) = self.with_keep(move |keep| keep.overrides(&overrides)).await {
            tracing::warn!(%error, "what was attached or detached by hand will not survive a restart");
        }
    }

    /// Answers those who wait for a resource that has come to rest.
    pub(super) async fn answer_hands(&mut self, resource: &ResourceName) {
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(|one| one.resource == *resource);
        self.waiting = later;
        let Some(last) = now.last().map(|one| one.attach) else { return };
        let used = self.replica(resource).and_then(|entry| Some((Arc::clone(&entry.item), used(entry)?)));
        if let (false, Some((item, _))) = (last, &used) {
            // Else it would take the device at some later moment, when nobody thinks of it any more.
            if self.overrides.remove(item.resource().as_str()).is_some() {
                self.keep_overrides().await;
                self.wake(item.id());
            }
        }
        for Waiting { attach, reply, .. } in now {
            let state = self.replica(resource).and_then(|entry| self.state(entry));
            let answer = match (state, &used) {
                (None, _) => Err(HandError::Unknown(format!("resource '{resource}' is no longer in the plan of this node"))),
                (Some(_), Some((_, why))) if !attach => Err(HandError::InUse(why.clone())),
                (Some(state), _) => Ok(state),
            };
            drop(reply.send(answer));
        }
    }
}

/// Why a replica cannot be detached, if that is because somebody uses it.
fn used(entry: &Entry) -> Option<String> {
    let fault = entry.seen.as_ref()?.fault.as_ref().filter(|fault| fault.kind == FaultKind::InUse)?;
    Some(format!("{}: {}. {}.", fault.message, fault.cause, fault.correction))
}
