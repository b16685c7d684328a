//! What waits in the database: counted by one replica at a time, each tenant up to a limit.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::failure::SessionError;
use super::session::Session;
use crate::event::TenantId;
use crate::metrics::OldestBacklog;

/// What counting takes at most. Nobody waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug)]
pub struct BacklogCounts {
    /// Open dead letters, by tenant, where they have one, and reason.
    pub dead_letters: Vec<(Option<TenantId>, String, i64)>,
    /// Deliveries, by tenant.
    pub deliveries: Vec<(TenantId, i64)>,
    /// What has waited longest.
    pub oldest: OldestBacklog,
}

/// Takes the turn to count, or keeps it, for so long; whether it could be had.
///
/// # Errors
/// When Postgres does not answer, or does not let this role.
pub async fn take_backlog_turn(session: &mut Session, holder: i64, time: Duration) -> Result<bool, SessionError> {
    let seconds = time.as_secs_f64();
    let taking = session.run(TIMEOUT, move |connection| {
        Box::pin(async move {
            let taken = sqlx::query_file_scalar!("src/store/take_backlog_turn.sql", holder, seconds).fetch_optional(connection).await?;
            Ok(taken.is_some())
        })
    });
    taking.await
}

/// Counts what waits.
///
/// # Errors
/// As above.
pub async fn count_backlog(session: &mut Session) -> Result<BacklogCounts, SessionError> {
    session.run(TIMEOUT, |connection| Box::pin(count(connection))).await
}

async fn count(connection: &mut PgConnection) -> Result<BacklogCounts, sqlx::Error> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    // A server that is left waiting counts on for no longer than that.
    sqlx::raw_sql("set local statement_timeout = '10 s'").execute(&mut *transaction).await?;
    let dead_letters = sqlx::query_file!("src/store/open_dead_letters.sql").fetch_all(&mut *transaction).await?;
    let deliveries = sqlx::query_file!("src/store/waiting_deliveries.sql").fetch_all(&mut *transaction).await?;
    let oldest = sqlx::query_file!("src/store/oldest_backlog.sql").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(BacklogCounts {
        dead_letters: dead_letters.into_iter().map(|row| (row.tenant_id.as_deref().map(TenantId::new), row.reason, row.count)).collect(),
        deliveries: deliveries.into_iter().map(|row| (TenantId::new(&row.tenant_id), row.count)).collect(),
        oldest: OldestBacklog { open_dead_letter: oldest.open_dead_letter, due_delivery: oldest.due_delivery },
    })
}
