//! An event's whole story, in the order of time, as far as the tables know it. A duplicate leaves no row, so it tells none.

use std::fmt;

use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output::Escaped;

/// One thing that happened to an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Under which source.
    pub source: String,
    /// What, as a word.
    pub step: &'static str,
    /// What exactly.
    pub detail: String,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, step, detail, .. } = self;
        let at = at.replace_nanosecond(at.nanosecond() / 1_000_000 * 1_000_000).unwrap_or(*at).format(&Rfc3339).unwrap_or_default();
        write!(formatter, "{at:<24}  {step:<10}  {}", Escaped(detail))
    }
}

/// Which event.
#[derive(Debug, Clone)]
pub struct EventName {
    /// Whose it is, or by its body wants to be.
    pub tenant_id: String,
    /// Of this source; none: of any.
    pub source: Option<String>,
    /// Under which id.
    pub event_id: String,
}

/// All that happened to the events of this name, one source after the other.
///
/// # Errors
/// When Postgres does not answer.
pub async fn story(connection: &mut PgConnection, name: &EventName) -> Result<Vec<Step>, sqlx::Error> {
    let mut steps = of_dead_letters(connection, name).await?;
    let of_message = of_message(connection, name).await?;
    let mut sources: Vec<String> = of_message.iter().map(|step| step.source.clone()).collect();
    sources.dedup();
    steps.extend(of_message);
    for source in sources {
        steps.extend(of_deliveries(connection, name, source).await?);
    }
    // What happened at one time was written in this order.
    steps.sort_by(|left, right| (&left.source, left.at).cmp(&(&right.source, right.at)));
    // A message that was a dead letter first tells of its sending twice.
    steps.dedup();
    Ok(steps)
}

async fn of_dead_letters(connection: &mut PgConnection, name: &EventName) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query_file!("src/trace/dead_letters.sql", name.tenant_id, name.source.as_deref(), name.event_id);
    let mut steps = Vec::new();
    for row in rows.fetch_all(connection).await? {
        let number = row.dead_letter_id;
        let mut add = |at: Option<OffsetDateTime>, step, detail: String| {
            steps.extend(at.map(|at| Step { at, source: row.source.clone(), step, detail }));
        };
        let by = |rule: &Option<String>| rule.as_ref().map_or_else(String::new, |rule| format!(" by {rule}"));
        add(row.sent_at, "sent", format!("to queue {} as SQS message {}", row.queue, row.sqs_message_id));
        let refused = format!("{}{}, under catalog generation {}: dead letter {number}", row.reason, by(&row.rule), row.catalog_generation);
        add(Some(row.first_seen_at), "refused", refused);
        let outcome = match (row.replay_outcome.as_deref(), row.replay_reason) {
            (Some("rejected"), Some(reason)) => format!("refused again, {reason}{}", by(&row.replay_rule)),
            (Some("duplicate"), _) => "a duplicate of what was stored by then".to_owned(),
            (outcome, _) => outcome.unwrap_or_default().to_owned(),
        };
        if row.replays > 0 {
            add(row.replayed_at, "replayed", format!("dead letter {number} for the {}. time: {outcome}", row.replays));
        } else {
            add(row.replayed_at, "again", format!("received again, which closed dead letter {number}: {outcome}"));
        }
        let came_again = row.replayed_at.is_none_or(|replayed_at| row.last_seen_at > replayed_at) && row.last_seen_at > row.first_seen_at;
        let again = format!("received {} time(s) by then: {}", row.receive_count, if row.is_open { "refused" } else { "a duplicate" });
        add(Some(row.last_seen_at).filter(|_| came_again), "again", again);
        let why = row.discard_reason.unwrap_or_default();
        add(row.discarded_at, "discarded", format!("dead letter {number}: {why}"));
    }
    Ok(steps)
}

async fn of_message(connection: &mut PgConnection, name: &EventName) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query_file!("src/trace/messages.sql", name.tenant_id, name.source.as_deref(), name.event_id);
    let mut steps = Vec::new();
    for row in rows.fetch_all(connection).await? {
        let mut add = |at, step, detail| steps.push(Step { at, source: row.source.clone(), step, detail });
        if let Some(sent_at) = row.sent_at {
            add(sent_at, "sent", format!("to queue {} as SQS message {}", row.queue, row.sqs_message_id));
        }
        let recipient = row.client_id.map_or_else(|| "for its subscribers".to_owned(), |client_id| format!("for client {client_id}"));
        let stored = format!(
            "{} version {}, {recipient}, under catalog generation {}, from SQS message {}",
            row.event_type, row.schema_version, row.catalog_generation, row.sqs_message_id
        );
        add(row.received_at, "stored", stored);
    }
    Ok(steps)
}

/// What became of the deliveries of a stored event, and what they wait for.
async fn of_deliveries(connection: &mut PgConnection, name: &EventName, source: String) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query_file!("src/trace/deliveries.sql", name.tenant_id, source, name.event_id);
    let mut steps = Vec::new();
    for row in rows.fetch_all(connection).await? {
        let step = match row.outcome.as_deref() {
            Some("delivered") => "delivered",
            Some("failed") => "failed",
            Some("expired") => "expired",
            Some("dead") => "dead",
            Some("cancelled") => "cancelled",
            Some("requeued") => "requeued",
            _ if row.is_leased => "under way",
            _ => "waits",
        };
        let attempt = match row.outcome.as_deref() {
            Some("cancelled" | "requeued" | "dead") => format!("after {} attempt(s)", row.attempt),
            Some(_) => format!("attempt {}", row.attempt),
            None => format!("attempt {} to come", row.attempt + 1),
        };
        let by = row.sender.map_or_else(String::new, |sender| format!(", by {sender}"));
        let error = row.error.map_or_else(String::new, |error| format!(": {error}"));
        steps.push(Step { at: row.at, source: source.clone(), step, detail: format!("to client {}, {attempt}{by}{error}", row.client_id) });
    }
    Ok(steps)
}
