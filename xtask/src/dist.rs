//! The archive of a release.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;
use crate::verbs::{cargo, status, target_folder};

/// Builds the program with the `dist` profile and packs it; prints the path of the archive.
///
/// # Errors
/// If the build, or one of the programs `tar` and `sha256sum`, fails.
pub fn dist() -> Result<()> {
    if !status(cargo().args(["build", "--workspace", "--bin", "berth", "--profile", "dist"]))?.success() {
        bail!("the build failed");
    }
    let version = workspace_version(&root())?;
    let name = format!("berth-{version}-{}-linux", std::env::consts::ARCH);
    let target = target_folder()?;
    let out = target.join("archives");
    let folder = out.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    let bin = folder.join("bin");
    let units = folder.join("lib/systemd/system");
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(&units)?;
    copy(&target.join("dist").join("berth"), &bin.join("berth"))?;
    for name in ["linstor", "linstor-database"] {
        symlink("berth", bin.join(name))?;
    }
    for (shell, place) in [
        ("bash", "share/bash-completion/completions/linstor"),
        ("zsh", "share/zsh/vendor-completions/_linstor"),
        ("fish", "share/fish/vendor_completions.d/linstor.fish"),
    ] {
        let file = folder.join(place);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        let script = Command::new(bin.join("berth")).args(["completions", shell]).output().context("cannot start the program")?;
        if !script.status.success() {
            bail!("the completion for {shell} could not be written: {}", String::from_utf8_lossy(&script.stderr).trim());
        }
        fs::write(&file, &script.stdout).with_context(|| format!("cannot write {}", file.display()))?;
    }
    for unit in ["berth-controller.service", "berth-satellite.service"] {
        copy(&root().join("deploy").join(unit), &units.join(unit))?;
    }
    for document in ["README.md", "LICENSE"] {
        copy(&root().join(document), &folder.join(document))?;
    }
    let archive = format!("{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(&out);
    tar.args(["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--file", &archive, &name]);
    if !status(&mut tar)?.success() {
        bail!("tar failed");
    }
    let sum = Command::new("sha256sum").current_dir(&out).arg(&archive).output().context("cannot start sha256sum")?;
    if !sum.status.success() {
        bail!("sha256sum failed");
    }
    fs::write(out.join(format!("{archive}.sha256")), &sum.stdout)?;
    println!("{}", out.join(&archive).display());
    print!("{}", String::from_utf8_lossy(&sum.stdout));
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// The version of `[workspace.package]`.
fn workspace_version(root: &Path) -> Result<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    let version = manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.package]")
        .find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).context("Cargo.toml has no version in [workspace.package]")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_of_the_workspace_is_found() {
        let version = super::workspace_version(&crate::root()).unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
}
