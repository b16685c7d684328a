//! Dead letters, for the people who have to find out why.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::event::{Reason, Violation};
use crate::output::Escaped;

/// Which dead letters are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those of a tenant.
    pub tenant: Option<String>,
    /// Only those with a reason.
    pub reason: Option<String>,
    /// Only those of a queue.
    pub queue: Option<String>,
    /// Also those that are closed: stored after all, or discarded.
    pub with_closed: bool,
    /// The newest so many.
    pub dead_letters_max: i64,
}

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

/// Lists dead letters, the newest first.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list(connection: &mut PgConnection, filter: &Filter) -> Result<Vec<Line>, sqlx::Error> {
    let rows = sqlx::query_file!(
        "src/dead_letter/list.sql",
        filter.tenant.as_deref(),
        filter.reason.as_deref(),
        filter.queue.as_deref(),
        filter.with_closed,
        filter.dead_letters_max
    )
    .fetch_all(connection)
    .await?;
    let lines = rows.into_iter().map(|row| Line {
        state: state(row.replay_outcome.as_deref(), row.is_discarded),
        dead_letter_id: row.dead_letter_id,
        tenant_id: row.tenant_id,
        queue: row.queue,
        reason: row.reason,
        rule: row.rule,
        event_type: row.event_type,
        source: row.source,
        event_id: row.event_id,
        receive_count: row.receive_count,
        last_seen_at: row.last_seen_at,
    });
    Ok(lines.collect())
}

fn state(replay_outcome: Option<&str>, is_discarded: bool) -> &'static str {
    match (is_discarded, replay_outcome) {
        (true, _) => "discarded",
        (false, None | Some("rejected")) => "open",
        (false, Some("duplicate")) => "duplicate",
        (false, Some(_)) => "stored",
    }
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
    #[serde(with = "time::serde::rfc3339::option")]
    replayed_at: Option<OffsetDateTime>,
    replay_outcome: Option<String>,
    replay_reason: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    discarded_at: Option<OffsetDateTime>,
    discard_reason: Option<String>,
    attributes: Box<RawValue>,
    /// The body; where it is not UTF-8, with its bad bytes replaced.
    body: String,
}

/// Reads one letter; none has that number where this gives none.
///
/// # Errors
/// When Postgres does not answer.
pub async fn show(connection: &mut PgConnection, dead_letter_id: i64) -> Result<Option<DeadLetter>, sqlx::Error> {
    let found = sqlx::query_file!("src/dead_letter/show.sql", dead_letter_id).fetch_optional(connection).await?;
    let Some(row) = found else { return Ok(None) };
    let raw = |text: String| RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Ok(Some(DeadLetter {
        dead_letter_id: row.dead_letter_id,
        state: state(row.replay_outcome.as_deref(), row.discarded_at.is_some()),
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
        replayed_at: row.replayed_at,
        replay_outcome: row.replay_outcome,
        replay_reason: row.replay_reason,
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

fn time_text(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}
