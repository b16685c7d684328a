//! Receiving: long polls, and what they bring.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::error::ClientError;
use super::handle::{Queue, to_seconds};
use super::lease::Lease;
use crate::candidate::{Candidate, MessageAttribute};
use crate::fault;

/// The longest that SQS lets a poll wait.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(20);

/// A poll that outlasts its wait by this is given up: without a limit a black-holed poll never returns.
const POLL_GRACE: Duration = Duration::from_secs(10);

/// What SQS is asked to tell of a message, of what it knows itself.
const SYSTEM_ATTRIBUTES: [MessageSystemAttributeName; 7] = [
    MessageSystemAttributeName::SentTimestamp,
    MessageSystemAttributeName::ApproximateReceiveCount,
    MessageSystemAttributeName::SenderId,
    MessageSystemAttributeName::MessageGroupId,
    MessageSystemAttributeName::SequenceNumber,
    MessageSystemAttributeName::MessageDeduplicationId,
    MessageSystemAttributeName::AwsTraceHeader,
];

/// Those of them that no column holds: they are kept beside the event, under SQS's own names.
const KEPT_ATTRIBUTES: [MessageSystemAttributeName; 2] =
    [MessageSystemAttributeName::AwsTraceHeader, MessageSystemAttributeName::MessageDeduplicationId];

/// How long a reply may take from SQS's picking of its messages to our having them.
const REPLY_TIME: Duration = Duration::from_millis(500);

/// What SQS hands over: bytes with what SQS knows of them, and a lease.
#[derive(Debug)]
pub struct ReceivedMessage {
    /// What a verdict is asked on.
    pub candidate: Arc<Candidate>,
    /// By which it is ours, for a time.
    pub lease: Lease,
}

impl Queue {
    /// Waits up to `wait` for messages, at most `messages_max` (1-10) of them. The future must not be dropped before it ends: what SQS has
    /// leased by then would be seen by nobody until the lease ends.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn receive(
        &self,
        messages_max: usize,
        wait: Duration,
        visibility_timeout: Duration,
    ) -> Result<Vec<ReceivedMessage>, ClientError> {
        let request = self
            .poll
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(messages_max).unwrap_or(1).clamp(1, 10))
            .wait_time_seconds(to_seconds(wait))
            .visibility_timeout(to_seconds(visibility_timeout))
            .set_message_system_attribute_names(Some(SYSTEM_ATTRIBUTES.to_vec()))
            .message_attribute_names("All");
        let sent_at = Instant::now();
        let reply = tokio::time::timeout(poll_time_max(wait), request.send()).await.map_err(|_| ClientError::timeout())??;
        let messages = reply.messages.unwrap_or_default();
        // A lease begins when SQS picks its message, at the end of a long poll; never before the request.
        let leased_at = Instant::now().checked_sub(REPLY_TIME).map_or(sent_at, |picked_at| picked_at.max(sent_at));
        Ok(messages.into_iter().map(|message| self.take(message, leased_at + visibility_timeout)).collect())
    }

    fn take(&self, message: Message, lease_ends_at: Instant) -> ReceivedMessage {
        let mut system = message.attributes.unwrap_or_default();
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
        let sent_ms = number(system.get(&MessageSystemAttributeName::SentTimestamp));
        let receive_count = number(system.get(&MessageSystemAttributeName::ApproximateReceiveCount));
        let kept = KEPT_ATTRIBUTES.iter().filter_map(|name| Some((name.as_str().to_owned(), system.remove(name)?))).collect();
        let candidate = Candidate {
            queue: Arc::clone(&self.binding),
            message_id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default().into_bytes(),
            attributes: message.message_attributes.unwrap_or_default().into_iter().map(attribute).collect(),
            system_attributes: kept,
            sender_id: system.remove(&MessageSystemAttributeName::SenderId),
            sent_at: sent_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()),
            receive_count: receive_count.and_then(|count| i32::try_from(count).ok()).unwrap_or(2),
            message_group: system.remove(&MessageSystemAttributeName::MessageGroupId),
            sequence_number: system.remove(&MessageSystemAttributeName::SequenceNumber),
        };
        let lease = Lease::new(message.receipt_handle.unwrap_or_default(), Some(lease_ends_at));
        ReceivedMessage { candidate: Arc::new(candidate), lease }
    }
}

/// When a poll with this wait is given up.
pub fn poll_time_max(wait: Duration) -> Duration {
    wait + fault::shortened("poll_grace", POLL_GRACE)
}

fn attribute((name, value): (String, MessageAttributeValue)) -> (String, MessageAttribute) {
    use base64::Engine as _;
    let binary = |value: aws_sdk_sqs::primitives::Blob| base64::engine::general_purpose::STANDARD.encode(value);
    let text = value.string_value.or_else(|| value.binary_value.map(binary)).unwrap_or_default();
    (name, MessageAttribute { data_type: value.data_type, value: text })
}
