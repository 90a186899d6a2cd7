//! What request handlers hold: the published state to read, a door to change it, and the waiting for what comes of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_engine::command::Command;
use berth_engine::draft::{AwaitedFile, AwaitedPool, RequestContext};
use berth_engine::explain::decision::said;
use berth_engine::explain::subject::Subject;
use berth_engine::explain::{Preview, foresee};
use berth_engine::{files, rename};
use berth_model::access::Caller;
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::ids::{Id, kind};
use berth_model::inquiry::{Answer as Told, LogControl, Question};
use berth_model::job::Awaited;
use berth_model::names::NodeName;
use berth_model::observed::{ConnectionStatus, Observed};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use berth_store::{LogEntry, LogFilter, Past, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::happenings::{Counters, count};
use crate::outside::World;
use crate::reports::Reports;
use crate::session::{Lines, Signs, Silent};
use crate::story::{Story, story};
use crate::writer::{By, Group, JobNews, Message, Noted, Submission, Verdict, json_text, unfit_reply};

/// How long an answer waits for the first attempt to reach a new node; a connect takes at most two seconds.
const FIRST_CONTACT: Duration = Duration::from_secs(8);

/// How long an answer waits for the first look at a new pool; a probe is a few system calls.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// The published state at one moment: immutable, and cheap to hold.
#[derive(Debug, Clone)]
pub struct View {
    /// What is intended; its serial is that of the last commit.
    pub cluster: Arc<Cluster>,
    /// What satellites have seen.
    pub observed: Arc<Observed>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Entries in order; at least one unless the command has nothing to say.
    pub replies: Vec<Reply>,
}

impl Answer {
    /// Whether any entry is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.replies.iter().any(Reply::is_error)
    }
}

/// Whether the controller does its work. Empty in both lists: all is well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Why it cannot do its work now; each with what to do.
    pub failures: Vec<String>,
    /// What somebody must look at, although all else is served: quarantined records, damage of the database.
    pub warnings: Vec<String>,
}

/// The running controller. Cloning costs a pointer.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

pub(crate) struct Inner {
    pub view: watch::Receiver<View>,
    pub queue: mpsc::Sender<Message>,
    pub health: watch::Receiver<Health>,
    pub reports: Arc<Reports>,
    pub counters: Arc<Counters>,
    pub store: Arc<dyn Store>,
    pub stop: CancellationToken,
    pub patience: Duration,
    pub world: Arc<dyn World>,
    pub started: Timestamp,
    pub signs: Arc<Signs>,
    pub lines: Arc<Lines>,
    pub data: PathBuf,
    pub listen: SocketAddr,
    pub log: Arc<dyn LogControl>,
    pub lists: crate::http::Lists,
    pub bodies: crate::http::Bodies,
    pub feed: Arc<crate::http::Feed>,
    pub vault: Arc<crate::vault::Vault>,
    pub gate: crate::gate::Gate,
    /// Where HTTPS listens, if it does; whether certificates are given.
    pub https: (SocketAddr, bool),
    /// How long the body of a request may take.
    pub body_within: Duration,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("serial", &self.0.view.borrow().cluster.serial).finish_non_exhaustive()
    }
}

impl Controller {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The state of now. Never waits.
    #[must_use]
    pub fn view(&self) -> View {
        self.0.view.borrow().clone()
    }

    /// Wakes whoever follows the state. A slow follower misses states in between, never the last one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<View> {
        self.0.view.clone()
    }

    /// Carries out a command and waits for what comes of it: the commit, then the jobs that it started, as long as they show
    /// signs of life. Dropping the future only stops the waiting.
    ///
    /// `caller`: who asks. `origin`: from where, e.g. the peer's address; both stand in the log.
    pub async fn submit(&self, command: Command, caller: &Caller, origin: &str) -> Answer {
        let (answer, verdict) = oneshot::channel();
        let span = tracing::info_span!("command");
        let submission = Submission { command, caller: caller.clone(), origin: origin.to_owned(), span: span.clone(), answer };
        async {
            if self.0.queue.send(Message::Submit(Box::new(submission))).await.is_err() {
                return Answer { replies: vec![stopping()] };
            }
            // Decided and committed, and then carried out by satellites, as far as the answer waits for them.
            match verdict.instrument(tracing::info_span!("commit")).await {
                Ok(verdict) => self.wait(verdict).instrument(tracing::info_span!("plan")).await,
                Err(_) => Answer { replies: vec![stopping()] },
            }
        }
        .instrument(span)
        .await
    }

    /// Puts something into the log that was done and changes no record. `what`: in the form of a command, without secrets.
    ///
    /// # Errors
    /// Why the log does not have it: entries of an answer.
    pub async fn note(&self, what: &serde_json::Value, caller: &Caller, origin: &str) -> Result<(), Vec<Reply>> {
        let (answer, verdict) = oneshot::channel();
        let noted = Noted { caller: caller.clone(), origin: origin.to_owned(), command: what.to_string(), answer };
        if self.0.queue.send(Message::Note(Box::new(noted))).await.is_err() {
            return Err(vec![stopping()]);
        }
        let replies = verdict.await.map_or_else(|_| vec![stopping()], |verdict| verdict.replies);
        if replies.iter().any(Reply::is_error) { Err(replies) } else { Ok(()) }
    }

    /// What a command would do, and the answer that it would begin with. Nothing is changed, and nobody is asked.
    ///
    /// # Errors
    /// The entries of the refusal that the command would get.
    pub fn preview(&self, command: &Command, caller: &Caller) -> Result<Preview, Vec<Reply>> {
        let (view, now) = (self.view(), now());
        let (applied, mut preview) =
            foresee(&view.cluster, &view.observed, command, (caller, self.vault()), now).map_err(|refused| refused.replies)?;
        let by = By { now, actor: &caller.name, origin: "", command: json_text(command), decision: json_text(&said(&applied.replies)) };
        if !applied.changes.is_empty() {
            let mut group = Group::new(&view.cluster);
            let fits = if command.is_large() { group.add_split(&by, applied.changes) } else { group.add(&by, applied.changes) };
            fits.map_err(|unfit| vec![unfit_reply(&unfit).created_at(now)])?;
            preview.unforeseen.extend(self.health().failures.into_iter().map(|why| format!("Whether it can be stored: {why}")));
        }
        Ok(preview)
    }

    /// Whether the controller does its work.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.borrow().clone()
    }

    /// The error reports.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        &self.0.reports
    }

    /// What it counts about itself.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn shared_counters(&self) -> Arc<Counters> {
        Arc::clone(&self.0.counters)
    }

    pub(crate) fn shared_signs(&self) -> Arc<Signs> {
        Arc::clone(&self.0.signs)
    }

    /// When the satellite of this node was heard last, a mere sign of life included; `None`: never since the start.
    #[must_use]
    pub fn last_heard(&self, node: Id<kind::Node>) -> Option<Timestamp> {
        self.0.signs.last(node)
    }

    pub(crate) fn feed(&self) -> &Arc<crate::http::Feed> {
        &self.0.feed
    }

    /// Asks the satellite of a node something beside its plan, and waits for the answer.
    ///
    /// # Errors
    /// [`Silent`], if none came.
    pub async fn ask(&self, node: Id<kind::Node>, question: &Question) -> Result<Told, Silent> {
        self.0.lines.ask(node, question).await
    }

    pub(crate) fn shared_lines(&self) -> Arc<Lines> {
        Arc::clone(&self.0.lines)
    }

    /// The folder of the database.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.0.data
    }

    /// Where the REST API was told to listen.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.0.listen
    }

    /// The log of this process.
    #[must_use]
    pub fn log_control(&self) -> &dyn LogControl {
        &*self.0.log
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    pub(crate) fn vault(&self) -> &crate::vault::Vault {
        &self.0.vault
    }

    pub(crate) fn lists(&self) -> &crate::http::Lists {
        &self.0.lists
    }

    /// Where HTTPS listens if it is on, and whether it is: by certificates that were given, or by the cluster's property.
    pub(crate) fn https(&self) -> (SocketAddr, bool) {
        let (mut address, given) = self.0.https;
        let port = self.0.gate.https_port();
        if let Some(port) = port {
            address.set_port(port);
        }
        (address, given || port.is_some())
    }

    pub(crate) fn gate(&self) -> &crate::gate::Gate {
        &self.0.gate
    }

    pub(crate) fn bodies(&self) -> &crate::http::Bodies {
        &self.0.bodies
    }

    pub(crate) fn body_within(&self) -> Duration {
        self.0.body_within
    }

    /// 32 bytes that nobody can foresee.
    pub(crate) fn chance(&self) -> [[u8; 16]; 2] {
        [self.0.world.chance(), self.0.world.chance()]
    }

    pub(crate) fn queue(&self) -> mpsc::Sender<Message> {
        self.0.queue.clone()
    }

    /// When it started.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// Fires when the controller ends: long answers and event streams must end then.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// The log after serial `after`, oldest first, at most `limit` entries.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn log(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.0.store.log(after, limit).await
    }

    /// The log entries that fit, newest first, at most `limit`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(&self, filter: LogFilter, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.0.store.audit(filter, limit).await
    }

    /// The last `limit` versions of a record, newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn history(&self, kind: &str, key: &str, limit: usize) -> Result<Vec<Past>, StoreError> {
        self.0.store.history(kind, key, None, limit).await
    }

    /// What happened to an object: the last `limit` entries below serial `before` (`None`: of all).
    pub(crate) async fn story(&self, subject: &Subject, before: Option<u64>, limit: usize) -> Result<Story, StoreError> {
        story(&*self.0.store, subject, before, limit).await
    }

    /// A support bundle with at most `entries` of the newest log entries.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn bundle(&self, entries: usize) -> Result<berth_store::Bundle, StoreError> {
        let product = concat!("berth ", env!("CARGO_PKG_VERSION"));
        berth_store::Bundle::take(self.0.store.as_ref(), entries, product, self.0.world.now().0).await
    }

    async fn wait(&self, verdict: Verdict) -> Answer {
        let Verdict { mut replies, request, jobs, await_node, await_pool, await_items, await_file } = verdict;
        if let Some(node) = await_node {
            replies.extend(self.first_contact(&node, &request).await);
        }
        if let Some(pool) = await_pool {
            replies.extend(self.first_look(&pool, &request).await);
        }
        if !await_items.1.is_empty() {
            replies.extend(self.moved(await_items, &request).await);
        }
        if let Some(file) = await_file {
            replies.extend(self.file_written(&file, &request).await);
        }
        let waits = jobs.into_iter().map(|(id, news)| self.job(id, news, &request));
        for entries in futures_util::future::join_all(waits).await {
            replies.extend(entries);
        }
        Answer { replies }
    }

    /// The entries of one job: as soon as it ended or cannot go on by itself at once, or when it shows no sign of life any more.
    async fn job(&self, id: Id<kind::Job>, mut news: watch::Receiver<JobNews>, request: &RequestContext) -> Vec<Reply> {
        let mut replies = loop {
            if let Some(replies) = &news.borrow_and_update().outcome {
                break replies.clone();
            }
            let next = tokio::select! {
                biased;
                changed = news.changed() => changed.map_err(|_| "The controller is being stopped."),
                () = tokio::time::sleep(self.0.patience) => Err("There was no sign of life from the satellites for some time."),
                () = self.0.stop.cancelled() => Err("The controller is being stopped."),
            };
            if let Err(cause) = next {
                count(&self.0.counters.answers_unfinished);
                break vec![unfinished(id, cause)];
            }
        };
        replies.iter_mut().for_each(|reply| request.complete(reply, self.0.world.now()));
        replies
    }

    /// What `look` finds in what was seen, as soon as it finds something; `None`: nothing within `patience`, or the controller stops.
    async fn seen_within<T>(&self, patience: Duration, look: impl Fn(&Observed) -> Option<T>) -> Option<T> {
        let mut view = self.0.view.clone();
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = look(&view.borrow_and_update().observed) {
                return Some(found);
            }
            let late = tokio::select! {
                biased;
                changed = view.changed() => changed.is_err(),
                () = tokio::time::sleep_until(deadline) => true,
                () = self.0.stop.cancelled() => true,
            };
            if late {
                return None;
            }
        }
    }

    /// Waits until the satellite has looked at a new pool. One that cannot be used is taken back, and the entries say why.
    async fn first_look(&self, pool: &AwaitedPool, request: &RequestContext) -> Vec<Reply> {
        let looked = |observed: &Observed| {
            let gone = !observed.online(&pool.node);
            let seen = observed.pool(&pool.node, &pool.name).filter(|seen| seen.id == pool.id);
            seen.map(|seen| seen.fault.clone()).or(gone.then_some(None))
        };
        let Some(fault) = self.seen_within(FIRST_LOOK, looked).await.flatten() else { return Vec::new() };
        let mut reply = Reply::new(Code::FAIL_STOR_POOL_CONFIGURATION_ERROR, fault.message)
            .cause(fault.cause)
            .correction(fault.correction)
            .details(format!("The storage pool is not kept. {}", fault.details));
        request.complete(&mut reply, self.0.world.now());
        let take_back = Command::DeleteStorPool { node: pool.node.to_string(), name: pool.name.to_string() };
        let (answer, verdict) = oneshot::channel();
        let submission = Submission {
            command: take_back,
            caller: Caller::internal("berth"),
            origin: String::new(),
            span: tracing::Span::none(),
            answer,
        };
        if self.0.queue.send(Message::Submit(Box::new(submission))).await.is_ok() {
            // Whether it worked stands in the log; the pool shows its fault until then.
            let _told = verdict.await;
        }
        vec![reply]
    }

    /// Waits until satellites have looked at items under the plan of a commit, and what hinders them.
    async fn moved(&self, (serial, items): (u64, Vec<Awaited>), request: &RequestContext) -> Vec<Reply> {
        let seen = self.seen_within(self.0.patience, |observed| rename::moved(observed, &items, serial)).await;
        let mut replies = seen.unwrap_or_else(|| {
            count(&self.0.counters.answers_unfinished);
            vec![
                Reply::new(Code::WARN_NOT_CONNECTED, "Not every node has moved its stable paths yet.")
                    .cause("There was no word of it from their satellites for some time.")
                    .correction("Look at the resource with 'linstor resource list'; the nodes go on by themselves."),
            ]
        });
        replies.iter_mut().for_each(|reply| request.complete(reply, self.0.world.now()));
        replies
    }

    /// Waits until satellites have looked at an external file that is deployed, and what hinders them.
    async fn file_written(&self, file: &AwaitedFile, request: &RequestContext) -> Vec<Reply> {
        let seen = self.seen_within(self.0.patience, |observed| files::written(observed, file)).await;
        let mut replies = seen.unwrap_or_else(|| {
            count(&self.0.counters.answers_unfinished);
            vec![
                Reply::new(Code::WARN_NOT_CONNECTED, format!("Not every node has written external file '{}' yet.", file.path))
                    .cause("There was no word of it from their satellites for some time.")
                    .correction("Ask for its state with 'GET /v1/files/{file}/status/{node}'; the nodes go on by themselves."),
            ]
        });
        replies.iter_mut().for_each(|reply| request.complete(reply, self.0.world.now()));
        replies
    }

    /// The entries about the first attempt to reach a new node.
    async fn first_contact(&self, node: &NodeName, request: &RequestContext) -> Vec<Reply> {
        let seen = self.seen_within(FIRST_CONTACT, |observed| contact(observed, node)).await;
        let mut replies = seen.unwrap_or_else(|| vec![no_contact(node, "It did not answer yet.")]);
        replies.iter_mut().for_each(|reply| request.complete(reply, self.0.world.now()));
        replies
    }
}

/// What is to be said of the first contact; `None`: nothing yet.
fn contact(observed: &Observed, node: &NodeName) -> Option<Vec<Reply>> {
    let seen = observed.nodes.get(node)?;
    match seen.status {
        ConnectionStatus::Online => {
            let mut replies =
                vec![Reply::new(Code::SATELLITE_CONNECTED, format!("The satellite of node '{node}' is connected.")).refer("Node", node)];
            let uname = seen.capabilities.as_ref().map(|capabilities| capabilities.uname.as_str()).unwrap_or_default();
            if !uname.is_empty() && !uname.eq_ignore_ascii_case(node.as_str()) {
                replies.push(
                    Reply::new(Code::INFO_NODE_NAME_MISMATCH, format!("Node '{node}' runs on a machine that calls itself '{uname}'."))
                        .details("DRBD needs both names to be the same; everything else works with different ones.")
                        .refer("Node", node),
                );
            }
            Some(replies)
        }
        ConnectionStatus::NoStltConn => Some(Vec::new()),
        ConnectionStatus::Connected | ConnectionStatus::Authenticated => None,
        ConnectionStatus::Offline if seen.attempts == 0 => None,
        ConnectionStatus::Offline
        | ConnectionStatus::VersionMismatch
        | ConnectionStatus::FullSyncFailed
        | ConnectionStatus::AuthenticationError
        | ConnectionStatus::Unknown
        | ConnectionStatus::HostnameMismatch
        | ConnectionStatus::OtherController
        | ConnectionStatus::MissingExtTools
        | ConnectionStatus::DuplicateUname => Some(vec![no_contact(node, seen.reason.as_deref().unwrap_or("It could not be reached."))]),
    }
}

fn no_contact(node: &NodeName, cause: &str) -> Reply {
    Reply::new(Code::WARN_NOT_CONNECTED, format!("No connection to satellite '{node}' yet; the node is registered."))
        .cause(cause)
        .correction("Start the satellite on the node, or correct the address of its net interface; the controller goes on trying.")
        .refer("Node", node)
}

fn unfinished(job: Id<kind::Job>, cause: &str) -> Reply {
    Reply::new(Code::WARN_NOT_CONNECTED, format!("The work goes on by itself as job {job}; this answer does not wait for it any longer."))
        .cause(cause)
        .correction(format!("Look at the job with 'berth job list'; it ends, or says what blocks it: {job}."))
        .refer("Job", job)
}

fn stopping() -> Reply {
    Reply::new(Code::FAIL_UNKNOWN_ERROR, "The controller is being stopped and takes no more commands.")
        .correction("Repeat the request when the controller runs again.")
        .created_at(now())
}

/// The wall clock, for display and records.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Sets the moment of an entry that no request completes.
trait CreatedAt {
    fn created_at(self, now: Timestamp) -> Self;
}

impl CreatedAt for Reply {
    fn created_at(mut self, now: Timestamp) -> Self {
        self.created = now;
        self
    }
}
