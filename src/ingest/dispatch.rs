//! What the pollers have received, to those who validate it: as much at once as is ready, for to wake up a thread costs more than to validate
//! an event, and the validators that it has just used are still in the processor's cache.

use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::groups::{by_group, validate_group};
use super::often_received::{OftenReceived, is_often_received};
use super::validate::{Next, Validator};
use crate::queue::MESSAGES_PER_REQUEST_MAX;
use crate::validation::LARGE_BYTES;
use crate::window::InFlight;

/// A job that has so many messages takes no further receive.
const JOB_MESSAGES_MAX: usize = 200;

/// Nor one that has so many bytes.
const JOB_BYTES_MAX: usize = 1 << 20;

/// Replies that follow each other so closely are worth waiting for: together they wake up a thread once.
const BUSY_WITHIN: Duration = Duration::from_millis(5);

/// For how long, then.
const LINGER: Duration = Duration::from_millis(2);

/// A job that takes longer no longer keeps the next one waiting.
const JOB_PATIENCE: Duration = Duration::from_millis(5);

/// Who validates what.
#[derive(Debug)]
pub struct Dispatcher {
    pub validator: Arc<Validator>,
    pub often_received: Arc<OftenReceived>,
    /// Of validations under way.
    pub tracker: TaskTracker,
}

impl Dispatcher {
    /// Ends when the pollers have; validations under way belong to the tracker.
    pub async fn run(self, mut received: mpsc::Receiver<Vec<InFlight>>, next: Next) {
        let jobs = Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get)));
        // Nobody closes the semaphore.
        let mut last_full_at = None::<Instant>;
        while let Ok(turn) = Arc::clone(&jobs).acquire_owned().await {
            let Some(mut messages) = received.recv().await else { return };
            let is_full = messages.len() >= MESSAGES_PER_REQUEST_MAX;
            if is_full && last_full_at.is_some_and(|at| at.elapsed() < BUSY_WITHIN) {
                tokio::time::sleep(LINGER).await;
            }
            last_full_at = is_full.then(Instant::now);
            while messages.len() < JOB_MESSAGES_MAX
                && messages.iter().map(|message| message.candidate.body.len()).sum::<usize>() < JOB_BYTES_MAX
                && let Ok(more) = received.try_recv()
            {
                messages.extend(more);
            }
            self.dispatch(messages, &next, turn);
        }
    }

    fn dispatch(&self, messages: Vec<InFlight>, next: &Next, turn: OwnedSemaphorePermit) {
        let (ordered, messages): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.candidate.queue.is_fifo());
        let (often_received, messages): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_often_received);
        for group in by_group(ordered) {
            let validating = validate_group(Arc::clone(&self.validator), Arc::clone(&self.often_received), group, next.clone());
            self.tracker.spawn(validating);
        }
        if !often_received.is_empty() {
            let (stage, next) = (Arc::clone(&self.often_received), next.clone());
            self.tracker.spawn(async move { stage.validate(often_received, &next).await });
        }
        let (large, messages): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.candidate.body.len() > LARGE_BYTES);
        if !large.is_empty() {
            let (validator, next) = (Arc::clone(&self.validator), next.clone());
            self.tracker.spawn(async move { validator.validate(large, &validator.catalog.snapshot(), &next).await });
        }
        if !messages.is_empty() {
            self.tracker.spawn(validate_in_turn(Arc::clone(&self.validator), messages, next.clone(), turn));
        }
    }
}

async fn validate_in_turn(validator: Arc<Validator>, messages: Vec<InFlight>, next: Next, turn: OwnedSemaphorePermit) {
    let snapshot = validator.catalog.snapshot();
    let mut validating = pin!(validator.validate(messages, &snapshot, &next));
    if tokio::time::timeout(JOB_PATIENCE, &mut validating).await.is_err() {
        drop(turn);
        validating.await;
    }
}
