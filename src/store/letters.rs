//! Dead letters of a batch: written, updated, and closed where their events are stored after all.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use smol_str::SmolStr;

use super::{Judged, Quotes, Settlement, tenant_of};
use crate::decode::{message_attributes, message_traceparent};
use crate::event::{Envelope, Rejection, TenantId};
use crate::queue::ReceivedMessage;

/// A rejected event as a row.
struct Letter<'a> {
    judged: &'a Judged,
    rejection: &'a Rejection,
    errors: String,
    attributes: String,
    traceparent: Option<SmolStr>,
}

impl<'a> Letter<'a> {
    fn new(judged: &'a Judged, rejection: &'a Rejection) -> Self {
        let message = &judged.held.message;
        let (attributes, traceparent) = match &rejection.envelope {
            Some(envelope) => (envelope.attributes.to_string(), envelope.traceparent.clone()),
            None => (message_attributes(message), message_traceparent(message)),
        };
        let attributes = if attributes.is_empty() || judged.quotes != Quotes::All { "{}".to_owned() } else { attributes };
        let errors = serde_json::to_string(&rejection.violations).ok();
        Self { judged, rejection, errors: errors.unwrap_or_else(|| "[]".to_owned()), attributes, traceparent }
    }

    fn tenant_id(&self) -> Option<&'a str> {
        tenant_of(&self.judged.held.message, self.rejection).map(TenantId::as_str)
    }

    fn envelope<T>(&self, field: impl Fn(&'a Envelope) -> T) -> Option<T> {
        self.rejection.envelope.as_deref().filter(|_| self.judged.quotes != Quotes::Nothing).map(field)
    }

    /// What the sender has told SQS.
    fn of_message<'l>(&'l self, field: impl Fn(&'l ReceivedMessage) -> Option<&'l String>) -> Option<&'l str> {
        field(&self.judged.held.message).map(String::as_str).filter(|_| self.judged.quotes != Quotes::Nothing)
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref().filter(|_| self.judged.quotes != Quotes::Nothing)
    }

    fn claimed_tenant(&self) -> Option<&'a str> {
        let claimed = self.rejection.claimed_tenant.as_deref().filter(|_| self.judged.quotes != Quotes::Nothing);
        claimed.or_else(|| self.envelope(|envelope| envelope.tenant_id.as_deref()).flatten())
    }

    fn rule(&self) -> Option<String> {
        self.rejection.violations.first().map(|violation| format!("{} {}", violation.keyword, violation.schema_location))
    }
}

/// Writes a letter for each rejection, or updates the one that an earlier delivery of the message has left.
pub async fn upsert_dead_letters<'a>(
    connection: &mut PgConnection,
    rejections: impl Iterator<Item = (&'a Judged, &'a Rejection)>,
) -> Result<(), sqlx::Error> {
    // By key: sorted, and once where a message came twice in the batch.
    let letters: BTreeMap<_, _> = rejections
        .map(|(judged, rejection)| {
            let message = &judged.held.message;
            ((message.queue.name.as_str(), message.sqs_message_id.as_str()), Letter::new(judged, rejection))
        })
        .collect();
    if letters.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/upsert_dead_letters.sql",
        &letter_column(&letters, Letter::tenant_id) as _,
        &letters.keys().map(|(queue, _)| *queue).collect::<Vec<_>>() as _,
        &letters.keys().map(|(_, sqs_message_id)| *sqs_message_id).collect::<Vec<_>>() as _,
        &letter_column(&letters, |letter| letter.envelope(|envelope| envelope.source.as_str())) as _,
        &letter_column(&letters, |letter| letter.envelope(|envelope| envelope.event_id.as_str())) as _,
        &letter_column(&letters, |letter| letter.envelope(|envelope| envelope.event_type.as_str())) as _,
        &letter_column(&letters, |letter| letter.envelope(|envelope| envelope.schema_version).flatten()) as _,
        &letter_column(&letters, |letter| letter.rejection.reason.as_str()) as _,
        &letter_column(&letters, Letter::rule) as _,
        &letter_column(&letters, |letter| letter.errors.as_str()) as _,
        &letter_column(&letters, |letter| letter.judged.held.message.body.as_slice()) as _,
        &letter_column(&letters, |letter| letter.attributes.as_str()) as _,
        &letter_column(&letters, |letter| letter.judged.held.message.sender_id.as_deref()) as _,
        &letter_column(&letters, |letter| letter.judged.held.message.queue.tenant.as_ref().map(TenantId::as_str)) as _,
        &letter_column(&letters, |letter| letter.judged.held.message.queue.format.as_str()) as _,
        &letter_column(&letters, |letter| letter.judged.generation),
        &letter_column(&letters, |letter| letter.judged.held.message.receive_count),
        &letter_column(&letters, |letter| letter.judged.held.message.sent_at) as _,
        &letter_column(&letters, |letter| letter.of_message(|message| message.message_group.as_ref())) as _,
        &letter_column(&letters, |letter| letter.of_message(|message| message.sequence_number.as_ref())) as _,
        &letter_column(&letters, Letter::traceparent) as _,
        &letter_column(&letters, |letter| letter.judged.held.message.queue.trusts_any_sender),
        &letter_column(&letters, Letter::claimed_tenant) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn letter_column<'l, 'a, K, T>(letters: &'l BTreeMap<K, Letter<'a>>, value: impl Fn(&'l Letter<'a>) -> T) -> Vec<T> {
    letters.values().map(value).collect()
}

/// Closes the letters that earlier deliveries of what is stored now have left. Looked for always: SQS's count of receives is approximate.
pub async fn close_dead_letters(connection: &mut PgConnection, batch: &[Judged], settlements: &[Settlement]) -> Result<(), sqlx::Error> {
    let mut closing: BTreeMap<&str, BTreeMap<&str, &Settlement>> = BTreeMap::new();
    for (judged, settlement) in batch.iter().zip(settlements).filter(|(_, settlement)| !matches!(settlement, Settlement::Rejected(_))) {
        let message = &judged.held.message;
        closing.entry(&message.queue.name).or_default().entry(&message.sqs_message_id).or_insert(settlement);
    }
    // A queue at a time: the index then finds all of its ids in one scan.
    for (queue, messages) in closing {
        let duplicates = messages.iter().filter(|(_, settlement)| **settlement == &Settlement::Duplicate);
        sqlx::query_file!(
            "src/store/close_dead_letters.sql",
            queue,
            &messages.keys().copied().collect::<Vec<_>>() as _,
            &duplicates.map(|(sqs_message_id, _)| *sqs_message_id).collect::<Vec<_>>() as _,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
