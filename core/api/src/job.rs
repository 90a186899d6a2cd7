//! Jobs: Berth's own documents under `/v1/berth/jobs`.

use schemars::JsonSchema;
use serde::Serialize;

/// A job.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Job {
    /// Its id.
    pub uuid: String,
    /// What it does, e.g. `create`, `rollback`, `evacuate`.
    pub task: &'static str,
    /// The resource that it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// The node that it works on, or moves a replica off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The snapshot that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_name: Option<String>,
    /// The volume that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_number: Option<u16>,
    /// Who asked for it.
    pub actor: String,
    /// When, milliseconds since 1970.
    pub create_timestamp: i64,
    /// Serial of the transaction that set its present step.
    pub serial: u64,
    /// Its steps in order.
    pub steps: Vec<Step>,
    /// Whether something keeps it from going on.
    pub blocked: bool,
    /// What it waits for.
    pub waits_for: Vec<Wait>,
    /// What keeps it from going on.
    pub blockers: Vec<Blocker>,
    /// Whether it can be cancelled.
    pub cancel: Possible,
    /// Whether it can be tried again.
    pub retry: Possible,
}

/// A step of a job.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// Its word.
    pub name: &'static str,
    /// `done`, `now` or `to_come`.
    pub state: &'static str,
}

/// An item that a job waits for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Wait {
    /// Its node.
    pub node_name: String,
    /// Generation id of the replica or of the snapshot's copy.
    pub item: String,
    /// `pending`, `settled`, `gone`, `faulty`, `offline`, `forgotten` or `quarantined`.
    pub state: &'static str,
    /// When that was seen, milliseconds since 1970; of an offline node: since when it is. Missing: not seen yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_timestamp: Option<i64>,
}

/// What keeps a job from going on.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Blocker {
    /// `offline`, `in_use`, `no_space`, …
    pub kind: &'static str,
    /// What is blocked.
    pub object: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// When it was seen, milliseconds since 1970; of an offline node: since when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_timestamp: Option<i64>,
    /// What is wrong.
    pub message: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cause: String,
    /// What to do next.
    pub way_out: String,
    /// Who holds the device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// Who holds a device: a mount has a path, a process a pid and a command, a device `by`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Holder {
    /// `mount`, `process` or `device`.
    pub kind: &'static str,
    /// The device that is held.
    pub device: String,
    /// Where it is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Name of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The device that lies on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Whether something can be done.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Possible {
    /// Whether.
    pub possible: bool,
    /// What it leads to, or why it is not possible.
    pub outcome: String,
}
