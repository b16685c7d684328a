//! What is counted. Names and labels are a contract; a label's values come from settings, the catalog or a list in the code, never from
//! an event.

mod builder;
mod backlog;
mod sender;
mod start;

use prometheus::{Encoder as _, GaugeVec, Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use crate::database::ErrorClass;
use crate::event::Reason;
use crate::output;

pub use backlog::{Backlog, OldestBacklog};
pub use builder::Description;
/// A number that only grows.
pub use prometheus::IntCounter;
pub use sender::{CHANNELS, DELIVERY_OUTCOMES, SenderMetrics};
pub use start::QueueLabels;

use builder::Builder;

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
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Stored, Self::Duplicate, Self::Rejected, Self::Deferred, Self::Released];

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

/// How a transaction of the store has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionResult {
    /// Its commit is verified.
    Committed,
    /// Nothing of it was stored.
    Failed,
    /// The commit was sent, and nobody knows what became of it.
    Unknown,
}

impl TransactionResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Committed, Self::Failed, Self::Unknown];

    /// The value of the label `result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// All metrics of the daemon. What each is for is its help text, below and in the README.
#[derive(Debug)]
#[expect(missing_docs, reason = "the help text of each says what it is")]
pub struct Metrics {
    registry: Registry,
    descriptions: Vec<Description>,
    pub messages_received: IntCounterVec,
    pub messages_redelivered: IntCounterVec,
    pub events: IntCounterVec,
    pub events_rejected: IntCounterVec,
    pub events_over_rate: IntCounterVec,
    pub in_flight_events: IntGauge,
    pub in_flight_events_max: IntGauge,
    pub in_flight_bytes: IntGauge,
    pub in_flight_bytes_max: IntGauge,
    pub oldest_unsettled_event: GaugeVec,
    pub queue_ready: IntGaugeVec,
    pub queue_retention: IntGaugeVec,
    pub queue_messages: IntGaugeVec,
    pub last_poll_timestamp: GaugeVec,
    pub polls: IntGaugeVec,
    pub poller_restarts: IntCounterVec,
    pub sqs_requests: IntCounterVec,
    pub sqs_request_duration: HistogramVec,
    pub delete_failures: IntCounterVec,
    pub validation_duration: Histogram,
    pub compiled_schemas: IntGauge,
    pub compiled_schemas_weight: IntGauge,
    pub catalog_generation: IntGauge,
    pub catalog_last_reload_successful: IntGauge,
    pub catalog_orphans: IntGaugeVec,
    pub batch_rows: Histogram,
    pub store_up: IntGauge,
    pub store_duration: Histogram,
    store_transactions: IntCounterVec,
    store_errors: IntCounterVec,
    pub commits_unknown: IntCounter,
    pub event_commit_delay: HistogramVec,
    /// What the one replica whose turn it is has found in the database.
    pub backlog: Backlog,
    pub spans_dropped: IntCounter,
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

/// From less than a commit takes to as long as an outage may last. Few, for each queue has them all.
const COMMIT_DELAY_BUCKETS: [f64; 7] = [0.05, 0.5, 5.0, 30.0, 300.0, 3_600.0, 86_400.0];

/// From a server beside us to the longest poll.
const REQUEST_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// When two metrics have the same name.
    #[expect(clippy::too_many_lines, reason = "a line each, in one place")]
    pub fn new() -> Result<Self, MetricsError> {
        let builder = Builder::new("")?;
        let (registry, one) = (builder.registry.clone(), &builder);
        let seconds = |start| prometheus::exponential_buckets(start, 2.0, 16);
        let rows = prometheus::exponential_buckets(1.0, 2.0, 14)?;
        let metrics = Self {
            registry,
            descriptions: Vec::new(),
            messages_received: one.counters("messages_received_total", "Copies of messages that SQS handed over", &["queue"])?,
            messages_redelivered: one.counters(
                "messages_redelivered_total",
                "Those that were not received for the first time",
                &["queue"],
            )?,
            events: one.counters(
                "events_total",
                "What became of each received copy: stored, duplicate, rejected, deferred, released",
                &["queue", "tenant", "outcome"],
            )?,
            events_rejected: one.counters("events_rejected_total", "Dead letters written, by reason", &["tenant", "reason"])?,
            events_over_rate: one.counters("events_over_rate_total", "Events over their tenant's rate_limit", &["tenant"])?,
            in_flight_events: one.gauge("in_flight_events", "Received and without an outcome")?,
            in_flight_events_max: one.gauge("in_flight_events_max", "How many there may be, IN_FLIGHT_EVENTS_MAX")?,
            in_flight_bytes: one.gauge("in_flight_bytes", "Bytes of bodies in memory")?,
            in_flight_bytes_max: one.gauge("in_flight_bytes_max", "How many there may be, IN_FLIGHT_BYTES_MAX")?,
            oldest_unsettled_event: one.timestamps(
                "oldest_unsettled_event_timestamp_seconds",
                "When the oldest event was sent that this process received and neither it nor a later receive has settled; none: absent",
                &["queue"],
            )?,
            queue_ready: one.gauges("queue_ready", "0: the queue is not polled, /readyz says why", &["queue"])?,
            queue_retention: one.gauges(
                "queue_retention_seconds",
                "After how long SQS deletes what nobody has settled, as it was when polling began",
                &["queue"],
            )?,
            queue_messages: one.gauges("queue_messages", "Messages in the queue, as SQS says", &["queue", "state"])?,
            last_poll_timestamp: one.timestamps("last_poll_timestamp_seconds", "When the queue last answered a poll", &["queue"])?,
            polls: one.gauges("polls", "Polls at once, as many as replies and room let pay; one when idle", &["queue"])?,
            poller_restarts: one.counters("poller_restarts_total", "Pollers that hung or panicked, started anew", &["queue"])?,
            sqs_requests: one.counters(
                "sqs_requests_total",
                "What SQS was asked, and how that ended",
                &["queue", "operation", "result"],
            )?,
            sqs_request_duration: one.histograms(
                "sqs_request_duration_seconds",
                "Each request to SQS; ReceiveMessage waits up to 20 s for messages",
                REQUEST_BUCKETS.to_vec(),
                &["operation"],
            )?,
            delete_failures: one.counters(
                "delete_failures_total",
                "Stored events that were not deleted: they come again and count as duplicates",
                &["queue", "reason"],
            )?,
            validation_duration: one.histogram("validation_duration_seconds", "Finding one verdict", seconds(0.000_002)?)?,
            compiled_schemas: one.gauge("compiled_schemas", "Schemas that are compiled; those used last stay")?,
            compiled_schemas_weight: one.gauge("compiled_schemas_weight_bytes", "What they weigh; COMPILED_SCHEMAS_BYTES_MAX bounds it")?,
            catalog_generation: one.gauge("catalog_generation", "The catalog apply that validates; 0: none yet")?,
            catalog_last_reload_successful: one.gauge("catalog_last_reload_successful", "0: the catalog could not be read")?,
            catalog_orphans: one.gauges(
                "catalog_orphans",
                "Queues without their tenant, event types without a version, subscriptions that match none",
                &["kind"],
            )?,
            batch_rows: one.histogram("batch_rows", "Events in a transaction", rows)?,
            store_up: one.gauge("store_up", "0: Postgres does not take events")?,
            store_duration: one.histogram("store_duration_seconds", "Begin to verified commit", seconds(0.001)?)?,
            store_transactions: one.counters("store_transactions_total", "Transactions that were to store events", &["result"])?,
            store_errors: one.counters(
                "store_errors_total",
                "What went wrong with Postgres: unavailable, authentication, permission (also a missing table), timeout, conflict",
                &["class"],
            )?,
            commits_unknown: one.counter("commits_unknown_total", "Commits of unknown outcome; nothing of them was deleted")?,
            event_commit_delay: one.histograms(
                "event_commit_delay_seconds",
                "SQS's enqueue to the verified commit",
                COMMIT_DELAY_BUCKETS.to_vec(),
                &["queue"],
            )?,
            backlog: Backlog::new(one)?,
            spans_dropped: one.counter("spans_dropped_total", "Spans that the collector did not take in time")?,
            log_write_failures: one.counter("log_write_failures_total", "Lines of the log that standard error did not take in time")?,
        };
        for result in TransactionResult::ALL {
            metrics.store_transactions.with_label_values(&[result.as_str()]);
        }
        for class in ErrorClass::ALL {
            metrics.store_errors.with_label_values(&[class.as_str()]);
        }
        Ok(Self { descriptions: builder.into_descriptions(), ..metrics })
    }

    /// What there is, in the order in which the README has it.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// Counts how a transaction has ended.
    pub fn count_transaction(&self, result: TransactionResult) {
        self.store_transactions.with_label_values(&[result.as_str()]).inc();
    }

    /// Counts what went wrong with the database.
    pub fn count_error(&self, class: ErrorClass) {
        self.store_errors.with_label_values(&[class.as_str()]).inc();
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
