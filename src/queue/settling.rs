//! The end of messages: deleted, kept for longer or handed back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ClientError;
use super::handle::{Queue, to_seconds};
use super::lease::Lease;
use super::wire::{read_reply, request_body};
use crate::backoff::Backoff;

/// All requests but polls answer at once or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often a request is sent at most that SQS did not answer or has throttled; as the SDK has it.
const TRIES_MAX: usize = 3;

/// Before the first and the last of these.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// What became of the entries of a batch request, by their position.
#[derive(Debug, Default)]
pub struct BatchReply {
    /// Entries that SQS says it carried out.
    pub successful: Vec<usize>,
    /// Entries that can never succeed, with the reason as a metric's label: `receipt_handle_invalid` (stale or malformed) or `refused`.
    pub refused: Vec<(usize, &'static str)>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<'a> {
    queue_url: &'a str,
    entries: Vec<Entry>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(queue_url: &'a str, entries: impl Iterator<Item = Entry>) -> Self {
        Self { queue_url, entries: entries.enumerate().map(|(position, entry)| Entry { id: position.to_string(), ..entry }).collect() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    id: String,
    receipt_handle: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility_timeout: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reply {
    successful: Option<Vec<Done>>,
    failed: Option<Vec<Failed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: Option<String>,
    code: Option<String>,
    sender_fault: Option<bool>,
}

impl Queue {
    /// Deletes messages, as many as fit into a request at most. What is in neither list of the reply may be tried again.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch.
    pub async fn delete(&self, leases: &[&Lease]) -> Result<BatchReply, ClientError> {
        self.settle("AmazonSQS.DeleteMessageBatch", leases.iter().map(|lease| entry(lease, None))).await
    }

    /// Hides messages, as many as fit into a request at most, from now on for so long each: to keep them, or to hand them back after a delay.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses the whole batch; the leases then are as they were.
    pub async fn set_visibility(&self, messages: &[(&Lease, Duration)]) -> Result<BatchReply, ClientError> {
        let entries = messages.iter().map(|(lease, delay)| entry(lease, Some(to_seconds(*delay))));
        self.settle("AmazonSQS.ChangeMessageVisibilityBatch", entries).await
    }

    async fn settle(&self, operation: &'static str, entries: impl Iterator<Item = Entry>) -> Result<BatchReply, ClientError> {
        let request = request_body(&Batch::new(&self.url, entries))?;
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        let mut tries = 1;
        let reply = loop {
            match self.wire.call(operation, request.clone(), TIMEOUT).await {
                Err(error) if tries < TRIES_MAX && (error.is_unanswered() || error.class() == "throttled") => {
                    tokio::time::sleep(backoff.pause()).await;
                    tries += 1;
                }
                reply => break reply?,
            }
        };
        read_reply::<Reply>(&reply).map(BatchReply::from)
    }
}

impl From<Reply> for BatchReply {
    fn from(Reply { successful, failed }: Reply) -> Self {
        let position = |id: Option<String>| id.and_then(|id| id.parse().ok());
        // Others are SQS's own faults, and worth another try.
        let by_sender = failed.into_iter().flatten().filter(|entry| entry.sender_fault == Some(true));
        Self {
            successful: successful.into_iter().flatten().filter_map(|entry| position(entry.id)).collect(),
            refused: by_sender.filter_map(|entry| Some((position(entry.id)?, refusal(&entry.code.unwrap_or_default())))).collect(),
        }
    }
}

pub(super) fn entry(lease: &Lease, visibility_timeout: Option<i32>) -> Entry {
    Entry { id: String::new(), receipt_handle: lease.receipt_handle(), visibility_timeout }
}

/// Of a refused delete or change of visibility, as a metric's label.
fn refusal(code: &str) -> &'static str {
    if code.contains("ReceiptHandle") { "receipt_handle_invalid" } else { "refused" }
}
