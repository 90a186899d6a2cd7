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

/// What is kept of each stream of a tool of ours; the rest is read and dropped, so that the tool does not block.
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
        self.runtime.block_on(run(argv, self.timeout, OUTPUT_MAX))
    }

    /// The same, keeping `kept` bytes of each of its streams.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_keeping(&self, argv: &[&str], kept: usize) -> Result<Output, Fault> {
        self.runtime.block_on(run(argv, self.timeout, kept))
    }

    /// Runs two tools, the output of the first being the input of the second, to their ends. Both must succeed.
    ///
    /// # Errors
    /// As [`need_long`](Self::need_long), of the one that failed first.
    pub fn join(&self, sender: &[String], receiver: &[String]) -> Result<(), Fault> {
        let words = |argv: &'_ [String]| argv.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let details = format!("{} | {}", words(sender), words(receiver));
        self.runtime.block_on(join(sender, receiver)).map_err(|fault| if fault.details.is_empty() { fault.details(details) } else { fault })
    }

    /// Runs a tool that moves data and must succeed.
    ///
    /// # Errors
    /// As [`need`](Self::need).
    pub fn need_long(&self, argv: &[&str]) -> Result<Output, Fault> {
        let output = self.runtime.block_on(run(argv, COPY_TIMEOUT, OUTPUT_MAX))?;
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

async fn read(stream: Option<impl AsyncRead + Unpin>, most: usize) -> String {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let mut buffer = [0u8; 8192];
        while let Ok(count) = stream.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            let room = most.saturating_sub(kept.len()).min(count);
            kept.extend(buffer.iter().take(room));
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// A tool that is about to be started: alone in its process group, with a plain environment.
fn command(program: &str, words: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Command {
    let path = std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned());
    let mut command = Command::new(program);
    command.args(words).env_clear().env("PATH", path).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

fn not_started(program: &str, error: &std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new(FaultKind::Unsupported, format!("The tool '{program}' is not installed"))
            .correction(format!("Install the package that contains '{program}'")),
        _ => Fault::new(FaultKind::Tool, format!("The tool '{program}' could not be started")).cause(error.to_string()),
    }
}

/// Ends a tool with all that it started.
fn end(child: &tokio::process::Child) {
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

async fn join(sender: &[String], receiver: &[String]) -> Result<(), Fault> {
    let nothing = || Fault::new(FaultKind::Bug, "A command without words was asked for");
    let ((first, first_words), (second, second_words)) =
        (sender.split_first().ok_or_else(nothing)?, receiver.split_first().ok_or_else(nothing)?);
    let mut from = command(first, first_words).spawn().map_err(|error| not_started(first, &error))?;
    let pipe: Stdio = match from.stdout.take().map(TryInto::try_into) {
        Some(Ok(pipe)) => pipe,
        Some(Err(error)) => return Err(not_started(first, &error)),
        None => return Err(nothing()),
    };
    let mut to = match command(second, second_words).stdin(pipe).spawn() {
        Ok(to) => to,
        Err(error) => {
            end(&from);
            return Err(not_started(second, &error));
        }
    };
    let (from_says, to_says, to_tells) = (from.stderr.take(), to.stderr.take(), to.stdout.take());
    let both = async {
        let (sent, received, sent_err, received_err, _) =
            tokio::join!(from.wait(), to.wait(), read(from_says, OUTPUT_MAX), read(to_says, OUTPUT_MAX), read(to_tells, OUTPUT_MAX));
        (sent, received, sent_err, received_err)
    };
    let ended = tokio::time::timeout(COPY_TIMEOUT, both).await;
    let Ok((sent, received, sent_err, received_err)) = ended else {
        end(&from);
        end(&to);
        return Err(Fault::new(FaultKind::Timeout, format!("'{first}' and '{second}' took too long and were ended")));
    };
    // A sender whose receiver died is ended by the broken pipe: the receiver says why.
    for (program, status, said) in [(second, received, received_err), (first, sent, sent_err)] {
        let status = status.map_err(|error| not_started(program, &error))?;
        if !status.success() {
            let output = Output { code: code(status), stdout: String::new(), stderr: said };
            return Err(failed(&[program], &output));
        }
    }
    Ok(())
}

async fn run(argv: &[&str], timeout: Duration, kept: usize) -> Result<Output, Fault> {
    let Some((program, words)) = argv.split_first() else {
        return Err(Fault::new(FaultKind::Bug, "A command without words was asked for"));
    };
    let mut child = command(program, words).spawn().map_err(|error| not_started(program, &error).details(argv.join(" ")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(timeout, async { tokio::join!(child.wait(), read(stdout, kept), read(stderr, kept)) }).await;
    match ended {
        Ok((Ok(status), stdout, stderr)) => Ok(Output { code: code(status), stdout, stderr }),
        Ok((Err(error), ..)) => Err(Fault::new(FaultKind::Tool, format!("The end of '{program}' was not seen"))
            .cause(error.to_string())
            .details(argv.join(" "))),
        Err(_) => {
            end(&child);
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
            run(&["sh", "-c", "echo $LC_ALL; head -c 200000 /dev/zero; echo oops >&2; exit 3"], Duration::from_secs(20), OUTPUT_MAX)
                .await
                .unwrap();
        assert_eq!((output.code, output.stderr.as_str()), (3, "oops\n"));
        assert!(output.stdout.starts_with("C\n"));
        assert_eq!(output.stdout.len(), OUTPUT_MAX);
        let fault = run(&["sh", "-c", "sleep 60 & wait"], Duration::from_millis(50), OUTPUT_MAX).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Timeout);
        assert_eq!(run(&["no-such-tool-here"], Duration::from_secs(1), OUTPUT_MAX).await.unwrap_err().kind, FaultKind::Unsupported);
        assert_eq!(run(&[], Duration::from_secs(1), OUTPUT_MAX).await.unwrap_err().kind, FaultKind::Bug);
    }

    #[tokio::test]
    async fn what_one_tool_writes_another_reads_and_both_must_succeed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("copy");
        let words = |argv: &[&str]| argv.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let writer = words(&["dd", &format!("of={}", target.display()), "status=none"]);
        join(&words(&["printf", "abc"]), &writer).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        let fault = join(&words(&["sh", "-c", "echo broken >&2; exit 4"]), &words(&["cat"])).await.unwrap_err();
        assert!(fault.kind == FaultKind::Tool && fault.cause == "broken" && fault.message.contains("'sh'"), "{fault:?}");
        // A receiver that dies ends an endless sender, and is the one that is named.
        let fault = join(&words(&["yes"]), &words(&["sh", "-c", "echo full >&2; exit 1"])).await.unwrap_err();
        assert!(fault.cause == "full", "{fault:?}");
        assert_eq!(join(&words(&["yes"]), &words(&["no-such-tool-here"])).await.unwrap_err().kind, FaultKind::Unsupported);
    }
}
