//! The processor's own format.

use super::fields::{EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX, event_id, integer, mismatch, missing_field, name, text, time};
use super::{Found, Kept};
use crate::event::{Envelope, PayloadText, Rejection};
use crate::json::Member;

pub(super) fn read<'text>(text_read: &'text [u8], members: Vec<Member<'text>>) -> Result<Found<'text>, Rejection> {
    let mut envelope = Envelope::default();
    let mut payload = None;
    let mut others = Kept::of(text_read);
    for member in members {
        match member.name.as_ref() {
            "tenant_id" => envelope.tenant_id = name(&member, NAME_BYTES_MAX)?,
            "event_id" => envelope.event_id = event_id(&member)?.unwrap_or_default(),
            "source" => envelope.source = text(&member, 0, TEXT_BYTES_MAX)?.unwrap_or_default(),
            "event_type" => envelope.event_type = name(&member, EVENT_TYPE_BYTES_MAX)?.unwrap_or_default(),
            "schema_version" => envelope.schema_version = integer(&member)?,
            "client_id" => envelope.client_id = name(&member, NAME_BYTES_MAX)?,
            "subject" => envelope.subject = text(&member, 0, TEXT_BYTES_MAX)?,
            "occurred_at" => envelope.occurred_at = time(&member)?,
            "payload" | "message" if payload.is_some() => {
                return Err(mismatch(&member, "either `payload` or its old name `message`, not both"));
            }
            "payload" | "message" => {
                envelope.payload = PayloadText::InBody(member.span);
                payload = Some(member.value);
            }
            _ => others.push(member),
        }
    }
    if envelope.event_type.is_empty() {
        return Err(missing_field("event_type"));
    }
    let payload = payload.ok_or_else(|| missing_field("payload"))?;
    Ok(Found { envelope, payload, others, notification: Kept::default() })
}
