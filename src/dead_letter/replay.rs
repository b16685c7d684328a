//! Dead letters through the path again, in batches, each committed with its dead letters' new state and the command's row in `audit`.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::connect;
use super::contested::contested;
use super::filter::{Filter, Page, State, matching};
use super::order::{self, Due, sorted};
use super::report::Report;
use super::settling::{Settling, SettlingError, Source};
use crate::audit::Audit;
use crate::progress::Progress;
use crate::settings::{Database, QueueSetting};

/// Which dead letters a replay is for.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The open ones for which this holds.
    pub filter: Filter,
    /// The first so many of them.
    pub dead_letters_max: Option<usize>,
}

/// A replay, as it goes on.
pub struct Replay {
    settling: Settling,
    /// Holds the row by which replays take turns: each batch of one is settled before another one's is read.
    turn: PgConnection,
}

impl Replay {
    /// Connects, and finds out whether the database is fit for it. `queues` are those that are configured: they say where trust was withdrawn.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn open(
        database: &Database,
        queues: Vec<QueueSetting>,
        body_bytes_max: usize,
        audit: Arc<Audit>,
        report: Report,
    ) -> Result<Self, SettlingError> {
        let settling = Settling::open(database, Source::DeadLetters(queues), body_bytes_max, audit, report).await?;
        Ok(Self { settling, turn: connect(database).await? })
    }

    /// What became of those that it has come to.
    pub fn into_report(self) -> Report {
        self.settling.report
    }

    /// Replays dead letters, at most so many a second, until it is stopped. True when it came to the end.
    ///
    /// # Errors
    /// [`SettlingError`]; what the report says by then is committed.
    pub async fn run(&mut self, selection: &Selection, rate: Option<NonZeroU32>, stop: &CancellationToken) -> Result<bool, SettlingError> {
        let due = due(&mut self.settling.connection, selection, &mut self.settling.report).await?;
        let limiter = rate.map(|rate| RateLimiter::direct(Quota::per_second(rate)));
        let rows_max = rate.and_then(|rate| usize::try_from(rate.get()).ok()).unwrap_or(usize::MAX);
        let mut progress = Progress::new("replayed", Some(count(&due)), None);
        let mut left = due.as_slice();
        while !left.is_empty() {
            let batch = order::batch(left);
            let batch = &batch[..batch.len().min(rows_max)];
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = pace(limiter.as_ref(), batch.len()) => {}
            }
            self.take_turn(batch).await?;
            left = &left[batch.len()..];
            progress.show(count(&due) - count(left));
        }
        progress.end();
        if left.is_empty() {
            self.settling.end().await?;
        }
        Ok(left.is_empty())
    }

    /// Replays a batch while no other replay does one. The row is locked, not changed: a turn that is lost with its connection loses nothing.
    async fn take_turn(&mut self, batch: &[Due]) -> Result<(), SettlingError> {
        sqlx::raw_sql("begin").execute(&mut self.turn).await?;
        sqlx::query_file!("src/dead_letter/turn.sql").fetch_one(&mut self.turn).await?;
        let numbers: Vec<i64> = batch.iter().map(|due| due.dead_letter_id).collect();
        let kept = self.settling.open_ones(&numbers).await?;
        self.settling.settle(kept).await?;
        sqlx::raw_sql("commit").execute(&mut self.turn).await?;
        Ok(())
    }
}

fn count(due: &[Due]) -> u64 {
    u64::try_from(due.len()).unwrap_or(u64::MAX)
}

/// The open ones that are meant, in the order in which they are replayed, but for those of which a person has to choose; these are counted.
pub async fn due(connection: &mut PgConnection, selection: &Selection, report: &mut Report) -> Result<Vec<Due>, sqlx::Error> {
    let ids = matching(connection, &selection.filter, State::Open, Page::default()).await?;
    // Whoever names a dead letter has chosen.
    let is_chosen = !selection.filter.ids.is_empty();
    let contested = if is_chosen { HashSet::new() } else { contested(connection, &ids).await? };
    let mut due = sorted(connection, &ids).await?;
    due.truncate(selection.dead_letters_max.unwrap_or(usize::MAX));
    report.matched = count(&due);
    due.retain(|one| {
        let is_contested = contested.contains(&one.dead_letter_id);
        if is_contested {
            report.skip(one.dead_letter_id);
        }
        !is_contested
    });
    Ok(due)
}

/// Waits until so many may follow.
async fn pace(limiter: Option<&DefaultDirectRateLimiter>, rows: usize) {
    if let (Some(limiter), Some(rows)) = (limiter, u32::try_from(rows).ok().and_then(NonZeroU32::new)) {
        // A batch is never larger than what a second allows.
        let _ = limiter.until_n_ready(rows).await;
    }
}
