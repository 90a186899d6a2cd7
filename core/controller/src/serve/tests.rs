//! A whole controller on a folder and a socket.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{ControllerError, serve};
use crate::Config;
use crate::testkit::DEADLINE;

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ControllerError>>,
}

fn config(data: &Path) -> Config {
    Config::new(data, SocketAddr::from(([127, 0, 0, 1], 0)))
}

async fn start(data: &Path) -> Served {
    let (tell, ready) = oneshot::channel();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(config(data), stop.clone(), move |address, _| tell.send(address).unwrap()));
    let address = tokio::time::timeout(DEADLINE, ready).await.unwrap().unwrap();
    Served { address, stop, task }
}

impl Served {
    async fn call(&self, request: &str, body: &str) -> String {
        call(self.address, request, body).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// One request on a connection of its own; the whole answer as text.
async fn call(address: SocketAddr, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn refused(config: Config) -> ControllerError {
    let error = serve(config, CancellationToken::new(), |_, _| panic!("it must not serve")).await.unwrap_err();
    let correction = error.correction();
    assert!(correction.ends_with('.') && correction.starts_with(char::is_uppercase), "{error}: {correction}");
    error
}

#[tokio::test]
async fn a_folder_is_set_up_without_asking_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let served = start(&data).await;
    let answer = served.call("POST /v1/resource-groups", r#"{"name": "kept"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    served.end().await;
    let served = start(&data).await;
    let answer = served.call("GET /v1/resource-groups/kept/?", "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"kept\""), "{answer}");
    let answer = served.call("GET /health", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn it_ends_in_time_and_names_the_job_that_an_answer_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let served = start(folder.path()).await;
    // Somebody listens there and never answers: the answer waits for the first contact.
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = hole.local_addr().unwrap().port();
    let node =
        format!(r#"{{"name": "alpha", "net_interfaces": [{{"name": "default", "address": "127.0.0.1", "satellite_port": {port}}}]}}"#);
    let (address, stop) = (served.address, served.stop.clone());
    let waiting = tokio::spawn(async move { call(address, "POST /v1/nodes", &node).await });
    let dialed = tokio::time::timeout(DEADLINE, hole.accept()).await.unwrap();
    let begun = Instant::now();
    stop.cancel();
    let answer = waiting.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("No connection to satellite"), "{answer}");
    served.task.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(dialed);
}

#[tokio::test]
async fn what_is_in_the_way_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = refused(Config::new(folder.path().join("a"), address)).await;
    assert!(error.to_string().contains(&address.to_string()) && error.correction().starts_with("Stop"), "{error}");
    assert!(!folder.path().join("a").exists(), "nothing was begun");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refused(config(&file)).await;
    assert!(error.to_string().contains("file") && error.correction().contains("--data"), "{error}: {}", error.correction());
    let served = start(&folder.path().join("b")).await;
    let error = refused(config(&folder.path().join("b"))).await;
    assert!(error.to_string().contains("in use"), "{error}");
    served.end().await;
}
