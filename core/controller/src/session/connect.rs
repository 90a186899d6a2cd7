//! One connection to a satellite: hello, then plans down and observations up, until something ends it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berth_model::ids::{Id, kind};
use berth_model::names::NodeName;
use berth_model::objects::Encryption;
use berth_model::observed::{Capabilities, ConnectionStatus, Observation};
use berth_proto::{ASK, Ask, Down, Hello, NeedReport, PROTOCOL_MAX, PROTOCOL_MIN, Ping, Plan, Refusal, Up, Welcome, down, refusal, up};
use futures_util::{Stream, StreamExt};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::lines::{Asked, Line, Lines, Open};
use super::link::{Link, Order};
use super::signs::Signs;
use crate::happenings::{Counters, PlanSent, count};
use crate::outside::{Outside, Wire, words};
use crate::state::View;
use crate::writer::{FromSession, Message, SessionEvent};

/// Whom to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Node.
    pub node: NodeName,
    /// Generation id of the node.
    pub id: Id<kind::Node>,
    /// Where its satellite listens.
    pub address: SocketAddr,
    /// Protection of the connection.
    pub encryption: Encryption,
}

/// What all sessions have in common.
#[derive(Debug)]
pub(crate) struct Common {
    /// The published state.
    pub view: watch::Receiver<View>,
    /// To the writer.
    pub queue: mpsc::Sender<Message>,
    /// Numbers for sessions; each attempt has a greater one than all before.
    pub numbers: AtomicU64,
    /// Counts.
    pub counters: Arc<Counters>,
    /// Clock, chance, and the way to satellites.
    pub outside: Outside,
    /// When each satellite was heard last.
    pub signs: Arc<Signs>,
    /// Ways to ask satellites something.
    pub lines: Arc<Lines>,
    /// Tells this controller from another one that leads a copy of its database in the same epoch.
    pub leader: String,
    /// Whoever makes a whole plan holds this: one at a time, so that a thousand satellites that come back together leave a processor to
    /// the writer and to requests.
    pub whole: Semaphore,
    /// How often a sign of life is asked for.
    pub ping: Duration,
    /// Silence after which the satellite counts as lost.
    pub silence: Duration,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Told to stop.
    Stopped,
    /// Told to connect anew.
    Again,
    /// There never was a session.
    Failed(ConnectionStatus, String),
    /// There was one.
    Lost(String),
}

impl Common {
    /// Tells the writer. A writer that is gone needs nothing any more.
    pub async fn tell(&self, peer: &Peer, session: u64, event: SessionEvent) {
        let message = FromSession { node: peer.node.clone(), id: peer.id, session, event };
        let _ = self.queue.send(Message::Session(Box::new(message))).await;
    }
}

/// Connects once and serves the connection until it ends.
pub(crate) async fn connection(common: &Common, peer: &Peer, session: u64, wake: &Notify, stop: &CancellationToken) -> End {
    let opened = tokio::select! {
        biased;
        () = stop.cancelled() => return End::Stopped,
        () = wake.notified() => return End::Again,
        opened = open(common, peer) => opened,
    };
    let ((down, up), welcome) = match opened {
        Ok(opened) => opened,
        Err((status, reason)) => return End::Failed(status, reason),
    };
    let capabilities = match capabilities(&welcome) {
        Ok(capabilities) => capabilities,
        Err(reason) => return End::Failed(ConnectionStatus::VersionMismatch, reason),
    };
    common.signs.heard(peer.id, common.outside.world.now());
    let asks = welcome.features.iter().any(|feature| feature == ASK);
    let (line, asked) = if asks { Line::open() } else { Line::none() };
    let _open: Open = common.lines.open(peer.id, session, line);
    let link = Arc::new(Link::default());
    common.tell(peer, session, SessionEvent::Opened { link: Arc::clone(&link), capabilities: Box::new(capabilities) }).await;
    let mut running = Running {
        common,
        peer,
        session,
        link,
        down,
        epoch: common.view.borrow().cluster.epoch,
        sent: 0,
        pings: 0,
        heard: 0,
        behind: false,
        questions: Asked::new(asked),
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => End::Stopped,
        () = wake.notified() => End::Again,
        reason = running.run(up) => reason,
    }
}

async fn open(common: &Common, peer: &Peer) -> Result<(Wire, Welcome), (ConnectionStatus, String)> {
    let offline = |reason: String| (ConnectionStatus::Offline, reason);
    let (id, epoch) = {
        let view = common.view.borrow();
        (view.cluster.id, view.cluster.epoch)
    };
    let hello = Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        epoch,
        cluster_id: id.to_string(),
        node_id: peer.id.to_string(),
        node_name: peer.node.to_string(),
        controller_version: env!("CARGO_PKG_VERSION").to_owned(),
        features: Vec::new(),
        leader: common.leader.clone(),
    };
    let talk = async {
        let dial = &common.outside.dial;
        let dialing = match peer.encryption {
            Encryption::Plain => dial.dial(peer.address, hello),
            Encryption::Ssl => dial.dial_secure(peer.address, hello),
        };
        let (down, mut up) = dialing.await.map_err(offline)?;
        let first = up.next().await.transpose().map_err(|status| offline(words(&status)))?;
        match first.and_then(|up| up.message) {
            Some(up::Message::Welcome(welcome)) => Ok(((down, up), welcome)),
            Some(up::Message::Refusal(refusal)) => Err(refused(&refusal)),
            Some(
                up::Message::Observation(_)
                | up::Message::NeedWhole(_)
                | up::Message::Pong(_)
                | up::Message::StalePlan(_)
                | up::Message::Told(_),
            ) => Err((ConnectionStatus::VersionMismatch, "The satellite's first message is neither a welcome nor a refusal.".to_owned())),
            None => Err(offline("The satellite ended the connection without an answer.".to_owned())),
        }
    };
    match tokio::time::timeout(common.silence, talk).await {
        Ok(result) => result,
        Err(_) => Err(offline(format!("{} accepts connections, but did not answer within {} s.", peer.address, common.silence.as_secs()))),
    }
}

fn refused(refusal: &Refusal) -> (ConnectionStatus, String) {
    let (status, what) = match refusal.reason() {
        refusal::Reason::StaleEpoch => (ConnectionStatus::OtherController, "The satellite obeys a newer controller"),
        refusal::Reason::OtherController => (ConnectionStatus::OtherController, "The satellite belongs to another controller"),
        refusal::Reason::VersionMismatch => (ConnectionStatus::VersionMismatch, "The satellite speaks no common version"),
        refusal::Reason::OtherNode => (ConnectionStatus::HostnameMismatch, "The satellite is another node of the cluster"),
        refusal::Reason::DataFolder => (ConnectionStatus::FullSyncFailed, "The satellite runs, but can take no plan"),
        refusal::Reason::Unspecified => (ConnectionStatus::Unknown, "The satellite refuses and does not say why"),
    };
    let detail = refusal.detail.trim();
    (status, if detail.is_empty() { format!("{what}.") } else { format!("{what}: {detail}") })
}

/// What the satellite's machine can do; an unreadable answer is a version mismatch.
fn capabilities(welcome: &Welcome) -> Result<Capabilities, String> {
    if !(PROTOCOL_MIN..=PROTOCOL_MAX).contains(&welcome.protocol) {
        return Err(format!("The satellite chose protocol {}, offered were {PROTOCOL_MIN} to {PROTOCOL_MAX}.", welcome.protocol));
    }
    let mut capabilities: Capabilities =
        serde_json::from_slice(&welcome.capabilities).map_err(|error| format!("The satellite's capabilities cannot be read: {error}"))?;
    if capabilities.uname.is_empty() {
        capabilities.uname.clone_from(&welcome.uname);
    }
    Ok(capabilities)
}

/// A session.
struct Running<'a> {
    common: &'a Common,
    peer: &'a Peer,
    session: u64,
    link: Arc<Link>,
    down: mpsc::Sender<Down>,
    epoch: u64,
    /// Generation that the satellite was told last; 0: none.
    sent: u64,
    pings: u64,
    /// Number of the newest observation; 0: none.
    heard: u64,
    /// Observations are missing, and no whole one came since.
    behind: bool,
    /// What the satellite is asked beside its plan.
    questions: Asked,
}

impl Running<'_> {
    async fn run(&mut self, mut up: Pin<Box<dyn Stream<Item = Result<Up, Status>> + Send>>) -> End {
        let mut ping = tokio::time::interval(self.common.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = Instant::now() + self.common.silence;
        let link = Arc::clone(&self.link);
        let down = self.down.clone();
        let mut order: Option<Order> = None;
        loop {
            // In this order, the same in every run: what is to be said is little, and does not wait for a satellite that talks without end.
            tokio::select! {
                biased;
                () = link.changes(), if order.is_none() => {
                    if link.closed() {
                        return End::Again;
                    }
                    order = link.take(self.sent);
                }
                permit = down.reserve(), if order.is_some() => {
                    let (Ok(permit), Some(order)) = (permit, order.take()) else {
                        return End::Lost("The connection takes no more messages.".to_owned());
                    };
                    match self.plan(&order).await {
                        Ok(plan) => permit.send(Down { message: Some(down::Message::Plan(plan)) }),
                        Err(end) => return end,
                    }
                }
                _ = ping.tick() => {
                    self.pings = self.pings.wrapping_add(1);
                    // A full queue is a satellite that does not read; the deadline deals with it.
                    let _ = self.down.try_send(Down { message: Some(down::Message::Ping(Ping { number: self.pings, generation: self.sent })) });
                }
                question = self.questions.next() => {
                    let (number, body) = question;
                    if self.down.try_send(Down { message: Some(down::Message::Ask(Ask { number, body })) }).is_err() {
                        // It does not read: whoever asks learns at once that nothing comes.
                        self.questions.drop_question(number);
                    }
                }
                message = up.next() => {
                    deadline = Instant::now() + self.common.silence;
                    match message.transpose() {
                        Ok(Some(Up { message: Some(message) })) => {
                            self.common.signs.heard(self.peer.id, self.common.outside.world.now());
                            if let Err(end) = self.hear(message).await {
                                return end;
                            }
                        }
                        // A kind of message that a newer satellite has.
                        Ok(Some(Up { message: None })) => {}
                        Ok(None) => return End::Lost("The satellite ended the session.".to_owned()),
                        Err(status) => return End::Lost(words(&status)),
                    }
                }
                () = tokio::time::sleep_until(deadline) => {
                    return End::Lost(format!("No sign of life from the satellite for {} s.", self.common.silence.as_secs()));
                }
            }
        }
    }

    /// Makes the plan that an order asks for. The first one of a session is whole.
    async fn plan(&mut self, order: &Order) -> Result<Plan, End> {
        let _turn = if order.whole || self.sent == 0 { self.common.whole.acquire().await.ok() } else { None };
        let generation = order.cluster.serial;
        let (base, body) = order.body(&self.peer.node, self.sent);
        PlanSent { node: &self.peer.node, generation, base, items: body.items.len() }.emit(&self.common.counters);
        let body = serde_json::to_vec(&body).map_err(|error| End::Lost(format!("The plan cannot be written: {error}")))?;
        self.sent = generation;
        Ok(Plan { epoch: self.epoch, generation, base, body, trace: order.trace.clone() })
    }

    /// Asks for the whole state if some of it was missed. It is asked for again with each sign of life until it comes.
    fn ask_for_report(&self) {
        if self.behind {
            let message = down::Message::NeedReport(NeedReport { number: self.heard });
            // A full queue: the next sign of life asks again.
            drop(self.down.try_send(Down { message: Some(message) }));
        }
    }

    async fn hear(&mut self, message: up::Message) -> Result<(), End> {
        match message {
            up::Message::Pong(pong) => {
                // What it sent before is here, or will never come.
                self.behind |= pong.observations > self.heard;
                self.ask_for_report();
                Ok(())
            }
            up::Message::NeedWhole(_) => {
                let cluster = Arc::clone(&self.common.view.borrow().cluster);
                self.link.whole(cluster);
                Ok(())
            }
            up::Message::Told(told) => {
                self.questions.told(told.number, &told.body);
                Ok(())
            }
            up::Message::Observation(observation) => {
                let seen: Observation = serde_json::from_slice(&observation.body).map_err(|error| {
                    End::Failed(ConnectionStatus::FullSyncFailed, format!("The satellite's observation cannot be read: {error}"))
                })?;
                count(&self.common.counters.observations);
                if observation.number > 0 {
                    if observation.number <= self.heard {
                        // Doubled, or overtaken by a newer one.
                        count(&self.common.counters.stale_messages);
                        return Ok(());
                    }
                    let before = self.behind;
                    self.behind = !seen.whole && (before || observation.number > self.heard + 1);
                    self.heard = observation.number;
                    if !before {
                        self.ask_for_report();
                    }
                }
                self.common.tell(self.peer, self.session, SessionEvent::Seen(Box::new(seen))).await;
                Ok(())
            }
            up::Message::StalePlan(stale) if stale.held_epoch > self.epoch => {
                Err(End::Failed(ConnectionStatus::OtherController, "The satellite obeys a newer controller.".to_owned()))
            }
            // Its plan comes from a state that this controller does not have, e.g. the database was put back to an older one.
            up::Message::StalePlan(stale) if stale.held > self.common.view.borrow().cluster.serial => Err(End::Failed(
                ConnectionStatus::FullSyncFailed,
                format!("The satellite holds plan {} of epoch {}, newer than {}.", stale.held, stale.held_epoch, stale.offered),
            )),
            // A doubled plan: what it holds is newer than what it was offered, all is well.
            up::Message::StalePlan(_) => Ok(()),
            up::Message::Welcome(_) | up::Message::Refusal(_) => {
                Err(End::Failed(ConnectionStatus::VersionMismatch, "The satellite greets a second time.".to_owned()))
            }
        }
    }
}

/// The next session number.
pub(crate) fn next_number(common: &Common) -> u64 {
    common.numbers.fetch_add(1, Ordering::Relaxed) + 1
}
