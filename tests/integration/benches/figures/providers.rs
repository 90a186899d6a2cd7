//! One call of a provider by each way that it can be reached, and what loaded components cost.
//!
//! The call is `look` at a volume on a machine in memory: the provider's own work and the machine's are in each, so that what a component
//! adds is the difference to the linked provider.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use berth_integration::Samples;
use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, Fault, Kib, Mark, MarkKind, New, Pool, Provider};
use berth_provider_file::FileProvider;
use berth_sandbox::{Component, Sandbox};

use crate::bench::{Bench, ms, times};
use crate::machine::rss_mib;

/// The component that the satellite has inside.
const FILE: &[u8] = include_bytes!("../../../../core/satellite/providers/file.wasm");
/// Samples of a kind of call.
const SAMPLES: usize = 200;
/// Calls of a sample.
const CALLS: u32 = 200;
/// Components that are loaded at once.
const LOADED: usize = 20;
/// Names the cache to a child of ours, which loads them and tells its memory.
pub const CHILD: &str = "BERTH_BENCH_LOADED";

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<()> {
    let ids = [
        "provider_linked",
        "provider_reused",
        "provider_fresh",
        "provider_library",
        "provider_cached",
        "provider_compiled",
        "provider_rss",
    ];
    if !bench.wants(&ids) {
        return Ok(());
    }
    bench.tell("a provider as component");
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let compiling = bench.count(5);
    bench.add("provider_compiled", times(compiling, |_| load(&Sandbox::new(None)?).map(drop))?)?;
    let sandbox = Sandbox::new(Some(cache.clone()))?;
    let component = load(&sandbox)?;
    let loads = bench.count(100);
    bench.add("provider_cached", times(loads, |_| load(&sandbox).map(drop))?)?;
    calls(bench, &component)?;
    let out = Command::new(std::env::current_exe()?).env(CHILD, &cache).output().context("cannot start a child")?;
    ensure!(out.status.success(), "the child failed: {}", String::from_utf8_lossy(&out.stderr).trim());
    let rss: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().context("the child's answer")?;
    bench.add("provider_rss", Samples::new(vec![rss]))?;
    Ok(())
}

/// The same provider as a dynamic library, which cargo puts beside this program as it builds it.
fn library() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join("libberth_provider_file.so"));
    places.find(|file| file.is_file()).context("libberth_provider_file.so is not beside the program")
}

/// The child: loads all of them, calls each once, and prints its own memory in MiB.
pub fn child(cache: &Path) -> Result<()> {
    let sandbox = Sandbox::new(Some(cache.into()))?;
    let (on, web) = machine()?;
    let mut loaded = Vec::new();
    for _ in 0..LOADED {
        let component = load(&sandbox)?;
        fault(component.look(&on, &web, None))?;
        loaded.push(component);
    }
    println!("{}", rss_mib(std::process::id())?);
    drop(loaded);
    Ok(())
}

fn load(sandbox: &Sandbox) -> Result<Component> {
    Ok(sandbox.load(FILE)?)
}

fn fault<T>(answer: Result<T, Fault>) -> Result<T> {
    answer.map_err(|fault| anyhow!("{}: {}", fault.message, fault.cause))
}

/// A pool with one volume in it.
fn machine() -> Result<(MemoryMachine, BackingName)> {
    let pool = Pool { name: "p".into(), kind: "FILE_THIN".into(), place: "/pool".into(), props: Default::default() };
    let on = MemoryMachine::new(pool, Memory::new(Kib(1 << 30)));
    let name = BackingName::parse("web_00000")?;
    let id = Uuid::from_u128(7);
    let mark = Mark { kind: MarkKind::Volume, cluster: id, generation: id, content: id, name: "web/0".into() };
    fault(FileProvider.create(&on, &New { name: name.clone(), suffix: String::new(), of: None, mark }, Kib(1 << 20)))?;
    Ok((on, name))
}

/// What one call takes, in microseconds; `before` is not counted.
fn call(provider: &dyn Provider, samples: usize, calls: u32, before: impl Fn()) -> Result<Samples> {
    let (on, web) = machine()?;
    let mut all = Vec::new();
    for _ in 0..samples {
        before();
        let begin = Instant::now();
        for _ in 0..calls {
            black_box(fault(provider.look(&on, black_box(&web), None))?).context("the volume is missing")?;
        }
        all.push(ms(begin.elapsed()) * 1000.0 / f64::from(calls));
    }
    Ok(Samples::new(all))
}

fn calls(bench: &mut Bench, component: &Component) -> Result<()> {
    let samples = bench.count(SAMPLES);
    let linked = call(&FileProvider, samples, CALLS, || ())?;
    let reused = call(component, samples, CALLS, || ())?;
    let fresh = call(component, samples.saturating_mul(5), 1, || component.forget())?;
    let (library, _) = berth_loader::open_provider(&library()?)?;
    let library = call(&library, samples, CALLS, || ())?;
    let direct = linked.median();
    let over = |of: &Samples| (of.median() - direct).max(0.0);
    let (reused, fresh, library) = (over(&reused), over(&fresh), over(&library));
    bench.add("provider_linked", linked)?;
    bench.add("provider_reused", Samples::new(vec![reused]))?;
    bench.add("provider_fresh", Samples::new(vec![fresh]))?;
    bench.add("provider_library", Samples::new(vec![library]))
}
