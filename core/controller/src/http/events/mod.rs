//! Streams of events (server-sent events): LINSTOR's of nodes and of promotion (contract 11.1), and Berth's own of every change.

mod feed;
mod pump;
mod render;
mod stream;
#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use berth_model::codes::Code;
use berth_model::reply::Reply;

pub use feed::Feed;
pub(crate) use feed::{News, NodeChange};
pub(crate) use pump::pump;

use super::answer::with_status;
use super::call::{Answered, Call};
use super::spec::{Op, Routes};
use feed::{Listener, Name, STREAMS_MAX};
use render::Place;
use stream::Stream;

/// The header with which a client that comes back says what it has.
const LAST: &str = "last-event-id";

/// The operations.
pub fn routes() -> Routes {
    Routes::new("Events")
        .get(
            "/v1/events/nodes",
            nodes,
            Op::events("Nodes that are made, changed, deleted, evicted, evacuated and restored, as they happen."),
        )
        .get(
            "/v1/events/drbd/promotion",
            promotion,
            Op::events("Whether DRBD would let a replica become Primary, as it changes; 'Last-Event-ID: current' begins with all."),
        )
        .get(
            "/v1/berth/events",
            changes,
            Op::events("Every change and every state that was seen, as they happen; goes on after 'Last-Event-ID'.")
                .text("after", "Goes on after the event with this id, or after this serial, where the header cannot be set."),
        )
}

async fn nodes(headers: HeaderMap, call: Call) -> Answered {
    let listener = open(&headers, &call, Name::Nodes)?;
    Ok(answer(Stream::following(&call.controller, call.pass, listener, false)))
}

async fn promotion(headers: HeaderMap, call: Call) -> Answered {
    let listener = open(&headers, &call, Name::Promotion)?;
    let current = last(&headers).is_some_and(|text| text.eq_ignore_ascii_case("current"));
    Ok(answer(Stream::following(&call.controller, call.pass, listener, current)))
}

/// `?after=ID` stands for the header where a client cannot set one; the header, which a client sends that comes back, is newer.
async fn changes(headers: HeaderMap, call: Call) -> Answered {
    let query = call.query.first("after").filter(|text| !text.is_empty());
    let after = last(&headers).filter(|text| !text.is_empty()).or(query);
    let after = after.map(|text| Place::parse(text).ok_or_else(|| no_serial(text))).transpose()?;
    let listener = open(&headers, &call, Name::Changes)?;
    Ok(answer(Stream::changes(&call.controller, call.pass, listener, after).await))
}

fn last(headers: &HeaderMap) -> Option<&str> {
    headers.get(LAST).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn no_serial(text: &str) -> Response {
    let reply = Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is no id of an event."))
        .cause("Events go on after the last one that the client has, by its 'id' or its serial.")
        .correction("Send it as the header Last-Event-ID or as 'after', or leave both out for what happens from now on.");
    with_status(StatusCode::BAD_REQUEST, &reply)
}

/// Whether the client takes a stream; one that only takes JSON would wait for its end.
fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let kind = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    !headers.contains_key(header::ACCEPT) || accepted.any(|text| matches!(kind(text).as_str(), "text/event-stream" | "text/*" | "*/*"))
}

fn open(headers: &HeaderMap, call: &Call, name: Name) -> Result<Listener, Response> {
    if !takes_events(headers) {
        let reply = Reply::new(Code::FAIL_INVLD_REQUEST, "This is a stream of events, which the request does not accept.")
            .cause("The header Accept names other types only.")
            .correction("Send 'Accept: text/event-stream'.");
        return Err(with_status(StatusCode::NOT_ACCEPTABLE, &reply));
    }
    call.controller.feed().join(name, || call.controller.view()).ok_or_else(|| {
        let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("There are {STREAMS_MAX} streams of events already."))
            .correction("Close some; several programs on one machine can share a stream.");
        with_status(StatusCode::SERVICE_UNAVAILABLE, &reply)
    })
}

fn answer(stream: Stream) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that keep answers back until they are whole would keep this one for ever.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, stream.into_body()).into_response()
}
