//! Files that were built once, with the SDK that was released: today's loader must let them in and call them.
//! They are built anew only when a contract is broken on purpose: `cargo xtask fixtures --break "WHAT BROKE"` (CONTRIBUTING.md).

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "library/mod.rs"]
mod library;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use berth_conformance::{MemoryBench, Settings as KitSettings, check};
use berth_loader::{LoadError, open_plugin, open_provider};
use berth_plugin_sdk::plugin::{Controllers, Host, Level, Settings};
use berth_plugin_sdk::storage::Storage;
use berth_plugin_sdk::storage::memory::MemoryStorage;
use berth_plugin_sdk::{Fault, FaultKind, Provider};
use library::{copied, plain};

/// A kept file, copied to where only its owner may write.
fn kept(name: &str, dir: &Path) -> PathBuf {
    let copy = dir.join(name);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/contract").join(name), &copy).unwrap();
    plain(&copy);
    copy
}

/// What was opened, or what its refusal means.
fn let_in<T>(opened: Result<T, LoadError>) -> Result<T, String> {
    opened.map_err(|error| {
        format!(
            "a file that was built with the released SDK is refused, as those of others would be: {error}. \
             If the contract is broken on purpose, replace the kept files and say why: cargo xtask fixtures --break \"WHAT BROKE\""
        )
    })
}

#[test]
fn a_provider_that_was_built_once_still_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let (provider, manifest) = let_in(open_provider(&kept("provider.so", dir.path()))).unwrap();
    assert_eq!(manifest, provider.manifest());
    for kind in ["FILE", "FILE_THIN"] {
        let settings = KitSettings { volumes: 20, ..KitSettings::default() };
        let report = check(&provider, &MemoryBench::new(kind), &settings, &mut |_| {});
        assert!(report.passed(), "the kit asks for what a released provider does not do:\n{report}");
    }
}

/// A host with storage in memory.
struct Lent {
    storage: Arc<MemoryStorage>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Host for Lent {
    fn settings(&self) -> Settings {
        Settings { config: "/etc/keeper.conf".into(), ..Settings::default() }
    }
    fn storage(&self) -> Result<Arc<dyn Storage>, Fault> {
        Ok(Arc::clone(&self.storage) as Arc<dyn Storage>)
    }
    fn connect(&self, _to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
        self.storage()
    }
    fn log(&self, level: Level, line: &str) {
        self.lines.lock().unwrap().push(format!("{level:?} {line}"));
    }
}

#[test]
fn a_plugin_that_was_built_once_still_serves() {
    let dir = tempfile::tempdir().unwrap();
    let (plugin, manifest) = let_in(open_plugin(&kept("plugin.so", dir.path()))).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.operations.len()), ("keeper", 3));
    let (storage, lines) = (Arc::new(MemoryStorage::new(&["alpha", "bravo"])), Arc::default());
    let running = plugin.start(Arc::new(Lent { storage: Arc::clone(&storage), lines: Arc::clone(&lines) })).unwrap();
    assert_eq!(running.call("make", r#"{"name": "web", "size_kib": 8192}"#).unwrap(), r#"{"name":"web","size_kib":8192}"#);
    assert_eq!(running.call("list", "").unwrap(), r#"["web"]"#);
    assert_eq!(storage.get("web").unwrap().unwrap().name, "web");
    running.call("remove", r#"{"name": "web"}"#).unwrap();
    assert_eq!((running.call("list", "").unwrap().as_str(), storage.get("web").unwrap()), ("[]", None));
    let fault = running.call("fly", "").unwrap_err();
    assert!(fault.kind == FaultKind::Unsupported && fault.cause.contains("make, list, remove"), "{fault:?}");
    running.stop();
    assert_eq!(*lines.lock().unwrap(), ["Info started with '/etc/keeper.conf'", "Info stopped"]);
}

#[test]
fn a_changed_layout_names_the_deliberate_step() {
    let dir = tempfile::tempdir().unwrap();
    let told = let_in(open_provider(&copied("berth_guest_misfit", dir.path()))).err().unwrap();
    assert!(told.contains("another layout of the contract") && told.contains("cargo xtask fixtures --break"), "{told}");
}
