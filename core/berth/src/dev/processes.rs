//! The processes of the development cluster: started with their own folders, told apart by their ports, watched, ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::words::FaultWords;

/// Longest start of a daemon.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Longest end of a daemon after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(6);

/// What the folder remembers, so that a node has the same address at the next start.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    #[serde(default)]
    ports: BTreeMap<String, u16>,
}

/// A satellite of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Satellite {
    /// Node name.
    pub name: String,
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Without devices.
    pub simulated: bool,
}

/// The processes, in the order of their start.
pub struct Processes {
    home: PathBuf,
    program: PathBuf,
    remembered: Remembered,
    children: Vec<(String, Child)>,
    /// Held open: a child whose input closes knows that this process is gone. (Waiting for a child would close it.)
    inputs: Vec<ChildStdin>,
    satellites: Vec<Satellite>,
}

impl Processes {
    /// No process yet.
    pub fn new(home: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the program itself")?;
        let file = home.join("cluster.json");
        let remembered = match std::fs::read(&file) {
            Ok(content) => serde_json::from_slice(&content)
                .with_context(|| format!("{} is damaged; remove it to start with new ports", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Remembered::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { home: home.to_owned(), program, remembered, children: Vec::new(), inputs: Vec::new(), satellites: Vec::new() })
    }

    /// The satellites that run.
    pub fn satellites(&self) -> &[Satellite] {
        &self.satellites
    }

    /// Starts the controller; returns its URL.
    pub async fn start_controller(&mut self, listen: &str) -> anyhow::Result<String> {
        let data = self.home.join("controller");
        let words = ["controller", "--data", &data.to_string_lossy(), "--listen", listen].map(str::to_owned);
        let ready = self.start("controller", &words).await?;
        ready.into_iter().next().context("the controller did not say where it listens")
    }

    /// Starts a satellite on the port that it had before, or a free one.
    pub async fn start_satellite(&mut self, name: &str) -> anyhow::Result<()> {
        let data = self.home.join(name);
        let devices = data.join("dev");
        let words = |port: u16| {
            [
                "satellite",
                "--data",
                &data.to_string_lossy(),
                "--dev-dir",
                &devices.to_string_lossy(),
                "--name",
                name,
                "--listen",
                &format!("127.0.0.1:{port}"),
            ]
            .map(str::to_owned)
        };
        let before = self.port_of(name);
        let ready = match self.start(name, &words(before)).await {
            Err(_) if before != 0 => self.start(name, &words(0)).await?,
            started => started?,
        };
        self.remember(name, ready.first(), false)
    }

    /// Starts simulated satellites in one process.
    pub async fn start_simulation(&mut self, names: &[String], faults: &FaultWords) -> anyhow::Result<()> {
        let mut words = vec!["simulate".to_owned(), "--data".to_owned(), self.home.join("simulated").to_string_lossy().into_owned()];
        words.extend([format!("--latency-ms={}", faults.latency_ms), format!("--failures-permille={}", faults.failures_permille)]);
        words.push(format!("--seed={}", faults.seed));
        words.push("--listen".to_owned());
        words.extend(names.iter().map(|name| format!("127.0.0.1:{}", self.port_of(name))));
        words.push("--name".to_owned());
        words.extend(names.iter().cloned());
        let ready = self.start("simulated", &words).await?;
        for (name, address) in names.iter().zip(&ready) {
            self.remember(name, Some(address), true)?;
        }
        Ok(())
    }

    fn port_of(&self, name: &str) -> u16 {
        self.remembered.ports.get(name).copied().unwrap_or(0)
    }

    fn remember(&mut self, name: &str, address: Option<&String>, simulated: bool) -> anyhow::Result<()> {
        let port = address
            .and_then(|address| address.rsplit_once(':'))
            .and_then(|(_, port)| port.parse().ok())
            .with_context(|| format!("{name} did not say where it listens"))?;
        self.remembered.ports.insert(name.to_owned(), port);
        self.satellites.push(Satellite { name: name.to_owned(), port, simulated });
        let file = self.home.join("cluster.json");
        let new = self.home.join("cluster.json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(&self.remembered)?).with_context(|| format!("cannot write {}", new.display()))?;
        std::fs::rename(&new, &file).with_context(|| format!("cannot replace {}", file.display()))
    }

    /// Starts one process and waits for its `ready` line; returns the words after `ready`.
    async fn start(&mut self, name: &str, words: &[String]) -> anyhow::Result<Vec<String>> {
        let log_path = self.home.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .with_context(|| format!("cannot write {}", log_path.display()))?;
        let started = std::fs::metadata(&log_path).map_or(0, |log| log.len());
        let mut child = Command::new(&self.program)
            .args(words)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A terminal's Ctrl-C is for this process, which ends the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.inputs.extend(child.stdin.take());
        let output = child.stdout.take().context("the process has no standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(START_WITHIN, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            let _ended = child.kill().await;
            let text = std::fs::read(&log_path).unwrap_or_default();
            let said = String::from_utf8_lossy(text.get(usize::try_from(started).unwrap_or(0)..).unwrap_or_default()).trim().to_owned();
            bail!("{name} does not start: {}", if said.is_empty() { "it says nothing".to_owned() } else { said });
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.children.push((name.to_owned(), child));
        let mut words = line.split(' ');
        match words.next() {
            Some("ready") => Ok(words.map(str::to_owned).collect()),
            _ => bail!("{name} says '{line}' instead of 'ready'"),
        }
    }

    /// Waits until one of the processes ends by itself, which is an error.
    pub async fn watch(&mut self) -> anyhow::Result<()> {
        let home = self.home.clone();
        let waits = self.children.iter_mut().map(|(name, child)| Box::pin(async move { (name.clone(), child.wait().await) }));
        let ((name, status), _, _) = futures_util::future::select_all(waits).await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        bail!("{name} ended ({status}); its log is {}", home.join(format!("{name}.log")).display())
    }

    /// Ends all processes, the controller first: SIGTERM, and SIGKILL for one that does not follow.
    pub async fn end(&mut self) {
        for (_, child) in &self.children {
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (name, child) in &mut self.children {
            if tokio::time::timeout(END_WITHIN, child.wait()).await.is_err() {
                eprintln!("WARNING: {name} did not end in time and was killed");
                let _gone = child.kill().await;
            }
        }
        self.children.clear();
    }
}
