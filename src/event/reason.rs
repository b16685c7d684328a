//! Why an event is a dead letter, and who can mend it.

use std::fmt;

/// Why an event is a dead letter. The texts are a contract: they stand in `dead_letter.reason` and in a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The body is larger than the limit, or what surrounds the payload is.
    TooLarge,
    /// Nested more than 64 levels.
    TooDeep,
    /// Not JSON in UTF-8.
    MalformedJson,
    /// A key twice in an object.
    DuplicateKey,
    /// A number of more than 64 digits, or beyond a double.
    NumberOutOfRange,
    /// Text that Postgres cannot hold, or a row that it refused.
    Unstorable,
    /// A pointer to a payload elsewhere.
    PayloadByReference,
    /// Data that are not JSON, by what is said of them.
    UnsupportedContentType,
    /// Not an object, not in the queue's format, or a field missing, empty, too long or of the wrong type.
    InvalidEnvelope,
    /// Fields that contradict each other.
    EnvelopeMismatch,
    /// No tenant given on a shared queue, or one that the catalog does not have.
    UnknownTenant,
    /// Not the tenant that the queue is bound to.
    TenantMismatch,
    /// The sender may not write for the tenant.
    UnauthorizedSender,
    /// Not an active event type of the tenant.
    UnknownEventType,
    /// Not an active version of the event type.
    UnknownSchemaVersion,
    /// Not an active client of the tenant.
    UnknownClient,
    /// The payload breaks its schema.
    SchemaViolation,
    /// Validating the payload took more steps or time than one event may.
    ValidationTimeout,
    /// It was begun three times and never ended: perhaps it ends the process that validates it.
    ReceivedTooOften,
    /// The identity is stored with another type, client or payload.
    IdConflict,
}

impl Reason {
    /// All reasons, in the order in which the path meets them.
    pub const ALL: [Self; 20] = [
        Self::TooLarge,
        Self::TooDeep,
        Self::MalformedJson,
        Self::DuplicateKey,
        Self::NumberOutOfRange,
        Self::Unstorable,
        Self::PayloadByReference,
        Self::UnsupportedContentType,
        Self::InvalidEnvelope,
        Self::EnvelopeMismatch,
        Self::UnknownTenant,
        Self::TenantMismatch,
        Self::UnauthorizedSender,
        Self::UnknownEventType,
        Self::UnknownSchemaVersion,
        Self::UnknownClient,
        Self::SchemaViolation,
        Self::ValidationTimeout,
        Self::ReceivedTooOften,
        Self::IdConflict,
    ];

    /// The reason as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::MalformedJson => "malformed_json",
            Self::DuplicateKey => "duplicate_key",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::Unstorable => "unstorable",
            Self::PayloadByReference => "payload_by_reference",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::InvalidEnvelope => "invalid_envelope",
            Self::EnvelopeMismatch => "envelope_mismatch",
            Self::UnknownTenant => "unknown_tenant",
            Self::TenantMismatch => "tenant_mismatch",
            Self::UnauthorizedSender => "unauthorized_sender",
            Self::UnknownEventType => "unknown_event_type",
            Self::UnknownSchemaVersion => "unknown_schema_version",
            Self::UnknownClient => "unknown_client",
            Self::SchemaViolation => "schema_violation",
            Self::ValidationTimeout => "validation_timeout",
            Self::ReceivedTooOften => "received_too_often",
            Self::IdConflict => "id_conflict",
        }
    }

    /// What it means and who can mend it, for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::TooLarge => "The body, or what surrounds the payload, is larger than allowed. The producer must send less.",
            Self::TooDeep => "The JSON nests deeper than 64 levels. The producer must send flatter data.",
            Self::MalformedJson => "The body is not JSON in UTF-8. The producer must send a JSON object.",
            Self::DuplicateKey => "An object has a key twice, so that readers would disagree. The producer must send each key once.",
            Self::NumberOutOfRange => "A number has more than 64 digits or no double is near it. The producer can send it as a string.",
            Self::Unstorable => "Text that Postgres cannot hold (\\u0000, a lone surrogate), or a row that it refused.",
            Self::PayloadByReference => {
                "The payload was left in S3 and only a pointer to it sent. The producer must send the payload itself."
            }
            Self::UnsupportedContentType => "The data are not JSON, by the content type beside them. The producer must send JSON.",
            Self::InvalidEnvelope => {
                "It is not in the queue's format, or a field of the envelope is missing, empty, too long or of the wrong type. Mend the producer, or the queue's `format`."
            }
            Self::EnvelopeMismatch => "Fields of the envelope contradict each other. The producer must send one of them.",
            Self::UnknownTenant => {
                "No tenant was named on a shared queue, or the catalog has none of that name. Apply the tenant, or mend the producer."
            }
            Self::TenantMismatch => {
                "The body names another tenant than the queue is bound to. The producer uses the wrong queue or the wrong tenant."
            }
            Self::UnauthorizedSender => {
                "The sender is not among the tenant's `allowed_senders`. Add its unique id there if it may write for the tenant."
            }
            Self::UnknownEventType => {
                "The tenant has not declared this event type. Add it to the tenant's directory and apply, or mend the producer."
            }
            Self::UnknownSchemaVersion => "The event type has no such version. Publish it, or mend the producer.",
            Self::UnknownClient => "The tenant has no such client. Declare it in tenant.toml and apply, or mend the producer.",
            Self::SchemaViolation => "The payload breaks its schema. Mend the producer, or publish a version that allows it.",
            Self::ValidationTimeout => {
                "Checking the payload against its schema takes more steps or time than one event may. Simplify the schema in a new version, or send less."
            }
            Self::ReceivedTooOften => {
                "A process began this event three times and never ended it; perhaps it ends the process. Validate its body by `processor validate`."
            }
            Self::IdConflict => {
                "An event with this id is stored already, with another type, client or payload. The producer must not reuse ids."
            }
        }
    }

    /// Whether a newer catalog might validate otherwise: such a verdict is final only under the newest generation.
    pub fn depends_on_catalog(self) -> bool {
        matches!(
            self,
            Self::UnknownTenant
                | Self::UnauthorizedSender
                | Self::UnknownEventType
                | Self::UnknownSchemaVersion
                | Self::UnknownClient
                | Self::SchemaViolation
                | Self::ValidationTimeout
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
