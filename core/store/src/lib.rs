//! Where the cluster's state is kept: documents keyed by (kind, key), one serial number, one writer.
//!
//! This room may touch the database and nothing else.
//! It reads no clock (times are arguments) and knows no object of the cluster: a body is JSON text whose meaning belongs to the caller.
//!
//! - [`Store`] is the contract. A change of cluster state is one [`Transaction`]: compare-and-set on (epoch, serial), all or nothing, on disk before it is acknowledged.
//! - [`SqliteStore`] keeps everything in one file, `berth.db`, in the data folder.
//! - [`MemoryStore`] keeps nothing, and has faults that a test can switch on.
//! - [`tools`] is what `berth db` runs.
//!
//! Every implementation passes the same suite of tests (`testkit`).
#![forbid(unsafe_code)]

mod bundle;
mod error;
mod export;
mod memory;
mod repair;
mod sqlite;
mod store;
#[cfg(test)]
mod testkit;
pub mod tools;
mod types;

pub use bundle::{BUNDLE_FORMAT, BUNDLE_VERSION, Bundle, BundleEntry, BundleRecord, BundleWrite};
pub use error::{Cause, StoreError};
pub use export::Export;
pub use memory::{CommitFault, MemoryStore};
pub use sqlite::{DATABASE_FILE, LOCK_FILE, SCHEMA_VERSION, SqliteStore};
pub use store::{Pending, Store};
pub use types::{
    Cluster, Entry, Loaded, LogEntry, LogFilter, MAX_BYTES, MAX_NAME_BYTES, MAX_WRITES, NO_DECISION, Past, Quarantined, Record,
    Transaction, Write,
};
