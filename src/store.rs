//! 5. Write a batch to Postgres, each event once, and say of each what became of it. Only a commit that the server has confirmed makes a
//! [`Settled`], and only what is settled can be acknowledged.
//!
//! | Postgres says | [`Failure`] | whose fault | what follows |
//! | --- | --- | --- | --- |
//! | 22*, 54*, 23514 | Refused | the event's, once it has failed alone | halved until it stands alone; dead letter `unstorable` |
//! | 23503 | MissingReference | a snapshot that is behind | validated again by a fresh snapshot, then halved likewise |
//! | 23*: another constraint | Unavailable | ours: no row may break it | as below |
//! | 08*, 25P03, 57P01, 57P02, 57P03, 57P05: the session or the server has ended, or is about to start | Unavailable | ours | as below |
//! | 25006: a standby, or a server made read-only | Unavailable | ours | as below |
//! | 40001, 40P01: another transaction came first | Unavailable | ours | as below |
//! | 28*, 3D*, 42*: a missing right, table or column | Unavailable | ours | as below |
//! | 53*: disk, memory or connections are used up | Unavailable | ours | as below |
//! | 55P03, 57014: a timeout of the server's | Unavailable | ours | as below |
//! | 58*, XX*: the server's system, or the server itself | Unavailable | ours | as below |
//! | any other code | Unavailable | ours | as below |
//! | nothing, the connection lost, or the server waiting for what was sent | Unavailable | ours | as below |
//! | nothing, and not when asked what it does either, or for [`WRITE_TIMEOUT`] | Deadline | ours | handed back to the queue |
//! | that it has rolled back what was to be committed | Unavailable | ours | as below |
//! | nothing that settles what became of a commit that was sent | Unknown | ours | handed back: redelivery finds out |
//!
//! Where the fault is ours, nothing becomes a dead letter, the connection is closed and polling pauses until a probe finds the database fit.
//! What is `Unavailable` is tried again as a whole, twice, by a new connection, and then handed back to the queue.

mod failure;
mod backend;
mod session;
mod roles;
mod database;
mod migration;
mod batch;
mod messages;
mod conflicts;
mod settlement;
mod dead_letters;
mod replayed;
mod purpose;
mod poison;
mod announcement;
mod backlog;
mod activity;
mod foresight;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smol_str::SmolStr;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::database::{ErrorClass, describe};
use crate::event::{Reason, TenantId};
use crate::fault;
use crate::metrics::Outcome;
use settlement::decide;

pub use activity::{Activity, ActivityCounts, add_activity};
pub use announcement::announce_deliveries;
pub use backlog::{BacklogCounts, count_backlog, take_backlog_turn};
pub use batch::{Decided, Detail};
pub use database::{DatabaseState, probe, unfit_for_commands, unfit_for_tables};
pub use dead_letters::rule;
pub use failure::{CommitError, Failure, SessionError};
pub use foresight::Foresight;
pub use migration::{Migrated, MigrationError, migrate};
pub use poison::{RECEIVES_TRUSTED_MAX, TIMES_BEGUN_MAX, begin_poison_attempt, begin_poison_attempts, end_poison_attempts};
pub use purpose::{Account, Counts, Purpose};
pub use roles::missing_rights_of_daemon;
pub use session::{Committed, Session, Work, commit};
pub use settlement::{Settlement, refuse};

/// A batch that takes longer is given up, with its connection, even where the server is seen to work on it. Well within a lease, and longer
/// than the locks of a migration last.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// One of a batch: what was decided, and what it was decided on, a message in flight perhaps.
#[derive(Debug)]
pub struct Entry<T> {
    /// What comes back with the settlement.
    pub origin: T,
    /// What is to be stored.
    pub decided: Decided,
}

/// An event whose verdict is committed: its message may be acknowledged. Only [`write()`] makes one.
#[derive(Debug)]
pub struct Settled<T> {
    /// What it was decided on.
    pub origin: T,
    settlement: Settlement,
    tenant_id: Option<TenantId>,
    event_type: Option<SmolStr>,
    sent_at: Option<OffsetDateTime>,
}

impl<T> Settled<T> {
    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        match self.settlement {
            Settlement::Stored => Outcome::Stored,
            Settlement::Duplicate => Outcome::Duplicate,
            Settlement::Rejected(_) => Outcome::Rejected,
        }
    }

    /// What became of it, as it is stored.
    pub fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// Why it was rejected, where it was.
    pub fn reason(&self) -> Option<Reason> {
        match &self.settlement {
            Settlement::Rejected(rejection) => Some(rejection.reason),
            Settlement::Stored | Settlement::Duplicate => None,
        }
    }

    /// Whose it is, where that is known.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        self.tenant_id.as_ref()
    }

    /// Of which type, where that is known.
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }

    /// When the queue took it.
    pub fn sent_at(&self) -> Option<OffsetDateTime> {
        self.sent_at
    }

    fn new(Entry { origin, decided }: Entry<T>, settlement: Settlement, _proof: &Committed) -> Self {
        let event_type = decided.event_type().cloned();
        Self { origin, settlement, tenant_id: decided.tenant_id().cloned(), event_type, sent_at: decided.candidate.sent_at }
    }
}

/// What came of a batch.
#[derive(Debug)]
pub struct Written<T> {
    /// What the transaction has settled.
    pub settled: Vec<Settled<T>>,
    /// What is left for another one: there was more to compare than one transaction may.
    pub deferred: Vec<Entry<T>>,
    /// How many deliveries there are now to make, of which senders may be told.
    pub deliveries: usize,
}

/// Stores a batch in one transaction, or gives it up at the deadline, with the connection.
///
/// # Errors
/// Why it is not settled, with the batch.
pub async fn write<T>(
    session: &mut Session,
    deadline: Duration,
    purpose: &Purpose,
    batch: Vec<Entry<T>>,
) -> Result<Written<T>, (Failure, Vec<Entry<T>>)> {
    let (origins, decided): (Vec<T>, Vec<Decided>) = batch.into_iter().map(|entry| (entry.origin, entry.decided)).unzip();
    // Work on a connection borrows nothing but the connection, so the batch is shared with it.
    let decided = Arc::new(decided);
    let commit_was_sent = Arc::new(AtomicBool::new(false));
    let (working, sending, purpose) = (Arc::clone(&decided), Arc::clone(&commit_was_sent), purpose.clone());
    let working =
        session.run(deadline, move |connection| Box::pin(async move { transact(connection, &purpose, &working, &sending).await }));
    let outcome = working.await;
    // A comparison that was cut at the deadline may still hold its share.
    let decided = Arc::unwrap_or_clone(decided);
    let batch = origins.into_iter().zip(decided).map(|(origin, decided)| Entry { origin, decided });
    let failure = match outcome {
        Ok(Ok(((settlements, deliveries), committed))) => {
            let mut written = Written { settled: Vec::with_capacity(settlements.len()), deferred: Vec::new(), deliveries };
            for (entry, settlement) in batch.zip(settlements) {
                match settlement {
                    Some(settlement) => written.settled.push(Settled::new(entry, settlement, &committed)),
                    None => written.deferred.push(entry),
                }
            }
            return Ok(written);
        }
        Ok(Err(failure)) => failure,
        Err(_) if commit_was_sent.load(Ordering::Relaxed) => Failure::Unknown(ErrorClass::Timeout, "did not answer".to_owned()),
        Err(SessionError::Deadline) => Failure::Deadline,
        Err(SessionError::Silent) => Failure::Unavailable(ErrorClass::Timeout, "is silent".to_owned()),
        Err(SessionError::Driver(error)) => Failure::Unavailable(ErrorClass::of(&error), describe(&error)),
    };
    // A connection of which nothing good was heard may have become another server's, or a read-only one.
    if matches!(failure, Failure::Unknown(..) | Failure::Unavailable(..)) {
        session.close();
    }
    Err((failure, batch.collect()))
}

/// What a transaction has settled, each at its position; nothing where it is left for another one.
type Settlements = Vec<Option<Settlement>>;

/// And how many deliveries it has made.
type Outcomes = (Settlements, usize);

/// Runs the transaction. The outer error is the connection's, the inner one the batch's.
async fn transact(
    connection: &mut PgConnection,
    purpose: &Purpose,
    batch: &Arc<Vec<Decided>>,
    commit_was_sent: &AtomicBool,
) -> Result<Result<(Outcomes, Committed), Failure>, sqlx::Error> {
    fault::crash("before_begin");
    sqlx::raw_sql("begin").execute(&mut *connection).await?;
    let begun = sqlx::query_file!("src/store/begin.sql").fetch_one(&mut *connection).await?;
    let is_stale = |decided: &Decided| {
        let depends = decided.verdict.as_ref().is_err_and(|rejection| rejection.reason.depends_on_catalog());
        depends && decided.generation < begun.generation
    };
    let failure = if batch.iter().any(is_stale) {
        Failure::Stale
    } else {
        match settle(connection, purpose, batch).await {
            Ok(None) => Failure::Closed,
            Ok(Some(outcomes)) => {
                fault::crash("before_commit");
                commit_was_sent.store(true, Ordering::Relaxed);
                let committed = commit(connection, &begun.xid).await;
                return Ok(committed.map(|committed| (outcomes, committed)).map_err(Failure::of_commit));
            }
            Err(error @ sqlx::Error::Database(_)) => Failure::of(&error),
            Err(error) => return Err(error),
        }
    };
    sqlx::raw_sql("rollback").execute(&mut *connection).await?;
    Ok(Err(failure))
}

/// All statements of a batch but begin and commit. Messages first, dead letters last: whoever locks both does it in this order. Nothing where
/// a dead letter is not to be replayed any more.
async fn settle(connection: &mut PgConnection, purpose: &Purpose, batch: &Arc<Vec<Decided>>) -> Result<Option<Outcomes>, sqlx::Error> {
    let (is_inserted, deliveries) = messages::insert(connection, batch).await?;
    fault::crash("after_insert");
    let others = (0..batch.len()).filter(|position| !is_inserted[*position]);
    let comparisons = conflicts::compare(connection, batch, others).await?;
    let decisions = batch.iter().enumerate();
    let decisions = decisions.map(|(position, decided)| decide(decided, is_inserted[position], comparisons.get(&position).copied()));
    let settlements: Settlements = decisions.collect::<Result<_, _>>()?;
    if !purpose.write(connection, batch, &settlements).await? {
        return Ok(None);
    }
    let settled = batch.iter().zip(&settlements).filter(|(_, settlement)| settlement.as_ref().is_some_and(|one| purpose.ends(one)));
    let settled: Vec<&Decided> = settled.map(|(decided, _)| decided).collect();
    poison::clear_poison_attempts(connection, &settled).await?;
    Ok(Some((settlements, deliveries)))
}
