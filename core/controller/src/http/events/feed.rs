//! What happened, on its way from the writer to the streams.
//!
//! The writer leaves what it published in an inbox and goes on; it renders nothing, waits for nobody and wakes one task, the
//! [`pump`](super::pump). That one renders each event once and puts it into the [`Ring`] of its [`Topic`]. A stream is a place in a ring:
//! it takes what is there in its own time, and shares the bytes with all others.
//!
//! Everything is bounded: the inbox, the rings, the streams, and what the connection of one stream can hold (a few events). Who falls
//! behind a ring reads on from the log, or begins anew; it holds up nobody.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use berth_model::objects::Node;
use berth_store::LogEntry;
use tokio::sync::{Notify, Semaphore, watch};

use crate::View;

/// Most open streams; each is a connection, and takes some KiB.
pub const STREAMS_MAX: usize = 10_000;
/// Events of a topic that are kept for streams that are behind.
const RING_EVENTS: usize = 8192;
/// Bytes of them.
const RING_BYTES: usize = 8 << 20;
/// Log entries and changes of nodes that wait for the pump.
const INBOX_ENTRIES: usize = 8192;
/// Bytes of the entries that wait.
const INBOX_BYTES: usize = 8 << 20;
/// Streams of a topic are woken in so many parts, so that what else there is to do gets its turn between them.
const SHARDS: usize = 64;
/// So many streams may read the log at once: the disk is the writer's first.
const LOG_READERS: usize = 2;

/// A change of a node, as it was committed.
#[derive(Debug, Clone)]
pub(crate) struct NodeChange {
    /// As it was; `None`: it was not there.
    pub before: Option<Arc<Node>>,
    /// As it is; `None`: it is gone.
    pub after: Option<Arc<Node>>,
    /// It was given up for lost.
    pub lost: bool,
}

/// What a commit brings to streams.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Its log entries, in the order of their serials.
    pub entries: Vec<LogEntry>,
    /// What became of nodes, in order.
    pub nodes: Vec<NodeChange>,
}

/// What waits for the pump.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The state before everything else here, where nobody listened before.
    pub baseline: Option<View>,
    /// The newest state.
    pub view: Option<View>,
    pub entries: VecDeque<LogEntry>,
    pub nodes: VecDeque<NodeChange>,
    /// Changes of nodes were dropped.
    pub nodes_missed: bool,
    bytes: usize,
}

impl Inbox {
    fn add(&mut self, news: News) {
        let bytes = |entry: &LogEntry| entry.command.len() + entry.changes.len() + entry.decision.len();
        self.bytes += news.entries.iter().map(bytes).sum::<usize>();
        self.entries.extend(news.entries);
        if self.entries.len() > INBOX_ENTRIES || self.bytes > INBOX_BYTES {
            // They are in the log, and streams find them there.
            self.entries.clear();
            self.bytes = 0;
        }
        self.nodes.extend(news.nodes);
        if self.nodes.len() > INBOX_ENTRIES {
            self.nodes.clear();
            self.nodes_missed = true;
        }
    }
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    next: u64,
    /// Serial of the last change that it has.
    pub serial: u64,
}

/// What there is for a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// The next event.
    Event(Bytes),
    /// It has everything.
    Nothing,
    /// It fell behind, and goes on in the ring; what was only seen meanwhile is not told any more.
    Skipped,
    /// What comes next for it is not in the ring any more.
    Behind,
}

/// The newest events of a topic, in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Number of the first event; numbers only grow.
    first: u64,
    /// Serial of the state before the first event.
    base: u64,
    /// Serial of the state after the last one.
    head: u64,
    /// With the serial of the state after it.
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Adds events; `begins`: serial of the state before the first of them. Where that is not where the ring ends, it begins anew.
    fn add(&mut self, begins: u64, events: Vec<(u64, Bytes)>) {
        if begins != self.head {
            self.forget(begins);
        }
        for (serial, bytes) in events {
            self.head = serial;
            self.bytes += bytes.len();
            self.events.push_back((serial, bytes));
        }
        while self.events.len() > RING_EVENTS || self.bytes > RING_BYTES {
            let Some((serial, bytes)) = self.events.pop_front() else { break };
            self.first += 1;
            self.base = serial;
            self.bytes -= bytes.len();
        }
    }

    /// Begins anew at `serial`: whoever stands in it has fallen behind.
    fn forget(&mut self, serial: u64) {
        self.first = self.end() + 1;
        self.events = VecDeque::new();
        self.bytes = 0;
        (self.base, self.head) = (serial, serial);
    }

    fn take(&self, cursor: &mut Cursor) -> Taken {
        if cursor.next < self.first {
            if cursor.serial < self.base {
                return Taken::Behind;
            }
            *cursor = self.at(cursor.serial);
            return Taken::Skipped;
        }
        let place = usize::try_from(cursor.next - self.first).unwrap_or(usize::MAX);
        match self.events.get(place) {
            Some((serial, bytes)) => {
                *cursor = Cursor { next: cursor.next + 1, serial: *serial };
                Taken::Event(bytes.clone())
            }
            None => Taken::Nothing,
        }
    }

    /// The place behind all changes up to `serial`.
    fn at(&self, serial: u64) -> Cursor {
        let place = self.events.partition_point(|(known, _)| *known <= serial);
        Cursor { next: self.first + place as u64, serial }
    }
}

/// One kind of stream.
#[derive(Debug)]
pub(super) struct Topic {
    ring: Mutex<Ring>,
    listeners: AtomicUsize,
    joined: AtomicUsize,
    shards: Vec<watch::Sender<()>>,
}

impl Topic {
    fn new() -> Self {
        let shards = (0..SHARDS).map(|_| watch::channel(()).0).collect();
        Self { ring: Mutex::default(), listeners: AtomicUsize::new(0), joined: AtomicUsize::new(0), shards }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Every step leaves it whole, so a panic elsewhere does no harm.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams there are.
    pub fn listeners(&self) -> usize {
        self.listeners.load(Ordering::SeqCst)
    }

    /// See [`Ring::add`].
    pub fn add(&self, begins: u64, events: Vec<(u64, Bytes)>) {
        self.ring().add(begins, events);
    }

    /// See [`Ring::forget`].
    pub fn forget(&self, serial: u64) {
        self.ring().forget(serial);
    }

    /// Begins anew at `serial` if nobody listens; `true`: so it is. A stream that is being opened looks at the ring after it is counted,
    /// so it finds the ring as it is from then on.
    pub fn rest(&self, serial: u64) -> bool {
        let mut ring = self.ring();
        let unheard = self.listeners() == 0;
        if unheard && !(ring.events.is_empty() && ring.head == serial) {
            ring.forget(serial);
        }
        unheard
    }

    /// Serial of the state after the last event.
    pub fn head(&self) -> u64 {
        self.ring().head
    }

    /// The next event for a stream.
    pub fn take(&self, cursor: &mut Cursor) -> Taken {
        self.ring().take(cursor)
    }

    /// The place of a stream that has every change up to `serial`: behind what is in the ring already, or so far back in it.
    pub fn at(&self, serial: u64) -> Cursor {
        let ring = self.ring();
        if serial < ring.base { Cursor { next: 0, serial } } else { ring.at(serial) }
    }

    /// As [`Topic::at`] for a stream that begins, where the state of now has `now`: the first one finds a ring that begins there.
    pub fn begin(&self, serial: u64, now: u64) -> Cursor {
        {
            let mut ring = self.ring();
            if self.listeners() == 1 && ring.head < now {
                ring.forget(now);
            }
        }
        self.at(serial)
    }

    /// The place of a stream that wants what happens from now on.
    pub fn now(&self) -> Cursor {
        let ring = self.ring();
        Cursor { next: ring.end(), serial: ring.head }
    }

    /// Wakes all streams, and lets others work between them.
    pub async fn wake(&self) {
        for shard in self.shards.iter().filter(|shard| shard.receiver_count() > 0) {
            shard.send_replace(());
            tokio::task::yield_now().await;
        }
    }
}

/// Names of the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Every change of the log, and what was seen.
    Changes,
    /// LINSTOR's events of nodes.
    Nodes,
    /// LINSTOR's events of promotion.
    Promotion,
}

/// The way of events from the writer to the streams.
#[derive(Debug)]
pub struct Feed {
    inbox: Mutex<Inbox>,
    news: Notify,
    changes: Topic,
    nodes: Topic,
    promotion: Topic,
    log_readers: Semaphore,
}

impl Feed {
    /// Nobody listens yet.
    pub(crate) fn new() -> Self {
        Self {
            inbox: Mutex::default(),
            news: Notify::new(),
            changes: Topic::new(),
            nodes: Topic::new(),
            promotion: Topic::new(),
            log_readers: Semaphore::new(LOG_READERS),
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams are open.
    pub(crate) fn listeners(&self) -> usize {
        [&self.changes, &self.nodes, &self.promotion].iter().map(|topic| topic.listeners()).sum()
    }

    /// Whether anybody listens.
    pub(crate) fn listened(&self) -> bool {
        self.listeners() > 0
    }

    /// A state was published, and `news` led to it. Costs next to nothing while nobody listens.
    pub(crate) fn published(&self, view: &View, news: News) {
        if !self.listened() {
            return;
        }
        {
            let mut inbox = self.inbox();
            inbox.view = Some(view.clone());
            inbox.add(news);
        }
        self.news.notify_one();
    }

    /// Waits until there is something to do.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Takes what waits.
    pub(super) fn take(&self) -> Inbox {
        std::mem::take(&mut *self.inbox())
    }

    /// One topic.
    pub(super) fn topic(&self, name: Name) -> &Topic {
        match name {
            Name::Changes => &self.changes,
            Name::Nodes => &self.nodes,
            Name::Promotion => &self.promotion,
        }
    }

    /// Whoever reads the log for a stream does it while it holds this.
    pub(super) fn log_readers(&self) -> &Semaphore {
        &self.log_readers
    }

    /// Opens a stream; `view` tells the state. `None`: there are as many as there can be.
    pub(super) fn join(self: &Arc<Self>, name: Name, view: impl Fn() -> View) -> Option<Listener> {
        if self.listeners() >= STREAMS_MAX {
            return None;
        }
        let topic = self.topic(name);
        // First this, then the state: what is published from here on comes through the inbox.
        topic.listeners.fetch_add(1, Ordering::SeqCst);
        let shard = topic.joined.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let wake = topic.shards[shard].subscribe();
        let listener = Listener { feed: Arc::clone(self), name, wake };
        let view = view();
        self.inbox().baseline.get_or_insert(view);
        self.news.notify_one();
        Some(listener)
    }
}

/// An open stream; dropping it closes it.
#[derive(Debug)]
pub(super) struct Listener {
    feed: Arc<Feed>,
    name: Name,
    wake: watch::Receiver<()>,
}

impl Listener {
    /// Its topic.
    pub fn topic(&self) -> &Topic {
        self.feed.topic(self.name)
    }

    /// Its feed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What was told up to here is known: to be called before the ring is looked at.
    pub fn mark(&mut self) {
        self.wake.borrow_and_update();
    }

    /// Waits until there may be something new since [`Listener::mark`].
    pub async fn woken(&mut self) {
        if self.wake.changed().await.is_err() {
            // The feed holds the other end as long as this one holds the feed.
            std::future::pending().await
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.topic().listeners.fetch_sub(1, Ordering::SeqCst);
        // The pump drops what nobody wants any more.
        self.feed.news.notify_one();
    }
}

/// How long the pump pauses after it woke so many streams: to write to one takes some 20 µs of a processor, and requests come first.
pub(super) fn pause(streams: usize) -> Duration {
    Duration::from_micros(100).saturating_mul(u32::try_from(streams).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(serial: u64) -> (u64, Bytes) {
        (serial, Bytes::from(serial.to_string()))
    }

    fn drain(ring: &Ring, cursor: &mut Cursor) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match ring.take(cursor) {
                Taken::Event(bytes) => all.push(String::from_utf8_lossy(&bytes).into_owned()),
                Taken::Nothing => return all,
                Taken::Skipped => all.push("skipped".into()),
                Taken::Behind => {
                    all.push("behind".into());
                    return all;
                }
            }
        }
    }

    #[test]
    fn a_stream_gets_each_event_once_wherever_it_begins() {
        let mut ring = Ring::default();
        ring.add(4, vec![event(5), event(6)]);
        let mut cursor = ring.at(5);
        assert_eq!(drain(&ring, &mut cursor), ["6"]);
        // What was seen has the serial of the state it was seen in.
        ring.add(6, vec![(6, Bytes::from_static(b"seen")), event(7)]);
        assert_eq!(drain(&ring, &mut cursor), ["seen", "7"]);
        assert_eq!((drain(&ring, &mut cursor), cursor.serial), (Vec::new(), 7));
    }

    #[test]
    fn a_gap_sends_streams_to_the_log_and_back_into_the_ring() {
        let mut ring = Ring::default();
        ring.add(0, vec![event(1)]);
        let mut cursor = ring.at(1);
        ring.add(3, vec![event(4), event(5)]);
        assert_eq!(drain(&ring, &mut cursor), ["behind"], "2 and 3 are not here");
        cursor.serial = 3;
        assert_eq!(drain(&ring, &mut cursor), ["skipped", "4", "5"], "the log had them");
    }

    #[test]
    fn a_ring_stays_in_its_bounds() {
        let mut ring = Ring::default();
        for serial in 1..=(RING_EVENTS as u64) * 2 {
            ring.add(serial - 1, vec![event(serial)]);
        }
        assert_eq!((ring.events.len(), ring.base), (RING_EVENTS, RING_EVENTS as u64));
        let mut cursor = Cursor { next: 0, serial: 3 };
        assert_eq!(ring.take(&mut cursor), Taken::Behind);
        let head = ring.head;
        ring.add(head, vec![(head + 1, Bytes::from(vec![0; RING_BYTES])), event(head + 2)]);
        assert!(ring.bytes <= RING_BYTES && ring.events.len() == 1, "{} events with {} bytes", ring.events.len(), ring.bytes);
    }

    #[test]
    fn an_inbox_that_is_full_forgets_and_says_so() {
        let node = || NodeChange { before: None, after: None, lost: false };
        let mut inbox = Inbox::default();
        inbox.add(News { entries: Vec::new(), nodes: (0..INBOX_ENTRIES).map(|_| node()).collect() });
        assert!(!inbox.nodes_missed);
        inbox.add(News { entries: Vec::new(), nodes: vec![node()] });
        assert!(inbox.nodes_missed && inbox.nodes.is_empty());
        let entry = LogEntry {
            serial: 1,
            time_ms: 0,
            actor: String::new(),
            origin: String::new(),
            command: "x".repeat(INBOX_BYTES),
            changes: String::new(),
            decision: String::new(),
        };
        inbox.add(News { entries: vec![entry.clone()], nodes: Vec::new() });
        assert_eq!(inbox.entries.len(), 1);
        inbox.add(News { entries: vec![entry], nodes: Vec::new() });
        assert_eq!((inbox.entries.len(), inbox.bytes), (0, 0));
    }
}
