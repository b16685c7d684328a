//! The ways in which a producer can be wrong.

use super::long_string;
use crate::candidate::QueueBinding;
use crate::decode::ATTRIBUTES_BYTES_MAX;
use crate::event::Reason;
use crate::json::DEPTH_MAX;
use crate::producers::body::{Fields, quote};
use crate::producers::material::EventKind;

/// A name that no catalog has.
const NOBODY: &str = "producers-know-nobody-of-this-name";

/// The reasons that a body can cause on a queue with these event types. What remains is the sender's identity (`unauthorized_sender`), data
/// that are not JSON (no native body has them) and schemas that take too long (`validation_timeout`).
pub(super) fn possible(kinds: &[EventKind], binding: &QueueBinding) -> Vec<Reason> {
    let tenant = if binding.tenant.is_some() { Reason::TenantMismatch } else { Reason::UnknownTenant };
    let mut faults = vec![
        Reason::TooLarge,
        Reason::TooDeep,
        Reason::MalformedJson,
        Reason::DuplicateKey,
        Reason::NumberOutOfRange,
        Reason::Unstorable,
        Reason::PayloadByReference,
        Reason::InvalidEnvelope,
        Reason::EnvelopeMismatch,
        tenant,
        Reason::UnknownEventType,
        Reason::UnknownSchemaVersion,
        Reason::UnknownClient,
    ];
    if kinds.iter().any(|kind| !kind.invalid.is_empty()) {
        faults.push(Reason::SchemaViolation);
    }
    faults.push(Reason::IdConflict);
    faults
}

/// Makes a valid event wrong in the way that has this reason; gives its body. A schema is broken by the payload and an id by its second use,
/// not here.
pub(super) fn spoil(fields: &mut Fields, reason: Reason) -> String {
    match reason {
        // A body above BODY_BYTES_MAX would be refused by SQS already; what surrounds the payload has a limit of its own.
        Reason::TooLarge => fields.others.push(("note", long_string(ATTRIBUTES_BYTES_MAX + 1))),
        Reason::TooDeep => fields.payload_text = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)),
        Reason::MalformedJson => return fields.write().trim_end_matches('}').to_owned(),
        Reason::DuplicateKey => fields.others.push(("source", quote(&fields.source))),
        Reason::NumberOutOfRange => "1e999".clone_into(&mut fields.payload_text),
        Reason::Unstorable => "\"\\u0000\"".clone_into(&mut fields.payload_text),
        Reason::PayloadByReference => {
            let key = quote(&fields.event_id);
            let bucket = quote(&fields.source);
            return format!(r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{{"s3BucketName":{bucket},"s3Key":{key}}}]"#);
        }
        Reason::InvalidEnvelope => fields.event_type = None,
        Reason::EnvelopeMismatch => fields.others.push(("message", fields.payload_text.clone())),
        Reason::UnknownTenant | Reason::TenantMismatch => fields.tenant_id = Some(NOBODY.to_owned()),
        Reason::UnknownEventType => fields.event_type = Some(NOBODY.to_owned()),
        Reason::UnknownSchemaVersion => fields.schema_version = Some(i64::from(i32::MAX)),
        Reason::UnknownClient => fields.client_id = Some(NOBODY.to_owned()),
        _ => {}
    }
    fields.write()
}
