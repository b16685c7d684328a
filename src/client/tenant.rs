//! How tenants are: what they brought lately, what was wrong with it, what waits.

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output::Escaped;

/// More are not counted: see the view `tenant_health`.
const COUNTED_MAX: i64 = 10_000;

/// A tenant, and how it is.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the columns' names, which --json prints")]
pub struct Tenant {
    tenant_id: String,
    name: String,
    is_declared: bool,
    state: String,
    state_reason: Option<String>,
    clients: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    last_event_at: Option<OffsetDateTime>,
    stored_last_hour: i64,
    duplicate_last_hour: i64,
    rejected_last_hour: i64,
    rejected_share: Option<f64>,
    event_types: Json<Vec<EventTypeHealth>>,
    open_dead_letters: i64,
    problems: Json<Vec<LargeProblem>>,
    waiting: i64,
    rate_limit: Option<f64>,
    rate_burst: Option<i32>,
    over_rate_last_hour: i64,
}

/// What a tenant brought of one event type in the last hour.
#[derive(Debug, Serialize, Deserialize)]
struct EventTypeHealth {
    event_type: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    last_event_at: OffsetDateTime,
    stored: i64,
    duplicate: i64,
    rejected: i64,
    rejected_share: f64,
}

/// One of a tenant's largest problems.
#[derive(Debug, Serialize, Deserialize)]
struct LargeProblem {
    event_type: Option<String>,
    reason: String,
    rule: Option<String>,
    open: i64,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
}

/// The head of a list of [`Tenant`]s.
pub const TENANTS_HEAD: &str = "tenant          state            last event            events 1h  rejected  dead letters   waiting  over rate  \
                                name                      why";

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_declared { self.state.clone() } else { format!("{}, pruned", self.state) };
        let (name, why) = (Escaped(&self.name), Escaped(self.state_reason.as_deref().unwrap_or("-")));
        write!(
            formatter,
            "{:<14}  {state:<15}  {:<20}  {:>9}  {:>8}  {:>12}  {:>8}  {:>9}  {name:<24}  {why}",
            self.tenant_id,
            self.last_event_at.map_or_else(|| "-".to_owned(), time_text),
            self.stored_last_hour + self.duplicate_last_hour + self.rejected_last_hour,
            self.rejected_share.map_or_else(|| "-".to_owned(), percent),
            counted(self.open_dead_letters),
            counted(self.waiting),
            self.over_rate_last_hour,
        )
    }
}

impl Tenant {
    /// All but what a list has: its rate, its event types of the last hour, its problems.
    pub fn details(&self) -> impl fmt::Display + '_ {
        Details(self)
    }
}

struct Details<'a>(&'a Tenant);

impl fmt::Display for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.0;
        match tenant.rate_limit {
            Some(limit) => {
                let burst = tenant.rate_burst.map_or_else(String::new, |burst| format!(", {burst} at once"));
                writeln!(
                    formatter,
                    "rate: {limit} events a second{burst} in each process; {} over it in the last hour",
                    tenant.over_rate_last_hour
                )?;
            }
            None => writeln!(formatter, "rate: no limit")?,
        }
        if !tenant.event_types.is_empty() {
            writeln!(formatter, "\nin the last hour by event type  last event              stored  duplicate  rejected")?;
        }
        for of_type in &tenant.event_types.0 {
            let name = of_type.event_type.as_deref().unwrap_or("(none of the catalog)");
            let (last, share) = (time_text(of_type.last_event_at), percent(of_type.rejected_share));
            let EventTypeHealth { stored, duplicate, rejected, .. } = of_type;
            writeln!(formatter, "{:<30}  {last:<20}  {stored:>8}  {duplicate:>9}  {rejected:>8}, {share}", Escaped(name))?;
        }
        if !tenant.problems.is_empty() {
            writeln!(formatter, "\n    open  last seen             reason                  event type              rule")?;
        }
        for LargeProblem { event_type, reason, rule, open, last_seen_at } in &tenant.problems.0 {
            let (event_type, rule) = (event_type.as_deref().unwrap_or("-"), rule.as_deref().unwrap_or("-"));
            let (event_type, rule, last) = (Escaped(event_type), Escaped(rule), time_text(*last_seen_at));
            writeln!(formatter, "{open:>8}  {last}  {reason:<22}  {event_type:<22}  {rule}")?;
        }
        if tenant.open_dead_letters >= COUNTED_MAX {
            writeln!(
                formatter,
                "of the newest {COUNTED_MAX} dead letters; `processor dead-letter summary --tenant {}` reads all",
                tenant.tenant_id
            )?;
        }
        Ok(())
    }
}

fn counted(count: i64) -> String {
    if count >= COUNTED_MAX { format!("{COUNTED_MAX}+") } else { count.to_string() }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn time_text(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// Lists tenants; of one name, that one.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_tenants(connection: &mut PgConnection, tenant_id: Option<&str>) -> Result<Vec<Tenant>, sqlx::Error> {
    sqlx::query_file_as!(Tenant, "src/client/tenants.sql", tenant_id).fetch_all(connection).await
}
