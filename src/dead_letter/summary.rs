//! What is wrong, for whom, since when and how often.

use std::fmt;

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::filter::Filter;
use super::list::time_text;
use crate::output::Escaped;

/// The open dead letters of one tenant, event type, reason and rule.
#[derive(Debug, Serialize)]
pub struct Problem {
    tenant_id: Option<String>,
    event_type: Option<String>,
    reason: String,
    rule: Option<String>,
    open: i64,
    #[serde(with = "time::serde::rfc3339")]
    first_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    replayed_in_vain: i64,
}

/// The head of a list of [`Problem`]s.
pub const SUMMARY_HEAD: &str =
    "    open  first seen            last seen             in vain  reason                  tenant          event type              rule";

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>8}  {}  {}  {:>7}  {:<22}  {:<14}  {:<22}  {}",
            self.open,
            time_text(self.first_seen_at),
            time_text(self.last_seen_at),
            self.replayed_in_vain,
            self.reason,
            Escaped(self.tenant_id.as_deref().unwrap_or("-")),
            Escaped(self.event_type.as_deref().unwrap_or("-")),
            Escaped(self.rule.as_deref().unwrap_or("-")),
        )
    }
}

/// Finds problems, most open dead letters first, at most so many; and how many there are.
///
/// # Errors
/// When Postgres does not answer.
pub async fn summary(connection: &mut PgConnection, filter: &Filter, problems_max: i64) -> Result<(Vec<Problem>, i64), sqlx::Error> {
    let rows = sqlx::query_file!(
        "src/dead_letter/summary.sql",
        filter.tenant.as_deref(),
        filter.queue.as_deref(),
        filter.reason.as_deref(),
        filter.rule.as_deref(),
        filter.event_type.as_deref(),
        filter.schema_version,
        filter.since,
        filter.until,
        filter.ids() as _,
        filter.message_id.as_deref(),
        problems_max,
    );
    let rows = rows.fetch_all(connection).await?;
    let problems = rows.first().map_or(0, |row| row.problems);
    let problem = rows.into_iter().map(|row| Problem {
        tenant_id: row.tenant_id,
        event_type: row.event_type,
        reason: row.reason,
        rule: row.rule,
        open: row.open,
        first_seen_at: row.first_seen_at,
        last_seen_at: row.last_seen_at,
        replayed_in_vain: row.replayed_in_vain,
    });
    Ok((problem.collect(), problems))
}
