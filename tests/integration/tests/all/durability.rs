//! What was acknowledged is on disk.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Cluster, count, tool, until, within};
use serde_json::json;

/// Clients that write while the controller is killed.
const WRITERS: u32 = 4;

/// Acknowledged writes before each kill.
const WRITES_BEFORE_A_KILL: usize = 25;

/// Changes in the trace, one after the other.
const CHANGES: usize = 5;

/// How a trace shows that a change was asked for, and that it was acknowledged.
/// The first read of a connection is a short one, so only the beginning of the request line is sure to be in one piece.
const REQUEST: &str = "\"POST /v1/resource-";
const REPLY: &str = "HTTP/1.1 201";

#[test]
fn a_change_is_synced_before_its_reply_leaves() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    cluster.kill_controller();
    let trace = cluster.scratch().path().join("trace");
    let calls = "trace=fdatasync,fsync,pwrite64,read,readv,recvfrom,write,writev,sendto,sendmsg";
    let strace: [OsString; 9] = [
        tool("strace")?.into(),
        "--follow-forks".into(),
        "--decode-fds=path".into(),
        "--string-limit=96".into(),
        "--quiet=all".into(),
        "--output".into(),
        trace.clone().into(),
        "-e".into(),
        calls.into(),
    ];
    cluster.start_controller_with(&strace, &[])?;
    let rest = cluster.rest();
    for number in 0..CHANGES {
        let body = json!({"resource_definition": {"name": format!("traced-{number}")}});
        rest.post("/v1/resource-definitions", &body)?.ok()?;
    }
    let complete = || std::fs::read_to_string(&trace).is_ok_and(|text| text.matches(REPLY).count() >= CHANGES);
    until(Duration::from_secs(20), "the trace holds every reply", complete)?;
    cluster.kill_controller();
    let text = std::fs::read_to_string(&trace)?;
    let lines: Vec<&str> = text.lines().collect();
    let at = |what: &str| (0..lines.len()).filter(|at| lines[*at].contains(what)).collect::<Vec<_>>();
    let (requests, replies) = (at(REQUEST), at(REPLY));
    ensure!(requests.len() >= CHANGES, "only {} requests in the trace", requests.len());
    // One client, one request at a time: the n-th reply belongs to the n-th request.
    for (asked, answered) in requests.into_iter().zip(replies).take(CHANGES) {
        ensure!(asked < answered, "a reply before its request");
        let between = &lines[asked..answered];
        ensure!(is_synced(between), "no sync of the log between a request and its reply:\n{}", lines[asked..=answered].join("\n"));
    }
    Ok(())
}

/// Whether a sync of the database began and ended within these lines of a trace.
fn is_synced(lines: &[&str]) -> bool {
    lines.iter().enumerate().any(|(at, line)| {
        let call = ["fdatasync", "fsync"].into_iter().find(|call| line.contains(&format!("{call}(")));
        let Some(call) = call.filter(|_| line.contains("berth.db")) else { return false };
        if !line.contains("<unfinished") {
            return line.contains("= 0");
        }
        let thread = line.split_whitespace().next().unwrap_or_default();
        let resumed = format!("<... {call} resumed>");
        lines[at..].iter().any(|later| later.split_whitespace().next() == Some(thread) && later.contains(&resumed) && later.contains("= 0"))
    })
}

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged() -> Result<()> {
    let mut cluster = Cluster::empty()?;
    let kills = count(5, 30);
    let acknowledged: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let stop = AtomicBool::new(false);
    let next = AtomicU32::new(0);
    std::thread::scope(|threads| {
        // The writers end whether or not the kills below succeed.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stop);
        let rest = cluster.rest();
        for _ in 0..WRITERS {
            let (rest, acknowledged, stop, next) = (rest.clone(), &acknowledged, &stop, &next);
            threads.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let name = format!("load-{}", next.fetch_add(1, Ordering::SeqCst));
                    let body = json!({"resource_definition": {"name": name}}).to_string();
                    let reply = rest.call_within(Duration::from_secs(5), "POST", "/v1/resource-definitions", Some(body));
                    match reply {
                        Ok(reply) if reply.status == 201 => {
                            acknowledged.lock().unwrap().insert(name);
                        }
                        // Killed while we asked, or not up again yet: nothing was promised.
                        _ => {
                            let back = || stop.load(Ordering::SeqCst) || rest.get("/health").is_ok();
                            until(Duration::from_secs(60), "the controller is back", back).ok();
                        }
                    }
                }
            });
        }
        for kill in 0..kills {
            let before = acknowledged.lock().unwrap().len();
            until(Duration::from_secs(30), "writes are acknowledged", || {
                acknowledged.lock().unwrap().len() >= before + WRITES_BEFORE_A_KILL
            })?;
            cluster.kill_controller();
            let promised = acknowledged.lock().unwrap().clone();
            cluster.start_controller().with_context(|| format!("after kill {kill}"))?;
            let kept = definitions(&cluster)?;
            let lost: Vec<&String> = promised.difference(&kept).collect();
            ensure!(lost.is_empty(), "kill {kill}: {} of {} acknowledged definitions are lost: {lost:?}", lost.len(), promised.len());
        }
        Ok(())
    })?;
    println!("{kills} kills, {} acknowledged writes, none lost", acknowledged.lock().unwrap().len());
    Ok(())
}

fn definitions(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let reply = within(Duration::from_secs(20), "the list of definitions", || {
        cluster.rest().get("/v1/resource-definitions").and_then(berth_integration::Reply::ok)
    })?;
    let list = reply.json.as_array().context("a list")?;
    Ok(list.iter().filter_map(|definition| definition["name"].as_str().map(str::to_owned)).collect())
}
