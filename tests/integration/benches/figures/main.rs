//! `cargo xtask bench`: measures the `berth` program as a user would meet it: whole processes, the wire, real loop devices.
//!
//! Satellites of large clusters are simulated: the real session, plans and decisions, machines in memory, [`world::LATENCY_MS`] each step.
//! Nothing is asserted: a slow machine is not a defect. What is measured, and what it must reach, stands in `berth_integration::FIGURES`.

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
mod publish;
mod scale;
mod volumes;
mod world;

use anyhow::Result;
use berth_integration::{CURVES, FIGURES, Report, against, curves_table, is_root, note, table};

use bench::Bench;
use options::{Asked, Options};

fn main() -> Result<()> {
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
    run(&mut bench, &options)?;
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
    Ok(())
}

fn run(bench: &mut Bench, options: &Options) -> Result<()> {
    empty::measure(bench)?;
    limits::measure(bench)?;
    place::measure(bench)?;
    if is_root() {
        volumes::measure(bench)?;
        volumes::restart(bench)?;
    } else {
        note("without root there are no loop devices; their figures are left out");
    }
    lists::measure(bench)?;
    memory::measure(bench)?;
    if let Some(minutes) = options.load_minutes {
        load::measure(bench, minutes)?;
    }
    if options.scale {
        scale::measure(bench)?;
    }
    if options.curves {
        curves::measure(bench)?;
    }
    Ok(())
}

fn list() {
    for figure in FIGURES {
        println!("{:<22} {}", figure.id, figure.what);
    }
    for curve in CURVES {
        println!("{:<22} {} (a curve, with --curves)", curve.id, curve.what);
    }
}
