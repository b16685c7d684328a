//! 2. Find out what a body says: JSON within the limits, then the fields of the envelope in its queue's format. Nothing is compared with
//! the catalog yet.
//!
//! A body is read from left to right, and the first thing that is wrong with it is the one that is told. Only what gives other members
//! their meaning (SNS's `Type`, a CloudEvent's content type) is looked up before.

mod claim;
mod cloudevents;
mod eventbridge;
mod fields;
mod kept;
mod native;
mod pointer;
mod sns;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use self_cell::self_cell;
use smol_str::SmolStr;

use crate::candidate::Candidate;
use crate::event::{Envelope, Reason, Rejection, Violation};
use crate::json::{self, Defect, DefectKind, Member, Node};
use crate::settings::Format;
use kept::{Kept, attributes, traceparent};
pub use kept::{message_attributes, message_traceparent};

/// What may surround a payload: other envelope fields and the SQS message's attributes, as they are stored.
pub const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// A body whose envelope is well-formed, with all that is known of it.
#[derive(Debug)]
pub struct Decoded {
    /// In a box, because it is handed on from stage to stage.
    envelope: Box<Envelope>,
    read: Read,
}

self_cell! {
    /// A candidate and the payload that was read from its body, in which it lies.
    struct Read {
        owner: Source,
        #[covariant]
        dependent: Payload,
    }

    impl {Debug}
}

/// What a payload is read from.
#[derive(Debug)]
struct Source {
    candidate: Arc<Candidate>,
    unwrapped: Unwrapped,
}

#[derive(Debug)]
struct Payload<'body>(Node<'body>);

/// Room for the texts that a body carries in a string, unescaped: a payload in one of them is borrowed from here. Two levels and no more.
#[derive(Debug, Default)]
struct Unwrapped {
    /// What SNS delivers.
    message: OnceLock<String>,
    /// What a CloudEvent has in base64.
    data: OnceLock<String>,
}

impl Decoded {
    /// The fields around the payload.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The fields around the payload, which itself is done with.
    pub fn into_envelope(self) -> Box<Envelope> {
        self.envelope
    }

    /// What was decoded.
    pub fn candidate(&self) -> &Arc<Candidate> {
        &self.read.borrow_owner().candidate
    }

    /// The payload.
    pub fn payload(&self) -> &Node<'_> {
        &self.read.borrow_dependent().0
    }
}

/// What a format finds in a text.
struct Found<'text> {
    /// Its id is empty where the text has none. Attributes and trace are still to come.
    envelope: Envelope,
    payload: Node<'text>,
    /// The event's members that have no column.
    others: Kept<'text>,
    /// The members of the SNS notification around it.
    notification: Kept<'text>,
}

/// Reads a candidate's body.
///
/// # Errors
/// The first thing that is wrong with it: size, then whatever a reader from left to right meets first.
pub fn decode(candidate: Arc<Candidate>, body_bytes_max: usize) -> Result<Decoded, Rejection> {
    let mut envelope = None;
    let read = Read::try_new(Source { candidate, unwrapped: Unwrapped::default() }, |source| {
        let (found, payload) = read(source, body_bytes_max)?;
        envelope = Some(found);
        Ok(Payload(payload))
    })?;
    // Whatever has a payload was given an envelope.
    Ok(Decoded { envelope: envelope.unwrap_or_default(), read })
}

fn read(source: &Source, body_bytes_max: usize) -> Result<(Box<Envelope>, Node<'_>), Rejection> {
    let Source { candidate, unwrapped } = source;
    let body = &candidate.body;
    if body.len() > body_bytes_max {
        return Err(reject(Reason::TooLarge, "json", "", &format!("a body of at most {body_bytes_max} bytes"), "larger body"));
    }
    let of_sender = candidate.attributes.iter().flat_map(|(name, attribute)| [name, &attribute.data_type, &attribute.value]);
    if of_sender.chain(candidate.system_attributes.values()).any(|text| text.contains('\0')) {
        return Err(reject(Reason::Unstorable, "message_attributes", "", "attributes without NUL characters", "string"));
    }
    let found = match candidate.queue.format {
        Format::Native => object(body).and_then(|members| native::read(body, members)),
        Format::CloudEvents => cloudevents::read(candidate, &unwrapped.data),
        Format::Sns => object(body).and_then(|members| sns::read(body, members, unwrapped)),
        Format::EventBridge => object(body).and_then(|members| eventbridge::read(body, members)),
    };
    let Found { envelope, payload, others, notification } =
        found.map_err(|rejection| Rejection { claimed_tenant: claim::tenant(candidate), ..rejection })?;
    let mut envelope = Box::new(envelope);
    if envelope.event_id.is_empty() {
        envelope.event_id = SmolStr::new(&candidate.message_id);
    }
    envelope.traceparent = traceparent(candidate, &others, &notification);
    envelope.attributes = attributes(candidate, &others, &notification).into();
    if envelope.attributes.len() > ATTRIBUTES_BYTES_MAX {
        let expected = format!("other fields and message attributes of at most {ATTRIBUTES_BYTES_MAX} bytes in all");
        return Err(Rejection { envelope: Some(envelope), ..reject(Reason::TooLarge, "envelope", "", &expected, "object") });
    }
    Ok((envelope, payload))
}

/// A text as the JSON value that it must be.
fn value(text: &[u8]) -> Result<Node<'_>, Rejection> {
    json::read(text).map_err(|defect| from_defect(defect, text))
}

/// A text as the JSON object that it must be, and not a pointer to one.
fn object(text: &[u8]) -> Result<Vec<Member<'_>>, Rejection> {
    match value(text)? {
        node if pointer::is_pointer(&node) => Err(pointer::refusal()),
        Node::Object(members) => Ok(members),
        other => Err(reject(Reason::InvalidEnvelope, "envelope", "", "an object", other.type_name())),
    }
}

fn from_defect(defect: Defect, text: &[u8]) -> Rejection {
    if let Some(encoding) = json::encoding(text).filter(|_| matches!(defect.kind, DefectKind::Malformed(_))) {
        return reject(Reason::MalformedJson, "json", "", &format!("JSON in UTF-8, yet {encoding}"), "text");
    }
    let (reason, expected) = match defect.kind {
        DefectKind::Malformed(what) => (Reason::MalformedJson, format!("JSON in UTF-8, yet: {what}")),
        DefectKind::TooDeep => (Reason::TooDeep, format!("at most {} levels of nesting", json::DEPTH_MAX)),
        DefectKind::DuplicateKey => (Reason::DuplicateKey, "each key once in its object".to_owned()),
        DefectKind::NumberOutOfRange => {
            (Reason::NumberOutOfRange, format!("numbers of at most {} digits, within a double's range", json::NUMBER_DIGITS_MAX))
        }
        DefectKind::Unstorable => (Reason::Unstorable, "strings without \\u0000 and lone surrogates".to_owned()),
    };
    let line = text[..defect.position].split(|byte| *byte == b'\n').count();
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

/// What is wrong with the text in a member's string, as what is wrong with the body.
fn within(member: &str, mut rejection: Rejection) -> Rejection {
    for violation in &mut rejection.violations {
        violation.instance_location = format!("/{member}{}", violation.instance_location);
        violation.schema_location = format!("{}#{}", violation.keyword, violation.instance_location);
    }
    rejection
}
