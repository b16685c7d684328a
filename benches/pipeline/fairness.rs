//! What a tenant's flood does to another tenant's events on the same queue.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::Options;
use crate::runs::{clear, count, drain};
use crate::stand::Stand;

/// Of the tenant whose events are timed.
const VICTIM_EVENTS_PER_SECOND: f64 = 50.0;

/// So often each phase is measured; the median counts.
const ROUNDS: usize = 3;

/// What the delay may be beside a flood, for what it is alone.
const TARGET: (f64, f64) = (1.5, 20.0);

/// What a tenant may do to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Flood {
    /// 1,000 a second, of which it may bring 100.
    OverRate,
    /// Bodies of 250 KB.
    Large,
    /// Tens of milliseconds each, by as much work as admission lets pass.
    Costly,
    /// What is no event, of no tenant.
    Garbage,
    /// Other content under ids that are stored.
    Conflicts,
    /// A thousand at once, each for a thousand clients.
    Subscribers,
}

impl Flood {
    const ALL: [Self; 6] = [Self::OverRate, Self::Large, Self::Costly, Self::Garbage, Self::Conflicts, Self::Subscribers];

    fn body(self, number: usize) -> String {
        let event = |tenant: &str, id: usize, event_type: &str, payload: &str| {
            format!(r#"{{"tenant_id":"{tenant}","event_id":"{id}","event_type":"{event_type}","payload":{payload}}}"#)
        };
        match self {
            Self::OverRate => event("limited", number, "note", "1"),
            Self::Large => {
                event("flood", number, "note", &format!("[{}{{}}]", r#"{"name":"some text of some length","number":12345},"#.repeat(4_900)))
            }
            Self::Costly => event("flood", number, "costly", &format!("[{}1000]", "1000,".repeat(2_000))),
            Self::Garbage => format!("{{garbage {number}"),
            Self::Conflicts => event("flood", number % 1_000, "note", &number.to_string()),
            Self::Subscribers => event("wide", number, "note", "1"),
        }
    }

    /// How many are drained to learn the full pace; none where its pace is given.
    fn drained(self) -> Option<usize> {
        match self {
            Self::OverRate | Self::Subscribers => None,
            Self::Large | Self::Costly => Some(600),
            Self::Garbage | Self::Conflicts => Some(30_000),
        }
    }

    /// How many go into one request of SQS's.
    fn batch(self) -> usize {
        if self == Self::Large { 3 } else { 10 }
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Fairness {
    events: usize,
    alone_p99_ms: Vec<f64>,
    floods: Vec<Beside>,
}

/// A flood, and the delays beside it.
#[derive(Debug, Serialize)]
struct Beside {
    flood: Flood,
    events_per_second: f64,
    p99_ms: Vec<f64>,
}

pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Fairness> {
    stand.set_latencies(options.latency[0], 0)?;
    apply_catalog(stand)?;
    let events = options.events;
    let mut fairness = Fairness { events, alone_p99_ms: Vec::new(), floods: Vec::new() };
    for flood in Flood::ALL {
        let events_per_second = match flood.drained() {
            Some(drained) => full_pace(stand, flood, drained).await? / 2.0,
            None => 1_000.0,
        };
        fairness.floods.push(Beside { flood, events_per_second, p99_ms: Vec::new() });
    }
    // One after the other, so that what the machine does meanwhile meets all of them.
    for _ in 0..ROUNDS {
        fairness.alone_p99_ms.push(p99_ms(stand, events, None).await?);
        for beside in &mut fairness.floods {
            beside.p99_ms.push(p99_ms(stand, events, Some((beside.flood, beside.events_per_second))).await?);
        }
    }
    Ok(fairness)
}

/// Adds the tenants to the sample catalog's.
fn apply_catalog(stand: &Stand) -> Result<()> {
    let directory = Directory(std::env::temp_dir().join(format!("event-processor-bench-{}", uuid::Uuid::now_v7().simple())));
    let write = |path: &str, text: &str| -> Result<()> {
        let path = directory.0.join(path);
        fs::create_dir_all(path.parent().context("a directory")?)?;
        Ok(fs::write(path, text)?)
    };
    let client = |number: usize| format!("[clients.c{number}]\n[[subscriptions]]\nclient = \"c{number}\"\nevents = [\"*\"]\n");
    write("victim/tenant.toml", &client(0))?;
    write("limited/tenant.toml", &format!("rate_limit = 100\n{}", client(0)))?;
    write("flood/tenant.toml", &client(0))?;
    write("wide/tenant.toml", &(0..1_000).map(client).collect::<String>())?;
    for tenant in ["victim", "limited", "flood", "wide"] {
        write(&format!("{tenant}/note/1.json"), "{}")?;
    }
    let schemas: Vec<String> = (0..400).map(|number| format!(r#"{{"minimum": {number}}}"#)).collect();
    write("flood/costly/1.json", &format!(r#"{{"items": {{"allOf": [{}]}}}}"#, schemas.join(",")))?;
    stand.command(&["catalog", "apply", &directory.0.display().to_string()])
}

/// Gone with all that is in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How many events a second a full queue of a flood gives, by the first two thirds: what waits for a rate comes later.
async fn full_pace(stand: &Stand, flood: Flood, events: usize) -> Result<f64> {
    clear(stand).await?;
    let filled = stand.fill(&[]).await?;
    let bodies: Vec<String> = (0..events).map(|number| flood.body(number)).collect();
    crate::filled::send(&filled.queue, &bodies, flood.batch()).await?;
    drain(stand, &filled).await?;
    let times = "(select received_at as began, pg_xact_commit_timestamp(xmin) as ended from message
        union all select last_seen_at, pg_xact_commit_timestamp(xmin) from dead_letter) settled";
    let seconds = format!("select extract(epoch from percentile_disc(0.667) within group (order by ended) - min(began)) from {times}");
    Ok(count(events) * 0.667 / stand.number(&seconds).await?)
}

/// From SQS's enqueue to the commit, of the victim's events.
async fn p99_ms(stand: &Stand, events: usize, flood: Option<(Flood, f64)>) -> Result<f64> {
    clear(stand).await?;
    let filled = stand.fill(&[]).await?;
    let daemon = stand.daemon(&filled)?;
    daemon.ready().await?;
    let victims =
        (0..events).map(|number| format!(r#"{{"tenant_id":"victim","event_id":"{number}","event_type":"note","payload":{number}}}"#));
    let sending = filled.send_at(victims, VICTIM_EVENTS_PER_SECOND, 1);
    match flood {
        None => sending.await?,
        Some((Flood::Subscribers, _)) => {
            let bodies: Vec<String> = (0..1_000).map(|number| Flood::Subscribers.body(number)).collect();
            let (victims, flood) = tokio::join!(sending, filled.send(&bodies));
            victims.and(flood)?;
        }
        Some((flood, events_per_second)) => {
            let flooding = filled.send_at((0..).map(|number| flood.body(number)), events_per_second, flood.batch());
            // A flood ends when it is not measured any more.
            tokio::select! {
                sent = sending => sent?,
                sent = flooding => sent?,
            }
        }
    }
    let of_victim = "message where tenant_id = 'victim'";
    for _ in 0..300 {
        if stand.number(&format!("select count(*) from {of_victim}")).await? >= count(events) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let stored = stand.number(&format!("select count(*) from {of_victim}")).await?;
    ensure!((stored - count(events)).abs() < 0.5, "of the victim's {events} events {stored} are stored");
    // What is left of the flood is not waited for.
    drop(daemon);
    let delay = "extract(epoch from pg_xact_commit_timestamp(xmin) - sent_at) * 1000";
    let p99_ms = stand.number(&format!("select percentile_cont(0.99) within group (order by {delay}) from {of_victim}")).await?;
    // It takes half an hour: whoever waits sees how it goes.
    writeln!(std::io::stderr(), "{flood:.1?}: {p99_ms:.1} ms")?;
    Ok(p99_ms)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Fairness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alone = median(&self.alone_p99_ms);
        let (factor, beyond) = TARGET;
        writeln!(
            formatter,
            "{} events of one tenant at {VICTIM_EVENTS_PER_SECOND} a second, sent to committed, p99 of each round in ms",
            self.events
        )?;
        writeln!(
            formatter,
            "alone: {:.0?}, median {alone:.0}; at most {:.0} beside a flood of another tenant's",
            self.alone_p99_ms,
            alone * factor + beyond
        )?;
        for Beside { flood, events_per_second, p99_ms } in &self.floods {
            writeln!(formatter, "beside {flood:?} ({events_per_second:.0} a second): {p99_ms:.0?}, median {:.0}", median(p99_ms))?;
        }
        Ok(())
    }
}
