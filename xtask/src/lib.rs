//! The build's own verbs, behind `cargo xtask`.
//!
//! This room may start cargo, Debian's package tools and Git; it decides nothing about storage.
//! It depends on almost nothing, so that the first call in a fresh clone starts within seconds.

pub mod claims;
pub mod dist;
pub mod packages;
pub mod providers;
pub mod tidy;
pub mod verbs;

use std::path::PathBuf;

/// The root of the clone, as an absolute path.
#[must_use]
pub fn root() -> PathBuf {
    // What cargo says now: two clones may share a target folder, and cargo takes the program of one for that of the other.
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().unwrap_or(&own).to_path_buf()
}
