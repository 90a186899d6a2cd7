//! What grows with the cluster, and what does not: costs at 1,000, 10,000 and 100,000 resources on 20, 200 and 1,000 simulated nodes.

use anyhow::Result;
use berth_integration::Samples;

use crate::bench::{Bench, times};
use crate::clients::{define, delete, spawn};
use crate::lists::{one, page, read};
use crate::world::World;

const NODES: [usize; 3] = [20, 200, 1_000];
const RESOURCES: [usize; 3] = [1_000, 10_000, 100_000];
/// Changes that are measured at each point.
const CHANGES: usize = 200;
/// Small reads.
const SMALL: usize = 1_000;
/// Whole lists.
const LISTS: usize = 5;

/// Measures every point.
pub fn measure(bench: &mut Bench) -> Result<()> {
    for nodes in NODES {
        let nodes = bench.count(nodes);
        bench.tell(&format!("curves: {nodes} simulated nodes"));
        let mut world = World::new(nodes.max(3))?;
        for resources in RESOURCES {
            let resources = bench.count(resources);
            world.fill(bench, resources)?;
            point(bench, &world, nodes, resources)?;
        }
    }
    Ok(())
}

fn point(bench: &mut Bench, world: &World, nodes: usize, resources: usize) -> Result<()> {
    let rest = world.rest();
    let changes = bench.count(CHANGES);
    let small = bench.count(SMALL);
    // What a fill leaves behind (reports under way, checkpoints of the database) does not belong to a request.
    world.wait_in_sync()?;
    let made = times(changes, |at| define(&rest, &format!("c_{resources}_{at}")))?;
    bench.point("create", nodes, resources, &made)?;
    let spawned = times(changes, |at| spawn(&rest, &format!("s_{resources}_{at}")))?;
    bench.point("spawn", nodes, resources, &spawned)?;
    for at in 0..changes {
        delete(&rest, &format!("c_{resources}_{at}"))?;
        delete(&rest, &format!("s_{resources}_{at}"))?;
    }
    bench.point("list", nodes, resources, &read(&rest, "/v1/view/resources", LISTS)?)?;
    bench.point("metrics", nodes, resources, &read(&rest, "/metrics", LISTS)?)?;
    // After the whole list, so that texts are rendered: of a small cluster they would be after the first few pages, of a large one never.
    bench.point("one", nodes, resources, &times(small, |at| one(&rest, at, world.definitions))?)?;
    bench.point("page", nodes, resources, &times(small, |at| page(&rest, at, world.resources()))?)?;
    bench.point("memory", nodes, resources, &Samples::from(world.rss_mib()?))
}
