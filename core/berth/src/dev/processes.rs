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
    /// Where it was at the last start.
    pub stays: bool,
}

/// Pause before a process that ended by itself is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// So many ends of one process are too many.
const ENDS_MAX: u32 = 5;

/// A process with the words that start it again.
struct Process {
    name: String,
    words: Vec<String>,
    child: Child,
    ends: u32,
}

/// The processes, in the order of their start.
pub struct Processes {
    home: PathBuf,
    program: PathBuf,
    remembered: Remembered,
    children: Vec<Process>,
    /// Held open: a child whose input closes knows that this process is gone. (Waiting for a child would close it.)
    inputs: Vec<ChildStdin>,
    satellites: Vec<Satellite>,
    controller: Option<String>,
}

/// The words with the addresses after `--listen` replaced; none to replace them: as they are.
fn with_ports(words: &[String], addresses: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(at) = words.iter().position(|word| word == "--listen") {
        for (word, address) in words.iter_mut().skip(at + 1).zip(addresses) {
            word.clone_from(address);
        }
    }
    words
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
        Ok(Self {
            home: home.to_owned(),
            program,
            remembered,
            children: Vec::new(),
            inputs: Vec::new(),
            satellites: Vec::new(),
            controller: None,
        })
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
        let url = ready.into_iter().next().context("the controller did not say where it listens")?;
        self.controller = Some(url.trim_start_matches("http://").to_owned());
        Ok(url)
    }

    /// Starts a satellite on the port that it had before, or a free one.
    pub async fn start_satellite(&mut self, name: &str) -> anyhow::Result<()> {
        let data = self.home.join(name);
        let devices = data.join("dev");
        // One for all nodes: the first compiles what the others find.
        let cache = std::env::var_os("BERTH_SATELLITE_PLUGIN_CACHE").map_or_else(|| self.home.join("plugin-cache"), PathBuf::from);
        let words = |port: u16| {
            [
                "satellite",
                "--plugin-cache",
                &cache.to_string_lossy(),
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

    /// Starts simulated satellites in one process, on the ports that they had before, or free ones.
    pub async fn start_simulation(&mut self, names: &[String], faults: &FaultWords) -> anyhow::Result<()> {
        let data = self.home.join("simulated").to_string_lossy().into_owned();
        let words = |ports: &[u16]| {
            let mut words = vec!["simulate".to_owned(), "--data".to_owned(), data.clone()];
            words.extend([format!("--latency-ms={}", faults.latency_ms), format!("--failures-permille={}", faults.failures_permille)]);
            words.push(format!("--seed={}", faults.seed));
            words.push("--listen".to_owned());
            words.extend(ports.iter().map(|port| format!("127.0.0.1:{port}")));
            words.push("--name".to_owned());
            words.extend(names.iter().cloned());
            words
        };
        let before: Vec<u16> = names.iter().map(|name| self.port_of(name)).collect();
        let ready = match self.start("simulated", &words(&before)).await {
            Err(_) if before.iter().any(|port| *port != 0) => self.start("simulated", &words(&vec![0; names.len()])).await?,
            started => started?,
        };
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
        let stays = self.remembered.ports.insert(name.to_owned(), port) == Some(port);
        self.satellites.push(Satellite { name: name.to_owned(), port, simulated, stays });
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
        self.children.push(Process { name: name.to_owned(), words: words.to_vec(), child, ends: 0 });
        let mut words = line.split(' ');
        match words.next() {
            Some("ready") => Ok(words.map(str::to_owned).collect()),
            _ => bail!("{name} says '{line}' instead of 'ready'"),
        }
    }

    /// Starts again what ends by itself, as a service manager would; gives up on a process that does not stay up.
    pub async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            let waits = self.children.iter_mut().map(|process| Box::pin(async move { process.child.wait().await }));
            let (status, at, _) = futures_util::future::select_all(waits).await;
            let mut ended = self.children.remove(at);
            let mut last = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let log = self.home.join(format!("{}.log", ended.name));
            let words = with_ports(&ended.words, &self.address_of(&ended.name));
            loop {
                ended.ends += 1;
                if ended.ends >= ENDS_MAX {
                    bail!("{} does not stay up (last: {last}); its log is {}", ended.name, log.display());
                }
                eprintln!("WARNING: {} ended ({last}) and is started again; its log is {}", ended.name, log.display());
                tokio::time::sleep(RESTART_AFTER).await;
                // Its port may be in use for a moment by a program that connects from it.
                match self.start(&ended.name, &words).await {
                    Ok(_) => break,
                    Err(error) => last = format!("{error:#}"),
                }
            }
            if let Some(process) = self.children.last_mut() {
                process.ends = ended.ends;
            }
        }
    }

    /// Where a process listened before, so that the others find it again; empty: it had a fixed address.
    fn address_of(&self, name: &str) -> Vec<String> {
        let of = |satellite: &Satellite| format!("127.0.0.1:{}", satellite.port);
        match name {
            "controller" => self.controller.iter().cloned().collect(),
            "simulated" => self.satellites.iter().filter(|satellite| satellite.simulated).map(of).collect(),
            _ => self.satellites.iter().filter(|satellite| satellite.name == name).map(of).collect(),
        }
    }

    /// Ends all processes, the controller first: SIGTERM, and SIGKILL for one that does not follow.
    pub async fn end(&mut self) {
        for process in &self.children {
            let pid = process.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for Process { name, child, .. } in &mut self.children {
            if tokio::time::timeout(END_WITHIN, child.wait()).await.is_err() {
                eprintln!("WARNING: {name} did not end in time and was killed");
                let _gone = child.kill().await;
            }
        }
        self.children.clear();
    }
}
