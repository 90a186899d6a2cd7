//! Ten thousand connections that say half a sentence: bounded, told once, and everybody else is served.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use berth_integration::{Daemon, Rest, Scratch, berth, count, note, run_within};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
/// What so many half-open connections may cost the controller, in MiB, in a build for tests: 4,096 of them are held at a time.
const MEMORY_MIB: u64 = 200;
/// So many of them say one byte more: heads that do not end.
const DRIPPING: usize = 200;

/// Lets this process hold as many connections as the system allows; answers how many of `count` that are.
fn raise_file_limit(count: usize) -> Result<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX)).saturating_sub(256);
    if most < count {
        note(&format!("this process may open {most} files: so many connections are tried, not {count}"));
    }
    Ok(count.min(most))
}

fn rss_mib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib / 1024).context("no VmRSS")
}

/// Opens `count` connections that say `words` and wait; answers them.
fn opened(address: &str, count: usize, words: &[u8]) -> Result<Vec<TcpStream>> {
    let mut all = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = TcpStream::connect(address).with_context(|| format!("connection {number}"))?;
        // One that was dropped already is no fault: that is what is tried.
        drop(stream.write_all(words));
        all.push(stream);
    }
    Ok(all)
}

/// Asks on a connection of its own: one that waits for its next request may be among those that make room.
fn healthy(daemon: &Daemon) -> Result<bool> {
    let mut stream = TcpStream::connect(daemon.host_port())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

#[test]
fn ten_thousand_half_open_connections_are_bounded_and_others_are_served() -> Result<()> {
    let many = raise_file_limit(usize::try_from(count(5_000, 10_000))?)?;
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("tls");
    run_within(LIMIT, Command::new(berth()?).args(["tls", "init", "--address", "127.0.0.1", "--dir"]).arg(&dir))?.ok()?;
    let data = scratch.sub("controller")?.into_os_string();
    let words: [OsString; 5] = ["controller".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data];
    let (certificate, key) = (dir.join("controller.crt"), dir.join("controller.key"));
    let environment = [
        ("BERTH_HTTPS_CERT", certificate.to_str().context("a path")?),
        ("BERTH_HTTPS_KEY", key.to_str().context("a path")?),
        ("BERTH_HTTPS_LISTEN", "127.0.0.1:0"),
    ];
    let daemon = Daemon::start_with(&scratch, "controller", &[], &environment, words)?;
    let client = |words: &[&str]| {
        let mut command = Command::new(berth()?);
        command.args(["--disable-config", "--controllers", daemon.host_port(), "--cafile"]).arg(dir.join("ca.crt"));
        run_within(LIMIT, command.args(words))?.ok()
    };
    client(&["resource-group", "create", "before"])?;
    let log = daemon.log_text();
    let line = log.lines().find(|line| line.contains("HTTPS is on")).context("the line about HTTPS")?;
    let after = line.split("port=").nth(1).context("the port of HTTPS")?;
    let port: String = after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let secure = format!("127.0.0.1:{port}");
    let before = rss_mib(daemon.pid())?;
    let begun = Instant::now();
    // Half a head; half of the first record of TLS.
    let half_a_head = b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\nX-Slow: ".as_slice();
    let half_a_record = [0x16_u8, 3, 1, 2, 0, 1, 0];
    for (door, address, words) in [("HTTP", daemon.host_port(), half_a_head), ("HTTPS", secure.as_str(), half_a_record.as_slice())] {
        let mut all = opened(address, many, words)?;
        for stream in all.iter_mut().rev().take(DRIPPING) {
            drop(stream.write_all(b"a"));
        }
        // Others are served, on both doors, and write.
        for number in 0..5 {
            ensure!(healthy(&daemon)?);
            client(&["resource-group", "create", &format!("beside-{door}-{number}")])?;
        }
        ensure!(client(&["resource-group", "list"])?.contains(&format!("beside-{door}-4")));
        let grown = rss_mib(daemon.pid())?.saturating_sub(before);
        note(&format!("{many} half-open connections over {door}: the controller grew by {grown} MiB"));
        ensure!(grown <= MEMORY_MIB, "{grown} MiB");
    }
    // Told once in a minute, not ten thousand times.
    let told = daemon.log_text().matches("too many connections wait").count() as u64;
    ensure!((1..=1 + begun.elapsed().as_secs() / 60).contains(&told), "told {told} times");
    ensure!(healthy(&daemon)?);
    Ok(())
}

#[test]
fn a_body_without_an_end_is_cut_and_an_oversized_one_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let data = scratch.sub("controller")?.into_os_string();
    let words: [OsString; 5] = ["controller".into(), "--listen".into(), "127.0.0.1:0".into(), "--data".into(), data];
    let daemon = Daemon::start(&scratch, "controller", words)?;
    let rest = Rest::new(daemon.address());
    let mut stream = TcpStream::connect(daemon.host_port())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"POST /v1/nodes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let piece = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
    // 8 MiB are taken; a client that goes on loses the connection.
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&piece).is_ok() {
        sent += 0x10000;
    }
    ensure!(sent < 64 << 20, "it took {} MiB", sent >> 20);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    ensure!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 2"));
    ensure!(rest.post("/v1/resource-groups", &json!({"name": "beside"}))?.status == 201);
    Ok(())
}
