//! All that a request brings, gathered once.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequest, Query, RawPathParams, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use berth_engine::command::Command;
use berth_model::access::{Caller, Role};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::answer;
use super::body::{self, Taken};
use super::dry::{self, Mode};
use super::query::Pairs;
use crate::gate::Pass;
use crate::{Controller, View};

/// What a handler answers: both sides are answers.
pub type Answered = Result<Response, Response>;

/// A request.
pub struct Call {
    /// The controller.
    pub controller: Controller,
    /// Query pairs.
    pub query: Pairs,
    /// Whether it is only asked what would happen.
    pub mode: Mode,
    /// Whether the client takes gzip.
    pub takes_gzip: bool,
    /// Who asks; signed in by `super::guard`.
    pub caller: Caller,
    /// What they showed for that.
    pub pass: Pass,
    path: Vec<(String, String)>,
    /// The path as it was sent.
    raw_path: String,
    body: Taken,
    origin: String,
}

impl FromRequest<Controller> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, controller: &Controller) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let path = {
            use axum::extract::FromRequestParts;
            let params = RawPathParams::from_request_parts(&mut parts, controller).await.map_err(IntoResponse::into_response)?;
            params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let query = Pairs::new(Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(IntoResponse::into_response)?.0);
        query.check()?;
        let mode = Mode::of(&query)?;
        let raw_path = parts.uri.path().to_owned();
        let origin = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or_else(String::new, |peer| peer.0.to_string());
        // Without the guard nobody is known, and nobody may do anything.
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or_else(|| Caller::new("", Role::Viewer));
        let pass = parts.extensions.get::<Pass>().cloned().unwrap_or_default();
        let takes_gzip = super::lists::takes_gzip(&parts.headers);
        let writes = !matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
        let body = if matches!(parts.method, Method::GET | Method::HEAD) {
            body::drain(body).await;
            Taken::default()
        } else {
            body::read(controller.bodies(), &parts.headers, body, controller.body_within()).await?
        };
        // Also what reads no body does nothing for a client that sent something which cannot have been meant.
        if writes
            && !body.trim_ascii().is_empty()
            && let Err(error) = serde_json::from_slice::<IgnoredAny>(&body)
        {
            return Err(answer::unreadable(&error.to_string()));
        }
        Ok(Self { controller: controller.clone(), query, mode, takes_gzip, caller, pass, path, raw_path, body, origin })
    }
}

impl Call {
    /// A part of the path, decoded; empty: the path has none of that name.
    pub fn part(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The part of the path after `before`, decoded as forms are: `+` is a blank there. Known clients send names of files like this.
    pub fn form_part(&self, before: &str) -> String {
        let mut parts = self.raw_path.split('/');
        let raw = parts.by_ref().find(|part| *part == before).and_then(|_| parts.next()).unwrap_or_default();
        let pair = format!("/?part={}", raw.replace('&', "%26")).parse().ok();
        let decoded = pair.and_then(|uri| Query::<Vec<(String, String)>>::try_from_uri(&uri).ok());
        decoded.and_then(|Query(pairs)| pairs.into_iter().next()).map(|(_, value)| value).unwrap_or_default()
    }

    /// The part of the path as text.
    pub fn text(&self, name: &str) -> String {
        self.part(name).to_owned()
    }

    /// A number in the path; text that is none names no object, so the path does not exist.
    pub fn number(&self, name: &str) -> Result<i64, Response> {
        let text = self.part(name);
        text.parse().map_err(|_| {
            answer::replies(
                &[berth_model::reply::Reply::new(
                    berth_model::codes::Code::FAIL_NOT_FOUND_VLM_DFN,
                    format!("'{text}' is not a volume number."),
                )
                .correction("Use a number from 0 to 65534.")],
                StatusCode::NOT_FOUND,
            )
        })
    }

    /// The document in the body.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Response> {
        if self.body.trim_ascii().is_empty() {
            return Err(answer::unreadable("the body is empty"));
        }
        read(&self.body, b'{')
    }

    /// The text in the body.
    pub fn text_body(&self) -> Result<String, Response> {
        read(&self.body, b'"')
    }

    /// The list of documents in the body.
    pub fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, Response> {
        read(&self.body, b'[')
    }

    /// The document in the body; a missing body or `null` means all defaults.
    pub fn body_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Response> {
        match self.body.trim_ascii() {
            b"" | b"null" => Ok(T::default()),
            body => read(body, b'{'),
        }
    }

    /// The body as it is; `null` where there is none. For operations that read no document of it.
    pub fn any(&self) -> Result<serde_json::Value, Response> {
        match self.body.trim_ascii() {
            b"" => Ok(serde_json::Value::Null),
            body => serde_json::from_slice(body).map_err(|error| answer::unreadable(&error.to_string())),
        }
    }

    /// The state of now.
    pub fn view(&self) -> View {
        self.controller.view()
    }

    /// Carries out a command and answers with its reply list; in a dry run, with what it would do.
    pub async fn submit(&self, command: Command, success: StatusCode) -> Response {
        let success = if self.mode == Mode::Real { success } else { StatusCode::OK };
        self.submit_plain(command).await.map_or_else(|plan| plan, |replies| answer::replies(&replies, success))
    }

    /// Puts what was done into the log, where no command says it. What was done stays done if the log cannot have it; that is told, then.
    pub async fn note(&self, what: serde_json::Value) {
        if let Err(replies) = self.controller.note(&what, &self.caller, &self.origin).await {
            let why = replies.iter().map(|reply| reply.message.as_str()).collect::<Vec<_>>().join(" ");
            tracing::warn!(actor = self.caller.name, %what, why, "something was done that the log of changes does not have");
        }
    }

    /// Carries out a command; in a dry run the entries say what it would do.
    ///
    /// # Errors
    /// The whole answer, if a document is asked for in place of entries.
    pub async fn submit_plain(&self, command: Command) -> Result<Vec<berth_model::reply::Reply>, Response> {
        if self.mode == Mode::Real {
            return Ok(self.controller.submit(command, &self.caller, &self.origin).await.replies);
        }
        match self.controller.preview(&command, &self.caller) {
            Ok(preview) if self.mode == Mode::Plan => {
                Err(answer::json(answer::status(&preview.replies, StatusCode::OK), &dry::plan(&preview)))
            }
            Ok(preview) => Ok(dry::words(&preview)),
            Err(replies) => Ok(replies),
        }
    }
}

/// Reads JSON that must begin with `first`: serde would take a list for an object, member by member.
fn read<T: DeserializeOwned>(body: &[u8], first: u8) -> Result<T, Response> {
    let value = serde_json::from_slice(body).map_err(|error| answer::unreadable(&error.to_string()))?;
    if body.trim_ascii_start().first() == Some(&first) {
        return Ok(value);
    }
    Err(answer::unreadable(match first {
        b'{' => "the body is not a JSON object",
        b'"' => "the body is not a JSON text",
        _ => "the body is not a JSON list",
    }))
}
