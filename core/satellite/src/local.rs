//! The socket for this machine, `DATA/satellite.sock`, which only its owner can open: state, and attaching and detaching by hand,
//! also with the controller away.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`LocalStatus`] |
//! | `GET /plugins` | [`PluginSeen`] of each |
//! | `POST /plugins` | the same, after they were looked for again |
//! | `GET /resources` | [`ResourceState`] of each |
//! | `POST /calls/<plugin>/<operation>` | what the integration plugin answers to the body; 409: why not |
//! | `POST /resources/<name>/attach`, `…/detach` | its [`ResourceState`] once it came to rest; 404: not in the plan; 409: in use, it stays attached; 504: it did not rest |
//!
//! What was done by hand holds until the next plan that names the resource.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as Name, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use berth_model::names::ResourceName;
use berth_model::plugin::PluginSeen;
use berth_model::time::Timestamp;
use berth_plugin_sdk::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::{Integrations, SatelliteError};
use crate::core::{Event, HandError, LocalStatus, ResourceState};
use crate::keep::Override;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "satellite.sock";
/// How long a request may wait for a resource to come to rest.
const REST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest answer that a client reads.
const ANSWER_MAX: u64 = 64 << 20;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No satellite listens there, or not for this user.
    #[error("no satellite answers at {}", path.display())]
    Away {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It took too long.
    #[error("the satellite did not answer within {} s", CLIENT_TIMEOUT.as_secs())]
    Timeout,
    /// The satellite says no.
    #[error("{0}")]
    Refused(String),
    /// The answer is not understood.
    #[error("the satellite's answer is not understood: {0}")]
    Nonsense(String),
}

/// Opens the socket.
///
/// # Errors
/// [`SatelliteError::Data`] if the folder does not take it.
pub fn bind(data: &Path) -> Result<UnixListener, SatelliteError> {
    let path = data.join(SOCKET);
    let broken = |error: std::io::Error| SatelliteError::Data { path: path.clone(), cause: error.into() };
    // The folder's lock is held: a socket that is there belongs to an earlier life.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(broken(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(broken)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(broken)?;
    Ok(listener)
}

/// Answers on the socket until `stop`.
pub async fn serve(listener: UnixListener, core: mpsc::Sender<Event>, calls: Arc<dyn Integrations>, stop: CancellationToken) {
    let router = Router::new()
        .route("/status", get(status))
        .route("/plugins", get(plugins).post(plugins_again))
        .route("/resources", get(resources))
        .route("/resources/{name}/attach", post(attach))
        .route("/resources/{name}/detach", post(detach))
        .with_state(core)
        .merge(Router::new().route("/calls/{plugin}/{operation}", post(call)).with_state(calls));
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        result = served => if let Err(error) = result {
            tracing::error!(%error, "the local socket is not served any more");
        },
        () = stop.cancelled() => {}
    }
}

fn say(status: StatusCode, text: &str) -> Response {
    (status, Json(serde_json::json!({ "error": text }))).into_response()
}

async fn ask<T: Serialize>(core: &mpsc::Sender<Event>, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Response {
    let (reply, answer) = oneshot::channel();
    if core.send(event(reply)).await.is_err() {
        return say(StatusCode::SERVICE_UNAVAILABLE, "the satellite ends");
    }
    match answer.await {
        Ok(answer) => Json(answer).into_response(),
        Err(_) => say(StatusCode::SERVICE_UNAVAILABLE, "the satellite ends"),
    }
}

async fn status(State(core): State<mpsc::Sender<Event>>) -> Response {
    ask(&core, Event::AskStatus).await
}

async fn plugins(State(core): State<mpsc::Sender<Event>>) -> Response {
    ask(&core, Event::AskPlugins).await
}

async fn plugins_again(State(core): State<mpsc::Sender<Event>>) -> Response {
    ask(&core, Event::LookForPlugins).await
}

async fn resources(State(core): State<mpsc::Sender<Event>>) -> Response {
    ask(&core, Event::AskResources).await
}

async fn attach(State(core): State<mpsc::Sender<Event>>, Name(name): Name<String>) -> Response {
    by_hand(&core, &name, true).await
}

async fn detach(State(core): State<mpsc::Sender<Event>>, Name(name): Name<String>) -> Response {
    by_hand(&core, &name, false).await
}

async fn by_hand(core: &mpsc::Sender<Event>, name: &str, attach: bool) -> Response {
    let name = match ResourceName::parse(name) {
        Ok(name) => name,
        Err(bad) => return say(StatusCode::BAD_REQUEST, &bad.to_string()),
    };
    let (reply, answer) = oneshot::channel();
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    if core.send(Event::ByHand(name, Override { attached: attach, at: Some(now) }, reply)).await.is_err() {
        return say(StatusCode::SERVICE_UNAVAILABLE, "the satellite ends");
    }
    match tokio::time::timeout(REST_TIMEOUT, answer).await {
        Ok(Ok(Ok(state))) => Json(state).into_response(),
        Ok(Ok(Err(HandError::Unknown(why)))) => say(StatusCode::NOT_FOUND, &why),
        Ok(Ok(Err(HandError::InUse(why)))) => say(StatusCode::CONFLICT, &why),
        Ok(Err(_)) => say(StatusCode::SERVICE_UNAVAILABLE, "the satellite ends"),
        Err(_) => say(StatusCode::GATEWAY_TIMEOUT, "the resource did not come to rest yet; 'berth local resources' tells where it stands"),
    }
}

async fn call(State(calls): State<Arc<dyn Integrations>>, Name((plugin, operation)): Name<(String, String)>, input: String) -> Response {
    let work = tokio::task::spawn_blocking(move || calls.call(&plugin, &operation, &input));
    match work.await {
        // What a plugin answers is its own matter, but it is JSON.
        Ok(Ok(text)) => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(answer) => Json(answer).into_response(),
            Err(error) => say(StatusCode::BAD_GATEWAY, &format!("the plugin's answer is no JSON: {error}")),
        },
        Ok(Err(fault)) => say(StatusCode::CONFLICT, &sentences(&fault)),
        Err(_) => say(StatusCode::BAD_GATEWAY, "the call panicked"),
    }
}

/// A fault as one line: what, why, what to do.
fn sentences(fault: &Fault) -> String {
    let parts = [&fault.message, &fault.cause, &fault.correction].map(|part| part.trim().trim_end_matches('.'));
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(". ")
}

/// Has a plugin of the satellite with this data folder carry out an operation; `input` is JSON or empty.
///
/// # Errors
/// [`LocalError`]; [`LocalError::Refused`] with the plugin's words.
pub async fn call_plugin(data: &Path, plugin: &str, operation: &str, input: &str) -> Result<serde_json::Value, LocalError> {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !plain(plugin) || !plain(operation) {
        return Err(LocalError::Refused("names of plugins and operations are letters, digits, '-' and '_'".into()));
    }
    request_with(data, "POST", &format!("/calls/{plugin}/{operation}"), input).await
}

/// State of the satellite with this data folder.
///
/// # Errors
/// [`LocalError`].
pub async fn get_status(data: &Path) -> Result<LocalStatus, LocalError> {
    request(data, "GET", "/status").await
}

/// Plugins of the satellite with this data folder; `again`: it looks for them first.
///
/// # Errors
/// [`LocalError`].
pub async fn plugins_of(data: &Path, again: bool) -> Result<Vec<PluginSeen>, LocalError> {
    request(data, if again { "POST" } else { "GET" }, "/plugins").await
}

/// Resources of the satellite with this data folder.
///
/// # Errors
/// [`LocalError`].
pub async fn get_resources(data: &Path) -> Result<Vec<ResourceState>, LocalError> {
    request(data, "GET", "/resources").await
}

/// Attaches a resource.
///
/// # Errors
/// [`LocalError`]; the state that is answered may still hold a fault.
pub async fn post_attach(data: &Path, resource: &ResourceName) -> Result<ResourceState, LocalError> {
    request(data, "POST", &format!("/resources/{resource}/attach")).await
}

/// Detaches a resource; its data stays.
///
/// # Errors
/// As [`post_attach`]; [`LocalError::Refused`] if somebody uses it: then it stays attached.
pub async fn post_detach(data: &Path, resource: &ResourceName) -> Result<ResourceState, LocalError> {
    request(data, "POST", &format!("/resources/{resource}/detach")).await
}

/// One request by HTTP/1.0, where the end of the connection ends the answer: no client library is needed for that.
async fn request<T: DeserializeOwned>(data: &Path, method: &str, target: &str) -> Result<T, LocalError> {
    request_with(data, method, target, "").await
}

async fn request_with<T: DeserializeOwned>(data: &Path, method: &str, target: &str, input: &str) -> Result<T, LocalError> {
    let path = data.join(SOCKET);
    let away = |source| LocalError::Away { path: path.clone(), source };
    let talk = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream
            .write_all(format!("{method} {target} HTTP/1.0\r\nHost: local\r\nContent-Length: {}\r\n\r\n{input}", input.len()).as_bytes())
            .await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(CLIENT_TIMEOUT, talk).await.map_err(|_| LocalError::Timeout)?.map_err(away)?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| LocalError::Nonsense("it has no body".into()))?;
    if head.split(' ').nth(1) == Some("200") {
        return serde_json::from_str(body).map_err(|error| LocalError::Nonsense(error.to_string()));
    }
    let said = serde_json::from_str::<serde_json::Value>(body).ok();
    let why = said.as_ref().and_then(|value| value.get("error")).and_then(serde_json::Value::as_str);
    Err(LocalError::Refused(why.unwrap_or(head.lines().next().unwrap_or_default()).to_owned()))
}
