//! The one owner of a satellite's state.
//!
//! Everything that happens is an [`Event`]; handling one only changes memory and starts work. What was decided by the controller comes
//! in as plans, what was seen by workers goes out as observations. Data is changed only while a session is up whose controller
//! has confirmed the plan; without one, what is there is served (attach, link, and the same by hand).

mod asked;
mod by_hand;
mod external;
mod looks;
mod plans;
mod plugins;
mod report;
mod strangers;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use berth_model::inquiry::{Answer, Question};
use berth_model::names::{NodeName, ResourceName, StorPoolName};
use berth_model::observed::{Capabilities, FileSeen, ItemSeen, PoolSeen, Stranger};
use berth_model::plan::{PlanBody, PlanItem};
use berth_model::plugin::PluginSeen;
use berth_proto::{Hello, Refusal, Up, up};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Span;
use uuid::Uuid;

use crate::bench::{Leave, OpenPool, Pools};
use crate::crew::Crew;
use crate::keep::{Held, Identity, Keep, Override, Overrides, Remembered};
use crate::site::Site;

pub use by_hand::{HandError, HandReply, ResourceState, Status as LocalStatus};

/// Events that may wait; senders wait beyond that.
const EVENTS_MAX: usize = 1024;
/// Events that are handled before anything else gets its turn.
const EVENTS_AT_ONCE: usize = 32;
/// Resources that are worked on at the same time.
const WORKERS_MAX: usize = 8;
/// First and longest pause before a faulty item is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How often a pool that cannot be used is tried again.
const POOL_RETRY: Duration = Duration::from_secs(2);
/// How often the space of pools is looked at when nothing happens.
const SPACE_INTERVAL: Duration = Duration::from_secs(60);
/// A controller that has sent no plan for so long after the welcome has nothing newer: what is held counts as confirmed.
const CONFIRM_AFTER: Duration = Duration::from_secs(3);
/// The first report of a session waits so long for items that were not looked at yet.
const WHOLE_WAIT: Duration = Duration::from_secs(10);
/// How long work that has begun may take at the end of the process; tools are under their own limits.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The way up to one controller.
#[derive(Debug, Clone)]
pub struct Link {
    /// Number of the session in this process.
    pub number: u64,
    /// Messages up.
    pub up: mpsc::Sender<Result<Up, Status>>,
    /// Ends the session.
    pub end: CancellationToken,
}

/// Why a hello was not accepted.
#[derive(Debug)]
pub enum Unwelcome {
    /// The controller is told why.
    Refused(Refusal),
    /// The satellite cannot remember whom it belongs to.
    Broken(String),
}

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// A controller says hello; the welcome goes up by the link before anything else.
    Hello(Hello, Link, oneshot::Sender<Result<(), Unwelcome>>),
    /// A session ended.
    Closed(u64),
    /// A plan came down.
    Plan {
        /// Session that it came by.
        session: u64,
        /// Epoch of its controller.
        epoch: u64,
        /// Its generation.
        generation: u64,
        /// What it builds on; 0: whole.
        base: u64,
        /// What it says.
        body: Box<PlanBody>,
        /// Where what led to it is in a trace; empty: in none.
        trace: String,
    },
    /// The controller asks for a sign of life, and says which plan it sent last.
    Ping {
        /// Session that it came by.
        session: u64,
        /// To be returned.
        number: u64,
        /// Generation of the plan that was sent last; 0: none.
        generation: u64,
    },
    /// The controller asks something beside the plan.
    Ask {
        /// Session that it came by.
        session: u64,
        /// To be returned.
        number: u64,
        /// What it asks.
        question: Box<Question>,
    },
    /// A question of a session was answered.
    Answered {
        /// The session.
        session: u64,
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: Box<Answer>,
    },
    /// The controller missed observations of this session.
    NeedReport(u64),
    /// Pools were opened, stale paths removed: work may begin.
    Started(Vec<OpenPool>),
    /// A pool was opened again.
    PoolOpened(Box<OpenPool>),
    /// The space of pools was looked at.
    Space(Vec<PoolSeen>),
    /// The space of these pools was looked at, and this is new.
    Looked(Vec<StorPoolName>, Vec<PoolSeen>),
    /// An item was worked on.
    Done(Box<ItemSeen>, Vec<PoolSeen>),
    /// A step on an item takes long.
    Working(Uuid),
    /// The worker of a resource is done.
    Free(ResourceName),
    /// The use of these devices may have changed.
    Used(Vec<String>),
    /// The use of the devices that DRBD offers for these resources may have changed.
    Opened(Vec<ResourceName>),
    /// These devices are used by somebody (true) or not.
    Probed(Vec<(String, bool)>),
    /// Everything was read anew: look at every item.
    Scanned,
    /// The pools were listed: all objects of the cluster; `None`: that failed.
    Listed(Option<Vec<Stranger>>),
    /// External files were made and looked at; `None`: that failed.
    FilesMade(Option<Vec<FileSeen>>),
    /// Somebody on this machine asks for the state.
    AskStatus(oneshot::Sender<LocalStatus>),
    /// Somebody on this machine asks for the plugins.
    AskPlugins(oneshot::Sender<Vec<PluginSeen>>),
    /// Somebody on this machine asks to look for plugins again.
    LookForPlugins(oneshot::Sender<Vec<PluginSeen>>),
    /// Plugins were looked for.
    PluginsLooked {
        /// Whether there are others than before.
        changed: bool,
        /// Who asked.
        reply: oneshot::Sender<Vec<PluginSeen>>,
    },
    /// Somebody on this machine asks for resources.
    AskResources(oneshot::Sender<Vec<ResourceState>>),
    /// Somebody on this machine attaches or detaches a resource, and when they asked.
    ByHand(ResourceName, Override, HandReply),
}

#[derive(Debug)]
struct Session {
    link: Link,
    epoch: u64,
    confirmed: bool,
    /// When what is held counts as confirmed although no plan came; `None`: not without one.
    confirm_at: Option<Instant>,
    whole_due: Option<Instant>,
    /// Observations that were sent.
    told: u64,
}

#[derive(Debug)]
struct Entry {
    item: Arc<PlanItem>,
    seen: Option<ItemSeen>,
    /// Generation of the last plan that named it: reported at least once with that or a later one.
    named: u64,
    attempts: u32,
    retry_at: Option<Instant>,
    /// The plan that asks for what is not done yet, as far as it is traced.
    cause: Span,
    /// The last work on it failed: what it did may be there, and not on disk.
    unsure: bool,
    /// Names that its resource had before: stable paths under them are to go.
    former: BTreeSet<ResourceName>,
    /// Those of them that its worker takes care of now.
    clearing: BTreeSet<ResourceName>,
}

#[derive(Debug, Default)]
struct Queue {
    dirty: BTreeSet<Uuid>,
    items: BTreeSet<Uuid>,
    running: bool,
    ready: bool,
    /// Former names of its items: nobody works on these while its worker does.
    borrowed: BTreeSet<ResourceName>,
    /// Resources that wait until nobody works on this one.
    followers: BTreeSet<ResourceName>,
}

/// The state, and the doors to it.
pub struct Core {
    site: Arc<dyn Site>,
    crew: Crew,
    capabilities: Arc<Capabilities>,
    keep: Arc<Mutex<Keep>>,
    name: Option<String>,
    identity: Identity,
    held: Held,
    overrides: Overrides,
    entries: BTreeMap<Uuid, Entry>,
    looks: looks::Looks,
    queues: BTreeMap<ResourceName, Queue>,
    ready: VecDeque<ResourceName>,
    /// Resources that wait for a pool.
    parked: Vec<ResourceName>,
    running: usize,
    retries: BTreeSet<(Instant, Uuid)>,
    pools: Arc<Pools>,
    opening: BTreeSet<StorPoolName>,
    /// Pools whose space is being looked at.
    looking: BTreeSet<StorPoolName>,
    /// Something failed since the pools were cleared of what is left of failures.
    failed: bool,
    started: bool,
    session: Option<Session>,
    outbox: VecDeque<up::Message>,
    unsent: BTreeSet<Uuid>,
    unsent_pools: BTreeSet<StorPoolName>,
    strangers: strangers::Strangers,
    external: external::External,
    /// Nodes that DRBD was connected to when that was told last.
    peers: Option<Vec<NodeName>>,
    peers_unsent: bool,
    waiting: Vec<by_hand::Waiting>,
    /// Questions that are being answered.
    asked: usize,
    events: mpsc::Receiver<Event>,
    door: mpsc::Sender<Event>,
    scan_interval: Duration,
    /// The plan that is being taken, as far as it is traced.
    cause: Span,
}

/// Settings of a satellite, wherever it runs.
pub struct Settings {
    /// The machine that it works on.
    pub site: Arc<dyn Site>,
    /// Where it remembers.
    pub keep: Keep,
    /// What it remembers.
    pub remembered: Remembered,
    /// Node name that it insists on.
    pub name: Option<String>,
    /// How often everything is looked at again.
    pub scan_interval: Duration,
}

impl Core {
    /// A core that is not running yet, and the door to it.
    #[must_use]
    pub fn new(settings: Settings, crew: Crew) -> (Self, mpsc::Sender<Event>) {
        let (door, events) = mpsc::channel(EVENTS_MAX);
        let capabilities = Arc::new(settings.site.capabilities());
        let mut core = Self {
            site: settings.site,
            crew,
            capabilities,
            keep: Arc::new(Mutex::new(settings.keep)),
            name: settings.name,
            identity: settings.remembered.identity,
            held: settings.remembered.held,
            overrides: settings.remembered.overrides,
            entries: BTreeMap::new(),
            looks: looks::Looks::default(),
            queues: BTreeMap::new(),
            ready: VecDeque::new(),
            parked: Vec::new(),
            running: 0,
            retries: BTreeSet::new(),
            pools: Arc::new(Pools::new()),
            opening: BTreeSet::new(),
            looking: BTreeSet::new(),
            failed: false,
            started: false,
            session: None,
            outbox: VecDeque::new(),
            unsent: BTreeSet::new(),
            unsent_pools: BTreeSet::new(),
            strangers: strangers::Strangers::default(),
            external: external::External::default(),
            peers: None,
            peers_unsent: false,
            waiting: Vec::new(),
            asked: 0,
            events,
            door: door.clone(),
            scan_interval: settings.scan_interval,
            cause: Span::none(),
        };
        let items: Vec<Arc<PlanItem>> = core.held.items.values().cloned().collect();
        for item in items {
            core.enter(item);
        }
        (core, door)
    }

    /// Runs until `stop`, then lets work that has begun come to its end.
    pub async fn run(mut self, stop: CancellationToken) {
        self.start();
        let mut scan = tokio::time::interval_at(Instant::now() + self.scan_interval, self.scan_interval);
        let mut space = tokio::time::interval_at(Instant::now() + SPACE_INTERVAL, SPACE_INTERVAL);
        let mut broken = tokio::time::interval_at(Instant::now() + POOL_RETRY, POOL_RETRY);
        for timer in [&mut scan, &mut space, &mut broken] {
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        loop {
            enum Wake {
                Event(Option<Event>),
                Room(Option<mpsc::OwnedPermit<Result<Up, Status>>>),
                Scan,
                Space,
                Broken,
                Time,
                Stop,
            }
            let wake_at = self.wake_at();
            let up = self.session.as_ref().filter(|_| self.has_news()).map(|session| session.link.up.clone());
            let wake = tokio::select! {
                // In this order, so that it is the same each time. Events come last because there may be many: what is before them is ready
                // again only after an event or some time, so that nothing starves.
                biased;
                () = stop.cancelled() => Wake::Stop,
                () = at(wake_at) => Wake::Time,
                _ = scan.tick() => Wake::Scan,
                _ = space.tick() => Wake::Space,
                _ = broken.tick() => Wake::Broken,
                room = room(up) => Wake::Room(room),
                event = self.events.recv() => Wake::Event(event),
            };
            match wake {
                Wake::Event(Some(event)) => {
                    self.handle(event).await;
                    // What happened together is told together.
                    for _ in 1..EVENTS_AT_ONCE {
                        let Ok(event) = self.events.try_recv() else { break };
                        self.handle(event).await;
                    }
                }
                Wake::Event(None) | Wake::Stop => break,
                Wake::Room(Some(room)) => {
                    if let Some(message) = self.news() {
                        room.send(Ok(Up { message: Some(message) }));
                    }
                }
                // The stream is gone; its reader will say so.
                Wake::Room(None) => self.close(),
                Wake::Scan => self.scan(),
                Wake::Space => {
                    self.look_at_space();
                    self.files_again();
                    self.look_at_peers();
                }
                Wake::Broken => self.retry_pools(),
                Wake::Time => self.on_time(),
            }
            self.dispatch();
            self.look_for_strangers();
            self.make_files();
        }
        self.end().await;
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Hello(hello, link, reply) => {
                let answer = self.hello(&hello, link).await;
                // Whoever asked may be gone: then the session ends by itself.
                drop(reply.send(answer));
            }
            Event::Closed(number) => {
                if self.session.as_ref().is_some_and(|session| session.link.number == number) {
                    tracing::info!(session = number, "session lost");
                    self.close();
                }
            }
            Event::Plan { session, epoch, generation, base, body, trace } => {
                self.cause = caused(&trace, generation);
                self.plan(session, epoch, generation, base, *body).await;
                self.cause = Span::none();
            }
            Event::Ping { session, number, generation } => self.ping(session, number, generation),
            Event::Ask { session, number, question } => self.asked(session, number, *question),
            Event::Answered { session, number, answer } => self.answered(session, number, &answer),
            Event::NeedReport(session) => self.report_anew(session),
            Event::Started(pools) => {
                self.started = true;
                self.strangers_due();
                for pool in pools {
                    self.pool_opened(pool);
                }
            }
            Event::PoolOpened(pool) => self.pool_opened(*pool),
            Event::Space(pools) => self.see_pools(pools),
            Event::Looked(names, pools) => {
                names.iter().for_each(|name| {
                    self.looking.remove(name);
                });
                self.see_pools(pools);
            }
            Event::Done(seen, pools) => {
                self.see_pools(pools);
                self.done(*seen);
            }
            Event::Working(id) => self.working(id),
            Event::Free(resource) => self.free(&resource).await,
            Event::Used(devices) => self.used(&devices),
            Event::Opened(resources) => self.opened(&resources),
            Event::Probed(devices) => self.probed(devices),
            Event::Scanned => {
                let all: Vec<Uuid> = self.entries.keys().copied().collect();
                all.into_iter().for_each(|id| self.wake(id));
                self.strangers_due();
                self.files_due();
            }
            Event::FilesMade(seen) => self.files_made(seen),
            Event::Listed(found) => self.listed(found),
            Event::AskStatus(reply) => drop(reply.send(self.local_status())),
            Event::AskPlugins(reply) => drop(reply.send(self.site.plugins())),
            Event::LookForPlugins(reply) => self.look_for_plugins(reply),
            Event::PluginsLooked { changed, reply } => self.plugins_looked(changed, reply),
            Event::AskResources(reply) => drop(reply.send(self.local_resources())),
            Event::ByHand(resource, act, reply) => self.by_hand(resource, act, reply).await,
        }
    }

    fn leave(&self) -> Leave {
        if self.session.as_ref().is_some_and(|session| session.confirmed) { Leave::All } else { Leave::ServeOnly }
    }

    fn wake_at(&self) -> Option<Instant> {
        let retry = self.retries.first().map(|(at, _)| *at);
        let session = self.session.as_ref();
        let confirm = session.filter(|session| !session.confirmed).and_then(|session| session.confirm_at);
        let whole = session.and_then(|session| session.whole_due).filter(|due| *due > Instant::now());
        [retry, confirm, whole].into_iter().flatten().min()
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.retries.first().copied().filter(|(at, _)| *at <= now) {
            self.retries.remove(&(at, id));
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.retry_at = None;
            }
            self.wake(id);
        }
        if self.session.as_ref().is_some_and(|session| !session.confirmed && session.confirm_at.is_some_and(|at| at <= now)) {
            self.confirm();
        }
    }

    /// Does something with the memory, which may wait for the disk.
    async fn with_keep<T: Send + 'static>(&self, act: impl FnOnce(&mut Keep) -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
        let keep = Arc::clone(&self.keep);
        let latency = self.kept(Keep::latency);
        let done = self.crew.aside(latency, move || act(&mut keep.lock().unwrap_or_else(PoisonError::into_inner))).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// What the memory knows of itself, which costs nothing.
    fn kept<T>(&self, ask: impl FnOnce(&Keep) -> T) -> T {
        ask(&self.keep.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn end(&mut self) {
        if let Some(session) = &self.session {
            session.link.end.cancel();
        }
        let end = Instant::now() + STOP_TIMEOUT;
        while self.running > 0 {
            match tokio::time::timeout_at(end, self.events.recv()).await {
                Ok(Some(Event::Free(_))) => self.running = self.running.saturating_sub(1),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// The span of a plan: all that it asks for is done below it. Plans that nobody traces have none.
fn caused(trace: &str, generation: u64) -> Span {
    if trace.is_empty() {
        return Span::none();
    }
    let span = tracing::info_span!("plan of the satellite", generation);
    berth_proto::trace::below(&span, trace);
    span
}

async fn room(up: Option<mpsc::Sender<Result<Up, Status>>>) -> Option<mpsc::OwnedPermit<Result<Up, Status>>> {
    match up {
        Some(up) => up.reserve_owned().await.ok(),
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
