//! The component that was built once, with the SDK that was released, and the record of when the kept files were replaced.

use std::path::{Path, PathBuf};

use berth_conformance::{MemoryBench, Settings, check};
use sha2::{Digest, Sha256};

use crate::machine::SANDBOX;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/contract").join(name)
}

#[test]
fn a_component_that_was_built_once_still_conforms() {
    let component = SANDBOX.load(&std::fs::read(kept("provider.wasm")).unwrap()).unwrap_or_else(|error| {
        panic!(
            "a component that was built with the released SDK is refused, as those of others would be: {error}. \
             If the contract is broken on purpose, replace the kept files and say why: cargo xtask fixtures --break \"WHAT BROKE\""
        )
    });
    for kind in ["FILE", "FILE_THIN"] {
        let report = check(&component, &MemoryBench::new(kind), &Settings { volumes: 20, ..Settings::default() }, &mut |_| {});
        assert!(report.passed(), "the kit asks for what a released provider does not do:\n{report}");
    }
}

#[test]
fn the_record_names_the_files_that_are_kept() {
    let record = std::fs::read_to_string(kept("record.tsv")).unwrap();
    let last: Vec<&str> = record.lines().last().unwrap_or_default().split('\t').collect();
    let [contract, component, library, plugin, why] = last[..] else { panic!("not five columns: {last:?}") };
    assert!(!contract.is_empty() && !why.trim().is_empty());
    for (name, written) in [("provider.wasm", component), ("provider.so", library), ("plugin.so", plugin)] {
        let bytes = std::fs::read(kept(name)).unwrap();
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, written, "{name} was replaced without a word; use cargo xtask fixtures --break \"WHAT BROKE\"");
        assert!(bytes.len() < 700 << 10, "{name} has {} bytes", bytes.len());
    }
}
