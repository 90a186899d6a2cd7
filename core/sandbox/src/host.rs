//! The imports of the world: the machine of the call, for the guest.

use berth_plugin_sdk::{FileError, Files, Kib, PANICKED};

use crate::bindings::berth::provider::{files as wf, machine, types};
use crate::state::{LINE_MAX, LINES_MAX, State, Stop, TEXT_MAX, cut};

/// Most words of a command.
const WORDS_MAX: usize = 4096;

/// What a guest hands over is bounded before anything is done with it.
fn short(texts: &[&str]) -> Result<(), Stop> {
    match texts.iter().find(|text| text.len() > TEXT_MAX) {
        None => Ok(()),
        Some(text) => Err(Stop::TooMuch(format!("it handed over a text of {} bytes; {TEXT_MAX} are allowed", text.len()))),
    }
}

impl types::Host for State {}

impl machine::Host for State {
    fn get_pool(&mut self) -> wasmtime::Result<types::Pool> {
        Ok(self.ask(|machine| machine.pool().into())?)
    }

    fn run(&mut self, argv: Vec<String>) -> wasmtime::Result<Result<types::Output, types::Fault>> {
        if argv.len() > WORDS_MAX {
            return Err(Stop::TooMuch(format!("it asked for a command of {} words; {WORDS_MAX} are allowed", argv.len())).into());
        }
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        short(&words)?;
        let most = usize::try_from(self.limits().output_kib).unwrap_or(usize::MAX).saturating_mul(1024);
        let answer = self.ask(|machine| machine.run(&words))?;
        Ok(answer
            .map(|output| types::Output { code: output.code, stdout: cut(output.stdout, most), stderr: cut(output.stderr, most) })
            .map_err(Into::into))
    }

    fn log(&mut self, line: String) -> wasmtime::Result<()> {
        if let Some(text) = line.strip_prefix(PANICKED) {
            self.panic(text);
        }
        let (write, last) = self.line();
        if !write {
            return Ok(());
        }
        let line = if last { format!("more than {LINES_MAX} lines in one call; the others are left out") } else { cut(line, LINE_MAX) };
        match self.ask(|machine| machine.log(&line)) {
            // While it describes itself there is no log, and what it says is no reason to stop it.
            Ok(()) | Err(Stop::NoMachine) => Ok(()),
            Err(stop) => Err(stop.into()),
        }
    }
}

type Answer<T> = wasmtime::Result<Result<T, wf::FileError>>;

impl State {
    /// One request on files.
    fn file<T>(&mut self, texts: &[&str], work: impl FnOnce(&dyn Files) -> Result<T, FileError>) -> Answer<T> {
        short(texts)?;
        Ok(self.ask(|machine| machine.files().map_err(FileError::Fault).and_then(work))?.map_err(Into::into))
    }
}

impl wf::Host for State {
    fn open(&mut self) -> wasmtime::Result<Result<(), types::Fault>> {
        Ok(self.ask(|machine| machine.files().map(|_| ()))?.map_err(Into::into))
    }
    fn list_all(&mut self) -> Answer<Vec<wf::Seen>> {
        self.file(&[], |files| Ok(files.list()?.into_iter().map(Into::into).collect()))
    }
    fn look(&mut self, name: String) -> Answer<Option<wf::Seen>> {
        self.file(&[&name], |files| Ok(files.look(&name)?.map(Into::into)))
    }
    fn create(&mut self, name: String, size: u64, fill: wf::Fill, mark: String) -> Answer<()> {
        self.file(&[&name, &mark], |files| files.create(&name, Kib(size), fill.into(), &mark))
    }
    fn mark(&mut self, name: String, mark: String) -> Answer<()> {
        self.file(&[&name, &mark], |files| files.mark(&name, &mark))
    }
    fn grow(&mut self, name: String, size: u64, fill: wf::Fill) -> Answer<()> {
        self.file(&[&name], |files| files.grow(&name, Kib(size), fill.into()))
    }
    fn reflink(&mut self, from: String, to: String, mark: String) -> Answer<()> {
        self.file(&[&from, &to, &mark], |files| files.reflink(&from, &to, &mark))
    }
    fn rename(&mut self, from: String, to: String, over: wf::Over) -> Answer<()> {
        self.file(&[&from, &to], |files| files.rename(&from, &to, over.into()))
    }
    fn remove(&mut self, name: String) -> Answer<()> {
        self.file(&[&name], |files| files.remove(&name))
    }
    fn sync(&mut self, name: String) -> Answer<()> {
        self.file(&[&name], |files| files.sync(&name))
    }
    fn sync_all(&mut self) -> Answer<()> {
        self.file(&[], |files| files.sync_all())
    }
    fn get_space(&mut self) -> Answer<types::Space> {
        self.file(&[], |files| Ok(files.space()?.into()))
    }
    fn get_device(&mut self, name: String) -> Answer<Option<types::Device>> {
        self.file(&[&name], |files| Ok(files.device(&name)?.map(Into::into)))
    }
    fn attach(&mut self, name: String, fill: wf::Fill) -> Answer<types::Device> {
        self.file(&[&name], |files| Ok(files.attach(&name, fill.into())?.into()))
    }
    fn detach(&mut self, name: String) -> Answer<()> {
        self.file(&[&name], |files| files.detach(&name))
    }
    fn resized(&mut self, name: String) -> Answer<()> {
        self.file(&[&name], |files| files.resized(&name))
    }
}
