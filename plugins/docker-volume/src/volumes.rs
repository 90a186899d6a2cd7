//! What Docker asks for, carried out with the storage and this host. Nothing here knows of HTTP.

mod making;
mod mounting;
mod records;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use berth_plugin_sdk::storage::{Storage, Volume};
use berth_plugin_sdk::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::conf::Conf;
use crate::machine::Machine;
use crate::mounts::{Mounted, Mounts};
use crate::names;

pub use records::{CLIENT, FILLED, MARK, NAME, OPTIONS};

/// A volume as Docker sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Docker's name.
    pub name: String,
    /// Where it is mounted here; empty: it is not.
    pub mountpoint: String,
    /// RFC 3339; empty: unknown.
    pub created_at: String,
    /// What `docker volume inspect` shows beside it.
    pub status: Value,
}

/// Where a line for the operator goes: whether it is a warning, and its text.
pub type Tell = Box<dyn Fn(bool, &str) + Send + Sync>;

/// The volumes of Docker on this host.
pub struct Volumes {
    storage: Arc<dyn Storage>,
    machine: Arc<dyn Machine>,
    conf: Conf,
    /// Configured name of this node.
    named: Option<String>,
    node: OnceLock<String>,
    mounts: Mutex<Mounts>,
    /// Resources whose file systems could not be made larger, and how many looks to wait.
    ungrown: Mutex<BTreeMap<String, u32>>,
    /// One thing at a time is done to a volume on this host.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
    tell: Tell,
}

/// A panic elsewhere left nothing half written here: what is kept under these locks is written by one assignment.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volumes {
    /// Takes up what was left: ids that still hold, mounts that nobody was told of, clients that nobody uses.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, machine: Arc<dyn Machine>, conf: Conf, tell: Tell) -> Self {
        let mounted = machine.mounted();
        let mounts = Mounts::restore(machine.kept().as_deref(), &machine.boot_id(), |resource| mounted.iter().any(|one| one == resource));
        for resource in mounted.iter().filter(|resource| !mounts.volumes.contains_key(*resource)) {
            // Killed between the mount and the note of it: Docker was never told of it, and asks again.
            match machine.unmount(resource) {
                Ok(()) => tell(false, &format!("{resource} was mounted for nobody and is not any more")),
                Err(fault) => tell(true, &format!("{resource} is mounted for nobody and cannot be unmounted: {}", line(&fault))),
            }
        }
        let named = conf.setting("node").map(str::to_owned);
        let volumes = Self {
            storage,
            machine,
            conf,
            named,
            node: OnceLock::new(),
            mounts: Mutex::new(mounts),
            ungrown: Mutex::default(),
            turns: Mutex::default(),
            tell,
        };
        let text = locked(&volumes.mounts).text();
        if let Err(fault) = volumes.machine.keep(&text) {
            (volumes.tell)(true, &line(&fault));
        }
        volumes
    }

    /// The node that this host is.
    fn node(&self) -> Result<String, Fault> {
        if let Some(node) = self.node.get() {
            return Ok(node.clone());
        }
        let node = match &self.named {
            Some(node) => node.clone(),
            None => self.storage.node()?,
        };
        Ok(self.node.get_or_init(|| node).clone())
    }

    fn turn(&self, resource: &str) -> Arc<Mutex<()>> {
        let mut turns = locked(&self.turns);
        // Those that nobody waits for are forgotten.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(resource.to_owned()).or_default())
    }

    /// Docker's volume of this name.
    fn find(&self, name: &str) -> Result<Option<Volume>, Fault> {
        let resource = names::resource_name(name);
        if let Some(volume) = self.storage.get(&resource)?
            && records::is(&volume, name)
        {
            return Ok(Some(volume));
        }
        // Upstream's plugin takes names as they are.
        if resource != name && names::fits_upstream(name) {
            let found = self.storage.get(name)?.filter(|volume| records::is(volume, name));
            if found.is_some() {
                return Ok(found);
            }
        }
        // Its resource was given another name.
        let wanted = BTreeMap::from([(MARK.to_owned(), records::YES.to_owned()), (NAME.to_owned(), name.to_owned())]);
        Ok(self.storage.list(&wanted)?.into_iter().next())
    }

    fn must(&self, name: &str) -> Result<Volume, Fault> {
        self.find(name)?.filter(|volume| !volume.going).ok_or_else(|| {
            Fault::new(FaultKind::Lost, format!("There is no volume '{name}'")).correction("List the volumes with 'docker volume ls'")
        })
    }

    /// Where a volume is mounted here; empty: it is not.
    fn place(&self, resource: &str) -> String {
        locked(&self.mounts).volumes.get(resource).map(|mounted| mounted.path.clone()).unwrap_or_default()
    }

    /// A volume with everything that is known of it.
    ///
    /// # Errors
    /// `Lost`: there is none; as the storage says.
    pub fn get(&self, name: &str) -> Result<Seen, Fault> {
        match self.must(name) {
            Ok(volume) => {
                let mut seen = self.seen(&volume, name);
                seen.status = self.status(&volume);
                Ok(seen)
            }
            // Docker asks before it unmounts: what is mounted here can be told without a controller.
            Err(fault) if fault.kind == FaultKind::Timeout => match self.mounted_as(name) {
                Some((resource, mounted)) => Ok(Seen {
                    name: name.to_owned(),
                    mountpoint: mounted.path,
                    created_at: String::new(),
                    status: json!({"resource": resource, "device": mounted.device, "users": mounted.ids.len(), "unknown": line(&fault)}),
                }),
                None => Err(fault),
            },
            Err(fault) => Err(fault),
        }
    }

    /// What is mounted here under a name of Docker's.
    fn mounted_as(&self, name: &str) -> Option<(String, Mounted)> {
        let mounts = locked(&self.mounts);
        mounts.volumes.iter().find(|(_, mounted)| mounted.docker == name).map(|(resource, mounted)| (resource.clone(), mounted.clone()))
    }

    fn seen(&self, volume: &Volume, name: &str) -> Seen {
        let created = jiff::Timestamp::from_millisecond(volume.created_ms).ok().filter(|_| volume.created_ms > 0);
        Seen {
            name: name.to_owned(),
            mountpoint: self.place(&volume.name),
            created_at: created.map(|at| at.to_string()).unwrap_or_default(),
            status: json!({}),
        }
    }

    fn status(&self, volume: &Volume) -> Value {
        let replica = |replica: &berth_plugin_sdk::storage::Replica| {
            json!({
                "node": replica.node,
                "pool": replica.pool,
                "diskless": replica.diskless,
                "state": replica.state,
                "in_use": replica.in_use,
                "allocated_kib": replica.allocated.map(|size| size.0),
            })
        };
        let options = records::options(volume);
        let mut status = json!({
            "resource": volume.name,
            "resource_group": volume.group,
            "size_kib": volume.size.0,
            "file_system": options.fs,
            "read_only": options.readonly,
            "layers": volume.replicas.first().map_or(&volume.layers, |replica| &replica.layers),
            "replicas": volume.replicas.iter().map(replica).collect::<Vec<_>>(),
        });
        let mounted = locked(&self.mounts).volumes.get(&volume.name).cloned();
        if let (Some(mounted), Some(status)) = (mounted, status.as_object_mut()) {
            status.insert("device".into(), json!(mounted.device));
            status.insert("users".into(), json!(mounted.ids.len()));
            if let Some((total, free)) = self.machine.usage(&volume.name) {
                status.insert("file_system_kib".into(), json!(total / 1024));
                status.insert("used_kib".into(), json!(total.saturating_sub(free) / 1024));
                status.insert("free_kib".into(), json!(free / 1024));
            }
        }
        status
    }

    /// All volumes of Docker in the cluster.
    ///
    /// # Errors
    /// As the storage says.
    pub fn list(&self) -> Result<Vec<Seen>, Fault> {
        let ours = self.storage.list(&BTreeMap::from([(MARK.to_owned(), records::YES.to_owned())]))?;
        Ok(ours.iter().filter(|volume| !volume.going).map(|volume| self.seen(volume, records::name(volume))).collect())
    }

    /// Where a volume is mounted here; empty: it is not.
    ///
    /// # Errors
    /// `Lost`: there is none.
    pub fn path(&self, name: &str) -> Result<String, Fault> {
        match self.mounted_as(name) {
            Some((_, mounted)) => Ok(mounted.path),
            None => self.must(name).map(|volume| self.place(&volume.name)),
        }
    }
}

/// A fault as one line for people: what, why, what to do.
#[must_use]
pub fn line(fault: &Fault) -> String {
    // What others said may have anything in it, and Docker writes it to a terminal.
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let mut text = plain(fault.message.trim_end_matches('.'));
    // Where nothing fits, which place fails by which rule.
    let details = if fault.kind == FaultKind::NoSpace { fault.details.chars().take(400).collect() } else { String::new() };
    for (before, part) in [(": ", &fault.cause), (". ", &details), (". ", &fault.correction)] {
        let part = part.trim().trim_end_matches('.');
        if !part.is_empty() {
            text.push_str(before);
            text.push_str(&plain(part));
        }
    }
    text
}

#[cfg(test)]
mod tests;
