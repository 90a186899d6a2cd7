//! Berth's own documents about what would happen, what happened, and what differs (`/v1/berth/…`, `?dry_run=plan`).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::reply::ApiCallRc;
use crate::seen::SeenWhen;

/// What a request would do (`?dry_run=plan`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct PreviewDocument {
    /// Records that it would write, in the order of its decision.
    pub changes: Vec<RecordChangeDocument>,
    /// What would follow, in order.
    pub steps: Vec<StepDocument>,
    /// The entries of the answer, as far as they can be foreseen.
    pub replies: Vec<ApiCallRc>,
    /// What cannot be foreseen, one sentence each.
    pub unforeseen: Vec<String>,
}

/// A record that would be written.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordChangeDocument {
    /// `make`, `change` or `remove`.
    pub op: &'static str,
    /// Kind of the record, e.g. `resource`.
    pub kind: &'static str,
    /// Its key: upper-cased names joined by `/`. `(new)` stands for an id that is not known yet.
    pub key: String,
    /// What it is called.
    pub name: String,
    /// Fields that differ; none of a record that is removed.
    pub fields: Vec<FieldDocument>,
}

/// A field that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FieldDocument {
    /// Its place: names and numbers joined by dots.
    pub field: String,
    /// Its value before; missing: there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Its value after; missing: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// One step that would follow.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepDocument {
    /// Its place in the order, from 1; steps with one number happen at once.
    pub step: u32,
    /// The node that does it; `null`: the controller.
    pub node: Option<String>,
    /// What is done, in order.
    pub actions: Vec<String>,
    /// Why it cannot be done now; missing: it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Records that the controller writes then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RecordChangeDocument>,
}

/// From where on the log knows, if it does not know all.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KnowsFrom {
    /// Serial of its oldest entry.
    pub serial: u64,
    /// When that was made.
    pub at: String,
}

/// One entry of the log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogEntryDocument {
    /// Its serial.
    pub serial: u64,
    /// When it was made.
    pub at: String,
    /// Who asked; `berth`: the controller itself.
    pub actor: String,
    /// From where: an address, a node, a resource.
    pub origin: String,
    /// The word of the command, e.g. `spawn_resource`.
    pub command: String,
    /// The whole command.
    pub request: Value,
    /// What was decided and why, and what nodes had reported: a list of notes.
    pub decision: Value,
    /// Records that it wrote and removed.
    pub changes: Value,
}

/// A page of the log, newest first (`GET /v1/berth/audit`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditDocument {
    /// The entries that fit.
    pub entries: Vec<LogEntryDocument>,
    /// The value of `before` for the next page; `null`: there is none.
    pub next_before: Option<u64>,
    /// From where on the log knows; `null`: it knows all.
    pub knows_from: Option<KnowsFrom>,
}

/// One entry of an object's story.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WhyEntryDocument {
    /// The entry of the log.
    #[serde(flatten)]
    pub entry: LogEntryDocument,
    /// Which object of the name it is about, from 1; missing: its own record was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// What became of its own record: `make`, `change`, `remove`; missing: it was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<&'static str>,
    /// Fields of its own record that changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldDocument>,
}

/// An object's story (`GET /v1/berth/why/…`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct WhyDocument {
    /// The words that name it without doubt.
    pub object: String,
    /// Whether it is there now.
    pub exists: bool,
    /// How many objects had the name since the log begins.
    pub generations: u32,
    /// From where on the log knows; `null`: it knows all.
    pub knows_from: Option<KnowsFrom>,
    /// Whether there are older entries than these.
    pub more: bool,
    /// What happened, oldest first.
    pub history: Vec<WhyEntryDocument>,
    /// Where its satellite stands; only of nodes that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionDocument>,
    /// What it is now, node by node.
    pub now: Vec<ComparedDocument>,
    /// Open jobs that concern it, with what blocks each and the way out.
    pub blocked_by: Vec<crate::job::Job>,
}

/// Where a node's satellite stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionDocument {
    /// The word of the connection, e.g. `ONLINE`.
    pub status: &'static str,
    /// When it was seen, or since when it is not and why.
    #[serde(flatten)]
    pub when: SeenWhen<'static>,
}

/// One thing that is wanted on a node, and what was found (`GET /v1/berth/diff`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparedDocument {
    /// The node.
    pub node: String,
    /// `resource`, `snapshot`, `storage_pool`, or `leftover` of a deletion.
    pub kind: &'static str,
    /// Its name, of a snapshot `resource@snapshot`.
    pub name: String,
    /// Generation id.
    pub uuid: String,
    /// What is wanted.
    pub wanted: String,
    /// What was found; `null`: unknown.
    pub found: Option<String>,
    /// `agrees`, `differs` or `unknown`.
    pub verdict: &'static str,
    /// Why; empty: it agrees.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub correction: String,
    /// When it was seen; missing: it is unknown now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Since when it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<String>,
}

/// What is on a machine and not in its plan, or in its plan and lost (`GET /v1/berth/drift`).
#[derive(Debug, Serialize, JsonSchema)]
pub struct DriftDocument {
    /// The node.
    pub node: String,
    /// When its satellite looked for such objects; missing: it is not known what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Since when it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<String>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Objects that carry this cluster's mark and that nobody names; `null`: not known.
    pub strangers: Option<Vec<StrangerDocument>>,
    /// What is known and missing.
    pub lost: Vec<ComparedDocument>,
    /// In whose place an object without this cluster's mark lies, while its data was there before, as after an import.
    pub unclaimed: Vec<ComparedDocument>,
}

/// An object that nobody names.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StrangerDocument {
    /// Pool that it lies in.
    pub pool: String,
    /// Generation id of its mark.
    pub id: String,
    /// Its name in the pool.
    pub backing: String,
    /// What its mark says that it was.
    pub name: String,
    /// Whether it is the copy of a snapshot.
    pub snapshot: bool,
    /// Its size.
    pub size_kib: u64,
}

/// Which stranger is meant (`POST /v1/berth/drift/remove`, `…/adopt`).
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["node", "pool", "id"]))]
pub struct StrangerRequest {
    /// Its node.
    pub node: Option<crate::lenient::Text>,
    /// Its pool.
    pub pool: Option<crate::lenient::Text>,
    /// Its generation id.
    pub id: Option<crate::lenient::Text>,
    /// Name of the resource that it shall be; of an adoption only.
    pub resource: Option<crate::lenient::Text>,
}

/// What is to be taken in on a node (`POST /v1/berth/drift/take-in`): what lies unmarked in the place of data that was there before.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["node"]))]
pub struct TakeInRequest {
    /// The node.
    pub node: Option<crate::lenient::Text>,
    /// Only what lies in this pool.
    pub pool: Option<crate::lenient::Text>,
    /// Only what belongs to this resource, its snapshots included.
    pub resource: Option<crate::lenient::Text>,
}
