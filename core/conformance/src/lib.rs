//! The conformance kit: drives any [`Provider`] through what the contract promises and tells what does not hold.
//!
//! It knows nothing of files, logical volumes or datasets. What only the machine can tell (what lies in the pool, what is written on a
//! device, how data is copied) it asks of a [`Bench`], which the caller gives: [`MemoryBench`] for providers that make requests on files,
//! a bench on a real machine for `berth plugin check`, a bench of their own for authors whose tools need a fake.
//!
//! Each operation is done, repeated, and cut short before each of its requests in turn, as a killed process does it; after each check
//! everything is deleted through the provider, and the pool must be as it was. Objects that are not the kit's own are never touched.
//!
//! ```
//! use berth_conformance::{MemoryBench, Settings, check};
//! use berth_provider_file::FileProvider;
//!
//! let bench = MemoryBench::new("FILE_THIN");
//! let report = check(&FileProvider, &bench, &Settings { volumes: 20, ..Settings::default() }, &mut |_| {});
//! assert!(report.passed(), "{report}");
//! assert!(report.badge().starts_with("berth-conformance 0.1 file "));
//! ```

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod bench;
mod checks;
mod memory;
mod report;
mod trial;
mod watch;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{Kib, Operator, Provider, grant};

pub use bench::{Bench, Inventory};
pub use memory::MemoryBench;
pub use report::{Check, Finding, Outcome, Report};

use crate::checks::{Item, Need};
use crate::trial::{Stop, Trial};
use crate::watch::Watch;

/// Version of the kit: of the list of checks, and of what they ask.
pub const KIT: &str = "0.1";

/// What a caller decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Id of the cluster whose objects the kit makes: one that no volume of the pool carries. On a pool that others use: a random one.
    pub cluster: Uuid,
    /// Begin of the names of what the kit makes; a letter, then letters and digits, at most 16.
    pub prefix: String,
    /// How many volumes the check `many` makes.
    pub volumes: u32,
    /// Size of the usual volume; rounded up to the pool's extent.
    pub size: Kib,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cluster: Uuid::from_u128(0xbe47_c0f0_0000_4000_8000_0000_0000_0000), prefix: "conf".into(), volumes: 1000, size: Kib(1024) }
    }
}

/// Runs every check; `progress` is told each one before it begins.
///
/// A pool whose manifest or probe fails gets no further check: they are skipped, and the report has not passed.
pub fn check(provider: &dyn Provider, bench: &dyn Bench, settings: &Settings, progress: &mut dyn FnMut(&str)) -> Report {
    let manifest = provider.manifest();
    let watch = Watch::new(bench.machine(), grant(&manifest, &Operator::default()));
    let mut trial = Trial::new(provider, bench, &watch, settings, manifest.clone());
    let mut report = Report::new(&manifest, &bench.machine().pool().kind);
    let mut usable = true;
    for item in checks::all() {
        progress(item.title);
        let outcome =
            if usable || item.need == Need::Always { one(&mut trial, &item) } else { Outcome::Skipped("the pool cannot be used".into()) };
        usable &= !(item.need == Need::First && matches!(outcome, Outcome::Failed(_)));
        report.checks.push(Check { id: item.id.into(), title: item.title.into(), outcome });
    }
    report
}

/// One check, and the pool as it was.
fn one(trial: &mut Trial<'_>, item: &Item) -> Outcome {
    let why_not = match item.need {
        Need::First | Need::Nothing | Need::Always => None,
        Need::Snapshots => trial.abilities.no_snapshots.as_ref().map(|fault| format!("the pool cannot: {} {}", fault.message, fault.cause)),
    };
    if let Some(why_not) = why_not {
        return Outcome::Skipped(why_not);
    }
    let before = match trial.inventory() {
        Ok(before) => before,
        Err(stop) => return outcome(Err(stop)),
    };
    let verdict = (item.run)(trial);
    trial.watch.mend();
    if item.need == Need::Always {
        return outcome(verdict);
    }
    let tidied = trial.tidy(&before);
    outcome(match (verdict, tidied) {
        (Err(Stop::Failed(finding)), _) => Err(Stop::Failed(finding)),
        (Ok(()) | Err(Stop::Skipped(_)), Err(stop)) => Err(stop),
        (verdict, Ok(())) => verdict,
    })
}

fn outcome(verdict: Result<(), Stop>) -> Outcome {
    match verdict {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(finding)) => Outcome::Failed(finding),
        Err(Stop::Skipped(why)) => Outcome::Skipped(why),
    }
}

#[cfg(test)]
mod tests;
