//! What the author of a provider writes against.
//!
//! A *provider* makes volumes in a storage pool. It implements [`Provider`] and reaches the machine only through the
//! [`Machine`] that each call hands to it; a call is bound to the one pool that [`Machine::pool`] names.
//! The crate touches nothing: no files, processes, network or clock, and no provider may either.
//!
//! Two doors lead to the machine, and the host decides for each provider which of them are open ([`Manifest`]):
//! - [`Machine::run`]: one command, as words, never a shell line. The general door: LVM and ZFS need nothing else.
//! - [`Machine::files`]: requests on files in the pool's own folder, which the host performs by system calls. Such a request
//!   names a single path component, so nothing outside of the folder can be reached, and it costs microseconds where
//!   a command costs milliseconds: that is why it exists beside the first door.
//!
//! This contract is version 0: it may still change; names arrive complete (with the suffix of a layer, if there is one).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod fault;
mod machine;
mod mark;
pub mod memory;
mod name;
mod provider;

pub use fault::{Fault, FaultKind};
pub use machine::{Device, FileError, FileSeen, Files, Fill, Kib, Machine, Output, Over, Pool, Space};
pub use mark::{BadMark, Mark, MarkKind};
pub use name::{BackingName, BadBackingName};
pub use provider::{Filled, Found, Known, Manifest, Marked, New, PoolAbilities, Provider};

/// Version of the contract of this crate.
pub const CONTRACT: &str = "0.1";
