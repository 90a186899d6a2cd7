//! Docker's side: the volume plugin protocol, HTTP over a socket of this host.
//!
//! Source: docs.docker.com, "Volume plugins" and "Plugin API". A body is read whatever its type is called: dockerd sends none.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use berth_plugin_sdk::{Fault, FaultKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::volumes::{Seen, Volumes, line};

/// The protocol's type of documents.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// Largest body of a request.
const LARGEST: usize = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Request {
    name: String,
    #[serde(rename = "ID")]
    id: String,
    opts: Option<BTreeMap<String, Value>>,
}

/// Values are texts; numbers and flags of a hurried compose file are taken as what they look like.
fn options(opts: Option<BTreeMap<String, Value>>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    };
    opts.unwrap_or_default().into_iter().map(|(key, value)| (key, text(value))).collect()
}

fn volume(seen: &Seen, whole: bool) -> Value {
    let mut document = json!({"Name": seen.name, "Mountpoint": seen.mountpoint});
    if !seen.created_at.is_empty() {
        document["CreatedAt"] = json!(seen.created_at);
    }
    if whole {
        document["Status"] = seen.status.clone();
    }
    document
}

/// Carries out one call; it may take as long as storage takes.
pub fn answer(volumes: &Volumes, call: &str, body: &[u8], scope: &str) -> Result<Value, Fault> {
    let request: Request = if body.iter().all(u8::is_ascii_whitespace) {
        Request::default()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Fault::new(FaultKind::Unsupported, "The request is no JSON of this protocol").cause(error.to_string()))?
    };
    let done = |()| json!({"Err": ""});
    let needs_name = |text: &str| {
        if text.is_empty() { Err(Fault::new(FaultKind::Unsupported, "The request names no volume")) } else { Ok(()) }
    };
    if !["Capabilities", "List"].contains(&call) {
        needs_name(&request.name)?;
    }
    if ["Mount", "Unmount"].contains(&call) && request.id.is_empty() {
        // Who has a volume is known by it.
        return Err(Fault::new(FaultKind::Unsupported, "The request has no ID"));
    }
    match call {
        "Capabilities" => Ok(json!({"Capabilities": {"Scope": scope}})),
        "Create" => volumes.create(&request.name, &options(request.opts)).map(done),
        "Remove" => volumes.remove(&request.name).map(done),
        "Mount" => volumes.mount(&request.name, &request.id).map(|path| json!({"Mountpoint": path, "Err": ""})),
        "Unmount" => volumes.unmount(&request.name, &request.id).map(done),
        "Path" => volumes.path(&request.name).map(|path| json!({"Mountpoint": path, "Err": ""})),
        "Get" => volumes.get(&request.name).map(|seen| json!({"Volume": volume(&seen, true), "Err": ""})),
        "List" => volumes.list().map(|all| json!({"Volumes": all.iter().map(|seen| volume(seen, false)).collect::<Vec<_>>(), "Err": ""})),
        other => Err(Fault::new(
            FaultKind::Unsupported,
            format!("'{}' is no call of the volume protocol", other.chars().take(40).collect::<String>()),
        )),
    }
}

fn respond(result: Result<Value, Fault>) -> Response {
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"Err": line(&fault)})),
    };
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

/// What calls are answered with.
#[derive(Clone)]
pub struct Serving {
    /// The volumes.
    pub volumes: Arc<Volumes>,
    /// `global` or `local`.
    pub scope: String,
    /// Told of each call with how it ended.
    pub log: Arc<dyn Fn(&str) + Send + Sync>,
}

/// The routes of the protocol.
pub fn routes(serving: Serving) -> Router {
    let call =
        async |State(serving): State<Serving>, method: Method, Path(call): Path<String>, body: Result<Bytes, BytesRejection>| -> Response {
            if method != Method::POST {
                return respond(Err(Fault::new(
                    FaultKind::Unsupported,
                    format!("Calls of the volume protocol are sent with POST, and not {method}"),
                )));
            }
            let body = match body {
                Ok(body) => body,
                Err(error) => {
                    return respond(Err(Fault::new(FaultKind::Unsupported, "The request cannot be read").cause(error.to_string())));
                }
            };
            let work = tokio::task::spawn_blocking(move || {
                let result = answer(&serving.volumes, call.strip_prefix("VolumeDriver.").unwrap_or_default(), &body, &serving.scope);
                let ended = result.as_ref().map_or_else(line, |_| "done".to_owned());
                (serving.log)(&format!("{}: {ended}", call.chars().take(64).collect::<String>().escape_debug()));
                result
            });
            let panicked = |_| Err(Fault::new(FaultKind::Bug, "The plugin panicked").correction("Report this with the satellite's log"));
            respond(work.await.unwrap_or_else(panicked))
        };
    let unknown = async || respond(Err(Fault::new(FaultKind::Unsupported, "The volume protocol has no such call")));
    Router::new()
        .route("/Plugin.Activate", post(async || respond(Ok(json!({"Implements": ["VolumeDriver"]})))))
        .route("/{call}", any(call))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(serving)
}
