//! A message's room, from its receipt to its delete.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Share, body_bytes};
use crate::candidate::{Candidate, QueueBinding};
use crate::metrics::Outcome;
use crate::spans::Span;

/// One message's room. It is in flight until its outcome is recorded; dropped without one (by a panic), it was released.
#[derive(Debug)]
pub struct Permit {
    body_bytes: i64,
    sent_at: Option<OffsetDateTime>,
    queue: Arc<QueueBinding>,
    has_outcome: bool,
    share: Arc<Share>,
    /// Where its processing is traced: ended by its outcome.
    pub span: Option<Span>,
}

impl Permit {
    /// Of a message that was just received.
    pub(super) fn new(candidate: &Candidate, share: Arc<Share>) -> Self {
        let (body_bytes, sent_at, queue) = (body_bytes(candidate), candidate.sent_at, Arc::clone(&candidate.queue));
        Self { body_bytes, sent_at, queue, has_outcome: false, share, span: None }
    }

    /// Records what became of the message: from here on it is no longer in flight.
    pub fn record(&mut self, tenant_label: &str, outcome: Outcome) {
        if !self.has_outcome {
            self.has_outcome = true;
            let metrics = &self.share.window.metrics;
            metrics.in_flight_events.dec();
            metrics.count_outcome(&self.queue.name, tenant_label, outcome);
            if let Some(mut span) = self.span.take() {
                span.set("event_processor.outcome", outcome.as_str());
                span.end();
            }
            self.share.window.steps.recorded.fetch_add(1, Ordering::Release);
            let (sent_at, now) = (self.sent_at, Instant::now());
            self.share.change_unsettled(|unsettled| unsettled.end(sent_at, outcome, now));
        }
    }

    /// Frees the bytes: the body is no longer in memory.
    pub fn free_bytes(&mut self) {
        let bytes = std::mem::take(&mut self.body_bytes);
        self.share.window.metrics.in_flight_bytes.sub(bytes);
        self.share.release(0, bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.record("unknown", Outcome::Released);
        self.free_bytes();
        self.share.window.steps.gone.fetch_add(1, Ordering::Release);
        self.share.release(1, 0);
    }
}
