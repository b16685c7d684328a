//! Messages that may end the process, or hold it up: counted in the database before they are begun, one at a time.

use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::queue::ReceivedMessage;
use crate::settings::Database;
use crate::store::{Session, SessionError, begin_suspect, end_suspect};

/// Between attempts to say that a message has ended, while the database is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Their count, over a connection of its own: it must be committed whatever becomes of the batch.
#[derive(Debug)]
pub struct Suspects {
    session: Mutex<Session>,
    turns: Semaphore,
}

impl Suspects {
    pub fn new(database: Database) -> Self {
        Self { session: Mutex::new(Session::new(database)), turns: Semaphore::new(1) }
    }

    /// Waits until no other is under way.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        match self.turns.acquire().await {
            Ok(turn) => turn,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts that a message is begun; gives how often it now was.
    pub async fn begin(&self, message: &ReceivedMessage) -> Result<i32, SessionError> {
        begin_suspect(&mut *self.session.lock().await, message).await
    }

    /// Takes that back, unless the message has left with its verdict: now or, while the process goes on, as soon as the database answers.
    pub async fn end(&self, message: &ReceivedMessage, stop: &CancellationToken) {
        while end_suspect(&mut *self.session.lock().await, message).await.is_err() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
            }
        }
    }
}
