//! A Docker daemon of a test's own, from Debian's package, with an image made by hand: nothing is fetched.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Finished, Scratch, run_within, tool, within};

/// Time for the daemon to answer, and to end.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time for one command of Docker's.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);
/// The image: busybox and nothing else.
pub const IMAGE: &str = "berth/busybox:1";
/// Programs of the image.
const PROGRAMS: [&str; 9] = ["sh", "cat", "echo", "sleep", "df", "ls", "sync", "id", "stat"];

/// A running daemon; it ends with the value, and its containers with it.
#[derive(Debug)]
pub struct Dockerd {
    folder: PathBuf,
    words: Vec<String>,
    child: Option<Child>,
}

impl Dockerd {
    /// Starts a daemon with an image, below a folder of `scratch`.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start(scratch: &Scratch, more: &[&str]) -> Result<Self> {
        let folder = scratch.sub("docker")?;
        let mut dockerd = Self { folder, words: more.iter().map(|word| (*word).to_owned()).collect(), child: None };
        dockerd.start_again()?;
        dockerd.make_image()?;
        Ok(dockerd)
    }

    /// Starts it where it was ended or killed, on what it left.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        // One that was killed leaves its pid, which may be somebody else's by now.
        fs::remove_file(self.folder.join("pid")).ok();
        fs::remove_file(self.folder.join("exec/containerd/containerd.pid")).ok();
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = Command::new(tool("setpriv")?);
        command
            .args(["--pdeathsig", "KILL"])
            .arg(tool("dockerd")?)
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("sock")), "--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(&self.words)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.child = Some(command.spawn().context("cannot start dockerd")?);
        let answers = within(READY_LIMIT, "dockerd answers", || match self.docker(&["version"]) {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => Err(done.stderr),
            Err(error) => Err(format!("{error:#}")),
        });
        answers.with_context(|| self.log().lines().rev().take(12).collect::<Vec<_>>().join("\n"))
    }

    fn make_image(&self) -> Result<()> {
        let root = self.folder.join("image");
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(root.join("tmp"))?;
        fs::copy(tool("busybox")?, root.join("bin/busybox"))?;
        for program in PROGRAMS {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(program))?;
        }
        let archive = self.folder.join("image.tar");
        crate::run("tar", &[Path::new("-C"), &root, Path::new("-cf"), &archive, Path::new(".")])?.ok()?;
        self.docker(&["import", &archive.display().to_string(), IMAGE])?.ok().map(drop)
    }

    /// A command of the client; how it ended is in the answer.
    ///
    /// # Errors
    /// If it cannot be run, or takes too long.
    pub fn docker(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new(tool("docker")?);
        command.env("DOCKER_HOST", self.host()).env("HOME", &self.folder).args(words);
        run_within(COMMAND_LIMIT, &mut command)
    }

    /// Its address, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.join("sock").display())
    }

    /// A command that must succeed; answers its output without the end of the line.
    ///
    /// # Errors
    /// If it does not.
    pub fn ok(&self, words: &[&str]) -> Result<String> {
        Ok(self.docker(words)?.ok()?.trim_end().to_owned())
    }

    /// A command that must fail; answers what it says.
    ///
    /// # Errors
    /// If it succeeds.
    pub fn fails(&self, words: &[&str]) -> Result<String> {
        let done = self.docker(words)?;
        ensure!(!done.status.success(), "docker {} succeeded: {}", words.join(" "), done.stdout);
        Ok(done.stderr)
    }

    /// A container that runs `script`, and is gone after it; answers its output.
    ///
    /// # Errors
    /// If the script fails.
    pub fn shell(&self, mount: &str, driver: &str, script: &str) -> Result<String> {
        self.ok(&["run", "--rm", "--network", "none", "--volume-driver", driver, "-v", mount, IMAGE, "sh", "-c", script])
    }

    /// Kills the daemon with SIGKILL; its containers live on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        // What it had started for itself dies with it on a machine without a service manager, too.
        self.kill_containerd();
    }

    fn kill_containerd(&self) {
        let pid = fs::read_to_string(self.folder.join("exec/containerd/containerd.pid")).ok();
        if let Some(pid) = pid.and_then(|text| Pid::from_raw(text.trim().parse().ok()?)) {
            kill_process(pid, Signal::KILL).ok();
        }
    }

    /// Ends the daemon with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// If it does not end.
    pub fn terminate(&mut self) -> Result<()> {
        let mut child = self.child.take().context("dockerd does not run")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        within(READY_LIMIT, "dockerd has ended", || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// The daemon's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Dockerd {
    /// Removes all containers.
    pub fn clear(&self) {
        // Containers are no processes of ours: only the daemon ends them.
        if self.child.is_some()
            && let Ok(all) = self.ok(&["ps", "-aq"])
        {
            let mut words = vec!["rm", "-f"];
            words.extend(all.split_whitespace());
            if words.len() > 2 {
                self.docker(&words).ok();
            }
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- end of dockerd's log\n{}", lines[lines.len().saturating_sub(25)..].join("\n"));
        }
        self.clear();
        if self.child.is_some() && self.terminate().is_err() {
            self.kill();
        }
        self.kill_containerd();
    }
}
