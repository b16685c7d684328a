//! Adds up what tenants brought lately, for whoever asks how they are.

use std::time::Duration;

use super::failure::SessionError;
use super::session::Session;

/// What one tenant brought of one event type since it was last added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// Whose events.
    pub tenant_id: String,
    /// Of which type; empty: of none that is in the catalog.
    pub event_type: String,
    /// How long ago the last one came.
    pub age: Duration,
    /// How many became what.
    pub counts: ActivityCounts,
}

/// How many events became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActivityCounts {
    /// Rows by now.
    pub stored: i64,
    /// Their equals were there before.
    pub duplicate: i64,
    /// Dead letters.
    pub rejected: i64,
    /// Over the tenant's rate, whatever became of them.
    pub over_rate: i64,
}

/// Adds to `tenant_activity`.
///
/// # Errors
/// When Postgres does not answer; nothing was added then, as far as is known.
pub async fn add_activity(session: &mut Session, deadline: Duration, activity: Vec<Activity>) -> Result<(), SessionError> {
    let adding = session.run(deadline, move |connection| {
        Box::pin(async move {
            let column = |of: fn(&Activity) -> i64| activity.iter().map(of).collect::<Vec<_>>();
            let query = sqlx::query_file!(
                "src/store/add_tenant_activity.sql",
                &activity.iter().map(|one| one.tenant_id.clone()).collect::<Vec<_>>(),
                &activity.iter().map(|one| one.event_type.clone()).collect::<Vec<_>>(),
                &activity.iter().map(|one| one.age.as_secs_f64()).collect::<Vec<_>>(),
                &column(|one| one.counts.stored),
                &column(|one| one.counts.duplicate),
                &column(|one| one.counts.rejected),
                &column(|one| one.counts.over_rate),
            );
            query.execute(connection).await
        })
    });
    adding.await.map(|_| ())
}
