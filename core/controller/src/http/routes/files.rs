//! External files.

use axum::http::StatusCode;
use axum::response::Response;
use berth_api::files::{ExternalFile, ExternalFileIn, FileCheck, FileStatus, FileUnknown};
use berth_api::lenient::{text, texts};
use berth_engine::command::Command;
use berth_engine::{files, lookup};
use berth_model::codes::Code;
use berth_model::reply::Reply;

use crate::http::answer::{document, json, refusal, with_status};
use crate::http::call::{Answered, Call};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};

/// The operations of this kind.
pub fn routes() -> Routes {
    let (one_path, deployed) = ("/v1/files/{file}", "/v1/resource-definitions/{resource}/files/{file}");
    Routes::new("Files")
        .get("/v1/files", list, Op::list::<ExternalFile>("Lists the external files.").flag("content", "Whether each shows its content."))
        .get(one_path, one, Op::answers::<ExternalFile>("Shows an external file with its content, which is in base64."))
        .put(one_path, put, Op::changes("Makes or changes an external file.").body::<ExternalFileIn>())
        .delete(one_path, remove, Op::changes("Deletes an external file."))
        .get("/v1/files/{file}/check/{node}", check, Op::answers::<FileCheck>("Says whether the satellite of a node would write the file."))
        .get(
            "/v1/files/{file}/status/{node}",
            status,
            Op::answers::<FileStatus>("Says whether the file is on a node as it is kept.").reply::<FileUnknown>(503),
        )
        .post(deployed, async |call: Call| deploy(call, true).await, Op::changes("Has a file written where the resource is."))
        .delete(deployed, async |call: Call| deploy(call, false).await, Op::changes("Has a file no longer written for the resource."))
}

fn shown(file: &berth_model::files::ExternalFile, content: bool) -> ExternalFile {
    ExternalFile { path: file.path.to_string(), content: content.then(|| file.content.clone()), alt_suffixes: file.alt_suffixes.clone() }
}

async fn list(call: Call) -> Answered {
    let content = call.query.truth("content")?.unwrap_or(false);
    let view = call.view();
    Ok(document(&call.query.page(view.cluster.files.values()).into_iter().map(|file| shown(file, content)).collect::<Vec<_>>()))
}

/// The file that a path names; one that is not there has the number 998, as recorded.
fn found(call: &Call) -> Result<std::sync::Arc<berth_model::files::ExternalFile>, Response> {
    let name = call.form_part("files");
    files::path(&name).map_err(refused)?;
    files::file(&call.view().cluster, &name).cloned().map_err(|_| {
        let reply = Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("External file '{name}' does not exist."))
            .correction("List the files with 'linstor file list'.");
        with_status(StatusCode::NOT_FOUND, &reply)
    })
}

async fn one(call: Call) -> Answered {
    Ok(document(&shown(&*found(&call)?, true)))
}

async fn put(call: Call) -> Answered {
    let body: ExternalFileIn = call.body()?;
    let path = call.form_part("files");
    if let Some(other) = text(body.path).filter(|other| !other.is_empty() && !other.eq_ignore_ascii_case(&path)) {
        return Err(refusal(
            Reply::new(Code::FAIL_INVLD_EXT_FILE_NAME, format!("The path of the request is '{path}', that of its body '{other}'."))
                .correction("Give one path, or leave it out of the body."),
        ));
    }
    let command = Command::PutFile { path, content: text(body.content), alt_suffixes: texts(body.alt_suffixes) };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteFile { path: call.form_part("files") }, StatusCode::OK).await)
}

async fn deploy(call: Call, deployed: bool) -> Response {
    let (resource, path) = (call.text("resource"), call.form_part("files"));
    call.submit(Command::DeployFile { resource, path, deployed }, StatusCode::OK).await
}

/// Whether the node's satellite would write it.
async fn check(call: Call) -> Answered {
    let view = call.view();
    let path = files::path(&call.form_part("files")).map_err(refused)?;
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    if !view.observed.online(&node.name) {
        return Err(refusal(
            Reply::new(Code::FAIL_UNKNOWN_ERROR, format!("No connection to satellite '{}'; what it allows is not known.", node.name))
                .correction("Try again when the node is online: 'linstor node list'."),
        ));
    }
    let able = view.observed.nodes.get(&node.name).and_then(|seen| seen.capabilities.as_ref());
    Ok(document(&FileCheck { allowed: able.is_some_and(|able| able.allows_file(&path)) }))
}

/// Whether the node has it as it is kept, as its satellite saw it last: it looks after each change of its plan, and now and then.
async fn status(call: Call) -> Answered {
    let file = found(&call)?;
    let view = call.view();
    let node = lookup::node(&view.cluster, call.part("node")).map_err(refused)?;
    if !view.observed.online(&node.name) {
        let message = format!("No connection to satellite '{}'; what it has is not known.", node.name);
        return Ok(json(StatusCode::SERVICE_UNAVAILABLE, &FileUnknown { message }));
    }
    let seen = view.observed.file(&node.name, &file.path);
    let fault = seen.and_then(|seen| seen.fault.as_ref());
    Ok(document(&FileStatus {
        actual_path: seen.and_then(|seen| seen.actual_path.clone()),
        content_match: seen.is_some_and(|seen| seen.content_match),
        message: fault.map(|fault| fault.message.clone()),
        cause: fault.map(|fault| fault.cause.clone()),
        correction: fault.map(|fault| fault.correction.clone()),
    }))
}
