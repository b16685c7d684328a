//! What became of one message that was sent, and of one event.

mod story;

use std::sync::Arc;

use sqlx::PgConnection;

use crate::candidate::{Candidate, QueueBinding};
use crate::decode::decode;
use crate::json;
use crate::settings::SQS_MESSAGE_BYTES_MAX;

pub use story::{EventName, Step, story};

/// Where a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageState {
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

/// Looks up what became of a message; none as long as nothing has, or nothing can be told. It is a duplicate where its identity was stored
/// by another message with equal content.
///
/// # Errors
/// When Postgres does not answer.
pub async fn message_state(
    connection: &mut PgConnection,
    queue: &QueueBinding,
    sqs_message_id: &str,
    body: &str,
) -> Result<Option<MessageState>, sqlx::Error> {
    if let Some(dead_letter) =
        sqlx::query_file!("src/trace/find_dead_letter.sql", queue.name, sqs_message_id).fetch_optional(&mut *connection).await?
    {
        return Ok(Some(MessageState::DeadLetter { dead_letter_id: dead_letter.dead_letter_id, reason: dead_letter.reason }));
    }
    let candidate = Candidate { message_id: sqs_message_id.to_owned(), ..Candidate::of_body(queue.clone(), body.into()) };
    let Ok(decoded) = decode(Arc::new(candidate), SQS_MESSAGE_BYTES_MAX) else { return Ok(None) };
    let envelope = decoded.into_envelope();
    let rows =
        sqlx::query_file!("src/trace/find_stored.sql", envelope.source.as_str(), envelope.event_id.as_str()).fetch_all(connection).await?;
    let stored = |tenant_id: &str| (tenant_id.to_owned(), envelope.event_id.to_string());
    if let Some(row) = rows.iter().find(|row| row.queue == queue.name && row.sqs_message_id == sqs_message_id) {
        let (tenant_id, event_id) = stored(&row.tenant_id);
        return Ok(Some(MessageState::Stored { tenant_id, event_id }));
    }
    // Without a name in the body it is the queue's tenant that counts, which a producer does not know.
    let Some(row) = rows.iter().find(|row| envelope.tenant_id.as_deref() == Some(&*row.tenant_id)) else { return Ok(None) };
    let has_equal_fields = row.event_type == envelope.event_type && row.client_id.as_deref() == envelope.client_id.as_deref();
    let is_equal = has_equal_fields && json::is_equal(&row.payload, envelope.payload.of(body.as_bytes()));
    let (tenant_id, event_id) = stored(&row.tenant_id);
    Ok(is_equal.then_some(MessageState::Duplicate { tenant_id, event_id }))
}
