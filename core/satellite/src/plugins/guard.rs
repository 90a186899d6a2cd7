//! Judges what a provider answers, before anything of it is used: the one place for components, libraries and what is linked in.
//!
//! A provider may only hand back devices that it was granted (`Grants::judge_device`) or that the host itself handed to it in the same call,
//! and space that can be. Orders to move data are judged where they are carried out ([`crate::orders`]).

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Filled, Found, Grants, Kib, Known, Machine, Manifest, New,
    Output, Over, Pool, PoolAbilities, Provider, Space, Stream,
};

/// A provider whose answers are judged.
pub struct Guarded<P: ?Sized> {
    grants: Arc<Grants>,
    inner: Box<P>,
}

impl<P: Provider + ?Sized> Guarded<P> {
    /// Judges the answers of `inner` by what was granted to it.
    #[must_use]
    pub fn new(inner: Box<P>, grants: Arc<Grants>) -> Self {
        Self { grants, inner }
    }

    /// A call that answers with devices.
    fn judged<T>(
        &self,
        on: &dyn Machine,
        call: impl FnOnce(&P, &dyn Machine) -> Result<T, Fault>,
        devices: impl Fn(&T) -> Vec<&Device>,
    ) -> Result<T, Fault> {
        let witness = Witness { inner: on, files: OnceCell::new(), lent: RefCell::default() };
        let answer = call(&self.inner, &witness)?;
        let lent = witness.lent.borrow();
        for device in devices(&answer) {
            self.grants.judge_device(device, on.pool(), &|path| lent.contains(path))?;
        }
        Ok(answer)
    }
}

impl<P: Provider + ?Sized> Provider for Guarded<P> {
    fn manifest(&self) -> Manifest {
        self.inner.manifest()
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        self.inner.probe(on)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        self.inner.clean(on, cluster)
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        let space = self.inner.space(on)?;
        self.grants.judge_space(space, on.pool())?;
        Ok(space)
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        self.judged(on, |inner, on| inner.list(on), |all| all.iter().filter_map(|found| found.device.as_ref()).collect())
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        self.judged(on, |inner, on| inner.look(on, name, of), |found| found.iter().filter_map(|found| found.device.as_ref()).collect())
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        self.inner.create(on, new, size)
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        self.inner.grow(on, volume, size)
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        self.inner.delete(on, volume)
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        self.inner.snapshot(on, volume, new)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        self.inner.delete_snapshot(on, snapshot)
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        self.inner.rollback(on, new, snapshot)
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        self.inner.restore(on, snapshot, new, size)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        self.inner.clone_volume(on, volume, new, size)
    }
    fn send(&self, on: &dyn Machine, snapshot: &Known, since: Option<&Known>) -> Result<Stream, Fault> {
        self.inner.send(on, snapshot, since)
    }
    fn receive(&self, on: &dyn Machine, new: &New, size: Kib, since: Option<&Known>) -> Result<Stream, Fault> {
        self.inner.receive(on, new, size, since)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        self.inner.finish_copy(on, new)
    }
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        self.inner.adopt(on, new, size)
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        self.judged(on, |inner, on| inner.attach(on, volume), |device| vec![device])
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        self.inner.detach(on, volume)
    }
}

/// The machine of one call; it remembers which devices the host handed out in it.
struct Witness<'a> {
    inner: &'a dyn Machine,
    files: OnceCell<&'a dyn Files>,
    lent: RefCell<HashSet<String>>,
}

impl Witness<'_> {
    fn files(&self) -> Result<&dyn Files, FileError> {
        self.files.get().copied().ok_or_else(|| {
            FileError::Fault(
                Fault::new(FaultKind::Bug, "A request on files came before the door to them was opened").cause("Machine::files"),
            )
        })
    }

    fn lend(&self, device: &Device) {
        self.lent.borrow_mut().insert(device.path.clone());
    }
}

impl Machine for Witness<'_> {
    fn pool(&self) -> &Pool {
        self.inner.pool()
    }
    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.inner.run(argv)
    }
    fn files(&self) -> Result<&dyn Files, Fault> {
        let files = self.inner.files()?;
        self.files.get_or_init(|| files);
        Ok(self)
    }
    fn log(&self, line: &str) {
        self.inner.log(line);
    }
}

impl Files for Witness<'_> {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        self.files()?.list()
    }
    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        self.files()?.look(name)
    }
    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        self.files()?.create(name, size, fill, mark)
    }
    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        self.files()?.mark(name, mark)
    }
    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        self.files()?.grow(name, size, fill)
    }
    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        self.files()?.reflink(from, to, mark)
    }
    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        self.files()?.rename(from, to, over)
    }
    fn remove(&self, name: &str) -> Result<(), FileError> {
        self.files()?.remove(name)
    }
    fn sync(&self, name: &str) -> Result<(), FileError> {
        self.files()?.sync(name)
    }
    fn sync_all(&self) -> Result<(), FileError> {
        self.files()?.sync_all()
    }
    fn space(&self) -> Result<Space, FileError> {
        self.files()?.space()
    }
    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        let device = self.files()?.device(name)?;
        device.iter().for_each(|device| self.lend(device));
        Ok(device)
    }
    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        let device = self.files()?.attach(name, fill)?;
        self.lend(&device);
        Ok(device)
    }
    fn detach(&self, name: &str) -> Result<(), FileError> {
        self.files()?.detach(name)
    }
    fn resized(&self, name: &str) -> Result<(), FileError> {
        self.files()?.resized(name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_plugin_sdk::memory::{Memory, MemoryMachine};
    use berth_plugin_sdk::{Mark, MarkKind};
    use berth_provider_file::FileProvider;

    use super::super::Loaded;
    use super::*;

    /// The provider of files, but what it says of devices and space is what it likes.
    #[derive(Clone)]
    struct Liar {
        path: &'static str,
        asks: Vec<String>,
        more: u64,
    }

    impl Liar {
        fn device(&self, device: Device) -> Device {
            if self.path.is_empty() { device } else { Device { path: self.path.into(), ..device } }
        }
        fn found(&self, found: Found) -> Found {
            Found { device: found.device.map(|device| self.device(device)), ..found }
        }
    }

    const P: FileProvider = FileProvider;

    impl Provider for Liar {
        fn manifest(&self) -> Manifest {
            Manifest { devices: self.asks.clone(), ..P.manifest() }
        }
        fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
            P.probe(on)
        }
        fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
            P.clean(on, cluster)
        }
        fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
            P.space(on).map(|space| Space { free: Kib(space.free.0 + self.more), ..space })
        }
        fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
            Ok(P.list(on)?.into_iter().map(|found| self.found(found)).collect())
        }
        fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
            Ok(P.look(on, name, of)?.map(|found| self.found(found)))
        }
        fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
            P.create(on, new, size)
        }
        fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
            P.grow(on, volume, size)
        }
        fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
            P.delete(on, volume)
        }
        fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
            P.snapshot(on, volume, new)
        }
        fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
            P.delete_snapshot(on, snapshot)
        }
        fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
            P.rollback(on, new, snapshot)
        }
        fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
            P.restore(on, snapshot, new, size)
        }
        fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
            P.clone_volume(on, volume, new, size)
        }
        fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
            P.finish_copy(on, new)
        }
        fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
            P.attach(on, volume).map(|device| self.device(device))
        }
        fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
            P.detach(on, volume)
        }
    }

    fn volume() -> New {
        let id = Uuid::from_u128;
        let mark = Mark { kind: MarkKind::Volume, cluster: id(1), generation: id(2), content: id(3), name: "web/0".into() };
        New { name: BackingName::parse("web_00000").unwrap(), suffix: String::new(), of: None, mark }
    }

    fn machine() -> MemoryMachine {
        let pool = Pool { name: "p".into(), kind: "FILE".into(), place: "vg0".into(), props: BTreeMap::new() };
        MemoryMachine::new(pool, Memory::new(Kib(1 << 20)))
    }

    #[test]
    fn what_the_host_lent_in_the_same_call_is_served() {
        let (on, honest) = (machine(), Loaded::linked(Liar { path: "", asks: Vec::new(), more: 0 }));
        let (calls, web) = (honest.calls(), volume());
        calls.create(&on, &web, Kib(4096)).unwrap();
        let device = calls.attach(&on, &web.known()).unwrap();
        assert_eq!(calls.look(&on, &web.name, None).unwrap().unwrap().device, Some(device.clone()));
        assert_eq!(calls.list(&on).unwrap()[0].device, Some(device));
        assert!(calls.space(&on).is_ok());
    }

    #[test]
    fn a_device_that_was_not_granted_is_a_clear_fault_and_nothing_is_served() {
        for (path, asks) in [
            ("/dev/sda", vec![]),
            ("/dev/sda", vec!["/dev/{group}/".to_owned()]),
            ("/dev/vg1/web", vec!["/dev/{group}/".to_owned()]),
            ("/dev/vg0/../sda", vec!["/dev/{group}/".to_owned()]),
            ("/etc/shadow", vec!["/dev/vg0/".to_owned()]),
        ] {
            let (on, liar) = (machine(), Loaded::linked(Liar { path, asks, more: 0 }));
            let (calls, web) = (liar.calls(), volume());
            calls.create(&on, &web, Kib(4096)).unwrap();
            let faults =
                [calls.attach(&on, &web.known()).unwrap_err(), calls.look(&on, &web.name, None).unwrap_err(), calls.list(&on).unwrap_err()];
            for fault in faults {
                assert_eq!(fault.kind, FaultKind::Unsupported, "{path}");
                assert!(fault.cause.contains(&format!("'{path}'")) && fault.message.contains("'file'"), "{fault:?}");
                assert!(fault.correction.contains("berth plugin inspect file"), "{fault:?}");
            }
        }
        let (on, granted) = (machine(), Loaded::linked(Liar { path: "/dev/vg0/web", asks: vec!["/dev/{group}/".into()], more: 0 }));
        let web = volume();
        granted.calls().create(&on, &web, Kib(4096)).unwrap();
        assert_eq!(granted.calls().attach(&on, &web.known()).unwrap().path, "/dev/vg0/web");
    }

    #[test]
    fn more_free_space_than_there_is_is_a_clear_fault() {
        let liar = Loaded::linked(Liar { path: "", asks: Vec::new(), more: 1 });
        let fault = liar.calls().space(&machine()).unwrap_err();
        assert!(fault.kind == FaultKind::Bug && fault.cause == "1048577 KiB of 1048576 KiB are free", "{fault:?}");
    }
}
