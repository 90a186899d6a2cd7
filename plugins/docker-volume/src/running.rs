//! The plugin from its start to its end: configuration, socket, threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use berth_plugin_sdk::plugin::{Host, Level, PluginManifest, Running, no_operation};
use berth_plugin_sdk::{Fault, FaultKind};
use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::conf::Conf;
use crate::listen::Bounded;
use crate::machine::{self, Machine};
use crate::server::{Serving, routes};
use crate::volumes::Volumes;
use crate::{options, size};

/// Upstream's configuration file.
const CONF: &str = "/etc/linstor/docker-volume.conf";
/// Where dockerd looks for plugins; the name of the file is the driver's.
const SOCKET: &str = "/run/docker/plugins/berth.sock";
/// Folder of the mounts.
const ROOT: &str = "/var/lib/berth/docker-volumes";
/// How often devices are looked at for a new size, and clients that nobody uses.
const LOOK: Duration = Duration::from_secs(2);
/// Clients that nobody uses are looked for each so many looks.
const CLEAN_EACH: u32 = 30;
/// Calls under way have so long to end.
const GRACE: Duration = Duration::from_secs(3);

/// What it is.
pub fn manifest() -> PluginManifest {
    let mut manifest = PluginManifest::new(
        "docker-volume",
        env!("CARGO_PKG_VERSION"),
        "Volumes for Docker: the driver of `docker volume create -d berth`.",
    );
    manifest.operations = [
        ("list", "Docker's volumes with their mount points."),
        ("inspect", "One volume, as Docker shows it: {\"volume\": NAME}."),
        ("resize", "Makes a volume and its file system larger: {\"volume\": NAME, \"size\": \"20G\"}."),
        ("snapshot", "Takes a snapshot: {\"volume\": NAME, \"snapshot\": NAME}."),
        ("snapshots", "Names of the snapshots of a volume: {\"volume\": NAME}."),
        ("delete-snapshot", "Deletes a snapshot: {\"volume\": NAME, \"snapshot\": NAME}."),
        ("rollback", "Sets a volume that no container has back to a snapshot: {\"volume\": NAME, \"snapshot\": NAME}."),
        ("options", "The options of docker volume create."),
    ]
    .map(|(name, help)| (name.to_owned(), help.to_owned()))
    .to_vec();
    manifest
}

fn unusable(what: &str, path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("{what} {} cannot be used", path.display())).cause(why.to_string())
}

/// Largest configuration.
const LARGEST: u64 = 1 << 20;

fn configuration(host: &dyn Host) -> Result<Conf, Fault> {
    let named = host.settings().config;
    let path = PathBuf::from(if named.is_empty() { CONF } else { &named });
    let bad = |why: String| unusable("Configuration", &path, why).correction("Correct it, and start the satellite anew");
    // A link that leads nowhere is no missing file.
    if named.is_empty() && std::fs::symlink_metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Ok(Conf::default());
    }
    let of = std::fs::metadata(&path).map_err(|error| bad(error.to_string()))?;
    if !of.is_file() || of.len() > LARGEST {
        return Err(bad(if of.is_file() { format!("it is larger than {LARGEST} bytes") } else { "it is no file".to_owned() }));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
    let conf = Conf::parse(&text).map_err(bad)?;
    if !machine::is_private(&path) {
        host.log(Level::Warn, &format!("{} can be written by others than its owner", path.display()));
    }
    Ok(conf)
}

/// The listening socket. One that a dead process left is removed; one that answers is somebody else's.
fn bind(path: &Path) -> Result<(UnixListener, File), Fault> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|error| unusable("Folder", folder, error))?;
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    // Docker tries every socket in the folder, so that the lock lies there as a plain file.
    let lock_path = PathBuf::from(lock_path);
    let lock = File::create(&lock_path).map_err(|error| unusable("Lock", &lock_path, error))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() || UnixStream::connect(path).is_ok() {
        return Err(unusable("Socket", path, "another process serves it").correction("Stop the other one, or set 'socket' to another path"));
    }
    if std::fs::symlink_metadata(path).is_ok_and(|of| !of.file_type().is_socket()) {
        return Err(unusable("Socket", path, "something else lies there, which is not a socket").correction("Set 'socket' to another path"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable("Socket", path, error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| unusable("Socket", path, error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|error| unusable("Socket", path, error))?;
    listener.set_nonblocking(true).map_err(|error| unusable("Socket", path, error))?;
    Ok((listener, lock))
}

/// Starts it.
pub fn start(host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
    let conf = configuration(host.as_ref())?;
    let environment: BTreeMap<String, String> = std::env::vars().filter(|(name, _)| name.starts_with("LS_")).collect();
    let storage = match conf.controllers(&environment) {
        Some(controllers) => host.connect(&controllers)?,
        None => host.storage()?,
    };
    let setting = |key: &str, usual: &str| {
        let path = PathBuf::from(conf.setting(key).unwrap_or(usual));
        if path.is_absolute() && path.file_name().is_some() {
            return Ok(path);
        }
        Err(Fault::new(FaultKind::Unsupported, format!("Setting '{key}': '{}' is no absolute path", path.display()))
            .correction(format!("Write it like {usual}")))
    };
    let (socket, root) = (setting("socket", SOCKET)?, setting("mount-root", ROOT)?);
    let scope = match conf.setting("scope") {
        None => "global".to_owned(),
        Some(scope @ ("global" | "local")) => scope.to_owned(),
        Some(other) => return Err(Fault::new(FaultKind::Unsupported, format!("Setting 'scope': '{other}' is neither global nor local"))),
    };
    std::fs::create_dir_all(&root).map_err(|error| unusable("Folder", &root, error))?;
    // Only root and Docker reach the volumes: what containers put there may run as anybody.
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).map_err(|error| unusable("Folder", &root, error))?;
    // The kernel's table of mounts has it without links.
    let root = root.canonicalize().map_err(|error| unusable("Folder", &root, error))?;
    let (listener, lock) = bind(&socket)?;
    let ids = Path::new(&host.settings().run_dir).join("mounts.json");
    let telling = Arc::clone(&host);
    let tell = Box::new(move |warn: bool, line: &str| telling.log(if warn { Level::Warn } else { Level::Info }, line));
    let machine: Arc<dyn Machine> = Arc::new(machine::Host::new(root, ids));
    let volumes = Arc::new(Volumes::new(storage, machine, conf, tell));
    let stop = Arc::new(Stop::default());
    let log = Arc::clone(&host);
    let serving = Serving { volumes: Arc::clone(&volumes), scope, log: Arc::new(move |line: &str| log.log(Level::Debug, line)) };
    let threads =
        serve(listener, serving, Arc::clone(&stop)).and_then(|serving| Ok(vec![serving, look(Arc::clone(&volumes), Arc::clone(&stop))?]));
    let threads = threads.inspect_err(|_| {
        stop.tell();
        // Docker would wait for nobody.
        let _ = std::fs::remove_file(&socket);
    })?;
    host.log(Level::Info, &format!("Docker reaches the plugin at {}", socket.display()));
    Ok(Box::new(Docker { volumes, stop, threads: Mutex::new(threads), socket, _lock: lock }))
}

/// Says when it is over.
#[derive(Debug, Default)]
struct Stop {
    over: Mutex<bool>,
    told: Condvar,
    served: tokio::sync::Notify,
}

impl Stop {
    fn tell(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
        // Kept for whoever waits later.
        self.served.notify_one();
    }

    /// Waits at most so long; answers whether it is over.
    fn wait(&self, limit: Duration) -> bool {
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let (over, _) = self.told.wait_timeout_while(over, limit, |over| !*over).unwrap_or_else(PoisonError::into_inner);
        *over
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    let failed = |error: std::io::Error| Fault::new(FaultKind::Bug, "The system gives no thread").cause(error.to_string());
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
}

fn serve(listener: UnixListener, serving: Serving, stop: Arc<Stop>) -> Result<JoinHandle<()>, Fault> {
    let failed = |error: std::io::Error| Fault::new(FaultKind::Bug, "The plugin cannot listen").cause(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    thread("docker-volume", move || {
        runtime.block_on(async move {
            let Ok(listener) = tokio::net::UnixListener::from_std(listener) else { return };
            let (end, mut told) = tokio::sync::watch::channel(false);
            let first = async move { drop(told.wait_for(|over| *over).await) };
            let serve = axum::serve(Bounded::new(listener), routes(serving)).with_graceful_shutdown(first);
            let late = async move {
                stop.served.notified().await;
                // Whoever asked knows: the receivers live as long as this block.
                let _ = end.send(true);
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                _ = serve => {}
                () = late => {}
            }
        });
        runtime.shutdown_timeout(GRACE);
    })
}

fn look(volumes: Arc<Volumes>, stop: Arc<Stop>) -> Result<JoinHandle<()>, Fault> {
    thread("docker-grow", move || {
        let mut looks = 0_u32;
        loop {
            if looks.is_multiple_of(CLEAN_EACH) {
                // No controller: the next look finds it.
                let _ = volumes.clean();
            }
            looks = looks.wrapping_add(1);
            volumes.grow_all();
            if stop.wait(LOOK) {
                break;
            }
        }
    })
}

struct Docker {
    volumes: Arc<Volumes>,
    stop: Arc<Stop>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    socket: PathBuf,
    /// Held as long as the socket is ours.
    _lock: File,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Input {
    volume: String,
    snapshot: String,
    size: String,
}

impl Docker {
    fn carry_out(&self, operation: &str, input: &str) -> Result<Value, Fault> {
        let input: Input = if input.trim().is_empty() { Ok(Input::default()) } else { serde_json::from_str(input) }
            .map_err(|error| Fault::new(FaultKind::Unsupported, "The input cannot be read").cause(error.to_string()))?;
        let named = |what: &str, value: &str| {
            if value.is_empty() { Err(Fault::new(FaultKind::Unsupported, format!("The input has no '{what}'"))) } else { Ok(()) }
        };
        if !["list", "options"].contains(&operation) && manifest().operations.iter().any(|(name, _)| name == operation) {
            named("volume", &input.volume)?;
        }
        if ["snapshot", "delete-snapshot", "rollback"].contains(&operation) {
            named("snapshot", &input.snapshot)?;
        }
        let done = |()| json!({});
        match operation {
            "list" => {
                let all = self.volumes.list()?;
                Ok(all.into_iter().map(|seen| json!({"volume": seen.name, "mountpoint": seen.mountpoint})).collect())
            }
            "inspect" => self.volumes.get(&input.volume).map(
                |seen| json!({"volume": seen.name, "mountpoint": seen.mountpoint, "created_at": seen.created_at, "status": seen.status}),
            ),
            "resize" => {
                named("size", &input.size)?;
                let size = size::parse(&input.size).map_err(|why| Fault::new(FaultKind::Unsupported, format!("'size': {why}")))?;
                self.volumes.resize(&input.volume, size).map(done)
            }
            "snapshot" => self.volumes.snapshot(&input.volume, &input.snapshot).map(done),
            "snapshots" => self.volumes.snapshots(&input.volume).map(|names| json!(names)),
            "delete-snapshot" => self.volumes.delete_snapshot(&input.volume, &input.snapshot).map(done),
            "rollback" => self.volumes.rollback(&input.volume, &input.snapshot).map(done),
            "options" => Ok(json!(options::OPTIONS)),
            other => Err(no_operation(&manifest(), other)),
        }
    }
}

impl Running for Docker {
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault> {
        self.carry_out(operation, input).map(|answer| answer.to_string())
    }

    fn stop(&self) {
        self.stop.tell();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return;
        }
        // Docker is refused at once instead of waiting for nobody.
        let _ = std::fs::remove_file(&self.socket);
        let _ = std::fs::remove_file(format!("{}.lock", self.socket.display()));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_plugin_sdk::plugin::{Controllers, Settings};
    use berth_plugin_sdk::storage::Storage;
    use berth_plugin_sdk::storage::memory::MemoryStorage;

    use super::*;

    struct Fake(Settings);

    impl Host for Fake {
        fn settings(&self) -> Settings {
            self.0.clone()
        }
        fn storage(&self) -> Result<Arc<dyn Storage>, Fault> {
            Ok(Arc::new(MemoryStorage::new(&["one"])))
        }
        fn connect(&self, _to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
            self.storage()
        }
        fn log(&self, _level: Level, _line: &str) {}
    }

    fn host(folder: &Path, config: &Path) -> Arc<Fake> {
        let text = |path: &Path| path.display().to_string();
        Arc::new(Fake(Settings { config: text(config), run_dir: text(folder), data_dir: text(folder) }))
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("good"), "size = 1G\n").unwrap();
        std::fs::write(at("bad"), "size = 1G\nrepliacs = 2\n").unwrap();
        std::fs::write(at("binary"), [0xff, 0xfe, 0]).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink(at("good"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("gone"), at("dangling")).unwrap();
        for name in ["good", "link"] {
            let conf = configuration(host(folder.path(), &at(name)).as_ref()).unwrap();
            assert_eq!(conf.options(None).unwrap()["size"], "1G", "{name}");
        }
        for (name, word) in [
            ("bad", "line 2: option 'repliacs'"),
            ("binary", "UTF-8"),
            ("folder", "no file"),
            ("dangling", "No such file"),
            ("missing", "No such file"),
            ("/dev/zero", "no file"),
        ] {
            let path = at(name);
            let fault = configuration(host(folder.path(), &path).as_ref()).unwrap_err();
            assert!(fault.message.contains(&path.display().to_string()) && fault.cause.contains(word), "{fault:?}");
        }
    }

    #[test]
    fn what_cannot_serve_leaves_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (socket, conf) = (at("d.sock"), at("conf"));
        let start_with = |text: String| {
            std::fs::write(&conf, text).unwrap();
            start(host(folder.path(), &conf))
        };
        std::fs::write(at("file"), "").unwrap();
        let of = |root: &str| format!("socket={}\nmount-root={root}\n", socket.display());
        for (text, word) in [
            (of(&at("file/x").display().to_string()), "cannot be used"),
            (of("volumes"), "'mount-root': 'volumes' is no absolute path"),
            (format!("{}scope=everywhere\n", of(&at("m").display().to_string())), "'scope'"),
        ] {
            let fault = start_with(text).err().expect("it cannot start");
            assert!(fault.message.contains(word), "{fault:?}");
            assert!(!socket.exists());
        }
        // A root that is reached through a link is the folder behind it.
        std::fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
        let running = start_with(of(&at("link").display().to_string())).unwrap();
        assert!(socket.exists());
        running.stop();
        assert!(!socket.exists());
    }
}
