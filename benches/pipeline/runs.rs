//! The measurements.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::ceilings::Ceiling;
use crate::filled::Filled;
use crate::process::ceiling;
use crate::report::{Again, Delays, Report, Row};
use crate::stand::{Stand, bodies, with_violations};
use crate::{Options, burst, fairness, neighbours, network, soak, tenants, traces, usage};

/// As the daemon has them, so that the parts alone work in the same way.
const POLLERS: &str = "4";
const WRITERS: &str = "2";

/// Events that are sent at half of the highest rate.
const DELAYED_EVENTS: usize = 20_000;

/// The requests to SQS that grow with the events.
const MESSAGE_OPERATIONS: [&str; 4] =
    [r#"operation="receive""#, r#"operation="delete""#, r#"operation="extend""#, r#"operation="release""#];

/// Leaves each type of the sample catalog one subscriber.
const ONE_SUBSCRIBER: &str = "update subscription set active = false
    where client_id in ('support-desk', 'newsletter', 'welcome.whatsapp') or client_id = 'warehouse' and event_pattern like 'order.%'";

/// Events that are sent one at a time.
const SINGLE_EVENTS: usize = 300;

pub async fn all(options: &Options, processor: PathBuf) -> Result<Report> {
    let mut stand = Stand::start(processor, options.set.clone()).await?;
    let mut report = Report::default();
    if options.network {
        report.network = Some(network::measure(&mut stand, options).await?);
    } else if options.burst {
        report.burst = Some(burst::measure(&mut stand, options).await?);
    } else if options.neighbours {
        report.neighbours = Some(neighbours::measure(&mut stand, options).await?);
    } else if options.fairness {
        report.fairness = Some(fairness::measure(&mut stand, options).await?);
    } else if options.tenants {
        report.tenants = Some(tenants::measure(&mut stand, options).await?);
    } else if options.traces {
        report.traces = Some(traces::measure(&mut stand, options).await?);
    } else if let Some(seconds) = options.soak {
        report.soak = Some(soak::measure(&mut stand, options, seconds).await?);
    } else {
        parts(&stand, options, &mut report).await?;
    }
    Ok(report)
}

/// The whole path beside its parts, all on this machine.
async fn parts(stand: &Stand, options: &Options, report: &mut Report) -> Result<()> {
    let sample = measure(stand, &of_size(0, ""), &bodies(options.events, 0)?).await?;
    let highest_rate = sample.events_per_second;
    report.rows.push(sample);
    if options.quick {
        return Ok(());
    }
    for size in &options.size {
        report.rows.push(measure(stand, &of_size(*size, ""), &bodies(options.events, *size)?).await?);
    }
    stand.execute(ONE_SUBSCRIBER).await?;
    for size in [0].iter().chain(&options.size) {
        let row = measure(stand, &of_size(*size, ", one subscriber"), &bodies(options.events, *size)?).await?;
        ensure!((row.deliveries - 1.0).abs() < 0.001, "the sample catalog's subscriptions are not those that are known here");
        report.rows.push(row);
    }
    stand.execute("update subscription set active = true").await?;
    report.half_rate = Some(delays(stand, &bodies(DELAYED_EVENTS, 0)?, DELAYED_EVENTS, highest_rate / 2.0, 10).await?);
    report.beside_slow_schema = Some(delays_beside_slow_schema(stand, highest_rate / 2.0).await?);
    report.single = Some(delays(stand, &bodies(SINGLE_EVENTS, 0)?, SINGLE_EVENTS, 20.0, 1).await?);
    let valid = bodies(options.events, 0)?;
    report.valid_events_per_second = Some(rate(stand, &valid).await?);
    let violating: Vec<String> = with_violations(0)?.take(options.events).collect();
    report.violating_events_per_second = Some(rate(stand, &violating).await?);
    report.again = Some(again(stand, &valid).await?);
    Ok(())
}

/// What a row is called.
fn of_size(bytes: usize, with: &str) -> String {
    if bytes == 0 { format!("sample{with}") } else { format!("{bytes} B{with}") }
}

/// What one draining of a full queue took; processor times in seconds.
pub struct Drained {
    pub daemon: f64,
    pub postgres: f64,
    pub queue: f64,
    pub relays: f64,
    pub peak_memory_kib: u64,
    /// To SQS, for messages.
    pub requests: f64,
}

/// Drains a full queue by the daemon, from its start to its last delete.
pub async fn drain(stand: &Stand, filled: &Filled) -> Result<Drained> {
    let (postgres, queue) = (stand.postgres_cpu()?, usage::cpu(filled.server.id())?);
    let relays = stand.relay_cpu()? + filled.relay_cpu()?;
    let daemon = stand.daemon(filled)?;
    filled.at_rest().await?;
    let drained = Drained {
        daemon: usage::cpu(daemon.id())?,
        postgres: stand.postgres_cpu()? - postgres,
        queue: usage::cpu(filled.server.id())? - queue,
        relays: stand.relay_cpu()? + filled.relay_cpu()? - relays,
        peak_memory_kib: usage::memory_kib(daemon.id(), "VmHWM")?,
        requests: daemon.metric("sqs_requests_total", &MESSAGE_OPERATIONS).await?.unwrap_or(0.0),
    };
    daemon.stop()?;
    Ok(drained)
}

/// How long it took to store a full queue's events: from the first transaction's begin to the last commit, as the parts alone are not timed
/// while they start either.
pub async fn seconds(stand: &Stand) -> Result<f64> {
    stand.number("select extract(epoch from max(pg_xact_commit_timestamp(xmin)) - min(received_at)) from message").await
}

pub fn per_event(seconds: f64, events: usize) -> f64 {
    seconds * 1e6 / count(events)
}

pub fn count(events: usize) -> f64 {
    u32::try_from(events).map_or(f64::MAX, f64::from)
}

pub async fn clear(stand: &Stand) -> Result<()> {
    stand.execute("truncate message, delivery, dead_letter; checkpoint").await
}

/// Keeps the rows of a run, to be inserted once more.
const KEEP: &str = "
drop table if exists kept_message, kept_delivery;
create table kept_message as table message;
create table kept_delivery as table delivery;
create index on kept_delivery (tenant_id, source, event_id);
analyze kept_message, kept_delivery";

/// The whole path, then each part alone with the same messages, bodies and rows.
async fn measure(stand: &Stand, name: &str, bodies: &[String]) -> Result<Row> {
    let events = bodies.len();
    clear(stand).await?;
    let filled = stand.fill(bodies).await?;
    let drained = drain(stand, &filled).await?;
    let seconds = seconds(stand).await?;
    drop(filled);
    let transactions = "select count(distinct stored_xid::text) from message";
    let batch_rows = (count(events) / stand.number(transactions).await?).round();
    let deliveries = stand.number("select count(*) from delivery").await? / count(events);
    stand.execute(KEEP).await?;

    let filled = stand.fill(bodies).await?;
    let sdk = ceiling(&["sdk", filled.queue.url(), &events.to_string(), POLLERS], |_| Ok(()))?;
    drop(filled);
    let batch = batch_rows.to_string();
    let (driver, driver_postgres) = insert(stand, "driver", &batch, WRITERS, events).await?;
    let (_, driver_postgres_eight) = insert(stand, "driver", &batch, "8", events).await?;
    let (_, bare_postgres) = insert(stand, "bare", &batch, WRITERS, events).await?;
    let file = std::env::temp_dir().join(format!("event-processor-bench-{}", uuid::Uuid::now_v7().simple()));
    fs::write(&file, serde_json::to_vec(bodies)?)?;
    let validating = ceiling(&["validate", &stand.url(), &file.display().to_string()], |_| Ok(()));
    fs::remove_file(&file)?;
    Ok(Row {
        name: name.to_owned(),
        events,
        batch_rows,
        deliveries,
        events_per_second: count(events) / seconds,
        daemon_us: per_event(drained.daemon, events),
        postgres_us: per_event(drained.postgres, events),
        queue_us: per_event(drained.queue, events),
        peak_memory_mib: count(usize::try_from(drained.peak_memory_kib)?) / 1_024.0,
        sdk,
        driver,
        validating: validating?,
        bare_postgres_us: bare_postgres,
        driver_postgres_us: driver_postgres,
        driver_postgres_eight_us: driver_postgres_eight,
    })
}

/// A part that inserts, alone: what it took, and Postgres's microseconds an event.
async fn insert(stand: &Stand, part: &str, batch_rows: &str, writers: &str, events: usize) -> Result<(Ceiling, f64)> {
    clear(stand).await?;
    let bare = "create table bare (tenant_id text collate \"C\", event_id text collate \"C\", payload json compression lz4, primary key (tenant_id, event_id))";
    stand.execute(&format!("drop table if exists bare; {bare}")).await?;
    let mut before = 0.0;
    let mut used = 0.0;
    let alone = ceiling(&[part, &stand.url(), batch_rows, writers], |is_over| {
        let now = stand.postgres_cpu()?;
        if is_over {
            used = now - before;
        } else {
            before = now;
        }
        Ok(())
    })?;
    Ok((alone, per_event(used, events)))
}

/// From SQS's enqueue to the commit, under an even load.
pub async fn delays(stand: &Stand, bodies: &[String], stored: usize, events_per_second: f64, batch: usize) -> Result<Delays> {
    clear(stand).await?;
    let filled = stand.fill(&[]).await?;
    let daemon = stand.daemon(&filled)?;
    // Its start is no delay of an event's.
    daemon.ready().await?;
    filled.send_at(bodies.iter().cloned(), events_per_second, batch).await?;
    // Not until the queue is at rest: what a slow schema has set aside comes again much later.
    stand.stored(stored).await?;
    daemon.stop()?;
    let (p50_ms, p99_ms) = (delay_ms(stand, "0.5").await?, delay_ms(stand, "0.99").await?);
    Ok(Delays { events: bodies.len(), events_per_second, p50_ms, p99_ms })
}

/// A percentile of the delays of what is stored.
async fn delay_ms(stand: &Stand, share: &str) -> Result<f64> {
    let delay = "extract(epoch from pg_xact_commit_timestamp(xmin) - sent_at) * 1000";
    stand.number(&format!("select percentile_cont({share}) within group (order by {delay}) from message")).await
}

/// The same, while twenty events meet a schema that no admission would let pass: it holds one value against two to the 28th parts of itself.
async fn delays_beside_slow_schema(stand: &Stand, events_per_second: f64) -> Result<Delays> {
    let definition = |link: u32| {
        let earlier = format!(r##"{{"$ref": "#/$defs/d{}"}}"##, link - 1);
        format!(r#", "d{link}": {{"allOf": [{earlier}, {earlier}]}}"#)
    };
    let definitions: String = (1..=28).map(definition).collect();
    let schema = format!(r##"{{"$defs": {{"d0": {{"type": "string"}}{definitions}}}, "$ref": "#/$defs/d28"}}"##);
    let bundle = format!(r#"{{"root": "slow/1.json", "files": {{"slow/1.json": {schema}}}}}"#);
    let plant = format!(
        "insert into tenant (tenant_id, name) values ('planted', ''); \
         insert into event_type (tenant_id, event_type) values ('planted', 'slow'); \
         insert into event_schema (tenant_id, event_type, schema_version, bundle, digest) values ('planted', 'slow', 1, '{bundle}', sha256('slow'))"
    );
    stand.execute(&plant).await?;
    let mut bodies = bodies(DELAYED_EVENTS, 0)?;
    for number in 0..20 {
        let slow = format!(r#"{{"tenant_id":"planted","event_id":"slow-{number}","event_type":"slow","payload":"a"}}"#);
        bodies.insert(number * DELAYED_EVENTS / 20, slow);
    }
    delays(stand, &bodies, DELAYED_EVENTS, events_per_second, 10).await
}

/// Events a second. Their peers may break their schemas.
pub async fn rate(stand: &Stand, bodies: &[String]) -> Result<f64> {
    clear(stand).await?;
    let filled = stand.fill(bodies).await?;
    drain(stand, &filled).await?;
    Ok(count(bodies.len()) / seconds(stand).await?)
}

/// Processor time of daemon and Postgres for an event that is new, and for one that comes again.
async fn again(stand: &Stand, bodies: &[String]) -> Result<Again> {
    clear(stand).await?;
    let mut used = [0.0; 2];
    for used in &mut used {
        let filled = stand.fill(bodies).await?;
        let drained = drain(stand, &filled).await?;
        *used = per_event(drained.daemon + drained.postgres, bodies.len());
    }
    Ok(Again { new_us: used[0], again_us: used[1] })
}
