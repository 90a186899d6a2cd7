//! SOS reports (contract 11.3): what support needs, in one archive, without secrets.
//!
//! An archive is made of documents that the API has, each asked for by itself and freed of secrets (`model::secrets`), of the support
//! bundle, of the error reports, and of what the daemons logged last, as far as they remember it. What the machines log beside them is left out;
//! the archive says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use berth_api::reply::ApiCallRc;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::inquiry::{self, Question, Support};
use berth_model::names::NodeName;
use berth_model::reply::Reply;
use berth_model::secrets::{hide, hide_in_text};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::answer::{refusal, replies};
use super::call::{Answered, Call};
use super::dry::Mode;
use super::query::refused;
use super::routes;
use super::spec::{Op, Routes};
use crate::{Controller, ErrorReport, Silent};

/// Archives that are kept on the controller; older ones go when a new one is made.
const KEPT: usize = 10;
/// How far error reports go back where the request does not say: a week.
const BACK_MS: i64 = 7 * 24 * 3600 * 1000;
/// Largest document that is taken into an archive.
const DOCUMENT_MAX: usize = 512 << 20;
/// Satellites that are asked at a time.
const ASKED_AT_ONCE: usize = 8;
/// An archive is sent in pieces of this size.
const PIECE: usize = 64 << 10;

/// What is in an archive, for whoever opens it.
const README: &str = "\
A report about a Berth cluster, without secrets.

controller/version.json        which program, and which API
controller/health.txt          whether the controller does its work
controller/metrics.txt         its numbers
controller/bundle.json         the state and the last part of the log: 'cargo xtask sim --bundle FILE' begins with it
controller/jobs.json           open jobs, what blocks each, and the way out
controller/risk.json           what is at risk
controller/controller.log      what the controller logged last, as far as it remembers
controller/error-reports/      error reports of the controller
nodes/NAME/node.json           a node, and what its satellite can do
nodes/NAME/storage-pools.json  its pools
nodes/NAME/resources.json      what is on it, with states
nodes/NAME/differs.json        what was not seen as it is wanted
nodes/NAME/drift.json          what nobody asked for, and what is missing
nodes/NAME/satellite.log       what its satellite logged last, as far as it remembers
nodes/NAME/tools.json          which tools it has, by what each says of its version
nodes/NAME/error-reports/      error reports about the node

What the machines themselves log is not here. Add it where it matters:
  journalctl -u berth-controller -u berth-satellite --since -7d > NODE.log
  drbdadm status, losetup --list, dmesg
";

/// The operations.
pub fn routes() -> Routes {
    let asked = |op: Op| {
        op.texts("nodes", "About these nodes.")
            .texts("rscs", "About the nodes of these resources.")
            .texts("exclude", "Not about these nodes.")
            .number("since", "Error reports from this moment on, in milliseconds since 1970; if not given, of the last seven days.")
            .flag("include-ctrl", "Whether the controller's part is in it.")
            .may_miss()
    };
    Routes::new("SOS reports")
        .get("/v1/sos-report", create, asked(Op::answers_with::<Vec<ApiCallRc>>(201, "Writes an archive on the controller's machine.")))
        .get("/v1/sos-report/download", download, asked(Op::other("Answers an archive (tar, gzip).", "application/octet-stream")))
}

/// What goes into an archive.
#[derive(Debug)]
struct Wanted {
    nodes: BTreeSet<NodeName>,
    controller: bool,
    since_ms: i64,
}

impl Wanted {
    fn of(call: &Call) -> Result<Self, Response> {
        let view = call.view();
        let named = call.query.names("nodes", lookup::node_name)?;
        let resources = call.query.names("rscs", lookup::resource_name)?;
        let exclude = call.query.names("exclude", lookup::node_name)?.unwrap_or_default();
        let mut nodes: BTreeSet<NodeName> = match (&named, &resources) {
            (None, None) => view.cluster.nodes.keys().cloned().collect(),
            (Some(_), _) | (_, Some(_)) => named.clone().unwrap_or_default(),
        };
        for name in nodes.iter().chain(&exclude) {
            lookup::node(&view.cluster, name.as_str()).map_err(refused)?;
        }
        for name in resources.iter().flatten() {
            lookup::definition(&view.cluster, name.as_str()).map_err(refused)?;
            nodes.extend(view.cluster.replicas(name).map(|replica| replica.node.clone()));
        }
        nodes.retain(|name| !exclude.contains(name));
        let since = call.query.first("since").filter(|text| !text.is_empty());
        let since_ms = match since {
            None => crate::state::now().0.saturating_sub(BACK_MS),
            Some(text) => text.parse().map_err(|_| {
                refusal(
                    Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is no moment."))
                        .correction("Give 'since' in milliseconds since 1970, or leave it out for the last seven days."),
                )
            })?,
        };
        Ok(Self { nodes, controller: call.query.truth("include-ctrl")?.unwrap_or(true), since_ms })
    }
}

async fn create(call: Call) -> Answered {
    let wanted = Wanted::of(&call)?;
    if call.mode != Mode::Real {
        let text = format!("Dry run: nothing is changed. An archive about {} nodes would be written.", wanted.nodes.len());
        return Ok(replies(&[Reply::new(Code::INFO_NOOP, text)], StatusCode::OK));
    }
    let (file, name) = archive(&call.controller, &wanted).await.map_err(|error| unmade(&error))?;
    let folder = folder(&call.controller);
    let path = folder.join(&name);
    let kept = path.clone();
    let moved = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        keep(file, &path)?;
        trim(&folder)
    });
    moved.await.map_err(std::io::Error::other).flatten().map_err(|error| unmade(&error))?;
    let reply = Reply::new(Code::CREATED, format!("SOS report created on the controller: {}", kept.display()))
        .details("It holds no secrets, but names and addresses: look at who gets it.")
        .refer("path", kept.display());
    Ok(replies(&[reply], StatusCode::CREATED))
}

async fn download(call: Call) -> Answered {
    let wanted = Wanted::of(&call)?;
    let (file, name) = archive(&call.controller, &wanted).await.map_err(|error| unmade(&error))?;
    let length = file.metadata().map_err(|error| unmade(&error))?.len();
    // The form of the recorded server, which clients take apart.
    let disposition = HeaderValue::try_from(format!("attachment; filename = {name}"))
        .map_err(|_| unmade(&std::io::Error::other("its name is no header")))?;
    let pieces = futures_util::stream::unfold(tokio::fs::File::from_std(file), async |mut file| {
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Bytes::from(piece)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Where archives are kept: beside the error reports.
fn folder(controller: &Controller) -> PathBuf {
    let beside = controller.reports().folder().and_then(Path::parent);
    beside.map_or_else(|| std::env::temp_dir().join("berth-sos-reports"), |folder| folder.join("sos-reports"))
}

fn unmade(error: &std::io::Error) -> Response {
    refusal(
        Reply::new(Code::FAIL_UNKNOWN_ERROR, "The SOS report could not be made.")
            .cause(format!("{error}."))
            .correction("Free some space on the file system of the controller's data folder and of the temporary files, and ask again."),
    )
}

/// Makes an archive in a file that has no name and is gone when nobody holds it; answers it from its beginning, and what it shall be called.
async fn archive(controller: &Controller, wanted: &Wanted) -> std::io::Result<(std::fs::File, String)> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
    let (name, root) = (format!("sos_{now}.tar.gz"), format!("sos_{now}"));
    let (documents_in, packed) = mpsc::channel(1);
    // It compresses and writes, for which no other request shall wait.
    let packing = tokio::task::spawn_blocking(move || pack(&root, packed));
    let gathered = gather(controller, wanted, documents_in).await;
    let file = packing.await.map_err(std::io::Error::other)??;
    gathered?;
    Ok((file, name))
}

/// Hands each document of the archive on. Where nobody takes it any more, whoever should says why.
async fn gather(controller: &Controller, wanted: &Wanted, to: mpsc::Sender<(String, Vec<u8>)>) -> std::io::Result<()> {
    let add = async |file: String, text: Vec<u8>| drop(to.send((file, text)).await);
    add("README.txt".to_owned(), README.as_bytes().to_vec()).await;
    let mut documents: Vec<(String, String)> = Vec::new();
    if wanted.controller {
        for (path, file) in [
            ("/v1/controller/version", "version.json"),
            ("/health", "health.txt"),
            ("/metrics", "metrics.txt"),
            ("/v1/berth/jobs", "jobs.json"),
            ("/v1/berth/risk", "risk.json"),
            ("/v1/berth/bundle", "bundle.json"),
        ] {
            documents.push((path.to_owned(), format!("controller/{file}")));
        }
    }
    for node in &wanted.nodes {
        for (path, file) in [
            (format!("/v1/nodes/{node}"), "node.json"),
            (format!("/v1/view/storage-pools?nodes={node}"), "storage-pools.json"),
            (format!("/v1/view/resources?nodes={node}"), "resources.json"),
            (format!("/v1/berth/diff?node={node}"), "differs.json"),
            (format!("/v1/berth/drift?node={node}"), "drift.json"),
        ] {
            documents.push((path, format!("nodes/{node}/{file}")));
        }
    }
    for (path, file) in documents {
        let text = document(controller, &path).await?;
        add(file, text).await;
    }
    if wanted.controller {
        add("controller/controller.log".to_owned(), lines(&controller.log_control().recent())).await;
    }
    let view = controller.view();
    let nodes: Vec<_> = wanted.nodes.iter().filter_map(|name| view.cluster.nodes.get(name)).collect();
    // A few at a time: each answer is up to half a MiB.
    for few in nodes.chunks(ASKED_AT_ONCE) {
        let told = join_all(few.iter().map(|node| controller.ask(node.id, &Question::Support))).await;
        for (node, told) in few.iter().zip(told) {
            let (log, tools) = of_satellite(told);
            add(format!("nodes/{}/satellite.log", node.name), log).await;
            add(format!("nodes/{}/tools.json", node.name), serde_json::to_vec(&tools)?).await;
        }
    }
    for (report, file) in reports(controller, wanted) {
        let text = controller.reports().text(&report.id).unwrap_or_default();
        add(file, hide_in_text(&text).into_owned().into_bytes()).await;
    }
    Ok(())
}

/// The end of a satellite's log and the versions of its tools; where there is no answer, the log says why.
fn of_satellite(told: Result<inquiry::Answer, Silent>) -> (Vec<u8>, BTreeMap<String, String>) {
    let none = |why: String| (format!("(it was not told: {why})\n").into_bytes(), BTreeMap::new());
    match told {
        Ok(inquiry::Answer::Support(Support { log, tools })) => {
            let tools = tools.into_iter().map(|(tool, said)| (tool, hide_in_text(&said).into_owned())).collect();
            (lines(&log), tools)
        }
        Ok(inquiry::Answer::Refused { why, .. }) => none(why),
        Ok(
            inquiry::Answer::Settings(_)
            | inquiry::Answer::Log(_)
            | inquiry::Answer::Devices { .. }
            | inquiry::Answer::Ran(_)
            | inquiry::Answer::Unknown,
        ) => none("the satellite answers something else than it was asked".to_owned()),
        Err(why) => none(why.to_string()),
    }
}

/// Lines of a log without secrets.
fn lines(log: &[String]) -> Vec<u8> {
    log.iter().flat_map(|line| [hide_in_text(line).into_owned().into_bytes(), b"\n".to_vec()]).flatten().collect()
}

/// The error reports that are wanted, each with its place.
fn reports(controller: &Controller, wanted: &Wanted) -> Vec<(std::sync::Arc<ErrorReport>, String)> {
    let place = |report: &ErrorReport| {
        let node = NodeName::parse(&report.node).ok().filter(|node| wanted.nodes.contains(node));
        match node {
            Some(node) => Some(format!("nodes/{node}/error-reports/{}", report.filename)),
            None if report.module == "Controller" && wanted.controller => Some(format!("controller/error-reports/{}", report.filename)),
            None => None,
        }
    };
    let all = controller.reports().list().into_iter().filter(|report| report.time.0 >= wanted.since_ms);
    all.filter_map(|report| place(&report).map(|file| (report, file))).collect()
}

/// A document of the API without secrets. One that is refused is in the archive with its refusal: that is part of the picture.
async fn document(controller: &Controller, path: &str) -> std::io::Result<Vec<u8>> {
    // Inside: the request was let in already, and no layer is needed that serves a connection.
    let request = Request::builder().uri(path).body(Body::empty()).map_err(std::io::Error::other)?;
    let response = match routes::all().into_router().with_state(controller.clone()).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status();
    let bytes = to_bytes(response.into_body(), DOCUMENT_MAX).await.map_err(std::io::Error::other)?;
    if bytes.is_empty() {
        return Ok(format!("{status}\n").into_bytes());
    }
    Ok(match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut value) => {
            hide(&mut value);
            serde_json::to_vec(&value)?
        }
        Err(_) => hide_in_text(&String::from_utf8_lossy(&bytes)).into_owned().into_bytes(),
    })
}

/// Puts documents into an archive as they come, and answers it from its beginning.
fn pack(root: &str, mut documents: mpsc::Receiver<(String, Vec<u8>)>) -> std::io::Result<std::fs::File> {
    let gzip = flate2::write::GzEncoder::new(nameless()?, flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    let mtime = u64::try_from(crate::state::now().0 / 1000).unwrap_or_default();
    while let Some((file, text)) = documents.blocking_recv() {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(mtime);
        builder.append_data(&mut header, format!("{root}/{file}"), text.as_slice())?;
    }
    let mut file = builder.into_inner()?.finish()?;
    file.flush()?;
    file.rewind()?;
    Ok(file)
}

/// A temporary file that only this process can reach.
fn nameless() -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = std::env::temp_dir().join(format!("berth-sos-{}", uuid::Uuid::new_v4()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Copies an archive to its place, where it is whole or not at all.
fn keep(mut from: std::fs::File, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let part = path.with_extension("part");
    let written = (|| {
        let mut to = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        std::io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        std::fs::rename(&part, path)
    })();
    if written.is_err() {
        // A half one is of no use, and it may be what filled the disk.
        let _gone = std::fs::remove_file(&part);
    }
    written
}

/// Removes all archives but the newest.
fn trim(folder: &Path) -> std::io::Result<()> {
    let mut archives = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let ours =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("sos_") && name.ends_with(".tar.gz"));
        if ours {
            archives.push(path);
        }
    }
    // Their names are their times.
    archives.sort();
    let old = archives.len().saturating_sub(KEPT);
    for path in archives.iter().take(old) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(file = %path.display(), cause = %error, "an old SOS report was not removed");
        }
    }
    Ok(())
}
