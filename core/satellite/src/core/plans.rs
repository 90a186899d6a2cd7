//! Controllers and their plans: who is obeyed, and what is taken (law 4).

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_model::names::ResourceName;
use berth_model::plan::{PlanBody, PlanItem};
use berth_proto::refusal::Reason;
use berth_proto::{ASK, Hello, NeedWhole, PROTOCOL_MAX, PROTOCOL_MIN, Pong, Refusal, StalePlan, Up, Welcome, up};
use tokio::time::Instant;
use tonic::Status;
use tracing::Span;
use uuid::Uuid;

use super::{CONFIRM_AFTER, Core, Entry, Link, Session, Unwelcome, WHOLE_WAIT};
use crate::config::remedy;
use crate::keep::{Held, Identity, Keep};

/// Answers that may wait for room; a controller that sends more without reading is cut off.
const OUTBOX_MAX: usize = 64;

fn refuse(reason: Reason, detail: String) -> Unwelcome {
    Unwelcome::Refused(Refusal { reason: reason.into(), detail })
}

/// The protocol that both speak.
fn protocol(hello: &Hello) -> Result<u32, Unwelcome> {
    let newest = hello.protocol_max.min(PROTOCOL_MAX);
    if newest >= hello.protocol_min.max(PROTOCOL_MIN) {
        return Ok(newest);
    }
    let (from, to) = (hello.protocol_min, hello.protocol_max);
    let detail = format!(
        "the controller speaks versions {from} to {to} of the protocol, this satellite {PROTOCOL_MIN} to {PROTOCOL_MAX}; upgrade the older one"
    );
    Err(refuse(Reason::VersionMismatch, detail))
}

/// An item that was not looked at yet.
fn fresh(item: Arc<PlanItem>, named: u64, cause: Span) -> Entry {
    let (former, clearing) = (BTreeSet::new(), BTreeSet::new());
    Entry { item, seen: None, named, attempts: 0, retry_at: None, cause, unsure: false, former, clearing }
}

impl Core {
    /// Whom the satellite belongs to once this hello is accepted.
    fn identity_after(&self, hello: &Hello) -> Result<Identity, Unwelcome> {
        let uuid = |text: &str, what: &str| {
            Uuid::try_parse(text).map_err(|_| refuse(Reason::OtherController, format!("the hello's {what} is not a uuid: '{text:.64}'")))
        };
        let (cluster, node) = (uuid(&hello.cluster_id, "cluster id")?, uuid(&hello.node_id, "node id")?);
        if let Some(own) = self.identity.cluster.filter(|own| *own != cluster) {
            let detail = format!(
                "this satellite belongs to cluster {own}; to give it to another cluster, stop it, remove its data folder and start it again"
            );
            return Err(refuse(Reason::OtherController, detail));
        }
        if hello.epoch < self.identity.epoch {
            let detail = format!("a controller of epoch {} was obeyed already, this one has epoch {}", self.identity.epoch, hello.epoch);
            return Err(refuse(Reason::StaleEpoch, detail));
        }
        let known = &self.identity.leader;
        let led = hello.epoch == self.identity.epoch && !known.is_empty();
        if led && !hello.leader.is_empty() && hello.leader != *known {
            let detail = format!(
                "another controller leads in epoch {}, so two run with copies of one database; stop the wrong one, or, if this is the right one, restart it",
                hello.epoch
            );
            return Err(refuse(Reason::OtherController, detail));
        }
        if let Some(name) = self.name.as_ref().filter(|name| !name.eq_ignore_ascii_case(&hello.node_name)) {
            let detail = format!("this satellite was started as node '{name}', the controller calls it '{}'", hello.node_name);
            return Err(refuse(Reason::OtherNode, detail));
        }
        if let Some(own) = self.identity.node.filter(|own| *own != node) {
            // The same node, deleted and created again, has a new id. Two nodes at one address are a mistake.
            let again = self.identity.node_name.eq_ignore_ascii_case(&hello.node_name) || self.held.items.is_empty();
            if !again || self.session.is_some() {
                let detail =
                    format!("this satellite is node '{}' ({own}), the controller means '{}'", self.identity.node_name, hello.node_name);
                return Err(refuse(Reason::OtherNode, detail));
            }
        }
        let leader = if led && hello.leader.is_empty() { known } else { &hello.leader };
        Ok(Identity {
            cluster: Some(cluster),
            node: Some(node),
            node_name: hello.node_name.clone(),
            epoch: hello.epoch,
            leader: leader.clone(),
        })
    }

    /// Accepts or refuses a controller. What makes it refuse older ones is on disk before it is welcome.
    pub(super) async fn hello(&mut self, hello: &Hello, link: Link) -> Result<(), Unwelcome> {
        let agreed = protocol(hello)?;
        let identity = self.identity_after(hello)?;
        if self.identity.node.is_some() && self.identity.node != identity.node {
            tracing::warn!(node = %identity.node_name, "the node was created again; its former plan is dropped, nothing of it is touched");
            let whole = PlanBody { pools: Some(Vec::new()), ..PlanBody::default() };
            let epoch = identity.epoch;
            self.with_keep(move |keep| keep.append(epoch, 0, 0, &whole))
                .await
                .map_err(|error| Unwelcome::Broken(self.with_remedy(&error)))?;
            let ids: Vec<Uuid> = self.entries.keys().copied().collect();
            ids.into_iter().for_each(|id| self.leave_out(id));
            self.held = Held::default();
        }
        if identity != self.identity {
            let kept = identity.clone();
            self.with_keep(move |keep| keep.identity(&kept)).await.map_err(|error| Unwelcome::Broken(self.with_remedy(&error)))?;
            self.identity = identity;
        }
        self.close();
        let now = Instant::now();
        let welcome = Welcome {
            protocol: agreed,
            satellite_version: env!("CARGO_PKG_VERSION").to_owned(),
            uname: self.capabilities.uname.clone(),
            features: vec![ASK.to_owned()],
            capabilities: serde_json::to_vec(&*self.capabilities).map_err(|error| Unwelcome::Broken(error.to_string()))?,
            generation: self.held.generation,
        };
        if link.up.try_send(Ok(Up { message: Some(up::Message::Welcome(welcome)) })).is_err() {
            return Err(Unwelcome::Broken("the controller hung up".into()));
        }
        tracing::info!(session = link.number, epoch = hello.epoch, node = %hello.node_name, generation = self.held.generation, "controller welcome");
        self.strangers_anew();
        self.session = Some(Session {
            link,
            epoch: hello.epoch,
            confirmed: false,
            confirm_at: Some(now + CONFIRM_AFTER),
            whole_due: Some(now + WHOLE_WAIT),
            told: 0,
        });
        Ok(())
    }

    /// Ends the present session, if there is one.
    pub(super) fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.link.end.cancel();
        }
        self.outbox.clear();
        self.unsent.clear();
        self.unsent_pools.clear();
    }

    /// The controller has nothing newer than what is held: what it says may be done.
    pub(super) fn confirm(&mut self) {
        let Some(session) = &mut self.session else { return };
        if session.confirmed {
            return;
        }
        session.confirmed = true;
        self.files_due();
        use berth_model::observed::Standing::{Faulty, Gone, Settled, Working};
        let open = |entry: &Entry| match entry.seen.as_ref().map(|seen| seen.standing) {
            Some(Settled | Gone) => false,
            Some(Working | Faulty) | None => true,
        };
        let unfinished: Vec<Uuid> = self.entries.iter().filter(|(_, entry)| open(entry)).map(|(id, _)| *id).collect();
        unfinished.into_iter().for_each(|id| self.wake(id));
    }

    /// Answers a plan that is not taken: what is held is not what the controller thinks.
    fn answer(&mut self, message: up::Message) {
        if let Some(session) = &mut self.session {
            session.confirm_at = None;
        }
        self.push(message);
    }

    /// Says something that is no observation, as soon as there is room.
    pub(super) fn push(&mut self, message: up::Message) {
        self.outbox.push_back(message);
        if self.outbox.len() > OUTBOX_MAX {
            tracing::warn!("the controller does not read its answers; session ended");
            self.close();
        }
    }

    /// Answers a sign of life. A plan that was sent before it and is not held was lost on the way.
    pub(super) fn ping(&mut self, session: u64, number: u64, generation: u64) {
        let Some(present) = self.session.as_ref().filter(|present| present.link.number == session) else { return };
        let (epoch, observations) = (present.epoch, present.told);
        self.outbox.push_back(up::Message::Pong(Pong { number, observations }));
        if (epoch, generation) > (self.held.epoch, self.held.generation) && generation > 0 {
            self.answer(up::Message::NeedWhole(NeedWhole { generation: self.held.generation }));
        }
    }

    /// Sends the whole state once more.
    pub(super) fn report_anew(&mut self, session: u64) {
        if let Some(present) = self.session.as_mut().filter(|present| present.link.number == session) {
            present.whole_due = Some(Instant::now());
        }
    }

    /// Takes a plan, unless it is older than what is held; nothing of it is done before it is on disk.
    pub(super) async fn plan(&mut self, session: u64, epoch: u64, generation: u64, base: u64, body: PlanBody) {
        let Some(present) = self.session.as_ref().filter(|present| present.link.number == session) else { return };
        let held = self.held.generation;
        // Epoch first: under a new one a smaller generation is news, because a restored database counts from where it was saved.
        let older = (epoch, generation) < (self.held.epoch, held);
        if epoch < self.identity.epoch || epoch != present.epoch || older {
            tracing::warn!(offered = generation, held, epoch, "older plan refused");
            return self.answer(up::Message::StalePlan(StalePlan { offered: generation, held, held_epoch: self.identity.epoch }));
        }
        // A base of another epoch may be another plan of the same number.
        if base != 0 && (base != held || epoch != self.held.epoch || self.kept(Keep::needs_whole)) {
            return self.answer(up::Message::NeedWhole(NeedWhole { generation: held }));
        }
        let says_nothing = base != 0 && body == PlanBody::default();
        if !(says_nothing && generation == held) {
            if let Err(error) = self.keep_plan(epoch, generation, base, &body).await {
                tracing::error!(%error, "the plan cannot be kept, so it is not obeyed");
                let session = self.session.as_ref().map(|session| session.link.up.clone());
                if let Some(up) = session {
                    let status =
                        Status::internal(format!("the satellite cannot keep its plan in its data folder: {}", self.with_remedy(&error)));
                    // A full channel ends with the session all the same.
                    drop(up.try_send(Err(status)));
                }
                return self.close();
            }
            self.take(epoch, generation, base, body).await;
        }
        self.confirm();
    }

    /// What is wrong with the data folder, and what to do.
    fn with_remedy(&self, error: &std::io::Error) -> String {
        let folder = self.kept(Keep::folder).unwrap_or_default();
        format!("{error}. {}", remedy(&folder, error.kind()))
    }

    async fn keep_plan(&self, epoch: u64, generation: u64, base: u64, body: &PlanBody) -> std::io::Result<()> {
        let kept = body.clone();
        self.with_keep(move |keep| keep.append(epoch, generation, base, &kept)).await
    }

    async fn take(&mut self, epoch: u64, generation: u64, base: u64, body: PlanBody) {
        if generation < self.held.generation {
            // What was compared with the greater generations of an older epoch says nothing about this one.
            for (id, entry) in &mut self.entries {
                self.looks.turned(*id, entry.seen.take().as_ref(), None);
            }
        }
        let touched = self.held.take(epoch, generation, base, body);
        tracing::debug!(generation, base, items = touched.items.len(), dropped = touched.dropped.len(), "plan taken");
        if self.kept(Keep::is_long) {
            let held = self.held.clone();
            if let Err(error) = self.with_keep(move |keep| keep.shorten(&held)).await {
                tracing::warn!(%error, "the kept plan stays long");
            }
        }
        if base == 0 && !touched.dropped.is_empty() {
            // What is left out of a whole plan stays where it is.
            self.strangers_due();
        }
        for id in touched.dropped {
            self.leave_out(id);
        }
        if touched.pools {
            self.pools_planned();
        }
        if touched.files {
            self.files_due();
        }
        // Confirmed before items are woken, so that the first look may act.
        if let Some(session) = &mut self.session {
            session.confirmed = true;
        }
        let before = self.overrides.len();
        for id in touched.items {
            if let Some(item) = self.held.items.get(&id).cloned() {
                if let PlanItem::Resource(plan) = &*item {
                    self.overrides.remove(plan.resource.as_str());
                }
                self.enter(item);
            }
        }
        if self.overrides.len() != before {
            self.keep_overrides().await;
        }
    }

    /// Takes an item into work; the plan names it.
    pub(super) fn enter(&mut self, item: Arc<PlanItem>) {
        let (id, resource) = (item.id(), item.resource().clone());
        self.queues.entry(resource).or_default().items.insert(id);
        self.no_strangers(&item);
        if let Some(before) = self.entries.get(&id).map(|entry| Arc::clone(&entry.item)) {
            self.leaves(&before);
            if before.resource() != item.resource() {
                self.renamed(id, before.resource(), item.resource());
            }
        }
        match self.entries.get_mut(&id) {
            Some(entry) => {
                (entry.item, entry.named, entry.attempts) = (item, self.held.generation, 0);
                entry.cause = self.cause.clone();
                if let Some(at) = entry.retry_at.take() {
                    self.retries.remove(&(at, id));
                }
            }
            None => {
                self.looks.turned(id, None, None);
                let named = self.held.generation;
                self.entries.insert(id, fresh(item, named, self.cause.clone()));
            }
        }
        self.wake(id);
    }

    /// Its resource has another name from now on: it is worked on under that one, and its old paths go.
    fn renamed(&mut self, id: Uuid, old: &ResourceName, new: &ResourceName) {
        if let Some(queue) = self.queues.get_mut(old) {
            queue.items.remove(&id);
            queue.dirty.remove(&id);
        }
        self.overrides.remove(old.as_str());
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.former.insert(old.clone());
            entry.former.remove(new);
        }
    }

    /// Forgets an item. Nothing on the machine is touched.
    fn leave_out(&mut self, id: Uuid) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.leaves(&entry.item);
        self.looks.left(id, entry.seen.as_ref());
        if let Some(at) = entry.retry_at {
            self.retries.remove(&(at, id));
        }
        self.unsent.remove(&id);
        let resource = entry.item.resource();
        if let Some(queue) = self.queues.get_mut(resource) {
            queue.items.remove(&id);
            queue.dirty.remove(&id);
            if queue.items.is_empty() && !queue.running && !queue.ready {
                self.queues.remove(resource);
            }
        }
    }
}
