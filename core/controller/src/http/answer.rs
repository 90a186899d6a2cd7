//! Answers: reply lists with their status, documents, and the form of everything that went wrong before a handler.

use std::any::Any;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use berth_api::reply::ApiCallRc;
use berth_model::codes::{Code, Severity};
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use serde::Serialize;

use super::body::drain;
use crate::Controller;

/// Longest name that a refusal gives back, longest sentence of it, and longest details, in bytes. The longest name that anything can have is
/// far shorter; details may tell of each node of a large cluster.
const NAME_MAX: usize = 1 << 10;
const SENTENCE_MAX: usize = 4 << 10;
const DETAILS_MAX: usize = 256 << 10;
/// Longest words about a document that cannot be read, in bytes.
const WHY_MAX: usize = 1 << 10;
/// Largest text of the framework that is turned into a reply.
const REFUSAL_MAX: usize = 64 << 10;

/// An entry as it goes over the wire. A refusal names what it refuses, but not at any length: what it was sent may be megabytes.
pub fn entry(reply: &Reply) -> ApiCallRc {
    let most = |most: usize| if reply.severity() == Severity::Error { most } else { usize::MAX };
    let refs = reply.refs.iter().map(|(kind, name)| (kind.clone(), cut(name, most(NAME_MAX)))).collect();
    ApiCallRc {
        ret_code: reply.ret_code(),
        message: cut(&reply.message, most(SENTENCE_MAX)),
        cause: cut(&reply.cause, most(SENTENCE_MAX)),
        details: cut(&reply.details, most(DETAILS_MAX)),
        correction: cut(&reply.correction, most(SENTENCE_MAX)),
        error_report_ids: reply.reports.clone(),
        obj_refs: refs,
        created_at: iso(reply.created),
    }
}

/// The beginning of a text, at most so many bytes, and how much is missing.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}... ({} bytes more)", &text[..end], text.len() - end)
}

/// A moment in ISO 8601 with nanoseconds and `Z`.
fn iso(at: Timestamp) -> String {
    let at = if at == Timestamp::default() { crate::state::now() } else { at };
    jiff::Timestamp::from_millisecond(at.0).map(|moment| format!("{moment:.9}")).unwrap_or_default()
}

/// The status of a reply list: the first error decides (contract 2.5).
pub fn status(replies: &[Reply], success: StatusCode) -> StatusCode {
    let Some(error) = replies.iter().find(|reply| reply.severity() == Severity::Error) else { return success };
    match error.code.number() {
        300..=399 => StatusCode::NOT_FOUND,
        400..=499 | 10_000 => StatusCode::FORBIDDEN,
        10_001 => StatusCode::UNAUTHORIZED,
        number if number == Code::API_PARSE.number() => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A reply list; `success` is the status without an error.
pub fn replies(replies: &[Reply], success: StatusCode) -> Response {
    let entries: Vec<ApiCallRc> = replies.iter().map(entry).collect();
    json(status(replies, success), &entries)
}

/// One entry as a list.
pub fn refusal(reply: Reply) -> Response {
    replies(&[reply], StatusCode::INTERNAL_SERVER_ERROR)
}

/// A document.
pub fn json<T: Serialize>(status: StatusCode, document: &T) -> Response {
    match serde_json::to_vec(document) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => refusal(
            Reply::new(Code::FAIL_IMPL_ERROR, format!("The document could not be written: {error}."))
                .correction("Report this; it is a defect of the controller."),
        ),
    }
}

/// A document that is written already.
pub fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// A document with status 200.
pub fn document<T: Serialize>(document: &T) -> Response {
    json(StatusCode::OK, document)
}

pub fn with_status(status: StatusCode, reply: &Reply) -> Response {
    json(status, &[entry(reply)])
}

/// The body is no document of this operation.
pub fn unreadable(why: &str) -> Response {
    let reply = Reply::new(Code::API_PARSE, "Unable to parse input json.")
        .cause("The body of the request is not the document that this operation takes.")
        .details(cut(why, WHY_MAX))
        .correction("Send the JSON document that the API describes for this operation.");
    with_status(StatusCode::BAD_REQUEST, &reply)
}

/// The body does not come.
pub fn too_slow() -> Response {
    let reply = Reply::new(Code::API_PARSE, "The body of the request did not come in time.")
        .correction("Send the document in one piece.")
        .details("Nothing was changed.");
    with_status(StatusCode::REQUEST_TIMEOUT, &reply)
}

/// No operation has this path. The body is read all the same: a connection with an unread one is closed, which clients that send the next
/// request on it take for a controller that has gone.
pub async fn no_such_path(uri: Uri, body: Body) -> Response {
    drain(body).await;
    let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("Path '{}' not found on server.", uri.path()))
        .correction("Check the path; the API's operations begin with /v1/.");
    with_status(StatusCode::NOT_FOUND, &reply)
}

/// The path has no operation with this verb. A browser that asks whether it may send one gets a plain yes: the headers of every reply
/// say the rest. The body is read as in [`no_such_path`].
pub async fn no_such_verb(method: Method, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    drain(body).await;
    if method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]).into_response();
    }
    let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("Method '{method}' not allowed on path '{}'.", uri.path()))
        .correction("Use one of the verbs that the API has for this path.");
    with_status(StatusCode::METHOD_NOT_ALLOWED, &reply)
}

/// A handler panicked: a defect, reported and answered.
pub fn panicked(controller: &Controller, panic: Box<dyn Any + Send>) -> Response {
    let id = crate::panics::report("a request handler", controller.reports(), controller.counters(), panic.as_ref());
    let cause = controller.reports().get(&id).map(|report| report.message.clone()).unwrap_or_default();
    let mut reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, "The request could not be handled because of a defect of the controller.")
        .cause(cause)
        .correction(format!("Look at the report with 'linstor error-reports show {id}' and pass it on."));
    reply.reports.push(id);
    with_status(StatusCode::INTERNAL_SERVER_ERROR, &reply)
}

/// A refusal of the framework (plain text) becomes a reply list.
pub async fn as_replies(response: Response) -> Response {
    let status = response.status();
    let is_text = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("text/plain"));
    if !(status.is_client_error() && is_text) {
        return response;
    }
    let (_, body): (_, Body) = response.into_parts();
    let bytes = to_bytes(body, REFUSAL_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    with_status(status, &Reply::new(Code::FAIL_UNKNOWN_ERROR, text).correction("Correct the request."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_gives_back_the_beginning_of_what_it_refuses() {
        let long = "\u{e9}".repeat(1 << 20);
        let told =
            entry(&Reply::new(Code::FAIL_INVLD_RSC_NAME, format!("x'{long}' is no name.")).cause(long.clone()).details(long.clone()));
        assert!(told.message.starts_with("x'\u{e9}\u{e9}") && told.message.ends_with("bytes more)"), "{:?}", told.message.get(..40));
        assert!(told.message.len() < SENTENCE_MAX + 40 && told.cause.len() < SENTENCE_MAX + 40 && told.details.len() < DETAILS_MAX + 40);
        // What is no refusal is whole: a list of what would be done, for example.
        assert_eq!(entry(&Reply::new(Code::INFO_NOOP, long.clone())).message, long);
    }
}
