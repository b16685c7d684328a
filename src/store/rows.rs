//! A batch as the arrays that its statements take: a column each, the rows sorted by key.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::Judged;
use crate::event::{ClientId, Envelope, Identity};
use crate::fault;
use crate::json;
use crate::validate::ValidEvent;

/// The text of the payload, as it was sent.
pub fn payload_of<'a>(judged: &'a Judged, envelope: &'a Envelope) -> &'a str {
    envelope.payload.of(&judged.held.message.body)
}

/// The identity of an event whose tenant is known.
pub fn identity_of(judged: &Judged) -> Option<(Identity<'_>, &Envelope)> {
    let (tenant_id, envelope) = match &judged.verdict {
        Ok(event) => (event.tenant_id(), event.envelope()),
        Err(rejection) => (rejection.admitted.as_ref()?, rejection.envelope.as_deref()?),
    };
    Some((Identity { tenant_id: tenant_id.as_str(), source: &envelope.source, event_id: &envelope.event_id }, envelope))
}

/// Inserts each event whose identity comes first in the batch, and says of each of the batch whether it was not there before. Fails at one
/// that was, unless it is told that one may be.
pub async fn insert_messages(connection: &mut PgConnection, batch: &[Judged], may_be_stored: bool) -> Result<Vec<bool>, sqlx::Error> {
    let mut firsts: BTreeMap<Identity<'_>, (usize, &Judged, &ValidEvent)> = BTreeMap::new();
    for (position, judged) in batch.iter().enumerate() {
        if let (Ok(event), Some((identity, _))) = (&judged.verdict, identity_of(judged)) {
            firsts.entry(key(identity)).or_insert((position, judged, event));
        }
    }
    let mut rows: Rows<'_> = firsts.values().collect();
    if fault::has_bug("unsorted_keys") {
        rows.sort_by_key(|(position, ..)| *position);
    }
    let mut inserted = vec![false; batch.len()];
    if !rows.is_empty() {
        for position in insert_rows(connection, &rows, may_be_stored).await? {
            inserted.get_mut(position).into_iter().for_each(|is_inserted| *is_inserted = true);
        }
    }
    Ok(inserted)
}

/// Gives the positions in the batch of those that were not there before.
async fn insert_rows(connection: &mut PgConnection, rows: &Rows<'_>, may_be_stored: bool) -> Result<Vec<usize>, sqlx::Error> {
    let payloads: Vec<&str> = rows.iter().map(|(_, judged, event)| payload_of(judged, event.envelope())).collect();
    let hashes: Vec<[u8; 32]> = payloads.iter().map(|payload| Sha256::digest(payload).into()).collect();
    macro_rules! insert {
        ($file:literal) => {
            sqlx::query_file!(
                $file,
                &column(rows, |_, event| event.tenant_id().as_str()) as _,
                &column(rows, |_, event| event.envelope().source.as_str()) as _,
                &column(rows, |_, event| event.envelope().event_id.as_str()) as _,
                &column(rows, |_, event| event.envelope().event_type.as_str()) as _,
                &column(rows, |_, event| event.schema_version()),
                &column(rows, |_, event| event.envelope().client_id.as_deref()) as _,
                &column(rows, |_, event| event.envelope().subject.as_deref()) as _,
                &column(rows, |_, event| event.envelope().occurred_at) as _,
                &column(rows, |judged, _| judged.held.message.sent_at) as _,
                &payloads as _,
                &hashes as _,
                &column(rows, |_, event| event.envelope().attributes.as_str()) as _,
                &column(rows, |judged, _| judged.held.message.queue.name.as_str()) as _,
                &column(rows, |judged, _| judged.held.message.sqs_message_id.as_str()) as _,
                &column(rows, |judged, _| judged.held.message.message_group.as_deref()) as _,
                &column(rows, |judged, _| judged.held.message.sequence_number.as_deref()) as _,
                &column(rows, |_, event| event.envelope().traceparent.as_deref()) as _,
                &column(rows, |judged, _| judged.generation),
                &column(rows, |_, event| array_of(event.recipients())) as _,
            )
            .execute(&mut *connection)
            .await?
        };
    }
    let inserted = if may_be_stored { insert!("src/store/insert_unless_stored.sql") } else { insert!("src/store/insert_messages.sql") };
    // Nearly always it is all of them, or none where a whole batch comes again: then Postgres need not name them.
    match usize::try_from(inserted.rows_affected()) {
        Ok(0) => return Ok(Vec::new()),
        Ok(count) if count == rows.len() => return Ok(rows.iter().map(|(position, ..)| *position).collect()),
        _ => {}
    }
    let positions = sqlx::query_file_scalar!(
        "src/store/select_inserted.sql",
        &rows.iter().map(|(position, ..)| i32::try_from(*position).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
        &column(rows, |_, event| event.tenant_id().as_str()) as _,
        &column(rows, |_, event| event.envelope().source.as_str()) as _,
        &column(rows, |_, event| event.envelope().event_id.as_str()) as _,
    );
    let positions = positions.fetch_all(connection).await?;
    Ok(positions.into_iter().filter_map(|position| usize::try_from(position).ok()).collect())
}

/// As Postgres reads an array of texts. A client's name has no quotes and no backslashes.
fn array_of(recipients: &[ClientId]) -> String {
    let mut text = "{".to_owned();
    for client_id in recipients {
        let separator = if text.len() == 1 { "\"" } else { ",\"" };
        text.extend([separator, client_id.as_str(), "\""]);
    }
    text + "}"
}

type Rows<'a> = Vec<&'a (usize, &'a Judged, &'a ValidEvent)>;

fn key(identity: Identity<'_>) -> Identity<'_> {
    if fault::has_bug("key_without_tenant") { Identity { tenant_id: "", ..identity } } else { identity }
}

fn column<'a, T>(rows: &Rows<'a>, value: impl Fn(&'a Judged, &'a ValidEvent) -> T) -> Vec<T> {
    rows.iter().map(|(_, judged, event)| value(judged, event)).collect()
}

/// How the event at a position compares with what is stored under its identity: true when they are equal.
pub async fn compare_with_stored(
    connection: &mut PgConnection,
    batch: &[Judged],
    positions: impl Iterator<Item = usize>,
) -> Result<BTreeMap<usize, bool>, sqlx::Error> {
    use futures_util::TryStreamExt as _;
    let wanted: Vec<_> = positions.filter_map(|position| Some((position, identity_of(&batch[position])?))).collect();
    let mut equal = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(equal);
    }
    let hash = |position: usize, envelope: &Envelope| Sha256::digest(payload_of(&batch[position], envelope)).to_vec();
    // Row by row: stored payloads may be large where the batch's own are small.
    let mut rows = sqlx::query_file!(
        "src/store/select_messages.sql",
        &wanted.iter().map(|(position, _)| i32::try_from(*position).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
        &wanted.iter().map(|(_, (identity, _))| identity.tenant_id).collect::<Vec<_>>() as _,
        &wanted.iter().map(|(_, (identity, _))| identity.source).collect::<Vec<_>>() as _,
        &wanted.iter().map(|(_, (identity, _))| identity.event_id).collect::<Vec<_>>() as _,
        &wanted.iter().map(|(position, (_, envelope))| hash(*position, envelope)).collect::<Vec<_>>(),
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let Some(position) = usize::try_from(row.position).ok().filter(|position| *position < batch.len()) else {
            continue;
        };
        let Some((_, envelope)) = identity_of(&batch[position]) else {
            continue;
        };
        let has_equal_payload = match &row.payload {
            None => true,
            Some(stored) => json::is_equal(stored, payload_of(&batch[position], envelope)),
        };
        let is_equal =
            row.event_type == envelope.event_type && row.client_id.as_deref() == envelope.client_id.as_deref() && has_equal_payload;
        equal.insert(position, is_equal);
    }
    Ok(equal)
}

/// What has its verdict is under suspicion no more. Looked for only where a message came again: none is suspected at its first receive.
pub async fn clear_suspects(connection: &mut PgConnection, batch: &[Judged]) -> Result<(), sqlx::Error> {
    let again = batch.iter().map(|judged| &judged.held.message).filter(|message| message.receive_count > 1);
    let keys: BTreeSet<_> = again.map(|message| (message.queue.name.as_str(), message.sqs_message_id.as_str())).collect();
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query_file!(
        "src/store/clear_suspects.sql",
        &keys.iter().map(|(queue, _)| *queue).collect::<Vec<_>>() as _,
        &keys.iter().map(|(_, sqs_message_id)| *sqs_message_id).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}
