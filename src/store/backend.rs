//! The server's process behind a connection: whether it works on what it was asked, or waits for bytes that a dead link swallows.

use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use super::failure::SessionError;
use crate::settings::Database;

/// Nearly all work ends before anyone asks.
const ASK_AFTER: Duration = Duration::from_secs(3);

const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// For a question and its answer, from connecting to closing.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// A backend that has waited for its client for so long will not hear from it; by a slow link, the largest batch takes less.
const WAIT_SECONDS_MAX: f64 = 5.0;

/// The server's process that serves one connection.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    pid: i32,
    started_at: OffsetDateTime,
}

impl Backend {
    /// The one that serves this session, where its settings are these.
    pub async fn of(connection: &mut PgConnection, settings: &serde_json::Value) -> Result<Self, sqlx::Error> {
        let found = sqlx::query_file!("src/store/backend_of_session.sql", settings.to_string()).fetch_one(connection).await?;
        match found.lost {
            None => Ok(Self { pid: found.pid, started_at: found.started_at }),
            Some(lost) => {
                let problem = format!(
                    "what was set in a session does not hold ({lost}), so a pooler hands each transaction to another one; set it to session \
                     pooling"
                );
                Err(sqlx::Error::Configuration(problem.into()))
            }
        }
    }

    /// Ends when nothing speaks for waiting any longer: the server was asked by another connection, and does not know the backend, says
    /// that it waits for us, or does not answer.
    pub async fn fail(self, database: &Database) -> SessionError {
        sleep(ASK_AFTER).await;
        loop {
            // At the deadline the connection is dropped with the future that owns it.
            match timeout(ASK_TIMEOUT, self.is_at_work(database)).await {
                // A server that refuses to tell, for want of a free connection perhaps, is there all the same; and a new connection is not made
                // by what this one was.
                Ok(Ok(true) | Err(sqlx::Error::Database(_) | sqlx::Error::Configuration(_))) => sleep(ASK_INTERVAL).await,
                Ok(Ok(false)) => return SessionError::Silent,
                Ok(Err(error)) => return SessionError::Driver(error),
                Err(_) => return SessionError::Deadline,
            }
        }
    }

    /// Asks the server. A backend that waits in vain is ended: its locks would be in the way of those who try again.
    async fn is_at_work(self, database: &Database) -> Result<bool, sqlx::Error> {
        let mut connection = database.to("session watch").options()?.connect().await?;
        let asked = sqlx::query_file_scalar!("src/store/backend_state.sql", self.pid, self.started_at, WAIT_SECONDS_MAX);
        let is_waiting = asked.fetch_optional(&mut connection).await?;
        if is_waiting == Some(true) {
            sqlx::query_file!("src/store/end_backend.sql", self.pid, self.started_at).fetch_optional(&mut connection).await?;
        }
        connection.close().await?;
        Ok(is_waiting == Some(false))
    }
}
