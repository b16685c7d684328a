//! The ways in which a producer can be wrong.

use super::long_string;
use crate::decode::ATTRIBUTES_BYTES_MAX;
use crate::event::Reason;
use crate::json::DEPTH_MAX;
use crate::producers::body::{Fields, quote};
use crate::producers::material::EventKind;
use crate::queue::QueueBinding;

/// A name that no catalog has.
const NOBODY: &str = "producers-know-nobody-of-this-name";

/// One way to be wrong. There is one for each reason that a body can cause on a queue; what remains is the sender's identity
/// (`unauthorized_sender`) and schemas that take too long (`validation_timeout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    TooDeep,
    MalformedJson,
    DuplicateKey,
    NumberOutOfRange,
    Unstorable,
    PayloadByReference,
    InvalidEnvelope,
    EnvelopeMismatch,
    UnknownTenant,
    TenantMismatch,
    UnknownEventType,
    UnknownSchemaVersion,
    UnknownClient,
    SchemaViolation,
    IdConflict,
}

/// The faults that are possible on a queue with these event types.
pub(super) fn possible(kinds: &[EventKind], binding: &QueueBinding) -> Vec<Fault> {
    let tenant = if binding.tenant.is_some() { Fault::TenantMismatch } else { Fault::UnknownTenant };
    let mut faults = vec![
        Fault::TooLarge,
        Fault::TooDeep,
        Fault::MalformedJson,
        Fault::DuplicateKey,
        Fault::NumberOutOfRange,
        Fault::Unstorable,
        Fault::PayloadByReference,
        Fault::InvalidEnvelope,
        Fault::EnvelopeMismatch,
        tenant,
        Fault::UnknownEventType,
        Fault::UnknownSchemaVersion,
        Fault::UnknownClient,
    ];
    if kinds.iter().any(|kind| !kind.invalid.is_empty()) {
        faults.push(Fault::SchemaViolation);
    }
    faults.push(Fault::IdConflict);
    faults
}

impl Fault {
    /// The reason of the dead letter that it must become.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::TooLarge,
            Self::TooDeep => Reason::TooDeep,
            Self::MalformedJson => Reason::MalformedJson,
            Self::DuplicateKey => Reason::DuplicateKey,
            Self::NumberOutOfRange => Reason::NumberOutOfRange,
            Self::Unstorable => Reason::Unstorable,
            Self::PayloadByReference => Reason::PayloadByReference,
            Self::InvalidEnvelope => Reason::InvalidEnvelope,
            Self::EnvelopeMismatch => Reason::EnvelopeMismatch,
            Self::UnknownTenant => Reason::UnknownTenant,
            Self::TenantMismatch => Reason::TenantMismatch,
            Self::UnknownEventType => Reason::UnknownEventType,
            Self::UnknownSchemaVersion => Reason::UnknownSchemaVersion,
            Self::UnknownClient => Reason::UnknownClient,
            Self::SchemaViolation => Reason::SchemaViolation,
            Self::IdConflict => Reason::IdConflict,
        }
    }

    /// Spoils the fields of a valid event; gives its body. A schema is broken by the payload and an id by its second use, not here.
    pub(super) fn commit(self, fields: &mut Fields) -> String {
        match self {
            // A body above BODY_BYTES_MAX would be refused by SQS already; what surrounds the payload has a limit of its own.
            Self::TooLarge => fields.others.push(("note", long_string(ATTRIBUTES_BYTES_MAX + 1))),
            Self::TooDeep => fields.payload_text = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)),
            Self::MalformedJson => return fields.write().trim_end_matches('}').to_owned(),
            Self::DuplicateKey => fields.others.push(("source", quote(&fields.source))),
            Self::NumberOutOfRange => "1e999".clone_into(&mut fields.payload_text),
            Self::Unstorable => "\"\\u0000\"".clone_into(&mut fields.payload_text),
            Self::PayloadByReference => {
                let key = quote(&fields.event_id);
                let bucket = quote(&fields.source);
                return format!(r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{{"s3BucketName":{bucket},"s3Key":{key}}}]"#);
            }
            Self::InvalidEnvelope => fields.event_type = None,
            Self::EnvelopeMismatch => fields.others.push(("message", fields.payload_text.clone())),
            Self::UnknownTenant | Self::TenantMismatch => fields.tenant_id = Some(NOBODY.to_owned()),
            Self::UnknownEventType => fields.event_type = Some(NOBODY.to_owned()),
            Self::UnknownSchemaVersion => fields.schema_version = Some(i64::from(i32::MAX)),
            Self::UnknownClient => fields.client_id = Some(NOBODY.to_owned()),
            Self::SchemaViolation | Self::IdConflict => {}
        }
        fields.write()
    }
}
