//! The messages between controller and satellite, generated from `proto/satellite.proto`.
//!
//! Touches nothing but memory. Versions N-2..N understand each other: fields are only ever added.

#![forbid(unsafe_code)]
#![allow(missing_docs)]

pub mod trace;

tonic::include_proto!("berth.satellite.v1");

/// Feature of a satellite that answers questions (`Ask`).
pub const ASK: &str = "ask";
/// Oldest protocol that this build still speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Newest protocol that this build speaks.
pub const PROTOCOL_MAX: u32 = 1;
