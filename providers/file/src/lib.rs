//! The provider of `FILE` and `FILE_THIN`: each volume is a file `<name>.img` in the pool's folder, behind a loop device.
//!
//! It touches nothing itself; every request goes to the [`Machine`](berth_plugin_sdk::Machine). A new file is made under a temporary name
//! (`<name>.img.berth-new`), marked before it has any length, and only then renamed: what has a final name is complete and marked, and
//! what was cut short is known by its suffix and its mark, or is empty. A rollback replaces the volume's file in one rename, so any snapshot can be rolled back to
//! and all of them stay.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod provider;

pub use provider::FileProvider;

berth_plugin_sdk::export_provider!(FileProvider);
