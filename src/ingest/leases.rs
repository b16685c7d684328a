//! What is held is extended at half its lease, ten at a time, until its work has ended or it was held for `HOLD_MAX`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::fault;
use crate::metrics::Metrics;
use crate::queue::{BatchReply, ClientError, Extending, Lease, Queue, ReceivedMessage, SQS_BATCH_MAX};

/// Requests of one queue in flight at most.
const EXTENSIONS_MAX: usize = 8;

/// The leases of one queue's messages.
#[derive(Debug)]
pub struct Leases {
    pub queue: Queue,
    visibility_timeout: Duration,
    hold_max: Duration,
    metrics: Arc<Metrics>,
    /// By SQS's id of the message: of two copies the later one's receipt handle counts for both.
    held: Mutex<HashMap<String, Lease>>,
}

impl Leases {
    pub fn new(queue: Queue, visibility_timeout: Duration, hold_max: Duration, metrics: Arc<Metrics>) -> Self {
        Self { queue, visibility_timeout, hold_max, metrics, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        // A panic elsewhere leaves the map whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the message's lease is extended.
    pub fn keep(&self, message: &mut ReceivedMessage) {
        let mut held = self.held();
        match held.get(&message.sqs_message_id).filter(|earlier| !earlier.is_finished()) {
            Some(earlier) => {
                earlier.renew(&message.lease);
                message.lease = earlier.clone();
            }
            None => {
                if held.len() == held.capacity() {
                    // What has ended makes room before the map grows; half of it at least, or each message would cost a look at all.
                    held.retain(|_, lease| !lease.is_forgotten());
                    let kept = held.len();
                    held.reserve(kept);
                }
                held.insert(message.sqs_message_id.clone(), message.lease.clone());
            }
        }
    }

    /// Hands back whatever is not finished, for others to have at once.
    pub async fn hand_back(&self) {
        let unfinished: Vec<Lease> = self.held().values().filter(|lease| !lease.is_finished()).cloned().collect();
        for chunk in unfinished.chunks(SQS_BATCH_MAX) {
            chunk.iter().for_each(Lease::finish);
            let handles: Vec<String> = chunk.iter().map(Lease::receipt_handle).collect();
            let entries: Vec<_> = handles.iter().map(|handle| (handle.as_str(), Duration::ZERO)).collect();
            let reply = self.queue.set_visibility(&entries).await;
            let result = reply.map_or_else(|error| error.class(), |_| "ok");
            self.metrics.sqs_requests.with_label_values(&[self.queue.binding.name.as_str(), "release", result]).inc();
        }
    }

    /// Extends for as long as it is polled.
    pub async fn extend_all(self: Arc<Self>) {
        let interval = (self.visibility_timeout / 8).clamp(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            self.held().retain(|_, lease| !lease.is_forgotten());
            let due = self.due(self.visibility_timeout / 2);
            futures_util::stream::iter(due).for_each_concurrent(EXTENSIONS_MAX, |batch| self.extend(batch)).await;
            tokio::time::sleep(interval).await;
        }
    }

    fn due(&self, margin: Duration) -> Vec<Vec<Extending>> {
        if fault::has_bug("no_heartbeat") {
            return Vec::new();
        }
        let mut due: Vec<Vec<Extending>> = Vec::new();
        let now = Instant::now();
        for extending in self.held().values().filter_map(|lease| lease.extend_within(now, margin, self.hold_max)) {
            match due.last_mut() {
                Some(batch) if batch.len() < SQS_BATCH_MAX => batch.push(extending),
                _ => due.push(vec![extending]),
            }
        }
        due
    }

    async fn extend(&self, batch: Vec<Extending>) {
        let handles: Vec<String> = batch.iter().map(Extending::receipt_handle).collect();
        let entries: Vec<_> = handles.iter().map(|handle| (handle.as_str(), self.visibility_timeout)).collect();
        let sent_at = Instant::now();
        let reply = self.queue.set_visibility(&entries).await;
        let result = reply.as_ref().map_or_else(ClientError::class, |_| "ok");
        self.metrics.sqs_requests.with_label_values(&[self.queue.binding.name.as_str(), "extend", result]).inc();
        // What was not extended is tried again until its lease ends.
        let BatchReply { successful, refused } = reply.unwrap_or_default();
        for extending in successful.into_iter().filter_map(|position| batch.get(position)) {
            extending.succeed(sent_at + self.visibility_timeout);
        }
        for extending in refused.into_iter().filter_map(|(position, _)| batch.get(position)) {
            extending.lose();
        }
    }
}
