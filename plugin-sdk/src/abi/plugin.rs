//! The root module of a plugin's library, and the host as it is handed to it; both sides.

use std::sync::Arc;

use abi_stable::library::{RootModule, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RStr, RString};
use abi_stable::type_level::downcasting::TD_Opaque;
use abi_stable::{StableAbi, sabi_trait};

use super::storage::{Answer, StorageBox, guarded, lend, own, take, text};
use crate::plugin::{Controllers, Host, Level, Plugin, PluginManifest, Running, Settings};
use crate::storage::Storage;
use crate::{Fault, FaultKind};

/// [`Level`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum RawLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl From<Level> for RawLevel {
    fn from(of: Level) -> Self {
        match of {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
        }
    }
}

impl From<RawLevel> for Level {
    fn from(of: RawLevel) -> Self {
        match of {
            RawLevel::Error => Self::Error,
            RawLevel::Warn => Self::Warn,
            RawLevel::Info => Self::Info,
            RawLevel::Debug => Self::Debug,
        }
    }
}

/// [`Host`] with a fixed layout.
#[sabi_trait]
pub trait RawHost: Send + Sync {
    fn settings(&self) -> Answer<RString>;
    fn storage(&self) -> Answer<StorageBox>;
    fn connect(&self, to: RStr<'_>) -> Answer<StorageBox>;
    #[sabi(last_prefix_field)]
    fn log(&self, level: RawLevel, line: RStr<'_>);
}

/// The host as it is handed to a library.
pub type HostBox = RawHost_TO<'static, RBox<()>>;

/// [`Running`] with a fixed layout.
#[sabi_trait]
pub trait RawRunning: Send + Sync {
    fn call(&self, operation: RStr<'_>, input: RStr<'_>) -> Answer<RString>;
    #[sabi(last_prefix_field)]
    fn stop(&self) -> Answer<()>;
}

/// What runs in a library.
pub type RunningBox = RawRunning_TO<'static, RBox<()>>;

/// What a plugin's library exports. Fields are only ever added, behind the last one.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef, prefix_fields = PluginModulePrefix)))]
#[sabi(missing_field(panic))]
#[allow(missing_docs)]
pub struct PluginModule {
    pub describe: extern "C" fn() -> Answer<RString>,
    #[sabi(last_prefix_field)]
    pub start: extern "C" fn(host: HostBox) -> Answer<RunningBox>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "berth_plugin";
    const NAME: &'static str = "berth_plugin";
    // The contract's, not the crate's: a library of a later patch of the SDK is the same at the edge.
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("0.1.0");
}

/// The host's side of [`Host`].
struct LentHost(Arc<dyn Host>);

impl RawHost for LentHost {
    fn settings(&self) -> Answer<RString> {
        guarded("host", || text(&self.0.settings()))
    }
    fn storage(&self) -> Answer<StorageBox> {
        guarded("host", || self.0.storage().map(lend))
    }
    fn connect(&self, to: RStr<'_>) -> Answer<StorageBox> {
        guarded("host", || self.0.connect(&own::<Controllers>(to.as_str())?).map(lend))
    }
    fn log(&self, level: RawLevel, line: RStr<'_>) {
        let _ = guarded("host", || {
            self.0.log(level.into(), line.as_str());
            Ok(())
        });
    }
}

/// The library's side of [`Host`].
struct BorrowedHost(HostBox);

impl Host for BorrowedHost {
    fn settings(&self) -> Settings {
        let answer = self.0.settings().into_result();
        answer.ok().and_then(|text| own(text.as_str()).ok()).unwrap_or_default()
    }
    fn storage(&self) -> Result<Arc<dyn Storage>, Fault> {
        Ok(take(self.0.storage().into_result()?))
    }
    fn connect(&self, to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
        Ok(take(self.0.connect(text(to)?.as_rstr()).into_result()?))
    }
    fn log(&self, level: Level, line: &str) {
        self.0.log(level.into(), line.into());
    }
}

/// The author's side of [`Running`].
struct Kept(Box<dyn Running>);

impl RawRunning for Kept {
    fn call(&self, operation: RStr<'_>, input: RStr<'_>) -> Answer<RString> {
        guarded("plugin", || self.0.call(operation.as_str(), input.as_str()).map(Into::into))
    }
    fn stop(&self) -> Answer<()> {
        guarded("plugin", || {
            self.0.stop();
            Ok(())
        })
    }
}

mod exports {
    use super::*;

    pub(super) extern "C" fn describe<P: Plugin + Default>() -> Answer<RString> {
        guarded("plugin", || text(&P::default().manifest()))
    }
    pub(super) extern "C" fn start<P: Plugin + Default>(host: HostBox) -> Answer<RunningBox> {
        guarded("plugin", || {
            let running = P::default().start(Arc::new(BorrowedHost(host)))?;
            Ok(RawRunning_TO::from_value(Kept(running), TD_Opaque))
        })
    }
}

fn module<P: Plugin + Default>() -> PluginModuleRef {
    PluginModule { describe: exports::describe::<P>, start: exports::start::<P> }.leak_into_prefix()
}

/// The root module of plugin `P`, for the static that `export_plugin!` makes.
#[doc(hidden)]
pub fn erased_plugin<P: Plugin + Default>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module::<P>)
}

/// The plugin of a library, on the host's side.
#[derive(Clone, Copy)]
pub struct PluginLibrary {
    module: PluginModuleRef,
}

impl std::fmt::Debug for PluginLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PluginLibrary")
    }
}

impl PluginLibrary {
    /// The plugin of a root module, and what it says of itself.
    ///
    /// # Errors
    /// `Bug`: it panicked when it was asked, or answered nonsense.
    pub fn new(module: PluginModuleRef) -> Result<(Self, PluginManifest), Fault> {
        let said = module.describe()().into_result()?;
        Ok((Self { module }, own(said.as_str())?))
    }

    /// A plugin that is linked in, behind the same edge as one of a library: for tests.
    ///
    /// # Errors
    /// As [`PluginLibrary::new`].
    pub fn linked<P: Plugin + Default>() -> Result<(Self, PluginManifest), Fault> {
        Self::new(module::<P>())
    }

    /// Starts it.
    ///
    /// # Errors
    /// Its own; `Bug`: it panicked.
    pub fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
        let host = RawHost_TO::from_value(LentHost(host), TD_Opaque);
        Ok(Box::new(Started(self.module.start()(host).into_result()?)))
    }
}

/// The host's side of [`Running`].
struct Started(RunningBox);

impl Running for Started {
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault> {
        Ok(self.0.call(operation.into(), input.into()).into_result()?.into())
    }
    fn stop(&self) {
        // A plugin that panics at its end has ended, too.
        let _ = self.0.stop();
    }
}

/// The fault of a plugin whose manifest cannot be used.
#[must_use]
pub fn bad_manifest(error: &crate::BadManifest) -> Fault {
    Fault::new(FaultKind::Unsupported, "The plugin cannot be used").cause(error.to_string())
}
