//! What was seen: the reports of satellites, and the controller's memory of them. Never stored (design: only intent is).

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::files;
use crate::layers::{LayerKind, ProviderKind, words};
use crate::names::{FilePath, NodeName, StorPoolName, VolumeNumber};
use crate::plugin::PluginSeen;
use crate::size::Kib;
use crate::time::Timestamp;

/// What a machine can do, told once for each session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Host name (`uname -n`).
    pub uname: String,
    /// Operating system, as in os-release `PRETTY_NAME`; empty: unknown.
    pub os: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Version of DRBD's kernel module, e.g. `9.2.12`; empty: there is none, or nobody knows.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub drbd: String,
    /// Whether the satellite may attach devices.
    pub root: bool,
    /// Providers that work.
    pub providers: Vec<ProviderKind>,
    /// Layers that work.
    pub layers: Vec<LayerKind>,
    /// Why each other provider does not.
    pub unsupported_providers: BTreeMap<ProviderKind, Vec<String>>,
    /// Why each other layer does not.
    pub unsupported_layers: BTreeMap<LayerKind, Vec<String>>,
    /// Plugins that were found, by name, also those that cannot be used.
    pub plugins: Vec<PluginSeen>,
    /// Folders below which the operator lets external files be written, absolute paths; empty: nowhere.
    pub file_folders: Vec<String>,
}

impl Capabilities {
    /// Whether the operator lets an external file be written at `path`: it lies below one of the folders.
    #[must_use]
    pub fn allows_file(&self, path: &FilePath) -> bool {
        files::folder_of(&self.file_folders, path).is_some()
    }
}

/// One report of a satellite.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Observation {
    /// Whether `items` names everything (first report of a session, and after a full scan).
    pub whole: bool,
    /// Items that were looked at.
    pub items: Vec<ItemSeen>,
    /// Pools that were looked at; each names its whole state.
    pub pools: Vec<PoolSeen>,
    /// Objects of ours that no item of the plan names, all of them, ordered by pool and backing name; `None`: nobody looked.
    pub strangers: Option<Vec<Stranger>>,
    /// External files of the plan as they are on the machine, all of them, in the order of the plan; `None`: nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<FileSeen>>,
    /// Nodes to which DRBD has a connection now, of any resource, by name; `None`: nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<NodeName>>,
}

/// An external file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSeen {
    /// Path in the plan.
    pub path: FilePath,
    /// Where it is: the path, or that with an alternative suffix; `None`: it is not there.
    #[serde(default)]
    pub actual_path: Option<String>,
    /// Whether what is there is what the plan says.
    pub content_match: bool,
    /// Why it is not.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// An object in a pool that carries this cluster's mark, and that no item of the plan names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Pool that it lies in.
    pub pool: StorPoolName,
    /// Its backing name in the pool.
    pub backing: String,
    /// Whether it is the copy of a snapshot; otherwise a volume.
    pub snapshot: bool,
    /// Generation id of its mark: that of a volume or of a snapshot's volume.
    pub id: Uuid,
    /// Content id of its mark.
    pub content: Uuid,
    /// Name of its mark, for people: e.g. `web/0`, `web/0@s1`.
    pub name: String,
    /// Its size.
    pub size_kib: Kib,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As the plan wants it.
    Settled,
    /// On the way; also a sign of life while a long step runs.
    Working,
    /// Not as the plan wants it, and `fault` says why. The satellite tries again by itself.
    Faulty,
    /// Nothing of it is on the machine, as the plan wants it (`Absent`).
    Gone,
}

/// An item of the plan as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemSeen {
    /// Generation id of the item.
    pub id: Uuid,
    /// Generation of the plan that it was compared with.
    pub generation: u64,
    /// Where it stands.
    pub standing: Standing,
    /// Its volumes (of a replica), in the order of their numbers.
    #[serde(default)]
    pub volumes: Vec<VolumeSeen>,
    /// Why it is not as wanted.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// A volume as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeSeen {
    /// Number.
    pub number: VolumeNumber,
    /// Device for use, e.g. `/dev/loop3`; `None`: not attached.
    #[serde(default)]
    pub device_path: Option<String>,
    /// Size of the backing object.
    pub backing_kib: Kib,
    /// Space that it really takes.
    pub allocated_kib: Kib,
    /// Somebody has the device open, or it is mounted.
    pub in_use: bool,
    /// Content id of its mark; `None`: not there.
    #[serde(default)]
    pub content: Option<Uuid>,
    /// Whether the replica holds the data that its peers hold (DRBD: `UpToDate`); `None`: nobody can see that here, or nothing replicates.
    #[serde(default)]
    pub up_to_date: Option<bool>,
}

/// A pool as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolSeen {
    /// Name.
    pub name: StorPoolName,
    /// Generation id.
    pub id: Uuid,
    /// Free space; `None`: unknown.
    #[serde(default)]
    pub free_kib: Option<Kib>,
    /// Whole space; `None`: unknown.
    #[serde(default)]
    pub total_kib: Option<Kib>,
    /// Unit of volume sizes.
    pub extent_kib: Kib,
    /// Whether snapshots, rollback, restore and clone work here.
    pub snapshots: bool,
    /// Smallest write that it does without reading first, bytes; `None`: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_io: Option<u32>,
    /// Why the pool cannot be used.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// What a fault means to whoever must decide what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Somebody uses the device.
    InUse,
    /// The pool is full.
    NoSpace,
    /// The machine or pool cannot do this.
    Unsupported,
    /// Something is in the way that Berth did not make.
    Foreign,
    /// Data that was there is missing.
    Lost,
    /// The pool's place is missing or unusable.
    Pool,
    /// A tool failed or answered nonsense.
    Tool,
    /// A step took too long.
    Timeout,
    /// A defect of the satellite or of a provider.
    Bug,
    /// Nothing is broken: somebody on the machine took it out of use, as its satellite lets them. What is told so is settled.
    ByHand,
}

/// Why a thing is broken, for people: what, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What it means.
    pub kind: FaultKind,
    /// What went wrong, one sentence.
    pub message: String,
    /// Why; empty: unknown.
    #[serde(default)]
    pub cause: String,
    /// What to do about it; begins with a verb. Empty: nothing known.
    #[serde(default)]
    pub correction: String,
    /// Command line, exit code and output of the tool; empty: none.
    #[serde(default)]
    pub details: String,
    /// Who holds the device, as far as it can be found out; only of [`FaultKind::InUse`].
    #[serde(default)]
    pub holders: Vec<Holder>,
}

/// Who holds a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// It is mounted.
    Mount {
        /// Device that is mounted.
        device: String,
        /// Where.
        path: String,
    },
    /// A process has it open.
    Process {
        /// Device that is open.
        device: String,
        /// Its id in the satellite's process namespace.
        pid: u32,
        /// Its command name (`/proc/PID/comm`).
        command: String,
    },
    /// Another device lies on it (device mapper, md, a loop device).
    Device {
        /// Device below.
        device: String,
        /// Device that holds it.
        by: String,
    },
}

words!(
    /// State of a satellite connection (REST API v1: `Node.connection_status`; the numbers of `/metrics` are the positions here).
    ConnectionStatus {
        /// Not reachable.
        Offline = "OFFLINE",
        /// Reachable, not yet agreed.
        Connected = "CONNECTED",
        /// Usable.
        Online = "ONLINE",
        /// Speaks no common version.
        VersionMismatch = "VERSION_MISMATCH",
        /// Could not take the whole plan.
        FullSyncFailed = "FULL_SYNC_FAILED",
        /// Did not accept the credentials.
        AuthenticationError = "AUTHENTICATION_ERROR",
        /// Not known.
        Unknown = "UNKNOWN",
        /// Another host name than the node's.
        HostnameMismatch = "HOSTNAME_MISMATCH",
        /// Belongs to another cluster, or obeys a newer controller.
        OtherController = "OTHER_CONTROLLER",
        /// Accepted the credentials, not yet usable.
        Authenticated = "AUTHENTICATED",
        /// No interface has a satellite port.
        NoStltConn = "NO_STLT_CONN",
        /// Tools are missing.
        MissingExtTools = "MISSING_EXT_TOOLS",
        /// Two nodes with one host name.
        DuplicateUname = "DUPLICATE_UNAME",
    }
);

/// An item with the moment it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemRecord {
    /// What was seen.
    pub seen: ItemSeen,
    /// When the controller heard of it.
    pub at: Timestamp,
}

/// A pool with the moment it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolRecord {
    /// What was seen.
    pub seen: PoolSeen,
    /// When the controller last heard of it. A satellite reports what changes, and signs of life in between say that nothing else did:
    /// a pool that was reported an hour ago is in that state as long as the session lives.
    pub at: Timestamp,
}

/// What is known of one node in this session.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSeen {
    /// State of the connection.
    pub status: ConnectionStatus,
    /// Since when.
    pub since: Timestamp,
    /// Since when nothing is known of what is on the node: it was online last then, or the controller began then. `None`: it is online.
    pub away_since: Option<Timestamp>,
    /// When it reported last in its last session; `None`: never since the controller began.
    pub reported: Option<Timestamp>,
    /// Why it is not online; `None`: it is, or nothing is known.
    pub reason: Option<String>,
    /// Attempts to connect since it was last online.
    pub attempts: u64,
    /// What the machine can do; `None`: was not connected since the start.
    pub capabilities: Option<Arc<Capabilities>>,
    /// Pools by name.
    pub pools: OrdMap<StorPoolName, Arc<PoolRecord>>,
    /// Items by generation id.
    pub items: OrdMap<Uuid, Arc<ItemRecord>>,
    /// Objects of ours that no plan names, and when they were looked for; `None`: not in this session.
    pub strangers: Option<(Arc<Vec<Stranger>>, Timestamp)>,
    /// External files, and when they were looked at; `None`: not in this session.
    pub files: Option<(Arc<Vec<FileSeen>>, Timestamp)>,
    /// Nodes to which DRBD on it has a connection; empty also where nobody looked.
    pub peers: Arc<Vec<NodeName>>,
}

impl NodeSeen {
    /// A node of which nothing is known.
    #[must_use]
    pub fn unknown(status: ConnectionStatus, since: Timestamp) -> Self {
        Self {
            status,
            since,
            away_since: (status != ConnectionStatus::Online).then_some(since),
            reported: None,
            reason: None,
            attempts: 0,
            capabilities: None,
            pools: OrdMap::new(),
            items: OrdMap::new(),
            strangers: None,
            files: None,
            peers: Arc::default(),
        }
    }
}

/// What the controller's satellites have seen. Cloning costs a pointer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Nodes by name; one that is missing was never connected.
    pub nodes: OrdMap<NodeName, Arc<NodeSeen>>,
}

impl Observed {
    /// Whether the node's satellite can be used now.
    #[must_use]
    pub fn online(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|seen| seen.status == ConnectionStatus::Online)
    }

    /// An item of a node; `None` also while the node is not online (what was seen then is not shown as the state of now).
    #[must_use]
    pub fn item(&self, node: &NodeName, id: Uuid) -> Option<&ItemRecord> {
        let seen = self.nodes.get(node)?;
        if seen.status != ConnectionStatus::Online {
            return None;
        }
        seen.items.get(&id).map(Arc::as_ref)
    }

    /// A pool of a node; `None` also while the node is not online.
    #[must_use]
    pub fn pool(&self, node: &NodeName, pool: &StorPoolName) -> Option<&PoolSeen> {
        self.pool_record(node, pool).map(|record| &record.seen)
    }

    /// An external file on a node; `None`: it was not looked at, also while the node is not online.
    #[must_use]
    pub fn file(&self, node: &NodeName, path: &FilePath) -> Option<&FileSeen> {
        let seen = self.nodes.get(node).filter(|seen| seen.status == ConnectionStatus::Online)?;
        seen.files.as_ref()?.0.iter().find(|file| file.path == *path)
    }

    /// As [`Observed::pool`], with when it was seen.
    #[must_use]
    pub fn pool_record(&self, node: &NodeName, pool: &StorPoolName) -> Option<&PoolRecord> {
        let seen = self.nodes.get(node)?;
        if seen.status != ConnectionStatus::Online {
            return None;
        }
        seen.pools.get(pool).map(Arc::as_ref)
    }
}
