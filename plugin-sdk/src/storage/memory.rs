//! A storage that exists only in memory, for the tests of plugins: it has state, keeps the promises of [`Storage`], and can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Active, Change, Events, NewVolume, PoolSpace, Preview, Replica, Snapshot, Source, Storage, Volume};
use crate::{Fault, FaultKind, Kib};

#[derive(Debug, Default)]
struct State {
    volumes: BTreeMap<String, Volume>,
    snapshots: BTreeMap<(String, String), Snapshot>,
    /// Volumes as they were when a snapshot was taken.
    taken: BTreeMap<(String, String), Volume>,
    stores: BTreeMap<(String, String), String>,
    changes: Vec<Change>,
    calls: Vec<String>,
    fault: Option<Fault>,
}

/// A cluster in memory, shared by its clones. Each node has a pool `thin`, and its devices lie in a folder that is made up.
#[derive(Debug, Clone)]
pub struct MemoryStorage {
    node: String,
    nodes: Vec<String>,
    state: Arc<Mutex<State>>,
}

impl MemoryStorage {
    /// A cluster of these nodes, seen from the first of them.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        let nodes: Vec<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        Self { node: nodes.first().cloned().unwrap_or_default(), nodes, state: Arc::default() }
    }

    /// The same cluster seen from another node.
    #[must_use]
    pub fn seen_from(&self, node: &str) -> Self {
        Self { node: node.to_owned(), ..self.clone() }
    }

    /// Every call from now on fails like this; `None`: no more.
    pub fn fail(&self, fault: Option<Fault>) {
        self.state_mut().fault = fault;
    }

    /// Calls that were made so far, e.g. `create v1`; each is handed out once.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state_mut().calls)
    }

    /// Says whether a replica is in use.
    pub fn in_use(&self, name: &str, node: &str, used: bool) {
        let mut state = self.state_mut();
        let replica = state.volumes.get_mut(name).and_then(|volume| volume.replicas.iter_mut().find(|replica| replica.node == node));
        if let Some(replica) = replica {
            replica.in_use = Some(used);
        }
    }

    /// A panic while the lock was held is a test that failed already.
    fn state_mut(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, text: String) -> Result<MutexGuard<'_, State>, Fault> {
        let mut state = self.state_mut();
        state.calls.push(text);
        match &state.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(state),
        }
    }

    fn places(&self, new: &NewVolume) -> Result<Vec<String>, Fault> {
        if !new.nodes.is_empty() {
            return match new.nodes.iter().find(|node| !self.nodes.contains(node)) {
                Some(node) => Err(Fault::new(FaultKind::Lost, format!("Node '{node}' not found"))),
                None => Ok(new.nodes.clone()),
            };
        }
        let wanted = usize::try_from(new.replicas.unwrap_or(2)).unwrap_or(usize::MAX);
        let free: Vec<String> = self.nodes.iter().filter(|node| !new.exclude_nodes.contains(node)).take(wanted).cloned().collect();
        if free.len() < wanted {
            return Err(Fault::new(FaultKind::NoSpace, format!("Not enough nodes: {wanted} wanted, {} fit", free.len())));
        }
        Ok(free)
    }
}

fn missing(what: &str, name: &str) -> Fault {
    Fault::new(FaultKind::Lost, format!("{what} '{name}' not found"))
}

impl State {
    fn volume(&mut self, name: &str) -> Result<&mut Volume, Fault> {
        self.volumes.get_mut(name).ok_or_else(|| missing("Volume", name))
    }

    fn forget(&mut self, name: &str, snapshot: &str) {
        let key = (name.to_owned(), snapshot.to_owned());
        self.snapshots.remove(&key);
        self.taken.remove(&key);
    }

    fn changed(&mut self, command: &str, volume: &str) {
        let serial = self.changes.last().map_or(1, |change| change.serial.saturating_add(1));
        self.changes.push(Change { serial, command: command.to_owned(), volumes: vec![volume.to_ascii_lowercase()] });
    }
}

impl Storage for MemoryStorage {
    fn node(&self) -> Result<String, Fault> {
        Ok(self.node.clone())
    }

    fn preview(&self, new: &NewVolume) -> Result<Preview, Fault> {
        drop(self.call(format!("preview {}", new.name))?);
        Ok(match self.places(new) {
            Ok(nodes) => {
                Preview { possible: true, places: nodes.into_iter().map(|node| (node, "thin".to_owned())).collect(), reason: String::new() }
            }
            Err(fault) => Preview { reason: fault.message, ..Preview::default() },
        })
    }

    fn create(&self, new: &NewVolume) -> Result<Volume, Fault> {
        let mut state = self.call(format!("create {}", new.name))?;
        if let Some(there) = state.volumes.get(&new.name) {
            return if there.size >= new.size {
                Ok(there.clone())
            } else {
                Err(Fault::new(FaultKind::Foreign, format!("Volume '{}' is there and smaller", new.name)))
            };
        }
        let source = match &new.from {
            Source::Empty => None,
            Source::Volume(name) => Some(state.volume(name)?.clone()),
            Source::Snapshot { volume, snapshot } => {
                let key = (volume.clone(), snapshot.clone());
                Some(state.taken.get(&key).cloned().ok_or_else(|| missing("Snapshot", snapshot))?)
            }
        };
        // A copy lies where its source lies.
        let nodes = match &source {
            Some(source) => source.replicas.iter().filter(|replica| !replica.diskless).map(|replica| replica.node.clone()).collect(),
            None => self.places(new)?,
        };
        let (least, mut props) = source.map(|source| (source.size, source.props)).unwrap_or_default();
        props.extend(new.props.clone());
        let layers = if new.layers.is_empty() { vec!["DRBD".to_owned(), "STORAGE".to_owned()] } else { new.layers.clone() };
        let replica = |node: String| Replica {
            device: format!("/dev/memory/by-res/{}/0", new.name),
            pool: "thin".into(),
            state: "UpToDate".into(),
            in_use: Some(false),
            layers: layers.clone(),
            node,
            ..Replica::default()
        };
        let volume = Volume {
            name: new.name.clone(),
            size: new.size.max(least),
            group: if new.group.is_empty() { "DfltRscGrp".into() } else { new.group.clone() },
            layers: layers.clone(),
            props,
            replicas: nodes.into_iter().map(replica).collect(),
            created_ms: 1,
            going: false,
        };
        state.volumes.insert(new.name.clone(), volume.clone());
        state.changed("create", &new.name);
        Ok(volume)
    }

    fn get(&self, name: &str) -> Result<Option<Volume>, Fault> {
        Ok(self.call(format!("get {name}"))?.volumes.get(name).cloned())
    }

    fn list(&self, props: &BTreeMap<String, String>) -> Result<Vec<Volume>, Fault> {
        let has =
            |volume: &&Volume| props.iter().all(|(key, value)| volume.props.get(key).is_some_and(|has| value.is_empty() || has == value));
        Ok(self.call("list".into())?.volumes.values().filter(has).cloned().collect())
    }

    fn delete(&self, name: &str, snapshots: bool) -> Result<(), Fault> {
        let mut state = self.call(format!("delete {name}"))?;
        let Some(volume) = state.volumes.get(name) else { return Ok(()) };
        if volume.replicas.iter().any(|replica| replica.in_use == Some(true)) {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is in use")));
        }
        if !snapshots && state.snapshots.keys().any(|(of, _)| of == name) {
            return Err(Fault::new(FaultKind::Foreign, format!("Volume '{name}' has snapshots")));
        }
        state.snapshots.retain(|(of, _), _| of != name);
        state.taken.retain(|(of, _), _| of != name);
        state.volumes.remove(name);
        state.changed("delete", name);
        Ok(())
    }

    fn set_props(&self, name: &str, set: &BTreeMap<String, String>, remove: &[String]) -> Result<(), Fault> {
        let mut state = self.call(format!("set_props {name}"))?;
        let volume = state.volume(name)?;
        volume.props.extend(set.clone());
        volume.props.retain(|key, _| !remove.contains(key));
        state.changed("set_props", name);
        Ok(())
    }

    fn activate(&self, name: &str, node: &str) -> Result<Active, Fault> {
        let mut state = self.call(format!("activate {name} {node}"))?;
        let volume = state.volume(name)?;
        if volume.on(node).is_none() {
            if !volume.replicated() {
                let cause = "No layer of it carries data between nodes";
                return Err(Fault::new(FaultKind::Unsupported, format!("Volume '{name}' is not on node '{node}'")).cause(cause));
            }
            let device = format!("/dev/memory/by-res/{name}/0");
            volume.replicas.push(Replica { node: node.to_owned(), diskless: true, device, in_use: Some(false), ..Replica::default() });
        }
        let size = volume.size;
        let active = volume.on(node).map(|replica| Active { device: replica.device.clone(), diskless: replica.diskless, size });
        active.ok_or_else(|| missing("Volume", name))
    }

    fn deactivate(&self, name: &str, node: &str) -> Result<(), Fault> {
        let mut state = self.call(format!("deactivate {name} {node}"))?;
        let Some(volume) = state.volumes.get_mut(name) else { return Ok(()) };
        if volume.on(node).is_some_and(|replica| replica.in_use == Some(true)) {
            return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is in use on node '{node}'")));
        }
        volume.replicas.retain(|replica| replica.node != node || !replica.diskless);
        Ok(())
    }

    fn snapshot(&self, name: &str, snapshot: &str) -> Result<Snapshot, Fault> {
        let mut state = self.call(format!("snapshot {name} {snapshot}"))?;
        let volume = state.volume(name)?.clone();
        let size = volume.size;
        state.taken.entry((name.to_owned(), snapshot.to_owned())).or_insert(volume);
        let taken = Snapshot { name: snapshot.to_owned(), volume: name.to_owned(), size, complete: true, created_ms: 1 };
        Ok(state.snapshots.entry((name.to_owned(), snapshot.to_owned())).or_insert(taken).clone())
    }

    fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, Fault> {
        let state = self.call(format!("snapshots {name}"))?;
        Ok(state.snapshots.values().filter(|snapshot| snapshot.volume == name).cloned().collect())
    }

    fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        self.call(format!("delete_snapshot {name} {snapshot}"))?.forget(name, snapshot);
        Ok(())
    }

    fn rollback(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        let state = self.call(format!("rollback {name} {snapshot}"))?;
        let key = (name.to_owned(), snapshot.to_owned());
        state.snapshots.get(&key).map(drop).ok_or_else(|| missing("Snapshot", snapshot))
    }

    fn resize(&self, name: &str, size: Kib) -> Result<Volume, Fault> {
        let mut state = self.call(format!("resize {name} {}", size.0))?;
        let volume = state.volume(name)?;
        if size < volume.size {
            return Err(Fault::new(FaultKind::Unsupported, format!("Volume '{name}' would become smaller")));
        }
        volume.size = size;
        Ok(volume.clone())
    }

    fn rename(&self, name: &str, to: &str) -> Result<(), Fault> {
        let mut state = self.call(format!("rename {name} {to}"))?;
        if state.volumes.contains_key(to) {
            return Err(Fault::new(FaultKind::Foreign, format!("Volume '{to}' is there already")));
        }
        let mut volume = state.volumes.remove(name).ok_or_else(|| missing("Volume", name))?;
        volume.name = to.to_owned();
        state.volumes.insert(to.to_owned(), volume);
        let (of, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut state.snapshots).into_iter().partition(|((of, _), _)| of == name);
        state.snapshots = rest;
        for ((_, snapshot), taken) in of {
            if let Some(volume) = state.taken.remove(&(name.to_owned(), snapshot.clone())) {
                state.taken.insert((to.to_owned(), snapshot.clone()), volume);
            }
            state.snapshots.insert((to.to_owned(), snapshot), Snapshot { volume: to.to_owned(), ..taken });
        }
        Ok(())
    }

    fn capacity(&self) -> Result<Vec<PoolSpace>, Fault> {
        drop(self.call("capacity".into())?);
        let pool = |node: &String| PoolSpace {
            node: node.clone(),
            pool: "thin".into(),
            kind: "FILE_THIN".into(),
            total: Some(Kib(1 << 30)),
            free: Some(Kib(1 << 29)),
            snapshots: true,
        };
        Ok(self.nodes.iter().map(pool).collect())
    }

    fn events(&self, after: Option<u64>, _wait_ms: u32) -> Result<Events, Fault> {
        let state = self.call("events".into())?;
        let last = state.changes.last().map_or(0, |change| change.serial);
        let Some(after) = after else { return Ok(Events { next: last, ..Events::default() }) };
        let changes = state.changes.iter().filter(|change| change.serial > after).cloned().collect();
        Ok(Events { next: last.max(after), missed: after > last, changes })
    }

    fn read(&self, store: &str, key: &str) -> Result<Option<String>, Fault> {
        Ok(self.call(format!("read {store} {key}"))?.stores.get(&(store.to_owned(), key.to_owned())).cloned())
    }

    fn write(&self, store: &str, key: &str, expected: Option<&str>, value: Option<&str>) -> Result<bool, Fault> {
        let mut state = self.call(format!("write {store} {key}"))?;
        let at = (store.to_owned(), key.to_owned());
        if state.stores.get(&at).map(String::as_str) != expected {
            return Ok(false);
        }
        match value {
            Some(value) => drop(state.stores.insert(at, value.to_owned())),
            None => drop(state.stores.remove(&at)),
        }
        Ok(true)
    }
}
