//! ZFS with its state in memory, as far as this provider uses it: what depends on what, inherited properties, and errors as the tool says them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use berth_conformance::{Bench, Inventory};
use berth_plugin_sdk::{Data, Device, Fault, FaultKind, Files, Machine, Output, Pool};

/// Block of a volume in KiB.
const BLOCK: u64 = 16;

#[derive(Debug, Clone, Default)]
struct Object {
    size: u64,
    thin: bool,
    origin: String,
    props: BTreeMap<String, String>,
    data: u64,
}

/// The machine and the bench.
#[derive(Debug)]
pub struct FakeZfs {
    pool: Pool,
    total: u64,
    taken: Cell<u64>,
    objects: RefCell<BTreeMap<String, Object>>,
}

fn ok(stdout: String) -> Output {
    Output { code: 0, stdout, stderr: String::new() }
}

fn error(stderr: String) -> Output {
    Output { code: 1, stdout: String::new(), stderr: format!("{stderr}\n") }
}

/// ZFS's own rule.
fn too_long(path: &str) -> bool {
    path.len() > 255
}

impl FakeZfs {
    pub fn new(kind: &str) -> Self {
        Self {
            pool: Pool { name: "tank".into(), kind: kind.into(), place: "tank/berth".into(), props: BTreeMap::new() },
            total: 64 << 20,
            taken: Cell::new(0),
            objects: RefCell::default(),
        }
    }

    /// Another's volume or snapshot.
    pub fn put(&self, path: &str, size: u64, mark: Option<&str>) {
        let props = mark.map(|mark| ("berth:mark".to_owned(), mark.to_owned())).into_iter().collect();
        self.objects.borrow_mut().insert(path.into(), Object { size, thin: true, props, ..Object::default() });
    }

    fn used(&self) -> u64 {
        let thick: u64 = self.objects.borrow().iter().filter(|(path, one)| !one.thin && !path.contains('@')).map(|(_, one)| one.size).sum();
        thick + self.taken.get()
    }

    fn full(&self) -> bool {
        self.used() >= self.total
    }

    fn list(&self, argv: &[&str]) -> Output {
        let place = *argv.last().unwrap();
        if too_long(place) {
            return error(format!("cannot open '{place}': name is too long"));
        }
        let objects = self.objects.borrow();
        let whole = argv.contains(&"-r");
        if !whole && !objects.contains_key(place) {
            return error(format!("cannot open '{place}': dataset does not exist"));
        }
        let snapshots_only = argv.contains(&"snapshot");
        let mut text = String::new();
        for (path, one) in objects.iter() {
            let at = path.contains('@');
            let inside =
                path == place || path.strip_prefix(place).is_some_and(|rest| rest.starts_with('@') || (whole && rest.starts_with('/')));
            if !inside || (snapshots_only && !at) {
                continue;
            }
            // A snapshot inherits from its volume.
            let volume = path.split('@').next().and_then(|volume| objects.get(volume));
            let prop = |key: &str| {
                one.props.get(key).or_else(|| volume.and_then(|volume| volume.props.get(key))).cloned().unwrap_or_else(|| "-".into())
            };
            let origin = if one.origin.is_empty() { "-" } else { &one.origin };
            let kind = if at { "snapshot" } else { "volume" };
            text += &format!("{path}\t{}\t0\t{kind}\t{origin}\t{}\t{}\n", one.size * 1024, prop("berth:mark"), prop("berth:gone"));
        }
        ok(text)
    }

    fn create(&self, argv: &[&str]) -> Output {
        if argv.contains(&"-n") {
            return ok(format!("create\t{}\nproperty\tvolsize\t{}\n", argv.last().unwrap(), BLOCK * 1024));
        }
        let path = *argv.last().unwrap();
        let value = |key: &str| argv.iter().position(|word| *word == key).and_then(|at| argv.get(at + 1)).copied().unwrap();
        let asked: u64 = value("-V").strip_suffix('K').unwrap().parse().unwrap();
        let thin = argv.contains(&"-s");
        if too_long(path) {
            return error(format!("cannot create '{path}': name is too long"));
        }
        if self.objects.borrow().contains_key(path) {
            return error(format!("cannot create '{path}': dataset already exists"));
        }
        let Some(size) = asked.div_ceil(BLOCK).checked_mul(BLOCK).filter(|size| *size < 1 << 43) else {
            return error(format!("cannot create '{path}': volume size exceeds limit for this system"));
        };
        if self.full() || (!thin && size > self.total - self.used()) {
            return error(format!("cannot create '{path}': out of space"));
        }
        let props = value("-o").split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        self.objects.borrow_mut().insert(path.into(), Object { size, thin, props, ..Object::default() });
        ok(String::new())
    }

    /// `snapshot` and `clone`.
    fn copy(&self, from: &str, to: &str, pair: &str, origin: &str) -> Output {
        let mut objects = self.objects.borrow_mut();
        let Some(source) = objects.get(from).cloned() else { return error(format!("cannot open '{from}': dataset does not exist")) };
        if too_long(to) {
            return error(format!("cannot create '{to}': name is too long"));
        }
        if objects.contains_key(to) {
            return error(format!("cannot create '{to}': dataset already exists"));
        }
        drop(objects);
        if self.full() {
            return error(format!("cannot create '{to}': out of space"));
        }
        objects = self.objects.borrow_mut();
        let props = pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        objects.insert(to.into(), Object { props, origin: origin.into(), thin: true, ..source });
        ok(String::new())
    }

    fn set(&self, pair: &str, path: &str) -> Output {
        let free = self.total.saturating_sub(self.used());
        let mut objects = self.objects.borrow_mut();
        let Some(one) = objects.get_mut(path) else { return error(format!("cannot open '{path}': dataset does not exist")) };
        let (key, value) = pair.split_once('=').unwrap();
        if key != "volsize" {
            one.props.insert(key.into(), value.into());
            return ok(String::new());
        }
        let size: u64 = value.strip_suffix('K').unwrap().parse().unwrap();
        if !size.is_multiple_of(BLOCK) {
            return error(format!("cannot set property for '{path}': 'volsize' must be a multiple of volume block size"));
        }
        if !one.thin && size.saturating_sub(one.size) > free {
            return error(format!("cannot set property for '{path}': out of space"));
        }
        one.size = size;
        ok(String::new())
    }

    fn rename(&self, from: &str, to: &str) -> Output {
        let mut objects = self.objects.borrow_mut();
        if objects.contains_key(to) {
            return error(format!("cannot rename to '{to}': dataset already exists"));
        }
        if !objects.contains_key(from) {
            return error(format!("cannot open '{from}': dataset does not exist"));
        }
        // A volume takes its snapshots along, and what was made from them knows it.
        let moved = |path: &str| match path.strip_prefix(from) {
            Some(rest) if rest.is_empty() || rest.starts_with('@') => format!("{to}{rest}"),
            Some(_) | None => path.to_owned(),
        };
        let all = std::mem::take(&mut *objects);
        if all.keys().any(|path| too_long(&moved(path))) {
            *objects = all;
            return error(format!("cannot rename to '{to}': name is too long"));
        }
        *objects = all.into_iter().map(|(path, one)| (moved(&path), Object { origin: moved(&one.origin), ..one })).collect();
        ok(String::new())
    }

    fn destroy(&self, path: &str) -> Output {
        let mut objects = self.objects.borrow_mut();
        if objects.keys().any(|other| other.starts_with(&format!("{path}@"))) {
            return error(format!("cannot destroy '{path}': volume has children"));
        }
        if objects.values().any(|other| other.origin == path) {
            return error(format!("cannot destroy '{path}': snapshot has dependent clones"));
        }
        match objects.remove(path) {
            Some(_) => ok(String::new()),
            None => error(format!("cannot open '{path}': dataset does not exist")),
        }
    }

    fn device<T>(&self, path: &str, act: impl FnOnce(&mut Object) -> T) -> Result<T, Fault> {
        let mut objects = self.objects.borrow_mut();
        let object = path.strip_prefix("/dev/zvol/").and_then(|name| objects.get_mut(name));
        object.map(act).ok_or_else(|| Fault::new(FaultKind::Tool, format!("{path}: No such file or directory")))
    }
}

impl Machine for FakeZfs {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        Ok(match argv {
            ["zfs", "list", ..] => self.list(argv),
            ["zfs", "get", .., "available", _] => ok(format!("{}\n", self.total.saturating_sub(self.used()) * 1024)),
            ["zfs", "get", .., "used", _] => ok(format!("{}\n", self.used() * 1024)),
            ["zfs", "create", ..] => self.create(argv),
            ["zfs", "snapshot", "-o", pair, to] => self.copy(to.split('@').next().unwrap(), to, pair, ""),
            ["zfs", "clone", "-o", pair, from, to] => self.copy(from, to, pair, from),
            ["zfs", "set", pair, path] => self.set(pair, path),
            ["zfs", "rename", from, to] => self.rename(from, to),
            ["zfs", "destroy", path] => self.destroy(path),
            other => error(format!("unrecognized command '{}'", other.join(" "))),
        })
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        Err(Fault::new(FaultKind::Unsupported, "A dataset of volumes is no folder"))
    }

    fn log(&self, _line: &str) {}
}

impl Bench for FakeZfs {
    fn machine(&self) -> &dyn Machine {
        self
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        Ok(self.objects.borrow().iter().map(|(path, one)| (path.clone(), format!("{one:?}"))).collect())
    }

    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault> {
        self.device(&device.path, |one| one.data = stamp)
    }

    fn read(&self, device: &Device) -> Result<u64, Fault> {
        self.device(&device.path, |one| one.data)
    }

    fn copy(&self, _from: &Data, _to: &Data) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Bug, "nothing is copied"))
    }

    fn pipe(&self, sender: &[String], _receiver: &[String]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Bug, sender.join(" ")))
    }

    fn disown(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.objects.borrow_mut().get_mut(key).map(|one| one.props.clear()).is_some())
    }

    fn discard(&self, key: &str) -> Result<(), Fault> {
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    fn fill(&self, full: bool) -> Result<bool, Fault> {
        self.taken.set(0);
        if full {
            self.taken.set(self.total.saturating_sub(self.used()));
        }
        Ok(true)
    }
}
