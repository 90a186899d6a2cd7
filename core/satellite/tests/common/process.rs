//! The satellite as a process of its own: the test program runs itself, with a test named `child` as the program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use berth_satellite::{Config, serve};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, sh};

/// Somebody without rights.
const NOBODY: &str = "65534";

/// What the child runs.
pub fn child() {
    let Some(home) = std::env::var_os("SATELLITE_HOME") else { return };
    let home = PathBuf::from(home);
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    }
    let (announce, address) = oneshot::channel::<SocketAddr>();
    let mut config = Config::new(home.join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    (config.dev_dir, config.announce) = (home.join("dev"), Some(announce));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(async move {
            let address = address.await.unwrap();
            std::fs::write(home.join("address.new"), address.to_string()).unwrap();
            std::fs::rename(home.join("address.new"), home.join("address")).unwrap();
        });
        serve(config, CancellationToken::new()).await.unwrap();
    });
}

/// A running satellite; it dies with this.
pub struct Process {
    child: Child,
    home: PathBuf,
}

impl Process {
    /// Starts one that lives in `home`, and dies by itself after so many changes.
    pub fn start(home: &Path, cut_after: Option<u64>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(count) = cut_after {
            command.env("BERTH_CUT_AFTER", count.to_string());
        }
        Self::spawn(command, home)
    }

    /// Starts one without rights. The program is copied to where nobody can read it.
    pub fn start_as_nobody(home: &Path) -> Self {
        let program = home.join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        if !rustix::process::geteuid().is_root() {
            return Self::spawn(Command::new(program), home);
        }
        sh(&["chmod", "755", program.to_str().unwrap()]);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
        Self::spawn(command, home)
    }

    fn spawn(mut command: Command, home: &Path) -> Self {
        drop(std::fs::remove_file(home.join("address")));
        command.args(["child", "--exact", "--ignored"]).env("SATELLITE_HOME", home).stdout(Stdio::null());
        // What a killed child leaves on the terminal helps nobody.
        if std::env::var_os("RUST_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        Self { child: command.spawn().unwrap(), home: home.to_owned() }
    }

    /// Where it listens; `None`: it died before it did.
    pub async fn address_or_death(&mut self) -> Option<SocketAddr> {
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(address) = std::fs::read_to_string(self.home.join("address")).ok().and_then(|text| text.parse().ok()) {
                return Some(address);
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(tokio::time::Instant::now() < end, "the satellite did not start");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Where it listens.
    pub async fn address(&mut self) -> SocketAddr {
        self.address_or_death().await.expect("the satellite died")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
