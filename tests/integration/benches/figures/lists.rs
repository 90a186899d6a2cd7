//! 10,000 resources on 20 simulated nodes: the rate of creates, lists, metrics, the start beside them.

use std::time::{Duration, Instant};

use anyhow::Result;
use berth_integration::{Rest, Samples};

use crate::bench::{Bench, ms, times};
use crate::clients::{CLIENTS, Writers};
use crate::empty::definitions;
use crate::world::World;

const NODES: usize = 20;
const RESOURCES: usize = 10_000;
/// Lists that are read; p99 needs some hundreds.
const LISTS: usize = 40;
/// Small requests that are measured.
const SMALL: usize = 400;
/// How long lists are read beside writes.
const BESIDE_WRITES: Duration = Duration::from_secs(30);
const WRITES_PER_SECOND: u32 = 100;
const STARTS: usize = 5;
const DEFINITIONS: usize = 6_000;

const IDS: [&str; 8] = ["create", "definitions_16_10000", "list", "list_writing", "metrics", "page", "one", "start_10000"];

/// So many GETs of a document that is read and thrown away.
pub fn read(rest: &Rest, path: &str, runs: usize) -> Result<Samples> {
    times(runs, |_| rest.length(path).map(drop))
}

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<()> {
    if !bench.wants(&IDS) {
        return Ok(());
    }
    bench.tell("20 simulated nodes");
    let mut world = World::new(NODES)?;
    let resources = bench.count(RESOURCES);
    let (rate, created) = world.fill(bench, resources)?;
    bench.add_with("create", rate, &format!("p99 of each {:.1} ms", created.percentile(99)))?;
    let rest = world.rest();
    let small = bench.count(SMALL);
    if bench.wants(&["page"]) {
        bench.add("page", times(small, |at| page(&rest, at, resources))?)?;
    }
    if bench.wants(&["one"]) {
        bench.add("one", times(small, |at| one(&rest, at, world.definitions))?)?;
    }
    if bench.wants(&["list"]) {
        let length = rest.length("/v1/view/resources")?;
        let lists = read(&rest, "/v1/view/resources", bench.count(LISTS))?;
        #[allow(clippy::cast_precision_loss)] // Some MiB.
        let mib = length as f64 / 1_048_576.0;
        bench.add_with("list", lists, &format!("{mib:.1} MiB"))?;
    }
    if bench.wants(&["metrics"]) {
        bench.add("metrics", read(&rest, "/metrics", bench.count(LISTS))?)?;
    }
    if bench.wants(&["list_writing"]) {
        list_writing(bench, &world)?;
    }
    if bench.wants(&["definitions_16_10000"]) {
        let (rate, times) = definitions(&rest, "more", CLIENTS, bench.count(DEFINITIONS))?;
        bench.add_with("definitions_16_10000", rate, &format!("p99 of each {:.1} ms", times.percentile(99)))?;
    }
    if bench.wants(&["start_10000"]) {
        let mut starts = Vec::new();
        for _ in 0..bench.count(STARTS) {
            world.kill_controller();
            starts.push(world.start_controller()?);
        }
        bench.add("start_10000", Samples::new(starts))?;
    }
    Ok(())
}

/// One page of 50 somewhere in the list.
pub fn page(rest: &Rest, at: usize, resources: usize) -> Result<()> {
    let offset = (at * 7_919) % resources.max(1);
    rest.length(&format!("/v1/view/resources?limit=50&offset={offset}")).map(drop)
}

/// The resources of one definition.
pub fn one(rest: &Rest, at: usize, definitions: usize) -> Result<()> {
    let definition = (at * 7_919) % definitions.max(1);
    rest.length(&format!("/v1/view/resources?resources=r_{definition}")).map(drop)
}

fn list_writing(bench: &mut Bench, world: &World) -> Result<()> {
    let rest = world.rest();
    let span = bench.span(BESIDE_WRITES);
    let writers = Writers { per_second: WRITES_PER_SECOND, threads: 8, definitions: world.definitions };
    let (lists, written) = writers.during(&rest, "beside", || {
        let end = Instant::now() + span;
        let mut lists = Vec::new();
        while Instant::now() < end {
            let from = Instant::now();
            rest.length("/v1/view/resources")?;
            lists.push(ms(from.elapsed()));
        }
        Ok(Samples::new(lists))
    })?;
    let rate = crate::bench::per_second(written.count, written.time);
    let note = format!("p50 {:.0} ms, {rate:.0} writes/s, a write's p50 {:.1} ms", lists.median(), written.times.median());
    bench.add_with("list_writing", lists, &note)
}
