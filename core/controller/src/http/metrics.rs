//! `/metrics`: LINSTOR's series (contract 11.2) and Berth's own, written by the Prometheus library.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use berth_model::codes::Code;
use berth_model::layers::ProviderKind;
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
use crate::{Controller, Sample, SampleKind, View};

/// Port of drbd-reactor's exporter on satellites.
const REACTOR_PORT: u16 = 9942;
/// Value of `linstor_volume_state` for a volume that exists (contract 11.2); -1: unknown.
const VOLUME_CREATED: f64 = 2.0;

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

/// Everything in text form, version 0.0.4.
pub async fn metrics(call: Call) -> Response {
    let start = Instant::now();
    let wanted = |group: &str| call.query.truth(group).unwrap_or(true);
    let view = call.view();
    let mut series = nodes(&view);
    series.extend(knowledge(&view, &call.controller));
    series.extend(definitions(&view, wanted("resource")));
    if wanted("resource") {
        series.extend(resources(&view));
    }
    if wanted("storage_pool") {
        series.extend(pools(&view));
    }
    if wanted("error_reports") {
        let reports = count(call.controller.reports().count());
        series.push(Series { name: "linstor_error_reports_count", help: "Error reports that are kept", rows: vec![(Vec::new(), reports)] });
    }
    let scrapes = float(SCRAPES.fetch_add(1, Ordering::Relaxed) + 1);
    series.push(Series { name: "linstor_scrape_requests_count", help: "Requests for metrics", rows: vec![(Vec::new(), scrapes)] });
    let took = vec![(Vec::new(), start.elapsed().as_secs_f64())];
    series.push(Series { name: "linstor_scrape_duration_seconds", help: "Time to gather these numbers", rows: took });
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown { series, samples: call.controller.counters().samples() }));
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => refusal(
            Reply::new(Code::FAIL_IMPL_ERROR, format!("The metrics could not be written: {error}."))
                .correction("Report this; it is a defect of the controller."),
        ),
    }
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
fn knowledge(view: &View, controller: &Controller) -> Vec<Series> {
    let (mut heard, mut reported, mut since, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for node in view.cluster.nodes.values() {
        let labels = || vec![("node", node.name.to_string())];
        let seen = view.observed.nodes.get(&node.name);
        let online = seen.filter(|seen| seen.status == ConnectionStatus::Online);
        heard.extend(controller.last_heard(node.id).map(|at| (labels(), seconds(at))));
        reported.extend(online.and_then(|seen| seen.reported).map(|at| (labels(), seconds(at))));
        since.extend(seen.filter(|_| online.is_none()).and_then(|seen| seen.away_since).map(|at| (labels(), seconds(at))));
        let missing = |id: uuid::Uuid| online.is_none_or(|seen| !seen.items.contains_key(&id));
        let resources = view.cluster.resources_on(&node.name).filter(|resource| missing(resource.id.uuid())).count();
        let copies = view.cluster.snapshots_on(&node.name).filter_map(|snapshot| snapshot.copies.get(&node.name));
        let pools = view
            .cluster
            .pools_of(&node.name)
            .filter(|pool| pool.provider != ProviderKind::Diskless && online.is_none_or(|seen| !seen.pools.contains_key(&pool.name)));
        let number = resources + copies.filter(|copy| missing(copy.id.uuid())).count() + pools.count();
        unknown.push((labels(), count(number)));
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

fn definitions(view: &View, with_counts: bool) -> Vec<Series> {
    let cluster = &view.cluster;
    let mut sizes = Vec::new();
    let mut counts = Vec::new();
    for definition in cluster.definitions.values() {
        for (number, volume) in &definition.volumes {
            let labels = vec![
                ("name", definition.name.to_string()),
                ("volume_number", number.to_string()),
                ("resource_group", definition.group.to_string()),
            ];
            sizes.push((labels, bytes(volume.size_kib.0)));
        }
        if with_counts {
            let labels = vec![("name", definition.name.to_string()), ("resource_group", definition.group.to_string())];
            counts.push((labels, count(cluster.resources.get(&definition.name).map_or(0, |nodes| nodes.len()))));
        }
    }
    let total = vec![(Vec::new(), count(cluster.definitions.len()))];
    let mut series = vec![
        Series { name: "linstor_resource_definition_count", help: "Resource definitions", rows: total },
        Series { name: "linstor_volume_definition_size_bytes", help: "Size of the volume definition", rows: sizes },
    ];
    if with_counts {
        series.push(Series { name: "linstor_resource_definition_resource_count", help: "Replicas of the definition", rows: counts });
    }
    series
}

fn resources(view: &View) -> Vec<Series> {
    let mut uses = Vec::new();
    let mut states = Vec::new();
    let mut allocated = Vec::new();
    for resource in view.cluster.resources.values().flat_map(|nodes| nodes.values()) {
        let record = view.observed.item(&resource.node, resource.id.uuid());
        let in_use = record.map_or(-1.0, |record| f64::from(u8::from(record.seen.volumes.iter().any(|volume| volume.in_use))));
        uses.push((vec![("name", resource.name.to_string()), ("node", resource.node.to_string())], in_use));
        for (number, volume) in &resource.volumes {
            let seen = record.and_then(|record| record.seen.volumes.iter().find(|seen| seen.number == *number));
            let labels = vec![
                ("resource", resource.name.to_string()),
                ("node", resource.node.to_string()),
                ("volume", number.to_string()),
                ("device_path", seen.and_then(|seen| seen.device_path.clone()).unwrap_or_default()),
                ("storage_pool", volume.pool.to_string()),
            ];
            states.push((labels.clone(), if seen.is_some() { VOLUME_CREATED } else { -1.0 }));
            allocated.push((labels, seen.map_or(f64::NAN, |seen| bytes(seen.allocated_kib.0))));
        }
    }
    vec![
        Series { name: "linstor_resource_state", help: "Whether the resource is in use; -1 while unknown", rows: uses },
        Series { name: "linstor_volume_state", help: "State of the volume; -1 while unknown", rows: states },
        Series { name: "linstor_volume_allocated_size_bytes", help: "Space that the volume takes", rows: allocated },
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
#[derive(Debug, Serialize)]
struct Targets {
    targets: Vec<String>,
}

/// The exporters of all satellites.
pub async fn scrape_targets(call: Call) -> Response {
    let view = call.view();
    let satellites = view.cluster.nodes.values().filter(|node| node.node_type.has_satellite());
    let targets = satellites.filter_map(|node| node.active_interface()).map(|one| format!("{}:{REACTOR_PORT}", one.address)).collect();
    document(&[Targets { targets }])
}
