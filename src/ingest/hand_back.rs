//! Messages that this process will not settle go back to their queues, now or after a delay; each is recorded as released.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio_util::task::TaskTracker;

use super::leases::{Leases, Queues};
use crate::metrics::{NO_TENANT, Outcome};
use crate::queue::MESSAGES_PER_REQUEST_MAX;
use crate::snapshot::{Catalog, Tenant};
use crate::store::Entry;
use crate::window::InFlight;

/// How many of the messages came from each queue, for the log.
pub fn by_queue<'a>(messages: impl Iterator<Item = &'a InFlight>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(message.candidate.queue.name.as_str()).or_default() += 1;
    }
    counts
}

/// The way back to the queues.
#[derive(Debug)]
pub struct HandBack {
    pub queues: Arc<Queues>,
    pub catalog: Catalog,
    /// Of what goes on in the background.
    pub tracker: TaskTracker,
    pub visibility_timeout: Duration,
}

impl HandBack {
    /// Messages that were never begun: others may have them at once.
    pub fn now(&self, messages: Vec<InFlight>) {
        self.after(messages, Duration::ZERO..Duration::ZERO);
    }

    /// Messages that cannot be stored now: they come again about a lease from now, spread so that a mended database is not met by all at once.
    pub fn later(&self, messages: Vec<InFlight>) {
        self.after(messages, self.visibility_timeout / 2..self.visibility_timeout * 2);
    }

    /// In the background, to be received again after a delay from the range.
    pub fn after(&self, messages: Vec<InFlight>, delay: Range<Duration>) {
        let mut by_queue: HashMap<String, Vec<InFlight>> = HashMap::new();
        for mut message in messages {
            self.record_released(&mut message);
            by_queue.entry(message.candidate.queue.name.clone()).or_default().push(message);
        }
        for (name, messages) in by_queue {
            let Some(leases) = self.queues.get(&name) else { continue };
            let spread = |message| {
                let pause = if delay.is_empty() { delay.start } else { rand::rng().random_range(delay.clone()) };
                (message, pause)
            };
            self.tracker.spawn(release(leases, messages.into_iter().map(spread).collect()));
        }
    }

    /// Messages over the rates of their tenants, or of what has none, each to be received again after its own delay.
    pub fn defer(&self, messages: Vec<(InFlight, Option<Arc<Tenant>>, Duration)>) {
        let mut by_queue: HashMap<String, Vec<(InFlight, Duration)>> = HashMap::new();
        for (mut message, tenant, delay) in messages {
            message.permit.record(tenant.as_ref().map_or(NO_TENANT, |tenant| tenant.label.as_str()), Outcome::Deferred);
            by_queue.entry(message.candidate.queue.name.clone()).or_default().push((message, delay));
        }
        for (name, messages) in by_queue {
            let Some(leases) = self.queues.get(&name) else { continue };
            self.tracker.spawn(release(leases, messages));
        }
    }

    /// Drops events whose leases have ended: someone else may have them by now. What was committed before goes on.
    pub fn drop_lost(&self, batch: Vec<Entry<InFlight>>) -> Vec<Entry<InFlight>> {
        let (valid, lost): (Vec<_>, Vec<_>) = batch.into_iter().partition(|entry| entry.origin.lease.is_valid());
        let (valid, rebound): (Vec<_>, Vec<_>) = valid.into_iter().partition(|entry| self.is_of_today(&entry.origin));
        for (queue, events) in by_queue(rebound.iter().map(|entry| &entry.origin)) {
            tracing::info!(queue, events, "handed back: their queue's entry has changed since they were received");
        }
        if !rebound.is_empty() {
            self.now(rebound.into_iter().map(|entry| entry.origin).collect());
        }
        for (queue, events) in by_queue(lost.iter().map(|entry| &entry.origin)) {
            tracing::warn!(queue, events, "leases ended before their events could be stored: they come again");
        }
        for mut entry in lost {
            entry.origin.lease.finish();
            self.record_released(&mut entry.origin);
        }
        valid
    }

    /// Whatever is in flight: this process will not finish it.
    pub async fn everything(&self) {
        let queues = self.queues.all();
        futures_util::future::join_all(queues.iter().map(|leases| leases.hand_back())).await;
    }

    /// Whether a message was received under the terms that its queue has now.
    fn is_of_today(&self, message: &InFlight) -> bool {
        let queue = &message.candidate.queue;
        self.queues.get(&queue.name).is_none_or(|leases| leases.queue.binding == *queue)
    }

    fn record_released(&self, message: &mut InFlight) {
        let snapshot = self.catalog.snapshot();
        message.permit.record(snapshot.label(message.candidate.queue.tenant.as_ref()), Outcome::Released);
    }
}

async fn release(leases: Arc<Leases>, messages: Vec<(InFlight, Duration)>) {
    for chunk in messages.chunks(MESSAGES_PER_REQUEST_MAX) {
        for (message, _) in chunk {
            message.lease.finished().await;
        }
        leases.release(chunk.iter().map(|(message, delay)| (&message.lease, *delay)).collect()).await;
    }
}
