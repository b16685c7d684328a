//! From candidates to what is committed of them, for commands: the daemon's own stages, by one batch after the other.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::connect;
use super::kept::{Kept, Terms, read_open};
use super::report::Report;
use super::verdicts::Verdicts;
use crate::audit::Audit;
use crate::settings::{Database, QueueSetting};
use crate::snapshot::Snapshot;
use crate::store::{
    self, Account, Decided, Entry, Failure, Foresight, Purpose, Session, SessionError, TIMES_BEGUN_MAX, WRITE_TIMEOUT, Written,
    begin_poison_attempt, begin_poison_attempts, end_poison_attempts,
};
use crate::validate::reject_unread;

/// How often a batch is begun again because the catalog or its dead letters have changed, before they are left.
const CHANGES_MAX: usize = 10;

/// How often a batch that the database did not take is tried again before the command ends.
const RETRIES_MAX: usize = 2;

/// Before either.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long the database may take to say whether it is fit.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a command has ended before its end. What its report says by then is committed.
#[derive(Debug, thiserror::Error)]
pub enum SettlingError {
    /// Postgres does not answer, or refuses.
    #[error("the database {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
    /// The same, by a session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A batch was not stored.
    #[error("{0}")]
    Store(Failure),
    /// The database is not what this build needs, or the role may not write.
    #[error("{0}")]
    Unfit(String),
    /// There is no catalog to validate by.
    #[error("no catalog was applied to this database; run `processor catalog apply DIR`")]
    NoCatalog,
    /// The system gives no thread.
    #[error("failed to start the threads that validate: {0}")]
    Threads(#[from] std::io::Error),
}

/// Where the candidates come from.
#[derive(Debug)]
pub enum Source {
    /// From dead letters, by their numbers. With the queues that are configured beside those of the catalog: they say where trust was withdrawn.
    DeadLetters(Vec<QueueSetting>),
    /// From a queue, numbered by whoever received them.
    Queue,
}

/// What settles candidates.
pub struct Settling {
    /// To read by.
    pub connection: PgConnection,
    /// The catalog that verdicts are by.
    pub snapshot: Arc<Snapshot>,
    /// What became of those that it has come to.
    pub report: Report,
    source: Source,
    session: Session,
    verdicts: Verdicts,
    audit: Arc<Audit>,
}

/// A batch, and what was already tried with it.
struct Attempt {
    batch: Vec<Entry<i64>>,
    changes: usize,
    retries: usize,
}

impl Settling {
    /// Connects, and finds out whether the database is fit for it.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn open(
        database: &Database,
        source: Source,
        body_bytes_max: usize,
        audit: Arc<Audit>,
        report: Report,
    ) -> Result<Self, SettlingError> {
        let mut connection = connect(database).await?;
        let mut session = Session::new(database.to("dead-letter writer"));
        if let Some(sentence) = store::unfit_for_commands(&mut session, PROBE_TIMEOUT).await? {
            return Err(SettlingError::Unfit(sentence));
        }
        let snapshot = Arc::new(Snapshot::load(&mut connection, None, 0).await?);
        if snapshot.generation == 0 {
            return Err(SettlingError::NoCatalog);
        }
        let verdicts = Verdicts::start(body_bytes_max)?;
        Ok(Self { connection, snapshot, report, source, session, verdicts, audit })
    }

    /// Writes that the command has come to its end, where it has changed anything.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn end(&mut self) -> Result<(), SettlingError> {
        Ok(self.audit.end(&mut self.connection).await?)
    }

    /// Settles candidates in their order, each counted before it is begun: those that were never begun without having ended together, any other
    /// alone. Gives the numbers of those that are committed.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn settle(&mut self, kept: Vec<Kept>) -> Result<Vec<i64>, SettlingError> {
        let candidates: Vec<_> = kept.iter().map(|one| Arc::clone(&one.candidate)).collect();
        let is_counted = begin_poison_attempts(&mut self.session, &candidates).await?;
        let (mut settled, mut together) = (Vec::with_capacity(kept.len()), Vec::new());
        for (one, is_counted) in kept.into_iter().zip(is_counted) {
            if is_counted {
                together.push(one);
                continue;
            }
            let before = self.decide(std::mem::take(&mut together)).await?;
            self.write(before, &mut settled).await?;
            let batch = if begin_poison_attempt(&mut self.session, &one.candidate).await? > TIMES_BEGUN_MAX {
                let decided = Decided::new(one.candidate, Err(reject_unread()), self.snapshot.generation);
                vec![Entry { origin: one.number, decided }]
            } else {
                self.decide(vec![one]).await?
            };
            self.write(batch, &mut settled).await?;
        }
        let batch = self.decide(together).await?;
        self.write(batch, &mut settled).await?;
        Ok(settled)
    }

    /// Says in the report what would become of candidates.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn rehearse(&mut self, foresight: &mut Foresight, kept: Vec<Kept>) -> Result<(), SettlingError> {
        let Self { connection, snapshot, verdicts, report, .. } = self;
        Ok(verdicts.rehearse(connection, snapshot, foresight, kept, report).await?)
    }

    /// Finds verdicts; what has none is left, and has ended without.
    async fn decide(&mut self, kept: Vec<Kept>) -> Result<Vec<Entry<i64>>, SettlingError> {
        let candidates: Vec<_> = kept.iter().map(|one| Arc::clone(&one.candidate)).collect();
        let verdicts = self.verdicts.find(&candidates, &self.snapshot).await;
        let (mut batch, mut undecided) = (Vec::with_capacity(kept.len()), Vec::new());
        for (one, verdict) in kept.into_iter().zip(verdicts) {
            match verdict {
                Ok(verdict) => {
                    let decided = Decided::new(one.candidate, verdict, self.snapshot.generation);
                    batch.push(Entry { origin: one.number, decided });
                }
                Err(why) => {
                    self.report.leave(one.number, &why);
                    undecided.push(one.candidate);
                }
            }
        }
        if !undecided.is_empty() {
            end_poison_attempts(&mut self.session, &undecided).await?;
        }
        Ok(batch)
    }

    fn purpose(&self) -> Purpose {
        let account = Account { audit: Arc::clone(&self.audit), counts: self.report.counts };
        match self.source {
            Source::DeadLetters(_) => Purpose::Replay(account),
            Source::Queue => Purpose::Drain(account),
        }
    }

    async fn write(&mut self, batch: Vec<Entry<i64>>, numbers: &mut Vec<i64>) -> Result<(), SettlingError> {
        let mut attempts = vec![Attempt { batch, changes: 0, retries: 0 }];
        while let Some(Attempt { batch, changes, retries }) = attempts.pop() {
            if batch.is_empty() {
                continue;
            }
            let purpose = self.purpose();
            match store::write(&mut self.session, WRITE_TIMEOUT, &purpose, batch).await {
                Ok(Written { settled, deferred, .. }) => {
                    for one in settled {
                        numbers.push(one.origin);
                        self.report.count(one.origin, one.settlement());
                    }
                    attempts.push(Attempt { batch: deferred, changes, retries });
                }
                Err((failure, batch)) => self.go_on(failure, Attempt { batch, changes, retries }, &mut attempts).await?,
            }
        }
        Ok(())
    }

    /// What follows a batch that was not stored. The left half of one is tried first: of two events with one identity the earlier is stored.
    async fn go_on(&mut self, failure: Failure, failed: Attempt, attempts: &mut Vec<Attempt>) -> Result<(), SettlingError> {
        let Attempt { mut batch, changes, retries } = failed;
        match failure {
            Failure::Stale | Failure::Closed | Failure::MissingReference if changes < CHANGES_MAX => {
                if changes > 0 {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                let batch = self.decide_again(batch).await?;
                attempts.push(Attempt { batch, changes: changes + 1, retries });
            }
            Failure::Refused(_) | Failure::MissingReference | Failure::Deadline | Failure::Closed if batch.len() > 1 => {
                let right = batch.split_off(batch.len() / 2);
                attempts.push(Attempt { batch: right, changes, retries });
                attempts.push(Attempt { batch, changes, retries });
            }
            Failure::Refused(sqlstate) => {
                if !batch.iter_mut().all(|entry| store::refuse(&mut entry.decided, &sqlstate)) {
                    return Err(SettlingError::Store(Failure::Refused(sqlstate)));
                }
                attempts.push(Attempt { batch, changes, retries });
            }
            Failure::Stale | Failure::Closed | Failure::MissingReference => {
                for entry in batch {
                    self.report.leave(entry.origin, "it, or the catalog, has changed as often as it was tried; try again");
                }
            }
            Failure::Unavailable(..) if retries < RETRIES_MAX => {
                tokio::time::sleep(RETRY_PAUSE).await;
                attempts.push(Attempt { batch, changes, retries: retries + 1 });
            }
            failure => return Err(SettlingError::Store(failure)),
        }
        Ok(())
    }

    /// Verdicts by the newest catalog, of what is still to be settled.
    async fn decide_again(&mut self, batch: Vec<Entry<i64>>) -> Result<Vec<Entry<i64>>, SettlingError> {
        self.snapshot = Arc::new(Snapshot::load(&mut self.connection, Some(&self.snapshot), 0).await?);
        let kept = match self.source {
            Source::DeadLetters(_) => {
                let numbers: Vec<i64> = batch.iter().map(|entry| entry.origin).collect();
                self.open_ones(&numbers).await?
            }
            Source::Queue => batch.into_iter().map(|entry| Kept { number: entry.origin, candidate: entry.decided.candidate }).collect(),
        };
        self.decide(kept).await
    }

    /// Those of these dead letters that are open; the others were closed by somebody else, and are counted so.
    ///
    /// # Errors
    /// [`SettlingError`].
    pub async fn open_ones(&mut self, numbers: &[i64]) -> Result<Vec<Kept>, SettlingError> {
        let configured = match &self.source {
            Source::DeadLetters(queues) => queues.as_slice(),
            Source::Queue => &[],
        };
        let kept = read_open(&mut self.connection, numbers, &Terms { configured, of_catalog: &self.snapshot.queues }).await?;
        let mut open = kept.iter().map(|one| one.number).peekable();
        for number in numbers {
            if open.next_if_eq(number).is_none() {
                self.report.close(*number);
            }
        }
        Ok(kept)
    }
}
