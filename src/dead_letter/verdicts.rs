//! Verdicts for commands: the path from decode to validate, by the same threads and limits as the daemon has.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::kept::Kept;
use super::report::Report;
use crate::candidate::Candidate;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::store::{Decided, Foresight};
use crate::validate::{Declared, Verdict, prepare, reject_for_time};
use crate::validation::{Pool, Unvalidated};

/// Before events are tried again whose schema is slow.
const SLOW_PAUSE: Duration = Duration::from_millis(100);

/// Why an event has no verdict: it is left as it is.
pub type NoVerdict = String;

/// What finds verdicts.
#[derive(Debug)]
pub struct Verdicts {
    pool: Pool,
    body_bytes_max: usize,
}

impl Verdicts {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(body_bytes_max: usize) -> io::Result<Self> {
        // A command is not scraped.
        let metrics = Metrics::new().map_err(io::Error::other)?;
        Ok(Self { pool: Pool::start(Arc::new(metrics))?, body_bytes_max })
    }

    /// The verdict on each candidate, or why it has none.
    pub async fn find(&self, candidates: &[Arc<Candidate>], snapshot: &Snapshot) -> Vec<Result<Verdict, NoVerdict>> {
        let mut found: Vec<Option<Result<Verdict, NoVerdict>>> = Vec::with_capacity(candidates.len());
        let mut waiting = Vec::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let preparing = std::panic::AssertUnwindSafe(|| prepare(Arc::clone(candidate), snapshot, self.body_bytes_max));
            found.push(match std::panic::catch_unwind(preparing) {
                Ok(Err(rejection)) => Some(Ok(Err(rejection))),
                Err(_) => Some(Err(panicked())),
                Ok(Ok(declared)) => {
                    waiting.push((position, declared));
                    None
                }
            });
        }
        while !waiting.is_empty() {
            waiting = self.validate(waiting, candidates, snapshot, &mut found).await;
            if !waiting.is_empty() {
                tokio::time::sleep(SLOW_PAUSE).await;
            }
        }
        found.into_iter().map(|one| one.unwrap_or_else(|| Err(panicked()))).collect()
    }

    /// Says in a report what would become of candidates, without writing anything.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn rehearse(
        &self,
        connection: &mut PgConnection,
        snapshot: &Snapshot,
        foresight: &mut Foresight,
        kept: Vec<Kept>,
        report: &mut Report,
    ) -> Result<(), sqlx::Error> {
        let candidates: Vec<_> = kept.iter().map(|one| Arc::clone(&one.candidate)).collect();
        let (mut numbers, mut decided) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for (one, verdict) in kept.into_iter().zip(self.find(&candidates, snapshot).await) {
            match verdict {
                Ok(verdict) => {
                    numbers.push(one.number);
                    decided.push(Decided::new(one.candidate, verdict, snapshot.generation));
                }
                Err(why) => report.leave(one.number, &why),
            }
        }
        let settlements = foresight.settle(connection, decided).await?;
        numbers.iter().zip(&settlements).for_each(|(number, settlement)| report.count(*number, settlement));
        Ok(())
    }

    /// Gives back those whose schema is slow.
    async fn validate(
        &self,
        waiting: Vec<(usize, Declared)>,
        candidates: &[Arc<Candidate>],
        snapshot: &Snapshot,
        found: &mut [Option<Result<Verdict, NoVerdict>>],
    ) -> Vec<(usize, Declared)> {
        let mut left = waiting.len();
        let job = self.pool.begin(waiting);
        let mut slow = Vec::new();
        while left > 0 {
            for (position, outcome) in self.pool.outcomes(&job).await {
                left -= 1;
                found[position] = Some(match outcome {
                    Ok(verdict) => Ok(verdict),
                    Err(Unvalidated::SchemaSlow(declared)) => {
                        slow.push((position, *declared));
                        continue;
                    }
                    Err(Unvalidated::GivenUp(_)) => {
                        Ok(Err(reject_for_time(Arc::clone(&candidates[position]), snapshot, self.body_bytes_max)))
                    }
                    Err(Unvalidated::SchemaQuarantined(_)) => {
                        Err("another event took too long under its schema; publish a simpler one, or try again".to_owned())
                    }
                    Err(Unvalidated::SchemaUnusable(problem)) => Err(problem.to_string()),
                    Err(Unvalidated::Panicked) => Err(panicked()),
                });
            }
        }
        slow
    }
}

fn panicked() -> NoVerdict {
    "validating it panicked, which is a fault of this program".to_owned()
}
