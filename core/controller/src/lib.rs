//! The controller: the dull shell around the engine. It may touch listening sockets, the clock, entropy and the store.
//!
//! - [`Controller`] is what request handlers hold: [`Controller::view`] to read, [`Controller::submit`] to change.
//! - One task owns the cluster (`writer`): commands in, one transaction out, then everybody is told.
//! - One task for each satellite (`session`): plans down, observations up.
//! - [`serve()`] runs all of it until it is told to stop.
//!
//! It decides nothing: what a command means, what a node shall hold and what a job does next is the engine's.

#![forbid(unsafe_code)]

mod config;
mod copies;
mod gate;
mod happenings;
pub mod http;
mod inside;
mod load;
pub mod outside;
mod panics;
mod reports;
mod serve;
mod session;
mod state;
mod story;
#[cfg(test)]
mod testkit;
mod vault;
mod writer;

pub use config::{Config, HTTPS_PORT, Ldap, Limits, SignIn};
#[doc(hidden)]
pub use gate::read_authorization;
pub use happenings::{Counters, Sample, SampleKind};
pub use inside::storage;
pub use reports::{ErrorReport, NewReport, Reports};
pub use serve::{BadCertificate, ControllerError, Running, serve, start};
pub use session::Silent;
pub use vault::Passphrase;

pub use state::{Answer, Controller, Health, View};
