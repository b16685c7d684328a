//! The whole path at several distances from the queue and from Postgres, and the SDK alone at those from the queue.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::Options;
use crate::ceilings::Ceiling;
use crate::process::ceiling;
use crate::runs::{clear, count, delays, drain, per_event, seconds};
use crate::stand::{Stand, bodies};

const SIZE: usize = 1_500;

/// Of the SDK alone.
const POLLERS: &str = "6";

/// The load under which delays are measured.
const STEADY_EVENTS_PER_SECOND: f64 = 1_000.0;
const STEADY_EVENTS: usize = 5_000;

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Network {
    pub events: usize,
    pub rows: Vec<Row>,
    pub sdk: Vec<SdkRow>,
}

/// The whole path at one distance.
#[derive(Debug, Serialize)]
pub struct Row {
    pub queue_ms: u64,
    pub postgres_ms: u64,
    pub events_per_second: f64,
    pub daemon_us: f64,
    /// Not the daemon's, but of the same processors.
    pub relays_us: f64,
    pub requests_per_event: f64,
    /// From SQS's enqueue to the commit, under a steady load.
    pub p99_ms: f64,
    pub peak_memory_mib: f64,
}

/// The SDK alone at one distance.
#[derive(Debug, Serialize)]
pub struct SdkRow {
    pub queue_ms: u64,
    #[serde(flatten)]
    pub ceiling: Ceiling,
}

pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Network> {
    let bodies = bodies(options.events, SIZE)?;
    let mut network = Network { events: options.events, rows: Vec::new(), sdk: Vec::new() };
    for &queue_ms in &options.latency {
        for &postgres_ms in &options.postgres_latency {
            stand.set_latencies(queue_ms, postgres_ms)?;
            network.rows.push(row(stand, &bodies, queue_ms, postgres_ms).await?);
        }
        let filled = stand.fill(&bodies).await?;
        let ceiling = ceiling(&["sdk", &filled.url()?, &options.events.to_string(), POLLERS], |_| Ok(()))?;
        network.sdk.push(SdkRow { queue_ms, ceiling });
    }
    Ok(network)
}

async fn row(stand: &Stand, bodies: &[String], queue_ms: u64, postgres_ms: u64) -> Result<Row> {
    let events = bodies.len();
    clear(stand).await?;
    let filled = stand.fill(bodies).await?;
    let drained = drain(stand, &filled).await?;
    let steady = &bodies[..events.min(STEADY_EVENTS)];
    Ok(Row {
        queue_ms,
        postgres_ms,
        events_per_second: count(events) / seconds(stand).await?,
        daemon_us: per_event(drained.daemon, events),
        relays_us: per_event(drained.relays, events),
        requests_per_event: drained.requests / count(events),
        p99_ms: delays(stand, steady, steady.len(), STEADY_EVENTS_PER_SECOND, 10).await?.p99_ms,
        peak_memory_mib: count(usize::try_from(drained.peak_memory_kib)?) / 1_024.0,
    })
}

/// A figure beside the one without latency, where that was measured.
fn ratio(figure: f64, without_latency: Option<f64>) -> String {
    without_latency.map_or_else(|| "-".to_owned(), |without_latency| format!("{:.2}", figure / without_latency))
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steady = self.events.min(STEADY_EVENTS);
        writeln!(formatter, "{} events of 1.5 KB; p99 of sent to committed: {steady} events at 1000/s", self.events)?;
        writeln!(formatter, "queue  Postgres                     CPU          relays' CPU  requests       p99  memory")?;
        writeln!(formatter, "   ms        ms  events/s  ratio  us/event  ratio   us/event    /event        ms     MiB")?;
        let nearest = self.rows.iter().find(|row| row.queue_ms == 0 && row.postgres_ms == 0);
        for row in &self.rows {
            let rate_ratio = ratio(row.events_per_second, nearest.map(|nearest| nearest.events_per_second));
            let cpu_ratio = ratio(row.daemon_us, nearest.map(|nearest| nearest.daemon_us));
            write!(formatter, "{:>5}{:>10}", row.queue_ms, row.postgres_ms)?;
            write!(formatter, "{:>10.0}{rate_ratio:>7}{:>10.1}{cpu_ratio:>7}", row.events_per_second, row.daemon_us)?;
            write!(formatter, "{:>11.1}{:>10.3}", row.relays_us, row.requests_per_event)?;
            writeln!(formatter, "{:>10.1}{:>8.1}", row.p99_ms, row.peak_memory_mib)?;
        }
        writeln!(formatter, "\nthe SDK alone, {POLLERS} pollers")?;
        writeln!(formatter, "   ms            events/s  ratio  us/event  ratio")?;
        let nearest = self.sdk.iter().find(|row| row.queue_ms == 0).map(|row| row.ceiling);
        for SdkRow { queue_ms, ceiling } in &self.sdk {
            let rate_ratio = ratio(ceiling.events_per_second, nearest.map(|nearest| nearest.events_per_second));
            let cpu_ratio = ratio(ceiling.cpu_us_per_event, nearest.map(|nearest| nearest.cpu_us_per_event));
            let Ceiling { events_per_second, cpu_us_per_event } = ceiling;
            writeln!(formatter, "{queue_ms:>5}{events_per_second:>20.0}{rate_ratio:>7}{cpu_us_per_event:>10.1}{cpu_ratio:>7}")?;
        }
        Ok(())
    }
}
