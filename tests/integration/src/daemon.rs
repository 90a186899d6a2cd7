//! One long-running program: started, waited for, ended.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::command::{berth, tool};
use crate::{Scratch, wait};

/// Time from the start to the line `ready …`. A cluster on one machine makes file systems first.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How much of a log is shown when a test fails.
const LOG_TAIL_LINES: usize = 40;

/// A loopback address for one daemon alone, with port 0: what starts again under an address that it had finds its port free, because nobody
/// else listens on that address or connects from it. Linux takes all of 127.0.0.0/8 for loopback, and connects from 127.0.0.1.
#[must_use]
pub fn own_address() -> String {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Of other test programs at the same time: another process id, another start.
    let given = std::process::id().wrapping_mul(509).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = given.to_be_bytes();
    // Not 127.0.0.1 and its like, where others listen, and no address that ends like a network's own.
    format!("{}:0", Ipv4Addr::new(127, a.max(1), b, c.clamp(2, 254)))
}

/// A program that printed `ready ADDRESS` and runs until it is ended.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    address: String,
    log: PathBuf,
    // In a lock, so that threads of a test may share a cluster.
    lines: Mutex<Receiver<String>>,
}

impl Daemon {
    /// Starts `berth WORDS` and waits for its line `ready …`. Its standard error goes to `NAME.log` in the folder.
    ///
    /// # Errors
    /// If it ends, or stays silent, before it is ready; the message holds the end of its log.
    pub fn start<W: Into<OsString>>(scratch: &Scratch, name: &str, words: impl IntoIterator<Item = W>) -> Result<Self> {
        Self::start_with(scratch, name, &[], &[], words)
    }

    /// The same with words in front (`strace …`) and with environment variables.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_with<W: Into<OsString>>(
        scratch: &Scratch,
        name: &str,
        wrapper: &[OsString],
        environment: &[(&str, &str)],
        words: impl IntoIterator<Item = W>,
    ) -> Result<Self> {
        let mut call = wrapper.to_vec();
        call.push(berth()?.into());
        call.extend(words.into_iter().map(Into::into));
        Self::start_program(scratch, name, environment, &call)
    }

    /// Starts any program that prints a line `ready …`.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_program(scratch: &Scratch, name: &str, environment: &[(&str, &str)], call: &[OsString]) -> Result<Self> {
        let log = scratch.path().join(format!("{name}.log"));
        let mut child = spawn(scratch, &log, environment, call)?;
        let lines = read_lines(child.stdout.take().context("no standard output")?);
        let mut daemon = Self { name: name.to_owned(), child, address: String::new(), log, lines };
        daemon.address = daemon.line_after("ready ", READY_LIMIT)?;
        Ok(daemon)
    }

    /// Starts `berth WORDS` where it must refuse, and waits for its end.
    ///
    /// # Errors
    /// If it is still there after `limit`.
    pub fn refuse<W: Into<OsString>>(
        scratch: &Scratch,
        name: &str,
        limit: Duration,
        words: impl IntoIterator<Item = W>,
    ) -> Result<(ExitStatus, String)> {
        let log = scratch.path().join(format!("{name}.log"));
        let mut call = vec![berth()?.into_os_string()];
        call.extend(words.into_iter().map(Into::into));
        let mut child = spawn(scratch, &log, &[], &call)?;
        let lines = read_lines(child.stdout.take().context("no standard output")?);
        let mut daemon = Self { name: name.to_owned(), child, address: String::new(), log, lines };
        let status = daemon.ended_within(limit)?;
        Ok((status, daemon.log_text()))
    }

    /// What stood after `ready `: `http://ADDR:PORT` of a controller, `ADDR:PORT` of a satellite.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `ADDR:PORT` in either case.
    #[must_use]
    pub fn host_port(&self) -> &str {
        self.address.strip_prefix("http://").unwrap_or(&self.address)
    }

    /// The port.
    ///
    /// # Errors
    /// If the address has none.
    pub fn port(&self) -> Result<u16> {
        let (_, port) = self.host_port().rsplit_once(':').context("no port in the address")?;
        port.parse().with_context(|| format!("{port:?} is no port"))
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid_of(&self.child)?, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills it and everything in its process group, with SIGKILL, and reaps it.
    pub fn kill(&mut self) {
        if let Ok(pid) = pid_of(&self.child) {
            kill_process_group(pid, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }

    /// Asks it to end with SIGTERM; answers how long that took and how it ended.
    ///
    /// # Errors
    /// If it is still there after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<(Duration, ExitStatus)> {
        let from = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.ended_within(limit)?;
        Ok((from.elapsed(), status))
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// If it is still there after `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        let child = &mut self.child;
        wait::within(limit, &format!("{name} ends"), || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for a line of its standard output that begins so, and answers the rest of it.
    ///
    /// # Errors
    /// If it ends first, or after the limit.
    pub fn line_after(&mut self, start: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            match self
                .lines
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(start) {
                        return Ok(rest.trim().to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("{} printed no line {start:?} within {limit:?}\n{}", self.name, self.tail()),
                Err(RecvTimeoutError::Disconnected) => {
                    let ended =
                        self.ended_within(Duration::from_secs(5)).map_or_else(|_| "still running".to_owned(), |status| status.to_string());
                    bail!("{} closed its output before a line {start:?} ({ended})\n{}", self.name, self.tail())
                }
            }
        }
    }

    /// What it has printed by now, line by line; each line is handed out once.
    #[must_use]
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }

    fn tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        format!("--- end of {}'s log\n{}\n---", self.name, lines[from..].join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}

/// Starts the program in a process group of its own; it is killed, too, should this program die.
fn spawn(scratch: &Scratch, log: &Path, environment: &[(&str, &str)], call: &[OsString]) -> Result<Child> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(tool("setpriv")?);
    command.args(["--pdeathsig", "KILL"]).args(call);
    command.env("HOME", scratch.path()).env_remove("LS_CONTROLLERS").env_remove("XDG_CONFIG_HOME").env("RUST_BACKTRACE", "1");
    // Beside the program, so that all tests together compile a component once.
    if let Some(folder) = berth()?.parent() {
        command.env("BERTH_SATELLITE_PLUGIN_CACHE", folder.join("plugin-cache"));
    }
    command.envs(environment.iter().copied());
    let log = File::options().create(true).append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
    command.spawn().context("cannot start berth")
}

fn read_lines(from: ChildStdout) -> Mutex<Receiver<String>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Mutex::new(receiver)
}

fn pid_of(child: &Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")
}
