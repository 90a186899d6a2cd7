//! What lists cost on this machine, printed:
//! `cargo test --release -p berth-controller --lib lists::measure -- --ignored --nocapture`.

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use berth_store::MemoryStore;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::column::Column;
use super::gzip::Zipper;
use super::index::{Index, Room};
use super::world::World;
use crate::http::{router, views};
use crate::reports::Reports;
use crate::state::{Controller, Health, Inner, View};

/// A controller that only reads.
fn controller(view: View) -> (watch::Sender<View>, Controller) {
    let (publish, view) = watch::channel(view);
    let world = crate::outside::Outside::real().world;
    let inner = Inner {
        view,
        queue: mpsc::channel(1).0,
        health: watch::channel(Health::default()).1,
        reports: Arc::new(Reports::in_memory()),
        counters: Arc::default(),
        store: Arc::new(MemoryStore::new()),
        stop: tokio_util::sync::CancellationToken::new(),
        patience: Duration::from_secs(1),
        started: world.now(),
        world,
        signs: Arc::default(),
        lines: Arc::default(),
        data: std::path::PathBuf::new(),
        listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        log: Arc::new(berth_model::inquiry::RememberedLog::default()),
        lists: super::Lists::new(),
        bodies: crate::http::Bodies::new(),
        feed: Arc::new(crate::http::Feed::new()),
        vault: Arc::new(crate::vault::Vault::new()),
        gate: crate::gate::Gate::open(),
        https: (std::net::SocketAddr::from(([127, 0, 0, 1], 0)), false),
        body_within: Duration::from_secs(60),
    };
    (publish, Controller::new(inner))
}

/// Fastest of some runs: what the machine can do when nobody else uses it.
fn best<T>(what: &str, runs: usize, mut work: impl FnMut() -> T) -> T {
    let mut fastest = Duration::MAX;
    let mut result = None;
    for _ in 0..runs {
        let start = Instant::now();
        result = Some(work());
        fastest = fastest.min(start.elapsed());
    }
    println!("{:>10.3} ms  {what}", fastest.as_secs_f64() * 1e3);
    result.unwrap()
}

fn rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn ask(runtime: &tokio::runtime::Runtime, controller: &Controller, path: &str, gzip: bool) -> usize {
    let mut request = Request::builder().uri(path);
    if gzip {
        request = request.header(header::ACCEPT_ENCODING, "gzip");
    }
    runtime.block_on(async {
        let response = router(controller.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        to_bytes(response.into_body(), usize::MAX).await.unwrap().len()
    })
}

/// One request over a connection that stays open; answers the bytes of the body.
fn over_tcp(stream: &mut std::net::TcpStream, path: &str, length: usize) -> usize {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (mut buffer, mut got) = (vec![0; 1 << 18], 0);
    while got < length {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            bytes => got += bytes,
        }
    }
    got
}

fn figures(replicas: usize, runs: usize) {
    println!("--- {replicas} replicas");
    let mut world = World::large(replicas, 50);
    println!("{:>10} MiB RSS of the state", rss_mib());
    let view = world.view();
    best("all documents in one piece, as without runs", runs, || {
        let all = view.cluster.resources.values().flat_map(|nodes| nodes.values());
        let documents: Vec<_> = all.map(|one| views::resource::resource(&view, one, true)).collect();
        serde_json::to_vec(&documents).unwrap().len()
    });
    let room = Room::new(usize::MAX);
    let index = best("cut into runs", runs, || Index::new(world.view(), &room));
    for column in Column::ALL {
        let fresh = best(&format!("{column:?} rendered"), runs, || {
            let index = Index::new(world.view(), &Room::new(0));
            index.runs().iter().map(|run| index.plain(run, column).unwrap().text.len()).sum::<usize>()
        });
        let mut zipper = Zipper::new();
        index.runs().iter().for_each(|run| drop(index.plain(run, column).unwrap()));
        let start = Instant::now();
        let zipped: usize = index.runs().iter().map(|run| index.zipped(run, column, &mut zipper).unwrap().text.len()).sum();
        println!("{:>10.3} ms  compressed: {fresh} to {zipped} bytes", start.elapsed().as_secs_f64() * 1e3);
    }
    println!("{:>10} runs, {} KiB kept, {} MiB RSS", index.runs().len(), room.taken() / 1024, rss_mib());
    for changes in [1, 10, 100] {
        let old = Index::new(world.view(), &room);
        (0..changes).for_each(|_| {
            let number = world.dice.usize(..replicas / 3);
            world.put_definition(number, 0);
            (0..3).for_each(|at| world.see(number, (number + at * 16) % 50, false));
        });
        let view = world.view();
        let new = best(&format!("advanced by {changes} definitions"), runs, || old.advanced(view.clone()));
        let again = new.runs().iter().filter(|run| !old.runs().iter().any(|known| Arc::ptr_eq(known, run))).count();
        println!("{again:>10} runs to be rendered");
    }
    drop(index);

    let (_publish, controller) = controller(world.view());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for path in ["/v1/view/resources", "/v1/resource-definitions?with_volume_definitions=true", "/metrics"] {
        ask(&runtime, &controller, path, false);
        ask(&runtime, &controller, path, true);
        let bytes = best(&format!("{path} again"), runs, || ask(&runtime, &controller, path, false));
        let zipped = best(&format!("{path} again, gzip"), runs, || ask(&runtime, &controller, path, true));
        println!("{bytes:>10} bytes, {zipped} compressed");
    }
    println!("{:>10} KiB kept, {} MiB RSS", controller.lists().taken() / 1024, rss_mib());
    let middle = replicas / 2;
    for path in [
        "/v1/view/resources?limit=50".to_owned(),
        format!("/v1/view/resources?limit=50&offset={middle}"),
        "/v1/view/resources?nodes=node-7&limit=50".to_owned(),
        "/v1/view/resources?resources=res-000100".to_owned(),
        "/v1/view/resources?storage_pools=nosuch".to_owned(),
        "/v1/nodes".to_owned(),
        "/v1/view/storage-pools".to_owned(),
    ] {
        best(&path, runs * 5, || ask(&runtime, &controller, &path, false));
    }
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = runtime.spawn(axum::serve(listener, router(controller.clone())).into_future());
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let bytes = ask(&runtime, &controller, "/v1/view/resources", false);
    best("/v1/view/resources over TCP", runs * 5, || over_tcp(&mut stream, "/v1/view/resources", bytes));
    server.abort();
}

#[test]
#[ignore = "prints figures of a release build"]
fn figures_of_lists() {
    figures(10_000, 20);
    figures(100_000, 4);
}
