//! The long load: 100 clients, each reading the whole list every 5 s, while 100 writes/s run beside 10,000 resources.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use berth_integration::{Rest, Samples, lasts};

use crate::bench::{Bench, ms, per_second};
use crate::clients::Writers;
use crate::world::World;

const NODES: usize = 50;
const RESOURCES: usize = 10_000;
const READERS: u32 = 100;
const EVERY: Duration = Duration::from_secs(5);
const WRITES_PER_SECOND: u32 = 100;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(1);

/// Measures it for so many minutes.
pub fn measure(bench: &mut Bench, minutes: f64) -> Result<()> {
    bench.tell(&format!("load for {minutes} minutes"));
    let mut world = World::new(NODES)?;
    world.fill(bench, bench.count(RESOURCES))?;
    let rest = world.rest();
    rest.length("/v1/view/resources")?;
    let span = Duration::from_secs_f64(minutes * 60.0);
    let writers = Writers { per_second: WRITES_PER_SECOND, threads: 16, definitions: world.definitions };
    let ((lists, memory), written) = writers.during(&rest, "load", || readers(&rest, &world, span))?;
    let note = format!("{} lists, p50 {:.0} ms, {minutes} minutes", lists.count(), lists.median());
    bench.add_with("load_list", lists, &note)?;
    let rate = per_second(written.count, written.time);
    bench.add_with(
        "load_writes",
        rate,
        &format!("each p50 {:.1} ms, p99 {:.1} ms", written.times.median(), written.times.percentile(99)),
    )?;
    // The first fifth: pools of memory and threads come to their size.
    let window = (memory.len() / 10).max(1);
    let part = |from: usize| Samples::new(memory.iter().skip(from).take(window).copied()).median();
    let (early, late) = (part(window), part(memory.len().saturating_sub(window)));
    let note = format!("{early:.0} MiB, then {late:.0} MiB, {:.2} MiB a minute", slope(&memory) * 60.0 / LOOK.as_secs_f64());
    bench.add_with("load_memory", if early > 0.0 { late / early } else { 0.0 }, &note)
}

/// Lists in milliseconds, and the controller's memory in MiB, a look each second.
fn readers(rest: &Rest, world: &World, span: Duration) -> Result<(Samples, Vec<f64>)> {
    let end = Instant::now() + span;
    let times = Mutex::new(Vec::new());
    let mut memory = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..READERS)
            .map(|reader| {
                let times = &times;
                scope.spawn(move || {
                    // Spread over the five seconds: nobody starts a hundred programs in the same moment.
                    let mut due = Instant::now() + EVERY * reader / READERS;
                    while due < end {
                        lasts(due.saturating_duration_since(Instant::now()));
                        // From when it was due: a late start is a wait, too.
                        rest.length("/v1/view/resources")?;
                        let took = ms(due.elapsed());
                        times.lock().map_err(|_| anyhow!("a reader panicked"))?.push(took);
                        due = (due + EVERY).max(Instant::now());
                    }
                    Ok::<_, anyhow::Error>(())
                })
            })
            .collect();
        while Instant::now() < end {
            memory.push(world.rss_mib()?);
            lasts(LOOK);
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a reader panicked"))?)
    })?;
    let times = times.into_inner().map_err(|_| anyhow!("a reader panicked"))?;
    Ok((Samples::new(times), memory))
}

/// Least squares over the looks after the first fifth: MiB for each look.
#[allow(clippy::cast_precision_loss)] // Some hundreds of looks.
fn slope(memory: &[f64]) -> f64 {
    let settled = memory.get(memory.len() / 5..).unwrap_or_default();
    let count = settled.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = settled.iter().sum::<f64>() / count.max(1.0);
    let (mut up, mut down) = (0.0, 0.0);
    for (at, value) in settled.iter().enumerate() {
        let x = at as f64 - middle;
        up += x * (value - mean);
        down += x * x;
    }
    if down > 0.0 { up / down } else { 0.0 }
}
