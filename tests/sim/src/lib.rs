//! A simulated world around the real daemons.
//!
//! Controllers and satellites run as they do in their processes: writer, sessions, jobs, plans, reconciliation, providers. What is
//! around them is simulated and lies, fails and dies as a seed decides: clock, network, disks, machines, processes. Time is virtual, so
//! that minutes pass in milliseconds; everything runs on one thread, so that a seed decides all of it.
//!
//! Checkers look at everything that happens ([`check`]); that each of them bites is shown by worlds that lie ([`lie`]).
//! A failing seed is run again, with its whole story, by `cargo xtask sim --seed N --trace`.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod check;
pub mod clients;
pub mod director;
pub mod disk;
mod drbd;
pub mod lie;
pub mod machine;
pub mod network;
pub mod run;
pub mod stage;
pub mod world;

pub use lie::Lie;
pub use run::{Options, Outcome, run};
pub use world::{Law, Violation};
