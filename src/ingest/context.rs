//! What the stages share.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::judges::Judges;
use super::leases::Leases;
use super::store_gate::StoreGate;
use super::suspects::Suspects;
use crate::health::Readiness;
use crate::metrics::{Metrics, Outcome};
use crate::queue::{Queue, SQS_BATCH_MAX};
use crate::settings::{Database, IngestSettings};
use crate::snapshot::Catalog;
use crate::store::Judged;
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
    /// Judgements, deletes and releases under way.
    pub tracker: TaskTracker,
    /// What extends leases; until `drained`.
    pub heartbeats: TaskTracker,
    /// Nothing is in flight any more.
    pub drained: CancellationToken,
    /// The threads that judge.
    pub judges: Judges,
    /// What is counted before it is judged.
    pub suspects: Suspects,
    queues: RwLock<HashMap<String, Arc<Leases>>>,
}

impl Context {
    /// # Errors
    /// When the system gives no threads to judge by.
    pub fn new(
        settings: IngestSettings,
        database: Database,
        metrics: Arc<Metrics>,
        catalog: Catalog,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let window = Window::new(settings.in_flight_events_max, settings.in_flight_bytes_max, Arc::clone(&metrics));
        let readiness = Arc::<Readiness>::default();
        let store_gate = StoreGate::new(Arc::clone(&metrics), Arc::clone(&readiness));
        let (tracker, heartbeats, drained) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
        let judges = Judges::start(settings.body.body_bytes_max, Arc::clone(&metrics))?;
        let (suspects, queues) = (Suspects::new(database), RwLock::default());
        Ok(Self { settings, metrics, readiness, catalog, window, stop, store_gate, tracker, heartbeats, drained, judges, suspects, queues })
    }

    /// When an event that could not be stored may be received again: about a lease from now, spread so that a mended database is not met by
    /// all at once.
    fn release_delay(&self) -> Range<Duration> {
        self.settings.visibility_timeout / 2..self.settings.visibility_timeout * 2
    }

    /// Makes a queue known to those who delete and release; gives its leases.
    pub fn add_queue(&self, queue: Queue) -> Arc<Leases> {
        let (visibility_timeout, hold_max) = (self.settings.visibility_timeout, self.settings.hold_max);
        let leases = Arc::new(Leases::new(queue, visibility_timeout, hold_max, Arc::clone(&self.metrics)));
        // A panic elsewhere leaves the map whole.
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(leases.queue.binding.name.clone(), Arc::clone(&leases));
        leases
    }

    /// Hands back whatever is in flight: this process will not finish it.
    pub async fn hand_back_all(&self) {
        let queues: Vec<_> = self.queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        futures_util::future::join_all(queues.iter().map(|leases| leases.hand_back())).await;
    }

    pub fn queue(&self, name: &str) -> Option<Queue> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name).map(|leases| leases.queue.clone())
    }

    /// Drops events whose leases have ended: someone else may have them by now. What was committed before goes on.
    pub fn drop_lost(&self, batch: Vec<Judged>) -> Vec<Judged> {
        let (held, lost): (Vec<Judged>, Vec<Judged>) = batch.into_iter().partition(|judged| judged.held.message.lease.is_held());
        if !lost.is_empty() {
            tracing::warn!(events = lost.len(), "leases ended before their events could be stored: they come again");
        }
        for Judged { mut held, .. } in lost {
            held.message.lease.finish();
            held.slot.record(self.catalog.snapshot().label(held.message.queue.tenant.as_ref()), Outcome::Released);
        }
        held
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
    pub fn release(self: &Arc<Self>, messages: Vec<Held>, delay: Range<Duration>) {
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
        for held in chunk {
            held.message.lease.finished().await;
        }
        let handles: Vec<String> = chunk.iter().map(|held| held.message.lease.receipt_handle()).collect();
        let entries: Vec<_> = handles.iter().map(|handle| (handle.as_str(), spread())).collect();
        let reply = queue.set_visibility(&entries).await;
        // A release that fails costs time, never an event: the lease ends by itself.
        let result = reply.map_or_else(|error| error.class(), |_| "ok");
        metrics.sqs_requests.with_label_values(&[queue.binding.name.as_str(), "release", result]).inc();
    }
}
