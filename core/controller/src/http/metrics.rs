//! `/metrics`: LINSTOR's series (contract 11.2) and Berth's own, written by the Prometheus library.
//!
//! What grows with the definitions is written in parts and kept ([`family`]); the rest is written for each request.

pub mod family;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::response::Response;
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
use berth_model::names::NodeName;
use berth_model::observed::ConnectionStatus;
use berth_model::reply::Reply;
use berth_model::time::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::answer::{document, refusal};
use super::call::Call;
use super::lists::{self, Column, Part};
use crate::{Controller, Sample, SampleKind, View};
use family::Family;

/// Port of drbd-reactor's exporter on satellites.
const REACTOR_PORT: u16 = 9942;
/// What the library writes at the end of a text.
const END: &str = "# EOF\n";

/// How often metrics were asked for since the start.
static SCRAPES: AtomicU64 = AtomicU64::new(0);

type Labels = Vec<(&'static str, String)>;

/// One gauge with its rows.
#[derive(Debug)]
struct Series {
    name: &'static str,
    help: &'static str,
    rows: Vec<(Labels, f64)>,
}

/// Everything that one request shows.
#[derive(Debug)]
struct Shown {
    series: Vec<Series>,
    samples: Vec<Sample>,
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for series in &self.series {
            let mut family = encoder.encode_descriptor(series.name, series.help, None, MetricType::Gauge)?;
            for (labels, value) in &series.rows {
                if labels.is_empty() {
                    ConstGauge::new(*value).encode(family)?;
                    break;
                }
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        for sample in &self.samples {
            match sample.kind {
                SampleKind::Counter => {
                    // The library adds the suffix itself.
                    let name = sample.name.trim_end_matches("_total");
                    let counter = ConstCounter::new(sample.value);
                    counter.encode(encoder.encode_descriptor(name, sample.help, None, MetricType::Counter)?)?;
                }
                SampleKind::Gauge => {
                    let gauge = ConstGauge::new(sample.value);
                    gauge.encode(encoder.encode_descriptor(sample.name, sample.help, None, MetricType::Gauge)?)?;
                }
            }
        }
        Ok(())
    }
}

fn float(number: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Metrics are floating point.
    let value = number as f64;
    value
}

fn bytes(kib: u64) -> f64 {
    float(kib) * 1024.0
}

fn count(number: usize) -> f64 {
    float(number as u64)
}

/// The text of some series, without its end.
fn text_of(series: Vec<Series>, samples: Vec<Sample>) -> Result<String, std::fmt::Error> {
    let counters: Vec<&str> =
        samples.iter().filter(|sample| matches!(sample.kind, SampleKind::Counter)).map(|sample| sample.name).collect();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown { series, samples }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    // The library writes OpenMetrics, where a counter's head leaves out the suffix of its sample; version 0.0.4 has the same name in both.
    for name in counters {
        let base = name.trim_end_matches("_total");
        for head in ["# HELP", "# TYPE"] {
            text = text.replacen(&format!("{head} {base} "), &format!("{head} {name} "), 1);
        }
    }
    let length = text.strip_suffix(END).ok_or(std::fmt::Error)?.len();
    text.truncate(length);
    Ok(text)
}

/// Everything in text form, version 0.0.4.
pub async fn metrics(call: Call) -> Response {
    let start = Instant::now();
    // What scrapes has no use for a refusal: a word that is none is passed over.
    let wanted = |group: &str| call.query.truth(group).ok().flatten().unwrap_or(true);
    let index = call.controller.lists().index(&call.controller);
    let view = index.view().clone();
    let mut first = nodes(&view);
    first.extend(knowledge(&view, &call.controller, &index.unknown()));
    let total = vec![(Vec::new(), count(view.cluster.definitions.len()))];
    first.push(Series { name: "linstor_resource_definition_count", help: "Resource definitions", rows: total });
    let families: &[Family] = if wanted("resource") {
        &[Family::DefinitionSize, Family::DefinitionReplicas, Family::ResourceState, Family::VolumeState, Family::VolumeAllocated]
    } else {
        &[Family::DefinitionSize]
    };
    let mut last = Vec::new();
    if wanted("storage_pool") {
        last.extend(pools(&view));
    }
    if wanted("error_reports") {
        let reports = count(call.controller.reports().count());
        last.push(Series { name: "linstor_error_reports_count", help: "Error reports that are kept", rows: vec![(Vec::new(), reports)] });
    }
    let kept = vec![(Vec::new(), count(call.controller.lists().taken()))];
    last.push(Series { name: "berth_rendered_bytes", help: "Rendered lists and metrics that are kept for the next requests", rows: kept });
    let scrapes = float(SCRAPES.fetch_add(1, Ordering::Relaxed) + 1);
    last.push(Series { name: "linstor_scrape_requests_count", help: "Requests for metrics", rows: vec![(Vec::new(), scrapes)] });
    let took = vec![(Vec::new(), start.elapsed().as_secs_f64())];
    last.push(Series { name: "linstor_scrape_duration_seconds", help: "Time to gather these numbers", rows: took });
    match parts(first, families, last, call.controller.counters().samples()) {
        Ok(parts) => lists::respond(index, parts, "text/plain; version=0.0.4; charset=utf-8", call.takes_gzip),
        Err(error) => refusal(
            Reply::new(Code::FAIL_IMPL_ERROR, format!("The metrics could not be written: {error}."))
                .correction("Report this; it is a defect of the controller."),
        ),
    }
}

fn parts(first: Vec<Series>, families: &[Family], last: Vec<Series>, samples: Vec<Sample>) -> Result<Vec<Part>, std::fmt::Error> {
    let mut parts = Vec::new();
    let mut text = text_of(first, Vec::new())?;
    for family in families {
        text.push_str(&family.head()?);
        parts.push(Part::Text(std::mem::take(&mut text).into()));
        parts.push(Part::Column(Column::Metric(*family)));
    }
    text.push_str(&text_of(last, samples)?);
    text.push_str(END);
    parts.push(Part::Text(text.into()));
    Ok(parts)
}

fn nodes(view: &View) -> Vec<Series> {
    let mut states = Vec::new();
    let mut attempts = Vec::new();
    for node in view.cluster.nodes.values() {
        let Some(interface) = node.active_interface() else { continue };
        let satellite = interface.satellite;
        let labels = vec![
            ("node", node.name.to_string()),
            ("nodetype", node.node_type.word().to_owned()),
            ("address", interface.address.to_string()),
            ("encryption", satellite.map_or("", |satellite| satellite.encryption.word()).to_owned()),
            ("port", satellite.map_or(0, |satellite| satellite.port).to_string()),
        ];
        let seen = view.observed.nodes.get(&node.name);
        let status = seen.map_or(ConnectionStatus::Offline, |seen| seen.status);
        let number = ConnectionStatus::ALL.iter().position(|known| *known == status).unwrap_or(0);
        states.push((labels.clone(), count(number)));
        attempts.push((labels, float(seen.map_or(0, |seen| seen.attempts))));
    }
    let version = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("buildtime", String::new()),
        ("gitid", concat!("berth-", env!("CARGO_PKG_VERSION")).to_owned()),
    ];
    vec![
        Series { name: "linstor_info", help: "Version of the controller", rows: vec![(version, 1.0)] },
        Series { name: "linstor_node_state", help: "State of the connection to the satellite", rows: states },
        Series { name: "linstor_node_reconnect_attempt_count", help: "Attempts to connect since the node was last online", rows: attempts },
    ]
}

fn seconds(at: Timestamp) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Milliseconds of our time are far below 2^53.
    let millis = at.0 as f64;
    millis / 1000.0
}

/// What is known of each node, and since when (law 9). A node that is online has no moment since which it is unknown, and the reverse.
fn knowledge(view: &View, controller: &Controller, missing: &BTreeMap<&NodeName, u64>) -> Vec<Series> {
    let (mut heard, mut reported, mut since, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for node in view.cluster.nodes.values() {
        let labels = || vec![("node", node.name.to_string())];
        let seen = view.observed.nodes.get(&node.name);
        let online = seen.filter(|seen| seen.status == ConnectionStatus::Online);
        heard.extend(controller.last_heard(node.id).map(|at| (labels(), seconds(at))));
        reported.extend(online.and_then(|seen| seen.reported).map(|at| (labels(), seconds(at))));
        since.extend(seen.filter(|_| online.is_none()).and_then(|seen| seen.away_since).map(|at| (labels(), seconds(at))));
        let pools = view
            .cluster
            .pools_of(&node.name)
            .filter(|pool| pool.provider != ProviderKind::Diskless && online.is_none_or(|seen| !seen.pools.contains_key(&pool.name)));
        unknown.push((labels(), float(missing.get(&node.name).copied().unwrap_or(0)) + count(pools.count())));
    }
    vec![
        Series { name: "berth_node_last_heard_seconds", help: "Last sign of life of the satellite, since 1970", rows: heard },
        Series {
            name: "berth_node_last_seen_seconds",
            help: "Last report of the satellite, since 1970; only while it is online",
            rows: reported,
        },
        Series { name: "berth_node_unknown_since_seconds", help: "Since when the node's state is unknown, since 1970", rows: since },
        Series {
            name: "berth_items_unknown",
            help: "Replicas, copies of snapshots and pools of the node whose state is unknown",
            rows: unknown,
        },
    ]
}

fn pools(view: &View) -> Vec<Series> {
    let mut free = Vec::new();
    let mut total = Vec::new();
    let mut errors = Vec::new();
    for pool in view.cluster.pools.values().flat_map(|pools| pools.values()) {
        let labels = vec![
            ("storage_pool", pool.name.to_string()),
            ("node", pool.node.to_string()),
            ("driver", pool.provider.word().to_owned()),
            ("backing_pool", pool.props.get(berth_engine::plan::POOL_PLACE).unwrap_or_default().to_owned()),
        ];
        let seen = view.observed.pool(&pool.node, &pool.name);
        let size = |kib: Option<berth_model::size::Kib>| match (pool.provider, kib) {
            (ProviderKind::Diskless, _) => 0.0,
            (_, Some(kib)) => bytes(kib.0),
            (_, None) => f64::NAN,
        };
        free.push((labels.clone(), size(seen.and_then(|seen| seen.free_kib))));
        total.push((labels.clone(), size(seen.and_then(|seen| seen.total_kib))));
        // A diskless pool is never reported, and has nothing that could break.
        let error = match (pool.provider, seen) {
            (ProviderKind::Diskless, _) => 0.0,
            (_, Some(seen)) => f64::from(u8::from(seen.fault.is_some())),
            (_, None) => f64::NAN,
        };
        errors.push((labels, error));
    }
    vec![
        Series { name: "linstor_storage_pool_capacity_free_bytes", help: "Free space of the pool", rows: free },
        Series { name: "linstor_storage_pool_capacity_total_bytes", help: "Whole space of the pool", rows: total },
        Series { name: "linstor_storage_pool_error_count", help: "Errors of the pool; not a number while unknown", rows: errors },
    ]
}

/// Where Prometheus finds the exporters of the satellites.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Targets {
    /// Address and port of each.
    targets: Vec<String>,
}

/// The exporters of all satellites.
pub async fn scrape_targets(call: Call) -> Response {
    let view = call.view();
    let satellites = view.cluster.nodes.values().filter(|node| node.node_type.has_satellite());
    let targets = satellites.filter_map(|node| node.active_interface()).map(|one| format!("{}:{REACTOR_PORT}", one.address)).collect();
    document(&[Targets { targets }])
}
