//! Making and removing volumes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use berth_plugin_sdk::storage::{Source, Volume};
use berth_plugin_sdk::{Fault, FaultKind};

use super::{MARK, NAME, Volumes, line, locked, records};
use crate::filling::Record;
use crate::machine::PAUSE;
use crate::names;
use crate::options::{self, BadOption, Wanted};

/// A device that was just unmounted may be held for a moment, by a mount namespace that ends or whoever looks at closed devices; and satellites look
/// at devices that moved data every 10 s. So long "in use" is not the last word. Docker waits for two minutes.
const IN_USE_FOR: Duration = Duration::from_secs(25);

impl From<BadOption> for Fault {
    fn from(of: BadOption) -> Self {
        Self::new(FaultKind::Unsupported, of.to_string())
    }
}

impl Volumes {
    fn wanted(&self, said: &BTreeMap<String, String>) -> Result<Wanted, Fault> {
        let profile = options::profile(said)?;
        let configured = self.conf.options(profile.as_deref()).ok_or_else(|| {
            let name = profile.clone().unwrap_or_default();
            let near = options::nearest(&name, self.conf.profiles()).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            BadOption::Value { option: "profile".into(), why: format!("the configuration has no profile '{name}'{near}") }
        })?;
        Ok(options::read(&configured, said)?)
    }

    /// Makes a volume; one that is there already as it was asked for is no error.
    ///
    /// # Errors
    /// Options that cannot be; as the storage says. Then nothing was made.
    pub fn create(&self, name: &str, said: &BTreeMap<String, String>) -> Result<(), Fault> {
        let mut wanted = self.wanted(said)?;
        let resource = names::resource_name(name);
        let turn = self.turn(&resource);
        let _turn = locked(&turn);
        if let Some(there) = self.find(name)?.filter(|there| !there.going) {
            return same(name, &there, &wanted);
        }
        let record = match wanted.new.from.clone() {
            Source::Empty => Record::Fresh,
            Source::Volume(source) => {
                let source = self.source("from-volume", &source)?;
                wanted.new.from = Source::Volume(source.name.clone());
                inherit(&mut wanted, &source)?
            }
            Source::Snapshot { volume, snapshot } => {
                let source = self.source("from-snapshot", &volume)?;
                wanted.new.from = Source::Snapshot { volume: source.name.clone(), snapshot };
                inherit(&mut wanted, &source)?
            }
        };
        wanted.new.name = resource;
        let marks = records::of_new(name, &wanted.fs, &record);
        if let Some(key) = wanted.new.props.keys().find(|key| marks.contains_key(*key)) {
            return Err(BadOption::Value { option: format!("property.{key}"), why: "the plugin keeps it for itself".into() }.into());
        }
        wanted.new.props.extend(marks);
        let made = self.storage.create(&wanted.new)?;
        if !records::is(&made, name) {
            return Err(Fault::new(
                FaultKind::Foreign,
                format!("Resource '{}' is there already and is not a volume of Docker's", made.name),
            )
            .correction("Choose another name"));
        }
        Ok(())
    }

    /// A volume that another one is made from: Docker's, or a resource of this name.
    fn source(&self, option: &str, name: &str) -> Result<Volume, Fault> {
        let found = match self.find(name)? {
            Some(volume) => Some(volume),
            None => self.storage.get(name)?,
        };
        let missing = || BadOption::Value { option: option.to_owned(), why: format!("there is no volume '{name}'") };
        Ok(found.filter(|volume| !volume.going).ok_or_else(missing)?)
    }

    /// Removes a volume with its data. One that is gone is no error.
    ///
    /// # Errors
    /// `InUse`: it is mounted here or elsewhere. As the storage says.
    pub fn remove(&self, name: &str) -> Result<(), Fault> {
        let Some(volume) = self.find(name)?.filter(|volume| !volume.going) else { return Ok(()) };
        let turn = self.turn(&volume.name);
        let _turn = locked(&turn);
        if let Some(mounted) = locked(&self.mounts).volumes.get(&volume.name) {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is mounted on this host"))
                .cause(format!("{} mounts of containers use it", mounted.ids.len()))
                .correction("Remove these containers first"));
        }
        if records::options(&volume).keep_on_remove {
            return self.put_aside(name, &volume);
        }
        let deadline = Instant::now() + IN_USE_FOR;
        loop {
            match self.storage.delete(&volume.name, true) {
                Err(fault) if fault.kind == FaultKind::InUse && Instant::now() < deadline => std::thread::sleep(PAUSE),
                ended => return ended,
            }
        }
    }

    /// Keeps the data of a volume that Docker forgets, under a name that says so.
    fn put_aside(&self, name: &str, volume: &Volume) -> Result<(), Fault> {
        let stem: String = volume.name.chars().take(36).collect();
        let to = (1..1000).map(|number| format!("{stem}-removed-{number}"));
        for to in to {
            match self.storage.rename(&volume.name, &to) {
                Err(fault) if fault.kind == FaultKind::Foreign => {}
                Err(fault) => return Err(fault),
                Ok(()) => {
                    self.storage.set_props(&to, &BTreeMap::new(), &[MARK.to_owned(), NAME.to_owned()])?;
                    (self.tell)(false, &format!("volume {name} was removed; its data is kept as resource {to}"));
                    return Ok(());
                }
            }
        }
        Err(Fault::new(FaultKind::Foreign, format!("The data of volume '{name}' cannot be put aside: no name is free")))
    }

    /// Takes away clients that were made for Docker on this node and that nobody uses, e.g. after a crash of the machine.
    ///
    /// # Errors
    /// As the storage says; the next call goes on.
    pub fn clean(&self) -> Result<(), Fault> {
        let node = self.node()?;
        let key = records::client(&node);
        for volume in self.storage.list(&BTreeMap::from([(key.clone(), String::new())]))? {
            let turn = self.turn(&volume.name);
            let _turn = locked(&turn);
            if locked(&self.mounts).volumes.contains_key(&volume.name) {
                continue;
            }
            match self.storage.deactivate(&volume.name, &node) {
                Ok(()) => self.storage.set_props(&volume.name, &BTreeMap::new(), std::slice::from_ref(&key))?,
                Err(fault) => (self.tell)(true, &line(&fault)),
            }
        }
        Ok(())
    }
}

/// Whether a volume that is there is what was asked for.
fn same(name: &str, there: &Volume, wanted: &Wanted) -> Result<(), Fault> {
    if wanted.sized && wanted.new.size != there.size {
        return Err(Fault::new(FaultKind::Foreign, format!("Volume '{name}' is there already with another size"))
            .cause(format!("it has {}, and option 'size' asks for {}", there.size, wanted.new.size))
            .correction("Leave the option out, or choose another name"));
    }
    Ok(())
}

/// A copy has the file system of its source, and its owner; how it is mounted is its own.
fn inherit(wanted: &mut Wanted, source: &Volume) -> Result<Record, Fault> {
    let of = records::options(source);
    if wanted.sized && wanted.new.size < source.size {
        let why = format!("{} is less than the {} of what it is made from", wanted.new.size, source.size);
        return Err(BadOption::Value { option: "size".into(), why }.into());
    }
    wanted.fs.fs = of.fs;
    wanted.fs.mkfs = of.mkfs;
    Ok(match records::record(source) {
        // Nothing was ever written to it, nor to its copy.
        Record::Fresh => Record::Fresh,
        Record::Making(id) => Record::Making(id),
        Record::Made => Record::Made,
        Record::Unknown => Record::Unknown,
    })
}
