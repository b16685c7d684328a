//! The end of messages: deleted, kept for longer or handed back.

use std::time::Duration;

use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry};

use super::error::ClientError;
use super::handle::{Queue, refused, to_seconds};
use super::lease::Lease;

/// What became of the entries of a batch request, by their position.
#[derive(Debug, Default)]
pub struct BatchReply {
    /// Entries that SQS says it carried out.
    pub successful: Vec<usize>,
    /// Entries that can never succeed, with the reason as a metric's label: `receipt_handle_invalid` (stale or malformed) or `refused`.
    pub refused: Vec<(usize, &'static str)>,
}

impl Queue {
    /// Deletes messages, as many as fit into a request at most. What is in neither list of the reply may be tried again.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch.
    pub async fn delete(&self, leases: impl IntoIterator<Item = &Lease>) -> Result<BatchReply, ClientError> {
        let mut request = self.acknowledge.delete_message_batch().queue_url(&self.url);
        for (position, lease) in leases.into_iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string()).receipt_handle(lease.receipt_handle()).build();
            request = request.entries(entry.map_err(|error| ClientError::from_build(&error))?);
        }
        let reply = request.send().await?;
        Ok(BatchReply {
            successful: reply.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect(),
            refused: refused(&reply.failed).into_iter().map(|(position, code)| (position, refusal(&code))).collect(),
        })
    }

    /// Hides messages, as many as fit into a request at most, from now on for so long each: to keep them, or to hand them back after a delay.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch; the leases then are as they were.
    pub async fn set_visibility(&self, messages: &[(&Lease, Duration)]) -> Result<BatchReply, ClientError> {
        let mut request = self.acknowledge.change_message_visibility_batch().queue_url(&self.url);
        for (position, (lease, delay)) in messages.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(position.to_string())
                .receipt_handle(lease.receipt_handle())
                .visibility_timeout(to_seconds(*delay));
            request = request.entries(entry.build().map_err(|error| ClientError::from_build(&error))?);
        }
        let reply = request.send().await?;
        Ok(BatchReply {
            successful: reply.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect(),
            refused: refused(&reply.failed).into_iter().map(|(position, code)| (position, refusal(&code))).collect(),
        })
    }
}

/// Of a refused delete or change of visibility, as a metric's label.
fn refusal(code: &str) -> &'static str {
    if code.contains("ReceiptHandle") { "receipt_handle_invalid" } else { "refused" }
}
