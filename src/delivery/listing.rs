//! Deliveries in a list, and those of one event with all that became of them.

use std::fmt;

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Filter, State, names};
use crate::output::Escaped;

/// A delivery in a list.
#[derive(Debug, Serialize)]
pub struct Line {
    tenant_id: String,
    source: String,
    event_id: String,
    client_id: String,
    event_type: String,
    state: String,
    attempts: i32,
    /// When something last became of it.
    #[serde(with = "time::serde::rfc3339::option")]
    at: Option<OffsetDateTime>,
    /// When it is due again, or its lease ends.
    #[serde(with = "time::serde::rfc3339::option")]
    due_at: Option<OffsetDateTime>,
    is_leased: bool,
    sender: Option<String>,
    error: Option<String>,
}

/// The head of a list of [`Line`]s.
pub const LIST_HEAD: &str = "last attempt or end   state      attempts  due                   tenant          client          event                                 error";

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:<20}  {:<9}  {:>8}  {:<20}  {:<14}  {:<14}  {:<36}  {}",
            self.at.map_or_else(|| "-".to_owned(), time_text),
            self.state,
            self.attempts,
            self.due_at.map_or_else(|| "-".to_owned(), time_text),
            self.tenant_id,
            self.client_id,
            Escaped(&self.event_id),
            Escaped(self.error.as_deref().unwrap_or("-")),
        )
    }
}

/// Lists deliveries in these states, at most so many, those first that never had an attempt, then what came last.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(connection: &mut PgConnection, filter: &Filter, states: &[State], lines_max: i64) -> Result<Vec<Line>, sqlx::Error> {
    let lines = matching!(query_file_as, (Line, "src/delivery/list.sql"), &names(states), filter, lines_max);
    lines.fetch_all(connection).await
}

/// Which deliveries are shown: of one event, to one client or to all.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Whose the event is.
    pub tenant_id: String,
    /// Its source.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Only to this client.
    pub client_id: Option<String>,
}

/// A delivery with what became of it.
#[derive(Debug, Serialize)]
pub struct Delivery {
    client_id: String,
    state: String,
    attempts: i32,
    #[serde(with = "time::serde::rfc3339::option")]
    due_at: Option<OffsetDateTime>,
    is_leased: bool,
    sender: Option<String>,
    client_state: String,
    tenant_state: String,
    /// Whether client and tenant are in the catalog, or were pruned from it.
    is_declared: bool,
    waits_for_group: bool,
    webhook_id: String,
    log: Vec<Entry>,
}

/// An attempt that ended, or an end.
#[derive(Debug, Serialize)]
struct Entry {
    attempt: i32,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
    sender: Option<String>,
    outcome: String,
    error: Option<String>,
}

/// Reads the deliveries of an event, with what became of each.
///
/// # Errors
/// When Postgres does not answer.
pub async fn show(connection: &mut PgConnection, of: &Selection) -> Result<Vec<Delivery>, sqlx::Error> {
    let Selection { tenant_id, source, event_id, client_id } = of;
    let client_id = client_id.as_deref();
    let rows = sqlx::query_file!("src/delivery/states.sql", tenant_id, source, event_id, client_id).fetch_all(&mut *connection).await?;
    let entries = sqlx::query_file!("src/delivery/log.sql", tenant_id, source, event_id, client_id).fetch_all(connection).await?;
    let mut deliveries: Vec<Delivery> = Vec::new();
    for row in rows {
        let of_client = entries.iter().filter(|entry| entry.client_id == row.client_id).map(|entry| Entry {
            attempt: entry.attempt,
            at: entry.at,
            sender: entry.sender.clone(),
            outcome: entry.outcome.clone(),
            error: entry.error.clone(),
        });
        deliveries.push(Delivery {
            log: of_client.collect(),
            client_id: row.client_id,
            state: row.state,
            attempts: row.attempts,
            due_at: row.due_at,
            is_leased: row.is_leased,
            sender: row.sender,
            client_state: row.client_state,
            tenant_state: row.tenant_state,
            is_declared: row.is_declared,
            waits_for_group: row.waits_for_group,
            webhook_id: row.webhook_id,
        });
    }
    Ok(deliveries)
}

impl Delivery {
    /// What it waits for, in words.
    fn waits_for(&self) -> String {
        if self.state != "pending" {
            return String::new();
        }
        let due = self.due_at.map_or_else(String::new, time_text);
        if self.is_leased {
            let sender = self.sender.as_deref().unwrap_or("a sender");
            return format!(", under way with {} until {due}", Escaped(sender));
        }
        let reason = match (self.client_state.as_str(), self.tenant_state.as_str(), self.is_declared) {
            ("active", "active", true) if self.waits_for_group => "waits for an earlier event of its group".to_owned(),
            ("active", "active", true) if due.is_empty() => "due at once".to_owned(),
            ("active", "active", true) => format!("due {due}"),
            ("active", "active", false) => "waits for its client to be in the catalog again".to_owned(),
            ("active", _, _) => "waits for its tenant to be resumed".to_owned(),
            (state, _, _) => format!("waits for its client to be resumed, which is {state}"),
        };
        format!(", {reason}")
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, state, attempts, webhook_id, .. } = self;
        write!(formatter, "to {client_id}: {state} after {attempts} attempt(s){}\n  webhook id {webhook_id}", self.waits_for())?;
        for entry in &self.log {
            let by = entry.sender.as_deref().map_or_else(String::new, |sender| format!(" by {}", Escaped(sender)));
            let error = entry.error.as_deref().map_or_else(String::new, |error| format!(": {}", Escaped(error)));
            write!(formatter, "\n  {}  {:<9}  attempt {}{by}{error}", time_text(entry.at), entry.outcome, entry.attempt)?;
        }
        Ok(())
    }
}

fn time_text(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}
