//! Makes deliveries that were given up wait again, and takes away what waits.

use serde::Serialize;
use sqlx::error::DatabaseError;
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{Filter, State, names};
use crate::audit::Audit;
use crate::progress::Progress;

/// So many are changed in one transaction.
const BATCH_ROWS_MAX: i64 = 1_000;

/// How often a batch is tried again that met others at work on the same rows.
const RETRIES_MAX: usize = 5;

/// What is done to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Dead and cancelled ones wait again, from the first attempt on.
    Requeue,
    /// What waits is given up.
    Cancel,
}

impl Change {
    fn states(self) -> Vec<String> {
        names(match self {
            Self::Requeue => &[State::Dead, State::Cancelled],
            Self::Cancel => &[State::Pending],
        })
    }

    /// What was done, as a word.
    pub const fn done(self) -> &'static str {
        match self {
            Self::Requeue => "requeued",
            Self::Cancel => "cancelled",
        }
    }
}

/// How many were meant, and how many it was done to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// In the state for it when it began.
    pub matched: u64,
    /// Changed, and committed.
    pub changed: u64,
}

/// Changes those that are meant, batch by batch until it is stopped. True when it came to the end.
///
/// # Errors
/// When Postgres does not answer; `changed` says what was done by then, and all of that is committed.
pub async fn change(
    connection: &mut PgConnection,
    filter: &Filter,
    change: Change,
    audit: &Audit,
    changed: &mut Changed,
    stop: &CancellationToken,
) -> Result<bool, sqlx::Error> {
    // What comes while it runs, perhaps by what it does, is not meant.
    let now = OffsetDateTime::now_utc();
    let filter = &Filter { until: Some(filter.until.unwrap_or(now)), ..filter.clone() };
    changed.matched = count(connection, filter, change).await?;
    let mut progress = Progress::new(change.done(), Some(changed.matched), None);
    let mut is_done = changed.matched == 0;
    while !is_done && !stop.is_cancelled() {
        let rows = change_batch_again(connection, filter, change, audit, changed.changed).await?;
        changed.changed += rows;
        is_done = rows == 0;
        progress.show(changed.changed);
    }
    progress.end();
    Ok(is_done)
}

async fn count(connection: &mut PgConnection, filter: &Filter, change: Change) -> Result<u64, sqlx::Error> {
    let counted = matching!(query_file_scalar, ("src/delivery/count.sql"), &change.states(), filter);
    Ok(counted.fetch_one(connection).await?.unsigned_abs())
}

/// One batch, again where it met a sender at work on the same rows in another order.
async fn change_batch_again(
    connection: &mut PgConnection,
    filter: &Filter,
    change: Change,
    audit: &Audit,
    before: u64,
) -> Result<u64, sqlx::Error> {
    for _ in 0..RETRIES_MAX {
        match change_batch(connection, filter, change, audit, before).await {
            Err(error) if error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "40P01") => {}
            outcome => return outcome,
        }
    }
    change_batch(connection, filter, change, audit, before).await
}

async fn change_batch(
    connection: &mut PgConnection,
    filter: &Filter,
    change: Change,
    audit: &Audit,
    before: u64,
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let rows = match change {
        Change::Requeue => requeue(&mut transaction, filter, audit.operator()).await?,
        Change::Cancel => cancel(&mut transaction, filter, audit.operator()).await?,
    };
    let counts = std::collections::BTreeMap::from([(change.done(), before + rows)]);
    match rows {
        0 => audit.end(&mut transaction).await?,
        _ => audit.record(&mut transaction, &counts, false).await?,
    }
    transaction.commit().await?;
    Ok(rows)
}

async fn requeue(connection: &mut PgConnection, filter: &Filter, operator: &str) -> Result<u64, sqlx::Error> {
    let requeued = matching!(query_file, ("src/delivery/requeue.sql"), &Change::Requeue.states(), filter, BATCH_ROWS_MAX, operator);
    Ok(requeued.execute(connection).await?.rows_affected())
}

async fn cancel(connection: &mut PgConnection, filter: &Filter, operator: &str) -> Result<u64, sqlx::Error> {
    let cancelled = matching!(query_file, ("src/delivery/cancel.sql"), &Change::Cancel.states(), filter, BATCH_ROWS_MAX, operator);
    let cancelled = cancelled.fetch_one(&mut *connection).await?;
    if let Some(grouped) = cancelled.grouped {
        sqlx::query_file!("src/delivery/wake.sql", grouped).fetch_one(connection).await?;
    }
    Ok(cancelled.count.unsigned_abs())
}
