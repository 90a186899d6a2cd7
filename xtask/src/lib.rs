//! The build's own verbs, behind `cargo xtask`.
//!
//! This room may start cargo, Debian's package tools and Git; it decides nothing about storage.
//! It depends on almost nothing, so that the first call in a fresh clone starts within seconds.

pub mod claims;
pub mod dist;
pub mod packages;
pub mod tidy;
pub mod verbs;

use std::path::{Path, PathBuf};

/// The root of the clone, as an absolute path.
#[must_use]
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
