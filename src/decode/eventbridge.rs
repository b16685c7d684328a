//! What EventBridge sends to a queue. Its events name no tenant, so the queue must be bound to one.

use super::fields::{EVENT_TYPE_BYTES_MAX, TEXT_BYTES_MAX, constant, event_id, missing, name, time, wrong_field};
use super::{Found, Kept};
use crate::event::{Envelope, PayloadText, Rejection};
use crate::json::{Member, Node};

/// What every event of EventBridge has.
const REQUIRED: [&str; 9] = ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"];

pub(super) fn read<'text>(text_read: &'text [u8], members: Vec<Member<'text>>) -> Result<Found<'text>, Rejection> {
    let mut envelope = Envelope::default();
    let mut payload = Node::Null;
    let mut others = Kept::of(text_read);
    let missing = missing(&members, &REQUIRED);
    for member in members {
        match (member.name.as_ref(), &member.value) {
            ("version", _) => constant(&member, "0")?,
            ("id", _) => envelope.event_id = event_id(&member)?.unwrap_or_default(),
            ("detail-type", _) => envelope.event_type = name(&member, EVENT_TYPE_BYTES_MAX)?.unwrap_or_default(),
            ("source", _) => envelope.source = name(&member, TEXT_BYTES_MAX)?.unwrap_or_default(),
            ("time", _) => envelope.occurred_at = time(&member)?,
            ("detail", Node::Object(_)) => {
                envelope.payload = PayloadText::InBody(member.span);
                payload = member.value;
            }
            ("detail" | "resources" | "account" | "region", Node::Null) => {}
            ("detail", _) => return Err(wrong_field(&member, "an object")),
            ("resources", value) if !matches!(value, Node::Array(_)) => return Err(wrong_field(&member, "an array")),
            ("account" | "region", value) if !matches!(value, Node::String(_)) => return Err(wrong_field(&member, "a string")),
            _ => others.push(member),
        }
    }
    match missing {
        Some(missing) => Err(missing),
        None => Ok(Found { envelope, payload, others, notification: Kept::default() }),
    }
}
