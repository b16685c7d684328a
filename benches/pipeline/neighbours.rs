//! What a queue's pace becomes beside other queues of the same daemon.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::Options;
use crate::filled::{at_rest, send};
use crate::runs::{clear, count, drain, rate, seconds};
use crate::stand::{Stand, bodies, endless};

const SIZE: usize = 1_000;

const IDLE_QUEUES: usize = 49;

/// What the other queue has. Three fit into a request of SQS's.
const LARGE_SIZE: usize = 250_000;
const LARGE_EVENTS: usize = 600;
const LARGE_BATCH: usize = 3;

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Neighbours {
    pub queue_ms: u64,
    pub events: usize,
    pub alone_events_per_second: f64,
    pub beside_idle_events_per_second: f64,
    /// While both queues have messages.
    pub beside_large_events_per_second: f64,
    /// For how long they had.
    pub beside_large_seconds: f64,
}

pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Neighbours> {
    let (queue_ms, events) = (options.latency[0], options.events);
    stand.set_latencies(queue_ms, 0)?;
    let bodies = bodies(events, SIZE)?;
    let alone_events_per_second = rate(stand, &bodies).await?;
    let beside_idle_events_per_second = beside_idle(stand, &bodies).await?;
    let (beside_large_events_per_second, beside_large_seconds) = beside_large(stand, &bodies).await?;
    Ok(Neighbours {
        queue_ms,
        events,
        alone_events_per_second,
        beside_idle_events_per_second,
        beside_large_events_per_second,
        beside_large_seconds,
    })
}

async fn beside_idle(stand: &Stand, bodies: &[String]) -> Result<f64> {
    clear(stand).await?;
    let mut filled = stand.fill(bodies).await?;
    for number in 1..=IDLE_QUEUES {
        filled.add(&format!("idle-{number}")).await?;
    }
    drain(stand, &filled).await?;
    Ok(count(bodies.len()) / seconds(stand).await?)
}

/// Until one of the two queues is drained: from then on the other has the daemon for itself.
const OVERLAP: &str = "
(select min(began) as began, min(ended) as ended from
    (select min(received_at) as began, max(pg_xact_commit_timestamp(xmin)) as ended from message group by queue) each) overlap";

/// Events a second while both queues have messages, and how many seconds that is.
async fn beside_large(stand: &Stand, bodies: &[String]) -> Result<(f64, f64)> {
    clear(stand).await?;
    let mut filled = stand.fill(bodies).await?;
    let large = filled.add("large").await?;
    // Not every type of the sample catalog takes so large a payload.
    let large_bodies: Vec<String> = endless(LARGE_SIZE)?.filter(|body| body.len() >= LARGE_SIZE).take(LARGE_EVENTS).collect();
    send(&large, &large_bodies, LARGE_BATCH).await?;
    let daemon = stand.daemon(&filled)?;
    filled.at_rest().await?;
    at_rest(&large).await?;
    daemon.stop()?;
    let seconds = stand.number(&format!("select extract(epoch from ended - began) from {OVERLAP}")).await?;
    let stored = format!("select count(*) from message, {OVERLAP} where queue = 'events' and pg_xact_commit_timestamp(xmin) <= ended");
    Ok((stand.number(&stored).await? / seconds, seconds))
}

impl fmt::Display for Neighbours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue_ms, events, alone_events_per_second: alone, .. } = self;
        writeln!(formatter, "{events} events of 1 KB on one queue, at {queue_ms} ms: {alone:.0} events/s alone")?;
        let (idle, large) = (self.beside_idle_events_per_second, self.beside_large_events_per_second);
        writeln!(formatter, "beside {IDLE_QUEUES} idle queues: {idle:.0} events/s, {:.2}", idle / alone)?;
        let seconds = self.beside_large_seconds;
        write!(formatter, "beside {LARGE_EVENTS} events of 250 KB on another: {large:.0} events/s, {:.2}", large / alone)?;
        writeln!(formatter, ", in the {seconds:.1} s while both queues had messages")
    }
}
