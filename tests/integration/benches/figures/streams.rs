//! 2,000 open streams of events, slow and dead ones among them, and a writer beside them. The streams are held by a process of their own: this one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_integration::{Daemon, Pace, Rest, Samples, Scratch, Streams};
use serde_json::json;

use crate::bench::{Bench, ms, times};
use crate::machine::rss_mib;

const LIVELY: usize = 1_800;
const SLOW: usize = 100;
const DEAD: usize = 100;
const WRITES: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(120);
const IDS: [&str; 3] = ["streams_writes", "streams_told", "streams_rss"];

fn write(rest: &Rest, at: usize) -> Result<()> {
    rest.put("/v1/key-value-store/crowd", &json!({"override_props": {"turn": at.to_string()}}))?.ok().map(drop)
}

fn serial(rest: &Rest) -> Result<u64> {
    rest.get("/v1/berth/audit?limit=1")?.ok()?.json["entries"][0]["serial"].as_u64().context("a serial")
}

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants(&IDS) {
        return Ok(());
    }
    bench.tell("2,000 streams of events");
    let scratch = Scratch::new()?;
    let data = scratch.sub("controller")?;
    let words = ["controller".into(), "--data".into(), data.into_os_string(), "--listen".into(), "127.0.0.1:0".into()];
    let daemon = Daemon::start(&scratch, "controller", words)?;
    let rest = Rest::new(&format!("http://{}", daemon.host_port()));
    let writes = bench.count(WRITES);
    let alone = times(writes, |at| write(&rest, at))?;
    let before = rss_mib(daemon.pid())?;
    let streams = Streams::open(daemon.host_port(), &[(Pace::Lively, LIVELY), (Pace::Slow, SLOW), (Pace::Dead, DEAD)])?;
    let beside = times(writes, |at| write(&rest, at))?;
    streams.wait_for(LIMIT, &[Pace::Lively], serial(&rest)?)?;
    let note = format!(
        "p50 {:.2} ms, p99 {:.2} ms; without them {:.2} and {:.2} ms",
        beside.median(),
        beside.percentile(99),
        alone.median(),
        alone.percentile(99)
    );
    bench.add_with("streams_writes", beside.median() / alone.median(), &note)?;
    let mut told = Vec::new();
    for at in 0..bench.count(40) {
        write(&rest, at)?;
        let answered = Instant::now();
        streams.wait_for(LIMIT, &[Pace::Lively], serial(&rest)?)?;
        told.push(ms(answered.elapsed()));
    }
    bench.add("streams_told", Samples::new(told))?;
    bench.add("streams_rss", rss_mib(daemon.pid())? - before)
}
