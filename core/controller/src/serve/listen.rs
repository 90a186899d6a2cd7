//! Serves connections, plain or over TLS, and bounds what one client may take of them.
//!
//! A connection without a request under way *waits*. Too many that wait make room for new ones, the oldest first: whoever opens connections
//! and says nothing loses them, and whoever asks is served. A request has its time for its head (here) and its body (`http::call`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use crate::config::Limits;
use crate::gate::Transport;

/// Longest head of a request, in bytes: names of a thousand objects stand in a query, and thousands of heads that never end in memory.
const HEAD_MAX: usize = 32 << 10;
/// Members of a head, at most.
const HEADERS_MAX: usize = 100;
/// Pause after the system gives no connection, e.g. for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);
/// The same trouble is told so often.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// A client that takes nothing of what was sent for so long has gone, milliseconds.
///
/// Linux counts alike whether nothing comes back from a client, or whether it acknowledges all the time that it has no room (`tcp(7)`,
/// `TCP_USER_TIMEOUT`). The second one lives: a stream that somebody looks at with a pager, a machine with too much to do. So the limit is what
/// may be asked of somebody who lives, and not how soon a dead one could be noticed; without it that takes a quarter of an hour.
const CLIENT_GONE_MS: u32 = 600_000;
/// How long requests under way go on when it is not certain any more that their client's certificate is good.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Streams of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 200;

/// All connections of a controller, on every listening socket.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    /// Each that waits, by the order in which it began to; cancelled to make room.
    waiting: Mutex<BTreeMap<u64, CancellationToken>>,
    order: AtomicU64,
    places: Arc<Semaphore>,
    dropped: AtomicU64,
    told: Mutex<Option<Instant>>,
    tasks: TaskTracker,
}

impl Connections {
    pub fn new(limits: Limits) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.connections));
        Arc::new(Self {
            limits,
            waiting: Mutex::default(),
            order: AtomicU64::new(0),
            places,
            dropped: AtomicU64::new(0),
            told: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Ends when every connection has ended; nothing listens any more.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection begins to wait; the oldest one that does goes if they are too many.
    fn wait(&self, end: &CancellationToken) -> u64 {
        let number = self.order.fetch_add(1, Ordering::Relaxed);
        let too_many = {
            let mut waiting = self.queue();
            waiting.insert(number, end.clone());
            if waiting.len() > self.limits.waiting { waiting.pop_first() } else { None }
        };
        if let Some((_, oldest)) = too_many {
            oldest.cancel();
            self.tell("too many connections wait without a request; the oldest are dropped");
        }
        number
    }

    /// Drops some that wait, the oldest first; answers whether there were any.
    fn make_room(&self, count: usize) -> bool {
        let mut waiting = self.queue();
        let before = waiting.len();
        for _ in 0..count {
            let Some((_, oldest)) = waiting.pop_first() else { break };
            oldest.cancel();
        }
        before > 0
    }

    /// Counts what was dropped, and tells of it now and then.
    fn tell(&self, what: &str) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() >= TOLD_AGAIN) {
            *told = Some(Instant::now());
            tracing::warn!(dropped, what);
        }
    }
}

/// One connection's part in [`Connections`]: whether it waits.
struct Place {
    all: Arc<Connections>,
    end: CancellationToken,
    state: Mutex<State>,
    /// The head of a first request came.
    asked: AtomicBool,
}

/// What a connection does.
struct State {
    /// Requests under way; at none the connection waits.
    busy: usize,
    /// Its number among those that wait.
    number: u64,
}

impl Place {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(self: &Arc<Self>) -> Busy {
        self.asked.store(true, Ordering::Relaxed);
        let mut state = self.state();
        if state.busy == 0 {
            self.all.queue().remove(&state.number);
        }
        state.busy += 1;
        Busy(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.state().number;
        self.all.queue().remove(&number);
    }
}

/// A request under way, until the last of its answer is handed over.
struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy = state.busy.saturating_sub(1);
        if state.busy == 0 && !self.0.end.is_cancelled() {
            state.number = self.0.all.wait(&self.0.end);
        }
    }
}

/// An answer's body; the request is under way until it is gone.
struct Answer {
    body: axum::body::Body,
    _busy: Busy,
}

impl Body for Answer {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How connections are encrypted, always the newest value.
type Tls = watch::Receiver<Arc<rustls::ServerConfig>>;

/// Serves a listening socket until `stop`. `tls`: how connections are encrypted; `None`: not at all.
///
/// When there is a newer value, whoever came with a certificate has to show it again: it may have been taken back.
pub(crate) async fn listen<S>(listener: TcpListener, tls: Option<Tls>, all: Arc<Connections>, service: S, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    loop {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            place = Arc::clone(&all.places).acquire_owned() => place,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Whoever came and went at once is nobody's trouble.
                if error.kind() != std::io::ErrorKind::ConnectionAborted {
                    all.tell(&format!("a connection cannot be taken: {error}"));
                    all.make_room(64);
                    tokio::time::sleep(BREATH).await;
                }
                continue;
            }
        };
        let connection = connection(stream, peer, tls.clone(), Arc::clone(&all), service.clone(), stop.clone());
        all.tasks.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn connection<S>(stream: TcpStream, peer: SocketAddr, tls: Option<Tls>, all: Arc<Connections>, service: S, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    // Else the last piece of an answer waits until the client has acknowledged those before, which it may put off for 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client's connection cannot be told to send at once");
    }
    // A client that has gone, or reads nothing, must not hold what is on its way to it for ever. Who comes back to a stream of events goes on
    // where it was (`Last-Event-ID`).
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, CLIENT_GONE_MS) {
        tracing::debug!(%error, "a client's connection gets no limit of silence");
    }
    let end = CancellationToken::new();
    let number = all.wait(&end);
    let head = all.limits.head;
    let place = Arc::new(Place { all, end: end.clone(), state: Mutex::new(State { busy: 0, number }), asked: AtomicBool::new(false) });
    let Some(mut tls) = tls else {
        return serve(stream, peer, (Transport::default(), None), place, service, stop).await;
    };
    let config = Arc::clone(&tls.borrow_and_update());
    let shaken = tokio::select! {
        biased;
        () = end.cancelled() => return,
        () = stop.cancelled() => return,
        shaken = tokio::time::timeout(head, TlsAcceptor::from(config).accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let vouched = certificate.is_some().then_some(tls);
            let transport = Transport { tls: true, client: certificate.and_then(berth_trust::common_name), inside: None };
            serve(stream, peer, (transport, vouched), place, service, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no encrypted connection"),
        Err(_) => tracing::debug!(%peer, "no encrypted connection in time"),
    }
}

/// Ends when the certificate that a client came with must be shown again; `None`: it came without, and this never ends.
async fn in_doubt(vouched: Option<Tls>) {
    if let Some(mut tls) = vouched
        && tls.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn serve<I, S>(
    stream: I,
    peer: SocketAddr,
    (transport, vouched): (Transport, Option<Tls>),
    place: Arc<Place>,
    service: S,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request, Response = Response, Error = std::convert::Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let head = place.all.limits.head;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(head))
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_MAX).unwrap_or(u32::MAX));
    let own = Arc::clone(&place);
    let serve = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let busy = own.begin();
        let (service, transport) = (service.clone(), transport.clone());
        async move {
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(transport);
            let response = service.oneshot(request).await?;
            Ok::<_, std::convert::Infallible>(response.map(|body| Answer { body, _busy: busy }))
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), serve);
    let mut connection = std::pin::pin!(connection);
    // Before it is known which version of HTTP a client speaks, nobody else looks at the clock.
    let silent = tokio::time::sleep(head);
    let mut silent = std::pin::pin!(silent);
    let mut doubt = std::pin::pin!(in_doubt(vouched));
    let mut last_words = std::pin::pin!(tokio::time::sleep(LAST_WORDS));
    let mut doubted = false;
    let mut stopping = false;
    let mut heard = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return;
            }
            () = place.end.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut doubt, if !doubted => {
                doubted = true;
                tracing::debug!(%peer, "its certificate must be shown again");
                last_words.as_mut().reset(tokio::time::Instant::now() + LAST_WORDS);
                connection.as_mut().graceful_shutdown();
            }
            () = &mut last_words, if doubted => return,
            () = &mut silent, if !heard => {
                if !place.asked.load(Ordering::Relaxed) {
                    return;
                }
                heard = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
