//! Stage 6: delete what is settled, ten at a time. Deleting comes last: a crash before it makes a duplicate, which the key absorbs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::leases::{Leases, Queues};
use crate::backoff::Backoff;
use crate::fault;
use crate::health::{Readiness, queue_part};
use crate::metrics::Metrics;
use crate::output::problem_and_advice;
use crate::queue::{ClientError, MESSAGES_PER_REQUEST_MAX};
use crate::store::Settled;
use crate::window::InFlight;

/// How long the last few of a batch wait for others to share their request.
const BATCH_AGE_MAX: Duration = Duration::from_millis(20);

/// Delete requests of one queue in flight at most. There are only as many as events are settled in a request's time.
const DELETES_MAX: usize = 64;

/// How often what SQS did not delete is tried again.
const RETRIES_MAX: usize = 3;

/// Before the first and the last of these.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// Settled events of a queue that wait for others to share their request.
struct Waiting {
    events: Vec<Settled<InFlight>>,
    since: Instant,
    deletes: Arc<Semaphore>,
}

impl Waiting {
    fn new(event: Settled<InFlight>) -> Self {
        Self { events: vec![event], since: Instant::now(), deletes: Arc::new(Semaphore::new(DELETES_MAX)) }
    }

    fn push(&mut self, event: Settled<InFlight>) {
        if self.events.is_empty() {
            self.since = Instant::now();
        }
        self.events.push(event);
    }

    /// What fills a request, and the rest where it has waited long enough or nothing more comes.
    fn take_due(&mut self, is_ended: bool) -> Vec<Vec<Settled<InFlight>>> {
        let is_due = is_ended || self.since.elapsed() >= BATCH_AGE_MAX;
        let mut due = Vec::new();
        while self.events.len() >= MESSAGES_PER_REQUEST_MAX || (is_due && !self.events.is_empty()) {
            due.push(self.events.drain(..self.events.len().min(MESSAGES_PER_REQUEST_MAX)).collect());
        }
        due
    }
}

/// 6. What deletes.
#[derive(Debug)]
pub struct Acknowledger {
    pub queues: Arc<Queues>,
    /// Of deletes under way.
    pub tracker: TaskTracker,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
}

impl Acknowledger {
    /// Deletes what the writers have settled. Ends when they have ended and nothing waits; deletes under way belong to the tracker.
    pub async fn run(self, mut settled: mpsc::Receiver<Vec<Settled<InFlight>>>) {
        let acknowledger = Arc::new(self);
        let mut queues: HashMap<String, Waiting> = HashMap::new();
        loop {
            let oldest = queues.values().filter(|waiting| !waiting.events.is_empty()).map(|waiting| waiting.since).min();
            let received = match oldest {
                // Cancel-safe: nothing is taken from the channel by a receive that is cut.
                Some(since) => tokio::time::timeout_at(since + BATCH_AGE_MAX, settled.recv()).await.ok(),
                None => Some(settled.recv().await),
            };
            let is_ended = matches!(received, Some(None));
            for event in received.flatten().unwrap_or_default() {
                let name = &event.origin.candidate.queue.name;
                if let Some(waiting) = queues.get_mut(name) {
                    waiting.push(event);
                } else {
                    queues.insert(name.clone(), Waiting::new(event));
                }
            }
            for (name, waiting) in &mut queues {
                // Every queue that a message came from is known.
                let Some(leases) = acknowledger.queues.get(name) else { continue };
                for chunk in waiting.take_due(is_ended) {
                    let deleting = Arc::clone(&acknowledger).delete(Arc::clone(&leases), chunk, Arc::clone(&waiting.deletes));
                    acknowledger.tracker.spawn(deleting);
                }
            }
            if is_ended {
                return;
            }
        }
    }

    /// Deletes as many messages as fit into a request, trying again what SQS neither deleted nor refused. The permits are free when it ends,
    /// either way.
    async fn delete(self: Arc<Self>, leases: Arc<Leases>, mut events: Vec<Settled<InFlight>>, deletes: Arc<Semaphore>) {
        let _permit = deletes.acquire().await;
        let name = leases.queue.binding.name.as_str();
        let mut advice = "SQS carried out only part of the request".to_owned();
        let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
        for is_last in (0..=RETRIES_MAX).map(|tries| tries == RETRIES_MAX) {
            if let Some(problem) = self.delete_once(&leases, &mut events).await {
                advice = problem;
            }
            if events.is_empty() || is_last {
                break;
            }
            tokio::time::sleep(backoff.pause()).await;
        }
        if events.is_empty() {
            return;
        }
        let failures = u64::try_from(events.len()).unwrap_or(u64::MAX);
        self.metrics.delete_failures.with_label_values(&[name, "given_up"]).inc_by(failures);
        if self.readiness.may_log(&queue_part(name)) {
            let (problem, advice) = problem_and_advice(&advice);
            let sentence = "stored events could not be deleted: they come again and count as duplicates";
            tracing::warn!(queue = name, events = events.len(), problem, advice, "{sentence}");
        }
    }

    /// One request; keeps what is to be tried again. Gives what is wrong with the whole of it.
    async fn delete_once(&self, leases: &Leases, events: &mut Vec<Settled<InFlight>>) -> Option<String> {
        let name = leases.queue.binding.name.as_str();
        fault::crash("before_delete");
        for event in &*events {
            event.origin.lease.finished().await;
        }
        let reply = leases.queue.delete(&events.iter().map(|event| &event.origin.lease).collect::<Vec<_>>()).await;
        let result = reply.as_ref().map_or_else(ClientError::class, |_| "ok");
        self.metrics.sqs_requests.with_label_values(&[name, "delete", result]).inc();
        fault::crash("mid_delete");
        let problem = reply.as_ref().err().map(ClientError::advice);
        let reply = reply.unwrap_or_default();
        for (_, reason) in &reply.refused {
            self.metrics.delete_failures.with_label_values(&[name, reason]).inc();
        }
        let is_done = |position| reply.successful.contains(&position) || reply.refused.iter().any(|(refused, _)| *refused == position);
        let mut positions = 0..;
        events.retain(|_| positions.next().is_none_or(|position| !is_done(position)));
        problem
    }
}
