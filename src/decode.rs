//! 2. Find out what a body says: JSON within the limits, then the fields of the envelope. Nothing is compared with the catalog yet.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::event::{Envelope, Reason, Rejection, Violation};
use crate::json::{self, Defect, DefectKind, Member, Node};
use crate::queue::{MessageAttribute, ReceivedMessage};

/// What may surround a payload: other envelope fields and the SQS message's attributes, as they are stored.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// The first element of a body that the Extended Client Library sends in place of a payload in S3.
const S3_POINTERS: [&str; 2] = ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// A body whose envelope is well-formed.
#[derive(Debug)]
pub struct Decoded<'body> {
    /// The fields around the payload.
    pub envelope: Envelope,
    /// The payload.
    pub payload: Node<'body>,
}

/// Reads a message's body.
///
/// # Errors
/// The first thing that is wrong with it: size, then whatever a reader from left to right meets first.
pub fn decode(message: &ReceivedMessage, body_bytes_max: usize) -> Result<Decoded<'_>, Rejection> {
    let body = &message.body;
    if body.len() > body_bytes_max {
        return Err(reject(Reason::TooLarge, "json", "", &format!("a body of at most {body_bytes_max} bytes"), "larger body"));
    }
    if message
        .attributes
        .iter()
        .any(|(name, attribute)| [name, &attribute.data_type, &attribute.value].iter().any(|text| text.contains('\0')))
    {
        return Err(reject(Reason::Unstorable, "message_attributes", "", "attributes without NUL characters", "string"));
    }
    let members = match json::read(body).map_err(|defect| from_defect(defect, body))? {
        Node::Object(members) => members,
        Node::Array(items) if is_s3_pointer(&items) => {
            let advice = "the payload itself: this queue's events are stored whole, so send without the Extended Client Library";
            return Err(reject(Reason::PayloadByReference, "envelope", "", advice, "pointer to S3"));
        }
        other => return Err(reject(Reason::InvalidEnvelope, "envelope", "", "an object", other.type_name())),
    };
    let (mut envelope, payload, others) = read_fields(members, &message.sqs_message_id)?;
    envelope.attributes = attributes(message, &others);
    if envelope.attributes.len() > ATTRIBUTES_BYTES_MAX {
        let expected = format!("other fields and message attributes of at most {ATTRIBUTES_BYTES_MAX} bytes in all");
        return Err(Rejection { envelope: Some(Box::new(envelope)), ..reject(Reason::TooLarge, "envelope", "", &expected, "object") });
    }
    envelope.traceparent = traceparent(message, &others);
    Ok(Decoded { envelope, payload })
}

fn is_s3_pointer(items: &[Node<'_>]) -> bool {
    matches!(items, [Node::String(name), _] if S3_POINTERS.contains(&name.as_ref()))
}

type Fields<'body> = (Envelope, Node<'body>, Vec<Member<'body>>);

/// The fields in the order of the text, so that the first one that is wrong is the one that is told.
fn read_fields<'body>(members: Vec<Member<'body>>, sqs_message_id: &str) -> Result<Fields<'body>, Rejection> {
    let mut envelope = Envelope { event_id: sqs_message_id.to_owned(), ..Envelope::default() };
    let mut payload = None;
    let mut others = Vec::new();
    for member in members {
        match member.name.as_ref() {
            "tenant_id" => envelope.tenant_id = name(&member, 100)?,
            "event_id" => envelope.event_id = event_id(&member)?.unwrap_or(envelope.event_id),
            "source" => envelope.source = text(&member, 0, 256)?.unwrap_or_default(),
            "event_type" => envelope.event_type = name(&member, 128)?.unwrap_or_default(),
            "schema_version" => envelope.schema_version = schema_version(&member)?,
            "client_id" => envelope.client_id = name(&member, 100)?,
            "subject" => envelope.subject = text(&member, 0, 256)?,
            "occurred_at" => envelope.occurred_at = occurred_at(&member)?,
            "payload" | "message" if payload.is_some() => {
                let expected = "either `payload` or its old name `message`, not both";
                return Err(reject(Reason::EnvelopeMismatch, "envelope", &pointer(&member), expected, member.value.type_name()));
            }
            "payload" | "message" => {
                envelope.payload = member.span;
                payload = Some(member.value);
            }
            _ => others.push(member),
        }
    }
    if envelope.event_type.is_empty() {
        return Err(reject(Reason::InvalidEnvelope, "envelope", "", "a field `event_type`", "object"));
    }
    let Some(payload) = payload else {
        return Err(reject(Reason::InvalidEnvelope, "envelope", "", "a field `payload`", "object"));
    };
    Ok((envelope, payload, others))
}

fn name(member: &Member<'_>, bytes_max: usize) -> Result<Option<String>, Rejection> {
    text(member, 1, bytes_max)
}

/// An optional string; `null` is absence.
fn text(member: &Member<'_>, bytes_min: usize, bytes_max: usize) -> Result<Option<String>, Rejection> {
    match &member.value {
        Node::Null => Ok(None),
        Node::String(text) if (bytes_min..=bytes_max).contains(&text.len()) => Ok(Some(text.as_ref().to_owned())),
        _ => Err(wrong_field(member, &format!("a string of {bytes_min} to {bytes_max} bytes"))),
    }
}

fn event_id(member: &Member<'_>) -> Result<Option<String>, Rejection> {
    let event_id = text(member, 1, 256)?;
    if event_id.as_ref().is_some_and(|text| text.contains(char::is_control)) {
        return Err(wrong_field(member, "a string without control characters"));
    }
    Ok(event_id)
}

fn schema_version(member: &Member<'_>) -> Result<Option<i64>, Rejection> {
    let expected = "an integer";
    match &member.value {
        Node::Null => Ok(None),
        Node::Number(number) => json::integer(number).map(Some).ok_or_else(|| wrong_field(member, expected)),
        _ => Err(wrong_field(member, expected)),
    }
}

fn occurred_at(member: &Member<'_>) -> Result<Option<OffsetDateTime>, Rejection> {
    let Some(text) = text(member, 0, 256)? else { return Ok(None) };
    let parsed = OffsetDateTime::parse(&text, &Rfc3339).ok().and_then(|time| time.checked_to_offset(UtcOffset::UTC));
    match parsed.filter(|time| (1..=9999).contains(&time.year())) {
        Some(time) => Ok(Some(time)),
        None => Err(wrong_field(member, "a time as RFC 3339 writes it, 2026-11-30T12:00:00Z, from year 1 to 9999")),
    }
}

fn pointer(member: &Member<'_>) -> String {
    format!("/{}", member.name)
}

fn wrong_field(member: &Member<'_>, expected: &str) -> Rejection {
    reject(Reason::InvalidEnvelope, "envelope", &pointer(member), expected, member.value.type_name())
}

fn from_defect(defect: Defect, body: &[u8]) -> Rejection {
    let (reason, expected) = match defect.kind {
        DefectKind::Malformed(what) => (Reason::MalformedJson, format!("JSON in UTF-8, yet: {what}")),
        DefectKind::TooDeep => (Reason::TooDeep, format!("at most {} levels of nesting", json::DEPTH_MAX)),
        DefectKind::DuplicateKey => (Reason::DuplicateKey, "each key once in its object".to_owned()),
        DefectKind::NumberOutOfRange => {
            (Reason::NumberOutOfRange, format!("numbers of at most {} digits, within a double's range", json::NUMBER_DIGITS_MAX))
        }
        DefectKind::Unstorable => (Reason::Unstorable, "strings without \\u0000 and lone surrogates".to_owned()),
    };
    let line = body[..defect.position].split(|byte| *byte == b'\n').count();
    let expected = format!("{expected} (met at byte {}, line {line})", defect.position);
    reject(reason, "json", "", &expected, "text")
}

fn reject(reason: Reason, keyword: &str, instance_location: &str, expected: &str, found: &str) -> Rejection {
    let violation = Violation {
        keyword: keyword.to_owned(),
        instance_location: instance_location.to_owned(),
        schema_location: format!("{keyword}#{instance_location}"),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    Rejection::new(reason, violation)
}

/// `message.attributes`: what came along and has no column of its own.
#[derive(Serialize)]
struct Attributes<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: &'a BTreeMap<String, MessageAttribute>,
}

/// The SQS message's attributes alone, for a body that could not be read.
pub fn message_attributes(message: &ReceivedMessage) -> String {
    attributes(message, &[])
}

fn attributes(message: &ReceivedMessage, others: &[Member<'_>]) -> String {
    // Each span is a value that was read, so it is JSON.
    let raw = |member: &Member<'_>| serde_json::from_slice::<&RawValue>(&message.body[member.span.clone()]).ok();
    let fields = others.iter().filter_map(|member| Some((member.name.as_ref(), raw(member)?))).collect();
    let attributes = Attributes { fields, message_attributes: &message.attributes };
    serde_json::to_string(&attributes).unwrap_or_else(|_| "{}".to_owned())
}

/// The trace that the event belongs to, in W3C's form, from the message's attribute or the body's field of that name.
fn traceparent(message: &ReceivedMessage, others: &[Member<'_>]) -> Option<String> {
    let attribute = message.attributes.get("traceparent").map(|attribute| attribute.value.as_str());
    let field = others.iter().find(|member| member.name == "traceparent").and_then(|member| match &member.value {
        Node::String(text) => Some(text.as_ref()),
        _ => None,
    });
    let is_traceparent = |text: &&str| {
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        lengths == [2, 32, 16, 2] && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
    };
    attribute.or(field).filter(is_traceparent).map(str::to_owned)
}
