//! A writer: takes whatever is ready, up to the limits, and stores it. A quiet system has the latency of one event, a busy one the
//! efficiency of large batches.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use super::context::Context;
use crate::fault;
use crate::settings::Database;
use crate::store::{self, Failure, Judged, Session, Settled, WRITE_TIMEOUT};

/// Bodies in one transaction at most; a batch of few large events is as much work as one of many small ones.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// After a batch of so many rows the next one is worth waiting for: more will come. Smaller ones keep pace by themselves.
const BUSY_ROWS: usize = 100;

/// For how long, then.
const LINGER: Duration = Duration::from_millis(10);

/// How often a batch is judged again before its events are handed back: each time the catalog was newer than the snapshot.
const JUDGEMENTS_MAX: usize = 5;

/// Pauses before a batch that the database did not take is tried again. After the last, its events are handed back.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];

/// What the pollers have judged, for whichever writer is free.
pub struct Ready {
    judged: mpsc::Receiver<Vec<Judged>>,
    /// Taken already, beyond the last batch.
    waiting: Vec<Judged>,
    is_busy: bool,
}

impl Ready {
    pub fn new(judged: mpsc::Receiver<Vec<Judged>>) -> Self {
        Self { judged, waiting: Vec::new(), is_busy: false }
    }

    /// The next batch; empty when the pollers have ended.
    async fn take(&mut self, batch_rows_max: usize) -> Vec<Judged> {
        let mut ready = std::mem::take(&mut self.waiting);
        if ready.is_empty() {
            ready = self.judged.recv().await.unwrap_or_default();
        }
        if self.is_busy && !ready.is_empty() && ready.len() < batch_rows_max {
            tokio::time::sleep(LINGER).await;
        }
        while ready.len() < batch_rows_max
            && let Ok(judged) = self.judged.try_recv()
        {
            ready.extend(judged);
        }
        self.waiting = ready.split_off(batch_rows_max.min(ready.len()));
        self.is_busy = ready.len() >= BUSY_ROWS;
        ready
    }
}

/// Stores what the pollers have judged.
pub struct Writer {
    session: Session,
    context: Arc<Context>,
    settled: mpsc::Sender<Vec<Settled>>,
}

/// A batch, and what was already tried with it.
struct Attempt {
    batch: Vec<Judged>,
    judgements: usize,
    retries: usize,
}

impl Writer {
    pub fn new(database: Database, context: Arc<Context>, settled: mpsc::Sender<Vec<Settled>>) -> Self {
        Self { session: Session::new(database), context, settled }
    }

    /// Ends when the pollers have ended and everything they judged is dealt with.
    pub async fn run(mut self, ready: Arc<Mutex<Ready>>) {
        loop {
            let ready = ready.lock().await.take(self.context.settings.batch_rows_max).await;
            if ready.is_empty() {
                return;
            }
            for batch in split_by_bytes(ready) {
                self.store(batch).await;
            }
        }
    }

    /// Stores a batch; where Postgres refuses a row, in halves until the row stands alone.
    async fn store(&mut self, batch: Vec<Judged>) {
        let mut attempts = vec![Attempt { batch, judgements: 0, retries: 0 }];
        while let Some(Attempt { batch, judgements, retries }) = attempts.pop() {
            let batch = self.context.drop_lost(batch);
            if batch.is_empty() {
                continue;
            }
            let began = Instant::now();
            self.context.metrics.batch_rows.observe(to_f64(batch.len()));
            match store::write(&mut self.session, WRITE_TIMEOUT, batch).await {
                Ok(settled) => {
                    self.context.metrics.store_duration.observe(began.elapsed().as_secs_f64());
                    self.context.store_gate.succeed();
                    self.pass_on(settled).await;
                }
                Err((failure, batch)) => self.go_on(failure, Attempt { batch, judgements, retries }, &mut attempts).await,
            }
        }
    }

    /// What follows a batch that was not stored: other attempts, or back to the queue.
    async fn go_on(&self, failure: Failure, failed: Attempt, attempts: &mut Vec<Attempt>) {
        let Attempt { mut batch, judgements, retries } = failed;
        match failure {
            // First by a fresh snapshot, all at once: what is missing is most often missing for many.
            Failure::Stale | Failure::MissingReference if judgements == 0 => {
                attempts.push(Attempt { batch: self.judge_again(batch).await, judgements: 1, retries });
            }
            Failure::Refused(_) | Failure::MissingReference if batch.len() > 1 && !fault::has_bug("no_isolation") => {
                let right = batch.split_off(batch.len() / 2);
                // The left half first: of two events with one identity the earlier is stored.
                attempts.push(Attempt { batch: right, judgements, retries });
                attempts.push(Attempt { batch, judgements, retries });
            }
            Failure::Refused(sqlstate) => attempts.extend(self.refuse(batch, &sqlstate)),
            Failure::Stale | Failure::MissingReference if judgements < JUDGEMENTS_MAX => {
                attempts.push(Attempt { batch: self.judge_again(batch).await, judgements: judgements + 1, retries });
            }
            Failure::Stale => {
                // The catalog changes faster than the rejected can be judged; the others need not wait for it.
                let (valid, rejected): (Vec<Judged>, Vec<Judged>) = batch.into_iter().partition(|judged| judged.verdict.is_ok());
                self.hand_back(rejected, &failure);
                attempts.push(Attempt { batch: valid, judgements, retries });
            }
            Failure::MissingReference => self.hand_back(batch, &failure),
            Failure::Unavailable(_) | Failure::Deadline | Failure::Unknown(_) => {
                // Before any pause: what is received from here on would share the fate of this batch.
                if !fault::has_bug("open_gate") {
                    self.context.store_gate.fail(failure.to_string());
                }
                if let (Failure::Unavailable(_), Some(pause)) = (&failure, RETRY_PAUSES.get(retries)) {
                    tokio::time::sleep(*pause).await;
                    attempts.push(Attempt { batch, judgements, retries: retries + 1 });
                    return;
                }
                if matches!(failure, Failure::Unknown(_)) {
                    self.context.metrics.commits_unknown.inc();
                }
                let rest = attempts.drain(..).flat_map(|attempt| attempt.batch);
                self.hand_back(batch.into_iter().chain(rest).collect(), &failure);
            }
        }
    }

    /// A row that was refused alone is a dead letter; where even that is refused, the fault is ours.
    fn refuse(&self, batch: Vec<Judged>, sqlstate: &str) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for judged in batch {
            match store::refuse(judged, sqlstate) {
                Ok(judged) => attempts.push(Attempt { batch: vec![judged], judgements: 0, retries: 0 }),
                Err(judged) => self.hand_back(vec![judged], &Failure::Refused(sqlstate.to_owned())),
            }
        }
        attempts
    }

    /// Judges by a snapshot that is newer than the one before, or by the same one where Postgres does not answer.
    async fn judge_again(&self, batch: Vec<Judged>) -> Vec<Judged> {
        let snapshot = match self.context.catalog.reload().await {
            Some(snapshot) => snapshot,
            None => self.context.catalog.snapshot(),
        };
        let (sender, mut judged) = mpsc::channel(batch.len().max(1));
        let messages = batch.into_iter().map(|judged| judged.held).collect();
        Arc::clone(&self.context).judge(messages, snapshot, sender).await;
        let mut again = Vec::new();
        while let Ok(verdicts) = judged.try_recv() {
            again.extend(verdicts);
        }
        again
    }

    fn hand_back(&self, batch: Vec<Judged>, failure: &Failure) {
        if batch.is_empty() {
            return;
        }
        tracing::warn!(events = batch.len(), %failure, "not stored: handed back to the queue");
        self.context.release_later(batch.into_iter().map(|judged| judged.held).collect());
    }

    async fn pass_on(&self, mut settled: Vec<Settled>) {
        let snapshot = self.context.catalog.snapshot();
        let now = OffsetDateTime::now_utc();
        for event in &mut settled {
            let label = snapshot.label(event.tenant_id());
            let outcome = event.outcome();
            event.slot_mut().record(label, outcome);
            if let Some(reason) = event.reason() {
                self.context.metrics.count_rejection(label, reason);
            }
            if let Some(sent_at) = event.sent_at() {
                self.context.metrics.event_commit_delay.observe((now - sent_at).as_seconds_f64().max(0.0));
            }
        }
        // The acknowledger ends only after the writers; without it the events come again and are duplicates.
        let _ = self.settled.send(settled).await;
    }
}

fn split_by_bytes(ready: Vec<Judged>) -> Vec<Vec<Judged>> {
    let mut batches: Vec<Vec<Judged>> = Vec::new();
    let mut bytes = 0;
    for judged in ready {
        let size = judged.held.message.body.len();
        match batches.last_mut() {
            Some(batch) if bytes + size <= BATCH_BYTES_MAX => batch.push(judged),
            _ => {
                bytes = 0;
                batches.push(vec![judged]);
            }
        }
        bytes += size;
    }
    batches
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
