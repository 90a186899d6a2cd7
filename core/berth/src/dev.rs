//! `berth dev`: a whole cluster on this machine, in the foreground, as separate processes.
//!
//! The processes are the ones of a real cluster; only their places differ. What the folder keeps:
//! `cluster.json` (ports), `token.json` (this program's own API token), `controller/`, `<node>/` (a satellite's data and, in `dev/`, its
//! device paths), `pools/` and, where the folder's file system has no reflinks, `pools.img`, a sparse XFS image mounted on it.

mod grow;
mod place;
mod processes;
mod token;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::words::DevWords;
use grow::Door;
use place::Pools;
use processes::Processes;

/// Runs the cluster until SIGTERM, SIGINT, or a daemon that does not stay up.
///
/// # Errors
/// If the folder cannot be used, a port is taken, or a daemon does not start.
pub fn run(words: &DevWords) -> anyhow::Result<()> {
    crate::daemon::runtime(2)?.block_on(cluster(words))
}

async fn cluster(words: &DevWords) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let home = Home::open(words.dir.as_deref())?;
    // Before anything in the folder is touched: whatever is attached and mounted there may be another cluster's.
    let lock = lock(home.path())?;
    let pools = Pools::open(home.path())?;
    if let Some(why) = &pools.without_snapshots {
        eprintln!("NOTE: {why}");
    }
    let mut processes = Processes::new(home.path())?;
    let outcome = tokio::select! {
        outcome = serve(words, &home, &pools, &mut processes) => outcome,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    processes.end().await;
    pools.close(home.is_temporary());
    drop(lock);
    home.close();
    outcome
}

/// Begin of the names of temporary folders.
const TEMPORARY: &str = "berth-dev-";
/// A folder younger than this may be one that is being set up.
const YOUNG: std::time::Duration = std::time::Duration::from_secs(60);

/// Removes what a killed cluster left in the temporary folder: nobody holds its lock. What cannot be removed stays.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY)) {
        let home = entry.path();
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_none_or(|age| age < YOUNG) || !home.join("dev.lock").exists() {
            continue;
        }
        let Ok(lock) = lock(&home) else { continue };
        Pools::of(&home).close(false);
        // Still mounted: somebody uses a volume, whose file must not go.
        if place::is_mounted(&home.join("pools")).unwrap_or(true) {
            continue;
        }
        if std::fs::remove_dir_all(&home).is_ok() {
            eprintln!("NOTE: removed {}, which a killed cluster had left.", home.display());
        }
        drop(lock);
    }
}

/// Takes the folder for this process, as long as the returned file is open.
fn lock(home: &Path) -> anyhow::Result<std::fs::File> {
    let path = home.join("dev.lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!("another 'berth dev' runs in {}; end it first, or choose another --dir", home.display())
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

async fn serve(words: &DevWords, home: &Home, pools: &Pools, processes: &mut Processes) -> anyhow::Result<()> {
    let url = processes.start_controller(&words.listen).await?;
    for number in 1..=words.nodes {
        processes.start_satellite(&format!("dev-{number}")).await?;
    }
    if words.simulated > 0 {
        let names: Vec<String> = (1..=words.simulated).map(|number| format!("sim-{number}")).collect();
        processes.start_simulation(&names, &words.faults).await?;
    }
    let token_file = (!home.is_temporary()).then(|| token::file(home.path()));
    let door = grow::grow(&url, processes.satellites(), &pools.path, token_file.as_deref()).await?;
    introduce(&url, home.path(), token_file.filter(|_| door == Door::Token).as_deref());
    processes.watch().await
}

/// The `ready` line is for programs, the rest for people. `token_file`: callers need a token, and this has one.
fn introduce(url: &str, home: &Path, token_file: Option<&Path>) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let address = url.trim_start_matches("http://");
    let token = token_file.map_or(String::new(), |file| format!(" --token-file {}", file.display()));
    let text = format!(
        "ready {url}\n\nThe cluster is in {}. Try, in another terminal:\n  export LS_CONTROLLERS={address}\n  berth{token} node list\n  berth{token} resource-group spawn-resources DfltRscGrp first 200M --place-count 1\n  berth{token} resource list\n",
        home.display()
    );
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The folder of the cluster.
enum Home {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Home {
    fn open(named: Option<&Path>) -> anyhow::Result<Self> {
        match named {
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
                Ok(Self::Kept(path.canonicalize().with_context(|| format!("cannot use the folder {}", path.display()))?))
            }
            None => {
                sweep();
                let folder = tempfile::Builder::new().prefix(TEMPORARY).tempdir().context("cannot make a temporary folder")?;
                Ok(Self::Temporary(folder))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }

    fn close(self) {
        match self {
            Self::Kept(_) => {}
            Self::Temporary(folder) => {
                let path = folder.path().to_owned();
                if let Err(error) = folder.close() {
                    eprintln!("WARNING: {} could not be removed: {error}", path.display());
                }
            }
        }
    }
}
