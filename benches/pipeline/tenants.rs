//! What many tenants cost, what many queues cost, and how a process with very many tenants starts and is scraped.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::filled::{Filled, send};
use crate::process::Daemon;
use crate::runs::{clear, count, drain, per_event};
use crate::stand::Stand;
use crate::{Options, usage};

const TENANTS: usize = 1_000;
const EVENT_TYPES: usize = 5;
const VERY_MANY_TENANTS: usize = 10_000;
const QUEUES: usize = 300;

/// So long idle queues are looked at.
const IDLE: Duration = Duration::from_mins(1);

/// Two rounds, interleaved.
const ROUNDS: usize = 2;

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Tenants {
    events: usize,
    /// Of one tenant, and of a thousand, by turns.
    one: Vec<Drain>,
    many: Vec<Drain>,
    queues: Queues,
    very_many: VeryMany,
}

/// A full queue's draining.
#[derive(Debug, Serialize)]
struct Drain {
    daemon_us: f64,
    postgres_us: f64,
    peak_memory_mib: f64,
}

/// Queues that are added to a running process, and taken away.
#[derive(Debug, Serialize)]
struct Queues {
    seconds_until_all_are_polled: f64,
    memory_mib_before: f64,
    memory_mib: f64,
    connections: u64,
    receives_per_second: f64,
    requests_per_second: f64,
    cpu_percent: f64,
    /// Receives of those that have left, from 30 s after.
    receives_after: f64,
}

#[derive(Debug, Serialize)]
struct VeryMany {
    seconds_to_first_event: f64,
    scrape_bytes: usize,
    scrape_ms: Vec<f64>,
    memory_mib: f64,
}

pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Tenants> {
    stand.set_latencies(options.latency[0], 0)?;
    let events = options.events;
    apply(stand, TENANTS, EVENT_TYPES, 0, &[])?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        one.push(drained(stand, events, 1).await?);
        many.push(drained(stand, events, TENANTS).await?);
    }
    // It takes minutes: whoever waits sees how it goes.
    writeln!(std::io::stderr(), "{one:.1?}\n{many:.1?}")?;
    let queues = queues(stand).await?;
    writeln!(std::io::stderr(), "{queues:.1?}")?;
    let very_many = very_many(stand).await?;
    Ok(Tenants { events, one, many, queues, very_many })
}

/// Gives the catalog so many tenants with so many types each, and so many queues, one for each of the first tenants.
fn apply(stand: &Stand, tenants: usize, event_types: usize, queues: usize, flags: &[&str]) -> Result<()> {
    let directory = Directory(std::env::temp_dir().join(format!("event-processor-bench-{}", uuid::Uuid::now_v7().simple())));
    for tenant in 0..tenants {
        let path = directory.0.join(name(tenant));
        for event_type in 0..event_types {
            fs::create_dir_all(path.join(format!("type-{event_type}")))?;
            let schema =
                format!(r#"{{"type": "object", "required": ["id"], "properties": {{"id": {{"type": "integer"}}, "p{tenant}": {{}}}}}}"#);
            fs::write(path.join(format!("type-{event_type}/1.json")), schema)?;
        }
        fs::write(path.join("tenant.toml"), "[clients.one]\n[[subscriptions]]\nclient = \"one\"\nevents = [\"*\"]\n")?;
    }
    let queue = |number: usize| format!("[[queues]]\nname = \"own-{number}\"\ntenant = \"{}\"\n", name(number));
    // The directory holds no more entries than very many tenants.
    if queues > 0 {
        fs::write(directory.0.join("queues.toml"), (0..queues).map(queue).collect::<String>())?;
    }
    stand.command(&[&["catalog", "apply", &directory.0.display().to_string()], flags].concat())
}

fn name(tenant: usize) -> String {
    format!("tenant-{tenant:05}")
}

/// Gone with all that is in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn body(number: usize, tenants: usize) -> String {
    let (tenant, event_type) = (name(number % tenants), number / tenants % EVENT_TYPES);
    let text = "x".repeat(200);
    format!(
        r#"{{"tenant_id":"{tenant}","event_id":"{number}","event_type":"type-{event_type}","payload":{{"id":{number},"text":"{text}"}}}}"#
    )
}

async fn drained(stand: &Stand, events: usize, tenants: usize) -> Result<Drain> {
    clear(stand).await?;
    let bodies: Vec<String> = (0..events).map(|number| body(number, tenants)).collect();
    let filled = stand.fill(&bodies).await?;
    let drained = drain(stand, &filled).await?;
    Ok(Drain {
        daemon_us: per_event(drained.daemon, events),
        postgres_us: per_event(drained.postgres, events),
        peak_memory_mib: mib(drained.peak_memory_kib)?,
    })
}

fn mib(kib: u64) -> Result<f64> {
    Ok(count(usize::try_from(kib)?) / 1_024.0)
}

async fn queues(stand: &Stand) -> Result<Queues> {
    clear(stand).await?;
    let filled = stand.fill(&[]).await?;
    let own = filled.create_unpolled(QUEUES, |number| format!("own-{number}")).await?;
    let daemon = stand.daemon(&filled)?;
    daemon.ready().await?;
    let memory_before = usage::memory_kib(daemon.id(), "VmRSS")?;
    apply(stand, TENANTS, EVENT_TYPES, QUEUES, &[])?;
    let began = Instant::now();
    // Each has been polled when it has given its event away.
    for (number, queue) in own.iter().enumerate() {
        send(queue, &[body(number, QUEUES)], 1).await?;
    }
    stand.stored(QUEUES).await?;
    let seconds_until_all_are_polled = began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (before, cpu) = (requests(&daemon).await?, usage::cpu(daemon.id())?);
    tokio::time::sleep(IDLE).await;
    let (after, seconds) = (requests(&daemon).await?, IDLE.as_secs_f64());
    let cpu_percent = (usage::cpu(daemon.id())? - cpu) / seconds * 100.0;
    let (_, connections) = usage::descriptors(daemon.id())?;
    let memory = usage::memory_kib(daemon.id(), "VmRSS")?;
    apply(stand, TENANTS, EVENT_TYPES, 0, &["--prune"])?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    for (number, queue) in own.iter().enumerate() {
        send(queue, &[body(QUEUES + number, QUEUES)], 1).await?;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let receives_after = stand.number("select count(*) from message").await? - count(QUEUES);
    daemon.stop()?;
    Ok(Queues {
        seconds_until_all_are_polled,
        memory_mib_before: mib(memory_before)?,
        memory_mib: mib(memory)?,
        connections,
        receives_per_second: (after.0 - before.0) / seconds,
        requests_per_second: (after.1 - before.1) / seconds,
        cpu_percent,
        receives_after,
    })
}

/// Receives, and all requests.
async fn requests(daemon: &Daemon) -> Result<(f64, f64)> {
    let receives = daemon.metric("sqs_requests_total", &[r#"operation="receive""#]).await?;
    let all = ["receive", "delete", "extend", "release", "open", "depth"].map(|operation| format!("operation=\"{operation}\""));
    let all = daemon.metric("sqs_requests_total", &all.each_ref().map(String::as_str)).await?;
    Ok((receives.unwrap_or_default(), all.unwrap_or_default()))
}

async fn very_many(stand: &Stand) -> Result<VeryMany> {
    clear(stand).await?;
    apply(stand, VERY_MANY_TENANTS, 1, 0, &[])?;
    let filled: Filled = stand.fill(&[body(0, VERY_MANY_TENANTS)]).await?;
    let began = Instant::now();
    let daemon = stand.daemon(&filled)?;
    while stand.number("select count(*) from message").await? < 1.0 {
        if began.elapsed() > Duration::from_mins(1) {
            bail!("the first event was not stored within a minute");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds_to_first_event = began.elapsed().as_secs_f64();
    let bodies: Vec<String> = (0..2 * VERY_MANY_TENANTS).map(|number| body(number, VERY_MANY_TENANTS)).collect();
    filled.send(&bodies).await?;
    filled.at_rest().await?;
    let (mut scrape_ms, mut scrape_bytes) = (Vec::new(), 0);
    for _ in 0..5 {
        let began = Instant::now();
        scrape_bytes = daemon.scrape().await?.len();
        scrape_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let memory_mib = mib(usage::memory_kib(daemon.id(), "VmRSS")?)?;
    daemon.stop().context("the daemon with very many tenants")?;
    Ok(VeryMany { seconds_to_first_event, scrape_bytes, scrape_ms, memory_mib })
}

impl fmt::Display for Tenants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, one, many, queues, very_many } = self;
        writeln!(formatter, "{events} events of one tenant, then of {TENANTS} with {EVENT_TYPES} types each, by turns")?;
        for (name, drains) in [("one", one), ("many", many)] {
            for Drain { daemon_us, postgres_us, peak_memory_mib } in drains {
                writeln!(formatter, "{name}: daemon {daemon_us:.1} us an event, Postgres {postgres_us:.1}, {peak_memory_mib:.0} MiB")?;
            }
        }
        let Queues { seconds_until_all_are_polled, memory_mib_before, memory_mib, connections, receives_per_second, .. } = queues;
        writeln!(formatter, "{QUEUES} queues added to a running process: all polled after {seconds_until_all_are_polled:.1} s")?;
        writeln!(
            formatter,
            "idle: {receives_per_second:.1} receives and {:.1} requests a second, {connections} connections, {memory_mib:.0} MiB (before {memory_mib_before:.0}), {:.1} % of a processor",
            queues.requests_per_second, queues.cpu_percent
        )?;
        writeln!(formatter, "taken away: {} events received of them from 30 s later on", queues.receives_after)?;
        let VeryMany { seconds_to_first_event, scrape_bytes, scrape_ms, memory_mib } = very_many;
        writeln!(
            formatter,
            "{VERY_MANY_TENANTS} tenants: first event stored {seconds_to_first_event:.2} s after the start, a scrape of {scrape_bytes} bytes in {scrape_ms:.1?} ms, {memory_mib:.0} MiB"
        )
    }
}
