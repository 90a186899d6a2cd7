//! Durable jobs (law 2): every operation of several steps is a document before its first effect, and is deleted with its last.
//!
//! A job says what it waits for; what is to be done meanwhile stands in the objects themselves, so a plan is a function of the
//! cluster and never of a job's history. Where a job stands is looked up, not remembered: only [`RollbackStep`] is a decision.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{Id, kind};
use crate::names::{NodeName, ResourceName, SnapshotName, VolumeNumber};
use crate::observed::Fault;
use crate::size::Kib;
use crate::time::Timestamp;

/// A durable job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, told to whoever stops waiting for it.
    pub id: Id<kind::Job>,
    /// The resource definition that it works on.
    pub resource: ResourceName,
    /// What it does.
    pub task: Task,
    /// Serial of the transaction that set its present step: what was seen under an older plan says nothing about it.
    pub serial: u64,
    /// Who asked for it.
    pub actor: String,
    /// When it was asked for.
    pub created: Timestamp,
}

/// An item of a node's plan that a job waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The node.
    pub node: NodeName,
    /// Generation id of the replica or of the snapshot's copy.
    pub item: Uuid,
}

/// Why a snapshot could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedCopy {
    /// Where.
    pub node: NodeName,
    /// What was in the way; `None`: the node went away.
    pub fault: Option<Fault>,
}

/// Step of a rollback: no replica gets its old data before all of them are down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackStep {
    /// Replicas go down. Can be cancelled: nothing has changed yet.
    Down,
    /// Replicas take the snapshot's data while they are down.
    Roll,
    /// Replicas come up again.
    Up,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Makes replicas; at the end their content is theirs ([`crate::plan::ContentSource::Kept`]).
    Create {
        /// The new replicas.
        replicas: Vec<Awaited>,
    },
    /// Makes the volumes of a new volume definition on existing replicas.
    CreateVolume {
        /// The volume definition.
        number: VolumeNumber,
        /// The replicas.
        replicas: Vec<Awaited>,
    },
    /// Makes replicas that contain what a snapshot contains.
    Restore {
        /// Resource of the snapshot.
        from: ResourceName,
        /// The snapshot; it cannot be deleted meanwhile.
        snapshot: SnapshotName,
        /// The new replicas.
        replicas: Vec<Awaited>,
    },
    /// Makes replicas that contain what another resource contains.
    Clone {
        /// The source; it cannot be deleted meanwhile.
        from: ResourceName,
        /// The new replicas.
        replicas: Vec<Awaited>,
    },
    /// Removes replicas.
    Delete {
        /// The replicas.
        replicas: Vec<Awaited>,
        /// Whether the definition goes with the last of them.
        definition: bool,
    },
    /// Removes one volume of every replica, then its definition.
    DeleteVolume {
        /// The volume definition.
        number: VolumeNumber,
        /// The replicas.
        replicas: Vec<Awaited>,
    },
    /// Grows one volume of every replica.
    Resize {
        /// The volume definition.
        number: VolumeNumber,
        /// Its size before.
        from: Kib,
        /// The replicas.
        replicas: Vec<Awaited>,
    },
    /// Takes a snapshot.
    Snapshot {
        /// The snapshot.
        snapshot: SnapshotName,
        /// Its copies.
        copies: Vec<Awaited>,
    },
    /// Removes copies of a snapshot, and the snapshot with the last of them.
    DeleteSnapshot {
        /// The snapshot.
        snapshot: SnapshotName,
        /// The copies.
        copies: Vec<Awaited>,
        /// Why it is removed, if it could not be taken.
        #[serde(default)]
        failed: Option<FailedCopy>,
    },
    /// Gives every replica the data of a snapshot.
    Rollback {
        /// The snapshot; it cannot be deleted meanwhile.
        snapshot: SnapshotName,
        /// Where it stands.
        step: RollbackStep,
        /// The replicas.
        replicas: Vec<Awaited>,
    },
    /// Serves a replica, or stops serving it.
    Activate {
        /// The replica.
        replicas: Vec<Awaited>,
        /// Whether it is to be served.
        active: bool,
    },
}

impl Task {
    /// The items that the job waits for.
    #[must_use]
    pub fn awaited(&self) -> &[Awaited] {
        match self {
            Self::Create { replicas }
            | Self::CreateVolume { replicas, .. }
            | Self::Restore { replicas, .. }
            | Self::Clone { replicas, .. }
            | Self::Delete { replicas, .. }
            | Self::DeleteVolume { replicas, .. }
            | Self::Resize { replicas, .. }
            | Self::Rollback { replicas, .. }
            | Self::Activate { replicas, .. } => replicas,
            Self::Snapshot { copies, .. } | Self::DeleteSnapshot { copies, .. } => copies,
        }
    }

    /// The word for people and records.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::CreateVolume { .. } => "create-volume",
            Self::Restore { .. } => "restore",
            Self::Clone { .. } => "clone",
            Self::Delete { .. } => "delete",
            Self::DeleteVolume { .. } => "delete-volume",
            Self::Resize { .. } => "resize",
            Self::Snapshot { .. } => "snapshot",
            Self::DeleteSnapshot { .. } => "delete-snapshot",
            Self::Rollback { .. } => "rollback",
            Self::Activate { active: true, .. } => "activate",
            Self::Activate { active: false, .. } => "deactivate",
        }
    }
}
