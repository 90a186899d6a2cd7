//! Programs that run to their end.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::wait;

/// Time for one ordinary program.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program left: its status and its output.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The call, for messages.
    pub call: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code; -1 after a signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// The output of a program that must succeed.
    ///
    /// # Errors
    /// If it did not; the message holds both outputs.
    pub fn ok(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        bail!("{} failed, {}\n{}\n{}", self.call, self.status, self.stdout.trim_end(), self.stderr.trim_end())
    }
}

/// The program under test: `BERTH_BIN`, else the one that cargo put beside the folder of this test program.
///
/// # Errors
/// If there is none.
pub fn berth() -> Result<PathBuf> {
    let program = match std::env::var_os("BERTH_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let own = std::env::current_exe().context("where does this program lie?")?;
            let profile = own.ancestors().nth(2).context("a test program lies in a folder of cargo's")?;
            profile.join("berth")
        }
    };
    if !program.is_file() {
        bail!("{} is missing; cargo xtask test builds it first, as does cargo build --workspace --all-targets", program.display());
    }
    Ok(program)
}

/// The path of a system program, also where the search path leaves out root's folders.
///
/// # Errors
/// If it is not installed.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| anyhow!("{name} is not installed; cargo xtask test installs what the tests need"))
}

/// Runs a system program to its end within a minute.
///
/// # Errors
/// If it is not there, cannot be started, or takes longer. A failure of the program is in [`Finished`].
pub fn run<W: AsRef<OsStr>>(program: &str, words: &[W]) -> Result<Finished> {
    let mut command = Command::new(tool(program)?);
    command.args(words).env("LC_ALL", "C");
    run_within(LIMIT, &mut command)
}

/// Runs the client with these words against a controller at `address` (`ADDR:PORT`).
///
/// # Errors
/// As [`run`].
pub fn linstor(address: &str, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(berth()?);
    command.args(words).env("LS_CONTROLLERS", address).env("NO_COLOR", "1").env("COLUMNS", "200");
    run_within(LIMIT, &mut command)
}

/// Runs a command to its end; it is killed after `limit`.
///
/// # Errors
/// If it cannot be started or takes longer.
pub fn run_within(limit: Duration, command: &mut Command) -> Result<Finished> {
    let call =
        command.get_args().fold(command.get_program().to_string_lossy().into_owned(), |text, word| text + " " + &word.to_string_lossy());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {call}"))?;
    let stdout = reader(child.stdout.take().context("no standard output")?);
    let stderr = reader(child.stderr.take().context("no standard error")?);
    let ended = wait::within(limit, &call, || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        Ok(None) => Err("still running".to_owned()),
        Err(error) => Err(error.to_string()),
    });
    if ended.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned();
    match ended {
        Ok(status) => Ok(Finished { call, status, stdout: text(stdout), stderr: text(stderr) }),
        Err(error) => Err(error),
    }
}

fn reader(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).ok();
        all
    })
}
