//! What a transaction would decide, without one that writes.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::batch::Decided;
use super::conflicts::{Comparison, compare};
use super::settlement::{Settlement, decide};

/// What becomes of batches, one after the other: what an earlier one would have stored counts for a later one.
#[derive(Debug, Default)]
pub struct Foresight {
    /// The content of each event that would be stored, by its identity; both as the beginning of a digest, for they may be a million.
    stored: HashMap<u64, u64>,
}

impl Foresight {
    /// What would become of each event. Nothing is written.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn settle(&mut self, connection: &mut PgConnection, batch: Vec<Decided>) -> Result<Vec<Settlement>, sqlx::Error> {
        let batch = Arc::new(batch);
        let mut settlements = Vec::with_capacity(batch.len());
        let mut comparisons = compare(connection, &batch, 0..batch.len()).await?;
        for position in 0..batch.len() {
            let mut comparison = comparisons.get(&position).copied();
            while comparison == Some(Comparison::Deferred) {
                comparisons.extend(compare(connection, &batch, position..batch.len()).await?);
                comparison = comparisons.get(&position).copied();
            }
            let decided = &batch[position];
            let comparison = comparison.or_else(|| self.compare(decided));
            let is_inserted = comparison.is_none();
            // Nothing is deferred any more, so each is settled.
            if let Some(settlement) = decide(decided, is_inserted, comparison)? {
                if settlement == Settlement::Stored {
                    self.stored.extend(keys(decided));
                }
                settlements.push(settlement);
            }
        }
        Ok(settlements)
    }

    fn compare(&self, decided: &Decided) -> Option<Comparison> {
        let (identity, content) = keys(decided)?;
        let stored = self.stored.get(&identity)?;
        Some(if *stored == content { Comparison::Equal } else { Comparison::Different })
    }
}

fn keys(decided: &Decided) -> Option<(u64, u64)> {
    let (identity, envelope) = decided.identity()?;
    let mut digest = Sha256::new();
    for text in [identity.tenant_id, identity.source, identity.event_id] {
        digest.update(text.len().to_be_bytes());
        digest.update(text);
    }
    let beginning = |digest: [u8; 32]| u64::from_be_bytes(std::array::from_fn(|index| digest[index]));
    Some((beginning(digest.finalize().into()), beginning(envelope.content_digest(&decided.candidate.body))))
}
