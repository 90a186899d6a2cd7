//! The contract is not Rust's: a provider in C, as a component that was committed, passes the conformance kit.

use berth_conformance::{MemoryBench, Settings, check};
use berth_sandbox::Sandbox;
use sha2::{Digest, Sha256};

const COMPONENT: &[u8] = include_bytes!("../../../../examples/provider-in-c/provider.wasm");

#[test]
fn a_provider_in_c_passes_the_conformance_kit_in_the_sandbox() {
    let component = Sandbox::new(None).expect("a sandbox").load(COMPONENT).expect("a component");
    assert_eq!(component.manifest().name, "example-in-c");
    let settings = Settings { volumes: 100, ..Settings::default() };
    let report = check(&component, &MemoryBench::new("PLUGIN"), &settings, &mut |_| {});
    assert!(report.passed(), "{report}");
}

#[test]
fn the_component_is_made_of_the_source_that_is_there() {
    let mut hash = Sha256::new();
    hash.update(include_str!("../../../../examples/provider-in-c/provider.c"));
    hash.update(include_str!("../../../../examples/provider-in-c/berth.h"));
    hash.update(berth_plugin_sdk::WIT);
    let now: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let made_of = include_str!("../../../../examples/provider-in-c/provider.wasm.made-of").trim();
    assert_eq!(made_of, now, "run examples/provider-in-c/make.sh, and commit what it makes");
}
