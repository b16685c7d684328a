//! A dead letter as a candidate: with all that its message was received with, so that it goes the path as it did then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use sqlx::PgConnection;

use crate::candidate::{Candidate, MessageAttribute, QueueBinding};
use crate::event::TenantId;
use crate::settings::{Format, QueueSetting};

/// A candidate that is to go the path again.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The dead letter's number, or its place among what was received.
    pub number: i64,
    /// What it was received as.
    pub candidate: Arc<Candidate>,
}

/// Which terms queues have today: trust that was withdrawn counts no more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// By QUEUES.
    pub configured: &'a [QueueSetting],
    /// By the catalog.
    pub of_catalog: &'a [QueueSetting],
}

impl Terms<'_> {
    /// Whether a queue is known to trust not everybody.
    fn has_withdrawn_trust(&self, queue: &str) -> bool {
        let setting = self.configured.iter().chain(self.of_catalog).find(|setting| setting.name == queue);
        setting.is_some_and(|setting| !setting.trusts_any_sender)
    }
}

/// What `message.attributes` and `dead_letter.attributes` have of a message.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Surroundings {
    message_attributes: BTreeMap<String, MessageAttribute>,
    system_attributes: BTreeMap<String, String>,
}

/// Reads those of these dead letters that are still open, in the order of the numbers. Missing is also one in a format that this build does
/// not know.
pub async fn read_open(connection: &mut PgConnection, ids: &[i64], terms: &Terms<'_>) -> Result<Vec<Kept>, sqlx::Error> {
    read(connection, ids, terms, true).await
}

/// The same of one that may be closed.
pub async fn read_any(connection: &mut PgConnection, id: i64) -> Result<Option<Kept>, sqlx::Error> {
    Ok(read(connection, &[id], &Terms::default(), false).await?.pop())
}

async fn read(connection: &mut PgConnection, ids: &[i64], terms: &Terms<'_>, is_open: bool) -> Result<Vec<Kept>, sqlx::Error> {
    let rows = sqlx::query_file!("src/dead_letter/kept.sql", ids, is_open).fetch_all(connection).await?;
    let mut by_id = HashMap::with_capacity(rows.len());
    for row in rows {
        let Some(format) = Format::ALL.into_iter().find(|format| format.as_str() == row.queue_format) else { continue };
        let trusts_any_sender = row.queue_trusts_any_sender == Some(true) && !terms.has_withdrawn_trust(&row.queue);
        let tenant = row.queue_tenant.as_deref().map(TenantId::new);
        let surroundings: Surroundings = serde_json::from_str(&row.attributes).unwrap_or_default();
        let candidate = Candidate {
            queue: Arc::new(QueueBinding { name: row.queue, tenant, trusts_any_sender, format }),
            message_id: row.sqs_message_id,
            body: row.body,
            attributes: surroundings.message_attributes,
            system_attributes: surroundings.system_attributes,
            sender_id: row.sender_id,
            sent_at: row.sent_at,
            // So that nothing relies on a first time: that it is begun was counted.
            receive_count: row.receive_count.max(2),
            message_group: row.message_group,
            sequence_number: row.sequence_number,
        };
        by_id.insert(row.dead_letter_id, Kept { number: row.dead_letter_id, candidate: Arc::new(candidate) });
    }
    Ok(ids.iter().filter_map(|id| by_id.remove(id)).collect())
}
