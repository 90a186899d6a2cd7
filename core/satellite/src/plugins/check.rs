//! Runs the conformance kit on this machine: real files, real devices, the commands that a provider asks for.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_conformance::{Bench, Inventory, Report, Settings, check as run_kit};
use berth_plugin_sdk::{Data, Device, Fault, FaultKind, Filled, Kib, Machine, Marked, Operator, Pool};
use berth_sandbox::{Sandbox, SandboxError};
use rustix::fs::removexattr;

use super::folder::{BadConfig, whole};
use super::{Loaded, PluginError, load};
use crate::capabilities;
use crate::config::SatelliteError;
use crate::folders::Folders;
use crate::hands::Hands;
use crate::loops::Loops;
use crate::machine::{HostMachine, MARK, Shared};
use crate::orders;

/// What is written at the begin and at the end of a device, bytes.
const BLOCK: u64 = 4096;
/// By how much free space may differ from what volumes take: others write to the same file system meanwhile.
const SLACK: Kib = Kib(16 << 10);

/// What to check, and where.
#[derive(Debug, Clone)]
pub struct CheckPlan {
    /// A folder that is empty; the pools of files are made in it.
    pub scratch: PathBuf,
    /// Place of a pool that is there (a folder, a volume group, a dataset); `None`: folders are made.
    pub place: Option<String>,
    /// Kinds of pools; none: all that the provider serves.
    pub kinds: Vec<String>,
    /// Properties of the pool.
    pub props: BTreeMap<String, String>,
    /// What the kit makes.
    pub settings: Settings,
    /// Whether all the space of the pool may be taken for a moment.
    pub fill: bool,
    /// Longest time of a command.
    pub tool_timeout: Duration,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] BadConfig),
    /// It is no plugin that can be used.
    #[error("'{}' cannot be used: {cause}", path.display())]
    Plugin {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: PluginError,
    },
    /// Components cannot be run here.
    #[error("components cannot be run on this machine: {0}")]
    Sandbox(#[from] SandboxError),
    /// It does not serve this kind.
    #[error("'{name}' does not serve storage pools of kind '{kind}', but {serves}")]
    Kind {
        /// The provider.
        name: String,
        /// The kind that was asked for.
        kind: String,
        /// What it serves.
        serves: String,
    },
    /// It makes no requests on files, so a folder is no pool for it.
    #[error("'{0}' works on no folder, so a pool of its kind must be named")]
    Place(String),
    /// A property has a value that the provider's manifest does not allow.
    #[error("'{key}' cannot be '{value}': {why}")]
    Property {
        /// The property.
        key: String,
        /// Its value.
        value: String,
        /// Why not.
        why: String,
    },
    /// The scratch folder cannot be used.
    #[error("'{}' cannot be used: {cause}", path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The scratch folder holds something that cannot be used.
    #[error("{0}")]
    Satellite(#[from] SatelliteError),
}

impl CheckError {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::File(_) => "Check the path and the permissions".to_owned(),
            Self::Plugin { cause, .. } => cause.correction(),
            Self::Sandbox(_) => "Report this with the machine's processor and kernel".to_owned(),
            Self::Kind { .. } => "Name one of these with --kind".to_owned(),
            Self::Place(_) => "Name an empty pool with --pool, e.g. a volume group".to_owned(),
            Self::Property { .. } => "Give it another value".to_owned(),
            Self::Scratch { .. } | Self::Satellite(_) => "Set TMPDIR to a folder that can be written".to_owned(),
        }
    }
}

/// Loads the provider of a file and runs the kit on it, once for each kind; `progress` is told each check before it begins.
/// Call it on a thread of a runtime that may block. A library is opened: it is trusted code from here on.
///
/// # Errors
/// [`CheckError`], before anything was done.
pub fn check(file: &Path, plan: &CheckPlan, progress: &mut dyn FnMut(&str)) -> Result<Vec<Report>, CheckError> {
    let bytes = whole(file)?;
    let sandbox = Sandbox::new(None)?;
    let loaded = load(&sandbox, file, &bytes, &Operator::default()).map_err(|cause| CheckError::Plugin { path: file.to_owned(), cause })?;
    check_loaded(&loaded, plan, progress)
}

fn check_loaded(loaded: &Loaded, plan: &CheckPlan, progress: &mut dyn FnMut(&str)) -> Result<Vec<Report>, CheckError> {
    let manifest = loaded.manifest();
    let kinds = if plan.kinds.is_empty() { &manifest.kinds } else { &plan.kinds };
    if let Some(kind) = kinds.iter().find(|kind| !manifest.kinds.contains(kind)) {
        let serves = manifest.kinds.join(", ");
        return Err(CheckError::Kind { name: manifest.name.clone(), kind: kind.clone(), serves });
    }
    if plan.place.is_none() && !manifest.files {
        return Err(CheckError::Place(manifest.name.clone()));
    }
    for (key, value) in &plan.props {
        let Some(property) = manifest.props.iter().find(|property| property.key == *key) else { continue };
        property.check(value).map_err(|why| CheckError::Property { key: key.clone(), value: value.clone(), why })?;
    }
    let (_, attaches) = capabilities::probe();
    let folders = Folders::open(&plan.scratch)?;
    let shared = Arc::new(Shared {
        hands: Hands::new(plan.tool_timeout),
        loops: Loops::default(),
        folders,
        attaches,
        lines: crate::lines::Lines::default(),
    });
    let mut reports = Vec::new();
    for kind in kinds {
        let place = match &plan.place {
            Some(place) => place.clone(),
            None => {
                let path = plan.scratch.join(format!("pool-{}", kind.to_lowercase()));
                let made = std::fs::create_dir(&path).and_then(|()| path.canonicalize());
                made.map_err(|cause| CheckError::Scratch { path, cause })?.display().to_string()
            }
        };
        let pool = Pool { name: "conformance".into(), kind: kind.clone(), place, props: plan.props.clone() };
        let machine = HostMachine::open(pool.clone(), Arc::clone(loaded.grants()), Arc::clone(&shared));
        let bench = HostBench { machine, pool, loaded, shared: Arc::clone(&shared), fill: plan.fill };
        reports.push(run_kit(loaded.calls(), &bench, &plan.settings, &mut |title| progress(&format!("{kind}: {title}"))));
    }
    // What a defective provider left on files of the scratch folder is let go: the folder is removed, and nobody else knows of them.
    let scratch = plan.scratch.canonicalize().unwrap_or_else(|_| plan.scratch.clone());
    for device in loop_devices(&scratch).keys() {
        if let Err(fault) = shared.hands.need(&["losetup", "--detach", device]) {
            tracing::warn!(%device, message = %fault.message, cause = %fault.cause, "a device that the provider left stays");
        }
    }
    Ok(reports)
}

/// A pool of this machine.
struct HostBench<'a> {
    machine: HostMachine,
    pool: Pool,
    loaded: &'a Loaded,
    shared: Arc<Shared>,
    fill: bool,
}

fn fault(what: &str, path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Tool, format!("'{}' cannot be {what}", path.display()))
        .cause(error.to_string())
        .correction("Look whether something else uses it")
}

impl HostBench<'_> {
    /// The pool's folder, if it is one.
    fn folder(&self) -> Option<&Path> {
        self.loaded.manifest().files.then(|| Path::new(&self.pool.place))
    }

    /// Files by their length and mark.
    fn files(&self, folder: &Path) -> Result<Inventory, Fault> {
        let mut all = Inventory::new();
        for entry in std::fs::read_dir(folder).map_err(|error| fault("read", folder, &error))? {
            let path = entry.map_err(|error| fault("read", folder, &error))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let about = match path.symlink_metadata() {
                Ok(about) => about,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(fault("read", &path, &error)),
            };
            let mut text = [0u8; 1024];
            let length = rustix::fs::lgetxattr(&path, MARK, &mut text).unwrap_or(0);
            let mark = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
            all.insert(name, format!("{} bytes, mark '{mark}'", about.len()));
        }
        Ok(all)
    }

    /// What the provider lists, where the host cannot look for itself.
    fn listed(&self) -> Result<Inventory, Fault> {
        let all = self.loaded.calls().list(&self.machine)?;
        let line = |marked: &Marked| match marked {
            Marked::By(mark) => mark.render(),
            Marked::Unmarked => "no mark".to_owned(),
            Marked::Foreign(why) => why.clone(),
        };
        Ok(all.into_iter().map(|found| (found.name.to_string(), format!("{}, {}", found.size, line(&found.marked)))).collect())
    }
}

/// Loop devices by the file that they serve, below a folder; those of removed files, too.
fn loop_devices(folder: &Path) -> Inventory {
    let mut all = Inventory::new();
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let Ok(file) = std::fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
        if Path::new(file.trim_end()).starts_with(folder) {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.insert(format!("/dev/{name}"), format!("serves {}", file.trim_end()));
        }
    }
    all
}

impl Bench for HostBench<'_> {
    fn machine(&self) -> &dyn Machine {
        &self.machine
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        let Some(folder) = self.folder() else { return self.listed() };
        let mut all = self.files(folder)?;
        all.extend(loop_devices(folder));
        Ok(all)
    }

    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault> {
        let path = Path::new(&device.path);
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(path)?;
            let mut block = [0u8; 4096];
            block[..8].copy_from_slice(&stamp.to_be_bytes());
            file.write_all(&block)?;
            // A device of one block has no other end.
            if let Some(end) = device.size.bytes().and_then(|bytes| bytes.checked_sub(BLOCK)).filter(|end| *end >= BLOCK) {
                file.seek(SeekFrom::Start(end))?;
                file.write_all(&block)?;
            }
            file.sync_all()
        };
        write().map_err(|error| fault("written to", path, &error))
    }

    fn read(&self, device: &Device) -> Result<u64, Fault> {
        let path = Path::new(&device.path);
        let mut bytes = [0u8; 8];
        File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(|error| fault("read", path, &error))?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn read_end(&self, device: &Device) -> Result<Option<u64>, Fault> {
        let path = Path::new(&device.path);
        let Some(end) = device.size.bytes().and_then(|bytes| bytes.checked_sub(BLOCK)) else { return Ok(None) };
        let mut bytes = [0u8; 8];
        let read = File::open(path).and_then(|mut file| file.seek(SeekFrom::Start(end)).and_then(|_| file.read_exact(&mut bytes)));
        read.map_err(|error| fault("read", path, &error))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn copy(&self, from: &Data, to: &Data) -> Result<(), Fault> {
        let order = Filled::Copy { from: from.clone(), to: to.clone() };
        orders::carry_out(&self.shared.hands, self.loaded.grants(), &self.pool, &order)
    }

    fn pipe(&self, sender: &[String], receiver: &[String]) -> Result<(), Fault> {
        let order = Filled::Pipe { sender: sender.to_vec(), receiver: receiver.to_vec() };
        orders::carry_out(&self.shared.hands, self.loaded.grants(), &self.pool, &order)
    }

    fn disown(&self, key: &str) -> Result<bool, Fault> {
        match self.folder() {
            Some(folder) => Ok(removexattr(folder.join(key), MARK).is_ok()),
            None => Ok(false),
        }
    }

    fn discard(&self, key: &str) -> Result<(), Fault> {
        let Some(folder) = self.folder() else { return Ok(()) };
        let path = folder.join(key);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(fault("removed", &path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn may_take_all(&self) -> bool {
        self.fill
    }

    fn slack(&self) -> Kib {
        SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_plugin_sdk::uuid::Uuid;

    fn plan(scratch: &Path) -> CheckPlan {
        CheckPlan {
            scratch: scratch.to_owned(),
            place: None,
            kinds: Vec::new(),
            props: BTreeMap::new(),
            settings: Settings { cluster: Uuid::from_u128(0xc0ff_ee00_0000_0000), volumes: 40, ..Settings::default() },
            fill: false,
            tool_timeout: Duration::from_secs(60),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_provider_passes_on_this_machine() {
        let scratch = tempfile::tempdir().unwrap();
        let plan = plan(scratch.path());
        let reports =
            tokio::task::spawn_blocking(move || check_loaded(&Loaded::linked(berth_provider_file::FileProvider), &plan, &mut |_| {}));
        let reports = reports.await.unwrap().unwrap();
        assert_eq!(reports.iter().map(|report| report.kind.as_str()).collect::<Vec<_>>(), ["FILE", "FILE_THIN"]);
        for report in &reports {
            assert!(report.passed(), "{report}");
            let skipped =
                |id: &str| report.checks.iter().any(|c| c.id == id && matches!(c.outcome, berth_conformance::Outcome::Skipped(_)));
            assert!(!skipped("unmarked") && !skipped("adopt") && !skipped("clone") && skipped("full"), "{report}");
        }
        assert!(loop_devices(&scratch.path().canonicalize().unwrap()).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_checked_is_refused_before_anything_is_done() {
        let scratch = tempfile::tempdir().unwrap();
        let plan = plan(scratch.path());
        let linked = Loaded::linked(berth_provider_file::FileProvider);
        let other = CheckPlan { kinds: vec!["ZFS".into()], ..plan.clone() };
        let error = check_loaded(&linked, &other, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("'ZFS'") && error.to_string().contains("FILE_THIN"), "{error}");
        let file = scratch.path().join("text.wasm");
        std::fs::write(&file, "no plugin").unwrap();
        let error = check(&file, &plan, &mut |_| {}).unwrap_err();
        assert!(matches!(error, CheckError::Plugin { .. }) && !error.correction().is_empty(), "{error}");
        assert!(check(&scratch.path().join("missing"), &plan, &mut |_| {}).is_err());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
