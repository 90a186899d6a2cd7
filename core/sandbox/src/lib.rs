//! Runs providers that are WebAssembly components. The only room that knows the engine.
//!
//! A component can compute, and it can ask the [`Machine`](berth_plugin_sdk::Machine) of its call; nothing else. What the standard library
//! of its language asks of WASI is refused by name (`wasi.rs`). Memory, time and what crosses the edge are bounded, and whatever it does,
//! a trap, a hang, an endless loop, a huge allocation, a panic, deep recursion or an answer against the contract, is one
//! [`Fault`](berth_plugin_sdk::Fault) of one call: the instance is thrown away, and the next call has a fresh one.
//!
//! An instance is used again for calls on the same pool only, so that nothing of one pool can be remembered in a call on another.

#![deny(unsafe_code)]

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod bindings;
mod cache;
mod component;
mod engine;
mod host;
mod judge;
mod lent;
mod load;
mod state;
mod wasi;

pub use component::Component;
pub use engine::{Sandbox, SandboxError};
pub use load::LoadError;

mod convert {
    berth_plugin_sdk::wit_conversions!(
        types = crate::bindings::berth::provider::types,
        files = crate::bindings::berth::provider::files,
        sdk = berth_plugin_sdk
    );
}
