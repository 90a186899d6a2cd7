//! What the author of a provider writes against.
//!
//! A *provider* makes volumes in a storage pool. It implements [`Provider`] and reaches the machine only through the
//! [`Machine`] that each call hands to it; a call is bound to the one pool that [`Machine::pool`] names.
//! The crate touches nothing: no files, processes, network or clock, and no provider may either.
//!
//! Two doors lead to the machine, and the host decides for each provider which of them are open ([`Manifest`], [`grant()`]):
//! - [`Machine::run`]: one command, as words, never a shell line. The general door: LVM and ZFS need nothing else.
//! - [`Machine::files`]: requests on files in the pool's own folder, which the host performs by system calls. Such a request
//!   names a single path component, so nothing outside of the folder can be reached, and it costs microseconds where
//!   a command costs milliseconds: that is why it exists beside the first door.
//!
//! The same source becomes two things, by [`export_provider!`] and the target that it is built for:
//! - a WebAssembly component (`--target wasm32-wasip2`), which the host runs in a sandbox: it can do what it was granted, and nothing else;
//! - a dynamic library for the host's own machine, which is trusted like the host.
//!
//! A *plugin* ([`plugin::Plugin`], [`export_plugin!`]) serves a platform's protocol instead, e.g. Docker's, with the host's [`storage::Storage`];
//! it is a dynamic library, trusted like the host, and may touch what it needs.
//!
//! This contract is version 0: it may still change; names arrive complete (with the suffix of a layer, if there is one).

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

// The guest's side of the edge is generated code; that of dynamic libraries is made by macros.
#[cfg(not(target_family = "wasm"))]
pub mod abi;
mod fault;
mod grant;
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, missing_docs, clippy::disallowed_methods, clippy::disallowed_types)]
#[doc(hidden)]
pub mod guest;
mod machine;
mod manifest;
mod mark;
pub mod memory;
mod name;
mod pattern;
#[cfg(not(target_family = "wasm"))]
pub mod plugin;
mod provider;
#[cfg(not(target_family = "wasm"))]
pub mod storage;
mod wit;

pub use fault::{Fault, FaultKind};
pub use grant::{Grants, Operator, grant};
pub use machine::{Device, FileError, FileSeen, Files, Fill, Kib, Machine, Output, Over, Pool, Space};
pub use manifest::{BadManifest, Limits, Manifest, Property, Rule};
pub use mark::{BadMark, Mark, MarkKind};
pub use name::{BackingName, BadBackingName};
pub use pattern::{BadPattern, Pattern, Scope};
pub use provider::{Data, Filled, Found, Known, Marked, New, PoolAbilities, Provider, Stream};
pub use uuid;

/// Version of the contract of this crate: `wit/provider/provider.wit`, and the dynamic library's root module.
pub const CONTRACT: &str = "0.1";

/// How the line of the log begins by which a component says that it panicked, before it traps.
pub const PANICKED: &str = "panicked: ";

/// Text of the WIT package of [`CONTRACT`], for authors in other languages.
pub const WIT: &str = include_str!("../wit/provider/provider.wit");

/// Makes a crate a provider: the last line of its `lib.rs`, with the type that implements [`Provider`] and `Default`.
///
/// The crate is a `cdylib`; built for `wasm32-wasip2` it is a component, built for the machine a dynamic library.
///
/// ```ignore
/// berth_plugin_sdk::export_provider!(MyProvider);
/// ```
#[cfg(target_family = "wasm")]
#[macro_export]
macro_rules! export_provider {
    ($provider:ty) => {
        const _: () = {
            type Provided = $crate::guest::Exported<$provider>;
    $crate::guest::export_component!(Provided with_types_in $crate::guest);
        };
    };
}
