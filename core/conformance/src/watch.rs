//! The machine that providers get from the kit: it counts, refuses what the manifest does not ask for, and can be cut off.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use berth_plugin_sdk::{Device, Fault, FaultKind, FileError, FileSeen, Files, Fill, Grants, Kib, Machine, Output, Over, Pool, Space};

/// Around the bench's machine.
pub(crate) struct Watch<'a> {
    inner: &'a dyn Machine,
    grants: Grants,
    /// Requests since [`Watch::count`] was asked last.
    requests: Cell<u64>,
    /// What was answered to them, in bytes or entries.
    answered: Cell<u64>,
    left: Cell<Option<u32>>,
    reached: Cell<bool>,
    unasked: RefCell<BTreeSet<String>>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(inner: &'a dyn Machine, grants: Grants) -> Self {
        Self {
            inner,
            grants,
            requests: Cell::new(0),
            answered: Cell::new(0),
            left: Cell::new(None),
            reached: Cell::new(false),
            unasked: RefCell::default(),
        }
    }

    /// After so many further requests all fail, as for a process that was killed.
    pub(crate) fn cut(&self, after: u32) {
        self.left.set(Some(after));
        self.reached.set(false);
    }

    /// The next life; whether any request was cut off.
    pub(crate) fn mend(&self) -> bool {
        self.left.set(None);
        self.reached.replace(false)
    }

    /// Requests and the size of their answers since this was asked last.
    pub(crate) fn count(&self) -> (u64, u64) {
        (self.requests.replace(0), self.answered.replace(0))
    }

    /// What was requested and is not in the manifest.
    pub(crate) fn unasked(&self) -> Vec<String> {
        self.unasked.borrow().iter().cloned().collect()
    }

    /// Whether the manifest asks for this command, which the host is to run.
    pub(crate) fn may_run(&self, argv: &[&str]) -> bool {
        self.grants.may_run(argv, self.inner.pool()).is_ok()
    }

    fn request(&self, what: &str) -> Result<(), Fault> {
        match self.left.get() {
            Some(0) => {
                self.reached.set(true);
                return Err(Fault::new(FaultKind::Tool, "The kit cut this call short").cause(format!("Before: {what}")));
            }
            Some(left) => self.left.set(Some(left.saturating_sub(1))),
            None => {}
        }
        self.requests.set(self.requests.get().saturating_add(1));
        Ok(())
    }

    fn answer(&self, size: usize) {
        self.answered.set(self.answered.get().saturating_add(u64::try_from(size).unwrap_or(u64::MAX)));
    }

    fn file<T>(&self, what: &str, name: &str, act: impl FnOnce(&dyn Files) -> Result<T, FileError>) -> Result<T, FileError> {
        self.request(&format!("{what} '{name}'")).map_err(FileError::Fault)?;
        act(self.inner.files().map_err(FileError::Fault)?)
    }
}

impl Machine for Watch<'_> {
    fn pool(&self) -> &Pool {
        self.inner.pool()
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.request(&argv.join(" "))?;
        self.grants.may_run(argv, self.inner.pool()).inspect_err(|_| {
            self.unasked.borrow_mut().insert(argv.join(" ").chars().take(400).collect());
        })?;
        let output = self.inner.run(argv)?;
        self.answer(output.stdout.len());
        Ok(output)
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        if !self.grants.files {
            self.unasked.borrow_mut().insert("requests on files (Manifest::files)".into());
            return Err(Fault::new(FaultKind::Unsupported, "The manifest does not ask for requests on files"));
        }
        // A machine without them says so at once.
        self.inner.files().map(|_| self as &dyn Files)
    }

    fn log(&self, line: &str) {
        self.inner.log(line);
    }
}

impl Files for Watch<'_> {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        let all = self.file("list", ".", |files| files.list())?;
        self.answer(all.len().saturating_mul(64));
        Ok(all)
    }
    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        self.file("look", name, |files| files.look(name))
    }
    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        self.file("create", name, |files| files.create(name, size, fill, mark))
    }
    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        self.file("mark", name, |files| files.mark(name, mark))
    }
    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        self.file("grow", name, |files| files.grow(name, size, fill))
    }
    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        self.file("reflink", to, |files| files.reflink(from, to, mark))
    }
    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        self.file("rename", from, |files| files.rename(from, to, over))
    }
    fn remove(&self, name: &str) -> Result<(), FileError> {
        self.file("remove", name, |files| files.remove(name))
    }
    fn sync(&self, name: &str) -> Result<(), FileError> {
        self.file("sync", name, |files| files.sync(name))
    }
    fn sync_all(&self) -> Result<(), FileError> {
        self.file("sync", ".", |files| files.sync_all())
    }
    fn space(&self) -> Result<Space, FileError> {
        self.file("space", ".", |files| files.space())
    }
    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        self.file("device", name, |files| files.device(name))
    }
    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        self.file("attach", name, |files| files.attach(name, fill))
    }
    fn detach(&self, name: &str) -> Result<(), FileError> {
        self.file("detach", name, |files| files.detach(name))
    }
    fn resized(&self, name: &str) -> Result<(), FileError> {
        self.file("resized", name, |files| files.resized(name))
    }
}
