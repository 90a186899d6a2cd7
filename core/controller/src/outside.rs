//! What the controller takes from outside beside requests and the store: the wall clock, chance, and the way to satellites.
//!
//! The process gives the real ones; the simulator gives its own, so that a run is a function of its seed.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use berth_model::time::Timestamp;
use berth_proto::satellite_client::SatelliteClient;
use berth_proto::{Down, Hello, Up, down};
use berth_trust::{BadCertificate, Files};
use futures_util::Stream;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// A machine that is there answers a TCP connect within this.
const CONNECT: Duration = Duration::from_secs(2);
/// Largest message of either side: a whole plan of some 100,000 items.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;
/// Why a satellite that wants TLS is not reached.
const NO_CERTIFICATE: &str = "The interface asks for SSL, and this controller has no certificate; 'berth tls init' makes them.";
/// Messages on their way down; plans wait in the link instead.
const DOWN_QUEUE: usize = 4;

/// The wall clock and chance.
pub trait World: std::fmt::Debug + Send + Sync {
    /// Wall time: for display and records, never for deadlines. It may jump.
    fn now(&self) -> Timestamp;

    /// 16 bytes that nobody can foresee, others at each call.
    fn chance(&self) -> [u8; 16];
}

/// A conversation with a satellite: what goes down, what comes up. It ends when either is dropped.
pub type Wire = (mpsc::Sender<Down>, Pin<Box<dyn Stream<Item = Result<Up, Status>> + Send>>);

/// A [`Wire`] in the making.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Wire, String>> + Send + 'a>>;

/// The way to satellites.
pub trait Dial: std::fmt::Debug + Send + Sync {
    /// Begins a conversation with the satellite at an address, with this hello. The text of an error says why there is none.
    fn dial(&self, address: SocketAddr, hello: Hello) -> Dialing<'_>;

    /// The same over TLS: each side shows its certificate, and the satellite's must be that of the node which the hello names.
    fn dial_secure(&self, _address: SocketAddr, _hello: Hello) -> Dialing<'_> {
        Box::pin(async { Err(NO_CERTIFICATE.to_owned()) })
    }
}

/// All that comes from outside.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Clock and chance.
    pub world: Arc<dyn World>,
    /// The way to satellites.
    pub dial: Arc<dyn Dial>,
}

impl Outside {
    /// The clock and the network of this machine.
    #[must_use]
    pub fn real() -> Self {
        Self { world: Arc::new(ThisMachine), dial: Arc::new(Grpc { certificates: None }) }
    }

    /// The same, and certificates for satellites that are reached by TLS.
    ///
    /// # Errors
    /// Files that cannot be read, or do not fit each other.
    pub fn with_certificates(files: &Files) -> Result<Self, BadCertificate> {
        let grpc = Grpc { certificates: Some(files.clone()) };
        berth_trust::client(files, &[])?;
        Ok(Self { world: Arc::new(ThisMachine), dial: Arc::new(grpc) })
    }
}

#[derive(Debug)]
struct ThisMachine;

impl World for ThisMachine {
    fn now(&self) -> Timestamp {
        crate::state::now()
    }

    fn chance(&self) -> [u8; 16] {
        uuid::Uuid::new_v4().into_bytes()
    }
}

#[derive(Debug)]
struct Grpc {
    /// Read anew for each connection: certificates are renewed while the controller runs.
    certificates: Option<Files>,
}

impl Grpc {
    async fn talk(channel: Channel, hello: Hello) -> Result<Wire, String> {
        let mut client = SatelliteClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let (down, queue) = mpsc::channel(DOWN_QUEUE);
        // The queue is empty and has room.
        let _ = down.try_send(Down { message: Some(down::Message::Hello(hello)) });
        let up = client.session(ReceiverStream::new(queue)).await.map_err(|status| words(&status))?.into_inner();
        let up: Pin<Box<dyn Stream<Item = Result<Up, Status>> + Send>> = Box::pin(up);
        Ok((down, up))
    }

    /// A connection whose other side must show a certificate with the node's name that was not taken back.
    async fn secure(&self, address: SocketAddr, node: &str) -> Result<Channel, String> {
        let files = self.certificates.as_ref().ok_or(NO_CERTIFICATE)?;
        let unusable = |error: BadCertificate| format!("The certificates for satellites cannot be used: {error}. {}", error.correction());
        let connector = TlsConnector::from(Arc::new(berth_trust::client(files, &[b"h2"]).map_err(unusable)?));
        let name = ServerName::try_from(node.to_owned()).map_err(|_| format!("'{node}' cannot stand in a certificate"))?;
        let secured = tower::service_fn(move |_: Uri| {
            let (connector, name) = (connector.clone(), name.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
            }
        });
        // The connector's time holds for the whole handshake.
        endpoint(address)?.connect_with_connector(secured).await.map_err(|error| format!("{address}: {}", chain(&error)))
    }
}

fn endpoint(address: SocketAddr) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| chain(&error))?;
    Ok(endpoint.connect_timeout(CONNECT).tcp_nodelay(true))
}

impl Dial for Grpc {
    fn dial(&self, address: SocketAddr, hello: Hello) -> Dialing<'_> {
        Box::pin(async move {
            let channel = endpoint(address)?.connect().await.map_err(|error| format!("{address}: {}", chain(&error)))?;
            Self::talk(channel, hello).await
        })
    }

    fn dial_secure(&self, address: SocketAddr, hello: Hello) -> Dialing<'_> {
        Box::pin(async move {
            let channel = self.secure(address, &hello.node_name).await?;
            Self::talk(channel, hello).await
        })
    }
}

/// What a failed call says, for people.
pub(crate) fn words(status: &Status) -> String {
    let message = status.message().trim();
    if message.is_empty() { format!("The satellite answered '{}'.", status.code()) } else { message.to_owned() }
}

/// An error with all that caused it, as one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(inner) = next {
        let text = inner.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        next = inner.source();
    }
    parts.join(": ")
}
