//! How fast an idle daemon is at its pace when a burst of events arrives, and idle again after it.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::Options;
use crate::process::Daemon;
use crate::runs::clear;
use crate::stand::{Stand, bodies};

const SIZE: usize = 1_500;

/// How much of its later pace the daemon has to reach.
const SHARE: f64 = 0.8;

/// How long it may take to idle, or to notice that it does.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// For how long a poll may be held: the daemon gives one up ten seconds after its wait, and then pauses.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Burst {
    pub queue_ms: u64,
    pub events: usize,
    /// From the burst's arrival.
    pub seconds_to_pace: f64,
    /// The median of the second half.
    pub events_per_second: f64,
    /// What was committed in each tenth of a second since the arrival.
    pub events_per_tenth: Vec<f64>,
    /// From the last commit; none where the daemon does not tell how many polls it wants.
    pub seconds_to_one_poll: Option<f64>,
}

/// The relay keeps the idle daemon's poll back until all events are on the queue: the burst arrives at once, and nothing is measured while
/// the bench is busy sending.
pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Burst> {
    let (queue_ms, events) = (options.latency[0], options.events);
    stand.set_latencies(queue_ms, 0)?;
    clear(stand).await?;
    let bodies = bodies(events, SIZE)?;
    let filled = stand.fill(&[]).await?;
    let relay = filled.relay.as_ref().context("no relay")?;
    let daemon = stand.daemon(&filled)?;
    daemon.ready().await?;
    next_poll(&daemon).await?;
    relay.hold()?;
    // The one that had begun by then; what follows it is held.
    next_poll(&daemon).await?;
    let paused_at = Instant::now();
    filled.send(&bodies).await?;
    ensure!(paused_at.elapsed() < PAUSE_MAX, "the burst took too long to send: give it fewer --events");
    let arrived = now()?;
    relay.let_go()?;
    filled.at_rest().await?;
    let one_poll = one_poll(&daemon).await?;
    let last_commit = stand.number("select extract(epoch from max(pg_xact_commit_timestamp(xmin))) from message").await?;
    daemon.stop()?;
    let events_per_tenth = stand.numbers(per_tenth(arrived)).await?;
    let (seconds_to_pace, events_per_second) = pace(&events_per_tenth)?;
    let seconds_to_one_poll = one_poll.map(|at| at - last_commit);
    Ok(Burst { queue_ms, events, seconds_to_pace, events_per_second, events_per_tenth, seconds_to_one_poll })
}

/// Seconds since the epoch, as Postgres counts them.
fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// Waits until a poll of the idle daemon has ended, upon which it begins another.
async fn next_poll(daemon: &Daemon) -> Result<()> {
    let ended = || daemon.metric("sqs_requests_total", &[r#"operation="receive""#]);
    let (before, deadline) = (ended().await?, Instant::now() + IDLE_TIMEOUT);
    while ended().await? == before {
        ensure!(Instant::now() < deadline, "the idle daemon does not poll");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// When the daemon no longer wants more than one poll.
async fn one_poll(daemon: &Daemon) -> Result<Option<f64>> {
    let deadline = Instant::now() + IDLE_TIMEOUT;
    while let Some(polls) = daemon.metric("polls", &[r#"queue="events""#]).await? {
        if polls <= 1.0 {
            return Ok(Some(now()?));
        }
        ensure!(Instant::now() < deadline, "{polls} polls of an empty queue");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(None)
}

fn per_tenth(arrived: f64) -> String {
    format!(
        "with commits as (select floor((extract(epoch from pg_xact_commit_timestamp(xmin)) - {arrived}) * 10)::int as tenth from message) \
         select count(commits.tenth)::float8 from generate_series(0, (select max(tenth) from commits)) as tenth \
         left join commits using (tenth) group by tenth order by tenth"
    )
}

/// The seconds until a tenth of a second had most of the later pace, and that pace a second. The last tenth is not a whole one.
fn pace(events_per_tenth: &[f64]) -> Result<(f64, f64)> {
    ensure!(events_per_tenth.len() >= 4, "the burst was over too soon to have a pace: give it more --events");
    let mut later = events_per_tenth[events_per_tenth.len() / 2..events_per_tenth.len() - 1].to_vec();
    later.sort_by(f64::total_cmp);
    let median = later[later.len() / 2];
    let reached = events_per_tenth.iter().position(|events| *events >= SHARE * median).context("the pace was never reached")?;
    Ok((f64::from(u32::try_from(reached + 1)?) / 10.0, median * 10.0))
}

impl fmt::Display for Burst {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue_ms, events, seconds_to_pace, events_per_second, .. } = self;
        writeln!(formatter, "a burst of {events} events of 1.5 KB on an idle daemon, queue at {queue_ms} ms")?;
        writeln!(formatter, "{seconds_to_pace:.1} s until {SHARE} of its later pace, which is {events_per_second:.0} events/s")?;
        match self.seconds_to_one_poll {
            Some(seconds) => writeln!(formatter, "{seconds:.1} s from its last commit to one poll"),
            None => writeln!(formatter, "from its last commit to one poll: unknown, the daemon has no event_processor_polls"),
        }
    }
}
