//! How memory, descriptors and connections go under a load that lasts, and what the database's gauges cost Postgres meanwhile.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::process::Daemon;
use crate::runs::{clear, count};
use crate::stand::{Stand, with_violations};
use crate::{Options, usage};

const SIZE: usize = 1_500;

/// All that was measured; a sample each second.
#[derive(Debug, Serialize)]
pub struct Soak {
    pub queue_ms: u64,
    pub seconds: u64,
    pub events_per_second: u32,
    pub stored_events_per_second: f64,
    pub memory_kib: Vec<u64>,
    pub peak_kib: u64,
    pub descriptors: Vec<u64>,
    /// Those of the descriptors that are established TCP connections.
    pub connections: Vec<u64>,
    pub deliveries: f64,
    pub dead_letters: f64,
    /// Of Postgres's processor time.
    pub gauges_percent: f64,
}

pub async fn measure(stand: &mut Stand, options: &Options, seconds: u64) -> Result<Soak> {
    let queue_ms = options.latency[0];
    stand.set_latencies(queue_ms, 0)?;
    clear(stand).await?;
    let filled = stand.fill(&[]).await?;
    let postgres = stand.postgres_cpu()?;
    let daemon = stand.daemon(&filled)?;
    let mut soak = Soak {
        queue_ms,
        seconds,
        events_per_second: options.rate,
        stored_events_per_second: 0.0,
        memory_kib: Vec::new(),
        peak_kib: 0,
        descriptors: Vec::new(),
        connections: Vec::new(),
        deliveries: 0.0,
        dead_letters: 0.0,
        gauges_percent: 0.0,
    };
    let events = usize::try_from(seconds)? * usize::try_from(options.rate)?;
    let sending = filled.send_at(with_violations(SIZE)?.take(events), f64::from(options.rate), 10);
    // Sampling alone never ends well.
    tokio::select! {
        sent = sending => sent?,
        sampled = sample(&daemon, &mut soak) => sampled?,
    }
    // First, for the counts below are Postgres's work too.
    soak.gauges_percent = gauges_cpu(stand, seconds).await? / (stand.postgres_cpu()? - postgres) * 100.0;
    soak.stored_events_per_second = stand.number("select count(*) from message").await? / count(usize::try_from(seconds)?);
    soak.deliveries = stand.number("select count(*) from delivery").await?;
    soak.dead_letters = stand.number("select count(*) from dead_letter").await?;
    soak.peak_kib = usage::memory_kib(daemon.id(), "VmHWM")?;
    daemon.stop()?;
    Ok(soak)
}

/// The processor time of the one backend that counts for the database's gauges, which has to have been there all the time.
async fn gauges_cpu(stand: &Stand, seconds: u64) -> Result<f64> {
    let backend = format!(
        "select pid from pg_stat_activity
        where application_name = 'event-processor backlog' and backend_start < now() - interval '{} s'",
        seconds.saturating_sub(5)
    );
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a process's id")]
    let id = stand.number(&backend).await.context("the backend of the database's gauges was not there all the time")? as u32;
    usage::cpu(id)
}

async fn sample(daemon: &Daemon, soak: &mut Soak) -> Result<()> {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        soak.memory_kib.push(usage::memory_kib(daemon.id(), "VmRSS")?);
        let (descriptors, connections) = usage::descriptors(daemon.id())?;
        soak.descriptors.push(descriptors);
        soak.connections.push(connections);
    }
}

/// The least and the most; the first tenth is the start.
fn range(samples: &[u64]) -> String {
    let settled = &samples[samples.len() / 10..];
    format!("{}..{}", settled.iter().min().unwrap_or(&0), settled.iter().max().unwrap_or(&0))
}

impl fmt::Display for Soak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue_ms, seconds, events_per_second, stored_events_per_second, peak_kib, .. } = self;
        writeln!(
            formatter,
            "{seconds} s of {events_per_second} events/s of 1.5 KB, one in twenty breaks its schema, queue at {queue_ms} ms"
        )?;
        writeln!(formatter, "stored {stored_events_per_second:.0} events/s")?;
        writeln!(formatter, "memory {} KiB, at most {peak_kib}", range(&self.memory_kib))?;
        writeln!(formatter, "descriptors {}, of them TCP connections {}", range(&self.descriptors), range(&self.connections))?;
        let Self { deliveries, dead_letters, gauges_percent, .. } = self;
        writeln!(
            formatter,
            "{deliveries} deliveries and {dead_letters} dead letters at the end; the database's gauges took {gauges_percent:.2} % of Postgres's CPU"
        )
    }
}
