//! The conformance kit on libraries: the provider of files passes as it does linked in, and defects are found in what was loaded.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "library/mod.rs"]
mod library;

use berth_conformance::{MemoryBench, Report, Settings, check};
use berth_loader::open_provider;
use berth_plugin_sdk::Provider;
use library::copied;

fn run(provider: &dyn Provider, bench: &MemoryBench, volumes: u32) -> Report {
    check(provider, bench, &Settings { volumes, ..Settings::default() }, &mut |_| {})
}

#[test]
fn the_library_of_the_file_provider_passes_the_conformance_kit() {
    let dir = tempfile::tempdir().unwrap();
    let (file, manifest) = open_provider(&copied("berth_provider_file", dir.path())).unwrap();
    for kind in ["FILE", "FILE_THIN"] {
        let report = run(&file, &MemoryBench::new(kind), 1000);
        assert!(report.passed(), "{report}");
        assert!(report.badge().contains(&format!(" file {} {kind}: ", manifest.version)), "{}", report.badge());
    }
}

#[test]
fn seeded_defects_of_a_library_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (defective, _) = open_provider(&copied("berth_guest_defective", dir.path())).unwrap();
    let with = |defect: &str| run(&defective, &MemoryBench::with_props("FILE", &[("StorDriver/Defective/Defect", defect)]), 20);
    let right = run(&defective, &MemoryBench::new("FILE"), 20);
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
