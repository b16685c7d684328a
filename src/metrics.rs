//! What is counted. Names and labels are a contract; a label's values come from settings, the catalog or a list in the code, never from
//! an event.

mod sender;

use prometheus::core::Collector;
use prometheus::{Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::event::Reason;
use crate::output;

/// A number that only grows.
pub use prometheus::IntCounter;
pub use sender::{CHANNELS, DELIVERY_OUTCOMES, SenderMetrics};

/// What became of one received copy of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Committed as a new event.
    Stored,
    /// Already stored, with equal content.
    Duplicate,
    /// Committed as a dead letter.
    Rejected,
    /// Over its tenant's rate: it comes again later.
    Deferred,
    /// Not settled: it comes again.
    Released,
}

impl Outcome {
    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Deferred => "deferred",
            Self::Released => "released",
        }
    }
}

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Copies of messages that SQS handed over.
    pub messages_received: IntCounterVec,
    /// Outcomes of received copies; each gets exactly one.
    pub events: IntCounterVec,
    /// Dead letters written, by reason.
    pub events_rejected: IntCounterVec,
    /// Events over their tenant's rate.
    pub events_over_rate: IntCounterVec,
    /// Requests to SQS.
    pub sqs_requests: IntCounterVec,
    /// Received and without an outcome.
    pub in_flight_events: IntGauge,
    /// Bytes of bodies in memory.
    pub in_flight_bytes: IntGauge,
    /// Events a transaction.
    pub batch_rows: Histogram,
    /// Begin to verified commit.
    pub store_duration: Histogram,
    /// Finding one verdict: decoding, where that finds it, else holding the payload against its schema.
    pub validation_duration: Histogram,
    /// SQS's enqueue to the verified commit.
    pub event_commit_delay: Histogram,
    /// What SQS says is in a queue.
    pub queue_messages: IntGaugeVec,
    /// Whether Postgres takes events.
    pub store_up: IntGauge,
    /// When a queue last answered a poll.
    pub last_poll_timestamp: GaugeVec,
    /// Polls that pay at the moment.
    pub polls: IntGaugeVec,
    /// Pollers that were started anew.
    pub poller_restarts: IntCounterVec,
    /// The generation that validates.
    pub catalog_generation: IntGauge,
    /// Whether the last attempt to read the catalog succeeded.
    pub catalog_last_reload_successful: IntGauge,
    /// Schemas that are compiled.
    pub compiled_schemas: IntGauge,
    /// What they weigh.
    pub compiled_schemas_weight: IntGauge,
    /// Commits whose outcome is not known.
    pub commits_unknown: IntCounter,
    /// Deletes that failed for good.
    pub delete_failures: IntCounterVec,
    /// Spans that went to no collector.
    pub spans_dropped: IntCounter,
    /// Lines of the log that could not be written.
    log_write_failures: IntCounter,
}

/// Why metrics cannot be registered or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to handle the metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

const PREFIX: &str = "event_processor_";

/// What the label `tenant` says for those that have no label of their own.
pub const OTHER_TENANTS: &str = "other";

/// What it says where there is no tenant.
pub const NO_TENANT: &str = "unknown";

/// Whether a tenant of this name would be taken for another in a label.
pub fn is_reserved(tenant: &str) -> bool {
    [OTHER_TENANTS, NO_TENANT].contains(&tenant)
}

/// Registers metrics. Names are fixed in this file, so that registering one can fail only by a mistake that every start would show.
struct Builder(Registry);

impl Builder {
    fn register<M: Collector + Clone + 'static>(&self, metric: Result<M, prometheus::Error>) -> Result<M, prometheus::Error> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(format!("{PREFIX}{name}"), help), labels))
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(format!("{PREFIX}{name}"), help))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(format!("{PREFIX}{name}"), help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets)))
    }
}

impl Metrics {
    /// Forgets how a queue is that is polled no more; what was counted of it stays.
    pub fn forget_queue(&self, queue: &str) {
        // One that was never there is none.
        let _ = self.last_poll_timestamp.remove_label_values(&[queue]);
        let _ = self.polls.remove_label_values(&[queue]);
        for state in ["visible", "in_flight", "delayed"] {
            let _ = self.queue_messages.remove_label_values(&[queue, state]);
        }
    }

    /// Registers all metrics.
    ///
    /// # Errors
    /// When two metrics have the same name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let builder = Builder(registry.clone());
        let seconds = |start| prometheus::exponential_buckets(start, 2.0, 16);
        let opts = |name: &str, help: &str| Opts::new(format!("{PREFIX}{name}"), help);
        let build_info = opts("build_info", "1, with the build's version").const_label("version", env!("CARGO_PKG_VERSION"));
        builder.register(IntGauge::with_opts(build_info))?.set(1);
        Ok(Self {
            messages_received: builder.counters("messages_received_total", "Copies of messages received", &["queue"])?,
            events: builder.counters("events_total", "Outcomes of received copies", &["queue", "tenant", "outcome"])?,
            events_rejected: builder.counters("events_rejected_total", "Dead letters written", &["tenant", "reason"])?,
            events_over_rate: builder.counters("events_over_rate_total", "Events over their tenant's rate", &["tenant"])?,
            sqs_requests: builder.counters("sqs_requests_total", "Requests to SQS", &["queue", "operation", "result"])?,
            in_flight_events: builder.gauge("in_flight_events", "Received and without an outcome")?,
            in_flight_bytes: builder.gauge("in_flight_bytes", "Bytes of bodies in memory")?,
            batch_rows: builder.histogram("batch_rows", "Events in a transaction", prometheus::exponential_buckets(1.0, 2.0, 14)?)?,
            store_duration: builder.histogram("store_duration_seconds", "Begin to verified commit", seconds(0.001)?)?,
            validation_duration: builder.histogram("validation_duration_seconds", "Finding one verdict", seconds(0.000_002)?)?,
            event_commit_delay: builder.histogram("event_commit_delay_seconds", "SQS's enqueue to the verified commit", seconds(0.002)?)?,
            queue_messages: builder
                .register(IntGaugeVec::new(opts("queue_messages", "Messages in the queue, as SQS says"), &["queue", "state"]))?,
            store_up: builder.gauge("store_up", "1 when Postgres takes events")?,
            last_poll_timestamp: builder
                .register(GaugeVec::new(opts("last_poll_timestamp_seconds", "When the queue last answered a poll"), &["queue"]))?,
            polls: builder.register(IntGaugeVec::new(opts("polls", "Polls that pay at the moment: one when idle"), &["queue"]))?,
            poller_restarts: builder.counters("poller_restarts_total", "Pollers that hung or panicked, started anew", &["queue"])?,
            catalog_generation: builder.gauge("catalog_generation", "The generation that validates")?,
            catalog_last_reload_successful: builder.gauge("catalog_last_reload_successful", "1 when the last reading succeeded")?,
            compiled_schemas: builder.gauge("compiled_schemas", "Schemas that are compiled")?,
            compiled_schemas_weight: builder
                .gauge("compiled_schemas_weight_bytes", "Their weight, as COMPILED_SCHEMAS_BYTES_MAX bounds it")?,
            commits_unknown: builder.counter("commits_unknown_total", "Commits of unknown outcome; nothing of them was deleted")?,
            delete_failures: builder.counters("delete_failures_total", "Deletes that failed for good", &["queue", "reason"])?,
            spans_dropped: builder.counter("spans_dropped_total", "Spans that the collector did not take in time")?,
            log_write_failures: builder.counter("log_write_failures_total", "Lines of the log that standard error did not take in time")?,
            registry,
        })
    }

    /// Counts what became of a received copy.
    pub fn count_outcome(&self, queue: &str, tenant_label: &str, outcome: Outcome) {
        self.events.with_label_values(&[queue, tenant_label, outcome.as_str()]).inc();
    }

    /// Counts a dead letter.
    pub fn count_rejection(&self, tenant_label: &str, reason: Reason) {
        self.events_rejected.with_label_values(&[tenant_label, reason.as_str()]).inc();
    }
}

/// What Prometheus reads of a process.
pub trait Scrape: std::fmt::Debug + Send + Sync {
    /// The text that it scrapes.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    fn render(&self) -> Result<String, MetricsError>;
}

impl Scrape for Metrics {
    fn render(&self) -> Result<String, MetricsError> {
        // Logging begins before the daemon does, and counts by itself.
        self.log_write_failures.inc_by(output::take_failures());
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}
