//! Tells senders, after the commit and not more often than they need it, that there is something to deliver.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::settings::Database;
use crate::store::{Session, announce_deliveries};

/// At most so often.
const INTERVAL: Duration = Duration::from_millis(100);

/// After a failure: nobody depends on it.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What the writers tell, and the task that passes it on.
#[derive(Debug, Default)]
pub struct Announcer {
    committed: Notify,
}

impl Announcer {
    /// There are deliveries that were not there before, and their commit is confirmed.
    pub fn tell(&self) {
        self.committed.notify_one();
    }

    /// Passes on what it is told, by a connection of its own. What comes in between is one announcement.
    pub async fn run(self: Arc<Self>, database: Database) {
        let mut session = Session::new(database.to("announcer"));
        loop {
            self.committed.notified().await;
            let pause = match announce_deliveries(&mut session).await {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::debug!(problem = %error, "senders were not told of new deliveries; they find them by polling");
                    RETRY_INTERVAL
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}
