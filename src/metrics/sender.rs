//! What the sender counts.

use prometheus::{Encoder as _, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder};

use super::builder::{Builder, Description};
use super::{MetricsError, Scrape};
use crate::output;

/// The channels, as labels.
pub const CHANNELS: [&str; 4] = ["webhook", "email", "http", "unknown"];

/// What becomes of a delivery that was claimed, as labels.
pub const DELIVERY_OUTCOMES: [&str; 5] = ["delivered", "failed", "dead", "released", "lease_lost"];

/// Why a client is disabled, as labels.
const DISABLED_REASONS: [&str; 2] = ["gone", "failing"];

/// All metrics of the sender; each name begins with `event_processor_sender_`. What each is for is its help text.
#[derive(Debug)]
#[expect(missing_docs, reason = "the help text of each says what it is")]
pub struct SenderMetrics {
    registry: Registry,
    descriptions: Vec<Description>,
    pub deliveries: IntCounterVec,
    pub claimed: IntCounter,
    pub in_flight: IntGauge,
    pub waiting: IntGauge,
    pub attempt_duration: HistogramVec,
    pub delivery_delay: Histogram,
    pub clients_disabled: IntCounterVec,
    pub clients_slowed: IntGauge,
    pub database_up: IntGauge,
    pub addresses_refused: IntCounter,
    pub spans_dropped: IntCounter,
    log_write_failures: IntCounter,
}

impl SenderMetrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn new() -> Result<Self, MetricsError> {
        let builder = Builder::new("sender_")?;
        let (registry, one) = (builder.registry.clone(), &builder);
        let seconds = prometheus::exponential_buckets(0.001, 2.0, 16)?;
        let delays = prometheus::exponential_buckets(0.002, 2.0, 20)?;
        let metrics = Self {
            registry,
            descriptions: Vec::new(),
            deliveries: one.counters(
                "deliveries_total",
                "What became of each claimed delivery: delivered, failed, dead (wrong settings), released, lease_lost",
                &["channel", "outcome"],
            )?,
            claimed: one.counter("claimed_total", "Deliveries claimed")?,
            in_flight: one.gauge("in_flight_deliveries", "Requests and mails under way")?,
            waiting: one.gauge("waiting_deliveries", "Claimed and not begun")?,
            attempt_duration: one.histograms("attempt_duration_seconds", "One request or mail", seconds, &["channel"])?,
            delivery_delay: one.histogram("delivery_delay_seconds", "Stored to delivered, at the first attempt", delays)?,
            clients_disabled: one.counters("clients_disabled_total", "Clients that were disabled: gone, failing", &["reason"])?,
            clients_slowed: one.gauge("slowed_clients", "Clients that get less because they asked for it")?,
            database_up: one.gauge("database_up", "0: Postgres does not answer")?,
            addresses_refused: one.counter("addresses_refused_total", "Connections that were refused to private addresses")?,
            spans_dropped: one.counter("spans_dropped_total", "Spans that the collector did not take in time")?,
            log_write_failures: one.counter("log_write_failures_total", "Lines of the log that standard error did not take in time")?,
        };
        for channel in CHANNELS {
            for outcome in DELIVERY_OUTCOMES {
                metrics.deliveries.with_label_values(&[channel, outcome]);
            }
        }
        for channel in CHANNELS {
            metrics.attempt_duration.with_label_values(&[channel]);
        }
        for reason in DISABLED_REASONS {
            metrics.clients_disabled.with_label_values(&[reason]);
        }
        Ok(Self { descriptions: builder.into_descriptions(), ..metrics })
    }

    /// What there is, in the order in which the README has it.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
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
