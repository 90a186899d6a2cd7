//! The machine as an object with a fixed layout: what the host hands to a library, and what the library makes of it again.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use abi_stable::sabi_trait;
use abi_stable::sabi_types::RRef;
use abi_stable::std_types::{ROption, RResult, RSlice, RStr, RVec};

use super::types::{Raw, RawDevice, RawFault, RawFileError, RawFileSeen, RawFill, RawOutput, RawOver, RawPool, RawSpace};
use crate::{Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Kib, Machine, Output, Over, Pool, Space};

type FileResult<T> = RResult<T, RawFileError>;

/// [`Machine`] and [`Files`] with a fixed layout.
#[sabi_trait]
pub trait RawMachine {
    fn pool(&self) -> RawPool;
    fn run(&self, argv: RSlice<'_, RStr<'_>>) -> RResult<RawOutput, RawFault>;
    fn log(&self, line: RStr<'_>);
    fn open(&self) -> RResult<(), RawFault>;
    fn list(&self) -> FileResult<RVec<RawFileSeen>>;
    fn look(&self, name: RStr<'_>) -> FileResult<ROption<RawFileSeen>>;
    fn create(&self, name: RStr<'_>, size: u64, fill: RawFill, mark: RStr<'_>) -> FileResult<()>;
    fn mark(&self, name: RStr<'_>, mark: RStr<'_>) -> FileResult<()>;
    fn grow(&self, name: RStr<'_>, size: u64, fill: RawFill) -> FileResult<()>;
    fn reflink(&self, from: RStr<'_>, to: RStr<'_>, mark: RStr<'_>) -> FileResult<()>;
    fn rename(&self, from: RStr<'_>, to: RStr<'_>, over: RawOver) -> FileResult<()>;
    fn remove(&self, name: RStr<'_>) -> FileResult<()>;
    fn sync(&self, name: RStr<'_>) -> FileResult<()>;
    fn sync_all(&self) -> FileResult<()>;
    fn space(&self) -> FileResult<RawSpace>;
    fn device(&self, name: RStr<'_>) -> FileResult<ROption<RawDevice>>;
    fn attach(&self, name: RStr<'_>, fill: RawFill) -> FileResult<RawDevice>;
    fn detach(&self, name: RStr<'_>) -> FileResult<()>;
    #[sabi(last_prefix_field)]
    fn resized(&self, name: RStr<'_>) -> FileResult<()>;
}

/// The machine of one call, borrowed from the host.
pub type MachineRef<'a> = RawMachine_TO<'a, RRef<'a, ()>>;

/// The host's side: a machine behind the edge. A panic of the host's does not cross it.
pub(super) struct Lent<'a>(pub &'a dyn Machine);

fn panicked() -> Fault {
    Fault::new(FaultKind::Bug, "The host failed in a request of the provider").correction("Report this with the satellite's log")
}

fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> RResult<T, RawFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked())).map_err(RawFault::from).into()
}

impl Lent<'_> {
    fn file<T, R>(&self, work: impl FnOnce(&dyn Files) -> Result<T, FileError>, raw: impl FnOnce(T) -> R) -> FileResult<R> {
        let work = || work(self.0.files().map_err(FileError::Fault)?);
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(FileError::Fault(panicked())))
            .map(raw)
            .map_err(RawFileError::from)
            .into()
    }
}

impl RawMachine for Lent<'_> {
    fn pool(&self) -> RawPool {
        self.0.pool().into()
    }
    fn run(&self, argv: RSlice<'_, RStr<'_>>) -> RResult<RawOutput, RawFault> {
        guarded(|| {
            let words: Vec<&str> = argv.iter().map(|word| word.as_str()).collect();
            Ok(self.0.run(&words)?.into())
        })
    }
    fn log(&self, line: RStr<'_>) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.log(line.as_str())));
    }
    fn open(&self) -> RResult<(), RawFault> {
        guarded(|| self.0.files().map(|_| ()))
    }
    fn list(&self) -> FileResult<RVec<RawFileSeen>> {
        self.file(|files| files.list(), Raw::raw)
    }
    fn look(&self, name: RStr<'_>) -> FileResult<ROption<RawFileSeen>> {
        self.file(|files| files.look(name.as_str()), Raw::raw)
    }
    fn create(&self, name: RStr<'_>, size: u64, fill: RawFill, mark: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.create(name.as_str(), Kib(size), fill.into(), mark.as_str()), |()| ())
    }
    fn mark(&self, name: RStr<'_>, mark: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.mark(name.as_str(), mark.as_str()), |()| ())
    }
    fn grow(&self, name: RStr<'_>, size: u64, fill: RawFill) -> FileResult<()> {
        self.file(|files| files.grow(name.as_str(), Kib(size), fill.into()), |()| ())
    }
    fn reflink(&self, from: RStr<'_>, to: RStr<'_>, mark: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.reflink(from.as_str(), to.as_str(), mark.as_str()), |()| ())
    }
    fn rename(&self, from: RStr<'_>, to: RStr<'_>, over: RawOver) -> FileResult<()> {
        self.file(|files| files.rename(from.as_str(), to.as_str(), over.into()), |()| ())
    }
    fn remove(&self, name: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.remove(name.as_str()), |()| ())
    }
    fn sync(&self, name: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.sync(name.as_str()), |()| ())
    }
    fn sync_all(&self) -> FileResult<()> {
        self.file(|files| files.sync_all(), |()| ())
    }
    fn space(&self) -> FileResult<RawSpace> {
        self.file(|files| files.space(), RawSpace::from)
    }
    fn device(&self, name: RStr<'_>) -> FileResult<ROption<RawDevice>> {
        self.file(|files| files.device(name.as_str()), Raw::raw)
    }
    fn attach(&self, name: RStr<'_>, fill: RawFill) -> FileResult<RawDevice> {
        self.file(|files| files.attach(name.as_str(), fill.into()), RawDevice::from)
    }
    fn detach(&self, name: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.detach(name.as_str()), |()| ())
    }
    fn resized(&self, name: RStr<'_>) -> FileResult<()> {
        self.file(|files| files.resized(name.as_str()), |()| ())
    }
}

/// The library's side: the machine again.
pub(super) struct Borrowed<'a> {
    raw: MachineRef<'a>,
    pool: OnceCell<Pool>,
}

impl<'a> Borrowed<'a> {
    pub(super) fn new(raw: MachineRef<'a>) -> Self {
        Self { raw, pool: OnceCell::new() }
    }
}

impl Machine for Borrowed<'_> {
    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| self.raw.pool().into())
    }
    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        let words: Vec<RStr<'_>> = argv.iter().map(|word| RStr::from_str(word)).collect();
        Ok(self.raw.run(RSlice::from_slice(&words)).into_result()?.into())
    }
    fn files(&self) -> Result<&dyn Files, Fault> {
        self.raw.open().into_result()?;
        Ok(self)
    }
    fn log(&self, line: &str) {
        self.raw.log(line.into());
    }
}

impl Files for Borrowed<'_> {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        Ok(Raw::own(self.raw.list().into_result()?))
    }
    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        Ok(Raw::own(self.raw.look(name.into()).into_result()?))
    }
    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        Ok(self.raw.create(name.into(), size.0, fill.into(), mark.into()).into_result()?)
    }
    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        Ok(self.raw.mark(name.into(), mark.into()).into_result()?)
    }
    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        Ok(self.raw.grow(name.into(), size.0, fill.into()).into_result()?)
    }
    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        Ok(self.raw.reflink(from.into(), to.into(), mark.into()).into_result()?)
    }
    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        Ok(self.raw.rename(from.into(), to.into(), over.into()).into_result()?)
    }
    fn remove(&self, name: &str) -> Result<(), FileError> {
        Ok(self.raw.remove(name.into()).into_result()?)
    }
    fn sync(&self, name: &str) -> Result<(), FileError> {
        Ok(self.raw.sync(name.into()).into_result()?)
    }
    fn sync_all(&self) -> Result<(), FileError> {
        Ok(self.raw.sync_all().into_result()?)
    }
    fn space(&self) -> Result<Space, FileError> {
        Ok(self.raw.space().into_result()?.into())
    }
    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        Ok(Raw::own(self.raw.device(name.into()).into_result()?))
    }
    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        Ok(self.raw.attach(name.into(), fill.into()).into_result()?.into())
    }
    fn detach(&self, name: &str) -> Result<(), FileError> {
        Ok(self.raw.detach(name.into()).into_result()?)
    }
    fn resized(&self, name: &str) -> Result<(), FileError> {
        Ok(self.raw.resized(name.into()).into_result()?)
    }
}
