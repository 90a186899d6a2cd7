//! LVM with its state in memory, as far as this provider uses it: rows, attributes and errors as the tools print them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use berth_conformance::{Bench, Inventory};
use berth_plugin_sdk::{Data, Device, Fault, FaultKind, Files, Kib, Machine, Output, Pool};

/// Extent in KiB.
pub const EXTENT: u64 = 4096;

#[derive(Debug, Clone, Default)]
struct Volume {
    size: u64,
    tags: Vec<String>,
    thin: bool,
    active: bool,
    skip: bool,
    read_only: bool,
    data: u64,
    /// What its end has.
    end: u64,
}

/// The machine and the bench.
#[derive(Debug)]
pub struct FakeLvm {
    pool: Pool,
    total: u64,
    taken: Cell<u64>,
    volumes: RefCell<BTreeMap<String, Volume>>,
    pub ran: RefCell<Vec<String>>,
    /// What the last removed thick volume had at its end: the next one begins with it.
    dirt: Cell<u64>,
}

fn ok(stdout: String) -> Output {
    Output { code: 0, stdout, stderr: String::new() }
}

fn error(stderr: &str) -> Output {
    Output { code: 5, stdout: String::new(), stderr: format!("  {stderr}\n") }
}

/// LVM's own rules of names, as `lvm(8)` says them, and the kernel's of devices in group `vg`.
fn bad_name(name: &str) -> Option<Output> {
    let inside = [
        "_cdata", "_cmeta", "_corig", "_cvol", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vorigin",
        "_vdata",
    ];
    let kept = inside.iter().any(|word| name.contains(word)) || name.starts_with("snapshot") || name.starts_with("pvmove");
    let known = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
    let long = "vg-".len() + name.len() + name.matches('-').count() > 127;
    (kept || long || name.starts_with('-') || !name.chars().all(known))
        .then(|| error(&format!("Logical volume name \"{name}\" is invalid.")))
}

impl FakeLvm {
    pub fn new(kind: &str) -> Self {
        let place = if kind == "LVM" { "vg" } else { "vg/tp" };
        Self {
            pool: Pool { name: "fast".into(), kind: kind.into(), place: place.into(), props: BTreeMap::new() },
            total: 64 << 20,
            taken: Cell::new(0),
            volumes: RefCell::default(),
            ran: RefCell::default(),
            dirt: Cell::new(0),
        }
    }

    /// Another's volume.
    pub fn put(&self, name: &str, size: u64, tags: &[&str]) {
        let thin = self.is_thin();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.volumes.borrow_mut().insert(name.into(), Volume { size, tags, thin, ..Volume::default() });
    }

    fn is_thin(&self) -> bool {
        self.pool.kind == "LVM_THIN"
    }

    fn free(&self) -> u64 {
        let used: u64 = self.volumes.borrow().values().filter(|one| !one.thin).map(|one| one.size).sum();
        self.total.saturating_sub(used).saturating_sub(self.taken.get())
    }

    fn lv_row(&self, name: &str, one: &Volume) -> String {
        let attr = format!(
            "{}{}i-{}-{}{}",
            if one.thin { 'V' } else { '-' },
            if one.read_only { 'r' } else { 'w' },
            if one.active { 'a' } else { '-' },
            if one.thin { "tz-" } else { "---" },
            if one.skip { 'k' } else { '-' }
        );
        let (pool, share) = if one.thin { ("tp", "0.00") } else { ("", "") };
        format!(
            "{{\"lv_name\":\"{name}\", \"lv_size\":\"{}\", \"lv_attr\":\"{attr}\", \"lv_tags\":\"{}\", \"pool_lv\":\"{pool}\", \"data_percent\":\"{share}\", \"origin\":\"\"}}",
            one.size * 1024,
            one.tags.join(",")
        )
    }

    fn lvs(&self, argv: &[&str]) -> Output {
        let only = argv.iter().find_map(|word| word.strip_prefix("lv_name="));
        let volumes = self.volumes.borrow();
        let mut rows: Vec<String> =
            volumes.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).map(|(name, one)| self.lv_row(name, one)).collect();
        if self.is_thin() && only.is_none_or(|only| only == "tp") {
            // What strangers take of the pool, in hundredths of a percent.
            let share = self.taken.get() * 10_000 / self.total;
            rows.push(format!(
                "{{\"lv_name\":\"tp\", \"lv_size\":\"{}\", \"lv_attr\":\"twi-aotz--\", \"lv_tags\":\"\", \"pool_lv\":\"\", \"data_percent\":\"{}.{:02}\", \"origin\":\"\"}}",
                self.total * 1024,
                share / 100,
                share % 100
            ));
        }
        ok(format!("  {{\n \"report\": [ {{ \"lv\": [ {} ] }} ]\n }}\n", rows.join(",\n")))
    }

    fn create(&self, argv: &[&str]) -> Output {
        let value = |key: &str| argv.iter().position(|word| *word == key).and_then(|at| argv.get(at + 1)).copied();
        let name = value("--name").unwrap().to_owned();
        if self.volumes.borrow().contains_key(&name) {
            return error(&format!("Logical Volume \"{name}\" already exists in volume group \"vg\"."));
        }
        if let Some(refused) = bad_name(&name) {
            return refused;
        }
        let tags = vec![value("--addtag").unwrap().to_owned()];
        if argv.contains(&"--snapshot") {
            let source = argv.last().unwrap().strip_prefix("vg/").unwrap();
            let Some(origin) = self.volumes.borrow().get(source).cloned() else { return error("Failed to find logical volume") };
            if self.taken.get() >= self.total {
                return error("Cannot create new thin volume, free space in thin pool vg/tp reached threshold: Insufficient free space.");
            }
            let (skip, read_only) = (value("--setactivationskip") == Some("y"), value("--permission") == Some("r"));
            let copy = Volume { tags, skip, read_only, active: !skip, ..origin };
            self.volumes.borrow_mut().insert(name, copy);
            return ok(String::new());
        }
        let asked: u64 = value("--size").or(value("--virtualsize")).and_then(|text| text.strip_suffix('k')).unwrap().parse().unwrap();
        let Some(size) = asked.div_ceil(EXTENT).checked_mul(EXTENT).filter(|size| *size < 1 << 43) else {
            return error("Invalid argument for --size: too large");
        };
        let thin = value("--thinpool").is_some();
        if (!thin && size > self.free()) || self.taken.get() >= self.total {
            return error(&format!(
                "Volume group \"vg\" has insufficient free space ({} extents): {} required.",
                self.free() / EXTENT,
                size / EXTENT
            ));
        }
        self.volumes
            .borrow_mut()
            .insert(name, Volume { size, tags, thin, active: true, end: if thin { 0 } else { self.dirt.get() }, ..Volume::default() });
        ok(String::new())
    }

    fn change(&self, argv: &[&str]) -> Output {
        let name = argv.last().unwrap().strip_prefix("vg/").unwrap();
        let mut volumes = self.volumes.borrow_mut();
        let Some(one) = volumes.get_mut(name) else { return error(&format!("Failed to find logical volume \"vg/{name}\"")) };
        for pair in argv.windows(2) {
            match pair {
                ["--activate", word] if *word == "n" || !one.skip || argv.contains(&"--ignoreactivationskip") => one.active = *word == "y",
                ["--addtag", tag] => one.tags.push((*tag).to_owned()),
                ["--deltag", tag] => one.tags.retain(|other| other != tag),
                _ => {}
            }
        }
        ok(String::new())
    }

    fn extend(&self, argv: &[&str]) -> Output {
        let name = argv.last().unwrap().strip_prefix("vg/").unwrap();
        let free = self.free();
        let mut volumes = self.volumes.borrow_mut();
        let one = volumes.get_mut(name).unwrap();
        let asked: u64 = argv.get(3).and_then(|text| text.strip_suffix('k')).unwrap().parse().unwrap();
        let size = asked.div_ceil(EXTENT) * EXTENT;
        if size <= one.size {
            return error("New size (… extents) matches existing size.");
        }
        if !one.thin && size - one.size > free {
            return error("Insufficient free space: extents needed");
        }
        (one.size, one.end) = (size, if one.thin { 0 } else { self.dirt.get() });
        ok(String::new())
    }

    fn named<T>(&self, device: &str, act: impl FnOnce(&mut Volume) -> T) -> Result<T, Fault> {
        let missing = || Fault::new(FaultKind::Tool, format!("{device}: No such file or directory"));
        let name = device.strip_prefix("/dev/vg/").ok_or_else(missing)?;
        match self.volumes.borrow_mut().get_mut(name) {
            Some(one) if one.active => Ok(act(one)),
            Some(_) | None => Err(missing()),
        }
    }
}

impl Machine for FakeLvm {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.ran.borrow_mut().push(argv.join(" "));
        let name = argv.last().unwrap().strip_prefix("vg/");
        Ok(match *argv.first().unwrap() {
            "lvs" => self.lvs(argv),
            "vgs" => ok(format!(
                "{{\"report\":[{{\"vg\":[{{\"vg_extent_size\":\"{}\", \"vg_size\":\"{}\", \"vg_free\":\"{}\"}}]}}]}}",
                EXTENT * 1024,
                self.total * 1024,
                self.free() * 1024
            )),
            "lvcreate" => self.create(argv),
            "lvchange" => self.change(argv),
            "lvextend" => self.extend(argv),
            "lvrename" => {
                let (from, to) = (argv[2], argv[3]);
                let mut volumes = self.volumes.borrow_mut();
                if let Some(refused) = bad_name(to) {
                    return Ok(refused);
                }
                if volumes.contains_key(to) {
                    return Ok(error(&format!("Logical volume \"{to}\" already exists in volume group \"vg\"")));
                }
                match volumes.remove(from) {
                    Some(one) => {
                        volumes.insert(to.to_owned(), one);
                        ok(String::new())
                    }
                    None => error("Existing logical volume not found"),
                }
            }
            "lvremove" => match self.volumes.borrow_mut().remove(name.unwrap()) {
                Some(one) => {
                    if !one.thin {
                        self.dirt.set(one.end);
                    }
                    ok(String::new())
                }
                None => error("Failed to find logical volume"),
            },
            other => error(&format!("{other}: command not found")),
        })
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        Err(Fault::new(FaultKind::Unsupported, "A volume group is no folder"))
    }

    fn log(&self, _line: &str) {}
}

impl Bench for FakeLvm {
    fn machine(&self) -> &dyn Machine {
        self
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        Ok(self.volumes.borrow().iter().map(|(name, one)| (name.clone(), format!("{one:?}"))).collect())
    }

    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault> {
        self.named(&device.path, |one| (one.data, one.end) = (stamp, stamp))
    }

    fn read(&self, device: &Device) -> Result<u64, Fault> {
        self.named(&device.path, |one| one.data)
    }

    fn read_end(&self, device: &Device) -> Result<Option<u64>, Fault> {
        self.named(&device.path, |one| Some(one.end))
    }

    fn copy(&self, from: &Data, to: &Data) -> Result<(), Fault> {
        let (Data::Device(from), Data::Device(to)) = (from, to) else { return Err(Fault::new(FaultKind::Bug, "files")) };
        let (data, end) = self.named(from, |one| (one.data, one.end))?;
        self.named(to, |one| (one.data, one.end) = (data, end))
    }

    fn pipe(&self, sender: &[String], _receiver: &[String]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Bug, sender.join(" ")))
    }

    fn disown(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.volumes.borrow_mut().get_mut(key).map(|one| one.tags.clear()).is_some())
    }

    fn discard(&self, key: &str) -> Result<(), Fault> {
        self.volumes.borrow_mut().remove(key);
        Ok(())
    }

    fn fill(&self, full: bool) -> Result<bool, Fault> {
        self.taken.set(0);
        if full {
            self.taken.set(if self.is_thin() { self.total } else { self.free() });
        }
        Ok(true)
    }

    fn slack(&self) -> Kib {
        Kib(0)
    }
}
