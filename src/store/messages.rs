//! Stored events and their deliveries, as the arrays that their statements take: a column each, the rows sorted by key.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::batch::Decided;
use crate::event::{ClientId, Identity};
use crate::validate::ValidEvent;

/// A row: its position in the batch and what it is made of.
type Row<'a> = (usize, &'a Decided, &'a ValidEvent);

/// Inserts each event whose identity comes first in the batch, with its deliveries, and says of each of the batch whether it was not there
/// before, and how many deliveries there are now to make.
pub async fn insert(connection: &mut PgConnection, batch: &[Decided]) -> Result<(Vec<bool>, usize), sqlx::Error> {
    // Sorted by key: two writers with the same keys in different orders would deadlock.
    let mut firsts: BTreeMap<Identity<'_>, Row<'_>> = BTreeMap::new();
    for (position, decided) in batch.iter().enumerate() {
        if let (Ok(event), Some((identity, _))) = (&decided.verdict, decided.identity()) {
            firsts.entry(identity).or_insert((position, decided, event));
        }
    }
    let mut is_inserted = vec![false; batch.len()];
    if firsts.is_empty() {
        return Ok((is_inserted, 0));
    }
    let inserted = insert_messages(connection, &firsts).await?;
    let deliveries = insert_deliveries(connection, &inserted).await?;
    for (position, ..) in inserted {
        is_inserted[position] = true;
    }
    Ok((is_inserted, deliveries))
}

/// Gives the rows that were not there before, in the order of their keys.
async fn insert_messages<'a>(connection: &mut PgConnection, firsts: &BTreeMap<Identity<'a>, Row<'a>>) -> Result<Vec<Row<'a>>, sqlx::Error> {
    let rows: Vec<Row<'a>> = firsts.values().copied().collect();
    let payloads: Vec<&str> = rows.iter().map(|(_, decided, event)| decided.payload(event.envelope())).collect();
    let hashes: Vec<[u8; 32]> = payloads.iter().map(|payload| Sha256::digest(payload).into()).collect();
    let inserted = sqlx::query_file!(
        "src/store/insert_messages.sql",
        &column(&rows, |_, event| event.tenant_id().as_str()) as _,
        &column(&rows, |_, event| event.envelope().source.as_str()) as _,
        &column(&rows, |_, event| event.envelope().event_id.as_str()) as _,
        &column(&rows, |_, event| event.envelope().event_type.as_str()) as _,
        &column(&rows, |_, event| event.schema_version()),
        &column(&rows, |_, event| event.envelope().client_id.as_deref()) as _,
        &column(&rows, |_, event| event.envelope().subject.as_deref()) as _,
        &column(&rows, |_, event| event.envelope().occurred_at) as _,
        &column(&rows, |decided, _| decided.candidate.sent_at) as _,
        &payloads as _,
        &hashes as _,
        &column(&rows, |_, event| event.envelope().attributes.as_str()) as _,
        &column(&rows, |decided, _| decided.candidate.queue.name.as_str()) as _,
        &column(&rows, |decided, _| decided.candidate.message_id.as_str()) as _,
        &column(&rows, |decided, _| decided.candidate.message_group.as_deref()) as _,
        &column(&rows, |decided, _| decided.candidate.sequence_number.as_deref()) as _,
        &column(&rows, |_, event| event.envelope().traceparent.as_deref()) as _,
        &column(&rows, |decided, _| decided.generation),
    )
    .fetch_all(connection)
    .await?;
    if inserted.len() == rows.len() {
        return Ok(rows);
    }
    let key = |tenant_id, source, event_id| Identity { tenant_id, source, event_id };
    let mut inserted: Vec<_> = inserted.iter().map(|row| key(&row.tenant_id, &row.source, &row.event_id)).collect();
    inserted.sort_unstable();
    Ok(inserted.into_iter().filter_map(|identity| firsts.get(&identity).copied()).collect())
}

/// What a delivery is: an event of the batch and one of its recipients.
struct Delivery<'a> {
    event: &'a ValidEvent,
    client_id: &'a ClientId,
    fifo: Option<Fifo<'a>>,
}

/// Where an event stands that is to be delivered in order.
#[derive(Clone, Copy)]
struct Fifo<'a> {
    queue: &'a str,
    message_group: &'a str,
    sequence_number: &'a str,
}

impl<'a> Fifo<'a> {
    /// SQS's sequence numbers are numbers; an order that is none cannot be kept.
    fn of(decided: &'a Decided) -> Option<Self> {
        let candidate = &decided.candidate;
        let sequence_number = candidate.sequence_number.as_deref()?;
        let is_number = (1..=100).contains(&sequence_number.len()) && sequence_number.bytes().all(|byte| byte.is_ascii_digit());
        let message_group = candidate.message_group.as_deref().filter(|_| is_number)?;
        Some(Self { queue: &candidate.queue.name, message_group, sequence_number })
    }
}

async fn insert_deliveries(connection: &mut PgConnection, inserted: &[Row<'_>]) -> Result<usize, sqlx::Error> {
    let deliveries = inserted.iter().flat_map(|&(_, decided, event)| {
        let fifo = Fifo::of(decided);
        event.recipients().iter().map(move |client_id| Delivery { event, client_id, fifo })
    });
    let deliveries: Vec<Delivery<'_>> = deliveries.collect();
    if deliveries.is_empty() {
        return Ok(0);
    }
    sqlx::query_file!(
        "src/store/insert_deliveries.sql",
        &deliveries.iter().map(|delivery| delivery.event.tenant_id().as_str()).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.event.envelope().source.as_str()).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.event.envelope().event_id.as_str()).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.client_id.as_str()).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.fifo.map(|fifo| fifo.queue)).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.fifo.map(|fifo| fifo.message_group)).collect::<Vec<_>>() as _,
        &deliveries.iter().map(|delivery| delivery.fifo.map(|fifo| fifo.sequence_number)).collect::<Vec<_>>() as _,
    )
    .execute(connection)
    .await?;
    Ok(deliveries.len())
}

fn column<'a, T>(rows: &[Row<'a>], value: impl Fn(&'a Decided, &'a ValidEvent) -> T) -> Vec<T> {
    rows.iter().map(|(_, decided, event)| value(decided, event)).collect()
}
