//! What of an attempt is traced, and what its receiver is told of the trace.

use hyper::Request;
use hyper::header::HeaderValue;
use serde_json::Value;

use super::claimed::Delivery;
use super::outcome::Ending;
use crate::event::TraceContext;
use crate::spans::{Span, Spans};

/// Where the producer's context is in what is kept around an event, in the order in which the daemon looks for it.
const PLACES: [[&str; 2]; 4] = [
    ["/message_attributes/traceparent/value", "/message_attributes/tracestate/value"],
    ["/message_attributes/ce-traceparent/value", "/message_attributes/ce-tracestate/value"],
    ["/fields/traceparent", "/fields/tracestate"],
    ["/notification/MessageAttributes/traceparent/Value", "/notification/MessageAttributes/tracestate/Value"],
];

/// The longest state that others are sure to pass on.
const TRACESTATE_BYTES_MAX: usize = 512;

/// An attempt under way.
pub(super) struct Traced {
    context: Option<TraceContext>,
    /// What vendors along the way have added; passed on as it is.
    state: Option<HeaderValue>,
    span: Option<Span>,
}

impl Traced {
    pub(super) fn begin(spans: &Spans, delivery: &Delivery) -> Self {
        let (producer, state) = producer(&delivery.attributes);
        let (context, mut span) = spans.deliver(producer);
        if let Some(span) = &mut span {
            span.set("messaging.message.id", &delivery.webhook_id);
            span.set("event_processor.tenant", &delivery.client.tenant_id);
            span.set("event_processor.client", &delivery.client.client_id);
            span.set("event_processor.event_type", &delivery.event_type);
            span.set("event_processor.attempt", &delivery.attempt.to_string());
        }
        Self { context, state, span }
    }

    /// Tells the receiver, unless the client's settings have a word of their own on that.
    pub(super) fn tell<B>(&self, request: &mut Request<B>) {
        let headers = request.headers_mut();
        let Some(context) = self.context.filter(|_| !headers.contains_key("traceparent")) else { return };
        if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
            headers.insert("traceparent", value);
            self.state.clone().map(|state| headers.insert("tracestate", state));
        }
    }

    pub(super) fn end(self, channel: &'static str, ending: &Ending) {
        let Some(mut span) = self.span else { return };
        span.set("event_processor.channel", channel);
        match ending {
            Ending::Delivered => span.set("event_processor.outcome", "delivered"),
            Ending::Failed(failed) => {
                span.set("event_processor.outcome", "failed");
                span.fail(failed.class());
            }
        }
        span.end();
    }
}

/// The producer's context and its state; most events have none, and are not read for it.
fn producer(attributes: &str) -> (Option<TraceContext>, Option<HeaderValue>) {
    if !attributes.contains("traceparent") && !attributes.contains("AWSTraceHeader") {
        return (None, None);
    }
    let attributes: Value = serde_json::from_str(attributes).unwrap_or_default();
    let text = |pointer: &str| attributes.pointer(pointer).and_then(Value::as_str);
    for [traceparent, tracestate] in PLACES {
        if let Some(context) = text(traceparent).and_then(TraceContext::parse) {
            let state = text(tracestate).filter(|state| state.len() <= TRACESTATE_BYTES_MAX);
            return (Some(context), state.and_then(|state| HeaderValue::from_str(state).ok()));
        }
    }
    (text("/system_attributes/AWSTraceHeader").and_then(TraceContext::parse_xray), None)
}
