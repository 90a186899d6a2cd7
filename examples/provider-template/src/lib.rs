//! A provider for Berth: each volume is a file in the pool's folder.
//!
//! It is complete and passes the conformance kit; change it piece by piece, and run `cargo test` after each.
//! What the calls promise is said at the trait [`Provider`].

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Data, Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Filled, Found, Kib, Known, Machine, Manifest, Mark,
    Marked, New, Over, PoolAbilities, Provider, Space,
};

/// Unit of sizes.
const EXTENT: Kib = Kib(4);
/// End of the names of our files.
const FINISHED: &str = ".vol";
/// End of the names of files that are being filled: they get their name when they are whole.
const BEGUN: &str = ".begun";

/// The provider. It keeps nothing between calls.
#[derive(Debug, Default, Clone, Copy)]
pub struct ExampleProvider;

fn finished(name: &BackingName) -> String {
    format!("{name}{FINISHED}")
}

fn begun(name: &BackingName) -> String {
    format!("{name}{BEGUN}")
}

/// One call: the machine, and its files.
struct Call<'a> {
    on: &'a dyn Machine,
    files: &'a dyn Files,
}

impl<'a> Call<'a> {
    fn new(on: &'a dyn Machine) -> Result<Self, Fault> {
        Ok(Self { on, files: on.files()? })
    }

    /// What the machine answered, with its errors as faults of this pool.
    fn need<T>(&self, answer: Result<T, FileError>) -> Result<T, Fault> {
        answer.map_err(|error| error.fault(self.on.pool()))
    }

    fn foreign(&self, file: &str, why: &str) -> Fault {
        let pool = self.on.pool();
        Fault::new(FaultKind::Foreign, format!("File '{file}' in storage pool '{}' is not the object that is meant", pool.name))
            .cause(why)
            .correction(format!("Move '{}/{file}' away", pool.place))
    }

    /// The file of a volume; `None`: missing. One that does not carry the right mark is never touched.
    fn find(&self, volume: &Known) -> Result<Option<FileSeen>, Fault> {
        let file = finished(&volume.name);
        let Some(seen) = self.need(self.files.look(&file))? else { return Ok(None) };
        match marked(&seen) {
            Marked::By(mark) if mark.cluster == volume.cluster && mark.generation == volume.generation => Ok(Some(seen)),
            Marked::By(mark) => Err(self.foreign(&file, &format!("it is marked as {}", mark.render()))),
            Marked::Unmarked => Err(self.foreign(&file, "it carries no mark")),
            Marked::Foreign(why) => Err(self.foreign(&file, &why)),
        }
    }

    /// The same for a volume that must be there.
    fn known(&self, volume: &Known) -> Result<FileSeen, Fault> {
        match self.find(volume)? {
            Some(seen) => Ok(seen),
            None => self.need(Err(FileError::Missing(finished(&volume.name)))),
        }
    }

    /// Makes an empty file under its temporary name, in place of one that an interrupted call left.
    fn begin(&self, new: &New, size: Kib) -> Result<String, Fault> {
        let file = begun(&new.name);
        match self.need(self.files.look(&file))? {
            Some(left) if !is_left(&left, new.mark.cluster) => return Err(self.foreign(&file, "its name is needed for a while")),
            Some(_) => self.need(self.files.remove(&file))?,
            None => {}
        }
        self.need(self.files.create(&file, size, fill(self.on), &new.mark.render()))?;
        Ok(file)
    }

    /// Gives a whole file its name. First it must survive a power cut: a name stands for data that is there.
    fn finish(&self, new: &New) -> Result<(), Fault> {
        let (from, to) = (begun(&new.name), finished(&new.name));
        self.need(self.files.sync(&from))?;
        self.need(self.files.rename(&from, &to, Over::Nothing))?;
        self.need(self.files.sync(&to))
    }

    fn found(&self, name: BackingName, seen: FileSeen) -> Result<Found, Fault> {
        let device = self.need(self.files.device(&seen.name))?;
        Ok(Found { name, marked: marked(&seen), size: seen.size, allocated: seen.allocated, device })
    }
}

fn fill(_on: &dyn Machine) -> Fill {
    Fill::Thin
}

fn marked(seen: &FileSeen) -> Marked {
    match &seen.mark {
        None => Marked::Unmarked,
        Some(text) => Mark::parse(text).map_or_else(|bad| Marked::Foreign(bad.to_string()), Marked::By),
    }
}

/// Whether a file of a temporary name was left by this cluster; one without length and mark holds nothing.
fn is_left(seen: &FileSeen, cluster: Uuid) -> bool {
    match marked(seen) {
        Marked::By(mark) => mark.cluster == cluster,
        Marked::Unmarked => seen.size == Kib(0),
        Marked::Foreign(_) => false,
    }
}

fn no_snapshots(on: &dyn Machine) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("Storage pool '{}' takes no snapshots", on.pool().name))
        .cause("Its provider does not do it yet")
        .correction("Use a storage pool of another kind")
}

impl Provider for ExampleProvider {
    fn manifest(&self) -> Manifest {
        Manifest { files: true, ..Manifest::new("example-provider", env!("CARGO_PKG_VERSION"), &["PLUGIN"]) }
    }

    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        let call = Call::new(on)?;
        call.need(call.files.space())?;
        Ok(PoolAbilities { extent: EXTENT, no_snapshots: Some(no_snapshots(on)), zeroes: true })
    }

    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        let call = Call::new(on)?;
        let mut removed = Vec::new();
        for seen in call.need(call.files.list())? {
            let ours = seen.name.strip_suffix(BEGUN).is_some_and(|name| BackingName::parse(name).is_ok());
            if ours && is_left(&seen, cluster) {
                call.need(call.files.remove(&seen.name))?;
                removed.push(seen.name);
            }
        }
        call.need(call.files.sync_all())?;
        Ok(removed)
    }

    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        let call = Call::new(on)?;
        call.need(call.files.space())
    }

    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let call = Call::new(on)?;
        let mut all = Vec::new();
        for seen in call.need(call.files.list())? {
            if let Some(name) = seen.name.strip_suffix(FINISHED).and_then(|name| BackingName::parse(name).ok()) {
                all.push(call.found(name, seen)?);
            }
        }
        Ok(all)
    }

    fn look(&self, on: &dyn Machine, name: &BackingName, _of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        let call = Call::new(on)?;
        call.need(call.files.look(&finished(name)))?.map(|seen| call.found(name.clone(), seen)).transpose()
    }

    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_none() {
            call.begin(new, size)?;
            call.finish(new)?;
        }
        self.grow(on, &new.known(), size)
    }

    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on)?;
        let (file, seen) = (finished(&volume.name), call.known(volume)?);
        if seen.size < size {
            call.need(call.files.grow(&file, size, fill(on)))?;
            call.need(call.files.sync(&file))?;
        }
        // An earlier call may have been cut short before it came to the device.
        call.need(call.files.resized(&file))
    }

    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on)?;
        if call.find(volume)?.is_none() {
            return Ok(());
        }
        let file = finished(&volume.name);
        call.need(call.files.detach(&file))?;
        call.need(call.files.remove(&file))?;
        call.need(call.files.sync(&file))
    }

    fn snapshot(&self, on: &dyn Machine, _volume: &Known, _new: &New) -> Result<(), Fault> {
        Err(no_snapshots(on))
    }

    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        self.delete(on, snapshot)
    }

    fn rollback(&self, on: &dyn Machine, _new: &New, _snapshot: &Known) -> Result<(), Fault> {
        Err(no_snapshots(on))
    }

    fn restore(&self, on: &dyn Machine, _snapshot: &Known, _new: &New, _size: Kib) -> Result<Filled, Fault> {
        Err(no_snapshots(on))
    }

    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_some() {
            self.grow(on, &new.known(), size)?;
            return Ok(Filled::Done);
        }
        // The host copies the data, watches it, and calls `finish_copy` afterwards.
        let source = call.known(volume)?;
        let to = call.begin(new, size.max(source.size))?;
        Ok(Filled::Copy { from: Data::File(source.name), to: Data::File(to) })
    }

    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_some() {
            return Ok(());
        }
        let file = begun(&new.name);
        match call.need(call.files.look(&file))? {
            Some(seen) if marked(&seen) == Marked::By(new.mark.clone()) => call.finish(new),
            Some(_) => Err(call.foreign(&file, "it is not the copy that was begun")),
            None => call.need(Err(FileError::Missing(file))),
        }
    }

    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        let call = Call::new(on)?;
        call.known(volume)?;
        call.need(call.files.attach(&finished(&volume.name), fill(on)))
    }

    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on)?;
        match call.find(volume)? {
            Some(seen) => call.need(call.files.detach(&seen.name)),
            None => Ok(()),
        }
    }
}

berth_plugin_sdk::export_provider!(ExampleProvider);

#[cfg(test)]
mod tests {
    use berth_conformance::{MemoryBench, Settings, check};

    use super::*;

    #[test]
    fn it_passes_the_conformance_kit() {
        let report = check(&ExampleProvider, &MemoryBench::new("PLUGIN"), &Settings::default(), &mut |_| {});
        assert!(report.passed(), "{report}");
    }
}
