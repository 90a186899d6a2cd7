//! The edge to dynamic libraries: types with a fixed layout, and what turns them into this crate's and back. Authors never name them.
//!
//! Only this module and the host's loader know that it is done with `abi_stable`.

#![allow(
    unsafe_code,
    non_local_definitions,
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what the macros of abi_stable make of these declarations"
)]

mod layout;
mod machine;
mod plugin;
mod provider;
mod storage;
mod types;

pub use abi_stable;
pub use layout::{plugin_layout, provider_layout};
pub use plugin::{PluginLibrary, PluginModuleRef, bad_manifest, erased_plugin};
pub use provider::{Library, ProviderModuleRef, erased};

/// Name of the static in a library that its provider is found by: the contract's major number is part of it.
pub const PROVIDER_SYMBOL: &str = "berth_provider_v0";

/// Name of the static in a library that its plugin is found by: the contract's major number is part of it.
pub const PLUGIN_SYMBOL: &str = "berth_plugin_v0";

/// Makes a crate a provider: the last line of its `lib.rs`, with the type that implements [`Provider`](crate::Provider) and `Default`.
///
/// The crate is a `cdylib`; built for `wasm32-wasip2` it is a component, built for the machine a dynamic library.
///
/// ```
/// # use berth_plugin_sdk as sdk;
/// # use sdk::{memory::Memory, *};
/// # #[derive(Default)] struct Mine;
/// # impl Provider for Mine {
/// #     fn manifest(&self) -> Manifest { Manifest::new("mine", "0.1.0", &["PLUGIN"]) }
/// #     fn probe(&self, _: &dyn Machine) -> Result<PoolAbilities, Fault> { unreachable!() }
/// #     fn clean(&self, _: &dyn Machine, _: sdk::uuid::Uuid) -> Result<Vec<String>, Fault> { unreachable!() }
/// #     fn space(&self, _: &dyn Machine) -> Result<Space, Fault> { unreachable!() }
/// #     fn list(&self, _: &dyn Machine) -> Result<Vec<Found>, Fault> { unreachable!() }
/// #     fn look(&self, _: &dyn Machine, _: &BackingName, _: Option<&BackingName>) -> Result<Option<Found>, Fault> { unreachable!() }
/// #     fn create(&self, _: &dyn Machine, _: &New, _: Kib) -> Result<(), Fault> { unreachable!() }
/// #     fn grow(&self, _: &dyn Machine, _: &Known, _: Kib) -> Result<(), Fault> { unreachable!() }
/// #     fn delete(&self, _: &dyn Machine, _: &Known) -> Result<(), Fault> { unreachable!() }
/// #     fn snapshot(&self, _: &dyn Machine, _: &Known, _: &New) -> Result<(), Fault> { unreachable!() }
/// #     fn delete_snapshot(&self, _: &dyn Machine, _: &Known) -> Result<(), Fault> { unreachable!() }
/// #     fn rollback(&self, _: &dyn Machine, _: &New, _: &Known) -> Result<(), Fault> { unreachable!() }
/// #     fn restore(&self, _: &dyn Machine, _: &Known, _: &New, _: Kib) -> Result<Filled, Fault> { unreachable!() }
/// #     fn clone_volume(&self, _: &dyn Machine, _: &Known, _: &New, _: Kib) -> Result<Filled, Fault> { unreachable!() }
/// #     fn finish_copy(&self, _: &dyn Machine, _: &New) -> Result<(), Fault> { unreachable!() }
/// #     fn attach(&self, _: &dyn Machine, _: &Known) -> Result<Device, Fault> { unreachable!() }
/// #     fn detach(&self, _: &dyn Machine, _: &Known) -> Result<(), Fault> { unreachable!() }
/// # }
/// berth_plugin_sdk::export_provider!(Mine);
/// ```
#[macro_export]
macro_rules! export_provider {
    ($provider:ty) => {
        const _: () = {
            extern "C" fn root() -> $crate::abi::abi_stable::library::RootModuleResult {
                $crate::abi::erased::<$provider>()
            }

            // SAFETY: `root` hands out the module that the type says.
            #[allow(unsafe_code, non_upper_case_globals, missing_docs)]
            #[unsafe(no_mangle)]
            pub static berth_provider_v0: $crate::abi::abi_stable::library::LibHeader = unsafe {
                $crate::abi::abi_stable::library::LibHeader::from_constructor::<$crate::abi::ProviderModuleRef>(
                    root,
                    $crate::abi::abi_stable::library::CheckTypeLayout::Yes,
                )
            };
        };
    };
}

/// Makes a crate a plugin: the last line of its `lib.rs`, with the type that implements [`Plugin`](crate::plugin::Plugin) and `Default`.
///
/// The crate is a `cdylib`.
///
/// ```
/// use std::sync::Arc;
///
/// use berth_plugin_sdk::Fault;
/// use berth_plugin_sdk::plugin::{Host, Plugin, PluginManifest, Running, no_operation};
/// use berth_plugin_sdk::storage::Storage;
///
/// #[derive(Default)]
/// struct Names;
///
/// impl Plugin for Names {
///     fn manifest(&self) -> PluginManifest {
///         let mut manifest = PluginManifest::new("names", "1.0.0", "Tells the names of all volumes");
///         manifest.operations = vec![("list".into(), "Names of all volumes, as a list.".into())];
///         manifest
///     }
///     fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
///         Ok(Box::new(Serving(host.storage()?)))
///     }
/// }
///
/// struct Serving(Arc<dyn Storage>);
///
/// impl Running for Serving {
///     fn call(&self, operation: &str, _input: &str) -> Result<String, Fault> {
///         match operation {
///             "list" => Ok(format!("{:?}", self.0.list(&Default::default())?.into_iter().map(|of| of.name).collect::<Vec<_>>())),
///             other => Err(no_operation(&Names.manifest(), other)),
///         }
///     }
///     fn stop(&self) {}
/// }
///
/// berth_plugin_sdk::export_plugin!(Names);
/// ```
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        const _: () = {
            extern "C" fn root() -> $crate::abi::abi_stable::library::RootModuleResult {
                $crate::abi::erased_plugin::<$plugin>()
            }

            // SAFETY: `root` hands out the module that the type says.
            #[allow(unsafe_code, non_upper_case_globals, missing_docs)]
            #[unsafe(no_mangle)]
            pub static berth_plugin_v0: $crate::abi::abi_stable::library::LibHeader = unsafe {
                $crate::abi::abi_stable::library::LibHeader::from_constructor::<$crate::abi::PluginModuleRef>(
                    root,
                    $crate::abi::abi_stable::library::CheckTypeLayout::Yes,
                )
            };
        };
    };
}
