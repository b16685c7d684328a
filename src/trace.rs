//! What became of one message that was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgConnection;

use crate::decode::decode;
use crate::queue::{QueueBinding, ReceivedMessage};
use crate::settings::SQS_MESSAGE_BYTES_MAX;

/// Where a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is an event.
    Stored {
        /// Whose.
        tenant_id: String,
        /// Under which id.
        event_id: String,
    },
    /// Its event was there before.
    Duplicate {
        /// Whose.
        tenant_id: String,
        /// Under which id.
        event_id: String,
    },
    /// It is a dead letter.
    DeadLetter {
        /// Which.
        dead_letter_id: i64,
        /// Why.
        reason: String,
    },
}

/// Looks up what became of a message; none as long as nothing has. An event whose identity was stored by another message is reported as a
/// duplicate at once, also while its own message still waits in the queue.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fate(connection: &mut PgConnection, queue: &str, sqs_message_id: &str, body: &str) -> Result<Option<Fate>, sqlx::Error> {
    if let Some(letter) = sqlx::query_file!("src/trace/find_letter.sql", queue, sqs_message_id).fetch_optional(&mut *connection).await? {
        return Ok(Some(Fate::DeadLetter { dead_letter_id: letter.dead_letter_id, reason: letter.reason }));
    }
    let message = message(queue, sqs_message_id, body);
    let Ok(decoded) = decode(&message, SQS_MESSAGE_BYTES_MAX) else {
        return Ok(None);
    };
    let envelope = decoded.envelope;
    let rows = sqlx::query_file!("src/trace/find_stored.sql", envelope.source, envelope.event_id).fetch_all(connection).await?;
    let of_tenant = |tenant_id: &str| envelope.tenant_id.as_deref().is_none_or(|named| named == tenant_id);
    let Some(row) = rows.into_iter().find(|row| of_tenant(&row.tenant_id)) else {
        return Ok(None);
    };
    let (tenant_id, event_id) = (row.tenant_id, envelope.event_id);
    let is_own = row.queue == queue && row.sqs_message_id == sqs_message_id;
    Ok(Some(if is_own { Fate::Stored { tenant_id, event_id } } else { Fate::Duplicate { tenant_id, event_id } }))
}

fn message(queue: &str, sqs_message_id: &str, body: &str) -> ReceivedMessage {
    ReceivedMessage {
        queue: Arc::new(QueueBinding { name: queue.to_owned(), tenant: None, trusts_any_sender: true }),
        sqs_message_id: sqs_message_id.to_owned(),
        receipt_handle: String::new(),
        body: body.as_bytes().to_vec(),
        attributes: BTreeMap::new(),
        sender_id: None,
        sent_at: None,
        receive_count: 1,
        message_group: None,
        lease_ends: tokio::time::Instant::now(),
    }
}
