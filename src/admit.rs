//! 3. Whose event is it, and may whoever sent it write for that tenant?

use crate::event::{Envelope, Reason, Rejection, TenantId, Violation};
use crate::queue::ReceivedMessage;
use crate::settings::Format;
use crate::snapshot::{Snapshot, Tenant};

/// Finds the tenant: from the queue's binding, or on a shared queue from the body, backed by the sender that SQS vouches for.
///
/// # Errors
/// `unknown_tenant`, `tenant_mismatch` or `unauthorized_sender`.
pub fn admit<'a>(envelope: &Envelope, message: &ReceivedMessage, snapshot: &'a Snapshot) -> Result<&'a Tenant, Rejection> {
    let named = envelope.tenant_id.as_deref();
    let unknown = |expected: &str| reject(Reason::UnknownTenant, envelope, expected);
    let Some(bound) = &message.queue.tenant else {
        let named = named.ok_or_else(|| unknown(missing(message.queue.format)))?;
        let tenant = snapshot.tenant(named).ok_or_else(|| unknown("a tenant that the catalog has"))?;
        return check_sender(tenant, envelope, message);
    };
    if named.is_some_and(|named| named != bound.as_str()) {
        return Err(reject(Reason::TenantMismatch, envelope, "no `tenant_id`, or that of the tenant which the queue is bound to"));
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
pub fn tenant_of_queue(message: &ReceivedMessage, reason: Reason) -> Option<&TenantId> {
    message.queue.tenant.as_ref().filter(|_| reason != Reason::TenantMismatch)
}

fn check_sender<'a>(tenant: &'a Tenant, envelope: &Envelope, message: &ReceivedMessage) -> Result<&'a Tenant, Rejection> {
    let is_allowed = message.queue.trusts_any_sender || message.sender_id.as_deref().is_some_and(|sender_id| tenant.allows(sender_id));
    if is_allowed {
        return Ok(tenant);
    }
    Err(reject(Reason::UnauthorizedSender, envelope, "a sender that the tenant's `allowed_senders` names"))
}

fn reject(reason: Reason, envelope: &Envelope, expected: &str) -> Rejection {
    let violation = Violation {
        keyword: "catalog".to_owned(),
        instance_location: "/tenant_id".to_owned(),
        schema_location: "tenant.toml".to_owned(),
        expected: expected.to_owned(),
        found: if envelope.tenant_id.is_some() { "string" } else { "nothing" }.to_owned(),
    };
    Rejection { envelope: Some(Box::new(envelope.clone())), ..Rejection::new(reason, violation) }
}
