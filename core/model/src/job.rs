//! Durable jobs (law 2): every operation of several steps is a document before its first effect, and is deleted with its last.
//!
//! A job says what it waits for; what is to be done meanwhile stands in the objects themselves, so a plan is a function of the
//! cluster and never of a job's history. Where a job stands is looked up, not remembered: only [`RollbackStep`] is a decision.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::flags::ResourceFlags;
use crate::ids::{Id, kind};
use crate::names::{NodeName, ResourceName, SnapshotName, StorPoolName, VolumeNumber};
use crate::observed::Fault;
use crate::props::Props;
use crate::size::Kib;
use crate::time::Timestamp;

/// A durable job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, told to whoever stops waiting for it.
    pub id: Id<kind::Job>,
    /// What it works on.
    #[serde(flatten)]
    pub subject: Subject,
    /// What it does.
    pub task: Task,
    /// Serial of the transaction that set its present step: what was seen under an older plan says nothing about it.
    pub serial: u64,
    /// Who asked for it.
    pub actor: String,
    /// When it was asked for.
    pub created: Timestamp,
}

impl Job {
    /// The resource definition that it works on; `None`: a node.
    #[must_use]
    pub fn resource(&self) -> Option<&ResourceName> {
        match &self.subject {
            Subject::Resource(name) => Some(name),
            Subject::Node(_) => None,
        }
    }
}

/// What a job works on. In the record it is the member `resource` or `node`, so that records of before there were jobs on nodes
/// are read as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A resource definition.
    Resource(ResourceName),
    /// A node.
    Node(NodeName),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resource(name) => name.fmt(f),
            Self::Node(name) => name.fmt(f),
        }
    }
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

/// Step of a deletion: nothing is removed before all that can be asked have ended their devices, so that one that is in use is found
/// while everything is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteStep {
    /// Devices end. Can be cancelled: nothing is gone.
    Down,
    /// Everything goes.
    #[default]
    Remove,
}

/// Step of a move: the old replica stays until the new one holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveStep {
    /// The new replica is made and filled. Can be cancelled: the old one is untouched.
    Fill,
    /// The old replica goes.
    Leave,
}

/// What a creation made, and so what a cancelled one takes back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// The replicas.
    #[default]
    Replicas,
    /// The replicas and their definition.
    Definition,
    /// Nothing: the data was there before, and is only taken over. It cannot be cancelled.
    Nothing,
    /// Nothing: what lies unmarked in the place of replicas and copies of snapshots, which are awaited together, is marked as theirs. It
    /// ends by itself as soon as each of them was looked at.
    Adopted,
    /// Disks for replicas that were there without one.
    Disks {
        /// Their flags before.
        flags: ResourceFlags,
    },
}

/// Tasks that are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Makes content that is there for good when it ends.
    Fill,
    /// Takes replicas, volumes or copies away.
    Delete,
    /// Changes replicas that are there: size, activity.
    Change,
    /// Takes a snapshot.
    Snapshot,
    /// Gives replicas the data of a snapshot back.
    Rollback,
    /// Keeps what was to be deleted.
    Keep,
    /// Moves a replica.
    Move,
    /// Empties a node, or replaces what is on it, by jobs on its resources.
    Evacuate,
    /// Changes a node's records; waits for nothing.
    Node,
}

/// What of its subject a task is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t> {
    /// All of it.
    All,
    /// Copies of a snapshot.
    Snapshot(&'t SnapshotName),
    /// Replicas that take the data of a snapshot.
    Source(&'t SnapshotName),
    /// One volume.
    Volume(VolumeNumber),
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Makes replicas; at the end their content is theirs ([`crate::plan::ContentSource::Kept`]).
    Create {
        /// The new replicas.
        replicas: Vec<Awaited>,
        /// What is new.
        #[serde(default)]
        made: Made,
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
        /// Properties of the definition before; `None`: not noted.
        #[serde(default)]
        former: Option<Props>,
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
        /// It cannot be taken back: what is deleted was never finished.
        #[serde(default)]
        firm: bool,
        /// Where it stands.
        #[serde(default)]
        step: DeleteStep,
    },
    /// Removes one volume of every replica, then its definition.
    DeleteVolume {
        /// The volume definition.
        number: VolumeNumber,
        /// The replicas.
        replicas: Vec<Awaited>,
        /// It cannot be taken back: what is deleted was never finished.
        #[serde(default)]
        firm: bool,
        /// Where it stands.
        #[serde(default)]
        step: DeleteStep,
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
        /// It is served without a disk from now on; the one that it had is being removed.
        #[serde(default)]
        diskless: bool,
    },
    /// Keeps what was to be deleted: waits until all of it was seen to be there. What was gone already is deleted after all.
    Keep {
        /// The deletion that was taken back.
        deletion: Box<Self>,
        /// Why it was taken back, if nobody asked for that.
        #[serde(default)]
        refused: Option<FailedCopy>,
    },
    /// Replaces a replica by one on another node.
    Move {
        /// The old replica.
        from: Awaited,
        /// The new one.
        to: Awaited,
        /// Where it stands.
        step: MoveStep,
        /// What was made for it: a replica, or a disk for one that was there without.
        #[serde(default)]
        made: Made,
    },
    /// Moves every replica off a node, each by a job of its own.
    Evacuate {
        /// Nodes that may take them; empty: any.
        #[serde(default)]
        target: Vec<NodeName>,
        /// Nodes that may not.
        #[serde(default)]
        do_not_target: Vec<NodeName>,
    },
    /// Replaces the replicas of a node that was given up for now, as far as that can be done without it.
    Evict,
    /// Takes an evicted or evacuated node back.
    Return {
        /// Delete its evicted replicas.
        #[serde(default)]
        delete_resources: bool,
        /// Delete its copies of snapshots.
        #[serde(default)]
        delete_snapshots: bool,
    },
    /// Gives a node up, or one of its storage pools, with all that it holds.
    Lose {
        /// The pool; `None`: the whole node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<StorPoolName>,
    },
}

impl Task {
    /// The definition whose data (or whose snapshot's data) is copied from; `None`: nothing is copied from elsewhere.
    #[must_use]
    pub fn source(&self) -> Option<&ResourceName> {
        match self {
            Self::Restore { from, .. } | Self::Clone { from, .. } => Some(from),
            Self::Keep { .. }
            | Self::Create { .. }
            | Self::CreateVolume { .. }
            | Self::Delete { .. }
            | Self::DeleteVolume { .. }
            | Self::Resize { .. }
            | Self::Rollback { .. }
            | Self::Activate { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Move { .. }
            | Self::Evacuate { .. }
            | Self::Evict
            | Self::Return { .. }
            | Self::Lose { .. } => None,
        }
    }

    /// The items that the job waits for.
    #[must_use]
    pub fn awaited(&self) -> &[Awaited] {
        match self {
            Self::Create { replicas, .. }
            | Self::CreateVolume { replicas, .. }
            | Self::Restore { replicas, .. }
            | Self::Clone { replicas, .. }
            | Self::Delete { replicas, .. }
            | Self::DeleteVolume { replicas, .. }
            | Self::Resize { replicas, .. }
            | Self::Rollback { replicas, .. }
            | Self::Activate { replicas, .. } => replicas,
            Self::Snapshot { copies, .. } | Self::DeleteSnapshot { copies, .. } => copies,
            Self::Keep { deletion, .. } => deletion.awaited(),
            Self::Move { to, step: MoveStep::Fill, .. } => std::slice::from_ref(to),
            Self::Move { from, step: MoveStep::Leave, .. } => std::slice::from_ref(from),
            Self::Evacuate { .. } | Self::Evict | Self::Return { .. } | Self::Lose { .. } => &[],
        }
    }

    /// Its family: what treats tasks of one kind alike asks for this.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::Create { .. } | Self::CreateVolume { .. } | Self::Restore { .. } | Self::Clone { .. } => Family::Fill,
            Self::Delete { .. } | Self::DeleteVolume { .. } | Self::DeleteSnapshot { .. } => Family::Delete,
            Self::Resize { .. } | Self::Activate { .. } => Family::Change,
            Self::Snapshot { .. } => Family::Snapshot,
            Self::Rollback { .. } => Family::Rollback,
            Self::Keep { .. } => Family::Keep,
            Self::Move { .. } => Family::Move,
            Self::Evacuate { .. } | Self::Evict => Family::Evacuate,
            Self::Return { .. } | Self::Lose { .. } => Family::Node,
        }
    }

    /// What of its subject it is about: a snapshot, a volume. A deletion that is taken back is about what it deleted.
    #[must_use]
    pub fn part(&self) -> Part<'_> {
        match self {
            Self::Restore { snapshot, .. } | Self::Rollback { snapshot, .. } => Part::Source(snapshot),
            Self::Snapshot { snapshot, .. } | Self::DeleteSnapshot { snapshot, .. } => Part::Snapshot(snapshot),
            Self::CreateVolume { number, .. } | Self::DeleteVolume { number, .. } | Self::Resize { number, .. } => Part::Volume(*number),
            Self::Keep { deletion, .. } => deletion.part(),
            Self::Create { .. }
            | Self::Clone { .. }
            | Self::Delete { .. }
            | Self::Activate { .. }
            | Self::Move { .. }
            | Self::Evacuate { .. }
            | Self::Evict
            | Self::Return { .. }
            | Self::Lose { .. } => Part::All,
        }
    }

    /// The snapshot that it makes, deletes, or takes data from.
    #[must_use]
    pub fn snapshot(&self) -> Option<&SnapshotName> {
        match self.part() {
            Part::Snapshot(name) | Part::Source(name) => Some(name),
            Part::Volume(_) | Part::All => None,
        }
    }

    /// The snapshot whose copies it waits for; `None`: it waits for replicas, or for nothing.
    #[must_use]
    pub fn copies_of(&self) -> Option<&SnapshotName> {
        match self.part() {
            Part::Snapshot(name) => Some(name),
            Part::Source(_) | Part::Volume(_) | Part::All => None,
        }
    }

    /// The volume that it is about.
    #[must_use]
    pub fn volume(&self) -> Option<VolumeNumber> {
        match self.part() {
            Part::Volume(number) => Some(number),
            Part::Snapshot(_) | Part::Source(_) | Part::All => None,
        }
    }

    /// The items whose unmarked objects are taken in meanwhile.
    #[must_use]
    pub fn adopting(&self) -> &[Awaited] {
        if matches!(self, Self::Create { made: Made::Adopted, .. }) { self.awaited() } else { &[] }
    }

    /// The replicas that it holds down meanwhile, whatever their flags say.
    #[must_use]
    pub fn held_down(&self) -> &[Awaited] {
        let down = match self {
            Self::Rollback { step, .. } => *step != RollbackStep::Up,
            Self::Delete { step, .. } => *step == DeleteStep::Down,
            Self::Create { .. }
            | Self::CreateVolume { .. }
            | Self::Restore { .. }
            | Self::Clone { .. }
            | Self::DeleteVolume { .. }
            | Self::Resize { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Activate { .. }
            | Self::Keep { .. }
            | Self::Move { .. }
            | Self::Evacuate { .. }
            | Self::Evict
            | Self::Return { .. }
            | Self::Lose { .. } => false,
        };
        if down { self.awaited() } else { &[] }
    }

    /// Whether its replicas have their content for good when it ends.
    #[must_use]
    pub fn fills(&self) -> bool {
        self.family() == Family::Fill || matches!(self, Self::Move { step: MoveStep::Fill, .. })
    }

    /// Every word that [`Self::word`] can give, in the order of the tasks.
    pub const WORDS: &'static [&'static str] = &[
        "create",
        "create-volume",
        "restore",
        "clone",
        "delete",
        "delete-volume",
        "resize",
        "snapshot",
        "delete-snapshot",
        "rollback",
        "activate",
        "deactivate",
        "keep",
        "move",
        "evacuate",
        "evict",
        "return",
        "lose",
    ];

    /// The word for people and records; one of [`Self::WORDS`].
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
            Self::Keep { .. } => "keep",
            Self::Move { .. } => "move",
            Self::Evacuate { .. } => "evacuate",
            Self::Evict => "evict",
            Self::Return { .. } => "return",
            Self::Lose { .. } => "lose",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Object, RecordKind};
    use crate::codec;

    /// Written before jobs could work on nodes.
    const OLD: &str = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","resource":"web","task":{"task":"delete","replicas":[],"definition":true},"serial":7,"actor":"PUBLIC","created":5}"#;

    #[test]
    fn every_word_is_listed() {
        let name = |name: &str| ResourceName::parse(name).unwrap();
        let snapshot = SnapshotName::parse("one").unwrap();
        let number = VolumeNumber::new(0).unwrap();
        let item = || Awaited { node: NodeName::parse("alpha").unwrap(), item: Uuid::nil() };
        let (replicas, copies) = (Vec::new, Vec::new);
        let deletion = || Task::Delete { replicas: replicas(), definition: false, firm: false, step: DeleteStep::Remove };
        let activate = |active| Task::Activate { replicas: replicas(), active, diskless: false };
        let mut words = Vec::new();
        let mut next = Some(Task::Create { replicas: replicas(), made: Made::default() });
        // A task that is new has no place in this chain: the compiler asks for one.
        while let Some(task) = next {
            words.push(task.word());
            next = match task {
                Task::Create { .. } => Some(Task::CreateVolume { number, replicas: replicas() }),
                Task::CreateVolume { .. } => {
                    Some(Task::Restore { from: name("web"), snapshot: snapshot.clone(), replicas: replicas(), former: None })
                }
                Task::Restore { .. } => Some(Task::Clone { from: name("web"), replicas: replicas() }),
                Task::Clone { .. } => Some(deletion()),
                Task::Delete { .. } => Some(Task::DeleteVolume { number, replicas: replicas(), firm: false, step: DeleteStep::Remove }),
                Task::DeleteVolume { .. } => Some(Task::Resize { number, from: Kib(1), replicas: replicas() }),
                Task::Resize { .. } => Some(Task::Snapshot { snapshot: snapshot.clone(), copies: copies() }),
                Task::Snapshot { .. } => Some(Task::DeleteSnapshot { snapshot: snapshot.clone(), copies: copies(), failed: None }),
                Task::DeleteSnapshot { .. } => {
                    Some(Task::Rollback { snapshot: snapshot.clone(), step: RollbackStep::Down, replicas: replicas() })
                }
                Task::Rollback { .. } => Some(activate(true)),
                Task::Activate { active: true, .. } => Some(activate(false)),
                Task::Activate { active: false, .. } => Some(Task::Keep { deletion: Box::new(deletion()), refused: None }),
                Task::Keep { .. } => Some(Task::Move { from: item(), to: item(), step: MoveStep::Fill, made: Made::Replicas }),
                Task::Move { .. } => Some(Task::Evacuate { target: Vec::new(), do_not_target: Vec::new() }),
                Task::Evacuate { .. } => Some(Task::Evict),
                Task::Evict => Some(Task::Return { delete_resources: false, delete_snapshots: false }),
                Task::Return { .. } => Some(Task::Lose { pool: None }),
                Task::Lose { .. } => None,
            };
        }
        assert_eq!(words, Task::WORDS);
    }

    fn read(version: u32, body: &str) -> (Job, Option<codec::Residue>) {
        let kind = RecordKind::Job.word();
        match codec::decode(kind, "01890a5d-ac96-774b-bcce-b302099a8057", version, body).unwrap() {
            (Object::Job(job), residue) => (job, residue),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn older_records_are_read() {
        let (job, _) = read(1, OLD);
        assert_eq!(job.resource().unwrap().as_str(), "web");
        assert_eq!(job.task, Task::Delete { replicas: Vec::new(), definition: true, firm: false, step: DeleteStep::Remove });
    }

    #[test]
    fn what_is_given_up_is_a_node_or_one_of_its_pools() {
        let lose = |task: &str| {
            OLD.replace(r#""resource":"web""#, r#""node":"alpha""#).replace(r#"{"task":"delete","replicas":[],"definition":true}"#, task)
        };
        let (older, _) = read(1, &lose(r#"{"task":"lose"}"#));
        assert_eq!(older.task, Task::Lose { pool: None });
        assert!(!codec::encode(&Object::Job(older), None).contains("pool"), "an older release reads it, too");
        let pool = Some(StorPoolName::parse("thin").unwrap());
        assert_eq!(read(1, &lose(r#"{"task":"lose","pool":"thin"}"#)).0.task, Task::Lose { pool });
    }

    #[test]
    fn jobs_on_nodes_survive_writing_and_reading_and_so_do_unknown_members() {
        let newer = OLD.replace(r#""resource":"web""#, r#""node":"alpha","colour":"red""#).replace(
            r#""task":{"task":"delete","replicas":[],"definition":true}"#,
            r#""task":{"task":"evacuate","target":["bravo"],"shape":"round"}"#,
        );
        let (job, residue) = read(99, &newer);
        assert_eq!((job.resource(), job.subject.to_string().as_str()), (None, "alpha"));
        let written = codec::encode(&Object::Job(job.clone()), residue.as_ref());
        assert!(written.contains("red") && written.contains("round"), "{written}");
        assert_eq!(read(99, &written).0, job);
    }
}
