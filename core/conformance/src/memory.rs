//! A bench in memory, for providers that make requests on files.

use std::collections::BTreeMap;

use berth_plugin_sdk::memory::{Memory, MemoryMachine};
use berth_plugin_sdk::{Data, Device, Fault, FaultKind, Files, Kib, Machine, Pool};

use crate::bench::{Bench, Inventory};

/// A pool in memory of 64 GiB, in folder `/pool`.
#[derive(Debug, Clone)]
pub struct MemoryBench {
    machine: MemoryMachine,
    total: Kib,
}

impl MemoryBench {
    /// A pool of this provider kind.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self::with_props(kind, &[])
    }

    /// A pool of this provider kind with these properties.
    #[must_use]
    pub fn with_props(kind: &str, props: &[(&str, &str)]) -> Self {
        let total = Kib(64 << 20);
        let props: BTreeMap<_, _> = props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let pool = Pool { name: "conformance".into(), kind: kind.into(), place: "/pool".into(), props };
        Self { machine: MemoryMachine::new(pool, Memory::new(total)), total }
    }

    /// Its folder, e.g. to [switch reflinks off](Memory::set_reflinks).
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.machine.memory()
    }

    fn file_behind(&self, device: &Device) -> Result<String, Fault> {
        let fault = |why: String| Fault::new(FaultKind::Tool, format!("Device '{}' cannot be used", device.path)).cause(why);
        let serves = |name: &String| matches!(self.memory().device(name), Ok(Some(other)) if other.path == device.path);
        self.memory().names().into_iter().find(serves).ok_or_else(|| fault("It serves nothing".into()))
    }
}

fn named(data: &Data) -> Result<&str, Fault> {
    match data {
        Data::File(name) => Ok(name),
        Data::Device(path) => {
            Err(Fault::new(FaultKind::Unsupported, format!("'{path}' cannot be copied")).cause("A pool in memory has files only"))
        }
    }
}

impl Bench for MemoryBench {
    fn machine(&self) -> &dyn Machine {
        &self.machine
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        let files = self.memory().state().into_iter().filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            Some((name.to_owned(), rest.to_owned()))
        });
        let lost = self.memory().lost_devices().into_iter().map(|path| (path, "a device whose file is gone".to_owned()));
        Ok(files.chain(lost).collect())
    }

    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault> {
        self.memory().write(&self.file_behind(device)?, stamp);
        Ok(())
    }

    fn read(&self, device: &Device) -> Result<u64, Fault> {
        Ok(self.memory().read(&self.file_behind(device)?).unwrap_or_default())
    }

    fn copy(&self, from: &Data, to: &Data) -> Result<(), Fault> {
        self.memory().copy(named(from)?, named(to)?);
        Ok(())
    }

    fn pipe(&self, sender: &[String], _receiver: &[String]) -> Result<(), Fault> {
        Err(Fault::new(FaultKind::Unsupported, "A pool in memory runs no commands").details(sender.join(" ")))
    }

    fn disown(&self, key: &str) -> Result<bool, Fault> {
        let Ok(Some(seen)) = self.memory().look(key) else { return Ok(false) };
        self.memory().put(key, seen.size, None);
        Ok(true)
    }

    fn discard(&self, key: &str) -> Result<(), Fault> {
        self.memory().remove(key).map_err(|error| error.fault(self.machine.pool()))
    }

    fn fill(&self, full: bool) -> Result<bool, Fault> {
        self.memory().fill(if full { self.total } else { Kib(0) });
        Ok(true)
    }
}
