//! Dead letters, for the people who have to find out why.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::event::Reason;
use crate::output::Escaped;

/// Which letters are listed.
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
    pub letters_max: i64,
}

/// A letter in a list.
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

/// Lists letters, the newest first.
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
        filter.letters_max
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

/// A letter with everything that is known of it.
#[derive(Debug, Serialize)]
pub struct Letter {
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
pub async fn show(connection: &mut PgConnection, dead_letter_id: i64) -> Result<Option<Letter>, sqlx::Error> {
    let Some(row) = sqlx::query_file!("src/dead_letter/show.sql", dead_letter_id).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let raw = |text: String| RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Ok(Some(Letter {
        dead_letter_id: row.dead_letter_id,
        state: state(row.replay_outcome.as_deref(), row.discarded_at.is_some()),
        explanation: Reason::ALL.into_iter().find(|reason| reason.as_str() == row.reason).map_or("", explanation),
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

impl fmt::Display for Letter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |text: &'_ Option<String>| Escaped(text.as_deref().unwrap_or("not known")).to_string();
        writeln!(formatter, "dead letter {}: {} ({})", self.dead_letter_id, self.reason, self.state)?;
        writeln!(formatter, "  {}", self.explanation)?;
        write_violations(formatter, self.errors.get())?;
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
        writeln!(formatter, "judged by   catalog generation {}", self.catalog_generation)?;
        writeln!(formatter, "attributes  {}", Escaped(self.attributes.get()))?;
        // Line by line: a body may well be laid out in lines.
        let body: Vec<String> = self.body.lines().map(|line| Escaped(line).to_string()).collect();
        write!(formatter, "body\n{}", body.join("\n"))
    }
}

/// The errors of a letter or a verdict for people: a line each, the place first.
///
/// # Errors
/// When the formatter fails.
pub fn write_violations(formatter: &mut impl fmt::Write, errors: &str) -> fmt::Result {
    let errors: Vec<serde_json::Value> = serde_json::from_str(errors).unwrap_or_default();
    for error in errors {
        let field = |name: &str| Escaped(error[name].as_str().unwrap_or_default()).to_string();
        let place = match field("instance_location") {
            place if place.is_empty() => "at the top".to_owned(),
            place => format!("at {place}"),
        };
        let (expected, found) = (field("expected"), field("found"));
        writeln!(formatter, "  {place}: expected {expected}, found {found}  ({} of {})", field("keyword"), field("schema_location"))?;
    }
    Ok(())
}

fn time_text(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// What a reason means and who can mend it.
pub fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::TooLarge => "The body, or what surrounds the payload, is larger than allowed. The producer must send less.",
        Reason::TooDeep => "The JSON nests deeper than 64 levels. The producer must send flatter data.",
        Reason::MalformedJson => "The body is not JSON in UTF-8. The producer must send a JSON object.",
        Reason::DuplicateKey => "An object has a key twice, so that readers would disagree. The producer must send each key once.",
        Reason::NumberOutOfRange => "A number has more than 64 digits or no double is near it. The producer can send it as a string.",
        Reason::Unstorable => "Text that Postgres cannot hold (\\u0000, a lone surrogate), or a row that it refused.",
        Reason::PayloadByReference => {
            "The payload was left in S3 and only a pointer to it sent. The producer must send the payload itself."
        }
        Reason::UnsupportedContentType => "The data are not JSON, by the content type beside them. The producer must send JSON.",
        Reason::InvalidEnvelope => {
            "It is not in the queue's format, or a field of the envelope is missing, empty, too long or of the wrong type. Mend the producer, or the queue's `format`."
        }
        Reason::EnvelopeMismatch => "Fields of the envelope contradict each other. The producer must send one of them.",
        Reason::UnknownTenant => {
            "No tenant was named on a shared queue, or the catalog has none of that name. Apply the tenant, or mend the producer."
        }
        Reason::TenantMismatch => {
            "The body names another tenant than the queue is bound to. The producer uses the wrong queue or the wrong tenant."
        }
        Reason::UnauthorizedSender => {
            "The sender is not among the tenant's `allowed_senders`. Add its unique id there if it may write for the tenant."
        }
        Reason::UnknownEventType => {
            "The tenant has not declared this event type. Add it to the tenant's directory and apply, or mend the producer."
        }
        Reason::UnknownSchemaVersion => "The event type has no such version. Publish it, or mend the producer.",
        Reason::UnknownClient => "The tenant has no such client. Declare it in tenant.toml and apply, or mend the producer.",
        Reason::SchemaViolation => "The payload breaks its schema. Mend the producer, or publish a version that allows it.",
        Reason::ValidationTimeout => {
            "Checking the payload against its schema takes more steps or time than one event may. Simplify the schema in a new version, or send less."
        }
        Reason::ReceivedTooOften => {
            "A process began this event three times and never ended it; perhaps it ends the process. Judge its body by `processor validate`."
        }
        Reason::IdConflict => {
            "An event with this id is stored already, with another type, client or payload. The producer must not reuse ids."
        }
    }
}
