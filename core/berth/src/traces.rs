//! Traces for an OpenTelemetry collector: OTLP over HTTP, as protobuf. Off unless an address is set.
//!
//! What is traced is what the rooms wrap into spans of `tracing`, as far as the filter of the log lets it through.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

/// A collector that takes longer gets nothing; spans are dropped then, and nothing waits for them.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// What must be told before the process ends.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Begins to send spans to a collector. Once for a process, and not on a thread of a runtime: it has a thread of its own.
///
/// `collector`: `http://HOST:PORT`; `service`: the name under which the spans are found.
///
/// # Errors
/// If the address is none, or no thread can be had.
pub fn tracer(collector: &str, service: &'static str) -> anyhow::Result<SdkTracer> {
    let base = collector.trim_end_matches('/');
    anyhow::ensure!(
        base.strip_prefix("http://").is_some_and(|host| !host.is_empty()),
        "'{collector}' is no address of a collector; write http://HOST:4318"
    );
    // The HTTP library wants to know whose cryptography it would use, also where nothing is encrypted.
    drop(rustls::crypto::ring::default_provider().install_default());
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{base}/v1/traces"))
        .with_timeout(SEND_WITHIN)
        .build()
        .context("traces cannot be sent")?;
    let resource = Resource::builder().with_service_name(service).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("berth");
    anyhow::ensure!(PROVIDER.set(provider).is_ok(), "traces are sent already");
    Ok(tracer)
}

/// Sends what waits.
pub fn end() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown()
    {
        eprintln!("the last traces were not sent: {error}");
    }
}
