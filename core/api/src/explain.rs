//! Berth's own documents about what would happen, what happened, and what differs (`/v1/berth/…`, `?dry_run=plan`).

use serde::Serialize;
use serde_json::Value;

use crate::reply::ApiCallRc;

/// What a request would do (`?dry_run=plan`).
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
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
