//! New names, an operation of Berth's own.

use axum::http::StatusCode;
use berth_api::lenient::{Text, text};
use berth_engine::command::Command;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::call::{Answered, Call};
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    Routes::new("Renaming")
        .post(
            "/v1/berth/resource-definitions/{resource}/rename",
            definition,
            Op::changes("Gives a resource definition another name.").body::<Rename>(),
        )
        .post("/v1/berth/resource-groups/{group}/rename", group, Op::changes("Gives a resource group another name.").body::<Rename>())
        .post(
            "/v1/berth/resource-definitions/{resource}/snapshots/{snapshot}/rename",
            snapshot,
            Op::changes("Gives a snapshot another name.").body::<Rename>(),
        )
}

/// The body of each of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["new_name"]))]
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
