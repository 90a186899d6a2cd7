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

mod machine;
mod provider;
mod types;

pub use abi_stable;
pub use provider::{Library, ProviderModuleRef, erased};

/// Name of the static in a library that its provider is found by: the contract's major number is part of it.
pub const PROVIDER_SYMBOL: &str = "berth_provider_v0";

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
/// #     fn look(&self, _: &dyn Machine, _: &BackingName) -> Result<Option<Found>, Fault> { unreachable!() }
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
