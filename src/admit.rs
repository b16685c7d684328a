//! 3. Whose event is it, and may whoever sent it write for that tenant?

use std::sync::Arc;

use crate::candidate::Candidate;
use crate::decode::Decoded;
use crate::event::{Envelope, Reason, Rejection, TenantId, Violation};
use crate::settings::Format;
use crate::snapshot::{Snapshot, Tenant};

/// An event whose tenant is known, and whose sender may write for it.
#[derive(Debug)]
pub struct Admitted {
    /// Its fields and its payload.
    pub decoded: Decoded,
    tenant: Arc<Tenant>,
}

impl Admitted {
    /// Whose event it is.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }
}

/// Finds the tenant: from the queue's binding, or on a shared queue from the body, backed by the sender that SQS vouches for.
///
/// # Errors
/// `unknown_tenant`, `tenant_mismatch` or `unauthorized_sender`.
pub fn admit(decoded: Decoded, snapshot: &Snapshot) -> Result<Admitted, Rejection> {
    match find_tenant(decoded.envelope(), decoded.candidate(), snapshot) {
        Ok(tenant) => Ok(Admitted { tenant: Arc::clone(tenant), decoded }),
        Err((reason, expected)) => Err(reject(reason, decoded.into_envelope(), expected)),
    }
}

fn find_tenant<'a>(envelope: &Envelope, candidate: &Candidate, snapshot: &'a Snapshot) -> Result<&'a Arc<Tenant>, (Reason, &'static str)> {
    let named = envelope.tenant_id.as_deref();
    let unknown = |expected| (Reason::UnknownTenant, expected);
    let Some(bound) = &candidate.queue.tenant else {
        let named = named.ok_or_else(|| unknown(missing(candidate.queue.format)))?;
        let tenant = snapshot.tenant(named).ok_or_else(|| unknown("a tenant that the catalog has"))?;
        return match is_allowed(tenant, candidate) {
            true => Ok(tenant),
            false => Err((Reason::UnauthorizedSender, "a sender that the tenant's `allowed_senders` names")),
        };
    };
    if named.is_some_and(|named| named != bound.as_str()) {
        return Err((Reason::TenantMismatch, "no `tenant_id`, or that of the tenant which the queue is bound to"));
    }
    snapshot.tenant(bound.as_str()).ok_or_else(|| unknown("a queue whose tenant the catalog has"))
}

/// What an event on a shared queue lacks when it names no tenant.
fn missing(format: Format) -> &'static str {
    match format {
        Format::Native => "a field `tenant_id`: this queue is shared by tenants",
        Format::CloudEvents => "an extension `tenantid`: this queue is shared by tenants",
        Format::Sns => "`tenant_id` or `tenantid` in the message: this queue is shared by tenants",
        Format::EventBridge => "a queue that is bound to a tenant: this one is shared, and EventBridge's events name none",
    }
}

/// The tenant that a dead letter of the queue belongs to before its event is admitted.
pub fn tenant_of_queue(candidate: &Candidate, reason: Reason) -> Option<&TenantId> {
    candidate.queue.tenant.as_ref().filter(|_| reason != Reason::TenantMismatch)
}

fn is_allowed(tenant: &Tenant, candidate: &Candidate) -> bool {
    candidate.queue.trusts_any_sender || candidate.sender_id.as_deref().is_some_and(|sender_id| tenant.allows(sender_id))
}

fn reject(reason: Reason, envelope: Box<Envelope>, expected: &str) -> Rejection {
    let violation = Violation {
        keyword: "catalog".to_owned(),
        instance_location: "/tenant_id".to_owned(),
        schema_location: "tenant.toml".to_owned(),
        expected: expected.to_owned(),
        found: if envelope.tenant_id.is_some() { "string" } else { "nothing" }.to_owned(),
    };
    Rejection { envelope: Some(envelope), ..Rejection::new(reason, violation) }
}
