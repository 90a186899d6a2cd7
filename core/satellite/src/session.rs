//! Sessions: moves messages between a controller and the core, and decides nothing. gRPC carries them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use berth_model::inquiry::Question;
use berth_model::plan::PlanBody;
use berth_proto::refusal::Reason;
use berth_proto::satellite_server::{Satellite, SatelliteServer};
use berth_proto::{Down, Ping, Refusal, Up, down, up};
use berth_trust::{Asked, Files};
use futures_util::{Stream, StreamExt};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::config::SatelliteError;
use crate::core::{Event, Link, Unwelcome};
use crate::knocking;
use crate::satellite::Satellite as Running;

/// Messages up that may wait for the controller to read; the core waits beyond that.
const UP_MAX: usize = 32;
/// Largest message: a whole plan of some 100,000 items.
const MESSAGE_MAX: usize = 256 << 20;
/// How long a controller may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that does not answer for so long is gone.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// How long open streams may take to end at the end of the process.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

struct Door(Running);

/// The satellite's side of TLS: it shows its certificate, and asks controllers for theirs. Always the newest certificates.
#[derive(Debug, Clone)]
pub struct Tls(watch::Receiver<Arc<ServerConfig>>);

impl Tls {
    /// Reads the certificates, and goes on doing so when they change.
    ///
    /// # Errors
    /// [`SatelliteError::Certificate`] for files that cannot be read, or do not fit each other.
    pub fn read(files: Files, asked: Asked) -> Result<Self, SatelliteError> {
        const HTTP2: [&[u8]; 1] = [b"h2"];
        let seen = berth_trust::written(&files);
        let (renew, newest) = watch::channel(Arc::new(berth_trust::server(&files, &HTTP2)?));
        tokio::spawn(async move { berth_trust::renew(&files, &HTTP2, seen, &asked, &renew).await });
        Ok(Self(newest))
    }

    /// Connections that agreed on TLS.
    fn incoming(self, listener: TcpListener) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
        knocking::answered(listener, move |socket| TlsAcceptor::from(self.0.borrow().clone()).accept(socket))
    }
}

/// Serves controllers on a listening socket until the satellite ends.
///
/// # Errors
/// [`SatelliteError::Serve`] if serving ends by itself.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, satellite: Running) -> Result<(), SatelliteError> {
    let stop = satellite.stopping();
    let service = SatelliteServer::new(Door(satellite)).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
    open(listener, tls, service, stop).await
}

async fn open<S: Satellite>(
    listener: TcpListener,
    tls: Option<Tls>,
    service: SatelliteServer<S>,
    stop: CancellationToken,
) -> Result<(), SatelliteError> {
    match tls {
        Some(tls) => through(tls.incoming(listener), service, stop).await,
        None => through(knocking::answered(listener, async |socket| Ok(socket)), service, stop).await,
    }
}

async fn through<S, C>(
    incoming: impl Stream<Item = std::io::Result<C>>,
    service: SatelliteServer<S>,
    stop: CancellationToken,
) -> Result<(), SatelliteError>
where
    S: Satellite,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        served = server => served.map_err(SatelliteError::Serve),
        () = late => Ok(()),
    }
}

#[tonic::async_trait]
impl Satellite for Door {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<Up, Status>> + Send>>;

    async fn session(&self, request: Request<Streaming<Down>>) -> Result<Response<Self::SessionStream>, Status> {
        let peer = request.remote_addr();
        let (sender, receiver) = mpsc::channel(UP_MAX);
        let satellite = self.0.clone();
        tokio::spawn(async move { satellite.converse(request.into_inner(), sender, peer).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One session from hello to end.
pub async fn converse(
    mut stream: impl Stream<Item = Result<Down, Status>> + Unpin,
    link: Link,
    core: &mpsc::Sender<Event>,
    peer: Option<SocketAddr>,
) {
    let number = link.number;
    let (up, end) = (link.up.clone(), link.end.clone());
    let ended = tokio::select! {
        // Always in this order, and what came after the end is not heard.
        biased;
        () = end.cancelled() => Err(Status::aborted("the session was replaced, or the satellite ends")),
        ended = listen(&mut stream, link, core) => ended,
    };
    match ended {
        Ok(()) => tracing::debug!(session = number, ?peer, "controller hung up"),
        Err(status) => {
            tracing::debug!(session = number, ?peer, message = status.message(), "session ends");
            // Nobody may be reading any more.
            drop(up.try_send(Err(status)));
        }
    }
    drop(core.send(Event::Closed(number)).await);
}

/// Tells a controller why nothing can be taken from it.
fn unable(detail: String) -> Up {
    Up { message: Some(up::Message::Refusal(Refusal { reason: Reason::DataFolder.into(), detail })) }
}

/// Says to every controller that comes why the satellite can do nothing for it, until `stop`.
///
/// # Errors
/// [`SatelliteError::Serve`] if serving ends by itself.
pub async fn refuse_all(listener: TcpListener, tls: Option<Tls>, detail: String, stop: CancellationToken) -> Result<(), SatelliteError> {
    open(listener, tls, SatelliteServer::new(Shut(detail)), stop).await
}

/// A door behind which nobody can be.
struct Shut(String);

#[tonic::async_trait]
impl Satellite for Shut {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<Up, Status>> + Send>>;

    async fn session(&self, _: Request<Streaming<Down>>) -> Result<Response<Self::SessionStream>, Status> {
        let refusal = unable(self.0.clone());
        Ok(Response::new(Box::pin(futures_util::stream::once(async move { Ok(refusal) }))))
    }
}

fn gone() -> Status {
    Status::unavailable("the satellite ends")
}

async fn listen(
    stream: &mut (impl Stream<Item = Result<Down, Status>> + Unpin),
    link: Link,
    core: &mpsc::Sender<Event>,
) -> Result<(), Status> {
    let (session, up) = (link.number, link.up.clone());
    let first = tokio::time::timeout(HELLO_TIMEOUT, stream.next()).await;
    let hello = match first.map_err(|_| Status::deadline_exceeded("no hello came"))?.transpose()? {
        Some(Down { message: Some(down::Message::Hello(hello)) }) => hello,
        Some(_) => return Err(Status::failed_precondition("the first message of a session is a hello")),
        None => return Ok(()),
    };
    let (reply, answer) = oneshot::channel();
    core.send(Event::Hello(hello, link, reply)).await.map_err(|_| gone())?;
    match answer.await.map_err(|_| gone())? {
        Ok(()) => {}
        Err(Unwelcome::Refused(refusal)) => {
            tracing::warn!(session, reason = ?refusal.reason(), detail = %refusal.detail, "controller refused");
            drop(up.send(Ok(Up { message: Some(up::Message::Refusal(refusal)) })).await);
            return Ok(());
        }
        Err(Unwelcome::Broken(cause)) => {
            drop(up.send(Ok(unable(format!("the satellite cannot use its data folder: {cause}")))).await);
            return Ok(());
        }
    }
    while let Some(message) = stream.next().await.transpose()? {
        match message.message {
            Some(down::Message::Plan(plan)) => {
                let body: PlanBody = serde_json::from_slice(&plan.body)
                    .map_err(|error| Status::invalid_argument(format!("the plan cannot be read: {error}")))?;
                let (epoch, generation, base) = (plan.epoch, plan.generation, plan.base);
                let event = Event::Plan { session, epoch, generation, base, body: Box::new(body), trace: plan.trace };
                core.send(event).await.map_err(|_| gone())?;
            }
            Some(down::Message::Ping(Ping { number, generation })) => {
                core.send(Event::Ping { session, number, generation }).await.map_err(|_| gone())?;
            }
            Some(down::Message::Ask(ask)) => {
                // What cannot be read is a question of a later version, and is answered as such.
                let question = serde_json::from_slice(&ask.body).unwrap_or(Question::Unknown);
                let event = Event::Ask { session, number: ask.number, question: Box::new(question) };
                core.send(event).await.map_err(|_| gone())?;
            }
            Some(down::Message::NeedReport(_)) => core.send(Event::NeedReport(session)).await.map_err(|_| gone())?,
            Some(down::Message::Hello(_)) => return Err(Status::failed_precondition("a session has one hello")),
            // Of a later version: nothing that this one was told to obey.
            None => {}
        }
    }
    Ok(())
}
