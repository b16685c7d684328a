//! What of an event's way is traced: its processing, from the receive to the outcome, and the batches in which it is stored.

use crate::decode::message_traceparent;
use crate::event::{Reason, Rejection, TraceContext};
use crate::spans::{Span, Spans};
use crate::store::{Entry, Failure};
use crate::validate::Declared;
use crate::window::InFlight;

/// Begins the span of an event, once it is decoded, for its body may name the trace. Its permit ends it.
pub fn begin(spans: &Spans, message: &mut InFlight, prepared: Option<&Result<Declared, Rejection>>) {
    if !spans.are_recorded() || message.permit.span.is_some() {
        return;
    }
    let envelope = match prepared {
        Some(Ok(event)) => Some(event.envelope()),
        Some(Err(rejection)) => rejection.envelope.as_deref(),
        None => None,
    };
    let producer = match envelope {
        Some(envelope) => envelope.traceparent.as_deref().and_then(TraceContext::parse),
        None => message_traceparent(&message.candidate).as_deref().and_then(TraceContext::parse),
    };
    let (queue, message_id) = (&message.candidate.queue.name, &message.candidate.message_id);
    let Some(mut span) = spans.process(producer, queue, message_id, || message.lease.age()) else { return };
    match prepared {
        Some(Ok(event)) => {
            span.set("event_processor.tenant", event.tenant().tenant_id.as_str());
            // The catalog has it.
            span.set("event_processor.event_type", &event.envelope().event_type);
        }
        Some(Err(Rejection { admitted: Some(tenant_id), .. })) => span.set("event_processor.tenant", tenant_id.as_str()),
        _ => {}
    }
    message.permit.span = Some(span);
}

/// Begins the span of a batch that holds any event which is traced.
pub fn begin_batch(spans: &Spans, batch: &[Entry<InFlight>]) -> Option<Span> {
    spans.store(batch.len(), batch.iter().filter_map(|entry| entry.origin.permit.span.as_ref()))
}

/// Ends it.
pub fn end_batch(span: Option<Span>, failure: Option<&Failure>) {
    let Some(mut span) = span else { return };
    if let Some(failure) = failure {
        span.fail(failure.name());
    }
    span.end();
}

/// Tells why an event is a dead letter.
pub fn reject(message: &mut InFlight, reason: Reason) {
    if let Some(span) = &mut message.permit.span {
        span.fail(reason.as_str());
    }
}
