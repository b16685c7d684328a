//! How a daemon ends otherwise than well.

use std::time::Duration;

use tokio::task::JoinError;

use crate::metrics::MetricsError;

/// How a daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What was in flight could not be stored and acknowledged in time; it was handed back.
    #[error(
        "the drain ran out of time ({0:?}): what was in flight is handed back and received by another process; raise DRAIN_TIMEOUT where this recurs"
    )]
    DrainTimeout(Duration),
    /// A task ended that runs as long as the process does.
    #[error("a task ended by itself: {0}; the process ends so that its supervisor starts it anew")]
    TaskEnded(String),
    /// The system gives no threads to validate by.
    #[error("no threads to validate events by ({0}); raise the limits of threads and address space")]
    Threads(#[source] std::io::Error),
    /// The metrics could not be registered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// Why a task has ended that runs as long as the process does.
pub fn task_ended(which: &str, ended: Result<(), JoinError>) -> DaemonError {
    DaemonError::TaskEnded(ended.map_or_else(|error| error.to_string(), |()| format!("one {which}")))
}
