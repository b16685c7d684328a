//! Messages that may end the process, or hold it up: counted in the database, over a connection of its own, before they are begun.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::candidate::Candidate;
use crate::store::{Session, SessionError, begin_poison_attempt, begin_poison_attempts, end_poison_attempts};

/// The count. It must be committed whatever becomes of the batch, so it has a session of its own.
#[derive(Debug)]
pub struct PoisonAttempts {
    session: Mutex<Session>,
    alone: Semaphore,
}

impl PoisonAttempts {
    /// A count over this session.
    pub fn new(session: Session) -> Self {
        Self { session: Mutex::new(session), alone: Semaphore::new(1) }
    }

    /// Waits until no other message is validated alone.
    pub async fn alone(&self) -> SemaphorePermit<'_> {
        match self.alone.acquire().await {
            Ok(permit) => permit,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts that a message is begun; gives how often it now was without having ended.
    ///
    /// # Errors
    /// When the database does not say that it has counted.
    pub async fn begin(&self, candidate: &Candidate) -> Result<i32, SessionError> {
        begin_poison_attempt(&mut *self.session.lock().await, candidate).await
    }

    /// Counts, all at once, those of the messages that were not begun before without having ended; says of each whether it was counted.
    ///
    /// # Errors
    /// As above.
    pub async fn begin_together(&self, candidates: &[Arc<Candidate>]) -> Result<Vec<bool>, SessionError> {
        begin_poison_attempts(&mut *self.session.lock().await, candidates).await
    }

    /// Takes back that messages were begun, for those that have not left with a verdict: now or, while the process goes on, as soon as the
    /// database answers.
    pub async fn end(&self, candidates: &[Arc<Candidate>], stop: &CancellationToken) {
        let mut backoff = Backoff::default();
        while end_poison_attempts(&mut *self.session.lock().await, candidates).await.is_err() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
        }
    }
}
