//! 1. Receive from SQS; hand back to SQS.

mod attributes;
mod client;
mod connector;
mod credentials;
mod error;
mod lease;
mod region;
mod sending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::event::TenantId;
use crate::fault;
use crate::settings::{Format, QueueSetting};
pub use attributes::QueueAttributes;
pub use client::Clients;
pub use error::ClientError;
pub use lease::{Extending, Lease};
pub use sending::{Outgoing, SendReply};

use client::Pair;

/// SQS: at most ten messages in a receive, ten entries in a batch.
pub const SQS_BATCH_MAX: usize = 10;

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

/// What is known of a queue before a message comes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueBinding {
    /// The name that letters, metrics and logs use.
    pub name: String,
    /// The tenant that everything on it belongs to; none: tenants share it.
    pub tenant: Option<TenantId>,
    /// On a shared queue: whether every sender may write for every tenant.
    pub trusts_any_sender: bool,
    /// In what form its events arrive.
    pub format: Format,
}

impl QueueBinding {
    /// Whether SQS keeps the order within a group, so that we have to as well. SQS: its name says so.
    pub fn is_fifo(&self) -> bool {
        self.name.strip_suffix(".fifo").is_some()
    }
}

impl From<&QueueSetting> for QueueBinding {
    fn from(setting: &QueueSetting) -> Self {
        let QueueSetting { name, tenant, trusts_any_sender, format, .. } = setting.clone();
        Self { name, tenant, trusts_any_sender, format }
    }
}

/// What SQS hands over: bytes, what SQS knows of them, and a lease.
#[derive(Debug, Clone)]
pub struct ReceivedMessage {
    /// Where it came from.
    pub queue: Arc<QueueBinding>,
    /// SQS's id of the message; the same in every redelivery, another after a redrive.
    pub sqs_message_id: String,
    /// By which it is ours, for a time.
    pub lease: Lease,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// The message attributes that the sender set.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// What else of the sender's SQS has: `AWSTraceHeader` and `MessageDeduplicationId`, where there are any.
    pub system_attributes: BTreeMap<String, String>,
    /// The unique id of the AWS principal that sent it; `AROA...:session` for a role.
    pub sender_id: Option<String>,
    /// When SQS took it, at its latest enqueue.
    pub sent_at: Option<OffsetDateTime>,
    /// How often it was received, this time included; 2 where SQS does not say, so that nothing relies on a first time.
    pub receive_count: i32,
    /// `MessageGroupId`
    pub message_group: Option<String>,
    /// `SequenceNumber`, on a FIFO queue: larger for a later message of the group.
    pub sequence_number: Option<String>,
}

impl ReceivedMessage {
    /// A body as if it had just come from a queue for the first time, with nothing else known.
    pub fn of_body(queue: QueueBinding, body: Vec<u8>) -> Self {
        Self {
            queue: Arc::new(queue),
            sqs_message_id: String::new(),
            lease: Lease::default(),
            body,
            attributes: BTreeMap::new(),
            system_attributes: BTreeMap::new(),
            sender_id: None,
            sent_at: None,
            receive_count: 1,
            message_group: None,
            sequence_number: None,
        }
    }
}

/// A message attribute of SQS, binary ones in base64.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, with an optional suffix of the sender's.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The value.
    pub value: String,
}

/// An SQS queue that is known to exist.
#[derive(Debug, Clone)]
pub struct Queue {
    /// What it is called and whom it belongs to.
    pub binding: Arc<QueueBinding>,
    /// How it was set up when it was opened.
    pub attributes: QueueAttributes,
    url: String,
    poll: aws_sdk_sqs::Client,
    acknowledge: aws_sdk_sqs::Client,
}

/// What became of the entries of a batch request, by their position.
#[derive(Debug, Default)]
pub struct BatchReply {
    /// Entries that SQS says it carried out.
    pub successful: Vec<usize>,
    /// Entries that can never succeed, with SQS's code: the receipt handle is stale or malformed.
    pub refused: Vec<(usize, String)>,
}

impl Queue {
    /// Finds a queue by its setting.
    ///
    /// # Errors
    /// When SQS does not answer, refuses, or has no such queue.
    pub async fn open(clients: &Clients, setting: &QueueSetting) -> Result<Self, ClientError> {
        let Pair { poll, acknowledge } = clients.pair(setting);
        // Whoever opens a queue decides on trying again: the SDK would do so at once, also where SQS has asked for less.
        let once = || aws_sdk_sqs::config::Builder::new().retry_config(RetryConfig::disabled());
        let url = match &setting.url {
            Some(url) => url.clone(),
            None => {
                let reply = acknowledge.get_queue_url().queue_name(&setting.name).customize().config_override(once()).send().await?;
                reply.queue_url.unwrap_or_default()
            }
        };
        // This also proves that the queue exists and that this process may use it. All, because not every server knows each by name.
        let request = acknowledge.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
        let reply = request.customize().config_override(once()).send().await?;
        let attributes = QueueAttributes::read(&reply.attributes.unwrap_or_default());
        Ok(Self { binding: Arc::new(setting.into()), attributes, url, poll, acknowledge })
    }

    /// Where SQS has it.
    pub fn url(&self) -> &str {
        &self.url
    }

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

    /// How many messages SQS says there are, by state.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn depth(&self) -> Result<Vec<(&'static str, i64)>, ClientError> {
        let states = [
            (QueueAttributeName::ApproximateNumberOfMessages, "visible"),
            (QueueAttributeName::ApproximateNumberOfMessagesNotVisible, "in_flight"),
            (QueueAttributeName::ApproximateNumberOfMessagesDelayed, "delayed"),
        ];
        let names = states.iter().map(|(name, _)| name.clone()).collect();
        let reply = self.acknowledge.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(names)).send().await?;
        let attributes = reply.attributes.unwrap_or_default();
        Ok(states.into_iter().filter_map(|(name, state)| Some((state, attributes.get(&name)?.parse().ok()?))).collect())
    }

    fn take(&self, message: Message, lease_ends_at: Instant) -> ReceivedMessage {
        let mut system = message.attributes.unwrap_or_default();
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
        let sent_ms = number(system.get(&MessageSystemAttributeName::SentTimestamp));
        let receive_count = number(system.get(&MessageSystemAttributeName::ApproximateReceiveCount));
        let kept = KEPT_ATTRIBUTES.iter().filter_map(|name| Some((name.as_str().to_owned(), system.remove(name)?))).collect();
        ReceivedMessage {
            queue: Arc::clone(&self.binding),
            sqs_message_id: message.message_id.unwrap_or_default(),
            lease: Lease::new(message.receipt_handle.unwrap_or_default(), Some(lease_ends_at)),
            body: message.body.unwrap_or_default().into_bytes(),
            attributes: message.message_attributes.unwrap_or_default().into_iter().map(attribute).collect(),
            system_attributes: kept,
            sender_id: system.remove(&MessageSystemAttributeName::SenderId),
            sent_at: sent_ms.and_then(|ms| OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()),
            receive_count: receive_count.and_then(|count| i32::try_from(count).ok()).unwrap_or(2),
            message_group: system.remove(&MessageSystemAttributeName::MessageGroupId),
            sequence_number: system.remove(&MessageSystemAttributeName::SequenceNumber),
        }
    }

    /// Deletes up to ten messages by their receipt handles. What is in neither list of the reply may be tried again.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch.
    pub async fn delete(&self, receipt_handles: impl IntoIterator<Item: Into<String>>) -> Result<BatchReply, ClientError> {
        let mut request = self.acknowledge.delete_message_batch().queue_url(&self.url);
        for (position, handle) in receipt_handles.into_iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string()).receipt_handle(handle).build();
            request = request.entries(entry.map_err(|error| ClientError::from_build(&error))?);
        }
        let reply = request.send().await?;
        Ok(BatchReply {
            successful: reply.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect(),
            refused: refused(&reply.failed),
        })
    }

    /// Hides up to ten messages, by their receipt handles, from now on for so long each: to keep them, or to hand them back after a delay.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch; the leases then are as they were.
    pub async fn set_visibility(&self, messages: &[(&str, Duration)]) -> Result<BatchReply, ClientError> {
        let mut request = self.acknowledge.change_message_visibility_batch().queue_url(&self.url);
        for (position, (handle, delay)) in messages.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(position.to_string())
                .receipt_handle(*handle)
                .visibility_timeout(to_seconds(*delay));
            request = request.entries(entry.build().map_err(|error| ClientError::from_build(&error))?);
        }
        let reply = request.send().await?;
        Ok(BatchReply {
            successful: reply.successful.iter().filter_map(|entry| entry.id.parse().ok()).collect(),
            refused: refused(&reply.failed),
        })
    }
}

/// When a poll with this wait is given up.
pub fn poll_time_max(wait: Duration) -> Duration {
    wait + fault::shortened("poll_grace", POLL_GRACE)
}

/// The entries that failed by the sender's fault. Others are SQS's own and worth another try.
fn refused(failed: &[aws_sdk_sqs::types::BatchResultErrorEntry]) -> Vec<(usize, String)> {
    let by_sender = failed.iter().filter(|entry| entry.sender_fault);
    by_sender.filter_map(|entry| Some((entry.id.parse().ok()?, entry.code.clone()))).collect()
}

fn attribute((name, value): (String, aws_sdk_sqs::types::MessageAttributeValue)) -> (String, MessageAttribute) {
    use base64::Engine as _;
    let binary = |value: aws_sdk_sqs::primitives::Blob| base64::engine::general_purpose::STANDARD.encode(value);
    let text = value.string_value.or_else(|| value.binary_value.map(binary)).unwrap_or_default();
    (name, MessageAttribute { data_type: value.data_type, value: text })
}

/// SQS counts in whole seconds.
fn to_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
