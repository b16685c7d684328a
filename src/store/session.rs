//! A connection that nothing half-done can outlive, and commits whose outcome is known.

use std::pin::Pin;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout_at};

use super::backend::Backend;
use super::failure::{CommitError, SessionError};
use crate::database::{self, Setting};
use crate::fault;
use crate::settings::Database;

/// What a session needs beside what all do.
const SETTINGS: [Setting; 11] = [
    ("statement_timeout", "30000"),
    // When this process stands still amid a transaction, others wait for its rows not much longer than they do for a silent link.
    ("idle_in_transaction_session_timeout", "8000"),
    // A batch has its deadline here.
    ("transaction_timeout", "0"),
    // Every statement finds its rows by their keys. A plan that reads a whole table, made while that is small, would be kept when it has
    // grown; and none is worth compiling.
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_seqscan", "off"),
    ("enable_indexscan", "on"),
    ("enable_bitmapscan", "on"),
    ("enable_nestloop", "on"),
    ("plan_cache_mode", "auto"),
    ("jit", "off"),
];

/// A server that takes longer to accept a connection is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Work on a connection. Its future owns nothing but borrows the connection, which ends with it.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// One connection to Postgres, opened when it is needed.
///
/// A driver's future that is dropped half-way leaves its connection in a state that the driver does not know: the next statements may run
/// inside a transaction that nobody commits. So the connection belongs to the future that uses it: dropped at the deadline, it takes the
/// connection along, and an error closes it too. There is no pool that could hand it to someone else.
///
/// Long work is waited for as long as the server is seen to do it: a link that swallows every byte looks like a long wait for a lock, and
/// only the server can tell one from the other.
#[derive(Debug)]
pub struct Session {
    database: Database,
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    connection: PgConnection,
    backend: Backend,
}

impl Session {
    /// A session that has not connected yet. Its commits are durable whatever the server's default is.
    pub fn new(database: Database) -> Self {
        Self { database, connected: None }
    }

    /// Drops the connection: what it was last told is in doubt.
    pub fn close(&mut self) {
        self.connected = None;
    }

    /// Whether there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// Does some work, connecting first where there is no connection.
    ///
    /// # Errors
    /// The driver's error, or that nothing is to be waited for any longer. Either way the connection is gone, and with it whatever was not
    /// committed.
    pub async fn run<T, F>(&mut self, deadline: Duration, work: F) -> Result<T, SessionError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T>,
    {
        let deadline = Instant::now() + deadline;
        let mut connected = match self.connected.take() {
            Some(connected) => connected,
            None => connect(&self.database, deadline).await?,
        };
        let backend = connected.backend;
        let owning = async move {
            let value = work(&mut connected.connection).await?;
            Ok((connected, value))
        };
        let outcome = tokio::select! {
            biased;
            outcome = timeout_at(deadline, owning) => outcome,
            failure = backend.fail(&self.database) => return Err(failure),
        };
        match outcome {
            Ok(Ok((connected, value))) => {
                self.connected = Some(connected);
                Ok(value)
            }
            Ok(Err(error)) => Err(SessionError::Driver(error)),
            Err(_) => Err(SessionError::Deadline),
        }
    }
}

async fn connect(database: &Database, deadline: Instant) -> Result<Connected, SessionError> {
    let connecting = async {
        let mut connection = database::connect(database, &SETTINGS).await?;
        let backend = backend_of(&mut connection).await?;
        Ok(Connected { connection, backend })
    };
    let connected = timeout_at(deadline.min(Instant::now() + CONNECT_TIMEOUT), connecting).await;
    connected.map_err(|_| SessionError::Deadline)?.map_err(SessionError::Driver)
}

/// The process that serves a session.
///
/// # Errors
/// Also where what was set in the session does not hold, so that its commits might be lost in a crash.
pub(super) async fn backend_of(connection: &mut PgConnection) -> Result<Backend, sqlx::Error> {
    Backend::of(connection, &database::pinned(&SETTINGS)).await
}

/// Proof that a transaction is committed; [`commit`] alone makes one.
#[derive(Debug)]
pub struct Committed(());

/// Commits the transaction with this id and asks the server what became of it. The driver's own word is not enough: it takes the server's
/// ROLLBACK, the answer where a statement has failed before, for success.
///
/// # Errors
/// Whenever it is not certain that the transaction is committed.
pub async fn commit(connection: &mut PgConnection, xid: &str) -> Result<Committed, CommitError> {
    let unknown = |error| CommitError::Unknown(Some(error));
    let answer = sqlx::raw_sql("commit").execute(&mut *connection).await;
    fault::crash("commit_sent");
    answer.map_err(unknown)?;
    let status = sqlx::query_file_scalar!("src/store/transaction_status.sql", xid).fetch_one(connection).await.map_err(unknown)?;
    match status.as_deref() {
        Some("committed") => Ok(Committed(())),
        Some("aborted") => Err(CommitError::RolledBack),
        _ => Err(CommitError::Unknown(None)),
    }
}
