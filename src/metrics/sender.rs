//! What the sender counts.

use prometheus::{Encoder as _, HistogramOpts};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::{Builder, MetricsError, PREFIX, Scrape};
use crate::output;

/// The channels, as labels.
pub const CHANNELS: [&str; 4] = ["webhook", "email", "http", "unknown"];

/// What becomes of a delivery that was claimed, as labels.
pub const DELIVERY_OUTCOMES: [&str; 5] = ["delivered", "failed", "dead", "released", "lease_lost"];

/// All metrics of the sender; each name begins with `event_processor_sender_`.
#[derive(Debug)]
pub struct SenderMetrics {
    registry: Registry,
    /// What became of claimed deliveries; each gets exactly one outcome.
    pub deliveries: IntCounterVec,
    /// Deliveries that were claimed.
    pub claimed: IntCounter,
    /// Under way at the moment.
    pub in_flight: IntGauge,
    /// Claimed and not begun.
    pub waiting: IntGauge,
    /// How long one attempt takes.
    pub attempt_duration: HistogramVec,
    /// From the event's arrival to its delivery, at the first attempt.
    pub delivery_delay: Histogram,
    /// Clients that were disabled.
    pub clients_disabled: IntCounterVec,
    /// Clients that asked for less at the moment.
    pub clients_slowed: IntGauge,
    /// Whether Postgres answers.
    pub database_up: IntGauge,
    /// Connections that the rules for addresses refused.
    pub addresses_refused: IntCounter,
    /// Spans that went to no collector.
    pub spans_dropped: IntCounter,
    log_write_failures: IntCounter,
}

impl SenderMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let builder = Builder(registry.clone());
        let name = |name: &str| format!("sender_{name}");
        let opts = |short: &str, help: &str| Opts::new(format!("{PREFIX}sender_{short}"), help);
        let seconds = prometheus::exponential_buckets(0.001, 2.0, 16)?;
        let delays = prometheus::exponential_buckets(0.002, 2.0, 20)?;
        let build_info = opts("build_info", "1, with the build's version").const_label("version", env!("CARGO_PKG_VERSION"));
        builder.register(IntGauge::with_opts(build_info))?.set(1);
        let attempt = HistogramOpts::new(format!("{PREFIX}sender_attempt_duration_seconds"), "One request or mail").buckets(seconds);
        let metrics = Self {
            deliveries: builder.counters(&name("deliveries_total"), "Outcomes of claimed deliveries", &["channel", "outcome"])?,
            claimed: builder.counter(&name("claimed_total"), "Deliveries claimed")?,
            in_flight: builder.gauge(&name("in_flight_deliveries"), "Requests and mails under way")?,
            waiting: builder.gauge(&name("waiting_deliveries"), "Claimed and not begun")?,
            attempt_duration: builder.register(HistogramVec::new(attempt, &["channel"]))?,
            delivery_delay: builder.histogram(&name("delivery_delay_seconds"), "Stored to delivered, at the first attempt", delays)?,
            clients_disabled: builder.counters(&name("clients_disabled_total"), "Clients that were disabled", &["reason"])?,
            clients_slowed: builder.gauge(&name("slowed_clients"), "Clients that get less because they asked for it")?,
            database_up: builder.gauge(&name("database_up"), "1 when Postgres answers")?,
            addresses_refused: builder.counter(&name("addresses_refused_total"), "Connections that were refused to private addresses")?,
            spans_dropped: builder.counter(&name("spans_dropped_total"), "Spans that the collector did not take in time")?,
            log_write_failures: builder
                .counter(&name("log_write_failures_total"), "Lines of the log that standard error did not take in time")?,
            registry,
        };
        for channel in CHANNELS {
            for outcome in DELIVERY_OUTCOMES {
                metrics.deliveries.with_label_values(&[channel, outcome]);
            }
        }
        for reason in ["gone", "failing"] {
            metrics.clients_disabled.with_label_values(&[reason]);
        }
        Ok(metrics)
    }
}

impl Scrape for SenderMetrics {
    fn render(&self) -> Result<String, MetricsError> {
        self.log_write_failures.inc_by(output::take_failures());
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}
