//! The conformance kit on components: the provider of files passes as it does linked in, and defects are found in what was loaded.

use berth_conformance::{MemoryBench, Report, Settings, check};
use berth_sandbox::Component;

use crate::machine::{SANDBOX, file};

/// The provider of files with a defect that its pool names.
const DEFECTIVE: &[u8] = include_bytes!("../fixtures/defective.wasm");

fn run(component: &Component, bench: &MemoryBench, volumes: u32) -> Report {
    check(component, bench, &Settings { volumes, ..Settings::default() }, &mut |_| {})
}

#[test]
fn the_component_of_the_file_provider_passes_the_conformance_kit() {
    for kind in ["FILE", "FILE_THIN"] {
        let report = run(&file(), &MemoryBench::new(kind), 1000);
        assert!(report.passed(), "{report}");
        assert!(report.badge().contains(&format!(" file {} {kind}: ", file().manifest().version)), "{}", report.badge());
    }
}

#[test]
fn seeded_defects_of_a_component_are_found() {
    let component = SANDBOX.load(DEFECTIVE).unwrap();
    let with = |defect: &str| run(&component, &MemoryBench::with_props("FILE", &[("StorDriver/Defective/Defect", defect)]), 20);
    let right = run(&component, &MemoryBench::new("FILE"), 20);
    assert!(right.passed(), "{right}");
    for (defect, id, word) in [
        ("leaks-device", "delete", "a device whose file is gone"),
        ("lies-about-space", "space", "free space falls by"),
        ("not-idempotent", "create", "there already"),
    ] {
        let report = with(defect);
        let found = report.failures().any(|(check, finding)| check.id == id && format!("{finding:?}").contains(word));
        assert!(found, "{defect} is not found by '{id}':\n{report}");
    }
}
