//! Sample events: sent as `producers` sends them, valid ones, ones that are wrong in every way and some a second time, and accounted for as
//! `producers verify` does, from the database and the queue.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::candidate::QueueBinding;
use crate::catalog::declaration::Declaration;
use crate::output::announce;
use crate::producers::generation::{Generator, Mix};
use crate::producers::ledger::{self, Entry, Ledger, LedgerError};
use crate::producers::material;
use crate::producers::sending::{self, Pace};
use crate::producers::verification::{Report, verify};
use crate::progress::Progress;
use crate::queue::Queue;

/// What was sent, until it is accounted for.
const LEDGER_FILE: &str = ".dev/sample-ledger";

/// Enough wrong events for each reason, in the samples of a small catalog too.
const EVENTS_MIN: u64 = 100;
const EVENTS_PER_TYPE: u64 = 8;
const MIX: Mix = Mix { invalid: 0.25, duplicates: 0.1, size: 0 };

/// Everybody's first run shows the same.
const SEED: u64 = 16;

/// Events a second.
const RATE: f64 = 1_000.0;

/// How long the samples may take; they take a second.
const ACCOUNT_TIMEOUT: Duration = Duration::from_mins(1);

/// Sends the samples of a catalog and shows what became of them; whether each is accounted for.
///
/// # Errors
/// When the ledger cannot be used, or the queue or the database does not answer.
pub async fn show(
    queue: &Queue,
    connection: &mut PgConnection,
    (directory, declaration): (&Path, &Declaration),
    stop: &CancellationToken,
) -> Result<bool> {
    let kinds = material::of_catalog(directory, declaration, &[], &[], 0).map_err(Error::msg)?;
    let events = EVENTS_MIN.max(EVENTS_PER_TYPE * u64::try_from(kinds.len())?);
    let run = Uuid::now_v7().simple().to_string();
    let generator = Generator::new(kinds, QueueBinding::clone(&queue.binding), MIX, SEED, &run);
    let Some(generator) = generator.ok().filter(Generator::has_examples) else {
        announce("no sample events: no event type has a payload below `examples/valid`");
        return Ok(true);
    };
    let entries = send(queue, generator, events, stop).await?;
    if stop.is_cancelled() {
        return Ok(false);
    }
    let report = verify(connection, std::slice::from_ref(queue), &entries, ACCOUNT_TIMEOUT).await?;
    announce(format_args!("sample events, and what became of them:\n\n{}", table(&report, declaration)));
    if !report.accounted {
        announce(&report);
    }
    Ok(report.accounted)
}

/// Sends so many events, fewer where it is stopped; their ledger.
async fn send(queue: &Queue, mut generator: Generator, events: u64, stop: &CancellationToken) -> Result<Vec<Entry>> {
    let file = Path::new(LEDGER_FILE);
    let cannot_use = || format!("failed to use {LEDGER_FILE}");
    // A run that was killed has left it.
    let _ = std::fs::remove_file(file);
    let ledger = Some(Ledger::create(file).with_context(cannot_use)?);
    let pace = Pace { rate: RATE, events: Some(events), duration: None, is_fair: false };
    let mut progress = Progress::new("sent", pace.events, pace.duration);
    let (_, outcome) = sending::run(queue, None, &mut generator, pace, ledger, &mut progress, stop).await;
    progress.end();
    outcome.context("failed to send the sample events")?;
    let entries = match ledger::read(file) {
        // Stopped before the first.
        Err(LedgerError::Empty) => Vec::new(),
        read => read.with_context(cannot_use)?,
    };
    std::fs::remove_file(file).with_context(cannot_use)?;
    Ok(entries)
}

/// A row for each tenant that the events were meant for.
fn table(report: &Report, declaration: &Declaration) -> String {
    let mut table = format!("{:<14} {:>5} {:>7} {:>10}  rejected by reason\n", "tenant", "sent", "stored", "duplicate");
    let is_declared = |name: &str| declaration.tenants.iter().any(|tenant| tenant.tenant_id.as_str() == name);
    let (declared, strangers): (Vec<_>, Vec<_>) = report.tenants.iter().partition(|(name, _)| is_declared(name));
    let strangers = strangers.into_iter().map(|(_, tally)| ("(unknown)", tally));
    for (name, tally) in declared.into_iter().map(|(name, tally)| (name.as_str(), tally)).chain(strangers) {
        let rejected: Vec<String> = tally.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let counts = tally.counts;
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<14} {:>5} {:>7} {:>10}  {}", counts.sent, counts.stored, counts.duplicates, rejected.join(", "));
    }
    table
}
