//! The words that every stage shares: ids, the fields of an event, the reasons for which one is rejected.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use smol_str::SmolStr;
use time::OffsetDateTime;

use crate::json;

mod reason;
mod trace_context;
mod violation;

pub use reason::Reason;
pub use trace_context::TraceContext;
pub use violation::{VIOLATIONS_MAX, Violation};

/// Declares a name of the catalog as a type of its own, cheap to clone.
macro_rules! catalog_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name as it stands in the catalog; whoever declares one there has checked its form.
            pub fn new(name: &str) -> Self {
                Self(name.into())
            }

            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

catalog_name! {
    /// A customer of the platform: `[a-z0-9][a-z0-9._-]{0,99}`.
    TenantId
}
catalog_name! {
    /// One of a tenant's recipients: `[a-z0-9][a-z0-9._-]{0,99}`.
    ClientId
}

/// Whether a text has the form of a tenant's or client's name, `[a-z0-9][a-z0-9._-]{0,99}`.
pub fn is_name(text: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 100
        && text.as_bytes().first().is_some_and(is_first)
        && text.bytes().all(|byte| is_first(&byte) || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether a text has the form of an event type's name: 1-128 printable ASCII characters.
pub fn is_event_type(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// What an event is identified by within its tenant's source. Compared byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity<'a> {
    /// Whose event it is.
    pub tenant_id: &'a str,
    /// The producing application; may be empty.
    pub source: &'a str,
    /// The producer's idempotency key, or the SQS message id where it gave none.
    pub event_id: &'a str,
}

/// Where a payload's text is. It is stored as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadText {
    /// In the body, from this byte to that.
    InBody(Range<usize>),
    /// In no body as it stands: the body has it in a string, escaped or in base64.
    Unwrapped(String),
}

impl PayloadText {
    /// The text, given the body that it was found in.
    pub fn of<'a>(&'a self, body: &'a [u8]) -> &'a str {
        match self {
            // The body was read as UTF-8, and a value begins and ends between characters.
            Self::InBody(range) => std::str::from_utf8(&body[range.clone()]).unwrap_or_default(),
            Self::Unwrapped(text) => text,
        }
    }
}

impl Default for PayloadText {
    fn default() -> Self {
        Self::InBody(0..0)
    }
}

/// The fields around a payload, each well-formed, none yet compared with the catalog.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Envelope {
    /// The tenant that the body names.
    pub tenant_id: Option<SmolStr>,
    /// The producing application; empty where the body names none.
    pub source: SmolStr,
    /// The idempotency key; the SQS message id where the body has none.
    pub event_id: SmolStr,
    /// What kind of event it is.
    pub event_type: SmolStr,
    /// The schema's version, where the body names one.
    pub schema_version: Option<i64>,
    /// The recipient, where the body names one.
    pub client_id: Option<SmolStr>,
    /// Whom or what the event concerns.
    pub subject: Option<SmolStr>,
    /// The producer's claim of when it happened, in UTC.
    pub occurred_at: Option<OffsetDateTime>,
    /// Where the payload is.
    pub payload: PayloadText,
    /// What else came along, as a JSON object: other fields and the SQS message's attributes.
    pub attributes: SmolStr,
    /// The trace that the event belongs to, in W3C's form.
    pub traceparent: Option<SmolStr>,
}

/// The verdict on an event that is not stored: why, and how far it came. A value like any other: it is stored, as a dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// What exactly is wrong; at most [`VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// The fields of the envelope, where it could be read.
    pub envelope: Option<Box<Envelope>>,
    /// The tenant that the body names, where the envelope could not be read: nobody has proven it.
    pub claimed_tenant: Option<SmolStr>,
    /// The tenant, from the moment on when it is known and the sender may write for it.
    pub admitted: Option<TenantId>,
}

impl Rejection {
    /// A rejection of a body whose envelope is not known.
    pub fn new(reason: Reason, violation: Violation) -> Self {
        Self { reason, violations: vec![violation], envelope: None, claimed_tenant: None, admitted: None }
    }
}

impl Envelope {
    /// What two events of one identity have in common where they are equal: type, client and payload, this by its value.
    pub fn content_digest(&self, body: &[u8]) -> [u8; 32] {
        let payload = json::read(self.payload.of(body).as_bytes()).map(|node| json::canonical(&node)).unwrap_or_default();
        let mut digest = Sha256::new();
        for text in [self.event_type.as_str(), self.client_id.as_deref().unwrap_or_default(), payload.as_str()] {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }
}
