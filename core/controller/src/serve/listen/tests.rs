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
    let task = tokio::spawn(listen(listener, None, Arc::clone(&connections), router, stop.clone()));
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
async fn hung_up(stream: &mut TcpStream) -> bool {
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
