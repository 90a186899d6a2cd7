//! What a plugin gets from the host: the storage of the cluster, as one object.
//!
//! A *volume* here is one named block device of the cluster: in LINSTOR's words a resource definition with the volume 0.
//! Calls wait until what they asked for is done, or says why not; none of them needs the host's runtime, all may be made from any thread.
//! Whether the object talks to a controller over the network or stands in the controller itself cannot be told from here.
//!
//! Records cross the edge to a dynamic library as JSON with the member names given here: a record may get more members, never fewer, and a
//! reader fills what is missing with the value of `Default`. Functions are part of the fixed layout.

pub mod memory;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Fault, Kib};

/// The storage of the cluster.
///
/// # Errors of all calls
/// A [`Fault`] with the words of the controller (message, cause, correction, details with its codes). Kinds:
/// `Lost`: what was named does not exist. `Foreign`: something else of that name is in the way. `InUse`: somebody uses it.
/// `NoSpace`: nothing fits. `Unsupported`: refused as asked. `Timeout`: no controller answered within 5 s, or what was begun has not
/// ended within 100 s (it goes on; asking again waits for it). `Bug`: an answer that makes no sense.
pub trait Storage: Send + Sync {
    /// Name of the node that this host is, as the cluster calls it.
    ///
    /// # Errors
    /// `Lost`: the cluster has no node of this host's name.
    fn node(&self) -> Result<String, Fault>;

    /// Where a volume would be placed, without making it.
    ///
    /// # Errors
    /// As of all calls; a placement that would fail is no error but a [`Preview`] without nodes.
    fn preview(&self, new: &NewVolume) -> Result<Preview, Fault>;

    /// Makes a volume with its replicas, in one transaction, or from another volume or a snapshot ([`NewVolume::from`]).
    /// One that is there already with the same size (at least) is answered as it is: of two callers with one name both get the same volume.
    ///
    /// # Errors
    /// `Foreign`: it is there and smaller. `NoSpace`. `Unsupported`: name, size or rule that cannot be.
    fn create(&self, new: &NewVolume) -> Result<Volume, Fault>;

    /// A volume; `None`: there is none of this name.
    ///
    /// # Errors
    /// As of all calls.
    fn get(&self, name: &str) -> Result<Option<Volume>, Fault>;

    /// Volumes that carry all of these properties (an empty value: the property with any value), by name. Nothing asked: all.
    ///
    /// # Errors
    /// As of all calls.
    fn list(&self, props: &BTreeMap<String, String>) -> Result<Vec<Volume>, Fault>;

    /// Deletes a volume with its data, and with `snapshots` its snapshots first. One that is gone is no error.
    ///
    /// # Errors
    /// `InUse`: a replica is in use. `Foreign`: it has snapshots and they were not to go.
    fn delete(&self, name: &str, snapshots: bool) -> Result<(), Fault>;

    /// Sets and removes properties of a volume. Removing what is not set is no error.
    ///
    /// # Errors
    /// `Lost`; `Unsupported`: a key or value that cannot be. Then none was changed.
    fn set_props(&self, name: &str, set: &BTreeMap<String, String>, remove: &[String]) -> Result<(), Fault>;

    /// Makes a volume usable on a node and answers its device there; where no replica is a diskless client is made, if a layer can carry it.
    /// Done already: the device.
    ///
    /// # Errors
    /// `Lost`; `Unsupported`: the data is elsewhere and no layer of the volume carries it to this node.
    fn activate(&self, name: &str, node: &str) -> Result<Active, Fault>;

    /// Ends what [`Storage::activate`] made: a diskless client is removed again (or stays as the tiebreaker that it was), a replica with a
    /// disk stays. A volume or client that is gone is no error.
    ///
    /// # Errors
    /// `InUse`: somebody uses the device.
    fn deactivate(&self, name: &str, node: &str) -> Result<(), Fault>;

    /// Takes a snapshot of all replicas at one moment. One of this name is no error.
    ///
    /// # Errors
    /// `Lost`; `Unsupported`: the pool takes none, or the name cannot be.
    fn snapshot(&self, name: &str, snapshot: &str) -> Result<Snapshot, Fault>;

    /// Snapshots of a volume, the oldest first; of one that does not exist none.
    ///
    /// # Errors
    /// As of all calls.
    fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, Fault>;

    /// Deletes a snapshot. One that is gone is no error.
    ///
    /// # Errors
    /// `InUse`: something is just made from it.
    fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault>;

    /// Sets a volume back to a snapshot; what was written since is lost.
    ///
    /// # Errors
    /// `Lost`; `InUse`: the volume is in use.
    fn rollback(&self, name: &str, snapshot: &str) -> Result<(), Fault>;

    /// Makes a volume larger, online. One that is as large already is no error.
    ///
    /// # Errors
    /// `Lost`; `NoSpace`; `Unsupported`: it would become smaller.
    fn resize(&self, name: &str, size: Kib) -> Result<Volume, Fault>;

    /// Gives a volume another name; its data, replicas and devices stay.
    ///
    /// # Errors
    /// `Lost`; `Foreign`: the new name is taken.
    fn rename(&self, name: &str, to: &str) -> Result<(), Fault>;

    /// The pools of the cluster, by node and name.
    ///
    /// # Errors
    /// As of all calls.
    fn capacity(&self) -> Result<Vec<PoolSpace>, Fault>;

    /// What changed after serial `after`, at most 1,000 changes; waits up to `wait_ms` milliseconds (at most 20,000) for the first.
    /// `None` begins now: answers at once with no change and the serial to go on from. `missed` says that there is a gap: read anew.
    ///
    /// # Errors
    /// As of all calls.
    fn events(&self, after: Option<u64>, wait_ms: u32) -> Result<Events, Fault>;

    /// Reads a key of a key-value store; `None`: not set.
    ///
    /// # Errors
    /// As of all calls.
    fn read(&self, store: &str, key: &str) -> Result<Option<String>, Fault>;

    /// Writes a key of a key-value store (`None` removes it) if it still has the value `expected` (`None`: is not set).
    /// Answers whether it did.
    ///
    /// # Errors
    /// As of all calls; `Unsupported`: a name or key that cannot be.
    fn write(&self, store: &str, key: &str, expected: Option<&str>, value: Option<&str>) -> Result<bool, Fault>;
}

/// A volume to be made. What is left out is decided by the resource group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewVolume {
    /// Name: 2 to 48 letters, digits, `_` and `-`, the first a letter or `_`.
    pub name: String,
    /// Size; of a volume made from another one at least that one's (0: the same).
    pub size: Kib,
    /// Resource group; empty: the default one.
    pub group: String,
    /// What is in it at the beginning. A copy lies where its source lies: rules of placement do not count for it, but `nodes` of one of a snapshot.
    pub from: Source,
    /// Number of replicas with a disk.
    pub replicas: Option<u32>,
    /// Exactly these nodes get a replica; empty: the placer chooses.
    pub nodes: Vec<String>,
    /// No replica on these nodes.
    pub exclude_nodes: Vec<String>,
    /// Only in these pools; empty: any.
    pub pools: Vec<String>,
    /// Pool of diskless replicas; empty: the default one.
    pub diskless_pools: Vec<String>,
    /// Node properties that all replicas have in common: `KEY` or `KEY=VALUE`.
    pub on_same: Vec<String>,
    /// Node properties in which replicas differ: `KEY` or `KEY=VALUE`.
    pub on_different: Vec<String>,
    /// Property to how many replicas may share one of its values.
    pub x_on_different: BTreeMap<String, u32>,
    /// Not beside these volumes.
    pub not_with: Vec<String>,
    /// Not beside volumes whose names fit this regular expression; empty: none.
    pub not_with_regex: String,
    /// Whether every other node gets a diskless replica.
    pub diskless_on_remaining: Option<bool>,
    /// Layers from top to bottom, e.g. `DRBD`, `STORAGE`; empty: as the group says.
    pub layers: Vec<String>,
    /// Properties of the volume, e.g. `Aux/mine` or `DrbdOptions/Net/protocol`; of a copy over those that its source has, or had when the
    /// snapshot was taken.
    pub props: BTreeMap<String, String>,
}

/// What a new volume holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nothing: zeros, or what was there.
    #[default]
    Empty,
    /// The data of another volume, as it is at this moment.
    Volume(String),
    /// The data of a snapshot.
    Snapshot {
        /// Of which volume.
        volume: String,
        /// Its name.
        snapshot: String,
    },
}

/// Where a volume would be placed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preview {
    /// Whether it would be made.
    pub possible: bool,
    /// Chosen places, as node and pool.
    pub places: Vec<(String, String)>,
    /// Why not, for people; empty: it is possible.
    pub reason: String,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Size that is served.
    pub size: Kib,
    /// Resource group.
    pub group: String,
    /// Layers of its definition, from top to bottom; empty: as the group or the nodes say.
    pub layers: Vec<String>,
    /// Properties.
    pub props: BTreeMap<String, String>,
    /// It is being deleted.
    pub going: bool,
    /// Its replicas, by node.
    pub replicas: Vec<Replica>,
    /// When its oldest replica was made, in milliseconds since 1970; 0: unknown.
    pub created_ms: i64,
}

impl Volume {
    /// Its replica on a node.
    #[must_use]
    pub fn on(&self, node: &str) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.node.eq_ignore_ascii_case(node))
    }

    /// Whether writes to one replica reach the others, and a node without a disk: some layer replicates.
    #[must_use]
    pub fn replicated(&self) -> bool {
        let all = self.layers.iter().chain(self.replicas.iter().flat_map(|replica| &replica.layers));
        all.into_iter().any(|layer| layer.eq_ignore_ascii_case("DRBD"))
    }
}

/// A replica of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replica {
    /// Node.
    pub node: String,
    /// It has no disk: it reads and writes over the network.
    pub diskless: bool,
    /// It is kept for the majority only.
    pub tiebreaker: bool,
    /// Pool; empty: none or unknown.
    pub pool: String,
    /// Path of its device on its node; empty: none now.
    pub device: String,
    /// State of its disk in the controller's words, e.g. `UpToDate`, `SyncTarget(41%)`; empty: unknown.
    pub state: String,
    /// Whether somebody uses it; `None`: unknown.
    pub in_use: Option<bool>,
    /// What it takes of its pool; `None`: unknown.
    pub allocated: Option<Kib>,
    /// Its layers, from top to bottom.
    pub layers: Vec<String>,
    /// It is being deleted.
    pub going: bool,
}

/// A volume that is usable on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Active {
    /// Stable path of the device on that node.
    pub device: String,
    /// Whether it is a diskless client.
    pub diskless: bool,
    /// Size of the device.
    pub size: Kib,
}

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Name.
    pub name: String,
    /// Of which volume.
    pub volume: String,
    /// Size of the volume at that moment.
    pub size: Kib,
    /// Whether all its copies are there.
    pub complete: bool,
    /// When it was taken, in milliseconds since 1970; 0: unknown.
    pub created_ms: i64,
}

/// A pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolSpace {
    /// Node.
    pub node: String,
    /// Pool.
    pub pool: String,
    /// Word of its provider kind.
    pub kind: String,
    /// Whole space; `None`: unknown.
    pub total: Option<Kib>,
    /// Free space; `None`: unknown.
    pub free: Option<Kib>,
    /// Whether it takes snapshots.
    pub snapshots: bool,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// Go on from this serial.
    pub next: u64,
    /// Changes between the serial that was asked for and the first of these are not known any more.
    pub missed: bool,
    /// Changes, oldest first.
    pub changes: Vec<Change>,
}

/// A change of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Its serial.
    pub serial: u64,
    /// Name of the command that made it, e.g. `spawn_resource`.
    pub command: String,
    /// Names of the volumes that it touched, in lower case: names are compared without case.
    pub volumes: Vec<String>,
}
