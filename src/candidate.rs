//! What a verdict is asked on: a body with all that is known of it. Whether it is in flight or kept as a dead letter changes nothing about
//! the path that it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::event::TenantId;
use crate::settings::{Format, QueueSetting};

/// What is known of a queue before a message comes from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueBinding {
    /// The name that dead letters, metrics and logs use.
    pub name: String,
    /// The tenant that everything on it belongs to; none: tenants share it.
    pub tenant: Option<TenantId>,
    /// On a shared queue: whether every sender may write for every tenant.
    pub trusts_any_sender: bool,
    /// In what form its events arrive.
    pub format: Format,
}

impl QueueBinding {
    /// Whether the queue keeps the order within a group, so that we have to as well. SQS: its name says so.
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

/// A message attribute, binary ones in base64.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, with an optional suffix of the sender's.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The value.
    pub value: String,
}

/// A body and what is known of it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it came from, and under which terms.
    pub queue: Arc<QueueBinding>,
    /// The queue's id of the message; the same in every redelivery, another after a redrive.
    pub message_id: String,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// The message attributes that the sender set.
    pub attributes: BTreeMap<String, MessageAttribute>,
    /// What else the queue was told of it and has no field of its own, by the queue's names.
    pub system_attributes: BTreeMap<String, String>,
    /// The unique id of the AWS principal that sent it; `AROA...:session` for a role.
    pub sender_id: Option<String>,
    /// When the queue took it, at its latest enqueue.
    pub sent_at: Option<OffsetDateTime>,
    /// How often it was received, the last time included; 2 where the queue does not say, so that nothing relies on a first time.
    pub receive_count: i32,
    /// On a FIFO queue: within which group it keeps its place.
    pub message_group: Option<String>,
    /// On a FIFO queue: larger for a later message of the group.
    pub sequence_number: Option<String>,
}

impl Candidate {
    /// A body as if it had just come from a queue for the first time, with nothing else known.
    pub fn of_body(queue: QueueBinding, body: Vec<u8>) -> Self {
        Self {
            queue: Arc::new(queue),
            message_id: String::new(),
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
