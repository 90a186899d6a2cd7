//! A library with the symbol of a provider and another layout behind it, as one that was built with another SDK: it must not be let in.

#![allow(unsafe_code, missing_docs, non_local_definitions, clippy::disallowed_types, reason = "what the macros of abi_stable make")]

use abi_stable::StableAbi;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;

/// The first call of a provider's root module, with another signature.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = OtherModuleRef, prefix_fields = OtherModulePrefix)))]
#[sabi(missing_field(panic))]
pub struct OtherModule {
    #[sabi(last_prefix_field)]
    pub describe: extern "C" fn(u64) -> u64,
}

impl RootModule for OtherModuleRef {
    abi_stable::declare_root_module_statics! {OtherModuleRef}
    const BASE_NAME: &'static str = "berth_provider";
    const NAME: &'static str = "berth_provider";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("0.1.0");
}

extern "C" fn describe(number: u64) -> u64 {
    number
}

fn module() -> OtherModuleRef {
    OtherModule { describe }.leak_into_prefix()
}

extern "C" fn root() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module)
}

// SAFETY: `root` hands out the module that the type says; it is not the one that a host expects, which is what it is for.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static berth_provider_v0: LibHeader = unsafe { LibHeader::from_constructor::<OtherModuleRef>(root, CheckTypeLayout::Yes) };
