//! Makes the bytes of a file a provider, or says what is wrong with them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use berth_plugin_sdk::{BadManifest, CONTRACT, Fault, FaultKind};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component as Compiled, HasSelf, Linker};

use crate::bindings::{Provider, ProviderPre};
use crate::cache::{Cache, sum};
use crate::component::Component;
use crate::engine::Clock;
use crate::state::{State, TEXT_MAX, cut, said};
use crate::wasi;

/// Largest file of a component, in bytes.
const LARGEST: usize = 64 << 20;
/// Beginning of the names of the contract's interfaces.
const OURS: &str = "berth:provider/";
/// First bytes of every WebAssembly file, and what follows in a module and in a component.
const MAGIC: &[u8] = b"\0asm";
const MODULE: [u8; 4] = [1, 0, 0, 0];
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// Why a file is no provider for this host. The text says what and why; [`correction`](Self::correction) says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is too large.
    #[error("The file has {0} bytes, and a component may have {LARGEST}")]
    TooLarge(usize),
    /// It is no WebAssembly at all.
    #[error("The file is no WebAssembly component: {0}")]
    NotWasm(&'static str),
    /// It is a core module.
    #[error("The file is a core WebAssembly module, not a component")]
    Module,
    /// It is a component of a later binary format.
    #[error("The file is WebAssembly of a format that this host does not know (version {0})")]
    Format(String),
    /// It is damaged, truncated or not valid.
    #[error("The component is truncated, damaged or not valid: {0}")]
    Broken(String),
    /// It was written for another version of the contract.
    #[error("The component was written for version {written} of the contract of providers, and this host knows version {CONTRACT}")]
    Version {
        /// For which one.
        written: String,
    },
    /// It wants something that no provider gets.
    #[error("The component imports '{0}', which providers do not get")]
    Import(String),
    /// It is a component, but no provider.
    #[error("The component is no provider: it does not export '{OURS}calls@{CONTRACT}.0'")]
    NotProvider,
    /// Its functions are not those of the contract.
    #[error("The component says that it follows version {CONTRACT} of the contract of providers, but does not: {0}")]
    Shape(String),
    /// It could not say what it is.
    #[error("The component could not describe itself: {}", .0.cause)]
    Describe(Fault),
    /// What it said of itself cannot be used.
    #[error("The provider cannot be used: {0}")]
    Manifest(#[from] BadManifest),
}

impl LoadError {
    /// What to do about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        let build = "Build it with 'cargo build --release --target wasm32-wasip2', as docs/writing-a-provider.md says";
        match self {
            Self::TooLarge(_) => "Build it optimised for size and without symbols (profile: opt-level = \"s\", lto, strip)".into(),
            Self::NotWasm(_) => format!("Name the .wasm file of a provider. {build}"),
            Self::Module => format!("Make it a component. {build}"),
            Self::Broken(_) => "Copy the file again, and compare its sha256 with the one that its author published".into(),
            Self::Format(_) | Self::Version { .. } => {
                "Install a provider that was built for this version, or the version of Berth that it was built for".into()
            }
            Self::Import(_) => "Ask its author to use the machine of the call only: commands and files that the manifest asks for".into(),
            Self::NotProvider => {
                "Name the file of a provider; its last line is 'export_provider!', or it is built for the world 'provider'".into()
            }
            Self::Shape(_) | Self::Describe(_) | Self::Manifest(_) => "Report it to the author of the provider".into(),
        }
    }

    /// The same as a fault, for those who show faults.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::new(FaultKind::Unsupported, self.to_string()).correction(self.correction())
    }
}

/// See [`Sandbox::load`](crate::Sandbox::load).
pub fn load(engine: &Engine, cache: Option<&Cache>, clock: Arc<Clock>, bytes: &[u8]) -> Result<Component, LoadError> {
    head(bytes)?;
    let compiled = compiled(engine, cache, bytes)?;
    let linker = linker(engine, &compiled)?;
    let shape = |error: wasmtime::Error| LoadError::Shape(cut(format!("{error:#}"), TEXT_MAX));
    let pre = linker.instantiate_pre(&compiled).and_then(ProviderPre::new).map_err(shape)?;
    let component = Component::described(pre, clock).map_err(LoadError::Describe)?;
    component.manifest().check()?;
    Ok(component)
}

/// Looks at the first bytes, for errors that people understand.
fn head(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() > LARGEST {
        return Err(LoadError::TooLarge(bytes.len()));
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(LoadError::NotWasm(if bytes.is_empty() {
            "it is empty"
        } else if bytes.starts_with(b"\x7fELF") {
            "it is a program or a dynamic library"
        } else {
            "it does not begin as one"
        }));
    };
    let version: [u8; 4] = rest.get(..4).and_then(|four| four.try_into().ok()).ok_or_else(|| LoadError::Broken("it ends early".into()))?;
    match version {
        COMPONENT => Ok(()),
        MODULE => Err(LoadError::Module),
        other => Err(LoadError::Format(other.map(|byte| byte.to_string()).join("."))),
    }
}

fn compiled(engine: &Engine, cache: Option<&Cache>, bytes: &[u8]) -> Result<Compiled, LoadError> {
    let key = cache.map(|cache| (cache, sum(bytes)));
    if let Some(found) = key.as_ref().and_then(|(cache, sum)| cache.get(engine, sum)) {
        return Ok(found);
    }
    // The compiler is large, and the file may be anybody's.
    let made = catch_unwind(AssertUnwindSafe(|| Compiled::from_binary(engine, bytes)))
        .map_err(|payload| LoadError::Broken(format!("the compiler gave up: {}", said(payload.as_ref()))))?
        .map_err(|error| LoadError::Broken(cut(format!("{error:#}"), TEXT_MAX)))?;
    if let Some((cache, sum)) = key {
        cache.put(&sum, &made);
    }
    Ok(made)
}

/// Whether a version, e.g. `0.1.3`, is one of the contract that this host knows.
fn known(version: &str) -> bool {
    version.strip_prefix(CONTRACT).is_some_and(|rest| rest.starts_with('.'))
}

/// The version in the name of one of the contract's interfaces.
fn version(name: &str) -> Option<&str> {
    name.strip_prefix(OURS).map(|rest| rest.split_once('@').map_or("none", |(_, version)| version))
}

/// What stands behind the imports.
fn linker(engine: &Engine, compiled: &Compiled) -> Result<Linker<State>, LoadError> {
    let types = compiled.component_type();
    let names = types.imports(engine).map(|(name, _)| name).chain(types.exports(engine).map(|(name, _)| name));
    if let Some(other) = names.filter_map(version).find(|version| !known(version)) {
        return Err(LoadError::Version { written: cut(other.to_owned(), 64) });
    }
    let mut linker = Linker::new(engine);
    let shape = |error: wasmtime::Error| LoadError::Shape(cut(format!("{error:#}"), TEXT_MAX));
    Provider::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(shape)?;
    for (name, item) in types.imports(engine) {
        match &item.ty {
            _ if version(name).is_some() => {}
            ComponentItem::ComponentInstance(items) if name.starts_with(wasi::PREFIX) => {
                wasi::define(&mut linker, engine, name, items).map_err(shape)?;
            }
            _ => return Err(LoadError::Import(cut(name.to_owned(), 200))),
        }
    }
    if !types.exports(engine).any(|(name, _)| name.starts_with(&format!("{OURS}calls@"))) {
        return Err(LoadError::NotProvider);
    }
    Ok(linker)
}
