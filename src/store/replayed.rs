//! Dead letters whose events have gone the path again: closed, or still open with what the path says now.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::batch::Decided;
use super::dead_letters::rule;
use super::settlement::Settlement;
use crate::event::{Envelope, Rejection, TenantId};

/// A dead letter by its queue and message, with what became of its event.
type Replayed<'a> = BTreeMap<(&'a str, &'a str), (&'a Decided, &'a Settlement)>;

/// Writes what became of each. False, and nothing is written, where one of them is closed by now, or another transaction has it: a replay waits
/// for no dead letter, so that whoever waits for one of its own gets it.
pub async fn close_or_reject(
    connection: &mut PgConnection,
    batch: &[Decided],
    settlements: &[Option<Settlement>],
) -> Result<bool, sqlx::Error> {
    let key = |decided: &'_ Decided| (decided.candidate.queue.name.clone(), decided.candidate.message_id.clone());
    let keys: Vec<_> = batch.iter().map(key).collect();
    let settled = batch.iter().zip(settlements).zip(&keys);
    let replayed: Replayed<'_> = settled
        .filter_map(|((decided, settlement), (queue, message))| Some(((queue.as_str(), message.as_str()), (decided, settlement.as_ref()?))))
        .collect();
    let queues: Vec<&str> = replayed.keys().map(|(queue, _)| *queue).collect();
    let message_ids: Vec<&str> = replayed.keys().map(|(_, message_id)| *message_id).collect();
    let locked = sqlx::query_file_scalar!("src/store/lock_open_dead_letters.sql", &queues as _, &message_ids as _);
    if locked.fetch_one(&mut *connection).await? != i64::try_from(replayed.len()).unwrap_or(i64::MAX) {
        return Ok(false);
    }
    sqlx::query_file!(
        "src/store/replay_dead_letters.sql",
        &queues as _,
        &message_ids as _,
        &column(&replayed, |settlement| Some(outcome(settlement))) as _,
        &of_rejection(&replayed, |_, rejection| Some(rejection.reason.as_str().to_owned())) as _,
        &of_rejection(&replayed, |_, rejection| rule(rejection)) as _,
        &of_rejection(&replayed, |_, rejection| serde_json::to_string(&rejection.violations).ok()) as _,
        &of_rejection(&replayed, |decided, _| decided.tenant_id().map(TenantId::to_string)) as _,
        &of_envelope(&replayed, |envelope| Some(envelope.source.to_string())) as _,
        &of_envelope(&replayed, |envelope| Some(envelope.event_id.to_string())) as _,
        &of_envelope(&replayed, |envelope| Some(envelope.event_type.to_string())) as _,
        &of_envelope(&replayed, |envelope| envelope.schema_version) as _,
    )
    .execute(connection)
    .await?;
    Ok(true)
}

fn outcome(settlement: &Settlement) -> &'static str {
    match settlement {
        Settlement::Stored => "stored",
        Settlement::Duplicate => "duplicate",
        Settlement::Rejected(_) => "rejected",
    }
}

fn column<'a, T>(replayed: &Replayed<'a>, value: impl Fn(&'a Settlement) -> Option<T>) -> Vec<Option<T>> {
    replayed.values().map(|(_, settlement)| value(settlement)).collect()
}

fn of_rejection<'a, T>(replayed: &Replayed<'a>, value: impl Fn(&'a Decided, &'a Rejection) -> Option<T>) -> Vec<Option<T>> {
    let value = |(decided, settlement): &(&'a Decided, &'a Settlement)| match settlement {
        Settlement::Rejected(rejection) => value(decided, rejection),
        Settlement::Stored | Settlement::Duplicate => None,
    };
    replayed.values().map(value).collect()
}

fn of_envelope<'a, T>(replayed: &Replayed<'a>, value: impl Fn(&'a Envelope) -> Option<T>) -> Vec<Option<T>> {
    of_rejection(replayed, |_, rejection| rejection.envelope.as_deref().and_then(&value))
}
