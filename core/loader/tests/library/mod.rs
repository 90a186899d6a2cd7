//! Libraries of this workspace, as tests open them.

use std::path::{Path, PathBuf};

/// A library of this workspace, where `cargo build --workspace` puts it.
pub fn library(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().nth(2).unwrap();
    let file = profile.join(format!("lib{name}.so"));
    assert!(file.is_file(), "{} is missing; cargo xtask test builds it first, as does cargo build --workspace", file.display());
    file
}

/// A copy in a folder that only its owner may write, whatever cargo's is.
pub fn copied(name: &str, dir: &Path) -> PathBuf {
    let copy = dir.join(format!("{name}.so"));
    std::fs::copy(library(name), &copy).unwrap();
    plain(&copy);
    copy
}

/// Lets only the owner write it.
pub fn plain(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
