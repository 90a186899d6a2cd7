//! Docker's calls on a storage and a host that exist in memory.

use berth_plugin_sdk::Kib;
use berth_plugin_sdk::storage::NewVolume;
use berth_plugin_sdk::storage::memory::MemoryStorage;
use uuid::Uuid;

use super::*;
use crate::filling::Found;
use crate::options::FsOptions;
use crate::volumes::records;

/// A host in memory. Devices hold what was made on them; the same device path is the same device.
#[derive(Default)]
struct Fake {
    state: Mutex<State>,
    boot: Mutex<u32>,
}

#[derive(Default)]
struct State {
    devices: BTreeMap<String, Found>,
    mounted: BTreeMap<String, String>,
    kept: Option<String>,
    ids: u128,
    /// The next of these fails.
    fails: Option<&'static str>,
    did: Vec<String>,
}

impl Fake {
    fn step(&self, what: &str, text: String) -> Result<MutexGuard<'_, State>, Fault> {
        let mut state = locked(&self.state);
        state.did.push(text);
        if state.fails == Some(what) {
            state.fails = None;
            return Err(Fault::new(FaultKind::Tool, format!("{what} failed")));
        }
        Ok(state)
    }

    fn did(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.state).did)
    }

    /// Mounts and what lies on tmpfs are gone.
    fn reboot(&self) {
        let mut state = locked(&self.state);
        state.mounted.clear();
        state.kept = None;
        *locked(&self.boot) += 1;
    }
}

impl Machine for Fake {
    fn boot_id(&self) -> String {
        locked(&self.boot).to_string()
    }
    fn found(&self, device: &str) -> Result<Found, Fault> {
        Ok(locked(&self.state).devices.get(device).cloned().unwrap_or_default())
    }
    fn make(&self, device: &str, options: &FsOptions, id: Uuid, again: bool) -> Result<(), Fault> {
        // Before it can fail: a half of it is there then.
        let found = Found { kind: options.fs.clone(), uuid: id.to_string(), signatures: vec![options.fs.clone()] };
        locked(&self.state).devices.insert(device.to_owned(), found);
        self.step("make", format!("make {} {again}", options.fs)).map(drop)
    }
    fn mount(&self, device: &str, resource: &str, options: &FsOptions) -> Result<(), Fault> {
        let mut state = self.step("mount", format!("mount {resource}{}", if options.readonly { " ro" } else { "" }))?;
        state.mounted.insert(resource.to_owned(), device.to_owned());
        Ok(())
    }
    fn unmount(&self, resource: &str) -> Result<(), Fault> {
        self.step("unmount", format!("unmount {resource}"))?.mounted.remove(resource);
        Ok(())
    }
    fn is_mounted(&self, resource: &str) -> bool {
        locked(&self.state).mounted.contains_key(resource)
    }
    fn mounted(&self) -> Vec<String> {
        locked(&self.state).mounted.keys().cloned().collect()
    }
    fn hand_out(&self, resource: &str, _options: &FsOptions) -> Result<String, Fault> {
        Ok(format!("/volumes/{resource}/data"))
    }
    fn grow(&self, _device: &str, _resource: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn grow_unmounted(&self, _device: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn usage(&self, _resource: &str) -> Option<(u64, u64)> {
        Some((1 << 20, 1 << 19))
    }
    fn kept(&self) -> Option<String> {
        locked(&self.state).kept.clone()
    }
    fn keep(&self, text: &str) -> Result<(), Fault> {
        self.step("keep", "keep".into())?.kept = Some(text.to_owned());
        Ok(())
    }
    fn fresh_id(&self) -> Uuid {
        let mut state = locked(&self.state);
        state.ids += 1;
        Uuid::from_u128(state.ids)
    }
}

struct World {
    storage: MemoryStorage,
    host: Arc<Fake>,
    volumes: Volumes,
}

impl World {
    fn new(nodes: &[&str]) -> Self {
        let (storage, host) = (MemoryStorage::new(nodes), Arc::new(Fake::default()));
        let volumes = plugin(&storage, &host);
        Self { storage, host, volumes }
    }

    /// The plugin dies and comes back.
    fn restart(&mut self) {
        self.volumes = plugin(&self.storage, &self.host);
    }

    fn create(&self, name: &str, options: &[(&str, &str)]) -> Result<(), Fault> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.volumes.create(name, &options)
    }

    fn volume(&self, name: &str) -> Volume {
        self.storage.get(&names::resource_name(name)).unwrap().expect("it is there")
    }

    fn made(&self) -> usize {
        self.host.did().iter().filter(|step| step.starts_with("make")).count()
    }
}

fn plugin(storage: &MemoryStorage, host: &Arc<Fake>) -> Volumes {
    Volumes::new(Arc::new(storage.clone()), Arc::clone(host) as _, Conf::default(), Box::new(|_, _| {}))
}

#[test]
fn a_file_system_is_made_once() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[("fs", "xfs"), ("size", "10G")]).unwrap();
    assert_eq!(world.volume("vol").size, Kib(10 << 20));
    assert_eq!(world.volumes.mount("vol", "1").unwrap(), "/volumes/vol/data");
    assert_eq!(world.volumes.mount("vol", "2").unwrap(), "/volumes/vol/data");
    assert_eq!(world.made(), 1);
    world.volumes.unmount("vol", "1").unwrap();
    world.volumes.unmount("vol", "1").unwrap();
    assert!(world.host.is_mounted("vol"), "the second one has it");
    world.volumes.unmount("vol", "2").unwrap();
    assert!(!world.host.is_mounted("vol"));
    world.volumes.mount("vol", "3").unwrap();
    assert_eq!(world.made(), 0);
}

#[test]
fn whatever_fails_at_a_mount_leaves_no_file_system_or_a_whole_one() {
    for step in ["make", "mount", "keep"] {
        let world = World::new(&["one", "two"]);
        world.create("vol", &[]).unwrap();
        locked(&world.host.state).fails = Some(step);
        world.volumes.mount("vol", "1").unwrap_err();
        let records = records::record(&world.volume("vol"));
        assert_eq!(records == crate::filling::Record::Made, step != "make", "{step}");
        assert!(!world.host.is_mounted("vol"), "{step}");
        world.host.did();
        world.volumes.mount("vol", "1").unwrap();
        assert_eq!(world.made(), usize::from(step == "make"), "{step}");
        assert!(matches!(world.volumes.place("vol").as_str(), "/volumes/vol/data"));
    }
}

#[test]
fn data_of_somebody_else_is_never_written_over() {
    let world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1")]).unwrap();
    let device = world.volume("vol").replicas[0].device.clone();
    let foreign = Found { kind: "LVM2_member".into(), uuid: "x".into(), signatures: vec!["LVM2_member".into()] };
    locked(&world.host.state).devices.insert(device, foreign);
    let fault = world.volumes.mount("vol", "1").unwrap_err();
    assert!(fault.cause.contains("LVM2_member"), "{fault:?}");
    assert_eq!(world.made(), 0);
}

#[test]
fn a_client_comes_with_the_first_mount_and_goes_with_the_last() {
    let world = World::new(&["one", "two", "three"]);
    world.create("vol", &[("nodes", "two three")]).unwrap();
    world.volumes.mount("vol", "1").unwrap();
    world.volumes.mount("vol", "2").unwrap();
    let volume = world.volume("vol");
    assert!(volume.on("one").is_some_and(|replica| replica.diskless), "{volume:?}");
    assert!(volume.props.contains_key(&records::client("one")));
    world.volumes.unmount("vol", "1").unwrap();
    assert!(world.volume("vol").on("one").is_some());
    world.volumes.unmount("vol", "2").unwrap();
    let volume = world.volume("vol");
    assert!(volume.on("one").is_none() && !volume.props.contains_key(&records::client("one")), "{volume:?}");
}

#[test]
fn a_client_that_a_crash_left_is_taken_away_when_nobody_uses_it() {
    let mut world = World::new(&["one", "two"]);
    world.create("vol", &[("nodes", "two")]).unwrap();
    world.volumes.mount("vol", "1").unwrap();
    world.restart();
    world.volumes.clean().unwrap();
    assert!(world.volume("vol").on("one").is_some(), "it is still mounted");
    world.host.reboot();
    world.restart();
    world.volumes.clean().unwrap();
    assert!(world.volume("vol").on("one").is_none(), "the machine was started anew");
}

#[test]
fn where_no_layer_carries_the_data_it_is_told() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[("nodes", "two"), ("layers", "storage")]).unwrap();
    let fault = world.volumes.mount("vol", "1").unwrap_err();
    assert!(line(&fault).contains("No layer of it carries data"), "{fault:?}");
    assert!(world.volume("vol").on("one").is_none());
}

#[test]
fn two_hosts_do_not_write_to_one_file_system() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[]).unwrap();
    world.storage.in_use("vol", "two", true);
    let fault = world.volumes.mount("vol", "1").unwrap_err();
    assert_eq!(fault.kind, FaultKind::InUse);
    assert!(fault.message.contains("node 'two'"), "{fault:?}");
    world.create("rol", &[("shared", "ro")]).unwrap();
    world.storage.in_use("rol", "two", true);
    world.volumes.mount("rol", "1").unwrap();
    assert!(world.host.did().contains(&"mount rol ro".to_owned()));
}

#[test]
fn replicas_that_nothing_keeps_the_same_are_not_mounted() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[]).unwrap();
    // Somebody else made it like this.
    world.storage.delete("vol", true).unwrap();
    let props = records::of_new("vol", &FsOptions::default(), &crate::filling::Record::Fresh);
    world
        .storage
        .create(&NewVolume { name: "vol".into(), size: Kib(8192), layers: vec!["STORAGE".into()], props, ..NewVolume::default() })
        .unwrap();
    let fault = world.volumes.mount("vol", "1").unwrap_err();
    assert!(fault.cause.contains("one, two"), "{fault:?}");
}

#[test]
fn a_restart_of_the_plugin_keeps_counts_and_one_of_the_machine_begins_anew() {
    let mut world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1")]).unwrap();
    world.volumes.mount("vol", "1").unwrap();
    world.volumes.mount("vol", "2").unwrap();
    world.restart();
    world.volumes.unmount("vol", "1").unwrap();
    assert!(world.host.is_mounted("vol"));
    assert_eq!(world.volumes.get("vol").unwrap().status["users"], 1);
    world.volumes.mount("vol", "2").unwrap();
    world.volumes.unmount("vol", "2").unwrap();
    assert!(!world.host.is_mounted("vol"));
    world.volumes.mount("vol", "3").unwrap();
    world.host.reboot();
    world.restart();
    assert_eq!(world.volumes.get("vol").unwrap().mountpoint, "");
    world.volumes.unmount("vol", "3").unwrap();
    world.volumes.mount("vol", "3").unwrap();
    assert_eq!(world.volumes.get("vol").unwrap().status["users"], 1);
}

#[test]
fn names_that_a_resource_cannot_have_are_kept_beside_it() {
    let world = World::new(&["one"]);
    for name in ["My.Volume", "my.volume", "a b", "a/b", &"x".repeat(300), &"f".repeat(64)] {
        world.create(name, &[("replicas", "1")]).unwrap();
        assert_eq!(world.volumes.get(name).unwrap().name, name);
        world.volumes.mount(name, "1").unwrap();
        world.volumes.unmount(name, "1").unwrap();
    }
    let mut listed: Vec<String> = world.volumes.list().unwrap().into_iter().map(|seen| seen.name).collect();
    listed.sort();
    assert_eq!(listed.len(), 6);
    assert!(listed.contains(&"a b".to_owned()));
    for name in listed {
        world.volumes.remove(&name).unwrap();
    }
    assert!(world.volumes.list().unwrap().is_empty());
}

#[test]
fn volumes_of_upstreams_plugin_are_dockers_and_others_are_not() {
    let world = World::new(&["one"]);
    let new = |name: &str, props: BTreeMap<String, String>| NewVolume {
        name: name.into(),
        size: Kib(8192),
        replicas: Some(1),
        props,
        ..NewVolume::default()
    };
    let upstream = BTreeMap::from([(MARK.to_owned(), "true".to_owned()), ("FileSystem/Type".to_owned(), "xfs".to_owned())]);
    world.storage.create(&new("Old_Data", upstream)).unwrap();
    world.storage.create(&new("private", BTreeMap::new())).unwrap();
    assert_eq!(world.volumes.get("Old_Data").unwrap().status["file_system"], "xfs");
    // What is in it is not known: nothing is made on it.
    assert!(world.volumes.mount("Old_Data", "1").unwrap_err().cause.contains("not known"));
    assert_eq!(world.volumes.get("private").unwrap_err().kind, FaultKind::Lost);
    assert_eq!(world.create("private", &[("replicas", "1")]).unwrap_err().kind, FaultKind::Foreign);
    world.volumes.remove("private").unwrap();
    assert!(world.storage.get("private").unwrap().is_some(), "it is not Docker's to remove");
}

#[test]
fn a_copy_has_the_file_system_of_its_source() {
    let world = World::new(&["one"]);
    world.create("First", &[("replicas", "1"), ("fs", "btrfs"), ("size", "1G")]).unwrap();
    world.volumes.snapshot("First", "empty").unwrap();
    world.create("early", &[("from-volume", "First")]).unwrap();
    assert_eq!(records::record(&world.volume("early")), crate::filling::Record::Fresh, "nothing was written to either");
    world.volumes.mount("First", "1").unwrap();
    world.volumes.snapshot("First", "full").unwrap();
    world.create("copy", &[("from-snapshot", "First/full"), ("readonly", "true")]).unwrap();
    let copy = world.volume("copy");
    assert_eq!(records::record(&copy), crate::filling::Record::Made);
    assert_eq!((records::options(&copy).fs.as_str(), records::options(&copy).readonly), ("btrfs", true));
    // When this one was taken nothing was there yet: its copy gets a file system.
    world.create("before", &[("from-snapshot", "First/empty")]).unwrap();
    world.host.did();
    world.volumes.mount("before", "1").unwrap();
    assert_eq!(world.made(), 1);
    for (option, value, words) in [
        ("from-volume", "nobody", ["'from-volume'", "'nobody'"]),
        ("from-snapshot", "First/ful", ["'from-snapshot'", "did you mean 'full'"]),
        ("from-snapshot", "nobody/full", ["'from-snapshot'", "'nobody'"]),
    ] {
        let fault = world.create("none", &[(option, value)]).unwrap_err();
        assert!(words.iter().all(|word| fault.message.contains(word)), "{fault:?}");
    }
}

#[test]
fn a_copy_is_as_large_as_what_it_is_made_from() {
    let world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1"), ("size", "8M")]).unwrap();
    world.volumes.snapshot("vol", "small").unwrap();
    world.volumes.resize("vol", Kib(32 << 10)).unwrap();
    let fault = world.create("less", &[("from-volume", "vol"), ("size", "16M")]).unwrap_err();
    assert!(fault.message.contains("'size'"), "{fault:?}");
    // The snapshot is smaller than its volume is now.
    world.create("more", &[("from-snapshot", "vol/small"), ("size", "16M")]).unwrap();
    assert_eq!(world.volume("more").size, Kib(16 << 10));
}

#[test]
fn a_resource_with_another_name_is_still_dockers_volume() {
    let world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1")]).unwrap();
    world.storage.rename("vol", "elsewhere").unwrap();
    assert_eq!(world.volumes.get("vol").unwrap().status["resource"], "elsewhere");
    world.volumes.mount("vol", "1").unwrap();
    assert!(world.host.is_mounted("elsewhere"));
    world.volumes.unmount("vol", "1").unwrap();
    world.volumes.remove("vol").unwrap();
    assert!(world.volumes.list().unwrap().is_empty());
}

#[test]
fn what_is_put_aside_is_in_use_by_nobody() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[("snapshot-on-remove", "yes")]).unwrap();
    world.volumes.remove("vol").unwrap();
    assert!(world.storage.get("vol-removed-1").unwrap().is_some());
    assert!(world.volumes.list().unwrap().is_empty());
}

#[test]
fn a_mount_that_cannot_be_noted_is_taken_down() {
    let world = World::new(&["one", "two"]);
    world.create("vol", &[("nodes", "two")]).unwrap();
    locked(&world.host.state).fails = Some("keep");
    world.volumes.mount("vol", "1").unwrap_err();
    assert!(!world.host.is_mounted("vol") && world.volume("vol").on("one").is_none());
    world.volumes.mount("vol", "1").unwrap();
}

#[test]
fn the_profile_of_all_is_used_where_none_is_named() {
    let mut world = World::new(&["one"]);
    let conf = Conf::parse("replicas = 1\nprofile = small\n[profile.small]\nsize = 8M\n[profile.large]\nsize = 16M\n").unwrap();
    world.volumes = Volumes::new(Arc::new(world.storage.clone()), Arc::clone(&world.host) as _, conf, Box::new(|_, _| {}));
    world.create("a1", &[]).unwrap();
    world.create("a2", &[("profile", "large")]).unwrap();
    assert_eq!((world.volume("a1").size, world.volume("a2").size), (Kib(8 << 10), Kib(16 << 10)));
    // What only the configuration says is no other volume.
    world.create("a2", &[]).unwrap();
}

#[test]
fn removing_waits_for_users_and_creating_again_is_the_same_volume() {
    let world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1"), ("size", "8M")]).unwrap();
    world.create("vol", &[("replicas", "1"), ("size", "8M")]).unwrap();
    let fault = world.create("vol", &[("replicas", "1"), ("size", "16M")]).unwrap_err();
    assert!(fault.cause.contains("'size'"), "{fault:?}");
    for (option, value) in [("fs", "xfs"), ("readonly", "true"), ("mountopts", "noatime"), ("uid", "5"), ("mode", "0700")] {
        let fault = world.create("vol", &[("replicas", "1"), (option, value)]).unwrap_err();
        assert!(fault.kind == FaultKind::Foreign && fault.cause.contains(option), "{fault:?}");
    }
    world.create("vol", &[("replicas", "1"), ("fs", "ext4"), ("mode", "755"), ("uid", "0")]).unwrap();
    world.volumes.mount("vol", "1").unwrap();
    assert_eq!(world.volumes.remove("vol").unwrap_err().kind, FaultKind::InUse);
    world.volumes.unmount("vol", "1").unwrap();
    world.volumes.snapshot("vol", "s").unwrap();
    world.volumes.remove("vol").unwrap();
    world.volumes.remove("vol").unwrap();
    assert_eq!(world.volumes.get("vol").unwrap_err().kind, FaultKind::Lost);
}

#[test]
fn without_a_controller_what_is_mounted_can_be_given_up() {
    let world = World::new(&["one"]);
    world.create("vol", &[("replicas", "1")]).unwrap();
    world.volumes.mount("vol", "1").unwrap();
    world.storage.fail(Some(Fault::new(FaultKind::Timeout, "No controller answered")));
    assert_eq!(world.volumes.mount("wol", "1").unwrap_err().kind, FaultKind::Timeout);
    assert_eq!(world.volumes.get("wol").unwrap_err().kind, FaultKind::Timeout);
    // Docker asks before it unmounts.
    assert_eq!(world.volumes.get("vol").unwrap().mountpoint, "/volumes/vol/data");
    assert_eq!(world.volumes.mount("vol", "2").unwrap(), "/volumes/vol/data");
    world.volumes.unmount("vol", "2").unwrap();
    world.volumes.unmount("vol", "1").unwrap();
    assert!(!world.host.is_mounted("vol"));
}
