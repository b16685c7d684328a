//! How the events of a batch compare with what is stored under their identities: each identity is looked up once, and a stored payload is
//! read only where type and client are equal and the bytes differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::batch::Decided;
use crate::event::Identity;
use crate::json;

/// So many bytes of payloads are compared in one transaction; the rest waits for the next, so that the others of the batch do not wait for it.
const COMPARED_BYTES_MAX: usize = 8 << 20;

/// So many stored payloads are asked for at once: few are read that the transaction may not compare any more.
const PAYLOADS_PER_STATEMENT_MAX: usize = 16;

/// How an event compares with the one that is stored under its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Type, client and payload are equal.
    Equal,
    /// One of them is not.
    Different,
    /// The transaction has compared as much as one may.
    Deferred,
}

/// The events of one identity, by their positions in the batch.
type Positions<'a> = BTreeMap<Identity<'a>, Vec<usize>>;

/// Compares the events at these positions with what is stored; an event whose identity is not stored is not among the results.
pub async fn compare(
    connection: &mut PgConnection,
    batch: &Arc<Vec<Decided>>,
    positions: impl Iterator<Item = usize>,
) -> Result<BTreeMap<usize, Comparison>, sqlx::Error> {
    let mut by_identity: Positions<'_> = BTreeMap::new();
    for position in positions {
        if let Some((identity, _)) = batch[position].identity() {
            by_identity.entry(identity).or_default().push(position);
        }
    }
    let mut comparisons = BTreeMap::new();
    if by_identity.is_empty() {
        return Ok(comparisons);
    }
    let by_value = compare_fields(connection, batch, &by_identity, &mut comparisons).await?;
    if !by_value.is_empty() {
        compare_payloads(connection, batch, &by_value, &mut comparisons).await?;
    }
    Ok(comparisons)
}

/// Compares all but values. Gives those that are equal unless their payloads differ by value.
async fn compare_fields<'a>(
    connection: &mut PgConnection,
    batch: &'a [Decided],
    by_identity: &Positions<'a>,
    comparisons: &mut BTreeMap<usize, Comparison>,
) -> Result<Positions<'a>, sqlx::Error> {
    let identities: Vec<(&Identity<'a>, &Vec<usize>)> = by_identity.iter().collect();
    let (numbers, tenant_ids, sources, event_ids) = columns(&identities);
    let rows = sqlx::query_file!("src/store/select_stored.sql", &numbers, &tenant_ids as _, &sources as _, &event_ids as _);
    let mut by_value: Positions<'a> = BTreeMap::new();
    for row in rows.fetch_all(connection).await? {
        let Some((identity, positions)) = usize::try_from(row.position).ok().and_then(|number| identities.get(number)) else { continue };
        for &position in *positions {
            let Some((_, envelope)) = batch[position].identity() else { continue };
            let has_equal_fields = row.event_type == envelope.event_type && row.client_id.as_deref() == envelope.client_id.as_deref();
            let has_equal_bytes = || row.payload_hash[..] == Sha256::digest(batch[position].payload(envelope))[..];
            if !has_equal_fields {
                comparisons.insert(position, Comparison::Different);
            } else if has_equal_bytes() {
                comparisons.insert(position, Comparison::Equal);
            } else {
                by_value.entry(**identity).or_default().push(position);
            }
        }
    }
    Ok(by_value)
}

/// Compares payloads by value, a stored one after the other, on a thread that may be kept busy.
async fn compare_payloads(
    connection: &mut PgConnection,
    batch: &Arc<Vec<Decided>>,
    by_value: &Positions<'_>,
    comparisons: &mut BTreeMap<usize, Comparison>,
) -> Result<(), sqlx::Error> {
    comparisons.extend(by_value.values().flatten().map(|position| (*position, Comparison::Deferred)));
    let by_value: Vec<(&Identity<'_>, &Vec<usize>)> = by_value.iter().collect();
    let mut bytes = 0;
    for chunk in by_value.chunks(PAYLOADS_PER_STATEMENT_MAX) {
        if bytes >= COMPARED_BYTES_MAX {
            break;
        }
        let (numbers, tenant_ids, sources, event_ids) = columns(chunk);
        let rows = sqlx::query_file!("src/store/select_payloads.sql", &numbers, &tenant_ids as _, &sources as _, &event_ids as _);
        let mut rows = rows.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let found = usize::try_from(row.position).ok().and_then(|number| chunk.get(number));
            let Some((_, positions)) = found.filter(|_| bytes < COMPARED_BYTES_MAX) else { continue };
            let (batch, positions, left) = (Arc::clone(batch), (*positions).clone(), COMPARED_BYTES_MAX - bytes);
            let comparing = tokio::task::spawn_blocking(move || compare_with(&row.payload, &batch, &positions, left));
            let (compared, compared_bytes) = comparing.await.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
            bytes += compared_bytes;
            comparisons.extend(compared);
        }
    }
    Ok(())
}

/// Compares the payloads at these positions with a stored one: at least the first, then as long as bytes are left. Gives how many were read.
fn compare_with(stored: &str, batch: &[Decided], positions: &[usize], bytes_max: usize) -> (Vec<(usize, Comparison)>, usize) {
    let canonical = |text: &str| json::read(text.as_bytes()).ok().map(|node| json::canonical(&node));
    let stored_canonical = canonical(stored);
    let mut bytes = stored.len();
    let mut compared = Vec::with_capacity(positions.len());
    for &position in positions {
        if !compared.is_empty() && bytes >= bytes_max {
            break;
        }
        let Some((_, envelope)) = batch[position].identity() else { continue };
        let payload = batch[position].payload(envelope);
        bytes += payload.len();
        let is_equal = stored_canonical.is_some() && stored_canonical == canonical(payload);
        compared.push((position, if is_equal { Comparison::Equal } else { Comparison::Different }));
    }
    (compared, bytes)
}

/// Identities as the arrays that a statement takes, each with its number.
fn columns<'a>(identities: &[(&Identity<'a>, &Vec<usize>)]) -> (Vec<i32>, Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
    let numbers = (0..).zip(identities).map(|(number, _)| number).collect();
    let column = |value: fn(&Identity<'a>) -> &'a str| identities.iter().map(|(identity, _)| value(identity)).collect();
    (numbers, column(|identity| identity.tenant_id), column(|identity| identity.source), column(|identity| identity.event_id))
}
