//! Clients: many at once, writers at a steady pace, and what they ask for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use berth_integration::{Rest, Samples, lasts};
use serde_json::json;

use crate::bench::ms;

/// Clients that ask at once.
pub const CLIENTS: usize = 16;

/// Hands `0..count` to so many threads, each the next number; answers the whole time and each one's, in milliseconds.
///
/// # Errors
/// The first of a thread.
pub fn together(clients: usize, count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<(Duration, Samples)> {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= count {
                            return Ok::<_, anyhow::Error>(times);
                        }
                        let from = Instant::now();
                        if let Err(error) = work(at) {
                            // The others need not go on.
                            next.store(count, Ordering::Relaxed);
                            return Err(error);
                        }
                        times.push(ms(from.elapsed()));
                    }
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    Ok((start.elapsed(), Samples::new(times)))
}

/// A definition with one volume definition of 64 MiB: two requests, two commits.
///
/// # Errors
/// If it is refused.
pub fn define(rest: &Rest, name: &str) -> Result<()> {
    let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    let volume = json!({"volume_definition": {"size_kib": 65536}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok()?;
    Ok(())
}

/// Spawns a definition with one volume of 64 MiB from the group `bench`; the answer comes when every replica is ready.
///
/// # Errors
/// If it is refused, or not ready in time.
pub fn spawn(rest: &Rest, name: &str) -> Result<()> {
    let body = json!({"resource_definition_name": name, "volume_sizes": [65536]});
    let reply = rest.post("/v1/resource-groups/bench/spawn", &body)?.ok()?;
    let late = reply.entries().into_iter().find(|entry| entry.number == 1002);
    late.map_or(Ok(()), |late| Err(anyhow!("{name} is not ready in time: {}", late.message)))
}

/// Deletes a definition with its replicas.
///
/// # Errors
/// If it is refused.
pub fn delete(rest: &Rest, name: &str) -> Result<()> {
    rest.delete(&format!("/v1/resource-definitions/{name}"))?.ok().map(drop)
}

/// Makes the group `bench`.
///
/// # Errors
/// If it is refused.
pub fn make_group(rest: &Rest, pool: &str, count: usize, layers: &[&str]) -> Result<()> {
    let filter = json!({"place_count": count, "storage_pool_list": [pool], "layer_stack": layers});
    rest.post("/v1/resource-groups", &json!({"name": "bench", "select_filter": filter}))?.ok()?;
    rest.post("/v1/resource-groups/bench/volume-groups", &json!({}))?.ok()?;
    Ok(())
}

/// Writers at a steady pace, while something else is measured.
///
/// A third of the writes sets a property of a definition that is there, a third spawns a definition on three satellites, a third deletes
/// such a one: the count of resources stays as it is, and what is listed changes all the time.
pub struct Writers {
    /// Writes a second, of all together.
    pub per_second: u32,
    /// How many threads.
    pub threads: u32,
    /// How many definitions there are: `r_0` and so on.
    pub definitions: usize,
}

/// What the writers did.
pub struct Written {
    /// Writes that were acknowledged.
    pub count: usize,
    /// In how much time.
    pub time: Duration,
    /// How long each took, in milliseconds.
    pub times: Samples,
}

impl Writers {
    /// Writes while `work` runs on this thread.
    ///
    /// # Errors
    /// Those of `work`, or of a write.
    pub fn during<T>(&self, rest: &Rest, prefix: &str, work: impl FnOnce() -> Result<T>) -> Result<(T, Written)> {
        let stop = AtomicBool::new(false);
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    let stop = &stop;
                    let prefix = format!("{prefix}_{thread}");
                    scope.spawn(move || self.write(rest, &prefix, thread, stop))
                })
                .collect();
            let worked = work();
            let time = start.elapsed();
            stop.store(true, Ordering::Relaxed);
            let mut times = Vec::new();
            for thread in threads {
                times.extend(thread.join().map_err(|_| anyhow!("a writer panicked"))?.context("a write failed")?);
            }
            Ok((worked?, Written { count: times.len(), time, times: Samples::new(times) }))
        })
    }

    fn write(&self, rest: &Rest, prefix: &str, thread: u32, stop: &AtomicBool) -> Result<Vec<f64>> {
        let pace = Duration::from_secs(1) * self.threads / self.per_second;
        let mut due = Instant::now() + Duration::from_secs(1) * thread / self.per_second;
        let mut times = Vec::new();
        // Every further one a few hundred definitions away, so that no part of a list stays as it is.
        let mut definition = 997 * usize::try_from(thread)?;
        let mut turn = 0_usize;
        while !stop.load(Ordering::Relaxed) {
            lasts(due.saturating_duration_since(Instant::now()));
            let from = Instant::now();
            match turn % 3 {
                0 => {
                    definition = (definition + 331) % self.definitions.max(1);
                    let props = json!({"override_props": {"Aux/turn": turn.to_string()}});
                    rest.put(&format!("/v1/resource-definitions/r_{definition}"), &props)?.ok()?;
                }
                1 => spawn(rest, &format!("{prefix}_{turn}"))?,
                _ => delete(rest, &format!("{prefix}_{}", turn - 1))?,
            }
            times.push(ms(from.elapsed()));
            turn += 1;
            // One that comes late is followed at once by the next, so that the pace is kept, unless it is seconds behind.
            due = (due + pace).max(Instant::now().checked_sub(Duration::from_secs(2)).unwrap_or(due));
        }
        Ok(times)
    }
}

/// A definition for replicas under DRBD, with one volume definition of 64 MiB.
///
/// # Errors
/// If it is refused.
pub fn define_drbd(rest: &Rest, name: &str) -> Result<()> {
    let body = json!({"resource_definition": {"name": name, "layer_data": [{"type": "DRBD"}, {"type": "STORAGE"}]}});
    rest.post("/v1/resource-definitions", &body)?.ok()?;
    let volume = json!({"volume_definition": {"size_kib": 65536}});
    rest.post(&format!("/v1/resource-definitions/{name}/volume-definitions"), &volume)?.ok().map(drop)
}
