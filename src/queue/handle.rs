//! A queue that is there, and how it is found.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::{BatchResultErrorEntry, QueueAttributeName};

use super::attributes::QueueAttributes;
use super::client::Clients;
use super::endpoint::Sent;
use super::error::ClientError;
use super::wire::Wire;
use crate::candidate::QueueBinding;
use crate::settings::QueueSetting;

/// So many messages fit into a receive, a delete or a change of visibility. SQS: ten.
pub const MESSAGES_PER_REQUEST_MAX: usize = 10;

/// An SQS queue that is known to exist.
#[derive(Debug, Clone)]
pub struct Queue {
    /// What it is called and whom it belongs to.
    pub binding: Arc<QueueBinding>,
    /// How it was set up when it was opened.
    pub attributes: QueueAttributes,
    pub(super) url: String,
    pub(super) client: aws_sdk_sqs::Client,
    pub(super) wire: Arc<Wire>,
}

impl Queue {
    /// Finds a queue by its setting.
    ///
    /// # Errors
    /// When SQS does not answer, refuses, or has no such queue.
    pub async fn open(clients: &Clients, setting: &QueueSetting) -> Result<Self, ClientError> {
        let client = clients.client(setting);
        // Whoever opens a queue decides on trying again: the SDK would do so at once, also where SQS has asked for less.
        let once = || aws_sdk_sqs::config::Builder::new().retry_config(RetryConfig::disabled());
        let url = match &setting.url {
            Some(url) => url.clone(),
            None => {
                let request = client.get_queue_url().queue_name(&setting.name).customize().config_override(once()).send();
                let reply = clients.measure.request("GetQueueUrl", request).await?;
                reply.queue_url.unwrap_or_default()
            }
        };
        // This also proves that the queue exists and that this process may use it. All, because not every server knows each by name.
        let request = client.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
        let sent = Sent::default();
        let request = request.customize().config_override(once()).interceptor(sent.clone()).send();
        let reply = clients.measure.request("GetQueueAttributes", request).await?;
        let attributes = QueueAttributes::read(&reply.attributes.unwrap_or_default());
        let wire = Arc::new(clients.wire(sent.take()?));
        Ok(Self { binding: Arc::new(setting.into()), attributes, url, client, wire })
    }

    /// Where SQS has it.
    pub fn url(&self) -> &str {
        &self.url
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
        let request = self.client.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(names)).send();
        let reply = self.wire.measure.request("GetQueueAttributes", request).await?;
        let attributes = reply.attributes.unwrap_or_default();
        Ok(states.into_iter().filter_map(|(name, state)| Some((state, attributes.get(&name)?.parse().ok()?))).collect())
    }
}

/// The entries that failed by the sender's fault, with SQS's code. Others are SQS's own and worth another try.
pub(super) fn refused(failed: &[BatchResultErrorEntry]) -> Vec<(usize, String)> {
    let by_sender = failed.iter().filter(|entry| entry.sender_fault);
    by_sender.filter_map(|entry| Some((entry.id.parse().ok()?, entry.code.clone()))).collect()
}

/// SQS counts in whole seconds.
pub(super) fn to_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
