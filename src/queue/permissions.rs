//! Whether this process may do with a queue what the daemon does, without doing it.

use std::time::Duration;

use super::client::Clients;
use super::error::ClientError;
use super::handle::Queue;
use super::lease::Lease;
use super::receiving::Receive;
use super::settling::{Batch, entry};
use super::wire::request_body;

/// As other requests have it that are no poll.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Clients {
    /// Whether there are credentials to sign by.
    ///
    /// # Errors
    /// That there are none, or that they cannot be sent.
    pub async fn check_credentials(&self) -> Result<(), ClientError> {
        self.signer().check().await
    }
}

impl Queue {
    /// Which permissions are lacking that a poller needs, by IAM's names. Each is tried by a request that SQS refuses for another reason where it
    /// may be sent: a receive of no message, a receipt handle that is none.
    ///
    /// # Errors
    /// When SQS does not answer in time.
    pub async fn lacking_permissions(&self) -> Result<Vec<&'static str>, ClientError> {
        let lease = Lease::new("none".to_owned(), None);
        let deleting = request_body(&Batch::new(&self.url, std::iter::once(entry(&lease, None))))?;
        let hiding = request_body(&Batch::new(&self.url, std::iter::once(entry(&lease, Some(0)))))?;
        let tries = [
            ("sqs:ReceiveMessage", "AmazonSQS.ReceiveMessage", request_body(&Receive::impossible(&self.url))?),
            ("sqs:DeleteMessage", "AmazonSQS.DeleteMessageBatch", deleting),
            ("sqs:ChangeMessageVisibility", "AmazonSQS.ChangeMessageVisibilityBatch", hiding),
        ];
        let mut lacking = Vec::new();
        for (permission, operation, request) in tries {
            match self.wire.call(operation, request, TIMEOUT).await {
                Err(error) if error.class() == "denied" => lacking.push(permission),
                Err(error) if error.is_unanswered() => return Err(error),
                _ => {}
            }
        }
        Ok(lacking)
    }
}
