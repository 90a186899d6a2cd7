use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testkit::DEADLINE;

/// A listener whose service answers with the path; `/slow` answers when the sender says so.
struct Bed {
    address: SocketAddr,
    stop: CancellationToken,
    connections: Arc<Connections>,
    let_go: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn bed(limits: Limits) -> Bed {
    bed_with(limits, None).await
}

async fn bed_with(limits: Limits, tls: Option<Tls>) -> Bed {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (let_go, gone) = watch::channel(false);
    let router = axum::Router::new()
        .route(
            "/slow",
            axum::routing::get(move || {
                let mut gone = gone.clone();
                async move {
                    gone.wait_for(|gone| *gone).await.unwrap();
                    "slow"
                }
            }),
        )
        .fallback(|uri: axum::http::Uri| async move { uri.path().to_owned() });
    let (stop, connections) = (CancellationToken::new(), Connections::new(limits));
    let task = tokio::spawn(listen(listener, tls, Arc::clone(&connections), router, stop.clone()));
    Bed { address, stop, connections, let_go, task }
}

impl Bed {
    async fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        ask_on(&mut stream, path).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        tokio::time::timeout(DEADLINE, self.connections.ended()).await.unwrap();
        assert!(self.connections.queue().is_empty());
        assert_eq!(self.connections.places.available_permits(), self.connections.limits.connections);
    }
}

async fn ask_on(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

/// Whether the other side has hung up, waiting for it.
async fn hung_up(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut byte = [0; 256];
    loop {
        match tokio::time::timeout(DEADLINE, stream.read(&mut byte)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}

fn limits(waiting: usize, head: Duration) -> Limits {
    Limits { waiting, connections: 64, head, body: DEADLINE }
}

#[tokio::test]
async fn who_opens_connections_and_says_nothing_makes_room_for_who_asks() {
    let bed = bed(limits(8, DEADLINE)).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(bed.address).await.unwrap());
    }
    // Half a head is no request, either.
    let mut half = TcpStream::connect(bed.address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for number in 0..20 {
        assert!(bed.ask(&format!("/{number}")).await.ends_with(&format!("/{number}")));
    }
    for stream in silent.iter_mut().take(30) {
        assert!(hung_up(stream).await, "the oldest go");
    }
    assert!(bed.connections.queue().len() <= 8);
    bed.end().await;
}

#[tokio::test]
async fn a_request_under_way_makes_room_for_nobody() {
    let bed = bed(limits(4, DEADLINE)).await;
    let address = bed.address;
    let slow = tokio::spawn(async move { ask_on(&mut TcpStream::connect(address).await.unwrap(), "/slow").await });
    // It is under way once it does not wait any more.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(bed.address).await.unwrap());
        assert!(bed.ask("/x").await.ends_with("/x"));
    }
    bed.let_go.send_replace(true);
    assert!(slow.await.unwrap().ends_with("slow"));
    bed.end().await;
}

#[tokio::test]
async fn a_head_has_its_time_and_its_length() {
    let bed = bed(limits(64, Duration::from_millis(200))).await;
    let mut nothing = TcpStream::connect(bed.address).await.unwrap();
    let mut half = TcpStream::connect(bed.address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ").await.unwrap();
    assert!(hung_up(&mut nothing).await && hung_up(&mut half).await);
    let mut endless = TcpStream::connect(bed.address).await.unwrap();
    let mut told = Ok(());
    let line = format!("X-A: {}\r\n", "a".repeat(8000));
    endless.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for _ in 0..200 {
        told = endless.write_all(line.as_bytes()).await;
        if told.is_err() {
            break;
        }
    }
    assert!(told.is_err() || hung_up(&mut endless).await);
    assert!(bed.ask("/others").await.ends_with("/others"));
    bed.end().await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_told_so() {
    let bed = bed(limits(64, DEADLINE)).await;
    let answer = async |head: String| {
        let mut stream = TcpStream::connect(bed.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    };
    let whole = format!("GET /x?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(HEAD_MAX - 100));
    let told = answer(whole).await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    // No byte more than is read: one that is left unread could take the answer with it.
    let told = answer(format!("GET /x?{:a<1$}", "", HEAD_MAX - "GET /x?".len())).await;
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    bed.end().await;
}

/// A certificate that vouches for itself, and is good for both sides.
fn certificate(folder: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let (certificate, key) = (folder.join("own.crt"), folder.join("own.key"));
    std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    (certificate, key)
}

/// A connection that had an answer and stays open.
async fn asked(address: SocketAddr, files: &berth_trust::Files) -> tokio_rustls::client::TlsStream<TcpStream> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(berth_trust::client(files, &[b"http/1.1"]).unwrap()));
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(address.ip().into(), stream).await.unwrap();
    answered(&mut stream).await;
    stream
}

async fn answered(stream: &mut tokio_rustls::client::TlsStream<TcpStream>) {
    stream.write_all(b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"/here") {
        let mut some = [0; 256];
        let count = tokio::time::timeout(DEADLINE, stream.read(&mut some)).await.unwrap().unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..count]);
    }
}

#[tokio::test]
async fn who_came_with_a_certificate_shows_it_again_when_the_certificates_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let both = berth_trust::Files::plain(&certificate, &key, Some(certificate.clone()));
    let read = |files: &berth_trust::Files| super::super::tls::server(files).unwrap();
    let (renew, with) = watch::channel(read(&both));
    let (other, without) = watch::channel(read(&berth_trust::Files::plain(&certificate, &key, None)));
    let (asking, open) = (bed_with(limits(64, DEADLINE), Some(with)).await, bed_with(limits(64, DEADLINE), Some(without)).await);
    let (mut idle, mut busy) = (asked(asking.address, &both).await, asked(asking.address, &both).await);
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut anybody = asked(open.address, &both).await;
    renew.send_replace(read(&both));
    other.send_replace(read(&berth_trust::Files::plain(&certificate, &key, None)));
    assert!(hung_up(&mut idle).await, "it asks again with a new connection");
    assert!(hung_up(&mut busy).await, "an answer without end is cut, too");
    answered(&mut anybody).await;
    drop(anybody);
    asked(asking.address, &both).await;
    asking.end().await;
    open.end().await;
}
