//! A machine that grants what a provider's manifest asks for, and the components under test, compiled once.

use std::sync::{LazyLock, Mutex};

use berth_plugin_sdk::memory::Memory;
use berth_plugin_sdk::{Fault, Files, Grants, Kib, Machine, Operator, Output, Pool, grant};
use berth_sandbox::{Component, Sandbox};

/// The provider that misbehaves.
pub const HOSTILE: &[u8] = include_bytes!("../fixtures/hostile.wasm");
/// The provider of files.
pub const FILE: &[u8] = include_bytes!("../../../satellite/providers/file.wasm");

/// One of each, for all tests: they are compiled once.
pub static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None).unwrap());
static HOSTILE_LOADED: LazyLock<Component> = LazyLock::new(|| SANDBOX.load(HOSTILE).unwrap());
static FILE_LOADED: LazyLock<Component> = LazyLock::new(|| SANDBOX.load(FILE).unwrap());

/// The hostile one, with instances of its own.
pub fn hostile() -> Component {
    let limits = HOSTILE_LOADED.limits();
    HOSTILE_LOADED.clone().limited(limits)
}

/// The one of files, with instances of its own.
pub fn file() -> Component {
    let limits = FILE_LOADED.limits();
    FILE_LOADED.clone().limited(limits)
}

/// The machine.
pub struct Tested {
    pool: Pool,
    grants: Grants,
    memory: Memory,
    /// What was logged.
    pub lines: Mutex<Vec<String>>,
    /// What was run.
    pub ran: Mutex<Vec<String>>,
    /// What `echo` does: it may panic or take its time.
    pub echo: Box<dyn Fn(&str) -> Output>,
}

/// A pool whose provider misbehaves so.
pub fn pool(name: &str, misbehave: &str) -> Tested {
    let props = [("StorDriver/Hostile/Misbehave".to_owned(), misbehave.to_owned())];
    let props = props.into_iter().filter(|_| !misbehave.is_empty()).collect();
    Tested {
        pool: Pool { name: name.into(), kind: "PLUGIN".into(), place: format!("/pools/{name}"), props },
        grants: grant(hostile().manifest(), &Operator::default()),
        memory: Memory::new(Kib(1 << 20)),
        lines: Mutex::default(),
        ran: Mutex::default(),
        echo: Box::new(|word| Output { code: 0, stdout: word.into(), stderr: String::new() }),
    }
}

impl Machine for Tested {
    fn pool(&self) -> &Pool {
        &self.pool
    }
    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        self.grants.may_run(argv, &self.pool)?;
        self.ran.lock().unwrap().push(argv.join(" "));
        Ok((self.echo)(argv.get(1).unwrap_or(&"")))
    }
    fn files(&self) -> Result<&dyn Files, Fault> {
        Ok(&self.memory)
    }
    fn log(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
    }
}
