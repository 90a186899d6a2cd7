//! Making and removing volumes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use berth_plugin_sdk::storage::{Source, Volume};
use berth_plugin_sdk::{Fault, FaultKind, Kib};

use super::{FILLED, MARK, NAME, Volumes, line, locked, records};
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
        let profile = options::profile(said)?.or_else(|| self.conf.usual_profile().map(str::to_owned));
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
            same(name, &there, &wanted, said)?;
            if wanted.new.from == Source::Empty || !there.replicas.is_empty() {
                return Ok(());
            }
            // A copy that was cut off between its steps: the storage goes on with it.
        }
        let mut marks = records::of_new(name, &wanted.fs, &Record::Fresh);
        match wanted.new.from.clone() {
            Source::Empty => {}
            Source::Volume(source) => {
                let source = self.source("from-volume", &source)?;
                wanted.new.from = Source::Volume(source.name.clone());
                marks = copied(name, &mut wanted, &source, source.size)?;
            }
            Source::Snapshot { volume, snapshot } => {
                let source = self.source("from-snapshot", &volume)?;
                let all = self.storage.snapshots(&source.name)?;
                let taken = all.iter().find(|one| one.name.eq_ignore_ascii_case(&snapshot)).ok_or_else(|| {
                    let near = options::nearest(&snapshot, all.iter().map(|one| one.name.as_str()));
                    let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
                    BadOption::Value {
                        option: "from-snapshot".into(),
                        why: format!("volume '{volume}' has no snapshot '{snapshot}'{near}"),
                    }
                })?;
                wanted.new.from = Source::Snapshot { volume: source.name.clone(), snapshot: taken.name.clone() };
                marks = copied(name, &mut wanted, &source, taken.size)?;
            }
        }
        wanted.new.name = resource;
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

    /// A volume that another one is made from: Docker's, or a resource of this name that an operator lets Docker's users copy.
    fn source(&self, option: &str, name: &str) -> Result<Volume, Fault> {
        let found = match self.find(name)? {
            Some(volume) => Some(volume),
            None => match self.storage.get(name)? {
                Some(volume) if volume.props.get(records::MAY_COPY).is_none_or(|value| value != records::YES) => {
                    return Err(Fault::new(FaultKind::Foreign, format!("Resource '{}' is not a volume of Docker's", volume.name))
                        .cause(format!("{option} copies those only"))
                        .correction(format!(
                            "If Docker's users may have its data: 'linstor resource-definition set-property {} {} true'",
                            volume.name,
                            records::MAY_COPY
                        )));
                }
                found => found,
            },
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
        let (deadline, mut pause) = (Instant::now() + IN_USE_FOR, PAUSE);
        let keep = records::options(&volume).keep_on_remove;
        loop {
            let ended = if keep { self.put_aside(name, &volume) } else { self.storage.delete(&volume.name, true) };
            match ended {
                Err(fault) if fault.kind == FaultKind::InUse && Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                ended => return ended,
            }
        }
    }

    /// Keeps the data of a volume that Docker forgets, under a name that says so.
    fn put_aside(&self, name: &str, volume: &Volume) -> Result<(), Fault> {
        let now = self.storage.get(&volume.name)?;
        if let Some(user) = now.iter().flat_map(|volume| &volume.replicas).find(|replica| replica.in_use == Some(true)) {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is in use on node '{}'", user.node))
                .correction("Remove its containers there first"));
        }
        let stem: String = volume.name.chars().take(36).collect();
        // Whose host dies in between has the data under its old name, and nothing in Docker's list that cannot be used.
        let kept = BTreeMap::from([(records::MAY_COPY.to_owned(), records::YES.to_owned())]);
        self.storage.set_props(&volume.name, &kept, &[MARK.to_owned(), NAME.to_owned()])?;
        let to = (1..1000).map(|number| format!("{stem}-removed-{number}"));
        for to in to {
            match self.storage.rename(&volume.name, &to) {
                Err(fault) if fault.kind == FaultKind::Foreign => {}
                Err(fault) => {
                    self.storage.set_props(&volume.name, &records::marks(name), &[records::MAY_COPY.to_owned()])?;
                    return Err(fault);
                }
                Ok(()) => {
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

/// Whether a volume that is there is what was asked for, as far as options say it.
fn same(name: &str, there: &Volume, wanted: &Wanted, said: &BTreeMap<String, String>) -> Result<(), Fault> {
    let other = |option: &str, has: String, asked: String| {
        Err(Fault::new(FaultKind::Foreign, format!("Volume '{name}' is there already with another {option}"))
            .cause(format!("it has {has}, and option '{option}' asks for {asked}"))
            .correction("Leave the option out, or choose another name"))
    };
    let (has, asked) = (records::options(there), &wanted.fs);
    for option in said.keys().filter_map(|key| options::canonical(key).ok()) {
        let (has, asked) = match option.as_str() {
            "size" if wanted.sized => (there.size.to_string(), wanted.new.size.to_string()),
            "fs" => (has.fs.clone(), asked.fs.clone()),
            "fsopts" => (has.mkfs.join(" "), asked.mkfs.join(" ")),
            "mountopts" => (has.mount.join(","), asked.mount.join(",")),
            "readonly" | "shared" => (format!("readonly {}", has.readonly), format!("readonly {}", asked.readonly)),
            "uid" => (has.uid.unwrap_or(0).to_string(), asked.uid.unwrap_or(0).to_string()),
            "gid" => (has.gid.unwrap_or(0).to_string(), asked.gid.unwrap_or(0).to_string()),
            "mode" => (format!("{:04o}", has.mode.unwrap_or(0o755)), format!("{:04o}", asked.mode.unwrap_or(0o755))),
            "snapshot-on-remove" => (has.keep_on_remove.to_string(), asked.keep_on_remove.to_string()),
            _ => continue,
        };
        if has != asked {
            return other(&option, format!("'{has}'"), format!("'{asked}'"));
        }
    }
    Ok(())
}

/// Marks of a copy of `least`: it has the file system of its source, and how it is mounted is its own. What is known of its content comes along
/// with the properties of its source, which may have been others when a snapshot was taken.
fn copied(name: &str, wanted: &mut Wanted, source: &Volume, least: Kib) -> Result<BTreeMap<String, String>, Fault> {
    if wanted.sized && wanted.new.size < least {
        let why = format!("{} is less than the {least} of what it is made from", wanted.new.size);
        return Err(BadOption::Value { option: "size".into(), why }.into());
    }
    let of = records::options(source);
    wanted.fs.fs = of.fs;
    wanted.fs.mkfs = of.mkfs;
    let mut marks = records::of_new(name, &wanted.fs, &Record::Unknown);
    marks.remove(FILLED);
    Ok(marks)
}
