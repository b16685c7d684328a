//! Open dead letters that share an identity and differ: a faulty event and its correction, perhaps. Which one is to be stored is for a person
//! to say.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::kept::{Terms, read_open};
use crate::decode::decode;
use crate::settings::SQS_MESSAGE_BYTES_MAX;

/// Of fewer than so many the identities are looked up; of more all open dead letters are read.
const IDS_LOOKED_UP_MAX: usize = 10_000;

/// The numbers of those that share their identity with an open one of different content.
pub async fn contested(connection: &mut PgConnection, ids: &[i64]) -> Result<HashSet<i64>, sqlx::Error> {
    let looked_up = (ids.len() <= IDS_LOOKED_UP_MAX).then_some(ids);
    let rows = sqlx::query_file!("src/dead_letter/contested.sql", looked_up as _);
    let shared: Vec<(i64, i64)> = rows.fetch(&mut *connection).map_ok(|row| (row.identity, row.dead_letter_id)).try_collect().await?;
    let mut contested = HashSet::new();
    for group in shared.chunk_by(|(left, _), (right, _)| left == right) {
        let group: Vec<i64> = group.iter().map(|(_, id)| *id).collect();
        if differ(connection, &group).await? {
            contested.extend(group);
        }
    }
    Ok(contested)
}

/// Whether the bodies differ by type, client or the payload's value. One at a time: each may be large.
async fn differ(connection: &mut PgConnection, group: &[i64]) -> Result<bool, sqlx::Error> {
    let mut first = None;
    for id in group {
        // Its terms do not matter for what the body says.
        for kept in read_open(connection, std::slice::from_ref(id), &Terms::default()).await? {
            let Ok(decoded) = decode(kept.candidate.clone(), SQS_MESSAGE_BYTES_MAX) else { continue };
            let digest = decoded.into_envelope().content_digest(&kept.candidate.body);
            if *first.get_or_insert(digest) != digest {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
