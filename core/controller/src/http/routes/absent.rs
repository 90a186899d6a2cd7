//! Every route of a capability that this version does not have, in one table: what may be listed is an empty list, what must have been
//! made first is not found, and what would make it is refused with LINSTOR's code, the cause, and what to do instead.
//!
//! A client thus finds each route of the API, in the form that it knows, and never believes that something was done.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};
use berth_api::reply::ApiCallRc;
use berth_api::settings::SpaceReport;
use berth_engine::lookup;
use berth_model::codes::{Code, ObjectMask, Operation};
use berth_model::names::NodeName;
use berth_model::reply::Reply;
use serde_json::{Map, Value, json};

use crate::Controller;
use crate::http::answer::{document, entry, refusal, replies, unreadable};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};

/// A verb of HTTP that the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Changes.
    Put,
    /// Deletes.
    Delete,
}

/// A kind of object that cannot exist here.
#[derive(Debug)]
struct Kind {
    /// What it is called, to begin a sentence.
    word: &'static str,
    /// The key of `obj_refs` that names one.
    refers: &'static str,
    mask: ObjectMask,
    missing: Code,
    misnamed: Code,
    unnamed: Code,
    lack: &'static Lack,
}

/// Why something cannot be done here.
#[derive(Debug)]
struct Lack {
    code: Code,
    what: &'static str,
    cause: &'static str,
    instead: &'static str,
}

/// Where a request names the object.
#[derive(Debug, Clone, Copy)]
enum Named {
    /// A part of the path.
    Path(&'static str),
    /// A value of the query.
    Query(&'static str),
    /// A member of the body, and members that must be there beside it.
    Body(&'static str, &'static [&'static str]),
}

/// What a route answers.
#[derive(Debug)]
enum Answer {
    /// There is nothing: this document.
    Nothing(&'static str),
    /// The same, if the part `resource` of the path names a resource definition that exists.
    NothingOfDefinition(&'static str),
    /// The object does not exist, and cannot. The operation and kind that the entry speaks of.
    Unknown(&'static Kind, Named, Option<Operation>, Option<ObjectMask>),
    /// A deletion of what does not exist: a warning, as for every object of the API.
    Gone(&'static Kind, Named, Operation),
    /// Making one is refused.
    Refused(&'static Kind, Named, Operation),
    /// The request of another cluster's controller: it is told that nothing is received here.
    Foreign,
}

/// One route.
#[derive(Debug)]
pub struct Row {
    /// Verb.
    pub verb: Verb,
    /// Path, as the router takes it.
    pub path: &'static str,
    answer: Answer,
}

const SHIPPING: Lack = Lack {
    code: Code::FAIL_SNAPSHOT_SHIPPING_NOT_SUPPORTED,
    what: "remotes and backups are not available.",
    cause: "This version of Berth ships no snapshots, neither to S3 nor to another cluster, so that nothing would ever be sent there.",
    instead: "Take snapshots with 'linstor snapshot create', and copy the data of a resource that is restored from one with a backup \
              program; 'berth db export' keeps the controller's own state.",
};

const EBS: Lack = Lack {
    code: Code::FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER,
    what: "Amazon EBS is not available.",
    cause: "This version of Berth has no provider for EBS_INIT and EBS_TARGET.",
    instead: "Attach the EBS volume to the node by other means, and make a storage pool on it: 'linstor storage-pool create'.",
};

const SCHEDULES: Lack = Lack {
    code: Code::FAIL_SNAPSHOT_SHIPPING_NOT_SUPPORTED,
    what: "schedules of backups are not available.",
    cause: "This version of Berth ships no backups, so that a schedule would never run.",
    instead: "Call 'linstor snapshot create' from cron or a systemd timer.",
};

const REMOTE: Kind = Kind {
    word: "Remote",
    refers: "Remote",
    mask: ObjectMask::Remote,
    missing: Code::FAIL_NOT_FOUND_REMOTE,
    misnamed: Code::FAIL_INVLD_REMOTE_NAME,
    unnamed: Code::FAIL_INVLD_BACKUP_CONFIG,
    lack: &SHIPPING,
};

const EBS_REMOTE: Kind = Kind { lack: &EBS, ..REMOTE };

/// The target of Amazon EBS that a node would stand for.
const EBS_NODE: Kind = Kind { unnamed: Code::FAIL_INVLD_REMOTE_NAME, lack: &EBS, ..REMOTE };

const SCHEDULE: Kind = Kind {
    word: "Schedule",
    refers: "Schedule",
    mask: ObjectMask::Schedule,
    missing: Code::FAIL_NOT_FOUND_SCHEDULE,
    misnamed: Code::FAIL_INVLD_SCHEDULE_NAME,
    unnamed: Code::FAIL_INVLD_SCHEDULE_NAME,
    lack: &SCHEDULES,
};

const fn row(verb: Verb, path: &'static str, answer: Answer) -> Row {
    Row { verb, path, answer }
}

/// The name in the path of everything below one remote.
const ONE: Named = Named::Path("remote");
const BACKUP: Option<ObjectMask> = Some(ObjectMask::Backup);
const MODIFY: Option<Operation> = Some(Operation::Modify);
const REMOTES: Option<ObjectMask> = Some(ObjectMask::Remote);

/// The table.
pub const ROWS: &[Row] = &[
    row(Verb::Get, "/v1/remotes", Answer::Nothing("{}")),
    row(Verb::Delete, "/v1/remotes", Answer::Gone(&REMOTE, Named::Query("remote_name"), Operation::Modify)),
    row(Verb::Get, "/v1/remotes/s3", Answer::Nothing("[]")),
    row(Verb::Post, "/v1/remotes/s3", Answer::Refused(&REMOTE, Named::Body("remote_name", &["endpoint", "bucket"]), Operation::Modify)),
    row(Verb::Put, "/v1/remotes/s3/{remote}", Answer::Unknown(&REMOTE, ONE, MODIFY, REMOTES)),
    row(Verb::Get, "/v1/remotes/linstor", Answer::Nothing("[]")),
    row(Verb::Post, "/v1/remotes/linstor", Answer::Refused(&REMOTE, Named::Body("remote_name", &["url"]), Operation::Modify)),
    row(Verb::Put, "/v1/remotes/linstor/{remote}", Answer::Unknown(&REMOTE, ONE, MODIFY, REMOTES)),
    row(Verb::Get, "/v1/remotes/ebs", Answer::Nothing("[]")),
    row(
        Verb::Post,
        "/v1/remotes/ebs",
        Answer::Refused(&EBS_REMOTE, Named::Body("remote_name", &["region", "access_key", "secret_key"]), Operation::Modify),
    ),
    row(Verb::Put, "/v1/remotes/ebs/{remote}", Answer::Unknown(&EBS_REMOTE, ONE, MODIFY, REMOTES)),
    row(
        Verb::Post,
        "/v1/nodes/ebs",
        Answer::Unknown(&EBS_NODE, Named::Body("ebs_remote_name", &[]), Some(Operation::Create), Some(ObjectMask::Node)),
    ),
    row(Verb::Get, "/v1/remotes/{remote}/backups", Answer::Unknown(&REMOTE, ONE, None, BACKUP)),
    row(Verb::Post, "/v1/remotes/{remote}/backups", Answer::Unknown(&REMOTE, ONE, None, BACKUP)),
    row(Verb::Delete, "/v1/remotes/{remote}/backups", Answer::Unknown(&REMOTE, ONE, None, BACKUP)),
    row(Verb::Post, "/v1/remotes/{remote}/backups/restore", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Post, "/v1/remotes/{remote}/backups/abort", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Post, "/v1/remotes/{remote}/backups/ship", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Post, "/v1/remotes/{remote}/backups/info", Answer::Unknown(&REMOTE, ONE, None, BACKUP)),
    row(Verb::Put, "/v1/remotes/{remote}/backups/schedule/{schedule}/enable", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Put, "/v1/remotes/{remote}/backups/schedule/{schedule}/disable", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Delete, "/v1/remotes/{remote}/backups/schedule/{schedule}/delete", Answer::Unknown(&REMOTE, ONE, None, None)),
    row(Verb::Get, "/v1/view/backup/queue", Answer::Nothing("{}")),
    row(Verb::Get, "/v1/schedules", Answer::Nothing("{}")),
    row(Verb::Post, "/v1/schedules", Answer::Refused(&SCHEDULE, Named::Body("schedule_name", &["full_cron"]), Operation::Create)),
    row(Verb::Put, "/v1/schedules/{schedule}", Answer::Unknown(&SCHEDULE, Named::Path("schedule"), MODIFY, Some(ObjectMask::Schedule))),
    row(Verb::Delete, "/v1/schedules/{schedule}", Answer::Gone(&SCHEDULE, Named::Path("schedule"), Operation::Delete)),
    row(Verb::Get, "/v1/view/schedules-by-resource", Answer::Nothing("{}")),
    row(Verb::Get, "/v1/view/schedules-by-resource/{resource}", Answer::NothingOfDefinition("{}")),
    row(Verb::Get, "/v1/space-report", Answer::Nothing(SPACE)),
    row(Verb::Post, "/v1/internal/backups/requestPrevSnap", Answer::Foreign),
    row(Verb::Post, "/v1/internal/backups/requestShip", Answer::Foreign),
    row(Verb::Post, "/v1/internal/backups/requestReceive", Answer::Foreign),
    row(Verb::Post, "/v1/internal/backups/requestReceiveDone", Answer::Foreign),
];

/// The space report of an installation that does not track space.
const SPACE: &str = r#"{"reportText":"Space is not tracked over time here. See 'linstor storage-pool list' for the space of now, and /metrics for a time series."}"#;

/// The operations of this kind.
pub fn routes() -> Routes {
    ROWS.iter().fold(Routes::new("Not available"), |routes, row| {
        let verb = match row.verb {
            Verb::Get => "get",
            Verb::Post => "post",
            Verb::Put => "put",
            Verb::Delete => "delete",
        };
        routes.on(verb, row.path, method(row), described(row))
    })
}

/// What a route of the table answers, for the description of the API.
fn described(row: &Row) -> Op {
    type Document = Map<String, Value>;
    let op = match &row.answer {
        Answer::Nothing(SPACE) => Op::answers::<SpaceReport>("Space is not tracked over time; it says where to look."),
        Answer::Nothing("[]") => Op::answers::<Vec<Document>>("There are none: the list is empty."),
        Answer::Nothing(_) => Op::answers::<Document>("There is nothing: the document is empty."),
        Answer::NothingOfDefinition(_) => Op::answers::<Document>("There is nothing for this resource definition: the document is empty."),
        Answer::Unknown(kind, ..) => Op::changes(format!("Says that the {} does not exist.", kind.word.to_lowercase())).may_miss(),
        Answer::Gone(kind, ..) => Op::changes(format!("Warns that the {} does not exist.", kind.word.to_lowercase())),
        Answer::Refused(kind, ..) => Op::creates(format!("Refuses to make the {}, and says why.", kind.word.to_lowercase())),
        Answer::Foreign => Op::answers::<Document>("Tells the controller of another cluster that nothing is received here."),
    };
    let op = match (&row.answer, row.verb) {
        // What reads has no dry run.
        (Answer::Unknown(..), Verb::Get) => Op::answers::<Vec<ApiCallRc>>(op.summary().to_owned()).may_miss(),
        (Answer::Unknown(..) | Answer::Gone(..) | Answer::Refused(..), _) => op.without_plan(),
        _ => op,
    };
    let op = match &row.answer {
        Answer::Gone(_, Named::Query(name), _) | Answer::Unknown(_, Named::Query(name), ..) => op.text(name, "Its name."),
        _ => op,
    };
    match row.verb {
        Verb::Post | Verb::Put => op.may_have::<Document>().absent(),
        Verb::Get | Verb::Delete => op.absent(),
    }
}

fn method(row: &'static Row) -> MethodRouter<Controller> {
    let handler = move |call: Call| async move { answer(&call, row) };
    match row.verb {
        Verb::Get => get(handler),
        Verb::Post => post(handler),
        Verb::Put => put(handler),
        Verb::Delete => delete(handler),
    }
}

fn answer(call: &Call, row: &Row) -> Answered {
    // What cannot be read is told first, whatever is asked for.
    let body = match row.verb {
        Verb::Post | Verb::Put => call.any()?,
        Verb::Get | Verb::Delete => Value::Null,
    };
    match &row.answer {
        Answer::Nothing(text) => nothing(text),
        Answer::NothingOfDefinition(text) => {
            let view = call.view();
            lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
            nothing(text)
        }
        Answer::Unknown(kind, named, operation, object) => {
            let name = name(call, &body, kind, *named, *operation, *object)?;
            Err(refusal(context(unknown(kind, &name), kind, &name, *operation, *object)))
        }
        Answer::Gone(kind, named, operation) => {
            let name = name(call, &body, kind, *named, Some(*operation), Some(kind.mask))?;
            let reply = Reply::new(Code::WARN_NOT_FOUND, format!("{} '{name}' not found.", kind.word)).cause(kind.lack.cause.to_owned());
            Ok(replies(&[context(reply, kind, &name, Some(*operation), Some(kind.mask))], StatusCode::OK))
        }
        Answer::Refused(kind, named, operation) => {
            if !body.is_object() {
                return Err(unreadable("the body is not a JSON object"));
            }
            let name = name(call, &body, kind, *named, Some(*operation), Some(kind.mask))?;
            if let Named::Body(_, members) = named
                && let Some(member) = members.iter().find(|member| text(&body, member).is_none())
            {
                let reply = Reply::new(Code::FAIL_INVLD_BACKUP_CONFIG, format!("{} '{name}' is incomplete.", kind.word))
                    .cause(format!("The member '{member}' is missing."))
                    .correction(format!("Give '{member}'. {}", sentence(kind.lack)));
                return Err(refusal(context(reply, kind, &name, Some(*operation), Some(kind.mask))));
            }
            let reply = Reply::new(kind.lack.code, format!("{} '{name}' cannot be created: {}", kind.word, kind.lack.what))
                .cause(kind.lack.cause)
                .correction(kind.lack.instead);
            Err(refusal(context(reply, kind, &name, Some(*operation), Some(kind.mask))))
        }
        Answer::Foreign => Ok(foreign()),
    }
}

fn nothing(text: &str) -> Answered {
    Ok(crate::http::answer::json_bytes(StatusCode::OK, text.as_bytes().to_vec()))
}

fn text<'b>(body: &'b Value, member: &str) -> Option<&'b str> {
    body.get(member).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A lack as a sentence of its own.
fn sentence(lack: &Lack) -> String {
    let mut letters = lack.what.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn unknown(kind: &Kind, name: &str) -> Reply {
    Reply::new(kind.missing, format!("{} '{name}' does not exist.", kind.word))
        .cause(kind.lack.cause)
        .correction(format!("Go without it: {} {}", kind.lack.what, kind.lack.instead))
}

fn context(mut reply: Reply, kind: &Kind, name: &str, operation: Option<Operation>, object: Option<ObjectMask>) -> Reply {
    (reply.operation, reply.object) = (operation, object);
    if operation.is_some() && object == Some(kind.mask) {
        reply = reply.refer(kind.refers, name);
    }
    reply
}

/// The name that the request gives to the object, checked as every name of its kind.
fn name(
    call: &Call,
    body: &Value,
    kind: &Kind,
    named: Named,
    operation: Option<Operation>,
    object: Option<ObjectMask>,
) -> Result<String, Response> {
    let given = match named {
        Named::Path(part) => Some(call.part(part)),
        Named::Query(key) => call.query.first(key),
        Named::Body(member, _) => text(body, member),
    };
    let (given, member) = match (given.filter(|text| !text.is_empty()), named) {
        (Some(given), _) => (given, ""),
        (None, Named::Path(member) | Named::Query(member) | Named::Body(member, _)) => ("", member),
    };
    if given.is_empty() {
        // A deletion names nothing by the query; the rest of the API calls that a bad name.
        let code = if matches!(named, Named::Query(_)) { kind.misnamed } else { kind.unnamed };
        let reply = Reply::new(code, format!("The name of the {} is missing.", kind.word.to_lowercase()))
            .cause(format!("'{member}' is not given."))
            .correction(format!("Give it as '{member}'. {}", sentence(kind.lack)));
        return Err(refusal(context(reply, kind, "", operation, object)));
    }
    match NodeName::parse(given) {
        Ok(name) => Ok(name.to_string()),
        Err(error) => {
            let shown: String = given.chars().take(255).collect();
            let reply = Reply::new(kind.misnamed, format!("'{shown}' is no name of a {}.", kind.word.to_lowercase()))
                .cause(format!("The same rules hold as for names of nodes: {error}."))
                .correction("Choose 2 to 255 letters, digits and '-', in parts joined by '.', each beginning with a letter or digit.");
            Err(refusal(context(reply, kind, &shown, operation, object)))
        }
    }
}

/// What another controller takes for a refusal: the form of calls between clusters, which is not that of the rest of the API.
fn foreign() -> Response {
    let told = entry(&Reply::new(Code::FAIL_INVLD_REQUEST, format!("This controller receives no backups: {}", SHIPPING.what)));
    let reply = json!({
        "objRefs": BTreeMap::<String, String>::new(),
        "message": told.message,
        "cause": SHIPPING.cause,
        "correction": SHIPPING.instead,
        "details": null,
        "errorIds": Vec::<String>::new(),
        "returnCode": told.ret_code,
        "skipErrorReport": false,
        "dateTime": told.created_at,
    });
    document(&json!({ "canReceive": false, "responses": [reply] }))
}
