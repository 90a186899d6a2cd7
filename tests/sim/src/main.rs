//! Runs seeds: `cargo xtask sim`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use berth_sim::{Options, Outcome, run};
use berth_store::Bundle;
use clap::Parser;

/// Runs simulated worlds around the real controller and satellites, one for each seed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", after_help = "Examples:\n  cargo xtask sim --seeds 10000\n  cargo xtask sim --seed 4711 --trace")]
struct Words {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value_t = 300)]
    seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// Run this one seed.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Begin with the cluster of this support bundle (`berth bundle`); its log is replayed step by step first.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn read(file: &Path) -> anyhow::Result<Bundle> {
    let shown = file.display();
    let opened = std::fs::File::open(file).with_context(|| format!("{shown} cannot be opened"))?;
    Bundle::parse(opened)
        .with_context(|| format!("{shown} is no bundle that this version reads; take one with 'berth bundle --output FILE'"))
}

/// The line that runs a seed again: from the same start.
fn again(seed: u64, bundle: Option<&Path>) -> String {
    let from = bundle.map(|file| format!(" --bundle '{}'", file.display())).unwrap_or_default();
    format!("cargo xtask sim --seed {seed}{from} --trace")
}

fn main() -> ExitCode {
    let words = Words::parse();
    let (from, count) = words.seed.map_or((words.from, words.seeds), |seed| (seed, 1));
    let bundle = match words.bundle.as_deref().map(read).transpose() {
        Ok(bundle) => bundle.map(Arc::new),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let options = Options { lie: None, trace: words.trace, bundle };
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let (commits, passed_s) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<Outcome>> = Mutex::default();
    let done = AtomicUsize::new(0);
    let end = from.saturating_add(count);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed, &options);
                    commits.fetch_add(outcome.serial, Ordering::Relaxed);
                    passed_s.fetch_add(outcome.passed.as_secs(), Ordering::Relaxed);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(500) {
                        eprintln!("{done} of {count} seeds, {:.0} s", begun.elapsed().as_secs_f64());
                    }
                    if let Some(violation) = &outcome.violation {
                        eprintln!("seed {seed}: {violation}\n  again: {}", again(seed, words.bundle.as_deref()));
                        if let Ok(mut failed) = failed.lock() {
                            failed.push(outcome);
                        }
                    }
                }
            });
        }
    });
    let (took, failed) = (begun.elapsed().as_secs_f64(), failed.lock().map_or(0, |failed| failed.len()));
    println!(
        "{count} seeds in {took:.1} s ({:.1} seeds/s): {failed} broke a law; {} commits, {:.0} h of simulated time",
        count as f64 / took.max(0.001),
        commits.load(Ordering::Relaxed),
        passed_s.load(Ordering::Relaxed) as f64 / 3600.0,
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_run_again_from_its_own_start() {
        for bundle in [None, Some(Path::new("/tmp/a bundle.json"))] {
            let line = again(7, bundle);
            let words = line.strip_prefix("cargo xtask ").unwrap().replace("'/tmp/a bundle.json'", "/tmp/a\u{a0}bundle.json");
            let words = Words::try_parse_from(words.split(' ').map(|word| word.replace('\u{a0}', " "))).unwrap();
            assert_eq!((words.seed, words.trace, words.bundle.as_deref()), (Some(7), true, bundle));
        }
    }
}
