//! Receiving: long polls, and what they bring.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::error::ClientError;
use super::handle::{MESSAGES_PER_REQUEST_MAX, Queue, to_seconds};
use super::lease::Lease;
use super::wire::{read_reply, request_body};
use crate::candidate::{Candidate, MessageAttribute, QueueBinding};
use crate::fault;

/// The longest that SQS lets a poll wait.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(20);

/// A poll that outlasts its wait by this is given up: without a limit a black-holed poll never returns.
const POLL_GRACE: Duration = Duration::from_secs(10);

/// The ARN of the queue from which SQS has moved a message to its dead-letter queue.
pub const DEAD_LETTER_SOURCE: &str = "DeadLetterQueueSourceArn";

/// What SQS is asked to tell of a message, of what it knows itself.
const SYSTEM_ATTRIBUTES: [&str; 8] = [
    "SentTimestamp",
    "ApproximateReceiveCount",
    "SenderId",
    "MessageGroupId",
    "SequenceNumber",
    "MessageDeduplicationId",
    "AWSTraceHeader",
    DEAD_LETTER_SOURCE,
];

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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive<'a> {
    queue_url: &'a str,
    max_number_of_messages: usize,
    wait_time_seconds: i32,
    visibility_timeout: i32,
    message_system_attribute_names: [&'static str; 8],
    message_attribute_names: [&'static str; 1],
}

impl<'a> Receive<'a> {
    pub(super) fn new(queue_url: &'a str, messages_max: usize, wait: Duration, visibility_timeout: Duration) -> Self {
        Self {
            queue_url,
            max_number_of_messages: messages_max.clamp(1, MESSAGES_PER_REQUEST_MAX),
            wait_time_seconds: to_seconds(wait),
            visibility_timeout: to_seconds(visibility_timeout),
            message_system_attribute_names: SYSTEM_ATTRIBUTES,
            message_attribute_names: ["All"],
        }
    }

    /// One that SQS refuses for what it asks, once it has seen that it may be asked: for no message, at once.
    pub(super) fn impossible(queue_url: &'a str) -> Self {
        Self { max_number_of_messages: 0, ..Self::new(queue_url, 1, Duration::ZERO, Duration::ZERO) }
    }
}

/// Whatever SQS does not say, or says to be null, is none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Received {
    pub messages: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    message_id: Option<String>,
    receipt_handle: Option<String>,
    body: Option<String>,
    attributes: Option<SystemAttributes>,
    message_attributes: Option<HashMap<String, AttributeValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct SystemAttributes {
    sent_timestamp: Option<String>,
    approximate_receive_count: Option<String>,
    sender_id: Option<String>,
    message_group_id: Option<String>,
    sequence_number: Option<String>,
    message_deduplication_id: Option<String>,
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Option<String>,
    dead_letter_queue_source_arn: Option<String>,
}

/// A binary one is in base64 as it comes.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeValue {
    data_type: Option<String>,
    string_value: Option<String>,
    binary_value: Option<String>,
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
        let request = request_body(&Receive::new(&self.url, messages_max, wait, visibility_timeout))?;
        let sent_at = Instant::now();
        let reply = self.wire.call("AmazonSQS.ReceiveMessage", request, poll_time_max(wait)).await?;
        let messages = read_reply::<Received>(&reply)?.messages.unwrap_or_default();
        // A lease begins when SQS picks its message, at the end of a long poll; never before the request.
        let leased_at = Instant::now().checked_sub(REPLY_TIME).map_or(sent_at, |picked_at| picked_at.max(sent_at));
        Ok(messages.into_iter().map(|message| take(&self.binding, message, leased_at + visibility_timeout)).collect())
    }
}

/// A message as others know it.
pub(super) fn take(binding: &Arc<QueueBinding>, message: Entry, lease_ends_at: Instant) -> ReceivedMessage {
    let system = message.attributes.unwrap_or_default();
    let number = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok());
    let sent_ms = number(system.sent_timestamp);
    let receive_count = number(system.approximate_receive_count);
    // Those that no column holds are kept beside the event, under SQS's own names.
    let kept = [
        ("AWSTraceHeader", system.trace_header),
        ("MessageDeduplicationId", system.message_deduplication_id),
        (DEAD_LETTER_SOURCE, system.dead_letter_queue_source_arn),
    ];
    let kept = kept.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let candidate = Candidate {
        queue: Arc::clone(binding),
        message_id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default().into_bytes(),
        attributes: message.message_attributes.unwrap_or_default().into_iter().map(attribute).collect(),
        system_attributes: kept,
        sender_id: system.sender_id,
        sent_at: sent_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()),
        receive_count: receive_count.and_then(|count| i32::try_from(count).ok()).unwrap_or(2),
        // On other queues it only says whose share of what is received it was.
        message_group: system.message_group_id.filter(|_| binding.is_fifo()),
        sequence_number: system.sequence_number,
    };
    let lease = Lease::new(message.receipt_handle.unwrap_or_default(), Some(lease_ends_at));
    ReceivedMessage { candidate: Arc::new(candidate), lease }
}

/// When a poll with this wait is given up.
pub fn poll_time_max(wait: Duration) -> Duration {
    wait + fault::shortened("poll_grace", POLL_GRACE)
}

fn attribute((name, value): (String, AttributeValue)) -> (String, MessageAttribute) {
    let text = value.string_value.or(value.binary_value).unwrap_or_default();
    (name, MessageAttribute { data_type: value.data_type.unwrap_or_default(), value: text })
}
