//! Mounting volumes for containers, and ending that.

use std::collections::BTreeMap;

use berth_plugin_sdk::storage::Volume;
use berth_plugin_sdk::{Fault, FaultKind, Kib};

use super::{FILLED, Volumes, line, locked, records};
use crate::filling::{self, Next, Record};
use crate::mounts::{Left, Mounted};

/// A file system that could not be made larger is tried again after so many looks.
const TRY_TO_GROW_EACH: u32 = 30;

impl Volumes {
    /// Mounts a volume for `id` and answers the folder that it gets. An id that has it already gets the same.
    ///
    /// # Errors
    /// `Lost`; `InUse`: another host has it; `Unsupported`: its data cannot be brought here, or mounting it would be a risk.
    pub fn mount(&self, name: &str, id: &str) -> Result<String, Fault> {
        let resource = match self.mounted_as(name) {
            Some((resource, _)) => resource,
            None => self.must(name)?.name,
        };
        let turn = self.turn(&resource);
        let _turn = locked(&turn);
        let there = locked(&self.mounts).volumes.get(&resource).cloned();
        if let Some(there) = there
            && self.machine.is_mounted(&resource)
        {
            // One more user of what is mounted needs no controller.
            self.note(|mounts| mounts.add(&resource, id, there.clone()))?;
            return Ok(there.path);
        }
        // Looked at anew: it may have waited for its turn.
        let volume = self.must(name)?;
        let node = self.node()?;
        may_mount(&volume, name, &node)?;
        // A client that somebody else made stays theirs. One of ours is noted before it is made, so that a crash leaves none that nobody knows.
        let key = records::client(&node);
        let ours = volume.props.contains_key(&key) || volume.on(&node).is_none_or(|replica| replica.tiebreaker);
        if ours && !volume.props.contains_key(&key) {
            self.storage.set_props(&volume.name, &BTreeMap::from([(key.clone(), records::YES.to_owned())]), &[])?;
        }
        let active = match self.storage.activate(&volume.name, &node) {
            Ok(active) => active,
            Err(fault) => {
                if ours && let Err(left) = self.give_back(&volume.name, &node, true) {
                    (self.tell)(true, &line(&left));
                }
                return Err(fault);
            }
        };
        let client = ours && active.diskless;
        let noted = self.bring_up(&volume, &active.device).and_then(|path| {
            let readonly = records::options(&volume).readonly;
            let mounted = Mounted { docker: name.to_owned(), device: active.device, path: path.clone(), client, readonly, ids: [].into() };
            self.note(|mounts| mounts.add(&volume.name, id, mounted)).map(|()| path)
        });
        noted.inspect_err(|_| {
            // What was made for a mount that does not come about is taken away again.
            if let Err(left) = self.machine.unmount(&volume.name).and_then(|()| self.give_back(&volume.name, &node, client)) {
                (self.tell)(true, &line(&left));
            }
        })
    }

    /// Changes the table of mounts and keeps it, before anybody is told.
    fn note(&self, change: impl FnOnce(&mut crate::mounts::Mounts)) -> Result<(), Fault> {
        let mut mounts = locked(&self.mounts);
        let mut next = mounts.clone();
        change(&mut next);
        self.machine.keep(&next.text())?;
        *mounts = next;
        Ok(())
    }

    /// From a device to the folder that is handed out.
    fn bring_up(&self, volume: &Volume, device: &str) -> Result<String, Fault> {
        let options = records::options(volume);
        let found = self.machine.found(device)?;
        let mut fresh = false;
        match filling::next(&records::record(volume), &found, self.machine.fresh_id()) {
            Next::Make { id, again } => {
                self.write(volume, &Record::Making(id))?;
                self.machine.make(device, &options, id, again)?;
                self.write(volume, &Record::Made)?;
                fresh = true;
            }
            Next::Note => self.write(volume, &Record::Made)?,
            Next::Mount => {}
            Next::Refuse(why) => {
                return Err(Fault::new(FaultKind::Unsupported, format!("Volume '{}' is not mounted", records::name(volume)))
                    .cause(why)
                    .correction(format!("Look at {device} by hand")));
            }
        }
        if fresh && options.readonly {
            // Its folder is made once, before nobody may write any more.
            let writable = crate::options::FsOptions { readonly: false, ..options.clone() };
            self.machine.mount(device, &volume.name, &writable)?;
            self.machine.hand_out(&volume.name, &writable)?;
            self.machine.unmount(&volume.name)?;
        }
        self.machine.mount(device, &volume.name, &options)?;
        if !options.readonly && self.machine.grow(device, &volume.name).is_err() {
            // Nobody has it yet: it is taken down for a moment.
            self.machine.unmount(&volume.name)?;
            let grown = self.machine.grow_unmounted(device);
            self.machine.mount(device, &volume.name, &options)?;
            if let Err(fault) = grown {
                // As small as before, it can be used all the same.
                (self.tell)(true, &line(&fault));
            }
        }
        self.machine.hand_out(&volume.name, &options)
    }

    fn write(&self, volume: &Volume, record: &Record) -> Result<(), Fault> {
        self.storage.set_props(&volume.name, &BTreeMap::from([(FILLED.to_owned(), record.to_string())]), &[])
    }

    /// Takes a client away that was made here.
    fn give_back(&self, resource: &str, node: &str, client: bool) -> Result<(), Fault> {
        if client {
            self.storage.deactivate(resource, node)?;
            match self.storage.set_props(resource, &BTreeMap::new(), &[records::client(node)]) {
                // Deleted meanwhile, and its properties with it.
                Err(fault) if fault.kind == FaultKind::Lost => {}
                ended => return ended,
            }
        }
        Ok(())
    }

    /// Ends the use of a volume by `id`; the last one unmounts it. An id that does not have it is no error.
    ///
    /// # Errors
    /// `InUse`, `Tool`: it cannot be unmounted.
    pub fn unmount(&self, name: &str, id: &str) -> Result<(), Fault> {
        // Without the controller: what is mounted here is known here.
        let Some((resource, _)) = self.mounted_as(name) else { return Ok(()) };
        let turn = self.turn(&resource);
        let _turn = locked(&turn);
        let left = locked(&self.mounts).without(&resource, id);
        if let Left::Last(mounted) = left {
            self.machine.unmount(&resource)?;
            self.note(|mounts| mounts.remove(&resource, id))?;
            let given_back = if mounted.client { self.node().and_then(|node| self.give_back(&resource, &node, true)) } else { Ok(()) };
            if let Err(fault) = given_back {
                // Nobody uses it any more; the client is taken away later (`clean`).
                (self.tell)(true, &line(&fault));
            }
            return Ok(());
        }
        self.note(|mounts| mounts.remove(&resource, id))
    }

    /// Makes file systems as large as their devices, which may have been resized meanwhile.
    pub fn grow_all(&self) {
        let all: Vec<(String, Mounted)> =
            locked(&self.mounts).volumes.iter().map(|(resource, mounted)| (resource.clone(), mounted.clone())).collect();
        for (resource, mounted) in all {
            let turn = self.turn(&resource);
            let _turn = locked(&turn);
            if mounted.readonly || !self.machine.is_mounted(&resource) {
                continue;
            }
            let pause = locked(&self.ungrown).get_mut(&resource).is_some_and(|looks| {
                *looks = looks.saturating_sub(1);
                *looks > 0
            });
            if pause {
                continue;
            }
            match self.machine.grow(&mounted.device, &resource) {
                Ok(()) => drop(locked(&self.ungrown).remove(&resource)),
                Err(fault) => {
                    // Not every kernel lets a mounted file system grow from here; it is said once, and tried now and then.
                    if locked(&self.ungrown).insert(resource, TRY_TO_GROW_EACH).is_none() {
                        (self.tell)(true, &line(&fault));
                    }
                }
            }
        }
        // Those that are not mounted any more are forgotten.
        let mounts = locked(&self.mounts);
        locked(&self.ungrown).retain(|resource, _| mounts.volumes.contains_key(resource));
    }

    /// Makes a volume larger, with its file system where it is mounted here.
    ///
    /// # Errors
    /// As the storage says.
    pub fn resize(&self, name: &str, size: Kib) -> Result<(), Fault> {
        let volume = self.must(name)?;
        self.storage.resize(&volume.name, size)?;
        self.grow_all();
        Ok(())
    }

    /// Takes a snapshot of a volume.
    ///
    /// # Errors
    /// As the storage says.
    pub fn snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        let volume = self.must(name)?;
        self.storage.snapshot(&volume.name, snapshot).map(drop)
    }

    /// Names of the snapshots of a volume.
    ///
    /// # Errors
    /// As the storage says.
    pub fn snapshots(&self, name: &str) -> Result<Vec<String>, Fault> {
        let volume = self.must(name)?;
        Ok(self.storage.snapshots(&volume.name)?.into_iter().map(|snapshot| snapshot.name).collect())
    }

    /// Deletes a snapshot of a volume.
    ///
    /// # Errors
    /// As the storage says.
    pub fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        let volume = self.must(name)?;
        self.storage.delete_snapshot(&volume.name, snapshot)
    }

    /// Sets a volume back to a snapshot; no container may have it.
    ///
    /// # Errors
    /// `InUse`: it is mounted here or elsewhere. As the storage says.
    pub fn rollback(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        let volume = self.must(name)?;
        let turn = self.turn(&volume.name);
        let _turn = locked(&turn);
        if locked(&self.mounts).volumes.contains_key(&volume.name) {
            return Err(
                Fault::new(FaultKind::InUse, format!("Volume '{name}' is mounted on this host")).correction("Stop its containers first")
            );
        }
        self.storage.rollback(&volume.name, snapshot)
    }
}

/// Whether a volume may be mounted on this node at all.
fn may_mount(volume: &Volume, name: &str, node: &str) -> Result<(), Fault> {
    let disks: Vec<&str> = volume.replicas.iter().filter(|replica| !replica.diskless).map(|replica| replica.node.as_str()).collect();
    if disks.len() > 1 && !volume.replicated() {
        return Err(Fault::new(FaultKind::Unsupported, format!("Volume '{name}' is not mounted"))
            .cause(format!(
                "it has replicas on {}, and no layer that keeps them the same: each would get data of its own",
                disks.join(", ")
            ))
            .correction("Delete all replicas but one"));
    }
    let elsewhere = volume.replicas.iter().find(|replica| replica.in_use == Some(true) && !replica.node.eq_ignore_ascii_case(node));
    if let Some(replica) = elsewhere
        && !records::options(volume).readonly
    {
        return Err(Fault::new(FaultKind::InUse, format!("Volume '{name}' is in use on node '{}'", replica.node))
            .cause("two hosts that write to one file system destroy it")
            .correction("Stop its containers there first"));
    }
    Ok(())
}
