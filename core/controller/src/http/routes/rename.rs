//! New names, an operation of Berth's own.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use berth_api::lenient::{Text, text};
use berth_engine::command::Command;
use serde::Deserialize;

use crate::Controller;
use crate::http::call::{Answered, Call};

/// The operations of this kind.
pub fn routes() -> Router<Controller> {
    Router::new()
        .route("/v1/berth/resource-definitions/{resource}/rename", post(definition))
        .route("/v1/berth/resource-groups/{group}/rename", post(group))
        .route("/v1/berth/resource-definitions/{resource}/snapshots/{snapshot}/rename", post(snapshot))
}

/// The body of each of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rename {
    /// The name from now on.
    new_name: Option<Text>,
}

fn new_name(call: &Call) -> Result<String, axum::response::Response> {
    let body: Rename = call.body()?;
    Ok(text(body.new_name).unwrap_or_default())
}

async fn definition(call: Call) -> Answered {
    let command = Command::RenameResourceDefinition { name: call.text("resource"), new_name: new_name(&call)? };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn group(call: Call) -> Answered {
    Ok(call.submit(Command::RenameResourceGroup { name: call.text("group"), new_name: new_name(&call)? }, StatusCode::OK).await)
}

async fn snapshot(call: Call) -> Answered {
    let (resource, name) = (call.text("resource"), call.text("snapshot"));
    Ok(call.submit(Command::RenameSnapshot { resource, name, new_name: new_name(&call)? }, StatusCode::OK).await)
}
