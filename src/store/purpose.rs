//! What else a batch's transaction writes, by whoever has it written.

use std::sync::Arc;

use serde::Serialize;
use sqlx::PgConnection;

use super::batch::Decided;
use super::dead_letters;
use super::replayed;
use super::settlement::Settlement;
use crate::audit::Audit;
use crate::event::Reason;

/// Why a batch is stored.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// The daemon has received it.
    Receive,
    /// A command has received it, from a dead-letter queue of SQS.
    Drain(Account),
    /// A command has it from dead letters that are to be open still.
    Replay(Account),
}

/// A command's account of what it did before this batch.
#[derive(Debug, Clone)]
pub struct Account {
    /// Whose row it is.
    pub audit: Arc<Audit>,
    /// What it did.
    pub counts: Counts,
}

/// How many events became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows by now.
    pub stored: u64,
    /// Their equals were there before.
    pub duplicate: u64,
    /// Dead letters, again or for the first time.
    pub rejected: u64,
}

impl Counts {
    /// Counts one more.
    pub fn count(&mut self, settlement: &Settlement) {
        *match settlement {
            Settlement::Stored => &mut self.stored,
            Settlement::Duplicate => &mut self.duplicate,
            Settlement::Rejected(_) => &mut self.rejected,
        } += 1;
    }
}

impl Purpose {
    /// Whether what was begun has ended with this. A replay that was not begun, because it has ended others, is not begun the next time either.
    pub(super) fn ends(&self, settlement: &Settlement) -> bool {
        let is_unread = matches!(settlement, Settlement::Rejected(rejection) if rejection.reason == Reason::ReceivedTooOften);
        !(is_unread && matches!(self, Self::Replay(_)))
    }

    /// Writes dead letters and the audit. False where a dead letter is not to be replayed any more, or is another transaction's just now.
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        batch: &[Decided],
        settlements: &[Option<Settlement>],
    ) -> Result<bool, sqlx::Error> {
        let account = match self {
            Self::Replay(account) => {
                if !replayed::close_or_reject(connection, batch, settlements).await? {
                    return Ok(false);
                }
                Some(account)
            }
            Self::Receive | Self::Drain(_) => {
                let rejected = batch.iter().zip(settlements).filter_map(|(decided, settlement)| match settlement {
                    Some(Settlement::Rejected(rejection)) => Some((decided, &**rejection)),
                    _ => None,
                });
                dead_letters::upsert_dead_letters(connection, rejected).await?;
                dead_letters::close_dead_letters(connection, batch, settlements).await?;
                match self {
                    Self::Drain(account) => Some(account),
                    _ => None,
                }
            }
        };
        if let Some(Account { audit, mut counts }) = account.cloned() {
            settlements.iter().flatten().for_each(|settlement| counts.count(settlement));
            audit.record(connection, &counts, false).await?;
        }
        Ok(true)
    }
}
