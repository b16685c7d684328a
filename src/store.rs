//! 5. Write a batch to Postgres, each event once, and say of each what became of it. Only a commit that the server has confirmed makes a
//! [`Settled`], and only what is settled can be acknowledged.
//!
//! | Postgres says | [`Failure`] | whose fault | what follows |
//! | --- | --- | --- | --- |
//! | 22*, 54*, 23514 | Refused | the event's, once it has failed alone | halved until it stands alone; dead letter `unstorable` |
//! | 23503 | MissingReference | a snapshot that is behind | judged again by a fresh snapshot, then halved likewise |
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
//! Two 23505 are told apart by their constraint. `message_pkey`: an event of the batch is stored already, and the batch begins anew as one that
//! may hold such events. `delivery_pkey`: the event's fault, a delivery was there before its message.
//!
//! Where the fault is ours, nothing becomes a dead letter, the connection is closed and polling pauses until a look finds the database fit.
//! What is `Unavailable` is tried again as a whole, twice, by a new connection, and then handed back to the queue.

mod backend;
mod database;
mod failure;
mod letters;
mod rows;
mod session;
mod settlement;
mod suspects;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::admit::tenant_of_queue;
use crate::database::describe;
use crate::event::{Reason, Rejection, TenantId};
use crate::fault;
use crate::metrics::Outcome;
use crate::queue::{Lease, QueueBinding, ReceivedMessage};
use crate::validate::Verdict;
use crate::window::{Held, Slot};
use settlement::{Settlement, decide};

pub use database::{DatabaseState, MigrationError, look, migrate, unfit_for_tables};
pub use failure::Failure;
pub use session::{CommitError, Committed, Session, SessionError, Work, commit};
pub use settlement::refuse;
pub use suspects::{RECEIVES_TRUSTED_MAX, TIMES_BEGUN_MAX, begin_suspect, end_suspect};

/// A batch that takes longer is given up, with its connection, even where the server is seen to work on it. Well within a lease, and longer
/// than the locks of a migration last.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// A received event with its verdict, ready to be stored.
#[derive(Debug)]
pub struct Judged {
    /// The message and its room.
    pub held: Held,
    /// What was decided.
    pub verdict: Verdict,
    /// The catalog's generation under which.
    pub generation: i64,
    /// How much its letter quotes, where it becomes one.
    pub quotes: Quotes,
}

/// What a dead letter tells beside the body. Less where Postgres has refused more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quotes {
    /// All that is known.
    #[default]
    All,
    /// All but the attributes.
    NoAttributes,
    /// The reason alone.
    Nothing,
}

impl Judged {
    /// An event that was just judged.
    pub fn new(held: Held, verdict: Verdict, generation: i64) -> Self {
        Self { held, verdict, generation, quotes: Quotes::default() }
    }
}

/// An event whose verdict is committed: it may be deleted from its queue. Only [`write()`] makes one.
#[derive(Debug)]
pub struct Settled {
    queue: Arc<QueueBinding>,
    lease: Lease,
    slot: Slot,
    settlement: Settlement,
    tenant_id: Option<TenantId>,
    sent_at: Option<OffsetDateTime>,
}

impl Settled {
    /// The queue from which it came.
    pub fn queue(&self) -> &Arc<QueueBinding> {
        &self.queue
    }

    /// What to delete it by.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Its room in the window.
    pub fn slot_mut(&mut self) -> &mut Slot {
        &mut self.slot
    }

    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        match self.settlement {
            Settlement::Stored => Outcome::Stored,
            Settlement::Duplicate => Outcome::Duplicate,
            Settlement::Rejected(_) => Outcome::Rejected,
        }
    }

    /// Why it was rejected, where it was.
    pub fn reason(&self) -> Option<Reason> {
        match self.settlement {
            Settlement::Rejected(reason) => Some(reason),
            Settlement::Stored | Settlement::Duplicate => None,
        }
    }

    /// Whose it is, where that is known.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        self.tenant_id.as_ref()
    }

    /// When SQS took it.
    pub fn sent_at(&self) -> Option<OffsetDateTime> {
        self.sent_at
    }

    fn new(judged: Judged, settlement: Settlement, _proof: &Committed) -> Self {
        let Judged { held: Held { message, mut slot }, verdict, .. } = judged;
        slot.free_bytes();
        let tenant_id = match verdict {
            Ok(event) => Some(event.tenant_id().clone()),
            Err(rejection) => tenant_of(&message, &rejection).cloned(),
        };
        let (queue, lease, sent_at) = (Arc::clone(&message.queue), message.lease.clone(), message.sent_at);
        lease.settle();
        Self { queue, lease, slot, settlement, tenant_id, sent_at }
    }
}

/// Whose letter a rejection becomes: the admitted tenant's, or before that the queue's.
fn tenant_of<'a>(message: &'a ReceivedMessage, rejection: &'a Rejection) -> Option<&'a TenantId> {
    rejection.admitted.as_ref().or_else(|| tenant_of_queue(message, rejection.reason))
}

/// Stores a batch in one transaction, or gives it up at the deadline, with the connection.
///
/// # Errors
/// Why it is not settled, with the batch.
pub async fn write(session: &mut Session, deadline: Duration, batch: Vec<Judged>) -> Result<Vec<Settled>, (Failure, Vec<Judged>)> {
    let may_be_stored = session.next_is_in_doubt() || batch.iter().any(|judged| judged.held.message.receive_count > 1);
    // Work on a connection borrows nothing but the connection, so the batch is shared with it.
    let shared = Arc::new(Writing { batch, may_be_stored: may_be_stored.into(), commit_was_sent: false.into() });
    let working = Arc::clone(&shared);
    let outcome = session.run(deadline, move |connection| Box::pin(async move { transact(connection, &working).await })).await;
    let Some(Writing { batch, may_be_stored: met_one, commit_was_sent }) = Arc::into_inner(shared) else {
        unreachable!("the work has ended, and its share with it")
    };
    if met_one.into_inner() && !may_be_stored {
        session.doubt();
    }
    let failure = match outcome {
        Ok(Ok((settlements, committed))) => {
            let settled = batch.into_iter().zip(settlements);
            return Ok(settled.map(|(judged, settlement)| Settled::new(judged, settlement, &committed)).collect());
        }
        Ok(Err(failure)) => failure,
        Err(_) if commit_was_sent.into_inner() => Failure::Unknown("did not answer".to_owned()),
        Err(SessionError::Deadline) => Failure::Deadline,
        Err(SessionError::Silent) => Failure::Unavailable("is silent".to_owned()),
        Err(SessionError::Driver(error)) => Failure::Unavailable(describe(&error)),
    };
    // A connection of which nothing good was heard may have become another server's, or a read-only one.
    if matches!(failure, Failure::Unknown(_) | Failure::Unavailable(_)) && !fault::has_bug("stale_read_only_pool") {
        session.close();
    }
    Err((failure, batch))
}

/// A batch while it is written.
struct Writing {
    batch: Vec<Judged>,
    /// Whether an event of it may be a row already: to allow for that costs a sixth of what a row costs.
    may_be_stored: AtomicBool,
    commit_was_sent: AtomicBool,
}

type Transacted = Result<(Vec<Settlement>, Committed), Failure>;

/// The outer error closes the connection; an inner failure leaves it fit for the next batch.
async fn transact(
    connection: &mut PgConnection,
    Writing { batch, may_be_stored, commit_was_sent }: &Writing,
) -> Result<Transacted, sqlx::Error> {
    loop {
        fault::crash("before_begin");
        sqlx::raw_sql("begin").execute(&mut *connection).await?;
        let begun = sqlx::query_file!("src/store/begin.sql").fetch_one(&mut *connection).await?;
        let is_stale = |judged: &Judged| {
            let depends = judged.verdict.as_ref().is_err_and(|rejection| rejection.reason.depends_on_catalog());
            depends && judged.generation < begun.generation
        };
        let failure = if batch.iter().any(is_stale) {
            Some(Failure::Stale)
        } else {
            match settle(connection, batch, may_be_stored.load(Ordering::Relaxed)).await {
                Ok(settlements) => {
                    fault::crash("before_commit");
                    commit_was_sent.store(true, Ordering::Relaxed);
                    let committed = commit(connection, &begun.xid).await;
                    return Ok(committed.map(|committed| (settlements, committed)).map_err(Failure::of_commit));
                }
                Err(error) if failure::is_stored_before(&error) && !may_be_stored.swap(true, Ordering::Relaxed) => None,
                Err(error @ sqlx::Error::Database(_)) => Some(Failure::of(&error)),
                Err(error) => return Err(error),
            }
        };
        sqlx::raw_sql("rollback").execute(&mut *connection).await?;
        if let Some(failure) = failure {
            return Ok(Err(failure));
        }
    }
}

/// All statements of a batch but begin and commit.
async fn settle(connection: &mut PgConnection, batch: &[Judged], may_be_stored: bool) -> Result<Vec<Settlement>, sqlx::Error> {
    let inserted = rows::insert_messages(connection, batch, may_be_stored).await?;
    fault::crash("after_insert");
    let others = (0..batch.len()).filter(|position| !inserted[*position]);
    let equal = rows::compare_with_stored(connection, batch, others).await?;
    let mut rejections: Vec<Option<Rejection>> = Vec::with_capacity(batch.len());
    let mut settlements = Vec::with_capacity(batch.len());
    for (position, judged) in batch.iter().enumerate() {
        let (settlement, rejection) = decide(judged, inserted[position], equal.get(&position).copied())?;
        settlements.push(settlement);
        rejections.push(rejection);
    }
    let rejected = batch.iter().zip(&rejections).filter_map(|(judged, rejection)| Some((judged, rejection.as_ref()?)));
    letters::upsert_dead_letters(connection, rejected).await?;
    letters::close_dead_letters(connection, batch, &settlements).await?;
    rows::clear_suspects(connection, batch).await?;
    Ok(settlements)
}
