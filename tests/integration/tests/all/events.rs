//! Streams of events over the wire, from a process of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, Daemon, POOL, Pace, Rest, Scratch, Streams, count};
use serde_json::{Value, json};

/// On a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
/// What 2,000 streams, a tenth of them slow or dead, may take of the controller's memory: some KiB for each connection, and the ring.
const MEMORY_MIB: u64 = 256;
/// Bytes of one written value: in all far more than the buffers of a dead connection hold.
const VALUE: usize = 16 << 10;
/// Writes while the streams are open.
const WRITES: usize = 400;

fn write(rest: &Rest, at: usize) -> Result<()> {
    // Texts that do not compress into nothing anywhere.
    let value: String = (0..VALUE).map(|place| char::from(b'a' + u8::try_from((place * 7 + at * 13) % 26).unwrap_or(0))).collect();
    rest.put("/v1/key-value-store/crowd", &json!({"override_props": {"key": value}}))?.ok().map(drop)
}

fn serial(rest: &Rest) -> Result<u64> {
    let newest = rest.get("/v1/berth/audit?limit=1")?.ok()?.json;
    newest["entries"][0]["serial"].as_u64().context("a serial")
}

fn rss_mib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib / 1024).context("no VmRSS")
}

#[test]
fn many_streams_miss_nothing_and_hold_up_nobody() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let pid = cluster.controller()?.pid();
    let rest = cluster.rest();
    write(&rest, 0)?;
    let before = rss_mib(pid)?;
    // 2,000 with --long: there a build for tests takes minutes, and what reads nothing meanwhile is still not let go.
    let tenths = usize::try_from(count(20, 200))?;
    let streams = Streams::open(cluster.address(), &[(Pace::Lively, 8 * tenths), (Pace::Slow, tenths), (Pace::Dead, tenths)])?;
    for at in 0..WRITES {
        write(&rest, at)?;
    }
    // The writer did not wait for the dead ones; whoever reads has all of it.
    let last = serial(&rest)?;
    streams.wait_for(LIMIT, &[Pace::Lively], last)?;
    let grown = rss_mib(pid)?.saturating_sub(before);
    ensure!(grown <= MEMORY_MIB, "{} streams took {grown} MiB", 10 * tenths);
    // One that comes back to life finds in the log what the ring has no more.
    streams.revive();
    streams.wait_for(LIMIT, &[Pace::Lively, Pace::Dead], last)?;
    ensure!(streams.ended() == 0, "{} streams have ended", streams.ended());
    drop(streams);
    rest.wait_for(LIMIT, "/v1/controller/version", Value::is_object)?;
    Ok(())
}

#[test]
fn a_stream_ends_with_the_controller_and_goes_on_with_the_next() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let rest = cluster.rest();
    write(&rest, 0)?;
    let streams = Streams::open(cluster.address(), &[(Pace::Lively, 3)])?;
    cluster.kill_controller();
    berth_integration::until(LIMIT, "the streams end with the controller", || streams.ended() == 3)?;
    drop(streams);
    cluster.start_controller()?;
    let rest = cluster.rest();
    let last = serial(&rest)?;
    let streams = Streams::open(cluster.address(), &[(Pace::Lively, 3)])?;
    write(&rest, 1)?;
    ensure!(serial(&rest)? > last);
    streams.wait_for(LIMIT, &[Pace::Lively], last + 1)
}

#[test]
fn a_watched_list_is_shown_again_when_it_changes() -> Result<()> {
    let cluster = Cluster::empty()?;
    let rest = cluster.rest();
    write(&rest, 0)?;
    let words = ["--controllers", cluster.address(), "resource-group", "list", "--watch", "--pastable"];
    let mut watched = std::process::Command::new(berth_integration::berth()?).args(words).stdout(Stdio::piped()).spawn()?;
    let shown = (|| {
        let mut lines = BufReader::new(watched.stdout.take().context("its output")?).lines();
        let mut until = |text: &str| -> Result<()> {
            for line in &mut lines {
                if line?.contains(text) {
                    return Ok(());
                }
            }
            anyhow::bail!("it ended without {text}")
        };
        until("DfltRscGrp")?;
        for name in ["first", "second"] {
            rest.post("/v1/resource-groups", &json!({"name": name}))?.ok()?;
            until(name)?;
        }
        Ok(())
    })();
    watched.kill()?;
    watched.wait()?;
    shown
}

/// Takes one request of a daemon that sends traces, and thanks for it.
fn take(mut stream: std::net::TcpStream) -> Result<Vec<u8>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut piece = vec![0; 64 << 10];
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
        if let (Some(head), Some(length)) = (request.windows(4).position(|four| four == b"\r\n\r\n"), length)
            && request.len() >= head + 4 + length
        {
            ensure!(text.starts_with("post /v1/traces "), "{}", text.lines().next().unwrap_or_default());
            break;
        }
        let count = stream.read(&mut piece)?;
        ensure!(count > 0, "the request was cut off");
        request.extend_from_slice(&piece[..count]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(request)
}

/// Takes what is posted to it, as a collector of traces does, until it has bytes that hold all of `texts`.
fn collect(listener: &TcpListener, texts: &[&str]) -> Result<Vec<u8>> {
    listener.set_nonblocking(true)?;
    let mut posted = Vec::new();
    berth_integration::within(LIMIT, "the traces arrive", || {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        posted.extend_from_slice(&take(stream).map_err(|error| format!("{error:#}"))?);
        let missing: Vec<&&str> = texts.iter().filter(|text| !posted.windows(text.len()).any(|part| part == text.as_bytes())).collect();
        if missing.is_empty() { Ok(posted.clone()) } else { Err(format!("{missing:?} are missing")) }
    })
}

#[test]
fn a_collector_gets_a_trace_of_each_request_from_its_door_to_its_plan() -> Result<()> {
    let collector = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", collector.local_addr()?);
    let scratch = Scratch::new()?;
    let data = scratch.sub("controller")?;
    let words = [
        "controller".into(),
        "--data".into(),
        data.into_os_string(),
        "--listen".into(),
        "127.0.0.1:0".into(),
        "--traces".into(),
        address.into(),
        // A quiet log is no reason for gaps in traces.
        "--log".into(),
        "error".into(),
    ];
    let mut daemon = Daemon::start(&scratch, "controller", words)?;
    let rest = Rest::new(&format!("http://{}", daemon.host_port()));
    rest.put("/v1/key-value-store/secret-store?x=hush", &json!({"override_props": {"db-password": "hush"}}))?.ok()?;
    let posted =
        collect(&collector, &["berth-controller", "request", "command", "commit", "plan", "/v1/key-value-store/secret-store", "PUT"])?;
    ensure!(!posted.windows(4).any(|part| part == b"hush"), "a trace holds a secret");
    // A collector that has gone holds up neither requests nor the end.
    drop(collector);
    write(&rest, 1)?;
    daemon.terminate(LIMIT)?;
    Ok(())
}

/// As much of what a collector gets as says which span stands below which.
mod otlp {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct Request {
        #[prost(message, repeated, tag = "1")]
        pub resources: Vec<Resource>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "2")]
        pub scopes: Vec<Scope>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Scope {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
    }

    /// The spans of one posted request, heads and all.
    pub fn spans(posted: &[u8]) -> Vec<Span> {
        let body = posted.windows(4).position(|four| four == b"\r\n\r\n").map_or(posted, |at| &posted[at + 4..]);
        let read = Request::decode(body).unwrap_or_default();
        read.resources.into_iter().flat_map(|resource| resource.scopes).flat_map(|scope| scope.spans).collect()
    }
}

#[test]
fn one_trace_goes_from_a_request_over_its_commit_to_the_steps_of_satellites() -> Result<()> {
    let collector = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", collector.local_addr()?);
    let (tell, told) = std::sync::mpsc::channel();
    // It ends with the first request that nobody waits for.
    std::thread::spawn(move || {
        let all = collector.incoming().filter_map(|stream| take(stream.ok()?).ok());
        all.take_while(|posted| tell.send(otlp::spans(posted)).is_ok()).count()
    });
    let mut cluster = Cluster::empty()?;
    cluster.kill_controller();
    let environment = [("BERTH_TRACES", address.as_str())];
    cluster.start_controller_with(&[], &environment)?;
    cluster.start_satellite("alpha", &environment)?;
    cluster.join("alpha")?;
    cluster.make_pool("alpha")?;
    let rest = cluster.rest();
    let definition = json!({"resource_definition": {"name": "web", "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &definition)?.ok()?;
    rest.post("/v1/resource-definitions/web/volume-definitions", &json!({"volume_definition": {"size_kib": 10240}}))?.ok()?;
    rest.post("/v1/resource-definitions/web/resources/alpha", &json!({"resource": {"props": {"StorPoolName": POOL}}}))?.ok()?;
    let mut spans: Vec<otlp::Span> = Vec::new();
    berth_integration::within(LIMIT, "one trace has all of it", || {
        spans.extend(told.try_iter().flatten());
        let above = |span: &otlp::Span| spans.iter().find(|other| other.trace == span.trace && other.id == span.parent);
        let mut paths = Vec::new();
        for step in spans.iter().filter(|span| span.name == "step") {
            let (mut path, mut at) = (vec![step.name.clone()], step);
            while let Some(next) = above(at) {
                path.push(next.name.clone());
                at = next;
            }
            paths.push(path.join(" < "));
        }
        let whole = "step < work < plan of the satellite < store < command < request";
        if paths.iter().any(|path| path == whole) { Ok(()) } else { Err(format!("{paths:?}")) }
    })
}
