//! A running satellite: the core, and the sessions that controllers hold with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_proto::{Down, Up};
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::core::{Core, Event, Link, LocalStatus, Settings};
use crate::crew::Crew;
use crate::session;

/// A running satellite. Cloning costs a pointer; it runs on when all clones are dropped.
///
/// Nothing in it reads a clock but tokio's, draws a number, or orders by a hash: on a [quick](crate::Site::is_quick) site, in a runtime of
/// one thread with paused time, a run is decided by what comes in.
#[derive(Debug, Clone)]
pub struct Satellite {
    door: mpsc::Sender<Event>,
    crew: Crew,
    sessions: Arc<AtomicU64>,
    stop: CancellationToken,
    over: CancellationToken,
}

impl Satellite {
    /// Starts a satellite on the present runtime. It runs until `stop`, then lets work that has begun come to its end (for some seconds).
    #[must_use]
    pub fn start(settings: Settings, stop: &CancellationToken) -> Self {
        let crew = Crew::new(settings.site.is_quick());
        let (core, door) = Core::new(settings, crew.clone());
        let (stop, over) = (stop.child_token(), CancellationToken::new());
        // Dropped at the end, also after a panic or a kill: sessions end with the core.
        let guards = (stop.clone().drop_guard(), over.clone().drop_guard());
        let running = stop.clone();
        crew.spawn(async move {
            let _guards = guards;
            core.run(running).await;
        });
        Self { door, crew, sessions: Arc::new(AtomicU64::new(1)), stop, over }
    }

    /// One session with a controller, from hello to end. What `down` says is obeyed, answers and observations go to `up`; an error on `up`
    /// says why the session ended, unless the controller hung up. A later session replaces it.
    ///
    /// `peer` is for the log.
    pub async fn converse(
        &self,
        down: impl Stream<Item = Result<Down, Status>> + Send + Unpin + 'static,
        up: mpsc::Sender<Result<Up, Status>>,
        peer: Option<SocketAddr>,
    ) {
        let link = Link { number: self.sessions.fetch_add(1, Ordering::Relaxed), up, end: self.stop.child_token() };
        tokio::select! {
            // The dead hear nothing more.
            biased;
            () = self.crew.killed() => {}
            () = session::converse(down, link, &self.door, peer) => {}
        }
    }

    /// Its state; `None`: it has ended.
    pub async fn status(&self) -> Option<LocalStatus> {
        let (reply, answer) = oneshot::channel();
        self.door.send(Event::AskStatus(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Says that these devices (paths) may have got or lost a user: they are looked at.
    pub async fn devices_used(&self, devices: Vec<String>) {
        // One that has ended looks at nothing.
        drop(self.door.send(Event::Used(devices)).await);
    }

    /// Ends it at once, as the death of its process does: what it was waiting for is not done any more, nobody is told.
    /// On a site that is not quick, calls that have begun still come to their end.
    pub fn kill(&self) {
        self.crew.kill();
    }

    /// Waits for its end.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Where events go.
    pub(crate) fn door(&self) -> mpsc::Sender<Event> {
        self.door.clone()
    }

    /// Cancelled when it begins to end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }
}
