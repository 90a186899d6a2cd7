//! The controller's memory: 10,000 and 100,000 resources on 50 simulated nodes, after lists.

use anyhow::Result;

use crate::bench::Bench;
use crate::lists::{page, read};
use crate::world::World;

const NODES: usize = 50;
const LISTS: usize = 5;

/// Measures both.
pub fn measure(bench: &mut Bench) -> Result<()> {
    let steps = [("rss_10000", 10_000), ("rss_100000", 100_000)];
    if !bench.wants(&steps.map(|(id, _)| id)) {
        return Ok(());
    }
    bench.tell("50 simulated nodes");
    let mut world = World::new(NODES)?;
    for (id, resources) in steps {
        if id == "rss_100000" && !bench.wants(&[id]) {
            continue;
        }
        let resources = bench.count(resources);
        world.fill(bench, resources)?;
        let rest = world.rest();
        for path in ["/v1/view/resources", "/v1/resource-definitions?with_volume_definitions=true", "/v1/nodes", "/metrics"] {
            read(&rest, path, LISTS)?;
        }
        page(&rest, 1, resources)?;
        let rss = world.rss_mib()?;
        bench.add(id, rss)?;
    }
    Ok(())
}
