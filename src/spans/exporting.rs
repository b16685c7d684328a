//! Takes spans from their queue to the collector, beside the work.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Problem};
use crate::certificates;
use crate::metrics::IntCounter;
use crate::settings::{TracesSettings, WrongSetting};

/// How many spans a request to the collector has at most.
const REQUEST_SPANS_MAX: usize = 512;

/// How long spans wait for others to share their request.
const REQUEST_AGE_MAX: Duration = Duration::from_secs(1);

/// Between two lines about a collector that takes no spans.
const LOG_INTERVAL: Duration = Duration::from_mins(10);

/// The way to a collector.
#[derive(Debug)]
pub struct Exporter {
    pub(super) settings: TracesSettings,
    spans: opentelemetry_otlp::SpanExporter,
    problem: Problem,
}

/// Exports what is queued until it is told to end.
#[derive(Debug)]
pub struct Exporting {
    exporter: opentelemetry_otlp::SpanExporter,
    problem: Problem,
    queue: mpsc::Receiver<SpanData>,
    dropped: IntCounter,
    /// Told to end, and ended.
    tokens: (CancellationToken, CancellationToken),
    /// Since when it is known that the collector takes nothing: the last line about it.
    told_at: Option<Instant>,
}

impl Exporter {
    /// The collector that the environment names, if any, for a program that is called so where the environment does not say otherwise.
    ///
    /// # Errors
    /// A sentence for the user that names the variable.
    pub fn from_environment(service_name: &'static str) -> Result<Option<Self>, WrongSetting> {
        let Some(settings) = TracesSettings::from_environment()? else { return Ok(None) };
        if settings.endpoint.starts_with("https://") {
            certificates::check()?;
        }
        let problem = Problem::default();
        let built = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(settings.timeout, problem.clone()))
            .with_endpoint(settings.endpoint.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .build();
        let mut exporter =
            built.map_err(|error| WrongSetting(format!("the OTEL_ variables name no collector that spans can go to: {error}")))?;
        exporter.set_resource(&resource(&settings, service_name));
        Ok(Some(Self { settings, spans: exporter, problem }))
    }
}

/// What the spans are of.
fn resource(settings: &TracesSettings, service_name: &'static str) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().with_attribute(version).build();
    let name = found.get(&"service.name".into()).map(|name| name.to_string()).filter(|name| !name.starts_with("unknown_service"));
    let name = settings.service_name.clone().or(name).unwrap_or_else(|| service_name.to_owned());
    Resource::builder_empty()
        .with_attributes(found.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())))
        .with_service_name(name)
        .build()
}

impl Exporting {
    pub(super) fn new(
        exporter: Exporter,
        queue: mpsc::Receiver<SpanData>,
        dropped: IntCounter,
        tokens: (CancellationToken, CancellationToken),
    ) -> Self {
        let Exporter { spans: exporter, problem, .. } = exporter;
        Self { exporter, problem, queue, dropped, tokens, told_at: None }
    }

    /// Runs until it is told to end, and until the queue is empty then.
    pub async fn run(mut self) {
        let (ending, ended) = self.tokens.clone();
        let mut spans = Vec::with_capacity(REQUEST_SPANS_MAX);
        while !ending.is_cancelled() {
            let taken = ending.run_until_cancelled(self.queue.recv_many(&mut spans, REQUEST_SPANS_MAX)).await;
            if taken == Some(0) {
                break;
            }
            let due = Instant::now() + REQUEST_AGE_MAX;
            while !spans.is_empty() && spans.len() < REQUEST_SPANS_MAX {
                let room = REQUEST_SPANS_MAX - spans.len();
                let more = tokio::time::timeout_at(due, self.queue.recv_many(&mut spans, room));
                if !matches!(ending.run_until_cancelled(more).await, Some(Ok(1..))) {
                    break;
                }
            }
            self.export(&mut spans).await;
        }
        self.queue.close();
        while self.queue.recv_many(&mut spans, REQUEST_SPANS_MAX).await > 0 {
            self.export(&mut spans).await;
        }
        ended.cancel();
    }

    async fn export(&mut self, spans: &mut Vec<SpanData>) {
        if spans.is_empty() {
            return;
        }
        let count = u64::try_from(spans.len()).unwrap_or(u64::MAX);
        let exported = self.exporter.export(std::mem::replace(spans, Vec::with_capacity(REQUEST_SPANS_MAX))).await;
        match exported {
            Ok(()) if self.told_at.take().is_some() => tracing::info!("the collector takes spans again"),
            Ok(()) => {}
            Err(error) => {
                self.dropped.inc_by(count);
                let problem = self.problem.take().unwrap_or_else(|| error.to_string());
                if self.told_at.is_none_or(|told_at| told_at.elapsed() >= LOG_INTERVAL) {
                    self.told_at = Some(Instant::now());
                    let sentence = "spans are not exported: the work goes on without; check OTEL_EXPORTER_OTLP_ENDPOINT; spans_dropped_total counts them";
                    tracing::warn!(problem, "{sentence}");
                }
            }
        }
    }
}
