//! 1,000 simulated nodes with 100,000 resources: start, memory, creates, a tenth of the nodes gone at once, one node emptied.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use berth_integration::{Samples, lasts, within};
use serde_json::json;

use crate::bench::{Bench, ms, seconds, times};
use crate::clients::{CLIENTS, together};
use crate::lists::{page, read};
use crate::world::{REPLICAS, World};

const NODES: usize = 1_000;
const RESOURCES: usize = 100_000;
/// Creates at the end of which the rate is told on its own.
const LAST: usize = 3_000;
/// Resources of the node that is emptied.
const ON_ONE_NODE: usize = 1_000;
const PREVIEWS: usize = 50;
const STARTS: usize = 2;
/// Longest evacuation.
const EVACUATION_LIMIT: Duration = Duration::from_secs(400);

/// Measures all of it.
pub fn measure(bench: &mut Bench) -> Result<()> {
    bench.tell("1,000 simulated nodes");
    let from = Instant::now();
    let mut world = World::new(bench.count(NODES).max(200))?;
    bench.add("scale_online", seconds(from))?;
    fill(bench, &mut world)?;
    restart(bench, &mut world)?;
    fail_over(bench, &mut world)?;
    evacuate(bench, &world)
}

fn fill(bench: &mut Bench, world: &mut World) -> Result<()> {
    let empty = world.satellites_rss_mib()?;
    let resources = bench.count(RESOURCES);
    let last = bench.count(LAST) * REPLICAS;
    let (first_rate, _) = world.fill(bench, resources.saturating_sub(last))?;
    bench.add("scale_create", first_rate)?;
    let (rate, created) = world.fill(bench, resources)?;
    bench.add_with("scale_create_last", rate, &format!("each p50 {:.1} ms, p99 {:.1} ms", created.median(), created.percentile(99)))?;
    let rest = world.rest();
    let question = json!({"what": "new", "group": "bench", "volume_sizes": [65536]});
    bench.add("scale_place", times(PREVIEWS, |_| rest.post("/v1/berth/place", &question)?.ok().map(drop))?)?;
    let lists = read(&rest, "/v1/view/resources", 3)?;
    let metrics = read(&rest, "/metrics", 3)?;
    page(&rest, 1, resources)?;
    let note = format!("whole list {:.0} ms, metrics {:.0} ms", lists.median(), metrics.median());
    bench.add_with("scale_rss", world.rss_mib()?, &note)?;
    #[allow(clippy::cast_precision_loss)] // 1,000 nodes.
    let nodes = bench.count(NODES).max(200) as f64;
    let note = format!("{:.2} MiB without a resource", empty / nodes);
    bench.add_with("scale_satellites_rss", world.satellites_rss_mib()? / nodes, &note)
}

fn restart(bench: &mut Bench, world: &mut World) -> Result<()> {
    let (mut starts, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        world.kill_controller();
        let from = Instant::now();
        starts.push(world.start_controller()?);
        world.wait_in_sync()?;
        syncs.push(seconds(from));
    }
    bench.add("scale_start", Samples::new(starts))?;
    bench.add("scale_sync", Samples::new(syncs))
}

fn fail_over(bench: &mut Bench, world: &mut World) -> Result<()> {
    let gone = world.farm_size(0);
    world.kill_farm(0)?;
    let seen = world.wait_online(gone)?;
    let unknown = world.unknown_states().unwrap_or_default();
    bench.add_with("scale_kill", seen, &format!("{unknown:.0} states unknown"))?;
    world.start_farm(0)?;
    let back = world.wait_in_sync()?;
    bench.add("scale_kill_back", back)?;
    world.freeze_farm(1, true)?;
    let seen = world.wait_online(world.farm_size(1));
    let unknown = world.unknown_states().unwrap_or_default();
    world.freeze_farm(1, false)?;
    bench.add_with("scale_hang", seen?, &format!("{unknown:.0} states unknown"))?;
    let back = world.wait_in_sync()?;
    bench.add("scale_hang_back", back)
}

fn evacuate(bench: &mut Bench, world: &World) -> Result<()> {
    let node = world.node(0)?.to_owned();
    let rest = world.rest();
    let path = format!("/v1/view/resources?nodes={node}");
    let on_node = || world.list(&path).map(|list| list.len());
    let there = on_node().map_err(anyhow::Error::msg)?;
    let more = bench.count(ON_ONE_NODE).saturating_sub(there);
    bench.tell(&format!("{more} more resources on {node}"));
    // One replica where we want it, the others where the placer wants them.
    together(CLIENTS, more, |at| {
        let name = format!("heavy_{at}");
        crate::clients::define_drbd(&rest, &name)?;
        let here = json!([{"resource": {"name": name, "node_name": node, "props": {"StorPoolName": "sim"}}}]);
        rest.post(&format!("/v1/resource-definitions/{name}/resources"), &here)?.ok()?;
        let others = json!({"select_filter": {"additional_place_count": 2, "storage_pool_list": ["sim"]}});
        rest.post(&format!("/v1/resource-definitions/{name}/autoplace"), &others)?.ok().map(drop)
    })?;
    world.wait_in_sync()?;
    let resources = on_node().map_err(anyhow::Error::msg)?;
    let from = Instant::now();
    rest.put(&format!("/v1/nodes/{node}/evacuate"), &json!({}))?.ok().context("the evacuation is refused")?;
    let mut pages = Vec::new();
    within(EVACUATION_LIMIT, "the node is empty and no job is open", || {
        let asked = Instant::now();
        page(&rest, pages.len(), resources).map_err(|error| format!("{error:#}"))?;
        pages.push(ms(asked.elapsed()));
        // Not more often: what is measured is the evacuation.
        lasts(Duration::from_millis(100));
        let left = on_node()?;
        let jobs = world.list("/v1/berth/jobs?limit=1")?;
        if left == 0 && jobs.is_empty() { Ok(()) } else { Err(format!("{left} resources left, {} jobs", jobs.len())) }
    })?;
    bench.add_with("scale_evacuate", seconds(from), &format!("{resources} resources"))?;
    bench.add("scale_list_page", Samples::new(pages))
}
