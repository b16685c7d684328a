//! Dead letters that a person closes without a replay, and opens again.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::filter::{Filter, Page, State, matching};
use crate::audit::Audit;
use crate::progress::Progress;

/// So many are closed in one transaction.
const BATCH_ROWS_MAX: usize = 1_000;

/// What is done to them.
#[derive(Debug, Clone)]
pub enum Closing {
    /// They are kept, and open no more, for this reason.
    Discard(String),
    /// Those that were discarded are open again.
    Reopen,
}

/// How many were meant, and how many it was done to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// In the state for it when it began.
    pub matched: u64,
    /// Changed, and committed; the others were changed by somebody else meanwhile.
    pub changed: u64,
}

/// Discards those that are meant, or opens them again, batch by batch until it is stopped. True when it came to the end.
///
/// # Errors
/// When Postgres does not answer; `closed` says what was done by then, and all of that is committed.
pub async fn close(
    connection: &mut PgConnection,
    filter: &Filter,
    closing: &Closing,
    audit: &Audit,
    closed: &mut Closed,
    stop: &CancellationToken,
) -> Result<bool, sqlx::Error> {
    let (state, name) = match closing {
        Closing::Discard(_) => (State::Open, "discarded"),
        Closing::Reopen => (State::Discarded, "reopened"),
    };
    let ids = matching(connection, filter, state, Page::default()).await?;
    closed.matched = ids.len() as u64;
    let mut progress = Progress::new(name, Some(closed.matched), None);
    let mut left = ids.as_slice();
    while !left.is_empty() && !stop.is_cancelled() {
        let (batch, rest) = left.split_at(left.len().min(BATCH_ROWS_MAX));
        let mut transaction = connection.begin().await?;
        let changed = match closing {
            Closing::Discard(why) => sqlx::query_file!("src/dead_letter/discard.sql", batch, why).execute(&mut *transaction).await?,
            Closing::Reopen => sqlx::query_file!("src/dead_letter/reopen.sql", batch).execute(&mut *transaction).await?,
        };
        let changed = closed.changed + changed.rows_affected();
        audit.record(&mut transaction, &BTreeMap::from([(name, changed)]), rest.is_empty()).await?;
        transaction.commit().await?;
        closed.changed = changed;
        left = rest;
        progress.show(closed.matched - left.len() as u64);
    }
    progress.end();
    Ok(left.is_empty())
}
