//! The REST API v1: documents to commands, the published state to documents. Handlers translate; the engine judges.
//!
//! Every operation takes a `Call`, which holds all that a request brings, and answers with a document or a reply list.
//! Whatever goes wrong on the way is a reply list, too, so that clients find one form everywhere.

mod answer;
mod body;
mod call;
mod dry;
mod events;
mod guard;
mod lists;
mod metrics;
mod query;
mod routes;
mod sos;
mod spec;
#[cfg(test)]
mod tests;
mod views;

pub use body::Bodies;
pub use events::Feed;
pub(crate) use events::{News, NodeChange, pump};
pub use lists::Lists;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use tracing::Instrument;

use crate::Controller;

/// Smallest reply that is compressed, in bytes (contract 1.3).
const GZIP_FROM: u16 = 1000;

/// All operations, on one controller.
pub fn router(controller: Controller) -> Router {
    let on_panic = controller.clone();
    routes::all()
        .into_router()
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_verb)
        .layer(axum::middleware::from_fn(dry::check))
        .layer(axum::middleware::from_fn_with_state(controller.clone(), guard::check))
        .layer(axum::middleware::map_response(finish))
        .layer(CatchPanicLayer::custom(move |panic| answer::panicked(&on_panic, panic)))
        // The fastest level: lists of megabytes are asked for often, and mostly over a local network.
        // Events go out one by one, and archives are compressed already.
        .layer(CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest).compress_when(
            SizeAbove::new(GZIP_FROM).and(NotForContentType::SSE).and(NotForContentType::const_new("application/octet-stream")),
        ))
        .layer(axum::middleware::from_fn(traced))
        .with_state(controller)
}

/// A span for each request. Its query is left out: it may hold what is nobody's business.
async fn traced(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("request", method = %request.method(), path = request.uri().path(), status = tracing::field::Empty);
    // Whoever asks may be traced, too.
    if let Some(place) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
        berth_proto::trace::below(&span, place);
    }
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    response
}

/// Words of the API in a place where names of objects stand, too: the verb that means the word, and the path of an object of that name,
/// spelt so that it is not taken for the word.
const WORDS: [(&str, &str, &str); 5] = [
    ("POST", "/v1/resource-groups/adjustall", "/v1/resource-groups/%61djustall"),
    ("POST", "/v1/nodes/ebs", "/v1/nodes/%65bs"),
    // Here the word is a remote's name, and what follows is a word or the name of a remote.
    ("PUT", "/v1/remotes/s3/backups", "/v1/remotes/%733/backups"),
    ("PUT", "/v1/remotes/linstor/backups", "/v1/remotes/%6cinstor/backups"),
    ("PUT", "/v1/remotes/ebs/backups", "/v1/remotes/%65bs/backups"),
];

/// `x/` and `x?` mean `x`, and a word of the API with another verb an object of that name: to be applied before routing (see `serve`).
pub fn normal_path(mut request: Request) -> Request {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    let named = WORDS.iter().find(|(verb, word, _)| *word == trimmed && request.method() != *verb);
    let trimmed = named.map_or(trimmed, |(.., name)| name);
    if trimmed != path && !trimmed.is_empty() {
        let text = match request.uri().query() {
            Some(query) if !query.is_empty() => format!("{trimmed}?{query}"),
            _ => trimmed.to_owned(),
        };
        if let Ok(uri) = text.parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What every reply carries: permission for browsers, and one form for refusals of the framework.
async fn finish(response: Response) -> Response {
    let mut response = answer::as_replies(response).await;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("origin, content-type, accept, authorization"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS, HEAD"));
    response
}
