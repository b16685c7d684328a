//! What an envelope's fields may be, by whatever name a format has them. `null` is absence.

use smol_str::SmolStr;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::reject;
use crate::event::{Reason, Rejection};
use crate::json::{self, Member, Node};

/// The longest name of a tenant or client.
pub(super) const NAME_BYTES_MAX: usize = 100;

/// The longest name of an event type.
pub(super) const EVENT_TYPE_BYTES_MAX: usize = 128;

/// The longest of all other texts that have a column.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// A text that is not empty.
pub(super) fn name(member: &Member<'_>, bytes_max: usize) -> Result<Option<SmolStr>, Rejection> {
    text(member, 1, bytes_max)
}

/// A text within limits.
pub(super) fn text(member: &Member<'_>, bytes_min: usize, bytes_max: usize) -> Result<Option<SmolStr>, Rejection> {
    match &member.value {
        Node::Null => Ok(None),
        Node::String(text) if (bytes_min..=bytes_max).contains(&text.len()) => Ok(Some(text.as_ref().into())),
        _ => Err(wrong_field(member, &format!("a string of {bytes_min} to {bytes_max} bytes"))),
    }
}

/// A text that must be this one.
pub(super) fn constant(member: &Member<'_>, expected: &str) -> Result<(), Rejection> {
    match &member.value {
        Node::Null => Ok(()),
        Node::String(text) if text == expected => Ok(()),
        _ => Err(wrong_field(member, &format!("the text {expected:?}"))),
    }
}

/// An idempotency key.
pub(super) fn event_id(member: &Member<'_>) -> Result<Option<SmolStr>, Rejection> {
    let event_id = name(member, TEXT_BYTES_MAX)?;
    if event_id.as_ref().is_some_and(|text| text.contains(char::is_control)) {
        return Err(wrong_field(member, "a string without control characters"));
    }
    Ok(event_id)
}

/// A version's number.
pub(super) fn integer(member: &Member<'_>) -> Result<Option<i64>, Rejection> {
    let expected = "an integer";
    match &member.value {
        Node::Null => Ok(None),
        Node::Number(number) => json::integer(number).map(Some).ok_or_else(|| wrong_field(member, expected)),
        _ => Err(wrong_field(member, expected)),
    }
}

/// A moment, to the microsecond that it is in.
pub(super) fn time(member: &Member<'_>) -> Result<Option<OffsetDateTime>, Rejection> {
    let Some(text) = text(member, 0, TEXT_BYTES_MAX)? else { return Ok(None) };
    // The parser takes anything between date and time; RFC 3339, section 5.6, these.
    let is_separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok().filter(|_| is_separated);
    let parsed = parsed.and_then(|time| time.checked_to_offset(UtcOffset::UTC)).filter(|time| (1..=9999).contains(&time.year()));
    // Postgres counts microseconds from 2000 on, and cutting there would go up before and down after it.
    match parsed.and_then(|time| time.replace_nanosecond(time.nanosecond() / 1_000 * 1_000).ok()) {
        Some(time) => Ok(Some(time)),
        None => Err(wrong_field(member, "a time as RFC 3339 writes it, 2026-11-30T12:00:00Z, from year 1 to 9999")),
    }
}

/// The first of these that an object lacks, told only when nothing that it has is wrong.
pub(super) fn missing(members: &[Member<'_>], required: &[&str]) -> Option<Rejection> {
    let is_there = |name: &str| members.iter().any(|member| member.name == name && member.value != Node::Null);
    required.iter().find(|name| !is_there(name)).map(|name| missing_field(name))
}

/// An object lacks a field.
pub(super) fn missing_field(name: &str) -> Rejection {
    reject(Reason::InvalidEnvelope, "envelope", "", &format!("a field `{name}`"), "object")
}

/// A field is not what it must be.
pub(super) fn wrong_field(member: &Member<'_>, expected: &str) -> Rejection {
    reject(Reason::InvalidEnvelope, "envelope", &format!("/{}", member.name), expected, member.value.type_name())
}

/// A field and another one contradict each other.
pub(super) fn mismatch(member: &Member<'_>, expected: &str) -> Rejection {
    reject(Reason::EnvelopeMismatch, "envelope", &format!("/{}", member.name), expected, member.value.type_name())
}
