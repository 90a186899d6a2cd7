//! The engine, and the thread that counts its time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Engine, EngineWeak, OptLevel};

use crate::cache::Cache;
use crate::component::Component;
use crate::load::{self, LoadError};

/// How often a running guest looks at its clock.
const TICK: Duration = Duration::from_millis(10);
/// After so many ticks without a call the thread sleeps until there is one.
const IDLE_TICKS: u32 = 100;
/// Stack of a guest, in bytes; the host's own thread must have more.
const STACK: usize = 512 << 10;

/// Why the sandbox cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine does not run on this machine.
    #[error("components of providers cannot run on this machine: {0}")]
    Engine(String),
    /// There is no thread for its clock.
    #[error("the clock of the sandbox cannot be started: {0}")]
    Thread(std::io::Error),
    /// The folder of the cache cannot be used.
    #[error("the cache of compiled providers cannot be used: '{}' {why}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        why: String,
    },
}

/// What all components of a process share. Make one.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sandbox = berth_sandbox::Sandbox::new(Some("/var/cache/berth/providers".into()))?;
/// let provider = sandbox.load(&std::fs::read("example.wasm")?)?;
/// println!("{} serves {}", provider.manifest().name, provider.manifest().kinds.join(", "));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Sandbox {
    engine: Engine,
    clock: Arc<Clock>,
    cache: Option<Cache>,
}

impl Sandbox {
    /// An engine, whose compiled components are kept in the folder `cache`, if one is named. The folder is made if it is missing.
    /// It holds code that is run without further looks: only its owner, who must be the one that asks, may write to it.
    ///
    /// # Errors
    /// [`SandboxError`].
    pub fn new(cache: Option<PathBuf>) -> Result<Self, SandboxError> {
        let engine = Engine::new(&config().map_err(engine_error)?).map_err(engine_error)?;
        let cache = cache.map(|folder| Cache::new(folder, &engine)).transpose()?;
        Ok(Self { clock: Arc::new(Clock::new(engine.weak()).map_err(SandboxError::Thread)?), engine, cache })
    }

    /// Makes the file of a component a provider: compiles it or takes it from the cache, and asks it for its manifest, which is kept.
    ///
    /// # Errors
    /// [`LoadError`]: whatever is wrong with the file.
    pub fn load(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        load::load(&self.engine, self.cache.as_ref(), Arc::clone(&self.clock), bytes)
    }

    /// Removes from the cache what was compiled of other components than these; `keep` is asked with the SHA-256 of each one's file, 64
    /// hexadecimal digits in lower case. How many files went; what cannot be removed stays. Whoever shares its folder with others
    /// takes theirs away, too.
    pub fn forget_but(&self, keep: impl Fn(&str) -> bool) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.retain(&keep))
    }
}

fn engine_error(error: wasmtime::Error) -> SandboxError {
    SandboxError::Engine(format!("{error:#}"))
}

fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    // A named target has none of the features that only this machine's processor has: compiled files can move between machines.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .cranelift_opt_level(OptLevel::Speed)
        // A stripped guest has no names to show, and the tables would be larger than its code.
        .wasm_backtrace_max_frames(None)
        .native_unwind_info(false)
        .generate_address_map(false);
    Ok(config)
}

/// Advances the engine's epoch while calls run. Ends with the last component of the sandbox.
#[derive(Debug)]
pub struct Clock {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

/// While this lives, the clock runs.
pub struct Running<'a>(&'a Clock);

impl Clock {
    fn new(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sandbox-clock".into()).spawn(move || run(&ours, &engine))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A call begins.
    pub fn start(&self) -> Running<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        // Either we see that it is asleep and wake it, or it sees our call before it sleeps.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Running(self)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.ended.load(Ordering::SeqCst) {
        if shared.calls.load(Ordering::SeqCst) > 0 {
            idle = 0;
            // A tick that comes early does no harm: the guest then looks at its real clock.
            std::thread::park_timeout(TICK);
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        } else if idle < IDLE_TICKS {
            idle += 1;
            std::thread::park_timeout(TICK);
        } else {
            shared.asleep.store(true, Ordering::SeqCst);
            if shared.calls.load(Ordering::SeqCst) == 0 && !shared.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
        }
    }
}
