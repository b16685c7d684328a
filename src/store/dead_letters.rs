//! Dead letters of a batch: written, updated, and closed where their events are stored after all.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use smol_str::SmolStr;

use super::batch::{Decided, Detail};
use super::settlement::Settlement;
use crate::admit::tenant_of_queue;
use crate::candidate::Candidate;
use crate::decode::{message_attributes, message_traceparent};
use crate::event::{Envelope, Rejection, TenantId};

/// A rejected event as a row.
struct DeadLetter<'a> {
    decided: &'a Decided,
    rejection: &'a Rejection,
    errors: String,
    attributes: String,
    traceparent: Option<SmolStr>,
}

impl<'a> DeadLetter<'a> {
    fn new(decided: &'a Decided, rejection: &'a Rejection) -> Self {
        let (attributes, traceparent) = match &rejection.envelope {
            Some(envelope) => (envelope.attributes.to_string(), envelope.traceparent.clone()),
            None => (message_attributes(&decided.candidate), message_traceparent(&decided.candidate)),
        };
        let attributes = if attributes.is_empty() || decided.detail != Detail::All { "{}".to_owned() } else { attributes };
        let errors = serde_json::to_string(&rejection.violations).ok();
        Self { decided, rejection, errors: errors.unwrap_or_else(|| "[]".to_owned()), attributes, traceparent }
    }

    fn tenant_id(&self) -> Option<&'a str> {
        self.rejection.admitted.as_ref().or_else(|| tenant_of_queue(&self.decided.candidate, self.rejection.reason)).map(TenantId::as_str)
    }

    fn envelope<T>(&self, field: impl Fn(&'a Envelope) -> T) -> Option<T> {
        self.rejection.envelope.as_deref().filter(|_| self.decided.detail != Detail::ReasonOnly).map(field)
    }

    /// What the sender has told SQS.
    fn of_message<'l>(&'l self, field: impl Fn(&'l Candidate) -> Option<&'l String>) -> Option<&'l str> {
        field(&self.decided.candidate).map(String::as_str).filter(|_| self.decided.detail != Detail::ReasonOnly)
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref().filter(|_| self.decided.detail != Detail::ReasonOnly)
    }

    fn claimed_tenant(&self) -> Option<&'a str> {
        let claimed = self.rejection.claimed_tenant.as_deref().filter(|_| self.decided.detail != Detail::ReasonOnly);
        claimed.or_else(|| self.envelope(|envelope| envelope.tenant_id.as_deref()).flatten())
    }

    fn rule(&self) -> Option<String> {
        rule(self.rejection)
    }
}

/// An index has it, and a dead letter must never be refused for its length.
const RULE_BYTES_MAX: usize = 500;

/// Keyword and schema location of the first error.
pub fn rule(rejection: &Rejection) -> Option<String> {
    let first = rejection.violations.first()?;
    let mut rule = format!("{} {}", first.keyword, first.schema_location);
    rule.truncate(rule.floor_char_boundary(RULE_BYTES_MAX));
    Some(rule)
}

/// Writes a dead letter for each rejection, or updates the one that an earlier delivery of the message has left.
pub async fn upsert_dead_letters<'a>(
    connection: &mut PgConnection,
    rejections: impl Iterator<Item = (&'a Decided, &'a Rejection)>,
) -> Result<(), sqlx::Error> {
    // By key: sorted, and once where a message came twice in the batch.
    let dead_letters: BTreeMap<_, _> = rejections
        .map(|(decided, rejection)| {
            let candidate = &decided.candidate;
            ((candidate.queue.name.as_str(), candidate.message_id.as_str()), DeadLetter::new(decided, rejection))
        })
        .collect();
    if dead_letters.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/upsert_dead_letters.sql",
        &dead_letter_column(&dead_letters, DeadLetter::tenant_id) as _,
        &dead_letters.keys().map(|(queue, _)| *queue).collect::<Vec<_>>() as _,
        &dead_letters.keys().map(|(_, message_id)| *message_id).collect::<Vec<_>>() as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.envelope(|envelope| envelope.source.as_str())) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.envelope(|envelope| envelope.event_id.as_str())) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.envelope(|envelope| envelope.event_type.as_str())) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.envelope(|envelope| envelope.schema_version).flatten()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.rejection.reason.as_str()) as _,
        &dead_letter_column(&dead_letters, DeadLetter::rule) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.errors.as_str()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.body.as_slice()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.attributes.as_str()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.sender_id.as_deref()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.queue.tenant.as_ref().map(TenantId::as_str)) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.queue.format.as_str()) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.generation),
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.receive_count),
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.sent_at) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.of_message(|candidate| candidate.message_group.as_ref())) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.of_message(|candidate| candidate.sequence_number.as_ref())) as _,
        &dead_letter_column(&dead_letters, DeadLetter::traceparent) as _,
        &dead_letter_column(&dead_letters, |dead_letter| dead_letter.decided.candidate.queue.trusts_any_sender),
        &dead_letter_column(&dead_letters, DeadLetter::claimed_tenant) as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn dead_letter_column<'l, 'a, K, T>(dead_letters: &'l BTreeMap<K, DeadLetter<'a>>, value: impl Fn(&'l DeadLetter<'a>) -> T) -> Vec<T> {
    dead_letters.values().map(value).collect()
}

/// Closes the dead letters that earlier deliveries of what is stored now have left. Looked for always: SQS's count of receives is approximate.
pub async fn close_dead_letters(
    connection: &mut PgConnection,
    batch: &[Decided],
    settlements: &[Option<Settlement>],
) -> Result<(), sqlx::Error> {
    let mut closing: BTreeMap<&str, BTreeMap<&str, &Settlement>> = BTreeMap::new();
    for (decided, settlement) in batch.iter().zip(settlements) {
        if let Some(settlement @ (Settlement::Stored | Settlement::Duplicate)) = settlement {
            let candidate = &decided.candidate;
            closing.entry(&candidate.queue.name).or_default().entry(&candidate.message_id).or_insert(settlement);
        }
    }
    // A queue at a time: the index then finds all of its ids in one scan.
    for (queue, messages) in closing {
        let duplicates = messages.iter().filter(|(_, settlement)| **settlement == &Settlement::Duplicate);
        sqlx::query_file!(
            "src/store/close_dead_letters.sql",
            queue,
            &messages.keys().copied().collect::<Vec<_>>() as _,
            &duplicates.map(|(message_id, _)| *message_id).collect::<Vec<_>>() as _,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
