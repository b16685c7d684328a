//! Is every event of a ledger where it must be? Asked of the database and the queue, never of the daemon; hashes are computed anew.

mod account;
mod evidence;
mod report;

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use super::ledger::Entry;
use crate::queue::{ClientError, Queue};
use account::account;
pub use report::{Counts, Finding, Kind, Report, Tally};

/// How often in a row a queue must be empty to count as resting: SQS's counts are approximate.
const QUIET_TIMES: u32 = 3;

/// The pause between two requests for the depth of the queues.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Why a ledger could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// The queue did not answer.
    #[error("the queue did not answer ({0})")]
    Queue(#[from] ClientError),
    /// The database did not answer.
    #[error("the database {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Waits until the queues rest, at most for `timeout`, then compares. What does not agree is looked at once more after another rest: a
/// queue whose counts lag may have seemed to rest.
///
/// # Errors
/// When the queue or the database does not answer.
pub async fn verify(
    connection: &mut PgConnection,
    queues: &[Queue],
    entries: &[Entry],
    timeout: Duration,
) -> Result<Report, VerificationError> {
    let ends = Instant::now() + timeout;
    rest(queues, ends).await?;
    let mut report = account(entries, &evidence::collect(connection, entries).await?);
    if !report.is_clean() {
        rest(queues, ends).await?;
        report = account(entries, &evidence::collect(connection, entries).await?);
    }
    Ok(report.conclude(on_queue(queues).await?))
}

async fn rest(queues: &[Queue], ends: Instant) -> Result<(), ClientError> {
    let mut quiet = 0;
    while quiet < QUIET_TIMES && Instant::now() < ends {
        quiet = if on_queue(queues).await? == 0 { quiet + 1 } else { 0 };
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// How many messages the queues have: waiting, held or delayed.
async fn on_queue(queues: &[Queue]) -> Result<i64, ClientError> {
    let mut messages = 0;
    for queue in queues {
        messages += queue.depth().await?.iter().map(|(_, messages)| messages).sum::<i64>();
    }
    Ok(messages)
}
