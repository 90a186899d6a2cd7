//! Dry runs: how a request asks for one, and the two forms of its answer.

use axum::extract::{MatchedPath, Query, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use berth_api::explain::{FieldDocument, PreviewDocument, RecordChangeDocument, StepDocument};
use berth_api::reply::ApiCallRc;
use berth_engine::explain::preview::key_text;
use berth_engine::explain::{FieldChange, Op, Preview, RecordChange, Step};
use berth_model::codes::{Code, Severity};
use berth_model::reply::Reply;
use serde_json::Value;

use super::answer;
use super::query::Pairs;

/// The query pair that asks for a dry run.
const DRY_RUN: &str = "dry_run";

/// How a request is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For real.
    Real,
    /// Only say what would happen, as a reply list.
    Words,
    /// Only say what would happen, as a document.
    Plan,
}

impl Mode {
    /// What the query asks for.
    ///
    /// # Errors
    /// 400 for anything but `true`, `1`, `plan`, and `false`, `0`; also for two of them that differ, and for the name in another
    /// spelling: nobody shall take a request for dry that is not.
    pub fn of(query: &Pairs) -> Result<Self, Response> {
        if let Some(other) = query.keys().find(|key| means_dry_run(key)) {
            return Err(refusal(&format!("'{other}' is not how a dry run is asked for.")));
        }
        let mut mode = None;
        for text in query.values(DRY_RUN) {
            let this = match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Self::Words,
                "plan" => Self::Plan,
                "false" | "0" => Self::Real,
                _ => return Err(refusal(&format!("'{text}' is not a way to run dry."))),
            };
            if mode.replace(this).is_some_and(|other| other != this) {
                return Err(refusal("The request says twice whether it is dry, and not the same."));
            }
        }
        Ok(mode.unwrap_or(Self::Real))
    }
}

/// Refuses a request that is neither dry nor not, before any operation looks at it: also those that take nothing of the query.
pub async fn check(request: Request, next: Next) -> Response {
    if request.uri().query().is_some() {
        let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|Query(pairs)| Pairs::new(pairs));
        let judged = query.map_err(IntoResponse::into_response).and_then(|query| {
            Mode::of(&query)?;
            if query.first(DRY_RUN).is_some() && only_reads(&request) { Err(reads(&request)) } else { Ok(()) }
        });
        if let Err(refusal) = judged {
            return refusal;
        }
    }
    next.run(request).await
}

/// Operations that only read although their verb is not GET: their question is a document.
const QUESTIONS: [(Method, &str); 3] = [
    (Method::OPTIONS, "/v1/query-max-volume-size"),
    (Method::POST, "/v1/queries/resource-groups/query-all-size-info"),
    (Method::POST, "/v1/resource-groups/{group}/query-size-info"),
];

/// Whether the operation changes nothing, whoever asks for it.
fn only_reads(request: &Request) -> bool {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let method = request.method();
    *method == Method::GET || *method == Method::HEAD || QUESTIONS.iter().any(|(verb, of)| verb == method && path == Some(of))
}

/// Who asks for a dry run means to change something: another verb or another path than these.
fn reads(request: &Request) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let reply = Reply::new(Code::FAIL_INVLD_REQUEST, "This operation changes nothing, so it has no dry run.")
        .cause(format!("'{DRY_RUN}' asks what a change would do, and '{what}' only reads."))
        .correction(format!("Leave '{DRY_RUN}' out; if a change was meant, use its verb and path."))
        .details("Nothing was changed.");
    answer::with_status(StatusCode::BAD_REQUEST, &reply)
}

/// Whether a name is `dry_run` in another spelling, such as `dry-run` or `dryRun`.
fn means_dry_run(name: &str) -> bool {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase());
    name != DRY_RUN && letters.eq("dryrun".chars())
}

fn refusal(message: &str) -> Response {
    let reply = Reply::new(Code::FAIL_INVLD_REQUEST, message)
        .cause(format!("'{DRY_RUN}' is true, plan or false."))
        .correction(format!("Give '{DRY_RUN}=true' for a reply list, '{DRY_RUN}=plan' for a document, or leave it out."))
        .details("Nothing was changed.");
    answer::with_status(StatusCode::BAD_REQUEST, &reply)
}

/// A success, told as what it would be.
fn would(reply: &Reply) -> Reply {
    match reply.severity() {
        Severity::Success | Severity::Info => {
            Reply { code: Code::INFO_NOOP, message: format!("The answer would say: {}", reply.message), ..reply.clone() }
        }
        Severity::Warning | Severity::Error => reply.clone(),
    }
}

/// A preview as a reply list: what would be answered, what would change, what would follow.
pub fn words(preview: &Preview) -> Vec<Reply> {
    let count = preview.changes.len();
    let summary = match count {
        0 => "Dry run: nothing is changed, and the request would change nothing.".to_owned(),
        1 => "Dry run: nothing is changed. The request would write 1 record.".to_owned(),
        _ => format!("Dry run: nothing is changed. The request would write {count} records."),
    };
    let info = |message: String| Reply::new(Code::INFO_NOOP, message);
    let mut replies = vec![info(summary).details(preview.unforeseen.join("\n"))];
    replies.extend(preview.replies.iter().map(would));
    replies.extend(preview.changes.iter().map(|change| {
        let fields: Vec<String> = if change.op == Op::Change { change.fields.iter().map(line).collect() } else { Vec::new() };
        info(format!("Would {} {}.", change.op.word(), change.name)).details(fields.join("\n"))
    }));
    replies.extend(preview.steps.iter().map(|step| {
        let who = step.node.as_ref().map_or("controller", |node| node.as_str());
        info(format!("{}. {who}: {}.", step.number, step.actions.join("; "))).cause(step.waits.clone().unwrap_or_default())
    }));
    replies.extend(preview.ended.iter().chain(&preview.open).map(would));
    replies
}

fn line(field: &FieldChange) -> String {
    let text = |value: &Option<Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => format!("'{text}'"),
        Some(other) => other.to_string(),
    };
    format!("{}: {} becomes {}", field.field, text(&field.before), text(&field.after))
}

/// A preview as a document.
pub fn plan(preview: &Preview) -> PreviewDocument {
    let answered = preview.replies.iter().chain(&preview.ended).chain(&preview.open);
    PreviewDocument {
        changes: preview.changes.iter().map(record).collect(),
        steps: preview.steps.iter().map(step).collect(),
        replies: answered.map(answer::entry).collect::<Vec<ApiCallRc>>(),
        unforeseen: preview.unforeseen.clone(),
    }
}

fn record(change: &RecordChange) -> RecordChangeDocument {
    let field =
        |field: &FieldChange| FieldDocument { field: field.field.clone(), before: field.before.clone(), after: field.after.clone() };
    RecordChangeDocument {
        op: change.op.word(),
        kind: change.key.kind().word(),
        key: key_text(&change.key),
        name: change.name.clone(),
        fields: change.fields.iter().map(field).collect(),
    }
}

fn step(step: &Step) -> StepDocument {
    StepDocument {
        step: step.number,
        node: step.node.as_ref().map(ToString::to_string),
        actions: step.actions.clone(),
        waits: step.waits.clone(),
        changes: step.changes.iter().map(record).collect(),
    }
}
