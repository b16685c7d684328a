//! What the sender asks of Postgres: the functions of the hand-off, and nothing else.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::claimed::{ClientKey, Delivery};
use crate::database::{self, Setting};
use crate::settings::Database;

/// A server that takes longer to answer is not there.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Each has its own deadline.
const SETTINGS: [Setting; 2] = [("statement_timeout", "0"), ("transaction_timeout", "0")];

/// The channel on which the daemon tells that there is something.
const CHANNEL: &str = "delivery_ready";

/// A connection, made anew when it is lost.
pub(super) struct Session {
    database: Database,
    connection: Option<PgConnection>,
}

/// Failures for [`Session::fail`], column by column.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) lease_ids: Vec<i64>,
    pub(super) errors: Vec<String>,
    pub(super) retry_after: Vec<Option<f64>>,
    pub(super) permanent: Vec<bool>,
}

/// Runs a statement on the session's connection. At the deadline, and after whatever the server itself has not answered, the connection is
/// dropped with what it was at, so that nothing half-done is ever used again.
macro_rules! ask {
    ($session:expr, $connection:ident => $statement:expr) => {{
        let asking = async {
            let mut connection = match $session.connection.take() {
                Some(connection) => connection,
                None => database::connect(&$session.database, &SETTINGS).await?,
            };
            let $connection = &mut connection;
            let answer: Result<_, sqlx::Error> = $statement.await;
            Ok::<_, sqlx::Error>((connection, answer))
        };
        let (connection, answer) = tokio::time::timeout(ANSWER_TIME_MAX, asking)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?;
        if matches!(answer, Ok(_) | Err(sqlx::Error::Database(_))) {
            $session.connection = Some(connection);
        }
        answer
    }};
}

impl Session {
    pub(super) fn new(database: Database) -> Self {
        Self { database, connection: None }
    }

    /// Leases up to so many.
    pub(super) async fn claim(&mut self, sender: &str, batch_max: i32, lease: Duration) -> Result<Vec<Delivery>, sqlx::Error> {
        let leased_until = Instant::now() + lease;
        let rows = ask!(self, connection => sqlx::query_file!("src/sender/claim.sql", sender, batch_max, lease.as_secs_f64()).fetch_all(connection))?;
        Ok(rows
            .into_iter()
            .map(|row| Delivery {
                lease_id: row.lease_id,
                client: ClientKey { tenant_id: row.tenant_id.into(), client_id: row.client_id.into() },
                settings: row.client_settings,
                source: row.source,
                event_id: row.event_id,
                webhook_id: row.webhook_id,
                event_type: row.event_type,
                schema_version: row.schema_version,
                subject: row.subject,
                occurred_at: row.occurred_at,
                received_at: row.received_at,
                payload: row.payload,
                attributes: row.attributes,
                attempt: row.attempt,
                leased_until,
            })
            .collect())
    }

    /// More time, from now on; those that still hold.
    pub(super) async fn extend(&mut self, lease_ids: &[i64], lease: Duration) -> Result<Vec<i64>, sqlx::Error> {
        ask!(self, connection => sqlx::query_file_scalar!("src/sender/extend.sql", lease_ids, lease.as_secs_f64()).fetch_all(connection))
    }

    /// Delivered; those that still held.
    pub(super) async fn complete(&mut self, lease_ids: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        ask!(self, connection => sqlx::query_file_scalar!("src/sender/complete.sql", lease_ids).fetch_all(connection))
    }

    /// Not delivered; those that still held.
    pub(super) async fn fail(&mut self, failures: &Failures) -> Result<Vec<i64>, sqlx::Error> {
        let Failures { lease_ids, errors, retry_after, permanent } = failures;
        ask!(self, connection => sqlx::query_file_scalar!("src/sender/fail.sql", lease_ids, errors, retry_after as _, permanent).fetch_all(connection))
    }

    /// Given back, to be claimed after so long; those that still held.
    pub(super) async fn release(&mut self, lease_ids: &[i64], due_in: Duration) -> Result<Vec<i64>, sqlx::Error> {
        ask!(self, connection => sqlx::query_file_scalar!("src/sender/release.sql", lease_ids, due_in.as_secs_f64()).fetch_all(connection))
    }

    /// Stops all deliveries to a lease's client.
    pub(super) async fn disable(&mut self, lease_id: i64, reason: &str) -> Result<bool, sqlx::Error> {
        ask!(self, connection => sqlx::query_file_scalar!("src/sender/disable.sql", lease_id, reason).fetch_one(connection))
    }

    /// Tells how an attempt at a lease's client went; for how long that has only failed.
    pub(super) async fn report(&mut self, lease_id: i64, has_failed: bool) -> Result<Option<Duration>, sqlx::Error> {
        let seconds =
            ask!(self, connection => sqlx::query_file_scalar!("src/sender/report.sql", lease_id, has_failed).fetch_one(connection))?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }

    /// Ends the connection as the protocol wants it.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }
}

/// A connection that is told when there is something.
pub(super) async fn listen(database: &Database) -> Result<PgListener, sqlx::Error> {
    database::listen(&database.to("sender listener"), CHANNEL).await
}
