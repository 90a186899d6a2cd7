//! This machine, and what its processes use.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use berth_integration::{Machine, lasts, run};

/// What the figures were measured on.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn describe() -> Result<Machine> {
    let memory = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let kib = field_kib(&memory, "MemTotal:").context("no MemTotal")?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("no kernel release")?;
    // Up to the patch level: what follows names one machine's build.
    let release = release.trim().split(['-', '+']).next().unwrap_or_default().to_owned();
    let place = std::env::temp_dir();
    let file_system =
        run("stat", &[Path::new("--file-system"), Path::new("--format=%T"), &place])?.ok()?.trim().replace("ext2/ext3", "ext4");
    Ok(Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: (kib + (1 << 19)) >> 20,
        kernel: format!("Linux {release}"),
        file_system,
    })
}

/// The commit of the sources, with a `+` if they were changed since.
pub fn commit() -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "core", "plugin-sdk", "providers", "Cargo.lock"]);
    if changed.is_none_or(|changed| changed.is_empty()) { commit } else { format!("{commit}+") }
}

/// Today, in UTC.
///
/// # Errors
/// If `date` does not run.
pub fn date() -> Result<String> {
    Ok(run("date", &["--utc", "+%Y-%m-%d"])?.ok()?.trim().to_owned())
}

/// Resident memory of a process, in MiB.
///
/// # Errors
/// If it is gone.
pub fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let kib = field_kib(&status, "VmRSS:").context("no VmRSS")?;
    #[allow(clippy::cast_precision_loss)] // Some GiB.
    Ok(kib as f64 / 1024.0)
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// Processor time of a process, in nanoseconds: of the threads that live now.
fn busy_ns(pid: u32) -> Result<u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")?;
    let of = |path: &Path| -> Option<u64> { std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok() };
    Ok(threads.flatten().filter_map(|thread| of(&thread.path())).sum())
}

/// Processor time of processes while nothing is asked of them, each in milliseconds per second.
///
/// # Errors
/// If one is gone.
pub fn idle_cpu(pids: &[u32], span: Duration) -> Result<Vec<f64>> {
    let look = || pids.iter().map(|pid| busy_ns(*pid)).collect::<Result<Vec<_>>>();
    let before = look()?;
    lasts(span);
    let after = look()?;
    #[allow(clippy::cast_precision_loss)] // Some milliseconds.
    let used = |(after, before): (&u64, &u64)| after.saturating_sub(*before) as f64 / 1e6 / span.as_secs_f64();
    Ok(after.iter().zip(&before).map(used).collect())
}
