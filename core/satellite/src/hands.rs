//! The one place through which the satellite changes the machine: tools and system calls.
//!
//! Every changing step is counted here, so that a test can end the process after any of them
//! (`BERTH_CUT_AFTER=N`: SIGKILL to itself after the N-th), and every tool runs here, under the same limits.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use berth_plugin_sdk::{Fault, FaultKind, Output};
use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::runtime::Handle;

/// What is kept of each stream of a tool; the rest is read and dropped, so that the tool does not block.
const OUTPUT_MAX: usize = 64 * 1024;
/// Longest copy of a volume.
const COPY_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// How long a killed tool may take to die; it may hang in the kernel.
const REAP_TIMEOUT: Duration = Duration::from_secs(2);
/// Search path where the satellite was started without one.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Counts changes and runs tools.
#[derive(Debug)]
pub struct Hands {
    runtime: Handle,
    timeout: Duration,
    changes: AtomicU64,
    cut_after: Option<u64>,
}

impl Hands {
    /// Hands of a satellite on the present runtime.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let cut_after = std::env::var("BERTH_CUT_AFTER").ok().and_then(|text| text.parse().ok());
        Self { runtime: Handle::current(), timeout, changes: AtomicU64::new(0), cut_after }
    }

    /// Does one thing that changes the machine. What failed is not counted.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn change<T, E>(&self, act: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let result = act();
        if result.is_ok() {
            let done = self.changes.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            if self.cut_after == Some(done) {
                // Nothing may run between the step and the end; should the signal fail, the process must not go on either.
                let _ = kill_process(getpid(), Signal::KILL);
                std::process::abort();
            }
        }
        result
    }

    /// Runs a tool to its end. Call it on a thread that may block.
    ///
    /// # Errors
    /// `Unsupported`: the tool is not installed; `Timeout`; `Tool`: it could not be started.
    pub fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.runtime.block_on(run(argv, self.timeout))
    }

    /// Runs a tool that moves data and must succeed.
    ///
    /// # Errors
    /// As [`need`](Self::need).
    pub fn need_long(&self, argv: &[&str]) -> Result<Output, Fault> {
        let output = self.runtime.block_on(run(argv, COPY_TIMEOUT))?;
        if output.code == 0 { Ok(output) } else { Err(failed(argv, &output)) }
    }

    /// Runs a tool that must succeed.
    ///
    /// # Errors
    /// As [`run`](Self::run), and `Tool` with its output if its code is not 0.
    pub fn need(&self, argv: &[&str]) -> Result<Output, Fault> {
        let output = self.run(argv)?;
        if output.code == 0 { Ok(output) } else { Err(failed(argv, &output)) }
    }
}

fn failed(argv: &[&str], output: &Output) -> Fault {
    let cause = output.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("It said nothing").to_owned();
    Fault::new(FaultKind::Tool, format!("'{}' failed", argv.first().unwrap_or(&"")))
        .cause(cause)
        .correction("Run the command of the details by hand, and correct what it complains about")
        .details(format!("{}\nexit code {}\n{}{}", argv.join(" "), output.code, output.stdout, output.stderr))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let mut buffer = [0u8; 8192];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            let room = OUTPUT_MAX.saturating_sub(kept.len()).min(count);
            kept.extend(buffer.iter().take(room));
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

async fn run(argv: &[&str], timeout: Duration) -> Result<Output, Fault> {
    let Some((program, words)) = argv.split_first() else {
        return Err(Fault::new(FaultKind::Bug, "A command without words was asked for"));
    };
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let spawned = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new(FaultKind::Unsupported, format!("The tool '{program}' is not installed"))
            .correction(format!("Install the package that contains '{program}'")),
        _ => Fault::new(FaultKind::Tool, format!("The tool '{program}' could not be started"))
            .cause(error.to_string())
            .details(argv.join(" ")),
    })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(timeout, async { tokio::join!(child.wait(), read(stdout), read(stderr)) }).await;
    match ended {
        Ok((Ok(status), stdout, stderr)) => Ok(Output { code: code(status), stdout, stderr }),
        Ok((Err(error), ..)) => Err(Fault::new(FaultKind::Tool, format!("The end of '{program}' was not seen"))
            .cause(error.to_string())
            .details(argv.join(" "))),
        Err(_) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            drop(tokio::time::timeout(REAP_TIMEOUT, child.wait()).await);
            Err(Fault::new(FaultKind::Timeout, format!("'{program}' took longer than {} s and was ended", timeout.as_secs()))
                .correction("Look for what it waits for: a slow disk, or a lock that another program holds")
                .details(argv.join(" ")))
        }
    }
}

fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tool_is_bounded_in_time_and_output() {
        let output =
            run(&["sh", "-c", "echo $LC_ALL; head -c 200000 /dev/zero; echo oops >&2; exit 3"], Duration::from_secs(20)).await.unwrap();
        assert_eq!((output.code, output.stderr.as_str()), (3, "oops\n"));
        assert!(output.stdout.starts_with("C\n"));
        assert_eq!(output.stdout.len(), OUTPUT_MAX);
        let fault = run(&["sh", "-c", "sleep 60 & wait"], Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Timeout);
        assert_eq!(run(&["no-such-tool-here"], Duration::from_secs(1)).await.unwrap_err().kind, FaultKind::Unsupported);
        assert_eq!(run(&[], Duration::from_secs(1)).await.unwrap_err().kind, FaultKind::Bug);
    }
}
