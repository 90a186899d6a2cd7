//! One open stream: what it is sent, one event after the other, whenever the connection takes more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use berth_model::access::Token;
use berth_model::codes::Code;
use berth_model::names::ResourceName;
use berth_model::reply::Reply;
use imbl::OrdMap;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::feed::{Cursor, Listener, Taken};
use super::render::{self, Place};
use crate::gate::{NotIn, Pass};
use crate::happenings::count;
use crate::{Controller, View};

/// How often a stream gives a sign of life, so that an end that has gone is found.
const ALIVE: Duration = Duration::from_secs(15);
/// Log entries that are read at once for a stream that is behind: what it holds in memory meanwhile.
const PAGE: usize = 32;
/// Definitions whose present state is put into one piece.
const DEFINITIONS: usize = 64;

/// What a stream does that is behind.
#[derive(Debug)]
enum Behind {
    /// Reads the log.
    Log,
    /// Ends: its client looks at everything anew, and comes back.
    End,
}

/// Whether what a client has is of this history. A serial alone is taken as it is; where the log does not go back so far it says nothing,
/// and a change that is missing is told as a gap.
fn is_here(after: Place, here: Place) -> bool {
    match (after.time_ms, here.time_ms) {
        (Some(theirs), Some(ours)) => theirs == ours,
        (Some(_) | None, None) | (None, Some(_)) => true,
    }
}

/// The place of a serial in this history.
async fn place(controller: &Controller, listener: &Listener, serial: u64) -> Place {
    let read = match serial.checked_sub(1) {
        Some(before) => {
            // Never closed, so that there is always one.
            let _turn = listener.feed().log_readers().acquire().await;
            controller.log(before, 1).await
        }
        None => Ok(Vec::new()),
    };
    let entry = match read {
        Ok(entries) => entries.into_iter().next().filter(|entry| entry.serial == serial),
        Err(error) => {
            tracing::warn!(serial, cause = %error, "a stream of events cannot read the log");
            None
        }
    };
    Place { serial, time_ms: entry.map(|entry| entry.time_ms) }
}

/// A stream.
pub(super) struct Stream {
    controller: Controller,
    listener: Listener,
    cursor: Cursor,
    behind: Behind,
    pending: VecDeque<Bytes>,
    /// State whose promotions are told first, and the last definition that was.
    present: Option<(View, Option<ResourceName>)>,
    alive: Interval,
    stop: CancellationToken,
    ended: bool,
    pass: Pass,
    /// When `pass` was looked at last, and the tokens of that moment.
    looked: (Instant, OrdMap<u64, Arc<Token>>),
}

impl Stream {
    fn new(controller: &Controller, pass: Pass, listener: Listener, cursor: Cursor, behind: Behind) -> Self {
        let now = Instant::now();
        let looked = (now, controller.view().cluster.tokens.clone());
        let mut alive = interval_at(now + ALIVE, ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (controller, stop) = (controller.clone(), controller.stopping());
        Self { controller, listener, cursor, behind, pending: VecDeque::new(), present: None, alive, stop, ended: false, pass, looked }
    }

    /// All changes after `after`; `None`: from now on.
    pub async fn changes(controller: &Controller, pass: Pass, listener: Listener, after: Option<Place>) -> Self {
        // The state of now, after it listens: what comes later is told.
        let view = controller.view();
        let now = view.cluster.serial;
        let known = match after.filter(|after| after.serial <= now) {
            Some(after) => Some(place(controller, &listener, after.serial).await).filter(|here| is_here(after, *here)),
            None => None,
        };
        let begin = match known {
            Some(known) => known,
            None => place(controller, &listener, now).await,
        };
        let cursor = listener.topic().begin(begin.serial, now);
        let mut stream = Self::new(controller, pass, listener, cursor, Behind::Log);
        stream.pending.push_back(render::ready(&view.cluster, begin));
        if let Some(after) = after {
            // What was seen while it was away is in no log.
            stream.pending.push_back(render::SEEN_ALL);
            if known.is_none() {
                // It comes from another database, or from a time after this one's export: what it has may never have been.
                count(&controller.counters().event_resyncs);
                stream.pending.push_back(render::resync(begin, after.serial.min(now).saturating_add(1)));
            }
        }
        stream
    }

    /// Events that are in no log, from now on; `current`: the promotions of now before.
    pub fn following(controller: &Controller, pass: Pass, listener: Listener, current: bool) -> Self {
        let cursor = listener.topic().now();
        let mut stream = Self::new(controller, pass, listener, cursor, Behind::End);
        // The head of the answer goes out with the first bytes.
        stream.pending.push_back(render::ALIVE);
        stream.present = current.then(|| (controller.view(), None));
        stream
    }

    /// The body of the answer.
    pub fn into_body(self) -> Body {
        Body::from_stream(futures_util::stream::unfold(self, async |mut stream| {
            let bytes = stream.next().await?;
            Some((Ok::<Bytes, Infallible>(bytes), stream))
        }))
    }

    /// The next piece; `None`: it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended || self.stop.is_cancelled() {
                return None;
            }
            if !self.is_let_in().await {
                return Some(self.closed());
            }
            if let Some(bytes) = self.pending.pop_front() {
                return Some(bytes);
            }
            if let Some((view, after)) = self.present.take() {
                let (events, last) = render::promotions_of_now(&view, after.as_ref(), DEFINITIONS);
                self.present = last.map(|last| (view, Some(last)));
                if !events.is_empty() {
                    return Some(Bytes::from(events.concat()));
                }
                continue;
            }
            self.listener.mark();
            match self.listener.topic().take(&mut self.cursor) {
                Taken::Event(bytes) => return Some(bytes),
                Taken::Nothing => {}
                Taken::Skipped => match self.behind {
                    Behind::Log => return Some(render::SEEN_ALL),
                    Behind::End => return Some(self.end()),
                },
                Taken::Behind => match self.behind {
                    Behind::Log => {
                        self.catch_up().await;
                        continue;
                    }
                    Behind::End => return Some(self.end()),
                },
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                () = self.listener.woken() => {}
                _ = self.alive.tick() => return Some(render::ALIVE),
            }
        }
    }

    /// Whether who listens would still be let in: a token may have ended or been revoked, sign-in switched on, a login taken back. Asked
    /// before anything is told after tokens have changed, and now and then.
    async fn is_let_in(&mut self) -> bool {
        let cluster = self.controller.view().cluster;
        let (looked, tokens) = &self.looked;
        if tokens.ptr_eq(&cluster.tokens) && looked.elapsed() < ALIVE {
            return true;
        }
        self.looked = (Instant::now(), cluster.tokens.clone());
        let who = self.controller.gate().who(&cluster, &self.pass, crate::state::now()).await;
        // A directory that cannot be asked is no reason to end what it let in.
        matches!(who, Ok(_) | Err(NotIn::NoDirectory(_)))
    }

    /// Who listens is not let in any more.
    fn closed(&mut self) -> Bytes {
        self.ended = true;
        let reply = Reply::new(Code::FAIL_ACC_DENIED_COMMAND, "This stream has ended: what it was opened with lets nobody in any more.")
            .cause("The token was revoked, switched off or has ended, or signing in has changed.")
            .correction("Sign in anew, and open the stream again.");
        render::error(&reply)
    }

    /// It missed events that nobody kept.
    fn end(&mut self) -> Bytes {
        self.ended = true;
        count(&self.controller.counters().event_resyncs);
        let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, "This stream was too slow and missed events.")
            .cause("What is not read in time is not kept.")
            .correction("Read the state anew, and open the stream again.");
        render::error(&reply)
    }

    /// Reads on in the log.
    async fn catch_up(&mut self) {
        let serial = self.cursor.serial;
        let read = {
            // Never closed, so that there is always one; and the log is as good without.
            let _turn = self.listener.feed().log_readers().acquire().await;
            count(&self.controller.counters().event_log_reads);
            self.controller.log(serial, PAGE).await
        };
        match read {
            Ok(entries) if entries.first().is_some_and(|entry| entry.serial == serial.saturating_add(1)) => {
                self.pending.extend(entries.iter().map(render::change));
                if let Some(last) = entries.last() {
                    self.cursor = self.listener.topic().at(last.serial);
                }
            }
            // The oldest entries were removed meanwhile.
            Ok(_) => self.resync().await,
            Err(error) => {
                tracing::warn!(serial, cause = %error, "a stream of events cannot read the log");
                self.resync().await;
            }
        }
    }

    /// Tells that there is a gap, and goes on with what happens from now on.
    async fn resync(&mut self) {
        count(&self.controller.counters().event_resyncs);
        let now = self.controller.view().cluster.serial;
        let here = place(&self.controller, &self.listener, now).await;
        self.pending.push_back(render::resync(here, self.cursor.serial.saturating_add(1)));
        self.cursor = self.listener.topic().at(now);
    }
}
