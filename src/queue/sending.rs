//! Sending, as producers do.

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::{ClientError, Queue};

/// What became of the messages of a batch, by their position. What is in neither list was not taken and may be sent again.
#[derive(Debug, Default)]
pub struct SendReply {
    /// Messages that are on the queue, with SQS's ids of them.
    pub accepted: Vec<(usize, String)>,
    /// Messages that SQS will never take, with its code.
    pub refused: Vec<(usize, String)>,
}

impl Queue {
    /// Sends one message, as a producer does; gives SQS's id of it.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn send(&self, body: &str) -> Result<String, ClientError> {
        let reply = self.acknowledge.send_message().queue_url(&self.url).message_body(body).send().await?;
        Ok(reply.message_id.unwrap_or_default())
    }

    /// Sends up to ten messages, once: the SDK would try again by itself after a lost reply, and nobody would know of the second copy.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch.
    pub async fn send_batch(&self, bodies: &[&str]) -> Result<SendReply, ClientError> {
        let mut request = self.acknowledge.send_message_batch().queue_url(&self.url);
        for (position, body) in bodies.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder().id(position.to_string()).message_body(*body).build();
            request = request.entries(entry.map_err(|error| ClientError::from_build(&error))?);
        }
        let once = aws_sdk_sqs::config::Builder::new().retry_config(RetryConfig::disabled());
        let reply = request.customize().config_override(once).send().await?;
        let accepted = reply.successful.into_iter().filter_map(|entry| Some((entry.id.parse().ok()?, entry.message_id)));
        Ok(SendReply { accepted: accepted.collect(), refused: super::refused(&reply.failed) })
    }
}
