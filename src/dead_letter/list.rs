//! Dead letters in a list, and one with all that is known of it.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::filter::{Filter, Page, State, matching, state_of};
use crate::event::{Reason, Violation};
use crate::output::Escaped;

/// A dead letter in a list.
#[derive(Debug, Serialize)]
pub struct Line {
    dead_letter_id: i64,
    tenant_id: Option<String>,
    queue: String,
    reason: String,
    rule: Option<String>,
    event_type: Option<String>,
    source: Option<String>,
    event_id: Option<String>,
    receive_count: i32,
    replays: i32,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    state: &'static str,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>8}  {}  {:<8}  {:<22}  {:<14}  {:<22}  {}",
            self.dead_letter_id,
            time_text(self.last_seen_at),
            self.state,
            self.reason,
            Escaped(self.tenant_id.as_deref().unwrap_or("-")),
            Escaped(self.event_type.as_deref().unwrap_or("-")),
            Escaped(self.rule.as_deref().unwrap_or("-")),
        )
    }
}

/// The head of a list of [`Line`]s.
pub const LIST_HEAD: &str =
    "      id  last seen             state     reason                  tenant          event type              rule";

/// Lists dead letters, the last seen first.
///
/// # Errors
/// When Postgres does not answer; `RowNotFound` where there is no dead letter to begin behind.
pub async fn list(connection: &mut PgConnection, filter: &Filter, state: State, page: Page) -> Result<Vec<Line>, sqlx::Error> {
    let ids = matching(connection, filter, state, page).await?;
    let rows = sqlx::query_file!("src/dead_letter/list.sql", &ids).fetch_all(connection).await?;
    let lines = rows.into_iter().map(|row| Line {
        state: state_of(row.replay_outcome.as_deref(), row.is_discarded),
        dead_letter_id: row.dead_letter_id,
        tenant_id: row.tenant_id,
        queue: row.queue,
        reason: row.reason,
        rule: row.rule,
        event_type: row.event_type,
        source: row.source,
        event_id: row.event_id,
        receive_count: row.receive_count,
        replays: row.replays,
        last_seen_at: row.last_seen_at,
    });
    Ok(lines.collect())
}

/// A dead letter with everything that is known of it.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the column's name, which --json prints")]
pub struct DeadLetter {
    dead_letter_id: i64,
    state: &'static str,
    reason: String,
    explanation: &'static str,
    rule: Option<String>,
    errors: Box<RawValue>,
    tenant_id: Option<String>,
    /// What the body says, proven by nobody.
    claimed_tenant: Option<String>,
    source: Option<String>,
    event_id: Option<String>,
    event_type: Option<String>,
    schema_version: Option<i64>,
    queue: String,
    queue_tenant: Option<String>,
    queue_format: String,
    queue_trusts_any_sender: Option<bool>,
    sqs_message_id: String,
    message_group: Option<String>,
    sequence_number: Option<String>,
    traceparent: Option<String>,
    sender_id: Option<String>,
    catalog_generation: i64,
    receive_count: i32,
    #[serde(with = "time::serde::rfc3339::option")]
    sent_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    first_seen_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_seen_at: OffsetDateTime,
    #[serde(flatten)]
    again: Again,
    #[serde(with = "time::serde::rfc3339::option")]
    discarded_at: Option<OffsetDateTime>,
    discard_reason: Option<String>,
    attributes: Box<RawValue>,
    /// The body; where it is not UTF-8, with its bad bytes replaced.
    body: String,
}

/// What became of it when its event went the path again.
#[derive(Debug, Serialize)]
struct Again {
    #[serde(with = "time::serde::rfc3339::option")]
    replayed_at: Option<OffsetDateTime>,
    replay_outcome: Option<String>,
    replay_reason: Option<String>,
    replay_rule: Option<String>,
    replay_errors: Option<Box<RawValue>>,
    replays: i32,
}

/// Reads one letter; none has that number where this gives none.
///
/// # Errors
/// When Postgres does not answer.
#[expect(clippy::too_many_lines, reason = "a line for each column")]
pub async fn show(connection: &mut PgConnection, dead_letter_id: i64) -> Result<Option<DeadLetter>, sqlx::Error> {
    let found = sqlx::query_file!("src/dead_letter/show.sql", dead_letter_id).fetch_optional(connection).await?;
    let Some(row) = found else { return Ok(None) };
    let raw = |text: String| RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    let state = state_of(row.replay_outcome.as_deref(), row.discarded_at.is_some());
    let again = Again {
        replayed_at: row.replayed_at,
        replay_outcome: row.replay_outcome,
        replay_reason: row.replay_reason,
        replay_rule: row.replay_rule,
        replay_errors: row.replay_errors.map(raw),
        replays: row.replays,
    };
    Ok(Some(DeadLetter {
        dead_letter_id: row.dead_letter_id,
        state,
        explanation: Reason::ALL.into_iter().find(|reason| reason.as_str() == row.reason).map_or("", Reason::explanation),
        reason: row.reason,
        rule: row.rule,
        errors: raw(row.errors),
        tenant_id: row.tenant_id,
        claimed_tenant: row.claimed_tenant,
        source: row.source,
        event_id: row.event_id,
        event_type: row.event_type,
        schema_version: row.schema_version,
        queue: row.queue,
        queue_tenant: row.queue_tenant,
        queue_format: row.queue_format,
        queue_trusts_any_sender: row.queue_trusts_any_sender,
        sqs_message_id: row.sqs_message_id,
        message_group: row.message_group,
        sequence_number: row.sequence_number,
        traceparent: row.traceparent,
        sender_id: row.sender_id,
        catalog_generation: row.catalog_generation,
        receive_count: row.receive_count,
        sent_at: row.sent_at,
        first_seen_at: row.first_seen_at,
        last_seen_at: row.last_seen_at,
        again,
        discarded_at: row.discarded_at,
        discard_reason: row.discard_reason,
        attributes: raw(row.attributes),
        body: String::from_utf8_lossy(&row.body).into_owned(),
    }))
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |text: &'_ Option<String>| Escaped(text.as_deref().unwrap_or("not known")).to_string();
        writeln!(formatter, "dead letter {}: {} ({})", self.dead_letter_id, self.reason, self.state)?;
        writeln!(formatter, "  {}", self.explanation)?;
        let violations: Vec<Violation> = serde_json::from_str(self.errors.get()).unwrap_or_default();
        for violation in violations {
            writeln!(formatter, "  {violation}")?;
        }
        write!(formatter, "{}", self.again)?;
        if let (Some(discarded_at), Some(reason)) = (self.discarded_at, &self.discard_reason) {
            writeln!(formatter, "discarded   {}: {}", time_text(discarded_at), Escaped(reason))?;
        }
        match self.claimed_tenant.as_deref().filter(|_| self.tenant_id.is_none()) {
            Some(claimed) => writeln!(formatter, "tenant      not admitted, {} by its body", Escaped(claimed))?,
            None => writeln!(formatter, "tenant      {}", known(&self.tenant_id))?,
        }
        let [event_type, event_id, source] = [&self.event_type, &self.event_id, &self.source].map(known);
        writeln!(formatter, "event       type {event_type}, id {event_id}, source {source}")?;
        let [queue, sqs_message_id] = [&self.queue, &self.sqs_message_id].map(|text| Escaped(text));
        let (format, receive_count) = (&self.queue_format, self.receive_count);
        writeln!(formatter, "queue       {queue} ({format}), SQS message {sqs_message_id}, received {receive_count} time(s)")?;
        if let Some(group) = &self.message_group {
            writeln!(formatter, "group       {}, sequence number {}", Escaped(group), known(&self.sequence_number))?;
        }
        let trust = if self.queue_trusts_any_sender == Some(true) { ", on a queue that trusts any" } else { "" };
        writeln!(formatter, "sender      {}{trust}", known(&self.sender_id))?;
        if let Some(traceparent) = &self.traceparent {
            writeln!(formatter, "trace       {}", Escaped(traceparent))?;
        }
        writeln!(formatter, "first seen  {}, last seen {}", time_text(self.first_seen_at), time_text(self.last_seen_at))?;
        writeln!(formatter, "validated   by catalog generation {}", self.catalog_generation)?;
        writeln!(formatter, "attributes  {}", Escaped(self.attributes.get()))?;
        // Line by line: a body may well be laid out in lines.
        let body: Vec<String> = self.body.lines().map(|line| Escaped(line).to_string()).collect();
        write!(formatter, "body\n{}", body.join("\n"))
    }
}

impl fmt::Display for Again {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(replayed_at), Some(outcome)) = (self.replayed_at, &self.replay_outcome) else { return Ok(()) };
        let reason = self.replay_reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        match self.replays {
            0 => writeln!(formatter, "again       received {}, {outcome}", time_text(replayed_at))?,
            replays => writeln!(formatter, "replayed    {replays} time(s), last {}, {outcome}{reason}", time_text(replayed_at))?,
        }
        let errors: Option<Vec<Violation>> = self.replay_errors.as_ref().and_then(|errors| serde_json::from_str(errors.get()).ok());
        for violation in errors.into_iter().flatten() {
            writeln!(formatter, "  {violation}")?;
        }
        Ok(())
    }
}

pub(super) fn time_text(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}
