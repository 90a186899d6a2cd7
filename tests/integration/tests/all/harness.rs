//! The ground that the other tests stand on: a folder that clears up behind itself.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{Scratch, note, run, until, within};

/// Of a file behind a loop device.
const NAME: &str = "berth-harness-original";

#[test]
fn nothing_of_a_folder_stays_behind() -> Result<()> {
    let scratch = Scratch::new()?;
    let folder = scratch.path().to_path_buf();
    let Some(mount) = scratch.reflink_dir()? else {
        note("without root there is only a folder to clear");
        drop(scratch);
        ensure!(!folder.exists());
        return Ok(());
    };
    let original = mount.join(NAME);
    File::create(&original)?.set_len(32 << 20)?;
    run("cp", &[Path::new("--reflink=always"), &original, &mount.join("copy")])?.ok()?;
    let device = PathBuf::from(run("losetup", &[Path::new("--find"), Path::new("--show"), &original])?.ok()?.trim());
    ensure!(scratch.loops() == [(device.clone(), original)]);
    run("mkfs.ext4", &[Path::new("-q"), &device])?.ok()?;
    let inner = scratch.sub("inner")?;
    run("mount", &[&device, &inner])?.ok()?;
    // A process that says that it is there, names the folder, and waits for ever.
    let mut waiting = Command::new("sh");
    waiting.args(["-c", "echo here; read line", "sh"]).arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut waiting = waiting.spawn()?;
    waiting.stdout.as_mut().context("no standard output")?.read_exact(&mut [0; 5])?;
    drop(scratch);
    until(Duration::from_secs(10), "the process is ended", || matches!(waiting.try_wait(), Ok(Some(_))))?;
    ensure!(!folder.exists(), "{} is still there", folder.display());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains(folder.to_str().unwrap_or("?")), "{mounts}");
    // Nobody else has a file of this name: it would show under a path without the folder if its mount had gone too early.
    ensure!(!run("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"])?.ok()?.contains(NAME));
    Ok(())
}

#[test]
fn a_wait_says_what_it_saw_last() {
    let error = within::<(), _>(Duration::from_millis(1), "the sea", || Err("a puddle")).unwrap_err().to_string();
    assert!(error.contains("the sea") && error.contains("a puddle"), "{error}");
}
