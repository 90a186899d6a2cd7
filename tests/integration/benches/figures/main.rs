//! `cargo xtask bench`: measures the `berth` program as a user would meet it: whole processes, the wire, real loop devices.
//!
//! Satellites of large clusters are simulated: the real session, plans and decisions, machines in memory, [`world::LATENCY_MS`] each step.
//! Nothing is asserted without `--strict`: a slow machine is not a defect. What is measured, and what it must reach, stands in `berth_integration::FIGURES`.

#![forbid(unsafe_code)]

mod bench;
mod clients;
mod curves;
mod empty;
mod limits;
mod lists;
mod load;
mod machine;
mod memory;
mod options;
mod picture;
mod place;
mod providers;
mod publish;
mod scale;
mod streams;
mod volumes;
mod world;

use anyhow::{Result, ensure};
use berth_integration::{CURVES, FIGURES, Report, against, curves_table, is_root, missed, note, table};

use bench::Bench;
use options::{Asked, Options};

fn main() -> Result<()> {
    if let Some(cache) = std::env::var_os(providers::CHILD) {
        return providers::child(cache.as_ref());
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match options::parse(&words)? {
        Asked::Run(options) => *options,
        Asked::Help => {
            print!("{}", options::HELP);
            return Ok(());
        }
        Asked::List => {
            list();
            return Ok(());
        }
    };
    // Read before the long part: a wrong name is told at once.
    let before = options.against.as_deref().map(Report::read).transpose()?;
    if options.publish {
        publish::readable()?;
    }
    let mut bench = Bench::new(&options)?;
    let failed = run(&mut bench, &options);
    let report = bench.report;
    println!("\nMeasured on {} cores, {} GiB of memory.\n", report.machine.cores, report.machine.memory_gib);
    print!("{}", table(&report));
    print!("{}", curves_table(&report));
    if let Some(before) = before {
        println!("\n{}", against(&report, &before));
    }
    if let Some(path) = &options.save {
        let mut all = if path.exists() { Report::read(path)? } else { Report::default() };
        all.renew(&report);
        all.write(path)?;
        println!("saved in {}", path.display());
    }
    if options.publish {
        publish::publish(&report)?;
    }
    if options.strict {
        let missed = missed(&report);
        ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
    }
    ensure!(failed == 0, "{failed} parts failed, see above; their figures are missing");
    Ok(())
}

/// Measures every part; one that fails is told, and does not take the others along. Answers how many failed.
fn run(bench: &mut Bench, options: &Options) -> usize {
    let mut failed = 0;
    let mut part = |name: &str, measured: Result<()>| {
        if let Err(error) = measured {
            eprintln!("FAILED: {name}: {error:#}");
            failed += 1;
        }
    };
    part("empty", empty::measure(bench));
    part("limits", limits::measure(bench));
    part("place", place::measure(bench));
    part("providers", providers::measure(bench));
    if is_root() {
        part("volumes", volumes::measure(bench));
        part("restart", volumes::restart(bench));
    } else {
        note("without root there are no loop devices; their figures are left out");
    }
    part("streams", streams::measure(bench));
    part("lists", lists::measure(bench));
    part("memory", memory::measure(bench));
    if let Some(minutes) = options.load_minutes {
        part("load", load::measure(bench, minutes));
    }
    if options.scale {
        part("scale", scale::measure(bench));
    }
    if options.curves {
        part("curves", curves::measure(bench));
    }
    failed
}

fn list() {
    for figure in FIGURES {
        println!("{:<22} {}", figure.id, figure.what);
    }
    for curve in CURVES {
        println!("{:<22} {} (a curve, with --curves)", curve.id, curve.what);
    }
}
