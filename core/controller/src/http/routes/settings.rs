//! The controller's own: properties, version, key-value stores, error reports, health.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use berth_api::lenient::{Int, Text, int, plain, text, texts};
use berth_api::node::PropsModify;
use berth_api::settings::{ControllerVersion, Count, ErrorReport as ReportDocument, KeyValueModify, KeyValueStore, PropertyInfo};
use berth_engine::command::Command;
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::props::{INFO_SECTIONS, Owner};
use berth_model::reply::Reply;
use schemars::JsonSchema;
use serde::Deserialize;

use super::inputs;
use crate::ErrorReport;
use crate::http::answer::{document, refusal, replies};
use crate::http::call::{Answered, Call};
use crate::http::dry::Mode;
use crate::http::metrics;
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The version of the API that is served; clients choose features by it (contract 3).
const REST_API_VERSION: &str = "1.28.0";
/// When this program was built, if whoever built it said so.
const BUILD_TIME: &str = match option_env!("BERTH_BUILD_TIME") {
    Some(time) => time,
    None => "unknown",
};
/// Error reports in one answer where no limit is given.
const REPORTS_AT_ONCE: usize = 1000;

/// The operations of this kind.
pub fn routes() -> Routes {
    let with_content = "Whether each shows its text.";
    let store_of = "/v1/key-value-store/{store}";
    Routes::new("Controller")
        .get("/", root, Op::other("The first page.", "text/html"))
        .get(
            "/health",
            health,
            Op::other("Says whether the controller does its work; warnings stand in the body.", "text/plain")
                .reply_other(500, "text/plain"),
        )
        .get(
            "/metrics",
            metrics::metrics,
            Op::other("Metrics for Prometheus.", "text/plain")
                .flag("resource", "Whether those of resources are there.")
                .flag("storage_pool", "Whether those of storage pools are there.")
                .flag("error_reports", "Whether those of error reports are there."),
        )
        .get(
            "/metrics/scrape-target",
            metrics::scrape_targets,
            Op::answers::<Vec<metrics::Targets>>("Where Prometheus finds the exporters of the satellites."),
        )
        .get("/v1/controller/version", version, Op::answers::<ControllerVersion>("Says which program and which API this is."))
        .get(
            "/v1/controller/properties",
            properties,
            Op::answers::<BTreeMap<String, String>>("Shows the properties of the controller, which hold for the whole cluster."),
        )
        .post(
            "/v1/controller/properties",
            modify_properties,
            Op::creates("Changes properties of the controller.").may_have::<PropsModify>(),
        )
        .get("/v1/controller/properties/info", || infos(Owner::Controller), property_infos("the controller"))
        .get(
            "/v1/controller/properties/info/all",
            all_infos,
            Op::answers::<BTreeMap<String, Section>>("Lists the properties of every kind of object, with their rules."),
        )
        .delete("/v1/controller/properties/{*key}", delete_property, Op::changes("Deletes a property of the controller."))
        .get("/v1/key-value-store", stores, Op::list::<KeyValueStore>("Lists the key-value stores with what is in them."))
        .get(store_of, store, Op::answers::<Vec<KeyValueStore>>("Shows a key-value store, as a list of one."))
        .put(store_of, modify_store, Op::changes("Changes a key-value store; makes it where there is none.").may_have::<KeyValueModify>())
        .delete(store_of, remove_store, Op::changes("Deletes a key-value store."))
        .get(
            "/v1/error-reports",
            reports,
            Op::answers::<Vec<ReportDocument>>("Lists the error reports, newest first.")
                .texts("node", "Only those of these nodes.")
                .number("since", "Only those from this moment on, in milliseconds since 1970.")
                .number("to", "Only those until this moment, in milliseconds since 1970.")
                .flag("withContent", with_content)
                .number("limit", "At most so many; 1000 if not given.")
                .number("offset", "Not looked at."),
        )
        .patch(
            "/v1/error-reports",
            delete_reports,
            Op::changes("Deletes error reports: those that every given condition fits.").without_plan().may_have::<WhichReports>(),
        )
        .get(
            "/v1/error-reports/{report}",
            report,
            Op::answers::<Vec<ReportDocument>>("Shows an error report, as a list of one or none.").flag("withContent", with_content),
        )
        .delete("/v1/error-reports/{report}", delete_report, Op::changes("Deletes an error report.").without_plan())
        .get(
            "/v1/stats/error-reports",
            async |call: Call| document(&Count { count: call.controller.reports().count() }),
            Op::answers::<Count>("Counts the error reports."),
        )
}

/// The description of a list of properties.
pub fn property_infos(of: &str) -> Op {
    Op::answers::<Section>(format!("Lists the properties of {of}, with their rules."))
}

/// A list of properties with their rules, as clients show it.
pub async fn infos(owner: Owner) -> Response {
    document(&section(owner))
}

/// The properties of one kind of object with their rules, by key.
pub type Section = BTreeMap<&'static str, PropertyInfo>;

/// Those of this kind.
pub fn section(owner: Owner) -> Section {
    let told = berth_model::props::infos(owner).map(|info| {
        let told =
            PropertyInfo { info: info.info, prop_type: info.prop_type, value: info.value.as_deref(), dflt: info.dflt, unit: info.unit };
        (info.key, told)
    });
    told.collect()
}

async fn all_infos() -> Response {
    let sections: BTreeMap<_, _> = INFO_SECTIONS.iter().map(|(name, owner)| (*name, owner.map(section).unwrap_or_default())).collect();
    document(&sections)
}

async fn root() -> Response {
    let page = concat!(
        "<!DOCTYPE html>\n<html><head><title>Berth</title></head><body><h1>Berth ",
        env!("CARGO_PKG_VERSION"),
        "</h1><p>The REST API is at <a href=\"/v1/nodes\">/v1</a>; try <code>linstor node list</code>.</p></body></html>\n"
    );
    axum::response::Html(page).into_response()
}

/// 200 while the controller does its work; warnings stand in the body then, because clients look for exactly 200.
async fn health(call: Call) -> Response {
    let health = call.controller.health();
    if health.failures.is_empty() {
        (StatusCode::OK, health.warnings.join("\n")).into_response()
    } else {
        let lines: Vec<String> = health.failures.into_iter().chain(health.warnings).collect();
        (StatusCode::INTERNAL_SERVER_ERROR, lines.join("\n")).into_response()
    }
}

async fn version() -> Response {
    document(&ControllerVersion {
        version: "1.34.0",
        git_hash: concat!("berth-", env!("CARGO_PKG_VERSION")),
        build_time: BUILD_TIME,
        rest_api_version: REST_API_VERSION,
    })
}

async fn properties(call: Call) -> Response {
    document(&views::props(&call.view().cluster.controller.props))
}

async fn modify_properties(call: Call) -> Answered {
    let body: PropsModify = call.body_or_default()?;
    Ok(call.submit(Command::ModifyController { props: inputs::change(body) }, StatusCode::CREATED).await)
}

async fn delete_property(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteControllerProperty { key: call.text("key") }, StatusCode::OK).await)
}

fn store_document(name: &berth_model::names::KvsName, store: &berth_model::objects::KeyValueStore) -> KeyValueStore {
    KeyValueStore { name: name.to_string(), props: store.props.clone() }
}

async fn stores(call: Call) -> Response {
    let view = call.view();
    let page = call.query.page(view.cluster.stores.iter());
    document(&page.into_iter().map(|(name, store)| store_document(name, store)).collect::<Vec<_>>())
}

async fn store(call: Call) -> Answered {
    let view = call.view();
    let name = lookup::kvs_name(call.part("store")).map_err(refused)?;
    match view.cluster.stores.get_key_value(&name) {
        Some((name, store)) => Ok(document(&[store_document(name, store)])),
        None => Err(refusal(
            Reply::new(Code::FAIL_NOT_FOUND_KVS, format!("Key-value store '{name}' does not exist."))
                .correction("List them with 'linstor key-value-store list'."),
        )),
    }
}

async fn modify_store(call: Call) -> Answered {
    let body: KeyValueModify = call.body_or_default()?;
    let expected = body.expected_props.unwrap_or_default();
    let command = Command::ModifyKeyValueStore {
        name: call.text("store"),
        expected: expected.into_iter().map(|(key, value)| (key, text(value))).collect(),
        override_props: plain(body.props.override_props),
        delete_props: texts(body.props.delete_props).unwrap_or_default(),
        delete_namespaces: texts(body.props.delete_namespaces).unwrap_or_default(),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove_store(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteKeyValueStore { name: call.text("store") }, StatusCode::OK).await)
}

fn report_document(report: &ErrorReport, text: Option<String>) -> ReportDocument {
    ReportDocument {
        node_name: report.node.clone(),
        error_time: report.time.0,
        filename: report.filename.clone(),
        text,
        module: report.module.clone(),
        version: report.version.clone(),
        peer: report.peer.clone(),
        exception: report.exception.clone(),
        exception_message: report.message.clone(),
        origin_file: report.file.clone(),
        origin_method: report.method.clone(),
        origin_line: (report.line > 0).then_some(report.line),
    }
}

fn moment(call: &Call, name: &str) -> Result<Option<i64>, Response> {
    let Some(value) = call.query.first(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| {
        refusal(
            Reply::new(Code::FAIL_INVLD_TIME_PARAM, format!("'{value}' is not a moment."))
                .correction(format!("Give '{name}' in milliseconds since 1970.")),
        )
    })
}

async fn reports(call: Call) -> Answered {
    let (since, to) = (moment(&call, "since")?, moment(&call, "to")?);
    let nodes = call.query.all("node");
    let with_content = call.query.truth("withContent")?.unwrap_or(false);
    let limit = call.query.first("limit").and_then(|text| text.parse().ok()).filter(|limit| *limit > 0).unwrap_or(REPORTS_AT_ONCE);
    let all = call.controller.reports().list();
    let fitting = all.iter().filter(|report| {
        since.is_none_or(|since| report.time.0 >= since)
            && to.is_none_or(|to| report.time.0 <= to)
            && (nodes.is_empty() || nodes.iter().any(|node| node.eq_ignore_ascii_case(&report.node)))
    });
    let documents: Vec<_> = fitting
        .take(limit)
        .map(|report| report_document(report, with_content.then(|| call.controller.reports().text(&report.id)).flatten()))
        .collect();
    Ok(document(&documents))
}

async fn report(call: Call) -> Answered {
    let id = call.part("report");
    let with_content = call.query.truth("withContent")?.unwrap_or(true);
    let documents: Vec<_> = call
        .controller
        .reports()
        .get(id)
        .map(|report| report_document(&report, with_content.then(|| call.controller.reports().text(id)).flatten()))
        .into_iter()
        .collect();
    Ok(document(&documents))
}

/// Deletes the error reports that are chosen, or says in a dry run how many they are.
fn delete_chosen(call: &Call, chosen: impl Fn(&ErrorReport) -> bool) -> Response {
    if call.mode != Mode::Real {
        let count = call.controller.reports().list().iter().filter(|report| chosen(report)).count();
        let reply = Reply::new(Code::INFO_NOOP, format!("Dry run: nothing is changed. The request would delete {count} error reports."));
        return replies(&[reply], StatusCode::OK);
    }
    let count = call.controller.reports().delete(chosen);
    let reply = if count == 0 {
        Reply::new(Code::INFO_NOOP, "No error reports deleted.")
    } else {
        Reply::new(Code::DELETED, format!("{count} error reports deleted."))
    };
    replies(&[reply], StatusCode::OK)
}

/// Which error reports to delete: all conditions that are given must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct WhichReports {
    since: Option<Int>,
    to: Option<Int>,
    nodes: Option<Vec<Text>>,
    exception: Option<Text>,
    version: Option<Text>,
    ids: Option<Vec<Text>>,
}

async fn delete_reports(call: Call) -> Answered {
    let which: WhichReports = call.body_or_default()?;
    let (since, to) = (int(which.since), int(which.to));
    let (exception, version) = (text(which.exception), text(which.version));
    let (nodes, ids) = (texts(which.nodes), texts(which.ids));
    let among = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref().is_none_or(|list| list.is_empty() || list.iter().any(|item| item.eq_ignore_ascii_case(value)))
    };
    let chosen = |report: &ErrorReport| {
        since.is_none_or(|since| report.time.0 >= since)
            && to.is_none_or(|to| report.time.0 <= to)
            && exception.as_ref().is_none_or(|exception| report.exception == *exception)
            && version.as_ref().is_none_or(|version| report.version == *version)
            && among(&nodes, &report.node)
            && among(&ids, &report.id)
    };
    Ok(delete_chosen(&call, chosen))
}

async fn delete_report(call: Call) -> Response {
    let id = call.text("report");
    delete_chosen(&call, |report| report.id == id)
}
