//! Stage 5, a writer: takes whatever is ready, up to the limits, and stores it. A quiet system has the latency of one event, a busy one the
//! efficiency of large batches.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::activity::Activities;
use super::announcer::Announcer;
use super::breaker::CircuitBreaker;
use super::hand_back::{HandBack, by_queue};
use super::ready::{Batch, Lane, Ready};
use super::rejections::Rejections;
use super::traced;
use super::validate::Validator;
use crate::backoff::Backoff;
use crate::fault;
use crate::metrics::{Metrics, TransactionResult};
use crate::output::problem_and_advice;
use crate::snapshot::Catalog;
use crate::store::{self, Entry, Failure, Purpose, Session, Settled, WRITE_TIMEOUT, Written};
use crate::window::InFlight;

/// How often a batch is validated again before its events are handed back: each time the catalog was newer than the snapshot.
const VALIDATIONS_MAX: usize = 5;

/// How often a batch that the database did not take is tried again before its events are handed back.
const RETRIES_MAX: usize = 2;

/// Before the first and the last of these.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// What stores.
pub struct Writer {
    pub session: Session,
    pub batch_rows_max: usize,
    pub catalog: Catalog,
    /// For what a newer catalog may decide otherwise.
    pub validator: Arc<Validator>,
    pub breaker: Arc<CircuitBreaker>,
    pub announcer: Arc<Announcer>,
    pub hand_back: Arc<HandBack>,
    pub rejections: Arc<Rejections>,
    pub activities: Arc<Activities>,
    pub metrics: Arc<Metrics>,
    pub settled: mpsc::Sender<Vec<Settled<InFlight>>>,
}

/// A batch, and what was already tried with it.
struct Attempt {
    batch: Vec<Entry<InFlight>>,
    validations: usize,
    retries: usize,
}

impl Attempt {
    fn new(batch: Vec<Entry<InFlight>>) -> Self {
        Self { batch, validations: 0, retries: 0 }
    }
}

impl Writer {
    /// Ends when those who find verdicts have ended and everything they found is dealt with.
    pub async fn run(mut self, ready: Arc<Ready>, lane: Lane) {
        while let Some(Batch { entries, parts }) = ready.take(lane, self.batch_rows_max).await {
            fault::hang("hung_writer").await;
            self.store(entries).await;
            ready.end(&parts);
        }
    }

    /// Stores a batch; where Postgres refuses a row, in halves until the row stands alone.
    async fn store(&mut self, batch: Vec<Entry<InFlight>>) {
        let mut attempts = vec![Attempt::new(batch)];
        while let Some(Attempt { batch, validations, retries }) = attempts.pop() {
            let batch = self.hand_back.drop_lost(batch);
            if batch.is_empty() {
                continue;
            }
            let began = Instant::now();
            self.metrics.batch_rows.observe(to_f64(batch.len()));
            let span = traced::begin_batch(&self.validator.spans, &batch);
            match store::write(&mut self.session, WRITE_TIMEOUT, &Purpose::Receive, batch).await {
                Ok(Written { settled, deferred, deliveries }) => {
                    self.metrics.store_duration.observe(began.elapsed().as_secs_f64());
                    traced::end_batch(span, None);
                    self.metrics.count_transaction(TransactionResult::Committed);
                    self.breaker.succeed();
                    if deliveries > 0 {
                        self.announcer.tell();
                    }
                    self.pass_on(settled).await;
                    attempts.push(Attempt { batch: deferred, validations, retries });
                }
                Err((failure, batch)) => {
                    traced::end_batch(span, Some(&failure));
                    self.go_on(failure, Attempt { batch, validations, retries }, &mut attempts).await;
                }
            }
        }
    }

    /// What follows a batch that was not stored: other attempts, or back to the queue.
    async fn go_on(&self, failure: Failure, failed: Attempt, attempts: &mut Vec<Attempt>) {
        let Attempt { mut batch, validations, retries } = failed;
        self.count_failure(&failure);
        match failure {
            // First by a fresh snapshot, all at once: what is missing is most often missing for many.
            Failure::Stale | Failure::MissingReference if validations == 0 => {
                attempts.push(Attempt { batch: self.validate_again(batch).await, validations: 1, retries });
            }
            Failure::Refused(_) | Failure::MissingReference if batch.len() > 1 => {
                let right = batch.split_off(batch.len() / 2);
                // The left half first: of two events with one identity the earlier is stored.
                attempts.push(Attempt { batch: right, validations, retries });
                attempts.push(Attempt { batch, validations, retries });
            }
            Failure::Refused(sqlstate) => attempts.extend(self.refuse(batch, &sqlstate)),
            Failure::Stale | Failure::MissingReference if validations < VALIDATIONS_MAX => {
                attempts.push(Attempt { batch: self.validate_again(batch).await, validations: validations + 1, retries });
            }
            Failure::Stale => {
                // The catalog changes faster than the rejected can be validated; the others need not wait for it.
                let (valid, rejected): (Vec<_>, Vec<_>) = batch.into_iter().partition(|entry| entry.decided.verdict.is_ok());
                self.release(rejected, &failure);
                attempts.push(Attempt { batch: valid, validations, retries });
            }
            Failure::MissingReference => self.release(batch, &failure),
            // Only replays are told `Closed`.
            Failure::Unavailable(..) | Failure::Deadline | Failure::Unknown(..) | Failure::Closed => {
                self.go_on_without_store(&failure, Attempt { batch, validations, retries }, attempts).await;
            }
        }
    }

    fn count_failure(&self, failure: &Failure) {
        let is_unknown = matches!(failure, Failure::Unknown(..));
        self.metrics.count_transaction(if is_unknown { TransactionResult::Unknown } else { TransactionResult::Failed });
        if let Some(class) = failure.class() {
            self.metrics.count_error(class);
        }
    }

    /// The fault is ours: polling pauses, the batch is tried again, and then handed back with all that waits behind it.
    async fn go_on_without_store(&self, failure: &Failure, failed: Attempt, attempts: &mut Vec<Attempt>) {
        let Attempt { batch, validations, retries } = failed;
        // Before any pause: what is received from here on would share the fate of this batch.
        self.breaker.fail(failure.to_string());
        if matches!(failure, Failure::Unavailable(..)) && retries < RETRIES_MAX {
            let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
            let pause = (0..=retries).map(|_| backoff.pause()).last().unwrap_or_default();
            tokio::time::sleep(pause).await;
            attempts.push(Attempt { batch, validations, retries: retries + 1 });
            return;
        }
        if matches!(failure, Failure::Unknown(..)) {
            self.metrics.commits_unknown.inc();
        }
        let rest = attempts.drain(..).flat_map(|attempt| attempt.batch);
        self.release(batch.into_iter().chain(rest).collect(), failure);
    }

    /// A row that was refused alone is a dead letter; where even that is refused, the fault is ours.
    fn refuse(&self, batch: Vec<Entry<InFlight>>, sqlstate: &str) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for mut entry in batch {
            if store::refuse(&mut entry.decided, sqlstate) {
                attempts.push(Attempt::new(vec![entry]));
            } else {
                self.release(vec![entry], &Failure::Refused(sqlstate.to_owned()));
            }
        }
        attempts
    }

    /// Validates by a snapshot that is newer than the one before, or by the same one where Postgres does not answer.
    async fn validate_again(&self, batch: Vec<Entry<InFlight>>) -> Vec<Entry<InFlight>> {
        let snapshot = match self.catalog.reload().await {
            Some(snapshot) => snapshot,
            None => self.catalog.snapshot(),
        };
        // Whatever has a verdict comes in one of at most so many parts.
        let (next, mut decided) = mpsc::channel(2 * batch.len().max(1));
        self.validator.validate(batch.into_iter().map(|entry| entry.origin).collect(), &snapshot, &next).await;
        let mut again = Vec::new();
        while let Ok(verdicts) = decided.try_recv() {
            again.extend(verdicts);
        }
        again
    }

    fn release(&self, batch: Vec<Entry<InFlight>>, failure: &Failure) {
        let told = failure.to_string();
        let (problem, advice) = problem_and_advice(&told);
        for (queue, events) in by_queue(batch.iter().map(|entry| &entry.origin)) {
            tracing::warn!(queue, events, problem, advice, "not stored: handed back to the queue");
        }
        self.hand_back.later(batch.into_iter().map(|entry| entry.origin).collect());
    }

    async fn pass_on(&self, mut settled: Vec<Settled<InFlight>>) {
        let snapshot = self.catalog.snapshot();
        self.activities.count(&settled, &snapshot);
        let now = OffsetDateTime::now_utc();
        self.rejections.count(&settled, &snapshot);
        for event in &mut settled {
            let label = snapshot.label(event.tenant_id());
            let outcome = event.outcome();
            event.origin.lease.settle();
            event.origin.permit.free_bytes();
            if let Some(reason) = event.reason() {
                self.metrics.count_rejection(label, reason);
                traced::reject(&mut event.origin, reason);
            }
            event.origin.permit.record(label, outcome);
            if let Some(sent_at) = event.sent_at() {
                let delay = self.metrics.event_commit_delay.with_label_values(&[&event.origin.candidate.queue.name]);
                delay.observe((now - sent_at).as_seconds_f64().max(0.0));
            }
        }
        // The acknowledger ends only after the writers; without it the events come again and are duplicates.
        let _ = self.settled.send(settled).await;
    }
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
