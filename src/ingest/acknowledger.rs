//! 6. Delete what is settled, ten at a time. Deleting comes last: a crash before it makes a duplicate, which the key absorbs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::context::Context;
use super::part_of;
use crate::fault;
use crate::queue::{ClientError, Queue, SQS_BATCH_MAX};
use crate::store::Settled;

/// How long the last few of a batch wait for others to share their request.
const BATCH_AGE_MAX: Duration = Duration::from_millis(20);

/// Delete requests of one queue in flight at most.
const DELETES_MAX: usize = 8;

/// Pauses before what SQS did not delete is tried again, each shortened at random.
const RETRY_PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(250), Duration::from_millis(500)];

/// Settled events of a queue that wait for others to share their request.
struct Waiting {
    events: Vec<Settled>,
    since: Instant,
    deletes: Arc<Semaphore>,
}

impl Waiting {
    fn new(event: Settled) -> Self {
        Self { events: vec![event], since: Instant::now(), deletes: Arc::new(Semaphore::new(DELETES_MAX)) }
    }

    fn push(&mut self, event: Settled) {
        if self.events.is_empty() {
            self.since = Instant::now();
        }
        self.events.push(event);
    }
}

/// Deletes what the writers have settled. Ends when they have ended and nothing waits; deletes under way belong to the tracker.
pub async fn acknowledge(context: Arc<Context>, mut settled: mpsc::Receiver<Vec<Settled>>) {
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
            if let Some(waiting) = queues.get_mut(&event.queue().name) {
                waiting.push(event);
            } else {
                queues.insert(event.queue().name.clone(), Waiting::new(event));
            }
        }
        for (name, waiting) in &mut queues {
            let is_due = is_ended || waiting.since.elapsed() >= BATCH_AGE_MAX;
            while waiting.events.len() >= SQS_BATCH_MAX || (is_due && !waiting.events.is_empty()) {
                let chunk = waiting.events.drain(..waiting.events.len().min(SQS_BATCH_MAX)).collect();
                // Every queue that a message came from is known.
                let Some(queue) = context.queue(name) else { continue };
                context.tracker.spawn(delete(queue, chunk, Arc::clone(&context), Arc::clone(&waiting.deletes)));
            }
        }
        if is_ended {
            return;
        }
    }
}

/// Deletes up to ten messages, trying again what SQS neither deleted nor refused. The slots are free when it ends, either way.
async fn delete(queue: Queue, mut events: Vec<Settled>, context: Arc<Context>, deletes: Arc<Semaphore>) {
    let metrics = &context.metrics;
    let _permit = deletes.acquire().await;
    let name = queue.binding.name.as_str();
    let mut advice = "SQS carried out only part of the request".to_owned();
    for pause in RETRY_PAUSES.into_iter().map(Some).chain([None]) {
        fault::crash("before_delete");
        for event in &events {
            event.lease().finished().await;
        }
        let handles: Vec<String> = events.iter().map(|event| event.lease().receipt_handle()).collect();
        let reply = queue.delete(handles).await;
        let result = reply.as_ref().map_or_else(ClientError::class, |_| "ok");
        metrics.sqs_requests.with_label_values(&[name, "delete", result]).inc();
        if reply.is_ok() && fault::has_bug("ignored_failed") {
            return;
        }
        fault::crash("mid_delete");
        if let Err(error) = &reply {
            advice = error.advice();
        }
        let reply = reply.unwrap_or_default();
        for (_, code) in &reply.refused {
            let reason = if code.contains("ReceiptHandle") { "receipt_handle_invalid" } else { "refused" };
            metrics.delete_failures.with_label_values(&[name, reason]).inc();
        }
        let is_done = |position| reply.successful.contains(&position) || reply.refused.iter().any(|(refused, _)| *refused == position);
        let mut position = 0;
        events.retain(|_| {
            position += 1;
            !is_done(position - 1)
        });
        let Some(pause) = pause.filter(|_| !events.is_empty()) else { break };
        let share = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(share)).await;
    }
    if !events.is_empty() {
        let failures = u64::try_from(events.len()).unwrap_or(u64::MAX);
        metrics.delete_failures.with_label_values(&[name, "given_up"]).inc_by(failures);
        if context.readiness.may_log(&part_of(name)) {
            let sentence = "stored events could not be deleted; they come again and count as duplicates; delete_failures_total counts them";
            tracing::warn!(queue = name, events = events.len(), advice, "{sentence}");
        }
    }
}
