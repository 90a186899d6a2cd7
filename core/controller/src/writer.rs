//! The writer: one task owns the cluster. Commands and observations come in, a group of them becomes one transaction, and only
//! when that is on disk anybody is told (law 1).

mod autosnap;
mod balance;
mod eviction;
mod group;
mod news;
mod seen;
mod tending;
#[cfg(test)]
mod tests;
mod turn;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use berth_engine::command::Command;
use berth_engine::draft::{AwaitedFile, AwaitedPool, RequestContext};
use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::ids::{Id, kind};
use berth_model::job::Awaited;
use berth_model::names::NodeName;
use berth_model::observed::{Capabilities, ConnectionStatus, Observation};
use berth_model::reply::Reply;
use berth_store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use group::{By, Group, json_text};
use seen::Seen;
pub(crate) use turn::{ids, unfit_reply};
pub(crate) use waiting::JobNews;
use waiting::Waiting;

use crate::happenings::Counters;
use crate::http::{Feed, News};
use crate::outside::World;
use crate::reports::Reports;
use crate::session::Link;
use crate::state::{Health, View};
use crate::vault::Vault;

/// Messages on their way to the writer.
pub(crate) const QUEUE: usize = 1024;
/// Messages of one turn, and jobs looked at in one: bounds the time to the next commit.
const GROUP: usize = 256;
/// What the messages of one turn may say together, in items of plans: a thousand satellites that report all they have at once
/// hold up nobody's commit for long. A message that says more is a turn of its own.
const WEIGHT: usize = 4096;
/// Steps of one job in one turn.
const STEPS: usize = 16;
/// All jobs are looked at so often, so that a missed wake-up costs time and nothing else.
const SWEEP: Duration = Duration::from_secs(15);
/// First pause after a commit that failed; doubles up to [`SWEEP`].
const RETRY: Duration = Duration::from_secs(1);
/// So long satellites have time to connect after the start before the jobs of the last run are looked at:
/// a node that is not there yet is not a node that is away.
const SETTLE: Duration = Duration::from_secs(5);

/// What the writer hears.
#[derive(Debug)]
pub(crate) enum Message {
    /// A command.
    Submit(Box<Submission>),
    /// Something that changes no record and belongs into the log.
    Note(Box<Noted>),
    /// From a session.
    Session(Box<FromSession>),
}

impl Message {
    /// How much there is to look at, in items of plans.
    fn weight(&self) -> usize {
        match self {
            Self::Submit(_) | Self::Note(_) => 1,
            Self::Session(from) => match &from.event {
                SessionEvent::Seen(seen) => 1 + seen.items.len() + seen.strangers.as_ref().map_or(0, Vec::len),
                SessionEvent::Failed { .. } | SessionEvent::Opened { .. } | SessionEvent::Lost { .. } => 1,
            },
        }
    }
}

/// A command with whoever waits for the answer.
#[derive(Debug)]
pub(crate) struct Submission {
    pub command: Command,
    pub caller: Caller,
    pub origin: String,
    /// What becomes of it is traced below this.
    pub span: tracing::Span,
    pub answer: oneshot::Sender<Verdict>,
}

/// What was done, for the log alone.
#[derive(Debug)]
pub(crate) struct Noted {
    pub caller: Caller,
    pub origin: String,
    /// JSON text, in the form of a command.
    pub command: String,
    pub answer: oneshot::Sender<Verdict>,
}

/// What came of a command at once, and what to wait for.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub replies: Vec<Reply>,
    pub request: RequestContext,
    pub jobs: Vec<(Id<kind::Job>, watch::Receiver<JobNews>)>,
    pub await_node: Option<NodeName>,
    pub await_pool: Option<AwaitedPool>,
    /// Items that their satellites must have looked at under a plan of this serial or a later one.
    pub await_items: (u64, Vec<Awaited>),
    pub await_file: Option<AwaitedFile>,
}

/// Something from a session. What older sessions of the node still say is dropped.
#[derive(Debug)]
pub(crate) struct FromSession {
    pub node: NodeName,
    /// Generation id of the node.
    pub id: Id<kind::Node>,
    /// Each attempt has a greater one.
    pub session: u64,
    pub event: SessionEvent,
}

/// What a session tells.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// There is no session: why.
    Failed { status: ConnectionStatus, reason: String },
    /// There is one, and it takes plans.
    Opened { link: Arc<Link>, capabilities: Box<Capabilities> },
    /// The satellite saw something.
    Seen(Box<Observation>),
    /// It is over.
    Lost { reason: String },
}

/// What the writer needs of the rest.
pub(crate) struct Hands {
    pub store: Arc<dyn Store>,
    pub reports: Arc<Reports>,
    pub counters: Arc<Counters>,
    /// Published state.
    pub view: watch::Sender<View>,
    /// Published health.
    pub health: watch::Sender<Health>,
    /// Nodes to connect anew at once.
    pub wakes: mpsc::Sender<NodeName>,
    /// The way of what happens to streams of events.
    pub feed: Arc<Feed>,
    /// Clock and chance.
    pub world: Arc<dyn World>,
    /// Keys for volumes.
    pub vault: Arc<Vault>,
}

/// Whether the store takes changes.
#[derive(Debug)]
enum Writing {
    /// It does.
    Well,
    /// It did not the last time.
    Failing { error: StoreError, pause: Duration },
    /// It never will again in this process.
    Fenced { error: StoreError },
}

/// The jobs of the last run, until the satellites had time to connect.
#[derive(Debug)]
struct Held {
    jobs: BTreeSet<Id<kind::Job>>,
    until: Instant,
}

#[derive(Debug, Default)]
struct Live {
    session: u64,
    link: Option<Arc<Link>>,
}

/// The one owner of the cluster.
pub(crate) struct Writer {
    hands: Hands,
    /// As committed.
    cluster: Arc<Cluster>,
    seen: Seen,
    live: BTreeMap<NodeName, Live>,
    waiting: Waiting,
    writing: Writing,
    /// What is always to be said of the database.
    warnings: Vec<String>,
    /// Jobs to look at.
    look: BTreeSet<Id<kind::Job>>,
    held: Option<Held>,
    /// Tombstones to bury.
    gone: BTreeMap<NodeName, BTreeSet<Uuid>>,
    sweep_at: Instant,
    rounds: balance::Rounds,
    looks: autosnap::Looks,
    tending: tending::Tending,
    /// What led to the state that is published next.
    news: News,
    /// Nodes whose eviction was due and held, as the log knows.
    held_evictions: BTreeSet<NodeName>,
    absences: eviction::Absences,
}

impl Writer {
    /// Takes over a loaded cluster. `hands.view` must hold it already.
    pub fn new(hands: Hands, cluster: Arc<Cluster>, warnings: Vec<String>) -> Self {
        let jobs: BTreeSet<_> = cluster.jobs.keys().copied().collect();
        let mut this = Self {
            hands,
            cluster,
            seen: Seen::default(),
            live: BTreeMap::new(),
            waiting: Waiting::default(),
            writing: Writing::Well,
            warnings,
            look: BTreeSet::new(),
            held: (!jobs.is_empty()).then(|| Held { jobs, until: Instant::now() + SETTLE }),
            gone: BTreeMap::new(),
            sweep_at: Instant::now() + SWEEP,
            rounds: balance::Rounds::new(),
            looks: autosnap::Looks::new(),
            tending: tending::Tending::new(),
            news: News::default(),
            held_evictions: BTreeSet::new(),
            absences: eviction::Absences::default(),
        };
        let cluster = Arc::clone(&this.cluster);
        let now = this.hands.world.now();
        this.seen.follow(&cluster, cluster.nodes.keys(), now);
        this.publish();
        this.tell_health();
        this
    }

    /// Works until `quit`, then does what is queued, and ends.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Message>, quit: CancellationToken) {
        let mut batch = Vec::with_capacity(GROUP);
        loop {
            let mut weight = 0;
            if self.look.is_empty() && self.gone.is_empty() {
                // The end first, and then messages: what is due by the clock is done in each turn.
                let message = tokio::select! {
                    biased;
                    () = quit.cancelled() => break,
                    message = queue.recv() => message.map(Some),
                    () = tokio::time::sleep_until(self.wake_at()) => Some(None),
                };
                let Some(first) = message else { return };
                weight += first.as_ref().map_or(0, Message::weight);
                batch.extend(first);
            }
            while batch.len() < GROUP
                && weight < WEIGHT
                && let Ok(message) = queue.try_recv()
            {
                weight += message.weight();
                batch.push(message);
            }
            self.turn(batch.drain(..)).await;
        }
        queue.close();
        while queue.recv_many(&mut batch, GROUP).await > 0 {
            self.turn(batch.drain(..)).await;
        }
    }

    fn wake_at(&self) -> Instant {
        let next = self.held.as_ref().map_or(self.sweep_at, |held| held.until.min(self.sweep_at));
        next.min(self.rounds.due(&self.cluster)).min(self.looks.due()).min(self.tending.due())
    }

    /// Publishes what changed of both.
    fn publish(&mut self) {
        let observed = Arc::new(self.seen.observed.clone());
        self.seen.dirty = false;
        let view = View { cluster: Arc::clone(&self.cluster), observed };
        self.hands.view.send_replace(view.clone());
        // Only now: whoever begins to listen looks at the state after that.
        self.hands.feed.published(&view, std::mem::take(&mut self.news));
    }

    fn tell_health(&self) {
        let failures = match &self.writing {
            Writing::Well => Vec::new(),
            Writing::Failing { error, .. } => vec![format!("Changes cannot be stored: {error}. {}", error.correction())],
            Writing::Fenced { error } => {
                vec![format!("This controller takes no more changes: {error}. {}", fence_correction(error))]
            }
        };
        let health = Health { failures, warnings: self.warnings.clone() };
        self.hands.health.send_if_modified(|old| {
            let changed = *old != health;
            *old = health;
            changed
        });
    }
}

/// What to do when this process must not write any more.
fn fence_correction(error: &StoreError) -> String {
    match error {
        StoreError::Conflict { .. } => "Restart the controller; it loads the state again.".to_owned(),
        StoreError::Deposed { .. }
        | StoreError::TooLarge { .. }
        | StoreError::Invalid { .. }
        | StoreError::Reserved { .. }
        | StoreError::NotFound { .. }
        | StoreError::InUse { .. }
        | StoreError::NotOurs { .. }
        | StoreError::TooNew { .. }
        | StoreError::Exists { .. }
        | StoreError::Missing { .. }
        | StoreError::Gone { .. }
        | StoreError::Output { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Full { .. }
        | StoreError::NothingLeft { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Disk { .. }
        | StoreError::Document { .. }
        | StoreError::Closed => error.correction(),
    }
}
