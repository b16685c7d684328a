//! 4. Check the event against what its tenant has declared: type, version, client, and the payload against its schema.

use std::sync::Arc;
use std::time::Instant;

use crate::admit::admit;
use crate::decode::{Unwrapped, decode};
use crate::event::{ClientId, Envelope, Reason, Rejection, TenantId, Violation};
use crate::fault;
use crate::json::Node;
use crate::queue::ReceivedMessage;
use crate::schema::BUDGET;
use crate::snapshot::{EventType, Schema, Snapshot, Standing, Tenant};

/// An event that its tenant's catalog accepts; only this module makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidEvent {
    envelope: Box<Envelope>,
    tenant_id: TenantId,
    schema_version: i32,
    recipients: Arc<Vec<ClientId>>,
}

impl ValidEvent {
    /// The fields around the payload.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Whose event it is.
    pub fn tenant_id(&self) -> &TenantId {
        &self.tenant_id
    }

    /// The version whose schema the payload satisfies.
    pub fn schema_version(&self) -> i32 {
        self.schema_version
    }

    /// Who gets it: the client that it names, else the type's subscribers.
    pub fn recipients(&self) -> &[ClientId] {
        &self.recipients
    }
}

/// What is to be stored: an event, or a dead letter. Both settle the message.
pub type Verdict = Result<ValidEvent, Rejection>;

/// Why an event has no verdict: by no fault of its own. It comes again.
#[derive(Debug, thiserror::Error)]
pub enum Unjudged {
    /// Its published schema cannot be compiled.
    #[error(
        "the schema of {event_type} version {schema_version} of tenant {tenant_id} cannot be used: {problem}; publish a new version by `processor catalog apply`"
    )]
    SchemaUnusable {
        /// Whose schema.
        tenant_id: TenantId,
        /// Of which event type.
        event_type: String,
        /// And version.
        schema_version: i32,
        /// What the compiler says.
        problem: String,
    },
    /// Another event has taken long under its schema, and is not done yet.
    #[error("its schema is in doubt")]
    SchemaInDoubt,
    /// Another event took too long under its schema.
    #[error("its schema is set aside")]
    SchemaSetAside(Instant),
}

/// Body to verdict: decode, admit, validate. `begin` is told the schema, and how it stood, before the
/// payload is held against it.
///
/// # Errors
/// When the event's schema cannot be used now.
pub fn judge(
    message: &ReceivedMessage,
    snapshot: &Snapshot,
    body_bytes_max: usize,
    begin: impl FnOnce(&Arc<Schema>, Standing),
) -> Result<Verdict, Unjudged> {
    let mut unwrapped = Unwrapped::default();
    let decoded = match decode(message, body_bytes_max, &mut unwrapped) {
        Ok(decoded) => decoded,
        Err(rejection) => return Ok(Err(rejection)),
    };
    match admit(&decoded.envelope, message, snapshot) {
        Ok(tenant) => validate(decoded.envelope, &decoded.payload, tenant, begin),
        Err(rejection) => Ok(Err(rejection)),
    }
}

/// The rejection of an event that could not be judged in time; where it is wrong before its payload, that. Nothing is validated.
pub fn reject_for_time(message: &ReceivedMessage, snapshot: &Snapshot, body_bytes_max: usize) -> Rejection {
    let mut unwrapped = Unwrapped::default();
    let decoded = match decode(message, body_bytes_max, &mut unwrapped) {
        Ok(decoded) => decoded,
        Err(rejection) => return rejection,
    };
    let expected = "a payload that is judged within seconds, by a schema under which others are";
    match admit(&decoded.envelope, message, snapshot) {
        Ok(tenant) => of_event(unended(Reason::ValidationTimeout, expected), decoded.envelope, tenant),
        Err(rejection) => rejection,
    }
}

/// The rejection of an event that may end the process that looks at it: so nothing looks at it.
pub fn reject_unread() -> Rejection {
    unended(Reason::ReceivedTooOften, "an event that ends once it was begun; three times it did not")
}

fn unended(reason: Reason, expected: &str) -> Rejection {
    let violation = Violation {
        keyword: BUDGET.to_owned(),
        instance_location: String::new(),
        schema_location: String::new(),
        expected: expected.to_owned(),
        found: "event".to_owned(),
    };
    Rejection::new(reason, violation)
}

fn validate(
    envelope: Box<Envelope>,
    payload: &Node<'_>,
    tenant: &Tenant,
    begin: impl FnOnce(&Arc<Schema>, Standing),
) -> Result<Verdict, Unjudged> {
    let declared = match find_declared(&envelope, tenant) {
        Ok(declared) => declared,
        Err(rejection) => return Ok(Err(of_event(rejection, envelope, tenant))),
    };
    match declared.schema.begin() {
        standing @ (Standing::Fit | Standing::Watched) => begin(declared.schema, standing),
        Standing::InDoubt => return Err(Unjudged::SchemaInDoubt),
        Standing::SetAside(until) => return Err(Unjudged::SchemaSetAside(until)),
    }
    let compiled = declared.schema.compiled().map_err(|problem| Unjudged::SchemaUnusable {
        tenant_id: tenant.tenant_id.clone(),
        event_type: envelope.event_type.to_string(),
        schema_version: declared.schema_version,
        problem: problem.to_owned(),
    })?;
    let violations = compiled.violations(payload);
    if let Some(first) = violations.first() {
        let is_out_of_steps = first.keyword == BUDGET;
        let reason = if is_out_of_steps { Reason::ValidationTimeout } else { Reason::SchemaViolation };
        let rejection = Rejection { reason, violations, envelope: None, claimed_tenant: None, admitted: None };
        return Ok(Err(of_event(rejection, envelope, tenant)));
    }
    let recipients = match declared.client {
        Some(client_id) => Arc::new(vec![client_id.clone()]),
        None => Arc::clone(&declared.event_type.subscribers),
    };
    let schema_version = declared.schema_version;
    Ok(Ok(ValidEvent { envelope, tenant_id: tenant.tenant_id.clone(), schema_version, recipients }))
}

/// What the catalog has under the names in the envelope.
struct Declared<'a> {
    event_type: &'a EventType,
    schema_version: i32,
    schema: &'a Arc<Schema>,
    client: Option<&'a ClientId>,
}

fn find_declared<'a>(envelope: &Envelope, tenant: &'a Tenant) -> Result<Declared<'a>, Rejection> {
    let event_type = tenant
        .event_type(&envelope.event_type)
        .ok_or_else(|| unknown(Reason::UnknownEventType, "/event_type", "tenant.toml", "an event type of the tenant", "string"))?;
    let named = envelope.schema_version.filter(|_| !fault::has_bug("wrong_schema_version"));
    let (schema_version, schema) = event_type.version(named).ok_or_else(|| {
        let directory = format!("{}/", envelope.event_type);
        unknown(Reason::UnknownSchemaVersion, "/schema_version", &directory, "a published version of the event type", "integer")
    })?;
    let client = match &envelope.client_id {
        None => None,
        Some(client_id) => Some(
            tenant
                .client(client_id)
                .ok_or_else(|| unknown(Reason::UnknownClient, "/client_id", "tenant.toml#/clients", "a client of the tenant", "string"))?,
        ),
    };
    Ok(Declared { event_type, schema_version, schema, client })
}

fn unknown(reason: Reason, instance_location: &str, schema_location: &str, expected: &str, found: &str) -> Rejection {
    let violation = Violation {
        keyword: "catalog".to_owned(),
        instance_location: instance_location.to_owned(),
        schema_location: schema_location.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    };
    Rejection::new(reason, violation)
}

/// The rejection of an event that was admitted, with all that is known of it.
fn of_event(rejection: Rejection, envelope: Box<Envelope>, tenant: &Tenant) -> Rejection {
    Rejection { envelope: Some(envelope), admitted: Some(tenant.tenant_id.clone()), ..rejection }
}
