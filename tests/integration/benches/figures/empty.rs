//! An empty controller: its start, its memory, the rate of definitions, and the program itself.

use std::time::Duration;

use anyhow::{Context, Result};
use berth_integration::{Cluster, Rest, Samples, berth};

use crate::bench::{Bench, per_second, times};
use crate::clients::{CLIENTS, define, together};
use crate::machine::rss_mib;

/// Starts that are measured.
const STARTS: usize = 9;
/// Definitions that each rate is measured with: by one client, and by all.
const ALONE: usize = 500;
const TOGETHER: usize = 6_000;

/// Definitions a second of so many clients; `prefix` begins their names.
pub fn definitions(rest: &Rest, prefix: &str, clients: usize, count: usize) -> Result<(f64, Samples)> {
    let (time, times) = together(clients, count, |at| define(rest, &format!("{prefix}_{at}")))?;
    Ok((per_second(count, time), times))
}

/// Measures what needs no node.
pub fn measure(bench: &mut Bench) -> Result<()> {
    if bench.wants(&["binary"]) {
        let size = std::fs::metadata(berth()?).context("no program")?.len();
        #[allow(clippy::cast_precision_loss)] // Some MiB.
        bench.add("binary", size as f64 / 1_048_576.0)?;
    }
    if !bench.wants(&["start_empty", "rss_idle", "definitions_1", "definitions_16"]) {
        return Ok(());
    }
    let mut cluster = Cluster::empty()?;
    if bench.wants(&["start_empty"]) {
        let mut starts = Vec::new();
        for _ in 0..bench.count(STARTS) {
            cluster.kill_controller();
            let one = times(1, |_| {
                cluster.start_controller()?;
                cluster.rest().get("/v1/view/resources?limit=1")?.ok().map(drop)
            })?;
            starts.push(one.median());
        }
        bench.add("start_empty", Samples::new(starts))?;
    }
    if bench.wants(&["rss_idle"]) {
        berth_integration::lasts(Duration::from_secs(1));
        bench.add("rss_idle", rss_mib(cluster.controller()?.pid())?)?;
    }
    let rest = cluster.rest();
    if bench.wants(&["definitions_1"]) {
        let (rate, times) = definitions(&rest, "one", 1, bench.count(ALONE))?;
        bench.add_with("definitions_1", rate, &format!("{:.1} ms each", times.median()))?;
    }
    if bench.wants(&["definitions_16"]) {
        let (rate, times) = definitions(&rest, "many", CLIENTS, bench.count(TOGETHER))?;
        bench.add_with("definitions_16", rate, &format!("p99 of each {:.1} ms", times.percentile(99)))?;
    }
    Ok(())
}
