//! What is in flight is extended at half its lease, ten at a time, until its work has ended or it was held for `HOLD_MAX`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::queue::{BatchReply, ClientError, Extending, Lease, MESSAGES_PER_REQUEST_MAX, Queue, ReceivedMessage};

/// Requests of one queue in flight at most.
const EXTENSIONS_MAX: usize = 64;

/// The queues that are polled, by name: who deletes and hands back finds them here.
#[derive(Debug)]
pub struct Queues {
    by_name: RwLock<HashMap<String, Arc<Leases>>>,
    visibility_timeout: Duration,
    hold_max: Duration,
    metrics: Arc<Metrics>,
    /// What extends leases, until `drained`: longer than the pollers, up to the last commit and delete.
    heartbeats: TaskTracker,
    drained: CancellationToken,
}

impl Queues {
    /// None yet. Leases are asked for and extended by `visibility_timeout`, for `hold_max` at most; until `drained`.
    pub fn new(visibility_timeout: Duration, hold_max: Duration, metrics: Arc<Metrics>, drained: CancellationToken) -> Self {
        Self { by_name: RwLock::default(), visibility_timeout, hold_max, metrics, heartbeats: TaskTracker::new(), drained }
    }

    /// From now on what is received from the queue is extended.
    pub fn add(&self, queue: Queue) -> Arc<Leases> {
        let (visibility_timeout, hold_max) = (self.visibility_timeout, self.hold_max);
        let leases =
            Arc::new(Leases { queue, visibility_timeout, hold_max, metrics: Arc::clone(&self.metrics), by_message_id: Mutex::default() });
        let (drained, extending) = (self.drained.clone(), Arc::clone(&leases).extend_all());
        self.heartbeats.spawn(async move { drained.run_until_cancelled(extending).await });
        // A panic elsewhere leaves the map whole.
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(leases.queue.binding.name.clone(), Arc::clone(&leases));
        leases
    }

    /// A queue by its name.
    pub fn get(&self, name: &str) -> Option<Arc<Leases>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every queue.
    pub fn all(&self) -> Vec<Arc<Leases>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// The leases of one queue's messages.
#[derive(Debug)]
pub struct Leases {
    pub queue: Queue,
    visibility_timeout: Duration,
    hold_max: Duration,
    metrics: Arc<Metrics>,
    /// By the queue's id of the message: of two copies the later one's lease counts for both.
    by_message_id: Mutex<HashMap<String, Lease>>,
}

impl Leases {
    fn by_message_id(&self) -> MutexGuard<'_, HashMap<String, Lease>> {
        // A panic elsewhere leaves the map whole.
        self.by_message_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the message's lease is extended.
    pub fn keep(&self, message: &mut ReceivedMessage) {
        let mut leases = self.by_message_id();
        match leases.get(&message.candidate.message_id).filter(|earlier| !earlier.is_finished()) {
            Some(earlier) => {
                earlier.renew(&message.lease);
                message.lease = earlier.clone();
            }
            None => {
                if leases.len() == leases.capacity() {
                    // What has ended makes room before the map grows; half of it at least, or each message would cost a pass over all.
                    leases.retain(|_, lease| !lease.is_forgotten());
                    let kept = leases.len();
                    leases.reserve(kept);
                }
                leases.insert(message.candidate.message_id.clone(), message.lease.clone());
            }
        }
    }

    /// Hands back whatever is not finished, for others to have at once.
    pub async fn hand_back(&self) {
        let unfinished: Vec<Lease> = self.by_message_id().values().filter(|lease| !lease.is_finished()).cloned().collect();
        for chunk in unfinished.chunks(MESSAGES_PER_REQUEST_MAX) {
            chunk.iter().for_each(Lease::finish);
            self.release(chunk.iter().map(|lease| (lease, Duration::ZERO)).collect()).await;
        }
    }

    /// Lets others have messages, each after its delay. A release that fails costs time, never an event: the lease ends by itself.
    pub async fn release(&self, leases: Vec<(&Lease, Duration)>) {
        let reply = self.queue.set_visibility(&leases).await;
        let result = reply.map_or_else(|error| error.class(), |_| "ok");
        self.metrics.sqs_requests.with_label_values(&[self.queue.binding.name.as_str(), "release", result]).inc();
    }

    /// Extends for as long as it is polled.
    pub async fn extend_all(self: Arc<Self>) {
        let interval = (self.visibility_timeout / 8).clamp(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            self.by_message_id().retain(|_, lease| !lease.is_forgotten());
            let due = self.due(self.visibility_timeout / 2);
            futures_util::stream::iter(due).for_each_concurrent(EXTENSIONS_MAX, |batch| self.extend(batch)).await;
            tokio::time::sleep(interval).await;
        }
    }

    fn due(&self, margin: Duration) -> Vec<Vec<Extending>> {
        let mut due: Vec<Vec<Extending>> = Vec::new();
        let now = Instant::now();
        for extending in self.by_message_id().values().filter_map(|lease| lease.extend_within(now, margin, self.hold_max)) {
            match due.last_mut() {
                Some(batch) if batch.len() < MESSAGES_PER_REQUEST_MAX => batch.push(extending),
                _ => due.push(vec![extending]),
            }
        }
        due
    }

    async fn extend(&self, batch: Vec<Extending>) {
        let entries: Vec<_> = batch.iter().map(|extending| (extending.lease(), self.visibility_timeout)).collect();
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
