//! What happened and why, what differs from what is wanted, and what drifted. Berth's own.

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::explain::{AuditDocument, ComparedDocument, DriftDocument, StrangerRequest, TakeInRequest, WhyDocument};
use berth_api::lenient::text;
use berth_engine::command::Command;
use berth_engine::draft::Refused;
use berth_engine::explain::differ::{self, Verdict};
use berth_engine::explain::subject::{Subject, candidates, parse};
use berth_engine::lookup;
use berth_model::change::Key;
use berth_model::codes::Code;
use berth_model::names::NodeName;
use berth_model::reply::Reply;
use berth_store::{LogEntry, LogFilter, StoreError};

use crate::View;
use crate::http::answer::{document, entry, json, refusal, with_status};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::http::views::explain as views;

/// The operations of this kind.
pub fn routes() -> Routes {
    let why_op = || {
        Op::answers::<WhyDocument>("Tells an object's story: what happened to it and why, what it is now, and what blocks it.")
            .number("before", "Only entries before this serial.")
            .number("limit", "At most so many entries; 100 if not given, 1000 at most.")
    };
    Routes::new("Explanations")
        .get(
            "/v1/berth/audit",
            audit,
            Op::answers::<AuditDocument>("Lists what was done, newest first.")
                .text("actor", "Only what this caller did.")
                .text("origin", "Only what came from there.")
                .text("command", "Only this command, e.g. spawn_resource.")
                .text("kind", "Only what is about an object of this kind.")
                .text("name", "The names of that object, parted by slashes.")
                .text("from", "Only from this moment on: RFC 3339, or how long ago, e.g. 2h.")
                .text("to", "Only until this moment.")
                .number("before", "Only entries before this serial.")
                .number("limit", "At most so many entries; 100 if not given, 1000 at most."),
        )
        .get("/v1/berth/why/{kind}", why, why_op())
        .get("/v1/berth/why/{kind}/{*names}", why, why_op())
        .get(
            "/v1/berth/diff",
            diff,
            Op::list::<ComparedDocument>("Lists what is not as it is wanted, node by node.")
                .text("node", "Only on this node.")
                .flag("all", "Also what is as it is wanted.")
                .may_miss(),
        )
        .get(
            "/v1/berth/drift",
            drift,
            Op::answers::<Vec<DriftDocument>>("Lists what is on machines and nobody asked for, and what is missing.")
                .text("node", "Only on this node.")
                .may_miss(),
        )
        .post(
            "/v1/berth/drift/remove",
            remove,
            Op::changes("Deletes an object that nobody asked for.").body::<StrangerRequest>().may_miss(),
        )
        .post(
            "/v1/berth/drift/adopt",
            adopt,
            Op::creates("Makes a resource of an object that nobody asked for.").body::<StrangerRequest>().may_miss(),
        )
        .post(
            "/v1/berth/drift/take-in",
            take_in,
            Op::changes("Takes in what lies unmarked in the place of data that was there before, as after an import.")
                .body::<TakeInRequest>()
                .may_miss(),
        )
}

/// Entries of a page unless the request says otherwise, and the most that it can ask for.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

pub(super) fn bad(message: String, correction: &str) -> Response {
    let reply = Reply::new(Code::FAIL_INVLD_REQUEST, message).correction(correction);
    with_status(StatusCode::BAD_REQUEST, &reply)
}

/// Words that name no object.
fn misread(refused: Refused) -> Response {
    let entries: Vec<_> = refused.replies.iter().map(entry).collect();
    json(StatusCode::BAD_REQUEST, &entries)
}

fn unreadable_log(error: &StoreError) -> Response {
    refusal(Reply::new(Code::FAIL_UNKNOWN_ERROR, "The log cannot be read.").cause(format!("{error}.")).correction(error.correction()))
}

/// Refuses query names that mean nothing here: a filter that is misspelled would let everything through.
pub(super) fn only(call: &Call, known: &[&str]) -> Result<(), Response> {
    let unknown = call.query.keys().find(|name| !known.contains(name));
    let correction = if known.is_empty() { "It takes none.".to_owned() } else { format!("Use {}.", known.join(", ")) };
    unknown.map_or(Ok(()), |name| Err(bad(format!("'{name}' is no filter of this operation."), &correction)))
}

/// Commands in the log that nobody asks for: what the controller does by itself, and `drop_records` of `berth db repair`.
const OWN_COMMANDS: &[&str] =
    &["found", "probe", "bury", "advance", "drop_records", "set_log_level", "run_drbd_reactor", "copy_database", "note_absence"];

/// Refuses a word that is none of these, as nothing would ever fit it.
pub(super) fn known_word(what: &str, word: &str, known: &[&str]) -> Result<(), Response> {
    if known.iter().any(|one| one.eq_ignore_ascii_case(word)) {
        return Ok(());
    }
    Err(bad(format!("'{word}' is no {what}."), &format!("Use one of {}.", known.join(", "))))
}

fn count(call: &Call, name: &str) -> Result<Option<u64>, Response> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad(format!("'{text}' is no number for '{name}'."), "Give a whole number."));
    call.query.first(name).filter(|text| !text.is_empty()).map(number).transpose()
}

fn page(call: &Call) -> Result<usize, Response> {
    match count(call, "limit")? {
        None | Some(0) => Ok(PAGE),
        Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit <= PAGE_MAX).ok_or_else(|| {
            bad(
                format!("'{limit}' entries are more than one answer can have."),
                &format!("Ask for at most {PAGE_MAX}, and for the next page with 'before'."),
            )
        }),
    }
}

/// A moment: RFC 3339, or so long ago: `90s`, `30m`, `2h`, `7d`.
fn moment(call: &Call, name: &str) -> Result<Option<i64>, Response> {
    let Some(text) = call.query.first(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let unit = |text: &str| match text.chars().next_back()? {
        's' => Some(1_000),
        'm' => Some(60_000),
        'h' => Some(3_600_000),
        'd' => Some(86_400_000),
        _ => None,
    };
    let ago =
        unit(text).and_then(|unit: i64| text.get(..text.len() - 1)?.parse::<u32>().ok().map(|count| i64::from(count).saturating_mul(unit)));
    if let Some(ago) = ago {
        return Ok(Some(crate::state::now().0.saturating_sub(ago)));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Ok(Some(moment.as_millisecond())),
        Err(error) => {
            let reply = Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is no moment for '{name}'."))
                .cause(format!("{error}."))
                .correction("Give RFC 3339 with a time zone, such as 2026-01-31T12:00:00Z, or how long ago: 90s, 30m, 2h, 7d.");
            Err(with_status(StatusCode::BAD_REQUEST, &reply))
        }
    }
}

async fn oldest(call: &Call) -> Result<Option<LogEntry>, Response> {
    call.controller.log(0, 1).await.map(|entries| entries.into_iter().next()).map_err(|error| unreadable_log(&error))
}

async fn audit(call: Call) -> Answered {
    only(&call, &["actor", "origin", "command", "kind", "name", "from", "to", "before", "limit"])?;
    let word = |name: &str| call.query.first(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let objects = match (word("kind"), word("name")) {
        (None, None) => Vec::new(),
        (Some(kind), name) => {
            let name = name.unwrap_or_default();
            let names: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
            let key = parse(&kind, &names).map_err(misread)?.key();
            vec![(key.kind().word().to_owned(), key.text())]
        }
        (None, Some(name)) => {
            return Err(bad(format!("'{name}' is a name without a kind."), "Add the kind, e.g. kind=resource&name=web/alpha."));
        }
    };
    let command = word("command").map(|word| word.to_ascii_lowercase());
    if let Some(word) = &command {
        known_word("command", word, &[Command::WORDS, OWN_COMMANDS].concat())?;
    }
    let (from_ms, to_ms) = (moment(&call, "from")?, moment(&call, "to")?);
    if let (Some(from), Some(to)) = (from_ms, to_ms)
        && from > to
    {
        return Err(bad("'from' is later than 'to'.".to_owned(), "Exchange them."));
    }
    let limit = page(&call)?;
    let filter = LogFilter {
        before: count(&call, "before")?,
        after: None,
        from_ms,
        to_ms,
        actor: word("actor"),
        origin: word("origin"),
        command,
        objects,
    };
    let mut entries = call.controller.audit(filter, limit + 1).await.map_err(|error| unreadable_log(&error))?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next_before = entries.last().filter(|_| more).map(|entry| entry.serial);
    let oldest = oldest(&call).await?;
    Ok(document(&AuditDocument {
        entries: entries.iter().map(views::entry).collect(),
        next_before,
        knows_from: views::knows_from(oldest.as_ref()),
    }))
}

async fn why(call: Call) -> Answered {
    only(&call, &["before", "limit"])?;
    let (before, limit) = (count(&call, "before")?, page(&call)?);
    let view = call.view();
    let kind = call.part("kind");
    let names = call.part("names");
    let parts: Vec<&str> = if names.is_empty() { Vec::new() } else { names.split('/').collect() };
    let oldest = oldest(&call).await?;
    let subject = match kind {
        "any" => resolve(&call, &view, names, oldest.as_ref()).await?,
        kind => parse(kind, &parts).map_err(misread)?,
    };
    let story = call.controller.story(&subject, before, limit).await.map_err(|error| unreadable_log(&error))?;
    // A record may be known by its entries alone, where its versions begin later; a part of one only by its versions.
    let known =
        story.ever || subject.exists(&view.cluster) || (subject.part().is_empty() && (before.is_some() || !story.entries.is_empty()));
    if !known {
        return Err(never_seen(&subject.words(), &subject, oldest.as_ref()));
    }
    Ok(document(&views::why(&view, &subject, &story, oldest.as_ref())))
}

/// The one object that a short form means: of those that it can mean, the one that is there, or that the log knows.
async fn resolve(call: &Call, view: &View, short: &str, oldest: Option<&LogEntry>) -> Result<Subject, Response> {
    let mut known = Vec::new();
    let possible = candidates(short);
    for subject in &possible {
        let key = subject.key();
        let past = async || call.controller.history(key.kind().word(), &key.text(), 1).await.map_err(|error| unreadable_log(&error));
        // Of a part of an object only the present one is known without reading all versions.
        let was_there = match subject {
            Subject::Record(_) | Subject::Volume(..) => !past().await?.is_empty(),
            Subject::VolumeDefinition(..) => false,
        };
        if subject.exists(&view.cluster) || was_there {
            known.push(subject.clone());
        }
    }
    match (known.as_slice(), possible.first()) {
        ([only], _) => Ok(only.clone()),
        ([], Some(first)) => Err(never_seen(&format!("'{short}'"), first, oldest)),
        ([], None) => Err(bad(
            format!("'{short}' names no object."),
            "Give a name such as web, web/alpha, web/alpha/0 or web@s1, or the kind and its names.",
        )),
        (several, _) => {
            let words: Vec<String> = several.iter().map(Subject::words).collect();
            let reply = Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{short}' is the name of several objects."))
                .cause(format!("It can mean: {}.", words.join("; ")))
                .correction(format!("Say which, e.g. 'berth why {}'.", words.first().map(String::as_str).unwrap_or_default()));
            Err(with_status(StatusCode::BAD_REQUEST, &reply))
        }
    }
}

fn never_seen(what: &str, subject: &Subject, oldest: Option<&LogEntry>) -> Response {
    let code = match subject {
        Subject::Volume(..) => Code::FAIL_NOT_FOUND_VLM,
        Subject::VolumeDefinition(..) => Code::FAIL_NOT_FOUND_VLM_DFN,
        Subject::Record(key) => match key {
            Key::Node(_) => Code::FAIL_NOT_FOUND_NODE,
            Key::StorPoolDfn(_) => Code::FAIL_NOT_FOUND_STOR_POOL_DFN,
            Key::StorPool(..) => Code::FAIL_NOT_FOUND_STOR_POOL,
            Key::ResourceGroup(_) => Code::FAIL_NOT_FOUND_RSC_GRP,
            Key::ResourceDefinition(_) => Code::FAIL_NOT_FOUND_RSC_DFN,
            Key::Resource(..) => Code::FAIL_NOT_FOUND_RSC,
            Key::Snapshot(..) => Code::FAIL_NOT_FOUND_SNAPSHOT_DFN,
            Key::KeyValueStore(_) => Code::FAIL_NOT_FOUND_KVS,
            Key::MasterKey => Code::FAIL_NOT_FOUND_CRYPT_KEY,
            Key::NodeConnection(_) => Code::FAIL_NOT_FOUND_NODE_CONN,
            Key::ResourceConnection(..) => Code::FAIL_NOT_FOUND_RSC_CONN,
            Key::ExternalFile(_) => Code::FAIL_NOT_FOUND_EXT_FILE,
            Key::Token(_) => Code::FAIL_NOT_FOUND_NODE,
            Key::Controller | Key::Job(_) | Key::Tombstone(_) | Key::Number(_) => Code::FAIL_INVLD_REQUEST,
        },
    };
    let cause = match views::knows_from(oldest) {
        Some(from) => format!("It does not exist, and the log, which goes back to {} (serial {}), does not name it.", from.at, from.serial),
        None => "It does not exist, and the log, which goes back to the beginning, does not name it.".to_owned(),
    };
    let reply = Reply::new(code, format!("{what} was never seen."))
        .cause(cause)
        .correction("Check its spelling; 'berth audit' lists what happened.");
    with_status(StatusCode::NOT_FOUND, &reply)
}

/// The nodes that a request is about: that of its filter, or all.
fn nodes(call: &Call, view: &View) -> Result<Vec<NodeName>, Response> {
    match call.query.first("node").filter(|text| !text.is_empty()) {
        Some(name) => Ok(vec![lookup::node(&view.cluster, name).map_err(refused)?.name.clone()]),
        None => Ok(view.cluster.nodes.keys().cloned().collect()),
    }
}

async fn diff(call: Call) -> Answered {
    only(&call, &["node", "all", "limit", "offset"])?;
    let all = match call.query.first("all") {
        None => false,
        Some(text) => berth_api::lenient::flag(text)
            .ok_or_else(|| bad(format!("'{text}' is neither true nor false."), "Give 'all=true', or leave it out."))?,
    };
    let view = call.view();
    let nodes = nodes(&call, &view)?;
    let compared = nodes.iter().flat_map(|node| differ::node(&view.cluster, &view.observed, node));
    let differing = compared.filter(|one| all || one.verdict != Verdict::Agrees);
    let documents: Vec<_> = call.query.page(differing).iter().map(views::compared).collect();
    Ok(document(&documents))
}

async fn drift(call: Call) -> Answered {
    only(&call, &["node"])?;
    let view = call.view();
    let nodes = nodes(&call, &view)?;
    let documents: Vec<_> = nodes.iter().map(|node| views::drift(&differ::drift(&view.cluster, &view.observed, node))).collect();
    Ok(document(&documents))
}

async fn remove(call: Call) -> Answered {
    let body: StrangerRequest = call.body()?;
    let given = |value| text(value).unwrap_or_default();
    let command = Command::RemoveStranger { node: given(body.node), pool: given(body.pool), id: given(body.id) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn adopt(call: Call) -> Answered {
    let body: StrangerRequest = call.body()?;
    let given = |value| text(value).unwrap_or_default();
    let command =
        Command::AdoptStranger { node: given(body.node), pool: given(body.pool), id: given(body.id), resource: given(body.resource) };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn take_in(call: Call) -> Answered {
    let body: TakeInRequest = call.body()?;
    let only = |value| text(value).filter(|value: &String| !value.is_empty());
    let command = Command::TakeIn { node: text(body.node).unwrap_or_default(), pool: only(body.pool), resource: only(body.resource) };
    Ok(call.submit(command, StatusCode::OK).await)
}
