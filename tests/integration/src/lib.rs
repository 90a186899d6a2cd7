//! Real programs on loopback, for tests: what starts them, talks to them, waits for them and clears up behind them.
//!
//! This room may start processes, mount file systems and make loop devices, all of them below a folder of its own,
//! and it ends only what it started. It knows nothing of the rooms under test: it sees the command line and the wire.
//!
//! Order: [`Scratch`] first, then [`Daemon`]s in it, or a [`Cluster`], which is both.

#![forbid(unsafe_code)]

mod cases;
mod cluster;
mod command;
mod daemon;
mod database;
mod device;
mod dice;
mod dockerd;
mod figures;
mod load;
mod network;
mod python;
mod rest;
mod scratch;
mod skeleton;
mod streams;
mod wait;

pub use cases::{Case, Line, entries_in_form, play, read_cases, told};
pub use cluster::{Cluster, POOL, SIMULATED_POOL};
pub use command::{Finished, berth, linstor, run, run_within, tool};
pub use daemon::{Daemon, own_address};
pub use database::Database;
pub use device::{mark, marked, size_bytes};
pub use dice::Dice;
pub use dockerd::{Dockerd, IMAGE};
pub use figures::{
    Better, CURVES, Chapter, Curve, FIGURES, FLAT_TIMES, Figure, Machine, Measured, Point, README_BEGIN, README_END, Report, Samples, Told,
    against, curves_table, into_readme, missed, table,
};
pub use load::{Group, Load};
pub use network::{Cut, Network};
pub use python::{python_with_client, python_with_fuzzer};
pub use rest::{Entry, Reply, Rest, Severity};
pub use scratch::Scratch;
pub use skeleton::{Member, Operation, Param, Place, Shape, Skeleton, differences};
pub use streams::{Pace, Streams};
pub use wait::{lasts, until, within};

/// Whether we are root: only then are there loop devices and mounts.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says why a test, or a part of it, is left out.
pub fn note(text: &str) {
    eprintln!("note: {text}");
}

/// A count: the small one, or the large one of `cargo xtask test --long`.
#[must_use]
pub fn count(usual: u32, long: u32) -> u32 {
    if std::env::var_os("BERTH_LONG").is_some() { long } else { usual }
}
