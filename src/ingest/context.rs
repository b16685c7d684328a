//! What the stages share.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::store_gate::StoreGate;
use crate::health::Readiness;
use crate::metrics::{Metrics, Outcome};
use crate::queue::{Queue, SQS_BATCH_MAX};
use crate::settings::IngestSettings;
use crate::snapshot::{Catalog, Snapshot};
use crate::store::Judged;
use crate::validate::judge;
use crate::window::{Held, Window};

/// Shared by all stages.
#[derive(Debug)]
pub struct Context {
    pub settings: IngestSettings,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub catalog: Catalog,
    pub window: Window,
    /// Stops the pollers; the rest drains.
    pub stop: CancellationToken,
    /// Whether events can be stored.
    pub store_gate: StoreGate,
    /// Deletes and releases under way.
    pub tracker: TaskTracker,
    queues: RwLock<HashMap<String, Queue>>,
}

impl Context {
    pub fn new(settings: IngestSettings, metrics: Arc<Metrics>, catalog: Catalog, stop: CancellationToken) -> Self {
        let window = Window::new(settings.in_flight_events_max, settings.in_flight_bytes_max, Arc::clone(&metrics));
        let readiness = Arc::<Readiness>::default();
        let store_gate = StoreGate::new(Arc::clone(&metrics), Arc::clone(&readiness));
        Self { settings, metrics, readiness, catalog, window, stop, store_gate, tracker: TaskTracker::new(), queues: RwLock::default() }
    }

    /// When an event that could not be stored may be received again: about a lease from now, spread so that a mended database is not met by
    /// all at once.
    fn release_delay(&self) -> Range<Duration> {
        self.settings.visibility_timeout / 2..self.settings.visibility_timeout * 2
    }

    /// Makes a queue known to those who delete and release.
    pub fn add_queue(&self, queue: &Queue) {
        // A panic elsewhere leaves the map whole.
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(queue.binding.name.clone(), queue.clone());
    }

    pub fn queue(&self, name: &str) -> Option<Queue> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Judges messages by the newest snapshot, on a thread that may block: a schema can be slow, a payload deep. What cannot be judged,
    /// by our own fault, is released.
    pub async fn judge_all(self: &Arc<Self>, messages: Vec<Held>, snapshot: Arc<Snapshot>) -> Vec<Judged> {
        let context = Arc::clone(self);
        let judging = move || {
            let mut judged = Vec::with_capacity(messages.len());
            for held in messages {
                match context.judge_one(&held, &snapshot) {
                    Some(verdict) => judged.push(Judged::new(held, verdict, snapshot.generation)),
                    None => context.release_later(vec![held]),
                }
            }
            judged
        };
        // A panic is caught with the message that caused it, so the thread itself ends well.
        tokio::task::spawn_blocking(judging).await.unwrap_or_default()
    }

    fn judge_one(&self, held: &Held, snapshot: &Snapshot) -> Option<crate::validate::Verdict> {
        let message = &held.message;
        let timer = self.metrics.validation_duration.start_timer();
        let judging = std::panic::AssertUnwindSafe(|| judge(message, snapshot, self.settings.body.body_bytes_max));
        let outcome = std::panic::catch_unwind(judging);
        timer.observe_duration();
        match outcome {
            Ok(Ok(verdict)) => Some(verdict),
            Ok(Err(unusable)) => {
                self.readiness.set("schemas", Err(unusable.to_string()));
                None
            }
            Err(_) => {
                tracing::error!(queue = message.queue.name, sqs_message_id = message.sqs_message_id, "judging an event panicked");
                None
            }
        }
    }

    /// Hands messages back that were never begun: others may have them at once.
    pub fn release_now(self: &Arc<Self>, messages: Vec<Held>) {
        self.release(messages, Duration::ZERO..Duration::ZERO);
    }

    /// Hands messages back that cannot be stored now.
    pub fn release_later(self: &Arc<Self>, messages: Vec<Held>) {
        self.release(messages, self.release_delay());
    }

    /// In the background, to be received again after a delay from the range.
    fn release(self: &Arc<Self>, messages: Vec<Held>, delay: Range<Duration>) {
        let mut by_queue: HashMap<String, Vec<Held>> = HashMap::new();
        for mut held in messages {
            let snapshot = self.catalog.snapshot();
            held.slot.record(snapshot.label(held.message.queue.tenant.as_ref()), Outcome::Released);
            by_queue.entry(held.message.queue.name.clone()).or_default().push(held);
        }
        for (name, messages) in by_queue {
            let Some(queue) = self.queue(&name) else { continue };
            self.tracker.spawn(release_to(queue, messages, delay.clone(), Arc::clone(&self.metrics)));
        }
    }
}

async fn release_to(queue: Queue, messages: Vec<Held>, delay: Range<Duration>, metrics: Arc<Metrics>) {
    for chunk in messages.chunks(SQS_BATCH_MAX) {
        let spread = || {
            if delay.is_empty() { delay.start } else { rand::rng().random_range(delay.clone()) }
        };
        let entries: Vec<_> = chunk.iter().map(|held| (held.message.receipt_handle.as_str(), spread())).collect();
        let reply = queue.release(&entries).await;
        // A release that fails costs time, never an event: the lease ends by itself.
        let result = reply.map_or_else(|error| error.class(), |_| "ok");
        metrics.sqs_requests.with_label_values(&[queue.binding.name.as_str(), "release", result]).inc();
    }
}
