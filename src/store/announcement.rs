//! Tells senders that there is something to deliver.

use std::time::Duration;

use super::failure::SessionError;
use super::session::Session;

/// A server that takes longer is left alone: senders poll, too.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Notifies those who listen on `delivery_ready`, in a transaction of its own: within that which stores, it would make all commits of the
/// server wait for each other.
///
/// # Errors
/// When Postgres does not answer.
pub async fn announce_deliveries(session: &mut Session) -> Result<(), SessionError> {
    let notifying = session.run(ANNOUNCE_TIMEOUT, |connection| {
        Box::pin(async move { sqlx::query_file!("src/store/announce_deliveries.sql").fetch_one(connection).await })
    });
    notifying.await.map(|_| ())
}
