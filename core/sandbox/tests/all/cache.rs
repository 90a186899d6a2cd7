use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use berth_plugin_sdk::Provider;
use berth_sandbox::{Sandbox, SandboxError};
use tempfile::TempDir;

use crate::machine::{FILE, pool};

/// Loads it and calls it; the one file of the cache afterwards.
fn loaded(folder: &Path) -> PathBuf {
    let component = Sandbox::new(Some(folder.into())).unwrap().load(FILE).unwrap();
    component.space(&pool("p", "")).unwrap();
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Which file it is: another one after it was written anew.
fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[test]
fn a_compiled_component_is_kept_for_its_owner_and_used_again() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path().join("deep/cache");
    let file = loaded(&folder);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    let before = inode(&file);
    std::fs::write(folder.join("half.compiled.1-0.new"), "x").unwrap();
    assert_eq!((loaded(&folder), inode(&file)), (file, before));
}

#[test]
fn what_is_not_a_good_file_of_ours_is_compiled_again() {
    let temporary = TempDir::new().unwrap();
    let folder = temporary.path();
    let file = loaded(folder);
    let good = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let head = b"berth compiled component 1\n".len();
    let cases = [
        ("empty", Vec::new()),
        ("another layout", flipped(5)),
        ("of another component", flipped(head + 1)),
        ("of another engine", flipped(head + 33)),
        ("a wrong checksum", flipped(head + 65)),
        ("damaged code", flipped(good.len() / 2)),
        ("a damaged end", flipped(good.len() - 1)),
        ("truncated", good[..good.len() / 2].to_vec()),
    ];
    for (what, bytes) in cases {
        std::fs::write(&file, bytes).unwrap();
        let before = inode(&file);
        loaded(folder);
        assert_ne!(inode(&file), before, "{what}");
        assert_eq!(std::fs::read(&file).unwrap(), good, "{what}");
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    loaded(folder);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    // A link is not followed.
    let elsewhere = TempDir::new().unwrap();
    std::fs::rename(&file, elsewhere.path().join("code")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("code"), &file).unwrap();
    loaded(folder);
    assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let temporary = TempDir::new().unwrap();
    std::fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let error = Sandbox::new(Some(temporary.path().into())).unwrap_err();
    assert!(matches!(error, SandboxError::Folder { .. }) && error.to_string().contains("chmod go-w"), "{error}");
    let file = temporary.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(matches!(Sandbox::new(Some(file)), Err(SandboxError::Folder { .. })));
}
