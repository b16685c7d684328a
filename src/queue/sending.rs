//! Sending, as producers do.

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::error::ClientError;
use super::handle::{Queue, refused};

/// What became of the messages of a batch, by their position. What is in neither list was not taken and may be sent again.
#[derive(Debug, Default)]
pub struct SendReply {
    /// Messages that are on the queue, with SQS's ids of them.
    pub accepted: Vec<(usize, String)>,
    /// Messages that SQS will never take, with its code.
    pub refused: Vec<(usize, String)>,
}

/// The group of a message that names none, on a FIFO queue.
const GROUP: &str = "producers";

/// A message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The body.
    pub body: &'a str,
    /// On a FIFO queue: within which group it keeps its place. On others: whose share of what is received it is, by SQS's fair queues.
    pub group: Option<&'a str>,
}

impl<'a> From<&'a str> for Outgoing<'a> {
    fn from(body: &'a str) -> Self {
        Self { body, group: None }
    }
}

impl Queue {
    /// Sends one message, as a producer does; gives SQS's id of it.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn send(&self, body: &str) -> Result<String, ClientError> {
        let (group, deduplication) = self.ids(None);
        let request = self.client.send_message().queue_url(&self.url).message_body(body);
        let reply = request.set_message_group_id(group).set_message_deduplication_id(deduplication).send().await?;
        Ok(reply.message_id.unwrap_or_default())
    }

    /// A message's group, and the deduplication id where a FIFO queue asks for both. The latter is the message's own: what is sent twice is meant
    /// to be.
    fn ids(&self, group: Option<&str>) -> (Option<String>, Option<String>) {
        match self.binding.is_fifo() {
            true => (Some(group.unwrap_or(GROUP).to_owned()), Some(uuid::Uuid::now_v7().to_string())),
            false => (group.map(str::to_owned), None),
        }
    }

    /// Sends up to ten messages, once: the SDK would try again by itself after a lost reply, and nobody would know of the second copy.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch.
    pub async fn send_batch<'a>(&self, messages: &[impl Copy + Into<Outgoing<'a>>]) -> Result<SendReply, ClientError> {
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (position, message) in messages.iter().enumerate() {
            let Outgoing { body, group } = (*message).into();
            let (group, deduplication) = self.ids(group);
            let entry = SendMessageBatchRequestEntry::builder().id(position.to_string()).message_body(body);
            let entry = entry.set_message_group_id(group).set_message_deduplication_id(deduplication).build();
            request = request.entries(entry.map_err(|error| ClientError::from_build(&error))?);
        }
        let once = aws_sdk_sqs::config::Builder::new().retry_config(RetryConfig::disabled());
        let reply = request.customize().config_override(once).send().await?;
        let accepted = reply.successful.into_iter().filter_map(|entry| Some((entry.id.parse().ok()?, entry.message_id)));
        Ok(SendReply { accepted: accepted.collect(), refused: refused(&reply.failed) })
    }
}
