//! What crosses the edge to dynamic libraries is what was released: layouts, WIT and members of records stand in files that only a deliberate
//! step changes (`BERTH_LAYOUT_WRITE=1 cargo test -p berth-plugin-sdk --test edge`).

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use berth_plugin_sdk::abi::{PluginLibrary, plugin_layout, provider_layout};
use berth_plugin_sdk::plugin::{Controllers, Host, Level, Plugin, PluginManifest, Running, Settings, no_operation};
use berth_plugin_sdk::storage::memory::MemoryStorage;
use berth_plugin_sdk::storage::{Active, Change, Events, NewVolume, PoolSpace, Preview, Replica, Snapshot, Source, Storage, Volume};
use berth_plugin_sdk::{Fault, FaultKind, Kib};

/// Compares with the file, or writes it.
fn kept(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout").join(name);
    if std::env::var_os("BERTH_LAYOUT_WRITE").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = before.lines().zip(now.lines()).find(|(before, now)| before != now);
    assert!(
        before == now,
        "the edge is not what was released ({name}): a plugin that is out there would be refused or misread. First difference: {differs:?}"
    );
}

#[test]
fn layouts_are_those_that_were_released() {
    kept("provider.txt", &provider_layout());
    kept("plugin.txt", &plugin_layout());
}

#[test]
fn the_wit_is_the_one_that_was_released() {
    kept("provider.wit", berth_plugin_sdk::WIT);
}

fn strings(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn records_have_the_members_that_were_released() {
    let replica = Replica { allocated: Some(Kib(1)), in_use: Some(true), layers: vec!["DRBD".into()], ..Replica::default() };
    let volume = Volume { replicas: vec![replica], props: strings(&[("k", "v")]), layers: vec!["DRBD".into()], ..Volume::default() };
    let new = NewVolume {
        from: Source::Snapshot { volume: "v".into(), snapshot: "s".into() },
        replicas: Some(1),
        diskless_on_remaining: Some(true),
        ..NewVolume::default()
    };
    let events = Events { changes: vec![Change { volumes: vec!["v".into()], ..Change::default() }], ..Events::default() };
    let mut manifest = PluginManifest::new("p", "1", "x");
    manifest.operations = vec![("o".into(), "h".into())];
    let all = serde_json::json!({
        "new_volume": new,
        "source_volume": Source::Volume("v".into()),
        "source_empty": Source::Empty,
        "preview": Preview { places: vec![("n".into(), "p".into())], ..Preview::default() },
        "volume": volume,
        "active": Active::default(),
        "snapshot": Snapshot::default(),
        "pool_space": PoolSpace { total: Some(Kib(1)), free: Some(Kib(1)), ..PoolSpace::default() },
        "events": events,
        "manifest": manifest,
        "settings": Settings::default(),
        "controllers": Controllers::default(),
    });
    kept("records.json", &(serde_json::to_string_pretty(&all).unwrap() + "\n"));
}

#[test]
fn records_of_an_older_and_of_a_newer_side_are_read() {
    let volume: Volume = serde_json::from_str(r#"{"name":"v","what_comes_later":{"x":1}}"#).unwrap();
    assert_eq!(volume, Volume { name: "v".into(), ..Volume::default() });
    let new: NewVolume = serde_json::from_str("{}").unwrap();
    assert_eq!(new, NewVolume::default());
}

#[derive(Default)]
struct Mine;

impl Plugin for Mine {
    fn manifest(&self) -> PluginManifest {
        let mut manifest = PluginManifest::new("mine", "1.2.3", "Nothing");
        manifest.operations = vec![("echo".into(), "Says it.".into()), ("panic".into(), "Panics.".into())];
        manifest
    }
    fn start(&self, host: Arc<dyn Host>) -> Result<Box<dyn Running>, Fault> {
        match host.settings().config.as_str() {
            "panic" => panic!("at the start"),
            "fail" => Err(Fault::new(FaultKind::Pool, "no").cause("because").correction("Do this").details("more")),
            _ => Ok(Box::new(Works { storage: host.connect(&Controllers { token: "t".into(), ..Controllers::default() })?, host })),
        }
    }
}

struct Works {
    host: Arc<dyn Host>,
    storage: Arc<dyn Storage>,
}

impl Running for Works {
    fn call(&self, operation: &str, input: &str) -> Result<String, Fault> {
        match operation {
            "echo" => Ok(input.to_owned()),
            "panic" => panic!("{input}"),
            "story" => story(self.storage.as_ref()).map(|()| "told".to_owned()),
            other => Err(no_operation(&Mine.manifest(), other)),
        }
    }
    fn stop(&self) {
        self.host.log(Level::Warn, "it ends");
    }
}

/// Every call of the storage, through the edge.
fn story(storage: &dyn Storage) -> Result<(), Fault> {
    let new = NewVolume { name: "v".into(), size: Kib(8192), replicas: Some(1), props: strings(&[("Aux/x", "1")]), ..NewVolume::default() };
    let from = storage.events(None, 0)?.next;
    assert_eq!(storage.node()?, "one");
    assert!(storage.preview(&new)?.possible);
    let made = storage.create(&new)?;
    assert_eq!(storage.create(&new)?, made, "the same again");
    assert_eq!(storage.get("v")?.as_ref(), Some(&made));
    assert_eq!(storage.get("w")?, None);
    assert_eq!(storage.list(&strings(&[("Aux/x", "")]))?, [made]);
    assert_eq!(storage.list(&strings(&[("Aux/x", "2")]))?, []);
    storage.set_props("v", &strings(&[("Aux/y", "2")]), &["Aux/x".to_owned()])?;
    assert!(storage.activate("v", "two")?.diskless);
    storage.deactivate("v", "two")?;
    assert_eq!(storage.get("v")?.expect("it is there").replicas.len(), 1);
    storage.snapshot("v", "s")?;
    assert_eq!(storage.snapshots("v")?.len(), 1);
    storage.rollback("v", "s")?;
    let copy = NewVolume { name: "w".into(), from: Source::Snapshot { volume: "v".into(), snapshot: "s".into() }, ..new.clone() };
    storage.create(&copy)?;
    storage.resize("w", Kib(16384))?;
    storage.rename("w", "u")?;
    storage.delete_snapshot("v", "s")?;
    storage.delete("u", true)?;
    storage.delete("u", true)?;
    assert_eq!(storage.capacity()?.len(), 2);
    assert!(storage.write("store", "key", None, Some("1"))?);
    assert!(!storage.write("store", "key", None, Some("2"))?);
    assert_eq!(storage.read("store", "key")?.as_deref(), Some("1"));
    assert!(storage.write("store", "key", Some("1"), None)?);
    assert!(!storage.events(Some(from), 0)?.changes.is_empty());
    let lost = storage.resize("nobody", Kib(1)).expect_err("there is none");
    assert_eq!(lost.kind, FaultKind::Lost);
    Ok(())
}

#[derive(Default)]
struct Around {
    config: String,
    lines: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

struct Shared(Arc<Around>);

impl Host for Shared {
    fn settings(&self) -> Settings {
        Settings { config: self.0.config.clone(), ..Settings::default() }
    }
    fn storage(&self) -> Result<Arc<dyn Storage>, Fault> {
        Ok(Arc::new(MemoryStorage::new(&["one", "two"])))
    }
    fn connect(&self, to: &Controllers) -> Result<Arc<dyn Storage>, Fault> {
        self.0.asked.lock().unwrap().push(to.token.clone());
        self.storage()
    }
    fn log(&self, level: Level, line: &str) {
        self.0.lines.lock().unwrap().push(format!("{level:?} {line}"));
    }
}

fn started(config: &str) -> (Result<Box<dyn Running>, Fault>, Arc<Around>) {
    let around = Arc::new(Around { config: config.into(), ..Around::default() });
    let (library, manifest) = PluginLibrary::linked::<Mine>().expect("it says what it is");
    assert_eq!(manifest, Mine.manifest());
    (library.start(Arc::new(Shared(Arc::clone(&around)))), around)
}

#[test]
fn everything_crosses_the_edge_whole() {
    let (running, around) = started("");
    let running = running.expect("it starts");
    assert_eq!(running.call("echo", "{\"ü\":1}").unwrap(), "{\"ü\":1}");
    assert_eq!(running.call("story", "").unwrap(), "told");
    let fault = running.call("nothing", "").unwrap_err();
    assert_eq!((fault.kind, fault.cause.as_str()), (FaultKind::Unsupported, "It has echo, panic"));
    running.stop();
    assert_eq!(*around.lines.lock().unwrap(), ["Warn it ends"]);
    assert_eq!(*around.asked.lock().unwrap(), ["t"]);
}

#[test]
fn a_panic_is_one_fault_of_one_call() {
    let (running, _) = started("");
    let running = running.expect("it starts");
    let fault = running.call("panic", "what it says").unwrap_err();
    assert_eq!((fault.kind, fault.cause.as_str()), (FaultKind::Bug, "what it says"));
    assert_eq!(running.call("echo", "still here").unwrap(), "still here");
    let (failed, _) = started("panic");
    assert!(failed.err().expect("it panicked").message.contains("panicked"));
    let (failed, _) = started("fail");
    let said = failed.err().expect("it failed");
    assert_eq!(said, Fault::new(FaultKind::Pool, "no").cause("because").correction("Do this").details("more"));
}
