//! One turn of the writer: what was queued, what follows for the jobs, one commit, and the telling.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant as Clock;

use berth_engine::apply::{Decision, apply};
use berth_engine::command::Command;
use berth_engine::draft::{Applied, Context, Effect, RequestContext};
use berth_engine::explain::decision;
use berth_engine::{jobs, plan};
use berth_model::access::Caller;
use berth_model::change::{Change, Key};
use berth_model::cluster::Cluster;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::ids::{Id, IdSource, kind};
use berth_model::names::{NodeName, ResourceName};
use berth_model::observed::Fault;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use berth_proto::trace;
use berth_store::{LogEntry, NO_DECISION, StoreError};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::group::Unfit;
use super::news;
use super::{
    By, FromSession, GROUP, Group, Message, Noted, RETRY, STEPS, SWEEP, SessionEvent, Submission, Verdict, Writer, Writing,
    fence_correction, json_text,
};
use crate::happenings::{CommandRefused, CommitFailed, Committed, Fenced, SessionFailed, SessionLost, SessionOpened, count};
use crate::outside::World;
use crate::panics::caught;
use crate::reports::NewReport;
use crate::session::has_session;

/// Who does what follows by itself.
const SELF: &str = "berth";

/// An answer that waits for the commit.
struct Pending {
    answer: oneshot::Sender<Verdict>,
    applied: Applied,
    request: RequestContext,
    /// It was decided on top of changes that are not committed yet, or has such itself.
    rests_on_group: bool,
}

/// What a turn has gathered before the commit.
pub(super) struct Turn {
    pub(super) now: Timestamp,
    pub(super) group: Group,
    pending: Vec<Pending>,
    /// Outcome of the looks at jobs: entries of those that ended, of those that are blocked, `None` for those that go on.
    ended: Vec<(Id<kind::Job>, Vec<Reply>)>,
    stand: BTreeMap<Id<kind::Job>, Option<Vec<Reply>>>,
    alive: BTreeSet<ResourceName>,
    /// Where its commit is in a trace; empty: in none.
    trace: String,
}

impl Writer {
    pub(super) async fn turn(&mut self, messages: impl Iterator<Item = Message>) {
        // One moment for all commands of the turn.
        let now = self.hands.world.now();
        let mut turn = Turn {
            now,
            group: Group::new(&self.cluster),
            pending: Vec::new(),
            ended: Vec::new(),
            stand: BTreeMap::new(),
            alive: BTreeSet::new(),
            trace: String::new(),
        };
        for message in messages {
            match message {
                Message::Submit(submission) => self.submit(&mut turn, *submission),
                Message::Note(noted) => self.note(&mut turn, *noted),
                Message::Session(from) => self.hear(&mut turn, *from),
            }
        }
        self.on_time(&mut turn);
        self.balance(&mut turn);
        self.snap(&mut turn);
        self.tend(&mut turn);
        if !matches!(self.writing, Writing::Fenced { .. }) {
            self.bury(&mut turn);
            self.advance(&mut turn);
        } else {
            self.look.clear();
            self.gone.clear();
        }
        self.commit(turn).await;
    }

    /// What is due by the clock.
    fn on_time(&mut self, turn: &mut Turn) {
        let now = Instant::now();
        if let Some(held) = self.held.take_if(|held| now >= held.until || self.seen.settled()) {
            self.look.extend(held.jobs);
        }
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP;
        self.look.extend(self.cluster.jobs.keys().copied());
        self.gone = self.seen.gone(&self.cluster);
        self.waiting.sweep();
        // What an earlier version began without a job.
        let steps: Vec<Command> = berth_engine::nodes::unfinished(&self.cluster).collect();
        for command in steps {
            let (answer, _nobody) = oneshot::channel();
            self.submit(
                turn,
                Submission { command, caller: Caller::internal(SELF), origin: "sweep".to_owned(), span: Span::none(), answer },
            );
        }
        self.evict(turn);
        if matches!(self.writing, Writing::Failing { .. }) {
            let command = json!({ "command": "probe" }).to_string();
            turn.group.add_probe(&By { now: turn.now, actor: SELF, origin: "health", command, decision: NO_DECISION.to_owned() });
        }
    }

    pub(super) fn submit(&mut self, turn: &mut Turn, submission: Submission) {
        count(&self.hands.counters.commands);
        let Submission { command, caller, origin, span, answer } = submission;
        let context = Context {
            now: turn.now,
            ids: ids(turn.now, self.hands.world.as_ref()),
            secret: uuid::Uuid::from_bytes(self.hands.world.chance()).simple().to_string(),
            caller: caller.clone(),
            observed: &self.seen.observed,
            keys: &*self.hands.vault,
        };
        let rests_on_group = turn.group.len() > 0;
        let decision = caught("apply", &self.hands.reports, &self.hands.counters, || {
            // What nobody traces has no span, either.
            let decided = if span.is_none() { Span::none() } else { tracing::info_span!(parent: &span, "decide") };
            let _decided = decided.entered();
            apply(&turn.group.cluster, &command, context)
        });
        let (result, request, asked) = match decision {
            Ok(Decision { result, request, asked }) => (result.map_err(|refused| refused.replies), request, asked),
            Err(report) => (Err(vec![defect(&report)]), nothing_known(), Vec::new()),
        };
        let result = result.and_then(|mut applied| {
            let changes = std::mem::take(&mut applied.changes);
            if changes.is_empty() {
                return Ok((applied, rests_on_group));
            }
            if let Writing::Fenced { error } = &self.writing {
                return Err(vec![not_stored(error, &fence_correction(error), None)]);
            }
            let by = By {
                now: turn.now,
                actor: &caller.name,
                origin: &origin,
                command: json_text(&command),
                decision: json_text(&decision::decided(&applied.replies, &asked)),
            };
            let concerned = jobs::concerned(&turn.group.cluster, &changes);
            let added = if command.is_large() { turn.group.add_split(&by, changes) } else { turn.group.add(&by, changes) };
            added.map_err(|unfit| vec![unfit_reply(&unfit)])?;
            turn.group.traced(&span);
            self.look.extend(concerned);
            self.look.extend(applied.jobs.iter().copied());
            Ok((applied, true))
        });
        match result {
            Ok((applied, rests_on_group)) => turn.pending.push(Pending { answer, applied, request, rests_on_group }),
            Err(mut replies) => {
                replies.iter_mut().for_each(|reply| request.complete(reply, turn.now));
                let why = replies.iter().find(|reply| reply.is_error()).map(|reply| reply.message.as_str()).unwrap_or_default();
                CommandRefused { actor: &caller.name, origin: &origin, why }.emit(&self.hands.counters);
                let applied = Applied { replies, ..Applied::default() };
                turn.pending.push(Pending { answer, applied, request, rests_on_group });
            }
        }
    }

    /// What was done beside the records has its place in the log.
    fn note(&mut self, turn: &mut Turn, noted: Noted) {
        let Noted { caller, origin, command, answer } = noted;
        let mut applied = Applied::default();
        if let Writing::Fenced { error } = &self.writing {
            applied.replies.push(not_stored(error, &fence_correction(error), None));
        } else {
            turn.group.add_probe(&By { now: turn.now, actor: &caller.name, origin: &origin, command, decision: NO_DECISION.to_owned() });
        }
        turn.pending.push(Pending { answer, applied, request: nothing_known(), rests_on_group: true });
    }

    /// Takes what a session says.
    fn hear(&mut self, turn: &mut Turn, from: FromSession) {
        let FromSession { node, id, session, event } = from;
        let known = self.cluster.nodes.get(&node).is_some_and(|object| object.id == id);
        let newest = self.live.get(&node).map_or(0, |live| live.session);
        if !known || session < newest {
            count(&self.hands.counters.stale_messages);
            return;
        }
        let live = self.live.entry(node.clone()).or_default();
        if session > live.session {
            // A newer session began: the older one is over, whether it said so or not.
            live.session = session;
            if live.link.take().is_some() {
                self.seen.lost(&node, "A newer session replaced it.".to_owned(), turn.now);
                self.tending.lost(&node);
                self.look.extend(self.cluster.jobs_awaiting(&node));
            }
        }
        match event {
            SessionEvent::Failed { status, reason } => {
                live.link = None;
                let known = self.seen.observed.nodes.get(&node).and_then(|seen| seen.reason.as_ref()) == Some(&reason);
                let attempts = self.seen.failed(&node, status, reason.clone(), turn.now);
                SessionFailed { node: &node, attempts, cause: &reason, known }.emit(&self.hands.counters);
                self.look.extend(self.cluster.jobs_awaiting(&node));
            }
            SessionEvent::Opened { link, capabilities } => {
                SessionOpened { node: &node, session, uname: &capabilities.uname }.emit(&self.hands.counters);
                self.seen.opened(&node, *capabilities, turn.now);
                link.whole(Arc::clone(&self.cluster));
                live.link = Some(link);
            }
            SessionEvent::Seen(observation) if live.link.is_some() => {
                let news = self.seen.saw(&self.cluster, &node, *observation, turn.now);
                for resource in &news.resources {
                    self.look.extend(self.cluster.jobs_on(resource).map(|job| job.id));
                }
                if news.node {
                    self.look.extend(self.cluster.jobs_awaiting(&node));
                }
                if !news.gone.is_empty() {
                    self.gone.entry(node.clone()).or_default().extend(news.gone);
                }
                turn.alive.extend(news.alive);
                news.bugs.iter().for_each(|fault| self.report_fault(&node, fault));
                for (resource, begun) in news.primaries {
                    self.tending.used(&node, resource, begun);
                }
                for resource in news.ties {
                    self.make_client(turn, &resource, &node);
                }
            }
            SessionEvent::Seen(_) => count(&self.hands.counters.stale_messages),
            SessionEvent::Lost { reason } => {
                self.tending.lost(&node);
                if live.link.take().is_some() {
                    SessionLost { node: &node, session, cause: &reason }.emit(&self.hands.counters);
                    self.seen.lost(&node, reason, turn.now);
                    self.look.extend(self.cluster.jobs_awaiting(&node));
                }
            }
        }
    }

    fn report_fault(&self, node: &NodeName, fault: &Fault) {
        let text = format!("Cause: {}\nCorrection: {}\n\n{}", fault.cause, fault.correction, fault.details);
        self.hands.reports.make(NewReport {
            node: node.to_string(),
            exception: "Fault".to_owned(),
            message: fault.message.clone(),
            method: "satellite".to_owned(),
            text,
            ..NewReport::default()
        });
        count(&self.hands.counters.error_reports);
    }

    /// Removes tombstones whose items are gone.
    fn bury(&mut self, turn: &mut Turn) {
        for (node, gone) in std::mem::take(&mut self.gone) {
            let decision = json_text(&decision::gone(&turn.group.cluster, &node, gone.iter().copied()));
            let changes = jobs::bury(&turn.group.cluster, &node, gone.iter().copied());
            if changes.is_empty() {
                continue;
            }
            self.look.extend(jobs::concerned(&turn.group.cluster, &changes));
            let command = json!({ "command": "bury", "node": node.as_str(), "items": gone }).to_string();
            let by = By { now: turn.now, actor: SELF, origin: node.as_str(), command, decision };
            if let Err(unfit) = turn.group.add_split(&by, changes) {
                self.defect("bury", &unfit.to_string());
            }
        }
    }

    /// Moves the jobs on that are to be looked at, as far as what was seen carries them.
    fn advance(&mut self, turn: &mut Turn) {
        if let Some(held) = &self.held {
            self.look.retain(|id| !held.jobs.contains(id));
        }
        let mut steps: BTreeMap<Id<kind::Job>, usize> = BTreeMap::new();
        let mut later = BTreeSet::new();
        while steps.len() < GROUP
            && let Some(id) = self.look.pop_first()
        {
            let Some(job) = turn.group.cluster.jobs.get(&id).cloned() else {
                turn.stand.remove(&id);
                continue;
            };
            let taken = steps.entry(id).or_default();
            if *taken > 0 && job.resource().is_none() {
                // Work on a whole node is done in steps of one transaction each; others get their turn between them.
                later.insert(id);
                continue;
            }
            *taken += 1;
            if *taken > STEPS {
                self.defect("advance", &format!("Job {id} ({} of '{}') does not come to rest.", job.task.word(), job.subject));
                continue;
            }
            let (cluster, observed) = (&turn.group.cluster, &self.seen.observed);
            let ids = ids(turn.now, self.hands.world.as_ref());
            let advanced =
                caught("advance", &self.hands.reports, &self.hands.counters, || jobs::advance(cluster, observed, turn.now, ids, [id]));
            let Ok(progress) = advanced else { continue };
            if !progress.changes.is_empty() {
                let concerned = jobs::concerned(&turn.group.cluster, &progress.changes);
                let subject = job.subject.to_string();
                let of = if job.resource().is_some() { "resource" } else { "node" };
                let command = json!({ "command": "advance", "job": id, "task": job.task.word(), of: subject }).to_string();
                let mut notes = decision::seen(&turn.group.cluster, &self.seen.observed, &job);
                let told = progress.ended.iter().chain(&progress.blocked).filter(|(about, _)| *about == id);
                told.for_each(|(_, replies)| notes.extend(decision::said(replies)));
                let reasons: Vec<Reply> = progress.reasons.iter().map(|(_, reply)| reply.clone()).collect();
                notes.extend(decision::said(&reasons));
                let by = By { now: turn.now, actor: SELF, origin: &subject, command, decision: json_text(&notes) };
                if let Err(unfit) = turn.group.add_split(&by, progress.changes) {
                    self.defect("advance", &format!("Job {id} cannot be stored: {unfit}"));
                    continue;
                }
                self.look.extend(concerned);
            }
            turn.stand.insert(id, None);
            for (id, replies) in progress.blocked {
                turn.stand.insert(id, Some(replies));
            }
            for (id, replies) in progress.ended {
                turn.stand.remove(&id);
                turn.ended.push((id, replies));
            }
        }
        self.look.extend(later);
    }

    /// Something that cannot be: for the developers.
    fn defect(&self, part: &str, message: &str) {
        let report = self.hands.reports.make(NewReport {
            exception: "Defect".to_owned(),
            message: message.to_owned(),
            method: part.to_owned(),
            file: file!().to_owned(),
            line: line!(),
            ..NewReport::default()
        });
        count(&self.hands.counters.error_reports);
        tracing::error!(part, message, report, "defect");
    }

    async fn commit(&mut self, mut turn: Turn) {
        if turn.group.len() == 0 {
            self.effects(&mut turn);
            if self.seen.dirty {
                self.publish();
            }
            self.tell(turn, &[]);
            return;
        }
        let entries = turn.group.len();
        let transaction = turn.group.transaction();
        let entries_told =
            if self.hands.feed.listened() { transaction.entries.iter().map(|entry| entry.log.clone()).collect() } else { Vec::new() };
        let begun = Clock::now();
        let stored = turn.group.span(entries);
        turn.trace = trace::place(&stored);
        match self.hands.store.commit(transaction).instrument(stored).await {
            Ok(serial) => {
                Committed { serial, entries, took: begun.elapsed() }.emit(&self.hands.counters);
                debug_assert_eq!(serial, turn.group.cluster.serial);
                if matches!(self.writing, Writing::Failing { .. }) {
                    self.writing = Writing::Well;
                    self.tell_health();
                }
                self.committed(turn, entries_told);
            }
            Err(error) => {
                CommitFailed { serial: self.cluster.serial, entries, cause: &error }.emit(&self.hands.counters);
                self.refused_by_store(turn, error);
            }
        }
    }

    /// The group is on disk: everybody may know.
    fn committed(&mut self, mut turn: Turn, entries: Vec<LogEntry>) {
        let changes = std::mem::take(&mut turn.group.changes);
        let before = std::mem::replace(&mut self.cluster, Arc::new(turn.group.cluster.clone()));
        self.news = news::of(&before, &changes, entries);
        let touches = plan::touched(&before, &self.cluster, &changes);
        for name in changes.iter().filter_map(|change| if let Key::Node(name) = change.key() { Some(name) } else { None }) {
            self.seen.follow(&self.cluster, [&name], turn.now);
            let id = |cluster: &Cluster| cluster.nodes.get(&name).map(|node| node.id);
            if id(&self.cluster).is_none() || id(&self.cluster) != id(&before) {
                self.live.remove(&name);
            }
        }
        for (node, touch) in &touches {
            let forgotten = touch.items.iter().filter(|id| self.cluster.owner(**id).is_none());
            self.seen.forget(node, forgotten);
        }
        self.effects(&mut turn);
        self.publish();
        for (node, touch) in touches {
            if let Some(link) = self.live.get(&node).and_then(|live| live.link.as_ref()) {
                link.changed(Arc::clone(&self.cluster), touch, &turn.trace);
            }
        }
        self.tell(turn, &changes);
    }

    /// Does what commands asked for beside their changes, so that the answer finds it done or begun.
    fn effects(&mut self, turn: &mut Turn) {
        for effect in turn.pending.iter_mut().flat_map(|pending| std::mem::take(&mut pending.applied.effects)) {
            match effect {
                Effect::Reconnect(node) => self.reconnect(&node, turn.now),
            }
        }
    }

    /// The node counts as away until the new session is there: what the old one said may be of another machine.
    fn reconnect(&mut self, node: &NodeName, now: Timestamp) {
        let Some(object) = self.cluster.nodes.get(node) else { return };
        if !has_session(object) {
            return;
        }
        match self.live.get_mut(node).and_then(|live| live.link.take()) {
            Some(link) => link.close(),
            // Only shortens a pause; a queue that is full costs nothing but that.
            None => drop(self.hands.wakes.try_send(node.clone())),
        }
        self.seen.lost(node, "A new connection was asked for.".to_owned(), now);
        self.look.extend(self.cluster.jobs_awaiting(node));
    }

    /// Tells whoever waits. Everything that `turn` rests on is committed.
    fn tell(&mut self, mut turn: Turn, changes: &[Change]) {
        // A job that another command took away ended, too.
        let mut ended: BTreeSet<Id<kind::Job>> = turn.ended.iter().map(|(id, _)| *id).collect();
        for change in changes {
            if let Change::Delete(Key::Job(id)) = change
                && ended.insert(*id)
            {
                turn.ended.push((*id, vec![given_up()]));
            }
        }
        // Whoever asks now is not told what blocked a job before this turn: it may be a retry.
        for (id, _) in turn.stand.iter().filter(|(_, replies)| replies.is_none()) {
            self.waiting.blocked(*id, None);
        }
        for Pending { answer, applied, request, rests_on_group: _ } in turn.pending {
            let open = |id: &Id<kind::Job>| self.cluster.jobs.contains_key(id) || ended.contains(id);
            let jobs: Vec<_> = applied.jobs.iter().copied().filter(open).collect();
            let jobs = jobs.into_iter().map(|id| (id, self.waiting.join(id))).collect();
            // Nobody listens any more: the client hung up. What was decided stays.
            let _ = answer.send(Verdict {
                replies: applied.replies,
                request,
                jobs,
                await_node: applied.await_node,
                await_pool: applied.await_pool,
                await_items: (self.cluster.serial, applied.await_items),
                await_file: applied.await_file,
            });
        }
        for resource in &turn.alive {
            self.cluster.jobs_on(resource).for_each(|job| self.waiting.beat(job.id));
        }
        for (id, replies) in turn.stand {
            self.waiting.blocked(id, replies);
        }
        for (id, replies) in turn.ended {
            count(&self.hands.counters.jobs_ended);
            self.waiting.ended(id, replies);
        }
    }

    /// Nothing of the group happened: each answer that rests on it says so.
    fn refused_by_store(&mut self, mut turn: Turn, error: StoreError) {
        turn.pending.iter_mut().filter(|pending| pending.rests_on_group).for_each(|pending| pending.applied.effects.clear());
        self.effects(&mut turn);
        let fenced = matches!(error, StoreError::Deposed { .. } | StoreError::Conflict { .. });
        let first = matches!(self.writing, Writing::Well);
        let correction = if fenced { fence_correction(&error) } else { error.correction() };
        let report = (first || fenced).then(|| {
            count(&self.hands.counters.error_reports);
            self.hands.reports.make(NewReport {
                exception: "Store".to_owned(),
                message: format!("Changes cannot be stored: {error}"),
                method: "commit".to_owned(),
                file: file!().to_owned(),
                line: line!(),
                text: format!("Correction: {correction}\n\n{error:?}"),
                ..NewReport::default()
            })
        });
        let reply = not_stored(&error, &correction, report);
        for Pending { answer, mut applied, request, rests_on_group } in turn.pending {
            if rests_on_group {
                let mut reply = reply.clone();
                request.complete(&mut reply, turn.now);
                applied = Applied { replies: vec![reply], ..Applied::default() };
            }
            let _ = answer.send(Verdict {
                replies: applied.replies,
                request,
                jobs: Vec::new(),
                await_node: applied.await_node,
                await_pool: applied.await_pool,
                await_items: Default::default(),
                await_file: None,
            });
        }
        if fenced {
            Fenced { cause: &error }.emit();
            self.writing = Writing::Fenced { error };
        } else {
            let pause = match &self.writing {
                Writing::Failing { pause, .. } => pause.saturating_mul(2).min(SWEEP),
                Writing::Well | Writing::Fenced { .. } => RETRY,
            };
            // The sweep looks at all again that this group lost.
            self.sweep_at = Instant::now() + pause;
            self.writing = Writing::Failing { error, pause };
        }
        self.look.clear();
        self.gone.clear();
        self.tell_health();
        if self.seen.dirty {
            self.publish();
        }
    }
}

/// Ids from a seed that nobody can foresee.
pub(crate) fn ids(now: Timestamp, world: &dyn World) -> IdSource {
    IdSource::new(now, world.chance())
}

/// The context of a request that nobody could look at.
fn nothing_known() -> RequestContext {
    RequestContext { operation: Operation::Modify, object: ObjectMask::Controller, refs: Vec::new() }
}

fn defect(report: &str) -> Reply {
    let mut reply = Reply::new(Code::FAIL_IMPL_ERROR, "The controller has a defect; the request changed nothing.")
        .cause("A panic while the request was decided.")
        .correction(format!("Report the defect with the text of error report {report}."));
    reply.reports.push(report.to_owned());
    reply
}

/// For whoever waited for a job that another command took away.
fn given_up() -> Reply {
    Reply::new(Code::FAIL_RSC_BUSY, "The work was given up: another request cancelled or replaced it.")
        .cause("Somebody asked for something else of the same object before this was done.")
        .correction("'berth why OBJECT' tells who; repeat the request if it is still wanted.")
}

fn not_stored(error: &StoreError, correction: &str, report: Option<String>) -> Reply {
    let mut reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, "The change could not be stored, so nothing was changed.")
        .cause(format!("{error}."))
        .correction(correction);
    reply.reports.extend(report);
    reply
}

pub(crate) fn unfit_reply(unfit: &Unfit) -> Reply {
    let correction = match unfit {
        Unfit::Count { .. } | Unfit::Bytes { .. } => "Split the request into smaller ones.",
        Unfit::Reserved { .. } => "Choose another name, or repair the record with 'berth db repair'.",
        Unfit::Name { .. } => "Choose a shorter name without control characters.",
    };
    Reply::new(Code::FAIL_INVLD_REQUEST, "The request cannot be stored, so nothing was changed.")
        .cause(format!("{unfit}."))
        .correction(correction)
}
