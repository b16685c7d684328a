//! What is in flight is finished, or handed back where that takes too long.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::error::{DaemonError, task_ended};
use super::hand_back::HandBack;

/// Beyond the drain, for what it could not finish.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(2);

/// Waits until the stages and what they have begun have ended, and hands back what is left after the timeout.
pub async fn drain(mut path: JoinSet<()>, tracker: &TaskTracker, hand_back: &HandBack, timeout: Duration) -> Result<(), DaemonError> {
    let ended = async {
        while let Some(ended) = path.join_next().await {
            ended.map_err(|error| task_ended("of the path", Err(error)))?;
        }
        tracker.close();
        tracker.wait().await;
        Ok(())
    };
    // What is cut here is waiting, not a transaction: the process ends next, and the connections with it.
    if let Ok(outcome) = tokio::time::timeout(timeout, ended).await {
        return outcome;
    }
    // What is not handed back in time comes again when its lease ends.
    let _ = tokio::time::timeout(HAND_BACK_TIMEOUT, hand_back.everything()).await;
    Err(DaemonError::DrainTimeout(timeout))
}
