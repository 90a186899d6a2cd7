//! What the books of a load say, compared with what a controller says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Book, Known, Load, REST_LIMIT, has_size, holds_data};
use crate::{Cluster, within};

/// Snapshots that are restored at the end.
const RESTORES_MAX: usize = 5;

/// The flags of a document.
pub(super) fn flags(document: &Value) -> impl Iterator<Item = &str> {
    document["flags"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Lists of a controller.
struct Lists {
    definitions: BTreeMap<String, Value>,
    resources: Vec<Value>,
    snapshots: BTreeMap<(String, String), Value>,
}

fn text(document: &Value, key: &str) -> String {
    document[key].as_str().unwrap_or_default().to_owned()
}

impl Load {
    fn lists(&self) -> Result<Lists> {
        let list = |path: &str| -> Result<Vec<Value>> {
            let reply = within(REST_LIMIT, &format!("GET {path}"), || self.rest.get(path).and_then(crate::Reply::ok))?;
            reply.json.as_array().cloned().with_context(|| format!("{path}: no list"))
        };
        let definitions = list("/v1/resource-definitions?with_volume_definitions=true")?;
        let snapshots = list("/v1/view/snapshots")?;
        Ok(Lists {
            definitions: definitions.into_iter().map(|document| (text(&document, "name"), document)).collect(),
            resources: list("/v1/view/resources")?,
            snapshots: snapshots.into_iter().map(|one| ((text(&one, "resource_name"), text(&one, "name")), one)).collect(),
        })
    }

    fn books(&self) -> Vec<Book> {
        (0..self.books.len()).map(|client| self.book(client).clone()).collect()
    }

    /// Compares what is certain with what the controller says, while the clients go on; answers how many facts were compared.
    ///
    /// # Errors
    /// If something acknowledged is missing, something deleted is there, or something was given out twice.
    pub fn check(&self) -> Result<usize> {
        let before = self.books();
        let lists = self.lists()?;
        let after = self.books();
        let mut facts = 0;
        for (before, after) in before.iter().zip(&after) {
            // What changed meanwhile says nothing about the lists.
            for (name, entry) in before.iter().filter(|(name, entry)| after.get(*name).is_some_and(|later| later.version == entry.version))
            {
                let found = lists.definitions.get(name);
                match (entry.exists, found) {
                    (Known::Yes, None) => anyhow::bail!("{name} was acknowledged and is lost: {entry:?}"),
                    (Known::No, Some(found)) => anyhow::bail!("{name} was deleted and is there: {found}"),
                    (Known::Yes, Some(found)) => {
                        facts += 1;
                        let size = found["volume_definitions"][0]["size_kib"].as_u64().unwrap_or(0);
                        ensure!(entry.sizes.contains(&size), "{name} has {size} KiB, should have {:?}", entry.sizes);
                    }
                    (Known::No, None) => facts += 1,
                    (Known::Open | Known::Ending, _) => continue,
                }
                for (snapshot, known) in &entry.snapshots {
                    let found = lists.snapshots.get(&(name.clone(), snapshot.clone()));
                    facts += usize::from(matches!(known, Known::Yes | Known::No));
                    match (known, found) {
                        (Known::Yes, None) => anyhow::bail!("snapshot {snapshot} of {name} was acknowledged and is lost"),
                        (Known::Yes, Some(found)) => {
                            ensure!(
                                flags(found).any(|flag| flag == "SUCCESSFUL"),
                                "snapshot {snapshot} of {name} is not whole any more: {found}"
                            );
                        }
                        (Known::No, Some(found)) => anyhow::bail!("snapshot {snapshot} of {name} was deleted and is there: {found}"),
                        (Known::No, None) | (Known::Open | Known::Ending, _) => {}
                    }
                }
            }
        }
        given_out_once(&lists)?;
        Ok(facts)
    }

    /// After the clients ended: waits until everything is in sync, and compares all of it, data included.
    ///
    /// # Errors
    /// As [`Load::check`], and if something stays half done.
    pub fn settle(&self, cluster: &Cluster) -> Result<usize> {
        cluster.wait_in_sync(REST_LIMIT)?;
        let facts = self.check()?;
        let lists = self.lists()?;
        for resource in &lists.resources {
            ensure!(flags(resource).all(|flag| flag != "DELETE"), "half deleted: {resource}");
        }
        for snapshot in lists.snapshots.values() {
            // The end of one that nobody was told of is open; half of one is not.
            ensure!(flags(snapshot).any(|flag| flag == "SUCCESSFUL" || flag == "FAILED_DEPLOYMENT"), "half a snapshot: {snapshot}");
        }
        for (name, entry) in self.books().iter().flatten() {
            let found = lists.definitions.get(name);
            let revived = self.cancelled.load(Ordering::SeqCst) > 0;
            ensure!(
                entry.exists != Known::Ending || found.is_none() || revived,
                "the deletion of {name} was accepted, and it is there: {found:?}"
            );
            let Some(found) = found else { continue };
            let volume = &found["volume_definitions"][0];
            ensure!(flags(volume).all(|flag| flag != "RESIZE"), "half grown: {found}");
            let size = volume["size_kib"].as_u64().unwrap_or(0);
            ensure!(entry.sizes.contains(&size), "{name} has {size} KiB, may have {:?}", entry.sizes);
            let replicas: Vec<&Value> = lists.resources.iter().filter(|resource| resource["name"] == name.as_str()).collect();
            ensure!(!replicas.is_empty(), "{name} has no replica: {found}");
            for replica in replicas {
                let device = replica["volumes"][0]["device_path"].as_str();
                let device = device.with_context(|| format!("{name} has no device: {replica}"))?;
                if self.groups[entry.group].devices && crate::is_root() {
                    // What has grown for a resize that was cancelled is not shrunk.
                    let largest = if revived { entry.largest.max(size) } else { size };
                    has_size(device.as_ref(), size..=largest).with_context(|| name.clone())?;
                    if entry.written.is_some() {
                        holds_data(device.as_ref(), name)?;
                    }
                }
            }
        }
        self.restore_some(cluster)?;
        Ok(facts)
    }

    /// Restores some acknowledged snapshots of volumes that were written before: each holds what was written.
    fn restore_some(&self, cluster: &Cluster) -> Result<()> {
        let books = self.books();
        let whole = books.iter().flatten().filter(|(_, entry)| entry.exists == Known::Yes && entry.written.is_some()).filter_map(
            |(name, entry)| {
                let (snapshot, _) = entry.snapshots.iter().find(|(_, known)| **known == Known::Yes)?;
                Some((name, snapshot))
            },
        );
        for (at, (name, snapshot)) in whole.take(RESTORES_MAX).enumerate() {
            let twin = format!("restored-{at}");
            let to = json!({"to_resource": twin});
            self.rest.post("/v1/resource-definitions", &json!({"resource_definition": {"name": twin}}))?.ok()?;
            let path = |what: &str| format!("/v1/resource-definitions/{name}/{what}/{snapshot}");
            self.rest.post(&path("snapshot-restore-volume-definition"), &to)?.ok()?;
            self.rest.post(&path("snapshot-restore-resource"), &to)?.ok()?;
            let node = self
                .lists()?
                .resources
                .iter()
                .find(|resource| resource["name"] == twin.as_str())
                .map(|resource| text(resource, "node_name"));
            let device = cluster.device(&twin, &node.with_context(|| format!("{twin} has no replica"))?)?;
            holds_data(&device, name).with_context(|| format!("restored from {snapshot} of {name}"))?;
            cluster.delete_all_of(&twin)?;
        }
        Ok(())
    }

    /// Deletes everything that is there, as one who clears up would, and waits until nothing is left of it on the machines.
    ///
    /// # Errors
    /// If something cannot be deleted, or something stays.
    pub fn delete_everything(&self, cluster: &Cluster) -> Result<()> {
        for name in self.lists()?.definitions.keys() {
            cluster.delete_all_of(name).with_context(|| format!("deleting {name}"))?;
        }
        cluster.wait_in_sync(REST_LIMIT)?;
        within(REST_LIMIT, "nothing is left", || match cluster.leftovers() {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }
}

/// Nothing that must be unique is there twice.
fn given_out_once(lists: &Lists) -> Result<()> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut take = |what: String| -> Result<()> {
        ensure!(!taken.contains(&what), "given out twice: {what}");
        taken.insert(what);
        Ok(())
    };
    for (name, definition) in &lists.definitions {
        take(format!("name {}", name.to_uppercase()))?;
        take(format!("uuid {}", text(definition, "uuid")))?;
        for layer in
            definition["volume_definitions"].as_array().into_iter().flatten().flat_map(|volume| volume["layer_data"].as_array()).flatten()
        {
            if let Some(minor) = layer["data"]["minor_number"].as_u64() {
                take(format!("minor {minor}"))?;
            }
        }
    }
    for resource in &lists.resources {
        let (name, node) = (text(resource, "name"), text(resource, "node_name"));
        take(format!("uuid {}", text(resource, "uuid")))?;
        let drbd = &resource["layer_object"]["drbd"];
        if let Some(id) = drbd["node_id"].as_u64() {
            take(format!("node id {id} of {name}"))?;
        }
        for port in drbd["tcp_ports"].as_array().into_iter().flatten() {
            take(format!("port {port} of {node}"))?;
        }
    }
    Ok(())
}
