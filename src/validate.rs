//! 4. Check the event against what its tenant has declared: type, version, client, and the payload against its schema. All of it is pure:
//! who gives it a thread, and for how long, is the matter of [`crate::validation`].

use std::sync::Arc;

use smol_str::SmolStr;

use crate::admit::{Admitted, admit};
use crate::candidate::Candidate;
use crate::decode::decode;
use crate::event::{ClientId, Envelope, Reason, Rejection, TenantId, Violation};
use crate::schema::BUDGET;
use crate::snapshot::{EventType, Schema, Snapshot, Tenant};

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

/// A published schema cannot be compiled, so that an event of its type has no verdict, by no fault of its own.
#[derive(Debug, thiserror::Error)]
#[error("the schema of {key} cannot be used: {problem}; publish a new version by `processor catalog apply`")]
pub struct SchemaUnusable {
    /// Whose, of which type and version.
    pub key: SchemaKey,
    /// What the compiler says.
    pub problem: String,
}

/// A version of one tenant's event type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaKey {
    tenant_id: TenantId,
    event_type: SmolStr,
    schema_version: i32,
}

impl SchemaKey {
    /// The version of a tenant's event type.
    pub fn new(tenant_id: &str, event_type: &str, schema_version: i32) -> Self {
        Self { tenant_id: TenantId::new(tenant_id), event_type: event_type.into(), schema_version }
    }
}

impl std::fmt::Display for SchemaKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} version {} of tenant {}", self.event_type, self.schema_version, self.tenant_id)
    }
}

/// An event of which all is known but whether its payload satisfies its schema.
#[derive(Debug)]
pub struct Declared {
    admitted: Admitted,
    schema_version: i32,
    schema: Arc<Schema>,
    recipients: Arc<Vec<ClientId>>,
}

impl Declared {
    /// Finds what the catalog has under the names in the envelope.
    ///
    /// # Errors
    /// `unknown_event_type`, `unknown_schema_version` or `unknown_client`.
    pub fn find(admitted: Admitted) -> Result<Self, Rejection> {
        let found = find_declared(admitted.decoded.envelope(), admitted.tenant());
        match found {
            Ok((schema_version, schema, recipients)) => Ok(Self { admitted, schema_version, schema, recipients }),
            Err(rejection) => Err(of_event(rejection, admitted)),
        }
    }

    /// Which schema its payload is held against.
    pub fn schema_key(&self) -> SchemaKey {
        let event_type = self.admitted.decoded.envelope().event_type.clone();
        SchemaKey { tenant_id: self.admitted.tenant().tenant_id.clone(), event_type, schema_version: self.schema_version }
    }

    /// Whose it is.
    pub fn tenant(&self) -> &Arc<Tenant> {
        self.admitted.tenant()
    }

    /// The fields around the payload.
    pub fn envelope(&self) -> &Envelope {
        self.admitted.decoded.envelope()
    }

    /// What it was decoded from.
    pub fn candidate(&self) -> &Arc<Candidate> {
        self.admitted.decoded.candidate()
    }

    /// Holds the payload against its schema.
    ///
    /// # Errors
    /// When the schema cannot be used.
    pub fn validate(self) -> Result<Verdict, SchemaUnusable> {
        let compiled = match self.schema.compiled() {
            Ok(compiled) => compiled,
            Err(problem) => return Err(SchemaUnusable { key: self.schema_key(), problem }),
        };
        let violations = compiled.violations(self.admitted.decoded.payload());
        if let Some(first) = violations.first() {
            let is_out_of_steps = first.keyword == BUDGET;
            let reason = if is_out_of_steps { Reason::ValidationTimeout } else { Reason::SchemaViolation };
            let rejection = Rejection { reason, violations, envelope: None, claimed_tenant: None, admitted: None };
            return Ok(Err(of_event(rejection, self.admitted)));
        }
        let Self { admitted, schema_version, recipients, .. } = self;
        let tenant_id = admitted.tenant().tenant_id.clone();
        Ok(Ok(ValidEvent { envelope: admitted.decoded.into_envelope(), tenant_id, schema_version, recipients }))
    }
}

/// Body to event of which only the payload is left to be checked.
///
/// # Errors
/// What is wrong with it before.
pub fn prepare(candidate: Arc<Candidate>, snapshot: &Snapshot, body_bytes_max: usize) -> Result<Declared, Rejection> {
    let decoded = decode(candidate, body_bytes_max)?;
    Declared::find(admit(decoded, snapshot)?)
}

/// Body to verdict, on this thread.
///
/// # Errors
/// When the event's schema cannot be used.
pub fn validate(candidate: Arc<Candidate>, snapshot: &Snapshot, body_bytes_max: usize) -> Result<Verdict, SchemaUnusable> {
    match prepare(candidate, snapshot, body_bytes_max) {
        Ok(declared) => declared.validate(),
        Err(rejection) => Ok(Err(rejection)),
    }
}

/// The rejection of an event that could not be validated in time; where it is wrong before its payload, that. Nothing is validated.
pub fn reject_for_time(candidate: Arc<Candidate>, snapshot: &Snapshot, body_bytes_max: usize) -> Rejection {
    let expected = "a payload that is validated within seconds, by a schema under which others are";
    match prepare(candidate, snapshot, body_bytes_max) {
        Ok(declared) => of_event(unended(Reason::ValidationTimeout, expected), declared.admitted),
        Err(rejection) => rejection,
    }
}

/// The rejection of an event that may end the process that reads it: so nothing reads it.
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

/// Version, schema and recipients under the names in the envelope.
type Found = (i32, Arc<Schema>, Arc<Vec<ClientId>>);

fn find_declared(envelope: &Envelope, tenant: &Tenant) -> Result<Found, Rejection> {
    let event_type: &EventType = tenant
        .event_type(&envelope.event_type)
        .ok_or_else(|| unknown(Reason::UnknownEventType, "/event_type", "tenant.toml", "an event type of the tenant", "string"))?;
    let (schema_version, schema) = event_type.version(envelope.schema_version).ok_or_else(|| {
        let directory = format!("{}/", envelope.event_type);
        unknown(Reason::UnknownSchemaVersion, "/schema_version", &directory, "a published version of the event type", "integer")
    })?;
    let recipients = match &envelope.client_id {
        None => Arc::clone(&event_type.subscribers),
        Some(client_id) => {
            let client_id = tenant.client(client_id);
            let unknown = || unknown(Reason::UnknownClient, "/client_id", "tenant.toml#/clients", "a client of the tenant", "string");
            Arc::new(vec![client_id.ok_or_else(unknown)?.clone()])
        }
    };
    Ok((schema_version, Arc::clone(schema), recipients))
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
fn of_event(rejection: Rejection, admitted: Admitted) -> Rejection {
    let tenant_id = admitted.tenant().tenant_id.clone();
    Rejection { envelope: Some(admitted.decoded.into_envelope()), admitted: Some(tenant_id), ..rejection }
}
