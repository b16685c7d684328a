//! What became of one message that was sent.

use sqlx::PgConnection;

use crate::decode::{Unwrapped, decode};
use crate::json;
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

/// Looks up what became of a message; none as long as nothing has, or nothing can be told. It is a duplicate where its identity was stored
/// by another message with equal content.
///
/// # Errors
/// When Postgres does not answer.
pub async fn fate(
    connection: &mut PgConnection,
    queue: &QueueBinding,
    sqs_message_id: &str,
    body: &str,
) -> Result<Option<Fate>, sqlx::Error> {
    if let Some(letter) =
        sqlx::query_file!("src/trace/find_letter.sql", queue.name, sqs_message_id).fetch_optional(&mut *connection).await?
    {
        return Ok(Some(Fate::DeadLetter { dead_letter_id: letter.dead_letter_id, reason: letter.reason }));
    }
    let message = ReceivedMessage { sqs_message_id: sqs_message_id.to_owned(), ..ReceivedMessage::of_body(queue.clone(), body.into()) };
    let mut unwrapped = Unwrapped::default();
    let Ok(decoded) = decode(&message, SQS_MESSAGE_BYTES_MAX, &mut unwrapped) else { return Ok(None) };
    let envelope = decoded.envelope;
    let rows =
        sqlx::query_file!("src/trace/find_stored.sql", envelope.source.as_str(), envelope.event_id.as_str()).fetch_all(connection).await?;
    let stored = |tenant_id: &str| (tenant_id.to_owned(), envelope.event_id.to_string());
    if let Some(row) = rows.iter().find(|row| row.queue == queue.name && row.sqs_message_id == sqs_message_id) {
        let (tenant_id, event_id) = stored(&row.tenant_id);
        return Ok(Some(Fate::Stored { tenant_id, event_id }));
    }
    // Without a name in the body it is the queue's tenant that counts, which a producer does not know.
    let Some(row) = rows.iter().find(|row| envelope.tenant_id.as_deref() == Some(&*row.tenant_id)) else { return Ok(None) };
    let has_equal_fields = row.event_type == envelope.event_type && row.client_id.as_deref() == envelope.client_id.as_deref();
    let is_equal = has_equal_fields && json::is_equal(&row.payload, envelope.payload.of(body.as_bytes()));
    let (tenant_id, event_id) = stored(&row.tenant_id);
    Ok(is_equal.then_some(Fate::Duplicate { tenant_id, event_id }))
}
