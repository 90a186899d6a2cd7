//! The support bundle.

use axum::http::StatusCode;
use axum::response::Response;
use berth_model::codes::Code;
use berth_model::reply::Reply;

use crate::http::answer;
use crate::http::call::{Answered, Call};
use crate::http::spec::{Op, Routes};

/// Log entries in a bundle where the request does not say.
const ENTRIES: usize = 10_000;

/// The operations.
pub fn routes() -> Routes {
    Routes::new("Support").get(
        "/v1/berth/bundle",
        bundle,
        Op::answers::<serde_json::Map<String, serde_json::Value>>("The state and the newest part of the log, without secrets.")
            .number("log", "At most so many log entries; 10,000 if not given."),
    )
}

/// `?log=N`: at most so many of the newest log entries.
async fn bundle(call: Call) -> Answered {
    let entries = match call.query.first("log").filter(|text| !text.is_empty()) {
        None => ENTRIES,
        Some(text) => text.parse().map_err(|_| not_a_number(text))?,
    };
    match call.controller.bundle(entries).await {
        Ok(bundle) => Ok(answer::json(StatusCode::OK, &bundle)),
        Err(error) => Err(answer::refusal(
            Reply::new(Code::FAIL_SQL, "The support bundle could not be made.").cause(format!("{error}.")).correction(error.correction()),
        )),
    }
}

fn not_a_number(text: &str) -> Response {
    answer::refusal(
        Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is not a number of log entries."))
            .correction("Give 'log' as a whole number, or leave it out for the newest 10,000."),
    )
}
