//! What the provider does. What it is as a file stands in `lib.rs`, so that tests can make defective ones of it.

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Data, Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Filled, Found, Kib, Known, Machine, Manifest, Mark,
    Marked, New, Over, PoolAbilities, Provider, Space,
};

/// End of the name of every file of ours.
const IMAGE: &str = ".img";
/// End of the name of a file that is being made.
const TEMPORARY: &str = ".img.berth-new";
/// Files that [`probe`](Provider::probe) makes and removes.
const PROBES: [&str; 2] = [".berth-probe", ".berth-probe-copy"];
/// Mark of these.
const PROBE_MARK: &str = "berth-probe";
/// What is said of a file without a mark.
const UNMARKED: &str = "it carries no mark of Berth";
/// Unit of sizes: a page, which every file system and loop device can take.
const EXTENT: Kib = Kib(4);

/// The provider.
#[derive(Debug, Default, Clone, Copy)]
pub struct FileProvider;

fn image(name: &BackingName) -> String {
    format!("{name}{IMAGE}")
}

fn temporary(name: &BackingName) -> String {
    format!("{name}{TEMPORARY}")
}

fn fill(on: &dyn Machine) -> Fill {
    if on.pool().kind.eq_ignore_ascii_case("FILE") { Fill::Thick } else { Fill::Thin }
}

/// One call: the machine, its files, and errors as faults of its pool.
struct Call<'a> {
    on: &'a dyn Machine,
    files: &'a dyn Files,
}

impl<'a> Call<'a> {
    fn new(on: &'a dyn Machine) -> Result<Self, Fault> {
        Ok(Self { on, files: on.files()? })
    }

    fn fault(&self, error: FileError) -> Fault {
        error.fault(self.on.pool())
    }

    fn look(&self, file: &str) -> Result<Option<FileSeen>, Fault> {
        self.files.look(file).map_err(|e| self.fault(e))
    }

    fn foreign(&self, file: &str, why: &str) -> Fault {
        let pool = self.on.pool();
        Fault::new(FaultKind::Foreign, format!("File '{file}' in storage pool '{}' is not the object that is meant", pool.name))
            .cause(why)
            .correction(format!("Move '{}/{file}' away; whose data it is Berth does not know", pool.place))
    }

    /// The file of an object; `None`: missing.
    fn find(&self, what: &Known) -> Result<Option<(FileSeen, Mark)>, Fault> {
        let file = image(&what.name);
        let Some(seen) = self.look(&file)? else { return Ok(None) };
        match marked(&seen) {
            Marked::Unmarked => Err(self.foreign(&file, UNMARKED)),
            Marked::Foreign(why) => Err(self.foreign(&file, &why)),
            Marked::By(mark) if mark.cluster != what.cluster => {
                Err(self.foreign(&file, &format!("it is marked as an object of cluster {}", mark.cluster)))
            }
            Marked::By(mark) if mark.generation != what.generation => {
                Err(self.foreign(&file, &format!("it is marked as another object, {} ({})", mark.generation, mark.name)))
            }
            Marked::By(mark) => Ok(Some((seen, mark))),
        }
    }

    fn need(&self, what: &Known) -> Result<(FileSeen, Mark), Fault> {
        self.find(what)?.ok_or_else(|| self.fault(FileError::Missing(image(&what.name))))
    }

    /// Removes a leftover file, if there is one; a stranger's stays.
    fn clear(&self, file: &str, ours: impl Fn(&FileSeen) -> bool) -> Result<(), Fault> {
        match self.look(file)? {
            None => Ok(()),
            Some(seen) if ours(&seen) => self.files.remove(file).map_err(|e| self.fault(e)),
            Some(_) => Err(self.foreign(file, "Berth needs this name for a while, and the file does not carry its mark")),
        }
    }

    /// Makes a file by `make` under its temporary name, with its mark, and gives it its name.
    fn make(&self, new: &New, over: Over, make: &dyn Fn(&str, &str) -> Result<(), FileError>) -> Result<(), Fault> {
        let (from, to) = (temporary(&new.name), image(&new.name));
        self.clear(&from, |seen| leftover(seen, new.mark.cluster))?;
        make(&from, &new.mark.render()).map_err(|e| self.fault(e))?;
        // Before it gets its name: a power cut must not leave the name to a file whose mark and data were not on disk yet.
        let done = self.files.sync(&from).and_then(|()| if over == Over::Existing { self.files.detach(&to) } else { Ok(()) });
        done.and_then(|()| self.files.rename(&from, &to, over)).and_then(|()| self.files.sync(&to)).map_err(|error| {
            // What is left is found by the next call or by `clean` if this fails too.
            if let Err(second) = self.files.remove(&from) {
                self.on.log(&format!("'{from}' stays until the next start: {second}"));
            }
            self.fault(error)
        })
    }

    /// A thick file keeps its promise of space also when it was born as a copy.
    fn at_least(&self, what: &Known, size: Kib) -> Result<(), Fault> {
        let file = image(&what.name);
        let (seen, _) = self.need(what)?;
        if seen.size < size {
            self.files.grow(&file, size, fill(self.on)).and_then(|()| self.files.sync(&file)).map_err(|e| self.fault(e))?;
        }
        match self.files.device(&file).map_err(|e| self.fault(e))? {
            Some(device) if device.size < size.max(seen.size) => self.files.resized(&file).map_err(|e| self.fault(e)),
            Some(_) | None => Ok(()),
        }
    }

    fn remove(&self, what: &Known) -> Result<(), Fault> {
        if self.find(what)?.is_none() {
            return Ok(());
        }
        let file = image(&what.name);
        self.files.detach(&file).and_then(|()| self.files.remove(&file)).and_then(|()| self.files.sync(&file)).map_err(|e| self.fault(e))
    }

    /// Copies by sharing blocks, refusing in words of snapshots.
    fn copy(&self, what: &str, from: &Known, new: &New, over: Over) -> Result<(), Fault> {
        let source = image(&from.name);
        self.need(from)?;
        self.make(new, over, &|to, mark| self.files.reflink(&source, to, mark)).map_err(|fault| match fault.kind {
            FaultKind::Unsupported => no_snapshots(self.on, what, &fault.cause),
            FaultKind::InUse
            | FaultKind::NoSpace
            | FaultKind::Foreign
            | FaultKind::Lost
            | FaultKind::Pool
            | FaultKind::Tool
            | FaultKind::Timeout
            | FaultKind::Bug => fault,
        })
    }
}

fn no_snapshots(on: &dyn Machine, what: &str, cause: &str) -> Fault {
    let pool = on.pool();
    Fault::new(FaultKind::Unsupported, format!("{what} is not supported in storage pool '{}'", pool.name))
        .cause(if cause.is_empty() {
            format!("The file system of '{}' shares no blocks between files (no reflinks)", pool.place)
        } else {
            cause.into()
        })
        .correction("Put the pool on XFS (made with reflink=1) or on btrfs")
}

fn marked(seen: &FileSeen) -> Marked {
    match &seen.mark {
        None => Marked::Unmarked,
        Some(text) => match Mark::parse(text) {
            Ok(mark) => Marked::By(mark),
            Err(bad) => Marked::Foreign(bad.to_string()),
        },
    }
}

/// Whether a file of a temporary name is what an operation of the cluster left that was cut short. An empty one holds nothing.
fn leftover(seen: &FileSeen, cluster: Uuid) -> bool {
    match marked(seen) {
        Marked::By(mark) => mark.cluster == cluster,
        Marked::Unmarked => seen.size == Kib(0),
        Marked::Foreign(_) => false,
    }
}

fn left_probe(seen: &FileSeen) -> bool {
    match &seen.mark {
        Some(mark) => mark == PROBE_MARK,
        None => seen.size == Kib(0),
    }
}

impl Provider for FileProvider {
    fn manifest(&self) -> Manifest {
        Manifest { files: true, ..Manifest::new("file", env!("CARGO_PKG_VERSION"), &["FILE", "FILE_THIN"]) }
    }

    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        let call = Call::new(on)?;
        let [probe, copy] = PROBES;
        let clear = || call.clear(probe, left_probe).and_then(|()| call.clear(copy, left_probe));
        clear()?;
        let usable = call.files.create(probe, EXTENT, Fill::Thick, PROBE_MARK);
        usable.map_err(|e| match call.fault(e) {
            full @ Fault { kind: FaultKind::NoSpace, .. } => full,
            other => Fault { kind: FaultKind::Pool, ..other },
        })?;
        let shared = match call.files.reflink(probe, copy, PROBE_MARK) {
            Ok(()) => Ok(None),
            Err(FileError::NotSupported { .. }) => Ok(Some(no_snapshots(on, "A snapshot", ""))),
            Err(e) => Err(call.fault(e)),
        };
        clear()?;
        Ok(PoolAbilities { extent: EXTENT, no_snapshots: shared?, zeroes: true })
    }

    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        let call = Call::new(on)?;
        let temporary = |name: &str| name.strip_suffix(TEMPORARY).is_some_and(|stem| BackingName::parse(stem).is_ok());
        let ours =
            |seen: &FileSeen| (PROBES.contains(&&*seen.name) && left_probe(seen)) || (temporary(&seen.name) && leftover(seen, cluster));
        let left: Vec<String> = call.files.list().map_err(|e| call.fault(e))?.into_iter().filter(ours).map(|seen| seen.name).collect();
        for name in &left {
            call.files.remove(name).map_err(|e| call.fault(e))?;
        }
        // What an earlier life changed and had no time to sync is taken for done from now on.
        call.files.sync_all().map_err(|e| call.fault(e))?;
        Ok(left)
    }

    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        let call = Call::new(on)?;
        call.files.space().map_err(|e| call.fault(e))
    }

    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let call = Call::new(on)?;
        let mut all = Vec::new();
        for seen in call.files.list().map_err(|e| call.fault(e))? {
            let Some(name) = seen.name.strip_suffix(IMAGE).and_then(|stem| BackingName::parse(stem).ok()) else { continue };
            let device = call.files.device(&seen.name).map_err(|e| call.fault(e))?;
            all.push(Found { name, marked: marked(&seen), size: seen.size, allocated: seen.allocated, device });
        }
        Ok(all)
    }

    fn look(&self, on: &dyn Machine, name: &BackingName, _of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        let call = Call::new(on)?;
        let seen = match call.files.look(&image(name)) {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(None),
            // Nothing of ours is a folder, a link or a pipe.
            Err(FileError::Exists(_)) => {
                let marked = Marked::Foreign("it is not a regular file".into());
                return Ok(Some(Found { name: name.clone(), marked, size: Kib(0), allocated: Kib(0), device: None }));
            }
            Err(error) => return Err(call.fault(error)),
        };
        // Perhaps ours: neither is it taken for gone, nor touched.
        if let Some(bad) = seen.mark.as_ref().and_then(|mark| Mark::parse(mark).err()) {
            return Err(Fault::new(
                FaultKind::Foreign,
                format!("The mark of file '{}' in storage pool '{}' cannot be read", seen.name, on.pool().name),
            )
            .cause(bad.to_string())
            .correction("If a newer version of Berth made the file, upgrade this satellite; if nobody needs it, move it away"));
        }
        let device = call.files.device(&seen.name).map_err(|e| call.fault(e))?;
        Ok(Some(Found { name: name.clone(), marked: marked(&seen), size: seen.size, allocated: seen.allocated, device }))
    }

    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_some() {
            return call.at_least(&new.known(), size);
        }
        call.make(new, Over::Nothing, &|file, mark| call.files.create(file, size, fill(on), mark))
    }

    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        Call::new(on)?.at_least(volume, size)
    }

    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        Call::new(on)?.remove(volume)
    }

    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        let call = Call::new(on)?;
        match call.find(&new.known())? {
            Some(_) => Ok(()),
            None => call.copy("A snapshot", volume, new, Over::Nothing),
        }
    }

    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        Call::new(on)?.remove(snapshot)
    }

    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        let call = Call::new(on)?;
        let (_, mark) = call.need(&new.known())?;
        if mark.content == new.mark.content { Ok(()) } else { call.copy("A rollback", snapshot, new, Over::Existing) }
    }

    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_none() {
            call.copy("Restoring a snapshot", snapshot, new, Over::Nothing)?;
        }
        call.at_least(&new.known(), size)?;
        Ok(Filled::Done)
    }

    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_none() {
            match call.copy("A clone", volume, new, Over::Nothing) {
                Ok(()) => {}
                Err(fault) if fault.kind == FaultKind::Unsupported => {
                    let (source, _) = call.need(volume)?;
                    let to = temporary(&new.name);
                    call.clear(&to, |seen| leftover(seen, new.mark.cluster))?;
                    call.files.create(&to, size.max(source.size), fill(on), &new.mark.render()).map_err(|e| call.fault(e))?;
                    return Ok(Filled::Copy { from: Data::File(image(&volume.name)), to: Data::File(to) });
                }
                Err(fault) => return Err(fault),
            }
        }
        call.at_least(&new.known(), size)?;
        Ok(Filled::Done)
    }

    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        let call = Call::new(on)?;
        if call.find(&new.known())?.is_some() {
            return Ok(());
        }
        let (from, to) = (temporary(&new.name), image(&new.name));
        match call.look(&from)? {
            Some(seen) if marked(&seen) == Marked::By(new.mark.clone()) => {}
            Some(_) => return Err(call.foreign(&from, "it is not the copy that was begun")),
            None => return Err(call.fault(FileError::Missing(from))),
        }
        call.files
            .sync(&from)
            .and_then(|()| call.files.rename(&from, &to, Over::Nothing))
            .and_then(|()| call.files.sync(&to))
            .map_err(|e| call.fault(e))
    }

    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on)?;
        let file = image(&new.name);
        let place = || format!("{}/{file}", on.pool().place);
        let seen = call.look(&file)?.ok_or_else(|| call.fault(FileError::Missing(file.clone())))?;
        match marked(&seen) {
            // It was marked before, and is made sure of again.
            Marked::By(mark) if mark == new.mark => return call.files.sync(&file).map_err(|e| call.fault(e)),
            Marked::Unmarked => {}
            Marked::By(_) | Marked::Foreign(_) => {
                call.find(&new.known())?;
                return Err(call.foreign(&file, "it carries the mark of something else"));
            }
        }
        if seen.size < size {
            return Err(Fault::new(FaultKind::Foreign, format!("File '{file}' is too small for what it is to be taken in as"))
                .cause(format!("'{}' has {} KiB, and {} KiB are needed", place(), seen.size.0, size.0))
                .correction("Find out whether it is the right file; nothing was changed"));
        }
        if let Some(device) = call.files.device(&file).map_err(|e| call.fault(e))? {
            return Err(Fault::new(FaultKind::InUse, format!("File '{file}' is served by somebody else"))
                .cause(format!("'{}' is behind {}, which Berth did not attach", place(), device.path))
                .correction(format!(
                    "End what uses {0}, then 'losetup -d {0}' (a LINSTOR satellite that still runs must be stopped first)",
                    device.path
                )));
        }
        call.files.mark(&file, &new.mark.render()).and_then(|()| call.files.sync(&file)).map_err(|e| call.fault(e))
    }

    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        let call = Call::new(on)?;
        call.need(volume)?;
        call.files.attach(&image(&volume.name), fill(on)).map_err(|e| call.fault(e))
    }

    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on)?;
        match call.find(volume)? {
            Some(_) => call.files.detach(&image(&volume.name)).map_err(|e| call.fault(e)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "provider/tests.rs"]
mod tests;
